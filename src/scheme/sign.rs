//! How a message is signed: values are made, the string is put together, and when the token has
//! signed it, results are placed.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    algorithm::Algorithm,
    key::ecdsa,
    scheme::{
        declared::{Declared, Here, KeyUse, own_name},
        document::{Item, SchemeError},
        expression::{self, Expression, Step, Text},
        family,
        fault::{EvaluationError, Fault},
        function::Function,
        message::{Bindings, MAX_BODY, Message},
        place::{self, Placement},
        source::Given,
        time::{Offset, TimeFormat, UnixMilliseconds},
    },
};

/// The `[sign]` of a scheme.
#[derive(Clone, Debug)]
pub(super) struct Sign {
    values: Vec<(String, Value)>,
    prepare: Vec<Placement>,
    pub(super) key: String,
    pub(super) algorithm: Algorithm,
    der: bool,
    string: What,
    encode: Vec<Function>,
    set: Vec<Placement>,
}

/// What is signed: a string that the file spells out, or what a standard says.
#[derive(Clone, Debug)]
enum What {
    String(Expression),
    Family(Box<family::Signing>),
}

#[derive(Clone, Debug)]
enum Value {
    Now {
        format: TimeFormat,
        offset: Offset,
        /// How far in the future, in milliseconds.
        later: u64,
    },
    Uuid,
    Random {
        length: usize,
        alphabet: Alphabet,
    },
    Expression(Expression),
}

type Values = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Copy, Debug)]
struct Alphabet(&'static [u8]);

/// A message that is ready to be signed: what to sign, and with what.
pub struct Draft<'a> {
    sign: &'a Sign,
    message: Message<'a>,
    bindings: &'a Bindings,
    values: BTreeMap<String, Vec<u8>>,
    headers: Vec<(String, String)>,
    string: Text,
    family: Option<family::Prepared>,
}

/// What has to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    /// Headers to set, in their order, in place of any of the same names.
    pub headers: Vec<(String, String)>,
    /// The query; `None` if there is none.
    pub query: Option<String>,
    /// The exact body.
    pub body: Vec<u8>,
    /// Times, nonces and other values of the scheme, by their names.
    pub values: BTreeMap<String, Vec<u8>>,
    /// The signature as the scheme encodes it.
    pub signature: Vec<u8>,
}

impl Sign {
    pub(super) fn parse(item: &Item<'_>, declared: &Declared) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let mut here = Here::default();
        let mut values = Vec::new();
        if let Some(table) = entries.maybe("values") {
            for (name, item) in table.fields()?.rest() {
                let name = own_name(name, &item)?;
                let value = Value::parse(&item, declared, &here)?;
                let secret = matches!(&value, Value::Expression(one) if one.is_secret());
                here.values.insert(name.clone(), secret);
                values.push((name, value));
            }
        }
        let prepare = Placement::list(entries.maybe("prepare"), declared, &here)?;
        let mut signature = entries.take("signature")?.fields()?;
        let key = signature.take("key")?;
        let role = declared.role(&key, KeyUse::Sign)?;
        let string = Here {
            string: true,
            ..here.clone()
        };
        let string = match family::Signing::parse(&mut signature, role.algorithm, declared, &here)?
        {
            Some(family) => What::Family(Box::new(family)),
            None => What::String(Expression::parse(
                &signature.take("string")?,
                &declared.at(&string),
            )?),
        };
        let (encode, _) = expression::pipeline(signature.maybe("encode"), String::new())?;
        let der = is_der(signature.maybe("ecdsa"), role.algorithm)?;
        signature.end()?;
        here.signature = true;
        let sign = Self {
            values,
            prepare,
            key: key.text()?.to_owned(),
            algorithm: role.algorithm,
            der,
            encode,
            set: match &string {
                What::Family(family) if family.places_itself() => {
                    Placement::list(entries.maybe("set"), declared, &here)?
                }
                _ => Placement::list(Some(entries.take("set")?), declared, &here)?,
            },
            string,
        };
        entries.end()?;
        Ok(sign)
    }

    /// What is done to the bytes of a signature, in order.
    pub(super) fn encode_names(&self) -> Vec<&str> {
        self.encode.iter().map(|one| one.shown.as_str()).collect()
    }

    /// The signature's bytes in the text that a family makes of them; `None` if there is no family.
    pub(super) fn family_signature(&self, text: &[u8]) -> Option<Result<Vec<u8>, Fault>> {
        match &self.string {
            What::String(_) => None,
            What::Family(family) => Some(family.signature(text)),
        }
    }

    fn error(&self, fault: Fault) -> EvaluationError {
        match &self.string {
            What::String(string) => string.error(fault),
            What::Family(family) => EvaluationError {
                at: "sign.signature".to_owned(),
                rule: family.name().to_owned(),
                fault,
            },
        }
    }

    pub(super) fn draft<'a>(
        &'a self,
        message: &'a Message<'a>,
        bindings: &'a Bindings,
        now: UnixMilliseconds,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Draft<'a>, EvaluationError> {
        fn given<'c>(bindings: &'c Bindings, values: &'c Values) -> Given<'c> {
            Given {
                bindings,
                values,
                signature: None,
            }
        }
        check_body(message)?;
        let mut values = BTreeMap::new();
        for (name, value) in &self.values {
            let made = match (value, bindings.values.get(name)) {
                (Value::Expression(expression), _) => {
                    expression.bytes(given(bindings, &values).with(message))?
                }
                (Value::Now { .. } | Value::Uuid | Value::Random { .. }, Some(given)) => {
                    given.clone()
                }
                (
                    Value::Now {
                        format,
                        offset,
                        later,
                    },
                    None,
                ) => {
                    let time = UnixMilliseconds(now.0.saturating_add(*later));
                    format.write(time, *offset).into_bytes()
                }
                (Value::Uuid, None) => {
                    let mut bytes = [0; 16];
                    random(&mut bytes);
                    let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
                    uuid.to_string().into_bytes()
                }
                (Value::Random { length, alphabet }, None) => alphabet.text(*length, random),
            };
            values.insert(name.clone(), made);
        }
        let mut message = message.borrowed();
        let mut headers = Vec::new();
        for placement in &self.prepare {
            placement.apply(&mut message, &mut headers, given(bindings, &values))?;
        }
        let context = given(bindings, &values).with(&message);
        let (string, family) = match &self.string {
            What::String(string) => (string.evaluate(context)?, None),
            What::Family(family) => {
                let (string, prepared) = family.prepare(context)?;
                (string, Some(prepared))
            }
        };
        Ok(Draft {
            sign: self,
            message,
            bindings,
            values,
            headers,
            string,
            family,
        })
    }
}

impl Draft<'_> {
    /// The role of the key that is to sign.
    pub fn key_role(&self) -> &str {
        &self.sign.key
    }

    /// The algorithm to sign with.
    pub const fn algorithm(&self) -> Algorithm {
        self.sign.algorithm
    }

    /// What is to be signed.
    pub const fn string_to_sign(&self) -> &Text {
        &self.string
    }

    /// A value of the scheme, such as its timestamp.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.values.get(name).map(Vec::as_slice)
    }

    /// Every value, then every segment of the string, with its bytes and the rule that made them.
    pub fn explain(&self) -> Vec<Step> {
        let value = |(name, value): &(String, Value)| Step {
            at: format!("sign.values.{name}"),
            rule: value.rule(),
            bytes: match value {
                Value::Expression(expression) if expression.is_secret() => None,
                _ => self.values.get(name).cloned(),
            },
        };
        let mut steps: Vec<_> = self.sign.values.iter().map(value).collect();
        steps.extend(self.string.steps());
        steps.extend(self.family.iter().flat_map(family::Prepared::notes));
        steps
    }

    /// Places the signature, which for ECDSA is r||s.
    ///
    /// # Errors
    ///
    /// If a result can't be placed.
    pub fn finish(&self, signature: &[u8]) -> Result<Signed, EvaluationError> {
        let sign = self.sign;
        let mut message = self.message.borrowed();
        let mut headers = self.headers.clone();
        let error = |fault| sign.error(fault);
        let signature = match sign.algorithm {
            Algorithm::Ecdsa(curve) if sign.der => ecdsa::raw_to_der(curve, signature)
                .ok_or_else(|| error(Fault::Signature(signature.len())))?,
            _ => signature.to_vec(),
        };
        let encoded = match &self.family {
            None => expression::apply(&sign.encode, Cow::Owned(signature)).map_err(error)?,
            Some(family) => {
                let finished = family.finish(signature).map_err(error)?;
                for (name, value) in finished.headers {
                    place::set_header(&mut message, &mut headers, name, value.into_bytes())
                        .map_err(error)?;
                }
                Cow::Owned(finished.text)
            }
        };
        for placement in &sign.set {
            placement.apply(
                &mut message,
                &mut headers,
                Given {
                    bindings: self.bindings,
                    values: &self.values,
                    signature: Some(&encoded),
                },
            )?;
        }
        Ok(Signed {
            headers,
            query: message.query.map(Cow::into_owned),
            body: message.body.into_owned(),
            values: self.values.clone(),
            signature: encoded.into_owned(),
        })
    }
}

impl Value {
    fn parse(item: &Item<'_>, declared: &Declared, here: &Here) -> Result<Self, SchemeError> {
        if !item.is_table() {
            return Expression::parse(item, &declared.at(here)).map(Self::Expression);
        }
        let mut entries = item.fields()?;
        if let Some(now) = entries.maybe("now") {
            let format = time_format(&now)?;
            let offset = time_offset(entries.maybe("offset"), format)?;
            let later = entries.maybe("plus_seconds");
            let later = later.map_or(Ok(0), |item| item.number(1..86_401))? * 1000;
            entries.end()?;
            Ok(Self::Now {
                format,
                offset,
                later,
            })
        } else if let Some(uuid) = entries.maybe("uuid") {
            entries.end()?;
            match uuid.boolean()? {
                true => Ok(Self::Uuid),
                false => Err(uuid.refuse("WRONG_VALUE", "expected true")),
            }
        } else if let Some(length) = entries.maybe("random") {
            let alphabet = entries.take("alphabet")?;
            entries.end()?;
            let alphabet = match alphabet.text()? {
                "hex" => Alphabet(b"0123456789abcdef"),
                "decimal" => Alphabet(b"0123456789"),
                "alphanumeric" => {
                    Alphabet(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
                }
                other => {
                    let message = format!("expected hex, decimal or alphanumeric, found {other:?}");
                    return Err(alphabet.refuse("WRONG_VALUE", message));
                }
            };
            let length = usize::try_from(length.number(8..257)?).unwrap_or(8);
            Ok(Self::Random { length, alphabet })
        } else {
            Expression::parse(item, &declared.at(here)).map(Self::Expression)
        }
    }

    fn rule(&self) -> String {
        match self {
            Self::Now { format, .. } => format!("now as {}", format.name()),
            Self::Uuid => "a random UUID".to_owned(),
            Self::Random { length, .. } => format!("{length} random characters"),
            Self::Expression(expression) => expression.rule(),
        }
    }
}

impl Alphabet {
    fn text(self, length: usize, random: &mut dyn FnMut(&mut [u8])) -> Vec<u8> {
        let mut character = || {
            let mut bytes = [0; 8];
            random(&mut bytes);
            // Of 64 bits, what is left of dividing by at most 62 is even enough.
            let index = u64::from_le_bytes(bytes) % self.0.len() as u64;
            self.0[usize::try_from(index).unwrap_or(0)]
        };
        (0..length).map(|_| character()).collect()
    }
}

/// Bodies are bounded before anything reads them.
pub(super) fn check_body(message: &Message<'_>) -> Result<(), EvaluationError> {
    let lengths = [
        ("body", message.body.len()),
        (
            "decrypted",
            message.decrypted.as_deref().map_or(0, <[u8]>::len),
        ),
    ];
    for (what, length) in lengths {
        if length > MAX_BODY {
            return Err(EvaluationError {
                at: "message".to_owned(),
                rule: what.to_owned(),
                fault: Fault::TooLong(MAX_BODY),
            });
        }
    }
    Ok(())
}

pub(super) fn is_der(item: Option<Item<'_>>, algorithm: Algorithm) -> Result<bool, SchemeError> {
    let ecdsa = matches!(algorithm, Algorithm::Ecdsa(_));
    match (item, ecdsa) {
        (None, _) => Ok(false),
        (Some(item), true) => match item.text()? {
            "raw" => Ok(false),
            "der" => Ok(true),
            other => Err(item.refuse(
                "WRONG_VALUE",
                format!("expected raw or der, found {other:?}"),
            )),
        },
        (Some(item), false) => {
            Err(item.refuse("WRONG_KEY", format!("the key's algorithm is {algorithm}")))
        }
    }
}

pub(super) fn time_format(item: &Item<'_>) -> Result<TimeFormat, SchemeError> {
    let text = item.text()?;
    let found = TimeFormat::ALL.into_iter().find(|one| one.name() == text);
    found.ok_or_else(|| {
        let names = TimeFormat::ALL.map(TimeFormat::name).join(", ");
        item.refuse(
            "WRONG_VALUE",
            format!("expected one of {names}; found {text:?}"),
        )
    })
}

pub(super) fn time_offset(
    item: Option<Item<'_>>,
    format: TimeFormat,
) -> Result<Offset, SchemeError> {
    let Some(item) = item else {
        return Ok(Offset::UTC);
    };
    let text = item.text()?;
    if !format.takes_offset() {
        let message = format!("{} has no offset", format.name());
        return Err(item.refuse("WRONG_VALUE", message));
    }
    Offset::parse(text).ok_or_else(|| {
        let message = format!("expected Z, or an offset such as +07:00; found {text:?}");
        item.refuse("WRONG_VALUE", message)
    })
}
