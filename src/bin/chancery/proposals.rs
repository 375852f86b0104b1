//! `chancery proposals`: what others are to approve, or have proposed; and what is done then.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use chancery::{
    client::Client,
    proto::v1::{
        ApproveProposalRequest, CreateProposalRequest, ExecuteProposalRequest, GetProposalRequest,
        ListProposalsRequest, Proposal, ProposalState as State, ProposedAct,
        WithdrawProposalRequest, WrappedKey, proposed_act::Act,
    },
};

use crate::{
    Session, arguments,
    keys::{as_json, field, short, show as show_key, time_name},
    output,
    trouble::Trouble,
};

#[derive(Subcommand)]
pub(crate) enum Proposals {
    /// List the proposals that are yours or that you may approve, the latest first
    List {
        /// Only those that still can be approved or executed
        #[arg(long, conflicts_with = "states")]
        open: bool,
        /// Only those in this state; may be given several times
        #[arg(long = "state", value_name = "STATE", value_enum)]
        states: Vec<StateName>,
    },
    /// Show all that is proposed, and who has approved it
    Show(Named),
    /// Approve what another has proposed; look at it first
    Approve(Named),
    /// Take back a proposal of yours
    Withdraw(Named),
    Execute(Execute),
}

/// What became of a proposal.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateName {
    /// Too few have approved it
    Pending,
    /// Its author can execute it
    Approved,
    /// It is being executed, or that was cut off
    Executing,
    /// It was executed
    Succeeded,
    /// It was executed, and failed
    Failed,
    /// Its author took it back
    Withdrawn,
    /// Its time was over before
    Expired,
}

/// The states in which something can still be done with a proposal.
const OPEN: [StateName; 3] = [
    StateName::Pending,
    StateName::Approved,
    StateName::Executing,
];

/// A proposal.
#[derive(Args)]
pub(crate) struct Named {
    /// Its id, or full resource name
    #[arg(value_name = "PROPOSAL", value_parser = proposal)]
    name: String,
}

/// Do what you have proposed and enough others have approved; once, however often it is asked for
#[derive(Args)]
pub(crate) struct Execute {
    #[command(flatten)]
    named: Named,
    /// Of an import: the file that `keys import --propose` wrote
    #[arg(long, value_name = "FILE")]
    wrapped: Option<PathBuf>,
}

impl From<StateName> for State {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Pending => Self::Pending,
            StateName::Approved => Self::Approved,
            StateName::Executing => Self::Executing,
            StateName::Succeeded => Self::Succeeded,
            StateName::Failed => Self::Failed,
            StateName::Withdrawn => Self::Withdrawn,
            StateName::Expired => Self::Expired,
        }
    }
}

impl Proposals {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::List { open: true, .. } => list(session, &OPEN).await,
            Self::List { states, .. } => list(session, &states).await,
            Self::Show(Named { name }) => {
                let client = session.client()?;
                let request = client.request(GetProposalRequest { name });
                let response = client.approvals().get_proposal(request).await?;
                show(session, response.into_inner().proposal)
            }
            Self::Approve(Named { name }) => {
                let client = session.client()?;
                let request = client.request(ApproveProposalRequest { name });
                let response = client.approvals().approve_proposal(request).await?;
                show(session, response.into_inner().proposal)
            }
            Self::Withdraw(Named { name }) => {
                let client = session.client()?;
                let request = client.request(WithdrawProposalRequest { name });
                let response = client.approvals().withdraw_proposal(request).await?;
                show(session, response.into_inner().proposal)
            }
            Self::Execute(execute) => execute.run(session).await,
        }
    }
}

/// Proposes something, and prints the proposal.
pub(crate) async fn propose(
    session: &mut Session<'_>,
    client: &Client,
    act: Act,
) -> Result<(), Trouble> {
    let request = CreateProposalRequest {
        act: Some(ProposedAct {
            act: Some(act),
            ..ProposedAct::default()
        }),
        request_id: String::new(),
    };
    let request = client.request(request);
    let response = client.approvals().create_proposal(request).await?;
    show(session, response.into_inner().proposal)
}

impl Execute {
    async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let wrapped_key = match &self.wrapped {
            Some(path) => arguments::contents(session.streams, Some(path))?,
            None => Vec::new(),
        };
        // A token may take many seconds to make a key.
        let seconds = session.global.timeout.unwrap_or(TIMEOUT_SECONDS);
        let client = session.client_with(Some(seconds))?;
        let request = client.request(ExecuteProposalRequest {
            name: self.named.name,
            wrapped_key: wrapped_key.into(),
        });
        let response = client.approvals().execute_proposal(request).await?;
        let response = response.into_inner();
        if session.global.json {
            let key = response.key.unwrap_or_default();
            let proposal = response.proposal.unwrap_or_default();
            return session
                .streams
                .json(&json!({"proposal": told(&proposal), "key": as_json(&key)}));
        }
        show_key(session, response.key)
    }
}

async fn list(session: &mut Session<'_>, states: &[StateName]) -> Result<(), Trouble> {
    let states: Vec<i32> = states.iter().map(|one| State::from(*one).into()).collect();
    let client = session.client()?;
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = client.request(ListProposalsRequest {
            page_size: 0,
            page_token,
            states: states.clone(),
        });
        let page = client.approvals().list_proposals(request).await?;
        let page = page.into_inner();
        all.extend(page.proposals);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if session.global.json {
        let all: Vec<_> = all.iter().map(told).collect();
        return session.streams.json(&json!({"proposals": all}));
    }
    let rows = all.iter().map(|one| {
        let (act, subject) = act(one);
        vec![
            one.name.trim_start_matches("proposals/").to_owned(),
            state(one),
            act.to_owned(),
            subject,
            output::printable(&one.author),
            format!("{}/{}", one.given_approvals.len(), one.required_approvals),
            time_name(one.expire_time),
        ]
    });
    let header = [
        "proposal",
        "state",
        "act",
        "of",
        "author",
        "approvals",
        "expires",
    ];
    session.streams.table(&header, rows.collect())
}

fn show(session: &mut Session<'_>, proposal: Option<Proposal>) -> Result<(), Trouble> {
    let proposal = proposal.unwrap_or_default();
    if session.global.json {
        return session.streams.json(&told(&proposal));
    }
    let (act, subject) = act(&proposal);
    let mut lines = vec![
        ("name", proposal.name.clone()),
        ("state", state(&proposal)),
        ("act", act.to_owned()),
        ("of", subject),
    ];
    lines.extend(details(&proposal));
    lines.push(("author", output::printable(&proposal.author)));
    lines.push(("proposed", time_name(proposal.create_time)));
    lines.push(("expires", time_name(proposal.expire_time)));
    let given = proposal.given_approvals.len();
    let required = proposal.required_approvals;
    let approvals = format!("{given} of {required}, by {}", proposal.approval);
    lines.push(("approvals", approvals.trim_end_matches(", by ").to_owned()));
    for one in &proposal.given_approvals {
        let by = output::printable(&one.approver);
        lines.push((
            "approved by",
            format!("{by} {}", time_name(one.approve_time)),
        ));
    }
    if proposal.withdraw_time.is_some() {
        lines.push(("withdrawn", time_name(proposal.withdraw_time)));
    }
    if proposal.execute_time.is_some() {
        lines.push(("executed", time_name(proposal.execute_time)));
        lines.push(("outcome", output::printable(&proposal.outcome)));
    }
    for (name, value) in lines {
        field(session.streams, "", name, &value)?;
    }
    Ok(())
}

/// What is done, and to what.
fn act(proposal: &Proposal) -> (&'static str, String) {
    let act = proposal.act.as_ref().and_then(|act| act.act.as_ref());
    match act {
        None => ("unknown", String::new()),
        Some(Act::DestroyKeyVersion(request)) => ("destroy_key_version", short(&request.name)),
        Some(Act::CreateKey(request)) => ("create_key", output::printable(&request.key_id)),
        Some(Act::ImportKey(request)) => ("import_key", output::printable(&request.key_id)),
        Some(Act::ImportKeyVersion(request)) => ("import_key_version", short(&request.name)),
        Some(Act::ChangePolicy(change)) => ("change_policy", output::printable(&change.sha256)),
    }
}

/// All else of what is proposed, for people.
fn details(proposal: &Proposal) -> Vec<(&'static str, String)> {
    let Some(Value::Object(content)) = proposal.act.as_ref().map(content) else {
        return Vec::new();
    };
    let names = [
        "etag",
        "token",
        "type",
        "purpose",
        "algorithms",
        "content_encryptions",
        "compression_allowed",
        "custody",
        "maximum_uses",
        "critical",
        "method",
        "wrapping_key",
        "public_key",
        "wrapped_key_sha256",
    ];
    let mut lines = Vec::new();
    for name in names {
        let value = match content.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) if text.is_empty() => continue,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(list)) if list.is_empty() => continue,
            Some(Value::Array(list)) => {
                let texts = list.iter().filter_map(Value::as_str);
                texts.collect::<Vec<_>>().join(" ")
            }
            Some(other) => other.to_string(),
        };
        lines.push((name, output::printable(&value)));
    }
    lines
}

fn content(act: &ProposedAct) -> Value {
    use chancery::wire;
    let algorithms = |numbers: &[i32]| -> Vec<String> {
        numbers
            .iter()
            .copied()
            .map(arguments::algorithm_name)
            .collect()
    };
    let encryptions = |numbers: &[i32]| -> Vec<String> {
        let names = numbers.iter().copied();
        names.map(arguments::content_encryption_name).collect()
    };
    let key_type = |number: i32| {
        wire::key_type_from_proto(number)
            .map_or_else(|| arguments::unknown(number), |one| one.to_string())
    };
    let purpose = |number: i32| {
        wire::purpose_from_proto(number)
            .map_or_else(|| arguments::unknown(number), |one| one.to_string())
    };
    let wrapped = |wrapped: Option<&WrappedKey>| -> Value {
        let wrapped = wrapped.cloned().unwrap_or_default();
        let method = wrapped.method().as_str_name();
        json!({
            "method": method.trim_start_matches("IMPORT_METHOD_"),
            "wrapping_key": wrapped.wrapping_key,
            "public_key": output::base64(&wrapped.public_key),
            "wrapped_key_sha256": act.wrapped_key_sha256,
        })
    };
    let mut content = match &act.act {
        None => return Value::Null,
        Some(Act::DestroyKeyVersion(request)) => {
            json!({"name": request.name, "etag": request.etag})
        }
        Some(Act::CreateKey(request)) => json!({
            "key_id": request.key_id,
            "token": request.token,
            "type": key_type(request.r#type),
            "purpose": purpose(request.purpose),
            "algorithms": algorithms(&request.algorithms),
            "content_encryptions": encryptions(&request.content_encryptions),
            "compression_allowed": request.compression_allowed,
            "maximum_uses": request.maximum_uses,
            "critical": request.critical,
        }),
        Some(Act::ImportKey(request)) => json!({
            "key_id": request.key_id,
            "token": request.token,
            "type": key_type(request.r#type),
            "purpose": purpose(request.purpose),
            "algorithms": algorithms(&request.algorithms),
            "content_encryptions": encryptions(&request.content_encryptions),
            "compression_allowed": request.compression_allowed,
            "custody": wire::custody_from_proto(request.custody)
                .map_or_else(|| arguments::unknown(request.custody), |one| one.to_string()),
            "wrapped": wrapped(request.wrapped.as_ref()),
        }),
        Some(Act::ImportKeyVersion(request)) => {
            json!({"name": request.name, "wrapped": wrapped(request.wrapped.as_ref())})
        }
        Some(Act::ChangePolicy(change)) => json!({"sha256": change.sha256}),
    };
    // One level, for people and programs alike.
    if let Some(Value::Object(wrapped)) = content.get_mut("wrapped").map(Value::take)
        && let Some(content) = content.as_object_mut()
    {
        content.remove("wrapped");
        content.extend(wrapped);
    }
    content
}

fn told(proposal: &Proposal) -> Value {
    let approvals = proposal
        .given_approvals
        .iter()
        .map(|one| json!({"approver": one.approver, "approve_time": time_name(one.approve_time)}));
    let time = |time: Option<prost_types::Timestamp>| time.map(|time| time.to_string());
    json!({
        "name": proposal.name,
        "act": act(proposal).0,
        "content": proposal.act.as_ref().map(content),
        "state": state(proposal),
        "author": proposal.author,
        "approval": proposal.approval,
        "required_approvals": proposal.required_approvals,
        "given_approvals": approvals.collect::<Vec<_>>(),
        "create_time": time(proposal.create_time),
        "expire_time": time(proposal.expire_time),
        "withdraw_time": time(proposal.withdraw_time),
        "execute_time": time(proposal.execute_time),
        "outcome": proposal.outcome,
    })
}

fn state(proposal: &Proposal) -> String {
    let name = proposal.state().as_str_name();
    let name = name.strip_prefix("PROPOSAL_STATE_").unwrap_or(name);
    name.to_ascii_lowercase()
}

fn proposal(text: &str) -> Result<String, String> {
    let id = text.strip_prefix("proposals/").unwrap_or(text);
    match uuid::Uuid::try_parse(id) {
        Ok(id) => Ok(format!("proposals/{id}")),
        Err(_) => Err("expected the id of a proposal, a UUID".to_owned()),
    }
}

const TIMEOUT_SECONDS: u64 = 60;
