//! A real PostgreSQL, started by the tests on a socket in a temporary directory; and what is to be said of servers.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use chancery::store::{Config, Health, Location, OpenError, Postgres, Settings, Store};
use tempfile::TempDir;

use super::place::{Place, at};

/// A server of one test. It ends with it.
pub struct Server {
    directory: TempDir,
    settings: Vec<String>,
    process: Child,
}

impl Server {
    /// Makes a cluster and starts a server over it.
    pub fn start() -> Self {
        Self::prepared(|_| vec!["listen_addresses=".to_owned()])
    }

    /// The same after `prepare` has put files into its home, and says how it is set.
    pub fn prepared(prepare: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The server refuses to run as root, and its user must get to its files.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = directory.path().join("server");
        fs::create_dir(&home).unwrap();
        if let Some(user) = unprivileged() {
            chown(&home, Some(user), None).unwrap();
        }
        let output = command("initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=chancery",
                "--encoding=UTF8",
            ])
            .args(["--locale=C", "-D"])
            .arg(home.join("data"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "initdb: {told}");
        let settings = prepare(&home);
        let process = serve(&home, &settings);
        Self {
            directory,
            settings,
            process,
        }
    }

    /// Stops it without a warning, as a power failure does.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        // Its children end a moment after it, and until then hold what the new one needs.
        self.process = serve(&self.home(), &self.settings);
    }

    pub fn home(&self) -> PathBuf {
        self.directory.path().join("server")
    }

    pub fn config(&self) -> Config {
        at_socket(self.home())
    }
}

/// A server whose socket is in this directory.
fn at_socket(directory: PathBuf) -> Config {
    Config {
        location: Location::Postgres(Postgres {
            host: None,
            socket: Some(directory),
            port: 5432,
            database: "postgres".to_owned(),
            user: "chancery".to_owned(),
            password: None,
            tls: None,
        }),
        ..Config::default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT is a fast shutdown; SIGKILL would leave its children and its shared memory behind.
        let id = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        let _ = self.process.wait();
    }
}

/// Starts a server and waits until it takes connections.
fn serve(home: &Path, settings: &[String]) -> Child {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let log = home.with_file_name(format!("log-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    let file = fs::File::create(&log).unwrap();
    let port = settings
        .iter()
        .find_map(|setting| setting.strip_prefix("port="));
    let port = port.unwrap_or("5432");
    let start = Instant::now();
    loop {
        let mut process = command("postgres")
            .arg("-D")
            .arg(home.join("data"))
            .args(["-c", "fsync=off", "-c", "max_connections=50"])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .arg("-k")
            .arg(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file.try_clone().unwrap())
            .spawn()
            .unwrap();
        while process.try_wait().unwrap().is_none() {
            let mut ask = command("pg_isready");
            let ready = ask.args(["-q", "-p", port, "-h"]).arg(home).status();
            if ready.unwrap().success() {
                return process;
            }
            let told = fs::read_to_string(&log).unwrap();
            assert!(start.elapsed() < PATIENCE, "postgres is not ready: {told}");
            std::thread::sleep(Duration::from_millis(20));
        }
        // What is left of a server that was killed may still hold its lock.
        let told = fs::read_to_string(&log).unwrap();
        assert!(start.elapsed() < PATIENCE, "postgres ended: {told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A program of PostgreSQL, run by somebody who is not root.
fn command(name: &str) -> Command {
    let program = programs().join(name);
    let mut command = match unprivileged() {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={user}"), "--regid=65534".to_owned()]);
            command.args(["--clear-groups", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.current_dir("/").env("LC_ALL", "C");
    command
}

/// Debian keeps these programs off the search path, in a folder of their version.
fn programs() -> PathBuf {
    let mut found: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|folder| folder.join("pg_isready").exists())
        .collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.extend(std::env::split_paths(&path).filter(|folder| folder.join("pg_isready").exists()));
    found.sort();
    found
        .pop()
        .expect("PostgreSQL's initdb; tests/install.sh installs it")
}

/// The user for a server of tests that run as root: nobody.
pub fn unprivileged() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(65534)
}

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_went_away_is_told_and_found_again() {
    let mut place = Place::postgres().await;
    place.config.operation_timeout = Duration::from_secs(2);
    let store = place.open().await;
    let mut health = store.watch_health();
    store.probe().await.unwrap();
    place.server.as_mut().unwrap().kill();
    let asked = store
        .replay()
        .remember("p", "s", [1; 32], at(0), at(60))
        .await;
    assert_eq!(asked.unwrap_err().reason(), "STORE_UNAVAILABLE");
    assert!(matches!(store.health(), Health::Failed(_)));
    place.server.as_mut().unwrap().restart();
    // Nobody asks for anything: the store looks by itself.
    health
        .wait_for(|health| *health == Health::Ready)
        .await
        .unwrap();
    store
        .replay()
        .remember("p", "s", [1; 32], at(0), at(60))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_not_waited_for() {
    let mut place = Place::postgres().await;
    place.config.operation_timeout = Duration::from_secs(3);
    let store = place.open().await;
    // Another session holds the row that every callback of this partner needs.
    let seen = store
        .replay()
        .remember("p", "s", [1; 32], at(0), at(60))
        .await;
    assert!(seen.is_ok());
    let mut other = place.connect().await;
    sqlx::query("BEGIN").execute(&mut other).await.unwrap();
    sqlx::query("UPDATE replay_partner SET entries = entries")
        .execute(&mut other)
        .await
        .unwrap();
    let asked = store
        .replay()
        .remember("p", "s", [2; 32], at(0), at(60))
        .await;
    let reason = asked.unwrap_err().reason();
    assert!(
        ["STORE_DEADLINE", "STORE_UNAVAILABLE"].contains(&reason),
        "{reason}"
    );
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let replay = store.replay();
    while let Err(error) = replay.remember("p", "s", [3; 32], at(0), at(60)).await {
        assert!(Instant::now() < deadline, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_a_later_release_is_refused() {
    let place = Place::postgres().await;
    drop(place.open().await);
    let mut connection = place.connect().await;
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
               VALUES (9000, 'of a later release', TRUE, '\\x00', 0)";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    let error = Store::open(&place.config, Settings::default())
        .await
        .err()
        .unwrap();
    assert!(
        matches!(error, OpenError::NewerSchema { found: 9000, known } if known >= 5),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_server_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let config = at_socket(directory.path().to_owned());
    let error = Store::open(&config, Settings::default())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::Unreachable(_)), "{error}");
}
