//! Versions come and go: generating another one of a key, and destroying one.
//!
//! No permit is taken here: what is done by schedule was permitted when it was scheduled, and the signer asks the policy
//! for what is done at once.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{
    Cause, Key, Repeat, Token, TokenError, keys,
    protocol::{Reply, Request},
};
use crate::key::{KeyName, KeyVersion, Version};

impl Token {
    /// Generates a version of a key that is there, with the limits of the others.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; after [`TokenError::OutcomeUnknown`] the version may be there.
    pub async fn create_version(
        &self,
        name: &KeyName,
        version: Version,
        deadline: Instant,
    ) -> Result<Arc<Key>, TokenError> {
        let version = KeyVersion {
            key: name.clone(),
            version,
        };
        let _turn = timeout_at(deadline, self.creating.lock())
            .await
            .map_err(|_| TokenError::Deadline)?;
        let keys = self.keys();
        let key = keys
            .get(name)
            .ok_or_else(|| TokenError::NoSuchKey(version.clone()))?;
        if key.version(&version).is_some() {
            return Err(TokenError::Exists(name.clone()));
        }
        let request = Request::Create {
            version: version.clone(),
            key_type: key.usage.key_type(),
            flags: keys::flags(&key.usage),
            algorithms: key.usage.algorithms().to_vec(),
            record: None,
        };
        let limit = self.config.create_timeout;
        let begun = self.pool.begin();
        let reply = self
            .pool
            .run_aside(&request, deadline, limit, Repeat::Never)
            .await?;
        self.made(begun, reply, &version).await
    }

    /// Destroys a version: its objects are gone for good. That they are gone already is no error.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; then it may be there still.
    pub async fn destroy_version(
        &self,
        version: &KeyVersion,
        deadline: Instant,
    ) -> Result<(), TokenError> {
        let _turn = timeout_at(deadline, self.creating.lock())
            .await
            .map_err(|_| TokenError::Deadline)?;
        let Ok(key) = self.reference(version) else {
            return Ok(());
        };
        let limit = self.config.create_timeout;
        let begun = self.pool.begin();
        let reply = self
            .pool
            .run_aside(&Request::Destroy { key }, deadline, limit, Repeat::Once)
            .await?;
        let Reply::Inventory(inventory) = reply else {
            return Err(TokenError::Lost);
        };
        let cause = Cause::Destroyed(version);
        if !self.pool.publish(begun, cause, *inventory).await {
            self.refresh().await?;
        }
        match self.reference(version) {
            Ok(_) => Err(TokenError::OutcomeUnknown),
            Err(_) => Ok(()),
        }
    }
}
