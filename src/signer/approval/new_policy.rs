//! A policy that allows more than the one in force, if that asks for approval of it: taken when others have approved
//! exactly this file, whether it comes by a reload or by a start.

use uuid::Uuid;

use super::{Matter, SUCCEEDED, event, execution::is_cut_off};
use crate::{
    audit::ProposalStep,
    policy::{DangerousAct, Policy},
    signer::{Error, Signer},
    store::{PolicyInForce, Refusal, Store, StoreError, Timestamp},
};

/// Why a policy may come into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyLeave {
    /// It needs nobody's approval.
    Free,
    /// It was approved.
    Approved(Uuid),
}

/// A policy that may not come into force.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PolicyRefused {
    /// It is wider, and nobody or too few have approved it.
    #[error(
        "the new policy allows more than the one in force, which asks for approval of that by {approval:?}: {widening}{}; \
         propose it (`chancery policy propose FILE`) and have {required} approve SHA-256 {sha256}, or take back what is wider",
        more(*.count)
    )]
    Unapproved {
        /// SHA-256 of the new file, in hexadecimal.
        sha256: String,
        /// The approval.
        approval: String,
        /// How many must approve.
        required: u32,
        /// The first thing that is wider.
        widening: String,
        /// How many things are.
        count: usize,
    },
    /// The last one is not known.
    #[error(
        "which policy was in force last can't be read, so whether the new one allows more is not known: {0}; start the release that \
         wrote it, with the policy file of then"
    )]
    Unknown(String),
    /// The store or the log failed.
    #[error("{0}")]
    Failed(#[from] Box<Error>),
}

/// Whether a policy may follow another.
///
/// # Errors
///
/// [`PolicyRefused`].
pub async fn leave_for_policy(
    store: &Store,
    before: &Policy,
    new: &Policy,
    now: Timestamp,
) -> Result<PolicyLeave, PolicyRefused> {
    let act = DangerousAct::WidenPolicy;
    let Some(approval) = before.approval(act, None) else {
        return Ok(PolicyLeave::Free);
    };
    let widenings = before.widenings_to(new);
    let Some(widening) = widenings.first() else {
        return Ok(PolicyLeave::Free);
    };
    let failed = |error: StoreError| PolicyRefused::Failed(Box::new(error.into()));
    // Another daemon of this store has it in force already.
    let last = store.policies().last().await.map_err(failed)?;
    if last.is_some_and(|last| last.sha256 == *new.sha256()) {
        return Ok(PolicyLeave::Free);
    }
    let sha256 = hex::encode(new.sha256());
    let proposals = store.proposals().about(act.name(), &sha256).await;
    for proposal in proposals.map_err(failed)? {
        let by = |by: &_| before.may_approve(by, act, None);
        let given = proposal.approvals.iter().filter(|(who, _)| by(who)).count();
        let required = proposal.required.max(approval.required());
        let is_open = proposal.execution.is_none() || is_cut_off(&proposal);
        let in_time = now < proposal.expires_at && proposal.withdrawn_at.is_none();
        if is_open && in_time && given >= required as usize {
            return Ok(PolicyLeave::Approved(proposal.id));
        }
    }
    Err(PolicyRefused::Unapproved {
        sha256,
        approval: approval.name().to_owned(),
        required: approval.required(),
        widening: widening.clone(),
        count: widenings.len(),
    })
}

impl Signer {
    /// Whether a policy may follow the one in force.
    ///
    /// # Errors
    ///
    /// [`PolicyRefused`].
    pub async fn leave_for_policy(&self, new: &Policy) -> Result<PolicyLeave, PolicyRefused> {
        let before = self.policy();
        match self.lives.store() {
            Ok(store) => leave_for_policy(store, &before, new, self.time()).await,
            // Nothing can be approved, so nothing is refused for want of it.
            Err(_) if before.approval(DangerousAct::WidenPolicy, None).is_none() => {
                Ok(PolicyLeave::Free)
            }
            Err(error) => Err(PolicyRefused::Failed(Box::new(error))),
        }
    }

    /// Executes the proposal of a policy, and remembers the policy as the one that is in force.
    ///
    /// # Errors
    ///
    /// [`Error`]: then it must not come into force. A policy that is free of approval may, whatever the store says.
    pub async fn adopt_policy(&self, new: &Policy, leave: PolicyLeave) -> Result<(), Error> {
        let Ok(store) = self.lives.store() else {
            return Ok(());
        };
        let now = self.time();
        if let PolicyLeave::Approved(id) = leave {
            let proposals = store.proposals();
            let proposal = proposals.proposal(id).await?;
            match proposals.execute(id, &proposal.author, now).await {
                Ok(_) => {}
                Err(StoreError::Proposal {
                    refusal: Refusal::Executed,
                    ..
                }) if is_cut_off(&proposal) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(audit) = self.audit() {
                let matter = Matter::read(&proposal)?;
                let executed = event(&proposal, &matter, ProposalStep::Executed, None, None);
                audit.record(executed).await?;
            }
        }
        let last = store.policies().last().await?;
        if last.is_none_or(|last| last.sha256 != *new.sha256()) {
            let policy = PolicyInForce {
                sha256: *new.sha256(),
                text: new.text().to_owned(),
                since: now,
            };
            store.policies().remember(&policy).await?;
        }
        if let PolicyLeave::Approved(id) = leave {
            store.proposals().finish(id, SUCCEEDED).await?;
        }
        Ok(())
    }

    /// Why the policy file is not the policy in force; nothing, if it is.
    pub fn policy_trouble(&self) -> Option<String> {
        self.refused_policy.load().as_deref().cloned()
    }

    /// Says why the policy file is not the policy in force, for metrics and readiness.
    pub fn refuse_policy(&self, why: Option<String>) {
        self.refused_policy.store(why.map(Into::into));
    }
}

fn more(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        more => format!(", and {} more", more - 1),
    }
}
