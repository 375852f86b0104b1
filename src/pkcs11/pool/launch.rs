//! Keeping a worker alive: starting the process, noticing its end, and not starting it too often.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
    sync::Notify,
    time::{Instant, timeout},
};

use super::{
    super::{
        errors::{Fault, Treatment},
        known::Known,
        protocol::{self, Inventory, Setup, StartError, Started},
        worker::MAX_LANES,
    },
    Cause, Health, Lane, Shared, Worker,
};

/// Keeps one worker alive.
pub(super) async fn supervise(shared: Arc<Shared>, number: usize) {
    let mut failures = 0_u32;
    loop {
        let turn = shared.starting.lock().await;
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let begun = shared.begin();
        let spawned = spawn(&shared).await;
        drop(turn);
        match spawned {
            Ok(Spawned {
                child,
                control,
                worker,
                lanes,
                inventory,
            }) => {
                let mut child = Up(child);
                shared
                    .counters
                    .worker_starts
                    .fetch_add(1, Ordering::Relaxed);
                tracing::info!(token = %shared.config.name, worker = number, pid = child.0.id(), keys = inventory.keys.len(), "worker ready");
                // One that is out of date says nothing that is not known better.
                shared.publish(begun, Cause::Seen, inventory).await;
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
                    _ = child.0.wait() => {}
                    () = worker.killed.notified() => {}
                }
                worker.alive.store(false, Ordering::Release);
                shared.forget(&worker);
                shared
                    .counters
                    .worker_losses
                    .fetch_add(1, Ordering::Relaxed);
                kill(&mut child.0);
                let status = child.0.wait().await.ok();
                drop(control);
                tracing::warn!(token = %shared.config.name, worker = number, status = status.map(tracing::field::display), "worker ended");
                // One that lived for a while or did some good is replaced at once.
                let good = worker.proved.load(Ordering::Relaxed);
                failures = if good || came_up.elapsed() > STEADY {
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

/// A worker that is up, and goes with its supervisor. One that is still starting does not: it ends of itself when the
/// daemon is gone, but not in the middle of a log-in, which would leave a SoftHSM token that nobody can read.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        kill(&mut self.0);
    }
}

fn kill(child: &mut Child) {
    // Already dead, or about to be; either is what is wanted.
    let _ = child.start_kill();
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
        .process_group(0);
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
        known: Known::from(&shared.listed.load().inventory),
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
            let status = match timeout(DYING, child.wait()).await {
                Ok(status) => status.map_err(failed)?.to_string(),
                Err(_) => {
                    kill(&mut child);
                    "it said something that is not understood".to_owned()
                }
            };
            return Err(failed(io::Error::other(format!(
                "it died before it was ready ({status}); the module may have crashed"
            ))));
        }
        Err(_) => {
            kill(&mut child);
            return Err(failed(io::Error::other(format!(
                "it was not ready after {:?}",
                config.start_timeout
            ))));
        }
    };
    let side = ours.pop().expect("one lane more than threads was made");
    let worker = Arc::new(Worker {
        alive: AtomicBool::new(true),
        proved: AtomicBool::new(false),
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

/// A worker that lived so long did not die of its start.
const STEADY: Duration = Duration::from_secs(2);

/// After so long a worker that closed its socket is dead.
const DYING: Duration = Duration::from_secs(1);

/// The rest of the environment is the daemon's own business.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "TZ", "RUST_LOG", "CREDENTIALS_DIRECTORY"];
