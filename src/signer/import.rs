//! Bringing in keys from elsewhere.

use std::sync::Arc;

use super::{Account, Call, Error, Granted, KeyRequest, Signer};
use crate::{
    algorithm::Algorithm,
    audit::{InputDigest, KeyAct},
    key::{Custody, InvalidUsage, KeyName, Usage},
    pkcs11::{Key, Token, TokenError, Wrapped, WrappingKey},
    policy::Creation,
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
            let permit = account.intend(granted, None, None)?;
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
    pub async fn import_key(&self, call: &Call, request: ImportRequest) -> Result<Arc<Key>, Error> {
        let account = self.roll.open(call);
        let imported = self.import(&account, call, request).await;
        account.close(imported).await
    }

    async fn import(
        &self,
        account: &Account,
        call: &Call,
        request: ImportRequest,
    ) -> Result<Arc<Key>, Error> {
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
        let usage = Usage::new(
            key.key_type,
            key.purpose,
            key.algorithms,
            key.content_encryptions,
            key.compression_allowed,
        )?;
        let token = self.token(key.token.as_ref())?;
        let _reserved = self
            .reserve(&name)
            .ok_or_else(|| Error::Token(TokenError::Exists(name.clone())))?;
        match self.find(&name) {
            Err(Error::NoSuchKey(_) | Error::Token(_)) => {}
            _ => return Err(Error::Token(TokenError::Exists(name))),
        }
        token.known()?;
        let capabilities = token.capabilities();
        for algorithm in usage.algorithms() {
            capabilities
                .supports(*algorithm, usage.key_type())
                .map_err(Error::NotSupported)?;
        }
        let input = InputDigest::of(&wrapped.bytes);
        let permit = account.intend(granted, Some(input), wrapped.public.as_ref())?;
        let key = token
            .import(permit, &usage, custody, wrapped, call.deadline)
            .await?;
        account.made(&key, KeyAct::Imported);
        tracing::info!(client.id = %call.identity.name(), key = %key.name, token = %token.name(), %custody, "key imported");
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
    ) -> Result<Arc<Key>, Error> {
        let account = self.roll.open(call);
        let imported = self.import_version(&account, call, name, wrapped).await;
        account.close(imported).await
    }

    async fn import_version(
        &self,
        account: &Account,
        call: &Call,
        name: &KeyName,
        wrapped: Wrapped,
    ) -> Result<Arc<Key>, Error> {
        // Which algorithms, only the key tells; who may not import it at all is not told whether it is there.
        let _granted = self.may_import(account, call, name)?;
        let found = self.find(name)?;
        let algorithms = found.key.usage.algorithms();
        let now = self.clock.now();
        let policy = self.policy.load_full();
        let verdict = policy.authorize_import(&call.identity, name, algorithms, now);
        let granted = account.authorized(verdict)?;
        let _reserved = self
            .reserve(name)
            .ok_or_else(|| Error::Token(TokenError::Exists(name.clone())))?;
        let input = InputDigest::of(&wrapped.bytes);
        let permit = account.intend(granted, Some(input), wrapped.public.as_ref())?;
        let key = found
            .token
            .import_version(permit, wrapped, call.deadline)
            .await?;
        account.made(&key, KeyAct::Imported);
        tracing::info!(client.id = %call.identity.name(), key = %key.primary().version, token = %found.token.name(), "key version imported");
        Ok(key)
    }

    /// Leave to import a key of this name with at least one algorithm.
    fn may_import(
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
