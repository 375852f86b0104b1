//! Looks at lines one by one, for an examination: is it a record, and what of it concerns the others?
//!
//! Most lines are intents and outcomes. An outcome is read as it stands; an intent is like one before it but for the hash
//! of its input, and what was read once is known again. All others, and whatever is written otherwise than we do it, are read in full.

use std::collections::HashSet;

use crate::audit::{
    Digest, Event, Origin, Wrong,
    line::{self, Head},
    reader::parse,
    tree,
};

/// What of a record concerns the others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Looked {
    pub(super) head: Head,
    /// The line's hash.
    pub(super) leaf: Digest,
    pub(super) what: What,
}

/// The part of an event that is compared with other records.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    /// An outcome of it is to come.
    Intent,
    /// It is the outcome of that intent.
    Outcome(u64),
    /// A start of that log.
    Started(Box<Origin>),
    /// Something else; the name of its kind.
    Other(&'static str),
}

/// Looks at lines.
#[derive(Default)]
pub(super) struct Look {
    /// Events of intents that were read in full, without the hashes of their inputs.
    known: HashSet<Vec<u8>>,
    /// The one before: the next is often like it.
    last: Vec<u8>,
    event: Vec<u8>,
}

impl Look {
    /// Looks at a line, which has no end of line.
    pub(super) fn at(&mut self, line: &[u8]) -> Result<Looked, Wrong> {
        let (head, what) = match self.familiar(line) {
            Some(familiar) => familiar,
            None => self.read(line)?,
        };
        Ok(Looked {
            head,
            leaf: tree::leaf(line),
            what,
        })
    }

    /// What is known without reading it in full.
    fn familiar(&mut self, line: &[u8]) -> Option<(Head, What)> {
        let (head, event) = line::split(line)?;
        if let Some(intent) = line::outcome_of(event) {
            return Some((head, What::Outcome(intent)));
        }
        self.blank(event)?;
        if self.event != self.last {
            if !self.known.contains(&self.event) {
                return None;
            }
            std::mem::swap(&mut self.event, &mut self.last);
        }
        Some((head, What::Intent))
    }

    fn read(&mut self, line: &[u8]) -> Result<(Head, What), Wrong> {
        let record = parse(line)?;
        let head = Head::from(&record);
        let kind = record.event.kind();
        let what = match record.event {
            Event::Intent(_) => {
                let event = line::split(line).and_then(|(_, event)| self.blank(event));
                if event.is_some() {
                    if self.known.len() == MOST_KNOWN {
                        self.known.clear();
                    }
                    self.known.insert(self.event.clone());
                }
                What::Intent
            }
            Event::Outcome(outcome) => What::Outcome(outcome.intent),
            Event::Started(started) => What::Started(Box::new(started.origin)),
            _ => What::Other(kind),
        };
        Ok((head, what))
    }

    /// Keeps an intent's event without the hash of its input: in its place any other would be as good.
    fn blank(&mut self, event: &[u8]) -> Option<()> {
        let input = line::input_of(event)?;
        self.event.clear();
        self.event.extend_from_slice(event);
        self.event[input].fill(b'0');
        Some(())
    }
}

impl What {
    /// The name of its kind, as records have it.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome(_) => "outcome",
            Self::Started(_) => "started",
            Self::Other(kind) => kind,
        }
    }
}

/// How many different intents are kept in mind, each of half a kilobyte: callers and keys together are rarely more.
const MOST_KNOWN: usize = 4096;
