//! What is to be signed or verified: a message of any size, or its digest.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek},
    path::PathBuf,
};

use bytes::Bytes;
use clap::Args;
use sha2::{
    Digest,
    digest::{FixedOutputReset, Update},
};

use chancery::{
    algorithm::{Algorithm, Hash},
    proto::v1::EcdsaEncoding,
};

use crate::{arguments, output::Streams, trouble::Trouble};

/// Where the message or digest comes from.
#[derive(Args)]
pub(crate) struct MessageInput {
    /// File with the message; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// The input is not the message but its digest, as bytes; not for EdDSA and HS*
    #[arg(long)]
    digest: bool,
    /// The digest of the message, as hexadecimal; not for EdDSA and HS*
    #[arg(long, value_name = "HEX", conflicts_with_all = ["input", "digest"])]
    digest_hex: Option<String>,
}

/// In which form an ECDSA signature is written.
#[derive(Args)]
pub(crate) struct Encoding {
    /// ES*: the signature is ASN.1 DER (X.509, TLS, OpenSSL)
    #[arg(long, conflicts_with = "raw")]
    der: bool,
    /// ES*: the signature is r and s one after the other (JOSE)
    #[arg(long)]
    raw: bool,
}

/// Input that has been looked at.
pub(crate) enum Message {
    /// A message that fits one call.
    Whole(Bytes),
    /// A message that does not, with its checksum if it could be read twice.
    Long {
        checksum: Option<u32>,
        reader: Box<dyn Read + Send>,
    },
    /// A digest of the right length.
    Digest(Bytes),
}

impl MessageInput {
    /// A message, never a digest.
    pub(crate) fn message(input: Option<PathBuf>) -> Self {
        Self {
            input,
            digest: false,
            digest_hex: None,
        }
    }

    /// Reads the input; a message over 1 MiB, or any if `stream` is set, is left to be read in chunks.
    pub(crate) fn read(
        &self,
        streams: &mut Streams,
        algorithm: Algorithm,
        stream: bool,
    ) -> Result<Message, Trouble> {
        if self.digest || self.digest_hex.is_some() {
            return self.read_digest(streams, algorithm, stream);
        }
        let failed = |source| Trouble::File {
            what: self.input.clone().unwrap_or_else(|| "stdin".into()),
            source,
        };
        let (_, mut reader) = arguments::open(streams, self.input.as_deref())?;
        let mut head = Vec::new();
        (&mut reader)
            .take(ONE_CALL + 1)
            .read_to_end(&mut head)
            .map_err(failed)?;
        let long = head.len() as u64 > ONE_CALL;
        if !long && !stream {
            return Ok(Message::Whole(head.into()));
        }
        if algorithm == Algorithm::EdDsa {
            let why = "EdDSA reads the message twice, so that it can't be sent in chunks";
            return Err(Trouble::Usage(format!(
                "{why}: it signs at most {} MiB",
                ONE_CALL / (1024 * 1024)
            )));
        }
        if let Some((checksum, file)) = self.read_file_twice().map_err(failed)? {
            return Ok(Message::Long {
                checksum: Some(checksum),
                reader: Box::new(file),
            });
        }
        Ok(Message::Long {
            checksum: None,
            reader: Box::new(Cursor::new(head).chain(reader)),
        })
    }

    fn read_digest(
        &self,
        streams: &mut Streams,
        algorithm: Algorithm,
        stream: bool,
    ) -> Result<Message, Trouble> {
        let Some(hash) = algorithm.prehash() else {
            return Err(Trouble::Usage(format!(
                "{algorithm} is made over the message, never over its digest"
            )));
        };
        if stream {
            return Err(Trouble::Usage("a digest is not sent in chunks".into()));
        }
        let digest = match &self.digest_hex {
            Some(digest) => arguments::hexadecimal(digest).map_err(Trouble::Usage)?,
            None => arguments::contents(streams, self.input.as_deref())?,
        };
        if digest.len() != hash.len() {
            return Err(Trouble::Usage(format!(
                "{algorithm} takes a digest of {} bytes; this one has {}",
                hash.len(),
                digest.len()
            )));
        }
        Ok(Message::Digest(digest.into()))
    }

    /// The checksum of a regular file, and the file at its start.
    fn read_file_twice(&self) -> io::Result<Option<(u32, File)>> {
        let Some(path) = arguments::regular(self.input.as_deref()) else {
            return Ok(None);
        };
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let mut file = File::open(path)?;
        let mut checksum = 0;
        pieces(&mut file, |piece| {
            checksum = crc32c::crc32c_append(checksum, piece);
        })?;
        file.rewind()?;
        Ok(Some((checksum, file)))
    }
}

impl Encoding {
    /// The form to ask for: one must be chosen for ES*, and none for all else.
    pub(crate) fn of(&self, algorithm: Algorithm) -> Result<EcdsaEncoding, Trouble> {
        let ecdsa = matches!(algorithm, Algorithm::Ecdsa(_));
        match (ecdsa, self.der, self.raw) {
            (true, true, false) => Ok(EcdsaEncoding::Der),
            (true, false, true) => Ok(EcdsaEncoding::Raw),
            (true, ..) => Err(Trouble::Usage(format!(
                "{algorithm} signatures come in two forms: say --der (X.509, TLS, OpenSSL) or --raw (JOSE)"
            ))),
            (false, false, false) => Ok(EcdsaEncoding::Unspecified),
            (false, ..) => Err(Trouble::Usage(format!(
                "--der and --raw are for ES256, ES384 and ES512; {algorithm} has one form"
            ))),
        }
    }
}

/// The digest of all that the reader gives, in constant memory.
pub(crate) fn digest(hash: Hash, reader: impl Read) -> io::Result<Bytes> {
    fn with<D: Digest + Update + FixedOutputReset>(reader: impl Read) -> io::Result<Bytes> {
        let mut digest = D::new();
        pieces(reader, |piece| Update::update(&mut digest, piece))?;
        Ok(Bytes::copy_from_slice(&digest.finalize()))
    }
    match hash {
        Hash::Sha256 => with::<sha2::Sha256>(reader),
        Hash::Sha384 => with::<sha2::Sha384>(reader),
        Hash::Sha512 => with::<sha2::Sha512>(reader),
    }
}

fn pieces(mut reader: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => take(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Longest message that is sent in one call, in bytes.
const ONE_CALL: u64 = 1024 * 1024;
const PIECE: usize = 256 * 1024;
