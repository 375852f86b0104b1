//! One connection that is used by one transaction at a time, opened again when it breaks, with a deadline on all.

use std::{future::Future, time::Duration};

use tokio::{
    sync::{Mutex, MutexGuard, watch},
    time::{Instant, timeout_at},
};

use super::{
    Health,
    config::Location,
    database::{ConnectError, Connection, Row, Value},
    error::{Kind, StoreError, kind},
};

/// Where transactions queue for the one connection.
pub(super) struct Desk {
    location: Location,
    timeout: Duration,
    connection: Mutex<Option<Connection>>,
    health: watch::Sender<Health>,
}

/// A transaction. Dropped before its commit it takes its connection with it, and with that all it did.
pub(super) struct Transaction<'a> {
    desk: &'a Desk,
    place: MutexGuard<'a, Option<Connection>>,
    connection: Connection,
    deadline: Instant,
}

/// Why a transaction failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The database's own words.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The time was up.
    #[error("the time was up")]
    Deadline,
}

impl Desk {
    /// A desk whose connection is opened when it is first needed.
    pub(super) fn new(
        location: Location,
        timeout: Duration,
        health: watch::Sender<Health>,
    ) -> Self {
        Self {
            location,
            timeout,
            connection: Mutex::new(None),
            health,
        }
    }

    /// Waits for the connection and begins a transaction that writes.
    pub(super) async fn write(&self) -> Result<Transaction<'_>, Failure> {
        self.begin(true).await
    }

    /// The same for one that reads only, and sees one state of everything.
    pub(super) async fn read(&self) -> Result<Transaction<'_>, Failure> {
        self.begin(false).await
    }

    async fn begin(&self, writes: bool) -> Result<Transaction<'_>, Failure> {
        let deadline = Instant::now() + self.timeout;
        let begun = async {
            let mut place = within(deadline, async { Ok(self.connection.lock().await) }).await?;
            // A server that was started again has closed the old connection. Nothing was asked yet, so another
            // one may be.
            if let Some(mut connection) = place.take()
                && within(deadline, database(connection.begin(writes)))
                    .await
                    .is_ok()
            {
                return Ok((place, connection));
            }
            let opened = async { Ok(Connection::open(&self.location, self.timeout).await?) };
            let mut connection = within(deadline, opened).await?;
            within(deadline, database(connection.begin(writes))).await?;
            Ok((place, connection))
        };
        match begun.await {
            Ok((place, connection)) => Ok(Transaction {
                desk: self,
                place,
                connection,
                deadline,
            }),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Says that all is well. For whoever has just written something: a transaction that reads, or changes nothing,
    /// goes well on a disk that takes nothing any more.
    pub(super) fn wrote(&self) {
        self.health
            .send_if_modified(|health| std::mem::replace(health, Health::Ready) != Health::Ready);
    }

    /// Whether nothing has failed since something was last known to be written.
    pub(super) fn is_ready(&self) -> bool {
        *self.health.borrow() == Health::Ready
    }

    fn failed(&self, failure: Failure) -> Failure {
        if !failure.is_contention() {
            let error = StoreError::from(&failure);
            self.health.send_if_modified(|health| {
                let news = *health == Health::Ready;
                *health = Health::Failed(error);
                news
            });
        }
        failure
    }
}

impl Transaction<'_> {
    /// Runs one statement and takes all its rows.
    pub(super) async fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Failure> {
        within(self.deadline, database(self.connection.query(sql, values)))
            .await
            .map_err(|failure| self.desk.failed(failure))
    }

    /// Whether others may write at the same time: then rows are locked one by one.
    pub(super) const fn locks_rows(&self) -> bool {
        matches!(self.connection, Connection::Postgres(_))
    }

    /// Makes all of it last. It is on disk when this returns.
    pub(super) async fn commit(mut self) -> Result<(), Failure> {
        self.query("COMMIT", &[]).await?;
        *self.place = Some(self.connection);
        Ok(())
    }

    /// Undoes all of it.
    pub(super) async fn rollback(mut self) -> Result<(), Failure> {
        self.query("ROLLBACK", &[]).await?;
        *self.place = Some(self.connection);
        Ok(())
    }
}

impl Failure {
    /// Whether another transaction was in the way: nothing was done, and the same again will do.
    pub(super) fn is_contention(&self) -> bool {
        matches!(self, Self::Database(error) if kind(error) == Kind::Contended)
    }
}

impl From<&Failure> for StoreError {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Database(error) | Failure::Connect(ConnectError::Database(error)) => {
                error.into()
            }
            Failure::Connect(error @ ConnectError::Password(_)) => {
                Self::Unavailable(error.to_string())
            }
            Failure::Deadline => Self::Deadline,
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        (&failure).into()
    }
}

async fn within<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout_at(deadline, work)
        .await
        .unwrap_or(Err(Failure::Deadline))
}

async fn database<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
    Ok(work.await?)
}
