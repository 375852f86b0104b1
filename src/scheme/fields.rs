//! Lists of names and values: made from JSON, forms, queries and headers, and joined to one text.

use std::borrow::Cow;

use crate::scheme::{
    encoding::{self, Kept},
    fault::Fault,
    function::MAX_OUTPUT,
    json::{Json, MAX_FIELDS},
};

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field<'v> {
    pub(super) name: Cow<'v, [u8]>,
    pub(super) value: Cow<'v, [u8]>,
    /// Whether the value is a JSON object or array, and not a string that looks like one.
    pub(super) structured: bool,
}

/// The members of the top-level object; none for an empty text.
pub(super) fn json(text: Cow<'_, [u8]>) -> Result<Vec<Field<'_>>, Fault> {
    match text {
        Cow::Borrowed(text) => members(text),
        Cow::Owned(text) => Ok(members(&text)?.into_iter().map(Field::owned).collect()),
    }
}

fn members(text: &[u8]) -> Result<Vec<Field<'_>>, Fault> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let members = Json::parse(text)?.members().ok_or(Fault::NotObject)?;
    let fields = members.into_iter().map(|member| Field {
        structured: member.value.is_structured(),
        value: bytes(member.value.text()),
        name: bytes(member.name),
    });
    Ok(fields.collect())
}

/// The same with every value as it stands in the text, strings with their quotes and escapes.
pub(super) fn raw_json<'v>(text: &[u8]) -> Result<Vec<Field<'v>>, Fault> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let members = Json::parse(text)?.members().ok_or(Fault::NotObject)?;
    let fields = members.into_iter().map(|member| Field {
        structured: member.value.is_structured(),
        value: member.value.raw().as_bytes().to_vec().into(),
        name: bytes(member.name),
    });
    Ok(fields.map(Field::owned).collect())
}

/// `name=value` joined with `&`, decoded or as it came. No name may come twice: whoever reads the form
/// would choose between them.
pub(super) fn form<'v>(text: &[u8], decode: bool) -> Result<Vec<Field<'v>>, Fault> {
    let mut fields = pairs(text, "&", "=")?;
    if decode {
        for field in &mut fields {
            for part in [&mut field.name, &mut field.value] {
                *part = encoding::percent_decode(std::mem::take(part), Kept::Form)?;
            }
        }
    }
    let mut names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Fault::RepeatedField);
    }
    Ok(fields)
}

/// The parameters of a query as they came; a name may come twice.
pub(super) fn query<'v>(text: &[u8]) -> Result<Vec<Field<'v>>, Fault> {
    pairs(text, "&", "=")
}

/// A list such as that of an `Authorization` header; with `quoted`, values may be in double quotes,
/// which are left out, and in which separators count as text.
pub(super) fn list<'v>(
    text: &[u8],
    separator: &str,
    pair: &str,
    quoted: bool,
) -> Result<Vec<Field<'v>>, Fault> {
    if !quoted {
        let mut fields = pairs(text, separator, pair)?;
        for field in &mut fields {
            field.name = part(std::mem::take(&mut field.name), <[u8]>::trim_ascii);
        }
        return Ok(fields);
    }
    let mut fields = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = find(rest, pair).ok_or_else(|| Fault::NotAPair(pair.to_owned()))?;
        let name = rest[..at].trim_ascii().to_vec();
        rest = &rest[at + pair.len()..];
        let value;
        if let Some(inside) = rest.strip_prefix(b"\"") {
            let end = find(inside, "\"").ok_or(Fault::Encoding("a closing quote"))?;
            value = inside[..end].to_vec();
            rest = inside[end + 1..].trim_ascii_start();
            if !rest.is_empty() && !rest.starts_with(separator.as_bytes()) {
                return Err(Fault::Encoding("a separator after the quote"));
            }
        } else {
            let end = find(rest, separator).unwrap_or(rest.len());
            value = rest[..end].trim_ascii().to_vec();
            rest = &rest[end..];
        }
        rest = rest.strip_prefix(separator.as_bytes()).unwrap_or(rest);
        push(&mut fields, Field::new(name, value))?;
    }
    Ok(fields)
}

fn pairs<'v>(text: &[u8], separator: &str, pair: &str) -> Result<Vec<Field<'v>>, Fault> {
    let mut fields = Vec::new();
    let mut rest = Some(text).filter(|text| !text.is_empty());
    while let Some(text) = rest {
        let (one, after) = match find(text, separator) {
            Some(at) => (&text[..at], Some(&text[at + separator.len()..])),
            None => (text, None),
        };
        rest = after;
        let at = find(one, pair).ok_or_else(|| Fault::NotAPair(pair.to_owned()))?;
        let (name, value) = (one[..at].to_vec(), one[at + pair.len()..].to_vec());
        push(&mut fields, Field::new(name, value))?;
    }
    Ok(fields)
}

fn push<'v>(fields: &mut Vec<Field<'v>>, field: Field<'v>) -> Result<(), Fault> {
    if fields.len() == MAX_FIELDS {
        return Err(Fault::TooMany(MAX_FIELDS));
    }
    fields.push(field);
    Ok(())
}

/// No more bytes than an expression may have, however often they are encoded.
pub(super) fn bounded(fields: Vec<Field<'_>>) -> Result<Vec<Field<'_>>, Fault> {
    let lengths = fields.iter().map(|one| one.name.len() + one.value.len());
    if lengths.sum::<usize>() > MAX_OUTPUT {
        return Err(Fault::TooLong(MAX_OUTPUT));
    }
    Ok(fields)
}

/// Writes the values that are JSON objects or arrays in another form.
pub(super) fn structured<'v>(
    mut fields: Vec<Field<'v>>,
    write: impl Fn(Json<'_>) -> String,
) -> Result<Vec<Field<'v>>, Fault> {
    for field in fields.iter_mut().filter(|field| field.structured) {
        field.value = write(Json::parse(&field.value)?).into_bytes().into();
    }
    Ok(fields)
}

pub(super) fn join(fields: &[Field<'_>], separator: &str, pair: &str) -> Result<Vec<u8>, Fault> {
    let length =
        |field: &Field<'_>| field.name.len() + pair.len() + field.value.len() + separator.len();
    let total = fields.iter().map(length).sum();
    if total > MAX_OUTPUT {
        return Err(Fault::TooLong(MAX_OUTPUT));
    }
    let mut output = Vec::with_capacity(total);
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            output.extend_from_slice(separator.as_bytes());
        }
        output.extend_from_slice(&field.name);
        output.extend_from_slice(pair.as_bytes());
        output.extend_from_slice(&field.value);
    }
    Ok(output)
}

/// Whether these fields alone are joined to their text, of all that can be read back: a field begins where the text
/// does, and behind each separator that a name and the sign of a pair follow before the next.
pub(super) fn reads_back(fields: &[Field<'_>], separator: &str, pair: &str) -> Result<bool, Fault> {
    let text = join(fields, separator, pair)?;
    if separator.is_empty() || pair.is_empty() {
        let signs = || {
            let windows = text.windows(pair.len());
            windows.filter(|window| *window == pair.as_bytes()).count()
        };
        return Ok(fields.is_empty() || fields.len() == 1 && !pair.is_empty() && signs() == 1);
    }
    let mut wanted = fields.iter();
    // Of the field that is being read: its name, and from where to where its value is.
    let mut field: Option<(&[u8], usize, usize)> = None;
    let mut is_next = |(name, from, to): (&[u8], usize, usize)| {
        let one = wanted.next();
        one.is_some_and(|one| *one.name == *name && *one.value == text[from..to])
    };
    let mut at = 0;
    for part in split(&text, separator) {
        let end = at + part.len();
        match (find(part, pair), &mut field) {
            (Some(sign), field) => {
                let next = (&part[..sign], at + sign + pair.len(), end);
                if field.replace(next).is_some_and(|read| !is_next(read)) {
                    return Ok(false);
                }
            }
            (None, Some((_, _, to))) => *to = end,
            (None, None) => return Ok(fields.is_empty()),
        }
        at = end + separator.len();
    }
    Ok(field.is_none_or(is_next) && wanted.next().is_none())
}

/// A part of bytes, borrowed where they are.
pub(super) fn part<'v>(bytes: Cow<'v, [u8]>, of: impl Fn(&[u8]) -> &[u8]) -> Cow<'v, [u8]> {
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(of(bytes)),
        Cow::Owned(bytes) => Cow::Owned(of(&bytes).to_vec()),
    }
}

pub(super) fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The parts between separators.
pub(super) fn split<'t>(text: &'t [u8], separator: &'t str) -> impl Iterator<Item = &'t [u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = find(text, separator) else {
            rest = None;
            return Some(text);
        };
        rest = Some(&text[at + separator.len()..]);
        Some(&text[..at])
    })
}

fn find(text: &[u8], what: &str) -> Option<usize> {
    let what = what.as_bytes();
    text.windows(what.len()).position(|window| window == what)
}

impl<'v> Field<'v> {
    const fn new(name: Vec<u8>, value: Vec<u8>) -> Self {
        Self {
            name: Cow::Owned(name),
            value: Cow::Owned(value),
            structured: false,
        }
    }

    fn owned<'o>(self) -> Field<'o> {
        Field {
            name: Cow::Owned(self.name.into_owned()),
            value: Cow::Owned(self.value.into_owned()),
            structured: self.structured,
        }
    }
}
