//! `chancery policy`: what a policy file says, asked without a daemon.

use std::{
    fs,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use serde_json::json;

use chancery::{
    algorithm::Algorithm,
    identity::IdentityName,
    key::KeyName,
    partner::PartnerName,
    policy::{Need, Operation, Policy},
    scheme::{SchemeName, UnixMilliseconds},
};

use crate::{Session, arguments, trouble::Trouble};

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    Explain(Explain),
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
    pub(crate) fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::Explain(explain) => explain.run(session),
        }
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
        let text = fs::read_to_string(&self.policy).map_err(|source| Trouble::File {
            what: self.policy.clone(),
            source,
        })?;
        let policy = Policy::parse(&text).map_err(|error| Trouble::Policy {
            path: self.policy.clone(),
            why: error.to_string(),
        })?;
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
