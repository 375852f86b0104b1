//! The patterns of a rule: an identity or a key, or what several begin with.

use std::{fmt, str::FromStr};

use serde::Deserialize;

use crate::{
    identity::{IdentityName, InvalidIdentityName},
    key::{InvalidKeyName, KeyName},
};

/// An identity, or all SPIFFE ids below a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum IdentityPattern {
    /// This identity.
    Exact(IdentityName),
    /// `spiffe://example.org/batch/*`: everything below; kept with its last slash, so that
    /// `batch-2` is not taken for it.
    Below(String),
}

/// A key, or all keys whose names begin alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum KeyPattern {
    /// This key.
    Exact(KeyName),
    /// `jwt-*`, or `*` for every key; kept without the star.
    Prefix(String),
}

/// A text that is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Not an identity.
    #[error(transparent)]
    Identity(#[from] InvalidIdentityName),
    /// A star where none may be.
    #[error(
        "{0:?} is not an identity pattern: a star stands alone after the last slash of a spiffe:// id and nowhere else"
    )]
    IdentityStar(String),
    /// Not a key.
    #[error(transparent)]
    Key(#[from] InvalidKeyName),
    /// A star where none may be.
    #[error("{0:?} is not a key pattern: a star stands at the end and nowhere else")]
    KeyStar(String),
}

impl IdentityPattern {
    /// Whether it names this identity.
    pub fn matches(&self, identity: &IdentityName) -> bool {
        match self {
            Self::Exact(name) => name == identity,
            Self::Below(prefix) => identity.as_str().starts_with(prefix.as_str()),
        }
    }

    /// Whether it names whatever the other names.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(name)) => self.matches(name),
            (Self::Below(wider), Self::Below(narrower)) => narrower.starts_with(wider.as_str()),
            (Self::Exact(_), Self::Below(_)) => false,
        }
    }
}

impl FromStr for IdentityPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if !text.contains('*') {
            return Ok(Self::Exact(text.parse()?));
        }
        let refuse = || InvalidPattern::IdentityStar(text.chars().take(MAX_SHOWN).collect());
        let prefix = text
            .strip_suffix('*')
            .filter(|prefix| prefix.starts_with("spiffe://") && prefix.ends_with('/'))
            .filter(|prefix| !prefix.contains('*'))
            .ok_or_else(refuse)?;
        // A prefix is good if some identity below it is.
        format!("{prefix}x").parse::<IdentityName>()?;
        Ok(Self::Below(prefix.to_owned()))
    }
}

impl TryFrom<String> for IdentityPattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl fmt::Display for IdentityPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(formatter),
            Self::Below(prefix) => write!(formatter, "{prefix}*"),
        }
    }
}

impl KeyPattern {
    /// Whether it names this key.
    pub fn matches(&self, key: &KeyName) -> bool {
        match self {
            Self::Exact(name) => name == key,
            Self::Prefix(prefix) => key.as_str().starts_with(prefix.as_str()),
        }
    }

    /// Whether it names whatever the other names.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(name)) => self.matches(name),
            (Self::Prefix(wider), Self::Prefix(narrower)) => narrower.starts_with(wider.as_str()),
            (Self::Exact(_), Self::Prefix(_)) => false,
        }
    }
}

impl FromStr for KeyPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let Some(prefix) = text.strip_suffix('*') else {
            return match text.contains('*') {
                true => Err(InvalidPattern::KeyStar(
                    text.chars().take(MAX_SHOWN).collect(),
                )),
                false => Ok(Self::Exact(text.parse()?)),
            };
        };
        if prefix.contains('*') {
            return Err(InvalidPattern::KeyStar(
                text.chars().take(MAX_SHOWN).collect(),
            ));
        }
        if !prefix.is_empty() {
            prefix.parse::<KeyName>()?;
        }
        Ok(Self::Prefix(prefix.to_owned()))
    }
}

impl TryFrom<String> for KeyPattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(formatter),
            Self::Prefix(prefix) => write!(formatter, "{prefix}*"),
        }
    }
}

/// How much of a refused pattern is shown, in characters.
const MAX_SHOWN: usize = 100;
