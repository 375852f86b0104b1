//! Requests with an id: done once, answered again with the same bytes, also by another daemon, also after a crash.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Call, Error, Signer};
use crate::store::{Begun, Request, StoreError};

/// A request with an id.
#[derive(Clone, Debug)]
pub struct Identified {
    /// By which method.
    pub method: &'static str,
    /// What the caller calls it.
    pub id: String,
    /// SHA-256 of all that it asks.
    pub content: [u8; 32],
}

impl Identified {
    /// What tells it from every other, whoever asks.
    pub fn fingerprint(&self, call: &Call) -> String {
        let mut hash = Sha256::new();
        for part in [call.identity.name().as_str(), self.method, &self.id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hex::encode(hash.finalize())
    }
}

impl Signer {
    /// Does a request if it is new, and keeps its answer before it is given; else gives the answer that was given
    /// before. While another attempt is under way, waits for it as long as the caller does.
    ///
    /// # Errors
    ///
    /// Those of the work; [`Error::RequestIdReused`]; [`Error::RequestInProgress`]; [`Error::Store`].
    pub async fn once(
        &self,
        call: &Call,
        request: &Identified,
        work: impl Future<Output = Result<Vec<u8>, Error>> + Send,
    ) -> Result<Vec<u8>, Error> {
        let store = self.lives.store()?;
        let lease = call.deadline.saturating_duration_since(Instant::now()) + MARGIN;
        let claim = loop {
            let asked = Request {
                identity: call.identity.name(),
                method: request.method,
                id: &request.id,
                content_hash: request.content,
            };
            match store.idempotency().begin(asked, self.time(), lease).await? {
                Begun::New(claim) => break claim,
                Begun::Answered(answer) => return Ok(answer),
                Begun::OtherContent => return Err(Error::RequestIdReused(request.id.clone())),
                Begun::InProgress { .. } if Instant::now() + PAUSE > call.deadline => {
                    return Err(Error::RequestInProgress(request.id.clone()));
                }
                Begun::InProgress { .. } => tokio::time::sleep(PAUSE).await,
            }
        };
        match work.await {
            Ok(answer) => match claim.complete(&answer, self.time()).await {
                Ok(()) => Ok(answer),
                // Another attempt has taken over: its answer is the one.
                Err(StoreError::ClaimLost) => Err(Error::RequestInProgress(request.id.clone())),
                Err(error) => Err(error.into()),
            },
            Err(error) if error.leaves_open() => {
                // Given up: the next attempt is told that it is not the first.
                drop(claim);
                Err(error)
            }
            Err(error) => {
                if let Err(kept) = claim.release().await {
                    tracing::warn!(error = %kept, "a request id is taken until its lease is over");
                }
                Err(error)
            }
        }
    }
}

/// What a call may take beyond its deadline.
const MARGIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
