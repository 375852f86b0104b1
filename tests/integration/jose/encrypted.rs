//! JWE: josekit opens what was made here and the other way round; the old padding, and compression with an end.

use chancery::{
    client::Code,
    proto::v1::{
        Algorithm as A, ContentEncryption as E, KeyType as T, encrypt_jwe_request::Recipient,
    },
};
use josekit::{
    jwe::{self, JweDecrypter, JweHeader},
    jwk::Jwk,
};
use serde_json::Value;

use super::{PEERS, encrypt, encrypter, encryption_name, open, public_jwk, sealed, secret};
use crate::{
    calls::{ENCRYPTIONS, create, create_once, public_key},
    harness::{Refusal, Shared},
};

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
