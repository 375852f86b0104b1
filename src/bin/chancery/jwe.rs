//! `chancery jwe`: JSON Web Encryption (RFC 7516).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use chancery::{
    algorithm::{Algorithm, ContentEncryption},
    proto::v1::{DecryptJweRequest, EncryptJweRequest, encrypt_jwe_request::Recipient},
    wire::{self, KeyResource},
};

use crate::{Session, arguments, output, trouble::Trouble};

#[derive(Subcommand)]
pub(crate) enum Jwe {
    Encrypt(Encrypt),
    Decrypt(Decrypt),
}

/// Encrypt for a public key, or for a key in the token
///
/// The JWE goes to stdout in the compact form, with a line end.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Encrypt {
    #[command(flatten)]
    recipient: To,
    /// How the content key is encrypted; becomes `alg`
    #[arg(long, value_parser = arguments::encryption_algorithm())]
    algorithm: Algorithm,
    /// How the content is encrypted; becomes `enc`
    #[arg(long, value_parser = arguments::content_encryption())]
    enc: ContentEncryption,
    /// File with the plaintext; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// Members to add to the protected header, a JSON object
    #[arg(long, value_name = "JSON")]
    header: Option<String>,
    /// Compress the plaintext first, `zip=DEF`: never where an attacker chooses a part of it
    #[arg(long)]
    compress: bool,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct To {
    /// File with the recipient's public key, a JWK
    #[arg(long, value_name = "FILE")]
    jwk: Option<PathBuf>,
    /// File with the recipient's public key or certificate, PEM
    #[arg(long, value_name = "FILE")]
    pem: Option<PathBuf>,
    /// Key in the token: NAME (its primary version), NAME/VERSION, or a full resource name
    #[arg(long, value_parser = arguments::key)]
    key: Option<KeyResource>,
}

/// Decrypt with a key in the token and print the plaintext
///
/// The plaintext goes to stdout, its exact bytes; the protected header and the key version to stderr.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Decrypt {
    /// Key: NAME (the version that `kid` names, or the primary), NAME/VERSION, or a full resource name
    #[arg(long, value_parser = arguments::key)]
    key: KeyResource,
    /// File with the JWE, compact or JSON; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// Write the plaintext to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Jwe {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::Encrypt(encrypt) => encrypt.run(session).await,
            Self::Decrypt(decrypt) => decrypt.run(session).await,
        }
    }
}

impl Encrypt {
    async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let To { jwk, pem, key } = self.recipient;
        let recipient = match (jwk, pem, key) {
            (Some(path), None, None) => {
                Recipient::Jwk(arguments::text(session.streams, Some(&path))?)
            }
            (None, Some(path), None) => {
                Recipient::Pem(arguments::text(session.streams, Some(&path))?)
            }
            (None, None, Some(key)) => Recipient::Name(key.to_string()),
            _ => {
                let message = "expected one of --jwk, --pem and --key";
                return Err(Trouble::Usage(message.into()));
            }
        };
        let plaintext = arguments::contents(session.streams, self.input.as_deref())?;
        let client = session.client()?;
        let request = EncryptJweRequest {
            recipient: Some(recipient),
            algorithm: wire::algorithm_to_proto(self.algorithm).into(),
            content_encryption: wire::content_encryption_to_proto(self.enc).into(),
            plaintext: plaintext.into(),
            protected_header: self.header.unwrap_or_default(),
            compress: self.compress,
        };
        let made = client
            .jose()
            .encrypt_jwe(client.request(request))
            .await?
            .into_inner();
        let line = format!("{}\n", made.jwe);
        if session.global.json {
            session
                .streams
                .write_beside(self.out.as_deref(), line.as_bytes())?;
            return session
                .streams
                .json(&json!({"jwe": made.jwe, "name": made.name}));
        }
        session.streams.write(self.out.as_deref(), line.as_bytes())
    }
}

impl Decrypt {
    async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let jwe = arguments::text(session.streams, self.input.as_deref())?;
        let client = session.client()?;
        let request = DecryptJweRequest {
            name: self.key.to_string(),
            jwe,
        };
        let opened = client
            .jose()
            .decrypt_jwe(client.request(request))
            .await?
            .into_inner();
        if session.global.json {
            session
                .streams
                .write_beside(self.out.as_deref(), &opened.plaintext)?;
            let enc = opened.content_encryption;
            return session.streams.json(&json!({
                "plaintext": output::base64(&opened.plaintext),
                "protected_header": opened.protected_header,
                "name": opened.name,
                "algorithm": arguments::algorithm_name(opened.algorithm),
                "content_encryption": arguments::content_encryption_name(enc),
            }));
        }
        session.streams.tell(&format!("key: {}", opened.name));
        session.streams.tell(&format!(
            "header: {}",
            output::printable(&opened.protected_header)
        ));
        session
            .streams
            .write_content(self.out.as_deref(), &opened.plaintext)
    }
}
