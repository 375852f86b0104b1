//! What a rule lets be signed: how much, digests alone, JWTs with some claims and not others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    jose,
    policy::{Operation, Reason},
    scheme::UnixMilliseconds,
};

/// The limits of one rule; never without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    max_bytes: Option<u64>,
    digest_only: bool,
    jwt: Option<JwtLimits>,
}

/// What is to be signed, as far as limits look at it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// Bytes, so many.
    Message(u64),
    /// A digest: of what and how much, nobody here knows.
    Digest,
    /// A JWS with this payload, and whether it is written in base64url.
    Jws { payload: &'a [u8], encoded: bool },
    /// Bytes whose number will be known at the end.
    Stream,
    /// A partner's message, or the text that is signed of it, so long. Who asked did not make that text.
    Made(u64),
}

/// What JWTs must be like. That there is such a thing at all means that nothing but JWTs is signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwtLimits {
    #[serde(default)]
    require: BTreeMap<String, Vec<ClaimValue>>,
    #[serde(default)]
    forbid: BTreeSet<String>,
    max_lifetime_seconds: Option<u64>,
}

/// A value that a claim may have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum ClaimValue {
    Text(String),
    Whole(i64),
    Truth(bool),
}

/// Content that no rule lets be signed, though rules let the caller sign with the key.
///
/// The caller is told: it is about his own content. Nothing of the content is in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitExceeded {
    /// Too long.
    #[error("the policy lets at most {most} bytes be signed here at once")]
    Size {
        /// How many bytes there may be.
        most: u64,
    },
    /// A digest, where the content must be seen.
    #[error(
        "the policy looks at what is signed here, and a digest does not show it; send the message"
    )]
    Message,
    /// A message, where none may be sent.
    #[error("the policy lets digests alone be signed here; send the digest of the message")]
    Digest,
    /// Not a JWT.
    #[error("the policy lets JWTs alone be signed here: {0}")]
    Jwt(String),
    /// A claim that is missing, or must not be there, or has a value that it must not have.
    #[error("the policy refuses the claim {claim:?} here: {why}")]
    Claim {
        /// Which.
        claim: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A JWT that would be valid for too long, or for ever.
    #[error("the policy lets JWTs be valid for at most {most} seconds here: {why}")]
    Lifetime {
        /// For how long, in seconds.
        most: u64,
        /// What is wrong.
        why: &'static str,
    },
}

/// Limits that do not go together; the first text is the entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidLimits {
    #[error("expected at least 1")]
    Zero(&'static str),
    #[error("a digest shows neither size nor claims; leave out digest_only, or the other limits")]
    DigestOnly,
    #[error("the claim {0:?} is required and forbidden")]
    Contradiction(String),
    #[error("the claim {0:?} has an empty list; expected values, or \"*\" alone for any")]
    NoValue(String),
    #[error(
        "the claim {0:?} has \"*\", which is any value; expected it alone, or a list of values"
    )]
    Star(String),
}

impl Limits {
    /// `None` if there are none.
    pub(super) fn new(
        max_bytes: Option<u64>,
        digest_only: bool,
        jwt: Option<JwtLimits>,
    ) -> Result<Option<Self>, InvalidLimits> {
        if max_bytes == Some(0) {
            return Err(InvalidLimits::Zero("max_bytes"));
        }
        if digest_only && (max_bytes.is_some() || jwt.is_some()) {
            return Err(InvalidLimits::DigestOnly);
        }
        if let Some(jwt) = &jwt {
            jwt.check()?;
        }
        let limited = max_bytes.is_some() || digest_only || jwt.is_some();
        Ok(limited.then_some(Self {
            max_bytes,
            digest_only,
            jwt,
        }))
    }

    /// Whether they can be held against what the operation signs; if not, a rule with them does not allow it.
    ///
    /// Of what a scheme makes the length is known. A digest it never is, and whether it is a JWT, and with which
    /// claims, the scheme alone says.
    pub(super) const fn suit(&self, operation: Operation) -> Result<(), Reason> {
        if !operation.signs_for_partner() {
            Ok(())
        } else if self.digest_only {
            Err(Reason::LimitDigest)
        } else if self.jwt.is_some() {
            Err(Reason::LimitJwt)
        } else {
            Ok(())
        }
    }

    /// Whether all of it may be signed.
    pub(super) fn allow(
        &self,
        content: Content<'_>,
        now: UnixMilliseconds,
    ) -> Result<(), LimitExceeded> {
        if self.digest_only {
            return match content {
                Content::Digest => Ok(()),
                Content::Message(_) | Content::Jws { .. } | Content::Stream | Content::Made(_) => {
                    Err(LimitExceeded::Digest)
                }
            };
        }
        let length = match content {
            // With limits other than that, content must be seen.
            Content::Digest => return Err(LimitExceeded::Message),
            Content::Message(length) | Content::Made(length) => Some(length),
            Content::Jws { payload, .. } => Some(payload.len() as u64),
            Content::Stream => None,
        };
        if let (Some(most), Some(length)) = (self.max_bytes, length)
            && length > most
        {
            return Err(LimitExceeded::Size { most });
        }
        match (&self.jwt, content) {
            (None, _) => Ok(()),
            (
                Some(jwt),
                Content::Jws {
                    payload,
                    encoded: true,
                },
            ) => jwt.allow(payload, now),
            (Some(_), Content::Jws { encoded: false, .. }) => Err(LimitExceeded::Jwt(
                "a JWT's payload is written in base64url (RFC 7797 section 7)".to_owned(),
            )),
            // Bytes could be the signing input of any JWT.
            (
                Some(_),
                Content::Message(_) | Content::Digest | Content::Stream | Content::Made(_),
            ) => Err(LimitExceeded::Jwt(
                "ask for a JWS with the claims as its payload".to_owned(),
            )),
        }
    }

    pub(super) const fn max_bytes(&self) -> Option<u64> {
        self.max_bytes
    }
}

impl JwtLimits {
    fn check(&self) -> Result<(), InvalidLimits> {
        if self.max_lifetime_seconds == Some(0) {
            return Err(InvalidLimits::Zero("jwt.max_lifetime_seconds"));
        }
        for (claim, values) in &self.require {
            if values.is_empty() {
                return Err(InvalidLimits::NoValue(claim.clone()));
            }
            if values.len() > 1 && values.contains(&ClaimValue::any()) {
                return Err(InvalidLimits::Star(claim.clone()));
            }
        }
        let lifetime = self.max_lifetime_seconds.map(|_| "exp");
        let mut required = self.require.keys().map(String::as_str).chain(lifetime);
        match required.find(|claim| self.forbid.contains(*claim)) {
            Some(claim) => Err(InvalidLimits::Contradiction(claim.to_owned())),
            None => Ok(()),
        }
    }

    fn allow(&self, payload: &[u8], now: UnixMilliseconds) -> Result<(), LimitExceeded> {
        let claims = jose::claims(payload)
            .map_err(|why| LimitExceeded::Jwt(format!("the payload is no claims set: {why}")))?;
        let refuse = |claim: &String, why| LimitExceeded::Claim {
            claim: claim.clone(),
            why,
        };
        if let Some(claim) = self.forbid.iter().find(|claim| claims.contains_key(*claim)) {
            return Err(refuse(claim, "it must not be there"));
        }
        for (claim, allowed) in &self.require {
            let value = claims
                .get(claim)
                .ok_or_else(|| refuse(claim, "it is missing"))?;
            if !allowed_all(allowed, value) {
                return Err(refuse(claim, "it has a value that it must not have"));
            }
        }
        let Some(most) = self.max_lifetime_seconds else {
            return Ok(());
        };
        let too_long = |why| Err(LimitExceeded::Lifetime { most, why });
        let number = |claim: &str| claims.get(claim).map(Value::as_f64);
        #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^52")]
        let (now, longest) = (now.0 as f64 / 1000.0, most as f64);
        let Some(Some(expires)) = number("exp") else {
            return too_long("exp must be there, a number");
        };
        // RFC 7519 section 4.1.4 allows for clocks that differ: the caller's may be a little ahead of ours.
        if expires > now + longest + CLOCK_SKEW {
            return too_long("exp is later than that from now");
        }
        match number("iat") {
            None => Ok(()),
            Some(Some(issued)) if expires - issued <= longest => Ok(()),
            Some(Some(_)) => too_long("exp is later than that from iat"),
            Some(None) => too_long("iat must be a number"),
        }
    }
}

/// Whether a claim's value is allowed: of an array, all of its elements, and at least one.
fn allowed_all(allowed: &[ClaimValue], value: &Value) -> bool {
    let one = |value: &Value| allowed.iter().any(|allowed| allowed.is(value));
    if allowed.contains(&ClaimValue::any()) {
        return true;
    }
    match value {
        Value::Array(values) => !values.is_empty() && values.iter().all(one),
        _ => one(value),
    }
}

impl ClaimValue {
    fn any() -> Self {
        Self::Text("*".to_owned())
    }

    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Text(text) => value.as_str() == Some(text),
            Self::Whole(number) => value.as_i64() == Some(*number),
            Self::Truth(truth) => value.as_bool() == Some(*truth),
        }
    }
}

impl LimitExceeded {
    /// The stable reason that the caller gets.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Size { .. } => "POLICY_LIMIT_SIZE",
            Self::Message => "POLICY_LIMIT_MESSAGE",
            Self::Digest => "POLICY_LIMIT_DIGEST",
            Self::Jwt(_) => "POLICY_LIMIT_JWT",
            Self::Claim { .. } => "POLICY_LIMIT_CLAIM",
            Self::Lifetime { .. } => "POLICY_LIMIT_LIFETIME",
        }
    }

    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Size { .. } => Reason::LimitSize,
            Self::Message => Reason::LimitMessage,
            Self::Digest => Reason::LimitDigest,
            Self::Jwt(_) => Reason::LimitJwt,
            Self::Claim { .. } => Reason::LimitClaim,
            Self::Lifetime { .. } => Reason::LimitLifetime,
        }
    }
}

impl InvalidLimits {
    pub(super) const fn key(&self) -> &'static str {
        match self {
            Self::Zero(key) => key,
            Self::DigestOnly => "digest_only",
            Self::Contradiction(_) => "jwt.forbid",
            Self::NoValue(_) | Self::Star(_) => "jwt.require",
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(most) = self.max_bytes {
            parts.push(format!("at most {most} bytes"));
        }
        if self.digest_only {
            parts.push("digests alone".to_owned());
        }
        if let Some(jwt) = &self.jwt {
            let mut of_jwt = vec!["JWTs alone".to_owned()];
            for (claim, values) in &jwt.require {
                let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                of_jwt.push(format!("{claim}={}", values.join("|")));
            }
            of_jwt.extend(jwt.forbid.iter().map(|claim| format!("no {claim}")));
            let lifetime = jwt.max_lifetime_seconds;
            of_jwt.extend(lifetime.map(|most| format!("valid for at most {most} s")));
            parts.push(of_jwt.join(" "));
        }
        formatter.write_str(&parts.join(", "))
    }
}

impl fmt::Display for ClaimValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(formatter, "{text}"),
            Self::Whole(number) => write!(formatter, "{number}"),
            Self::Truth(truth) => write!(formatter, "{truth}"),
        }
    }
}

/// How far the caller's clock may be ahead of ours, in seconds.
const CLOCK_SKEW: f64 = 60.0;
