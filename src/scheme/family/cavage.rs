//! Signing HTTP Messages (draft-cavage-http-signatures-12), as it was before RFC 9421.
//!
//! Unlike there, the parameters are not signed, but for `created` and `expires` where they are listed.

use crate::{
    algorithm::{Algorithm, Curve, Hash},
    scheme::{
        document::{Fields, Item, SchemeError},
        encoding,
        expression::Expression,
        family::{Finished, Found, Place, component, fault},
        fault::{EvaluationError, Fault},
        fields,
        message::Message,
        source::{self, Context, Source},
        text::Text,
        time::UnixMilliseconds,
    },
};

/// How a message is signed.
#[derive(Clone, Debug)]
pub(in crate::scheme) struct Signing {
    headers: Vec<Listed>,
    key_id: Expression,
    algorithm: Option<String>,
    created: Option<Expression>,
    expires: Option<Expression>,
}

/// How a message that came is verified.
#[derive(Clone, Debug)]
pub(in crate::scheme) struct Verifying {
    from: Expression,
    algorithm: Algorithm,
    /// The least that must be covered.
    headers: Vec<Listed>,
}

#[derive(Clone, Debug)]
struct Listed {
    name: String,
    optional: bool,
}

/// What stands beside the signature, in its order.
pub(in crate::scheme) struct Prepared(Vec<String>);

/// `created` and `expires`, as they are written.
#[derive(Default)]
struct Times {
    created: Option<String>,
    expires: Option<String>,
}

impl Signing {
    pub(super) fn parse(
        entries: &mut Fields<'_>,
        algorithm: Algorithm,
        place: Place<'_>,
    ) -> Result<Self, SchemeError> {
        let list = entries.take("headers")?;
        let headers = Listed::list(&list)?;
        let name = entries.maybe("algorithm");
        let name = name.map(|item| {
            let text = item.text()?;
            match names(algorithm).contains(&text) {
                true => Ok(text.to_owned()),
                false => {
                    let names = names(algorithm).join(", ");
                    let message =
                        format!("for {algorithm} expected one of {names}; found {text:?}");
                    Err(item.refuse("WRONG_VALUE", message))
                }
            }
        });
        let time = |item: Option<Item<'_>>| item.map(|item| place.expression(&item)).transpose();
        let signing = Self {
            headers,
            key_id: place.expression(&entries.take("key_id")?)?,
            algorithm: name.transpose()?,
            created: time(entries.maybe("created"))?,
            expires: time(entries.maybe("expires"))?,
        };
        for (pseudo, value) in [
            ("(created)", &signing.created),
            ("(expires)", &signing.expires),
        ] {
            let listed = signing.headers.iter().any(|one| one.name == pseudo);
            if listed != value.is_some() {
                let message = format!("{pseudo} is to be listed if it is given, and only then");
                return Err(list.refuse("WRONG_VALUE", message));
            }
        }
        Ok(signing)
    }

    pub(super) fn prepare(
        &self,
        context: Context<'_>,
    ) -> Result<(Text, Prepared), EvaluationError> {
        let message = context.message;
        let word = |expression: &Expression| -> Result<String, EvaluationError> {
            let bytes = expression.bytes(context)?;
            let good = |byte: u8| (0x20..0x7f).contains(&byte) && !b"\"\\".contains(&byte);
            match String::from_utf8(bytes) {
                Ok(text) if text.bytes().all(good) => Ok(text),
                _ => Err(expression.error(Fault::Encoding("printable ASCII without \" and \\"))),
            }
        };
        let number = |expression: &Option<Expression>| -> Result<Option<String>, EvaluationError> {
            let Some(expression) = expression else {
                return Ok(None);
            };
            let text = word(expression)?;
            match seconds(&text) {
                Some(_) => Ok(Some(text)),
                None => Err(expression.error(Fault::Time("unix-seconds"))),
            }
        };
        let times = Times {
            created: number(&self.created)?,
            expires: number(&self.expires)?,
        };
        let covered: Vec<_> = self
            .headers
            .iter()
            .filter(|listed| !listed.optional || listed.is_in(message))
            .map(|listed| listed.name.as_str())
            .collect();
        let text = string(SIGN, &covered, message, &times)?;
        let mut parameters = vec![format!("keyId=\"{}\"", word(&self.key_id)?)];
        parameters.extend(
            self.algorithm
                .iter()
                .map(|name| format!("algorithm=\"{name}\"")),
        );
        parameters.extend(times.created.map(|seconds| format!("created={seconds}")));
        parameters.extend(times.expires.map(|seconds| format!("expires={seconds}")));
        parameters.push(format!("headers=\"{}\"", covered.join(" ")));
        Ok((text, Prepared(parameters)))
    }

    /// The signature in the list of parameters.
    pub(super) fn signature(text: &[u8]) -> Result<Vec<u8>, Fault> {
        let fields = fields::list(text, ",", "=", true)?;
        let found = fields
            .into_iter()
            .find(|field| *field.name == *b"signature");
        encoding::decode_base64(&found.ok_or(Fault::Absent)?.value)
    }
}

impl Prepared {
    pub(super) fn finish(&self, signature: &[u8]) -> Finished {
        let signature = encoding::base64(signature);
        let signature = format!("signature=\"{}\"", String::from_utf8_lossy(&signature));
        Finished {
            text: format!("{},{signature}", self.0.join(",")).into_bytes(),
            headers: Vec::new(),
        }
    }
}

impl Verifying {
    pub(super) fn parse(
        entries: &mut Fields<'_>,
        algorithm: Algorithm,
        place: Place<'_>,
    ) -> Result<Self, SchemeError> {
        let list = entries.take("headers")?;
        let headers = Listed::list(&list)?;
        if headers.iter().all(|listed| listed.optional) {
            let message = "expected a header that is not optional: a signature that covers nothing protects nothing";
            return Err(list.refuse("NOTHING_COVERED", message));
        }
        Ok(Self {
            from: place.expression(&entries.take("from")?)?,
            algorithm,
            headers,
        })
    }

    pub(super) fn place(&self) -> Expression {
        self.from.clone()
    }

    pub(super) fn covers(&self) -> Vec<Source> {
        let always = self.headers.iter().filter(|listed| !listed.optional);
        let sources = always.flat_map(|listed| match listed.name.as_str() {
            "(request-target)" => vec![Source::Method, Source::Target],
            "(created)" | "(expires)" => Vec::new(),
            "digest" => vec![Source::Header("digest".to_owned()), Source::Body],
            name => vec![Source::Header(name.to_owned())],
        });
        sources.collect()
    }

    pub(super) fn examine(&self, context: Context<'_>) -> Result<Found, EvaluationError> {
        let message = context.message;
        let parameters = self.parameters(&self.from.bytes(context)?)?;
        let named = |name: &str| {
            let found = parameters.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| value.as_str())
        };
        let absent = |name: &str| fault(VERIFY, &format!("parameter.{name}"), Fault::Absent);
        let error = |name: &str, why| fault(VERIFY, &format!("parameter.{name}"), why);
        let signature = named("signature").ok_or_else(|| absent("signature"))?;
        let signature = encoding::decode_base64(signature.as_bytes());
        let signature = signature.map_err(|why| error("signature", why))?;
        if let Some(found) = named("algorithm")
            && !names(self.algorithm).contains(&found)
        {
            let why = Fault::Algorithm {
                expected: self.algorithm.name(),
                found: found.chars().take(64).collect(),
            };
            return Err(error("algorithm", why));
        }
        let headers = named("headers").ok_or_else(|| absent("headers"))?;
        let covered: Vec<_> = headers.split(' ').collect();
        if covered.len() > component::MAX_COMPONENTS {
            return Err(error("headers", Fault::TooMany(component::MAX_COMPONENTS)));
        }
        for (index, name) in covered.iter().enumerate() {
            if covered[..index].contains(name) {
                return Err(fault(VERIFY, name, Fault::Repeated));
            }
            if !is_known(name) {
                let why = "is no header's name in lower case, and not (request-target), (created) or (expires)";
                return Err(fault(VERIFY, name, Fault::Family(why)));
            }
        }
        for listed in &self.headers {
            let wanted = !listed.optional || listed.is_in(message);
            if wanted && !covered.contains(&listed.name.as_str()) {
                return Err(fault(VERIFY, &listed.name, Fault::NotCovered));
            }
        }
        let time = |name: &str| {
            let value = named(name).map(|text| match seconds(text) {
                Some(_) => Ok(text.to_owned()),
                None => Err(error(name, Fault::Time("unix-seconds"))),
            });
            value.transpose()
        };
        let times = Times {
            created: time("created")?,
            expires: time("expires")?,
        };
        let string = string(VERIFY, &covered, message, &times)?;
        let mut found = Found {
            string,
            signature,
            parameters: Vec::new(),
            covered: Vec::new(),
            expires: times
                .expires
                .as_deref()
                .and_then(seconds)
                .map(|s| UnixMilliseconds(s * 1000)),
        };
        for name in covered {
            let value = value(name, message, &times).map_err(|why| fault(VERIFY, name, why))?;
            match name {
                "(created)" | "(expires)" => {
                    let plain = name.trim_matches(['(', ')']);
                    found
                        .parameters
                        .push((source::parameter(plain), value.clone()));
                }
                "digest" => {
                    check_digest(message).map_err(|why| fault(VERIFY, "digest", why))?;
                    found
                        .covered
                        .push(("body".to_owned(), message.body.to_vec()));
                }
                _ => {}
            }
            found.covered.push((name.to_owned(), value));
        }
        Ok(found)
    }

    /// No parameter twice, and none that is not known.
    fn parameters(&self, text: &[u8]) -> Result<Vec<(String, String)>, EvaluationError> {
        let error = |why| self.from.error(why);
        let mut parameters: Vec<(String, String)> = Vec::new();
        for field in fields::list(text, ",", "=", true).map_err(error)? {
            let name = String::from_utf8_lossy(&field.name).into_owned();
            let value = String::from_utf8(field.value.into_owned());
            let value = value.map_err(|_| error(Fault::Utf8))?;
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(error(Fault::RepeatedField));
            }
            if !PARAMETERS.contains(&name.as_str()) {
                return Err(error(Fault::Family(
                    "has a parameter that the draft does not know",
                )));
            }
            parameters.push((name, value));
        }
        Ok(parameters)
    }
}

impl Listed {
    fn list(item: &Item<'_>) -> Result<Vec<Self>, SchemeError> {
        let mut listed: Vec<Self> = Vec::new();
        for item in item.list()? {
            let (name, optional) = if item.is_table() {
                let mut entries = item.fields()?;
                let name = entries.take("name")?.text()?.to_owned();
                let optional = entries.take("optional")?.boolean()?;
                entries.end()?;
                (name, optional)
            } else {
                (item.text()?.to_owned(), false)
            };
            if !is_known(&name) || optional && name.starts_with('(') {
                let message = format!(
                    "{name:?} is not a header's name in lower case, nor (request-target), (created) or (expires)"
                );
                return Err(item.refuse("WRONG_NAME", message));
            }
            if listed.iter().any(|other| other.name == name) {
                return Err(item.refuse("REPEATED_NAME", format!("{name} is listed already")));
            }
            listed.push(Self { name, optional });
        }
        match listed.is_empty() {
            true => Err(item.refuse("WRONG_VALUE", "the list is empty")),
            false => Ok(listed),
        }
    }

    fn is_in(&self, message: &Message<'_>) -> bool {
        component::lines(message, &self.name).next().is_some()
    }
}

/// Section 2.3 of the draft.
fn string(
    at: &str,
    covered: &[&str],
    message: &Message<'_>,
    times: &Times,
) -> Result<Text, EvaluationError> {
    let mut text = Text::default();
    for (index, name) in covered.iter().enumerate() {
        let value = value(name, message, times).map_err(|why| fault(at, name, why))?;
        if index > 0 {
            text.push(at, "line end", b"\n", false);
        }
        text.push(at, "name", format!("{name}: ").as_bytes(), false);
        text.push(at, name, &value, component::is_secret(name));
    }
    Ok(text)
}

fn value(name: &str, message: &Message<'_>, times: &Times) -> Result<Vec<u8>, Fault> {
    let value = match name {
        "(request-target)" => {
            let method = message.method.as_deref().ok_or(Fault::Absent)?;
            let target = message.target().ok_or(Fault::Absent)?;
            [method.to_ascii_lowercase().as_bytes(), b" ", &target].concat()
        }
        "(created)" => times.created.clone().ok_or(Fault::Absent)?.into_bytes(),
        "(expires)" => times.expires.clone().ok_or(Fault::Absent)?.into_bytes(),
        "host" => match component::field(message, "host") {
            Err(Fault::Absent) => component::authority(message)?.into_bytes(),
            host => host?,
        },
        name => component::field(message, name)?,
    };
    // A line end would be the next line of the string.
    match value
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        true => Err(Fault::Encoding("text without control characters")),
        false => Ok(value),
    }
}

/// `Digest` of RFC 3230: every digest that is known, of which there must be one.
fn check_digest(message: &Message<'_>) -> Result<(), Fault> {
    let mut checked = false;
    for field in fields::list(&component::field(message, "digest")?, ",", "=", false)? {
        let hash = match field.name.to_ascii_lowercase().as_slice() {
            b"sha-256" => Hash::Sha256,
            b"sha-512" => Hash::Sha512,
            _ => continue,
        };
        if encoding::decode_base64(field.value.trim_ascii())? != hash.digest(&message.body) {
            return Err(Fault::Digest);
        }
        checked = true;
    }
    match checked {
        true => Ok(()),
        false => Err(Fault::Family("has neither SHA-256 nor SHA-512")),
    }
}

fn is_known(name: &str) -> bool {
    ["(request-target)", "(created)", "(expires)"].contains(&name) || component::is_field_name(name)
}

fn seconds(text: &str) -> Option<u64> {
    let digits = text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// What the draft and its predecessors call the algorithm; `hs2019` leaves it to the key.
const fn names(algorithm: Algorithm) -> &'static [&'static str] {
    match algorithm {
        Algorithm::RsaPkcs1(Hash::Sha256) => &["hs2019", "rsa-sha256"],
        Algorithm::RsaPkcs1(Hash::Sha512) => &["hs2019", "rsa-sha512"],
        Algorithm::Hmac(Hash::Sha256) => &["hs2019", "hmac-sha256"],
        Algorithm::Hmac(Hash::Sha512) => &["hs2019", "hmac-sha512"],
        Algorithm::Ecdsa(Curve::P256) => &["hs2019", "ecdsa-sha256"],
        Algorithm::EdDsa => &["hs2019", "ed25519"],
        _ => &["hs2019"],
    }
}

const PARAMETERS: [&str; 6] = [
    "keyId",
    "algorithm",
    "created",
    "expires",
    "headers",
    "signature",
];
const SIGN: &str = "sign.signature.headers";
const VERIFY: &str = "verify.signature.headers";
