//! JSON read where it lies: strictly, by spans, so that nothing that is signed is ever written anew.
//!
//! RFC 8259, and no name twice in one object, no more than 32 levels, no text that is not UTF-8, no
//! half of a surrogate pair. Numbers and strings stay the bytes that came.

use std::{borrow::Cow, str};

use scan::{Scanner, Visitor, four_digits, is_space};

mod scan;
#[cfg(test)]
mod tests;

/// The deepest nesting that is read.
pub(super) const MAX_DEPTH: usize = 32;

/// The most members of one object.
pub(super) const MAX_FIELDS: usize = 10_000;

/// Bytes that are not the JSON that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text breaks the grammar.
    #[error("byte {at}: expected {expected}")]
    Syntax {
        /// Where, from the start of the text.
        at: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// The text is not UTF-8.
    #[error("byte {at}: not UTF-8")]
    Utf8 {
        /// Where, from the start of the text.
        at: usize,
    },
    /// An object has two members of one name.
    #[error("the object that ends at byte {at} has a name twice")]
    Duplicate {
        /// Where the object ends.
        at: usize,
    },
    /// Arrays and objects lie too deep in one another.
    #[error("byte {at}: more than {MAX_DEPTH} levels")]
    TooDeep {
        /// Where, from the start of the text.
        at: usize,
    },
    /// An object has too many members.
    #[error("byte {at}: an object of more than {MAX_FIELDS} members")]
    TooManyFields {
        /// Where, from the start of the text.
        at: usize,
    },
}

/// One value, as the bytes that came, without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Json<'a> {
    /// With its quotes.
    String(&'a str),
    /// A number, `true`, `false` or `null`.
    Word(&'a str),
    Array(&'a str),
    Object(&'a str),
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member<'a> {
    /// Unescaped.
    pub(super) name: Cow<'a, str>,
    /// With its quotes.
    pub(super) raw_name: &'a str,
    pub(super) value: Json<'a>,
}

impl<'a> Json<'a> {
    /// The one value that the text holds, checked to its last byte.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, JsonError> {
        let text = str::from_utf8(text).map_err(|error| JsonError::Utf8 {
            at: error.valid_up_to(),
        })?;
        let mut scanner = Scanner { text, at: 0 };
        scanner.space();
        let value = scanner.value(0, &mut Ignored)?;
        scanner.space();
        match scanner.peek() {
            None => Ok(value),
            Some(_) => Err(scanner.expected("the end")),
        }
    }

    /// The bytes that came.
    pub(super) const fn raw(self) -> &'a str {
        match self {
            Self::String(raw) | Self::Word(raw) | Self::Array(raw) | Self::Object(raw) => raw,
        }
    }

    /// Whether it is an array or an object.
    pub(super) const fn is_structured(self) -> bool {
        matches!(self, Self::Array(_) | Self::Object(_))
    }

    /// A string unescaped, everything else as it came.
    pub(super) fn text(self) -> Cow<'a, str> {
        match self {
            Self::String(raw) => unescaped(raw),
            other => Cow::Borrowed(other.raw()),
        }
    }

    /// The members, in their order; `None` if it is no object.
    pub(super) fn members(self) -> Option<Vec<Member<'a>>> {
        let Self::Object(text) = self else {
            return None;
        };
        let mut members = Members(Vec::new());
        let mut scanner = Scanner { text, at: 0 };
        scanner.value(0, &mut members).ok()?;
        Some(members.0)
    }

    /// The member of this name, or for an array the element of this number.
    pub(super) fn child(self, name: &str) -> Option<Self> {
        let mut found = Child {
            name,
            index: name.parse().ok(),
            next: 0,
            value: None,
        };
        if self.is_structured() {
            let mut scanner = Scanner {
                text: self.raw(),
                at: 0,
            };
            scanner.value(0, &mut found).ok()?;
        }
        found.value
    }

    /// Without the white space between tokens.
    pub(super) fn minified(self) -> Cow<'a, str> {
        minified(self.raw())
    }

    /// Minified, with the members of every object sorted by the bytes of their names.
    pub(super) fn sorted(self) -> String {
        let mut output = String::with_capacity(self.raw().len());
        self.write_sorted(&mut output);
        output
    }

    // As deep as the text that was checked when it was parsed.
    fn write_sorted(self, output: &mut String) {
        match self {
            Self::String(raw) | Self::Word(raw) => output.push_str(raw),
            Self::Array(text) => {
                output.push('[');
                let mut elements = SortedElements {
                    output,
                    started: false,
                };
                let mut scanner = Scanner { text, at: 0 };
                // It was read before.
                let _ = scanner.value(0, &mut elements);
                output.push(']');
            }
            Self::Object(_) => {
                let mut members = self.members().unwrap_or_default();
                members.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
                output.push('{');
                for (index, member) in members.into_iter().enumerate() {
                    if index > 0 {
                        output.push(',');
                    }
                    output.push_str(member.raw_name);
                    output.push(':');
                    member.value.write_sorted(output);
                }
                output.push('}');
            }
        }
    }
}

struct Ignored;
struct Members<'a>(Vec<Member<'a>>);
/// Writes each element as it is met: an array may have millions.
struct SortedElements<'o> {
    output: &'o mut String,
    started: bool,
}
struct Child<'n, 'a> {
    name: &'n str,
    index: Option<usize>,
    next: usize,
    value: Option<Json<'a>>,
}

impl<'a> Visitor<'a> for Ignored {
    fn member(&mut self, _: &'a str, _: Json<'a>) {}
    fn element(&mut self, _: Json<'a>) {}
}

impl<'a> Visitor<'a> for Members<'a> {
    fn member(&mut self, raw_name: &'a str, value: Json<'a>) {
        self.0.push(Member {
            name: unescaped(raw_name),
            raw_name,
            value,
        });
    }
    fn element(&mut self, _: Json<'a>) {}
}

impl<'a> Visitor<'a> for SortedElements<'_> {
    fn member(&mut self, _: &'a str, _: Json<'a>) {}
    fn element(&mut self, value: Json<'a>) {
        if self.started {
            self.output.push(',');
        }
        self.started = true;
        value.write_sorted(self.output);
    }
}

impl<'a> Visitor<'a> for Child<'_, 'a> {
    fn member(&mut self, raw_name: &'a str, value: Json<'a>) {
        if unescaped(raw_name) == self.name {
            self.value = Some(value);
        }
    }
    fn element(&mut self, value: Json<'a>) {
        if self.index == Some(self.next) {
            self.value = Some(value);
        }
        self.next += 1;
    }
}

fn minified(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut kept = String::new();
    let (mut from, mut at) = (0, 0);
    loop {
        let found = bytes[at..]
            .iter()
            .position(|byte| *byte == b'"' || is_space(*byte));
        let Some(next) = found.map(|next| at + next) else {
            break;
        };
        if bytes[next] == b'"' {
            at = after_string(bytes, next);
            continue;
        }
        if from == 0 {
            kept.reserve_exact(text.len());
        }
        kept.push_str(&text[from..next]);
        let spaces = bytes[next..].iter().position(|byte| !is_space(*byte));
        from = spaces.map_or(bytes.len(), |spaces| next + spaces);
        at = from;
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(&text[from..]);
    Cow::Owned(kept)
}

/// Where a string of JSON that was checked ends, which begins with the quote there.
fn after_string(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(next) = bytes[at..]
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\'))
    {
        at += next;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// What a string that was checked means; with its quotes it comes.
fn unescaped(raw: &str) -> Cow<'_, str> {
    let inner = &raw[1..raw.len() - 1];
    let Some(first) = inner.find('\\') else {
        return Cow::Borrowed(inner);
    };
    let mut text = String::with_capacity(inner.len());
    text.push_str(&inner[..first]);
    let mut rest = &inner[first..];
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let unit = |from: usize| rest.as_bytes().get(from..from + 4).and_then(four_digits);
        let (character, length) = match rest.as_bytes().get(at + 1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => match (unit(at + 2), unit(at + 8)) {
                (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
                    let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    (char::from_u32(code).unwrap_or('\u{fffd}'), 12)
                }
                (Some(code), _) => (char::from_u32(code).unwrap_or('\u{fffd}'), 6),
                (None, _) => ('\u{fffd}', 2),
            },
            Some(other) => (char::from(*other), 2),
            None => ('\u{fffd}', 1),
        };
        text.push(character);
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Text as the inside of a JSON string: quotes, backslashes and control characters escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => output.push_str("\\\""),
            '\\' => output.push_str("\\\\"),
            '\n' => output.push_str("\\n"),
            '\r' => output.push_str("\\r"),
            '\t' => output.push_str("\\t"),
            '\0'..='\x1f' => output.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => output.push(character),
        }
    }
    output
}
