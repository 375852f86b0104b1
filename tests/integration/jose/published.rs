//! The published vectors, with their keys in the token.

use std::{path::Path, sync::LazyLock};

use chancery::{client::Code, proto::v1::Algorithm as A};
use josekit::jwk::{
    Jwk, KeyPair,
    alg::{ec::EcKeyPair, ed::EdKeyPair, rsa::RsaKeyPair},
};
use serde_json::{Map, Value};

use super::{encryption_name, named, open, purpose_name, verify};
use crate::{
    calls::{base64url, message, unbase64url},
    harness::{Daemon, Refusal, Setup, Shared},
    softhsm::{Secret, Token},
};

/// The keys of all vectors that are to work, each under the vector's name.
static VECTORS: LazyLock<Daemon> = LazyLock::new(|| {
    let token = Token::new("main");
    let mut tables = String::new();
    for (index, vector) in vectors()
        .iter()
        .filter(|vector| vector.supported())
        .enumerate()
    {
        let (name, algorithm) = (vector.text("name"), vector.text("algorithm"));
        import(
            &token,
            name,
            &format!("{:04x}", index + 1),
            algorithm,
            vector.jwk(),
        );
        let encryptions = vector
            .0
            .get("content_encryption")
            .map_or_else(String::new, |name| {
                format!(
                    "content_encryptions = [{name}]\nallow_compression = {}\n",
                    vector.is("compressed")
                )
            });
        tables += &format!(
            "[[keys]]\nname = {name:?}\npurpose = {:?}\nalgorithms = [{algorithm:?}]\n{encryptions}",
            purpose_name(named(algorithm))
        );
    }
    Setup::new(token).tables(&tables).start()
});

/// One file of `tests/testdata/jose`; its README says what is in it.
struct Vector(Map<String, Value>);

fn vectors() -> Vec<Vector> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/jose");
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    assert!(paths.len() >= 40);
    let read = |path| Vector(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap());
    paths.into_iter().map(read).collect()
}

impl Vector {
    fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap()
    }

    fn is(&self, flag: &str) -> bool {
        self.0.get(flag) == Some(&Value::Bool(true))
    }

    fn supported(&self) -> bool {
        self.0.get("supported") != Some(&Value::Bool(false))
    }

    fn texts(&self, member: &str) -> Vec<String> {
        let texts = self.0.get(member).and_then(Value::as_array);
        texts
            .into_iter()
            .flatten()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    }

    fn jwk(&self) -> &Map<String, Value> {
        self.0["jwk"].as_object().unwrap()
    }
}

/// Puts a key of a vector into the token, with the token's own tool or OpenSC's.
fn import(token: &Token, label: &str, id: &str, algorithm: &str, jwk: &Map<String, Value>) {
    let mut plain = jwk.clone();
    plain.retain(|name, _| !["alg", "use", "key_ops", "kid"].contains(&name.as_str()));
    let jwk = Jwk::from_map(plain.clone()).unwrap();
    let pem = match plain["kty"].as_str().unwrap() {
        "RSA" => RsaKeyPair::from_jwk(&jwk).unwrap().to_pem_private_key(),
        "EC" => EcKeyPair::from_jwk(&jwk).unwrap().to_pem_private_key(),
        "OKP" => EdKeyPair::from_jwk(&jwk).unwrap().to_pem_private_key(),
        _ => {
            let kind = if algorithm.starts_with("HS") {
                Secret::Generic
            } else {
                Secret::Aes
            };
            token.import_secret(label, &unbase64url(plain["k"].as_str().unwrap()), kind);
            return;
        }
    };
    let pem = String::from_utf8(pem).unwrap();
    if algorithm.starts_with("ECDH") {
        token.import_agreement_key(label, id, &pem);
    } else {
        token.import_pkcs8(label, id, &pem);
    }
}

#[tokio::test]
async fn published_signatures_verify_and_are_made_again() {
    let daemon = Shared::get(&VECTORS);
    let client = daemon.client("test");
    let (mut verified, mut made) = (0, 0);
    for vector in vectors() {
        let payload = unbase64url(vector.text("payload"));
        for jws in vector.texts("jws") {
            if !vector.supported() {
                let refusal = verify(&client, "rfc7515-a1", &jws, None).await.unwrap_err();
                assert_eq!(
                    (refusal.code, refusal.reason.as_str()),
                    (Code::InvalidArgument, "JWS_ALGORITHM")
                );
                continue;
            }
            let (key, algorithm) = (vector.text("name"), named(vector.text("algorithm")));
            let detached = vector.is("detached").then_some(&payload[..]);
            let verdict = verify(&client, key, &jws, detached).await.unwrap();
            assert!(verdict.valid, "{key}: {jws}");
            assert_eq!(
                (verdict.payload.to_vec(), verdict.algorithm()),
                (payload.clone(), algorithm)
            );
            assert_eq!(verdict.name, format!("keys/{key}/versions/1"));
            verified += 1;
            // Another payload, and another key, must not do.
            if detached.is_some() {
                assert!(
                    !verify(&client, key, &jws, Some(b"other"))
                        .await
                        .unwrap()
                        .valid
                );
            }
            let parts: Vec<_> = jws.split('.').collect();
            let again = matches!(
                algorithm,
                A::Rs256 | A::Rs384 | A::Rs512 | A::Eddsa | A::Hs256 | A::Hs384 | A::Hs512
            );
            let [header, body, signature] = parts[..] else {
                continue;
            };
            if !again || body.is_empty() {
                continue;
            }
            let input = format!("{header}.{body}");
            let response = client
                .signing()
                .sign(message(key, algorithm, input.as_bytes()))
                .await
                .unwrap();
            assert_eq!(
                base64url(response.into_inner().signature),
                signature,
                "{key}"
            );
            made += 1;
        }
    }
    assert!(verified >= 25 && made >= 6, "{verified} {made}");
}

#[tokio::test]
async fn published_messages_open() {
    let daemon = Shared::get(&VECTORS);
    let client = daemon.client("test");
    let (mut opened, mut refused) = (0, 0);
    let stranger = open(&client, "rfc7520-5.8", "a.b.c.d.e").await.unwrap_err();
    for vector in vectors() {
        for jwe in vector.texts("jwe") {
            let key = vector.text("name");
            if !vector.supported() {
                // A key of the same kind, so that only the algorithm is wrong.
                let status = open(&client, "rfc7520-5.8", &jwe).await.unwrap_err();
                assert_eq!(Refusal::of(&status), Refusal::of(&stranger));
                refused += 1;
                continue;
            }
            let answer = open(&client, key, &jwe)
                .await
                .unwrap_or_else(|status| panic!("{key}: {status:?} {jwe}"));
            assert_eq!(
                answer.plaintext,
                unbase64url(vector.text("payload")),
                "{key}"
            );
            assert_eq!(answer.algorithm(), named(vector.text("algorithm")));
            assert_eq!(
                encryption_name(answer.content_encryption()),
                vector.text("content_encryption")
            );
            opened += 1;
        }
    }
    assert!(opened >= 25 && refused >= 2, "{opened} {refused}");
}
