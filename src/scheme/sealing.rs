//! What has to be encrypted before a message is sent: the `[sign.encrypt]` of a scheme.
//!
//! The engine says what goes into which JWE, and who called it has that made: with the partner's public
//! key, which needs nothing but [`Sealing::to`], or with our private key in the token, which proves the origin of
//! the content key and keeps nothing secret ([`Sealing::proving_origin`]). Which of the two it is, the role's
//! algorithm says.

use crate::{
    algorithm::{Algorithm, ContentEncryption},
    jose::jwe::{EncryptError, OriginDraft, PublicRecipient, encrypt_to_public},
    key::{CONTENT_KEY_LENGTHS, PublicKey},
    scheme::{
        declared::{Declared, Here, KeyUse},
        document::{Item, SchemeError},
        expression::Expression,
        fault::{EvaluationError, Fault},
        json,
        source::Context,
    },
};

/// The `[sign.encrypt]` of a scheme.
#[derive(Clone, Debug)]
pub(super) struct Encrypt {
    key: String,
    algorithm: Algorithm,
    content_encryption: ContentEncryption,
    compress: bool,
    header: Vec<(String, Member)>,
    plaintext: Option<Expression>,
    /// The body to send; the JWE alone if there is none.
    body: Option<Expression>,
}

#[derive(Clone, Debug)]
enum Member {
    Text(Expression),
    Number(Expression),
}

/// What has to be encrypted, to whom and how.
// No `Debug`: what is encrypted is not for logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealing {
    /// The role of the key.
    pub key_role: String,
    /// `alg`.
    pub algorithm: Algorithm,
    /// `enc`.
    pub content_encryption: ContentEncryption,
    /// Whether the plaintext is compressed, and `zip` is `DEF`.
    pub compress: bool,
    /// The further members of the protected header: a JSON object.
    pub header: String,
    /// The plaintext.
    pub plaintext: Vec<u8>,
}

impl Sealing {
    /// Makes the JWE for somebody's public key.
    ///
    /// # Errors
    ///
    /// [`EncryptError`] if the key is not one for the algorithm, or the header is refused.
    pub fn to(&self, key: &PublicKey) -> Result<String, EncryptError> {
        encrypt_to_public(
            // RSA1_5 is for who asks for it, which a scheme does by naming it.
            &PublicRecipient::from_public_key(key, None).only_with(self.algorithm),
            self.algorithm,
            self.content_encryption,
            &self.plaintext,
            &self.header,
            self.compress,
        )
    }

    /// Whether the content key is made with our private key, and the JWE by [`Sealing::proving_origin`].
    pub const fn proves_origin(&self) -> bool {
        matches!(self.algorithm, Algorithm::Rsa15Private)
    }

    /// The JWE without what the token has to make of its content key.
    ///
    /// # Errors
    ///
    /// [`EncryptError`] if the header is refused.
    pub fn proving_origin(&self) -> Result<OriginDraft, EncryptError> {
        OriginDraft::new(
            self.content_encryption,
            &self.plaintext,
            &self.header,
            self.compress,
        )
    }
}

impl Encrypt {
    pub(super) fn parse(
        item: &Item<'_>,
        declared: &Declared,
        here: &Here,
    ) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let key = entries.take("key")?;
        let role = declared.role(&key, KeyUse::Encrypt)?;
        if role.algorithm.is_for_values() {
            let message = format!("no JWE has {}: it is for single values", role.algorithm);
            return Err(key.refuse("WRONG_KEY", message));
        }
        let enc = entries.take("enc")?;
        let content_encryption: ContentEncryption = enc
            .text()?
            .parse()
            .map_err(|error| enc.refuse("WRONG_VALUE", error))?;
        if role.algorithm == Algorithm::Rsa15Private
            && !CONTENT_KEY_LENGTHS.contains(&content_encryption.key_len())
        {
            let message = format!(
                "{content_encryption} has a content key of {} bytes; {} takes 16 to 32, such as that of A256GCM",
                content_encryption.key_len(),
                role.algorithm
            );
            return Err(enc.refuse("WRONG_VALUE", message));
        }
        let compress = entries.maybe("zip");
        let compress = compress.map_or(Ok(false), |item| item.boolean())?;
        let expression = |item: &Item<'_>| Expression::parse(item, &declared.at(here));
        let mut header = Vec::new();
        if let Some(table) = entries.maybe("header") {
            for (name, item) in table.fields()?.rest() {
                if NOT_MEMBERS.contains(&name) {
                    let message = format!("{name:?} is not for the scheme to set");
                    return Err(item.refuse("WRONG_NAME", message));
                }
                let member = match item.is_table().then(|| item.fields()).transpose()? {
                    Some(mut entries) => match entries.maybe("number") {
                        Some(number) => {
                            entries.end()?;
                            Member::Number(expression(&number)?)
                        }
                        None => Member::Text(expression(&item)?),
                    },
                    None => Member::Text(expression(&item)?),
                };
                header.push((name.to_owned(), member));
            }
        }
        let plaintext = entries.maybe("plaintext");
        let plaintext = plaintext.map(|item| expression(&item)).transpose()?;
        let encrypted = Here {
            encrypted: true,
            ..here.clone()
        };
        let body = entries.maybe("body");
        let body = body
            .map(|item| {
                let body = Expression::parse(&item, &declared.at(&encrypted))?;
                match body.sources().contains(&&crate::scheme::source::Source::Encrypted) {
                    true => Ok(body),
                    false => Err(item.refuse(
                        "WRONG_VALUE",
                        "what is encrypted is no part of the body; expected { from = \"encrypted\" } in it",
                    )),
                }
            })
            .transpose()?;
        entries.end()?;
        Ok(Self {
            key: key.text()?.to_owned(),
            algorithm: role.algorithm,
            content_encryption,
            compress,
            header,
            plaintext,
            body,
        })
    }

    pub(super) fn order(&self, context: Context<'_>) -> Result<Sealing, EvaluationError> {
        let mut header = String::from("{");
        for (index, (name, member)) in self.header.iter().enumerate() {
            if index > 0 {
                header.push(',');
            }
            header.push_str(&format!("\"{}\":", json::escaped(name)));
            match member {
                Member::Text(expression) => {
                    let text = String::from_utf8(expression.bytes(context)?);
                    let text = text.map_err(|_| expression.error(Fault::Utf8))?;
                    header.push_str(&format!("\"{}\"", json::escaped(&text)));
                }
                Member::Number(expression) => {
                    let digits = expression.bytes(context)?;
                    let whole = digits.iter().all(u8::is_ascii_digit) && digits.len() < 20;
                    let canonical = digits.first() != Some(&b'0') || digits.len() == 1;
                    if digits.is_empty() || !whole || !canonical {
                        return Err(expression.error(Fault::NotANumber));
                    }
                    header.extend(digits.into_iter().map(char::from));
                }
            }
        }
        header.push('}');
        Ok(Sealing {
            key_role: self.key.clone(),
            algorithm: self.algorithm,
            content_encryption: self.content_encryption,
            compress: self.compress,
            header,
            plaintext: match &self.plaintext {
                Some(expression) => expression.bytes(context)?,
                None => context.message.body.to_vec(),
            },
        })
    }

    /// The body that the JWE goes out in.
    pub(super) fn body(
        &self,
        jwe: &[u8],
        context: Context<'_>,
    ) -> Result<Vec<u8>, EvaluationError> {
        match &self.body {
            None => Ok(jwe.to_vec()),
            Some(body) => body.bytes(context),
        }
    }
}

/// Set by the encryption itself, or naming a key by other means than its id.
const NOT_MEMBERS: [&str; 8] = ["alg", "enc", "zip", "epk", "jwk", "jku", "x5u", "crit"];
