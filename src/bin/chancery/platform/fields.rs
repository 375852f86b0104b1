//! `chancery fields`: single values, encrypted to a platform or by it.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use chancery::proto::v1::{DecryptFieldRequest, EncryptFieldRequest};

use super::{Given, Whom, key_in_words, key_json, sorted, tell_values};
use crate::{Session, arguments, output, trouble::Trouble};

/// Encrypt one value to a platform
///
/// The ciphertext goes to stdout, encoded as the platform wants it, without a line end.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Encrypt {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    given: Given,
    /// File with the plaintext; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// The scheme makes the plaintext of its inputs: read none
    #[arg(long, conflicts_with = "input")]
    no_input: bool,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Decrypt one value that a platform encrypted to us
///
/// The plaintext goes to stdout, its exact bytes. Nobody has signed it.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Decrypt {
    #[command(flatten)]
    whom: Whom,
    /// File with the ciphertext, encoded as the platform sends it; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Encrypt {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let plaintext = match self.no_input {
            true => Vec::new(),
            false => arguments::contents(session.streams, self.input.as_deref())?,
        };
        let request = EncryptFieldRequest {
            partner: self.whom.partner(),
            scheme: self.whom.scheme(),
            plaintext: plaintext.into(),
            inputs: self.whom.inputs(session.streams)?,
            values: self.given.values(),
        };
        let client = session.client()?;
        let made = client
            .platform()
            .encrypt_field(client.request(request))
            .await?
            .into_inner();
        let text = made.ciphertext.as_bytes();
        if session.global.json {
            session.streams.write_beside(self.out.as_deref(), text)?;
            return session.streams.json(&json!({
                "ciphertext": made.ciphertext,
                "key": key_json(made.key.as_ref()),
                "oaep_hash": made.oaep_hash,
                "mgf1_hash": made.mgf1_hash,
                "platform_key_id": made.platform_key_id,
                "scheme": made.scheme,
                "values": sorted(&made.values),
            }));
        }
        let streams = &mut *session.streams;
        streams.tell(&format!(
            "encrypted by {}, {}",
            made.scheme,
            key_in_words(made.key.as_ref())
        ));
        for (name, value) in [
            ("OAEP hash", &made.oaep_hash),
            ("MGF1 hash", &made.mgf1_hash),
            ("key id", &made.platform_key_id),
        ] {
            if !value.is_empty() {
                streams.tell(&format!("{name}: {}", output::printable(value)));
            }
        }
        tell_values(streams, &made.values);
        streams.write_content(self.out.as_deref(), text)
    }
}

impl Decrypt {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let request = DecryptFieldRequest {
            partner: self.whom.partner(),
            scheme: self.whom.scheme(),
            ciphertext: arguments::text(session.streams, self.input.as_deref())?,
            inputs: self.whom.inputs(session.streams)?,
        };
        let client = session.client()?;
        let made = client
            .platform()
            .decrypt_field(client.request(request))
            .await?
            .into_inner();
        if session.global.json {
            session
                .streams
                .write_beside(self.out.as_deref(), &made.plaintext)?;
            return session.streams.json(&json!({
                "plaintext": output::base64(&made.plaintext),
                "key": key_json(made.key.as_ref()),
                "scheme": made.scheme,
            }));
        }
        let words = key_in_words(made.key.as_ref());
        session
            .streams
            .tell(&format!("decrypted by {}, {words}", made.scheme));
        session
            .streams
            .write_content(self.out.as_deref(), &made.plaintext)
    }
}
