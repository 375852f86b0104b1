//! That something was denied, and how near the rules come to allowing it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Asked, LimitExceeded};
use crate::identity::Identity;

/// A request that no rule allows.
///
/// Its text is for the log; the caller is told no more than that permission was denied, unless it is for what is in
/// his own content: [`Denied::limit`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("{identity} may not {asked}: {}", self.why())]
pub struct Denied {
    pub(super) identity: Arc<Identity>,
    pub(super) asked: Box<Asked>,
    pub(super) reason: Reason,
    pub(super) limit: Option<LimitExceeded>,
}

/// How near the rules come to allowing what they deny: the first of its parts that is missing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No rule names the identity.
    #[error("no rule names this identity")]
    Identity,
    /// Rules name the identity, none of them the key.
    #[error("rules name this identity, but not with this key")]
    Key,
    /// Rules name the identity, none of them the partner.
    #[error("rules name this identity, but not with this partner")]
    Partner,
    /// Rules name both, none of them the operation.
    #[error("rules name this identity and key or partner, but not with this operation")]
    Operation,
    /// Rules name all three, none of them the scheme.
    #[error("rules name this identity, partner and operation, but not with this scheme")]
    Scheme,
    /// Rules name all three, none of them the algorithm.
    #[error("rules name this identity, key and operation, but not with this algorithm")]
    Algorithm,
    /// Rules name all of it, none of them at this time.
    #[error("rules name all of this, but not at this time")]
    Time,
    /// Rules allow it, but not for so many bytes.
    #[error("rules allow this, but not for so many bytes")]
    LimitSize,
    /// Rules allow it, but not for a digest.
    #[error("rules allow this, but not for a digest")]
    LimitMessage,
    /// Rules allow it, but for digests alone.
    #[error("rules allow this, but for digests alone")]
    LimitDigest,
    /// Rules allow it, but for JWTs alone.
    #[error("rules allow this, but for JWTs alone")]
    LimitJwt,
    /// Rules allow it, but not with these claims.
    #[error("rules allow this, but not with these claims")]
    LimitClaim,
    /// Rules allow it, but not for a JWT that is valid for so long.
    #[error("rules allow this, but not for a JWT that is valid for so long")]
    LimitLifetime,
    /// The question itself has no meaning, such as signing without a key.
    #[error("the operation does not go with what it was asked for")]
    Question,
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

    /// What of the content was too much, where that alone is why; this is for the caller.
    pub const fn limit(&self) -> Option<&LimitExceeded> {
        self.limit.as_ref()
    }

    pub(super) fn by_limit(
        identity: &Arc<Identity>,
        asked: Asked,
        exceeded: LimitExceeded,
    ) -> Self {
        Self {
            identity: Arc::clone(identity),
            asked: Box::new(asked),
            reason: exceeded.reason(),
            limit: Some(exceeded),
        }
    }

    fn why(&self) -> String {
        match &self.limit {
            Some(exceeded) => exceeded.to_string(),
            None => self.reason.to_string(),
        }
    }
}
