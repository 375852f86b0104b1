//! Who may do what: a whole table of it, the same through the API, and policies that change while it runs.

use std::{
    fmt::Write,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use chancery::{
    algorithm::Algorithm,
    client::{Client, Code, Failure},
    identity::IdentityName,
    key::KeyName,
    policy::{Need, Operation, Policy},
    proto::v1::{self, KeyPurpose, KeyType},
};
use rustix::process::Signal;

use crate::{
    harness::{Daemon, Setup},
    requests::{make_ec_key, make_key, sign_es256},
    softhsm::Token,
};

/// A policy such as a company would have, with every kind of rule in it.
const SAMPLE: &str = r#"
[[rules]]
name = "administrator"
identities = ["spiffe://chancery.test/admin"]
keys = ["*"]
operations = ["get", "create", "import", "request_certificate"]
algorithms = ["*"]

[[rules]]
name = "payouts"
identities = ["spiffe://chancery.test/payouts"]
keys = ["payouts"]
operations = ["sign", "verify", "get"]
algorithms = ["ES256"]

[[rules]]
name = "web"
identities = ["spiffe://chancery.test/web/*"]
keys = ["web-*"]
operations = ["sign", "decrypt"]
algorithms = ["RS256", "RSA-OAEP-256"]

[[rules]]
name = "auditor"
identities = ["dns:auditor.chancery.test"]
keys = ["*"]
operations = ["verify"]
algorithms = ["*"]

[[rules]]
name = "everybody"
identities = ["spiffe://chancery.test/*"]
operations = ["generate_random"]

[[rules]]
name = "log"
identities = ["dns:auditor.chancery.test"]
operations = ["read_audit"]
"#;

const IDENTITIES: [&str; 6] = [
    "spiffe://chancery.test/admin",
    "spiffe://chancery.test/payouts",
    "spiffe://chancery.test/web/shop",
    "spiffe://chancery.test/web",
    "dns:auditor.chancery.test",
    "spiffe://other.test/payouts",
];
const KEYS: [&str; 4] = ["payouts", "payouts-eu", "web-shop", "web"];
const ALGORITHMS: [&str; 4] = ["ES256", "RS256", "HS256", "RSA-OAEP-256"];

#[test]
fn the_table_of_a_sample_policy_is_the_expected_one() {
    let table = table(&Policy::parse(SAMPLE).unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/policy-table.txt");
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if table != expected {
        let new = std::env::temp_dir().join("policy-table.txt");
        fs::write(&new, &table).unwrap();
        panic!(
            "the table is another than {}; what it is now is in {}",
            path.display(),
            new.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_answers_what_the_table_says() {
    let seed = "\n[[rules]]\nname = \"seed\"\nidentities = [\"spiffe://chancery.test/seed\"]\nkeys = [\"*\"]\noperations = [\"create\"]\nalgorithms = [\"*\"]\n";
    let text = format!("{SAMPLE}{seed}");
    let policy = Policy::parse(&text).unwrap();
    let daemon = Setup::new(Token::new("policy")).policy(&text).start();
    let seed = daemon.client("seed");
    make_ec_key(&seed, "payouts").await;
    make_ec_key(&seed, "payouts-eu").await;
    make_key(
        &seed,
        "web-shop",
        KeyType::Rsa2048,
        KeyPurpose::Sign,
        v1::Algorithm::Rs256,
    )
    .await;
    let mut allowed = 0;
    let mut tried = 0;
    for name in ["admin", "payouts", "web/shop", "web"] {
        let client = daemon.client(name);
        let identity: IdentityName = format!("spiffe://chancery.test/{name}").parse().unwrap();
        // `web` does not exist: whether it may be used must show all the same.
        for key in KEYS {
            for operation in Operation::ALL {
                for algorithm in ["ES256", "RS256"] {
                    let needs = operation.needs();
                    let algorithm: Algorithm = algorithm.parse().unwrap();
                    let name: KeyName = key.parse().unwrap();
                    let asked = policy.explain(
                        &identity,
                        (needs.key != Need::Never).then_some(&name),
                        operation,
                        (needs.algorithm != Need::Never).then_some(algorithm),
                        None,
                    );
                    let Some(code) = ask(&client, operation, key, algorithm).await else {
                        continue;
                    };
                    let denied = code == Code::PermissionDenied;
                    assert_eq!(
                        denied, !asked.allowed,
                        "{identity} {operation} {key} {algorithm}: {code:?}\n{asked}"
                    );
                    tried += 1;
                    allowed += u32::from(asked.allowed);
                }
            }
        }
    }
    assert!(tried > 150 && allowed > 30, "{tried} {allowed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_policy_holds_for_the_next_call_and_a_broken_one_changes_nothing() {
    let daemon = Daemon::with(Token::new("policy"));
    let client = daemon.client("test");
    make_ec_key(&client, "payouts").await;
    client.sign(sign_es256("payouts")).await.unwrap();

    let broken = "[[rules]]\nname = \"x\"\nidentities = [\"spiffe://chancery.test/*\"]\nkeys = [\"*\"]\noperations = [\"sing\"]\n";
    for (text, said) in [
        ("", "rules"),
        (broken, "policy.toml:5"),
        ("not toml [", "policy.toml:1"),
    ] {
        fs::write(daemon.policy_file(), text).unwrap();
        daemon.signal(Signal::HUP);
        let refused = |line: &String| {
            line.contains("the new policy is refused")
                && line.contains("policy.toml")
                && line.contains(said)
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !daemon.log_lines().iter().any(refused) {
            assert!(Instant::now() < deadline, "nothing said of {text:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        client.sign(sign_es256("payouts")).await.unwrap();
    }

    // Without a signal, by looking.
    let verify_only = r#"[[rules]]
name = "verify-only"
identities = ["spiffe://chancery.test/test"]
keys = ["payouts"]
operations = ["verify"]
algorithms = ["ES256"]
"#;
    let new = daemon.policy_file().with_extension("new");
    fs::write(&new, verify_only).unwrap();
    fs::rename(new, daemon.policy_file()).unwrap();
    let changed = Instant::now();
    let failure = loop {
        match client.sign(sign_es256("payouts")).await {
            Ok(_) => assert!(changed.elapsed() < Duration::from_secs(60), "still signs"),
            Err(failure) => break failure,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(failure.reason, "PERMISSION_DENIED");
    assert!(!failure.message.contains("verify-only"), "{failure:?}");

    // With one, at once.
    fs::write(daemon.policy_file(), crate::harness::ALLOW_TEST).unwrap();
    daemon.signal(Signal::HUP);
    let deadline = Instant::now() + Duration::from_secs(60);
    // The reload of the policy before may be read from the log only now.
    let digest = &crate::audited::hash(crate::harness::ALLOW_TEST.as_bytes())[..16];
    while !daemon
        .log_lines()
        .iter()
        .any(|line| line.contains("policy reloaded") && line.contains(digest))
    {
        assert!(Instant::now() < deadline, "SIGHUP does nothing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.sign(sign_es256("payouts")).await.unwrap();
}

#[test]
fn explain_says_which_rule_decides() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.toml");
    fs::write(&path, SAMPLE).unwrap();
    let allowed = explain(&path, &["payouts", "sign", "payouts", "ES256"], &[]);
    assert_eq!(allowed.0, 0, "{}", allowed.1);
    assert!(allowed.1.contains("payouts"), "{}", allowed.1);
    let denied = explain(&path, &["payouts", "sign", "payouts", "ES384"], &[]);
    assert_eq!(denied.0, 3, "{}", denied.1);
    assert!(denied.1.contains("algorithm"), "{}", denied.1);
    let (code, json) = explain(
        &path,
        &["web/shop", "sign", "web-shop", "RS256"],
        &["--json"],
    );
    assert_eq!(code, 0, "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["allowed"], true);
    assert_eq!(json["rule"], "web");
    assert_eq!(json["rules"].as_array().unwrap().len(), 6);
    fs::write(&path, "nonsense").unwrap();
    let broken = explain(&path, &["web/shop", "sign", "web-shop", "RS256"], &[]);
    assert_eq!(broken.0, 1, "{}", broken.1);
}

/// Asks for one thing, in a way that gets past everything but the policy at least as far as its verdict; none
/// where a call concerns an algorithm that its purpose rules out.
async fn ask(
    client: &Client,
    operation: Operation,
    key: &str,
    algorithm: Algorithm,
) -> Option<Code> {
    let name = format!("keys/{key}");
    let number: i32 = chancery::wire::algorithm_to_proto(algorithm).into();
    let ecdsa_encoding = match algorithm {
        Algorithm::Ecdsa(_) => v1::EcdsaEncoding::Raw,
        _ => v1::EcdsaEncoding::Unspecified,
    };
    let result = match operation {
        Operation::Sign => {
            let request = v1::SignRequest {
                name,
                algorithm: number,
                message: Some("message".into()),
                ecdsa_encoding: ecdsa_encoding.into(),
                ..Default::default()
            };
            client.sign(request).await.map(drop)
        }
        Operation::Verify => {
            let request = v1::VerifyRequest {
                name,
                algorithm: number,
                message: Some("message".into()),
                signature: vec![1; 64].into(),
                ecdsa_encoding: ecdsa_encoding.into(),
                ..Default::default()
            };
            client.verify(request).await.map(drop)
        }
        Operation::Get => {
            let request = v1::GetPublicKeyRequest { name };
            let result = client.keys().get_public_key(request).await;
            result.map(drop).map_err(Failure::from)
        }
        Operation::RequestCertificate => {
            let request = v1::CreateCertificateRequestRequest {
                name,
                algorithm: number,
                dns_names: vec!["host.chancery.test".to_owned()],
                ..Default::default()
            };
            let result = client.keys().create_certificate_request(request).await;
            result.map(drop).map_err(Failure::from)
        }
        Operation::Create => {
            // Allowed, it fails for the key's type, so that nothing is made.
            let request = v1::CreateKeyRequest {
                key_id: key.to_owned(),
                r#type: KeyType::EcP521.into(),
                purpose: KeyPurpose::Sign.into(),
                algorithms: vec![number],
                ..Default::default()
            };
            let result = client.keys().create_key(request).await;
            result.map(drop).map_err(Failure::from)
        }
        // What approvers do is told by a file of its own.
        Operation::Approve | Operation::ApprovePolicy | Operation::ChangePolicy => return None,
        Operation::Rotate => {
            let request = v1::UpdateKeyRequest {
                key: Some(v1::Key {
                    name,
                    ..Default::default()
                }),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["rotation_period".to_owned()],
                }),
                ..Default::default()
            };
            let result = client.keys().update_key(request).await;
            result.map(drop).map_err(Failure::from)
        }
        Operation::Update => {
            let request = v1::UpdateKeyRequest {
                key: Some(v1::Key {
                    name,
                    ..Default::default()
                }),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec!["labels".to_owned()],
                }),
                ..Default::default()
            };
            let result = client.keys().update_key(request).await;
            result.map(drop).map_err(Failure::from)
        }
        Operation::Destroy => {
            // Allowed, it fails for there is no such version.
            let request = v1::DestroyKeyVersionRequest {
                name: format!("{name}/versions/99"),
                ..Default::default()
            };
            let result = client.keys().destroy_key_version(request).await;
            result.map(drop).map_err(Failure::from)
        }
        Operation::Import => {
            // The same.
            let request = v1::ImportKeyRequest {
                key_id: key.to_owned(),
                r#type: KeyType::EcP521.into(),
                purpose: KeyPurpose::Sign.into(),
                algorithms: vec![number],
                wrapped: Some(v1::WrappedKey {
                    wrapping_key: "tokens/main/importWrappingKeys/0".to_owned(),
                    method: v1::ImportMethod::RsaOaep3072Sha1Aes256.into(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let result = client.keys().import_key(request).await;
            result.map(drop).map_err(Failure::from)
        }
        Operation::GenerateRandom => {
            let request = v1::GenerateRandomRequest {
                length: 1,
                ..Default::default()
            };
            client.random(request).await.map(drop)
        }
        Operation::ReadAudit => {
            let request = v1::GetAuditCheckpointRequest {};
            let result = client.audit().get_audit_checkpoint(request).await;
            result.map(drop).map_err(Failure::from)
        }
        Operation::Encrypt
        | Operation::Decrypt
        // About partners, not keys.
        | Operation::SignRequest
        | Operation::SignResponse
        | Operation::VerifyCallback
        | Operation::VerifyResponse
        | Operation::EncryptField
        | Operation::DecryptField
        | Operation::IssueAccessToken
        | Operation::ExplainMessage
        | Operation::GetPartner => return None,
    };
    Some(result.map_or_else(|failure| failure.code, |()| Code::Ok))
}

/// A block for each identity; a line for each key and operation; the algorithms that are allowed.
fn table(policy: &Policy) -> String {
    let mut text = String::new();
    for identity in IDENTITIES {
        writeln!(text, "{identity}").unwrap();
        let identity: IdentityName = identity.parse().unwrap();
        for operation in Operation::ALL {
            let needs = operation.needs();
            if needs.partner != Need::Never {
                continue;
            }
            let mut keys: Vec<Option<KeyName>> = KEYS.iter().map(|key| key.parse().ok()).collect();
            match needs.key {
                Need::Always => {}
                Need::Sometimes => keys.push(None),
                Need::Never => keys = vec![None],
            }
            for key in keys {
                let shown = key.as_ref().map_or("-", KeyName::as_str);
                let allowed = |algorithm| {
                    policy
                        .explain(&identity, key.as_ref(), operation, algorithm, None)
                        .rule
                };
                let cells: Vec<String> = match needs.algorithm {
                    Need::Never => vec![allowed(None).unwrap_or_else(|| ".".to_owned())],
                    Need::Always | Need::Sometimes => {
                        let cell = |name: &str| {
                            let rule = allowed(Some(name.parse().unwrap()));
                            format!("{name}={}", rule.unwrap_or_else(|| ".".to_owned()))
                        };
                        ALGORITHMS.into_iter().map(cell).collect()
                    }
                };
                let line = format!("  {:<19} {shown:<10} {}", operation.name(), cells.join(" "));
                writeln!(text, "{}", line.trim_end()).unwrap();
            }
        }
    }
    text
}

fn explain(policy: &Path, asked: &[&str; 4], more: &[&str]) -> (i32, String) {
    let identity = format!("spiffe://chancery.test/{}", asked[0]);
    let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["policy", "explain", "--identity", &identity, "--policy"])
        .arg(policy)
        .args([
            "--operation",
            asked[1],
            "--key",
            asked[2],
            "--algorithm",
            asked[3],
        ])
        .args(more)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}
