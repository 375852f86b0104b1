//! What is read and what is refused, compared with another library.

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
