//! What is known of keys beside the token: which version is primary, which may be used. Kept in memory, so that a
//! signature asks no store; read anew when the store says that something has changed.
//!
//! A version of which nothing is said is enabled: the token had it before this daemon, or its maker was cut off.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, MutexGuard, PoisonError},
};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::{Error, Found, Selector, Signer};
use crate::{
    key::{KeyName, KeyVersion, Version},
    pkcs11::{Health, Key, VersionFacts},
    policy::Operation,
    store::{Changes, Health as StoreHealth, KeyFacts, Revision, Store, StoreError, VersionState},
};

pub use acts::Update;
pub use keeper::keep;

pub(super) use acts::Maker;
pub(super) use turns::Waiting;

mod acts;
mod destruction;
mod keeper;
mod turns;

/// What is known of all keys, and where it comes from.
pub(super) struct Lives {
    store: Option<Store>,
    known: ArcSwapOption<Known>,
    reading: Mutex<()>,
    /// What was recorded as due, until it is done.
    noted: std::sync::Mutex<Noted>,
}

/// Keys whose rotation is due, and versions whose destruction is.
type Noted = BTreeSet<(KeyName, Option<Version>)>;

/// What was read last.
#[derive(Clone, Default)]
struct Known {
    revision: Revision,
    keys: HashMap<KeyName, Arc<KeyFacts>>,
    /// Whether the uses of any of them are limited.
    limits_uses: bool,
}

/// A key as a caller is to see it.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// Its name.
    pub name: KeyName,
    /// What the token has of it; `None` when all its versions are destroyed.
    pub key: Option<Arc<Key>>,
    /// What is known beside it.
    pub facts: Arc<KeyFacts>,
}

impl Lives {
    /// Without a store nothing is known, and nothing is said of any version.
    pub(super) fn new(store: Option<Store>) -> Self {
        let known = store.is_none().then(Arc::default);
        Self {
            store,
            known: ArcSwapOption::new(known),
            reading: Mutex::default(),
            noted: std::sync::Mutex::default(),
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a key.
    pub(super) fn facts(&self, name: &KeyName) -> Option<Arc<KeyFacts>> {
        self.known.load().as_ref()?.keys.get(name).cloned()
    }

    /// Whether the uses of any key are limited.
    pub(super) fn limits_uses(&self) -> bool {
        self.known
            .load()
            .as_ref()
            .is_some_and(|known| known.limits_uses)
    }

    /// Fails closed: a daemon that has never read what is disabled uses no key.
    pub(super) fn known(&self) -> Result<(), Error> {
        match *self.known.load() {
            Some(_) => Ok(()),
            None => Err(Error::StatesUnknown),
        }
    }

    pub(super) fn store(&self) -> Result<&Store, Error> {
        self.store.as_ref().ok_or(Error::NoStore)
    }

    /// Takes in a change of this daemon's own at once.
    fn learn(&self, name: &KeyName, facts: KeyFacts) -> Arc<KeyFacts> {
        let facts = Arc::new(facts);
        self.merge(None, [(name.clone(), Arc::clone(&facts))]);
        facts
    }

    fn apply(&self, changes: Changes) {
        let keys = changes.keys.into_iter();
        self.merge(
            Some(changes.revision),
            keys.map(|(name, facts)| (name, Arc::new(facts))),
        );
    }

    /// Of two things that are known of a key, the later holds.
    fn merge(
        &self,
        revision: Option<Revision>,
        news: impl IntoIterator<Item = (KeyName, Arc<KeyFacts>)>,
    ) {
        let news: Vec<_> = news.into_iter().collect();
        self.known.rcu(|known| {
            let mut known = match known {
                Some(known) => Known::clone(known),
                // One's own change alone is not all that is to be known.
                None if revision.is_none() => return None,
                None => Known::default(),
            };
            known.revision = revision.unwrap_or_default().max(known.revision);
            for (name, facts) in &news {
                let last = known.keys.get(name).map(|last| last.revision);
                if last.is_none_or(|last| last < facts.revision) {
                    known.limits_uses |= facts.maximum_uses.is_some();
                    known.keys.insert(name.clone(), Arc::clone(facts));
                }
            }
            Some(Arc::new(known))
        });
    }
}

impl Signer {
    /// Reads what has changed in the store. To be called before the first request; [`keep`] does it from then on.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: what was known last stays in force.
    pub async fn read_lives(&self) -> Result<(), StoreError> {
        let Some(store) = &self.lives.store else {
            return Ok(());
        };
        let _turn = self.lives.reading.lock().await;
        let known = self.lives.known.load_full();
        // At the start the tokens are listed anyway.
        let is_first = known.is_none();
        let since = known.map_or_else(Revision::default, |known| known.revision);
        let changes = store.lifecycle().snapshot_since(since).await?;
        let changed: Vec<_> = changes.keys.iter().map(|(name, _)| name.clone()).collect();
        self.lives.apply(changes);
        if !is_first {
            self.list_changed(&changed).await;
        }
        Ok(())
    }

    /// Why the store can't be used just now, if it can't.
    pub fn store_trouble(&self) -> Option<String> {
        match self.lives.store.as_ref()?.health() {
            StoreHealth::Ready => None,
            StoreHealth::Failed(error) => Some(error.to_string()),
        }
    }

    /// Whether a version may be shown as one whose signatures hold.
    pub fn is_published(&self, version: &KeyVersion) -> bool {
        let facts = self.lives.facts(&version.key);
        self.lives.known().is_ok()
            && state(facts.as_deref(), version.version) == VersionState::Enabled
    }

    /// A key with what is known of it.
    pub fn view(&self, key: Arc<Key>) -> KeyView {
        KeyView {
            name: key.name.clone(),
            facts: self.lives.facts(&key.name).unwrap_or_default(),
            key: Some(key),
        }
    }

    /// Another daemon may have made versions, or destroyed them: then the listings here are behind.
    async fn list_changed(&self, names: &[KeyName]) {
        for token in &self.tokens {
            let keys = token.keys();
            let is_behind = |name: &KeyName| {
                let (Some(key), Some(facts)) = (keys.get(name), self.lives.facts(name)) else {
                    return self.find(name).is_err();
                };
                facts.versions.iter().any(|(version, one)| {
                    let listed = key
                        .versions
                        .iter()
                        .any(|facts| facts.version.version == *version);
                    listed == (one.state == VersionState::Destroyed)
                })
            };
            if *token.health().borrow() == Health::Ready
                && names.iter().any(is_behind)
                && let Err(error) = token.refresh().await
            {
                tracing::warn!(token = %token.name(), %error, "the token can't be listed");
            }
        }
    }
}

impl KeyView {
    /// What a version may be used for.
    pub fn state(&self, version: Version) -> VersionState {
        state(Some(&self.facts), version)
    }

    /// The version that is used when none is named.
    pub fn primary(&self) -> Option<&VersionFacts> {
        self.key.as_ref().map(|key| primary(key, Some(&self.facts)))
    }

    /// What changes with every change of what is known of the key.
    pub fn etag(&self) -> String {
        etag(self.facts.revision)
    }
}

impl Found {
    /// The version that is used when none is named, if it may be used.
    pub(super) fn primary(&self) -> Result<&VersionFacts, Error> {
        self.enabled(primary(&self.key, self.facts.as_deref()))
    }

    /// The same, whether it may be used or not.
    pub(super) fn primary_number(&self) -> Version {
        primary(&self.key, self.facts.as_deref()).version.version
    }

    /// The versions that a caller means: the one it named, or all, newest first.
    pub(super) fn versions<'a>(
        &'a self,
        wanted: &Selector,
    ) -> impl Iterator<Item = &'a VersionFacts> {
        let version = wanted.version;
        self.key
            .versions
            .iter()
            .filter(move |facts| version.is_none_or(|version| facts.version.version == version))
    }

    /// Those of them that may be used.
    pub(super) fn live<'a>(&'a self, wanted: &Selector) -> impl Iterator<Item = &'a VersionFacts> {
        self.versions(wanted)
            .filter(|facts| self.enabled(facts).is_ok())
    }

    /// All that may be used, newest first.
    pub(super) fn all_live(&self) -> impl Iterator<Item = &VersionFacts> {
        self.key
            .versions
            .iter()
            .filter(|facts| self.enabled(facts).is_ok())
    }

    /// This version, if it may be used.
    pub(super) fn enabled<'a>(&self, facts: &'a VersionFacts) -> Result<&'a VersionFacts, Error> {
        match state(self.facts.as_deref(), facts.version.version) {
            VersionState::Enabled => Ok(facts),
            state @ (VersionState::Disabled
            | VersionState::DestroyScheduled
            | VersionState::Destroyed) => Err(Error::VersionNotEnabled {
                version: facts.version.clone(),
                state,
            }),
        }
    }

    /// Whether what the caller means may be used: the version it named; else the primary one, or, to verify and
    /// decrypt, any.
    pub(super) fn is_live(&self, wanted: &Selector, operation: Operation) -> Result<(), Error> {
        let looks_back = matches!(operation, Operation::Verify | Operation::Decrypt);
        match wanted.version {
            Some(_) => self
                .versions(wanted)
                .try_for_each(|facts| self.enabled(facts).map(drop)),
            None if looks_back && self.all_live().next().is_some() => Ok(()),
            None => self.primary().map(drop),
        }
    }
}

/// The primary version, or the newest where none is said to be. One that is not in the listing yet was made by another
/// daemon a moment ago: until then it is the one before it.
fn primary<'a>(key: &'a Key, facts: Option<&KeyFacts>) -> &'a VersionFacts {
    let Some(wanted) = facts.and_then(|facts| facts.primary) else {
        return key.newest();
    };
    key.versions
        .iter()
        .find(|one| one.version.version <= wanted)
        .unwrap_or_else(|| key.newest())
}

fn state(facts: Option<&KeyFacts>, version: Version) -> VersionState {
    facts
        .and_then(|facts| facts.versions.get(&version))
        .map_or(VersionState::Enabled, |facts| facts.state)
}

fn etag(revision: Revision) -> String {
    revision.to_string()
}
