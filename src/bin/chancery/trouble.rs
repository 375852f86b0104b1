//! What can go wrong in a command, how it is told, and which exit status it gives.

use std::{fmt, io, path::PathBuf, process::ExitCode};

use serde_json::json;

use chancery::client::{Code, ConfigError, Failure, SignChunksError};

use crate::output::{Streams, printable};

/// The exit statuses, as the help lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failure = 1,
    Usage = 2,
    Denied = 3,
    Unavailable = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Arguments that don't go together.
    Usage(String),
    /// There is nothing to connect with.
    Config(ConfigError),
    /// The call failed.
    Call(Failure),
    /// A file or stream can't be read or written.
    File { what: PathBuf, source: io::Error },
    /// A signature is not valid. It was said already.
    NotValid,
    /// Something is not serving. It was said already.
    NotServing,
    /// A policy file that is wrong.
    Policy { path: PathBuf, why: String },
    /// A scheme file, or a message that it is applied to, is wrong.
    Scheme(String),
    /// Something of another server that can't be fetched, or must not be taken.
    Fetch(String),
    /// An audit log, a checkpoint or a proof is not good, or can't be read.
    Audit(String),
    /// A policy would deny. It was said already.
    WouldDeny,
}

impl Trouble {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Config(_) => Exit::Usage,
            Self::File { .. }
            | Self::Policy { .. }
            | Self::Scheme(_)
            | Self::Fetch(_)
            | Self::Audit(_)
            | Self::NotValid => Exit::Failure,
            Self::WouldDeny => Exit::Denied,
            Self::NotServing => Exit::Unavailable,
            Self::Call(failure) => match failure.code {
                Code::PermissionDenied | Code::Unauthenticated => Exit::Denied,
                Code::Unavailable | Code::DeadlineExceeded => Exit::Unavailable,
                _ => Exit::Failure,
            },
        }
    }

    /// Tells people, or with `--json` programs, on stderr.
    pub(crate) fn report(&self, streams: &mut Streams, json: bool) {
        let (code, reason) = match self {
            Self::Usage(_) => ("USAGE", ""),
            Self::Config(_) => ("CONFIGURATION", ""),
            // Who reads our output has seen enough (`chancery keys list | head`).
            Self::File { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => return,
            Self::File { .. } => ("FILE", ""),
            Self::Policy { .. } => ("POLICY", ""),
            Self::Scheme(_) => ("SCHEME", ""),
            Self::Fetch(_) => ("FETCH", ""),
            Self::Audit(_) => ("AUDIT", ""),
            Self::Call(failure) => (failure.code_name(), failure.reason.as_str()),
            Self::NotValid | Self::NotServing | Self::WouldDeny => return,
        };
        let empty = Default::default();
        let metadata = match self {
            Self::Call(failure) => &failure.metadata,
            _ => &empty,
        };
        if json {
            let message = match self {
                Self::Call(failure) => failure.message.clone(),
                other => other.to_string(),
            };
            let error = json!({"error": {
                "code": code, "reason": reason, "message": message, "metadata": metadata,
            }});
            streams.tell(&error.to_string());
            return;
        }
        streams.tell(&format!("error: {}", printable(&self.to_string())));
        if !reason.is_empty() {
            streams.tell(&format!("  reason: {}", printable(reason)));
        }
        for (name, value) in metadata {
            streams.tell(&format!("  {}: {}", printable(name), printable(value)));
        }
        if let Some(hint) = self.hint() {
            streams.tell(&format!("  {hint}"));
        }
    }

    /// What to do about the few things that most people meet on their first day.
    fn hint(&self) -> Option<&'static str> {
        let Self::Call(failure) = self else {
            return None;
        };
        match failure.reason.as_str() {
            "UNREACHABLE" => Some(
                "is the daemon running, and is --addr (CHANCERY_ADDR) its address? `chanceryd dev` starts one; \
                 a connection that is closed at once may mean that it refused our certificate",
            ),
            "CERTIFICATE_REFUSED" => Some(
                "--cert (CHANCERY_CERT) must come from the authority that the daemon trusts for clients, \
                 must not have expired, and must name exactly one URI or DNS identity",
            ),
            "SERVER_NOT_TRUSTED" => Some(
                "--ca (CHANCERY_CA) must be the authority of the daemon's certificate, and the address must \
                 be a name in that certificate",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message)
            | Self::Scheme(message)
            | Self::Fetch(message)
            | Self::Audit(message) => formatter.write_str(message),
            Self::Config(error) => error.fmt(formatter),
            Self::Call(failure) => failure.fmt(formatter),
            Self::File { what, source } => write!(formatter, "{}: {source}", what.display()),
            Self::Policy { path, why } => write!(formatter, "{}: {why}", path.display()),
            Self::WouldDeny => formatter.write_str("denied"),
            Self::NotValid => formatter.write_str("not valid"),
            Self::NotServing => formatter.write_str("not serving"),
        }
    }
}

impl From<ConfigError> for Trouble {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Call(failure)
    }
}

impl From<chancery::client::Status> for Trouble {
    fn from(status: chancery::client::Status) -> Self {
        Self::Call(status.into())
    }
}

impl From<SignChunksError> for Trouble {
    fn from(error: SignChunksError) -> Self {
        match error {
            SignChunksError::Call(failure) => Self::Call(failure),
            SignChunksError::Input(source) => Self::File {
                what: "the message".into(),
                source,
            },
        }
    }
}
