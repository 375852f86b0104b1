//! The command against an in-process daemon with canned answers, over real mutual TLS.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use super::*;

mod daemon;

use daemon::{Daemon, SIGNATURE};

struct Outcome {
    exit: Exit,
    stdout: Vec<u8>,
    stderr: String,
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Outcome {
    fn text(&self) -> &str {
        str::from_utf8(&self.stdout).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }
}

/// Runs the command with the daemon's directory, this stdin, and stdout a pipe.
async fn chancery(
    daemon: &Daemon,
    line: &[&str],
    stdin: impl io::Read + Send + 'static,
) -> Outcome {
    run_in(daemon.directory(), line, stdin, false).await
}

async fn run_in(
    directory: &Path,
    line: &[&str],
    stdin: impl io::Read + Send + 'static,
    terminal: bool,
) -> Outcome {
    let (stdout, stderr) = (Buffer::default(), Buffer::default());
    let mut streams = Streams {
        input: Some(Box::new(stdin)),
        output: Box::new(stdout.clone()),
        error: Box::new(stderr.clone()),
        output_is_terminal: terminal,
    };
    let line = ["chancery"].iter().chain(line).map(OsString::from);
    let environment =
        |name: &str| (name == "CHANCERY_DEV").then(|| directory.as_os_str().to_owned());
    let exit = run(line, &environment, &mut streams).await;
    let taken = |buffer: Buffer| buffer.0.lock().unwrap().clone();
    Outcome {
        exit,
        stdout: taken(stdout),
        stderr: String::from_utf8(taken(stderr)).unwrap(),
    }
}

#[test]
fn the_arguments_are_well_formed() {
    use clap::CommandFactory;
    CommandLine::command().debug_assert();
}

#[tokio::test]
async fn sign_writes_exactly_the_signature() {
    let daemon = Daemon::start().await;
    let sign = ["sign", "--key", "payouts/2", "--algorithm", "RS256"];
    let plain = chancery(&daemon, &sign, &b"message"[..]).await;
    assert_eq!((plain.exit, plain.stderr.as_str()), (Exit::Done, ""));
    assert_eq!(plain.stdout, SIGNATURE);

    let hex = chancery(&daemon, &[&sign[..], &["--hex"]].concat(), &b"message"[..]).await;
    assert_eq!(hex.text(), format!("{}\n", hex::encode(SIGNATURE)));

    let json = chancery(&daemon, &[&sign[..], &["--json"]].concat(), &b"message"[..]).await;
    assert_eq!(json.json()["name"], "keys/payouts/versions/2");
    assert_eq!(json.json()["algorithm"], "RS256");
    assert_eq!(json.json()["signature"], output::base64(SIGNATURE));
    assert_eq!(json.json()["verified_input_crc32c"], true);

    let terminal = run_in(daemon.directory(), &sign, &b""[..], true).await;
    assert_eq!(terminal.exit, Exit::Usage);
    assert!(terminal.stderr.contains("--base64"), "{}", terminal.stderr);
}

#[tokio::test]
async fn what_does_not_go_together_is_wrong_usage_and_makes_no_call() {
    let nowhere = Path::new("/nonexistent");
    for (line, word) in [
        (&["sign", "--key", "k", "--algorithm", "ES256"][..], "--der"),
        (
            &["sign", "--key", "k", "--algorithm", "RS256", "--raw"],
            "one form",
        ),
        (
            &["sign", "--key", "k", "--algorithm", "EdDSA", "--digest"],
            "digest",
        ),
        (
            &[
                "sign",
                "--key",
                "k",
                "--algorithm",
                "RS256",
                "--digest-hex",
                "00",
            ],
            "32 bytes",
        ),
        (&["sign", "--key", "k", "--algorithm", "dir"], ""),
        (&["sign", "--key", "k/0", "--algorithm", "RS256"], ""),
        (&["mac", "sign", "--key", "k", "--algorithm", "RS256"], ""),
        (&["verify", "--key", "k", "--algorithm", "RS256"], ""),
        (
            &["jwe", "encrypt", "--algorithm", "dir", "--enc", "A256GCM"],
            "",
        ),
        (&["random", "0"], ""),
        (
            &[
                "keys",
                "create",
                "k",
                "--type",
                "ec-p256",
                "--purpose",
                "sign",
                "--algorithm",
                "RS256",
            ],
            "ec-p256",
        ),
        (&["keys", "list"], "chanceryd dev"),
    ] {
        let outcome = run_in(nowhere, line, &b""[..], false).await;
        assert_eq!(outcome.exit, Exit::Usage, "{line:?}");
        assert!(
            outcome.stderr.contains(word),
            "{line:?}: {}",
            outcome.stderr
        );
        assert!(outcome.stdout.is_empty());
    }
}

#[tokio::test]
async fn a_refusal_shows_its_reason_and_exits_with_3() {
    let daemon = Daemon::start().await;
    let line = ["sign", "--key", "denied", "--algorithm", "RS256"];
    let people = chancery(&daemon, &line, &b""[..]).await;
    assert_eq!(people.exit, Exit::Denied);
    assert_eq!(
        people.stderr,
        "error: no rule allows this (PERMISSION_DENIED)\n  reason: DENIED\n  key: denied\\u{1b}\n"
    );
    let json = chancery(&daemon, &[&line[..], &["--json"]].concat(), &b""[..]).await;
    let error: Value = serde_json::from_str(&json.stderr).unwrap();
    assert_eq!(error["error"]["code"], "PERMISSION_DENIED");
    assert_eq!(error["error"]["reason"], "DENIED");
    assert_eq!(error["error"]["metadata"]["key"], "denied\u{1b}");
    assert!(json.stdout.is_empty());
}

#[tokio::test]
async fn a_changed_answer_is_not_handed_on() {
    let daemon = Daemon::start().await;
    for key in ["corrupt", "unchecked"] {
        let line = ["sign", "--key", key, "--algorithm", "RS256"];
        let outcome = chancery(&daemon, &line, &b"m"[..]).await;
        assert_eq!(outcome.exit, Exit::Failure);
        assert!(
            outcome.stderr.contains("reason: CORRUPTED"),
            "{}",
            outcome.stderr
        );
        assert!(outcome.stdout.is_empty());
    }
}

#[tokio::test]
async fn long_messages_are_sent_in_chunks() {
    let daemon = Daemon::start().await;
    let length: u64 = 3 * 1024 * 1024 + 17;
    let message = || io::Read::take(io::repeat(7), length);
    let line = [
        "sign",
        "--key",
        "k",
        "--algorithm",
        "ES256",
        "--der",
        "--json",
    ];
    let piped = chancery(&daemon, &line, message()).await;
    assert_eq!(piped.exit, Exit::Done, "{}", piped.stderr);
    assert_eq!(piped.json()["message_length"], length);
    assert_eq!(piped.json()["verified_message_crc32c"], false);

    let file = daemon.directory().join("message");
    io::copy(&mut message(), &mut std::fs::File::create(&file).unwrap()).unwrap();
    let from_file = [&line[..], &["--in", file.to_str().unwrap()]].concat();
    let read = chancery(&daemon, &from_file, &b""[..]).await;
    assert_eq!(read.json()["message_length"], length);
    assert_eq!(read.json()["verified_message_crc32c"], true);

    let line = ["sign", "--key", "k", "--algorithm", "EdDSA"];
    let refused = chancery(&daemon, &line, message()).await;
    assert_eq!(refused.exit, Exit::Usage);
    assert!(refused.stderr.contains("chunks"), "{}", refused.stderr);
}

/// The part that could be read must not be signed as if it were all.
#[tokio::test]
async fn a_message_that_breaks_off_is_not_signed() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let daemon = Daemon::start().await;
    let message = io::Read::chain(io::Read::take(io::repeat(7), 2 * 1024 * 1024), Broken);
    let line = ["sign", "--key", "k", "--algorithm", "RS256"];
    let outcome = chancery(&daemon, &line, message).await;
    assert_eq!(outcome.exit, Exit::Failure);
    assert!(
        outcome.stderr.contains("the disk is gone"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stdout.is_empty());
    assert_eq!(daemon.whole_messages(), 0);
}

#[tokio::test]
async fn verdicts_are_words_and_exit_statuses() {
    let daemon = Daemon::start().await;
    let good = hex::encode(SIGNATURE);
    let verify = |signature: String| {
        let line = [
            "verify",
            "--key",
            "k",
            "--algorithm",
            "RS256",
            "--signature-hex",
        ];
        let line = line.map(str::to_owned).into_iter().chain([signature]);
        line.collect::<Vec<_>>()
    };
    for (signature, exit, words) in [
        (good, Exit::Done, "valid: keys/k/versions/1\n"),
        ("00".to_owned(), Exit::Failure, "not valid\n"),
    ] {
        let line = verify(signature);
        let line = line.iter().map(String::as_str).collect::<Vec<_>>();
        let outcome = chancery(&daemon, &line, &b"message"[..]).await;
        assert_eq!((outcome.exit, outcome.stderr.as_str()), (exit, words));
        assert!(outcome.stdout.is_empty());
    }
}

/// The daemon hashes too; over a message this long it is done here. The value is that of `sha256sum`.
#[tokio::test]
async fn of_a_long_message_the_digest_is_verified() {
    let daemon = Daemon::start().await;
    let message = io::Read::take(io::repeat(b'a'), 2_000_000);
    let line = [
        "verify",
        "--key",
        "digest",
        "--algorithm",
        "RS256",
        "--signature-hex",
        "00",
        "--json",
    ];
    let outcome = chancery(&daemon, &line, message).await;
    let expected = "bcf7f9d1b4311c3352e60502255ce09a6744df84e8f2c89f79c4b5d74933a95a";
    assert_eq!(outcome.json()["name"], expected);
}

#[tokio::test]
async fn keys_are_listed_from_all_pages_one_a_line() {
    let daemon = Daemon::start().await;
    let plain = chancery(&daemon, &["keys", "list"], &b""[..]).await;
    assert_eq!(
        plain.text(),
        "payouts\tec-p256\tsign\tES256\tpayouts/1\tenabled\tmain\ttoken-only\n\
         inbox\trsa-3072\tdecrypt\tRSA-OAEP-256\tinbox/1\t1 destroyed, 1 enabled\tmain\ttoken-only\n"
    );
    let table = run_in(daemon.directory(), &["keys", "list"], &b""[..], true).await;
    assert!(table.text().contains("purpose"), "{}", table.text());
    let json = chancery(&daemon, &["keys", "list", "--json"], &b""[..]).await;
    assert_eq!(
        json.json()["keys"][0]["versions"][0]["attributes"]["local"],
        true
    );
    assert_eq!(
        json.json()["keys"][0]["versions"][0]["attributes"]["extractable"],
        Value::Null
    );
    let one = chancery(&daemon, &["keys", "describe", "payouts"], &b""[..]).await;
    assert!(
        one.text().contains("generated inside the token"),
        "{}",
        one.text()
    );
}

#[tokio::test]
async fn a_key_is_created_as_it_was_asked_for() {
    let daemon = Daemon::start().await;
    let line = [
        "keys",
        "create",
        "new",
        "--type",
        "rsa-3072",
        "--purpose",
        "decrypt",
        "--algorithm",
        "RSA-OAEP-256",
        "--enc",
        "A256GCM",
        "--enc",
        "A128CBC-HS256",
        "--allow-compression",
        "--json",
    ];
    let made = chancery(&daemon, &line, &b""[..]).await;
    assert_eq!(made.exit, Exit::Done, "{}", made.stderr);
    let made = made.json();
    assert_eq!(made["name"], "keys/new");
    assert_eq!(made["type"], "rsa-3072");
    assert_eq!(made["purpose"], "decrypt");
    assert_eq!(made["algorithms"], serde_json::json!(["RSA-OAEP-256"]));
    assert_eq!(
        made["content_encryptions"],
        serde_json::json!(["A256GCM", "A128CBC-HS256"])
    );
    assert_eq!(made["compression_allowed"], true);
}

#[tokio::test]
async fn public_keys_requests_and_random_bytes_are_written_as_asked() {
    let daemon = Daemon::start().await;
    let public = ["keys", "public", "k", "--format"];
    for (format, expected) in [
        ("pem", &b"pem\n"[..]),
        ("der", b"\x30\x00"),
        ("jwk", b"{\"kty\":\"EC\"}\n"),
        ("thumbprint", b"thumbprint\n"),
    ] {
        let outcome = chancery(&daemon, &[&public[..], &[format]].concat(), &b""[..]).await;
        assert_eq!(outcome.stdout, expected, "{format}");
    }
    let file = daemon.directory().join("public.der");
    let line = [
        &public[..],
        &["der", "--json", "--out", file.to_str().unwrap()],
    ]
    .concat();
    let json = chancery(&daemon, &line, &b""[..]).await;
    assert_eq!(json.json()["jwk"]["kty"], "EC");
    assert_eq!(std::fs::read(file).unwrap(), b"\x30\x00");

    let line = [
        "keys",
        "csr",
        "k",
        "--algorithm",
        "ES256",
        "--subject",
        "CN=a,C=ID",
        "--dns",
        "a.b",
        "--ip",
        "::1",
    ];
    let csr = chancery(&daemon, &line, &b""[..]).await;
    assert_eq!(csr.text(), "C=ID CN=a [\"a.b\"][\"::1\"]");

    let random = chancery(&daemon, &["random", "3", "--hex"], &b""[..]).await;
    assert_eq!(random.text(), "ababab\n");
    let short = chancery(&daemon, &["random", "7", "--hex"], &b""[..]).await;
    assert_eq!((short.exit, short.text()), (Exit::Failure, ""));
}

#[tokio::test]
async fn a_policy_is_explained_without_a_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.toml");
    let rules = "[[rules]]\nname = \"payouts\"\nidentities = [\"spiffe://example.org/app\"]\nkeys = [\"payouts\"]\n\
                 operations = [\"sign\"]\nalgorithms = [\"ES256\"]\n";
    std::fs::write(&file, rules).unwrap();
    let file = file.to_str().unwrap();
    let explain = |operation: &'static str, last: &'static [&str]| {
        let line = [
            "policy",
            "explain",
            "--policy",
            file,
            "--identity",
            "spiffe://example.org/app",
        ];
        let line = [&line[..], &["--operation", operation], last].concat();
        let directory = directory.path();
        async move { run_in(directory, &line, &b""[..], false).await }
    };
    let asked = &["--key", "payouts", "--algorithm", "ES256", "--json"];
    let allowed = explain("sign", asked).await;
    assert_eq!(allowed.exit, Exit::Done, "{}", allowed.stderr);
    assert_eq!(allowed.json()["rule"], "payouts");
    let denied = explain("verify", asked).await;
    assert_eq!(denied.exit, Exit::Denied);
    assert_eq!(denied.json()["allowed"], false);
    let incomplete = explain("sign", &["--key", "payouts"]).await;
    assert_eq!(incomplete.exit, Exit::Usage);
    assert!(
        incomplete.stderr.contains("needs --algorithm"),
        "{}",
        incomplete.stderr
    );
    std::fs::write(file, format!("{rules}colour = 1\n")).unwrap();
    let broken = explain("sign", asked).await;
    assert_eq!(broken.exit, Exit::Failure);
    assert!(
        broken.stderr.contains("policy.toml") && broken.stderr.contains("line"),
        "{}",
        broken.stderr
    );
}

#[tokio::test]
async fn jws_and_jwe_go_there_and_back() {
    let daemon = Daemon::start().await;
    let sign = [
        "jws",
        "sign",
        "--key",
        "k",
        "--algorithm",
        "ES256",
        "--header",
        "{\"typ\":\"JWT\"}",
    ];
    let made = chancery(&daemon, &sign, &b"payload"[..]).await;
    assert_eq!(made.text(), "{\"typ\":\"JWT\"}.payload\n");
    let verify = ["jws", "verify", "--key", "k"];
    let opened = chancery(&daemon, &verify, &b"good.payload\n"[..]).await;
    assert_eq!((opened.exit, opened.text()), (Exit::Done, "good.payload"));
    let refused = chancery(&daemon, &verify, &b"bad"[..]).await;
    assert_eq!((refused.exit, refused.text()), (Exit::Failure, ""));

    let decrypt = ["jwe", "decrypt", "--key", "k"];
    let plain = chancery(&daemon, &decrypt, &b"\n a.b.c.d.e\n"[..]).await;
    assert_eq!(plain.stdout, b"a.b.c.d.e\x00");
    let terminal = run_in(daemon.directory(), &decrypt, &b"a.b.c.d.e"[..], true).await;
    assert_eq!((terminal.exit, terminal.text()), (Exit::Usage, ""));
    let encrypt = [
        "jwe",
        "encrypt",
        "--key",
        "k/3",
        "--algorithm",
        "dir",
        "--enc",
        "A256GCM",
    ];
    let made = chancery(&daemon, &encrypt, &b"plain"[..]).await;
    assert_eq!(made.text(), "keys/k/versions/3 22 3 plain\n");
}

#[tokio::test]
async fn health_is_an_exit_status() {
    let daemon = Daemon::start().await;
    let all = chancery(&daemon, &["health"], &b""[..]).await;
    assert_eq!(all.exit, Exit::Unavailable);
    assert!(
        all.text()
            .contains("chancery.v1.JoseService\tSERVICE_UNKNOWN\n"),
        "{}",
        all.text()
    );
    let one = chancery(&daemon, &["health", ""], &b""[..]).await;
    assert_eq!((one.exit, one.text()), (Exit::Done, "(all)\tSERVING\n"));
}

#[tokio::test]
async fn a_daemon_that_is_late_or_away_is_unavailable() {
    let daemon = Daemon::start().await;
    let line = [
        "sign",
        "--key",
        "slow",
        "--algorithm",
        "RS256",
        "--timeout",
        "1",
    ];
    let late = chancery(&daemon, &line, &b""[..]).await;
    assert_eq!(late.exit, Exit::Unavailable, "{}", late.stderr);
    assert!(late.stderr.contains("DEADLINE_EXCEEDED"), "{}", late.stderr);

    // Bound and dropped, so that nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let away = chancery(
        &daemon,
        &["keys", "list", "--addr", &port.to_string()],
        &b""[..],
    )
    .await;
    assert_eq!(away.exit, Exit::Unavailable, "{}", away.stderr);
    assert!(
        away.stderr.contains("reason: UNREACHABLE"),
        "{}",
        away.stderr
    );
}

#[tokio::test]
async fn certificates_that_are_refused_are_told_apart() {
    let daemon = Daemon::start().await;
    let ours = chancery(&daemon, &["keys", "list", "--as", "stranger"], &b""[..]).await;
    assert_eq!(ours.exit, Exit::Denied, "{}", ours.stderr);
    assert!(
        ours.stderr.contains("reason: CERTIFICATE_REFUSED"),
        "{}",
        ours.stderr
    );

    let other = daemon.directory().join("other-ca.pem");
    let line = ["keys", "list", "--ca", other.to_str().unwrap()];
    let theirs = chancery(&daemon, &line, &b""[..]).await;
    assert_eq!(theirs.exit, Exit::Unavailable, "{}", theirs.stderr);
    assert!(
        theirs.stderr.contains("reason: SERVER_NOT_TRUSTED"),
        "{}",
        theirs.stderr
    );
}
