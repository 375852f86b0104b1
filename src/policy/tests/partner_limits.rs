//! Limits on what is signed for partners: the size holds, and a rule with a limit that can't be looked at allows nothing.

use crate::{algorithm::Hash, partner::PartnerName, policy::*, scheme::SchemeName};

const RS256: Algorithm = Algorithm::RsaPkcs1(Hash::Sha256);
const NOW: UnixMilliseconds = UnixMilliseconds(1_795_176_000_000);

/// A rule for `dns:x` to sign with `k`, and what else is said of it.
fn rule(name: &str, operations: &str, limits: &str) -> String {
    format!(
        "[[rules]]\nname = \"{name}\"\nidentities = [\"dns:x\"]\nkeys = [\"k\"]\nalgorithms = [\"RS256\"]\n\
         partners = [\"upay\"]\noperations = {operations}\n{limits}\n"
    )
}

fn who() -> Arc<Identity> {
    Arc::new(Identity::for_test("dns:x"))
}

fn upay() -> PartnerName {
    "upay".parse().unwrap()
}

fn scheme() -> SchemeName {
    "upay".parse().unwrap()
}

fn ask(text: &str, operation: Operation) -> Result<Permit<Partnership>, Denied> {
    let policy = Policy::parse(text).unwrap();
    policy.authorize_partner(&who(), &upay(), &scheme(), operation, NOW)
}

/// Signs a body of so many bytes, of which the scheme makes so many: the rule that allowed it, or the caller's code.
fn signed(text: &str, operation: Operation, body: u64, made: u64) -> Result<String, &'static str> {
    let code = |denied: Denied| denied.limit().expect("the content alone").code();
    let permit = ask(text, operation).expect("a rule for it");
    let permit = permit.for_body(body).map_err(code)?;
    let used = KeyUse::Sign(made);
    let used = permit.for_key(&"k/1".parse().unwrap(), used, RS256);
    Ok(used.map_err(code)?.rule().to_owned())
}

const SIGNING: [Operation; 3] = [
    Operation::SignRequest,
    Operation::SignResponse,
    Operation::IssueAccessToken,
];

#[test]
fn the_size_holds_for_the_body_and_for_what_is_made_of_it() {
    let all = r#"["sign", "sign_request", "sign_response", "issue_access_token"]"#;
    let text = rule("a", all, "max_bytes = 4");
    for operation in SIGNING {
        assert_eq!(signed(&text, operation, 4, 4), Ok("a".to_owned()));
        assert_eq!(signed(&text, operation, 5, 4), Err("POLICY_LIMIT_SIZE"));
        assert_eq!(signed(&text, operation, 4, 5), Err("POLICY_LIMIT_SIZE"));
    }
    // Without limits there is none, and a rule for partners alone may have one.
    let text = rule("a", all, "");
    assert!(signed(&text, Operation::SignRequest, u64::MAX, u64::MAX).is_ok());
    let text = "[[rules]]\nname = \"p\"\nidentities = [\"dns:x\"]\npartners = [\"upay\"]\noperations = [\"OP\"]\nmax_bytes = 1\n";
    for operation in Operation::ALL {
        let read = Policy::parse(&text.replace("OP", operation.name()));
        assert_eq!(read.is_ok(), SIGNING.contains(&operation), "{operation}");
    }
}

#[test]
fn one_rule_must_let_all_of_it_be_signed() {
    // The body is within both, the text within the second alone: that is the one in the log.
    let both = r#"["sign_request"]"#;
    let text = rule("small", both, "max_bytes = 4")
        .replace("keys = [\"k\"]\nalgorithms = [\"RS256\"]\n", "")
        + &rule("large", r#"["sign", "sign_request"]"#, "max_bytes = 9");
    let sign = |body, made| signed(&text, Operation::SignRequest, body, made);
    assert_eq!(sign(4, 4), Ok("small".to_owned()));
    assert_eq!(sign(4, 9), Ok("large".to_owned()));
    assert_eq!(sign(5, 4), Ok("large".to_owned()));
    assert_eq!(sign(9, 10), Err("POLICY_LIMIT_SIZE"));
    let permit = ask(&text, Operation::SignRequest).unwrap();
    assert_eq!(permit.for_body(5).unwrap().rule(), "large");
}

#[test]
fn a_limit_that_can_not_be_looked_at_allows_nothing() {
    let all = r#"["sign", "verify", "sign_request", "sign_response", "issue_access_token", "verify_callback", "encrypt_field", "explain_message"]"#;
    for (limits, reason) in [
        ("digest_only = true", Reason::LimitDigest),
        ("jwt.require.iss = [\"a\"]", Reason::LimitJwt),
        ("max_bytes = 9\njwt.forbid = [\"a\"]", Reason::LimitJwt),
    ] {
        let text = rule("a", all, limits);
        for operation in SIGNING {
            let denied = ask(&text, operation).unwrap_err();
            assert_eq!(denied.reason(), reason, "{limits}");
            // It is not for the caller: no content of his would do.
            assert!(denied.limit().is_none());
            let sight = Policy::parse(&text).unwrap();
            let sight = sight.authorize_sight(&who(), &upay(), operation, NOW);
            assert!(sight.is_err());
        }
        // What signs nothing is not concerned, nor is another rule.
        for operation in [
            Operation::VerifyCallback,
            Operation::EncryptField,
            Operation::ExplainMessage,
        ] {
            assert!(ask(&text, operation).is_ok(), "{operation}");
        }
        let more = text + &rule("b", r#"["sign", "sign_request"]"#, "max_bytes = 9");
        let signed = signed(&more, Operation::SignRequest, 9, 9);
        assert_eq!(signed, Ok("b".to_owned()));
    }
}

#[test]
fn it_is_said_wherever_a_policy_is_explained() {
    let both = r#"["sign", "sign_request"]"#;
    let text = rule("digests", both, "digest_only = true") + &rule("short", both, "max_bytes = 9");
    let policy = Policy::parse(&text).unwrap();
    let identity = who();
    let explain = |policy: &Policy| {
        policy.explain_partner(
            identity.name(),
            Some(&upay()),
            Some(&scheme()),
            Operation::SignRequest,
            Some(NOW),
        )
    };
    let explanation = explain(&policy);
    assert_eq!(explanation.rule.as_deref(), Some("short"));
    assert_eq!(explanation.limits.as_deref(), Some("at most 9 bytes"));
    let suit: Vec<_> = explanation
        .rules
        .iter()
        .map(|one| one.limits_suit)
        .collect();
    assert_eq!(suit, [Match::No, Match::Yes]);
    assert_eq!(
        explanation.to_string(),
        "allowed by rule short, for at most 9 bytes\n\
         \u{20} RULE     IDENTITY  PARTNER  OPERATION  SCHEME  LIMITS\n\
         \u{20} digests  yes       yes      yes        yes     no\n\
         * short    yes       yes      yes        yes     yes\n\
         \u{20} digests lets digests alone be signed, and never allows sign_request: what that signs a scheme makes\n"
    );
    let alone = Policy::parse(&rule("digests", both, "digest_only = true")).unwrap();
    let denied = explain(&alone);
    assert_eq!(
        (denied.allowed, denied.reason),
        (false, Some(Reason::LimitDigest))
    );

    let row = |policy: &Policy| {
        let rows = policy.table().into_iter();
        let mut rows = rows.filter(|row| row.operation == Operation::SignRequest);
        rows.next().map(|row| (row.conditions, row.rules))
    };
    assert_eq!(row(&alone), None);
    let short = (vec!["at most 9 bytes".to_owned()], vec!["short".to_owned()]);
    assert_eq!(row(&policy), Some(short));

    let surroundings = Surroundings {
        now: NOW,
        keys: None,
        partners: None,
    };
    let findings = policy.findings(&surroundings);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, FindingKind::LimitsDoNotSuit);
    assert!(
        findings[0]
            .to_string()
            .starts_with("rule digests: it never allows sign_request: ")
    );
}
