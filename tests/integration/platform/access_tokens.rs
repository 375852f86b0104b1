//! Access tokens that we issue to platforms, and check when they come back.

use base64::{Engine, prelude::BASE64_STANDARD};
use chancery::proto::v1::{IssueAccessTokenRequest, Verdict};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

use crate::platform::{
    shared::{PLATFORM, SECRET, now, openssl_sign, rfc3339, rsa_pair, world},
    world::request,
};

#[tokio::test]
async fn access_tokens_are_issued_to_who_signs_and_checked_when_they_come_back() {
    let world = world().await;
    let ask = |pem: &str, time: String| {
        let signature =
            BASE64_STANDARD.encode(openssl_sign(pem, format!("client|{time}").as_bytes()));
        let headers = [
            ("X-CLIENT-KEY", "client"),
            ("X-TIMESTAMP", &time),
            ("X-SIGNATURE", &signature),
        ];
        let message = request(
            "POST",
            "/v1.0/access-token/b2b",
            &headers,
            br#"{"grantType":"client_credentials"}"#,
        );
        IssueAccessTokenRequest {
            partner: "partners/snap".to_owned(),
            request: Some(message),
            ..IssueAccessTokenRequest::default()
        }
    };
    let client = world.client();
    let issue = async |request: IssueAccessTokenRequest| {
        let answer = client.platform().issue_access_token(request).await;
        let answer = answer.unwrap().into_inner();
        let response = answer.response.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        (response.status_code, body, answer.verification.unwrap())
    };
    let asked = ask(&PLATFORM.0, rfc3339(now()));
    let (status, body, verification) = issue(asked.clone()).await;
    assert_eq!(
        (status, body["responseCode"].as_str()),
        (200, Some("2007300")),
        "{verification:?}"
    );
    assert_eq!(body["expiresIn"], "900");
    // Whoever has seen the request can send it again, and gets nothing.
    for refused in [
        asked,
        ask(&rsa_pair().0, rfc3339(now())),
        ask(&PLATFORM.0, rfc3339(now() - 4000)),
    ] {
        let (status, body, _) = issue(refused).await;
        assert_eq!(
            (status, body["responseCode"].as_str()),
            (401, Some("4017300"))
        );
        assert!(body.get("accessToken").is_none());
    }

    let token = body["accessToken"].as_str().unwrap();
    let call = |token: &str, body: &str| {
        let time = rfc3339(now());
        let digest = hex::encode(Sha256::digest(body));
        let string = format!("POST:/v1.0/x:{token}:{digest}:{time}");
        let mut mac = Hmac::<Sha512>::new_from_slice(SECRET).unwrap();
        mac.update(string.as_bytes());
        let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        let bearer = format!("Bearer {token}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("X-TIMESTAMP", &time),
            ("X-SIGNATURE", &signature),
        ];
        request("POST", "/v1.0/x", &headers, body.as_bytes())
    };
    let found = world
        .verdict("snap", "snap-service", call(token, "{}"))
        .await;
    assert_eq!(found.verdict(), Verdict::Valid, "{found:?}");
    let (head, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    // `alg` none and a token of another maker.
    let none = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJwYXJ0bmVycy9zbmFwIn0.";
    for wrong in [forged.as_str(), none, "opaque"] {
        let found = world
            .verdict("snap", "snap-service", call(wrong, "{\"a\":1}"))
            .await;
        assert_eq!(
            (found.verdict(), found.reason.as_str()),
            (Verdict::Invalid, "ACCESS_TOKEN_REFUSED"),
            "{found:?}"
        );
    }
}
