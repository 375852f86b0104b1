//! What is known to be in a token, so that an object which it does not show for a moment is not taken for one that is gone.
//!
//! SoftHSM does not show an object while another process writes to it, and a key that is just being made is shown by
//! halves. A listing is therefore given what is known, and looks again, a few times, where it differs for the worse:
//! see [`list`](super::inventory::list).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::protocol::{Binding, FoundKey, Inventory, Problem};
use crate::key::KeyVersion;

/// Names of what is in a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    items: BTreeSet<Item>,
    /// The labels of what can't be served, where all of them are known.
    problems: Option<BTreeSet<String>>,
}

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
        Self::one(Item::Key(version))
    }

    /// One of the daemon's own keys, and nothing else.
    pub(super) fn own(key: Binding) -> Self {
        Self::one(Item::Own(key))
    }

    fn one(item: Item) -> Self {
        Self {
            items: BTreeSet::from([item]),
            problems: None,
        }
    }

    /// All that there is: these keys, the records with these labels, these of the daemon's own keys, these problems.
    pub(super) fn all<'a>(
        keys: &[FoundKey],
        records: impl IntoIterator<Item = &'a String>,
        own: impl IntoIterator<Item = Binding>,
        problems: &[Problem],
    ) -> Self {
        let keys = keys.iter().map(|key| Item::Key(key.version.clone()));
        let records = records.into_iter().cloned().map(Item::Record);
        let own = own.into_iter().map(Item::Own);
        let problems = problems.iter().map(|problem| problem.label.clone());
        Self {
            items: keys.chain(records).chain(own).collect(),
            problems: Some(problems.collect()),
        }
    }

    /// Without what belongs to this version.
    pub(super) fn without(mut self, version: &KeyVersion) -> Self {
        self.items.remove(&Item::Key(version.clone()));
        self.items.remove(&Item::Record(version.to_string()));
        self
    }

    /// Whether a listing found all of it, and no new problem.
    pub(super) fn is_borne_out_by(&self, found: &Self) -> bool {
        let no_news = match (&self.problems, &found.problems) {
            (Some(known), Some(found)) => found.is_subset(known),
            _ => true,
        };
        self.items.is_subset(&found.items) && no_news
    }

    /// Whether a key that callers use is among it.
    pub(super) fn has_keys(&self) -> bool {
        let mut items = self.items.iter();
        items.any(|item| matches!(item, Item::Key(_)))
    }
}

impl From<&Inventory> for Known {
    fn from(inventory: &Inventory) -> Self {
        let own = inventory.wrapping_keys.iter();
        let own = own.chain(&inventory.checkpoint_keys);
        let own = own.map(|spki| Binding(Sha256::digest(spki).into()));
        let records = inventory.records.keys();
        Self::all(&inventory.keys, records, own, &inventory.problems)
    }
}
