//! Why the token gave no result, and whether trying again makes sense.

use super::{
    errors::{Fault, Treatment},
    import::ImportError,
};
use crate::{
    key::{KeyName, KeyVersion},
    policy::Operation,
};

/// Why the token gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The queue for a free thread is full.
    #[error("too many operations wait for the token already: {limit}, or too many bytes")]
    QueueFull {
        /// How many may wait.
        limit: usize,
    },
    /// The caller's deadline came while the job waited.
    #[error("the deadline came before the token was free")]
    Deadline,
    /// The operation did not end in its time, and its worker was killed.
    #[error("the token did not answer in time; the operation was given up")]
    Hung,
    /// The worker died during the operation.
    #[error("the process that speaks to the token died during the operation")]
    Lost,
    /// The worker died while it changed something, which may or may not have been done.
    #[error(
        "the process that speaks to the token died while it made or imported the key; look whether it is there before trying again"
    )]
    OutcomeUnknown,
    /// No worker can be had.
    #[error("the token is not available: {0}")]
    Down(String),
    /// The token refused or failed.
    #[error("{0}")]
    Fault(Fault),
    /// A permit for something else came with the job: a fault of this program.
    #[error("the permit is to {0}, which is not what was asked of the token")]
    WrongPermit(Operation),
    /// The job is larger than a frame.
    #[error("the input is larger than a worker takes")]
    TooLarge,
    /// The key went away, or is of a kind that the operation does not fit.
    #[error("{0} is not in the token any more, or can't do this")]
    NoSuchKey(KeyVersion),
    /// A secret that is not for the worker to read, as a part of a message.
    #[error(
        "{0} is not a secret that may be part of a message; only one that was imported as worker-readable is"
    )]
    NotReadable(KeyVersion),
    /// A content key that is too short or too long to be made provable.
    #[error("a content key of {0} bytes; expected 16 to 32")]
    ContentKeyLength(usize),
    /// A key from elsewhere was not taken; nothing is left of it.
    #[error("{0}")]
    Import(#[from] ImportError),
    /// A key of that name is there already.
    #[error("a key named {0} is there already")]
    Exists(KeyName),
}

impl TokenError {
    /// The reason that callers are told, for good.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::QueueFull { .. } => "TOKEN_BUSY",
            Self::Deadline => "DEADLINE_EXCEEDED",
            Self::Hung => "TOKEN_HUNG",
            Self::Lost => "TOKEN_LOST",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::Down(_) => "TOKEN_UNAVAILABLE",
            Self::WrongPermit(_) => "INTERNAL",
            Self::TooLarge => "REQUEST_TOO_LARGE",
            Self::NoSuchKey(_) => "KEY_UNUSABLE",
            Self::NotReadable(_) => "SECRET_NOT_READABLE",
            Self::ContentKeyLength(_) => "CONTENT_KEY_LENGTH",
            Self::Import(error) => error.reason(),
            Self::Exists(_) => "KEY_EXISTS",
            Self::Fault(fault) => fault.reason(),
        }
    }

    /// Whether the same call may well succeed soon.
    pub(super) const fn is_transient(&self) -> bool {
        match self {
            Self::Hung | Self::Lost => true,
            Self::Fault(fault) => {
                matches!(fault.treatment, Treatment::Session | Treatment::Recycle)
            }
            Self::QueueFull { .. }
            | Self::Deadline
            | Self::OutcomeUnknown
            | Self::Down(_)
            | Self::WrongPermit(_)
            | Self::TooLarge
            | Self::NoSuchKey(_)
            | Self::NotReadable(_)
            | Self::Import(_)
            | Self::ContentKeyLength(_)
            | Self::Exists(_) => false,
        }
    }

    /// Whether the token found the caller's bytes bad.
    pub const fn is_callers_input(&self) -> bool {
        matches!(
            self,
            Self::Fault(Fault {
                treatment: Treatment::CallersInput,
                ..
            })
        )
    }
}
