//! A JWE whose content key was made with the sender's private key: what some platforms call to encrypt with it.
//!
//! It keeps nothing secret, as everybody who has the public key recovers the content key. What it proves is that the
//! sender made the content key, once. Whoever has recovered one can put other content under it, so that what is
//! inside is authentic only by a signature beside it.

use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    DecryptionFailed, Jwe, Opened,
    encrypt::{EncryptError, merged_header},
    failure::Cause,
    opening::text,
    seal::{compact, deflate, random},
};
use crate::{
    algorithm::{Algorithm, ContentEncryption},
    jose::{
        HeaderError, base64url,
        content::{self, Sealed},
        inflate,
    },
    key::{CONTENT_KEY_LENGTHS, PublicKey},
};

/// A JWE without what only the token can do: make the encrypted key.
pub struct OriginDraft {
    /// The protected header, encoded; also the AAD.
    header: String,
    content_encryption: ContentEncryption,
    iv: Zeroizing<Vec<u8>>,
    plaintext: Zeroizing<Vec<u8>>,
    content_key: Zeroizing<Vec<u8>>,
}

impl OriginDraft {
    /// Checks the header, compresses the plaintext if asked to, and draws what must be random.
    ///
    /// # Errors
    ///
    /// [`EncryptError`] if the header is refused, or the content key would be longer than 32 bytes.
    pub fn new(
        content_encryption: ContentEncryption,
        plaintext: &[u8],
        protected_header: &str,
        compress: bool,
    ) -> Result<Self, EncryptError> {
        if !CONTENT_KEY_LENGTHS.contains(&content_encryption.key_len()) {
            return Err(HeaderError::Combination(ALGORITHM, content_encryption).into());
        }
        let header = merged_header(
            ALGORITHM,
            content_encryption,
            None,
            protected_header,
            compress,
        )?;
        Ok(Self {
            header: base64url::encode(Value::Object(header).to_string().as_bytes()),
            content_encryption,
            iv: random(content_encryption.iv_len())?,
            plaintext: match compress {
                true => deflate(plaintext)?,
                false => Zeroizing::new(plaintext.to_vec()),
            },
            content_key: random(content_encryption.key_len())?,
        })
    }

    /// The content key, whose origin the token is to prove.
    pub fn content_key(&self) -> &[u8] {
        &self.content_key
    }

    /// The JWE, compact, with what the token made of the content key.
    ///
    /// # Errors
    ///
    /// [`EncryptError::Library`] if the content could not be encrypted.
    pub fn finish(self, encrypted_key: &[u8]) -> Result<String, EncryptError> {
        let (ciphertext, tag) = content::seal(
            self.content_encryption,
            &self.content_key,
            &self.iv,
            self.header.as_bytes(),
            &self.plaintext,
        )
        .ok_or_else(|| EncryptError::Library("AEAD".to_owned()))?;
        Ok(compact(
            &self.header,
            encrypted_key,
            &self.iv,
            &ciphertext,
            &tag,
        ))
    }
}

impl Jwe {
    /// Opens a message whose content key was made with the private half of this key.
    ///
    /// # Errors
    ///
    /// [`DecryptionFailed`] whatever is wrong; several recipients, too: they would have one content key and
    /// several senders.
    pub fn recovered_with(&self, key: &PublicKey) -> Result<Opened, DecryptionFailed> {
        self.recovered(key).map_err(DecryptionFailed::from)
    }

    fn recovered(&self, key: &PublicKey) -> Result<Opened, Cause> {
        let [recipient] = &self.recipients[..] else {
            return Err(Cause::NoRecipient);
        };
        if text(&recipient.header, "alg")? != Some(ALGORITHM.name()) {
            return Err(Cause::Algorithm);
        }
        let content_encryption = text(&recipient.header, "enc")?
            .and_then(|name| name.parse::<ContentEncryption>().ok())
            .filter(|encryption| CONTENT_KEY_LENGTHS.contains(&encryption.key_len()))
            .ok_or(Cause::ContentEncryption)?;
        if !content::lengths_fit(content_encryption, &self.iv, &self.tag) {
            return Err(Cause::Length);
        }
        let content_key = key
            .recover(&recipient.encrypted_key)
            .map_err(|_| Cause::Content)?;
        let sealed = Sealed {
            iv: &self.iv,
            aad: &self.aad,
            ciphertext: &self.ciphertext,
            tag: &self.tag,
        };
        let plaintext =
            content::open(content_encryption, &content_key, sealed).ok_or(Cause::Content)?;
        let plaintext = match self.compressed {
            true => inflate::inflate(&plaintext).ok_or(Cause::Compression)?,
            false => plaintext,
        };
        Ok(Opened {
            plaintext,
            protected_header: self.protected_header.clone(),
            algorithm: ALGORITHM,
            content_encryption,
        })
    }
}

const ALGORITHM: Algorithm = Algorithm::Rsa15Private;
