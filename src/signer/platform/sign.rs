//! Signing a message to a partner: values, encryption where the scheme has it, the string, the token, placement.

use bytes::Bytes;

use super::{Admitted, Dealing, KeyUsed, PlatformError, shown, system_random};
use crate::{
    audit::Ending,
    policy::{KeyUse, Operation},
    scheme::{Act, Message, SchemeName, Sealing, Signed, Signing},
    signer::{Call, Error, Signer, digest_of},
};

/// A message that is signed, or encrypted, or both.
pub struct SignedMessage {
    /// What to send.
    pub signed: Signed,
    /// What signed; `None` where the scheme only encrypts.
    pub key: Option<KeyUsed>,
    /// By which rules.
    pub scheme: SchemeName,
}

impl Signer {
    /// Signs a request of ours, or our answer to one of theirs.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn sign_message(
        &self,
        call: &Call,
        act: Act,
        dealing: &Dealing,
        message: &Message<'_>,
    ) -> Result<SignedMessage, Error> {
        let account = self.roll.open(call);
        let signed = async {
            let admitted = self
                .admit(&account, call, dealing, act, operation(act))?
                .with_body(&message.body)?;
            self.sign_admitted(call, &admitted, dealing, message).await
        };
        let signed = signed.await;
        account.close(signed).await
    }

    async fn sign_admitted(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        dealing: &Dealing,
        message: &Message<'_>,
    ) -> Result<SignedMessage, Error> {
        admitted.check_values(dealing)?;
        let bindings = self.bindings(admitted, &dealing.inputs, &dealing.values);
        let mut failed = false;
        let prepared = admitted
            .scheme()
            .prepare(
                message,
                &bindings,
                self.clock.now(),
                &mut system_random(&mut failed),
            )
            .map_err(PlatformError::from)?;
        if failed {
            return Err(PlatformError::NoRandom.into());
        }
        let recipient = match prepared.sealing() {
            Some(sealing) if !sealing.proves_origin() => {
                let key = &admitted.public_key(&sealing.key_role)?.key;
                Some((sealing.algorithm, key))
            }
            _ => None,
        };
        let jwe = match prepared.sealing() {
            None => None,
            Some(sealing) if sealing.proves_origin() => {
                Some(self.origin_proved(call, admitted, sealing).await?)
            }
            Some(sealing) => Some(Self::sealed_to(admitted, sealing)?),
        };
        let draft = prepared
            .draft(jwe.as_deref())
            .map_err(PlatformError::Message)?;
        let (raw, key) = match draft.signing() {
            None => {
                match recipient {
                    Some((algorithm, key)) => admitted.begin_encryption(algorithm, key).await?,
                    None => admitted.begin(None).await?,
                }
                (Vec::new(), None)
            }
            Some(signing) => {
                let (raw, key) = self.signature(call, admitted, signing).await?;
                (raw, Some(key))
            }
        };
        let mut signed = draft.finish(&raw).map_err(PlatformError::Message)?;
        let scheme = admitted.scheme();
        // Only what can be given again: the others follow from these.
        let given = |name: &String| scheme.given_values().any(|given| given == name);
        signed.values.retain(|name, _| given(name));
        Ok(SignedMessage {
            signed,
            key,
            scheme: admitted.scheme.clone(),
        })
    }

    /// The signature over a string, by the primary version of the key in its role.
    async fn signature(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        signing: Signing<'_>,
    ) -> Result<(Vec<u8>, KeyUsed), Error> {
        let algorithm = signing.algorithm;
        let found = self.playing(admitted, signing.key_role, algorithm)?;
        let facts = found.primary()?;
        let used = KeyUse::Sign(signing.string.length());
        let intend = |input| admitted.intend(facts, used, algorithm, input);
        let raw = match signing.string.bytes() {
            Some(string) => {
                let input: Bytes = match algorithm.prehash() {
                    Some(hash) => hash.digest(string).into(),
                    None => Bytes::copy_from_slice(string),
                };
                let permit = intend(Some(digest_of(algorithm, &input))).await?;
                found.token.sign(permit, input, call.deadline).await?
            }
            None => {
                // A hash of what has a secret in it is none that may be written down.
                let permit = intend(None).await?;
                self.mac_with_secret(call, admitted, &found, permit, signing.string)
                    .await?
            }
        };
        admitted.account.signed(&raw);
        let key = KeyUsed::ours(facts.version.clone(), algorithm, facts.public.as_ref());
        Ok((raw, key))
    }

    /// The JWE whose content key the primary version of our key in the role proves the origin of.
    async fn origin_proved(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        sealing: &Sealing,
    ) -> Result<String, Error> {
        let draft = sealing.proving_origin().map_err(PlatformError::from)?;
        let found = self.playing(admitted, &sealing.key_role, sealing.algorithm)?;
        let facts = found.primary()?;
        // Of a content key not even a hash is written down.
        let used = KeyUse::Sign(draft.content_key().len() as u64);
        let permit = admitted
            .intend(facts, used, sealing.algorithm, None)
            .await?;
        let proof = found
            .token
            .seal_with_private_key(permit, draft.content_key(), call.deadline)
            .await?;
        admitted.account.ends(Ending::Succeeded);
        Ok(draft.finish(&proof).map_err(PlatformError::from)?)
    }

    /// Encrypts to the partner: to the first of its keys.
    pub(super) fn sealed_to(admitted: &Admitted<'_>, sealing: &Sealing) -> Result<String, Error> {
        let key = admitted.public_key(&sealing.key_role)?;
        Ok(sealing.to(&key.key).map_err(PlatformError::from)?)
    }
}

impl Admitted<'_> {
    /// Values are given to send a message again; a name that the scheme does not know would change nothing.
    pub(super) fn check_values(&self, dealing: &Dealing) -> Result<(), PlatformError> {
        let known: Vec<_> = self.scheme().given_values().map(str::to_owned).collect();
        match dealing.values.keys().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => Err(PlatformError::UnknownValue {
                scheme: self.scheme.clone(),
                name: shown(name),
                known,
            }),
        }
    }
}

pub(super) const fn operation(act: Act) -> Operation {
    match act {
        Act::SignRequest => Operation::SignRequest,
        Act::SignResponse => Operation::SignResponse,
        Act::VerifyCallback => Operation::VerifyCallback,
        Act::VerifyResponse => Operation::VerifyResponse,
        Act::EncryptField => Operation::EncryptField,
        Act::DecryptField => Operation::DecryptField,
        Act::IssueAccessToken => Operation::IssueAccessToken,
    }
}
