//! What has become of a message: the decision, the reason for it, and what the application may see.

use zeroize::Zeroizing;

use crate::{
    algorithm::Algorithm,
    scheme::{
        Acknowledgement, Act, EvaluationError, Examination, Fault, Outcome, Refusal, SchemeName,
        UnixMilliseconds, Verdict,
    },
    signer::{
        Error,
        platform::{Admitted, KeyUsed, PlatformError, protections::Memory},
    },
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

impl Verification {
    pub(in crate::signer::platform) fn malformed(admitted: &Admitted<'_>, act: Act) -> Self {
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
    pub(in crate::signer::platform) fn refused(mut self, refusal: Refusal) -> Result<Self, Error> {
        match refusal {
            Refusal::Message(error) if !is_callers(&error) => {
                self.reason = missing_or_wrong(&error);
                self.message = error.to_string();
                Ok(self)
            }
            other => Err(PlatformError::from(other).into()),
        }
    }

    pub(super) fn undecryptable(mut self, role: &str) -> Self {
        self.decision = Decision::Invalid;
        self.reason = "DECRYPTION_FAILED";
        self.message = format!("what the key in the role {role:?} has to decrypt could not be");
        self
    }

    pub(in crate::signer::platform) fn decline(
        &mut self,
        outcome: Outcome,
        examination: &Examination<'_>,
    ) {
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

    pub(super) fn accept(&mut self, verdict: Verdict, decrypted: Zeroizing<Vec<u8>>, is_new: bool) {
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

/// Whether a signature can be one of the algorithm, by its length; for RSA the key decides.
pub(super) fn length_fits(algorithm: Algorithm, signature: &[u8]) -> bool {
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
