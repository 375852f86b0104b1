//! One connection to SQLite or PostgreSQL, behind a handful of verbs; both understand the same SQL.

use std::{
    fs, io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use secrecy::ExposeSecret;
use sqlx::{
    ConnectOptions, Connection as _, Row as _,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode},
    sqlite::{
        SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous,
    },
};

use super::{
    config::{Location, PasswordError, Postgres},
    error::{IO_ERROR, Kind, OpenError, kind},
};

/// A connection.
pub(super) enum Connection {
    /// To a file.
    Sqlite(SqliteConnection),
    /// To a server.
    Postgres(PgConnection),
}

/// A parameter of a statement. `None` is typed too: PostgreSQL wants to know.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `INTEGER`, `BIGINT`.
    Integer(Option<i64>),
    /// `TEXT`.
    Text(Option<String>),
    /// `BLOB`, `BYTEA`.
    Bytes(Option<Vec<u8>>),
}

/// A row of an answer.
pub(super) enum Row {
    /// From a file.
    Sqlite(SqliteRow),
    /// From a server.
    Postgres(PgRow),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The database says no, or nothing.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The password can't be read.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

impl Connection {
    /// Connects. `timeout` is also how long a transaction of ours may stand in others' way.
    pub(super) async fn open(location: &Location, timeout: Duration) -> Result<Self, ConnectError> {
        Ok(match location {
            Location::Sqlite(file) => {
                let options = sqlite_options(file, timeout);
                Self::Sqlite(SqliteConnection::connect_with(&options).await?)
            }
            Location::Postgres(postgres) => {
                let options = postgres_options(postgres, timeout)?;
                Self::Postgres(PgConnection::connect_with(&options).await?)
            }
        })
    }

    /// Runs one statement and takes all its rows.
    pub(super) async fn query(
        &mut self,
        sql: &str,
        values: &[Value],
    ) -> Result<Vec<Row>, sqlx::Error> {
        macro_rules! run {
            ($connection:expr, $row:path) => {{
                let mut query = sqlx::query(sql);
                for value in values {
                    query = match value {
                        Value::Integer(value) => query.bind(*value),
                        Value::Text(value) => query.bind(value.as_deref()),
                        Value::Bytes(value) => query.bind(value.as_deref()),
                    };
                }
                let rows = query.fetch_all($connection).await?;
                Ok(rows.into_iter().map($row).collect())
            }};
        }
        match self {
            Self::Sqlite(connection) => run!(connection, Row::Sqlite),
            Self::Postgres(connection) => run!(connection, Row::Postgres),
        }
    }

    /// Begins a transaction. One that writes locks a file at once: to find out later that another has written
    /// meanwhile would be to begin again.
    pub(super) async fn begin(&mut self, writes: bool) -> Result<(), sqlx::Error> {
        let sql = match (&*self, writes) {
            (Self::Sqlite(_), true) => "BEGIN IMMEDIATE",
            (Self::Sqlite(_), false) => "BEGIN",
            (Self::Postgres(_), true) => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
            (Self::Postgres(_), false) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        self.query(sql, &[]).await.map(drop)
    }

    /// Brings the schema up to date.
    async fn migrate(&mut self) -> Result<(), MigrateError> {
        match self {
            Self::Sqlite(connection) => SQLITE.run(connection).await,
            Self::Postgres(connection) => POSTGRES.run(connection).await,
        }
    }
}

/// Opens a store for the first time in the life of a process: makes the file, checks it, migrates.
pub(super) async fn prepare(location: &Location, timeout: Duration) -> Result<(), OpenError> {
    let (file, cause) = match prepare_once(location, timeout).await {
        Err(OpenError::Damaged { file, cause }) => (file, cause),
        other => return other,
    };
    // Of some reads that fail SQLite says no more than that the file is malformed. What is damaged is so when it is
    // read again.
    if let Err(error) = read_through(&file).await {
        let cause = error.to_string();
        return Err(OpenError::Unreadable { file, cause });
    }
    let again = prepare_once(location, timeout).await;
    if again.is_ok() {
        tracing::warn!(file = %file.display(), %cause, "the store was found damaged, and whole when it was read again: its disk may be failing");
    }
    again
}

async fn prepare_once(location: &Location, timeout: Duration) -> Result<(), OpenError> {
    // Two processes that start at once must not migrate one file at once; servers have locks of their own.
    let _lock = match location {
        Location::Sqlite(file) => Some(create(file).await.map_err(|error| OpenError::File {
            file: file.clone(),
            cause: error.to_string(),
        })?),
        Location::Postgres(_) => None,
    };
    let mut connection = Connection::open(location, timeout)
        .await
        .map_err(|error| not_opened(location, error))?;
    if let Location::Sqlite(file) = location {
        check(&mut connection, file).await?;
    }
    connection.migrate().await.map_err(|error| {
        let fault = match (&error, location) {
            (
                MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _),
                Location::Sqlite(file),
            ) => Some(refused(file, error)),
            _ => None,
        };
        match (fault, OpenError::from(error)) {
            (Some(fault @ (OpenError::Damaged { .. } | OpenError::Unreadable { .. })), _) => fault,
            (_, OpenError::NewerSchema { found, .. }) => OpenError::NewerSchema {
                found,
                known: last_migration(location),
            },
            (_, other) => other,
        }
    })
}

/// The last migration of a store that may not be there yet. Nothing is made or changed.
pub(super) async fn schema(
    location: &Location,
    timeout: Duration,
) -> Result<Option<i64>, OpenError> {
    let failed = |error: sqlx::Error| not_opened(location, error.into());
    let (mut connection, is_there) = match location {
        Location::Sqlite(file) => {
            match fs::metadata(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(failed(error.into())),
                Ok(_) => {}
            }
            let options = SqliteConnectOptions::new()
                .filename(file)
                .read_only(true)
                .busy_timeout(timeout)
                .pragma("trusted_schema", "OFF")
                .disable_statement_logging();
            let connection = SqliteConnection::connect_with(&options).await;
            let mut connection = Connection::Sqlite(connection.map_err(failed)?);
            check(&mut connection, file).await?;
            let sql = "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
            (connection, sql)
        }
        Location::Postgres(_) => {
            let connection = Connection::open(location, timeout).await;
            let connection = connection.map_err(|error| not_opened(location, error))?;
            let sql = "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')";
            (connection, sql)
        }
    };
    let there = connection.query(is_there, &[]).await.map_err(failed)?;
    let tables = there.first().map_or(Ok(0), |row| row.integer(0));
    if tables.map_err(failed)? == 0 {
        return Ok(None);
    }
    let sql = "SELECT MAX(version) FROM _sqlx_migrations";
    let rows = connection.query(sql, &[]).await.map_err(failed)?;
    let last = rows.first().map_or(Ok(None), |row| row.integer_if_any(0));
    last.map_err(failed)
}

fn not_opened(location: &Location, error: ConnectError) -> OpenError {
    match (error, location) {
        (ConnectError::Password(error), _) => OpenError::Password(error),
        (ConnectError::Database(error), Location::Sqlite(file)) => refused(file, &error),
        (ConnectError::Database(error), Location::Postgres(_)) => {
            OpenError::Unreachable(format!("{location}: {error}"))
        }
    }
}

/// Makes the file for our eyes only, and takes the lock beside it.
async fn create(file: &Path) -> io::Result<fs::File> {
    let file = file.to_owned();
    let made = tokio::task::spawn_blocking(move || {
        let open = |path: &Path| {
            let mut options = fs::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.mode(0o600).open(path)
        };
        let mut lock = file.clone().into_os_string();
        lock.push(".lock");
        let lock = open(Path::new(&lock))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
        // SQLite gives the files beside it the mode of this one.
        open(&file)?;
        Ok(lock)
    });
    made.await.map_err(io::Error::other)?
}

/// Looks through a file whose size lets it be done before anybody waits.
async fn check(connection: &mut Connection, file: &Path) -> Result<(), OpenError> {
    if fs::metadata(file).is_ok_and(|metadata| metadata.len() > MOST_CHECKED) {
        return Ok(());
    }
    let rows = connection
        .query("PRAGMA quick_check(1)", &[])
        .await
        .map_err(|error| refused(file, &error))?;
    let verdict = rows.first().map(|row| row.text(0)).transpose();
    match verdict {
        Ok(Some(verdict)) if verdict == "ok" => Ok(()),
        Ok(verdict) => {
            let verdict = verdict.unwrap_or_default();
            let (file, cause) = (file.to_owned(), verdict);
            // What it could not read, the check calls a fault of the file.
            Err(match tells_of_a_disk(&cause) {
                true => OpenError::Unreadable { file, cause },
                false => OpenError::Damaged { file, cause },
            })
        }
        Err(error) => Err(refused(file, &error)),
    }
}

/// Whether the check has come upon a page that it could not read.
fn tells_of_a_disk(verdict: &str) -> bool {
    let mut codes = verdict.split("error code=").skip(1).filter_map(|rest| {
        let digits = rest.find(|one: char| !one.is_ascii_digit());
        rest[..digits.unwrap_or(rest.len())].parse::<u32>().ok()
    });
    codes.any(|code| code & 0xff == IO_ERROR)
}

/// Reads a file to its end, with the calls that SQLite reads it with.
async fn read_through(file: &Path) -> io::Result<()> {
    let file = file.to_owned();
    let read = move || {
        let (file, mut piece) = (fs::File::open(file)?, vec![0; 16 << 10]);
        let mut at = 0;
        loop {
            match file.read_at(&mut piece, at)? {
                0 => return Ok(()),
                read => at += read as u64,
            }
        }
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(io::Error::other)?
}

fn refused(file: &Path, error: &sqlx::Error) -> OpenError {
    let (file, cause) = (file.to_owned(), error.to_string());
    match kind(error) {
        Kind::Damaged => OpenError::Damaged { file, cause },
        Kind::Unreadable => OpenError::Unreadable { file, cause },
        Kind::Contended | Kind::Full | Kind::Other => OpenError::File { file, cause },
    }
}

pub(super) fn last_migration(location: &Location) -> i64 {
    let migrator = match location {
        Location::Sqlite(_) => &SQLITE,
        Location::Postgres(_) => &POSTGRES,
    };
    migrator.iter().map(|one| one.version).max().unwrap_or(0)
}

fn sqlite_options(file: &Path, timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // NORMAL would lose what was answered when the power goes.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(timeout)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
}

fn postgres_options(
    postgres: &Postgres,
    timeout: Duration,
) -> Result<PgConnectOptions, PasswordError> {
    let milliseconds = timeout.as_millis().to_string();
    let mut options = PgConnectOptions::new_without_pgpass()
        .port(postgres.port)
        .database(&postgres.database)
        .username(&postgres.user)
        .application_name("chancery")
        .options([
            // Whatever the server's defaults are: what was answered must be on its disk.
            ("synchronous_commit", "on"),
            ("statement_timeout", &milliseconds),
            ("lock_timeout", &milliseconds),
            // A daemon that hangs in the middle must not hold what another waits for.
            ("idle_in_transaction_session_timeout", &milliseconds),
        ]);
    options = match (&postgres.socket, &postgres.host) {
        (Some(socket), _) => options.socket(socket),
        (None, host) => options.host(host.as_deref().unwrap_or("127.0.0.1")),
    };
    options = match &postgres.tls {
        None => options.ssl_mode(PgSslMode::Disable),
        Some(tls) => {
            let mut options = options.ssl_mode(PgSslMode::VerifyFull);
            options = options.ssl_root_cert(&tls.ca);
            if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.private_key) {
                options = options.ssl_client_cert(certificate).ssl_client_key(key);
            }
            options
        }
    };
    if let Some(password) = &postgres.password {
        options = options.password(password.read()?.expose_secret());
    }
    Ok(options.disable_statement_logging())
}

impl Row {
    /// A column that is a number.
    pub(super) fn integer(&self, column: usize) -> Result<i64, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// A column that is a text.
    pub(super) fn text(&self, column: usize) -> Result<String, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// A column that is a number or nothing.
    pub(super) fn integer_if_any(&self, column: usize) -> Result<Option<i64>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// A column that is a text or nothing.
    pub(super) fn text_if_any(&self, column: usize) -> Result<Option<String>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// A column that is bytes or nothing.
    pub(super) fn bytes_if_any(&self, column: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// A column that is bytes.
    pub(super) fn bytes(&self, column: usize) -> Result<Vec<u8>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

/// `($1, $2), ($3, $4)`: the places of `rows` rows of `columns` values, those before `first` being taken.
pub(super) fn places(first: usize, rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let places = (0..columns).map(|column| format!("${}", first + row * columns + column));
        format!("({})", places.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// Cuts work into pieces of few different sizes, so that there are few different statements to prepare.
pub(super) fn pieces<T>(mut all: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| all.len() >= *size)?;
        let (piece, rest) = all.split_at(size);
        all = rest;
        Some(piece)
    })
}

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
const SIZES: [usize; 4] = [64, 16, 4, 1];
/// Checking takes some 2 s a GiB.
const MOST_CHECKED: u64 = 256 << 20;
