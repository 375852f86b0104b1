//! JWE: made for a key of the token or of somebody else, and opened with a key of the token.

use zeroize::Zeroizing;

use crate::{
    algorithm::{Algorithm, ContentEncryption},
    audit::{Ending, InputDigest, Word},
    jose::jwe::{
        DecryptionFailed, Jwe, PublicRecipient, SealDraft, SealStep, Step, encrypt_to_public,
    },
    key::KeyVersion,
    pkcs11::{Token, TokenError, VersionFacts},
    policy::{Operation, Permit},
    signer::{Account, Call, Error, Found, Selector, Signer},
};

/// Whom a JWE is for.
#[derive(Clone, Debug)]
pub enum JweRecipient {
    /// A public JWK.
    Jwk(String),
    /// A public key or certificate, PEM.
    Pem(String),
    /// A key of a token.
    Key(Selector),
}

/// A JWE that is wanted.
pub struct JweRequest {
    /// Whom it is for.
    pub recipient: JweRecipient,
    /// How the content key is encrypted.
    pub algorithm: Algorithm,
    /// How the content is encrypted.
    pub content_encryption: ContentEncryption,
    /// The content.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// JSON to merge into the protected header; may be empty.
    pub protected_header: String,
    /// Whether to compress the content first.
    pub compress: bool,
}

/// A JWE that was opened.
pub struct DecryptedJwe {
    /// What was in it.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The protected header, JSON, as received.
    pub protected_header: String,
    /// The version that opened it.
    pub version: KeyVersion,
    /// `alg`.
    pub algorithm: Algorithm,
    /// `enc`.
    pub content_encryption: ContentEncryption,
}

impl Signer {
    /// Makes a JWE. Gives the version that it is for, if it is for a key of a token.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn encrypt_jwe(
        &self,
        call: &Call,
        request: &JweRequest,
    ) -> Result<(String, Option<KeyVersion>), Error> {
        let account = self.roll.open(call);
        let made = self.make_jwe(&account, call, request).await;
        account.close(made).await
    }

    async fn make_jwe(
        &self,
        account: &Account,
        call: &Call,
        request: &JweRequest,
    ) -> Result<(String, Option<KeyVersion>), Error> {
        let JweRequest {
            recipient,
            algorithm,
            content_encryption,
            plaintext,
            protected_header,
            compress,
        } = request;
        let (algorithm, content_encryption, compress) =
            (*algorithm, *content_encryption, *compress);
        let outside = async |recipient: PublicRecipient| {
            let (policy, now) = (self.policy.load(), self.clock.now());
            let verdict = policy.authorize_encrypt_outside(&call.identity, algorithm, now);
            let granted = account.authorized(verdict)?;
            account
                .begin(&granted, None, Some(recipient.public_key()))
                .await?;
            let jwe = encrypt_to_public(
                &recipient,
                algorithm,
                content_encryption,
                plaintext,
                protected_header,
                compress,
            )?;
            Ok((jwe, None))
        };
        let selector = match recipient {
            JweRecipient::Jwk(jwk) => return outside(PublicRecipient::from_jwk(jwk)?).await,
            JweRecipient::Pem(pem) => return outside(PublicRecipient::from_pem(pem)?).await,
            JweRecipient::Key(selector) => selector,
        };
        let (found, granted) =
            self.permit(account, call, selector, Operation::Encrypt, algorithm)?;
        let usage = &found.key.usage;
        if !usage.content_encryptions().contains(&content_encryption)
            || (compress && !usage.compression_allowed())
        {
            let why = format!(
                "the key's record allows the content encryptions {}, {} compression",
                usage
                    .content_encryptions()
                    .iter()
                    .map(|one| one.name())
                    .collect::<Vec<_>>()
                    .join(", "),
                if usage.compression_allowed() {
                    "with or without"
                } else {
                    "without"
                },
            );
            return Err(Error::Unusable {
                key: found.key.name.clone(),
                why,
            });
        }
        let version = granted.key().clone();
        let facts = found
            .key
            .version(&version)
            .ok_or_else(|| Error::NoSuchVersion(version.clone()))?;
        let permit = account.intend(granted, None, facts.public.as_ref()).await?;
        let jwe = match &facts.public {
            Some(public) => {
                let recipient =
                    PublicRecipient::from_public_key(public, facts.thumbprint.as_deref())
                        .only_with(algorithm);
                encrypt_to_public(
                    &recipient,
                    algorithm,
                    content_encryption,
                    plaintext,
                    protected_header,
                    compress,
                )?
            }
            None => {
                let draft = SealDraft::new(
                    algorithm,
                    content_encryption,
                    None,
                    plaintext,
                    protected_header,
                    compress,
                )?;
                let result = seal(&found.token, permit, draft.step(), call).await?;
                draft.finish(&result)?
            }
        };
        Ok((jwe, Some(version)))
    }

    /// Opens a JWE. Whatever is wrong with the message, the error is the same.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn decrypt_jwe(
        &self,
        call: &Call,
        key: &Selector,
        text: &str,
    ) -> Result<DecryptedJwe, Error> {
        let account = self.roll.open(call);
        let outcome = async {
            let found = self.allowed(&account, call, key, Operation::Decrypt)?;
            self.try_decrypt(&account, call, &found, key, text).await
        };
        let outcome = outcome.await;
        if let Err(Error::Decryption(failure)) = &outcome {
            tracing::info!(client.id = %call.identity.name(), key = %key.key, cause = failure.cause(), "decryption failed");
        }
        account.close(outcome).await
    }

    async fn try_decrypt(
        &self,
        account: &Account,
        call: &Call,
        found: &Found,
        key: &Selector,
        text: &str,
    ) -> Result<DecryptedJwe, Error> {
        let jwe = Jwe::parse(text)?;
        let facts = named_or_primary(found, key, &jwe)?;
        let openings = jwe.openings(
            |kid| facts.thumbprint.as_deref() == Some(kid),
            &found.key.usage,
        )?;
        let mut last: Option<DecryptionFailed> = None;
        for opening in openings {
            let (algorithm, content_encryption) =
                (opening.algorithm(), opening.content_encryption());
            let verdict = self.policy.load().authorize(
                &call.identity,
                &facts.version,
                Operation::Decrypt,
                algorithm,
                self.clock.now(),
            );
            let granted = account.authorized(verdict)?;
            let input = Some(InputDigest::of(text.as_bytes()));
            let permit = account
                .intend(granted, input, facts.public.as_ref())
                .await?;
            let outcome = match open(&found.token, permit, opening.step(), call).await {
                Ok(secret) => Some(secret),
                // Not told apart from a wrong tag: a substitute key takes the same way (RFC 7516 section 11.5).
                Err(error) if error.is_callers_input() => None,
                Err(error) => return Err(error.into()),
            };
            match opening.finish(outcome) {
                Ok(opened) => {
                    return Ok(DecryptedJwe {
                        plaintext: opened.plaintext,
                        protected_header: opened.protected_header,
                        version: facts.version.clone(),
                        algorithm,
                        content_encryption,
                    });
                }
                Err(failure) => {
                    account.ends(Ending::Failed(DECRYPTION_FAILED));
                    last = Some(failure);
                }
            }
        }
        Err(last.expect("openings are never empty").into())
    }
}

/// The version that opens a message: the one that the caller named, or that `kid` names, or the primary.
fn named_or_primary<'a>(
    found: &'a Found,
    wanted: &Selector,
    jwe: &Jwe,
) -> Result<&'a VersionFacts, Error> {
    let hints: Vec<_> = jwe.recipients().flatten().collect();
    let named = found.versions(wanted).find(|facts| {
        wanted.version.is_some()
            || facts
                .thumbprint
                .as_deref()
                .is_some_and(|kid| hints.contains(&kid))
    });
    match named {
        Some(facts) => found.enabled(facts),
        None => found.primary(),
    }
}

pub(in crate::signer) async fn open(
    token: &Token,
    permit: Permit,
    step: &Step,
    call: &Call,
) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    match step {
        Step::Decrypt { encrypted_key } => {
            token
                .decrypt(permit, encrypted_key.clone(), call.deadline)
                .await
        }
        Step::Agree { point } => token.agree(permit, point.clone(), call.deadline).await,
        Step::Unwrap { wrapped_key } => {
            token
                .unwrap_key(permit, wrapped_key.clone(), call.deadline)
                .await
        }
        Step::Open {
            iv,
            aad,
            ciphertext_and_tag,
        } => {
            token
                .open_sealed(
                    permit,
                    iv.clone(),
                    aad.clone(),
                    ciphertext_and_tag.clone(),
                    call.deadline,
                )
                .await
        }
    }
}

async fn seal(
    token: &Token,
    permit: Permit,
    step: SealStep<'_>,
    call: &Call,
) -> Result<Vec<u8>, TokenError> {
    match step {
        SealStep::Wrap { content_key } => token.wrap_key(permit, content_key, call.deadline).await,
        SealStep::Seal { iv, aad, plaintext } => {
            let iv = iv.try_into().expect("a draft's IV has twelve bytes");
            token
                .seal(permit, iv, aad.to_vec(), plaintext.to_vec(), call.deadline)
                .await
        }
    }
}

/// As callers are told it.
pub(in crate::signer) const DECRYPTION_FAILED: Word = Word::new("DECRYPTION_FAILED");
