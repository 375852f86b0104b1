//! A scheme as one partner has it: with constants, keys and what else its file says.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    algorithm::{Algorithm, Purpose},
    key::{KeyName, PublicKey, Verifier},
    scheme::{Act, KeyRole, KeyUse, Scheme, SchemeName},
};

/// A scheme with everything that it needs of the partner.
pub struct Assignment {
    pub(super) scheme: Arc<Scheme>,
    pub(super) constants: BTreeMap<String, Vec<u8>>,
    pub(super) keys: BTreeMap<String, RoleKey>,
    pub(super) window: Option<(u64, u64)>,
    pub(super) access_tokens: Option<AccessTokens>,
}

/// What plays the part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleKey {
    /// A key of ours, or a secret in common: in a token.
    Token(TokenKey),
    /// Keys of theirs; several while they change keys. Never empty.
    Public(Vec<PlatformKey>),
}

/// A key in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// Its name there.
    pub name: KeyName,
    /// The name that the platform knows it by.
    pub id: Option<String>,
    /// The serial number of its certificate, as the platform writes it.
    pub certificate_serial: Option<String>,
}

/// A public key of the partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformKey {
    pub(super) verifier: CachedVerifier,
    /// The key.
    pub key: PublicKey,
    /// The name that the platform knows it by.
    pub id: Option<String>,
    /// The serial number of its certificate, as the platform writes it.
    pub certificate_serial: Option<String>,
}

/// The access tokens that we issue to the partner, where we have the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokens {
    /// The key in a token that they are signed with.
    pub key: KeyName,
    /// How long one lives.
    pub lifetime_seconds: u32,
}

/// Whose key a role of a scheme takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Custody {
    /// One in a token: private, or a secret.
    Ours,
    /// A public key.
    Theirs,
}

/// A key that is parsed for its one algorithm when it is first used.
#[derive(Clone, Default)]
pub(super) struct CachedVerifier(OnceLock<Option<Verifier>>);

impl PlatformKey {
    /// The key, ready to verify: it plays one part in one scheme, and so always the same way. `None` where algorithm
    /// and key do not go together.
    pub fn verifier(&self, algorithm: Algorithm, der: bool) -> Option<&Verifier> {
        let made = || self.key.verifier(algorithm, der);
        self.verifier.0.get_or_init(made).as_ref()
    }
}

// What is cached follows from the key.
impl PartialEq for CachedVerifier {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for CachedVerifier {}

impl fmt::Debug for CachedVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CachedVerifier")
    }
}

impl Assignment {
    /// The scheme.
    pub const fn scheme(&self) -> &Arc<Scheme> {
        &self.scheme
    }

    /// The scheme's name.
    pub fn name(&self) -> &SchemeName {
        self.scheme.name()
    }

    /// What can be done: what the scheme is for, and issuing access tokens where the partner's file says how.
    pub fn acts(&self) -> impl Iterator<Item = Act> {
        let issues = self.access_tokens.is_some();
        let acts = self.scheme.acts();
        acts.filter(move |act| issues || *act != Act::IssueAccessToken)
    }

    /// Whether this can be done.
    pub fn does(&self, act: Act) -> bool {
        self.acts().any(|one| one == act)
    }

    /// The partner's constants, by their names in the scheme.
    pub const fn constants(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.constants
    }

    /// The keys, by role: every role of the scheme has one.
    pub const fn keys(&self) -> &BTreeMap<String, RoleKey> {
        &self.keys
    }

    /// The key in this role.
    pub fn key(&self, role: &str) -> Option<&RoleKey> {
        self.keys.get(role)
    }

    /// How old and how far in the future a message may be, in seconds, where the partner's file says other than the
    /// scheme.
    pub const fn window(&self) -> Option<(u64, u64)> {
        self.window
    }

    /// The access tokens that we issue.
    pub const fn access_tokens(&self) -> Option<&AccessTokens> {
        self.access_tokens.as_ref()
    }
}

impl Custody {
    /// Whose key this role takes: a secret in common is kept in a token, as every key that signs or decrypts. Where
    /// the private key "encrypts", everybody "decrypts".
    pub fn of(role: &KeyRole) -> Self {
        let proves_origin = role.algorithm.purpose() == Purpose::ProveOrigin;
        let private = |one: &KeyUse| match one {
            KeyUse::Sign => true,
            KeyUse::Verify => false,
            KeyUse::Decrypt => !proves_origin,
            KeyUse::Encrypt => proves_origin,
        };
        if is_symmetric(role.algorithm) || role.uses.iter().any(private) {
            Self::Ours
        } else {
            Self::Theirs
        }
    }
}

fn is_symmetric(algorithm: Algorithm) -> bool {
    matches!(algorithm.purpose(), Purpose::Mac)
        || matches!(
            algorithm,
            Algorithm::A128Kw | Algorithm::A256Kw | Algorithm::Dir
        )
}

impl fmt::Debug for Assignment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Assignment")
            .field("scheme", self.scheme.name())
            .field("constants", &self.constants.keys())
            .field("keys", &self.keys)
            .field("window", &self.window)
            .field("access_tokens", &self.access_tokens)
            .finish()
    }
}
