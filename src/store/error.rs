//! Why the store could not do what it was asked, and what the database's own codes mean.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;
use uuid::Uuid;

use super::{config::PasswordError, lifecycle::Revision};
use crate::key::KeyName;

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, or a transaction failed; its operator finds out why.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The time was up. What was written then is not known; asking again tells.
    #[error("the store did not answer in time; whether it has written anything is not known")]
    Deadline,
    /// Too many operations wait already.
    #[error("the store has {0} operations waiting, which is its limit; try again in a moment")]
    Busy(usize),
    /// There is no room left.
    #[error("the store is full: {0}; give its disk room")]
    Full(String),
    /// What is there is not what was written.
    #[error("the store is damaged: {0}; stop the daemon and restore the store from a copy")]
    Damaged(String),
    /// The partner's share is used up.
    #[error(
        "{limit} callbacks of partner {partner:?} are remembered, which is the limit, and none of them has expired; further ones can't be told from replays. If it is no attack, raise replay.max_entries_per_partner"
    )]
    ReplayMemoryFull {
        /// Whose.
        partner: String,
        /// `[replay] max_entries_per_partner`.
        limit: u64,
    },
    /// Another attempt at the same request has taken over, or has answered.
    #[error("another attempt has taken this request over; ask again for its answer")]
    ClaimLost,
    /// An answer that is too long to be kept.
    #[error("an answer of {bytes} bytes can't be kept for its request id; the most is {limit}")]
    AnswerTooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Somebody else has changed it meanwhile.
    #[error(
        "key {key} was changed meanwhile: expected revision {expected}, found {found}; read it again"
    )]
    RevisionConflict {
        /// Which key.
        key: KeyName,
        /// The revision that the change was made for; 0 if nothing was known of the key.
        expected: Revision,
        /// The revision that is there; 0 if nothing is known of the key.
        found: Revision,
    },
    /// Too many proposals of one author stand open.
    #[error(
        "{limit} proposals of yours stand open, which is the limit; withdraw or execute one of them, or wait until one has expired"
    )]
    TooManyProposals {
        /// `[proposals] max_open_per_author`.
        limit: u64,
    },
    /// There is no such proposal.
    #[error("there is no proposal {0}")]
    NoSuchProposal(Uuid),
    /// The proposal does not stand open any more, or not yet.
    #[error("proposal {id} {refusal}")]
    Proposal {
        /// Which.
        id: Uuid,
        /// What is in the way.
        refusal: Refusal,
    },
}

/// Why a proposal is not approved, withdrawn or executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its time is over.
    #[error("has expired; propose it again")]
    Expired,
    /// Its author has taken it back.
    #[error("was withdrawn by its author; propose it again")]
    Withdrawn,
    /// It is done.
    #[error(
        "was executed already, and is executed once; propose it again if it is to be done again"
    )]
    Executed,
    /// An author approves.
    #[error("can't be approved by its own author; expected another approver")]
    OwnAuthor,
    /// Somebody approves twice.
    #[error("was approved by the same approver before; expected another approver")]
    ApprovedBefore,
    /// Somebody else withdraws or executes it.
    #[error("can be withdrawn and executed by its author only")]
    NotItsAuthor,
    /// Too few have approved.
    #[error("has {given} of {required} approvals by those who may give one; more must approve it")]
    Unapproved {
        /// How many have.
        given: u32,
        /// How many must.
        required: u32,
    },
    /// Somebody else executes it, or nobody has.
    #[error("is not being executed, or its outcome is known")]
    NotExecuting,
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be made or opened.
    #[error("the store {}: {cause}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// The file is not a store.
    #[error(
        "the store {} is damaged or is no SQLite database: {cause}; restore it from a copy, or move it away to begin anew (request ids and callbacks seen so far are forgotten then, and so is what is known of keys)",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        cause: String,
    },
    /// The file may be whole; its disk does not say.
    #[error(
        "the store {} can't be read: {cause}; its disk or file system fails, which does not say that the store is damaged. Look into the kernel's log, have the disk answer again and start anew; restore the store from a copy only if the disk has lost it",
        file.display()
    )]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What SQLite or the system says.
        cause: String,
    },
    /// A later release has written it.
    #[error(
        "the store has the schema of a later release (migration {found}; this one knows {known}); start that release, or restore the copy that was made before it was installed"
    )]
    NewerSchema {
        /// The migration that is not known here.
        found: i64,
        /// The last that is.
        known: i64,
    },
    /// A migration differs from the one that was applied.
    #[error(
        "migration {0} of the store is not the one that this release has; the store belongs to another program or build"
    )]
    OtherSchema(i64),
    /// A migration failed.
    #[error("the store's schema can't be brought up to date: {0}")]
    Migration(String),
    /// The password can't be read.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The server can't be reached.
    #[error("the store can't be reached: {0}")]
    Unreachable(String),
}

impl StoreError {
    /// The stable name of it.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "STORE_UNAVAILABLE",
            Self::Deadline => "STORE_DEADLINE",
            Self::Busy(_) => "STORE_BUSY",
            Self::Full(_) => "STORE_FULL",
            Self::Damaged(_) => "STORE_DAMAGED",
            Self::ReplayMemoryFull { .. } => "REPLAY_MEMORY_FULL",
            Self::ClaimLost => "REQUEST_TAKEN_OVER",
            Self::AnswerTooLarge { .. } => "ANSWER_TOO_LARGE",
            Self::RevisionConflict { .. } => "REVISION_CONFLICT",
            Self::TooManyProposals { .. } => "TOO_MANY_PROPOSALS",
            Self::NoSuchProposal(_) => "PROPOSAL_NOT_FOUND",
            Self::Proposal { refusal, .. } => match refusal {
                Refusal::Expired => "PROPOSAL_EXPIRED",
                Refusal::Withdrawn => "PROPOSAL_WITHDRAWN",
                Refusal::Executed => "PROPOSAL_EXECUTED",
                Refusal::OwnAuthor => "PROPOSAL_OWN_AUTHOR",
                Refusal::ApprovedBefore => "PROPOSAL_APPROVED_BEFORE",
                Refusal::NotItsAuthor => "PROPOSAL_NOT_ITS_AUTHOR",
                Refusal::Unapproved { .. } => "PROPOSAL_UNAPPROVED",
                Refusal::NotExecuting => "PROPOSAL_NOT_EXECUTING",
            },
        }
    }

    /// Whether the store itself is at fault, rather than what it was asked.
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Deadline | Self::Full(_) | Self::Damaged(_) => true,
            Self::Busy(_)
            | Self::ReplayMemoryFull { .. }
            | Self::ClaimLost
            | Self::AnswerTooLarge { .. }
            | Self::RevisionConflict { .. }
            | Self::TooManyProposals { .. }
            | Self::NoSuchProposal(_)
            | Self::Proposal { .. } => false,
        }
    }
}

impl From<&sqlx::Error> for StoreError {
    fn from(error: &sqlx::Error) -> Self {
        let text = error.to_string();
        match kind(error) {
            Kind::Full => Self::Full(text),
            Kind::Damaged => Self::Damaged(text),
            Kind::Contended | Kind::Unreadable | Kind::Other => Self::Unavailable(text),
        }
    }
}

impl From<MigrateError> for OpenError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(found) => Self::NewerSchema { found, known: 0 },
            MigrateError::VersionMismatch(version) => Self::OtherSchema(version),
            other => Self::Migration(other.to_string()),
        }
    }
}

/// What an error of the database calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Another transaction was in the way; the same again will do.
    Contended,
    /// No room.
    Full,
    /// Not a database, or not whole.
    Damaged,
    /// The disk did not read or write what it was asked to.
    Unreadable,
    /// Anything else.
    Other,
}

/// Sorts SQLite's result codes and PostgreSQL's SQLSTATE.
pub(super) fn kind(error: &sqlx::Error) -> Kind {
    let Some(error) = error.as_database_error() else {
        return Kind::Other;
    };
    let code = error.code().unwrap_or_default();
    // SQLSTATE has five characters, SQLite's extended codes are at most four digits.
    if code.len() == 5 {
        return match &*code {
            "40001" | "40P01" | "55P03" => Kind::Contended,
            "53100" => Kind::Full,
            "XX001" | "XX002" => Kind::Damaged,
            "58030" => Kind::Unreadable,
            _ => Kind::Other,
        };
    }
    match code.parse::<u32>().map(|extended| extended & 0xff) {
        Ok(5 | 6) => Kind::Contended,
        Ok(13) => Kind::Full,
        Ok(11 | 26) => Kind::Damaged,
        Ok(IO_ERROR) => Kind::Unreadable,
        _ => Kind::Other,
    }
}

/// `SQLITE_IOERR`, the low byte of its extended codes.
pub(super) const IO_ERROR: u32 = 10;
