//! Dangerous acts under approval: nobody does them alone, nothing is done twice, and all of it is in the log.

use std::fs;

use chancery::{
    client::{Client, Code},
    proto::v1::{
        ApproveProposalRequest, ChangePolicy, CreateProposalRequest, DestroyKeyVersionRequest,
        ExecuteProposalRequest, ExecuteProposalResponse, GetKeyRequest, GetProposalRequest, Key,
        KeyVersionState, ListProposalsRequest, Proposal, ProposalState as State, ProposedAct,
        WithdrawProposalRequest, proposed_act::Act,
    },
};
use rustix::process::Signal;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    audited::{events, log_of, records},
    harness::{ALLOW_TEST, Daemon, Refusal, Setup, until},
    softhsm::Token,
};

mod bounds;
mod command;
mod once;
mod proposal;
mod recorded;
mod wider_policy;

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
