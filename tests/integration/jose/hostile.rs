//! What attackers send to keys that decrypt: thousands of broken messages, and one answer.

use std::collections::{BTreeMap, BTreeSet};

use chancery::{
    client::Code,
    proto::v1::{Algorithm as A, KeyType as T},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{PEERS, open, public_jwk, sealed, secret};
use crate::{
    calls::{base64url, create_once, unbase64url},
    harness::Shared,
};

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
