//! `chancery sign` and `chancery mac sign`.

use clap::Args;
use serde_json::json;

use chancery::{
    algorithm::Algorithm,
    proto::v1::{EcdsaEncoding, SignChunksHeader, SignRequest},
    wire::{self, KeyResource},
};

use crate::{
    Session, arguments,
    message::{Encoding, Message, MessageInput},
    output::{self, BytesOutput},
    trouble::Trouble,
};

/// Sign a message or a digest with a key in the token
///
/// The signature goes to stdout, its exact bytes and nothing else. Messages over 1 MiB are sent in chunks,
/// in constant memory (not for EdDSA, which signs at most 1 MiB).
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery sign --key payouts --algorithm RS256 --in request.txt --out request.sig\n  \
    chancery sign --key login --algorithm ES256 --der --base64 < message"
)]
pub(crate) struct Sign {
    /// Key: NAME (its primary version), NAME/VERSION, or a full resource name
    #[arg(long, value_parser = arguments::key)]
    key: KeyResource,
    /// What to sign with; must be one of the key's
    #[arg(long, value_parser = arguments::signing_algorithm())]
    algorithm: Algorithm,
    #[command(flatten)]
    input: MessageInput,
    #[command(flatten)]
    encoding: Encoding,
    /// Send the message in chunks, also if it is short
    #[arg(long)]
    chunks: bool,
    /// Signed once under this id: asked for again, the same signature is given; not for what is sent in chunks
    #[arg(long, value_name = "ID", conflicts_with = "chunks")]
    request_id: Option<String>,
    #[command(flatten)]
    output: BytesOutput,
}

/// Make a MAC over a message with a key in the token
///
/// The MAC goes to stdout, its exact bytes and nothing else. Messages over 1 MiB are sent in chunks.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct MacSign {
    /// Key: NAME (its primary version), NAME/VERSION, or a full resource name
    #[arg(long, value_parser = arguments::key)]
    key: KeyResource,
    /// What to make it with; must be one of the key's
    #[arg(long, value_parser = arguments::mac_algorithm())]
    algorithm: Algorithm,
    /// File with the message; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<std::path::PathBuf>,
    #[command(flatten)]
    output: BytesOutput,
}

impl Sign {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let encoding = self.encoding.of(self.algorithm)?;
        self.output.check(session.streams, session.global.json)?;
        let message = self
            .input
            .read(session.streams, self.algorithm, self.chunks)?;
        let call = Call {
            key: self.key,
            algorithm: self.algorithm,
            encoding,
            request_id: self.request_id,
        };
        call.run(session, message, &self.output).await
    }
}

impl MacSign {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        self.output.check(session.streams, session.global.json)?;
        let input = MessageInput::message(self.input);
        let message = input.read(session.streams, self.algorithm, false)?;
        let call = Call {
            key: self.key,
            algorithm: self.algorithm,
            encoding: EcdsaEncoding::Unspecified,
            request_id: None,
        };
        call.run(session, message, &self.output).await
    }
}

struct Call {
    key: KeyResource,
    algorithm: Algorithm,
    encoding: EcdsaEncoding,
    request_id: Option<String>,
}

impl Call {
    async fn run(
        self,
        session: &mut Session<'_>,
        message: Message,
        output: &BytesOutput,
    ) -> Result<(), Trouble> {
        let name = self.key.to_string();
        let algorithm = wire::algorithm_to_proto(self.algorithm).into();
        let (message, digest) = match message {
            Message::Long { .. } if self.request_id.is_some() => {
                return Err(Trouble::Usage(
                    "a message that is sent in chunks has no --request-id; send its --digest instead".into(),
                ));
            }
            Message::Long { checksum, reader } => {
                let header = SignChunksHeader {
                    name,
                    algorithm,
                    ecdsa_encoding: self.encoding.into(),
                    message_crc32c: checksum,
                };
                let client = session.patient_client()?;
                let made = client.sign_chunks(header, reader).await?;
                if session.global.json {
                    output.write_file(session.streams, &made.signature)?;
                    return session.streams.json(&json!({
                        "signature": output::base64(&made.signature),
                        "name": made.name,
                        "algorithm": arguments::algorithm_name(made.algorithm),
                        "signature_crc32c": made.signature_crc32c,
                        "verified_message_crc32c": made.verified_message_crc32c,
                        "message_length": made.message_length,
                    }));
                }
                return output.write(session.streams, &made.signature);
            }
            Message::Whole(message) => (Some(message), None),
            Message::Digest(digest) => (None, Some(digest)),
        };
        let request = SignRequest {
            name,
            algorithm,
            message,
            digest,
            input_crc32c: None,
            ecdsa_encoding: self.encoding.into(),
            request_id: self.request_id.unwrap_or_default(),
        };
        let made = session.client()?.sign(request).await?;
        if session.global.json {
            output.write_file(session.streams, &made.signature)?;
            return session.streams.json(&json!({
                "signature": output::base64(&made.signature),
                "name": made.name,
                "algorithm": arguments::algorithm_name(made.algorithm),
                "signature_crc32c": made.signature_crc32c,
                "verified_input_crc32c": made.verified_input_crc32c,
            }));
        }
        output.write(session.streams, &made.signature)
    }
}
