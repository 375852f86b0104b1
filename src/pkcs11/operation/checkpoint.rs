//! The key that signs the audit log's checkpoints: the worker's side.

use super::{
    super::{
        errors::{Fault, Treatment, Work},
        inventory::{self, CHECKPOINT_LABEL, Handle},
        known::Known,
        protocol::{Binding, Flags, Inventory, SignWith},
    },
    Lane, create, ours,
};
use crate::algorithm::KeyType;

impl Lane {
    /// Makes a key that can do nothing but sign, unless there is one.
    pub(super) fn make_checkpoint_key(&mut self) -> Result<Inventory, Fault> {
        let session = self.rw_session()?;
        let listing = inventory::list(&session, &Known::default()).map_err(ours)?;
        if !listing.checkpoint_keys.is_empty() {
            return Ok(self.module.adopt(listing));
        }
        let flags = Flags {
            sign: true,
            ..Flags::default()
        };
        let allowed = [SignWith::EdDsa.mechanism().mechanism_type()];
        create::generate(
            &session,
            KeyType::Ed25519,
            flags,
            &allowed,
            CHECKPOINT_LABEL,
        )?;
        let listing = inventory::list(&session, &Known::default()).map_err(ours)?;
        Ok(self.module.adopt(listing))
    }

    /// Signs one. Whoever asks verifies it.
    pub(super) fn sign_checkpoint(&mut self, key: Binding, body: &[u8]) -> Result<Vec<u8>, Fault> {
        let handle = self.checkpoint_key(key)?;
        let mechanism = SignWith::EdDsa.mechanism();
        self.with_session(Work::Ours, |session, _| {
            session.sign(&mechanism, handle.object, body)
        })
    }

    /// One that this worker has not seen was made through another since.
    fn checkpoint_key(&mut self, binding: Binding) -> Result<Handle, Fault> {
        let known = |lane: &Self| {
            let keys = lane.module.checkpoint_keys.read();
            keys.expect("no lane panics: a panic ends the worker")
                .iter()
                .find(|key| key.binding == binding)
                .cloned()
        };
        if let Some(handle) = known(self) {
            return Ok(handle);
        }
        self.list(&Known::own(binding))?;
        known(self).ok_or_else(|| {
            Fault::new(
                Treatment::Configuration,
                "the look-up of the key that signs checkpoints",
                "it is gone",
            )
        })
    }
}
