//! The life of a proposal: approved by others and done, withdrawn, expired, or overtaken by what changed meanwhile.

use chancery::{
    client::Code,
    proto::v1::{
        Algorithm as A, DestroyKeyVersionRequest, KeyType as T, KeyVersionState,
        ProposalState as State, proposed_act::Act,
    },
};

use super::{
    allow, approve, destruction, execute, get, is, key, list, policy, propose, put, refused, start,
    state, steps, try_propose, until, withdraw,
};
use crate::{
    audited::{events, log_of, records},
    calls::create,
    harness::{Refusal, Setup},
    softhsm::Token,
};

#[tokio::test]
async fn what_is_under_approval_is_proposed_approved_and_done_once() {
    let mut daemon = start();
    let [author, one, two, three] =
        ["author", "one", "two", "three"].map(|name| daemon.client(name));
    create(&author, "pay", T::EcP256, &[A::Es256]).await;

    // Not directly.
    let direct = DestroyKeyVersionRequest {
        name: "keys/pay/versions/1".to_owned(),
        ..DestroyKeyVersionRequest::default()
    };
    let refusal = Refusal::expect(author.keys().destroy_key_version(direct.clone()).await);
    assert_eq!(refusal.code, Code::FailedPrecondition);
    assert_eq!(refusal.reason, "APPROVAL_REQUIRED");
    assert_eq!(refusal.metadata["approval"], "four-eyes");
    assert_eq!(refusal.metadata["required_approvals"], "2");
    assert!(
        refusal.message.contains("propose it"),
        "{}",
        refusal.message
    );
    // One who may not do it at all is told nothing of that, and can't propose it.
    let denied = is(Code::PermissionDenied, "PERMISSION_DENIED");
    assert_eq!(
        refused(one.keys().destroy_key_version(direct).await),
        denied
    );
    assert_eq!(
        refused(try_propose(&one, destruction("pay/versions/1")).await),
        denied
    );
    let nothing = try_propose(&author, destruction("pay/versions/9")).await;
    assert_eq!(
        refused(nothing),
        is(Code::NotFound, "KEY_VERSION_NOT_FOUND")
    );

    let proposal = propose(&author, destruction("pay/versions/1")).await;
    assert_eq!(proposal.state(), State::Pending);
    assert_eq!(proposal.author, "spiffe://chancery.test/author");
    assert_eq!(
        (&*proposal.approval, proposal.required_approvals),
        ("four-eyes", 2)
    );
    assert_eq!(state(&key(&author, "pay").await), KeyVersionState::Enabled);
    let early = execute(&author, &proposal).await;
    assert_eq!(
        refused(early),
        is(Code::FailedPrecondition, "PROPOSAL_UNAPPROVED")
    );

    // Approvers see exactly what it is; others see nothing.
    let shown = get(&one, &proposal).await.unwrap();
    assert_eq!(
        shown.act.unwrap().act.unwrap(),
        destruction("pay/versions/1")
    );
    assert_eq!(list(&one).await.len(), 1);
    assert_eq!(list(&three).await.len(), 0);
    assert_eq!(refused(get(&three, &proposal).await), denied);

    let own = approve(&author, &proposal).await;
    assert_eq!(
        refused(own),
        is(Code::PermissionDenied, "PROPOSAL_OWN_AUTHOR")
    );
    assert_eq!(refused(approve(&three, &proposal).await), denied);
    approve(&one, &proposal).await.unwrap();
    let twice = approve(&one, &proposal).await;
    assert_eq!(
        refused(twice),
        is(Code::AlreadyExists, "PROPOSAL_APPROVED_BEFORE")
    );
    let early = Refusal::expect(execute(&author, &proposal).await);
    assert!(early.message.contains("1 of 2"), "{}", early.message);
    let approved = approve(&two, &proposal).await.unwrap();
    assert_eq!(approved.state(), State::Approved);
    let not_his = execute(&one, &proposal).await;
    assert_eq!(
        refused(not_his),
        is(Code::PermissionDenied, "PROPOSAL_NOT_ITS_AUTHOR")
    );
    assert_eq!(state(&key(&author, "pay").await), KeyVersionState::Enabled);

    let done = execute(&author, &proposal).await.unwrap();
    let executed = done.proposal.clone().unwrap();
    assert_eq!(
        (executed.state(), &*executed.outcome),
        (State::Succeeded, "SUCCEEDED")
    );
    assert_eq!(
        state(done.key.as_ref().unwrap()),
        KeyVersionState::DestroyScheduled
    );
    assert_eq!(execute(&author, &proposal).await.unwrap(), done);
    let late = approve(&one, &proposal).await;
    assert_eq!(
        refused(late),
        is(Code::FailedPrecondition, "PROPOSAL_EXECUTED")
    );
    let late = withdraw(&author, &proposal).await;
    assert_eq!(
        refused(late),
        is(Code::FailedPrecondition, "PROPOSAL_EXECUTED")
    );

    daemon.terminate().await;
    let expected = [
        "proposed author",
        "refused author PROPOSAL_UNAPPROVED",
        "refused author PROPOSAL_OWN_AUTHOR",
        "refused three PERMISSION_DENIED",
        "approved one",
        "refused one PROPOSAL_APPROVED_BEFORE",
        "refused author PROPOSAL_UNAPPROVED",
        "approved two",
        "refused one PROPOSAL_NOT_ITS_AUTHOR",
        "executed author",
        "refused one PROPOSAL_EXECUTED",
        "refused author PROPOSAL_EXECUTED",
    ];
    assert_eq!(steps(&daemon, &proposal), expected);
    // What was done stands under the call that did it; what was refused is there too.
    let records = records(&log_of(&daemon));
    let intents = events(&records, "intent");
    let did = |call: &str, operation: &str| {
        intents
            .iter()
            .filter(|one| one["call"] == call && one["subject"]["operation"] == operation)
            .count()
    };
    // Once, and when it was asked for again.
    assert_eq!(did("ApprovalService.ExecuteProposal", "destroy"), 2);
    // Both approvals, and the two that came too often or too late.
    assert_eq!(did("ApprovalService.ApproveProposal", "approve"), 4);
    let denials = events(&records, "denied");
    let direct = denials
        .iter()
        .find(|one| one["call"] == "KeyService.DestroyKeyVersion");
    assert_eq!(direct.unwrap()["reason"]["other"], "APPROVAL_REQUIRED");
}

#[tokio::test]
async fn what_is_withdrawn_is_never_done() {
    let daemon = start();
    let [author, one] = ["author", "one"].map(|name| daemon.client(name));
    create(&author, "pay", T::EcP256, &[A::Es256]).await;

    let back = propose(&author, destruction("pay/versions/1")).await;
    let not_his = withdraw(&one, &back).await;
    assert_eq!(
        refused(not_his),
        is(Code::PermissionDenied, "PROPOSAL_NOT_ITS_AUTHOR")
    );
    assert_eq!(
        withdraw(&author, &back).await.unwrap().state(),
        State::Withdrawn
    );
    let withdrawn = is(Code::FailedPrecondition, "PROPOSAL_WITHDRAWN");
    assert_eq!(refused(approve(&one, &back).await), withdrawn);
    assert_eq!(refused(execute(&author, &back).await), withdrawn);
    assert_eq!(state(&key(&author, "pay").await), KeyVersionState::Enabled);
}

#[tokio::test]
async fn what_has_expired_is_never_done() {
    let mut daemon = Setup::new(Token::new("main")).policy(&policy(2)).start();
    let [author, one, two] = ["author", "one", "two"].map(|name| daemon.client(name));
    create(&author, "pay", T::EcP256, &[A::Es256]).await;

    let expired = is(Code::FailedPrecondition, "PROPOSAL_EXPIRED");
    // Both must approve in time, which a busy machine may not let them.
    let late = loop {
        let late = propose(&author, destruction("pay/versions/1")).await;
        let approvals = [approve(&one, &late).await, approve(&two, &late).await];
        match approvals.into_iter().find_map(Result::err) {
            None => break late,
            Some(status) => assert_eq!(refused::<()>(Err(status)), expired),
        }
    };
    until(async || {
        let now = get(&author, &late).await.unwrap();
        (now.state() == State::Expired).then_some(())
    })
    .await;
    assert_eq!(refused(execute(&author, &late).await), expired);
    assert_eq!(state(&key(&author, "pay").await), KeyVersionState::Enabled);
    // The log is told by the daemon itself, once, also if it is started again.
    until(async || {
        let told = steps(&daemon, &late).contains(&"expired".to_owned());
        told.then_some(())
    })
    .await;
    daemon.restart().await;
    daemon.terminate().await;
    let expected = [
        "proposed author",
        "approved one",
        "approved two",
        "refused author PROPOSAL_EXPIRED",
        "expired",
    ];
    let mut told = steps(&daemon, &late);
    told.sort();
    let mut expected = expected.map(str::to_owned);
    expected.sort();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn the_policy_of_the_moment_decides_and_so_does_the_key() {
    let daemon = start();
    let [author, one, two] = ["author", "one", "two"].map(|name| daemon.client(name));
    create(&author, "pay", T::EcP256, &[A::Es256]).await;
    let act = Act::DestroyKeyVersion(DestroyKeyVersionRequest {
        name: "keys/pay/versions/1".to_owned(),
        etag: key(&author, "pay").await.etag,
        ..DestroyKeyVersionRequest::default()
    });
    let [proposal, changed] = [
        propose(&author, act.clone()).await,
        propose(&author, act).await,
    ];
    for proposal in [&proposal, &changed] {
        approve(&one, proposal).await.unwrap();
        approve(&two, proposal).await.unwrap();
    }

    // The approver has lost the right; the author has lost it; both have it again.
    let whole = policy(3600);
    let without_two = whole.replace(r#", "spiffe://chancery.test/two""#, "");
    let powerless = whole.replace(r#""import", "destroy"]"#, r#""import"]"#);
    assert!(without_two != whole && powerless != whole);
    // A policy without `widen_policy`, so that this test can change it at will, takes two approvers.
    let free = |text: &str| text.replace(r#", "widen_policy"]"#, "]");
    allow(&daemon, &[&one, &two], &author, &free(&whole)).await;
    put(&daemon, &free(&without_two)).await;
    let refusal = Refusal::expect(execute(&author, &proposal).await);
    assert_eq!(refusal.reason, "PROPOSAL_UNAPPROVED");
    assert!(refusal.message.contains("1 of 2"), "{}", refusal.message);
    put(&daemon, &free(&powerless)).await;
    let denied = is(Code::PermissionDenied, "PERMISSION_DENIED");
    assert_eq!(refused(execute(&author, &proposal).await), denied);
    put(&daemon, &free(&whole)).await;
    assert_eq!(state(&key(&author, "pay").await), KeyVersionState::Enabled);
    execute(&author, &proposal).await.unwrap();

    // The other was approved for the key as it was then.
    assert_eq!(
        refused(execute(&author, &changed).await),
        is(Code::Aborted, "ETAG_MISMATCH")
    );
    assert_eq!(get(&one, &changed).await.unwrap().state(), State::Failed);
}

#[tokio::test]
async fn what_was_cut_off_is_done_only_if_its_approvals_still_count() {
    // A policy that this test can change at will.
    let whole = policy(3600).replace(r#", "widen_policy"]"#, "]");
    let quota = r#"
[[quotas]]
name = "few"
roles = ["authors"]
operations = ["destroy"]
per_second = 0.001
burst = 1
[[roles]]
name = "authors"
identities = ["spiffe://chancery.test/author"]
"#;
    let daemon = Setup::new(Token::new("main"))
        .policy(&format!("{whole}{quota}"))
        .start();
    let [author, one, two] = ["author", "one", "two"].map(|name| daemon.client(name));
    create(&author, "pay", T::EcP256, &[A::Es256]).await;
    let proposal = propose(&author, destruction("pay/versions/1")).await;
    approve(&one, &proposal).await.unwrap();
    approve(&two, &proposal).await.unwrap();
    // To propose it took all that the quota gives: the execution begins, and is cut off by what passes.
    assert_eq!(
        refused(execute(&author, &proposal).await),
        is(Code::ResourceExhausted, "QUOTA_EXCEEDED")
    );
    let cut_off = get(&author, &proposal).await.unwrap();
    assert_eq!(cut_off.state(), State::Executing);

    let unapproved = is(Code::FailedPrecondition, "PROPOSAL_UNAPPROVED");
    put(
        &daemon,
        &whole.replace(r#", "spiffe://chancery.test/two""#, ""),
    )
    .await;
    assert_eq!(refused(execute(&author, &proposal).await), unapproved);
    put(&daemon, &whole.replace("required = 2", "required = 3")).await;
    assert_eq!(refused(execute(&author, &proposal).await), unapproved);
    assert_eq!(state(&key(&author, "pay").await), KeyVersionState::Enabled);
    put(&daemon, &whole).await;
    let done = execute(&author, &proposal).await.unwrap();
    assert_eq!(done.proposal.unwrap().state(), State::Succeeded);
}
