//! The test vectors of a scheme file: without one for each thing that it does, a scheme is not loaded.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use hmac::{Hmac, KeyInit, Mac};

use crate::{
    algorithm::{Algorithm, Hash},
    key::{Input, PublicKey},
    scheme::{
        Scheme,
        declared::{Declared, KeyRole},
        document::{Item, SchemeError},
        encoding,
        message::{Bindings, KeyFacts, Message},
        time::UnixMilliseconds,
        verify::{Match, Outcome},
    },
};

/// One `[[vectors]]` of a scheme file.
pub struct Vector {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) kind: Kind,
    pub(super) source: String,
    line: usize,
    at: String,
    message: Message<'static>,
    bindings: Bindings,
    key: Option<Key>,
    string: Option<Vec<u8>>,
    digest: Option<Vec<u8>>,
    signature: Option<String>,
    set: BTreeMap<String, String>,
    must_not_match: Vec<Wrong>,
    outcome: Outcome,
    now: UnixMilliseconds,
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
}

enum Key {
    Secret(String),
    Public(Box<PublicKey>),
}

/// What a wrong implementation would make.
struct Wrong {
    why: String,
    what: WrongValue,
}

enum WrongValue {
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

    pub(super) fn parse(item: &Item<'_>, declared: &Declared) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let words = [
            ("sign", Kind::Sign),
            ("verify", Kind::Verify),
            ("string", Kind::String),
            ("digest", Kind::Digest),
        ];
        let kind = word(&entries.take("kind")?, &words)?;
        let words = [
            ("published", Origin::Published),
            ("computed", Origin::Computed),
        ];
        let origin = word(&entries.take("origin")?, &words)?;
        let words = [
            ("valid", Outcome::Valid),
            ("invalid", Outcome::Invalid),
            ("stale", Outcome::Stale),
            ("future", Outcome::Future),
            ("other-request", Outcome::OtherRequest),
        ];
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
        let mut keys = BTreeMap::new();
        if let Some(table) = entries.maybe("keys") {
            for (role, item) in table.fields()?.rest() {
                if !declared.keys.contains_key(role) {
                    let message = format!("no key role {role:?}");
                    return Err(item.refuse("UNKNOWN_KEY_ROLE", message));
                }
                keys.insert(role.to_owned(), facts(&item)?);
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
        let missing = |what: &str| {
            let message = format!("a vector of this kind needs {what}");
            Err(item.refuse("MISSING_ENTRY", message))
        };
        match kind {
            Kind::Sign | Kind::Verify if string.is_none() => return missing("string"),
            Kind::Sign | Kind::Verify if key.is_none() => return missing("key"),
            Kind::Sign if signature.is_none() => return missing("signature"),
            Kind::String if string.is_none() && digest.is_none() => {
                return missing("string or digest");
            }
            Kind::Digest if digest.is_none() || signature.is_none() || key.is_none() => {
                return missing("digest, signature and key");
            }
            Kind::Sign | Kind::Verify | Kind::String | Kind::Digest => {}
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
                headers: headers
                    .into_iter()
                    .map(|(name, value)| (Cow::Owned(name), Cow::Owned(value.into_bytes())))
                    .collect(),
                body: Cow::Owned(body.unwrap_or_default().into_bytes()),
                decrypted: decrypted.map(|text| Cow::Owned(text.into_bytes())),
            },
            bindings: Bindings {
                constants: constants.into_iter().map(bytes).collect(),
                inputs: inputs.into_iter().map(bytes).collect(),
                values: values.into_iter().map(bytes).collect(),
                keys,
            },
            key,
            string: string.map(String::into_bytes),
            digest,
            signature,
            set: set.into_iter().collect(),
            must_not_match,
            outcome,
            now: UnixMilliseconds(now),
        };
        entries.end()?;
        Ok(vector)
    }

    /// Runs the vector; the error says what was expected and what came.
    pub(super) fn run(&self, scheme: &Scheme) -> Result<(), SchemeError> {
        let result = match self.kind {
            Kind::Sign => self.run_sign(scheme),
            Kind::Verify => self.run_verify(scheme),
            Kind::String => self.run_string(scheme),
            Kind::Digest => self.run_digest(scheme),
        };
        result.map_err(|why| {
            let message = format!("the vector {:?} fails: {why}", self.name);
            SchemeError::new(self.line, self.at.clone(), message, "VECTOR_FAILS")
        })
    }

    fn run_sign(&self, scheme: &Scheme) -> Result<(), String> {
        let sign = scheme.sign.as_ref().ok_or("the scheme has no [sign]")?;
        let now = self.now;
        let draft = sign.draft(&self.message, &self.bindings, now, &mut |bytes| {
            bytes.fill(0)
        });
        let draft = draft.map_err(|error| error.to_string())?;
        let string = draft.string_to_sign().filled(|_| self.secret_text());
        let string = string.ok_or("the key of the vector is no secret")?;
        self.check_string(&string)?;
        let expected = self.signature.as_deref().unwrap_or_default();
        let role = &scheme.declared.keys[&sign.key];
        let raw = match &self.key {
            Some(Key::Secret(text)) => hmac(role, text, &string)?,
            Some(Key::Public(key)) => {
                let raw = undo(&sign.encode_names(), expected.as_bytes())?;
                let algorithm = sign.algorithm;
                if !key.verifies(algorithm, Input::Message(&string), &raw, false) {
                    return Err("the signature is not the key's over the string".to_owned());
                }
                raw
            }
            None => return Err("there is no key".to_owned()),
        };
        let signed = draft.finish(&raw).map_err(|error| error.to_string())?;
        let made = String::from_utf8_lossy(&signed.signature).into_owned();
        self.check_wrong(&string, &made)?;
        same("the signature", expected, &made)?;
        for (place, expected) in &self.set {
            let made = match place.split_once('.') {
                Some(("header", name)) => signed
                    .headers
                    .iter()
                    .find(|(other, _)| other == name)
                    .map(|(_, value)| value.clone()),
                None if place == "body" => Some(String::from_utf8_lossy(&signed.body).into_owned()),
                None if place == "query" => signed.query.clone(),
                _ => {
                    return Err(format!(
                        "set.{place:?}: expected header.NAME, body or query"
                    ));
                }
            };
            let made = made.ok_or_else(|| format!("{place} is not set"))?;
            same(place, expected, &made)?;
        }
        Ok(())
    }

    fn run_verify(&self, scheme: &Scheme) -> Result<(), String> {
        let verify = scheme.verify.as_ref().ok_or("the scheme has no [verify]")?;
        let role = &scheme.declared.keys[&verify.key];
        let examination = verify.examine(&self.message, &self.bindings);
        let examination = examination.map_err(|error| error.to_string())?;
        let mut strings = Vec::new();
        let mut right: Option<Match> = None;
        for (index, candidate) in examination.candidates() {
            let string = candidate.string.filled(|_| self.secret_text());
            let string = string.ok_or("the key of the vector is no secret")?;
            let is_right = match &self.key {
                Some(Key::Secret(text)) => hmac(role, text, &string)? == candidate.signature,
                Some(Key::Public(key)) => key.verifies(
                    verify.algorithm,
                    Input::Message(&string),
                    candidate.signature,
                    examination.is_der(),
                ),
                None => false,
            };
            right = right.or(is_right.then_some(index));
            strings.push(string);
        }
        let expected = self.string.as_deref().unwrap_or_default();
        if !strings.iter().any(|string| string == expected) {
            self.check_string(&strings[0])?;
        }
        self.check_wrong(&strings[0], "")?;
        let verdict = examination.conclude(right, self.now);
        let verdict = verdict.map_err(|error| error.to_string())?;
        if verdict.outcome != self.outcome {
            return Err(format!(
                "expected the outcome {:?}, got {:?}",
                self.outcome, verdict.outcome
            ));
        }
        Ok(())
    }

    fn run_string(&self, scheme: &Scheme) -> Result<(), String> {
        let string = if let Some(sign) = &scheme.sign {
            let draft = sign.draft(&self.message, &self.bindings, self.now, &mut |bytes| {
                bytes.fill(0)
            });
            let draft = draft.map_err(|error| error.to_string())?;
            draft.string_to_sign().filled(|_| self.secret_text())
        } else if let Some(verify) = &scheme.verify {
            let examination = verify.examine(&self.message, &self.bindings);
            let examination = examination.map_err(|error| error.to_string())?;
            let first = examination.candidates().next();
            first.and_then(|(_, candidate)| candidate.string.filled(|_| self.secret_text()))
        } else {
            None
        };
        let string = string.ok_or("there is no string")?;
        if let Some(digest) = &self.digest {
            let made = hex::encode(Hash::Sha256.digest(&string));
            same("the SHA-256 of the string", &hex::encode(digest), &made)?;
        }
        if self.string.is_some() {
            self.check_string(&string)?;
        }
        self.check_wrong(&string, "")
    }

    fn run_digest(&self, scheme: &Scheme) -> Result<(), String> {
        let (Some(Key::Public(key)), Some(digest)) = (&self.key, &self.digest) else {
            return Err("a digest is signed with a key that has a public half".to_owned());
        };
        let sign = scheme.sign.as_ref().ok_or("the scheme has no [sign]")?;
        let expected = self.signature.as_deref().unwrap_or_default();
        let raw = undo(&sign.encode_names(), expected.as_bytes())?;
        match key.verifies(sign.algorithm, Input::Digest(digest), &raw, false) {
            true => Ok(()),
            false => Err("the signature is not the key's over the digest".to_owned()),
        }
    }

    fn secret_text(&self) -> Option<&[u8]> {
        match &self.key {
            Some(Key::Secret(text)) => Some(text.as_bytes()),
            Some(Key::Public(_)) | None => None,
        }
    }

    fn check_string(&self, made: &[u8]) -> Result<(), String> {
        let expected = self.string.as_deref().unwrap_or_default();
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        same("the string", &shown(expected), &shown(made))
    }

    fn check_wrong(&self, string: &[u8], signature: &str) -> Result<(), String> {
        for wrong in &self.must_not_match {
            let matches = match &wrong.what {
                WrongValue::String(text) => text.as_bytes() == string,
                WrongValue::Sha256(hex) => *hex == hex::encode(Hash::Sha256.digest(string)),
                WrongValue::Signature(text) => text == signature,
            };
            if matches {
                return Err(format!("it gives what it must not: {}", wrong.why));
            }
        }
        Ok(())
    }
}

impl Key {
    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let key = match (entries.maybe("secret"), entries.maybe("public_pem")) {
            (Some(secret), None) => Self::Secret(secret.text()?.to_owned()),
            (None, Some(pem)) => Self::Public(Box::new(public_key(&pem)?)),
            _ => return Err(item.refuse("WRONG_VALUE", "expected either secret or public_pem")),
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

fn facts(item: &Item<'_>) -> Result<KeyFacts, SchemeError> {
    let mut entries = item.fields()?;
    let text = |item: Item<'_>| item.text().map(str::to_owned);
    let facts = KeyFacts {
        id: entries.maybe("id").map(text).transpose()?,
        certificate_serial: entries.maybe("certificate_serial").map(text).transpose()?,
        public_key: entries
            .maybe("public_pem")
            .map(|item| public_key(&item))
            .transpose()?,
    };
    entries.end()?;
    Ok(facts)
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

/// Undoes the encodings of a signature, the last one first.
fn undo(encodings: &[&str], text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = text.to_vec();
    for name in encodings.iter().rev() {
        let undone = match *name {
            "base64" => encoding::decode_base64(&bytes),
            "base64url" => encoding::decode_base64url(&bytes),
            "hex" | "HEX" => encoding::decode_hex(&bytes),
            "percent-encode" => encoding::percent_decode(bytes.into(), encoding::Kept::Unreserved)
                .map(Cow::into_owned),
            other => return Err(format!("the encoding {other} can't be undone")),
        };
        bytes = undone.map_err(|fault| fault.to_string())?;
    }
    Ok(bytes)
}

fn hmac(role: &KeyRole, secret: &str, message: &[u8]) -> Result<Vec<u8>, String> {
    let key = role
        .secret_bytes(secret)
        .map_err(|error| error.to_string())?;
    let length = "HMAC takes keys of any length";
    Ok(match role.algorithm {
        Algorithm::Hmac(Hash::Sha256) => {
            let mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect(length);
            mac.chain_update(message).finalize().into_bytes().to_vec()
        }
        Algorithm::Hmac(Hash::Sha384) => {
            let mac = Hmac::<sha2::Sha384>::new_from_slice(&key).expect(length);
            mac.chain_update(message).finalize().into_bytes().to_vec()
        }
        Algorithm::Hmac(Hash::Sha512) => {
            let mac = Hmac::<sha2::Sha512>::new_from_slice(&key).expect(length);
            mac.chain_update(message).finalize().into_bytes().to_vec()
        }
        other => return Err(format!("the algorithm {other} has no secret")),
    })
}

fn same(what: &str, expected: &str, made: &str) -> Result<(), String> {
    match expected == made {
        true => Ok(()),
        false => Err(format!("{what} should be\n  {expected}\nand is\n  {made}")),
    }
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
        })
    }
}
