//! What the daemon and a worker say to each other: plain data in frames over a socket pair.
//!
//! A frame is a length (four bytes, little-endian) and a `postcard` body. On the control socket the
//! daemon says [`Setup`] once and the worker answers [`Started`]; on a lane each [`Request`] has one
//! [`Reply`], in order, one at a time.

use std::{collections::BTreeMap, fmt, io, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{
    errors::{Fault, Treatment},
    known::Known,
    pin::PinSource,
};
use crate::{
    algorithm::{Algorithm, Curve, Hash, KeyType},
    key::{Custody, ImportMethod, KeyVersion},
};

/// What a worker needs to know to start. It holds no secret: the worker reads the PIN itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) module: PathBuf,
    pub(super) token: Selector,
    pub(super) pin: PinSource,
    /// Where the start lock and the marks of refused PINs are.
    pub(super) state_directory: PathBuf,
    /// How many lanes came with this message.
    pub(super) lanes: usize,
    pub(super) known: Known,
    /// How often a start that met another process's log-in is tried again.
    pub(super) start_attempts: u32,
    pub(super) start_pause: Duration,
}

/// Which token: by label, by serial number, or both. Never by slot, which tokens renumber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Selector {
    /// `CKA_LABEL` of the token, without trailing blanks.
    pub label: Option<String>,
    /// Its serial number, without trailing blanks.
    pub serial: Option<String>,
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.label, &self.serial) {
            (Some(label), Some(serial)) => {
                write!(formatter, "label {label:?} and serial {serial:?}")
            }
            (Some(label), None) => write!(formatter, "label {label:?}"),
            (None, Some(serial)) => write!(formatter, "serial {serial:?}"),
            (None, None) => formatter.write_str("neither label nor serial"),
        }
    }
}

/// How a start went.
pub(super) type Started = Result<Inventory, StartError>;

/// Why a worker did not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StartError {
    /// The module can't be loaded.
    #[error("the PKCS#11 module {module} can't be loaded: {cause}; check `module` of the token")]
    Module {
        /// Its path.
        module: String,
        /// What the loader said.
        cause: String,
    },
    /// No token fits.
    #[error("no token with {wanted} is present; the module shows {present}")]
    Absent {
        /// What was looked for.
        wanted: String,
        /// What is there.
        present: String,
    },
    /// More than one token fits.
    #[error("{count} tokens fit {wanted}; name one by its serial number: {present}")]
    Ambiguous {
        /// What was looked for.
        wanted: String,
        /// How many fit.
        count: usize,
        /// What is there.
        present: String,
    },
    /// The PIN can't be read.
    #[error("the PIN can't be read: {0}")]
    PinSource(String),
    /// The token refused the PIN.
    #[error(
        "the token refused the PIN; it is not tried again until the PIN or the token changes, so that the token is not locked"
    )]
    PinRefused,
    /// The PIN was refused before, and nothing has changed.
    #[error(
        "this PIN was refused before and is not tried again; correct it, or delete {mark} if the token's PIN was set to it since"
    )]
    PinRefusedBefore {
        /// The file that remembers it.
        mark: String,
    },
    /// The PIN was not tried, since it could not be remembered if it were refused.
    #[error(
        "the PIN is not tried, since that it was refused could not be remembered: {mark}: {cause}; check `state_directory`"
    )]
    NoMark {
        /// The file that would remember it.
        mark: String,
        /// Why it can't be written.
        cause: String,
    },
    /// The token says that its user PIN is locked, or has one try left.
    #[error(
        "the token says that its user PIN {0}; log in once with the token's own tool, then start again"
    )]
    PinAtRisk(String),
    /// Anything else that the token said.
    #[error("the token can't be used: {0}")]
    Token(Fault),
}

impl StartError {
    /// Whether trying again soon can do no good, and may do harm.
    pub(super) fn is_about_the_pin(&self) -> bool {
        match self {
            Self::PinSource(_)
            | Self::PinRefused
            | Self::PinRefusedBefore { .. }
            | Self::NoMark { .. }
            | Self::PinAtRisk(_) => true,
            Self::Token(fault) => fault.treatment == Treatment::Pin && fault.function == "C_Login",
            Self::Module { .. } | Self::Absent { .. } | Self::Ambiguous { .. } => false,
        }
    }
}

/// What is in the token, as one worker found it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inventory {
    pub(super) token: TokenFacts,
    pub(super) keys: Vec<FoundKey>,
    pub(super) problems: Vec<Problem>,
    pub(super) capabilities: Capabilities,
    /// Records of keys that this daemon made: label to JSON.
    pub(super) records: BTreeMap<String, Vec<u8>>,
    /// SubjectPublicKeyInfo of the keys that unwrap what is imported.
    pub(super) wrapping_keys: Vec<Vec<u8>>,
    /// SubjectPublicKeyInfo of the keys that sign the audit log's checkpoints.
    pub(super) checkpoint_keys: Vec<Vec<u8>>,
}

/// What the token says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// Label, without trailing blanks.
    pub label: String,
    /// Serial number, without trailing blanks.
    pub serial: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Firmware version.
    pub firmware: String,
    /// The most sessions that it allows at once, if it says.
    pub max_sessions: Option<u64>,
    /// Whether a wrong PIN was given since the last log-in, when this worker started.
    pub pin_count_low: bool,
}

/// What the token can do, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Names of the mechanisms that it lists and that `cryptoki` knows, with key sizes where given.
    pub mechanisms: Vec<MechanismFacts>,
    /// Whether RSA-OAEP with SHA-256 is done in the token itself.
    pub oaep_sha256: bool,
    /// Whether it is with SHA-256 and MGF1 with SHA-1.
    pub oaep_sha256_mgf1_sha1: bool,
}

/// One mechanism.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MechanismFacts {
    /// Its number in PKCS#11.
    pub number: u64,
    /// Its name in PKCS#11, such as `CKM_ECDSA`.
    pub name: String,
    /// The smallest key, in the mechanism's own unit.
    pub min_key: u64,
    /// The largest key, in the mechanism's own unit.
    pub max_key: u64,
}

/// A private or secret key in the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FoundKey {
    pub(super) version: KeyVersion,
    pub(super) material: Material,
    pub(super) flags: Flags,
    pub(super) attributes: Attributes,
    pub(super) binding: Binding,
}

/// What it is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519 {
        point: Vec<u8>,
    },
    /// `CKK_GENERIC_SECRET` or `CKK_SHA*_HMAC` of so many bytes.
    Secret {
        bytes: u64,
        made_for: Option<Hash>,
    },
    Aes {
        bytes: u64,
    },
}

/// What the token allows to be done with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flags {
    pub(super) sign: bool,
    pub(super) decrypt: bool,
    pub(super) derive: bool,
    pub(super) unwrap: bool,
}

/// What the token reports of a key's custody; `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// `CKA_LOCAL`.
    pub local: Option<bool>,
    /// `CKA_SENSITIVE`.
    pub sensitive: Option<bool>,
    /// `CKA_EXTRACTABLE`.
    pub extractable: Option<bool>,
    /// `CKA_ALWAYS_SENSITIVE`.
    pub always_sensitive: Option<bool>,
    /// `CKA_NEVER_EXTRACTABLE`.
    pub never_extractable: Option<bool>,
}

/// What a job's key must be in the worker that does it: the SHA-256 of its public key, or, for a secret,
/// of what the token shows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Binding(pub(super) [u8; 32]);

/// An object that can't be served, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The label as found, made printable.
    pub label: String,
    /// Why it can't be served and what to do.
    pub text: String,
}

/// A key in a job: its name, and what it must be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeyReference {
    pub(super) version: KeyVersion,
    pub(super) binding: Binding,
}

/// How a token signs: what is put into the mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum SignWith {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    Ecdsa(Curve),
    EdDsa,
    Hmac(Hash),
}

/// How a token decrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum DecryptWith {
    RsaOaepSha1,
    RsaOaepSha256,
    RsaOaepSha256Mgf1Sha1,
    RsaPkcs1,
}

/// One thing to sign: a digest where the hash is made outside, else the message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SignItem {
    pub(super) key: KeyReference,
    pub(super) with: SignWith,
    #[serde(with = "serde_bytes")]
    pub(super) input: Vec<u8>,
    /// Verify with the public key before answering.
    pub(super) verify: bool,
}

/// A job.
#[derive(Serialize, Deserialize)]
pub(super) enum Request {
    /// As many as can be begun in this time, at least the first: an answer that comes late looks like a hang.
    Sign {
        items: Vec<SignItem>,
        budget: Duration,
    },
    Decrypt {
        key: KeyReference,
        with: DecryptWith,
        #[serde(with = "serde_bytes")]
        ciphertext: Vec<u8>,
    },
    /// ECDH: gives the shared secret Z.
    Agree {
        key: KeyReference,
        #[serde(with = "serde_bytes")]
        point: Vec<u8>,
    },
    Unwrap {
        key: KeyReference,
        #[serde(with = "serde_bytes")]
        wrapped: Vec<u8>,
    },
    Wrap {
        key: KeyReference,
        #[serde(with = "wiped")]
        plain: Zeroizing<Vec<u8>>,
    },
    /// AES-GCM with a 16-byte tag behind the ciphertext.
    Open {
        key: KeyReference,
        #[serde(with = "serde_bytes")]
        iv: Vec<u8>,
        #[serde(with = "serde_bytes")]
        aad: Vec<u8>,
        #[serde(with = "serde_bytes")]
        ciphertext: Vec<u8>,
    },
    Seal {
        key: KeyReference,
        iv: [u8; 12],
        #[serde(with = "serde_bytes")]
        aad: Vec<u8>,
        #[serde(with = "wiped")]
        plaintext: Zeroizing<Vec<u8>>,
    },
    /// A MAC over a message that is put together here, with secrets in it.
    MacOfParts {
        key: KeyReference,
        hash: Hash,
        parts: Vec<Part>,
    },
    /// PKCS#1 v1.5, block type 1, over a content key.
    ProveOrigin {
        key: KeyReference,
        #[serde(with = "wiped")]
        content_key: Zeroizing<Vec<u8>>,
    },
    MacStart {
        stream: u64,
        key: KeyReference,
        hash: Hash,
    },
    MacUpdate {
        stream: u64,
        #[serde(with = "serde_bytes")]
        chunk: Vec<u8>,
    },
    MacFinish {
        stream: u64,
    },
    MacAbort {
        stream: u64,
    },
    Random {
        length: u32,
    },
    Create {
        version: KeyVersion,
        key_type: KeyType,
        flags: Flags,
        /// What it will be used with; where the token can, it is held to that (`CKA_ALLOWED_MECHANISMS`).
        algorithms: Vec<Algorithm>,
        /// The record of a new key; `None` for another version of one that is there.
        record: Option<Vec<u8>>,
    },
    /// Destroy a version: all its objects.
    Destroy {
        key: KeyReference,
    },
    /// Make a key that unwraps keys which are imported, unless there is one.
    MakeWrappingKey,
    /// Make a key that signs the audit log's checkpoints, unless there is one.
    MakeCheckpointKey,
    /// Sign one, with that key.
    SignCheckpoint {
        key: Binding,
        body: Vec<u8>,
    },
    Import(Box<Import>),
    /// List the token's objects anew.
    List {
        known: Known,
    },
    /// A known-answer operation.
    Check {
        /// A key that must be there.
        key: Option<KeyReference>,
    },
}

/// A key that comes from elsewhere.
#[derive(Serialize, Deserialize)]
pub(super) struct Import {
    pub(super) version: KeyVersion,
    pub(super) key_type: KeyType,
    pub(super) flags: Flags,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) custody: Custody,
    /// How many bytes of a worker-readable secret are its text.
    pub(super) secret_bytes: Option<u32>,
    /// The record of a new key; `None` for another version of one that is there.
    pub(super) record: Option<Vec<u8>>,
    pub(super) version_record: Vec<u8>,
    /// Which key of the token unwraps it.
    pub(super) wrapping_key: Binding,
    pub(super) method: ImportMethod,
    #[serde(with = "serde_bytes")]
    pub(super) wrapped: Vec<u8>,
    /// SubjectPublicKeyInfo of the public half.
    pub(super) public: Option<Vec<u8>>,
}

/// Why a token did not take a key from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refusal {
    /// It can't be unwrapped, or is not of the type that was said.
    Wrapping,
    /// It is not the private half of the public key.
    PublicKey,
    /// It is there, and can't be used for what it was said to be for.
    Unusable,
}

/// A piece of a message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Part {
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    /// So many bytes of a secret that the token shows.
    Secret {
        key: KeyReference,
        length: u32,
    },
}

/// The answer to a job.
#[derive(Serialize, Deserialize)]
pub(super) enum Reply {
    /// Of the first so many items, in order.
    Signed(Vec<Result<serde_bytes::ByteBuf, Fault>>),
    Bytes(#[serde(with = "wiped")] Zeroizing<Vec<u8>>),
    Inventory(Box<Inventory>),
    /// A key of the name that was to be made is in the token already.
    Exists,
    /// Nothing was imported, and nothing is left of it.
    Refused(Refusal),
    Done,
    Failed(Fault),
}

/// How many bytes say how long the body is.
pub(super) const PREFIX: usize = 4;

/// Puts a length before the body.
pub(super) fn encode<T: Serialize>(value: &T) -> io::Result<Zeroizing<Vec<u8>>> {
    // Made large enough at once: a vector that grows leaves copies of what it held behind.
    let size = postcard::experimental::serialized_size(value).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(PREFIX + size);
    frame.resize(PREFIX, 0);
    let mut frame = Zeroizing::new(postcard::to_extend(value, frame).map_err(io::Error::other)?);
    let length = u32::try_from(frame.len() - PREFIX)
        .ok()
        .filter(|length| *length <= MAX_FRAME)
        .ok_or_else(|| io::Error::other("a frame over the limit"))?;
    frame[..PREFIX].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// The length that four bytes say, if it is within the limit.
pub(super) fn body_length(prefix: [u8; PREFIX]) -> io::Result<usize> {
    match u32::from_le_bytes(prefix) {
        length if length <= MAX_FRAME => Ok(length as usize),
        _ => Err(io::Error::other("a frame over the limit")),
    }
}

/// Reads a body.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    postcard::from_bytes(body).map_err(io::Error::other)
}

/// Writes one frame to a blocking stream.
pub(super) fn send<T: Serialize>(stream: &mut impl io::Write, value: &T) -> io::Result<()> {
    stream.write_all(&encode(value)?)
}

/// Reads one frame from a blocking stream.
pub(super) fn receive<T: DeserializeOwned>(stream: &mut impl io::Read) -> io::Result<T> {
    let mut prefix = [0; PREFIX];
    stream.read_exact(&mut prefix)?;
    let mut body = Zeroizing::new(vec![0; body_length(prefix)?]);
    stream.read_exact(&mut body)?;
    decode(&body)
}

/// Bytes that are wiped when they are done with, as `serde_bytes` writes bytes.
mod wiped {
    use serde::{Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(
        bytes: &Zeroizing<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(bytes.as_slice(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Zeroizing<Vec<u8>>, D::Error> {
        serde_bytes::deserialize(deserializer).map(Zeroizing::new)
    }
}

/// Requests are bounded by the gRPC limit, listings by the number of keys (about 600 bytes each).
const MAX_FRAME: u32 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_a_huge_length_is_refused() {
        let mut wire = Vec::new();
        send(
            &mut wire,
            &Request::MacUpdate {
                stream: 7,
                chunk: vec![1, 2, 3],
            },
        )
        .unwrap();
        let back: Request = receive(&mut wire.as_slice()).unwrap();
        assert!(matches!(back, Request::MacUpdate { stream: 7, chunk } if chunk == [1, 2, 3]));
        assert!(body_length([0xff; 4]).is_err());
        assert!(receive::<Request>(&mut [5, 0, 0, 0, 1].as_slice()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn hostile_bodies_do_not_panic(body: Vec<u8>) {
            let _ = decode::<Request>(&body);
            let _ = decode::<Reply>(&body);
            let _ = decode::<Started>(&body);
        }
    }
}
