//! `[[approvals]]` of the policy file: checked so that what it asks for can be met.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::{Name, PolicyError, line_of};
use crate::policy::{
    approval::{Approval, DangerousAct},
    operation::Operation,
    pattern::{IdentityPattern, KeyPattern},
    role::Role,
    rule::Rule,
};

/// An approval as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawApproval {
    name: Spanned<Name>,
    acts: Vec<DangerousAct>,
    keys: Option<Vec<KeyPattern>>,
    approvers: Vec<Approver>,
    required: u32,
    expires_after_seconds: u64,
}

/// A role, or an identity: only identities have a colon.
#[derive(Deserialize)]
#[serde(try_from = "String")]
enum Approver {
    Role(String),
    Identity(IdentityPattern),
}

/// An approval that can't be given, or means nothing.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the list is empty; expected at least one entry")]
    Empty(&'static str),
    #[error("there is no role {0:?}; expected one of the file's [[roles]], or an identity")]
    NoSuchRole(String),
    #[error("no act of this approval concerns keys; leave the list out")]
    IdleKeys,
    #[error("a rule or an approval named {0:?} is there already; the name is what logs show")]
    NameTaken(String),
    #[error("expected 1 to {MOST}")]
    Required,
    #[error(
        "{required} are required, and the approvers are {reach} identities: no act could ever be approved"
    )]
    OutOfReach { required: u32, reach: usize },
    #[error(
        "the only ones who may do {operation} are approvers, and nobody approves his own proposal: of the {reach} approvers too few are left to be {required}"
    )]
    AuthorsOnly {
        operation: Operation,
        required: u32,
        reach: usize,
    },
    #[error("expected 1 to {LONGEST} seconds")]
    Expiry,
}

pub(super) fn compile(
    text: &str,
    raw: Vec<RawApproval>,
    roles: &mut [Role],
    rules: &[Rule],
) -> Result<Vec<Approval>, PolicyError> {
    let mut approvals: Vec<Approval> = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let line = line_of(text, raw.name.span().start);
        let approval = raw.compile(roles, rules, &approvals);
        approvals.push(approval.map_err(|fault| PolicyError {
            line: Some(line),
            key: Some(format!("approvals[{index}].{}", fault.key())),
            message: fault.to_string(),
        })?);
    }
    Ok(approvals)
}

impl RawApproval {
    fn compile(
        self,
        roles: &mut [Role],
        rules: &[Rule],
        before: &[Approval],
    ) -> Result<Approval, Fault> {
        let name = self.name.into_inner().0;
        let mut names = rules.iter().map(|rule| &**rule.name());
        if names.any(|one| one == name) || before.iter().any(|one| one.name() == name) {
            return Err(Fault::NameTaken(name));
        }
        if self.acts.is_empty() {
            return Err(Fault::Empty("acts"));
        }
        let about_keys = |act: &DangerousAct| act.approved_by() == Operation::Approve;
        let keys = match self.keys {
            Some(_) if !self.acts.iter().any(about_keys) => return Err(Fault::IdleKeys),
            Some(keys) if keys.is_empty() => return Err(Fault::Empty("keys")),
            Some(keys) => keys,
            None => vec![KeyPattern::Prefix(String::new())],
        };
        let mut approvers = Vec::new();
        for approver in self.approvers {
            match approver {
                Approver::Identity(pattern) => approvers.push(pattern),
                Approver::Role(name) => {
                    let named = roles.iter_mut().find(|role| *role.name == *name);
                    let role = named.ok_or(Fault::NoSuchRole(name))?;
                    role.used = true;
                    approvers.extend_from_slice(&role.identities);
                }
            }
        }
        if approvers.is_empty() {
            return Err(Fault::Empty("approvers"));
        }
        if !(1..=MOST).contains(&self.required) {
            return Err(Fault::Required);
        }
        if !(1..=LONGEST).contains(&self.expires_after_seconds) {
            return Err(Fault::Expiry);
        }
        let approval = Approval {
            name: Arc::from(name),
            acts: self.acts.into_iter().collect(),
            keys,
            approvers,
            required: self.required,
            expires_after: Duration::from_secs(self.expires_after_seconds),
        };
        approval.can_be_given(rules)?;
        Ok(approval)
    }
}

impl Approval {
    /// Whether so many can approve, also when one of them is the author and nobody else can be.
    fn can_be_given(&self, rules: &[Rule]) -> Result<(), Fault> {
        let Some(reach) = self.reach() else {
            return Ok(());
        };
        let required = self.required;
        if reach < required as usize {
            return Err(Fault::OutOfReach { required, reach });
        }
        if reach > required as usize {
            return Ok(());
        }
        for act in &self.acts {
            let operation = act.done_by();
            let mut authors = rules
                .iter()
                .filter(|rule| rule.names_operation(operation))
                .flat_map(|rule| &rule.identities)
                .peekable();
            if authors.peek().is_some() && authors.all(|author| self.approvers.contains(author)) {
                return Err(Fault::AuthorsOnly {
                    operation,
                    required,
                    reach,
                });
            }
        }
        Ok(())
    }
}

impl Fault {
    const fn key(&self) -> &'static str {
        match self {
            Self::Empty(list) => list,
            Self::NoSuchRole(_) => "approvers",
            Self::IdleKeys => "keys",
            Self::NameTaken(_) => "name",
            Self::Required | Self::OutOfReach { .. } | Self::AuthorsOnly { .. } => "required",
            Self::Expiry => "expires_after_seconds",
        }
    }
}

impl TryFrom<String> for Approver {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.contains(':') {
            let pattern: Result<IdentityPattern, _> = text.parse();
            return pattern
                .map(Self::Identity)
                .map_err(|error| error.to_string());
        }
        Name::try_from(text).map(|Name(name)| Self::Role(name))
    }
}

const MOST: u32 = 16;
/// A year.
const LONGEST: u64 = 365 * 86_400;
