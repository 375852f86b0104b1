//! A message that came, taken apart by its scheme: signatures and strings; and the verdict, when it is
//! known which of them go together.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    algorithm::Algorithm,
    scheme::{
        expression::{self, Expression, Step, Text},
        fault::{EvaluationError, Fault},
        fields,
        message::{Bindings, Message},
        sign::check_body,
        source::Given,
        time::UnixMilliseconds,
        verify::{Acknowledgement, Verify},
    },
};

/// What has to be decrypted before a message can be examined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The role of the key that opens it.
    pub key_role: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// A JWE.
    pub jwe: Vec<u8>,
}

/// A message taken apart: which signatures it has, over which strings.
pub struct Examination<'a> {
    verify: &'a Verify,
    message: &'a Message<'a>,
    bindings: &'a Bindings,
    values: BTreeMap<String, Vec<u8>>,
    strings: Vec<Text>,
    signatures: Vec<Vec<u8>>,
    time: Option<UnixMilliseconds>,
    /// When the message says that it ends.
    expires: Option<UnixMilliseconds>,
    /// What a family found covered.
    covered: Vec<(String, Vec<u8>)>,
    echoes: bool,
}

/// A signature and what it may be over; the message is authentic if one of them is right.
#[derive(Clone, Copy)]
pub struct Candidate<'e> {
    /// The form of the string, 0 being the usual one.
    pub form: usize,
    /// The string.
    pub string: &'e Text,
    /// The signature, decoded.
    pub signature: &'e [u8],
}

/// Which candidate was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    form: usize,
    signature: usize,
}

/// What has become of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub outcome: Outcome,
    /// Which form of the string was signed, 0 being the usual one.
    pub form: Option<usize>,
    /// What the signature covers, under its names in the scheme; nothing unless all is well.
    pub authenticated: Vec<(String, Vec<u8>)>,
    /// What tells the message from every other; whoever decides about duplicates remembers it.
    pub replay_id: Option<Vec<u8>>,
    /// Which attacks the scheme is proof against.
    pub protections: Protections,
    /// What to answer; nothing unless all is well.
    pub acknowledgement: Option<Acknowledgement>,
}

/// The decision about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Authentic, in time, and an answer to what was asked.
    Valid,
    /// No signature is right.
    Invalid,
    /// Authentic, but too old.
    Stale,
    /// Authentic, but from too far in the future.
    Future,
    /// Authentic, but the answer to another request.
    OtherRequest,
}

/// Which attacks a scheme is proof against, besides forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protections {
    /// Messages are refused when older, or younger, than so many seconds.
    pub window_seconds: Option<(u64, u64)>,
    /// Messages can be told from one another.
    pub replay: bool,
    /// Answers name their requests.
    pub echo: bool,
}

impl Verify {
    pub(super) fn sealed(
        &self,
        message: &Message<'_>,
        bindings: &Bindings,
    ) -> Result<Option<Sealed>, EvaluationError> {
        check_body(message)?;
        let Some(decrypt) = &self.decrypt else {
            return Ok(None);
        };
        let given = Given {
            bindings,
            values: &BTreeMap::new(),
            signature: None,
        };
        Ok(Some(Sealed {
            key_role: decrypt.key.clone(),
            algorithm: decrypt.algorithm,
            jwe: decrypt.jwe.bytes(given.with(message))?,
        }))
    }

    pub(super) fn examine<'a>(
        &'a self,
        message: &'a Message<'a>,
        bindings: &'a Bindings,
    ) -> Result<Examination<'a>, EvaluationError> {
        check_body(message)?;
        let mut values = BTreeMap::new();
        for (name, expression) in &self.values {
            let given = given(bindings, &values);
            let value = expression.bytes(given.with(message))?;
            values.insert(name.clone(), value);
        }
        let context = given(bindings, &values).with(message);
        let (mut expires, mut covered) = (None, Vec::new());
        let (signatures, strings) = match &self.family {
            None => {
                let signatures = self.signatures(&self.from.bytes(context)?)?;
                let strings = self.forms.iter().map(|form| form.evaluate(context));
                (signatures, strings.collect::<Result<Vec<_>, _>>()?)
            }
            Some(family) => {
                let found = family.examine(context)?;
                values.extend(found.parameters);
                (expires, covered) = (found.expires, found.covered);
                (vec![found.signature], vec![found.string])
            }
        };
        let context = given(bindings, &values).with(message);
        let time = match &self.time {
            None => None,
            Some(time) => {
                let text = time.from.bytes(context)?;
                let read = time.format.read(&text, time.offset);
                let fault = Fault::Time(time.format.name());
                Some(read.ok_or_else(|| time.from.error(fault))?)
            }
        };
        let echoes = match &self.echo {
            None => true,
            Some((from, equals)) => {
                let wanted = equals.bytes(context).map_err(|fault| from.error(fault))?;
                let wanted = wanted.ok_or_else(|| from.error(Fault::Absent))?;
                from.bytes(context)? == *wanted
            }
        };
        Ok(Examination {
            verify: self,
            message,
            bindings,
            strings,
            signatures,
            time,
            expires,
            covered,
            echoes,
            values,
        })
    }

    fn signatures(&self, text: &[u8]) -> Result<Vec<Vec<u8>>, EvaluationError> {
        let error = |fault| self.from.error(fault);
        let decode =
            |text: &[u8]| expression::apply(&self.decode, Cow::Borrowed(text)).map(Cow::into_owned);
        let Some(each) = &self.each else {
            return Ok(vec![decode(text).map_err(error)?]);
        };
        let parts = fields::split(text, &each.split);
        let wanted: Vec<_> = parts
            .filter_map(|part| part.trim_ascii().strip_prefix(each.strip_prefix.as_bytes()))
            .take(MAX_SIGNATURES + 1)
            .collect();
        if wanted.len() > MAX_SIGNATURES {
            return Err(error(Fault::TooMany(MAX_SIGNATURES)));
        }
        // One that can't be read is one that does not match; but if none can be, that is said.
        let mut last = Fault::Absent;
        let mut found = Vec::new();
        for part in wanted {
            match decode(part) {
                Ok(signature) => found.push(signature),
                Err(fault) => last = fault,
            }
        }
        if found.is_empty() {
            return Err(error(last));
        }
        Ok(found)
    }
}

impl Examination<'_> {
    /// The role of the key that verifies.
    pub fn key_role(&self) -> &str {
        &self.verify.key
    }

    /// The algorithm to verify with.
    pub const fn algorithm(&self) -> Algorithm {
        self.verify.algorithm
    }

    /// Whether an ECDSA signature is DER, and not r||s.
    pub const fn is_der(&self) -> bool {
        self.verify.der
    }

    /// Signatures and strings, in the order in which they are to be tried; at most 40.
    pub fn candidates(&self) -> impl Iterator<Item = (Match, Candidate<'_>)> {
        self.strings.iter().enumerate().flat_map(|(form, string)| {
            self.signatures
                .iter()
                .enumerate()
                .map(move |(index, signature)| {
                    let candidate = Candidate {
                        form,
                        string,
                        signature,
                    };
                    (
                        Match {
                            form,
                            signature: index,
                        },
                        candidate,
                    )
                })
        })
    }

    /// The verdict, when it is known which candidate is right, if any.
    ///
    /// # Errors
    ///
    /// If what the scheme calls authentic, or tells messages apart by, is not in the message.
    pub fn conclude(
        &self,
        right: Option<Match>,
        now: UnixMilliseconds,
    ) -> Result<Verdict, EvaluationError> {
        let verify = self.verify;
        let outcome = match (right, &verify.time, self.time) {
            (None, _, _) => Outcome::Invalid,
            (Some(_), _, _) if self.expires.is_some_and(|end| end <= now) => Outcome::Stale,
            (Some(_), Some(rule), Some(time)) if now.0.saturating_sub(time.0) > rule.past => {
                Outcome::Stale
            }
            (Some(_), Some(rule), Some(time)) if time.0.saturating_sub(now.0) > rule.future => {
                Outcome::Future
            }
            (Some(_), _, _) if !self.echoes => Outcome::OtherRequest,
            (Some(_), _, _) => Outcome::Valid,
        };
        let mut verdict = Verdict {
            outcome,
            form: right.map(|right| right.form),
            authenticated: Vec::new(),
            replay_id: None,
            protections: Protections {
                window_seconds: verify
                    .time
                    .as_ref()
                    .map(|rule| (rule.past / 1000, rule.future / 1000)),
                replay: verify.replay.is_some(),
                echo: verify.echo.is_some(),
            },
            acknowledgement: None,
        };
        let (Some(right), Outcome::Valid) = (right, outcome) else {
            return Ok(verdict);
        };
        let context = Given {
            signature: self.signatures.get(right.signature).map(Vec::as_slice),
            ..given(self.bindings, &self.values)
        }
        .with(self.message);
        verdict.authenticated.clone_from(&self.covered);
        for (name, source) in &verify.authenticated {
            let error = |fault| EvaluationError {
                at: "verify.authenticated".to_owned(),
                rule: name.clone(),
                fault,
            };
            // What is not in the message is not in the result.
            if let Some(bytes) = source.bytes(context).map_err(error)? {
                verdict
                    .authenticated
                    .push((name.clone(), bytes.into_owned()));
            }
        }
        let replay = verify.replay.as_ref();
        verdict.replay_id = replay.map(|from| from.bytes(context)).transpose()?;
        verdict.acknowledgement = verify.acknowledgement.clone();
        Ok(verdict)
    }

    /// Every value, then every segment of each form of the string.
    pub fn explain(&self) -> Vec<Step> {
        let value = |(name, expression): &(String, Expression)| Step {
            at: format!("verify.values.{name}"),
            rule: expression.rule(),
            bytes: match expression.is_secret() {
                true => None,
                false => self.values.get(name).cloned(),
            },
        };
        let mut steps: Vec<_> = self.verify.values.iter().map(value).collect();
        steps.extend(self.strings.iter().flat_map(Text::steps));
        steps
    }
}

const fn given<'c>(bindings: &'c Bindings, values: &'c BTreeMap<String, Vec<u8>>) -> Given<'c> {
    Given {
        bindings,
        values,
        signature: None,
    }
}

/// Signatures of one message, any of which may be right.
const MAX_SIGNATURES: usize = 8;
