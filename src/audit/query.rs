//! Finds records and proves them, from the files alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::audit::{
    Digest, Fault, Follower, NoteError, Proof, Record, SignedCheckpoint, Timestamp,
    file::segments,
    keeper::CHECKPOINT,
    tiles::{self, Tiles},
    tree,
};

/// A log and its last checkpoint, as they are on the disk.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    checkpoint: Option<SignedCheckpoint>,
}

/// Which records are wanted; what is left out is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this caller.
    pub identity: Option<String>,
    /// About this key.
    pub key: Option<String>,
    /// Of this kind, such as `denied`.
    pub kind: Option<String>,
    /// For this partner.
    pub partner: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
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
    #[error("no checkpoint was made yet; expected audit.checkpoint_key to be configured")]
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
    /// It was removed.
    #[error("record {index} was removed, since it was old; the first one left is {first}")]
    Removed {
        /// Which.
        index: u64,
        /// The first that is left.
        first: u64,
    },
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
        })
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

    /// As [`Reader::prove`], with what the record says.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn proven(&self, index: u64) -> Result<(Record, String, Proof), ReadError> {
        let (line, proof) = self.prove(index)?;
        let record = super::reader::parse(line.as_bytes());
        let record = record.map_err(|wrong| ReadError::File(wrong.to_string()))?;
        Ok((record, line, proof))
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
        let mut follower = Follower::at_segment(&self.directory, *segment, None)?;
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
        loop {
            let position = follower.position();
            page.position = position;
            if page.records.len() == most || position - begun == patience {
                page.next = Some(position);
                return Ok(page);
            }
            match follower.read() {
                Ok(Some(followed)) => {
                    if filter.takes(&followed.record) {
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

impl Filter {
    /// Whether it lets a record pass.
    pub fn takes(&self, record: &Record) -> bool {
        let event = &record.event;
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let caller = event.caller().map(|caller| caller.identity.as_str());
        let partner = event.subject().and_then(|subject| subject.partner.as_ref());
        is(&self.kind, Some(event.kind()))
            && is(&self.identity, caller)
            && is(&self.key, event.key().map(|key| key.as_str()))
            && is(&self.partner, partner.map(super::Name::as_str))
            && self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time < until)
    }
}

fn file(error: io::Error) -> ReadError {
    ReadError::File(error.to_string())
}
