//! RFC 9421 section 2.4: answers that cover parts of the request they answer.

use super::*;

/// The example of section 2.4, for the scheme that is shipped.
fn example() -> Message<'static> {
    let input = r#"reqres=("@status" "content-digest" "content-type" "@authority";req "@method";req "@path";req "content-digest";req);created=1618884479;keyid="test-key-ecc-p256""#;
    let body = r#"{"busy": true, "message": "Your call is very important to us"}"#;
    let digest = "sha-512=:0Y6iCBzGg5rZtoXS95Ijz03mslf6KAMCloESHObfwnHJDbkkWWQz6PhhU9kxsTbARtY2PTBOzq24uJFpHsMuAg==:";
    let asked = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    Message {
        method: Some("POST".into()),
        scheme: Some("https".into()),
        authority: Some("example.com".into()),
        path: Some("/foo".into()),
        query: Some("param=Value&Pet=dog".into()),
        status: Some(503),
        headers: vec![
            header("Content-Type", "application/json"),
            header("Content-Digest", digest),
            header("Signature-Input", input),
            header(
                "Signature",
                "reqres=:dMT/A/76ehrdBTD/2Xx8QuKV6FoyzEP/I9hdzKN8LQJLNgzU4W767HK05rx1i8meNQQgQPgQp8wq2ive3tV5Ag==:",
            ),
        ],
        request_headers: vec![header("Content-Digest", asked)],
        body: Cow::Borrowed(body.as_bytes()),
        ..Message::default()
    }
}

#[test]
fn the_example_of_section_2_4_is_valid_for_its_own_request_alone() {
    let scheme = shipped("rfc9421-response");
    let key = public_key(P256);
    let outcome = |change: fn(&mut Message<'_>)| {
        let mut message = example();
        change(&mut message);
        verdict(&scheme, &message, Some(&key), NOW).map(|(verdict, _)| verdict)
    };
    let valid = outcome(|_| {}).ok().unwrap();
    assert_eq!(valid.outcome, Outcome::Valid);
    let of_request = |name: &str| {
        let mut parts = valid.authenticated.iter();
        let found = parts.find(|(other, _)| other == name);
        String::from_utf8(found.unwrap().1.clone()).unwrap()
    };
    assert_eq!(of_request("\"@method\";req"), "POST");
    assert_eq!(of_request("\"@path\";req"), "/foo");
    for change in [
        (|message| message.method = Some("PUT".into())) as fn(&mut Message<'_>),
        |message| message.path = Some("/bar".into()),
        |message| message.authority = Some("example.org".into()),
        |message| message.status = Some(200),
        |message| message.request_headers = vec![header("content-digest", "sha-256=:AA==:")],
    ] {
        assert_eq!(outcome(change).ok().unwrap().outcome, Outcome::Invalid);
    }
    let reason = |change| outcome(change).err().unwrap().reason();
    let no_request: fn(&mut Message<'_>) = |message| message.method = None;
    assert_eq!(reason(no_request), "INPUT_MISSING");
    // Optional in the scheme, and covered all the same.
    let no_headers: fn(&mut Message<'_>) = |message| message.request_headers.clear();
    assert_eq!(reason(no_headers), "INPUT_MISSING");
    // The answer's own body is compared with its digest, the request's is not known.
    let other_body: fn(&mut Message<'_>) = |message| message.body = Cow::Borrowed(b"{}");
    assert_eq!(reason(other_body), "DIGEST_MISMATCH");
}

#[test]
fn parts_of_the_request_say_so_and_parts_of_a_request_do_not() {
    let scheme = |components: &str| {
        let signature = format!("family = \"rfc9421\"\nlabel = \"a\"\ncomponents = {components}");
        verifier("EdDSA", &signature, "")
    };
    let message = |status, input: &str| Message {
        status,
        headers: vec![
            header("Date", "today"),
            header("Signature-Input", &format!("a={input}")),
            header("Signature", "a=:AA==:"),
        ],
        request_headers: vec![header("Signature", "sig1=:AQ==:, sig2=:Ag==:")],
        ..example()
    };
    let dated = scheme(r#"["date"]"#);
    for (status, input, code) in [
        (Some(200), r#"("date" "@method")"#, "SIGNATURE_MALFORMED"),
        (None, r#"("date" "@method";req)"#, "SIGNATURE_MALFORMED"),
        (
            Some(200),
            r#"("date" "@status";req)"#,
            "SIGNATURE_MALFORMED",
        ),
        (Some(200), r#"("date" "x-none";req)"#, "INPUT_MISSING"),
        (Some(200), r#"("date" "date";tr)"#, "SIGNATURE_MALFORMED"),
        (
            Some(200),
            r#"("date" "signature";req;key="sig1" "signature";key="sig1";req)"#,
            "INPUT_REPEATED",
        ),
    ] {
        let result = verdict(&dated, &message(status, input), None, 0);
        assert_eq!(reason(result).0, code, "{input}");
    }
    // In either order of its parameters the component is the one that the scheme demands.
    let covering = scheme(r#"["date", { name = "signature", key = "sig1", req = true }]"#);
    for parameters in [r#"req;key="sig1""#, r#"key="sig1";req"#] {
        let input = format!(r#"("date" "signature";{parameters})"#);
        let (valid, string) = verdict(&covering, &message(Some(200), &input), None, 0).unwrap();
        assert_eq!(valid.outcome, Outcome::Valid);
        assert!(
            string.contains(&format!("\"signature\";{parameters}: :AQ==:\n")),
            "{string}"
        );
    }
}

/// Appendix B.1.3.
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\nw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==";
const NOW: u64 = 1_618_884_480_000;
