//! Acts that need approval: proposed by one, approved by others, executed once.

use uuid::Uuid;

use super::{
    Store, Timestamp,
    database::{Row, Value},
    desk::{Failure, Transaction},
    error::{Refusal, StoreError},
    lifecycle::{first, parsed},
};
use crate::identity::IdentityName;

/// The proposals.
#[derive(Clone, Copy)]
pub struct Proposals<'a> {
    pub(super) store: &'a Store,
}

/// What is proposed.
#[derive(Clone, Debug)]
pub struct NewProposal<'a> {
    /// What is to be done, such as `destroy`.
    pub act: &'a str,
    /// To what, such as a key's name.
    pub subject: &'a str,
    /// All else that is needed to do it. Nothing secret: it is kept as it is.
    pub content: &'a [u8],
    /// Who proposes it.
    pub author: &'a IdentityName,
    /// How many others must approve.
    pub required: u32,
    /// When it can't be approved or executed any more.
    pub expires_at: Timestamp,
}

/// A proposal and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its number; later ones are greater.
    pub id: Uuid,
    /// What is to be done.
    pub act: String,
    /// To what.
    pub subject: String,
    /// All else that is needed to do it.
    pub content: Vec<u8>,
    /// Who proposed it.
    pub author: IdentityName,
    /// How many others must approve.
    pub required: u32,
    /// When it was proposed.
    pub proposed_at: Timestamp,
    /// When it can't be approved or executed any more.
    pub expires_at: Timestamp,
    /// When its author took it back.
    pub withdrawn_at: Option<Timestamp>,
    /// Who approved it, and when.
    pub approvals: Vec<(IdentityName, Timestamp)>,
    /// Its execution.
    pub execution: Option<Execution>,
}

/// Who executes a proposal, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Who.
    pub by: IdentityName,
    /// When it began.
    pub at: Timestamp,
    /// How it ended. Nothing, while it is being done; or for ever, if the daemon that did it ended before.
    pub outcome: Option<String>,
}

impl Proposals<'_> {
    /// Writes a proposal down. Daemons that share a server and are asked at the same instant may let through one more
    /// each than the limit says.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooManyProposals`], if as many of its author stand open as may; or another [`StoreError`].
    pub async fn propose(
        &self,
        new: NewProposal<'_>,
        now: Timestamp,
    ) -> Result<Proposal, StoreError> {
        let id = Uuid::now_v7();
        if new.expires_at <= now {
            return Err(refused(id, Refusal::Expired));
        }
        let mut transaction = self.store.writing().write().await?;
        let sql = "SELECT count(*) FROM proposal \
                   WHERE author = $1 AND expires_at > $2 \
                     AND withdrawn_at IS NULL AND executed_at IS NULL";
        let rows = transaction
            .query(sql, &[new.author.as_str().into(), now.0.into()])
            .await?;
        let open = first(&rows).and_then(|row| row.integer(0));
        let limit = self.store.most_proposals;
        if open.map_err(Failure::from)?.unsigned_abs() >= limit {
            transaction.rollback().await?;
            return Err(StoreError::TooManyProposals { limit });
        }
        let sql = "INSERT INTO proposal \
                   (id, act, subject, content, author, required, proposed_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let values = [
            text(id),
            new.act.into(),
            new.subject.into(),
            new.content.into(),
            new.author.as_str().into(),
            i64::from(new.required.max(1)).into(),
            now.0.into(),
            new.expires_at.0.into(),
        ];
        transaction.query(sql, &values).await?;
        let proposal = read(&mut transaction, id).await?;
        transaction.commit().await?;
        proposal.ok_or(StoreError::NoSuchProposal(id))
    }

    /// Approves a proposal that stands open.
    ///
    /// # Errors
    ///
    /// [`StoreError::Proposal`], if it can't be approved, or not by this identity; or another [`StoreError`].
    pub async fn approve(
        &self,
        id: Uuid,
        approver: &IdentityName,
        now: Timestamp,
    ) -> Result<Proposal, StoreError> {
        let (mut transaction, proposal) = self.lock(id).await?;
        let before = proposal.approvals.iter().any(|(by, _)| by == approver);
        let refusal = match proposal.closed(now) {
            Some(refusal) => Some(refusal),
            None if proposal.author == *approver => Some(Refusal::OwnAuthor),
            None => before.then_some(Refusal::ApprovedBefore),
        };
        if let Some(refusal) = refusal {
            return Err(refused(id, refusal));
        }
        let sql = "INSERT INTO approval (proposal, author, approver, approved_at) \
                   VALUES ($1, $2, $3, $4)";
        let values = [
            text(id),
            proposal.author.as_str().into(),
            approver.as_str().into(),
            now.0.into(),
        ];
        transaction.query(sql, &values).await?;
        finish(transaction, id).await
    }

    /// Takes a proposal back, which its author alone can.
    ///
    /// # Errors
    ///
    /// [`StoreError::Proposal`], if it is executed already or somebody else's; or another [`StoreError`].
    pub async fn withdraw(
        &self,
        id: Uuid,
        author: &IdentityName,
        now: Timestamp,
    ) -> Result<Proposal, StoreError> {
        let (mut transaction, proposal) = self.lock(id).await?;
        if proposal.author != *author {
            return Err(refused(id, Refusal::NotItsAuthor));
        }
        if let Some(refusal) = proposal.closed(now) {
            return Err(refused(id, refusal));
        }
        let sql = "UPDATE proposal SET withdrawn_at = $2 WHERE id = $1";
        transaction.query(sql, &[text(id), now.0.into()]).await?;
        finish(transaction, id).await
    }

    /// Takes the one right to do what is proposed. Do it when this returns `Ok`, then say what came of it with [`Proposals::finish`].
    /// Whatever comes of it, it is not executed again: what failed is proposed anew.
    ///
    /// # Errors
    ///
    /// [`StoreError::Proposal`], if too few have approved, or it was executed or withdrawn, or has expired; or another
    /// [`StoreError`]: then nothing may be done.
    pub async fn execute(
        &self,
        id: Uuid,
        by: &IdentityName,
        now: Timestamp,
    ) -> Result<Proposal, StoreError> {
        let (mut transaction, proposal) = self.lock(id).await?;
        let given = u32::try_from(proposal.approvals.len()).unwrap_or(u32::MAX);
        let required = proposal.required;
        let refusal = proposal
            .closed(now)
            .or_else(|| (given < required).then_some(Refusal::Unapproved { given, required }));
        if let Some(refusal) = refusal {
            return Err(refused(id, refusal));
        }
        let sql = "UPDATE proposal SET executed_by = $2, executed_at = $3 \
                   WHERE id = $1 AND executed_at IS NULL";
        let values = [text(id), by.as_str().into(), now.0.into()];
        transaction.query(sql, &values).await?;
        finish(transaction, id).await
    }

    /// Says how the execution ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Proposal`], if it is not being executed or its outcome is known; or another [`StoreError`].
    pub async fn finish(&self, id: Uuid, outcome: &str) -> Result<Proposal, StoreError> {
        let (mut transaction, proposal) = self.lock(id).await?;
        if proposal
            .execution
            .is_none_or(|execution| execution.outcome.is_some())
        {
            return Err(refused(id, Refusal::NotExecuting));
        }
        let sql = "UPDATE proposal SET outcome = $2 WHERE id = $1";
        transaction.query(sql, &[text(id), outcome.into()]).await?;
        finish(transaction, id).await
    }

    /// One proposal.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchProposal`], or another [`StoreError`].
    pub async fn proposal(&self, id: Uuid) -> Result<Proposal, StoreError> {
        let mut transaction = self.store.reading().read().await?;
        let proposal = read(&mut transaction, id).await?;
        transaction.rollback().await?;
        proposal.ok_or(StoreError::NoSuchProposal(id))
    }

    /// Proposals, the latest first, that are older than `before`, if that is given.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn list(&self, before: Option<Uuid>, most: u32) -> Result<Vec<Proposal>, StoreError> {
        let before = before.map_or_else(|| "g".into(), text);
        let sql = "SELECT id FROM proposal WHERE id < $1 ORDER BY id DESC LIMIT $2";
        self.all(sql, &[before, i64::from(most).into()]).await
    }

    /// Those whose ids a query gives.
    async fn all(&self, sql: &str, values: &[Value]) -> Result<Vec<Proposal>, StoreError> {
        let mut transaction = self.store.reading().read().await?;
        let mut proposals = Vec::new();
        for row in transaction.query(sql, values).await? {
            let id = row.text(0).and_then(|id| parsed(&id));
            let id = id.map_err(Failure::from)?;
            proposals.extend(read(&mut transaction, id).await?);
        }
        transaction.rollback().await?;
        Ok(proposals)
    }

    /// Those that are about this, the latest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn about(&self, act: &str, subject: &str) -> Result<Vec<Proposal>, StoreError> {
        let sql = "SELECT id FROM proposal WHERE act = $1 AND subject = $2 ORDER BY id DESC";
        self.all(sql, &[act.into(), subject.into()]).await
    }

    /// Those whose time was over before anybody executed or withdrew them, and of which that was not told yet.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn expired(&self, now: Timestamp) -> Result<Vec<Proposal>, StoreError> {
        let sql = "SELECT id FROM proposal \
                   WHERE expires_at <= $1 AND expiry_told_at IS NULL \
                     AND withdrawn_at IS NULL AND executed_at IS NULL \
                   ORDER BY id";
        self.all(sql, &[now.0.into()]).await
    }

    /// It was told that it has expired.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn told_expiry(&self, id: Uuid, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.store.writing().write().await?;
        let sql = "UPDATE proposal SET expiry_told_at = $2 WHERE id = $1";
        transaction.query(sql, &[text(id), now.0.into()]).await?;
        Ok(transaction.commit().await?)
    }

    /// Nobody else changes the proposal until the transaction ends.
    async fn lock(&self, id: Uuid) -> Result<(Transaction<'_>, Proposal), StoreError> {
        let mut transaction = self.store.writing().write().await?;
        let sql = "UPDATE proposal SET required = required WHERE id = $1";
        transaction.query(sql, &[text(id)]).await?;
        let proposal = read(&mut transaction, id).await?;
        let proposal = proposal.ok_or(StoreError::NoSuchProposal(id))?;
        Ok((transaction, proposal))
    }
}

impl Proposal {
    /// Why it stands no longer open, if so.
    pub fn closed(&self, now: Timestamp) -> Option<Refusal> {
        if self.execution.is_some() {
            Some(Refusal::Executed)
        } else if self.withdrawn_at.is_some() {
            Some(Refusal::Withdrawn)
        } else {
            (self.expires_at <= now).then_some(Refusal::Expired)
        }
    }
}

async fn finish(mut transaction: Transaction<'_>, id: Uuid) -> Result<Proposal, StoreError> {
    let proposal = read(&mut transaction, id).await?;
    transaction.commit().await?;
    proposal.ok_or(StoreError::NoSuchProposal(id))
}

async fn read(transaction: &mut Transaction<'_>, id: Uuid) -> Result<Option<Proposal>, Failure> {
    let sql = "SELECT act, subject, content, author, required, proposed_at, expires_at, \
                      withdrawn_at, executed_by, executed_at, outcome \
               FROM proposal WHERE id = $1";
    let rows = transaction.query(sql, &[text(id)]).await?;
    let Ok(row) = first(&rows) else {
        return Ok(None);
    };
    let sql = "SELECT approver, approved_at FROM approval WHERE proposal = $1 \
               ORDER BY approved_at, approver";
    let mut approvals = Vec::new();
    for row in transaction.query(sql, &[text(id)]).await? {
        approvals.push((parsed(&row.text(0)?)?, Timestamp(row.integer(1)?)));
    }
    Ok(Some(Proposal {
        id,
        act: row.text(0)?,
        subject: row.text(1)?,
        content: row.bytes(2)?,
        author: parsed(&row.text(3)?)?,
        required: u32::try_from(row.integer(4)?).unwrap_or(u32::MAX),
        proposed_at: Timestamp(row.integer(5)?),
        expires_at: Timestamp(row.integer(6)?),
        withdrawn_at: row.integer_if_any(7)?.map(Timestamp),
        approvals,
        execution: execution(row)?,
    }))
}

fn execution(row: &Row) -> Result<Option<Execution>, sqlx::Error> {
    let (Some(by), Some(at)) = (row.text_if_any(8)?, row.integer_if_any(9)?) else {
        return Ok(None);
    };
    Ok(Some(Execution {
        by: parsed(&by)?,
        at: Timestamp(at),
        outcome: row.text_if_any(10)?,
    }))
}

fn text(id: Uuid) -> Value {
    (&*id.to_string()).into()
}

fn refused(id: Uuid, refusal: Refusal) -> StoreError {
    StoreError::Proposal { id, refusal }
}
