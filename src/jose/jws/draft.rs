//! A JWS that is being made: header and signing input first, then the signature from the token.

use serde_json::{Map, Value, json};

use crate::{
    algorithm::{Algorithm, Purpose},
    jose::{HeaderError, Serialization, base64url, header},
};

/// What the caller wants signed, and how it is to be written.
#[derive(Clone, Copy, Debug)]
pub struct JwsParameters<'a> {
    /// What to sign with; becomes `alg`.
    pub algorithm: Algorithm,
    /// The key's own id, usually its thumbprint; a `kid` in either header replaces it.
    pub key_id: Option<&'a str>,
    /// The payload.
    pub payload: &'a [u8],
    /// JSON object to merge into the protected header; may be empty.
    pub protected_header: &'a str,
    /// JSON object for the unprotected header, JSON serializations only; may be empty.
    pub unprotected_header: &'a str,
    /// How to write it.
    pub serialization: Serialization,
    /// Whether the payload is left out (RFC 7515 appendix F).
    pub detached: bool,
    /// Whether the payload is signed as it is (`b64`: false, RFC 7797).
    pub unencoded_payload: bool,
}

/// A JWS without its signature.
#[derive(Clone, Debug)]
pub struct Draft {
    signing_input: Vec<u8>,
    /// Length of the encoded header at the start of the signing input.
    header_length: usize,
    /// As it stands in the JWS; `None` if detached.
    payload: Option<String>,
    unprotected: Map<String, Value>,
    serialization: Serialization,
}

impl Draft {
    /// Checks the headers and makes the signing input (RFC 7515 section 5.1).
    ///
    /// The protected header holds `alg`, then `kid`, then the caller's members in their order.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] if a member is refused or of the wrong type, or the payload can't be written
    /// in the way that is asked for.
    pub fn new(parameters: JwsParameters<'_>) -> Result<Self, HeaderError> {
        let JwsParameters {
            algorithm,
            payload,
            serialization,
            ..
        } = parameters;
        if !matches!(algorithm.purpose(), Purpose::Sign | Purpose::Mac) {
            return Err(HeaderError::Algorithm(algorithm));
        }
        let unprotected = header::read(
            "unprotected",
            parameters.unprotected_header,
            &REFUSED_UNPROTECTED,
        )?;
        if serialization == Serialization::Compact && !unprotected.is_empty() {
            return Err(HeaderError::Unprotected);
        }
        let protected = protected_header(&parameters, &unprotected)?;
        let payload_text = if parameters.unencoded_payload {
            unencoded(&parameters)?
        } else {
            Some(base64url::encode(payload))
        };
        let header = base64url::encode(Value::Object(protected).to_string().as_bytes());
        let signed = match &payload_text {
            Some(text) => text.as_bytes(),
            None => payload,
        };
        Ok(Self {
            signing_input: [header.as_bytes(), b".", signed].concat(),
            header_length: header.len(),
            payload: payload_text.filter(|_| !parameters.detached),
            unprotected,
            serialization,
        })
    }

    /// What the token is to sign.
    pub fn signing_input(&self) -> &[u8] {
        &self.signing_input
    }

    /// The JWS with the token's signature (ECDSA as r||s, RFC 7518 section 3.4).
    pub fn finish(self, signature: &[u8]) -> String {
        let protected = std::str::from_utf8(&self.signing_input[..self.header_length])
            .expect("base64url is ASCII");
        let signature = base64url::encode(signature);
        let mut object = Map::new();
        match self.serialization {
            Serialization::Compact => {
                return [protected, &self.payload.unwrap_or_default(), &signature].join(".");
            }
            Serialization::FlattenedJson => {
                object.extend(self.payload.map(|text| ("payload".to_owned(), json!(text))));
                object.extend(signature_members(protected, self.unprotected, &signature));
            }
            Serialization::GeneralJson => {
                object.extend(self.payload.map(|text| ("payload".to_owned(), json!(text))));
                let one = signature_members(protected, self.unprotected, &signature);
                object.insert("signatures".to_owned(), json!([one]));
            }
        }
        Value::Object(object).to_string()
    }
}

fn protected_header(
    parameters: &JwsParameters<'_>,
    unprotected: &Map<String, Value>,
) -> Result<Map<String, Value>, HeaderError> {
    let callers = header::read("protected", parameters.protected_header, &REFUSED)?;
    let mut critical = header::critical(&callers)?;
    if let Some(name) = callers.keys().find(|name| unprotected.contains_key(*name)) {
        return Err(HeaderError::Overlap(name.clone()));
    }
    let mut protected = Map::new();
    protected.insert("alg".to_owned(), json!(parameters.algorithm.name()));
    let key_id = match callers.get("kid") {
        Some(key_id) => Some(key_id.clone()),
        None if unprotected.contains_key("kid") => None,
        None => parameters.key_id.map(|key_id| json!(key_id)),
    };
    protected.extend(key_id.map(|key_id| ("kid".to_owned(), key_id)));
    protected.extend(callers.into_iter().filter(|(name, _)| name != "kid"));
    if parameters.unencoded_payload {
        protected.insert("b64".to_owned(), json!(false));
        critical.push("b64".to_owned());
        protected.insert("crit".to_owned(), json!(critical));
    }
    Ok(protected)
}

/// The payload as it stands in the JWS, if it does.
fn unencoded(parameters: &JwsParameters<'_>) -> Result<Option<String>, HeaderError> {
    if parameters.detached {
        return Ok(None);
    }
    let text = std::str::from_utf8(parameters.payload).map_err(|_| HeaderError::UnencodedJson);
    match parameters.serialization {
        // RFC 7797 section 5.2: what is safe wherever a compact JWS may go.
        Serialization::Compact => text
            .ok()
            .filter(|text| {
                text.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte))
            })
            .map(|text| Some(text.to_owned()))
            .ok_or(HeaderError::UnencodedCompact),
        Serialization::FlattenedJson | Serialization::GeneralJson => {
            text.map(|text| Some(text.to_owned()))
        }
    }
}

fn signature_members(
    protected: &str,
    unprotected: Map<String, Value>,
    signature: &str,
) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("protected".to_owned(), json!(protected));
    if !unprotected.is_empty() {
        members.insert("header".to_owned(), Value::Object(unprotected));
    }
    members.insert("signature".to_owned(), json!(signature));
    members
}

/// Set here, or naming a key by other means than its id.
const REFUSED: [&str; 5] = ["alg", "b64", "jwk", "jku", "x5u"];

/// The same, and `crit`, which must be protected.
const REFUSED_UNPROTECTED: [&str; 6] = ["alg", "b64", "crit", "jwk", "jku", "x5u"];
