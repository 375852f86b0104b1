//! What gets no signature, and the words for it: one by one, in a batch, and when the key must not be known of.

use chancery::{
    client::{Code, checksum},
    proto::v1::{
        Algorithm as A, BatchSignRequest, SignRequest, VerifyRequest, sign_result::Result as Item,
    },
};

use super::{
    DAEMON,
    chunks::{chunk, header},
    client_with, sign, verify,
};
use crate::{
    calls::{digest, message, verification},
    harness::{Refusal, Shared},
};

/// One table for Sign, Verify and a batch, which must say the same.
#[tokio::test]
async fn bad_requests_say_what_is_wrong() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["rsa", "p256", "ed25519"]).await;
    let rsa = || message("rsa", A::Rs256, b"message");
    let ec = || message("p256", A::Es256, b"message");
    let both = SignRequest {
        digest: Some(vec![0; 32].into()),
        ..rsa()
    };
    let neither = SignRequest {
        message: None,
        ..rsa()
    };
    let named = |name: &str| SignRequest {
        name: name.to_owned(),
        ..rsa()
    };
    let with = |algorithm: i32| SignRequest { algorithm, ..rsa() };
    let encoded = |request: SignRequest, encoding: i32| SignRequest {
        ecdsa_encoding: encoding,
        ..request
    };
    let invalid = Code::InvalidArgument;
    let mut cases = vec![
        (both, invalid, "INPUT_AMBIGUOUS"),
        (neither, invalid, "INPUT_MISSING"),
        (
            digest("ed25519", A::Eddsa, &[0; 64]),
            invalid,
            "DIGEST_NOT_TAKEN",
        ),
        (
            digest("mac", A::Hs256, &[0; 32]),
            invalid,
            "DIGEST_NOT_TAKEN",
        ),
        (with(0), invalid, "ALGORITHM_UNSPECIFIED"),
        (with(99), invalid, "ALGORITHM_UNKNOWN"),
        (with(-1), invalid, "ALGORITHM_UNKNOWN"),
        (with(A::Es256.into()), invalid, "ECDSA_ENCODING_UNSPECIFIED"),
        (with(A::Eddsa.into()), invalid, "ALGORITHM_NOT_ALLOWED"),
        (with(A::RsaOaep256.into()), invalid, "ALGORITHM_NOT_ALLOWED"),
        (
            message("p256", A::Es384, b"x"),
            invalid,
            "ALGORITHM_NOT_ALLOWED",
        ),
        (
            message("mac", A::Rs256, b"x"),
            invalid,
            "ALGORITHM_NOT_ALLOWED",
        ),
        (encoded(ec(), 0), invalid, "ECDSA_ENCODING_UNSPECIFIED"),
        (encoded(ec(), 3), invalid, "ECDSA_ENCODING_UNKNOWN"),
        (encoded(rsa(), 1), invalid, "ECDSA_ENCODING_NOT_TAKEN"),
        (encoded(rsa(), 2), invalid, "ECDSA_ENCODING_NOT_TAKEN"),
        (encoded(rsa(), -5), invalid, "ECDSA_ENCODING_UNKNOWN"),
        (named("keys/nobodys"), Code::NotFound, "KEY_NOT_FOUND"),
        (
            named("keys/rsa/versions/9"),
            Code::NotFound,
            "KEY_VERSION_NOT_FOUND",
        ),
        (named(""), invalid, "KEY_NAME_INVALID"),
        (named("rsa"), invalid, "KEY_NAME_INVALID"),
        (named(&"keys/".repeat(1000)), invalid, "KEY_NAME_INVALID"),
        (
            SignRequest {
                input_crc32c: Some(0),
                ..rsa()
            },
            invalid,
            "CHECKSUM_MISMATCH",
        ),
        (SignRequest::default(), invalid, "KEY_NAME_INVALID"),
    ];
    for (algorithm, length) in [(A::Rs256, 32), (A::Ps384, 48), (A::Rs512, 64)] {
        for wrong in [0, 1, 20, 32, 48, 64, 65]
            .into_iter()
            .filter(|wrong| *wrong != length)
        {
            cases.push((
                digest("rsa", algorithm, &vec![0; wrong]),
                invalid,
                "DIGEST_LENGTH",
            ));
        }
    }
    cases.push((digest("p256", A::Es256, &[0; 31]), invalid, "DIGEST_LENGTH"));
    let requests: Vec<_> = cases.iter().map(|(request, ..)| request.clone()).collect();
    let batch = client
        .signing()
        .batch_sign(BatchSignRequest { requests })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(batch.results.len(), cases.len());
    for ((request, code, reason), item) in cases.into_iter().zip(batch.results) {
        let refusal = sign(&client, request.clone()).await.unwrap_err();
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (code, reason),
            "{request:?}"
        );
        let Some(Item::Error(error)) = item.result else {
            panic!("{item:?}")
        };
        assert_eq!(
            (Code::from(error.code), error.reason, error.message),
            (code, reason.to_owned(), refusal.message)
        );
        assert_eq!(
            error
                .metadata
                .into_iter()
                .collect::<std::collections::BTreeMap<_, _>>(),
            refusal.metadata
        );
        let asked = VerifyRequest {
            input_crc32c: request.input_crc32c,
            ..verification(&request, &[1; 64])
        };
        let refusal = verify(&client, asked).await.unwrap_err();
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (code, reason),
            "{request:?}"
        );
    }
}

#[tokio::test]
async fn checksums_are_looked_at_and_said_to_be() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["p256"]).await;
    for request in [
        message("p256", A::Es256, b"message"),
        digest("p256", A::Es256, &[7; 32]),
    ] {
        let input = request
            .message
            .clone()
            .or_else(|| request.digest.clone())
            .unwrap();
        let right = SignRequest {
            input_crc32c: Some(checksum(&input)),
            ..request.clone()
        };
        let response = sign(&client, right).await.unwrap();
        assert!(response.verified_input_crc32c);
        let wrong = SignRequest {
            input_crc32c: Some(checksum(&input) ^ 1),
            ..request.clone()
        };
        assert_eq!(
            sign(&client, wrong).await.unwrap_err().reason,
            "CHECKSUM_MISMATCH"
        );
        let asked = verification(&request, &response.signature);
        let right = VerifyRequest {
            input_crc32c: Some(checksum(&input)),
            ..asked.clone()
        };
        let verdict = verify(&client, right).await.unwrap();
        assert!(verdict.valid && verdict.verified_input_crc32c);
        assert!(!verify(&client, asked).await.unwrap().verified_input_crc32c);
    }
}

/// Whether a key is there is not told to whom nothing is due: code, reason, text and details are alike.
#[tokio::test]
async fn a_refused_key_looks_like_one_that_is_not_there() {
    let daemon = Shared::get(&DAEMON);
    client_with(&daemon, &["p256", "rsa"]).await;
    for name in ["stranger", "verifier"] {
        let client = daemon.client(name);
        let ask = async |key: &str| {
            let mut answers = Vec::new();
            for request in [
                message(key, A::Es256, b"x"),
                message(key, A::Rs256, b"x"),
                digest(key, A::Es256, b"x"),
                SignRequest {
                    name: format!("keys/{key}/versions/1"),
                    ..message(key, A::Hs256, b"x")
                },
                SignRequest {
                    name: format!("keys/{key}/versions/7"),
                    ..message(key, A::Es256, b"x")
                },
            ] {
                answers.push(sign(&client, request).await.unwrap_err());
            }
            let chunks = client
                .signing()
                .sign_chunks(tokio_stream::iter([header(key, A::Rs256), chunk(b"x")]))
                .await;
            answers.push(Refusal::expect(chunks));
            let request = chancery::proto::v1::GetKeyRequest {
                name: format!("keys/{key}"),
            };
            answers.push(Refusal::expect(client.keys().get_key(request).await));
            let request = chancery::proto::v1::GetPublicKeyRequest {
                name: format!("keys/{key}/versions/1"),
            };
            answers.push(Refusal::expect(client.keys().get_public_key(request).await));
            let request = chancery::proto::v1::DecryptJweRequest {
                name: format!("keys/{key}"),
                jwe: "a.b.c.d.e".to_owned(),
            };
            answers.push(Refusal::expect(client.jose().decrypt_jwe(request).await));
            if name == "stranger" {
                let request = chancery::proto::v1::VerifyJwsRequest {
                    name: format!("keys/{key}"),
                    jws: "a.b.c".to_owned(),
                    ..Default::default()
                };
                answers.push(Refusal::expect(client.jose().verify_jws(request).await));
                answers.push(
                    verify(&client, verification(&message(key, A::Es256, b"x"), b""))
                        .await
                        .unwrap_err(),
                );
            }
            answers
        };
        for key in ["p256", "rsa", "mac"] {
            let there = ask(key).await;
            for (there, not_there) in there.into_iter().zip(ask("zzz").await) {
                assert_eq!(there.code, Code::PermissionDenied);
                let renamed = |text: &str| text.replace(key, "zzz");
                assert_eq!(renamed(&there.message), not_there.message);
                assert_eq!(there.reason, not_there.reason);
                let metadata = there
                    .metadata
                    .iter()
                    .map(|(name, value)| (name.clone(), renamed(value)));
                assert_eq!(
                    metadata.collect::<std::collections::BTreeMap<_, _>>(),
                    not_there.metadata
                );
            }
        }
    }
}
