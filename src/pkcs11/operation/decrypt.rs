//! RSA decryption: all of it in the token, or the raw operation there and the decoding of its result here.

use cryptoki::mechanism::Mechanism;
use zeroize::Zeroizing;

use super::Lane;
use crate::pkcs11::{
    errors::{Fault, Treatment, Work},
    oaep::{self, Hashes},
    protocol::{DecryptWith, KeyReference},
};

impl Lane {
    pub(super) fn decrypt(
        &mut self,
        key: &KeyReference,
        with: DecryptWith,
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let hashes = match with {
            DecryptWith::RsaOaepSha256 => Some(Hashes::Sha256),
            DecryptWith::RsaOaepSha256Mgf1Sha1 => Some(Hashes::Sha256Mgf1Sha1),
            DecryptWith::RsaOaepSha1 | DecryptWith::RsaPkcs1 => None,
        };
        let mechanism = match (with.mechanism(&self.module.capabilities), hashes) {
            (Some(mechanism), _) => mechanism,
            (None, Some(hashes)) => return self.decrypt_raw(key, hashes, ciphertext),
            (None, None) => {
                let code = "no mechanism for this padding";
                return Err(Fault::new(Treatment::Configuration, "C_Decrypt", code));
            }
        };
        self.with_key(key, Work::Callers, |session, handle, _| {
            session.decrypt(&mechanism, handle.object, ciphertext)
        })
    }

    fn decrypt_raw(
        &mut self,
        key: &KeyReference,
        hashes: Hashes,
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let block = self.with_key(key, Work::Callers, |session, handle, _| {
            session.decrypt(&Mechanism::RsaX509, handle.object, ciphertext)
        });
        let block = Zeroizing::new(block?);
        // Some tokens drop leading zeros of the raw result.
        let mut whole = Zeroizing::new(vec![0; ciphertext.len().saturating_sub(block.len())]);
        whole.extend_from_slice(&block);
        // What a token says that does all of it; it must not look like an empty message.
        oaep::decode(&whole, hashes)
            .map(|plain| plain.to_vec())
            .ok_or_else(|| {
                let code = "EncryptedDataInvalid";
                Fault::new(Treatment::CallersInput, "C_Decrypt", code)
            })
    }
}
