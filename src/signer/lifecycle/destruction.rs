//! The end of a version: scheduled, and taken back before its time.

use super::{KeyView, acts::close};
use crate::{
    audit::KeyAct,
    key::KeyVersion,
    policy::{DangerousAct, Operation},
    signer::{Account, Approved, Call, Error, Signer},
    store::VersionState,
};

impl Signer {
    /// Has a version destroyed when the time is over in which it can be restored. Until then it can't be used.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn destroy_key_version(
        &self,
        call: &Call,
        version: &KeyVersion,
        etag: Option<&str>,
    ) -> Result<KeyView, Error> {
        let account = self.roll.open(call);
        let scheduled = self.schedule(&account, call, version, etag, None).await;
        close(account, version, KeyAct::DestroyScheduled, scheduled).await
    }

    pub(in crate::signer) async fn schedule(
        &self,
        account: &Account,
        call: &Call,
        version: &KeyVersion,
        etag: Option<&str>,
        approved: Option<Approved>,
    ) -> Result<KeyView, Error> {
        let at = self
            .time()
            .after(self.lives.store()?.lifecycle().destroy_delay());
        let granted = self.allowed_change(account, call, &version.key, Operation::Destroy)?;
        self.cleared(DangerousAct::DestroyKeyVersion, &version.key, approved)?;
        account.begin(&granted, None, None).await?;
        let found = self.find(&version.key)?;
        let is_primary = found.primary_number() == version.version;
        if is_primary
            && found
                .all_live()
                .any(|other| other.version.version != version.version)
        {
            return Err(Error::PrimaryNotDestroyed(version.clone()));
        }
        self.turned(call, version, etag, "destroyed", |facts| {
            match facts.state {
                VersionState::Enabled | VersionState::Disabled => {
                    facts.state = VersionState::DestroyScheduled;
                    facts.destroy_at = Some(at);
                    Ok(())
                }
                // The time that was said first holds.
                VersionState::DestroyScheduled => Ok(()),
                VersionState::Destroyed => Err("a version that is still there"),
            }
        })
        .await
    }

    /// Takes a version back that was to be destroyed. It is disabled then.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn restore_key_version(
        &self,
        call: &Call,
        version: &KeyVersion,
        etag: Option<&str>,
    ) -> Result<KeyView, Error> {
        let now = self.time();
        let account = self.roll.open(call);
        let turned = self.turn(
            &account,
            call,
            version,
            Operation::Destroy,
            etag,
            "restored",
            |facts| match facts.state {
                VersionState::DestroyScheduled if facts.destroy_at.is_none_or(|at| now < at) => {
                    facts.state = VersionState::Disabled;
                    facts.disabled_at = facts.disabled_at.or(Some(now));
                    facts.destroy_at = None;
                    Ok(())
                }
                VersionState::DestroyScheduled => Err("one whose time is not over"),
                VersionState::Enabled | VersionState::Disabled | VersionState::Destroyed => {
                    Err("a version that is scheduled to be destroyed")
                }
            },
        );
        let turned = turned.await;
        close(account, version, KeyAct::Restored, turned).await
    }
}
