//! JWS and JWE through the daemon: the published vectors with their keys in the token, josekit as a peer, and
//! what attackers send.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::LazyLock,
};

use chancery::{
    client::{Client, Code, Status},
    proto::v1::{
        Algorithm as A, ContentEncryption as E, DecryptJweRequest, DecryptJweResponse,
        EncryptJweRequest, KeyType as T, Serialization, SignJwsRequest, VerifyJwsRequest,
        VerifyJwsResponse, encrypt_jwe_request::Recipient,
    },
};
use futures_util::{StreamExt, stream};
use josekit::{
    jwe::{self, JweDecrypter, JweEncrypter, JweHeader},
    jwk::{
        Jwk, KeyPair,
        alg::{ec::EcKeyPair, ed::EdKeyPair, rsa::RsaKeyPair},
    },
    jws::{self, JwsHeader, JwsSigner, JwsVerifier},
};
use serde_json::{Map, Value, json};

use crate::{
    calls::{
        ALGORITHMS, ENCRYPTIONS, base64url, create, create_once, message, public_key, purpose,
        unbase64url,
    },
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

/// Secrets that both sides know.
static PEERS: LazyLock<Daemon> = LazyLock::new(|| {
    let token = Token::new("main");
    let mut tables = String::new();
    for (name, algorithm, length, encryptions) in [
        ("hs256", "HS256", 32, ""),
        ("hs384", "HS384", 48, ""),
        ("hs512", "HS512", 64, ""),
        ("a128kw", "A128KW", 16, ALL_ENCRYPTIONS),
        ("a256kw", "A256KW", 32, ALL_ENCRYPTIONS),
        ("dir128", "dir", 16, "content_encryptions = [\"A128GCM\"]"),
        ("dir256", "dir", 32, "content_encryptions = [\"A256GCM\"]"),
        (
            "zip",
            "A128KW",
            16,
            "content_encryptions = [\"A128GCM\"]\nallow_compression = true",
        ),
    ] {
        let kind = if length == 64 || algorithm.starts_with("HS") {
            Secret::Generic
        } else {
            Secret::Aes
        };
        token.import_secret(name, &SECRET[..length], kind);
        tables += &format!(
            "[[keys]]\nname = {name:?}\npurpose = {:?}\nalgorithms = [{algorithm:?}]\n{encryptions}\n",
            purpose_name(named(algorithm))
        );
    }
    Setup::new(token).tables(&tables).start()
});

const SECRET: [u8; 64] = *b"0123456789abcdef0123456789ABCDEFfedcba9876543210FEDCBA9876543210";
const ALL_ENCRYPTIONS: &str = r#"content_encryptions = ["A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512"]"#;

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

/// JOSE's name for one of ours, and back.
fn name(algorithm: A) -> &'static str {
    match algorithm {
        A::Eddsa => "EdDSA",
        A::Dir => "dir",
        A::RsaOaep => "RSA-OAEP",
        A::RsaOaep256 => "RSA-OAEP-256",
        A::RsaOaep256Mgf1Sha1 => "RSA-OAEP-256-MGF1-SHA1",
        A::EcdhEs => "ECDH-ES",
        A::EcdhEsA128kw => "ECDH-ES+A128KW",
        A::EcdhEsA256kw => "ECDH-ES+A256KW",
        other => other.as_str_name().strip_prefix("ALGORITHM_").unwrap(),
    }
}

fn named(text: &str) -> A {
    ALGORITHMS
        .into_iter()
        .find(|one| name(*one) == text)
        .unwrap()
}

fn encryption_name(encryption: E) -> String {
    let name = encryption
        .as_str_name()
        .strip_prefix("CONTENT_ENCRYPTION_")
        .unwrap();
    name.replace('_', "-")
}

fn purpose_name(algorithm: A) -> String {
    let name = purpose(algorithm)
        .as_str_name()
        .strip_prefix("KEY_PURPOSE_")
        .unwrap();
    name.to_lowercase()
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

async fn verify(
    client: &Client,
    key: &str,
    jws: &str,
    detached: Option<&[u8]>,
) -> Result<VerifyJwsResponse, Refusal> {
    let request = VerifyJwsRequest {
        name: format!("keys/{key}"),
        jws: jws.to_owned(),
        detached_payload: detached.map(|payload| payload.to_vec().into()),
        understood_critical: Vec::new(),
    };
    let response = client.jose().verify_jws(request).await;
    response
        .map(tonic::Response::into_inner)
        .map_err(|status| Refusal::of(&status))
}

async fn open(client: &Client, key: &str, jwe: &str) -> Result<DecryptJweResponse, Status> {
    let request = DecryptJweRequest {
        name: format!("keys/{key}"),
        jwe: jwe.to_owned(),
    };
    client
        .jose()
        .decrypt_jwe(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn encrypt(
    client: &Client,
    recipient: Recipient,
    algorithm: A,
    encryption: E,
    plaintext: &[u8],
    compress: bool,
) -> Result<String, Refusal> {
    let request = EncryptJweRequest {
        recipient: Some(recipient),
        algorithm: algorithm.into(),
        content_encryption: encryption.into(),
        plaintext: plaintext.to_vec().into(),
        protected_header: String::new(),
        compress,
    };
    let response = client.jose().encrypt_jwe(request).await;
    response
        .map(|response| response.into_inner().jwe)
        .map_err(|status| Refusal::of(&status))
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

fn signer(algorithm: A, jwk: &Jwk) -> Box<dyn JwsSigner> {
    match algorithm {
        A::Rs256 => Box::new(jws::RS256.signer_from_jwk(jwk).unwrap()),
        A::Rs384 => Box::new(jws::RS384.signer_from_jwk(jwk).unwrap()),
        A::Rs512 => Box::new(jws::RS512.signer_from_jwk(jwk).unwrap()),
        A::Ps256 => Box::new(jws::PS256.signer_from_jwk(jwk).unwrap()),
        A::Ps384 => Box::new(jws::PS384.signer_from_jwk(jwk).unwrap()),
        A::Ps512 => Box::new(jws::PS512.signer_from_jwk(jwk).unwrap()),
        A::Es256 => Box::new(jws::ES256.signer_from_jwk(jwk).unwrap()),
        A::Es384 => Box::new(jws::ES384.signer_from_jwk(jwk).unwrap()),
        A::Es512 => Box::new(jws::ES512.signer_from_jwk(jwk).unwrap()),
        A::Eddsa => Box::new(jws::EdDSA.signer_from_jwk(jwk).unwrap()),
        A::Hs256 => Box::new(jws::HS256.signer_from_jwk(jwk).unwrap()),
        A::Hs384 => Box::new(jws::HS384.signer_from_jwk(jwk).unwrap()),
        A::Hs512 => Box::new(jws::HS512.signer_from_jwk(jwk).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn verifier(algorithm: A, jwk: &Jwk) -> Box<dyn JwsVerifier> {
    match algorithm {
        A::Rs256 => Box::new(jws::RS256.verifier_from_jwk(jwk).unwrap()),
        A::Rs384 => Box::new(jws::RS384.verifier_from_jwk(jwk).unwrap()),
        A::Rs512 => Box::new(jws::RS512.verifier_from_jwk(jwk).unwrap()),
        A::Ps256 => Box::new(jws::PS256.verifier_from_jwk(jwk).unwrap()),
        A::Ps384 => Box::new(jws::PS384.verifier_from_jwk(jwk).unwrap()),
        A::Ps512 => Box::new(jws::PS512.verifier_from_jwk(jwk).unwrap()),
        A::Es256 => Box::new(jws::ES256.verifier_from_jwk(jwk).unwrap()),
        A::Es384 => Box::new(jws::ES384.verifier_from_jwk(jwk).unwrap()),
        A::Es512 => Box::new(jws::ES512.verifier_from_jwk(jwk).unwrap()),
        A::Eddsa => Box::new(jws::EdDSA.verifier_from_jwk(jwk).unwrap()),
        A::Hs256 => Box::new(jws::HS256.verifier_from_jwk(jwk).unwrap()),
        A::Hs384 => Box::new(jws::HS384.verifier_from_jwk(jwk).unwrap()),
        A::Hs512 => Box::new(jws::HS512.verifier_from_jwk(jwk).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn secret(length: usize) -> Jwk {
    let map = json!({"kty": "oct", "k": base64url(&SECRET[..length])});
    Jwk::from_map(map.as_object().unwrap().clone()).unwrap()
}

/// The public JWK of a key in the token, as josekit reads it.
async fn public_jwk(client: &Client, key: &str) -> Jwk {
    let public = public_key(client, &format!("keys/{key}")).await;
    Jwk::from_bytes(public.jwk).unwrap()
}

fn sign_request(key: &str, algorithm: A, payload: &[u8]) -> SignJwsRequest {
    SignJwsRequest {
        name: format!("keys/{key}"),
        algorithm: algorithm.into(),
        payload: payload.to_vec().into(),
        serialization: Serialization::Compact.into(),
        ..SignJwsRequest::default()
    }
}

async fn sign(client: &Client, request: SignJwsRequest) -> Result<String, Refusal> {
    let response = client.jose().sign_jws(request).await;
    response
        .map(|response| response.into_inner().jws)
        .map_err(|status| Refusal::of(&status))
}

#[tokio::test]
async fn josekit_verifies_what_the_token_signed_and_the_other_way_round() {
    let daemon = Shared::get(&PEERS);
    let client = daemon.client("test");
    let rsa = [A::Rs256, A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512];
    create_once(&client, "jws-rsa", T::Rsa2048, &rsa).await;
    create_once(&client, "jws-p256", T::EcP256, &[A::Es256]).await;
    create_once(&client, "jws-p384", T::EcP384, &[A::Es384]).await;
    create_once(&client, "jws-p521", T::EcP521, &[A::Es512]).await;
    create_once(&client, "jws-ed", T::Ed25519, &[A::Eddsa]).await;
    let pairs = rsa
        .into_iter()
        .map(|algorithm| ("jws-rsa", algorithm))
        .chain([
            ("jws-p256", A::Es256),
            ("jws-p384", A::Es384),
            ("jws-p521", A::Es512),
            ("jws-ed", A::Eddsa),
            ("hs256", A::Hs256),
            ("hs384", A::Hs384),
            ("hs512", A::Hs512),
        ]);
    for (key, algorithm) in pairs {
        let shared = match algorithm {
            A::Hs256 => Some(secret(32)),
            A::Hs384 => Some(secret(48)),
            A::Hs512 => Some(secret(64)),
            _ => None,
        };
        let jwk = match &shared {
            Some(jwk) => jwk.clone(),
            None => public_jwk(&client, key).await,
        };
        for payload in [&b""[..], b"payload", &[0xff; 5000]] {
            let text = sign(&client, sign_request(key, algorithm, payload))
                .await
                .unwrap();
            let (read, header) =
                jws::deserialize_compact(&text, &*verifier(algorithm, &jwk)).unwrap();
            assert_eq!(read, payload);
            assert_eq!(header.key_id(), jwk.key_id());
            let verdict = verify(&client, key, &text, None).await.unwrap();
            assert!(verdict.valid && verdict.payload == payload);
        }
        // josekit signs with a secret that the token has too.
        if let Some(jwk) = shared {
            let text =
                jws::serialize_compact(b"theirs", &JwsHeader::new(), &*signer(algorithm, &jwk))
                    .unwrap();
            let verdict = verify(&client, key, &text, None).await.unwrap();
            assert!(verdict.valid && verdict.payload == b"theirs"[..]);
        }
    }
}

/// A public key is never taken for a secret, and `alg` never for more than the key's record says.
#[tokio::test]
async fn the_message_does_not_choose_its_algorithm() {
    let daemon = Shared::get(&PEERS);
    let client = daemon.client("test");
    create_once(&client, "confused", T::Rsa2048, &[A::Rs256]).await;
    create_once(&client, "confused-ec", T::EcP256, &[A::Es256]).await;
    for key in ["confused", "confused-ec"] {
        let public = public_key(&client, &format!("keys/{key}")).await;
        for bytes in [
            public.pem.as_bytes(),
            public.pem.trim_end().as_bytes(),
            &public.der,
            public.jwk.as_bytes(),
        ] {
            let signer = jws::HS256.signer_from_bytes(bytes).unwrap();
            let forged = jws::serialize_compact(b"forged", &JwsHeader::new(), &signer).unwrap();
            let refusal = verify(&client, key, &forged, None).await.unwrap_err();
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::InvalidArgument, "ALGORITHM_NOT_ALLOWED")
            );
        }
    }
    let good = sign(&client, sign_request("confused", A::Rs256, b"payload"))
        .await
        .unwrap();
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!()
    };
    let header: Value = serde_json::from_slice(&unbase64url(header)).unwrap();
    for (alg, reason) in [
        ("none", "JWS_ALGORITHM"),
        ("None", "JWS_ALGORITHM"),
        ("RS1", "JWS_ALGORITHM"),
        ("PS256", "ALGORITHM_NOT_ALLOWED"),
        ("HS256", "ALGORITHM_NOT_ALLOWED"),
        ("ES256", "ALGORITHM_NOT_ALLOWED"),
        ("RSA-OAEP", "JWS_ALGORITHM"),
    ] {
        let mut changed = header.clone();
        changed["alg"] = json!(alg);
        for signature in [signature, "AA", ""] {
            let text = format!("{}.{payload}.{signature}", base64url(changed.to_string()));
            let refusal = verify(&client, "confused", &text, None).await.unwrap_err();
            let reasons = [reason, "JWS_SIGNATURE_MISSING"];
            assert!(
                reasons.contains(&refusal.reason.as_str()),
                "{alg} {signature:?}: {refusal:?}"
            );
            assert_eq!(refusal.code, Code::InvalidArgument);
        }
    }
    // A key that came along is not looked at; a header that is not understood is not passed over.
    let stranger = Jwk::generate_rsa_key(2048).unwrap();
    let mut embedded = JwsHeader::new();
    embedded.set_jwk(stranger.to_public_key().unwrap());
    let text = jws::serialize_compact(b"forged", &embedded, &*signer(A::Rs256, &stranger)).unwrap();
    assert!(
        !verify(&client, "confused", &text, None)
            .await
            .unwrap()
            .valid
    );
    // What the caller may not say about itself.
    for (header, reason) in [
        (r#"{"alg":"none"}"#, "JOSE_HEADER_INVALID"),
        (r#"{"b64":false}"#, "JOSE_HEADER_INVALID"),
        (r#"{"jwk":{}}"#, "JOSE_HEADER_INVALID"),
        (r#"{"crit":["exp"]}"#, "JOSE_HEADER_INVALID"),
        (r#"{"a":1,"a":2}"#, "JOSE_HEADER_INVALID"),
        ("[]", "JOSE_HEADER_INVALID"),
    ] {
        let request = SignJwsRequest {
            protected_header: header.to_owned(),
            ..sign_request("confused", A::Rs256, b"x")
        };
        assert_eq!(
            sign(&client, request).await.unwrap_err().reason,
            reason,
            "{header}"
        );
    }
    let unspecified = SignJwsRequest {
        serialization: 0,
        ..sign_request("confused", A::Rs256, b"x")
    };
    assert_eq!(
        sign(&client, unspecified).await.unwrap_err().reason,
        "SERIALIZATION_UNSPECIFIED"
    );
}

#[tokio::test]
async fn every_form_of_a_jws_comes_back_as_it_was_signed() {
    let daemon = Shared::get(&PEERS);
    let client = daemon.client("test");
    for serialization in [
        Serialization::Compact,
        Serialization::FlattenedJson,
        Serialization::GeneralJson,
    ] {
        for (detached, unencoded) in [(false, false), (true, false), (true, true), (false, true)] {
            let request = SignJwsRequest {
                serialization: serialization.into(),
                detached,
                unencoded_payload: unencoded,
                protected_header: r#"{"typ":"example","iat":1}"#.to_owned(),
                ..sign_request("hs256", A::Hs256, b"payload_of-text~")
            };
            let text = sign(&client, request).await.unwrap();
            let payload = detached.then_some(&b"payload_of-text~"[..]);
            let verdict = verify(&client, "hs256", &text, payload).await.unwrap();
            assert!(verdict.valid, "{text}");
            assert_eq!(verdict.payload, b"payload_of-text~"[..]);
            let header: Value = serde_json::from_str(&verdict.protected_header).unwrap();
            assert_eq!(
                (&header["typ"], &header["iat"]),
                (&json!("example"), &json!(1))
            );
            if detached {
                assert!(
                    !verify(&client, "hs256", &text, Some(b"another"))
                        .await
                        .unwrap()
                        .valid
                );
            } else {
                let refusal = verify(&client, "hs256", &text, Some(b"payload_of-text~"))
                    .await
                    .unwrap_err();
                assert_eq!(refusal.reason, "JWS_PAYLOAD_TWICE");
            }
        }
    }
}

fn encrypter(algorithm: A, jwk: &Jwk) -> Box<dyn JweEncrypter> {
    match algorithm {
        A::RsaOaep => Box::new(jwe::RSA_OAEP.encrypter_from_jwk(jwk).unwrap()),
        A::RsaOaep256 => Box::new(jwe::RSA_OAEP_256.encrypter_from_jwk(jwk).unwrap()),
        #[expect(deprecated, reason = "it must be refused unless a key asks for it")]
        A::Rsa15 => Box::new(jwe::RSA1_5.encrypter_from_jwk(jwk).unwrap()),
        A::EcdhEs => Box::new(jwe::ECDH_ES.encrypter_from_jwk(jwk).unwrap()),
        A::EcdhEsA128kw => Box::new(jwe::ECDH_ES_A128KW.encrypter_from_jwk(jwk).unwrap()),
        A::EcdhEsA256kw => Box::new(jwe::ECDH_ES_A256KW.encrypter_from_jwk(jwk).unwrap()),
        A::A128kw => Box::new(jwe::A128KW.encrypter_from_jwk(jwk).unwrap()),
        A::A256kw => Box::new(jwe::A256KW.encrypter_from_jwk(jwk).unwrap()),
        A::Dir => Box::new(jwe::Dir.encrypter_from_jwk(jwk).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn decrypter(algorithm: A, jwk: &Jwk) -> Box<dyn JweDecrypter> {
    match algorithm {
        A::RsaOaep => Box::new(jwe::RSA_OAEP.decrypter_from_jwk(jwk).unwrap()),
        A::RsaOaep256 => Box::new(jwe::RSA_OAEP_256.decrypter_from_jwk(jwk).unwrap()),
        A::EcdhEs => Box::new(jwe::ECDH_ES.decrypter_from_jwk(jwk).unwrap()),
        A::EcdhEsA128kw => Box::new(jwe::ECDH_ES_A128KW.decrypter_from_jwk(jwk).unwrap()),
        A::EcdhEsA256kw => Box::new(jwe::ECDH_ES_A256KW.decrypter_from_jwk(jwk).unwrap()),
        A::A128kw => Box::new(jwe::A128KW.decrypter_from_jwk(jwk).unwrap()),
        A::A256kw => Box::new(jwe::A256KW.decrypter_from_jwk(jwk).unwrap()),
        A::Dir => Box::new(jwe::Dir.decrypter_from_jwk(jwk).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn sealed(algorithm: A, encryption: &str, jwk: &Jwk, plaintext: &[u8]) -> String {
    let mut header = JweHeader::new();
    header.set_content_encryption(encryption);
    jwe::serialize_compact(plaintext, &header, &*encrypter(algorithm, jwk)).unwrap()
}

#[tokio::test]
async fn josekit_opens_what_was_made_here_and_the_other_way_round() {
    let daemon = Shared::get(&PEERS);
    let client = daemon.client("test");
    create_once(&client, "jwe-oaep", T::Rsa2048, &[A::RsaOaep]).await;
    create_once(&client, "jwe-oaep256", T::Rsa2048, &[A::RsaOaep256]).await;
    let agreements = [A::EcdhEs, A::EcdhEsA128kw, A::EcdhEsA256kw];
    create_once(&client, "jwe-p256", T::EcP256, &agreements).await;
    create_once(&client, "jwe-p384", T::EcP384, &agreements).await;
    create_once(&client, "jwe-p521", T::EcP521, &agreements).await;
    let rsa = Jwk::generate_rsa_key(2048).unwrap();
    let curves = [
        josekit::jwk::alg::ec::EcCurve::P256,
        josekit::jwk::alg::ec::EcCurve::P384,
        josekit::jwk::alg::ec::EcCurve::P521,
    ];
    let [p256, p384, p521] = curves.map(|curve| Jwk::generate_ec_key(curve).unwrap());
    let mut count = 0;
    for (key, algorithms, theirs) in [
        ("jwe-oaep", &[A::RsaOaep][..], &rsa),
        ("jwe-oaep256", &[A::RsaOaep256], &rsa),
        ("jwe-p256", &agreements, &p256),
        ("jwe-p384", &agreements, &p384),
        ("jwe-p521", &agreements, &p521),
    ] {
        let ours = public_jwk(&client, key).await;
        for (algorithm, encryption) in algorithms
            .iter()
            .flat_map(|one| ENCRYPTIONS.map(|other| (*one, other)))
        {
            let enc = encryption_name(encryption);
            let text = sealed(algorithm, &enc, &ours, b"to the token");
            let opened = open(&client, key, &text)
                .await
                .unwrap_or_else(|status| panic!("{key} {algorithm:?} {enc}: {status:?}"));
            assert_eq!(opened.plaintext, b"to the token"[..]);
            assert_eq!(
                (opened.algorithm(), opened.content_encryption()),
                (algorithm, encryption)
            );

            let recipient = Recipient::Jwk(theirs.to_public_key().unwrap().to_string());
            let text = encrypt(
                &client,
                recipient,
                algorithm,
                encryption,
                b"to josekit",
                false,
            )
            .await
            .unwrap();
            let (plaintext, _) =
                jwe::deserialize_compact(&text, &*decrypter(algorithm, theirs)).unwrap();
            assert_eq!(plaintext, b"to josekit");

            let recipient = Recipient::Name(format!("keys/{key}"));
            let text = encrypt(
                &client,
                recipient,
                algorithm,
                encryption,
                b"to ourselves",
                false,
            )
            .await
            .unwrap();
            assert_eq!(
                open(&client, key, &text).await.unwrap().plaintext,
                b"to ourselves"[..]
            );
            count += 1;
        }
    }
    for (key, algorithm, length, encryptions) in [
        ("a128kw", A::A128kw, 16, &ENCRYPTIONS[..]),
        ("a256kw", A::A256kw, 32, &ENCRYPTIONS[..]),
        ("dir128", A::Dir, 16, &[E::A128gcm]),
        ("dir256", A::Dir, 32, &[E::A256gcm]),
    ] {
        let jwk = secret(length);
        for encryption in encryptions.iter().copied() {
            let text = sealed(
                algorithm,
                &encryption_name(encryption),
                &jwk,
                b"to the token",
            );
            assert_eq!(
                open(&client, key, &text).await.unwrap().plaintext,
                b"to the token"[..],
                "{key} {encryption:?}"
            );
            let recipient = Recipient::Name(format!("keys/{key}"));
            let text = encrypt(
                &client,
                recipient,
                algorithm,
                encryption,
                b"to josekit",
                false,
            )
            .await
            .unwrap();
            let (plaintext, _) =
                jwe::deserialize_compact(&text, &*decrypter(algorithm, &jwk)).unwrap();
            assert_eq!(plaintext, b"to josekit");
            count += 1;
        }
    }
    assert_eq!(count, 6 * (2 + 9 + 2) + 2);
}

/// `RSA1_5` for a key that asks for it alone; its failures are those of all others.
#[tokio::test]
async fn the_old_padding_is_for_keys_that_ask_for_it() {
    let daemon = Shared::get(&PEERS);
    let client = daemon.client("test");
    create(&client, "old-padding", T::Rsa2048, &[A::Rsa15]).await;
    create(&client, "new-padding", T::Rsa2048, &[A::RsaOaep256]).await;
    let mut old = public_jwk(&client, "old-padding").await;
    let text = sealed(A::Rsa15, "A128CBC-HS256", &old, b"secret");
    assert_eq!(
        open(&client, "old-padding", &text).await.unwrap().plaintext,
        b"secret"[..]
    );
    let failed = Refusal::expect(open(&client, "old-padding", "not a JWE").await);
    assert_eq!(
        (failed.code, failed.reason.as_str()),
        (Code::InvalidArgument, "DECRYPTION_FAILED")
    );

    old.set_algorithm("RSA-OAEP-256");
    let text = sealed(A::RsaOaep256, "A128CBC-HS256", &old, b"secret");
    assert_eq!(
        Refusal::expect(open(&client, "old-padding", &text).await),
        failed
    );
    let mut new = public_jwk(&client, "new-padding").await;
    new.set_algorithm("RSA1_5");
    let text = sealed(A::Rsa15, "A128CBC-HS256", &new, b"secret");
    let refusal = Refusal::expect(open(&client, "new-padding", &text).await);
    assert_eq!(
        (refusal.reason, refusal.message),
        (failed.reason, failed.message)
    );
    // Nor to a key of somebody else's that does not ask for it in so many words.
    let mut silent: Value = serde_json::from_str(&new.to_string()).unwrap();
    silent.as_object_mut().unwrap().remove("alg");
    for recipient in [
        Recipient::Name("keys/new-padding".to_owned()),
        Recipient::Pem(public_key(&client, "keys/new-padding").await.pem),
        Recipient::Jwk(silent.to_string()),
    ] {
        let refusal = encrypt(&client, recipient, A::Rsa15, E::A128gcm, b"x", false)
            .await
            .unwrap_err();
        assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
    }
}

#[tokio::test]
async fn compression_is_for_keys_that_allow_it_and_has_an_end() {
    let daemon = Shared::get(&PEERS);
    let client = daemon.client("test");
    let jwk = secret(16);
    let compressed = |plaintext: &[u8]| {
        let mut header = JweHeader::new();
        header.set_content_encryption("A128GCM");
        header.set_compression("DEF");
        jwe::serialize_compact(plaintext, &header, &*encrypter(A::A128kw, &jwk)).unwrap()
    };
    let text = compressed(&[7; 10_000]);
    assert_eq!(
        open(&client, "zip", &text).await.unwrap().plaintext,
        [7; 10_000][..]
    );
    let refused = Refusal::expect(open(&client, "a128kw", &text).await);
    assert_eq!(refused.reason, "DECRYPTION_FAILED");
    let before = daemon.resident_kib();
    let bomb = compressed(&vec![0; 200 << 20]);
    assert!(bomb.len() < 400 << 10);
    for _ in 0..5 {
        let refusal = Refusal::expect(open(&client, "zip", &bomb).await);
        assert_eq!(
            (refusal.code, &refusal.reason, &refusal.message),
            (refused.code, &refused.reason, &refused.message)
        );
    }
    assert!(daemon.resident_kib().saturating_sub(before) < 32 << 10);
    // The same on the way out.
    for (key, allowed) in [("zip", true), ("a128kw", false)] {
        let recipient = Recipient::Name(format!("keys/{key}"));
        let made = encrypt(
            &client,
            recipient,
            A::A128kw,
            E::A128gcm,
            &[7; 10_000],
            true,
        )
        .await;
        assert_eq!(made.is_ok(), allowed);
        if let Ok(text) = made {
            assert!(text.len() < 1000);
            let (plaintext, _) =
                jwe::deserialize_compact(&text, &*decrypter(A::A128kw, &jwk)).unwrap();
            assert_eq!(plaintext, [7; 10_000]);
        }
    }
}

/// Over two thousand broken messages for each kind of key: one answer, byte for byte, and nobody is restarted.
#[tokio::test]
async fn hostile_messages_all_get_one_answer() {
    let daemon = Shared::get(&PEERS);
    let client = daemon.client("test");
    create_once(&client, "hostile-rsa", T::Rsa2048, &[A::RsaOaep256]).await;
    create_once(&client, "hostile-old", T::Rsa2048, &[A::Rsa15]).await;
    create_once(
        &client,
        "hostile-ec",
        T::EcP256,
        &[A::EcdhEs, A::EcdhEsA256kw],
    )
    .await;
    let workers = daemon.worker_pids();
    let said = daemon
        .log_lines()
        .iter()
        .filter(|line| line.contains("worker"))
        .count();
    let mut answers: BTreeMap<(i32, String, Vec<u8>), (usize, String)> = BTreeMap::new();
    for (key, algorithm, encryption, jwk) in [
        (
            "hostile-rsa",
            A::RsaOaep256,
            "A256GCM",
            public_jwk(&client, "hostile-rsa").await,
        ),
        (
            "hostile-old",
            A::Rsa15,
            "A128CBC-HS256",
            public_jwk(&client, "hostile-old").await,
        ),
        (
            "hostile-ec",
            A::EcdhEs,
            "A128CBC-HS256",
            public_jwk(&client, "hostile-ec").await,
        ),
        (
            "hostile-ec",
            A::EcdhEsA256kw,
            "A256GCM",
            public_jwk(&client, "hostile-ec").await,
        ),
        ("a128kw", A::A128kw, "A128GCM", secret(16)),
        ("dir256", A::Dir, "A256GCM", secret(32)),
    ] {
        let good = sealed(
            algorithm,
            encryption,
            &jwk,
            b"a secret of some length, more than a block",
        );
        assert!(open(&client, key, &good).await.is_ok(), "{key}");
        let hostile = mutations(&good, if key == "hostile-ec" { 1000 } else { 2000 });
        let outcomes: Vec<_> = stream::iter(hostile)
            .map(|text| {
                let client = client.clone();
                async move { (open(&client, key, &text).await, text) }
            })
            .buffer_unordered(16)
            .collect()
            .await;
        for (outcome, text) in outcomes {
            let status = outcome.expect_err(&text);
            let details = status.details().to_vec();
            let answer = (status.code() as i32, status.message().to_owned(), details);
            answers.entry(answer).or_insert((0, text)).0 += 1;
        }
        assert!(open(&client, key, &good).await.is_ok(), "{key}");
    }
    let count: usize = answers.values().map(|(count, _)| count).sum();
    assert!(count >= 10_000, "{count}");
    assert_eq!(answers.len(), 1, "{answers:#?}");
    let (code, ..) = answers.into_keys().next().unwrap();
    assert_eq!(Code::from(code), Code::InvalidArgument);
    assert_eq!(daemon.worker_pids(), workers);
    let now = daemon
        .log_lines()
        .iter()
        .filter(|line| line.contains("worker"))
        .count();
    assert_eq!(now, said, "the workers were talked about");
}

/// At least so many texts that are like `good` and are not it. Always the same ones.
fn mutations(good: &str, count: usize) -> BTreeSet<String> {
    let parts: Vec<&str> = good.split('.').collect();
    let header: Value = serde_json::from_slice(&unbase64url(parts[0])).unwrap();
    let mut texts: BTreeSet<String> = [
        "",
        ".",
        "....",
        "{}",
        "[]",
        "null",
        "a.b.c",
        "\0",
        "é",
        " ",
        "{\"protected\":1}",
    ]
    .map(str::to_owned)
    .into();
    let with = |index: usize, part: &str| {
        let mut parts = parts.clone();
        parts[index] = part;
        parts.join(".")
    };
    // Headers.
    let changes = [
        ("alg", json!("none")),
        ("alg", json!("RSA1_5")),
        ("alg", json!("RSA-OAEP")),
        ("alg", json!("RSA-OAEP-256")),
        ("alg", json!("dir")),
        ("alg", json!("A128KW")),
        ("alg", json!("A256KW")),
        ("alg", json!("ECDH-ES")),
        ("alg", json!("ECDH-ES+A256KW")),
        ("alg", json!("ECDH-ES+A128KW")),
        ("alg", json!("PBES2-HS256+A128KW")),
        ("alg", json!(1)),
        ("alg", Value::Null),
        ("enc", json!("A128GCM")),
        ("enc", json!("A192GCM")),
        ("enc", json!("A256GCM")),
        ("enc", json!("A128CBC-HS256")),
        ("enc", json!("A256CBC-HS512")),
        ("enc", json!("none")),
        ("enc", json!([])),
        ("zip", json!("DEF")),
        ("zip", json!("GZIP")),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("exp", json!(1)),
        ("kid", json!("nobody")),
        ("kid", json!("")),
        ("apu", json!("AA")),
        ("apv", json!("!!")),
        ("p2c", json!(1_000_000_000)),
        ("jku", json!("http://localhost/")),
        ("epk", json!({})),
        (
            "epk",
            json!({"kty": "EC", "crv": "P-256", "x": "", "y": ""}),
        ),
        ("epk", json!("x")),
        (
            "epk",
            json!({"kty": "EC", "crv": "P-256", "x": base64url([0; 32]), "y": base64url([0; 32])}),
        ),
        (
            "epk",
            json!({"kty": "EC", "crv": "P-256", "x": base64url([1; 32]), "y": base64url([1; 32])}),
        ),
        (
            "epk",
            json!({"kty": "EC", "crv": "P-256", "x": base64url([0xff; 32]), "y": base64url([0xff; 32])}),
        ),
        (
            "epk",
            json!({"kty": "EC", "crv": "P-384", "x": base64url([1; 48]), "y": base64url([1; 48])}),
        ),
        (
            "epk",
            json!({"kty": "OKP", "crv": "X25519", "x": base64url([9; 32])}),
        ),
    ];
    for (member, value) in changes {
        let mut changed = header.clone();
        changed[member] = value;
        if changed != header {
            texts.insert(with(0, &base64url(changed.to_string())));
        }
    }
    for member in header.as_object().unwrap().keys() {
        let mut changed = header.as_object().unwrap().clone();
        changed.remove(member);
        texts.insert(with(0, &base64url(Value::Object(changed).to_string())));
    }
    texts.insert(with(0, &base64url(format!("{header} "))));
    texts.insert(with(0, &base64url("[".repeat(10_000))));
    // Lengths of every part, and every padding.
    for index in 0..parts.len() {
        let bytes = unbase64url(parts[index]);
        for length in (0..=40).chain([127, 128, 129, 255, 256, 257, 511, 512, 513]) {
            let filled: Vec<u8> = bytes
                .iter()
                .copied()
                .chain(std::iter::repeat(0x41))
                .take(length)
                .collect();
            texts.insert(with(index, &base64url(&filled)));
            texts.insert(with(index, &base64url(vec![0; length])));
            texts.insert(with(index, &base64url(vec![0xff; length])));
        }
        for wrong in [
            format!("{}=", parts[index]),
            format!("{} ", parts[index]),
            format!("{}A", parts[index]),
            format!("+{}", parts[index]),
            parts[index].replace(['-', '_'], "+"),
        ] {
            texts.insert(with(index, &wrong));
        }
        for other in &parts {
            texts.insert(with(index, other));
        }
    }
    texts.insert(parts[..4].join("."));
    texts.insert(format!("{good}."));
    texts.insert(format!("{good}\n"));
    // And one bit of one byte, anywhere (xorshift, a fixed seed).
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    texts.remove(good);
    while texts.len() < count {
        let index = random(parts.len());
        let mut bytes = unbase64url(parts[index]);
        if bytes.is_empty() {
            continue;
        }
        let position = random(bytes.len());
        bytes[position] ^= 1 << random(8);
        if random(4) == 0 {
            let position = random(bytes.len());
            bytes[position] ^= 1 << random(8);
        }
        if bytes != unbase64url(parts[index]) {
            texts.insert(with(index, &base64url(&bytes)));
        }
    }
    texts
}
