//! The shipped daemon as a process, over tokens, certificates and a policy of a test's own.
//!
//! [`Daemon::with`] one token is most of what a test needs; [`Setup`] has the rest. Daemons that tests share
//! live in a `static` and are handed out by [`Shared`]. However a test ends, nothing of it stays behind.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, LazyLock, Mutex},
    thread,
    time::{Duration, Instant},
};

use chancery::client::{Client, Code, Config, Status};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tonic_types::StatusExt;

use crate::{
    pki::{Leaf, Pki},
    softhsm::Token,
};

/// What a daemon is started with.
pub struct Setup {
    /// The certificates.
    pub pki: Pki,
    /// The tokens; the first is the one that most tests mean.
    pub tokens: Vec<Seat>,
    /// The policy file.
    pub policy: String,
    /// Further lines of `[server]`.
    pub server: String,
    /// Further lines of `[tls]`.
    pub tls: String,
    /// Tables at the end of the configuration, such as `[[keys]]`.
    pub tables: String,
    /// Environment variables of the daemon itself.
    pub environment: BTreeMap<String, String>,
    /// A program that becomes the daemon, with its arguments, such as `strace -D`; none if empty.
    pub before: Vec<String>,
}

/// A token in the configuration.
pub struct Seat {
    /// Its name there.
    pub name: String,
    /// The token, which daemons may share.
    pub token: Arc<Token>,
    /// The module, if it is not SoftHSM's.
    pub module: Option<PathBuf>,
    /// How many worker processes.
    pub workers: usize,
    /// How many threads in each.
    pub threads: usize,
    /// The workers' environment; `SOFTHSM2_CONF` is there.
    pub environment: BTreeMap<String, String>,
    /// Further lines of its `[[tokens]]`.
    pub lines: String,
}

/// A running daemon; killed when it goes out of scope, its log shown if that is a failing test's scope.
pub struct Daemon {
    setup: Setup,
    directory: TempDir,
    clients: Mutex<HashMap<String, Leaf>>,
    process: Process,
}

/// A daemon that several tests share. It shows its log in those that fail.
pub struct Shared(&'static Daemon);

/// What every error says: its status, and the `google.rpc.ErrorInfo` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC status code.
    pub code: Code,
    /// `ErrorInfo.reason`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// `ErrorInfo.metadata`.
    pub metadata: BTreeMap<String, String>,
}

/// A policy that lets the clients named `test` do everything.
pub const ALLOW_TEST: &str = r#"
[[rules]]
name = "everything"
identities = ["spiffe://chancery.test/test"]
keys = ["*"]
operations = ["sign", "verify", "encrypt", "decrypt", "get", "create", "import", "rotate", "update", "destroy", "request_certificate", "generate_random"]
algorithms = ["*"]
"#;

impl Setup {
    /// One token, called `main`, and [`ALLOW_TEST`].
    pub fn new(token: impl Into<Arc<Token>>) -> Self {
        Self {
            pki: Pki::new(),
            tokens: vec![Seat::new("main", token)],
            policy: ALLOW_TEST.to_owned(),
            server: String::new(),
            tls: String::new(),
            tables: String::new(),
            environment: BTreeMap::new(),
            before: Vec::new(),
        }
    }

    /// With another token.
    #[must_use]
    pub fn token(mut self, seat: Seat) -> Self {
        self.tokens.push(seat);
        self
    }

    /// With this policy.
    #[must_use]
    pub fn policy(mut self, text: &str) -> Self {
        text.clone_into(&mut self.policy);
        self
    }

    /// With more lines in `[server]`.
    #[must_use]
    pub fn server(mut self, lines: &str) -> Self {
        self.server += lines;
        self.server.push('\n');
        self
    }

    /// With no checkpoint of the audit log while a test lasts: its signature would meet the faults that are ordered for
    /// those of callers, and be counted with them.
    #[must_use]
    pub fn rare_checkpoints(self) -> Self {
        self.tables("[audit]\ncheckpoint_seconds = 3600")
    }

    /// With more tables at the end.
    #[must_use]
    pub fn tables(mut self, text: &str) -> Self {
        self.tables += text;
        self.tables.push('\n');
        self
    }

    /// With so many workers of so many threads for the first token.
    #[must_use]
    pub fn workers(mut self, workers: usize, threads: usize) -> Self {
        let seat = &mut self.tokens[0];
        (seat.workers, seat.threads) = (workers, threads);
        self
    }

    /// Starts the daemon, and waits until it is ready.
    pub fn start(self) -> Daemon {
        Daemon::start(self)
    }

    /// Writes the configuration and what it names into this directory, and gives its path.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let state = directory.join("state");
        fs::create_dir_all(&state).expect("the state directory");
        fs::write(directory.join("policy.toml"), &self.policy).expect("the policy");
        let path = directory.join("chancery.toml");
        fs::write(&path, self.text()).expect("the configuration");
        path
    }

    fn text(&self) -> String {
        let (server, ca) = (self.pki.server(), self.pki.ca());
        let tokens: String = self.tokens.iter().map(Seat::text).collect();
        format!(
            r#"state_directory = "state"
policy = "policy.toml"
[server]
address = "127.0.0.1:0"
{}
[tls]
certificate = {:?}
private_key = {:?}
client_ca = {ca:?}
{}
[admin]
address = "127.0.0.1:0"
jwks_keys = ["*"]
{tokens}
{}
"#,
            self.server, server.cert, server.key, self.tls, self.tables
        )
    }
}

impl Seat {
    /// Two workers of one thread.
    pub fn new(name: &str, token: impl Into<Arc<Token>>) -> Self {
        let token = token.into();
        let conf = token.conf().display().to_string();
        Self {
            name: name.to_owned(),
            token,
            module: None,
            workers: 2,
            threads: 1,
            environment: [("SOFTHSM2_CONF".to_owned(), conf)].into(),
            lines: String::new(),
        }
    }

    fn text(&self) -> String {
        let module = self.module.as_deref();
        let module = module.unwrap_or_else(|| self.token.module_path());
        let environment: Vec<_> = self
            .environment
            .iter()
            .map(|(name, value)| format!("{name} = {value:?}"))
            .collect();
        format!(
            r#"
[[tokens]]
name = {:?}
module = {module:?}
label = {:?}
pin = {{ file = {:?} }}
workers = {}
threads = {}
environment = {{ {} }}
{}
"#,
            self.name,
            self.token.label(),
            self.token.pin_file(),
            self.workers,
            self.threads,
            environment.join(", "),
            self.lines
        )
    }
}

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

impl Refusal {
    /// Reads a status.
    ///
    /// # Panics
    /// If it lacks what every status must have.
    #[track_caller]
    pub fn of(status: &Status) -> Self {
        assert_ne!(status.code(), Code::Ok, "{status:?}");
        assert!(!status.message().is_empty(), "{status:?}");
        let info = status.get_details_error_info();
        let info = info.unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
        assert_eq!(info.domain, "chancery", "{status:?}");
        assert!(!info.reason.is_empty(), "{status:?}");
        Self {
            code: status.code(),
            reason: info.reason,
            message: status.message().to_owned(),
            metadata: info.metadata.into_iter().collect(),
        }
    }

    /// Reads the status of a call that must have failed.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn expect<T: std::fmt::Debug>(result: Result<T, Status>) -> Self {
        match result {
            Ok(answer) => panic!("expected a refusal, got {answer:?}"),
            Err(status) => Self::of(&status),
        }
    }
}

/// The process, what it logs, and the guardian that ends it if the tests' own process is gone.
struct Process {
    child: Child,
    log: Log,
    address: SocketAddr,
    admin: SocketAddr,
    guardian: Guardian,
}

impl Process {
    fn start(setup: &Setup, directory: &Path) -> Self {
        let config = setup.write(directory);
        let mut words = setup.before.clone();
        words.push(env!("CARGO_BIN_EXE_chanceryd").to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command.args(["serve", "--config"]).arg(config);
        command.envs(&setup.environment);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("chanceryd");
        let mut directories = vec![directory, setup.pki.directory()];
        directories.extend(setup.tokens.iter().map(|seat| seat.token.directory()));
        let guardian = Guardian::start(child.id(), &directories);
        let log = Log::read(child.stderr.take().expect("its standard error"));
        let ready = log.wait(|line| line.contains(r#""message":"ready""#));
        let Some(ready) = ready else {
            let status = child.try_wait();
            let _ = child.kill();
            let log = log.lines().join("\n");
            panic!("chanceryd is not ready; it is {status:?} and said\n{log}");
        };
        let ready: Value = serde_json::from_str(&ready).expect("JSON");
        let address = |name: &str| {
            let text = ready[name].as_str().expect("an address");
            text.parse().expect("an address")
        };
        Self {
            address: address("address"),
            admin: address("admin"),
            child,
            log,
            guardian,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.guardian.dismiss();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shell that waits for its standard input to end: when this process ends, in whatever way. A `static` is
/// never dropped, and an interrupted test drops nothing; then the shell kills the daemon and tidies up.
struct Guardian {
    shell: Child,
    input: Option<ChildStdin>,
}

impl Guardian {
    fn start(daemon: u32, directories: &[&Path]) -> Self {
        const SCRIPT: &str = r#"trap "" INT TERM HUP
read -r dismissed && exit
kill -KILL "$1"; shift; rm -rf -- "$@""#;
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "guardian", &daemon.to_string()])
            .args(directories)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let input = shell.stdin.take();
        Self { shell, input }
    }

    fn dismiss(&mut self) {
        use std::io::Write;
        if let Some(mut input) = self.input.take() {
            let _ = input.write_all(b"dismissed\n");
        }
        let _ = self.shell.wait();
    }
}

/// The lines of the log so far, and whether more may come.
#[derive(Clone)]
struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    fn read(stream: ChildStderr) -> Self {
        let log = Self(Arc::default());
        let writer = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                writer.change(|lines| lines.lines.push(line));
            }
            writer.change(|lines| lines.ended = true);
        });
        log
    }

    fn change(&self, edit: impl FnOnce(&mut Lines)) {
        let (lines, changed) = &*self.0;
        edit(&mut lines.lock().expect("the log"));
        changed.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        self.0.0.lock().expect("the log").lines.clone()
    }

    /// The first line that is wanted, old or new; none if the log ends first, or time is over.
    fn wait(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let (lines, changed) = &*self.0;
        let deadline = Instant::now() + PATIENCE;
        let mut lines = lines.lock().expect("the log");
        loop {
            if let Some(line) = lines.lines.iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.ended || left.is_zero() {
                return None;
            }
            lines = changed.wait_timeout(lines, left).expect("the log").0;
        }
    }
}

fn show_log_of_failure(daemon: &Daemon) {
    if thread::panicking() {
        let lines = daemon.log_lines();
        let shown = &lines[lines.len().saturating_sub(SHOWN)..];
        eprintln!("--- the daemon's log ---\n{}\n---", shown.join("\n"));
    }
}

/// How often something is done: a few times, or as often as a claim says if `CHANCERY_TEST_FULL` is set.
pub fn times(few: usize, all: usize) -> usize {
    match std::env::var_os("CHANCERY_TEST_FULL") {
        Some(_) => all,
        None => few,
    }
}

/// The processes whose parent is this one.
pub fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let entries = fs::read_dir("/proc").expect("/proc");
    let is_child = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // `pid (name) state parent`; the name may hold anything.
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut fields = rest.split(' ');
        fields.next().is_some_and(|state| state != "Z") && fields.next() == Some(&parent)
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(is_child)
        .filter_map(Pid::from_raw)
        .collect()
}

/// The machine may be busy; a daemon that takes this long will never come.
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
