//! Which keys may have signed: both live secrets while they are rotated, and the one public key that is pinned.

use base64::{Engine, prelude::BASE64_STANDARD};
use chancery::proto::v1::Verdict;

use crate::platform::{
    shared::{OLD, PLATFORM, SECRET, hmac256, now, openssl_sign, rsa_pair, stripe, world},
    world::request,
};

#[tokio::test]
async fn both_live_secrets_verify_and_the_answer_says_which() {
    let world = world().await;
    for (secret, version) in [(OLD, 1), (SECRET, 2)] {
        let body = format!("{{\"id\":\"by version {version}\"}}");
        let found = world
            .verdict("stripe", "", stripe(now(), body.as_bytes(), secret))
            .await;
        assert_eq!(found.verdict(), Verdict::Valid, "{found:?}");
        assert_eq!(
            found.key.unwrap().name,
            format!("keys/rotated/versions/{version}")
        );
    }
    // Several signatures: any may be right, and they are bounded.
    let time = now();
    let right = hex::encode(hmac256(
        SECRET,
        format!("{time}.{{\"id\":\"any\"}}").as_bytes(),
    ));
    let others = format!("v1={},", "00".repeat(32));
    let header = |many| format!("t={time},{}v1={right}", others.repeat(many));
    for (many, verdict) in [(7, Verdict::Valid), (8, Verdict::Malformed)] {
        let message = request(
            "POST",
            "/",
            &[("Stripe-Signature", &header(many))],
            b"{\"id\":\"any\"}",
        );
        assert_eq!(
            world.verdict("stripe", "", message).await.verdict(),
            verdict,
            "{many}"
        );
    }
}

/// `openssl` signs; another key's signature and a shorter one are told apart.
#[tokio::test]
async fn signatures_of_public_keys_are_verified_with_the_pinned_one() {
    let world = world().await;
    let body = b"{\"event_type\":\"x\"}";
    let sign = |pem: &str| BASE64_STANDARD.encode(openssl_sign(pem, body));
    let message =
        |signature: &str| request("POST", "/", &[("X-Signature-SHA256", signature)], body);
    let found = world.verdict("wise", "", message(&sign(&PLATFORM.0))).await;
    assert_eq!(found.verdict(), Verdict::Valid, "{found:?}");
    let key = found.key.unwrap();
    assert_eq!(key.name, "partners/wise/keys/platform");
    assert_eq!(key.public_key_sha256.len(), 32);
    let other = world
        .verdict("wise", "", message(&sign(&rsa_pair().0)))
        .await;
    assert_eq!(
        (other.verdict(), other.reason.as_str()),
        (Verdict::Invalid, "SIGNATURE_INVALID")
    );
    let short = world.verdict("wise", "", message("AAAA")).await;
    assert_eq!(
        (short.verdict(), short.reason.as_str()),
        (Verdict::Invalid, "SIGNATURE_LENGTH")
    );
}
