//! AES key wrap (RFC 3394), for keys that were agreed on by ECDH-ES and so are here, not in the token.

use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap};
use zeroize::Zeroizing;

/// Unwraps a key with a key of 16 or 32 bytes; `None` if anything is wrong with it.
pub(super) fn unwrap(key: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = match key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return None,
    };
    let mut output = Zeroizing::new(vec![0; wrapped.len().checked_sub(OVERHEAD)?]);
    let length = AesKek::new(cipher, key)
        .and_then(|key| key.unwrap(wrapped, &mut output).map(|key| key.len()))
        .ok()?;
    (length == output.len()).then_some(output)
}

/// A wrapped key is longer than the key by this.
pub(super) const OVERHEAD: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3394 sections 4.1, 4.3 and 4.6.
    #[test]
    fn rfc3394_vectors() {
        for (key, wrapped, expected) in [
            (
                "000102030405060708090A0B0C0D0E0F",
                "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5",
                "00112233445566778899AABBCCDDEEFF",
            ),
            (
                "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
                "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7",
                "00112233445566778899AABBCCDDEEFF",
            ),
            (
                "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
                "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21",
                "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
            ),
        ] {
            let key = hex::decode(key).unwrap();
            let mut wrapped = hex::decode(wrapped).unwrap();
            let unwrapped = unwrap(&key, &wrapped).unwrap();
            assert_eq!(hex::encode_upper(&unwrapped), expected);
            wrapped[3] ^= 1;
            assert!(unwrap(&key, &wrapped).is_none());
        }
    }

    #[test]
    fn every_length_of_content_key_and_no_short_text() {
        let key = [7; 16];
        for length in [16, 24, 32, 48, 64] {
            let content_key = vec![9; length];
            let mut wrapped = vec![0; length + OVERHEAD];
            AesKek::new(&AES_128, &key)
                .unwrap()
                .wrap(&content_key, &mut wrapped)
                .unwrap();
            assert_eq!(*unwrap(&key, &wrapped).unwrap(), content_key);
        }
        for length in 0..24 {
            assert!(unwrap(&key, &vec![0; length]).is_none());
        }
        assert!(unwrap(&[0; 24], &[0; 24]).is_none());
    }
}
