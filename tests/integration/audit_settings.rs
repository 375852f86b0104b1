//! Settings of the audit log: hashes of inputs that can't be guessed, and what a start and a check say of the log.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use chancery::proto::v1::{
    Algorithm as A, AuditEventKind, AuditRecord, KeyType as T, ListAuditRecordsRequest,
    audit_input_hash::Hash,
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    auditor::AUDITOR,
    calls::{create, message},
    harness::{ALLOW_TEST, Daemon, Refusal, Setup},
    softhsm::{Secret, Token},
};

const SECRET: [u8; 40] = [7; 40];

fn keyed() -> Daemon {
    let token = Token::new("inputs");
    token.import_secret("audit-input", &SECRET, Secret::Generic);
    Setup::new(token)
        .policy(&format!("{ALLOW_TEST}{AUDITOR}"))
        .tables(
            "[audit]\ncheckpoint_seconds = 1\ninput_hash_key = \"audit-input\"\n\n[[keys]]\nname = \"audit-input\"\npurpose = \"mac\"\nalgorithms = [\"HS256\"]\n",
        )
        .start()
}

async fn records(daemon: &Daemon) -> Vec<AuditRecord> {
    let request = ListAuditRecordsRequest {
        page_size: 1000,
        ..ListAuditRecordsRequest::default()
    };
    let page = daemon
        .client("auditor")
        .audit()
        .list_audit_records(request)
        .await;
    page.unwrap().into_inner().records
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_are_hashed_with_a_key_of_the_token() {
    let mut daemon = keyed();
    let client = daemon.client("test");
    create(&client, "ec", T::EcP256, &[A::Es256]).await;
    // The key is for nothing else: whoever could use it could try guesses.
    let label = message("audit-input", A::Hs256, b"chancery audit input");
    assert_eq!(
        Refusal::expect(client.signing().sign(label).await).reason,
        "KEY_UNUSABLE"
    );
    let sign = async |daemon: &Daemon| {
        let request = message("ec", A::Es256, b"PIN 1234");
        daemon.client("test").signing().sign(request).await.unwrap();
    };
    sign(&daemon).await;
    // As docs/audit-log.md says; and the same after a new start.
    daemon.restart().await;
    sign(&daemon).await;
    let derived = mac(&SECRET, b"chancery audit input");
    let expected = mac(&derived, &Sha256::digest(b"PIN 1234"));
    let records = records(&daemon).await;
    let inputs: Vec<_> = records
        .iter()
        .filter(|record| {
            record.kind() == AuditEventKind::Intent && record.call == "SigningService.Sign"
        })
        .map(|record| record.input.clone().unwrap().hash.unwrap())
        .collect();
    assert_eq!(inputs, vec![Hash::HmacSha256(expected.into()); 2]);
    let plain = hex::encode(Sha256::digest(b"PIN 1234"));
    let found = records
        .iter()
        .any(|record| String::from_utf8_lossy(&record.line).contains(&plain));
    assert!(!found, "the plain hash is in the log");
    daemon.terminate().await;
    let checked = run(&daemon, "check", "", "");
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(said(&checked).contains(": whole\n"), "{}", said(&checked));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_missing_or_another_ends_the_start() {
    let mut daemon = keyed();
    create(&daemon.client("test"), "ec", T::EcP256, &[A::Es256]).await;
    daemon.terminate().await;
    for (name, expected) in [
        (
            "nobody",
            "audit.input_hash_key names nobody, and no token has such a key",
        ),
        (
            "ec",
            "audit.input_hash_key names ec, which can't hash inputs: it is not a key for HS256",
        ),
    ] {
        let to = format!("input_hash_key = \"{name}\"");
        for command in ["serve", "check"] {
            let ended = run(&daemon, command, "input_hash_key = \"audit-input\"", &to);
            assert!(!ended.status.success(), "{command} with {name}");
            assert!(said(&ended).contains(expected), "{}", said(&ended));
        }
    }
}

/// Runs the daemon's executable on its directory, with the configuration changed.
fn run(daemon: &Daemon, command: &str, from: &str, to: &str) -> Output {
    let path = daemon.directory().join("chancery.toml");
    let text = fs::read_to_string(&path).unwrap();
    let changed = daemon.directory().join("changed.toml");
    fs::write(&changed, text.replace(from, to)).unwrap();
    Command::new(env!("CARGO_BIN_EXE_chanceryd"))
        .args([command, "--config"])
        .arg(&changed)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_a_reload_name_what_is_in_force() {
    let daemon = Setup::new(Token::new("digests"))
        .policy(&format!("{ALLOW_TEST}{AUDITOR}"))
        .start();
    let file = |name: &str| {
        hex::encode(Sha256::digest(
            fs::read(daemon.directory().join(name)).unwrap(),
        ))
    };
    let first: Value = serde_json::from_slice(&records(&daemon).await[0].line).unwrap();
    let started = &first["event"]["started"];
    assert_eq!(started["config"], file("chancery.toml"));
    assert_eq!(started["policy"], file("policy.toml"));
    let policy = fs::read_to_string(daemon.policy_file()).unwrap();
    fs::write(daemon.policy_file(), format!("{policy}# another\n")).unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for_log("policy reloaded");
    let records = records(&daemon).await;
    let reloaded = records
        .iter()
        .find(|record| record.kind() == AuditEventKind::Reloaded)
        .unwrap();
    let reloaded: Value = serde_json::from_slice(&reloaded.line).unwrap();
    assert_eq!(reloaded["event"]["reloaded"]["digest"], file("policy.toml"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_a_log_that_was_changed() {
    let mut daemon = Setup::new(Token::new("checked"))
        .policy(&format!("{ALLOW_TEST}{AUDITOR}"))
        .tables("[audit]\ncheckpoint_seconds = 1\n")
        .start();
    create(&daemon.client("test"), "ec", T::EcP256, &[A::Es256]).await;
    daemon.terminate().await;
    let good = run(&daemon, "check", "", "");
    let vkey = fs::read_to_string(daemon.directory().join("state/audit/vkey")).unwrap();
    for expected in [
        "AUDIT LOG ",
        ": whole\n",
        vkey.trim(),
        "  checkpoint covers the first ",
    ] {
        assert!(
            said(&good).contains(expected),
            "{expected}: {}",
            said(&good)
        );
    }
    assert!(good.status.success(), "{}", said(&good));
    let segment = daemon
        .directory()
        .join("state/audit/log/00000000000000000000.jsonl");
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(
        &segment,
        text.replacen("KeyService.CreateKey", "KeyService.DeleteKey", 1),
    )
    .unwrap();
    let bad = run(&daemon, "check", "", "");
    assert!(!bad.status.success());
    assert!(
        said(&bad).contains("NOT WHOLE")
            && said(&bad).contains("error: audit log: it is not whole: record"),
        "{}",
        said(&bad)
    );
}
