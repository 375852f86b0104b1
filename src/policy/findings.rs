//! What is probably not meant in a policy that can be read: duties in one hand, rules that decide nothing, names of nothing.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use crate::{
    algorithm::Algorithm,
    key::KeyName,
    partner::PartnerName,
    policy::{
        Policy,
        operation::{Need, Operation},
        rule::Rule,
        table::serves,
    },
    scheme::UnixMilliseconds,
};

/// What a policy is held against.
#[derive(Debug)]
pub struct Surroundings {
    /// What time it is.
    pub now: UnixMilliseconds,
    /// The keys that there are, if that is known.
    pub keys: Option<BTreeSet<KeyName>>,
    /// The partners that there are, if that is known.
    pub partners: Option<BTreeSet<PartnerName>>,
}

/// Something that is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of which kind.
    pub kind: FindingKind,
    /// In which rule, if in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What, and what comes of it.
    pub message: String,
}

/// Kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// One identity has two duties.
    Duties,
    /// An earlier rule allows all that a rule allows.
    Shadowed,
    /// An operation of a rule can't be done with any of its algorithms.
    NoAlgorithm,
    /// A rule's limits can't be held against what one of its operations signs, so that it never allows that.
    LimitsDoNotSuit,
    /// The time of a rule is over.
    Over,
    /// No rule names a role.
    IdleRole,
    /// No rule lets through what a quota bounds.
    IdleQuota,
    /// There is no such key.
    UnknownKey,
    /// There is no such partner.
    UnknownPartner,
}

impl Policy {
    /// What is probably not meant, in the order of the file.
    pub fn findings(&self, surroundings: &Surroundings) -> Vec<Finding> {
        let mut findings = Vec::new();
        for conflict in self.duty_conflicts() {
            findings.push(Finding {
                kind: FindingKind::Duties,
                rule: None,
                message: conflict.to_string(),
            });
        }
        for role in self.roles.iter().filter(|role| !role.used) {
            findings.push(Finding {
                kind: FindingKind::IdleRole,
                rule: None,
                message: format!("no rule names the role {:?}", role.name),
            });
        }
        for quota in self.quotas.iter() {
            let name = quota.name();
            let mut find = |kind, message| {
                let rule = None;
                findings.push(Finding {
                    kind,
                    rule,
                    message,
                });
            };
            if !self.rules.iter().any(|rule| quota.is_reached_by(rule)) {
                let message =
                    format!("the quota {name} bounds nothing: no rule allows what it is for");
                find(FindingKind::IdleQuota, message);
            }
            for pattern in quota.keys() {
                let known = surroundings.keys.as_ref();
                if known.is_some_and(|keys| !keys.iter().any(|key| pattern.matches(key))) {
                    let message =
                        format!("the quota {name} names a key that is not there: {pattern}");
                    find(FindingKind::UnknownKey, message);
                }
            }
        }
        for (at, rule) in self.rules.iter().enumerate() {
            let mut find = |kind, message| {
                findings.push(Finding {
                    kind,
                    rule: Some(rule.name().to_string()),
                    message,
                });
            };
            // What needs whose approval is not leave: nothing of it can be left out.
            let approves = [Operation::Approve, Operation::ApprovePolicy];
            if approves.into_iter().any(|one| rule.names_operation(one)) {
                continue;
            }
            if let Some(wider) = self.rules[..at].iter().find(|wider| wider.covers(rule)) {
                let message = format!("it decides nothing: {} allows all of it", wider.name());
                find(FindingKind::Shadowed, message);
            }
            for operation in rule.without_algorithm() {
                let message = format!("none of its algorithms is one to {operation} with");
                find(FindingKind::NoAlgorithm, message);
            }
            for operation in rule.never_within_limits() {
                let message = format!(
                    "it never allows {operation}: that signs what a scheme makes, of which its limits can't tell"
                );
                find(FindingKind::LimitsDoNotSuit, message);
            }
            if let Some(window) = &rule.window
                && window.is_over(surroundings.now)
            {
                find(FindingKind::Over, format!("its time is over: {window}"));
            }
            rule.look_for(surroundings, &mut find);
        }
        findings
    }
}

impl Rule {
    /// Whether it allows whatever the other allows.
    fn covers(&self, other: &Self) -> bool {
        let operations = Operation::ALL
            .into_iter()
            .all(|one| !other.names_operation(one) || self.names_operation(one));
        let encrypts = other.names_operation(Operation::Encrypt);
        let algorithms = match (self.algorithms, other.algorithms) {
            (Some(wider), Some(narrower)) => wider.contains_all(narrower),
            // Without a list every algorithm will do, but for keys from outside only.
            (None, Some(_)) => false,
            (Some(_), None) => !encrypts,
            (None, None) => true,
        };
        let covered = |one: &_| self.identities.iter().any(|wider| wider.covers(one));
        let identities = other.identities.iter().all(covered);
        let keys = other.keys.iter().flatten().all(|one| {
            let mut wider = self.keys.iter().flatten();
            wider.any(|wider| wider.covers(one))
        });
        let partners = other.partners.iter().flatten().all(|one| {
            let mut wider = self.partners.iter().flatten();
            wider.any(|wider| wider.covers(one))
        });
        let schemes = match (&self.schemes, &other.schemes) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wider), Some(narrower)) => narrower.iter().all(|one| wider.contains(one)),
        };
        let times = self.window.is_none() || self.window == other.window;
        let limits = self.limits.is_none() || self.limits == other.limits;
        operations && algorithms && identities && keys && partners && schemes && times && limits
    }

    /// Its operations that none of its algorithms is for.
    fn without_algorithm(&self) -> impl Iterator<Item = Operation> {
        let named = Operation::ALL
            .into_iter()
            .filter(|one| one.needs().algorithm != Need::Never && self.names_operation(*one));
        named.filter(|operation| {
            self.algorithms.is_some_and(|algorithms| {
                !Algorithm::ALL
                    .into_iter()
                    .any(|one| algorithms.contains_all(one.into()) && serves(*operation, one))
            })
        })
    }

    /// Its operations that sign what its limits can't be held against.
    fn never_within_limits(&self) -> impl Iterator<Item = Operation> {
        let never = |one: &Operation| self.names_operation(*one) && !self.limits_suit(*one).holds();
        Operation::ALL.into_iter().filter(never)
    }

    fn look_for(&self, surroundings: &Surroundings, find: &mut impl FnMut(FindingKind, String)) {
        // Who makes keys may name them first.
        let makes =
            self.names_operation(Operation::Create) || self.names_operation(Operation::Import);
        if let Some(there) = surroundings.keys.as_ref().filter(|_| !makes) {
            for pattern in self.keys.iter().flatten() {
                if !there.iter().any(|key| pattern.matches(key)) {
                    let message =
                        format!("there is no key {pattern}; with it, the rule allows nothing");
                    find(FindingKind::UnknownKey, message);
                }
            }
        }
        if let Some(there) = &surroundings.partners {
            for pattern in self.partners.iter().flatten() {
                if !there.iter().any(|partner| pattern.matches(partner)) {
                    let message =
                        format!("there is no partner {pattern}; with it, the rule allows nothing");
                    find(FindingKind::UnknownPartner, message);
                }
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rule) = &self.rule {
            write!(formatter, "rule {rule}: ")?;
        }
        formatter.write_str(&self.message)
    }
}
