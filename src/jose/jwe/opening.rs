//! Opening a JWE: what the token has to do, and what is made of what it did.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{DecryptionFailed, Jwe, failure::Cause};
use crate::{
    algorithm::{Algorithm, ContentEncryption, Curve, KeyType},
    jose::{
        base64url,
        content::{self, Sealed},
        inflate, kdf, key_wrap,
    },
    key::{PublicKey, Usage},
};

/// A JWE that may be opened with a key, up to what only the token can do.
pub struct Opening<'a> {
    jwe: &'a Jwe,
    algorithm: Algorithm,
    content_encryption: ContentEncryption,
    step: Step,
    agreement: Agreement,
}

/// What the token has to do.
pub enum Step {
    /// Decrypt the content key by RSA, as the opening's algorithm says.
    Decrypt {
        /// As long as the modulus.
        encrypted_key: Vec<u8>,
    },
    /// Agree on a secret by ECDH; the result is Z, as wide as the curve, with its leading zeros.
    Agree {
        /// The sender's ephemeral point, `04 || x || y`, known to be on the key's curve.
        point: Vec<u8>,
    },
    /// Unwrap the content key by AES key wrap (RFC 3394).
    Unwrap {
        /// Eight bytes longer than the content key.
        wrapped_key: Vec<u8>,
    },
    /// Decrypt the content itself by AES-GCM; the result is the plaintext.
    Open {
        /// Twelve bytes.
        iv: Vec<u8>,
        /// The additional authenticated data.
        aad: Vec<u8>,
        /// The ciphertext and, behind it, the 16 bytes of the tag.
        ciphertext_and_tag: Vec<u8>,
    },
}

/// What was in a JWE.
pub struct Opened {
    /// The plaintext, inflated if it was compressed.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The protected header's JSON, exactly as received; empty if there is none.
    pub protected_header: String,
    /// `alg`.
    pub algorithm: Algorithm,
    /// `enc`.
    pub content_encryption: ContentEncryption,
}

/// What comes in when a secret was agreed on (RFC 7518 section 4.6).
#[derive(Default)]
struct Agreement {
    apu: Vec<u8>,
    apv: Vec<u8>,
    /// Empty if the agreed key encrypts the content itself.
    wrapped_key: Vec<u8>,
}

impl Jwe {
    /// Checks that a key with this usage may open the message for the recipient with this index, and
    /// says what the token has to do.
    ///
    /// # Errors
    ///
    /// [`DecryptionFailed`] if `alg` or `enc` are not in the key's record, if the message is compressed
    /// and the key's record does not allow that, or if any length or the ephemeral key is wrong.
    pub fn open(&self, index: usize, usage: &Usage) -> Result<Opening<'_>, DecryptionFailed> {
        self.prepare(index, usage).map_err(DecryptionFailed::from)
    }

    /// The openings to try with a key of this usage: of the recipients whose `kid` is the key's, or if
    /// there is none, of all that such a key may open.
    ///
    /// # Errors
    ///
    /// [`DecryptionFailed`] if there is none.
    pub fn openings(
        &self,
        is_keys: impl Fn(&str) -> bool,
        usage: &Usage,
    ) -> Result<Vec<Opening<'_>>, DecryptionFailed> {
        let named = self.recipients().any(|hint| hint.is_some_and(&is_keys));
        let mut failure = DecryptionFailed::from(Cause::NoRecipient);
        let mut openings = Vec::new();
        for (index, hint) in self.recipients().enumerate() {
            if named && !hint.is_some_and(&is_keys) {
                continue;
            }
            match self.open(index, usage) {
                Ok(opening) => openings.push(opening),
                Err(other) => failure = other,
            }
        }
        if openings.is_empty() {
            return Err(failure);
        }
        Ok(openings)
    }

    fn prepare(&self, index: usize, usage: &Usage) -> Result<Opening<'_>, Cause> {
        let recipient = self.recipients.get(index).ok_or(Cause::NoRecipient)?;
        let header = &recipient.header;
        let algorithm = text(header, "alg")?
            .and_then(|name| name.parse::<Algorithm>().ok())
            .filter(|algorithm| usage.allows(*algorithm))
            .ok_or(Cause::Algorithm)?;
        let content_encryption = text(header, "enc")?
            .and_then(|name| name.parse::<ContentEncryption>().ok())
            .filter(|encryption| usage.content_encryptions().contains(encryption))
            .ok_or(Cause::ContentEncryption)?;
        if self.compressed && !usage.compression_allowed() {
            return Err(Cause::Compression);
        }
        if !content::lengths_fit(content_encryption, &self.iv, &self.tag) {
            return Err(Cause::Length);
        }
        text(header, "kid")?;
        let mut agreement = Agreement {
            apu: party(header, "apu")?,
            apv: party(header, "apv")?,
            wrapped_key: Vec::new(),
        };
        let encrypted_key = recipient.encrypted_key.clone();
        let wrapped_length = content_encryption.key_len() + key_wrap::OVERHEAD;
        let step = match algorithm {
            Algorithm::RsaOaep | Algorithm::RsaOaep256 | Algorithm::Rsa15 => {
                let KeyType::Rsa(size) = usage.key_type() else {
                    return Err(Cause::Algorithm);
                };
                if encrypted_key.len() * 8 != size.bits() {
                    return Err(Cause::Length);
                }
                Step::Decrypt { encrypted_key }
            }
            Algorithm::EcdhEs | Algorithm::EcdhEsA128Kw | Algorithm::EcdhEsA256Kw => {
                let KeyType::Ec(curve) = usage.key_type() else {
                    return Err(Cause::Algorithm);
                };
                let length = match wrapping_key_len(algorithm) {
                    Some(_) => wrapped_length,
                    None => self.direct(0)?,
                };
                if encrypted_key.len() != length {
                    return Err(Cause::Length);
                }
                agreement.wrapped_key = encrypted_key;
                Step::Agree {
                    point: ephemeral_point(header, curve)?,
                }
            }
            Algorithm::A128Kw | Algorithm::A256Kw => {
                if encrypted_key.len() != wrapped_length {
                    return Err(Cause::Length);
                }
                Step::Unwrap {
                    wrapped_key: encrypted_key,
                }
            }
            Algorithm::Dir => {
                if encrypted_key.len() != self.direct(0)? {
                    return Err(Cause::Length);
                }
                if !is_gcm(content_encryption) {
                    return Err(Cause::ContentEncryption);
                }
                Step::Open {
                    iv: self.iv.clone(),
                    aad: self.aad.clone(),
                    ciphertext_and_tag: [&self.ciphertext[..], &self.tag].concat(),
                }
            }
            Algorithm::RsaPkcs1(_)
            | Algorithm::RsaPss(_)
            | Algorithm::Ecdsa(_)
            | Algorithm::EdDsa
            | Algorithm::Hmac(_)
            | Algorithm::RsaOaep256Mgf1Sha1
            | Algorithm::Rsa15Private => return Err(Cause::Algorithm),
        };
        Ok(Opening {
            jwe: self,
            algorithm,
            content_encryption,
            step,
            agreement,
        })
    }

    /// With one key for the content and no way to hand it to others, there is one recipient only.
    fn direct(&self, length: usize) -> Result<usize, Cause> {
        if self.recipients.len() == 1 {
            Ok(length)
        } else {
            Err(Cause::NoRecipient)
        }
    }
}

impl Opening<'_> {
    /// `alg`, which is one of the key's.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// `enc`, which is one of the key's.
    pub const fn content_encryption(&self) -> ContentEncryption {
        self.content_encryption
    }

    /// What the token has to do.
    pub const fn step(&self) -> &Step {
        &self.step
    }

    /// Opens the message with what the token gave; `None` if the token refused what the message brought.
    ///
    /// A content key that the token refused, or that has the wrong length, is replaced by a random
    /// one that goes the same way and fails at the tag (RFC 7516 section 11.5).
    ///
    /// # Errors
    ///
    /// [`DecryptionFailed`] whatever is wrong.
    pub fn finish(self, outcome: Option<Zeroizing<Vec<u8>>>) -> Result<Opened, DecryptionFailed> {
        let plaintext = self.plaintext(outcome)?;
        let plaintext = if self.jwe.compressed {
            inflate::inflate(&plaintext).ok_or(Cause::Compression)?
        } else {
            plaintext
        };
        Ok(Opened {
            plaintext,
            protected_header: self.jwe.protected_header.clone(),
            algorithm: self.algorithm,
            content_encryption: self.content_encryption,
        })
    }

    fn plaintext(&self, outcome: Option<Zeroizing<Vec<u8>>>) -> Result<Zeroizing<Vec<u8>>, Cause> {
        let content_key = match &self.step {
            Step::Open {
                ciphertext_and_tag, ..
            } => {
                // A token that gave another length did not do AES-GCM.
                let length = ciphertext_and_tag.len() - self.content_encryption.tag_len();
                return outcome
                    .filter(|plaintext| plaintext.len() == length)
                    .ok_or(Cause::Token);
            }
            Step::Decrypt { .. } | Step::Unwrap { .. } => outcome,
            Step::Agree { .. } => outcome.and_then(|secret| self.agreed(&secret)),
        };
        // Drawn before it is known whether it is needed, so that it takes the same time.
        let mut random = Zeroizing::new(vec![0; self.content_encryption.key_len()]);
        aws_lc_rs::rand::fill(&mut random).map_err(|_| Cause::Token)?;
        let content_key = match content_key {
            Some(key) if key.len() == random.len() => key,
            _ => random,
        };
        let sealed = Sealed {
            iv: &self.jwe.iv,
            aad: &self.jwe.aad,
            ciphertext: &self.jwe.ciphertext,
            tag: &self.jwe.tag,
        };
        content::open(self.content_encryption, &content_key, sealed).ok_or(Cause::Content)
    }

    /// The content key from the agreed secret Z (RFC 7518 section 4.6).
    fn agreed(&self, secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let Agreement {
            apu,
            apv,
            wrapped_key,
        } = &self.agreement;
        match wrapping_key_len(self.algorithm) {
            None => Some(kdf::concat(
                secret,
                self.content_encryption.key_len(),
                self.content_encryption.name(),
                apu,
                apv,
            )),
            Some(length) => {
                let wrapping_key = kdf::concat(secret, length, self.algorithm.name(), apu, apv);
                key_wrap::unwrap(&wrapping_key, wrapped_key)
            }
        }
    }
}

/// Reads `epk` (RFC 7518 section 4.6.1.1): a point on exactly the key's curve. One on another curve, or on none,
/// would make the token leak its key bit by bit.
fn ephemeral_point(header: &Map<String, Value>, curve: Curve) -> Result<Vec<u8>, Cause> {
    let Some(Value::Object(jwk)) = header.get("epk") else {
        return Err(Cause::Point);
    };
    let is = |name, expected| jwk.get(name).and_then(Value::as_str) == Some(expected);
    if !is("kty", "EC") || !is("crv", curve.name()) || jwk.contains_key("d") {
        return Err(Cause::Point);
    }
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = jwk
            .get(name)
            .and_then(Value::as_str)
            .and_then(base64url::decode)
            .filter(|coordinate| coordinate.len() == curve.width())
            .ok_or(Cause::Point)?;
        point.extend(coordinate);
    }
    PublicKey::from_ec_point(curve, &point).map_err(|_| Cause::Point)?;
    Ok(point)
}

/// `apu` or `apv` (RFC 7518 section 4.6.1.2), decoded; empty if absent.
fn party(header: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Cause> {
    match text(header, name)? {
        None => Ok(Vec::new()),
        Some(text) => base64url::decode(text).ok_or(Cause::Header),
    }
}

pub(super) fn text<'a>(
    header: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, Cause> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Cause::Header),
    }
}

/// How long a key ECDH-ES derives for unwrapping; `None` if it encrypts the content itself.
const fn wrapping_key_len(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::EcdhEsA128Kw => Some(16),
        Algorithm::EcdhEsA256Kw => Some(32),
        _ => None,
    }
}

const fn is_gcm(encryption: ContentEncryption) -> bool {
    matches!(
        encryption,
        ContentEncryption::A128Gcm | ContentEncryption::A192Gcm | ContentEncryption::A256Gcm
    )
}
