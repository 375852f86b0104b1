//! The grammar of JSON, one token after the other.

use crate::scheme::json::{Ignored, Json, JsonError, MAX_DEPTH, MAX_FIELDS, unescaped};

/// What the members and elements of the outermost value are told to.
pub(super) trait Visitor<'a> {
    fn member(&mut self, raw_name: &'a str, value: Json<'a>);
    fn element(&mut self, value: Json<'a>);
}

pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn value(
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
            let plain = self.text.as_bytes()[self.at..]
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            self.at = plain.map_or(self.text.len(), |plain| self.at + plain);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at]);
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.expected("the end of the string")),
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

    pub(super) fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) const fn expected(&self, expected: &'static str) -> JsonError {
        JsonError::Syntax {
            at: self.at,
            expected,
        }
    }
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

pub(super) fn four_digits(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
}
