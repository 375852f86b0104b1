//! The claims of a JWT (RFC 7519 section 4), read strictly, so that what is looked at is what a verifier will see.

use serde_json::{Map, Value};

use super::{
    MAX_TEXT,
    json::{self, InvalidJson},
};

/// A payload that is not the claims set of a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidClaims(InvalidJson);

/// Reads a claims set: one JSON object in UTF-8 without a name that occurs twice.
///
/// # Errors
///
/// [`InvalidClaims`] says which of these it is not; it has nothing of the payload in it.
pub fn claims(payload: &[u8]) -> Result<Map<String, Value>, InvalidClaims> {
    json::object(payload, MAX_TEXT).map_err(InvalidClaims)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7519 section 3.1, the example; section 4: names must be unique.
    #[test]
    fn a_claims_set_is_one_object_with_distinct_names() {
        let example =
            b"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
        let read = claims(example).unwrap();
        assert_eq!(read["exp"], 1_300_819_380);
        for bad in [
            &b"{\"iss\":\"a\",\"iss\":\"b\"}"[..],
            b"[]",
            b"{}{}",
            b"\xff",
            b"",
        ] {
            assert!(claims(bad).is_err(), "{bad:?}");
        }
    }
}
