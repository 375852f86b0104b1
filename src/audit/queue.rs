//! What waits to be written: bounded, numbered as it comes, never written after a failure.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::oneshot;

use crate::audit::{AuditError, Event, Health, Timestamp, Trouble};

/// The door between those who act and the thread that writes.
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    failure: OnceLock<Arc<Trouble>>,
    durable: AtomicU64,
    /// When the writer began what it does, in milliseconds after `epoch`, plus one; 0 while it waits.
    busy: AtomicU64,
    epoch: Instant,
    clock: fn() -> SystemTime,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    flushes: Vec<Waiter>,
    next: u64,
    /// Intents without an outcome: there must be room for those too.
    open: usize,
    closed: bool,
}

/// One record to be written.
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) time: Timestamp,
    pub(super) event: Event,
    /// Is told when the record is durable; dropped, the one who waits learns that the log failed.
    pub(super) waiter: Option<Waiter>,
}

pub(super) type Waiter = oneshot::Sender<()>;

/// What the writer is to do next.
pub(super) struct Work {
    pub(super) entries: Vec<Entry>,
    /// To be told when everything so far is on the disk, whatever the durability.
    pub(super) flushes: Vec<Waiter>,
    /// Nothing comes after this.
    pub(super) last: bool,
}

impl Queue {
    pub(super) fn new(next: u64, clock: fn() -> SystemTime) -> Self {
        Self {
            state: Mutex::new(State {
                next,
                ..State::default()
            }),
            wake: Condvar::new(),
            failure: OnceLock::new(),
            durable: AtomicU64::new(next),
            busy: AtomicU64::new(0),
            epoch: Instant::now(),
            clock,
        }
    }

    /// Takes an intent; there will be room for its outcome.
    pub(super) fn push_intent(&self, event: Event) -> Result<u64, AuditError> {
        if self.stalled().is_some_and(|stalled| stalled > PATIENCE) {
            return Err(AuditError::Stalled);
        }
        let mut state = self.open_state()?;
        if state.entries.len() + state.open >= MOST {
            return Err(AuditError::Full);
        }
        state.open += 1;
        let sequence = self.number(&mut state, event, None);
        self.wake.notify_one();
        Ok(sequence)
    }

    /// Takes outcomes of intents, with one waiter on the last of them.
    pub(super) fn push_outcomes(
        self: &Arc<Self>,
        events: Vec<Event>,
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        let mut state = self.state();
        state.open = state.open.saturating_sub(events.len());
        let taken = self.refused(&state).map_or(Ok(()), Err);
        let taken = taken.map(|()| {
            let (waiter, waiting) = oneshot::channel();
            let mut events = events.into_iter().peekable();
            let mut waiter = Some(waiter);
            while let Some(event) = events.next() {
                let waiter = waiter.take_if(|_| events.peek().is_none());
                self.number(&mut state, event, waiter);
            }
            self.wake.notify_one();
            // Without events the waiter is still here, and nothing is to be waited for.
            if let Some(waiter) = waiter {
                let _ = waiter.send(());
            }
            waiting
        });
        drop(state);
        self.wait(taken)
    }

    /// Takes the outcome that nobody waits for.
    pub(super) fn push_abandoned(&self, event: Event) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        if self.refused(&state).is_none() {
            self.number(&mut state, event, None);
            self.wake.notify_one();
        }
    }

    /// Takes any other record.
    pub(super) fn push(
        self: &Arc<Self>,
        event: Event,
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        let taken = self.open_state().and_then(|mut state| {
            if state.entries.len() + state.open >= MOST {
                return Err(AuditError::Full);
            }
            let (waiter, waiting) = oneshot::channel();
            self.number(&mut state, event, Some(waiter));
            self.wake.notify_one();
            Ok(waiting)
        });
        self.wait(taken)
    }

    /// Waits until everything so far is on the disk. Blocks.
    pub(super) fn flush(&self) -> Result<(), AuditError> {
        let mut state = self.state();
        match self.refused(&state) {
            // What was written before the end is on the disk.
            Some(AuditError::Closed) if state.entries.is_empty() => return Ok(()),
            Some(AuditError::Closed) | None => {}
            Some(error) => return Err(error),
        }
        let (waiter, waiting) = oneshot::channel();
        state.flushes.push(waiter);
        self.wake.notify_one();
        drop(state);
        waiting.blocking_recv().map_err(|_| self.failed())
    }

    /// Takes what waits, or nothing after a while; the writer's side.
    pub(super) fn take(&self, patience: Duration) -> Work {
        self.busy.store(0, Ordering::Relaxed);
        let state = self.state();
        let (mut state, _) = self
            .wake
            .wait_timeout_while(state, patience, |state| {
                state.entries.is_empty() && state.flushes.is_empty() && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        let work = Work {
            entries: std::mem::take(&mut state.entries),
            flushes: std::mem::take(&mut state.flushes),
            last: state.closed,
        };
        drop(state);
        self.busy.store(self.now() + 1, Ordering::Relaxed);
        work
    }

    /// So many records are durable.
    pub(super) fn set_durable(&self, size: u64) {
        self.durable.store(size, Ordering::Release);
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Nothing is written from now on. What waits is dropped, and so told.
    pub(super) fn fail(&self, trouble: Trouble) {
        let mut state = self.state();
        let _ = self.failure.set(Arc::new(trouble));
        state.entries.clear();
        state.flushes.clear();
        self.wake.notify_one();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.wake.notify_one();
    }

    pub(super) fn health(&self) -> Health {
        if let Some(trouble) = self.failure.get() {
            return Health::Failed(Arc::clone(trouble));
        }
        if self.state().closed {
            return Health::Closed;
        }
        match self.stalled() {
            Some(stalled) if stalled > PATIENCE => Health::Stalled(stalled),
            _ => Health::Good,
        }
    }

    pub(super) fn time(&self) -> Timestamp {
        (self.clock)().into()
    }

    /// Gives a record its number and time: what is in the queue is in the order of both.
    fn number(&self, state: &mut State, event: Event, waiter: Option<Waiter>) -> u64 {
        let sequence = state.next;
        state.next += 1;
        state.entries.push(Entry {
            sequence,
            time: self.time(),
            event,
            waiter,
        });
        sequence
    }

    fn wait(
        self: &Arc<Self>,
        taken: Result<oneshot::Receiver<()>, AuditError>,
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        let queue = Arc::clone(self);
        async move { taken?.await.map_err(|_| queue.failed()) }
    }

    fn failed(&self) -> AuditError {
        let trouble = self.failure.get().cloned();
        AuditError::Failed(trouble.unwrap_or_else(|| Arc::new(Trouble::Gone)))
    }

    fn refused(&self, state: &State) -> Option<AuditError> {
        match self.failure.get() {
            Some(_) => Some(self.failed()),
            None => state.closed.then_some(AuditError::Closed),
        }
    }

    fn open_state(&self) -> Result<MutexGuard<'_, State>, AuditError> {
        let state = self.state();
        self.refused(&state).map_or(Ok(()), Err)?;
        Ok(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stalled(&self) -> Option<Duration> {
        match self.busy.load(Ordering::Relaxed) {
            0 => None,
            since => Some(Duration::from_millis(self.now().saturating_sub(since - 1))),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Queue")
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}

/// Records that wait, and outcomes that will come.
const MOST: usize = 16_384;
/// How long the disk may take before nothing new is begun.
const PATIENCE: Duration = Duration::from_secs(2);
