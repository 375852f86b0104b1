//! What is handed on is what was signed, whatever else a message holds; one that could be read as another is refused.

use chancery::proto::v1::{HttpRequest, Verdict, Verification};

use crate::platform::{
    shared::{SECRET, hmac256, world},
    world::request,
};

#[tokio::test]
async fn nothing_that_was_not_signed_is_handed_on() {
    let world = world().await;
    let sign = sign("amount=100&orderNo=A-1");
    let first = push(r#"{"amount":"100","orderNo":"A-1","sign":"SIGN"}"#, &sign);
    let first = world.verdict("pushes", "", first).await;
    assert_eq!(first.verdict(), Verdict::Valid, "{first:?}");
    assert_eq!(
        parts(&first),
        ["field.amount=100", "field.orderNo=A-1"],
        "{first:?}"
    );
    let lacking = &first.protections.as_ref().unwrap().lacking;
    assert!(
        lacking.iter().any(|one| one.contains("without escaping")),
        "{lacking:?}"
    );
    for altered in [
        r#"{"amount":"100","orderNo":"A-1","approved":"","sign":"SIGN"}"#,
        r#"{"amount":100,"orderNo":"A-1","sign":"SIGN"}"#,
        r#" { "orderNo" : "A\u002d1", "amount" : "100", "sign" : "SIGN" } "#,
    ] {
        let again = world.verdict("pushes", "", push(altered, &sign)).await;
        assert_eq!(again.verdict(), Verdict::Duplicate, "{again:?}");
        assert_eq!(again.authenticated, first.authenticated, "{altered}");
    }
}

#[tokio::test]
async fn fields_that_are_merged_are_refused_and_use_nothing_up() {
    let world = world().await;
    let sign = sign("amount=100&orderNo=A-2");
    for merged in [
        r#"{"amount":"100&orderNo=A-2","sign":"SIGN"}"#,
        r#"{"amount=100&orderNo":"A-2","sign":"SIGN"}"#,
    ] {
        let found = world.verdict("pushes", "", push(merged, &sign)).await;
        assert_eq!(
            (found.verdict(), found.reason.as_str()),
            (Verdict::Malformed, "AMBIGUOUS_MESSAGE"),
            "{found:?}"
        );
        let segment = "verify.signature.string[0]: body | json-fields";
        assert!(found.message.starts_with(segment), "{}", found.message);
        assert!(found.authenticated.is_empty() && found.key.is_none());
    }
    let sent = push(r#"{"amount":"100","orderNo":"A-2","sign":"SIGN"}"#, &sign);
    let sent = world.verdict("pushes", "", sent).await;
    assert_eq!(sent.verdict(), Verdict::Valid, "{sent:?}");
}

fn push(body: &str, sign: &str) -> HttpRequest {
    let body = body.replace("SIGN", sign);
    request("POST", "/push", &[], body.as_bytes())
}

fn sign(fields: &str) -> String {
    let secret = std::str::from_utf8(SECRET).unwrap();
    let string = format!("{fields}&clientId=c&clientSecret={secret}");
    hex::encode(hmac256(SECRET, string.as_bytes()))
}

fn parts(found: &Verification) -> Vec<String> {
    let parts = found.authenticated.iter();
    let shown = parts.map(|part| {
        let value = String::from_utf8(part.value.to_vec()).unwrap();
        format!("{}={value}", part.name)
    });
    shown.collect()
}
