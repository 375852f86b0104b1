//! Keys from elsewhere: private keys in the forms that people have, secrets as text; and wrapping them for a token.
//!
//! What is read here never goes anywhere but into its wrapping, and is wiped.

use std::{io::Read, path::Path};

use aws_lc_rs::{
    key_wrap::{AES_256, AesKek, KeyWrapPadded},
    rand,
    rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey,
    },
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::ValueEnum;
use rsa::{
    BigUint, RsaPrivateKey,
    pkcs1::DecodeRsaPrivateKey,
    pkcs8::{
        AlgorithmIdentifierRef, EncodePrivateKey, ObjectIdentifier, PrivateKeyInfo, SecretDocument,
        der::AnyRef,
    },
    traits::PublicKeyParts,
};
use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use chancery::{
    algorithm::{Curve, KeyType},
    key::{ImportMethod, PublicKey},
};

use crate::{arguments, output::Streams, trouble::Trouble};

/// How the text of a secret stands for its bytes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encoding {
    /// The bytes of the text itself; one line end behind it is left out
    Utf8,
    /// Hexadecimal
    Hex,
    /// Base64, either alphabet, padded or not
    Base64,
    /// All bytes as they are
    Raw,
}

/// A key from elsewhere.
pub(crate) struct Material {
    /// A PKCS#8 PrivateKeyInfo without attributes, or the bytes of a secret.
    bytes: Zeroizing<Vec<u8>>,
    /// The public half; none of a secret.
    pub(crate) public: Option<PublicKey>,
}

impl Material {
    /// Reads a file, or stdin if there is none or it is `-`: a secret if an encoding is given, else a private key
    /// (PEM or DER, PKCS#8, PKCS#1 or SEC 1; its base64 alone) or a JWK.
    pub(crate) fn read(
        streams: &mut Streams,
        path: Option<&Path>,
        encoding: Option<Encoding>,
    ) -> Result<Self, Trouble> {
        let (what, reader) = arguments::open(streams, path)?;
        // Made large enough at once: a vector that grows leaves copies of what it held behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
        reader
            .take(MAX_FILE as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| Trouble::File {
                what: what.clone(),
                source,
            })?;
        let usage = |why: String| Trouble::Usage(format!("{}: {why}", what.display()));
        if bytes.len() > MAX_FILE {
            return Err(usage(format!("more than {MAX_FILE} bytes: this is no key")));
        }
        let material = match encoding {
            Some(encoding) => secret(&bytes, encoding),
            None => key(&bytes),
        };
        material.map_err(usage)
    }

    /// Reads a secret, of which `decode` makes the bytes from its text; one line end behind it is left out.
    pub(crate) fn read_text(
        streams: &mut Streams,
        path: Option<&Path>,
        decode: impl FnOnce(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Self, Trouble> {
        let text = Self::read(streams, path, Some(Encoding::Utf8))?;
        let usage = |why: String| Trouble::Usage(format!("the secret: {why}"));
        let text = str::from_utf8(&text.bytes).map_err(|_| usage("expected text".to_owned()))?;
        let bytes = Zeroizing::new(decode(text).map_err(usage)?);
        if bytes.len() > MAX_SECRET {
            return Err(usage(format!("expected at most {MAX_SECRET} bytes")));
        }
        Ok(Self {
            bytes,
            public: None,
        })
    }

    /// How many bytes a secret has.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// With zero bytes behind a secret for HMAC up to the length of the hash, which is the least that some tokens
    /// take: the MACs are the same (RFC 2104 section 2 fills up with zeros anyhow).
    pub(crate) fn padded_for(mut self, key_type: KeyType) -> Self {
        if let KeyType::Hmac(hash) = key_type
            && self.bytes.len() < hash.len()
        {
            let mut padded = Zeroizing::new(Vec::with_capacity(hash.len()));
            padded.extend_from_slice(&self.bytes);
            padded.resize(hash.len(), 0);
            self.bytes = padded;
        }
        self
    }

    /// Wraps it for the holder of this wrapping key.
    pub(crate) fn wrapped(
        &self,
        method: ImportMethod,
        wrapping_key: &PublicKey,
    ) -> Result<Vec<u8>, Trouble> {
        let failed =
            |_| Trouble::Usage("the key can't be wrapped: it is too long for the method".into());
        let rsa = PublicEncryptingKey::from_der(wrapping_key.der())
            .map_err(|_| Trouble::Usage("the daemon's wrapping key is not one".into()))?;
        let rsa = OaepPublicEncryptingKey::new(rsa).map_err(failed)?;
        let oaep = if method.is_sha256() {
            &OAEP_SHA256_MGF1SHA256
        } else {
            &OAEP_SHA1_MGF1SHA1
        };
        let mut wrapped = vec![0; rsa.ciphertext_size()];
        if !method.has_aes() {
            rsa.encrypt(oaep, &self.bytes, &mut wrapped, None)
                .map_err(failed)?;
            return Ok(wrapped);
        }
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(&mut *key).map_err(failed)?;
        rsa.encrypt(oaep, &*key, &mut wrapped, None)
            .map_err(failed)?;
        let mut rest = vec![0; self.bytes.len() + KEY_WRAP_OVERHEAD];
        let length = AesKek::new(&AES_256, &*key)
            .and_then(|key| {
                key.wrap_with_padding(&self.bytes, &mut rest)
                    .map(|rest| rest.len())
            })
            .map_err(failed)?;
        wrapped.extend_from_slice(&rest[..length]);
        Ok(wrapped)
    }
}

fn secret(bytes: &[u8], encoding: Encoding) -> Result<Material, String> {
    let text = || std::str::from_utf8(bytes).map_err(|_| "expected text, found binary".to_owned());
    let secret = match encoding {
        Encoding::Raw => bytes.to_vec(),
        Encoding::Utf8 => {
            let text = text()?;
            let line = text.strip_suffix('\n').unwrap_or(text);
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.contains(['\n', '\r']) {
                return Err(
                    "several lines; if the line ends are part of the secret, say --encoding raw"
                        .to_owned(),
                );
            }
            line.as_bytes().to_vec()
        }
        Encoding::Hex => arguments::hexadecimal(text()?)?,
        Encoding::Base64 => arguments::base64(text()?)?,
    };
    let bytes = Zeroizing::new(secret);
    if bytes.is_empty() || bytes.len() > MAX_SECRET {
        return Err(format!(
            "a secret of {} bytes; expected 1 to {MAX_SECRET}",
            bytes.len()
        ));
    }
    Ok(Material {
        bytes,
        public: None,
    })
}

fn key(bytes: &[u8]) -> Result<Material, String> {
    if bytes.first() == Some(&0x30) && std::str::from_utf8(bytes).is_err() {
        return der(bytes);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| UNKNOWN.to_owned())?
        .trim();
    if text.starts_with('{') {
        return jwk(text);
    }
    if text.contains("-----BEGIN") {
        return pem(text);
    }
    // Some portals show the DER as base64, without the lines of PEM.
    let whole: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|sign| !sign.is_whitespace()).collect());
    let decoded = arguments::base64(&whole).map(Zeroizing::new);
    match decoded {
        Ok(decoded) if decoded.first() == Some(&0x30) => der(&decoded),
        _ => Err(UNKNOWN.to_owned()),
    }
}

fn pem(text: &str) -> Result<Material, String> {
    // What OpenSSL writes before the key of a curve is not it.
    let start = text
        .match_indices("-----BEGIN ")
        .find(|(at, _)| !text[*at..].starts_with("-----BEGIN EC PARAMETERS"))
        .map(|(at, _)| at)
        .ok_or("PEM without a private key")?;
    let (label, document) =
        SecretDocument::from_pem(&text[start..]).map_err(|error| format!("PEM: {error}"))?;
    match label {
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => der(document.as_bytes()),
        "ENCRYPTED PRIVATE KEY" => Err(
            "the private key is encrypted; decrypt it first, such as with openssl pkcs8, in a pipe"
                .to_owned(),
        ),
        other => Err(format!("PEM of a {other}; expected a private key")),
    }
}

fn der(der: &[u8]) -> Result<Material, String> {
    if let Ok(info) = PrivateKeyInfo::try_from(der) {
        return pkcs8(&info);
    }
    if let Ok(key) = RsaPrivateKey::from_pkcs1_der(der) {
        return rsa(&key);
    }
    CURVES
        .into_iter()
        .find_map(|curve| ec(curve, der).ok())
        .ok_or_else(|| UNKNOWN.to_owned())
}

fn pkcs8(info: &PrivateKeyInfo<'_>) -> Result<Material, String> {
    if info.algorithm.oid == RSA {
        let key = RsaPrivateKey::from_pkcs1_der(info.private_key)
            .map_err(|error| format!("RSA: {error}"))?;
        return rsa(&key);
    }
    if info.algorithm.oid == ED25519 {
        let seed = info.private_key.strip_prefix(&[0x04, 0x20]);
        return ed25519(seed.ok_or("an Ed25519 key that is not 32 bytes")?);
    }
    let named = info.algorithm.parameters_oid().ok();
    let curve = CURVES
        .into_iter()
        .find(|curve| info.algorithm.oid == EC && named == Some(curve_oid(*curve)));
    match curve {
        Some(curve) => ec(curve, info.private_key),
        None => Err(
            "a private key of a type that is not served; expected RSA, P-256, P-384, P-521 or Ed25519"
                .to_owned(),
        ),
    }
}

fn rsa(key: &RsaPrivateKey) -> Result<Material, String> {
    key.validate().map_err(|error| format!("RSA: {error}"))?;
    let public = PublicKey::from_rsa(&key.n().to_bytes_be(), &key.e().to_bytes_be())
        .map_err(|error| error.to_string())?;
    let document = key.to_pkcs8_der().map_err(|error| error.to_string())?;
    Ok(Material {
        bytes: document.to_bytes(),
        public: Some(public),
    })
}

/// From an ECPrivateKey (SEC 1, RFC 5915).
fn ec(curve: Curve, sec1: &[u8]) -> Result<Material, String> {
    let parameters = curve_oid(curve);
    let info = PrivateKeyInfo::new(
        AlgorithmIdentifierRef {
            oid: EC,
            parameters: Some(AnyRef::from(&parameters)),
        },
        sec1,
    );
    let document = SecretDocument::try_from(info).map_err(|error| error.to_string())?;
    let pair = EcdsaKeyPair::from_private_key_der(signing(curve), document.as_bytes())
        .map_err(|_| format!("not a private key on {}", curve.name()))?;
    let public = PublicKey::from_ec_point(curve, pair.public_key().as_ref())
        .map_err(|error| error.to_string())?;
    Ok(Material {
        bytes: document.to_bytes(),
        public: Some(public),
    })
}

fn ed25519(seed: &[u8]) -> Result<Material, String> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed)
        .map_err(|_| "an Ed25519 key that is not 32 bytes".to_owned())?;
    let public =
        PublicKey::from_ed25519(pair.public_key().as_ref()).map_err(|error| error.to_string())?;
    let inner = Zeroizing::new([&[0x04, 0x20], seed].concat());
    let info = PrivateKeyInfo::new(
        AlgorithmIdentifierRef {
            oid: ED25519,
            parameters: None,
        },
        &inner,
    );
    let document = SecretDocument::try_from(info).map_err(|error| error.to_string())?;
    Ok(Material {
        bytes: document.to_bytes(),
        public: Some(public),
    })
}

/// The members of a private JWK (RFC 7517, RFC 7518 section 6, RFC 8037).
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<String>,
    p: Option<String>,
    q: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

fn jwk(text: &str) -> Result<Material, String> {
    // The error would show what it found, which may be a part of the key.
    let jwk: Jwk = serde_json::from_str(text).map_err(|_| "JSON that is no JWK".to_owned())?;
    let member = |name: &str, value: &Option<String>| {
        let text = value
            .as_deref()
            .ok_or_else(|| format!("a JWK without `{name}`, so no private one"))?;
        URL_SAFE_NO_PAD
            .decode(text)
            .map(Zeroizing::new)
            .map_err(|_| format!("a JWK whose `{name}` is not base64url"))
    };
    let number = |name, value| member(name, value).map(|bytes| BigUint::from_bytes_be(&bytes));
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let key = RsaPrivateKey::from_components(
                number("n", &jwk.n)?,
                number("e", &jwk.e)?,
                number("d", &jwk.d)?,
                vec![number("p", &jwk.p)?, number("q", &jwk.q)?],
            );
            rsa(&key.map_err(|error| format!("RSA: {error}"))?)
        }
        ("EC", Some(name)) => {
            let curve = CURVES.into_iter().find(|curve| curve.name() == name);
            let curve = curve.ok_or("a JWK on a curve other than P-256, P-384 and P-521")?;
            let (d, x, y) = (
                member("d", &jwk.d)?,
                member("x", &jwk.x)?,
                member("y", &jwk.y)?,
            );
            if [&d, &x, &y].iter().any(|part| part.len() != curve.width()) {
                return Err(format!(
                    "a JWK whose numbers are not {} bytes",
                    curve.width()
                ));
            }
            let material = ec(curve, &sec1(&d, &x, &y))?;
            let point = [&[4], &x[..], &y[..]].concat();
            let same = |public: &PublicKey| public.subject_public_key() == point;
            if material.public.as_ref().is_some_and(same) {
                Ok(material)
            } else {
                Err("a JWK whose `d` is not that of its `x` and `y`".to_owned())
            }
        }
        ("OKP", Some("Ed25519")) => {
            let (d, x) = (member("d", &jwk.d)?, member("x", &jwk.x)?);
            let material = ed25519(&d)?;
            let same = |public: &PublicKey| public.subject_public_key() == x.as_slice();
            if material.public.as_ref().is_some_and(same) {
                Ok(material)
            } else {
                Err("a JWK whose `d` is not that of its `x`".to_owned())
            }
        }
        ("oct", _) => secret(&member("k", &jwk.k)?, Encoding::Raw),
        _ => Err(
            "a JWK of a type that is not served; expected RSA, EC, OKP with Ed25519, or oct"
                .to_owned(),
        ),
    }
}

/// ECPrivateKey ::= SEQUENCE { 1, d, [1] { BIT STRING point } } (RFC 5915 section 3).
fn sec1(d: &[u8], x: &[u8], y: &[u8]) -> Zeroizing<Vec<u8>> {
    let point = tagged(0x03, &[&[0, 4], x, y].concat());
    let parts = [tagged(0x02, &[1]), tagged(0x04, d), tagged(0xa1, &point)];
    tagged(0x30, &parts.each_ref().map(|part| part.as_slice()).concat())
}

/// DER: a tag, a length of less than 65,536, and what is in it.
fn tagged(tag: u8, content: &[u8]) -> Zeroizing<Vec<u8>> {
    let [.., high, low] = content.len().to_be_bytes();
    let length: &[u8] = match (high, low) {
        (0, 0..0x80) => &[low],
        (0, _) => &[0x81, low],
        _ => &[0x82, high, low],
    };
    let mut whole = Zeroizing::new(Vec::with_capacity(content.len() + 4));
    whole.push(tag);
    whole.extend_from_slice(length);
    whole.extend_from_slice(content);
    whole
}

fn signing(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        Curve::P521 => &ECDSA_P521_SHA512_ASN1_SIGNING,
    }
}

const fn curve_oid(curve: Curve) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(match curve {
        Curve::P256 => "1.2.840.10045.3.1.7",
        Curve::P384 => "1.3.132.0.34",
        Curve::P521 => "1.3.132.0.35",
    })
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

const UNKNOWN: &str = "not a private key that is known here (PEM, DER, JWK); for a secret, say how it is written: --encoding utf8, hex, base64 or raw";

/// More than any key's file has.
const MAX_FILE: usize = 64 * 1024;
/// More than any platform's secret has.
const MAX_SECRET: usize = 1024;
/// Eight bytes of header and integrity check, and padding up to eight (RFC 5649 section 3).
const KEY_WRAP_OVERHEAD: usize = 15;
