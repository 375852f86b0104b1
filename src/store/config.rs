//! The `[store]` section of the configuration: one SQLite file, or a PostgreSQL that several daemons share.

use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::Error as _};
use zeroize::Zeroizing;

/// `[store]`, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Config {
    /// Where the rows are.
    pub location: Location,
    /// How long an operation may take, waiting included.
    pub operation_timeout: Duration,
    /// How many operations may wait to be written.
    pub queue: usize,
}

/// Where the rows are.
#[derive(Clone, Debug)]
pub enum Location {
    /// A file of this daemon alone; relative to the state directory.
    Sqlite(PathBuf),
    /// A server that several daemons may share.
    Postgres(Postgres),
}

/// `[store.postgres]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// The server's name or address; or else `socket`.
    pub host: Option<String>,
    /// The directory of the server's Unix socket; or else `host`.
    pub socket: Option<PathBuf>,
    /// The port; it is part of the socket's name too.
    #[serde(default = "postgres_port")]
    pub port: u16,
    /// The database, which belongs to `user`.
    pub database: String,
    /// Whom the daemon logs in as.
    pub user: String,
    /// Where the password is, if the server asks for one.
    pub password: Option<PasswordFile>,
    /// With whom and how the connection is encrypted.
    pub tls: Option<PostgresTls>,
}

/// `{ file = "PATH" }`: mode 0400 or 0600, of the daemon's user or root.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordFile {
    /// The file; a newline at its end is no part of the password.
    pub file: PathBuf,
}

/// `[store.postgres.tls]`: the server's certificate must be from `ca` and have the name `host` in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresTls {
    /// The authority of the server's certificate, PEM.
    pub ca: PathBuf,
    /// The daemon's own certificate, PEM, if the server asks for one.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub private_key: Option<PathBuf>,
}

/// `[replay]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// How many callbacks are remembered for one partner; when there are as many, further ones are refused.
    #[serde(default = "million", deserialize_with = "positive")]
    pub max_entries_per_partner: u64,
}

/// `[idempotency]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdempotencyConfig {
    /// For how long a request id gets the answer that was given to it.
    #[serde(default = "day", deserialize_with = "positive")]
    pub retention_seconds: u64,
}

/// `[proposals]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposalConfig {
    /// How many proposals of one author may stand open; when there are as many, further ones are refused.
    #[serde(default = "twenty", deserialize_with = "positive")]
    pub max_open_per_author: u64,
}

/// `[lifecycle]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleConfig {
    /// How long a version that is to be destroyed can be restored.
    #[serde(default = "month", deserialize_with = "positive")]
    pub destroy_delay_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    sqlite: Option<PathBuf>,
    postgres: Option<Postgres>,
    #[serde(default = "five", deserialize_with = "seconds")]
    operation_timeout_seconds: Duration,
    #[serde(default = "default_queue", deserialize_with = "positive")]
    queue: u64,
}

/// Why the password of the store can't be read; the password is in no variant.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file can't be read.
    #[error("the store's password file {}: {cause}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Others may read it.
    #[error(
        "the store's password file {} has mode {mode:04o} and belongs to user {owner}; expected 0400 or 0600, of the daemon's user or root",
        file.display()
    )]
    Open {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
        /// Its owner.
        owner: u32,
    },
    /// It is empty, too long, or not text.
    #[error("the store's password file {} is not one line of text", file.display())]
    Content {
        /// The file.
        file: PathBuf,
    },
}

impl Config {
    /// The same, with relative paths made absolute: those of the database from the state directory, others from
    /// where the configuration is.
    #[must_use]
    pub fn resolved(mut self, state_directory: &Path, base: &Path) -> Self {
        match &mut self.location {
            Location::Sqlite(file) => *file = state_directory.join(&*file),
            Location::Postgres(postgres) => {
                if let Some(password) = &mut postgres.password {
                    password.file = base.join(&password.file);
                }
                if let Some(tls) = &mut postgres.tls {
                    tls.ca = base.join(&tls.ca);
                    for path in tls.certificate.iter_mut().chain(&mut tls.private_key) {
                        *path = base.join(&*path);
                    }
                }
            }
        }
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            location: Location::Sqlite(DEFAULT_FILE.into()),
            operation_timeout: five(),
            queue: default_queue() as usize,
        }
    }
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            max_entries_per_partner: million(),
        }
    }
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self {
            retention_seconds: day(),
        }
    }
}

impl Default for ProposalConfig {
    fn default() -> Self {
        Self {
            max_open_per_author: twenty(),
        }
    }
}

impl Default for LifecycleConfig {
    fn default() -> Self {
        Self {
            destroy_delay_seconds: month(),
        }
    }
}

impl TryFrom<Unchecked> for Config {
    type Error = String;

    fn try_from(raw: Unchecked) -> Result<Self, String> {
        let location = match (raw.sqlite, raw.postgres) {
            (Some(_), Some(_)) => {
                return Err("there are `sqlite` and `postgres`; expected one of them".to_owned());
            }
            (None, Some(postgres)) => {
                postgres.check()?;
                Location::Postgres(postgres)
            }
            (Some(file), None) => Location::Sqlite(file),
            (None, None) => Location::Sqlite(DEFAULT_FILE.into()),
        };
        Ok(Self {
            location,
            operation_timeout: raw.operation_timeout_seconds,
            queue: usize::try_from(raw.queue).unwrap_or(usize::MAX),
        })
    }
}

impl Postgres {
    fn check(&self) -> Result<(), String> {
        let local = match (&self.host, &self.socket) {
            (None, None) | (Some(_), Some(_)) => {
                return Err("expected one of `host` and `socket` under `postgres`".to_owned());
            }
            (None, Some(socket)) if !socket.is_absolute() => {
                return Err(format!(
                    "`postgres.socket` is {}; expected the absolute path of a directory such as /run/postgresql",
                    socket.display()
                ));
            }
            (None, Some(_)) => true,
            (Some(host), None) => host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback()),
        };
        if !local && self.tls.is_none() {
            return Err(
                "`postgres.host` is on the network and there is no `postgres.tls`; expected { ca = \"FILE\" } with the authority of the server's certificate".to_owned(),
            );
        }
        match &self.tls {
            Some(_) if self.socket.is_some() => {
                Err("`postgres.tls` is of no use on a socket; expected `host` with it".to_owned())
            }
            Some(tls) if tls.certificate.is_some() != tls.private_key.is_some() => Err(
                "expected `certificate` and `private_key` under `postgres.tls`, or none of them"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

impl PasswordFile {
    /// Reads it; every new connection does, so that a changed password needs no restart.
    pub(super) fn read(&self) -> Result<SecretString, PasswordError> {
        let file = self.file.clone();
        let read = |cause| PasswordError::Read {
            file: self.file.clone(),
            cause,
        };
        let metadata = fs::metadata(&file).map_err(read)?;
        let (mode, owner) = (metadata.permissions().mode() & 0o7777, metadata.uid());
        let ours = owner == 0 || owner == rustix::process::geteuid().as_raw();
        if !ours || !matches!(mode, 0o400 | 0o600) {
            return Err(PasswordError::Open { file, mode, owner });
        }
        if metadata.len() > MAX_PASSWORD {
            return Err(PasswordError::Content { file });
        }
        let text = fs::read_to_string(&file)
            .map(Zeroizing::new)
            .map_err(read)?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if line.is_empty() || line.contains(['\n', '\r', '\0']) {
            return Err(PasswordError::Content { file });
        }
        Ok(SecretString::from(line))
    }
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match i64::deserialize(deserializer)? {
        number @ 1..=MOST => Ok(number.unsigned_abs()),
        number => Err(D::Error::custom(format!(
            "it is {number}; expected 1 to {MOST}"
        ))),
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if (0.01..=3600.0).contains(&value) {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(D::Error::custom(format!(
            "it is {value}; expected 0.01 to 3600 seconds"
        )))
    }
}

/// The file's name in the state directory.
const DEFAULT_FILE: &str = "chancery.db";
const MAX_PASSWORD: u64 = 4096;
const MOST: i64 = 1_000_000_000;

const fn postgres_port() -> u16 {
    5432
}
const fn million() -> u64 {
    1_000_000
}
const fn day() -> u64 {
    86_400
}
const fn month() -> u64 {
    30 * 86_400
}
const fn twenty() -> u64 {
    20
}
const fn default_queue() -> u64 {
    4096
}
const fn five() -> Duration {
    Duration::from_secs(5)
}
