//! The process of a daemon: started and waited for, its log read, and ended with the tests in whatever way they end.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Instant,
};

use rustix::process::Pid;
use serde_json::Value;

use super::{PATIENCE, Setup};

/// The process, what it logs, and the guardian that ends it if the tests' own process is gone.
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) log: Log,
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
    guardian: Guardian,
}

impl Process {
    pub(super) fn start(setup: &Setup, directory: &Path) -> Self {
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
pub(super) struct Log(Arc<(Mutex<Lines>, Condvar)>);

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

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.0.lock().expect("the log").lines.clone()
    }

    /// The first line that is wanted, old or new; none if the log ends first, or time is over.
    pub(super) fn wait(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
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
