//! Rules about partners: what they allow, what they imply, and what of them is refused when the file is read.

use super::*;
use crate::{
    partner::PartnerName,
    policy::partnership::{InvalidPartnerPattern, PartnerPattern},
    scheme::SchemeName,
};

const PARTNERS: &str = r#"
[[rules]]
name = "checkout"
identities = ["spiffe://example.org/checkout"]
partners = ["upay", "snap-*"]
schemes = ["upay-request", "snap-service"]
operations = ["sign_request"]

[[rules]]
name = "hooks"
identities = ["spiffe://example.org/hooks/*"]
partners = ["*"]
operations = ["verify_callback", "explain_message"]

[[rules]]
name = "look"
identities = ["spiffe://example.org/pager"]
partners = ["upay"]
operations = ["get_partner"]
"#;

const CHECKOUT: &str = "spiffe://example.org/checkout";
const HOOKS: &str = "spiffe://example.org/hooks/eu";
const PAGER: &str = "spiffe://example.org/pager";

fn partner(name: &str) -> PartnerName {
    name.parse().unwrap()
}

fn follow(
    who_asks: &str,
    name: &str,
    scheme: &str,
    operation: Operation,
) -> Result<String, Reason> {
    let policy = Policy::parse(PARTNERS).unwrap();
    let scheme: SchemeName = scheme.parse().unwrap();
    let asked = policy.authorize_partner(&who(who_asks), &partner(name), &scheme, operation, NOW);
    asked
        .map(|permit| permit.rule().to_owned())
        .map_err(|denied| denied.reason())
}

fn see(who_asks: &str, name: &str, operation: Operation) -> Result<String, Reason> {
    let policy = Policy::parse(PARTNERS).unwrap();
    let asked = policy.authorize_sight(&who(who_asks), &partner(name), operation, NOW);
    asked
        .map(|permit| permit.rule().to_owned())
        .map_err(|denied| denied.reason())
}

#[test]
fn a_partner_a_scheme_and_an_operation_have_to_be_named_by_one_rule() {
    use Operation::{SignRequest, SignResponse, VerifyCallback};
    let by = |rule: &str| Ok(rule.to_owned());
    for (who, name, scheme, operation, expected) in [
        (
            CHECKOUT,
            "upay",
            "upay-request",
            SignRequest,
            by("checkout"),
        ),
        // The prefix is of the name, and the name before the star is not needed whole.
        (
            CHECKOUT,
            "snap-bca",
            "snap-service",
            SignRequest,
            by("checkout"),
        ),
        (
            CHECKOUT,
            "snap-",
            "snap-service",
            SignRequest,
            by("checkout"),
        ),
        (
            CHECKOUT,
            "snap",
            "snap-service",
            SignRequest,
            Err(Reason::Partner),
        ),
        (
            CHECKOUT,
            "upay2",
            "upay-request",
            SignRequest,
            Err(Reason::Partner),
        ),
        (
            CHECKOUT,
            "upay",
            "upay-webhook",
            SignRequest,
            Err(Reason::Scheme),
        ),
        (
            CHECKOUT,
            "upay",
            "upay-request",
            SignResponse,
            Err(Reason::Operation),
        ),
        (
            CHECKOUT,
            "upay",
            "upay-request",
            VerifyCallback,
            Err(Reason::Operation),
        ),
        // Without a list, every scheme.
        (HOOKS, "upay", "upay-webhook", VerifyCallback, by("hooks")),
        (HOOKS, "anybody", "of-any-name", VerifyCallback, by("hooks")),
        (
            HOOKS,
            "upay",
            "upay-request",
            SignRequest,
            Err(Reason::Operation),
        ),
        (
            PAGER,
            "upay",
            "upay-request",
            SignRequest,
            Err(Reason::Operation),
        ),
        (
            "spiffe://example.org/hooks",
            "upay",
            "upay-webhook",
            VerifyCallback,
            Err(Reason::Identity),
        ),
    ] {
        let told = format!("{who} {name} {scheme} {operation}");
        assert_eq!(follow(who, name, scheme, operation), expected, "{told}");
    }
}

#[test]
fn whoever_may_do_anything_with_a_partner_may_see_it_and_no_other() {
    let seen = |who, name| see(who, name, Operation::GetPartner);
    assert_eq!(seen(CHECKOUT, "upay"), Ok("checkout".to_owned()));
    assert_eq!(seen(CHECKOUT, "snap-bca"), Ok("checkout".to_owned()));
    assert_eq!(seen(CHECKOUT, "paykka"), Err(Reason::Partner));
    assert_eq!(seen(HOOKS, "paykka"), Ok("hooks".to_owned()));
    assert_eq!(seen(PAGER, "upay"), Ok("look".to_owned()));
    assert_eq!(
        seen("spiffe://example.org/other", "upay"),
        Err(Reason::Identity)
    );
    // Seeing is not doing.
    assert_eq!(
        see(PAGER, "upay", Operation::SignRequest),
        Err(Reason::Operation)
    );
    // Some scheme will do, whichever it turns out to be.
    assert_eq!(
        see(CHECKOUT, "upay", Operation::SignRequest),
        Ok("checkout".to_owned())
    );
}

#[test]
fn leave_for_partners_and_leave_for_keys_do_not_mix() {
    let policy = Policy::parse(PARTNERS).unwrap();
    let scheme = "upay-request".parse().unwrap();
    let with = |operation| {
        let asked =
            policy.authorize_partner(&who(CHECKOUT), &partner("upay"), &scheme, operation, NOW);
        asked.map(drop).map_err(|denied| denied.reason())
    };
    // Keys of a partner are keys: their own operations take rules about keys.
    for operation in [Operation::Sign, Operation::Get, Operation::GenerateRandom] {
        assert_eq!(with(operation), Err(Reason::Question), "{operation}");
    }
    // Nothing is done by a scheme where a partner is only looked at.
    assert_eq!(with(Operation::GetPartner), Err(Reason::Question));
    let named = key("upay-secret");
    for operation in [Operation::Sign, Operation::SignRequest] {
        let asked = policy.authorize(&who(CHECKOUT), &named, operation, RS256, NOW);
        assert!(asked.is_err(), "{operation}");
    }
    // What follows from leave for a scheme is for one key, operation and algorithm, and in the same rule's name.
    let permit = policy.authorize_partner(
        &who(CHECKOUT),
        &partner("upay"),
        &scheme,
        Operation::SignRequest,
        NOW,
    );
    let permit = permit.unwrap();
    assert_eq!(permit.partner(), &partner("upay"));
    assert_eq!(permit.scheme(), &scheme);
    let use_of_key = permit.for_key(&named, KeyUse::Sign(1), RS256).unwrap();
    assert_eq!(use_of_key.key(), &named);
    assert_eq!(use_of_key.operation(), Operation::Sign);
    assert_eq!(use_of_key.algorithm(), RS256);
    assert_eq!(use_of_key.rule(), "checkout");
}

#[test]
fn rules_about_partners_say_which_and_say_nothing_idle() {
    let rule = |lists: &str, operation: &str| {
        let text = format!(
            "[[rules]]\nname = \"r\"\nidentities = [\"spiffe://example.org/a\"]\n{lists}\noperations = [{operation:?}]\n"
        );
        Policy::parse(&text)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(rule("partners = [\"upay\"]", "sign_request"), Ok(()));
    for (lists, operation, expected) in [
        ("", "sign_request", "needs the list partners"),
        ("", "get_partner", "needs the list partners"),
        ("partners = []", "sign_request", "the list is empty"),
        (
            "partners = [\"upay\"]\nschemes = []",
            "sign_request",
            "the list is empty",
        ),
        (
            "partners = [\"upay\"]\nkeys = [\"k\"]\nalgorithms = [\"*\"]",
            "sign_request",
            "no operation of this rule concerns keys",
        ),
        (
            "partners = [\"upay\"]\nschemes = [\"upay-request\"]",
            "get_partner",
            "no operation of this rule concerns schemes",
        ),
        (
            "partners = [\"upay\"]",
            "generate_random",
            "no operation of this rule concerns partners",
        ),
        (
            "partners = [\"u*y\"]",
            "sign_request",
            "a star stands at the end",
        ),
        (
            "partners = [\"Upay\"]",
            "sign_request",
            "is not a partner's name",
        ),
        (
            "partners = [\"upay\"]\nschemes = [\"*\"]",
            "sign_request",
            "is not a scheme's name",
        ),
    ] {
        let told = rule(lists, operation).unwrap_err();
        assert!(told.contains(expected), "{lists} {operation}: {told}");
    }
}

#[test]
fn a_pattern_is_a_name_or_the_beginning_of_one() {
    for (text, matches, misses) in [
        ("upay", &["upay"][..], &["upay-2", "upa"][..]),
        ("upay*", &["upay", "upay-2"], &["upa", "my-upay"]),
        ("*", &["upay", "x"], &[]),
    ] {
        let pattern: PartnerPattern = text.parse().unwrap();
        assert_eq!(pattern.to_string(), text);
        for name in matches {
            assert!(pattern.matches(&partner(name)), "{text} {name}");
        }
        for name in misses {
            assert!(!pattern.matches(&partner(name)), "{text} {name}");
        }
    }
    for text in ["**", "*upay", "u*y*"] {
        let refused = text.parse::<PartnerPattern>();
        assert!(
            matches!(refused, Err(InvalidPartnerPattern::Star(_))),
            "{text}"
        );
    }
    for text in ["", "UPAY", "-upay", "a b*"] {
        let refused = text.parse::<PartnerPattern>();
        assert!(
            matches!(refused, Err(InvalidPartnerPattern::Name(_))),
            "{text}"
        );
    }
}
