//! What changes from one policy to another, as leave that somebody gains or loses, whatever the text.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::policy::{
    Operation, Policy,
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

impl Policy {
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
