//! What is signed in the measurements: three kinds of key, each with one algorithm, and the same input for
//! the bare token and for the daemon.

use chancery::proto::v1;
use serde::{Deserialize, Serialize};

/// A kind of key and what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// RS256 with 2048 bits, over a digest.
    Rsa2048,
    /// ES256, over a digest.
    P256,
    /// HS256, over 32 bytes.
    Hmac,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Rsa2048, Self::P256, Self::Hmac];

    /// The key's name in the daemon.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa",
            Self::P256 => "p256",
            Self::Hmac => "hmac",
        }
    }

    /// The key's label in the token.
    pub(crate) fn label(self) -> String {
        format!("{}/1", self.key())
    }

    /// Has the daemon make the key.
    pub(crate) fn creation(self) -> v1::CreateKeyRequest {
        let (key_type, purpose) = match self {
            Self::Rsa2048 => (v1::KeyType::Rsa2048, v1::KeyPurpose::Sign),
            Self::P256 => (v1::KeyType::EcP256, v1::KeyPurpose::Sign),
            Self::Hmac => (v1::KeyType::HmacSha256, v1::KeyPurpose::Mac),
        };
        v1::CreateKeyRequest {
            key_id: self.key().to_owned(),
            r#type: key_type.into(),
            purpose: purpose.into(),
            algorithms: vec![self.algorithm().into()],
            ..Default::default()
        }
    }

    /// Has the daemon sign.
    pub(crate) fn request(self) -> v1::SignRequest {
        let input = Some(INPUT.to_vec().into());
        let (message, digest) = match self {
            Self::Rsa2048 | Self::P256 => (None, input),
            Self::Hmac => (input, None),
        };
        let encoding = match self {
            Self::P256 => v1::EcdsaEncoding::Raw,
            Self::Rsa2048 | Self::Hmac => v1::EcdsaEncoding::Unspecified,
        };
        v1::SignRequest {
            name: format!("keys/{}", self.key()),
            algorithm: self.algorithm().into(),
            message,
            digest,
            input_crc32c: None,
            ecdsa_encoding: encoding.into(),
            request_id: String::new(),
        }
    }

    const fn algorithm(self) -> v1::Algorithm {
        match self {
            Self::Rsa2048 => v1::Algorithm::Rs256,
            Self::P256 => v1::Algorithm::Es256,
            Self::Hmac => v1::Algorithm::Hs256,
        }
    }
}

/// A SHA-256 digest, or a message of that length.
pub(crate) const INPUT: [u8; 32] = [0x5a; 32];
