//! What was approved is done: once, for whoever proposed it, and only if the policy still lets all of them.

use uuid::Uuid;

use super::{Approved, Matter, Proposed, SUCCEEDED, Standing, event, refused, tell_refused};
use crate::{
    audit::{KeyAct, ProposalStep},
    pkcs11::TokenError,
    policy::DangerousAct,
    signer::{Account, Call, Error, KeyView, Signer},
    store::{Proposal, Refusal, StoreError},
};

/// A proposal that was executed, and what came of it.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The proposal.
    pub standing: Standing,
    /// The key that it was about, as it is now.
    pub key: KeyView,
}

impl Signer {
    /// Does what was approved. `read` makes of what the store has what is to be done. To be called by one at a time, which
    /// [`Signer::once`] sees to: an execution that was cut off is taken up again, as long as the proposal has not expired.
    ///
    /// # Errors
    ///
    /// [`Error`]. Of what may pass, such as a token that is down, the same proposal can be executed again; else it has
    /// failed, and is to be proposed anew.
    pub async fn execute_proposal(
        &self,
        call: &Call,
        id: Uuid,
        read: impl FnOnce(&[u8]) -> Result<Proposed, Error> + Send,
    ) -> Result<Executed, Error> {
        let proposals = self.lives.store()?.proposals();
        let proposal = proposals.proposal(id).await?;
        let matter = Matter::read(&proposal)?;
        let account = self.roll.open(call);
        let begun = self.begin(&account, call, &proposal, &matter, read).await;
        let proposed = match begun {
            Ok(proposed) => proposed,
            Err(error) => {
                tell_refused(&account, &proposal, &matter, &error);
                return account.close(Err(error)).await;
            }
        };
        tracing::info!(client.id = %call.identity.name(), proposal = %id, act = %matter.act, subject = %proposal.subject, "proposal executed");
        let done = self.do_it(&account, call, proposed, Approved(matter)).await;
        // What is not on the disk of the log is not finished: it is taken up again.
        let done = account.close(done).await;
        let outcome = match &done {
            Ok(_) => Some(SUCCEEDED),
            Err(error) if may_pass(error) => None,
            Err(error) => Some(error.reason()),
        };
        let finished = match outcome {
            Some(outcome) => proposals.finish(id, outcome).await.map(Some),
            None => Ok(None),
        };
        let key = done?;
        let proposal = finished?.unwrap_or(proposal);
        Ok(Executed {
            standing: self.standing(proposal)?,
            key,
        })
    }

    /// Takes the right to do it, if there is one.
    async fn begin(
        &self,
        account: &Account,
        call: &Call,
        proposal: &Proposal,
        matter: &Matter,
        read: impl FnOnce(&[u8]) -> Result<Proposed, Error> + Send,
    ) -> Result<Proposed, Error> {
        let id = proposal.id;
        if proposal.author != *call.identity.name() {
            return Err(refused(id, Refusal::NotItsAuthor));
        }
        if matter.act == DangerousAct::WidenPolicy {
            return Err(Error::PolicyIsReloaded);
        }
        let proposed = read(&proposal.content)?;
        // The policy may be another than when it was proposed and approved.
        self.may_still(account, call, &proposed)?;
        self.enough(proposal, matter)?;
        let proposals = self.lives.store()?.proposals();
        match proposals
            .execute(id, call.identity.name(), self.time())
            .await
        {
            Ok(_) => {}
            // Cut off, by the end of a daemon or by what may pass.
            Err(StoreError::Proposal {
                refusal: Refusal::Executed,
                ..
            }) if is_cut_off(&proposals.proposal(id).await?)
                && self.time() < proposal.expires_at => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(audit) = self.audit() {
            let by = Some(call.identity.as_ref().into());
            // On the disk before it is done.
            audit
                .record(event(proposal, matter, ProposalStep::Executed, None, by))
                .await?;
        }
        Ok(proposed)
    }

    /// The policy's leave for the author, now; what is done asks and records it once more.
    fn may_still(&self, account: &Account, call: &Call, proposed: &Proposed) -> Result<(), Error> {
        let policy = self.policy.load_full();
        let (who, now) = (&call.identity, self.clock.now());
        match proposed {
            Proposed::Destroy { version, .. } => {
                let operation = DangerousAct::DestroyKeyVersion.done_by();
                let verdict = policy.authorize_change(who, &version.key, operation, now);
                let _granted = account.seen(verdict)?;
                self.is_there(version)
            }
            Proposed::Create(request) => {
                let verdict = policy.authorize_create(who, &request.name, &request.algorithms, now);
                account.seen(verdict).map(drop)
            }
            Proposed::Import(request) => {
                let key = &request.key;
                let verdict = policy.authorize_import(who, &key.name, &key.algorithms, now);
                account.seen(verdict).map(drop)
            }
            Proposed::ImportVersion { key, .. } => {
                let _granted = self.may_import(account, call, key)?;
                self.find(key).map(drop)
            }
            Proposed::Policy(_) => Err(Error::PolicyIsReloaded),
        }
    }

    /// Whether so many have approved whose approval counts now.
    fn enough(&self, proposal: &Proposal, matter: &Matter) -> Result<(), Error> {
        let policy = self.policy.load();
        let key = matter.key.as_ref();
        let asked = policy.approval(matter.act, key);
        let counts = |by: &_| asked.is_none() || policy.may_approve(by, matter.act, key);
        let given = proposal
            .approvals
            .iter()
            .filter(|(by, _)| counts(by))
            .count();
        let given = u32::try_from(given).unwrap_or(u32::MAX);
        let asked = asked.map_or(0, |approval| approval.required());
        let required = proposal.required.max(asked);
        // What was cut off is done after all only if it might begin now.
        let is_over = proposal.execution.is_some() && !is_cut_off(proposal);
        let is_closed = is_over || proposal.withdrawn_at.is_some();
        match given < required && !is_closed {
            true => Err(refused(
                proposal.id,
                Refusal::Unapproved { given, required },
            )),
            // Why it is closed, the store says.
            false => Ok(()),
        }
    }

    async fn do_it(
        &self,
        account: &Account,
        call: &Call,
        proposed: Proposed,
        approved: Approved,
    ) -> Result<KeyView, Error> {
        let approved = Some(approved);
        match proposed {
            Proposed::Destroy { version, etag } => {
                let etag = etag.as_deref();
                let view = self
                    .schedule(account, call, &version, etag, approved)
                    .await?;
                account.changed(&view, Some(version.version), KeyAct::DestroyScheduled);
                Ok(view)
            }
            Proposed::Create(request) => self.create(account, call, request, approved).await,
            Proposed::Import(request) => self.import(account, call, request, approved).await,
            Proposed::ImportVersion { key, wrapped } => {
                self.import_version(account, call, &key, wrapped, approved)
                    .await
            }
            Proposed::Policy(_) => Err(Error::PolicyIsReloaded),
        }
    }
}

pub(super) fn is_cut_off(proposal: &Proposal) -> bool {
    let execution = proposal.execution.as_ref();
    execution.is_some_and(|execution| execution.outcome.is_none())
}

/// Whether the same may go well in a while.
fn may_pass(error: &Error) -> bool {
    error.leaves_open()
        || matches!(
            error,
            Error::KeyHeld(_)
                | Error::Quota(_)
                | Error::NotCounted { .. }
                | Error::StatesUnknown
                | Error::Audit(_)
                | Error::Token(TokenError::Down(_) | TokenError::QueueFull { .. })
        )
}
