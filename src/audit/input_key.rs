//! The key with which inputs are hashed where a plain hash would tell too much.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use zeroize::Zeroizing;

use crate::audit::{Digest, InputDigest};

/// A key that a key of the token makes of [`InputKey::LABEL`]. It is in this process's memory, as inputs are anyway,
/// and is worth nothing but to try guesses with.
pub struct InputKey(Zeroizing<[u8; 32]>);

impl InputKey {
    /// What the key of the token makes its HMAC-SHA-256 of.
    pub const LABEL: &'static [u8] = b"chancery audit input";

    /// Of that HMAC; `None` if it is none.
    pub fn new(mac: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(mac.try_into().ok()?)))
    }

    /// The HMAC-SHA-256 of the SHA-256 that would have been recorded.
    pub fn hash(&self, input: InputDigest) -> InputDigest {
        let InputDigest::Sha256(digest) = input else {
            return input;
        };
        let key = Key::new(HMAC_SHA256, &self.0[..]);
        let mac = sign(&key, digest.as_bytes());
        let mac = mac.as_ref().try_into();
        InputDigest::HmacSha256(Digest::from_bytes(
            mac.expect("HMAC-SHA-256 gives 32 bytes"),
        ))
    }
}

impl std::fmt::Debug for InputKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("InputKey")
    }
}
