//! What a caller or the configuration did wrong is an error, and tells nothing of what is there.

use chancery::{
    client::Code,
    proto::v1::{
        Algorithm as A, DecryptFieldRequest, ExplainHttpMessageRequest, VerifyCallbackRequest,
        explain_http_message_request::Call,
    },
};

use crate::{
    harness::Refusal,
    platform::{
        shared::{SECRET, github, world},
        world::scheme_name,
    },
};

#[tokio::test]
async fn what_the_caller_or_the_configuration_did_wrong_is_an_error() {
    let world = world().await;
    let hook = || github(b"{}", SECRET);
    for (partner, scheme, reason) in [
        ("nobody", "", "PARTNER_NOT_FOUND"),
        ("absent", "", "PARTNER_NOT_READY"),
        ("wrong", "", "PARTNER_NOT_READY"),
        ("github", "stripe", "SCHEME_NOT_OF_PARTNER"),
        ("paywizard", "", "SCHEME_NOT_FOR_THIS"),
        ("snap", "", "SCHEME_AMBIGUOUS"),
        ("Not A Name", "", "PARTNER_NAME_INVALID"),
        ("github", "Not A Name", "SCHEME_NAME_INVALID"),
    ] {
        let refused = world.callback(partner, scheme, hook()).await.unwrap_err();
        assert_eq!(refused.reason, reason, "{refused:?}");
    }
    let asked = |inputs: &[(&str, &str)]| VerifyCallbackRequest {
        partner: "partners/github".to_owned(),
        request: Some(hook()),
        inputs: inputs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..VerifyCallbackRequest::default()
    };
    let client = world.client();
    let refused = Refusal::expect(
        client
            .platform()
            .verify_callback(asked(&[("x", "1")]))
            .await,
    );
    assert_eq!(refused.reason, "INPUT_UNKNOWN");
    let nothing = VerifyCallbackRequest {
        request: None,
        ..asked(&[])
    };
    let refused = Refusal::expect(client.platform().verify_callback(nothing).await);
    assert_eq!(refused.reason, "HTTP_MESSAGE_MISSING");
    let nothing = ExplainHttpMessageRequest { call: None };
    let refused = Refusal::expect(client.platform().explain_http_message(nothing).await);
    assert_eq!(refused.reason, "CALL_MISSING");
    let field = DecryptFieldRequest {
        partner: "partners/github".to_owned(),
        ciphertext: "AAAA".to_owned(),
        ..DecryptFieldRequest::default()
    };
    let refused = Refusal::expect(client.platform().decrypt_field(field).await);
    assert_eq!(refused.reason, "SCHEME_NOT_FOR_THIS");
}

/// Explaining how a message is verified uses keys, and may show what was decrypted: it takes leave to verify, too.
#[tokio::test]
async fn who_may_not_verify_a_message_is_not_told_how_it_is_verified() {
    let world = world().await;
    let asked = |call| ExplainHttpMessageRequest { call: Some(call) };
    let callback = || {
        asked(Call::VerifyCallback(VerifyCallbackRequest {
            partner: "partners/github".to_owned(),
            request: Some(github(b"{}", SECRET)),
            ..VerifyCallbackRequest::default()
        }))
    };
    let mut platform = world.daemon.client("explainer").platform();
    let refused = Refusal::expect(platform.explain_http_message(callback()).await);
    assert_eq!(refused.code, Code::PermissionDenied, "{refused:?}");
    let mut platform = world.client().platform();
    platform.explain_http_message(callback()).await.unwrap();
}

/// Who may do nothing with a partner can't tell it from one that is not there; who may sign can't verify, and can't
/// use the partner's key for anything else.
#[tokio::test]
async fn a_refused_partner_and_one_that_is_not_there_look_alike() {
    let world = world().await;
    let other = world.daemon.client("other");
    let mut refusals = Vec::new();
    for (partner, scheme) in [
        ("stripe", ""),
        ("nobody", ""),
        ("stripe", "stripe"),
        ("nobody", "stripe"),
    ] {
        let asked = VerifyCallbackRequest {
            partner: format!("partners/{partner}"),
            scheme: scheme_name(scheme),
            request: Some(github(b"{}", SECRET)),
            ..VerifyCallbackRequest::default()
        };
        let mut refused = Refusal::expect(other.platform().verify_callback(asked).await);
        assert_eq!(refused.reason, "PERMISSION_DENIED");
        refused.message = refused.message.replace(partner, "P");
        refused
            .metadata
            .insert("partner".to_owned(), "P".to_owned());
        refusals.push(refused);
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    let asked = chancery::proto::v1::SignRequest {
        name: "keys/hooks".to_owned(),
        algorithm: A::Hs256.into(),
        message: Some("anything".into()),
        ..chancery::proto::v1::SignRequest::default()
    };
    let refused = Refusal::expect(other.signing().sign(asked).await);
    assert_eq!(refused.reason, "PERMISSION_DENIED");
}
