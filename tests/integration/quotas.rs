//! Quotas through the shipped daemon: who is over one is told which and until when, and nobody else notices.
//!
//! Nothing is timed: rates are so slow that nothing comes back while a test runs, and what is at work stays so until
//! the test ends it.

use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chancery::{
    client::{Client, Code, Status},
    proto::v1::{
        Algorithm as A, BatchSignRequest, CreateKeyVersionRequest, GenerateRandomRequest,
        GetKeyRequest, Key, KeyType as T, SignChunksHeader, SignChunksRequest, UpdateKeyRequest,
        sign_chunks_request::Part, sign_result::Result as Outcome,
    },
};
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic_types::StatusExt;

use crate::{
    calls::{create, message, new_key, verification},
    harness::{ALLOW_TEST, Daemon, Refusal, Setup},
    softhsm::Token,
    store::postgres::Server,
};

/// All that `test` may, and signing for the clients `a` and `b`.
fn policy(quotas: &str) -> String {
    let rules = r#"
[[roles]]
name = "applications"
identities = ["spiffe://chancery.test/a", "spiffe://chancery.test/b"]
[[rules]]
name = "applications-sign"
roles = ["applications"]
keys = ["*"]
operations = ["sign", "get"]
algorithms = ["*"]
"#;
    format!("{rules}{ALLOW_TEST}{quotas}")
}

async fn with_keys(setup: Setup, quotas: &str) -> Daemon {
    let daemon = setup.policy(&policy(quotas)).start();
    let client = daemon.client("test");
    create(&client, "pay", T::EcP256, &[A::Es256]).await;
    create(&client, "log", T::EcP256, &[A::Es256]).await;
    daemon
}

async fn sign(client: &Client, key: &str) -> Result<(), Status> {
    let request = message(key, A::Es256, b"one");
    client.signing().sign(request).await.map(drop)
}

/// How many of so many calls at once were done; the others must all have been refused for this reason.
async fn done_of(client: &Client, key: &str, calls: usize, reason: &str) -> usize {
    let answers = join_all((0..calls).map(|_| sign(client, key))).await;
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
    for status in refused {
        assert_eq!(Refusal::of(status).reason, reason, "{status:?}");
    }
    answers.iter().filter(|answer| answer.is_ok()).count()
}

/// The quota, which of its limits, and when to come again.
#[track_caller]
fn exceeded(status: &Status) -> (String, String, Duration) {
    let refusal = Refusal::of(status);
    assert_eq!(
        (refusal.code, &*refusal.reason),
        (Code::ResourceExhausted, "QUOTA_EXCEEDED")
    );
    let retry = status.get_details_retry_info().expect("RetryInfo");
    let of = |name: &str| refusal.metadata[name].clone();
    (of("quota"), of("kind"), retry.retry_delay.expect("a delay"))
}

/// The audit log, as it is written.
fn log_of(daemon: &Daemon) -> String {
    let segments = fs::read_dir(daemon.directory().join("state/audit/log")).unwrap();
    segments
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect()
}

/// Within a minute of midnight the day would change under the test: then it waits for the next one.
async fn away_from_midnight() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let left = 86_400 - now.as_secs() % 86_400;
    if left < 60 {
        tokio::time::sleep(Duration::from_secs(left)).await;
    }
}

#[tokio::test]
async fn a_burst_is_done_and_then_it_is_told_when_to_come_again() {
    let quotas = r#"
[[quotas]]
name = "slow"
roles = ["applications"]
keys = ["*"]
operations = ["sign"]
per_second = 0.001
burst = 3
[[quotas]]
name = "wide"
roles = ["applications"]
per_second = 1
burst = 1000
"#;
    let daemon = with_keys(Setup::new(Token::new("main")), quotas).await;
    let (a, b) = (daemon.client("a"), daemon.client("b"));
    assert_eq!(done_of(&a, "pay", 20, "QUOTA_EXCEEDED").await, 3);
    let status = sign(&a, "pay").await.unwrap_err();
    let (quota, kind, after) = exceeded(&status);
    assert_eq!((&*quota, &*kind), ("slow", "per_second"));
    let seconds = after.as_secs();
    assert!((900..=1000).contains(&seconds), "{after:?}");
    assert!(status.message().contains("0.001 a second, 3 at once"));
    // The other key has a count of its own, and so has the other identity; `test` has none.
    assert_eq!(done_of(&a, "log", 5, "QUOTA_EXCEEDED").await, 3);
    assert_eq!(done_of(&b, "pay", 5, "QUOTA_EXCEEDED").await, 3);
    let test = daemon.client("test");
    assert_eq!(done_of(&test, "pay", 10, "").await, 10);
    // What the policy denies, or there is not, is not told of by a quota.
    let refusal = Refusal::expect(sign(&a, "none").await);
    assert_eq!(refusal.reason, "KEY_NOT_FOUND");
    let stranger = daemon.client("stranger");
    let refusal = Refusal::expect(sign(&stranger, "pay").await);
    assert_eq!(refusal.reason, "PERMISSION_DENIED");

    // The log has it as a refusal, the metrics as a number.
    let (_, metrics) = daemon.admin_get("/metrics");
    let line = "chancery_quota_refusals_total{quota=\"slow\",kind=\"per_second\"} 22";
    assert!(metrics.contains(line), "{metrics}");
    let log = log_of(&daemon);
    let refused = log.lines().filter(|line| line.contains("\"denied\""));
    let of_quota = refused.filter(|line| line.contains("QUOTA_EXCEEDED"));
    assert_eq!(of_quota.count(), 22);
}

/// Every item of a batch counts, and each is told by itself; a reload goes on counting.
#[tokio::test]
async fn items_of_a_batch_count_and_a_reload_forgets_nothing() {
    let quotas =
        "[[quotas]]\nname = \"q\"\nroles = [\"applications\"]\nper_second = 0.001\nburst = 4\n";
    let daemon = with_keys(Setup::new(Token::new("main")), quotas).await;
    let a = daemon.client("a");
    let requests = (0..6).map(|_| message("pay", A::Es256, b"one")).collect();
    let response = a.signing().batch_sign(BatchSignRequest { requests }).await;
    let results = response.unwrap().into_inner().results;
    let done =
        |one: &chancery::proto::v1::SignResult| matches!(one.result, Some(Outcome::Response(_)));
    let done: Vec<_> = results.iter().map(done).collect();
    assert_eq!(done, [true, true, true, true, false, false]);
    let Some(Outcome::Error(error)) = &results[5].result else {
        panic!("{results:?}");
    };
    assert_eq!(error.code, Code::ResourceExhausted as i32);

    let wider = policy(&quotas.replace("burst = 4", "burst = 9"));
    fs::write(daemon.policy_file(), wider).unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for_log("policy reloaded");
    exceeded(&sign(&a, "pay").await.unwrap_err());
    exceeded(&sign(&a, "log").await.unwrap_err());
}

#[tokio::test]
async fn a_day_has_so_many_also_after_a_restart() {
    away_from_midnight().await;
    let quotas = "[[quotas]]\nname = \"daily\"\nroles = [\"applications\"]\nper_day = 5\n";
    let mut daemon = with_keys(Setup::new(Token::new("main")), quotas).await;
    let a = daemon.client("a");
    assert_eq!(done_of(&a, "pay", 3, "QUOTA_EXCEEDED").await, 3);
    daemon.restart().await;
    let a = daemon.client("a");
    // Whichever key: it is one count.
    sign(&a, "log").await.unwrap();
    assert_eq!(done_of(&a, "pay", 20, "QUOTA_EXCEEDED").await, 1);
    daemon.crash_and_restart();
    let a = daemon.client("a");
    let (quota, kind, after) = exceeded(&sign(&a, "pay").await.unwrap_err());
    assert_eq!((&*quota, &*kind), ("daily", "per_day"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let left = 86_400 - now.as_secs() % 86_400;
    assert!(after.as_secs().abs_diff(left) <= 30, "{after:?}, {left}");
    assert_eq!(
        done_of(&daemon.client("b"), "pay", 9, "QUOTA_EXCEEDED").await,
        5
    );
}

#[tokio::test]
async fn so_many_at_the_same_time() {
    let quotas = "[[quotas]]\nname = \"lanes\"\nroles = [\"applications\"]\nconcurrent = 1\n";
    let daemon = with_keys(Setup::new(Token::new("main")), quotas).await;
    create(&daemon.client("test"), "mac", T::HmacSha256, &[A::Hs256]).await;
    let (a, b) = (daemon.client("a"), daemon.client("b"));
    // A long MAC is at work until its last chunk.
    let (chunks, outgoing) = mpsc::channel(4);
    let header = SignChunksHeader {
        name: "keys/mac".to_owned(),
        algorithm: A::Hs256.into(),
        ..SignChunksHeader::default()
    };
    let part = |part| SignChunksRequest { part: Some(part) };
    chunks.send(part(Part::Header(header))).await.unwrap();
    chunks.send(part(Part::Chunk("one".into()))).await.unwrap();
    let long = tokio::spawn({
        let a = a.clone();
        async move {
            let stream = ReceiverStream::new(outgoing);
            a.signing().sign_chunks(stream).await
        }
    });
    let begun = async {
        while !log_of(&daemon).contains("SigningService.SignChunks") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), begun)
        .await
        .expect("it is at work");
    let (quota, kind, after) = exceeded(&sign(&a, "pay").await.unwrap_err());
    assert_eq!((&*quota, &*kind), ("lanes", "concurrent"));
    assert!(after <= Duration::from_secs(1), "{after:?}");
    sign(&b, "pay").await.unwrap();
    drop(chunks);
    long.await.unwrap().unwrap();
    // When the answer is here, its place is free. Also after refusals, and after those who went away.
    for _ in 0..5 {
        Refusal::expect(sign(&a, "none").await);
        sign(&a, "pay").await.unwrap();
    }
}

#[tokio::test]
async fn random_bytes_count_too() {
    let quotas = r#"
[[quotas]]
name = "random"
identities = ["spiffe://chancery.test/test"]
operations = ["generate_random"]
per_second = 0.001
burst = 2
"#;
    let daemon = with_keys(Setup::new(Token::new("main")), quotas).await;
    let client = daemon.client("test");
    let random = async || {
        let request = GenerateRandomRequest {
            token: String::new(),
            length: 16,
        };
        client.keys().generate_random(request).await
    };
    random().await.unwrap();
    random().await.unwrap();
    exceeded(&random().await.unwrap_err());
    sign(&client, "pay").await.unwrap();
}

/// Each daemon reserves pieces of the day's count: together they do exactly as many as are allowed.
#[tokio::test]
async fn two_daemons_with_one_store_count_together() {
    away_from_midnight().await;
    let mut server = Server::start();
    let token = Arc::new(Token::new("main"));
    let store = format!(
        "[store.postgres]\nsocket = {:?}\ndatabase = \"postgres\"\nuser = \"chancery\"",
        server.home()
    );
    let quotas = r#"
[[quotas]]
name = "daily"
identities = ["spiffe://chancery.test/a"]
keys = ["pay"]
per_day = 150
[[quotas]]
name = "small"
identities = ["spiffe://chancery.test/a"]
keys = ["log"]
per_day = 50
"#;
    let setup = || Setup::new(Arc::clone(&token)).tables(&store);
    let here = with_keys(setup(), quotas).await;
    let there = setup().policy(&policy(quotas)).start();
    let (one, two) = (here.client("a"), there.client("a"));
    let (left, right) = tokio::join!(
        done_of(&one, "pay", 100, "QUOTA_EXCEEDED"),
        done_of(&two, "pay", 40, "QUOTA_EXCEEDED")
    );
    assert_eq!((left, right), (100, 40));
    let (left, right) = tokio::join!(
        done_of(&one, "pay", 50, "QUOTA_EXCEEDED"),
        done_of(&two, "pay", 50, "QUOTA_EXCEEDED")
    );
    assert_eq!(left + right, 10, "{left} and {right}");

    // Without the store what it must count is refused, and what need not be counted goes on.
    sign(&one, "log").await.unwrap();
    server.kill();
    let refusal = Refusal::expect(sign(&one, "log").await);
    assert_eq!(
        (refusal.code, &*refusal.reason),
        (Code::Unavailable, "QUOTA_NOT_COUNTED")
    );
    assert!(refusal.message.contains("the quota small"), "{refusal:?}");
    sign(&here.client("b"), "log").await.unwrap();
    server.restart();
    let again = async {
        while sign(&one, "log").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again)
        .await
        .expect("it is counted again");
}

async fn key(client: &Client, id: &str) -> Key {
    let name = format!("keys/{id}");
    let response = client.keys().get_key(GetKeyRequest { name }).await;
    response.unwrap().into_inner().key.unwrap()
}

async fn set_maximum(client: &Client, id: &str, maximum_uses: i64) -> Result<Key, Status> {
    let key = Key {
        name: format!("keys/{id}"),
        maximum_uses,
        ..Key::default()
    };
    let request = UpdateKeyRequest {
        key: Some(key),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["maximum_uses".to_owned()],
        }),
        request_id: String::new(),
    };
    let response = client.keys().update_key(request).await;
    response.map(|response| response.into_inner().key.unwrap())
}

/// 64 callers at once, and a crash: a version makes so many signatures and not one more; what it made is verified on.
#[tokio::test]
async fn a_version_is_used_so_often_and_never_more() {
    let mut daemon = Daemon::with(Token::new("main"));
    let client = daemon.client("test");
    let mut request = new_key("pay", T::EcP256, &[A::Es256]);
    request.maximum_uses = 100;
    client.keys().create_key(request).await.unwrap();
    let signed = message("pay", A::Es256, b"one");
    let first = client.signing().sign(signed.clone()).await;
    let first = first.unwrap().into_inner();
    assert_eq!(key(&client, "pay").await.versions[0].uses, Some(1));
    assert_eq!(done_of(&client, "pay", 49, "").await, 49);
    daemon.crash_and_restart();
    let client = daemon.client("test");
    let told = key(&client, "pay").await;
    assert_eq!((told.maximum_uses, told.versions[0].uses), (100, Some(50)));
    let callers = (0..64).map(|_| async {
        let client = client.clone();
        let mut done = 0;
        for _ in 0..3 {
            done += done_of(&client, "pay", 1, "KEY_USES_EXHAUSTED").await;
        }
        done
    });
    let done: usize = join_all(callers).await.into_iter().sum();
    assert_eq!(done, 50);
    let refusal = Refusal::expect(sign(&client, "pay").await);
    assert_eq!(
        (refusal.code, &*refusal.reason),
        (Code::FailedPrecondition, "KEY_USES_EXHAUSTED")
    );
    assert!(refusal.message.contains("rotate"), "{refusal:?}");
    assert_eq!(refusal.metadata["name"], "keys/pay/versions/1");
    assert_eq!(key(&client, "pay").await.versions[0].uses, Some(100));
    // What it has signed still verifies; the next version signs as often again.
    let verification = verification(&signed, &first.signature);
    let verified = client.signing().verify(verification).await.unwrap();
    assert!(verified.into_inner().valid);
    let next = CreateKeyVersionRequest {
        name: "keys/pay".to_owned(),
        make_primary: true,
        request_id: String::new(),
    };
    client.keys().create_key_version(next).await.unwrap();
    sign(&client, "pay").await.unwrap();

    // The limit goes down and never up.
    for (wrong, reason) in [
        (101, "MAXIMUM_USES_RAISED"),
        (0, "MAXIMUM_USES_RAISED"),
        (-1, "MAXIMUM_USES_INVALID"),
    ] {
        let refusal = Refusal::expect(set_maximum(&client, "pay", wrong).await);
        assert_eq!(refusal.reason, reason);
    }
    let lowered = set_maximum(&client, "pay", 4).await.unwrap();
    assert_eq!(lowered.maximum_uses, 4);
    assert_eq!(done_of(&client, "pay", 9, "KEY_USES_EXHAUSTED").await, 3);
    // A key without one can have one.
    create(&client, "log", T::EcP256, &[A::Es256]).await;
    sign(&client, "log").await.unwrap();
    set_maximum(&client, "log", 2).await.unwrap();
    assert_eq!(done_of(&client, "log", 9, "KEY_USES_EXHAUSTED").await, 2);
}
