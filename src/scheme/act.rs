//! What a scheme is for, as callers ask for it and rules of the policy allow it; and its name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::scheme::document::{Item, SchemeError};

/// The name of a scheme: 1 to 64 of `a-z 0-9 -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchemeName(String);

/// A text that is not the name of a scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scheme's name: expected 1 to 64 of a-z 0-9 -")]
pub struct InvalidSchemeName(String);

/// One thing that can be done with a partner's scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Sign a request of ours.
    SignRequest,
    /// Sign our answer to a request of theirs.
    SignResponse,
    /// Verify a request of theirs.
    VerifyCallback,
    /// Verify their answer to a request of ours.
    VerifyResponse,
    /// Encrypt one value to them.
    EncryptField,
    /// Decrypt one value that they encrypted to us.
    DecryptField,
    /// Answer their request for an access token of ours.
    IssueAccessToken,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 7] = [
        Self::SignRequest,
        Self::SignResponse,
        Self::VerifyCallback,
        Self::VerifyResponse,
        Self::EncryptField,
        Self::DecryptField,
        Self::IssueAccessToken,
    ];

    /// The name in policy files and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignRequest => "sign_request",
            Self::SignResponse => "sign_response",
            Self::VerifyCallback => "verify_callback",
            Self::VerifyResponse => "verify_response",
            Self::EncryptField => "encrypt_field",
            Self::DecryptField => "decrypt_field",
            Self::IssueAccessToken => "issue_access_token",
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl SchemeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SchemeName {
    type Err = InvalidSchemeName;

    fn from_str(text: &str) -> Result<Self, InvalidSchemeName> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSchemeName(text.chars().take(MAX_NAME + 1).collect()))
        }
    }
}

impl TryFrom<String> for SchemeName {
    type Error = InvalidSchemeName;

    fn try_from(text: String) -> Result<Self, InvalidSchemeName> {
        text.parse()
    }
}

impl From<SchemeName> for String {
    fn from(name: SchemeName) -> Self {
        name.0
    }
}

impl fmt::Display for SchemeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `messages = ["request", "response"]`: which of two words a part of a scheme is for, the first if none is given.
pub(super) fn messages(
    item: Option<Item<'_>>,
    words: [(&str, Act); 2],
) -> Result<Vec<Act>, SchemeError> {
    let Some(item) = item else {
        return Ok(vec![words[0].1]);
    };
    let mut acts = Vec::new();
    for word in item.list()? {
        let text = word.text()?;
        let found = words.iter().find(|(name, _)| *name == text);
        match found {
            Some((_, act)) if !acts.contains(act) => acts.push(*act),
            Some(_) => return Err(word.refuse("REPEATED_NAME", format!("{text:?} is there twice"))),
            None => {
                let [(one, _), (other, _)] = words;
                let message = format!("expected {one} or {other}, found {text:?}");
                return Err(word.refuse("WRONG_VALUE", message));
            }
        }
    }
    if acts.is_empty() {
        return Err(item.refuse("WRONG_VALUE", "expected at least one"));
    }
    Ok(acts)
}

const MAX_NAME: usize = 64;
