//! The policy file: TOML, checked whole, every fault with its line and key.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;
use toml::Spanned;

use crate::{
    algorithm::Algorithm,
    policy::{
        approval::Approval,
        duty,
        limits::{JwtLimits, Limits},
        operation::{Need, Operation},
        partnership::PartnerPattern,
        pattern::{IdentityPattern, KeyPattern},
        quota::{Quota, RawQuota},
        role::Role,
        rule::{AlgorithmSet, Rule},
        window::{Day, Hours, Instant, Times, Window, Zone},
    },
    scheme::SchemeName,
};

pub(super) use fault::Fault;
pub use fault::PolicyError;
use fault::{key_path, line_of};

mod approvals;
mod fault;

/// What is in a file.
pub(super) struct Compiled {
    /// In its order.
    pub(super) roles: Vec<Role>,
    /// In its order; never none.
    pub(super) rules: Vec<Rule>,
    /// In its order.
    pub(super) approvals: Vec<Approval>,
    pub(super) separate_duties: bool,
    pub(super) quotas: Vec<Quota>,
}

/// Reads the text of a file whole.
pub(super) fn compile(text: &str) -> Result<Compiled, PolicyError> {
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
    all_different(
        text,
        "rules",
        "is what logs show",
        file.rules.iter().map(|raw| &raw.name),
    )?;
    all_different(
        text,
        "roles",
        "is what rules name",
        file.roles.iter().map(|raw| &raw.name),
    )?;
    all_different(
        text,
        "quotas",
        "is what callers are told",
        file.quotas.iter().map(|raw| &raw.name),
    )?;
    let mut roles = Vec::new();
    for (index, raw) in file.roles.into_iter().enumerate() {
        not_empty("identities", &raw.identities).map_err(|fault| PolicyError {
            line: Some(line_of(text, raw.name.span().start)),
            key: Some(format!("roles[{index}].{}", fault.key())),
            message: fault.to_string(),
        })?;
        roles.push(Role {
            name: Arc::from(raw.name.into_inner().0),
            identities: raw.identities,
            used: false,
        });
    }
    let mut compile = |(index, raw): (usize, RawRule)| {
        let line = line_of(text, raw.name.span().start);
        raw.compile(&mut roles).map_err(|fault| PolicyError {
            line: Some(line),
            key: Some(format!("rules[{index}].{}", fault.key())),
            message: fault.to_string(),
        })
    };
    let rules = file.rules.into_iter().enumerate();
    let mut rules = rules.map(&mut compile).collect::<Result<Vec<_>, _>>()?;
    let approvals = approvals::compile(text, file.approvals, &mut roles, &rules)?;
    rules.extend(approvals.iter().map(Approval::rule));
    let separate_duties = file.separate_duties.as_ref();
    let separate_duties = separate_duties.is_some_and(|separate| *separate.get_ref());
    let mut compile = |(index, raw): (usize, RawQuota)| {
        let line = line_of(text, raw.name.span().start);
        raw.compile(&mut roles).map_err(|fault| PolicyError {
            line: Some(line),
            key: Some(format!("quotas[{index}].{}", fault.key())),
            message: fault.to_string(),
        })
    };
    let quotas = file.quotas.into_iter().enumerate();
    let quotas = quotas.map(&mut compile).collect::<Result<Vec<_>, _>>()?;
    if let Some(separate) = file.separate_duties
        && *separate.get_ref()
        && let Some(conflict) = duty::conflicts(&rules).first()
    {
        return Err(PolicyError {
            line: Some(line_of(text, separate.span().start)),
            key: Some("separate_duties".to_owned()),
            message: conflict.to_string(),
        });
    }
    Ok(Compiled {
        roles,
        rules,
        approvals,
        separate_duties,
        quotas,
    })
}

fn all_different<'a>(
    text: &str,
    table: &str,
    what_for: &str,
    names: impl Iterator<Item = &'a Spanned<Name>>,
) -> Result<(), PolicyError> {
    let mut seen = HashMap::new();
    for (index, name) in names.enumerate() {
        if seen.insert(&name.get_ref().0, index).is_some() {
            let one = table.trim_end_matches('s');
            return Err(PolicyError {
                line: Some(line_of(text, name.span().start)),
                key: Some(format!("{table}[{index}].name")),
                message: format!(
                    "a {one} named {:?} is there already; the name {what_for}",
                    name.get_ref().0
                ),
            });
        }
    }
    Ok(())
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    separate_duties: Option<Spanned<bool>>,
    #[serde(default)]
    roles: Vec<RawRole>,
    #[serde(default)]
    rules: Vec<RawRule>,
    #[serde(default)]
    approvals: Vec<approvals::RawApproval>,
    #[serde(default)]
    quotas: Vec<RawQuota>,
}

/// A role as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRole {
    name: Spanned<Name>,
    identities: Vec<IdentityPattern>,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: Spanned<Name>,
    roles: Option<Vec<Name>>,
    identities: Option<Vec<IdentityPattern>>,
    keys: Option<Vec<KeyPattern>>,
    operations: Vec<Operation>,
    algorithms: Option<Vec<AlgorithmPattern>>,
    partners: Option<Vec<PartnerPattern>>,
    schemes: Option<Vec<SchemeName>>,
    not_before: Option<Instant>,
    not_after: Option<Instant>,
    hours: Option<Hours>,
    days: Option<Vec<Day>>,
    time_zone: Option<Zone>,
    max_bytes: Option<u64>,
    #[serde(default)]
    digest_only: bool,
    jwt: Option<JwtLimits>,
}

/// The name of a rule, role or quota.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Name(pub(super) String);

/// An algorithm, or `*` for all of them.
#[derive(Deserialize)]
#[serde(try_from = "String")]
enum AlgorithmPattern {
    One(Algorithm),
    Any,
}

impl RawRule {
    fn compile(self, roles: &mut [Role]) -> Result<Rule, Fault> {
        let identities =
            named_identities(self.roles.as_deref(), self.identities.as_deref(), roles)?;
        not_empty("operations", &self.operations)?;
        let approves =
            |one: &&Operation| matches!(one, Operation::Approve | Operation::ApprovePolicy);
        if let Some(operation) = self.operations.iter().find(approves) {
            return Err(Fault::Approves(*operation));
        }
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
        let limits = self.limits()?;
        let window = Window::new(Times {
            not_before: self.not_before,
            not_after: self.not_after,
            hours: self.hours,
            days: self.days,
            zone: self.time_zone,
        })?;
        Ok(Rule {
            algorithms: algorithms.map(compile_algorithms).transpose()?,
            name: Arc::from(self.name.into_inner().0),
            identities,
            keys: self.keys,
            operations: self.operations.into_iter().chain(sight).collect(),
            partners: self.partners,
            schemes: self.schemes,
            window,
            limits,
        })
    }

    fn limits(&self) -> Result<Option<Arc<Limits>>, Fault> {
        if !self.operations.contains(&Operation::Sign) {
            let idle = [
                ("digest_only", self.digest_only),
                ("jwt", self.jwt.is_some()),
            ];
            if let Some((entry, _)) = idle.into_iter().find(|(_, there)| *there) {
                return Err(Fault::IdleLimits(entry));
            }
            let signs = |one: &Operation| one.signs_for_partner();
            if self.max_bytes.is_some() && !self.operations.iter().any(signs) {
                return Err(Fault::IdleSize);
            }
        }
        let limits = Limits::new(self.max_bytes, self.digest_only, self.jwt.clone())?;
        Ok(limits.map(Arc::new))
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

/// Those that are named, and those of the roles that are named.
pub(super) fn named_identities(
    names: Option<&[Name]>,
    identities: Option<&[IdentityPattern]>,
    roles: &mut [Role],
) -> Result<Vec<IdentityPattern>, Fault> {
    let mut all = Vec::new();
    if let Some(names) = names {
        not_empty("roles", names)?;
        for Name(name) in names {
            let named = roles.iter_mut().find(|role| *role.name == **name);
            let role = named.ok_or_else(|| Fault::NoSuchRole(name.clone()))?;
            role.used = true;
            all.extend_from_slice(&role.identities);
        }
    }
    if let Some(identities) = identities {
        not_empty("identities", identities)?;
        all.extend_from_slice(identities);
    }
    match all.is_empty() {
        true => Err(Fault::Nobody),
        false => Ok(all),
    }
}

pub(super) fn not_empty<T>(name: &'static str, list: &[T]) -> Result<(), Fault> {
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

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text))
        } else {
            Err(format!(
                "{text:?} is not a name of a rule, role or quota: expected 1 to {MAX_NAME} of A-Z a-z 0-9 . _ -"
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

const MAX_NAME: usize = 64;
