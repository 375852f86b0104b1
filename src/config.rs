//! The configuration file: every room's own part, composed and checked whole before a port is bound.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    admin, grpc,
    key::KeyName,
    pkcs11::{self, Declaration, PinSource},
    policy::Policy,
    telemetry, tls,
};

/// The whole configuration, checked. Paths are absolute.
#[derive(Debug)]
pub struct Config {
    /// Where marks and locks are kept.
    pub state_directory: PathBuf,
    /// The policy file.
    pub policy_file: PathBuf,
    /// The policy that is in it.
    pub policy: Policy,
    /// The gRPC port.
    pub server: Server,
    /// Who is let in, and with what.
    pub tls: tls::Config,
    /// The plain HTTP port for operators, if there is one.
    pub admin: Option<admin::Config>,
    /// What is logged.
    pub log: telemetry::Config,
    /// The tokens; at least one.
    pub tokens: Vec<pkcs11::Config>,
    /// What keys that others made are for.
    pub keys: Vec<Declaration>,
}

/// `[server]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether gRPC reflection is served to whoever gets in.
    #[serde(default = "yes")]
    pub reflection: bool,
    /// The longest that a call may take.
    #[serde(default = "thirty")]
    pub max_deadline_seconds: u32,
    /// The largest request.
    #[serde(default = "four_mebibytes")]
    pub max_request_bytes: u32,
    /// The most items of a batch.
    #[serde(default = "thousand")]
    pub max_batch: u32,
    /// How long a connection may last; then the client makes another, with the certificates of that day.
    #[serde(default = "hour")]
    pub max_connection_age_seconds: u32,
    /// How long calls may take to end when the daemon stops.
    #[serde(default = "ten")]
    pub drain_timeout_seconds: u32,
    /// How often the tokens are listed, for keys that others made.
    #[serde(default = "sixty")]
    pub refresh_interval_seconds: u32,
    /// How many threads serve the network; the tokens' work is done elsewhere.
    #[serde(default = "one")]
    pub threads: u32,
}

/// Why a configuration is refused: file, line, key, what was expected and what came.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The file is not what it should be.
    #[error("{}{}: {}{message}", path.display(), Line(*line), Key(key))]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, if it is known.
        line: Option<usize>,
        /// The key, such as `tokens[0].pin`, if it is known.
        key: String,
        /// What was expected and what came.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    state_directory: PathBuf,
    policy: PathBuf,
    server: Server,
    tls: tls::Config,
    admin: Option<admin::Config>,
    #[serde(default)]
    log: telemetry::Config,
    tokens: Vec<pkcs11::Config>,
    #[serde(default)]
    keys: Vec<Declaration>,
}

impl Config {
    /// Reads and checks a file and all that it names.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], for the first fault.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        let file: File = parse(path, &text)?;
        let fault = |key: &str, message: String| {
            Err(ConfigError::Content {
                path: path.to_owned(),
                line: line_of_key(&text, key),
                key: key.to_owned(),
                message,
            })
        };
        let mut names = BTreeMap::new();
        if file.tokens.is_empty() {
            return fault(
                "tokens",
                "there is no [[tokens]]; expected at least one".to_owned(),
            );
        }
        for (index, token) in file.tokens.iter().enumerate() {
            if let Some(first) = names.insert(&token.name, index) {
                return fault(
                    "tokens",
                    format!(
                        "tokens[{first}] and tokens[{index}] are both named {:?}",
                        token.name.as_str()
                    ),
                );
            }
        }
        let mut declared: BTreeMap<&KeyName, usize> = BTreeMap::new();
        for (index, key) in file.keys.iter().enumerate() {
            if let Some(first) = declared.insert(&key.name, index) {
                return fault(
                    "keys",
                    format!(
                        "keys[{first}] and keys[{index}] are both named {:?}",
                        key.name.as_str()
                    ),
                );
            }
        }
        if let Some(admin) = &file.admin
            && !admin.address.ip().is_loopback()
        {
            return fault(
                "admin",
                format!(
                    "`address` is {}; the admin port has no access control, so expected a loopback address",
                    admin.address
                ),
            );
        }
        // Relative paths are meant from where the file is.
        let base = std::path::absolute(path)
            .ok()
            .and_then(|path| path.parent().map(Path::to_owned))
            .unwrap_or_else(|| PathBuf::from("/"));
        let resolve = |path: PathBuf| base.join(path);
        let policy_file = resolve(file.policy);
        let policy = load_policy(&policy_file)?;
        let tokens = file
            .tokens
            .into_iter()
            .map(|mut token| {
                if let PinSource::File(pin) = &mut token.pin {
                    *pin = base.join(&*pin);
                }
                token
            })
            .collect();
        let tls = tls::Config {
            certificate: resolve(file.tls.certificate),
            private_key: resolve(file.tls.private_key),
            client_ca: resolve(file.tls.client_ca),
            crl: file.tls.crl.into_iter().map(resolve).collect(),
            ..file.tls
        };
        let state_directory = resolve(file.state_directory);
        if !state_directory.is_dir() {
            return fault(
                "state_directory",
                format!(
                    "{} is not a directory; make it, owned by the daemon's user",
                    state_directory.display()
                ),
            );
        }
        Ok(Self {
            state_directory,
            policy_file,
            policy,
            server: file.server,
            tls,
            admin: file.admin,
            log: file.log,
            tokens,
            keys: file.keys,
        })
    }
}

impl Server {
    /// What callers may ask for at most.
    pub fn limits(&self) -> grpc::Limits {
        grpc::Limits {
            max_deadline: Duration::from_secs(self.max_deadline_seconds.into()),
            max_request_bytes: self.max_request_bytes as usize,
            max_batch: self.max_batch as usize,
            stream_width: 128,
            chunk_timeout: Duration::from_secs(10),
        }
    }
}

/// Reads and checks a policy file.
///
/// # Errors
///
/// [`ConfigError`].
pub fn load_policy(path: &Path) -> Result<Policy, ConfigError> {
    let text = read(path)?;
    Policy::parse(&text).map_err(|error| ConfigError::Content {
        path: path.to_owned(),
        line: None,
        key: String::new(),
        message: error.to_string(),
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|error| ConfigError::Read {
        path: path.to_owned(),
        cause: error.to_string(),
    })
}

fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
    let located = |error: &toml::de::Error, key: String| ConfigError::Content {
        path: path.to_owned(),
        line: error
            .span()
            .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1),
        key,
        message: error.message().to_owned(),
    };
    let document =
        toml::Deserializer::parse(text).map_err(|error| located(&error, String::new()))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let key = error.path().to_string();
        located(error.inner(), if key == "." { String::new() } else { key })
    })
}

/// The first line that starts a table or a value of this name.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    text.lines()
        .position(|line| {
            line.trim_start()
                .trim_start_matches('[')
                .trim_start()
                .starts_with(key)
        })
        .map(|index| index + 1)
}

struct Line(Option<usize>);

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(formatter, ":{line}"))
    }
}

struct Key<'a>(&'a str);

impl fmt::Display for Key<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(formatter, "{}: ", self.0)
        }
    }
}

const fn yes() -> bool {
    true
}
const fn one() -> u32 {
    1
}
const fn ten() -> u32 {
    10
}
const fn thirty() -> u32 {
    30
}
const fn sixty() -> u32 {
    60
}
const fn hour() -> u32 {
    3600
}
const fn thousand() -> u32 {
    1000
}
const fn four_mebibytes() -> u32 {
    4 << 20
}
