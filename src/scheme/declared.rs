//! What a scheme declares: constants, inputs, keys and values; and the check that nothing else is named.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{
    algorithm::{Algorithm, Purpose},
    scheme::{
        document::{Fields, Item, SchemeError},
        encoding,
        expression::Names,
        source::Source,
    },
};

/// A constant of the partner, or an input of each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// What it is, for the one who has to give it.
    pub description: String,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it is masked where strings are shown.
    pub secret: bool,
}

/// A key by the part that it plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRole {
    /// What it is, for the one who has to give it.
    pub description: String,
    /// What is done with it.
    pub uses: Vec<KeyUse>,
    /// With which algorithm.
    pub algorithm: Algorithm,
    /// How the text of a secret becomes its bytes; for HMAC and `dir` alone.
    pub secret_encoding: Option<SecretEncoding>,
}

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Ours: makes signatures.
    Sign,
    /// The platform's, or a secret in common: verifies them.
    Verify,
    /// Ours: opens what was encrypted to us. With `RSA1_5-PRIVATE` the platform's, and public.
    Decrypt,
    /// The platform's: encrypts to it. With `RSA1_5-PRIVATE` ours, and private.
    Encrypt,
}

/// How the text of a secret becomes its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretEncoding {
    /// The bytes of the text.
    Utf8,
    /// Hexadecimal.
    Hex,
    /// Padded base64.
    Base64,
    /// The same after a prefix that is cut off.
    Base64AfterPrefix(String),
    /// The bytes of the text behind a prefix that the platform puts before it.
    Utf8WithPrefix(String),
}

/// The text of a secret that is not written as its scheme says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret is not written as the scheme says: expected {0}")]
pub struct InvalidSecret(&'static str);

impl fmt::Display for SecretEncoding {
    /// As it is told over the wire; [`FromStr`] reads it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf8 => formatter.write_str("utf8"),
            Self::Hex => formatter.write_str("hex"),
            Self::Base64 => formatter.write_str("base64"),
            Self::Base64AfterPrefix(prefix) => write!(formatter, "{AFTER}{prefix}"),
            Self::Utf8WithPrefix(prefix) => write!(formatter, "{BEHIND}{prefix}"),
        }
    }
}

impl FromStr for SecretEncoding {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        match text {
            "utf8" => Ok(Self::Utf8),
            "hex" => Ok(Self::Hex),
            "base64" => Ok(Self::Base64),
            other => other
                .strip_prefix(AFTER)
                .map(|prefix| Self::Base64AfterPrefix(prefix.to_owned()))
                .or_else(|| {
                    let prefix = other.strip_prefix(BEHIND)?;
                    Some(Self::Utf8WithPrefix(prefix.to_owned()))
                })
                .ok_or(InvalidSecret("an encoding that is known here")),
        }
    }
}

const AFTER: &str = "base64 after ";
const BEHIND: &str = "utf8 behind ";

impl KeyRole {
    /// The bytes of a secret from its text.
    ///
    /// # Errors
    ///
    /// If the text is not in the scheme's encoding, or empty.
    pub fn secret_bytes(&self, text: &str) -> Result<Vec<u8>, InvalidSecret> {
        match self.secret_encoding.as_ref() {
            None => Err(InvalidSecret(
                "no secret: the key is not one for HMAC or dir",
            )),
            Some(encoding) => encoding.bytes(text),
        }
    }

    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let description = entries.take("description")?.text()?.to_owned();
        let uses = entries.take("use")?;
        let list = if uses.is_list() {
            uses.list()?
        } else {
            vec![uses]
        };
        let uses: Vec<_> = list.iter().map(KeyUse::parse).collect::<Result<_, _>>()?;
        let name = entries.take("algorithm")?;
        let algorithm: Algorithm = name
            .text()?
            .parse()
            .map_err(|error| name.refuse("WRONG_VALUE", error))?;
        let signs = matches!(algorithm.purpose(), Purpose::Sign | Purpose::Mac);
        if let Some(wrong) = uses.iter().find(|one| one.signs() != signs) {
            return Err(name.refuse(
                "WRONG_KEY",
                format!("{algorithm} is not for {:?}", wrong.name()),
            ));
        }
        if algorithm == Algorithm::Rsa15Private && uses.len() != 1 {
            return Err(name.refuse(
                "WRONG_KEY",
                "RSA1_5-PRIVATE is either for \"encrypt\", with a private key of ours, or for \"decrypt\", with a public key of theirs",
            ));
        }
        let secret = algorithm.purpose() == Purpose::Mac || algorithm == Algorithm::Dir;
        let secret_encoding = entries.maybe("secret_encoding");
        let secret_encoding = match (secret_encoding, secret) {
            (Some(item), true) => Some(SecretEncoding::parse(&item)?),
            (None, false) => None,
            (Some(item), false) => {
                return Err(item.refuse("WRONG_KEY", format!("{algorithm} has no secret")));
            }
            (None, true) => {
                return Err(item.refuse(
                    "MISSING_ENTRY",
                    "expected the entry secret_encoding: how the text of the secret becomes its bytes",
                ));
            }
        };
        entries.end()?;
        Ok(Self {
            description,
            uses,
            algorithm,
            secret_encoding,
        })
    }
}

impl KeyUse {
    const ALL: [Self; 4] = [Self::Sign, Self::Verify, Self::Decrypt, Self::Encrypt];

    /// The word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Verify => "verify",
            Self::Decrypt => "decrypt",
            Self::Encrypt => "encrypt",
        }
    }

    const fn signs(self) -> bool {
        matches!(self, Self::Sign | Self::Verify)
    }

    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        let text = item.text()?;
        let found = Self::ALL.into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| {
            let message = format!("expected sign, verify, decrypt or encrypt, found {text:?}");
            item.refuse("WRONG_VALUE", message)
        })
    }
}

impl SecretEncoding {
    /// The bytes of a secret from its text.
    ///
    /// # Errors
    ///
    /// If the text is not in this encoding, or empty.
    pub fn bytes(&self, text: &str) -> Result<Vec<u8>, InvalidSecret> {
        let hexadecimal = "pairs of hexadecimal digits";
        let base64 = "padded base64, after the prefix if there is one";
        let bytes = match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            // The prefix alone is no secret.
            Self::Utf8WithPrefix(_) if text.is_empty() => Vec::new(),
            Self::Utf8WithPrefix(prefix) => [prefix.as_bytes(), text.as_bytes()].concat(),
            Self::Hex => {
                encoding::decode_hex(text.as_bytes()).map_err(|_| InvalidSecret(hexadecimal))?
            }
            Self::Base64 => {
                encoding::decode_base64(text.as_bytes()).map_err(|_| InvalidSecret(base64))?
            }
            Self::Base64AfterPrefix(prefix) => text
                .strip_prefix(prefix)
                .and_then(|rest| encoding::decode_base64(rest.as_bytes()).ok())
                .ok_or(InvalidSecret(base64))?,
        };
        if bytes.is_empty() {
            return Err(InvalidSecret("at least one byte"));
        }
        Ok(bytes)
    }

    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        let expected =
            "utf8, hex, base64, { base64-after-prefix = \"…\" } or { utf8-with-prefix = \"…\" }";
        match item.as_text() {
            Some("utf8") => Ok(Self::Utf8),
            Some("hex") => Ok(Self::Hex),
            Some("base64") => Ok(Self::Base64),
            Some(other) => Err(item.refuse(
                "WRONG_VALUE",
                format!("expected {expected}, found {other:?}"),
            )),
            None if item.is_table() => {
                let mut entries = item.fields()?;
                let encoding = match entries.maybe("utf8-with-prefix") {
                    Some(prefix) => Self::Utf8WithPrefix(prefix.text()?.to_owned()),
                    None => {
                        let prefix = entries.take("base64-after-prefix")?;
                        Self::Base64AfterPrefix(prefix.text()?.to_owned())
                    }
                };
                entries.end()?;
                Ok(encoding)
            }
            None => Err(item.wrong(expected)),
        }
    }
}

/// Everything that is declared, and at this place of the file may be named.
#[derive(Clone, Debug, Default)]
pub(super) struct Declared {
    pub(super) constants: BTreeMap<String, Declaration>,
    pub(super) inputs: BTreeMap<String, Declaration>,
    pub(super) keys: BTreeMap<String, KeyRole>,
    pub(super) secret_in_message: bool,
}

/// What a place in the file may name beyond what is declared for all of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Here {
    /// The values so far, and whether each is secret.
    pub(super) values: BTreeMap<String, bool>,
    /// There is a signature.
    pub(super) signature: bool,
    /// There is something encrypted.
    pub(super) encrypted: bool,
    /// Something was opened.
    pub(super) opened: bool,
    /// There is no message, but a single value.
    pub(super) no_message: bool,
    /// It is the string that is signed.
    pub(super) string: bool,
    /// There is a step that decrypts.
    pub(super) decrypted: bool,
    /// There is a family, which reads parameters beside the signature.
    pub(super) family: bool,
}

impl Declared {
    pub(super) fn parse(file: &mut Fields<'_>) -> Result<Self, SchemeError> {
        let keys = named(file.maybe("keys"), KeyRole::parse)?;
        Ok(Self {
            constants: named(file.maybe("constants"), |item| declaration(item, false))?,
            inputs: named(file.maybe("inputs"), |item| declaration(item, true))?,
            keys,
            secret_in_message: false,
        })
    }

    /// The role that an entry names, which must be there for this use.
    pub(super) fn role(&self, item: &Item<'_>, wanted: KeyUse) -> Result<&KeyRole, SchemeError> {
        let name = item.text()?;
        let roles: Vec<_> = self.keys.keys().map(String::as_str).collect();
        let role = self.keys.get(name).ok_or_else(|| {
            item.refuse(
                "UNKNOWN_KEY_ROLE",
                format!("no key role {name:?}; there is {}", list(&roles)),
            )
        })?;
        if !role.uses.contains(&wanted) {
            return Err(item.refuse(
                "WRONG_KEY",
                format!("the key role {name:?} is not for {:?}", wanted.name()),
            ));
        }
        Ok(role)
    }

    pub(super) const fn at<'d>(&'d self, here: &'d Here) -> Place<'d> {
        Place {
            declared: self,
            here,
        }
    }
}

/// What is declared, seen from one place of the file.
pub(super) struct Place<'d> {
    declared: &'d Declared,
    here: &'d Here,
}

impl Names for Place<'_> {
    fn is_secret(&self, source: &Source) -> Result<bool, (&'static str, String)> {
        let unknown = |kind: &str, name: &str, known: Vec<&String>| {
            let known: Vec<_> = known.into_iter().map(String::as_str).collect();
            let message = format!("no {kind} {name:?}; there is {}", list(&known));
            ("UNKNOWN_SOURCE", message)
        };
        let declared = self.declared;
        match source {
            Source::Constant(name) => match declared.constants.get(name) {
                Some(constant) => Ok(constant.secret),
                None => Err(unknown("constant", name, declared.constants.keys().collect())),
            },
            Source::Input(name) => match declared.inputs.get(name) {
                Some(input) => Ok(input.secret),
                None => Err(unknown("input", name, declared.inputs.keys().collect())),
            },
            Source::Value(name) => match self.here.values.get(name) {
                Some(secret) => Ok(*secret),
                None => Err(unknown(
                    "earlier value",
                    name,
                    self.here.values.keys().collect(),
                )),
            },
            Source::Key { role, .. } => match declared.keys.get(role) {
                Some(_) => Ok(false),
                None => {
                    let (_, message) = unknown("key role", role, declared.keys.keys().collect());
                    Err(("UNKNOWN_KEY_ROLE", message))
                }
            },
            Source::Secret(role) => match declared.keys.get(role) {
                None => {
                    let (_, message) = unknown("key role", role, declared.keys.keys().collect());
                    Err(("UNKNOWN_KEY_ROLE", message))
                }
                Some(key) if key.secret_encoding.is_none() => {
                    Err(("WRONG_KEY", format!("the key role {role:?} has no secret")))
                }
                Some(_) if !declared.secret_in_message => Err((
                    "SECRET_IN_MESSAGE",
                    "a secret in the message needs secret_in_message = true in [scheme]: such a secret can't stay in its token".to_owned(),
                )),
                Some(_) if !self.here.string => Err((
                    "SECRET_MISPLACED",
                    "a secret may stand only in the string that is signed".to_owned(),
                )),
                Some(_) => Ok(true),
            },
            Source::Signature if !self.here.signature => {
                Err(("UNKNOWN_SOURCE", "there is no signature here yet".to_owned()))
            }
            Source::Parameter(_) if !self.here.family => Err((
                "UNKNOWN_SOURCE",
                "there are no parameters here: the signature is of no family, or is not read yet"
                    .to_owned(),
            )),
            Source::Encrypted | Source::EncryptedBody if !self.here.encrypted => Err((
                "UNKNOWN_SOURCE",
                "nothing is encrypted here: there is no [sign.encrypt]".to_owned(),
            )),
            Source::Opened if !self.here.opened => {
                Err(("UNKNOWN_SOURCE", "nothing is opened here".to_owned()))
            }
            Source::Decrypted | Source::Json { decrypted: true, .. } if !self.here.decrypted => {
                Err((
                    "UNKNOWN_SOURCE",
                    "nothing is decrypted: there is no [verify.decrypt]".to_owned(),
                ))
            }
            Source::Method
            | Source::Path
            | Source::Query
            | Source::Target
            | Source::Scheme
            | Source::Authority
            | Source::Status
            | Source::Body
            | Source::Header(_)
            | Source::QueryField(_)
            | Source::FormField(_)
            | Source::Json { .. }
            | Source::RawJson(_)
                if self.here.no_message =>
            {
                Err((
                    "UNKNOWN_SOURCE",
                    "there is no message here: a single value comes by an input".to_owned(),
                ))
            }
            _ => Ok(false),
        }
    }
}

/// A table of entries whose names are the file's own.
pub(super) fn named<T>(
    item: Option<Item<'_>>,
    parse: impl Fn(&Item<'_>) -> Result<T, SchemeError>,
) -> Result<BTreeMap<String, T>, SchemeError> {
    let Some(item) = item else {
        return Ok(BTreeMap::new());
    };
    let one = |(name, item): (&str, Item<'_>)| Ok((own_name(name, &item)?, parse(&item)?));
    item.fields()?.rest().into_iter().map(one).collect()
}

pub(super) fn own_name(name: &str, item: &Item<'_>) -> Result<String, SchemeError> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=64).contains(&name.len()) && name.bytes().all(good) {
        return Ok(name.to_owned());
    }
    Err(item.refuse(
        "WRONG_NAME",
        format!("{name:?} is not a name: expected 1 to 64 of a-z 0-9 _"),
    ))
}

fn declaration(item: &Item<'_>, may_be_secret: bool) -> Result<Declaration, SchemeError> {
    let mut entries = item.fields()?;
    let flag = |item: Option<Item<'_>>| item.map_or(Ok(false), |item| item.boolean());
    let declaration = Declaration {
        description: entries.take("description")?.text()?.to_owned(),
        optional: flag(entries.maybe("optional"))?,
        secret: match may_be_secret {
            true => flag(entries.maybe("secret"))?,
            false => false,
        },
    };
    entries.end()?;
    Ok(declaration)
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}
