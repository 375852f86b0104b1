//! The daemon's side of the workers: starting them, handing out their lanes, and killing those that hang.
//!
//! A worker has lanes, each served by a thread with a session of its own, and one side lane for what is
//! slow or sticks to one worker: making keys, listing, checks, the chunks of long MACs. A job takes the
//! next free lane, in the order in which jobs came. A job that outlives `operation_timeout` costs its worker
//! its life; what else was in flight there is lost with it and tried once more elsewhere, which is harmless,
//! since no result had left.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use zeroize::Zeroizing;

use super::{
    TokenError,
    config::Config,
    errors::{Fault, Treatment},
    keys::{Declaration, KeyTable},
    protocol::{self, Inventory, Reply, Request, Setup, StartError, Started},
    worker::MAX_LANES,
};

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
    lanes: Mutex<Vec<Lane>>,
    workers: Mutex<Vec<Arc<Worker>>>,
    health: watch::Sender<Health>,
    /// The newest listing, and the keys that it makes. Replaced together, under `publishing`.
    listed: ArcSwap<Listed>,
    publishing: tokio::sync::Mutex<()>,
    /// How many listings of jobs have been put in force.
    generation: AtomicU64,
    declarations: Arc<[Declaration]>,
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

/// Why a lane gave no reply.
enum Broken {
    Hung,
    Lost,
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
        let shared = Arc::new(Shared {
            config,
            executable,
            state_directory,
            free: Semaphore::new(0),
            lanes: Mutex::default(),
            workers: Mutex::default(),
            health: watch::Sender::new(Health::Starting),
            listed: ArcSwap::default(),
            publishing: tokio::sync::Mutex::default(),
            generation: AtomicU64::new(0),
            declarations: declarations.into(),
            device_failures: AtomicUsize::new(0),
            counters: Counters::default(),
        });
        let mut supervisors = JoinSet::new();
        for number in 0..workers {
            supervisors.spawn(supervise(Arc::clone(&shared), number));
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

    /// Does a job on the next free lane.
    pub(super) async fn run(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Reply, TokenError> {
        let frame = protocol::encode(request).map_err(|_| TokenError::TooLarge)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut lane = self.shared.acquire(deadline).await?;
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
        let mut tries = 0;
        loop {
            tries += 1;
            let worker = self.worker(deadline).await?;
            let again = tries < 2 && repeat == Repeat::Once && Instant::now() < deadline;
            match self.run_on(&worker, request, limit).await {
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
        let mut side = worker.side.lock().await;
        if !worker.alive.load(Ordering::Acquire) {
            return Err(TokenError::Lost);
        }
        let mut fuse = Fuse { worker, lit: true };
        let outcome = exchange(&mut side, &frame, limit).await;
        fuse.lit = false;
        match self.shared.judge(worker, outcome) {
            Verdict::Answer(reply) => Ok(reply),
            Verdict::Failed(fault) => Err(TokenError::Fault(fault)),
            Verdict::Again(error) => Err(error),
        }
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

    /// Puts a listing that a job brought back in force.
    pub(super) async fn publish(&self, inventory: Inventory) {
        self.shared.generation.fetch_add(1, Ordering::Relaxed);
        self.shared.publish(inventory).await;
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
    async fn publish(&self, inventory: Inventory) {
        let _order = self.publishing.lock().await;
        if self.listed.load().inventory == inventory {
            return;
        }
        let (token, declarations) = (self.config.name.clone(), Arc::clone(&self.declarations));
        // A thousand points on curves are checked: too long for a thread that serves the network.
        let made = tokio::task::spawn_blocking(move || Listed {
            keys: Arc::new(KeyTable::new(&token, &inventory, &declarations)),
            inventory,
        });
        let Ok(listed) = made.await else {
            tracing::error!(token = %self.config.name, "the token's listing could not be read; the last one stays in force");
            return;
        };
        for problem in listed.keys.problems() {
            tracing::warn!(token = %self.config.name, label = problem.label, problem = problem.text, "an object in the token can't be served");
        }
        self.listed.store(Arc::new(listed));
    }

    async fn acquire(&self, deadline: Instant) -> Result<Lane, TokenError> {
        loop {
            match self.free.try_acquire() {
                Ok(permit) => permit.forget(),
                Err(_) => self.wait(deadline).await?,
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

    async fn wait(&self, deadline: Instant) -> Result<(), TokenError> {
        let _place = Place::take(&self.counters, self.config.queue)?;
        let mut health = self.health.subscribe();
        tokio::select! {
            biased;
            permit = self.free.acquire() => {
                permit.map_err(|_| TokenError::Lost)?.forget();
                Ok(())
            }
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
        self.lanes
            .lock()
            .expect("nothing panics while holding it")
            .push(lane);
        self.free.add_permits(1);
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
            Reply::Bytes(_) | Reply::Inventory(_) | Reply::Done => None,
        };
        let Some(fault) = worst.cloned() else {
            self.device_failures.store(0, Ordering::Relaxed);
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

/// A place in the queue for a lane.
struct Place<'a>(&'a Counters);

impl<'a> Place<'a> {
    fn take(counters: &'a Counters, limit: usize) -> Result<Self, TokenError> {
        let before = counters.queue_length.fetch_add(1, Ordering::Relaxed);
        let place = Self(counters);
        if before < limit {
            Ok(place)
        } else {
            counters.queue_refusals.fetch_add(1, Ordering::Relaxed);
            Err(TokenError::QueueFull { limit })
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.queue_length.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends one frame and reads one. The limit is the operation's own, never the caller's: a caller in a hurry
/// must not cost a worker its life.
async fn exchange(stream: &mut UnixStream, frame: &[u8], limit: Duration) -> Result<Reply, Broken> {
    let work = async {
        stream.write_all(frame).await?;
        let reply = read_frame(stream).await?;
        protocol::decode(&reply[protocol::PREFIX..])
    };
    match timeout(limit, work).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(_)) => Err(Broken::Lost),
        Err(_) => Err(Broken::Hung),
    }
}

/// Reads a frame, most often with one call to the system: what came short of the buffer's room also tells
/// the runtime that nothing is left, so that it does not ask in vain the next time.
async fn read_frame(stream: &mut UnixStream) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut frame = Zeroizing::new(Vec::with_capacity(FIRST_READ));
    let mut whole = protocol::PREFIX;
    while frame.len() < whole {
        if stream.read_buf(&mut *frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(prefix) = frame.first_chunk() {
            whole = protocol::PREFIX + protocol::body_length(*prefix)?;
            if frame.capacity() < whole {
                // Not grown in place, which would leave what it holds behind.
                let mut larger = Zeroizing::new(Vec::with_capacity(whole));
                larger.extend_from_slice(&frame);
                frame = larger;
            }
        }
    }
    if frame.len() > whole {
        return Err(io::Error::other("more than one reply to one request"));
    }
    Ok(frame)
}

/// Room for the reply to one operation.
const FIRST_READ: usize = 1024;

/// Keeps one worker alive.
async fn supervise(shared: Arc<Shared>, number: usize) {
    let mut failures = 0_u32;
    loop {
        let generation = shared.generation.load(Ordering::Relaxed);
        match spawn(&shared).await {
            Ok(Spawned {
                mut child,
                control,
                worker,
                lanes,
                inventory,
            }) => {
                shared
                    .counters
                    .worker_starts
                    .fetch_add(1, Ordering::Relaxed);
                tracing::info!(token = %shared.config.name, worker = number, pid = child.id(), keys = inventory.keys.len(), "worker ready");
                // A key may have been made meanwhile, which this listing lacks.
                if shared.generation.load(Ordering::Relaxed) == generation {
                    shared.publish(inventory).await;
                }
                shared
                    .workers
                    .lock()
                    .expect("nothing panics while holding it")
                    .push(Arc::clone(&worker));
                for stream in lanes {
                    shared.release(Lane {
                        stream,
                        worker: Arc::clone(&worker),
                    });
                }
                shared.health.send_replace(Health::Ready);
                let came_up = Instant::now();
                tokio::select! {
                    _ = child.wait() => {
                        tracing::warn!(token = %shared.config.name, worker = number, "worker died");
                    }
                    () = worker.killed.notified() => {}
                }
                worker.alive.store(false, Ordering::Release);
                shared
                    .counters
                    .worker_losses
                    .fetch_add(1, Ordering::Relaxed);
                // Already dead, or about to be; either is what is wanted.
                let _ = child.start_kill();
                let _ = child.wait().await;
                drop(control);
                // One that lived for a while is replaced at once.
                failures = if came_up.elapsed() > STEADY {
                    0
                } else {
                    failures.saturating_add(1)
                };
            }
            Err(error) => {
                shared
                    .counters
                    .worker_start_failures
                    .fetch_add(1, Ordering::Relaxed);
                tracing::error!(token = %shared.config.name, worker = number, %error, "worker did not start");
                let others = shared
                    .workers
                    .lock()
                    .expect("nothing panics while holding it")
                    .iter()
                    .any(|worker| worker.alive.load(Ordering::Acquire));
                if !others {
                    shared.health.send_replace(Health::Down(error.to_string()));
                }
                failures = failures.saturating_add(if error.is_about_the_pin() { 8 } else { 1 });
            }
        }
        let broken = shared.device_failures.load(Ordering::Relaxed);
        if failures > 1 || broken > 0 {
            tokio::time::sleep(pause(
                failures.max(u32::try_from(broken).unwrap_or(u32::MAX)),
            ))
            .await;
        }
    }
}

/// 20 ms, doubled for every failure up to 5 s, with up to a quarter taken off so that workers don't march in step.
fn pause(failures: u32) -> Duration {
    let full = Duration::from_millis(20) * 2_u32.pow(failures.min(8));
    let full = full.min(Duration::from_secs(5));
    let mut random = [0];
    // Without random numbers there is no jitter, which is no reason not to wait.
    let _ = aws_lc_rs::rand::fill(&mut random);
    full - full / 4 * u32::from(random[0]) / 256
}

struct Spawned {
    child: Child,
    control: UnixStream,
    worker: Arc<Worker>,
    lanes: Vec<UnixStream>,
    inventory: Inventory,
}

async fn spawn(shared: &Shared) -> Result<Spawned, StartError> {
    let failed = |error: io::Error| {
        StartError::Token(Fault::new(
            Treatment::Device,
            "starting a worker process",
            error.to_string(),
        ))
    };
    let config = &shared.config;
    let (control, theirs) = UnixStream::pair().map_err(failed)?;
    let theirs = OwnedFd::from(theirs.into_std().map_err(failed)?);
    // The worker reads and writes this one blockingly.
    rustix::io::ioctl_fionbio(&theirs, false).map_err(|error| failed(error.into()))?;
    let mut command = Command::new(&shared.executable);
    command
        .arg0("chanceryd")
        .arg("worker")
        .env_clear()
        .envs(
            PASSED_ON
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .envs(&config.environment)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        // Ctrl-C on a terminal is meant for the daemon, which drains first.
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    drop(command);
    let mut ours = Vec::new();
    let mut sent = Vec::new();
    for _ in 0..=config.threads.min(MAX_LANES - 1) {
        let (here, there) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        here.set_nonblocking(true).map_err(failed)?;
        ours.push(UnixStream::from_std(here).map_err(failed)?);
        sent.push(there);
    }
    send_lanes(&control, &sent).map_err(failed)?;
    let setup = Setup {
        module: config.module.clone(),
        token: config.selector(),
        pin: config.pin.clone(),
        state_directory: shared.state_directory.clone(),
        lanes: sent.len(),
        start_attempts: 5,
        start_pause: Duration::from_millis(50),
    };
    drop(sent);
    let mut control = control;
    let started = async {
        control.write_all(&protocol::encode(&setup)?).await?;
        let mut prefix = [0; 4];
        control.read_exact(&mut prefix).await?;
        let mut body = vec![0; protocol::body_length(prefix)?];
        control.read_exact(&mut body).await?;
        protocol::decode::<Started>(&body)
    };
    let inventory = match timeout(config.start_timeout, started).await {
        Ok(Ok(started)) => started?,
        Ok(Err(_)) => {
            let status = child.wait().await.map_err(failed)?;
            return Err(failed(io::Error::other(format!(
                "it died before it was ready ({status}); the module may have crashed"
            ))));
        }
        Err(_) => {
            return Err(failed(io::Error::other(format!(
                "it was not ready after {:?}",
                config.start_timeout
            ))));
        }
    };
    let side = ours.pop().expect("one lane more than threads was made");
    let worker = Arc::new(Worker {
        alive: AtomicBool::new(true),
        killed: Notify::new(),
        side: tokio::sync::Mutex::new(side),
    });
    Ok(Spawned {
        child,
        control,
        worker,
        lanes: ours,
        inventory,
    })
}

fn send_lanes(control: &UnixStream, lanes: &[std::os::unix::net::UnixStream]) -> io::Result<()> {
    let descriptors: Vec<_> = lanes.iter().map(AsFd::as_fd).collect();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_LANES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("too many lanes"));
    }
    rustix::net::sendmsg(
        control,
        &[io::IoSlice::new(&[0])],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// After so many failures of the token in a row it is said to be down.
const DOWN_AFTER: usize = 3;

/// A worker that lived so long did not die of its start.
const STEADY: Duration = Duration::from_secs(2);

/// The rest of the environment is the daemon's own business.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "TZ", "RUST_LOG", "CREDENTIALS_DIRECTORY"];
