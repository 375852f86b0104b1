//! Verdicts by hand: what a rule allows, what it does not, and the reason that is given.

use super::*;
use crate::algorithm::{Curve, Hash};

mod approvals;
mod conditions;
mod faults;
mod model;
mod partner_limits;
mod partners;
mod questions;
mod quotas;

const RS256: Algorithm = Algorithm::RsaPkcs1(Hash::Sha256);
const ES256: Algorithm = Algorithm::Ecdsa(Curve::P256);
const OAEP: Algorithm = Algorithm::RsaOaep256;

const EXAMPLE: &str = r#"
[[rules]]
name = "payouts-service"
identities = ["spiffe://example.org/payouts", "spiffe://example.org/batch/*", "dns:app.example.org"]
keys = ["payouts", "jwt-*"]
operations = ["sign", "verify"]
algorithms = ["RS256", "ES256"]

[[rules]]
name = "administrators"
identities = ["spiffe://example.org/admin/*"]
keys = ["*"]
operations = ["get", "create", "request_certificate"]
algorithms = ["*"]

[[rules]]
name = "everyone"
identities = ["spiffe://example.org/*"]
operations = ["generate_random", "encrypt"]

[[rules]]
name = "mail"
identities = ["dns:mail.example.org"]
keys = ["mail"]
operations = ["encrypt", "decrypt"]
algorithms = ["RSA-OAEP-256"]
"#;

/// No rule of the example looks at it.
const NOW: UnixMilliseconds = UnixMilliseconds(1_800_000_000_000);

fn policy() -> Policy {
    Policy::parse(EXAMPLE).unwrap()
}

fn who(name: &str) -> Arc<Identity> {
    Arc::new(Identity::for_test(name))
}

fn key(label: &str) -> KeyVersion {
    label.parse().unwrap()
}

/// The rule that allows it, or the reason why none does.
fn verdict(
    identity: &str,
    label: &str,
    operation: Operation,
    algorithm: Algorithm,
) -> Result<String, Reason> {
    let (identity, key) = (who(identity), key(label));
    ask(&policy(), &identity, &key, operation, algorithm).map_err(|denied| denied.reason())
}

/// The rule that allows it, whatever is signed.
fn ask(
    policy: &Policy,
    identity: &Arc<Identity>,
    key: &KeyVersion,
    operation: Operation,
    algorithm: Algorithm,
) -> Result<String, Denied> {
    let permit = match operation {
        Operation::Sign => policy
            .authorize_sign(identity, key, algorithm, NOW)?
            .for_message(b"any")?,
        _ => policy.authorize(identity, key, operation, algorithm, NOW)?,
    };
    Ok(permit.rule().to_owned())
}

#[test]
fn what_a_rule_names_in_full_is_allowed() {
    let by_payouts = Ok("payouts-service".to_owned());
    for (identity, label) in [
        ("spiffe://example.org/payouts", "payouts/7"),
        ("spiffe://example.org/batch/nightly", "jwt-1"),
        ("spiffe://example.org/batch/a/b", "jwt-"),
        ("dns:app.example.org", "payouts"),
    ] {
        assert_eq!(
            verdict(identity, label, Operation::Sign, RS256),
            by_payouts,
            "{identity} {label}"
        );
    }
}

#[test]
fn a_permit_says_what_it_is_for() {
    let identity = who("spiffe://example.org/payouts");
    let permit = policy()
        .authorize_sign(&identity, &key("payouts/7"), ES256, NOW)
        .unwrap()
        .for_message(b"")
        .unwrap();
    assert_eq!(permit.key(), &key("payouts/7"));
    assert_eq!(permit.operation(), Operation::Sign);
    assert_eq!(permit.algorithm(), ES256);
    assert_eq!(permit.identity(), &identity);
    assert_eq!(permit.rule(), "payouts-service");
    assert_eq!(
        permit.asked().to_string(),
        "sign key=payouts version=7 algorithm=ES256"
    );
}

#[test]
fn what_is_missing_is_the_reason() {
    let payouts = "spiffe://example.org/payouts";
    for (identity, label, operation, algorithm, reason) in [
        (
            "spiffe://other.org/payouts",
            "payouts",
            Operation::Sign,
            RS256,
            Reason::Identity,
        ),
        (payouts, "payout", Operation::Sign, RS256, Reason::Key),
        (payouts, "payouts2", Operation::Sign, RS256, Reason::Key),
        (payouts, "jwt", Operation::Sign, RS256, Reason::Key),
        (
            payouts,
            "payouts",
            Operation::Decrypt,
            OAEP,
            Reason::Operation,
        ),
        (payouts, "payouts", Operation::Sign, OAEP, Reason::Algorithm),
    ] {
        assert_eq!(
            verdict(identity, label, operation, algorithm),
            Err(reason),
            "{identity} {label} {operation} {algorithm}"
        );
    }
}

/// `batch/*` is what is below `batch/`: not `batch` itself, and not `batch-2`.
#[test]
fn an_identity_prefix_ends_at_a_segment() {
    for identity in [
        "spiffe://example.org/batch",
        "spiffe://example.org/batch-2",
        "spiffe://example.org/batch2/a",
        "spiffe://example.org.evil/batch/a",
        "spiffe://evil/example.org/batch/a",
    ] {
        assert!(verdict(identity, "payouts", Operation::Sign, RS256).is_err());
    }
}

#[test]
fn lists_of_two_rules_do_not_add_up() {
    // One rule names the key, the other the operation.
    let text = r#"
[[rules]]
name = "a"
identities = ["dns:x"]
keys = ["k"]
operations = ["sign"]
algorithms = ["RS256"]
[[rules]]
name = "b"
identities = ["dns:x"]
keys = ["l"]
operations = ["verify"]
algorithms = ["RS256"]
"#;
    let policy = Policy::parse(text).unwrap();
    let denied = policy
        .authorize(&who("dns:x"), &key("k"), Operation::Verify, RS256, NOW)
        .unwrap_err();
    assert_eq!(denied.reason(), Reason::Operation);
    assert_eq!(
        denied.to_string(),
        "dns:x may not verify key=k version=1 algorithm=RS256: rules name this identity and key or partner, but not with this operation"
    );
}

#[test]
fn seeing_a_key_takes_no_algorithm() {
    let admin = who("spiffe://example.org/admin/anna");
    let permit = policy().authorize_get(&admin, &key("x").key, NOW).unwrap();
    assert_eq!(permit.key().as_str(), "x");
    assert_eq!(permit.rule(), "administrators");
    let payouts = who("spiffe://example.org/payouts");
    let denied = policy()
        .authorize_get(&payouts, &key("payouts").key, NOW)
        .unwrap_err();
    assert_eq!(denied.reason(), Reason::Operation);
}

#[test]
fn a_key_to_be_made_needs_all_its_algorithms_allowed() {
    let text = EXAMPLE.replace(
        r#"algorithms = ["*"]"#,
        r#"algorithms = ["RS256", "ES256"]"#,
    );
    let policy = Policy::parse(&text).unwrap();
    let admin = who("spiffe://example.org/admin/anna");
    let make = |algorithms: &[Algorithm]| {
        policy
            .authorize_create(&admin, &key("new").key, algorithms, NOW)
            .map(|permit| permit.algorithms().to_vec())
            .map_err(|denied| denied.reason())
    };
    assert_eq!(make(&[RS256]), Ok(vec![RS256]));
    assert_eq!(make(&[RS256, ES256]), Ok(vec![RS256, ES256]));
    assert_eq!(make(&[RS256, OAEP]), Err(Reason::Algorithm));
    assert_eq!(make(&[]), Err(Reason::Question));
}

#[test]
fn what_concerns_no_key_needs_none() {
    let anyone = who("spiffe://example.org/anything");
    let stranger = who("dns:stranger.example.org");
    assert_eq!(
        policy().authorize_random(&anyone, NOW).unwrap().rule(),
        "everyone"
    );
    assert_eq!(
        policy()
            .authorize_random(&stranger, NOW)
            .unwrap_err()
            .reason(),
        Reason::Identity
    );
    let outside = policy()
        .authorize_encrypt_outside(&anyone, OAEP, NOW)
        .unwrap();
    assert_eq!(outside.algorithm(), Some(OAEP));
    // Encrypting to a key of the token is a use of that key.
    assert_eq!(
        verdict(
            "spiffe://example.org/anything",
            "mail",
            Operation::Encrypt,
            OAEP
        ),
        Err(Reason::Key)
    );
}

/// A rule that lists algorithms limits encryption to outside keys too.
#[test]
fn listed_algorithms_hold_for_keys_from_outside() {
    let mail = who("dns:mail.example.org");
    assert!(policy().authorize_encrypt_outside(&mail, OAEP, NOW).is_ok());
    assert_eq!(
        policy()
            .authorize_encrypt_outside(&mail, Algorithm::Rsa15, NOW)
            .unwrap_err()
            .reason(),
        Reason::Algorithm
    );
    assert_eq!(
        verdict("dns:mail.example.org", "mail", Operation::Encrypt, OAEP),
        Ok("mail".to_owned())
    );
}

#[test]
fn an_operation_of_another_kind_is_no_use_of_a_key() {
    for operation in [Operation::Get, Operation::Create, Operation::GenerateRandom] {
        assert_eq!(
            verdict("spiffe://example.org/admin/a", "x", operation, RS256),
            Err(Reason::Question)
        );
    }
}

#[test]
fn an_explanation_shows_every_rule() {
    let identity = "spiffe://example.org/payouts".parse().unwrap();
    let jwt = "jwt-1".parse().unwrap();
    let allowed = policy().explain(&identity, Some(&jwt), Operation::Sign, Some(RS256), None);
    assert!(allowed.allowed);
    assert_eq!(
        allowed.to_string(),
        "\
allowed by rule payouts-service
  RULE             IDENTITY  KEY  OPERATION  ALGORITHM
* payouts-service  yes       yes  yes        yes
  administrators   no        yes  no         yes
  everyone         yes       no   no         no
  mail             no        no   no         no
"
    );
    let denied = policy().explain(&identity, Some(&jwt), Operation::Sign, Some(OAEP), None);
    assert!(denied.to_string().starts_with(
        "denied: rules name this identity, key and operation, but not with this algorithm\n"
    ));
    let random = policy().explain(&identity, None, Operation::GenerateRandom, None, None);
    let json = serde_json::to_value(&random).unwrap();
    assert_eq!(json["rule"], "everyone");
    assert_eq!(json["rules"][2]["key"], "not_asked");
    assert!(json.get("reason").is_none());
    // Half a question is not answered with yes.
    let half = policy().explain(&identity, None, Operation::Sign, None, None);
    assert!(!half.allowed);
}

#[test]
fn the_digest_is_that_of_the_text() {
    // By sha256sum.
    let text =
        "[[rules]]\nname = \"a\"\nidentities = [\"dns:x\"]\noperations = [\"generate_random\"]\n";
    assert_eq!(Policy::parse(text).unwrap().digest(), "531ebe413c8af3b7");
}

#[test]
fn every_operation_parses_back() {
    for operation in Operation::ALL {
        assert_eq!(operation.name().parse(), Ok(operation));
        assert_eq!(
            serde_json::to_value(operation).unwrap(),
            operation.name(),
            "serde and name() agree"
        );
    }
}
