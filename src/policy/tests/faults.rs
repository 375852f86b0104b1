//! Every fault of a policy file: told with its line, its key, and what was expected.

use super::*;

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
