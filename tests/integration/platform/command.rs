//! The same from the command line: messages from files and curl commands, exact bytes on stdout.

use chancery::proto::v1::Algorithm;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::{
    cli::Cli,
    platform::world::{Held, World},
    softhsm::Token,
};

#[tokio::test]
async fn messages_are_signed_verified_and_explained() {
    let partner = |name: &str, rest: &str| {
        let text = format!("[partner]\nname = {name:?}\ntitle = \"t\"\n{rest}");
        (name.to_owned(), text)
    };
    let partners = [
        partner(
            "doku",
            "[constants]\nclient_id = \"c\"\n[keys.signing]\nkey = \"secret\"\n[schemes.doku]\n",
        ),
        partner(
            "github",
            "[keys.platform]\nkey = \"secret\"\n[schemes.github]\n",
        ),
    ];
    let world = World::with(&partners, Token::new("command"), "");
    let held = Held {
        name: "secret",
        algorithm: Algorithm::Hs256,
        secret: SECRET,
        readable: false,
    };
    world.import(held).await;
    let cli = Cli::new(&world.daemon, "test");

    // What is signed comes back whole; its body is the one that went in.
    let request = b"POST /pay?a=1 HTTP/1.1\r\nHost: doku.example\r\n\r\n{\"a\": 1}\r\n";
    let values = [
        "--value",
        "request_id=r",
        "--value",
        "timestamp=2026-01-02T03:04:05Z",
    ];
    let sign = ["request", "sign", "--partner", "doku"];
    let signed = cli.ok(&[&sign[..], &values].concat(), request);
    let text = String::from_utf8(signed).unwrap();
    assert!(
        text.starts_with("POST /pay?a=1 HTTP/1.1\r\nHost: doku.example\r\n"),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\n{\"a\": 1}\r\n"), "{text}");

    // The string is shown byte for byte, and makes the signature.
    let explain = ["request", "explain", "--partner", "doku", "--string"];
    let string = cli.ok(&[&explain[..], &values].concat(), request);
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(&string);
    let signature = base64::Engine::encode(
        &base64::prelude::BASE64_STANDARD,
        mac.finalize().into_bytes(),
    );
    assert!(
        text.contains(&format!("Signature: HMACSHA256={signature}\r\n")),
        "{text}"
    );

    // The same request as a curl command.
    let curl = world.files().join("call.sh");
    let command = "curl -X POST 'https://doku.example/pay?a=1' --data-binary $'{\"a\": 1}\\r\\n'";
    std::fs::write(&curl, command).unwrap();
    let curl = ["--curl", curl.to_str().unwrap()];
    assert_eq!(
        cli.ok(&[&explain[..], &values, &curl].concat(), b""),
        string
    );

    // A callback: its body once, then nothing, and the exit status tells.
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(b"Hello\r\n");
    let signature = hex::encode(mac.finalize().into_bytes());
    let hook = format!("POST /hook HTTP/1.1\nX-Hub-Signature-256: sha256={signature}\n\nHello\r\n");
    let verify = ["callback", "verify", "--partner", "github"];
    let first = cli.run(&verify, hook.as_bytes());
    assert_eq!(
        (first.code, first.output.as_slice()),
        (0, &b"Hello\r\n"[..]),
        "{}",
        first.error
    );
    let again = cli.run(&verify, hook.as_bytes());
    assert_eq!((again.code, again.output.len()), (1, 0), "{}", again.error);
    assert!(again.error.contains("DUPLICATE"), "{}", again.error);
    let forged = cli.run(
        &[&verify[..], &["--json"]].concat(),
        hook.replace("Hello", "Hullo").as_bytes(),
    );
    let told: Value = serde_json::from_slice(&forged.output).unwrap();
    assert_eq!(
        (forged.code, told["verdict"].as_str()),
        (1, Some("VERDICT_INVALID"))
    );
    assert_eq!(told["reason"], "SIGNATURE_INVALID");
    let refused = cli.run(
        &["callback", "verify", "--partner", "nobody"],
        hook.as_bytes(),
    );
    assert_eq!(refused.code, 1, "{}", refused.error);
    assert!(
        refused.error.contains("PARTNER_NOT_FOUND"),
        "{}",
        refused.error
    );
}

const SECRET: &[u8] = b"a secret in common with nobody else";
