//! JWS: RFC 7797, strict headers, and detached payloads.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;

/// With an HS256 signature of nothing: the framing is looked at before it.
fn token(header: &str, payload: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(header);
    format!("{header}.{payload}.AAAA")
}

fn scheme(entries: &str) -> Scheme {
    let signature = format!(
        "family = \"jws\"\nfrom = [{{ from = \"header.X\" }}]\npayload = [{{ from = \"body\" }}]\n{entries}"
    );
    verifier("HS256", &signature, "")
}

fn message<'a>(token: &str, body: &'a str) -> Message<'a> {
    Message {
        headers: vec![header("X", token)],
        body: Cow::Borrowed(body.as_bytes()),
        ..Message::default()
    }
}

/// RFC 7797 section 4.2, detached: header, payload and signature as they are printed there.
#[test]
fn the_unencoded_payload_of_rfc_7797() {
    let scheme = scheme("b64 = false");
    let token = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY";
    let (message, bindings) = (message(token, "$.02"), Bindings::default());
    let examination = scheme.examine(&message, &bindings).ok().unwrap();
    let (_, candidate) = examination.candidates().next().unwrap();
    let string = candidate.string.bytes().unwrap();
    assert_eq!(
        string,
        b"eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19.$.02"
    );
    use hmac::{Hmac, KeyInit, Mac};
    let secret =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let secret = URL_SAFE_NO_PAD.decode(secret).unwrap();
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&secret).unwrap();
    let mac = mac.chain_update(string).finalize().into_bytes();
    assert_eq!(mac.as_slice(), candidate.signature);
}

#[test]
fn the_header_is_read_strictly() {
    let named = r#"b64 = true
        critical = ["urn:iat"]
        header = { "urn:iss" = "me" }"#;
    let good = r#"{"alg":"HS256","urn:iss":"me","urn:iat":5,"crit":["urn:iat"]}"#;
    let scheme = scheme(named);
    let (valid, string) = verdict(&scheme, &message(&token(good, ""), "{}"), None, 0).unwrap();
    assert_eq!(valid.outcome, Outcome::Valid);
    assert!(string.ends_with(".e30"));
    assert_eq!(
        valid.authenticated,
        [
            ("protected header".to_owned(), good.as_bytes().to_vec()),
            ("payload".to_owned(), b"{}".to_vec())
        ]
    );
    for (header, payload, code) in [
        // TrueLayer's own tests: a payload inside, where it belongs beside.
        (good, "e30", "JWS_PAYLOAD_TWICE"),
        (
            r#"{"alg":"HS256","urn:iss":"me","urn:x":1,"crit":["urn:x"]}"#,
            "",
            "JWS_CRITICAL_UNKNOWN",
        ),
        (
            r#"{"alg":"HS256","urn:iss":"me","crit":["urn:iat"]}"#,
            "",
            "JWS_CRITICAL_MISSING",
        ),
        (
            r#"{"alg":"HS256","urn:iss":"me","crit":[]}"#,
            "",
            "JWS_INVALID_MEMBER",
        ),
        (
            r#"{"alg":"HS256","urn:iss":"you"}"#,
            "",
            "PARAMETER_MISMATCH",
        ),
        (r#"{"alg":"HS256"}"#, "", "INPUT_MISSING"),
        (
            r#"{"alg":"HS512","urn:iss":"me"}"#,
            "",
            "ALGORITHM_MISMATCH",
        ),
        (r#"{"alg":"none","urn:iss":"me"}"#, "", "JWS_ALGORITHM"),
        (
            r#"{"alg":"HS256","urn:iss":"me","b64":false,"crit":["b64"]}"#,
            "",
            "PARAMETER_MISMATCH",
        ),
        (
            r#"{"alg":"HS256","urn:iss":"me","b64":false}"#,
            "",
            "JWS_B64_NOT_CRITICAL",
        ),
        (
            r#"{"alg":"HS256","alg":"none"}"#,
            "",
            "JWS_DUPLICATE_MEMBER",
        ),
    ] {
        let result = verdict(&scheme, &message(&token(header, payload), "{}"), None, 0);
        assert_eq!(reason(result).0, code, "{header}");
    }
    let json = r#"{"protected":"eyJhbGciOiJIUzI1NiJ9","signature":"AAAA"}"#;
    for text in [json, "a.b", "", "a.b.c.d"] {
        let result = verdict(&scheme, &message(text, "{}"), None, 0);
        assert_eq!(reason(result).0, "JWS_NOT_A_JWS", "{text}");
    }
}

#[test]
fn what_is_not_in_the_payload_is_not_authentic() {
    let text = "[scheme]\nname = \"t\"\ntitle = \"T\"\nsource = \"s\"\nconfidence = \"our-reading\"\n[keys.k]\ndescription = \"d\"\nuse = \"verify\"\nalgorithm = \"ES256\"\n[verify]\nauthenticated = [\"header.X-Other\"]\n[verify.signature]\nkey = \"k\"\nfamily = \"jws\"\nfrom = [{ from = \"header.X\" }]\npayload = [{ from = \"body\" }]";
    assert_eq!(Scheme::read(text).err().unwrap().reason(), "NOT_SIGNED");
}

/// One byte of the request changed, and Open Banking's signature is no longer right; a message that
/// is signed as another version has it is refused by name.
#[test]
fn the_two_versions_of_open_banking_do_not_mix() {
    let (old, new) = (shipped("open-banking-uk-b64"), shipped("open-banking-uk"));
    let vector = &old.vectors()[1];
    let result = new
        .examine(&vector.message, &vector.bindings)
        .err()
        .unwrap();
    assert_eq!(result.reason(), "PARAMETER_MISMATCH");
    assert!(result.to_string().contains("b64"), "{result}");
    let vector = &new.vectors()[1];
    let result = old
        .examine(&vector.message, &vector.bindings)
        .err()
        .unwrap();
    assert_eq!(result.reason(), "PARAMETER_MISMATCH");
}

#[test]
fn claims_are_written_as_json() {
    let scheme = shipped("coinbase-cdp");
    let mut bindings = scheme.vectors()[0].bindings.clone();
    bindings
        .constants
        .insert("key_id".to_owned(), b"a\"\n\\".to_vec());
    bindings.values.clear();
    let message = &scheme.vectors()[0].message;
    let draft = scheme.draft(message, &bindings, UnixMilliseconds(5000), &mut |_| {});
    let draft = draft.ok().unwrap();
    let signed = String::from_utf8(draft.finish(&[1; 64]).unwrap().signature).unwrap();
    let claims = URL_SAFE_NO_PAD
        .decode(signed.split('.').nth(1).unwrap())
        .unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["sub"], "a\"\n\\");
    assert_eq!(
        (claims["nbf"].as_u64(), claims["exp"].as_u64()),
        (Some(5), Some(125))
    );
}

proptest! {
    #[test]
    fn no_jws_panics(text in "[A-Za-z0-9_.{}\":-]{0,60}", head in "[{}\\[\\]\":,a-z0-9]{0,40}") {
        let scheme = scheme("");
        let _ = verdict(&scheme, &message(&text, "{}"), None, 0);
        let _ = verdict(&scheme, &message(&token(&head, ""), "{}"), None, 0);
    }
}

/// RFC 7515 appendix A.1: header, payload and signature as they are printed there.
const A1: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn attached(entries: &str) -> Scheme {
    let signature =
        format!("family = \"jws\"\nfrom = [{{ from = \"body\" }}]\nattached = true\n{entries}");
    verifier("HS256", &signature, "")
}

#[test]
fn a_payload_inside_is_what_is_authentic_until_it_expires() {
    let scheme = attached("claims = { iss = \"joe\", \"http://example.com/is_root\" = \"true\" }");
    let message = message("", A1);
    let seconds = 1_300_819_380;
    let (valid, string) = verdict(&scheme, &message, None, seconds * 1000 - 1).unwrap();
    assert_eq!(valid.outcome, Outcome::Valid);
    assert_eq!(string, A1.rsplit_once('.').unwrap().0);
    let (name, payload) = &valid.authenticated[1];
    assert_eq!(name, "payload");
    assert!(payload.starts_with(b"{\"iss\":\"joe\",\r\n"));
    let (stale, _) = verdict(&scheme, &message, None, seconds * 1000).unwrap();
    assert_eq!(stale.outcome, Outcome::Stale);
    assert!(stale.authenticated.is_empty());
}

#[test]
fn a_payload_inside_is_read_strictly() {
    let scheme = attached("claims = { iss = \"joe\" }");
    let inside = |header: &str, payload: &str| token(header, &URL_SAFE_NO_PAD.encode(payload));
    let good = r#"{"alg":"HS256"}"#;
    for (token, code) in [
        (token(good, ""), "SIGNATURE_MALFORMED"),
        (inside(good, r#"{"iss":"ann"}"#), "PARAMETER_MISMATCH"),
        (inside(good, r#"{"iss":["joe"]}"#), "PARAMETER_MISMATCH"),
        (inside(good, "{}"), "INPUT_MISSING"),
        (inside(good, "joe"), "INPUT_MISSING"),
        (
            inside(good, r#"{"iss":"ann","iss":"joe"}"#),
            "INPUT_MISSING",
        ),
        (inside(good, r#"{"iss":"joe","exp":"9"}"#), "TIME_INVALID"),
        (inside(good, r#"{"iss":"joe","exp":-1}"#), "TIME_INVALID"),
        (
            inside(r#"{"alg":"HS256","payload.iss":"joe"}"#, "{}"),
            "INPUT_REPEATED",
        ),
        (
            inside(
                r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
                r#"{"iss":"joe"}"#,
            ),
            "PARAMETER_MISMATCH",
        ),
        (
            inside(r#"{"alg":"none"}"#, r#"{"iss":"joe"}"#),
            "JWS_ALGORITHM",
        ),
    ] {
        let result = verdict(&scheme, &message("", &token), None, 0);
        assert_eq!(reason(result).0, code, "{token}");
    }
    for entries in [
        "payload = [\"x\"]",
        "b64 = true",
        "payload = [\"x\"]\nattached = false\nclaims = { iss = \"joe\" }",
    ] {
        let signature = format!(
            "family = \"jws\"\nfrom = [{{ from = \"body\" }}]\n{}{entries}",
            if entries.contains("attached") {
                ""
            } else {
                "attached = true\n"
            }
        );
        let text = format!(
            "[scheme]\nname = \"t\"\ntitle = \"t\"\nsource = \"t\"\nconfidence = \"our-reading\"\n[keys.p]\ndescription = \"d\"\nuse = \"verify\"\nalgorithm = \"RS256\"\n[verify.signature]\nkey = \"p\"\n{signature}\n"
        );
        assert_eq!(
            Scheme::read(&text).err().unwrap().reason(),
            "WRONG_VALUE",
            "{entries}"
        );
    }
}
