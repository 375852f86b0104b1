//! Signatures and verdicts at the command line: exact bytes, long messages, answers that were changed.

use std::io;

use super::{daemon::SIGNATURE, *};

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
