//! The shipped schemes, and the language as a partner's messages meet it.

use std::{borrow::Cow, collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;

mod covered;
mod keys;
mod reference;

use crate::scheme::{Bindings, Message, Outcome, Refusal, Scheme, Signed, UnixMilliseconds};

#[test]
fn every_shipped_scheme_proves_itself() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schemes");
    let mut faults = Vec::new();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        match Scheme::parse(&fs::read_to_string(&path).unwrap()) {
            Ok(scheme) => {
                assert_eq!(scheme.name().as_str(), name);
                assert!(!scheme.notes().is_empty(), "{name}");
                names.push(name);
            }
            Err(error) => faults.push(format!("{name}: {error}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(names.len() >= 29, "{names:?}");
}

/// `json.minify.tricky` and SHA-256 of PakaiLink's documentation: three functions are called "minify".
#[test]
fn the_three_minifications_differ() {
    let body = r#"{ "name": "Setya Wardana", "u": "http://x/é" }"#;
    for (function, expected) in [
        (
            "minify-json",
            r#"{"name":"Setya Wardana","u":"http://x/é"}"#,
        ),
        (
            "strip-whitespace",
            r#"{"name":"SetyaWardana","u":"http://x/é"}"#,
        ),
        (
            "php-json",
            r#"{ "name": "Setya Wardana", "u": "http:\/\/x\/\u00e9" }"#,
        ),
    ] {
        let string = format!(r#"[{{ from = "body", then = ["{function}"] }}]"#);
        assert_eq!(signed_string(&string, body).unwrap(), expected);
    }
}

/// The hash in PakaiLink's documentation comes only of white space stripped inside strings too, and
/// of slashes escaped as PHP does.
#[test]
fn the_published_hash_of_pakailink() {
    let body = r#"{ "partnerServiceId": "12334", "customerNo": "318574181222",
        "virtualAccountName": "Setya Wardana", "trxId": "2MkdEnmf434udFGuk1hE9sFL49Myv2q4xTQP",
        "virtualAccountTrxType": "C", "totalAmount": { "value": "10000.00", "currency": "IDR" },
        "additionalInfo": { "callbackUrl": "http://127.0.0.1:10007/callback/partner", "bankCode": "008" } }"#;
    let string = r#"[{ from = "body", then = ["strip-whitespace", "php-json", "sha256", "hex"] }]"#;
    assert_eq!(
        signed_string(string, body).unwrap(),
        "080fd80881349db059d87cc2a93af2ec9c00c74dac5e97faca0b544732c8de18"
    );
}

#[test]
fn each_function_does_what_its_name_says() {
    for (then, body, expected) in [
        (r#""md5", "hex""#, "abc", "900150983cd24fb0d6963f7d28e17f72"),
        (
            r#""sha1", "hex""#,
            "abc",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
        ),
        (r#""base64", "decode-base64", "HEX""#, "\u{1}z", "017A"),
        (r#""base64url""#, "??>", "Pz8-"),
        (r#""trim", "upper", { first = 2 }"#, " abc ", "AB"),
        (r#""json-escape""#, "a\"\\\n", "a\\\"\\\\\\n"),
        (
            r#""json-fields", { only = ["b", "a", "c"] }, "drop-empty", { join = "&", pair = "=" }"#,
            r#"{"c": "", "b": 1.0, "a": {"y": 1, "x": [ 2 ]}, "z": null}"#,
            r#"b=1.0&a={"y": 1, "x": [ 2 ]}"#,
        ),
        (
            r#""json-fields", "sort", "compact-values", { join = "|", pair = ":" }"#,
            r#"{"b": "{ }", "a": { "y": 1 }}"#,
            r#"a:{"y":1}|b:{ }"#,
        ),
        (
            r#""form-fields", "trim-values", "percent-encode-values", { join = "&", pair = "=" }"#,
            "b=+1%2F+&a=",
            "b=1%2F&a=",
        ),
        (
            r#""query-fields", "sort-by-name-and-value", { join = "&", pair = "=" }"#,
            "b=2&b=1&a=%20",
            "a=%20&b=1&b=2",
        ),
        (
            r#""raw-json-fields", { exclude = ["sign"] }, "only-value""#,
            r#"{"x_response": {"a":"\u0041", "b": 1.0 }, "sign": "s"}"#,
            r#"{"a":"\u0041", "b": 1.0 }"#,
        ),
        (
            r#""raw-json-fields", { exclude = ["sign"] }, "only-value""#,
            r#"{"sign": "s", "x_response": "a\/b"}"#,
            r#""a\/b""#,
        ),
        (
            r#"{ list-fields = { separator = ",", pair = "=", quoted = true } }, { field = "b" }"#,
            r#"a="x,y", b="z=""#,
            "z=",
        ),
    ] {
        let string = format!(r#"[{{ from = "body", then = [{then}] }}]"#);
        assert_eq!(signed_string(&string, body).unwrap(), expected, "{then}");
    }
}

#[test]
fn what_is_absent_is_an_error_unless_the_segment_says_so() {
    for (string, expected) in [
        (
            r#"["<", { from = "header.X-None", absent = "empty" }, ">"]"#,
            "<>",
        ),
        (
            r#"["<", { from = "query", absent = { text = " " } }, ">"]"#,
            "< >",
        ),
        (
            r#"["<", { all = ["?", { from = "query" }], absent = "omit" }, ">"]"#,
            "<>",
        ),
        (
            r#"["<", { from = "body", empty_is_absent = true, absent = { text = "-" } }, ">"]"#,
            "<->",
        ),
        (
            r#"["<", { from = "body", then = ["sha256", "hex", { first = 4 }] }, ">"]"#,
            "<e3b0>",
        ),
    ] {
        assert_eq!(signed_string(string, "").unwrap(), expected);
    }
    let refused = signed_string(r#"["<", { all = ["?", { from = "query" }] }, ">"]"#, "");
    let refused = refused.unwrap_err();
    assert_eq!(refused.reason(), "INPUT_MISSING");
    assert_eq!(
        refused.to_string(),
        "sign.signature.string[1].all[1]: query: is not there, and the scheme does not say that it may be absent"
    );
}

#[test]
fn bad_messages_have_reasons_of_their_own() {
    let deep = "[".repeat(40);
    let long = "a=1&".repeat(10_001);
    for (segment, body, reason) in [
        (r#"from = "json.a""#, "{", "NOT_JSON"),
        (
            r#"from = "json.a""#,
            r#"{"a":1,"a":2}"#,
            "JSON_DUPLICATE_NAME",
        ),
        (r#"from = "json.a""#, r#"{"a":{}}"#, "JSON_TYPE"),
        (r#"from = "json.a""#, deep.as_str(), "JSON_TOO_DEEP"),
        (r#"from = "json.a.b""#, r#"{"a":1}"#, "INPUT_MISSING"),
        (r#"from = "form.a""#, "a=1&a=2", "FIELD_REPEATED"),
        (r#"from = "form.a""#, "a", "FIELDS_INVALID"),
        (r#"from = "form.a""#, "a=%x", "ENCODING_INVALID"),
        (r#"from = "form.a""#, long.as_str(), "TOO_MANY_FIELDS"),
        (r#"from = "header.X-Twice""#, "", "INPUT_REPEATED"),
        (
            r#"from = "body", then = ["decode-hex"]"#,
            "abc",
            "ENCODING_INVALID",
        ),
        (
            r#"from = "body", then = [{ strip-prefix = "v1=" }]"#,
            "v2=",
            "ENCODING_INVALID",
        ),
        (
            r#"from = "body", then = [{ after-last = "/" }]"#,
            "1.SHA256.00",
            "ENCODING_INVALID",
        ),
        (
            r#"from = "body", then = ["json-fields", { join = "&", pair = "=" }]"#,
            "[]",
            "JSON_TYPE",
        ),
        (
            r#"from = "body", then = ["raw-json-fields", "only-value"]"#,
            r#"{"a_response": 1, "b_response": 2}"#,
            "TOO_MANY_FIELDS",
        ),
        (
            r#"from = "body", then = ["raw-json-fields", "only-value"]"#,
            "{}",
            "INPUT_MISSING",
        ),
    ] {
        let error = signed_string(&format!("[{{ {segment} }}]"), body).unwrap_err();
        assert_eq!(error.reason(), reason, "{segment} {error}");
    }
    let last = r#"[{ from = "body", then = [{ after-last = "//" }] }]"#;
    for (body, rest) in [("a//b//c", "c"), ("//", ""), ("a///b", "b")] {
        assert_eq!(signed_string(last, body).unwrap(), rest);
    }
    let long = "x".repeat(20 * 1024 * 1024 + 1);
    let error = signed_string(r#"[{ from = "body" }]"#, &long).unwrap_err();
    assert_eq!(error.reason(), "TOO_LONG");
    let long = &long[..20 * 1024 * 1024];
    assert!(signed_string(r#"[{ from = "body" }]"#, long).is_ok());
    let twice = r#"[{ from = "body", then = ["hex"] }]"#;
    assert_eq!(signed_string(twice, long).unwrap_err().reason(), "TOO_LONG");
}

#[test]
fn results_are_placed_without_touching_another_byte() {
    let set = |place: &str, body: &str| -> Result<Signed, Refusal> {
        let scheme = scheme(r#"[{ from = "body" }]"#, place);
        let mut message = message(body);
        message.query = Some(Cow::Borrowed("b=1"));
        let bindings = Bindings::default();
        let draft = scheme.draft(&message, &bindings, UnixMilliseconds(0), &mut |_| {})?;
        Ok(draft.finish(b"+/ \"")?)
    };
    let body = |place: &str, text: &str| -> Result<String, Refusal> {
        Ok(String::from_utf8(set(place, text)?.body).unwrap())
    };
    assert_eq!(
        body("json", "{ \"a\" : 1.0 \r\n}\n").unwrap(),
        "{ \"a\" : 1.0,\"s\":\"+/ \\\"\" \r\n}\n"
    );
    assert_eq!(body("json", "{}").unwrap(), "{\"s\":\"+/ \\\"\"}");
    assert_eq!(body("form", "a=1").unwrap(), "a=1&s=%2B%2F+%22");
    assert_eq!(body("form", "").unwrap(), "s=%2B%2F+%22");
    assert_eq!(
        set("query", "").ok().unwrap().query.unwrap(),
        "b=1&s=%2B%2F%20%22"
    );
    assert_eq!(
        set("header", "").ok().unwrap().headers,
        [("s".to_owned(), "+/ \"".to_owned())]
    );
    for (place, text, reason) in [
        ("json", "{\"\\u0073\":1}", "PLACEMENT_IMPOSSIBLE"),
        ("json", "[]", "JSON_TYPE"),
        ("form", "%73=1", "PLACEMENT_IMPOSSIBLE"),
    ] {
        assert_eq!(set(place, text).err().unwrap().reason(), reason);
    }
}

#[test]
fn secrets_are_never_in_the_text_and_never_shown() {
    let scheme = shipped("paywizard-v3");
    let message = message("{}");
    let bindings = Bindings {
        constants: BTreeMap::from([("client_id".to_owned(), b"c".to_vec())]),
        ..Bindings::default()
    };
    let draft = scheme.draft(&message, &bindings, UnixMilliseconds(0), &mut |_| {});
    let draft = draft.ok().unwrap();
    let text = draft.signing().unwrap().string;
    assert_eq!(text.bytes(), None);
    assert_eq!(text.secrets().collect::<Vec<_>>(), ["signing"]);
    let filled = text.filled(|_| Some(b"s3cret")).unwrap();
    assert_eq!(filled, b"{}&clientId=c&clientSecret=s3cret");
    let last = draft.explain().pop().unwrap();
    assert_eq!((last.rule.as_str(), last.bytes), ("secret.signing", None));

    let scheme = shipped("snap-service");
    let bindings = Bindings {
        inputs: BTreeMap::from([("access_token".to_owned(), b"t0ken".to_vec())]),
        ..Bindings::default()
    };
    let draft = scheme.draft(&message, &bindings, UnixMilliseconds(0), &mut |_| {});
    let shown: Vec<_> = draft
        .ok()
        .unwrap()
        .explain()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(!shown.join("\n").contains("t0ken"), "{shown:?}");
    assert!(
        shown.join("\n").contains("input.access_token  (secret)"),
        "{shown:?}"
    );
}

#[test]
fn values_are_made_of_the_clock_and_of_the_random_bytes_that_are_given() {
    let scheme = shipped("paykka-collection");
    let (message, bindings) = (message("{}"), Bindings::default());
    let mut next = 0;
    let mut random = |bytes: &mut [u8]| {
        bytes.fill(next);
        next += 1;
    };
    let draft = scheme.draft(
        &message,
        &bindings,
        UnixMilliseconds(1_726_641_396_000),
        &mut random,
    );
    let draft = draft.ok().unwrap();
    assert_eq!(draft.value("timestamp").unwrap(), b"1726641396000");
    let nonce = draft.value("nonce").unwrap();
    assert_eq!(nonce.len(), 32);
    assert!(nonce.iter().all(u8::is_ascii_alphanumeric) && nonce[0] != nonce[1]);
}

#[test]
fn a_verdict_says_what_was_authenticated_and_what_the_scheme_is_proof_against() {
    let scheme = shipped("standard-webhooks");
    let mut message = message("{\"test\": 1}");
    for (name, value) in [
        ("Webhook-Id", "msg_1"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,AAAA v2,BBBB v1,!! v1,BBBB"),
    ] {
        message.headers.push((name.into(), value.as_bytes().into()));
    }
    let bindings = Bindings::default();
    let examination = scheme.examine(&message, &bindings).ok().unwrap();
    let candidates: Vec<_> = examination.candidates().collect();
    // What can't be decoded is left out, as is what another version made.
    assert_eq!(candidates.len(), 2);
    assert_eq!(candidates[1].1.signature, [4, 16, 65]);
    assert_eq!(
        candidates[0].1.string.bytes().unwrap(),
        b"msg_1.1614265330.{\"test\": 1}"
    );
    let right = Some(candidates[1].0);
    let at = |right, seconds: u64| {
        examination
            .conclude(right, UnixMilliseconds(seconds * 1000))
            .unwrap()
    };
    let verdict = at(right, 1_614_265_330);
    assert_eq!(verdict.outcome, Outcome::Valid);
    assert_eq!(
        verdict.authenticated,
        [("body".to_owned(), b"{\"test\": 1}".to_vec())]
    );
    assert_eq!(verdict.replay_id.as_deref(), Some(&b"msg_1"[..]));
    assert_eq!(verdict.protections.window_seconds, Some((300, 300)));
    assert!(verdict.protections.replay && !verdict.protections.echo);
    for (right, seconds, outcome) in [
        (None, 1_614_265_330, Outcome::Invalid),
        (right, 1_614_265_330 + 300, Outcome::Valid),
        (right, 1_614_265_330 + 301, Outcome::Stale),
        (right, 1_614_265_330 - 301, Outcome::Future),
    ] {
        let verdict = at(right, seconds);
        assert_eq!(verdict.outcome, outcome);
        assert_eq!(verdict.authenticated.is_empty(), outcome != Outcome::Valid);
        assert_eq!(verdict.replay_id.is_none(), outcome != Outcome::Valid);
    }
    message.headers.pop();
    let many = ["v1,AAAA"; 9].join(" ").into_bytes();
    message
        .headers
        .push(("webhook-signature".into(), many.into()));
    let refused = scheme.examine(&message, &bindings).err().unwrap();
    assert_eq!(refused.reason(), "TOO_MANY_FIELDS");
}

proptest! {
    #[test]
    fn no_message_makes_a_scheme_panic(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[{}\\[\\]\":,=&a-c1%+ \\\\]{0,60}".prop_map(String::into_bytes),
        ],
        header in prop::collection::vec(any::<u8>(), 0..40),
        query in "[a-c=&%+]{0,12}",
        name in any::<usize>(),
    ) {
        let mut names: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schemes"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        let scheme = Scheme::read(&fs::read_to_string(&names[name % names.len()]).unwrap()).unwrap_or_else(|_| panic!()).0;
        let mut headers = Vec::new();
        for name in ["Authorization", "X-SIGNATURE", "X-TIMESTAMP", "Signature", "Stripe-Signature", "webhook-signature", "Signature-Input", "x-jws-signature", "Tl-Signature", "Digest"] {
            headers.push((Cow::Borrowed(name), Cow::Borrowed(header.as_slice())));
        }
        let message = Message {
            method: Some("POST".into()),
            path: Some("/".into()),
            query: Some(query.into()),
            headers,
            decrypted: Some(Cow::Borrowed(&body)),
            body: Cow::Borrowed(&body),
            ..Message::default()
        };
        let named = |names: Vec<&str>| names.into_iter().map(|name| (name.to_owned(), b"x".to_vec())).collect();
        let bindings = Bindings {
            constants: named(scheme.constants().map(|(name, _)| name).collect()),
            inputs: named(scheme.inputs().map(|(name, _)| name).collect()),
            ..Bindings::default()
        };
        if let Ok(prepared) = scheme.prepare(&message, &bindings, UnixMilliseconds(0), &mut |_| {}) {
            let jwe = prepared.sealing().map(|_| "a.b.c.d.e");
            if let Ok(draft) = prepared.draft(jwe) {
                let _ = (draft.explain(), draft.finish(&header));
            }
        }
        let _ = (scheme.sealed(&message, &bindings), scheme.sealed_value(&bindings));
        if let Ok(examination) = scheme.examine(&message, &bindings) {
            let right = examination.candidates().next().map(|(right, _)| right);
            let verdict = examination.conclude(right, UnixMilliseconds(0));
            let _ = (examination.explain(), verdict.map(|verdict| examination.opened(verdict, &header)));
        }
    }
}

/// What a scheme with this string signs of this body.
fn signed_string(string: &str, body: &str) -> Result<String, Refusal> {
    let scheme = scheme(string, "header");
    let mut message = message(body);
    for value in [&b"1"[..], b"2"] {
        message.headers.push(("x-twice".into(), value.into()));
    }
    let bindings = Bindings::default();
    let draft = scheme.draft(&message, &bindings, UnixMilliseconds(0), &mut |_| {})?;
    let bytes = draft.signing().unwrap().string.bytes().unwrap().to_vec();
    Ok(String::from_utf8(bytes).unwrap())
}

/// Its vectors are not asked for.
fn scheme(string: &str, place: &str) -> Scheme {
    let text = format!(
        r#"
        [scheme]
        name = "test"
        title = "Test"
        source = "this file"
        confidence = "our-reading"
        [keys.signing]
        description = "ours"
        use = "sign"
        algorithm = "RS256"
        [sign.signature]
        key = "signing"
        string = {string}
        [[sign.set]]
        {place} = "s"
        value = [{{ from = "signature" }}]
        "#
    );
    Scheme::read(&text)
        .unwrap_or_else(|error| panic!("{error}"))
        .0
}

fn shipped(name: &str) -> Scheme {
    let path = format!("{}/config/schemes/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    Scheme::parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn message(body: &str) -> Message<'_> {
    Message {
        method: Some(Cow::Borrowed("POST")),
        path: Some(Cow::Borrowed("/")),
        body: Cow::Borrowed(body.as_bytes()),
        ..Message::default()
    }
}
