//! Signing a message of any length as it comes, in constant memory.

use std::convert::Infallible;

use bytes::Bytes;
use sha2::Digest;

use super::{
    Account, Call, Error, Selector, Signature, SignatureForm, Signer, check_form, digest_of, finish,
};
use crate::{
    algorithm::{Algorithm, Hash},
    key::KeyVersion,
    pkcs11::MacStream,
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
    Hashed(Hasher),
    /// The token makes the MAC chunk by chunk.
    Mac(MacStream),
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
                (_, Some(hash)) => LongKind::Hashed(Hasher::new(hash)),
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
            LongKind::Hashed(hasher) => hasher.update(&chunk),
            LongKind::Mac(mac) => mac.update(chunk).await?,
        }
        Ok(())
    }

    /// How many bytes have come.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The signature, if the policy and the key allow it still: the message may have taken days.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn finish(self, signer: &Signer, call: &Call) -> Result<Signature, Error> {
        let Self {
            account,
            kind,
            version,
            algorithm,
            form,
            length,
            limit: _,
        } = self;
        let by = Selector {
            key: version.key.clone(),
            version: Some(version.version),
        };
        let asked_again = signer
            .permit_to_sign(&account, call, &by, algorithm)
            .and_then(|(found, granted)| {
                let (granted, limit) = account.limited_stream(granted)?;
                let checked = limit.check(length);
                checked.map_err(|denied| account.refused(denied))?;
                Ok((found, granted))
            });
        let signed = async {
            let raw = match (kind, asked_again) {
                (LongKind::Hashed(hasher), Ok((found, granted))) => {
                    let digest = hasher.finish();
                    let input = digest_of(algorithm, &digest);
                    let public = found.public(&version);
                    let permit = account.intend(granted, Some(input), public).await?;
                    let token = found.token;
                    token.sign(permit, digest.into(), call.deadline).await?
                }
                (LongKind::Mac(mac), Ok((_, granted))) => {
                    // The token has begun it, with the permit of then.
                    account.goes_on(granted);
                    mac.finish().await?
                }
                (LongKind::Hashed(_), Err(error)) => return Err(error),
                (LongKind::Mac(mac), Err(error)) => {
                    mac.abort().await;
                    return Err(error);
                }
            };
            let signature = finish(raw, version, algorithm, form)?;
            account.signed(&signature.bytes);
            Ok(signature)
        };
        let signed = signed.await;
        account.close(signed).await
    }

    /// Gives up because of an error of [`LongSignature::update`]; gives what to answer, once that is recorded.
    pub async fn refuse(self, error: Error) -> Error {
        if let LongKind::Mac(mac) = self.kind {
            mac.abort().await;
        }
        match self.account.close::<Infallible>(Err(error)).await {
            Err(error) => error,
        }
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
