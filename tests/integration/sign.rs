//! Signatures and MACs: every algorithm in every form, checked by others; streams; and what is refused.

use std::{io, sync::LazyLock, time::Duration};

use bytes::Bytes;
use chancery::{
    client::{Client, Code, SignChunksError, Status, checksum},
    proto::v1::{
        Algorithm as A, BatchSignRequest, EcdsaEncoding, KeyType as T, SignChunksHeader,
        SignChunksRequest, SignChunksResponse, SignRequest, SignResponse, StreamSignRequest,
        VerifyRequest, VerifyResponse, sign_chunks_request::Part, sign_result::Result as Item,
    },
};
use chancery_fault_module::control::{
    CONTROL_VARIABLE, Control, Function, MODULE_VARIABLE, module_path,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::{
    calls::{OpenSsl, create, create_once, digest, message, public_key, verification},
    harness::{ALLOW_TEST, Daemon, Refusal, Setup, Shared},
    softhsm::{Secret, Token},
};

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

/// What the gRPC library refuses by itself is told like everything else.
#[tokio::test]
async fn errors_of_the_protocol_have_a_reason_too() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["p256"]).await;
    let large = message("p256", A::Es256, &vec![0; (4 << 20) + 1]);
    let refusal = sign(&client, large.clone()).await.unwrap_err();
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::InvalidArgument, "REQUEST_TOO_LARGE")
    );
    let fits = message("p256", A::Es256, &vec![0; (4 << 20) - 100]);
    assert!(sign(&client, fits).await.is_ok());
    // In the middle of a stream, when the headers of the answer are long gone.
    let requests = [
        message("p256", A::Es256, b"x"),
        large,
        message("p256", A::Es256, b"x"),
    ];
    let requests = requests
        .into_iter()
        .enumerate()
        .map(|(id, request)| StreamSignRequest {
            id: id as u64,
            request: Some(request),
        });
    let mut answers = client
        .signing()
        .stream_sign(tokio_stream::iter(requests.collect::<Vec<_>>()))
        .await
        .unwrap()
        .into_inner();
    let last = loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended as if nothing had happened"),
            Err(status) => break Refusal::of(&status),
        }
    };
    assert_eq!(
        (last.code, last.reason.as_str()),
        (Code::InvalidArgument, "REQUEST_TOO_LARGE")
    );

    let unary = async |path: &'static str, body: Bytes| raw::call(&daemon, path, body).await;
    for (path, code, reason) in [
        (
            "/chancery.v1.SigningService/Forge",
            Code::Unimplemented,
            "METHOD_UNKNOWN",
        ),
        (
            "/chancery.v2.SigningService/Sign",
            Code::Unimplemented,
            "METHOD_UNKNOWN",
        ),
        ("/", Code::Unimplemented, "METHOD_UNKNOWN"),
        (
            "/chancery.v1.SigningService/Sign",
            Code::InvalidArgument,
            "REQUEST_MALFORMED",
        ),
        (
            "/chancery.v1.KeyService/ListKeys",
            Code::InvalidArgument,
            "REQUEST_MALFORMED",
        ),
    ] {
        let refusal = Refusal::of(
            &unary(path, Bytes::from_static(&[0xff; 9]))
                .await
                .unwrap_err(),
        );
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (code, reason),
            "{path}"
        );
    }
}

/// Calls whose bytes are not those of any generated stub.
mod raw {
    use bytes::{Buf, BufMut, Bytes};
    use chancery::client::Status;
    use tonic::{
        client::Grpc,
        codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
        transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
    };

    use crate::harness::Daemon;

    pub(super) async fn call(
        daemon: &Daemon,
        path: &'static str,
        body: Bytes,
    ) -> Result<Bytes, Status> {
        let config = daemon.client_config(&daemon.certificate("test"));
        let read = |path| std::fs::read(path).unwrap();
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(config.ca)))
            .identity(Identity::from_pem(
                read(config.certificate),
                read(config.key),
            ))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(config.address).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
        let mut grpc = Grpc::new(channel);
        grpc.ready().await.unwrap();
        let request = tonic::Request::new(body);
        let answer = grpc.unary(request, path.parse().unwrap(), Plain).await;
        answer.map(tonic::Response::into_inner)
    }

    #[derive(Clone, Copy)]
    struct Plain;

    impl Codec for Plain {
        type Encode = Bytes;
        type Decode = Bytes;
        type Encoder = Self;
        type Decoder = Self;

        fn encoder(&mut self) -> Self {
            *self
        }

        fn decoder(&mut self) -> Self {
            *self
        }
    }

    impl Encoder for Plain {
        type Item = Bytes;
        type Error = Status;

        fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
            buffer.put(item);
            Ok(())
        }
    }

    impl Decoder for Plain {
        type Item = Bytes;
        type Error = Status;

        fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
            Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
        }
    }
}

#[tokio::test]
async fn a_deadline_is_kept_and_costs_nothing() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["p256", "rsa"]).await;
    let workers = daemon.worker_pids();
    for microseconds in [1, 10, 100, 300] {
        for _ in 0..25 {
            let mut request = tonic::Request::new(message("rsa", A::Rs256, b"message"));
            request.set_timeout(Duration::from_micros(microseconds));
            match client.signing().sign(request).await {
                // The client's own clock may be first.
                Err(status) => {
                    let shown = format!("{status:?}");
                    let failure = chancery::client::Failure::from(status);
                    assert_eq!(
                        (failure.code, failure.reason.as_str()),
                        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
                        "{shown}"
                    );
                }
                Ok(_) => assert!(microseconds > 10, "a signature in {microseconds} us"),
            }
            // So that the daemon has seen the end of it: of many at once that end before it has looked, it thinks badly,
            // and hangs up.
            sign(&client, message("p256", A::Es256, b"message"))
                .await
                .unwrap();
        }
    }
    assert!(
        sign(&client, message("p256", A::Es256, b"message"))
            .await
            .is_ok()
    );
    assert_eq!(daemon.worker_pids(), workers);
}

#[tokio::test]
async fn a_batch_keeps_its_order_whatever_is_in_it() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["p256"]).await;
    let batch = async |requests| {
        let response = client
            .signing()
            .batch_sign(BatchSignRequest { requests })
            .await;
        response.map(|response| response.into_inner().results)
    };
    for size in [0, 1001] {
        let requests = vec![message("mac", A::Hs256, b"x"); size];
        let refusal = Refusal::expect(batch(requests).await);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::InvalidArgument, "BATCH_SIZE_INVALID")
        );
    }
    for size in [1, 2, 3, 999, 1000_usize] {
        let texts: Vec<_> = (0..size)
            .map(|index| index.to_string().into_bytes())
            .collect();
        let requests = texts
            .iter()
            .enumerate()
            .map(|(index, text)| match index % 7 {
                3 => message("nobodys", A::Hs256, text),
                5 => message("mac", A::Rs256, text),
                _ => message("mac", A::Hs256, text),
            });
        let results = batch(requests.collect()).await.unwrap();
        assert_eq!(results.len(), size);
        for (index, (result, text)) in results.into_iter().zip(&texts).enumerate() {
            match (index % 7, result.result.unwrap()) {
                (3, Item::Error(error)) => assert_eq!(error.reason, "KEY_NOT_FOUND"),
                (5, Item::Error(error)) => assert_eq!(error.reason, "ALGORITHM_NOT_ALLOWED"),
                (0 | 1 | 2 | 4 | 6, Item::Response(response)) => {
                    assert_eq!(response.signature, mac(A::Hs256, text));
                    assert_eq!(response.signature_crc32c, checksum(&response.signature));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_stream_answers_each_request_once() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["p256"]).await;
    let (requests, outgoing) = mpsc::channel(16);
    let sender = tokio::spawn(async move {
        for id in 0..2000_u64 {
            let text = id.to_string().into_bytes();
            let request = match id % 10 {
                4 => Some(message("nobodys", A::Hs256, &text)),
                7 => None,
                9 => Some(SignRequest {
                    ecdsa_encoding: EcdsaEncoding::Raw.into(),
                    ..message("p256", A::Es256, &text)
                }),
                _ => Some(message("mac", A::Hs384, &text)),
            };
            requests
                .send(StreamSignRequest {
                    id: id ^ (1 << 63),
                    request,
                })
                .await
                .unwrap();
        }
    });
    let answers = client
        .signing()
        .stream_sign(ReceiverStream::new(outgoing))
        .await
        .unwrap();
    let answers: Vec<_> = answers.into_inner().collect().await;
    sender.await.unwrap();
    assert_eq!(answers.len(), 2000);
    let mut seen = std::collections::BTreeSet::new();
    for answer in answers {
        let answer = answer.unwrap();
        let id = answer.id ^ (1 << 63);
        assert!(id < 2000 && seen.insert(id));
        match (id % 10, answer.result.unwrap().result.unwrap()) {
            (4, Item::Error(error)) => assert_eq!(error.reason, "KEY_NOT_FOUND"),
            (7, Item::Error(error)) => assert_eq!(error.reason, "KEY_NAME_INVALID"),
            (9, Item::Response(response)) => assert_eq!(response.signature.len(), 64),
            (_, Item::Response(response)) => {
                assert_eq!(response.signature, mac(A::Hs384, id.to_string().as_bytes()))
            }
            other => panic!("{other:?}"),
        }
    }
}

fn header(key: &str, algorithm: A) -> SignChunksRequest {
    header_with(key, algorithm, None)
}

fn header_with(key: &str, algorithm: A, message_crc32c: Option<u32>) -> SignChunksRequest {
    SignChunksRequest {
        part: Some(Part::Header(SignChunksHeader {
            name: format!("keys/{key}"),
            algorithm: algorithm.into(),
            ecdsa_encoding: crate::calls::encoding(algorithm).into(),
            message_crc32c,
        })),
    }
}

fn chunk(bytes: &[u8]) -> SignChunksRequest {
    SignChunksRequest {
        part: Some(Part::Chunk(bytes.to_vec().into())),
    }
}

async fn sign_chunks(
    client: &Client,
    parts: Vec<SignChunksRequest>,
) -> Result<SignChunksResponse, Status> {
    let response = client
        .signing()
        .sign_chunks(tokio_stream::iter(parts))
        .await;
    response.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_message_in_chunks_is_the_message_whole() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["rsa", "p256", "p521"]).await;
    let openssl = OpenSsl::new();
    let text: Vec<u8> = (0..8_u32 << 18)
        .flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    assert_eq!(text.len(), 8 << 20);
    for (key, algorithm, size) in [
        ("rsa", A::Rs256, 1 << 20),
        ("rsa", A::Ps512, 999_983),
        ("p256", A::Es256, 65_536),
        ("p521", A::Es512, 3 << 20),
        ("mac", A::Hs256, 65_537),
        ("mac", A::Hs512, 4_000_000),
    ] {
        let crc = checksum(&text);
        let parts = std::iter::once(header_with(key, algorithm, Some(crc)))
            .chain(text.chunks(size).map(chunk));
        let response = sign_chunks(&client, parts.collect()).await.unwrap();
        assert_eq!(response.message_length, text.len() as u64);
        assert_eq!(response.name, format!("keys/{key}/versions/1"));
        assert_eq!(response.algorithm(), algorithm);
        assert_eq!(response.signature_crc32c, checksum(&response.signature));
        assert!(response.verified_message_crc32c);
        match algorithm {
            A::Hs256 | A::Hs512 => assert_eq!(response.signature, mac(algorithm, &text)),
            _ => {
                let pem = public_key(&client, &response.name).await.pem;
                assert!(openssl.verifies(&pem, algorithm, &text, &response.signature));
            }
        }
        if algorithm == A::Rs256 {
            let whole = sign(&client, digest(key, algorithm, &Sha256::digest(&text)))
                .await
                .unwrap();
            assert_eq!(whole.signature, response.signature);
        }
    }
    // Nothing at all is a message too, and so are empty chunks.
    for parts in [
        vec![header("mac", A::Hs256)],
        vec![header("mac", A::Hs256), chunk(b""), chunk(b"")],
    ] {
        let response = sign_chunks(&client, parts).await.unwrap();
        assert_eq!(
            (response.signature.to_vec(), response.message_length),
            (mac(A::Hs256, b""), 0)
        );
        assert!(!response.verified_message_crc32c);
    }
}

#[tokio::test]
async fn bad_chunks_make_no_signature() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &["rsa", "p256", "ed25519"]).await;
    let nothing = SignChunksRequest { part: None };
    for (parts, reason) in [
        (vec![], "HEADER_MISSING"),
        (vec![chunk(b"x")], "HEADER_MISSING"),
        (vec![nothing.clone()], "PART_MISSING"),
        (
            vec![header("rsa", A::Rs256), nothing.clone()],
            "PART_MISSING",
        ),
        (
            vec![header("mac", A::Hs256), chunk(b"x"), nothing],
            "PART_MISSING",
        ),
        (
            vec![header("rsa", A::Rs256), header("rsa", A::Rs256)],
            "HEADER_REPEATED",
        ),
        (
            vec![
                header("mac", A::Hs256),
                chunk(b"x"),
                header("mac", A::Hs256),
            ],
            "HEADER_REPEATED",
        ),
        (
            vec![header("ed25519", A::Eddsa), chunk(b"x")],
            "NOT_IN_CHUNKS",
        ),
        (
            vec![header_with("rsa", A::Rs256, Some(1)), chunk(b"x")],
            "CHECKSUM_MISMATCH",
        ),
        (
            vec![header_with("mac", A::Hs256, Some(1)), chunk(b"x")],
            "CHECKSUM_MISMATCH",
        ),
        (
            vec![header("nobodys", A::Rs256), chunk(b"x")],
            "KEY_NOT_FOUND",
        ),
        (
            vec![header("p256", A::Es384), chunk(b"x")],
            "ALGORITHM_NOT_ALLOWED",
        ),
        (
            vec![header("rsa", A::Unspecified), chunk(b"x")],
            "ALGORITHM_UNSPECIFIED",
        ),
        (
            vec![header("mac", A::Hs256), chunk(&vec![0; 5 << 20])],
            "REQUEST_TOO_LARGE",
        ),
    ] {
        let refusal = Refusal::expect(sign_chunks(&client, parts).await);
        assert_eq!(refusal.reason, reason);
    }
}

/// The token's own count of what it was asked tells whether anything was signed, and what was left open.
#[tokio::test]
async fn a_message_that_is_broken_off_is_never_signed() {
    let token = Token::new("main");
    token.import_secret("mac", &SECRET, Secret::Generic);
    let control = Control::create(&token.directory().join("control")).unwrap();
    let mut setup = Setup::new(token).tables(MAC).workers(1, 1);
    let seat = &mut setup.tokens[0];
    let module = seat.token.module_path().display().to_string();
    seat.module = Some(module_path());
    seat.environment.insert(MODULE_VARIABLE.to_owned(), module);
    seat.environment.insert(
        CONTROL_VARIABLE.to_owned(),
        control.path().display().to_string(),
    );
    let daemon = setup.start();
    let client = daemon.client("test");
    create(&client, "rsa", T::Rsa2048, &[A::Rs256]).await;
    let count = |functions: &[Function]| -> u32 {
        let calls = functions
            .iter()
            .map(|function| control.calls(*function).unwrap());
        calls.sum()
    };
    let ended = [Function::Sign, Function::SignFinal];
    // From then on the side lane, which checks the token's health, has its session.
    while count(&[Function::Digest]) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let open = || count(&[Function::OpenSession]) - count(&[Function::CloseSession]);
    let whole = async |key: &str, algorithm| {
        sign_chunks(&client, vec![header(key, algorithm), chunk(b"whole")])
            .await
            .unwrap()
    };
    whole("rsa", A::Rs256).await;
    assert_eq!(
        whole("mac", A::Hs256).await.signature,
        mac(A::Hs256, b"whole")
    );
    // Each MAC that was made asks for its length, too.
    let (signed, sessions) = (count(&ended), open());

    for round in 0..100 {
        let (key, algorithm) = [("mac", A::Hs256), ("rsa", A::Rs256)][round % 2];
        let (parts, outgoing) = mpsc::channel(4);
        parts.send(header(key, algorithm)).await.unwrap();
        let broken = client.clone();
        let call = tokio::spawn(async move {
            broken
                .signing()
                .sign_chunks(ReceiverStream::new(outgoing))
                .await
        });
        for _ in 0..round % 5 {
            parts.send(chunk(&[7; 10_000])).await.unwrap();
        }
        while parts.capacity() < 4 {
            tokio::task::yield_now().await;
        }
        if round % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Dropping the call resets the stream (RST_STREAM, CANCEL).
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }

    // All of the hundred are over once nothing of them is open; then one more shows that all is well.
    for _ in 0..500 {
        if open() == sessions {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(open(), sessions, "sessions of broken MACs are left open");
    assert_eq!(
        count(&ended),
        signed,
        "a message that was broken off was signed"
    );
    assert_eq!(
        whole("mac", A::Hs256).await.signature,
        mac(A::Hs256, b"whole")
    );
    assert_eq!(daemon.worker_pids().len(), 1);
}

/// Memory stays what it was: neither the daemon nor the token sees more than a chunk at a time.
#[tokio::test]
async fn a_long_message_is_signed_in_constant_memory() {
    let daemon = Shared::get(&DAEMON);
    let client = client_with(&daemon, &[]).await;
    let header = |algorithm: A| SignChunksHeader {
        name: "keys/mac".to_owned(),
        algorithm: algorithm.into(),
        ..SignChunksHeader::default()
    };
    let small = client
        .sign_chunks(header(A::Hs256), io::Cursor::new(vec![0; 8 << 20]))
        .await
        .unwrap();
    assert_eq!(small.signature, mac(A::Hs256, &vec![0; 8 << 20]));
    let before = daemon.resident_kib();

    let message = io::Read::take(io::repeat(0), LONG);
    let signed = client.sign_chunks(header(A::Hs256), message).await.unwrap();

    assert_eq!(signed.message_length, LONG);
    let grown = daemon.resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB more");
    // By a C library, for its speed.
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &SECRET);
    let mut expected = aws_lc_rs::hmac::Context::with_key(&key);
    for _ in 0..LONG >> 20 {
        expected.update(&[0; 1 << 20]);
    }
    assert_eq!(signed.signature, expected.sign().as_ref());
    // A reader that fails half-way makes no signature.
    let broken = io::Read::chain(io::Cursor::new(vec![0; 1 << 20]), Broken);
    let error = client
        .sign_chunks(header(A::Hs256), broken)
        .await
        .unwrap_err();
    assert!(matches!(error, SignChunksError::Input(_)), "{error:?}");
}

struct Broken;

impl io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("broken"))
    }
}

/// A quarter of a gibibyte: unoptimised hashing on both sides makes a whole one too slow for every day.
const LONG: u64 = 256 << 20;
