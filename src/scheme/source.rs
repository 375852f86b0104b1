//! Where a segment's bytes come from.

use std::{borrow::Cow, collections::BTreeMap};

use crate::scheme::{
    fault::Fault,
    fields,
    json::Json,
    message::{Bindings, Message},
};

/// A source of bytes, as named in a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Method,
    Path,
    Query,
    Target,
    Scheme,
    Authority,
    Status,
    Body,
    Decrypted,
    Signature,
    Encrypted,
    EncryptedBody,
    Opened,
    Header(String),
    QueryField(String),
    FormField(String),
    Json {
        decrypted: bool,
        path: Vec<String>,
    },
    RawJson(Vec<String>),
    Constant(String),
    Input(String),
    Value(String),
    /// What the signature's family read beside it, such as `created`.
    Parameter(String),
    Secret(String),
    Key {
        role: String,
        fact: KeyFact,
    },
}

/// What of a key goes into a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyFact {
    Id,
    SpkiSha256,
    PemSha256,
    CertificateSerial,
}

/// Everything that a source may look at.
#[derive(Clone, Copy)]
pub(super) struct Context<'c> {
    pub(super) message: &'c Message<'c>,
    pub(super) bindings: &'c Bindings,
    pub(super) values: &'c BTreeMap<String, Vec<u8>>,
    pub(super) made: Made<'c>,
}

/// What keys have made so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Made<'c> {
    /// As the scheme encodes it.
    pub(super) signature: Option<&'c [u8]>,
    /// The JWE, and the body that it goes out in.
    pub(super) encrypted: Option<(&'c [u8], &'c [u8])>,
    /// What came out when the signature was known to be right.
    pub(super) opened: Option<&'c [u8]>,
}

/// The same without the message.
#[derive(Clone, Copy)]
pub(super) struct Given<'c> {
    pub(super) bindings: &'c Bindings,
    pub(super) values: &'c BTreeMap<String, Vec<u8>>,
    pub(super) made: Made<'c>,
}

impl<'c> Given<'c> {
    /// Before any key has made anything.
    pub(super) fn new(bindings: &'c Bindings, values: &'c BTreeMap<String, Vec<u8>>) -> Self {
        Self {
            bindings,
            values,
            made: Made::default(),
        }
    }

    pub(super) const fn with(self, message: &'c Message<'c>) -> Context<'c> {
        Context {
            message,
            bindings: self.bindings,
            values: self.values,
            made: self.made,
        }
    }
}

impl Source {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('.') {
            Some((kind, name)) => (kind, Some(name)),
            None => (text, None),
        };
        let named = || match name {
            Some(name) if !name.is_empty() => Ok(name.to_owned()),
            _ => Err(format!("{kind:?} needs a name, as in {kind}.name")),
        };
        let path = || -> Result<Vec<String>, String> {
            let path: Vec<_> = named()?.split('.').map(str::to_owned).collect();
            if path.iter().any(String::is_empty) {
                return Err(format!("{text:?} has an empty name in its path"));
            }
            Ok(path)
        };
        let alone = |source: Self| match name {
            None => Ok(source),
            Some(_) => Err(format!("{kind:?} takes no name")),
        };
        match kind {
            "method" => alone(Self::Method),
            "path" => alone(Self::Path),
            "query" if name.is_none() => Ok(Self::Query),
            "target" => alone(Self::Target),
            "scheme" => alone(Self::Scheme),
            "authority" => alone(Self::Authority),
            "status" => alone(Self::Status),
            "body" => alone(Self::Body),
            "decrypted" => alone(Self::Decrypted),
            "signature" => alone(Self::Signature),
            "encrypted" => alone(Self::Encrypted),
            "encrypted-body" => alone(Self::EncryptedBody),
            "opened" => alone(Self::Opened),
            "header" => named().map(Self::Header),
            "query" => named().map(Self::QueryField),
            "form" => named().map(Self::FormField),
            "json" | "decrypted-json" => Ok(Self::Json {
                decrypted: kind == "decrypted-json",
                path: path()?,
            }),
            "raw-json" => path().map(Self::RawJson),
            "constant" => named().map(Self::Constant),
            "input" => named().map(Self::Input),
            "value" => named().map(Self::Value),
            "parameter" => named().map(Self::Parameter),
            "secret" => named().map(Self::Secret),
            "key" => {
                let named = named()?;
                let (role, fact) = named.split_once('.').ok_or_else(key_facts)?;
                let fact = match fact {
                    "id" => KeyFact::Id,
                    "spki-sha256-hex" => KeyFact::SpkiSha256,
                    "pem-sha256-hex" => KeyFact::PemSha256,
                    "certificate-serial" => KeyFact::CertificateSerial,
                    _ => return Err(key_facts()),
                };
                Ok(Self::Key {
                    role: role.to_owned(),
                    fact,
                })
            }
            _ => Err(format!(
                "unknown source {text:?}; expected one of {SOURCES}"
            )),
        }
    }

    /// The bytes; `None` if there are none.
    pub(super) fn bytes<'c>(&self, context: Context<'c>) -> Result<Option<Cow<'c, [u8]>>, Fault> {
        let message = context.message;
        let text = |text: &'c Option<Cow<'_, str>>| {
            text.as_ref().map(|text| Cow::Borrowed(text.as_bytes()))
        };
        let named = |map: &'c BTreeMap<String, Vec<u8>>, name: &str| {
            map.get(name).map(|value| Cow::Borrowed(value.as_slice()))
        };
        let found = match self {
            Self::Method => text(&message.method),
            Self::Path => text(&message.path),
            Self::Query => text(&message.query),
            Self::Target => message.target(),
            Self::Scheme => text(&message.scheme),
            Self::Authority => text(&message.authority),
            Self::Status => message
                .status
                .map(|status| status.to_string().into_bytes().into()),
            Self::Body => Some(Cow::Borrowed(&*message.body)),
            Self::Decrypted => message.decrypted.as_deref().map(Cow::Borrowed),
            Self::Signature => context.made.signature.map(Cow::Borrowed),
            Self::Encrypted => context.made.encrypted.map(|(jwe, _)| jwe.into()),
            Self::EncryptedBody => context.made.encrypted.map(|(_, body)| body.into()),
            Self::Opened => context.made.opened.map(Cow::Borrowed),
            Self::Header(name) => message.header(name)?.map(Cow::Borrowed),
            Self::QueryField(name) => {
                let query = message.query.as_deref().unwrap_or_default();
                Message::form_field(query.as_bytes(), name)?.map(Cow::Owned)
            }
            Self::FormField(name) => Message::form_field(&message.body, name)?.map(Cow::Owned),
            Self::Json { decrypted, path } => {
                let text = match decrypted {
                    false => &*message.body,
                    true => match &message.decrypted {
                        Some(text) => text,
                        None => return Ok(None),
                    },
                };
                match json(text, path)? {
                    Some(value) if value.is_structured() => return Err(Fault::NotScalar),
                    found => found.map(|value| fields::bytes(value.text())),
                }
            }
            Self::RawJson(path) => {
                json(&message.body, path)?.map(|value| Cow::Borrowed(value.raw().as_bytes()))
            }
            Self::Constant(name) => named(&context.bindings.constants, name),
            Self::Input(name) => named(&context.bindings.inputs, name),
            Self::Value(name) => named(context.values, name),
            Self::Parameter(name) => named(context.values, &parameter(name)),
            // A secret is never here; it is put in its place where it is kept.
            Self::Secret(_) => None,
            Self::Key { role, fact } => {
                let live = context.bindings.keys.get(role);
                let Some(facts) = live.and_then(|live| live.first()) else {
                    return Ok(None);
                };
                let public = facts.public_key.as_ref();
                let found = match fact {
                    KeyFact::Id => facts.id.clone(),
                    KeyFact::CertificateSerial => facts.certificate_serial.clone(),
                    KeyFact::SpkiSha256 => public.map(|key| hex::encode(key.sha256())),
                    KeyFact::PemSha256 => public.map(|key| {
                        hex::encode(crate::algorithm::Hash::Sha256.digest(key.pem().as_bytes()))
                    }),
                };
                found.map(|text| text.into_bytes().into())
            }
        };
        Ok(found)
    }

    /// Whether what is said of `whole` is said of this too: `json.a` is a part of `body`.
    pub(super) fn is_part_of(&self, whole: &Self) -> bool {
        let of_body = matches!(
            self,
            Self::FormField(_)
                | Self::Json {
                    decrypted: false,
                    ..
                }
                | Self::RawJson(_)
        );
        self == whole
            || matches!((self, whole), (Self::Header(one), Self::Header(other)) if one.eq_ignore_ascii_case(other))
            || of_body && *whole == Self::Body
            || matches!(self, Self::Path | Self::Query | Self::QueryField(_))
                && *whole == Self::Target
            || matches!((self, whole), (Self::QueryField(_), Self::Query))
            || matches!(
                (self, whole),
                (
                    Self::Json {
                        decrypted: true,
                        ..
                    },
                    Self::Decrypted
                )
            )
            || matches!((self, whole), (Self::Json { decrypted: false, path }, Self::RawJson(outer)) if path.starts_with(outer))
    }
}

fn json<'t>(text: &'t [u8], path: &[String]) -> Result<Option<Json<'t>>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let whole = Json::parse(text)?;
    Ok(path.iter().try_fold(whole, |value, name| value.child(name)))
}

/// Under which name a family's parameter stands among the values, where no value of a file can stand.
pub(super) fn parameter(name: &str) -> String {
    format!("parameter.{name}")
}

fn key_facts() -> String {
    "a key is said by key.ROLE.id, .spki-sha256-hex, .pem-sha256-hex or .certificate-serial"
        .to_owned()
}

pub(super) const SOURCES: &str = "method path query target scheme authority status body decrypted signature \
    encrypted encrypted-body opened \
    header.NAME query.NAME form.NAME json.PATH raw-json.PATH decrypted-json.PATH constant.NAME \
    input.NAME value.NAME parameter.NAME secret.ROLE key.ROLE.FACT";
