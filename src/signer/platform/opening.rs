//! What a partner encrypted to us, opened in the token; and what its private key proves the origin of, opened with
//! the public one. Whatever is wrong with it looks the same from outside.

use zeroize::Zeroizing;

use crate::{
    algorithm::{Algorithm, ContentEncryption},
    audit::{Ending, InputDigest},
    jose::jwe::Jwe,
    partner::{PlatformKey, RoleKey},
    pkcs11::{TokenError, VersionFacts},
    policy::KeyUse,
    scheme::{Sealed, SealedContent},
    signer::{
        Call, Error, Found, Signer,
        message::{self, DECRYPTION_FAILED},
    },
};

use super::{Admitted, KeyUsed, PlatformError};

/// What came out, and with which key.
pub(super) type Opened = (Zeroizing<Vec<u8>>, KeyUsed);

impl Signer {
    /// Opens something with any live version of the key in its role; `None` if none opens it.
    pub(super) async fn opened(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        sealed: &Sealed,
    ) -> Result<Option<Opened>, Error> {
        if sealed.algorithm == Algorithm::Rsa15Private {
            return recovered(admitted, sealed);
        }
        let found = self.playing(admitted, &sealed.key_role, sealed.algorithm)?;
        for facts in found.all_live().take(MAX_VERSIONS) {
            let opened = self
                .opened_with(call, admitted, &found, facts, sealed)
                .await?;
            if let Some(plaintext) = opened {
                let version = facts.version.clone();
                let key = KeyUsed::ours(version, sealed.algorithm, facts.public.as_ref());
                return Ok(Some((plaintext, key)));
            }
        }
        Ok(None)
    }

    async fn opened_with(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        found: &Found,
        facts: &VersionFacts,
        sealed: &Sealed,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let permit = |ciphertext: &[u8]| {
            let (used, input) = (KeyUse::Decrypt, InputDigest::of(ciphertext));
            admitted.intend(facts, used, sealed.algorithm, Some(input))
        };
        let (token, deadline) = (&found.token, call.deadline);
        let outcome = match &sealed.content {
            SealedContent::Jwe(text) => {
                let Some(jwe) = str::from_utf8(text)
                    .ok()
                    .and_then(|text| Jwe::parse(text).ok())
                else {
                    return Ok(None);
                };
                let Ok(openings) = jwe.openings(|_| false, &found.key.usage) else {
                    return Ok(None);
                };
                // The scheme says the algorithm, not the message.
                let fitting = openings
                    .into_iter()
                    .filter(|opening| opening.algorithm() == sealed.algorithm);
                for opening in fitting.take(MAX_RECIPIENTS) {
                    let secret =
                        message::open(token, permit(text).await?, opening.step(), call).await;
                    let secret = match secret {
                        Ok(secret) => Some(secret),
                        // Not told apart from a wrong tag (RFC 7516 section 11.5).
                        Err(error) if error.is_callers_input() => None,
                        Err(error) => return Err(error.into()),
                    };
                    if let Ok(opened) = opening.finish(secret) {
                        admitted.account.ends(Ending::Succeeded);
                        return Ok(Some(opened.plaintext));
                    }
                    admitted.account.ends(Ending::Failed(DECRYPTION_FAILED));
                }
                return Ok(None);
            }
            SealedContent::AesGcm {
                encryption,
                iv,
                aad,
                ciphertext_and_tag,
            } => {
                let Ok(iv) = <[u8; 12]>::try_from(iv.as_slice()) else {
                    return Ok(None);
                };
                if !allows(found, *encryption) {
                    return Err(PlatformError::NotSupported(
                        "the record of the key does not allow the scheme's content encryption",
                    )
                    .into());
                }
                let (aad, sealed) = (aad.clone(), ciphertext_and_tag.clone());
                let permit = permit(&sealed).await?;
                token.open_sealed(permit, iv, aad, sealed, deadline).await
            }
            SealedContent::RsaOaep { ciphertext, .. } => {
                // The scheme was checked: its hashes are those of the algorithm, which the permit names.
                let permit = permit(ciphertext).await?;
                token.decrypt(permit, ciphertext.clone(), deadline).await
            }
        };
        let opened = opened_or_not(outcome)?;
        admitted.account.ends(match &opened {
            Some(_) => Ending::Succeeded,
            None => Ending::Failed(DECRYPTION_FAILED),
        });
        Ok(opened)
    }
}

/// Opens what one of the partner's private keys proves the origin of, with its public half.
fn recovered(admitted: &Admitted<'_>, sealed: &Sealed) -> Result<Option<Opened>, Error> {
    let role = &sealed.key_role;
    let Some(RoleKey::Public(keys)) = admitted.assignment().key(role) else {
        return Err(PlatformError::NotSupported(
            "the scheme recovers a content key with a key that is not the partner's public key",
        )
        .into());
    };
    let SealedContent::Jwe(text) = &sealed.content else {
        return Ok(None);
    };
    let text = str::from_utf8(text).ok();
    let Some(jwe) = text.and_then(|text| Jwe::parse(text).ok()) else {
        return Ok(None);
    };
    for PlatformKey { key, .. } in keys {
        if let Ok(opened) = jwe.recovered_with(key) {
            let used = KeyUsed::theirs(admitted, role, sealed.algorithm, key);
            return Ok(Some((opened.plaintext, used)));
        }
    }
    Ok(None)
}

fn allows(found: &Found, encryption: ContentEncryption) -> bool {
    found.key.usage.content_encryptions().contains(&encryption)
}

fn opened_or_not(
    outcome: Result<Zeroizing<Vec<u8>>, TokenError>,
) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    match outcome {
        Ok(plaintext) => Ok(Some(plaintext)),
        Err(error) if error.is_callers_input() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// While keys are rotated there are two; more than a few are a mistake, and each costs a token's operation.
pub(super) const MAX_VERSIONS: usize = 4;
/// Recipients of one JWE that are tried.
const MAX_RECIPIENTS: usize = 4;
