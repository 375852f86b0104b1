//! Duties that are kept apart: who uses keys does not look after them, and neither reads the log of it.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use crate::policy::{operation::Operation, pattern::IdentityPattern, rule::Rule};

/// A kind of work that goes with no other kind in one hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Have keys do their work.
    UseOfKeys,
    /// Decide which keys there are.
    KeyAdministration,
    /// Approve what others propose.
    Approval,
    /// Read the record of what was done.
    AuditReading,
}

/// An identity, or all that a pattern names, with more than one duty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DutyConflict {
    /// Who.
    pub identity: String,
    /// Which duties, and the rules that give them.
    pub duties: Vec<HeldDuty>,
}

/// A duty that an identity has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldDuty {
    /// Which.
    pub duty: Duty,
    /// By which rules.
    pub rules: Vec<String>,
}

impl Operation {
    /// The duty that it is a part of; `None` if it goes with every duty.
    pub const fn duty(self) -> Option<Duty> {
        match self {
            Self::Sign
            | Self::Verify
            | Self::Encrypt
            | Self::Decrypt
            | Self::SignRequest
            | Self::SignResponse
            | Self::VerifyCallback
            | Self::VerifyResponse
            | Self::EncryptField
            | Self::DecryptField
            | Self::IssueAccessToken => Some(Duty::UseOfKeys),
            Self::Create
            | Self::Import
            | Self::Rotate
            | Self::Update
            | Self::Destroy
            | Self::ChangePolicy
            | Self::RequestCertificate => Some(Duty::KeyAdministration),
            Self::Approve | Self::ApprovePolicy => Some(Duty::Approval),
            Self::ReadAudit => Some(Duty::AuditReading),
            Self::Get | Self::GenerateRandom | Self::ExplainMessage | Self::GetPartner => None,
        }
    }
}

/// Where one identity has two duties, whatever the keys and the hours; of patterns that overlap, the narrower.
pub(super) fn conflicts(rules: &[Rule]) -> Vec<DutyConflict> {
    let patterns: BTreeSet<_> = rules.iter().flat_map(|rule| &rule.identities).collect();
    let mut conflicts: Vec<(&IdentityPattern, DutyConflict)> = Vec::new();
    for pattern in patterns {
        let duties = held(rules, pattern);
        // What a wider pattern has already been told of is not told again.
        let told = |(wider, before): &(&IdentityPattern, DutyConflict)| {
            wider.covers(pattern) && before.duties == duties
        };
        if duties.len() > 1 && !conflicts.iter().any(told) {
            let identity = pattern.to_string();
            conflicts.push((pattern, DutyConflict { identity, duties }));
        }
    }
    conflicts
        .into_iter()
        .map(|(_, conflict)| conflict)
        .collect()
}

fn held(rules: &[Rule], pattern: &IdentityPattern) -> Vec<HeldDuty> {
    let gives = |rule: &&Rule, duty: Duty| {
        let mut patterns = rule.identities.iter();
        patterns.any(|one| one.covers(pattern))
            && Operation::ALL
                .into_iter()
                .any(|one| one.duty() == Some(duty) && rule.names_operation(one))
    };
    let of = |duty: Duty| HeldDuty {
        duty,
        rules: rules
            .iter()
            .filter(|rule| gives(rule, duty))
            .map(|rule| rule.name().to_string())
            .collect(),
    };
    let all = Duty::ALL.into_iter().map(of);
    all.filter(|held| !held.rules.is_empty()).collect()
}

impl Duty {
    /// Every duty.
    pub const ALL: [Self; 4] = [
        Self::UseOfKeys,
        Self::KeyAdministration,
        Self::Approval,
        Self::AuditReading,
    ];
}

impl fmt::Display for Duty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::UseOfKeys => "use of keys",
            Self::KeyAdministration => "key administration",
            Self::Approval => "approval",
            Self::AuditReading => "audit reading",
        })
    }
}

impl fmt::Display for DutyConflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} holds duties that are kept apart: ",
            self.identity
        )?;
        for (at, held) in self.duties.iter().enumerate() {
            let between = if at > 0 { ", and " } else { "" };
            write!(
                formatter,
                "{between}{} by {}",
                held.duty,
                held.rules.join(" ")
            )?;
        }
        Ok(())
    }
}
