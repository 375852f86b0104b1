//! Dangerous acts that the policy has put under approval: one proposes, others approve, and it is done once.

use uuid::Uuid;

use super::{Account, Call, Error, ImportRequest, KeyRequest, Signer};
use crate::{
    audit::{self, Digest, Event, Name, ProposalStep, Word},
    key::{KeyName, KeyVersion, Version},
    pkcs11::Wrapped,
    policy::{Asked, DangerousAct, Operation},
    store::{NewProposal, Proposal, Refusal, StoreError, Timestamp},
};

pub use execution::Executed;
pub use new_policy::{PolicyLeave, PolicyRefused, leave_for_policy};

mod execution;
mod new_policy;

/// What is proposed.
#[derive(Clone, Debug)]
pub enum Proposed {
    /// To have a version of a key destroyed.
    Destroy {
        /// Which.
        version: KeyVersion,
        /// What the key's etag must be.
        etag: Option<String>,
    },
    /// To make a key that is marked critical.
    Create(KeyRequest),
    /// To bring in a key.
    Import(ImportRequest),
    /// To bring in the next version of a key.
    ImportVersion {
        /// Of which key.
        key: KeyName,
        /// The version.
        wrapped: Wrapped,
    },
    /// To put the policy file with this SHA-256 in force.
    Policy([u8; 32]),
}

/// A proposal as a caller is to see it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What the store has of it.
    pub proposal: Proposal,
    /// What became of it until now.
    pub state: ProposalState,
    /// The approval that the policy in force asks for; none if the act is not under approval any more.
    pub approval: Option<String>,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalState {
    /// Too few have approved.
    Pending,
    /// Its author can execute it.
    Approved,
    /// It is being executed, or its execution was cut off.
    Executing,
    /// It was executed.
    Succeeded,
    /// It was executed, and failed.
    Failed,
    /// Its author took it back.
    Withdrawn,
    /// Its time was over first.
    Expired,
}

/// What a proposal of the store is about.
#[derive(Clone, Debug)]
struct Matter {
    act: DangerousAct,
    key: Option<KeyName>,
    version: Option<Version>,
}

/// Leave to do one dangerous act, once, that others have approved.
#[derive(Debug)]
#[must_use = "what was approved is to be done"]
pub(super) struct Approved(Matter);

impl Signer {
    /// Writes down what is to be done when others have approved it. Whoever may do it may propose it.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn propose(
        &self,
        call: &Call,
        proposed: &Proposed,
        content: &[u8],
    ) -> Result<Standing, Error> {
        let account = self.roll.open(call);
        let made = async {
            let matter = Matter::of(proposed);
            let policy = self.policy.load_full();
            self.may_do(&account, call, proposed).await?;
            let approval = policy.approval(matter.act, matter.key.as_ref());
            let approval = approval.ok_or(Error::ApprovalNotRequired(matter.act))?;
            let now = self.time();
            let new = NewProposal {
                act: matter.act.name(),
                subject: &subject(proposed),
                content,
                author: call.identity.name(),
                required: approval.required(),
                expires_at: now.after(approval.expires_after()),
            };
            self.recorded().await?;
            let proposal = self.lives.store()?.proposals().propose(new, now).await?;
            tell(&account, &proposal, &matter, ProposalStep::Proposed, None);
            tracing::info!(client.id = %call.identity.name(), proposal = %proposal.id, act = %matter.act, subject = %proposal.subject, "proposed");
            self.standing(proposal)
        };
        let made = made.await;
        account.close(made).await
    }

    /// A proposal, for its author and those who may approve it.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn proposal(&self, call: &Call, id: Uuid) -> Result<Standing, Error> {
        let proposal = self.lives.store()?.proposals().proposal(id).await?;
        let matter = Matter::read(&proposal)?;
        let account = self.roll.open(call);
        let seen = match proposal.author == *call.identity.name() {
            true => Ok(()),
            false => {
                let policy = self.policy.load();
                let key = matter.key.as_ref();
                let verdict = policy.authorize_approve(&call.identity, matter.act, key);
                account.seen(verdict).map(drop)
            }
        };
        let seen = seen.and_then(|()| self.standing(proposal));
        account.close(seen).await
    }

    /// The proposals that the caller has made or may approve, the latest first: at most so many, and whether there are
    /// more. With `states`, those alone that are in one of them now.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn proposals(
        &self,
        call: &Call,
        states: &[ProposalState],
        mut before: Option<Uuid>,
        most: usize,
    ) -> Result<(Vec<Standing>, bool), Error> {
        let store = self.lives.store()?;
        let policy = self.policy.load_full();
        let name = call.identity.name();
        let mut shown = Vec::new();
        loop {
            let page = store.proposals().list(before, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            before = page.last().map(|proposal| proposal.id);
            for proposal in page {
                let matter = Matter::read(&proposal)?;
                let key = matter.key.as_ref();
                let state = ProposalState::of(&proposal, self.time());
                let wanted = states.is_empty() || states.contains(&state);
                if wanted && (proposal.author == *name || policy.may_approve(name, matter.act, key))
                {
                    if shown.len() == most {
                        return Ok((shown, true));
                    }
                    shown.push(self.standing(proposal)?);
                }
            }
            if is_last {
                return Ok((shown, false));
            }
        }
    }

    /// Approves what another has proposed.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn approve(&self, call: &Call, id: Uuid) -> Result<Standing, Error> {
        let proposals = self.lives.store()?.proposals();
        let proposal = proposals.proposal(id).await?;
        let matter = Matter::read(&proposal)?;
        let account = self.roll.open(call);
        let approved = async {
            // Before the policy is asked: an author knows of his own proposal.
            if proposal.author == *call.identity.name() {
                return Err(refused(id, Refusal::OwnAuthor));
            }
            let key = matter.key.as_ref();
            let policy = self.policy.load_full();
            let verdict = policy.authorize_approve(&call.identity, matter.act, key);
            let granted = account.authorized(verdict)?;
            account.begin(&granted, None, None).await?;
            self.recorded().await?;
            let now = self.time();
            Ok(proposals.approve(id, call.identity.name(), now).await?)
        };
        let approved = approved.await;
        self.stepped(
            account,
            &proposal,
            &matter,
            ProposalStep::Approved,
            approved,
        )
        .await
    }

    /// Takes a proposal back.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn withdraw(&self, call: &Call, id: Uuid) -> Result<Standing, Error> {
        let proposals = self.lives.store()?.proposals();
        let proposal = proposals.proposal(id).await?;
        let matter = Matter::read(&proposal)?;
        let account = self.roll.open(call);
        let now = self.time();
        let step = ProposalStep::Withdrawn;
        let withdrawn = async {
            // Before it is done; what is open and his can only be refused if somebody is faster.
            let is_told =
                proposal.author == *call.identity.name() && proposal.closed(now).is_none();
            if is_told {
                tell(&account, &proposal, &matter, step, None);
                self.recorded().await?;
            }
            let withdrawn = proposals.withdraw(id, call.identity.name(), now).await?;
            if !is_told {
                tell(&account, &withdrawn, &matter, step, None);
            }
            Ok(withdrawn)
        };
        match withdrawn.await {
            Ok(withdrawn) => {
                tracing::info!(proposal = %proposal.id, ?step, act = %matter.act, subject = %proposal.subject, "proposal");
                account.close(self.standing(withdrawn)).await
            }
            Err(error) => {
                tell_refused(&account, &proposal, &matter, &error);
                account.close(Err(error)).await
            }
        }
    }

    /// Refuses what is under approval, unless it was approved.
    pub(super) fn cleared(
        &self,
        act: DangerousAct,
        key: &KeyName,
        approved: Option<Approved>,
    ) -> Result<(), Error> {
        if let Some(Approved(matter)) = approved
            && matter.act == act
            && matter.key.as_ref() == Some(key)
        {
            return Ok(());
        }
        let policy = self.policy.load();
        match policy.approval(act, Some(key)) {
            None => Ok(()),
            Some(approval) => Err(Error::ApprovalRequired {
                act,
                approval: approval.name().to_owned(),
                required: approval.required(),
            }),
        }
    }

    /// Tells the log of proposals on which nobody acted in time.
    pub(super) async fn tell_expired(&self) -> Result<(), Error> {
        let proposals = self.lives.store()?.proposals();
        for proposal in proposals.expired(self.time()).await? {
            let matter = Matter::read(&proposal)?;
            if let Some(audit) = self.audit() {
                let expired = event(&proposal, &matter, ProposalStep::Expired, None, None);
                audit.record(expired).await?;
            }
            tracing::info!(proposal = %proposal.id, act = %matter.act, subject = %proposal.subject, "proposal expired");
            proposals.told_expiry(proposal.id, self.time()).await?;
        }
        Ok(())
    }

    /// Records a step, or that it was refused, and what the call did.
    async fn stepped(
        &self,
        account: Account,
        proposal: &Proposal,
        matter: &Matter,
        step: ProposalStep,
        result: Result<Proposal, Error>,
    ) -> Result<Standing, Error> {
        match &result {
            Ok(_) => {
                tracing::info!(proposal = %proposal.id, ?step, act = %matter.act, subject = %proposal.subject, "proposal");
                tell(&account, proposal, matter, step, None);
            }
            Err(error) => tell_refused(&account, proposal, matter, error),
        }
        let result = result.and_then(|proposal| self.standing(proposal));
        account.close(result).await
    }

    /// Leave of the policy to do what is proposed, also where that asks for approval.
    async fn may_do(
        &self,
        account: &Account,
        call: &Call,
        proposed: &Proposed,
    ) -> Result<(), Error> {
        let policy = self.policy.load_full();
        let (who, now) = (&call.identity, self.clock.now());
        let create = |algorithms: &[_], key: &KeyName, operation| match operation {
            Operation::Create => policy.authorize_create(who, key, algorithms, now),
            _ => policy.authorize_import(who, key, algorithms, now),
        };
        match proposed {
            Proposed::Destroy { version, .. } => {
                let verdict = policy.authorize_change(who, &version.key, Operation::Destroy, now);
                let granted = account.authorized(verdict)?;
                self.is_there(version)?;
                account.begin(&granted, None, None).await
            }
            Proposed::Create(request) => {
                let verdict = create(&request.algorithms, &request.name, Operation::Create);
                let granted = account.authorized(verdict)?;
                account.begin(&granted, None, None).await
            }
            Proposed::Import(request) => {
                let key = &request.key;
                let verdict = create(&key.algorithms, &key.name, Operation::Import);
                let granted = account.authorized(verdict)?;
                account
                    .begin(&granted, None, request.wrapped.public.as_ref())
                    .await
            }
            Proposed::ImportVersion { key, wrapped } => {
                let _granted = self.may_import(account, call, key)?;
                let found = self.find(key)?;
                let verdict = create(found.key.usage.algorithms(), key, Operation::Import);
                let granted = account.authorized(verdict)?;
                account.begin(&granted, None, wrapped.public.as_ref()).await
            }
            Proposed::Policy(_) => {
                let granted = account.authorized(policy.authorize_policy_change(who, now))?;
                account.begin(&granted, None, None).await
            }
        }
    }

    /// A daemon that has not heard of a key yet says so before anything is used up.
    fn is_there(&self, version: &KeyVersion) -> Result<(), Error> {
        let view = self.known_view(&version.key)?;
        let listed = view.key.is_some_and(|key| key.version(version).is_some());
        match listed || view.facts.versions.contains_key(&version.version) {
            true => Ok(()),
            false => Err(Error::NoSuchVersion(version.clone())),
        }
    }

    fn standing(&self, proposal: Proposal) -> Result<Standing, Error> {
        let matter = Matter::read(&proposal)?;
        let policy = self.policy.load();
        let approval = policy.approval(matter.act, matter.key.as_ref());
        Ok(Standing {
            state: ProposalState::of(&proposal, self.time()),
            approval: approval.map(|approval| approval.name().to_owned()),
            proposal,
        })
    }
}

impl Proposed {
    /// Which act it is.
    pub const fn act(&self) -> DangerousAct {
        match self {
            Self::Destroy { .. } => DangerousAct::DestroyKeyVersion,
            Self::Create(_) => DangerousAct::CreateCriticalKey,
            Self::Import(_) | Self::ImportVersion { .. } => DangerousAct::ImportKey,
            Self::Policy(_) => DangerousAct::WidenPolicy,
        }
    }
}

impl ProposalState {
    fn of(proposal: &Proposal, now: Timestamp) -> Self {
        match &proposal.execution {
            Some(execution) => match execution.outcome.as_deref() {
                None => Self::Executing,
                Some(SUCCEEDED) => Self::Succeeded,
                Some(_) => Self::Failed,
            },
            None if proposal.withdrawn_at.is_some() => Self::Withdrawn,
            None if proposal.expires_at <= now => Self::Expired,
            None if proposal.approvals.len() >= proposal.required as usize => Self::Approved,
            None => Self::Pending,
        }
    }
}

impl Matter {
    fn of(proposed: &Proposed) -> Self {
        let (key, version) = match proposed {
            Proposed::Destroy { version, .. } => (Some(&version.key), Some(version.version)),
            Proposed::Create(request) => (Some(&request.name), None),
            Proposed::Import(request) => (Some(&request.key.name), None),
            Proposed::ImportVersion { key, .. } => (Some(key), None),
            Proposed::Policy(_) => (None, None),
        };
        Self {
            act: proposed.act(),
            key: key.cloned(),
            version,
        }
    }

    /// What the store has was written by [`Signer::propose`].
    fn read(proposal: &Proposal) -> Result<Self, Error> {
        let act = DangerousAct::ALL
            .into_iter()
            .find(|act| act.name() == proposal.act);
        let subject = &proposal.subject;
        let read = match act {
            None => None,
            Some(act @ DangerousAct::WidenPolicy) => Some((act, None, None)),
            Some(act @ DangerousAct::DestroyKeyVersion) => {
                let version = subject.parse::<KeyVersion>().ok();
                version.map(|version| (act, Some(version.key), Some(version.version)))
            }
            Some(act @ (DangerousAct::ImportKey | DangerousAct::CreateCriticalKey)) => {
                let key = subject.parse().ok();
                key.map(|key| (act, Some(key), None))
            }
        };
        let (act, key, version) = read.ok_or_else(|| {
            let what = format!("proposal {} is of no act that is known here", proposal.id);
            Error::Store(StoreError::Damaged(what))
        })?;
        Ok(Self { act, key, version })
    }

    fn asked(&self) -> Asked {
        Asked {
            operation: self.act.done_by(),
            key: self.key.clone(),
            version: self.version,
            algorithms: Vec::new(),
            partner: None,
            scheme: None,
        }
    }
}

fn subject(proposed: &Proposed) -> String {
    match proposed {
        Proposed::Destroy { version, .. } => version.to_string(),
        Proposed::Create(request) => request.name.to_string(),
        Proposed::Import(request) => request.key.name.to_string(),
        Proposed::ImportVersion { key, .. } => key.to_string(),
        Proposed::Policy(sha256) => hex::encode(sha256),
    }
}

fn tell(
    account: &Account,
    proposal: &Proposal,
    matter: &Matter,
    step: ProposalStep,
    reason: Option<Word>,
) {
    account.tells(|by| event(proposal, matter, step, reason, Some(by)));
}

fn tell_refused(account: &Account, proposal: &Proposal, matter: &Matter, error: &Error) {
    let reason = Some(Word::new(error.reason()));
    tell(account, proposal, matter, ProposalStep::Refused, reason);
}

fn event(
    proposal: &Proposal,
    matter: &Matter,
    step: ProposalStep,
    reason: Option<Word>,
    by: Option<audit::Caller>,
) -> Event {
    let file = hex::decode(&proposal.subject).ok();
    let file = file.and_then(|file| <[u8; 32]>::try_from(file).ok());
    Event::Proposal(Box::new(audit::Proposal {
        proposal: Name::fitted(&proposal.id.to_string()),
        step,
        subject: matter.asked().into(),
        content: match (matter.act, file) {
            (DangerousAct::WidenPolicy, Some(sha256)) => Digest::from_bytes(sha256),
            _ => Digest::of(&proposal.content),
        },
        reason,
        by,
    }))
}

const fn refused(id: Uuid, refusal: Refusal) -> Error {
    Error::Store(StoreError::Proposal { id, refusal })
}

/// How an execution ended that did what was proposed.
const SUCCEEDED: &str = "SUCCEEDED";
/// So many are read from the store at once.
const PAGE: u32 = 100;
