//! Signing a message of any length as it comes, in constant memory.

use std::sync::Arc;

use bytes::Bytes;
use sha2::Digest;
use tokio::time::Instant;

use super::{Call, Error, Selector, Signature, SignatureForm, Signer, check_form, finish};
use crate::{
    algorithm::{Algorithm, Hash},
    key::KeyVersion,
    pkcs11::{MacStream, Token},
    policy::{Permit, StreamLimit},
};

/// A long message that is being signed.
pub struct LongSignature {
    kind: LongKind,
    version: KeyVersion,
    algorithm: Algorithm,
    form: SignatureForm,
    length: u64,
    limit: StreamLimit,
}

enum LongKind {
    /// The hash is made here; the token sees the digest at the end.
    Hashed(Box<Hashed>),
    /// The token makes the MAC chunk by chunk.
    Mac(MacStream),
}

struct Hashed {
    hasher: Hasher,
    token: Arc<Token>,
    permit: Permit,
}

enum Hasher {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
}

impl Signer {
    /// Begins to sign a message of any length.
    ///
    /// # Errors
    ///
    /// [`Error`]; EdDSA must see the message twice and is refused.
    pub async fn sign_long(
        &self,
        call: &Call,
        key: &Selector,
        algorithm: Algorithm,
        form: SignatureForm,
    ) -> Result<LongSignature, Error> {
        let (found, permit) = self.permit_to_sign(call, key, algorithm)?;
        check_form(algorithm, form)?;
        let version = permit.key().clone();
        let (permit, limit) = match permit.for_stream() {
            Ok((permit, limit)) => (self.authorized(Ok(permit))?, limit),
            Err(denied) => return Err(self.denied(denied)),
        };
        let kind = match (algorithm, algorithm.prehash()) {
            (_, Some(hash)) => LongKind::Hashed(Box::new(Hashed {
                hasher: Hasher::new(hash),
                token: found.token,
                permit,
            })),
            (Algorithm::Hmac(_), None) => {
                LongKind::Mac(found.token.start_mac(permit, call.deadline).await?)
            }
            (_, None) => return Err(Error::NotInChunks(algorithm)),
        };
        Ok(LongSignature {
            kind,
            version,
            algorithm,
            form,
            length: 0,
            limit,
        })
    }
}

impl LongSignature {
    /// Adds the next bytes of the message.
    ///
    /// # Errors
    ///
    /// [`Error`]; nothing is signed then.
    pub async fn update(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.length += chunk.len() as u64;
        self.limit.check(self.length)?;
        match &mut self.kind {
            LongKind::Hashed(hashed) => hashed.hasher.update(&chunk),
            LongKind::Mac(mac) => mac.update(chunk).await?,
        }
        Ok(())
    }

    /// How many bytes have come.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The signature.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn finish(self, deadline: Instant) -> Result<Signature, Error> {
        let raw = match self.kind {
            LongKind::Hashed(hashed) => {
                let Hashed {
                    hasher,
                    token,
                    permit,
                } = *hashed;
                token.sign(permit, hasher.finish().into(), deadline).await?
            }
            LongKind::Mac(mac) => mac.finish().await?,
        };
        finish(raw, self.version, self.algorithm, self.form)
    }

    /// Gives up, so that the token keeps nothing of it.
    pub async fn abort(self) {
        if let LongKind::Mac(mac) = self.kind {
            mac.abort().await;
        }
    }
}

impl Hasher {
    fn new(hash: Hash) -> Self {
        match hash {
            Hash::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Hash::Sha384 => Self::Sha384(sha2::Sha384::new()),
            Hash::Sha512 => Self::Sha512(sha2::Sha512::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
            Self::Sha384(hasher) => hasher.finalize().to_vec(),
            Self::Sha512(hasher) => hasher.finalize().to_vec(),
        }
    }
}
