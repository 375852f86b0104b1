//! RSA-OAEP (RFC 8017 section 7.1) to somebody's public key. Both hashes are said by the scheme: the same
//! name means MGF1 with SHA-256 in one library and with SHA-1 in another.

use std::fmt;

use rsa::{Oaep, RsaPublicKey, pkcs8::DecodePublicKey, rand_core::OsRng, traits::PublicKeyParts};

use crate::{
    algorithm::Algorithm,
    key::PublicKey,
    scheme::{
        document::{Fields, Item, SchemeError},
        fault::Fault,
    },
};

/// The hash of the padding, and that of its mask generation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OaepHashes {
    /// The hash of the (empty) label.
    pub hash: OaepHash,
    /// The hash of MGF1.
    pub mgf1_hash: OaepHash,
}

/// A hash that platforms use with OAEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OaepHash {
    /// SHA-1: 20 bytes; no attack on it touches OAEP.
    Sha1,
    /// SHA-256: 32 bytes.
    Sha256,
}

impl OaepHashes {
    /// Takes `hash` and `mgf1_hash`, which must be those of the key's algorithm.
    pub(super) fn parse(
        entries: &mut Fields<'_>,
        algorithm: Algorithm,
    ) -> Result<Self, SchemeError> {
        let item = entries.take("hash")?;
        let hash = OaepHash::parse(&item)?;
        let mgf1_item = entries.take("mgf1_hash")?;
        let mgf1_hash = OaepHash::parse(&mgf1_item)?;
        let expected = match (hash, mgf1_hash) {
            (OaepHash::Sha1, OaepHash::Sha1) => Algorithm::RsaOaep,
            (OaepHash::Sha256, OaepHash::Sha256) => Algorithm::RsaOaep256,
            (OaepHash::Sha256, OaepHash::Sha1) => Algorithm::RsaOaep256Mgf1Sha1,
            (OaepHash::Sha1, OaepHash::Sha256) => {
                let message = "expected sha1, since hash is; no library has sha256 under it";
                return Err(mgf1_item.refuse("WRONG_VALUE", message));
            }
        };
        if algorithm != expected {
            let message = format!(
                "with {hash}, and {mgf1_hash} for MGF1, the key's algorithm must be {expected}, and it is {algorithm}"
            );
            return Err(item.refuse("WRONG_KEY", message));
        }
        Ok(Self { hash, mgf1_hash })
    }

    /// Encrypts to the key.
    pub(super) fn encrypt(self, key: &PublicKey, plaintext: &[u8]) -> Result<Vec<u8>, Fault> {
        let rsa = Fault::Key("an RSA key");
        let key = RsaPublicKey::from_public_key_der(key.der()).map_err(|_| rsa)?;
        let most = key.size().saturating_sub(2 * self.hash.len() + 2);
        if plaintext.len() > most {
            return Err(Fault::TooLongForKey {
                length: plaintext.len(),
                bits: key.n().bits(),
                most,
            });
        }
        key.encrypt(&mut OsRng, self.padding(), plaintext)
            .map_err(|_| Fault::Key("an RSA key that can encrypt"))
    }

    pub(super) fn padding(self) -> Oaep {
        use rsa::sha2::Sha256;
        use sha1::Sha1;
        match (self.hash, self.mgf1_hash) {
            (OaepHash::Sha1, OaepHash::Sha1) => Oaep::new::<Sha1>(),
            (OaepHash::Sha1, OaepHash::Sha256) => Oaep::new_with_mgf_hash::<Sha1, Sha256>(),
            (OaepHash::Sha256, OaepHash::Sha1) => Oaep::new_with_mgf_hash::<Sha256, Sha1>(),
            (OaepHash::Sha256, OaepHash::Sha256) => Oaep::new::<Sha256>(),
        }
    }
}

impl OaepHash {
    const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        match item.text()? {
            "sha1" => Ok(Self::Sha1),
            "sha256" => Ok(Self::Sha256),
            other => Err(item.refuse(
                "WRONG_VALUE",
                format!("expected sha1 or sha256, found {other:?}"),
            )),
        }
    }
}

impl fmt::Display for OaepHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        })
    }
}
