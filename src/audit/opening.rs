//! Opening a log: it must be ours, not older than what was signed, and whole but for its end.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::FlockOperation;

use crate::audit::{
    Audit, Digest, Event, Fault, Follower, Keeper, NoteError, Opening, Origin, Recovered,
    SignedCheckpoint, Started, Trouble, Word, Wrong,
    file::{LOG, Segment, segment_path, segments, sync_directory, write_whole},
    keeper::CHECKPOINT,
    queue::Queue,
    tiles::{Edge, Tiles},
    tree::{Subtrees, Tree},
    writer::{RESERVE, Writer},
};

/// Why a log can't be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// A file can't be read or written.
    #[error("the audit log {}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Another process has it open.
    #[error(
        "the audit log in {0} is open in another process; each daemon needs a directory of its own"
    )]
    Locked(String),
    /// It is another daemon's.
    #[error(
        "the audit log is {found}'s, expected {expected}; give each daemon a directory of its own, or correct audit.origin"
    )]
    OtherLog {
        /// The configured origin.
        expected: Origin,
        /// The one that the log names.
        found: Origin,
    },
    /// The checkpoint is not a good one.
    #[error("the audit log's checkpoint is not accepted: {0}")]
    Checkpoint(NoteError),
    /// The log is older than its checkpoint.
    #[error(
        "the audit log has {found} records, but a checkpoint for {signed} was signed: its end was lost or an older copy was put in place. Keep it for examination, and begin a log in another directory under another origin"
    )]
    RolledBack {
        /// How many records the checkpoint covers.
        signed: u64,
        /// How many there are.
        found: u64,
    },
    /// The log tells of a checkpoint that is not there.
    #[error(
        "the audit log tells of a checkpoint for {told} records, but {}: it was removed or an older one was put in place, and nothing vouches for what the log says since. Put the file `checkpoint` back, or keep it all for examination, and begin a log in another directory under another origin",
        match found { 0 => "there is none".to_owned(), found => format!("the one that is there is for {found}") }
    )]
    CheckpointGone {
        /// How many records that one covers.
        told: u64,
        /// How many the one that is there covers; 0 if there is none.
        found: u64,
    },
    /// A record is not good, and not because a write was cut short.
    #[error(
        "the audit log is damaged: {0}. Keep it for examination, and begin a log in another directory under another origin"
    )]
    Damaged(Fault),
    /// The records are not those that were signed.
    #[error(
        "the audit log's records are not those of its checkpoint of size {0}. Keep it for examination, and begin a log in another directory under another origin"
    )]
    OtherRecords(u64),
    /// The new log can't be written.
    #[error(transparent)]
    Audit(#[from] super::AuditError),
}

/// What is known of a log before it is written to.
struct Found {
    /// The keeper's follower, at the last checkpoint, and the tree up to there.
    covered: Option<Follower>,
    edge: Edge,
    tree: Tree,
    /// The last segment, and how much of it is good.
    segment: Option<(u64, u64)>,
    day: Option<u64>,
    next: u64,
    previous: Digest,
    recovered: Option<Recovered>,
}

pub(super) fn open(opening: Opening) -> Result<(Audit, Keeper), OpenError> {
    let directory = opening.directory.clone();
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| OpenError::File {
            path: path.clone(),
            cause: error.to_string(),
        }
    };
    let log = directory.join(LOG);
    if !log.is_dir() {
        fs::create_dir(&log).map_err(at(&log))?;
        sync_directory(&directory).map_err(at(&directory))?;
    }
    let lock = lock(&directory)?;
    let signed = checkpoint(&opening)?;
    let found = find(&opening, signed.as_ref())?;

    let room = opening.segment_bytes + RESERVE;
    let segment = match found.segment {
        Some((first, length)) => Segment::resume(&directory, first, length, room),
        None => Segment::create(&directory, 0, room),
    }
    .map_err(at(&log))?;
    let queue = Arc::new(Queue::new(found.next, found.previous, opening.clock));
    let writer = Writer {
        queue: Arc::clone(&queue),
        directory: directory.clone(),
        durability: opening.durability,
        segment_bytes: opening.segment_bytes,
        segment,
        day: found.day,
        next: found.next,
        previous: found.previous,
        lines: Vec::new(),
        waiting: Vec::new(),
        unflushed: 0,
        looked: Instant::now(),
        flushed: Instant::now(),
        flush: Duration::ZERO,
    };
    thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || {
            let _panic = Panic(Arc::clone(&writer.queue));
            writer.run();
        })
        .map_err(at(&log))?;
    let audit = Audit {
        queue: Arc::clone(&queue),
        directory: directory.clone(),
    };
    if let Some(recovered) = found.recovered {
        drop(audit.record(Event::Recovered(recovered)));
    }
    drop(audit.record(Event::Started(Started {
        origin: opening.origin.clone(),
        program: Word::new(env!("CARGO_PKG_VERSION")),
        policy: opening.policy,
        config: opening.config,
    })));
    queue.flush()?;
    let follower = match found.covered {
        Some(follower) => follower,
        None => Follower::begin(&directory, &opening.origin, None).map_err(OpenError::Damaged)?,
    };
    let keeper = Keeper::new(
        queue,
        directory,
        opening.origin,
        (found.edge, found.tree),
        follower,
        signed,
        lock,
    );
    Ok((audit, keeper))
}

/// The right to write a log.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Closing alone would leave it to a child process that is just being started, for as long as that takes.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn lock(directory: &Path) -> Result<Lock, OpenError> {
    let path = directory.join("lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o640);
    let file = options.open(&path).map_err(|error| OpenError::File {
        path,
        cause: error.to_string(),
    })?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| OpenError::Locked(directory.display().to_string()))?;
    Ok(Lock(file))
}

/// The checkpoint that was signed last, if it is ours.
fn checkpoint(opening: &Opening) -> Result<Option<SignedCheckpoint>, OpenError> {
    let path = opening.directory.join(CHECKPOINT);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| OpenError::File {
            path,
            cause: error.to_string(),
        })?,
    };
    let signed: SignedCheckpoint = text.parse().map_err(OpenError::Checkpoint)?;
    if signed.checkpoint.origin != opening.origin {
        return Err(OpenError::OtherLog {
            expected: opening.origin.clone(),
            found: signed.checkpoint.origin,
        });
    }
    let mut verdict = Ok(());
    for vkey in &opening.vkeys {
        verdict = signed.verified(vkey).map(drop);
        if verdict.is_ok() {
            break;
        }
    }
    verdict.map_err(OpenError::Checkpoint)?;
    Ok(Some(signed))
}

/// Reads what the checkpoint does not vouch for, and enough before it to see that it belongs to it.
fn find(opening: &Opening, signed: Option<&SignedCheckpoint>) -> Result<Found, OpenError> {
    let directory = &opening.directory;
    let unreadable = |error: io::Error| OpenError::File {
        path: directory.clone(),
        cause: error.to_string(),
    };
    let list = segments(directory).map_err(unreadable)?;
    let (size, root) = signed.map_or((0, None), |signed| {
        (signed.checkpoint.size, Some(signed.checkpoint.root))
    });
    let Some(last_segment) = list.last().copied() else {
        return match size {
            0 => Ok(Found::nothing(opening)),
            signed => Err(OpenError::RolledBack { signed, found: 0 }),
        };
    };
    let loaded = Edge::load(directory, size)
        .and_then(|edge| Ok((edge, Tree::load(&mut Tiles::new(directory, size), size)?)));
    let (mut edge, mut tree, from) = match loaded {
        Ok((edge, tree)) if root.is_none_or(|root| tree.root() == root) => {
            let from = list.iter().rfind(|first| **first <= size).copied();
            (edge, tree, from.unwrap_or(0))
        }
        // Tiles that a power failure took are made again, as long as all records are there.
        _ => (Edge::empty(directory), Tree::default(), 0),
    };
    if from == 0 {
        edge = Edge::empty(directory);
        tree = Tree::default();
    }
    let damaged = |fault| OpenError::Damaged(fault);
    let mut follower = if from == 0 {
        Follower::begin(directory, &opening.origin, None)
    } else {
        // A segment that begins where the checkpoint ends must name the last record that it covers.
        let before = (from == size).then(|| Tiles::new(directory, size).subtree(0, size - 1));
        let before = before.transpose().map_err(unreadable)?;
        Follower::at_segment(directory, from, before)
    }
    .map_err(damaged)?;
    let here = follower.position() == size;
    let mut covered = here.then(|| follower.again()).transpose();
    let mut day = None;
    let mut day_of = follower.place().0;
    let mut told = 0;
    let recovered = loop {
        let position = follower.position();
        let read = follower.read().map(|followed| {
            followed.map(|followed| (followed.record, followed.line.to_vec(), followed.leaf))
        });
        match read {
            Ok(Some((record, line, leaf))) => {
                if let Event::Started(started) = &record.event
                    && started.origin != opening.origin
                {
                    return Err(OpenError::OtherLog {
                        expected: opening.origin.clone(),
                        found: started.origin.clone(),
                    });
                }
                if let Event::Checkpoint(fact) = &record.event {
                    told = told.max(fact.size);
                }
                if position < size && from == 0 {
                    edge.push(&line, leaf).map_err(unreadable)?;
                    tree.push(leaf);
                }
                if position + 1 == size {
                    let expected = Tiles::new(directory, size).subtree(0, position);
                    if from != 0 && expected.map_err(unreadable)? != leaf
                        || root.is_some_and(|root| root != tree.root())
                    {
                        return Err(OpenError::OtherRecords(size));
                    }
                    covered = follower.again().map(Some);
                }
                if follower.place().0 != day_of {
                    (day, day_of) = (None, follower.place().0);
                }
                day.get_or_insert_with(|| record.time.day());
            }
            Ok(None) => break None,
            Err(fault) if position < size => {
                return Err(match fault.what {
                    Wrong::Torn => OpenError::RolledBack {
                        signed: size,
                        found: position,
                    },
                    _ => OpenError::Damaged(fault),
                });
            }
            Err(fault) => break Some(set_aside(directory, &follower, last_segment, fault)?),
        }
    };
    if follower.position() < size {
        return Err(OpenError::RolledBack {
            signed: size,
            found: follower.position(),
        });
    }
    // A record of it is made only when it is on the disk.
    if told > size {
        return Err(OpenError::CheckpointGone { told, found: size });
    }
    let (mut segment, mut length) = follower.place();
    if last_segment > segment {
        // The next segment was made, and nothing was written to it.
        (segment, length, day) = (last_segment, 0, None);
        if segment != follower.position() {
            return Err(OpenError::Damaged(follower.fault(Wrong::Gap(segment))));
        }
    }
    let previous = follower.previous();
    Ok(Found {
        covered: covered.map_err(damaged)?,
        edge,
        tree,
        segment: Some((segment, length)),
        day,
        next: follower.position(),
        previous: previous.unwrap_or_else(|| opening.origin.beginning()),
        recovered,
    })
}

/// Copies what follows the last good record to a file of its own. A line that is a record but does not follow
/// the one before it was not cut short: somebody wrote it.
fn set_aside(
    directory: &Path,
    follower: &Follower,
    last_segment: u64,
    fault: Fault,
) -> Result<Recovered, OpenError> {
    let (segment, at) = follower.place();
    let cut_short = matches!(fault.what, Wrong::Torn | Wrong::Malformed(_));
    if !cut_short || segment != last_segment {
        return Err(OpenError::Damaged(fault));
    }
    let path = segment_path(directory, segment);
    let failed = |error: io::Error| OpenError::File {
        path: path.clone(),
        cause: error.to_string(),
    };
    let mut file = File::open(&path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length - at > MOST_TORN {
        return Err(OpenError::Damaged(fault));
    }
    let mut torn = Vec::new();
    file.seek(SeekFrom::Start(at)).map_err(failed)?;
    file.read_to_end(&mut torn).map_err(failed)?;
    let kept = directory.join(format!("torn-{:020}", follower.position()));
    write_whole(&kept, &torn, true).map_err(failed)?;
    tracing::warn!(
        bytes = torn.len(),
        kept = %kept.display(),
        "the audit log ended in a record that was not written whole; it was set aside"
    );
    Ok(Recovered {
        bytes: torn.len() as u64,
        sha256: Digest::of(&torn),
    })
}

/// Were the writer to panic, nobody would be answered any more; better that they learn it at once.
struct Panic(Arc<Queue>);

impl Drop for Panic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(Trouble::Gone);
        }
    }
}

impl Found {
    fn nothing(opening: &Opening) -> Self {
        Self {
            covered: None,
            edge: Edge::empty(&opening.directory),
            tree: Tree::default(),
            segment: None,
            day: None,
            next: 0,
            previous: opening.origin.beginning(),
            recovered: None,
        }
    }
}

/// More than this is never with the kernel and not on the disk.
const MOST_TORN: u64 = 16 << 20;
