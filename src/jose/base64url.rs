//! Base64url without padding (RFC 7515 section 2), where each byte string has one spelling only.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Decodes; `None` for any other alphabet, padding, white space, or set bits behind the last byte.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Encodes.
pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two texts for the same bytes would be two messages with one signature.
    #[test]
    fn attack_15_base64_has_one_spelling() {
        assert_eq!(decode("AQ"), Some(vec![1]));
        assert_eq!(decode(""), Some(vec![]));
        for bad in [
            "AR", "AQ=", "AQ==", "AQ ", " AQ", "A", "AAAAA", "A+AA", "A/AA", "AQ\n", "A Q", "é",
            "AAB",
        ] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
