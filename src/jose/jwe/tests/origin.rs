//! Messages whose content key proves its origin: made with another library's private operation, and what is refused.

use std::sync::LazyLock;

use rsa::{
    Pkcs1v15Sign, RsaPrivateKey, pkcs8::EncodePublicKey, rand_core::OsRng, traits::PublicKeyParts,
};
use serde_json::json;

use super::*;
use crate::{jose::HeaderError, key::PublicKey};

static KEY: LazyLock<RsaPrivateKey> =
    LazyLock::new(|| RsaPrivateKey::new(&mut OsRng, 2048).unwrap());

fn public(key: &RsaPrivateKey) -> PublicKey {
    let spki = key.to_public_key().to_public_key_der().unwrap();
    PublicKey::from_spki(spki.as_bytes()).unwrap()
}

fn made(encryption: ContentEncryption, plaintext: &[u8], compress: bool) -> String {
    let draft = OriginDraft::new(encryption, plaintext, "{\"typ\":\"JOSE\"}", compress).unwrap();
    let proof = KEY.sign(Pkcs1v15Sign::new_unprefixed(), draft.content_key());
    draft.finish(&proof.unwrap()).unwrap()
}

fn cause(text: &str, key: &PublicKey) -> Cause {
    let failure = Jwe::parse(text).and_then(|jwe| jwe.recovered_with(key));
    let failure = failure.err().unwrap();
    assert_eq!(failure.to_string(), TEXT);
    failure.cause
}

#[test]
fn what_the_private_key_proves_the_public_key_opens() {
    for encryption in ContentEncryption::ALL {
        if encryption.key_len() > 32 {
            let refused = OriginDraft::new(encryption, b"", "{}", false).err();
            let algorithm = Algorithm::Rsa15Private;
            let expected = HeaderError::Combination(algorithm, encryption);
            assert_eq!(refused, Some(EncryptError::Header(expected)));
            continue;
        }
        for compress in [false, true] {
            let text = made(encryption, b"{\"amount\":20.00}", compress);
            let jwe = Jwe::parse(&text).unwrap();
            let opened = jwe.recovered_with(&public(&KEY)).unwrap();
            assert_eq!(opened.plaintext.as_slice(), b"{\"amount\":20.00}");
            let header: Value = serde_json::from_str(&opened.protected_header).unwrap();
            assert_eq!(header["alg"], "RSA1_5-PRIVATE");
            assert_eq!(header["enc"], encryption.name());
            assert_eq!(header["typ"], "JOSE");
            assert_eq!(header.get("zip").is_some(), compress);
            assert_eq!(KEY.size(), 256);
        }
    }
}

#[test]
fn all_else_is_refused() {
    let key = public(&KEY);
    let text = made(ContentEncryption::A128Gcm, b"plaintext", false);
    let parts: Vec<_> = text.split('.').collect();
    let with = |index: usize, part: &str| {
        let mut parts = parts.clone();
        parts[index] = part;
        parts.join(".")
    };
    let header = |header: Value| with(0, &base64url::encode(header.to_string().as_bytes()));

    let other = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
    assert_eq!(cause(&text, &public(&other)), Cause::Content);
    let ed25519 = PublicKey::from_ed25519(&[1; 32]).unwrap();
    assert_eq!(cause(&text, &ed25519), Cause::Content);
    // The name of what is encrypted to a public key is no name of this.
    for (alg, enc, expected) in [
        ("RSA1_5", "A128GCM", Cause::Algorithm),
        ("RSA-OAEP-256", "A128GCM", Cause::Algorithm),
        ("dir", "A128GCM", Cause::Algorithm),
        ("RSA1_5-PRIVATE", "A256CBC-HS512", Cause::ContentEncryption),
        ("RSA1_5-PRIVATE", "none", Cause::ContentEncryption),
        // As long an IV and tag, and a content key of another length: the AAD is another too.
        ("RSA1_5-PRIVATE", "A256GCM", Cause::Content),
        ("RSA1_5-PRIVATE", "A128CBC-HS256", Cause::Length),
    ] {
        let text = header(json!({"alg": alg, "enc": enc}));
        assert_eq!(cause(&text, &key), expected, "{alg} {enc}");
    }
    assert_eq!(
        cause(&with(1, ""), &key),
        Cause::Content,
        "no encrypted key"
    );
    for (index, expected) in [
        (1, Cause::Content),
        (3, Cause::Content),
        (4, Cause::Content),
    ] {
        let mut bytes = base64url::decode(parts[index]).unwrap();
        bytes[3] ^= 1;
        let text = with(index, &base64url::encode(&bytes));
        assert_eq!(cause(&text, &key), expected, "{index}");
    }
    assert_eq!(cause(&with(2, "AAAA"), &key), Cause::Length);

    // As JSON, for two.
    let recipient = json!({"encrypted_key": parts[1]});
    let general = |count: usize| {
        json!({
            "protected": parts[0], "iv": parts[2], "ciphertext": parts[3], "tag": parts[4],
            "recipients": vec![recipient.clone(); count],
        })
        .to_string()
    };
    let jwe = Jwe::parse(&general(1)).unwrap();
    assert!(jwe.recovered_with(&key).is_ok());
    assert_eq!(cause(&general(2), &key), Cause::NoRecipient);

    // More comes out of it than is read.
    let bomb = made(ContentEncryption::A128Gcm, &vec![0; 32 << 20], true);
    assert_eq!(cause(&bomb, &key), Cause::Compression);
}
