//! Why a platform's message was not dealt with, through a fault of the caller, the configuration or this daemon.
//! What the message itself lacks is no error but a verdict.

use crate::{
    jose::jwe::EncryptError,
    scheme::{EvaluationError, Refusal, SchemeName},
    store::StoreError,
};

/// Why a platform's message was not dealt with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PlatformError {
    /// A scheme whose messages bring access tokens, and the partner's file says of none that we issue.
    #[error(
        "the partner's file has no access_tokens, or their key makes no MACs; say there which key they are made with"
    )]
    NoAccessTokens,
    /// The scheme does not do this.
    #[error("the scheme {scheme} has no [{part}]")]
    NoPart {
        /// Which scheme.
        scheme: String,
        /// Which part of it.
        part: &'static str,
    },
    /// An input that the scheme does not ask for.
    #[error("the scheme {scheme} asks for no input {name:?}; it asks for {}", list(.known))]
    UnknownInput {
        /// Which scheme.
        scheme: SchemeName,
        /// What came.
        name: String,
        /// What could have.
        known: Vec<String>,
    },
    /// A value that the scheme does not make.
    #[error("the scheme {scheme} makes no value {name:?} that could be given; it makes {}", list(.known))]
    UnknownValue {
        /// Which scheme.
        scheme: SchemeName,
        /// What came.
        name: String,
        /// What could have.
        known: Vec<String>,
    },
    /// What the caller gave to be signed or encrypted can't be.
    #[error("{0}")]
    Message(EvaluationError),
    /// A role that takes a key of ours, and the partner's file has none for it.
    #[error("the role {0:?} has no key of ours in the partner's file")]
    NoTokenKey(String),
    /// A JWE that can't be made.
    #[error("{0}")]
    Encrypt(#[from] EncryptError),
    /// A field that can't be decrypted. Its causes look alike to the caller.
    #[error("the value could not be decrypted")]
    Decryption,
    /// The token can't do what the scheme needs.
    #[error("{0}")]
    NotSupported(&'static str),
    /// The message can't be remembered, and so not be told from one that is sent again.
    #[error("{0}")]
    Memory(StoreError),
    /// The system has no random bytes.
    #[error("the system gave no random bytes")]
    NoRandom,
}

impl From<Refusal> for PlatformError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoPart { scheme, part } => Self::NoPart { scheme, part },
            Refusal::Message(error) => Self::Message(error),
        }
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}
