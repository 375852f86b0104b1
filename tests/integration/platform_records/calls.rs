//! The calls of the test of records, and the partners that they are about.

use base64::{Engine, prelude::BASE64_STANDARD};
use chancery::{
    client::Client,
    proto::v1::{
        Algorithm as A, ContentEncryption, DecryptFieldRequest, EncryptJweRequest,
        ExplainHttpMessageRequest, HttpHeader, HttpRequest, HttpResponse, IssueAccessTokenRequest,
        SignHttpRequestRequest, SignHttpResponseRequest, encrypt_jwe_request::Recipient,
        explain_http_message_request::Call,
    },
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha512;

use super::{BODY, SECRET};
use crate::{
    audited::{SOON, hash},
    calls::OpenSsl,
    harness::Refusal,
    platform::{
        shared::{now, openssl_sign, rfc3339},
        world::{Held, World, header, request},
    },
    softhsm::Token,
};

/// The values that make a request of UPay the same each time.
pub const TIME: &[(&str, &str)] = &[("timestamp", "1755248905430"), ("request_id", "req-0001")];

pub fn string_of(request: &str) -> String {
    format!("POST|/api/v1/pay|1755248905430|{request}|amount=20.00&name=MARIGOLD")
}

pub fn ask(partner: &str, scheme: &str, values: &[(&str, &str)]) -> SignHttpRequestRequest {
    let values = values.iter().copied();
    SignHttpRequestRequest {
        partner: format!("partners/{partner}"),
        scheme: format!("schemes/{scheme}"),
        request: Some(request("POST", "https://h/api/v1/pay", &[], BODY)),
        values: values
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        ..SignHttpRequestRequest::default()
    }
}

pub async fn sign(
    client: &Client,
    partner: &str,
    scheme: &str,
    values: &[(&str, &str)],
) -> Result<HttpRequest, Refusal> {
    let asked = ask(partner, scheme, values);
    let signed = client.platform().sign_http_request(asked).await;
    signed
        .map(|signed| signed.into_inner().request.unwrap())
        .map_err(|status| Refusal::of(&status))
}

/// An answer of ours, and what is signed of it.
pub async fn answer(client: &Client) -> (HttpResponse, String) {
    let asked = SignHttpResponseRequest {
        partner: "partners/answers".to_owned(),
        response: Some(HttpResponse {
            status_code: 200,
            headers: vec![header("Content-Type", "application/json")],
            body: BODY.into(),
        }),
        request: Some(request("POST", "https://example.com/foo", &[], b"")),
        values: [("created".to_owned(), "1618884479".to_owned())].into(),
        ..SignHttpResponseRequest::default()
    };
    let made = client.platform().sign_http_response(asked).await;
    let made = made.unwrap().into_inner().response.unwrap();
    let input = value(&made.headers, "Signature-Input");
    let base = format!(
        "\"@status\": 200\n\"content-digest\": {}\n\"content-type\": application/json\n\"@authority\";req: example.com\n\
         \"@method\";req: POST\n\"@path\";req: /foo\n\"@signature-params\": {}",
        value(&made.headers, "Content-Digest"),
        input.strip_prefix("reqres=").unwrap()
    );
    (made, base)
}

pub async fn encrypted(client: &Client, plaintext: &[u8], encryption: ContentEncryption) -> String {
    let asked = EncryptJweRequest {
        recipient: Some(Recipient::Name("keys/opener".to_owned())),
        algorithm: A::RsaOaep256.into(),
        content_encryption: encryption.into(),
        plaintext: plaintext.to_vec().into(),
        ..EncryptJweRequest::default()
    };
    client
        .jose()
        .encrypt_jwe(asked)
        .await
        .unwrap()
        .into_inner()
        .jwe
}

pub async fn decrypt_field(client: &Client, sealed: &[u8]) -> Result<Vec<u8>, Refusal> {
    let asked = DecryptFieldRequest {
        partner: "partners/fields".to_owned(),
        ciphertext: BASE64_STANDARD.encode(sealed),
        ..DecryptFieldRequest::default()
    };
    let opened = client.platform().decrypt_field(asked).await;
    opened
        .map(|opened| opened.into_inner().plaintext.to_vec())
        .map_err(|status| Refusal::of(&status))
}

/// The token that whoever has this key is given, if any.
pub async fn access_token(client: &Client, pem: &str, body: &[u8]) -> Option<String> {
    let time = rfc3339(now());
    let signature = openssl_sign(pem, format!("client|{time}").as_bytes());
    let headers = [
        ("X-CLIENT-KEY", "client"),
        ("X-TIMESTAMP", &time),
        ("X-SIGNATURE", &BASE64_STANDARD.encode(signature)),
    ];
    let asked = IssueAccessTokenRequest {
        partner: "partners/snap".to_owned(),
        request: Some(request("POST", "/v1.0/access-token/b2b", &headers, body)),
        ..IssueAccessTokenRequest::default()
    };
    let answer = client.platform().issue_access_token(asked).await;
    let body = answer.unwrap().into_inner().response.unwrap().body;
    let body: Value = serde_json::from_slice(&body).unwrap();
    body["accessToken"].as_str().map(str::to_owned)
}

/// A call of the platform's with its token, and what is signed of it.
pub fn with_token(token: &str) -> (HttpRequest, String) {
    let time = rfc3339(now());
    let string = format!("POST:/v1.0/x:{token}:{}:{time}", hash(BODY));
    let mut mac = Hmac::<Sha512>::new_from_slice(SECRET).unwrap();
    mac.update(string.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    let bearer = format!("Bearer {token}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("X-TIMESTAMP", &time),
        ("X-SIGNATURE", &signature),
    ];
    (request("POST", "/v1.0/x", &headers, BODY), string)
}

pub async fn explain(client: &Client, call: Call) {
    let request = ExplainHttpMessageRequest { call: Some(call) };
    let explained = client.platform().explain_http_message(request).await;
    let explained = explained.unwrap().into_inner();
    assert_eq!(explained.reason, "", "{explained:?}");
}

pub fn value(headers: &[HttpHeader], name: &str) -> String {
    let mut headers = headers.iter();
    headers.find(|one| one.name == name).unwrap().value.clone()
}

/// OAEP with SHA-256 twice, by `openssl`.
pub fn oaep(pem: &str, plaintext: &[u8]) -> Vec<u8> {
    let openssl = OpenSsl::new();
    openssl.file("public.pem", pem.as_bytes());
    openssl.file("plaintext", plaintext);
    let arguments = [
        "pkeyutl",
        "-encrypt",
        "-pubin",
        "-inkey",
        "public.pem",
        "-in",
        "plaintext",
    ];
    let options = [
        "rsa_padding_mode:oaep",
        "rsa_oaep_md:sha256",
        "rsa_mgf1_md:sha256",
    ];
    let options = options.into_iter().flat_map(|option| ["-pkeyopt", option]);
    openssl.output(&arguments.into_iter().chain(options).collect::<Vec<_>>())
}

pub fn der(pem: &str) -> Vec<u8> {
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    BASE64_STANDARD.decode(body).unwrap()
}

pub fn spki_hash(pem: &str) -> String {
    hash(&der(pem))
}

/// Our key is in the token three times, for what each use of it is allowed.
pub async fn world(ours: &str, theirs: &str) -> World {
    let public = format!("public_keys = [{{ pem = '''\n{theirs}''' }}]\n");
    let partner = |name: &str, rest: &str| {
        let head = format!("[partner]\nname = {name:?}\ntitle = \"of a test\"\n");
        (name.to_owned(), head + rest)
    };
    let partners = [
        partner(
            "github",
            "[keys.platform]\nkey = \"hooks\"\n[schemes.github]\n",
        ),
        partner(
            "upay",
            "[constants]\napi_key = \"k\"\n[keys.signing]\nkey = \"hooks\"\n[keys.decryption]\nkey = \"opener\"\n\
             [schemes.upay-request]\n[schemes.upay-request-private]\nkeys.encryption = { key = \"origin\" }\n\
             [schemes.upay-webhook]\nkeys.platform = { key = \"hooks\" }\n",
        ),
        partner(
            "snap",
            &format!(
                "[constants]\npartner_id = \"p\"\nchannel_id = \"1\"\n[keys.client_secret]\nkey = \"long\"\n\
                 [keys.signing]\nkey = \"signer\"\n[keys.platform]\n{public}[schemes.snap-token]\n\
                 constants.client_key = \"client\"\naccess_tokens = {{ key = \"tokens\", lifetime_seconds = 900 }}\n\
                 [schemes.snap-service]\n"
            ),
        ),
        partner(
            "paywizard",
            "[constants]\nclient_id = \"c\"\n[keys.signing]\nkey = \"text\"\n[schemes.paywizard-v3]\n",
        ),
        partner(
            "mastercard",
            &format!(
                "[keys.encryption]\n{public}[keys.decryption]\nkey = \"opener\"\n[schemes.mastercard-jwe]\n"
            ),
        ),
        partner(
            "answers",
            "[constants]\nkey_id = \"key-1\"\n[keys.signing]\nkey = \"answers\"\n[keys.platform]\npublic_keys = [{ pem = '''\n-----BEGIN PUBLIC KEY-----\n\
             MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\nw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n\
             -----END PUBLIC KEY-----\n''' }]\n[schemes.rfc9421-response]\n",
        ),
        partner(
            "fields",
            &format!(
                "[keys.ours]\nkey = \"opener\"\n[keys.application]\n{public}[schemes.oneaccess-session-token]\n"
            ),
        ),
    ];
    let token = Token::new("records");
    token.import_pkcs8("opener", "01", ours);
    token.import_pkcs8("signer", "02", ours);
    token.import_pkcs8("origin", "03", ours);
    let world = World::with(&partners, token, &format!("{KEYS}{SOON}"));
    for (name, algorithm, readable) in [
        ("hooks", A::Hs256, false),
        ("long", A::Hs512, false),
        ("tokens", A::Hs256, false),
        ("text", A::Hs256, true),
    ] {
        let secret = SECRET;
        let held = Held {
            name,
            algorithm,
            secret,
            readable,
        };
        world.import(held).await;
    }
    world
}
pub const KEYS: &str = r#"
[[keys]]
name = "opener"
purpose = "decrypt"
algorithms = ["RSA-OAEP-256"]
content_encryptions = ["A128GCM", "A256GCM"]

[[keys]]
name = "signer"
purpose = "sign"
algorithms = ["RS256"]

[[keys]]
name = "origin"
purpose = "prove-origin"
algorithms = ["RSA1_5-PRIVATE"]
"#;
