//! What has to be decrypted: before a message is examined, after it was found authentic, or by itself.

use crate::{
    algorithm::{Algorithm, ContentEncryption},
    scheme::{
        declared::{Declared, Here, KeyUse},
        document::{Item, SchemeError},
        expression::Expression,
        fault::{EvaluationError, Fault},
        message::{Bindings, Message},
        oaep::OaepHashes,
        source::{Context, Given, Made},
        values,
    },
};

/// A `[verify.decrypt]`, `[verify.open]` or `[decrypt]` of a scheme.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) key: String,
    algorithm: Algorithm,
    content: Content,
    /// What of the plaintext counts; all of it if there is none.
    message: Option<Expression>,
}

#[derive(Clone, Debug)]
enum Content {
    Jwe(Expression),
    AesGcm {
        encryption: ContentEncryption,
        iv: Expression,
        aad: Option<Expression>,
        ciphertext: Expression,
    },
    RsaOaep {
        hashes: OaepHashes,
        ciphertext: Expression,
    },
}

/// Something that a key of ours, or a secret in common, opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The role of the key.
    pub key_role: String,
    /// Its algorithm; `dir` where the key itself encrypts the content.
    pub algorithm: Algorithm,
    /// What it opens.
    pub content: SealedContent,
}

/// What a key opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealedContent {
    /// A JWE, whose header is not to be believed before it is compared with the key's record.
    Jwe(Vec<u8>),
    /// AES-GCM with the key itself.
    AesGcm {
        /// `A128GCM`, `A192GCM` or `A256GCM`.
        encryption: ContentEncryption,
        /// Twelve bytes.
        iv: Vec<u8>,
        /// The additional authenticated data.
        aad: Vec<u8>,
        /// The ciphertext and, behind it, the 16 bytes of the tag.
        ciphertext_and_tag: Vec<u8>,
    },
    /// RSA-OAEP without a label.
    RsaOaep {
        /// Both hashes.
        hashes: OaepHashes,
        /// As long as the modulus.
        ciphertext: Vec<u8>,
    },
}

impl Open {
    pub(super) fn parse(
        item: &Item<'_>,
        declared: &Declared,
        here: &Here,
    ) -> Result<Self, SchemeError> {
        let mut entries = item.fields()?;
        let key = entries.take("key")?;
        let algorithm = declared.role(&key, KeyUse::Decrypt)?.algorithm;
        let expression = |item: &Item<'_>| Expression::parse(item, &declared.at(here));
        let content = ["jwe", "aes_gcm", "rsa_oaep"].map(|name| entries.maybe(name));
        let direct = algorithm == Algorithm::Dir;
        let content = match content {
            [Some(jwe), None, None] if algorithm.is_for_values() => {
                let message = format!("no JWE has {algorithm}: it is for single values");
                return Err(jwe.refuse("WRONG_KEY", message));
            }
            [Some(jwe), None, None] => Content::Jwe(expression(&jwe)?),
            [None, Some(item), None] if direct => {
                let mut entries = item.fields()?;
                let enc = entries.take("enc")?;
                let encryption = match enc.text()? {
                    "A128GCM" => ContentEncryption::A128Gcm,
                    "A192GCM" => ContentEncryption::A192Gcm,
                    "A256GCM" => ContentEncryption::A256Gcm,
                    other => {
                        let message =
                            format!("expected A128GCM, A192GCM or A256GCM, found {other:?}");
                        return Err(enc.refuse("WRONG_VALUE", message));
                    }
                };
                let content = Content::AesGcm {
                    encryption,
                    iv: expression(&entries.take("iv")?)?,
                    aad: entries
                        .maybe("aad")
                        .map(|item| expression(&item))
                        .transpose()?,
                    ciphertext: expression(&entries.take("ciphertext")?)?,
                };
                entries.end()?;
                content
            }
            [None, Some(item), None] => {
                let message = format!("a key for aes_gcm has the algorithm dir, not {algorithm}");
                return Err(item.refuse("WRONG_KEY", message));
            }
            [None, None, Some(item)] => {
                let mut entries = item.fields()?;
                let hashes = OaepHashes::parse(&mut entries, algorithm)?;
                let ciphertext = expression(&entries.take("ciphertext")?)?;
                entries.end()?;
                Content::RsaOaep { hashes, ciphertext }
            }
            _ => {
                let expected = "expected one of jwe, aes_gcm, rsa_oaep";
                return Err(item.refuse("WRONG_VALUE", expected));
            }
        };
        let opened = Here {
            opened: true,
            ..here.clone()
        };
        let message = entries.maybe("message");
        let message = message
            .map(|item| Expression::parse(&item, &declared.at(&opened)))
            .transpose()?;
        entries.end()?;
        Ok(Self {
            key: key.text()?.to_owned(),
            algorithm,
            content,
            message,
        })
    }

    /// Everything that decides what comes out.
    pub(super) fn expressions(&self) -> Vec<&Expression> {
        match &self.content {
            Content::Jwe(expression) => vec![expression],
            Content::RsaOaep { ciphertext, .. } => vec![ciphertext],
            Content::AesGcm {
                iv,
                aad,
                ciphertext,
                ..
            } => [Some(iv), aad.as_ref(), Some(ciphertext)]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    /// What is to be opened; `None` if the message has nothing of the kind, and may.
    pub(super) fn order(&self, context: Context<'_>) -> Result<Option<Sealed>, EvaluationError> {
        let content = match &self.content {
            Content::Jwe(jwe) => match jwe.unless_omitted(context)? {
                None => return Ok(None),
                Some(jwe) => SealedContent::Jwe(jwe),
            },
            Content::RsaOaep { hashes, ciphertext } => match ciphertext.unless_omitted(context)? {
                None => return Ok(None),
                Some(ciphertext) => SealedContent::RsaOaep {
                    hashes: *hashes,
                    ciphertext,
                },
            },
            Content::AesGcm {
                encryption,
                iv,
                aad,
                ciphertext,
            } => {
                let Some(ciphertext_and_tag) = ciphertext.unless_omitted(context)? else {
                    return Ok(None);
                };
                if ciphertext_and_tag.len() < encryption.tag_len() {
                    let fault = Fault::Ciphertext("at least the 16 bytes of the tag");
                    return Err(ciphertext.error(fault));
                }
                let bytes = iv.bytes(context)?;
                if bytes.len() != encryption.iv_len() {
                    return Err(iv.error(Fault::Ciphertext("12 bytes of initialization vector")));
                }
                SealedContent::AesGcm {
                    encryption: *encryption,
                    iv: bytes,
                    aad: match aad {
                        None => Vec::new(),
                        Some(aad) => aad.bytes(context)?,
                    },
                    ciphertext_and_tag,
                }
            }
        };
        Ok(Some(Sealed {
            key_role: self.key.clone(),
            algorithm: self.algorithm,
            content,
        }))
    }

    /// What counts of what came out.
    pub(super) fn message(
        &self,
        opened: &[u8],
        message: &Message<'_>,
        bindings: &Bindings,
        values: &values::Made,
    ) -> Result<Vec<u8>, EvaluationError> {
        let Some(expression) = &self.message else {
            return Ok(opened.to_vec());
        };
        let given = Given {
            made: Made {
                opened: Some(opened),
                ..Made::default()
            },
            ..Given::new(bindings, values)
        };
        expression.bytes(given.with(message))
    }
}
