//! Random policies and every question to each: the verdicts are those of a second, slow reading of the rules.

use std::sync::LazyLock;

use proptest::{prelude::*, sample::select};

use super::*;

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
