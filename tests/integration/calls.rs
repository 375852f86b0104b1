//! Requests in few words, and the `openssl` command as the one who checks the answers.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chancery::{
    client::Client,
    proto::v1::{
        Algorithm, ContentEncryption, CreateKeyRequest, EcdsaEncoding, GetPublicKeyRequest,
        GetPublicKeyResponse, Key, KeyPurpose, KeyType, SignRequest, VerifyRequest,
    },
};
use tempfile::TempDir;

/// Every algorithm.
pub const ALGORITHMS: [Algorithm; 24] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::Eddsa,
    Algorithm::Hs256,
    Algorithm::Hs384,
    Algorithm::Hs512,
    Algorithm::RsaOaep,
    Algorithm::RsaOaep256,
    Algorithm::RsaOaep256Mgf1Sha1,
    Algorithm::Rsa15,
    Algorithm::EcdhEs,
    Algorithm::EcdhEsA128kw,
    Algorithm::EcdhEsA256kw,
    Algorithm::A128kw,
    Algorithm::A256kw,
    Algorithm::Dir,
    Algorithm::Rsa15Private,
];

/// Every content encryption.
pub const ENCRYPTIONS: [ContentEncryption; 6] = [
    ContentEncryption::A128gcm,
    ContentEncryption::A192gcm,
    ContentEncryption::A256gcm,
    ContentEncryption::A128cbcHs256,
    ContentEncryption::A192cbcHs384,
    ContentEncryption::A256cbcHs512,
];

/// What an algorithm is for.
pub fn purpose(algorithm: Algorithm) -> KeyPurpose {
    let number = algorithm as i32;
    match number {
        1..=10 => KeyPurpose::Sign,
        11..=13 => KeyPurpose::Mac,
        20 | 21 => KeyPurpose::Wrap,
        23 => KeyPurpose::ProveOrigin,
        _ => KeyPurpose::Decrypt,
    }
}

/// A key of this type for these algorithms, whose first says the purpose; for all content encryptions, if
/// it is for any (with `dir`: the one that fits).
pub fn new_key(id: &str, key_type: KeyType, algorithms: &[Algorithm]) -> CreateKeyRequest {
    let purpose = purpose(algorithms[0]);
    let encryptions: &[ContentEncryption] = match (purpose, key_type) {
        (KeyPurpose::Sign | KeyPurpose::Mac | KeyPurpose::ProveOrigin, _) => &[],
        (KeyPurpose::Decrypt, KeyType::Aes128) => &[ContentEncryption::A128gcm],
        (KeyPurpose::Decrypt, KeyType::Aes256) => &[ContentEncryption::A256gcm],
        _ if algorithms.contains(&Algorithm::RsaOaep256Mgf1Sha1) => &[],
        _ => &ENCRYPTIONS,
    };
    CreateKeyRequest {
        key_id: id.to_owned(),
        token: "main".to_owned(),
        r#type: key_type.into(),
        purpose: purpose.into(),
        algorithms: algorithms.iter().map(|one| (*one).into()).collect(),
        content_encryptions: encryptions.iter().map(|one| (*one).into()).collect(),
        compression_allowed: false,
        critical: false,
        request_id: String::new(),
        maximum_uses: 0,
    }
}

/// Makes [`new_key`].
pub async fn create(client: &Client, id: &str, key_type: KeyType, algorithms: &[Algorithm]) -> Key {
    let request = new_key(id, key_type, algorithms);
    let response = client.keys().create_key(request).await;
    response.unwrap().into_inner().key.unwrap()
}

/// Makes [`new_key`], unless another test that shares the daemon has.
pub async fn create_once(client: &Client, id: &str, key_type: KeyType, algorithms: &[Algorithm]) {
    let request = new_key(id, key_type, algorithms);
    if let Err(status) = client.keys().create_key(request).await {
        assert_eq!(crate::harness::Refusal::of(&status).reason, "KEY_EXISTS");
    }
}

/// The public half of a key, or of a version of one.
pub async fn public_key(client: &Client, name: &str) -> GetPublicKeyResponse {
    let request = GetPublicKeyRequest {
        name: name.to_owned(),
    };
    let response = client.keys().get_public_key(request).await;
    response.unwrap().into_inner()
}

/// A message to sign; ECDSA as DER, which is what `openssl` takes.
pub fn message(key: &str, algorithm: Algorithm, message: &[u8]) -> SignRequest {
    SignRequest {
        name: format!("keys/{key}"),
        algorithm: algorithm.into(),
        message: Some(message.to_vec().into()),
        ecdsa_encoding: encoding(algorithm).into(),
        ..SignRequest::default()
    }
}

/// A digest to sign, in the same way.
pub fn digest(key: &str, algorithm: Algorithm, digest: &[u8]) -> SignRequest {
    SignRequest {
        message: None,
        digest: Some(digest.to_vec().into()),
        ..message(key, algorithm, &[])
    }
}

/// Whether `signature` is right for what was to be signed.
pub fn verification(request: &SignRequest, signature: &[u8]) -> VerifyRequest {
    VerifyRequest {
        name: request.name.clone(),
        algorithm: request.algorithm,
        message: request.message.clone(),
        digest: request.digest.clone(),
        signature: signature.to_vec().into(),
        ecdsa_encoding: request.ecdsa_encoding,
        input_crc32c: None,
    }
}

/// DER for ECDSA, else nothing.
pub fn encoding(algorithm: Algorithm) -> EcdsaEncoding {
    match algorithm {
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => EcdsaEncoding::Der,
        _ => EcdsaEncoding::Unspecified,
    }
}

/// base64url without padding.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes again.
pub fn unbase64url(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The `openssl` command, with files to work on.
pub struct OpenSsl(TempDir);

impl OpenSsl {
    /// With a directory of its own.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A file with this in it.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs it in the directory.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(self.0.path());
        command.output().expect("openssl")
    }

    /// What it writes on standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn output(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output.stdout
    }

    /// Whether it finds the signature over the message right.
    pub fn verifies(
        &self,
        pem: &str,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        self.file("key.pem", pem.as_bytes());
        self.file("message", message);
        self.file("signature", signature);
        let files = ["-verify", "key.pem", "-signature", "signature", "message"];
        let options: &[&str] = match algorithm {
            Algorithm::Rs256 | Algorithm::Es256 => &["-sha256"],
            Algorithm::Rs384 | Algorithm::Es384 => &["-sha384"],
            Algorithm::Rs512 | Algorithm::Es512 => &["-sha512"],
            Algorithm::Ps256 => &["-sha256", PSS[0], PSS[1], PSS[0], "rsa_pss_saltlen:32"],
            Algorithm::Ps384 => &["-sha384", PSS[0], PSS[1], PSS[0], "rsa_pss_saltlen:48"],
            Algorithm::Ps512 => &["-sha512", PSS[0], PSS[1], PSS[0], "rsa_pss_saltlen:64"],
            Algorithm::Eddsa => {
                let arguments = [
                    "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin",
                ];
                let files = ["-in", "message", "-sigfile", "signature"];
                let output = self.run(&[&arguments[..], &files].concat());
                return output.status.success();
            }
            other => panic!("{other:?} makes no signatures"),
        };
        let output = self.run(&[&["dgst"], options, &files].concat());
        output.status.success()
    }
}

const PSS: [&str; 2] = ["-sigopt", "rsa_padding_mode:pss"];
