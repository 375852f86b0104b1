//! Whose turn it is to change what the token has of a key: one at a time, among all daemons.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use crate::{
    key::KeyName,
    signer::{Error, Signer},
    store::Claim,
};

/// Who waits for a key here: one of them asks the store, the others wait for that one.
#[derive(Debug, Default)]
pub(in crate::signer) struct Waiting(Mutex<HashMap<KeyName, Weak<tokio::sync::Mutex<()>>>>);

impl Waiting {
    fn line(&self, name: &KeyName) -> Arc<tokio::sync::Mutex<()>> {
        let mut lines = self.0.lock().expect("nothing panics while holding it");
        lines.retain(|_, line| line.strong_count() > 0);
        lines.get(name).and_then(Weak::upgrade).unwrap_or_else(|| {
            let line = Arc::default();
            lines.insert(name.clone(), Arc::downgrade(&line));
            line
        })
    }
}

impl Signer {
    /// Waits for leave to change what the token has of a key: others, here and in other daemons, may be at it.
    pub(in crate::signer) async fn hold(
        &self,
        name: &KeyName,
        deadline: Instant,
    ) -> Result<Claim, Error> {
        let held = || Error::KeyHeld(name.clone());
        let line = self.waiting.line(name);
        let _first = timeout_at(deadline, line.lock())
            .await
            .map_err(|_| held())?;
        loop {
            if let Some(claim) = self.try_hold(name).await? {
                return Ok(claim);
            }
            if Instant::now() + HOLD_PAUSE > deadline {
                return Err(held());
            }
            tokio::time::sleep(HOLD_PAUSE).await;
        }
    }

    pub(super) async fn try_hold(&self, name: &KeyName) -> Result<Option<Claim>, Error> {
        let lifecycle = self.lives.store()?.lifecycle();
        Ok(lifecycle.hold(name, self.time(), HOLD_LEASE).await?)
    }

    /// Gives the leave back; after an error that leaves open what was done, the next one is told to look.
    pub(in crate::signer) async fn let_go<T>(
        &self,
        held: Option<Claim>,
        outcome: &Result<T, Error>,
    ) {
        let is_open = outcome.as_ref().is_err_and(Error::leaves_open);
        if let Some(held) = held.filter(|_| !is_open)
            && let Err(error) = held.release().await
        {
            tracing::warn!(%error, "a key is held until its lease is over");
        }
    }
}

/// Longer than a token may take to make a key.
const HOLD_LEASE: Duration = Duration::from_secs(120);
const HOLD_PAUSE: Duration = Duration::from_millis(50);
