//! Making a JWE for a secret key in the token, which wraps the content key or encrypts the content.

use std::io::Write;

use flate2::{Compression, write::DeflateEncoder};
use serde_json::Value;
use zeroize::Zeroizing;

use super::encrypt::{EncryptError, merged_header};
use crate::{
    algorithm::{Algorithm, ContentEncryption},
    jose::{HeaderError, base64url, content, key_wrap},
};

/// A JWE without what only the token can do.
pub struct SealDraft {
    /// The protected header, encoded; also the AAD.
    header: String,
    content_encryption: ContentEncryption,
    iv: Vec<u8>,
    plaintext: Zeroizing<Vec<u8>>,
    /// The content key that the token is to wrap; `None` if it encrypts the content itself.
    content_key: Option<Zeroizing<Vec<u8>>>,
}

/// What the token has to do.
pub enum SealStep<'a> {
    /// Wrap this content key by AES key wrap (RFC 3394); the result is eight bytes longer.
    Wrap {
        /// 16 to 64 bytes.
        content_key: &'a [u8],
    },
    /// Encrypt the plaintext by AES-GCM; the result is the ciphertext and, behind it, 16 bytes of tag.
    Seal {
        /// Twelve random bytes: one key is good for 2^32 messages (NIST SP 800-38D section 8.3), which
        /// nobody counts.
        iv: &'a [u8],
        /// The additional authenticated data.
        aad: &'a [u8],
        /// The plaintext.
        plaintext: &'a [u8],
    },
}

impl SealDraft {
    /// Checks the header, compresses the plaintext if asked to, and draws what must be random.
    ///
    /// # Errors
    ///
    /// [`EncryptError`] if the header is refused, or the algorithm is none of A128KW, A256KW and dir, or it is
    /// dir and the content encryption not AES-GCM.
    pub fn new(
        algorithm: Algorithm,
        content_encryption: ContentEncryption,
        key_id: Option<&str>,
        plaintext: &[u8],
        protected_header: &str,
        compress: bool,
    ) -> Result<Self, EncryptError> {
        let content_key = match (algorithm, content_encryption) {
            (Algorithm::A128Kw | Algorithm::A256Kw, _) => {
                Some(random(content_encryption.key_len())?)
            }
            (Algorithm::Dir, ContentEncryption::A128Gcm | ContentEncryption::A256Gcm) => None,
            _ => return Err(HeaderError::Combination(algorithm, content_encryption).into()),
        };
        let header = merged_header(
            algorithm,
            content_encryption,
            key_id,
            protected_header,
            compress,
        )?;
        Ok(Self {
            header: base64url::encode(Value::Object(header).to_string().as_bytes()),
            content_encryption,
            iv: random(content_encryption.iv_len())?.to_vec(),
            plaintext: if compress {
                deflate(plaintext)?
            } else {
                Zeroizing::new(plaintext.to_vec())
            },
            content_key,
        })
    }

    /// What the token has to do.
    pub fn step(&self) -> SealStep<'_> {
        match &self.content_key {
            Some(content_key) => SealStep::Wrap { content_key },
            None => SealStep::Seal {
                iv: &self.iv,
                aad: self.header.as_bytes(),
                plaintext: &self.plaintext,
            },
        }
    }

    /// The JWE, compact, with what the token gave.
    ///
    /// # Errors
    ///
    /// [`EncryptError::Result`] if that has not the length that it must have.
    pub fn finish(self, result: &[u8]) -> Result<String, EncryptError> {
        let tag_length = self.content_encryption.tag_len();
        let expected = match &self.content_key {
            Some(content_key) => content_key.len() + key_wrap::OVERHEAD,
            None => self.plaintext.len() + tag_length,
        };
        if result.len() != expected {
            return Err(EncryptError::Result {
                given: result.len(),
                expected,
            });
        }
        let (encrypted_key, ciphertext, tag) = match &self.content_key {
            Some(content_key) => {
                let (ciphertext, tag) = content::seal(
                    self.content_encryption,
                    content_key,
                    &self.iv,
                    self.header.as_bytes(),
                    &self.plaintext,
                )
                .ok_or_else(|| EncryptError::Library("AEAD".to_owned()))?;
                (result, ciphertext, tag)
            }
            None => {
                let (ciphertext, tag) = result.split_at(result.len() - tag_length);
                (&[][..], ciphertext.to_vec(), tag.to_vec())
            }
        };
        Ok(compact(
            &self.header,
            encrypted_key,
            &self.iv,
            &ciphertext,
            &tag,
        ))
    }
}

/// The five parts of compact serialization; the header is encoded already.
pub(super) fn compact(
    header: &str,
    encrypted_key: &[u8],
    iv: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> String {
    let parts = [encrypted_key, iv, ciphertext, tag].map(base64url::encode);
    [header, &parts[0], &parts[1], &parts[2], &parts[3]].join(".")
}

pub(super) fn random(length: usize) -> Result<Zeroizing<Vec<u8>>, EncryptError> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| EncryptError::Library("no random bytes".to_owned()))?;
    Ok(bytes)
}

pub(super) fn deflate(plaintext: &[u8]) -> Result<Zeroizing<Vec<u8>>, EncryptError> {
    let room = Vec::with_capacity(plaintext.len() + 64);
    let mut writer = DeflateEncoder::new(room, Compression::default());
    writer
        .write_all(plaintext)
        .and_then(|()| writer.finish())
        .map(Zeroizing::new)
        .map_err(|error| EncryptError::Library(error.to_string()))
}
