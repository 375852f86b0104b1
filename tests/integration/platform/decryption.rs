//! Webhooks that have to be decrypted: what can't be looks alike, and a bomb is not inflated.

use base64::{Engine, prelude::BASE64_STANDARD};
use chancery::proto::v1::Verdict;

use crate::platform::{
    shared::{PLATFORM, SECRET, hmac256, now, world},
    world::request,
};

/// What can't be decrypted, for whatever reason, is one and the same; and a bomb is not inflated.
#[tokio::test]
async fn webhooks_that_can_not_be_opened_look_alike() {
    let world = world().await;
    let sealed = |content: &[u8]| {
        chancery::jose::jwe::encrypt_to_public(
            &chancery::jose::jwe::PublicRecipient::from_pem(&PLATFORM.1).unwrap(),
            chancery::algorithm::Algorithm::RsaOaep256,
            chancery::algorithm::ContentEncryption::A128Gcm,
            content,
            "",
            true,
        )
        .unwrap()
    };
    let webhook = |jwe: &str| {
        let time = (now() * 1000).to_string();
        let string = format!("E|{time}|{jwe}");
        let signature = BASE64_STANDARD.encode(hmac256(SECRET, string.as_bytes()));
        let headers = [
            ("X-UPA-TIMESTAMP", time.as_str()),
            ("X-UPA-SIGN", signature.as_str()),
        ];
        request("POST", "/", &headers, jwe.as_bytes())
    };
    let content = br#"{"event":"E","trace":"t","orderNo":"o"}"#;
    let good = sealed(content);
    let answer = world
        .callback("upay", "upay-webhook", webhook(&good))
        .await
        .unwrap();
    let found = answer.verification.unwrap();
    assert_eq!(found.verdict(), Verdict::Valid, "{found:?}");
    assert_eq!(&*found.decrypted, content);
    assert_eq!(&*answer.acknowledgement.unwrap().body, b"SUCCESS");

    let tag = good.rfind('.').unwrap() + 1;
    let flipped = if &good[tag..=tag] == "A" { "B" } else { "A" };
    let mut broken = good.clone();
    broken.replace_range(tag..=tag, flipped);
    let bomb = sealed(&vec![b' '; 40 * 1024 * 1024]);
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    let mut answers = Vec::new();
    for jwe in [broken.as_str(), bomb.as_str(), "not.a.jwe", "a.b.c.d.e", ""] {
        let found = world.verdict("upay", "upay-webhook", webhook(jwe)).await;
        assert!(found.decrypted.is_empty());
        answers.push((found.verdict(), found.reason, found.message));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(
        (answers[0].0, answers[0].1.as_str()),
        (Verdict::Invalid, "DECRYPTION_FAILED")
    );
}
