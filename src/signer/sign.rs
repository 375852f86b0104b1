//! Signatures over messages and digests that callers chose, one and many.

use std::sync::Arc;

use bytes::Bytes;

use super::{Account, Call, Error, Selector, Signer, digest_of};
use crate::{
    algorithm::{Algorithm, Purpose},
    key::{KeyVersion, ecdsa},
    pkcs11::{Token, TokenError},
    policy::{Operation, Permit},
};

/// What is to be signed: exactly one of a message and its digest.
#[derive(Clone, Debug)]
pub enum Content {
    /// The message.
    Message(Bytes),
    /// Its digest, made by the caller with the algorithm's hash.
    Digest(Bytes),
}

/// How ECDSA signatures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureForm {
    /// As the token and JOSE have it: r||s for ECDSA.
    Raw,
    /// DER; ECDSA alone.
    Der,
}

/// One thing to sign.
#[derive(Clone, Debug)]
pub struct SignRequest {
    /// With which key.
    pub key: Selector,
    /// With which algorithm.
    pub algorithm: Algorithm,
    /// What.
    pub content: Content,
    /// How the signature is to be written.
    pub form: SignatureForm,
}

/// A signature, and what made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The key version that made it.
    pub version: KeyVersion,
    /// The algorithm that made it.
    pub algorithm: Algorithm,
}

/// What of a batch goes to one token.
struct Job {
    token: Arc<Token>,
    pending: Vec<Pending>,
    items: Vec<(Permit, Bytes)>,
}

/// One item of a batch that is with the token.
struct Pending {
    index: usize,
    version: KeyVersion,
    algorithm: Algorithm,
    form: SignatureForm,
}

impl Signer {
    /// Signs one thing.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn sign(&self, call: &Call, request: SignRequest) -> Result<Signature, Error> {
        let account = self.roll.open(call);
        let signed = self.sign_prepared(&account, call, request).await;
        account.close(signed).await
    }

    async fn sign_prepared(
        &self,
        account: &Account,
        call: &Call,
        request: SignRequest,
    ) -> Result<Signature, Error> {
        let (token, permit, input, form) = self.prepare(account, call, request).await?;
        let (version, algorithm) = (permit.key().clone(), permit.algorithm());
        let raw = token.sign(permit, input, call.deadline).await?;
        let signature = finish(raw, version, algorithm, form)?;
        account.signed(&signature.bytes);
        Ok(signature)
    }

    /// Signs many things; each has its own result, in order.
    pub async fn sign_batch(
        &self,
        call: &Call,
        requests: Vec<SignRequest>,
    ) -> Vec<Result<Signature, Error>> {
        let mut results: Vec<Option<Result<Signature, Error>>> = Vec::with_capacity(requests.len());
        let accounts: Vec<_> = requests.iter().map(|_| self.roll.open(call)).collect();
        // One call to each token that is concerned; there is nearly always one.
        let mut jobs: Vec<Job> = Vec::new();
        for (index, request) in requests.into_iter().enumerate() {
            match self.prepare(&accounts[index], call, request).await {
                Ok((token, permit, input, form)) => {
                    results.push(None);
                    let pending = Pending {
                        index,
                        version: permit.key().clone(),
                        algorithm: permit.algorithm(),
                        form,
                    };
                    match jobs.iter_mut().find(|job| Arc::ptr_eq(&job.token, &token)) {
                        Some(job) => {
                            job.pending.push(pending);
                            job.items.push((permit, input));
                        }
                        None => jobs.push(Job {
                            token,
                            pending: vec![pending],
                            items: vec![(permit, input)],
                        }),
                    }
                }
                Err(error) => results.push(Some(Err(error))),
            }
        }
        for Job {
            token,
            pending,
            items,
        } in jobs
        {
            let signed = token.sign_batch(items, call.deadline).await;
            for (pending, raw) in pending.into_iter().zip(signed) {
                let Pending {
                    index,
                    version,
                    algorithm,
                    form,
                } = pending;
                let result = raw.map_err(Error::from).and_then(|raw| {
                    let signature = finish(raw, version, algorithm, form)?;
                    accounts[index].signed(&signature.bytes);
                    Ok(signature)
                });
                results[index] = Some(result);
            }
        }
        let lost = || Err(Error::Token(TokenError::Lost));
        let results = results.into_iter().map(|one| one.unwrap_or_else(lost));
        self.roll.close_all(accounts.into_iter().zip(results)).await
    }

    /// Everything of signing that comes before the token.
    async fn prepare(
        &self,
        account: &Account,
        call: &Call,
        request: SignRequest,
    ) -> Result<(Arc<Token>, Permit, Bytes, SignatureForm), Error> {
        let SignRequest {
            key,
            algorithm,
            content,
            form,
        } = request;
        let (found, granted) = self.permit_to_sign(account, call, &key, algorithm)?;
        check_form(algorithm, form)?;
        let granted = account.limited(granted, |permit| match &content {
            Content::Message(message) => permit.for_message(message),
            Content::Digest(_) => permit.for_digest(),
        })?;
        let input = signing_input(algorithm, content)?;
        let public = found.public(granted.key());
        let digest = Some(digest_of(algorithm, &input));
        let permit = account.intend(granted, digest, public).await?;
        Ok((found.token, permit, input, form))
    }
}

/// What the token is to see: the digest where the hash is made here, else the message.
pub(super) fn signing_input(algorithm: Algorithm, content: Content) -> Result<Bytes, Error> {
    // A key that proves the origin of content keys signs those, and no message that a caller chose.
    if algorithm.purpose() == Purpose::ProveOrigin {
        return Err(Error::AlgorithmOfAnotherOperation(
            algorithm,
            Operation::Sign,
        ));
    }
    match (content, algorithm.prehash()) {
        (Content::Message(message), Some(hash)) => Ok(hash.digest(&message).into()),
        (Content::Message(message), None) => Ok(message),
        (Content::Digest(digest), Some(hash)) if digest.len() == hash.len() => Ok(digest),
        (Content::Digest(digest), Some(hash)) => Err(Error::DigestLength {
            algorithm,
            expected: hash.len(),
            given: digest.len(),
        }),
        (Content::Digest(_), None) => Err(Error::DigestNotTaken(algorithm)),
    }
}

/// DER is for ECDSA alone.
pub(super) const fn check_form(algorithm: Algorithm, form: SignatureForm) -> Result<(), Error> {
    match (algorithm, form) {
        (Algorithm::Ecdsa(_), _) | (_, SignatureForm::Raw) => Ok(()),
        (_, SignatureForm::Der) => Err(Error::FormNotTaken(algorithm)),
    }
}

pub(super) fn finish(
    raw: Vec<u8>,
    version: KeyVersion,
    algorithm: Algorithm,
    form: SignatureForm,
) -> Result<Signature, Error> {
    let bytes = match (algorithm, form) {
        (Algorithm::Ecdsa(curve), SignatureForm::Der) => {
            ecdsa::raw_to_der(curve, &raw).ok_or(Error::Token(TokenError::Lost))?
        }
        _ => raw,
    };
    Ok(Signature {
        bytes,
        version,
        algorithm,
    })
}
