//! A scheme file as it is written: TOML in which every entry knows its line and its path.

use std::{fmt, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The first fault of a scheme file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {}{message}", Path(.at))]
pub struct SchemeError {
    line: usize,
    at: String,
    message: String,
    reason: &'static str,
}

/// One entry of the file.
#[derive(Clone, Debug)]
pub(super) struct Item<'d> {
    text: &'d str,
    span: Range<usize>,
    at: String,
    value: &'d DeValue<'d>,
}

/// The entries of a table, in the order of the file, each to be taken once.
pub(super) struct Fields<'d> {
    table: Item<'d>,
    rest: Vec<(&'d str, Item<'d>)>,
    known: Vec<&'static str>,
}

/// Parses the text and hands its top table on.
pub(super) fn read<T>(
    text: &str,
    then: impl FnOnce(Fields<'_>) -> Result<T, SchemeError>,
) -> Result<T, SchemeError> {
    let parsed = DeTable::parse(text).map_err(|error| SchemeError {
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        at: String::new(),
        message: error.message().to_owned(),
        reason: "NOT_TOML",
    })?;
    let span = parsed.span();
    let value = DeValue::Table(parsed.into_inner());
    let top = Item {
        text,
        span,
        at: String::new(),
        value: &value,
    };
    then(top.fields()?)
}

impl<'d> Item<'d> {
    /// The path of the entry, such as `sign.signature.string[4]`.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    pub(super) const fn as_text(&self) -> Option<&'d str> {
        match self.value {
            DeValue::String(text) => Some(text_of(text)),
            _ => None,
        }
    }

    pub(super) const fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(super) const fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    pub(super) fn text(&self) -> Result<&'d str, SchemeError> {
        self.as_text().ok_or_else(|| self.wrong("text"))
    }

    pub(super) fn boolean(&self) -> Result<bool, SchemeError> {
        match self.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.wrong("true or false")),
        }
    }

    pub(super) fn number(&self, range: Range<u64>) -> Result<u64, SchemeError> {
        let expected = format!("a whole number from {} to {}", range.start, range.end - 1);
        let DeValue::Integer(number) = self.value else {
            return Err(self.wrong(&expected));
        };
        u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                self.refuse(
                    "WRONG_VALUE",
                    format!("expected {expected}, found {}", number.as_str()),
                )
            })
    }

    pub(super) fn list(&self) -> Result<Vec<Self>, SchemeError> {
        let DeValue::Array(array) = self.value else {
            return Err(self.wrong("a list"));
        };
        let element = |(index, element): (usize, &'d Spanned<DeValue<'d>>)| {
            self.inner(format!("{}[{index}]", self.at), element)
        };
        Ok(array.iter().enumerate().map(element).collect())
    }

    pub(super) fn fields(&self) -> Result<Fields<'d>, SchemeError> {
        let DeValue::Table(table) = self.value else {
            return Err(self.wrong("a table"));
        };
        let mut rest: Vec<_> = table
            .iter()
            .map(|(name, value)| {
                let name: &'d str = name.get_ref();
                let at = match self.at.as_str() {
                    "" => name.to_owned(),
                    at => format!("{at}.{name}"),
                };
                (name, self.inner(at, value))
            })
            .collect();
        rest.sort_by_key(|(_, item)| item.span.start);
        Ok(Fields {
            table: self.clone(),
            rest,
            known: Vec::new(),
        })
    }

    fn inner(&self, at: String, value: &'d Spanned<DeValue<'d>>) -> Self {
        Self {
            text: self.text,
            span: value.span(),
            at,
            value: value.get_ref(),
        }
    }

    pub(super) fn wrong(&self, expected: &str) -> SchemeError {
        let found = self.value.type_str();
        self.refuse("WRONG_VALUE", format!("expected {expected}, found {found}"))
    }

    pub(super) fn refuse(&self, reason: &'static str, message: impl fmt::Display) -> SchemeError {
        SchemeError {
            line: self.line(),
            at: self.at.clone(),
            message: message.to_string(),
            reason,
        }
    }

    /// The line that it starts on, the first being 1.
    pub(super) fn line(&self) -> usize {
        line_of(self.text, self.span.start)
    }
}

impl<'d> Fields<'d> {
    pub(super) const fn table(&self) -> &Item<'d> {
        &self.table
    }

    pub(super) fn maybe(&mut self, name: &'static str) -> Option<Item<'d>> {
        self.known.push(name);
        let index = self.rest.iter().position(|(other, _)| *other == name)?;
        Some(self.rest.remove(index).1)
    }

    pub(super) fn take(&mut self, name: &'static str) -> Result<Item<'d>, SchemeError> {
        self.maybe(name).ok_or_else(|| {
            self.table
                .refuse("MISSING_ENTRY", format!("expected the entry {name}"))
        })
    }

    /// Whatever is left, under names of the file's own.
    pub(super) fn rest(self) -> Vec<(&'d str, Item<'d>)> {
        self.rest
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), SchemeError> {
        match self.rest.first() {
            None => Ok(()),
            Some((name, item)) => Err(item.refuse(
                "UNKNOWN_ENTRY",
                format!(
                    "unknown entry {name:?}; expected one of {}",
                    self.known.join(", ")
                ),
            )),
        }
    }
}

impl SchemeError {
    /// The line of the fault, the first being 1.
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The path of the fault, such as `sign.signature.string[4].then[0]`.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// What was expected and what came, without where.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    pub(super) const fn new(
        line: usize,
        at: String,
        message: String,
        reason: &'static str,
    ) -> Self {
        Self {
            line,
            at,
            message,
            reason,
        }
    }
}

struct Path<'a>(&'a str);

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            path => write!(formatter, "{path}: "),
        }
    }
}

const fn text_of<'d>(text: &'d std::borrow::Cow<'d, str>) -> &'d str {
    match text {
        std::borrow::Cow::Borrowed(text) => text,
        std::borrow::Cow::Owned(text) => text.as_str(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}
