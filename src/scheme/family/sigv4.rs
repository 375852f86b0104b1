//! AWS Signature Version 4: the token makes the key of the day, and the rest of the chain is made here.
//!
//! A secret access key is never in the daemon: its token makes `HMAC("AWS4" + secret, date)`, which is
//! good for one day. It goes through three more steps, signs, and is wiped.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use zeroize::Zeroizing;

use crate::{
    algorithm::{Algorithm, Hash},
    scheme::{
        document::{Fields, Item, SchemeError},
        encoding::{self, Kept},
        expression::Expression,
        family::{Finished, Place, component, fault},
        fault::{EvaluationError, Fault},
        message::Message,
        source::Context,
        text::{Step, Text},
        time::{Offset, TimeFormat},
    },
};

/// How a request is signed.
#[derive(Clone, Debug)]
pub(in crate::scheme) struct Signing {
    access_key: Expression,
    time: Expression,
    region: Expression,
    service: Expression,
    /// The fields that are signed if they are there, besides `host` and `x-amz-*`; `None` for all.
    fields: Option<Vec<String>>,
    /// Whether the path is normalised and encoded once more, as all services but S3 have it.
    normalized: bool,
}

/// The request put together, waiting for the key of the day.
pub(in crate::scheme) struct Prepared {
    canonical: Text,
    string: String,
    scope: [String; 4],
    access_key: String,
    signed_fields: String,
}

type Digest = Zeroizing<Vec<u8>>;

impl Signing {
    pub(super) fn parse(
        entries: &mut Fields<'_>,
        family: &Item<'_>,
        algorithm: Algorithm,
        place: Place<'_>,
    ) -> Result<Self, SchemeError> {
        if algorithm != Algorithm::Hmac(Hash::Sha256) {
            let message = format!("expected a key for HS256, found one for {algorithm}");
            return Err(family.refuse("WRONG_KEY", message));
        }
        let fields = entries.take("fields")?;
        let fields = match fields.as_text() {
            Some("all") => None,
            _ => {
                let mut names = Vec::new();
                for item in fields.list()? {
                    let name = item.text()?;
                    if !component::is_field_name(name) {
                        let message = "expected a field's name in lower case";
                        return Err(item.refuse("WRONG_NAME", message));
                    }
                    names.push(name.to_owned());
                }
                Some(names)
            }
        };
        let path = entries.take("path")?;
        let normalized = match path.text()? {
            "normalized" => true,
            "as-sent" => false,
            other => {
                let message = format!("expected normalized or as-sent, found {other:?}");
                return Err(path.refuse("WRONG_VALUE", message));
            }
        };
        Ok(Self {
            access_key: place.expression(&entries.take("access_key_id")?)?,
            time: place.expression(&entries.take("time")?)?,
            region: place.expression(&entries.take("region")?)?,
            service: place.expression(&entries.take("service")?)?,
            fields,
            normalized,
        })
    }

    pub(super) fn prepare(
        &self,
        context: Context<'_>,
    ) -> Result<(Text, Prepared), EvaluationError> {
        let word = |expression: &Expression| -> Result<String, EvaluationError> {
            let text = String::from_utf8(expression.bytes(context)?);
            let text = text.map_err(|_| expression.error(Fault::Utf8))?;
            let good = |byte: u8| byte.is_ascii_graphic() && !b"/,".contains(&byte);
            match !text.is_empty() && text.bytes().all(good) {
                true => Ok(text),
                false => Err(expression.error(Fault::Encoding("graphic ASCII without / and ,"))),
            }
        };
        let time = word(&self.time)?;
        if TimeFormat::Basic
            .read(time.as_bytes(), Offset::UTC)
            .is_none()
        {
            return Err(self.time.error(Fault::Time(TimeFormat::Basic.name())));
        }
        let message = context.message;
        let sent = component::field(message, "x-amz-date");
        if sent.map_err(|why| fault(AT, "header.X-Amz-Date", why))? != time.as_bytes() {
            return Err(fault(AT, "header.X-Amz-Date", Fault::Unequal));
        }
        let date = time[..8].to_owned();
        let scope = [
            date.clone(),
            word(&self.region)?,
            word(&self.service)?,
            "aws4_request".to_owned(),
        ];
        let (canonical, signed_fields) = self.canonical(message)?;
        let whole = canonical.bytes().unwrap_or_default();
        let string = [
            "AWS4-HMAC-SHA256",
            &time,
            &scope.join("/"),
            &hex::encode(Hash::Sha256.digest(whole)),
        ]
        .join("\n");
        let mut text = Text::default();
        text.push(
            AT,
            "date, which makes the key of the day",
            date.as_bytes(),
            false,
        );
        let prepared = Prepared {
            canonical,
            string,
            scope,
            access_key: word(&self.access_key)?,
            signed_fields,
        };
        Ok((text, prepared))
    }

    /// The canonical request, and the names of the signed fields.
    fn canonical(&self, message: &Message<'_>) -> Result<(Text, String), EvaluationError> {
        let error = |rule: &str| {
            let rule = rule.to_owned();
            move |why| fault(AT, &rule, why)
        };
        let mut text = Text::default();
        let mut line = |rule: &str, value: &[u8], secret| {
            text.push(AT, rule, value, secret);
            text.push(AT, "line end", b"\n", false);
        };
        let method = message.method.as_deref().ok_or(Fault::Absent);
        line(
            "method",
            method
                .map_err(error("method"))?
                .to_ascii_uppercase()
                .as_bytes(),
            false,
        );
        let path = message
            .path
            .as_deref()
            .ok_or(Fault::Absent)
            .map_err(error("path"))?;
        match self.normalized {
            true => line("path, normalised and encoded", &normalized(path), false),
            false => line("path", path.as_bytes(), false),
        }
        let query = message.query.as_deref().unwrap_or_default();
        let query = sorted_query(query).map_err(error("query"))?;
        line("query, sorted and encoded", &query, false);
        let mut names = Vec::new();
        for (name, _) in &message.headers {
            let name = name.to_ascii_lowercase();
            let wanted = match &self.fields {
                None => !UNSIGNED.contains(&name.as_str()),
                Some(fields) => fields.contains(&name) || name.starts_with("x-amz-"),
            };
            if wanted && name != "host" && !names.contains(&name) {
                names.push(name);
            }
        }
        names.push("host".to_owned());
        names.sort_unstable();
        if names.len() > component::MAX_COMPONENTS {
            return Err(fault(
                AT,
                "headers",
                Fault::TooMany(component::MAX_COMPONENTS),
            ));
        }
        for name in &names {
            let value = match name.as_str() {
                "host" => component::authority(message).map(String::into_bytes),
                name => trimmed(message, name),
            };
            let rule = format!("header.{name}");
            let value = value.map_err(error(&rule))?;
            let whole = [name.as_bytes(), b":", &value].concat();
            line(&rule, &whole, component::is_secret(name));
        }
        line("end of headers", b"", false);
        let signed_fields = names.join(";");
        line("signed headers", signed_fields.as_bytes(), false);
        let digest = match component::field(message, "x-amz-content-sha256") {
            Err(Fault::Absent) => hex::encode(Hash::Sha256.digest(&message.body)).into_bytes(),
            sent => sent.map_err(error("header.X-Amz-Content-Sha256"))?,
        };
        text.push(AT, "hash of the body", &digest, false);
        Ok((text, signed_fields))
    }
}

impl Prepared {
    pub(super) fn finish(&self, day_key: &[u8]) -> Finished {
        let mut key: Digest = Zeroizing::new(day_key.to_vec());
        for step in &self.scope[1..] {
            key = mac(&key, step.as_bytes());
        }
        let signature = hex::encode(&*mac(&key, self.string.as_bytes()));
        let text = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={signature}",
            self.access_key,
            self.scope.join("/"),
            self.signed_fields
        );
        Finished {
            text: text.into_bytes(),
            headers: Vec::new(),
        }
    }

    /// The canonical request line by line, and what is signed with the key at the chain's end.
    pub(super) fn notes(&self) -> Vec<Step> {
        let mut steps = self.canonical.steps();
        steps.push(Step {
            at: AT.to_owned(),
            rule: "string that is signed with the derived key".to_owned(),
            bytes: Some(self.string.clone().into_bytes()),
        });
        steps
    }
}

fn mac(key: &[u8], message: &[u8]) -> Digest {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    let mut digest = mac.chain_update(message).finalize().into_bytes();
    let kept = Zeroizing::new(digest.to_vec());
    zeroize::Zeroize::zeroize(digest.as_mut_slice());
    kept
}

/// Without empty, `.` and `..` segments (RFC 3986 section 5.2.4), then encoded once more.
fn normalized(path: &str) -> Vec<u8> {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut output = Vec::new();
    for segment in &kept {
        output.push(b'/');
        output.extend(encoding::percent_encode(
            segment.as_bytes(),
            Kept::Unreserved,
        ));
    }
    if kept.is_empty() || path.ends_with('/') {
        output.push(b'/');
    }
    output
}

fn sorted_query(query: &str) -> Result<Vec<u8>, Fault> {
    if query.contains('+') {
        return Err(Fault::Family(
            "a plus is read in two ways; write %20 or %2B",
        ));
    }
    let again = |text: &str| -> Result<Vec<u8>, Fault> {
        let decoded = encoding::percent_decode(Cow::Borrowed(text.as_bytes()), Kept::Unreserved)?;
        Ok(encoding::percent_encode(&decoded, Kept::Unreserved))
    };
    let mut pairs = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        pairs.push((again(name)?, again(value)?));
    }
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(name, value)| [name, value].join(&b'='))
        .collect();
    Ok(pairs.join(&b'&'))
}

/// The values of a field with single spaces, joined with commas.
fn trimmed(message: &Message<'_>, name: &str) -> Result<Vec<u8>, Fault> {
    let mut values = Vec::new();
    for line in component::lines(message, name) {
        if line
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return Err(Fault::Encoding("text without control characters"));
        }
        let words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        values.push(words.collect::<Vec<_>>().join(&b' '));
    }
    Ok(values.join(&b','))
}

/// What changes on the way, or is not there yet.
const UNSIGNED: [&str; 5] = [
    "authorization",
    "expect",
    "transfer-encoding",
    "user-agent",
    "x-amzn-trace-id",
];
const AT: &str = "sign.signature";
