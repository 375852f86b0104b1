//! What the database is told and asked about requests: the questions of many callers in one transaction.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::{Answer, Begin, Complete, End, Found};
use crate::store::{
    Timestamp,
    database::{Value, pieces, places},
    desk::{Failure, Transaction},
    error::StoreError,
};

/// Lets every request be begun anew that was begun before; nobody else may have the store.
pub(in crate::store) async fn give_up_all(
    transaction: &mut Transaction<'_>,
) -> Result<(), Failure> {
    let sql = "UPDATE request SET lease = 0 WHERE answer IS NULL";
    transaction.query(sql, &[]).await.map(drop)
}

/// Locks the rows of requests, in the order in which every daemon does: of two that took them in different orders
/// each could wait for the other. A file is locked whole.
pub(in crate::store) async fn lock(
    transaction: &mut Transaction<'_>,
    completed: &[&Complete],
    begun: &[&Begin],
) -> Result<(), Failure> {
    if !transaction.locks_rows() {
        return Ok(());
    }
    let completed = completed.iter().map(|question| question.id_hash);
    let ids: BTreeSet<[u8; 32]> = completed
        .chain(begun.iter().map(|question| question.id_hash))
        .collect();
    for piece in pieces(&Vec::from_iter(ids)) {
        let sql = format!(
            "SELECT attempt FROM request WHERE id_hash IN {} ORDER BY id_hash FOR UPDATE",
            places(1, 1, piece.len())
        );
        let values: Vec<Value> = piece.iter().map(|id| id[..].into()).collect();
        transaction.query(&sql, &values).await?;
    }
    Ok(())
}

/// Answers questions that are sorted by id, within one transaction. Of several about the same id the first may get a
/// claim; the others are told what is so then.
pub(in crate::store) async fn begin(
    transaction: &mut Transaction<'_>,
    questions: &[&Begin],
) -> Result<Vec<Result<Found, StoreError>>, Failure> {
    let firsts: Vec<&Begin> = questions
        .chunk_by(|a, b| a.id_hash == b.id_hash)
        .map(|same| same[0])
        .collect();
    let mut claimed = HashMap::new();
    for piece in pieces(&firsts) {
        claimed.extend(claim(transaction, piece).await?);
    }
    let others: Vec<&Begin> = questions
        .iter()
        .filter(|question| !claimed.contains_key(&question.claim))
        .copied()
        .collect();
    let rows = find(transaction, &others).await?;
    let answer = |question: &&Begin| {
        if let Some(attempt) = claimed.get(&question.claim) {
            return Ok(Found::New { attempt: *attempt });
        }
        let row = rows.get(&question.id_hash[..]);
        let row = row.ok_or(sqlx::Error::RowNotFound)?;
        Ok(if row.content_hash != question.content_hash {
            Found::OtherContent
        } else if let Some(bytes) = &row.answer {
            Found::Answered(Answer {
                bytes: bytes.clone(),
                permitted: row.permitted.clone(),
            })
        } else {
            Found::InProgress {
                by: row.holder.clone(),
                since: row.started,
            }
        })
    };
    let answers = questions.iter().map(answer);
    answers.map(|answer| answer.map(Ok)).collect()
}

/// What the store has of a request.
struct Known {
    content_hash: Vec<u8>,
    answer: Option<Vec<u8>>,
    permitted: Option<String>,
    holder: String,
    started: Timestamp,
}

/// Claims what is new, expired, or given up.
async fn claim(
    transaction: &mut Transaction<'_>,
    questions: &[&Begin],
) -> Result<HashMap<Uuid, u32>, Failure> {
    let sql = format!(
        "INSERT INTO request (id_hash, content_hash, claim, holder, started, lease, expires, attempt) VALUES {} \
         ON CONFLICT (id_hash) DO UPDATE \
         SET content_hash = excluded.content_hash, claim = excluded.claim, holder = excluded.holder, \
             started = excluded.started, lease = excluded.lease, expires = excluded.expires, answer = NULL, permitted = NULL, \
             attempt = CASE WHEN request.expires <= excluded.started THEN 1 ELSE request.attempt + 1 END \
         WHERE request.expires <= excluded.started \
            OR (request.answer IS NULL AND request.lease <= excluded.started \
                AND request.content_hash = excluded.content_hash) \
         RETURNING claim, attempt",
        places(1, questions.len(), 8)
    );
    let mut values: Vec<Value> = Vec::with_capacity(questions.len() * 8);
    for question in questions {
        values.extend([
            (&question.id_hash[..]).into(),
            (&question.content_hash[..]).into(),
            (&question.claim.as_bytes()[..]).into(),
            (&*question.holder).into(),
            question.now.0.into(),
            question.lease.0.into(),
            question.expires.0.into(),
            1.into(),
        ]);
    }
    let mut claimed = HashMap::new();
    for row in transaction.query(&sql, &values).await? {
        let claim = Uuid::from_slice(&row.bytes(0)?)
            .map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
        claimed.insert(claim, u32::try_from(row.integer(1)?).unwrap_or(u32::MAX));
    }
    Ok(claimed)
}

/// What became of those that could not be claimed; their rows are there, and locked.
async fn find(
    transaction: &mut Transaction<'_>,
    questions: &[&Begin],
) -> Result<HashMap<Vec<u8>, Known>, Failure> {
    let ids: Vec<&[u8]> = questions
        .chunk_by(|a, b| a.id_hash == b.id_hash)
        .map(|same| &same[0].id_hash[..])
        .collect();
    let mut found = HashMap::with_capacity(ids.len());
    for piece in pieces(&ids) {
        let sql = format!(
            "SELECT id_hash, content_hash, answer, holder, started, permitted FROM request WHERE id_hash IN {}",
            places(1, 1, piece.len())
        );
        let values: Vec<Value> = piece.iter().map(|id| (*id).into()).collect();
        for row in transaction.query(&sql, &values).await? {
            let known = Known {
                content_hash: row.bytes(1)?,
                answer: row.bytes_if_any(2)?,
                holder: row.text(3)?,
                started: Timestamp(row.integer(4)?),
                permitted: row.text_if_any(5)?,
            };
            found.insert(row.bytes(0)?, known);
        }
    }
    Ok(found)
}

/// Ends claims.
pub(in crate::store) async fn complete(
    transaction: &mut Transaction<'_>,
    questions: &[&Complete],
) -> Result<Vec<Result<(), StoreError>>, Failure> {
    let mut current = vec![false; questions.len()];
    let of = |question: &Complete| -> [Value; 2] {
        [
            (&question.id_hash[..]).into(),
            (&question.claim.as_bytes()[..]).into(),
        ]
    };
    let mut answers = Vec::new();
    for (place, question) in questions.iter().enumerate() {
        let sql = match &question.end {
            End::Answer {
                bytes,
                permitted,
                expires,
            } => {
                answers.push((place, bytes, permitted, expires));
                continue;
            }
            End::NothingDone => {
                "DELETE FROM request WHERE id_hash = $1 AND claim = $2 AND answer IS NULL RETURNING attempt"
            }
            End::GivenUp => {
                "UPDATE request SET lease = 0 \
                 WHERE id_hash = $1 AND claim = $2 AND answer IS NULL RETURNING attempt"
            }
        };
        current[place] = !transaction.query(sql, &of(question)).await?.is_empty();
    }
    for piece in pieces(&answers) {
        let sql = format!(
            "UPDATE request SET answer = new.column3, permitted = new.column4, expires = new.column5 \
             FROM (VALUES {}) AS new \
             WHERE request.id_hash = new.column1 AND request.claim = new.column2 AND request.answer IS NULL \
             RETURNING request.claim",
            places(1, piece.len(), 5)
        );
        let mut values = Vec::with_capacity(piece.len() * 5);
        for (place, bytes, permitted, expires) in piece {
            values.extend(of(questions[*place]));
            values.extend([
                bytes[..].into(),
                permitted.as_str().into(),
                expires.0.into(),
            ]);
        }
        let mut kept: Vec<Vec<u8>> = Vec::with_capacity(piece.len());
        for row in transaction.query(&sql, &values).await? {
            kept.push(row.bytes(0)?);
        }
        kept.sort();
        for (place, _, _, _) in piece {
            let claim = &questions[*place].claim.as_bytes()[..];
            current[*place] = kept.binary_search_by(|one| (**one).cmp(claim)).is_ok();
        }
    }
    let answer = |current: bool| current.then_some(()).ok_or(StoreError::ClaimLost);
    Ok(current.into_iter().map(answer).collect())
}
