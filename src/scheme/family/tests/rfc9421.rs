//! RFC 9421: the examples of appendix B, and what must be refused.

use super::*;

const PSS: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2\n+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+\noAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq\ngDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W\nUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4\naOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI\n2wIDAQAB";
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\nw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==";
const ED25519: &str = "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
const REQUEST_DIGEST: &str = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
const RESPONSE_DIGEST: &str = "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:";
const NOW: u64 = 1_618_884_473_000;

const B21: [&str; 2] = [
    r#"sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#,
    "sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:",
];
const B22: [&str; 2] = [
    r#"sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
    "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
];
const B23: [&str; 2] = [
    r#"sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
    "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:",
];
const B24: [&str; 2] = [
    r#"sig-b24=("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#,
    "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:",
];
const B25: [&str; 2] = [
    r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
];
const B26: [&str; 2] = [
    r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
];

fn request(signature: [&str; 2]) -> Message<'static> {
    Message {
        method: Some("POST".into()),
        scheme: Some("https".into()),
        authority: Some("Example.com:443".into()),
        path: Some("/foo".into()),
        query: Some("param=Value&Pet=dog".into()),
        headers: vec![
            header("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            header("Content-Type", "application/json"),
            header("Content-Digest", REQUEST_DIGEST),
            header("Content-Length", "18"),
            header("Signature-Input", signature[0]),
            header("Signature", signature[1]),
        ],
        body: Cow::Borrowed(br#"{"hello": "world"}"#),
        ..Message::default()
    }
}

fn response() -> Message<'static> {
    Message {
        status: Some(200),
        headers: vec![
            header("Content-Type", "application/json"),
            header("Content-Digest", RESPONSE_DIGEST),
            header("Content-Length", "23"),
            header("Signature-Input", B24[0]),
            header("Signature", B24[1]),
        ],
        body: Cow::Borrowed(br#"{"message": "good dog"}"#),
        ..Message::default()
    }
}

fn scheme(algorithm: &str, choice: &str, components: &str) -> Scheme {
    let signature = format!("family = \"rfc9421\"\n{choice}\ncomponents = {components}");
    verifier(algorithm, &signature, "")
}

fn names(verdict: &Verdict) -> Vec<&str> {
    let names = verdict.authenticated.iter();
    names.map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_signatures_of_appendix_b_are_valid() {
    let pet = r#"["@authority", "content-digest", { name = "@query-param", param = "Pet" }]"#;
    let date = r#"["date", "@authority"]"#;
    for (scheme, message, key, base) in [
        (
            scheme("PS512", "tag = \"header-example\"", pet),
            request(B22),
            Some(PSS),
            [
                "\"@authority\": example.com",
                &format!("\"content-digest\": {REQUEST_DIGEST}"),
                "\"@query-param\";name=\"Pet\": dog",
                &format!("\"@signature-params\": {}", &B22[0][8..]),
            ]
            .join("\n"),
        ),
        (
            scheme(
                "PS512",
                "label = \"sig-b23\"",
                r#"["@method", "@query", "content-digest"]"#,
            ),
            request(B23),
            Some(PSS),
            [
                "\"date\": Tue, 20 Apr 2021 02:07:55 GMT",
                "\"@method\": POST",
                "\"@path\": /foo",
                "\"@query\": ?param=Value&Pet=dog",
                "\"@authority\": example.com",
                "\"content-type\": application/json",
                &format!("\"content-digest\": {REQUEST_DIGEST}"),
                "\"content-length\": 18",
                &format!("\"@signature-params\": {}", &B23[0][8..]),
            ]
            .join("\n"),
        ),
        (
            scheme(
                "ES256",
                "label = \"sig-b24\"",
                r#"["@status", "content-digest"]"#,
            ),
            response(),
            Some(P256),
            [
                "\"@status\": 200",
                "\"content-type\": application/json",
                &format!("\"content-digest\": {RESPONSE_DIGEST}"),
                "\"content-length\": 23",
                &format!("\"@signature-params\": {}", &B24[0][8..]),
            ]
            .join("\n"),
        ),
        (
            scheme("HS256", "label = \"sig-b25\"", date),
            request(B25),
            None,
            [
                "\"date\": Tue, 20 Apr 2021 02:07:55 GMT",
                "\"@authority\": example.com",
                "\"content-type\": application/json",
                &format!("\"@signature-params\": {}", &B25[0][8..]),
            ]
            .join("\n"),
        ),
        (
            scheme("EdDSA", "label = \"sig-b26\"", date),
            request(B26),
            Some(ED25519),
            [
                "\"date\": Tue, 20 Apr 2021 02:07:55 GMT",
                "\"@method\": POST",
                "\"@path\": /foo",
                "\"@authority\": example.com",
                "\"content-type\": application/json",
                "\"content-length\": 18",
                &format!("\"@signature-params\": {}", &B26[0][8..]),
            ]
            .join("\n"),
        ),
    ] {
        let key = key.map(public_key);
        let (verdict, string) = verdict(&scheme, &message, key.as_ref(), NOW).unwrap();
        assert_eq!(string, base);
        assert_eq!(verdict.outcome, Outcome::Valid);
        let body = names(&verdict).contains(&"body");
        assert_eq!(body, base.contains("content-digest"));
    }
    // B.2.5 is a MAC, whose value the shipped scheme's own vectors compare.
    let hmac = scheme("HS256", "label = \"sig-b25\"", date);
    let (bindings, message) = (Bindings::default(), request(B25));
    let examination = hmac.examine(&message, &bindings).ok().unwrap();
    let (_, candidate) = examination.candidates().next().unwrap();
    use hmac::{Hmac, KeyInit, Mac};
    let secret = crate::scheme::encoding::decode_base64(
        b"uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==",
    )
    .unwrap();
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&secret).unwrap();
    let mac = mac.chain_update(candidate.string.bytes().unwrap());
    assert_eq!(mac.finalize().into_bytes().as_slice(), candidate.signature);
}

#[test]
fn the_verdict_tells_what_was_covered_and_no_more() {
    let scheme = scheme("EdDSA", "label = \"sig-b26\"", r#"["@method", "@path"]"#);
    let key = public_key(ED25519);
    let (valid, _) = verdict(&scheme, &request(B26), Some(&key), NOW).unwrap();
    assert_eq!(
        names(&valid),
        [
            "\"date\"",
            "\"@method\"",
            "\"@path\"",
            "\"@authority\"",
            "\"content-type\"",
            "\"content-length\""
        ]
    );
    let mut message = request(B26);
    message.path = Some("/bar".into());
    let (invalid, _) = verdict(&scheme, &message, Some(&key), NOW).unwrap();
    assert_eq!(invalid.outcome, Outcome::Invalid);
    assert!(invalid.authenticated.is_empty());
}

/// A signature that covers nothing protects nothing: B.2.1 is valid, and of no use.
#[test]
fn what_is_not_covered_is_refused_by_name() {
    let least = scheme("PS512", "label = \"sig-b21\"", r#"["@method"]"#);
    let (code, text) = reason(verdict(&least, &request(B21), None, NOW));
    assert_eq!(code, "COMPONENT_NOT_COVERED");
    assert!(text.contains("\"@method\""), "{text}");

    let stripped = scheme(
        "EdDSA",
        "label = \"sig-b26\"",
        r#"["@method", "content-digest"]"#,
    );
    let (code, text) = reason(verdict(&stripped, &request(B26), None, NOW));
    assert_eq!(code, "COMPONENT_NOT_COVERED");
    assert!(text.contains("\"content-digest\""), "{text}");

    // What is optional must be covered if it is there.
    let optional = r#"["@method", { name = "content-digest", optional = true }]"#;
    let optional = scheme("EdDSA", "label = \"sig-b26\"", optional);
    assert_eq!(
        reason(verdict(&optional, &request(B26), None, NOW)).0,
        "COMPONENT_NOT_COVERED"
    );
    let mut message = request(B26);
    message.headers.remove(2);
    assert!(verdict(&optional, &message, None, NOW).is_ok());
}

#[test]
fn a_digest_that_is_covered_is_checked() {
    let scheme = scheme("PS512", "label = \"sig-b23\"", r#"["content-digest"]"#);
    let mut message = request(B23);
    message.body = Cow::Borrowed(br#"{"hello": "World"}"#);
    assert_eq!(
        reason(verdict(&scheme, &message, None, NOW)).0,
        "DIGEST_MISMATCH"
    );
    for (digest, code) in [
        ("md5=:AAAA:", "SIGNATURE_MALFORMED"),
        ("sha-256=AAAA", "ENCODING_INVALID"),
        (
            "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, sha-512=:AAAA:",
            "DIGEST_MISMATCH",
        ),
        (
            "sha-256=:AAAA:, sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
            "FIELD_REPEATED",
        ),
    ] {
        let mut message = request(B23);
        message.headers[2] = header("Content-Digest", digest);
        assert_eq!(
            reason(verdict(&scheme, &message, None, NOW)).0,
            code,
            "{digest}"
        );
    }
}

#[test]
fn hostile_inputs_are_refused_with_a_reason() {
    let scheme = scheme("EdDSA", "label = \"a\"", r#"["@method"]"#);
    for (input, signature, code) in [
        (
            "a=(\"@method\"), a=(\"@method\")",
            "a=:AA==:",
            "FIELD_REPEATED",
        ),
        ("a=(\"@method\")", "a=:AA==:, a=:AQ==:", "FIELD_REPEATED"),
        ("b=(\"@method\")", "a=:AA==:", "INPUT_MISSING"),
        ("a=(\"@method\")", "b=:AA==:", "INPUT_MISSING"),
        ("a=(\"@method\")", "a=AA", "ENCODING_INVALID"),
        ("a=\"@method\"", "a=:AA==:", "SIGNATURE_MALFORMED"),
        ("a=(\"@method\" \"@method\")", "a=:AA==:", "INPUT_REPEATED"),
        (
            "a=(\"@method\" \"@signature-params\")",
            "a=:AA==:",
            "SIGNATURE_MALFORMED",
        ),
        (
            "a=(\"@method\" \"@method\";req)",
            "a=:AA==:",
            "SIGNATURE_MALFORMED",
        ),
        (
            "a=(\"@method\" \"date\";sf;key=\"a\")",
            "a=:AA==:",
            "SIGNATURE_MALFORMED",
        ),
        (
            "a=(\"@method\" \"date\";tr)",
            "a=:AA==:",
            "SIGNATURE_MALFORMED",
        ),
        (
            "a=(\"@method\" \"date\";sf)",
            "a=:AA==:",
            "SIGNATURE_MALFORMED",
        ),
        (
            "a=(\"@method\" \"Date\")",
            "a=:AA==:",
            "SIGNATURE_MALFORMED",
        ),
        ("a=(\"@method\" \"x-none\")", "a=:AA==:", "INPUT_MISSING"),
        (
            "a=(\"@method\" \"@query-param\";name=\"Pat\")",
            "a=:AA==:",
            "INPUT_MISSING",
        ),
        ("a=(@method)", "a=:AA==:", "STRUCTURED_FIELD_INVALID"),
        (
            "a=(\"@method\");alg=\"hmac-sha256\"",
            "a=:AA==:",
            "ALGORITHM_MISMATCH",
        ),
        ("a=(\"@method\");created=\"1\"", "a=:AA==:", "TIME_INVALID"),
        ("a=(\"@method\");created=-1", "a=:AA==:", "TIME_INVALID"),
        ("a=(\"@method\");nonce=1", "a=:AA==:", "SIGNATURE_MALFORMED"),
        (
            "a=(\"@method\");created=1;created=2",
            "a=:AA==:",
            "FIELD_REPEATED",
        ),
    ] {
        let result = verdict(&scheme, &request([input, signature]), None, NOW);
        assert_eq!(reason(result).0, code, "{input} {signature}");
    }
    // A line end in a value would be a line of the base.
    let mut message = request(["a=(\"@method\" \"date\")", "a=:AA==:"]);
    message.headers[0] = header("Date", "x\n\"@method\": GET");
    assert_eq!(
        reason(verdict(&scheme, &message, None, NOW)).0,
        "ENCODING_INVALID"
    );
    let twice = request(["a=(\"@method\" \"@query-param\";name=\"a\")", "a=:AA==:"]);
    let twice = Message {
        query: Some("a=1&%61=2".into()),
        ..twice
    };
    assert_eq!(
        reason(verdict(&scheme, &twice, None, NOW)).0,
        "INPUT_REPEATED"
    );
}

/// RFC 9421 sections 2.1.1 to 2.1.3, 2.2.7 and 2.2.8.
#[test]
fn components_have_the_values_of_section_2() {
    let components = r#"["@method", { name = "dict", sf = "dictionary" }, { name = "dict", key = "b" }, { name = "dict", bs = true }, "dict", "empty", "@target-uri", "@request-target", { name = "@query-param", param = "a b" }]"#;
    let scheme = scheme("EdDSA", "label = \"a\"", components);
    let input = r#"a=("@method" "dict";sf "dict";key="b" "dict";bs "dict" "empty" "@target-uri" "@request-target" "@query-param";name="a%20b")"#;
    let mut message = request([input, "a=:AA==:"]);
    message.query = Some("a+b=x+y%26".into());
    message.headers.push(header("Dict", " a=1,    b=2;x=1 "));
    message.headers.push(header("dict", "c=(a   b)"));
    message.headers.push(header("Empty", ""));
    let (_, string) = verdict(&scheme, &message, None, NOW).unwrap();
    assert_eq!(
        string.lines().collect::<Vec<_>>(),
        [
            "\"@method\": POST",
            "\"dict\";sf: a=1, b=2;x=1, c=(a b)",
            "\"dict\";key=\"b\": 2;x=1",
            "\"dict\";bs: :YT0xLCAgICBiPTI7eD0x:, :Yz0oYSAgIGIp:",
            "\"dict\": a=1,    b=2;x=1, c=(a   b)",
            "\"empty\": ",
            "\"@target-uri\": https://Example.com:443/foo?a+b=x+y%26",
            "\"@request-target\": /foo?a+b=x+y%26",
            "\"@query-param\";name=\"a%20b\": x%20y%26",
            &format!("\"@signature-params\": {}", &input[2..]),
        ]
    );
}

#[test]
fn a_signature_that_has_expired_is_stale() {
    let scheme = scheme("EdDSA", "label = \"a\"", r#"["@method"]"#);
    let message = request(["a=(\"@method\");expires=1618884473", "a=:AA==:"]);
    for (now, outcome) in [(NOW - 1, Outcome::Valid), (NOW, Outcome::Stale)] {
        assert_eq!(
            verdict(&scheme, &message, None, now).unwrap().0.outcome,
            outcome
        );
    }
}

/// A signature is added to those that are there, and never takes the place of one.
#[test]
fn another_signature_stays() {
    let scheme = shipped("rfc9421-ed25519");
    let mut message = request(["proxy=();created=1", "proxy=:AA==:"]);
    message.headers.remove(2);
    let mut bindings = Bindings::default();
    bindings
        .constants
        .insert("key_id".to_owned(), b"k".to_vec());
    let draft = scheme
        .draft(&message, &bindings, UnixMilliseconds(NOW), &mut |_| {})
        .ok()
        .unwrap();
    let signed = draft.finish(&[7; 64]).unwrap();
    let value = |name: &str| {
        let found = signed.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str()).unwrap()
    };
    assert!(value("Signature-Input").starts_with("proxy=();created=1, sig1=(\"@method\""));
    assert!(value("Signature").starts_with("proxy=:AA==:, sig1=:Bwc"));
    let message = request(["sig1=();created=1", "sig1=:AA==:"]);
    let refusal = scheme.draft(&message, &bindings, UnixMilliseconds(NOW), &mut |_| {});
    assert_eq!(refusal.err().unwrap().reason(), "SIGNATURE_MALFORMED");
}

#[test]
fn a_scheme_must_say_what_is_covered() {
    for (algorithm, entries, code) in [
        ("EdDSA", "label = \"a\"\ncomponents = []", "NOTHING_COVERED"),
        (
            "EdDSA",
            "label = \"a\"\ncomponents = [{ name = \"date\", optional = true }]",
            "NOTHING_COVERED",
        ),
        ("EdDSA", "components = [\"@method\"]", "MISSING_ENTRY"),
        (
            "EdDSA",
            "label = \"A\"\ncomponents = [\"@method\"]",
            "WRONG_NAME",
        ),
        (
            "EdDSA",
            "label = \"a\"\ncomponents = [\"@methods\"]",
            "WRONG_VALUE",
        ),
        (
            "EdDSA",
            "label = \"a\"\ncomponents = [\"Date\"]",
            "WRONG_VALUE",
        ),
        (
            "EdDSA",
            "label = \"a\"\ncomponents = [\"date\", \"date\"]",
            "REPEATED_NAME",
        ),
        (
            "PS256",
            "label = \"a\"\ncomponents = [\"date\"]",
            "WRONG_KEY",
        ),
        (
            "EdDSA",
            "label = \"a\"\ncomponents = [\"date\"]\nparameters = [\"nonsense\"]",
            "WRONG_VALUE",
        ),
    ] {
        let text = format!(
            "[scheme]\nname = \"t\"\ntitle = \"T\"\nsource = \"s\"\nconfidence = \"our-reading\"\n[keys.k]\ndescription = \"d\"\nuse = \"verify\"\nalgorithm = \"{algorithm}\"\n[verify.signature]\nkey = \"k\"\nfamily = \"rfc9421\"\n{entries}"
        );
        assert_eq!(
            Scheme::read(&text).err().unwrap().reason(),
            code,
            "{entries}"
        );
    }
    let signature = "family = \"rfc9421\"\nlabel = \"a\"\ncomponents = [\"date\"]";
    let text = format!(
        "[scheme]\nname = \"t\"\ntitle = \"T\"\nsource = \"s\"\nconfidence = \"our-reading\"\n[keys.k]\ndescription = \"d\"\nuse = \"verify\"\nalgorithm = \"EdDSA\"\n[verify]\nauthenticated = [\"body\"]\n[verify.signature]\nkey = \"k\"\n{signature}"
    );
    assert_eq!(Scheme::read(&text).err().unwrap().reason(), "NOT_SIGNED");
}

proptest! {
    #[test]
    fn no_signature_input_panics(
        input in "(a=\\()?[\"@a-z;=() ,:0-9*-]{0,60}",
        signature in "(a=)?[:a-zA=, ]{0,24}",
        query in "[a%=&+0-9]{0,12}",
    ) {
        let scheme = scheme("EdDSA", "label = \"a\"", r#"["@method"]"#);
        let message = request([&input, &signature]);
        let message = Message { query: Some(query.into()), ..message };
        let _ = verdict(&scheme, &message, None, NOW);
    }
}
