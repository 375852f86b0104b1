//! How the audit log has the hashes of inputs: plain, or made with a key of the token.

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use crate::{
    algorithm::{Algorithm, Hash},
    audit::{InputDigest, InputKey},
    key::{Custody, KeyName, KeyVersion, Version},
    pkcs11::{Token, TokenError},
    signer::{Error, Signer},
};

/// With which key; with none, hashes are plain.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    wanted: OnceLock<KeyName>,
    key: OnceLock<InputKey>,
}

/// Why the key can't hash inputs.
#[derive(Debug, thiserror::Error)]
pub enum InputKeyError {
    /// There is none of that name.
    #[error(
        "audit.input_hash_key names {0}, and no token has such a key; make one before it is named: chancery keys create {0} --type hmac-sha256 --purpose mac --algorithm HS256"
    )]
    Missing(KeyName),
    /// It is another kind of key.
    #[error("audit.input_hash_key names {key}, which can't hash inputs: {why}")]
    Wrong {
        /// Its name.
        key: KeyName,
        /// Why not.
        why: String,
    },
    /// The token could not be asked.
    #[error("the key of audit.input_hash_key can't be used: {0}")]
    Token(#[from] TokenError),
}

impl Inputs {
    /// Whether it is the key that hashes inputs, and so is for nothing else.
    pub(super) fn is_key(&self, name: &KeyName) -> bool {
        self.wanted.get() == Some(name)
    }

    /// The hash as it is to be recorded.
    pub(super) fn recorded(&self, input: InputDigest) -> Result<InputDigest, Error> {
        match (self.wanted.get(), self.key.get()) {
            (None, _) => Ok(input),
            (Some(_), Some(key)) => Ok(key.hash(input)),
            (Some(_), None) => Err(Error::NoInputKey),
        }
    }
}

impl Signer {
    /// From now on nothing is begun whose input's hash could be guessed at: hashes are made with this key of the token,
    /// which is used for nothing else.
    pub fn hash_inputs_with(&self, key: KeyName) {
        // It is configured once.
        let _ = self.roll.inputs().wanted.set(key);
    }

    /// Has the key of the token make the one with which inputs are hashed. Does nothing if none is configured.
    ///
    /// # Errors
    ///
    /// [`InputKeyError`].
    pub async fn derive_input_key(&self, deadline: Instant) -> Result<(), InputKeyError> {
        let inputs = self.roll.inputs();
        let Some(name) = inputs.wanted.get() else {
            return Ok(());
        };
        let token = self.input_key_holder(name)?;
        let mac = token.mac_of_ours(name, InputKey::LABEL, deadline).await?;
        if let Some(key) = InputKey::new(&mac) {
            let _ = inputs.key.set(key);
        }
        Ok(())
    }

    /// The token that has the key, if it is one that can hash inputs.
    ///
    /// # Errors
    ///
    /// [`InputKeyError`].
    pub fn input_key_holder(&self, name: &KeyName) -> Result<Arc<Token>, InputKeyError> {
        let wrong = |why: &str| InputKeyError::Wrong {
            key: name.clone(),
            why: why.to_owned(),
        };
        let mut holders = Vec::new();
        for token in self.tokens() {
            let keys = token.keys();
            if let Some(why) = keys.why_unusable(name) {
                return Err(wrong(why));
            }
            if let Some(key) = keys.get(name) {
                holders.push((Arc::clone(token), Arc::clone(key)));
            }
        }
        let (token, key) = match holders.len() {
            0 => {
                // In a token that was never seen it may well be.
                self.tokens().iter().try_for_each(|token| token.known())?;
                return Err(InputKeyError::Missing(name.clone()));
            }
            1 => holders.swap_remove(0),
            _ => return Err(wrong("more than one token has a key of this name")),
        };
        let first = KeyVersion {
            key: name.clone(),
            version: Version::FIRST,
        };
        if !key.usage.allows(Algorithm::Hmac(Hash::Sha256)) {
            return Err(wrong("it is not a key for HS256"));
        }
        if key.custody == Custody::WorkerReadable {
            return Err(wrong("it is worker-readable, so that others may have it"));
        }
        if key.version(&first).is_none() {
            return Err(wrong("it has no version 1, which is the one that is used"));
        }
        Ok(token)
    }
}
