//! What is said once, on the control socket: how a worker is to start, and how the start went.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::Inventory;
use crate::pkcs11::{
    errors::{Fault, Treatment},
    known::Known,
    pin::PinSource,
};

/// What a worker needs to know to start. It holds no secret: the worker reads the PIN itself.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::pkcs11) struct Setup {
    pub(in crate::pkcs11) module: PathBuf,
    pub(in crate::pkcs11) token: Selector,
    pub(in crate::pkcs11) pin: PinSource,
    /// Where the start lock and the marks of refused PINs are.
    pub(in crate::pkcs11) state_directory: PathBuf,
    /// How many lanes came with this message.
    pub(in crate::pkcs11) lanes: usize,
    pub(in crate::pkcs11) known: Known,
    /// How often a start that met another process's log-in is tried again.
    pub(in crate::pkcs11) start_attempts: u32,
    pub(in crate::pkcs11) start_pause: Duration,
}

/// Which token: by label, by serial number, or both. Never by slot, which tokens renumber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pkcs11) struct Selector {
    /// `CKA_LABEL` of the token, without trailing blanks.
    pub label: Option<String>,
    /// Its serial number, without trailing blanks.
    pub serial: Option<String>,
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.label, &self.serial) {
            (Some(label), Some(serial)) => {
                write!(formatter, "label {label:?} and serial {serial:?}")
            }
            (Some(label), None) => write!(formatter, "label {label:?}"),
            (None, Some(serial)) => write!(formatter, "serial {serial:?}"),
            (None, None) => formatter.write_str("neither label nor serial"),
        }
    }
}

/// How a start went.
pub(in crate::pkcs11) type Started = Result<Inventory, StartError>;

/// Why a worker did not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StartError {
    /// The module can't be loaded.
    #[error("the PKCS#11 module {module} can't be loaded: {cause}; check `module` of the token")]
    Module {
        /// Its path.
        module: String,
        /// What the loader said.
        cause: String,
    },
    /// No token fits.
    #[error("no token with {wanted} is present; the module shows {present}")]
    Absent {
        /// What was looked for.
        wanted: String,
        /// What is there.
        present: String,
    },
    /// More than one token fits.
    #[error("{count} tokens fit {wanted}; name one by its serial number: {present}")]
    Ambiguous {
        /// What was looked for.
        wanted: String,
        /// How many fit.
        count: usize,
        /// What is there.
        present: String,
    },
    /// The PIN can't be read.
    #[error("the PIN can't be read: {0}")]
    PinSource(String),
    /// The token refused the PIN.
    #[error(
        "the token refused the PIN; it is not tried again until the PIN or the token changes, so that the token is not locked"
    )]
    PinRefused,
    /// The PIN was refused before, and nothing has changed.
    #[error(
        "this PIN was refused before and is not tried again; correct it, or delete {mark} if the token's PIN was set to it since"
    )]
    PinRefusedBefore {
        /// The file that remembers it.
        mark: String,
    },
    /// The PIN was not tried, since it could not be remembered if it were refused.
    #[error(
        "the PIN is not tried, since that it was refused could not be remembered: {mark}: {cause}; check `state_directory`"
    )]
    NoMark {
        /// The file that would remember it.
        mark: String,
        /// Why it can't be written.
        cause: String,
    },
    /// The token says that its user PIN is locked, or has one try left.
    #[error(
        "the token says that its user PIN {0}; log in once with the token's own tool, then start again"
    )]
    PinAtRisk(String),
    /// Anything else that the token said.
    #[error("the token can't be used: {0}")]
    Token(Fault),
}

impl StartError {
    /// Whether trying again soon can do no good, and may do harm.
    pub(in crate::pkcs11) fn is_about_the_pin(&self) -> bool {
        match self {
            Self::PinSource(_)
            | Self::PinRefused
            | Self::PinRefusedBefore { .. }
            | Self::NoMark { .. }
            | Self::PinAtRisk(_) => true,
            Self::Token(fault) => fault.treatment == Treatment::Pin && fault.function == "C_Login",
            Self::Module { .. } | Self::Absent { .. } | Self::Ambiguous { .. } => false,
        }
    }
}
