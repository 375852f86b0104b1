//! What the tests of this room share: published vectors, and a token made of other people's code.

use std::path::Path;

use aws_lc_rs::{
    agreement,
    key_wrap::{AES_128, AES_256, AesKek, KeyWrap},
};
use josekit::{
    jwe::{JweDecrypter, JweHeader, alg::rsaes::RsaesJweAlgorithm, enc},
    jwk::Jwk,
};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{
    base64url,
    content::{self, Sealed},
    jwe::{Opening, SealStep, Step},
};
use crate::{
    algorithm::{AesSize, Algorithm, ContentEncryption, Curve, Hash, KeyType, RsaSize},
    key::{PublicKey, Usage},
};

/// One file of `tests/testdata/jose`.
pub(super) struct Vector(Map<String, Value>);

impl Vector {
    /// All vectors that have this member, `jws` or `jwe`.
    pub(super) fn all(kind: &str) -> Vec<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/jose");
        let vectors = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
            .map(Self)
            .filter(|vector| vector.0.contains_key(kind))
            .collect::<Vec<_>>();
        assert!(vectors.len() >= 18, "{kind}: {}", vectors.len());
        vectors
    }

    pub(super) fn named(kind: &str, name: &str) -> Self {
        Self::all(kind)
            .into_iter()
            .find(|vector| vector.text("name") == name)
            .unwrap()
    }

    pub(super) fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap()
    }

    pub(super) fn is(&self, flag: &str) -> bool {
        self.0.get(flag) == Some(&Value::Bool(true))
    }

    pub(super) fn supported(&self) -> bool {
        self.0.get("supported") != Some(&Value::Bool(false))
    }

    pub(super) fn texts(&self, kind: &str) -> Vec<&str> {
        let texts = self.0[kind].as_array().unwrap();
        texts.iter().map(|text| text.as_str().unwrap()).collect()
    }

    pub(super) fn payload(&self) -> Vec<u8> {
        bytes(self.text("payload"))
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.text("algorithm").parse().unwrap()
    }

    pub(super) fn jwk(&self) -> &Map<String, Value> {
        self.0["jwk"].as_object().unwrap()
    }

    /// A record for the vector's key that allows its algorithm and content encryption only.
    pub(super) fn usage(&self) -> Usage {
        let algorithm = self.algorithm();
        Usage::new(
            key_type(self.jwk()),
            algorithm.purpose(),
            vec![algorithm],
            vec![self.text("content_encryption").parse().unwrap()],
            self.is("compressed"),
        )
        .unwrap()
    }
}

pub(super) fn bytes(base64url: &str) -> Vec<u8> {
    base64url::decode(base64url).unwrap()
}

pub(super) fn key_type(jwk: &Map<String, Value>) -> KeyType {
    let length = |member: &str| bytes(jwk[member].as_str().unwrap()).len();
    match jwk["kty"].as_str().unwrap() {
        "RSA" => KeyType::Rsa(RsaSize::from_bits(length("n") * 8).unwrap()),
        "EC" => KeyType::Ec(curve(jwk)),
        "OKP" => KeyType::Ed25519,
        "oct" if jwk.get("alg").is_some_and(|name| name == "HS256") => KeyType::Hmac(Hash::Sha256),
        _ => KeyType::Aes(match length("k") {
            16 => AesSize::Bits128,
            _ => AesSize::Bits256,
        }),
    }
}

fn curve(jwk: &Map<String, Value>) -> Curve {
    [Curve::P256, Curve::P384, Curve::P521]
        .into_iter()
        .find(|curve| jwk["crv"] == curve.name())
        .unwrap()
}

pub(super) fn public_key(jwk: &Map<String, Value>) -> PublicKey {
    let part = |member: &str| bytes(jwk[member].as_str().unwrap());
    match jwk["kty"].as_str().unwrap() {
        "RSA" => PublicKey::from_rsa(&part("n"), &part("e")),
        "EC" => PublicKey::from_ec_point(curve(jwk), &[vec![4], part("x"), part("y")].concat()),
        _ => PublicKey::from_ed25519(&part("x")),
    }
    .unwrap()
}

/// Does what a token that holds the key would do.
pub(super) fn token(jwk: &Map<String, Value>, opening: &Opening<'_>) -> Option<Zeroizing<Vec<u8>>> {
    let part = |member: &str| bytes(jwk[member].as_str().unwrap());
    let result = match opening.step() {
        Step::Decrypt { encrypted_key } => decrypt(
            jwk,
            opening.algorithm(),
            opening.content_encryption(),
            encrypted_key,
        )?,
        Step::Agree { point } => {
            let curve = match curve(jwk) {
                Curve::P256 => &agreement::ECDH_P256,
                Curve::P384 => &agreement::ECDH_P384,
                Curve::P521 => &agreement::ECDH_P521,
            };
            let key = agreement::PrivateKey::from_private_key(curve, &part("d")).unwrap();
            let peer = agreement::UnparsedPublicKey::new(curve, point);
            agreement::agree(&key, peer, (), |secret| Ok(secret.to_vec())).unwrap()
        }
        Step::Unwrap { wrapped_key } => {
            let mut output = vec![0; wrapped_key.len() - 8];
            kek(&part("k")).unwrap(wrapped_key, &mut output).ok()?;
            output
        }
        Step::Open {
            iv,
            aad,
            ciphertext_and_tag,
        } => {
            let (ciphertext, tag) = ciphertext_and_tag.split_at(ciphertext_and_tag.len() - 16);
            let sealed = Sealed {
                iv,
                aad,
                ciphertext,
                tag,
            };
            content::open(opening.content_encryption(), &part("k"), sealed)?.to_vec()
        }
    };
    Some(Zeroizing::new(result))
}

/// The same for making a JWE.
pub(super) fn sealing_token(
    key: &[u8],
    encryption: ContentEncryption,
    step: &SealStep<'_>,
) -> Vec<u8> {
    match step {
        SealStep::Wrap { content_key } => {
            let mut output = vec![0; content_key.len() + 8];
            kek(key).wrap(content_key, &mut output).unwrap();
            output
        }
        SealStep::Seal { iv, aad, plaintext } => {
            let (ciphertext, tag) = content::seal(encryption, key, iv, aad, plaintext).unwrap();
            [ciphertext, tag].concat()
        }
    }
}

fn kek(key: &[u8]) -> AesKek {
    let cipher = if key.len() == 16 { &AES_128 } else { &AES_256 };
    AesKek::new(cipher, key).unwrap()
}

/// josekit's RSA, which is OpenSSL's.
fn decrypt(
    jwk: &Map<String, Value>,
    algorithm: Algorithm,
    encryption: ContentEncryption,
    encrypted_key: &[u8],
) -> Option<Vec<u8>> {
    #[expect(deprecated, reason = "the vectors use it")]
    const RSA1_5: RsaesJweAlgorithm = RsaesJweAlgorithm::Rsa1_5;
    let algorithm = match algorithm {
        Algorithm::RsaOaep => RsaesJweAlgorithm::RsaOaep,
        Algorithm::RsaOaep256 => RsaesJweAlgorithm::RsaOaep256,
        _ => RSA1_5,
    };
    let encryption = match encryption {
        ContentEncryption::A128Gcm => &enc::A128GCM as &dyn josekit::jwe::JweContentEncryption,
        ContentEncryption::A192Gcm => &enc::A192GCM,
        ContentEncryption::A256Gcm => &enc::A256GCM,
        ContentEncryption::A128CbcHs256 => &enc::A128CBC_HS256,
        ContentEncryption::A192CbcHs384 => &enc::A192CBC_HS384,
        ContentEncryption::A256CbcHs512 => &enc::A256CBC_HS512,
    };
    let mut jwk = jwk.clone();
    jwk.retain(|name, _| !["alg", "use", "key_ops"].contains(&name.as_str()));
    algorithm
        .decrypter_from_jwk(&Jwk::from_map(jwk).unwrap())
        .unwrap()
        .decrypt(Some(encrypted_key), encryption, &JweHeader::new())
        .map(|key| key.to_vec())
        .ok()
}
