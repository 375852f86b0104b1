//! What can be wrong with a JWS, each with a text for people and a code for programs.

use crate::jose::{MAX_HEADER, MAX_PARTIES, MAX_TEXT, json::InvalidJson};

/// Why a text is not a JWS that can be verified here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Longer than [`MAX_TEXT`].
    #[error("the JWS is longer than {MAX_TEXT} bytes")]
    TooLong,
    /// A header longer than [`MAX_HEADER`].
    #[error("a header of the JWS is longer than {MAX_HEADER} bytes")]
    HeaderTooLong,
    /// Another number of segments, or a JWE.
    #[error("not a JWS: expected three segments separated by dots, or a JSON object")]
    NotJws,
    /// Not a JSON object.
    #[error("the JWS or its header is not one JSON object in UTF-8")]
    Json,
    /// Two members with the same name in one object.
    #[error("the JWS or its header has two members with the same name")]
    DuplicateMember,
    /// Objects within objects, or too many values.
    #[error("the JWS or its header is nested too deeply or has too many members")]
    TooComplex,
    /// A part that is not base64url without padding.
    #[error("the {0} is not base64url without padding")]
    Base64(&'static str),
    /// A member that is there, but is not what its specification says.
    #[error("the member {0:?} is not what RFC 7515 says it is")]
    MemberType(&'static str),
    /// Members of the flattened and of the general syntax.
    #[error("both \"signatures\" and \"signature\", \"protected\" or \"header\" are there")]
    Ambiguous,
    /// No signatures, or more than are tried.
    #[error("{0} signatures; expected 1 to {MAX_PARTIES}")]
    SignatureCount(usize),
    /// An absent or empty signature.
    #[error("a signature is missing or empty")]
    SignatureMissing,
    /// The same name in both headers.
    #[error("the protected and the unprotected header have a member in common")]
    HeadersOverlap,
    /// No `alg`.
    #[error("\"alg\" is missing")]
    AlgorithmMissing,
    /// `none`, or one that is not served, or one that does not sign.
    #[error("\"alg\" is {0:?}, which is not served for signatures")]
    Algorithm(String),
    /// `crit` or `b64` where nothing protects it.
    #[error("\"crit\" and \"b64\" must be in the protected header")]
    CriticalUnprotected,
    /// A name in `crit` that is no member.
    #[error("\"crit\" names a member that is not in the protected header")]
    CriticalMissing,
    /// A name in `crit` that nobody here understands.
    #[error("\"crit\" names {0:?}, which is not understood")]
    CriticalUnknown(String),
    /// `b64` that is not in `crit`.
    #[error("\"b64\" is there, but \"crit\" does not name it")]
    Base64NotCritical,
    /// Signatures that disagree on `b64`.
    #[error("the signatures differ in \"b64\"")]
    MixedEncoding,
    /// A character that can't stand unencoded in compact form.
    #[error("the unencoded payload has a character that can't be in a compact JWS")]
    UnencodedPayload,
    /// A payload inside and another one outside.
    #[error("the JWS has a payload, and a detached one was given too")]
    PayloadTwice,
    /// No payload at all.
    #[error("the JWS has no payload, and no detached one was given")]
    PayloadMissing,
}

impl Malformed {
    /// The stable code for programs, such as `JWS_ALGORITHM`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "JWS_TOO_LONG",
            Self::HeaderTooLong => "JWS_HEADER_TOO_LONG",
            Self::NotJws => "JWS_NOT_A_JWS",
            Self::Json => "JWS_INVALID_JSON",
            Self::DuplicateMember => "JWS_DUPLICATE_MEMBER",
            Self::TooComplex => "JWS_TOO_COMPLEX",
            Self::Base64(_) => "JWS_INVALID_BASE64URL",
            Self::MemberType(_) => "JWS_INVALID_MEMBER",
            Self::Ambiguous => "JWS_AMBIGUOUS",
            Self::SignatureCount(_) => "JWS_SIGNATURE_COUNT",
            Self::SignatureMissing => "JWS_SIGNATURE_MISSING",
            Self::HeadersOverlap => "JWS_HEADERS_OVERLAP",
            Self::AlgorithmMissing => "JWS_ALGORITHM_MISSING",
            Self::Algorithm(_) => "JWS_ALGORITHM",
            Self::CriticalUnprotected => "JWS_CRITICAL_UNPROTECTED",
            Self::CriticalMissing => "JWS_CRITICAL_MISSING",
            Self::CriticalUnknown(_) => "JWS_CRITICAL_UNKNOWN",
            Self::Base64NotCritical => "JWS_B64_NOT_CRITICAL",
            Self::MixedEncoding => "JWS_MIXED_B64",
            Self::UnencodedPayload => "JWS_UNENCODED_PAYLOAD",
            Self::PayloadTwice => "JWS_PAYLOAD_TWICE",
            Self::PayloadMissing => "JWS_PAYLOAD_MISSING",
        }
    }

    pub(super) const fn json(fault: InvalidJson) -> Self {
        match fault {
            InvalidJson::TooLong { .. } => Self::HeaderTooLong,
            InvalidJson::DuplicateMember => Self::DuplicateMember,
            InvalidJson::TooDeep | InvalidJson::TooMany => Self::TooComplex,
            InvalidJson::Syntax => Self::Json,
        }
    }
}
