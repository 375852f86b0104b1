//! Each kind of bad message with its reason and the step that it fails at: parts, signatures, JSON, times, sizes.

use chancery::{
    client::Code,
    proto::v1::{HttpRequest, Verdict},
};

use crate::platform::{
    shared::{SECRET, github, hmac256, now, stripe, world},
    world::request,
};

#[tokio::test]
async fn each_bad_message_has_its_reason_and_names_the_step() {
    let world = world().await;
    let good = hex::encode(hmac256(SECRET, b"{}"));
    let signed = |signature: &str| {
        request(
            "POST",
            "/hook",
            &[("X-Hub-Signature-256", signature)],
            b"{}",
        )
    };
    let prefixed = |rest: &str| signed(&format!("sha256={rest}"));
    let twice = HttpRequest {
        headers: [prefixed(&good).headers, prefixed(&good).headers].concat(),
        ..prefixed(&good)
    };
    for (message, verdict, reason, step) in [
        (
            request("POST", "/", &[], b"{}"),
            Verdict::Malformed,
            "HEADER_MISSING",
            "header.X-Hub-Signature-256",
        ),
        (
            twice,
            Verdict::Malformed,
            "INPUT_REPEATED",
            "header.X-Hub-Signature-256",
        ),
        (
            signed(&good),
            Verdict::Malformed,
            "ENCODING_INVALID",
            "verify.signature.from",
        ),
        (
            prefixed("zz"),
            Verdict::Malformed,
            "ENCODING_INVALID",
            "verify.signature",
        ),
        (
            prefixed(&good[2..]),
            Verdict::Invalid,
            "SIGNATURE_LENGTH",
            "verify.signature",
        ),
        (
            prefixed(&good.replace('a', "b")),
            Verdict::Invalid,
            "SIGNATURE_INVALID",
            "verify.signature",
        ),
    ] {
        let found = world.verdict("github", "", message).await;
        assert_eq!(
            (found.verdict(), found.reason.as_str()),
            (verdict, reason),
            "{found:?}"
        );
        assert!(found.message.contains(step), "{}", found.message);
        assert!(found.authenticated.is_empty() && found.decrypted.is_empty());
    }
    // JSON is asked for by Stripe's id, and by all that is sorted.
    for (body, reason) in [
        (&b"{\"id\":\"1\",\"id\":\"2\"}"[..], "JSON_DUPLICATE_NAME"),
        (b"{\"id\":\"\xff\"}", "NOT_UTF8"),
        (b"not JSON", "NOT_JSON"),
        (b"{\"id\":{}}", "JSON_TYPE"),
        (b"{}", "PART_MISSING"),
    ] {
        let found = world
            .verdict("stripe", "", stripe(now(), body, SECRET))
            .await;
        assert_eq!(
            (found.verdict(), found.reason.as_str()),
            (Verdict::Malformed, reason),
            "{found:?}"
        );
        assert!(found.message.contains("verify.replay"), "{}", found.message);
    }
}

#[tokio::test]
async fn a_time_outside_of_the_window_is_stale_or_future_and_never_remembered() {
    let world = world().await;
    for (seconds, verdict, reason) in [
        (-400, Verdict::Stale, "MESSAGE_STALE"),
        (400, Verdict::Future, "MESSAGE_FROM_FUTURE"),
        (-200, Verdict::Valid, ""),
        (-200, Verdict::Duplicate, "DUPLICATE"),
        // The same event, signed anew.
        (-100, Verdict::Duplicate, "DUPLICATE"),
    ] {
        let message = stripe(
            now().checked_add_signed(seconds).unwrap(),
            b"{\"id\":\"timed\"}",
            SECRET,
        );
        let found = world.verdict("stripe", "", message).await;
        assert_eq!(
            (found.verdict(), found.reason.as_str()),
            (verdict, reason),
            "{found:?}"
        );
        let protections = found.protections.unwrap();
        assert_eq!(protections.past_window.unwrap().seconds, 300);
        assert!(found.message_time.is_some());
    }
    let malformed = request(
        "POST",
        "/",
        &[("Stripe-Signature", "t=soon,v1=00")],
        b"{\"id\":\"1\"}",
    );
    let found = world.verdict("stripe", "", malformed).await;
    assert_eq!(
        (found.verdict(), found.reason.as_str()),
        (Verdict::Malformed, "TIME_INVALID")
    );
}

#[tokio::test]
async fn bodies_of_twenty_mebibytes_are_taken_and_larger_ones_refused() {
    let world = world().await;
    let body = vec![b'a'; 20 * 1024 * 1024];
    let found = world.verdict("github", "", github(&body, SECRET)).await;
    assert_eq!(found.verdict(), Verdict::Valid);
    assert_eq!(found.authenticated[0].value.len(), body.len());
    let body = vec![b'a'; 20 * 1024 * 1024 + 1];
    let refused = world
        .callback("github", "", github(&body, SECRET))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::InvalidArgument, "BODY_TOO_LARGE")
    );
}
