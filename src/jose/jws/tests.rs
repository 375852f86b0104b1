//! JWS: published vectors both ways, and what is merged into a header.

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

mod attacks;

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
