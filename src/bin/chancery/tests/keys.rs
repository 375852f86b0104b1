//! Keys at the command line: listed, created, shown, and random bytes from their token.

use serde_json::Value;

use super::*;

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
