//! What changes from one policy to another, as leave that somebody gains or loses, whatever the text.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use crate::policy::{
    Operation, Policy, Quota,
    table::{Universe, shortened},
};

/// One thing that is allowed otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// How.
    pub kind: ChangeKind,
    /// For whom: an identity, or a pattern.
    pub identity: String,
    /// On what, as in a table's row.
    pub on: String,
    /// What.
    pub operation: Operation,
    /// With which algorithms, or by which schemes.
    pub with: Vec<String>,
    /// The conditions before, of which one had to be met; empty if it was always allowed, or, of what is gained without
    /// conditions before, never.
    pub before: Vec<String>,
    /// The conditions after.
    pub after: Vec<String>,
}

/// How leave changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was denied, and is allowed.
    Gains,
    /// It was allowed on conditions, and is allowed on none.
    Widens,
    /// It is allowed on other conditions.
    Changes,
    /// It was allowed, and is allowed on conditions.
    Narrows,
    /// It was allowed, and is denied.
    Loses,
}

/// One quota that is another than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuotaChange {
    /// How leave changes by it: `widens` where more may be done, `narrows` where less.
    pub kind: ChangeKind,
    /// Its name.
    pub quota: String,
    /// Its limits before, if it was there.
    pub before: Option<String>,
    /// Its limits after, if it is there.
    pub after: Option<String>,
}

impl Policy {
    /// Which quotas another policy has otherwise, by their names. One that has another name alone is none of them.
    pub fn quota_changes_to(&self, other: &Self) -> Vec<QuotaChange> {
        let alike = |one: &Quota, other: &Quota| {
            one.bounds_like(other) && one.is_within(other) && other.is_within(one)
        };
        let new = |quotas: &'_ [Quota], quota: &Quota| !quotas.iter().any(|one| alike(one, quota));
        let of = |quotas: &[Quota], name: &str| {
            let mut named = quotas.iter().filter(|one| **one.name() == *name);
            named.next().cloned()
        };
        let names = self.quotas().iter().filter(|one| new(other.quotas(), one));
        let more = other.quotas().iter().filter(|one| new(self.quotas(), one));
        let names: BTreeSet<_> = names.chain(more).map(|one| one.name().clone()).collect();
        let change = |name: Arc<str>| {
            let (before, after) = (of(self.quotas(), &name), of(other.quotas(), &name));
            // One that now has another name is not gone.
            let before = before.filter(|one| after.is_some() || new(other.quotas(), one));
            let after = after.filter(|one| before.is_some() || new(self.quotas(), one));
            let kind = match (&before, &after) {
                (None, None) => return None,
                (None, Some(_)) => ChangeKind::Narrows,
                (Some(_), None) => ChangeKind::Widens,
                (Some(before), Some(after)) if before.bounds_like(after) => {
                    match (before.is_within(after), after.is_within(before)) {
                        (true, true) => return None,
                        (true, false) => ChangeKind::Widens,
                        (false, true) => ChangeKind::Narrows,
                        (false, false) => ChangeKind::Changes,
                    }
                }
                (Some(_), Some(_)) => ChangeKind::Changes,
            };
            Some(QuotaChange {
                kind,
                quota: name.to_string(),
                before: before.map(|one| one.to_string()),
                after: after.map(|one| one.to_string()),
            })
        };
        names.into_iter().filter_map(change).collect()
    }

    /// What another policy allows otherwise; empty if every request gets the same verdict from both.
    pub fn changes_to(&self, other: &Self) -> Vec<Change> {
        let universe = Universe::of([self, other]);
        let mut changes = Vec::new();
        universe.each(|cell| {
            let (before, after) = (self.grants(&universe, cell), other.grants(&universe, cell));
            let mut alike: BTreeMap<_, Vec<String>> = BTreeMap::new();
            let mut ways: Vec<_> = before.keys().chain(after.keys()).collect();
            ways.sort();
            ways.dedup();
            for way in ways {
                let conditions = |grants: Option<&BTreeMap<String, Vec<String>>>| {
                    grants
                        .map(|one| one.keys().cloned().collect::<Vec<_>>())
                        .unwrap_or_default()
                };
                let (old, new) = (conditions(before.get(way)), conditions(after.get(way)));
                if let Some(kind) = ChangeKind::of(&old, &new) {
                    alike.entry((kind, old, new)).or_default().push(way.clone());
                }
            }
            changes.extend(
                alike
                    .into_iter()
                    .map(|((kind, before, after), with)| Change {
                        kind,
                        identity: cell.0.to_string(),
                        on: cell.1.to_string(),
                        operation: cell.2,
                        with: shortened(cell.2, with),
                        before: said(before),
                        after: said(after),
                    }),
            );
        });
        changes
    }
}

impl ChangeKind {
    fn of(before: &[String], after: &[String]) -> Option<Self> {
        let free = |conditions: &[String]| conditions.iter().any(String::is_empty);
        if before == after {
            return None;
        }
        Some(match (before, after) {
            ([], _) => Self::Gains,
            (_, []) => Self::Loses,
            (_, after) if free(after) => Self::Widens,
            (before, _) if free(before) => Self::Narrows,
            _ => Self::Changes,
        })
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gains => "gains",
            Self::Widens => "widens",
            Self::Changes => "changes",
            Self::Narrows => "narrows",
            Self::Loses => "loses",
        }
    }
}

fn said(conditions: Vec<String>) -> Vec<String> {
    conditions
        .into_iter()
        .filter(|one| !one.is_empty())
        .collect()
}
