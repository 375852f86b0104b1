//! The shipped daemon as a process, over tokens, certificates and a policy of a test's own.
//!
//! [`Daemon::with`] one token is most of what a test needs; [`Setup`] has the rest. Daemons that tests share
//! live in a `static` and are handed out by [`Shared`]. However a test ends, nothing of it stays behind.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{LazyLock, Mutex},
    thread,
    time::{Duration, Instant},
};

use chancery::client::{Client, Config};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    pki::{Leaf, Pki},
    softhsm::Token,
};

pub use process::children;
pub use refusal::Refusal;
pub use setup::{ALLOW_TEST, Seat, Setup};

use process::Process;

mod process;
mod refusal;
mod setup;

/// A running daemon; killed when it goes out of scope, its log shown if that is a failing test's scope.
pub struct Daemon {
    setup: Setup,
    directory: TempDir,
    clients: Mutex<HashMap<String, Leaf>>,
    process: Process,
}

/// A daemon that several tests share. It shows its log in those that fail.
pub struct Shared(&'static Daemon);

impl Daemon {
    /// A daemon over this one token.
    pub fn with(token: Token) -> Self {
        Setup::new(token).start()
    }

    /// Starts `chanceryd serve`, and waits until it says that it is ready.
    ///
    /// # Panics
    /// With its log, if it does not.
    pub fn start(setup: Setup) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let process = Process::start(&setup, directory.path());
        Self {
            setup,
            directory,
            clients: Mutex::default(),
            process,
        }
    }

    /// Stops it as an operator does, and starts it again on the same directory: with another port.
    pub async fn restart(&mut self) {
        self.terminate().await;
        self.process = Process::start(&self.setup, self.directory.path());
    }

    /// Kills it at once, as a power failure would.
    pub fn kill(&mut self) {
        self.process.child.kill().expect("to kill the daemon");
        self.process.child.wait().expect("its end");
    }

    /// Kills it as a power failure does, and starts it again on the same directory: with another port.
    pub fn crash_and_restart(&mut self) {
        self.process.child.kill().expect("to kill the daemon");
        self.process.child.wait().expect("its status");
        self.process = Process::start(&self.setup, self.directory.path());
    }

    /// Starts it again on the same directory, when it has ended.
    pub fn start_again(&mut self) {
        self.process = Process::start(&self.setup, self.directory.path());
    }

    /// From the next start on this stands before it.
    pub fn behind(&mut self, before: Vec<String>) {
        self.setup.before = before;
    }

    /// The same with another policy.
    pub fn start_with_policy(&mut self, text: &str) {
        text.clone_into(&mut self.setup.policy);
        self.start_again();
    }

    /// Sends SIGTERM and waits for the end; the runtime goes on, so that clients can hang up.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.child.try_wait().expect("its status") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not stop on SIGTERM");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A client with a certificate for `spiffe://chancery.test/NAME`; to be called in a Tokio runtime, and
    /// not to be carried into another.
    pub fn client(&self, name: &str) -> Client {
        self.client_of(&self.certificate(name))
    }

    /// A client with this certificate.
    pub fn client_of(&self, leaf: &Leaf) -> Client {
        Client::connect(&self.client_config(leaf)).expect("a client")
    }

    /// What a client with this certificate connects with.
    pub fn client_config(&self, leaf: &Leaf) -> Config {
        Config {
            address: format!("https://{}", self.address()),
            ca: self.setup.pki.ca(),
            certificate: leaf.cert.clone(),
            key: leaf.key.clone(),
            server_name: None,
        }
    }

    /// The certificate that [`client`](Self::client) shows.
    pub fn certificate(&self, name: &str) -> Leaf {
        let mut clients = self.clients.lock().expect("the clients");
        clients
            .entry(name.to_owned())
            .or_insert_with(|| self.setup.pki.client(name))
            .clone()
    }

    /// Where gRPC is served.
    pub fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Where the admin port is.
    pub fn admin(&self) -> SocketAddr {
        self.process.admin
    }

    /// The daemon's process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process.child)
    }

    /// The process ids of its workers.
    pub fn worker_pids(&self) -> Vec<Pid> {
        let mut pids = children(self.pid());
        pids.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        pids
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("to signal the daemon");
    }

    /// How much memory the process holds, in KiB (`VmRSS`).
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(path).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.expect("VmRSS").parse().expect("a number")
    }

    /// Everything that it has logged since its start.
    pub fn log_lines(&self) -> Vec<String> {
        self.process.log.lines()
    }

    /// Waits for a log line with this in it, and gives it.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait_for_log(&self, part: &str) -> String {
        let found = self.process.log.wait(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("no line of the log has {part:?}"))
    }

    /// GETs this path of the admin port; the status line's number, and the body.
    pub fn admin_get(&self, path: &str) -> (u16, String) {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.admin()).expect("the admin port");
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("to ask");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let code = head.split(' ').nth(1).expect("a status line");
        (code.parse().expect("a number"), body.to_owned())
    }

    /// The configuration file, the policy and the state directory are here.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The policy file, for tests that change it.
    pub fn policy_file(&self) -> PathBuf {
        self.directory().join("policy.toml")
    }

    /// The certificates.
    pub fn pki(&self) -> &Pki {
        &self.setup.pki
    }

    /// The first token.
    pub fn token(&self) -> &Token {
        &self.setup.tokens[0].token
    }

    /// The tokens, in the order of the configuration.
    pub fn tokens(&self) -> &[Seat] {
        &self.setup.tokens
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        show_log_of_failure(self);
    }
}

impl Shared {
    /// Hands out the daemon of a `static`; the first that asks starts it.
    pub fn get(daemon: &'static LazyLock<Daemon>) -> Self {
        Self(daemon)
    }
}

impl Deref for Shared {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        show_log_of_failure(self.0);
    }
}

fn show_log_of_failure(daemon: &Daemon) {
    if thread::panicking() {
        let lines = daemon.log_lines();
        let shown = &lines[lines.len().saturating_sub(SHOWN)..];
        eprintln!("--- the daemon's log ---\n{}\n---", shown.join("\n"));
    }
}

/// Asks until it is so.
pub async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let ask_on = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, ask_on).await;
    answer.expect("it never was so")
}

/// How often something is done: a few times, or as often as a claim says if `CHANCERY_TEST_FULL` is set.
pub fn times(few: usize, all: usize) -> usize {
    match std::env::var_os("CHANCERY_TEST_FULL") {
        Some(_) => all,
        None => few,
    }
}

/// The machine may be busy; what takes this long will never come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many lines of a log a failing test shows.
const SHOWN: usize = 200;

mod tests {
    use chancery::proto::v1::GetKeyRequest;

    use super::*;

    #[tokio::test]
    async fn a_daemon_starts_answers_restarts_and_leaves_nothing() {
        let mut daemon = Daemon::with(Token::new("harness"));
        assert_eq!(daemon.client("test").all_keys().await.unwrap(), []);
        let stranger = daemon.client("stranger");
        let request = GetKeyRequest {
            name: "keys/any".to_owned(),
        };
        let refused = Refusal::expect(stranger.keys().get_key(request).await);
        assert_eq!(refused.reason, "PERMISSION_DENIED");
        let (code, body) = daemon.admin_get("/readyz");
        assert_eq!((code, body.as_str()), (200, "main: ready\nstore: ready\n"));

        daemon.restart().await;
        assert_eq!(daemon.client("test").all_keys().await.unwrap(), []);
        let workers = daemon.worker_pids();
        let (pid, directory) = (daemon.pid(), daemon.directory().to_owned());
        drop(daemon);

        assert!(!directory.exists());
        let gone = |pid: &Pid| !Path::new(&format!("/proc/{pid}")).exists();
        assert!(gone(&pid));
        let deadline = Instant::now() + PATIENCE;
        while !workers.iter().all(gone) {
            assert!(Instant::now() < deadline, "workers outlive the daemon");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
