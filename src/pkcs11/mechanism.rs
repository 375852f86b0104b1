//! From our algorithms to the token's mechanisms: what to sign with, decrypt with, and make keys with.

use cryptoki::{
    mechanism::{
        Mechanism, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
        rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams},
    },
    object::{Attribute, KeyType as TokenKeyType, ObjectClass},
    types::Ulong,
};

use super::protocol::{Capabilities, DecryptWith, Flags, MechanismFacts, SignWith};
use crate::{
    algorithm::{Algorithm, Curve, Hash, KeyType},
    key::ImportMethod,
};

impl SignWith {
    /// How the token signs with this algorithm; `None` for those that do not sign.
    pub(super) const fn of(algorithm: Algorithm) -> Option<Self> {
        Some(match algorithm {
            Algorithm::RsaPkcs1(hash) => Self::RsaPkcs1(hash),
            Algorithm::RsaPss(hash) => Self::RsaPss(hash),
            Algorithm::Ecdsa(curve) => Self::Ecdsa(curve),
            Algorithm::EdDsa => Self::EdDsa,
            Algorithm::Hmac(hash) => Self::Hmac(hash),
            Algorithm::RsaOaep
            | Algorithm::RsaOaep256
            | Algorithm::RsaOaep256Mgf1Sha1
            | Algorithm::Rsa15
            | Algorithm::EcdhEs
            | Algorithm::EcdhEsA128Kw
            | Algorithm::EcdhEsA256Kw
            | Algorithm::A128Kw
            | Algorithm::A256Kw
            | Algorithm::Dir
            | Algorithm::Rsa15Private => return None,
        })
    }

    /// The algorithm again.
    pub(super) const fn algorithm(self) -> Algorithm {
        match self {
            Self::RsaPkcs1(hash) => Algorithm::RsaPkcs1(hash),
            Self::RsaPss(hash) => Algorithm::RsaPss(hash),
            Self::Ecdsa(curve) => Algorithm::Ecdsa(curve),
            Self::EdDsa => Algorithm::EdDsa,
            Self::Hmac(hash) => Algorithm::Hmac(hash),
        }
    }

    /// The single-part mechanism over a digest that was made outside, or over the message.
    pub(super) fn mechanism(self) -> Mechanism<'static> {
        match self {
            Self::RsaPkcs1(_) => Mechanism::RsaPkcs,
            Self::RsaPss(hash) => Mechanism::RsaPkcsPss(PkcsPssParams {
                hash_alg: hash_mechanism(hash),
                mgf: match hash {
                    Hash::Sha256 => PkcsMgfType::MGF1_SHA256,
                    Hash::Sha384 => PkcsMgfType::MGF1_SHA384,
                    Hash::Sha512 => PkcsMgfType::MGF1_SHA512,
                },
                // RFC 7518 section 3.5: the salt is as long as the hash.
                s_len: match hash {
                    Hash::Sha256 => Ulong::from(32_u64),
                    Hash::Sha384 => Ulong::from(48_u64),
                    Hash::Sha512 => Ulong::from(64_u64),
                },
            }),
            Self::Ecdsa(_) => Mechanism::Ecdsa,
            Self::EdDsa => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
            Self::Hmac(Hash::Sha256) => Mechanism::Sha256Hmac,
            Self::Hmac(Hash::Sha384) => Mechanism::Sha384Hmac,
            Self::Hmac(Hash::Sha512) => Mechanism::Sha512Hmac,
        }
    }

    /// What the mechanism is fed: for PKCS#1 v1.5 the DigestInfo, else what came.
    pub(super) fn feed(self, input: Vec<u8>) -> Vec<u8> {
        match self {
            Self::RsaPkcs1(hash) => [digest_info_prefix(hash), &input].concat(),
            Self::RsaPss(_) | Self::Ecdsa(_) | Self::EdDsa | Self::Hmac(_) => input,
        }
    }
}

impl DecryptWith {
    /// The mechanism, or `None` if the token can't, and the raw operation and our own decoding are to be used.
    pub(super) fn mechanism(self, capabilities: &Capabilities) -> Option<Mechanism<'static>> {
        match self {
            Self::RsaOaepSha1 => Some(oaep_sha1()),
            Self::RsaOaepSha256 => capabilities.oaep_sha256.then(oaep_sha256),
            Self::RsaOaepSha256Mgf1Sha1 => {
                (capabilities.oaep_sha256_mgf1_sha1).then(oaep_sha256_mgf1_sha1)
            }
            Self::RsaPkcs1 => Some(Mechanism::RsaPkcs),
        }
    }
}

/// RSA-OAEP with SHA-1 and MGF1-SHA-1.
pub(super) fn oaep_sha1() -> Mechanism<'static> {
    oaep(MechanismType::SHA1, PkcsMgfType::MGF1_SHA1)
}

/// RSA-OAEP with SHA-256 and MGF1-SHA-256.
pub(super) fn oaep_sha256() -> Mechanism<'static> {
    oaep(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256)
}

/// RSA-OAEP with SHA-256 and MGF1-SHA-1.
pub(super) fn oaep_sha256_mgf1_sha1() -> Mechanism<'static> {
    oaep(MechanismType::SHA256, PkcsMgfType::MGF1_SHA1)
}

fn oaep(hash: MechanismType, mgf: PkcsMgfType) -> Mechanism<'static> {
    Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mgf, PkcsOaepSource::empty()))
}

/// How a key is made: the mechanism, and what is said of the public and of the private or secret half.
pub(super) struct Recipe {
    pub(super) mechanism: Mechanism<'static>,
    pub(super) public: Option<Vec<Attribute>>,
    pub(super) secret: Vec<Attribute>,
}

impl Recipe {
    /// A key of this type that may do what the flags say and nothing else, and that never leaves.
    pub(super) fn new(key_type: KeyType, flags: Flags, label: &str, id: &[u8]) -> Self {
        let shared = || {
            vec![
                Attribute::Token(true),
                Attribute::Label(label.as_bytes().to_vec()),
                Attribute::Id(id.to_vec()),
            ]
        };
        let mut secret = shared();
        secret.extend([
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(flags.sign),
            Attribute::Decrypt(flags.decrypt),
            Attribute::Unwrap(flags.unwrap),
            Attribute::Derive(flags.derive),
        ]);
        let mut public = shared();
        public.extend([
            Attribute::Private(false),
            Attribute::Verify(flags.sign),
            Attribute::Encrypt(flags.decrypt),
            Attribute::Wrap(flags.unwrap),
        ]);
        // The other direction of a secret key is done by the same object.
        let both_ways = [
            Attribute::Verify(flags.sign),
            Attribute::Encrypt(flags.decrypt),
            Attribute::Wrap(flags.unwrap),
        ];
        let (mechanism, public) = match key_type {
            KeyType::Rsa(size) => {
                public.push(Attribute::ModulusBits(Ulong::from(size.bits() as u64)));
                public.push(Attribute::PublicExponent(vec![1, 0, 1]));
                (Mechanism::RsaPkcsKeyPairGen, Some(public))
            }
            KeyType::Ec(curve) => {
                public.push(Attribute::EcParams(curve_parameters(curve).to_vec()));
                (Mechanism::EccKeyPairGen, Some(public))
            }
            KeyType::Ed25519 => {
                public.push(Attribute::EcParams(ED25519_PARAMETERS[0].to_vec()));
                (Mechanism::EccEdwardsKeyPairGen, Some(public))
            }
            KeyType::Hmac(hash) => {
                secret.extend(both_ways);
                secret.extend([
                    Attribute::Class(ObjectClass::SECRET_KEY),
                    Attribute::KeyType(TokenKeyType::GENERIC_SECRET),
                    Attribute::ValueLen(Ulong::from(hash.len() as u64)),
                ]);
                (Mechanism::GenericSecretKeyGen, None)
            }
            KeyType::Aes(size) => {
                secret.extend(both_ways);
                secret.push(Attribute::ValueLen(Ulong::from(size.bytes() as u64)));
                (Mechanism::AesKeyGen, None)
            }
        };
        Self {
            mechanism,
            public,
            secret,
        }
    }
}

impl Capabilities {
    /// Whether the token lists this mechanism.
    pub(super) fn has(&self, mechanism: MechanismType) -> bool {
        self.mechanisms
            .iter()
            .any(|facts| facts.number == *mechanism)
    }

    /// What the token is asked to do for this algorithm.
    pub(super) const fn mechanism_for(&self, algorithm: Algorithm) -> MechanismType {
        match algorithm {
            Algorithm::RsaPkcs1(_) | Algorithm::Rsa15 | Algorithm::Rsa15Private => {
                MechanismType::RSA_PKCS
            }
            Algorithm::RsaPss(_) => MechanismType::RSA_PKCS_PSS,
            Algorithm::Ecdsa(_) => MechanismType::ECDSA,
            Algorithm::EdDsa => MechanismType::EDDSA,
            Algorithm::Hmac(Hash::Sha256) => MechanismType::SHA256_HMAC,
            Algorithm::Hmac(Hash::Sha384) => MechanismType::SHA384_HMAC,
            Algorithm::Hmac(Hash::Sha512) => MechanismType::SHA512_HMAC,
            Algorithm::RsaOaep => MechanismType::RSA_PKCS_OAEP,
            Algorithm::RsaOaep256 if self.oaep_sha256 => MechanismType::RSA_PKCS_OAEP,
            Algorithm::RsaOaep256Mgf1Sha1 if self.oaep_sha256_mgf1_sha1 => {
                MechanismType::RSA_PKCS_OAEP
            }
            Algorithm::RsaOaep256 | Algorithm::RsaOaep256Mgf1Sha1 => MechanismType::RSA_X_509,
            Algorithm::EcdhEs | Algorithm::EcdhEsA128Kw | Algorithm::EcdhEsA256Kw => {
                MechanismType::ECDH1_DERIVE
            }
            Algorithm::A128Kw | Algorithm::A256Kw => MechanismType::AES_KEY_WRAP,
            Algorithm::Dir => MechanismType::AES_GCM,
        }
    }

    /// How keys can be wrapped on their way into this token, the ways to be preferred first.
    pub fn import_methods(&self) -> Vec<ImportMethod> {
        ImportMethod::ALL
            .into_iter()
            .filter(|method| {
                self.has(MechanismType::RSA_PKCS_OAEP)
                    && (!method.is_sha256() || self.oaep_sha256)
                    && (!method.has_aes() || self.has(MechanismType::AES_KEY_WRAP_PAD))
            })
            .collect()
    }

    /// Whether keys of this type can be used with this algorithm here, or why not.
    ///
    /// # Errors
    ///
    /// The name of the missing mechanism, or the key sizes that the token allows.
    pub fn supports(&self, algorithm: Algorithm, key_type: KeyType) -> Result<(), String> {
        let wanted = self.mechanism_for(algorithm);
        let facts = self
            .mechanisms
            .iter()
            .find(|facts| facts.number == *wanted)
            .ok_or_else(|| format!("the token has no {wanted}"))?;
        // Only for RSA and EC do the sizes have the same unit, bits, in every module.
        let bits = match key_type {
            KeyType::Rsa(size) => size.bits() as u64,
            KeyType::Ec(Curve::P256) => 256,
            KeyType::Ec(Curve::P384) => 384,
            KeyType::Ec(Curve::P521) => 521,
            KeyType::Ed25519 | KeyType::Hmac(_) | KeyType::Aes(_) => return Ok(()),
        };
        if facts.max_key != 0 && !(facts.min_key..=facts.max_key).contains(&bits) {
            return Err(format!(
                "the token's {} takes keys of {} to {} bits; this one has {bits}",
                facts.name, facts.min_key, facts.max_key
            ));
        }
        Ok(())
    }
}

impl MechanismFacts {
    /// What the token says of one mechanism.
    pub(super) fn new(mechanism: MechanismType, min_key: u64, max_key: u64) -> Self {
        Self {
            number: *mechanism,
            name: mechanism.to_string(),
            min_key,
            max_key,
        }
    }
}

/// The hash as the parameter of another mechanism.
const fn hash_mechanism(hash: Hash) -> MechanismType {
    match hash {
        Hash::Sha256 => MechanismType::SHA256,
        Hash::Sha384 => MechanismType::SHA384,
        Hash::Sha512 => MechanismType::SHA512,
    }
}

/// `CKA_EC_PARAMS`: the curve's OID, DER (RFC 5480 section 2.1.1.1).
pub(super) const fn curve_parameters(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        Curve::P384 => b"\x06\x05\x2b\x81\x04\x00\x22",
        Curve::P521 => b"\x06\x05\x2b\x81\x04\x00\x23",
    }
}

/// `CKA_EC_PARAMS` for edwards25519: as PKCS#11 3.0 section 2.3.10 has it, a name; and as an OID (RFC 8410).
pub(super) const ED25519_PARAMETERS: [&[u8]; 2] =
    [b"\x13\x0cedwards25519", b"\x06\x03\x2b\x65\x70"];

/// What comes before the digest in a DigestInfo (RFC 8017 section 9.2, note 1).
const fn digest_info_prefix(hash: Hash) -> &'static [u8] {
    match hash {
        Hash::Sha256 => {
            b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
        }
        Hash::Sha384 => {
            b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"
        }
        Hash::Sha512 => {
            b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"
        }
    }
}
