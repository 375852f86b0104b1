//! What keys do for a message besides signing it: encrypting, opening, and saying who may verify.

use std::{borrow::Cow, collections::BTreeMap};

use super::{message, shipped};
use crate::{
    algorithm::Algorithm,
    scheme::{
        Bindings, Examination, KeyFacts, Message, Outcome, Refusal, Scheme, SealedContent,
        UnixMilliseconds, test_key::TestKey,
    },
};

const NOW: UnixMilliseconds = UnixMilliseconds(1_726_641_396_000);

#[test]
fn what_is_encrypted_goes_out_and_what_is_signed_is_the_schemes_to_say() {
    for (string, expected) in [
        ("{ from = \"body\" }", "{\"a\":1}"),
        ("{ from = \"encrypted\" }", "aaa.b.c.d.e"),
        (
            "{ from = \"encrypted-body\" }",
            "{\"encData\":\"aaa.b.c.d.e\"}",
        ),
    ] {
        let signature = format!("[sign.signature]\nkey = \"signing\"\nstring = [{string}]\n");
        let scheme = encrypting("iat = { number = { from = \"value.iat\" } }", &signature);
        let (message, bindings) = (message("{\"a\":1}"), bindings());
        let prepared = scheme.prepare(&message, &bindings, NOW, &mut |_| {});
        let prepared = prepared.ok().unwrap();
        let sealing = prepared.sealing().unwrap();
        assert_eq!(sealing.key_role, "encryption");
        assert_eq!(sealing.algorithm, Algorithm::RsaOaep256);
        assert_eq!(sealing.header, "{\"iat\":1726641396}");
        assert_eq!(sealing.plaintext, b"{\"a\":1}");
        let draft = prepared.draft(Some("aaa.b.c.d.e")).ok().unwrap();
        let signing = draft.signing().unwrap();
        assert_eq!(signing.string.bytes().unwrap(), expected.as_bytes());
        let signed = draft.finish(b"s").unwrap();
        assert_eq!(signed.body, b"{\"encData\":\"aaa.b.c.d.e\"}");
        assert_eq!(signed.headers, [("X-S".to_owned(), "s".to_owned())]);
    }
}

#[test]
fn a_scheme_may_encrypt_and_sign_nothing() {
    let scheme = encrypting("kid = \"k\"", "");
    let (message, bindings) = (message("secret"), bindings());
    let prepared = scheme.prepare(&message, &bindings, NOW, &mut |_| {});
    let draft = prepared.ok().unwrap().draft(Some("a.b.c.d.e"));
    let draft = draft.ok().unwrap();
    assert!(draft.signing().is_none());
    let sent = draft.finish(&[]).unwrap();
    assert_eq!(sent.body, b"{\"encData\":\"a.b.c.d.e\"}");
    let error = draft.finish(b"a signature").err().unwrap();
    assert_eq!(error.reason(), "SIGNATURE_LENGTH");
    // The plaintext is never what is sent, whatever the caller leaves out.
    for (jwe, reason) in [
        (None, "ENCRYPTION_MISSING"),
        (Some(""), "CIPHERTEXT_INVALID"),
        (Some("a\",\"b"), "CIPHERTEXT_INVALID"),
    ] {
        let prepared = scheme.prepare(&message, &bindings, NOW, &mut |_| {});
        let error = prepared.ok().unwrap().draft(jwe).err().unwrap();
        assert_eq!(error.reason(), reason);
    }
    let plain = shipped("github");
    let refused = plain.draft(&message, &bindings, NOW, &mut |_| {}).err();
    assert_eq!(refused.unwrap().reason(), "SCHEME_WITHOUT_PART");
}

#[test]
fn a_header_s_numbers_are_numbers() {
    let scheme = encrypting("iat = { number = { from = \"body\" } }", "");
    let bindings = bindings();
    for (body, good) in [
        ("0", true),
        ("17", true),
        ("", false),
        ("017", false),
        ("1.5", false),
        ("-1", false),
        ("1,\"b\":2", false),
        ("18446744073709551616", false),
    ] {
        let message = message(body);
        let prepared = scheme.prepare(&message, &bindings, NOW, &mut |_| {});
        match good {
            true => assert!(prepared.is_ok(), "{body}"),
            false => assert_eq!(prepared.err().unwrap().reason(), "NUMBER_INVALID"),
        }
    }
}

/// `oaep.sha256.mgf1-sha1`: what the JDK's own provider makes of the same name.
#[test]
fn both_hashes_of_oaep_count() {
    let text = "BnS6wj9vzvfZSEZ9CzCu9SyXc3IWxsYUtNySq0jpc8/rCO/BZjS+uBQwcDt5VDszMc1dQJUMRDsWE00o8IshbZqhJJ86ZZg+LaQC6aPCm6lpU7ukcQAJ1gsLrpoBL7qlkSHW3mEf0EJkga0TdtxgTsm9nH6GXq+Wp/O6LhMnFP+P0NkBpJbI4D/ZQ+64KIW648fTy5sLHWfGxUzbA6PsVLoxiTxONkxtRGaY/r4bLm8mJORVMBXwgLVe1qdHZKhutxE+ZC0VrXw8DL8gBVuxWz4WNSYZzHlu/DGSYTgNyNQt1bLQJG++AGSWM6VZDAGJ+74CPozjnnQ46lPN1jrSAA==";
    let key = test_key();
    let open = |scheme: &Scheme| {
        let sealed = scheme.sealed_value(&input(text)).ok().unwrap().unwrap();
        key.open(&scheme.declared.keys["ours"], &sealed)
    };
    assert!(open(&shipped("oneaccess-session-token")).is_err());
    let mixed = shipped("oneaccess-session-token-java");
    assert_eq!(
        open(&mixed).unwrap(),
        b"session_token=abc&timestamp=1726641396000&nonce=00112233"
    );
    let file = read("oneaccess-session-token");
    for (from, to, reason) in [
        (
            "mgf1_hash = \"sha256\"",
            "mgf1_hash = \"sha1\"",
            "WRONG_KEY",
        ),
        ("\nhash = \"sha256\"", "\nhash = \"sha1\"", "WRONG_VALUE"),
        (
            "\"RSA-OAEP-256\"",
            "\"RSA-OAEP-256-MGF1-SHA1\"",
            "WRONG_KEY",
        ),
    ] {
        let error = Scheme::parse(&file.replace(from, to)).err().unwrap();
        assert_eq!(error.reason(), reason, "{error}");
    }
}

#[test]
fn a_value_that_is_too_long_for_the_key_is_refused_with_the_most_that_fits() {
    let public = test_key().public().unwrap();
    // A modulus of 256 bytes, less two hashes and two bytes.
    for (name, most) in [("oneaccess-session-token", 190), ("wechat-pay-field", 214)] {
        let scheme = shipped(name);
        let encrypt = |length: usize| {
            let bindings = input(&"x".repeat(length));
            let draft = scheme.encrypt_value(&bindings, NOW, &mut |bytes| bytes.fill(0));
            draft.ok().unwrap().encrypt(&public)
        };
        let draft = scheme.encrypt_value(&input(""), NOW, &mut |_| {});
        let around = draft.ok().unwrap().plaintext().len();
        assert!(encrypt(most - around).is_ok());
        let error = encrypt(most - around + 1).unwrap_err();
        assert_eq!(error.reason(), "PLAINTEXT_TOO_LONG");
        let expected = format!(
            "has {} bytes; a key of 2048 bits encrypts at most {most} with this padding",
            most + 1
        );
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
}

#[test]
fn a_message_names_its_key_or_may_be_any_live_one() {
    let scheme = shipped("wechat-pay-response");
    let live = |ids: &[&str]| Bindings {
        keys: BTreeMap::from([("platform".to_owned(), ids.iter().map(facts).collect())]),
        ..Bindings::default()
    };
    let keys = |scheme: &Scheme, bindings: &Bindings| -> Result<Vec<usize>, Refusal> {
        let message = wechat_message();
        let examination = scheme.examine(&message, bindings)?;
        let verifying = examination.verifying().unwrap();
        assert_eq!(verifying.key_role, "platform");
        Ok(verifying.live_keys.to_vec())
    };
    assert_eq!(keys(&scheme, &live(&["old", "KEY_1"])).ok().unwrap(), [1]);
    for unknown in [&["old", "key_1"][..], &[]] {
        let refused = keys(&scheme, &live(unknown)).err().unwrap();
        assert_eq!(refused.reason(), "UNKNOWN_KEY_ID");
        assert!(
            refused
                .to_string()
                .starts_with("verify.key.id[0]: header.Wechatpay-Serial: names a key"),
            "{refused}"
        );
    }
    let file = read("wechat-pay-response");
    let any = parsed(&file.replace(
        "id = [{ from = \"header.Wechatpay-Serial\" }]",
        "id = [{ from = \"header.Wechatpay-No\", absent = \"omit\" }]",
    ));
    assert_eq!(keys(&any, &live(&["old", "KEY_1"])).ok().unwrap(), [0, 1]);
}

#[test]
fn a_message_with_an_access_token_is_valid_only_if_its_issuer_says_so() {
    let scheme = shipped("snap-service");
    let mut message = message("{}");
    for (name, value) in [
        ("authorization", "Bearer t0ken"),
        ("x-timestamp", "2024-09-18T13:36:36+07:00"),
        ("x-signature", "AAAA"),
    ] {
        message.headers.push((name.into(), value.as_bytes().into()));
    }
    let bindings = Bindings::default();
    let mut examination = scheme.examine(&message, &bindings).ok().unwrap();
    assert_eq!(examination.access_token(), Some(&b"t0ken"[..]));
    let conclude = |examination: &Examination<'_>| {
        let right = examination.candidates().next().map(|(right, _)| right);
        examination.conclude(right, NOW).unwrap()
    };
    let verdict = conclude(&examination);
    assert_eq!(verdict.outcome, Outcome::BadToken);
    assert_eq!(verdict.outcome.reason(), "ACCESS_TOKEN_REFUSED");
    assert!(verdict.authenticated.is_empty() && verdict.replay_id.is_none());
    examination.access_token_is_good();
    let verdict = conclude(&examination);
    assert_eq!(verdict.outcome, Outcome::Valid);
    assert!(verdict.protections.access_token);
    // A good token makes no signature right.
    let verdict = examination.conclude(None, NOW).unwrap();
    assert_eq!(verdict.outcome, Outcome::Invalid);
    // The token itself is never shown.
    let shown: Vec<_> = examination
        .explain()
        .iter()
        .filter(|step| step.at == "verify.access_token.from")
        .map(|step| step.bytes.clone())
        .collect();
    assert_eq!(shown, [None]);
}

#[test]
fn an_answer_that_nobody_signed_never_looks_valid() {
    let scheme = shipped("upay-response");
    let mut message = message("{\"code\":\"1\",\"data\":{\"payload\":\"a.b.c.d.e\"}}");
    let id = (Cow::Borrowed("x-upa-requestid"), b"r-1".as_slice().into());
    message.headers.push(id);
    let mut bindings = Bindings::default();
    bindings
        .inputs
        .insert("request_id".to_owned(), b"r-1".to_vec());
    let sealed = scheme.sealed(&message, &bindings).ok().unwrap().unwrap();
    assert_eq!(sealed.content, SealedContent::Jwe(b"a.b.c.d.e".to_vec()));
    message.decrypted = Some(b"{}".as_slice().into());
    let examination = scheme.examine(&message, &bindings).ok().unwrap();
    assert!(examination.verifying().is_none());
    assert_eq!(examination.candidates().count(), 0);
    let verdict = examination.conclude(None, NOW).unwrap();
    assert_eq!(verdict.outcome, Outcome::Unsigned);
    assert!(!verdict.protections.signed && verdict.protections.echo);
    assert!(verdict.authenticated.is_empty());
    let names: Vec<_> = verdict.unsigned.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["body", "decrypted"]);
}

#[test]
fn nothing_is_opened_before_the_signature_is_right() {
    let scheme = shipped("wechat-pay-notification");
    let mut message = wechat_message();
    message.body = b"{\"id\":\"e-1\",\"resource\":{\"nonce\":\"fdasflkja484\",\"ciphertext\":\"AAAAAAAAAAAAAAAAAAAAAAA=\"}}".as_slice().into();
    let bindings = Bindings {
        keys: BTreeMap::from([("platform".to_owned(), vec![facts(&"KEY_1")])]),
        ..Bindings::default()
    };
    let examination = scheme.examine(&message, &bindings).ok().unwrap();
    let now = UnixMilliseconds(1_554_209_980_000);
    let invalid = examination.conclude(None, now).unwrap();
    assert_eq!(invalid.sealed, None);
    let still = examination.opened(invalid.clone(), b"forged").unwrap();
    assert_eq!(still, invalid);
    let right = examination.candidates().next().map(|(right, _)| right);
    let verdict = examination.conclude(right, now).unwrap();
    let sealed = verdict.sealed.clone().unwrap();
    assert_eq!(
        (sealed.key_role.as_str(), sealed.algorithm),
        ("content", Algorithm::Dir)
    );
    // The message comes again for a day, which is longer than it is in time.
    assert_eq!(verdict.remember_seconds, Some(172_800));
    let verdict = examination.opened(verdict, b"{}").unwrap();
    assert_eq!(
        verdict.authenticated[1],
        ("opened".to_owned(), b"{}".to_vec())
    );
    assert_eq!(verdict.sealed, None);

    for (body, reason) in [
        (
            "{\"id\":\"e\",\"resource\":{\"nonce\":\"short\",\"ciphertext\":\"AAAAAAAAAAAAAAAAAAAAAAA=\"}}",
            "CIPHERTEXT_INVALID",
        ),
        (
            "{\"id\":\"e\",\"resource\":{\"nonce\":\"fdasflkja484\",\"ciphertext\":\"AAAA\"}}",
            "CIPHERTEXT_INVALID",
        ),
        ("{\"id\":\"e\"}", "INPUT_MISSING"),
    ] {
        message.body = body.as_bytes().into();
        let examination = scheme.examine(&message, &bindings).ok().unwrap();
        let right = examination.candidates().next().map(|(right, _)| right);
        let error = examination.conclude(right, now).err().unwrap();
        assert_eq!(error.reason(), reason, "{body}");
    }
}

/// RFC 6979 appendix A.2.5, SHA-256, message "sample"; both ways of writing its signature.
#[test]
fn ecdsa_signatures_are_der_where_the_scheme_says_so() {
    let der = "MEYCIQDv1IsqrLao/RFA3ZzUXoHWnSyHe1aq+ZHDTQ6oTq83FgIhAPfLHJQtZXxB1DbHobbin2Xz6QDbua/0Bk3Eqy+EOs2o";
    let raw =
        "79SLKqy2qP0RQN2c1F6B1p0sh3tWqvmRw00OqE6vNxb3yxyULWV8QdQ2x6G24p9l8+kA27mv9AZNxKsvhDrNqA==";
    for (form, right, wrong) in [("der", der, raw), ("raw", raw, der)] {
        assert!(Scheme::parse(&ecdsa(form, right)).is_ok());
        let error = Scheme::parse(&ecdsa(form, wrong)).err().unwrap();
        assert_eq!(error.reason(), "VECTOR_FAILS");
    }
}

fn ecdsa(form: &str, signature: &str) -> String {
    let vector = |kind: &str, rest: &str| {
        format!(
            r#"
            [[vectors]]
            name = "{kind}"
            kind = "{kind}"
            origin = "published"
            source = "RFC 6979 appendix A.2.5"
            body = "sample"
            string = "sample"
            {rest}
            key = {{ public_pem = """
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7
Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==
-----END PUBLIC KEY-----
""" }}
            "#
        )
    };
    let sign = vector("sign", &format!("signature = \"{signature}\""));
    let verify = vector("verify", &format!("headers = {{ X-S = \"{signature}\" }}"));
    format!(
        r#"
        {HEAD}
        [keys.signing]
        description = "both sides'"
        use = ["sign", "verify"]
        algorithm = "ES256"
        [sign.signature]
        key = "signing"
        string = {{ from = "body" }}
        ecdsa = "{form}"
        encode = ["base64"]
        [[sign.set]]
        header = "X-S"
        value = {{ from = "signature" }}
        [verify]
        authenticated = ["body"]
        [verify.signature]
        key = "signing"
        from = {{ from = "header.X-S" }}
        decode = ["decode-base64"]
        string = {{ from = "body" }}
        ecdsa = "{form}"
        {sign}
        {verify}
        "#
    )
}

#[test]
fn verification_is_explained_with_every_form_and_every_check() {
    let scheme = shipped("wechat-pay-response");
    let message = wechat_message();
    let bindings = Bindings {
        keys: BTreeMap::from([("platform".to_owned(), vec![facts(&"KEY_1")])]),
        ..Bindings::default()
    };
    let examination = scheme.examine(&message, &bindings).ok().unwrap();
    let steps = examination.explain();
    let find = |at: &str| {
        let found = steps.iter().find(|step| step.at == at);
        found.unwrap_or_else(|| panic!("{at} is missing in {steps:#?}"))
    };
    assert_eq!(
        find("verify.signature.string[4]").bytes.as_deref(),
        Some(&b"{}"[..])
    );
    assert_eq!(
        find("verify.time.from").rule,
        "header.Wechatpay-Timestamp as unix-seconds, at most 300 seconds ago and 300 ahead"
    );
    assert_eq!(
        find("verify.replay.from").rule,
        "header.Wechatpay-Nonce, remembered for 600 seconds"
    );
    assert_eq!(
        serde_json::to_value(find("verify.key.id")).unwrap(),
        serde_json::json!({"at": "verify.key.id", "rule": "header.Wechatpay-Serial", "bytes": "KEY_1"})
    );
    let scheme = shipped("dana-webhook");
    let forms = scheme.verify.as_ref().unwrap().signature.as_ref().unwrap();
    assert!(forms.forms.len() > 1);
}

const HEAD: &str = r#"[scheme]
        name = "test"
        title = "Test"
        source = "this file"
        confidence = "our-reading""#;

/// It encrypts the body, with these members in the JWE's header.
fn encrypting(header: &str, signature: &str) -> Scheme {
    let set = match signature {
        "" => "",
        _ => "[[sign.set]]\nheader = \"X-S\"\nvalue = { from = \"signature\" }\n",
    };
    parsed(&format!(
        r#"{HEAD}
        [keys.signing]
        description = "ours"
        use = "sign"
        algorithm = "RS256"
        [keys.encryption]
        description = "theirs"
        use = "encrypt"
        algorithm = "RSA-OAEP-256"
        [sign.values]
        iat = {{ now = "unix-seconds" }}
        [sign.encrypt]
        key = "encryption"
        enc = "A128GCM"
        header = {{ {header} }}
        body = ['{{"encData":"', {{ from = "encrypted" }}, '"}}']
        {signature}
        {set}"#
    ))
}

/// Its vectors are not asked for.
fn parsed(text: &str) -> Scheme {
    let unproven = Scheme::read(text);
    unproven.unwrap_or_else(|error| panic!("{error}")).0
}

fn read(name: &str) -> String {
    let path = format!("{}/config/schemes/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The one that the shipped vectors have.
fn test_key() -> TestKey {
    let text = read("wechat-pay-field");
    let from = text.find("-----BEGIN PRIVATE KEY").unwrap();
    let to = text[from..].find("\"\"\"").unwrap();
    TestKey::from_pem(&text[from..from + to]).ok().unwrap()
}

fn wechat_message() -> Message<'static> {
    let mut message = message("{}");
    for (name, value) in [
        ("Wechatpay-Serial", "KEY_1"),
        ("Wechatpay-Timestamp", "1554209980"),
        ("Wechatpay-Nonce", "n"),
        ("Wechatpay-Signature", "AAAA"),
    ] {
        message.headers.push((name.into(), value.as_bytes().into()));
    }
    message
}

fn facts(id: &&str) -> KeyFacts {
    KeyFacts {
        id: Some((*id).to_owned()),
        ..KeyFacts::default()
    }
}

fn input(value: &str) -> Bindings {
    Bindings {
        inputs: BTreeMap::from([("value".to_owned(), value.as_bytes().to_vec())]),
        ..bindings()
    }
}

fn bindings() -> Bindings {
    Bindings::default()
}
