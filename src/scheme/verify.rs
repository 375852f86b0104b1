//! How a message that came is verified: signatures and strings are taken from it, and once it is known
//! which of them go together, a verdict is given.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    algorithm::Algorithm,
    scheme::{
        declared::{Declared, Here, KeyUse, own_name},
        document::{Item, SchemeError},
        expression::{self, Expression, Step, Text},
        fault::{EvaluationError, Fault},
        fields,
        function::Function,
        message::{Bindings, Message},
        sign::{check_body, is_der, time_format, time_offset},
        source::{Given, Source},
        time::{Offset, TimeFormat, UnixMilliseconds},
    },
};

/// The `[verify]` of a scheme.
#[derive(Clone, Debug)]
pub(super) struct Verify {
    values: Vec<(String, Expression)>,
    decrypt: Option<Decrypt>,
    pub(super) key: String,
    pub(super) algorithm: Algorithm,
    der: bool,
    from: Expression,
    each: Option<Each>,
    pub(super) decode: Vec<Function>,
    /// The string, then its further forms.
    pub(super) forms: Vec<Expression>,
    time: Option<Time>,
    replay: Option<Expression>,
    echo: Option<(Expression, Source)>,
    acknowledgement: Option<Acknowledgement>,
    authenticated: Vec<(String, Source)>,
}

#[derive(Clone, Debug)]
struct Decrypt {
    key: String,
    algorithm: Algorithm,
    jwe: Expression,
}

/// Several signatures in one text.
#[derive(Clone, Debug)]
struct Each {
    split: String,
    strip_prefix: String,
}

#[derive(Clone, Debug)]
struct Time {
    from: Expression,
    format: TimeFormat,
    offset: Offset,
    past: u64,
    future: u64,
}

/// What to answer the platform with when all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The body's media type.
    pub content_type: Option<String>,
}

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
    pub(super) fn parse(item: &Item<'_>, declared: &Declared) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let mut here = Here::default();
        let decrypt = entries.maybe("decrypt");
        let decrypt = decrypt
            .map(|item| Decrypt::parse(&item, declared))
            .transpose()?;
        here.decrypted = decrypt.is_some();
        let mut values = Vec::new();
        if let Some(table) = entries.maybe("values") {
            for (name, item) in table.fields()?.rest() {
                let name = own_name(name, &item)?;
                let value = Expression::parse(&item, &declared.at(&here))?;
                here.values.insert(name.clone(), value.is_secret());
                values.push((name, value));
            }
        }
        let mut signature = entries.take("signature")?.fields()?;
        let key = signature.take("key")?;
        let role = declared.role(&key, KeyUse::Verify)?;
        let from = Expression::parse(&signature.take("from")?, &declared.at(&here))?;
        let each = signature.maybe("each");
        let each = each.map(|item| Each::parse(&item)).transpose()?;
        let (decode, _) = expression::pipeline(signature.maybe("decode"), String::new())?;
        let der = is_der(signature.maybe("ecdsa"), role.algorithm)?;
        let string = Here {
            string: true,
            ..here.clone()
        };
        let parse = |item: &Item<'_>| Expression::parse(item, &declared.at(&string));
        let mut forms = vec![parse(&signature.take("string")?)?];
        if let Some(candidates) = signature.maybe("candidates") {
            let list = candidates.list()?;
            if list.len() > MAX_FORMS - 1 {
                let message = format!("expected at most {} further forms", MAX_FORMS - 1);
                return Err(candidates.refuse("WRONG_VALUE", message));
            }
            for item in &list {
                forms.push(parse(item)?);
            }
        }
        signature.end()?;
        let signed = Signed {
            forms: &forms,
            values: &values,
        };
        let time = entries.maybe("time");
        let time = time
            .map(|item| Time::parse(&item, declared, &here, &signed))
            .transpose()?;
        here.signature = true;
        let replay = match entries.maybe("replay") {
            None => None,
            Some(item) => {
                let mut entries = item.fields()?;
                let from = entries.take("from")?;
                entries.end()?;
                let expression = Expression::parse(&from, &declared.at(&here))?;
                signed.covers(&from, &expression)?;
                let malleable = matches!(role.algorithm, Algorithm::Ecdsa(_));
                if malleable && expression.sources().contains(&&Source::Signature) {
                    return Err(from.refuse(
                        "NOT_SIGNED",
                        "anyone can make another valid ECDSA signature of the same message; name something that is signed",
                    ));
                }
                Some(expression)
            }
        };
        here.signature = false;
        let echo = match entries.maybe("echo") {
            None => None,
            Some(item) => {
                let mut entries = item.fields()?;
                let from = Expression::parse(&entries.take("from")?, &declared.at(&here))?;
                let equals = entries.take("equals")?;
                entries.end()?;
                Some((from, source(&equals, declared, &here)?))
            }
        };
        let acknowledgement = entries.maybe("acknowledge");
        let acknowledgement = acknowledgement
            .map(|item| Acknowledgement::parse(&item))
            .transpose()?;
        let list = entries.take("authenticated")?;
        let mut authenticated = Vec::new();
        for item in list.list()? {
            let source = source(&item, declared, &here)?;
            if !signed.is_covered(&source) {
                let message = "is no part of what is signed, so it can't be called authentic";
                return Err(item.refuse("NOT_SIGNED", format!("{:?} {message}", item.text()?)));
            }
            authenticated.push((item.text()?.to_owned(), source));
        }
        entries.end()?;
        Ok(Self {
            key: key.text()?.to_owned(),
            algorithm: role.algorithm,
            values,
            decrypt,
            der,
            from,
            each,
            decode,
            forms,
            time,
            replay,
            echo,
            acknowledgement,
            authenticated,
        })
    }

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
        let signatures = self.signatures(&self.from.bytes(context)?)?;
        let strings = self.forms.iter().map(|form| form.evaluate(context));
        let strings = strings.collect::<Result<Vec<_>, _>>()?;
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

fn source(item: &Item<'_>, declared: &Declared, here: &Here) -> Result<Source, SchemeError> {
    use crate::scheme::expression::Names;
    let source = Source::parse(item.text()?).map_err(|why| item.refuse("UNKNOWN_SOURCE", why))?;
    match declared.at(here).is_secret(&source) {
        Ok(_) => Ok(source),
        Err((reason, why)) => Err(item.refuse(reason, why)),
    }
}

/// What is signed, in every form.
struct Signed<'v> {
    forms: &'v [Expression],
    values: &'v [(String, Expression)],
}

impl Signed<'_> {
    fn is_covered(&self, source: &Source) -> bool {
        match source {
            // Who answers knows it, and the message can't change it.
            Source::Constant(_) | Source::Input(_) | Source::Signature => true,
            _ => self.forms.iter().all(|form| {
                let signed = self.origins(form);
                let wanted = self.origin(source);
                wanted
                    .iter()
                    .all(|one| signed.iter().any(|whole| one.is_part_of(whole)))
            }),
        }
    }

    fn covers(&self, item: &Item<'_>, expression: &Expression) -> Result<(), SchemeError> {
        let open = expression
            .sources()
            .into_iter()
            .find(|source| !self.is_covered(source));
        match open {
            None => Ok(()),
            Some(_) => Err(item.refuse(
                "NOT_SIGNED",
                "is no part of what is signed: whoever sends a message again could change it",
            )),
        }
    }

    /// Where a form's bytes come from: what it names, and what its values were taken from.
    fn origins<'s>(&'s self, form: &'s Expression) -> Vec<&'s Source> {
        let mut found = form.sources();
        for source in form.sources() {
            found.extend(self.traced(source));
        }
        found
    }

    /// A value that is signed itself stands for itself, any other for what it was taken from.
    fn origin<'s>(&'s self, source: &'s Source) -> Vec<&'s Source> {
        match self
            .forms
            .iter()
            .all(|form| form.sources().contains(&source))
        {
            true => vec![source],
            false => self.traced(source),
        }
    }

    // A value names only values before it, so this ends.
    fn traced<'s>(&'s self, source: &'s Source) -> Vec<&'s Source> {
        let named = |name: &str| self.values.iter().find(|(other, _)| other == name);
        match source {
            Source::Value(name) => named(name).map_or_else(Vec::new, |(_, value)| {
                let sources = value.sources().into_iter();
                sources.flat_map(|source| self.traced(source)).collect()
            }),
            other => vec![other],
        }
    }
}

impl Decrypt {
    fn parse(item: &Item<'_>, declared: &Declared) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let key = entries.take("key")?;
        let algorithm = declared.role(&key, KeyUse::Decrypt)?.algorithm;
        let jwe = Expression::parse(&entries.take("jwe")?, &declared.at(&Here::default()))?;
        entries.end()?;
        Ok(Self {
            key: key.text()?.to_owned(),
            algorithm,
            jwe,
        })
    }
}

impl Each {
    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let split = entries.take("split")?;
        let strip_prefix = entries.take("strip-prefix")?.text()?.to_owned();
        entries.end()?;
        match split.text()? {
            "" => Err(split.refuse("WRONG_VALUE", "expected at least one character")),
            text => Ok(Self {
                split: text.to_owned(),
                strip_prefix,
            }),
        }
    }
}

impl Time {
    fn parse(
        item: &Item<'_>,
        declared: &Declared,
        here: &Here,
        signed: &Signed<'_>,
    ) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let from = entries.take("from")?;
        let expression = Expression::parse(&from, &declared.at(here))?;
        signed.covers(&from, &expression)?;
        let format = time_format(&entries.take("format")?)?;
        let offset = time_offset(entries.maybe("offset"), format)?;
        let past = entries.take("past_seconds")?.number(1..MAX_WINDOW)? * 1000;
        let future = entries.take("future_seconds")?.number(0..MAX_WINDOW)? * 1000;
        entries.end()?;
        Ok(Self {
            from: expression,
            format,
            offset,
            past,
            future,
        })
    }
}

impl Acknowledgement {
    fn parse(item: &Item<'_>) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let status = entries.take("status")?.number(200..600)?;
        let body = entries
            .maybe("body")
            .map_or(Ok(""), |item| item.text())?
            .to_owned();
        let content_type = entries.maybe("content_type");
        let content_type = content_type
            .map(|item| item.text().map(str::to_owned))
            .transpose()?;
        entries.end()?;
        Ok(Self {
            status: u16::try_from(status).unwrap_or(200),
            body,
            content_type,
        })
    }
}

/// The string and its further forms: each widens what is accepted.
const MAX_FORMS: usize = 5;
/// Signatures of one message, any of which may be right.
const MAX_SIGNATURES: usize = 8;
/// One week and a second.
const MAX_WINDOW: u64 = 7 * 86_400 + 1;
