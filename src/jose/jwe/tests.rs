//! JWE: the published vectors, and messages of our own for those and for the tests of attacks.

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    algorithm::{AesSize, Algorithm, ContentEncryption, KeyType, Purpose},
    jose::testing::{Vector, bytes, public_key, sealing_token, token},
    key::Usage,
};

mod attacks;
mod origin;
mod sealed;

/// What every refusal says.
const TEXT: &str = "the message can't be decrypted with this key";

type Jwk = Map<String, Value>;

fn usage(key_type: KeyType, algorithm: Algorithm, encryption: ContentEncryption) -> Usage {
    Usage::new(
        key_type,
        algorithm.purpose(),
        vec![algorithm],
        vec![encryption],
        false,
    )
    .unwrap()
}

fn open(text: &str, jwk: &Jwk, usage: &Usage) -> Result<Opened, DecryptionFailed> {
    let jwe = Jwe::parse(text)?;
    let mut failure = None;
    let key_id = jwk.get("kid").and_then(Value::as_str).unwrap_or_default();
    for opening in jwe.openings(|hint| hint == key_id, usage)? {
        let outcome = token(jwk, &opening);
        match opening.finish(outcome) {
            Ok(opened) => return Ok(opened),
            Err(other) => failure = Some(other),
        }
    }
    Err(failure.unwrap())
}

/// Why it is refused, having checked that it says so like every other.
fn refusal(text: &str, jwk: &Jwk, usage: &Usage) -> Cause {
    let Err(failure) = open(text, jwk, usage) else {
        panic!("opened: {text}");
    };
    assert_eq!(failure.to_string(), TEXT);
    failure.cause
}

/// The parts of a compact JWE.
fn parts(text: &str) -> [String; 5] {
    let parts = text.split('.').map(str::to_owned).collect::<Vec<_>>();
    parts.try_into().unwrap()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    base64url::encode(bytes.as_ref())
}

/// A key for `A128KW` and messages for it, whose content key is known.
struct Known {
    jwk: Jwk,
    usage: Usage,
}

const CONTENT_KEY: [u8; 32] = [5; 32];

impl Known {
    fn new(encryption: ContentEncryption, compression: bool) -> Self {
        let key_type = KeyType::Aes(AesSize::Bits128);
        Self {
            jwk: json!({"kty": "oct", "k": encode([1; 16])})
                .as_object()
                .unwrap()
                .clone(),
            usage: Usage::new(
                key_type,
                Purpose::Wrap,
                vec![Algorithm::A128Kw],
                vec![encryption],
                compression,
            )
            .unwrap(),
        }
    }

    /// A message with exactly this header, these IV and tag lengths notwithstanding.
    fn message(encryption: ContentEncryption, header: &str, plaintext: &[u8]) -> String {
        let content_key = &CONTENT_KEY[..encryption.key_len()];
        let wrap = SealStep::Wrap { content_key };
        let encrypted_key = sealing_token(&[1; 16], encryption, &wrap);
        let iv = vec![6; encryption.iv_len()];
        let header = encode(header);
        let sealed =
            crate::jose::content::seal(encryption, content_key, &iv, header.as_bytes(), plaintext);
        let (ciphertext, tag) = sealed.unwrap();
        let rest = [
            encode(encrypted_key),
            encode(iv),
            encode(ciphertext),
            encode(tag),
        ];
        format!("{header}.{}", rest.join("."))
    }
}

#[test]
fn published_vectors_open_in_every_serialization() {
    for vector in Vector::all("jwe") {
        let name = vector.text("name");
        for text in vector.texts("jwe") {
            let jwe = Jwe::parse(text).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            if !vector.supported() {
                let aes = KeyType::Aes(AesSize::Bits256);
                let usage = usage(aes, Algorithm::A256Kw, ContentEncryption::A128CbcHs256);
                let key_id = vector.jwk().get("kid").and_then(Value::as_str);
                let Err(failure) = jwe.openings(|hint| Some(hint) == key_id, &usage) else {
                    panic!("{name}");
                };
                assert_eq!(failure.cause, Cause::Algorithm, "{name}");
                continue;
            }
            let usage = vector.usage();
            let opened = open(text, vector.jwk(), &usage)
                .unwrap_or_else(|error| panic!("{name}: {}", error.cause()));
            assert_eq!(*opened.plaintext, vector.payload(), "{name}");
            assert_eq!(opened.algorithm, vector.algorithm(), "{name}");
            if !text.starts_with('{') {
                let header = bytes(&parts(text)[0]);
                assert_eq!(opened.protected_header.as_bytes(), header, "{name}");
            }
        }
    }
}

#[test]
fn a_recipient_is_found_by_its_kid_or_else_tried() {
    let vector = Vector::named("jwe", "rfc7516-a4-a128kw");
    let jwe = Jwe::parse(vector.texts("jwe")[0]).unwrap();
    assert_eq!(
        jwe.recipients().collect::<Vec<_>>(),
        [Some("2011-04-29"), Some("7")]
    );
    let usage = vector.usage();
    assert_eq!(jwe.openings(|hint| hint == "7", &usage).unwrap().len(), 1);
    assert_eq!(jwe.openings(|_| false, &usage).unwrap().len(), 1);
    assert!(jwe.openings(|hint| hint == "2011-04-29", &usage).is_err());
    assert!(jwe.open(0, &usage).is_err());
    assert!(jwe.open(1, &usage).is_ok());
    assert!(jwe.open(2, &usage).is_err());
}

/// The private keys of the vectors, to make messages for.
fn key_for(algorithm: Algorithm) -> Jwk {
    let name = match algorithm {
        Algorithm::Rsa15 => "rfc7520-5.1",
        Algorithm::RsaOaep => "rfc7516-a1",
        Algorithm::RsaOaep256 => "rfc7516-a2",
        Algorithm::EcdhEs => "rfc7520-5.5",
        _ => "rfc7520-5.4",
    };
    Vector::named("jwe", name).jwk().clone()
}

const PUBLIC: [Algorithm; 6] = [
    Algorithm::RsaOaep,
    Algorithm::RsaOaep256,
    Algorithm::Rsa15,
    Algorithm::EcdhEs,
    Algorithm::EcdhEsA128Kw,
    Algorithm::EcdhEsA256Kw,
];

fn encrypt(algorithm: Algorithm, encryption: ContentEncryption, compress: bool) -> String {
    let key = public_key(&key_for(algorithm));
    let recipient = PublicRecipient::from_public_key(&key, Some("k")).only_with(algorithm);
    let header = r#"{"typ":"x","apu":"QWxpY2U","apv":"Qm9i"}"#;
    encrypt_to_public(
        &recipient, algorithm, encryption, PLAINTEXT, header, compress,
    )
    .unwrap()
}

const PLAINTEXT: &[u8] = b"plaintext, plaintext, plaintext, plaintext";
