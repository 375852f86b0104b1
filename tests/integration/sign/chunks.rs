//! A message that comes in chunks: signed as if it came whole, never when it is broken off, and in constant memory.

use std::{
    io,
    time::{Duration, Instant},
};

use chancery::{
    client::{Client, SignChunksError, Status, checksum},
    proto::v1::{
        Algorithm as A, KeyType as T, KeyVersionState, SignChunksHeader, SignChunksRequest,
        SignChunksResponse, sign_chunks_request::Part,
    },
};
use chancery_fault_module::control::{
    CONTROL_VARIABLE, Control, Function, MODULE_VARIABLE, module_path,
};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{DAEMON, MAC, SECRET, client_with, mac, sign};
use crate::{
    audited::{events, log_of, records},
    calls::{OpenSsl, create, digest, public_key},
    harness::{ALLOW_TEST, Refusal, Setup, Shared},
    repeated::{put, turn},
    softhsm::{Secret, Token},
};

pub(super) fn header(key: &str, algorithm: A) -> SignChunksRequest {
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

pub(super) fn chunk(bytes: &[u8]) -> SignChunksRequest {
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
    let mut setup = Setup::new(token)
        .tables(MAC)
        .rare_checkpoints()
        .workers(1, 1);
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
    let none = count(&ended);
    whole("rsa", A::Rs256).await;
    let one_rsa = count(&ended) - none;
    assert_eq!(
        whole("mac", A::Hs256).await.signature,
        mac(A::Hs256, b"whole")
    );
    // Each MAC that was made asks for its length, too.
    let (signed, sessions) = (count(&ended), open());

    for round in 0..100 {
        // An identity has eight places for MACs; those that were broken off give theirs back.
        let deadline = Instant::now() + Duration::from_secs(60);
        client.all_keys().await.unwrap();
        while open() >= sessions + 3 {
            assert!(Instant::now() < deadline, "sessions are left open");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
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

    // One more, on the same connection: by then the daemon knows of all of the hundred.
    whole("rsa", A::Rs256).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while open() != sessions {
        assert!(
            Instant::now() < deadline,
            "sessions of broken MACs are left open: {} and {sessions}",
            open()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        count(&ended),
        signed + one_rsa,
        "a message that was broken off was signed"
    );
    assert_eq!(
        whole("mac", A::Hs256).await.signature,
        mac(A::Hs256, b"whole")
    );
    assert_eq!(daemon.worker_pids().len(), 1);
}

/// Days may lie between the first chunk and the last: what must not be signed any more is not.
#[tokio::test]
async fn what_is_no_longer_allowed_at_the_end_is_not_signed() {
    let token = Token::new("main");
    token.import_secret("mac", &SECRET, Secret::Generic);
    let daemon = Setup::new(token).tables(MAC).start();
    let client = daemon.client("test");
    create(&client, "p256", T::EcP256, &[A::Es256]).await;
    let keys = [("p256", A::Es256), ("mac", A::Hs256)];
    let text = vec![7; 16 << 20];
    // What was sent is more than what lies on the way: the daemon has begun with each.
    let begin = async || {
        let mut begun = Vec::new();
        for (key, algorithm) in keys {
            let (parts, outgoing) = mpsc::channel(1);
            let client = client.clone();
            let outgoing = ReceiverStream::new(outgoing);
            let call = tokio::spawn(async move { client.signing().sign_chunks(outgoing).await });
            parts.send(header(key, algorithm)).await.unwrap();
            for part in text.chunks(1 << 20) {
                parts.send(chunk(part)).await.unwrap();
            }
            begun.push((key, parts, call));
        }
        begun
    };
    let version = |key| format!("keys/{key}/versions/1");

    let begun = begin().await;
    for (key, _) in keys {
        turn(&client, &version(key), KeyVersionState::Disabled).await;
    }
    for (key, parts, call) in begun {
        drop(parts);
        let refusal = Refusal::expect(call.await.unwrap());
        assert_eq!(refusal.reason, "KEY_VERSION_DISABLED", "{key}");
        turn(&client, &version(key), KeyVersionState::Enabled).await;
    }

    let begun = begin().await;
    let without = ALLOW_TEST.replace(r#""sign", "#, "");
    assert_ne!(without, ALLOW_TEST);
    put(&daemon, &without);
    for (key, parts, call) in begun {
        drop(parts);
        let refusal = Refusal::expect(call.await.unwrap());
        assert_eq!(refusal.reason, "PERMISSION_DENIED", "{key}");
    }

    // And a limit that has come since.
    put(&daemon, ALLOW_TEST);
    let begun = begin().await;
    let limited = r#"[[rules]]
name = "short"
identities = ["spiffe://chancery.test/test"]
keys = ["*"]
operations = ["sign"]
algorithms = ["*"]
max_bytes = 1048576
"#;
    put(&daemon, &format!("{without}{limited}"));
    for (key, parts, call) in begun {
        drop(parts);
        let refusal = Refusal::expect(call.await.unwrap());
        assert_eq!(refusal.reason, "POLICY_LIMIT_SIZE", "{key}");
    }

    // What is too long on its way is refused there; of what the token had begun the log says that it failed.
    let before = events(&records(&log_of(&daemon)), "outcome").len();
    let long = vec![
        header("mac", A::Hs256),
        chunk(&text[..1 << 20]),
        chunk(b"x"),
    ];
    let refusal = Refusal::expect(sign_chunks(&client, long).await);
    assert_eq!(refusal.reason, "POLICY_LIMIT_SIZE");
    let records = records(&log_of(&daemon));
    let outcomes = events(&records, "outcome");
    assert_eq!(outcomes.len(), before + 1);
    let last = &outcomes[before]["result"];
    assert_eq!(last["failed"], "PERMISSION_DENIED", "{last}");

    put(&daemon, ALLOW_TEST);
    let mut begun = begin().await;
    let (_, parts, call) = begun.pop().unwrap();
    drop(parts);
    let signed = call.await.unwrap().unwrap().into_inner();
    assert_eq!(signed.signature, mac(A::Hs256, &text));
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
