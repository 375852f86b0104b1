//! Recovering a content key that was made with a private key: PKCS#1 v1.5, block type 1, without a DigestInfo.
//!
//! Everybody who has the public key can do this. What comes out is proved to be made by the holder of the private
//! key, and is no secret.

use rsa::{BigUint, RsaPublicKey, pkcs8::DecodePublicKey, traits::PublicKeyParts};

use super::PublicKey;
use crate::algorithm::KeyType;

/// Bytes that are not a content key made with the private half of this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// The public key is not RSA.
    #[error("only RSA keys make content keys that their public half recovers")]
    KeyType,
    /// Not as long as the modulus, or not less than it.
    #[error("not a number below the modulus, written as long as it")]
    Length,
    /// Not `00 01 ff .. ff 00` and a content key.
    #[error("not made by this key, or no content key of 16 to 32 bytes is in it")]
    Padding,
}

impl PublicKey {
    /// The content key, of 16 to 32 bytes, that the holder of the private half made (`RSA1_5-PRIVATE`).
    ///
    /// Nothing here is secret, so nothing is constant-time.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`].
    pub fn recover(&self, sealed: &[u8]) -> Result<Vec<u8>, InvalidOrigin> {
        let KeyType::Rsa(size) = self.key_type() else {
            return Err(InvalidOrigin::KeyType);
        };
        let length = size.bits() / 8;
        let key =
            RsaPublicKey::from_public_key_der(self.der()).map_err(|_| InvalidOrigin::KeyType)?;
        let number = BigUint::from_bytes_be(sealed);
        if sealed.len() != length || number >= *key.n() {
            return Err(InvalidOrigin::Length);
        }
        let opened = number.modpow(key.e(), key.n()).to_bytes_be();
        // The leading zero is lost as a number has none; what is left is one byte shorter than the modulus.
        if opened.len() != length - 1 {
            return Err(InvalidOrigin::Padding);
        }
        unpad(&opened).ok_or(InvalidOrigin::Padding)
    }
}

/// The content of `01 ff .. ff 00 content`; the padding fills what the content leaves, so there is one form only.
fn unpad(block: &[u8]) -> Option<Vec<u8>> {
    let padding = block.strip_prefix(&[1])?;
    let end = padding.iter().position(|byte| *byte != 0xff)?;
    let content = padding[end..].strip_prefix(&[0])?;
    (end >= MIN_PADDING && LENGTHS.contains(&content.len())).then(|| content.to_vec())
}

/// RFC 8017 section 9.2: at least eight bytes.
const MIN_PADDING: usize = 8;

/// How long a content key is. The shortest DigestInfo has 34 bytes (MD5), so none fits.
pub(crate) const LENGTHS: std::ops::RangeInclusive<usize> = 16..=32;

#[cfg(test)]
mod tests {
    use rsa::{
        RsaPrivateKey,
        traits::{PrivateKeyParts, PublicKeyParts},
    };

    use super::*;

    /// The private operation by hand, over a block that need not be well formed.
    fn made(key: &RsaPrivateKey, block: &[u8]) -> Vec<u8> {
        let raw = BigUint::from_bytes_be(block)
            .modpow(key.d(), key.n())
            .to_bytes_be();
        [vec![0; key.size() - raw.len()], raw].concat()
    }

    fn block(kind: u8, padding: &[u8], content: &[u8]) -> Vec<u8> {
        [&[0, kind], padding, &[0], content].concat()
    }

    #[test]
    fn only_the_one_form_is_recovered() {
        let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        let public = PublicKey::from_rsa(&key.n().to_bytes_be(), &key.e().to_bytes_be()).unwrap();
        for length in [16, 24, 32] {
            let content = vec![0xff; length];
            // Another library pads.
            let sealed = key
                .sign(rsa::Pkcs1v15Sign::new_unprefixed(), &content)
                .unwrap();
            assert_eq!(public.recover(&sealed), Ok(content));
        }
        let content = [7; 32];
        let mut one_changed = vec![0xff; 256 - 35];
        one_changed[100] = 0xfe;
        for bad in [
            block(2, &[0xff; 256 - 35], &content),
            block(0, &[0xff; 256 - 35], &content),
            block(1, &one_changed, &content),
            block(1, &[0xff; 256 - 18], &[7; 15]),
            block(1, &[0xff; 256 - 36], &[7; 33]),
            // Short padding, and the content key cut out of more.
            block(1, &[0xff; 7], &[7; 246]),
            block(1, &[], &[7; 253]),
            vec![0; 256],
        ] {
            assert_eq!(bad.len(), 256);
            assert_eq!(
                public.recover(&made(&key, &bad)),
                Err(InvalidOrigin::Padding)
            );
        }
        let good = made(&key, &block(1, &[0xff; 256 - 35], &content));
        assert_eq!(public.recover(&good), Ok(content.to_vec()));
        // The same number, written otherwise.
        assert_eq!(
            public.recover(&[&[0], &good[..]].concat()),
            Err(InvalidOrigin::Length)
        );
        assert_eq!(public.recover(&good[1..]), Err(InvalidOrigin::Length));
        let more = (BigUint::from_bytes_be(&good) + key.n()).to_bytes_be();
        assert_eq!(public.recover(&more), Err(InvalidOrigin::Length));
        let mut flipped = good;
        flipped[200] ^= 1;
        assert_eq!(public.recover(&flipped), Err(InvalidOrigin::Padding));
    }

    #[test]
    fn a_key_of_another_type_recovers_nothing() {
        let key = PublicKey::from_ed25519(&[1; 32]).unwrap();
        assert_eq!(key.recover(&[0; 256]), Err(InvalidOrigin::KeyType));
    }
}
