//! The daemon's side of the workers: starting them, handing out their lanes, and killing those that hang.
//!
//! A worker has lanes, each served by a thread with a session of its own, and one side lane for what is
//! slow or sticks to one worker: making keys, listing, checks, the chunks of long MACs. A job takes the
//! next free lane, when it is its turn: see [`fair`](super::fair). A job that outlives `operation_timeout` costs its worker
//! its life; what else was in flight there is lost with it and tried once more elsewhere, which is harmless,
//! since no result had left.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::{
    net::UnixStream,
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{
    TokenError,
    config::Config,
    errors::{Fault, Treatment},
    fair::{Room, Who},
    keys::{Declaration, KeyTable},
    known::Known,
    protocol::{self, Inventory, Problem, Reply, Request},
};
use crate::key::KeyVersion;

use exchange::{Broken, exchange};
use turnstile::{Place, Turnstile};

mod exchange;
mod launch;
mod turnstile;

/// How a token is, as far as callers are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// No worker is up yet, and none has failed.
    Starting,
    /// At least one worker is up.
    Ready,
    /// No worker can be started, or the token fails at everything; the text says why.
    Down(String),
}

/// What is counted, for the metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Workers that were started and came up.
    pub worker_starts: AtomicU64,
    /// Starts that failed.
    pub worker_start_failures: AtomicU64,
    /// Workers that were killed because a job outlived its time.
    pub worker_hangs: AtomicU64,
    /// Workers that died of themselves, or were ended because the token failed.
    pub worker_losses: AtomicU64,
    /// Jobs that waited for a lane and were refused because the queue was full.
    pub queue_refusals: AtomicU64,
    /// Jobs now waiting for a lane.
    pub queue_length: AtomicUsize,
}

/// The workers of one token. Dropping it kills them.
pub(super) struct Pool {
    shared: Arc<Shared>,
    _supervisors: JoinSet<()>,
}

struct Shared {
    config: Config,
    executable: PathBuf,
    state_directory: PathBuf,
    /// As many permits as there are lanes here.
    free: Semaphore,
    /// Those who wait for one.
    turnstile: Arc<Turnstile>,
    lanes: Mutex<Vec<Lane>>,
    workers: Mutex<Vec<Arc<Worker>>>,
    health: watch::Sender<Health>,
    /// The newest listing, and the keys that it makes. Replaced together, under `publishing`.
    listed: ArcSwap<Listed>,
    publishing: tokio::sync::Mutex<()>,
    declarations: Arc<[Declaration]>,
    /// How many keys were made so far: a listing that was begun before the last of them may lack it.
    made: AtomicU64,
    /// One worker starts at a time, so that its time to start is its own.
    starting: tokio::sync::Mutex<()>,
    stopping: AtomicBool,
    /// Failures of the token since something last went well.
    device_failures: AtomicUsize,
    counters: Counters,
}

struct Lane {
    stream: UnixStream,
    worker: Arc<Worker>,
}

/// One worker process, while it lives.
pub(super) struct Worker {
    alive: AtomicBool,
    /// Whether it has done anything well.
    proved: AtomicBool,
    killed: Notify,
    side: tokio::sync::Mutex<UnixStream>,
}

/// Whether a job may be done twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Nothing is changed by it.
    Once,
    /// It makes something: if its outcome is not known, that is said.
    Never,
}

/// When a listing was begun; see [`Pool::publish`].
#[derive(Clone, Copy)]
pub(super) struct Begun(u64);

/// What a listing came with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause<'a> {
    /// A key was made, and is in it.
    Made,
    /// This version was destroyed, and is not in it.
    Destroyed(&'a KeyVersion),
    /// Somebody looked for all that is known.
    Seen,
}

impl Pool {
    /// Starts the supervisors of all workers; does not wait for any.
    pub(super) fn start(
        config: Config,
        declarations: Vec<Declaration>,
        executable: PathBuf,
        state_directory: PathBuf,
    ) -> Self {
        let workers = config.workers;
        let room = Room {
            jobs: config.queue,
            bytes: config.queue_bytes,
        };
        let shared = Arc::new(Shared {
            config,
            executable,
            state_directory,
            free: Semaphore::new(0),
            turnstile: Turnstile::new(room),
            lanes: Mutex::default(),
            workers: Mutex::default(),
            health: watch::Sender::new(Health::Starting),
            listed: ArcSwap::default(),
            publishing: tokio::sync::Mutex::default(),
            declarations: declarations.into(),
            made: AtomicU64::new(0),
            starting: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
            device_failures: AtomicUsize::new(0),
            counters: Counters::default(),
        });
        let mut supervisors = JoinSet::new();
        for number in 0..workers {
            supervisors.spawn(launch::supervise(Arc::clone(&shared), number));
        }
        Self {
            shared,
            _supervisors: supervisors,
        }
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// The newest listing, and the keys that it makes.
    pub(super) fn listed(&self) -> Guard<Arc<Listed>> {
        self.shared.listed.load()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// How many jobs can run at once.
    pub(super) fn width(&self) -> usize {
        self.shared.config.workers * self.shared.config.threads
    }

    pub(super) fn operation_timeout(&self) -> Duration {
        self.shared.config.operation_timeout
    }

    /// Does a job on the next free lane.
    pub(super) async fn run(
        &self,
        who: &Who,
        request: &Request,
        deadline: Instant,
    ) -> Result<Reply, TokenError> {
        let frame = protocol::encode(request).map_err(|_| TokenError::TooLarge)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut lane = self.shared.acquire(who, frame.len(), deadline).await?;
            let outcome = exchange(
                &mut lane.stream,
                &frame,
                self.shared.config.operation_timeout,
            )
            .await;
            let again = tries < 2 && Instant::now() < deadline;
            match self.shared.judge(&lane.worker, outcome) {
                Verdict::Answer(reply) => {
                    self.shared.release(lane);
                    return Ok(reply);
                }
                Verdict::Failed(fault) => {
                    self.shared.release(lane);
                    return Err(TokenError::Fault(fault));
                }
                Verdict::Again(_) if again => {}
                Verdict::Again(error) => return Err(error),
            }
        }
    }

    /// Does a job on the side lane of any worker.
    pub(super) async fn run_aside(
        &self,
        request: &Request,
        deadline: Instant,
        limit: Duration,
        repeat: Repeat,
    ) -> Result<Reply, TokenError> {
        let frame = protocol::encode(request).map_err(|_| TokenError::TooLarge)?;
        let mut tries = 0;
        loop {
            let worker = self.worker(deadline).await?;
            // One that died before it was told anything has done nothing: another is asked.
            let Some(outcome) = self.try_on(&worker, &frame, limit).await else {
                continue;
            };
            tries += 1;
            let again = tries < 2 && repeat == Repeat::Once && Instant::now() < deadline;
            match outcome {
                Err(error) if again && error.is_transient() => {}
                Err(error) if repeat == Repeat::Never && error.is_transient() => {
                    return Err(TokenError::OutcomeUnknown);
                }
                done => return done,
            }
        }
    }

    /// Does a job on the side lane of this worker, and on no other.
    pub(super) async fn run_on(
        &self,
        worker: &Arc<Worker>,
        request: &Request,
        limit: Duration,
    ) -> Result<Reply, TokenError> {
        let frame = protocol::encode(request).map_err(|_| TokenError::TooLarge)?;
        self.try_on(worker, &frame, limit)
            .await
            .unwrap_or(Err(TokenError::Lost))
    }

    /// `None` if the worker was dead before anything was sent to it.
    async fn try_on(
        &self,
        worker: &Arc<Worker>,
        frame: &[u8],
        limit: Duration,
    ) -> Option<Result<Reply, TokenError>> {
        let mut side = worker.side.lock().await;
        if !worker.alive.load(Ordering::Acquire) {
            return None;
        }
        let mut fuse = Fuse { worker, lit: true };
        let outcome = exchange(&mut side, frame, limit).await;
        fuse.lit = false;
        Some(match self.shared.judge(worker, outcome) {
            Verdict::Answer(reply) => Ok(reply),
            Verdict::Failed(fault) => Err(TokenError::Fault(fault)),
            Verdict::Again(error) => Err(error),
        })
    }

    /// Any living worker; each in turn.
    pub(super) async fn worker(&self, deadline: Instant) -> Result<Arc<Worker>, TokenError> {
        let mut health = self.shared.health.subscribe();
        loop {
            {
                let mut workers = self
                    .shared
                    .workers
                    .lock()
                    .expect("nothing panics while holding it");
                workers.retain(|worker| worker.alive.load(Ordering::Acquire));
                if !workers.is_empty() {
                    workers.rotate_left(1);
                    return Ok(Arc::clone(&workers[0]));
                }
            }
            if let Health::Down(why) = &*health.borrow_and_update() {
                return Err(TokenError::Down(why.clone()));
            }
            timeout_at(deadline, health.changed())
                .await
                .map_err(|_| TokenError::Deadline)?
                .map_err(|_| TokenError::Lost)?;
        }
    }

    /// Starts no more workers, and waits a little for one that is just starting: if it were killed while it logs
    /// in, SoftHSM 2.6 would leave a token that can't be read any more.
    pub(super) async fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        let _ = timeout(STARTING, self.shared.starting.lock()).await;
    }

    /// To be taken before a listing is asked for.
    pub(super) fn begin(&self) -> Begun {
        self.shared.begin()
    }

    /// Puts a listing that a job brought back in force, unless another key was made meanwhile, or one is missing
    /// that nobody looked for again: then another listing is to be made, and `false` is the answer.
    pub(super) async fn publish(
        &self,
        begun: Begun,
        cause: Cause<'_>,
        inventory: Inventory,
    ) -> bool {
        self.shared.publish(begun, cause, inventory).await
    }
}

/// A lane that is dropped instead of released had a job in flight or a worker that failed: either way its
/// stream can't be trusted and its place is lost, so the worker is replaced.
impl Drop for Lane {
    fn drop(&mut self) {
        self.worker.end();
    }
}

/// The same for a job on a side lane that is cut off.
struct Fuse<'a> {
    worker: &'a Worker,
    lit: bool,
}

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        if self.lit {
            self.worker.end();
        }
    }
}

/// What is to be done with a reply, or with the lack of one.
enum Verdict {
    Answer(Reply),
    Failed(Fault),
    Again(TokenError),
}

/// What was found in the token.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) inventory: Inventory,
    pub(super) keys: Arc<KeyTable>,
}

impl Shared {
    /// Makes the table of a listing, if it differs from the last, and puts both in force.
    async fn publish(&self, begun: Begun, cause: Cause<'_>, inventory: Inventory) -> bool {
        let _order = self.publishing.lock().await;
        let known = || Known::from(&self.listed.load().inventory);
        let expected = match cause {
            Cause::Made => known(),
            Cause::Destroyed(version) => known().without(version),
            Cause::Seen => Known::default(),
        };
        let current = self.made.load(Ordering::Acquire) == begun.0
            && expected.is_borne_out_by(&Known::from(&inventory));
        if cause != Cause::Seen {
            self.made.fetch_add(1, Ordering::AcqRel);
        }
        if !current || self.listed.load().inventory == inventory {
            return current;
        }
        let (token, declarations) = (self.config.name.clone(), Arc::clone(&self.declarations));
        // A thousand points on curves are checked: too long for a thread that serves the network.
        let made = tokio::task::spawn_blocking(move || {
            let keys = Arc::new(KeyTable::new(&token, &inventory, &declarations));
            Listed { inventory, keys }
        });
        let Ok(listed) = made.await else {
            tracing::error!(token = %self.config.name, "the token's listing could not be read; the last one stays in force");
            return false;
        };
        let known = self.listed.load();
        let new = |problem: &&Problem| !known.keys.problems().contains(problem);
        for problem in listed.keys.problems().iter().filter(new) {
            tracing::warn!(token = %self.config.name, label = problem.label, problem = problem.text, "an object in the token can't be served");
        }
        self.listed.store(Arc::new(listed));
        true
    }

    async fn acquire(
        &self,
        who: &Who,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Lane, TokenError> {
        loop {
            // Nobody goes past those who wait.
            let free = self.turnstile.is_free().then(|| self.free.try_acquire());
            match free {
                Some(Ok(permit)) => permit.forget(),
                None | Some(Err(_)) => self.wait(who, bytes, deadline).await?,
            }
            let lane = self
                .lanes
                .lock()
                .expect("nothing panics while holding it")
                .pop();
            // A lane of a dead worker is dropped, and with it its place.
            if let Some(lane) = lane.filter(|lane| lane.worker.alive.load(Ordering::Acquire)) {
                return Ok(lane);
            }
        }
    }

    async fn wait(&self, who: &Who, bytes: usize, deadline: Instant) -> Result<(), TokenError> {
        let _place = Place::take(&self.counters);
        let mut health = self.health.subscribe();
        let lane = async {
            let _turn = self.turnstile.enter(who, bytes, &self.counters).await?;
            let permit = self.free.acquire().await;
            permit.map_err(|_| TokenError::Lost)?.forget();
            Ok(())
        };
        tokio::select! {
            biased;
            lane = lane => lane,
            down = health.wait_for(|health| matches!(health, Health::Down(_))) => {
                let why = match down.as_deref() {
                    Ok(Health::Down(why)) => why.clone(),
                    _ => "the daemon is stopping".to_owned(),
                };
                Err(TokenError::Down(why))
            }
            () = tokio::time::sleep_until(deadline) => Err(TokenError::Deadline),
        }
    }

    fn release(&self, lane: Lane) {
        let mut lanes = self.lanes.lock().expect("nothing panics while holding it");
        // Looked at under the lock: what comes after `forget` would stay for good.
        if lane.worker.alive.load(Ordering::Acquire) {
            lanes.push(lane);
            drop(lanes);
            self.free.add_permits(1);
        }
    }

    /// Takes back the lanes of a worker that is dead: those at the bottom of the pile may never be asked for.
    fn forget(&self, worker: &Arc<Worker>) {
        let gone: Vec<Lane> = self
            .lanes
            .lock()
            .expect("nothing panics while holding it")
            .extract_if(.., |lane| Arc::ptr_eq(&lane.worker, worker))
            .collect();
        // Where fewer places are free, as many jobs have one and are about to find no lane with it; they ask
        // again.
        self.free.forget_permits(gone.len());
        self.workers
            .lock()
            .expect("nothing panics while holding it")
            .retain(|other| !Arc::ptr_eq(other, worker));
    }

    fn begin(&self) -> Begun {
        Begun(self.made.load(Ordering::Acquire))
    }

    /// Something went well: so the token is not down, whatever was thought.
    fn went_well(&self, worker: &Worker) {
        worker.proved.store(true, Ordering::Relaxed);
        if self.device_failures.swap(0, Ordering::Relaxed) > 0 {
            self.health.send_if_modified(|health| {
                let down = matches!(health, Health::Down(_));
                if down {
                    *health = Health::Ready;
                }
                down
            });
        }
    }

    /// Decides what a reply says of the worker that gave it; a bad one is ended here.
    fn judge(&self, worker: &Arc<Worker>, outcome: Result<Reply, Broken>) -> Verdict {
        let reply = match outcome {
            Ok(reply) => reply,
            Err(Broken::Hung) => {
                self.counters.worker_hangs.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(token = %self.config.name, "a token operation hung; its worker is killed");
                worker.end();
                return Verdict::Again(TokenError::Hung);
            }
            Err(Broken::Lost) => {
                worker.end();
                return Verdict::Again(TokenError::Lost);
            }
        };
        let worst = match &reply {
            Reply::Failed(fault) => Some(fault),
            Reply::Signed(results) => results
                .iter()
                .filter_map(|result| result.as_ref().err())
                .max_by_key(|fault| fault.gravity()),
            Reply::Bytes(_)
            | Reply::Inventory(_)
            | Reply::Exists
            | Reply::Refused(_)
            | Reply::Done => None,
        };
        let Some(fault) = worst.cloned() else {
            self.went_well(worker);
            return Verdict::Answer(reply);
        };
        match fault.treatment {
            Treatment::Recycle | Treatment::Session => {
                tracing::warn!(token = %self.config.name, %fault, "session lost; the worker is started anew");
                worker.end();
                Verdict::Again(TokenError::Fault(fault))
            }
            Treatment::Device | Treatment::Pin => {
                let failures = self.device_failures.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::error!(token = %self.config.name, %fault, failures, "the token failed; the worker is started anew");
                if failures >= DOWN_AFTER {
                    self.health.send_replace(Health::Down(fault.to_string()));
                }
                worker.end();
                Verdict::Again(TokenError::Fault(fault))
            }
            Treatment::CallersInput | Treatment::Pressure | Treatment::Configuration => match reply
            {
                Reply::Failed(fault) => Verdict::Failed(fault),
                other => Verdict::Answer(other),
            },
        }
    }
}

impl Worker {
    /// Has it killed; its supervisor starts another.
    fn end(&self) {
        self.alive.store(false, Ordering::Release);
        self.killed.notify_one();
    }
}

impl Fault {
    const fn gravity(&self) -> u8 {
        match self.treatment {
            Treatment::CallersInput => 0,
            Treatment::Configuration => 1,
            Treatment::Pressure => 2,
            Treatment::Session => 3,
            Treatment::Recycle => 4,
            Treatment::Device => 5,
            Treatment::Pin => 6,
        }
    }
}

/// After so many failures of the token in a row it is said to be down.
const DOWN_AFTER: usize = 3;

/// So long a worker that is starting is waited for when the daemon stops.
const STARTING: Duration = Duration::from_secs(3);
