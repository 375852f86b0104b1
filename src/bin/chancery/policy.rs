//! `chancery policy`: what a policy file says, asked without a daemon.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use serde_json::json;

use chancery::{
    algorithm::Algorithm,
    identity::IdentityName,
    key::KeyName,
    partner::PartnerName,
    policy::{Need, Operation, Policy, Surroundings},
    proto::v1::{ChangePolicy, proposed_act::Act},
    scheme::{SchemeName, UnixMilliseconds},
};

use crate::{Session, arguments, partners, proposals::propose, trouble::Trouble};

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    Explain(Explain),
    Check(Check),
    Table(Table),
    Diff(Diff),
    Propose(Propose),
}

/// Tell what is probably not meant in a policy file
///
/// Duties in one hand, rules that decide nothing, names of nothing. Exits with 1 if the file is refused, and with --strict also
/// if anything is found.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery policy check policy.toml\n  \
    chancery --json keys list > keys.json && chancery policy check policy.toml --keys keys.json --strict"
)]
pub(crate) struct Check {
    /// The policy file
    #[arg(value_name = "FILE")]
    policy: PathBuf,
    /// The keys that there are, as `chancery --json keys list` prints them
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The partners that there are, as `chancery --json partners list` prints them
    #[arg(long, value_name = "FILE")]
    partners: Option<PathBuf>,
    /// Ask the daemon for the keys and partners; it tells of those that you may see
    #[arg(long, conflicts_with_all = ["keys", "partners"])]
    daemon: bool,
    /// Fail if anything is found
    #[arg(long)]
    strict: bool,
}

/// Print all that a policy file allows: who, on what, to do what, with what, on which conditions, by which rules
///
/// A line that begins with a pattern speaks of the names that no narrower pattern of the file picks out.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Table {
    /// The policy file
    #[arg(value_name = "FILE")]
    policy: PathBuf,
    /// Only for this identity or pattern of the file
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
}

/// Print what a change of the policy file changes: who gains, who loses what
///
/// Compares what is allowed, not the text. A line that begins with a pattern speaks of the names that no narrower
/// pattern of either file picks out.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Diff {
    /// The policy file as it was
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// The policy file as it is to be
    #[arg(value_name = "AFTER")]
    after: PathBuf,
}

/// Propose that a policy file come into force which allows more than the one that is
///
/// What the daemon is told is the SHA-256 of the file. When others have approved it, put exactly this file in the place of
/// the policy.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Propose {
    /// The policy file as it is to be
    #[arg(value_name = "FILE")]
    policy: PathBuf,
}

/// Say which rule of a policy file decides a request, and why the others don't
///
/// Exits with 0 if it would be allowed, with 3 if it would be denied.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery policy explain --policy policy.toml --identity spiffe://example.org/app-a \\\n      \
    --operation sign --key payouts --algorithm ES256\n  \
    chancery policy explain --policy policy.toml --identity spiffe://example.org/app-a \\\n      \
    --operation sign_request --partner ayolinx --scheme snap-service"
)]
pub(crate) struct Explain {
    /// The policy file
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Who asks: spiffe://TRUST-DOMAIN/PATH or dns:NAME
    #[arg(long, value_name = "NAME")]
    identity: IdentityName,
    /// To do what
    #[arg(long, value_parser = arguments::operation())]
    operation: Operation,
    /// With which key
    #[arg(long, value_parser = arguments::key_name)]
    key: Option<KeyName>,
    /// With which partner
    #[arg(long)]
    partner: Option<PartnerName>,
    /// By which of the partner's schemes; left out, whether any will do
    #[arg(long)]
    scheme: Option<SchemeName>,
    /// With which algorithm
    #[arg(long, value_parser = arguments::any_algorithm())]
    algorithm: Option<Algorithm>,
    /// When, RFC 3339, such as 2026-12-31T23:59:59Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<UnixMilliseconds>,
}

fn time(text: &str) -> Result<UnixMilliseconds, String> {
    UnixMilliseconds::from_rfc3339(text)
        .ok_or_else(|| "expected RFC 3339, such as 2026-12-31T23:59:59Z".to_owned())
}

fn now() -> UnixMilliseconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixMilliseconds(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}

impl PolicyCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::Explain(explain) => explain.run(session),
            Self::Check(check) => check.run(session).await,
            Self::Table(table) => table.run(session),
            Self::Diff(diff) => diff.run(session),
            Self::Propose(propose) => propose.run(session).await,
        }
    }
}

impl Check {
    async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let policy = load(&self.policy)?;
        let mut surroundings = Surroundings {
            now: now(),
            keys: self
                .keys
                .as_deref()
                .map(|path| listed(path, "keys"))
                .transpose()?,
            partners: self
                .partners
                .as_deref()
                .map(|path| listed(path, "partners"))
                .transpose()?,
        };
        if self.daemon {
            let keys = session.client()?.all_keys().await?;
            surroundings.keys = Some(keys.iter().filter_map(|key| of(&key.name)).collect());
            let partners = partners::all(session).await?;
            surroundings.partners = Some(partners.iter().filter_map(|one| of(&one.name)).collect());
        }
        let findings = policy.findings(&surroundings);
        if session.global.json {
            let report = json!({
                "rules": policy.len(),
                "digest": policy.digest(),
                "findings": findings,
            });
            session.streams.json(&report)?;
        } else {
            for finding in &findings {
                session.streams.line(&format!("warning: {finding}"))?;
            }
            let line = format!("{} rules, {} warnings", policy.len(), findings.len());
            session.streams.tell(&line);
        }
        match self.strict && !findings.is_empty() {
            true => Err(Trouble::NotValid),
            false => Ok(()),
        }
    }
}

impl Table {
    fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let policy = load(&self.policy)?;
        let mut rows = policy.table();
        if let Some(identity) = &self.identity {
            rows.retain(|row| row.identity == *identity);
        }
        if session.global.json {
            return session.streams.json(&json!({"rows": rows}));
        }
        // Operations that are alike in all else share a line.
        let mut lines: Vec<Vec<String>> = Vec::new();
        for row in rows {
            let line = vec![
                row.identity,
                or_dash(row.on),
                row.operation.to_string(),
                or_dash(row.with.join(" ")),
                or_dash(row.conditions.join(" or ")),
                row.rules.join(" "),
            ];
            let alike = |one: &&mut Vec<String>| (0..6).all(|at| at == 2 || one[at] == line[at]);
            match lines.iter_mut().find(alike) {
                Some(same) => same[2] = format!("{} {}", same[2], line[2]),
                None => lines.push(line),
            }
        }
        let header = ["identity", "on", "operations", "with", "if", "rules"];
        session.streams.table(&header, lines)
    }
}

impl Diff {
    fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let (before, after) = (load(&self.before)?, load(&self.after)?);
        let changes = before.changes_to(&after);
        let quotas = before.quota_changes_to(&after);
        if session.global.json {
            return session
                .streams
                .json(&json!({"changes": changes, "quotas": quotas}));
        }
        if !quotas.is_empty() {
            let rows = quotas.into_iter().map(|change| {
                vec![
                    change.quota,
                    change.kind.name().to_owned(),
                    or_dash(change.before.unwrap_or_default()),
                    or_dash(change.after.unwrap_or_default()),
                ]
            });
            let rows = rows.collect();
            let header = ["quota", "", "limits, before", "limits, after"];
            session.streams.table(&header, rows)?;
            if changes.is_empty() {
                return Ok(());
            }
        }
        if changes.is_empty() {
            session
                .streams
                .tell("nothing changes: every request gets the same verdict");
            return Ok(());
        }
        let rows = changes.into_iter().map(|change| {
            let (before, after) = (change.before.join(" or "), change.after.join(" or "));
            vec![
                change.identity,
                change.kind.name().to_owned(),
                change.operation.to_string(),
                or_dash(change.on),
                or_dash(change.with.join(" ")),
                or_dash(before),
                or_dash(after),
            ]
        });
        let rows = rows.collect();
        let header = [
            "identity",
            "",
            "operation",
            "on",
            "with",
            "if, before",
            "if, after",
        ];
        session.streams.table(&header, rows)
    }
}

impl Propose {
    async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        // A file that the daemon would refuse anyway needs nobody's approval.
        let policy = load(&self.policy)?;
        let client = session.client()?;
        let sha256 = hex::encode(policy.sha256());
        let act = Act::ChangePolicy(ChangePolicy { sha256 });
        propose(session, &client, act).await
    }
}

fn load(path: &Path) -> Result<Policy, Trouble> {
    let text = fs::read_to_string(path).map_err(|source| Trouble::File {
        what: path.to_owned(),
        source,
    })?;
    Policy::parse(&text).map_err(|error| Trouble::Policy {
        path: path.to_owned(),
        why: error.to_string(),
    })
}

/// The names in a listing: `{"keys": [{"name": "keys/payouts"}]}`.
fn listed<N: FromStr + Ord>(path: &Path, what: &str) -> Result<BTreeSet<N>, Trouble> {
    let file = |source| Trouble::File {
        what: path.to_owned(),
        source,
    };
    let text = fs::read(path).map_err(file)?;
    let listing = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let names = listing.as_ref().and_then(|listing| {
        let one = |entry: &serde_json::Value| of(entry["name"].as_str()?);
        listing[what]
            .as_array()?
            .iter()
            .map(one)
            .collect::<Option<_>>()
    });
    names.ok_or_else(|| Trouble::Policy {
        path: path.to_owned(),
        why: format!("expected what `chancery --json {what} list` prints"),
    })
}

/// The name at the end of a resource's.
fn of<N: FromStr>(resource: &str) -> Option<N> {
    resource.rsplit('/').next()?.parse().ok()
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

impl Explain {
    fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let needs = self.operation.needs();
        for (argument, need, given) in [
            ("--key", needs.key, self.key.is_some()),
            ("--algorithm", needs.algorithm, self.algorithm.is_some()),
            ("--partner", needs.partner, self.partner.is_some()),
            (
                "--scheme",
                match needs.scheme {
                    Need::Always | Need::Sometimes => Need::Sometimes,
                    Need::Never => Need::Never,
                },
                self.scheme.is_some(),
            ),
        ] {
            let problem = match (need, given) {
                (Need::Always, false) => "needs",
                (Need::Never, true) => "does not take",
                (Need::Always | Need::Sometimes, true) | (Need::Sometimes | Need::Never, false) => {
                    continue;
                }
            };
            return Err(Trouble::Usage(format!(
                "{} {problem} {argument}",
                self.operation
            )));
        }
        let policy = load(&self.policy)?;
        let at = self.at.unwrap_or_else(now);
        let explanation = match &self.partner {
            Some(partner) => policy.explain_partner(
                &self.identity,
                Some(partner),
                self.scheme.as_ref(),
                self.operation,
                Some(at),
            ),
            None => policy.explain(
                &self.identity,
                self.key.as_ref(),
                self.operation,
                self.algorithm,
                Some(at),
            ),
        };
        if session.global.json {
            session.streams.json(&json!(explanation))?;
        } else {
            session.streams.line(&explanation.to_string())?;
        }
        if explanation.allowed {
            Ok(())
        } else {
            Err(Trouble::WouldDeny)
        }
    }
}
