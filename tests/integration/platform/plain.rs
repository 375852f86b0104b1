//! Vectors of the collection that concern keys and no scheme: verified by the daemon with the key alone.

use std::fs;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use chancery::proto::v1::{Algorithm, VerifyJwsRequest, VerifyRequest};
use serde_json::Value;

use crate::{
    platform::{
        vectors::root,
        world::{Held, World},
    },
    softhsm::Token,
};

#[tokio::test]
async fn signatures_over_a_known_string_or_digest_are_verified() {
    let token = Token::new("plain");
    let pem = fs::read_to_string(root().join("demo/ayolinx/key.pem")).unwrap();
    token.import_pkcs8("demo", "01", &pem);
    let world = World::with(&[], token, KEYS);
    let text = fs::read_to_string(root().join("tests/testdata/platforms.json")).unwrap();
    let collection: Value = serde_json::from_str(&text).unwrap();
    let vectors = collection["vectors"].as_array().unwrap();
    let vector = |id: &str| vectors.iter().find(|one| one["id"] == id).unwrap();
    let member = |id: &str, name: &str| vector(id)[name].as_str().unwrap().to_owned();
    let client = world.client();

    let rfc9421 = vector("rfc9421.b.2.5")["key"]["base64"].as_str().unwrap();
    let rfc7797 = vector("rfc7797.4.2")["key"]["base64url"].as_str().unwrap();
    for (name, secret) in [
        ("rfc9421", BASE64_STANDARD.decode(rfc9421).unwrap()),
        ("rfc7797", BASE64_URL_SAFE_NO_PAD.decode(rfc7797).unwrap()),
        ("oneaccess", b"test-signature-key".to_vec()),
    ] {
        world
            .import(Held {
                name,
                algorithm: Algorithm::Hs256,
                secret: &secret,
                readable: false,
            })
            .await;
    }
    for (id, key) in [
        ("rfc9421.b.2.5", "rfc9421"),
        ("oneaccess.event-callback", "oneaccess"),
    ] {
        let signature = BASE64_STANDARD.decode(member(id, "expected")).unwrap();
        for (string, valid) in [
            (member(id, "string_to_sign"), true),
            (member(id, "string_to_sign") + "x", false),
        ] {
            let request = VerifyRequest {
                name: format!("keys/{key}"),
                algorithm: Algorithm::Hs256.into(),
                message: Some(string.into()),
                signature: signature.clone().into(),
                ..VerifyRequest::default()
            };
            let verdict = client.signing().verify(request).await.unwrap().into_inner();
            assert_eq!(verdict.valid, valid, "{id}");
        }
    }

    let id = "ayolinx.token.demo-signature";
    let signature = BASE64_STANDARD.decode(member(id, "expected")).unwrap();
    let digest = hex::decode(member(id, "recovered_sha256_digest")).unwrap();
    let request = VerifyRequest {
        name: "keys/demo".to_owned(),
        algorithm: Algorithm::Rs256.into(),
        digest: Some(digest.into()),
        signature: signature.into(),
        ..VerifyRequest::default()
    };
    assert!(
        client
            .signing()
            .verify(request)
            .await
            .unwrap()
            .into_inner()
            .valid,
        "{id}"
    );

    let id = "rfc7797.4.2";
    let header = BASE64_URL_SAFE_NO_PAD.encode(member(id, "header"));
    let rfc7797 = format!("{header}..{}", member(id, "expected"));
    let critical = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let uk = "openbankinguk.b64false";
    let uk_critical = ["iat", "iss", "tan"].map(|name| format!("http://openbanking.org.uk/{name}"));
    let uk_critical: Vec<_> = uk_critical.iter().map(String::as_str).collect();
    for (id, key, jws, understood) in [
        (id, "rfc7797", rfc7797, critical(&[])),
        (uk, "demo", member(uk, "token"), critical(&uk_critical)),
    ] {
        let request = VerifyJwsRequest {
            name: format!("keys/{key}"),
            jws,
            detached_payload: Some(member(id, "payload").into()),
            understood_critical: understood,
        };
        let verdict = client
            .jose()
            .verify_jws(request)
            .await
            .unwrap()
            .into_inner();
        assert!(verdict.valid, "{id}");
    }
}

const KEYS: &str = r#"
[[keys]]
name = "demo"
purpose = "sign"
algorithms = ["RS256", "PS256"]
"#;
