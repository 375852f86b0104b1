//! JSON objects, read strictly: a name that occurs twice, depth and rubbish at the end are refused.
//!
//! RFC 7515 section 4 lets a parser take the last of two members with one name. Two parsers that take
//! different ones see two messages under one signature, so none is taken here.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A text that is not a JSON object as it is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidJson {
    /// Longer than the caller allows.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// What is allowed.
        limit: usize,
    },
    /// One object has two members with the same name.
    #[error("an object has two members with the same name")]
    DuplicateMember,
    /// Objects and arrays within each other.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More values than any header has.
    #[error("more than {MAX_VALUES} values")]
    TooMany,
    /// Not UTF-8, not JSON, not an object, or followed by something else.
    #[error("not one JSON object in UTF-8")]
    Syntax,
}

/// Reads an object of at most `limit` bytes.
pub(super) fn object(text: &[u8], limit: usize) -> Result<Map<String, Value>, InvalidJson> {
    if text.len() > limit {
        return Err(InvalidJson::TooLong { limit });
    }
    let text = std::str::from_utf8(text).map_err(|_| InvalidJson::Syntax)?;
    let fault = Cell::new(InvalidJson::Syntax);
    let mut reader = serde_json::Deserializer::from_str(text);
    let strict = Strict {
        depth: 1,
        left: &Cell::new(MAX_VALUES),
        fault: &fault,
    };
    let value = strict.deserialize(&mut reader).map_err(|_| fault.get())?;
    reader.end().map_err(|_| InvalidJson::Syntax)?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(InvalidJson::Syntax),
    }
}

/// Reads one value at this depth; what it refuses by itself it leaves in `fault`, because serde's
/// errors are texts.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    left: &'a Cell<usize>,
    fault: &'a Cell<InvalidJson>,
}

impl Strict<'_> {
    fn refuse<E: Error>(self, fault: InvalidJson) -> E {
        self.fault.set(fault);
        E::custom(fault)
    }

    fn inner<E: Error>(self) -> Result<Self, E> {
        if self.depth > MAX_DEPTH {
            return Err(self.refuse(InvalidJson::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        // A value takes many times the memory of its text.
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(self.refuse(InvalidJson::TooMany));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| self.refuse(InvalidJson::Syntax))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(value) = elements.next_element_seed(inner)? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(self.refuse(InvalidJson::DuplicateMember));
            }
            let value = members.next_value_seed(inner)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// How many objects and arrays may be within each other; headers have two or three.
const MAX_DEPTH: usize = 8;

/// How many values there may be; a message for eight recipients has about a hundred.
const MAX_VALUES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Map<String, Value>, InvalidJson> {
        object(text.as_bytes(), 1 << 20)
    }

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        let text = r#" {"z":[1,-2,1.5,true,null],"a":{"b":"\u00e9\n"},"":18446744073709551615} "#;
        assert_eq!(
            Value::Object(read(text).unwrap()),
            serde_json::from_str::<Value>(text).unwrap()
        );
        assert_eq!(
            read(text).unwrap().keys().collect::<Vec<_>>(),
            ["z", "a", ""]
        );
    }

    #[test]
    fn attack_11_duplicate_member_at_any_depth() {
        for text in [
            r#"{"alg":"RS256","alg":"none"}"#,
            r#"{"alg":"RS256","\u0061lg":"none"}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":[[{"b":1,"b":1}]]}"#,
        ] {
            assert_eq!(read(text), Err(InvalidJson::DuplicateMember), "{text}");
        }
        assert!(read(r#"{"a":{"a":[{"a":1},{"a":1}]}}"#).is_ok());
    }

    #[test]
    fn attack_12_depth() {
        let nested = |depth: usize| {
            let inner = depth - 1;
            format!("{{\"a\":{}{}}}", "[".repeat(inner), "]".repeat(inner))
        };
        assert!(read(&nested(8)).is_ok());
        assert_eq!(read(&nested(9)), Err(InvalidJson::TooDeep));
        assert_eq!(read(&nested(100_000)), Err(InvalidJson::TooDeep));
        assert_eq!(read(&"{\"a\":".repeat(100_000)), Err(InvalidJson::TooDeep));
    }

    #[test]
    fn attack_12_many_values() {
        let array = |count: usize| format!("{{\"a\":[{}]}}", vec!["1"; count].join(","));
        assert!(read(&array(1022)).is_ok());
        assert_eq!(read(&array(1023)), Err(InvalidJson::TooMany));
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for text in [
            "",
            " ",
            "null",
            "[]",
            "\"a\"",
            "{",
            "{}{}",
            "{} x",
            "{'a':1}",
            "{a:1}",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":NaN}",
            "{\"a\":1e999}",
            "{\"a\":\"\\ud800\"}",
            "\u{feff}{}",
            "{\"a\":\"\n\"}",
            "{/**/}",
        ] {
            assert_eq!(read(text), Err(InvalidJson::Syntax), "{text:?}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}", 100), Err(InvalidJson::Syntax));
        assert_eq!(object(b"{}", 1), Err(InvalidJson::TooLong { limit: 1 }));
    }
}
