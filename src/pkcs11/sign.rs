//! Signatures by the token, one and many.

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    Token, TokenError,
    fair::Who,
    permitted,
    protocol::{SignItem, SignWith},
};
use crate::policy::{Operation, Permit};

impl Token {
    /// Signs with the key and algorithm of the permit: a digest where the algorithm takes one, else the message.
    /// ECDSA comes as r||s.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn sign(
        &self,
        permit: Permit,
        input: Bytes,
        deadline: Instant,
    ) -> Result<Vec<u8>, TokenError> {
        let item = self.item(&permit, input)?;
        let who = permit.identity().into();
        self.gather
            .push(who, item, deadline, self.pool.counters())?
            .await
            .unwrap_or(Err(TokenError::Lost))
    }

    /// Signs many; the results are in the order of the permits.
    pub async fn sign_batch(
        &self,
        items: Vec<(Permit, Bytes)>,
        deadline: Instant,
    ) -> Vec<Result<Vec<u8>, TokenError>> {
        let mut results: Vec<Result<Vec<u8>, TokenError>> = Vec::with_capacity(items.len());
        let mut frames: Vec<(Vec<usize>, Vec<SignItem>)> = Vec::new();
        // A batch is one caller's.
        let who = items.first().map(|(permit, _)| permit.identity().into());
        let who: &Who = &who.unwrap_or_default();
        // As many frames as there are threads, so that one caller's batch uses them all; none so long
        // that it would look like a hang.
        let size = items.len().div_ceil(self.pool.width()).clamp(1, MAX_BATCH);
        for (index, (permit, input)) in items.into_iter().enumerate() {
            results.push(Err(TokenError::Lost));
            match self.item(&permit, input) {
                Ok(item) => {
                    if frames.last().is_none_or(|(_, frame)| frame.len() >= size) {
                        frames.push((Vec::with_capacity(size), Vec::with_capacity(size)));
                    }
                    if let Some((indexes, frame)) = frames.last_mut() {
                        indexes.push(index);
                        frame.push(item);
                    }
                }
                Err(error) => results[index] = Err(error),
            }
        }
        let jobs = frames.into_iter().map(|(indexes, frame)| async move {
            let signed = self.pool.sign_frame(who, frame, deadline).await;
            indexes.into_iter().zip(signed)
        });
        for (index, result) in join_all(jobs).await.into_iter().flatten() {
            results[index] = result;
        }
        results
    }

    fn item(&self, permit: &Permit, input: Bytes) -> Result<SignItem, TokenError> {
        permitted(
            permit,
            &[
                Operation::Sign,
                Operation::Verify,
                Operation::RequestCertificate,
            ],
        )?;
        let with = SignWith::of(permit.algorithm())
            .ok_or_else(|| TokenError::NoSuchKey(permit.key().clone()))?;
        Ok(SignItem {
            key: self.reference(permit.key())?,
            with,
            input: input.into(),
            verify: self.config.verify_signatures,
        })
    }
}

/// The most items in one frame: half a second of RSA-4096 in software.
const MAX_BATCH: usize = 100;
