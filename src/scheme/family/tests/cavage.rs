//! draft-cavage-http-signatures-12: the strings of appendix C, and what must be refused.

use super::*;

fn request(signature: &str) -> Message<'static> {
    Message {
        method: Some("POST".into()),
        scheme: Some("https".into()),
        authority: Some("example.com".into()),
        path: Some("/foo".into()),
        query: Some("param=value&pet=dog".into()),
        headers: vec![
            header("Host", "example.com"),
            header("Date", "Sun, 05 Jan 2014 21:31:40 GMT"),
            header("Content-Type", "application/json"),
            header(
                "Digest",
                "SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
            ),
            header("Content-Length", "18"),
            header("Signature", signature),
        ],
        body: Cow::Borrowed(br#"{"hello": "world"}"#),
        ..Message::default()
    }
}

fn scheme(algorithm: &str, headers: &str) -> Scheme {
    let signature = format!(
        "family = \"cavage\"\nfrom = [{{ from = \"header.Signature\" }}]\nheaders = {headers}"
    );
    verifier(algorithm, &signature, "")
}

/// Appendix C.3; its key of 1024 bits is not taken here, so the string is compared.
#[test]
fn the_string_of_all_headers() {
    let scheme = scheme("RS256", r#"["(request-target)", "digest"]"#);
    let text = r#"keyId="Test",algorithm="rsa-sha256",created=1402170695, expires=1402170699,headers="(request-target) (created) (expires) host date content-type digest content-length",signature="vSdrb+dS3EceC9bcwHSo4MlyKS59iFIrhgYkz8+oVLEEzmYZZvRs8rgOp+63LEM3v+MFHB32NfpB2bEKBIvB1q52LaEUHFv120V01IL+TAD48XaERZFukWgHoBTLMhYS2Gb51gWxpeIq8knRmPnYePbF5MOkR0Zkly4zKH7s1dE=""#;
    let expected = [
        "(request-target): post /foo?param=value&pet=dog",
        "(created): 1402170695",
        "(expires): 1402170699",
        "host: example.com",
        "date: Sun, 05 Jan 2014 21:31:40 GMT",
        "content-type: application/json",
        "digest: SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
        "content-length: 18",
    ];
    let (valid, string) = verdict(&scheme, &request(text), None, 1_402_170_698_999).unwrap();
    assert_eq!(string, expected.join("\n"));
    assert_eq!(valid.outcome, Outcome::Valid);
    let names: Vec<_> = valid
        .authenticated
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names[..4],
        ["(request-target)", "(created)", "(expires)", "host"]
    );
    assert!(names.contains(&"body"));
    let (stale, _) = verdict(&scheme, &request(text), None, 1_402_170_699_000).unwrap();
    assert_eq!(stale.outcome, Outcome::Stale);
}

#[test]
fn what_is_hostile_is_refused_with_a_reason() {
    let scheme = scheme("RS256", r#"["date", { name = "digest", optional = true }]"#);
    for (text, code) in [
        (
            r#"keyId="a",headers="date digest",signature="AAAA",signature="BBBB""#,
            "FIELD_REPEATED",
        ),
        (
            r#"keyId="a",headers="date digest",headers="date",signature="AAAA""#,
            "FIELD_REPEATED",
        ),
        (
            r#"keyId="a",headers="date digest date",signature="AAAA""#,
            "INPUT_REPEATED",
        ),
        (
            r#"keyId="a",headers="date",signature="AAAA""#,
            "COMPONENT_NOT_COVERED",
        ),
        (
            r#"keyId="a",headers="digest",signature="AAAA""#,
            "COMPONENT_NOT_COVERED",
        ),
        (r#"keyId="a",signature="AAAA""#, "INPUT_MISSING"),
        (r#"keyId="a",headers="date digest""#, "INPUT_MISSING"),
        (
            r#"keyId="a",headers="date digest x-none",signature="AAAA""#,
            "INPUT_MISSING",
        ),
        (
            r#"keyId="a",headers="date digest (created)",signature="AAAA""#,
            "INPUT_MISSING",
        ),
        (
            r#"keyId="a",headers="Date digest",signature="AAAA""#,
            "SIGNATURE_MALFORMED",
        ),
        (
            r#"keyId="a",headers="",signature="AAAA""#,
            "SIGNATURE_MALFORMED",
        ),
        (
            r#"keyId="a",headers="date digest",signature="AA""#,
            "ENCODING_INVALID",
        ),
        (
            r#"keyId="a",headers="date digest",signature="AAAA",x="1""#,
            "SIGNATURE_MALFORMED",
        ),
        (
            r#"keyId="a",algorithm="hmac-sha256",headers="date digest",signature="AAAA""#,
            "ALGORITHM_MISMATCH",
        ),
        (
            r#"keyId="a",created=now,headers="date digest",signature="AAAA""#,
            "TIME_INVALID",
        ),
        (r#"keyId="a"#, "ENCODING_INVALID"),
    ] {
        assert_eq!(
            reason(verdict(&scheme, &request(text), None, 0)).0,
            code,
            "{text}"
        );
    }
    let text = r#"keyId="a",headers="date digest",signature="AAAA""#;
    for (digest, code) in [
        ("SHA-256=AAAA", "DIGEST_MISMATCH"),
        ("MD5=AAAA", "SIGNATURE_MALFORMED"),
        (
            "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=,SHA-512=AAAA",
            "DIGEST_MISMATCH",
        ),
    ] {
        let mut message = request(text);
        message.headers[3] = header("Digest", digest);
        assert_eq!(
            reason(verdict(&scheme, &message, None, 0)).0,
            code,
            "{digest}"
        );
    }
    let mut message = request(text);
    message.headers[1] = header("Date", "x\ndigest: y");
    assert_eq!(
        reason(verdict(&scheme, &message, None, 0)).0,
        "ENCODING_INVALID"
    );
}

/// Parameters beside the list are not signed, so nothing may be said by them.
#[test]
fn a_time_that_is_not_signed_is_not_believed() {
    let signature =
        "family = \"cavage\"\nfrom = [{ from = \"header.Signature\" }]\nheaders = [\"date\"]";
    let time = "[verify.time]\nfrom = [{ from = \"parameter.created\" }]\nformat = \"unix-seconds\"\npast_seconds = 300\nfuture_seconds = 60";
    let scheme = verifier("RS256", signature, time);
    let text = r#"keyId="a",created=1402170695,headers="date",signature="AAAA""#;
    assert_eq!(
        reason(verdict(&scheme, &request(text), None, 0)).0,
        "INPUT_MISSING"
    );
    let text = r#"keyId="a",created=1402170695,headers="date (created)",signature="AAAA""#;
    assert!(verdict(&scheme, &request(text), None, 1_402_170_695_000).is_ok());
}

proptest! {
    #[test]
    fn no_signature_panics(text in "(keyId=\"a\",)?[a-zA-Z\"=, ()0-9-]{0,60}") {
        let _ = verdict(&scheme("RS256", r#"["date"]"#), &request(&text), None, 0);
    }
}
