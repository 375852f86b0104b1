//! The one use of a named key that the daemon makes for itself, and no caller can: what hashes the audit log's inputs.

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    Token, TokenError,
    fair::Who,
    protocol::{SignItem, SignWith},
};
use crate::{
    algorithm::{Algorithm, Hash},
    key::{KeyName, KeyVersion, Version},
};

impl Token {
    /// The HMAC-SHA-256 of a text of the program's own, by the first version of a key: another version would hash the
    /// same input otherwise, and nobody could find it again.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn mac_of_ours(
        &self,
        key: &KeyName,
        text: &'static [u8],
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        self.known()?;
        let version = KeyVersion {
            key: key.clone(),
            version: Version::FIRST,
        };
        let with = SignWith::of(Algorithm::Hmac(Hash::Sha256))
            .ok_or_else(|| TokenError::NoSuchKey(version.clone()))?;
        let item = SignItem {
            key: self.reference(&version)?,
            with,
            input: text.to_vec(),
            verify: false,
        };
        let mac = self
            .gather
            .push(Who::default(), item, deadline, self.pool.counters())?;
        mac.await
            .unwrap_or(Err(TokenError::Lost))
            .map(Zeroizing::new)
    }
}
