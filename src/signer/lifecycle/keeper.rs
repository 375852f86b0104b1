//! What is done to keys without being asked: what others changed is read, what is due is destroyed, or rotated.
//!
//! Every daemon does this; the store sees to it that each thing is done once.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    KeyView,
    acts::{Maker, version_of},
};
use crate::{
    audit::{Event, KeyAct},
    key::{KeyName, Version},
    pkcs11::Key,
    signer::{Error, Signer, account::key_change},
    store::{Store, Timestamp, VersionState},
};

/// Runs until the store is gone.
pub async fn keep(signer: Arc<Signer>) {
    let Some(store) = signer.lives.store.clone() else {
        return;
    };
    tokio::join!(
        follow(&signer, &store),
        do_what_is_due(&signer),
        purge(&signer, &store)
    );
}

/// Reads every change soon after it was made.
async fn follow(signer: &Signer, store: &Store) {
    let mut revisions = store.lifecycle().revisions();
    let mut failed = signer.lives.known().is_err();
    loop {
        if failed {
            tokio::time::sleep(PERIOD).await;
        } else if revisions.changed().await.is_err() {
            return;
        }
        let read = signer.read_lives().await;
        if let Err(error) = &read {
            tracing::warn!(%error, "what is known of keys can't be read; what was known last stays in force");
        }
        failed = read.is_err();
    }
}

async fn do_what_is_due(signer: &Signer) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = signer.tell_expired().await {
            tracing::warn!(%error, "which proposals have expired can't be told; it is tried again");
        }
        for (name, due) in signer.due() {
            let done = match due {
                Due::Destroy(version) => signer.destroy_due(&name, version).await,
                Due::Rotate => signer.rotate_due(&name).await,
            };
            if let Err(error) = done {
                tracing::error!(key = %name, ?due, %error, "what is due to a key was not done; it is tried again");
            }
        }
    }
}

async fn purge(signer: &Signer, store: &Store) {
    let mut ticks = interval(Duration::from_secs(60));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = store.purge(signer.time()).await {
            tracing::warn!(%error, "what has expired in the store can't be removed");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Due {
    Destroy(Version),
    Rotate,
}

impl Signer {
    /// What is due by what is known here.
    fn due(&self) -> Vec<(KeyName, Due)> {
        let now = self.time();
        let known = self.lives.known.load_full();
        let mut due = Vec::new();
        for (name, facts) in known.iter().flat_map(|known| &known.keys) {
            let listed = |version: Version| {
                let version = version_of(name, version);
                self.find(name)
                    .is_ok_and(|found| found.key.version(&version).is_some())
            };
            for (version, one) in &facts.versions {
                let is_due = match one.state {
                    VersionState::DestroyScheduled => is_over(one.destroy_at, now),
                    // Whoever destroyed it was cut off before the token did.
                    VersionState::Destroyed => listed(*version),
                    VersionState::Enabled | VersionState::Disabled => false,
                };
                if is_due {
                    due.push((name.clone(), Due::Destroy(*version)));
                }
            }
            if facts.rotation.is_some_and(|rotation| rotation.next <= now) {
                due.push((name.clone(), Due::Rotate));
            }
        }
        due
    }

    /// First the store says that it is destroyed, from which nobody can bring it back; then the token does it.
    async fn destroy_due(&self, name: &KeyName, version: Version) -> Result<(), Error> {
        let Some(held) = self.try_hold(name).await? else {
            return Ok(());
        };
        let done = self.destroy_held(name, version).await;
        self.let_go(Some(held), &done).await;
        done
    }

    async fn destroy_held(&self, name: &KeyName, version: Version) -> Result<(), Error> {
        let now = self.time();
        let changed = self.change(name, None, |facts| {
            let gone = version_of(name, version);
            let Some(one) = facts.versions.get_mut(&version) else {
                return Err(Error::NoSuchVersion(gone));
            };
            match one.state {
                VersionState::DestroyScheduled if is_over(one.destroy_at, now) => {
                    one.state = VersionState::Destroyed;
                    one.destroy_at = Some(now);
                    Ok(())
                }
                state => Err(Error::VersionNotEnabled {
                    version: gone,
                    state,
                }),
            }
        });
        match changed.await {
            Ok(_)
            | Err(Error::VersionNotEnabled {
                state: VersionState::Destroyed,
                ..
            }) => {}
            // Somebody has restored it meanwhile.
            Err(Error::VersionNotEnabled { .. } | Error::NoSuchVersion(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        let version = version_of(name, version);
        let found = match self.find(name) {
            Ok(found) => found,
            // It is gone already.
            Err(Error::NoSuchKey(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let view = self.view(Arc::clone(&found.key));
        self.note_once(&view, Some(version.version), KeyAct::Destroyed)
            .await?;
        let deadline = Instant::now() + PATIENCE;
        found.token.destroy_version(&version, deadline).await?;
        tracing::info!(key = %version, "key version destroyed");
        Ok(())
    }

    /// Records what is about to be done to a key because it is due: once, however often it is tried.
    async fn note_once(
        &self,
        view: &KeyView,
        version: Option<Version>,
        act: KeyAct,
    ) -> Result<(), Error> {
        let due = (view.name.clone(), version);
        if self.lives.noted().contains(&due) {
            return self.recorded().await;
        }
        self.note(view, version, act).await?;
        self.lives.noted().insert(due);
        Ok(())
    }

    /// Records what a schedule does to a version.
    async fn note(
        &self,
        view: &KeyView,
        version: Option<Version>,
        act: KeyAct,
    ) -> Result<(), Error> {
        if let Some(audit) = self.roll.audit() {
            let change = key_change(view, version, act);
            audit.record(Event::KeyChanged(change)).await?;
        }
        Ok(())
    }

    async fn rotate_due(&self, name: &KeyName) -> Result<(), Error> {
        let found = self.find(name)?;
        let Some(held) = self.try_hold(name).await? else {
            return Ok(());
        };
        let done = async {
            // Another daemon may just have done it.
            let facts = self.lives.store()?.lifecycle().key(name).await?;
            let rotation = facts.and_then(|facts| facts.rotation);
            if rotation.is_none_or(|rotation| self.time() < rotation.next) {
                return self.read_lives().await.map_err(Error::from);
            }
            let view = self.view(Arc::clone(&found.key));
            self.note_once(&view, None, KeyAct::RotationDue).await?;
            let deadline = Instant::now() + PATIENCE;
            let made = self
                .next_version(&found, &held, Maker::default(), true, deadline)
                .await?;
            self.lives.noted().remove(&(name.clone(), None));
            if let Some(newest) = made.key.as_deref().map(Key::newest) {
                let version = newest.version.version;
                self.note(&made, Some(version), KeyAct::Created).await?;
            }
            Ok(())
        }
        .await;
        self.let_go(Some(held), &done).await;
        done
    }
}

fn is_over(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| at <= now)
}

const PERIOD: Duration = Duration::from_secs(1);
/// For the token to make or destroy a version.
const PATIENCE: Duration = Duration::from_secs(60);
