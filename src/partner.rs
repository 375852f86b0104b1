//! Partners: the counterparties that are configured, each with the schemes it is served with, and for these its
//! constants and keys.
//!
//! Nothing here does I/O or holds a secret: keys of ours are names of keys in a token, keys of theirs are public.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::scheme::{Act, Scheme, SchemeName};

pub use assignment::{AccessTokens, Assignment, Custody, PlatformKey, RoleKey, TokenKey};
pub use fault::{Fault, PartnerFault};
pub use file::File;
pub use public_key::{InvalidKeyText, public_key_of};

mod assignment;
mod fault;
mod file;
mod public_key;
mod resolve;

/// The name of a partner: 1 to 64 of `a-z 0-9 . _ -`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartnerName(String);

/// A text that is not the name of a partner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a partner's name: expected 1 to 64 of a-z 0-9 . _ -, the first a letter or digit"
)]
pub struct InvalidPartnerName(String);

/// All partners, and all schemes in force.
#[derive(Clone, Default)]
pub struct Partners {
    partners: BTreeMap<PartnerName, Arc<Partner>>,
    schemes: BTreeMap<SchemeName, Arc<Scheme>>,
}

/// One counterparty.
#[derive(Debug)]
pub struct Partner {
    name: PartnerName,
    title: String,
    schemes: BTreeMap<SchemeName, Assignment>,
}

/// There is a scheme, or a partner, of that name already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is another {kind} named {name}; expected another name")]
pub struct Twin {
    kind: &'static str,
    name: String,
}

/// No scheme of a partner is the one that a caller wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// The partner is not served with the scheme that was named.
    #[error("the partner {partner} is not served with the scheme {wanted}; it is with {}", list(.there))]
    NotTheirs {
        /// Which partner.
        partner: PartnerName,
        /// What was asked for.
        wanted: SchemeName,
        /// What there is.
        there: Vec<SchemeName>,
    },
    /// The scheme that was named is not for this.
    #[error("the scheme {wanted} does not {act} for the partner {partner}; {}", these_do(.there))]
    NotForThis {
        /// Which partner.
        partner: PartnerName,
        /// What was asked for.
        wanted: SchemeName,
        /// To do what.
        act: Act,
        /// The partner's schemes that do.
        there: Vec<SchemeName>,
    },
    /// None was named, and none of the partner's is for this.
    #[error("no scheme of the partner {partner} does {act}")]
    None {
        /// Which partner.
        partner: PartnerName,
        /// What was to be done.
        act: Act,
    },
    /// None was named, and several are for this.
    #[error("several schemes of the partner {partner} do {act}; name one of {}", list(.there))]
    Several {
        /// Which partner.
        partner: PartnerName,
        /// What was to be done.
        act: Act,
        /// Those that do.
        there: Vec<SchemeName>,
    },
}

impl Partners {
    /// No partners yet, and these schemes.
    ///
    /// # Errors
    ///
    /// If two have one name.
    pub fn new(schemes: impl IntoIterator<Item = Scheme>) -> Result<Self, Twin> {
        let mut partners = Self::default();
        for scheme in schemes {
            partners.add_scheme(scheme)?;
        }
        Ok(partners)
    }

    /// One more scheme.
    ///
    /// # Errors
    ///
    /// If there is one of that name.
    pub fn add_scheme(&mut self, scheme: Scheme) -> Result<(), Twin> {
        let name = scheme.name().clone();
        if self.schemes.contains_key(&name) {
            return Err(Twin {
                kind: "scheme",
                name: name.to_string(),
            });
        }
        self.schemes.insert(name, Arc::new(scheme));
        Ok(())
    }

    /// One more partner, from its file. `read` gives what is in a file that the partner's file names.
    ///
    /// # Errors
    ///
    /// The first fault, with the key in the file that is at fault.
    pub fn add(
        &mut self,
        file: File,
        read: &dyn Fn(&std::path::Path) -> Result<Vec<u8>, String>,
    ) -> Result<(), PartnerFault> {
        let partner = resolve::partner(file, &self.schemes, read)?;
        if self.partners.contains_key(&partner.name) {
            let twin = Fault::Twin(partner.name.clone());
            return Err(PartnerFault::at("partner.name", twin));
        }
        self.partners
            .insert(partner.name.clone(), Arc::new(partner));
        Ok(())
    }

    /// The partner of this name.
    pub fn partner(&self, name: &PartnerName) -> Option<&Arc<Partner>> {
        self.partners.get(name)
    }

    /// All partners, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Partner>> {
        self.partners.values()
    }

    /// The scheme of this name.
    pub fn scheme(&self, name: &SchemeName) -> Option<&Arc<Scheme>> {
        self.schemes.get(name)
    }

    /// All schemes, by name.
    pub fn schemes(&self) -> impl Iterator<Item = &Arc<Scheme>> {
        self.schemes.values()
    }
}

impl Partner {
    /// Its name.
    pub const fn name(&self) -> &PartnerName {
        &self.name
    }

    /// What it is, in a line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The schemes that it is served with, by name.
    pub fn schemes(&self) -> impl Iterator<Item = (&SchemeName, &Assignment)> {
        self.schemes.iter()
    }

    /// One of its schemes.
    pub fn scheme(&self, name: &SchemeName) -> Option<&Assignment> {
        self.schemes.get(name)
    }

    /// The scheme that a caller means, who may leave it out where just one is for what is to be done.
    ///
    /// # Errors
    ///
    /// [`ChoiceError`] lists those that could have been named.
    pub fn choose(
        &self,
        wanted: Option<&SchemeName>,
        act: Act,
    ) -> Result<&Assignment, ChoiceError> {
        let partner = || self.name.clone();
        let able: Vec<_> = self.schemes.values().filter(|one| one.does(act)).collect();
        let names = |able: &[&Assignment]| able.iter().map(|one| one.name().clone()).collect();
        match (wanted, able.as_slice()) {
            (Some(wanted), able) => match self.schemes.get(wanted) {
                Some(assignment) if assignment.does(act) => Ok(assignment),
                Some(_) => Err(ChoiceError::NotForThis {
                    partner: partner(),
                    wanted: wanted.clone(),
                    act,
                    there: names(able),
                }),
                None => Err(ChoiceError::NotTheirs {
                    partner: partner(),
                    wanted: wanted.clone(),
                    there: self.schemes.keys().cloned().collect(),
                }),
            },
            (None, [only]) => Ok(only),
            (None, []) => Err(ChoiceError::None {
                partner: partner(),
                act,
            }),
            (None, several) => Err(ChoiceError::Several {
                partner: partner(),
                act,
                there: names(several),
            }),
        }
    }
}

impl ChoiceError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotTheirs { .. } => "SCHEME_NOT_OF_PARTNER",
            Self::NotForThis { .. } | Self::None { .. } => "SCHEME_NOT_FOR_THIS",
            Self::Several { .. } => "SCHEME_AMBIGUOUS",
        }
    }
}

// A scheme has no `Debug`, and its name is enough.
impl fmt::Debug for Partners {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Partners")
            .field("partners", &self.partners)
            .field("schemes", &self.schemes.keys())
            .finish()
    }
}

impl PartnerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PartnerName {
    type Err = InvalidPartnerName;

    fn from_str(text: &str) -> Result<Self, InvalidPartnerName> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good = text.len() <= MAX_NAME
            && text.bytes().next().is_some_and(plain)
            && text
                .bytes()
                .all(|byte| plain(byte) || b"._-".contains(&byte));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPartnerName(
                text.chars().take(MAX_NAME + 1).collect(),
            ))
        }
    }
}

impl TryFrom<String> for PartnerName {
    type Error = InvalidPartnerName;

    fn try_from(text: String) -> Result<Self, InvalidPartnerName> {
        text.parse()
    }
}

impl From<PartnerName> for String {
    fn from(name: PartnerName) -> Self {
        name.0
    }
}

impl fmt::Display for PartnerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn list(names: &[SchemeName]) -> String {
    let names: Vec<_> = names.iter().map(SchemeName::as_str).collect();
    names.join(", ")
}

fn these_do(names: &[SchemeName]) -> String {
    match names {
        [] => "none of its schemes does".to_owned(),
        names => format!("its schemes that do: {}", list(names)),
    }
}

const MAX_NAME: usize = 64;
