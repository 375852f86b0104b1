//! The policy file: TOML, checked whole, every fault with its line and key.

use std::{collections::HashSet, fmt, sync::Arc};

use serde::Deserialize;
use toml::Spanned;

use crate::{
    algorithm::Algorithm,
    policy::{
        operation::{Need, Operation},
        partnership::PartnerPattern,
        pattern::{IdentityPattern, KeyPattern},
        rule::{AlgorithmSet, Rule},
    },
    scheme::SchemeName,
};

/// The first fault of a policy file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{message}", Shown(.line, "line ", ": "), Shown(.key, "", ": "))]
pub struct PolicyError {
    line: Option<usize>,
    key: Option<String>,
    message: String,
}

/// The rules of a file, in its order; never none.
pub(super) fn rules(text: &str) -> Result<Vec<Rule>, PolicyError> {
    let document =
        toml::Deserializer::parse(text).map_err(|error| PolicyError::at(text, &error, None))?;
    let file: File = serde_path_to_error::deserialize(document).map_err(|error| {
        let path = key_path(error.path());
        PolicyError::at(text, error.inner(), path)
    })?;
    if file.rules.is_empty() {
        return Err(PolicyError {
            line: None,
            key: Some("rules".to_owned()),
            message: "a policy without rules allows nothing; expected at least one [[rules]]"
                .to_owned(),
        });
    }
    let mut names = HashSet::new();
    for (index, raw) in file.rules.iter().enumerate() {
        if !names.insert(raw.name.get_ref().0.as_str()) {
            return Err(PolicyError {
                line: Some(line_of(text, raw.name.span().start)),
                key: Some(format!("rules[{index}].name")),
                message: format!(
                    "a rule named {:?} is there already; the name is what logs show",
                    raw.name.get_ref().0
                ),
            });
        }
    }
    let compile = |(index, raw): (usize, RawRule)| {
        let line = line_of(text, raw.name.span().start);
        raw.compile().map_err(|fault| PolicyError {
            line: Some(line),
            key: Some(format!("rules[{index}].{}", fault.key())),
            message: fault.to_string(),
        })
    };
    file.rules.into_iter().enumerate().map(compile).collect()
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rules: Vec<RawRule>,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: Spanned<RuleName>,
    identities: Vec<IdentityPattern>,
    keys: Option<Vec<KeyPattern>>,
    operations: Vec<Operation>,
    algorithms: Option<Vec<AlgorithmPattern>>,
    partners: Option<Vec<PartnerPattern>>,
    schemes: Option<Vec<SchemeName>>,
}

/// What logs and `explain` show of a rule.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct RuleName(String);

/// An algorithm, or `*` for all of them.
#[derive(Deserialize)]
#[serde(try_from = "String")]
enum AlgorithmPattern {
    One(Algorithm),
    Any,
}

/// A rule whose lists do not go together.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the list is empty; expected at least one entry")]
    Empty(&'static str),
    #[error("operation {operation} needs the list {list}, and the rule has none")]
    Missing {
        list: &'static str,
        operation: Operation,
    },
    #[error("no operation of this rule concerns {0}; leave the list out")]
    Idle(&'static str),
    #[error("\"*\" is all algorithms; expected it alone, or a list of names")]
    Star,
}

impl RawRule {
    fn compile(self) -> Result<Rule, Fault> {
        not_empty("identities", &self.identities)?;
        not_empty("operations", &self.operations)?;
        let algorithms = self.algorithms.as_deref();
        let sometimes = |operation: &&Operation| operation.needs().key == Need::Sometimes;
        // With a key of the token, encryption is a use of it like any other.
        if let Some(operation) = self.operations.iter().find(sometimes)
            && self.keys.is_some()
            && algorithms.is_none()
        {
            return Err(Fault::Missing {
                list: "algorithms",
                operation: *operation,
            });
        }
        self.check_list("keys", self.keys.as_deref(), |operation| {
            operation.needs().key
        })?;
        self.check_list("algorithms", algorithms, |operation| {
            operation.needs().algorithm
        })?;
        self.check_list("partners", self.partners.as_deref(), |operation| {
            operation.needs().partner
        })?;
        if let Some(schemes) = self.schemes.as_deref() {
            self.check_list("schemes", Some(schemes), |operation| {
                operation.needs().scheme
            })?;
        }
        // Whoever may do anything with a partner may see it.
        let about_partner = |one: &Operation| one.needs().partner == Need::Always;
        let sight = self.operations.iter().any(about_partner);
        let sight = sight.then_some(Operation::GetPartner);
        Ok(Rule {
            algorithms: algorithms.map(compile_algorithms).transpose()?,
            name: Arc::from(self.name.into_inner().0),
            identities: self.identities,
            keys: self.keys,
            operations: self.operations.into_iter().chain(sight).collect(),
            partners: self.partners,
            schemes: self.schemes,
        })
    }

    /// A list must be there if an operation always needs it, and must not if none ever looks at it:
    /// it would seem to limit what it does not.
    fn check_list<T>(
        &self,
        name: &'static str,
        list: Option<&[T]>,
        need: impl Fn(&Operation) -> Need,
    ) -> Result<(), Fault> {
        let Some(list) = list else {
            let needing = |operation: &&Operation| need(operation) == Need::Always;
            return match self.operations.iter().find(needing) {
                Some(operation) => Err(Fault::Missing {
                    list: name,
                    operation: *operation,
                }),
                None => Ok(()),
            };
        };
        not_empty(name, list)?;
        if self.operations.iter().all(|one| need(one) == Need::Never) {
            return Err(Fault::Idle(name));
        }
        Ok(())
    }
}

fn not_empty<T>(name: &'static str, list: &[T]) -> Result<(), Fault> {
    if list.is_empty() {
        return Err(Fault::Empty(name));
    }
    Ok(())
}

fn compile_algorithms(patterns: &[AlgorithmPattern]) -> Result<AlgorithmSet, Fault> {
    if let [AlgorithmPattern::Any] = patterns {
        return Ok(AlgorithmSet::all());
    }
    let one = |pattern: &AlgorithmPattern| match pattern {
        AlgorithmPattern::One(algorithm) => Ok(*algorithm),
        AlgorithmPattern::Any => Err(Fault::Star),
    };
    patterns.iter().map(one).collect()
}

impl Fault {
    const fn key(&self) -> &'static str {
        match self {
            Self::Empty(list) | Self::Missing { list, .. } | Self::Idle(list) => list,
            Self::Star => "algorithms",
        }
    }
}

impl TryFrom<String> for RuleName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=MAX_RULE_NAME).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text))
        } else {
            Err(format!(
                "{text:?} is not a rule name: expected 1 to {MAX_RULE_NAME} of A-Z a-z 0-9 . _ -"
            ))
        }
    }
}

impl TryFrom<String> for AlgorithmPattern {
    type Error = crate::algorithm::UnknownName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "*" => Ok(Self::Any),
            name => Ok(Self::One(name.parse()?)),
        }
    }
}

impl PolicyError {
    fn at(text: &str, error: &toml::de::Error, key: Option<String>) -> Self {
        Self {
            line: error.span().map(|span| line_of(text, span.start)),
            key,
            message: error.message().to_owned(),
        }
    }

    /// The line of the fault, the first being 1.
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// What was expected and what came, without where.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The key of the fault, such as `rules[0].keys[1]`.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// A part of a message that may be missing, between what goes before and after it.
struct Shown<'a, T>(&'a Option<T>, &'static str, &'static str);

impl<T: fmt::Display> fmt::Display for Shown<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(formatter, "{}{value}{}", self.1, self.2),
            None => Ok(()),
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

/// The path without the field that `Spanned` wraps its value in.
fn key_path(path: &serde_path_to_error::Path) -> Option<String> {
    use serde_path_to_error::Segment;
    let mut shown = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => shown.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } if key.starts_with('$') => {}
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !shown.is_empty() {
                    shown.push('.');
                }
                shown.push_str(key);
            }
            Segment::Unknown => {}
        }
    }
    (!shown.is_empty()).then_some(shown)
}

const MAX_RULE_NAME: usize = 64;
