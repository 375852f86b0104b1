//! One rule, compiled: does it allow a request, and if not, what is missing.

use std::sync::Arc;

use crate::{
    algorithm::Algorithm,
    identity::IdentityName,
    key::KeyName,
    partner::PartnerName,
    policy::{
        Reason,
        explain::Match,
        limits::Limits,
        operation::{Need, Operation},
        partnership::PartnerPattern,
        pattern::{IdentityPattern, KeyPattern},
        window::Window,
    },
    scheme::{SchemeName, UnixMilliseconds},
};

/// A rule; its lists are as [`super::file`] has checked them.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    /// Its own, and those of its roles.
    pub(super) identities: Vec<IdentityPattern>,
    /// `None` if no operation of the rule always has a key, and none was listed.
    pub(super) keys: Option<Vec<KeyPattern>>,
    pub(super) operations: OperationSet,
    /// `None` if no operation of the rule always has an algorithm, and none was listed.
    pub(super) algorithms: Option<AlgorithmSet>,
    /// `None` if no operation of the rule is about partners.
    pub(super) partners: Option<Vec<PartnerPattern>>,
    /// `None` for all of a partner's schemes.
    pub(super) schemes: Option<Vec<SchemeName>>,
    /// `None` if it always holds.
    pub(super) window: Option<Window>,
    /// `None` if whatever is signed will do.
    pub(super) limits: Option<Arc<Limits>>,
}

/// A request, before anyone has said that it is allowed.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) identity: &'a IdentityName,
    pub(super) key: Option<&'a KeyName>,
    pub(super) operation: Operation,
    pub(super) algorithms: Option<AlgorithmSet>,
    pub(super) partner: Option<&'a PartnerName>,
    pub(super) scheme: Option<&'a SchemeName>,
    /// When; `None` for a question about rules at whatever time they hold, which no permit comes of.
    pub(super) at: Option<UnixMilliseconds>,
}

/// A set of operations, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OperationSet(u32);

/// A set of algorithms, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AlgorithmSet(u32);

impl Rule {
    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether every part of the request is in its list; the cheapest are looked at first.
    pub(super) fn allows(&self, question: &Question<'_>) -> bool {
        self.names_operation(question.operation)
            && self.names_algorithms(question).holds()
            && self.names_key(question).holds()
            && self.names_partner(question).holds()
            && self.names_scheme(question).holds()
            && self.holds_at(question).holds()
            && self.limits_suit(question.operation).holds()
            && self.names_identity(question.identity)
    }

    pub(super) fn names_identity(&self, identity: &IdentityName) -> bool {
        self.identities
            .iter()
            .any(|pattern| pattern.matches(identity))
    }

    pub(super) const fn names_operation(&self, operation: Operation) -> bool {
        self.operations.contains(operation)
    }

    pub(super) fn holds_at(&self, question: &Question<'_>) -> Match {
        match (&self.window, question.at) {
            (None, _) | (_, None) => Match::NotAsked,
            (Some(window), Some(now)) => Match::from(window.contains(now)),
        }
    }

    /// Its limits, for an operation that they are for.
    pub(super) fn limits_on(&self, operation: Operation) -> Option<&Arc<Limits>> {
        let limited = operation == Operation::Sign || operation.signs_for_partner();
        self.limits.as_ref().filter(|_| limited)
    }

    /// Whether its limits can be held against what the operation signs. What can't be looked at is not allowed.
    pub(super) fn limits_suit(&self, operation: Operation) -> Match {
        match self.limits_on(operation) {
            None => Match::NotAsked,
            Some(limits) => Match::from(limits.suit(operation).is_ok()),
        }
    }

    pub(super) fn names_key(&self, question: &Question<'_>) -> Match {
        match (question.operation.needs().key, question.key) {
            (Need::Never, None) | (Need::Sometimes, None) => Match::NotAsked,
            (Need::Always, None) | (Need::Never, Some(_)) => Match::No,
            (Need::Always | Need::Sometimes, Some(key)) => Match::from(
                self.keys
                    .as_ref()
                    .is_some_and(|keys| keys.iter().any(|pattern| pattern.matches(key))),
            ),
        }
    }

    pub(super) fn names_algorithms(&self, question: &Question<'_>) -> Match {
        let listed = |asked| {
            self.algorithms
                .is_some_and(|algorithms| algorithms.contains_all(asked))
        };
        match (question.operation.needs().algorithm, question.algorithms) {
            (Need::Never, None) => Match::NotAsked,
            (Need::Always | Need::Sometimes, None) | (Need::Never, Some(_)) => Match::No,
            (Need::Sometimes, Some(asked)) if question.key.is_none() => {
                Match::from(self.algorithms.is_none() || listed(asked))
            }
            (Need::Always | Need::Sometimes, Some(asked)) => Match::from(listed(asked)),
        }
    }

    pub(super) fn names_partner(&self, question: &Question<'_>) -> Match {
        match (question.operation.needs().partner, question.partner) {
            (Need::Never | Need::Sometimes, None) => Match::NotAsked,
            (Need::Always, None) | (Need::Never, Some(_)) => Match::No,
            (Need::Always | Need::Sometimes, Some(partner)) => {
                let patterns = self.partners.iter().flatten();
                Match::from(patterns.into_iter().any(|one| one.matches(partner)))
            }
        }
    }

    pub(super) fn names_scheme(&self, question: &Question<'_>) -> Match {
        match (question.operation.needs().scheme, question.scheme) {
            (_, None) => Match::NotAsked,
            (Need::Never, Some(_)) => Match::No,
            (Need::Always | Need::Sometimes, Some(scheme)) => {
                let listed = |schemes: &Vec<SchemeName>| schemes.contains(scheme);
                Match::from(self.schemes.as_ref().is_none_or(listed))
            }
        }
    }
}

impl<'a> Question<'a> {
    /// One that is about nothing yet.
    pub(super) const fn about(
        identity: &'a IdentityName,
        operation: Operation,
        at: Option<UnixMilliseconds>,
    ) -> Self {
        Self {
            identity,
            key: None,
            operation,
            algorithms: None,
            partner: None,
            scheme: None,
            at,
        }
    }
}

/// What was missing in the rule that came nearest.
pub(super) fn nearest(rules: &[Rule], question: &Question<'_>) -> Reason {
    let missing = |rule: &Rule| {
        if !rule.names_identity(question.identity) {
            Reason::Identity
        } else if !rule.names_key(question).holds() {
            Reason::Key
        } else if !rule.names_partner(question).holds() {
            Reason::Partner
        } else if !rule.names_operation(question.operation) {
            Reason::Operation
        } else if !rule.names_scheme(question).holds() {
            Reason::Scheme
        } else if !rule.names_algorithms(question).holds() {
            Reason::Algorithm
        } else if !rule.holds_at(question).holds() {
            Reason::Time
        } else {
            let limits = rule.limits_on(question.operation);
            let suit = limits.map(|limits| limits.suit(question.operation));
            suit.and_then(Result::err).unwrap_or(Reason::Time)
        }
    };
    rules.iter().map(missing).max().unwrap_or(Reason::Identity)
}

impl OperationSet {
    pub(super) const fn contains(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u16) != 0
    }
}

impl FromIterator<Operation> for OperationSet {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        Self(
            operations
                .into_iter()
                .fold(0, |set, operation| set | 1 << operation as u16),
        )
    }
}

impl AlgorithmSet {
    pub(super) fn all() -> Self {
        Algorithm::ALL.into_iter().collect()
    }

    pub(super) const fn contains_all(self, asked: Self) -> bool {
        self.0 & asked.0 == asked.0
    }
}

impl From<Algorithm> for AlgorithmSet {
    fn from(algorithm: Algorithm) -> Self {
        let place = Algorithm::ALL
            .iter()
            .position(|one| *one == algorithm)
            .expect("Algorithm::ALL has every algorithm");
        Self(1 << place)
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        Self(
            algorithms
                .into_iter()
                .fold(0, |set, algorithm| set | Self::from(algorithm).0),
        )
    }
}

const _: () = assert!(Algorithm::ALL.len() <= u32::BITS as usize);
const _: () = assert!(Operation::ALL.len() <= u32::BITS as usize);
