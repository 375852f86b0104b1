//! What is wrong with a policy file, and where: the line, the key, what was expected and what came.

use std::fmt;

use crate::policy::{
    limits::InvalidLimits, operation::Operation, quota::InvalidQuota, window::InvalidWindow,
};

/// The first fault of a policy file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{message}", Shown(.line, "line ", ": "), Shown(.key, "", ": "))]
pub struct PolicyError {
    pub(super) line: Option<usize>,
    pub(super) key: Option<String>,
    pub(super) message: String,
}

/// A rule or quota whose entries do not go together.
#[derive(Debug, thiserror::Error)]
pub(in crate::policy) enum Fault {
    #[error("the list is empty; expected at least one entry")]
    Empty(&'static str),
    #[error("operation {operation} needs the list {list}, and the rule has none")]
    Missing {
        list: &'static str,
        operation: Operation,
    },
    #[error("no operation of this rule concerns {0}; leave the list out")]
    Idle(&'static str),
    #[error("\"*\" is all algorithms; expected it alone, or a list of names")]
    Star,
    #[error("nobody is named; expected roles or identities")]
    Nobody,
    #[error("there is no role {0:?}; expected one of the file's [[roles]]")]
    NoSuchRole(String),
    #[error("{0}")]
    Window(#[from] InvalidWindow),
    #[error("{0}")]
    Limits(#[from] InvalidLimits),
    #[error("{0} is no operation of a rule: who approves what is said in [[approvals]]")]
    Approves(Operation),
    #[error("it is for the operation sign, and the rule has not got that; leave it out")]
    IdleLimits(&'static str),
    #[error(
        "it is for the operation sign and those that sign for a partner, and the rule has none of them; leave it out"
    )]
    IdleSize,
    #[error("{0}")]
    Quota(#[from] InvalidQuota),
}

impl Fault {
    pub(in crate::policy) const fn key(&self) -> &'static str {
        match self {
            Self::Empty(list) | Self::Missing { list, .. } | Self::Idle(list) => list,
            Self::Star => "algorithms",
            Self::Nobody => "identities",
            Self::Approves(_) => "operations",
            Self::NoSuchRole(_) => "roles",
            Self::Window(InvalidWindow::NoDay) => "days",
            Self::Window(InvalidWindow::Backwards) => "not_after",
            Self::Window(InvalidWindow::IdleZone) => "time_zone",
            Self::Limits(fault) => fault.key(),
            Self::IdleLimits(entry) => entry,
            Self::IdleSize => "max_bytes",
            Self::Quota(fault) => fault.key(),
        }
    }
}

impl PolicyError {
    pub(super) fn at(text: &str, error: &toml::de::Error, key: Option<String>) -> Self {
        Self {
            line: error.span().map(|span| line_of(text, span.start)),
            key,
            message: error.message().to_owned(),
        }
    }

    /// The line of the fault, the first being 1.
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// What was expected and what came, without where.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The key of the fault, such as `rules[0].keys[1]`.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// A part of a message that may be missing, between what goes before and after it.
struct Shown<'a, T>(&'a Option<T>, &'static str, &'static str);

impl<T: fmt::Display> fmt::Display for Shown<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(formatter, "{}{value}{}", self.1, self.2),
            None => Ok(()),
        }
    }
}

pub(super) fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

/// The path without the field that `Spanned` wraps its value in.
pub(super) fn key_path(path: &serde_path_to_error::Path) -> Option<String> {
    use serde_path_to_error::Segment;
    let mut shown = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => shown.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } if key.starts_with('$') => {}
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !shown.is_empty() {
                    shown.push('.');
                }
                shown.push_str(key);
            }
            Segment::Unknown => {}
        }
    }
    (!shown.is_empty()).then_some(shown)
}
