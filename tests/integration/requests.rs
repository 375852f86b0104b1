//! The keys and requests that tests of other things than keys and requests need.

use chancery::{
    client::Client,
    proto::v1::{Algorithm, CreateKeyRequest, EcdsaEncoding, KeyPurpose, KeyType, SignRequest},
};

/// Makes a P-256 key that signs ES256.
pub async fn make_ec_key(client: &Client, name: &str) {
    make_key(
        client,
        name,
        KeyType::EcP256,
        KeyPurpose::Sign,
        Algorithm::Es256,
    )
    .await;
}

/// Makes a key for one algorithm.
pub async fn make_key(
    client: &Client,
    name: &str,
    kind: KeyType,
    purpose: KeyPurpose,
    algorithm: Algorithm,
) {
    let request = CreateKeyRequest {
        key_id: name.to_owned(),
        r#type: kind.into(),
        purpose: purpose.into(),
        algorithms: vec![algorithm.into()],
        ..CreateKeyRequest::default()
    };
    client.keys().create_key(request).await.expect("a new key");
}

/// Signs a few bytes with ES256.
pub fn sign_es256(name: &str) -> SignRequest {
    SignRequest {
        name: format!("keys/{name}"),
        algorithm: Algorithm::Es256.into(),
        message: Some("message".into()),
        ecdsa_encoding: EcdsaEncoding::Raw.into(),
        ..SignRequest::default()
    }
}
