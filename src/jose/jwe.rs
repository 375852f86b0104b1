//! JSON Web Encryption: reading one that somebody sent, and what makes and opens them.

use serde_json::{Map, Value};

use super::{MAX_HEADER, MAX_PARTIES, MAX_TEXT, base64url, json};

pub use encrypt::{EncryptError, encrypt_to_public};
pub use failure::DecryptionFailed;
pub use opening::{Opened, Opening, Step};
pub use origin::OriginDraft;
pub use recipient::{InvalidRecipient, PublicRecipient};
pub use seal::{SealDraft, SealStep};

use failure::Cause;

mod encrypt;
mod failure;
mod opening;
mod origin;
mod recipient;
mod seal;
#[cfg(test)]
mod tests;

/// A JWE that is well formed. [`Jwe::open`] says what the token has to do to open it.
pub struct Jwe {
    /// The protected header's JSON, exactly as received; empty if there is none.
    protected_header: String,
    compressed: bool,
    iv: Vec<u8>,
    /// The AAD as it goes into the content encryption (RFC 7516 section 5.1 step 14).
    aad: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Vec<u8>,
    recipients: Vec<Recipient>,
}

/// The joint header for one recipient (RFC 7516 section 5.2 step 4) and its encrypted key.
struct Recipient {
    header: Map<String, Value>,
    encrypted_key: Vec<u8>,
}

impl Jwe {
    /// Reads compact, flattened JSON or general JSON serialization.
    ///
    /// # Errors
    ///
    /// [`DecryptionFailed`] whatever is wrong with it. `crit` is refused: nothing that could be in it is
    /// understood. Embedded keys and links to keys (`jwk`, `jku`, `x5c`, `x5u`) are not looked at.
    pub fn parse(text: &str) -> Result<Self, DecryptionFailed> {
        if text.len() > MAX_TEXT {
            return Err(Cause::TooLong.into());
        }
        let frame = if text.trim_start().starts_with('{') {
            Frame::from_json(text)?
        } else {
            Frame::from_compact(text)?
        };
        frame.decode().map_err(DecryptionFailed::from)
    }

    /// `kid` of each recipient, in their order: hints for choosing a key; at least one, at most
    /// [`MAX_PARTIES`].
    pub fn recipients(&self) -> impl ExactSizeIterator<Item = Option<&str>> {
        self.recipients
            .iter()
            .map(|recipient| recipient.header.get("kid").and_then(Value::as_str))
    }
}

/// The parts as they stand in the text, nothing of them decoded.
struct Frame {
    protected: String,
    unprotected: Map<String, Value>,
    recipients: Vec<(Map<String, Value>, String)>,
    iv: String,
    aad: Option<String>,
    ciphertext: String,
    tag: String,
}

impl Frame {
    fn from_compact(text: &str) -> Result<Self, Cause> {
        // One more than wanted, so that a million dots cost no more than six.
        let parts = text.splitn(6, '.').collect::<Vec<_>>();
        let [protected, encrypted_key, iv, ciphertext, tag] = parts[..] else {
            return Err(Cause::Syntax);
        };
        if protected.is_empty() {
            return Err(Cause::Syntax);
        }
        Ok(Self {
            protected: protected.to_owned(),
            unprotected: Map::new(),
            recipients: vec![(Map::new(), encrypted_key.to_owned())],
            iv: iv.to_owned(),
            aad: None,
            ciphertext: ciphertext.to_owned(),
            tag: tag.to_owned(),
        })
    }

    fn from_json(text: &str) -> Result<Self, Cause> {
        let mut members = json::object(text.as_bytes(), MAX_TEXT).map_err(|_| Cause::Syntax)?;
        let recipients = match members.remove("recipients") {
            Some(Value::Array(recipients)) => {
                // RFC 7516 section 7.2.2: both at once are not one of the two syntaxes.
                if members.contains_key("header") || members.contains_key("encrypted_key") {
                    return Err(Cause::Syntax);
                }
                if recipients.is_empty() || recipients.len() > MAX_PARTIES {
                    return Err(Cause::Syntax);
                }
                recipients
                    .into_iter()
                    .map(|recipient| match recipient {
                        Value::Object(mut members) => recipient_from_json(&mut members),
                        _ => Err(Cause::Syntax),
                    })
                    .collect::<Result<_, _>>()?
            }
            Some(_) => return Err(Cause::Syntax),
            None => vec![recipient_from_json(&mut members)?],
        };
        let protected = optional_text(&mut members, "protected")?;
        if protected.as_deref() == Some("") {
            // RFC 7516 section 7.2.1: absent if there is none.
            return Err(Cause::Syntax);
        }
        Ok(Self {
            protected: protected.unwrap_or_default(),
            unprotected: optional_header(&mut members, "unprotected")?,
            recipients,
            iv: optional_text(&mut members, "iv")?.unwrap_or_default(),
            aad: optional_text(&mut members, "aad")?,
            ciphertext: optional_text(&mut members, "ciphertext")?.ok_or(Cause::Syntax)?,
            tag: optional_text(&mut members, "tag")?.unwrap_or_default(),
        })
    }

    fn decode(self) -> Result<Jwe, Cause> {
        if self.protected.len() > MAX_HEADER.div_ceil(3) * 4 {
            return Err(Cause::TooLong);
        }
        let decode = |text: &str| base64url::decode(text).ok_or(Cause::Base64);
        let bytes = decode(&self.protected)?;
        let protected = if self.protected.is_empty() {
            Map::new()
        } else {
            json::object(&bytes, MAX_HEADER).map_err(|_| Cause::Header)?
        };
        // RFC 7516 section 4.1.3: `zip` must be protected.
        let compressed = match protected.get("zip") {
            None => false,
            Some(Value::String(zip)) if zip == "DEF" => true,
            Some(_) => return Err(Cause::Compression),
        };
        let recipients = self
            .recipients
            .into_iter()
            .map(|(own, encrypted_key)| {
                if self.unprotected.contains_key("zip") || own.contains_key("zip") {
                    return Err(Cause::Compression);
                }
                Ok(Recipient {
                    header: joint(&[&protected, &self.unprotected, &own])?,
                    encrypted_key: decode(&encrypted_key)?,
                })
            })
            .collect::<Result<_, _>>()?;
        let mut aad = self.protected.into_bytes();
        if let Some(more) = &self.aad {
            decode(more)?;
            aad.push(b'.');
            aad.extend_from_slice(more.as_bytes());
        }
        Ok(Jwe {
            protected_header: String::from_utf8(bytes).map_err(|_| Cause::Header)?,
            compressed,
            iv: decode(&self.iv)?,
            aad,
            ciphertext: decode(&self.ciphertext)?,
            tag: decode(&self.tag)?,
            recipients,
        })
    }
}

/// The union of a recipient's headers, which may have no member in common.
fn joint(headers: &[&Map<String, Value>]) -> Result<Map<String, Value>, Cause> {
    let mut union = Map::new();
    for (name, value) in headers.iter().copied().flatten() {
        // RFC 7516 section 4.1.13: nothing that could be critical is understood.
        if name == "crit" {
            return Err(Cause::Header);
        }
        if union.insert(name.clone(), value.clone()).is_some() {
            return Err(Cause::Header);
        }
    }
    Ok(union)
}

fn recipient_from_json(
    members: &mut Map<String, Value>,
) -> Result<(Map<String, Value>, String), Cause> {
    let header = optional_header(members, "header")?;
    let encrypted_key = optional_text(members, "encrypted_key")?;
    Ok((header, encrypted_key.unwrap_or_default()))
}

fn optional_text(
    members: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<String>, Cause> {
    match members.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Cause::Syntax),
    }
}

fn optional_header(
    members: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Map<String, Value>, Cause> {
    match members.remove(name) {
        None => Ok(Map::new()),
        Some(header @ Value::Object(_)) if header.to_string().len() > MAX_HEADER => {
            Err(Cause::TooLong)
        }
        Some(Value::Object(header)) => Ok(header),
        Some(_) => Err(Cause::Syntax),
    }
}
