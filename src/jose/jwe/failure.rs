//! The one error of opening a JWE: which of its many causes it was, only the log learns.

/// A JWE was not opened.
///
/// Its text is always the same: what told a broken padding from a broken tag, or a wrong key from
/// a wrong header, would let a caller who may try often enough read what it may not. Only a log may see
/// [`cause`](Self::cause) and `Debug`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the message can't be decrypted with this key")]
pub struct DecryptionFailed {
    pub(super) cause: Cause,
}

impl DecryptionFailed {
    /// Why, for the log; never for the caller.
    pub const fn cause(&self) -> &'static str {
        match self.cause {
            Cause::TooLong => "longer than is read",
            Cause::Syntax => "not the syntax of a JWE",
            Cause::Base64 => "a part is not base64url",
            Cause::Header => "a header is malformed, or holds what is refused",
            Cause::Compression => "compressed where it may not be, or inflates to too much",
            Cause::NoRecipient => "there is no such recipient",
            Cause::Algorithm => "alg is not one of the key's",
            Cause::ContentEncryption => "enc is not one of the key's",
            Cause::Length => "encrypted key, IV or tag has the wrong length",
            Cause::Point => "epk is not a point on the key's curve",
            Cause::Token => "the token refused it",
            Cause::Content => "the content key, the ciphertext or the tag is wrong",
        }
    }
}

impl From<Cause> for DecryptionFailed {
    fn from(cause: Cause) -> Self {
        Self { cause }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    TooLong,
    Syntax,
    Base64,
    Header,
    Compression,
    NoRecipient,
    Algorithm,
    ContentEncryption,
    Length,
    Point,
    Token,
    Content,
}
