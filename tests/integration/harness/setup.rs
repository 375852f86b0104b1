//! What a daemon is started with: certificates, tokens, a policy, and the configuration that names them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Daemon;
use crate::{pki::Pki, softhsm::Token};

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
