//! What can be wrong with a message that a scheme is applied to.

use crate::{
    jose::{HeaderError, jws},
    scheme::json::JsonError,
};

/// Where in a scheme an evaluation ended, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {rule}: {fault}")]
pub struct EvaluationError {
    /// The place in the file, such as `sign.signature.string[4]`.
    pub at: String,
    /// What stands there, such as `header.X-TIMESTAMP`.
    pub rule: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with one segment's input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no such thing in the message.
    #[error("is not there, and the scheme does not say that it may be absent")]
    Absent,
    /// There is more than one.
    #[error("is there more than once; expected one")]
    Repeated,
    /// The JSON value is an object or array.
    #[error("is an object or array; expected a string, number, true, false or null")]
    NotScalar,
    /// Object fields are asked of something else.
    #[error("is not a JSON object")]
    NotObject,
    /// JSON is asked of something else.
    #[error("is not JSON: {0}")]
    Json(#[from] JsonError),
    /// Text in an encoding is asked of something else.
    #[error("is not encoded as the scheme says: expected {0}")]
    Encoding(&'static str),
    /// Text is asked of bytes.
    #[error("is not UTF-8")]
    Utf8,
    /// A prefix is missing.
    #[error("does not start with {0:?}")]
    Prefix(String),
    /// A text that `after-last` looks for, and that is not there.
    #[error("has no {0:?} in it")]
    Mark(String),
    /// Something without a separator between name and value.
    #[error("has a field without {0:?} between name and value")]
    NotAPair(String),
    /// Other fields are joined to the same text.
    #[error(
        "could be read as other fields, since nothing is escaped: a separator with a name stands inside a name or value, or nothing separates fields; expected fields that can be told from their text"
    )]
    Ambiguous,
    /// A name comes twice in a list of fields.
    #[error("has a field twice")]
    RepeatedField,
    /// Too many fields or signatures.
    #[error("has more than {0} entries")]
    TooMany(usize),
    /// More bytes than are handled.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// A value that the placement can't carry.
    #[error("can't be placed there: {0}")]
    Placement(&'static str),
    /// A point in time that is not written as the scheme says.
    #[error("is not a time written as {0}")]
    Time(&'static str),
    /// A key id that is none of the partner's.
    #[error("names a key that is not among those of its role; a key is never fetched")]
    UnknownKey,
    /// Digits are asked of something else.
    #[error("is not a whole number")]
    NotANumber,
    /// More text than the key can encrypt.
    #[error("has {length} bytes; a key of {bits} bits encrypts at most {most} with this padding")]
    TooLongForKey {
        /// What was to be encrypted, in bytes.
        length: usize,
        /// The key's size.
        bits: usize,
        /// The most that fits, in bytes.
        most: usize,
    },
    /// A key that can't be used as the scheme says.
    #[error("needs {0}")]
    Key(&'static str),
    /// Something that no encryption makes.
    #[error("is nothing that can be opened: expected {0}")]
    Ciphertext(&'static str),
    /// The encryption has not been done.
    #[error("needs the result of the encryption first")]
    NotEncrypted,
    /// A signature that can't be made into the form of the scheme.
    #[error("a signature of {0} bytes does not fit the algorithm")]
    Signature(usize),
    /// A structured field that can't be read.
    #[error("is no structured field (RFC 9651): expected {expected}, {left} bytes before the end")]
    Structured {
        /// What should be there.
        expected: &'static str,
        /// How many bytes are left from there.
        left: usize,
    },
    /// Something that is not as the signature's family wants it.
    #[error("{0}")]
    Family(&'static str),
    /// Something that must be signed is not.
    #[error("is not covered by the signature, and the scheme says that it must be")]
    NotCovered,
    /// A digest in the message that is not that of the body.
    #[error("is not the digest of the body")]
    Digest,
    /// The message names another algorithm than the scheme.
    #[error("the message says {found:?}; the scheme says {expected}")]
    Algorithm {
        /// What the scheme says.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// A parameter that has another value than the scheme demands.
    #[error("has another value than the scheme demands")]
    Unequal,
    /// A JWS that can't be read.
    #[error(transparent)]
    Jws(#[from] jws::Malformed),
    /// A JWS that can't be made.
    #[error(transparent)]
    JwsHeader(#[from] HeaderError),
}

impl EvaluationError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match &self.fault {
            Fault::Absent => "INPUT_MISSING",
            Fault::Repeated => "INPUT_REPEATED",
            Fault::NotScalar | Fault::NotObject => "JSON_TYPE",
            Fault::Json(JsonError::Duplicate { .. }) => "JSON_DUPLICATE_NAME",
            Fault::Json(JsonError::Utf8 { .. }) | Fault::Utf8 => "NOT_UTF8",
            Fault::Json(JsonError::TooDeep { .. }) => "JSON_TOO_DEEP",
            Fault::Json(JsonError::Syntax { .. }) => "NOT_JSON",
            Fault::Json(JsonError::TooManyFields { .. }) | Fault::TooMany(_) => "TOO_MANY_FIELDS",
            Fault::Encoding(_) | Fault::Prefix(_) | Fault::Mark(_) => "ENCODING_INVALID",
            Fault::NotAPair(_) => "FIELDS_INVALID",
            Fault::Ambiguous => "AMBIGUOUS_MESSAGE",
            Fault::RepeatedField => "FIELD_REPEATED",
            Fault::TooLong(_) => "TOO_LONG",
            Fault::Placement(_) => "PLACEMENT_IMPOSSIBLE",
            Fault::Time(_) => "TIME_INVALID",
            Fault::Signature(_) => "SIGNATURE_LENGTH",
            Fault::Structured { .. } => "STRUCTURED_FIELD_INVALID",
            Fault::Family(_) => "SIGNATURE_MALFORMED",
            Fault::NotCovered => "COMPONENT_NOT_COVERED",
            Fault::Digest => "DIGEST_MISMATCH",
            Fault::Algorithm { .. } => "ALGORITHM_MISMATCH",
            Fault::Unequal => "PARAMETER_MISMATCH",
            Fault::Jws(malformed) => malformed.reason(),
            Fault::JwsHeader(_) => "JWS_HEADER_INVALID",
            Fault::UnknownKey => "UNKNOWN_KEY_ID",
            Fault::NotANumber => "NUMBER_INVALID",
            Fault::TooLongForKey { .. } => "PLAINTEXT_TOO_LONG",
            Fault::Key(_) => "KEY_UNSUITABLE",
            Fault::Ciphertext(_) => "CIPHERTEXT_INVALID",
            Fault::NotEncrypted => "ENCRYPTION_MISSING",
        }
    }
}
