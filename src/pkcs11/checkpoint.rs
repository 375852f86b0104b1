//! The key that signs the audit log's checkpoints. It has a name that no key can have, so that it signs nothing else:
//! no caller can ask for it, and no policy can allow it.

use tokio::time::{Instant, timeout_at};

use super::{
    Token, TokenError,
    fair::Who,
    pool::{Cause, Repeat},
    protocol::{Binding, Reply, Request},
};
use crate::key::PublicKey;

impl Token {
    /// The public halves of the keys there are for checkpoints; nearly always one.
    pub fn checkpoint_keys(&self) -> Vec<PublicKey> {
        self.keys().checkpoint_keys().to_vec()
    }

    /// The public half of the key for checkpoints; the token makes one if it has none.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn checkpoint_key(&self, deadline: Instant) -> Result<PublicKey, TokenError> {
        self.known()?;
        if let Some(public) = self.keys().checkpoint_keys().first() {
            return Ok(public.clone());
        }
        let _turn = timeout_at(deadline, self.creating.lock())
            .await
            .map_err(|_| TokenError::Deadline)?;
        if self.keys().checkpoint_keys().is_empty() {
            let begun = self.pool.begin();
            let limit = self.config.create_timeout;
            // It is made only where there is none, so asking twice does no harm.
            let reply = self
                .pool
                .run_aside(&Request::MakeCheckpointKey, deadline, limit, Repeat::Once)
                .await?;
            let Reply::Inventory(inventory) = reply else {
                return Err(TokenError::Lost);
            };
            if !self.pool.publish(begun, Cause::Made, *inventory).await {
                self.refresh().await?;
            }
        }
        let keys = self.keys();
        let public = keys.checkpoint_keys().first();
        public.cloned().ok_or(TokenError::OutcomeUnknown)
    }

    /// Signs a checkpoint with the key of this public half. Whoever asks verifies the signature.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn sign_checkpoint(
        &self,
        key: &PublicKey,
        body: Vec<u8>,
        deadline: Instant,
    ) -> Result<Vec<u8>, TokenError> {
        let request = Request::SignCheckpoint {
            key: Binding(key.sha256()),
            body,
        };
        self.bytes(Who::default(), &request, deadline)
            .await
            .map(|signature| signature.to_vec())
    }
}
