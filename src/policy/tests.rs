//! Verdicts by hand, faults of files, and a second, slow reading of the rules to compare with.

use std::sync::LazyLock;

use proptest::{prelude::*, sample::select};

use super::*;
use crate::algorithm::{Curve, Hash};

mod approvals;
mod conditions;
mod model;
mod partner_limits;
mod partners;
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
fn every_fault_of_a_file_is_told_with_its_place() {
    let rule = |keys: &str| {
        format!(
            "[[rules]]\nname = \"a\"\nidentities = [\"dns:x\"]\nkeys = [\"k\"]\noperations = [\"sign\"]\nalgorithms = [\"RS256\"]\n{keys}"
        )
    };
    let with = |from: &str, to: &str| {
        let text = rule("");
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    };
    assert!(Policy::parse(&rule("")).is_ok());
    for (text, line, place, says) in [
        (String::new(), None, Some("rules"), "at least one"),
        ("rules = []".to_owned(), None, Some("rules"), "at least one"),
        ("[[rules]\n".to_owned(), Some(1), None, ""),
        (
            "\n\nx = 1".to_owned(),
            Some(3),
            Some("x"),
            "unknown field `x`",
        ),
        (
            rule("effect = \"deny\"\n"),
            Some(7),
            Some("rules[0].effect"),
            "unknown field",
        ),
        (rule("name = \"b\"\n"), Some(7), None, "duplicate key"),
        (
            rule(&rule("")),
            Some(8),
            Some("rules[1].name"),
            "is there already",
        ),
        (
            with("identities = [\"dns:x\"]\n", ""),
            Some(2),
            Some("rules[0].identities"),
            "nobody is named",
        ),
        (
            rule("roles = []\n"),
            Some(2),
            Some("rules[0].roles"),
            "empty",
        ),
        (
            rule("roles = [\"r\"]\n"),
            Some(2),
            Some("rules[0].roles"),
            "no role \"r\"",
        ),
        (
            rule("[[roles]]\nname = \"r\"\nidentities = []\n"),
            Some(8),
            Some("roles[0].identities"),
            "empty",
        ),
        (
            rule(
                "[[roles]]\nname = \"r\"\nidentities = [\"dns:y\"]\n[[roles]]\nname = \"r\"\nidentities = [\"dns:y\"]\n",
            ),
            Some(11),
            Some("roles[1].name"),
            "a role named \"r\"",
        ),
        (
            rule("hours = \"8-18\"\n"),
            Some(7),
            Some("rules[0].hours"),
            "08:00-18:00",
        ),
        (
            rule("days = [\"monday\"]\n"),
            Some(7),
            Some("rules[0].days[0]"),
            "unknown variant",
        ),
        (rule("days = []\n"), Some(2), Some("rules[0].days"), "empty"),
        (
            rule("time_zone = \"Z\"\n"),
            Some(2),
            Some("rules[0].time_zone"),
            "hours and days",
        ),
        (
            rule("days = [\"mon\"]\ntime_zone = \"Asia/Jakarta\"\n"),
            Some(8),
            Some("rules[0].time_zone"),
            "+07:00",
        ),
        (
            rule("not_before = \"2026-01-01\"\n"),
            Some(7),
            Some("rules[0].not_before"),
            "RFC 3339",
        ),
        (
            rule("not_before = \"2026-01-01T00:00:00Z\"\nnot_after = \"2025-01-01T00:00:00Z\"\n"),
            Some(2),
            Some("rules[0].not_after"),
            "never hold",
        ),
        (
            rule("max_bytes = 0\n"),
            Some(2),
            Some("rules[0].max_bytes"),
            "at least 1",
        ),
        (
            rule("max_bytes = -1\n"),
            Some(7),
            Some("rules[0].max_bytes"),
            "",
        ),
        (
            rule("max_bytes = 1\n").replace("\"sign\"", "\"verify\""),
            Some(2),
            Some("rules[0].max_bytes"),
            "operation sign",
        ),
        (
            rule("digest_only = true\nmax_bytes = 1\n"),
            Some(2),
            Some("rules[0].digest_only"),
            "neither size nor claims",
        ),
        (
            rule("jwt.forbid = [\"exp\"]\njwt.max_lifetime_seconds = 9\n"),
            Some(2),
            Some("rules[0].jwt.forbid"),
            "required and forbidden",
        ),
        (
            rule("jwt.require.iss = []\n"),
            Some(2),
            Some("rules[0].jwt.require"),
            "empty",
        ),
        (
            rule("jwt.require.iss = [\"*\", \"a\"]\n"),
            Some(2),
            Some("rules[0].jwt.require"),
            "alone",
        ),
        (
            rule("jwt.max_lifetime_seconds = 0\n"),
            Some(2),
            Some("rules[0].jwt.max_lifetime_seconds"),
            "at least 1",
        ),
        (
            rule("jwt.claims = []\n"),
            Some(7),
            Some("rules[0].jwt.claims"),
            "unknown field",
        ),
        (
            format!(
                "separate_duties = true\n{}",
                rule("").replace("\"sign\"", "\"sign\", \"create\"")
            ),
            Some(1),
            Some("separate_duties"),
            "dns:x holds duties that are kept apart: use of keys by a, and key administration by a",
        ),
        (
            with("\"a\"", "\"\""),
            Some(2),
            Some("rules[0].name"),
            "name of a rule",
        ),
        (
            with("\"a\"", "\"a b\""),
            Some(2),
            Some("rules[0].name"),
            "name of a rule",
        ),
        (
            with("name = \"a\"\n", ""),
            Some(1),
            Some("rules[0]"),
            "missing field `name`",
        ),
        (
            with("[\"dns:x\"]", "[]"),
            Some(2),
            Some("rules[0].identities"),
            "empty",
        ),
        (
            with("[\"dns:x\"]", "\"dns:x\""),
            Some(3),
            Some("rules[0].identities"),
            "expected a sequence",
        ),
        (
            with("dns:x", "*"),
            Some(3),
            Some("rules[0].identities[0]"),
            "star",
        ),
        (
            with("dns:x", "dns:*.x"),
            Some(3),
            Some("rules[0].identities[0]"),
            "star",
        ),
        (
            with("dns:x", "dns:*"),
            Some(3),
            Some("rules[0].identities[0]"),
            "star",
        ),
        (
            with("dns:x", "spiffe://*"),
            Some(3),
            Some("rules[0].identities[0]"),
            "trust domain",
        ),
        (
            with("dns:x", "spiffe://e/a*"),
            Some(3),
            Some("rules[0].identities[0]"),
            "star",
        ),
        (
            with("dns:x", "spiffe://e/*/a"),
            Some(3),
            Some("rules[0].identities[0]"),
            "star",
        ),
        (
            with("dns:x", "spiffe://e/*/*"),
            Some(3),
            Some("rules[0].identities[0]"),
            "star",
        ),
        (
            with("dns:x", "spiffe://e//*"),
            Some(3),
            Some("rules[0].identities[0]"),
            "empty segment",
        ),
        (
            with("dns:x", "x509:a"),
            Some(3),
            Some("rules[0].identities[0]"),
            "not an identity",
        ),
        (
            with("[\"k\"]", "[]"),
            Some(2),
            Some("rules[0].keys"),
            "empty",
        ),
        (
            with("[\"k\"]", "[\"ok\", \"k/1\"]"),
            Some(4),
            Some("rules[0].keys[1]"),
            "not a key name",
        ),
        (
            with("\"k\"", "\"*k\""),
            Some(4),
            Some("rules[0].keys[0]"),
            "star",
        ),
        (
            with("\"k\"", "\"k**\""),
            Some(4),
            Some("rules[0].keys[0]"),
            "star",
        ),
        (
            with("\"k\"", "\"\""),
            Some(4),
            Some("rules[0].keys[0]"),
            "not a key name",
        ),
        (
            with("keys = [\"k\"]\n", ""),
            Some(2),
            Some("rules[0].keys"),
            "operation sign needs",
        ),
        (
            with("[\"sign\"]", "[]"),
            Some(2),
            Some("rules[0].operations"),
            "empty",
        ),
        (
            with("\"sign\"", "\"Sign\""),
            Some(5),
            Some("rules[0].operations[0]"),
            "unknown operation",
        ),
        (
            with("\"sign\"", "\"*\""),
            Some(5),
            Some("rules[0].operations[0]"),
            "unknown operation",
        ),
        (
            with("\"sign\"", "\"get\""),
            Some(2),
            Some("rules[0].algorithms"),
            "leave the list out",
        ),
        (
            with("\"sign\"", "\"generate_random\""),
            Some(2),
            Some("rules[0].keys"),
            "leave the list out",
        ),
        (
            with("[\"RS256\"]", "[]"),
            Some(2),
            Some("rules[0].algorithms"),
            "empty",
        ),
        (
            with("\"RS256\"", "\"none\""),
            Some(6),
            Some("rules[0].algorithms[0]"),
            "unknown algorithm",
        ),
        (
            with("\"RS256\"", "\"rs256\""),
            Some(6),
            Some("rules[0].algorithms[0]"),
            "unknown algorithm",
        ),
        (
            with("\"RS256\"", "\"*\", \"RS256\""),
            Some(2),
            Some("rules[0].algorithms"),
            "alone",
        ),
        (
            with("algorithms = [\"RS256\"]", ""),
            Some(2),
            Some("rules[0].algorithms"),
            "operation sign needs",
        ),
        (
            with("algorithms = [\"RS256\"]", "").replace("sign", "encrypt"),
            Some(2),
            Some("rules[0].algorithms"),
            "operation encrypt needs",
        ),
    ] {
        let error = Policy::parse(&text).expect_err(&text);
        assert_eq!(error.line(), line, "{text}\n{error}");
        assert_eq!(error.key(), place, "{text}\n{error}");
        assert!(error.to_string().contains(says), "{text}\n{error}");
    }
    let error = Policy::parse(&with("\"k\"", "\"*k\"")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 4: rules[0].keys[0]: \"*k\" is not a key pattern: a star stands at the end and nowhere else"
    );
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

/// A rule as text only, and a reading of it that shares nothing with the compiled one.
#[derive(Clone, Debug)]
struct Written {
    identities: Vec<&'static str>,
    keys: Vec<&'static str>,
    operations: Vec<&'static str>,
    algorithms: Vec<&'static str>,
}

impl Written {
    fn toml(&self, index: usize) -> String {
        format!(
            "[[rules]]\nname = \"rule-{index}\"\nidentities = {:?}\nkeys = {:?}\noperations = {:?}\nalgorithms = {:?}\n",
            self.identities, self.keys, self.operations, self.algorithms
        )
    }

    fn allows(&self, identity: &str, key: &str, operation: &str, algorithm: &str) -> bool {
        let identity_segments: Vec<_> = identity.split('/').collect();
        let by_identity = self.identities.iter().any(|pattern| {
            let segments: Vec<_> = pattern.split('/').collect();
            match segments.split_last() {
                Some((&"*", above)) => {
                    identity_segments.len() > above.len()
                        && identity_segments[..above.len()] == *above
                }
                _ => segments == identity_segments,
            }
        });
        let by_key = self.keys.iter().any(|pattern| {
            let mut rest = key.chars();
            for wanted in pattern.chars() {
                if wanted == '*' {
                    return true;
                }
                if rest.next() != Some(wanted) {
                    return false;
                }
            }
            rest.next().is_none()
        });
        let by_algorithm = self
            .algorithms
            .iter()
            .any(|one| *one == "*" || *one == algorithm);
        by_identity && by_key && self.operations.contains(&operation) && by_algorithm
    }
}

const IDENTITY_PATTERNS: [&str; 8] = [
    "spiffe://a/x",
    "spiffe://a/*",
    "spiffe://a/x/*",
    "spiffe://a/x/y",
    "spiffe://a.b/x",
    "spiffe://a.b/*",
    "dns:a",
    "dns:a.x",
];
const IDENTITIES: [&str; 8] = [
    "spiffe://a/x",
    "spiffe://a/x/y",
    "spiffe://a/x/y/z",
    "spiffe://a/xy",
    "spiffe://a.b/x",
    "spiffe://ab/x",
    "dns:a",
    "dns:a.x",
];
const KEY_PATTERNS: [&str; 6] = ["k", "k*", "k-1", "k-*", "*", "other"];
const KEYS: [&str; 6] = ["k", "k1", "k-1", "k-12", "other", "K"];
const USES: [&str; 5] = [
    "sign",
    "verify",
    "encrypt",
    "decrypt",
    "request_certificate",
];
const ALGORITHMS: [&str; 4] = ["RS256", "ES256", "RSA-OAEP-256", "dir"];

fn some_of(list: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(select(list), 1..=3)
}

fn written() -> impl Strategy<Value = Written> {
    let algorithms = prop_oneof![some_of(&ALGORITHMS), Just(vec!["*"])];
    (
        some_of(&IDENTITY_PATTERNS),
        some_of(&KEY_PATTERNS),
        some_of(&USES),
        algorithms,
    )
        .prop_map(|(identities, keys, operations, algorithms)| Written {
            identities,
            keys,
            operations,
            algorithms,
        })
}

static WHO: LazyLock<Vec<Arc<Identity>>> =
    LazyLock::new(|| IDENTITIES.iter().map(|name| who(name)).collect());

/// Of each random policy, every question: 8 x 6 x 5 x 4 = 960 of them.
#[test]
fn verdicts_are_those_of_a_second_reading() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(128));
    let rules = proptest::collection::vec(written(), 1..=4);
    let outcome = runner.run(&rules, |rules| {
        let text: String = (0..).zip(&rules).map(|(at, rule)| rule.toml(at)).collect();
        let policy = Policy::parse(&text).unwrap();
        for identity in WHO.iter() {
            for label in KEYS {
                for operation in USES {
                    for algorithm in ALGORITHMS {
                        let expected = rules
                            .iter()
                            .position(|rule| {
                                rule.allows(identity.name().as_str(), label, operation, algorithm)
                            })
                            .map(|index| format!("rule-{index}"));
                        let (operation, algorithm) =
                            (operation.parse().unwrap(), algorithm.parse().unwrap());
                        let version = key(label);
                        let rule = ask(&policy, identity, &version, operation, algorithm).ok();
                        prop_assert_eq!(&rule, &expected);
                        let explained = policy.explain(
                            identity.name(),
                            Some(&version.key),
                            operation,
                            Some(algorithm),
                            None,
                        );
                        prop_assert_eq!(explained.rule, expected);
                    }
                }
            }
        }
        Ok(())
    });
    outcome.unwrap();
}
