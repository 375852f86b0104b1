//! JWS: published vectors both ways, and attacks by their numbers in the list that this room must survive
//! (3 `alg`, 4 JWE as JWS, 10 `crit`, 11 ambiguity, 12 sizes, 13 embedded keys, 14 `kid`, 15 base64).

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    algorithm::{Curve, Hash},
    jose::{
        HeaderError, MAX_HEADER, MAX_TEXT, Serialization,
        testing::{Vector, bytes, public_key},
    },
    key::Input,
};

const HS256: Algorithm = Algorithm::Hmac(Hash::Sha256);
const RS256: Algorithm = Algorithm::RsaPkcs1(Hash::Sha256);

fn hs256(key: &[u8], input: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(input);
    mac.finalize().into_bytes().to_vec()
}

fn verifies(vector: &Vector, candidate: &Candidate) -> bool {
    let jwk = vector.jwk();
    if candidate.algorithm() != vector.algorithm() {
        return false;
    }
    if candidate.algorithm() == HS256 {
        let key = bytes(jwk["k"].as_str().unwrap());
        return hs256(&key, candidate.signing_input()) == candidate.signature();
    }
    public_key(jwk).verifies(
        candidate.algorithm(),
        Input::Message(candidate.signing_input()),
        candidate.signature(),
        false,
    )
}

fn parse(text: &str) -> Result<Jws, Malformed> {
    Jws::parse(text, None, &[])
}

/// A compact JWS with this header, an empty payload and some signature.
fn with_header(header: &str) -> String {
    format!("{}..AA", base64url::encode(header.as_bytes()))
}

#[test]
fn published_vectors_verify_in_every_serialization() {
    for vector in Vector::all("jws") {
        let name = vector.text("name");
        for text in vector.texts("jws") {
            let payload = vector.payload();
            let detached = vector.is("detached").then_some(&payload[..]);
            let parsed = Jws::parse(text, detached, &[]);
            if !vector.supported() {
                assert!(parsed.is_err(), "{name}");
                continue;
            }
            let jws = parsed.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(jws.payload(), payload, "{name}");
            let good = jws
                .candidates()
                .iter()
                .filter(|candidate| verifies(&vector, candidate))
                .count();
            assert_eq!(good, 1, "{name}");
        }
    }
}

/// What is drafted from the parts of a published JWS, and finished with its signature, is that JWS.
#[test]
fn published_vectors_are_made_again() {
    let mut made = 0;
    for vector in Vector::all("jws") {
        if !vector.supported() || vector.is("multiple") {
            continue;
        }
        for text in vector.texts("jws") {
            let (serialization, protected, unprotected) = parts(text);
            let mut protected: Map<String, Value> = protected;
            // RFC 7515 A.1 writes `typ` first and breaks its lines; RFC 7520 4.7 does not protect `alg`.
            if protected.keys().next().is_none_or(|name| name != "alg")
                || vector.text("name") == "rfc7515-a1"
            {
                continue;
            }
            protected.shift_remove("alg");
            let unencoded = protected.shift_remove("b64") == Some(json!(false));
            if unencoded {
                protected.shift_remove("crit");
            }
            let payload = vector.payload();
            let draft = Draft::new(JwsParameters {
                algorithm: vector.algorithm(),
                key_id: None,
                payload: &payload,
                protected_header: &Value::Object(protected).to_string(),
                unprotected_header: &Value::Object(unprotected).to_string(),
                serialization,
                detached: vector.is("detached"),
                unencoded_payload: unencoded,
            })
            .unwrap();
            let detached = vector.is("detached").then_some(&payload[..]);
            let jws = Jws::parse(text, detached, &[]).unwrap();
            let candidate = &jws.candidates()[0];
            assert_eq!(draft.signing_input(), candidate.signing_input());
            let again = draft.finish(candidate.signature());
            if serialization == Serialization::Compact {
                assert_eq!(again, text);
            } else {
                let value = |text| serde_json::from_str::<Value>(text).unwrap();
                assert_eq!(value(&again), value(text));
            }
            made += 1;
        }
    }
    assert!(made >= 20, "{made}");
}

fn parts(text: &str) -> (Serialization, Map<String, Value>, Map<String, Value>) {
    let decode = |text: &str| serde_json::from_slice(&bytes(text)).unwrap();
    let Ok(object) = serde_json::from_str::<Value>(text) else {
        let protected = decode(text.split('.').next().unwrap());
        return (Serialization::Compact, protected, Map::new());
    };
    let (serialization, one) = match object.get("signatures") {
        Some(signatures) => (Serialization::GeneralJson, signatures[0].clone()),
        None => (Serialization::FlattenedJson, object),
    };
    let protected = one["protected"].as_str().map_or_else(Map::new, decode);
    let unprotected = one["header"].as_object().cloned().unwrap_or_default();
    (serialization, protected, unprotected)
}

/// Every way of writing what is drafted here, read by josekit.
#[test]
fn another_library_verifies_what_is_drafted() {
    let key = [7_u8; 32];
    let verifier = josekit::jws::HS256.verifier_from_bytes(key).unwrap();
    for serialization in [
        Serialization::Compact,
        Serialization::FlattenedJson,
        Serialization::GeneralJson,
    ] {
        let draft = Draft::new(JwsParameters {
            algorithm: HS256,
            key_id: Some("k"),
            payload: b"pay.load\xff",
            protected_header: r#"{"typ":"JWT","x":[1,{"y":null}]}"#,
            unprotected_header: if serialization == Serialization::Compact {
                ""
            } else {
                r#"{"z":1}"#
            },
            serialization,
            detached: false,
            unencoded_payload: false,
        })
        .unwrap();
        let signature = hs256(&key, draft.signing_input());
        let text = draft.finish(&signature);
        let (payload, _) = if serialization == Serialization::Compact {
            let (payload, header) = josekit::jws::deserialize_compact(&text, &verifier).unwrap();
            assert_eq!(header.key_id(), Some("k"));
            (payload, ())
        } else {
            (
                josekit::jws::deserialize_json(&text, &verifier).unwrap().0,
                (),
            )
        };
        assert_eq!(payload, b"pay.load\xff");
        assert_eq!(
            parse(&text).unwrap().candidates()[0].protected_header(),
            r#"{"alg":"HS256","kid":"k","typ":"JWT","x":[1,{"y":null}]}"#
        );
    }
}

fn draft(protected: &str, unprotected: &str) -> Result<Draft, HeaderError> {
    Draft::new(JwsParameters {
        algorithm: RS256,
        key_id: Some("thumbprint"),
        payload: b"x",
        protected_header: protected,
        unprotected_header: unprotected,
        serialization: Serialization::FlattenedJson,
        detached: false,
        unencoded_payload: false,
    })
}

fn header_of(draft: &Draft) -> String {
    let input = std::str::from_utf8(draft.signing_input()).unwrap();
    String::from_utf8(bytes(input.split('.').next().unwrap())).unwrap()
}

#[test]
fn the_callers_header_is_merged_under_rules() {
    let good = |protected, unprotected| header_of(&draft(protected, unprotected).unwrap());
    assert_eq!(good("", ""), r#"{"alg":"RS256","kid":"thumbprint"}"#);
    assert_eq!(good("{}", "{}"), r#"{"alg":"RS256","kid":"thumbprint"}"#);
    assert_eq!(
        good(r#"{"typ":"a","kid":"mine","b":1}"#, ""),
        r#"{"alg":"RS256","kid":"mine","typ":"a","b":1}"#
    );
    assert_eq!(good("", r#"{"kid":"mine"}"#), r#"{"alg":"RS256"}"#);
    assert_eq!(
        good(r#"{"crit":["exp"],"exp":1}"#, ""),
        r#"{"alg":"RS256","kid":"thumbprint","crit":["exp"],"exp":1}"#
    );
    for name in ["alg", "b64", "jwk", "jku", "x5u"] {
        let header = json!({ name: "x" }).to_string();
        let refused = |result| matches!(result, Err(HeaderError::Refused { .. }));
        assert!(refused(draft(&header, "")), "{name}");
        assert!(refused(draft("", &header)), "{name}");
    }
    for (protected, unprotected) in [
        ("[]", ""),
        ("{", ""),
        (r#"{"a":1,"a":1}"#, ""),
        (r#"{"kid":1}"#, ""),
        (r#"{"typ":null}"#, ""),
        (r#"{"a":1}"#, r#"{"a":1}"#),
        (r#"{"kid":"a"}"#, r#"{"kid":"a"}"#),
        ("", r#"{"crit":["a"],"a":1}"#),
        (r#"{"crit":[]}"#, ""),
        (r#"{"crit":"a","a":1}"#, ""),
        (r#"{"crit":["a"]}"#, ""),
        (r#"{"crit":["a"]}"#, r#"{"a":1}"#),
        (r#"{"crit":["a","a"],"a":1}"#, ""),
        (r#"{"crit":[1],"a":1}"#, ""),
        (r#"{"crit":["kid"],"kid":"a"}"#, ""),
        (r#"{"crit":["b64"]}"#, ""),
    ] {
        assert!(
            draft(protected, unprotected).is_err(),
            "{protected} {unprotected}"
        );
    }
    let long = json!({"a": "a".repeat(MAX_HEADER)}).to_string();
    assert!(draft(&long, "").is_err());
}

/// RFC 7797.
#[test]
fn unencoded_payloads() {
    let draft = |payload, serialization, detached| {
        Draft::new(JwsParameters {
            algorithm: RS256,
            key_id: None,
            payload,
            protected_header: r#"{"crit":["exp"],"exp":1}"#,
            unprotected_header: "",
            serialization,
            detached,
            unencoded_payload: true,
        })
    };
    let compact = draft(b"a-Z_0~", Serialization::Compact, false).unwrap();
    assert_eq!(
        header_of(&compact),
        r#"{"alg":"RS256","crit":["exp","b64"],"exp":1,"b64":false}"#
    );
    assert!(compact.signing_input().ends_with(b".a-Z_0~"));
    let understood = ["exp".to_owned()];
    let text = compact.finish(b"s");
    let jws = Jws::parse(&text, None, &understood).unwrap();
    assert_eq!(jws.payload(), b"a-Z_0~");

    for bad in [&b"a.b"[..], b"a b", b"\xff", "é".as_bytes(), b"\"", b"\n"] {
        let refused = draft(bad, Serialization::Compact, false).unwrap_err();
        assert_eq!(refused, HeaderError::UnencodedCompact, "{bad:?}");
        let detached = draft(bad, Serialization::Compact, true).unwrap();
        assert!(detached.signing_input().ends_with(bad));
        let text = detached.finish(b"s");
        let jws = Jws::parse(&text, Some(bad), &understood).unwrap();
        assert_eq!(jws.payload(), bad);
    }
    let quoted = draft("é.\"\n".as_bytes(), Serialization::GeneralJson, false).unwrap();
    let text = quoted.clone().finish(b"s");
    let jws = Jws::parse(&text, None, &understood).unwrap();
    assert_eq!(jws.payload(), "é.\"\n".as_bytes());
    assert_eq!(jws.candidates()[0].signing_input(), quoted.signing_input());
    assert_eq!(
        draft(b"\xff", Serialization::FlattenedJson, false).unwrap_err(),
        HeaderError::UnencodedJson
    );
    assert!(draft(b"\xff", Serialization::FlattenedJson, true).is_ok());

    // What others send in compact form may hold a little more than what is made here, but no dot.
    let header = base64url::encode(br#"{"alg":"RS256","b64":false,"crit":["b64"]}"#);
    assert_eq!(
        parse(&format!("{header}.$ 02!.AA")).unwrap().payload(),
        b"$ 02!"
    );
    for bad in ["é", "a\n", "\u{7f}"] {
        assert_eq!(
            parse(&format!("{header}.{bad}.AA")),
            Err(Malformed::UnencodedPayload)
        );
    }
}

#[test]
fn detached_payloads() {
    let text = with_header(r#"{"alg":"HS256"}"#);
    let input = |payload: Option<&[u8]>| {
        let jws = Jws::parse(&text, payload, &[]).unwrap();
        jws.candidates()[0].signing_input().to_vec()
    };
    assert!(input(Some(b"\x01")).ends_with(b".AQ"));
    assert!(input(Some(b"")).ends_with(b"."));
    assert_eq!(input(None), input(Some(b"")));
    let full = text.replace("..", ".AQ.");
    assert_eq!(
        Jws::parse(&full, Some(b"\x01"), &[]),
        Err(Malformed::PayloadTwice)
    );
    let json = r#"{"protected":"eyJhbGciOiJIUzI1NiJ9","signature":"AA"}"#;
    assert_eq!(parse(json), Err(Malformed::PayloadMissing));
    assert!(Jws::parse(json, Some(b"x"), &[]).is_ok());
}

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
        assert!(start.elapsed() < std::time::Duration::from_millis(100));
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

#[test]
fn every_reason_is_a_code_of_its_own() {
    let all = [
        Malformed::TooLong,
        Malformed::HeaderTooLong,
        Malformed::NotJws,
        Malformed::Json,
        Malformed::DuplicateMember,
        Malformed::TooComplex,
        Malformed::Base64("x"),
        Malformed::MemberType("x"),
        Malformed::Ambiguous,
        Malformed::SignatureCount(0),
        Malformed::SignatureMissing,
        Malformed::HeadersOverlap,
        Malformed::AlgorithmMissing,
        Malformed::Algorithm(String::new()),
        Malformed::CriticalUnprotected,
        Malformed::CriticalMissing,
        Malformed::CriticalUnknown(String::new()),
        Malformed::Base64NotCritical,
        Malformed::MixedEncoding,
        Malformed::UnencodedPayload,
        Malformed::PayloadTwice,
        Malformed::PayloadMissing,
    ];
    let codes = all
        .iter()
        .map(Malformed::reason)
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(codes.len(), all.len());
    for code in codes {
        assert!(
            code.bytes()
                .all(|byte| byte == b'_' || byte.is_ascii_uppercase() || byte.is_ascii_digit())
        );
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
