//! A PostgreSQL that wants TLS and a password: what connects, what does not, and what is said of it.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use chancery::store::{
    Config, Location, OpenError, PasswordFile, Postgres, PostgresTls, Settings, Store,
};
use sqlx::{Connection, PgConnection, Row, postgres::PgConnectOptions};
use tempfile::TempDir;

use super::{
    place::at,
    postgres::{Server, unprivileged},
};
use crate::pki::Pki;

const PASSWORD: &str = "correct horse battery staple";

struct Secured {
    server: Server,
    port: u16,
    pki: Pki,
    directory: TempDir,
}

impl Secured {
    fn start() -> Self {
        let pki = Pki::new();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let server = Server::prepared(|home| {
            let put = |name: &str, content: &[u8]| {
                let path = home.join(name);
                fs::write(&path, content).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                if let Some(user) = unprivileged() {
                    chown(&path, Some(user), None).unwrap();
                }
                path.display().to_string()
            };
            // On its socket it trusts the test.
            let rules = "local all all trust\n\
                         hostssl all all 127.0.0.1/32 scram-sha-256\n\
                         host all all all reject\n";
            let (cert, key) = (&pki.server().cert, &pki.server().key);
            vec![
                "listen_addresses=127.0.0.1".to_owned(),
                format!("port={port}"),
                "ssl=on".to_owned(),
                format!(
                    "ssl_cert_file={}",
                    put("server.crt", &fs::read(cert).unwrap())
                ),
                format!(
                    "ssl_key_file={}",
                    put("server.key", &fs::read(key).unwrap())
                ),
                format!("hba_file={}", put("hba.conf", rules.as_bytes())),
                "password_encryption=scram-sha-256".to_owned(),
            ]
        });
        Self {
            server,
            port,
            pki,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A connection of the test's own.
    async fn connect(&self) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.server.home())
            .port(self.port)
            .username("chancery")
            .database("postgres");
        PgConnection::connect_with(&options).await.unwrap()
    }

    async fn set_password(&self, password: &str) {
        let sql = format!("ALTER ROLE chancery PASSWORD '{password}'");
        let mut connection = self.connect().await;
        sqlx::query(&sql).execute(&mut connection).await.unwrap();
    }

    fn password_file(&self, text: &str, mode: u32) -> PathBuf {
        let path = self.directory.path().join("password");
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn config(&self, password: &Path, ca: &Path) -> Config {
        Config {
            location: Location::Postgres(Postgres {
                host: Some("localhost".to_owned()),
                socket: None,
                port: self.port,
                database: "postgres".to_owned(),
                user: "chancery".to_owned(),
                password: Some(PasswordFile {
                    file: password.to_owned(),
                }),
                tls: Some(PostgresTls {
                    ca: ca.to_owned(),
                    certificate: None,
                    private_key: None,
                }),
            }),
            ..Config::default()
        }
    }
}

async fn refused(config: &Config) -> OpenError {
    let opened = Store::open(config, Settings::default()).await;
    let error = opened.err().expect("a refusal");
    assert!(!error.to_string().contains(PASSWORD), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tls_and_a_password_is_used_with_both_and_not_without() {
    let secured = tokio::task::spawn_blocking(Secured::start).await.unwrap();
    secured.set_password(PASSWORD).await;
    let ca = secured.pki.ca();
    let file = secured.password_file(&format!("{PASSWORD}\n"), 0o600);
    let right = secured.config(&file, &ca);

    let store = Store::open(&right, Settings::default()).await.unwrap();
    let remember = async |id: u8| {
        let asked = store.replay();
        asked.remember("p", "s", [id; 32], at(0), at(60)).await
    };
    remember(1).await.unwrap();
    let mut beside = secured.connect().await;
    let sql = "SELECT bool_and(ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
               WHERE application_name = 'chancery'";
    let row = sqlx::query(sql).fetch_one(&mut beside).await.unwrap();
    assert!(row.get::<bool, _>(0) && row.get::<i64, _>(1) > 0);

    // A password that is changed needs no restart: the next connection reads the file.
    secured.set_password("another").await;
    secured.password_file("another\n", 0o400);
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chancery'";
    sqlx::query(sql).execute(&mut beside).await.unwrap();
    // Whoever is cut off in the middle may be told so.
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = remember(2).await {
        assert!(Instant::now() < deadline, "{error}");
    }

    // Not with the old one, nor with a server that anybody could be, nor in the clear.
    let old = secured.password_file(PASSWORD, 0o600);
    let error = refused(&secured.config(&old, &ca)).await;
    assert!(matches!(error, OpenError::Unreachable(_)), "{error}");
    secured.password_file("another", 0o600);
    let other = Pki::new();
    let error = refused(&secured.config(&file, &other.ca())).await;
    assert!(matches!(error, OpenError::Unreachable(_)), "{error}");
    let mut clear = secured.config(&file, &ca);
    if let Location::Postgres(postgres) = &mut clear.location {
        postgres.host = Some("127.0.0.1".to_owned());
        postgres.tls = None;
    }
    let error = refused(&clear).await;
    assert!(matches!(error, OpenError::Unreachable(_)), "{error}");

    // Nor from a file that others may read, that is empty, or that is not there.
    for (text, mode) in [("another", 0o644), ("", 0o600), ("two\nlines", 0o600)] {
        let open = secured.password_file(text, mode);
        let error = refused(&secured.config(&open, &ca)).await;
        assert!(matches!(error, OpenError::Password(_)), "{error}");
    }
    let error = refused(&secured.config(Path::new("/not/there"), &ca)).await;
    assert!(matches!(error, OpenError::Password(_)), "{error}");
}
