//! Who may do what with which key: rules from one file, and the permits that they give.
//!
//! What no rule allows is denied. A rule allows a request when all of its lists name it; the first
//! such rule of the file decides. There are no rules that forbid, so their order changes no verdict.

use std::{fmt, sync::Arc};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    algorithm::Algorithm,
    identity::{Identity, IdentityName},
    key::{KeyName, KeyVersion, Version},
};

pub use explain::{Explanation, Match, RuleMatch};
pub use file::PolicyError;
pub use operation::{Need, Needs, Operation};
pub use pattern::{IdentityPattern, InvalidPattern, KeyPattern};

use rule::{AlgorithmSet, Question, Rule};

mod explain;
mod file;
mod operation;
mod pattern;
mod rule;

/// The rules of one policy file, checked and compiled.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    digest: String,
}

/// Leave for one identity to do one thing, once.
///
/// Only [`Policy`] makes one, and it can't be copied: what it permits takes it by value. Forging one
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
/// ```compile_fail,E0599
/// use chancery::policy::Permit;
/// fn copy(permit: &Permit) -> Permit {
///     permit.clone()
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

/// What a permit to see a key is about.
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

/// What a permit is about that concerns no key: random bytes, or encrypting to a public key from
/// outside.
#[derive(Debug)]
pub struct Keyless {
    algorithm: Option<Algorithm>,
}

/// What somebody asked for; permits and denials are recorded with the same fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// What to do.
    pub operation: Operation,
    /// With which key; `None` if the operation concerns no key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyName>,
    /// Which version of it; `None` if the operation concerns no key, or all versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// With which algorithms; several only for a key to be made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<Algorithm>,
}

/// A request that no rule allows.
///
/// Its text is for the log; the caller is told no more than that permission was denied.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{identity} may not {asked}: {reason}")]
pub struct Denied {
    identity: Arc<Identity>,
    asked: Asked,
    reason: Reason,
}

/// How near the rules come to allowing what they deny: the first of its parts that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No rule names the identity.
    #[error("no rule names this identity")]
    Identity,
    /// Rules name the identity, none of them the key.
    #[error("rules name this identity, but not with this key")]
    Key,
    /// Rules name both, none of them the operation.
    #[error("rules name this identity and key, but not with this operation")]
    Operation,
    /// Rules name all three, none of them the algorithm.
    #[error("rules name this identity, key and operation, but not with this algorithm")]
    Algorithm,
    /// The question itself has no meaning, such as signing without a key.
    #[error("the operation does not go with what it was asked for")]
    Question,
}

impl Policy {
    /// Reads a policy file whole.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] says at which line and under which key the first fault is.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Ok(Self {
            rules: file::rules(text)?,
            digest: hex::encode(&Sha256::digest(text)[..8]),
        })
    }

    /// The first 8 bytes of the SHA-256 of the file's text, in hexadecimal, to name it in logs.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule; a file without rules is refused, so there always is one.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Asks to use a version of a key with an algorithm: `sign`, `verify`, `encrypt`, `decrypt` or
    /// `request_certificate`.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it, or if the operation is another.
    pub fn authorize(
        &self,
        identity: &Arc<Identity>,
        key: &KeyVersion,
        operation: Operation,
        algorithm: Algorithm,
    ) -> Result<Permit, Denied> {
        let makes_sense = match operation {
            Operation::Sign
            | Operation::Verify
            | Operation::Encrypt
            | Operation::Decrypt
            | Operation::RequestCertificate => true,
            Operation::Get | Operation::Create | Operation::GenerateRandom => false,
        };
        let subject = || Use {
            key: key.clone(),
            algorithm,
        };
        let question = Question {
            identity: identity.name(),
            key: Some(&key.key),
            operation,
            algorithms: Some(AlgorithmSet::from(algorithm)),
        };
        self.decide(
            identity,
            makes_sense.then_some(question),
            operation,
            subject,
        )
    }

    /// Asks to see a key: its metadata, its public half, its place in a key set.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it.
    pub fn authorize_get(
        &self,
        identity: &Arc<Identity>,
        key: &KeyName,
    ) -> Result<Permit<Lookup>, Denied> {
        let operation = Operation::Get;
        let subject = || Lookup { key: key.clone() };
        let question = Question {
            identity: identity.name(),
            key: Some(key),
            operation,
            algorithms: None,
        };
        self.decide(identity, Some(question), operation, subject)
    }

    /// Asks to make a key, or another version of one, that may be used with these algorithms; one
    /// rule must allow all of them.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it, or if there is no algorithm.
    pub fn authorize_create(
        &self,
        identity: &Arc<Identity>,
        key: &KeyName,
        algorithms: &[Algorithm],
    ) -> Result<Permit<Creation>, Denied> {
        let operation = Operation::Create;
        let subject = || Creation {
            key: key.clone(),
            algorithms: algorithms.to_vec(),
        };
        let question = Question {
            identity: identity.name(),
            key: Some(key),
            operation,
            algorithms: Some(algorithms.iter().copied().collect()),
        };
        // Every rule allows all of no algorithms; that must not be a way in.
        let question = (!algorithms.is_empty()).then_some(question);
        self.decide(identity, question, operation, subject)
    }

    /// Asks to encrypt to a public key that came with the request.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it.
    pub fn authorize_encrypt_outside(
        &self,
        identity: &Arc<Identity>,
        algorithm: Algorithm,
    ) -> Result<Permit<Keyless>, Denied> {
        self.decide_keyless(identity, Operation::Encrypt, Some(algorithm))
    }

    /// Asks for random bytes.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it.
    pub fn authorize_random(&self, identity: &Arc<Identity>) -> Result<Permit<Keyless>, Denied> {
        self.decide_keyless(identity, Operation::GenerateRandom, None)
    }

    /// What would be answered, and how each rule bears on it.
    pub fn explain(
        &self,
        identity: &IdentityName,
        key: Option<&KeyName>,
        operation: Operation,
        algorithm: Option<Algorithm>,
    ) -> Explanation {
        let question = Question {
            identity,
            key,
            operation,
            algorithms: algorithm.map(AlgorithmSet::from),
        };
        Explanation::new(&self.rules, &question, algorithm)
    }

    fn decide_keyless(
        &self,
        identity: &Arc<Identity>,
        operation: Operation,
        algorithm: Option<Algorithm>,
    ) -> Result<Permit<Keyless>, Denied> {
        let question = Question {
            identity: identity.name(),
            key: None,
            operation,
            algorithms: algorithm.map(AlgorithmSet::from),
        };
        self.decide(identity, Some(question), operation, || Keyless {
            algorithm,
        })
    }

    /// The one place where a permit is made.
    fn decide<S: Subject>(
        &self,
        identity: &Arc<Identity>,
        question: Option<Question<'_>>,
        operation: Operation,
        subject: impl FnOnce() -> S,
    ) -> Result<Permit<S>, Denied> {
        let deciding = question
            .as_ref()
            .and_then(|question| self.rules.iter().find(|rule| rule.allows(question)));
        match deciding {
            Some(rule) => Ok(Permit {
                identity: Arc::clone(identity),
                rule: Arc::clone(rule.name()),
                operation,
                subject: subject(),
            }),
            None => Err(Denied {
                identity: Arc::clone(identity),
                asked: subject().asked(operation),
                reason: question.map_or(Reason::Question, |question| {
                    rule::nearest(&self.rules, &question)
                }),
            }),
        }
    }
}

impl<S> Permit<S> {
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
}

#[expect(private_bounds, reason = "what a permit is about is a closed list")]
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
    /// The key that may be seen, every version of it.
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
    /// How to encrypt; `None` for random bytes.
    pub const fn algorithm(&self) -> Option<Algorithm> {
        self.subject.algorithm
    }
}

/// What a permit is about.
trait Subject {
    fn asked(&self, operation: Operation) -> Asked;
}

impl Subject for Use {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            operation,
            key: Some(self.key.key.clone()),
            version: Some(self.key.version),
            algorithms: vec![self.algorithm],
        }
    }
}

impl Subject for Lookup {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            operation,
            key: Some(self.key.clone()),
            version: None,
            algorithms: vec![],
        }
    }
}

impl Subject for Creation {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            operation,
            key: Some(self.key.clone()),
            version: None,
            algorithms: self.algorithms.clone(),
        }
    }
}

impl Subject for Keyless {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            operation,
            key: None,
            version: None,
            algorithms: self.algorithm.into_iter().collect(),
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
        Ok(())
    }
}

impl Denied {
    /// Who asked.
    pub const fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// What for.
    pub const fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Why not; for the log, never for the caller.
    pub const fn reason(&self) -> Reason {
        self.reason
    }
}

#[cfg(test)]
mod tests;
