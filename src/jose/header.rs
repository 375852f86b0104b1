//! The caller's own header members: what may be merged into a header that is made here.

use serde_json::{Map, Value};

use super::{MAX_HEADER, REGISTERED, json};
use crate::algorithm::{Algorithm, ContentEncryption};

/// Why a caller's header, or what else was asked of a JWS or JWE that is to be made, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a JSON object that can be read.
    #[error("the {which} header is refused: {cause}")]
    Json {
        /// Which header.
        which: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// A member that only this side may set, or that names keys.
    #[error("the {which} header may not hold {name:?}")]
    Refused {
        /// Which header.
        which: &'static str,
        /// The member.
        name: String,
    },
    /// A registered member that is not what its RFC says.
    #[error("the {which} header's {name:?} must be {expected}")]
    Member {
        /// Which header.
        which: &'static str,
        /// The member.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A name in both headers.
    #[error("{0:?} is in both the protected and the unprotected header")]
    Overlap(String),
    /// A name in `crit` that is no member, or that a registered specification defines.
    #[error(
        "\"crit\" names {0:?}; it may name only members of the protected header that RFC 7515, 7516 and 7518 do not define"
    )]
    Critical(String),
    /// Compact serialization has no place for it.
    #[error("compact serialization has no unprotected header")]
    Unprotected,
    /// An unencoded payload that would break compact serialization (RFC 7797 section 5.2).
    #[error(
        "an unencoded payload in a compact JWS may hold only A-Z a-z 0-9 - _ ~; detach it, encode it, or use a JSON serialization"
    )]
    UnencodedCompact,
    /// An unencoded payload that is no JSON string.
    #[error("an unencoded payload in a JSON serialization must be UTF-8; detach it, or encode it")]
    UnencodedJson,
    /// An algorithm for something else.
    #[error("{0} does not make signatures")]
    Algorithm(Algorithm),
    /// An algorithm and a content encryption, or either and a key, that do not go together.
    #[error("{0} with {1} can't be made for this key")]
    Combination(Algorithm, ContentEncryption),
}

/// Reads the caller's header; an empty text is an empty header.
pub(super) fn read(
    which: &'static str,
    text: &str,
    refused: &[&str],
) -> Result<Map<String, Value>, HeaderError> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    let members = json::object(text.as_bytes(), MAX_HEADER).map_err(|cause| HeaderError::Json {
        which,
        cause: cause.to_string(),
    })?;
    if let Some(name) = members.keys().find(|name| refused.contains(&name.as_str())) {
        return Err(HeaderError::Refused {
            which,
            name: name.clone(),
        });
    }
    for name in ["kid", "typ", "cty"] {
        if members.get(name).is_some_and(|value| !value.is_string()) {
            return Err(HeaderError::Member {
                which,
                name,
                expected: "a string",
            });
        }
    }
    Ok(members)
}

/// Checks the caller's `crit` and returns the names in it.
pub(super) fn critical(members: &Map<String, Value>) -> Result<Vec<String>, HeaderError> {
    let wrong = HeaderError::Member {
        which: "protected",
        name: "crit",
        expected: "a non-empty array of different strings",
    };
    let names = match members.get("crit") {
        None => return Ok(Vec::new()),
        Some(Value::Array(names)) if !names.is_empty() => names,
        Some(_) => return Err(wrong),
    };
    let mut critical = Vec::new();
    for name in names {
        let Value::String(name) = name else {
            return Err(wrong);
        };
        if critical.contains(name) {
            return Err(wrong);
        }
        if REGISTERED.contains(&name.as_str()) || !members.contains_key(name) {
            return Err(HeaderError::Critical(name.clone()));
        }
        critical.push(name.clone());
    }
    Ok(critical)
}
