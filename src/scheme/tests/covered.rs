//! What is handed on is what was signed: attacks on messages whose signature stays right, each by its name.

use std::{borrow::Cow, collections::BTreeMap};

use super::{message, shipped};
use crate::scheme::{
    Bindings, Message, Outcome, Scheme, UnixMilliseconds, Verdict,
    fields::{self, Field},
};

/// Fields of JSON that are joined, as the shipped schemes of PayWizard do it.
const JOINED: &str =
    r#""json-fields", { exclude = ["sign"] }, "drop-empty", "sort", { join = "&", pair = "=" }"#;

#[test]
fn an_extra_empty_field_is_not_handed_on() {
    let scheme = joining(JOINED);
    let sent = handed_on(&scheme, r#"{"a":"1","sign":"s"}"#);
    assert_eq!(sent, ["field.a=1"]);
    for altered in [
        r#"{"a":"1","approved":"","sign":"s"}"#,
        r#"{"approved":"","a":"1","sign":"s"}"#,
    ] {
        assert_eq!(handed_on(&scheme, altered), sent, "{altered}");
    }
}

#[test]
fn an_excluded_field_is_not_handed_on_however_it_is_altered() {
    let scheme = joining(JOINED);
    for altered in [
        r#"{"a":"1","sign":"s"}"#,
        r#"{"a":"1","sign":{"amount":1}}"#,
        r#"{"a":"1"}"#,
    ] {
        assert_eq!(handed_on(&scheme, altered), ["field.a=1"], "{altered}");
    }
}

#[test]
fn fields_that_are_merged_are_refused_and_those_that_can_be_told_apart_are_not() {
    let scheme = joining(JOINED);
    assert_eq!(
        handed_on(&scheme, r#"{"a":"1","b":"2"}"#),
        ["field.a=1", "field.b=2"]
    );
    for merged in [
        r#"{"a":"1&b=2"}"#,
        r#"{"a=1&b":"2"}"#,
        // A border that is moved.
        r#"{"a=1":"2"}"#,
        r#"{"a":"1","&b":"2"}"#,
        r#"{"a":"1&","b&c=":"2"}"#,
        r#"{"":"x&y=z"}"#,
    ] {
        assert_eq!(refusal(&scheme, merged), "AMBIGUOUS_MESSAGE", "{merged}");
    }
    let named = conclude(&scheme, r#"{"a":"1&b=2"}"#).unwrap_err();
    assert!(
        named.starts_with("verify.signature.string[0]: body | json-fields | exclude sign"),
        "{named}"
    );
    // A separator alone, or the sign of a pair in a value, belongs to its value: no other fields give the same text.
    for (body, expected) in [
        (r#"{"a":"Tom & Jerry"}"#, &["field.a=Tom & Jerry"][..]),
        (r#"{"a":"x=y==","b":"&"}"#, &["field.a=x=y==", "field.b=&"]),
        (r#"{"a":"&&","b":"2"}"#, &["field.a=&&", "field.b=2"]),
        (r#"{"":"x"}"#, &["field.=x"]),
        ("{}", &[]),
        ("", &[]),
    ] {
        assert_eq!(handed_on(&scheme, body), expected, "{body}");
    }
}

/// Of all fields up to some length that give one text, one list alone is taken.
#[test]
fn no_two_lists_of_fields_are_taken_for_one_text() {
    let mut texts = vec![String::new()];
    for length in 0..3 {
        let longer = |text: &String| ["a", "&", "="].map(|one| format!("{text}{one}"));
        let grown: Vec<_> = texts.iter().filter(|text| text.len() == length).collect();
        let grown: Vec<_> = grown.into_iter().flat_map(longer).collect();
        texts.extend(grown);
    }
    let field = |name: &String, value: &String| Field {
        name: Cow::Owned(name.clone().into_bytes()),
        value: Cow::Owned(value.clone().into_bytes()),
        structured: false,
    };
    let short = || texts.iter().filter(|text| text.len() < 2);
    let mut lists: Vec<Vec<Field<'_>>> = vec![Vec::new()];
    for name in &texts {
        lists.extend(texts.iter().map(|value| vec![field(name, value)]));
    }
    for (first, second) in short().flat_map(|one| texts.iter().map(move |two| (one, two))) {
        for (third, fourth) in short().flat_map(|one| short().map(move |two| (one, two))) {
            lists.push(vec![field(first, second), field(third, fourth)]);
        }
    }
    for (separator, pair) in [("&", "="), ("", "="), ("&", ""), ("&&", "="), ("=", "=")] {
        let mut taken = BTreeMap::new();
        for list in &lists {
            if fields::reads_back(list, separator, pair).unwrap() {
                let text = fields::join(list, separator, pair).unwrap();
                let other = taken.insert(text, list);
                assert!(other.is_none(), "{list:?} {other:?} {separator:?} {pair:?}");
            }
        }
        assert!(!taken.is_empty());
    }
}

#[test]
fn a_border_that_moves_where_nothing_separates_fields_is_refused() {
    let scheme = joining(r#""json-fields", "sort", { join = "", pair = "=" }"#);
    for body in [
        r#"{"a":"1","b":"2"}"#,
        r#"{"a":"1b=2"}"#,
        r#"{"a":"","1b":"2"}"#,
        r#"{"a=1b":"2"}"#,
    ] {
        assert_eq!(refusal(&scheme, body), "AMBIGUOUS_MESSAGE", "{body}");
    }
    assert_eq!(handed_on(&scheme, r#"{"a":"1b"}"#), ["field.a=1b"]);
    let scheme = joining(r#""json-fields", "sort", { join = "&", pair = "" }"#);
    for body in [r#"{"a":"1"}"#, r#"{"a1":""}"#] {
        assert_eq!(refusal(&scheme, body), "AMBIGUOUS_MESSAGE", "{body}");
    }
}

#[test]
fn a_number_in_the_place_of_a_string_is_handed_on_as_the_text_that_was_signed() {
    let scheme = joining(JOINED);
    for body in [r#"{"a":"1.0","n":"null"}"#, r#"{"a":1.0,"n":null}"#] {
        assert_eq!(handed_on(&scheme, body), ["field.a=1.0", "field.n=null"]);
    }
    // Where the platform signs the values as they stand there, so are they handed on.
    let scheme = joining(r#""raw-json-fields", "sort", { join = "&", pair = "=" }"#);
    assert_eq!(handed_on(&scheme, r#"{"a":"1"}"#), [r#"field.a="1""#]);
    assert_eq!(handed_on(&scheme, r#"{"a":1}"#), ["field.a=1"]);
}

#[test]
fn case_white_space_and_spelling_that_are_not_signed_are_not_handed_on() {
    let scheme = joining(r#""lower", "form-fields", "trim-values", { join = "&", pair = "=" }"#);
    for body in ["a=yes&b=no", "A=YES&b=No", "a=%20yes+&b=no", "%61=yes&b=no"] {
        assert_eq!(handed_on(&scheme, body), ["field.a=yes", "field.b=no"]);
    }
    // A text of which something gets lost is never a part itself.
    for then in [
        r#""lower""#,
        r#""upper", "hex""#,
        r#""trim""#,
        r#""strip-whitespace""#,
        r#""minify-json", "strip-whitespace", "sha256""#,
        r#""decode-hex""#,
        r#""decode-base64""#,
        r#""percent-decode""#,
        r#""form-decode""#,
        r#""crc32-decimal""#,
        r#""php-json""#,
        r#"{ first = 9 }"#,
        JOINED,
        r#""raw-json-fields", { join = "&", pair = "=" }"#,
        r#""form-fields", "sort", { join = "&", pair = "=" }"#,
        r#""query-fields", "sort-by-name-and-value", { join = "&", pair = "=" }"#,
    ] {
        let error = read(then, "\"body\"", "").err().unwrap();
        assert!(error.starts_with("NOT_SIGNED"), "{then}: {error}");
    }
    for then in [
        r#""sha256", "hex""#,
        r#""minify-json", "sha512", "base64""#,
        r#""minify-json", "php-json", "sha256", "HEX""#,
        r#"{ strip-prefix = "v1=" }, "percent-encode""#,
    ] {
        assert!(read(then, "\"body\"", "").is_ok(), "{then}");
    }
}

#[test]
fn fields_are_told_only_where_they_are_all_that_is_joined() {
    for then in [
        r#""sha256""#,
        r#""form-fields", { join = "&", pair = "=" }, "lower""#,
        r#""form-fields", { join = "&", pair = "=" }, { first = 9 }"#,
    ] {
        let error = read(then, "\"fields\"", "").err().unwrap();
        assert!(error.starts_with("NOT_SIGNED"), "{then}: {error}");
    }
    let hashed = r#""form-fields", { join = "&", pair = "=" }, "sha256", "hex""#;
    let scheme = read(hashed, "\"fields\", \"method\"", "").unwrap();
    assert_eq!(
        handed_on(&scheme, "b=2&a=1"),
        ["method=POST", "field.a=1", "field.b=2"]
    );
    let twice = read(
        r#""query-fields", { join = "&", pair = "=" }"#,
        "\"fields\"",
        "",
    );
    assert_eq!(refusal(&twice.unwrap(), "a=1&a=2"), "FIELD_REPEATED");
}

#[test]
fn a_field_that_is_not_joined_tells_neither_time_nor_message() {
    let time = |field: &str| {
        format!(
            "[verify.time]\nfrom = {{ from = \"{field}\" }}\nformat = \"unix-seconds\"\npast_seconds = 9\nfuture_seconds = 9\n"
        )
    };
    let replay = |field: &str| format!("[verify.replay]\nfrom = {{ from = \"{field}\" }}\n");
    for (then, field, good) in [
        (JOINED, "json.id", true),
        (JOINED, "json.sign", false),
        (JOINED, "json.id.inner", false),
        (JOINED, "form.id", false),
        (
            r#""raw-json-fields", { join = "&", pair = "=" }"#,
            "json.id.inner",
            true,
        ),
        (
            r#""form-fields", { only = ["id"] }, { join = "&", pair = "=" }"#,
            "form.id",
            true,
        ),
        (
            r#""form-fields", { only = ["other"] }, { join = "&", pair = "=" }"#,
            "form.id",
            false,
        ),
        (
            r#""form-fields", "trim-values", { join = "&", pair = "=" }"#,
            "form.id",
            false,
        ),
        (
            r#""form-fields", { join = "&", pair = "=" }, "lower""#,
            "form.id",
            false,
        ),
        (r#""form-fields", { field = "id" }"#, "form.id", false),
        (
            r#""raw-form-fields", { exclude = ["x"] }, { join = "&", pair = "=" }"#,
            "form.id",
            true,
        ),
        (
            r#""raw-form-fields", { exclude = ["%69d"] }, { join = "&", pair = "=" }"#,
            "form.id",
            false,
        ),
        (
            r#""raw-form-fields", { only = ["id"] }, { join = "&", pair = "=" }"#,
            "form.id",
            false,
        ),
        (
            r#""form-fields", { join = "&", pair = "=" }"#,
            "query.id",
            false,
        ),
    ] {
        for more in [time(field), replay(field)] {
            let read = read(then, "\"method\"", &more);
            assert_eq!(read.is_ok(), good, "{then} {field} {:?}", read.err());
        }
    }
}

#[test]
fn the_shipped_schemes_hand_on_what_was_signed_and_nothing_else() {
    for (name, body, expected) in [
        (
            "paywizard-push",
            r#"{"amount":1000,"remark":"","sign":"aa","merchantId":"7"}"#,
            &["field.amount=1000", "field.merchantId=7"][..],
        ),
        (
            "alipay-rsa2",
            "trade_no=1&subject=a+b&empty=&sign_type=NONE&sign=AA%3D%3D",
            &["field.subject=a b", "field.trade_no=1"],
        ),
        (
            "unionpay-5-1-notify",
            "respCode=00&reserved=&signature=AA%3D%3D",
            &["field.reserved=", "field.respCode=00"],
        ),
    ] {
        let scheme = shipped(name);
        assert_eq!(handed_on(&scheme, body), expected, "{name}");
        let verdict = conclude(&scheme, body).unwrap();
        assert!(verdict.protections.unescaped, "{name}");
    }
    for (name, body) in [
        ("paywizard-push", r#"{"a":"1&b=2","sign":"aa"}"#),
        ("alipay-rsa2", "a=1%26b%3D2&sign=AA%3D%3D"),
        ("unionpay-5-1-notify", "a=1%26b%3D2&signature=AA%3D%3D"),
    ] {
        assert_eq!(refusal(&shipped(name), body), "AMBIGUOUS_MESSAGE", "{name}");
    }
    let github = shipped("github");
    assert!(!github.protections().unwrap().unescaped);
}

/// What is handed on when the signature is right, which it is told to be.
fn handed_on(scheme: &Scheme, body: &str) -> Vec<String> {
    let verdict = conclude(scheme, body).unwrap_or_else(|error| panic!("{body}: {error}"));
    assert_eq!(verdict.outcome, Outcome::Valid);
    let parts = verdict.authenticated.into_iter();
    let shown = parts.map(|(name, value)| format!("{name}={}", String::from_utf8(value).unwrap()));
    shown.collect()
}

fn conclude(scheme: &Scheme, body: &str) -> Result<Verdict, String> {
    let message = Message {
        headers: vec![("X-Signature".into(), Cow::Borrowed(&b"AA"[..]))],
        ..message(body)
    };
    let bindings = Bindings {
        constants: BTreeMap::from([("client_id".to_owned(), b"c".to_vec())]),
        ..Bindings::default()
    };
    let examination = scheme.examine(&message, &bindings).ok().unwrap();
    let right = examination.candidates().next().map(|(right, _)| right);
    let verdict = examination.conclude(right, UnixMilliseconds(0));
    verdict.map_err(|error| format!("{error} [{}]", error.reason()))
}

fn refusal(scheme: &Scheme, body: &str) -> String {
    let error = conclude(scheme, body).unwrap_err();
    error
        .rsplit_once('[')
        .unwrap()
        .1
        .trim_end_matches(']')
        .to_owned()
}

fn joining(then: &str) -> Scheme {
    read(then, "\"fields\"", "").unwrap_or_else(|error| panic!("{error}"))
}

/// Its vectors are not asked for.
fn read(then: &str, authenticated: &str, more: &str) -> Result<Scheme, String> {
    let text = format!(
        r#"
        [scheme]
        name = "test"
        title = "Test"
        source = "this file"
        confidence = "our-reading"
        [keys.platform]
        description = "theirs"
        use = "verify"
        algorithm = "RS256"
        [verify]
        authenticated = [{authenticated}]
        [verify.signature]
        key = "platform"
        from = [{{ from = "header.X-Signature" }}]
        string = [{{ from = "body", then = [{then}] }}, {{ from = "method" }}]
        {more}
        "#
    );
    match Scheme::read(&text) {
        Ok(unproven) => Ok(unproven.0),
        Err(error) => Err(format!("{}: {error}", error.reason())),
    }
}
