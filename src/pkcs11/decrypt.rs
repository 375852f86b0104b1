//! Decryption, agreement, wrapping and sealing by the token.

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    Token, TokenError, permitted,
    protocol::{DecryptWith, Request},
};
use crate::{
    algorithm::Algorithm,
    policy::{Operation, Permit},
};

impl Token {
    /// Decrypts with RSA (`RSA-OAEP`, `RSA-OAEP-256`, `RSA-OAEP-256-MGF1-SHA1`, `RSA1_5`).
    ///
    /// # Errors
    ///
    /// [`TokenError`]; where [`TokenError::is_callers_input`], nothing is wrong here.
    pub async fn decrypt(
        &self,
        permit: Permit,
        ciphertext: Vec<u8>,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        permitted(&permit, &[Operation::Decrypt])?;
        let with = match permit.algorithm() {
            Algorithm::RsaOaep => DecryptWith::RsaOaepSha1,
            Algorithm::RsaOaep256 => DecryptWith::RsaOaepSha256,
            Algorithm::RsaOaep256Mgf1Sha1 => DecryptWith::RsaOaepSha256Mgf1Sha1,
            Algorithm::Rsa15 => DecryptWith::RsaPkcs1,
            _ => return Err(TokenError::NoSuchKey(permit.key().clone())),
        };
        let key = self.reference(permit.key())?;
        self.bytes(
            permit.identity(),
            &Request::Decrypt {
                key,
                with,
                ciphertext,
            },
            deadline,
        )
        .await
    }

    /// Agrees on a secret with the holder of this uncompressed point: gives Z (`ECDH-ES*`).
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn agree(
        &self,
        permit: Permit,
        point: Vec<u8>,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        permitted(&permit, &[Operation::Decrypt])?;
        let key = self.reference(permit.key())?;
        self.bytes(permit.identity(), &Request::Agree { key, point }, deadline)
            .await
    }

    /// Unwraps a key (`A128KW`, `A256KW`).
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn unwrap_key(
        &self,
        permit: Permit,
        wrapped: Vec<u8>,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        permitted(&permit, &[Operation::Decrypt])?;
        let key = self.reference(permit.key())?;
        self.bytes(
            permit.identity(),
            &Request::Unwrap { key, wrapped },
            deadline,
        )
        .await
    }

    /// Wraps a key (`A128KW`, `A256KW`).
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn wrap_key(
        &self,
        permit: Permit,
        plain: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, TokenError> {
        permitted(&permit, &[Operation::Encrypt])?;
        let key = self.reference(permit.key())?;
        let request = Request::Wrap {
            key,
            plain: Zeroizing::new(plain.to_vec()),
        };
        self.bytes(permit.identity(), &request, deadline)
            .await
            .map(|bytes| bytes.to_vec())
    }

    /// Opens what was sealed with AES-GCM; the ciphertext has its 16-byte tag behind it (`dir`). The IV has 12 bytes; or
    /// another number, where the token takes it.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn open_sealed(
        &self,
        permit: Permit,
        iv: impl Into<Vec<u8>>,
        aad: Vec<u8>,
        ciphertext: Vec<u8>,
        deadline: Instant,
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        permitted(&permit, &[Operation::Decrypt])?;
        let key = self.reference(permit.key())?;
        self.bytes(
            permit.identity(),
            &Request::Open {
                key,
                iv: iv.into(),
                aad,
                ciphertext,
            },
            deadline,
        )
        .await
    }

    /// Seals with AES-GCM; gives the ciphertext with its 16-byte tag behind it (`dir`).
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub async fn seal(
        &self,
        permit: Permit,
        iv: [u8; 12],
        aad: Vec<u8>,
        plaintext: Vec<u8>,
        deadline: Instant,
    ) -> Result<Vec<u8>, TokenError> {
        permitted(&permit, &[Operation::Encrypt])?;
        let key = self.reference(permit.key())?;
        let request = Request::Seal {
            key,
            iv,
            aad,
            plaintext: Zeroizing::new(plaintext),
        };
        self.bytes(permit.identity(), &request, deadline)
            .await
            .map(|bytes| bytes.to_vec())
    }
}
