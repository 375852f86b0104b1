//! The one list of algorithms: what each is called, which keys it fits, which hash it takes.
//!
//! Names are those of the IANA registry "JSON Web Signature and Encryption Algorithms" (RFC 7518,
//! RFC 8037), in configuration, policy, protocol and logs alike; `RSA-OAEP-256-MGF1-SHA1` and `RSA1_5-PRIVATE` alone are not registered.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use content_encryption::ContentEncryption;
pub use key_type::{AesSize, Curve, KeyType, RsaSize};

mod content_encryption;
mod key_type;

/// What one signature, MAC, key agreement or key encryption is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2) with this hash.
    RsaPkcs1(Hash),
    /// RSASSA-PSS (RFC 8017 section 8.1), MGF1 with the same hash, salt as long as the hash.
    RsaPss(Hash),
    /// ECDSA (FIPS 186-5) on this curve with the curve's hash.
    Ecdsa(Curve),
    /// Ed25519 (RFC 8032).
    EdDsa,
    /// HMAC (RFC 2104) with this hash.
    Hmac(Hash),
    /// RSAES-OAEP with SHA-1 and MGF1-SHA-1 (RFC 7518 section 4.3).
    RsaOaep,
    /// RSAES-OAEP with SHA-256 and MGF1-SHA-256 (RFC 7518 section 4.3).
    RsaOaep256,
    /// RSAES-OAEP with SHA-256 and MGF1-SHA-1: what Java's own provider makes of `OAEPWithSHA-256AndMGF1Padding`.
    ///
    /// For single values alone; no JWE has it. No name is registered for it; this one is of this project.
    RsaOaep256Mgf1Sha1,
    /// RSAES-PKCS1-v1_5 (RFC 7518 section 4.2), under the rule of RFC 7516 section 11.5.
    Rsa15,
    /// ECDH-ES, the agreed key encrypts the content (RFC 7518 section 4.6).
    EcdhEs,
    /// ECDH-ES, the agreed key unwraps with 128-bit AES key wrap.
    EcdhEsA128Kw,
    /// ECDH-ES, the agreed key unwraps with 256-bit AES key wrap.
    EcdhEsA256Kw,
    /// AES key wrap (RFC 3394) with a 128-bit key.
    A128Kw,
    /// AES key wrap (RFC 3394) with a 256-bit key.
    A256Kw,
    /// The key itself encrypts the content (RFC 7518 section 4.5).
    Dir,
    /// RSA PKCS#1 v1.5, block type 1 (RFC 8017 section 9.2), over a content key instead of a DigestInfo: what some
    /// platforms call to encrypt with the private key.
    ///
    /// It proves who made the key, and keeps nothing secret: whoever has the public key recovers it. No name is
    /// registered for it; this one is of this project. A key for it is for nothing else, so that what it
    /// makes can't be taken for a signature.
    Rsa15Private,
}

/// A member of the SHA-2 family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hash {
    /// SHA-256: 32 bytes.
    Sha256,
    /// SHA-384: 48 bytes.
    Sha384,
    /// SHA-512: 64 bytes.
    Sha512,
}

/// The one thing that a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Signatures.
    Sign,
    /// Message authentication codes.
    Mac,
    /// Decryption and key agreement.
    Decrypt,
    /// Wrapping of other keys.
    Wrap,
    /// Making content keys that everybody can recover and that nobody else can have made: proof of origin, no secrecy.
    #[serde(rename = "prove-origin")]
    ProveOrigin,
}

/// A name that is in none of the lists of this room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} {name:?}; expected one of {expected}")]
pub struct UnknownName {
    kind: &'static str,
    name: String,
    expected: String,
}

impl Algorithm {
    /// Every algorithm, in the order of the registry.
    pub const ALL: [Self; 24] = [
        Self::RsaPkcs1(Hash::Sha256),
        Self::RsaPkcs1(Hash::Sha384),
        Self::RsaPkcs1(Hash::Sha512),
        Self::RsaPss(Hash::Sha256),
        Self::RsaPss(Hash::Sha384),
        Self::RsaPss(Hash::Sha512),
        Self::Ecdsa(Curve::P256),
        Self::Ecdsa(Curve::P384),
        Self::Ecdsa(Curve::P521),
        Self::EdDsa,
        Self::Hmac(Hash::Sha256),
        Self::Hmac(Hash::Sha384),
        Self::Hmac(Hash::Sha512),
        Self::RsaOaep,
        Self::RsaOaep256,
        Self::RsaOaep256Mgf1Sha1,
        Self::Rsa15,
        Self::EcdhEs,
        Self::EcdhEsA128Kw,
        Self::EcdhEsA256Kw,
        Self::A128Kw,
        Self::A256Kw,
        Self::Dir,
        Self::Rsa15Private,
    ];

    /// The registered name, such as `RS256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaPkcs1(Hash::Sha256) => "RS256",
            Self::RsaPkcs1(Hash::Sha384) => "RS384",
            Self::RsaPkcs1(Hash::Sha512) => "RS512",
            Self::RsaPss(Hash::Sha256) => "PS256",
            Self::RsaPss(Hash::Sha384) => "PS384",
            Self::RsaPss(Hash::Sha512) => "PS512",
            Self::Ecdsa(Curve::P256) => "ES256",
            Self::Ecdsa(Curve::P384) => "ES384",
            Self::Ecdsa(Curve::P521) => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Hmac(Hash::Sha256) => "HS256",
            Self::Hmac(Hash::Sha384) => "HS384",
            Self::Hmac(Hash::Sha512) => "HS512",
            Self::RsaOaep => "RSA-OAEP",
            Self::RsaOaep256 => "RSA-OAEP-256",
            Self::RsaOaep256Mgf1Sha1 => "RSA-OAEP-256-MGF1-SHA1",
            Self::Rsa15 => "RSA1_5",
            Self::EcdhEs => "ECDH-ES",
            Self::EcdhEsA128Kw => "ECDH-ES+A128KW",
            Self::EcdhEsA256Kw => "ECDH-ES+A256KW",
            Self::A128Kw => "A128KW",
            Self::A256Kw => "A256KW",
            Self::Dir => "dir",
            Self::Rsa15Private => "RSA1_5-PRIVATE",
        }
    }

    /// What a key must be for, to be used with this algorithm.
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::RsaPkcs1(_) | Self::RsaPss(_) | Self::Ecdsa(_) | Self::EdDsa => Purpose::Sign,
            Self::Hmac(_) => Purpose::Mac,
            Self::RsaOaep
            | Self::RsaOaep256
            | Self::RsaOaep256Mgf1Sha1
            | Self::Rsa15
            | Self::EcdhEs
            | Self::EcdhEsA128Kw
            | Self::EcdhEsA256Kw
            | Self::Dir => Purpose::Decrypt,
            Self::A128Kw | Self::A256Kw => Purpose::Wrap,
            Self::Rsa15Private => Purpose::ProveOrigin,
        }
    }

    /// Whether it decrypts single values alone: no JWE has it.
    pub const fn is_for_values(self) -> bool {
        matches!(self, Self::RsaOaep256Mgf1Sha1)
    }

    /// Whether a key of this type can be used with this algorithm.
    ///
    /// A secret for HMAC must be at least as long as the hash (RFC 7518 section 3.2), so one made for
    /// SHA-512 also serves SHA-256, but not the other way round.
    pub fn fits(self, key_type: KeyType) -> bool {
        match self {
            Self::RsaPkcs1(_)
            | Self::RsaPss(_)
            | Self::RsaOaep
            | Self::RsaOaep256
            | Self::RsaOaep256Mgf1Sha1
            | Self::Rsa15
            | Self::Rsa15Private => matches!(key_type, KeyType::Rsa(_)),
            Self::Ecdsa(curve) => key_type == KeyType::Ec(curve),
            Self::EdDsa => key_type == KeyType::Ed25519,
            Self::Hmac(hash) => matches!(key_type, KeyType::Hmac(made_for) if made_for >= hash),
            Self::EcdhEs | Self::EcdhEsA128Kw | Self::EcdhEsA256Kw => {
                matches!(key_type, KeyType::Ec(_))
            }
            Self::A128Kw => key_type == KeyType::Aes(AesSize::Bits128),
            Self::A256Kw => key_type == KeyType::Aes(AesSize::Bits256),
            Self::Dir => matches!(key_type, KeyType::Aes(_)),
        }
    }

    /// The hash that is applied to the message outside the token; `None` where the token must see
    /// the message itself (EdDSA, HMAC) or nothing is signed.
    pub const fn prehash(self) -> Option<Hash> {
        match self {
            Self::RsaPkcs1(hash) | Self::RsaPss(hash) => Some(hash),
            Self::Ecdsa(curve) => Some(curve.hash()),
            Self::EdDsa
            | Self::Hmac(_)
            | Self::RsaOaep
            | Self::RsaOaep256
            | Self::RsaOaep256Mgf1Sha1
            | Self::Rsa15
            | Self::EcdhEs
            | Self::EcdhEsA128Kw
            | Self::EcdhEsA256Kw
            | Self::A128Kw
            | Self::A256Kw
            | Self::Dir
            | Self::Rsa15Private => None,
        }
    }
}

impl Hash {
    /// Length of the digest in bytes.
    pub const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// A digest is never empty.
    pub const fn is_empty(self) -> bool {
        false
    }

    /// The digest of a message.
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        use sha2::Digest;
        match self {
            Self::Sha256 => sha2::Sha256::digest(message).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(message).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(message).to_vec(),
        }
    }
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 5] = [
        Self::Sign,
        Self::Mac,
        Self::Decrypt,
        Self::Wrap,
        Self::ProveOrigin,
    ];

    /// The name in configuration and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Mac => "mac",
            Self::Decrypt => "decrypt",
            Self::Wrap => "wrap",
            Self::ProveOrigin => "prove-origin",
        }
    }
}

/// Gives a closed list `Display`, `FromStr` and serde by its `ALL` and `name`: five types would
/// otherwise repeat the same thirty lines.
macro_rules! by_name {
    ($type:ty, $kind:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                Self::ALL
                    .into_iter()
                    .find(|one| one.name() == text)
                    .ok_or_else(|| UnknownName {
                        kind: $kind,
                        name: text.chars().take(64).collect(),
                        expected: Self::ALL.map(Self::name).join(", "),
                    })
            }
        }
    };
    ($type:ty, $kind:literal, serde) => {
        by_name!($type, $kind);

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

by_name!(Algorithm, "algorithm", serde);

by_name!(ContentEncryption, "content encryption", serde);

by_name!(KeyType, "key type");

by_name!(Purpose, "purpose");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back_and_no_other_does() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        for encryption in ContentEncryption::ALL {
            assert_eq!(encryption.name().parse(), Ok(encryption));
        }
        for key_type in KeyType::ALL {
            assert_eq!(key_type.name().parse(), Ok(key_type));
        }
        for wrong in ["", "none", "None", "rs256", "RS256 ", "HS1", "*"] {
            assert!(wrong.parse::<Algorithm>().is_err(), "{wrong:?} parsed");
        }
    }

    /// RFC 7518 section 3.2: a key of the hash's size or larger.
    #[test]
    fn an_hmac_secret_serves_its_own_hash_and_smaller_ones() {
        let secret = KeyType::Hmac(Hash::Sha384);
        assert!(Algorithm::Hmac(Hash::Sha256).fits(secret));
        assert!(Algorithm::Hmac(Hash::Sha384).fits(secret));
        assert!(!Algorithm::Hmac(Hash::Sha512).fits(secret));
    }

    #[test]
    fn no_algorithm_fits_two_families_of_keys() {
        for algorithm in Algorithm::ALL {
            let asymmetric = KeyType::ALL
                .into_iter()
                .filter(|key_type| algorithm.fits(*key_type))
                .map(KeyType::is_asymmetric)
                .collect::<std::collections::BTreeSet<_>>();
            assert_eq!(asymmetric.len(), 1, "{algorithm}");
        }
    }
}
