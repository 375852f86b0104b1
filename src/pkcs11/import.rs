//! Keys from elsewhere: the daemon's side. What comes is looked at as far as it can be from outside, and handed on
//! wrapped; the token alone unwraps it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{
    Key, Token, TokenError, keys,
    pool::{Cause, Repeat},
    protocol::{Binding, Import, Refusal, Reply, Request},
    record::{Record, VersionRecord},
};
use crate::{
    algorithm::{KeyType, Purpose},
    key::{Custody, ImportMethod, KeyVersion, PublicKey, Usage, Version},
    policy::{Creation, Operation, Permit},
};

/// The public key with which keys are wrapped on their way into a token.
#[derive(Clone, Debug)]
pub struct WrappingKey {
    /// RSA with 3072 bits.
    pub public: PublicKey,
    /// What the token can unwrap, the methods to be preferred first; at least one.
    pub methods: Vec<ImportMethod>,
}

/// A key from elsewhere, wrapped.
#[derive(Clone, Debug)]
pub struct Wrapped {
    /// For which wrapping key, as [`WrappingKey::id`] has it.
    pub wrapping_key: String,
    /// How.
    pub method: ImportMethod,
    /// The wrapped key.
    pub bytes: Bytes,
    /// The public half of a private key.
    pub public: Option<PublicKey>,
    /// How many bytes of a secret are text, if the worker is to read it.
    pub secret_bytes: Option<u32>,
}

/// Why a key from elsewhere was not taken. Nothing is left of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The token has no way to unwrap keys.
    #[error("the token lacks CKM_RSA_PKCS_OAEP, without which nothing can be imported")]
    NoMethod,
    /// This way it can't.
    #[error("this token can't unwrap {0}; ask for its wrapping key, which names what it can")]
    MethodNotSupported(ImportMethod),
    /// A private key or an AES key without an AES key in between.
    #[error("{method} is for HMAC secrets alone; a key of type {key_type} needs a method with AES")]
    MethodUnfit {
        /// The method.
        method: ImportMethod,
        /// The type of the key.
        key_type: KeyType,
    },
    /// It was wrapped for a key that the token does not have.
    #[error("the token has no wrapping key {0:?}; ask for the wrapping key again")]
    WrappingKeyUnknown(String),
    /// Too short, too long, or not as long as a key of its type comes out.
    #[error("the wrapped key has {given} bytes; a key of type {key_type} has {expected}")]
    Length {
        /// What came.
        given: usize,
        /// What the key is said to be.
        key_type: KeyType,
        /// What was expected.
        expected: String,
    },
    /// The public half is missing, is of another type, or came with a secret.
    #[error("the public key does not go with a key of type {key_type}: {why}")]
    PublicKeyUnfit {
        /// What the key is said to be.
        key_type: KeyType,
        /// What is wrong.
        why: &'static str,
    },
    /// Worker-readable is for secrets that make MACs.
    #[error("only a secret that makes MACs can be worker-readable; this key's purpose is {0}")]
    CustodyUnfit(Purpose),
    /// The number of bytes that are text.
    #[error("{0}")]
    SecretBytes(&'static str),
    /// The key there was made by others, and has no record that another version could share.
    #[error(
        "{0} was found in the token, made by others; only keys that were created or imported here get versions"
    )]
    Adopted(crate::key::KeyName),
    /// The token could not unwrap it.
    #[error(
        "the token can't unwrap it as a key of type {key_type}: it was damaged, wrapped for another key, is of another type{}",
        if *.key_type == KeyType::Ed25519 { ", or the token can't unwrap such keys at all, as SoftHSM 2.6" } else { "" }
    )]
    Refused {
        /// What the key is said to be.
        key_type: KeyType,
    },
    /// What the token signed with it the public key did not verify.
    #[error("the private key is not that of the public key that came with it")]
    PublicKeyMismatch,
    /// The token has it and can't use it.
    #[error(
        "the token can't use it: it is too short for its algorithms, or not as long as was said"
    )]
    Unusable,
}

impl ImportError {
    /// The reason that callers are told, for good.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoMethod | Self::MethodNotSupported(_) => "IMPORT_METHOD_NOT_SUPPORTED",
            Self::MethodUnfit { .. } => "IMPORT_METHOD_UNFIT",
            Self::WrappingKeyUnknown(_) => "WRAPPING_KEY_UNKNOWN",
            Self::Length { .. } => "WRAPPED_KEY_LENGTH",
            Self::PublicKeyUnfit { .. } => "PUBLIC_KEY_UNFIT",
            Self::CustodyUnfit(_) => "CUSTODY_UNFIT",
            Self::SecretBytes(_) => "SECRET_BYTES_INVALID",
            Self::Adopted(_) => "KEY_ADOPTED",
            Self::Refused { .. } => "WRAPPED_KEY_INVALID",
            Self::PublicKeyMismatch => "PUBLIC_KEY_MISMATCH",
            Self::Unusable => "WRAPPED_KEY_UNUSABLE",
        }
    }

    /// Whether it is about what the token is or has, and not about what came.
    pub const fn is_precondition(&self) -> bool {
        matches!(
            self,
            Self::NoMethod
                | Self::MethodNotSupported(_)
                | Self::WrappingKeyUnknown(_)
                | Self::Adopted(_)
        )
    }
}

impl WrappingKey {
    /// Its name among the token's wrapping keys: the first 8 bytes of the SHA-256 of its SubjectPublicKeyInfo, in
    /// hexadecimal.
    pub fn id(&self) -> String {
        id(&self.public)
    }
}

impl Token {
    /// The key to wrap for; the token makes one if it has none.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn import_wrapping_key(
        &self,
        permit: Permit<Creation>,
        deadline: Instant,
    ) -> Result<WrappingKey, TokenError> {
        to_import(&permit)?;
        let methods = self.capabilities().import_methods();
        if methods.is_empty() {
            return Err(ImportError::NoMethod.into());
        }
        if let Some(public) = self.keys().wrapping_keys().first().cloned() {
            return Ok(WrappingKey { public, methods });
        }
        let _turn = timeout_at(deadline, self.creating.lock())
            .await
            .map_err(|_| TokenError::Deadline)?;
        if self.keys().wrapping_keys().is_empty() {
            let begun = self.pool.begin();
            let limit = self.config.create_timeout;
            // It is made only where there is none, so asking twice does no harm.
            let reply = self
                .pool
                .run_aside(&Request::MakeWrappingKey, deadline, limit, Repeat::Once)
                .await?;
            let Reply::Inventory(inventory) = reply else {
                return Err(TokenError::Lost);
            };
            if !self.pool.publish(begun, Cause::Made, *inventory).await {
                self.refresh().await?;
            }
        }
        let public = self.keys().wrapping_keys().first().cloned();
        public
            .map(|public| WrappingKey { public, methods })
            .ok_or(TokenError::OutcomeUnknown)
    }

    /// Brings in version 1 of a key.
    ///
    /// # Errors
    ///
    /// [`TokenError::Import`], with nothing left behind; [`TokenError`]; after [`TokenError::OutcomeUnknown`] the key
    /// may be there.
    pub async fn import(
        &self,
        permit: Permit<Creation>,
        usage: &Usage,
        custody: Custody,
        wrapped: Wrapped,
        deadline: Instant,
    ) -> Result<Arc<Key>, TokenError> {
        to_import(&permit)?;
        let name = permit.key().clone();
        let _turn = timeout_at(deadline, self.creating.lock())
            .await
            .map_err(|_| TokenError::Deadline)?;
        let taken = self.keys();
        if taken.get(&name).is_some() || taken.why_unusable(&name).is_some() {
            return Err(TokenError::Exists(name));
        }
        let version = KeyVersion {
            key: name,
            version: Version::FIRST,
        };
        let record = Record::new(usage, custody).bytes();
        self.bring_in(version, usage, custody, Some(record), wrapped, deadline)
            .await
    }

    /// Brings in this version of a key that is there, with the limits of the others.
    ///
    /// # Errors
    ///
    /// As [`Token::import`].
    pub async fn import_version(
        &self,
        permit: Permit<Creation>,
        version: Version,
        wrapped: Wrapped,
        deadline: Instant,
    ) -> Result<Arc<Key>, TokenError> {
        to_import(&permit)?;
        let name = permit.key().clone();
        let _turn = timeout_at(deadline, self.creating.lock())
            .await
            .map_err(|_| TokenError::Deadline)?;
        let keys = self.keys();
        let first = || KeyVersion {
            key: name.clone(),
            version: Version::FIRST,
        };
        let key = keys
            .get(&name)
            .ok_or_else(|| TokenError::NoSuchKey(first()))?;
        if key.newest().adopted {
            return Err(ImportError::Adopted(name).into());
        }
        let version = KeyVersion {
            key: name.clone(),
            version,
        };
        if key.version(&version).is_some() {
            return Err(TokenError::Exists(name));
        }
        self.bring_in(version, &key.usage, key.custody, None, wrapped, deadline)
            .await
    }

    async fn bring_in(
        &self,
        version: KeyVersion,
        usage: &Usage,
        custody: Custody,
        record: Option<Vec<u8>>,
        wrapped: Wrapped,
        deadline: Instant,
    ) -> Result<Arc<Key>, TokenError> {
        let key_type = usage.key_type();
        check(usage, custody, &wrapped)?;
        if !self
            .capabilities()
            .import_methods()
            .contains(&wrapped.method)
        {
            return Err(ImportError::MethodNotSupported(wrapped.method).into());
        }
        let keys = self.keys();
        let wrapping_key = keys
            .wrapping_keys()
            .iter()
            .find(|key| id(key) == wrapped.wrapping_key)
            .ok_or_else(|| ImportError::WrappingKeyUnknown(wrapped.wrapping_key.clone()))?;
        let request = Request::Import(Box::new(Import {
            version: version.clone(),
            key_type,
            flags: keys::flags(usage),
            algorithms: usage.algorithms().to_vec(),
            custody,
            secret_bytes: wrapped.secret_bytes,
            record,
            version_record: VersionRecord::imported(key_type, wrapped.secret_bytes).bytes(),
            wrapping_key: Binding(wrapping_key.sha256()),
            method: wrapped.method,
            wrapped: wrapped.bytes.into(),
            public: wrapped.public.map(|public| public.der().to_vec()),
        }));
        let begun = self.pool.begin();
        let limit = self.config.create_timeout;
        let reply = self
            .pool
            .run_aside(&request, deadline, limit, Repeat::Never)
            .await?;
        if let Reply::Refused(refusal) = reply {
            return Err(TokenError::Import(match refusal {
                Refusal::Wrapping => ImportError::Refused { key_type },
                Refusal::PublicKey => ImportError::PublicKeyMismatch,
                Refusal::Unusable => ImportError::Unusable,
            }));
        }
        self.made(begun, reply, &version).await
    }
}

/// All that can be said of a wrapped key from outside: sizes first, then what goes with what.
fn check(usage: &Usage, custody: Custody, wrapped: &Wrapped) -> Result<(), ImportError> {
    let (key_type, method) = (usage.key_type(), wrapped.method);
    let is_hmac = matches!(key_type, KeyType::Hmac(_));
    if !method.has_aes() && !is_hmac {
        return Err(ImportError::MethodUnfit { method, key_type });
    }
    // Key wrap with padding fills up to eight bytes and puts eight before that (RFC 5649 section 3).
    let shortest = OAEP_BLOCK + 16;
    let (fits, expected) = match (method.has_aes(), key_type) {
        (false, _) => (wrapped.bytes.len() == OAEP_BLOCK, OAEP_BLOCK.to_string()),
        (true, KeyType::Aes(size)) => {
            let exact = OAEP_BLOCK + 8 + size.bytes();
            (wrapped.bytes.len() == exact, exact.to_string())
        }
        (true, _) => (
            (shortest..=LONGEST).contains(&wrapped.bytes.len())
                && wrapped.bytes.len().is_multiple_of(8),
            format!("{shortest} to {LONGEST}, a multiple of 8"),
        ),
    };
    if !fits {
        return Err(ImportError::Length {
            given: wrapped.bytes.len(),
            key_type,
            expected,
        });
    }
    let unfit = |why| Err(ImportError::PublicKeyUnfit { key_type, why });
    match &wrapped.public {
        None if key_type.is_asymmetric() => return unfit("there is none, and one is needed"),
        Some(_) if !key_type.is_asymmetric() => return unfit("a secret has no public half"),
        Some(public) if public.key_type() != key_type => return unfit("it is of another type"),
        None | Some(_) => {}
    }
    match (custody, wrapped.secret_bytes) {
        (Custody::WorkerReadable, _) if !is_hmac => Err(ImportError::CustodyUnfit(usage.purpose())),
        (Custody::WorkerReadable, None | Some(0)) => Err(ImportError::SecretBytes(
            "a worker-readable secret needs the number of its bytes that are text, which is not 0",
        )),
        (Custody::TokenOnly, Some(_)) => Err(ImportError::SecretBytes(
            "only of a worker-readable secret it is told how many of its bytes are text",
        )),
        (Custody::WorkerReadable, Some(_)) | (Custody::TokenOnly, None) => Ok(()),
    }
}

/// A permit to make a key is none to bring one in.
fn to_import(permit: &Permit<Creation>) -> Result<(), TokenError> {
    match permit.operation() {
        Operation::Import => Ok(()),
        other => Err(TokenError::WrongPermit(other)),
    }
}

fn id(public: &PublicKey) -> String {
    hex::encode(&public.sha256()[..8])
}

/// As long as the wrapping key's modulus.
const OAEP_BLOCK: usize = 384;

/// An RSA key of 4096 bits is some 2,400 bytes.
const LONGEST: usize = 8192;
