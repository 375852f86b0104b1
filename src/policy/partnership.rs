//! What rules say of partners: leave to have the daemon follow one of a partner's schemes.
//!
//! Such leave is for the scheme's use of the partner's keys, and for nothing else: who may sign requests to a
//! partner may not sign other bytes with the same key.

use std::{fmt, str::FromStr, sync::Arc};

use serde::Deserialize;

use crate::{
    algorithm::Algorithm,
    identity::{Identity, IdentityName},
    key::KeyVersion,
    partner::{InvalidPartnerName, PartnerName},
    policy::{
        Asked, Denied, Explanation, Operation, Permit, Policy, Use, limits::Content,
        operation::Need, permit::Subject, rule::Question, signing::Candidate,
    },
    scheme::{SchemeName, UnixMilliseconds},
};

/// What a permit to follow a partner's scheme is about.
///
/// It can't be made but by the policy:
///
/// ```compile_fail,E0451
/// use chancery::{partner::PartnerName, policy::Partnership, scheme::SchemeName};
/// fn forge(partner: PartnerName, scheme: SchemeName, leave: Partnership) -> Partnership {
///     Partnership { partner, scheme, ..leave }
/// }
/// ```
///
/// Nor is such a permit one to use a key as one likes:
///
/// ```compile_fail,E0308
/// use chancery::policy::{Partnership, Permit};
/// fn sign(permit: Permit) {}
/// fn follow(permit: Permit<Partnership>) {
///     sign(permit);
/// }
/// ```
#[derive(Debug)]
pub struct Partnership {
    partner: PartnerName,
    scheme: SchemeName,
    /// With which algorithm, where it is done with the partner's public key.
    algorithm: Option<Algorithm>,
    now: UnixMilliseconds,
    /// The rules that allow it, of which one has to let all of it be signed.
    candidates: Vec<Candidate>,
}

/// What a key is used for in the course of following a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// To sign so many bytes, which rules may bound.
    Sign(u64),
    /// To make the MAC that a message must have, or to verify.
    Verify,
    /// To decrypt.
    Decrypt,
}

/// What a permit to see a partner is about: leave to do a thing by some scheme of the partner's, whichever it is.
#[derive(Debug)]
pub struct Sight {
    partner: PartnerName,
}

/// A partner, or all partners whose names begin alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum PartnerPattern {
    /// This partner.
    Exact(PartnerName),
    /// `upay-*`, or `*` for every partner; kept without the star.
    Prefix(String),
}

/// A text that is not a pattern for partners.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPartnerPattern {
    /// Not a partner's name.
    #[error(transparent)]
    Name(#[from] InvalidPartnerName),
    /// A star where none may be.
    #[error("{0:?} is not a partner pattern: a star stands at the end and nowhere else")]
    Star(String),
}

impl Policy {
    /// Asks to do something by one scheme of a partner's.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it, or if the operation is not one by a scheme.
    pub fn authorize_partner(
        &self,
        identity: &Arc<Identity>,
        partner: &PartnerName,
        scheme: &SchemeName,
        operation: Operation,
        now: UnixMilliseconds,
    ) -> Result<Permit<Partnership>, Denied> {
        let question = Question {
            partner: Some(partner),
            scheme: Some(scheme),
            ..Question::about(identity.name(), operation, Some(now))
        };
        let makes_sense = operation.needs().scheme == Need::Always;
        let candidates = if operation.signs_for_partner() {
            self.candidates(&question)
        } else {
            Vec::new()
        };
        let subject = || Partnership {
            partner: partner.clone(),
            scheme: scheme.clone(),
            algorithm: None,
            now,
            candidates,
        };
        let question = makes_sense.then_some(question);
        self.decide(identity, question, operation, subject)
    }

    /// Asks to see a partner, which is for whoever may do anything with it; or, of another operation, whether it is
    /// allowed by any scheme at all, before it is known which is meant.
    ///
    /// # Errors
    ///
    /// [`Denied`], if no rule allows it, or if the operation is not about partners.
    pub fn authorize_sight(
        &self,
        identity: &Arc<Identity>,
        partner: &PartnerName,
        operation: Operation,
        now: UnixMilliseconds,
    ) -> Result<Permit<Sight>, Denied> {
        let subject = || Sight {
            partner: partner.clone(),
        };
        let question = Question {
            partner: Some(partner),
            ..Question::about(identity.name(), operation, Some(now))
        };
        let makes_sense = operation.needs().partner == Need::Always;
        let question = makes_sense.then_some(question);
        self.decide(identity, question, operation, subject)
    }

    /// What would be answered about a partner, and how each rule bears on it. Without a scheme: whether any will do.
    pub fn explain_partner(
        &self,
        identity: &IdentityName,
        partner: Option<&PartnerName>,
        scheme: Option<&SchemeName>,
        operation: Operation,
        at: Option<UnixMilliseconds>,
    ) -> Explanation {
        let question = Question {
            partner,
            scheme,
            ..Question::about(identity, operation, at)
        };
        Explanation::new(self, &question, None)
    }

    /// The partners that rules name without a star, each with the name of its rule.
    pub fn named_partners(&self) -> impl Iterator<Item = (&str, &PartnerName)> {
        self.rules.iter().flat_map(|rule| {
            let patterns = rule.partners.iter().flatten();
            patterns.filter_map(|pattern| match pattern {
                PartnerPattern::Exact(name) => Some((&**rule.name(), name)),
                PartnerPattern::Prefix(_) => None,
            })
        })
    }

    /// The schemes that rules name, each with the name of its rule.
    pub fn named_schemes(&self) -> impl Iterator<Item = (&str, &SchemeName)> {
        self.rules.iter().flat_map(|rule| {
            let schemes = rule.schemes.iter().flatten();
            schemes.map(|name| (&**rule.name(), name))
        })
    }
}

impl Permit<Partnership> {
    /// With which partner.
    pub const fn partner(&self) -> &PartnerName {
        &self.subject().partner
    }

    /// By which scheme.
    pub const fn scheme(&self) -> &SchemeName {
        &self.subject().scheme
    }

    /// Leave to do it with a message whose body has so many bytes. Where nothing is signed, any number will do.
    ///
    /// # Errors
    ///
    /// [`Denied`], with [`Denied::limit`], if no rule lets so much be signed.
    pub fn for_body(mut self, length: u64) -> Result<Self, Denied> {
        let rule = Arc::clone(self.deciding(length)?);
        let now = self.subject().now;
        // What is signed has to be within the limits of a rule that the body is within, too.
        let candidates = &mut self.subject_mut().candidates;
        candidates.retain(|one| one.allows(Content::Made(length), now).is_ok());
        Ok(self.in_the_name_of(rule))
    }

    /// The same, done with a public key of the partner's and this algorithm: no key of ours has a part in it.
    pub fn for_public_key(&self, algorithm: Algorithm) -> Self {
        let Partnership {
            partner,
            scheme,
            now,
            candidates,
            ..
        } = self.subject();
        let subject = Partnership {
            partner: partner.clone(),
            scheme: scheme.clone(),
            algorithm: Some(algorithm),
            now: *now,
            candidates: candidates.clone(),
        };
        Self::new(
            self.identity(),
            self.shared_rule(),
            self.operation(),
            subject,
        )
    }

    /// Leave to use a key in the course of what is permitted.
    ///
    /// For the signer alone, with the keys that the partner's file names, and for what the scheme does with them.
    ///
    /// # Errors
    ///
    /// [`Denied`], with [`Denied::limit`], if it is to sign, and no rule lets so much be signed.
    pub fn for_key(
        &self,
        key: &KeyVersion,
        used: KeyUse,
        algorithm: Algorithm,
    ) -> Result<Permit, Denied> {
        let (rule, operation) = match used {
            KeyUse::Sign(length) => (self.deciding(length)?, Operation::Sign),
            KeyUse::Verify => (self.shared_rule(), Operation::Verify),
            KeyUse::Decrypt => (self.shared_rule(), Operation::Decrypt),
        };
        let subject = Use::new(key, algorithm);
        Ok(Permit::new(self.identity(), rule, operation, subject))
    }

    /// The rule that lets so many bytes be signed.
    fn deciding(&self, length: u64) -> Result<&Arc<str>, Denied> {
        let Partnership {
            now, candidates, ..
        } = self.subject();
        let deciding = Candidate::deciding(candidates, Content::Made(length), *now)
            .map_err(|exceeded| Denied::by_limit(self.identity(), self.asked(), exceeded))?;
        Ok(deciding.map_or_else(|| self.shared_rule(), Candidate::rule))
    }
}

impl Permit<Sight> {
    /// The partner that may be seen.
    pub const fn partner(&self) -> &PartnerName {
        &self.subject().partner
    }
}

impl Subject for Partnership {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            algorithms: self.algorithm.into_iter().collect(),
            partner: Some(self.partner.clone()),
            scheme: Some(self.scheme.clone()),
            ..Asked::to(operation)
        }
    }
}

impl Subject for Sight {
    fn asked(&self, operation: Operation) -> Asked {
        Asked {
            partner: Some(self.partner.clone()),
            ..Asked::to(operation)
        }
    }
}

impl PartnerPattern {
    /// Whether it names this partner.
    pub fn matches(&self, partner: &PartnerName) -> bool {
        match self {
            Self::Exact(name) => name == partner,
            Self::Prefix(prefix) => partner.as_str().starts_with(prefix.as_str()),
        }
    }

    /// Whether it names whatever the other names.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(name)) => self.matches(name),
            (Self::Prefix(wider), Self::Prefix(narrower)) => narrower.starts_with(wider.as_str()),
            (Self::Exact(_), Self::Prefix(_)) => false,
        }
    }
}

impl FromStr for PartnerPattern {
    type Err = InvalidPartnerPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPartnerPattern> {
        let (prefix, starred) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if prefix.contains('*') {
            let shown = text.chars().take(MAX_SHOWN).collect();
            return Err(InvalidPartnerPattern::Star(shown));
        }
        match (prefix, starred) {
            ("", true) => Ok(Self::Prefix(String::new())),
            (name, false) => Ok(Self::Exact(name.parse()?)),
            (prefix, true) => {
                prefix.parse::<PartnerName>()?;
                Ok(Self::Prefix(prefix.to_owned()))
            }
        }
    }
}

impl TryFrom<String> for PartnerPattern {
    type Error = InvalidPartnerPattern;

    fn try_from(text: String) -> Result<Self, InvalidPartnerPattern> {
        text.parse()
    }
}

impl fmt::Display for PartnerPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(formatter),
            Self::Prefix(prefix) => write!(formatter, "{prefix}*"),
        }
    }
}

/// How much of a refused pattern is shown, in characters.
const MAX_SHOWN: usize = 100;
