//! Attacks on JWE, by their numbers in the list that this room must survive: 1 and 2 RSA padding, 3 `alg`,
//! 4 JWS as JWE, 5 curves, 6 `p2c`, 7 `zip`, 8 lengths, 9 CBC, 10 `crit`, 11 ambiguity, 12 sizes,
//! 13 embedded keys, 14 `kid`, 15 base64, 17 one error.

use std::{sync::LazyLock, time::Duration};

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::{
    algorithm::{Curve, RsaSize},
    jose::{MAX_HEADER, MAX_TEXT},
};

/// RFC 7516 section 11.5: a refused key, a key of the wrong length and a wrong key all go to the tag.
#[test]
fn attack_01_and_02_rsa_padding_tells_nothing() {
    for algorithm in [Algorithm::Rsa15, Algorithm::RsaOaep, Algorithm::RsaOaep256] {
        for encryption in ContentEncryption::ALL {
            let text = encrypt(algorithm, encryption, false);
            let usage = usage(KeyType::Rsa(RsaSize::Bits2048), algorithm, encryption);
            let jwe = Jwe::parse(&text).unwrap();
            let lengths = [0, 1, 15, 16, 24, 32, 48, 64, 245, 256];
            let outcomes = lengths
                .into_iter()
                .map(|length| Some(Zeroizing::new(vec![7; length])))
                .chain([None]);
            for outcome in outcomes {
                let Err(failure) = jwe.open(0, &usage).unwrap().finish(outcome) else {
                    panic!("opened with a wrong key");
                };
                assert_eq!(failure.cause, Cause::Content);
                assert_eq!(failure.to_string(), TEXT);
            }
        }
    }
    let [header, _, iv, ciphertext, tag] = parts(&encrypt(
        Algorithm::Rsa15,
        ContentEncryption::A128Gcm,
        false,
    ));
    let jwk = key_for(Algorithm::Rsa15);
    let usage = usage(
        KeyType::Rsa(RsaSize::Bits2048),
        Algorithm::Rsa15,
        ContentEncryption::A128Gcm,
    );
    for (length, cause) in [
        (0, Cause::Length),
        (255, Cause::Length),
        (256, Cause::Content),
        (257, Cause::Length),
    ] {
        let text = [&header, &encode(vec![1; length]), &iv, &ciphertext, &tag]
            .map(String::as_str)
            .join(".");
        assert_eq!(refusal(&text, &jwk, &usage), cause, "{length}");
    }
}

#[test]
fn attack_03_the_key_and_not_the_message_decides() {
    let encryption = ContentEncryption::A128Gcm;
    let known = Known::new(encryption, false);
    let cause = |header: &str| {
        refusal(
            &Known::message(encryption, header, b"x"),
            &known.jwk,
            &known.usage,
        )
    };
    for alg in [
        "none", "A256KW", "dir", "RSA1_5", "RSA-OAEP", "ECDH-ES", "HS256", "a128kw", "A128KW ", "",
    ] {
        let header = json!({"alg": alg, "enc": "A128GCM"}).to_string();
        assert_eq!(cause(&header), Cause::Algorithm, "{alg}");
    }
    for enc in ["A256GCM", "A128CBC-HS256", "none", "a128gcm", ""] {
        let header = json!({"alg": "A128KW", "enc": enc}).to_string();
        assert_eq!(cause(&header), Cause::ContentEncryption, "{enc}");
    }
    for header in [
        r#"{"alg":1,"enc":"A128GCM"}"#,
        r#"{"alg":"A128KW","enc":null}"#,
        r#"{"alg":"A128KW","enc":"A128GCM","kid":1}"#,
        r#"{"alg":"A128KW","enc":"A128GCM","apu":1}"#,
        r#"{"alg":"A128KW","enc":"A128GCM","apv":"="}"#,
    ] {
        assert_eq!(cause(header), Cause::Header, "{header}");
    }
    assert_eq!(cause(r#"{"enc":"A128GCM"}"#), Cause::Algorithm);
    assert_eq!(cause(r#"{"alg":"A128KW"}"#), Cause::ContentEncryption);
    let good = Known::message(encryption, r#"{"alg":"A128KW","enc":"A128GCM"}"#, b"x");
    assert!(open(&good, &known.jwk, &known.usage).is_ok());
}

#[test]
fn attack_04_jws_as_jwe() {
    for vector in Vector::all("jws") {
        for text in vector.texts("jws") {
            let cause = Jwe::parse(text).err().unwrap().cause;
            assert_eq!(cause, Cause::Syntax, "{}", vector.text("name"));
        }
    }
}

#[test]
fn attack_05_epk_off_the_curve_or_on_another() {
    let algorithm = Algorithm::EcdhEs;
    let encryption = ContentEncryption::A128CbcHs256;
    let jwk = key_for(algorithm);
    let usage = usage(KeyType::Ec(Curve::P256), algorithm, encryption);
    let [header, _, iv, ciphertext, tag] = parts(&encrypt(algorithm, encryption, false));
    let header = serde_json::from_slice::<Value>(&bytes(&header)).unwrap();
    let with = |epk: Value| {
        let mut header = header.clone();
        header["epk"] = epk;
        let header = encode(header.to_string());
        format!("{header}..{iv}.{ciphertext}.{tag}")
    };
    let epk = header["epk"].clone();
    let changed = |name: &str, value: Value| {
        let mut epk = epk.clone();
        epk[name] = value;
        epk
    };
    assert!(
        Jwe::parse(&with(epk.clone()))
            .unwrap()
            .open(0, &usage)
            .is_ok()
    );
    let coordinate = |name: &str| bytes(epk[name].as_str().unwrap());
    let (x, y) = (coordinate("x"), coordinate("y"));
    let mut off = y.clone();
    off[31] ^= 1;
    // The prime of P-256: a coordinate must be below it.
    let prime =
        hex::decode("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff").unwrap();
    let p384 = Vector::named("jwe", "rfc7520-5.4").jwk().clone();
    for bad in [
        changed("y", json!(encode(&off))),
        changed("x", json!(encode(&y))),
        json!({"kty": "EC", "crv": "P-256", "x": encode([0; 32]), "y": encode([0; 32])}),
        json!({"kty": "EC", "crv": "P-256", "x": encode(&prime), "y": encode(&y)}),
        changed("x", json!(encode(&x[1..]))),
        changed("x", json!(encode([&[0], &x[..]].concat()))),
        // The same 64 bytes, cut in another place.
        json!({
            "kty": "EC", "crv": "P-256", "x": encode(&x[..31]), "y": encode([&x[31..], &y].concat()),
        }),
        changed("x", json!("")),
        changed("x", json!(1)),
        changed("y", Value::Null),
        changed("y", json!(format!("{}=", encode(&y)))),
        changed("crv", json!("P-384")),
        changed("crv", json!("secp256k1")),
        changed("kty", json!("OKP")),
        changed("d", json!("AQ")),
        json!({"kty": "EC", "crv": "P-384", "x": p384["x"], "y": p384["y"]}),
        json!({"kty": "EC", "crv": "P-256", "x": p384["x"], "y": p384["y"]}),
        json!({"kty": "OKP", "crv": "X25519", "x": encode(&x)}),
        json!({}),
        json!("x"),
        Value::Null,
    ] {
        assert_eq!(
            refusal(&with(bad.clone()), &jwk, &usage),
            Cause::Point,
            "{bad}"
        );
    }
    let mut without = header.as_object().unwrap().clone();
    without.remove("epk");
    let text = with(epk)
        .split_once('.')
        .map(|(_, rest)| format!("{}.{rest}", encode(Value::Object(without).to_string())));
    assert_eq!(refusal(&text.unwrap(), &jwk, &usage), Cause::Point);
    // A token that refuses, or gives another secret.
    let text = encrypt(algorithm, encryption, false);
    let jwe = Jwe::parse(&text).unwrap();
    for outcome in [
        None,
        Some(Zeroizing::new(vec![0; 31])),
        Some(Zeroizing::default()),
    ] {
        let failure = jwe.open(0, &usage).unwrap().finish(outcome).err().unwrap();
        assert_eq!(failure.cause, Cause::Content);
    }
}

#[test]
fn attack_06_p2c_is_never_counted() {
    let encryption = ContentEncryption::A128CbcHs256;
    let known = Known::new(encryption, false);
    let header = json!({
        "alg": "PBES2-HS256+A128KW", "enc": "A128CBC-HS256", "p2s": "AAAA", "p2c": 2_147_483_647_u32,
    });
    let start = std::time::Instant::now();
    let text = Known::message(encryption, &header.to_string(), b"x");
    assert_eq!(refusal(&text, &known.jwk, &known.usage), Cause::Algorithm);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn attack_07_zip_only_where_allowed_and_never_a_bomb() {
    use std::io::Write;
    let encryption = ContentEncryption::A128Gcm;
    let deflate = |bytes: &[u8]| {
        let mut writer =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let header = r#"{"alg":"A128KW","enc":"A128GCM","zip":"DEF"}"#;
    let small = Known::message(encryption, header, &deflate(b"x"));
    let bomb = Known::message(encryption, header, &deflate(&vec![0; 100_000_000]));
    let (without, with) = (Known::new(encryption, false), Known::new(encryption, true));
    assert_eq!(
        refusal(&small, &without.jwk, &without.usage),
        Cause::Compression
    );
    assert_eq!(
        *open(&small, &with.jwk, &with.usage).unwrap().plaintext,
        b"x"
    );
    assert_eq!(refusal(&bomb, &with.jwk, &with.usage), Cause::Compression);
    // Not before the tag.
    let mut forged = bomb;
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'Q' } else { 'A' });
    assert_eq!(refusal(&forged, &with.jwk, &with.usage), Cause::Content);
    for zip in ["\"def\"", "\"GZIP\"", "null", "1", "[\"DEF\"]"] {
        let header = format!(r#"{{"alg":"A128KW","enc":"A128GCM","zip":{zip}}}"#);
        let text = Known::message(encryption, &header, b"x");
        assert_eq!(refusal(&text, &with.jwk, &with.usage), Cause::Compression);
    }
    let [protected, encrypted_key, iv, ciphertext, tag] = parts(&Known::message(
        encryption,
        r#"{"alg":"A128KW","enc":"A128GCM"}"#,
        &deflate(b"x"),
    ));
    for place in ["unprotected", "header"] {
        let text = json!({
            "protected": protected, place: {"zip": "DEF"}, "encrypted_key": encrypted_key,
            "iv": iv, "ciphertext": ciphertext, "tag": tag,
        });
        assert_eq!(
            refusal(&text.to_string(), &with.jwk, &with.usage),
            Cause::Compression
        );
    }
}

#[test]
fn attack_08_short_gcm_tag_every_length() {
    for encryption in ContentEncryption::ALL {
        if encryption.key_len() > CONTENT_KEY.len() {
            continue;
        }
        let known = Known::new(encryption, false);
        let header = json!({"alg": "A128KW", "enc": encryption}).to_string();
        let [header, encrypted_key, iv, ciphertext, tag] =
            parts(&Known::message(encryption, &header, b"x"));
        let longer = |text: &str| [bytes(text), vec![0; 40]].concat();
        for length in 0..=40 {
            let cut = |text: &str| encode(&longer(text)[..length]);
            let text = format!("{header}.{encrypted_key}.{iv}.{ciphertext}.{}", cut(&tag));
            if length == encryption.tag_len() {
                assert!(open(&text, &known.jwk, &known.usage).is_ok());
            } else {
                assert_eq!(refusal(&text, &known.jwk, &known.usage), Cause::Length);
            }
            let text = format!("{header}.{encrypted_key}.{}.{ciphertext}.{tag}", cut(&iv));
            if length != encryption.iv_len() {
                assert_eq!(refusal(&text, &known.jwk, &known.usage), Cause::Length);
            }
            let text = format!("{header}.{}.{iv}.{ciphertext}.{tag}", cut(&encrypted_key));
            if length != encryption.key_len() + 8 {
                assert_eq!(refusal(&text, &known.jwk, &known.usage), Cause::Length);
            }
        }
    }
}

/// Whatever the padding is after decryption, a wrong tag is a wrong tag.
#[test]
fn attack_09_cbc_padding_oracle() {
    let encryption = ContentEncryption::A128CbcHs256;
    let known = Known::new(encryption, false);
    let header = r#"{"alg":"A128KW","enc":"A128CBC-HS256"}"#;
    let [header, encrypted_key, iv, ciphertext, tag] =
        parts(&Known::message(encryption, header, b"x"));
    for guess in 1..=255 {
        let mut iv = bytes(&iv);
        iv[15] ^= guess;
        let text = format!("{header}.{encrypted_key}.{}.{ciphertext}.{tag}", encode(iv));
        assert_eq!(refusal(&text, &known.jwk, &known.usage), Cause::Content);
    }
    for length in [0, 1, 15, 17, 32] {
        let ciphertext = encode(vec![1; length]);
        let text = format!("{header}.{encrypted_key}.{iv}.{ciphertext}.{tag}");
        assert_eq!(refusal(&text, &known.jwk, &known.usage), Cause::Content);
    }
}

#[test]
fn attack_10_crit_is_never_understood() {
    let encryption = ContentEncryption::A128Gcm;
    let known = Known::new(encryption, false);
    for crit in ["[\"exp\"]", "[\"b64\"]", "[]", "null", "[\"alg\"]"] {
        let header =
            format!(r#"{{"alg":"A128KW","enc":"A128GCM","exp":1,"b64":true,"crit":{crit}}}"#);
        let text = Known::message(encryption, &header, b"x");
        assert_eq!(refusal(&text, &known.jwk, &known.usage), Cause::Header);
    }
}

/// A message in JSON whose parts can be changed.
fn in_json(changes: Value) -> String {
    let [protected, encrypted_key, iv, ciphertext, tag] = parts(&Known::message(
        ContentEncryption::A128Gcm,
        r#"{"alg":"A128KW","enc":"A128GCM"}"#,
        b"x",
    ));
    let mut text = json!({
        "protected": protected, "encrypted_key": encrypted_key, "iv": iv, "ciphertext": ciphertext,
        "tag": tag,
    });
    for (name, value) in changes.as_object().unwrap() {
        text[name] = value.clone();
    }
    text.to_string()
}

#[test]
fn attack_11_ambiguous_messages() {
    let known = Known::new(ContentEncryption::A128Gcm, false);
    let cause = |changes: Value| refusal(&in_json(changes), &known.jwk, &known.usage);
    assert!(open(&in_json(json!({})), &known.jwk, &known.usage).is_ok());
    assert!(
        open(
            &in_json(json!({"header": {"kid": "a"}, "unprotected": {"cty": "b"}, "other": 1})),
            &known.jwk,
            &known.usage
        )
        .is_ok()
    );
    for changes in [
        json!({"header": {"alg": "A128KW"}}),
        json!({"unprotected": {"enc": "A128GCM"}}),
        json!({"unprotected": {"a": 1}, "header": {"a": 1}}),
        json!({"unprotected": {"crit": ["a"], "a": 1}}),
        json!({"protected": encode(r#"{"alg":"A128KW","enc":"A128GCM","enc":"A128GCM"}"#)}),
        json!({"protected": encode("[]")}),
    ] {
        assert_eq!(cause(changes.clone()), Cause::Header, "{changes}");
    }
    for changes in [
        json!({"recipients": [{}]}),
        json!({"recipients": []}),
        json!({"recipients": {}}),
        json!({"protected": ""}),
        json!({"protected": 1}),
        json!({"header": []}),
        json!({"ciphertext": null}),
        json!({"tag": 1}),
    ] {
        assert_eq!(cause(changes.clone()), Cause::Syntax, "{changes}");
    }
    // The AAD is part of what the tag is over.
    assert_eq!(cause(json!({"aad": "AA"})), Cause::Content);
    assert_eq!(cause(json!({"aad": "AB"})), Cause::Base64);
    assert_eq!(cause(json!({"aad": ""})), Cause::Content);
    let twice = in_json(json!({})).replacen('{', r#"{"tag":"AA","#, 1);
    assert_eq!(refusal(&twice, &known.jwk, &known.usage), Cause::Syntax);
}

#[test]
fn attack_12_sizes_dots_and_recipients() {
    for dots in [0, 1, 2, 3, 4, 5, 6, 1_000_000] {
        let start = std::time::Instant::now();
        assert!(Jwe::parse(&".".repeat(dots)).is_err());
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    let cause = |text: &str| Jwe::parse(text).err().map(|failure| failure.cause);
    assert_eq!(cause(&"a".repeat(MAX_TEXT + 1)), Some(Cause::TooLong));
    let header = |length: usize| {
        let text = format!(r#"{{"a":"{}"}}"#, "a".repeat(length - r#"{"a":""}"#.len()));
        format!("{}....", encode(text))
    };
    assert_eq!(cause(&header(MAX_HEADER)), None);
    assert!(cause(&header(MAX_HEADER + 1)).is_some());
    assert!(cause(&header(MAX_HEADER + 10)).is_some());
    let unprotected = json!({"unprotected": {"a": "a".repeat(MAX_HEADER)}, "ciphertext": ""});
    assert_eq!(cause(&unprotected.to_string()), Some(Cause::TooLong));
    let recipients =
        |count| json!({"recipients": vec![json!({}); count], "ciphertext": ""}).to_string();
    assert_eq!(Jwe::parse(&recipients(8)).unwrap().recipients().len(), 8);
    assert_eq!(cause(&recipients(9)), Some(Cause::Syntax));
    let deep = "{\"a\":".repeat(100_000);
    assert_eq!(cause(&deep), Some(Cause::Syntax));
}

#[test]
fn attack_13_and_14_embedded_keys_and_kid_choose_nothing() {
    let known = Known::new(ContentEncryption::A128Gcm, false);
    for name in ["jwk", "jku", "x5u", "x5c"] {
        let text = in_json(json!({"header": {name: {"kty": "oct", "k": "AA"}}}));
        assert!(open(&text, &known.jwk, &known.usage).is_ok());
    }
    for kid in ["../../etc/passwd", "' or 1=1 --", "\0", ""] {
        let text = in_json(json!({"header": {"kid": kid}}));
        let jwe = Jwe::parse(&text).unwrap();
        assert_eq!(jwe.recipients().collect::<Vec<_>>(), [Some(kid)]);
        assert!(open(&text, &known.jwk, &known.usage).is_ok());
    }
}

/// One message of each kind, with its key.
static MESSAGES: LazyLock<Vec<(String, Jwk, Usage)>> = LazyLock::new(|| {
    PUBLIC
        .into_iter()
        .zip(ContentEncryption::ALL)
        .map(|(algorithm, encryption)| {
            let jwk = key_for(algorithm);
            let usage = usage(public_key(&jwk).key_type(), algorithm, encryption);
            (encrypt(algorithm, encryption, false), jwk, usage)
        })
        .chain(
            Vector::all("jwe")
                .into_iter()
                .filter(|vector| vector.supported() && !vector.is("multiple"))
                .map(|vector| {
                    let text = vector.texts("jwe")[0].to_owned();
                    (text, vector.jwk().clone(), vector.usage())
                })
                .filter(|(text, ..)| !text.starts_with('{')),
        )
        .collect()
});

proptest! {
    #[test]
    fn parsing_never_panics(text in any::<String>()) {
        let known = Known::new(ContentEncryption::A128Gcm, true);
        for text in [
            text.clone(),
            format!("{}.{text}", encode(&text)),
            format!("{}....", encode(&text)),
            format!("{{\"ciphertext\":\"\",{text}}}"),
        ] {
            if let Err(failure) = open(&text, &known.jwk, &known.usage) {
                prop_assert_eq!(failure.to_string(), TEXT);
            }
        }
    }

    /// Attack 15 too: no second spelling of the same message is accepted.
    #[test]
    fn attack_17_every_mutation_gives_the_same_error(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        change in 0..3,
        byte in 0x20_u8..0x7f,
    ) {
        let (text, jwk, usage) = which.get(&MESSAGES);
        let mut mutated = text.as_bytes().to_vec();
        let place = place.index(mutated.len());
        match change {
            0 => mutated[place] = byte,
            1 => mutated.insert(place, byte),
            _ => mutated.truncate(place),
        }
        prop_assume!(mutated != text.as_bytes());
        let mutated = String::from_utf8(mutated).unwrap();
        let Err(failure) = open(&mutated, jwk, usage) else {
            panic!("opened: {mutated}");
        };
        prop_assert_eq!(failure.to_string(), TEXT);
    }
}
