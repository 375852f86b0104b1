//! What must outlive the process and is not in the token: one SQLite file, or a PostgreSQL that daemons share.
//!
//! Nothing secret is kept here. What an operation answers with `Ok` is on disk by then. No clock is read: whoever
//! asks says what time it is.

use std::{
    sync::{Arc, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;
use uuid::Uuid;

pub use config::{
    Config, IdempotencyConfig, LifecycleConfig, Location, PasswordError, PasswordFile, Postgres,
    PostgresTls, ProposalConfig, ReplayConfig,
};
pub use error::{OpenError, Refusal, StoreError};
pub use idempotency::{Answer, Begun, Claim, Idempotency, Request};
pub use lifecycle::{Changes, KeyFacts, Lifecycle, Revision, Rotation, VersionFacts, VersionState};
pub use policy::{Policies, PolicyInForce};
pub use proposal::{Execution, NewProposal, Proposal, Proposals};
pub use quota::{Counter, Counters, Day};
pub use replay::{Replay, Seen};

use desk::Desk;
use writer::{Asked, Job, Limits, Writer};

mod config;
mod database;
mod desk;
mod error;
mod idempotency;
mod lifecycle;
mod policy;
mod proposal;
mod quota;
mod replay;
mod writer;

/// The store. Clones share it.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    desks: Arc<Desks>,
    health: watch::Receiver<Health>,
    timeout: Duration,
    retention: Duration,
    lifecycle: LifecycleConfig,
    most_proposals: u64,
    instance: Arc<str>,
}

/// A connection that writes, one that reads beside it, and the last revision that was seen.
struct Desks {
    writing: Desk,
    reading: Desk,
    revision: watch::Sender<Revision>,
}

/// What the store is told of limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// `[replay]`.
    pub replay: ReplayConfig,
    /// `[idempotency]`.
    pub idempotency: IdempotencyConfig,
    /// `[lifecycle]`.
    pub lifecycle: LifecycleConfig,
    /// `[proposals]`.
    pub proposals: ProposalConfig,
}

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// Whether transactions go well. After one that failed, only a write that is known to be on disk says so again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// They do.
    Ready,
    /// One failed, and so will others, until the cause is gone.
    Failed(StoreError),
}

impl Store {
    /// Opens a store: makes it if there is none, brings its schema up to date, starts its writer.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open(config: &Config, settings: Settings) -> Result<Self, OpenError> {
        let timeout = config.operation_timeout;
        database::prepare(&config.location, timeout).await?;
        let (health, watched) = watch::channel(Health::Ready);
        let desk = || Desk::new(config.location.clone(), timeout, health.clone());
        let desks = Arc::new(Desks {
            writing: desk(),
            reading: desk(),
            revision: watch::channel(Revision::default()).0,
        });
        let limits = Limits {
            replay: settings.replay.max_entries_per_partner,
        };
        let store = Self {
            writer: Writer::start(Arc::clone(&desks), config.queue, limits),
            desks,
            health: watched,
            timeout,
            retention: Duration::from_secs(settings.idempotency.retention_seconds),
            lifecycle: settings.lifecycle,
            most_proposals: settings.proposals.max_open_per_author,
            instance: instance().into(),
        };
        store.start(&config.location).await.map_err(|failure| {
            // It was opened a moment ago.
            OpenError::Unreachable(failure.to_string())
        })?;
        tokio::spawn(look(Arc::downgrade(&store.desks)));
        Ok(store)
    }

    /// The memory of callbacks.
    pub const fn replay(&self) -> Replay<'_> {
        Replay { store: self }
    }

    /// The memory of requests.
    pub const fn idempotency(&self) -> Idempotency<'_> {
        Idempotency { store: self }
    }

    /// What is known of keys.
    pub const fn lifecycle(&self) -> Lifecycle<'_> {
        Lifecycle { store: self }
    }

    /// Acts that need approval.
    pub const fn proposals(&self) -> Proposals<'_> {
        Proposals { store: self }
    }

    /// The policy that was in force last.
    pub const fn policies(&self) -> Policies<'_> {
        Policies { store: self }
    }

    /// Counts.
    pub const fn counters(&self) -> Counters<'_> {
        Counters { store: self }
    }

    /// Whether transactions go well.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// The same, for who wants to be told when it changes.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Writes a number, so that [`Store::health`] says how things are now. The store itself does so once a second
    /// for as long as it is not ready.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn probe(&self) -> Result<(), StoreError> {
        Ok(self.desks.probe().await?)
    }

    /// Forgets what has expired: callbacks, answers, counts of days before yesterday. Call it once a minute or so.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let yesterday = Timestamp(now.0 - 86_400_000);
        Ok(self.replay().purge(now).await?
            + self.idempotency().purge(now).await?
            + self.counters().purge(yesterday.into()).await?)
    }

    /// What is done once, before anybody asks.
    async fn start(&self, location: &Location) -> Result<(), desk::Failure> {
        if let Location::Sqlite(_) = location {
            let mut transaction = self.writing().write().await?;
            idempotency::give_up_all(&mut transaction).await?;
            transaction.commit().await?;
        }
        self.desks.look().await
    }

    /// Has an operation written together with those that wait beside it.
    async fn ask<Q, A>(
        &self,
        job: impl FnOnce(Asked<Q, A>) -> Job,
        question: Q,
    ) -> Result<A, StoreError> {
        self.writer.ask_within(self.timeout, job, question).await
    }

    fn writing(&self) -> &Desk {
        &self.desks.writing
    }

    fn reading(&self) -> &Desk {
        &self.desks.reading
    }

    /// Another daemon may have made a later change that was seen already.
    fn saw(&self, revision: Revision) {
        self.desks.saw(revision);
    }

    fn revisions(&self) -> watch::Receiver<Revision> {
        self.desks.revision.subscribe()
    }

    const fn retention(&self) -> Duration {
        self.retention
    }

    fn instance(&self) -> &str {
        &self.instance
    }
}

impl Desks {
    async fn probe(&self) -> Result<(), desk::Failure> {
        let mut transaction = self.writing.write().await?;
        transaction
            .query("UPDATE probe SET writes = writes + 1 WHERE id = 1", &[])
            .await?;
        transaction.commit().await?;
        self.writing.wrote();
        Ok(())
    }

    /// Looks for changes that other daemons have made.
    async fn look(&self) -> Result<(), desk::Failure> {
        let mut transaction = self.reading.read().await?;
        let revision = lifecycle::last(&mut transaction).await?;
        transaction.rollback().await?;
        self.saw(revision);
        Ok(())
    }

    fn saw(&self, revision: Revision) {
        self.revision.send_if_modified(|last| {
            let news = revision > *last;
            *last = revision.max(*last);
            news
        });
    }
}

/// Looks for changes and for the store's health, until the store is dropped.
async fn look(desks: Weak<Desks>) {
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(desks) = desks.upgrade() else { return };
        // What comes of it is told by the health.
        drop(desks.look().await);
        if !desks.writing.is_ready() {
            drop(desks.probe().await);
        }
    }
}

/// A name for this process that no other has: for people to read, beside a request that is in progress.
fn instance() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{host}/{}/{}", std::process::id(), Uuid::new_v4())
}

impl Timestamp {
    /// The moment that is so much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(milliseconds))
    }
}

impl From<SystemTime> for Timestamp {
    /// Moments before 1970 count as 1970: no clock that is right shows one.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Others' changes are to be seen within two seconds.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
