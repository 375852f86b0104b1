//! Counts: what an identity did in a day, and how often a version of a key was used.

use std::collections::BTreeMap;

use super::{
    Store, Timestamp,
    database::{Value, pieces, places},
    desk::{Failure, Transaction},
    error::StoreError,
    writer::Job,
};
use crate::key::{KeyName, KeyVersion};

/// The counts.
#[derive(Clone, Copy)]
pub struct Counters<'a> {
    pub(super) store: &'a Store,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub enum Counter<'a> {
    /// What an identity did in one day.
    OfDay {
        /// Under which quota.
        quota: &'a str,
        /// Who.
        identity: &'a str,
        /// With which key; or with any.
        key: Option<&'a KeyName>,
        /// On which day.
        day: Day,
    },
    /// How often a version of a key was used, ever.
    Uses(&'a KeyVersion),
}

/// A day of UTC, by how many came before it since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

/// A question to the counts: which row, and how much comes to it.
pub(super) struct Add {
    row: Row,
    number: i64,
}

/// The order of the fields is the order in which rows are locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    identity: String,
    key: String,
    day: i64,
}

impl Counters<'_> {
    /// Adds to a count, and says what it comes to. With 0 it only says.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; after [`StoreError::Deadline`] and [`StoreError::Unavailable`] it may have been added all the
    /// same.
    pub async fn add(&self, counter: Counter<'_>, number: u32) -> Result<u64, StoreError> {
        let question = Add {
            row: counter.row(),
            number: number.into(),
        };
        self.store.ask(Job::Add, question).await
    }

    /// Forgets the counts of days before this one; says how many rows. Call it once a day.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn purge(&self, before: Day) -> Result<u64, StoreError> {
        let mut transaction = self.store.writing().write().await?;
        let sql = "DELETE FROM counter WHERE day > 0 AND day < $1 RETURNING day";
        let rows = transaction
            .query(sql, &[i64::from(before.0).into()])
            .await?;
        transaction.commit().await?;
        Ok(rows.len() as u64)
    }
}

impl Counter<'_> {
    fn row(&self) -> Row {
        match self {
            // No name of a quota has a slash.
            Self::OfDay {
                quota,
                identity,
                key,
                day,
            } => Row {
                identity: (*identity).to_owned(),
                key: format!("{quota}/{}", key.map_or("", KeyName::as_str)),
                day: day.0.into(),
            },
            // No identity is empty.
            Self::Uses(version) => Row {
                identity: String::new(),
                key: version.to_string(),
                day: 0,
            },
        }
    }
}

impl From<Timestamp> for Day {
    fn from(time: Timestamp) -> Self {
        let days = time.0.div_euclid(86_400_000);
        // Day 0 is that of counts for ever.
        Self(u32::try_from(days).unwrap_or(0).max(1))
    }
}

/// Adds, within one transaction; each question is told what the count came to with it.
pub(super) async fn add(
    transaction: &mut Transaction<'_>,
    questions: &[&Add],
) -> Result<Vec<Result<u64, StoreError>>, Failure> {
    let mut sums: BTreeMap<&Row, i64> = BTreeMap::new();
    for question in questions {
        *sums.entry(&question.row).or_default() += question.number;
    }
    let sorted: Vec<_> = sums.iter().map(|(row, sum)| (*row, *sum)).collect();
    // What each count was before; then what it is after each question.
    let mut totals = BTreeMap::new();
    for piece in pieces(&sorted) {
        let sql = format!(
            "INSERT INTO counter (identity, key, day, total) VALUES {} \
             ON CONFLICT (identity, key, day) DO UPDATE SET total = counter.total + excluded.total \
             RETURNING identity, key, day, total",
            places(1, piece.len(), 4)
        );
        let mut values: Vec<Value> = Vec::with_capacity(piece.len() * 4);
        for (row, sum) in piece {
            values.extend([
                (&*row.identity).into(),
                (&*row.key).into(),
                row.day.into(),
                (*sum).into(),
            ]);
        }
        for row in transaction.query(&sql, &values).await? {
            let (total, row) = (
                row.integer(3)?,
                Row {
                    identity: row.text(0)?,
                    key: row.text(1)?,
                    day: row.integer(2)?,
                },
            );
            let sum = sums.get(&row).copied().unwrap_or(0);
            totals.insert(row, total - sum);
        }
    }
    let mut answers = Vec::with_capacity(questions.len());
    for question in questions {
        let total = totals
            .get_mut(&question.row)
            .ok_or(sqlx::Error::RowNotFound)?;
        *total += question.number;
        answers.push(Ok(u64::try_from(*total).unwrap_or(0)));
    }
    Ok(answers)
}
