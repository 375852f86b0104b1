//! Who of those who wait is next at the lanes: one at a time goes through and waits for a free one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering};

use tokio::sync::oneshot;

use super::{Counters, TokenError};
use crate::pkcs11::fair::{FairQueue, Room, Who};

/// A queue with one place at its head.
pub(super) struct Turnstile {
    state: Mutex<State>,
    room: Room,
}

struct State {
    waiting: FairQueue<oneshot::Sender<Result<Turn, TokenError>>>,
    is_taken: bool,
}

/// The place at the head; dropped, it is the next one's.
pub(super) struct Turn(Option<Arc<Turnstile>>);

impl Turnstile {
    pub(super) fn new(room: Room) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                waiting: FairQueue::new(),
                is_taken: false,
            }),
            room,
        })
    }

    /// Whether nobody waits.
    pub(super) fn is_free(&self) -> bool {
        !self.state().is_taken
    }

    /// Waits for a turn with a job of so many bytes.
    pub(super) async fn enter(
        self: &Arc<Self>,
        who: &Who,
        bytes: usize,
        counters: &Counters,
    ) -> Result<Turn, TokenError> {
        let full = || {
            counters.queue_refusals.fetch_add(1, Ordering::Relaxed);
            TokenError::QueueFull {
                limit: self.room.jobs,
            }
        };
        let called = {
            let mut state = self.state();
            if !state.is_taken {
                state.is_taken = true;
                return Ok(Turn(Some(Arc::clone(self))));
            }
            if !state.waiting.has_room(bytes, self.room) {
                state.waiting.clear(oneshot::Sender::is_closed);
            }
            let (call, called) = oneshot::channel();
            let gone = state.waiting.push(who, bytes, call, self.room);
            for gone in gone.map_err(|_| full())? {
                // Who has gone away does not want to know.
                let _ = gone.send(Err(full()));
            }
            called
        };
        called.await.unwrap_or(Err(TokenError::Lost))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turnstile) = self.0.take() else {
            return;
        };
        loop {
            let Some(next) = turnstile.state().waiting_or_free() else {
                return;
            };
            match next.send(Ok(Self(Some(Arc::clone(&turnstile))))) {
                Ok(()) => return,
                // It has gone away. What comes back is no turn any more.
                Err(Ok(mut turn)) => turn.0 = None,
                Err(Err(_)) => {}
            }
        }
    }
}

impl State {
    /// The next one; or nobody, and then the place is free.
    fn waiting_or_free(&mut self) -> Option<oneshot::Sender<Result<Turn, TokenError>>> {
        let next = self.waiting.take(|_| true);
        self.is_taken = next.is_some();
        next
    }
}

/// One who waits for a lane, as it is counted.
pub(super) struct Place<'a>(&'a Counters);

impl<'a> Place<'a> {
    pub(super) fn take(counters: &'a Counters) -> Self {
        counters.queue_length.fetch_add(1, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.queue_length.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn who(name: &str) -> Who {
        Who::from(&Arc::new(Identity::for_test(name)))
    }

    #[tokio::test]
    async fn turns_are_passed_on_also_past_those_who_went_away() {
        let turnstile = Turnstile::new(Room { jobs: 3, bytes: 10 });
        let counters = Arc::new(Counters::default());
        let (order, mut entered) = tokio::sync::mpsc::unbounded_channel();
        let first = turnstile.enter(&who("dns:n.test"), 1, &counters).await;
        let mut tasks = Vec::new();
        for (name, number) in [("dns:n.test", 0), ("dns:n.test", 1), ("dns:n.test", 2)] {
            let (turnstile, counters, order) =
                (Arc::clone(&turnstile), Arc::clone(&counters), order.clone());
            tasks.push(tokio::spawn(async move {
                let turn = turnstile.enter(&who(name), 1, &counters).await?;
                order.send(number).unwrap();
                drop(turn);
                Ok::<_, TokenError>(())
            }));
            tokio::task::yield_now().await;
        }
        // The newest of who has most has to go for another.
        let quiet = tokio::spawn({
            let (turnstile, counters) = (Arc::clone(&turnstile), Arc::clone(&counters));
            async move {
                drop(turnstile.enter(&who("dns:q.test"), 1, &counters).await?);
                order.send(9).unwrap();
                Ok::<_, TokenError>(())
            }
        });
        tokio::task::yield_now().await;
        let gone = tasks.pop().unwrap().await.unwrap();
        assert_eq!(gone, Err(TokenError::QueueFull { limit: 3 }));
        assert_eq!(counters.queue_refusals.load(Ordering::Relaxed), 1);
        // One who waits goes away.
        tasks.remove(0).abort();
        tokio::task::yield_now().await;
        assert!(!turnstile.is_free());
        drop(first);
        quiet.await.unwrap().unwrap();
        tasks.remove(0).await.unwrap().unwrap();
        let mut order = Vec::new();
        while let Ok(number) = entered.try_recv() {
            order.push(number);
        }
        order.sort_unstable();
        assert_eq!(order, [1, 9]);
        assert!(turnstile.is_free());
    }
}
