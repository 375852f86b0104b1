//! Nothing wrong leaves: results that are corrupt, handles that name another key, keys that go and come.

use std::sync::atomic::{AtomicUsize, Ordering};

use chancery::proto::v1::{CreateKeyVersionRequest, GetPublicKeyRequest, ListKeysRequest};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_signature_is_never_released() {
    let bench = Bench::start(2, 1, "").await;
    let verifier = bench.verifier("keys/payouts").await;
    for times in [Times::Once, Times::Count(3), Times::Forever] {
        bench.order(Function::Sign, Fault::Corrupt, times);
        for _ in 0..10 {
            match bench.sign().await {
                Ok(signature) => assert!(verifier.takes(MESSAGE, &signature)),
                Err(status) => assert!(passes(&status), "{status:?}"),
            }
        }
        assert!(bench.control.hits(Function::Sign).unwrap() >= 1);
        bench.control.clear().unwrap();
        bench.heals(PATIENCE).await;
    }
    let line = bench
        .daemon
        .wait_for_log("does not verify with the public key");
    assert!(line.contains("ERROR"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_that_names_another_key_signs_nothing() {
    let bench = Bench::start(2, 1, "").await;
    bench
        .create("other", KeyType::EcP256, KeyPurpose::Sign, Algorithm::Es256)
        .await;
    let (verifier, other) = (
        bench.verifier("keys/payouts").await,
        bench.verifier("keys/other").await,
    );
    // Each worker must have seen both.
    for _ in 0..8 {
        let calls = (0..4).map(|_| async {
            bench.sign().await.unwrap();
            sign(&bench.client, "keys/other", MESSAGE).await.unwrap();
        });
        futures_util::future::join_all(calls).await;
    }
    bench.order(Function::SignInit, Fault::OtherKey, Times::Count(2));
    for _ in 0..10 {
        match bench.sign().await {
            Ok(signature) => {
                assert!(!other.takes(MESSAGE, &signature));
                assert!(verifier.takes(MESSAGE, &signature));
            }
            Err(status) => assert!(passes(&status), "{status:?}"),
        }
    }
    assert!(bench.control.hits(Function::SignInit).unwrap() >= 1);
    bench
        .daemon
        .wait_for_log("does not verify with the public key");
    bench.control.clear().unwrap();
    bench.heals(PATIENCE).await;
}

/// SoftHSM does not show an object while another process writes to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_listing_lacks_for_a_moment_is_not_lost() {
    const CKR_OK: u64 = 0;
    const CKR_OBJECT_HANDLE_INVALID: u64 = 0x82;
    let bench = Bench::start(1, 1, "").await;
    let mut names = vec!["keys/payouts".to_owned()];
    for number in 0..8 {
        let id = format!("mac-{number}");
        let (kind, purpose) = (KeyType::HmacSha256, KeyPurpose::Mac);
        bench.create(&id, kind, purpose, Algorithm::Hs256).await;
        names.push(format!("keys/{id}"));
    }
    names.sort();
    // Objects are found ten at a time, and each is asked for its attributes.
    let shortened = (Function::FindObjects, CKR_OK, 1);
    let withheld = (Function::GetAttributeValue, CKR_OBJECT_HANDLE_INVALID, 7);
    for (function, code, skip) in [shortened, withheld] {
        for is_at_start in [false, true] {
            let fault = Fault::Return(code);
            let order = || bench.control.set(function, fault, Times::Once, skip);
            order().unwrap();
            if is_at_start {
                bench.kill_workers();
                bench.heals(PATIENCE).await;
                bench.whole(1).await;
            } else {
                assert_eq!(create_again(&bench, "payouts").await, "KEY_EXISTS");
            }
            assert_eq!(bench.control.hits(function).unwrap(), 1, "{function:?}");
            let request = ListKeysRequest::default();
            let listed = bench.client.keys().list_keys(request).await.unwrap();
            let listed = listed.into_inner().keys.into_iter();
            let mut listed: Vec<_> = listed.map(|key| key.name).collect();
            listed.sort();
            assert_eq!(listed, names, "{function:?}, at the start: {is_at_start}");
            bench.sign().await.unwrap();
        }
    }
}

/// A pair is half made until its id is that of its public key, and others look at the token meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_serves_while_another_version_of_it_is_made() {
    let bench = Bench::start(2, 1, "").await;
    let (kind, purpose) = (KeyType::EcP256, KeyPurpose::Sign);
    bench.create("other", kind, purpose, Algorithm::Es256).await;
    let signed = AtomicUsize::new(0);
    let rotate = async {
        for _ in 0..10 {
            // The public half has its id, the private one has not.
            let slow = Fault::Delay(Duration::from_millis(60));
            let order = bench
                .control
                .set(Function::SetAttributeValue, slow, Times::Once, 1);
            order.unwrap();
            let request = CreateKeyVersionRequest {
                name: "keys/payouts".to_owned(),
                ..CreateKeyVersionRequest::default()
            };
            let made = bench.client.keys().create_key_version(request).await;
            made.unwrap();
            let hits = bench.control.hits(Function::SetAttributeValue);
            assert_eq!(hits.unwrap(), 1);
        }
    };
    let look = async {
        loop {
            assert_eq!(create_again(&bench, "other").await, "KEY_EXISTS");
        }
    };
    let sign = async {
        loop {
            bench.sign().await.unwrap();
            signed.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = rotate => {}
        () = look => {}
        () = sign => {}
    }
    assert!(signed.load(Ordering::Relaxed) > 10);
}

/// Has the token listed, as whoever makes a key has, and makes nothing.
async fn create_again(bench: &Bench, id: &str) -> String {
    let request = CreateKeyRequest {
        key_id: id.to_owned(),
        r#type: KeyType::EcP256.into(),
        purpose: KeyPurpose::Sign.into(),
        algorithms: vec![Algorithm::Es256.into()],
        ..CreateKeyRequest::default()
    };
    let status = bench.client.keys().create_key(request).await.unwrap_err();
    reason(&status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_deleted_is_gone_and_the_rest_goes_on() {
    let bench = Bench::start(2, 1, "").await;
    bench
        .create("other", KeyType::EcP256, KeyPurpose::Sign, Algorithm::Es256)
        .await;
    sign(&bench.client, "keys/other", MESSAGE).await.unwrap();
    delete(&bench, "other/1");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = sign(&bench.client, "keys/other", MESSAGE)
            .await
            .unwrap_err();
        match status.code() {
            Code::NotFound => {
                assert_eq!(reason(&status), "KEY_NOT_FOUND");
                break;
            }
            Code::FailedPrecondition => assert!(!status.message().is_empty()),
            _ => assert!(passes(&status), "{status:?}"),
        }
        assert!(Instant::now() < deadline, "{status:?}");
        pause(20).await;
    }
    bench.heals(PATIENCE).await;
    bench.whole(2).await;
    assert!(bench.serving());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_replaced_signs_only_once_its_public_half_is_told() {
    let bench = Bench::with(|setup| setup.server += "refresh_interval_seconds = 1\n");
    bench.create_payouts().await;
    let old = bench.verifier("keys/payouts").await;
    bench.sign().await.unwrap();
    delete(&bench, "payouts/1");
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    bench.daemon.token().import_pkcs8("payouts/1", "a1b2", &pem);

    let deadline = Instant::now() + PATIENCE;
    loop {
        let signature = sign(&bench.client, "keys/payouts", MESSAGE).await;
        let request = GetPublicKeyRequest {
            name: "keys/payouts".to_owned(),
        };
        let told = bench.client.keys().get_public_key(request).await;
        match (signature, told) {
            (Ok(signature), Ok(_)) if old.takes(MESSAGE, &signature) => {}
            (Ok(signature), Ok(told)) => {
                let jwk = Jwk::from_bytes(&told.into_inner().jwk).unwrap();
                let new = Verifier(Box::new(ES256.verifier_from_jwk(&jwk).unwrap()));
                assert!(
                    new.takes(MESSAGE, &signature),
                    "signed by a key that nobody was told of"
                );
                break;
            }
            (signature, _) => {
                let status = signature.expect_err("a signature by a key that nobody knows");
                let code = status.code();
                let gone = matches!(code, Code::NotFound | Code::FailedPrecondition);
                assert!(gone || passes(&status), "{status:?}");
            }
        }
        assert!(Instant::now() < deadline, "the new key is never served");
        pause(20).await;
    }
    assert!(bench.serving());
}

/// Each is listed by the worker that made it; a listing from before another's key must not hide that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_made_at_once_are_all_there_at_once() {
    let bench = &Bench::start(4, 1, "").await;
    for round in 0..3 {
        let names: Vec<_> = (0..8).map(|index| format!("key-{round}-{index}")).collect();
        let made = names.iter().map(|name| async move {
            bench
                .create(name, KeyType::EcP256, KeyPurpose::Sign, Algorithm::Es256)
                .await;
            let name = format!("keys/{name}");
            sign(&bench.client, &name, MESSAGE).await.unwrap();
        });
        futures_util::future::join_all(made).await;
        for name in &names {
            let name = format!("keys/{name}");
            sign(&bench.client, &name, MESSAGE)
                .await
                .unwrap_or_else(|status| panic!("{name}: {status:?}"));
        }
    }
    assert_eq!(bench.daemon.worker_pids().len(), 4);
    assert_eq!(bench.started(), 4, "no worker had to go for it");
}

/// A worker that came up while a key was made does not hide it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_stays_known_when_workers_are_replaced_meanwhile() {
    let bench = Bench::start(3, 1, "").await;
    for round in 0..10 {
        kill(bench.daemon.worker_pids()[0], Signal::KILL);
        let id = format!("key-{round}");
        let request = CreateKeyRequest {
            key_id: id.clone(),
            token: "main".to_owned(),
            r#type: KeyType::EcP256.into(),
            purpose: KeyPurpose::Sign.into(),
            algorithms: vec![Algorithm::Es256.into()],
            ..CreateKeyRequest::default()
        };
        match bench.client.keys().create_key(request).await {
            Ok(_) => {
                bench.whole(3).await;
                sign(&bench.client, &format!("keys/{id}"), MESSAGE)
                    .await
                    .unwrap();
            }
            // The worker that made it was the one that was killed: that is said.
            Err(status) => assert!(
                status.code() == Code::Aborted || passes(&status),
                "{status:?}"
            ),
        }
        bench.whole(3).await;
    }
}

fn delete(bench: &Bench, label: &str) {
    for kind in ["privkey", "pubkey"] {
        let arguments = ["--delete-object", "--type", kind, "--label", label];
        let output = bench.daemon.token().pkcs11_tool(&arguments);
        assert!(output.status.success(), "{output:?}");
    }
}

/// SoftHSM now and then fails to write what other processes look at. Nothing was made then, so it is tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_not_made_is_made_by_another_try_and_one_that_was_is_not_made_twice() {
    const GENERAL_ERROR: u64 = 0x5;
    const FUNCTION_FAILED: u64 = 0x6;
    let bench = Bench::start(2, 1, "").await;
    let ask = async |id: &str| {
        let request = CreateKeyRequest {
            key_id: id.to_owned(),
            r#type: KeyType::EcP256.into(),
            purpose: KeyPurpose::Sign.into(),
            algorithms: vec![Algorithm::Es256.into()],
            ..CreateKeyRequest::default()
        };
        bench.client.keys().create_key(request).await
    };
    for (function, code) in [
        (Function::GenerateKeyPair, GENERAL_ERROR),
        (Function::GenerateKeyPair, FUNCTION_FAILED),
        (Function::CreateObject, GENERAL_ERROR),
        (Function::CreateObject, FUNCTION_FAILED),
    ] {
        bench.order(function, Fault::Return(code), Times::Count(2));
        let id = format!("{function:?}-{code}");
        ask(&id).await.unwrap();
        assert_eq!(bench.control.hits(function).unwrap(), 2, "{id}");
        let name = format!("keys/{id}");
        sign(&bench.client, &name, MESSAGE).await.unwrap();
    }

    // Not for ever.
    let function = Function::GenerateKeyPair;
    bench.order(function, Fault::Return(GENERAL_ERROR), Times::Forever);
    let status = ask("never").await.unwrap_err();
    assert!(passes(&status), "{status:?}");
    assert_eq!(bench.control.hits(function).unwrap(), 4);
    bench.control.clear().unwrap();
    bench.heals(PATIENCE).await;
    bench.whole(2).await;

    // Made, and said to have failed: there it is, so it is not made again.
    let before = bench.calls(function);
    bench.order(
        function,
        Fault::ForwardThenReturn(GENERAL_ERROR),
        Times::Once,
    );
    let status = ask("made").await.unwrap_err();
    assert!(passes(&status), "{status:?}");
    assert_eq!(bench.control.hits(function).unwrap(), 1);
    assert_eq!(bench.calls(function), before + 1);
}
