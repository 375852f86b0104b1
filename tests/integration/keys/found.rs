//! Keys that other tools made in the token: found, used, or refused by name.

use std::time::Duration;

use chancery::{
    client::Code,
    proto::v1::{Algorithm as A, KeyPurpose, KeyType as T},
};

use super::{DAEMON, generate, get, sign};
use crate::{
    calls::{OpenSsl, public_key},
    harness::Shared,
};

#[tokio::test]
async fn keys_of_other_tools_are_found_and_used() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    let openssl = OpenSsl::new();
    for (id, key_type, algorithms, local) in [
        // One use only, so nothing needs to be said.
        ("made-ec", T::EcP256, &[A::Es256][..], true),
        ("made-elsewhere", T::EcP384, &[A::Es384], true),
        ("declared-rsa", T::Rsa2048, &[A::Rs256], false),
    ] {
        let key = get(&client, id).await.unwrap();
        assert_eq!(key.r#type(), key_type);
        assert_eq!(key.purpose(), KeyPurpose::Sign);
        assert_eq!(key.algorithms().collect::<Vec<_>>(), algorithms);
        assert!(key.versions[0].adopted);
        // As the token says, not as one would like to have it.
        let custody = key.versions[0].attributes.unwrap();
        assert_eq!(
            (custody.local, custody.never_extractable),
            (Some(local), Some(local)),
            "{id}"
        );
        let signature = sign(&client, id, algorithms[0]).await.unwrap();
        let pem = public_key(&client, &key.name).await.pem;
        assert!(openssl.verifies(&pem, algorithms[0], b"message", &signature));
    }
    assert_eq!(
        get(&client, "made-elsewhere").await.unwrap().token,
        "second"
    );
    assert!(sign(&client, "declared-mac", A::Hs256).await.is_ok());
    let refusal = sign(&client, "declared-rsa", A::Ps256).await.unwrap_err();
    assert_eq!(refusal.reason, "ALGORITHM_NOT_ALLOWED");

    for (id, word) in [
        ("ambiguous-rsa", "[[keys]]"),
        ("shared", "more than one token"),
        ("twin", "twin"),
        ("late-twin", "late-twin"),
    ] {
        for refusal in [
            sign(&client, id, A::Es256).await.unwrap_err(),
            get(&client, id).await.unwrap_err(),
        ] {
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::FailedPrecondition, "KEY_UNUSABLE"),
                "{id}"
            );
            assert_eq!(refusal.metadata["key"], id);
            assert!(refusal.message.contains(word), "{id}: {}", refusal.message);
        }
    }
}

#[tokio::test]
async fn a_key_made_meanwhile_is_found_at_the_next_listing() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    let missing = sign(&client, "made-late", A::Es256).await.unwrap_err();
    assert_eq!(
        (missing.code, missing.reason.as_str()),
        (Code::NotFound, "KEY_NOT_FOUND")
    );

    generate(daemon.token(), "made-late", "EC:prime256v1", "77");

    // By every worker, not only by the one that listed. A listing may see it half made, or, of a SoftHSM that other
    // processes write to, not at all for a moment.
    let mut signed = 0;
    for _ in 0..200 {
        match sign(&client, "made-late", A::Es256).await.err() {
            None if signed == 20 => return,
            None => signed += 1,
            Some(refusal) => {
                assert!(
                    ["KEY_NOT_FOUND", "KEY_UNUSABLE", "REFUSED_BY_TOKEN"]
                        .contains(&refusal.reason.as_str()),
                    "{refusal:?}"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    panic!("signed {signed} times");
}
