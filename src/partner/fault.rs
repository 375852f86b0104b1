//! What can be wrong with a partner's file, beyond how it is written.

use crate::{
    algorithm::{Algorithm, KeyType},
    partner::{PartnerName, public_key::InvalidKeyText},
    scheme::SchemeName,
};

/// The first fault of a partner's file, and the key of the file that is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {fault}")]
pub struct PartnerFault {
    key: String,
    fault: Fault,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A name that another partner has.
    #[error("there is another partner named {0}; expected another name")]
    Twin(PartnerName),
    /// A partner without a scheme.
    #[error("there is no scheme; expected at least one [schemes.NAME]")]
    NoScheme,
    /// A scheme that there is not.
    #[error(
        "there is no scheme {0}; see `chancery schemes list`, or put its file into [platforms] schemes"
    )]
    UnknownScheme(SchemeName),
    /// A constant that a scheme asks for.
    #[error(
        "the scheme {scheme} needs the constant {name:?} ({description}); give it under [constants] or [schemes.{scheme}.constants]"
    )]
    MissingConstant {
        /// Which scheme.
        scheme: SchemeName,
        /// Which constant.
        name: String,
        /// What it is.
        description: String,
    },
    /// A constant that nobody asks for.
    #[error("no scheme here has a constant {name:?}; {}", there_is(.known))]
    UnknownConstant {
        /// Which constant.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A constant or key of all schemes that each scheme has another in place of.
    #[error("each scheme that could use it has one of its own, so it does nothing; remove it")]
    Unused,
    /// A key that a scheme asks for.
    #[error(
        "the scheme {scheme} needs a key in the role {role:?} ({description}); give it as [keys.{role}] or [schemes.{scheme}.keys.{role}]"
    )]
    MissingKey {
        /// Which scheme.
        scheme: SchemeName,
        /// Which role.
        role: String,
        /// What it is.
        description: String,
    },
    /// A key that nobody asks for.
    #[error("no scheme here has a key in the role {role:?}; {}", there_is(.known))]
    UnknownRole {
        /// Which role.
        role: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// An entry that says nothing, or two things.
    #[error("expected either key = \"NAME\" of a key in a token, or public_keys = [...]")]
    WhichKey,
    /// `id` and `certificate_serial` beside several public keys.
    #[error("with public_keys it belongs into the entry of each of them")]
    FactOfSeveral,
    /// A list of no public keys, or of too many.
    #[error("expected 1 to {MAX_PUBLIC_KEYS} public keys, found {0}")]
    PublicKeyCount(usize),
    /// A public key where ours must be.
    #[error(
        "{algorithm} in the role {role:?} of the scheme {scheme} takes a key in a token; expected key = \"NAME\" in place of public_keys"
    )]
    NotOurs {
        /// Which scheme.
        scheme: SchemeName,
        /// Which role.
        role: String,
        /// With which algorithm.
        algorithm: Algorithm,
    },
    /// A key of ours where theirs must be.
    #[error(
        "the role {role:?} of the scheme {scheme} is the platform's; expected public_keys = [...] in place of key"
    )]
    NotTheirs {
        /// Which scheme.
        scheme: SchemeName,
        /// Which role.
        role: String,
    },
    /// A public key entry without a key, or with two.
    #[error("expected either file = \"FILE\" or pem = \"...\"")]
    WhichPublicKey,
    /// A file that can't be read.
    #[error("{0}; expected a file that the daemon can read")]
    File(String),
    /// A text that is no public key.
    #[error(transparent)]
    PublicKey(#[from] InvalidKeyText),
    /// A public key of another type.
    #[error(
        "{algorithm} in the role {role:?} of the scheme {scheme} can't be used with a key of type {key_type}; ask the platform for the right key"
    )]
    KeyType {
        /// Which scheme.
        scheme: SchemeName,
        /// Which role.
        role: String,
        /// With which algorithm.
        algorithm: Algorithm,
        /// What the key is.
        key_type: KeyType,
    },
    /// One public key twice.
    #[error("it is the same key as another of the list; remove one")]
    PublicKeyTwice,
    /// A window for a scheme without a time.
    #[error("the scheme {0} verifies no time, so a window does nothing; remove it")]
    NoTime(SchemeName),
    /// A window that is no limit.
    #[error("expected 1 to {MAX_WINDOW} past_seconds and 0 to {MAX_WINDOW} future_seconds")]
    Window,
    /// Access tokens that nobody can ask for.
    #[error(
        "the scheme {0} is for requests that neither ask for an access token nor bring one; remove it"
    )]
    NotAskedFor(SchemeName),
    /// Tokens that live not at all, or too long.
    #[error("expected 1 to {MAX_LIFETIME} seconds")]
    Lifetime,
}

impl PartnerFault {
    pub(super) fn at(key: impl Into<String>, fault: Fault) -> Self {
        Self {
            key: key.into(),
            fault,
        }
    }

    /// The key of the file, such as `schemes.stripe.keys.platform`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong, and what to do.
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl Fault {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Twin(_) => "PARTNER_TWICE",
            Self::NoScheme => "SCHEME_MISSING",
            Self::UnknownScheme(_) => "SCHEME_UNKNOWN",
            Self::MissingConstant { .. } => "CONSTANT_MISSING",
            Self::UnknownConstant { .. } => "CONSTANT_UNKNOWN",
            Self::Unused => "ENTRY_UNUSED",
            Self::MissingKey { .. } => "KEY_ROLE_MISSING",
            Self::UnknownRole { .. } => "KEY_ROLE_UNKNOWN",
            Self::WhichKey | Self::WhichPublicKey | Self::FactOfSeveral => "KEY_ENTRY_INVALID",
            Self::PublicKeyCount(_) => "PUBLIC_KEY_COUNT",
            Self::NotOurs { .. } => "KEY_MUST_BE_IN_TOKEN",
            Self::NotTheirs { .. } => "KEY_MUST_BE_PUBLIC",
            Self::File(_) => "FILE_UNREADABLE",
            Self::PublicKey(_) => "PUBLIC_KEY_INVALID",
            Self::KeyType { .. } => "PUBLIC_KEY_TYPE",
            Self::PublicKeyTwice => "PUBLIC_KEY_TWICE",
            Self::NoTime(_) | Self::Window => "WINDOW_INVALID",
            Self::NotAskedFor(_) | Self::Lifetime => "ACCESS_TOKENS_INVALID",
        }
    }
}

fn there_is(names: &[String]) -> String {
    match names {
        [] => "there is none".to_owned(),
        names => format!("there is {}", names.join(", ")),
    }
}

/// The most public keys in one role: the one of today, the next, and some more.
pub(super) const MAX_PUBLIC_KEYS: usize = 8;
/// One week, as for schemes.
pub(super) const MAX_WINDOW: u64 = 7 * 86_400;
/// One day.
pub(super) const MAX_LIFETIME: u32 = 86_400;
