//! The log of everything that was done or refused, whose tampering shows.
//!
//! ```text
//! intent ---+                            record   a line of JSON that names the hash of the line before it
//! outcome --+-> queue -> writer -> log/  writer   one thread, which alone writes; one flush serves all that wait
//! denied ---+                     |      keeper   reads what was written, keeps the tree, has it signed
//!                       keeper <--+      tile/    the tree, as C2SP tlog-tiles; `checkpoint` is its signed root
//! ```
//!
//! Whoever alters, drops, adds or moves a record breaks the chain; whoever mends the chain gets another root
//! than the one that a key of the token signed; whoever puts an older log in place is found out by any later
//! checkpoint that was kept elsewhere. What is not seen: changes to the records after the last checkpoint by
//! somebody who rewrites all that follow, and the very last record. So checkpoints are frequent.
//!
//! An error is final. After it every call fails, and so nothing more is signed, until somebody has looked and
//! started the daemon again.

use std::{
    future::Future,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    algorithm::Algorithm,
    identity::Identity,
    key::KeyVersion,
    policy::{self, Asked},
};

pub use config::{Config, Durability, SinkConfig};
pub use digest::{Digest, InvalidDigest};
pub use filter::{EventKind, Filter, ResultKind, UnknownWord};
pub use input_key::InputKey;
pub use keeper::{Draft, Keeper, KeeperError, Schedule, keep};
pub use list::{Listing, Order};
pub use note::{Checkpoint, InvalidOrigin, NoteError, Origin, Proof, SignedCheckpoint, Vkey};
pub use opening::OpenError;
pub use query::{Page, ReadError, Reader};
pub use reader::{Fault, Followed, Follower, Wrong};
pub use record::{
    Caller, CheckpointFact, Denial, Ending, Event, InputDigest, Intent, InvalidName, KeyAct,
    KeyChange, LogRead, Name, Outcome, Proposal, ProposalStep, Pruned, Record, Recovered, Refusal,
    Reloadable, Reloaded, Started, StopReason, Stopped, Subject, Word,
};
pub use sink::Sinks;
pub use time::{InvalidTimestamp, Timestamp};
pub use trouble::{AuditError, Trouble};
pub use verify::{NotGood, Report, Verification};

use queue::Queue;

mod config;
mod digest;
mod file;
mod filter;
mod input_key;
mod keeper;
mod line;
mod list;
mod look;
mod note;
mod opening;
mod query;
mod queue;
mod reader;
mod record;
mod seek;
mod sink;
mod tiles;
mod time;
pub mod tree;
mod trouble;
mod verify;
mod writer;

/// The log, for those who act: say what you are about to do, do it, say what came of it, answer.
#[derive(Debug)]
pub struct Audit {
    queue: Arc<Queue>,
    directory: PathBuf,
}

/// What is needed to open a log.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Where it is; the directory must exist.
    pub directory: PathBuf,
    /// Whose it is.
    pub origin: Origin,
    /// When a record counts as written.
    pub durability: Durability,
    /// A segment is ended when it would become larger, or when the day does.
    pub segment_bytes: u64,
    /// Keys that may have signed the checkpoint that is there. Without any, only its content is checked.
    pub vkeys: Vec<Vkey>,
    /// SHA-256 of the policy in force, for the record of the start.
    pub policy: Option<Digest>,
    /// SHA-256 of the configuration file in force, for the same record.
    pub config: Option<Digest>,
    /// Says what time it is.
    pub clock: fn() -> SystemTime,
}

/// A promise to say what came of an intent. Dropped, it says that the intent was abandoned.
#[derive(Debug)]
#[must_use = "an intent needs an outcome"]
pub struct Ticket {
    queue: Arc<Queue>,
    sequence: u64,
    algorithm: Option<Algorithm>,
    settled: bool,
}

/// How the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Records are written.
    Good,
    /// The disk has not answered for so long; nothing is begun meanwhile.
    Stalled(Duration),
    /// It failed, and stays so until the daemon is started again.
    Failed(Arc<Trouble>),
    /// It was closed.
    Closed,
}

impl Audit {
    /// Opens a log: takes its lock, compares it with its last checkpoint, sets aside an end that was not
    /// written whole, and records the start. Blocks.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(opening: Opening) -> Result<(Self, Keeper), OpenError> {
        opening::open(opening)
    }

    /// Records that something is about to be done. Does not wait; the record is in the kernel's hands within some
    /// milliseconds, and on the disk before any later outcome is.
    ///
    /// # Errors
    ///
    /// [`AuditError`]; then it must not be done.
    pub fn intent(&self, intent: Intent) -> Result<Ticket, AuditError> {
        let algorithm = match intent.subject.algorithms.as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        let sequence = self.queue.push_intent(&intent)?;
        Ok(Ticket {
            queue: Arc::clone(&self.queue),
            sequence,
            algorithm,
            settled: false,
        })
    }

    /// Records what came of an intent. Ready when that is durable; only then may be answered. The record is
    /// made by the call itself, whether the future is awaited or not.
    ///
    /// # Errors
    ///
    /// [`AuditError`]; then nothing may be answered but that.
    pub fn outcome(
        &self,
        ticket: Ticket,
        result: Ending,
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        self.settle(ticket, result, None)
    }

    /// As [`Audit::outcome`], of a signature that was made: its hash is recorded, if it is not a MAC.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub fn signed(
        &self,
        ticket: Ticket,
        signature: &[u8],
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        let digest = ticket.signature(signature);
        self.settle(ticket, Ending::Succeeded, digest)
    }

    /// Records what came of many intents, with one wait for the disk; of each also what [`Ticket::signature`] gave.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub fn outcomes(
        &self,
        mut settled: Vec<(Ticket, Ending, Option<Digest>)>,
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        // Before the queue is locked: one that is dropped unsettled would come to it.
        settled
            .iter_mut()
            .for_each(|(ticket, ..)| ticket.settled = true);
        let outcomes = settled
            .into_iter()
            .map(|(ticket, result, signature)| ticket.outcome(result, signature));
        self.queue.wait(self.queue.push_outcomes(outcomes))
    }

    /// Ready when every record that was made so far is durable, intents too: for what stays done when the power fails
    /// before it is answered.
    ///
    /// # Errors
    ///
    /// [`AuditError`]; then it must not be done.
    pub fn on_disk(&self) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        self.queue.on_disk()
    }

    /// Records that something was refused. Ready when that is durable.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub fn denied(
        &self,
        denial: Denial,
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        self.record(Event::Denied(Box::new(denial)))
    }

    /// Records anything else: a reload, a read of the log, an act of a key's life. Ready when it is durable.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub fn record(
        &self,
        event: Event,
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        self.queue.push(&event)
    }

    /// Closes the log with a last record. Ready when that is durable; what comes later fails.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub fn close(
        &self,
        reason: StopReason,
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        let last = self.queue.push(&Event::Stopped(Stopped { reason }));
        self.queue.close();
        last
    }

    /// Tells those who wait, from the runtime where it is spawned: otherwise the thread that writes does, which takes a
    /// call to the system for each of them. Ends with the log.
    pub fn teller(&self) -> impl Future<Output = ()> + Send + use<> {
        self.queue.teller()
    }

    /// How the log is, for readiness and metrics.
    pub fn health(&self) -> Health {
        self.queue.health()
    }

    /// How many records are durable.
    pub fn durable(&self) -> u64 {
        self.queue.durable().size
    }

    /// The log as it is now, up to the last record that is durable. Blocks.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn reader(&self) -> Result<Reader, ReadError> {
        // First what is durable: a checkpoint that is read later covers no less.
        let durable = self.queue.durable().size;
        Ok(Reader::open(&self.directory)?.until(durable))
    }

    fn settle(
        &self,
        mut ticket: Ticket,
        result: Ending,
        signature: Option<Digest>,
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        ticket.settled = true;
        let outcome = ticket.outcome(result, signature);
        let taken = self.queue.push_outcomes([outcome].into_iter());
        self.queue.wait(taken)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Ticket {
    /// The number of the intent's record: what a caller can later ask a proof for.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What is recorded of a signature that was made: its hash, if it is not a MAC.
    pub fn signature(&self, signature: &[u8]) -> Option<Digest> {
        let algorithm = self.algorithm?;
        Outcome::signature(algorithm, signature)
    }

    const fn outcome(&self, result: Ending, signature: Option<Digest>) -> Outcome {
        Outcome {
            intent: self.sequence,
            result,
            signature,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            self.queue
                .push_abandoned(&self.outcome(Ending::Abandoned, None));
        }
    }
}

impl Intent {
    /// What a permit allows, as the permit says it:
    /// `Intent::new(call, permit.identity(), permit.rule(), permit.asked())`.
    pub fn new(call: Word, identity: &Identity, rule: &str, asked: Asked) -> Self {
        Self {
            caller: identity.into(),
            call,
            subject: asked.into(),
            public_key: None,
            input: None,
            rule: Name::fitted(rule),
        }
    }

    /// With the hash of what is worked on.
    pub const fn input(mut self, input: InputDigest) -> Self {
        self.input = Some(input);
        self
    }

    /// With the version that is used, where the permit was for a key in general, and its public half's hash.
    pub fn key(mut self, version: &KeyVersion, public_key: Option<Digest>) -> Self {
        self.subject.key = Some(version.key.clone());
        self.subject.version = Some(version.version);
        self.public_key = public_key;
        self
    }

    /// For a partner, by the rules of a scheme.
    pub fn partner(mut self, partner: Name, scheme: Name) -> Self {
        self.subject.partner = Some(partner);
        self.subject.scheme = Some(scheme);
        self
    }
}

impl Denial {
    /// What the policy denied.
    pub fn by_policy(call: Word, denied: &policy::Denied) -> Self {
        Self {
            caller: denied.identity().as_ref().into(),
            call,
            subject: denied.asked().clone().into(),
            input: None,
            reason: Refusal::Policy(denied.reason()),
        }
    }

    /// What was refused for another reason: the one that callers see.
    pub fn other(call: Word, identity: &Identity, asked: Asked, reason: Word) -> Self {
        Self {
            caller: identity.into(),
            call,
            subject: asked.into(),
            input: None,
            reason: Refusal::Other(reason),
        }
    }
}

impl InputDigest {
    /// SHA-256 of an input.
    pub fn of(input: &[u8]) -> Self {
        Self::Sha256(Digest::of(input))
    }
}

#[cfg(test)]
mod tests;
