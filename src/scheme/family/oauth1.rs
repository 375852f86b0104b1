//! OAuth 1.0a with RSA-SHA256 and a hash of the body, as RFC 5849 has it and as Mastercard does.

use std::borrow::Cow;

use crate::{
    algorithm::{Algorithm, Hash},
    scheme::{
        document::{Fields, Item, SchemeError},
        encoding::{self, Kept},
        expression::Expression,
        family::{Finished, Place, component, fault},
        fault::{EvaluationError, Fault},
        fields,
        source::Context,
        text::Text,
    },
};

/// How a request is signed.
#[derive(Clone, Debug)]
pub(in crate::scheme) struct Signing {
    consumer_key: Expression,
    nonce: Expression,
    timestamp: Expression,
    dialect: Dialect,
}

/// Where libraries of the platform differ from the RFC, their way is the platform's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Every name and value is encoded before they are joined.
    Rfc5849,
    /// The `oauth_` values are not, and those of the query only if some of it is encoded already.
    Mastercard,
}

/// The parameters that stand in the header beside the signature.
pub(in crate::scheme) struct Prepared {
    parameters: Vec<(&'static str, String)>,
    dialect: Dialect,
}

impl Signing {
    pub(super) fn parse(
        entries: &mut Fields<'_>,
        family: &Item<'_>,
        algorithm: Algorithm,
        place: Place<'_>,
    ) -> Result<Self, SchemeError> {
        if algorithm != Algorithm::RsaPkcs1(Hash::Sha256) {
            let message = format!("expected a key for RS256, found one for {algorithm}");
            return Err(family.refuse("WRONG_KEY", message));
        }
        let dialect = entries.take("dialect")?;
        Ok(Self {
            consumer_key: place.expression(&entries.take("consumer_key")?)?,
            nonce: place.expression(&entries.take("nonce")?)?,
            timestamp: place.expression(&entries.take("timestamp")?)?,
            dialect: match dialect.text()? {
                "rfc5849" => Dialect::Rfc5849,
                "mastercard" => Dialect::Mastercard,
                other => {
                    let message = format!("expected rfc5849 or mastercard, found {other:?}");
                    return Err(dialect.refuse("WRONG_VALUE", message));
                }
            },
        })
    }

    pub(super) fn prepare(
        &self,
        context: Context<'_>,
    ) -> Result<(Text, Prepared), EvaluationError> {
        let message = context.message;
        let word = |expression: &Expression| -> Result<String, EvaluationError> {
            let bytes = expression.bytes(context)?;
            let good = |byte: u8| byte.is_ascii_graphic() && !b"\"\\&=,".contains(&byte);
            match String::from_utf8(bytes) {
                Ok(text) if !text.is_empty() && text.bytes().all(good) => Ok(text),
                _ => Err(expression.error(Fault::Encoding("graphic ASCII without \" \\ & = ,"))),
            }
        };
        let body_hash = encoding::base64(&Hash::Sha256.digest(&message.body));
        let parameters = vec![
            (
                "oauth_body_hash",
                String::from_utf8_lossy(&body_hash).into_owned(),
            ),
            ("oauth_consumer_key", word(&self.consumer_key)?),
            ("oauth_nonce", word(&self.nonce)?),
            ("oauth_signature_method", "RSA-SHA256".to_owned()),
            ("oauth_timestamp", word(&self.timestamp)?),
            ("oauth_version", "1.0".to_owned()),
        ];
        let absent = |rule: &'static str| fault(AT, rule, Fault::Absent);
        let method = message.method.as_deref().ok_or_else(|| absent("method"))?;
        let scheme = message.scheme.as_deref().ok_or_else(|| absent("scheme"))?;
        let authority = component::authority(message).map_err(|why| fault(AT, "authority", why))?;
        let path = message.path.as_deref().ok_or_else(|| absent("path"))?;
        let path = if path.is_empty() { "/" } else { path };
        let url = format!("{}://{authority}{path}", scheme.to_ascii_lowercase());
        let query = message.query.as_deref().unwrap_or_default();
        let all = self
            .joined(query, &parameters)
            .map_err(|why| fault(AT, "query", why))?;
        let encode = |bytes: &[u8]| encoding::percent_encode(bytes, Kept::Unreserved);
        let mut text = Text::default();
        text.push(AT, "method", method.to_ascii_uppercase().as_bytes(), false);
        text.push(AT, "\"&\"", b"&", false);
        text.push(
            AT,
            "URL without its query | percent-encode",
            &encode(url.as_bytes()),
            false,
        );
        text.push(AT, "\"&\"", b"&", false);
        text.push(
            AT,
            "query and oauth values, sorted | percent-encode",
            &encode(&all),
            false,
        );
        let prepared = Prepared {
            parameters,
            dialect: self.dialect,
        };
        Ok((text, prepared))
    }

    /// The signature in an `Authorization` header.
    pub(super) fn signature(text: &[u8]) -> Result<Vec<u8>, Fault> {
        let list = text.strip_prefix(b"OAuth ").unwrap_or(text);
        let fields = fields::list(list, ",", "=", true)?;
        let found = fields
            .into_iter()
            .find(|field| *field.name == *b"oauth_signature");
        let value = found.ok_or(Fault::Absent)?.value;
        encoding::decode_base64(&encoding::percent_decode(value, Kept::Unreserved)?)
    }

    fn joined(&self, query: &str, oauth: &[(&str, String)]) -> Result<Vec<u8>, Fault> {
        let encoded = self.dialect == Dialect::Rfc5849 || query.contains('%');
        let part = |text: &str| -> Result<Vec<u8>, Fault> {
            if !encoded {
                return Ok(text.as_bytes().to_vec());
            }
            let decoded = encoding::percent_decode(Cow::Borrowed(text.as_bytes()), Kept::Form)?;
            Ok(encoding::percent_encode(&decoded, Kept::Unreserved))
        };
        let mut pairs = Vec::new();
        for one in query.split('&').filter(|one| !one.is_empty()) {
            let (name, value) = one.split_once('=').unwrap_or((one, ""));
            pairs.push((part(name)?, part(value)?));
        }
        for (name, value) in oauth {
            let value = match self.dialect {
                Dialect::Rfc5849 => encoding::percent_encode(value.as_bytes(), Kept::Unreserved),
                Dialect::Mastercard => value.clone().into_bytes(),
            };
            pairs.push((name.as_bytes().to_vec(), value));
        }
        if self.dialect == Dialect::Rfc5849 {
            pairs.sort_unstable();
        }
        let mut joined: Vec<_> = pairs
            .into_iter()
            .map(|(name, value)| [name, value].join(&b'='))
            .collect();
        if self.dialect == Dialect::Mastercard {
            joined.sort_unstable();
        }
        Ok(joined.join(&b'&'))
    }
}

impl Prepared {
    pub(super) fn finish(&self, signature: &[u8]) -> Finished {
        let signature = encoding::percent_encode(&encoding::base64(signature), Kept::Unreserved);
        let mut list: Vec<_> = self
            .parameters
            .iter()
            .map(|(name, value)| match self.dialect {
                Dialect::Mastercard => format!("{name}=\"{value}\""),
                Dialect::Rfc5849 => {
                    let value = encoding::percent_encode(value.as_bytes(), Kept::Unreserved);
                    format!("{name}=\"{}\"", String::from_utf8_lossy(&value))
                }
            })
            .collect();
        list.push(format!(
            "oauth_signature=\"{}\"",
            String::from_utf8_lossy(&signature)
        ));
        Finished {
            text: format!("OAuth {}", list.join(",")).into_bytes(),
            headers: Vec::new(),
        }
    }
}

const AT: &str = "sign.signature";
