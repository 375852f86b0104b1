//! Structured fields (RFC 9651), read strictly and written in their one canonical form.
//!
//! Stricter than RFC 9651 where it lets the last of several win: no key may come twice, and a byte
//! sequence has its padding. Display strings are not read.

use crate::scheme::{encoding, fault::Fault};

/// A value without its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    Integer(i64),
    /// In thousandths.
    Decimal(i64),
    String(String),
    Token(String),
    Bytes(Vec<u8>),
    Boolean(bool),
    /// Seconds since 1970.
    Date(i64),
}

/// Parameters in their order.
pub(super) type Parameters = Vec<(String, Bare)>;

/// A value and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) bare: Bare,
    pub(super) parameters: Parameters,
}

/// What a list or dictionary holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Item(Item),
    Inner(Vec<Item>, Parameters),
}

/// The three kinds of structured fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldType {
    Dictionary,
    List,
    Item,
}

/// Reads a dictionary, in its order.
pub(super) fn dictionary(text: &[u8]) -> Result<Vec<(String, Member)>, Fault> {
    let mut reader = Reader::new(text)?;
    let mut members: Vec<(String, Member)> = Vec::new();
    while reader.peek().is_some() {
        let key = reader.key()?;
        if members.iter().any(|(other, _)| *other == key) {
            return Err(Fault::RepeatedField);
        }
        let member = match reader.take(b'=') {
            true => reader.member()?,
            false => Member::Item(Item {
                bare: Bare::Boolean(true),
                parameters: reader.parameters()?,
            }),
        };
        members.push((key, member));
        reader.next_member(members.len())?;
    }
    Ok(members)
}

/// Reads a field of this type and writes it in its canonical form.
pub(super) fn canonical(text: &[u8], kind: FieldType) -> Result<String, Fault> {
    match kind {
        FieldType::Dictionary => {
            let members = dictionary(text)?;
            let written = members.iter().map(|(key, member)| match member {
                Member::Item(Item {
                    bare: Bare::Boolean(true),
                    parameters,
                }) => format!("{key}{}", write_parameters(parameters)),
                member => format!("{key}={}", write_member(member)),
            });
            Ok(written.collect::<Vec<_>>().join(", "))
        }
        FieldType::List => {
            let mut reader = Reader::new(text)?;
            let mut written = Vec::new();
            while reader.peek().is_some() {
                written.push(write_member(&reader.member()?));
                reader.next_member(written.len())?;
            }
            Ok(written.join(", "))
        }
        FieldType::Item => {
            let mut reader = Reader::new(text)?;
            let item = reader.item()?;
            match reader.rest.is_empty() {
                true => Ok(write_item(&item)),
                false => Err(reader.wrong("the end of the item")),
            }
        }
    }
}

/// Writes a member of a list or dictionary.
pub(super) fn write_member(member: &Member) -> String {
    match member {
        Member::Item(item) => write_item(item),
        Member::Inner(items, parameters) => {
            let items: Vec<_> = items.iter().map(write_item).collect();
            format!("({}){}", items.join(" "), write_parameters(parameters))
        }
    }
}

/// Writes a value with its parameters.
pub(super) fn write_item(item: &Item) -> String {
    format!(
        "{}{}",
        write_bare(&item.bare),
        write_parameters(&item.parameters)
    )
}

/// Text as a string, if all of it can stand in one.
pub(super) fn string(text: &[u8]) -> Result<Bare, Fault> {
    let printable = |byte: &u8| (0x20..0x7f).contains(byte);
    match std::str::from_utf8(text) {
        Ok(text) if text.bytes().all(|byte| printable(&byte)) => Ok(Bare::String(text.to_owned())),
        _ => Err(Fault::Encoding("printable ASCII")),
    }
}

fn write_parameters(parameters: &[(String, Bare)]) -> String {
    let one = |(key, bare): &(String, Bare)| match bare {
        Bare::Boolean(true) => format!(";{key}"),
        bare => format!(";{key}={}", write_bare(bare)),
    };
    parameters.iter().map(one).collect()
}

fn write_bare(bare: &Bare) -> String {
    match bare {
        Bare::Integer(number) => number.to_string(),
        Bare::Decimal(thousandths) => {
            let sign = if *thousandths < 0 { "-" } else { "" };
            let size = thousandths.unsigned_abs();
            let fraction = format!("{:03}", size % 1000);
            let kept = fraction.trim_end_matches('0');
            let kept = if kept.is_empty() { "0" } else { kept };
            format!("{sign}{}.{kept}", size / 1000)
        }
        Bare::String(text) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Bare::Token(text) => text.clone(),
        Bare::Bytes(bytes) => {
            format!(":{}:", String::from_utf8_lossy(&encoding::base64(bytes)))
        }
        Bare::Boolean(value) => format!("?{}", u8::from(*value)),
        Bare::Date(seconds) => format!("@{seconds}"),
    }
}

struct Reader<'t> {
    rest: &'t [u8],
}

impl<'t> Reader<'t> {
    fn new(text: &'t [u8]) -> Result<Self, Fault> {
        match text.len() > MAX_TEXT {
            true => Err(Fault::TooLong(MAX_TEXT)),
            false => Ok(Self {
                rest: text.trim_ascii(),
            }),
        }
    }

    fn member(&mut self) -> Result<Member, Fault> {
        if !self.take(b'(') {
            return self.item().map(Member::Item);
        }
        let mut items = Vec::new();
        loop {
            self.spaces();
            if self.take(b')') {
                return Ok(Member::Inner(items, self.parameters()?));
            }
            if items.len() == MAX_MEMBERS {
                return Err(Fault::TooMany(MAX_MEMBERS));
            }
            items.push(self.item()?);
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err(self.wrong("a space or the end of the inner list"));
            }
        }
    }

    /// The comma between members, with a member behind it; or the end.
    fn next_member(&mut self, count: usize) -> Result<(), Fault> {
        self.whitespace();
        if self.rest.is_empty() {
            return Ok(());
        }
        if count == MAX_MEMBERS {
            return Err(Fault::TooMany(MAX_MEMBERS));
        }
        if !self.take(b',') {
            return Err(self.wrong("a comma or the end"));
        }
        self.whitespace();
        match self.rest.is_empty() {
            true => Err(self.wrong("a member after the comma")),
            false => Ok(()),
        }
    }

    fn item(&mut self) -> Result<Item, Fault> {
        Ok(Item {
            bare: self.bare()?,
            parameters: self.parameters()?,
        })
    }

    fn parameters(&mut self) -> Result<Parameters, Fault> {
        let mut parameters: Parameters = Vec::new();
        while self.take(b';') {
            self.spaces();
            let key = self.key()?;
            if parameters.iter().any(|(other, _)| *other == key) {
                return Err(Fault::RepeatedField);
            }
            if parameters.len() == MAX_MEMBERS {
                return Err(Fault::TooMany(MAX_MEMBERS));
            }
            let bare = match self.take(b'=') {
                true => self.bare()?,
                false => Bare::Boolean(true),
            };
            parameters.push((key, bare));
        }
        Ok(parameters)
    }

    fn key(&mut self) -> Result<String, Fault> {
        if !matches!(self.peek(), Some(b'a'..=b'z' | b'*')) {
            return Err(self.wrong("a key, of a-z 0-9 _ - . *"));
        }
        Ok(self.run(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        }))
    }

    fn bare(&mut self) -> Result<Bare, Fault> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'"') => self.string(),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'*') => {
                Ok(Bare::Token(self.run(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                })))
            }
            Some(b':') => {
                self.rest = &self.rest[1..];
                let end = self.rest.iter().position(|byte| *byte == b':');
                let end = end.ok_or_else(|| self.wrong("the colon that ends the bytes"))?;
                let bytes = encoding::decode_base64(&self.rest[..end])?;
                self.rest = &self.rest[end + 1..];
                Ok(Bare::Bytes(bytes))
            }
            Some(b'?') => {
                self.rest = &self.rest[1..];
                match (self.take(b'1'), self.take(b'0')) {
                    (true, false) => Ok(Bare::Boolean(true)),
                    (false, true) => Ok(Bare::Boolean(false)),
                    _ => Err(self.wrong("?0 or ?1")),
                }
            }
            Some(b'@') => {
                self.rest = &self.rest[1..];
                match self.number()? {
                    Bare::Integer(seconds) => Ok(Bare::Date(seconds)),
                    _ => Err(self.wrong("whole seconds")),
                }
            }
            _ => Err(self.wrong("a value")),
        }
    }

    fn number(&mut self) -> Result<Bare, Fault> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        let whole = self.run(|byte| byte.is_ascii_digit());
        let point = self.take(b'.');
        let most = if point { 12 } else { 15 };
        // Fifteen digits are few enough for an i64, and for thousandths of twelve.
        let number: i64 = whole.parse().map_err(|_| self.wrong("a digit"))?;
        if whole.len() > most {
            return Err(self.wrong("fewer digits"));
        }
        if !point {
            return Ok(Bare::Integer(sign * number));
        }
        let fraction = self.run(|byte| byte.is_ascii_digit());
        match fraction.len() {
            1..=3 => {
                let thousandths: i64 = format!("{fraction:0<3}").parse().unwrap_or_default();
                Ok(Bare::Decimal(sign * (number * 1000 + thousandths)))
            }
            _ => Err(self.wrong("one to three digits after the point")),
        }
    }

    fn string(&mut self) -> Result<Bare, Fault> {
        let mut text = String::new();
        let mut at = 1;
        loop {
            match self.rest.get(at) {
                Some(b'"') => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(Bare::String(text));
                }
                Some(b'\\') => match self.rest.get(at + 1) {
                    Some(byte @ (b'"' | b'\\')) => {
                        text.push(char::from(*byte));
                        at += 2;
                    }
                    _ => return Err(self.wrong("\\\" or \\\\ after a backslash")),
                },
                Some(byte @ 0x20..0x7f) => {
                    text.push(char::from(*byte));
                    at += 1;
                }
                _ => return Err(self.wrong("printable ASCII and a closing quote")),
            }
        }
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> String {
        let end = self.rest.iter().position(|byte| !belongs(*byte));
        let (run, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        run.iter().map(|byte| char::from(*byte)).collect()
    }

    fn spaces(&mut self) {
        while self.take(b' ') {}
    }

    fn whitespace(&mut self) {
        while self.take(b' ') || self.take(b'\t') {}
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.rest = &self.rest[usize::from(there)..];
        there
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    const fn wrong(&self, expected: &'static str) -> Fault {
        Fault::Structured {
            expected,
            left: self.rest.len(),
        }
    }
}

/// Members of a list, dictionary or inner list, and parameters of one of them.
const MAX_MEMBERS: usize = 64;
/// The longest field, in bytes.
const MAX_TEXT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Examples of RFC 9651 sections 3 and 4, and of RFC 9421 section 2.1.1.
    #[test]
    fn fields_have_one_canonical_form() {
        use FieldType::{Dictionary, Item, List};
        for (kind, text, expected) in [
            (Item, "5; foo=bar", "5;foo=bar"),
            (Item, "-007", "-7"),
            (Item, "4.500", "4.5"),
            (Item, "-0.001", "-0.001"),
            (Item, "\"a \\\"b\\\\\"", "\"a \\\"b\\\\\""),
            (Item, "@1659578233", "@1659578233"),
            (List, "sugar,  tea,\trum", "sugar, tea, rum"),
            (
                List,
                "(  \"foo\"   \"bar\" );q=1.0, ()",
                "(\"foo\" \"bar\");q=1.0, ()",
            ),
            (
                Dictionary,
                "a=1,   b=2;x=1;y=2,    c=(a   b   c), d=?1;z, e=:AQ==:",
                "a=1, b=2;x=1;y=2, c=(a b c), d;z, e=:AQ==:",
            ),
        ] {
            assert_eq!(canonical(text.as_bytes(), kind).unwrap(), expected);
            assert_eq!(canonical(expected.as_bytes(), kind).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_field_is_refused() {
        use FieldType::{Dictionary, Item, List};
        for (kind, text) in [
            (Item, ""),
            (Item, "1 2"),
            (Item, "1234567890123456"),
            (Item, "1.1234"),
            (Item, "\"a"),
            (Item, "\"\\n\""),
            (Item, ":AQ:"),
            (Item, "?2"),
            (Item, "1;a=1;a=2"),
            (List, "a,"),
            (List, "(a"),
            (List, "(\"a\"\"b\")"),
            (Dictionary, "a=1, a=2"),
            (Dictionary, "A=1"),
            (Dictionary, "a=1 b=2"),
        ] {
            assert!(canonical(text.as_bytes(), kind).is_err(), "{text:?}");
        }
        let many = vec!["a"; 65].join(",");
        assert_eq!(canonical(many.as_bytes(), List), Err(Fault::TooMany(64)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_itself(text in "[a-c=;,()\"\\\\ :?@0-9.-]{0,40}") {
            for kind in [FieldType::Dictionary, FieldType::List, FieldType::Item] {
                if let Ok(written) = canonical(text.as_bytes(), kind) {
                    prop_assert_eq!(canonical(written.as_bytes(), kind), Ok(written));
                }
            }
        }
    }
}
