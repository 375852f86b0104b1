//! A request that is repeated under its id: answered again only to whom it would be answered now, and recorded.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use chancery::{
    client::{Client, Code},
    proto::v1::{
        Algorithm as A, DestroyKeyVersionRequest, Key, KeyType as T, KeyVersion,
        KeyVersionState as State, SignRequest, SignResponse, UpdateKeyRequest,
        UpdateKeyVersionRequest,
    },
};
use prost_types::FieldMask;
use rustix::process::Signal;
use serde_json::Value;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    audited::{events, hash, log_of, records},
    calls::{create, message, new_key},
    harness::{ALLOW_TEST, Daemon, Refusal, Setup},
    softhsm::Token,
};

const TEXT: &[u8] = b"pay 100 to the usual account";

fn identified() -> SignRequest {
    SignRequest {
        request_id: "a1".to_owned(),
        ..message("pay", A::Es256, TEXT)
    }
}

async fn sign(client: &Client, request: SignRequest) -> Result<SignResponse, tonic::Status> {
    let response = client.signing().sign(request).await;
    response.map(tonic::Response::into_inner)
}

/// Has a version put in another state.
pub async fn turn(client: &Client, version: &str, state: State) {
    let request = UpdateKeyVersionRequest {
        key_version: Some(KeyVersion {
            name: version.to_owned(),
            state: state.into(),
            ..KeyVersion::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["state".to_owned()],
        }),
        ..UpdateKeyVersionRequest::default()
    };
    client.keys().update_key_version(request).await.unwrap();
}

/// Puts another policy in force.
pub fn put(daemon: &Daemon, policy: &str) {
    let digest = &hash(policy.as_bytes())[..16];
    let reloads = || {
        let lines = daemon.log_lines();
        let reloaded = |line: &&String| line.contains("policy reloaded") && line.contains(digest);
        lines.iter().filter(reloaded).count()
    };
    let before = reloads();
    fs::write(daemon.policy_file(), policy).unwrap();
    daemon.signal(Signal::HUP);
    let deadline = Instant::now() + Duration::from_secs(60);
    while reloads() == before {
        assert!(Instant::now() < deadline, "the policy is not read again");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the log has of signing with the key: of each intent how it ended and the hash of its signature; and denials.
fn signings(log: &Path) -> (Vec<(Value, Value)>, usize) {
    let records = records(log);
    let is_sign = |subject: &Value| subject["operation"] == "sign" && subject["key"] == "pay";
    let mut ended = Vec::new();
    for record in &records {
        let Some(intent) = record["event"].get("intent") else {
            continue;
        };
        if !is_sign(&intent["subject"]) {
            continue;
        }
        assert_eq!(intent["input"]["sha256"], hash(TEXT));
        assert_eq!(intent["subject"]["version"], 1);
        let outcomes = events(&records, "outcome");
        let outcome = outcomes
            .into_iter()
            .find(|one| one["intent"] == record["sequence"]);
        let outcome = outcome.expect("an outcome before the answer");
        ended.push((outcome["result"].clone(), outcome["signature"].clone()));
    }
    let denied = events(&records, "denied");
    let denied = denied.iter().filter(|one| is_sign(&one["subject"])).count();
    (ended, denied)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_again_is_what_would_be_answered_now() {
    let daemon = Daemon::with(Token::new("repeated"));
    let client = daemon.client("test");
    create(&client, "pay", T::EcP256, &[A::Es256]).await;
    let first = sign(&client, identified()).await.unwrap();
    let log = log_of(&daemon);
    let made = (
        Value::from("succeeded"),
        Value::from(hash(&first.signature)),
    );
    assert_eq!(signings(&log), (vec![made.clone()], 0));

    // Once more: the same bytes, and it is in the log, where nothing was signed.
    assert_eq!(sign(&client, identified()).await.unwrap(), first);
    let again = (Value::from("repeated"), Value::Null);
    assert_eq!(signings(&log), (vec![made.clone(), again.clone()], 0));

    // A rule that has gone, one for other messages, one for another time: as if it were the first time.
    let nothing = "operations = [\"sign\", ";
    let short = format!(
        "{}\n[[rules]]\nname = \"short\"\nidentities = [\"spiffe://chancery.test/*\"]\nkeys = [\"*\"]\noperations = [\"sign\"]\n\
         algorithms = [\"*\"]\nmax_bytes = 4\n",
        ALLOW_TEST.replace(nothing, "operations = [")
    );
    let before = format!(
        "{}\n[[rules]]\nname = \"before\"\nidentities = [\"spiffe://chancery.test/*\"]\nkeys = [\"*\"]\noperations = [\"sign\"]\n\
         algorithms = [\"*\"]\nnot_after = \"2020-01-01T00:00:00Z\"\n",
        ALLOW_TEST.replace(nothing, "operations = [")
    );
    let gone = ALLOW_TEST.replace(nothing, "operations = [");
    for (number, policy) in [gone, short, before].iter().enumerate() {
        put(&daemon, policy);
        let refusal = Refusal::expect(sign(&client, identified()).await);
        assert_eq!(refusal.code, Code::PermissionDenied, "{policy}");
        assert_eq!(
            signings(&log),
            (vec![made.clone(), again.clone()], number + 1)
        );
    }

    // A version that was turned off since gives nothing out, also when another is the primary one.
    put(&daemon, ALLOW_TEST);
    turn(&client, "keys/pay/versions/1", State::Disabled).await;
    let refusal = Refusal::expect(sign(&client, identified()).await);
    assert_eq!(refusal.reason, "KEY_VERSION_DISABLED");
    turn(&client, "keys/pay/versions/1", State::Enabled).await;
    assert_eq!(sign(&client, identified()).await.unwrap(), first);
    let (ended, _) = signings(&log);
    assert_eq!(ended, [made, again.clone(), again]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_is_answered_again_only_to_whom_it_is_permitted() {
    let daemon = Daemon::with(Token::new("repeated"));
    let client = daemon.client("test");
    let mut creation = new_key("pay", T::EcP256, &[A::Es256]);
    creation.request_id = "make".to_owned();
    let renaming = UpdateKeyRequest {
        key: Some(Key {
            name: "keys/pay".to_owned(),
            description: "pays".to_owned(),
            ..Key::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["description".to_owned()],
        }),
        request_id: "say".to_owned(),
    };
    let ending = DestroyKeyVersionRequest {
        name: "keys/pay/versions/1".to_owned(),
        request_id: "end".to_owned(),
        ..DestroyKeyVersionRequest::default()
    };
    let made = client.keys().create_key(creation.clone()).await.unwrap();
    let said = client.keys().update_key(renaming.clone()).await.unwrap();
    let mut keys = client.keys();
    let ended = keys.destroy_key_version(ending.clone()).await.unwrap();

    let all = async || {
        let mut keys = client.keys();
        let made = keys.create_key(creation.clone()).await;
        let said = keys.update_key(renaming.clone()).await;
        let ended = keys.destroy_key_version(ending.clone()).await;
        (
            made.map(tonic::Response::into_inner),
            said.map(tonic::Response::into_inner),
            ended.map(tonic::Response::into_inner),
        )
    };
    let (same_made, same_said, same_ended) = all().await;
    assert_eq!(same_made.unwrap(), made.into_inner());
    assert_eq!(same_said.unwrap(), said.into_inner());
    assert_eq!(same_ended.unwrap(), ended.into_inner());
    let records_of = |kind: &str| {
        let records = records(&log_of(&daemon));
        events(&records, kind)
            .into_iter()
            .cloned()
            .collect::<Vec<_>>()
    };
    let repeated = || {
        let outcomes = records_of("outcome");
        let repeated = outcomes
            .iter()
            .filter(|outcome| outcome["result"] == "repeated");
        repeated.count()
    };
    assert_eq!(repeated(), 3);

    let mut policy = ALLOW_TEST.to_owned();
    for operation in ["create", "update", "destroy"] {
        policy = policy.replace(&format!("\"{operation}\", "), "");
        policy = policy.replace(&format!(", \"{operation}\""), "");
    }
    put(&daemon, &policy);
    let before = records_of("denied").len();
    let (made, said, ended) = all().await;
    for (operation, refusal) in [
        ("create", Refusal::expect(made)),
        ("update", Refusal::expect(said)),
        ("destroy", Refusal::expect(ended)),
    ] {
        assert_eq!(refusal.reason, "PERMISSION_DENIED", "{operation}");
    }
    let denied = records_of("denied");
    let denied: Vec<_> = denied[before..]
        .iter()
        .map(|one| one["subject"]["operation"].as_str().unwrap())
        .collect();
    assert_eq!(denied, ["create", "update", "destroy"]);
    assert_eq!(repeated(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_which_nobody_knows_what_permitted_it_is_not_given() {
    let mut daemon = Setup::new(Arc::new(Token::new("repeated"))).start();
    let client = daemon.client("test");
    create(&client, "pay", T::EcP256, &[A::Es256]).await;
    sign(&client, identified()).await.unwrap();
    let file = daemon.directory().join("state/chancery.db");
    let lookup = r#"[{"operation":"get","key":"pay"}]"#;
    let unversioned = r#"[{"operation":"sign","key":"pay","algorithms":["ES256"]}]"#;
    let other = r#"[{"operation":"sign","key":"pay","version":1,"algorithms":["ES256"],"more":1}]"#;
    for permitted in [
        None,
        Some(""),
        Some("[]"),
        Some("null"),
        Some(unversioned),
        Some(other),
        Some(lookup),
    ] {
        daemon.terminate().await;
        let options = SqliteConnectOptions::new().filename(&file);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let changed = sqlx::query("UPDATE request SET permitted = $1 WHERE answer IS NOT NULL")
            .bind(permitted)
            .execute(&mut connection)
            .await
            .unwrap();
        assert_eq!(changed.rows_affected(), 1);
        connection.close().await.unwrap();
        daemon.start_again();
        let client = daemon.client("test");
        let answered = sign(&client, identified()).await;
        let refusal = Refusal::expect(answered);
        assert_eq!(refusal.reason, "REQUEST_ANSWER_UNREADABLE", "{permitted:?}");
        assert_eq!(refusal.code, Code::Internal);
    }
}
