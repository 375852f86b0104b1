//! The only texts in a record that are free: names that an operator chose, and words of the program's own.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name that an operator chose: of a rule, a partner, a scheme. 1 to 64 of `A-Z a-z 0-9 . _ : / -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// A word of the program's own: the name of a call, a reason. Only a literal becomes one, so that nothing
/// a caller sends can.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Word(Cow<'static, str>);

/// A text that is no [`Name`] or [`Word`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name: expected 1 to 64 of A-Z a-z 0-9 . _ : / -")]
pub struct InvalidName;

impl Name {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that was checked by other rules: what does not fit these is written as `_`.
    pub fn fitted(text: &str) -> Self {
        if is_name(text.as_bytes()) {
            return Self(text.into());
        }
        let fitted: String = text
            .chars()
            .map(|one| match u8::try_from(one) {
                Ok(byte) if is_of_names(byte) => one,
                _ => '_',
            })
            .take(MAX_NAME)
            .collect();
        Self(if fitted.is_empty() {
            "_".into()
        } else {
            fitted.into()
        })
    }
}

impl Word {
    /// One of the program's own words.
    ///
    /// # Panics
    ///
    /// If it is not 1 to 64 of `A-Z a-z 0-9 . _ : / -`; in a constant, that does not compile.
    pub const fn new(text: &'static str) -> Self {
        assert!(is_name(text.as_bytes()), "not a word of 1 to 64 letters");
        Self(Cow::Borrowed(text))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        is_name(text.as_bytes())
            .then(|| Self(text.into()))
            .ok_or(InvalidName)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_name(text.as_bytes()) {
            Ok(Self(text.into()))
        } else {
            Err(serde::de::Error::custom(InvalidName))
        }
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Name::deserialize(deserializer).map(|name| Self(Cow::Owned(name.0.as_ref().to_owned())))
    }
}

const fn is_name(text: &[u8]) -> bool {
    if text.is_empty() || text.len() > MAX_NAME {
        return false;
    }
    let mut at = 0;
    while at < text.len() {
        if !is_of_names(text[at]) {
            return false;
        }
        at += 1;
    }
    true
}

const fn is_of_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'-')
}

const MAX_NAME: usize = 64;
