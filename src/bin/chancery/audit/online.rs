//! The log of a running daemon, for an auditor, who believes nothing but the public key that he has.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use chancery::{
    audit::{Checkpoint, Digest, Filter, Proof, SignedCheckpoint, Timestamp, Vkey, tree},
    client::Failure,
    proto::v1::{
        AuditEventKind, AuditOrder, AuditRecord, AuditResult, GetAuditCheckpointRequest,
        GetAuditConsistencyProofRequest, GetAuditRecordRequest, GetAuditRecordResponse,
        ListAuditRecordsRequest,
    },
};

use super::{Which, checkpoint};
use crate::{Session, output::printable, trouble::Trouble};

/// List what was done or refused, the newest first
///
/// That this was read is recorded too.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery audit list --identity spiffe://example.org/payouts --result denied\n  \
    chancery audit list --key payouts --since 2026-11-22T14:00:00Z --all\n  \
    chancery --json audit list --oldest-first --from 1200 --limit 50"
)]
pub(crate) struct List {
    #[command(flatten)]
    which: Which,
    /// Not before the record with this number
    #[arg(long, value_name = "NUMBER")]
    from: Option<u64>,
    /// Before the record with this number
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    /// The oldest first
    #[arg(long)]
    oldest_first: bool,
    /// At most so many
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
    limit: usize,
    /// All there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Get one record, and check the proof that it is in the log
///
/// Writes the record's line to stdout, what was checked to stderr.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery audit get 1207 --vkey example.com/chancery+b3c69e9d+AQOhB7/zzhC+HX...\n  \
    chancery audit get 1207 --proof 1207.proof > 1207.json"
)]
pub(crate) struct Get {
    /// The record's number
    #[arg(value_name = "NUMBER")]
    number: u64,
    /// Write the proof (C2SP tlog-proof) to this file, for `check-proof`; fails if there is none yet
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    #[command(flatten)]
    key: Known,
}

/// Get the last checkpoint, and check that the log begins with an older one's
///
/// Writes the signed note to stdout. Who keeps it elsewhere can show later that the log was put back or rewritten.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example, to be done every hour on another host:\n  \
    chancery audit checkpoint --vkey example.com/chancery+b3c69e9d+AQOhB7/zzhC+HX... --save chancery.checkpoint"
)]
pub(crate) struct LastCheckpoint {
    /// Keep it in this file. If there is an older one in it, the log must begin with that one's, or the file stays as
    /// it is
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    key: Known,
}

#[derive(Args)]
struct Known {
    /// The log's public key, NAME+ID+KEY; get it from elsewhere than from the daemon
    #[arg(long, value_name = "KEY", env = "CHANCERY_AUDIT_VKEY")]
    vkey: Option<Vkey>,
}

impl List {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let client = session.client()?;
        let limit = if self.all { usize::MAX } else { self.limit };
        let mut request = self.request();
        let mut records = Vec::new();
        loop {
            let left = limit.saturating_sub(records.len());
            request.page_size = i32::try_from(left.min(1000)).unwrap_or(1000);
            let mut service = client.audit();
            let page = service.list_audit_records(client.request(request.clone()));
            let page = page.await?.into_inner();
            records.extend(page.records);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() || records.len() >= limit {
                break;
            }
        }
        let more = !request.page_token.is_empty();
        if session.global.json {
            let records: Vec<_> = records.iter().map(as_json).collect();
            return session
                .streams
                .json(&json!({"records": records, "more": more}));
        }
        let header = ["number", "time", "who", "what", "with", "result"];
        let rows = records.iter().map(row).collect();
        session.streams.table(&header, rows)?;
        if more {
            session
                .streams
                .tell("there are more: ask for more with --limit, or for --all");
        }
        Ok(())
    }

    fn request(self) -> ListAuditRecordsRequest {
        let bound = |number: Option<u64>| number.map(|one| i64::try_from(one).unwrap_or(i64::MAX));
        let (start_sequence, end_sequence) = (bound(self.from), bound(self.to));
        let order = match self.oldest_first {
            true => AuditOrder::OldestFirst,
            false => AuditOrder::NewestFirst,
        };
        let filter = Filter::from(self.which);
        let named = |collection: &str, name: Option<String>| {
            name.map(|name| match name.contains('/') {
                true => name,
                false => format!("{collection}/{name}"),
            })
            .unwrap_or_default()
        };
        let kind = filter.kind.and_then(|kind| {
            let name = kind.name().to_uppercase();
            AuditEventKind::from_str_name(&format!("AUDIT_EVENT_KIND_{name}"))
        });
        let result = filter.result.and_then(|result| {
            let name = result.name().to_uppercase();
            AuditResult::from_str_name(&format!("AUDIT_RESULT_{name}"))
        });
        let moment =
            |time: Option<Timestamp>| time.map(|time| std::time::SystemTime::from(time).into());
        ListAuditRecordsRequest {
            page_size: 0,
            page_token: String::new(),
            order: order.into(),
            identity: filter.identity.unwrap_or_default(),
            key: named("keys", filter.key),
            partner: named("partners", filter.partner),
            operation: filter
                .operation
                .map(|one| one.to_string())
                .unwrap_or_default(),
            kind: kind.unwrap_or_default().into(),
            result: result.unwrap_or_default().into(),
            start_time: moment(filter.since),
            end_time: moment(filter.until),
            start_sequence,
            end_sequence,
        }
    }
}

impl Get {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let client = session.client()?;
        let request = GetAuditRecordRequest {
            name: format!("auditRecords/{}", self.number),
        };
        let mut service = client.audit();
        let answer = service.get_audit_record(client.request(request));
        let answer = answer.await?.into_inner();
        let proof = self.proven(&answer)?;
        let line = answer.record.unwrap_or_default().line;
        if let Some(path) = &self.proof {
            let Some(proof) = &proof else {
                return Err(Trouble::Audit(format!(
                    "there is no proof of record {} yet: no checkpoint covers it; ask again after the next",
                    self.number
                )));
            };
            session
                .streams
                .write(Some(path), proof.to_string().as_bytes())?;
        }
        let signature = proof.is_some() && self.key.vkey.is_some();
        if session.global.json {
            return session.streams.json(&json!({
                "record": serde_json::from_slice::<Value>(&line).unwrap_or_default(),
                "line": String::from_utf8_lossy(&line),
                "proven": proof.is_some(),
                "signature_checked": signature,
                "tree_size": proof.as_ref().map(|proof| proof.checkpoint.checkpoint.size),
                "proof": proof.as_ref().map(ToString::to_string),
            }));
        }
        session.streams.line(&String::from_utf8_lossy(&line))?;
        session.streams.tell(&match &proof {
            Some(proof) => {
                let Checkpoint { origin, size, .. } = &proof.checkpoint.checkpoint;
                format!(
                    "proven: this is record {} of the {size} records of {origin}",
                    self.number
                )
            }
            None => format!(
                "not proven: no checkpoint covers record {} yet; ask again after the next",
                self.number
            ),
        });
        self.key.tell(session);
        Ok(())
    }

    /// The proof, checked; none if there is none yet.
    fn proven(&self, answer: &GetAuditRecordResponse) -> Result<Option<Proof>, Trouble> {
        let line = answer.record.as_ref().map(|record| &record.line);
        let line = line.ok_or_else(|| wrong(&"the daemon answered without a record"))?;
        let parsed: Result<chancery::audit::Record, _> = serde_json::from_slice(line);
        if parsed.is_ok_and(|record| record.sequence != self.number) {
            return Err(wrong(&"the daemon answered with another record"));
        }
        let (Some(inclusion), Some(checkpoint)) = (&answer.inclusion_proof, &answer.checkpoint)
        else {
            return Ok(None);
        };
        let proof = Proof {
            index: self.number,
            path: hashes(&inclusion.hashes)?,
            checkpoint: note(&checkpoint.note)?,
        };
        let said = match &self.key.vkey {
            Some(vkey) => proof.verified(line, vkey).map(drop),
            None => {
                let Checkpoint { size, root, .. } = proof.checkpoint.checkpoint;
                let leaf = tree::leaf(line);
                tree::check_inclusion(leaf, self.number, size, &proof.path, root)
                    .map_err(Into::into)
            }
        };
        said.map_err(|error| wrong(&error))?;
        Ok(Some(proof))
    }
}

impl LastCheckpoint {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let older = match &self.save {
            Some(path) if path.exists() => Some(checkpoint(path)?),
            _ => None,
        };
        let newer = match &older {
            Some(older) => self.following(session, older).await?,
            None => last(session).await?,
        };
        if let Some(vkey) = &self.key.vkey {
            newer.verified(vkey).map_err(|error| wrong(&error))?;
        }
        if let Some(path) = &self.save {
            replace(path, newer.text())?;
        }
        let Checkpoint { origin, size, root } = &newer.checkpoint;
        let before = older.map(|older| older.checkpoint.size);
        if session.global.json {
            return session.streams.json(&json!({
                "note": newer.text(),
                "origin": origin.as_str(),
                "tree_size": size,
                "root_hash": root.to_string(),
                "older_tree_size": before,
                "signature_checked": self.key.vkey.is_some(),
            }));
        }
        session.streams.write(None, newer.text().as_bytes())?;
        if let Some(before) = before {
            session.streams.tell(&format!(
                "consistent: the log of {size} records begins with the {before} of the older checkpoint"
            ));
        }
        self.key.tell(session);
        Ok(())
    }

    /// The last checkpoint, if the older one's log begins it.
    async fn following(
        &self,
        session: &Session<'_>,
        older: &SignedCheckpoint,
    ) -> Result<SignedCheckpoint, Trouble> {
        if let Some(vkey) = &self.key.vkey {
            let kept = older.verified(vkey);
            kept.map_err(|error| wrong(&format!("the older checkpoint: {error}")))?;
        }
        let old = &older.checkpoint;
        let client = session.client()?;
        let request = GetAuditConsistencyProofRequest {
            old_tree_size: i64::try_from(old.size).unwrap_or(i64::MAX),
        };
        let mut service = client.audit();
        let proof = service.get_audit_consistency_proof(client.request(request));
        let proof = match proof.await {
            Ok(proof) => proof.into_inner(),
            Err(status) => {
                let failure = Failure::from(status);
                if failure.reason == "AUDIT_NOT_COVERED" {
                    return Err(wrong(&format!(
                        "the older checkpoint covers {} records, and the log's last one fewer: {REWRITTEN}",
                        old.size
                    )));
                }
                return Err(failure.into());
            }
        };
        let newer = note(&proof.checkpoint.unwrap_or_default().note)?;
        let new = &newer.checkpoint;
        if new.origin != old.origin {
            return Err(wrong(&format!(
                "the older checkpoint is of {}, and the daemon's log is {}",
                old.origin, new.origin
            )));
        }
        let path = hashes(&proof.hashes)?;
        tree::check_consistency((old.size, old.root), (new.size, new.root), &path).map_err(
            |error| {
                wrong(&format!(
                    "the log of {} records does not begin with the {} of the older checkpoint ({error}): {REWRITTEN}",
                    new.size, old.size
                ))
            },
        )?;
        Ok(newer)
    }
}

impl Known {
    fn tell(&self, session: &mut Session<'_>) {
        session.streams.tell(match self.vkey {
            Some(_) => "the checkpoint's signature is good",
            None => "the checkpoint's signature was not checked: that takes the public key, --vkey",
        });
    }
}

async fn last(session: &Session<'_>) -> Result<SignedCheckpoint, Trouble> {
    let client = session.client()?;
    let mut service = client.audit();
    let answer = service.get_audit_checkpoint(client.request(GetAuditCheckpointRequest {}));
    match answer.await?.into_inner().checkpoint {
        Some(checkpoint) => note(&checkpoint.note),
        None => Err(wrong(
            &"the log has no checkpoint yet; the daemon makes them while it has the token",
        )),
    }
}

fn note(text: &str) -> Result<SignedCheckpoint, Trouble> {
    text.parse()
        .map_err(|error| wrong(&format!("the daemon's checkpoint: {error}")))
}

fn hashes(all: &[bytes::Bytes]) -> Result<Vec<Digest>, Trouble> {
    let one = |bytes: &bytes::Bytes| <[u8; 32]>::try_from(&bytes[..]).ok();
    let hashes: Option<Vec<_>> = all
        .iter()
        .map(|bytes| one(bytes).map(Digest::from_bytes))
        .collect();
    hashes.ok_or_else(|| wrong(&"the daemon's proof has something else than hashes of 32 bytes"))
}

/// Whole or not at all: what was kept before is all that shows a log that was put back.
fn replace(path: &Path, text: &str) -> Result<(), Trouble> {
    let fault = |source| Trouble::File {
        what: path.to_owned(),
        source,
    };
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    let mut beside = path.to_owned();
    beside.as_mut_os_string().push(".new");
    let written = || {
        use std::io::Write;
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        std::fs::File::open(directory)?.sync_all()
    };
    written().map_err(fault)
}

/// A record in one line of a table.
fn row(record: &AuditRecord) -> Vec<String> {
    let line: Value = serde_json::from_slice(&record.line).unwrap_or_default();
    let subject = record.subject.clone().unwrap_or_default();
    let kind = word(record.kind().as_str_name(), "AUDIT_EVENT_KIND_");
    let what = match (record.call.as_str(), subject.act.as_str()) {
        ("", "") => kind.clone(),
        ("", act) => act.to_owned(),
        (call, _) => call.to_owned(),
    };
    let parts = [&subject.key, &subject.partner, &subject.scheme];
    let with: Vec<_> = parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .cloned()
        .collect();
    let result = match (record.result(), record.reason.as_str()) {
        (AuditResult::Unspecified, _) => match kind.as_str() {
            "intent" => "begins".to_owned(),
            _ => String::new(),
        },
        (result, "") => word(result.as_str_name(), "AUDIT_RESULT_"),
        (result, reason) => {
            format!("{}: {reason}", word(result.as_str_name(), "AUDIT_RESULT_"))
        }
    };
    let what = match record.intent {
        Some(intent) => format!("outcome of {intent}"),
        None => what,
    };
    let caller = record.caller.clone().unwrap_or_default();
    let time = line["time"].as_str().unwrap_or_default().to_owned();
    let cells = [caller.identity, what, with.join(" "), result];
    let cells = cells.iter().map(|cell| printable(cell));
    [record.sequence.to_string(), printable(&time)]
        .into_iter()
        .chain(cells)
        .collect()
}

/// The line is the record: the rest of the message says the same in other words.
fn as_json(record: &AuditRecord) -> Value {
    json!({
        "name": record.name,
        "sequence": record.sequence,
        "record": serde_json::from_slice::<Value>(&record.line).unwrap_or_default(),
        "line": String::from_utf8_lossy(&record.line),
    })
}

fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

fn wrong(what: &dyn std::fmt::Display) -> Trouble {
    Trouble::Audit(what.to_string())
}

const REWRITTEN: &str =
    "it was put back to an older state or rewritten since; keep both checkpoints, they prove it";
