//! `chanceryd check` over a real token: what is told, and with which exit code.

use std::{
    process::{Command, Output},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::date_time_ymd;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    harness::Setup,
    softhsm::{Secret, Token},
};

#[test]
fn everything_that_is_there_is_told() {
    let checked = Checked::new(
        Setup::new(token())
            .tables("[[keys]]\nname = \"imported\"\npurpose = \"sign\"\nalgorithms = [\"ES256\"]"),
    );
    let output = checked.run(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    for expected in [
        "TOKEN main: ready",
        "  label      checked",
        "  model      SoftHSM project SoftHSM v2",
        "  PIN        accepted",
        "  RSA-OAEP-256            rsa-2048 rsa-3072 rsa-4096",
        "  ES384                   ec-p384",
        "  imported/1   ec-p256      sign  ES256       imported, not extractable now, sensitive now",
        "  callbacks/1  hmac-sha256  mac   HS256",
        "  bad name    \"bad name\" is not a key name",
        "/state/chancery.db: not there yet; the daemon makes it\n",
        "\nall is well\n",
    ] {
        assert!(said.contains(expected), "{expected} is missing in\n{said}");
    }
}

#[test]
fn the_same_for_programs() {
    let checked = Checked::new(Setup::new(token()));
    let report = checked.json();
    assert_eq!(report["ok"], true, "{report:#}");
    let token = &report["report"]["tokens"][0];
    assert_eq!(token["label"], "checked");
    assert_eq!(token["ready"], true);
    assert_eq!(token["pin_count_low"], false);
    let algorithms = token["algorithms"].as_array().unwrap();
    assert_eq!(algorithms.len(), 24);
    let es256 = algorithms.iter().find(|one| one["algorithm"] == "ES256");
    assert_eq!(es256.unwrap()["key_types"][0], "ec-p256");
    let keys = token["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["name"] == "imported").unwrap();
    assert_eq!(key["versions"][0]["version"], 1);
    assert_eq!(key["versions"][0]["adopted"], true);
    assert_eq!(key["versions"][0]["attributes"]["local"], false);
    assert_eq!(token["not_served"][0]["label"], "bad name");
}

#[test]
fn names_that_mean_nothing_are_told() {
    let policy = r#"
[[rules]]
name = "typo"
identities = ["spiffe://chancery.test/test"]
keys = ["imported", "imporetd", "other-*"]
operations = ["sign"]
algorithms = ["ES256"]
[[rules]]
name = "makes-it-first"
identities = ["spiffe://chancery.test/test"]
keys = ["not-there-yet"]
operations = ["create"]
algorithms = ["ES256"]
"#;
    let warned = Checked::new(Setup::new(token()).policy(policy));
    let report = warned.json();
    assert_eq!(report["ok"], true);
    let findings = told(&report);
    assert!(
        findings.contains(&"warning policy rule typo: it names the key \"imporetd\", which no token has; until one has, the rule allows nothing with it".to_owned()),
        "{findings:?}"
    );
    assert!(
        !findings.iter().any(|one| one.contains("not-there-yet")),
        "{findings:?}"
    );

    let declared = "[[keys]]\nname = \"nowhere\"\npurpose = \"sign\"\nalgorithms = [\"ES256\"]\n\
                    [[keys]]\nname = \"callbacks\"\npurpose = \"sign\"\nalgorithms = [\"ES256\"]";
    let failed = Checked::new(Setup::new(token()).tables(declared));
    let report = failed.json();
    assert_eq!(report["ok"], false);
    let findings = told(&report);
    assert!(
        findings.contains(
            &"error keys[0] nowhere: no token has a private or secret key with this label"
                .to_owned()
        ),
        "{findings:?}"
    );
    assert!(
        findings
            .iter()
            .any(|one| one.starts_with("error keys[1] callbacks: the key can't be served: ES256")),
        "{findings:?}"
    );
    assert_eq!(failed.run(&[]).status.code(), Some(1));
}

#[test]
fn a_token_that_can_not_be_opened_is_an_error_with_its_reason() {
    let token = token();
    std::fs::remove_file(token.pin_file()).unwrap();
    let checked = Checked::new(Setup::new(token));
    let report = checked.json();
    assert_eq!(report["ok"], false);
    let findings = told(&report);
    assert!(
        findings[0].starts_with("error tokens[0] main: the PIN can't be read: "),
        "{findings:?}"
    );
    let output = checked.run(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("TOKEN main: not available"), "{said}");
}

#[test]
fn a_store_that_can_not_be_opened_is_an_error() {
    let damaged = Checked::new(Setup::new(token()));
    let file = damaged.file.with_file_name("state").join("chancery.db");
    std::fs::write(
        &file,
        "no database, and longer than the head of one".repeat(9),
    )
    .unwrap();
    let report = damaged.json();
    assert_eq!(report["ok"], false);
    let findings = told(&report);
    let expected = format!("error store: the store {} is damaged", file.display());
    assert!(findings[0].starts_with(&expected), "{findings:?}");

    let away = Checked::new(Setup::new(token()).tables(
        "[store.postgres]\nsocket = \"/nowhere\"\ndatabase = \"chancery\"\nuser = \"chancery\"",
    ));
    let findings = told(&away.json());
    let expected = "error store: the store can't be reached: PostgreSQL \"chancery\" at /nowhere/.s.PGSQL.5432: ";
    assert!(findings[0].starts_with(expected), "{findings:?}");
}

#[test]
fn a_certificate_that_clients_refuse_is_an_error_and_one_that_soon_expires_a_warning() {
    for (days, expected, ok) in [
        (
            0,
            "error tls.certificate: the server's certificate expired ",
            false,
        ),
        (7, "warning tls.certificate: it expires in 4 days; ", true),
    ] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let checked = Checked::new(Setup::new(token()));
        checked.setup.pki.write_server(|params| {
            params.not_after = date_time_ymd(1970, 1, 1) + now + days * DAY - 2 * DAY;
        });
        let report = checked.json();
        assert_eq!(report["ok"], ok, "{report:#}");
        let findings = told(&report);
        assert!(findings[0].starts_with(expected), "{findings:?}");
    }
}

#[test]
fn a_file_with_a_fault_is_told_in_json_too() {
    let checked = Checked::new(Setup::new(token()).server("max_batch = 0"));
    let report = checked.json();
    assert_eq!(report["ok"], false);
    assert!(
        told(&report)[0].ends_with("server.max_batch: it is 0; expected 1 or more"),
        "{report:#}"
    );
}

const DAY: Duration = Duration::from_secs(86_400);

struct Checked {
    setup: Setup,
    _directory: TempDir,
    file: std::path::PathBuf,
}

impl Checked {
    fn new(setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = setup.write(directory.path());
        Self {
            setup,
            _directory: directory,
            file,
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_chanceryd"))
            .args(["check", "--config"])
            .arg(&self.file)
            .args(arguments)
            .output()
            .unwrap()
    }

    fn json(&self) -> Value {
        let output = self.run(&["--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = if report["ok"] == true { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{report:#}");
        report
    }
}

/// A P-256 key, a secret, and an object whose label is no name.
fn token() -> Token {
    let token = Token::new("checked");
    let key = || rcgen::KeyPair::generate().unwrap().serialize_pem();
    token.import_pkcs8("imported", "a1", &key());
    token.import_pkcs8("bad name", "a2", &key());
    token.import_secret("callbacks", &[7; 32], Secret::Generic);
    token
}

fn told(report: &Value) -> Vec<String> {
    let findings = report["report"]["findings"].as_array().unwrap();
    let text = |one: &Value| {
        let part = |name: &str| one[name].as_str().unwrap().to_owned();
        format!("{} {}: {}", part("level"), part("about"), part("text"))
    };
    findings.iter().map(text).collect()
}
