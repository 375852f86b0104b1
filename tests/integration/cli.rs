//! The command line against the daemon, as a person or a script uses it: outputs, exit codes, JSON.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::{
    harness::{Daemon, Setup},
    softhsm::Token,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript() {
    let daemon = Setup::new(Token::new("cli")).start();
    let cli = Cli::new(&daemon, "test");
    let file = |name: &str| daemon.directory().join(name).display().to_string();

    // Keys.
    let made = cli.json(&[
        "keys",
        "create",
        "payouts",
        "--type",
        "ec-p256",
        "--purpose",
        "sign",
        "--algorithm",
        "ES256",
    ]);
    assert!(made.to_string().contains("keys/payouts"), "{made}");
    for (name, kind, purpose, algorithm) in [
        ("web", "rsa-2048", "sign", "RS256"),
        ("callbacks", "hmac-sha256", "mac", "HS256"),
    ] {
        cli.ok(
            &[
                "keys",
                "create",
                name,
                "--type",
                kind,
                "--purpose",
                purpose,
                "--algorithm",
                algorithm,
            ],
            b"",
        );
    }
    cli.ok(
        &[
            "keys",
            "create",
            "inbox",
            "--type",
            "rsa-2048",
            "--purpose",
            "decrypt",
            "--algorithm",
            "RSA-OAEP-256",
            "--enc",
            "A256GCM",
        ],
        b"",
    );
    let list = cli.ok(&["keys", "list"], b"");
    for name in ["payouts", "web", "callbacks", "inbox"] {
        assert!(String::from_utf8_lossy(&list).contains(name));
    }
    let list = cli.json(&["keys", "list"]);
    assert_eq!(list["keys"].as_array().unwrap().len(), 4, "{list}");
    let refused = cli.run(
        &[
            "keys",
            "create",
            "payouts",
            "--type",
            "ec-p256",
            "--purpose",
            "sign",
            "--algorithm",
            "ES256",
        ],
        b"",
    );
    assert_eq!(refused.code, 1);
    assert!(refused.error.contains("there already"), "{}", refused.error);

    // Signatures, which openssl verifies.
    let pem = cli.ok(&["keys", "public", "web"], b"");
    std::fs::write(file("web.pem"), &pem).unwrap();
    std::fs::write(file("message"), b"message").unwrap();
    let signature = cli.ok(
        &["sign", "--key", "web", "--algorithm", "RS256"],
        b"message",
    );
    assert_eq!(signature.len(), 256);
    std::fs::write(file("signature"), &signature).unwrap();
    let verified = Command::new("openssl")
        .args([
            "dgst",
            "-sha256",
            "-verify",
            &file("web.pem"),
            "-signature",
            &file("signature"),
            &file("message"),
        ])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
    let verify = [
        "verify",
        "--key",
        "web",
        "--algorithm",
        "RS256",
        "--signature",
        &file("signature"),
    ];
    cli.ok(&verify, b"message");
    assert_eq!(cli.run(&verify, b"massage").code, 1);
    let signed = cli.json(&[
        "sign",
        "--key",
        "payouts",
        "--algorithm",
        "ES256",
        "--der",
        "--in",
        &file("message"),
    ]);
    let signature = BASE64_STANDARD
        .decode(signed["signature"].as_str().unwrap())
        .unwrap();
    assert_eq!(signature[0], 0x30, "DER");
    assert_eq!(signed["name"], "keys/payouts/versions/1");
    assert_eq!(signed["algorithm"], "ES256");
    let chunks = cli.ok(
        &[
            "sign",
            "--key",
            "payouts",
            "--algorithm",
            "ES256",
            "--raw",
            "--chunks",
        ],
        &vec![1; 300_000],
    );
    assert_eq!(chunks.len(), 64);

    // MACs, JWS, JWE.
    let tag = cli.ok(
        &[
            "mac",
            "sign",
            "--key",
            "callbacks",
            "--algorithm",
            "HS256",
            "--hex",
        ],
        b"message",
    );
    let tag = String::from_utf8(tag).unwrap();
    let verify = [
        "mac",
        "verify",
        "--key",
        "callbacks",
        "--algorithm",
        "HS256",
        "--tag-hex",
        tag.trim(),
    ];
    cli.ok(&verify, b"message");
    assert_eq!(cli.run(&verify, b"other").code, 1);
    let jws = cli.ok(
        &["jws", "sign", "--key", "payouts", "--algorithm", "ES256"],
        b"{\"amount\":1}",
    );
    assert_eq!(jws.iter().filter(|byte| **byte == b'.').count(), 2);
    let payload = cli.ok(&["jws", "verify", "--key", "payouts"], &jws);
    assert_eq!(payload, b"{\"amount\":1}");
    let mut forged = jws.clone();
    forged[jws.len() / 2] ^= 1;
    assert_eq!(
        cli.run(&["jws", "verify", "--key", "payouts"], &forged)
            .code,
        1
    );
    let jwe = cli.ok(
        &[
            "jwe",
            "encrypt",
            "--key",
            "inbox",
            "--algorithm",
            "RSA-OAEP-256",
            "--enc",
            "A256GCM",
        ],
        b"secret",
    );
    assert_eq!(
        cli.ok(&["jwe", "decrypt", "--key", "inbox"], &jwe),
        b"secret"
    );
    let refused = cli.run(&["jwe", "decrypt", "--key", "inbox"], b"a.b.c.d.e");
    assert_eq!(refused.code, 1);
    assert!(refused.output.is_empty());

    // Random bytes, and health.
    let (one, other) = (
        cli.ok(&["random", "32"], b""),
        cli.ok(&["random", "32"], b""),
    );
    assert_eq!(one.len(), 32);
    assert_ne!(one, other);
    cli.ok(&["health"], b"");
    assert!(
        cli.json(&["health", "token/main"])
            .to_string()
            .contains("SERVING")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_what_went_wrong() {
    let mut daemon = Daemon::with(Token::new("cli"));
    let (cli, stranger) = (Cli::new(&daemon, "test"), Cli::new(&daemon, "stranger"));
    cli.ok(&["random", "1"], b"");
    // 1: the daemon says no, and not for who we are.
    let missing = cli.run(
        &["sign", "--key", "nothing", "--algorithm", "ES256", "--raw"],
        b"",
    );
    assert_eq!(missing.code, 1, "{}", missing.error);
    // 2: not said well.
    for wrong in [
        &["sign"][..],
        &["random", "x"],
        &["nonsense"],
        &["sign", "--key", "a", "--algorithm", "none"],
    ] {
        assert_eq!(cli.run(wrong, b"").code, 2, "{wrong:?}");
    }
    assert_eq!(
        Cli::new(&daemon, "test")
            .without("CHANCERY_CA")
            .run(&["random", "1"], b"")
            .code,
        2
    );
    // 3: not for us.
    let denied = stranger.run(&["random", "1"], b"");
    assert_eq!(denied.code, 3, "{}", denied.error);
    let denied = stranger.run(&["random", "1", "--json"], b"");
    let error: Value = serde_json::from_str(&denied.error).unwrap();
    assert!(error.to_string().contains("PERMISSION_DENIED"), "{error}");
    assert_eq!(denied.code, 3);
    // 4: nobody there.
    daemon.terminate().await;
    for arguments in [&["random", "1"][..], &["health"], &["keys", "list"]] {
        let gone = cli.run(arguments, b"");
        assert_eq!(gone.code, 4, "{arguments:?}: {}", gone.error);
    }
}

/// The command, as one identity.
pub struct Cli {
    environment: Vec<(&'static str, String)>,
}

/// What it did.
pub struct Ended {
    /// Its exit status.
    pub code: i32,
    /// Its standard output.
    pub output: Vec<u8>,
    /// Its standard error.
    pub error: String,
}

impl Cli {
    /// For this daemon, with a certificate of this name.
    pub fn new(daemon: &Daemon, name: &str) -> Self {
        let config = daemon.client_config(&daemon.certificate(name));
        let path = |path: &Path| path.display().to_string();
        Self {
            environment: vec![
                ("CHANCERY_ADDR", config.address),
                ("CHANCERY_CA", path(&config.ca)),
                ("CHANCERY_CERT", path(&config.certificate)),
                ("CHANCERY_KEY", path(&config.key)),
            ],
        }
    }

    fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(one, _)| *one != name);
        self
    }

    /// Runs it with this input.
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chancery"))
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It need not read what it does not want.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            output: output.stdout,
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it; it must do well.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let ended = self.run(arguments, input);
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.error);
        ended.output
    }

    /// Runs it with `--json`; it must do well.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.ok(&[arguments, &["--json"]].concat(), b"");
        serde_json::from_slice(&output).expect("JSON")
    }
}
