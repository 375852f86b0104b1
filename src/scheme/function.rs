//! The functions of the language: what each is called, what it takes and gives, and what it does.

use std::{borrow::Cow, fmt};

use aws_lc_rs::digest;

use crate::{
    algorithm::Hash,
    scheme::{
        document::{Item, SchemeError},
        encoding::{self, Kept},
        fault::Fault,
        fields::{self, Field},
        json::Json,
    },
};

mod joined;

pub(super) use joined::{joined, joins_field, keep_all};

/// What flows through a pipeline.
#[derive(Debug)]
pub(super) enum Value<'v> {
    Bytes(Cow<'v, [u8]>),
    Map(Vec<Field<'v>>),
}

/// The type of what flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bytes,
    Map,
}

/// One step of a pipeline.
#[derive(Clone, Debug)]
pub(super) struct Function {
    kind: Kind,
    /// As the file has it.
    pub(super) shown: String,
}

#[derive(Clone, Debug)]
enum Kind {
    /// bytes -> bytes, with no two that give the same, but for the ways to write the same JSON
    Faithful(TextFunction),
    /// bytes -> bytes
    Lossy(TextFunction),
    StripPrefix(String),
    First(usize),
    Skip(usize),
    AfterLast(String),
    /// bytes -> map
    Split(SplitFunction),
    ListFields {
        separator: String,
        pair: String,
        quoted: bool,
    },
    /// map -> map
    Change(ChangeFunction),
    Exclude(Vec<String>),
    Only(Vec<String>),
    /// map -> bytes
    Join {
        separator: String,
        pair: String,
    },
    Field(String),
    OnlyValue,
}

type TextFunction = for<'v> fn(Cow<'v, [u8]>) -> Result<Cow<'v, [u8]>, Fault>;
type SplitFunction = for<'v> fn(Cow<'v, [u8]>) -> Result<Vec<Field<'v>>, Fault>;
type ChangeFunction = for<'v> fn(Vec<Field<'v>>) -> Result<Vec<Field<'v>>, Fault>;

impl Function {
    /// What it gives for this type; the error names what it takes instead.
    pub(super) const fn applied_to(&self, input: Type) -> Result<Type, Type> {
        let (takes, gives) = match &self.kind {
            Kind::Faithful(_)
            | Kind::Lossy(_)
            | Kind::StripPrefix(_)
            | Kind::First(_)
            | Kind::Skip(_)
            | Kind::AfterLast(_) => (Type::Bytes, Type::Bytes),
            Kind::Split(_) | Kind::ListFields { .. } => (Type::Bytes, Type::Map),
            Kind::Change(_) | Kind::Exclude(_) | Kind::Only(_) => (Type::Map, Type::Map),
            Kind::Join { .. } | Kind::Field(_) | Kind::OnlyValue => (Type::Map, Type::Bytes),
        };
        match (input, takes) {
            (Type::Bytes, Type::Bytes) | (Type::Map, Type::Map) => Ok(gives),
            _ => Err(takes),
        }
    }

    /// Types were checked when the scheme was loaded.
    pub(super) fn apply<'v>(&self, value: Value<'v>) -> Result<Value<'v>, Fault> {
        let bytes = match (&self.kind, value) {
            (Kind::Faithful(function) | Kind::Lossy(function), Value::Bytes(bytes)) => {
                function(bytes)?
            }
            (Kind::StripPrefix(prefix), Value::Bytes(bytes)) => {
                if !bytes.starts_with(prefix.as_bytes()) {
                    return Err(Fault::Prefix(prefix.clone()));
                }
                fields::part(bytes, |bytes| &bytes[prefix.len()..])
            }
            (Kind::First(length), Value::Bytes(bytes)) => {
                fields::part(bytes, |bytes| &bytes[..bytes.len().min(*length)])
            }
            (Kind::Skip(length), Value::Bytes(bytes)) => {
                fields::part(bytes, |bytes| &bytes[bytes.len().min(*length)..])
            }
            (Kind::AfterLast(mark), Value::Bytes(bytes)) => {
                let mut places = bytes.windows(mark.len());
                let last = places.rposition(|place| place == mark.as_bytes());
                let start = last.ok_or_else(|| Fault::Mark(mark.clone()))? + mark.len();
                fields::part(bytes, |bytes| &bytes[start..])
            }
            (Kind::Split(function), Value::Bytes(bytes)) => return function(bytes).map(Value::Map),
            (
                Kind::ListFields {
                    separator,
                    pair,
                    quoted,
                },
                Value::Bytes(bytes),
            ) => return fields::list(&bytes, separator, pair, *quoted).map(Value::Map),
            (Kind::Change(function), Value::Map(map)) => {
                return function(map).and_then(fields::bounded).map(Value::Map);
            }
            (Kind::Exclude(names), Value::Map(mut map)) => {
                map.retain(|field| !names.iter().any(|name| name.as_bytes() == &*field.name));
                return Ok(Value::Map(map));
            }
            (Kind::Only(names), Value::Map(mut map)) => {
                map.retain(|field| names.iter().any(|name| name.as_bytes() == &*field.name));
                return Ok(Value::Map(map));
            }
            (Kind::Join { separator, pair }, Value::Map(map)) => {
                Cow::Owned(fields::join(&map, separator, pair)?)
            }
            (Kind::Field(name), Value::Map(map)) => {
                let mut found = map
                    .into_iter()
                    .filter(|field| *field.name == *name.as_bytes());
                match (found.next(), found.next()) {
                    (Some(field), None) => field.value,
                    (None, _) => return Err(Fault::Absent),
                    (Some(_), Some(_)) => return Err(Fault::RepeatedField),
                }
            }
            (Kind::OnlyValue, Value::Map(map)) => {
                let mut fields = map.into_iter();
                match (fields.next(), fields.next()) {
                    (None, _) => return Err(Fault::Absent),
                    (Some(field), None) => field.value,
                    (Some(_), Some(_)) => return Err(Fault::TooMany(1)),
                }
            }
            (_, Value::Bytes(_) | Value::Map(_)) => unreachable!("types are checked at load"),
        };
        if bytes.len() > MAX_OUTPUT {
            return Err(Fault::TooLong(MAX_OUTPUT));
        }
        Ok(Value::Bytes(bytes))
    }

    pub(super) fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        if let Some(name) = item.as_text() {
            if name == ONLY_VALUE {
                let shown = name.to_owned();
                let kind = Kind::OnlyValue;
                return Ok(Self { kind, shown });
            }
            return Self::named(item, name);
        }
        if !item.is_table() {
            return Err(item.wrong("a function: its name, or a table"));
        }
        let mut entries = item.fields()?;
        let texts = |item: &Item<'_>| -> Result<Vec<String>, SchemeError> {
            let list = item.list()?;
            list.iter().map(|one| Ok(one.text()?.to_owned())).collect()
        };
        let owned = |item: Item<'_>| item.text().map(str::to_owned);
        let (kind, shown) = if let Some(prefix) = entries.maybe("strip-prefix") {
            let prefix = owned(prefix)?;
            let shown = format!("strip-prefix {prefix:?}");
            (Kind::StripPrefix(prefix), shown)
        } else if let Some(length) = entries.maybe("first") {
            let length = length.number(0..1 << 16)?;
            let shown = format!("first {length}");
            (
                Kind::First(usize::try_from(length).unwrap_or(usize::MAX)),
                shown,
            )
        } else if let Some(length) = entries.maybe("skip") {
            let length = length.number(0..1 << 16)?;
            let shown = format!("skip {length}");
            (
                Kind::Skip(usize::try_from(length).unwrap_or(usize::MAX)),
                shown,
            )
        } else if let Some(mark) = entries.maybe("after-last") {
            let text = mark.text()?;
            if text.is_empty() || text.len() > MAX_MARK {
                let message = format!("expected 1 to {MAX_MARK} bytes");
                return Err(mark.refuse("WRONG_VALUE", message));
            }
            let shown = format!("after-last {text:?}");
            (Kind::AfterLast(text.to_owned()), shown)
        } else if let Some(names) = entries.maybe("exclude") {
            let names = texts(&names)?;
            let shown = format!("exclude {}", names.join(","));
            (Kind::Exclude(names), shown)
        } else if let Some(names) = entries.maybe("only") {
            let names = texts(&names)?;
            let shown = format!("only {}", names.join(","));
            (Kind::Only(names), shown)
        } else if let Some(name) = entries.maybe("field") {
            let name = owned(name)?;
            let shown = format!("field {name}");
            (Kind::Field(name), shown)
        } else if let Some(separator) = entries.maybe("join") {
            let (separator, pair) = (owned(separator)?, owned(entries.take("pair")?)?);
            let shown = format!("join {separator:?} {pair:?}");
            (Kind::Join { separator, pair }, shown)
        } else if let Some(list) = entries.maybe("list-fields") {
            let mut list = list.fields()?;
            let (separator, pair) = (list.take("separator")?, list.take("pair")?);
            for one in [&separator, &pair] {
                if one.text()?.is_empty() {
                    return Err(one.refuse("WRONG_VALUE", "expected at least one character"));
                }
            }
            let (separator, pair) = (owned(separator)?, owned(pair)?);
            let quoted = list
                .maybe("quoted")
                .map_or(Ok(false), |one| one.boolean())?;
            list.end()?;
            let shown = format!("list-fields {separator:?} {pair:?}");
            (
                Kind::ListFields {
                    separator,
                    pair,
                    quoted,
                },
                shown,
            )
        } else {
            let name = entries.rest().first().map_or("", |(name, _)| name);
            return Err(unknown(item, name));
        };
        entries.end()?;
        Ok(Self { kind, shown })
    }

    fn named(item: &Item<'_>, name: &str) -> Result<Self, SchemeError> {
        let shown = name.to_owned();
        let find = |list: &[(&str, Kind)]| {
            let found = list.iter().find(|(known, _)| *known == name);
            found.map(|(_, kind)| kind.clone())
        };
        match find(&faithful_functions())
            .or_else(|| find(&lossy_functions()))
            .or_else(|| find(&split_functions()))
            .or_else(|| find(&change_functions()))
        {
            Some(kind) => Ok(Self { kind, shown }),
            None => Err(unknown(item, name)),
        }
    }
}

fn unknown(item: &Item<'_>, name: &str) -> SchemeError {
    item.refuse(
        "UNKNOWN_FUNCTION",
        format!(
            "unknown function {name:?}; expected one of {}",
            names().join(" ")
        ),
    )
}

/// What each function is called.
pub(super) fn names() -> Vec<&'static str> {
    let lists = [
        faithful_functions(),
        lossy_functions(),
        split_functions(),
        change_functions(),
    ];
    let names = lists.iter().flatten().map(|(name, _)| *name);
    names.chain(MAP_TO_BYTES_AND_WITH_ARGUMENTS).collect()
}

/// bytes -> bytes, without arguments, and nothing gets lost.
fn faithful_functions() -> Vec<(&'static str, Kind)> {
    let list: [(&str, TextFunction); 13] = [
        ("minify-json", |b| {
            // A message without a body has an empty one, whose hash is that of nothing.
            if b.is_empty() {
                return Ok(b);
            }
            let minified = match Json::parse(&b)?.minified() {
                // Most bodies are written without white space: those are not copied.
                Cow::Borrowed(text) if text.len() == b.len() => None,
                text => Some(text.into_owned().into_bytes()),
            };
            Ok(minified.map_or(b, Cow::Owned))
        }),
        ("json-escape", |b| encoding::json_escape(&b).map(Cow::Owned)),
        ("sha1", |b| {
            let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &b);
            Ok(digest.as_ref().to_vec().into())
        }),
        ("sha256", |b| Ok(Hash::Sha256.digest(&b).into())),
        ("sha384", |b| Ok(Hash::Sha384.digest(&b).into())),
        ("sha512", |b| Ok(Hash::Sha512.digest(&b).into())),
        ("md5", |b| {
            use md5::Digest;
            Ok(md5::Md5::digest(&b).to_vec().into())
        }),
        ("hex", |b| Ok(hex::encode(&b).into_bytes().into())),
        ("HEX", |b| Ok(hex::encode_upper(&b).into_bytes().into())),
        ("base64", |b| Ok(encoding::base64(&b).into())),
        ("base64url", |b| Ok(encoding::base64url(&b).into())),
        ("percent-encode", |b| {
            Ok(encoding::percent_encode(&b, Kept::Unreserved).into())
        }),
        ("form-encode", |b| {
            Ok(encoding::percent_encode(&b, Kept::Form).into())
        }),
    ];
    list.map(|(name, function)| (name, Kind::Faithful(function)))
        .to_vec()
}

/// The others.
fn lossy_functions() -> Vec<(&'static str, Kind)> {
    let list: [(&str, TextFunction); 11] = [
        ("strip-whitespace", |b| {
            let kept = b.iter().copied().filter(|byte| !b" \t\r\n".contains(byte));
            Ok(kept.collect())
        }),
        // Of JSON nothing is lost, which `keep_all` knows.
        ("php-json", |b| encoding::php_json(&b).map(Cow::Owned)),
        // Whoever wants another text of the same CRC finds one.
        ("crc32-decimal", |b| {
            Ok(encoding::crc32(&b).to_string().into_bytes().into())
        }),
        // In capitals or not.
        ("decode-hex", |b| encoding::decode_hex(&b).map(Cow::Owned)),
        ("decode-base64", |b| {
            encoding::decode_base64(&b).map(Cow::Owned)
        }),
        ("decode-base64url", |b| {
            encoding::decode_base64url(&b).map(Cow::Owned)
        }),
        // `%41` or `A`.
        ("percent-decode", |b| {
            encoding::percent_decode(b, Kept::Unreserved)
        }),
        ("form-decode", |b| encoding::percent_decode(b, Kept::Form)),
        ("lower", |b| Ok(b.to_ascii_lowercase().into())),
        ("upper", |b| Ok(b.to_ascii_uppercase().into())),
        ("trim", |b| Ok(fields::part(b, <[u8]>::trim_ascii))),
    ];
    list.map(|(name, function)| (name, Kind::Lossy(function)))
        .to_vec()
}

/// bytes -> map, without arguments.
fn split_functions() -> Vec<(&'static str, Kind)> {
    let list: [(&str, SplitFunction); 5] = [
        ("json-fields", |b| fields::json(b)),
        ("raw-json-fields", |b| fields::raw_json(&b)),
        ("form-fields", |b| fields::form(&b, true)),
        ("raw-form-fields", |b| fields::form(&b, false)),
        ("query-fields", |b| fields::query(&b)),
    ];
    list.map(|(name, function)| (name, Kind::Split(function)))
        .to_vec()
}

/// map -> map, without arguments.
fn change_functions() -> Vec<(&'static str, Kind)> {
    let list: [(&str, ChangeFunction); 8] = [
        ("sort", |mut map| {
            map.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(map)
        }),
        ("sort-by-name-and-value", |mut map| {
            map.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
            Ok(map)
        }),
        ("drop-empty", |mut map| {
            map.retain(|field| !field.value.is_empty());
            Ok(map)
        }),
        ("compact-values", |map| {
            fields::structured(map, |json| json.minified().into_owned())
        }),
        ("sort-values", |map| {
            fields::structured(map, |json| json.sorted())
        }),
        ("percent-encode-values", |mut map| {
            for field in &mut map {
                field.value = encoding::percent_encode(&field.value, Kept::Unreserved).into();
            }
            Ok(map)
        }),
        ("percent-encode-names", |mut map| {
            for field in &mut map {
                field.name = encoding::percent_encode(&field.name, Kept::Unreserved).into();
            }
            Ok(map)
        }),
        ("trim-values", |mut map| {
            for field in &mut map {
                let value = std::mem::take(&mut field.value);
                field.value = fields::part(value, <[u8]>::trim_ascii);
            }
            Ok(map)
        }),
    ];
    list.map(|(name, function)| (name, Kind::Change(function)))
        .to_vec()
}

const ONLY_VALUE: &str = "only-value";

const MAP_TO_BYTES_AND_WITH_ARGUMENTS: [&str; 10] = [
    ONLY_VALUE,
    "{strip-prefix}",
    "{first}",
    "{skip}",
    "{after-last}",
    "{list-fields}",
    "{exclude}",
    "{only}",
    "{join, pair}",
    "{field}",
];

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bytes => "bytes",
            Self::Map => "a map",
        })
    }
}

/// The longest text that is looked for: the search costs its length for each byte.
const MAX_MARK: usize = 16;

/// The longest result of a function or an expression, in bytes.
pub(super) const MAX_OUTPUT: usize = 24 * 1024 * 1024;
