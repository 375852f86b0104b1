//! The daemon's store fails under it: what needs it is refused, a plain signature goes on, readiness tells, and what
//! was answered is answered again when the store is back.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use chancery::{
    client::{Client, Code},
    proto::v1::{Algorithm as A, KeyType as T, SignRequest},
};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    calls::{create, message, new_key},
    harness::{Daemon, Refusal, Setup, times},
    softhsm::Token,
    store::faults::{failing, is_whole},
};

/// A daemon over a store whose file the test knows before.
fn start(place: &TempDir) -> (Daemon, PathBuf) {
    let file = place.path().join("chancery.db");
    let setup = Setup::new(Token::new("lost")).tables(&format!("[store]\nsqlite = {file:?}"));
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
    let (mut daemon, file) = start(&place);
    let client = daemon.client("test");
    create(&client, "pay", T::EcP256, &[A::Es256]).await;
    let mut given = BTreeMap::new();
    for number in 0..5 {
        let id = format!("id-{number}");
        given.insert(id.clone(), sign(&client, &id).await.unwrap());
    }
    // From now on nothing that is written to the store gets to the disk.
    daemon.kill();
    daemon.behind(failing("fsync", "error=EIO", "1+", &file));
    daemon.start_again();
    let client = daemon.client("test");
    let refusal = Refusal::expect(sign(&client, "id-5").await);
    assert_eq!(
        (refusal.code, &*refusal.reason),
        (Code::Unavailable, "STORE_UNAVAILABLE")
    );
    // Nobody outside is told of files.
    assert!(!refusal.message.contains("chancery.db"), "{refusal:?}");

    for _ in 0..20 {
        sign(&client, "").await.unwrap();
        for id in ["id-5", "another"] {
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
    daemon.behind(Vec::new());
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
        // Each thread counts for itself, and each connection has a thread.
        ("pwrite64", "error=EIO", "40+29"),
        ("fsync", "error=EIO", "9+5"),
        ("pwrite64", "error=ENOSPC", "40+31"),
        ("pwrite64", "retval=0", "40+23"),
        ("pread64", "error=EIO", "60+41"),
        ("ftruncate", "error=EIO", "2+2"),
        // Not fcntl: a lock that can't be given back stays, and every write is refused until the daemon starts again.
    ];
    for fault in faults.into_iter().take(times(2, 6)) {
        let place = tempfile::tempdir().unwrap();
        let (mut daemon, file) = start(&place);
        daemon.terminate().await;
        let (call, how, when) = fault;
        daemon.behind(failing(call, how, when, &file));
        daemon.start_again();
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
        assert!(
            refused > 0 || !["pwrite64", "fsync"].contains(&call),
            "{fault:?}"
        );
        daemon.kill();
        assert!(is_whole(&file), "{fault:?}");
        daemon.behind(Vec::new());
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
