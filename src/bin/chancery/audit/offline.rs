//! `chancery audit`: examines an audit log from its files alone, with nothing but a public key.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde_json::json;

use chancery::audit::{
    Filter, NotGood, Proof, ReadError, Reader, Report, Verification, Vkey, Wrong, tree,
};

use super::{Which, checkpoint, read};
use crate::{Session, trouble::Trouble};

/// Examine a whole log: every record, the chain, the tree, what was signed
///
/// Exits with 0 if all is well, with 1 if anything was altered, dropped, added or put back.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery audit verify /var/lib/chancery/audit --vkey example.com/chancery+b3c69e9d+AQOhB7/zzhC+HX...\n  \
    chancery audit verify audit --vkey ... --against /mnt/elsewhere/00000000000000005120.checkpoint"
)]
pub(crate) struct Verify {
    /// The log's directory
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    #[command(flatten)]
    key: OptionalKey,
    /// A checkpoint that was kept elsewhere: finds a log that was put back to an older state
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
}

/// Prove that a record is in the log, to anyone who has the public key
///
/// Writes the proof (C2SP tlog-proof) to stdout, and the record where --record says.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Prove {
    /// The log's directory
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// The record's number
    #[arg(value_name = "NUMBER")]
    number: u64,
    /// Write the record's line to this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    key: Key,
}

/// Check a proof that `prove` made; no log is needed
#[derive(Args)]
pub(crate) struct CheckProof {
    /// The proof
    #[arg(value_name = "FILE")]
    proof: PathBuf,
    /// The record's line
    #[arg(long, value_name = "FILE")]
    record: PathBuf,
    #[command(flatten)]
    key: Key,
}

/// Prove that the log still begins with everything that an older checkpoint covers
#[derive(Args)]
pub(crate) struct Consistency {
    /// The log's directory
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// The older checkpoint
    #[arg(long, value_name = "FILE")]
    old: PathBuf,
    #[command(flatten)]
    key: Key,
}

/// Show the last records, one JSON object a line
#[derive(Args)]
pub(crate) struct Tail {
    /// The log's directory
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// How many
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 10)]
    lines: u64,
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    which: Which,
}

/// Write records to stdout as they are in the log, one JSON object a line
#[derive(Args)]
pub(crate) struct Export {
    /// The log's directory
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
    /// The number of the first record
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    from: u64,
    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
struct Key {
    /// The log's public key, NAME+ID+KEY, as the daemon writes it beside the log
    #[arg(long, value_name = "KEY", env = "CHANCERY_AUDIT_VKEY")]
    vkey: Vkey,
}

#[derive(Args)]
struct OptionalKey {
    /// The log's public key, NAME+ID+KEY; get it from elsewhere than the log's own host
    #[arg(
        long,
        value_name = "KEY",
        env = "CHANCERY_AUDIT_VKEY",
        required_unless_present = "without_key"
    )]
    vkey: Option<Vkey>,
    /// Look at the chain alone: finds accidents, but not somebody who made it anew
    #[arg(long)]
    without_key: bool,
}

impl OptionalKey {
    /// A key that the environment names does not count against what was said.
    fn chosen(&self) -> Option<Vkey> {
        self.vkey.clone().filter(|_| !self.without_key)
    }
}

impl Verify {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let bar = ProgressBar::new(size(&self.directory));
        let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        let mut verification = Verification::new(&self.directory, self.key.chosen())
            .progress(|bytes| bar.set_position(bytes));
        for path in &self.against {
            verification = verification.against(checkpoint(path)?);
        }
        let verdict = verification.run();
        bar.finish_and_clear();
        match verdict {
            Ok(report) if session.global.json => session.streams.json(&machine(&report)),
            Ok(report) => {
                for line in words(&report, self.key.without_key) {
                    session.streams.line(&line)?;
                }
                Ok(())
            }
            Err(NotGood::Record(fault)) if session.global.json => {
                session.streams.json(&json!({
                    "good": false,
                    "record": fault.record,
                    "segment": fault.segment,
                    "byte": fault.at,
                    "fault": fault.what.to_string(),
                }))?;
                Err(Trouble::NotValid)
            }
            Err(NotGood::Record(fault)) => {
                session.streams.line("NOT GOOD")?;
                session.streams.line(&format!(
                    "the first bad record: {}, in {} at byte {}",
                    fault.record,
                    fault.segment.display(),
                    fault.at
                ))?;
                session
                    .streams
                    .line(&format!("what it means: {}", fault.what))?;
                Err(Trouble::NotValid)
            }
            Err(other) => Err(Trouble::Audit(other.to_string())),
        }
    }
}

impl Prove {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let reader = Reader::open(&self.directory).map_err(wrong)?;
        let (line, proof) = reader.prove(self.number).map_err(wrong)?;
        // Tiles may have been altered; a proof that proves nothing is not given out.
        proof
            .verified(line.as_bytes(), &self.key.vkey)
            .map_err(|error| Trouble::Audit(error.to_string()))?;
        if let Some(path) = &self.record {
            session
                .streams
                .write(Some(path), format!("{line}\n").as_bytes())?;
        }
        if session.global.json {
            return session.streams.json(&json!({
                "record": line,
                "proof": proof.to_string(),
            }));
        }
        session.streams.write(None, proof.to_string().as_bytes())
    }
}

impl CheckProof {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let line = read(&self.record)?;
        let line = line.strip_suffix('\n').unwrap_or(&line);
        let proof: Proof = read(&self.proof)?
            .parse()
            .map_err(|error| Trouble::Audit(format!("{}: {error}", self.proof.display())))?;
        let checkpoint = proof
            .verified(line.as_bytes(), &self.key.vkey)
            .map_err(|error| Trouble::Audit(error.to_string()))?;
        session.streams.line(&format!(
            "good: this is record {} of the {} records of {}",
            proof.index, checkpoint.size, checkpoint.origin
        ))
    }
}

impl Consistency {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let old = checkpoint(&self.old)?;
        let refused = |error: &dyn std::fmt::Display| Trouble::Audit(error.to_string());
        let older = old
            .verified(&self.key.vkey)
            .map_err(|error| refused(&format!("{}: {error}", self.old.display())))?;
        let reader = Reader::open(&self.directory).map_err(wrong)?;
        let newer = reader.checkpoint().map_err(wrong)?;
        let newer = newer
            .verified(&self.key.vkey)
            .map_err(|error| refused(&error))?;
        if newer.size < older.size {
            let meaning = Wrong::Short(older.size);
            return Err(refused(&format!(
                "the log's checkpoint covers {} records: {meaning}",
                newer.size
            )));
        }
        let path = reader.consistency(older.size, newer.size).map_err(wrong)?;
        tree::check_consistency((older.size, older.root), (newer.size, newer.root), &path)
            .map_err(|error| {
                refused(&format!(
                    "{error}: the log was rewritten since the older checkpoint, or its tiles were altered"
                ))
            })?;
        let hashes: Vec<_> = path.iter().map(ToString::to_string).collect();
        if session.global.json {
            return session.streams.json(&json!({
                "good": true, "old": older.size, "new": newer.size, "path": hashes,
            }));
        }
        session.streams.line(&format!(
            "good: the log of {} records begins with the {} of the older checkpoint",
            newer.size, older.size
        ))
    }
}

impl Tail {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let reader = Reader::open(&self.directory).map_err(wrong)?;
        let filter = Filter::from(self.which);
        let end = reader.end().map_err(wrong)?;
        let mut from = end.saturating_sub(self.lines);
        loop {
            let page = reader.page(from, &filter, PAGE, u64::MAX).map_err(wrong)?;
            for (_, line) in &page.records {
                session.streams.line(line)?;
            }
            from = page.position;
            if page.next.is_some() {
                continue;
            }
            if !self.follow {
                return Ok(());
            }
            session.streams.flush()?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Export {
    pub(super) fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let reader = Reader::open(&self.directory).map_err(wrong)?;
        let filter = Filter::from(self.which);
        let mut from = Some(self.from);
        while let Some(begin) = from {
            let page = reader.page(begin, &filter, PAGE, u64::MAX).map_err(wrong)?;
            for (_, line) in &page.records {
                session.streams.line(line)?;
            }
            from = page.next;
        }
        Ok(())
    }
}

/// A verdict for people; what they might stumble over is said too.
fn words(report: &Report, without_key: bool) -> Vec<String> {
    let end = report.first + report.records;
    let mut lines = vec![format!(
        "good: {} records, {} to {}",
        HumanCount(report.records),
        report.first,
        end.saturating_sub(1)
    )];
    if without_key {
        lines.push("signatures were not looked at: somebody could have made it all anew".into());
    } else {
        lines.push(format!(
            "a signed checkpoint vouches for the first {}",
            HumanCount(report.covered)
        ));
    }
    if report.covered < end {
        lines.push(format!(
            "note: {} records are newer than the last checkpoint; only the chain holds them",
            HumanCount(end - report.covered)
        ));
    }
    if report.first > 0 {
        lines.push(format!(
            "note: records before {} were removed by retention; their hashes are there",
            report.first
        ));
    }
    if report.unknown > 0 {
        lines.push(format!(
            "note: {} intents have no outcome: the daemon ended before it could say; nothing was answered",
            HumanCount(report.unknown)
        ));
    }
    if report.time_went_back > 0 {
        lines.push(format!(
            "note: the clock went back {} times",
            HumanCount(report.time_went_back)
        ));
    }
    if report.torn > 0 {
        lines.push(format!(
            "note: the last {} are no whole record; if the daemon runs, it is being written",
            HumanBytes(report.torn)
        ));
    }
    for (kind, count) in &report.kinds {
        lines.push(format!("{kind}\t{}", HumanCount(*count)));
    }
    lines
}

fn machine(report: &Report) -> serde_json::Value {
    json!({
        "good": true,
        "first": report.first,
        "records": report.records,
        "covered": report.covered,
        "unknown_outcomes": report.unknown,
        "time_went_back": report.time_went_back,
        "starts": report.starts,
        "torn_bytes": report.torn,
        "root": report.root.map(|root| root.to_string()),
        "kinds": report.kinds,
    })
}

/// How many bytes the segments have.
fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory.join("log")).into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|facts| facts.len())
        .sum()
}

fn wrong(error: ReadError) -> Trouble {
    Trouble::Audit(error.to_string())
}

/// Records that are held at a time.
const PAGE: usize = 1000;
