//! Everything that a policy allows, as a table: identities, keys or partners, operations, and under which conditions.
//!
//! Patterns never overlap in part: one covers the other or they have nothing in common. So every name behaves like
//! one of the patterns that are written, and a line that begins with a pattern speaks of the names that no
//! narrower pattern picks out. That makes tables, and the difference of two, exact.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    algorithm::{Algorithm, Purpose},
    policy::{
        Policy,
        operation::{Need, Operation},
        partnership::PartnerPattern,
        pattern::{IdentityPattern, KeyPattern},
        rule::{AlgorithmSet, Rule},
    },
    scheme::SchemeName,
};

/// One thing that is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// To whom: an identity, or a pattern.
    pub identity: String,
    /// On what: `key NAME`, `partner NAME`, each a name or a pattern; empty for what concerns neither.
    pub on: String,
    /// What.
    pub operation: Operation,
    /// With which algorithms, or by which schemes, `*` being every other; empty where there is no such thing.
    pub with: Vec<String>,
    /// At which times and with which limits; of several, one must be met. Empty if it is always allowed.
    pub conditions: Vec<String>,
    /// By which rules.
    pub rules: Vec<String>,
}

/// What an operation may be about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Nothing,
    Key(KeyPattern),
    Partner(PartnerPattern),
}

/// All patterns and schemes that are written.
#[derive(Debug, Default)]
pub(super) struct Universe<'a> {
    identities: BTreeSet<&'a IdentityPattern>,
    subjects: BTreeSet<Subject>,
    schemes: BTreeSet<&'a SchemeName>,
}

/// A place of the table: whom, on what, what.
pub(super) type Cell<'a> = (&'a IdentityPattern, &'a Subject, Operation);

/// For each algorithm or scheme, the conditions and the rules that have them; the condition `""` is none.
pub(super) type Grants = BTreeMap<String, BTreeMap<String, Vec<String>>>;

impl Policy {
    /// Everything that it allows, by identity; what is not there is denied.
    pub fn table(&self) -> Vec<Row> {
        let universe = Universe::of([self]);
        let mut rows = Vec::new();
        universe.each(|cell| {
            let grants = self.grants(&universe, cell);
            let mut alike: BTreeMap<_, Vec<String>> = BTreeMap::new();
            for (with, conditions) in grants {
                alike.entry(conditions).or_default().push(with);
            }
            rows.extend(alike.into_iter().map(|(conditions, with)| {
                Row {
                    identity: cell.0.to_string(),
                    on: cell.1.to_string(),
                    operation: cell.2,
                    with: shortened(cell.2, with),
                    rules: distinct(conditions.values().flatten()),
                    conditions: conditions
                        .into_keys()
                        .filter(|one| !one.is_empty())
                        .collect(),
                }
            }));
        });
        rows
    }

    pub(super) fn grants(&self, universe: &Universe<'_>, cell: Cell<'_>) -> Grants {
        let (identity, subject, operation) = cell;
        let mut grants = Grants::new();
        for rule in &self.rules {
            let concerned = rule.names_operation(operation)
                && rule.limits_suit(operation).holds()
                && rule.identities.iter().any(|one| one.covers(identity));
            if !concerned {
                continue;
            }
            let condition = rule.condition(operation);
            for with in rule.ways(universe, subject, operation) {
                let conditions = grants.entry(with).or_default();
                let rules = conditions.entry(condition.clone()).or_default();
                rules.push(rule.name().to_string());
            }
        }
        for conditions in grants.values_mut() {
            // Beside leave without conditions, conditions are nothing.
            if conditions.contains_key("") {
                conditions.retain(|condition, _| condition.is_empty());
            }
        }
        grants
    }
}

impl<'a> Universe<'a> {
    pub(super) fn of(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let mut all = Self::default();
        all.subjects.insert(Subject::Nothing);
        for rule in policies.into_iter().flat_map(|policy| &policy.rules) {
            all.identities.extend(&rule.identities);
            let keys = rule.keys.iter().flatten().cloned();
            all.subjects.extend(keys.map(Subject::Key));
            let partners = rule.partners.iter().flatten().cloned();
            all.subjects.extend(partners.map(Subject::Partner));
            all.schemes.extend(rule.schemes.iter().flatten());
        }
        all
    }

    pub(super) fn each(&self, mut visit: impl FnMut(Cell<'_>)) {
        for identity in &self.identities {
            for subject in &self.subjects {
                for operation in Operation::ALL {
                    visit((identity, subject, operation));
                }
            }
        }
    }
}

impl Rule {
    /// With which algorithms or by which schemes it allows it; one empty text where there is no such thing.
    fn ways(
        &self,
        universe: &Universe<'_>,
        subject: &Subject,
        operation: Operation,
    ) -> Vec<String> {
        let needs = operation.needs();
        let listed = match subject {
            Subject::Nothing => needs.key != Need::Always && needs.partner == Need::Never,
            Subject::Key(key) => {
                let mut keys = self.keys.iter().flatten();
                needs.key != Need::Never && keys.any(|one| one.covers(key))
            }
            Subject::Partner(partner) => {
                let mut partners = self.partners.iter().flatten();
                needs.partner != Need::Never && partners.any(|one| one.covers(partner))
            }
        };
        if !listed {
            return Vec::new();
        }
        if needs.algorithm != Need::Never {
            let algorithms = self.algorithms.unwrap_or_else(AlgorithmSet::all);
            return Algorithm::ALL
                .into_iter()
                .filter(|one| serves(operation, *one) && algorithms.contains_all((*one).into()))
                .map(|one| one.name().to_owned())
                .collect();
        }
        if needs.scheme == Need::Never {
            return vec![String::new()];
        }
        match &self.schemes {
            Some(schemes) => schemes.iter().map(ToString::to_string).collect(),
            None => {
                let named = universe.schemes.iter().map(ToString::to_string);
                named.chain(["*".to_owned()]).collect()
            }
        }
    }

    fn condition(&self, operation: Operation) -> String {
        let window = self.window.as_ref().map(ToString::to_string);
        let limits = self.limits_on(operation);
        let parts = window.into_iter().chain(limits.map(ToString::to_string));
        parts.collect::<Vec<_>>().join("; ")
    }
}

/// Whether an algorithm can be used for it at all.
pub(super) const fn serves(operation: Operation, algorithm: Algorithm) -> bool {
    let purpose = algorithm.purpose();
    match operation {
        Operation::Sign => matches!(purpose, Purpose::Sign | Purpose::Mac | Purpose::ProveOrigin),
        Operation::Verify => matches!(purpose, Purpose::Sign | Purpose::Mac),
        Operation::RequestCertificate => matches!(purpose, Purpose::Sign),
        Operation::Encrypt | Operation::Decrypt => {
            matches!(purpose, Purpose::Decrypt | Purpose::Wrap)
        }
        // Whatever a key is for, it can be made; and of the others none has an algorithm.
        _ => true,
    }
}

/// `*` for all algorithms that serve; the names else.
pub(super) fn shortened(operation: Operation, with: Vec<String>) -> Vec<String> {
    let needs = operation.needs();
    let all = || {
        Algorithm::ALL
            .iter()
            .filter(|one| serves(operation, **one))
            .count()
    };
    if needs.algorithm != Need::Never && with.len() == all() {
        return vec!["*".to_owned()];
    }
    with.into_iter().filter(|one| !one.is_empty()).collect()
}

fn distinct<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let names: BTreeSet<_> = names.cloned().collect();
    names.into_iter().collect()
}

impl std::fmt::Display for Subject {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Key(key) => write!(formatter, "key {key}"),
            Self::Partner(partner) => write!(formatter, "partner {partner}"),
        }
    }
}
