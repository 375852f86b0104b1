//! Operations that platforms' schemes need: a MAC over a message that has a secret in it, and content keys that
//! prove their origin.

use bytes::Bytes;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    Token, TokenError, permitted,
    protocol::{Part, Request},
};
use crate::{
    algorithm::Algorithm,
    key::{Custody, KeyVersion},
    policy::{Operation, Permit},
};

/// A piece of a message that the worker puts together.
#[derive(Debug)]
pub enum MessagePart {
    /// These bytes.
    Bytes(Bytes),
    /// The bytes of this secret, which must be one whose record says that the worker may read it.
    Secret(KeyVersion),
}

impl Token {
    /// A MAC over a message that has secrets of this token in it: they are put in by the worker, and the daemon
    /// never sees them. The permit is for the key that makes the MAC (to sign, or to verify by making it again).
    ///
    /// # Errors
    ///
    /// [`TokenError::NotReadable`] for a part that is not a worker-readable secret; [`TokenError`].
    pub async fn mac_of_parts(
        &self,
        permit: Permit,
        parts: Vec<MessagePart>,
        deadline: Instant,
    ) -> Result<Vec<u8>, TokenError> {
        permitted(&permit, &[Operation::Sign, Operation::Verify])?;
        let Algorithm::Hmac(hash) = permit.algorithm() else {
            return Err(TokenError::NoSuchKey(permit.key().clone()));
        };
        let key = self.reference(permit.key())?;
        let parts = parts
            .into_iter()
            .map(|part| self.part(part))
            .collect::<Result<_, _>>()?;
        let request = Request::MacOfParts { key, hash, parts };
        self.bytes(permit.identity(), &request, deadline)
            .await
            .map(|mac| mac.to_vec())
    }

    /// Makes of a content key of 16 to 32 bytes what [`recover`](crate::key::PublicKey::recover) makes the content key
    /// of again (`RSA1_5-PRIVATE`): it proves the origin of the content key and keeps nothing secret.
    ///
    /// The permit is to sign; and only for keys that are for this and nothing else.
    ///
    /// # Errors
    ///
    /// [`TokenError::ContentKeyLength`]; [`TokenError`].
    pub async fn seal_with_private_key(
        &self,
        permit: Permit,
        content_key: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, TokenError> {
        permitted(&permit, &[Operation::Sign])?;
        let keys = self.keys();
        let allowed = keys
            .get(&permit.key().key)
            .is_some_and(|key| key.usage.allows(Algorithm::Rsa15Private));
        if permit.algorithm() != Algorithm::Rsa15Private || !allowed {
            return Err(TokenError::NoSuchKey(permit.key().clone()));
        }
        if !crate::key::CONTENT_KEY_LENGTHS.contains(&content_key.len()) {
            return Err(TokenError::ContentKeyLength(content_key.len()));
        }
        let request = Request::ProveOrigin {
            key: self.reference(permit.key())?,
            content_key: Zeroizing::new(content_key.to_vec()),
        };
        self.bytes(permit.identity(), &request, deadline)
            .await
            .map(|sealed| sealed.to_vec())
    }

    fn part(&self, part: MessagePart) -> Result<Part, TokenError> {
        let version = match part {
            MessagePart::Bytes(bytes) => return Ok(Part::Bytes(bytes.into())),
            MessagePart::Secret(version) => version,
        };
        let keys = self.keys();
        let length = keys
            .get(&version.key)
            .filter(|key| key.custody == Custody::WorkerReadable)
            .and_then(|key| key.version(&version))
            .and_then(|facts| facts.secret_bytes);
        match length {
            Some(length) => Ok(Part::Secret {
                key: self.reference(&version)?,
                length,
            }),
            None => Err(TokenError::NotReadable(version)),
        }
    }
}
