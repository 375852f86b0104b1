//! Keeps the tree: reads what was written, extends the tiles, has the root signed, removes what is old.

use std::{
    fs::{self, File},
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{task::spawn_blocking, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::audit::{
    AuditError, Checkpoint, CheckpointFact, Event, Fault, Follower, NoteError, Origin, Pruned,
    SignedCheckpoint, Timestamp, Trouble, Vkey,
    file::{segment_path, segments, write_whole},
    opening::Lock,
    queue::Queue,
    reader,
    sink::Sinks,
    tiles::{Edge, prune_entries},
    tree::Tree,
};

/// The tree's side of a log. There is one, and it holds the log's lock.
#[derive(Debug)]
pub struct Keeper {
    queue: Arc<Queue>,
    directory: PathBuf,
    origin: Origin,
    edge: Edge,
    tree: Tree,
    follower: Follower,
    last: Option<SignedCheckpoint>,
    /// Whether the last checkpoint is in the log.
    told: bool,
    /// The tree's files could not be written: what is in memory is not what is there.
    broken: Option<String>,
    _lock: Lock,
}

/// A checkpoint that is to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    checkpoint: Checkpoint,
}

/// When checkpoints are made, and how long records are kept.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// At the latest after so long, if there are new records.
    pub every: Duration,
    /// After so many new records.
    pub records: u64,
    /// How long records are kept; for ever if none.
    pub retention: Option<Duration>,
}

/// Why there is no checkpoint.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeeperError {
    /// The log failed.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// What was written is not there any more as it was written.
    #[error("the audit log was changed after it was written: {0}")]
    Changed(#[from] Fault),
    /// A file can't be written.
    #[error("the audit log's tree can't be written: {0}")]
    File(String),
    /// The signature is not good.
    #[error("the audit log's checkpoint was not signed: {0}")]
    Note(#[from] NoteError),
    /// The key can't sign.
    #[error("the audit log's checkpoint was not signed: {0}")]
    Sign(String),
}

impl Keeper {
    pub(super) fn new(
        queue: Arc<Queue>,
        directory: PathBuf,
        origin: Origin,
        (edge, tree): (Edge, Tree),
        follower: Follower,
        last: Option<SignedCheckpoint>,
        lock: Lock,
    ) -> Self {
        Self {
            queue,
            directory,
            origin,
            edge,
            tree,
            follower,
            last,
            told: false,
            broken: None,
            _lock: lock,
        }
    }

    /// The last checkpoint.
    pub const fn last(&self) -> Option<&SignedCheckpoint> {
        self.last.as_ref()
    }

    /// How many records no checkpoint covers yet.
    pub fn uncovered(&self) -> u64 {
        let covered = self.last.as_ref().map_or(0, |last| last.checkpoint.size);
        self.queue.durable().size.saturating_sub(covered)
    }

    /// Takes everything that is durable into the tree. `None` if a checkpoint covers it already. Blocks.
    ///
    /// # Errors
    ///
    /// [`KeeperError`]. If what was written is not there any more, the log fails.
    pub fn draft(&mut self) -> Result<Option<Draft>, KeeperError> {
        if let Some(why) = &self.broken {
            return Err(KeeperError::File(format!("{why}; start again to mend it")));
        }
        if self.uncovered() == 0 {
            return Ok(None);
        }
        if self.follower.position() != self.edge.size() {
            return Err(KeeperError::File(
                "the tree is not at the record that is read".to_owned(),
            ));
        }
        if let Some(last) = self.last.as_ref().filter(|_| !self.told) {
            self.told = true;
            drop(self.queue.push(&Event::Checkpoint(CheckpointFact {
                size: last.checkpoint.size,
                root: last.checkpoint.root,
            })));
        }
        self.queue.flush()?;
        let durable = self.queue.durable();
        let mut newest = None;
        while self.follower.position() < durable.size {
            let (line, leaf) = match self.follower.link() {
                Ok(Some(link)) => link,
                Ok(None) => {
                    let ended = self.follower.fault(reader::Wrong::Torn);
                    return Err(changed(&self.queue, ended));
                }
                Err(fault) => return Err(changed(&self.queue, fault)),
            };
            if let Err(error) = self.edge.push(line, leaf) {
                self.broken = Some(error.to_string());
                return Err(file(error));
            }
            self.tree.push(leaf);
            newest = Some(leaf);
        }
        // Each names the one before it, so that with the last one all are what was written.
        if newest.is_some_and(|newest| newest != durable.last) {
            let other = self.follower.fault(reader::Wrong::Written);
            return Err(changed(&self.queue, other));
        }
        self.edge.write_partial().map_err(file)?;
        Ok(Some(Draft {
            checkpoint: Checkpoint {
                origin: self.origin.clone(),
                size: self.edge.size(),
                root: self.tree.root(),
            },
        }))
    }

    /// Puts the signed checkpoint beside the log. Blocks.
    ///
    /// # Errors
    ///
    /// [`KeeperError`].
    pub fn publish(
        &mut self,
        draft: &Draft,
        vkey: &Vkey,
        signature: &[u8],
    ) -> Result<&SignedCheckpoint, KeeperError> {
        let signed = vkey.seal(&draft.checkpoint, signature)?;
        let path = self.directory.join(CHECKPOINT);
        write_whole(&path, signed.text().as_bytes(), true).map_err(file)?;
        self.told = false;
        Ok(self.last.insert(signed))
    }

    /// Writes the public key beside the log, for those who copy it elsewhere. Blocks.
    ///
    /// # Errors
    ///
    /// [`KeeperError`].
    pub fn introduce(&self, vkey: &Vkey) -> Result<(), KeeperError> {
        let path = self.directory.join("vkey");
        write_whole(&path, format!("{vkey}\n").as_bytes(), true).map_err(file)
    }

    /// Removes segments that a checkpoint covers and whose records are all older. Their hashes stay, so that
    /// what is left can still be proven. Blocks.
    ///
    /// # Errors
    ///
    /// [`KeeperError`].
    pub fn prune(&self, before: SystemTime) -> Result<u64, KeeperError> {
        let before = Timestamp::from(before);
        let covered = self.last.as_ref().map_or(0, |last| last.checkpoint.size);
        let list = segments(&self.directory).map_err(file)?;
        let mut left = list.first().copied().unwrap_or(0);
        let first = left;
        for pair in list.windows(2) {
            // A record is not older than the first one after it.
            let next = first_time(&segment_path(&self.directory, pair[1]));
            if pair[1] > covered || next.is_none_or(|next| next >= before) {
                break;
            }
            left = pair[1];
        }
        if left == first {
            return Ok(0);
        }
        // From here on the tiles are all there is of those records.
        let open = File::open(&self.directory).map_err(file)?;
        rustix::fs::syncfs(&open).map_err(|error| file(error.into()))?;
        drop(self.queue.push(&Event::Pruned(Pruned { first: left })));
        self.queue.flush()?;
        for segment in list.into_iter().filter(|segment| *segment < left) {
            fs::remove_file(segment_path(&self.directory, segment)).map_err(file)?;
        }
        prune_entries(&self.directory, first, left).map_err(file)?;
        Ok(left - first)
    }
}

/// Makes checkpoints until it is told to stop, and then the last one. `sign` signs a text with the checkpoint
/// key; while it can't, records go on being made, and the next checkpoint covers them.
pub async fn keep<S, F, E>(
    mut keeper: Keeper,
    schedule: Schedule,
    vkey: Vkey,
    sign: S,
    sinks: Sinks,
    stop: CancellationToken,
) where
    S: Fn(Vec<u8>) -> F + Send,
    F: Future<Output = Result<Vec<u8>, E>> + Send,
    E: std::fmt::Display,
{
    let told = vkey.clone();
    let Some((back, introduced)) = blocking(keeper, move |keeper| keeper.introduce(&told)).await
    else {
        return;
    };
    keeper = back;
    if let Err(error) = introduced {
        tracing::error!(%error, "the audit log's public key is not beside it");
    }
    let mut made = Instant::now();
    let mut looked = None;
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(TICK) => false,
        };
        let uncovered = keeper.uncovered();
        let due = uncovered >= schedule.records || made.elapsed() >= schedule.every;
        if uncovered > 0 && (due || stopping) {
            made = Instant::now();
            let Some((back, result)) = checkpoint(keeper, &vkey, &sign).await else {
                return;
            };
            keeper = back;
            match result {
                Ok(Some(signed)) => sinks.send(&signed).await,
                Ok(None) => {}
                Err(error) => tracing::error!(%error, uncovered, "no checkpoint"),
            }
        }
        if stopping {
            return;
        }
        let day = Timestamp::from(SystemTime::now()).day();
        if let Some(retention) = schedule.retention.filter(|_| looked != Some(day)) {
            looked = Some(day);
            let before = SystemTime::now().checked_sub(retention);
            let prune =
                move |keeper: &mut Keeper| before.map_or(Ok(0), |before| keeper.prune(before));
            let Some((back, pruned)) = blocking(keeper, prune).await else {
                return;
            };
            keeper = back;
            match pruned {
                Ok(0) => {}
                Ok(records) => tracing::info!(records, "old audit records removed"),
                Err(error) => tracing::error!(%error, "old audit records stay"),
            }
        }
    }
}

/// One checkpoint, from the records to the file.
async fn checkpoint<S, F, E>(
    keeper: Keeper,
    vkey: &Vkey,
    sign: &S,
) -> Option<(Keeper, Result<Option<SignedCheckpoint>, KeeperError>)>
where
    S: Fn(Vec<u8>) -> F,
    F: Future<Output = Result<Vec<u8>, E>>,
    E: std::fmt::Display,
{
    let (keeper, draft) = blocking(keeper, Keeper::draft).await?;
    let draft = match draft {
        Ok(Some(draft)) => draft,
        Ok(None) => return Some((keeper, Ok(None))),
        Err(error) => return Some((keeper, Err(error))),
    };
    match sign(draft.body()).await {
        Ok(signature) => {
            let vkey = vkey.clone();
            blocking(keeper, move |keeper| {
                let signed = keeper.publish(&draft, &vkey, &signature);
                signed.cloned().map(Some)
            })
            .await
        }
        Err(error) => Some((keeper, Err(KeeperError::Sign(error.to_string())))),
    }
}

/// Does what blocks on a thread for that; `None` if the program ends meanwhile.
async fn blocking<T: Send + 'static>(
    mut keeper: Keeper,
    what: impl FnOnce(&mut Keeper) -> T + Send + 'static,
) -> Option<(Keeper, T)> {
    let done = spawn_blocking(move || {
        let result = what(&mut keeper);
        (keeper, result)
    });
    done.await.ok()
}

impl Draft {
    /// The text to be signed.
    pub fn body(&self) -> Vec<u8> {
        self.checkpoint.body().into_bytes()
    }

    /// What it says.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

/// What is found changed was changed by somebody else: nothing more is signed.
fn changed(queue: &Queue, fault: Fault) -> KeeperError {
    queue.fail(Trouble::Changed(fault.to_string()));
    KeeperError::Changed(fault)
}

fn file(error: io::Error) -> KeeperError {
    KeeperError::File(error.to_string())
}

/// The time of a segment's first record.
fn first_time(path: &Path) -> Option<Timestamp> {
    use std::io::BufRead;
    let mut line = Vec::new();
    let mut reader = io::BufReader::new(File::open(path).ok()?);
    reader.read_until(b'\n', &mut line).ok()?;
    let line = line.strip_suffix(b"\n")?;
    Some(reader::parse(line).ok()?.time)
}

/// The signed checkpoint's name, as tlog-tiles has it.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// How often it is looked whether a checkpoint is due.
const TICK: Duration = Duration::from_millis(200);
