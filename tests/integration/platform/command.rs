//! The same from the command line: messages from files and curl commands, exact bytes on stdout.

use chancery::proto::v1::{Algorithm, KeyType};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::{
    calls::create,
    cli::Cli,
    platform::{
        shared::{now, openssl_sign, rfc3339, rsa_pair},
        world::{Held, World},
    },
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
    // Explained, it is shown whole, and the verdict is told with the exit status.
    let kind = ["--kind", "callback", "--partner", "github"];
    let forgery = hook.replace("Hello", "Hullo");
    let explained = cli.run(
        &[&["request", "explain"], &kind[..]].concat(),
        forgery.as_bytes(),
    );
    assert_eq!(explained.code, 1, "{}", explained.error);
    assert!(
        explained.error.contains("SIGNATURE_INVALID"),
        "{}",
        explained.error
    );
    let shown = String::from_utf8(explained.output).unwrap();
    assert!(shown.contains("Hullo"), "{shown}");
    let explained = cli.run(
        &[&["request", "explain"], &kind[..]].concat(),
        hook.as_bytes(),
    );
    assert_eq!(explained.code, 0, "{}", explained.error);
    let lacking = told["protections"]["lacking"].to_string();
    assert!(!lacking.contains("not remembered"), "{lacking}");

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

/// A token endpoint from the command line: the answer goes to stdout also where it is a refusal.
#[tokio::test]
async fn access_tokens_are_issued() {
    let (private, public) = rsa_pair();
    let text = format!(
        "[partner]\nname = \"snap\"\ntitle = \"t\"\n[constants]\nclient_key = \"c\"\n[keys.signing]\nkey = \"rsa\"\n\
         [keys.platform]\npublic_keys = [{{ pem = '''\n{public}''' }}]\n\
         [schemes.snap-token]\naccess_tokens = {{ key = \"tokens\", lifetime_seconds = 900 }}\n"
    );
    let world = World::with(&[("snap".to_owned(), text)], Token::new("tokens"), "");
    let client = world.client();
    create(&client, "rsa", KeyType::Rsa2048, &[Algorithm::Rs256]).await;
    create(&client, "tokens", KeyType::HmacSha256, &[Algorithm::Hs256]).await;
    let cli = Cli::new(&world.daemon, "test");
    let time = rfc3339(now());
    let signature = openssl_sign(&private, format!("client|{time}").as_bytes());
    let signature = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, signature);
    let asked = format!(
        "POST /v1.0/access-token/b2b HTTP/1.1\nX-CLIENT-KEY: client\nX-TIMESTAMP: {time}\nX-SIGNATURE: {signature}\n\n{{}}"
    );
    let issue = ["access-tokens", "issue", "--partner", "snap"];
    let issued = cli.run(&issue, asked.as_bytes());
    let answer = String::from_utf8(issued.output).unwrap();
    assert_eq!(issued.code, 0, "{}", issued.error);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"accessToken\":\""), "{answer}");
    // Whoever has seen the request can send it again.
    let again = cli.run(&issue, asked.as_bytes());
    let answer = String::from_utf8(again.output).unwrap();
    assert_eq!(again.code, 1, "{}", again.error);
    assert!(
        answer.starts_with("HTTP/1.1 401 ") && answer.contains("4017300"),
        "{answer}"
    );
    assert!(again.error.contains("DUPLICATE"), "{}", again.error);
    let refused = cli.run(
        &[&issue[..], &["--json"]].concat(),
        asked.replace("client", "other").as_bytes(),
    );
    let told: Value = serde_json::from_slice(&refused.output).unwrap();
    assert_eq!(
        (refused.code, told["reason"].as_str()),
        (1, Some("SIGNATURE_INVALID"))
    );
    assert_eq!(told["response"]["status_code"], 401);
    assert!(told["expire_time"].is_null());
}

const SECRET: &[u8] = b"a secret in common with nobody else";
