//! What keys are made of: the types and sizes that are served.

use serde::{Deserialize, Serialize};

use super::Hash;

/// A NIST prime curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Curve {
    /// secp256r1.
    P256,
    /// secp384r1.
    P384,
    /// secp521r1.
    P521,
}

/// What a key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyType {
    /// RSA, with a modulus of 2048, 3072 or 4096 bits.
    Rsa(RsaSize),
    /// A key on a NIST curve.
    Ec(Curve),
    /// A key on edwards25519.
    Ed25519,
    /// A secret for HMAC with this hash.
    Hmac(Hash),
    /// An AES key.
    Aes(AesSize),
}

/// Modulus sizes that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RsaSize {
    /// 2048 bits.
    Bits2048,
    /// 3072 bits.
    Bits3072,
    /// 4096 bits.
    Bits4096,
}

/// AES key sizes that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AesSize {
    /// 16 bytes.
    Bits128,
    /// 32 bytes.
    Bits256,
}

impl Curve {
    /// The hash that RFC 7518 section 3.4 pairs with the curve.
    pub const fn hash(self) -> Hash {
        match self {
            Self::P256 => Hash::Sha256,
            Self::P384 => Hash::Sha384,
            Self::P521 => Hash::Sha512,
        }
    }

    /// Width of one coordinate, and of one half of a raw signature, in bytes.
    pub const fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The name in a JWK's `crv`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }
}

impl RsaSize {
    /// Length of the modulus in bits.
    pub const fn bits(self) -> usize {
        match self {
            Self::Bits2048 => 2048,
            Self::Bits3072 => 3072,
            Self::Bits4096 => 4096,
        }
    }

    /// The size with so many bits, if it is served.
    pub const fn from_bits(bits: usize) -> Option<Self> {
        match bits {
            2048 => Some(Self::Bits2048),
            3072 => Some(Self::Bits3072),
            4096 => Some(Self::Bits4096),
            _ => None,
        }
    }
}

impl AesSize {
    /// Length of the key in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bits128 => 16,
            Self::Bits256 => 32,
        }
    }
}

impl KeyType {
    /// Every type, in the order in which they are offered.
    pub const ALL: [Self; 12] = [
        Self::Rsa(RsaSize::Bits2048),
        Self::Rsa(RsaSize::Bits3072),
        Self::Rsa(RsaSize::Bits4096),
        Self::Ec(Curve::P256),
        Self::Ec(Curve::P384),
        Self::Ec(Curve::P521),
        Self::Ed25519,
        Self::Hmac(Hash::Sha256),
        Self::Hmac(Hash::Sha384),
        Self::Hmac(Hash::Sha512),
        Self::Aes(AesSize::Bits128),
        Self::Aes(AesSize::Bits256),
    ];

    /// The name in configuration and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa(RsaSize::Bits2048) => "rsa-2048",
            Self::Rsa(RsaSize::Bits3072) => "rsa-3072",
            Self::Rsa(RsaSize::Bits4096) => "rsa-4096",
            Self::Ec(Curve::P256) => "ec-p256",
            Self::Ec(Curve::P384) => "ec-p384",
            Self::Ec(Curve::P521) => "ec-p521",
            Self::Ed25519 => "ed25519",
            Self::Hmac(Hash::Sha256) => "hmac-sha256",
            Self::Hmac(Hash::Sha384) => "hmac-sha384",
            Self::Hmac(Hash::Sha512) => "hmac-sha512",
            Self::Aes(AesSize::Bits128) => "aes-128",
            Self::Aes(AesSize::Bits256) => "aes-256",
        }
    }

    /// Whether there is a public half.
    pub const fn is_asymmetric(self) -> bool {
        match self {
            Self::Rsa(_) | Self::Ec(_) | Self::Ed25519 => true,
            Self::Hmac(_) | Self::Aes(_) => false,
        }
    }
}
