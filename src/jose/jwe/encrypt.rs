//! Making a JWE for somebody's public key.

use josekit::jwe::{
    JweContext, JweEncrypter, JweHeader,
    alg::{ecdh_es::EcdhEsJweAlgorithm as Ecdh, rsaes::RsaesJweAlgorithm as Rsa},
};
use serde_json::{Map, Value, json};

use super::PublicRecipient;
use crate::{
    algorithm::{Algorithm, ContentEncryption},
    jose::{HeaderError, base64url, header},
};

/// Why a JWE was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptError {
    /// The caller's header, or a combination that makes no JWE.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// An algorithm that can't be used with the recipient's key.
    #[error("{algorithm} can't be used with a key of type {key_type}")]
    KeyType {
        /// The algorithm.
        algorithm: Algorithm,
        /// The recipient's.
        key_type: crate::algorithm::KeyType,
    },
    /// An algorithm other than the one that the recipient's key is for.
    #[error("the recipient's key is for {expected}; {given} was asked for")]
    Algorithm {
        /// What the recipient says.
        expected: Algorithm,
        /// What was asked for.
        given: Algorithm,
    },
    /// RSA1_5 for a recipient who does not ask for it.
    #[error("RSA1_5 is used only for a recipient whose key says \"alg\": \"RSA1_5\"")]
    Rsa15,
    /// The token's result is not what was asked of it.
    #[error("the token gave {given} bytes; expected {expected}")]
    Result {
        /// Bytes.
        given: usize,
        /// Bytes.
        expected: usize,
    },
    /// The cryptographic library failed, which it should not.
    #[error("encryption failed: {0}")]
    Library(String),
}

/// Makes a JWE in compact serialization with a content key of its own.
///
/// The header holds `alg`, `enc`, `kid` (if the recipient's key has one and the caller gives none),
/// then the caller's members in their order, then `zip` and `epk`.
///
/// # Errors
///
/// [`EncryptError`] if the algorithm and the recipient do not go together, or the header is refused.
pub fn encrypt_to_public(
    recipient: &PublicRecipient,
    algorithm: Algorithm,
    content_encryption: ContentEncryption,
    plaintext: &[u8],
    protected_header: &str,
    compress: bool,
) -> Result<String, EncryptError> {
    let key_type = recipient.key().key_type();
    if !algorithm.fits(key_type) {
        return Err(EncryptError::KeyType {
            algorithm,
            key_type,
        });
    }
    match recipient.algorithm() {
        Some(expected) if expected != algorithm => {
            return Err(EncryptError::Algorithm {
                expected,
                given: algorithm,
            });
        }
        None if algorithm == Algorithm::Rsa15 => return Err(EncryptError::Rsa15),
        Some(_) | None => (),
    }
    let members = merged_header(
        algorithm,
        content_encryption,
        recipient.key_id(),
        protected_header,
        compress,
    )?;
    let library = |error: josekit::JoseError| EncryptError::Library(error.to_string());
    let header = JweHeader::from_map(members).map_err(|error| HeaderError::Json {
        which: "protected",
        cause: error.to_string(),
    })?;
    let encrypter = encrypter(recipient, algorithm)?.map_err(library)?;
    JweContext::new()
        .serialize_compact(plaintext, &header, &*encrypter)
        .map_err(library)
}

type Encrypter = Result<Box<dyn JweEncrypter>, josekit::JoseError>;

fn encrypter(recipient: &PublicRecipient, algorithm: Algorithm) -> Result<Encrypter, EncryptError> {
    let der = recipient.key().der();
    #[expect(
        deprecated,
        reason = "RSA1_5 only for who asks for it, see EncryptError::Rsa15"
    )]
    const RSA1_5: Rsa = Rsa::Rsa1_5;
    let rsa = |algorithm: Rsa| {
        algorithm
            .encrypter_from_der(der)
            .map(|encrypter| Box::new(encrypter) as Box<dyn JweEncrypter>)
    };
    let ecdh = |algorithm: Ecdh| {
        algorithm
            .encrypter_from_der(der)
            .map(|encrypter| Box::new(encrypter) as Box<dyn JweEncrypter>)
    };
    Ok(match algorithm {
        Algorithm::RsaOaep => rsa(Rsa::RsaOaep),
        Algorithm::RsaOaep256 => rsa(Rsa::RsaOaep256),
        Algorithm::Rsa15 => rsa(RSA1_5),
        Algorithm::EcdhEs => ecdh(Ecdh::EcdhEs),
        Algorithm::EcdhEsA128Kw => ecdh(Ecdh::EcdhEsA128kw),
        Algorithm::EcdhEsA256Kw => ecdh(Ecdh::EcdhEsA256kw),
        Algorithm::RsaPkcs1(_)
        | Algorithm::RsaPss(_)
        | Algorithm::Ecdsa(_)
        | Algorithm::EdDsa
        | Algorithm::Hmac(_)
        | Algorithm::A128Kw
        | Algorithm::A256Kw
        | Algorithm::Dir
        | Algorithm::RsaOaep256Mgf1Sha1
        | Algorithm::Rsa15Private => {
            return Err(EncryptError::KeyType {
                algorithm,
                key_type: recipient.key().key_type(),
            });
        }
    })
}

/// The protected header without what the encryption itself adds.
pub(super) fn merged_header(
    algorithm: Algorithm,
    content_encryption: ContentEncryption,
    key_id: Option<&str>,
    protected_header: &str,
    compress: bool,
) -> Result<Map<String, Value>, HeaderError> {
    let mut callers = header::read("protected", protected_header, &REFUSED)?;
    for name in ["apu", "apv"] {
        let good = |value: &Value| {
            value
                .as_str()
                .is_some_and(|text| base64url::decode(text).is_some())
        };
        if callers.get(name).is_some_and(|value| !good(value)) {
            return Err(HeaderError::Member {
                which: "protected",
                name,
                expected: "base64url without padding",
            });
        }
    }
    let mut members = Map::new();
    members.insert("alg".to_owned(), json!(algorithm.name()));
    members.insert("enc".to_owned(), json!(content_encryption.name()));
    let key_id = callers
        .shift_remove("kid")
        .or_else(|| key_id.map(|key_id| json!(key_id)));
    members.extend(key_id.map(|key_id| ("kid".to_owned(), key_id)));
    members.extend(callers);
    if compress {
        members.insert("zip".to_owned(), json!("DEF"));
    }
    Ok(members)
}

/// Set here, or naming a key by other means than its id, or understood by nobody.
const REFUSED: [&str; 8] = ["alg", "enc", "zip", "epk", "jwk", "jku", "x5u", "crit"];
