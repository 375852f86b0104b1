//! `chancery audit`: a log examined by the shipped command, with nothing but its files and a public key.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::SystemTime,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use chancery::{
    audit::{
        Audit, Durability, Event, Keeper, KeyAct, KeyChange, Opening, Reloadable, Reloaded,
        StopReason, Vkey,
    },
    key::PublicKey,
};
use serde_json::Value;
use tempfile::TempDir;

/// A log of a few hundred records, all of them covered; an older checkpoint of it; its public key.
struct Log {
    directory: TempDir,
    old: PathBuf,
    vkey: String,
}

impl Log {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let (audit, mut keeper) = Audit::open(Opening {
            directory: directory.path().to_owned(),
            origin: ORIGIN.parse().unwrap(),
            durability: Durability::Os,
            segment_bytes: 20_000,
            vkeys: vec![],
            policy: None,
            config: None,
            clock: SystemTime::now,
        })
        .unwrap();
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = PublicKey::from_ed25519(key.public_key().as_ref()).unwrap();
        let vkey = Vkey::new(ORIGIN.parse().unwrap(), &public).unwrap();
        write(&audit, 100);
        sign(&mut keeper, &key, &vkey);
        let old = directory.path().join("kept.checkpoint");
        fs::copy(directory.path().join("checkpoint"), &old).unwrap();
        write(&audit, 250);
        wait(audit.close(StopReason::Asked)).unwrap();
        sign(&mut keeper, &key, &vkey);
        drop((audit, keeper));
        Self {
            directory,
            old,
            vkey: vkey.to_string(),
        }
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        command
            .arg("audit")
            .arg(words[0])
            .arg(self.directory.path());
        command
            .args(&words[1..])
            .env("CHANCERY_AUDIT_VKEY", &self.vkey);
        command.output().unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("log")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

fn write(audit: &Audit, records: u32) {
    for at in 0..records {
        let event = if at % 10 == 0 {
            Event::Reloaded(Reloaded {
                what: Reloadable::Policy,
                digest: None,
                applied: true,
            })
        } else {
            Event::KeyChanged(KeyChange {
                key: format!("key-{at}").parse().unwrap(),
                version: None,
                act: KeyAct::Created,
                public_key: None,
                by: None,
            })
        };
        wait(audit.record(event)).unwrap();
    }
}

fn sign(keeper: &mut Keeper, key: &Ed25519KeyPair, vkey: &Vkey) {
    let draft = keeper.draft().unwrap().unwrap();
    let signature = key.sign(&draft.body());
    keeper.publish(&draft, vkey, signature.as_ref()).unwrap();
}

fn wait<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// What a command said that succeeded.
fn good(output: &Output) -> String {
    let (said, troubles) = texts(output);
    assert!(output.status.success(), "{said}{troubles}");
    said
}

#[test]
fn a_good_log_is_found_good() {
    let log = Log::new();
    assert!(log.segments().len() > 3);
    let said = good(&log.run(&["verify", "--against", log.old.to_str().unwrap()]));
    // A start, 350 records, the end; a closed log takes no record of its checkpoint.
    assert!(said.starts_with("good: 352 records, 0 to 351\n"), "{said}");
    assert!(
        said.contains("a signed checkpoint vouches for the first 352\n"),
        "{said}"
    );
    assert!(!said.contains("note:"), "{said}");
    assert!(said.contains("key_changed\t315\n"), "{said}");
    let said = good(&log.run(&["verify", "--json"]));
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["good"], true);
    assert_eq!(report["covered"], 352);
    assert_eq!(report["kinds"]["started"], 1);
}

#[test]
fn an_edit_is_told_with_its_record_and_byte() {
    let log = Log::new();
    let path = log.segments().remove(1);
    let text = fs::read_to_string(&path).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let number = first["sequence"].as_u64().unwrap() + 3;
    let (at, _) = text.match_indices('\n').nth(2).unwrap();
    let line = text.lines().nth(3).unwrap();
    fs::write(&path, text.replacen(line, "{}", 1)).unwrap();
    let output = log.run(&["verify"]);
    let (said, _) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    let place = format!(
        "record: {number}, in {} at byte {}\n",
        path.display(),
        at + 1
    );
    assert!(said.starts_with("NOT GOOD\n"), "{said}");
    assert!(said.contains(&place), "{place}{said}");
    assert!(
        said.contains("what it means: the line is not a record"),
        "{said}"
    );
    let output = log.run(&["verify", "--json"]);
    let report: Value = serde_json::from_str(&texts(&output).0).unwrap();
    assert_eq!(
        (&report["good"], &report["record"]),
        (&Value::from(false), &Value::from(number))
    );
}

#[test]
fn an_end_that_was_cut_off_is_told() {
    let log = Log::new();
    fs::remove_file(log.segments().pop().unwrap()).unwrap();
    let output = log.run(&["verify"]);
    let (said, _) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("a checkpoint covers 352 records"), "{said}");
    let output = log.run(&["verify", "--without-key"]);
    assert_eq!(output.status.code(), Some(1));
    fs::remove_file(log.directory.path().join("checkpoint")).unwrap();
    let said = good(&log.run(&["verify", "--without-key"]));
    assert!(said.contains("signatures were not looked at"), "{said}");
    let output = log.run(&["verify"]);
    assert!(texts(&output).1.contains("there is no checkpoint"));
}

#[test]
fn a_record_is_proven_to_who_has_the_key_alone() {
    let log = Log::new();
    let folder = TempDir::new().unwrap();
    let (proof, record) = (folder.path().join("proof"), folder.path().join("record"));
    let words = ["prove", "300", "--record", record.to_str().unwrap()];
    fs::write(&proof, good(&log.run(&words))).unwrap();
    assert!(
        fs::read_to_string(&proof)
            .unwrap()
            .starts_with("c2sp.org/tlog-proof@v1\nindex 300\n")
    );
    let check = |record: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        command.args(["audit", "check-proof", "--vkey", &log.vkey, "--record"]);
        command.arg(record).arg(&proof).output().unwrap()
    };
    let said = good(&check(&record));
    assert_eq!(
        said,
        format!("good: this is record 300 of the 352 records of {ORIGIN}\n")
    );
    let text = fs::read_to_string(&record).unwrap();
    assert!(text.contains(r#""sequence":300,"#), "{text}");
    fs::write(&record, text.replace("created", "imported")).unwrap();
    let output = check(&record);
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("the record is not in the log"));
    let output = log.run(&["prove", "352"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("record 352 is not covered"));
}

#[test]
fn a_log_is_proven_to_have_only_grown() {
    let log = Log::new();
    let said = good(&log.run(&["consistency", "--old", log.old.to_str().unwrap()]));
    assert_eq!(
        said,
        "good: the log of 352 records begins with the 101 of the older checkpoint\n"
    );
    // The older checkpoint in place of the newer one, as in a log that was rolled back.
    let newer = log.directory.path().join("newer");
    let own = log.directory.path().join("checkpoint");
    fs::rename(&own, &newer).unwrap();
    fs::copy(&log.old, &own).unwrap();
    let output = log.run(&["consistency", "--old", newer.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let (_, troubles) = texts(&output);
    assert!(
        troubles.contains("the log's checkpoint covers 101 records"),
        "{troubles}"
    );
}

#[test]
fn records_are_shown_as_they_are_in_the_log() {
    let log = Log::new();
    let files = log.segments();
    let all: String = files
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(good(&log.run(&["export"])), all);
    let lines: Vec<_> = all.lines().collect();
    let last = lines[lines.len() - 10..].join("\n") + "\n";
    assert_eq!(good(&log.run(&["tail"])), last);
    let from: Vec<_> = lines[200..]
        .iter()
        .filter(|line| line.contains("\"reloaded\""))
        .collect();
    let said = good(&log.run(&["export", "--from", "200", "--kind", "reloaded"]));
    assert_eq!(
        said.lines().collect::<Vec<_>>().iter().collect::<Vec<_>>(),
        from
    );
    let said = good(&log.run(&["export", "--key", "key-7"]));
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn a_wrong_key_vouches_for_nothing() {
    let log = Log::new();
    let key = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let public = PublicKey::from_ed25519(key.public_key().as_ref()).unwrap();
    let other = Vkey::new(ORIGIN.parse().unwrap(), &public)
        .unwrap()
        .to_string();
    let output = log.run(&["verify", "--vkey", &other]);
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("not signed by this key"));
    let output = log.run(&["verify", "--vkey", "nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(texts(&output).1.contains("not a verifier key"));
}

const ORIGIN: &str = "example.com/chancery/test";
