//! A MAC over a message of any length, chunk by chunk, in a session of its own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Token, TokenError, permitted,
    pool::Worker,
    protocol::{Reply, Request},
};
use crate::{
    algorithm::Algorithm,
    identity::IdentityName,
    policy::{Operation, Permit},
};

/// A MAC over a message that comes in chunks. It has a session of its own in one worker.
pub struct MacStream {
    token: Arc<Token>,
    _place: Place,
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
        let place = self.long_macs.take(permit.identity().name())?;
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

/// Who has how many long MACs under way in a token.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<IdentityName, usize>>);

/// Room for one, until it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    who: IdentityName,
}

impl Places {
    fn take(self: &Arc<Self>, who: &IdentityName) -> Result<Place, TokenError> {
        let mut taken = self.taken();
        let own = taken.get(who).copied().unwrap_or_default();
        for (there, limit) in [(taken.values().sum(), MOST), (own, MOST_OF_ONE)] {
            if there >= limit {
                return Err(TokenError::QueueFull { limit });
            }
        }
        taken.insert(who.clone(), own + 1);
        drop(taken);
        Ok(Place {
            places: Arc::clone(self),
            who: who.clone(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IdentityName, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match taken.get_mut(&self.who) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.remove(&self.who);
            }
        }
    }
}

/// The most long MACs at once: a slow caller holds a session of the token, and tokens have few.
const MOST: usize = 32;
/// And of one caller, who may take his time: there is to be room for others.
const MOST_OF_ONE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_places_of_all() {
        let places = Arc::new(Places::default());
        let take = |who: &str| places.take(&who.parse().unwrap());
        let limit = |taken: Result<Place, TokenError>| match taken {
            Err(TokenError::QueueFull { limit }) => limit,
            other => panic!("{other:?}"),
        };
        let mut own: Vec<_> = (0..8).map(|_| take("spiffe://x/a").unwrap()).collect();
        assert_eq!(limit(take("spiffe://x/a")), 8);
        let others: Vec<_> = ["b", "c", "d"]
            .iter()
            .flat_map(|who| [who; 8])
            .map(|who| take(&format!("spiffe://x/{who}")).unwrap())
            .collect();
        assert_eq!(limit(take("spiffe://x/e")), 32);
        own.pop();
        take("spiffe://x/e").unwrap();
        own.push(take("spiffe://x/a").unwrap());
        drop((own, others));
        assert!(places.taken().is_empty());
    }
}
