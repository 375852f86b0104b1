//! `chancery verify` and `chancery mac verify`.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use serde_json::json;

use chancery::{
    algorithm::Algorithm,
    proto::v1::{EcdsaEncoding, VerifyRequest},
    wire::{self, KeyResource},
};

use crate::{
    Session, arguments,
    message::{self, Encoding, Message, MessageInput},
    output::Streams,
    trouble::Trouble,
};

/// Verify a signature or MAC
///
/// Says "valid" and the key version on stderr and exits with 0, or says "not valid" and exits with 1.
/// Of a message over 1 MiB only the digest is sent, made here.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery verify --key payouts --algorithm RS256 --in request.txt --signature request.sig"
)]
pub(crate) struct Verify {
    /// Key: NAME (every version is tried), NAME/VERSION, or a full resource name
    #[arg(long, value_parser = arguments::key)]
    key: KeyResource,
    /// What it was signed with
    #[arg(long, value_parser = arguments::signing_algorithm())]
    algorithm: Algorithm,
    #[command(flatten)]
    signature: Signature,
    #[command(flatten)]
    input: MessageInput,
    #[command(flatten)]
    encoding: Encoding,
}

/// Verify a MAC
///
/// Says "valid" and the key version on stderr and exits with 0, or says "not valid" and exits with 1.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct MacVerify {
    /// Key: NAME (every version is tried), NAME/VERSION, or a full resource name
    #[arg(long, value_parser = arguments::key)]
    key: KeyResource,
    /// What it was made with
    #[arg(long, value_parser = arguments::mac_algorithm())]
    algorithm: Algorithm,
    #[command(flatten)]
    tag: Tag,
    /// File with the message; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Signature {
    /// File with the bytes of the signature
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// The signature, as base64
    #[arg(long, value_name = "TEXT")]
    signature_base64: Option<String>,
    /// The signature, as hexadecimal
    #[arg(long, value_name = "HEX")]
    signature_hex: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Tag {
    /// File with the bytes of the MAC
    #[arg(long, value_name = "FILE")]
    tag: Option<PathBuf>,
    /// The MAC, as base64
    #[arg(long, value_name = "TEXT")]
    tag_base64: Option<String>,
    /// The MAC, as hexadecimal
    #[arg(long, value_name = "HEX")]
    tag_hex: Option<String>,
}

impl Verify {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let encoding = self.encoding.of(self.algorithm)?;
        let signature = self.signature.read(session.streams)?;
        let input = self.input.read(session.streams, self.algorithm, false)?;
        let call = Call {
            key: self.key,
            algorithm: self.algorithm,
            encoding,
            signature,
        };
        call.run(session, input).await
    }
}

impl MacVerify {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let Tag {
            tag,
            tag_base64,
            tag_hex,
        } = self.tag;
        let signature = Signature {
            signature: tag,
            signature_base64: tag_base64,
            signature_hex: tag_hex,
        };
        let signature = signature.read(session.streams)?;
        let input =
            MessageInput::message(self.input).read(session.streams, self.algorithm, false)?;
        let call = Call {
            key: self.key,
            algorithm: self.algorithm,
            encoding: EcdsaEncoding::Unspecified,
            signature,
        };
        call.run(session, input).await
    }
}

impl Signature {
    fn read(&self, streams: &mut Streams) -> Result<Bytes, Trouble> {
        let bytes = match self {
            Self {
                signature_base64: Some(text),
                ..
            } => arguments::base64(text).map_err(Trouble::Usage)?,
            Self {
                signature_hex: Some(text),
                ..
            } => arguments::hexadecimal(text).map_err(Trouble::Usage)?,
            Self { signature, .. } => arguments::contents(streams, signature.as_deref())?,
        };
        Ok(bytes.into())
    }
}

struct Call {
    key: KeyResource,
    algorithm: Algorithm,
    encoding: EcdsaEncoding,
    signature: Bytes,
}

impl Call {
    async fn run(self, session: &mut Session<'_>, input: Message) -> Result<(), Trouble> {
        let (message, digest) = match input {
            Message::Whole(message) => (Some(message), None),
            Message::Digest(digest) => (None, Some(digest)),
            Message::Long { reader, .. } => {
                let Some(hash) = self.algorithm.prehash() else {
                    return Err(Trouble::Usage(format!(
                        "{} is verified over the whole message: at most 1 MiB",
                        self.algorithm
                    )));
                };
                let digest = message::digest(hash, reader).map_err(|source| Trouble::File {
                    what: "the message".into(),
                    source,
                })?;
                (None, Some(digest))
            }
        };
        let request = VerifyRequest {
            name: self.key.to_string(),
            algorithm: wire::algorithm_to_proto(self.algorithm).into(),
            message,
            digest,
            signature: self.signature,
            ecdsa_encoding: self.encoding.into(),
            input_crc32c: None,
        };
        let verdict = session.client()?.verify(request).await?;
        if session.global.json {
            session.streams.json(&json!({
                "valid": verdict.valid,
                "name": verdict.name,
                "algorithm": arguments::algorithm_name(verdict.algorithm),
                "verified_input_crc32c": verdict.verified_input_crc32c,
            }))?;
        } else if verdict.valid {
            session.streams.tell(&format!("valid: {}", verdict.name));
        } else {
            session.streams.tell("not valid");
        }
        if verdict.valid {
            Ok(())
        } else {
            Err(Trouble::NotValid)
        }
    }
}
