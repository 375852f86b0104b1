//! What must outlive the process and is not in the token: one SQLite file, or a PostgreSQL that daemons share.
//!
//! Nothing secret is kept here. What an operation answers with `Ok` is on disk by then. No clock is read: whoever
//! asks says what time it is.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::watch, time::timeout};

pub use config::{
    Config, Location, PasswordError, PasswordFile, Postgres, PostgresTls, ReplayConfig,
};
pub use error::{OpenError, StoreError};
pub use replay::{Replay, Seen};

use desk::Desk;
use writer::{Asked, Job, Limits, Writer};

mod config;
mod database;
mod desk;
mod error;
mod replay;
mod writer;

/// The store. Clones share it.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    writing: Arc<Desk>,
    health: watch::Receiver<Health>,
    timeout: Duration,
}

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// How the last transaction went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It went well.
    Ready,
    /// It failed, and so will others, until the cause is gone.
    Failed(StoreError),
}

impl Store {
    /// Opens a store: makes it if there is none, brings its schema up to date, starts its writer.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open(config: &Config, replay: ReplayConfig) -> Result<Self, OpenError> {
        let timeout = config.operation_timeout;
        database::prepare(&config.location, timeout).await?;
        let (health, watched) = watch::channel(Health::Ready);
        let writing = Arc::new(Desk::new(config.location.clone(), timeout, health));
        let limits = Limits {
            replay: replay.max_entries_per_partner,
        };
        Ok(Self {
            writer: Writer::start(Arc::clone(&writing), config.queue, limits),
            writing,
            health: watched,
            timeout,
        })
    }

    /// The memory of callbacks.
    pub const fn replay(&self) -> Replay<'_> {
        Replay { store: self }
    }

    /// How the last transaction went.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// The same, for who wants to be told when it changes.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Writes a number, so that [`Store::health`] says how things are now.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn probe(&self) -> Result<(), StoreError> {
        let mut transaction = self.writing.write().await?;
        transaction
            .query("UPDATE probe SET writes = writes + 1 WHERE id = 1", &[])
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Has an operation written together with those that wait beside it.
    async fn ask<Q, A>(
        &self,
        job: impl FnOnce(Asked<Q, A>) -> Job,
        question: Q,
    ) -> Result<A, StoreError> {
        timeout(self.timeout, self.writer.ask(job, question))
            .await
            .unwrap_or(Err(StoreError::Deadline))
    }

    fn writing(&self) -> &Desk {
        &self.writing
    }
}

impl From<SystemTime> for Timestamp {
    /// Moments before 1970 count as 1970: no clock that is right shows one.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
