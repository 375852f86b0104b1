//! The daemon that the tests of verdicts share, its partners, and their messages: signatures are made here, by `hmac`
//! and `openssl`.

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use chancery::proto::v1::{
    Algorithm as A, ExplainHttpMessageRequest, HttpRequest, VerifyCallbackRequest,
    explain_http_message_request::Call,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::OnceCell;

use crate::{
    calls::OpenSsl,
    platform::world::{Held, World, request},
    softhsm::Token,
};

static WORLD: OnceCell<World> = OnceCell::const_new();
/// A platform's key pair.
pub static PLATFORM: LazyLock<(String, String)> = LazyLock::new(rsa_pair);

/// The secret of most partners.
pub const SECRET: &[u8] = b"a secret in common with nobody else";
/// What it was before it was rotated.
pub const OLD: &[u8] = b"the secret before it was changed";

/// The daemon that these tests share. It has run since the first of them asked.
pub async fn world() -> &'static World {
    WORLD.get_or_init(make_world).await
}

async fn make_world() -> World {
    let key = |role: &str, name: &str| format!("[keys.{role}]\nkey = {name:?}\n");
    let pem = format!(
        "[keys.platform]\npublic_keys = [{{ pem = '''\n{}''' }}]\n",
        PLATFORM.1
    );
    let head = |name: &str| format!("[partner]\nname = {name:?}\ntitle = \"of a test\"\n");
    let mut partners = vec![
        ("github", key("platform", "hooks") + "[schemes.github]\n"),
        ("stripe", key("platform", "rotated") + "[schemes.stripe]\n"),
        ("wise", pem.clone() + "[schemes.wise-webhook]\n"),
        ("absent", key("platform", "nowhere") + "[schemes.github]\n"),
        ("wrong", key("platform", "opener") + "[schemes.github]\n"),
        (
            "upay",
            format!(
                "[constants]\napi_key = \"k\"\n{}{}[schemes.upay-request]\n[schemes.upay-webhook]\nkeys.platform = {{ key = \"hooks\" }}\n",
                key("signing", "hooks"),
                key("decryption", "opener")
            ),
        ),
        (
            "snap",
            format!(
                "[constants]\npartner_id = \"p\"\nchannel_id = \"1\"\n{}{}{pem}[schemes.snap-token]\nconstants.client_key = \"c\"\naccess_tokens = {{ key = \"tokens\", lifetime_seconds = 900 }}\n[schemes.snap-service]\n",
                key("client_secret", "long"),
                key("signing", "opener-sign"),
            ),
        ),
        (
            "paywizard",
            format!(
                "[constants]\nclient_id = \"c\"\n{}[schemes.paywizard-v3]\n",
                key("signing", "text")
            ),
        ),
        (
            "pushes",
            format!(
                "[constants]\nclient_id = \"c\"\n{}[schemes.paywizard-push]\n",
                key("platform", "text")
            ),
        ),
    ];
    let files: Vec<_> = partners
        .drain(..)
        .map(|(name, text)| (name.to_owned(), head(name) + &text))
        .collect();
    let token = Token::new("verdicts");
    token.import_pkcs8("opener", "01", &PLATFORM.0);
    token.import_pkcs8("opener-sign", "02", &PLATFORM.0);
    let world = World::with(&files, token, KEYS);
    for (name, algorithm, secret, readable) in [
        ("hooks", A::Hs256, SECRET, false),
        ("rotated", A::Hs256, OLD, false),
        ("long", A::Hs512, SECRET, false),
        ("tokens", A::Hs256, SECRET, false),
        ("text", A::Hs256, SECRET, true),
    ] {
        world
            .import(Held {
                name,
                algorithm,
                secret,
                readable,
            })
            .await;
    }
    let held = Held {
        name: "rotated",
        algorithm: A::Hs256,
        secret: SECRET,
        readable: false,
    };
    world.import_version(held).await;
    world
}

const KEYS: &str = r#"
[[keys]]
name = "opener"
purpose = "decrypt"
algorithms = ["RSA-OAEP-256"]
content_encryptions = ["A128GCM"]
allow_compression = true

[[keys]]
name = "opener-sign"
purpose = "sign"
algorithms = ["RS256"]
"#;

/// How a callback's string comes about.
pub async fn explain(
    world: &World,
    partner: &str,
    message: HttpRequest,
) -> chancery::proto::v1::ExplainHttpMessageResponse {
    let asked = VerifyCallbackRequest {
        partner: format!("partners/{partner}"),
        request: Some(message),
        ..VerifyCallbackRequest::default()
    };
    let request = ExplainHttpMessageRequest {
        call: Some(Call::VerifyCallback(asked)),
    };
    let answer = world
        .client()
        .platform()
        .explain_http_message(request)
        .await;
    answer.unwrap().into_inner()
}

/// A webhook of GitHub.
pub fn github(body: &[u8], secret: &[u8]) -> HttpRequest {
    let signature = format!("sha256={}", hex::encode(hmac256(secret, body)));
    request(
        "POST",
        "/hook",
        &[("X-Hub-Signature-256", &signature)],
        body,
    )
}

/// A webhook of Stripe.
pub fn stripe(time: u64, body: &[u8], secret: &[u8]) -> HttpRequest {
    let string = [format!("{time}.").as_bytes(), body].concat();
    let signature = format!("t={time},v1={}", hex::encode(hmac256(secret, &string)));
    request("POST", "/hook", &[("Stripe-Signature", &signature)], body)
}

/// HMAC-SHA256.
pub fn hmac256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// By GNU `date`.
pub fn rfc3339(seconds: u64) -> String {
    let mut date = std::process::Command::new("date");
    date.args([
        "-u",
        "-d",
        &format!("@{seconds}"),
        "+%Y-%m-%dT%H:%M:%S+00:00",
    ]);
    let output = date.output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A new key of 2048 bits: PKCS#8 and SubjectPublicKeyInfo, PEM.
pub fn rsa_pair() -> (String, String) {
    let openssl = OpenSsl::new();
    let bits = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
    ];
    let private = openssl.output(&bits);
    openssl.file("private.pem", &private);
    let public = openssl.output(&["pkey", "-in", "private.pem", "-pubout"]);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(private), text(public))
}

/// RSA-SHA256 by `openssl`.
pub fn openssl_sign(pem: &str, message: &[u8]) -> Vec<u8> {
    let openssl = OpenSsl::new();
    openssl.file("key.pem", pem.as_bytes());
    openssl.file("message", message);
    openssl.output(&["dgst", "-sha256", "-sign", "key.pem", "message"])
}
