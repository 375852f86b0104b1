//! Content encryption (RFC 7518 section 5): AES-GCM, and AES-CBC with HMAC, whose MAC is checked first.

use aws_lc_rs::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{
        self, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
        PaddedBlockEncryptingKey, UnboundCipherKey,
    },
    constant_time, hmac,
};
use zeroize::Zeroizing;

use crate::algorithm::ContentEncryption;

/// What a message says of its content.
#[derive(Clone, Copy)]
pub(super) struct Sealed<'a> {
    /// The initialization vector.
    pub(super) iv: &'a [u8],
    /// The additional authenticated data, as RFC 7516 section 5.1 step 14 makes it.
    pub(super) aad: &'a [u8],
    /// The ciphertext without the tag.
    pub(super) ciphertext: &'a [u8],
    /// The tag.
    pub(super) tag: &'a [u8],
}

/// Opens the content; `None` whatever is wrong: a length, the tag, the padding.
pub(super) fn open(
    encryption: ContentEncryption,
    key: &[u8],
    sealed: Sealed<'_>,
) -> Option<Zeroizing<Vec<u8>>> {
    if !lengths_fit(encryption, sealed.iv, sealed.tag) || key.len() != encryption.key_len() {
        return None;
    }
    match Family::of(encryption) {
        Family::Gcm(algorithm) => {
            let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
            let nonce = Nonce::try_assume_unique_for_key(sealed.iv).ok()?;
            let mut plaintext = Zeroizing::new([sealed.ciphertext, sealed.tag].concat());
            let length = key
                .open_in_place(nonce, Aad::from(sealed.aad), &mut plaintext)
                .ok()?
                .len();
            plaintext.truncate(length);
            Some(plaintext)
        }
        Family::CbcHmac(algorithm, digest) => {
            let (mac_key, key) = key.split_at(key.len() / 2);
            let mac = mac(digest, mac_key, sealed.aad, sealed.iv, sealed.ciphertext);
            // RFC 7518 section 5.2.2.2: the tag before the padding, or the padding tells of the plaintext.
            constant_time::verify_slices_are_equal(
                &mac.as_ref()[..encryption.tag_len()],
                sealed.tag,
            )
            .ok()?;
            let key = UnboundCipherKey::new(algorithm, key)
                .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
                .ok()?;
            let iv = <&[u8; 16]>::try_from(sealed.iv).ok()?;
            let mut plaintext = Zeroizing::new(sealed.ciphertext.to_vec());
            let length = key
                .decrypt(&mut plaintext, DecryptionContext::Iv128(iv.into()))
                .ok()?
                .len();
            plaintext.truncate(length);
            Some(plaintext)
        }
    }
}

/// Seals the content, and gives the ciphertext and the tag; `None` only if key or IV have another
/// length than the encryption.
pub(super) fn seal(
    encryption: ContentEncryption,
    key: &[u8],
    iv: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Option<(Vec<u8>, Vec<u8>)> {
    if iv.len() != encryption.iv_len() || key.len() != encryption.key_len() {
        return None;
    }
    // Room for padding or tag, so that the plaintext is not left behind in a smaller buffer.
    let mut text = Vec::with_capacity(plaintext.len() + 32);
    text.extend_from_slice(plaintext);
    match Family::of(encryption) {
        Family::Gcm(algorithm) => {
            let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
            let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
            key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut text)
                .ok()?;
            let tag = text.split_off(plaintext.len());
            Some((text, tag))
        }
        Family::CbcHmac(algorithm, digest) => {
            let (mac_key, key) = key.split_at(key.len() / 2);
            let key = UnboundCipherKey::new(algorithm, key)
                .and_then(PaddedBlockEncryptingKey::cbc_pkcs7)
                .ok()?;
            let context = EncryptionContext::Iv128(<&[u8; 16]>::try_from(iv).ok()?.into());
            key.less_safe_encrypt(&mut text, context).ok()?;
            let mac = mac(digest, mac_key, aad, iv, &text);
            Some((text, mac.as_ref()[..encryption.tag_len()].to_vec()))
        }
    }
}

/// Whether IV and tag have exactly the lengths of RFC 7518 section 5: a shorter tag is easier to
/// guess, down to one byte in 256 tries.
pub(super) fn lengths_fit(encryption: ContentEncryption, iv: &[u8], tag: &[u8]) -> bool {
    iv.len() == encryption.iv_len() && tag.len() == encryption.tag_len()
}

/// RFC 7518 section 5.2.2.1, steps 4 and 5: the length of the AAD is in bits, in 64 bits.
fn mac(digest: hmac::Algorithm, key: &[u8], aad: &[u8], iv: &[u8], ciphertext: &[u8]) -> hmac::Tag {
    let bits = u64::try_from(aad.len()).expect("a length has at most 64 bits") * 8;
    let mut context = hmac::Context::with_key(&hmac::Key::new(digest, key));
    context.update(aad);
    context.update(iv);
    context.update(ciphertext);
    context.update(&bits.to_be_bytes());
    context.sign()
}

enum Family {
    Gcm(&'static aead::Algorithm),
    CbcHmac(&'static cipher::Algorithm, hmac::Algorithm),
}

impl Family {
    fn of(encryption: ContentEncryption) -> Self {
        match encryption {
            ContentEncryption::A128Gcm => Self::Gcm(&aead::AES_128_GCM),
            ContentEncryption::A192Gcm => Self::Gcm(&aead::AES_192_GCM),
            ContentEncryption::A256Gcm => Self::Gcm(&aead::AES_256_GCM),
            ContentEncryption::A128CbcHs256 => Self::CbcHmac(&cipher::AES_128, hmac::HMAC_SHA256),
            ContentEncryption::A192CbcHs384 => Self::CbcHmac(&cipher::AES_192, hmac::HMAC_SHA384),
            ContentEncryption::A256CbcHs512 => Self::CbcHmac(&cipher::AES_256, hmac::HMAC_SHA512),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAINTEXT: &[u8] = b"A cipher system must not be required to be secret, and it must be able to fall into the hands of the enemy without inconvenience";
    const AAD: &[u8] = b"The second principle of Auguste Kerckhoffs";

    /// RFC 7518 appendices B.1, B.2 and B.3: the keys are the bytes 0, 1, 2 and so on.
    #[test]
    fn rfc7518_appendix_b() {
        let iv = hex::decode("1af38c2dc2b96ffdd86694092341bc04").unwrap();
        for (encryption, start, tag) in [
            (
                ContentEncryption::A128CbcHs256,
                "c80edfa32ddf39d5ef00c0b468834279",
                "652c3fa36b0a7c5b3219fab3a30bc1c4",
            ),
            (
                ContentEncryption::A192CbcHs384,
                "ea65da6b59e61edb419be62d19712ae5",
                "8490ac0e58949bfe51875d733f93ac2075168039ccc733d7",
            ),
            (
                ContentEncryption::A256CbcHs512,
                "4affaaadb78c31c5da4b1b590d10ffbd",
                "4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5",
            ),
        ] {
            let key = (0..).take(encryption.key_len()).collect::<Vec<u8>>();
            let (ciphertext, made) = seal(encryption, &key, &iv, AAD, PLAINTEXT).unwrap();
            assert_eq!(hex::encode(&ciphertext[..16]), start);
            assert_eq!(hex::encode(&made), tag);
            let sealed = Sealed {
                iv: &iv,
                aad: AAD,
                ciphertext: &ciphertext,
                tag: &made,
            };
            assert_eq!(*open(encryption, &key, sealed).unwrap(), PLAINTEXT);
        }
    }

    #[test]
    fn attack_08_short_tag_and_iv_every_length() {
        for encryption in ContentEncryption::ALL {
            let key = vec![1; encryption.key_len()];
            let iv = vec![2; encryption.iv_len()];
            let (ciphertext, tag) = seal(encryption, &key, &iv, b"a", b"b").unwrap();
            let longer = |bytes: &[u8]| [bytes, &[0; 33]].concat();
            for length in 0..=33 {
                let tag_of = &longer(&tag)[..length];
                let sealed = Sealed {
                    iv: &iv,
                    aad: b"a",
                    ciphertext: &ciphertext,
                    tag: tag_of,
                };
                assert_eq!(
                    open(encryption, &key, sealed).is_some(),
                    length == encryption.tag_len(),
                    "{encryption}, tag of {length}"
                );
                let iv_of = &longer(&iv)[..length];
                let sealed = Sealed {
                    iv: iv_of,
                    tag: &tag,
                    ..sealed
                };
                assert_eq!(
                    open(encryption, &key, sealed).is_some(),
                    length == encryption.iv_len(),
                    "{encryption}, IV of {length}"
                );
                assert_eq!(
                    seal(encryption, &key, iv_of, b"a", b"b").is_some(),
                    length == encryption.iv_len()
                );
            }
        }
    }

    /// A right tag over a wrong padding, and over no block at all, can only come from who has the key;
    /// a wrong tag is never decrypted, whatever its padding.
    #[test]
    fn attack_09_cbc_mac_before_padding() {
        let encryption = ContentEncryption::A128CbcHs256;
        let key = [3; 32];
        let iv = [4; 16];
        for ciphertext in [&[5; 16][..], &[], &[5; 15], &[5; 17], &[6; 32]] {
            let tag = mac(hmac::HMAC_SHA256, &key[..16], b"", &iv, ciphertext);
            let sealed = Sealed {
                iv: &iv,
                aad: b"",
                ciphertext,
                tag: &tag.as_ref()[..16],
            };
            assert!(open(encryption, &key, sealed).is_none());
        }
        let (ciphertext, mut tag) = seal(encryption, &key, &iv, b"", b"x").unwrap();
        for last in 0..=255 {
            let mut iv = iv;
            iv[15] ^= last;
            let sealed = Sealed {
                iv: &iv,
                aad: b"",
                ciphertext: &ciphertext,
                tag: &tag,
            };
            assert_eq!(open(encryption, &key, sealed).is_some(), last == 0);
        }
        tag[15] ^= 1;
        let sealed = Sealed {
            iv: &iv,
            aad: b"",
            ciphertext: &ciphertext,
            tag: &tag,
        };
        assert!(open(encryption, &key, sealed).is_none());
    }

    #[test]
    fn a_key_of_another_length_opens_nothing() {
        for encryption in ContentEncryption::ALL {
            let iv = vec![2; encryption.iv_len()];
            for length in (0..80).filter(|length| *length != encryption.key_len()) {
                assert!(seal(encryption, &vec![0; length], &iv, b"", b"").is_none());
                let sealed = Sealed {
                    iv: &iv,
                    aad: b"",
                    ciphertext: b"",
                    tag: &vec![0; encryption.tag_len()],
                };
                assert!(open(encryption, &vec![0; length], sealed).is_none());
            }
        }
    }
}
