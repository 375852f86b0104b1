//! Signing a message of any length as it comes, in constant memory.

use std::sync::Arc;

use bytes::Bytes;
use sha2::Digest;
use tokio::time::Instant;

use super::{
    Account, Call, Error, Granted, Selector, Signature, SignatureForm, Signer, check_form,
    digest_of, finish,
};
use crate::{
    algorithm::{Algorithm, Hash},
    key::{KeyVersion, PublicKey},
    pkcs11::{MacStream, Token},
    policy::StreamLimit,
};

/// A long message that is being signed. Dropped before its end, it is recorded as abandoned.
pub struct LongSignature {
    account: Account,
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
    granted: Granted,
    public: Option<PublicKey>,
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
        let account = self.roll.open(call);
        let begun = async {
            let (found, granted) = self.permit_to_sign(&account, call, key, algorithm)?;
            check_form(algorithm, form)?;
            let version = granted.key().clone();
            let (granted, limit) = account.limited_stream(granted)?;
            let kind = match (algorithm, algorithm.prehash()) {
                (_, Some(hash)) => LongKind::Hashed(Box::new(Hashed {
                    hasher: Hasher::new(hash),
                    public: found.public(&version).cloned(),
                    token: found.token,
                    granted,
                })),
                (Algorithm::Hmac(_), None) => {
                    // The token is asked before the message is there: of that the log has no hash.
                    let permit = account.intend(granted, None, None).await?;
                    LongKind::Mac(found.token.start_mac(permit, call.deadline).await?)
                }
                (_, None) => return Err(Error::NotInChunks(algorithm)),
            };
            Ok((version, kind, limit))
        };
        let (version, kind, limit) = match begun.await {
            Ok(begun) => begun,
            Err(error) => return account.close(Err(error)).await,
        };
        Ok(LongSignature {
            account,
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
        let checked = self.limit.check(self.length);
        checked.map_err(|denied| self.account.refused(denied))?;
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
        let Self {
            account,
            kind,
            version,
            algorithm,
            form,
            length: _,
            limit: _,
        } = self;
        let signed = async {
            let raw = match kind {
                LongKind::Hashed(hashed) => {
                    let Hashed {
                        hasher,
                        token,
                        granted,
                        public,
                    } = *hashed;
                    let digest = hasher.finish();
                    let input = digest_of(algorithm, &digest);
                    let permit = account
                        .intend(granted, Some(input), public.as_ref())
                        .await?;
                    token.sign(permit, digest.into(), deadline).await?
                }
                LongKind::Mac(mac) => mac.finish().await?,
            };
            let signature = finish(raw, version, algorithm, form)?;
            account.signed(&signature.bytes);
            Ok(signature)
        };
        let signed = signed.await;
        account.close(signed).await
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
