//! JSON Web Signatures (RFC 7515, RFC 7797): detached over a payload that the scheme puts together, or with the
//! payload inside, as a bearer token has its claims.

use std::fmt::Write;

use crate::{
    algorithm::Algorithm,
    jose::{
        Serialization,
        jws::{self, JwsParameters},
    },
    scheme::{
        document::{Fields, Item, SchemeError},
        encoding,
        expression::Expression,
        family::{Found, Place, fault},
        fault::{EvaluationError, Fault},
        json::{self, Json},
        source::{self, Context, Source},
        text::Text,
        time::UnixMilliseconds,
    },
};

/// How a message is signed.
#[derive(Clone, Debug)]
pub(in crate::scheme) struct Signing {
    algorithm: Algorithm,
    header: Vec<Member>,
    /// The names in `crit`, besides `b64`.
    critical: Vec<String>,
    payload: Payload,
    detached: bool,
    encoded: bool,
}

#[derive(Clone, Debug)]
enum Payload {
    Bytes(Expression),
    /// A JSON object, written anew for each message.
    Claims(Vec<Member>),
}

/// A member of a header or of claims.
#[derive(Clone, Debug)]
struct Member {
    name: String,
    value: MemberValue,
}

#[derive(Clone, Debug)]
enum MemberValue {
    Text(Expression),
    Number(Expression),
    Texts(Vec<Expression>),
}

/// How a message that came is verified.
#[derive(Clone, Debug)]
pub(in crate::scheme) struct Verifying {
    algorithm: Algorithm,
    from: Expression,
    /// The payload of a detached one; `None` if it is inside.
    payload: Option<Expression>,
    encoded: bool,
    /// The names that may be in `crit`, besides `b64`.
    critical: Vec<String>,
    /// Members that must be there with this value.
    header: Vec<(String, Expression)>,
    /// The same of the payload, if it is inside and a JSON object.
    claims: Vec<(String, Expression)>,
}

impl Signing {
    pub(super) fn parse(
        entries: &mut Fields<'_>,
        algorithm: Algorithm,
        place: Place<'_>,
    ) -> Result<Self, SchemeError> {
        let payload = match (entries.maybe("payload"), entries.maybe("claims")) {
            (Some(item), None) => Payload::Bytes(place.expression(&item)?),
            (None, Some(item)) => Payload::Claims(Member::list(&item, place)?),
            _ => {
                let message = "expected either payload or claims";
                return Err(entries.table().refuse("WRONG_VALUE", message));
            }
        };
        let flag =
            |item: Option<Item<'_>>, otherwise| item.map_or(Ok(otherwise), |item| item.boolean());
        let detached = flag(entries.maybe("detached"), false)?;
        let encoded = flag(entries.maybe("b64"), true)?;
        let header = entries.maybe("header");
        let header = header.map_or(Ok(Vec::new()), |item| Member::list(&item, place))?;
        Ok(Self {
            algorithm,
            header,
            critical: texts(entries.maybe("critical"))?,
            payload,
            detached,
            encoded,
        })
    }

    pub(super) fn prepare(
        &self,
        context: Context<'_>,
    ) -> Result<(Text, jws::Draft), EvaluationError> {
        let mut header = Member::object(&self.header, context)?;
        if !self.critical.is_empty() {
            let names: Vec<_> = self.critical.iter().map(|name| quoted(name)).collect();
            let comma = if header == "{}" { "" } else { "," };
            header.truncate(header.len() - 1);
            let _ = write!(header, "{comma}\"crit\":[{}]}}", names.join(","));
        }
        let (payload, rule, secret) = match &self.payload {
            Payload::Bytes(payload) => {
                (payload.bytes(context)?, payload.rule(), payload.is_secret())
            }
            Payload::Claims(claims) => {
                let secret = claims.iter().any(Member::is_secret);
                (
                    Member::object(claims, context)?.into_bytes(),
                    "claims".to_owned(),
                    secret,
                )
            }
        };
        let draft = jws::Draft::new(JwsParameters {
            algorithm: self.algorithm,
            key_id: None,
            payload: &payload,
            protected_header: &header,
            unprotected_header: "",
            serialization: Serialization::Compact,
            detached: self.detached,
            unencoded_payload: !self.encoded,
        });
        let draft = draft.map_err(|why| fault(SIGN, "header", why.into()))?;
        let secret = secret || self.header.iter().any(Member::is_secret);
        Ok((shown(SIGN, draft.signing_input(), &rule, secret), draft))
    }

    /// The last of the three parts.
    pub(super) fn signature(text: &[u8]) -> Result<Vec<u8>, Fault> {
        let dot = text.iter().rposition(|byte| *byte == b'.');
        let dot = dot.ok_or(Fault::Encoding("a compact JWS"))?;
        encoding::decode_base64url(&text[dot + 1..])
    }
}

impl Member {
    fn list(item: &Item<'_>, place: Place<'_>) -> Result<Vec<Self>, SchemeError> {
        let one = |(name, item): (&str, Item<'_>)| Self::parse(name, &item, place);
        item.fields()?.rest().into_iter().map(one).collect()
    }

    fn parse(name: &str, item: &Item<'_>, place: Place<'_>) -> Result<Self, SchemeError> {
        let mut value = None;
        if item.is_table() {
            let mut entries = item.fields()?;
            if let Some(number) = entries.maybe("number") {
                value = Some(MemberValue::Number(place.expression(&number)?));
                entries.end()?;
            } else if let Some(list) = entries.maybe("texts") {
                let texts = list.list()?;
                let texts = texts.iter().map(|item| place.expression(item));
                value = Some(MemberValue::Texts(texts.collect::<Result<_, _>>()?));
                entries.end()?;
            }
        }
        Ok(Self {
            name: name.to_owned(),
            value: match value {
                Some(value) => value,
                None => MemberValue::Text(place.expression(item)?),
            },
        })
    }

    fn is_secret(&self) -> bool {
        match &self.value {
            MemberValue::Text(value) | MemberValue::Number(value) => value.is_secret(),
            MemberValue::Texts(values) => values.iter().any(Expression::is_secret),
        }
    }

    /// A member whose expression is omitted is left out.
    fn object(members: &[Self], context: Context<'_>) -> Result<String, EvaluationError> {
        let mut written = Vec::new();
        let text = |value: &Expression| -> Result<Option<String>, EvaluationError> {
            let bytes = value.unless_omitted(context)?.map(String::from_utf8);
            bytes.transpose().map_err(|_| value.error(Fault::Utf8))
        };
        for Self { name, value } in members {
            let value = match value {
                MemberValue::Text(value) => text(value)?.map(|text| quoted(&text)),
                MemberValue::Number(value) => match text(value)? {
                    Some(text) if is_whole_number(&text) => Some(text),
                    Some(_) => return Err(value.error(Fault::Encoding("a whole number"))),
                    None => None,
                },
                MemberValue::Texts(values) => {
                    let texts = values.iter().filter_map(|value| text(value).transpose());
                    let texts = texts.collect::<Result<Vec<_>, _>>()?;
                    let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
                    Some(format!("[{}]", texts.join(",")))
                }
            };
            if let Some(value) = value {
                written.push(format!("{}:{value}", quoted(name)));
            }
        }
        Ok(format!("{{{}}}", written.join(",")))
    }
}

impl Verifying {
    pub(super) fn parse(
        entries: &mut Fields<'_>,
        algorithm: Algorithm,
        place: Place<'_>,
    ) -> Result<Self, SchemeError> {
        let encoded = entries.maybe("b64");
        let attached = entries.maybe("attached");
        let attached = attached.map_or(Ok(false), |item| item.boolean())?;
        let payload = match (entries.maybe("payload"), attached, &encoded) {
            (Some(item), false, _) => Some(place.expression(&item)?),
            (None, true, None) => None,
            _ => {
                let message = "expected either payload, or attached = true without b64";
                return Err(entries.table().refuse("WRONG_VALUE", message));
            }
        };
        let named = |item: Option<Item<'_>>| {
            let mut named = Vec::new();
            for (name, item) in item.map_or(Ok(Vec::new()), |item| Ok(item.fields()?.rest()))? {
                named.push((name.to_owned(), place.expression(&item)?));
            }
            Ok(named)
        };
        let header = named(entries.maybe("header"))?;
        let claims = entries.maybe("claims");
        if let (Some(item), false) = (&claims, attached) {
            let message = "a payload that the scheme puts together needs no claims to be compared";
            return Err(item.refuse("WRONG_VALUE", message));
        }
        let claims = named(claims)?;
        Ok(Self {
            algorithm,
            from: place.expression(&entries.take("from")?)?,
            payload,
            encoded: encoded.map_or(Ok(true), |item| item.boolean())?,
            critical: texts(entries.maybe("critical"))?,
            header,
            claims,
        })
    }

    pub(super) fn place(&self) -> Expression {
        self.from.clone()
    }

    /// What the payload is made of, or what its claims are compared with.
    pub(super) fn covers(&self) -> Vec<Source> {
        let claims = self.claims.iter().map(|(_, wanted)| wanted);
        let all = self.payload.iter().chain(claims);
        all.flat_map(Expression::whole_sources).cloned().collect()
    }

    pub(super) fn examine(&self, context: Context<'_>) -> Result<Found, EvaluationError> {
        let error = |why| self.from.error(why);
        let text = String::from_utf8(self.from.bytes(context)?).map_err(|_| error(Fault::Utf8))?;
        // Only the compact form has exactly one signature, and no header that is not signed.
        if text.split('.').count() != 3 || text.starts_with(char::is_whitespace) {
            return Err(error(Fault::Jws(jws::Malformed::NotJws)));
        }
        let payload = self.payload.as_ref();
        let payload = payload
            .map(|payload| payload.evaluate(context))
            .transpose()?;
        let given = payload
            .as_ref()
            .map(|payload| payload.bytes().unwrap_or_default());
        if given.is_none() && text.contains("..") {
            return Err(error(Fault::Family("has no payload inside")));
        }
        let parsed = jws::Jws::parse(&text, given, &self.critical);
        let parsed = parsed.map_err(|why| error(why.into()))?;
        let bytes = parsed.payload();
        let [candidate] = parsed.candidates() else {
            return Err(error(Fault::Jws(jws::Malformed::NotJws)));
        };
        let found = candidate.algorithm();
        if found != self.algorithm {
            let why = Fault::Algorithm {
                expected: self.algorithm.name(),
                found: found.name().to_owned(),
            };
            return Err(fault(VERIFY, "parameter.alg", why));
        }
        let header = candidate.protected_header();
        let members = Json::parse(header.as_bytes()).map_err(|why| error(why.into()))?;
        let members = members.members().unwrap_or_default();
        let encoded = !members
            .iter()
            .any(|member| member.name == "b64" && member.value.raw() == "false");
        if encoded != self.encoded {
            return Err(fault(VERIFY, "parameter.b64", Fault::Unequal));
        }
        compare("", &members, &self.header, context)?;
        let scalar = members
            .iter()
            .filter(|member| !member.value.is_structured());
        let mut parameters: Vec<_> = scalar.map(|member| parameter("", member)).collect();
        let mut expires = None;
        if self.payload.is_none() {
            let ambiguous = |name: &str| name == PAYLOAD || name.starts_with(CLAIM);
            if members.iter().any(|member| ambiguous(&member.name)) {
                return Err(fault(VERIFY, "parameter.payload", Fault::Repeated));
            }
            parameters.push((source::parameter(PAYLOAD), bytes.to_vec()));
            let json = Json::parse(bytes).ok();
            let claims = json.and_then(Json::members).unwrap_or_default();
            compare(CLAIM, &claims, &self.claims, context)?;
            let scalar = claims.iter().filter(|claim| !claim.value.is_structured());
            parameters.extend(scalar.map(|claim| parameter(CLAIM, claim)));
            if let Some(end) = claims.iter().find(|claim| claim.name == "exp") {
                let end = end.value.raw().parse::<u64>().ok();
                let end = end.and_then(|seconds| seconds.checked_mul(1000));
                let why = Fault::Time("unix-seconds");
                let end = end.ok_or_else(|| fault(VERIFY, "parameter.payload.exp", why))?;
                expires = Some(UnixMilliseconds(end));
            }
        }
        let rule = self
            .payload
            .as_ref()
            .map_or_else(|| "inside".to_owned(), Expression::rule);
        let secret = self.payload.as_ref().is_some_and(Expression::is_secret);
        Ok(Found {
            string: shown(VERIFY, candidate.signing_input(), &rule, secret),
            signature: candidate.signature().to_vec(),
            parameters,
            covered: vec![
                ("protected header".to_owned(), header.as_bytes().to_vec()),
                ("payload".to_owned(), bytes.to_vec()),
            ],
            expires,
        })
    }
}

/// Whether the members that are wanted are there, each with its value.
fn compare(
    prefix: &str,
    members: &[json::Member<'_>],
    wanted: &[(String, Expression)],
    context: Context<'_>,
) -> Result<(), EvaluationError> {
    for (name, wanted) in wanted {
        let rule = format!("parameter.{prefix}{name}");
        let member = members.iter().find(|member| member.name == *name);
        let member = member.ok_or_else(|| fault(VERIFY, &rule, Fault::Absent))?;
        if member.value.is_structured()
            || member.value.text().as_bytes() != wanted.bytes(context)?
        {
            return Err(fault(VERIFY, &rule, Fault::Unequal));
        }
    }
    Ok(())
}

/// A member of a header or of claims, as a source.
fn parameter(prefix: &str, member: &json::Member<'_>) -> (String, Vec<u8>) {
    let value = member.value.text().into_owned();
    let name = format!("{prefix}{}", member.name);
    (source::parameter(&name), value.into_bytes())
}

/// A signing input, header and payload apart.
fn shown(at: &str, input: &[u8], payload: &str, secret: bool) -> Text {
    let dot = input.iter().position(|byte| *byte == b'.').unwrap_or(0);
    let mut text = Text::default();
    text.push(at, "protected header | base64url", &input[..dot], secret);
    text.push(at, "\".\"", b".", false);
    text.push(
        at,
        &format!("payload: {payload}"),
        &input[dot + 1..],
        secret,
    );
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", json::escaped(text))
}

fn is_whole_number(text: &str) -> bool {
    let digits = text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text == "0" || text.starts_with(|first| matches!(first, '1'..='9')))
}

fn texts(item: Option<Item<'_>>) -> Result<Vec<String>, SchemeError> {
    let Some(item) = item else {
        return Ok(Vec::new());
    };
    let one = |item: &Item<'_>| Ok(item.text()?.to_owned());
    item.list()?.iter().map(one).collect()
}

/// The payload of one that is not detached, and the prefix of its top-level members, among the parameters.
const PAYLOAD: &str = "payload";
const CLAIM: &str = "payload.";
const SIGN: &str = "sign.signature";
const VERIFY: &str = "verify.signature";
