//! JWS and JWE through the daemon: a daemon with secrets that josekit knows too, and the words in which tests ask it.

use std::sync::LazyLock;

use chancery::{
    client::{Client, Status},
    proto::v1::{
        Algorithm as A, ContentEncryption as E, DecryptJweRequest, DecryptJweResponse,
        EncryptJweRequest, VerifyJwsRequest, VerifyJwsResponse, encrypt_jwe_request::Recipient,
    },
};
use josekit::{
    jwe::{self, JweEncrypter, JweHeader},
    jwk::Jwk,
};
use serde_json::json;

use crate::{
    calls::{ALGORITHMS, base64url, public_key, purpose},
    harness::{Daemon, Refusal, Setup},
    softhsm::{Secret, Token},
};

mod encrypted;
mod hostile;
mod published;
mod signed;

/// Secrets that both sides know.
static PEERS: LazyLock<Daemon> = LazyLock::new(|| {
    let token = Token::new("main");
    let mut tables = String::new();
    for (name, algorithm, length, encryptions) in [
        ("hs256", "HS256", 32, ""),
        ("hs384", "HS384", 48, ""),
        ("hs512", "HS512", 64, ""),
        ("a128kw", "A128KW", 16, ALL_ENCRYPTIONS),
        ("a256kw", "A256KW", 32, ALL_ENCRYPTIONS),
        ("dir128", "dir", 16, "content_encryptions = [\"A128GCM\"]"),
        ("dir256", "dir", 32, "content_encryptions = [\"A256GCM\"]"),
        (
            "zip",
            "A128KW",
            16,
            "content_encryptions = [\"A128GCM\"]\nallow_compression = true",
        ),
    ] {
        let kind = if length == 64 || algorithm.starts_with("HS") {
            Secret::Generic
        } else {
            Secret::Aes
        };
        token.import_secret(name, &SECRET[..length], kind);
        tables += &format!(
            "[[keys]]\nname = {name:?}\npurpose = {:?}\nalgorithms = [{algorithm:?}]\n{encryptions}\n",
            purpose_name(named(algorithm))
        );
    }
    Setup::new(token).tables(&tables).start()
});

const SECRET: [u8; 64] = *b"0123456789abcdef0123456789ABCDEFfedcba9876543210FEDCBA9876543210";
const ALL_ENCRYPTIONS: &str = r#"content_encryptions = ["A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512"]"#;

/// JOSE's name for one of ours, and back.
fn name(algorithm: A) -> &'static str {
    match algorithm {
        A::Eddsa => "EdDSA",
        A::Dir => "dir",
        A::RsaOaep => "RSA-OAEP",
        A::RsaOaep256 => "RSA-OAEP-256",
        A::RsaOaep256Mgf1Sha1 => "RSA-OAEP-256-MGF1-SHA1",
        A::EcdhEs => "ECDH-ES",
        A::EcdhEsA128kw => "ECDH-ES+A128KW",
        A::EcdhEsA256kw => "ECDH-ES+A256KW",
        other => other.as_str_name().strip_prefix("ALGORITHM_").unwrap(),
    }
}

fn named(text: &str) -> A {
    ALGORITHMS
        .into_iter()
        .find(|one| name(*one) == text)
        .unwrap()
}

fn encryption_name(encryption: E) -> String {
    let name = encryption
        .as_str_name()
        .strip_prefix("CONTENT_ENCRYPTION_")
        .unwrap();
    name.replace('_', "-")
}

fn purpose_name(algorithm: A) -> String {
    let name = purpose(algorithm)
        .as_str_name()
        .strip_prefix("KEY_PURPOSE_")
        .unwrap();
    name.to_lowercase()
}

async fn verify(
    client: &Client,
    key: &str,
    jws: &str,
    detached: Option<&[u8]>,
) -> Result<VerifyJwsResponse, Refusal> {
    let request = VerifyJwsRequest {
        name: format!("keys/{key}"),
        jws: jws.to_owned(),
        detached_payload: detached.map(|payload| payload.to_vec().into()),
        understood_critical: Vec::new(),
    };
    let response = client.jose().verify_jws(request).await;
    response
        .map(tonic::Response::into_inner)
        .map_err(|status| Refusal::of(&status))
}

async fn open(client: &Client, key: &str, jwe: &str) -> Result<DecryptJweResponse, Status> {
    let request = DecryptJweRequest {
        name: format!("keys/{key}"),
        jwe: jwe.to_owned(),
    };
    client
        .jose()
        .decrypt_jwe(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn encrypt(
    client: &Client,
    recipient: Recipient,
    algorithm: A,
    encryption: E,
    plaintext: &[u8],
    compress: bool,
) -> Result<String, Refusal> {
    let request = EncryptJweRequest {
        recipient: Some(recipient),
        algorithm: algorithm.into(),
        content_encryption: encryption.into(),
        plaintext: plaintext.to_vec().into(),
        protected_header: String::new(),
        compress,
    };
    let response = client.jose().encrypt_jwe(request).await;
    response
        .map(|response| response.into_inner().jwe)
        .map_err(|status| Refusal::of(&status))
}

fn secret(length: usize) -> Jwk {
    let map = json!({"kty": "oct", "k": base64url(&SECRET[..length])});
    Jwk::from_map(map.as_object().unwrap().clone()).unwrap()
}

/// The public JWK of a key in the token, as josekit reads it.
async fn public_jwk(client: &Client, key: &str) -> Jwk {
    let public = public_key(client, &format!("keys/{key}")).await;
    Jwk::from_bytes(public.jwk).unwrap()
}

fn encrypter(algorithm: A, jwk: &Jwk) -> Box<dyn JweEncrypter> {
    match algorithm {
        A::RsaOaep => Box::new(jwe::RSA_OAEP.encrypter_from_jwk(jwk).unwrap()),
        A::RsaOaep256 => Box::new(jwe::RSA_OAEP_256.encrypter_from_jwk(jwk).unwrap()),
        #[expect(deprecated, reason = "it must be refused unless a key asks for it")]
        A::Rsa15 => Box::new(jwe::RSA1_5.encrypter_from_jwk(jwk).unwrap()),
        A::EcdhEs => Box::new(jwe::ECDH_ES.encrypter_from_jwk(jwk).unwrap()),
        A::EcdhEsA128kw => Box::new(jwe::ECDH_ES_A128KW.encrypter_from_jwk(jwk).unwrap()),
        A::EcdhEsA256kw => Box::new(jwe::ECDH_ES_A256KW.encrypter_from_jwk(jwk).unwrap()),
        A::A128kw => Box::new(jwe::A128KW.encrypter_from_jwk(jwk).unwrap()),
        A::A256kw => Box::new(jwe::A256KW.encrypter_from_jwk(jwk).unwrap()),
        A::Dir => Box::new(jwe::Dir.encrypter_from_jwk(jwk).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn sealed(algorithm: A, encryption: &str, jwk: &Jwk, plaintext: &[u8]) -> String {
    let mut header = JweHeader::new();
    header.set_content_encryption(encryption);
    jwe::serialize_compact(plaintext, &header, &*encrypter(algorithm, jwk)).unwrap()
}
