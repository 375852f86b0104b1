//! Finds records and proves them, from the files alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::audit::{
    Checkpoint, Digest, Fault, Filter, Follower, NoteError, Proof, Record, SignedCheckpoint,
    file::segments,
    filter::Sieve,
    keeper::CHECKPOINT,
    seek,
    tiles::{self, Tiles},
    tree,
};

/// A log and its last checkpoint, as they are on the disk.
#[derive(Debug)]
pub struct Reader {
    pub(super) directory: PathBuf,
    checkpoint: Option<SignedCheckpoint>,
    /// What comes from this number on is not looked at.
    until: Option<u64>,
}

/// Some records, and where to go on.
#[derive(Clone, Debug)]
pub struct Page {
    /// What was found, with their lines.
    pub records: Vec<(Record, String)>,
    /// The number of the record to go on with; none at the end.
    pub next: Option<u64>,
    /// The number of the record after the last one that was looked at.
    pub position: u64,
}

/// Why something can't be read or proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The log is damaged.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A file can't be read.
    #[error("{0}")]
    File(String),
    /// The checkpoint is not one.
    #[error("the log's checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// There is no checkpoint yet.
    #[error("no checkpoint was made yet; the daemon makes them while it has the token")]
    NoCheckpoint,
    /// No checkpoint covers it yet.
    #[error(
        "record {index} is not covered by the last checkpoint, of {size} records; try again after the next"
    )]
    NotCovered {
        /// Which.
        index: u64,
        /// How many are.
        size: u64,
    },
    /// There is none of that number.
    #[error("there is no record {index}; the log has {end}")]
    NotThere {
        /// Which.
        index: u64,
        /// How many there are.
        end: u64,
    },
    /// What is on the disk is not what was signed.
    #[error(
        "record {0} is not the one that its checkpoint was signed for: the log or its tree was altered"
    )]
    Altered(u64),
    /// It was removed.
    #[error("record {index} was removed, since it was old; the first one left is {first}")]
    Removed {
        /// Which.
        index: u64,
        /// The first that is left.
        first: u64,
    },
}

impl ReadError {
    /// The reason that callers are told, for good.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Fault(_) | Self::File(_) | Self::Checkpoint(_) | Self::Altered(_) => {
                "AUDIT_LOG_DAMAGED"
            }
            Self::NoCheckpoint => "AUDIT_NO_CHECKPOINT",
            Self::NotCovered { .. } => "AUDIT_NOT_COVERED",
            Self::NotThere { .. } => "AUDIT_RECORD_NOT_FOUND",
            Self::Removed { .. } => "AUDIT_RECORD_REMOVED",
        }
    }

    /// Whether the log is not as it was written.
    pub const fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Fault(_) | Self::File(_) | Self::Checkpoint(_) | Self::Altered(_)
        )
    }
}

impl Reader {
    /// Of the log in a directory, as it is now.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn open(directory: &Path) -> Result<Self, ReadError> {
        let path = directory.join(CHECKPOINT);
        let checkpoint = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(
                read.map_err(|error| ReadError::File(format!("{}: {error}", path.display())))?
                    .parse()?,
            ),
        };
        Ok(Self {
            directory: directory.to_owned(),
            checkpoint,
            until: None,
        })
    }

    /// The same, without the records from this number on: of those the disk may not have all.
    pub(super) const fn until(mut self, end: u64) -> Self {
        self.until = Some(end);
        self
    }

    /// The last checkpoint.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoCheckpoint`].
    pub fn checkpoint(&self) -> Result<&SignedCheckpoint, ReadError> {
        self.checkpoint.as_ref().ok_or(ReadError::NoCheckpoint)
    }

    /// The line of a record, and the proof that it is in the log of the last checkpoint.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn prove(&self, index: u64) -> Result<(String, Proof), ReadError> {
        let checkpoint = self.checkpoint()?;
        let size = checkpoint.checkpoint.size;
        let first = self.first()?;
        if index >= size {
            return Err(ReadError::NotCovered { index, size });
        }
        if index < first {
            return Err(ReadError::Removed { index, first });
        }
        let line = tiles::entry(&self.directory, index, size).map_err(file)?;
        let line = String::from_utf8(line).map_err(|error| ReadError::File(error.to_string()))?;
        let mut tiles = Tiles::new(&self.directory, size);
        let path = tree::inclusion(&mut tiles, index, size).map_err(file)?;
        let checkpoint = checkpoint.clone();
        let proof = Proof {
            index,
            path,
            checkpoint,
        };
        Ok((line, proof))
    }

    /// A record, its line, and the proof that it is in the log of the last checkpoint, if that covers it already. The
    /// proof is good: it has been checked.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn record(&self, index: u64) -> Result<(Record, String, Option<Proof>), ReadError> {
        let (first, end) = (self.first()?, self.end()?);
        if index >= end {
            return Err(ReadError::NotThere { index, end });
        }
        if index < first {
            return Err(ReadError::Removed { index, first });
        }
        let (record, line) = self.line(index)?;
        let size = |one: &SignedCheckpoint| one.checkpoint.size;
        if self
            .checkpoint
            .as_ref()
            .is_none_or(|last| index >= size(last))
        {
            return Ok((record, line, None));
        }
        let (_, proof) = self.prove(index)?;
        let Checkpoint { size, root, .. } = proof.checkpoint.checkpoint;
        tree::check_inclusion(tree::leaf(line.as_bytes()), index, size, &proof.path, root)
            .map_err(|_| ReadError::Altered(index))?;
        Ok((record, line, Some(proof)))
    }

    /// One record and its line, from its segment.
    pub(super) fn line(&self, index: u64) -> Result<(Record, String), ReadError> {
        let gone = || ReadError::File(format!("record {index} is not in any segment"));
        let mut follower = self.follow(index)?.ok_or_else(gone)?;
        let followed = follower.read()?.ok_or_else(gone)?;
        if followed.record.sequence != index {
            return Err(gone());
        }
        let line = String::from_utf8_lossy(followed.line).into_owned();
        Ok((followed.record, line))
    }

    /// The proof that the log of `old` records begins the log of `new`, which the last checkpoint covers.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Digest>, ReadError> {
        let size = self.checkpoint()?.checkpoint.size;
        if old > new || new > size {
            let index = old.max(new);
            return Err(ReadError::NotCovered { index, size });
        }
        let mut tiles = Tiles::new(&self.directory, size);
        tree::consistency(&mut tiles, old, new).map_err(file)
    }

    /// The number of the first record that is left.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn first(&self) -> Result<u64, ReadError> {
        let list = segments(&self.directory).map_err(file)?;
        Ok(list.first().copied().unwrap_or(0))
    }

    /// The number that the next record will have.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn end(&self) -> Result<u64, ReadError> {
        if let Some(end) = self.until {
            return Ok(end);
        }
        let list = segments(&self.directory).map_err(file)?;
        let Some(last) = list.last() else {
            return Ok(0);
        };
        let mut follower = Follower::at_segment(&self.directory, *last, None)?;
        loop {
            match follower.skip() {
                Ok(true) => {}
                Ok(false) => return Ok(follower.position()),
                Err(fault) if fault.what == super::Wrong::Torn => return Ok(fault.record),
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Follows the log from a record on, or from the first one left.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn follow(&self, from: u64) -> Result<Option<Follower>, ReadError> {
        let list = segments(&self.directory).map_err(file)?;
        let Some(segment) = list
            .iter()
            .rfind(|first| **first <= from)
            .or_else(|| list.first())
        else {
            return Ok(None);
        };
        let place = seek::near(&self.directory, *segment, from).map_err(file)?;
        let mut follower = Follower::at_place(&self.directory, *segment, place)?;
        while follower.position() < from && follower.skip()? {}
        Ok(Some(follower))
    }

    /// At most `most` records from a number on that pass a filter. Looks at no more than `patience` records.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn page(
        &self,
        from: u64,
        filter: &Filter,
        most: usize,
        patience: u64,
    ) -> Result<Page, ReadError> {
        let mut page = Page {
            records: vec![],
            next: None,
            position: from,
        };
        let Some(mut follower) = self.follow(from)? else {
            return Ok(page);
        };
        let begun = follower.position();
        let mut sieve = Sieve::new(self, filter);
        loop {
            let position = follower.position();
            page.position = position;
            if page.records.len() == most || position - begun == patience {
                page.next = Some(position);
                return Ok(page);
            }
            match follower.read() {
                Ok(Some(followed)) => {
                    if sieve.takes(&followed.record)? {
                        let line = String::from_utf8_lossy(followed.line).into_owned();
                        page.records.push((followed.record, line));
                    }
                }
                // The last line may be written this moment.
                Ok(None) => return Ok(page),
                Err(fault) if fault.what == super::Wrong::Torn => return Ok(page),
                Err(fault) => return Err(fault.into()),
            }
        }
    }
}

pub(super) fn file(error: io::Error) -> ReadError {
    ReadError::File(error.to_string())
}
