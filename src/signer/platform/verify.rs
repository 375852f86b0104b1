//! Verifying a message of a partner: decrypted where that comes first, taken apart, its signatures tried, its
//! time and request compared, and only then remembered.

use std::borrow::Cow;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Admitted, Dealing, KeyUsed, Named, opening::MAX_VERSIONS, protections::Memory,
    replay::Remembered, sign::operation,
};
use crate::{
    algorithm::Algorithm,
    audit::{Ending, InputDigest, Word},
    key::Input,
    partner::RoleKey,
    policy::KeyUse,
    scheme::{Act, Candidate, Examination, Match, Message, Outcome, Refusal, Verdict, Verifying},
    signer::{Call, Error, Signer, digest_of},
};

pub use verification::{Decision, Protection, Verification, missing_or_wrong};

use verification::length_fits;

mod verification;

/// Who made the signature, and which of the candidates that was.
type Right = (Match, KeyUsed);

impl Signer {
    /// Verifies a request of theirs, or their answer to a request of ours.
    ///
    /// # Errors
    ///
    /// [`Error`] for what is no fault of the message.
    pub async fn verify_message(
        &self,
        call: &Call,
        act: Act,
        dealing: &Dealing,
        message: Message<'_>,
    ) -> Result<Verification, Error> {
        let account = self.roll.open(call);
        let verified = async {
            let admitted = self.admit(&account, call, dealing, act, operation(act))?;
            self.verify_admitted(call, act, &admitted, dealing, message)
                .await
        };
        let verified = verified.await;
        account.close(verified).await
    }

    pub(super) async fn verify_admitted(
        &self,
        call: &Call,
        act: Act,
        admitted: &Admitted<'_>,
        dealing: &Dealing,
        message: Message<'_>,
    ) -> Result<Verification, Error> {
        admitted.begin(Some(InputDigest::of(&message.body))).await?;
        let result = self.verify_begun(call, act, admitted, dealing, message);
        let result = result.await?;
        admitted.account.began_with(match result.decision {
            Decision::Valid => Ending::Valid,
            Decision::Invalid => Ending::Invalid,
            Decision::Unsigned => Ending::Succeeded,
            Decision::Duplicate
            | Decision::Stale
            | Decision::Future
            | Decision::OtherRequest
            | Decision::Malformed => Ending::Failed(Word::new(result.reason)),
        });
        Ok(result)
    }

    async fn verify_begun(
        &self,
        call: &Call,
        act: Act,
        admitted: &Admitted<'_>,
        dealing: &Dealing,
        mut message: Message<'_>,
    ) -> Result<Verification, Error> {
        let scheme = admitted.scheme();
        let inputs = inputs_of(admitted, dealing);
        let bindings = self.bindings(admitted, &inputs, &Named::new());
        let mut result = Verification::malformed(admitted, act);
        let sealed = match scheme.sealed(&message, &bindings) {
            Ok(sealed) => sealed,
            Err(refusal) => return result.refused(refusal),
        };
        let mut decrypted = Zeroizing::new(Vec::new());
        if let Some(sealed) = &sealed {
            match self.opened(call, admitted, sealed).await? {
                Some((plaintext, _)) => decrypted = plaintext,
                None => return Ok(result.undecryptable(&sealed.key_role)),
            }
        }
        if sealed.is_some() {
            message.decrypted = Some(Cow::Borrowed(&decrypted));
        }
        let mut examination = match scheme.examine(&message, &bindings) {
            Ok(examination) => examination,
            Err(refusal) => return result.refused(refusal),
        };
        let now = self.clock.now();
        if let Some(token) = examination.access_token()
            && self.access_token_holds(call, admitted, token, now).await?
        {
            examination.access_token_is_good();
        }
        let right = self.right(call, admitted, &examination).await?;
        let mut verdict = match examination.conclude(right.as_ref().map(|(one, _)| *one), now) {
            Ok(verdict) => verdict,
            Err(error) => return result.refused(Refusal::Message(error)),
        };
        result.form = verdict.form.unwrap_or(0);
        result.time = right.is_some().then(|| examination.time()).flatten();
        let memory = match verdict.outcome {
            Outcome::Valid | Outcome::Unsigned => Memory::None,
            _ => Memory::NotAsked,
        };
        result.protection = Protection::of(verdict.protections, act, memory);
        match verdict.outcome {
            Outcome::Valid | Outcome::Unsigned => {}
            outcome => {
                result.key = right.map(|(_, key)| key);
                result.decline(outcome, &examination);
                return Ok(result);
            }
        }
        let mut opened_last = None;
        // What the caller is to act on has to be whole before the message is taken for seen.
        if let Some(sealed) = verdict.sealed.clone() {
            match self.opened(call, admitted, &sealed).await? {
                Some((plaintext, _)) => {
                    verdict = match examination.opened(verdict, &plaintext) {
                        Ok(verdict) => verdict,
                        Err(error) => return result.refused(Refusal::Message(error)),
                    };
                    opened_last = Some(plaintext_of(&verdict, plaintext));
                }
                None => return Ok(result.undecryptable(&sealed.key_role)),
            }
        }
        let matched = right.as_ref().map(|(one, _)| *one);
        let remembered = remembered(act, &examination, &verdict, matched);
        let mut is_new = true;
        if let Some((id, seconds, by_content)) = remembered {
            let memory = Memory::For {
                seconds,
                by_content,
            };
            result.protection = Protection::of(verdict.protections, act, memory);
            is_new = self
                .replay
                .is_new(Remembered {
                    partner: admitted.partner.name(),
                    scheme: &admitted.scheme,
                    id: &id,
                    now,
                    seconds,
                })
                .await?;
        }
        result.key = right.map(|(_, key)| key);
        result.accept(verdict, opened_last.unwrap_or(decrypted), is_new);
        Ok(result)
    }

    /// The first candidate that is right, and with which key: the newest first, and the one that the message names
    /// if it names one.
    pub(super) async fn right(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        examination: &Examination<'_>,
    ) -> Result<Option<Right>, Error> {
        let Some(verifying) = examination.verifying() else {
            return Ok(None);
        };
        match admitted.assignment().key(verifying.key_role) {
            Some(RoleKey::Public(keys)) => {
                for (index, key) in keys.iter().enumerate() {
                    if !verifying.live_keys.contains(&index) {
                        continue;
                    }
                    let Some(verifier) = key.verifier(verifying.algorithm, verifying.is_der) else {
                        continue;
                    };
                    for (
                        right,
                        Candidate {
                            string, signature, ..
                        },
                    ) in examination.candidates()
                    {
                        let string = string.bytes().unwrap_or_default();
                        if verifier.verifies(Input::Message(string), signature) {
                            let role = verifying.key_role;
                            let key =
                                KeyUsed::theirs(admitted, role, verifying.algorithm, &key.key);
                            return Ok(Some((right, key)));
                        }
                    }
                }
                Ok(None)
            }
            _ => {
                self.right_in_token(call, admitted, examination, verifying)
                    .await
            }
        }
    }

    /// The same with a secret in common, of which the token makes each MAC once.
    async fn right_in_token(
        &self,
        call: &Call,
        admitted: &Admitted<'_>,
        examination: &Examination<'_>,
        verifying: Verifying<'_>,
    ) -> Result<Option<Right>, Error> {
        let algorithm = verifying.algorithm;
        let found = self.playing(admitted, verifying.key_role, algorithm)?;
        for facts in found.all_live().take(MAX_VERSIONS) {
            let used = || KeyUsed::ours(facts.version.clone(), algorithm, facts.public.as_ref());
            let mut made: Option<(usize, Vec<u8>)> = None;
            for (
                candidate,
                Candidate {
                    form,
                    string,
                    signature,
                },
            ) in examination.candidates()
            {
                if let Some(public) = &facts.public {
                    let string = string.bytes().unwrap_or_default();
                    let input = Input::Message(string);
                    if public.verifies(algorithm, input, signature, verifying.is_der) {
                        return Ok(Some((candidate, used())));
                    }
                    continue;
                }
                // A signature of another length is no MAC of this algorithm; the token need not be asked.
                if !length_fits(algorithm, signature) {
                    continue;
                }
                let mac = match made.take() {
                    Some((same, mac)) if same == form => mac,
                    _ => {
                        let intend =
                            |input| admitted.intend(facts, KeyUse::Verify, algorithm, input);
                        match string.bytes() {
                            Some(string) => {
                                let input = Bytes::copy_from_slice(string);
                                let permit = intend(Some(digest_of(algorithm, &input))).await?;
                                found.token.sign(permit, input, call.deadline).await?
                            }
                            None => {
                                let permit = intend(None).await?;
                                self.mac_with_secret(call, admitted, &found, permit, string)
                                    .await?
                            }
                        }
                    }
                };
                let right = bool::from(mac.ct_eq(signature));
                admitted.account.verified(right);
                if right {
                    return Ok(Some((candidate, used())));
                }
                made = Some((form, mac));
            }
        }
        Ok(None)
    }
}

/// The inputs that the caller gave, and those values of the request that the scheme asks for under their names.
pub(super) fn inputs_of(admitted: &Admitted<'_>, dealing: &Dealing) -> Named {
    let mut inputs = dealing.inputs.clone();
    for (name, value) in &dealing.values {
        if admitted.scheme().inputs().any(|(known, _)| known == name) {
            inputs.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    inputs
}

/// What tells the message from every other, for how long that is remembered, and whether it is all that is signed.
///
/// Without an id of its own a callback is told by its string, if no one can make two valid signatures of one
/// string. Answers are not: two requests may well have the same.
fn remembered(
    act: Act,
    examination: &Examination<'_>,
    verdict: &Verdict,
    right: Option<Match>,
) -> Option<(Vec<u8>, u64, bool)> {
    if let Some(id) = &verdict.replay_id {
        let window = verdict.protections.window_seconds;
        let least = window.map_or(0, |(past, future)| past.saturating_add(future));
        let seconds = verdict.remember_seconds.unwrap_or(ONE_DAY).max(least);
        return Some((id.clone(), seconds, false));
    }
    let deterministic = matches!(
        examination.verifying()?.algorithm,
        Algorithm::Hmac(_) | Algorithm::RsaPkcs1(_)
    );
    if act != Act::VerifyCallback || !deterministic {
        return None;
    }
    let (_, candidate) = examination
        .candidates()
        .find(|(one, _)| Some(*one) == right)?;
    // A secret that has to be put in is left out, which changes nothing: it is the same in every message.
    let digest = match candidate.string.bytes() {
        Some(string) => Sha256::digest(string),
        None => Sha256::digest(candidate.string.masked().0),
    };
    Some((digest.to_vec(), ONE_DAY, true))
}

/// What the application is to see of what was opened last.
fn plaintext_of(verdict: &Verdict, plaintext: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    let mut parts = verdict.authenticated.iter();
    match parts.find(|(name, _)| name == "opened") {
        Some((_, opened)) => Zeroizing::new(opened.clone()),
        None => plaintext,
    }
}

const ONE_DAY: u64 = 24 * 3600;
