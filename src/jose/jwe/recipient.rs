//! Somebody else's public key, for whom a JWE is to be made.

use rsa::pkcs8::Document;
use serde_json::{Map, Value};

use crate::{
    algorithm::{Algorithm, Curve},
    jose::{MAX_HEADER, base64url, json},
    key::{InvalidPublicKey, PublicKey},
};

/// A public key that content keys can be encrypted to, with what its owner says of it.
#[derive(Clone, Debug)]
pub struct PublicRecipient {
    key: PublicKey,
    key_id: Option<String>,
    algorithm: Option<Algorithm>,
}

/// Why a text is not a public key for a recipient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecipient {
    /// Not a JSON object that can be read.
    #[error("the JWK is refused: {0}")]
    Json(String),
    /// A member of the JWK that is missing, or not what its RFC says.
    #[error("the JWK's {name:?} must be {expected}")]
    Member {
        /// The member.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A JWK with its private half, or a secret.
    #[error("the JWK holds a private key or a secret; give the public half only")]
    Private,
    /// A key whose owner says that it is for something else.
    #[error("the JWK's {0:?} says that it is not for encryption")]
    NotForEncryption(&'static str),
    /// Not PEM, or PEM of something else.
    #[error(
        "not PEM of a public key or a certificate (expected BEGIN PUBLIC KEY or BEGIN CERTIFICATE)"
    )]
    Pem,
    /// A key of a type or size that is not served.
    #[error(transparent)]
    Key(#[from] InvalidPublicKey),
}

impl PublicRecipient {
    /// The key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Reads a public JWK (RFC 7517) of type RSA or EC. `use` and `key_ops`, if there, must allow
    /// encryption; `alg`, if there, is the only algorithm it will be used with.
    ///
    /// # Errors
    ///
    /// [`InvalidRecipient`], also for a JWK that holds the private half.
    pub fn from_jwk(text: &str) -> Result<Self, InvalidRecipient> {
        let jwk = json::object(text.as_bytes(), MAX_HEADER)
            .map_err(|cause| InvalidRecipient::Json(cause.to_string()))?;
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]
            .iter()
            .any(|name| jwk.contains_key(*name))
        {
            return Err(InvalidRecipient::Private);
        }
        let (key, operations) = match text_of(&jwk, "kty")? {
            Some("RSA") => {
                let (n, e) = (bytes_of(&jwk, "n")?, bytes_of(&jwk, "e")?);
                (PublicKey::from_rsa(&n, &e)?, ["encrypt", "wrapKey"])
            }
            Some("EC") => {
                let curve = [Curve::P256, Curve::P384, Curve::P521]
                    .into_iter()
                    .find(|curve| jwk.get("crv").and_then(Value::as_str) == Some(curve.name()))
                    .ok_or(InvalidRecipient::Member {
                        name: "crv",
                        expected: "P-256, P-384 or P-521",
                    })?;
                let mut point = vec![4];
                for name in ["x", "y"] {
                    let coordinate = bytes_of(&jwk, name)?;
                    if coordinate.len() != curve.width() {
                        return Err(InvalidRecipient::Member {
                            name,
                            expected: "as wide as its curve",
                        });
                    }
                    point.extend(coordinate);
                }
                let key = PublicKey::from_ec_point(curve, &point)?;
                (key, ["deriveKey", "deriveBits"])
            }
            _ => {
                return Err(InvalidRecipient::Member {
                    name: "kty",
                    expected: "\"RSA\" or \"EC\"",
                });
            }
        };
        if text_of(&jwk, "use")?.is_some_and(|purpose| purpose != "enc") {
            return Err(InvalidRecipient::NotForEncryption("use"));
        }
        check_operations(&jwk, operations)?;
        let algorithm = match text_of(&jwk, "alg")? {
            None => None,
            Some(name) => {
                Some(
                    name.parse::<Algorithm>()
                        .map_err(|_| InvalidRecipient::Member {
                            name: "alg",
                            expected: "an algorithm that is served",
                        })?,
                )
            }
        };
        Ok(Self {
            key,
            key_id: text_of(&jwk, "kid")?.map(str::to_owned),
            algorithm,
        })
    }

    /// Reads a public key (SubjectPublicKeyInfo) or a certificate, PEM. Of a certificate only the key is
    /// read: who vouches for it, and until when, is for the caller to have checked.
    ///
    /// # Errors
    ///
    /// [`InvalidRecipient`] if it is neither, or its key is not served.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidRecipient> {
        let (label, document) = Document::from_pem(pem).map_err(|_| InvalidRecipient::Pem)?;
        let key = match label {
            "PUBLIC KEY" => PublicKey::from_spki(document.as_bytes())?,
            "CERTIFICATE" => {
                PublicKey::from_certificate(document.as_bytes()).ok_or(InvalidRecipient::Pem)??
            }
            _ => return Err(InvalidRecipient::Pem),
        };
        Ok(Self::from_public_key(&key, None))
    }

    /// A public key that is known already, such as that of a key in the token.
    pub fn from_public_key(key: &PublicKey, key_id: Option<&str>) -> Self {
        Self {
            key: key.clone(),
            key_id: key_id.map(str::to_owned),
            algorithm: None,
        }
    }

    /// The same, to be used with this algorithm only.
    pub fn only_with(self, algorithm: Algorithm) -> Self {
        Self {
            algorithm: Some(algorithm),
            ..self
        }
    }

    /// The key.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What goes into `kid`.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The only algorithm that its owner wants it used with, if the owner says so.
    pub const fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }
}

/// `key_ops` (RFC 7517 section 4.3) must hold one of what encrypting takes. The public half of a key for
/// ECDH has an empty list in the Web Cryptography API.
fn check_operations(jwk: &Map<String, Value>, wanted: [&str; 2]) -> Result<(), InvalidRecipient> {
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(names)) => {
            let derives = wanted.contains(&"deriveKey");
            let good = names
                .iter()
                .any(|name| name.as_str().is_some_and(|name| wanted.contains(&name)));
            if good || (derives && names.is_empty()) {
                Ok(())
            } else {
                Err(InvalidRecipient::NotForEncryption("key_ops"))
            }
        }
        Some(_) => Err(InvalidRecipient::Member {
            name: "key_ops",
            expected: "an array of strings",
        }),
    }
}

fn text_of<'a>(
    jwk: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, InvalidRecipient> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(InvalidRecipient::Member {
            name,
            expected: "a string",
        }),
    }
}

fn bytes_of(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, InvalidRecipient> {
    text_of(jwk, name)?
        .and_then(base64url::decode)
        .ok_or(InvalidRecipient::Member {
            name,
            expected: "base64url without padding",
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Hash;

    const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}"#;
    const RSA: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

    /// RFC 7517 appendix A.1: read, and written again with the same required members.
    #[test]
    fn rfc7517_public_keys() {
        for (text, kid, algorithm) in [
            (EC, "1", None),
            (RSA, "2011-04-29", Some(Algorithm::RsaPkcs1(Hash::Sha256))),
        ] {
            let recipient = PublicRecipient::from_jwk(text).unwrap();
            assert_eq!(recipient.key_id(), Some(kid));
            assert_eq!(recipient.algorithm(), algorithm);
            let given: Map<String, Value> = serde_json::from_str(text).unwrap();
            for (name, value) in recipient.key().jwk() {
                assert_eq!(given.get(&name), Some(&value), "{name}");
            }
        }
    }

    /// RFC 7517 appendix A.2 and A.3 hold private keys and secrets: those are not taken.
    #[test]
    fn rfc7517_private_keys_and_secrets_are_refused() {
        let private = EC.replace(
            r#""use""#,
            r#""d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","use""#,
        );
        let secret = r#"{"kty":"oct","alg":"A128KW","k":"GawgguFyGrWKav7AX4VKUg"}"#;
        for text in [private.as_str(), secret] {
            assert_eq!(
                PublicRecipient::from_jwk(text).unwrap_err(),
                InvalidRecipient::Private
            );
        }
    }
}
