//! OAuth 1.0a: the two dialects; the shipped file has Mastercard's signatures.

use super::*;

const SCHEME: &str = r#"
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
    family = "oauth1"
    dialect = "DIALECT"
    consumer_key = "key"
    nonce = [{ from = "header.X-Nonce" }]
    timestamp = "1"
    [[sign.set]]
    header = "Authorization"
    value = [{ from = "signature" }]
"#;

fn signed(dialect: &str, query: &str, nonce: &str) -> Result<(String, String), Refusal> {
    let scheme = Scheme::read(&SCHEME.replace("DIALECT", dialect))
        .ok()
        .unwrap()
        .0;
    let message = Message {
        method: Some("get".into()),
        scheme: Some("HTTPS".into()),
        authority: Some("API.example.com:443".into()),
        path: Some("".into()),
        query: Some(query.to_owned().into()),
        headers: vec![header("X-Nonce", nonce)],
        ..Message::default()
    };
    let bindings = Bindings::default();
    let draft = scheme.draft(&message, &bindings, UnixMilliseconds(0), &mut |_| {})?;
    let string = draft.signing().unwrap().string.bytes().unwrap().to_vec();
    let text = draft.finish(&[0xff; 3]).unwrap().signature;
    Ok((
        String::from_utf8(string).unwrap(),
        String::from_utf8(text).unwrap(),
    ))
}

/// The hash of nothing ends in `=`: once encoded it is `%3D`, twice `%253D`.
#[test]
fn the_dialects_differ_in_what_is_encoded_twice() {
    let (string, text) = signed("mastercard", "a=x:y", "n").ok().unwrap();
    assert!(
        string.starts_with("GET&https%3A%2F%2Fapi.example.com%2F&a%3Dx%3Ay%26oauth_body_hash%3D"),
        "{string}"
    );
    assert!(string.contains("FU%3D%26oauth_consumer_key"), "{string}");
    assert!(
        text.ends_with(",oauth_version=\"1.0\",oauth_signature=\"%2F%2F%2F%2F\""),
        "{text}"
    );
    let (string, text) = signed("rfc5849", "a=x:y", "n").ok().unwrap();
    assert!(
        string.contains("&a%3Dx%253Ay%26oauth_body_hash%3D"),
        "{string}"
    );
    assert!(string.contains("FU%253D%26oauth_consumer_key"), "{string}");
    assert!(text.contains("FU%3D\",oauth_consumer_key"), "{text}");
}

#[test]
fn a_value_that_would_end_its_quotes_is_refused() {
    for nonce in ["a\"b", "a&b", "a,b", ""] {
        assert_eq!(
            signed("mastercard", "", nonce).err().unwrap().reason(),
            "ENCODING_INVALID"
        );
    }
    assert_eq!(
        signed("mastercard", "a=%z", "n").err().unwrap().reason(),
        "ENCODING_INVALID"
    );
}

proptest! {
    #[test]
    fn no_query_panics(query in "[a-c=&%+;:0-9]{0,30}") {
        let _ = signed("mastercard", &query, "n");
        let _ = signed("rfc5849", &query, "n");
    }
}
