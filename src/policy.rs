//! Who may do what with which key: rules from one file, and the permits that they give.
//!
//! What no rule allows is denied. A rule allows a request when all of its lists name it; the first
//! such rule of the file decides. There are no rules that forbid, so their order changes no verdict.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{
    algorithm::Algorithm,
    identity::{Identity, IdentityName},
    key::{KeyName, KeyVersion},
    scheme::UnixMilliseconds,
};

pub use approval::{Approval, Approving, DangerousAct};
pub use denial::{Denied, Reason};
pub use diff::{Change, ChangeKind, QuotaChange};
pub use duty::{Duty, DutyConflict, HeldDuty};
pub use explain::{Explanation, Match, RuleMatch};
pub use file::PolicyError;
pub use findings::{Finding, FindingKind, Surroundings};
pub use limits::LimitExceeded;
pub use operation::{Need, Needs, Operation};
pub use partnership::{InvalidPartnerPattern, KeyUse, PartnerPattern, Partnership, Sight};
pub use pattern::{IdentityPattern, InvalidPattern, KeyPattern};
pub use permit::{Asked, Creation, Keyless, Lookup, Permit, Subject, Use};
pub use quota::{Quota, QuotaExceeded, QuotaKind, Rate};
pub use repeat::Repetition;
pub use signing::{Signing, StreamLimit};
pub use table::Row;

use role::Role;
use rule::{AlgorithmSet, Question, Rule};

mod approval;
mod denial;
mod diff;
mod duty;
mod explain;
mod file;
mod findings;
mod limits;
mod operation;
mod partnership;
mod pattern;
mod permit;
mod quota;
mod repeat;
mod role;
mod rule;
mod signing;
mod table;
mod window;

/// The rules of one policy file, checked and compiled.
#[derive(Debug)]
pub struct Policy {
    roles: Vec<Role>,
    /// Those of the file, and behind them what approvers may do.
    rules: Vec<Rule>,
    approvals: Vec<Approval>,
    separate_duties: bool,
    text: String,
    quotas: Arc<[Quota]>,
    digest: String,
    sha256: [u8; 32],
}

impl Policy {
    /// Reads a policy file whole.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] says at which line and under which key the first fault is.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file::Compiled {
            roles,
            rules,
            approvals,
            separate_duties,
            quotas,
        } = file::compile(text)?;
        Ok(Self {
            roles,
            rules,
            approvals,
            separate_duties,
            text: text.to_owned(),
            quotas: quotas.into(),
            digest: hex::encode(&Sha256::digest(text)[..8]),
            sha256: Sha256::digest(text).into(),
        })
    }

    /// The first 8 bytes of the SHA-256 of the file's text, in hexadecimal, to name it in logs.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the file's text.
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len() - self.approvals.len()
    }

    /// Whether there is no rule; a file without rules is refused, so there always is one.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The quotas, in the order of the file; all that bound a use hold at once.
    pub const fn quotas(&self) -> &Arc<[Quota]> {
        &self.quotas
    }

    /// Where one identity has two duties that are kept apart.
    pub fn duty_conflicts(&self) -> Vec<DutyConflict> {
        duty::conflicts(&self.rules)
    }

    /// The keys that rules name without a star, each with the name of its rule; leaving out the rules that let
    /// somebody make the key, which need not be there yet.
    pub fn named_keys(&self) -> impl Iterator<Item = (&str, &KeyName)> {
        self.rules
            .iter()
            .filter(|rule| {
                ![Operation::Create, Operation::Import, Operation::Approve]
                    .into_iter()
                    .any(|one| rule.names_operation(one))
            })
            .flat_map(|rule| {
                let patterns = rule.keys.iter().flatten();
                patterns.filter_map(|pattern| match pattern {
                    KeyPattern::Exact(name) => Some((&**rule.name(), name)),
                    KeyPattern::Prefix(_) => None,
                })
            })
    }

    /// Asks to use a version of a key with an algorithm: `verify`, `encrypt`, `decrypt` or `request_certificate`. To
    /// sign: [`Policy::authorize_sign`].
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it then, or if the operation is another.
    pub fn authorize(
        &self,
        identity: &Arc<Identity>,
        key: &KeyVersion,
        operation: Operation,
        algorithm: Algorithm,
        now: UnixMilliseconds,
    ) -> Result<Permit, Denied> {
        let makes_sense = match operation {
            Operation::Verify
            | Operation::Encrypt
            | Operation::Decrypt
            | Operation::RequestCertificate => true,
            Operation::Sign
            | Operation::Get
            | Operation::Create
            | Operation::Import
            | Operation::Rotate
            | Operation::Update
            | Operation::Destroy
            | Operation::Approve
            | Operation::ApprovePolicy
            | Operation::ChangePolicy
            | Operation::GenerateRandom
            | Operation::SignRequest
            | Operation::SignResponse
            | Operation::VerifyCallback
            | Operation::VerifyResponse
            | Operation::EncryptField
            | Operation::DecryptField
            | Operation::IssueAccessToken
            | Operation::ExplainMessage
            | Operation::GetPartner
            | Operation::ReadAudit => false,
        };
        let subject = || Use::new(key, algorithm);
        let question = Question {
            key: Some(&key.key),
            algorithms: Some(AlgorithmSet::from(algorithm)),
            ..Question::about(identity.name(), operation, Some(now))
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
        now: UnixMilliseconds,
    ) -> Result<Permit<Lookup>, Denied> {
        let operation = Operation::Get;
        let subject = || Lookup::new(key);
        let question = Question {
            key: Some(key),
            ..Question::about(identity.name(), operation, Some(now))
        };
        self.decide(identity, Some(question), operation, subject)
    }

    /// Asks to change a key that is there: `rotate`, `update` or `destroy`.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it, or if the operation is another.
    pub fn authorize_change(
        &self,
        identity: &Arc<Identity>,
        key: &KeyName,
        operation: Operation,
        now: UnixMilliseconds,
    ) -> Result<Permit<Lookup>, Denied> {
        let makes_sense = matches!(
            operation,
            Operation::Rotate | Operation::Update | Operation::Destroy
        );
        let question = Question {
            key: Some(key),
            ..Question::about(identity.name(), operation, Some(now))
        };
        self.decide(identity, makes_sense.then_some(question), operation, || {
            Lookup::new(key)
        })
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
        now: UnixMilliseconds,
    ) -> Result<Permit<Creation>, Denied> {
        self.decide_creation(identity, key, Operation::Create, algorithms, now)
    }

    /// Asks to bring in a key, or another version of one, that may be used with these algorithms; one rule must allow
    /// all of them.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it, or if there is no algorithm.
    pub fn authorize_import(
        &self,
        identity: &Arc<Identity>,
        key: &KeyName,
        algorithms: &[Algorithm],
        now: UnixMilliseconds,
    ) -> Result<Permit<Creation>, Denied> {
        self.decide_creation(identity, key, Operation::Import, algorithms, now)
    }

    fn decide_creation(
        &self,
        identity: &Arc<Identity>,
        key: &KeyName,
        operation: Operation,
        algorithms: &[Algorithm],
        now: UnixMilliseconds,
    ) -> Result<Permit<Creation>, Denied> {
        let subject = || Creation::new(key, algorithms);
        let question = Question {
            key: Some(key),
            algorithms: Some(algorithms.iter().copied().collect()),
            ..Question::about(identity.name(), operation, Some(now))
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
        now: UnixMilliseconds,
    ) -> Result<Permit<Keyless>, Denied> {
        self.decide_keyless(identity, Operation::Encrypt, Some(algorithm), now)
    }

    /// Asks for random bytes.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it.
    pub fn authorize_random(
        &self,
        identity: &Arc<Identity>,
        now: UnixMilliseconds,
    ) -> Result<Permit<Keyless>, Denied> {
        self.decide_keyless(identity, Operation::GenerateRandom, None, now)
    }

    /// Asks to read the audit log.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it.
    pub fn authorize_audit(
        &self,
        identity: &Arc<Identity>,
        now: UnixMilliseconds,
    ) -> Result<Permit<Keyless>, Denied> {
        self.decide_keyless(identity, Operation::ReadAudit, None, now)
    }

    /// What would be answered, and how each rule bears on it; without a time, as if every rule held.
    pub fn explain(
        &self,
        identity: &IdentityName,
        key: Option<&KeyName>,
        operation: Operation,
        algorithm: Option<Algorithm>,
        at: Option<UnixMilliseconds>,
    ) -> Explanation {
        let question = Question {
            key,
            algorithms: algorithm.map(AlgorithmSet::from),
            ..Question::about(identity, operation, at)
        };
        Explanation::new(self, &question, algorithm)
    }

    fn decide_keyless(
        &self,
        identity: &Arc<Identity>,
        operation: Operation,
        algorithm: Option<Algorithm>,
        now: UnixMilliseconds,
    ) -> Result<Permit<Keyless>, Denied> {
        let question = Question {
            algorithms: algorithm.map(AlgorithmSet::from),
            ..Question::about(identity.name(), operation, Some(now))
        };
        self.decide(identity, Some(question), operation, || {
            Keyless::new(algorithm)
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
            Some(rule) => Ok(Permit::new(identity, rule.name(), operation, subject())),
            None => Err(Denied {
                identity: Arc::clone(identity),
                asked: Box::new(subject().asked(operation)),
                reason: question.map_or(Reason::Question, |question| {
                    rule::nearest(&self.rules, &question)
                }),
                limit: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
