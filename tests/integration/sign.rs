//! Signatures and MACs: every algorithm in every form, checked by others, and what is not the signature.

use std::sync::LazyLock;

use chancery::{
    client::{Client, Code, checksum},
    proto::v1::{
        Algorithm as A, EcdsaEncoding, KeyType as T, SignRequest, SignResponse, VerifyRequest,
        VerifyResponse,
    },
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::{
    calls::{OpenSsl, create_once, digest, message, public_key, verification},
    harness::{ALLOW_TEST, Daemon, Refusal, Setup, Shared},
    softhsm::{Secret, Token},
};

mod chunks;
mod many;
mod protocol;
mod refused;

static DAEMON: LazyLock<Daemon> = LazyLock::new(|| {
    let token = Token::new("main");
    token.import_secret("mac", &SECRET, Secret::Generic);
    Setup::new(token)
        .policy(&format!("{ALLOW_TEST}{VERIFIER}"))
        .tables(MAC)
        .server("max_deadline_seconds = 300")
        .start()
});

const SECRET: [u8; 64] = [0x5a; 64];
const MAC: &str = r#"
[[keys]]
name = "mac"
purpose = "mac"
algorithms = ["HS256", "HS384", "HS512"]
"#;
const VERIFIER: &str = r#"
[[rules]]
name = "verifier"
identities = ["spiffe://chancery.test/verifier"]
keys = ["*"]
operations = ["verify"]
algorithms = ["*"]
"#;

/// The keys that tests share: a name, a type, and what it signs with.
const KEYS: [(&str, T, &[A]); 6] = [
    (
        "rsa",
        T::Rsa2048,
        &[A::Rs256, A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512],
    ),
    ("p256", T::EcP256, &[A::Es256]),
    ("p384", T::EcP384, &[A::Es384]),
    ("p521", T::EcP521, &[A::Es512]),
    ("ed25519", T::Ed25519, &[A::Eddsa]),
    ("mac", T::HmacSha512, &[A::Hs256, A::Hs384, A::Hs512]),
];

/// A client of the shared daemon in which these keys are.
async fn client_with(daemon: &Daemon, names: &[&str]) -> Client {
    let client = daemon.client("test");
    for (name, key_type, algorithms) in KEYS {
        if name != "mac" && names.contains(&name) {
            create_once(&client, name, key_type, algorithms).await;
        }
    }
    client
}

async fn sign(client: &Client, request: SignRequest) -> Result<SignResponse, Refusal> {
    let response = client.signing().sign(request).await;
    response
        .map(tonic::Response::into_inner)
        .map_err(|status| Refusal::of(&status))
}

async fn verify(client: &Client, request: VerifyRequest) -> Result<VerifyResponse, Refusal> {
    let response = client.signing().verify(request).await;
    response
        .map(tonic::Response::into_inner)
        .map_err(|status| Refusal::of(&status))
}

fn hashed(algorithm: A, message: &[u8]) -> Vec<u8> {
    match algorithm {
        A::Rs256 | A::Ps256 | A::Es256 => Sha256::digest(message).to_vec(),
        A::Rs384 | A::Ps384 | A::Es384 => Sha384::digest(message).to_vec(),
        A::Rs512 | A::Ps512 | A::Es512 => Sha512::digest(message).to_vec(),
        other => panic!("{other:?} takes no digest"),
    }
}

fn mac(algorithm: A, message: &[u8]) -> Vec<u8> {
    match algorithm {
        A::Hs256 => Hmac::<Sha256>::new_from_slice(&SECRET)
            .unwrap()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec(),
        A::Hs384 => Hmac::<Sha384>::new_from_slice(&SECRET)
            .unwrap()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec(),
        A::Hs512 => Hmac::<Sha512>::new_from_slice(&SECRET)
            .unwrap()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec(),
        other => panic!("{other:?} is no MAC"),
    }
}

#[tokio::test]
async fn every_algorithm_signs_what_others_verify() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["rsa", "p256", "p384", "p521", "ed25519"]).await;
    let openssl = OpenSsl::new();
    for (key, _, algorithms) in KEYS {
        for algorithm in algorithms.iter().copied() {
            for text in [&b""[..], b"message", &[0; 10_000]] {
                let request = message(key, algorithm, text);
                let response = sign(&client, request.clone()).await.unwrap();
                assert_eq!(response.name, format!("keys/{key}/versions/1"));
                assert_eq!(response.algorithm(), algorithm);
                assert_eq!(response.signature_crc32c, checksum(&response.signature));
                assert!(!response.verified_input_crc32c);
                if key == "mac" {
                    assert_eq!(response.signature, mac(algorithm, text));
                } else {
                    // OpenSSL 3.0 reads no empty file with -rawin.
                    let shown = !(text.is_empty() && algorithm == A::Eddsa);
                    let pem = public_key(&client, &response.name).await.pem;
                    assert!(
                        !shown || openssl.verifies(&pem, algorithm, text, &response.signature),
                        "{algorithm:?}"
                    );
                    assert!(!openssl.verifies(&pem, algorithm, b"other", &response.signature));
                }
                let verdict = verify(&client, verification(&request, &response.signature))
                    .await
                    .unwrap();
                assert_eq!(
                    (verdict.valid, verdict.name.as_str()),
                    (true, &*response.name)
                );
                assert_eq!(verdict.algorithm(), algorithm);
                if matches!(key, "ed25519" | "mac") {
                    continue;
                }
                // The same over a digest that the caller made.
                let ready = digest(key, algorithm, &hashed(algorithm, text));
                let response = sign(&client, ready.clone()).await.unwrap();
                let pem = public_key(&client, &response.name).await.pem;
                assert!(
                    openssl.verifies(&pem, algorithm, text, &response.signature),
                    "{algorithm:?}"
                );
                for asked in [&request, &ready] {
                    let verdict = verify(&client, verification(asked, &response.signature)).await;
                    assert!(verdict.unwrap().valid);
                }
            }
        }
    }
}

#[tokio::test]
async fn ecdsa_comes_raw_or_as_der_and_never_as_the_other() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["p256", "p384", "p521"]).await;
    let openssl = OpenSsl::new();
    for (key, algorithm, width) in [
        ("p256", A::Es256, 32),
        ("p384", A::Es384, 48),
        ("p521", A::Es512, 66),
    ] {
        let pem = public_key(&client, &format!("keys/{key}")).await.pem;
        for _ in 0..20 {
            let der = message(key, algorithm, b"message");
            let raw = SignRequest {
                ecdsa_encoding: EcdsaEncoding::Raw.into(),
                ..der.clone()
            };
            let signature = sign(&client, raw.clone()).await.unwrap().signature;
            assert_eq!(signature.len(), 2 * width);
            assert!(
                verify(&client, verification(&raw, &signature))
                    .await
                    .unwrap()
                    .valid
            );
            // What OpenSSL takes, written here by hand.
            let integer = |bytes: &[u8]| {
                let skipped = bytes.iter().take_while(|byte| **byte == 0).count();
                let mut body = bytes[skipped..].to_vec();
                if body[0] & 0x80 != 0 {
                    body.insert(0, 0);
                }
                [&[2, body.len() as u8][..], &body].concat()
            };
            let body = [integer(&signature[..width]), integer(&signature[width..])].concat();
            let head = if body.len() < 128 {
                vec![0x30, body.len() as u8]
            } else {
                vec![0x30, 0x81, body.len() as u8]
            };
            let written = [head, body].concat();
            assert!(openssl.verifies(&pem, algorithm, b"message", &written));
            assert!(
                verify(&client, verification(&der, &written))
                    .await
                    .unwrap()
                    .valid
            );
            // One form is not taken for the other.
            for wrong in [verification(&der, &signature), verification(&raw, &written)] {
                assert!(!verify(&client, wrong).await.unwrap().valid);
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_the_signature_is_not_valid() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["rsa", "p256", "ed25519"]).await;
    create_once(&client, "p256-other", T::EcP256, &[A::Es256]).await;
    for (key, algorithm) in [
        ("rsa", A::Rs256),
        ("rsa", A::Ps384),
        ("p256", A::Es256),
        ("ed25519", A::Eddsa),
        ("mac", A::Hs256),
    ] {
        let request = message(key, algorithm, b"message");
        let signature = sign(&client, request.clone())
            .await
            .unwrap()
            .signature
            .to_vec();
        let right = verification(&request, &signature);
        assert!(verify(&client, right.clone()).await.unwrap().valid);
        let mut wrong = vec![VerifyRequest {
            message: Some(b"massage".as_slice().into()),
            ..right.clone()
        }];
        for position in [0, signature.len() / 2, signature.len() - 1] {
            let mut changed = signature.clone();
            changed[position] ^= 1;
            wrong.push(verification(&request, &changed));
        }
        for bytes in [
            &signature[..signature.len() - 1],
            &[],
            &[0; 64],
            &[0; 256],
            &[&signature[..], &[0]].concat(),
            &vec![7; 100_000],
        ] {
            wrong.push(verification(&request, bytes));
        }
        for request in wrong {
            let verdict = verify(&client, request).await.unwrap();
            assert_eq!((verdict.valid, verdict.name.as_str()), (false, ""));
        }
        let mut version = right.clone();
        version.name.push_str("/versions/1");
        assert!(verify(&client, version.clone()).await.unwrap().valid);
        version.name.replace_range(version.name.len() - 1.., "2");
        let refusal = verify(&client, version).await.unwrap_err();
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::NotFound, "KEY_VERSION_NOT_FOUND")
        );
    }
    // PSS is not PKCS#1, and another key is another key.
    let request = message("rsa", A::Rs256, b"message");
    let signature = sign(&client, request.clone()).await.unwrap().signature;
    let pss = VerifyRequest {
        algorithm: A::Ps256.into(),
        ..verification(&request, &signature)
    };
    assert!(!verify(&client, pss).await.unwrap().valid);
    let request = message("p256", A::Es256, b"message");
    let signature = sign(&client, request.clone()).await.unwrap().signature;
    let other = VerifyRequest {
        name: "keys/p256-other".to_owned(),
        ..verification(&request, &signature)
    };
    assert!(!verify(&client, other).await.unwrap().valid);
}
