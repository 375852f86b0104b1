//! JWS and JWE (RFC 7515, RFC 7516, RFC 7797): strict parsing, framing, and what is done outside the
//! token of encrypting and decrypting.
//!
//! Nothing here does I/O or holds a long-lived key. A [`jws::Draft`] says what is to be signed and
//! takes the signature; an [`jwe::Opening`] says what the token has to do and takes what came out.
//! What a message claims of itself (`alg`, `enc`, `jwk`, `jku`, ...) never chooses a key: `alg` and
//! `enc` are compared with the key's own record, the others are not read.

pub mod jwe;
pub mod jws;

pub use claims::{InvalidClaims, claims};
pub use header::HeaderError;

mod base64url;
mod claims;
mod content;
mod header;
mod inflate;
mod json;
mod kdf;
mod key_wrap;
#[cfg(test)]
mod testing;

/// How a JWS or JWE is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serialization {
    /// RFC 7515 section 7.1, RFC 7516 section 7.1.
    Compact,
    /// RFC 7515 section 7.2.2, RFC 7516 section 7.2.2.
    FlattenedJson,
    /// RFC 7515 section 7.2.1, RFC 7516 section 7.2.1, with one signature or recipient.
    GeneralJson,
}

/// The longest JWS or JWE that is read, in bytes.
pub const MAX_TEXT: usize = 1024 * 1024;

/// The longest header that is read or written, in bytes of JSON.
pub const MAX_HEADER: usize = 16 * 1024;

/// The most signatures or recipients of one message: each may cost an operation.
pub const MAX_PARTIES: usize = 8;

/// The names that RFC 7515, 7516, 7518 and 7797 register for headers: `crit` may not hold them
/// (RFC 7515 section 4.1.11), but for `b64`, whose specification demands it.
const REGISTERED: [&str; 20] = [
    "alg", "enc", "zip", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty",
    "crit", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c",
];
