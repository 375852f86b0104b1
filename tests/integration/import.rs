//! Keys from elsewhere: made by openssl, wrapped by the command line or by another library, used in the token, and
//! what comes of it checked by openssl. And everything that must not come in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use chancery::{
    client::{Client, Status},
    proto::v1::{
        Algorithm, GetImportWrappingKeyRequest, ImportKeyRequest, ImportMethod, KeyPurpose,
        KeyType, SignRequest, WrappedKey,
    },
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{cli::Cli, harness::Daemon, softhsm::Token};

mod faults;
mod forms;
mod platforms;
mod refused;
mod used;
mod versions;
mod wrapping;

/// A daemon, its command line, and a directory for files.
struct Bench {
    daemon: Daemon,
    cli: Cli,
    files: tempfile::TempDir,
}

impl Bench {
    fn new(label: &str) -> Self {
        Self::over(Daemon::with(Token::new(label)))
    }

    fn over(daemon: Daemon) -> Self {
        Self {
            cli: Cli::new(&daemon, "test"),
            daemon,
            files: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A new private key and its public half, each in a file.
    fn openssl_key(&self, name: &str, make: &[&str]) -> (String, PathBuf) {
        let (key, public) = (
            self.path(&format!("{name}.pem")),
            self.path(&format!("{name}.pub")),
        );
        let mut command = Command::new("openssl");
        command
            .args(["genpkey", "-algorithm", make[0], "-out"])
            .arg(&key);
        for option in &make[1..] {
            command.args(["-pkeyopt", option]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let output = Command::new("openssl")
            .args(["pkey", "-pubout", "-in"])
            .arg(&key)
            .arg("-out")
            .arg(&public)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        (key.display().to_string(), public)
    }

    fn openssl_verifies(&self, hash: &str, public: &Path, message: &[u8], signature: &[u8]) {
        fs::write(self.path("message"), message).unwrap();
        fs::write(self.path("signature"), signature).unwrap();
        let output = Command::new("openssl")
            .args(["dgst", hash, "-verify"])
            .arg(public)
            .arg("-signature")
            .arg(self.path("signature"))
            .arg(self.path("message"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn secret(&self, name: &str, secret: &[u8], algorithm: &str) {
        self.cli.ok(
            &[
                "keys",
                "import",
                name,
                "--encoding",
                "utf8",
                "--algorithm",
                algorithm,
            ],
            secret,
        );
    }

    /// Wrapped by other hands than the command line's: those of the `openssl` command.
    async fn wrap(&self, client: &Client, key: &str, bytes: &[u8]) -> WrappedKey {
        let request = GetImportWrappingKeyRequest {
            key_id: key.to_owned(),
            ..GetImportWrappingKeyRequest::default()
        };
        let answer = client
            .keys()
            .get_import_wrapping_key(request)
            .await
            .unwrap()
            .into_inner();
        let aes = [9; 32];
        let mut wrapped = self.openssl_oaep(&answer.pem, &aes);
        fs::write(self.path("clear"), bytes).unwrap();
        let output = Command::new("openssl")
            .args([
                "enc",
                "-id-aes256-wrap-pad",
                "-e",
                "-iv",
                "A65959A6",
                "-K",
                &hex::encode(aes),
                "-in",
            ])
            .arg(self.path("clear"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        wrapped.extend(output.stdout);
        WrappedKey {
            wrapping_key: answer.name,
            method: ImportMethod::RsaOaep3072Sha1Aes256.into(),
            wrapped_key: wrapped.into(),
            public_key: Vec::new().into(),
            secret_bytes: 0,
        }
    }

    fn openssl_oaep(&self, pem: &str, clear: &[u8]) -> Vec<u8> {
        let (key, input) = (self.path("wrapping.pem"), self.path("oaep"));
        fs::write(&key, pem).unwrap();
        fs::write(&input, clear).unwrap();
        let output = Command::new("openssl")
            .args([
                "pkeyutl",
                "-encrypt",
                "-pubin",
                "-pkeyopt",
                "rsa_padding_mode:oaep",
                "-inkey",
            ])
            .arg(key)
            .arg("-in")
            .arg(input)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    /// Everything in the token, as pkcs11-tool lists it, in no order.
    fn objects(&self) -> String {
        let output = self.daemon.token().pkcs11_tool(&["--list-objects"]);
        assert!(output.status.success(), "{output:?}");
        let listed = String::from_utf8(output.stdout).unwrap();
        let mut objects: Vec<_> = listed.split_inclusive('\n').collect();
        objects.sort_unstable();
        objects.concat()
    }
}

fn import(
    id: &str,
    key_type: KeyType,
    purpose: KeyPurpose,
    algorithm: Algorithm,
) -> ImportKeyRequest {
    ImportKeyRequest {
        key_id: id.to_owned(),
        r#type: key_type.into(),
        purpose: purpose.into(),
        algorithms: vec![algorithm.into()],
        ..ImportKeyRequest::default()
    }
}

async fn sign(client: &Client, key: &str, algorithm: Algorithm) -> Result<Vec<u8>, Status> {
    let request = SignRequest {
        name: format!("keys/{key}"),
        algorithm: algorithm.into(),
        message: Some(MESSAGE.into()),
        ..SignRequest::default()
    };
    let answer = client.signing().sign(request).await?;
    Ok(answer.into_inner().signature.to_vec())
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn pkcs8(pem: &Path) -> Vec<u8> {
    der(
        &["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"],
        pem,
    )
}

fn spki(pem: &Path) -> Vec<u8> {
    der(
        &["pkey", "-pubin", "-pubout", "-outform", "DER", "-in"],
        pem,
    )
}

fn der(arguments: &[&str], pem: &Path) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments)
        .arg(pem)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

const MESSAGE: &[u8] = b"message";
const RSA: &[&str] = &["RSA", "rsa_keygen_bits:2048"];
