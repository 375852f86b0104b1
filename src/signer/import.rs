//! Bringing in keys from elsewhere.

use std::sync::Arc;

use super::{
    Account, Approved, Call, Error, Found, Granted, KeyRequest, KeyView, Signer, keys::Making,
    lifecycle::Maker,
};
use crate::{
    algorithm::Algorithm,
    audit::{InputDigest, KeyAct},
    key::{Custody, InvalidUsage, KeyName, Usage},
    pkcs11::{Token, Wrapped, WrappingKey},
    policy::{Creation, DangerousAct, Permit},
    store::{Claim, VersionFacts},
};

/// A key that is to be brought in.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// What it is to be, as if it were to be made.
    pub key: KeyRequest,
    /// Who may ever see it.
    pub custody: Custody,
    /// The key.
    pub wrapped: Wrapped,
}

impl Signer {
    /// The key to wrap for, and its token. Whoever may import a key of this name with some algorithm may see it.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn import_wrapping_key(
        &self,
        call: &Call,
        key: &KeyName,
        token: Option<&KeyName>,
    ) -> Result<(Arc<Token>, WrappingKey), Error> {
        let account = self.roll.open(call);
        let found = async {
            let granted = self.may_import(&account, call, key)?;
            // Of a key that is there the token is known.
            let token = match (token, self.find(key)) {
                (None, Ok(found)) => found.token,
                (token, _) => Arc::clone(self.token(token)?),
            };
            token.known()?;
            // If there is none yet, it is made.
            let permit = account.intend(granted, None, None).await?;
            let wrapping_key = token.import_wrapping_key(permit, call.deadline).await?;
            Ok((token, wrapping_key))
        };
        let found = found.await;
        account.close(found).await
    }

    /// Brings in version 1 of a key.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn import_key(&self, call: &Call, request: ImportRequest) -> Result<KeyView, Error> {
        let account = self.roll.open(call);
        let imported = self.import(&account, call, request, None).await;
        account.close(imported).await
    }

    pub(super) async fn import(
        &self,
        account: &Account,
        call: &Call,
        request: ImportRequest,
        approved: Option<Approved>,
    ) -> Result<KeyView, Error> {
        let ImportRequest {
            key,
            custody,
            wrapped,
        } = request;
        // The policy has no answer to that.
        if key.algorithms.is_empty() {
            return Err(InvalidUsage::NoAlgorithm.into());
        }
        let name = key.name;
        let verdict = self.policy.load().authorize_import(
            &call.identity,
            &name,
            &key.algorithms,
            self.clock.now(),
        );
        let granted = account.authorized(verdict)?;
        self.cleared(DangerousAct::ImportKey, &name, approved)?;
        let usage = Usage::new(
            key.key_type,
            key.purpose,
            key.algorithms,
            key.content_encryptions,
            key.compression_allowed,
        )?;
        let token = self.token(key.token.as_ref())?;
        token.known()?;
        let capabilities = token.capabilities();
        for algorithm in usage.algorithms() {
            capabilities
                .supports(*algorithm, usage.key_type())
                .map_err(Error::NotSupported)?;
        }
        let input = InputDigest::of(&wrapped.bytes);
        let permit = account
            .intend(granted, Some(input), wrapped.public.as_ref())
            .await?;
        let made = self.made_once(
            call,
            &name,
            Making {
                usage: &usage,
                custody,
                critical: false,
                maximum_uses: key.maximum_uses,
            },
            token,
            token.import(permit, &usage, custody, wrapped, call.deadline),
        );
        let key = made.await?;
        account.made(&key, KeyAct::Imported);
        tracing::info!(client.id = %call.identity.name(), key = %name, token = %token.name(), %custody, "key imported");
        Ok(key)
    }

    /// Brings in the next version of a key.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn import_key_version(
        &self,
        call: &Call,
        name: &KeyName,
        wrapped: Wrapped,
    ) -> Result<KeyView, Error> {
        let account = self.roll.open(call);
        let imported = self.import_version(&account, call, name, wrapped, None);
        let imported = imported.await;
        account.close(imported).await
    }

    pub(super) async fn import_version(
        &self,
        account: &Account,
        call: &Call,
        name: &KeyName,
        wrapped: Wrapped,
        approved: Option<Approved>,
    ) -> Result<KeyView, Error> {
        // Which algorithms, only the key tells; who may not import it at all is not told whether it is there.
        let _granted = self.may_import(account, call, name)?;
        let found = self.find(name)?;
        let algorithms = found.key.usage.algorithms();
        let now = self.clock.now();
        let policy = self.policy.load_full();
        let verdict = policy.authorize_import(&call.identity, name, algorithms, now);
        let granted = account.authorized(verdict)?;
        self.cleared(DangerousAct::ImportKey, name, approved)?;
        let input = InputDigest::of(&wrapped.bytes);
        let permit = account
            .intend(granted, Some(input), wrapped.public.as_ref())
            .await?;
        let held = self.hold(name, call.deadline).await?;
        let made = self.next_import(call, &found, &held, permit, wrapped).await;
        self.let_go(Some(held), &made).await;
        if let Ok(key) = &made {
            account.made(key, KeyAct::Imported);
        }
        made
    }

    /// Brings in the next version, for whoever holds the key.
    async fn next_import(
        &self,
        call: &Call,
        found: &Found,
        held: &Claim,
        permit: Permit<Creation>,
        wrapped: Wrapped,
    ) -> Result<KeyView, Error> {
        let name = &found.key.name;
        found.token.refresh().await?;
        let found = self.find(name)?;
        // Until it is said to be, the new version is not the primary one.
        let facts = self
            .change(name, None, |facts| {
                facts.primary = facts.primary.or_else(|| Some(found.primary_number()));
                Ok(())
            })
            .await?;
        let maker = Maker::of(call);
        let was_made = |one: &VersionFacts| maker.request.is_some() && one.request == maker.request;
        if facts.versions.values().any(was_made) {
            return Ok(self.view(found.key));
        }
        let newest = found.key.newest().version.version;
        let last = facts.versions.keys().next_back().copied();
        let left = held.attempt() > 1 && last.is_some_and(|last| last < newest);
        let (version, key) = if left {
            (newest, found.key)
        } else {
            let version = self.next_number(&found.key, &facts)?;
            let token = &found.token;
            let made = token.import_version(permit, version, wrapped, call.deadline);
            (version, made.await?)
        };
        let facts = self.enter(name, version, maker, true).await?;
        tracing::info!(client.id = %call.identity.name(), key = %name, version = %version, token = %found.token.name(), "key version imported");
        Ok(KeyView {
            name: name.clone(),
            key: Some(key),
            facts,
        })
    }

    /// Leave to import a key of this name with at least one algorithm.
    pub(super) fn may_import(
        &self,
        account: &Account,
        call: &Call,
        name: &KeyName,
    ) -> Result<Granted<Creation>, Error> {
        let policy = self.policy.load();
        let now = self.clock.now();
        let ask = |algorithm| policy.authorize_import(&call.identity, name, &[algorithm], now);
        let verdict = Algorithm::ALL
            .into_iter()
            .find_map(|algorithm| ask(algorithm).ok())
            .map_or_else(|| ask(Algorithm::ALL[0]), Ok);
        account.authorized(verdict)
    }
}
