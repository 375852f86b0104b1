//! What goes wrong with a log that is open, and what a caller is told of it.

use std::{io, sync::Arc};

/// Why the log failed. It stays failed until the daemon is started again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A write failed.
    #[error("writing the audit log failed: {0}")]
    Write(String),
    /// The disk is full.
    #[error("the disk of the audit log is full; make room, then start again")]
    DiskFull,
    /// The disk has less room left than is kept in reserve.
    #[error(
        "the disk of the audit log has {free} bytes left, fewer than the {floor} kept in reserve; make room, then start again"
    )]
    DiskLow {
        /// How many there are.
        free: u64,
        /// How many there should be.
        floor: u64,
    },
    /// The disk did not take what was written.
    #[error("the disk did not take the audit log: {0}; what was written last may be lost")]
    Sync(String),
    /// The file was deleted.
    #[error("the audit log's file was deleted while it was written to")]
    Deleted,
    /// The file is not there under its name.
    #[error("the audit log's file was renamed or moved while it was written to")]
    Moved,
    /// Another file has its name.
    #[error("another file was put in place of the audit log's while it was written to")]
    Replaced,
    /// Somebody else shortened it, or wrote to it.
    #[error(
        "the audit log's file has {found} bytes, expected {expected}: somebody else changed it"
    )]
    Length {
        /// How many were written.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// What was written is not there any more as it was written.
    #[error("the audit log was changed after it was written: {0}")]
    Changed(String),
    /// A record is too long to be one.
    #[error("a record of {0} bytes; expected at most 65535")]
    TooLong(usize),
    /// The thread that writes is gone.
    #[error("the audit log's writer ended")]
    Gone,
}

/// Why something was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The log failed.
    #[error("the audit log failed, so nothing is done: {0}")]
    Failed(Arc<Trouble>),
    /// The disk does not answer.
    #[error("the audit log's disk does not answer, so nothing is begun; try again")]
    Stalled,
    /// Too much waits to be recorded.
    #[error("too many operations wait for the audit log; try again")]
    Full,
    /// The daemon is ending.
    #[error("the audit log is closed: the daemon is ending")]
    Closed,
}

impl AuditError {
    /// The stable name of the reason.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Failed(_) => "AUDIT_FAILED",
            Self::Stalled => "AUDIT_STALLED",
            Self::Full => "AUDIT_FULL",
            Self::Closed => "AUDIT_CLOSED",
        }
    }
}

impl Trouble {
    pub(super) fn writing(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Write(error.to_string()),
        }
    }

    pub(super) fn syncing(error: io::Error) -> Self {
        Self::Sync(error.to_string())
    }
}
