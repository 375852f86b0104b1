//! What people do to keys that are there: another version, what is said of it, off and on, the end.
//!
//! What is known is changed in the store first, where of two changes at once one is told to begin anew; the token follows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{KeyView, etag};
use crate::{
    audit::KeyAct,
    identity::IdentityName,
    key::{KeyName, KeyVersion, Version},
    pkcs11::Key,
    policy::{Lookup, Operation},
    signer::{Account, Call, Error, Found, Granted, Signer},
    store::{
        Claim, KeyFacts, Rotation, StoreError, Timestamp, VersionFacts as Facts, VersionState,
    },
};

/// What is to be changed of a key; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// What people say of it.
    pub description: Option<String>,
    /// What programs say of it.
    pub labels: Option<BTreeMap<String, String>>,
    /// The version that is used when none is named.
    pub primary: Option<Version>,
    /// How often it is rotated; `Some(None)` is never.
    pub rotation_period: Option<Option<Duration>>,
    /// How often each version may be used to make something; `Some(None)` is no limit.
    pub maximum_uses: Option<Option<u64>>,
    /// What the key's etag must be.
    pub etag: Option<String>,
}

/// Who makes a version, and for which request: so that who asks again finds it.
#[derive(Clone, Debug, Default)]
pub(in crate::signer) struct Maker {
    pub(in crate::signer) identity: Option<IdentityName>,
    pub(in crate::signer) request: Option<String>,
    /// Whether the key is marked critical with it.
    pub(in crate::signer) critical: bool,
}

impl Signer {
    /// Generates the next version of a key in its token.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn create_key_version(
        &self,
        call: &Call,
        name: &KeyName,
        make_primary: bool,
    ) -> Result<KeyView, Error> {
        let account = self.roll.open(call);
        let made = async {
            self.may_change(&account, call, name, Operation::Rotate)
                .await?;
            let found = self.find(name)?;
            let held = self.hold(name, call.deadline).await?;
            let made = self
                .next_version(&found, &held, Maker::of(call), make_primary, call.deadline)
                .await;
            self.let_go(Some(held), &made).await;
            let made = made?;
            account.made(&made, KeyAct::Created);
            Ok(made)
        };
        let made = made.await;
        account.close(made).await
    }

    /// Changes what is said of a key, which version is primary, and how often it is rotated.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn update_key(
        &self,
        call: &Call,
        name: &KeyName,
        update: Update,
    ) -> Result<KeyView, Error> {
        let account = self.roll.open(call);
        let updated = self.update(&account, call, name, &update).await;
        if let Ok(view) = &updated {
            let act = match update.primary {
                Some(_) => KeyAct::MadePrimary,
                None => KeyAct::Updated,
            };
            account.changed(view, update.primary, act);
        }
        account.close(updated).await
    }

    async fn update(
        &self,
        account: &Account,
        call: &Call,
        name: &KeyName,
        update: &Update,
    ) -> Result<KeyView, Error> {
        let says = update.description.is_some()
            || update.labels.is_some()
            || update.maximum_uses.is_some();
        let rotates = update.primary.is_some() || update.rotation_period.is_some();
        if says || !rotates {
            self.may_change(account, call, name, Operation::Update)
                .await?;
        }
        if rotates {
            self.may_change(account, call, name, Operation::Rotate)
                .await?;
        }
        let found = self.find(name)?;
        if matches!(update.rotation_period, Some(Some(_))) {
            is_ours(&found.key)?;
        }
        let now = self.time();
        let facts = self.change(name, update.etag.as_deref(), |facts| {
            if let Some(description) = &update.description {
                facts.description.clone_from(description);
            }
            if let Some(labels) = &update.labels {
                facts.labels.clone_from(labels);
            }
            if let Some(wanted) = update.maximum_uses {
                if let Some(maximum) = facts.maximum_uses
                    && wanted.is_none_or(|wanted| wanted > maximum)
                {
                    let key = name.clone();
                    return Err(Error::UsesRaised { key, maximum });
                }
                facts.maximum_uses = wanted;
            }
            if let Some(primary) = update.primary {
                let version = version_of(name, primary);
                let there = found.key.version(&version);
                there.ok_or_else(|| Error::NoSuchVersion(version.clone()))?;
                match state(facts, primary) {
                    VersionState::Enabled => facts.primary = Some(primary),
                    state => return Err(Error::VersionNotEnabled { version, state }),
                }
            }
            if let Some(period) = update.rotation_period {
                facts.rotation = period.map(|period| Rotation {
                    period_seconds: period.as_secs(),
                    next: now.after(period),
                });
                // From here on a new version is not the primary one by being there.
                facts.primary = facts.primary.or_else(|| Some(found.primary_number()));
            }
            Ok(())
        });
        let facts = facts.await?;
        self.changed(call, found, facts, "key updated")
    }

    /// Enables or disables a version.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn enable_key_version(
        &self,
        call: &Call,
        version: &KeyVersion,
        enable: bool,
        etag: Option<&str>,
    ) -> Result<KeyView, Error> {
        let wanted = if enable { "enabled" } else { "disabled" };
        let now = self.time();
        let account = self.roll.open(call);
        let turned = self.turn(
            &account,
            call,
            version,
            Operation::Update,
            etag,
            wanted,
            |facts| match facts.state {
                VersionState::Enabled | VersionState::Disabled => {
                    facts.state = match enable {
                        true => VersionState::Enabled,
                        false => VersionState::Disabled,
                    };
                    facts.disabled_at = (!enable).then(|| facts.disabled_at.unwrap_or(now));
                    Ok(())
                }
                VersionState::DestroyScheduled => Err("a version that was restored first"),
                VersionState::Destroyed => Err("a version that is still there"),
            },
        );
        let turned = turned.await;
        let act = match enable {
            true => KeyAct::Enabled,
            false => KeyAct::Disabled,
        };
        close(account, version, act, turned).await
    }

    /// Leave of the policy to change a key.
    pub(super) async fn may_change(
        &self,
        account: &Account,
        call: &Call,
        name: &KeyName,
        operation: Operation,
    ) -> Result<(), Error> {
        let granted = self.allowed_change(account, call, name, operation)?;
        account.begin(&granted, None, None).await
    }

    pub(super) fn allowed_change(
        &self,
        account: &Account,
        call: &Call,
        name: &KeyName,
        operation: Operation,
    ) -> Result<Granted<Lookup>, Error> {
        let policy = self.policy.load();
        let verdict = policy.authorize_change(&call.identity, name, operation, self.clock.now());
        account.authorized(verdict)
    }

    /// Brings one version into another state, for those who may.
    #[expect(clippy::too_many_arguments, reason = "who, what, and how it turns")]
    pub(super) async fn turn(
        &self,
        account: &Account,
        call: &Call,
        version: &KeyVersion,
        operation: Operation,
        etag: Option<&str>,
        wanted: &'static str,
        turn: impl Fn(&mut Facts) -> Result<(), &'static str>,
    ) -> Result<KeyView, Error> {
        self.may_change(account, call, &version.key, operation)
            .await?;
        self.turned(call, version, etag, wanted, turn).await
    }

    pub(super) async fn turned(
        &self,
        call: &Call,
        version: &KeyVersion,
        etag: Option<&str>,
        wanted: &'static str,
        turn: impl Fn(&mut Facts) -> Result<(), &'static str>,
    ) -> Result<KeyView, Error> {
        let view = self.known_view(&version.key)?;
        let listed = view
            .key
            .as_ref()
            .is_some_and(|key| key.version(version).is_some());
        if !listed && !view.facts.versions.contains_key(&version.version) {
            return Err(Error::NoSuchVersion(version.clone()));
        }
        let facts = self.change(&version.key, etag, |facts| {
            let one = facts.versions.entry(version.version).or_insert_with(unsaid);
            let state = one.state;
            turn(one).map_err(|expected| Error::Transition {
                version: version.clone(),
                state,
                wanted,
                expected,
            })
        });
        let facts = facts.await?;
        tracing::info!(client.id = %call.identity.name(), key = %version, wanted, "key version changed");
        Ok(KeyView { facts, ..view })
    }

    /// Waits until the log has on its disk what is about to be done. Of a signature nothing is left if the power fails
    /// before it is answered; of a key, or what the store has of one, everything is.
    pub(in crate::signer) async fn recorded(&self) -> Result<(), Error> {
        match self.audit() {
            Some(audit) => Ok(audit.on_disk().await?),
            None => Ok(()),
        }
    }

    /// Changes what is known of a key, on top of whatever it is when the change is made.
    pub(in crate::signer) async fn change(
        &self,
        name: &KeyName,
        wanted: Option<&str>,
        change: impl Fn(&mut KeyFacts) -> Result<(), Error>,
    ) -> Result<Arc<KeyFacts>, Error> {
        let store = self.lives.store()?;
        self.recorded().await?;
        let mut conflict = None;
        for _ in 0..MOST_TRIES {
            let mut facts = store.lifecycle().key(name).await?.unwrap_or_default();
            let found = etag(facts.revision);
            if let Some(given) = wanted.filter(|given| *given != found) {
                return Err(Error::EtagMismatch {
                    key: name.clone(),
                    given: given.to_owned(),
                    found,
                });
            }
            change(&mut facts)?;
            match store.lifecycle().update(name, &facts).await {
                Ok(revision) => {
                    facts.revision = revision;
                    return Ok(self.lives.learn(name, facts));
                }
                Err(error @ StoreError::RevisionConflict { .. }) => conflict = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(conflict.map_or(Error::NoStore, Error::Store))
    }

    /// Makes the next version, for whoever holds the key.
    pub(super) async fn next_version(
        &self,
        found: &Found,
        held: &Claim,
        maker: Maker,
        make_primary: bool,
        deadline: Instant,
    ) -> Result<KeyView, Error> {
        is_ours(&found.key)?;
        let name = &found.key.name;
        found.token.refresh().await?;
        let found = self.find(name)?;
        // A new version must not be the primary one just by being there.
        let facts = self
            .change(name, None, |facts| {
                facts.primary = facts.primary.or_else(|| Some(found.primary_number()));
                Ok(())
            })
            .await?;
        let wanted = maker.request.as_ref();
        let made_before = facts
            .versions
            .iter()
            .find(|(_, one)| wanted.is_some() && one.request.as_ref() == wanted);
        if made_before.is_some() {
            return Ok(self.view(found.key));
        }
        let newest = found.key.newest().version.version;
        let last = facts.versions.keys().next_back().copied();
        // Whoever had the key before was cut off between the token and the store.
        let left = held.attempt() > 1 && last.is_some_and(|last| last < newest);
        let (version, key) = if left {
            (newest, Arc::clone(&found.key))
        } else {
            let version = self.next_number(&found.key, &facts)?;
            let made = found.token.create_version(name, version, deadline).await?;
            (version, made)
        };
        let facts = self.enter(name, version, maker, make_primary).await?;
        tracing::info!(key = %version_of(name, version), make_primary, "key version created");
        Ok(KeyView {
            name: name.clone(),
            key: Some(key),
            facts,
        })
    }

    /// The number of the next version: of those that were destroyed none is used again.
    pub(in crate::signer) fn next_number(
        &self,
        key: &Key,
        facts: &KeyFacts,
    ) -> Result<Version, Error> {
        let newest = key.newest().version.version;
        let last = facts.versions.keys().next_back().copied();
        let last = last.map_or(newest, |last| last.max(newest));
        last.number()
            .checked_add(1)
            .and_then(Version::new)
            .ok_or_else(|| Error::NotRotatable(key.name.clone()))
    }

    /// Says of a version that it was made, by whom and when.
    pub(in crate::signer) async fn enter(
        &self,
        name: &KeyName,
        version: Version,
        maker: Maker,
        make_primary: bool,
    ) -> Result<Arc<KeyFacts>, Error> {
        let now = self.time();
        self.change(name, None, |facts| {
            let made = Facts {
                created_by: maker.identity.clone(),
                created_at: Some(now),
                request: maker.request.clone(),
                ..unsaid()
            };
            facts.versions.insert(version, made);
            facts.critical |= maker.critical;
            if make_primary {
                facts.primary = Some(version);
                if let Some(rotation) = &mut facts.rotation {
                    rotation.next = now.after(Duration::from_secs(rotation.period_seconds));
                }
            }
            Ok(())
        })
        .await
    }

    /// A key, also one of which the token has nothing any more.
    pub(in crate::signer) fn known_view(&self, name: &KeyName) -> Result<KeyView, Error> {
        match self.find(name) {
            Ok(found) => Ok(self.view(found.key)),
            Err(Error::NoSuchKey(missing)) => match self.lives.facts(name) {
                Some(facts) if !facts.versions.is_empty() => Ok(KeyView {
                    name: missing,
                    key: None,
                    facts,
                }),
                _ => Err(Error::NoSuchKey(missing)),
            },
            Err(error) => Err(error),
        }
    }

    pub(in crate::signer) fn time(&self) -> Timestamp {
        Timestamp(i64::try_from(self.clock.now().0).unwrap_or(i64::MAX))
    }

    fn changed(
        &self,
        call: &Call,
        found: Found,
        facts: Arc<KeyFacts>,
        what: &'static str,
    ) -> Result<KeyView, Error> {
        tracing::info!(client.id = %call.identity.name(), key = %found.key.name, what);
        Ok(KeyView {
            name: found.key.name.clone(),
            key: Some(found.key),
            facts,
        })
    }
}

impl Maker {
    pub(in crate::signer) fn of(call: &Call) -> Self {
        Self {
            identity: Some(call.identity.name().clone()),
            request: call.request.clone(),
            critical: false,
        }
    }
}

/// Records what a version was turned into.
pub(super) async fn close(
    account: Account,
    version: &KeyVersion,
    act: KeyAct,
    turned: Result<KeyView, Error>,
) -> Result<KeyView, Error> {
    if let Ok(view) = &turned {
        account.changed(view, Some(version.version), act);
    }
    account.close(turned).await
}

/// Versions of adopted keys are made where the first was: no record here says what they are for.
fn is_ours(key: &Key) -> Result<(), Error> {
    match key.newest().adopted {
        true => Err(Error::NotRotatable(key.name.clone())),
        false => Ok(()),
    }
}

fn state(facts: &KeyFacts, version: Version) -> VersionState {
    super::state(Some(facts), version)
}

/// A version of which nothing is said.
pub(in crate::signer) const fn unsaid() -> Facts {
    Facts {
        state: VersionState::Enabled,
        created_by: None,
        created_at: None,
        disabled_at: None,
        destroy_at: None,
        request: None,
    }
}

pub(super) fn version_of(name: &KeyName, version: Version) -> KeyVersion {
    KeyVersion {
        key: name.clone(),
        version,
    }
}

/// How often a change is made anew on top of somebody else's.
const MOST_TRIES: u32 = 10;
