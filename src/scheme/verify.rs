//! How a message that came is verified: the `[verify]` of a scheme, read and checked.

use crate::{
    algorithm::Algorithm,
    scheme::{
        covered::Signed,
        declared::{Declared, Here, KeyUse, own_name},
        document::{Item, SchemeError},
        expression::{self, Expression},
        family,
        function::Function,
        sign::{is_der, time_format, time_offset},
        source::Source,
        time::{Offset, TimeFormat},
    },
};

/// The `[verify]` of a scheme.
#[derive(Clone, Debug)]
pub(super) struct Verify {
    pub(super) values: Vec<(String, Expression)>,
    pub(super) decrypt: Option<Decrypt>,
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
    pub(super) time: Option<Time>,
    pub(super) replay: Option<Expression>,
    pub(super) echo: Option<(Expression, Source)>,
    pub(super) acknowledgement: Option<Acknowledgement>,
    pub(super) authenticated: Vec<(String, Source)>,
}

#[derive(Clone, Debug)]
pub(super) struct Decrypt {
    pub(super) key: String,
    pub(super) algorithm: Algorithm,
    pub(super) jwe: Expression,
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
    /// The body's media type.
    pub content_type: Option<String>,
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
        let family = family::Verifying::parse(&mut signature, role.algorithm, declared, &here)?
            .map(Box::new);
        let from = match &family {
            Some(family) => family.place(),
            None => Expression::parse(&signature.take("from")?, &declared.at(&here))?,
        };
        let each = signature.maybe("each");
        let each = each.map(|item| Each::parse(&item)).transpose()?;
        let (decode, _) = expression::pipeline(signature.maybe("decode"), String::new())?;
        let der = is_der(signature.maybe("ecdsa"), role.algorithm)?;
        let string = Here {
            string: true,
            ..here.clone()
        };
        let parse = |item: &Item<'_>| Expression::parse(item, &declared.at(&string));
        let mut forms = match &family {
            Some(_) => Vec::new(),
            None => vec![parse(&signature.take("string")?)?],
        };
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
            family: family.as_deref(),
        };
        here.family = family.is_some();
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
        // A family tells what was covered by itself.
        let list = match (entries.maybe("authenticated"), &family) {
            (Some(list), _) => list.list()?,
            (None, Some(_)) => Vec::new(),
            (None, None) => entries.take("authenticated")?.list()?,
        };
        let mut authenticated = Vec::new();
        for item in list {
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
            family,
            time,
            replay,
            echo,
            acknowledgement,
            authenticated,
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
/// One week and a second.
const MAX_WINDOW: u64 = 7 * 86_400 + 1;
