//! Families of signatures through the daemon, beside `families.py`, which reads the standards with Python's own library,
//! and `openssl`.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use chancery::proto::v1::{
    Algorithm as A, HttpRequest, KeyType as T, SignHttpRequestRequest, Verdict,
};
use serde_json::{Value, json};

use crate::{
    calls::{OpenSsl, create, public_key},
    platform::{
        shared::{openssl_sign, rsa_pair},
        vectors::root,
        world::{Held, World, request},
    },
    softhsm::Token,
};

const ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[tokio::test]
async fn requests_and_callbacks_are_those_of_another_implementation() {
    let (private, public) = rsa_pair();
    let head =
        |name: &str| format!("[partner]\nname = {name:?}\ntitle = \"of a test\"\n[constants]\n");
    let theirs = format!("[keys.platform]\npublic_keys = [{{ pem = '''\n{public}''' }}]\n");
    let partners = [
        (
            "aws".to_owned(),
            head("aws")
                + "access_key_id = \"AKIDEXAMPLE\"\nregion = \"eu-central-1\"\nservice = \"execute-api\"\n[keys.secret]\nkey = \"aws\"\n[schemes.aws-sigv4]\n",
        ),
        (
            "cavage".to_owned(),
            format!(
                "{}key_id = \"k\"\n[keys.signing]\nkey = \"rsa\"\n{theirs}[schemes.cavage]\n",
                head("cavage")
            ),
        ),
        (
            "mastercard".to_owned(),
            head("mastercard")
                + "consumer_key = \"aaa!aaa\"\n[keys.signing]\nkey = \"rsa\"\n[schemes.mastercard-oauth1]\n",
        ),
    ];
    let world = World::with(&partners, Token::new("families"), "");
    create(&world.client(), "rsa", T::Rsa2048, &[A::Rs256]).await;
    let secret = format!("AWS4{ACCESS_KEY}");
    let held = Held {
        name: "aws",
        algorithm: A::Hs256,
        secret: secret.as_bytes(),
        readable: false,
    };
    world.import(held).await;
    let pem = public_key(&world.client(), "keys/rsa").await.pem;

    // A path that has to be encoded, a query out of order, a value with more spaces than are signed.
    let url = "https://api.example.com/prod/a%20b/c?Z=1&a=x%2Fy&a=b&empty=";
    let body = "{\"amount\":\"20.00\",\"name\":\"Zo\u{eb}\"}";
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Amz-Meta", "two   words"),
    ];
    let sent = sign(
        &world,
        "aws",
        request("POST", url, &headers, body.as_bytes()),
    )
    .await;
    let mut asked = as_json(&sent);
    asked["region"] = json!("eu-central-1");
    asked["service"] = json!("execute-api");
    asked["access_key_id"] = json!("AKIDEXAMPLE");
    asked["secret"] = json!(ACCESS_KEY);
    let expected = python("aws-sigv4", &asked);
    assert_eq!(
        value(&sent, "Authorization"),
        expected["authorization"].as_str().unwrap()
    );

    let headers = [
        ("Host", "bank.example"),
        ("Content-Type", "application/json"),
    ];
    let sent = sign(
        &world,
        "cavage",
        request("POST", "/pay?b=2&a=1", &headers, body.as_bytes()),
    )
    .await;
    let mut asked = as_json(&sent);
    let signed = value(&sent, "Signature");
    assert_eq!(
        quoted(&signed, "headers"),
        "(request-target) host date digest"
    );
    asked["covered"] = json!(quoted(&signed, "headers").split(' ').collect::<Vec<_>>());
    let expected = python("cavage", &asked);
    assert_eq!(value(&sent, "Digest"), expected["digest"].as_str().unwrap());
    let signature = BASE64_STANDARD
        .decode(quoted(&signed, "signature"))
        .unwrap();
    let string = expected["string"].as_str().unwrap();
    let openssl = OpenSsl::new();
    assert!(
        openssl.verifies(&pem, A::Rs256, string.as_bytes(), &signature),
        "{string}"
    );

    // A callback that `openssl` signs over the string that Python makes; then one with another target.
    let digest = expected["digest"].as_str().unwrap();
    let date = value(&sent, "Date");
    let headers = [
        ("Host", "us.example"),
        ("Date", date.as_str()),
        ("Digest", digest),
    ];
    let callback = request("POST", "/hook?x=1", &headers, body.as_bytes());
    let mut asked = as_json(&callback);
    asked["covered"] = json!(["(request-target)", "host", "date", "digest"]);
    let string = python("cavage", &asked)["string"]
        .as_str()
        .unwrap()
        .to_owned();
    let signature = BASE64_STANDARD.encode(openssl_sign(&private, string.as_bytes()));
    let signature = format!(
        "keyId=\"theirs\",algorithm=\"rsa-sha256\",headers=\"(request-target) host date digest\",signature=\"{signature}\""
    );
    let signed = |url: &str| {
        let headers = [&headers[..], &[("Signature", signature.as_str())]].concat();
        request("POST", url, &headers, body.as_bytes())
    };
    for (url, verdict) in [
        ("/hook?x=2", Verdict::Invalid),
        ("/hook?x=1", Verdict::Valid),
        ("/hook?x=1", Verdict::Duplicate),
    ] {
        let found = world.verdict("cavage", "", signed(url)).await;
        assert_eq!(found.verdict(), verdict, "{found:?}");
    }

    let url = "https://Sandbox.api.mastercard.com/service?b=2&a=1";
    let sent = sign(
        &world,
        "mastercard",
        request("POST", url, &[], body.as_bytes()),
    )
    .await;
    let expected = python("oauth1", &as_json(&sent));
    assert_eq!(expected["given"]["oauth_body_hash"], expected["body_hash"]);
    assert_eq!(expected["given"]["oauth_consumer_key"], "aaa!aaa");
    let string = expected["string"].as_str().unwrap();
    let signature = BASE64_STANDARD
        .decode(expected["signature"].as_str().unwrap())
        .unwrap();
    assert!(
        openssl.verifies(&pem, A::Rs256, string.as_bytes(), &signature),
        "{string}"
    );
}

/// What `families.py` makes of this.
pub fn python(what: &str, asked: &Value) -> Value {
    let mut command = Command::new("python3");
    command
        .arg(root().join("tests/integration/platform/families.py"))
        .arg(what);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("python3");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(asked.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn sign(world: &World, partner: &str, request: HttpRequest) -> HttpRequest {
    let asked = SignHttpRequestRequest {
        partner: format!("partners/{partner}"),
        request: Some(request),
        ..SignHttpRequestRequest::default()
    };
    let made = world.client().platform().sign_http_request(asked).await;
    made.unwrap().into_inner().request.unwrap()
}

fn as_json(request: &HttpRequest) -> Value {
    let headers = request.headers.iter();
    let headers: Vec<_> = headers
        .map(|one| json!({ "name": one.name, "value": one.value }))
        .collect();
    json!({
        "method": request.method,
        "url": request.url,
        "headers": headers,
        "body": str::from_utf8(&request.body).unwrap(),
    })
}

fn value(request: &HttpRequest, name: &str) -> String {
    let mut headers = request.headers.iter();
    headers.find(|one| one.name == name).unwrap().value.clone()
}

/// The value of `name="..."` in a header.
fn quoted(header: &str, name: &str) -> String {
    let (_, rest) = header.split_once(&format!("{name}=\"")).unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}
