//! ApprovalService.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Services,
    import::{import_request, wrapped},
    key_name,
    keys::{describe, key_request},
    lifecycle::{etag, moment, version},
    once::identified,
    status::invalid,
};
use crate::{
    proto::v1::{self, approval_service_server::ApprovalService, proposed_act::Act},
    signer::{Error, Identified, ProposalState, Proposed, Standing},
};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ApprovalService for Services {
    async fn create_proposal(
        &self,
        request: Request<v1::CreateProposalRequest>,
    ) -> Answer<v1::CreateProposalResponse> {
        let call = self.call(&request, "ApprovalService.CreateProposal")?;
        let asked = request.into_inner();
        let once = identified("CreateProposal", &asked.request_id, &asked)?;
        let act = asked.act.unwrap_or_default();
        if !act.wrapped_key_sha256.is_empty() {
            return Err(invalid(
                "WRAPPED_KEY_HASH_GIVEN",
                "`act.wrapped_key_sha256` is told and not taken; give the wrapped key itself",
            ));
        }
        let proposed = proposed(act.clone())?;
        let content = kept(act).encode_to_vec();
        if content.len() > MOST_CONTENT {
            return Err(invalid(
                "PROPOSAL_TOO_LARGE",
                format!("what is proposed has more than {MOST_CONTENT} bytes"),
            ));
        }
        self.once(call, once, async move |signer, call| {
            let standing = signer.propose(&call, &proposed, &content).await?;
            Ok(v1::CreateProposalResponse {
                proposal: Some(tell(standing)),
            })
        })
        .await
    }

    async fn get_proposal(
        &self,
        request: Request<v1::GetProposalRequest>,
    ) -> Answer<v1::GetProposalResponse> {
        let call = self.call(&request, "ApprovalService.GetProposal")?;
        let id = id(&request.get_ref().name)?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let standing = signer.proposal(&call, id).await?;
            Ok(v1::GetProposalResponse {
                proposal: Some(tell(standing)),
            })
        })
        .await
    }

    async fn list_proposals(
        &self,
        request: Request<v1::ListProposalsRequest>,
    ) -> Answer<v1::ListProposalsResponse> {
        let call = self.call(&request, "ApprovalService.ListProposals")?;
        let v1::ListProposalsRequest {
            page_size,
            page_token,
            states,
        } = request.into_inner();
        let states = states.into_iter().map(wanted);
        let states = states.collect::<Result<Vec<_>, _>>()?;
        let size = match page_size {
            0 => 100,
            1.. => page_size.min(1000) as usize,
            _ => {
                return Err(invalid(
                    "PAGE_SIZE_INVALID",
                    format!("`page_size` is {page_size}; expected 0 to 1000"),
                ));
            }
        };
        let before = match page_token.as_str() {
            "" => None,
            token => Some(Uuid::try_parse(token).map_err(|_| {
                invalid(
                    "PAGE_TOKEN_INVALID",
                    "`page_token` is not one that this service gave",
                )
            })?),
        };
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let (page, more) = signer.proposals(&call, &states, before, size).await?;
            let last = page.last().filter(|_| more);
            Ok(v1::ListProposalsResponse {
                next_page_token: last
                    .map(|standing| standing.proposal.id.to_string())
                    .unwrap_or_default(),
                proposals: page.into_iter().map(tell).collect(),
            })
        })
        .await
    }

    async fn approve_proposal(
        &self,
        request: Request<v1::ApproveProposalRequest>,
    ) -> Answer<v1::ApproveProposalResponse> {
        let call = self.call(&request, "ApprovalService.ApproveProposal")?;
        let id = id(&request.get_ref().name)?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let standing = signer.approve(&call, id).await?;
            Ok(v1::ApproveProposalResponse {
                proposal: Some(tell(standing)),
            })
        })
        .await
    }

    async fn withdraw_proposal(
        &self,
        request: Request<v1::WithdrawProposalRequest>,
    ) -> Answer<v1::WithdrawProposalResponse> {
        let call = self.call(&request, "ApprovalService.WithdrawProposal")?;
        let id = id(&request.get_ref().name)?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let standing = signer.withdraw(&call, id).await?;
            Ok(v1::WithdrawProposalResponse {
                proposal: Some(tell(standing)),
            })
        })
        .await
    }

    async fn execute_proposal(
        &self,
        request: Request<v1::ExecuteProposalRequest>,
    ) -> Answer<v1::ExecuteProposalResponse> {
        let call = self.call(&request, "ApprovalService.ExecuteProposal")?;
        let v1::ExecuteProposalRequest { name, wrapped_key } = request.into_inner();
        let id = id(&name)?;
        // One at a time, whichever daemon is asked, and the same answer again.
        let once = Identified {
            method: "ExecuteProposal",
            id: id.to_string(),
            content: Sha256::digest(id.as_bytes()).into(),
            signs: None,
        };
        self.once(call, Some(once), async move |signer, call| {
            let read = |content: &[u8]| approved(content, wrapped_key);
            let executed = signer.execute_proposal(&call, id, read).await?;
            Ok(v1::ExecuteProposalResponse {
                proposal: Some(tell(executed.standing)),
                key: Some(describe(&executed.key)),
            })
        })
        .await
    }
}

/// Checks what is proposed as if it were to be done.
fn proposed(act: v1::ProposedAct) -> Result<Proposed, Status> {
    let act = act.act.ok_or_else(|| {
        invalid(
            "PROPOSED_ACT_MISSING",
            "`act` is not set; set one of its acts",
        )
    })?;
    let request_id = match &act {
        Act::DestroyKeyVersion(request) => &request.request_id,
        Act::CreateKey(request) => &request.request_id,
        Act::ImportKey(request) => &request.request_id,
        Act::ImportKeyVersion(request) => &request.request_id,
        Act::ChangePolicy(_) => "",
    };
    if !request_id.is_empty() {
        return Err(invalid(
            "REQUEST_ID_INVALID",
            "the `request_id` of what is proposed is set; leave it empty: a proposal is executed once anyway",
        ));
    }
    Ok(match act {
        Act::DestroyKeyVersion(request) => Proposed::Destroy {
            version: version(&request.name, "destroy_key_version.name")?,
            etag: etag(request.etag),
        },
        Act::CreateKey(request) if !request.critical => {
            return Err(invalid(
                "KEY_NOT_CRITICAL",
                "`create_key.critical` is not set; other keys are created without a proposal",
            ));
        }
        Act::CreateKey(request) => Proposed::Create(key_request(request)?),
        Act::ImportKey(request) => Proposed::Import(import_request(request)?),
        Act::ImportKeyVersion(request) => Proposed::ImportVersion {
            key: key_name(&request.name)?,
            wrapped: wrapped(request.wrapped)?,
        },
        Act::ChangePolicy(v1::ChangePolicy { sha256 }) => {
            let lower = sha256 == sha256.to_ascii_lowercase();
            let read = hex::decode(&sha256).ok().filter(|_| lower);
            let read = read.and_then(|bytes| bytes.try_into().ok());
            Proposed::Policy(read.ok_or_else(|| {
                invalid(
                    "SHA256_INVALID",
                    "`change_policy.sha256` is not a SHA-256: expected 64 of 0-9 a-f",
                )
            })?)
        }
    })
}

/// What is kept of it: of a wrapped key its hash alone.
fn kept(mut act: v1::ProposedAct) -> v1::ProposedAct {
    if let Some(place) = wrapped_key(&mut act) {
        let bytes = std::mem::take(place);
        act.wrapped_key_sha256 = hex::encode(Sha256::digest(&bytes));
    }
    act
}

/// What was approved, with the wrapped key that it lacks.
fn approved(content: &[u8], given: Bytes) -> Result<Proposed, Error> {
    let unreadable = || Error::ProposalContent("what was proposed can't be read by this release");
    let mut act = v1::ProposedAct::decode(content).map_err(|_| unreadable())?;
    let wanted = std::mem::take(&mut act.wrapped_key_sha256);
    match wrapped_key(&mut act) {
        Some(place) => {
            if hex::encode(Sha256::digest(&given)) != wanted {
                return Err(Error::ProposalContent(
                    "`wrapped_key` is not what was approved; give the very bytes that were proposed, or propose these",
                ));
            }
            *place = given;
        }
        None if given.is_empty() => {}
        None => {
            return Err(Error::ProposalContent(
                "`wrapped_key` is set, and no key is to be imported; leave it empty",
            ));
        }
    }
    proposed(act).map_err(|_| unreadable())
}

/// Where an import has its wrapped bytes.
fn wrapped_key(act: &mut v1::ProposedAct) -> Option<&mut Bytes> {
    let wrapped = match act.act.as_mut()? {
        Act::ImportKey(request) => request.wrapped.as_mut(),
        Act::ImportKeyVersion(request) => request.wrapped.as_mut(),
        Act::DestroyKeyVersion(_) | Act::CreateKey(_) | Act::ChangePolicy(_) => None,
    };
    wrapped.map(|wrapped| &mut wrapped.wrapped_key)
}

fn tell(standing: Standing) -> v1::Proposal {
    let Standing {
        proposal,
        state,
        approval,
    } = standing;
    let execution = proposal.execution.as_ref();
    v1::Proposal {
        name: format!("proposals/{}", proposal.id),
        // Of a later release it may be more than this one can read.
        act: v1::ProposedAct::decode(&*proposal.content).ok(),
        state: match state {
            ProposalState::Pending => v1::ProposalState::Pending,
            ProposalState::Approved => v1::ProposalState::Approved,
            ProposalState::Executing => v1::ProposalState::Executing,
            ProposalState::Succeeded => v1::ProposalState::Succeeded,
            ProposalState::Failed => v1::ProposalState::Failed,
            ProposalState::Withdrawn => v1::ProposalState::Withdrawn,
            ProposalState::Expired => v1::ProposalState::Expired,
        }
        .into(),
        author: proposal.author.to_string(),
        approval: approval.unwrap_or_default(),
        required_approvals: proposal.required,
        given_approvals: proposal
            .approvals
            .iter()
            .map(|(approver, at)| v1::GivenApproval {
                approver: approver.to_string(),
                approve_time: Some(moment(*at)),
            })
            .collect(),
        create_time: Some(moment(proposal.proposed_at)),
        expire_time: Some(moment(proposal.expires_at)),
        withdraw_time: proposal.withdrawn_at.map(moment),
        execute_time: execution.map(|execution| moment(execution.at)),
        outcome: execution
            .and_then(|execution| execution.outcome.clone())
            .unwrap_or_default(),
    }
}

/// A state that proposals are listed in.
fn wanted(number: i32) -> Result<ProposalState, Status> {
    match v1::ProposalState::try_from(number) {
        Ok(v1::ProposalState::Pending) => Ok(ProposalState::Pending),
        Ok(v1::ProposalState::Approved) => Ok(ProposalState::Approved),
        Ok(v1::ProposalState::Executing) => Ok(ProposalState::Executing),
        Ok(v1::ProposalState::Succeeded) => Ok(ProposalState::Succeeded),
        Ok(v1::ProposalState::Failed) => Ok(ProposalState::Failed),
        Ok(v1::ProposalState::Withdrawn) => Ok(ProposalState::Withdrawn),
        Ok(v1::ProposalState::Expired) => Ok(ProposalState::Expired),
        Ok(v1::ProposalState::Unspecified) | Err(_) => Err(invalid(
            "PROPOSAL_STATE_INVALID",
            format!(
                "`states` has {number}, which is no state of a proposal; leave it empty for all"
            ),
        )),
    }
}

fn id(name: &str) -> Result<Uuid, Status> {
    let id = name.strip_prefix("proposals/");
    id.and_then(|id| {
        Uuid::try_parse(id)
            .ok()
            .filter(|uuid| uuid.to_string() == id)
    })
    .ok_or_else(|| {
        invalid(
            "RESOURCE_NAME_INVALID",
            "`name` is not that of a proposal; expected proposals/UUID",
        )
    })
}

/// More than the facts of any key.
const MOST_CONTENT: usize = 64 << 10;
