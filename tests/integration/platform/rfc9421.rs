//! HTTP Message Signatures through the daemon: whole messages of RFC 9421's appendix B, digests of RFC 9530, and an
//! answer that covers parts of its request, checked by `openssl`.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use chancery::proto::v1::{
    Algorithm as A, EcdsaEncoding, HttpRequest, HttpResponse, KeyType as T, SignHttpRequestRequest,
    SignHttpResponseRequest, Verdict, VerifyRequest,
};
use serde_json::Value;

use crate::{
    calls::{create, public_key},
    platform::{
        families::python,
        vectors::root,
        world::{World, header, request},
    },
    softhsm::Token,
};

/// The private key of both is published too, in appendix B.1; the signature of a request is all that is needed.
const PSS: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2\n+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+\noAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq\ngDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W\nUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4\naOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI\n2wIDAQAB";
const ED25519: &str = "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";

/// Appendix B.2.2, with RSA-PSS, covers the digest of the body; B.2.6 with Ed25519 does not.
const B22: [&str; 2] = [
    r#"sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
    "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
];
const B26: [&str; 2] = [
    r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
];

#[tokio::test]
async fn requests_of_appendix_b_are_valid_and_their_digest_is_that_of_the_body() {
    let schemes = tempfile::tempdir().unwrap();
    let b22 = r#"["@authority", "content-digest", { name = "@query-param", param = "Pet" }]"#;
    let b26 = r#"["date", "@method", "@path", "@authority", "content-type", "content-length"]"#;
    let mut partners = Vec::new();
    for (name, label, algorithm, pem, components, signature) in [
        ("b22", "sig-b22", "PS512", PSS, b22, B22),
        ("b26", "sig-b26", "EdDSA", ED25519, b26, B26),
    ] {
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n");
        let text = scheme(name, label, algorithm, &pem, components, signature);
        fs::write(schemes.path().join(format!("{name}.toml")), text).unwrap();
        let partner = format!(
            "[partner]\nname = {name:?}\ntitle = \"t\"\n[keys.platform]\npublic_keys = [{{ pem = '''\n{pem}''' }}]\n[schemes.{name}]\n"
        );
        partners.push((name.to_owned(), partner));
    }
    let tables = format!("schemes = {:?}\n", schemes.path());
    let world = World::with(&partners, Token::new("rfc9421"), &tables);

    // `rfc9421.b.2.6` of the collection, as the whole message that it is of.
    let collection = collection();
    let vector = |id: &str| {
        let vectors = collection["vectors"].as_array().unwrap();
        vectors.iter().find(|one| one["id"] == id).unwrap().clone()
    };
    let expected = vector("rfc9421.b.2.6")["expected"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(B26[1].contains(&expected));
    let digests = &vector("rfc9530.content-digest")["expected"];
    let sha512 = digests["sha-512"].as_str().unwrap();
    let sha256 = digests["sha-256"].as_str().unwrap();
    let message = |signature: [&str; 2], digest: &str, body: &str| {
        let headers = [
            ("Host", "example.com"),
            ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("Content-Type", "application/json"),
            ("Content-Digest", digest),
            ("Content-Length", "18"),
            ("Signature-Input", signature[0]),
            ("Signature", signature[1]),
        ];
        let url = "https://example.com/foo?param=Value&Pet=dog";
        request("POST", url, &headers, body.as_bytes())
    };
    let body = vector("rfc9530.content-digest")["body"]
        .as_str()
        .unwrap()
        .to_owned();
    let right = format!("sha-512=:{sha512}:");
    let both = format!("sha-512=:{sha512}:, sha-256=:{sha256}:");
    for (partner, sent, verdict, reason) in [
        ("b26", message(B26, &right, &body), Verdict::Valid, ""),
        ("b22", message(B22, &right, &body), Verdict::Valid, ""),
        (
            "b22",
            message(B22, &right, "{}"),
            Verdict::Malformed,
            "DIGEST_MISMATCH",
        ),
        // The digest is right, and is not the one that was signed.
        (
            "b22",
            message(B22, &both, &body),
            Verdict::Invalid,
            "SIGNATURE_INVALID",
        ),
        (
            "b26",
            HttpRequest {
                method: "PUT".to_owned(),
                ..message(B26, &right, &body)
            },
            Verdict::Invalid,
            "SIGNATURE_INVALID",
        ),
    ] {
        let found = world.verdict(partner, "", sent).await;
        assert_eq!(
            (found.verdict(), found.reason.as_str()),
            (verdict, reason),
            "{found:?}"
        );
        let parts: Vec<_> = found
            .authenticated
            .iter()
            .map(|part| part.name.as_str())
            .collect();
        assert_eq!(
            parts.contains(&"body"),
            partner == "b22" && verdict == Verdict::Valid
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_signed_here_covers_its_request() {
    let theirs = format!("-----BEGIN PUBLIC KEY-----\n{ED25519}\n-----END PUBLIC KEY-----\n");
    let unused =
        |name: &str| format!("[keys.platform]\npublic_keys = [{{ pem = '''\n{name}''' }}]\n");
    let p256 = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\nw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n-----END PUBLIC KEY-----\n";
    let partner = |name: &str, key: &str, pem: &str, scheme: &str| {
        let text = format!(
            "[partner]\nname = {name:?}\ntitle = \"t\"\n[constants]\nkey_id = \"key-1\"\n[keys.signing]\nkey = {key:?}\n{}[schemes.{scheme}]\n",
            unused(pem)
        );
        (name.to_owned(), text)
    };
    let partners = [
        partner("answers", "answers", p256, "rfc9421-response"),
        partner("requests", "requests", &theirs, "rfc9421-ed25519"),
    ];
    let world = World::with(&partners, Token::new("rfc9421-response"), "");
    let client = world.client();
    create(&client, "answers", T::EcP256, &[A::Es256]).await;
    create(&client, "requests", T::Ed25519, &[A::Eddsa]).await;

    // The request has the digest of RFC 9530.
    let collection = collection();
    let vectors = collection["vectors"].as_array().unwrap();
    let digest = vectors
        .iter()
        .find(|one| one["id"] == "rfc9530.content-digest")
        .unwrap();
    let expected = digest["expected"]["sha-256"].as_str().unwrap();
    let body = digest["body"].as_str().unwrap();
    let url = "https://example.com/foo?param=Value&Pet=dog";
    let json = [("Content-Type", "application/json")];
    let asked = SignHttpRequestRequest {
        partner: "partners/requests".to_owned(),
        request: Some(request("POST", url, &json, body.as_bytes())),
        ..SignHttpRequestRequest::default()
    };
    let signed = client.platform().sign_http_request(asked).await;
    let sent = signed.unwrap().into_inner().request.unwrap();
    let value = |headers: &[chancery::proto::v1::HttpHeader], name: &str| {
        let mut headers = headers.iter();
        headers.find(|one| one.name == name).unwrap().value.clone()
    };
    assert_eq!(
        value(&sent.headers, "Content-Digest"),
        format!("sha-256=:{expected}:")
    );

    let response = HttpResponse {
        status_code: 200,
        headers: vec![header("Content-Type", "application/json")],
        body: "{}".into(),
    };
    let answer = |request: Option<HttpRequest>| SignHttpResponseRequest {
        partner: "partners/answers".to_owned(),
        response: Some(response.clone()),
        request,
        ..SignHttpResponseRequest::default()
    };
    let made = client
        .platform()
        .sign_http_response(answer(Some(sent)))
        .await;
    let made = made.unwrap().into_inner().response.unwrap();
    let input = value(&made.headers, "Signature-Input");
    let parameters = input.strip_prefix("reqres=").unwrap();
    let base = [
        "\"@status\": 200".to_owned(),
        format!(
            "\"content-digest\": {}",
            value(&made.headers, "Content-Digest")
        ),
        "\"content-type\": application/json".to_owned(),
        "\"@authority\";req: example.com".to_owned(),
        "\"@method\";req: POST".to_owned(),
        "\"@path\";req: /foo".to_owned(),
        format!("\"content-digest\";req: sha-256=:{expected}:"),
        format!("\"@signature-params\": {parameters}"),
    ];
    let signature = value(&made.headers, "Signature");
    let signature = signature
        .strip_prefix("reqres=:")
        .unwrap()
        .strip_suffix(':')
        .unwrap();
    let der = python("ecdsa-der", &serde_json::json!({ "raw": signature }));
    let der = BASE64_STANDARD
        .decode(der["der"].as_str().unwrap())
        .unwrap();
    let pem = public_key(&client, "keys/answers").await.pem;
    let base = base.join("\n");
    assert!(
        crate::calls::OpenSsl::new().verifies(&pem, A::Es256, base.as_bytes(), &der),
        "{base}"
    );
    let check = VerifyRequest {
        name: "keys/answers".to_owned(),
        algorithm: A::Es256.into(),
        message: Some(base.into()),
        signature: der.into(),
        ecdsa_encoding: EcdsaEncoding::Der.into(),
        ..VerifyRequest::default()
    };
    assert!(
        client
            .signing()
            .verify(check)
            .await
            .unwrap()
            .into_inner()
            .valid
    );

    // Without its request there is nothing to cover.
    let refused = client.platform().sign_http_response(answer(None)).await;
    let refused = crate::harness::Refusal::expect(refused);
    assert!(refused.message.contains(";req"), "{refused:?}");
}

/// A scheme that verifies one message of the appendix, which is its vector too.
fn scheme(
    name: &str,
    label: &str,
    algorithm: &str,
    pem: &str,
    components: &str,
    [input, signature]: [&str; 2],
) -> String {
    let lines = match name {
        "b22" => vec![
            "\"@authority\": example.com".to_owned(),
            format!("\"content-digest\": {REQUEST_DIGEST}"),
            "\"@query-param\";name=\"Pet\": dog".to_owned(),
        ],
        _ => [
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT",
            "\"@method\": POST",
            "\"@path\": /foo",
            "\"@authority\": example.com",
            "\"content-type\": application/json",
            "\"content-length\": 18",
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    let (_, parameters) = input.split_once('=').unwrap();
    let base = format!("{}\n\"@signature-params\": {parameters}", lines.join("\n"));
    format!(
        r#"
[scheme]
name = "{name}"
title = "t"
source = "RFC 9421 appendix B.2"
confidence = "documented"
[keys.platform]
description = "theirs"
use = "verify"
algorithm = "{algorithm}"
[verify.signature]
key = "platform"
family = "rfc9421"
label = "{label}"
components = {components}
parameters = ["created", "keyid"]
[[vectors]]
name = "the example"
kind = "verify"
origin = "published"
source = "RFC 9421 appendix B.2"
method = "POST"
scheme = "https"
authority = "example.com"
path = "/foo"
query = "param=Value&Pet=dog"
body = '{{"hello": "world"}}'
now = 1618884480000
key = {{ public_pem = '''{pem}''' }}
string = '''{base}'''
[vectors.headers]
Date = "Tue, 20 Apr 2021 02:07:55 GMT"
Content-Type = "application/json"
Content-Digest = "{REQUEST_DIGEST}"
Content-Length = "18"
Signature-Input = '{input}'
Signature = "{signature}"
"#
    )
}

const REQUEST_DIGEST: &str = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";

fn collection() -> Value {
    let text = fs::read_to_string(root().join("tests/testdata/platforms.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}
