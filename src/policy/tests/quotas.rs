//! Quotas in the file: what they bound, what is wrong with them, and how they are told and compared.

use super::*;

const RULES: &str = r#"
[[roles]]
name = "pay"
identities = ["spiffe://e/pay/*"]
[[rules]]
name = "signs"
roles = ["pay"]
keys = ["pay-*"]
operations = ["sign"]
algorithms = ["ES256"]
[[rules]]
name = "random"
identities = ["dns:r"]
operations = ["generate_random"]
"#;

fn with(quotas: &str) -> Result<Policy, PolicyError> {
    Policy::parse(&format!("{RULES}{quotas}"))
}

fn quota(name: &str, more: &str) -> String {
    format!("[[quotas]]\nname = \"{name}\"\nroles = [\"pay\"]\n{more}\n")
}

#[test]
fn a_quota_bounds_what_its_lists_name() {
    let text = quota("all", "per_day = 1")
        + &quota("keys", "keys = [\"pay-a\", \"pay-b*\"]\nper_day = 1")
        + &quota("random", "operations = [\"generate_random\"]\nper_day = 1");
    let policy = with(&text).unwrap();
    let bounding = |identity: &str, operation, key: Option<&str>| -> Vec<String> {
        let key: Option<KeyName> = key.map(|key| key.parse().unwrap());
        let identity = identity.parse().unwrap();
        let quotas = policy.quotas().iter();
        quotas
            .filter(|quota| quota.bounds(&identity, operation, key.as_ref()))
            .map(|quota| quota.name().to_string())
            .collect()
    };
    let (sign, random) = (Operation::Sign, Operation::GenerateRandom);
    assert_eq!(
        bounding("spiffe://e/pay/x", sign, Some("pay-a")),
        ["all", "keys"]
    );
    assert_eq!(
        bounding("spiffe://e/pay/x", sign, Some("pay-b9")),
        ["all", "keys"]
    );
    assert_eq!(bounding("spiffe://e/pay/x", sign, Some("pay-c")), ["all"]);
    assert_eq!(
        bounding("spiffe://e/pay/x", random, None),
        ["all", "random"]
    );
    assert!(bounding("spiffe://e/pay", sign, Some("pay-a")).is_empty());
    assert!(bounding("dns:r", random, None).is_empty());
}

#[test]
fn limits_are_read_exactly() {
    let read = |more: &str| {
        let policy = with(&quota("q", more)).map_err(|error| error.to_string())?;
        Ok::<_, String>(policy.quotas()[0].clone())
    };
    for (more, rate) in [
        ("per_second = 5", (5000, 5)),
        ("per_second = 0.25", (250, 1)),
        ("per_second = 2.5", (2500, 3)),
        ("per_second = 0.001\nburst = 7", (1, 7)),
        (
            "per_second = 1000000\nburst = 10000000",
            (1_000_000_000, 10_000_000),
        ),
    ] {
        let rate = Rate::new(rate.0, rate.1);
        assert_eq!(read(more).unwrap().rate(), Some(rate), "{more}");
    }
    let all = read("per_second = 2.5\nburst = 9\nper_day = 100\nconcurrent = 3").unwrap();
    assert_eq!(
        all.to_string(),
        "2.5 a second, 9 at once, 100 a day, 3 at the same time for each identity"
    );
    for wrong in [
        "per_second = 0",
        "per_second = -1",
        "per_second = 0.0001",
        "per_second = 1.0005",
        "per_second = nan",
        "per_second = inf",
        "per_second = 1000001",
        "per_second = 2\nburst = 1",
        "per_second = 2\nburst = 10000001",
        "burst = 1\nper_day = 1",
        "per_day = 0",
        "per_day = -1",
        "concurrent = 0",
        "concurrent = 4294967296",
        "keys = []\nper_day = 1",
        "operations = []\nper_day = 1",
        "operations = [\"encrypt_field\"]\nper_day = 1",
        "keys = [\"*\"]\noperations = [\"generate_random\"]\nper_day = 1",
        "per_hour = 1",
        "",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn explain_tells_of_the_quotas() {
    let policy = with(
        &(quota("keys", "keys = [\"pay-a\"]\nper_second = 1") + &quota("all", "concurrent = 2")),
    )
    .unwrap();
    let who = "spiffe://e/pay/x".parse().unwrap();
    let es256 = Algorithm::Ecdsa(Curve::P256);
    let explain = |key: &str| {
        let key = key.parse().unwrap();
        policy.explain(&who, Some(&key), Operation::Sign, Some(es256), None)
    };
    assert_eq!(
        explain("pay-a").quotas,
        [
            "keys: 1 a second, 1 at once for each identity and key",
            "all: 2 at the same time for each identity"
        ]
    );
    assert!(
        explain("pay-b")
            .to_string()
            .contains("\nwithin the quota all: 2 at the same time for each identity\n")
    );
    // What is denied is bounded by nothing.
    assert!(explain("other").quotas.is_empty());
}

#[test]
fn a_quota_that_no_rule_reaches_is_found() {
    let text = quota("good", "keys = [\"pay-a\"]\nper_day = 1")
        + &quota("keys", "keys = [\"other\"]\nper_day = 1")
        + &quota("operation", "operations = [\"decrypt\"]\nper_day = 1")
        + "[[quotas]]\nname = \"identity\"\nidentities = [\"dns:nobody\"]\nper_day = 1\n";
    let policy = with(&text).unwrap();
    let surroundings = Surroundings {
        now: UnixMilliseconds(0),
        keys: Some(["pay-z".parse().unwrap()].into()),
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
            "the quota good names a key that is not there: pay-a",
            "the quota keys bounds nothing: no rule allows what it is for",
            "the quota keys names a key that is not there: other",
            "the quota operation bounds nothing: no rule allows what it is for",
            "the quota identity bounds nothing: no rule allows what it is for",
        ]
    );
}

#[test]
fn raising_a_quota_widens() {
    use ChangeKind::{Changes, Narrows, Widens};
    let of = |more: &str| with(&quota("q", more)).unwrap();
    let none = with("").unwrap();
    let kinds = |before: &Policy, after: &Policy| -> Vec<ChangeKind> {
        assert!(before.changes_to(after).is_empty());
        let changes = before.quota_changes_to(after);
        changes.iter().map(|change| change.kind).collect()
    };
    let base = of("per_second = 5\nper_day = 100");
    for (after, there, back) in [
        ("per_second = 5\nper_day = 101", Widens, Narrows),
        ("per_second = 6\nper_day = 100", Widens, Narrows),
        ("per_second = 5\nburst = 9\nper_day = 100", Widens, Narrows),
        ("per_second = 5", Widens, Narrows),
        (
            "per_second = 5\nper_day = 100\nconcurrent = 1",
            Narrows,
            Widens,
        ),
        ("per_second = 6\nper_day = 99", Changes, Changes),
        (
            "keys = [\"*\"]\nper_second = 5\nper_day = 100",
            Changes,
            Changes,
        ),
    ] {
        let after = of(after);
        assert_eq!(kinds(&base, &after), [there]);
        assert_eq!(kinds(&after, &base), [back]);
    }
    assert_eq!(kinds(&base, &none), [Widens]);
    assert_eq!(kinds(&none, &base), [Narrows]);
    assert!(kinds(&base, &base).is_empty());
    // Another name is another count, and no other limit.
    let renamed = with(&quota("r", "per_second = 5\nper_day = 100")).unwrap();
    assert!(kinds(&base, &renamed).is_empty());
}
