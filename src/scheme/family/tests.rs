//! The families, as their standards' examples and hostile messages meet them.

use std::borrow::Cow;

use proptest::prelude::*;

use crate::{
    key::{Input, PublicKey},
    scheme::{Bindings, Message, Outcome, Refusal, Scheme, UnixMilliseconds, Verdict},
};

mod cavage;
mod jws;
mod oauth1;
mod rfc9421;
mod rfc9421_response;
mod sigv4;

/// A scheme that only verifies; its vectors are not asked for.
fn verifier(algorithm: &str, signature: &str, rest: &str) -> Scheme {
    let secret = match algorithm.starts_with("HS") {
        true => "secret_encoding = \"base64\"",
        false => "",
    };
    let text = format!(
        r#"
        [scheme]
        name = "test"
        title = "Test"
        source = "this file"
        confidence = "our-reading"
        [keys.platform]
        description = "theirs"
        use = "verify"
        algorithm = "{algorithm}"
        {secret}
        [verify.signature]
        key = "platform"
        {signature}
        {rest}
        "#
    );
    Scheme::read(&text)
        .unwrap_or_else(|error| panic!("{error}"))
        .0
}

/// The verdict with this key, and the string that was signed.
fn verdict(
    scheme: &Scheme,
    message: &Message<'_>,
    key: Option<&PublicKey>,
    now: u64,
) -> Result<(Verdict, String), Refusal> {
    let bindings = Bindings::default();
    let examination = scheme.examine(message, &bindings)?;
    let (first, candidate) = examination.candidates().next().unwrap();
    let string = candidate.string.bytes().unwrap();
    let right = key.is_none_or(|key| {
        let verifying = examination.verifying().unwrap();
        let input = Input::Message(string);
        key.verifies(verifying.algorithm, input, candidate.signature, false)
    });
    let verdict = examination.conclude(right.then_some(first), UnixMilliseconds(now))?;
    Ok((verdict, String::from_utf8(string.to_vec()).unwrap()))
}

fn reason(result: Result<(Verdict, String), Refusal>) -> (&'static str, String) {
    let refusal = result.expect_err("it is refused");
    (refusal.reason(), refusal.to_string())
}

fn public_key(text: &str) -> PublicKey {
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    let (_, document) = rsa::pkcs8::Document::from_pem(&pem).unwrap();
    PublicKey::from_spki(document.as_bytes()).unwrap()
}

fn header(name: &str, value: &str) -> (Cow<'static, str>, Cow<'static, [u8]>) {
    (name.to_owned().into(), value.as_bytes().to_vec().into())
}

fn shipped(name: &str) -> Scheme {
    let path = format!("{}/config/schemes/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    Scheme::parse(&std::fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}
