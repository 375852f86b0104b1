//! SigningService.

use std::{pin::Pin, sync::Arc};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};
use tonic_types::StatusExt;

use super::{
    Services, algorithm, checksum_wrong, complete::with_details, content, form, once::identified,
    selector, sign_response, status, status::invalid,
};
use crate::{
    algorithm::Purpose,
    proto::v1::{
        self, sign_chunks_request::Part, sign_result, signing_service_server::SigningService,
    },
    signer::{Call, SignRequest, Signature, Signer},
    wire::{self, KeyResource},
};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SigningService for Services {
    async fn sign(&self, request: Request<v1::SignRequest>) -> Answer<v1::SignResponse> {
        let call = self.call(&request, "SigningService.Sign")?;
        let mut asked = request.into_inner();
        let mut once = identified("Sign", &asked.request_id, &asked)?;
        // What tells requests apart must not be refused as that of an item.
        asked.request_id.clear();
        let (wanted, checked) = sign_request(asked)?;
        if once.is_some() && wanted.algorithm.purpose() == Purpose::Mac {
            return Err(invalid(
                "REQUEST_ID_NOT_TAKEN",
                format!(
                    "`request_id` is set, but {} gives the same MAC each time, and none is kept; leave it out",
                    wanted.algorithm
                ),
            ));
        }
        if let Some(once) = &mut once {
            once.signs = Some(wanted.content.clone());
        }
        self.once(call, once, async move |signer, call| {
            Ok(sign_response(signer.sign(&call, wanted).await?, checked))
        })
        .await
    }

    async fn verify(&self, request: Request<v1::VerifyRequest>) -> Answer<v1::VerifyResponse> {
        let call = self.call(&request, "SigningService.Verify")?;
        let asked = request.into_inner();
        let (key, algorithm) = (selector(&asked.name)?, algorithm(asked.algorithm)?);
        let form = form(algorithm, asked.ecdsa_encoding)?;
        let (content, checked) = content(asked.message, asked.digest, asked.input_crc32c)?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let version = signer
                .verify(&call, &key, algorithm, content, &asked.signature, form)
                .await?;
            Ok(v1::VerifyResponse {
                valid: version.is_some(),
                name: version
                    .map(|version| KeyResource::from(version).to_string())
                    .unwrap_or_default(),
                algorithm: wire::algorithm_to_proto(algorithm).into(),
                verified_input_crc32c: checked,
            })
        })
        .await
    }

    async fn batch_sign(
        &self,
        request: Request<v1::BatchSignRequest>,
    ) -> Answer<v1::BatchSignResponse> {
        let call = self.call(&request, "SigningService.BatchSign")?;
        let requests = request.into_inner().requests;
        if requests.is_empty() || requests.len() > self.limits.max_batch {
            return Err(invalid(
                "BATCH_SIZE_INVALID",
                format!(
                    "{} requests in one batch; expected 1 to {}",
                    requests.len(),
                    self.limits.max_batch
                ),
            ));
        }
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            Ok(v1::BatchSignResponse {
                results: sign_all(&signer, &call, requests).await,
            })
        })
        .await
    }

    async fn sign_chunks(
        &self,
        request: Request<Streaming<v1::SignChunksRequest>>,
    ) -> Answer<v1::SignChunksResponse> {
        // Each chunk has its time; the whole may take as long as its caller lets it.
        let call = self.long_call(&request, "SigningService.SignChunks")?;
        let services = self.clone();
        self.run(call.deadline, async move {
            services.sign_chunks_of(call, request.into_inner()).await
        })
        .await
    }

    type StreamSignStream =
        Pin<Box<dyn Stream<Item = Result<v1::StreamSignResponse, Status>> + Send>>;

    /// Takes what has come, up to `stream_width` at a time, and has it signed as a batch: so a caller with
    /// many small requests pays for one frame, not for each.
    async fn stream_sign(
        &self,
        request: Request<Streaming<v1::StreamSignRequest>>,
    ) -> Answer<Self::StreamSignStream> {
        let call = self.call(&request, "SigningService.StreamSign")?;
        let limits = self.limits;
        let signer = Arc::clone(&self.signer);
        let mut incoming = request.into_inner();
        let (requests, mut queue) = mpsc::channel::<v1::StreamSignRequest>(limits.stream_width);
        let (answers, outgoing) = mpsc::channel(limits.stream_width * 2);
        let broken = answers.clone();
        tokio::spawn(async move {
            loop {
                match incoming.next().await {
                    Some(Ok(request)) => {
                        if requests.send(request).await.is_err() {
                            return;
                        }
                    }
                    Some(Err(status)) => {
                        // The caller may be gone too; then nobody wants to know.
                        let _ = broken.send(Err(with_details(status))).await;
                        return;
                    }
                    None => return,
                }
            }
        });
        tokio::spawn(async move {
            let mut taken = Vec::new();
            while queue.recv_many(&mut taken, limits.stream_width).await > 0 {
                let (ids, requests): (Vec<_>, Vec<_>) = taken
                    .drain(..)
                    .map(|one| (one.id, one.request.unwrap_or_default()))
                    .unzip();
                // The stream may be open for days; the deadline is for each of its requests.
                let call = Call {
                    request: None,
                    deadline: Instant::now() + limits.max_deadline,
                    ..call.clone()
                };
                for (id, result) in ids
                    .into_iter()
                    .zip(sign_all(&signer, &call, requests).await)
                {
                    if answers
                        .send(Ok(v1::StreamSignResponse {
                            id,
                            result: Some(result),
                        }))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

impl Services {
    /// The first message says how; then come chunks. Only the proper end of the stream leads to a signature.
    async fn sign_chunks_of(
        &self,
        call: Call,
        mut incoming: Streaming<v1::SignChunksRequest>,
    ) -> Result<v1::SignChunksResponse, Status> {
        let Some(Part::Header(header)) = self.next_part(&mut incoming).await? else {
            return Err(invalid(
                "HEADER_MISSING",
                "the first message must hold the header",
            ));
        };
        let algorithm = algorithm(header.algorithm)?;
        let form = form(algorithm, header.ecdsa_encoding)?;
        let mut long = self
            .signer
            .sign_long(&self.soon(&call), &selector(&header.name)?, algorithm, form)
            .await?;
        let mut checksum = 0;
        let ended = loop {
            match self.next_part(&mut incoming).await {
                Ok(Some(Part::Chunk(chunk))) => {
                    checksum = crc32c::crc32c_append(checksum, &chunk);
                    if let Err(error) = long.update(chunk).await {
                        return Err(long.refuse(error).await.into());
                    }
                }
                Ok(Some(Part::Header(_))) => {
                    break Err(invalid(
                        "HEADER_REPEATED",
                        "a header came after the first message; expected chunks",
                    ));
                }
                Ok(None) => match header.message_crc32c {
                    Some(expected) if expected != checksum => break Err(checksum_wrong()),
                    _ => break Ok(()),
                },
                Err(status) => break Err(status),
            }
        };
        if let Err(status) = ended {
            long.abort().await;
            return Err(status);
        }
        let message_length = long.length();
        let Signature {
            bytes,
            version,
            algorithm,
        } = long.finish(&self.signer, &self.soon(&call)).await?;
        Ok(v1::SignChunksResponse {
            signature_crc32c: crc32c::crc32c(&bytes),
            signature: bytes.into(),
            name: KeyResource::from(version).to_string(),
            algorithm: wire::algorithm_to_proto(algorithm).into(),
            verified_message_crc32c: header.message_crc32c.is_some(),
            message_length,
        })
    }

    async fn next_part(
        &self,
        incoming: &mut Streaming<v1::SignChunksRequest>,
    ) -> Result<Option<Part>, Status> {
        let message = timeout(self.limits.chunk_timeout, incoming.message())
            .await
            .map_err(|_| {
                status::status(
                    tonic::Code::DeadlineExceeded,
                    "CHUNK_TIMEOUT",
                    format!(
                        "no chunk came for {} s; the message was given up",
                        self.limits.chunk_timeout.as_secs()
                    ),
                    [],
                )
            })??;
        match message {
            None => Ok(None),
            Some(v1::SignChunksRequest { part: Some(part) }) => Ok(Some(part)),
            Some(v1::SignChunksRequest { part: None }) => Err(invalid(
                "PART_MISSING",
                "a message holds neither header nor chunk",
            )),
        }
    }
}

fn sign_request(asked: v1::SignRequest) -> Result<(SignRequest, bool), Status> {
    if !asked.request_id.is_empty() {
        return Err(invalid(
            "REQUEST_ID_NOT_TAKEN",
            "`request_id` is taken by Sign alone; leave it out here",
        ));
    }
    let (key, algorithm) = (selector(&asked.name)?, algorithm(asked.algorithm)?);
    let form = form(algorithm, asked.ecdsa_encoding)?;
    let (content, checked) = content(asked.message, asked.digest, asked.input_crc32c)?;
    Ok((
        SignRequest {
            key,
            algorithm,
            content,
            form,
        },
        checked,
    ))
}

/// Each request has its own result: one that is bad does not spoil the others.
async fn sign_all(
    signer: &Signer,
    call: &Call,
    requests: Vec<v1::SignRequest>,
) -> Vec<v1::SignResult> {
    let mut good = Vec::with_capacity(requests.len());
    let parsed: Vec<Result<bool, Status>> = requests
        .into_iter()
        .map(|request| {
            let (wanted, checked) = sign_request(request)?;
            good.push(wanted);
            Ok(checked)
        })
        .collect();
    let mut signed = signer.sign_batch(call, good).await.into_iter();
    parsed
        .into_iter()
        .map(|parsed| {
            let checked = parsed?;
            let signature = signed.next().expect("one result for each request")?;
            Ok(sign_response(signature, checked))
        })
        .map(|result| v1::SignResult {
            result: Some(match result {
                Ok(response) => sign_result::Result::Response(response),
                Err(status) => sign_result::Result::Error(item_error(&status)),
            }),
        })
        .collect()
}

fn item_error(status: &Status) -> v1::ItemError {
    let (reason, metadata) = status
        .get_details_error_info()
        .map(|info| (info.reason, info.metadata))
        .unwrap_or_default();
    v1::ItemError {
        code: status.code().into(),
        message: status.message().to_owned(),
        reason,
        metadata,
    }
}
