//! The policy that was in force last, so that a start is no way around what a reload refuses.

use super::{Store, Timestamp, desk::Failure, error::StoreError};

/// The memory of policies; it holds one.
#[derive(Clone, Copy)]
pub struct Policies<'a> {
    pub(super) store: &'a Store,
}

/// A policy that was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyInForce {
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
    /// Its text.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

impl Policies<'_> {
    /// The last that was remembered, by this daemon or another; none before the first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn last(&self) -> Result<Option<PolicyInForce>, StoreError> {
        let mut transaction = self.store.reading().read().await?;
        let sql = "SELECT sha256, text, since FROM policy_in_force WHERE id = 1";
        let rows = transaction.query(sql, &[]).await?;
        transaction.rollback().await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let read = || {
            let sha256 = row.bytes(0)?.try_into();
            Ok::<_, sqlx::Error>(PolicyInForce {
                sha256: sha256.map_err(|_| sqlx::Error::Protocol("not a SHA-256".to_owned()))?,
                text: row.text(1)?,
                since: Timestamp(row.integer(2)?),
            })
        };
        Ok(Some(read().map_err(Failure::from)?))
    }

    /// Remembers this one instead.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn remember(&self, policy: &PolicyInForce) -> Result<(), StoreError> {
        let mut transaction = self.store.writing().write().await?;
        let sql = "INSERT INTO policy_in_force (id, sha256, text, since) VALUES (1, $1, $2, $3) \
                   ON CONFLICT (id) DO UPDATE \
                   SET sha256 = excluded.sha256, text = excluded.text, since = excluded.since";
        let values = [
            (&policy.sha256[..]).into(),
            (&*policy.text).into(),
            policy.since.0.into(),
        ];
        transaction.query(sql, &values).await?;
        Ok(transaction.commit().await?)
    }
}
