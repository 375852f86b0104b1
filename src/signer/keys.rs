//! Making keys, looking at them, and certificate requests. Keys from elsewhere: see `import`.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Account, Approved, Call, Error, KeyView, Selector, SignatureForm, Signer, certificate_request,
    digest_of, finish, lifecycle::Maker,
};
use crate::{
    algorithm::{Algorithm, ContentEncryption, KeyType, Purpose},
    audit::KeyAct,
    key::{Custody, InvalidUsage, KeyName, KeyVersion, Usage, Version},
    pkcs11::{Key, Token, TokenError},
    policy::{DangerousAct, Operation},
    store::{self, VersionState},
};

pub use certificate_request::Certify;

/// A key that is wanted.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    /// Its name.
    pub name: KeyName,
    /// In which token; `None` if there is only one.
    pub token: Option<KeyName>,
    /// What it is made of.
    pub key_type: KeyType,
    /// What it is for.
    pub purpose: Purpose,
    /// What it may be used with.
    pub algorithms: Vec<Algorithm>,
    /// For keys that decrypt or wrap.
    pub content_encryptions: Vec<ContentEncryption>,
    /// For keys that decrypt or wrap.
    pub compression_allowed: bool,
    /// Whether it is marked critical, for good.
    pub critical: bool,
    /// How often each version may be used to make something, if that is limited.
    pub maximum_uses: Option<u64>,
}

/// What a key is to be like that is being made.
#[derive(Clone, Copy)]
pub(super) struct Making<'a> {
    pub(super) usage: &'a Usage,
    pub(super) custody: Custody,
    pub(super) critical: bool,
    pub(super) maximum_uses: Option<u64>,
}

impl Signer {
    /// Makes a key, version 1, inside a token.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn create_key(&self, call: &Call, request: KeyRequest) -> Result<KeyView, Error> {
        let account = self.roll.open(call);
        let created = self.create(&account, call, request, None).await;
        account.close(created).await
    }

    pub(super) async fn create(
        &self,
        account: &Account,
        call: &Call,
        request: KeyRequest,
        approved: Option<Approved>,
    ) -> Result<KeyView, Error> {
        let KeyRequest {
            name,
            token,
            key_type,
            purpose,
            algorithms,
            content_encryptions,
            compression_allowed,
            critical,
            maximum_uses,
        } = request;
        // The policy has no answer to that.
        if algorithms.is_empty() {
            return Err(InvalidUsage::NoAlgorithm.into());
        }
        let verdict = self.policy.load().authorize_create(
            &call.identity,
            &name,
            &algorithms,
            self.clock.now(),
        );
        let granted = account.authorized(verdict)?;
        if critical {
            self.cleared(DangerousAct::CreateCriticalKey, &name, approved)?;
        }
        let usage = Usage::new(
            key_type,
            purpose,
            algorithms,
            content_encryptions,
            compression_allowed,
        )?;
        let token = self.token(token.as_ref())?;
        token.known()?;
        let capabilities = token.capabilities();
        for algorithm in usage.algorithms() {
            capabilities
                .supports(*algorithm, key_type)
                .map_err(Error::NotSupported)?;
        }
        let permit = account.intend(granted, None, None).await?;
        let custody = Custody::TokenOnly;
        let made = self.made_once(
            call,
            &name,
            Making {
                usage: &usage,
                custody,
                critical,
                maximum_uses,
            },
            token,
            token.create(permit, usage.clone(), call.deadline),
        );
        let made = made.await?;
        account.made(&made, KeyAct::Created);
        tracing::info!(client.id = %call.identity.name(), key = %name, token = %token.name(), "key created");
        Ok(made)
    }

    /// Has version 1 of a key made while nobody else makes or destroys anything of that name, in whichever token, and says
    /// so in the store.
    pub(super) async fn made_once(
        &self,
        call: &Call,
        name: &KeyName,
        wanted: Making<'_>,
        token: &Token,
        make: impl Future<Output = Result<Arc<Key>, TokenError>> + Send,
    ) -> Result<KeyView, Error> {
        let Making {
            usage,
            custody,
            critical,
            maximum_uses,
        } = wanted;
        let held = self.hold(name, call.deadline).await?;
        let outcome = async {
            token.refresh().await?;
            let facts = self.lives.store()?.lifecycle().key(name).await?;
            let facts = facts.unwrap_or_default();
            let versions = &facts.versions;
            let is_gone = |one: &store::VersionFacts| one.state == VersionState::Destroyed;
            if versions.values().any(is_gone) {
                return Err(Error::NameRetired(name.clone()));
            }
            let exists = || Error::Token(TokenError::Exists(name.clone()));
            let key = match self.find(name) {
                // The store knows it: a token that was emptied or exchanged is no reason to give the name to another key.
                Err(Error::NoSuchKey(_)) if !versions.is_empty() => return Err(exists()),
                Err(Error::NoSuchKey(_)) => {
                    // Before the key is there: it shall never be without its limit.
                    if facts.maximum_uses != maximum_uses {
                        let limit = |facts: &mut store::KeyFacts| {
                            facts.maximum_uses = maximum_uses;
                            Ok(())
                        };
                        self.change(name, None, limit).await?;
                    }
                    self.recorded().await?;
                    make.await?
                }
                Ok(found) => {
                    let first = versions.get(&Version::FIRST);
                    let asked = call.request.is_some();
                    // The same request was cut off: before it was said in the store, or after.
                    let is_its_own = match first {
                        None => held.attempt() > 1,
                        Some(first) => asked && first.request == call.request,
                    };
                    let is_alike = found.key.usage == *usage && found.key.custody == custody;
                    if !is_its_own || !is_alike || found.key.newest().adopted {
                        return Err(exists());
                    }
                    found.key
                }
                // In a token that was never seen there may be one of this name.
                Err(error @ Error::Token(_)) => {
                    tracing::warn!(key = %name, %error, "no key is made while a token was never seen: it may have one of this name");
                    return Err(error);
                }
                Err(_) => return Err(exists()),
            };
            let maker = Maker {
                critical,
                ..Maker::of(call)
            };
            let facts = self.enter(name, Version::FIRST, maker, true).await?;
            Ok(KeyView {
                name: name.clone(),
                key: Some(key),
                facts,
            })
        }
        .await;
        self.let_go(Some(held), &outcome).await;
        outcome
    }

    /// What is known of a key.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn key(&self, call: &Call, name: &KeyName) -> Result<KeyView, Error> {
        let account = self.roll.open(call);
        let verdict = self
            .policy
            .load()
            .authorize_get(&call.identity, name, self.clock.now());
        let view = account
            .seen(verdict)
            .and_then(|_granted| self.known_view(name));
        account.close(view).await
    }

    /// How often the versions of a key were used to make something: of a key whose uses are limited, while the store
    /// can be asked.
    pub async fn uses(&self, view: &KeyView) -> BTreeMap<Version, u64> {
        let mut uses = BTreeMap::new();
        if view.facts.maximum_uses.is_none() {
            return uses;
        }
        for one in view.key.iter().flat_map(|key| &key.versions) {
            match self.roll.admission().uses(&one.version).await {
                Ok(count) => uses.extend([(one.version.version, count)]),
                Err(error) => {
                    tracing::warn!(key = %one.version, %error, "how often it was used can't be told");
                }
            }
        }
        uses
    }

    /// The keys that the caller may see, by name.
    ///
    /// # Errors
    ///
    /// [`Error`], if a token was never seen.
    pub fn keys(&self, call: &Call) -> Result<Vec<KeyView>, Error> {
        // What is in a token that was never seen is missing, and a short list would look like all of it.
        self.tokens.iter().try_for_each(|token| token.known())?;
        let (policy, now) = (self.policy.load(), self.clock.now());
        let mut keys: Vec<_> = self
            .tokens
            .iter()
            .flat_map(|token| token.keys().iter().cloned().collect::<Vec<_>>())
            .filter(|key| policy.authorize_get(&call.identity, &key.name, now).is_ok())
            .collect();
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        // A name that two tokens have can't be used, so it is not shown as if it could.
        let twins: Vec<_> = keys
            .windows(2)
            .filter(|pair| pair[0].name == pair[1].name)
            .map(|pair| pair[0].name.clone())
            .collect();
        keys.retain(|key| !twins.contains(&key.name));
        Ok(keys.into_iter().map(|key| self.view(key)).collect())
    }

    /// So many random bytes.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn random(
        &self,
        call: &Call,
        token: Option<&KeyName>,
        length: u32,
    ) -> Result<Vec<u8>, Error> {
        let account = self.roll.open(call);
        let bytes = async {
            let now = self.clock.now();
            let verdict = self.policy.load().authorize_random(&call.identity, now);
            let granted = account.authorized(verdict)?;
            let token = self.token(token)?;
            let permit = account.intend(granted, None, None).await?;
            Ok(token.random(permit, length, call.deadline).await?)
        };
        let bytes = bytes.await;
        account.close(bytes).await
    }

    /// A certificate request (PKCS#10, RFC 2986), DER, signed by the key.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn certificate_request(
        &self,
        call: &Call,
        key: &Selector,
        algorithm: Algorithm,
        certify: Certify,
    ) -> Result<(Vec<u8>, KeyVersion), Error> {
        let account = self.roll.open(call);
        let made = self.request_certificate(&account, call, key, algorithm, certify);
        let made = made.await;
        account.close(made).await
    }

    async fn request_certificate(
        &self,
        account: &Account,
        call: &Call,
        key: &Selector,
        algorithm: Algorithm,
        certify: Certify,
    ) -> Result<(Vec<u8>, KeyVersion), Error> {
        let operation = Operation::RequestCertificate;
        let (found, granted) = self.permit(account, call, key, operation, algorithm)?;
        let version = granted.key().clone();
        let public = found.public(&version).cloned().ok_or_else(|| {
            Error::CertificateRequest(format!(
                "{version} is a secret; only key pairs have certificates"
            ))
        })?;
        // The library that writes the request wants the signature in between, so it is asked twice: once for
        // what is to be signed, once with the signature.
        let to_sign = certificate_request::to_be_signed(&certify, &public, algorithm)?;
        let input = super::signing_input(algorithm, super::Content::Message(to_sign.into()))?;
        let permit = account
            .intend(granted, Some(digest_of(algorithm, &input)), Some(&public))
            .await?;
        let raw = found.token.sign(permit, input, call.deadline).await?;
        let form = match algorithm {
            Algorithm::Ecdsa(_) => SignatureForm::Der,
            _ => SignatureForm::Raw,
        };
        let signature = finish(raw, version, algorithm, form)?;
        account.signed(&signature.bytes);
        let der = certificate_request::signed(&certify, &public, algorithm, signature.bytes)?;
        Ok((der, signature.version))
    }

    /// The token that is named, or the only one.
    pub(super) fn token(&self, name: Option<&KeyName>) -> Result<&Arc<Token>, Error> {
        let names = || {
            self.tokens
                .iter()
                .map(|token| token.name().as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        match (name, self.tokens.as_slice()) {
            (Some(name), tokens) => {
                tokens
                    .iter()
                    .find(|token| token.name() == name)
                    .ok_or_else(|| {
                        Error::NoSuchToken(format!(
                            "there is no token named {name}; there is {}",
                            names()
                        ))
                    })
            }
            (None, [only]) => Ok(only),
            (None, _) => Err(Error::NoSuchToken(format!(
                "there are several tokens, so name one of {}",
                names()
            ))),
        }
    }
}
