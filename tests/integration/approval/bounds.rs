//! How many proposals of one author stand open, and which of them are listed.

use chancery::{
    client::{Client, Code},
    proto::v1::{
        Algorithm as A, ChangePolicy, KeyType as T, ListProposalsRequest, Proposal,
        ProposalState as State, proposed_act::Act,
    },
};
use tonic::Status;

use super::{approve, destruction, execute, policy, propose, refused, try_propose, withdraw};
use crate::{
    calls::create,
    cli::Cli,
    harness::{Refusal, Setup},
    softhsm::Token,
};

/// Pages of one, so that what is left out does not end a page.
async fn listed(client: &Client, states: &[i32]) -> Result<Vec<Proposal>, Status> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListProposalsRequest {
            page_size: 1,
            page_token,
            states: states.to_vec(),
        };
        let page = client.approvals().list_proposals(request).await?;
        let page = page.into_inner();
        all.extend(page.proposals);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

async fn names(client: &Client, states: &[State]) -> Vec<String> {
    let states: Vec<_> = states.iter().map(|state| (*state).into()).collect();
    let all = listed(client, &states).await.unwrap();
    all.into_iter().map(|one| one.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_of_one_author_stand_open_and_lists_are_narrowed_by_state() {
    let daemon = Setup::new(Token::new("main"))
        .policy(&policy(3600))
        .tables("[proposals]\nmax_open_per_author = 2\n")
        .start();
    let [author, one, two] = ["author", "one", "two"].map(|name| daemon.client(name));
    create(&author, "pay", T::EcP256, &[A::Es256]).await;
    let destroy = || destruction("pay/versions/1");
    let other = || {
        let sha256 = "0".repeat(64);
        Act::ChangePolicy(ChangePolicy { sha256 })
    };
    let done = propose(&author, destroy()).await;
    let policy = propose(&author, other()).await;

    // Of whatever kind, with or without approvals: the next is one too many.
    for approver in [&one, &two] {
        approve(approver, &done).await.unwrap();
    }
    for act in [destroy(), other()] {
        let refusal = Refusal::expect(try_propose(&author, act).await);
        assert_eq!(refusal.code, Code::ResourceExhausted);
        assert_eq!(refusal.reason, "TOO_MANY_PROPOSALS");
        assert_eq!(refusal.metadata["limit"], "2");
        assert!(refusal.message.contains("withdraw"), "{refusal:?}");
    }
    assert_eq!(
        names(&one, &[]).await,
        [policy.name.clone(), done.name.clone()]
    );
    assert_eq!(names(&one, &[State::Approved]).await, [done.name.as_str()]);
    assert_eq!(
        names(&author, &[State::Pending]).await,
        [policy.name.as_str()]
    );

    // One that was withdrawn or executed makes room.
    withdraw(&author, &policy).await.unwrap();
    let third = propose(&author, destroy()).await;
    execute(&author, &done).await.unwrap();
    let last = propose(&author, other()).await;
    let (code, _) = refused(try_propose(&author, other()).await);
    assert_eq!(code, Code::ResourceExhausted);

    let pending = [last.name.clone(), third.name.clone()];
    for client in [&author, &two] {
        assert_eq!(names(client, &[State::Pending]).await, pending);
        let ended = [State::Withdrawn, State::Succeeded, State::Failed];
        assert_eq!(
            names(client, &ended).await,
            [policy.name.clone(), done.name.clone()]
        );
        assert_eq!(names(client, &[State::Expired]).await, [""; 0]);
        assert_eq!(names(client, &[]).await.len(), 4);
    }
    // Whoever has no part in them sees none, in no state.
    assert_eq!(
        names(&daemon.client("test"), &[State::Pending]).await,
        [""; 0]
    );
    for wrong in [0, 8, -1] {
        let (code, reason) = refused(listed(&author, &[1, wrong]).await);
        assert_eq!(
            (code, &*reason),
            (Code::InvalidArgument, "PROPOSAL_STATE_INVALID")
        );
    }

    let cli = Cli::new(&daemon, "one");
    let shown = |arguments: &[&str]| {
        let all = cli.json(&[&["proposals", "list"], arguments].concat());
        let all = all["proposals"].as_array().unwrap().clone();
        let name = |one: &serde_json::Value| one["name"].as_str().unwrap().to_owned();
        all.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(shown(&["--open"]), pending);
    assert_eq!(shown(&["--state", "pending"]), pending);
    let ended = ["--state", "withdrawn", "--state", "succeeded"];
    assert_eq!(shown(&ended), [policy.name, done.name]);
    assert_eq!(shown(&[]).len(), 4);
    for wrong in [&["--state", "done"][..], &["--open", "--state", "pending"]] {
        let all = [&["proposals", "list"], wrong].concat();
        assert_eq!(cli.run(&all, b"").code, 2, "{wrong:?}");
    }
}
