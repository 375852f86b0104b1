//! A `chanceryd` of the benchmark's own: as it is shipped, with mTLS and a policy, on a token of its own.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use chancery::client::{Client, Config};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    kind::Kind,
    pki::{Leaf, Pki},
    process,
    softhsm::Token,
};

/// How the daemon is set up; `None` is what it does when nothing is said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) workers: Option<usize>,
    pub(crate) threads: Option<usize>,
    pub(crate) server_threads: Option<usize>,
    pub(crate) verify: bool,
    /// In place of SoftHSM's module, with what it needs in its environment.
    pub(crate) module: Option<(PathBuf, Vec<(String, String)>)>,
    /// The directory of partners' files.
    pub(crate) partners: Option<PathBuf>,
    /// What else is in the policy.
    pub(crate) policy: String,
}

/// A daemon that serves.
pub(crate) struct Daemon {
    child: Child,
    address: String,
    ca: PathBuf,
    client: Leaf,
    _directory: TempDir,
    /// From the start of the process to its ready line.
    pub(crate) start: Duration,
}

impl Daemon {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(pki: &Pki, token: &Token, settings: &Settings) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = write_config(directory.path(), pki, token, settings);
        let executable = env::var_os("CHANCERYD").map_or_else(
            || PathBuf::from(env!("CARGO_BIN_EXE_chanceryd")),
            PathBuf::from,
        );
        let before = Instant::now();
        let mut child = Command::new(executable)
            .args(["serve", "--config"])
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .expect("chanceryd");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut seen = Vec::new();
        let address = loop {
            let Some(Ok(line)) = log.next() else {
                panic!("chanceryd did not start:\n{}", seen.join("\n"));
            };
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            let fields = entry.get("fields").unwrap_or(&entry);
            if fields["message"] == "ready" {
                break fields["address"].as_str().expect("an address").to_owned();
            }
            seen.push(line);
        };
        let start = before.elapsed();
        // Nobody may find the pipe full; what is worth knowing is shown.
        thread::spawn(move || {
            for line in log.map_while(Result::ok) {
                if line.contains("\"WARN\"") || line.contains("\"ERROR\"") {
                    eprintln!("{line}");
                }
            }
        });
        Self {
            child,
            address,
            ca: pki.ca(),
            client: pki.client("bench"),
            _directory: directory,
            start,
        }
    }

    /// So many connections.
    pub(crate) fn connect(&self, count: usize) -> Vec<Client> {
        self.connect_as(&self.client, count)
    }

    /// So many connections with this certificate.
    pub(crate) fn connect_as(&self, client: &Leaf, count: usize) -> Vec<Client> {
        let config = Config {
            address: self.address.clone(),
            ca: self.ca.clone(),
            certificate: client.cert.clone(),
            key: client.key.clone(),
            server_name: None,
        };
        (0..count)
            .map(|_| Client::connect(&config).expect("a client"))
            .collect()
    }

    /// Has one key of each kind made.
    pub(crate) async fn create_keys(&self) {
        let client = self.connect(1).remove(0);
        for kind in Kind::ALL {
            client
                .keys()
                .create_key(kind.creation())
                .await
                .expect("a key");
        }
    }

    /// The daemon's process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Its workers' processes.
    pub(crate) fn workers(&self) -> Vec<u32> {
        process::children(self.process())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; its workers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_config(directory: &Path, pki: &Pki, token: &Token, settings: &Settings) -> PathBuf {
    fs::create_dir(directory.join("state")).expect("a directory");
    let policy = format!(
        r#"
[[rules]]
name = "benchmark"
identities = ["{0}"]
keys = ["*"]
operations = ["get", "create", "sign"]
algorithms = ["*"]
[[rules]]
name = "partners"
identities = ["{0}"]
partners = ["*"]
operations = ["sign_request", "verify_callback"]
{1}"#,
        Pki::spiffe_id("bench"),
        settings.policy
    );
    fs::write(directory.join("policy.toml"), policy).expect("the policy");
    let conf = token.conf().display().to_string();
    let (module, mut environment) = settings
        .module
        .clone()
        .unwrap_or_else(|| (token.module_path().to_owned(), Vec::new()));
    environment.push(("SOFTHSM2_CONF".to_owned(), conf));
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| format!("{name} = {value:?}"))
        .collect();
    let line = |name: &str, value: Option<usize>| {
        value.map_or_else(String::new, |value| format!("{name} = {value}\n"))
    };
    let config = format!(
        r#"
state_directory = "state"
policy = "policy.toml"
[server]
address = "127.0.0.1:0"
refresh_interval_seconds = 3600
{}
[tls]
certificate = {:?}
private_key = {:?}
client_ca = {:?}
[[tokens]]
name = "main"
module = {module:?}
label = {:?}
pin = {{ file = {:?} }}
verify_signatures = {}
environment = {{ {} }}
{}{}{}"#,
        line("threads", settings.server_threads),
        pki.server().cert,
        pki.server().key,
        pki.ca(),
        token.label(),
        token.pin_file(),
        settings.verify,
        environment.join(", "),
        line("workers", settings.workers),
        line("threads", settings.threads),
        settings
            .partners
            .as_ref()
            .map_or_else(String::new, |partners| format!(
                "[platforms]\npartners = {partners:?}\n"
            )),
    );
    let path = directory.join("chancery.toml");
    fs::write(&path, config).expect("the configuration");
    path
}
