//! The configuration file: every room's own part, composed and checked whole before a port is bound.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};

use crate::{
    admin, audit, grpc,
    key::{InvalidUsage, KeyName, Usage},
    partner::Partners,
    pkcs11::{self, Declaration, PinSource},
    policy::Policy,
    store, telemetry, tls,
};

mod location;
mod platforms;

pub use platforms::{Files, Platforms, load_partners};

/// The whole configuration, checked. Paths are absolute.
#[derive(Debug)]
pub struct Config {
    /// SHA-256 of the file.
    pub digest: audit::Digest,
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
    /// Where what must outlive the process is kept.
    pub store: store::Config,
    /// How many callbacks are remembered.
    pub replay: store::ReplayConfig,
    /// Where the files of schemes and partners are.
    pub platforms: Platforms,
    /// What these files looked like just before they were read.
    pub seen_platforms: Files,
    /// The partners and schemes that are in them.
    pub partners: Partners,
    /// The audit log.
    pub audit: audit::Config,
    /// For how long request ids are remembered.
    pub idempotency: store::IdempotencyConfig,
    /// How long versions that are to be destroyed can be restored.
    pub lifecycle: store::LifecycleConfig,
    /// `[proposals]`.
    pub proposals: store::ProposalConfig,
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
    #[serde(default = "thirty", deserialize_with = "positive")]
    pub max_deadline_seconds: u32,
    /// The largest request.
    #[serde(default = "four_mebibytes", deserialize_with = "positive")]
    pub max_request_bytes: u32,
    /// The most items of a batch.
    #[serde(default = "thousand", deserialize_with = "positive")]
    pub max_batch: u32,
    /// How long a connection may last; then the client makes another, with the certificates of that day.
    #[serde(default = "hour", deserialize_with = "positive")]
    pub max_connection_age_seconds: u32,
    /// How long calls may take to end when the daemon stops.
    #[serde(default = "ten")]
    pub drain_timeout_seconds: u32,
    /// How often the tokens are listed, for keys that others made.
    #[serde(default = "sixty", deserialize_with = "positive")]
    pub refresh_interval_seconds: u32,
    /// How many threads serve the network; the tokens' work is done elsewhere.
    #[serde(default = "one", deserialize_with = "positive")]
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
    #[serde(default)]
    store: store::Config,
    #[serde(default)]
    replay: store::ReplayConfig,
    #[serde(default)]
    audit: audit::Config,
    #[serde(default)]
    platforms: Platforms,
    #[serde(default)]
    idempotency: store::IdempotencyConfig,
    #[serde(default)]
    lifecycle: store::LifecycleConfig,
    #[serde(default)]
    proposals: store::ProposalConfig,
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
        let fault = |key: &str, message: String| ConfigError::Content {
            path: path.to_owned(),
            line: location::line(&text, key),
            key: key.to_owned(),
            message,
        };
        file.check()
            .map_err(|(key, message)| fault(&key, message))?;
        // Relative paths are meant from where the file is.
        let base = std::path::absolute(path)
            .ok()
            .and_then(|path| path.parent().map(Path::to_owned))
            .unwrap_or_else(|| PathBuf::from("/"));
        let resolve = |path: PathBuf| base.join(path);
        // So that what is missing is told with the key that names it.
        let readable = |key: &str, path: &Path| {
            fs::File::open(path)
                .map(drop)
                .map_err(|error| fault(key, format!("{}: {error}", path.display())))
        };
        let policy_file = resolve(file.policy);
        readable("policy", &policy_file)?;
        let policy = load_policy(&policy_file)?;
        let platforms = file.platforms.resolved(&base);
        for (key, directory) in platforms.directories() {
            fs::read_dir(directory)
                .map_err(|error| fault(key, format!("{}: {error}", directory.display())))?;
        }
        // Before reading: what changes meanwhile, or while the daemon starts, is read again.
        let seen_platforms = platforms.fingerprint();
        let partners = load_partners(&platforms)?;
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
        readable("tls.certificate", &tls.certificate)?;
        readable("tls.private_key", &tls.private_key)?;
        readable("tls.client_ca", &tls.client_ca)?;
        for (index, path) in tls.crl.iter().enumerate() {
            readable(&format!("tls.crl[{index}]"), path)?;
        }
        let state_directory = resolve(file.state_directory);
        if !state_directory.is_dir() {
            return Err(fault(
                "state_directory",
                format!(
                    "{} is not a directory; make it, owned by the daemon's user",
                    state_directory.display()
                ),
            ));
        }
        Ok(Self {
            digest: audit::Digest::of(text.as_bytes()),
            store: file.store.resolved(&state_directory, &base),
            audit: file.audit.resolved(&state_directory),
            replay: file.replay,
            idempotency: file.idempotency,
            lifecycle: file.lifecycle,
            proposals: file.proposals,
            state_directory,
            policy_file,
            policy,
            server: file.server,
            tls,
            admin: file.admin,
            log: file.log,
            tokens,
            keys: file.keys,
            platforms,
            seen_platforms,
            partners,
        })
    }
}

impl File {
    /// What one value alone can't tell: the key at fault, and what is wrong.
    fn check(&self) -> Result<(), (String, String)> {
        if self.tokens.is_empty() {
            return Err((
                "tokens".to_owned(),
                "there is no [[tokens]]; expected at least one".to_owned(),
            ));
        }
        no_twins("tokens", self.tokens.iter().map(|token| &token.name))?;
        no_twins("keys", self.keys.iter().map(|key| &key.name))?;
        for (index, key) in self.keys.iter().enumerate() {
            check_declaration(key)
                .map_err(|(part, error)| (format!("keys[{index}].{part}"), error.to_string()))?;
        }
        self.audit.check()?;
        if let Some(name) = &self.audit.checkpoint_token
            && !self.tokens.iter().any(|token| token.name == *name)
        {
            return Err((
                "audit.checkpoint_token".to_owned(),
                format!("there is no token named {name}; expected the name of one of [[tokens]]"),
            ));
        }
        let clients = self.admin.iter().flat_map(|one| &one.oneaccess_public_keys);
        let mut seen = BTreeSet::new();
        for (index, one) in clients.enumerate() {
            if !seen.insert(&one.client_id) {
                return Err((
                    format!("admin.oneaccess_public_keys[{index}].client_id"),
                    format!(
                        "{:?} has a key already; expected one key for each",
                        one.client_id
                    ),
                ));
            }
        }
        match &self.admin {
            Some(admin) if !admin.address.ip().is_loopback() => Err((
                "admin.address".to_owned(),
                format!(
                    "it is {}; the admin port has no access control, so expected a loopback address such as 127.0.0.1:7480",
                    admin.address
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// A name must mean one thing.
fn no_twins<'a>(
    list: &str,
    names: impl Iterator<Item = &'a KeyName>,
) -> Result<(), (String, String)> {
    let mut seen = BTreeMap::new();
    for (index, name) in names.enumerate() {
        if let Some(first) = seen.insert(name, index) {
            return Err((
                format!("{list}[{index}].name"),
                format!("{list}[{first}] is named \"{name}\" too; expected another name"),
            ));
        }
    }
    Ok(())
}

/// What can be said of a key before its type is known.
fn check_declaration(key: &Declaration) -> Result<(), (&'static str, InvalidUsage)> {
    let purpose = key.purpose;
    if key.algorithms.is_empty() {
        return Err(("algorithms", InvalidUsage::NoAlgorithm));
    }
    let other = key.algorithms.iter().find(|one| one.purpose() != purpose);
    if let Some(algorithm) = other.copied() {
        return Err(("algorithms", InvalidUsage::Purpose { algorithm, purpose }));
    }
    Usage::check_content(
        purpose,
        &key.algorithms,
        &key.content_encryptions,
        key.allow_compression,
    )
    .map_err(|invalid| ("content_encryptions", invalid))
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
        line: error.line(),
        key: error.key().unwrap_or_default().to_owned(),
        message: error.message().to_owned(),
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|error| ConfigError::Read {
        path: path.to_owned(),
        cause: error.to_string(),
    })
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    let located = |error: &toml::de::Error, key: String, message: String| {
        let known = location::line(text, &key);
        let told = error
            .span()
            .map(|span| location::of_offset(text, span.start));
        ConfigError::Content {
            path: path.to_owned(),
            // What the parser points at is the value or the table; the key itself is nearer. What is missing
            // from the top has no line.
            line: if key.is_empty() { told } else { known },
            key,
            message,
        }
    };
    let document = toml::Deserializer::parse(text)
        .map_err(|error| located(&error, String::new(), error.message().to_owned()))?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let outer = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        let (key, message) = told(outer, error.inner().message());
        located(error.inner(), key, message)
    })
}

/// The key that is meant, and a message that does not name it again.
fn told(outer: String, message: &str) -> (String, String) {
    let quoted = |what: &str| {
        let name = message.strip_prefix(what)?.strip_prefix('`')?;
        name.split_once('`')
    };
    let inner = |name: &str| match outer.as_str() {
        "" => name.to_owned(),
        outer if outer.ends_with(name) => outer.to_owned(),
        outer => format!("{outer}.{name}"),
    };
    if let Some((name, _)) = quoted("missing field ") {
        return (inner(name), "it is missing, and has no default".to_owned());
    }
    if let Some((name, rest)) = quoted("unknown field ") {
        let rest = rest.trim_start_matches(',').trim();
        return (
            inner(name),
            format!("there is no such key here; {}", rest.replace('`', "")),
        );
    }
    if message == "invalid socket address syntax" {
        let expected =
            "expected an IP address and a port, such as 127.0.0.1:7443; names are not looked up";
        return (outer, expected.to_owned());
    }
    (outer, message.to_owned())
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

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("it is 0; expected 1 or more")),
        number => Ok(number),
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
