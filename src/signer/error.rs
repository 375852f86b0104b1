//! Why a request was not done: rich here, poor outside; `grpc` has the one table that maps it.

use crate::{
    algorithm::Algorithm,
    audit::{AuditError, ReadError},
    jose::{
        HeaderError,
        jwe::{DecryptionFailed, EncryptError, InvalidRecipient},
        jws::Malformed,
    },
    key::{InvalidUsage, KeyName, KeyVersion},
    partner::{ChoiceError, PartnerName},
    pkcs11::TokenError,
    policy::{DangerousAct, Denied, Operation, QuotaExceeded},
    scheme::SchemeName,
    signer::{NotReady, PlatformError},
    store::{StoreError, VersionState},
};

/// Why a request was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The policy says no, or nothing.
    #[error("{0}")]
    Denied(Box<Denied>),
    /// The caller may use a key of this name, but there is none.
    #[error("there is no key named {0}")]
    NoSuchKey(KeyName),
    /// The key has no such version.
    #[error("there is no version {0}")]
    NoSuchVersion(KeyVersion),
    /// The version may not be used now, or never again.
    #[error("{version} is {state}: {}", what_to_do(*state))]
    VersionNotEnabled {
        /// Which.
        version: KeyVersion,
        /// What it is.
        state: VersionState,
    },
    /// What is known of keys was never read, since this daemon started.
    #[error(
        "which versions are disabled is not known yet, since the store could not be read; try again when it can"
    )]
    StatesUnknown,
    /// Not from this state.
    #[error("{version} is {state}, and can't be {wanted}: expected {expected}")]
    Transition {
        /// Which.
        version: KeyVersion,
        /// What it is.
        state: VersionState,
        /// What it should become.
        wanted: &'static str,
        /// What it should be for that.
        expected: &'static str,
    },
    /// The primary version, while there is another that could be it.
    #[error(
        "{0} is the primary version, and another is enabled; make that the primary one first, then destroy this"
    )]
    PrimaryNotDestroyed(KeyVersion),
    /// Somebody has changed the key since the caller has read it.
    #[error(
        "the etag of key {key} is {found:?} now, and {given:?} was given: it was changed meanwhile; read it again"
    )]
    EtagMismatch {
        /// Which key.
        key: KeyName,
        /// What the caller gave.
        given: String,
        /// What it is.
        found: String,
    },
    /// A name whose versions were destroyed.
    #[error(
        "versions of a key named {0} were destroyed, and a name means one key for ever; take another name"
    )]
    NameRetired(KeyName),
    /// A key of other programs.
    #[error(
        "the key {0} was made by another program, so its versions are made there too; or make a key under another name"
    )]
    NotRotatable(KeyName),
    /// Somebody makes or destroys a version of the key just now.
    #[error("another call is making or destroying a version of the key {0}; try again in a moment")]
    KeyHeld(KeyName),
    /// The policy asks for approval of it.
    #[error(
        "{act} is under the approval {approval:?}: propose it (`--propose`, ApprovalService.CreateProposal), have {required} other(s) approve it, then execute it"
    )]
    ApprovalRequired {
        /// What was to be done.
        act: DangerousAct,
        /// The name of the approval.
        approval: String,
        /// How many must approve.
        required: u32,
    },
    /// Something is proposed that needs nobody's approval.
    #[error("the policy asks for no approval of {0} here; do it without a proposal")]
    ApprovalNotRequired(DangerousAct),
    /// What is to be executed is not what was approved.
    #[error("{0}")]
    ProposalContent(&'static str),
    /// A change of policy is executed by somebody.
    #[error(
        "a change of policy is executed by the daemon itself: put exactly the approved file in the place of the policy"
    )]
    PolicyIsReloaded,
    /// The daemon has no store.
    #[error("this daemon has no store, which this needs")]
    NoStore,
    /// The same request id with something else.
    #[error(
        "the request id {0:?} was used for another request of yours; give each its own, and a repeated one its first"
    )]
    RequestIdReused(String),
    /// Another attempt at the same request is under way.
    #[error("the request {0:?} is being done just now; ask again for its answer")]
    RequestInProgress(String),
    /// What was kept of a request does not say what was permitted for its answer.
    #[error(
        "the request {0:?} was answered, but what was kept of it does not say what was permitted, so it is not answered again"
    )]
    AnswerUnreadable(String),
    /// A quota of the policy is used up.
    #[error("{0}")]
    Quota(Box<QuotaExceeded>),
    /// What must be counted in the store can't be.
    #[error(
        "{what} must be counted in the store, which is not available, so nothing is done: {cause}"
    )]
    NotCounted {
        /// What is counted.
        what: String,
        /// What the store said.
        cause: StoreError,
    },
    /// A version was used as often as it may be.
    #[error("{version} was used {maximum} times, which is as often as it may be; rotate the key")]
    UsesExhausted {
        /// Which.
        version: KeyVersion,
        /// How often it may be used.
        maximum: u64,
    },
    /// A limit of uses that would be higher than it is, or gone.
    #[error(
        "a version of the key {key} may be used {maximum} times, which can be lowered and not raised; rotate the key, or make another"
    )]
    UsesRaised {
        /// Which key.
        key: KeyName,
        /// How often each of its versions may be used.
        maximum: u64,
    },
    /// The store could not do it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The key is there but can't be used.
    #[error("the key {key} can't be used: {why}")]
    Unusable {
        /// Its name.
        key: KeyName,
        /// What is wrong and what to do.
        why: String,
    },
    /// No token of that name, or none named where there are several.
    #[error("{0}")]
    NoSuchToken(String),
    /// The key is not for this algorithm.
    #[error(
        "the key {key} may not be used with {algorithm}; it may be used with {}",
        names(allowed)
    )]
    AlgorithmNotAllowed {
        /// The key.
        key: KeyName,
        /// What was asked for.
        algorithm: Algorithm,
        /// What it may be used with.
        allowed: Vec<Algorithm>,
    },
    /// An algorithm that encrypts, to sign with, or the other way round.
    #[error("{0} is not an algorithm to {1} with")]
    AlgorithmOfAnotherOperation(Algorithm, Operation),
    /// The token can't do what a new key is to be for.
    #[error("the token can't make this key: {0}")]
    NotSupported(String),
    /// A combination that makes no key.
    #[error("{0}")]
    Usage(#[from] InvalidUsage),
    /// A digest of the wrong length.
    #[error("the digest has {given} bytes; {algorithm} takes one of {expected}")]
    DigestLength {
        /// With which it was to be signed.
        algorithm: Algorithm,
        /// Its hash's length.
        expected: usize,
        /// What came.
        given: usize,
    },
    /// A digest for an algorithm that needs the message.
    #[error("{0} takes the message, not a digest of it")]
    DigestNotTaken(Algorithm),
    /// DER for something else than ECDSA.
    #[error("{0} has one form of signature only; leave the ECDSA encoding unset")]
    FormNotTaken(Algorithm),
    /// EdDSA in chunks.
    #[error("{0} must see the message twice, so it can't come in chunks; send it whole")]
    NotInChunks(Algorithm),
    /// A JWS that can't be read.
    #[error("{0}")]
    Jws(#[from] Malformed),
    /// A header that a caller wanted.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// A recipient that can't be encrypted to.
    #[error("{0}")]
    Recipient(#[from] InvalidRecipient),
    /// A JWE that can't be made.
    #[error("{0}")]
    Encrypt(#[from] EncryptError),
    /// A JWE that can't be opened. Its causes look alike to the caller.
    #[error("{0}")]
    Decryption(#[from] DecryptionFailed),
    /// The certificate request can't be made of what was given.
    #[error("{0}")]
    CertificateRequest(String),
    /// The caller may do this with a partner of this name, but there is none.
    #[error("there is no partner named {0}")]
    NoSuchPartner(PartnerName),
    /// There is no such scheme.
    #[error(
        "there is no scheme named {0}; `chancery schemes list` (PartnerService.ListSchemes) tells of all"
    )]
    NoSuchScheme(SchemeName),
    /// No scheme, or several, are what the caller means.
    #[error("{0}")]
    Choice(#[from] ChoiceError),
    /// A key of a partner that can't play its part.
    #[error("{0}")]
    NotReady(#[from] Box<NotReady>),
    /// A platform's message that was not dealt with.
    #[error("{0}")]
    Platform(#[from] PlatformError),
    /// The operator wants no log.
    #[error("this daemon keeps no audit log: its configuration has audit.enabled = false")]
    NoLog,
    /// The log can't be read, or has not got what is wanted.
    #[error("{0}")]
    Log(#[from] ReadError),
    /// The hash of what comes can't be made as the operator wants it.
    #[error(
        "the token has not made the key with which the audit log's inputs are hashed, so nothing is begun; try again"
    )]
    NoInputKey,
    /// It can't be recorded, and so it is not done, or not answered.
    #[error("{0}")]
    Audit(#[from] AuditError),
    /// The token gave no result.
    #[error("{0}")]
    Token(#[from] TokenError),
}

impl Error {
    /// The reason that callers are told, and the log says, for good.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Denied(_) => "PERMISSION_DENIED",
            Self::NoSuchKey(_) => "KEY_NOT_FOUND",
            Self::NoSuchVersion(_) => "KEY_VERSION_NOT_FOUND",
            Self::Unusable { .. } => "KEY_UNUSABLE",
            Self::NoSuchToken(_) => "TOKEN_UNKNOWN",
            Self::AlgorithmNotAllowed { .. } => "ALGORITHM_NOT_ALLOWED",
            Self::AlgorithmOfAnotherOperation(..) => "ALGORITHM_OF_ANOTHER_OPERATION",
            Self::NotSupported(_) => "NOT_SUPPORTED_BY_TOKEN",
            Self::Usage(_) => "KEY_USAGE_INVALID",
            Self::DigestLength { .. } => "DIGEST_LENGTH",
            Self::DigestNotTaken(_) => "DIGEST_NOT_TAKEN",
            Self::FormNotTaken(_) => "ECDSA_ENCODING_NOT_TAKEN",
            Self::NotInChunks(_) => "NOT_IN_CHUNKS",
            Self::Jws(malformed) => malformed.reason(),
            Self::Header(_) => "JOSE_HEADER_INVALID",
            Self::Recipient(_) => "RECIPIENT_INVALID",
            Self::Encrypt(_) => "ENCRYPTION_REFUSED",
            Self::Decryption(_) => "DECRYPTION_FAILED",
            Self::CertificateRequest(_) => "CERTIFICATE_REQUEST_INVALID",
            Self::NoSuchPartner(_) => "PARTNER_NOT_FOUND",
            Self::NoSuchScheme(_) => "SCHEME_NOT_FOUND",
            Self::Choice(choice) => choice.reason(),
            Self::NotReady(_) => "PARTNER_NOT_READY",
            Self::Platform(error) => error.reason(),
            Self::NoLog => "AUDIT_DISABLED",
            Self::Log(error) => error.reason(),
            Self::NoInputKey | Self::Audit(_) => "AUDIT_UNAVAILABLE",
            Self::Token(error) => error.reason(),
            Self::VersionNotEnabled { state, .. } => match state {
                VersionState::Enabled | VersionState::Disabled => "KEY_VERSION_DISABLED",
                VersionState::DestroyScheduled => "KEY_VERSION_DESTROY_SCHEDULED",
                VersionState::Destroyed => "KEY_VERSION_DESTROYED",
            },
            Self::Transition { .. } => "KEY_VERSION_STATE",
            Self::PrimaryNotDestroyed(_) => "KEY_VERSION_PRIMARY",
            Self::StatesUnknown => "KEY_STATES_UNKNOWN",
            Self::EtagMismatch { .. } => "ETAG_MISMATCH",
            Self::NameRetired(_) => "KEY_NAME_RETIRED",
            Self::NotRotatable(_) => "KEY_NOT_ROTATABLE",
            Self::KeyHeld(_) => "KEY_HELD",
            Self::ApprovalRequired { .. } => "APPROVAL_REQUIRED",
            Self::ApprovalNotRequired(_) => "APPROVAL_NOT_REQUIRED",
            Self::ProposalContent(_) => "PROPOSAL_CONTENT_CHANGED",
            Self::PolicyIsReloaded => "PROPOSAL_OF_POLICY",
            Self::NoStore => "STORE_MISSING",
            Self::RequestIdReused(_) => "REQUEST_ID_REUSED",
            Self::RequestInProgress(_) => "REQUEST_IN_PROGRESS",
            Self::AnswerUnreadable(_) => "REQUEST_ANSWER_UNREADABLE",
            Self::Quota(_) => "QUOTA_EXCEEDED",
            Self::NotCounted { .. } => "QUOTA_NOT_COUNTED",
            Self::UsesExhausted { .. } => "KEY_USES_EXHAUSTED",
            Self::UsesRaised { .. } => "MAXIMUM_USES_RAISED",
            Self::Store(error) => error.reason(),
        }
    }

    /// Whether something may have been done nevertheless, in the token or in the store.
    pub(super) const fn leaves_open(&self) -> bool {
        match self {
            Self::Store(_) => true,
            Self::Token(error) => matches!(
                error,
                TokenError::OutcomeUnknown
                    | TokenError::Deadline
                    | TokenError::Hung
                    | TokenError::Lost
                    | TokenError::Fault(_)
            ),
            _ => false,
        }
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        Self::Denied(Box::new(denied))
    }
}

fn names(algorithms: &[Algorithm]) -> String {
    algorithms
        .iter()
        .map(|algorithm| algorithm.name())
        .collect::<Vec<_>>()
        .join(", ")
}

const fn what_to_do(state: VersionState) -> &'static str {
    match state {
        VersionState::Enabled => "it may be used",
        VersionState::Disabled => "enable it, or use another version",
        VersionState::DestroyScheduled => "restore and enable it, or use another version",
        VersionState::Destroyed => "it is gone for good; use another version",
    }
}
