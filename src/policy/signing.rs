//! Leave to sign, before it is known what: it becomes leave to use the key once the content has passed the limits.

use std::sync::Arc;

use crate::{
    algorithm::Algorithm,
    identity::Identity,
    key::KeyVersion,
    policy::{
        Asked, Denied, LimitExceeded, Operation, Permit, Policy, Use,
        limits::{Content, Limits},
        permit::Subject,
        rule::{AlgorithmSet, Question, Rule},
    },
    scheme::UnixMilliseconds,
};

/// What a permit to sign is about while nobody has looked at the content.
///
/// It does not use a key. That the limits were forgotten does not compile:
///
/// ```compile_fail,E0308
/// use chancery::policy::{Permit, Signing};
/// fn sign(permit: Permit) {}
/// fn forgetful(permit: Permit<Signing>) {
///     sign(permit);
/// }
/// ```
///
/// ```
/// use chancery::policy::{Denied, Permit, Signing};
/// fn sign(permit: Permit) {}
/// fn careful(permit: Permit<Signing>, message: &[u8]) -> Result<(), Denied> {
///     sign(permit.for_message(message)?);
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Signing {
    key: KeyVersion,
    algorithm: Algorithm,
    now: UnixMilliseconds,
    /// As [`Policy::candidates`] has them.
    candidates: Vec<Candidate>,
}

/// A rule that allows to sign, and what.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    rule: Arc<str>,
    limits: Option<Arc<Limits>>,
}

/// How long a message may become that is signed as it comes.
#[derive(Debug)]
#[must_use = "the limit holds only if it is asked"]
pub struct StreamLimit {
    most: Option<u64>,
    identity: Arc<Identity>,
    asked: Asked,
}

impl Policy {
    /// Asks to sign with a version of a key; what, the permit is told.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it.
    pub fn authorize_sign(
        &self,
        identity: &Arc<Identity>,
        key: &KeyVersion,
        algorithm: Algorithm,
        now: UnixMilliseconds,
    ) -> Result<Permit<Signing>, Denied> {
        let operation = Operation::Sign;
        let question = Question {
            key: Some(&key.key),
            algorithms: Some(AlgorithmSet::from(algorithm)),
            ..Question::about(identity.name(), operation, Some(now))
        };
        let candidates = self.candidates(&question);
        self.decide(identity, Some(question), operation, || Signing {
            key: key.clone(),
            algorithm,
            now,
            candidates,
        })
    }

    /// The rules that allow it, in the order of the file up to the first without limits; empty if that is the first.
    pub(super) fn candidates(&self, question: &Question<'_>) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.allows(question)) {
            let candidate = Candidate::of(rule, question.operation);
            let last = candidate.limits.is_none();
            if last && candidates.is_empty() {
                break;
            }
            candidates.push(candidate);
            if last {
                break;
            }
        }
        candidates
    }
}

impl Candidate {
    fn of(rule: &Rule, operation: Operation) -> Self {
        Self {
            rule: Arc::clone(rule.name()),
            limits: rule.limits_on(operation).cloned(),
        }
    }

    pub(super) const fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    pub(super) fn allows(
        &self,
        content: Content<'_>,
        now: UnixMilliseconds,
    ) -> Result<(), LimitExceeded> {
        match &self.limits {
            None => Ok(()),
            Some(limits) => limits.allow(content, now),
        }
    }

    /// The first that allows it, and why the first does not if none does; `None` if there are no limits.
    pub(super) fn deciding<'c>(
        candidates: &'c [Self],
        content: Content<'_>,
        now: UnixMilliseconds,
    ) -> Result<Option<&'c Self>, LimitExceeded> {
        let mut first = None;
        for candidate in candidates {
            match candidate.allows(content, now) {
                Ok(()) => return Ok(Some(candidate)),
                Err(exceeded) => first = first.or(Some(exceeded)),
            }
        }
        first.map_or(Ok(None), Err)
    }
}

impl Permit<Signing> {
    /// The key version that may sign.
    pub const fn key(&self) -> &KeyVersion {
        &self.subject().key
    }

    /// The algorithm that it may sign with.
    pub const fn algorithm(&self) -> Algorithm {
        self.subject().algorithm
    }

    /// Leave to sign this message.
    ///
    /// # Errors
    ///
    /// [`Denied`], with [`Denied::limit`], if no rule lets all of it be signed.
    pub fn for_message(self, message: &[u8]) -> Result<Permit, Denied> {
        self.for_content(Content::Message(message.len() as u64))
    }

    /// Leave to sign a digest.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn for_digest(self) -> Result<Permit, Denied> {
        self.for_content(Content::Digest)
    }

    /// Leave to sign a JWS with this payload, and whether it will be written in base64url.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn for_jws(self, payload: &[u8], encoded: bool) -> Result<Permit, Denied> {
        self.for_content(Content::Jws { payload, encoded })
    }

    /// Leave to sign what is still to come, and how much of it: the most that any rule allows.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn for_stream(mut self) -> Result<(Permit, StreamLimit), Denied> {
        let most = |one: &Candidate| {
            let limits = one.limits.as_ref();
            limits
                .and_then(|limits| limits.max_bytes())
                .unwrap_or(u64::MAX)
        };
        let now = self.subject().now;
        let takes = |one: &Candidate| one.allows(Content::Stream, now).is_ok();
        let candidates = &mut self.subject_mut().candidates;
        // The widest first, and of those the first of the file; those that take no stream stay, to say why.
        candidates.sort_by_key(|one| (!takes(one), std::cmp::Reverse(most(one))));
        let limit = candidates.first().and_then(|one| one.limits.as_ref());
        let limit = StreamLimit {
            most: limit.and_then(|limits| limits.max_bytes()),
            identity: Arc::clone(self.identity()),
            asked: self.asked(),
        };
        Ok((self.for_content(Content::Stream)?, limit))
    }

    fn for_content(self, content: Content<'_>) -> Result<Permit, Denied> {
        let Signing {
            key,
            algorithm,
            now,
            candidates,
        } = self.subject();
        let deciding = Candidate::deciding(candidates, content, *now)
            .map_err(|exceeded| Denied::by_limit(self.identity(), self.asked(), exceeded))?;
        Ok(Permit::new(
            self.identity(),
            deciding.map_or_else(|| self.shared_rule(), Candidate::rule),
            self.operation(),
            Use::new(key, *algorithm),
        ))
    }
}

impl StreamLimit {
    /// Whether it may be so long.
    ///
    /// # Errors
    ///
    /// [`Denied`], with [`Denied::limit`], if it is longer than that.
    pub fn check(&self, length: u64) -> Result<(), Denied> {
        match self.most {
            Some(most) if length > most => {
                let exceeded = LimitExceeded::Size { most };
                Err(Denied::by_limit(
                    &self.identity,
                    self.asked.clone(),
                    exceeded,
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Subject for Signing {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            key: Some(self.key.key.clone()),
            version: Some(self.key.version),
            algorithms: vec![self.algorithm],
            ..Asked::to(operation)
        }
    }
}
