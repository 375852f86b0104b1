//! What is under approval, of whom; what of a new policy counts as wider; which approvals can't be meant.

use super::*;

const APPROVALS: &str = r#"
[[roles]]
name = "officers"
identities = ["spiffe://example.org/one", "spiffe://example.org/two"]

[[rules]]
name = "custody"
identities = ["spiffe://example.org/custody"]
keys = ["*"]
operations = ["create", "import", "destroy"]
algorithms = ["*"]

[[approvals]]
name = "payments"
acts = ["destroy_key_version"]
keys = ["pay-*"]
approvers = ["officers", "spiffe://example.org/three"]
required = 3
expires_after_seconds = 60

[[approvals]]
name = "everything"
acts = ["destroy_key_version", "import_key", "widen_policy"]
approvers = ["officers"]
required = 2
expires_after_seconds = 3600
"#;

fn parsed(text: &str) -> Policy {
    Policy::parse(text).unwrap()
}

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn fault(from: &str, to: &str) -> String {
    let text = APPROVALS.replacen(from, to, 1);
    assert_ne!(text, APPROVALS, "{from}");
    Policy::parse(&text).unwrap_err().to_string()
}

#[test]
fn the_first_approval_that_names_act_and_key_is_the_one() {
    let policy = parsed(APPROVALS);
    let of = |act, key: Option<&str>| {
        let key = key.map(name);
        let approval = policy.approval(act, key.as_ref())?;
        Some((approval.name().to_owned(), approval.required()))
    };
    let found = |name: &str, required| Some((name.to_owned(), required));
    let destroy = DangerousAct::DestroyKeyVersion;
    assert_eq!(of(destroy, Some("pay-1")), found("payments", 3));
    assert_eq!(of(destroy, Some("web")), found("everything", 2));
    assert_eq!(
        of(DangerousAct::ImportKey, Some("pay-1")),
        found("everything", 2)
    );
    assert_eq!(of(DangerousAct::CreateCriticalKey, Some("pay-1")), None);
    assert_eq!(of(DangerousAct::WidenPolicy, None), found("everything", 2));
    assert_eq!(of(destroy, None), None);
}

#[test]
fn approvers_approve_what_is_theirs_and_nothing_else() {
    let policy = parsed(APPROVALS);
    let three = "spiffe://example.org/three";
    let may = |identity: &str, act, key: Option<&str>| {
        let key = key.map(name);
        let verdict = policy.authorize_approve(&who(identity), act, key.as_ref());
        let is_permitted = verdict.is_ok();
        if let Ok(permit) = verdict {
            assert_eq!(permit.operation(), act.approved_by());
        }
        let name = identity.parse().unwrap();
        assert_eq!(policy.may_approve(&name, act, key.as_ref()), is_permitted);
        is_permitted
    };
    let destroy = DangerousAct::DestroyKeyVersion;
    assert!(may(three, destroy, Some("pay-1")));
    assert!(!may(three, destroy, Some("web")));
    assert!(!may(three, DangerousAct::ImportKey, Some("pay-1")));
    assert!(may(
        "spiffe://example.org/one",
        DangerousAct::WidenPolicy,
        None
    ));
    assert!(!may("spiffe://example.org/custody", destroy, Some("pay-1")));
    // What is not under approval, nobody approves.
    let critical = DangerousAct::CreateCriticalKey;
    assert!(!may("spiffe://example.org/one", critical, Some("pay-1")));
}

#[test]
fn explanations_tables_and_duties_know_of_approvers() {
    let policy = parsed(APPROVALS);
    let three = "spiffe://example.org/three".parse().unwrap();
    let explain = |key: &str| {
        let key = name(key);
        policy.explain(&three, Some(&key), Operation::Approve, None, None)
    };
    assert_eq!(explain("pay-1").rule.as_deref(), Some("payments"));
    assert!(!explain("web").allowed);
    let rows = policy.table();
    let approves = rows
        .iter()
        .filter(|row| row.operation == Operation::ApprovePolicy);
    assert_eq!(approves.count(), 2);
    // One who looks after keys and approves what is done to them has two duties.
    let both = APPROVALS.replace("spiffe://example.org/three", "spiffe://example.org/custody");
    let conflicts = parsed(&both).duty_conflicts();
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    assert!(
        conflicts[0].to_string().contains("approval by payments"),
        "{}",
        conflicts[0]
    );
    let separate = Policy::parse(&format!("separate_duties = true\n{both}"));
    assert!(separate.is_err());
    parsed(&format!("separate_duties = true\n{APPROVALS}"));
}

#[test]
fn what_is_wider_is_found_and_what_is_not_is_not() {
    let policy = parsed(APPROVALS);
    let wider = |from: &str, to: &str| {
        let text = APPROVALS.replacen(from, to, 1);
        assert_ne!(text, APPROVALS, "{from}");
        policy.widenings_to(&parsed(&text))
    };
    for (from, to, said) in [
        (r#"["create""#, r#"["get", "create""#, "gains get"),
        (
            r#"org/custody"]"#,
            r#"org/custody", "spiffe://example.org/x"]"#,
            "spiffe://example.org/x gains create",
        ),
        // Whoever may approve more, and whatever needs it less.
        (
            r#"org/two"]"#,
            r#"org/two", "spiffe://example.org/x"]"#,
            "gains approve",
        ),
        ("required = 3", "required = 2", "[[approvals]]"),
        ("= 3600", "= 7200", "[[approvals]]"),
        (r#"["pay-*"]"#, r#"["pay-1"]"#, "[[approvals]]"),
        (r#", "widen_policy"]"#, "]", "[[approvals]]"),
    ] {
        let wider = wider(from, to);
        assert!(
            wider.iter().any(|line| line.contains(said)),
            "{to}: {wider:?}"
        );
    }
    for (from, to) in [
        (r#""import", "destroy"]"#, r#""import"]"#),
        (r#"algorithms = ["*"]"#, r#"algorithms = ["ES256"]"#),
        (r#"name = "custody""#, r#"name = "custodians""#),
        ("[[rules]]", "# A remark.\n[[rules]]"),
    ] {
        assert_eq!(wider(from, to), Vec::<String>::new(), "{to}");
    }
    let separate = parsed(&format!("separate_duties = true\n{APPROVALS}"));
    assert_eq!(separate.widenings_to(&policy).len(), 1);
    assert_eq!(policy.widenings_to(&separate).len(), 0);
    let quota = "[[quotas]]\nname = \"all\"\nidentities = [\"spiffe://example.org/custody\"]\nper_day = 10\n";
    let with_quota = parsed(&format!("{APPROVALS}\n{quota}"));
    assert_eq!(policy.widenings_to(&with_quota), Vec::<String>::new());
    assert_eq!(
        with_quota.widenings_to(&policy),
        ["quota all is wider, or gone"]
    );
}

#[test]
fn approvals_that_can_not_be_meant_are_refused() {
    for (from, to, said) in [
        (
            "required = 3",
            "required = 0",
            "approvals[0].required: expected 1 to 16",
        ),
        (
            "required = 3",
            "required = 4",
            "approvals[0].required: 4 are required, and the approvers are 3",
        ),
        (
            "= 60\n",
            "= 0\n",
            "approvals[0].expires_after_seconds: expected 1 to",
        ),
        (
            r#"["officers", "#,
            r#"["nobody", "#,
            "approvals[0].approvers: there is no role \"nobody\"",
        ),
        (
            r#"["officers", "spiffe://example.org/three"]"#,
            "[]",
            "approvals[0].approvers: the list is empty",
        ),
        (
            r#"acts = ["destroy_key_version"]"#,
            "acts = []",
            "approvals[0].acts: the list is empty",
        ),
        (
            r#"acts = ["destroy_key_version"]"#,
            r#"acts = ["widen_policy"]"#,
            "approvals[0].keys: no act",
        ),
        (
            r#"acts = ["destroy_key_version"]"#,
            r#"acts = ["sign"]"#,
            "unknown variant `sign`",
        ),
        (
            r#"name = "everything""#,
            r#"name = "payments""#,
            "approvals[1].name: a rule or an approval named \"payments\"",
        ),
        (
            r#"name = "everything""#,
            r#"name = "custody""#,
            "approvals[1].name: a rule or an approval",
        ),
        (
            r#""import", "destroy"]"#,
            r#""approve"]"#,
            "rules[0].operations: approve is no operation of a rule",
        ),
        // Of two approvers one is the only author.
        (
            r#"identities = ["spiffe://example.org/custody"]"#,
            r#"identities = ["spiffe://example.org/one"]"#,
            "approvals[0].required: the only ones who may do destroy are approvers",
        ),
    ] {
        let fault = fault(from, to);
        assert!(fault.contains(said), "{to}: {fault}");
    }
}
