//! What makes no key: purposes, types, algorithms and names that do not go together or are taken.

use chancery::{
    client::{Client, Code},
    proto::v1::{Algorithm as A, CreateKeyRequest, GetPublicKeyRequest, KeyPurpose, KeyType as T},
};

use super::{DAEMON, get, sign};
use crate::{
    calls::{ALGORITHMS, create, new_key, purpose},
    harness::{Refusal, Shared},
};

async fn refused_key(client: &Client, request: CreateKeyRequest) -> Refusal {
    Refusal::expect(client.keys().create_key(request).await)
}

/// Purpose, type and algorithms of every wrong pair, and the lists that must or must not be there.
#[tokio::test]
async fn what_makes_no_key_is_refused_before_the_token_is_asked() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    let types = [
        (
            T::Rsa2048,
            &[
                A::Rs256,
                A::Rs384,
                A::Rs512,
                A::Ps256,
                A::Ps384,
                A::Ps512,
                A::RsaOaep,
                A::RsaOaep256,
                A::RsaOaep256Mgf1Sha1,
                A::Rsa15,
                A::Rsa15Private,
            ][..],
        ),
        (
            T::EcP256,
            &[A::Es256, A::EcdhEs, A::EcdhEsA128kw, A::EcdhEsA256kw],
        ),
        (
            T::EcP384,
            &[A::Es384, A::EcdhEs, A::EcdhEsA128kw, A::EcdhEsA256kw],
        ),
        (
            T::EcP521,
            &[A::Es512, A::EcdhEs, A::EcdhEsA128kw, A::EcdhEsA256kw],
        ),
        (T::Ed25519, &[A::Eddsa]),
        (T::HmacSha256, &[A::Hs256]),
        (T::HmacSha384, &[A::Hs256, A::Hs384]),
        (T::HmacSha512, &[A::Hs256, A::Hs384, A::Hs512]),
        (T::Aes128, &[A::A128kw, A::Dir]),
        (T::Aes256, &[A::A256kw, A::Dir]),
    ];
    let invalid = |request| {
        let client = &client;
        async move {
            let refusal = refused_key(client, request).await;
            assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
            assert_eq!(refusal.reason, "KEY_USAGE_INVALID", "{refusal:?}");
        }
    };
    // However often one is named: a million of them is not a key's usage.
    invalid(new_key("never", T::EcP256, &[A::Es256; 65])).await;
    for (key_type, fitting) in types {
        for algorithm in ALGORITHMS {
            if !fitting.contains(&algorithm) {
                invalid(new_key("never", key_type, &[algorithm])).await;
                invalid(new_key("never", key_type, &[fitting[0], algorithm])).await;
                continue;
            }
            for other in [
                KeyPurpose::Sign,
                KeyPurpose::Mac,
                KeyPurpose::Decrypt,
                KeyPurpose::Wrap,
                KeyPurpose::ProveOrigin,
            ] {
                if other != purpose(algorithm) {
                    let mut request = new_key("never", key_type, &[algorithm]);
                    request.purpose = other.into();
                    invalid(request).await;
                }
            }
        }
    }
    let changed = |mut request: CreateKeyRequest, edit: fn(&mut CreateKeyRequest)| {
        edit(&mut request);
        request
    };
    let ec = || new_key("never", T::EcP256, &[A::Es256]);
    let wrap = || new_key("never", T::Aes128, &[A::A128kw]);
    invalid(changed(ec(), |key| key.algorithms.clear())).await;
    invalid(changed(ec(), |key| key.content_encryptions = vec![1])).await;
    invalid(changed(ec(), |key| key.compression_allowed = true)).await;
    invalid(changed(wrap(), |key| key.content_encryptions.clear())).await;
    invalid(changed(new_key("never", T::Aes128, &[A::Dir]), |key| {
        key.content_encryptions = vec![3]
    }))
    .await;
    invalid(new_key("never", T::Rsa2048, &[A::RsaOaep256, A::Rsa15])).await;
    invalid(new_key("never", T::Rsa2048, &[A::RsaOaep, A::RsaOaep256])).await;
    for (request, reason) in [
        (changed(ec(), |key| key.r#type = 0), "KEY_TYPE_UNSPECIFIED"),
        (changed(ec(), |key| key.r#type = 99), "KEY_TYPE_UNSPECIFIED"),
        (
            changed(ec(), |key| key.purpose = 0),
            "KEY_PURPOSE_UNSPECIFIED",
        ),
        (
            changed(ec(), |key| key.purpose = -1),
            "KEY_PURPOSE_UNSPECIFIED",
        ),
        (
            changed(ec(), |key| key.algorithms = vec![7, 0]),
            "ALGORITHM_UNSPECIFIED",
        ),
        (
            changed(ec(), |key| key.algorithms = vec![9999]),
            "ALGORITHM_UNKNOWN",
        ),
        (
            changed(wrap(), |key| key.content_encryptions = vec![0]),
            "CONTENT_ENCRYPTION_UNSPECIFIED",
        ),
        (
            changed(wrap(), |key| key.content_encryptions = vec![7]),
            "CONTENT_ENCRYPTION_UNSPECIFIED",
        ),
        (changed(ec(), |key| key.token.clear()), "TOKEN_UNKNOWN"),
        (
            changed(ec(), |key| key.token = "third".to_owned()),
            "TOKEN_UNKNOWN",
        ),
        (
            changed(ec(), |key| key.token = "../main".to_owned()),
            "TOKEN_UNKNOWN",
        ),
    ] {
        let refusal = refused_key(&client, request).await;
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::InvalidArgument, reason)
        );
    }
    assert_eq!(
        get(&client, "never").await.unwrap_err().reason,
        "KEY_NOT_FOUND"
    );
}

#[tokio::test]
async fn names_are_checked_and_never_taken_twice() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    let long = "a".repeat(65);
    for bad in [
        "",
        ".hidden",
        "-flag",
        "_x",
        "a/1",
        "a b",
        "a\0",
        "schlüssel",
        "keys/a",
        "a\n",
        &long,
    ] {
        let refusal = refused_key(&client, new_key(bad, T::EcP256, &[A::Es256])).await;
        assert_eq!(refusal.reason, "KEY_NAME_INVALID", "{bad:?}");
        let refusal = get(&client, bad).await.unwrap_err();
        assert_eq!(refusal.reason, "KEY_NAME_INVALID", "{bad:?}");
    }
    for bad in [
        "",
        "keys/",
        "key/a",
        "keys/a/versions/0",
        "keys/a/versions/01",
        "keys/a/versions/+1",
        "keys/a/versions/4294967296",
        "keys/a/versions/1/",
        "keys/a/1",
        "KEYS/a",
    ] {
        let request = GetPublicKeyRequest {
            name: bad.to_owned(),
        };
        let refusal = Refusal::expect(client.keys().get_public_key(request).await);
        assert_eq!(refusal.reason, "KEY_NAME_INVALID", "{bad:?}");
    }
    let longest = "Z".repeat(64);
    create(&client, &longest, T::EcP256, &[A::Es256]).await;
    assert!(sign(&client, &longest, A::Es256).await.is_ok());

    create(&client, "Twice", T::EcP256, &[A::Es256]).await;
    create(&client, "twice", T::EcP256, &[A::Es256]).await;
    let before = get(&client, "twice").await.unwrap();
    let again = refused_key(&client, new_key("twice", T::Ed25519, &[A::Eddsa])).await;
    assert_eq!(
        (again.code, again.reason.as_str()),
        (Code::AlreadyExists, "KEY_EXISTS")
    );
    assert_eq!(again.metadata["key"], "twice");
    // Also not in another token, nor that of a key which can't be used.
    for (id, token) in [
        ("twice", "second"),
        ("twin", "main"),
        ("twin", "second"),
        ("ambiguous-rsa", "main"),
        ("made-elsewhere", "main"),
    ] {
        let mut request = new_key(id, T::EcP256, &[A::Es256]);
        request.token = token.to_owned();
        assert_eq!(
            refused_key(&client, request).await.reason,
            "KEY_EXISTS",
            "{id}"
        );
    }
    assert_eq!(get(&client, "twice").await.unwrap(), before);
    // Of many who want one name at once, one gets it, and whoever is told that it exists can use it.
    let all = (0..8).map(|_| {
        let client = client.clone();
        async move {
            let request = new_key("raced", T::EcP256, &[A::Es256]);
            let made = client.keys().create_key(request).await;
            sign(&client, "raced", A::Es256).await.unwrap();
            made
        }
    });
    let results = futures_util::future::join_all(all).await;
    assert_eq!(
        results.iter().filter(|result| result.is_ok()).count(),
        1,
        "{results:?}"
    );
    for status in results.into_iter().filter_map(Result::err) {
        assert_eq!(Refusal::of(&status).reason, "KEY_EXISTS");
    }
}
