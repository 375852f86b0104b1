//! `chanceryd check`: everything that a daemon with this configuration would find, looked at and told.

use std::{fmt, path::Path, time::Duration};

use serde::Serialize;

use crate::{
    algorithm::{Algorithm, KeyType},
    config::Config,
    key::Custody,
    pkcs11::{Attributes, Capabilities, Health, Key, Problem, Token},
    policy::{KeyPattern, Policy},
    server::{open_tokens, stop_tokens, system_clock, wait_for_tokens},
    signer::{ReplayMemory, Signer},
    tls::{Endpoint, Span},
};

mod audit;
mod partners;
mod screen;
mod store;

pub use audit::AuditReport;
pub use partners::{PartnerKeyReport, PartnerReport};
pub use store::StoreReport;

/// What was found; prints for people, and serializes for programs.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Each token, in the order of the configuration.
    pub tokens: Vec<TokenReport>,
    /// Each partner, by name.
    pub partners: Vec<PartnerReport>,
    /// How many schemes there are.
    pub schemes: usize,
    /// How many of them come from files, and are not built in.
    pub schemes_of_files: usize,
    /// The audit log; none if there is none yet.
    pub audit: Option<AuditReport>,
    /// The store; none if it can't be opened.
    pub store: Option<StoreReport>,
    /// What is wrong, and what may be.
    pub findings: Vec<Finding>,
}

/// One token.
#[derive(Debug, Serialize)]
pub struct TokenReport {
    /// Its name in the configuration.
    pub name: String,
    /// The module that it is reached through.
    pub module: String,
    /// Whether it can be used.
    pub ready: bool,
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its manufacturer.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// The version of its firmware.
    pub firmware: String,
    /// The most sessions that it allows, if it says.
    pub max_sessions: Option<u64>,
    /// Whether a wrong PIN was given since the log-in before.
    pub pin_count_low: bool,
    /// All of our algorithms, and what the token makes of each.
    pub algorithms: Vec<AlgorithmReport>,
    /// The keys that are served.
    pub keys: Vec<KeyReport>,
    /// The objects that are not, and why.
    pub not_served: Vec<NotServed>,
}

/// One algorithm in one token.
#[derive(Debug, Serialize)]
pub struct AlgorithmReport {
    /// Its name.
    pub algorithm: Algorithm,
    /// The types of key with which the token can do it; none if it can't.
    pub key_types: Vec<String>,
    /// What is missing, for the types with which it can't.
    pub missing: Vec<String>,
}

/// One key.
#[derive(Debug, Serialize)]
pub struct KeyReport {
    /// Its name.
    pub name: String,
    /// What it is made of.
    pub key_type: String,
    /// What it is for.
    pub purpose: String,
    /// What it may be used with.
    pub algorithms: Vec<Algorithm>,
    /// How the content of what it opens may be encrypted.
    pub content_encryptions: Vec<String>,
    /// Who can ever see its bytes.
    pub custody: String,
    /// Its versions, newest first.
    pub versions: Vec<VersionReport>,
}

/// One version of a key.
#[derive(Debug, Serialize)]
pub struct VersionReport {
    /// Its number.
    pub version: u32,
    /// Whether somebody else made it.
    pub adopted: bool,
    /// Whether it came from outside through this daemon.
    pub imported: bool,
    /// The RFC 7638 thumbprint of its public half.
    pub thumbprint: Option<String>,
    /// What the token says of its custody.
    pub attributes: Attributes,
}

/// An object that can't be served.
#[derive(Debug, Serialize)]
pub struct NotServed {
    /// Its label.
    pub label: String,
    /// Why not.
    pub why: String,
}

/// Something wrong, or perhaps wrong.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// Of what: a key of the configuration, a rule, a key in a token.
    pub about: String,
    /// What was found, and what to do.
    pub text: String,
}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The daemon does not do what this configuration says.
    Error,
    /// It does, but perhaps not what was meant.
    Warning,
}

impl Report {
    /// Opens everything that the configuration names. `executable` is this program.
    pub async fn of(config: Config, executable: &Path) -> Self {
        let mut report = Self::default();
        match Endpoint::load(config.tls.clone()) {
            Ok(endpoint) => report.look_at_certificate(&endpoint),
            Err(error) => report.error("tls", error.to_string()),
        }
        report.look_at_audit(&config.audit);
        report.look_at_store(&config.store).await;
        let tokens = open_tokens(&config, executable);
        let signer = Signer::new(
            tokens,
            config.policy,
            config.partners,
            system_clock(),
            ReplayMemory::none(),
            None,
        );
        wait_for_tokens(&signer, PATIENCE).await;
        for (index, token) in signer.tokens().iter().enumerate() {
            let module = config.tokens[index].module.display().to_string();
            if let Some(why) = down(token) {
                report.error(&format!("tokens[{index}] {}", token.name()), why);
            }
            report.tokens.push(TokenReport::of(token, module));
        }
        let (tokens, policy) = (signer.tokens(), signer.policy());
        report.look_at_keys(tokens);
        report.look_at_partners(&signer);
        report.look_for_named_partners(&policy, &signer);
        // Of a token that is down nobody knows what is in it.
        if tokens.iter().all(|token| down(token).is_none()) {
            report.look_for_declared(&config.keys, tokens);
            report.look_for_named(&policy, tokens);
            report.look_for_partners_keys(&signer);
            report.look_for_input_key(&config.audit, &signer);
            let published = config.admin.iter().flat_map(|admin| &admin.jwks_keys);
            for name in published.filter_map(exact) {
                if !served(tokens, name) {
                    report.warning(
                        "admin.jwks_keys",
                        format!("it names {name:?}, and there is no such key"),
                    );
                }
            }
        }
        stop_tokens(signer.tokens()).await;
        report
    }

    /// What is said when the configuration can't even be read.
    pub fn unreadable(error: String) -> Self {
        let mut report = Self::default();
        report.error("configuration", error);
        report
    }

    /// Whether a daemon would do what the configuration says.
    pub fn is_good(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.level != Level::Error)
    }

    fn look_at_certificate(&mut self, endpoint: &Endpoint) {
        if let Some(fault) = endpoint.certificate_fault() {
            self.error("tls.certificate", fault.to_string());
        } else if let Some(left) = endpoint.certificate_expires_in()
            && left < RENEWAL
        {
            self.warning(
                "tls.certificate",
                format!("it expires in {}; put a new one in its place", Span(left)),
            );
        }
    }

    fn look_at_keys(&mut self, tokens: &[std::sync::Arc<Token>]) {
        let mut names: Vec<_> = tokens
            .iter()
            .flat_map(|token| token.keys().iter().cloned().collect::<Vec<_>>())
            .collect();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        for pair in names.windows(2).filter(|pair| pair[0].name == pair[1].name) {
            self.error(
                &format!("key {}", pair[0].name),
                format!(
                    "it is in the tokens {} and {}, so neither is used; give one another label",
                    pair[0].token, pair[1].token
                ),
            );
        }
        for key in names {
            if key.custody == Custody::WorkerReadable {
                self.warning(
                    &format!("key {}", key.name),
                    "it is worker-readable: a secret that is part of messages, which the token shows to whoever has its PIN".to_owned(),
                );
                continue;
            }
            let attributes = |fits: fn(&Attributes) -> bool| {
                key.versions.iter().any(|facts| fits(&facts.attributes))
            };
            if attributes(|one| one.extractable == Some(true)) {
                self.warning(
                    &format!("key {}", key.name),
                    "the token lets it be extracted (CKA_EXTRACTABLE)".to_owned(),
                );
            }
            if attributes(|one| one.sensitive == Some(false)) {
                self.warning(
                    &format!("key {}", key.name),
                    "the token shows it in the clear (CKA_SENSITIVE is false)".to_owned(),
                );
            }
        }
    }

    fn look_for_declared(
        &mut self,
        declared: &[crate::pkcs11::Declaration],
        tokens: &[std::sync::Arc<Token>],
    ) {
        for (index, declaration) in declared.iter().enumerate() {
            let name = &declaration.name;
            let about = format!("keys[{index}] {name}");
            let tables: Vec<_> = tokens.iter().map(|token| token.keys()).collect();
            let found = tables.iter().find_map(|table| table.get(name));
            let unusable = tables.iter().find_map(|table| table.why_unusable(name));
            match (found, unusable) {
                (Some(key), _) if key.newest().adopted => {}
                (Some(_), _) => self.warning(
                    &about,
                    "the key carries its own record in the token, which holds; this entry does nothing"
                        .to_owned(),
                ),
                (None, Some(why)) => self.error(&about, format!("the key can't be served: {why}")),
                (None, None) => self.error(
                    &about,
                    "no token has a private or secret key with this label".to_owned(),
                ),
            }
        }
    }

    fn look_for_named(&mut self, policy: &Policy, tokens: &[std::sync::Arc<Token>]) {
        for (rule, name) in policy.named_keys() {
            if !served(tokens, name) {
                self.warning(
                    &format!("policy rule {rule}"),
                    format!(
                        "it names the key {:?}, which no token has; until one has, the rule allows nothing with it",
                        name.as_str()
                    ),
                );
            }
        }
    }

    fn error(&mut self, about: &str, text: String) {
        self.push(Level::Error, about, text);
    }

    fn warning(&mut self, about: &str, text: String) {
        self.push(Level::Warning, about, text);
    }

    fn push(&mut self, level: Level, about: &str, text: String) {
        self.findings.push(Finding {
            level,
            about: about.to_owned(),
            text,
        });
    }
}

impl TokenReport {
    fn of(token: &Token, module: String) -> Self {
        let (facts, capabilities, keys) = (token.facts(), token.capabilities(), token.keys());
        let ready = down(token).is_none();
        Self {
            name: token.name().to_string(),
            module,
            ready,
            label: facts.label,
            serial: facts.serial,
            manufacturer: facts.manufacturer,
            model: facts.model,
            firmware: facts.firmware,
            max_sessions: facts.max_sessions,
            pin_count_low: facts.pin_count_low,
            algorithms: if ready {
                Algorithm::ALL
                    .map(|algorithm| AlgorithmReport::of(algorithm, &capabilities))
                    .into()
            } else {
                Vec::new()
            },
            keys: keys.iter().map(|key| KeyReport::of(key)).collect(),
            not_served: keys
                .problems()
                .iter()
                .map(|Problem { label, text }| NotServed {
                    label: label.clone(),
                    why: text.clone(),
                })
                .collect(),
        }
    }
}

impl AlgorithmReport {
    fn of(algorithm: Algorithm, capabilities: &Capabilities) -> Self {
        let mut report = Self {
            algorithm,
            key_types: Vec::new(),
            missing: Vec::new(),
        };
        for key_type in KeyType::ALL.into_iter().filter(|one| algorithm.fits(*one)) {
            match capabilities.supports(algorithm, key_type) {
                Ok(()) => report.key_types.push(key_type.name().to_owned()),
                Err(why) if report.missing.contains(&why) => {}
                Err(why) => report.missing.push(why),
            }
        }
        report
    }
}

impl KeyReport {
    fn of(key: &Key) -> Self {
        Self {
            name: key.name.to_string(),
            key_type: key.usage.key_type().to_string(),
            purpose: key.usage.purpose().to_string(),
            algorithms: key.usage.algorithms().to_vec(),
            content_encryptions: key
                .usage
                .content_encryptions()
                .iter()
                .map(ToString::to_string)
                .collect(),
            custody: key.custody.to_string(),
            versions: key
                .versions
                .iter()
                .map(|facts| VersionReport {
                    version: facts.version.version.number(),
                    adopted: facts.adopted,
                    imported: facts.imported,
                    thumbprint: facts.thumbprint.clone(),
                    attributes: facts.attributes,
                })
                .collect(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(formatter, "{level}: {}: {}", self.about, self.text)
    }
}

fn down(token: &Token) -> Option<String> {
    match &*token.health().borrow() {
        Health::Ready => None,
        Health::Down(why) => Some(why.clone()),
        Health::Starting => Some("it did not start in time".to_owned()),
    }
}

fn served(tokens: &[std::sync::Arc<Token>], name: &crate::key::KeyName) -> bool {
    tokens.iter().any(|token| token.keys().get(name).is_some())
}

fn exact(pattern: &KeyPattern) -> Option<&crate::key::KeyName> {
    match pattern {
        KeyPattern::Exact(name) => Some(name),
        KeyPattern::Prefix(_) => None,
    }
}

/// More than the start timeout of a token that is slow by default.
const PATIENCE: Duration = Duration::from_secs(60);
/// With less time left than this, a certificate should have been renewed.
const RENEWAL: Duration = Duration::from_secs(14 * 86_400);
