//! Done once: asked for by many at a time, through a crash, and through two daemons on one store.

use std::sync::Arc;

use chancery::{
    client::Code,
    proto::v1::{
        Algorithm as A, GetKeyRequest, KeyType as T, KeyVersionState, ProposalState as State,
        proposed_act::Act,
    },
};

use super::{
    approve, destruction, execute, get, is, key, policy, propose, refused, start, state, steps,
    try_propose, until,
};
use crate::{
    calls::{create, new_key},
    harness::Setup,
    softhsm::Token,
    store::postgres::Server,
};

#[tokio::test]
async fn a_critical_key_is_made_by_more_than_one() {
    let daemon = start();
    let [author, one, two] = ["author", "one", "two"].map(|name| daemon.client(name));
    let mut wanted = new_key("root", T::EcP256, &[A::Es256]);
    let plain = try_propose(&author, Act::CreateKey(wanted.clone())).await;
    assert_eq!(
        refused(plain),
        is(Code::InvalidArgument, "KEY_NOT_CRITICAL")
    );
    wanted.critical = true;
    let direct = author.keys().create_key(wanted.clone()).await;
    assert_eq!(
        refused(direct),
        is(Code::FailedPrecondition, "APPROVAL_REQUIRED")
    );

    let proposal = propose(&author, Act::CreateKey(wanted.clone())).await;
    approve(&one, &proposal).await.unwrap();
    approve(&two, &proposal).await.unwrap();
    // Sixteen at once make one key.
    let tries = (0..16).map(|_| execute(&author, &proposal));
    let answers = futures_util::future::join_all(tries).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
    let made = key(&author, "root").await;
    assert!(made.critical);
    assert_eq!(made.versions.len(), 1);
    assert_eq!(made.versions[0].created_by, "spiffe://chancery.test/author");
    let log = steps(&daemon, &proposal);
    assert_eq!(
        log.iter()
            .filter(|step| **step == "executed author")
            .count(),
        1,
        "{log:?}"
    );

    // What failed is not tried for ever: the name is taken.
    let again = propose(&author, Act::CreateKey(wanted)).await;
    approve(&one, &again).await.unwrap();
    approve(&two, &again).await.unwrap();
    assert_eq!(
        refused(execute(&author, &again).await),
        is(Code::AlreadyExists, "KEY_EXISTS")
    );
    let failed = get(&one, &again).await.unwrap();
    assert_eq!(
        (failed.state(), &*failed.outcome),
        (State::Failed, "KEY_EXISTS")
    );
    let over = execute(&author, &again).await;
    assert_eq!(
        refused(over),
        is(Code::FailedPrecondition, "PROPOSAL_EXECUTED")
    );
}

#[tokio::test]
async fn a_daemon_that_is_killed_does_it_after_all_and_once() {
    let mut daemon = start();
    let [author, one, two] = ["author", "one", "two"].map(|name| daemon.client(name));
    let mut wanted = new_key("root", T::EcP256, &[A::Es256]);
    wanted.critical = true;
    let proposal = propose(&author, Act::CreateKey(wanted)).await;
    approve(&one, &proposal).await.unwrap();
    approve(&two, &proposal).await.unwrap();
    daemon.crash_and_restart();
    // And again while it is executed: whatever came of it, asked again it is done.
    let author = daemon.client("author");
    let racing = {
        let (author, proposal) = (author.clone(), proposal.clone());
        tokio::spawn(async move { execute(&author, &proposal).await })
    };
    until(async || {
        let now = get(&author, &proposal).await;
        let begun = now.is_ok_and(|now| now.state() != State::Approved);
        begun.then_some(())
    })
    .await;
    daemon.crash_and_restart();
    drop(racing.await);
    let author = daemon.client("author");
    let done = until(async || execute(&author, &proposal).await.ok()).await;
    assert_eq!(done.proposal.clone().unwrap().state(), State::Succeeded);
    daemon.crash_and_restart();
    let author = daemon.client("author");
    assert_eq!(execute(&author, &proposal).await.unwrap(), done);
    let made = key(&author, "root").await;
    assert!(made.critical);
    assert_eq!(made.versions.len(), 1);
}

#[tokio::test]
async fn two_daemons_share_proposals() {
    let server = Server::start();
    let token = Arc::new(Token::new("main"));
    let store = format!(
        "[store.postgres]\nsocket = {:?}\ndatabase = \"postgres\"\nuser = \"chancery\"",
        server.home()
    );
    let start = || {
        let setup = Setup::new(Arc::clone(&token)).policy(&policy(3600));
        setup.tables(&store).start()
    };
    let (here, there) = (start(), start());
    let author = here.client("author");
    create(&author, "pay", T::EcP256, &[A::Es256]).await;
    let proposal = propose(&author, destruction("pay/versions/1")).await;
    approve(&here.client("one"), &proposal).await.unwrap();
    let twice = approve(&there.client("one"), &proposal).await;
    assert_eq!(
        refused(twice),
        is(Code::AlreadyExists, "PROPOSAL_APPROVED_BEFORE")
    );
    approve(&there.client("two"), &proposal).await.unwrap();
    let other = there.client("author");
    // As soon as the other one has heard of the key.
    until(async || {
        let name = "keys/pay".to_owned();
        other.keys().get_key(GetKeyRequest { name }).await.ok()
    })
    .await;
    // Through both at once: done once, and the same answer.
    let (left, right) = tokio::join!(execute(&author, &proposal), execute(&other, &proposal));
    let (left, right) = (left.unwrap(), right.unwrap());
    assert_eq!(left, right);
    assert_eq!(state(&left.key.unwrap()), KeyVersionState::DestroyScheduled);
    let all = [steps(&here, &proposal), steps(&there, &proposal)].concat();
    assert_eq!(
        all.iter()
            .filter(|step| **step == "executed author")
            .count(),
        1,
        "{all:?}"
    );
}
