//! The keys of test vectors, which open what was encrypted to them. They are printed in files, and so
//! keys of nobody.

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rsa::{
    Pkcs1v15Sign, RsaPrivateKey, pkcs8::DecodePrivateKey, pkcs8::EncodePublicKey,
    traits::PublicKeyParts,
};
use zeroize::Zeroizing;

use crate::{
    algorithm::{Algorithm, ContentEncryption, KeyType, Purpose, RsaSize},
    jose::jwe::{Jwe, Step},
    key::{PublicKey, Usage},
    scheme::{
        declared::KeyRole,
        oaep::{OaepHash, OaepHashes},
        opening::{Sealed, SealedContent},
        sealing::Sealing,
    },
};

/// A key of a test vector.
pub(super) enum TestKey {
    /// Its text, as the partner has it.
    Secret(String),
    /// An RSA key.
    Private(Box<RsaPrivateKey>),
}

impl TestKey {
    /// Reads PKCS#8.
    pub(super) fn from_pem(pem: &str) -> Result<Self, String> {
        let key = RsaPrivateKey::from_pkcs8_pem(pem).map_err(|error| error.to_string())?;
        Ok(Self::Private(Box::new(key)))
    }

    /// The public half, if there is one.
    pub(super) fn public(&self) -> Option<PublicKey> {
        let Self::Private(key) = self else {
            return None;
        };
        let spki = key.to_public_key().to_public_key_der().ok()?;
        PublicKey::from_spki(spki.as_bytes()).ok()
    }

    /// Makes the JWE that a token would make the content key of.
    pub(super) fn prove_origin(&self, sealing: &Sealing) -> Result<String, String> {
        let Self::Private(key) = self else {
            return Err("the key of the vector is no private key".to_owned());
        };
        let draft = sealing
            .proving_origin()
            .map_err(|error| error.to_string())?;
        let padding = Pkcs1v15Sign::new_unprefixed();
        let proof = key.sign(padding, draft.content_key());
        let proof = proof.map_err(|error| error.to_string())?;
        draft.finish(&proof).map_err(|error| error.to_string())
    }

    /// Opens what a token would open.
    pub(super) fn open(&self, role: &KeyRole, sealed: &Sealed) -> Result<Vec<u8>, String> {
        match (&sealed.content, self) {
            (SealedContent::Jwe(jwe), Self::Private(key))
                if sealed.algorithm == Algorithm::Rsa15Private =>
            {
                let public = key.to_public_key().to_public_key_der();
                let public = public.map_err(|error| error.to_string())?;
                let public = PublicKey::from_spki(public.as_bytes());
                recover(&public.map_err(|error| error.to_string())?, jwe)
            }
            (SealedContent::Jwe(jwe), Self::Private(key)) => open_jwe(key, sealed.algorithm, jwe),
            (SealedContent::RsaOaep { hashes, ciphertext }, Self::Private(key)) => key
                .decrypt(hashes.padding(), ciphertext)
                .map_err(|error| error.to_string()),
            (
                SealedContent::AesGcm {
                    encryption,
                    iv,
                    aad,
                    ciphertext_and_tag,
                },
                Self::Secret(text),
            ) => {
                let key = role.secret_bytes(text).map_err(|error| error.to_string())?;
                let refused = |_| "AES-GCM refuses key, text or tag".to_owned();
                let algorithm = match encryption {
                    ContentEncryption::A128Gcm => &AES_128_GCM,
                    ContentEncryption::A192Gcm => &AES_192_GCM,
                    _ => &AES_256_GCM,
                };
                let key = LessSafeKey::new(UnboundKey::new(algorithm, &key).map_err(refused)?);
                let nonce = Nonce::try_assume_unique_for_key(iv).map_err(refused)?;
                let mut text = ciphertext_and_tag.clone();
                let opened = key.open_in_place(nonce, Aad::from(aad), &mut text);
                opened.map(|text| text.to_vec()).map_err(refused)
            }
            _ => Err("the key of the vector can't open that".to_owned()),
        }
    }
}

/// Opens what the private half of a key proves the origin of.
pub(super) fn recover(key: &PublicKey, jwe: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(jwe).map_err(|error| error.to_string())?;
    let jwe = Jwe::parse(text).map_err(|error| error.to_string())?;
    let opened = jwe.recovered_with(key).map_err(|error| error.to_string())?;
    Ok(opened.plaintext.to_vec())
}

fn open_jwe(key: &RsaPrivateKey, algorithm: Algorithm, jwe: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(jwe).map_err(|error| error.to_string())?;
    let jwe = Jwe::parse(text).map_err(|error| error.to_string())?;
    let size = RsaSize::from_bits(key.size() * 8).ok_or("a key of another size")?;
    let usage = Usage::new(
        KeyType::Rsa(size),
        Purpose::Decrypt,
        vec![algorithm],
        ContentEncryption::ALL.to_vec(),
        true,
    );
    let usage = usage.map_err(|error| error.to_string())?;
    let opening = jwe.open(0, &usage).map_err(|error| error.to_string())?;
    let hash = match algorithm {
        Algorithm::RsaOaep => OaepHash::Sha1,
        _ => OaepHash::Sha256,
    };
    let hashes = OaepHashes {
        hash,
        mgf1_hash: hash,
    };
    let content_key = match opening.step() {
        Step::Decrypt { encrypted_key } => key.decrypt(hashes.padding(), encrypted_key).ok(),
        Step::Agree { .. } | Step::Unwrap { .. } | Step::Open { .. } => None,
    };
    let opened = opening.finish(content_key.map(Zeroizing::new));
    let opened = opened.map_err(|error| error.to_string())?;
    Ok(opened.plaintext.to_vec())
}
