//! What can be permitted, and what each of it is about.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::scheme::Act;

/// What a caller asks to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Make a signature or a MAC.
    Sign,
    /// Verify a signature or a MAC.
    Verify,
    /// Encrypt, to a key of the token or to a public key from outside.
    Encrypt,
    /// Decrypt.
    Decrypt,
    /// See a key's metadata, public half and place in a key set.
    Get,
    /// Make a key.
    Create,
    /// Bring in a key, or a version of one, that was made elsewhere.
    Import,
    /// Have the next version of a key made, choose the primary one, set the schedule.
    Rotate,
    /// Change what is said of a key; enable and disable its versions.
    Update,
    /// Have a version of a key destroyed, or restored before it is.
    Destroy,
    /// Approve what others propose to do with a key. Who may is said in `[[approvals]]`, and in no rule.
    Approve,
    /// Approve a policy that others propose. Who may is said in `[[approvals]]`, and in no rule.
    ApprovePolicy,
    /// Propose another policy.
    ChangePolicy,
    /// Have a key sign a certificate request for itself.
    RequestCertificate,
    /// Get random bytes.
    GenerateRandom,
    /// Have a request to a partner signed by a scheme's rules.
    SignRequest,
    /// Have an answer to a partner's request signed.
    SignResponse,
    /// Have a partner's request verified.
    VerifyCallback,
    /// Have a partner's answer verified.
    VerifyResponse,
    /// Have a value encrypted to a partner.
    EncryptField,
    /// Have a value decrypted that a partner encrypted.
    DecryptField,
    /// Give a partner an access token.
    IssueAccessToken,
    /// See what would be signed for a partner, or what a message of theirs is verified by.
    ExplainMessage,
    /// See a partner: its schemes, constants and the names of its keys. Comes with each of the above.
    GetPartner,
    /// Read the audit log: every record, of whatever identity, key and partner.
    ReadAudit,
}

/// What an operation is about, and so which lists a rule for it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// A key.
    pub key: Need,
    /// An algorithm.
    pub algorithm: Need,
    /// A partner.
    pub partner: Need,
    /// A scheme of the partner's; a rule without the list of them is for all.
    pub scheme: Need,
}

/// Whether an operation is about something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Every request has one, and a rule must list it.
    Always,
    /// Some requests have one. For those a rule must list it; the others it allows with or without
    /// the list. Algorithms that are listed also hold for a request without a key.
    Sometimes,
    /// No request has one.
    Never,
}

/// A text that names no operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown operation {0:?}; expected one of sign, verify, encrypt, decrypt, get, create, import, rotate, update, destroy, approve, approve_policy, change_policy, request_certificate, generate_random, sign_request, sign_response, verify_callback, verify_response, encrypt_field, decrypt_field, issue_access_token, explain_message, get_partner, read_audit"
)]
pub struct UnknownOperation(String);

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 25] = [
        Self::Sign,
        Self::Verify,
        Self::Encrypt,
        Self::Decrypt,
        Self::Get,
        Self::Create,
        Self::Import,
        Self::Rotate,
        Self::Update,
        Self::Destroy,
        Self::Approve,
        Self::ApprovePolicy,
        Self::ChangePolicy,
        Self::RequestCertificate,
        Self::GenerateRandom,
        Self::SignRequest,
        Self::SignResponse,
        Self::VerifyCallback,
        Self::VerifyResponse,
        Self::EncryptField,
        Self::DecryptField,
        Self::IssueAccessToken,
        Self::ExplainMessage,
        Self::GetPartner,
        Self::ReadAudit,
    ];

    /// The name in policy files and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Verify => "verify",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Get => "get",
            Self::Create => "create",
            Self::Import => "import",
            Self::Rotate => "rotate",
            Self::Update => "update",
            Self::Destroy => "destroy",
            Self::Approve => "approve",
            Self::ApprovePolicy => "approve_policy",
            Self::ChangePolicy => "change_policy",
            Self::RequestCertificate => "request_certificate",
            Self::GenerateRandom => "generate_random",
            Self::SignRequest => Act::SignRequest.name(),
            Self::SignResponse => Act::SignResponse.name(),
            Self::VerifyCallback => Act::VerifyCallback.name(),
            Self::VerifyResponse => Act::VerifyResponse.name(),
            Self::EncryptField => Act::EncryptField.name(),
            Self::DecryptField => Act::DecryptField.name(),
            Self::IssueAccessToken => Act::IssueAccessToken.name(),
            Self::ExplainMessage => "explain_message",
            Self::GetPartner => "get_partner",
            Self::ReadAudit => "read_audit",
        }
    }

    /// Whether what it signs is made by a partner's scheme, or for a partner, and not by the caller.
    pub const fn signs_for_partner(self) -> bool {
        matches!(
            self,
            Self::SignRequest | Self::SignResponse | Self::IssueAccessToken
        )
    }

    /// What it is about.
    pub const fn needs(self) -> Needs {
        use Need::{Always, Never, Sometimes};
        let (key, algorithm) = match self {
            Self::Sign => (Always, Always),
            Self::Verify => (Always, Always),
            // To a public key from outside it concerns no key of ours.
            Self::Encrypt => (Sometimes, Sometimes),
            Self::Decrypt => (Always, Always),
            Self::Get | Self::Rotate | Self::Update | Self::Destroy | Self::Approve => {
                (Always, Never)
            }
            Self::Create => (Always, Always),
            Self::Import => (Always, Always),
            Self::RequestCertificate => (Always, Always),
            // The log is one: who may read it reads what was done with every key.
            Self::GenerateRandom | Self::ApprovePolicy | Self::ChangePolicy | Self::ReadAudit => {
                (Never, Never)
            }
            Self::SignRequest
            | Self::SignResponse
            | Self::VerifyCallback
            | Self::VerifyResponse
            | Self::EncryptField
            | Self::DecryptField
            | Self::IssueAccessToken
            | Self::ExplainMessage => {
                return Needs {
                    key: Never,
                    algorithm: Never,
                    partner: Always,
                    scheme: Always,
                };
            }
            Self::GetPartner => {
                return Needs {
                    key: Never,
                    algorithm: Never,
                    partner: Always,
                    scheme: Never,
                };
            }
        };
        Needs {
            key,
            algorithm,
            partner: Never,
            scheme: Never,
        }
    }
}

impl From<Act> for Operation {
    fn from(act: Act) -> Self {
        match act {
            Act::SignRequest => Self::SignRequest,
            Act::SignResponse => Self::SignResponse,
            Act::VerifyCallback => Self::VerifyCallback,
            Act::VerifyResponse => Self::VerifyResponse,
            Act::EncryptField => Self::EncryptField,
            Act::DecryptField => Self::DecryptField,
            Act::IssueAccessToken => Self::IssueAccessToken,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, UnknownOperation> {
        Self::ALL
            .into_iter()
            .find(|one| one.name() == text)
            .ok_or_else(|| UnknownOperation(text.chars().take(40).collect()))
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
