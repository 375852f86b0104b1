//! Callbacks already seen: each id is fresh once, and a duplicate for as long as it is remembered.

use std::collections::BTreeMap;

use super::{
    Store, Timestamp,
    database::{Value, pieces, places},
    desk::{Failure, Transaction},
    error::StoreError,
    writer::Job,
};

/// What became of a callback's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was not known; it is now, on disk, to every daemon that shares the store.
    Fresh,
    /// It was known already.
    Duplicate {
        /// When it came first.
        first_seen: Timestamp,
    },
}

/// The memory of callbacks.
#[derive(Clone, Copy)]
pub struct Replay<'a> {
    pub(super) store: &'a Store,
}

/// A question to that memory.
pub(super) struct Remember {
    pub(super) id: Id,
    pub(super) now: Timestamp,
    pub(super) expires: Timestamp,
}

/// Which callback: the order of the fields is the order in which rows are locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id {
    partner: String,
    scheme: String,
    hash: [u8; 32],
}

impl Replay<'_> {
    /// Remembers a callback until `expires`, and says whether it was known. `id_hash` is the SHA-256 of whatever
    /// the scheme takes for the callback's id.
    ///
    /// Ask when the callback has been found authentic, never before: else anybody could use up an id. `expires` must be no earlier
    /// than the moment from which the scheme refuses the callback as stale. A known id that has not expired is a
    /// duplicate, and is remembered until the later of both moments; one that has is fresh again. Clocks of daemons that share a
    /// store may differ by up to a minute.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: then the callback must be refused. After [`StoreError::Deadline`] and
    /// [`StoreError::Unavailable`] it may have been remembered all the same, and come again as a duplicate.
    pub async fn remember(
        &self,
        partner: &str,
        scheme: &str,
        id_hash: [u8; 32],
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<Seen, StoreError> {
        let question = Remember {
            id: Id {
                partner: partner.to_owned(),
                scheme: scheme.to_owned(),
                hash: id_hash,
            },
            now,
            expires,
        };
        self.store.ask(Job::Remember, question).await
    }

    /// Forgets some of what has expired, of partners from whom nothing comes any more too; says how many. Call it now
    /// and then; what a partner's own callbacks forget as they come keeps step with them.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut transaction = self.store.writing().write().await?;
        let rows = transaction
            .query("SELECT partner FROM replay_partner ORDER BY partner", &[])
            .await?;
        transaction.rollback().await?;
        let mut purged = 0;
        for row in rows {
            let partner = row.text(0).map_err(|error| StoreError::from(&error))?;
            loop {
                let mut transaction = self.store.writing().write().await?;
                let mut entries = lock(&mut transaction, &[&partner]).await?;
                let number = purge(&mut transaction, &partner, now, PURGED_AT_ONCE).await?;
                let left = entries.remove(&partner).unwrap_or(0) - number;
                set(&mut transaction, &partner, left).await?;
                transaction.commit().await?;
                purged += number.unsigned_abs();
                if number < PURGED_AT_ONCE {
                    break;
                }
            }
        }
        Ok(purged)
    }
}

/// Answers questions that are sorted by id and about different ids, within one transaction.
pub(super) async fn remember(
    transaction: &mut Transaction<'_>,
    questions: &[&Remember],
    limit: u64,
) -> Result<Vec<Result<Seen, StoreError>>, Failure> {
    let mut answers = Vec::with_capacity(questions.len());
    if questions.is_empty() {
        return Ok(answers);
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let shares: Vec<_> = questions
        .chunk_by(|a, b| a.id.partner == b.id.partner)
        .collect();
    let partners: Vec<_> = shares.iter().map(|share| &*share[0].id.partner).collect();
    let mut entries = lock(transaction, &partners).await?;
    for share in shares {
        let partner = &*share[0].id.partner;
        let before = entries.remove(partner).unwrap_or(0);
        // More than can come: so memory shrinks again when a rush is over.
        let most = 2 * share.len() as i64 + 16;
        let now = share.iter().map(|question| question.now).min();
        let mut left =
            before - purge(transaction, partner, now.unwrap_or(share[0].now), most).await?;
        let room = limit.saturating_sub(left);
        let admitted = if room >= share.len() as i64 {
            vec![true; share.len()]
        } else {
            admit(transaction, share, room).await?
        };
        let (asked, answered) = (share, &mut answers);
        let insiders: Vec<_> = asked
            .iter()
            .zip(&admitted)
            .filter_map(|(question, admitted)| admitted.then_some(*question))
            .collect();
        let (fresh, new) = insert(transaction, &insiders).await?;
        left += new;
        for (question, admitted) in asked.iter().zip(admitted) {
            answered.push(if !admitted {
                Err(StoreError::ReplayMemoryFull {
                    partner: partner.to_owned(),
                    limit: limit.unsigned_abs(),
                })
            } else if fresh.binary_search(&question.id).is_ok() {
                Ok(Seen::Fresh)
            } else {
                let first_seen = prolong(transaction, question).await?;
                Ok(Seen::Duplicate { first_seen })
            });
        }
        if left != before {
            set(transaction, partner, left).await?;
        }
    }
    Ok(answers)
}

/// Locks partners' counts, makes them where there are none, and reads them.
async fn lock(
    transaction: &mut Transaction<'_>,
    partners: &[&str],
) -> Result<BTreeMap<String, i64>, Failure> {
    let mut entries = BTreeMap::new();
    for piece in pieces(partners) {
        let values: Vec<Value> = piece.iter().map(|partner| (*partner).into()).collect();
        let rows: Vec<_> = (0..piece.len())
            .map(|row| format!("(${}, 0)", row + 1))
            .collect();
        let sql = format!(
            "INSERT INTO replay_partner (partner, entries) VALUES {} \
             ON CONFLICT (partner) DO UPDATE SET entries = replay_partner.entries \
             RETURNING partner, entries",
            rows.join(", ")
        );
        for row in transaction.query(&sql, &values).await? {
            entries.insert(row.text(0)?, row.integer(1)?);
        }
    }
    Ok(entries)
}

/// Writes a partner's count, which is locked.
async fn set(
    transaction: &mut Transaction<'_>,
    partner: &str,
    entries: i64,
) -> Result<(), Failure> {
    let sql = "UPDATE replay_partner SET entries = $2 WHERE partner = $1";
    transaction
        .query(sql, &[partner.into(), entries.into()])
        .await
        .map(drop)
}

/// Forgets up to `most` of what has expired; the oldest first.
async fn purge(
    transaction: &mut Transaction<'_>,
    partner: &str,
    now: Timestamp,
    most: i64,
) -> Result<i64, Failure> {
    // Another daemon, whose clock is behind, must find what for it has not expired.
    let before = now.0.saturating_sub(CLOCKS_DIFFER);
    let sql = "DELETE FROM replay WHERE (partner, scheme, id_hash) IN (\
                 SELECT partner, scheme, id_hash FROM replay WHERE partner = $1 AND expires <= $2 \
                 ORDER BY expires LIMIT $3) \
               RETURNING expires";
    let values = [partner.into(), before.into(), most.into()];
    let rows = transaction.query(sql, &values).await?;
    Ok(rows.len() as i64)
}

/// Which questions there is room for, where there is not enough for all: those whose id has a row already need none.
async fn admit(
    transaction: &mut Transaction<'_>,
    share: &[&Remember],
    mut room: i64,
) -> Result<Vec<bool>, Failure> {
    let mut admitted = Vec::with_capacity(share.len());
    for question in share {
        let sql = "SELECT expires FROM replay \
                   WHERE partner = $1 AND scheme = $2 AND id_hash = $3";
        let known = !transaction
            .query(sql, &question.id.values())
            .await?
            .is_empty();
        admitted.push(known || room > 0);
        if !known && room > 0 {
            room -= 1;
        }
    }
    Ok(admitted)
}

/// Writes those that are fresh. Says which they are, and how many of their rows are new.
async fn insert(
    transaction: &mut Transaction<'_>,
    questions: &[&Remember],
) -> Result<(Vec<Id>, i64), Failure> {
    let (mut fresh, mut new) = (Vec::with_capacity(questions.len()), 0);
    for piece in pieces(questions) {
        let sql = format!(
            "INSERT INTO replay (partner, scheme, id_hash, first_seen, expires) VALUES {} \
             ON CONFLICT (partner, scheme, id_hash) DO UPDATE \
             SET first_seen = excluded.first_seen, expires = excluded.expires, \
                 renewals = replay.renewals + 1 \
             WHERE replay.expires <= excluded.first_seen \
             RETURNING partner, scheme, id_hash, renewals",
            places(1, piece.len(), 5)
        );
        let mut values = Vec::with_capacity(piece.len() * 5);
        for question in piece {
            values.extend(question.id.values());
            values.extend([question.now.0.into(), question.expires.0.into()]);
        }
        for row in transaction.query(&sql, &values).await? {
            let hash = row.bytes(2)?;
            fresh.push(Id {
                partner: row.text(0)?,
                scheme: row.text(1)?,
                hash: hash.try_into().map_err(|_| not_a_hash())?,
            });
            new += i64::from(row.integer(3)? == 0);
        }
    }
    fresh.sort();
    Ok((fresh, new))
}

/// Remembers a known id until the later of both moments; says when it came first.
async fn prolong(
    transaction: &mut Transaction<'_>,
    question: &Remember,
) -> Result<Timestamp, Failure> {
    let sql = "UPDATE replay SET expires = CASE WHEN expires < $4 THEN $4 ELSE expires END \
               WHERE partner = $1 AND scheme = $2 AND id_hash = $3 RETURNING first_seen";
    let mut values = question.id.values().to_vec();
    values.push(question.expires.0.into());
    let rows = transaction.query(sql, &values).await?;
    // The statement before has found this row and locked it.
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Timestamp(row.integer(0)?))
}

impl Id {
    fn values(&self) -> [Value; 3] {
        [
            (&*self.partner).into(),
            (&*self.scheme).into(),
            (&self.hash[..]).into(),
        ]
    }
}

fn not_a_hash() -> sqlx::Error {
    sqlx::Error::Protocol("a hash in the store has not 32 bytes".to_owned())
}

/// How far the clocks of daemons that share a store may differ, in milliseconds.
const CLOCKS_DIFFER: i64 = 60_000;
/// How many expired ids one transaction forgets when nothing else is asked of it.
const PURGED_AT_ONCE: i64 = 1000;
