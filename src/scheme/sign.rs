//! How a message is signed: values are made, what has to be is encrypted, the string is put together,
//! and when the token has signed it, results are placed.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    algorithm::Algorithm,
    key::ecdsa,
    scheme::{
        act::{self, Act},
        declared::{Declared, Here, KeyUse},
        document::{Item, SchemeError},
        expression::{self, Expression},
        family,
        fault::{EvaluationError, Fault},
        function::Function,
        message::{Bindings, MAX_BODY, Message},
        place::{self, Placement},
        sealing::{Encrypt, Sealing},
        source::{Given, Made},
        text::{Step, Text},
        time::UnixMilliseconds,
        values::{self, Values},
    },
};

/// The `[sign]` of a scheme.
#[derive(Clone, Debug)]
pub(super) struct Sign {
    pub(super) acts: Vec<Act>,
    values: Values,
    prepare: Vec<Placement>,
    pub(super) encrypt: Option<Encrypt>,
    /// None in a scheme that only encrypts.
    pub(super) signature: Option<Signature>,
    set: Vec<Placement>,
}

/// The `[sign.signature]` of a scheme.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) key: String,
    pub(super) algorithm: Algorithm,
    pub(super) der: bool,
    what: What,
    encode: Vec<Function>,
}

/// What is signed: a string that the file spells out, or what a standard says.
#[derive(Clone, Debug)]
enum What {
    String(Expression),
    Family(Box<family::Signing>),
}

/// A message whose values are made.
pub struct Prepared<'a> {
    sign: &'a Sign,
    message: Message<'a>,
    bindings: &'a Bindings,
    values: values::Made,
    headers: Vec<(String, String)>,
    sealing: Option<Sealing>,
}

/// A message that is ready to be signed: what to sign, and with what.
pub struct Draft<'a> {
    prepared: Prepared<'a>,
    /// The JWE, and the body that it goes out in.
    encrypted: Option<(Vec<u8>, Vec<u8>)>,
    string: Option<Text>,
    family: Option<family::Prepared>,
}

/// What has to be signed.
#[derive(Clone, Copy)]
pub struct Signing<'d> {
    /// The role of the key.
    pub key_role: &'d str,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The bytes.
    pub string: &'d Text,
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
    /// The signature as the scheme encodes it; empty if the scheme signs nothing.
    pub signature: Vec<u8>,
}

impl Sign {
    pub(super) fn parse(item: &Item<'_>, declared: &Declared) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let acts = act::messages(
            entries.maybe("messages"),
            [
                ("request", Act::SignRequest),
                ("response", Act::SignResponse),
            ],
        )?;
        let mut here = Here::default();
        let values = Values::parse(entries.maybe("values"), declared, &mut here)?;
        let prepare = Placement::list(entries.maybe("prepare"), declared, &here)?;
        let encrypt = entries.maybe("encrypt");
        let encrypt = encrypt
            .map(|item| Encrypt::parse(&item, declared, &here))
            .transpose()?;
        here.encrypted = encrypt.is_some();
        let signature = match entries.maybe("signature") {
            Some(item) => Some(Signature::parse(&item, declared, &here)?),
            None if encrypt.is_some() => None,
            None => entries.take("signature").map(|_| None)?,
        };
        here.signature = signature.is_some();
        let set = match entries.maybe("set") {
            None if signature.as_ref().is_some_and(Signature::needs_a_place) => {
                Some(entries.take("set")?)
            }
            set => set,
        };
        let set = Placement::list(set, declared, &here)?;
        entries.end()?;
        Ok(Self {
            acts,
            values,
            prepare,
            encrypt,
            signature,
            set,
        })
    }

    pub(super) const fn values(&self) -> &Values {
        &self.values
    }

    pub(super) fn prepare<'a>(
        &'a self,
        message: &'a Message<'a>,
        bindings: &'a Bindings,
        now: UnixMilliseconds,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Prepared<'a>, EvaluationError> {
        check_body(message)?;
        let values = self.values.make(message, bindings, now, random)?;
        let mut message = message.borrowed();
        let mut headers = Vec::new();
        let given = Given::new(bindings, &values);
        for placement in &self.prepare {
            placement.apply(&mut message, &mut headers, given)?;
        }
        let encrypt = self.encrypt.as_ref();
        let sealing = encrypt.map(|encrypt| encrypt.order(given.with(&message)));
        let sealing = sealing.transpose()?;
        Ok(Prepared {
            sign: self,
            message,
            bindings,
            values,
            headers,
            sealing,
        })
    }
}

impl Signature {
    fn parse(item: &Item<'_>, declared: &Declared, here: &Here) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let key = entries.take("key")?;
        let role = declared.role(&key, KeyUse::Sign)?;
        let what = match family::Signing::parse(&mut entries, role.algorithm, declared, here)? {
            Some(family) => What::Family(Box::new(family)),
            None => {
                let here = Here {
                    string: true,
                    ..here.clone()
                };
                let string = entries.take("string")?;
                What::String(Expression::parse(&string, &declared.at(&here))?)
            }
        };
        if let What::Family(_) = what {
            entries.end()?;
            return Ok(Self {
                key: key.text()?.to_owned(),
                algorithm: role.algorithm,
                der: false,
                what,
                encode: Vec::new(),
            });
        }
        let (encode, _) = expression::pipeline(entries.maybe("encode"), String::new())?;
        let der = is_der(entries.maybe("ecdsa"), role.algorithm)?;
        entries.end()?;
        Ok(Self {
            key: key.text()?.to_owned(),
            algorithm: role.algorithm,
            der,
            what,
            encode,
        })
    }

    /// What is done to the bytes of a signature, in order.
    pub(super) fn encode_names(&self) -> Vec<&str> {
        self.encode.iter().map(|one| one.shown.as_str()).collect()
    }

    /// The signature's bytes in the text that a family makes of them; `None` if there is no family.
    pub(super) fn family_signature(&self, text: &[u8]) -> Option<Result<Vec<u8>, Fault>> {
        match &self.what {
            What::String(_) => None,
            What::Family(family) => Some(family.signature(text)),
        }
    }

    /// Whether the file has to say where the signature goes.
    fn needs_a_place(&self) -> bool {
        !matches!(&self.what, What::Family(family) if family.places_itself())
    }

    fn error(&self, fault: Fault) -> EvaluationError {
        match &self.what {
            What::String(string) => string.error(fault),
            What::Family(family) => EvaluationError {
                at: "sign.signature".to_owned(),
                rule: family.name().to_owned(),
                fault,
            },
        }
    }

    fn encoded(&self, raw: &[u8]) -> Result<Vec<u8>, EvaluationError> {
        let error = |fault| self.error(fault);
        let signature = match self.algorithm {
            Algorithm::Ecdsa(curve) if self.der => {
                ecdsa::raw_to_der(curve, raw).ok_or_else(|| error(Fault::Signature(raw.len())))?
            }
            _ => raw.to_vec(),
        };
        let encoded = expression::apply(&self.encode, Cow::Owned(signature));
        encoded.map(Cow::into_owned).map_err(error)
    }
}

impl<'a> Prepared<'a> {
    /// What has to be encrypted before the message can be drafted.
    pub const fn sealing(&self) -> Option<&Sealing> {
        self.sealing.as_ref()
    }

    /// A value of the scheme, such as its timestamp.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.values.get(name).map(Vec::as_slice)
    }

    /// Puts together what is to be signed. The JWE is what became of [`Prepared::sealing`], in compact
    /// serialization.
    ///
    /// # Errors
    ///
    /// If something that the string needs is not there or not as it should be, or there should be a JWE
    /// and is none, or the other way round.
    pub fn draft(self, jwe: Option<&str>) -> Result<Draft<'a>, EvaluationError> {
        let given = Given::new(self.bindings, &self.values);
        let encrypted = match (&self.sign.encrypt, jwe) {
            (None, None) => None,
            (Some(encrypt), Some(jwe)) => {
                let jwe = jwe.as_bytes();
                let compact = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
                if jwe.is_empty() || !jwe.iter().all(compact) {
                    let expected = "a JWE in compact serialization";
                    return Err(misuse(Fault::Ciphertext(expected)));
                }
                let given = Given {
                    made: Made {
                        encrypted: Some((jwe, &[])),
                        ..Made::default()
                    },
                    ..given
                };
                let body = encrypt.body(jwe, given.with(&self.message))?;
                Some((jwe.to_vec(), body))
            }
            (Some(_), None) | (None, Some(_)) => return Err(misuse(Fault::NotEncrypted)),
        };
        let (string, family) = match &self.sign.signature {
            None => (None, None),
            Some(signature) => {
                let given = Given {
                    made: made(&encrypted, None),
                    ..given
                };
                let context = given.with(&self.message);
                match &signature.what {
                    What::String(string) => (Some(string.evaluate(context)?), None),
                    What::Family(family) => {
                        let (string, prepared) = family.prepare(context)?;
                        (Some(string), Some(prepared))
                    }
                }
            }
        };
        Ok(Draft {
            prepared: self,
            encrypted,
            string,
            family,
        })
    }
}

impl Draft<'_> {
    /// What is to be signed; `None` in a scheme that only encrypts.
    pub fn signing(&self) -> Option<Signing<'_>> {
        let signature = self.prepared.sign.signature.as_ref()?;
        Some(Signing {
            key_role: &signature.key,
            algorithm: signature.algorithm,
            string: self.string.as_ref()?,
        })
    }

    /// A value of the scheme, such as its timestamp.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.prepared.value(name)
    }

    /// Every value, the header of what is encrypted, then every segment of the string, with its bytes and
    /// the rule that made them.
    pub fn explain(&self) -> Vec<Step> {
        let prepared = &self.prepared;
        let mut steps = prepared.sign.values.steps(&prepared.values);
        steps.extend(prepared.sealing.as_ref().map(|sealing| Step {
            at: "sign.encrypt.header".to_owned(),
            rule: format!(
                "a JWE of {} bytes by {} and {} to {}",
                sealing.plaintext.len(),
                sealing.algorithm,
                sealing.content_encryption,
                sealing.key_role
            ),
            bytes: Some(sealing.header.clone().into_bytes()),
        }));
        steps.extend(self.string.iter().flat_map(Text::steps));
        steps.extend(self.family.iter().flat_map(family::Prepared::notes));
        steps
    }

    /// Places the signature, which for ECDSA is r||s, and which is empty if there is nothing to sign.
    ///
    /// # Errors
    ///
    /// If a result can't be placed.
    pub fn finish(&self, signature: &[u8]) -> Result<Signed, EvaluationError> {
        let prepared = &self.prepared;
        let mut message = prepared.message.borrowed();
        if let Some((_, body)) = &self.encrypted {
            message.body = Cow::Borrowed(body);
        }
        let mut headers = prepared.headers.clone();
        let encoded = match (&prepared.sign.signature, &self.family) {
            (Some(rule), Some(family)) => {
                let finished = family.finish(signature);
                for (name, value) in finished.headers {
                    place::set_header(&mut message, &mut headers, name, value.into_bytes())
                        .map_err(|fault| rule.error(fault))?;
                }
                finished.text
            }
            (Some(rule), None) => rule.encoded(signature)?,
            (None, _) if signature.is_empty() => Vec::new(),
            (None, _) => return Err(misuse(Fault::Signature(signature.len()))),
        };
        for placement in &prepared.sign.set {
            let given = Given {
                made: made(&self.encrypted, Some(&encoded)),
                ..Given::new(prepared.bindings, &prepared.values)
            };
            placement.apply(&mut message, &mut headers, given)?;
        }
        Ok(Signed {
            headers,
            query: message.query.map(Cow::into_owned),
            body: message.body.into_owned(),
            values: prepared.values.clone(),
            signature: encoded,
        })
    }
}

fn made<'c>(encrypted: &'c Option<(Vec<u8>, Vec<u8>)>, signature: Option<&'c [u8]>) -> Made<'c> {
    Made {
        signature,
        encrypted: encrypted
            .as_ref()
            .map(|(jwe, body)| (jwe.as_slice(), body.as_slice())),
        opened: None,
    }
}

/// What the caller gave does not go with what was asked for.
fn misuse(fault: Fault) -> EvaluationError {
    EvaluationError {
        at: "sign".to_owned(),
        rule: "what the keys made".to_owned(),
        fault,
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
