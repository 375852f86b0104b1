//! What a line of the log says: typed records, in which there is no room for a payload.
//!
//! A record is one line of JSON. Its fields have a fixed order and no white space between them, so that
//! writing it again gives the same bytes, which are a leaf of the log's tree.

use serde::{Deserialize, Serialize};

use crate::{
    algorithm::{Algorithm, Purpose},
    audit::{Digest, Origin, Timestamp},
    identity::{Identity, IdentityName},
    key::{KeyName, Version},
    policy::{self, Asked, Operation},
};

pub use name::{InvalidName, Name, Word};

mod name;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number: 0, 1, 2, ... without gaps.
    pub sequence: u64,
    /// When it was made.
    pub time: Timestamp,
    /// The hash of the record before it, as a leaf of the tree; of the log's origin for the first.
    pub previous: Digest,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The daemon opened the log.
    Started(Started),
    /// The daemon closes the log; nothing follows before the next start.
    Stopped(Stopped),
    /// The start found an end that was not written whole, and set it aside.
    Recovered(Recovered),
    /// A file was read again.
    Reloaded(Reloaded),
    /// Something is about to be done; an outcome tells what came of it.
    Intent(Box<Intent>),
    /// What came of an intent.
    Outcome(Outcome),
    /// Something was refused.
    Denied(Box<Denial>),
    /// Somebody read the log.
    LogRead(LogRead),
    /// A key came to another state.
    KeyChanged(KeyChange),
    /// A dangerous act was proposed, approved, carried out or dropped.
    Proposal(Box<Proposal>),
    /// The checkpoint that was signed last.
    Checkpoint(CheckpointFact),
    /// Old segments were removed.
    Pruned(Pruned),
}

/// Who did something: the name, and the certificate that said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The name.
    pub identity: IdentityName,
    /// SHA-256 of the certificate, DER.
    pub certificate: Digest,
}

/// What somebody did, or wanted to do, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// What to do, in the policy's words.
    pub operation: Operation,
    /// With which key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyName>,
    /// With which version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// With which algorithms; several only for a key to be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<Algorithm>,
    /// For which partner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<Name>,
    /// By the rules of which scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Name>,
}

/// Something that is about to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Who asked for it.
    pub caller: Caller,
    /// With which call.
    pub call: Word,
    /// What is to be done.
    pub subject: Subject,
    /// SHA-256 of the public half of the key, SPKI DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<Digest>,
    /// The hash of what is signed, verified or opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputDigest>,
    /// The rule of the policy that allowed it.
    pub rule: Name,
}

/// The hash of what was worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputDigest {
    /// SHA-256. Who knows a short or guessable input can find it again.
    Sha256(Digest),
    /// HMAC-SHA-256 with a key of the token: nobody without that key learns anything.
    HmacSha256(Digest),
}

/// What came of an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The number of the intent's record.
    pub intent: u64,
    /// How it ended.
    pub result: Ending,
    /// SHA-256 of the signature that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Digest>,
}

/// How something ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It was done.
    Succeeded,
    /// It was verified, and is good.
    Valid,
    /// It was verified, and is not good.
    Invalid,
    /// It failed; the reason is the one that callers see.
    Failed(Word),
    /// It was done before, by the same request: the answer of then was given again.
    Repeated,
    /// The daemon gave it up without a result; nothing was answered.
    Abandoned,
}

/// Something that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// Who asked for it.
    pub caller: Caller,
    /// With which call.
    pub call: Word,
    /// What was asked for.
    pub subject: Subject,
    /// The hash of what was sent along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputDigest>,
    /// Why not.
    pub reason: Refusal,
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No rule of the policy allows it.
    Policy(policy::Reason),
    /// Something else: a limit, bad content. The reason is the one that callers see.
    Other(Word),
}

/// The daemon opened the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Started {
    /// Whose log it is.
    pub origin: Origin,
    /// The version of the program.
    pub program: Word,
    /// SHA-256 of the policy in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
    /// SHA-256 of the configuration file in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Digest>,
}

/// The daemon closes the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// Why.
    pub reason: StopReason,
}

/// Why the log was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The daemon was told to end.
    Asked,
    /// The disk has less room left than is kept in reserve.
    DiskFull,
}

/// An end that was not written whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovered {
    /// How many bytes were set aside.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: Digest,
}

/// A file that was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reloaded {
    /// Which.
    pub what: Reloadable,
    /// SHA-256 of what is in force now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Whether it replaced what was in force; a file with a fault does not.
    pub applied: bool,
}

/// What can be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reloadable {
    /// The policy.
    Policy,
    /// The server's certificate, its key, the clients' authorities, revocation lists.
    Certificates,
    /// Schemes.
    Schemes,
    /// Partners.
    Partners,
}

/// Somebody read the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRead {
    /// Who.
    pub caller: Caller,
    /// With which call.
    pub call: Word,
    /// The rule of the policy that allowed it.
    pub rule: Name,
    /// The number of the first record that was asked for.
    pub first: u64,
    /// How many were shown.
    pub shown: u64,
}

/// A key came to another state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// Which key.
    pub key: KeyName,
    /// Which version; none if it concerns all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// To which state.
    pub act: KeyAct,
    /// SHA-256 of the public half, SPKI DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<Digest>,
    /// By whom; nobody if a schedule did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Caller>,
}

/// The acts of a key's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say all there is to say")]
pub enum KeyAct {
    Created,
    Imported,
    Adopted,
    Updated,
    MadePrimary,
    Enabled,
    Disabled,
    DestroyScheduled,
    Restored,
    Destroyed,
    RotationDue,
}

/// A step of an act that needs approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The proposal's identifier, a UUID.
    pub proposal: Name,
    /// Which step.
    pub step: ProposalStep,
    /// What is proposed.
    pub subject: Subject,
    /// SHA-256 of all that is proposed; of a change of policy, of the file.
    pub content: Digest,
    /// Why a step was refused; the reason is the one that callers see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Word>,
    /// Who took the step; nobody if time did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Caller>,
}

/// The steps of an act that needs approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say all there is to say")]
pub enum ProposalStep {
    Proposed,
    Approved,
    Refused,
    Executed,
    Withdrawn,
    Expired,
}

/// A checkpoint that was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointFact {
    /// How many records it covers.
    pub size: u64,
    /// The root of their tree.
    pub root: Digest,
}

/// Old segments that were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pruned {
    /// The number of the first record that is left.
    pub first: u64,
}

impl Event {
    /// The name of its kind, as records have it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::Stopped(_) => "stopped",
            Self::Recovered(_) => "recovered",
            Self::Reloaded(_) => "reloaded",
            Self::Intent(_) => "intent",
            Self::Outcome(_) => "outcome",
            Self::Denied(_) => "denied",
            Self::LogRead(_) => "log_read",
            Self::KeyChanged(_) => "key_changed",
            Self::Proposal(_) => "proposal",
            Self::Checkpoint(_) => "checkpoint",
            Self::Pruned(_) => "pruned",
        }
    }

    /// Who did it, if somebody did.
    pub fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Intent(intent) => Some(&intent.caller),
            Self::Denied(denial) => Some(&denial.caller),
            Self::LogRead(read) => Some(&read.caller),
            Self::KeyChanged(change) => change.by.as_ref(),
            Self::Proposal(proposal) => proposal.by.as_ref(),
            Self::Started(_)
            | Self::Stopped(_)
            | Self::Recovered(_)
            | Self::Reloaded(_)
            | Self::Outcome(_)
            | Self::Checkpoint(_)
            | Self::Pruned(_) => None,
        }
    }

    /// What it was about, if it says so.
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Intent(intent) => Some(&intent.subject),
            Self::Denied(denial) => Some(&denial.subject),
            Self::Proposal(proposal) => Some(&proposal.subject),
            _ => None,
        }
    }

    /// The key that it was about.
    pub fn key(&self) -> Option<&KeyName> {
        match self {
            Self::KeyChanged(change) => Some(&change.key),
            other => other.subject().and_then(|subject| subject.key.as_ref()),
        }
    }
}

impl From<&Identity> for Caller {
    fn from(identity: &Identity) -> Self {
        Self {
            identity: identity.name().clone(),
            certificate: Digest::from_bytes(*identity.certificate_sha256()),
        }
    }
}

impl From<Asked> for Subject {
    fn from(asked: Asked) -> Self {
        let Asked {
            operation,
            key,
            version,
            mut algorithms,
            partner,
            scheme,
        } = asked;
        // A caller may name one a thousand times; a record is short.
        algorithms.sort_unstable();
        algorithms.dedup();
        Self {
            operation,
            key,
            version,
            algorithms,
            partner: partner.map(|partner| Name::fitted(partner.as_str())),
            scheme: scheme.map(|scheme| Name::fitted(scheme.as_str())),
        }
    }
}

impl Outcome {
    /// That something was signed. A MAC's hash is left out: nothing that depends on a MAC alone is recorded.
    pub(super) fn signature(algorithm: Algorithm, signature: &[u8]) -> Option<Digest> {
        (algorithm.purpose() == Purpose::Sign).then(|| Digest::of(signature))
    }
}
