//! A wider policy: in force when others have approved exactly it, and not by a start either.

use std::fs;

use chancery::{
    client::{Client, Code},
    proto::v1::{ChangePolicy, GetKeyRequest, ProposalState as State, proposed_act::Act},
};
use rustix::process::Signal;
use sha2::{Digest, Sha256};

use super::{
    approve, execute, get, is, policy, propose, put, refused, start, steps, try_propose, until,
};
use crate::{
    audited::{events, log_of, records},
    harness::{Daemon, Setup},
    softhsm::Token,
    store::postgres::Server,
};

#[tokio::test]
async fn a_wider_policy_comes_into_force_when_others_have_approved_exactly_it() {
    let mut daemon = start();
    let [author, one, two, three] =
        ["author", "one", "two", "three"].map(|name| daemon.client(name));
    let whole = policy(3600);
    let wider = whole.replace(
        r#"identities = ["spiffe://chancery.test/author"]
keys"#,
        r#"identities = ["spiffe://chancery.test/author", "spiffe://chancery.test/three"]
keys"#,
    );
    assert_ne!(wider, whole);
    let read_only = |text: &str| text.replace(r#""import", "destroy"]"#, r#""import"]"#);
    // Narrower: at once.
    put(&daemon, &read_only(&whole)).await;
    // What was taken away is not given back without approval, nor anything else.
    fs::write(daemon.policy_file(), &wider).unwrap();
    daemon.signal(Signal::HUP);
    let line = daemon.wait_for_log("the new policy is refused");
    assert!(line.contains("chancery policy propose"), "{line}");
    let (code, ready) = daemon.admin_get("/readyz");
    assert_eq!(code, 200, "{ready}");
    assert!(ready.contains("policy: the file is refused"), "{ready}");
    let (_, metrics) = daemon.admin_get("/metrics");
    assert!(
        metrics.contains("chancery_policy_file_refused 1"),
        "{metrics}"
    );
    let denied = is(Code::PermissionDenied, "PERMISSION_DENIED");
    let get_key = |client: &Client| {
        let mut keys = client.keys();
        async move {
            let name = "keys/none".to_owned();
            keys.get_key(GetKeyRequest { name }).await
        }
    };
    assert_eq!(refused(get_key(&three).await), denied);

    // A start is no way around it.
    daemon.terminate().await;
    let said = start_that_fails(&daemon);
    assert!(said.contains("chancery policy propose"), "{said}");
    assert!(
        said.contains(&hex::encode(Sha256::digest(&wider))),
        "{said}"
    );
    // With the file of before it starts, and the new one can be proposed.
    daemon.start_with_policy(&read_only(&whole));
    let [author, one, two, three] = {
        drop((author, one, two, three));
        ["author", "one", "two", "three"].map(|name| daemon.client(name))
    };
    let sha256 = hex::encode(Sha256::digest(&wider));
    let act = Act::ChangePolicy(ChangePolicy { sha256 });
    assert_eq!(refused(try_propose(&one, act.clone()).await), denied);
    let proposal = propose(&author, act).await;
    approve(&one, &proposal).await.unwrap();
    fs::write(daemon.policy_file(), &wider).unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("the new policy is refused");
    let by_hand = execute(&author, &proposal).await;
    assert_eq!(
        refused(by_hand),
        is(Code::FailedPrecondition, "PROPOSAL_OF_POLICY")
    );
    assert_eq!(refused(get_key(&three).await), denied);
    // The last approval is enough: nobody has to touch the file again.
    approve(&two, &proposal).await.unwrap();
    daemon.wait_for_log("policy reloaded");
    let found = until(async || match refused(get_key(&three).await) {
        (Code::NotFound, reason) => Some(reason),
        _ => None,
    });
    assert_eq!(found.await, "KEY_NOT_FOUND");
    assert_eq!(
        get(&author, &proposal).await.unwrap().state(),
        State::Succeeded
    );
    let (_, metrics) = daemon.admin_get("/metrics");
    assert!(
        metrics.contains("chancery_policy_file_refused 0"),
        "{metrics}"
    );

    // Once: back, and forth again, needs another.
    put(&daemon, &whole).await;
    fs::write(daemon.policy_file(), &wider).unwrap();
    daemon.signal(Signal::HUP);
    until(async || {
        let (_, ready) = daemon.admin_get("/readyz");
        ready.contains("policy: the file is refused").then_some(())
    })
    .await;
    daemon.terminate().await;
    let told = steps(&daemon, &proposal);
    let expected = [
        "proposed author",
        "approved one",
        "refused author PROPOSAL_OF_POLICY",
        "approved two",
        "executed",
    ];
    assert_eq!(told, expected);
    let records = records(&log_of(&daemon));
    let reloads = events(&records, "reloaded");
    // The change and the signal may each be seen.
    let mut applied: Vec<_> = reloads
        .iter()
        .filter(|one| one["what"] == "policy")
        .map(|one| (one["digest"].clone(), one["applied"] == true))
        .collect();
    applied.dedup();
    let applied: Vec<_> = applied.into_iter().map(|(_, applied)| applied).collect();
    assert_eq!(applied, [true, false, true, true, false]);
}

/// What was taken away while the store was down is not given back by a start.
#[tokio::test]
async fn a_narrower_policy_is_remembered_when_the_store_is_back() {
    let mut server = Server::start();
    let store = format!(
        "[store.postgres]\nsocket = {:?}\ndatabase = \"postgres\"\nuser = \"chancery\"",
        server.home()
    );
    let whole = policy(3600);
    let narrower = whole.replace(r#""import", "destroy"]"#, r#""import"]"#);
    assert_ne!(narrower, whole);
    let setup = Setup::new(Token::new("main")).policy(&whole);
    let mut daemon = setup.tables(&store).start();
    server.kill();
    put(&daemon, &narrower).await;
    server.restart();
    daemon.wait_for_log("the policy in force is remembered now");
    daemon.terminate().await;
    fs::write(daemon.policy_file(), &whole).unwrap();
    let said = start_that_fails(&daemon);
    assert!(said.contains("chancery policy propose"), "{said}");
}

/// What `chanceryd serve` says on the same directory, when it does not start.
fn start_that_fails(daemon: &Daemon) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_chanceryd"))
        .args(["serve", "--config"])
        .arg(daemon.directory().join("chancery.toml"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}
