//! What is known of keys that PKCS#11 has no place for: which version is primary, which are disabled or go when.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    Store, Timestamp,
    database::{Row, Value},
    desk::{Failure, Transaction},
    error::StoreError,
    idempotency::{Begun, Claim, Request},
};
use crate::{
    identity::IdentityName,
    key::{KeyName, Version},
};

/// What is known of keys.
#[derive(Clone, Copy)]
pub struct Lifecycle<'a> {
    pub(super) store: &'a Store,
}

/// The number of a change: the later, the higher. 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// What is known of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// The change that made it so.
    pub revision: Revision,
    /// The version that signs when none is named.
    pub primary: Option<Version>,
    /// What people say of it.
    pub description: String,
    /// What programs say of it.
    pub labels: BTreeMap<String, String>,
    /// If it is rotated by schedule: how often, and when next.
    pub rotation: Option<Rotation>,
    /// How often each of its versions may be used to make something, if that is limited.
    pub maximum_uses: Option<u64>,
    /// Whether it was marked critical when it was made.
    pub critical: bool,
    /// Its versions, those that are gone among them.
    pub versions: BTreeMap<Version, VersionFacts>,
}

/// How a key is rotated by schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long from one to the next.
    pub period_seconds: u64,
    /// When the next is due.
    pub next: Timestamp,
}

/// What is known of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionFacts {
    /// What it may be used for now.
    pub state: VersionState,
    /// Who made it, if it was made here.
    pub created_by: Option<IdentityName>,
    /// When it was made, if it was made here.
    pub created_at: Option<Timestamp>,
    /// Since when it has been disabled.
    pub disabled_at: Option<Timestamp>,
    /// When it is to be destroyed, or was.
    pub destroy_at: Option<Timestamp>,
    /// Which request made it, if that had an id: so that who asks again finds it.
    pub request: Option<String>,
}

/// What a version may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// All that its key is for.
    Enabled,
    /// Nothing, until it is enabled again.
    Disabled,
    /// Nothing, and it will be destroyed if nobody restores it.
    DestroyScheduled,
    /// Nothing ever: the object is gone from the token.
    Destroyed,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The last change of all.
    pub revision: Revision,
    /// Every key that has changed, as it is now.
    pub keys: Vec<(KeyName, KeyFacts)>,
}

impl Lifecycle<'_> {
    /// What is known of a key; nothing, if nobody has said anything of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn key(&self, name: &KeyName) -> Result<Option<KeyFacts>, StoreError> {
        let mut transaction = self.store.reading().read().await?;
        let keys = read(
            &mut transaction,
            "key_facts.name = $1",
            name.as_str().into(),
        )
        .await?;
        transaction.rollback().await?;
        Ok(keys.into_iter().next().map(|(_, facts)| facts))
    }

    /// Replaces what is known of a key, if it is still what it was at `facts.revision`: 0 if nothing was known. Gives
    /// the new revision.
    ///
    /// # Errors
    ///
    /// [`StoreError::RevisionConflict`] if somebody else was faster; or another [`StoreError`].
    pub async fn update(&self, name: &KeyName, facts: &KeyFacts) -> Result<Revision, StoreError> {
        let mut transaction = self.store.writing().write().await?;
        let sql = "UPDATE revision SET value = value + 1 WHERE id = 1 RETURNING value";
        let rows = transaction.query(sql, &[]).await?;
        let revision = first(&rows)
            .and_then(|row| revision(row, 0))
            .map_err(Failure::from)?;
        let sql = "SELECT revision FROM key_facts WHERE name = $1";
        let rows = transaction.query(sql, &[name.as_str().into()]).await?;
        let found = rows.first().map(|row| self::revision(row, 0)).transpose();
        let found = found.map_err(Failure::from)?.unwrap_or_default();
        if found != facts.revision {
            transaction.rollback().await?;
            return Err(StoreError::RevisionConflict {
                key: name.clone(),
                expected: facts.revision,
                found,
            });
        }
        write(&mut transaction, name, facts, revision).await?;
        transaction.commit().await?;
        self.store.saw(revision);
        Ok(revision)
    }

    /// Everything that has changed since a revision; all that is known, since [`Revision`] 0.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn snapshot_since(&self, since: Revision) -> Result<Changes, StoreError> {
        let mut transaction = self.store.reading().read().await?;
        let revision = last(&mut transaction).await?;
        let keys = read(&mut transaction, "key_facts.revision > $1", number(since)).await?;
        transaction.rollback().await?;
        Ok(Changes { revision, keys })
    }

    /// Leave to change what the token has of a key, for one daemon and one act at a time: two that made the same version
    /// would leave twins, of which neither can be used. `None` while somebody else has it. It is given back when the
    /// claim is released or dropped, and at the latest after the lease.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn hold(
        &self,
        name: &KeyName,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let identity: IdentityName = HOLDER.parse().expect("a constant that is a name");
        let request = Request {
            identity: &identity,
            method: "hold",
            id: name.as_str(),
            content_hash: [0; 32],
        };
        Ok(
            match self.store.idempotency().begin(request, now, lease).await? {
                Begun::New(claim) => Some(claim),
                Begun::InProgress { .. } | Begun::Answered(_) | Begun::OtherContent => None,
            },
        )
    }

    /// How long a version that is to be destroyed can be restored: `[lifecycle]`.
    pub const fn destroy_delay(&self) -> Duration {
        Duration::from_secs(self.store.lifecycle.destroy_delay_seconds)
    }

    /// The last revision, which is looked for once a second: other daemons make changes too. When it changes, ask for
    /// [`Lifecycle::snapshot_since`].
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.store.revisions()
    }
}

/// The last revision of all.
pub(super) async fn last(transaction: &mut Transaction<'_>) -> Result<Revision, Failure> {
    let sql = "SELECT value FROM revision WHERE id = 1";
    let rows = transaction.query(sql, &[]).await?;
    Ok(revision(first(&rows)?, 0)?)
}

async fn read(
    transaction: &mut Transaction<'_>,
    which: &str,
    value: Value,
) -> Result<Vec<(KeyName, KeyFacts)>, Failure> {
    let sql = format!(
        "SELECT key_facts.name, revision, primary_version, description, labels, \
                version, state, created_by, created_at, disabled_at, destroy_at, \
                rotation_seconds, next_rotation_at, request, maximum_uses, critical \
         FROM key_facts LEFT JOIN version_facts ON version_facts.name = key_facts.name \
         WHERE {which} ORDER BY key_facts.name, version"
    );
    let mut keys: Vec<(KeyName, KeyFacts)> = Vec::new();
    for row in transaction.query(&sql, &[value]).await? {
        let name: KeyName = parsed(&row.text(0)?)?;
        if keys.last().is_none_or(|(last, _)| *last != name) {
            keys.push((name, key(&row)?));
        }
        if let (Some(version), Some((_, facts))) = (version(&row, 5)?, keys.last_mut()) {
            facts.versions.insert(version, version_facts(&row)?);
        }
    }
    Ok(keys)
}

async fn write(
    transaction: &mut Transaction<'_>,
    name: &KeyName,
    facts: &KeyFacts,
    revision: Revision,
) -> Result<(), Failure> {
    let key: Value = name.as_str().into();
    let labels =
        serde_json::to_string(&facts.labels).map_err(|error| strange(error.to_string()))?;
    let sql = "INSERT INTO key_facts (name, revision, primary_version, description, labels, \
                                      rotation_seconds, next_rotation_at, maximum_uses, critical) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
               ON CONFLICT (name) DO UPDATE \
               SET revision = excluded.revision, primary_version = excluded.primary_version, \
                   description = excluded.description, labels = excluded.labels, \
                   rotation_seconds = excluded.rotation_seconds, \
                   next_rotation_at = excluded.next_rotation_at, \
                   maximum_uses = excluded.maximum_uses, \
                   critical = excluded.critical";
    let primary = facts.primary.map(|version| i64::from(version.number()));
    let values = [
        key.clone(),
        number(revision),
        Value::Integer(primary),
        (&*facts.description).into(),
        (&*labels).into(),
        Value::Integer(facts.rotation.map(|one| one.period_seconds.cast_signed())),
        Value::Integer(facts.rotation.map(|one| one.next.0)),
        Value::Integer(facts.maximum_uses.map(u64::cast_signed)),
        i64::from(facts.critical).into(),
    ];
    transaction.query(sql, &values).await?;
    let sql = "DELETE FROM version_facts WHERE name = $1";
    transaction.query(sql, std::slice::from_ref(&key)).await?;
    for (version, facts) in &facts.versions {
        let sql = "INSERT INTO version_facts \
                   (name, version, state, created_by, created_at, disabled_at, destroy_at, request) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let moment = |time: Option<Timestamp>| Value::Integer(time.map(|time| time.0));
        let values = [
            key.clone(),
            i64::from(version.number()).into(),
            facts.state.name().into(),
            Value::Text(facts.created_by.as_ref().map(|by| by.as_str().to_owned())),
            moment(facts.created_at),
            moment(facts.disabled_at),
            moment(facts.destroy_at),
            Value::Text(facts.request.clone()),
        ];
        transaction.query(sql, &values).await?;
    }
    Ok(())
}

fn key(row: &Row) -> Result<KeyFacts, sqlx::Error> {
    Ok(KeyFacts {
        revision: revision(row, 1)?,
        primary: version(row, 2)?,
        description: row.text(3)?,
        labels: serde_json::from_str(&row.text(4)?).map_err(|error| strange(error.to_string()))?,
        rotation: rotation(row)?,
        maximum_uses: row.integer_if_any(14)?.map(i64::cast_unsigned),
        critical: row.integer(15)? != 0,
        versions: BTreeMap::new(),
    })
}

fn rotation(row: &Row) -> Result<Option<Rotation>, sqlx::Error> {
    let period = row.integer_if_any(11)?;
    let next = row.integer_if_any(12)?;
    Ok(period.zip(next).map(|(period, next)| Rotation {
        period_seconds: period.cast_unsigned(),
        next: Timestamp(next),
    }))
}

fn version_facts(row: &Row) -> Result<VersionFacts, sqlx::Error> {
    let moment = |column| Ok::<_, sqlx::Error>(row.integer_if_any(column)?.map(Timestamp));
    Ok(VersionFacts {
        state: parsed(&row.text(6)?)?,
        created_by: row.text_if_any(7)?.map(|by| parsed(&by)).transpose()?,
        created_at: moment(8)?,
        disabled_at: moment(9)?,
        destroy_at: moment(10)?,
        request: row.text_if_any(13)?,
    })
}

fn version(row: &Row, column: usize) -> Result<Option<Version>, sqlx::Error> {
    let number = row.integer_if_any(column)?;
    number
        .map(|number| {
            let version = u32::try_from(number).ok().and_then(Version::new);
            version.ok_or_else(|| strange(format!("{number} is not a version")))
        })
        .transpose()
}

fn revision(row: &Row, column: usize) -> Result<Revision, sqlx::Error> {
    let number = row.integer(column)?;
    let number = u64::try_from(number).map_err(|error| strange(error.to_string()))?;
    Ok(Revision(number))
}

fn number(revision: Revision) -> Value {
    i64::try_from(revision.0).unwrap_or(i64::MAX).into()
}

/// The one row that a statement must give.
pub(super) fn first(rows: &[Row]) -> Result<&Row, sqlx::Error> {
    rows.first().ok_or(sqlx::Error::RowNotFound)
}

/// A text of the store that was a name when it was written.
pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, sqlx::Error> {
    text.parse()
        .map_err(|error: T::Err| strange(error.to_string()))
}

fn strange(what: String) -> sqlx::Error {
    sqlx::Error::Protocol(format!("the store has what no release writes: {what}"))
}

impl VersionState {
    /// As it is written in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::DestroyScheduled => "destroy_scheduled",
            Self::Destroyed => "destroyed",
        }
    }
}

impl FromStr for VersionState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [
            Self::Enabled,
            Self::Disabled,
            Self::DestroyScheduled,
            Self::Destroyed,
        ];
        all.into_iter()
            .find(|state| state.name() == text)
            .ok_or_else(|| format!("{text:?} is not a state of a version"))
    }
}

impl fmt::Display for VersionState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// Whom the store knows as the one that holds keys: no client, since no certificate is for it.
const HOLDER: &str = "spiffe://chancery.internal/lifecycle";
