//! The test vectors of a scheme file: without one for each thing that it does, a scheme is not loaded.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use crate::{
    key::PublicKey,
    scheme::{
        declared::Declared,
        document::{Item, SchemeError},
        encoding,
        message::{Bindings, KeyFacts, Message},
        test_key::TestKey,
        time::UnixMilliseconds,
        verdict::Outcome,
    },
};

/// One `[[vectors]]` of a scheme file.
pub struct Vector {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) kind: Kind,
    pub(super) source: String,
    pub(super) line: usize,
    pub(super) at: String,
    pub(super) message: Message<'static>,
    pub(super) bindings: Bindings,
    pub(super) key: Option<Key>,
    pub(super) keys: BTreeMap<String, TestKey>,
    pub(super) string: Option<Vec<u8>>,
    pub(super) digest: Option<Vec<u8>>,
    pub(super) signature: Option<String>,
    pub(super) set: BTreeMap<String, String>,
    pub(super) must_not_match: Vec<Wrong>,
    pub(super) encrypted: Option<Encrypted>,
    pub(super) opened: Option<String>,
    pub(super) token_is_good: bool,
    pub(super) outcome: Outcome,
    pub(super) now: UnixMilliseconds,
}

/// Where a vector comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The platform, or an RFC, gives the value.
    Published,
    /// An independent tool made the value from our reading of the rule.
    Computed,
}

/// What a vector tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message is signed.
    Sign,
    /// A message is verified.
    Verify,
    /// A string is put together, or one value of `[sign.values]`.
    String,
    /// A published signature is right for a published digest.
    Digest,
    /// A single value is encrypted, and opened again.
    Encrypt,
    /// A single value is decrypted.
    Decrypt,
}

pub(super) enum Key {
    Secret(String),
    Public(Box<PublicKey>),
    Private(TestKey),
}

/// What a `[sign.encrypt]` should make.
pub(super) struct Encrypted {
    /// The protected header that is asked for.
    pub(super) header: String,
    pub(super) plaintext: Option<String>,
}

/// What a wrong implementation would make.
pub(super) struct Wrong {
    pub(super) why: String,
    pub(super) what: WrongValue,
}

pub(super) enum WrongValue {
    String(String),
    Sha256(String),
    Signature(String),
}

impl Vector {
    /// Its name in the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it comes from.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// What it tests.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it comes from, in words.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether messages are signed, and whether what comes is, decides what a vector must have.
    pub(super) fn parse(
        item: &Item<'_>,
        declared: &Declared,
        (signs, verifies): (bool, bool),
    ) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let words = [
            ("sign", Kind::Sign),
            ("verify", Kind::Verify),
            ("string", Kind::String),
            ("digest", Kind::Digest),
            ("encrypt", Kind::Encrypt),
            ("decrypt", Kind::Decrypt),
        ];
        let kind = word(&entries.take("kind")?, &words)?;
        let words = [
            ("published", Origin::Published),
            ("computed", Origin::Computed),
        ];
        let origin = word(&entries.take("origin")?, &words)?;
        let words = Outcome::ALL.map(|(word, outcome, _)| (word, outcome));
        let outcome = entries.maybe("outcome");
        let outcome = outcome.map_or(Ok(Outcome::Valid), |item| word(&item, &words))?;
        let mut text = |name| -> Result<Option<String>, SchemeError> {
            let item = entries.maybe(name);
            item.map(|item| item.text().map(str::to_owned)).transpose()
        };
        let (method, path, query) = (text("method")?, text("path")?, text("query")?);
        let (scheme, authority) = (text("scheme")?, text("authority")?);
        let (body, decrypted) = (text("body")?, text("decrypted")?);
        let (string, signature) = (text("string")?, text("signature")?);
        let opened = text("opened")?;
        let name = entries.take("name")?.text()?.to_owned();
        let source = entries.take("source")?.text()?.to_owned();
        let status = entries
            .maybe("status")
            .map(|item| item.number(100..600))
            .transpose()?;
        let now = entries
            .maybe("now")
            .map_or(Ok(0), |item| item.number(0..1 << 50))?;
        let headers = pairs(entries.maybe("headers"), |_| true)?;
        let request_headers = pairs(entries.maybe("request_headers"), |_| true)?;
        let header =
            |(name, value): (String, String)| (Cow::Owned(name), Cow::Owned(value.into_bytes()));
        let known = |map: &BTreeMap<String, _>, name: &str| map.contains_key(name);
        let bytes = |(name, value): (String, String)| (name, value.into_bytes());
        let constants = pairs(entries.maybe("constants"), |name| {
            known(&declared.constants, name)
        })?;
        let inputs = pairs(entries.maybe("inputs"), |name| {
            known(&declared.inputs, name)
        })?;
        let values = pairs(entries.maybe("values"), |_| true)?;
        let set = pairs(entries.maybe("set"), |_| true)?;
        let key = entries
            .maybe("key")
            .map(|item| Key::parse(&item))
            .transpose()?;
        let (mut keys, mut test_keys) = (BTreeMap::new(), BTreeMap::new());
        if let Some(table) = entries.maybe("keys") {
            for (role, item) in table.fields()?.rest() {
                if !declared.keys.contains_key(role) {
                    let message = format!("no key role {role:?}");
                    return Err(item.refuse("UNKNOWN_KEY_ROLE", message));
                }
                let (facts, test_key) = facts(&item)?;
                keys.insert(role.to_owned(), vec![facts]);
                test_keys.extend(test_key.map(|key| (role.to_owned(), key)));
            }
        }
        let digest = entries.maybe("digest");
        let digest = digest.map(|item| {
            let text = item.text()?.as_bytes();
            encoding::decode_hex(text).map_err(|fault| item.refuse("WRONG_VALUE", fault))
        });
        let digest = digest.transpose()?;
        let mut must_not_match = Vec::new();
        if let Some(list) = entries.maybe("must_not_match") {
            for item in list.list()? {
                must_not_match.push(Wrong::parse(&item)?);
            }
        }
        let encrypted = entries.maybe("encrypted");
        let encrypted = encrypted.map(|item| Encrypted::parse(&item)).transpose()?;
        let token_is_good = entries.maybe("token_is_good");
        let token_is_good = token_is_good.map_or(Ok(false), |item| item.boolean())?;
        let missing = |what: &str| {
            let message = format!("a vector of this kind needs {what}");
            Err(item.refuse("MISSING_ENTRY", message))
        };
        match kind {
            Kind::Sign if signs && string.is_none() => return missing("string"),
            Kind::Sign if signs && key.is_none() => return missing("key"),
            Kind::Sign if signs && signature.is_none() => return missing("signature"),
            Kind::Verify if verifies && string.is_none() => return missing("string"),
            Kind::Verify if verifies && key.is_none() => return missing("key"),
            Kind::Encrypt | Kind::Decrypt if string.is_none() => return missing("string"),
            Kind::Encrypt | Kind::Decrypt if key.is_none() => return missing("key"),
            Kind::String if string.is_none() && digest.is_none() => {
                return missing("string or digest");
            }
            Kind::Digest if digest.is_none() || signature.is_none() || key.is_none() => {
                return missing("digest, signature and key");
            }
            Kind::Sign
            | Kind::Verify
            | Kind::String
            | Kind::Digest
            | Kind::Encrypt
            | Kind::Decrypt => {}
        }
        let vector = Self {
            name,
            origin,
            kind,
            source,
            line: item.line(),
            at: item.at().to_owned(),
            message: Message {
                method: method.map(Cow::Owned),
                scheme: scheme.map(Cow::Owned),
                authority: authority.map(Cow::Owned),
                path: path.map(Cow::Owned),
                query: query.map(Cow::Owned),
                status: status.and_then(|status| u16::try_from(status).ok()),
                headers: headers.into_iter().map(header).collect(),
                request_headers: request_headers.into_iter().map(header).collect(),
                body: Cow::Owned(body.unwrap_or_default().into_bytes()),
                decrypted: decrypted.map(|text| Cow::Owned(text.into_bytes())),
            },
            bindings: Bindings {
                constants: constants.into_iter().map(bytes).collect(),
                inputs: inputs.into_iter().map(bytes).collect(),
                values: values.into_iter().map(bytes).collect(),
                keys,
                window_seconds: None,
            },
            key,
            keys: test_keys,
            string: string.map(String::into_bytes),
            digest,
            signature,
            set: set.into_iter().collect(),
            must_not_match,
            encrypted,
            opened,
            token_is_good,
            outcome,
            now: UnixMilliseconds(now),
        };
        entries.end()?;
        Ok(vector)
    }
}

impl Key {
    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let key = match ["secret", "public_pem", "private_pem"].map(|name| entries.maybe(name)) {
            [Some(secret), None, None] => Self::Secret(secret.text()?.to_owned()),
            [None, Some(pem), None] => Self::Public(Box::new(public_key(&pem)?)),
            [None, None, Some(pem)] => Self::Private(private_key(&pem)?),
            _ => {
                let expected = "expected one of secret, public_pem, private_pem";
                return Err(item.refuse("WRONG_VALUE", expected));
            }
        };
        entries.end()?;
        Ok(key)
    }
}

impl Wrong {
    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let why = entries.take("why")?.text()?.to_owned();
        let values = ["string", "sha256", "signature"].map(|name| entries.maybe(name));
        let what = match values {
            [Some(text), None, None] => WrongValue::String(text.text()?.to_owned()),
            [None, Some(text), None] => WrongValue::Sha256(text.text()?.to_owned()),
            [None, None, Some(text)] => WrongValue::Signature(text.text()?.to_owned()),
            _ => {
                let expected = "expected one of string, sha256, signature";
                return Err(item.refuse("WRONG_VALUE", expected));
            }
        };
        entries.end()?;
        Ok(Self { why, what })
    }
}

impl Encrypted {
    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let header = entries.take("header")?.text()?.to_owned();
        let plaintext = entries.maybe("plaintext");
        let plaintext = plaintext
            .map(|item| item.text().map(str::to_owned))
            .transpose()?;
        entries.end()?;
        Ok(Self { header, plaintext })
    }
}

/// What is known of a key, and the key itself if the vector has it.
fn facts(item: &Item<'_>) -> Result<(KeyFacts, Option<TestKey>), SchemeError> {
    let mut entries = item.fields()?;
    let test_key = match (entries.maybe("private_pem"), entries.maybe("secret")) {
        (None, None) => None,
        (Some(pem), None) => Some(private_key(&pem)?),
        (None, Some(secret)) => Some(TestKey::Secret(secret.text()?.to_owned())),
        (Some(_), Some(_)) => {
            return Err(item.refuse("WRONG_VALUE", "expected either private_pem or secret"));
        }
    };
    let text = |item: Item<'_>| item.text().map(str::to_owned);
    let facts = KeyFacts {
        id: entries.maybe("id").map(text).transpose()?,
        certificate_serial: entries.maybe("certificate_serial").map(text).transpose()?,
        public_key: match entries.maybe("public_pem") {
            Some(item) => Some(public_key(&item)?),
            None => test_key.as_ref().and_then(TestKey::public),
        },
    };
    entries.end()?;
    Ok((facts, test_key))
}

fn private_key(item: &Item<'_>) -> Result<TestKey, SchemeError> {
    TestKey::from_pem(item.text()?).map_err(|why| item.refuse("WRONG_KEY", why))
}

fn public_key(item: &Item<'_>) -> Result<PublicKey, SchemeError> {
    let refuse = |why: String| item.refuse("WRONG_KEY", why);
    let (label, document) =
        rsa::pkcs8::Document::from_pem(item.text()?).map_err(|error| refuse(error.to_string()))?;
    if label != "PUBLIC KEY" {
        return Err(refuse(format!("expected a PUBLIC KEY, found a {label}")));
    }
    PublicKey::from_spki(document.as_bytes()).map_err(|error| refuse(error.to_string()))
}

fn word<T: Copy>(item: &Item<'_>, words: &[(&str, T)]) -> Result<T, SchemeError> {
    let text = item.text()?;
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("expected one of {}, found {text:?}", words.join(", "));
        item.refuse("WRONG_VALUE", message)
    })
}

/// A table of texts, in the order of the file.
fn pairs(
    item: Option<Item<'_>>,
    known: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String)>, SchemeError> {
    let Some(item) = item else {
        return Ok(Vec::new());
    };
    let one = |(name, item): (&str, Item<'_>)| match known(name) {
        true => Ok((name.to_owned(), item.text()?.to_owned())),
        false => {
            let message = format!("the scheme declares no {name:?}");
            Err(item.refuse("UNKNOWN_ENTRY", message))
        }
    };
    item.fields()?.rest().into_iter().map(one).collect()
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Published => "published",
            Self::Computed => "computed",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sign => "sign",
            Self::Verify => "verify",
            Self::String => "string",
            Self::Digest => "digest",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
        })
    }
}
