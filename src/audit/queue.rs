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

use tokio::sync::{mpsc, oneshot};

use crate::audit::{AuditError, Digest, Event, Health, Intent, Outcome, Timestamp, Trouble, line};

/// The door between those who act and the thread that writes.
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    failure: OnceLock<Arc<Trouble>>,
    durable: Mutex<Durable>,
    /// Where those who wait are told, if not by the writer itself.
    teller: OnceLock<mpsc::UnboundedSender<Vec<Waiter>>>,
    /// When the writer began what it does, in milliseconds after `epoch`, plus one; 0 while it waits.
    busy: AtomicU64,
    epoch: Instant,
    clock: fn() -> SystemTime,
}

#[derive(Default)]
struct State {
    work: Work,
    next: u64,
    /// Intents without an outcome: there must be room for those too.
    open: usize,
    rest: Rest,
}

/// What the writer does, for those who might have to wake it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    /// It writes, or has been woken: it comes back and looks.
    #[default]
    Awake,
    /// It has nothing to do.
    Idle,
    /// It looks again before long: until then an intent may wait for its outcome, or for another's.
    Lingering,
    /// It has something, and others are about to come with whom it can share a flush.
    Gathering,
}

/// What is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Durable {
    /// How many records.
    pub(super) size: u64,
    /// The last one's hash.
    pub(super) last: Digest,
}

/// One record to be written.
pub(super) struct Entry {
    pub(super) time: Timestamp,
    /// How long its event is, which is in [`Work::events`].
    pub(super) length: usize,
    /// Is told when the record is durable; dropped, the one who waits learns that the log failed.
    pub(super) waiter: Option<Waiter>,
}

pub(super) type Waiter = oneshot::Sender<()>;
/// What was taken, and will be durable, or why it was not.
pub(super) type Taken = Result<oneshot::Receiver<()>, AuditError>;

/// What the writer is to do next.
#[derive(Default)]
pub(super) struct Work {
    /// In the order of their numbers.
    pub(super) entries: Vec<Entry>,
    /// Their events as lines have them, one after the other.
    pub(super) events: Vec<u8>,
    /// How many of them may not be kept waiting: all but intents.
    urgent: usize,
    /// To be told when everything so far is on the disk, whatever the durability.
    pub(super) flushes: Vec<Waiter>,
    /// Nothing comes after this.
    pub(super) last: bool,
}

impl Queue {
    /// After so many records, with that hash of the last.
    pub(super) fn new(next: u64, last: Digest, clock: fn() -> SystemTime) -> Self {
        Self {
            state: Mutex::new(State {
                next,
                ..State::default()
            }),
            wake: Condvar::new(),
            failure: OnceLock::new(),
            durable: Mutex::new(Durable { size: next, last }),
            teller: OnceLock::new(),
            busy: AtomicU64::new(0),
            epoch: Instant::now(),
            clock,
        }
    }

    /// Takes an intent; there will be room for its outcome.
    pub(super) fn push_intent(&self, intent: &Intent) -> Result<u64, AuditError> {
        if self.stalled().is_some_and(|stalled| stalled > PATIENCE) {
            return Err(AuditError::Stalled);
        }
        let event = line::intent(intent);
        let mut state = self.open_state()?;
        if state.work.entries.len() + state.open >= MOST {
            return Err(AuditError::Full);
        }
        state.open += 1;
        let sequence = self.number(&mut state, |line| line.extend_from_slice(&event), None);
        self.came(state);
        Ok(sequence)
    }

    /// Takes outcomes of intents, with one waiter on the last of them, for [`Queue::wait`].
    pub(super) fn push_outcomes(&self, outcomes: impl ExactSizeIterator<Item = Outcome>) -> Taken {
        let mut left = outcomes.len();
        let mut state = self.state();
        state.open = state.open.saturating_sub(left);
        let taken = self.refused(&state).map_or(Ok(()), Err);
        let taken = taken.map(|()| {
            let (waiter, waiting) = oneshot::channel();
            let mut waiter = Some(waiter);
            for outcome in outcomes {
                left -= 1;
                let waiter = waiter.take_if(|_| left == 0);
                self.number(&mut state, |line| line::outcome(line, &outcome), waiter);
                state.work.urgent += 1;
            }
            // Without events the waiter is still here, and nothing is to be waited for.
            if let Some(waiter) = waiter {
                let _ = waiter.send(());
            }
            waiting
        });
        self.came(state);
        taken
    }

    /// Takes the outcome that nobody waits for.
    pub(super) fn push_abandoned(&self, outcome: &Outcome) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        if self.refused(&state).is_none() {
            self.number(&mut state, |line| line::outcome(line, outcome), None);
            state.work.urgent += 1;
            self.came(state);
        }
    }

    /// Takes any other record.
    pub(super) fn push(
        self: &Arc<Self>,
        event: &Event,
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        let event = line::event(event);
        let taken = self.open_state().and_then(|mut state| {
            if state.work.entries.len() + state.open >= MOST {
                return Err(AuditError::Full);
            }
            let (waiter, waiting) = oneshot::channel();
            let write = |line: &mut Vec<u8>| line.extend_from_slice(&event);
            self.number(&mut state, write, Some(waiter));
            state.work.urgent += 1;
            self.came(state);
            Ok(waiting)
        });
        self.wait(taken)
    }

    /// Ready when everything so far is on the disk.
    pub(super) fn on_disk(
        self: &Arc<Self>,
    ) -> impl Future<Output = Result<(), AuditError>> + Send + use<> {
        let taken = self.open_state().map(|mut state| {
            let (waiter, waiting) = oneshot::channel();
            state.work.flushes.push(waiter);
            self.came(state);
            waiting
        });
        self.wait(taken)
    }

    /// Waits until everything so far is on the disk. Blocks.
    pub(super) fn flush(&self) -> Result<(), AuditError> {
        let mut state = self.state();
        match self.refused(&state) {
            // What was written before the end is on the disk.
            Some(AuditError::Closed) if state.work.entries.is_empty() => return Ok(()),
            Some(AuditError::Closed) | None => {}
            Some(error) => return Err(error),
        }
        let (waiter, waiting) = oneshot::channel();
        state.work.flushes.push(waiter);
        self.came(state);
        waiting.blocking_recv().map_err(|_| self.failed())
    }

    /// Takes what waits into `work`, or nothing after a while; the writer's side. Before `flushed` no flush is wanted, unless
    /// more operations wait for one than are still under way: those will then share it.
    pub(super) fn take(&self, work: &mut Work, patience: Duration, flushed: Instant) {
        self.busy.store(0, Ordering::Relaxed);
        work.clear();
        let mut state = self.rest(self.state(), Rest::Lingering, LINGERS);
        if state.work.is_empty() {
            state = self.rest(state, Rest::Idle, patience);
        }
        let left = flushed.saturating_duration_since(Instant::now());
        if !state.work.is_empty() && !left.is_zero() {
            state = self.rest(state, Rest::Gathering, left);
        }
        state.rest = Rest::Awake;
        std::mem::swap(&mut state.work, work);
        state.work.last = work.last;
        drop(state);
        self.busy.store(self.now() + 1, Ordering::Relaxed);
    }

    fn rest<'a>(
        &self,
        state: MutexGuard<'a, State>,
        so: Rest,
        patience: Duration,
    ) -> MutexGuard<'a, State> {
        let rested = self
            .wake
            .wait_timeout_while(state, patience, |state| state.rests(so));
        rested.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Tells those who waited that what they waited for is durable.
    pub(super) fn tell(&self, waiting: Vec<Waiter>) {
        let waiting = match self.teller.get() {
            Some(teller) => teller.send(waiting).err().map(|unsent| unsent.0),
            None => Some(waiting),
        };
        waiting.into_iter().for_each(tell);
    }

    /// Has a task tell them, until the log is dropped.
    pub(super) fn teller(&self) -> impl Future<Output = ()> + Send + use<> {
        let (teller, mut told) = mpsc::unbounded_channel();
        // There is one already: this one has nothing to do.
        let _ = self.teller.set(teller);
        async move {
            while let Some(waiting) = told.recv().await {
                tell(waiting);
            }
        }
    }

    /// So many records are durable, the last of them with this hash.
    pub(super) fn set_durable(&self, size: u64, last: Digest) {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = Durable { size, last };
    }

    pub(super) fn durable(&self) -> Durable {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is written from now on. What waits is dropped, and so told.
    pub(super) fn fail(&self, trouble: Trouble) {
        let mut state = self.state();
        let _ = self.failure.set(Arc::new(trouble));
        state.work.clear();
        self.came(state);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    pub(super) fn close(&self) {
        let mut state = self.state();
        state.work.last = true;
        self.came(state);
    }

    pub(super) fn health(&self) -> Health {
        if let Some(trouble) = self.failure.get() {
            return Health::Failed(Arc::clone(trouble));
        }
        if self.state().work.last {
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
    fn number(
        &self,
        state: &mut State,
        write: impl FnOnce(&mut Vec<u8>),
        waiter: Option<Waiter>,
    ) -> u64 {
        let sequence = state.next;
        state.next += 1;
        let begin = state.work.events.len();
        write(&mut state.work.events);
        state.work.entries.push(Entry {
            time: self.time(),
            length: state.work.events.len() - begin,
            waiter,
        });
        sequence
    }

    /// Something came. To wake a thread takes a system call, so it is done once, and only if there is need.
    fn came(&self, mut state: MutexGuard<'_, State>) {
        let wake = match state.rest {
            Rest::Awake => false,
            Rest::Idle => true,
            Rest::Lingering => state.is_pressing(),
            Rest::Gathering => state.is_due(),
        };
        if wake {
            state.rest = Rest::Awake;
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Waits for what was taken to be durable.
    pub(super) fn wait(
        self: &Arc<Self>,
        taken: Taken,
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
            None => state.work.last.then_some(AuditError::Closed),
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

impl State {
    /// Whether the writer goes on resting so; tells those who might have to wake it.
    fn rests(&mut self, so: Rest) -> bool {
        let rests = match so {
            Rest::Awake => false,
            Rest::Idle => self.work.is_empty(),
            Rest::Lingering => !self.is_pressing(),
            Rest::Gathering => !self.is_due(),
        };
        self.rest = if rests { so } else { Rest::Awake };
        rests
    }

    /// Whether there is more than a few intents.
    fn is_pressing(&self) -> bool {
        let work = &self.work;
        work.last || !work.flushes.is_empty() || work.urgent > 0 || work.events.len() > FEW
    }

    /// Whether what waits should be written now: as many wait for it as could still come.
    fn is_due(&self) -> bool {
        let work = &self.work;
        work.last || !work.flushes.is_empty() || work.urgent > 0 && work.urgent >= self.open
    }
}

impl Work {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.flushes.is_empty() && !self.last
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.events.clear();
        self.events.shrink_to(KEPT);
        self.urgent = 0;
        self.flushes.clear();
    }
}

fn tell(waiting: Vec<Waiter>) {
    for waiter in waiting {
        // Who has gone away does not want to know.
        let _ = waiter.send(());
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Queue")
            .field("durable", &self.durable().size)
            .finish_non_exhaustive()
    }
}

/// Records that wait, and outcomes that will come.
const MOST: usize = 16_384;
/// How long the disk may take before nothing new is begun.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many bytes of intents wait for an outcome: of a batch, much is written while the token is at work.
const FEW: usize = 16 << 10;
/// How long an intent that nothing follows waits to be written.
const LINGERS: Duration = Duration::from_millis(10);
/// Memory for events that is kept for the next ones, in bytes.
const KEPT: usize = 1 << 20;
