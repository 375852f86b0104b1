//! What the daemon and a worker say to each other: plain data in frames over a socket pair.
//!
//! A frame is a length (four bytes, little-endian) and a `postcard` body. On the control socket the
//! daemon says [`Setup`] once and the worker answers [`Started`]; on a lane each [`Request`] has one
//! [`Reply`], in order, one at a time.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{errors::Fault, known::Known};
use crate::{
    algorithm::{Algorithm, Curve, Hash, KeyType},
    key::{Custody, ImportMethod, KeyVersion},
};

pub(super) use frame::{PREFIX, body_length, decode, encode, receive, send};
pub use start::StartError;
pub(super) use start::{Selector, Setup, Started};

mod frame;
mod start;

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

impl Request {
    /// Whether it makes or removes objects of the token that stay.
    pub(super) const fn changes_objects(&self) -> bool {
        matches!(
            self,
            Self::Create { .. }
                | Self::Destroy { .. }
                | Self::MakeWrappingKey
                | Self::MakeCheckpointKey
                | Self::Import(_)
        )
    }
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
