//! What becomes of messages: each kind of bad one with its reason, duplicates, rotation, times, and what a caller or
//! the configuration did wrong. Signatures are made here, by `hmac` and `openssl`.

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use chancery::{
    client::Code,
    proto::v1::{
        Algorithm as A, DecryptFieldRequest, ExplainHttpMessageRequest, HttpRequest,
        IssueAccessTokenRequest, SignHttpRequestRequest, Verdict, VerifyCallbackRequest,
        explain_http_message_request::Call,
    },
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use tokio::sync::OnceCell;

use crate::{
    calls::OpenSsl,
    harness::Refusal,
    platform::world::{Held, World, request, scheme_name},
    softhsm::Token,
};

static WORLD: OnceCell<World> = OnceCell::const_new();
static PLATFORM: LazyLock<(String, String)> = LazyLock::new(rsa_pair);

const SECRET: &[u8] = b"a secret in common with nobody else";
const OLD: &[u8] = b"the secret before it was changed";

/// The daemon that these tests share. It has run since the first of them asked.
async fn world() -> &'static World {
    WORLD.get_or_init(make_world).await
}

async fn make_world() -> World {
    let key = |role: &str, name: &str| format!("[keys.{role}]\nkey = {name:?}\n");
    let pem = format!(
        "[keys.platform]\npublic_keys = [{{ pem = '''\n{}''' }}]\n",
        PLATFORM.1
    );
    let head = |name: &str| format!("[partner]\nname = {name:?}\ntitle = \"of a test\"\n");
    let mut partners = vec![
        ("github", key("platform", "hooks") + "[schemes.github]\n"),
        ("stripe", key("platform", "rotated") + "[schemes.stripe]\n"),
        ("wise", pem.clone() + "[schemes.wise-webhook]\n"),
        ("absent", key("platform", "nowhere") + "[schemes.github]\n"),
        ("wrong", key("platform", "opener") + "[schemes.github]\n"),
        (
            "upay",
            format!(
                "[constants]\napi_key = \"k\"\n{}{}[schemes.upay-request]\n[schemes.upay-webhook]\nkeys.platform = {{ key = \"hooks\" }}\n",
                key("signing", "hooks"),
                key("decryption", "opener")
            ),
        ),
        (
            "snap",
            format!(
                "[constants]\npartner_id = \"p\"\nchannel_id = \"1\"\n{}{}{pem}[schemes.snap-token]\nconstants.client_key = \"c\"\naccess_tokens = {{ key = \"tokens\", lifetime_seconds = 900 }}\n[schemes.snap-service]\n",
                key("client_secret", "long"),
                key("signing", "opener-sign"),
            ),
        ),
        (
            "paywizard",
            format!(
                "[constants]\nclient_id = \"c\"\n{}[schemes.paywizard-v3]\n",
                key("signing", "text")
            ),
        ),
    ];
    let files: Vec<_> = partners
        .drain(..)
        .map(|(name, text)| (name.to_owned(), head(name) + &text))
        .collect();
    let token = Token::new("verdicts");
    token.import_pkcs8("opener", "01", &PLATFORM.0);
    token.import_pkcs8("opener-sign", "02", &PLATFORM.0);
    let world = World::with(&files, token, KEYS);
    for (name, algorithm, secret, readable) in [
        ("hooks", A::Hs256, SECRET, false),
        ("rotated", A::Hs256, OLD, false),
        ("long", A::Hs512, SECRET, false),
        ("tokens", A::Hs256, SECRET, false),
        ("text", A::Hs256, SECRET, true),
    ] {
        world
            .import(Held {
                name,
                algorithm,
                secret,
                readable,
            })
            .await;
    }
    let held = Held {
        name: "rotated",
        algorithm: A::Hs256,
        secret: SECRET,
        readable: false,
    };
    world.import_version(held).await;
    world
}

const KEYS: &str = r#"
[[keys]]
name = "opener"
purpose = "decrypt"
algorithms = ["RSA-OAEP-256"]
content_encryptions = ["A128GCM"]
allow_compression = true

[[keys]]
name = "opener-sign"
purpose = "sign"
algorithms = ["RS256"]
"#;

#[tokio::test]
async fn a_callback_is_valid_once_and_then_a_duplicate_that_says_the_same() {
    let world = world().await;
    let hook = github(b"{\"once\":true}", SECRET);
    let first = world.verdict("github", "", hook.clone()).await;
    assert_eq!(
        (first.verdict(), first.reason.as_str()),
        (Verdict::Valid, "")
    );
    assert_eq!(&*first.authenticated[0].value, b"{\"once\":true}");
    assert_eq!(first.scheme, "schemes/github");
    assert_eq!(first.key.as_ref().unwrap().name, "keys/hooks/versions/1");
    let protections = first.protections.as_ref().unwrap();
    assert!(protections.replay && protections.past_window.is_none());
    assert!(
        protections
            .lacking
            .iter()
            .any(|one| one.contains("no time")),
        "{protections:?}"
    );

    let again = world.verdict("github", "", hook).await;
    assert_eq!(
        (again.verdict(), again.reason.as_str()),
        (Verdict::Duplicate, "DUPLICATE")
    );
    assert_eq!(again.authenticated, first.authenticated);
}

/// A message that is not authentic uses nothing up: else anyone could make the true one a duplicate.
#[tokio::test]
async fn what_is_not_valid_is_not_remembered() {
    let world = world().await;
    let true_one = github(b"{\"twice\":1}", SECRET);
    for _ in 0..2 {
        let forged = world
            .verdict("github", "", github(b"{\"twice\":1}", OLD))
            .await;
        assert_eq!(
            (forged.verdict(), forged.reason.as_str()),
            (Verdict::Invalid, "SIGNATURE_INVALID")
        );
        assert!(forged.authenticated.is_empty() && forged.key.is_none());
    }
    let explained = explain(world, "github", true_one.clone()).await;
    assert_eq!(explained.reason, "");
    assert_eq!(&*explained.strings_to_sign[0], b"{\"twice\":1}");
    assert_eq!(
        &*explained.string_sha256[0],
        &Sha256::digest(b"{\"twice\":1}")[..]
    );
    assert_eq!(
        world.verdict("github", "", true_one).await.verdict(),
        Verdict::Valid
    );
}

/// Issue's list: each has a reason of its own, and names the segment or step.
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

async fn explain(
    world: &World,
    partner: &str,
    message: HttpRequest,
) -> chancery::proto::v1::ExplainHttpMessageResponse {
    let asked = VerifyCallbackRequest {
        partner: format!("partners/{partner}"),
        request: Some(message),
        ..VerifyCallbackRequest::default()
    };
    let request = ExplainHttpMessageRequest {
        call: Some(Call::VerifyCallback(asked)),
    };
    let answer = world
        .client()
        .platform()
        .explain_http_message(request)
        .await;
    answer.unwrap().into_inner()
}

fn github(body: &[u8], secret: &[u8]) -> HttpRequest {
    let signature = format!("sha256={}", hex::encode(hmac256(secret, body)));
    request(
        "POST",
        "/hook",
        &[("X-Hub-Signature-256", &signature)],
        body,
    )
}

fn stripe(time: u64, body: &[u8], secret: &[u8]) -> HttpRequest {
    let string = [format!("{time}.").as_bytes(), body].concat();
    let signature = format!("t={time},v1={}", hex::encode(hmac256(secret, &string)));
    request("POST", "/hook", &[("Stripe-Signature", &signature)], body)
}

fn hmac256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// By GNU `date`.
fn rfc3339(seconds: u64) -> String {
    let mut date = std::process::Command::new("date");
    date.args([
        "-u",
        "-d",
        &format!("@{seconds}"),
        "+%Y-%m-%dT%H:%M:%S+00:00",
    ]);
    let output = date.output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A new key of 2048 bits: PKCS#8 and SubjectPublicKeyInfo, PEM.
fn rsa_pair() -> (String, String) {
    let openssl = OpenSsl::new();
    let bits = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
    ];
    let private = openssl.output(&bits);
    openssl.file("private.pem", &private);
    let public = openssl.output(&["pkey", "-in", "private.pem", "-pubout"]);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(private), text(public))
}

fn openssl_sign(pem: &str, message: &[u8]) -> Vec<u8> {
    let openssl = OpenSsl::new();
    openssl.file("key.pem", pem.as_bytes());
    openssl.file("message", message);
    openssl.output(&["dgst", "-sha256", "-sign", "key.pem", "message"])
}

/// What can't be remembered can't be told from a replay: it is refused, and the others go on.
#[tokio::test]
async fn a_full_memory_refuses_what_is_new_and_still_knows_what_it_has_seen() {
    let partner = |name: &str| {
        let text = format!(
            "[partner]\nname = {name:?}\ntitle = \"t\"\n[keys.platform]\nkey = \"hooks\"\n[schemes.github]\n"
        );
        (name.to_owned(), text)
    };
    let partners = [partner("one"), partner("two")];
    let tables = "[replay]\nmax_entries_per_partner = 1\n";
    let world = World::with(&partners, Token::new("full"), tables);
    world
        .import(Held {
            name: "hooks",
            algorithm: A::Hs256,
            secret: SECRET,
            readable: false,
        })
        .await;
    let hook = |body: &[u8]| github(body, SECRET);
    assert_eq!(
        world.verdict("one", "", hook(b"1")).await.verdict(),
        Verdict::Valid
    );
    let refused = world.callback("one", "", hook(b"2")).await.unwrap_err();
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert_eq!(refused.reason, "REPLAY_MEMORY_FULL");
    assert_eq!(
        world.verdict("one", "", hook(b"1")).await.verdict(),
        Verdict::Duplicate
    );
    assert_eq!(
        world.verdict("two", "", hook(b"2")).await.verdict(),
        Verdict::Valid
    );
    // After a restart it is known too.
    let mut world = world;
    world.daemon.restart().await;
    assert_eq!(
        world.verdict("two", "", hook(b"2")).await.verdict(),
        Verdict::Duplicate
    );
}
