//! The Concat KDF (NIST SP 800-56A section 5.8.1) as RFC 7518 section 4.6.2 uses it.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Derives `length` bytes from the shared secret Z. `algorithm` is `enc` for direct key agreement,
/// `alg` for key agreement with key wrapping; `apu` and `apv` are as decoded from the header.
pub(super) fn concat(
    shared_secret: &[u8],
    length: usize,
    algorithm: &str,
    apu: &[u8],
    apv: &[u8],
) -> Zeroizing<Vec<u8>> {
    let number = |count: usize| {
        u32::try_from(count)
            .expect("headers and keys are far below 4 GiB")
            .to_be_bytes()
    };
    let mut key = Zeroizing::new(Vec::with_capacity(length.next_multiple_of(ROUND)));
    for round in 1..=length.div_ceil(ROUND) {
        let mut hash = Sha256::new();
        hash.update(number(round));
        hash.update(shared_secret);
        for data in [algorithm.as_bytes(), apu, apv] {
            hash.update(number(data.len()));
            hash.update(data);
        }
        // SuppPubInfo is the length in bits; SuppPrivInfo is empty.
        hash.update(number(length * 8));
        let mut digest = hash.finalize();
        key.extend_from_slice(&digest);
        zeroize::Zeroize::zeroize(digest.as_mut_slice());
    }
    key.truncate(length);
    key
}

/// The length of a SHA-256 digest.
const ROUND: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7518 appendix C.
    #[test]
    fn rfc7518_appendix_c() {
        let z = [
            158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49,
            110, 163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
        ];
        let key = concat(&z, 16, "A128GCM", b"Alice", b"Bob");
        assert_eq!(
            super::super::base64url::encode(&key),
            "VqqN6vgjbSBcIijNcacQGg"
        );
    }
}
