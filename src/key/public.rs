//! A public key: parsed once, then PEM, DER, JWK, and verification.

use aws_lc_rs::{
    digest,
    signature::{self, ParsedPublicKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{
    BigUint, RsaPublicKey,
    pkcs8::{
        DecodePublicKey, EncodePublicKey, LineEnding, SubjectPublicKeyInfoRef,
        der::{Reader, asn1::AnyRef},
    },
    traits::PublicKeyParts,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::algorithm::{Algorithm, Curve, Hash, KeyType, RsaSize};

/// A public key of a type that is served, known to be well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    spki: Vec<u8>,
    material: Material,
}

/// A public key, parsed for one algorithm: parsing it anew would be a good part of each verification.
#[derive(Clone)]
pub struct Verifier {
    key: ParsedPublicKey,
    /// `None` for EdDSA, which is over the message alone.
    hash: Option<Hash>,
}

/// What a signature is over.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The message itself.
    Message(&'a [u8]),
    /// Its digest, by the algorithm's hash.
    Digest(&'a [u8]),
}

/// Bytes that are not a public key of a type that is served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key that can be used: {0}")]
pub struct InvalidPublicKey(String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa {
        size: RsaSize,
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point, `04 || x || y`.
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519 {
        point: [u8; 32],
    },
}

impl PublicKey {
    /// An RSA key from its big-endian modulus and public exponent.
    ///
    /// # Errors
    ///
    /// If the modulus has not 2048, 3072 or 4096 bits, or the exponent is even or below 65537.
    pub fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, InvalidPublicKey> {
        let (n, e) = (
            BigUint::from_bytes_be(modulus),
            BigUint::from_bytes_be(exponent),
        );
        let size = RsaSize::from_bits(n.bits()).ok_or_else(|| {
            InvalidPublicKey(format!(
                "an RSA modulus of {} bits; expected 2048, 3072 or 4096",
                n.bits()
            ))
        })?;
        if e < BigUint::from(65537_u32) || e.to_bytes_le()[0] & 1 == 0 {
            return Err(InvalidPublicKey(
                "an RSA exponent below 65537, or even".to_owned(),
            ));
        }
        let (n_bytes, e_bytes) = (n.to_bytes_be(), e.to_bytes_be());
        let key = RsaPublicKey::new(n, e).map_err(|error| InvalidPublicKey(error.to_string()))?;
        let spki = key
            .to_public_key_der()
            .map_err(|error| InvalidPublicKey(error.to_string()))?;
        Ok(Self {
            spki: spki.into_vec(),
            material: Material::Rsa {
                size,
                n: n_bytes,
                e: e_bytes,
            },
        })
    }

    /// A key on a NIST curve from its uncompressed point, `04 || x || y`.
    ///
    /// # Errors
    ///
    /// If the point has the wrong length or is not on the curve.
    pub fn from_ec_point(curve: Curve, point: &[u8]) -> Result<Self, InvalidPublicKey> {
        if point.len() != 1 + 2 * curve.width() || point[0] != 4 {
            return Err(InvalidPublicKey(format!(
                "a point on {} that is not 04 and two coordinates of {} bytes",
                curve.name(),
                curve.width()
            )));
        }
        let scheme = ecdsa_scheme(curve, false);
        ParsedPublicKey::new(scheme, point)
            .map_err(|_| InvalidPublicKey(format!("a point that is not on {}", curve.name())))?;
        Ok(Self {
            spki: [spki_prefix(curve), point].concat(),
            material: Material::Ec {
                curve,
                point: point.to_vec(),
            },
        })
    }

    /// An Ed25519 key from its 32 bytes (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    ///
    /// If there are not 32 bytes.
    pub fn from_ed25519(point: &[u8]) -> Result<Self, InvalidPublicKey> {
        let point = <[u8; 32]>::try_from(point).map_err(|_| {
            InvalidPublicKey(format!(
                "an Ed25519 key of {} bytes; expected 32",
                point.len()
            ))
        })?;
        Ok(Self {
            spki: [&ED25519_PREFIX[..], &point].concat(),
            material: Material::Ed25519 { point },
        })
    }

    /// A key from its DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    ///
    /// # Errors
    ///
    /// If it is not one, or of a type that is not served.
    pub fn from_spki(der: &[u8]) -> Result<Self, InvalidPublicKey> {
        let info = SubjectPublicKeyInfoRef::try_from(der)
            .map_err(|error| InvalidPublicKey(format!("SubjectPublicKeyInfo: {error}")))?;
        let bits = info.subject_public_key.raw_bytes();
        match info.algorithm.oid.to_string().as_str() {
            "1.2.840.113549.1.1.1" => {
                let key = RsaPublicKey::from_public_key_der(der)
                    .map_err(|error| InvalidPublicKey(error.to_string()))?;
                Self::from_rsa(&key.n().to_bytes_be(), &key.e().to_bytes_be())
            }
            "1.2.840.10045.2.1" => {
                let curve = [Curve::P256, Curve::P384, Curve::P521]
                    .into_iter()
                    .find(|curve| der.starts_with(spki_prefix(*curve)))
                    .ok_or_else(|| {
                        InvalidPublicKey(
                            "an elliptic curve other than P-256, P-384, P-521".to_owned(),
                        )
                    })?;
                Self::from_ec_point(curve, bits)
            }
            "1.3.101.112" => Self::from_ed25519(bits),
            other => Err(InvalidPublicKey(format!("a key of algorithm {other}"))),
        }
    }

    /// The key of a DER certificate; `None` if it is none. Nothing else of it is read: who vouches for it, and
    /// until when, is for others to check.
    pub fn from_certificate(der: &[u8]) -> Option<Result<Self, InvalidPublicKey>> {
        spki_of_certificate(der).map(Self::from_spki)
    }

    /// What it is made of.
    pub const fn key_type(&self) -> KeyType {
        match &self.material {
            Material::Rsa { size, .. } => KeyType::Rsa(*size),
            Material::Ec { curve, .. } => KeyType::Ec(*curve),
            Material::Ed25519 { .. } => KeyType::Ed25519,
        }
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn der(&self) -> &[u8] {
        &self.spki
    }

    /// What the BIT STRING of the SubjectPublicKeyInfo holds: an RSAPublicKey, or a point.
    pub fn subject_public_key(&self) -> &[u8] {
        SubjectPublicKeyInfoRef::try_from(self.spki.as_slice())
            .expect("made by this file")
            .subject_public_key
            .raw_bytes()
    }

    /// The modulus and public exponent of an RSA key, big-endian without leading zeros.
    pub fn rsa_numbers(&self) -> Option<(&[u8], &[u8])> {
        match &self.material {
            Material::Rsa { n, e, .. } => Some((n, e)),
            Material::Ec { .. } | Material::Ed25519 { .. } => None,
        }
    }

    /// SubjectPublicKeyInfo, PEM with lines of 64 columns (RFC 7468).
    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    /// SHA-256 of the DER; what a version is bound to.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.spki).into()
    }

    /// The required members of its JWK (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).
    pub fn jwk(&self) -> Map<String, Value> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let value = match &self.material {
            Material::Rsa { n, e, .. } => json!({"e": text(e), "kty": "RSA", "n": text(n)}),
            Material::Ec { curve, point } => {
                let (x, y) = point[1..].split_at(curve.width());
                json!({"crv": curve.name(), "kty": "EC", "x": text(x), "y": text(y)})
            }
            Material::Ed25519 { point } => {
                json!({"crv": "Ed25519", "kty": "OKP", "x": text(point)})
            }
        };
        match value {
            Value::Object(members) => members,
            _ => unreachable!("each arm makes an object"),
        }
    }

    /// The RFC 7638 thumbprint, base64url of SHA-256.
    pub fn thumbprint(&self) -> String {
        // RFC 7638 section 3: the required members in lexicographic order, without white space; `jwk`
        // writes them in that order, and their values need no escapes.
        let text = serde_json::to_string(&self.jwk()).expect("strings only");
        URL_SAFE_NO_PAD.encode(Sha256::digest(text))
    }

    /// Whether the signature is this key's. ECDSA signatures are r||s, or DER if `der`.
    ///
    /// False also where algorithm and key or input do not go together.
    pub fn verifies(
        &self,
        algorithm: Algorithm,
        input: Input<'_>,
        signature: &[u8],
        der: bool,
    ) -> bool {
        self.verifier(algorithm, der)
            .is_some_and(|verifier| verifier.verifies(input, signature))
    }

    /// Makes the key ready to verify many signatures of one algorithm; `None` where they do not go together.
    pub fn verifier(&self, algorithm: Algorithm, der: bool) -> Option<Verifier> {
        if !algorithm.fits(self.key_type()) {
            return None;
        }
        let (scheme, hash) = match algorithm {
            Algorithm::RsaPkcs1(hash) => (rsa_scheme(hash, false), Some(hash)),
            Algorithm::RsaPss(hash) => (rsa_scheme(hash, true), Some(hash)),
            Algorithm::Ecdsa(curve) => (ecdsa_scheme(curve, der), Some(curve.hash())),
            Algorithm::EdDsa => (
                &signature::ED25519 as &dyn signature::VerificationAlgorithm,
                None,
            ),
            _ => return None,
        };
        let key = ParsedPublicKey::new(scheme, &self.spki).ok()?;
        Some(Verifier { key, hash })
    }
}

impl Verifier {
    /// Whether the signature is the key's; false also where the input is of the wrong kind.
    pub fn verifies(&self, input: Input<'_>, signature: &[u8]) -> bool {
        match (input, self.hash) {
            (Input::Message(message), _) => self.key.verify_sig(message, signature).is_ok(),
            (Input::Digest(digest), Some(hash)) => {
                digest::Digest::import_less_safe(digest, digest_of(hash))
                    .and_then(|digest| self.key.verify_digest_sig(&digest, signature))
                    .is_ok()
            }
            (Input::Digest(_), None) => false,
        }
    }
}

/// DER as PEM with lines of 64 columns (RFC 7468).
pub fn pem(label: &'static str, der: &[u8]) -> String {
    rsa::pkcs8::Document::try_from(der)
        .and_then(|document| document.to_pem(label, LineEnding::LF))
        .expect("made as DER by a library")
}

/// The key of a certificate: the seventh of the fields of TBSCertificate (RFC 5280 section 4.1), or
/// the sixth where the version is left out.
fn spki_of_certificate(der: &[u8]) -> Option<&[u8]> {
    const VERSION: u8 = 0xa0;
    let certificate = AnyRef::try_from(der).ok()?;
    certificate
        .sequence(|reader| {
            let body = AnyRef::try_from(reader.tlv_bytes()?)?;
            // The signature algorithm and the signature.
            reader.tlv_bytes()?;
            reader.tlv_bytes()?;
            body.sequence(|fields| {
                let mut field = fields.tlv_bytes()?;
                let behind = if field.first() == Some(&VERSION) {
                    6
                } else {
                    5
                };
                for _ in 0..behind {
                    field = fields.tlv_bytes()?;
                }
                while !fields.is_finished() {
                    fields.tlv_bytes()?;
                }
                Ok(field)
            })
        })
        .ok()
}

fn digest_of(hash: Hash) -> &'static digest::Algorithm {
    match hash {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    }
}

fn rsa_scheme(hash: Hash, pss: bool) -> &'static dyn signature::VerificationAlgorithm {
    match (hash, pss) {
        (Hash::Sha256, false) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (Hash::Sha384, false) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (Hash::Sha512, false) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (Hash::Sha256, true) => &signature::RSA_PSS_2048_8192_SHA256,
        (Hash::Sha384, true) => &signature::RSA_PSS_2048_8192_SHA384,
        (Hash::Sha512, true) => &signature::RSA_PSS_2048_8192_SHA512,
    }
}

fn ecdsa_scheme(curve: Curve, der: bool) -> &'static dyn signature::VerificationAlgorithm {
    match (curve, der) {
        (Curve::P256, false) => &signature::ECDSA_P256_SHA256_FIXED,
        (Curve::P384, false) => &signature::ECDSA_P384_SHA384_FIXED,
        (Curve::P521, false) => &signature::ECDSA_P521_SHA512_FIXED,
        (Curve::P256, true) => &signature::ECDSA_P256_SHA256_ASN1,
        (Curve::P384, true) => &signature::ECDSA_P384_SHA384_ASN1,
        (Curve::P521, true) => &signature::ECDSA_P521_SHA512_ASN1,
    }
}

/// Everything of a SubjectPublicKeyInfo that comes before the uncompressed point (RFC 5480).
const fn spki_prefix(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => {
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
        }
        Curve::P384 => b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00",
        Curve::P521 => {
            b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00"
        }
    }
}

/// The same for Ed25519 (RFC 8410).
const ED25519_PREFIX: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(base64url: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(base64url).unwrap()
    }

    /// RFC 7638 section 3.1.
    #[test]
    fn rfc7638_thumbprint() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = PublicKey::from_rsa(&bytes(n), &bytes("AQAB")).unwrap();
        assert_eq!(
            key.thumbprint(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        assert_eq!(PublicKey::from_spki(key.der()).unwrap(), key);
    }

    /// RFC 8037 appendix A.3 and A.4.
    #[test]
    fn rfc8037_thumbprint_and_signature() {
        let key =
            PublicKey::from_ed25519(&bytes("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")).unwrap();
        assert_eq!(
            key.thumbprint(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
        let input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = bytes(
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        );
        assert!(key.verifies(Algorithm::EdDsa, Input::Message(input), &signature, false));
        assert!(!key.verifies(
            Algorithm::EdDsa,
            Input::Message(b"other"),
            &signature,
            false
        ));
        assert!(!key.verifies(Algorithm::EdDsa, Input::Digest(&[0; 32]), &signature, false));
        assert_eq!(PublicKey::from_spki(key.der()).unwrap(), key);
    }

    /// RFC 7515 appendix A.3: the message, and its digest, and the other way of writing the signature.
    #[test]
    fn rfc7515_es256() {
        let (x, y) = (
            "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        );
        let point = [vec![4], bytes(x), bytes(y)].concat();
        let key = PublicKey::from_ec_point(Curve::P256, &point).unwrap();
        let input: &[u8] = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let raw = bytes(
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        );
        let algorithm = Algorithm::Ecdsa(Curve::P256);
        assert!(key.verifies(algorithm, Input::Message(input), &raw, false));
        assert!(key.verifies(
            algorithm,
            Input::Digest(&Sha256::digest(input)),
            &raw,
            false
        ));
        let der = crate::key::ecdsa::raw_to_der(Curve::P256, &raw).unwrap();
        assert!(key.verifies(algorithm, Input::Message(input), &der, true));
        assert!(!key.verifies(algorithm, Input::Message(input), &der, false));
        assert!(!key.verifies(
            Algorithm::Ecdsa(Curve::P384),
            Input::Message(input),
            &raw,
            false
        ));
        assert_eq!(PublicKey::from_spki(key.der()).unwrap(), key);
    }

    #[test]
    fn points_off_the_curve_and_small_moduli_are_refused() {
        let mut point = vec![4; 65];
        assert!(PublicKey::from_ec_point(Curve::P256, &point).is_err());
        point.push(0);
        assert!(PublicKey::from_ec_point(Curve::P256, &point).is_err());
        assert!(PublicKey::from_rsa(&[0xff; 128], &[1, 0, 1]).is_err());
        assert!(PublicKey::from_rsa(&[0xff; 256], &[3]).is_err());
        assert!(PublicKey::from_spki(b"\x30\x00").is_err());
    }
}
