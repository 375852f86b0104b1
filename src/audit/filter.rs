//! Which records are wanted. An outcome names its intent alone, and is about whatever that was about.

use std::{collections::HashMap, fmt, str::FromStr};

use crate::{
    audit::{Ending, Event, Name, ReadError, Reader, Record, Timestamp},
    policy::Operation,
};

/// Which records are wanted; what is left out is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this caller.
    pub identity: Option<String>,
    /// About this key.
    pub key: Option<String>,
    /// Of this kind.
    pub kind: Option<EventKind>,
    /// For this partner.
    pub partner: Option<String>,
    /// About this operation.
    pub operation: Option<Operation>,
    /// That ended so; only outcomes and denials have ends.
    pub result: Option<ResultKind>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// The name of a kind of records, such as `denied`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKind(&'static str);

/// How something ended, or that it was refused before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResultKind {
    /// It was done.
    Succeeded,
    /// It was verified, and is good.
    Valid,
    /// It was verified, and is not good.
    Invalid,
    /// It failed.
    Failed,
    /// It was done before, and its answer given again.
    Repeated,
    /// It was given up without a result.
    Abandoned,
    /// It was refused.
    Denied,
}

/// A text that names no kind of records, or no way to end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not known; expected one of {1}")]
pub struct UnknownWord(String, String);

/// Lets records pass one after the other, and remembers intents until their outcomes come.
pub(super) struct Sieve<'a> {
    reader: &'a Reader,
    filter: &'a Filter,
    /// Whether intents are about what is wanted.
    intents: HashMap<u64, bool>,
}

impl<'a> Sieve<'a> {
    pub(super) fn new(reader: &'a Reader, filter: &'a Filter) -> Self {
        Self {
            reader,
            filter,
            intents: HashMap::new(),
        }
    }

    /// Whether the filter lets a record pass.
    ///
    /// # Errors
    ///
    /// [`ReadError`], if the intent of an outcome can't be read.
    pub(super) fn takes(&mut self, record: &Record) -> Result<bool, ReadError> {
        if !self.filter.names_subject() {
            return Ok(self.filter.names_record(record));
        }
        let about = match &record.event {
            Event::Outcome(outcome) => {
                if !self.filter.names_record(record) {
                    self.intents.remove(&outcome.intent);
                    return Ok(false);
                }
                match self.intents.remove(&outcome.intent) {
                    Some(about) => about,
                    None => self.intent_is_wanted(outcome.intent)?,
                }
            }
            other => self.filter.is_about(other),
        };
        if let Event::Intent(_) = record.event {
            self.intents.insert(record.sequence, about);
        }
        Ok(about && self.filter.names_record(record))
    }

    /// Of an intent that was removed nobody knows whose it was.
    fn intent_is_wanted(&self, intent: u64) -> Result<bool, ReadError> {
        if intent < self.reader.first()? {
            return Ok(false);
        }
        let (record, _) = self.reader.line(intent)?;
        Ok(self.filter.is_about(&record.event))
    }
}

impl Filter {
    /// Whether it asks for anything that an outcome has from its intent.
    const fn names_subject(&self) -> bool {
        self.identity.is_some()
            || self.key.is_some()
            || self.partner.is_some()
            || self.operation.is_some()
    }

    /// Whether a record is of the kind and time that is wanted, and ended so.
    fn names_record(&self, record: &Record) -> bool {
        self.kind
            .is_none_or(|EventKind(kind)| kind == record.event.kind())
            && self
                .result
                .is_none_or(|result| ResultKind::of(&record.event) == Some(result))
            && self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time < until)
    }

    /// Whether an event is of the caller and about what is wanted.
    fn is_about(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let caller = event.caller().map(|caller| caller.identity.as_str());
        let subject = event.subject();
        let partner = subject.and_then(|subject| subject.partner.as_ref());
        let operation = match event {
            Event::LogRead(_) => Some(Operation::ReadAudit),
            _ => subject.map(|subject| subject.operation),
        };
        is(&self.identity, caller)
            && is(&self.key, event.key().map(|key| key.as_str()))
            && is(&self.partner, partner.map(Name::as_str))
            && self
                .operation
                .is_none_or(|wanted| operation == Some(wanted))
    }
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self("started"),
        Self("stopped"),
        Self("recovered"),
        Self("reloaded"),
        Self("intent"),
        Self("outcome"),
        Self("denied"),
        Self("log_read"),
        Self("key_changed"),
        Self("proposal"),
        Self("checkpoint"),
        Self("pruned"),
    ];

    /// As records have it.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl ResultKind {
    /// Every way to end.
    pub const ALL: [Self; 7] = [
        Self::Succeeded,
        Self::Valid,
        Self::Invalid,
        Self::Failed,
        Self::Repeated,
        Self::Abandoned,
        Self::Denied,
    ];

    /// As records have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
            Self::Repeated => "repeated",
            Self::Abandoned => "abandoned",
            Self::Denied => "denied",
        }
    }

    /// How an event ended, if it says so.
    pub const fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Outcome(outcome) => Some(match outcome.result {
                Ending::Succeeded => Self::Succeeded,
                Ending::Valid => Self::Valid,
                Ending::Invalid => Self::Invalid,
                Ending::Failed(_) => Self::Failed,
                Ending::Repeated => Self::Repeated,
                Ending::Abandoned => Self::Abandoned,
            }),
            Event::Denied(_) => Some(Self::Denied),
            _ => None,
        }
    }
}

impl FromStr for EventKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.0 == text)
            .ok_or_else(|| unknown(text, Self::ALL.map(Self::name)))
    }
}

impl FromStr for ResultKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.name() == text)
            .ok_or_else(|| unknown(text, Self::ALL.map(Self::name)))
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl fmt::Display for ResultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

fn unknown<const N: usize>(text: &str, known: [&str; N]) -> UnknownWord {
    UnknownWord(text.chars().take(40).collect(), known.join(", "))
}
