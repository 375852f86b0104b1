//! The life of keys through the shipped daemon: versions, states, rotation, destruction; requests that are done once.

use std::sync::Arc;

use chancery::{
    client::{Client, Code},
    proto::v1::{
        Algorithm as A, CreateKeyVersionRequest, DestroyKeyVersionRequest, GetJwksRequest,
        GetKeyRequest, Key, KeyType as T, KeyVersion, KeyVersionState as State,
        RestoreKeyVersionRequest, SignRequest, SignResponse, UpdateKeyRequest,
        UpdateKeyVersionRequest, VerifyRequest,
    },
};
use prost_types::FieldMask;
use serde_json::Value;

use crate::{
    audited::{events, log_of, records},
    calls::{OpenSsl, create, message, new_key, public_key},
    harness::{Daemon, Refusal, Setup, until},
    softhsm::Token,
    store::postgres::Server,
};

async fn key(client: &Client, id: &str) -> Key {
    let name = format!("keys/{id}");
    let response = client.keys().get_key(GetKeyRequest { name }).await;
    response.unwrap().into_inner().key.unwrap()
}

async fn rotate(client: &Client, id: &str, make_primary: bool, request_id: &str) -> Key {
    let request = CreateKeyVersionRequest {
        name: format!("keys/{id}"),
        make_primary,
        request_id: request_id.to_owned(),
    };
    let response = client.keys().create_key_version(request).await;
    response.unwrap().into_inner().key.unwrap()
}

async fn turn(client: &Client, version: &str, state: State) -> Result<Key, tonic::Status> {
    let request = UpdateKeyVersionRequest {
        key_version: Some(KeyVersion {
            name: version.to_owned(),
            state: state.into(),
            ..KeyVersion::default()
        }),
        update_mask: Some(mask(&["state"])),
        ..UpdateKeyVersionRequest::default()
    };
    let response = client.keys().update_key_version(request).await;
    response.map(|response| response.into_inner().key.unwrap())
}

async fn destroy(client: &Client, version: &str) -> Result<Key, tonic::Status> {
    let request = DestroyKeyVersionRequest {
        name: version.to_owned(),
        ..DestroyKeyVersionRequest::default()
    };
    let response = client.keys().destroy_key_version(request).await;
    response.map(|response| response.into_inner().key.unwrap())
}

async fn update(client: &Client, key: Key, paths: &[&str]) -> Result<Key, tonic::Status> {
    let request = UpdateKeyRequest {
        key: Some(key),
        update_mask: Some(mask(paths)),
        request_id: String::new(),
    };
    let response = client.keys().update_key(request).await;
    response.map(|response| response.into_inner().key.unwrap())
}

async fn sign(client: &Client, request: SignRequest) -> Result<SignResponse, tonic::Status> {
    let response = client.signing().sign(request).await;
    response.map(tonic::Response::into_inner)
}

async fn is_valid(client: &Client, signed: &SignResponse, text: &[u8]) -> bool {
    let request = VerifyRequest {
        name: "keys/pay".to_owned(),
        algorithm: A::Es256.into(),
        message: Some(text.to_vec().into()),
        signature: signed.signature.clone(),
        ecdsa_encoding: message("pay", A::Es256, b"").ecdsa_encoding,
        ..VerifyRequest::default()
    };
    let response = client.signing().verify(request).await;
    response.unwrap().into_inner().valid
}

fn mask(paths: &[&str]) -> FieldMask {
    FieldMask {
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
    }
}

fn states(key: &Key) -> Vec<State> {
    key.versions.iter().map(KeyVersion::state).collect()
}

async fn key_ids(client: &Client) -> usize {
    let response = client.keys().get_jwks(GetJwksRequest {}).await;
    let set: Value = serde_json::from_str(&response.unwrap().into_inner().jwks).unwrap();
    set["keys"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_key_is_rotated_and_old_signatures_hold() {
    let daemon = Daemon::with(Token::new("main"));
    let client = daemon.client("test");
    let made = create(&client, "pay", T::EcP256, &[A::Es256]).await;
    assert_eq!(made.versions[0].created_by, "spiffe://chancery.test/test");
    assert!(made.versions[0].create_time.is_some());
    assert_eq!(states(&made), [State::Enabled]);
    let old = sign(&client, message("pay", A::Es256, b"one"))
        .await
        .unwrap();
    assert_eq!(old.name, "keys/pay/versions/1");

    // The next one is shown before it signs.
    let next = rotate(&client, "pay", false, "").await;
    assert_eq!(next.primary_version, "keys/pay/versions/1");
    assert_eq!(next.versions.len(), 2);
    assert_eq!(key_ids(&client).await, 2);
    let still = sign(&client, message("pay", A::Es256, b"one"))
        .await
        .unwrap();
    assert_eq!(still.name, "keys/pay/versions/1");
    let wanted = Key {
        name: "keys/pay".to_owned(),
        primary_version: "keys/pay/versions/2".to_owned(),
        etag: next.etag.clone(),
        ..Key::default()
    };
    let updated = update(&client, wanted.clone(), &["primary_version"]).await;
    assert_eq!(updated.unwrap().primary_version, "keys/pay/versions/2");
    let new = sign(&client, message("pay", A::Es256, b"two"))
        .await
        .unwrap();
    assert_eq!(new.name, "keys/pay/versions/2");
    // The last one is still shown, and what it signed holds: here and for openssl.
    assert_eq!(key_ids(&client).await, 2);
    assert!(is_valid(&client, &old, b"one").await);
    assert!(is_valid(&client, &new, b"two").await);
    let openssl = OpenSsl::new();
    openssl.file("key", public_key(&client, &old.name).await.pem.as_bytes());
    openssl.file("text", b"one");
    let mut request = message("pay/versions/1", A::Es256, b"one");
    request.ecdsa_encoding = chancery::proto::v1::EcdsaEncoding::Der.into();
    let der = sign(&client, request).await.unwrap();
    openssl.file("signature", &der.signature);
    openssl.output(&[
        "dgst",
        "-sha256",
        "-verify",
        "key",
        "-signature",
        "signature",
        "text",
    ]);

    // An etag of before, masks that mean nothing.
    let refusal = Refusal::expect(update(&client, wanted, &["primary_version"]).await);
    assert_eq!(
        (refusal.code, &*refusal.reason),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    let named = Key {
        name: "keys/pay".to_owned(),
        ..Key::default()
    };
    for (paths, reason) in [
        (&[][..], "UPDATE_MASK_EMPTY"),
        (&["custody"][..], "UPDATE_MASK_UNKNOWN"),
        (&["*"][..], "UPDATE_MASK_UNKNOWN"),
    ] {
        let refusal = Refusal::expect(update(&client, named.clone(), paths).await);
        assert_eq!(refusal.reason, reason);
    }
    let described = Key {
        description: "pays everybody".to_owned(),
        labels: [("team".to_owned(), "payments".to_owned())].into(),
        ..named
    };
    update(&client, described, &["description", "labels"])
        .await
        .unwrap();
    let told = key(&client, "pay").await;
    assert_eq!(told.description, "pays everybody");
    assert_eq!(told.labels["team"], "payments");
}

#[tokio::test]
async fn what_is_disabled_or_scheduled_is_refused_and_what_is_due_is_destroyed() {
    let setup = Setup::new(Token::new("main"));
    let daemon = setup
        .tables("[lifecycle]\ndestroy_delay_seconds = 1")
        .start();
    let client = daemon.client("test");
    create(&client, "pay", T::EcP256, &[A::Es256]).await;
    let old = sign(&client, message("pay", A::Es256, b"one"))
        .await
        .unwrap();
    rotate(&client, "pay", true, "").await;
    let first = "keys/pay/versions/1";

    turn(&client, first, State::Disabled).await.unwrap();
    let refusal = Refusal::expect(sign(&client, message("pay/versions/1", A::Es256, b"x")).await);
    assert_eq!(refusal.reason, "KEY_VERSION_DISABLED");
    assert!(!is_valid(&client, &old, b"one").await);
    assert_eq!(key_ids(&client).await, 1);
    turn(&client, first, State::Enabled).await.unwrap();
    assert!(is_valid(&client, &old, b"one").await);

    let refusal = Refusal::expect(destroy(&client, "keys/pay/versions/2").await);
    assert_eq!(refusal.reason, "KEY_VERSION_PRIMARY");
    let scheduled = destroy(&client, first).await.unwrap();
    assert_eq!(
        states(&scheduled),
        [State::Enabled, State::DestroyScheduled]
    );
    assert!(scheduled.versions[1].destroy_time.is_some());
    let refusal = Refusal::expect(sign(&client, message("pay/versions/1", A::Es256, b"x")).await);
    assert!(
        refusal.reason.starts_with("KEY_VERSION_DESTROY"),
        "{refusal:?}"
    );

    // When the time is over the object is gone; the record stays, and so does the number.
    let gone = until(async || {
        let told = key(&client, "pay").await;
        (states(&told)[1] == State::Destroyed && told.versions[1].attributes.is_none())
            .then_some(told)
    })
    .await;
    assert_eq!(gone.versions[1].created_by, "spiffe://chancery.test/test");
    for wrong in [State::Enabled, State::Disabled] {
        let refusal = Refusal::expect(turn(&client, first, wrong).await);
        assert_eq!(refusal.reason, "KEY_VERSION_STATE");
    }
    let restore = RestoreKeyVersionRequest {
        name: first.to_owned(),
        ..RestoreKeyVersionRequest::default()
    };
    let refusal = Refusal::expect(client.keys().restore_key_version(restore).await);
    assert_eq!(refusal.reason, "KEY_VERSION_STATE");

    // The last version too; then the name stands for nothing else.
    destroy(&client, "keys/pay/versions/2").await.unwrap();
    until(async || (states(&key(&client, "pay").await)[0] == State::Destroyed).then_some(())).await;
    let again = client
        .keys()
        .create_key(new_key("pay", T::EcP256, &[A::Es256]))
        .await;
    let refusal = Refusal::expect(again);
    assert!(
        ["KEY_NAME_RETIRED", "KEY_EXISTS"].contains(&&*refusal.reason),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn a_version_is_restored_before_its_time() {
    let daemon = Daemon::with(Token::new("main"));
    let client = daemon.client("test");
    create(&client, "pay", T::EcP256, &[A::Es256]).await;
    let first = "keys/pay/versions/1";
    destroy(&client, first).await.unwrap();
    let request = RestoreKeyVersionRequest {
        name: first.to_owned(),
        ..RestoreKeyVersionRequest::default()
    };
    let restored = client.keys().restore_key_version(request).await.unwrap();
    assert_eq!(
        states(&restored.into_inner().key.unwrap()),
        [State::Disabled]
    );
    turn(&client, first, State::Enabled).await.unwrap();
    sign(&client, message("pay", A::Es256, b"one"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_request_id_gets_the_same_bytes_also_after_a_crash() {
    let mut daemon = Daemon::with(Token::new("main"));
    let client = daemon.client("test");
    let mut creation = new_key("pay", T::EcP256, &[A::Es256]);
    creation.request_id = "make-it".to_owned();
    let made = client
        .keys()
        .create_key(creation.clone())
        .await
        .unwrap()
        .into_inner();
    let identified = |text: &[u8]| SignRequest {
        request_id: "4f4c1f62-2d3b-4a0e-9d2d-6f1f2a8d7c11".to_owned(),
        ..message("pay", A::Es256, text)
    };
    let first = sign(&client, identified(b"one")).await.unwrap();
    let second = rotate(&client, "pay", false, "next").await;
    daemon.crash_and_restart();
    let client = daemon.client("test");
    assert_eq!(sign(&client, identified(b"one")).await.unwrap(), first);
    let again = client
        .keys()
        .create_key(creation.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again, made);
    assert_eq!(rotate(&client, "pay", false, "next").await, second);
    assert_eq!(key(&client, "pay").await.versions.len(), 2);
    let refusal = Refusal::expect(sign(&client, identified(b"two")).await);
    assert_eq!(refusal.reason, "REQUEST_ID_REUSED");
    // Without an id it is another signature: ECDSA is random.
    let other = sign(&client, message("pay", A::Es256, b"one"))
        .await
        .unwrap();
    assert_ne!(other.signature, first.signature);
}

#[tokio::test]
async fn two_daemons_with_one_store_and_one_token_agree() {
    let server = Server::start();
    let token = Arc::new(Token::new("main"));
    let store = format!(
        "[store.postgres]\nsocket = {:?}\ndatabase = \"postgres\"\nuser = \"chancery\"",
        server.home()
    );
    let start = || Setup::new(Arc::clone(&token)).tables(&store).start();
    let (here, there) = (start(), start());
    let (one, two) = (here.client("test"), there.client("test"));
    create(&one, "pay", T::EcP256, &[A::Es256]).await;
    // The other one finds the key as soon as it hears of it.
    until(async || sign(&two, message("pay", A::Es256, b"one")).await.ok()).await;

    let identified = SignRequest {
        request_id: "once".to_owned(),
        ..message("pay", A::Es256, b"one")
    };
    let (first, second) = tokio::join!(
        sign(&one, identified.clone()),
        sign(&two, identified.clone())
    );
    assert_eq!(first.unwrap().signature, second.unwrap().signature);

    // Both at once make two versions, not twins.
    let (left, right) = tokio::join!(
        rotate(&one, "pay", false, ""),
        rotate(&two, "pay", true, "")
    );
    assert_ne!(left.versions[0].name, right.versions[0].name);

    turn(&one, "keys/pay/versions/1", State::Disabled)
        .await
        .unwrap();
    let asked = std::time::Instant::now();
    let refusal = until(async || {
        let signed = sign(&two, message("pay/versions/1", A::Es256, b"one")).await;
        signed.err().map(|status| Refusal::of(&status))
    })
    .await;
    assert_eq!(refusal.reason, "KEY_VERSION_DISABLED");
    // Two seconds at most, on a machine that is not starved.
    eprintln!("the other daemon refuses it after {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_key_is_rotated_by_schedule_once() {
    let mut daemon = Daemon::with(Token::new("main"));
    let client = daemon.client("test");
    create(&client, "pay", T::EcP256, &[A::Es256]).await;
    let wanted = |seconds: Option<i64>| Key {
        name: "keys/pay".to_owned(),
        rotation_period: seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        ..Key::default()
    };
    let set = update(&client, wanted(Some(1)), &["rotation_period"])
        .await
        .unwrap();
    assert!(set.next_rotation_time.is_some());
    let rotated = until(async || {
        let told = key(&client, "pay").await;
        // The token lists the new version a moment before it is said to be the primary one.
        let newest = told.versions[0].name.clone();
        (told.versions.len() > 1 && told.primary_version == newest).then_some(told)
    })
    .await;
    assert_eq!(rotated.versions[0].created_by, "");
    update(&client, wanted(None), &["rotation_period"])
        .await
        .unwrap();
    assert!(key(&client, "pay").await.next_rotation_time.is_none());

    // The log knew of it before the token did.
    daemon.terminate().await;
    let records = records(&log_of(&daemon));
    let changes = events(&records, "key_changed");
    let by_schedule: Vec<_> = changes
        .iter()
        .filter(|change| change["by"].is_null() && change["key"] == "pay")
        .map(|change| (change["act"].as_str().unwrap(), &change["version"]))
        .collect();
    assert_eq!(by_schedule[0], ("rotation_due", &Value::Null));
    assert_eq!(by_schedule[1], ("created", &Value::from(2)));
}
