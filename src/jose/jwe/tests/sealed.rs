//! Messages made for others: another library opens them, and what does not go together is not made.

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::*;
use crate::{
    algorithm::{AesSize, Algorithm, ContentEncryption, Curve, KeyType, Purpose},
    jose::{
        HeaderError,
        testing::{Vector, public_key, sealing_token},
    },
    key::Usage,
};

#[test]
fn another_librarys_messages_open_for_every_alg_and_enc() {
    for algorithm in PUBLIC {
        let jwk = key_for(algorithm);
        let key_type = public_key(&jwk).key_type();
        for encryption in ContentEncryption::ALL {
            for compress in [false, true] {
                let text = encrypt(algorithm, encryption, compress);
                let usage = Usage::new(
                    key_type,
                    Purpose::Decrypt,
                    vec![algorithm],
                    vec![encryption],
                    compress,
                )
                .unwrap();
                let opened = open(&text, &jwk, &usage).unwrap_or_else(|error| {
                    panic!("{algorithm} {encryption}: {}", error.cause());
                });
                assert_eq!(*opened.plaintext, PLAINTEXT);
                let start = format!(
                    r#"{{"alg":"{algorithm}","enc":"{encryption}","kid":"k","typ":"x","apu":"QWxpY2U","apv":"Qm9i""#
                );
                assert!(
                    opened.protected_header.starts_with(&start),
                    "{}",
                    opened.protected_header
                );
            }
        }
    }
}

/// P-521 and P-384 coordinates and secrets that begin with zeros are as wide as all others: 64 of them
/// let one in four (P-521's top byte is 0 or 1: every second) begin so.
#[test]
fn agreement_on_the_wider_curves() {
    for (curve, scheme) in [
        (Curve::P384, &aws_lc_rs::agreement::ECDH_P384),
        (Curve::P521, &aws_lc_rs::agreement::ECDH_P521),
    ] {
        for _ in 0..32 {
            let key = aws_lc_rs::agreement::PrivateKey::generate(scheme).unwrap();
            let point = key.compute_public_key().unwrap();
            let public = crate::key::PublicKey::from_ec_point(curve, point.as_ref()).unwrap();
            let recipient = PublicRecipient::from_public_key(&public, None);
            let encryption = ContentEncryption::A192CbcHs384;
            let algorithm = Algorithm::EcdhEs;
            let text =
                encrypt_to_public(&recipient, algorithm, encryption, b"x", "", false).unwrap();
            let jwe = Jwe::parse(&text).unwrap();
            let usage = usage(KeyType::Ec(curve), algorithm, encryption);
            let opening = jwe.open(0, &usage).unwrap();
            let Step::Agree { point } = opening.step() else {
                panic!("ECDH-ES agrees");
            };
            let peer = aws_lc_rs::agreement::UnparsedPublicKey::new(scheme, point);
            let secret = aws_lc_rs::agreement::agree(&key, peer, (), |secret| {
                Ok(Zeroizing::new(secret.to_vec()))
            });
            assert_eq!(
                *opening.finish(Some(secret.unwrap())).unwrap().plaintext,
                b"x"
            );
        }
    }
}

/// What is made for a secret in the token is opened here, and by josekit.
#[test]
fn messages_for_secret_keys() {
    for (algorithm, size) in [
        (Algorithm::A128Kw, AesSize::Bits128),
        (Algorithm::A256Kw, AesSize::Bits256),
        (Algorithm::Dir, AesSize::Bits128),
        (Algorithm::Dir, AesSize::Bits256),
    ] {
        let key = vec![9; size.bytes()];
        let jwk = json!({"kty": "oct", "k": encode(&key)});
        let encryptions = match (algorithm, size) {
            (Algorithm::Dir, AesSize::Bits128) => vec![ContentEncryption::A128Gcm],
            (Algorithm::Dir, AesSize::Bits256) => vec![ContentEncryption::A256Gcm],
            _ => ContentEncryption::ALL.to_vec(),
        };
        for encryption in encryptions {
            for compress in [false, true] {
                let header = r#"{"typ":"x"}"#;
                let kid = Some("k");
                let draft = SealDraft::new(algorithm, encryption, kid, PLAINTEXT, header, compress);
                let draft = draft.unwrap();
                let result = sealing_token(&key, encryption, &draft.step());
                let text = draft.finish(&result).unwrap();
                let usage = Usage::new(
                    KeyType::Aes(size),
                    algorithm.purpose(),
                    vec![algorithm],
                    vec![encryption],
                    compress,
                );
                let opened = open(&text, jwk.as_object().unwrap(), &usage.unwrap()).unwrap();
                assert_eq!(*opened.plaintext, PLAINTEXT);
                let zip = if compress { r#","zip":"DEF""# } else { "" };
                assert_eq!(
                    opened.protected_header,
                    format!(
                        r#"{{"alg":"{algorithm}","enc":"{encryption}","kid":"k","typ":"x"{zip}}}"#
                    )
                );
                let decrypter: Box<dyn josekit::jwe::JweDecrypter> = match algorithm {
                    Algorithm::A128Kw => {
                        Box::new(josekit::jwe::A128KW.decrypter_from_bytes(&key).unwrap())
                    }
                    Algorithm::A256Kw => {
                        Box::new(josekit::jwe::A256KW.decrypter_from_bytes(&key).unwrap())
                    }
                    _ => Box::new(josekit::jwe::Dir.decrypter_from_bytes(&key).unwrap()),
                };
                let (plaintext, _) = josekit::jwe::deserialize_compact(&text, &*decrypter).unwrap();
                assert_eq!(plaintext, PLAINTEXT);
            }
        }
    }
    let new =
        |algorithm, encryption| SealDraft::new(algorithm, encryption, None, b"x", "", false).err();
    for (algorithm, encryption) in [
        (Algorithm::Dir, ContentEncryption::A128CbcHs256),
        (Algorithm::RsaOaep, ContentEncryption::A128Gcm),
        (Algorithm::Dir, ContentEncryption::A192Gcm),
    ] {
        let expected = HeaderError::Combination(algorithm, encryption);
        assert_eq!(new(algorithm, encryption), Some(expected.into()));
    }
    let draft = SealDraft::new(
        Algorithm::A128Kw,
        ContentEncryption::A128Gcm,
        None,
        b"",
        "",
        false,
    );
    assert_eq!(
        draft.unwrap().finish(&[0; 16]),
        Err(EncryptError::Result {
            given: 16,
            expected: 24
        })
    );
}

#[test]
fn recipients_are_read_strictly() {
    let vector = Vector::named("jwe", "rfc7520-5.4");
    let mut public = vector.jwk().clone();
    public.remove("d");
    let read = |changes: Value| {
        let mut jwk = public.clone();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => jwk.remove(name),
                value => jwk.insert(name.clone(), value.clone()),
            };
        }
        PublicRecipient::from_jwk(&Value::Object(jwk).to_string())
    };
    let recipient = read(json!({})).unwrap();
    assert_eq!(
        recipient.key_id(),
        Some("peregrin.took@tuckborough.example")
    );
    assert_eq!(recipient.key(), &public_key(vector.jwk()));
    for good in [
        json!({"use": null}),
        json!({"key_ops": []}),
        json!({"key_ops": ["deriveBits"]}),
        json!({"alg": "ECDH-ES"}),
    ] {
        assert!(read(good.clone()).is_ok(), "{good}");
    }
    let x = public["x"].as_str().unwrap();
    for bad in [
        json!({"d": "AQ"}),
        json!({"k": "AQ"}),
        json!({"use": "sig"}),
        json!({"use": 1}),
        json!({"key_ops": ["sign"]}),
        json!({"key_ops": "deriveKey"}),
        json!({"alg": "ECDH-ES+A192KW"}),
        json!({"crv": "P-256"}),
        json!({"crv": "secp256k1"}),
        json!({"crv": null}),
        json!({"kty": "OKP"}),
        json!({"kty": null}),
        json!({"x": null}),
        json!({"x": format!("{x}=")}),
        json!({"x": format!("AAAA{x}")}),
        json!({"x": public["y"]}),
        json!({"kid": 1}),
    ] {
        assert!(read(bad.clone()).is_err(), "{bad}");
    }
    assert!(PublicRecipient::from_jwk(r#"{"kty":"EC","kty":"RSA"}"#).is_err());
    let small = json!({"kty": "RSA", "e": "AQAB", "n": encode([0xff; 128])}).to_string();
    assert!(PublicRecipient::from_jwk(&small).is_err());
    let sign_only = json!({
        "kty": "RSA", "e": "AQAB", "n": key_for(Algorithm::RsaOaep)["n"], "key_ops": [],
    });
    assert_eq!(
        PublicRecipient::from_jwk(&sign_only.to_string()).err(),
        Some(InvalidRecipient::NotForEncryption("key_ops"))
    );
}

#[test]
fn recipients_in_pem() {
    let key = public_key(&key_for(Algorithm::RsaOaep));
    let recipient = PublicRecipient::from_pem(&key.pem()).unwrap();
    assert_eq!(recipient.key(), &key);
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()])
        .unwrap()
        .self_signed(&pair)
        .unwrap();
    let recipient = PublicRecipient::from_pem(&certificate.pem()).unwrap();
    assert_eq!(recipient.key().key_type(), KeyType::Ec(Curve::P384));
    assert_eq!(
        recipient.key().pem(),
        pair.public_key_pem().replace("\r\n", "\n")
    );
    let private = pair.serialize_pem();
    for bad in [
        "",
        "x",
        &private,
        &key.pem().replace("PUBLIC KEY", "CERTIFICATE"),
        &certificate.pem().replace("CERTIFICATE", "PUBLIC KEY"),
        &certificate
            .pem()
            .replace("CERTIFICATE", "CERTIFICATE REQUEST"),
    ] {
        assert!(PublicRecipient::from_pem(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_does_not_go_together_is_not_encrypted() {
    let key = public_key(&key_for(Algorithm::RsaOaep));
    let recipient = PublicRecipient::from_public_key(&key, None);
    let encryption = ContentEncryption::A128Gcm;
    let to = |recipient: &PublicRecipient, algorithm, header: &str| {
        encrypt_to_public(recipient, algorithm, encryption, b"x", header, false)
    };
    assert_eq!(
        to(&recipient, Algorithm::Rsa15, ""),
        Err(EncryptError::Rsa15)
    );
    for algorithm in [Algorithm::EcdhEs, Algorithm::A128Kw, Algorithm::Dir] {
        assert!(matches!(
            to(&recipient, algorithm, ""),
            Err(EncryptError::KeyType { .. })
        ));
    }
    assert!(matches!(
        to(&recipient, "RS256".parse().unwrap(), ""),
        Err(EncryptError::KeyType { .. })
    ));
    let narrow = recipient.clone().only_with(Algorithm::RsaOaep);
    assert!(matches!(
        to(&narrow, Algorithm::RsaOaep256, ""),
        Err(EncryptError::Algorithm { .. })
    ));
    for name in ["alg", "enc", "zip", "epk", "jwk", "jku", "x5u", "crit"] {
        let header = json!({ name: ["x"] }).to_string();
        assert!(matches!(
            to(&recipient, Algorithm::RsaOaep, &header),
            Err(EncryptError::Header(HeaderError::Refused { .. }))
        ));
    }
    for header in [
        "[]",
        r#"{"kid":1}"#,
        r#"{"apu":"="}"#,
        r#"{"apv":1}"#,
        r#"{"a":1,"a":1}"#,
    ] {
        assert!(
            to(&recipient, Algorithm::RsaOaep, header).is_err(),
            "{header}"
        );
    }
}

/// Whoever shares the content key directly has nobody to share it with.
#[test]
fn direct_keys_have_one_recipient_and_no_encrypted_key() {
    let encryption = ContentEncryption::A128Gcm;
    let jwk = json!({"kty": "oct", "k": encode([1; 16])});
    let usage = usage(KeyType::Aes(AesSize::Bits128), Algorithm::Dir, encryption);
    let draft = SealDraft::new(Algorithm::Dir, encryption, None, b"x", "", false).unwrap();
    let result = sealing_token(&[1; 16], encryption, &draft.step());
    let [protected, encrypted_key, iv, ciphertext, tag] = parts(&draft.finish(&result).unwrap());
    assert_eq!(encrypted_key, "");
    let jwk = jwk.as_object().unwrap();
    let json = |recipients: Value| {
        json!({
            "protected": protected, "recipients": recipients, "iv": iv,
            "ciphertext": ciphertext, "tag": tag,
        })
        .to_string()
    };
    assert!(open(&json(json!([{}])), jwk, &usage).is_ok());
    assert_eq!(
        refusal(&json(json!([{}, {}])), jwk, &usage),
        Cause::NoRecipient
    );
    let key = json!([{"encrypted_key": "AA"}]);
    assert_eq!(refusal(&json(key), jwk, &usage), Cause::Length);
    // A token that refuses, or that gives back too much.
    let text = json(json!([{}]));
    let jwe = Jwe::parse(&text).unwrap();
    for outcome in [None, Some(Zeroizing::new(vec![0; 17]))] {
        let failure = jwe.open(0, &usage).unwrap().finish(outcome).err().unwrap();
        assert_eq!(failure.cause, Cause::Token);
        assert_eq!(failure.to_string(), TEXT);
    }
}
