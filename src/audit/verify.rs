//! Examines a whole log: every record, the chain, the tree, what was signed, what came of each intent.
//!
//! Reading and hashing use all cores; what depends on the order is done after, record by record.

use std::{
    collections::BTreeMap,
    collections::HashSet,
    fs::File,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    thread,
};

use crate::audit::{
    Checkpoint, Digest, Fault, NoteError, Origin, SignedCheckpoint, Timestamp, Vkey, Wrong,
    file::{segment_path, segments},
    keeper::CHECKPOINT,
    look::{Look, Looked, What},
    reader::check_link,
    tiles::Tiles,
    tree::{Subtrees, Tree},
};

/// How a log is to be examined.
pub struct Verification<'a> {
    directory: PathBuf,
    vkey: Option<Vkey>,
    against: Vec<SignedCheckpoint>,
    progress: Box<dyn FnMut(u64) + 'a>,
    threads: usize,
}

/// What a good log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of the first record that is still there.
    pub first: u64,
    /// How many records are there.
    pub records: u64,
    /// How many records from the very first on a checkpoint vouches for.
    pub covered: u64,
    /// Intents without an outcome: the daemon ended between the two, and whether it acted is unknown.
    pub unknown: u64,
    /// How often the time went back.
    pub time_went_back: u64,
    /// How many starts there are; a start that follows no stop follows a crash.
    pub starts: u64,
    /// How many records there are of each kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Bytes at the end that are not a whole record: the next start will set them aside.
    pub torn: u64,
    /// The root of the tree of all records.
    pub root: Option<Digest>,
}

/// Why a log is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGood {
    /// A record is not.
    #[error(transparent)]
    Record(#[from] Fault),
    /// A checkpoint is not.
    #[error("{which}: {error}")]
    Checkpoint {
        /// Which.
        which: String,
        /// Why.
        error: NoteError,
    },
    /// There is no checkpoint, or no key to verify it with: nothing can be said.
    #[error("{0}")]
    Nothing(String),
}

/// A line, looked at, and how long it is with its end.
type Line = (Result<Looked, Wrong>, usize);

impl<'a> Verification<'a> {
    /// Of the log in a directory. Without a key, signatures are not looked at.
    pub fn new(directory: &Path, vkey: Option<Vkey>) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self {
            directory: directory.to_owned(),
            vkey,
            against: vec![],
            progress: Box::new(|_| {}),
            threads,
        }
    }

    /// Also against a checkpoint that was kept elsewhere: what it covers must be there unchanged.
    #[must_use]
    pub fn against(mut self, checkpoint: SignedCheckpoint) -> Self {
        self.against.push(checkpoint);
        self
    }

    /// Tells how many bytes have been examined, now and then.
    #[must_use]
    pub fn progress(mut self, told: impl FnMut(u64) + 'a) -> Self {
        self.progress = Box::new(told);
        self
    }

    /// Examines the log.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn run(mut self) -> Result<Report, NotGood> {
        let (origin, checkpoints) = self.checkpoints()?;
        let list = segments(&self.directory).map_err(|error| {
            NotGood::Nothing(format!("{}: {error}", self.directory.join("log").display()))
        })?;
        let mut examination = Examination::begin(&self.directory, origin, checkpoints, &list)?;
        let mut looks: Vec<_> = (0..self.threads).map(|_| Look::default()).collect();
        let mut read = 0;
        for (index, first) in list.iter().enumerate() {
            let path = segment_path(&self.directory, *first);
            examination.begin_segment(path.clone(), *first)?;
            let last = index + 1 == list.len();
            let mut file = File::open(&path).map_err(|error| examination.unreadable(&error))?;
            let mut rest = Vec::new();
            loop {
                let begin = rest.len();
                let window = WINDOW as u64 * self.threads as u64;
                let got = (&mut file).take(window).read_to_end(&mut rest);
                let got = got.map_err(|error| examination.unreadable(&error))?;
                let whole = rest.iter().rposition(|byte| *byte == b'\n');
                let whole = whole.map_or(0, |end| end + 1);
                examination.lines(&rest[..whole], &mut looks)?;
                rest.drain(..whole);
                read += got as u64;
                (self.progress)(read);
                if got == 0 || (whole == 0 && begin > window as usize) {
                    break;
                }
            }
            if !rest.is_empty() {
                examination.torn(rest.len() as u64, last)?;
            }
        }
        examination.end()
    }

    /// What the log is to be compared with, in order of size.
    fn checkpoints(&self) -> Result<(Option<Origin>, Vec<Checkpoint>), NotGood> {
        let path = self.directory.join(CHECKPOINT);
        let own = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => {
                let text =
                    read.map_err(|error| NotGood::Nothing(format!("{}: {error}", path.display())))?;
                let parsed = text.parse::<SignedCheckpoint>();
                Some(parsed.map_err(|error| NotGood::Checkpoint {
                    which: path.display().to_string(),
                    error,
                })?)
            }
        };
        let mut found = Vec::new();
        let own = own.iter().map(|one| (path.display().to_string(), one));
        let kept = self.against.iter().map(|one| {
            let size = one.checkpoint.size;
            (format!("the checkpoint of size {size} that was given"), one)
        });
        for (which, signed) in own.chain(kept) {
            let verified = match &self.vkey {
                Some(vkey) => signed.verified(vkey).map(drop),
                None => Ok(()),
            };
            verified.map_err(|error| NotGood::Checkpoint { which, error })?;
            found.push(signed.checkpoint.clone());
        }
        if self.vkey.is_some() && found.is_empty() {
            return Err(NotGood::Nothing(format!(
                "{}: there is no checkpoint, so nothing says that these are all records; expected one beside the log, or give one that was kept elsewhere",
                path.display()
            )));
        }
        found.sort_by_key(|checkpoint| checkpoint.size);
        let origin = found.first().map(|checkpoint| checkpoint.origin.clone());
        let origin = origin.or_else(|| self.vkey.as_ref().map(|vkey| vkey.name().clone()));
        if let Some(other) = found
            .iter()
            .find(|one| Some(&one.origin) != origin.as_ref())
        {
            return Err(NotGood::Checkpoint {
                which: format!("the checkpoint of size {}", other.size),
                error: NoteError::Origin,
            });
        }
        Ok((origin, found))
    }
}

/// What is known so far.
struct Examination {
    origin: Option<Origin>,
    /// Those not come by yet, largest first.
    checkpoints: Vec<Checkpoint>,
    tree: Tree,
    previous: Option<Digest>,
    segment: PathBuf,
    at: u64,
    next: u64,
    last_time: Option<Timestamp>,
    open: HashSet<u64>,
    report: Report,
}

impl Examination {
    fn begin(
        directory: &Path,
        origin: Option<Origin>,
        checkpoints: Vec<Checkpoint>,
        list: &[u64],
    ) -> Result<Self, NotGood> {
        let first = list.first().copied().unwrap_or(0);
        let mut examination = Self {
            previous: origin.as_ref().map(Origin::beginning),
            origin,
            tree: Tree::default(),
            segment: segment_path(directory, first),
            at: 0,
            next: first,
            last_time: None,
            open: HashSet::new(),
            report: Report {
                first,
                ..Report::default()
            },
            checkpoints: checkpoints.into_iter().rev().collect(),
        };
        let newest = examination.checkpoints.first().map(|newest| newest.size);
        if first > 0 {
            // Of what was removed the tiles are left; that they are the right ones shows at the next root.
            let Some(size) = newest.filter(|size| *size >= first) else {
                let what = "no checkpoint covers them".to_owned();
                return Err(examination.wrong(Wrong::Tiles(what)));
            };
            let mut tiles = Tiles::new(directory, size);
            let loaded = tiles
                .subtree(0, first - 1)
                .and_then(|previous| Ok((previous, Tree::load(&mut tiles, first)?)));
            let (previous, tree) =
                loaded.map_err(|error| examination.wrong(Wrong::Tiles(error.to_string())))?;
            examination.previous = Some(previous);
            // A checkpoint within what was removed: its root is known from the tiles alone.
            while let Some(older) = examination.checkpoints.pop_if(|one| one.size < first) {
                let tree = Tree::load(&mut tiles, older.size)
                    .map_err(|error| examination.wrong(Wrong::Tiles(error.to_string())))?;
                if tree.root() != older.root {
                    return Err(examination.wrong(Wrong::Root(older.size)));
                }
            }
            examination.tree = tree;
        }
        examination.compare()?;
        Ok(examination)
    }

    fn begin_segment(&mut self, path: PathBuf, first: u64) -> Result<(), NotGood> {
        if first != self.next {
            return Err(self.wrong(Wrong::Gap(first)));
        }
        (self.segment, self.at) = (path, 0);
        Ok(())
    }

    /// Looks at whole lines, in parallel, then at their order.
    fn lines(&mut self, lines: &[u8], looks: &mut [Look]) -> Result<(), NotGood> {
        // A thread is worth its start for some hundred records.
        let parts = split(lines, looks.len().min(1 + lines.len() / (64 << 10)));
        let looked: Vec<Vec<Line>> = thread::scope(|scope| {
            let mut work = parts.into_iter().zip(looks);
            let Some((first, own)) = work.next() else {
                return vec![];
            };
            let others: Vec<_> = work
                .map(|(part, look)| scope.spawn(|| look_at(look, &lines[part])))
                .collect();
            let mut looked = vec![look_at(own, &lines[first])];
            looked.extend(others.into_iter().map(|other| {
                other.join().unwrap_or_else(|_| {
                    vec![(Err(Wrong::Malformed("it can't be read".to_owned())), 0)]
                })
            }));
            looked
        });
        for (one, length) in looked.into_iter().flatten() {
            match one {
                Ok(looked) => self.record(looked)?,
                Err(what) => return Err(self.wrong(what)),
            }
            self.at += length as u64;
        }
        Ok(())
    }

    fn record(&mut self, looked: Looked) -> Result<(), NotGood> {
        let Looked { head, leaf, what } = looked;
        if let Err(wrong) = check_link(&head, self.next, self.previous) {
            return Err(self.wrong(match (wrong, &self.origin) {
                (Wrong::Chain, Some(origin)) if self.next == 0 => Wrong::Beginning(origin.clone()),
                (wrong, _) => wrong,
            }));
        }
        *self.report.kinds.entry(what.kind()).or_default() += 1;
        if self.last_time.is_some_and(|last| head.time < last) {
            self.report.time_went_back += 1;
        }
        self.last_time = Some(head.time);
        match what {
            What::Intent => {
                self.open.insert(self.next);
            }
            What::Outcome(intent) => {
                // The intent of one at the begin may be among what was removed.
                let known = self.open.remove(&intent);
                if !known && intent >= self.report.first {
                    return Err(self.wrong(Wrong::Outcome(intent)));
                }
            }
            What::Started(found) => {
                self.report.starts += 1;
                let origin = self.origin.get_or_insert_with(|| (*found).clone());
                if *origin != *found {
                    return Err(self.wrong(Wrong::Origin(*found)));
                }
            }
            What::Other(_) => {}
        }
        self.tree.push(leaf);
        self.previous = Some(leaf);
        self.next += 1;
        self.report.records += 1;
        self.compare()
    }

    /// At the size of a checkpoint: is the root the one that was signed?
    fn compare(&mut self) -> Result<(), NotGood> {
        while let Some(due) = self.checkpoints.pop_if(|one| one.size == self.tree.size()) {
            if due.root != self.tree.root() {
                return Err(self.wrong(Wrong::Root(due.size)));
            }
            self.report.covered = due.size;
        }
        Ok(())
    }

    fn torn(&mut self, bytes: u64, last: bool) -> Result<(), NotGood> {
        if last {
            self.report.torn = bytes;
            Ok(())
        } else {
            Err(self.wrong(Wrong::Torn))
        }
    }

    fn end(mut self) -> Result<Report, NotGood> {
        if let Some(more) = self.checkpoints.last() {
            let signed = more.size;
            return Err(self.wrong(Wrong::Short(signed)));
        }
        self.report.unknown = self.open.len() as u64;
        self.report.root = Some(self.tree.root());
        Ok(self.report)
    }

    fn wrong(&self, what: Wrong) -> NotGood {
        NotGood::Record(Fault {
            record: self.next,
            segment: self.segment.clone(),
            at: self.at,
            what,
        })
    }

    fn unreadable(&self, error: &io::Error) -> NotGood {
        self.wrong(Wrong::Unreadable(error.to_string()))
    }
}

fn look_at(look: &mut Look, lines: &[u8]) -> Vec<Line> {
    lines
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| (look.at(&line[..line.len() - 1]), line.len()))
        .collect()
}

/// Parts of about the same length that end with a line each.
fn split(lines: &[u8], parts: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut begin = 0;
    let about = lines.len().div_ceil(parts.max(1)).max(1);
    while begin < lines.len() {
        let after = (begin + about).min(lines.len());
        let end = lines[after - 1..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(lines.len(), |found| after + found);
        ranges.push(begin..end);
        begin = end;
    }
    ranges
}

/// What each thread looks at before they wait for each other.
const WINDOW: usize = 2 << 20;
