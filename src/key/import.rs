//! How a key is wrapped on its way into a token.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How a key that is to be imported is wrapped with a token's wrapping key, which is RSA with 3072 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ImportMethod {
    /// RSA-OAEP with SHA-1 over a new AES-256 key, then the key under AES key wrap with padding (RFC 5649).
    RsaOaep3072Sha1Aes256,
    /// The same with SHA-256.
    RsaOaep3072Sha256Aes256,
    /// RSA-OAEP with SHA-1 over the secret itself.
    RsaOaep3072Sha1,
    /// RSA-OAEP with SHA-256 over the secret itself.
    RsaOaep3072Sha256,
}

/// A text that names no method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown import method {0:?}")]
pub struct UnknownImportMethod(String);

impl ImportMethod {
    /// Every method, the ones to be preferred first.
    pub const ALL: [Self; 4] = [
        Self::RsaOaep3072Sha256Aes256,
        Self::RsaOaep3072Sha1Aes256,
        Self::RsaOaep3072Sha256,
        Self::RsaOaep3072Sha1,
    ];

    /// The name in the protocol, without its prefix, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaOaep3072Sha1Aes256 => "rsa-oaep-3072-sha1-aes-256",
            Self::RsaOaep3072Sha256Aes256 => "rsa-oaep-3072-sha256-aes-256",
            Self::RsaOaep3072Sha1 => "rsa-oaep-3072-sha1",
            Self::RsaOaep3072Sha256 => "rsa-oaep-3072-sha256",
        }
    }

    /// Whether OAEP is with SHA-256; else it is with SHA-1.
    pub const fn is_sha256(self) -> bool {
        match self {
            Self::RsaOaep3072Sha256Aes256 | Self::RsaOaep3072Sha256 => true,
            Self::RsaOaep3072Sha1Aes256 | Self::RsaOaep3072Sha1 => false,
        }
    }

    /// Whether there is an AES key in between, which private keys need for their length.
    pub const fn has_aes(self) -> bool {
        match self {
            Self::RsaOaep3072Sha1Aes256 | Self::RsaOaep3072Sha256Aes256 => true,
            Self::RsaOaep3072Sha1 | Self::RsaOaep3072Sha256 => false,
        }
    }
}

impl fmt::Display for ImportMethod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for ImportMethod {
    type Err = UnknownImportMethod;

    fn from_str(text: &str) -> Result<Self, UnknownImportMethod> {
        Self::ALL
            .into_iter()
            .find(|one| one.name() == text)
            .ok_or_else(|| UnknownImportMethod(text.chars().take(64).collect()))
    }
}
