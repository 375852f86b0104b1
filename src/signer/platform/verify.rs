//! Verifying a message of a partner: decrypted where that comes first, taken apart, its signatures tried, its
//! time and request compared, and only then remembered.

use std::borrow::Cow;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Admitted, Dealing, KeyUsed, Named, PlatformError, opening::MAX_VERSIONS, protections::Memory,
    replay::Remembered, sign::operation,
};
use crate::{
    algorithm::Algorithm,
    audit::{Ending, InputDigest, Word},
    key::Input,
    partner::RoleKey,
    policy::KeyUse,
    scheme::{
        Acknowledgement, Act, Candidate, EvaluationError, Examination, Fault, Match, Message,
        Outcome, Refusal, SchemeName, UnixMilliseconds, Verdict, Verifying,
    },
    signer::{Call, Error, Signer, digest_of},
};

/// What has become of a message.
pub struct Verification {
    /// The decision.
    pub decision: Decision,
    /// Why, for programs; empty if it is valid.
    pub reason: &'static str,
    /// Why, for people; names the segment or step.
    pub message: String,
    /// What the signature covers; nothing unless it is valid or a duplicate.
    pub authenticated: Vec<(String, Vec<u8>)>,
    /// What was decrypted; nothing unless it is valid, a duplicate or unsigned.
    pub decrypted: Zeroizing<Vec<u8>>,
    /// Which attacks it was proof against.
    pub protection: Protection,
    /// What verified it.
    pub key: Option<KeyUsed>,
    /// Which form of the string was signed.
    pub form: usize,
    /// By which rules.
    pub scheme: SchemeName,
    /// The time that it says of itself.
    pub time: Option<UnixMilliseconds>,
    /// What to answer; nothing unless it is valid or a duplicate.
    pub acknowledgement: Option<Acknowledgement>,
}

/// The decision about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Authentic, in time, and not seen before.
    Valid,
    /// Authentic and in time, and seen before.
    Duplicate,
    /// No signature is right, or what must be decrypted can't be.
    Invalid,
    /// Authentic, but too old.
    Stale,
    /// Authentic, but from too far in the future.
    Future,
    /// The answer to another request.
    OtherRequest,
    /// Something is not there, or not as it must be.
    Malformed,
    /// Nobody signs such messages.
    Unsigned,
}

/// Which attacks a message was proof against, and which it was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// Past and future limits, in seconds.
    pub window_seconds: Option<(u64, u64)>,
    /// For how long messages are remembered, if they are.
    pub memory_seconds: Option<u64>,
    /// Whether answers name their requests.
    pub echo: bool,
    /// What is missing, in sentences.
    pub lacking: Vec<String>,
}

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

impl Verification {
    pub(super) fn malformed(admitted: &Admitted<'_>, act: Act) -> Self {
        let protection = admitted
            .scheme()
            .protections()
            .map(|given| Protection::of(given, act, Memory::NotAsked));
        Self {
            decision: Decision::Malformed,
            reason: "",
            message: String::new(),
            authenticated: Vec::new(),
            decrypted: Zeroizing::new(Vec::new()),
            protection: protection.unwrap_or_default(),
            key: None,
            form: 0,
            scheme: admitted.scheme.clone(),
            time: None,
            acknowledgement: None,
        }
    }

    /// What a message lacks is a verdict; what the caller or the configuration left out is an error.
    pub(super) fn refused(mut self, refusal: Refusal) -> Result<Self, Error> {
        match refusal {
            Refusal::Message(error) if !is_callers(&error) => {
                self.reason = missing_or_wrong(&error);
                self.message = error.to_string();
                Ok(self)
            }
            other => Err(PlatformError::from(other).into()),
        }
    }

    fn undecryptable(mut self, role: &str) -> Self {
        self.decision = Decision::Invalid;
        self.reason = "DECRYPTION_FAILED";
        self.message = format!("what the key in the role {role:?} has to decrypt could not be");
        self
    }

    pub(super) fn decline(&mut self, outcome: Outcome, examination: &Examination<'_>) {
        self.reason = outcome.reason();
        (self.decision, self.message) = match outcome {
            Outcome::Invalid => {
                let fits = examination.verifying().is_none_or(|verifying| {
                    let mut candidates = examination.candidates();
                    candidates.any(|(_, one)| length_fits(verifying.algorithm, one.signature))
                });
                if !fits {
                    self.reason = "SIGNATURE_LENGTH";
                }
                let words = if fits {
                    "no signature of the message is right with any of the keys that it may be of"
                } else {
                    "the signature has not the length that the algorithm gives"
                };
                (Decision::Invalid, format!("verify.signature: {words}"))
            }
            Outcome::BadToken => (
                Decision::Invalid,
                "verify.access_token: the access token is none that was issued to the partner, or it has expired"
                    .to_owned(),
            ),
            Outcome::Stale => (
                Decision::Stale,
                "verify.time: the message is older than is allowed".to_owned(),
            ),
            Outcome::Future => (
                Decision::Future,
                "verify.time: the message is from further in the future than is allowed".to_owned(),
            ),
            Outcome::OtherRequest => (
                Decision::OtherRequest,
                "verify.echo: the message answers another request".to_owned(),
            ),
            Outcome::Valid | Outcome::Unsigned => (Decision::Valid, String::new()),
        };
    }

    fn accept(&mut self, verdict: Verdict, decrypted: Zeroizing<Vec<u8>>, is_new: bool) {
        (self.decision, self.reason, self.message) = match (verdict.outcome, is_new) {
            (Outcome::Unsigned, _) => (
                Decision::Unsigned,
                "UNSIGNED",
                "the scheme has no [verify.signature]: nobody signs these messages".to_owned(),
            ),
            (_, true) => (Decision::Valid, "", String::new()),
            (_, false) => (
                Decision::Duplicate,
                "DUPLICATE",
                "verify.replay: the message was seen before; acknowledge it again, and do not act on it again"
                    .to_owned(),
            ),
        };
        self.authenticated = verdict.authenticated;
        self.decrypted = decrypted;
        self.acknowledgement = verdict.acknowledgement;
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

/// Whether a signature can be one of the algorithm, by its length; for RSA the key decides.
fn length_fits(algorithm: Algorithm, signature: &[u8]) -> bool {
    match algorithm {
        Algorithm::Hmac(hash) => signature.len() == hash.len(),
        Algorithm::RsaPkcs1(_) | Algorithm::RsaPss(_) => [256, 384, 512].contains(&signature.len()),
        Algorithm::EdDsa => signature.len() == 64,
        // DER has no one length.
        Algorithm::Ecdsa(_) => true,
        Algorithm::RsaOaep
        | Algorithm::RsaOaep256
        | Algorithm::RsaOaep256Mgf1Sha1
        | Algorithm::Rsa15
        | Algorithm::Rsa15Private
        | Algorithm::EcdhEs
        | Algorithm::EcdhEsA128Kw
        | Algorithm::EcdhEsA256Kw
        | Algorithm::A128Kw
        | Algorithm::A256Kw
        | Algorithm::Dir => false,
    }
}

/// Whether it is not the message that lacks something, but what the caller or the partner's file gave beside it.
fn is_callers(error: &EvaluationError) -> bool {
    error.fault == Fault::Absent
        && ["input.", "constant."]
            .iter()
            .any(|source| error.rule.starts_with(source))
}

/// A stable code for programs; absence has one for each kind of thing that can be absent.
pub fn missing_or_wrong(error: &EvaluationError) -> &'static str {
    if error.fault != Fault::Absent {
        return error.reason();
    }
    match error.rule.split(['.', ' ']).next() {
        Some("header") => "HEADER_MISSING",
        Some("input") => "INPUT_MISSING",
        Some("constant") => "CONSTANT_MISSING",
        _ => "PART_MISSING",
    }
}

const ONE_DAY: u64 = 24 * 3600;
