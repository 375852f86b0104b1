//! A role: identities under one name, so that rules say what they are for.

use std::sync::Arc;

use crate::{identity::IdentityName, policy::pattern::IdentityPattern};

/// A role of the file.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) name: Arc<str>,
    pub(super) identities: Vec<IdentityPattern>,
    /// Whether a rule names it.
    pub(super) used: bool,
}

impl Role {
    pub(super) fn has(&self, identity: &IdentityName) -> bool {
        let mut patterns = self.identities.iter();
        patterns.any(|pattern| pattern.matches(identity))
    }
}
