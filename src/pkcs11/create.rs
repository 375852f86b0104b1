//! Keys that the token makes, and how they get into the table.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{
    Key, Token, TokenError, keys,
    pool::{Begun, Cause, Repeat},
    protocol::{Reply, Request},
    record::Record,
};
use crate::{
    key::{Custody, KeyVersion, Usage, Version},
    policy::{Creation, Operation, Permit},
};

impl Token {
    /// Makes version 1 of a key.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; after [`TokenError::OutcomeUnknown`] the key may be there.
    pub async fn create(
        &self,
        permit: Permit<Creation>,
        usage: Usage,
        deadline: Instant,
    ) -> Result<Arc<Key>, TokenError> {
        if permit.operation() != Operation::Create {
            return Err(TokenError::WrongPermit(permit.operation()));
        }
        let name = permit.key().clone();
        let _turn = timeout_at(deadline, self.creating.lock())
            .await
            .map_err(|_| TokenError::Deadline)?;
        let taken = self.keys();
        if taken.get(&name).is_some() || taken.why_unusable(&name).is_some() {
            return Err(TokenError::Exists(name));
        }
        let request = Request::Create {
            version: KeyVersion {
                key: name.clone(),
                version: Version::FIRST,
            },
            key_type: usage.key_type(),
            flags: keys::flags(&usage),
            algorithms: usage.algorithms().to_vec(),
            record: Some(Record::new(&usage, Custody::TokenOnly).bytes()),
        };
        let limit = self.config.create_timeout;
        let begun = self.pool.begin();
        let reply = self
            .pool
            .run_aside(&request, deadline, limit, Repeat::Never)
            .await?;
        let version = KeyVersion {
            key: name,
            version: Version::FIRST,
        };
        self.made(begun, reply, &version).await
    }

    /// Puts the listing in force that a key which was just made came with, and finds it there.
    pub(super) async fn made(
        &self,
        begun: Begun,
        reply: Reply,
        version: &KeyVersion,
    ) -> Result<Arc<Key>, TokenError> {
        match reply {
            Reply::Inventory(inventory) => {
                if !self.pool.publish(begun, Cause::Made, *inventory).await {
                    // The key is made, whatever comes of this.
                    let _ = self.refresh().await;
                }
            }
            // What is in the table is behind.
            Reply::Exists => {
                let _ = self.refresh().await;
                return Err(TokenError::Exists(version.key.clone()));
            }
            _ => return Err(TokenError::Lost),
        }
        // A listing that was made while another process wrote to the token can show a key without its label.
        for _ in 0..SETTLE_TRIES {
            if let Some(key) = self.key_with(version) {
                return Ok(key);
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
            let _ = self.refresh().await;
        }
        self.key_with(version).ok_or(TokenError::OutcomeUnknown)
    }

    fn key_with(&self, version: &KeyVersion) -> Option<Arc<Key>> {
        let keys = self.keys();
        keys.get(&version.key)
            .filter(|key| key.version(version).is_some())
            .cloned()
    }
}

/// How often a key that was just made is looked for in the token, and how long between.
const SETTLE_TRIES: u32 = 10;

const SETTLE_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
