//! HTTP Message Signatures (RFC 9421), with the digests of RFC 9530.

use crate::{
    algorithm::{Algorithm, Curve, Hash},
    scheme::{
        document::{Fields, Item, SchemeError},
        encoding,
        expression::Expression,
        family::{
            Finished, Found, Place,
            component::{self, Component, Listed},
            fault,
        },
        fault::{EvaluationError, Fault},
        message::Message,
        source::{self, Context, Source},
        structured::{self, Bare, Member, Parameters},
        text::Text,
        time::UnixMilliseconds,
    },
};

/// How a message is signed.
#[derive(Clone, Debug)]
pub(in crate::scheme) struct Signing {
    label: String,
    components: Vec<Listed>,
    parameters: Vec<Parameter>,
}

#[derive(Clone, Debug)]
struct Parameter {
    name: &'static str,
    value: Expression,
}

/// How a message that came is verified.
#[derive(Clone, Debug)]
pub(in crate::scheme) struct Verifying {
    choice: Choice,
    algorithm: &'static str,
    /// The least that must be covered.
    components: Vec<Listed>,
    /// The parameters that must be there.
    parameters: Vec<&'static str>,
}

/// Which of several signatures is looked at.
#[derive(Clone, Debug)]
enum Choice {
    Label(String),
    Tag(String),
}

/// The inner list that is signed, to be written beside the signature.
pub(in crate::scheme) struct Prepared {
    label: String,
    input: String,
    /// Of the message as it was, to which ours is added.
    others: [Option<String>; 2],
}

impl Signing {
    pub(super) fn parse(
        entries: &mut Fields<'_>,
        family: &Item<'_>,
        algorithm: Algorithm,
        place: Place<'_>,
    ) -> Result<Self, SchemeError> {
        let registered = registered(family, algorithm)?;
        let label = label(&entries.take("label")?)?;
        let components = Listed::list(&entries.take("components")?)?;
        let mut parameters = Vec::new();
        for (name, item) in entries.take("parameters")?.fields()?.rest() {
            let name = known(name, &item)?;
            if name == "alg" && item.as_text() != Some(registered) {
                let message =
                    format!("expected {registered:?}, which the key's algorithm is called");
                return Err(item.refuse("WRONG_VALUE", message));
            }
            let value = place.expression(&item)?;
            parameters.push(Parameter { name, value });
        }
        Ok(Self {
            label,
            components,
            parameters,
        })
    }

    pub(super) fn prepare(
        &self,
        context: Context<'_>,
    ) -> Result<(Text, Prepared), EvaluationError> {
        let message = context.message;
        let covered: Vec<_> = self
            .components
            .iter()
            .filter(|listed| !listed.optional || listed.is_in(message))
            .collect();
        let mut secret = false;
        let mut parameters = Parameters::new();
        for Parameter { name, value } in &self.parameters {
            secret |= value.is_secret();
            let Some(bytes) = value.unless_omitted(context)? else {
                continue;
            };
            let bare = match *name {
                "created" | "expires" => whole_number(&bytes),
                _ => structured::string(&bytes),
            };
            parameters.push((
                (*name).to_owned(),
                bare.map_err(|fault| value.error(fault))?,
            ));
        }
        let mut text = Text::default();
        for listed in &covered {
            push_line(
                &mut text,
                SIGN,
                listed.component.identifier(),
                listed.component.is_secret(),
                || listed.value(message),
            )?;
        }
        let items = covered.iter().map(|listed| listed.component.item());
        let input = structured::write_member(&Member::Inner(items.collect(), parameters));
        push_parameters(&mut text, SIGN, &input, secret);
        let other = |name: &str| -> Result<Option<String>, EvaluationError> {
            let error = |why| fault(SIGN, name, why);
            let value = match component::field(message, name) {
                Err(Fault::Absent) => return Ok(None),
                value => value.map_err(error)?,
            };
            let members = structured::dictionary(&value).map_err(error)?;
            if members.iter().any(|(label, _)| *label == self.label) {
                let why = "there is a signature with this label already";
                return Err(error(Fault::Family(why)));
            }
            Ok(Some(String::from_utf8_lossy(&value).into_owned()))
        };
        let prepared = Prepared {
            label: self.label.clone(),
            input,
            others: [other("signature-input")?, other("signature")?],
        };
        Ok((text, prepared))
    }

    /// `signature` is the base64 of the bytes alone.
    pub(super) fn signature(text: &[u8]) -> Result<Vec<u8>, Fault> {
        encoding::decode_base64(text)
    }
}

impl Prepared {
    pub(super) fn finish(&self, signature: &[u8]) -> Finished {
        let text = encoding::base64(signature);
        let own = [
            self.input.clone(),
            format!(":{}:", String::from_utf8_lossy(&text)),
        ];
        let names = ["Signature-Input", "Signature"];
        let lines = names.into_iter().zip(own.iter().zip(&self.others));
        let headers = lines.map(|(name, (value, other))| {
            let member = format!("{}={value}", self.label);
            let whole = match other {
                Some(other) => format!("{other}, {member}"),
                None => member,
            };
            (name, whole)
        });
        Finished {
            headers: headers.collect(),
            text,
        }
    }
}

impl Verifying {
    pub(super) fn parse(
        entries: &mut Fields<'_>,
        family: &Item<'_>,
        algorithm: Algorithm,
    ) -> Result<Self, SchemeError> {
        let algorithm = registered(family, algorithm)?;
        let choice = match (entries.maybe("label"), entries.maybe("tag")) {
            (Some(item), None) => Choice::Label(label(&item)?),
            (None, Some(tag)) => Choice::Tag(tag.text()?.to_owned()),
            _ => {
                let message = "expected either label or tag: which of several signatures is meant";
                return Err(family.refuse("MISSING_ENTRY", message));
            }
        };
        let list = entries.take("components")?;
        let components = Listed::list(&list)?;
        if components.iter().all(|listed| listed.optional) {
            let message = "expected a component that is not optional: a signature that covers nothing protects nothing";
            return Err(list.refuse("NOTHING_COVERED", message));
        }
        let mut parameters = Vec::new();
        if let Some(list) = entries.maybe("parameters") {
            for item in list.list()? {
                parameters.push(known(item.text()?, &item)?);
            }
        }
        Ok(Self {
            choice,
            algorithm,
            components,
            parameters,
        })
    }

    pub(super) fn place() -> Expression {
        let source = Source::Header("signature".to_owned());
        Expression::of(VERIFY, "header.Signature", source)
    }

    pub(super) fn covers(&self) -> Vec<Source> {
        let always = self.components.iter().filter(|listed| !listed.optional);
        always.flat_map(Listed::covers).collect()
    }

    pub(super) fn examine(&self, context: Context<'_>) -> Result<Found, EvaluationError> {
        let message = context.message;
        let (label, items, parameters) = self.chosen(message)?;
        let input_error = |why| fault(VERIFY, "header.Signature-Input", why);
        let mut covered: Vec<Component> = Vec::new();
        for item in items {
            let component = Component::read(item).map_err(input_error)?;
            if covered.contains(&component) {
                return Err(fault(VERIFY, &component.identifier(), Fault::Repeated));
            }
            covered.push(component);
        }
        for listed in &self.components {
            let wanted = !listed.optional || listed.is_in(message);
            if wanted && !covered.contains(&listed.component) {
                let rule = listed.component.identifier();
                return Err(fault(VERIFY, &rule, Fault::NotCovered));
            }
        }
        let expires = self.check(&parameters)?;
        let mut text = Text::default();
        let mut named = Vec::new();
        let mut body = false;
        for component in &covered {
            let identifier = component.identifier();
            let listed = self
                .components
                .iter()
                .find(|one| one.component == *component);
            let value = match listed {
                Some(listed) => listed.value(message),
                None => component.value(message, None),
            };
            let value = value.map_err(|why| fault(VERIFY, &identifier, why))?;
            if component.is_content_digest() {
                component::check_content_digest(message)
                    .map_err(|why| fault(VERIFY, &identifier, why))?;
                body = true;
            }
            push_line(
                &mut text,
                VERIFY,
                identifier.clone(),
                component.is_secret(),
                || Ok(value.clone()),
            )?;
            named.push((identifier, value));
        }
        if body {
            named.push(("body".to_owned(), message.body.to_vec()));
        }
        let items = covered.iter().map(Component::item).collect();
        let input = structured::write_member(&Member::Inner(items, parameters.clone()));
        push_parameters(&mut text, VERIFY, &input, false);
        let parameter = |(name, value): (String, Bare)| {
            let value = match value {
                Bare::String(text) => text,
                Bare::Integer(number) => number.to_string(),
                _ => return None,
            };
            Some((source::parameter(&name), value.into_bytes()))
        };
        Ok(Found {
            string: text,
            signature: signature(message, &label)?,
            parameters: parameters.into_iter().filter_map(parameter).collect(),
            covered: named,
            expires,
        })
    }

    /// The label, the components and the parameters of the signature that is meant.
    fn chosen(
        &self,
        message: &Message<'_>,
    ) -> Result<(String, Vec<structured::Item>, Parameters), EvaluationError> {
        let error = |why| fault(VERIFY, "header.Signature-Input", why);
        let value = component::field(message, "signature-input").map_err(error)?;
        let mut found = None;
        for (label, member) in structured::dictionary(&value).map_err(error)? {
            let Member::Inner(items, parameters) = member else {
                let why = "each member is an inner list of components";
                return Err(error(Fault::Family(why)));
            };
            let meant = match &self.choice {
                Choice::Label(wanted) => label == *wanted,
                Choice::Tag(wanted) => {
                    let tag = Bare::String(wanted.clone());
                    parameters
                        .iter()
                        .any(|(name, value)| name == "tag" && *value == tag)
                }
            };
            if meant && found.replace((label, items, parameters)).is_some() {
                return Err(error(Fault::Repeated));
            }
        }
        found.ok_or_else(|| {
            let (what, name) = match &self.choice {
                Choice::Label(label) => ("label", label),
                Choice::Tag(tag) => ("tag", tag),
            };
            let rule = format!("header.Signature-Input: the {what} {name:?}");
            fault(VERIFY, &rule, Fault::Absent)
        })
    }

    /// The types of the parameters, those that must be there, and `alg`.
    fn check(&self, parameters: &Parameters) -> Result<Option<UnixMilliseconds>, EvaluationError> {
        let error = |name: &str, why| fault(VERIFY, &format!("parameter.{name}"), why);
        for name in &self.parameters {
            if !parameters.iter().any(|(other, _)| other == name) {
                return Err(error(name, Fault::NotCovered));
            }
        }
        let mut expires = None;
        for (name, value) in parameters {
            match (name.as_str(), value) {
                ("created", Bare::Integer(0..)) | ("nonce" | "keyid" | "tag", Bare::String(_)) => {}
                ("expires", Bare::Integer(seconds @ 0..)) => {
                    let seconds = u64::try_from(*seconds).unwrap_or_default();
                    expires = Some(UnixMilliseconds(seconds * 1000));
                }
                ("alg", Bare::String(found)) if found == self.algorithm => {}
                ("alg", Bare::String(found)) => {
                    let why = Fault::Algorithm {
                        expected: self.algorithm,
                        found: found.chars().take(64).collect(),
                    };
                    return Err(error("alg", why));
                }
                ("created" | "expires", _) => return Err(error(name, Fault::Time("unix-seconds"))),
                ("nonce" | "keyid" | "tag" | "alg", _) => {
                    return Err(error(name, Fault::Family("expected a string")));
                }
                // Registered later than this was written; it is signed like the others.
                _ => {}
            }
        }
        Ok(expires)
    }
}

fn signature(message: &Message<'_>, label: &str) -> Result<Vec<u8>, EvaluationError> {
    let error = |why| fault(VERIFY, "header.Signature", why);
    let value = component::field(message, "signature").map_err(error)?;
    let members = structured::dictionary(&value).map_err(error)?;
    let member = members.into_iter().find(|(other, _)| other == label);
    match member {
        Some((
            _,
            Member::Item(structured::Item {
                bare: Bare::Bytes(signature),
                ..
            }),
        )) => Ok(signature),
        Some(_) => Err(error(Fault::Encoding("bytes between colons"))),
        None => {
            let rule = format!("header.Signature: the label {label:?}");
            Err(fault(VERIFY, &rule, Fault::Absent))
        }
    }
}

/// RFC 9421 section 2.5: a line for each component.
fn push_line(
    text: &mut Text,
    at: &str,
    identifier: String,
    secret: bool,
    value: impl FnOnce() -> Result<Vec<u8>, Fault>,
) -> Result<(), EvaluationError> {
    let value = value().map_err(|why| fault(at, &identifier, why))?;
    text.push(
        at,
        "identifier",
        format!("{identifier}: ").as_bytes(),
        false,
    );
    text.push(at, &identifier, &value, secret);
    text.push(at, "line end", b"\n", false);
    Ok(())
}

fn push_parameters(text: &mut Text, at: &str, input: &str, secret: bool) {
    text.push(at, "identifier", b"\"@signature-params\": ", false);
    text.push(at, "\"@signature-params\"", input.as_bytes(), secret);
}

fn whole_number(text: &[u8]) -> Result<Bare, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::Utf8)?;
    match text.parse() {
        Ok(number @ 0..1_000_000_000_000_000) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Bare::Integer(number))
        }
        _ => Err(Fault::Time("unix-seconds")),
    }
}

/// The algorithm's name in the registry of RFC 9421 section 6.2.
fn registered(family: &Item<'_>, algorithm: Algorithm) -> Result<&'static str, SchemeError> {
    Ok(match algorithm {
        Algorithm::Hmac(Hash::Sha256) => "hmac-sha256",
        Algorithm::RsaPss(Hash::Sha512) => "rsa-pss-sha512",
        Algorithm::RsaPkcs1(Hash::Sha256) => "rsa-v1_5-sha256",
        Algorithm::Ecdsa(Curve::P256) => "ecdsa-p256-sha256",
        Algorithm::Ecdsa(Curve::P384) => "ecdsa-p384-sha384",
        Algorithm::EdDsa => "ed25519",
        other => {
            let message = format!(
                "RFC 9421 has no {other}; expected a key for HS256, PS512, RS256, ES256, ES384 or EdDSA"
            );
            return Err(family.refuse("WRONG_KEY", message));
        }
    })
}

fn known(name: &str, item: &Item<'_>) -> Result<&'static str, SchemeError> {
    let found = PARAMETERS.into_iter().find(|known| *known == name);
    found.ok_or_else(|| {
        let known = PARAMETERS.join(", ");
        item.refuse(
            "WRONG_VALUE",
            format!("unknown parameter {name:?}; expected one of {known}"),
        )
    })
}

fn label(item: &Item<'_>) -> Result<String, SchemeError> {
    let text = item.text()?;
    let good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
    if text.starts_with(|first: char| first.is_ascii_lowercase() || first == '*')
        && text.len() <= 64
        && text.bytes().all(good)
    {
        return Ok(text.to_owned());
    }
    let message = format!("{text:?} is not a label: expected a-z, then a-z 0-9 _ - . *");
    Err(item.refuse("WRONG_NAME", message))
}

const PARAMETERS: [&str; 6] = ["created", "expires", "nonce", "alg", "keyid", "tag"];
const SIGN: &str = "sign.signature.components";
const VERIFY: &str = "verify.signature.components";
