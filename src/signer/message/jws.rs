//! JWS: made with a key of the token, and verified with the version that made it.

use crate::{
    algorithm::Algorithm,
    jose::{
        Serialization,
        jws::{Draft, Jws, JwsParameters},
    },
    key::KeyVersion,
    pkcs11::VersionFacts,
    policy::Operation,
    signer::{
        Account, Call, Content, Error, Found, Given, Selector, SignatureForm, Signer, digest_of,
        signing_input, verified,
    },
};

/// A JWS that is wanted.
#[derive(Clone, Debug)]
pub struct JwsRequest {
    /// With which key.
    pub key: Selector,
    /// With which algorithm.
    pub algorithm: Algorithm,
    /// The payload.
    pub payload: Vec<u8>,
    /// JSON to merge into the protected header; may be empty.
    pub protected_header: String,
    /// JSON for the unprotected header; may be empty.
    pub unprotected_header: String,
    /// How to write it.
    pub serialization: Serialization,
    /// Whether to leave the payload out.
    pub detached: bool,
    /// Whether to sign the payload as it is.
    pub unencoded_payload: bool,
}

/// A JWS whose signature was right.
#[derive(Clone, Debug)]
pub struct VerifiedJws {
    /// The payload that was signed.
    pub payload: Vec<u8>,
    /// The protected header, JSON, as received.
    pub protected_header: String,
    /// The version that signed.
    pub version: KeyVersion,
    /// The algorithm that signed.
    pub algorithm: Algorithm,
}

impl Signer {
    /// Makes a JWS.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn sign_jws(
        &self,
        call: &Call,
        request: JwsRequest,
    ) -> Result<(String, KeyVersion), Error> {
        let account = self.roll.open(call);
        let signed = self.make_jws(&account, call, request).await;
        account.close(signed).await
    }

    async fn make_jws(
        &self,
        account: &Account,
        call: &Call,
        request: JwsRequest,
    ) -> Result<(String, KeyVersion), Error> {
        let algorithm = request.algorithm;
        let (found, granted) = self.permit_to_sign(account, call, &request.key, algorithm)?;
        let version = granted.key().clone();
        let granted = account.limited(granted, |permit| {
            permit.for_jws(&request.payload, !request.unencoded_payload)
        })?;
        let draft = Draft::new(JwsParameters {
            algorithm: request.algorithm,
            key_id: found
                .key
                .version(&version)
                .and_then(|facts| facts.thumbprint.as_deref()),
            payload: &request.payload,
            protected_header: &request.protected_header,
            unprotected_header: &request.unprotected_header,
            serialization: request.serialization,
            detached: request.detached,
            unencoded_payload: request.unencoded_payload,
        })?;
        let content = Content::Message(draft.signing_input().to_vec().into());
        let input = signing_input(algorithm, content)?;
        let digest = digest_of(algorithm, &input);
        let permit = account
            .intend(granted, Some(digest), found.public(&version))
            .await?;
        let signature = found.token.sign(permit, input, call.deadline).await?;
        account.signed(&signature);
        Ok((draft.finish(&signature), version))
    }

    /// Verifies a JWS: any of its signatures, with any version that the caller means.
    ///
    /// # Errors
    ///
    /// [`Error`], also if it can't be read; a signature that is wrong is `None`.
    pub async fn verify_jws(
        &self,
        call: &Call,
        key: &Selector,
        text: &str,
        detached_payload: Option<&[u8]>,
        understood_critical: &[String],
    ) -> Result<Option<VerifiedJws>, Error> {
        let account = self.roll.open(call);
        let verified = async {
            let found = self.allowed(&account, call, key, Operation::Verify)?;
            let jws = Jws::parse(text, detached_payload, understood_critical)?;
            self.try_signatures(&account, call, &found, key, &jws).await
        };
        let verified = verified.await;
        account.close(verified).await
    }

    async fn try_signatures(
        &self,
        account: &Account,
        call: &Call,
        found: &Found,
        key: &Selector,
        jws: &Jws,
    ) -> Result<Option<VerifiedJws>, Error> {
        let mut unfit = None;
        for candidate in jws.candidates() {
            let algorithm = candidate.algorithm();
            // The key's record decides, not the message: a public key is never taken for a secret.
            if let Err(error) = found.allows(algorithm) {
                unfit = Some(error);
                continue;
            }
            let content = Content::Message(candidate.signing_input().to_vec().into());
            let input = signing_input(algorithm, content)?;
            for facts in by_key_id(found, key, candidate.key_id())? {
                let verdict = self.policy.load().authorize(
                    &call.identity,
                    &facts.version,
                    Operation::Verify,
                    algorithm,
                    self.clock.now(),
                );
                let granted = account.authorized(verdict)?;
                let given = Given {
                    signature: candidate.signature(),
                    form: SignatureForm::Raw,
                };
                let right = verified(account, call, found, facts, granted, &input, given);
                if right.await? {
                    return Ok(Some(VerifiedJws {
                        payload: jws.payload().to_vec(),
                        protected_header: candidate.protected_header().to_owned(),
                        version: facts.version.clone(),
                        algorithm,
                    }));
                }
            }
        }
        match unfit {
            Some(error) if jws.candidates().len() == 1 => Err(error),
            _ => Ok(None),
        }
    }
}

/// The versions that a signature may be of: those that `kid` names, or, if it names none of ours, all that are enabled.
fn by_key_id<'a>(
    found: &'a Found,
    wanted: &Selector,
    key_id: Option<&str>,
) -> Result<Vec<&'a VersionFacts>, Error> {
    let named: Vec<_> = found
        .versions(wanted)
        .filter(|facts| key_id.is_some() && facts.thumbprint.as_deref() == key_id)
        .collect();
    for facts in &named {
        found.enabled(facts)?;
    }
    Ok(if named.is_empty() {
        found.live(wanted).collect()
    } else {
        named
    })
}
