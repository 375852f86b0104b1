//! Quotas: how much each identity may have done, in all or with each key. They allow nothing; what rules allow they bound.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::{
    identity::IdentityName,
    key::KeyName,
    policy::{
        file::{Fault, Name, named_identities, not_empty},
        operation::{Need, Operation},
        pattern::{IdentityPattern, KeyPattern},
        role::Role,
        rule::{OperationSet, Question, Rule},
    },
};

/// A quota of the file. Each identity that it names has one of its own; with a list of keys, one for each key.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    name: Arc<str>,
    identities: Vec<IdentityPattern>,
    keys: Option<Vec<KeyPattern>>,
    operations: Option<OperationSet>,
    rate: Option<Rate>,
    per_day: Option<u64>,
    concurrent: Option<u32>,
}

/// So many a second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In thousandths, at least 1.
    per_thousand_seconds: u64,
    burst: u32,
}

/// What of a quota is used up; the names are those of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKind {
    /// `per_second` and `burst`.
    PerSecond,
    /// `per_day`.
    PerDay,
    /// `concurrent`.
    Concurrent,
}

/// A quota as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuota {
    pub(super) name: Spanned<Name>,
    roles: Option<Vec<Name>>,
    identities: Option<Vec<IdentityPattern>>,
    keys: Option<Vec<KeyPattern>>,
    operations: Option<Vec<Operation>>,
    per_second: Option<f64>,
    burst: Option<u64>,
    per_day: Option<u64>,
    concurrent: Option<u64>,
}

/// A quota that bounds nothing, or can't be met.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidQuota {
    #[error("it has no limit; expected at least one of per_second, per_day and concurrent")]
    Nothing,
    #[error("it is {given}; expected {expected}")]
    Range {
        key: &'static str,
        given: String,
        expected: String,
    },
    #[error("it is the burst of per_second, and there is none; leave it out")]
    IdleBurst,
    #[error("{0} is never counted, since it uses no key of a token; leave it out")]
    Uncounted(Operation),
    #[error("the quota is for each key, and {0} has none; leave it out, or the list of keys")]
    Keyless(Operation),
}

impl Quota {
    /// Its name.
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it bounds this.
    pub fn bounds(
        &self,
        identity: &IdentityName,
        operation: Operation,
        key: Option<&KeyName>,
    ) -> bool {
        self.operations
            .is_none_or(|operations| operations.contains(operation))
            && match (&self.keys, key) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(patterns), Some(key)) => patterns.iter().any(|one| one.matches(key)),
            }
            && self.identities.iter().any(|one| one.matches(identity))
    }

    /// Whether it bounds what is asked for; with a partner, whether it does with some key.
    pub(super) fn may_bound(&self, question: &Question<'_>) -> bool {
        let operation = question.operation;
        if !is_counted(operation) {
            return false;
        }
        match question.partner {
            None => self.bounds(question.identity, operation, question.key),
            Some(_) => {
                let mut identities = self.identities.iter();
                self.names(operation) && identities.any(|one| one.matches(question.identity))
            }
        }
    }

    /// Whether each key has its own count.
    pub const fn is_per_key(&self) -> bool {
        self.keys.is_some()
    }

    /// So many a second, and so many at once.
    pub const fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// So many from one midnight of UTC to the next.
    pub const fn per_day(&self) -> Option<u64> {
        self.per_day
    }

    /// So many at the same time.
    pub const fn concurrent(&self) -> Option<u32> {
        self.concurrent
    }

    /// Whether any rule lets through what it bounds.
    pub(super) fn is_reached_by(&self, rule: &Rule) -> bool {
        let operations = Operation::ALL
            .into_iter()
            .any(|one| is_counted(one) && rule.names_operation(one) && self.names(one));
        let meet = |mine: &IdentityPattern| {
            let mut theirs = rule.identities.iter();
            theirs.any(|theirs| theirs.covers(mine) || mine.covers(theirs))
        };
        // Which keys a partner has is not for the policy to say.
        let keys = match (&self.keys, &rule.keys) {
            (None, _) => true,
            (Some(_), None) => rule.partners.is_some(),
            (Some(mine), Some(theirs)) => {
                rule.partners.is_some()
                    || mine.iter().any(|mine| {
                        theirs
                            .iter()
                            .any(|one| one.covers(mine) || mine.covers(one))
                    })
            }
        };
        operations && keys && self.identities.iter().any(meet)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &KeyPattern> {
        self.keys.iter().flatten()
    }

    fn names(&self, operation: Operation) -> bool {
        self.operations.is_none_or(|one| one.contains(operation))
    }

    /// Whether it bounds the same as another, whatever the limits.
    pub(super) fn bounds_like(&self, other: &Self) -> bool {
        (&self.identities, &self.keys, self.operations)
            == (&other.identities, &other.keys, other.operations)
    }

    /// Whether whatever it lets through the other does too, if both bound the same.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        fn at_most<T: Ord>(mine: Option<T>, theirs: Option<T>) -> bool {
            match (mine, theirs) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(mine), Some(theirs)) => mine <= theirs,
            }
        }
        let (mine, theirs) = (self.rate, other.rate);
        at_most(
            mine.map(|rate| rate.per_thousand_seconds),
            theirs.map(|rate| rate.per_thousand_seconds),
        ) && at_most(mine.map(|rate| rate.burst), theirs.map(|rate| rate.burst))
            && at_most(self.per_day, other.per_day)
            && at_most(self.concurrent, other.concurrent)
    }
}

impl Rate {
    /// So many in a thousand seconds, of which so many may come at once.
    pub const fn new(per_thousand_seconds: u64, burst: u32) -> Self {
        Self {
            per_thousand_seconds,
            burst,
        }
    }

    /// How many in a thousand seconds.
    pub const fn per_thousand_seconds(self) -> u64 {
        self.per_thousand_seconds
    }

    /// How many at once.
    pub const fn burst(self) -> u32 {
        self.burst
    }
}

impl QuotaKind {
    /// The entry of the policy file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "per_second",
            Self::PerDay => "per_day",
            Self::Concurrent => "concurrent",
        }
    }
}

/// Whether it is ever counted: the others use no key of a token.
const fn is_counted(operation: Operation) -> bool {
    !matches!(
        operation,
        Operation::Get
            | Operation::EncryptField
            | Operation::ExplainMessage
            | Operation::GetPartner
    )
}

impl RawQuota {
    pub(super) fn compile(self, roles: &mut [Role]) -> Result<Quota, Fault> {
        let identities =
            named_identities(self.roles.as_deref(), self.identities.as_deref(), roles)?;
        if let Some(keys) = &self.keys {
            not_empty("keys", keys)?;
        }
        if let Some(operations) = &self.operations {
            not_empty("operations", operations)?;
            for one in operations.iter().copied() {
                let needs = one.needs();
                if !is_counted(one) {
                    return Err(InvalidQuota::Uncounted(one).into());
                }
                if self.keys.is_some() && needs.key == Need::Never && needs.partner == Need::Never {
                    return Err(InvalidQuota::Keyless(one).into());
                }
            }
        }
        let quota = Quota {
            rate: self.rate()?,
            per_day: self
                .per_day
                .map(|number| within("per_day", number, MOST_A_DAY))
                .transpose()?,
            concurrent: self
                .concurrent
                .map(|number| within("concurrent", number, u32::MAX.into()))
                .transpose()?
                .map(|number| u32::try_from(number).unwrap_or(u32::MAX)),
            name: Arc::from(self.name.into_inner().0),
            identities,
            keys: self.keys,
            operations: self
                .operations
                .map(|operations| operations.into_iter().collect()),
        };
        match (quota.rate, quota.per_day, quota.concurrent) {
            (None, None, None) => Err(InvalidQuota::Nothing.into()),
            _ => Ok(quota),
        }
    }

    fn rate(&self) -> Result<Option<Rate>, InvalidQuota> {
        let Some(per_second) = self.per_second else {
            return match self.burst {
                None => Ok(None),
                Some(_) => Err(InvalidQuota::IdleBurst),
            };
        };
        let thousandths = per_second * 1000.0;
        let is_whole = (thousandths - thousandths.round()).abs() < 1e-6;
        if !is_whole || !(1.0..=MOST_A_SECOND * 1000.0).contains(&thousandths) {
            return Err(InvalidQuota::Range {
                key: "per_second",
                given: per_second.to_string(),
                expected: format!("0.001 to {MOST_A_SECOND}, with at most three decimals"),
            });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 1 to 10^9"
        )]
        let per_thousand_seconds = thousandths.round() as u64;
        let least = per_thousand_seconds.div_ceil(1000);
        let burst = self.burst.unwrap_or(least);
        if !(least..=MOST_AT_ONCE).contains(&burst) {
            return Err(InvalidQuota::Range {
                key: "burst",
                given: burst.to_string(),
                expected: format!("{least}, which is what may come in a second, to {MOST_AT_ONCE}"),
            });
        }
        Ok(Some(Rate {
            per_thousand_seconds,
            burst: u32::try_from(burst).unwrap_or(u32::MAX),
        }))
    }
}

fn within(key: &'static str, number: u64, most: u64) -> Result<u64, InvalidQuota> {
    match (1..=most).contains(&number) {
        true => Ok(number),
        false => Err(InvalidQuota::Range {
            key,
            given: number.to_string(),
            expected: format!("1 to {most}; to allow nothing, take it out of the rules"),
        }),
    }
}

impl InvalidQuota {
    pub(super) const fn key(&self) -> &'static str {
        match self {
            Self::Nothing => "per_second",
            Self::Range { key, .. } => key,
            Self::IdleBurst => "burst",
            Self::Uncounted(_) | Self::Keyless(_) => "operations",
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (
            self.per_thousand_seconds / 1000,
            self.per_thousand_seconds % 1000,
        );
        write!(formatter, "{whole}")?;
        if rest > 0 {
            let decimals = format!("{rest:03}");
            write!(formatter, ".{}", decimals.trim_end_matches('0'))?;
        }
        write!(formatter, " a second, {} at once", self.burst)
    }
}

/// Its limits, without its name.
impl fmt::Display for Quota {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.rate.map(|rate| rate.to_string());
        let day = self.per_day.map(|number| format!("{number} a day"));
        let concurrent = self
            .concurrent
            .map(|number| format!("{number} at the same time"));
        let limits: Vec<_> = [rate, day, concurrent].into_iter().flatten().collect();
        let whose = match self.keys {
            Some(_) => "for each identity and key",
            None => "for each identity",
        };
        write!(formatter, "{} {whose}", limits.join(", "))
    }
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A use of a key that a quota does not let through now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the quota {quota} is used up: it allows {limit}; there is room again in {} s",
    after.as_secs_f64()
)]
pub struct QuotaExceeded {
    /// Which quota.
    pub quota: Arc<str>,
    /// What of it.
    pub kind: QuotaKind,
    /// Its limits.
    pub limit: String,
    /// When there is room again, if nobody else takes it.
    pub after: Duration,
}

const MOST_A_SECOND: f64 = 1_000_000.0;
const MOST_AT_ONCE: u64 = 10_000_000;
const MOST_A_DAY: u64 = 1_000_000_000_000;
