//! What can be permitted, and what each of it is about.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

/// What a caller asks to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Make a signature or a MAC.
    Sign,
    /// Verify a signature or a MAC.
    Verify,
    /// Encrypt, to a key of the token or to a public key from outside.
    Encrypt,
    /// Decrypt.
    Decrypt,
    /// See a key's metadata, public half and place in a key set.
    Get,
    /// Make a key.
    Create,
    /// Bring in a key, or a version of one, that was made elsewhere.
    Import,
    /// Have a key sign a certificate request for itself.
    RequestCertificate,
    /// Get random bytes.
    GenerateRandom,
}

/// What an operation is about, and so which lists a rule for it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// A key.
    pub key: Need,
    /// An algorithm.
    pub algorithm: Need,
}

/// Whether an operation is about something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Every request has one, and a rule must list it.
    Always,
    /// Some requests have one. For those a rule must list it; the others it allows with or without
    /// the list. Algorithms that are listed also hold for a request without a key.
    Sometimes,
    /// No request has one.
    Never,
}

/// A text that names no operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown operation {0:?}; expected one of sign, verify, encrypt, decrypt, get, create, import, request_certificate, generate_random"
)]
pub struct UnknownOperation(String);

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 9] = [
        Self::Sign,
        Self::Verify,
        Self::Encrypt,
        Self::Decrypt,
        Self::Get,
        Self::Create,
        Self::Import,
        Self::RequestCertificate,
        Self::GenerateRandom,
    ];

    /// The name in policy files and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Verify => "verify",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Get => "get",
            Self::Create => "create",
            Self::Import => "import",
            Self::RequestCertificate => "request_certificate",
            Self::GenerateRandom => "generate_random",
        }
    }

    /// What it is about.
    pub const fn needs(self) -> Needs {
        use Need::{Always, Never, Sometimes};
        let (key, algorithm) = match self {
            Self::Sign => (Always, Always),
            Self::Verify => (Always, Always),
            // To a public key from outside it concerns no key of ours.
            Self::Encrypt => (Sometimes, Sometimes),
            Self::Decrypt => (Always, Always),
            Self::Get => (Always, Never),
            Self::Create => (Always, Always),
            Self::Import => (Always, Always),
            Self::RequestCertificate => (Always, Always),
            Self::GenerateRandom => (Never, Never),
        };
        Needs { key, algorithm }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, UnknownOperation> {
        Self::ALL
            .into_iter()
            .find(|one| one.name() == text)
            .ok_or_else(|| UnknownOperation(text.chars().take(40).collect()))
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
