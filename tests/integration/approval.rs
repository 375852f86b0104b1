//! Dangerous acts under approval: nobody does them alone, nothing is done twice, and all of it is in the log.

use std::{fs, sync::Arc, time::Duration};

use chancery::{
    client::{Client, Code},
    proto::v1::{
        Algorithm as A, ApproveProposalRequest, ChangePolicy, CreateProposalRequest,
        DestroyKeyVersionRequest, ExecuteProposalRequest, ExecuteProposalResponse, GetKeyRequest,
        GetProposalRequest, Key, KeyType as T, KeyVersionState, ListProposalsRequest, Proposal,
        ProposalState as State, ProposedAct, WithdrawProposalRequest, proposed_act::Act,
    },
};
use rustix::process::Signal;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    audited::{events, log_of, records},
    calls::{create, new_key},
    cli::Cli,
    harness::{ALLOW_TEST, Daemon, Refusal, Setup},
    softhsm::Token,
    store::postgres::Server,
};

/// `author` may do it, and is an approver too; `one`, `two` and `three` approve.
fn policy(expires_after_seconds: u32) -> String {
    format!(
        r#"{ALLOW_TEST}
[[roles]]
name = "approvers"
identities = ["spiffe://chancery.test/one", "spiffe://chancery.test/two", "spiffe://chancery.test/author"]

[[rules]]
name = "administers"
identities = ["spiffe://chancery.test/author"]
keys = ["*"]
operations = ["create", "get", "import", "destroy"]
algorithms = ["*"]

[[rules]]
name = "proposes-policies"
identities = ["spiffe://chancery.test/author"]
operations = ["change_policy"]

[[approvals]]
name = "four-eyes"
acts = ["destroy_key_version", "import_key", "create_critical_key", "widen_policy"]
approvers = ["approvers"]
required = 2
expires_after_seconds = {expires_after_seconds}
"#
    )
}

fn start() -> Daemon {
    Setup::new(Token::new("main")).policy(&policy(3600)).start()
}

fn destruction(version: &str) -> Act {
    Act::DestroyKeyVersion(DestroyKeyVersionRequest {
        name: format!("keys/{version}"),
        ..DestroyKeyVersionRequest::default()
    })
}

async fn try_propose(client: &Client, act: Act) -> Result<Proposal, tonic::Status> {
    let request = CreateProposalRequest {
        act: Some(ProposedAct {
            act: Some(act),
            ..ProposedAct::default()
        }),
        ..CreateProposalRequest::default()
    };
    let response = client.approvals().create_proposal(request).await;
    response.map(|response| response.into_inner().proposal.unwrap())
}

async fn propose(client: &Client, act: Act) -> Proposal {
    try_propose(client, act).await.unwrap()
}

async fn approve(client: &Client, proposal: &Proposal) -> Result<Proposal, tonic::Status> {
    let name = proposal.name.clone();
    let request = ApproveProposalRequest { name };
    let response = client.approvals().approve_proposal(request).await;
    response.map(|response| response.into_inner().proposal.unwrap())
}

async fn withdraw(client: &Client, proposal: &Proposal) -> Result<Proposal, tonic::Status> {
    let name = proposal.name.clone();
    let request = WithdrawProposalRequest { name };
    let response = client.approvals().withdraw_proposal(request).await;
    response.map(|response| response.into_inner().proposal.unwrap())
}

async fn get(client: &Client, proposal: &Proposal) -> Result<Proposal, tonic::Status> {
    let name = proposal.name.clone();
    let request = GetProposalRequest { name };
    let response = client.approvals().get_proposal(request).await;
    response.map(|response| response.into_inner().proposal.unwrap())
}

async fn list(client: &Client) -> Vec<Proposal> {
    let request = ListProposalsRequest::default();
    let response = client.approvals().list_proposals(request).await;
    response.unwrap().into_inner().proposals
}

async fn execute(
    client: &Client,
    proposal: &Proposal,
) -> Result<ExecuteProposalResponse, tonic::Status> {
    execute_with(client, proposal, b"").await
}

async fn execute_with(
    client: &Client,
    proposal: &Proposal,
    wrapped_key: &[u8],
) -> Result<ExecuteProposalResponse, tonic::Status> {
    let request = ExecuteProposalRequest {
        name: proposal.name.clone(),
        wrapped_key: wrapped_key.to_vec().into(),
    };
    let response = client.approvals().execute_proposal(request).await;
    response.map(tonic::Response::into_inner)
}

async fn key(client: &Client, id: &str) -> Key {
    let name = format!("keys/{id}");
    let response = client.keys().get_key(GetKeyRequest { name }).await;
    response.unwrap().into_inner().key.unwrap()
}

fn state(key: &Key) -> KeyVersionState {
    key.versions[0].state()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, tonic::Status>) -> (Code, String) {
    let refusal = Refusal::expect(result);
    (refusal.code, refusal.reason)
}

fn is(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

/// Asks until it is so.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let ask_on = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), ask_on).await;
    answer.expect("it never was so")
}

/// The steps of a proposal in the log: which, by whom, and why not.
fn steps(daemon: &Daemon, proposal: &Proposal) -> Vec<String> {
    let id = proposal.name.strip_prefix("proposals/").unwrap();
    let records = records(&log_of(daemon));
    let steps = events(&records, "proposal");
    let steps = steps.into_iter().filter(|step| step["proposal"] == id);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    steps
        .map(|step| {
            let by = text(&step["by"]["identity"]);
            let by = by.strip_prefix("spiffe://chancery.test/").unwrap_or(&by);
            let line = format!("{} {by} {}", text(&step["step"]), text(&step["reason"]));
            line.trim_end().to_owned()
        })
        .collect()
}

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
async fn what_is_withdrawn_or_expired_is_never_done() {
    let mut daemon = Setup::new(Token::new("main")).policy(&policy(2)).start();
    let [author, one, two] = ["author", "one", "two"].map(|name| daemon.client(name));
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

    let late = propose(&author, destruction("pay/versions/1")).await;
    approve(&one, &late).await.unwrap();
    approve(&two, &late).await.unwrap();
    until(async || {
        let now = get(&author, &late).await.unwrap();
        (now.state() == State::Expired).then_some(())
    })
    .await;
    let expired = is(Code::FailedPrecondition, "PROPOSAL_EXPIRED");
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
    assert!(!steps(&daemon, &back).contains(&"expired".to_owned()));
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_brought_in_from_the_command_line() {
    let daemon = start();
    let file = |name: &str| daemon.directory().join(name).display().to_string();
    let [author, one, two] = ["author", "one", "two"].map(|name| Cli::new(&daemon, name));
    let secret = file("secret");
    fs::write(&secret, b"a secret that the bank has given us").unwrap();
    let (wrapped, other) = (file("wrapped"), file("other"));
    let import = [
        "keys",
        "import",
        "bank",
        "--file",
        &secret,
        "--encoding",
        "utf8",
    ];
    let import = [&import[..], &["--algorithm", "HS256"]].concat();
    let direct = author.run(&import, b"");
    assert_eq!(direct.code, 1, "{}", direct.error);
    assert!(
        direct.error.contains("APPROVAL_REQUIRED"),
        "{}",
        direct.error
    );
    assert!(
        direct.error.contains("approval: four-eyes"),
        "{}",
        direct.error
    );

    let proposed = author.json(&[&import[..], &["--propose", &wrapped]].concat());
    let name = proposed["name"].as_str().unwrap().to_owned();
    let id = name.strip_prefix("proposals/").unwrap();
    let sha256 = hex::encode(Sha256::digest(fs::read(&wrapped).unwrap()));
    // Nothing of the key is kept or shown, but for the hash of what is wrapped.
    let shown = one.json(&["proposals", "show", id]);
    assert_eq!(shown["content"]["wrapped_key_sha256"], *sha256);
    assert_eq!(shown["content"]["key_id"], "bank");
    assert_eq!(
        (&shown["act"], &shown["state"]),
        (&"import_key".into(), &"pending".into())
    );
    let text = String::from_utf8(two.ok(&["proposals", "show", &name], b"")).unwrap();
    for part in [&*sha256, "0 of 2, by four-eyes", "HS256", "token-only"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for file in fs::read_dir(daemon.directory().join("state")).unwrap() {
        let path = file.unwrap().path();
        let Ok(bytes) = fs::read(&path) else { continue };
        let wrapped = fs::read(&wrapped).unwrap();
        let is_there = bytes.windows(64).any(|window| window == &wrapped[..64]);
        assert!(!is_there, "{} has the wrapped key", path.display());
    }

    let own = author.run(&["proposals", "approve", id], b"");
    assert_eq!(own.code, 3, "{}", own.error);
    assert!(
        own.error.contains("expected another approver"),
        "{}",
        own.error
    );
    one.ok(&["proposals", "approve", id], b"");
    let listed = two.json(&["proposals", "list", "--open"]);
    assert_eq!(listed["proposals"][0]["name"], *name);
    two.ok(&["proposals", "approve", id], b"");

    // Wrapped anew it is another: what was approved is what is brought in.
    let again = author.json(&[&import[..], &["--propose", &other]].concat());
    for given in [&[][..], &["--wrapped", &other]] {
        let changed = author.run(&[&["proposals", "execute", id][..], given].concat(), b"");
        assert_eq!(changed.code, 1, "{}", changed.error);
        assert!(
            changed.error.contains("PROPOSAL_CONTENT_CHANGED"),
            "{}",
            changed.error
        );
    }
    let done = author.json(&["proposals", "execute", id, "--wrapped", &wrapped]);
    assert_eq!(done["key"]["name"], "keys/bank");
    assert_eq!(done["proposal"]["state"], "succeeded");
    author.ok(
        &["proposals", "withdraw", again["name"].as_str().unwrap()],
        b"",
    );
    assert_eq!(
        two.json(&["proposals", "list", "--open"])["proposals"],
        serde_json::json!([])
    );
    assert_eq!(
        two.ok(&["proposals", "list"], b"")
            .iter()
            .filter(|byte| **byte == b'\n')
            .count(),
        2
    );
    // The MAC is that of the secret.
    let test = Cli::new(&daemon, "test");
    let mac = test.ok(
        &[
            "mac",
            "sign",
            "--key",
            "bank",
            "--algorithm",
            "HS256",
            "--hex",
        ],
        b"message",
    );
    let mut expected =
        <hmac::Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&fs::read(&secret).unwrap()).unwrap();
    hmac::Mac::update(&mut expected, b"message");
    let expected = hex::encode(hmac::Mac::finalize(expected).into_bytes());
    assert_eq!(String::from_utf8(mac).unwrap().trim(), expected);

    // The other acts are proposed likewise.
    let made = [
        "keys",
        "create",
        "root",
        "--type",
        "ec-p256",
        "--purpose",
        "sign",
        "--algorithm",
        "ES256",
    ];
    let made = author.json(&[&made[..], &["--critical", "--propose"]].concat());
    assert_eq!(made["content"]["critical"], true);
    let gone = author.json(&["keys", "destroy", "bank/1", "--propose"]);
    assert_eq!(gone["content"]["name"], "keys/bank/versions/1");
    let policy = daemon.policy_file().display().to_string();
    let change = author.json(&["policy", "propose", &policy]);
    let sha256 = hex::encode(Sha256::digest(fs::read(&policy).unwrap()));
    assert_eq!(change["content"]["sha256"], *sha256);
    let nobody = two.run(&["policy", "propose", &policy], b"");
    assert_eq!(nobody.code, 3, "{}", nobody.error);
}

/// Has a policy approved and put in force.
async fn allow(daemon: &Daemon, approvers: &[&Client], author: &Client, text: &str) {
    let sha256 = hex::encode(Sha256::digest(text));
    let proposal = propose(author, Act::ChangePolicy(ChangePolicy { sha256 })).await;
    for approver in approvers {
        approve(approver, &proposal).await.unwrap();
    }
    put(daemon, text).await;
    let executed = get(author, &proposal).await.unwrap();
    assert_eq!(executed.state(), State::Succeeded);
}

/// Puts a policy in place, and waits until it is in force.
async fn put(daemon: &Daemon, text: &str) {
    fs::write(daemon.policy_file(), text).unwrap();
    daemon.signal(Signal::HUP);
    let digest = &hex::encode(Sha256::digest(text))[..16];
    until(async || {
        let log = daemon.log_lines();
        let last = log.iter().rfind(|line| line.contains("policy reloaded"));
        last.is_some_and(|line| line.contains(digest)).then_some(())
    })
    .await;
}

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
