//! What is signed besides the message: secrets that are text of it, and values that are made or given.

use chancery::{
    client::Code,
    proto::v1::{
        ExplainHttpMessageRequest, SignHttpRequestRequest, explain_http_message_request::Call,
    },
};

use crate::{
    harness::Refusal,
    platform::{
        shared::{SECRET, hmac256, world},
        world::{request, scheme_name},
    },
};

#[tokio::test]
async fn a_secret_that_is_message_text_is_signed_and_never_shown() {
    let world = world().await;
    let asked = SignHttpRequestRequest {
        partner: "partners/paywizard".to_owned(),
        request: Some(request("POST", "/pay", &[], b"{\r\n}")),
        ..SignHttpRequestRequest::default()
    };
    let string = [b"{\r\n}&clientId=c&clientSecret=", SECRET].concat();
    let expected = hex::encode(hmac256(SECRET, &string));
    let client = world.client();
    let signed = client
        .platform()
        .sign_http_request(asked.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(signed.set_headers[0].value, expected);
    assert_eq!(&*signed.request.unwrap().body, b"{\r\n}");

    let request = ExplainHttpMessageRequest {
        call: Some(Call::SignRequest(asked)),
    };
    let shown = client
        .platform()
        .explain_http_message(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        &*shown.strings_to_sign[0],
        b"{\r\n}&clientId=c&clientSecret=***"
    );
    assert!(shown.string_sha256[0].is_empty());
    assert!(
        shown
            .steps
            .iter()
            .any(|step| step.masked && step.value.is_empty())
    );
    let all = format!("{shown:?}");
    assert!(!all.contains(str::from_utf8(SECRET).unwrap()));
}

#[tokio::test]
async fn given_values_sign_the_same_request_again_and_have_to_be_well_formed() {
    let world = world().await;
    let client = world.client();
    let asked = SignHttpRequestRequest {
        partner: "partners/upay".to_owned(),
        scheme: scheme_name("upay-request"),
        request: Some(request(
            "POST",
            "https://h/api/v1/x?a=1",
            &[("Accept", "*/*")],
            br#"{"a":1}"#,
        )),
        ..SignHttpRequestRequest::default()
    };
    let sign = async |asked: SignHttpRequestRequest| {
        let answer = client.platform().sign_http_request(asked).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| Refusal::of(&status))
    };
    let first = sign(asked.clone()).await.unwrap();
    let again = SignHttpRequestRequest {
        values: first.values.clone(),
        ..asked.clone()
    };
    let header = |answer: &chancery::proto::v1::SignHttpRequestResponse, name: &str| {
        let headers = answer.request.clone().unwrap().headers;
        headers
            .into_iter()
            .find(|one| one.name == name)
            .unwrap()
            .value
    };
    let second = sign(again).await.unwrap();
    assert_eq!(header(&first, "X-UPA-SIGN"), header(&second, "X-UPA-SIGN"));
    assert_eq!(first.request.unwrap().url, "https://h/api/v1/x?a=1");
    let other = sign(asked.clone()).await.unwrap();
    assert_ne!(
        header(&second, "X-UPA-REQUESTID"),
        header(&other, "X-UPA-REQUESTID")
    );
    for (name, value, reason) in [
        ("timestamp", "yesterday", "TIME_INVALID"),
        ("request_id", "a b", "ENCODING_INVALID"),
        ("request_id", "", "ENCODING_INVALID"),
        ("nonce", "1", "VALUE_UNKNOWN"),
    ] {
        let values = [(name.to_owned(), value.to_owned())].into();
        let refused = sign(SignHttpRequestRequest {
            values,
            ..asked.clone()
        })
        .await
        .unwrap_err();
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::InvalidArgument, reason)
        );
    }
    let body = request("POST", "/x", &[], b"{\"a\":1,\"a\":2}");
    let refused = sign(SignHttpRequestRequest {
        request: Some(body),
        ..asked
    })
    .await
    .unwrap_err();
    assert_eq!(refused.reason, "JSON_DUPLICATE_NAME");
    assert!(
        refused.metadata["step"].starts_with("sign.signature.string["),
        "{refused:?}"
    );
}
