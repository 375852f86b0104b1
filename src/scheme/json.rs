//! JSON read where it lies: strictly, by spans, so that nothing that is signed is ever written anew.
//!
//! RFC 8259, and no name twice in one object, no more than 32 levels, no text that is not UTF-8, no
//! half of a surrogate pair. Numbers and strings stay the bytes that came.

use std::{borrow::Cow, str};

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

/// What the members and elements of the outermost value are told to.
trait Visitor<'a> {
    fn member(&mut self, raw_name: &'a str, value: Json<'a>);
    fn element(&mut self, value: Json<'a>);
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

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn value(
        &mut self,
        depth: usize,
        visitor: &mut impl Visitor<'a>,
    ) -> Result<Json<'a>, JsonError> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(Json::String),
            Some(b'{' | b'[') if depth == MAX_DEPTH => Err(JsonError::TooDeep { at: start }),
            Some(b'{') => {
                self.object(depth, visitor)?;
                Ok(Json::Object(&self.text[start..self.at]))
            }
            Some(b'[') => {
                self.array(depth, visitor)?;
                Ok(Json::Array(&self.text[start..self.at]))
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Ok(Json::Word(&self.text[start..self.at]))
            }
            _ => {
                let word = ["true", "false", "null"]
                    .into_iter()
                    .find(|word| self.text[start..].starts_with(word))
                    .ok_or_else(|| self.expected("a value"))?;
                self.at += word.len();
                Ok(Json::Word(&self.text[start..self.at]))
            }
        }
    }

    fn object(&mut self, depth: usize, visitor: &mut impl Visitor<'a>) -> Result<(), JsonError> {
        let mut names = Vec::new();
        self.at += 1;
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if names.len() == MAX_FIELDS {
                return Err(JsonError::TooManyFields { at: self.at });
            }
            if self.peek() != Some(b'"') {
                return Err(self.expected("a name in quotes"));
            }
            let name = self.string()?;
            names.push(unescaped(name));
            self.space();
            if !self.take(b':') {
                return Err(self.expected("a colon"));
            }
            self.space();
            let value = self.value(depth + 1, &mut Ignored)?;
            visitor.member(name, value);
            self.space();
            if self.take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(self.expected("a comma or the end of the object"));
            }
            self.space();
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(JsonError::Duplicate { at: self.at });
        }
        Ok(())
    }

    fn array(&mut self, depth: usize, visitor: &mut impl Visitor<'a>) -> Result<(), JsonError> {
        self.at += 1;
        self.space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            let value = self.value(depth + 1, &mut Ignored)?;
            visitor.element(value);
            self.space();
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.expected("a comma or the end of the array"));
            }
            self.space();
        }
    }

    /// With its quotes.
    fn string(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at]);
                }
                Some(b'\\') => self.escape()?,
                None | Some(0..0x20) => return Err(self.expected("the end of the string")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                let pair = "two halves of a surrogate pair";
                let unit = self.unit()?;
                match unit {
                    0xdc00..=0xdfff => Err(self.expected(pair)),
                    0xd800..=0xdbff => {
                        if !self.take(b'\\') || self.peek() != Some(b'u') {
                            return Err(self.expected(pair));
                        }
                        match self.unit()? {
                            0xdc00..=0xdfff => Ok(()),
                            _ => Err(self.expected(pair)),
                        }
                    }
                    _ => Ok(()),
                }
            }
            _ => Err(self.expected("an escape that JSON knows")),
        }
    }

    /// The four digits after a `u`, on which it stands.
    fn unit(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        let unit = digits
            .and_then(four_digits)
            .ok_or_else(|| self.expected("u and four hexadecimal digits"))?;
        self.at += 5;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.expected("a digit"));
        }
        Ok(())
    }

    fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    const fn expected(&self, expected: &'static str) -> JsonError {
        JsonError::Syntax {
            at: self.at,
            expected,
        }
    }
}

fn minified(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let (mut inside, mut escaped, mut from) = (false, false, 0);
    for (at, byte) in text.bytes().enumerate() {
        if inside {
            inside = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if is_space(byte) {
            kept.push_str(&text[from..at]);
            from = at + 1;
        } else {
            inside = byte == b'"';
        }
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(&text[from..]);
    Cow::Owned(kept)
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn four_digits(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Expected values by Python's `json`, checked by hand.
    #[test]
    fn lexemes_escapes_and_spaces_in_strings_survive() {
        let body = "{\n  \"partnerServiceId\" : \"  088899\",\t\"note\" : \"a / b \\u00e9 \\\"q\\\" \\\\\",\r\n  \"amount\" : { \"value\" : \"10000.00\", \"n\" : 20.00, \"big\" : 12345678901234567890, \"e\" : 1e2 }\n}";
        let json = Json::parse(body.as_bytes()).unwrap();
        assert_eq!(
            json.minified(),
            "{\"partnerServiceId\":\"  088899\",\"note\":\"a / b \\u00e9 \\\"q\\\" \\\\\",\"amount\":{\"value\":\"10000.00\",\"n\":20.00,\"big\":12345678901234567890,\"e\":1e2}}"
        );
        assert_eq!(json.child("note").unwrap().text(), "a / b \u{e9} \"q\" \\");
        let amount = json.child("amount").unwrap();
        assert_eq!(amount.child("n").unwrap().text(), "20.00");
        assert_eq!(
            amount.sorted(),
            "{\"big\":12345678901234567890,\"e\":1e2,\"n\":20.00,\"value\":\"10000.00\"}"
        );
        assert_eq!(json.child("none"), None);
        assert_eq!(
            Json::parse(b"[1, [2], \"\\ud83d\\ude00\"]")
                .unwrap()
                .child("2")
                .unwrap()
                .text(),
            "\u{1f600}"
        );
    }

    #[test]
    fn what_is_refused_says_why() {
        let cases: [(&[u8], &str); 14] = [
            (b"", "byte 0: expected a value"),
            (
                b"{\"a\":1,\"\\u0061\":2}",
                "the object that ends at byte 18 has a name twice",
            ),
            (
                b"[{\"a\":{\"b\":1,\"b\":1}}]",
                "the object that ends at byte 19 has a name twice",
            ),
            (b"\"\xff\"", "byte 1: not UTF-8"),
            (
                b"\"\\ud800\"",
                "byte 7: expected two halves of a surrogate pair",
            ),
            (
                b"\"\\udc00\"",
                "byte 7: expected two halves of a surrogate pair",
            ),
            (b"\"a\nb\"", "byte 2: expected the end of the string"),
            (b"01", "byte 1: expected the end"),
            (b"1.", "byte 2: expected a digit"),
            (b"{\"a\":1,}", "byte 7: expected a name in quotes"),
            (b"[1,]", "byte 3: expected a value"),
            (b"{} {}", "byte 3: expected the end"),
            (b"\"\\x\"", "byte 2: expected an escape that JSON knows"),
            (
                b"\"\\u00g0\"",
                "byte 2: expected u and four hexadecimal digits",
            ),
        ];
        for (text, why) in cases {
            assert_eq!(Json::parse(text).unwrap_err().to_string(), why);
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(Json::parse(deep(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(
            Json::parse(deep(MAX_DEPTH + 1).as_bytes()),
            Err(JsonError::TooDeep { at: MAX_DEPTH })
        );
        assert!(Json::parse("[".repeat(1_000_000).as_bytes()).is_err());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_another_library_writes_is_read_alike(value in any_value()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let compact = serde_json::to_string(&value).unwrap();
            let json = Json::parse(pretty.as_bytes()).unwrap();
            prop_assert_eq!(json.minified(), compact.as_str());
            // That library's maps are sorted by the bytes of their names.
            prop_assert_eq!(json.sorted(), compact.as_str());
            if let Value::String(text) = &value {
                prop_assert_eq!(json.text(), text.as_str());
            }
            if let Value::Object(map) = &value {
                let names: Vec<_> = json.members().unwrap().into_iter().map(|member| member.name.into_owned()).collect();
                prop_assert_eq!(names, map.keys().cloned().collect::<Vec<_>>());
            }
        }

        #[test]
        fn what_is_accepted_another_library_accepts(text in "[\\[\\]{}\",:\\\\ untrefalse0-9.eE+-]{0,40}") {
            let other = serde_json::from_str::<Value>(&text);
            match Json::parse(text.as_bytes()) {
                Ok(_) => prop_assert!(other.is_ok() || other.is_err_and(|error| error.to_string().contains("out of range"))),
                Err(JsonError::Duplicate { .. }) => {}
                Err(error) => prop_assert!(other.is_err(), "{error}"),
            }
        }

        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(json) = Json::parse(&text) {
                let _ = (json.minified(), json.sorted(), json.members(), json.text());
            }
        }
    }
}
