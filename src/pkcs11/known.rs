//! What is known to be in a token, so that an object which it does not show for a moment is not taken for one that is gone.
//!
//! SoftHSM does not show an object while another process writes to it. A listing is therefore given what is known, and
//! looks again, a few times, for what it lacks: see [`list`](super::inventory::list).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::protocol::{Binding, FoundKey, Inventory};
use crate::key::KeyVersion;

/// Names of what is in a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known(BTreeSet<Item>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Item {
    Key(KeyVersion),
    Record(String),
    /// One of the daemon's own keys, which have no names.
    Own(Binding),
}

impl Known {
    /// A key, and nothing else.
    pub(super) fn key(version: KeyVersion) -> Self {
        Self(BTreeSet::from([Item::Key(version)]))
    }

    /// One of the daemon's own keys, and nothing else.
    pub(super) fn own(key: Binding) -> Self {
        Self(BTreeSet::from([Item::Own(key)]))
    }

    /// These keys, the records with these labels, and these of the daemon's own keys.
    pub(super) fn of<'a>(
        keys: &[FoundKey],
        records: impl IntoIterator<Item = &'a String>,
        own: impl IntoIterator<Item = Binding>,
    ) -> Self {
        let keys = keys.iter().map(|key| Item::Key(key.version.clone()));
        let records = records.into_iter().cloned().map(Item::Record);
        let own = own.into_iter().map(Item::Own);
        Self(keys.chain(records).chain(own).collect())
    }

    /// Without what belongs to this version.
    pub(super) fn without(mut self, version: &KeyVersion) -> Self {
        self.0.remove(&Item::Key(version.clone()));
        self.0.remove(&Item::Record(version.to_string()));
        self
    }

    /// Whether all of it is in the other.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Whether a key that callers use is among it.
    pub(super) fn has_keys(&self) -> bool {
        self.0.iter().any(|item| matches!(item, Item::Key(_)))
    }
}

impl From<&Inventory> for Known {
    fn from(inventory: &Inventory) -> Self {
        let own = inventory.wrapping_keys.iter();
        let own = own.chain(&inventory.checkpoint_keys);
        let own = own.map(|spki| Binding(Sha256::digest(spki).into()));
        Self::of(&inventory.keys, inventory.records.keys(), own)
    }
}
