//! Where results go: headers, query, form, or JSON, by edits that touch no other byte.

use std::{borrow::Cow, str};

use crate::scheme::{
    declared::{Declared, Here},
    document::{Item, SchemeError},
    encoding::{self, Kept},
    expression::Expression,
    fault::{EvaluationError, Fault},
    fields,
    json::{self, Json},
    message::Message,
    source::Given,
};

/// One thing to put onto the message.
#[derive(Clone, Debug)]
pub(super) struct Placement {
    place: Place,
    value: Expression,
}

#[derive(Clone, Debug)]
enum Place {
    Header(String),
    Query(String),
    Form(String),
    Json(String),
}

impl Placement {
    pub(super) fn list(
        item: Option<Item<'_>>,
        declared: &Declared,
        here: &Here,
    ) -> Result<Vec<Self>, SchemeError> {
        let Some(item) = item else {
            return Ok(Vec::new());
        };
        let parse = |item: &Item<'_>| Self::parse(item, declared, here);
        item.list()?.iter().map(parse).collect()
    }

    fn parse(item: &Item<'_>, declared: &Declared, here: &Here) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let places = ["header", "query", "form", "json"].map(|kind| entries.maybe(kind));
        let place = match places {
            [Some(name), None, None, None] => {
                let text = name.text()?;
                let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
                if text.is_empty() || !text.bytes().all(token) {
                    return Err(name.refuse(
                        "WRONG_NAME",
                        format!("{text:?} is not a header's name (RFC 9110 section 5.6.2)"),
                    ));
                }
                Place::Header(text.to_owned())
            }
            [None, Some(name), None, None] => Place::Query(name.text()?.to_owned()),
            [None, None, Some(name), None] => Place::Form(name.text()?.to_owned()),
            [None, None, None, Some(name)] => Place::Json(name.text()?.to_owned()),
            _ => {
                let expected = "expected one of header, query, form, json";
                return Err(item.refuse("WRONG_VALUE", expected));
            }
        };
        let value = Expression::parse(&entries.take("value")?, &declared.at(here))?;
        entries.end()?;
        Ok(Self { place, value })
    }

    /// Edits the message; a header that is there already is replaced.
    pub(super) fn apply(
        &self,
        message: &mut Message<'_>,
        set: &mut Vec<(String, String)>,
        given: Given<'_>,
    ) -> Result<(), EvaluationError> {
        let value = self.value.unless_omitted(given.with(&message.borrowed()))?;
        let Some(value) = value else {
            return Ok(());
        };
        let edit = match &self.place {
            Place::Header(name) => set_header(message, set, name, value),
            Place::Query(name) => set_query(message, name, &value),
            Place::Form(name) => set_form(message, name, &value),
            Place::Json(name) => set_json(message, name, &value),
        };
        edit.map_err(|fault| self.value.error(fault))
    }
}

pub(super) fn set_header(
    message: &mut Message<'_>,
    set: &mut Vec<(String, String)>,
    name: &str,
    value: Vec<u8>,
) -> Result<(), Fault> {
    let text = String::from_utf8(value).unwrap_or_default();
    let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.is_empty() || !text.bytes().all(printable) || text.trim() != text {
        return Err(Fault::Placement(
            "a header's value is printable ASCII, not empty, with no space at its ends",
        ));
    }
    message
        .headers
        .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    set.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    let header = (name.to_owned(), text.clone().into_bytes());
    message.headers.push((header.0.into(), header.1.into()));
    set.push((name.to_owned(), text));
    Ok(())
}

fn set_query(message: &mut Message<'_>, name: &str, value: &[u8]) -> Result<(), Fault> {
    let query = message.query.take().unwrap_or_default();
    refuse_present(query.as_bytes(), name)?;
    let mut query = query.into_owned();
    if !query.is_empty() {
        query.push('&');
    }
    for part in [name.as_bytes(), b"=", value] {
        let encoded = match part {
            b"=" => part.to_vec(),
            part => encoding::percent_encode(part, Kept::Unreserved),
        };
        // Percent encoding gives ASCII.
        query.push_str(str::from_utf8(&encoded).unwrap_or_default());
    }
    message.query = Some(query.into());
    Ok(())
}

fn set_form(message: &mut Message<'_>, name: &str, value: &[u8]) -> Result<(), Fault> {
    refuse_present(&message.body, name)?;
    let body = message.body.to_mut();
    if !body.is_empty() {
        body.push(b'&');
    }
    body.extend(encoding::percent_encode(name.as_bytes(), Kept::Form));
    body.push(b'=');
    body.extend(encoding::percent_encode(value, Kept::Form));
    Ok(())
}

fn refuse_present(text: &[u8], name: &str) -> Result<(), Fault> {
    for field in fields::query(text)? {
        if *encoding::percent_decode(field.name, Kept::Form)? == *name.as_bytes() {
            return Err(Fault::Placement("a field of this name is there already"));
        }
    }
    Ok(())
}

fn set_json(message: &mut Message<'_>, name: &str, value: &[u8]) -> Result<(), Fault> {
    let value = str::from_utf8(value).map_err(|_| Fault::Utf8)?;
    let whole = Json::parse(&message.body)?;
    let members = whole.members().ok_or(Fault::NotObject)?;
    if members.iter().any(|member| member.name == name) {
        return Err(Fault::Placement("a member of this name is there already"));
    }
    let comma = if members.is_empty() { "" } else { "," };
    let member = format!(
        "{comma}\"{}\":\"{}\"",
        json::escaped(name),
        json::escaped(value)
    );
    // Whatever white space stands before the brace stays behind the last member.
    let brace = message
        .body
        .iter()
        .rposition(|byte| *byte == b'}')
        .unwrap_or(0);
    let kept = message.body[..brace].trim_ascii_end().len();
    let mut body = message.body.to_vec();
    body.splice(kept..kept, member.into_bytes());
    message.body = Cow::Owned(body);
    Ok(())
}
