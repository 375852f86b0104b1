//! The one table from errors to gRPC status: code, reason, metadata, and what to do.
//!
//! Every status has a `google.rpc.ErrorInfo`. The pair of reason and [`DOMAIN`] is a promise; texts may change.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    audit::ReadError,
    key::{KeyName, KeyVersion},
    partner::PartnerName,
    pkcs11::{Fault, TokenError, Treatment},
    signer::{Error, PlatformError},
    store::{Refusal, StoreError, VersionState},
    wire::KeyResource,
};

pub use info::DOMAIN;
pub(super) use info::{deadline, denied, internal, invalid, status};

use info::{details, retry};

mod info;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (reason, text) = (error.reason(), error.to_string());
        match error {
            // The same words whether the key is there or not.
            Error::Denied(denied) => {
                // It is about the caller's own content, and he may use the key: he is told what is wrong with it.
                if let Some(limit) = denied.limit() {
                    return status(Code::PermissionDenied, limit.code(), limit.to_string(), []);
                }
                let asked = denied.asked();
                let mut metadata = vec![
                    ("identity", denied.identity().name().to_string()),
                    ("operation", asked.operation.to_string()),
                ];
                metadata.extend(asked.key.as_ref().map(|key| ("key", key.to_string())));
                // Not the scheme: it may be one that the caller has not named.
                let partner = asked.partner.as_ref();
                metadata.extend(partner.map(|partner| ("partner", partner.to_string())));
                let name = asked.key.as_ref().map(KeyName::as_str);
                let what = name
                    .or_else(|| partner.map(PartnerName::as_str))
                    .map_or_else(String::new, |name| format!(" with {name:?}"));
                status(
                    Code::PermissionDenied,
                    reason,
                    format!(
                        "{} may not {}{what}; if it should, a rule of the policy must say so",
                        denied.identity().name(),
                        asked.operation,
                    ),
                    metadata,
                )
            }
            Error::NoSuchKey(key) => status(
                Code::NotFound,
                reason,
                text,
                [("key", key.to_string())],
            ),
            Error::NoSuchVersion(version) => {
                let name = KeyResource::from(version).to_string();
                status(
                    Code::NotFound,
                    reason,
                    text,
                    [("name", name)],
                )
            }
            Error::VersionNotEnabled { version, state } => {
                let reason = match state {
                    VersionState::Enabled | VersionState::Disabled => "KEY_VERSION_DISABLED",
                    VersionState::DestroyScheduled => "KEY_VERSION_DESTROY_SCHEDULED",
                    VersionState::Destroyed => "KEY_VERSION_DESTROYED",
                };
                about_version(reason, text, version)
            }
            Error::Transition { version, .. } => about_version("KEY_VERSION_STATE", text, version),
            Error::PrimaryNotDestroyed(version) => {
                about_version("KEY_VERSION_PRIMARY", text, version)
            }
            Error::StatesUnknown => retry(
                Code::Unavailable,
                "KEY_STATES_UNKNOWN",
                text,
                Duration::from_secs(1),
            ),
            Error::EtagMismatch { key, found, .. } => status(
                Code::Aborted,
                "ETAG_MISMATCH",
                text,
                [("key", key.to_string()), ("etag", found)],
            ),
            Error::NameRetired(key) => status(
                Code::AlreadyExists,
                "KEY_NAME_RETIRED",
                text,
                [("key", key.to_string())],
            ),
            Error::NotRotatable(key) => status(
                Code::FailedPrecondition,
                "KEY_NOT_ROTATABLE",
                text,
                [("key", key.to_string())],
            ),
            Error::KeyHeld(_) => retry(Code::Aborted, "KEY_HELD", text, Duration::from_millis(200)),
            Error::ApprovalRequired {
                act,
                approval,
                required,
            } => status(
                Code::FailedPrecondition,
                reason,
                text,
                [
                    ("act", act.to_string()),
                    ("approval", approval),
                    ("required_approvals", required.to_string()),
                ],
            ),
            Error::ApprovalNotRequired(_) | Error::PolicyIsReloaded => {
                status(Code::FailedPrecondition, reason, text, [])
            }
            Error::ProposalContent(_) => invalid(reason, text),
            Error::NoStore => status(Code::FailedPrecondition, "STORE_MISSING", text, []),
            Error::RequestIdReused(_) => invalid("REQUEST_ID_REUSED", text),
            Error::RequestInProgress(_) => retry(
                Code::Aborted,
                "REQUEST_IN_PROGRESS",
                text,
                Duration::from_millis(200),
            ),
            Error::AnswerUnreadable(_) => status(Code::Internal, reason, text, []),
            Error::Quota(exceeded) => {
                let metadata = [
                    ("quota", exceeded.quota.to_string()),
                    ("kind", exceeded.kind.to_string()),
                ];
                let mut details = details(reason, metadata);
                details.set_retry_info(Some(exceeded.after));
                Self::with_error_details(Code::ResourceExhausted, text, details)
            }
            // What the store says is for the operator.
            Error::NotCounted { what, .. } => retry(
                Code::Unavailable,
                reason,
                format!("{what} must be counted in the store, which is not available, so nothing is done"),
                Duration::from_secs(1),
            ),
            Error::UsesExhausted { version, .. } => {
                about_version("KEY_USES_EXHAUSTED", text, version)
            }
            Error::UsesRaised { key, .. } => status(
                Code::FailedPrecondition,
                reason,
                text,
                [("key", key.to_string())],
            ),
            Error::Store(error) => error.into(),
            Error::Unusable { key, .. } => status(
                Code::FailedPrecondition,
                reason,
                text,
                [("key", key.to_string())],
            ),
            Error::NoSuchToken(_) => invalid(reason, text),
            Error::AlgorithmNotAllowed { key, algorithm, .. } => status(
                Code::InvalidArgument,
                reason,
                text,
                [
                    ("key", key.to_string()),
                    ("algorithm", algorithm.to_string()),
                ],
            ),
            Error::AlgorithmOfAnotherOperation(..) => {
                invalid(reason, text)
            }
            Error::NotSupported(_) => {
                status(Code::FailedPrecondition, reason, text, [])
            }
            Error::Usage(_) => invalid(reason, text),
            Error::DigestLength {
                algorithm,
                expected,
                given,
            } => status(
                Code::InvalidArgument,
                reason,
                text,
                [
                    ("algorithm", algorithm.to_string()),
                    ("expected", expected.to_string()),
                    ("given", given.to_string()),
                ],
            ),
            Error::DigestNotTaken(_) => invalid(reason, text),
            Error::FormNotTaken(_) => invalid(reason, text),
            Error::NotInChunks(_) => invalid(reason, text),
            Error::Jws(_) => invalid(reason, text),
            Error::Header(_) => invalid(reason, text),
            Error::Recipient(_) => invalid(reason, text),
            Error::Encrypt(_) => invalid(reason, text),
            // One answer for every cause (RFC 7516 section 11.5 and the attacks beside it).
            Error::Decryption(_) => invalid(reason, text),
            Error::CertificateRequest(_) => invalid(reason, text),
            Error::NoSuchPartner(partner) => status(
                Code::NotFound,
                reason,
                text,
                [("partner", partner.to_string())],
            ),
            Error::NoSuchScheme(scheme) => status(
                Code::NotFound,
                reason,
                text,
                [("scheme", scheme.to_string())],
            ),
            Error::Choice(_) => invalid(reason, text),
            Error::NotReady(not) => status(
                Code::FailedPrecondition,
                reason,
                text,
                [
                    ("partner", not.partner.to_string()),
                    ("scheme", not.scheme.to_string()),
                    ("role", not.role),
                    ("key", not.key.to_string()),
                ],
            ),
            Error::Platform(error) => of_platform(error, text),
            Error::NoLog => status(Code::FailedPrecondition, reason, text, []),
            Error::Log(error) => of_log(&error, text),
            // What is wrong with it is for the operator: it tells of files.
            Error::NoInputKey | Error::Audit(_) => retry(
                Code::Unavailable,
                reason,
                "the audit log is not available, so nothing is done; its operator finds the cause in the daemon's log"
                    .to_owned(),
                Duration::from_secs(1),
            ),
            Error::Token(error) => of_token(&error),
        }
    }
}

fn of_log(error: &ReadError, text: String) -> Status {
    let reason = error.reason();
    match error {
        // It tells of files.
        ReadError::Fault(_)
        | ReadError::File(_)
        | ReadError::Checkpoint(_)
        | ReadError::Altered(_) => status(
            Code::DataLoss,
            reason,
            "the audit log can't be read as it was written; its operator finds the cause in the daemon's log"
                .to_owned(),
            [],
        ),
        ReadError::NoCheckpoint => status(Code::FailedPrecondition, reason, text, []),
        ReadError::NotCovered { size, .. } => status(
            Code::OutOfRange,
            reason,
            text,
            [("tree_size", size.to_string())],
        ),
        ReadError::NotThere { end, .. } => status(
            Code::NotFound,
            reason,
            text,
            [("record_count", end.to_string())],
        ),
        ReadError::Removed { first, .. } => status(
            Code::OutOfRange,
            reason,
            text,
            [("first_sequence", first.to_string())],
        ),
    }
}

fn about_version(reason: &str, text: String, version: KeyVersion) -> Status {
    let name = KeyResource::from(version).to_string();
    status(Code::FailedPrecondition, reason, text, [("name", name)])
}

fn of_platform(error: PlatformError, text: String) -> Status {
    let reason = error.reason();
    match error {
        PlatformError::NoPart { scheme, part } => status(
            Code::InvalidArgument,
            reason,
            text,
            [("scheme", scheme), ("part", part.to_owned())],
        ),
        PlatformError::NoAccessTokens => status(Code::FailedPrecondition, reason, text, []),
        PlatformError::UnknownInput { name, .. } => {
            status(Code::InvalidArgument, reason, text, [("input", name)])
        }
        PlatformError::UnknownValue { name, .. } => {
            status(Code::InvalidArgument, reason, text, [("value", name)])
        }
        // Where in the scheme, for whoever has to mend it.
        PlatformError::Message(fault) => status(
            Code::InvalidArgument,
            reason,
            text,
            [("step", fault.at), ("rule", fault.rule)],
        ),
        PlatformError::NoTokenKey(role) => {
            status(Code::FailedPrecondition, reason, text, [("role", role)])
        }
        PlatformError::Encrypt(_) => invalid(reason, text),
        // One answer for every cause.
        PlatformError::Decryption => invalid(reason, text),
        PlatformError::NotSupported(_) => status(Code::FailedPrecondition, reason, text, []),
        PlatformError::Memory(error) => error.into(),
        PlatformError::NoRandom => internal("the system gave no random bytes"),
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let (reason, text) = (error.reason(), error.to_string());
        match error {
            // Why is for the operator: it names files and hosts.
            StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::Damaged(_) => retry(
                Code::Unavailable,
                reason,
                "the store is not available; its operator finds the cause in the daemon's log"
                    .to_owned(),
                Duration::from_secs(1),
            ),
            StoreError::Deadline => retry(Code::Unavailable, reason, text, Duration::from_secs(1)),
            StoreError::Busy(_) => retry(
                Code::ResourceExhausted,
                reason,
                text,
                Duration::from_millis(100),
            ),
            StoreError::ReplayMemoryFull { partner, .. } => status(
                Code::ResourceExhausted,
                reason,
                text,
                [("partner", partner)],
            ),
            StoreError::ClaimLost => retry(Code::Aborted, reason, text, SOON),
            StoreError::AnswerTooLarge { .. } => invalid(reason, text),
            StoreError::RevisionConflict { key, .. } => {
                status(Code::Aborted, reason, text, [("key", key.to_string())])
            }
            StoreError::TooManyProposals { limit } => status(
                Code::ResourceExhausted,
                reason,
                text,
                [("limit", limit.to_string())],
            ),
            StoreError::NoSuchProposal(_) => status(Code::NotFound, reason, text, []),
            StoreError::Proposal { refusal, .. } => {
                let code = match refusal {
                    Refusal::OwnAuthor | Refusal::NotItsAuthor => Code::PermissionDenied,
                    Refusal::ApprovedBefore => Code::AlreadyExists,
                    Refusal::Expired
                    | Refusal::Withdrawn
                    | Refusal::Executed
                    | Refusal::Unapproved { .. }
                    | Refusal::NotExecuting => Code::FailedPrecondition,
                };
                status(code, reason, text, [])
            }
        }
    }
}

fn of_token(error: &TokenError) -> Status {
    let (reason, text) = (error.reason(), error.to_string());
    match error {
        TokenError::QueueFull { .. } => retry(
            Code::ResourceExhausted,
            reason,
            text,
            Duration::from_millis(100),
        ),
        TokenError::Deadline => deadline(),
        TokenError::Hung => retry(Code::Unavailable, reason, text, SOON),
        TokenError::Lost => retry(Code::Unavailable, reason, text, SOON),
        TokenError::OutcomeUnknown => status(Code::Aborted, reason, text, []),
        // Why it is down is for the operator: it names paths and labels.
        TokenError::Down(_) => retry(
            Code::Unavailable,
            reason,
            "the token is not available; its operator finds the cause in the daemon's log"
                .to_owned(),
            Duration::from_secs(1),
        ),
        TokenError::WrongPermit(_) => {
            internal("the call failed by a fault of the daemon, which is in its log")
        }
        TokenError::TooLarge => invalid(reason, text),
        TokenError::NoSuchKey(_) => status(Code::FailedPrecondition, reason, text, []),
        TokenError::NotReadable(version) => status(
            Code::FailedPrecondition,
            reason,
            text,
            [("name", KeyResource::from(version.clone()).to_string())],
        ),
        TokenError::ContentKeyLength(_) => invalid(reason, text),
        TokenError::Import(error) if error.is_precondition() => {
            status(Code::FailedPrecondition, reason, text, [])
        }
        TokenError::Import(_) => invalid(reason, text),
        TokenError::Exists(key) => status(
            Code::AlreadyExists,
            reason,
            text,
            [("key", key.to_string())],
        ),
        TokenError::Fault(fault) => of_fault(fault),
    }
}

fn of_fault(fault: &Fault) -> Status {
    let metadata = [
        ("function", fault.function.clone()),
        ("code", fault.code.clone()),
    ];
    let reason = fault.reason();
    match fault.treatment {
        Treatment::CallersInput => invalid(reason, "the token refused the input".to_owned()),
        Treatment::Session | Treatment::Recycle => retry(
            Code::Unavailable,
            reason,
            "the token lost the session twice; try again".to_owned(),
            SOON,
        ),
        Treatment::Device | Treatment::Pin => retry(
            Code::Unavailable,
            reason,
            format!("the token failed: {fault}"),
            SOON,
        ),
        Treatment::Pressure => retry(
            Code::ResourceExhausted,
            reason,
            "the token has no session left".to_owned(),
            Duration::from_millis(100),
        ),
        Treatment::Configuration => status(
            Code::FailedPrecondition,
            reason,
            format!("the token refuses this: {fault}"),
            metadata,
        ),
    }
}

/// A worker is back in some ten milliseconds.
const SOON: Duration = Duration::from_millis(50);
