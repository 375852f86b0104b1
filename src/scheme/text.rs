//! What an expression came to: bytes, the places of secrets that are put in elsewhere, and every segment as it is
//! shown to people.

use std::{fmt, ops::Range, sync::Arc};

use serde::{Serialize, Serializer};

/// What an expression came to: its bytes, and where in them each segment's are.
// No `Debug`: some of its bytes may be secret, which `steps` knows.
#[derive(Clone, Default)]
pub struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) steps: Vec<Placed>,
    /// Where, in their order, secrets are to be put in.
    pub(super) holes: Vec<(usize, String)>,
    /// Whether every segment was left out.
    pub(super) omitted: bool,
}

/// Where in a text the bytes of a segment are.
#[derive(Clone)]
pub(super) struct Placed {
    pub(super) at: Arc<str>,
    pub(super) rule: Arc<str>,
    pub(super) range: Range<usize>,
    pub(super) secret: bool,
    pub(super) hole: bool,
}

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    /// These bytes.
    Bytes(&'t [u8]),
    /// The secret of the key in this role.
    Secret(&'t str),
}

/// One segment of a text, as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The place in the file.
    pub at: String,
    /// The rule that made the bytes.
    pub rule: String,
    /// The bytes, written as text in which what is not printable ASCII is escaped; `None` if they are
    /// secret, or not there.
    #[serde(serialize_with = "escaped")]
    pub bytes: Option<Vec<u8>>,
}

impl Text {
    /// Adds what a family makes, under its own place and rule.
    pub(super) fn push(&mut self, at: &str, rule: &str, bytes: &[u8], secret: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.steps.push(Placed {
            at: at.into(),
            rule: rule.into(),
            range: start..self.bytes.len(),
            secret,
            hole: false,
        });
    }

    /// The bytes; `None` if a secret has to be put in first.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.holes.is_empty().then_some(&self.bytes)
    }

    /// How many bytes it has, without the secrets that have to be put in.
    pub const fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The roles of the keys whose secrets have to be put in, in their order.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.holes.iter().map(|(_, role)| role.as_str())
    }

    /// The bytes with every secret put in; `None` if one is not given.
    pub fn filled<'s>(&self, secret: impl Fn(&str) -> Option<&'s [u8]>) -> Option<Vec<u8>> {
        let mut whole = Vec::with_capacity(self.bytes.len());
        let mut from = 0;
        for (at, role) in &self.holes {
            whole.extend_from_slice(&self.bytes[from..*at]);
            whole.extend_from_slice(secret(role)?);
            from = *at;
        }
        whole.extend_from_slice(&self.bytes[from..]);
        Some(whole)
    }

    /// The pieces that follow one another, where a secret has to be put in; the bytes alone if none has.
    pub fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::with_capacity(2 * self.holes.len() + 1);
        let mut from = 0;
        for (at, role) in &self.holes {
            pieces.push(Piece::Bytes(&self.bytes[from..*at]));
            pieces.push(Piece::Secret(role));
            from = *at;
        }
        pieces.push(Piece::Bytes(&self.bytes[from..]));
        pieces
    }

    /// The bytes with `***` for each segment that is secret; and whether there is one.
    pub fn masked(&self) -> (Vec<u8>, bool) {
        let mut whole = Vec::with_capacity(self.bytes.len());
        let mut masked = false;
        for placed in &self.steps {
            if placed.secret || placed.hole {
                masked = true;
                whole.extend_from_slice(b"***");
            } else {
                whole.extend_from_slice(&self.bytes[placed.range.clone()]);
            }
        }
        (whole, masked)
    }

    /// Each segment with its bytes, those of secrets left out.
    pub fn steps(&self) -> Vec<Step> {
        let step = |placed: &Placed| Step {
            at: placed.at.to_string(),
            rule: placed.rule.to_string(),
            bytes: (!placed.secret && !placed.hole)
                .then(|| self.bytes[placed.range.clone()].to_vec()),
        };
        self.steps.iter().map(step).collect()
    }
}

fn escaped<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = bytes.as_ref().map(|bytes| bytes.escape_ascii().to_string());
    text.serialize(serializer)
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.bytes.as_ref().map_or_else(
            || "(secret)".to_owned(),
            |bytes| format!("\"{}\"", bytes.escape_ascii()),
        );
        write!(formatter, "{}  {}  {shown}", self.at, self.rule)
    }
}
