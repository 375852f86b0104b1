//! The command against an in-process daemon with canned answers, over real mutual TLS.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use super::*;

mod daemon;
mod keys;
mod signing;

use daemon::Daemon;

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

    // The kernel takes the connection; nobody says anything.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let line = ["health", "--timeout", "1", "--addr", &address];
    let unheard = chancery(&daemon, &line, &b""[..]).await;
    assert_eq!(unheard.exit, Exit::Unavailable, "{}", unheard.stderr);
    let said = "says nothing of TLS within the time-out";
    assert!(unheard.stderr.contains(said), "{}", unheard.stderr);
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
