//! JSON Web Signature: reading one that somebody sent, into what is to be verified.

use serde_json::{Map, Value};

use super::{MAX_HEADER, MAX_PARTIES, MAX_TEXT, REGISTERED, base64url, json};
use crate::algorithm::{Algorithm, Purpose};

pub use draft::{Draft, JwsParameters};
pub use malformed::Malformed;

mod draft;
mod malformed;
#[cfg(test)]
mod tests;

/// A JWS that is well formed. Whether a signature is good is for the caller to find out, with a key
/// of its own choice that may be used with the candidate's algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jws {
    payload: Vec<u8>,
    candidates: Vec<Candidate>,
}

/// One signature of a JWS, with what it claims to be over and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    algorithm: Algorithm,
    key_id: Option<String>,
    protected_header: String,
    signing_input: Vec<u8>,
    signature: Vec<u8>,
}

impl Jws {
    /// Reads compact, flattened JSON or general JSON serialization.
    ///
    /// `detached_payload` is the payload if it is not in the JWS (RFC 7515 appendix F);
    /// `understood_critical` are the names in `crit` that the caller acts on, besides `b64`
    /// (RFC 7797). Embedded keys and links to keys (`jwk`, `jku`, `x5c`, `x5u`) are not looked at.
    ///
    /// # Errors
    ///
    /// [`Malformed`] says what is wrong with it. One bad signature of several makes the whole bad.
    pub fn parse(
        text: &str,
        detached_payload: Option<&[u8]>,
        understood_critical: &[String],
    ) -> Result<Self, Malformed> {
        if text.len() > MAX_TEXT {
            return Err(Malformed::TooLong);
        }
        let frame = if text.trim_start().starts_with('{') {
            Frame::from_json(text)?
        } else {
            Frame::from_compact(text)?
        };
        let heads = frame
            .signatures
            .iter()
            .map(|signature| Head::read(signature, understood_critical))
            .collect::<Result<Vec<_>, _>>()?;
        // RFC 7797 section 3: one payload can't be written in two ways at once.
        let encoded = heads[0].encoded;
        if heads.iter().any(|head| head.encoded != encoded) {
            return Err(Malformed::MixedEncoding);
        }
        let written = match (&frame.payload, detached_payload) {
            (Some(_), Some(_)) => return Err(Malformed::PayloadTwice),
            // In compact form "detached" and "empty" look the same.
            (None, None) if !frame.compact => return Err(Malformed::PayloadMissing),
            (written, _) => written.as_ref(),
        };
        let (payload, signed) = match (written, detached_payload, encoded) {
            (Some(text), _, true) => {
                let payload = base64url::decode(text).ok_or(Malformed::Base64("payload"))?;
                (payload, text.clone().into_bytes())
            }
            (Some(text), _, false) => {
                if frame.compact && !text.bytes().all(may_stand_in_compact) {
                    return Err(Malformed::UnencodedPayload);
                }
                (text.clone().into_bytes(), text.clone().into_bytes())
            }
            (None, detached, encoded) => {
                let payload = detached.unwrap_or_default().to_vec();
                let signed = if encoded {
                    base64url::encode(&payload).into_bytes()
                } else {
                    payload.clone()
                };
                (payload, signed)
            }
        };
        let candidates = frame
            .signatures
            .into_iter()
            .zip(heads)
            .map(|(signature, head)| Candidate {
                algorithm: head.algorithm,
                key_id: head.key_id,
                protected_header: head.text,
                signing_input: [signature.protected.as_bytes(), b".", &signed].concat(),
                signature: head.signature,
            })
            .collect();
        Ok(Self {
            payload,
            candidates,
        })
    }

    /// The payload. Nobody has vouched for it until a candidate was verified.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures, in their order; at least one, at most [`MAX_PARTIES`].
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

impl Candidate {
    /// `alg`: of those that sign or make MACs.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// `kid`, from either header: a hint.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The protected header's JSON, exactly as received; empty if there is none.
    pub fn protected_header(&self) -> &str {
        &self.protected_header
    }

    /// What the signature is over (RFC 7515 section 5.2 step 8).
    pub fn signing_input(&self) -> &[u8] {
        &self.signing_input
    }

    /// The signature; never empty.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// The parts as they stand in the text, nothing of them decoded.
struct Frame {
    compact: bool,
    /// `None` if it is detached, or empty in compact form.
    payload: Option<String>,
    signatures: Vec<RawSignature>,
}

struct RawSignature {
    /// As in the text; empty if there is none.
    protected: String,
    unprotected: Map<String, Value>,
    signature: String,
}

impl Frame {
    fn from_compact(text: &str) -> Result<Self, Malformed> {
        // One more than wanted, so that a million dots cost no more than four.
        let parts = text.splitn(4, '.').collect::<Vec<_>>();
        let [protected, payload, signature] = parts[..] else {
            return Err(Malformed::NotJws);
        };
        Ok(Self {
            compact: true,
            payload: (!payload.is_empty()).then(|| payload.to_owned()),
            signatures: vec![RawSignature {
                protected: protected.to_owned(),
                unprotected: Map::new(),
                signature: signature.to_owned(),
            }],
        })
    }

    fn from_json(text: &str) -> Result<Self, Malformed> {
        let mut members = json::object(text.as_bytes(), MAX_TEXT).map_err(Malformed::json)?;
        if ["ciphertext", "recipients", "encrypted_key"]
            .iter()
            .any(|name| members.contains_key(*name))
        {
            return Err(Malformed::NotJws);
        }
        let payload = optional_text(&mut members, "payload")?;
        let signatures = match members.remove("signatures") {
            Some(signatures) => {
                // RFC 7515 section 7.2.2: both at once are not one of the two syntaxes.
                if ["signature", "protected", "header"]
                    .iter()
                    .any(|name| members.contains_key(*name))
                {
                    return Err(Malformed::Ambiguous);
                }
                let Value::Array(signatures) = signatures else {
                    return Err(Malformed::MemberType("signatures"));
                };
                if signatures.is_empty() || signatures.len() > MAX_PARTIES {
                    return Err(Malformed::SignatureCount(signatures.len()));
                }
                signatures
                    .into_iter()
                    .map(|signature| match signature {
                        Value::Object(members) => RawSignature::from_json(members),
                        _ => Err(Malformed::MemberType("signatures")),
                    })
                    .collect::<Result<_, _>>()?
            }
            None => vec![RawSignature::from_json(members)?],
        };
        Ok(Self {
            compact: false,
            payload,
            signatures,
        })
    }
}

impl RawSignature {
    fn from_json(mut members: Map<String, Value>) -> Result<Self, Malformed> {
        let protected = optional_text(&mut members, "protected")?;
        if protected.as_deref() == Some("") {
            // RFC 7515 section 7.2.1: absent if there is none.
            return Err(Malformed::MemberType("protected"));
        }
        let unprotected = match members.remove("header") {
            None => Map::new(),
            Some(header @ Value::Object(_)) if header.to_string().len() > MAX_HEADER => {
                return Err(Malformed::HeaderTooLong);
            }
            Some(Value::Object(header)) => header,
            Some(_) => return Err(Malformed::MemberType("header")),
        };
        Ok(Self {
            protected: protected.unwrap_or_default(),
            unprotected,
            signature: optional_text(&mut members, "signature")?
                .ok_or(Malformed::SignatureMissing)?,
        })
    }
}

/// What both headers of one signature say together.
struct Head {
    text: String,
    algorithm: Algorithm,
    key_id: Option<String>,
    encoded: bool,
    signature: Vec<u8>,
}

impl Head {
    fn read(raw: &RawSignature, understood_critical: &[String]) -> Result<Self, Malformed> {
        if raw.protected.len() > MAX_HEADER.div_ceil(3) * 4 {
            return Err(Malformed::HeaderTooLong);
        }
        let bytes =
            base64url::decode(&raw.protected).ok_or(Malformed::Base64("protected header"))?;
        let protected = if raw.protected.is_empty() && !raw.unprotected.is_empty() {
            Map::new()
        } else {
            json::object(&bytes, MAX_HEADER).map_err(Malformed::json)?
        };
        let text = String::from_utf8(bytes).map_err(|_| Malformed::Json)?;
        if raw
            .unprotected
            .keys()
            .any(|name| protected.contains_key(name))
        {
            return Err(Malformed::HeadersOverlap);
        }
        let encoded = read_critical(&protected, &raw.unprotected, understood_critical)?;
        let member = |name| protected.get(name).or_else(|| raw.unprotected.get(name));
        let algorithm = match member("alg") {
            Some(Value::String(name)) => name
                .parse::<Algorithm>()
                .ok()
                .filter(|algorithm| matches!(algorithm.purpose(), Purpose::Sign | Purpose::Mac))
                .ok_or_else(|| Malformed::Algorithm(name.chars().take(64).collect()))?,
            Some(_) => return Err(Malformed::MemberType("alg")),
            None => return Err(Malformed::AlgorithmMissing),
        };
        let key_id = match member("kid") {
            None => None,
            Some(Value::String(key_id)) => Some(key_id.clone()),
            Some(_) => return Err(Malformed::MemberType("kid")),
        };
        let signature = base64url::decode(&raw.signature).ok_or(Malformed::Base64("signature"))?;
        if signature.is_empty() {
            return Err(Malformed::SignatureMissing);
        }
        Ok(Self {
            text,
            algorithm,
            key_id,
            encoded,
            signature,
        })
    }
}

/// Checks `crit` (RFC 7515 section 4.1.11) and tells whether the payload is base64url (RFC 7797).
fn read_critical(
    protected: &Map<String, Value>,
    unprotected: &Map<String, Value>,
    understood: &[String],
) -> Result<bool, Malformed> {
    if unprotected.contains_key("crit") || unprotected.contains_key("b64") {
        return Err(Malformed::CriticalUnprotected);
    }
    let mut critical = Vec::new();
    match protected.get("crit") {
        None => (),
        Some(Value::Array(names)) if !names.is_empty() => {
            for name in names {
                let Value::String(name) = name else {
                    return Err(Malformed::MemberType("crit"));
                };
                if critical.contains(&name) || REGISTERED.contains(&name.as_str()) {
                    return Err(Malformed::MemberType("crit"));
                }
                if !protected.contains_key(name) {
                    return Err(Malformed::CriticalMissing);
                }
                if name != "b64" && !understood.contains(name) {
                    return Err(Malformed::CriticalUnknown(name.chars().take(64).collect()));
                }
                critical.push(name);
            }
        }
        Some(_) => return Err(Malformed::MemberType("crit")),
    }
    match protected.get("b64") {
        None => Ok(true),
        // RFC 7797 section 6: who does not know b64 must stumble over it.
        Some(Value::Bool(encoded)) if critical.iter().any(|name| *name == "b64") => Ok(*encoded),
        Some(Value::Bool(_)) => Err(Malformed::Base64NotCritical),
        Some(_) => Err(Malformed::MemberType("b64")),
    }
}

/// RFC 7797 section 5.2: what an unencoded payload in compact form is made of.
fn may_stand_in_compact(byte: u8) -> bool {
    matches!(byte, b' '..=b'-' | b'/'..=b'~')
}

fn optional_text(
    members: &mut Map<String, Value>,
    name: &'static str,
) -> Result<Option<String>, Malformed> {
    match members.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Malformed::MemberType(name)),
    }
}
