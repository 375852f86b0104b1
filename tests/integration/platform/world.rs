//! A daemon with a partner for each thing that is tried, and the keys that their files name.

use std::{fs, path::Path};

use chancery::{
    client::Client,
    proto::v1::{
        Algorithm, Custody, GetImportWrappingKeyRequest, HttpHeader, HttpRequest, ImportKeyRequest,
        ImportKeyVersionRequest, ImportMethod, KeyPurpose, KeyType, Verification,
        VerifyCallbackRequest, VerifyCallbackResponse, WrappedKey,
    },
};
use rsa::{Oaep, RsaPublicKey, pkcs8::DecodePublicKey};
use tempfile::TempDir;

use crate::{
    harness::{ALLOW_TEST, Daemon, Refusal, Setup},
    softhsm::Token,
};

/// What the clients named `test` may do with partners, and what those named `other` and `explainer` may.
const PARTNERS: &str = r#"
[[rules]]
name = "partners"
identities = ["spiffe://chancery.test/test"]
partners = ["*"]
operations = ["sign_request", "sign_response", "verify_callback", "verify_response", "encrypt_field", "decrypt_field", "issue_access_token", "explain_message", "get_partner"]

[[rules]]
name = "other"
identities = ["spiffe://chancery.test/other"]
partners = ["github"]
schemes = ["github"]
operations = ["sign_request"]

[[rules]]
name = "explainer"
identities = ["spiffe://chancery.test/explainer"]
partners = ["github"]
operations = ["explain_message"]
"#;

/// A running daemon and its partners' files.
pub struct World {
    /// The daemon.
    pub daemon: Daemon,
    files: TempDir,
}

/// A secret for MACs, as the token shall hold it.
pub struct Held<'k> {
    /// Its name.
    pub name: &'k str,
    /// With what it is used.
    pub algorithm: Algorithm,
    /// Its bytes.
    pub secret: &'k [u8],
    /// Whether the worker may read it, as message text.
    pub readable: bool,
}

impl World {
    /// With these partner files: each has its name in its first line, `name = "..."` under `[partner]`.
    pub fn with(partners: &[(String, String)], token: Token, tables: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        for (name, text) in partners {
            fs::write(files.path().join(format!("{name}.toml")), text).unwrap();
        }
        let directory = files.path().to_str().unwrap();
        let daemon = Setup::new(token)
            .policy(&format!("{ALLOW_TEST}{PARTNERS}"))
            .server("max_request_bytes = 25000000")
            .tables(&format!("[platforms]\npartners = {directory:?}\n{tables}"))
            .start();
        Self { daemon, files }
    }

    /// Where the partners' files are.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// The client that may do everything.
    pub fn client(&self) -> Client {
        self.daemon.client("test")
    }

    /// Brings a secret into the token, as its first version.
    pub async fn import(&self, held: Held<'_>) {
        let client = self.client();
        let wrapped = wrapped(&client, &held).await;
        let (key_type, _) = kind(held.algorithm);
        let custody = match held.readable {
            true => Custody::WorkerReadable,
            false => Custody::TokenOnly,
        };
        let request = ImportKeyRequest {
            key_id: held.name.to_owned(),
            r#type: key_type.into(),
            purpose: KeyPurpose::Mac.into(),
            algorithms: vec![held.algorithm.into()],
            custody: custody.into(),
            wrapped: Some(wrapped),
            ..ImportKeyRequest::default()
        };
        let imported = client.keys().import_key(request).await;
        imported.unwrap_or_else(|status| panic!("{}: {status:?}", held.name));
    }

    /// Brings another version of a secret into the token, which is the primary one from then on.
    pub async fn import_version(&self, held: Held<'_>) {
        let client = self.client();
        let request = ImportKeyVersionRequest {
            name: format!("keys/{}", held.name),
            wrapped: Some(wrapped(&client, &held).await),
            request_id: String::new(),
        };
        client.keys().import_key_version(request).await.unwrap();
    }

    /// What becomes of a callback.
    pub async fn callback(
        &self,
        partner: &str,
        scheme: &str,
        request: HttpRequest,
    ) -> Result<VerifyCallbackResponse, Refusal> {
        let request = VerifyCallbackRequest {
            partner: format!("partners/{partner}"),
            scheme: scheme_name(scheme),
            request: Some(request),
            ..VerifyCallbackRequest::default()
        };
        let answer = self.client().platform().verify_callback(request).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| Refusal::of(&status))
    }

    /// The verdict alone.
    pub async fn verdict(&self, partner: &str, scheme: &str, request: HttpRequest) -> Verification {
        let answer = self.callback(partner, scheme, request).await;
        answer.unwrap().verification.unwrap()
    }
}

/// A request with these headers and this body.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| header(name, value))
            .collect(),
        body: body.to_vec().into(),
    }
}

/// One header.
pub fn header(name: &str, value: &str) -> HttpHeader {
    HttpHeader {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// `schemes/NAME`, or nothing.
pub fn scheme_name(name: &str) -> String {
    match name {
        "" => String::new(),
        name => format!("schemes/{name}"),
    }
}

async fn wrapped(client: &Client, held: &Held<'_>) -> WrappedKey {
    let request = GetImportWrappingKeyRequest {
        key_id: held.name.to_owned(),
        ..GetImportWrappingKeyRequest::default()
    };
    let wrapping = client.keys().get_import_wrapping_key(request).await;
    let wrapping = wrapping.unwrap().into_inner();
    let (_, least) = kind(held.algorithm);
    let mut bytes = held.secret.to_vec();
    bytes.resize(bytes.len().max(least), 0);
    let key = RsaPublicKey::from_public_key_pem(&wrapping.pem).unwrap();
    let padding = Oaep::new::<sha1::Sha1>();
    let sealed = key.encrypt(&mut rsa::rand_core::OsRng, padding, &bytes);
    WrappedKey {
        wrapping_key: wrapping.name,
        method: ImportMethod::RsaOaep3072Sha1.into(),
        wrapped_key: sealed.unwrap().into(),
        secret_bytes: match held.readable {
            true => u32::try_from(held.secret.len()).unwrap(),
            false => 0,
        },
        ..WrappedKey::default()
    }
}

/// The type of a secret, and how long it must be at least.
fn kind(algorithm: Algorithm) -> (KeyType, usize) {
    match algorithm {
        Algorithm::Hs256 => (KeyType::HmacSha256, 32),
        Algorithm::Hs384 => (KeyType::HmacSha384, 48),
        Algorithm::Hs512 => (KeyType::HmacSha512, 64),
        other => panic!("{other:?} has no secret"),
    }
}
