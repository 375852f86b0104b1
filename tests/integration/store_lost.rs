//! The daemon's store fails under it: what needs it is refused, a plain signature goes on, readiness tells, and what
//! was answered is answered again when the store is back.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use chancery::{
    client::{Client, Code},
    proto::v1::{Algorithm as A, KeyType as T, SignRequest},
};
use tokio::time::Instant;

use crate::{
    calls::{create, message, new_key},
    harness::{Daemon, Refusal, Setup, times},
    softhsm::Token,
    store::faults::{failing, is_whole},
};

/// A daemon over a store whose file the test knows before, and which stays when the daemon goes.
fn start(place: &tempfile::TempDir, fault: (&str, &str, &str)) -> (Daemon, PathBuf) {
    let file = place.path().join("chancery.db");
    let mut setup = Setup::new(Token::new("lost")).tables(&format!("[store]\nsqlite = {:?}", file));
    let (call, how, when) = fault;
    setup.before = failing(call, how, when, &file);
    (setup.start(), file)
}

async fn sign(client: &Client, id: &str) -> Result<Vec<u8>, tonic::Status> {
    let request = SignRequest {
        request_id: id.to_owned(),
        ..message("pay", A::Es256, b"pay 100")
    };
    let answer = client.signing().sign(request).await?;
    Ok(answer.into_inner().signature.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_the_store_is_refused_and_a_plain_signature_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let (mut daemon, file) = start(&place, ("pwrite64", "error=EIO", "200+"));
    let client = daemon.client("test");
    create(&client, "pay", T::EcP256, &[A::Es256]).await;
    assert_eq!(daemon.admin_get("/readyz").0, 200);
    let mut given = BTreeMap::new();
    let status = loop {
        let id = format!("id-{}", given.len());
        match sign(&client, &id).await {
            Ok(signature) => given.insert(id, signature),
            Err(status) => break status,
        };
        assert!(given.len() < 500, "the store does not fail");
    };
    assert!(given.len() > 3, "{status:?}");
    let refusal = Refusal::of(&status);
    assert_eq!(
        (refusal.code, &*refusal.reason),
        (Code::Unavailable, "STORE_UNAVAILABLE")
    );
    // Nobody outside is told of files.
    assert!(!refusal.message.contains("chancery.db"), "{refusal:?}");

    for _ in 0..20 {
        sign(&client, "").await.unwrap();
        // Also one that was answered: whether it still is would have to be asked of the store.
        for id in ["id-0", "another"] {
            let refusal = Refusal::expect(sign(&client, id).await);
            assert_eq!(refusal.reason, "STORE_UNAVAILABLE");
        }
    }
    let made = client
        .keys()
        .create_key(new_key("more", T::EcP256, &[A::Es256]))
        .await;
    assert_eq!(Refusal::expect(made).reason, "STORE_UNAVAILABLE");
    let (code, text) = daemon.admin_get("/readyz");
    assert_eq!(code, 503, "{text}");
    assert!(
        text.contains("main: ready") && text.contains("store: "),
        "{text}"
    );

    daemon.kill();
    assert!(is_whole(&file));
    daemon.undisturbed();
    daemon.start_again();
    let client = daemon.client("test");
    for (id, signature) in &given {
        assert_eq!(sign(&client, id).await.unwrap(), *signature, "{id}");
    }
    assert_eq!(daemon.admin_get("/readyz").0, 200);
    create(&client, "more", T::EcP256, &[A::Es256]).await;
}

/// Now and then a call on the store's files fails, at whatever it happens to do then.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_now_and_then_loses_no_answer() {
    let faults = [
        ("pwrite64", "error=EIO", "300+41"),
        ("fdatasync", "error=EIO", "40+7"),
        ("pwrite64", "error=ENOSPC", "300+37"),
        ("pwrite64", "retval=0", "300+43"),
        ("pread64", "error=EIO", "300+61"),
        ("openat", "error=EIO", "20+3"),
        ("fcntl", "error=ENOLCK", "300+53"),
    ];
    for fault in faults.into_iter().take(times(2, 7)) {
        let place = tempfile::tempdir().unwrap();
        let (mut daemon, file) = start(&place, fault);
        let client = daemon.client("test");
        create(&client, "pay", T::EcP256, &[A::Es256]).await;
        let mut given = BTreeMap::new();
        let mut refused = 0;
        for number in 0..60 {
            let id = format!("id-{number}");
            let deadline = Instant::now() + Duration::from_secs(60);
            let signature = loop {
                match sign(&client, &id).await {
                    Ok(signature) => break signature,
                    Err(status) => {
                        let refusal = Refusal::of(&status);
                        assert!(refusal.reason.starts_with("STORE_"), "{refusal:?}");
                        assert!(Instant::now() < deadline, "{fault:?}: {refusal:?}");
                        refused += 1;
                    }
                }
            };
            given.insert(id, signature);
            sign(&client, "").await.unwrap();
        }
        eprintln!("{fault:?}: {refused} refused");
        daemon.kill();
        assert!(is_whole(&file), "{fault:?}");
        daemon.undisturbed();
        daemon.start_again();
        let client = daemon.client("test");
        for (id, signature) in &given {
            assert_eq!(
                sign(&client, id).await.unwrap(),
                *signature,
                "{fault:?} {id}"
            );
        }
    }
}
