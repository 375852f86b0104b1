//! Reads a log in order, and sees at each record whether it follows the one before it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::audit::{
    Digest, Origin, Record,
    file::{segment_path, segments},
    line::{self, Head},
    tree,
};

/// Follows a log from some record on.
#[derive(Debug)]
pub struct Follower {
    directory: PathBuf,
    /// The number of the segment's first record.
    segment: u64,
    reader: BufReader<File>,
    /// Where in the segment the next record begins.
    at: u64,
    next: u64,
    previous: Option<Digest>,
    line: Vec<u8>,
}

/// A record that follows the one before it.
#[derive(Debug)]
pub struct Followed<'a> {
    /// What it says.
    pub record: Record,
    /// Its line, without the end of line: the leaf.
    pub line: &'a [u8],
    /// The leaf's hash.
    pub leaf: Digest,
    /// Where it begins in its segment.
    pub at: u64,
}

/// What is wrong with a log, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {record}: {what} ({}, byte {at})", segment.display())]
pub struct Fault {
    /// The number of the first record that is not good.
    pub record: u64,
    /// The file.
    pub segment: PathBuf,
    /// Where in the file its line begins.
    pub at: u64,
    /// What is wrong with it.
    pub what: Wrong,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The file can't be read.
    #[error("the file can't be read: {0}")]
    Unreadable(String),
    /// The file ends within the line.
    #[error("the line is not whole: it was being written when the power failed, or it was cut")]
    Torn,
    /// The line is not a record.
    #[error("the line is not a record, so it was altered: {0}")]
    Malformed(String),
    /// The number is another.
    #[error("the record here says it is number {0}: records were dropped, added or moved")]
    Sequence(u64),
    /// It does not follow the record before it.
    #[error(
        "its `previous` is not the hash of the record before it: that one was altered, or this one was put here"
    )]
    Chain,
    /// The first record is not the beginning of this log.
    #[error(
        "its `previous` is not the beginning of {0}: this is another log, or its begin was cut off"
    )]
    Beginning(Origin),
    /// The next segment begins with another record.
    #[error("the next segment begins with record {0}: a segment is missing")]
    Gap(u64),
    /// The tree of the records so far is not the one that was signed.
    #[error(
        "the tree of the records before it has another root than the checkpoint of size {0}: the log was rewritten, or rolled back and continued"
    )]
    Root(u64),
    /// The log is shorter than what was signed.
    #[error(
        "the log ends here, but a checkpoint covers {0} records: the end was cut off, or an older log was put in its place"
    )]
    Short(u64),
    /// An outcome of nothing, or a second one.
    #[error("it is an outcome of record {0}, which is no intent without an outcome")]
    Outcome(u64),
    /// A record of a start of another log.
    #[error("it says that the log is {0}'s")]
    Origin(Origin),
    /// The last record is not the one that was written.
    #[error(
        "the record before it is not the one that was written there: somebody else changed the file"
    )]
    Written,
    /// What stands in for removed segments does not fit.
    #[error("the tiles do not vouch for the removed records before it: {0}")]
    Tiles(String),
}

impl Follower {
    /// From the first record that is there. For a log whose begin was removed, `previous` is the hash of the
    /// last removed record; `None` takes the first record's word for it.
    ///
    /// # Errors
    ///
    /// [`Fault`], also if there is none.
    pub fn begin(
        directory: &Path,
        origin: &Origin,
        previous: Option<Digest>,
    ) -> Result<Self, Fault> {
        let list = segments(directory).map_err(|error| Fault {
            record: 0,
            segment: directory.to_owned(),
            at: 0,
            what: Wrong::Unreadable(error.to_string()),
        })?;
        let first = list.first().copied().unwrap_or(0);
        let previous = match first {
            0 => Some(origin.beginning()),
            _ => previous,
        };
        Self::at_segment(directory, first, previous)
    }

    /// From the first record of a segment.
    pub(super) fn at_segment(
        directory: &Path,
        segment: u64,
        previous: Option<Digest>,
    ) -> Result<Self, Fault> {
        let path = segment_path(directory, segment);
        let file = File::open(&path).map_err(|error| Fault {
            record: segment,
            segment: path,
            at: 0,
            what: Wrong::Unreadable(error.to_string()),
        })?;
        Ok(Self {
            directory: directory.to_owned(),
            segment,
            reader: BufReader::with_capacity(256 << 10, file),
            at: 0,
            next: segment,
            previous,
            line: Vec::new(),
        })
    }

    /// Another one at the same place.
    pub(super) fn again(&self) -> Result<Self, Fault> {
        let mut other = Self::at_place(&self.directory, self.segment, (self.at, self.next))?;
        other.previous = self.previous;
        Ok(other)
    }

    /// From where a record of a segment begins; the record's number goes with the place.
    pub(super) fn at_place(
        directory: &Path,
        segment: u64,
        (at, number): (u64, u64),
    ) -> Result<Self, Fault> {
        let mut follower = Self::at_segment(directory, segment, None)?;
        (follower.at, follower.next) = (at, number);
        let sought = follower.reader.seek(SeekFrom::Start(at));
        sought.map_err(|error| follower.fault(Wrong::Unreadable(error.to_string())))?;
        Ok(follower)
    }

    /// The number of the next record.
    pub const fn position(&self) -> u64 {
        self.next
    }

    /// The segment that is read, and where in it the next record begins.
    pub(super) const fn place(&self) -> (u64, u64) {
        (self.segment, self.at)
    }

    /// The hash that the next record must name.
    pub(super) const fn previous(&self) -> Option<Digest> {
        self.previous
    }

    /// The next record; `None` at the end. What is appended later comes with a later call.
    ///
    /// # Errors
    ///
    /// [`Fault`]; the same again if asked again.
    pub fn read(&mut self) -> Result<Option<Followed<'_>>, Fault> {
        let at = self.at;
        let Some((record, leaf)) = self.next(|line, next, previous| {
            let record = parse(line)?;
            check_link(&Head::from(&record), next, previous)?;
            Ok(record)
        })?
        else {
            return Ok(None);
        };
        Ok(Some(Followed {
            record,
            line: &self.line[..self.line.len() - 1],
            leaf,
            at,
        }))
    }

    /// The next record's line and leaf, of which no more was looked at than that it follows the one before it.
    pub(super) fn link(&mut self) -> Result<Option<(&[u8], Digest)>, Fault> {
        let link = self.next(|line, next, previous| {
            let head = match line::split(line) {
                Some((head, _)) => head,
                None => Head::from(&parse(line)?),
            };
            check_link(&head, next, previous)
        })?;
        Ok(link.map(|((), leaf)| (&self.line[..self.line.len() - 1], leaf)))
    }

    /// Reads a line, and goes past it if that finds nothing wrong with it.
    fn next<T>(
        &mut self,
        look: impl FnOnce(&[u8], u64, Option<Digest>) -> Result<T, Wrong>,
    ) -> Result<Option<(T, Digest)>, Fault> {
        loop {
            self.line.clear();
            let mut limited = (&mut self.reader).take(MAX_LINE);
            let read = limited.read_until(b'\n', &mut self.line);
            let read = read.map_err(|error| self.fault(Wrong::Unreadable(error.to_string())))?;
            if read > 0 {
                break;
            }
            if !self.next_segment()? {
                return Ok(None);
            }
        }
        let whole = self.line.strip_suffix(b"\n").ok_or(Wrong::Torn);
        let looked = whole.and_then(|line| {
            let seen = look(line, self.next, self.previous)?;
            Ok((seen, tree::leaf(line)))
        });
        match looked {
            Ok((seen, leaf)) => {
                self.at += self.line.len() as u64;
                self.next += 1;
                self.previous = Some(leaf);
                Ok(Some((seen, leaf)))
            }
            Err(what) => {
                let back = self.reader.seek(SeekFrom::Start(self.at));
                back.map_err(|error| self.fault(Wrong::Unreadable(error.to_string())))?;
                Err(self.fault(what))
            }
        }
    }

    /// Goes past a record without looking at it; false at the end.
    pub(super) fn skip(&mut self) -> Result<bool, Fault> {
        self.link().map(|link| link.is_some())
    }

    /// Goes to the next segment, if there is one.
    fn next_segment(&mut self) -> Result<bool, Fault> {
        if self.next == self.segment {
            return Ok(false);
        }
        match File::open(segment_path(&self.directory, self.next)) {
            Ok(file) => {
                self.reader = BufReader::with_capacity(256 << 10, file);
                self.segment = self.next;
                self.at = 0;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let list = segments(&self.directory).unwrap_or_default();
                match list.into_iter().find(|first| *first > self.segment) {
                    Some(other) => Err(self.fault(Wrong::Gap(other))),
                    None => Ok(false),
                }
            }
            Err(error) => Err(self.fault(Wrong::Unreadable(error.to_string()))),
        }
    }

    /// A fault of the next record.
    pub(super) fn fault(&self, what: Wrong) -> Fault {
        Fault {
            record: self.next,
            segment: segment_path(&self.directory, self.segment),
            at: self.at,
            what,
        }
    }
}

/// Reads one line, which has no end of line.
pub(super) fn parse(line: &[u8]) -> Result<Record, Wrong> {
    serde_json::from_slice(line).map_err(|error| Wrong::Malformed(error.to_string()))
}

/// Whether a record is the next one.
pub(super) fn check_link(head: &Head, next: u64, previous: Option<Digest>) -> Result<(), Wrong> {
    if head.sequence != next {
        return Err(Wrong::Sequence(head.sequence));
    }
    match previous {
        Some(previous) if previous != head.previous => Err(Wrong::Chain),
        _ => Ok(()),
    }
}

/// A line, its end, and not a byte more than a bundle of the tree can hold.
const MAX_LINE: u64 = 65_536;
