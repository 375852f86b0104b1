//! Where the stores of the tests are: a file, or a database of a server that the tests start.

use std::path::PathBuf;

use chancery::store::{Config, Location, Settings, Store, Timestamp};
use tempfile::TempDir;

use super::postgres::Server;

/// A database of one test, which may be opened often.
pub struct Place {
    pub directory: TempDir,
    pub config: Config,
    pub server: Option<Server>,
}

impl Place {
    pub async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config {
            location: Location::Sqlite(directory.path().join("chancery.db")),
            ..Config::default()
        };
        Self {
            directory,
            config,
            server: None,
        }
    }

    pub async fn postgres() -> Self {
        let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
        Self {
            directory: tempfile::tempdir().unwrap(),
            config: server.config(),
            server: Some(server),
        }
    }

    /// A connection of somebody else to the server.
    pub async fn connect(&self) -> sqlx::PgConnection {
        use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.server.as_ref().unwrap().home())
            .username("chancery")
            .database("postgres");
        PgConnection::connect_with(&options).await.unwrap()
    }

    pub async fn open(&self) -> Store {
        Store::open(&self.config, Settings::default())
            .await
            .unwrap()
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("chancery.db")
    }
}

/// The SHA-256 of a number: any 32 bytes that differ.
pub fn hash(number: u64) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(number.to_be_bytes()).into()
}

/// A moment of 2026, and seconds after it.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp(1_780_000_000_000 + seconds * 1000)
}

/// Makes of each function a test on SQLite and one on PostgreSQL.
macro_rules! on_both {
    ($($(#[$attribute:meta])* async fn $name:ident($place:ident) $body:block)*) => {
        $(
            $(#[$attribute])*
            async fn $name($place: $crate::store::place::Place) $body
        )*
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name($crate::store::place::Place::sqlite().await).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name($crate::store::place::Place::postgres().await).await;
                }
            )*
        }
    };
}
pub(crate) use on_both;
