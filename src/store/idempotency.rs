//! Requests with an id are done once: the same id and content get the same answer, other content is refused.
//!
//! Whoever does a request holds a claim on it. Only the claim that is current can complete the request, and no answer
//! is given before it is complete: so an attempt that hung, and was taken over, can no longer answer, whatever it
//! has done. Leases and clocks decide when an attempt is taken over, never whether two may answer.

use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Store, Timestamp,
    error::StoreError,
    writer::{Job, Writer},
};
use crate::identity::IdentityName;

pub(super) use statement::{begin, complete, give_up_all, lock};

mod statement;

/// The memory of requests.
#[derive(Clone, Copy)]
pub struct Idempotency<'a> {
    pub(super) store: &'a Store,
}

/// Which request: ids are each caller's own, and each method's.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub identity: &'a IdentityName,
    /// By which method.
    pub method: &'a str,
    /// The id that the caller gave.
    pub id: &'a str,
    /// SHA-256 of all else that the caller asked.
    pub content_hash: [u8; 32],
}

/// What to do with a request.
#[derive(Debug)]
pub enum Begun {
    /// Do it, then complete the claim, then answer.
    New(Claim),
    /// Answer this, if it still may be answered.
    Answered(Answer),
    /// Refuse it: the same id came with other content.
    OtherContent,
    /// Somebody does it just now; ask again later.
    InProgress {
        /// Which daemon.
        by: String,
        /// Since when.
        since: Timestamp,
    },
}

/// An answer that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was answered.
    pub bytes: Vec<u8>,
    /// What was permitted for it, in the words of whoever kept it; `None` if nobody said.
    pub permitted: Option<String>,
}

/// The right to answer one request. Dropped, it lets the next attempt begin at once.
#[must_use = "a claim that is not completed is given up"]
pub struct Claim {
    id_hash: [u8; 32],
    claim: Uuid,
    attempt: u32,
    retention: Duration,
    timeout: Duration,
    writer: Option<Writer>,
}

/// A question to that memory.
pub(super) struct Begin {
    pub(super) id_hash: [u8; 32],
    content_hash: [u8; 32],
    claim: Uuid,
    holder: String,
    now: Timestamp,
    lease: Timestamp,
    expires: Timestamp,
}

/// What a claim comes to.
pub(super) struct Complete {
    pub(super) id_hash: [u8; 32],
    claim: Uuid,
    end: End,
}

enum End {
    Answer {
        bytes: Vec<u8>,
        permitted: String,
        expires: Timestamp,
    },
    NothingDone,
    GivenUp,
}

/// What is found of a request.
pub(super) enum Found {
    New { attempt: u32 },
    Answered(Answer),
    OtherContent,
    InProgress { by: String, since: Timestamp },
}

impl Idempotency<'_> {
    /// Begins a request, or says what became of it.
    ///
    /// An attempt that neither completes nor is dropped within `lease` is taken over by the next that asks; give it longer than the call may take.
    /// Nothing is taken over while the file of SQLite is open, but when it is opened all that was begun before is
    /// taken for given up, since only this daemon has it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then the request must be refused.
    pub async fn begin(
        &self,
        request: Request<'_>,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Begun, StoreError> {
        let store = self.store;
        let mut claim = Claim {
            id_hash: request.hash(),
            claim: Uuid::new_v4(),
            attempt: 1,
            retention: store.retention(),
            timeout: store.timeout,
            // From here on: if the caller goes while the question waits, the request is free again.
            writer: Some(store.writer.clone()),
        };
        let question = Begin {
            id_hash: claim.id_hash,
            content_hash: request.content_hash,
            claim: claim.claim,
            holder: store.instance().to_owned(),
            now,
            lease: now.after(lease),
            expires: now.after(claim.retention),
        };
        let begun = match store.ask(Job::Begin, question).await? {
            Found::New { attempt } => {
                claim.attempt = attempt;
                return Ok(Begun::New(claim));
            }
            Found::Answered(answer) => Begun::Answered(answer),
            Found::OtherContent => Begun::OtherContent,
            Found::InProgress { by, since } => Begun::InProgress { by, since },
        };
        // Nothing was claimed.
        claim.writer = None;
        Ok(begun)
    }

    /// Forgets some answers whose time is over; says how many. Call it now and then.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut purged = 0;
        loop {
            let mut transaction = self.store.writing().write().await?;
            let sql = "DELETE FROM request WHERE id_hash IN (\
                         SELECT id_hash FROM request WHERE expires <= $1 ORDER BY expires LIMIT $2) \
                       RETURNING expires";
            let values = [now.0.into(), PURGED_AT_ONCE.into()];
            let number = transaction.query(sql, &values).await?.len() as i64;
            transaction.commit().await?;
            purged += number.unsigned_abs();
            if number < PURGED_AT_ONCE {
                return Ok(purged);
            }
        }
    }
}

impl Claim {
    /// Which attempt this is. From the second on, what an earlier one did outside of the store is not known: look
    /// whether its effect is there, such as a key of that name, before doing it again.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Keeps the answer, and what was permitted for it. It may be given to the caller when this returns `Ok`, and only
    /// then.
    ///
    /// # Errors
    ///
    /// [`StoreError::ClaimLost`] if another attempt has taken over: begin again, and answer what comes. With any other
    /// [`StoreError`] whether the answer is kept is not known: give none; the caller's next attempt gets the one that is kept, or begins anew.
    pub async fn complete(
        mut self,
        answer: &[u8],
        permitted: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if answer.len() > MOST_ANSWER {
            return Err(StoreError::AnswerTooLarge {
                bytes: answer.len(),
                limit: MOST_ANSWER,
            });
        }
        let end = End::Answer {
            bytes: answer.to_vec(),
            permitted: permitted.to_owned(),
            expires: now.after(self.retention),
        };
        self.end(end).await?;
        self.writer = None;
        Ok(())
    }

    /// Says that nothing was done, and nothing need be known of it: the request failed, and may be tried anew.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then the request is free when the lease is over.
    pub async fn release(mut self) -> Result<(), StoreError> {
        self.end(End::NothingDone).await?;
        self.writer = None;
        Ok(())
    }

    async fn end(&self, end: End) -> Result<(), StoreError> {
        let question = Complete {
            id_hash: self.id_hash,
            claim: self.claim,
            end,
        };
        let writer = self
            .writer
            .as_ref()
            .expect("a claim has its writer until it ends");
        writer
            .ask_within(self.timeout, Job::Complete, question)
            .await
    }
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Claim({}, attempt {})", self.claim, self.attempt)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            // If there is no room for this, the lease ends it.
            writer.tell(
                Job::Complete,
                Complete {
                    id_hash: self.id_hash,
                    claim: self.claim,
                    end: End::GivenUp,
                },
            );
        }
    }
}

impl Request<'_> {
    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [self.identity.as_str(), self.method, self.id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// The longest answer that is kept: some thousand signatures.
const MOST_ANSWER: usize = 1 << 20;

const PURGED_AT_ONCE: i64 = 1000;
