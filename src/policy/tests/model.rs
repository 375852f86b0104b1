//! A second, naive policy, which shares nothing with the first but the questions: no difference on 100,000 of them.

use std::sync::Arc;

use crate::{partner::PartnerName, policy::*, scheme::SchemeName};

/// A rule as its author sees it.
#[derive(Clone, Debug, Default)]
struct Written {
    roles: Vec<&'static str>,
    identities: Vec<&'static str>,
    keys: Vec<&'static str>,
    operations: Vec<&'static str>,
    algorithms: Vec<&'static str>,
    partners: Vec<&'static str>,
    schemes: Vec<&'static str>,
    /// Hours of UTC, and days counted from Monday.
    hours: Option<(u64, u64)>,
    days: Vec<u64>,
    /// Days since [`EPOCH`], the first and the last.
    term: Option<(u64, u64)>,
    max_bytes: Option<usize>,
    digest_only: bool,
    issuers: Vec<&'static str>,
}

/// What somebody asks.
#[derive(Debug)]
struct Asked {
    identity: &'static str,
    operation: &'static str,
    key: &'static str,
    algorithm: &'static str,
    partner: &'static str,
    scheme: &'static str,
    now: u64,
    content: Content,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Message(usize),
    Digest,
    Jwt(Option<&'static str>),
}

impl Written {
    fn toml(&self, index: usize) -> String {
        let mut text = format!(
            "[[rules]]\nname = \"r{index}\"\noperations = {:?}\n",
            self.operations
        );
        for (name, list) in [
            ("roles", &self.roles),
            ("identities", &self.identities),
            ("keys", &self.keys),
            ("algorithms", &self.algorithms),
            ("partners", &self.partners),
            ("schemes", &self.schemes),
        ] {
            if !list.is_empty() {
                text += &format!("{name} = {list:?}\n");
            }
        }
        if let Some((from, to)) = self.hours {
            text += &format!("hours = \"{from:02}:00-{to:02}:00\"\n");
        }
        if !self.days.is_empty() {
            let days: Vec<_> = self.days.iter().map(|day| DAYS[*day as usize]).collect();
            text += &format!("days = {days:?}\n");
        }
        if let Some((from, to)) = self.term {
            // The epoch's month has days enough.
            text += &format!(
                "not_before = \"2026-11-{:02}T00:00:00Z\"\nnot_after = \"2026-11-{:02}T23:59:59.999Z\"\n",
                from + 2,
                to + 2
            );
        }
        if let Some(most) = self.max_bytes {
            text += &format!("max_bytes = {most}\n");
        }
        if self.digest_only {
            text += "digest_only = true\n";
        }
        if !self.issuers.is_empty() {
            text += &format!("jwt.require.iss = {:?}\n", self.issuers);
        }
        text
    }

    fn allows(&self, asked: &Asked) -> bool {
        let members = ROLES.iter().filter(|(role, _)| self.roles.contains(role));
        let mut patterns: Vec<&str> = members
            .flat_map(|(_, members)| members.iter().copied())
            .collect();
        patterns.extend(&self.identities);
        let about_partner = asked.operation == "sign_request" || asked.operation == "get_partner";
        if !patterns.iter().any(|pattern| like(pattern, asked.identity)) {
            return false;
        }
        let named = self.operations.contains(&asked.operation)
            || (asked.operation == "get_partner" && self.operations.contains(&"sign_request"));
        if !named || !self.in_time(asked.now) {
            return false;
        }
        if about_partner {
            if asked.operation == "sign_request" && !self.made_fits(asked.content) {
                return false;
            }
            return self.partners.iter().any(|one| like(one, asked.partner))
                && (asked.operation == "get_partner"
                    || self.schemes.is_empty()
                    || self.schemes.contains(&asked.scheme));
        }
        if !self.keys.iter().any(|one| like(one, asked.key)) {
            return false;
        }
        if asked.operation == "get" {
            return true;
        }
        (self.algorithms == ["*"] || self.algorithms.contains(&asked.algorithm))
            && (asked.operation != "sign" || self.content_fits(asked.content))
    }

    fn in_time(&self, now: u64) -> bool {
        let (day, hour) = ((now - EPOCH) / DAY, now % DAY / HOUR);
        if let Some((from, to)) = self.term
            && !(from..=to).contains(&day)
        {
            return false;
        }
        // The epoch is a Monday.
        let on = |day: u64| self.days.is_empty() || self.days.contains(&(day % 7));
        match self.hours {
            None => on(day),
            Some((from, to)) if from < to => on(day) && hour >= from && hour < to,
            Some((from, _)) if hour >= from => on(day),
            Some((_, to)) => hour < to && on(day + 6),
        }
    }

    /// A body, and a text that is as long as it is or twice as long.
    fn made_fits(&self, content: Content) -> bool {
        let (body, text) = made(content);
        !self.digest_only
            && self.issuers.is_empty()
            && self
                .max_bytes
                .is_none_or(|most| body <= most && text <= most)
    }

    fn content_fits(&self, content: Content) -> bool {
        match content {
            Content::Digest => self.max_bytes.is_none() && self.issuers.is_empty(),
            Content::Message(length) => {
                !self.digest_only
                    && self.issuers.is_empty()
                    && self.max_bytes.is_none_or(|most| length <= most)
            }
            Content::Jwt(issuer) => {
                !self.digest_only
                    && self.max_bytes.is_none_or(|most| jwt(issuer).len() <= most)
                    && (self.issuers.is_empty()
                        || issuer.is_some_and(|issuer| self.issuers.contains(&issuer)))
            }
        }
    }
}

/// How long the body of a partner's message is, and the text that its scheme makes of it.
const fn made(content: Content) -> (usize, usize) {
    match content {
        Content::Message(length) => (length, 2 * length),
        Content::Digest => (32, 1),
        Content::Jwt(_) => (3, 3),
    }
}

fn jwt(issuer: Option<&str>) -> String {
    match issuer {
        Some(issuer) => format!("{{\"iss\":\"{issuer}\"}}"),
        None => "{}".to_owned(),
    }
}

/// A pattern with at most one star, at its end.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, _)) => text.len() >= start.len() && &text[..start.len()] == start,
        None => pattern == text,
    }
}

/// Numbers that look random and are the same for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }

    fn one<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.roll(list.len())]
    }

    fn some<T: Copy>(&mut self, list: &[T]) -> Vec<T> {
        (0..=self.roll(3)).map(|_| self.one(list)).collect()
    }

    fn rule(&mut self) -> Written {
        let mut rule = Written::default();
        match self.roll(3) {
            0 => rule.roles = self.some(&["tellers", "clerks"]),
            1 => rule.identities = self.some(&IDENTITY_PATTERNS),
            _ => {
                rule.roles = self.some(&["tellers", "clerks"]);
                rule.identities = self.some(&IDENTITY_PATTERNS);
            }
        }
        if self.roll(3) == 0 {
            rule.operations = self.some(&["sign_request", "get_partner"]);
            rule.partners = self.some(&["bank", "bank-*", "*"]);
            // Limits are for one of the two alone; with sign beside it, all of them may stand there.
            let size = rule.operations.contains(&"sign_request") && self.roll(3) == 0;
            rule.max_bytes = size.then(|| 1 + self.roll(40));
            if self.roll(3) == 0 {
                rule.operations.push("sign");
                rule.keys = self.some(&["k", "k*", "*"]);
                rule.algorithms = vec!["*"];
            }
            if self.roll(2) == 0 && rule.operations.contains(&"sign_request") {
                rule.schemes = self.some(&SCHEMES);
            }
        } else {
            rule.operations = self.some(&["sign", "verify", "get"]);
            rule.keys = self.some(&["k", "k*", "k-1", "k-*", "*"]);
            if rule.operations.iter().any(|one| *one != "get") {
                rule.algorithms = match self.roll(2) {
                    0 => vec!["*"],
                    _ => self.some(&ALGORITHMS),
                };
            }
        }
        if self.roll(3) == 0 {
            let from = self.roll(24) as u64;
            rule.hours = Some((from, (from + 1 + self.roll(22) as u64) % 24));
        }
        if self.roll(3) == 0 {
            rule.days = self.some(&[0, 1, 2, 3, 4, 5, 6]);
        }
        if self.roll(4) == 0 {
            let from = self.roll(10) as u64;
            rule.term = Some((from, from + self.roll(10) as u64));
        }
        if rule.operations.contains(&"sign") && rule.max_bytes.is_none() {
            match self.roll(5) {
                0 => rule.max_bytes = Some(1 + self.roll(20)),
                1 => rule.digest_only = true,
                2 => rule.issuers = self.some(&["a", "b", "c"]),
                _ => {}
            }
        }
        rule
    }

    fn question(&mut self) -> Asked {
        Asked {
            identity: self.one(&IDENTITIES),
            operation: self.one(&[
                "sign",
                "sign",
                "verify",
                "get",
                "sign_request",
                "get_partner",
            ]),
            key: self.one(&["k", "k1", "k-1", "k-12", "other"]),
            algorithm: self.one(&ALGORITHMS),
            partner: self.one(&["bank", "bank-a", "banker"]),
            scheme: self.one(&SCHEMES),
            now: EPOCH
                + self.roll(20) as u64 * DAY
                + self.roll(24) as u64 * HOUR
                + self.roll(2) as u64,
            content: match self.roll(3) {
                0 => Content::Message(self.roll(24)),
                1 => Content::Digest,
                _ => Content::Jwt(self.one(&[None, Some("a"), Some("b"), Some("d")])),
            },
        }
    }
}

/// The rule that allows it, by the policy itself.
fn answer(policy: &Policy, asked: &Asked) -> Option<String> {
    let who = Arc::new(Identity::for_test(asked.identity));
    let now = UnixMilliseconds(asked.now);
    let key: KeyVersion = asked.key.parse().unwrap();
    let algorithm = asked.algorithm.parse().unwrap();
    let partner: PartnerName = asked.partner.parse().unwrap();
    let scheme: SchemeName = asked.scheme.parse().unwrap();
    let operation: Operation = asked.operation.parse().unwrap();
    let rule = match operation {
        Operation::Sign => {
            let permit = policy.authorize_sign(&who, &key, algorithm, now).ok()?;
            let permit = match asked.content {
                Content::Message(length) => permit.for_message(&vec![0; length]),
                Content::Digest => permit.for_digest(),
                Content::Jwt(issuer) => permit.for_jws(jwt(issuer).as_bytes(), true),
            };
            permit.ok()?.rule().to_owned()
        }
        Operation::Get => policy
            .authorize_get(&who, &key.key, now)
            .ok()?
            .rule()
            .to_owned(),
        Operation::GetPartner => policy
            .authorize_sight(&who, &partner, operation, now)
            .ok()?
            .rule()
            .to_owned(),
        Operation::SignRequest => {
            let permit = policy.authorize_partner(&who, &partner, &scheme, operation, now);
            let (body, text) = made(asked.content);
            let permit = permit.ok()?.for_body(body as u64).ok()?;
            let used = permit.for_key(&key, KeyUse::Sign(text as u64), algorithm);
            used.ok()?.rule().to_owned()
        }
        _ => policy
            .authorize(&who, &key, operation, algorithm, now)
            .ok()?
            .rule()
            .to_owned(),
    };
    Some(rule)
}

#[test]
fn no_difference_on_100_000_tuples() {
    let roles: String = ROLES
        .iter()
        .map(|(name, members)| format!("[[roles]]\nname = \"{name}\"\nidentities = {members:?}\n"))
        .collect();
    let (mut asked_in_all, mut allowed) = (0, 0);
    for seed in 1..=1000_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let rules: Vec<_> = (0..=dice.roll(6)).map(|_| dice.rule()).collect();
        let written: String = rules
            .iter()
            .zip(0..)
            .map(|(rule, at)| rule.toml(at))
            .collect();
        let text = format!("{roles}{written}");
        let policy =
            Policy::parse(&text).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        for _ in 0..100 {
            let asked = dice.question();
            let expected = rules.iter().position(|rule| rule.allows(&asked));
            let expected = expected.map(|at| format!("r{at}"));
            let got = answer(&policy, &asked);
            assert_eq!(got, expected, "seed {seed}: {asked:?}\n{text}");
            asked_in_all += 1;
            allowed += u32::from(got.is_some());
        }
        // The difference of two is nothing just when they are one.
        assert!(policy.changes_to(&policy).is_empty(), "seed {seed}");
    }
    assert_eq!(asked_in_all, 100_000);
    // Neither reading may be right by always saying no.
    assert!((10_000..90_000).contains(&allowed), "{allowed}");
}

/// Where a difference is told, and nowhere else, answers differ: of policies without conditions, each question of one
/// whose names are all written.
#[test]
fn a_difference_is_one_of_answers() {
    for seed in 1..=300_u64 {
        let mut dice = Dice(seed.wrapping_mul(0xD134_2543_DE82_EF95));
        let mut policies = Vec::new();
        for _ in 0..2 {
            let rules: Vec<_> = (0..=dice.roll(3))
                .map(|_| Written {
                    identities: dice.some(&IDENTITY_PATTERNS),
                    operations: vec!["verify"],
                    keys: dice.some(&["k", "k*", "k-1", "k-*", "*"]),
                    algorithms: dice.some(&["RS256", "ES256"]),
                    ..Written::default()
                })
                .collect();
            let text: String = rules
                .iter()
                .zip(0..)
                .map(|(rule, at)| rule.toml(at))
                .collect();
            policies.push((Policy::parse(&text).unwrap(), text));
        }
        let [(before, old), (after, new)] = &policies[..] else {
            unreachable!()
        };
        let changes = before.changes_to(after);
        // Every pattern, by a name that it picks out and no narrower one does.
        for (pattern, identity) in IDENTITY_PATTERNS.iter().zip(PICKED_OUT) {
            for (key_pattern, key) in [
                ("k", "k"),
                ("k*", "k1"),
                ("k-1", "k-1"),
                ("k-*", "k-2"),
                ("*", "x"),
            ] {
                let written = |text: &String| text.contains(&format!("{pattern:?}"));
                let named = |text: &String| text.contains(&format!("{key_pattern:?}"));
                if !(written(old) || written(new)) || !(named(old) || named(new)) {
                    continue;
                }
                for algorithm in ["RS256", "ES256"] {
                    let asked = Asked {
                        identity,
                        operation: "verify",
                        key,
                        algorithm,
                        partner: "x",
                        scheme: "x",
                        now: EPOCH,
                        content: Content::Digest,
                    };
                    let (was, is) = (
                        answer(before, &asked).is_some(),
                        answer(after, &asked).is_some(),
                    );
                    let told = changes.iter().find(|change| {
                        change.identity == *pattern
                            && change.on == format!("key {key_pattern}")
                            && change.with.iter().any(|one| one == algorithm)
                    });
                    let expected = match (was, is) {
                        (false, true) => Some(ChangeKind::Gains),
                        (true, false) => Some(ChangeKind::Loses),
                        _ => None,
                    };
                    assert_eq!(
                        told.map(|change| change.kind),
                        expected,
                        "seed {seed}: {pattern} {key_pattern} {algorithm}\n{old}\n{new}\n{changes:?}"
                    );
                }
            }
        }
    }
}

/// 2026-11-02T00:00:00Z, a Monday (`date -d 2026-11-02 +%s%a`).
const EPOCH: u64 = 1_793_577_600_000;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const ROLES: [(&str, &[&str]); 2] = [
    ("tellers", &["spiffe://a/x", "dns:a"]),
    ("clerks", &["spiffe://a/x/*"]),
];
const IDENTITY_PATTERNS: [&str; 6] = [
    "spiffe://a/x",
    "spiffe://a/*",
    "spiffe://a/x/*",
    "spiffe://a/x/y",
    "spiffe://b/*",
    "dns:a",
];
const PICKED_OUT: [&str; 6] = [
    "spiffe://a/x",
    "spiffe://a/other",
    "spiffe://a/x/other",
    "spiffe://a/x/y",
    "spiffe://b/other",
    "dns:a",
];
const IDENTITIES: [&str; 7] = [
    "spiffe://a/x",
    "spiffe://a/x/y",
    "spiffe://a/x/y/z",
    "spiffe://a/xy",
    "spiffe://b/x",
    "dns:a",
    "dns:a.x",
];
const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "HS256"];
const SCHEMES: [&str; 3] = ["snap", "snap-service", "upay"];
