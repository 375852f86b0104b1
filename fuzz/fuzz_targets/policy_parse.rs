//! Any text as a policy file; one that is taken answers every question alike, explained or asked.
#![no_main]

use chancery::{
    algorithm::Algorithm,
    policy::{Need, Operation, Policy},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(policy) = Policy::parse(text) else {
        return;
    };
    assert!(policy.len() > 0);
    let identity = "spiffe://example.org/payouts".parse().expect("a name");
    let key = "payouts".parse().expect("a name");
    for operation in Operation::ALL {
        let needs = operation.needs();
        for algorithm in Algorithm::ALL {
            let explained = policy.explain(
                &identity,
                (needs.key != Need::Never).then_some(&key),
                operation,
                (needs.algorithm != Need::Never).then_some(algorithm),
                None,
            );
            assert_eq!(explained.allowed, explained.rule.is_some());
            assert_eq!(
                explained.allowed,
                explained.rules.iter().any(|rule| rule.allows)
            );
        }
    }
});
