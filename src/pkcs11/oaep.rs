//! RSA-OAEP decoding in constant time, for tokens that can only do the raw private operation.
//!
//! SoftHSM 2.6 has OAEP with SHA-1 alone, and other tokens no two hashes that differ; there `CKM_RSA_X_509` is done
//! in the token and the decoding of RFC 8017 section 7.1.2 here, in the worker. Nothing branches, and no index
//! depends, on secret bytes until the one verdict at the end (Manger's attack needs to see whether Y was zero).

use rsa::sha2::Sha256;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

/// Both hashes of the padding, where they are not both SHA-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hashes {
    /// SHA-256, and MGF1 with SHA-256.
    Sha256,
    /// SHA-256, and MGF1 with SHA-1.
    Sha256Mgf1Sha1,
}

/// The message in an encoded block `00 || maskedSeed || maskedDB`, with an empty label.
///
/// Returns `None` if it is not one.
pub(super) fn decode(encoded: &[u8], hashes: Hashes) -> Option<Zeroizing<Vec<u8>>> {
    // Lengths are public: they are the modulus's.
    if encoded.len() < 2 * HASH + 2 {
        return None;
    }
    let mgf1 = match hashes {
        Hashes::Sha256 => mgf1::<Sha256>,
        Hashes::Sha256Mgf1Sha1 => mgf1::<Sha1>,
    };
    let (first, rest) = encoded.split_at(1);
    let (masked_seed, masked_block) = rest.split_at(HASH);
    let seed = xor(masked_seed, &mgf1(masked_block, HASH));
    let block = xor(masked_block, &mgf1(&seed, masked_block.len()));

    let label = Sha256::digest([]);
    let mut bad = first[0];
    for (got, want) in block.iter().zip(label.iter()) {
        bad |= got ^ want;
    }
    // Find the 01 that ends the zeros, looking at every byte whatever they are.
    let mut looking = 0xff_u8;
    let mut start = 0_usize;
    for (index, byte) in block.iter().enumerate().skip(HASH) {
        let is_one = equal(*byte, 1);
        let is_zero = equal(*byte, 0);
        let found = looking & is_one;
        start |= index & mask(found);
        bad |= looking & !is_one & !is_zero;
        looking &= !is_one;
    }
    bad |= looking;
    // The verdict is one bit; a caller learns it anyhow, and nothing finer.
    (std::hint::black_box(bad) == 0).then(|| Zeroizing::new(block[start + 1..].to_vec()))
}

fn mgf1<H: Digest>(seed: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut mask = Zeroizing::new(Vec::with_capacity(length + <H as Digest>::output_size()));
    for counter in 0_u32.. {
        if mask.len() >= length {
            break;
        }
        mask.extend_from_slice(
            &H::new()
                .chain_update(seed)
                .chain_update(counter.to_be_bytes())
                .finalize(),
        );
    }
    mask.truncate(length);
    mask
}

fn xor(left: &[u8], right: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(left.iter().zip(right).map(|(a, b)| a ^ b).collect())
}

/// 0xff if equal, else 0, without a branch.
fn equal(a: u8, b: u8) -> u8 {
    let difference = u16::from(a ^ b);
    // 0 - 1 borrows into the high byte only when the difference is zero.
    std::hint::black_box((difference.wrapping_sub(1) >> 8) as u8)
}

/// All ones if the byte is 0xff, zero if it is 0.
fn mask(byte: u8) -> usize {
    0_usize.wrapping_sub(usize::from(byte & 1))
}

/// The length of SHA-256's digest, which both pairs have for the label and the seed.
const HASH: usize = 32;

#[cfg(test)]
mod tests {
    use rsa::{
        BigUint, Oaep, RsaPrivateKey,
        traits::{PrivateKeyParts, PublicKeyParts},
    };

    use super::*;

    const BOTH: [Hashes; 2] = [Hashes::Sha256, Hashes::Sha256Mgf1Sha1];

    /// Another library encodes and encrypts; the raw private operation is done by hand, as a token would.
    fn encoder() -> impl Fn(&[u8], Hashes) -> Vec<u8> {
        let mut random = rsa::rand_core::OsRng;
        let key = RsaPrivateKey::new(&mut random, 1024).unwrap();
        move |message, hashes| {
            let padding = match hashes {
                Hashes::Sha256 => Oaep::new::<Sha256>(),
                Hashes::Sha256Mgf1Sha1 => Oaep::new_with_mgf_hash::<Sha256, Sha1>(),
            };
            let ciphertext = key
                .to_public_key()
                .encrypt(&mut rsa::rand_core::OsRng, padding, message)
                .unwrap();
            let raw = BigUint::from_bytes_be(&ciphertext)
                .modpow(key.d(), key.n())
                .to_bytes_be();
            [vec![0; key.size() - raw.len()], raw].concat()
        }
    }

    #[test]
    fn what_another_library_encodes_comes_back_with_its_own_hashes_alone() {
        let encoded = encoder();
        for message in [&b""[..], b"x", &[0; 16], &[1; 32], &[7; 62]] {
            for (right, wrong) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
                let block = encoded(message, right);
                assert_eq!(decode(&block, right).unwrap().as_slice(), message);
                assert!(decode(&block, wrong).is_none());
            }
        }
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let encoded = encoder();
        for hashes in BOTH {
            let good = encoded(b"content key", hashes);
            for index in 0..good.len() {
                let mut bad = good.clone();
                bad[index] ^= 0x80;
                // A change that unmasks to another message of the right form would need a hash collision,
                // except in the message bytes themselves, which OAEP does not authenticate.
                if let Some(message) = decode(&bad, hashes) {
                    assert!(index >= good.len() - b"content key".len(), "byte {index}");
                    assert_ne!(message.as_slice(), b"content key");
                }
            }
            assert!(decode(&good[..65], hashes).is_none());
        }
    }
}
