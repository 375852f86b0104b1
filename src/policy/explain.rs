//! Which rule decides a request, and which part of each other rule does not fit it.

use std::fmt;

use serde::Serialize;

use crate::{
    algorithm::Algorithm,
    identity::IdentityName,
    key::KeyName,
    partner::PartnerName,
    policy::{
        Reason,
        operation::{Need, Operation},
        rule::{Question, Rule, nearest},
    },
    scheme::SchemeName,
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
        rules: &[Rule],
        question: &Question<'_>,
        algorithm: Option<Algorithm>,
    ) -> Self {
        let deciding = rules.iter().find(|rule| rule.allows(question));
        let on_rule = |rule: &Rule| RuleMatch {
            name: rule.name().to_string(),
            identity: rule.names_identity(question.identity).into(),
            key: rule.names_key(question),
            operation: rule.names_operation(question.operation).into(),
            algorithm: rule.names_algorithms(question),
            partner: rule.names_partner(question),
            scheme: rule.names_scheme(question),
            allows: rule.allows(question),
        };
        Self {
            identity: question.identity.clone(),
            key: question.key.cloned(),
            partner: question.partner.cloned(),
            scheme: question.scheme.cloned(),
            operation: question.operation,
            algorithm,
            allowed: deciding.is_some(),
            rule: deciding.map(|rule| rule.name().to_string()),
            reason: match deciding {
                Some(_) => None,
                None => Some(nearest(rules, question)),
            },
            rules: rules.iter().map(on_rule).collect(),
        }
    }
}

impl Explanation {
    fn about_partner(&self, formatter: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        writeln!(
            formatter,
            "  {:width$}  IDENTITY  PARTNER  OPERATION  SCHEME",
            "RULE"
        )?;
        for rule in &self.rules {
            let mark = if rule.allows { '*' } else { ' ' };
            writeln!(
                formatter,
                "{mark} {:width$}  {:8}  {:7}  {:9}  {}",
                rule.name, rule.identity, rule.partner, rule.operation, rule.scheme
            )?;
        }
        Ok(())
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
            (Some(rule), _) => writeln!(formatter, "allowed by rule {rule}")?,
            (None, Some(reason)) => writeln!(formatter, "denied: {reason}")?,
            (None, None) => writeln!(formatter, "denied")?,
        }
        let width = self
            .rules
            .iter()
            .map(|rule| rule.name.len())
            .fold("RULE".len(), usize::max);
        if self.operation.needs().partner == Need::Always {
            return self.about_partner(formatter, width);
        }
        writeln!(
            formatter,
            "  {:width$}  IDENTITY  KEY  OPERATION  ALGORITHM",
            "RULE"
        )?;
        for rule in &self.rules {
            let mark = if rule.allows { '*' } else { ' ' };
            // The last column is not padded: no line ends in blanks.
            writeln!(
                formatter,
                "{mark} {:width$}  {:8}  {:3}  {:9}  {}",
                rule.name, rule.identity, rule.key, rule.operation, rule.algorithm
            )?;
        }
        Ok(())
    }
}
