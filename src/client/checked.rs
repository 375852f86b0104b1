//! Calls whose input and output carry a CRC32C: set here before, checked here after.

use std::io::{self, Read};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    task,
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    client::{Client, Failure},
    proto::v1::{
        GenerateRandomRequest, GenerateRandomResponse, Key, ListKeysRequest, SignChunksHeader,
        SignChunksRequest, SignChunksResponse, SignRequest, SignResponse, VerifyRequest,
        VerifyResponse, sign_chunks_request::Part,
    },
};

/// Why a long message was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignChunksError {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] Failure),
    /// The message could not be read to its end; the call was given up.
    #[error("can't read the message: {0}")]
    Input(io::Error),
}

/// CRC32C (Castagnoli) as every checksum of the protocol has it.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

impl Client {
    /// Signs, with checksums of what is sent and what comes back.
    ///
    /// # Errors
    ///
    /// The daemon's failure, or `CORRUPTED` if a checksum is wrong.
    pub async fn sign(&self, mut request: SignRequest) -> Result<SignResponse, Failure> {
        request.input_crc32c = input(request.message.as_ref(), request.digest.as_ref());
        let response = self
            .signing()
            .sign(self.request(request))
            .await?
            .into_inner();
        acknowledged(response.verified_input_crc32c)?;
        matches(&response.signature, response.signature_crc32c)?;
        Ok(response)
    }

    /// Verifies, with a checksum of what is sent.
    ///
    /// # Errors
    ///
    /// The daemon's failure, or `CORRUPTED` if it did not look at the checksum.
    pub async fn verify(&self, mut request: VerifyRequest) -> Result<VerifyResponse, Failure> {
        request.input_crc32c = input(request.message.as_ref(), request.digest.as_ref());
        let response = self
            .signing()
            .verify(self.request(request))
            .await?
            .into_inner();
        acknowledged(response.verified_input_crc32c)?;
        Ok(response)
    }

    /// Signs all that the reader gives, in constant memory. A header without a checksum is sent
    /// without one, as the whole message must be known for it.
    ///
    /// # Errors
    ///
    /// [`SignChunksError`]: the call's failure, or the reader's.
    pub async fn sign_chunks(
        &self,
        header: SignChunksHeader,
        message: impl Read + Send + 'static,
    ) -> Result<SignChunksResponse, SignChunksError> {
        let checked = header.message_crc32c.is_some();
        let (chunks, stream) = mpsc::channel(CHUNKS_AHEAD);
        let (failed, failure) = oneshot::channel();
        let reader = task::spawn_blocking(move || send_chunks(header, message, chunks, failed));
        let mut signing = self.signing();
        let call = signing.sign_chunks(self.request(ReceiverStream::new(stream)));
        let response = tokio::select! {
            biased;
            // Only this way is the call given up before the stream ends: a message that could be read
            // in part must not be signed as if it were whole.
            Ok((error, _chunks)) = failure => return Err(SignChunksError::Input(error)),
            response = call => response.map_err(Failure::from)?.into_inner(),
        };
        // A panic of the reader shows as a length that does not match.
        let sent = reader.await.unwrap_or_default();
        if sent != response.message_length {
            return Err(Failure::corrupted(format!(
                "{sent} bytes were sent to be signed, but the daemon signed {}",
                response.message_length
            ))
            .into());
        }
        if checked {
            acknowledged(response.verified_message_crc32c)?;
        }
        matches(&response.signature, response.signature_crc32c)?;
        Ok(response)
    }

    /// Random bytes from the token, their checksum checked.
    ///
    /// # Errors
    ///
    /// The daemon's failure, or `CORRUPTED` if the checksum or the length is wrong.
    pub async fn random(
        &self,
        request: GenerateRandomRequest,
    ) -> Result<GenerateRandomResponse, Failure> {
        let length = request.length;
        let response = self
            .keys()
            .generate_random(self.request(request))
            .await?
            .into_inner();
        matches(&response.data, response.data_crc32c)?;
        if usize::try_from(length) != Ok(response.data.len()) {
            return Err(Failure::corrupted(format!(
                "{length} random bytes were asked for, {} came",
                response.data.len()
            )));
        }
        Ok(response)
    }

    /// Every key that the caller may get, from all pages.
    ///
    /// # Errors
    ///
    /// The daemon's failure.
    pub async fn all_keys(&self) -> Result<Vec<Key>, Failure> {
        let mut service = self.keys();
        let mut keys = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListKeysRequest {
                page_size: PAGE,
                page_token,
            };
            let page = service.list_keys(self.request(request)).await?.into_inner();
            keys.extend(page.keys);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(keys);
            }
        }
    }
}

type Chunks = mpsc::Sender<SignChunksRequest>;

/// Sends the header and then the message; returns how many bytes of the message were sent.
fn send_chunks(
    header: SignChunksHeader,
    mut message: impl Read,
    chunks: Chunks,
    failed: oneshot::Sender<(io::Error, Chunks)>,
) -> u64 {
    let send = |part| {
        chunks
            .blocking_send(SignChunksRequest { part: Some(part) })
            .is_ok()
    };
    let mut sent = 0;
    // A stream that is closed on the other side has its answer already.
    if !send(Part::Header(header)) {
        return sent;
    }
    let mut buffer = vec![0; CHUNK];
    loop {
        match message.read(&mut buffer) {
            Ok(0) => return sent,
            Ok(length) => {
                if !send(Part::Chunk(Bytes::copy_from_slice(&buffer[..length]))) {
                    return sent;
                }
                sent += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                // The sender goes along, so that the stream stays open until the call is dropped.
                let _ = failed.send((error, chunks));
                return sent;
            }
        }
    }
}

fn input(message: Option<&Bytes>, digest: Option<&Bytes>) -> Option<u32> {
    message.or(digest).map(|bytes| checksum(bytes))
}

fn acknowledged(verified: bool) -> Result<(), Failure> {
    if verified {
        Ok(())
    } else {
        Err(Failure::corrupted(
            "the daemon did not confirm the checksum of what was sent",
        ))
    }
}

fn matches(bytes: &[u8], expected: u32) -> Result<(), Failure> {
    let found = checksum(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(Failure::corrupted(format!(
            "what came back was changed on the way: its CRC32C is {found:08x}, the daemon said {expected:08x}"
        )))
    }
}

/// Bytes in one message of a stream.
const CHUNK: usize = 256 * 1024;
const CHUNKS_AHEAD: usize = 4;
const PAGE: i32 = 1000;
