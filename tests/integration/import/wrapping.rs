//! The wrapping key: made once, good for nothing else, and simple enough for one call of openssl.

use chancery::{
    client::Client,
    proto::v1::{
        Algorithm, GetImportWrappingKeyRequest, ImportKeyRequest, ImportMethod, KeyPurpose,
        KeyType, SignRequest, WrappedKey,
    },
};

use super::{Bench, MESSAGE, hmac, import, sign};

/// Plain OAEP: what one call of openssl makes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_secret_that_openssl_wrapped_comes_in() {
    let bench = Bench::new("import-plain");
    let client = bench.daemon.client("test");
    let secret = b"a secret that is long enough: 32";
    let request = GetImportWrappingKeyRequest {
        key_id: "plain".to_owned(),
        ..GetImportWrappingKeyRequest::default()
    };
    let key = client
        .keys()
        .get_import_wrapping_key(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        key.methods,
        [
            ImportMethod::RsaOaep3072Sha1Aes256,
            ImportMethod::RsaOaep3072Sha1
        ]
        .map(i32::from)
    );
    let wrapped = WrappedKey {
        wrapping_key: key.name,
        method: ImportMethod::RsaOaep3072Sha1.into(),
        wrapped_key: bench.openssl_oaep(&key.pem, secret).into(),
        ..WrappedKey::default()
    };
    let request = ImportKeyRequest {
        wrapped: Some(wrapped),
        ..import(
            "plain",
            KeyType::HmacSha256,
            KeyPurpose::Mac,
            Algorithm::Hs256,
        )
    };
    client.keys().import_key(request).await.unwrap();
    assert_eq!(
        sign(&client, "plain", Algorithm::Hs256).await.unwrap(),
        hmac(secret, MESSAGE)
    );
}

/// The wrapping key does nothing but unwrap, has no name that anybody could use, and is the same for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrapping_key_is_made_once_and_can_do_nothing_else() {
    let mut bench = Bench::new("import-wrapping");
    let client = bench.daemon.client("test");
    let ask = |client: Client| async move {
        let request = GetImportWrappingKeyRequest {
            key_id: "any".to_owned(),
            ..GetImportWrappingKeyRequest::default()
        };
        client
            .keys()
            .get_import_wrapping_key(request)
            .await
            .unwrap()
            .into_inner()
    };
    let all = futures_util::future::join_all((0..8).map(|_| ask(client.clone()))).await;
    assert!(all.iter().all(|one| *one == all[0]));
    assert!(
        all[0].name.starts_with("tokens/main/importWrappingKeys/"),
        "{}",
        all[0].name
    );
    let objects = bench.objects();
    assert_eq!(objects.matches("chancery:import").count(), 2, "{objects}");
    assert!(objects.contains("Usage:      unwrap\n"), "{objects}");
    assert!(client.all_keys().await.unwrap().is_empty());
    for name in ["keys/chancery:import", "keys/chancery:import/versions/1"] {
        let request = SignRequest {
            name: name.to_owned(),
            algorithm: Algorithm::Rs256.into(),
            message: Some(MESSAGE.into()),
            ..SignRequest::default()
        };
        assert!(client.sign(request).await.is_err());
    }
    let (_, page) = bench.daemon.admin_get("/");
    assert!(
        !page.contains("chancery:import"),
        "it is no problem: {page}"
    );
    bench.daemon.restart().await;
    assert_eq!(ask(bench.daemon.client("test")).await, all[0]);
}
