//! Names of keys, what a key may be used for, and public keys in the forms that people ask for.

use std::{fmt, num::NonZeroU32, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::algorithm::{Algorithm, ContentEncryption, KeyType, Purpose};

pub use import::{ImportMethod, UnknownImportMethod};
pub use origin::InvalidOrigin;
pub(crate) use origin::LENGTHS as CONTENT_KEY_LENGTHS;
pub use public::{Input, InvalidPublicKey, PublicKey, Verifier, pem};

pub mod ecdsa;
mod import;
mod origin;
mod public;

/// The name of a key: 1 to 64 of `A-Z a-z 0-9 . _ -`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(Arc<str>);

/// The number of a version: 1, 2, 3 and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(NonZeroU32);

/// A version of a key; `payouts/2` is its label in the token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyVersion {
    /// Which key.
    pub key: KeyName,
    /// Which version of it.
    pub version: Version,
}

/// What one key is for: its purpose and what it may be used with. Nothing outside of it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    key_type: KeyType,
    purpose: Purpose,
    algorithms: Vec<Algorithm>,
    content_encryptions: Vec<ContentEncryption>,
    compression_allowed: bool,
}

/// Who can ever see the bytes of a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Custody {
    /// The token alone: the ordinary class, and the only one that keys are made in.
    #[default]
    TokenOnly,
    /// The token, and for the length of an operation the worker beside it, which puts the secret into a message that
    /// it is part of. The weaker class: the token lets whoever has its PIN read the secret.
    WorkerReadable,
}

/// A text that is not the name of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a key name: expected 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit"
)]
pub struct InvalidKeyName(String);

/// A text that is not `NAME/VERSION`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyVersion {
    /// The part before the slash.
    #[error(transparent)]
    Name(#[from] InvalidKeyName),
    /// The part after the slash.
    #[error(
        "{0:?} is not a version: expected a number from 1 to 4294967295, without leading zeros"
    )]
    Version(String),
}

/// A combination of type, purpose and algorithms that makes no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsage {
    /// There is no algorithm at all.
    #[error("a key needs at least one algorithm; none was given")]
    NoAlgorithm,
    /// An algorithm that can't be used with keys of this type.
    #[error("{algorithm} can't be used with a key of type {key_type}")]
    Type {
        /// The algorithm.
        algorithm: Algorithm,
        /// The type of the key.
        key_type: KeyType,
    },
    /// An algorithm that is for another purpose.
    #[error("{algorithm} is for keys whose purpose is {}; this one's is {purpose}", algorithm.purpose())]
    Purpose {
        /// The algorithm.
        algorithm: Algorithm,
        /// The purpose of the key.
        purpose: Purpose,
    },
    /// A key that opens JWE without a list of content encryptions.
    #[error("a key for {0} needs at least one content encryption, such as A256GCM; none was given")]
    NoContentEncryption(Purpose),
    /// A key that opens single values alone, with a list of content encryptions.
    #[error(
        "{0} is for single values: no JWE has it, and a key for it takes no content encryptions and no compression"
    )]
    NoJwe(Algorithm),
    /// A key that signs, with a list of content encryptions.
    #[error(
        "content encryptions and compression are for keys that decrypt or wrap; this one is for {0}"
    )]
    ContentEncryption(Purpose),
    /// `dir` encrypts in the token, which has AES-GCM with keys of its own size only.
    #[error(
        "dir with a key of type {key_type} can only be used with {expected}; {given} was given"
    )]
    Dir {
        /// The type of the key.
        key_type: KeyType,
        /// What fits it.
        expected: ContentEncryption,
        /// What was asked for.
        given: ContentEncryption,
    },
    /// RSA PKCS#1 v1.5 decryption beside OAEP: one opens messages meant for the other.
    #[error("a key may be used with one RSA decryption padding only; several were given")]
    SeveralPaddings,
}

impl Custody {
    /// The name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenOnly => "token-only",
            Self::WorkerReadable => "worker-readable",
        }
    }
}

impl fmt::Display for Custody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl KeyName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = InvalidKeyName;

    fn from_str(text: &str) -> Result<Self, InvalidKeyName> {
        let good = text.len() <= MAX_NAME
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if good {
            Ok(Self(text.into()))
        } else {
            Err(InvalidKeyName(text.chars().take(MAX_NAME + 1).collect()))
        }
    }
}

impl TryFrom<String> for KeyName {
    type Error = InvalidKeyName;

    fn try_from(text: String) -> Result<Self, InvalidKeyName> {
        text.parse()
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Version {
    /// The first version of every key.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The version with this number; there is no version 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0.get()
    }
}

impl FromStr for Version {
    type Err = InvalidKeyVersion;

    fn from_str(text: &str) -> Result<Self, InvalidKeyVersion> {
        let canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|_| canonical)
            .and_then(Self::new)
            .ok_or_else(|| InvalidKeyVersion::Version(text.chars().take(16).collect()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for KeyVersion {
    type Err = InvalidKeyVersion;

    /// Reads `NAME/VERSION`; a name alone is version 1, as for keys that others made.
    fn from_str(label: &str) -> Result<Self, InvalidKeyVersion> {
        Ok(match label.split_once('/') {
            Some((key, version)) => Self {
                key: key.parse()?,
                version: version.parse()?,
            },
            None => Self {
                key: label.parse()?,
                version: Version::FIRST,
            },
        })
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.key, self.version)
    }
}

impl Usage {
    /// Checks that type, purpose and algorithms go together.
    ///
    /// # Errors
    ///
    /// [`InvalidUsage`] says which two things do not.
    pub fn new(
        key_type: KeyType,
        purpose: Purpose,
        algorithms: Vec<Algorithm>,
        content_encryptions: Vec<ContentEncryption>,
        compression_allowed: bool,
    ) -> Result<Self, InvalidUsage> {
        if algorithms.is_empty() {
            return Err(InvalidUsage::NoAlgorithm);
        }
        for algorithm in algorithms.iter().copied() {
            if algorithm.purpose() != purpose {
                return Err(InvalidUsage::Purpose { algorithm, purpose });
            }
            if !algorithm.fits(key_type) {
                return Err(InvalidUsage::Type {
                    algorithm,
                    key_type,
                });
            }
        }
        let paddings = algorithms
            .iter()
            .filter(|one| {
                matches!(
                    one,
                    Algorithm::RsaOaep
                        | Algorithm::RsaOaep256
                        | Algorithm::RsaOaep256Mgf1Sha1
                        | Algorithm::Rsa15
                )
            })
            .collect::<std::collections::BTreeSet<_>>();
        if paddings.len() > 1 {
            return Err(InvalidUsage::SeveralPaddings);
        }
        Self::check_content(
            purpose,
            &algorithms,
            &content_encryptions,
            compression_allowed,
        )?;
        if algorithms.contains(&Algorithm::Dir) {
            let expected = match key_type {
                KeyType::Aes(crate::algorithm::AesSize::Bits128) => ContentEncryption::A128Gcm,
                _ => ContentEncryption::A256Gcm,
            };
            if let Some(given) = content_encryptions
                .iter()
                .copied()
                .find(|one| *one != expected)
            {
                return Err(InvalidUsage::Dir {
                    key_type,
                    expected,
                    given,
                });
            }
        }
        Ok(Self {
            key_type,
            purpose,
            algorithms,
            content_encryptions,
            compression_allowed,
        })
    }

    /// Checks that a key has content encryptions if it opens or makes JWE, and else has none.
    ///
    /// # Errors
    ///
    /// [`InvalidUsage`].
    pub fn check_content(
        purpose: Purpose,
        algorithms: &[Algorithm],
        content_encryptions: &[ContentEncryption],
        compression_allowed: bool,
    ) -> Result<(), InvalidUsage> {
        let for_values = algorithms.iter().copied().find(|one| one.is_for_values());
        let none = content_encryptions.is_empty() && !compression_allowed;
        match (purpose, for_values) {
            (Purpose::Decrypt | Purpose::Wrap, None) if content_encryptions.is_empty() => {
                Err(InvalidUsage::NoContentEncryption(purpose))
            }
            (Purpose::Decrypt | Purpose::Wrap, Some(algorithm)) if !none => {
                Err(InvalidUsage::NoJwe(algorithm))
            }
            (Purpose::Sign | Purpose::Mac | Purpose::ProveOrigin, _) if !none => {
                Err(InvalidUsage::ContentEncryption(purpose))
            }
            _ => Ok(()),
        }
    }

    /// What the key is made of.
    pub const fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// What the key is for.
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// What it may be used with; never empty.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// The content encryptions of the JWE that it opens; empty for keys that sign.
    pub fn content_encryptions(&self) -> &[ContentEncryption] {
        &self.content_encryptions
    }

    /// Whether a JWE that it opens may be compressed.
    pub const fn compression_allowed(&self) -> bool {
        self.compression_allowed
    }

    /// Whether it may be used with this algorithm.
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{Curve, Hash, RsaSize};

    #[test]
    fn names_are_what_the_grammar_says() {
        for good in ["a", "payouts", "JWT-1", "0", "a.b_c-d"] {
            assert!(good.parse::<KeyName>().is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in ["", "-a", ".", "a b", "a/b", "é", "a\0", long.as_str(), "a*"] {
            assert!(bad.parse::<KeyName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_label_without_a_version_is_version_one() {
        let adopted: KeyVersion = "payouts".parse().unwrap();
        assert_eq!(adopted.to_string(), "payouts/1");
        assert_eq!(
            "payouts/12".parse::<KeyVersion>().unwrap().version.number(),
            12
        );
        for bad in [
            "payouts/",
            "payouts/0",
            "payouts/01",
            "payouts/+1",
            "a/1/2",
            "a/4294967296",
        ] {
            assert!(bad.parse::<KeyVersion>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_usage_whose_parts_do_not_go_together_is_refused() {
        let rsa = KeyType::Rsa(RsaSize::Bits2048);
        let signs = |algorithms| Usage::new(rsa, Purpose::Sign, algorithms, vec![], false);
        assert!(signs(vec![Algorithm::RsaPkcs1(Hash::Sha256)]).is_ok());
        assert_eq!(signs(vec![]), Err(InvalidUsage::NoAlgorithm));
        assert!(matches!(
            signs(vec![Algorithm::Ecdsa(Curve::P256)]),
            Err(InvalidUsage::Type { .. })
        ));
        assert!(matches!(
            signs(vec![Algorithm::RsaOaep]),
            Err(InvalidUsage::Purpose { .. })
        ));
        assert_eq!(
            Usage::new(
                rsa,
                Purpose::Decrypt,
                vec![Algorithm::RsaOaep256, Algorithm::Rsa15],
                vec![ContentEncryption::A256Gcm],
                false
            ),
            Err(InvalidUsage::SeveralPaddings)
        );
        assert_eq!(
            Usage::new(
                rsa,
                Purpose::Decrypt,
                vec![Algorithm::RsaOaep256],
                vec![],
                false
            ),
            Err(InvalidUsage::NoContentEncryption(Purpose::Decrypt))
        );
    }
}
