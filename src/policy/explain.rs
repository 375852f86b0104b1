//! Which rule decides a request, and which part of each other rule does not fit it.

use std::fmt;

use serde::Serialize;

use crate::{
    algorithm::Algorithm,
    identity::IdentityName,
    key::KeyName,
    partner::PartnerName,
    policy::{
        Policy, Reason,
        operation::{Need, Operation},
        rule::{Question, Rule, nearest},
    },
    scheme::{SchemeName, UnixMilliseconds},
};

/// The verdict on a request, and what each rule has to do with it; prints as a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Who would ask.
    pub identity: IdentityName,
    /// With which key, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyName>,
    /// With which partner, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner: Option<PartnerName>,
    /// By which of its schemes, if it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<SchemeName>,
    /// When, RFC 3339; if it is not said, as if every rule held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The roles that the identity has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// To do what.
    pub operation: Operation,
    /// With which algorithm, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// Whether it would be allowed.
    pub allowed: bool,
    /// The name of the rule that allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What that rule lets be signed, if not everything; another rule may let more be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<String>,
    /// The quotas that bound it, each with its limits; of those for each key, those for the key that is named; with a partner, whose keys the policy does not know, all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<String>,
    /// What is missing, if it is not allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Every rule, in the order of the file.
    pub rules: Vec<RuleMatch>,
}

/// Which lists of one rule name what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleMatch {
    /// The name of the rule.
    pub name: String,
    /// Whether it names the identity.
    pub identity: Match,
    /// Whether it names the key.
    pub key: Match,
    /// Whether it names the operation.
    pub operation: Match,
    /// Whether it names the algorithm.
    pub algorithm: Match,
    /// Whether it names the partner.
    pub partner: Match,
    /// Whether it names the scheme.
    pub scheme: Match,
    /// Whether it holds at the time; `not_asked` if it always does, or no time was said.
    pub time: Match,
    /// When it holds, if not always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// What it lets be signed, if not everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<String>,
    /// Whether its limits can be held against what the operation signs; a rule whose limits can't does not allow it.
    /// `not_asked` if it has none.
    pub limits_suit: Match,
    /// Whether it allows the request.
    pub allows: bool,
}

/// Whether a list names what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// The request has no such part.
    NotAsked,
}

impl Explanation {
    pub(super) fn new(
        policy: &Policy,
        question: &Question<'_>,
        algorithm: Option<Algorithm>,
    ) -> Self {
        let rules = &policy.rules;
        let limits = |rule: &Rule| {
            let limits = rule.limits_on(question.operation);
            limits.map(ToString::to_string)
        };
        let roles = policy
            .roles
            .iter()
            .filter(|role| role.has(question.identity));
        let deciding = rules.iter().find(|rule| rule.allows(question));
        let on_rule = |rule: &Rule| RuleMatch {
            name: rule.name().to_string(),
            identity: rule.names_identity(question.identity).into(),
            key: rule.names_key(question),
            operation: rule.names_operation(question.operation).into(),
            algorithm: rule.names_algorithms(question),
            partner: rule.names_partner(question),
            scheme: rule.names_scheme(question),
            time: rule.holds_at(question),
            window: rule.window.as_ref().map(ToString::to_string),
            limits: limits(rule),
            limits_suit: rule.limits_suit(question.operation),
            allows: rule.allows(question),
        };
        Self {
            identity: question.identity.clone(),
            key: question.key.cloned(),
            partner: question.partner.cloned(),
            scheme: question.scheme.cloned(),
            at: question.at.map(UnixMilliseconds::to_rfc3339),
            roles: roles.map(|role| role.name.to_string()).collect(),
            operation: question.operation,
            algorithm,
            allowed: deciding.is_some(),
            rule: deciding.map(|rule| rule.name().to_string()),
            limits: deciding.and_then(limits),
            quotas: policy
                .quotas
                .iter()
                .filter(|quota| deciding.is_some() && quota.may_bound(question))
                .map(|quota| format!("{}: {quota}", quota.name()))
                .collect(),
            reason: match deciding {
                Some(_) => None,
                None => Some(nearest(rules, question)),
            },
            rules: rules.iter().map(on_rule).collect(),
        }
    }
}

/// A heading, and what of a rule stands below it.
type Column = (&'static str, fn(&RuleMatch) -> Match);

impl Explanation {
    /// The columns that there are, with what a rule has in them.
    fn columns(&self) -> Vec<Column> {
        let mut columns: Vec<Column> = vec![("IDENTITY", |rule| rule.identity)];
        if self.operation.needs().partner == Need::Always {
            columns.push(("PARTNER", |rule| rule.partner));
            columns.push(("OPERATION", |rule| rule.operation));
            columns.push(("SCHEME", |rule| rule.scheme));
        } else {
            columns.push(("KEY", |rule| rule.key));
            columns.push(("OPERATION", |rule| rule.operation));
            columns.push(("ALGORITHM", |rule| rule.algorithm));
        }
        if self.rules.iter().any(|rule| rule.window.is_some()) {
            columns.push(("TIME", |rule| rule.time));
        }
        if self.rules.iter().any(|rule| rule.limits_suit == Match::No) {
            columns.push(("LIMITS", |rule| rule.limits_suit));
        }
        columns
    }
}

impl Match {
    /// Whether this part of the request stands in the way of nothing.
    pub const fn holds(self) -> bool {
        match self {
            Self::Yes | Self::NotAsked => true,
            Self::No => false,
        }
    }
}

impl From<bool> for Match {
    fn from(named: bool) -> Self {
        if named { Self::Yes } else { Self::No }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::NotAsked => "-",
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.rule, self.reason) {
            (Some(rule), _) => write!(formatter, "allowed by rule {rule}")?,
            (None, Some(reason)) => write!(formatter, "denied: {reason}")?,
            (None, None) => write!(formatter, "denied")?,
        }
        if let Some(limits) = &self.limits {
            write!(formatter, ", for {limits}")?;
        }
        writeln!(formatter)?;
        if !self.roles.is_empty() {
            writeln!(formatter, "the identity's roles: {}", self.roles.join(" "))?;
        }
        for quota in &self.quotas {
            writeln!(formatter, "within the quota {quota}")?;
        }
        let columns = self.columns();
        let names = self.rules.iter().map(|rule| rule.name.len());
        let width = names.fold("RULE".len(), usize::max);
        let heads: Vec<_> = columns.iter().map(|(head, _)| *head).collect();
        writeln!(formatter, "  {:width$}  {}", "RULE", heads.join("  "))?;
        for rule in &self.rules {
            let mark = if rule.allows { '*' } else { ' ' };
            let mut line = format!("{mark} {:width$}", rule.name);
            for (head, of) in &columns {
                line += &format!("  {:1$}", of(rule), head.len());
            }
            // No line ends in blanks.
            writeln!(formatter, "{}", line.trim_end())?;
        }
        for rule in &self.rules {
            if let Some(window) = &rule.window {
                writeln!(formatter, "  {} holds {window}", rule.name)?;
            }
            if let (Match::No, Some(limits)) = (rule.limits_suit, &rule.limits) {
                writeln!(
                    formatter,
                    "  {} lets {limits} be signed, and never allows {}: what that signs a scheme makes",
                    rule.name, self.operation
                )?;
            }
        }
        Ok(())
    }
}
