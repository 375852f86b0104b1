//! A MAC over a message of any length, chunk by chunk, in a session of its own.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    Token, TokenError, permitted,
    pool::Worker,
    protocol::{Reply, Request},
};
use crate::{
    algorithm::Algorithm,
    policy::{Operation, Permit},
};

/// A MAC over a message that comes in chunks. It has a session of its own in one worker.
pub struct MacStream {
    token: Arc<Token>,
    _place: OwnedSemaphorePermit,
    worker: Arc<Worker>,
    stream: u64,
    finished: bool,
}

impl Token {
    /// Begins a MAC over a message that comes in chunks.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn start_mac(
        self: &Arc<Self>,
        permit: Permit,
        deadline: Instant,
    ) -> Result<MacStream, TokenError> {
        permitted(&permit, &[Operation::Sign])?;
        let Algorithm::Hmac(hash) = permit.algorithm() else {
            return Err(TokenError::NoSuchKey(permit.key().clone()));
        };
        let key = self.reference(permit.key())?;
        let place = Arc::clone(&self.long_macs)
            .try_acquire_owned()
            .map_err(|_| TokenError::QueueFull {
                limit: MAX_LONG_MACS,
            })?;
        let worker = self.pool.worker(deadline).await?;
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let mac = MacStream {
            token: Arc::clone(self),
            _place: place,
            worker,
            stream,
            finished: false,
        };
        mac.step(&Request::MacStart { stream, key, hash }).await?;
        Ok(mac)
    }
}

impl MacStream {
    /// Adds a chunk.
    ///
    /// # Errors
    ///
    /// [`TokenError`]; the MAC is lost then.
    pub async fn update(&mut self, chunk: Bytes) -> Result<(), TokenError> {
        self.step(&Request::MacUpdate {
            stream: self.stream,
            chunk: chunk.into(),
        })
        .await
        .map(drop)
    }

    /// The MAC.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn finish(mut self) -> Result<Vec<u8>, TokenError> {
        self.finished = true;
        match self
            .step(&Request::MacFinish {
                stream: self.stream,
            })
            .await?
        {
            Reply::Bytes(mac) => Ok(mac.to_vec()),
            _ => Err(TokenError::Lost),
        }
    }

    /// Closes its session without a MAC; to be called when the caller has gone away.
    pub async fn abort(mut self) {
        self.finished = true;
        // A worker that can't be told is dead, and the session with it.
        let _ = self
            .step(&Request::MacAbort {
                stream: self.stream,
            })
            .await;
    }

    async fn step(&self, request: &Request) -> Result<Reply, TokenError> {
        self.token
            .pool
            .run_on(&self.worker, request, self.token.config.operation_timeout)
            .await
    }
}

impl Drop for MacStream {
    fn drop(&mut self) {
        if !self.finished {
            tracing::debug!(token = %self.token.name(), "a long MAC was dropped without an end");
        }
    }
}

/// The most long MACs at once: a slow caller holds a session of the token, and tokens have few.
pub(super) const MAX_LONG_MACS: usize = 32;
