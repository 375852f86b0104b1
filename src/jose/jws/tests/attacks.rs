//! Attacks on JWS, by their numbers in the list that this room must survive: 3 `alg`, 4 JWE as JWS, 10 `crit`,
//! 11 ambiguity, 12 sizes, 13 embedded keys, 14 `kid`, 15 base64.

use super::*;

#[test]
fn attack_03_alg_none_unknown_and_of_another_kind() {
    for name in [
        "none", "None", "NONE", "nOnE", "", "rs256", "HS1", "RS1", "ES256K", "RSA-OAEP", "dir",
        "A128KW", "ECDH-ES", "HS256 ",
    ] {
        let header = json!({ "alg": name }).to_string();
        assert_eq!(
            parse(&with_header(&header)),
            Err(Malformed::Algorithm(name.to_owned()))
        );
        // An empty signature is refused by itself too.
        assert!(parse(&format!("{}..", base64url::encode(header.as_bytes()))).is_err());
    }
    assert_eq!(parse(&with_header("{}")), Err(Malformed::AlgorithmMissing));
    for value in ["null", "1", "[\"RS256\"]", "{}"] {
        assert_eq!(
            parse(&with_header(&format!("{{\"alg\":{value}}}"))),
            Err(Malformed::MemberType("alg"))
        );
    }
    // RS256's public key as a secret for HS256: the candidate says HS256, which no RSA key fits.
    let jws = parse(&with_header(r#"{"alg":"HS256"}"#)).unwrap();
    let vector = Vector::named("jws", "rfc7515-a2");
    let key = public_key(vector.jwk());
    let forged = hs256(key.pem().as_bytes(), jws.candidates()[0].signing_input());
    let input = Input::Message(jws.candidates()[0].signing_input());
    assert!(!key.verifies(HS256, input, &forged, false));
}

#[test]
fn attack_04_jwe_as_jws() {
    for vector in Vector::all("jwe") {
        for text in vector.texts("jwe") {
            assert_eq!(
                parse(text),
                Err(Malformed::NotJws),
                "{}",
                vector.text("name")
            );
        }
    }
}

#[test]
fn attack_10_unknown_crit_and_pretended_b64() {
    let read = |header: &str, understood: &[&str]| {
        let understood = understood
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>();
        Jws::parse(&with_header(header), None, &understood)
    };
    let wrong = |header| read(header, &["a", "b"]).unwrap_err();
    assert!(read(r#"{"alg":"RS256","crit":["a"],"a":1}"#, &["a"]).is_ok());
    assert_eq!(
        read(r#"{"alg":"RS256","crit":["a"],"a":1}"#, &[]),
        Err(Malformed::CriticalUnknown("a".to_owned()))
    );
    assert_eq!(
        read(r#"{"alg":"RS256","crit":["a","c"],"a":1,"c":1}"#, &["a"]),
        Err(Malformed::CriticalUnknown("c".to_owned()))
    );
    for crit in [
        "[]",
        "null",
        "\"a\"",
        "{}",
        "[1]",
        "[\"a\",\"a\"]",
        "[\"alg\"]",
        "[\"kid\"]",
        "[\"crit\"]",
        "[\"exp\",1]",
    ] {
        let header = format!(r#"{{"alg":"RS256","kid":"k","a":1,"exp":1,"crit":{crit}}}"#);
        let error = read(&header, &["a", "alg", "kid", "crit", "exp"]).unwrap_err();
        assert_eq!(error, Malformed::MemberType("crit"), "{crit}");
    }
    assert_eq!(
        wrong(r#"{"alg":"RS256","crit":["a"]}"#),
        Malformed::CriticalMissing
    );
    assert_eq!(
        wrong(r#"{"alg":"RS256","b64":false}"#),
        Malformed::Base64NotCritical
    );
    assert_eq!(
        wrong(r#"{"alg":"RS256","b64":true}"#),
        Malformed::Base64NotCritical
    );
    assert_eq!(
        wrong(r#"{"alg":"RS256","b64":"false","crit":["b64"]}"#),
        Malformed::MemberType("b64")
    );
    assert_eq!(
        wrong(r#"{"alg":"RS256","crit":["b64"]}"#),
        Malformed::CriticalMissing
    );
    let json = |header: Value| {
        let text = json!({
            "payload": "", "protected": base64url::encode(br#"{"alg":"RS256"}"#),
            "header": header, "signature": "AA",
        });
        Jws::parse(&text.to_string(), None, &["a".to_owned()])
    };
    assert!(json(json!({"a": 1})).is_ok());
    for header in [
        json!({"crit": ["a"], "a": 1}),
        json!({"b64": false}),
        json!({"critical": ["a"], "crit": []}),
    ] {
        assert_eq!(json(header), Err(Malformed::CriticalUnprotected));
    }
}

#[test]
fn attack_11_ambiguous_messages() {
    let protected = base64url::encode(br#"{"alg":"RS256"}"#);
    for (text, expected) in [
        (
            with_header(r#"{"alg":"RS256","alg":"HS256"}"#),
            Malformed::DuplicateMember,
        ),
        (
            format!(
                r#"{{"payload":"","payload":"AA","protected":"{protected}","signature":"AA"}}"#
            ),
            Malformed::DuplicateMember,
        ),
        (
            format!(
                r#"{{"payload":"","protected":"{protected}","header":{{"alg":"HS256"}},"signature":"AA"}}"#
            ),
            Malformed::HeadersOverlap,
        ),
        (
            format!(
                r#"{{"payload":"","signature":"AA","signatures":[{{"protected":"{protected}","signature":"AA"}}]}}"#
            ),
            Malformed::Ambiguous,
        ),
        (
            r#"{"payload":"","signatures":[]}"#.to_owned(),
            Malformed::SignatureCount(0),
        ),
        (
            r#"{"payload":"","signatures":{}}"#.to_owned(),
            Malformed::MemberType("signatures"),
        ),
        (
            r#"{"payload":"","signatures":["a"]}"#.to_owned(),
            Malformed::MemberType("signatures"),
        ),
        (
            format!(r#"{{"payload":1,"protected":"{protected}","signature":"AA"}}"#),
            Malformed::MemberType("payload"),
        ),
        (
            format!(r#"{{"payload":"","protected":"{protected}"}}"#),
            Malformed::SignatureMissing,
        ),
        (
            format!(r#"{{"payload":"","protected":"{protected}","signature":""}}"#),
            Malformed::SignatureMissing,
        ),
        (
            r#"{"payload":"","protected":"","header":{"alg":"RS256"},"signature":"AA"}"#.to_owned(),
            Malformed::MemberType("protected"),
        ),
        (
            r#"{"payload":"","signature":"AA"}"#.to_owned(),
            Malformed::Json,
        ),
    ] {
        assert_eq!(parse(&text), Err(expected), "{text}");
    }
    let mixed = json!({"payload": "AAAA", "signatures": [
        {"protected": protected, "signature": "AA"},
        {"protected": base64url::encode(br#"{"alg":"RS256","b64":false,"crit":["b64"]}"#), "signature": "AA"},
    ]});
    assert_eq!(parse(&mixed.to_string()), Err(Malformed::MixedEncoding));
}

#[test]
fn attack_12_sizes_and_dots() {
    for dots in [0, 1, 3, 4, 5, 1_000_000] {
        let start = std::time::Instant::now();
        let text = ".".repeat(dots);
        assert!(parse(&text).is_err());
        assert!(start.elapsed() < std::time::Duration::from_secs(10));
    }
    assert_eq!(parse(&"a".repeat(MAX_TEXT + 1)), Err(Malformed::TooLong));
    let header = |length: usize| {
        let frame = r#"{"alg":"RS256","a":""}"#.len();
        format!(r#"{{"alg":"RS256","a":"{}"}}"#, "a".repeat(length - frame))
    };
    assert!(parse(&with_header(&header(MAX_HEADER))).is_ok());
    assert_eq!(
        parse(&with_header(&header(MAX_HEADER + 1))),
        Err(Malformed::HeaderTooLong)
    );
    assert_eq!(
        parse(&with_header(&header(MAX_HEADER + 10))),
        Err(Malformed::HeaderTooLong)
    );
    let unprotected = json!({
        "payload": "", "header": {"alg": "RS256", "a": "a".repeat(MAX_HEADER)}, "signature": "AA",
    });
    assert_eq!(
        parse(&unprotected.to_string()),
        Err(Malformed::HeaderTooLong)
    );
    let signatures = |count| {
        let one = json!({"header": {"alg": "RS256"}, "signature": "AA"});
        json!({"payload": "", "signatures": vec![one; count]}).to_string()
    };
    assert_eq!(parse(&signatures(8)).unwrap().candidates().len(), 8);
    assert_eq!(parse(&signatures(9)), Err(Malformed::SignatureCount(9)));
    let deep = format!(
        r#"{{"alg":"RS256","a":{}1{}}}"#,
        "[".repeat(8),
        "]".repeat(8)
    );
    assert_eq!(parse(&with_header(&deep)), Err(Malformed::TooComplex));
}

#[test]
fn attack_13_embedded_keys_are_not_looked_at() {
    let vector = Vector::named("jws", "rfc7515-a2");
    for name in ["jwk", "jku", "x5u", "x5c"] {
        for value in [json!(vector.jwk()), json!("https://evil.example"), json!(1)] {
            let header = json!({"alg": "RS256", name: value}).to_string();
            let jws = parse(&with_header(&header)).unwrap();
            assert_eq!(jws.candidates()[0].key_id(), None);
            assert_eq!(jws.candidates()[0].protected_header(), header);
        }
    }
}

#[test]
fn attack_14_kid_is_a_hint_and_nothing_else() {
    for kid in [
        "../../etc/passwd",
        "' or 1=1 --",
        "\0",
        "file:///dev/null",
        "",
    ] {
        let header = json!({"alg": "RS256", "kid": kid}).to_string();
        let jws = parse(&with_header(&header)).unwrap();
        assert_eq!(jws.candidates()[0].key_id(), Some(kid));
    }
    for kid in ["null", "1", "[\"a\"]"] {
        assert_eq!(
            parse(&with_header(&format!(r#"{{"alg":"RS256","kid":{kid}}}"#))),
            Err(Malformed::MemberType("kid"))
        );
    }
}

/// One byte more or less, in any part, is another message: no spelling of the same bytes is accepted.
#[test]
fn attack_15_lax_base64_and_signature_lengths() {
    for name in ["rfc7515-a2", "rfc7515-a3", "rfc7515-a4"] {
        let vector = Vector::named("jws", name);
        let text = vector.texts("jws")[0];
        let accepted =
            |text: &str| parse(text).is_ok_and(|jws| verifies(&vector, &jws.candidates()[0]));
        assert!(accepted(text));
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \n";
        let last = text.len() - 1;
        for other in alphabet.chars().filter(|other| !text.ends_with(*other)) {
            assert!(!accepted(&format!("{}{other}", &text[..last])), "{other:?}");
            assert!(!accepted(&format!("{text}{other}")), "{other:?}");
            assert!(!accepted(&format!("{other}{text}")), "{other:?}");
        }
        let segments = text.split('.').collect::<Vec<_>>();
        let signature = bytes(segments[2]);
        for length in (0..signature.len()).chain([signature.len() + 1]) {
            let mut other = signature.clone();
            other.resize(length, 0);
            let other = base64url::encode(&other);
            assert!(!accepted(&format!(
                "{}.{}.{other}",
                segments[0], segments[1]
            )));
        }
    }
    // r and s of zero, and of the order.
    let vector = Vector::named("jws", "rfc7515-a3");
    let key = public_key(vector.jwk());
    for signature in [vec![0; 64], vec![0xff; 64]] {
        let es256 = Algorithm::Ecdsa(Curve::P256);
        assert!(!key.verifies(es256, Input::Message(b"x"), &signature, false));
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(text in any::<String>(), detached in any::<Option<Vec<u8>>>()) {
        let _ = Jws::parse(&text, detached.as_deref(), &[]);
        let _ = parse(&with_header(&text));
        let _ = parse(&format!("{{\"payload\":\"\",{text}}}"));
    }

    #[test]
    fn no_mutation_of_a_published_jws_verifies(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        byte in 0x20_u8..0x7f,
    ) {
        let vectors = Vector::all("jws");
        let vector = which.get(&vectors);
        for text in vector.texts("jws").into_iter().filter(|text| !text.starts_with('{')) {
            let mut mutated = text.as_bytes().to_vec();
            let place = place.index(mutated.len());
            prop_assume!(mutated[place] != byte);
            mutated[place] = byte;
            let mutated = String::from_utf8(mutated).unwrap();
            let payload = vector.payload();
            let detached = vector.is("detached").then_some(&payload[..]);
            if let Ok(jws) = Jws::parse(&mutated, detached, &[]) {
                prop_assert!(!verifies(vector, &jws.candidates()[0]), "{}", mutated);
            }
        }
    }
}
