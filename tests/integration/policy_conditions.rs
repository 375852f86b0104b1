//! Policies with limits and times through the daemon, and what `chancery policy` says of files.

use std::{fs, io, path::Path, process::Command};

use chancery::{
    client::{Client, Code, SignChunksError},
    policy::Policy,
    proto::v1::{
        Algorithm, EcdsaEncoding, KeyPurpose, KeyType, Serialization, SignChunksHeader,
        SignJwsRequest, SignRequest,
    },
};
use tonic_types::StatusExt;

use crate::{
    harness::Setup,
    requests::{make_ec_key, make_key},
    softhsm::Token,
};

const LIMITED: &str = r#"
[[roles]]
name = "signers"
identities = ["spiffe://chancery.test/app"]

[[rules]]
name = "makes"
identities = ["spiffe://chancery.test/test"]
keys = ["*"]
operations = ["create"]
algorithms = ["*"]

[[rules]]
name = "small"
roles = ["signers"]
keys = ["small", "mac"]
operations = ["sign"]
algorithms = ["ES256", "HS256"]
max_bytes = 8

[[rules]]
name = "digests"
roles = ["signers"]
keys = ["digests"]
operations = ["sign"]
algorithms = ["ES256"]
digest_only = true

[[rules]]
name = "past"
roles = ["signers"]
keys = ["past"]
operations = ["sign"]
algorithms = ["ES256"]
not_after = "2020-01-01T00:00:00Z"

[[rules]]
name = "tokens"
roles = ["signers"]
keys = ["tokens"]
operations = ["sign"]
algorithms = ["ES256"]
[rules.jwt]
require = { iss = ["payments"] }
forbid = ["admin"]
max_lifetime_seconds = 900
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_stays_within_the_limits() {
    let daemon = Setup::new(Token::new("limits")).policy(LIMITED).start();
    let maker = daemon.client("test");
    for key in ["small", "digests", "past", "tokens"] {
        make_ec_key(&maker, key).await;
    }
    make_key(
        &maker,
        "mac",
        KeyType::HmacSha256,
        KeyPurpose::Mac,
        Algorithm::Hs256,
    )
    .await;
    let app = daemon.client("app");

    let message = |bytes: &[u8]| SignRequest {
        message: Some(bytes.to_vec().into()),
        ..SignRequest::default()
    };
    let digest = || SignRequest {
        digest: Some(vec![7; 32].into()),
        ..SignRequest::default()
    };
    for (key, content, expected) in [
        ("small", message(b"12345678"), "OK"),
        ("small", message(b"123456789"), "POLICY_LIMIT_SIZE"),
        ("small", digest(), "POLICY_LIMIT_MESSAGE"),
        ("digests", digest(), "OK"),
        ("digests", message(b"1"), "POLICY_LIMIT_DIGEST"),
        ("tokens", message(b"e30.e30"), "POLICY_LIMIT_JWT"),
        // Whose hour it is not is told no more than a stranger.
        ("past", message(b"1"), "PERMISSION_DENIED"),
        ("elsewhere", message(b"1"), "PERMISSION_DENIED"),
    ] {
        assert_eq!(
            sign(&app, key, content.clone()).await,
            expected,
            "{key} {content:?}"
        );
    }

    let expires = |seconds: u64| {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        format!("{{\"iss\":\"payments\",\"exp\":{}}}", now + seconds)
    };
    for (payload, expected) in [
        (expires(600), "OK"),
        (expires(3600), "POLICY_LIMIT_LIFETIME"),
        (
            expires(600).replace("payments", "else"),
            "POLICY_LIMIT_CLAIM",
        ),
        (
            expires(600).replace("{", "{\"admin\":1,"),
            "POLICY_LIMIT_CLAIM",
        ),
        (
            expires(600).replace("{", "{\"iss\":\"else\","),
            "POLICY_LIMIT_JWT",
        ),
    ] {
        assert_eq!(sign_jwt(&app, &payload).await, expected, "{payload}");
    }

    for (key, algorithm) in [("small", Algorithm::Es256), ("mac", Algorithm::Hs256)] {
        assert_eq!(sign_chunks(&app, key, algorithm, 8).await, "OK");
        assert_eq!(
            sign_chunks(&app, key, algorithm, 9).await,
            "POLICY_LIMIT_SIZE"
        );
    }
    // The token's session is free again.
    assert_eq!(sign_chunks(&app, "mac", Algorithm::Hs256, 8).await, "OK");
    let log = daemon.log_lines().join("\n");
    assert!(
        log.contains("rules name all of this, but not at this time"),
        "{log}"
    );
}

#[test]
fn check_table_and_diff_say_what_is_meant() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).unwrap();
    };
    write("a.toml", LIMITED);
    write(
        "b.toml",
        &LIMITED
            .replace("max_bytes = 8", "")
            .replace("\"digests\"]\noper", "\"digest-1\"]\noper"),
    );
    write(
        "keys.json",
        r#"{"keys": [{"name": "keys/small"}, {"name": "keys/mac"}]}"#,
    );
    let run = |arguments: &[&str]| policy(directory.path(), arguments);

    let (code, text) = run(&["check", "a.toml"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        text,
        "warning: rule past: its time is over: until 2020-01-01T00:00:00Z\n"
    );
    let (code, text) = run(&[
        "check",
        "a.toml",
        "--keys",
        "keys.json",
        "--strict",
        "--json",
    ]);
    assert_eq!(code, 1, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let kinds: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["kind"])
        .collect();
    assert_eq!(kinds, ["unknown_key", "over", "unknown_key", "unknown_key"]);
    write("not.json", "{}");
    assert_eq!(run(&["check", "a.toml", "--keys", "not.json"]).0, 1);

    let (code, text) = run(&[
        "table",
        "a.toml",
        "--identity",
        "spiffe://chancery.test/app",
    ]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains(
            "spiffe://chancery.test/app\tkey small\tsign\tES256 HS256\tat most 8 bytes\tsmall\n"
        ),
        "{text}"
    );

    let (code, text) = run(&["diff", "a.toml", "b.toml"]);
    assert_eq!(code, 0, "{text}");
    let lines: Vec<_> = text.lines().collect();
    let app = "spiffe://chancery.test/app";
    assert_eq!(
        lines,
        [
            format!("{app}\tgains\tsign\tkey digest-1\tES256\t-\tdigests alone"),
            format!("{app}\tloses\tsign\tkey digests\tES256\tdigests alone\t-"),
            format!("{app}\twidens\tsign\tkey mac\tES256 HS256\tat most 8 bytes\t-"),
            format!("{app}\twidens\tsign\tkey small\tES256 HS256\tat most 8 bytes\t-"),
        ]
    );
    let (code, text) = run(&["diff", "a.toml", "a.toml", "--json"]);
    assert_eq!(
        (code, text.trim()),
        (0, "{\"changes\":[],\"quotas\":[]}"),
        "{text}"
    );

    let asked = [
        "explain",
        "--policy",
        "a.toml",
        "--identity",
        app,
        "--operation",
        "sign",
        "--algorithm",
        "ES256",
        "--key",
        "past",
    ];
    assert_eq!(run(&asked).0, 3);
    let (code, text) = run(&[&asked[..], &["--at", "2019-12-31T23:59:59Z"]].concat());
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("the identity's roles: signers"), "{text}");
}

/// The examples of the reference are policies, and nothing is found in them but what is meant.
#[test]
fn the_examples_of_the_reference_are_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/policy.md")).unwrap();
    let (_, example) = text.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    Policy::parse(example).unwrap();
    let shipped = fs::read_to_string(root.join("config/policy.toml")).unwrap();
    let commented: String = shipped
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with(' ') && !rest.is_empty())
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(commented.contains("\n[[roles]]\n") && commented.contains("\n[rules.jwt]"));
    Policy::parse(&commented).unwrap();
}

/// `OK`, or the reason; every refusal by the policy has one code.
async fn sign(client: &Client, key: &str, content: SignRequest) -> String {
    let request = SignRequest {
        name: format!("keys/{key}"),
        algorithm: Algorithm::Es256.into(),
        ecdsa_encoding: EcdsaEncoding::Raw.into(),
        ..content
    };
    match client.sign(request).await {
        Ok(_) => "OK".to_owned(),
        Err(failure) => {
            assert_eq!(failure.code, Code::PermissionDenied);
            failure.reason
        }
    }
}

async fn sign_jwt(client: &Client, payload: &str) -> String {
    let request = SignJwsRequest {
        name: "keys/tokens".to_owned(),
        algorithm: Algorithm::Es256.into(),
        payload: payload.as_bytes().to_vec().into(),
        serialization: Serialization::Compact.into(),
        ..SignJwsRequest::default()
    };
    match client.jose().sign_jws(request).await {
        Ok(_) => "OK".to_owned(),
        Err(status) => status.get_details_error_info().unwrap().reason,
    }
}

async fn sign_chunks(client: &Client, key: &str, algorithm: Algorithm, length: usize) -> String {
    let encoding = match algorithm {
        Algorithm::Es256 => EcdsaEncoding::Raw,
        _ => EcdsaEncoding::Unspecified,
    };
    let header = SignChunksHeader {
        name: format!("keys/{key}"),
        algorithm: algorithm.into(),
        ecdsa_encoding: encoding.into(),
        ..SignChunksHeader::default()
    };
    match client
        .sign_chunks(header, io::Cursor::new(vec![1; length]))
        .await
    {
        Ok(_) => "OK".to_owned(),
        Err(SignChunksError::Call(failure)) => failure.reason,
        Err(SignChunksError::Input(error)) => panic!("{error}"),
    }
}

fn policy(directory: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .arg("policy")
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}
