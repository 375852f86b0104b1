//! Dangerous acts that nobody does alone: who approves them, how many must, and what of a new policy counts as wider.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    identity::{Identity, IdentityName},
    key::KeyName,
    policy::{
        ChangeKind, Denied, Permit, Policy, Reason,
        operation::Operation,
        pattern::{IdentityPattern, KeyPattern},
        permit::{Asked, Keyless, Subject},
        rule::Rule,
    },
    scheme::UnixMilliseconds,
};

/// What can be put under approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DangerousAct {
    /// Have a version of a key destroyed.
    DestroyKeyVersion,
    /// Bring in a key, or a version of one, that was made elsewhere.
    ImportKey,
    /// Make a key that is marked critical.
    CreateCriticalKey,
    /// Put a policy in force that allows more than the one in force.
    WidenPolicy,
}

/// Which acts need approval, of whom, and of how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub(super) name: Arc<str>,
    pub(super) acts: BTreeSet<DangerousAct>,
    /// Of which keys; never looked at for [`DangerousAct::WidenPolicy`].
    pub(super) keys: Vec<KeyPattern>,
    pub(super) approvers: Vec<IdentityPattern>,
    pub(super) required: u32,
    pub(super) expires_after: Duration,
}

/// What a permit to approve is about.
#[derive(Debug)]
pub struct Approving {
    key: Option<KeyName>,
}

impl DangerousAct {
    /// Every act.
    pub const ALL: [Self; 4] = [
        Self::DestroyKeyVersion,
        Self::ImportKey,
        Self::CreateCriticalKey,
        Self::WidenPolicy,
    ];

    /// The name in policy files and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DestroyKeyVersion => "destroy_key_version",
            Self::ImportKey => "import_key",
            Self::CreateCriticalKey => "create_critical_key",
            Self::WidenPolicy => "widen_policy",
        }
    }

    /// The operation that a rule must allow to whoever proposes and executes it.
    pub const fn done_by(self) -> Operation {
        match self {
            Self::DestroyKeyVersion => Operation::Destroy,
            Self::ImportKey => Operation::Import,
            Self::CreateCriticalKey => Operation::Create,
            Self::WidenPolicy => Operation::ChangePolicy,
        }
    }

    /// The operation that approving it is.
    pub const fn approved_by(self) -> Operation {
        match self {
            Self::DestroyKeyVersion | Self::ImportKey | Self::CreateCriticalKey => {
                Operation::Approve
            }
            Self::WidenPolicy => Operation::ApprovePolicy,
        }
    }
}

impl Approval {
    /// Its name in the file, which logs show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many others must approve.
    pub const fn required(&self) -> u32 {
        self.required
    }

    /// How long after it was proposed an act can be approved and executed.
    pub const fn expires_after(&self) -> Duration {
        self.expires_after
    }

    fn governs(&self, act: DangerousAct, key: Option<&KeyName>) -> bool {
        self.acts.contains(&act)
            && match key {
                Some(key) => self.keys.iter().any(|pattern| pattern.matches(key)),
                None => act == DangerousAct::WidenPolicy,
            }
    }

    fn names(&self, identity: &IdentityName) -> bool {
        let mut patterns = self.approvers.iter();
        patterns.any(|pattern| pattern.matches(identity))
    }

    /// How many different identities can approve; `None` if a pattern names as many as anybody likes.
    pub(super) fn reach(&self) -> Option<usize> {
        let exact = |pattern: &IdentityPattern| match pattern {
            IdentityPattern::Exact(name) => Some(name.clone()),
            IdentityPattern::Below(_) => None,
        };
        let names: Option<BTreeSet<_>> = self.approvers.iter().map(exact).collect();
        names.map(|names| names.len())
    }

    /// What its approvers may do, as a rule: so that explanations, tables, differences and duties know of it.
    pub(super) fn rule(&self) -> Rule {
        let about_keys = |act: &DangerousAct| act.approved_by() == Operation::Approve;
        Rule {
            name: Arc::clone(&self.name),
            identities: self.approvers.clone(),
            keys: self.acts.iter().any(about_keys).then(|| self.keys.clone()),
            operations: self.acts.iter().map(|act| act.approved_by()).collect(),
            algorithms: None,
            partners: None,
            schemes: None,
            window: None,
            limits: None,
        }
    }
}

impl Policy {
    /// The approval that an act needs: the first of the file that names the act and the key.
    pub fn approval(&self, act: DangerousAct, key: Option<&KeyName>) -> Option<&Approval> {
        let mut approvals = self.approvals.iter();
        approvals.find(|approval| approval.governs(act, key))
    }

    /// Whether this identity's approval of such an act counts.
    pub fn may_approve(
        &self,
        identity: &IdentityName,
        act: DangerousAct,
        key: Option<&KeyName>,
    ) -> bool {
        let approval = self.approval(act, key);
        approval.is_some_and(|approval| approval.names(identity))
    }

    /// Asks to approve an act.
    ///
    /// # Errors
    ///
    /// [`Denied`], unless the identity is among the approvers of the approval that the act needs.
    pub fn authorize_approve(
        &self,
        identity: &Arc<Identity>,
        act: DangerousAct,
        key: Option<&KeyName>,
    ) -> Result<Permit<Approving>, Denied> {
        let subject = Approving { key: key.cloned() };
        let operation = act.approved_by();
        match self.approval(act, key) {
            Some(approval) if approval.names(identity.name()) => {
                Ok(Permit::new(identity, &approval.name, operation, subject))
            }
            Some(_) | None => Err(Denied {
                identity: Arc::clone(identity),
                asked: Box::new(subject.asked(operation)),
                reason: match self
                    .rules
                    .iter()
                    .any(|rule| rule.names_identity(identity.name()))
                {
                    true => Reason::Operation,
                    false => Reason::Identity,
                },
                limit: None,
            }),
        }
    }

    /// Asks to propose another policy.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it.
    pub fn authorize_policy_change(
        &self,
        identity: &Arc<Identity>,
        now: UnixMilliseconds,
    ) -> Result<Permit<Keyless>, Denied> {
        self.decide_keyless(identity, Operation::ChangePolicy, None, now)
    }

    /// What another policy allows that this one does not, a line each; empty if it is nowhere wider. What is allowed on
    /// other conditions counts, and so does every change of what needs approval: which of two is stricter is not for a
    /// program to guess.
    pub fn widenings_to(&self, other: &Self) -> Vec<String> {
        let is_wider = |kind| match kind {
            ChangeKind::Gains | ChangeKind::Widens | ChangeKind::Changes => true,
            ChangeKind::Narrows | ChangeKind::Loses => false,
        };
        let changes = self.changes_to(other);
        let mut wider: Vec<_> = changes
            .iter()
            .filter(|change| is_wider(change.kind))
            .map(|change| {
                let on = Some(&change.on).filter(|on| !on.is_empty());
                let on = on.map_or_else(String::new, |on| format!(" on {on}"));
                let kind = change.kind.name();
                format!("{} {kind} {}{on}", change.identity, change.operation)
            })
            .collect();
        let quotas = self.quota_changes_to(other).into_iter();
        let quotas = quotas.filter(|change| is_wider(change.kind));
        wider.extend(quotas.map(|change| format!("quota {} is wider, or gone", change.quota)));
        if self.approvals != other.approvals {
            wider.push("the [[approvals]] are not the same".to_owned());
        }
        if self.separate_duties && !other.separate_duties {
            wider.push("separate_duties is not true any more".to_owned());
        }
        wider
    }
}

impl Subject for Approving {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            key: self.key.clone(),
            ..Asked::to(operation)
        }
    }
}

impl fmt::Display for DangerousAct {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
