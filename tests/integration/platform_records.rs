//! The records of what is done for partners, field by field; and nothing that was worked on, in any file of the log.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use chancery::proto::v1::{
    Algorithm as A, ContentEncryption, EncryptFieldRequest, HttpResponse, KeyType as T, Verdict,
    VerifyCallbackRequest, VerifyHttpResponseRequest, explain_http_message_request::Call,
};
use serde_json::json;

use crate::{
    audited::hash,
    calls::{create, public_key, unbase64url},
    harness::{ALLOW_TEST, Refusal},
    platform::{
        shared::{github, hmac256, now, openssl_sign, rsa_pair},
        world::request,
    },
};

use calls::{
    TIME, access_token, answer, ask, decrypt_field, der, encrypted, explain, oaep, sign, spki_hash,
    string_of, value, with_token, world,
};
use expected::{Expected, Used, compare};

mod calls;
mod expected;

const SECRET: &[u8] = b"SAFFRON-secret-in-common-of-these-two";
const BODY: &[u8] = br#"{"name":"MARIGOLD","amount":20.00}"#;
const VALUE: &str = "CAMELLIA-6222020200001234567";

/// A rule that bounds what is signed, for the client of that name.
const POLICY: &str = r#"
[[rules]]
name = "partners"
identities = ["spiffe://chancery.test/test"]
partners = ["*"]
operations = ["sign_request", "sign_response", "verify_callback", "verify_response", "encrypt_field", "decrypt_field", "issue_access_token", "explain_message"]

[[rules]]
name = "short"
identities = ["spiffe://chancery.test/short"]
keys = ["hooks"]
algorithms = ["HS256"]
partners = ["upay"]
operations = ["sign", "sign_request"]
max_bytes = 80
"#;
#[tokio::test]
async fn every_call_for_a_partner_is_in_the_log_and_nothing_that_it_worked_on() {
    let (ours, theirs) = (rsa_pair(), rsa_pair());
    let (our_public, their_public) = (spki_hash(&ours.1), spki_hash(&theirs.1));
    let mut world = world(&ours.0, &theirs.1).await;
    world.daemon.terminate().await;
    world
        .daemon
        .start_with_policy(&format!("{ALLOW_TEST}{POLICY}"));
    let daemon = &world.daemon;
    let client = daemon.client("test");
    create(&client, "answers", T::EcP256, &[A::Es256]).await;
    let answers_public = spki_hash(&public_key(&client, "keys/answers").await.pem);
    let caller = |name: &str| {
        let pem = fs::read_to_string(daemon.certificate(name).cert).unwrap();
        json!({"identity": format!("spiffe://chancery.test/{name}"), "certificate": hash(&der(&pem))})
    };
    let mut expected = Expected {
        caller: caller("test"),
        partner: "",
        scheme: "",
        call: "",
        records: Vec::new(),
        secrets: Vec::new(),
    };
    expected.hides("the secret", SECRET);
    expected.hides("the body", BODY);
    expected.hides("a part of the body", "MARIGOLD");
    expected.hides("the value", VALUE);

    // A request with a MAC over the string that the scheme makes.
    expected.next("SignHttpRequest", "upay", "upay-request");
    let sent = sign(&client, "upay", "upay-request", TIME).await.unwrap();
    let string = b"POST|/api/v1/pay|1755248905430|req-0001|amount=20.00&name=MARIGOLD";
    let mac = hmac256(SECRET, string);
    assert_eq!(
        value(&sent.headers, "X-UPA-SIGN"),
        BASE64_STANDARD.encode(&mac)
    );
    expected.hides("the MAC", &mac);
    expected.hides("the string", string);
    let hooks = |operation, input| Used {
        operation,
        key: "hooks",
        algorithm: "HS256",
        public: None,
        input,
    };
    expected.key(hooks("sign", Some(string)), "succeeded".into(), None);

    // One with a signature by our private key.
    expected.next("SignHttpRequest", "snap", "snap-token");
    let time = [("timestamp", "2026-11-22T10:00:00+07:00")];
    let sent = sign(&client, "snap", "snap-token", &time).await.unwrap();
    let signature = BASE64_STANDARD
        .decode(value(&sent.headers, "X-SIGNATURE"))
        .unwrap();
    let string = b"client|2026-11-22T10:00:00+07:00";
    assert_eq!(signature, openssl_sign(&ours.0, string));
    expected.hides("the signature", &signature);
    let used = Used {
        operation: "sign",
        key: "signer",
        algorithm: "RS256",
        public: Some(&our_public),
        input: Some(string),
    };
    expected.key(used, "succeeded".into(), Some(&signature));

    // One whose string has the secret in it: of that there is no hash.
    expected.next("SignHttpRequest", "paywizard", "paywizard-v3");
    let sent = sign(&client, "paywizard", "paywizard-v3", &[])
        .await
        .unwrap();
    let string = [BODY, b"&clientId=c&clientSecret=", SECRET].concat();
    let mac = hmac256(SECRET, &string);
    assert_eq!(value(&sent.headers, "sign"), hex::encode(&mac));
    expected.hides("the MAC of a secret", &mac);
    let text = Used {
        key: "text",
        ..hooks("sign", None)
    };
    expected.key(text, "succeeded".into(), None);

    // One that our private key proves the origin of, and one that is encrypted, and nothing else.
    expected.next("SignHttpRequest", "upay", "upay-request-private");
    sign(&client, "upay", "upay-request-private", TIME)
        .await
        .unwrap();
    let proof = Used {
        operation: "sign",
        key: "origin",
        algorithm: "RSA1_5-PRIVATE",
        public: Some(&our_public),
        input: None,
    };
    expected.key(proof, "succeeded".into(), None);
    let string = b"POST|/api/v1/pay|1755248905430|req-0001|amount=20.00&name=MARIGOLD";
    expected.key(hooks("sign", Some(string)), "succeeded".into(), None);
    expected.next("SignHttpRequest", "mastercard", "mastercard-jwe");
    let sent = sign(&client, "mastercard", "mastercard-jwe", &[])
        .await
        .unwrap();
    expected.hides("what is sent encrypted", sent.body);
    let to_them = json!({"public_key": their_public, "input": null});
    expected.intent(
        json!({"operation": "sign_request", "algorithms": ["RSA-OAEP-256"]}),
        to_them.clone(),
        json!({"result": "succeeded"}),
    );

    // An answer, with a signature of two numbers.
    expected.next("SignHttpResponse", "answers", "rfc9421-response");
    let (made, base) = answer(&client).await;
    let signature = value(&made.headers, "Signature");
    let signature = signature
        .strip_prefix("reqres=:")
        .unwrap()
        .strip_suffix(':')
        .unwrap();
    let signature = BASE64_STANDARD.decode(signature).unwrap();
    expected.hides("the signature of an answer", &signature);
    let used = Used {
        operation: "sign",
        key: "answers",
        algorithm: "ES256",
        public: Some(&answers_public),
        input: Some(base.as_bytes()),
    };
    expected.key(used, "succeeded".into(), Some(&signature));

    // Callbacks: good, seen before, and wrong.
    expected.next("VerifyCallback", "github", "github");
    let good = github(BODY, SECRET);
    let wrong = github(BODY, b"another secret");
    let failed = json!({"failed": "DUPLICATE"});
    for (message, verdict, ending, right) in [
        (&good, Verdict::Valid, json!("valid"), "valid"),
        (&good, Verdict::Duplicate, failed, "valid"),
        (&wrong, Verdict::Invalid, json!("invalid"), "invalid"),
    ] {
        let found = world.verdict("github", "github", message.clone()).await;
        assert_eq!(found.verdict(), verdict, "{found:?}");
        expected.act("verify_callback", Some(BODY), ending);
        expected.key(hooks("verify", Some(BODY)), right.into(), None);
    }
    expected.hides("the MAC of a callback", hmac256(SECRET, BODY));

    // One that is decrypted first.
    expected.next("VerifyCallback", "upay", "upay-webhook");
    let event = br#"{"event":"PEONY-EVENT","trace":"t-1","orderNo":"o-1"}"#;
    let jwe = encrypted(&client, event, ContentEncryption::A128gcm).await;
    let stamp = (now() * 1000).to_string();
    let string = format!("PEONY-EVENT|{stamp}|{jwe}");
    let mac = hmac256(SECRET, string.as_bytes());
    let headers = [
        ("X-UPA-TIMESTAMP", stamp.as_str()),
        ("X-UPA-SIGN", &BASE64_STANDARD.encode(&mac)),
    ];
    let callback = request("POST", "/hook", &headers, jwe.as_bytes());
    let found = world.verdict("upay", "upay-webhook", callback).await;
    assert_eq!(found.verdict(), Verdict::Valid, "{found:?}");
    assert_eq!(found.decrypted, &event[..]);
    expected.hides("what was decrypted", event);
    expected.hides("what was encrypted", &jwe);
    expected.hides("the MAC of that", mac);
    let opener = |input| Used {
        operation: "decrypt",
        key: "opener",
        algorithm: "RSA-OAEP-256",
        public: Some(&our_public),
        input: Some(input),
    };
    expected.act("verify_callback", Some(jwe.as_bytes()), "valid".into());
    expected.key(opener(jwe.as_bytes()), "succeeded".into(), None);
    expected.key(
        hooks("verify", Some(string.as_bytes())),
        "valid".into(),
        None,
    );

    // An answer of theirs, which nobody signs.
    expected.next("VerifyHttpResponse", "mastercard", "mastercard-jwe");
    let jwe = encrypted(&client, event, ContentEncryption::A256gcm).await;
    let body = format!(r#"{{"encryptedData":"{jwe}"}}"#);
    let asked = VerifyHttpResponseRequest {
        partner: "partners/mastercard".to_owned(),
        response: Some(HttpResponse {
            status_code: 200,
            headers: Vec::new(),
            body: body.clone().into(),
        }),
        ..VerifyHttpResponseRequest::default()
    };
    let found = client.platform().verify_http_response(asked).await;
    let found = found.unwrap().into_inner().verification.unwrap();
    assert_eq!(found.verdict(), Verdict::Unsigned, "{found:?}");
    expected.hides("their answer", &body);
    expected.act("verify_response", Some(body.as_bytes()), "succeeded".into());
    expected.key(opener(jwe.as_bytes()), "succeeded".into(), None);

    // Single values. Of what is encrypted there is not even a hash: a card's number is soon guessed.
    expected.next("EncryptField", "fields", "oneaccess-session-token");
    let asked = EncryptFieldRequest {
        partner: "partners/fields".to_owned(),
        inputs: [("value".to_owned(), VALUE.to_owned())].into(),
        ..EncryptFieldRequest::default()
    };
    let made = client.platform().encrypt_field(asked).await.unwrap();
    let sealed = made.into_inner().ciphertext;
    expected.hides(
        "an encrypted value",
        BASE64_STANDARD.decode(sealed).unwrap(),
    );
    expected.intent(
        json!({"operation": "encrypt_field", "algorithms": ["RSA-OAEP-256"]}),
        to_them,
        json!({"result": "succeeded"}),
    );
    expected.next("DecryptField", "fields", "oneaccess-session-token");
    let sealed = oaep(&ours.1, VALUE.as_bytes());
    let opened = decrypt_field(&client, &sealed).await.unwrap();
    assert_eq!(opened, VALUE.as_bytes());
    expected.hides("a value for us", &sealed);
    expected.key(opener(&sealed), "succeeded".into(), None);
    let mut spoiled = sealed.clone();
    spoiled[9] ^= 1;
    let refused = decrypt_field(&client, &spoiled).await.unwrap_err();
    assert_eq!(refused.reason, "DECRYPTION_FAILED");
    expected.key(
        opener(&spoiled),
        json!({"failed": "DECRYPTION_FAILED"}),
        None,
    );

    // A token for them, none for somebody else, and a call with it.
    expected.next("IssueAccessToken", "snap", "snap-token");
    let grant = br#"{"grantType":"client_credentials"}"#;
    let token = access_token(&client, &theirs.0, grant)
        .await
        .expect("a token");
    let (signed, mac) = token.rsplit_once('.').unwrap();
    expected.hides("the access token", &token);
    expected.hides("its claims", signed.rsplit_once('.').unwrap().1);
    expected.hides("its MAC", unbase64url(mac));
    let tokens = |operation, input| Used {
        key: "tokens",
        ..hooks(operation, Some(input))
    };
    expected.act("issue_access_token", Some(grant), "valid".into());
    expected.key(tokens("sign", signed.as_bytes()), "succeeded".into(), None);
    assert_eq!(access_token(&client, &ours.0, grant).await, None);
    expected.act("issue_access_token", Some(grant), "invalid".into());
    expected.next("VerifyCallback", "snap", "snap-service");
    let (callback, string) = with_token(&token);
    let found = world.verdict("snap", "snap-service", callback).await;
    assert_eq!(found.verdict(), Verdict::Valid, "{found:?}");
    expected.act("verify_callback", Some(BODY), "valid".into());
    expected.key(tokens("verify", signed.as_bytes()), "valid".into(), None);
    let long = Used {
        key: "long",
        algorithm: "HS512",
        ..hooks("verify", Some(string.as_bytes()))
    };
    expected.key(long, "valid".into(), None);

    // An explanation of a request uses no key, and is not recorded; one of a callback uses the secret.
    expected.next("ExplainHttpMessage", "github", "github");
    let asked = ask("upay", "upay-request", TIME);
    explain(&client, Call::SignRequest(asked)).await;
    let asked = VerifyCallbackRequest {
        partner: "partners/github".to_owned(),
        request: Some(good),
        ..VerifyCallbackRequest::default()
    };
    explain(&client, Call::VerifyCallback(asked)).await;
    expected.key(hooks("verify", Some(BODY)), "valid".into(), None);

    // What is refused: to a stranger, for its size, and for what is missing in it.
    expected.next("SignHttpRequest", "upay", "upay-request");
    let (stranger, short) = (daemon.client("stranger"), daemon.client("short"));
    let refused = sign(&stranger, "upay", "upay-request", TIME)
        .await
        .unwrap_err();
    assert_eq!(refused.reason, "PERMISSION_DENIED");
    let policy = |reason: &str| json!({ "policy": reason });
    expected.denied(&caller("stranger"), "sign_request", policy("identity"));
    // The body is within the limit. The string of this one is too, of the next not.
    sign(&short, "upay", "upay-request", TIME).await.unwrap();
    let (rule, by) = (json!("short"), caller("short"));
    expected.key(
        hooks("sign", Some(string_of("req-0001").as_bytes())),
        "succeeded".into(),
        None,
    );
    let record = expected.records.last_mut().unwrap();
    (record["intent"]["rule"], record["intent"]["caller"]) = (rule, by.clone());
    let long = [
        ("timestamp", "1755248905430"),
        ("request_id", &*"r".repeat(60)),
    ];
    let refused = sign(&short, "upay", "upay-request", &long)
        .await
        .unwrap_err();
    assert_eq!(refused.reason, "POLICY_LIMIT_SIZE");
    assert!(refused.message.contains("at most 80 bytes"), "{refused:?}");
    expected.denied(&by, "sign_request", policy("limit_size"));
    let mut large = ask("upay", "upay-request", TIME);
    large.request.as_mut().unwrap().body = format!("{{\"a\":\"{}\"}}", "x".repeat(80)).into();
    let refused = Refusal::expect(short.platform().sign_http_request(large).await);
    assert_eq!(refused.reason, "POLICY_LIMIT_SIZE");
    expected.denied(&by, "sign_request", policy("limit_size"));
    let mut broken = ask("upay", "upay-request", TIME);
    broken.request.as_mut().unwrap().body = "MARIGOLD, and no JSON".into();
    let refused = Refusal::expect(client.platform().sign_http_request(broken).await);
    let caller_of_test = caller("test");
    expected.denied(
        &caller_of_test,
        "sign_request",
        json!({"other": refused.reason}),
    );

    drop((stranger, short));
    world.daemon.terminate().await;
    compare(&world, &expected);
}
