//! The memory of messages that were found authentic: so that one that is sent again is known.

use sha2::{Digest, Sha256};

use crate::{
    partner::PartnerName,
    scheme::{SchemeName, UnixMilliseconds},
    store::{Seen, Store, StoreError, Timestamp},
};

use super::PlatformError;

/// Remembers, on disk before it answers; refuses when it can't.
#[derive(Clone)]
pub struct ReplayMemory(Option<Store>);

/// A message to be remembered.
pub(super) struct Remembered<'m> {
    pub(super) partner: &'m PartnerName,
    pub(super) scheme: &'m SchemeName,
    /// What tells it from every other.
    pub(super) id: &'m [u8],
    pub(super) now: UnixMilliseconds,
    /// For how long, at least.
    pub(super) seconds: u64,
}

impl ReplayMemory {
    /// In this store.
    pub const fn new(store: Store) -> Self {
        Self(Some(store))
    }

    /// None: every message that has to be remembered is refused.
    pub const fn none() -> Self {
        Self(None)
    }

    /// The store, if there is one.
    pub(in crate::signer) fn store(&self) -> Option<Store> {
        self.0.clone()
    }

    /// Whether the message has not been seen before; from now on it has.
    pub(super) async fn is_new(&self, message: Remembered<'_>) -> Result<bool, PlatformError> {
        let store = self.0.as_ref().ok_or_else(|| {
            let why = "no memory of messages was set up".to_owned();
            PlatformError::Memory(StoreError::Unavailable(why))
        })?;
        let (partner, scheme) = (message.partner.as_str(), message.scheme.as_str());
        let mut hash = Sha256::new();
        for part in [partner.as_bytes(), scheme.as_bytes(), message.id] {
            // With its length, so that no other three parts give the same.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let now = i64::try_from(message.now.0).unwrap_or(i64::MAX);
        let keep = i64::try_from(message.seconds).unwrap_or(i64::MAX);
        let expires = now.saturating_add(keep.saturating_mul(1000));
        let seen = store
            .replay()
            .remember(
                partner,
                scheme,
                hash.finalize().into(),
                Timestamp(now),
                Timestamp(expires),
            )
            .await;
        match seen {
            Ok(Seen::Fresh) => Ok(true),
            Ok(Seen::Duplicate { .. }) => Ok(false),
            Err(error) => {
                tracing::error!(%partner, %scheme, %error, "a message can't be remembered, and is refused");
                Err(PlatformError::Memory(error))
            }
        }
    }
}
