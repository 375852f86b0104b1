//! How a message that came is verified: the `[verify]` of a scheme, read and checked.

use crate::{
    algorithm::Algorithm,
    scheme::{
        act::{self, Act},
        covered::Signed,
        declared::{Declared, Here, KeyUse, Place, own_name},
        document::{Fields, Item, SchemeError},
        expression::{self, Expression},
        family,
        function::Function,
        opening::Open,
        sign::is_der,
        source::Source,
        time::{Offset, TimeFormat, time_format, time_offset},
        verdict::Protections,
    },
};

/// The `[verify]` of a scheme.
#[derive(Clone, Debug)]
pub(super) struct Verify {
    pub(super) acts: Vec<Act>,
    pub(super) values: Vec<(String, Expression)>,
    pub(super) decrypt: Option<Open>,
    /// None in a scheme whose messages are not signed.
    pub(super) signature: Option<Signature>,
    /// What names the key.
    pub(super) key_id: Option<Expression>,
    pub(super) time: Option<Time>,
    pub(super) replay: Option<Replay>,
    pub(super) echo: Option<(Expression, Source)>,
    pub(super) access_token: Option<Expression>,
    pub(super) open: Option<Open>,
    pub(super) acknowledgement: Option<Acknowledgement>,
    /// What the signature covers; or without one, what is handed on.
    pub(super) parts: Vec<(String, Source)>,
    /// Whether the fields that were joined and signed are handed on too.
    pub(super) fields: bool,
}

/// The `[verify.signature]` of a scheme.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) key: String,
    pub(super) algorithm: Algorithm,
    pub(super) der: bool,
    pub(super) from: Expression,
    pub(super) each: Option<Each>,
    pub(super) decode: Vec<Function>,
    /// The string, then its further forms.
    pub(super) forms: Vec<Expression>,
    /// What says in place of forms what is signed.
    pub(super) family: Option<Box<family::Verifying>>,
}

#[derive(Clone, Debug)]
pub(super) struct Replay {
    pub(super) from: Expression,
    /// For how long it has to be remembered.
    pub(super) seconds: u64,
}

/// Several signatures in one text.
#[derive(Clone, Debug)]
pub(super) struct Each {
    pub(super) split: String,
    pub(super) strip_prefix: String,
}

#[derive(Clone, Debug)]
pub(super) struct Time {
    pub(super) from: Expression,
    pub(super) format: TimeFormat,
    pub(super) offset: Offset,
    pub(super) past: u64,
    pub(super) future: u64,
}

/// What to answer the platform with when all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// Whether the one who answers makes the body, such as a token that was asked for.
    pub body_by_host: bool,
    /// The body's media type.
    pub content_type: Option<String>,
}

impl Verify {
    pub(super) fn parse(item: &Item<'_>, declared: &Declared) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let acts = act::messages(
            entries.maybe("messages"),
            [
                ("callback", Act::VerifyCallback),
                ("response", Act::VerifyResponse),
            ],
        )?;
        let mut here = Here::default();
        let decrypt = entries.maybe("decrypt");
        let decrypt = decrypt
            .map(|item| Open::parse(&item, declared, &here))
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
        let signature = entries.maybe("signature");
        let unsigned = entries.maybe("unsigned");
        let (signature, list) = match (signature, unsigned) {
            (Some(item), None) => {
                let signature = Signature::parse(&item, declared, &here)?;
                // A family tells by itself what was covered.
                let list = match entries.maybe("authenticated") {
                    None if signature.family.is_some() => None,
                    None => Some(entries.take("authenticated")?),
                    list => list,
                };
                (Some(signature), list)
            }
            (None, Some(list)) => (None, Some(list)),
            (Some(_), Some(list)) => {
                let message = "there is a signature; expected authenticated";
                return Err(list.refuse("WRONG_VALUE", message));
            }
            (None, None) => {
                let message = "expected [verify.signature], or the entry unsigned: what to hand on of messages that nobody signs";
                return Err(item.refuse("MISSING_ENTRY", message));
            }
        };
        let decrypted = decrypt.as_ref().map_or_else(Vec::new, Open::expressions);
        let signed = Signed {
            forms: signature.as_ref().map_or(&[], |one| &one.forms),
            values: &values,
            family: signature.as_ref().and_then(|one| one.family.as_deref()),
            decrypted: &decrypted,
        };
        here.family = signed.family.is_some();
        let expression = |entries: &mut Fields<'_>, name| {
            Expression::parse(&entries.take(name)?, &declared.at(&here))
        };
        let alone = |item: Option<Item<'_>>, name| {
            let Some(item) = item else {
                return Ok(None);
            };
            let mut entries = item.fields()?;
            let found = expression(&mut entries, name)?;
            entries.end()?;
            Ok(Some(found))
        };
        let key_id = match entries.maybe("key") {
            Some(item) if signature.is_none() => {
                return Err(item.refuse("NOT_SIGNED", "there is no signature to be verified"));
            }
            item => alone(item, "id")?,
        };
        let access_token = alone(entries.maybe("access_token"), "from")?;
        let echo = match entries.maybe("echo") {
            None => None,
            Some(item) => {
                let mut entries = item.fields()?;
                let from = expression(&mut entries, "from")?;
                let equals = entries.take("equals")?;
                entries.end()?;
                Some((from, source(&equals, declared, &here)?))
            }
        };
        let time = entries.maybe("time");
        let time = time
            .map(|item| Time::parse(&item, declared, &here, &signed))
            .transpose()?;
        let open = match entries.maybe("open") {
            None => None,
            Some(item) => {
                let open = Open::parse(&item, declared, &here)?;
                for expression in open.expressions() {
                    signed.covers(&item, expression)?;
                }
                Some(open)
            }
        };
        let replay = match (entries.maybe("replay"), &signature) {
            (None, _) => None,
            (Some(item), None) => {
                return Err(item.refuse("NOT_SIGNED", "what nobody signs can be changed at will"));
            }
            (Some(item), Some(signature)) => {
                let here = Here {
                    signature: true,
                    ..here.clone()
                };
                let window = time.as_ref().map(|time| (time.past + time.future) / 1000);
                let at = declared.at(&here);
                Some(Replay::parse(&item, at, signature, &signed, window)?)
            }
        };
        let acknowledgement = entries.maybe("acknowledge");
        let acknowledgement = acknowledgement
            .map(|item| Acknowledgement::parse(&item))
            .transpose()?;
        let (mut parts, mut fields) = (Vec::new(), false);
        let list = list.map_or_else(|| Ok(Vec::new()), |list| list.list())?;
        for item in list {
            if signature.is_some() && item.text()? == FIELDS {
                if !signed.tells_fields() {
                    let message = "needs one join in each form of the string, in a segment of its own and with nothing lost behind it";
                    return Err(item.refuse("NOT_SIGNED", format!("{FIELDS:?} {message}")));
                }
                fields = true;
                continue;
            }
            let source = source(&item, declared, &here)?;
            if signature.is_some() && !signed.covers_whole(&source) {
                let message = "is no part of what is signed, or something of it gets lost on the way, so it can't be called authentic";
                return Err(item.refuse("NOT_SIGNED", format!("{:?} {message}", item.text()?)));
            }
            parts.push((item.text()?.to_owned(), source));
        }
        entries.end()?;
        drop(decrypted);
        Ok(Self {
            acts,
            values,
            decrypt,
            signature,
            key_id,
            time,
            replay,
            echo,
            access_token,
            open,
            acknowledgement,
            parts,
            fields,
        })
    }
}

impl Verify {
    /// Whether something is decrypted when the message is known to be authentic.
    pub(super) const fn opens(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the answer is for the application to make, as that to who asks for an access token is.
    pub(super) fn asks_for_token(&self) -> bool {
        let answer = self.acknowledgement.as_ref();
        self.acts.contains(&Act::VerifyCallback) && answer.is_some_and(|answer| answer.body_by_host)
    }

    pub(super) fn protections(&self) -> Protections {
        Protections {
            signed: self.signature.is_some(),
            window_seconds: self
                .time
                .as_ref()
                .map(|rule| (rule.past / 1000, rule.future / 1000)),
            replay: self.replay.is_some(),
            echo: self.echo.is_some(),
            access_token: self.access_token.is_some(),
            unescaped: self
                .signature
                .iter()
                .flat_map(|one| &one.forms)
                .any(Expression::joins_unescaped),
        }
    }
}

impl Signature {
    fn parse(item: &Item<'_>, declared: &Declared, here: &Here) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let key = entries.take("key")?;
        let role = declared.role(&key, KeyUse::Verify)?;
        if let Some(family) =
            family::Verifying::parse(&mut entries, role.algorithm, declared, here)?
        {
            entries.end()?;
            return Ok(Self {
                key: key.text()?.to_owned(),
                algorithm: role.algorithm,
                der: false,
                from: family.place(),
                each: None,
                decode: Vec::new(),
                forms: Vec::new(),
                family: Some(Box::new(family)),
            });
        }
        let from = Expression::parse(&entries.take("from")?, &declared.at(here))?;
        let each = entries.maybe("each");
        let each = each.map(|item| Each::parse(&item)).transpose()?;
        let (decode, _) = expression::pipeline(entries.maybe("decode"), String::new())?;
        let der = is_der(entries.maybe("ecdsa"), role.algorithm)?;
        let string = Here {
            string: true,
            ..here.clone()
        };
        let parse = |item: &Item<'_>| Expression::parse(item, &declared.at(&string));
        let mut forms = vec![parse(&entries.take("string")?)?];
        if let Some(candidates) = entries.maybe("candidates") {
            let list = candidates.list()?;
            if list.len() > MAX_FORMS - 1 {
                let message = format!("expected at most {} further forms", MAX_FORMS - 1);
                return Err(candidates.refuse("WRONG_VALUE", message));
            }
            for item in &list {
                forms.push(parse(item)?);
            }
        }
        entries.end()?;
        Ok(Self {
            key: key.text()?.to_owned(),
            algorithm: role.algorithm,
            der,
            from,
            each,
            decode,
            forms,
            family: None,
        })
    }
}

impl Replay {
    fn parse(
        item: &Item<'_>,
        at: Place<'_>,
        signature: &Signature,
        signed: &Signed<'_>,
        window: Option<u64>,
    ) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let from = entries.take("from")?;
        let seconds = entries.maybe("remember_seconds");
        entries.end()?;
        let expression = Expression::parse(&from, &at)?;
        signed.covers(&from, &expression)?;
        let malleable = matches!(signature.algorithm, Algorithm::Ecdsa(_));
        if malleable && expression.sources().contains(&&Source::Signature) {
            return Err(from.refuse(
                "NOT_SIGNED",
                "anyone can make another valid ECDSA signature of the same message; name something that is signed",
            ));
        }
        let least = window.unwrap_or(1);
        let seconds = match seconds {
            Some(item) => item.number(least..MAX_REMEMBERED)?,
            // Whoever keeps a message for longer than that can send it again.
            None => window.unwrap_or(ONE_DAY),
        };
        Ok(Self {
            from: expression,
            seconds,
        })
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
        let body = entries.maybe("body");
        let by_host = entries.maybe("body_by_host");
        let body_by_host = by_host.as_ref().map_or(Ok(false), Item::boolean)?;
        if let (Some(item), true, true) = (by_host, body_by_host, body.is_some()) {
            return Err(item.refuse("WRONG_VALUE", "there is a body already"));
        }
        let body = body.map_or(Ok(""), |item| item.text())?.to_owned();
        let content_type = entries.maybe("content_type");
        let content_type = content_type
            .map(|item| item.text().map(str::to_owned))
            .transpose()?;
        entries.end()?;
        Ok(Self {
            status: u16::try_from(status).unwrap_or(200),
            body,
            body_by_host,
            content_type,
        })
    }
}

/// The string and its further forms: each widens what is accepted.
const MAX_FORMS: usize = 5;
/// One week and a second.
const MAX_WINDOW: u64 = 7 * ONE_DAY + 1;
/// Ninety days and a second.
const MAX_REMEMBERED: u64 = 90 * ONE_DAY + 1;
const ONE_DAY: u64 = 86_400;

/// What `authenticated` calls the fields that were joined.
const FIELDS: &str = "fields";
