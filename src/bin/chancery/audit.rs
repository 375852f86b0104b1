//! `chancery audit`: the daemon's log, read over the network, or examined as files without a daemon.

use std::{fs, path::Path};

use clap::{Args, Subcommand};

use chancery::{
    audit::{EventKind, Filter, InvalidTimestamp, ResultKind, SignedCheckpoint, Timestamp},
    policy::Operation,
};

use crate::{Session, trouble::Trouble};

mod offline;
mod online;

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    List(online::List),
    Get(online::Get),
    Checkpoint(online::LastCheckpoint),
    Verify(offline::Verify),
    Prove(offline::Prove),
    CheckProof(offline::CheckProof),
    Consistency(offline::Consistency),
    Tail(offline::Tail),
    Export(offline::Export),
}

/// Which records are wanted.
#[derive(Args)]
struct Which {
    /// Only of this caller
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Only about this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only of this kind: intent, outcome, denied, started, ...
    #[arg(long, value_name = "KIND")]
    kind: Option<EventKind>,
    /// Only for this partner
    #[arg(long, value_name = "PARTNER")]
    partner: Option<String>,
    /// Only about this operation, in the policy's words: sign, get, read_audit, ...
    #[arg(long, value_name = "OPERATION")]
    operation: Option<Operation>,
    /// Only what ended so: succeeded, valid, invalid, failed, repeated, abandoned, denied
    #[arg(long, value_name = "RESULT")]
    result: Option<ResultKind>,
    /// Not before, such as 2026-11-22T14:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

impl AuditCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::List(list) => list.run(session).await,
            Self::Get(get) => get.run(session).await,
            Self::Checkpoint(last) => last.run(session).await,
            Self::Verify(verify) => verify.run(session),
            Self::Prove(prove) => prove.run(session),
            Self::CheckProof(check) => check.run(session),
            Self::Consistency(consistency) => consistency.run(session),
            Self::Tail(tail) => tail.run(session).await,
            Self::Export(export) => export.run(session),
        }
    }
}

impl From<Which> for Filter {
    fn from(which: Which) -> Self {
        Self {
            identity: which.identity,
            key: which.key,
            kind: which.kind,
            partner: which.partner,
            operation: which.operation,
            result: which.result,
            since: which.since,
            until: which.until,
        }
    }
}

/// A time as records have it, or to the second.
fn moment(text: &str) -> Result<Timestamp, InvalidTimestamp> {
    match text.strip_suffix('Z') {
        Some(seconds) if !seconds.contains('.') => format!("{seconds}.000000Z").parse(),
        _ => text.parse(),
    }
}

fn checkpoint(path: &Path) -> Result<SignedCheckpoint, Trouble> {
    read(path)?
        .parse()
        .map_err(|error| Trouble::Audit(format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> Result<String, Trouble> {
    fs::read_to_string(path).map_err(|source| Trouble::File {
        what: path.to_owned(),
        source,
    })
}
