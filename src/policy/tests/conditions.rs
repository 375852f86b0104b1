//! Limits on content, times, duties, findings and differences, by hand.

use crate::policy::*;

const ES256: Algorithm = Algorithm::Ecdsa(crate::algorithm::Curve::P256);
/// 2026-11-20T12:00:00Z, by `date`.
const NOW: UnixMilliseconds = UnixMilliseconds(1_795_176_000_000);
const NOW_SECONDS: u64 = NOW.0 / 1000;

/// One rule for `dns:x` to sign with `k`, and more of it.
fn rule(name: &str, more: &str) -> String {
    format!(
        "[[rules]]\nname = \"{name}\"\nidentities = [\"dns:x\"]\nkeys = [\"k\"]\noperations = [\"sign\"]\nalgorithms = [\"ES256\"]\n{more}\n"
    )
}

fn permit(text: &str) -> Permit<Signing> {
    let who = Arc::new(Identity::for_test("dns:x"));
    let policy = Policy::parse(text).unwrap();
    policy
        .authorize_sign(&who, &"k".parse().unwrap(), ES256, NOW)
        .unwrap()
}

/// The rule that allowed it, or the code that the caller gets.
fn outcome(verdict: Result<Permit, Denied>) -> Result<String, &'static str> {
    match verdict {
        Ok(permit) => Ok(permit.rule().to_owned()),
        Err(denied) => Err(denied.limit().expect("limits alone").code()),
    }
}

fn jwt(limits: &str, payload: &str) -> Result<String, &'static str> {
    let text = rule("a", &format!("[rules.jwt]\n{limits}"));
    outcome(permit(&text).for_jws(payload.as_bytes(), true))
}

#[test]
fn sizes_are_bounded_and_digests_show_none() {
    let text = rule("a", "max_bytes = 4");
    let a = Ok("a".to_owned());
    assert_eq!(outcome(permit(&text).for_message(b"1234")), a);
    assert_eq!(
        outcome(permit(&text).for_message(b"12345")),
        Err("POLICY_LIMIT_SIZE")
    );
    assert_eq!(
        outcome(permit(&text).for_digest()),
        Err("POLICY_LIMIT_MESSAGE")
    );
    assert_eq!(
        outcome(permit(&text).for_jws(b"12345", true)),
        Err("POLICY_LIMIT_SIZE")
    );
    let (_permit, limit) = permit(&text).for_stream().unwrap();
    assert!(limit.check(4).is_ok());
    assert_eq!(limit.check(5).unwrap_err().reason(), Reason::LimitSize);
}

#[test]
fn digests_alone() {
    let text = rule("a", "digest_only = true");
    assert_eq!(outcome(permit(&text).for_digest()), Ok("a".to_owned()));
    assert_eq!(
        outcome(permit(&text).for_message(b"")),
        Err("POLICY_LIMIT_DIGEST")
    );
    assert_eq!(
        outcome(permit(&text).for_jws(b"{}", true)),
        Err("POLICY_LIMIT_DIGEST")
    );
    assert_eq!(
        permit(&text).for_stream().unwrap_err().reason(),
        Reason::LimitDigest
    );
}

/// Two rules never add up: one must allow all of it. The first that does is the one of the log.
#[test]
fn one_rule_allows_all_of_it() {
    let text = rule("small", "max_bytes = 4")
        + &rule("digest", "digest_only = true")
        + &rule("large", "max_bytes = 9");
    assert_eq!(
        outcome(permit(&text).for_message(b"1234")),
        Ok("small".to_owned())
    );
    assert_eq!(
        outcome(permit(&text).for_message(b"12345")),
        Ok("large".to_owned())
    );
    assert_eq!(outcome(permit(&text).for_digest()), Ok("digest".to_owned()));
    assert_eq!(
        outcome(permit(&text).for_message(b"1234567890")),
        Err("POLICY_LIMIT_SIZE")
    );
    let (permit_of_stream, limit) = permit(&text).for_stream().unwrap();
    assert_eq!(permit_of_stream.rule(), "large");
    assert!(limit.check(9).is_ok() && limit.check(10).is_err());
    let free = text + &rule("free", "");
    assert_eq!(
        outcome(permit(&free).for_message(b"1234567890")),
        Ok("free".to_owned())
    );
    let (permit_of_stream, limit) = permit(&free).for_stream().unwrap();
    assert_eq!(permit_of_stream.rule(), "free");
    assert!(limit.check(u64::MAX).is_ok());
}

/// Where JWTs alone are signed, bytes are not: they could be the signing input of any JWT.
#[test]
fn a_jwt_is_signed_as_one_or_not_at_all() {
    let text = rule("a", "[rules.jwt]");
    assert_eq!(
        outcome(permit(&text).for_jws(b"{}", true)),
        Ok("a".to_owned())
    );
    assert_eq!(
        outcome(permit(&text).for_jws(b"{}", false)),
        Err("POLICY_LIMIT_JWT")
    );
    assert_eq!(
        outcome(permit(&text).for_message(b"e30.e30")),
        Err("POLICY_LIMIT_JWT")
    );
    assert_eq!(
        outcome(permit(&text).for_digest()),
        Err("POLICY_LIMIT_MESSAGE")
    );
    assert!(permit(&text).for_stream().is_err());
    for payload in ["", "[]", "null", "{}{}", "{\"iss\":\"a\",\"iss\":\"b\"}"] {
        assert_eq!(jwt("", payload), Err("POLICY_LIMIT_JWT"), "{payload}");
    }
}

#[test]
fn claims_are_what_the_rule_says() {
    let limits = "require = { iss = [\"pay\", \"pay2\"], aud = [\"bank\", \"shop\"], v = [1, true], sub = [\"*\"] }\nforbid = [\"admin\"]";
    let good = r#"{"iss":"pay","aud":["bank","shop"],"v":1,"sub":{"any":[]}}"#;
    assert!(jwt(limits, good).is_ok());
    for (from, to) in [
        ("\"pay\"", "\"payx\""),
        ("\"pay\"", "null"),
        ("\"pay\"", "[[\"pay\"]]"),
        ("\"iss\"", "\"ISS\""),
        ("[\"bank\",\"shop\"]", "[]"),
        ("[\"bank\",\"shop\"]", "[\"bank\",\"else\"]"),
        ("[\"bank\",\"shop\"]", "\"bank shop\""),
        ("\"v\":1", "\"v\":\"1\""),
        ("\"v\":1", "\"v\":false"),
        ("\"sub\"", "\"xsub\""),
        ("{\"iss\"", "{\"admin\":null,\"iss\""),
        ("{\"iss\"", "{\"\\u0061dmin\":false,\"iss\""),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert_eq!(jwt(limits, &bad), Err("POLICY_LIMIT_CLAIM"), "{bad}");
    }
    assert!(jwt(limits, &good.replace("[\"bank\",\"shop\"]", "\"shop\"")).is_ok());
    assert!(jwt(limits, &good.replace("\"v\":1", "\"v\":true")).is_ok());
}

#[test]
fn a_lifetime_is_bounded_by_our_clock_and_by_iat() {
    let of = |claims: String| jwt("max_lifetime_seconds = 900", &claims);
    let too_long = Err("POLICY_LIMIT_LIFETIME");
    let n = NOW_SECONDS;
    assert!(of(format!("{{\"exp\":{}}}", n + 900)).is_ok());
    assert!(of(format!("{{\"exp\":{}.5,\"iat\":{n}}}", n + 899)).is_ok());
    // A clock that is ahead of ours by a minute, and no more.
    assert!(of(format!("{{\"iat\":{},\"exp\":{}}}", n + 60, n + 960)).is_ok());
    assert_eq!(
        of(format!("{{\"iat\":{},\"exp\":{}}}", n + 61, n + 961)),
        too_long
    );
    assert_eq!(of(format!("{{\"iat\":{n},\"exp\":{}}}", n + 901)), too_long);
    for claims in [
        "{}".to_owned(),
        format!("{{\"exp\":\"{n}\"}}"),
        "{\"exp\":null}".to_owned(),
        "{\"exp\":1e300}".to_owned(),
        format!("{{\"exp\":{n},\"iat\":\"x\"}}"),
        format!("{{\"exp\":{n},\"iat\":-1e300}}"),
    ] {
        assert_eq!(of(claims.clone()), too_long, "{claims}");
    }
}

/// The caller learns that he may not; the log and `explain` that it was the hour.
#[test]
fn outside_of_its_time_a_rule_allows_nothing() {
    let text = rule("office", "hours = \"08:00-12:00\"\ndays = [\"fri\"]");
    let policy = Policy::parse(&text).unwrap();
    let who = Arc::new(Identity::for_test("dns:x"));
    let key: KeyVersion = "k".parse().unwrap();
    let denied = policy.authorize_sign(&who, &key, ES256, NOW).unwrap_err();
    assert_eq!((denied.reason(), denied.limit()), (Reason::Time, None));
    let before = UnixMilliseconds(NOW.0 - 1);
    assert!(policy.authorize_sign(&who, &key, ES256, before).is_ok());
    let explained = policy.explain(
        who.name(),
        Some(&key.key),
        Operation::Sign,
        Some(ES256),
        Some(NOW),
    );
    assert_eq!(
        explained.to_string(),
        "denied: rules name all of this, but not at this time\n  RULE    IDENTITY  KEY  OPERATION  ALGORITHM  TIME\n  office  yes       yes  yes        yes        no\n  office holds fri 08:00-12:00 UTC\n"
    );
}

#[test]
fn duties_in_one_hand_are_found_also_where_patterns_overlap() {
    let text = r#"
[[roles]]
name = "idle"
identities = ["dns:y"]
[[rules]]
name = "all-use"
identities = ["spiffe://e/*"]
keys = ["*"]
operations = ["verify"]
algorithms = ["*"]
[[rules]]
name = "one-makes"
identities = ["spiffe://e/ops/a"]
keys = ["*"]
operations = ["create", "get"]
algorithms = ["*"]
[[rules]]
name = "again"
identities = ["spiffe://e/x"]
keys = ["k", "new-*"]
operations = ["verify"]
algorithms = ["ES256"]
not_after = "2020-01-01T00:00:00Z"
[[rules]]
name = "lost"
identities = ["dns:z"]
keys = ["k", "new-*"]
operations = ["verify", "decrypt"]
algorithms = ["ES256"]
"#;
    let policy = Policy::parse(text).unwrap();
    let conflicts = policy.duty_conflicts();
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    assert_eq!(conflicts[0].identity, "spiffe://e/ops/a");
    let surroundings = Surroundings {
        now: NOW,
        keys: Some(["k".parse().unwrap()].into()),
        partners: None,
    };
    let told: Vec<_> = policy
        .findings(&surroundings)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "spiffe://e/ops/a holds duties that are kept apart: use of keys by all-use, and key administration by one-makes",
            "no rule names the role \"idle\"",
            "rule again: it decides nothing: all-use allows all of it",
            "rule again: its time is over: until 2020-01-01T00:00:00Z",
            "rule again: there is no key new-*; with it, the rule allows nothing",
            "rule lost: none of its algorithms is one to decrypt with",
            "rule lost: there is no key new-*; with it, the rule allows nothing",
        ]
    );
    let strict = format!("separate_duties = true\n{text}");
    assert_eq!(
        Policy::parse(&strict).unwrap_err().key(),
        Some("separate_duties")
    );
    assert!(Policy::parse(&format!("separate_duties = false\n{text}")).is_ok());
}

#[test]
fn a_difference_is_in_what_is_allowed_not_in_the_text() {
    let before = Policy::parse(&rule("a", "")).unwrap();
    let same = "[[roles]]\nname = \"r\"\nidentities = [\"dns:x\"]\n".to_owned()
        + &rule("renamed", "").replace("identities = [\"dns:x\"]", "roles = [\"r\"]");
    assert!(before.changes_to(&Policy::parse(&same).unwrap()).is_empty());
    let kinds = |more: &str| {
        let after = Policy::parse(&rule("a", more)).unwrap();
        let there = before.changes_to(&after);
        let back = after.changes_to(&before);
        (there[0].kind, back[0].kind, there[0].after.clone())
    };
    let condition = "at most 4 bytes".to_owned();
    assert_eq!(
        kinds("max_bytes = 4"),
        (ChangeKind::Narrows, ChangeKind::Widens, vec![condition])
    );
    let wider = Policy::parse(&rule("a", "").replace("[\"k\"]", "[\"k\", \"l\"]")).unwrap();
    let changes = before.changes_to(&wider);
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].kind, &*changes[0].on, &changes[0].with),
        (ChangeKind::Gains, "key l", &vec!["ES256".to_owned()])
    );
    assert_eq!(wider.changes_to(&before)[0].kind, ChangeKind::Loses);
    let rows = wider.table();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&*rows[0].identity, &*rows[0].on, rows[0].operation),
        ("dns:x", "key k", Operation::Sign)
    );
}
