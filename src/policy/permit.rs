//! Permits: leave to do one thing, as a value that can't be forged, copied or used twice.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    algorithm::Algorithm,
    identity::Identity,
    key::{KeyName, KeyVersion, Version},
    partner::PartnerName,
    policy::Operation,
    scheme::SchemeName,
};

/// Leave for one identity to do one thing, once.
///
/// Only [`Policy`](super::Policy) makes one, and it can't be copied: what it permits takes it by value. Forging one
/// does not compile:
///
/// ```compile_fail,E0451
/// use chancery::{key::KeyVersion, policy::{Permit, Use}};
/// fn forge(grant: Permit, subject: Use) -> Permit {
///     Permit { subject, ..grant }
/// }
/// ```
///
/// Nor does making what it is about:
///
/// ```compile_fail,E0451
/// use chancery::{algorithm::Algorithm, key::KeyVersion, policy::Use};
/// fn forge(key: KeyVersion) -> Use {
///     Use { key, algorithm: Algorithm::EdDsa }
/// }
/// ```
///
/// Nor does using one twice:
///
/// ```compile_fail,E0382
/// use chancery::policy::Permit;
/// fn sign(permit: Permit) {}
/// fn twice(permit: Permit) {
///     sign(permit);
///     sign(permit);
/// }
/// ```
///
/// Nor does keeping a copy:
///
/// ```compile_fail,E0277
/// use chancery::policy::Permit;
/// fn copy<T: Clone>(value: &T) -> T {
///     value.clone()
/// }
/// fn keep(permit: &Permit) -> Permit {
///     copy(permit)
/// }
/// ```
///
/// Nor does taking leave for one kind of thing for another:
///
/// ```compile_fail,E0308
/// use chancery::policy::{Lookup, Permit};
/// fn sign(permit: Permit) {}
/// fn look(permit: Permit<Lookup>) {
///     sign(permit);
/// }
/// ```
///
/// The same, used as it is meant:
///
/// ```
/// use chancery::policy::Permit;
/// fn sign(permit: Permit) -> String {
///     format!("{} {}", permit.key(), permit.algorithm())
/// }
/// fn once(permit: Permit) -> String {
///     sign(permit)
/// }
/// ```
#[derive(Debug)]
#[must_use = "a permit that nothing consumes permitted nothing"]
pub struct Permit<S = Use> {
    identity: Arc<Identity>,
    rule: Arc<str>,
    operation: Operation,
    subject: S,
}

/// What most permits are about: a version of a key, used with an algorithm.
#[derive(Debug)]
pub struct Use {
    key: KeyVersion,
    algorithm: Algorithm,
}

/// What a permit to see or change a key is about.
#[derive(Debug)]
pub struct Lookup {
    key: KeyName,
}

/// What a permit to make a key is about.
#[derive(Debug)]
pub struct Creation {
    key: KeyName,
    algorithms: Vec<Algorithm>,
}

/// What a permit is about that concerns no key: random bytes, the audit log, or encrypting to a public key
/// from outside.
#[derive(Debug)]
pub struct Keyless {
    algorithm: Option<Algorithm>,
}

/// What somebody asked for; permits and denials are recorded with the same fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What to do.
    pub operation: Operation,
    /// With which key; `None` if the operation concerns no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyName>,
    /// Which version of it; `None` if the operation concerns no key, or all versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// With which algorithms; several only for a key to be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<Algorithm>,
    /// With which partner; `None` if the operation concerns no partner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<PartnerName>,
    /// By which scheme of the partner's; `None` if it is not known yet, or matters not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<SchemeName>,
}

impl Asked {
    /// To do something with nothing yet.
    pub(super) const fn to(operation: Operation) -> Self {
        Self {
            operation,
            key: None,
            version: None,
            algorithms: Vec::new(),
            partner: None,
            scheme: None,
        }
    }
}

impl<S> Permit<S> {
    /// For [`super::Policy`] alone, which calls it in one place.
    pub(super) fn new(
        identity: &Arc<Identity>,
        rule: &Arc<str>,
        operation: Operation,
        subject: S,
    ) -> Self {
        Self {
            identity: Arc::clone(identity),
            rule: Arc::clone(rule),
            operation,
            subject,
        }
    }

    /// Who may.
    pub const fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// What may be done.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The name of the rule that allowed it.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    pub(super) const fn shared_rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// The same, as another rule of the policy allows it.
    pub(super) fn in_the_name_of(self, rule: Arc<str>) -> Self {
        Self { rule, ..self }
    }

    pub(super) const fn subject(&self) -> &S {
        &self.subject
    }

    pub(super) const fn subject_mut(&mut self) -> &mut S {
        &mut self.subject
    }
}

impl<S: Subject> Permit<S> {
    /// What was asked for, as a denial would have said it.
    pub fn asked(&self) -> Asked {
        self.subject.asked(self.operation)
    }
}

impl Permit {
    /// The key version that may be used.
    pub const fn key(&self) -> &KeyVersion {
        &self.subject.key
    }

    /// The algorithm that it may be used with.
    pub const fn algorithm(&self) -> Algorithm {
        self.subject.algorithm
    }
}

impl Permit<Lookup> {
    /// The key that may be seen or changed, every version of it.
    pub const fn key(&self) -> &KeyName {
        &self.subject.key
    }
}

impl Permit<Creation> {
    /// The key that may be made.
    pub const fn key(&self) -> &KeyName {
        &self.subject.key
    }

    /// What it may be made for; never empty.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.subject.algorithms
    }
}

impl Permit<Keyless> {
    /// How to encrypt; `None` for all else.
    pub const fn algorithm(&self) -> Option<Algorithm> {
        self.subject.algorithm
    }
}

impl Use {
    pub(super) fn new(key: &KeyVersion, algorithm: Algorithm) -> Self {
        Self {
            key: key.clone(),
            algorithm,
        }
    }
}

impl Lookup {
    pub(super) fn new(key: &KeyName) -> Self {
        Self { key: key.clone() }
    }
}

impl Creation {
    pub(super) fn new(key: &KeyName, algorithms: &[Algorithm]) -> Self {
        Self {
            key: key.clone(),
            algorithms: algorithms.to_vec(),
        }
    }
}

impl Keyless {
    pub(super) const fn new(algorithm: Option<Algorithm>) -> Self {
        Self { algorithm }
    }
}

/// What a permit or a denial is about, as records have it. A closed list: it takes a permit's fields to be one.
pub trait Subject {
    /// What is asked for, to do this with it.
    fn asked(&self, operation: Operation) -> Asked;
}

impl Subject for Use {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            key: Some(self.key.key.clone()),
            version: Some(self.key.version),
            algorithms: vec![self.algorithm],
            ..Asked::to(operation)
        }
    }
}

impl Subject for Lookup {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            key: Some(self.key.clone()),
            ..Asked::to(operation)
        }
    }
}

impl Subject for Creation {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            key: Some(self.key.clone()),
            algorithms: self.algorithms.clone(),
            ..Asked::to(operation)
        }
    }
}

impl Subject for Keyless {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            algorithms: self.algorithm.into_iter().collect(),
            ..Asked::to(operation)
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation.fmt(formatter)?;
        if let Some(key) = &self.key {
            write!(formatter, " key={key}")?;
        }
        if let Some(version) = self.version {
            write!(formatter, " version={version}")?;
        }
        for algorithm in &self.algorithms {
            write!(formatter, " algorithm={algorithm}")?;
        }
        if let Some(partner) = &self.partner {
            write!(formatter, " partner={partner}")?;
        }
        if let Some(scheme) = &self.scheme {
            write!(formatter, " scheme={scheme}")?;
        }
        Ok(())
    }
}
