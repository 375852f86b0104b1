//! The protocol's words for the domain's: enums by their names, and the resource names of keys.
//!
//! Server and client share this one table. What the protocol leaves unspecified, or does not know,
//! is `None`: nothing is guessed.

use std::{fmt, str::FromStr};

use crate::{
    algorithm::{AesSize, Algorithm, ContentEncryption, Curve, Hash, KeyType, Purpose, RsaSize},
    key::{Custody, ImportMethod, InvalidKeyName, InvalidKeyVersion, KeyName, KeyVersion, Version},
    proto::v1,
};

pub use platforms::{
    InvalidPlatformResource, PartnerResource, SchemeResource, act_from_proto, act_to_proto,
    scheme_to_proto,
};

mod platforms;

/// A key, or one version of it, as requests name it: `keys/payouts` or `keys/payouts/versions/2`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyResource {
    /// Which key.
    pub key: KeyName,
    /// Which version of it; `None` leaves the choice to the daemon.
    pub version: Option<Version>,
}

/// A text that is not the resource name of a key or of a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyResource {
    /// The shape is wrong.
    #[error("{0:?} is not a resource name: expected keys/KEY or keys/KEY/versions/NUMBER")]
    Shape(String),
    /// The name of the key is wrong.
    #[error(transparent)]
    Name(#[from] InvalidKeyName),
    /// The number of the version is wrong.
    #[error(transparent)]
    Version(#[from] InvalidKeyVersion),
}

impl FromStr for KeyResource {
    type Err = InvalidKeyResource;

    fn from_str(text: &str) -> Result<Self, InvalidKeyResource> {
        let shape = || InvalidKeyResource::Shape(text.chars().take(MAX_SHOWN).collect());
        let rest = text.strip_prefix("keys/").ok_or_else(shape)?;
        let (key, version) = match rest.split_once('/') {
            None => (rest, None),
            Some((key, tail)) => {
                let number = tail.strip_prefix("versions/").ok_or_else(shape)?;
                (key, Some(number.parse()?))
            }
        };
        Ok(Self {
            key: key.parse()?,
            version,
        })
    }
}

impl fmt::Display for KeyResource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "keys/{}", self.key)?;
        match self.version {
            Some(version) => write!(formatter, "/versions/{version}"),
            None => Ok(()),
        }
    }
}

impl From<KeyName> for KeyResource {
    fn from(key: KeyName) -> Self {
        Self { key, version: None }
    }
}

impl From<KeyVersion> for KeyResource {
    fn from(KeyVersion { key, version }: KeyVersion) -> Self {
        Self {
            key,
            version: Some(version),
        }
    }
}

/// The algorithm with this number in the protocol.
pub fn algorithm_from_proto(number: i32) -> Option<Algorithm> {
    Some(match v1::Algorithm::try_from(number).ok()? {
        v1::Algorithm::Unspecified => return None,
        v1::Algorithm::Rs256 => Algorithm::RsaPkcs1(Hash::Sha256),
        v1::Algorithm::Rs384 => Algorithm::RsaPkcs1(Hash::Sha384),
        v1::Algorithm::Rs512 => Algorithm::RsaPkcs1(Hash::Sha512),
        v1::Algorithm::Ps256 => Algorithm::RsaPss(Hash::Sha256),
        v1::Algorithm::Ps384 => Algorithm::RsaPss(Hash::Sha384),
        v1::Algorithm::Ps512 => Algorithm::RsaPss(Hash::Sha512),
        v1::Algorithm::Es256 => Algorithm::Ecdsa(Curve::P256),
        v1::Algorithm::Es384 => Algorithm::Ecdsa(Curve::P384),
        v1::Algorithm::Es512 => Algorithm::Ecdsa(Curve::P521),
        v1::Algorithm::Eddsa => Algorithm::EdDsa,
        v1::Algorithm::Hs256 => Algorithm::Hmac(Hash::Sha256),
        v1::Algorithm::Hs384 => Algorithm::Hmac(Hash::Sha384),
        v1::Algorithm::Hs512 => Algorithm::Hmac(Hash::Sha512),
        v1::Algorithm::RsaOaep => Algorithm::RsaOaep,
        v1::Algorithm::RsaOaep256 => Algorithm::RsaOaep256,
        v1::Algorithm::RsaOaep256Mgf1Sha1 => Algorithm::RsaOaep256Mgf1Sha1,
        v1::Algorithm::Rsa15 => Algorithm::Rsa15,
        v1::Algorithm::EcdhEs => Algorithm::EcdhEs,
        v1::Algorithm::EcdhEsA128kw => Algorithm::EcdhEsA128Kw,
        v1::Algorithm::EcdhEsA256kw => Algorithm::EcdhEsA256Kw,
        v1::Algorithm::A128kw => Algorithm::A128Kw,
        v1::Algorithm::A256kw => Algorithm::A256Kw,
        v1::Algorithm::Dir => Algorithm::Dir,
        v1::Algorithm::Rsa15Private => Algorithm::Rsa15Private,
    })
}

/// An algorithm as the protocol has it.
pub const fn algorithm_to_proto(algorithm: Algorithm) -> v1::Algorithm {
    match algorithm {
        Algorithm::RsaPkcs1(Hash::Sha256) => v1::Algorithm::Rs256,
        Algorithm::RsaPkcs1(Hash::Sha384) => v1::Algorithm::Rs384,
        Algorithm::RsaPkcs1(Hash::Sha512) => v1::Algorithm::Rs512,
        Algorithm::RsaPss(Hash::Sha256) => v1::Algorithm::Ps256,
        Algorithm::RsaPss(Hash::Sha384) => v1::Algorithm::Ps384,
        Algorithm::RsaPss(Hash::Sha512) => v1::Algorithm::Ps512,
        Algorithm::Ecdsa(Curve::P256) => v1::Algorithm::Es256,
        Algorithm::Ecdsa(Curve::P384) => v1::Algorithm::Es384,
        Algorithm::Ecdsa(Curve::P521) => v1::Algorithm::Es512,
        Algorithm::EdDsa => v1::Algorithm::Eddsa,
        Algorithm::Hmac(Hash::Sha256) => v1::Algorithm::Hs256,
        Algorithm::Hmac(Hash::Sha384) => v1::Algorithm::Hs384,
        Algorithm::Hmac(Hash::Sha512) => v1::Algorithm::Hs512,
        Algorithm::RsaOaep => v1::Algorithm::RsaOaep,
        Algorithm::RsaOaep256 => v1::Algorithm::RsaOaep256,
        Algorithm::RsaOaep256Mgf1Sha1 => v1::Algorithm::RsaOaep256Mgf1Sha1,
        Algorithm::Rsa15 => v1::Algorithm::Rsa15,
        Algorithm::EcdhEs => v1::Algorithm::EcdhEs,
        Algorithm::EcdhEsA128Kw => v1::Algorithm::EcdhEsA128kw,
        Algorithm::EcdhEsA256Kw => v1::Algorithm::EcdhEsA256kw,
        Algorithm::A128Kw => v1::Algorithm::A128kw,
        Algorithm::A256Kw => v1::Algorithm::A256kw,
        Algorithm::Dir => v1::Algorithm::Dir,
        Algorithm::Rsa15Private => v1::Algorithm::Rsa15Private,
    }
}

/// The content encryption with this number in the protocol.
pub fn content_encryption_from_proto(number: i32) -> Option<ContentEncryption> {
    Some(match v1::ContentEncryption::try_from(number).ok()? {
        v1::ContentEncryption::Unspecified => return None,
        v1::ContentEncryption::A128gcm => ContentEncryption::A128Gcm,
        v1::ContentEncryption::A192gcm => ContentEncryption::A192Gcm,
        v1::ContentEncryption::A256gcm => ContentEncryption::A256Gcm,
        v1::ContentEncryption::A128cbcHs256 => ContentEncryption::A128CbcHs256,
        v1::ContentEncryption::A192cbcHs384 => ContentEncryption::A192CbcHs384,
        v1::ContentEncryption::A256cbcHs512 => ContentEncryption::A256CbcHs512,
    })
}

/// A content encryption as the protocol has it.
pub const fn content_encryption_to_proto(encryption: ContentEncryption) -> v1::ContentEncryption {
    match encryption {
        ContentEncryption::A128Gcm => v1::ContentEncryption::A128gcm,
        ContentEncryption::A192Gcm => v1::ContentEncryption::A192gcm,
        ContentEncryption::A256Gcm => v1::ContentEncryption::A256gcm,
        ContentEncryption::A128CbcHs256 => v1::ContentEncryption::A128cbcHs256,
        ContentEncryption::A192CbcHs384 => v1::ContentEncryption::A192cbcHs384,
        ContentEncryption::A256CbcHs512 => v1::ContentEncryption::A256cbcHs512,
    }
}

/// The key type with this number in the protocol.
pub fn key_type_from_proto(number: i32) -> Option<KeyType> {
    Some(match v1::KeyType::try_from(number).ok()? {
        v1::KeyType::Unspecified => return None,
        v1::KeyType::Rsa2048 => KeyType::Rsa(RsaSize::Bits2048),
        v1::KeyType::Rsa3072 => KeyType::Rsa(RsaSize::Bits3072),
        v1::KeyType::Rsa4096 => KeyType::Rsa(RsaSize::Bits4096),
        v1::KeyType::EcP256 => KeyType::Ec(Curve::P256),
        v1::KeyType::EcP384 => KeyType::Ec(Curve::P384),
        v1::KeyType::EcP521 => KeyType::Ec(Curve::P521),
        v1::KeyType::Ed25519 => KeyType::Ed25519,
        v1::KeyType::HmacSha256 => KeyType::Hmac(Hash::Sha256),
        v1::KeyType::HmacSha384 => KeyType::Hmac(Hash::Sha384),
        v1::KeyType::HmacSha512 => KeyType::Hmac(Hash::Sha512),
        v1::KeyType::Aes128 => KeyType::Aes(AesSize::Bits128),
        v1::KeyType::Aes256 => KeyType::Aes(AesSize::Bits256),
    })
}

/// A key type as the protocol has it.
pub const fn key_type_to_proto(key_type: KeyType) -> v1::KeyType {
    match key_type {
        KeyType::Rsa(RsaSize::Bits2048) => v1::KeyType::Rsa2048,
        KeyType::Rsa(RsaSize::Bits3072) => v1::KeyType::Rsa3072,
        KeyType::Rsa(RsaSize::Bits4096) => v1::KeyType::Rsa4096,
        KeyType::Ec(Curve::P256) => v1::KeyType::EcP256,
        KeyType::Ec(Curve::P384) => v1::KeyType::EcP384,
        KeyType::Ec(Curve::P521) => v1::KeyType::EcP521,
        KeyType::Ed25519 => v1::KeyType::Ed25519,
        KeyType::Hmac(Hash::Sha256) => v1::KeyType::HmacSha256,
        KeyType::Hmac(Hash::Sha384) => v1::KeyType::HmacSha384,
        KeyType::Hmac(Hash::Sha512) => v1::KeyType::HmacSha512,
        KeyType::Aes(AesSize::Bits128) => v1::KeyType::Aes128,
        KeyType::Aes(AesSize::Bits256) => v1::KeyType::Aes256,
    }
}

/// The purpose with this number in the protocol.
pub fn purpose_from_proto(number: i32) -> Option<Purpose> {
    Some(match v1::KeyPurpose::try_from(number).ok()? {
        v1::KeyPurpose::Unspecified => return None,
        v1::KeyPurpose::Sign => Purpose::Sign,
        v1::KeyPurpose::Mac => Purpose::Mac,
        v1::KeyPurpose::Decrypt => Purpose::Decrypt,
        v1::KeyPurpose::Wrap => Purpose::Wrap,
        v1::KeyPurpose::ProveOrigin => Purpose::ProveOrigin,
    })
}

/// A purpose as the protocol has it.
pub const fn purpose_to_proto(purpose: Purpose) -> v1::KeyPurpose {
    match purpose {
        Purpose::Sign => v1::KeyPurpose::Sign,
        Purpose::Mac => v1::KeyPurpose::Mac,
        Purpose::Decrypt => v1::KeyPurpose::Decrypt,
        Purpose::Wrap => v1::KeyPurpose::Wrap,
        Purpose::ProveOrigin => v1::KeyPurpose::ProveOrigin,
    }
}

/// A class of custody as the protocol has it.
pub const fn custody_to_proto(custody: Custody) -> v1::Custody {
    match custody {
        Custody::TokenOnly => v1::Custody::TokenOnly,
        Custody::WorkerReadable => v1::Custody::WorkerReadable,
    }
}

/// The class of custody with this number in the protocol, where leaving it out means the ordinary one.
pub fn custody_from_proto(number: i32) -> Option<Custody> {
    Some(match v1::Custody::try_from(number).ok()? {
        v1::Custody::Unspecified | v1::Custody::TokenOnly => Custody::TokenOnly,
        v1::Custody::WorkerReadable => Custody::WorkerReadable,
    })
}

/// An import method as the protocol has it.
pub const fn import_method_to_proto(method: ImportMethod) -> v1::ImportMethod {
    match method {
        ImportMethod::RsaOaep3072Sha1Aes256 => v1::ImportMethod::RsaOaep3072Sha1Aes256,
        ImportMethod::RsaOaep3072Sha256Aes256 => v1::ImportMethod::RsaOaep3072Sha256Aes256,
        ImportMethod::RsaOaep3072Sha1 => v1::ImportMethod::RsaOaep3072Sha1,
        ImportMethod::RsaOaep3072Sha256 => v1::ImportMethod::RsaOaep3072Sha256,
    }
}

/// The import method with this number in the protocol.
pub fn import_method_from_proto(number: i32) -> Option<ImportMethod> {
    Some(match v1::ImportMethod::try_from(number).ok()? {
        v1::ImportMethod::Unspecified => return None,
        v1::ImportMethod::RsaOaep3072Sha1Aes256 => ImportMethod::RsaOaep3072Sha1Aes256,
        v1::ImportMethod::RsaOaep3072Sha256Aes256 => ImportMethod::RsaOaep3072Sha256Aes256,
        v1::ImportMethod::RsaOaep3072Sha1 => ImportMethod::RsaOaep3072Sha1,
        v1::ImportMethod::RsaOaep3072Sha256 => ImportMethod::RsaOaep3072Sha256,
    })
}

const MAX_SHOWN: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    /// The name that the protocol gives to a registered one: `RSA-OAEP-256` is `RSA_OAEP_256`.
    fn proto_name(prefix: &str, name: &str) -> String {
        format!(
            "{prefix}_{}",
            name.to_ascii_uppercase().replace(['-', '+'], "_")
        )
    }

    #[test]
    fn algorithms_have_the_name_of_the_registry_and_come_back() {
        for algorithm in Algorithm::ALL {
            let there = algorithm_to_proto(algorithm);
            assert_eq!(
                there.as_str_name(),
                proto_name("ALGORITHM", algorithm.name())
            );
            assert_eq!(algorithm_from_proto(there.into()), Some(algorithm));
        }
        assert_eq!(
            (0..100)
                .filter(|n| algorithm_from_proto(*n).is_some())
                .count(),
            Algorithm::ALL.len()
        );
    }

    #[test]
    fn content_encryptions_have_the_name_of_the_registry_and_come_back() {
        for encryption in ContentEncryption::ALL {
            let there = content_encryption_to_proto(encryption);
            assert_eq!(
                there.as_str_name(),
                proto_name("CONTENT_ENCRYPTION", encryption.name())
            );
            assert_eq!(
                content_encryption_from_proto(there.into()),
                Some(encryption)
            );
        }
        assert_eq!(content_encryption_from_proto(0), None);
    }

    #[test]
    fn key_types_and_purposes_have_their_own_name_and_come_back() {
        for key_type in KeyType::ALL {
            let there = key_type_to_proto(key_type);
            assert_eq!(there.as_str_name(), proto_name("KEY_TYPE", key_type.name()));
            assert_eq!(key_type_from_proto(there.into()), Some(key_type));
        }
        for purpose in Purpose::ALL {
            let there = purpose_to_proto(purpose);
            assert_eq!(
                there.as_str_name(),
                proto_name("KEY_PURPOSE", purpose.name())
            );
            assert_eq!(purpose_from_proto(there.into()), Some(purpose));
        }
        assert_eq!(key_type_from_proto(0), None);
        assert_eq!(purpose_from_proto(0), None);
        assert_eq!(purpose_from_proto(-1), None);
    }

    #[test]
    fn resource_names_are_read_and_written() {
        for good in ["keys/payouts", "keys/payouts/versions/2", "keys/a.b_c-d"] {
            assert_eq!(good.parse::<KeyResource>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "payouts",
            "keys/",
            "keys//versions/1",
            "Keys/payouts",
            "keys/payouts/",
            "keys/payouts/2",
            "keys/payouts/versions/",
            "keys/payouts/versions/0",
            "keys/payouts/versions/01",
            "keys/payouts/versions/1/",
            "/keys/payouts",
            "keys/pay outs",
        ] {
            assert!(bad.parse::<KeyResource>().is_err(), "{bad}");
        }
    }
}
