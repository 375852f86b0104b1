//! The wire's side of the services: protocol to domain and back, sizes, deadlines, errors.
//!
//! Each call runs in a task of its own, so that a caller who hangs up does not stop it half-way; the
//! handler only waits for it, until the deadline.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tonic::{Request, Status};

use crate::{
    algorithm::Algorithm,
    audit::Word,
    key::KeyName,
    proto::v1,
    signer::{Call, Content, Selector, Signature, SignatureForm, Signer},
    tls::Peer,
    wire::{self, KeyResource},
};

pub use calls::{Calls, CountCalls, MethodCalls};
pub use complete::CompleteStatus;
pub use status::DOMAIN;

use status::{denied, invalid};

mod approval;
mod audit;
mod calls;
mod complete;
mod import;
mod jose;
mod keys;
mod lifecycle;
mod once;
mod partner;
mod platform;
mod signing;
mod status;

/// The services, over one signer.
#[derive(Clone)]
pub struct Services {
    signer: Arc<Signer>,
    limits: Limits,
}

/// What a caller may ask for at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest that a call may take, whatever its own deadline.
    pub max_deadline: Duration,
    /// The largest request, in bytes.
    pub max_request_bytes: usize,
    /// The most items of a batch.
    pub max_batch: usize,
    /// How many answers of one stream may be under way at once.
    pub stream_width: usize,
    /// How long a caller may be silent in the middle of a stream of chunks.
    pub chunk_timeout: Duration,
}

impl Services {
    /// Over this signer, within these limits.
    pub const fn new(signer: Arc<Signer>, limits: Limits) -> Self {
        Self { signer, limits }
    }

    /// The key service, as tonic serves it.
    pub fn keys(&self) -> v1::key_service_server::KeyServiceServer<Self> {
        v1::key_service_server::KeyServiceServer::new(self.clone())
            .max_decoding_message_size(self.limits.max_request_bytes)
            .max_encoding_message_size(MAX_RESPONSE)
    }

    /// The approval service, as tonic serves it.
    pub fn approvals(&self) -> v1::approval_service_server::ApprovalServiceServer<Self> {
        v1::approval_service_server::ApprovalServiceServer::new(self.clone())
            .max_decoding_message_size(self.limits.max_request_bytes)
            .max_encoding_message_size(MAX_RESPONSE)
    }

    /// The signing service, as tonic serves it.
    pub fn signing(&self) -> v1::signing_service_server::SigningServiceServer<Self> {
        v1::signing_service_server::SigningServiceServer::new(self.clone())
            .max_decoding_message_size(self.limits.max_request_bytes)
            .max_encoding_message_size(MAX_RESPONSE)
    }

    /// The JOSE service, as tonic serves it.
    pub fn jose(&self) -> v1::jose_service_server::JoseServiceServer<Self> {
        v1::jose_service_server::JoseServiceServer::new(self.clone())
            .max_decoding_message_size(self.limits.max_request_bytes)
            .max_encoding_message_size(MAX_RESPONSE)
    }

    /// The partner service, as tonic serves it.
    pub fn partners(&self) -> v1::partner_service_server::PartnerServiceServer<Self> {
        v1::partner_service_server::PartnerServiceServer::new(self.clone())
            .max_decoding_message_size(self.limits.max_request_bytes)
            .max_encoding_message_size(MAX_RESPONSE)
    }

    /// The platform service, as tonic serves it. A message comes back with its signature, and so takes twice the room.
    pub fn platform(&self) -> v1::platform_service_server::PlatformServiceServer<Self> {
        let largest = self.limits.max_request_bytes;
        v1::platform_service_server::PlatformServiceServer::new(self.clone())
            .max_decoding_message_size(largest)
            .max_encoding_message_size(MAX_RESPONSE.max(largest.saturating_mul(3)))
    }

    /// The audit service, as tonic serves it.
    pub fn audit(&self) -> v1::audit_service_server::AuditServiceServer<Self> {
        v1::audit_service_server::AuditServiceServer::new(self.clone())
            .max_decoding_message_size(self.limits.max_request_bytes)
            .max_encoding_message_size(MAX_RESPONSE)
    }

    /// Who calls, what, and until when.
    fn call<T>(&self, request: &Request<T>, name: &'static str) -> Result<Call, Status> {
        let call = self.long_call(request, name)?;
        Ok(self.soon(&call))
    }

    /// The same for a stream, which may last as long as its caller likes.
    fn long_call<T>(&self, request: &Request<T>, name: &'static str) -> Result<Call, Status> {
        let peer = request.extensions().get::<Peer>().ok_or_else(|| {
            denied(
                "IDENTITY_MISSING",
                "the connection has no client certificate",
            )
        })?;
        let asked = request
            .metadata()
            .get("grpc-timeout")
            .and_then(|value| parse_timeout(value.to_str().ok()?));
        Ok(Call {
            identity: Arc::clone(&peer.identity),
            name: Word::new(name),
            deadline: Instant::now() + asked.unwrap_or(LONGEST_STREAM).min(LONGEST_STREAM),
            request: None,
            permitted: None,
        })
    }

    /// The call with a deadline for what is to be done now.
    fn soon(&self, call: &Call) -> Call {
        Call {
            identity: Arc::clone(&call.identity),
            name: call.name.clone(),
            deadline: call.deadline.min(Instant::now() + self.limits.max_deadline),
            request: None,
            permitted: None,
        }
    }

    /// Runs a call to its end in a task of its own, which begins at once, and waits for it as long as the caller does.
    fn run<T: Send + 'static, W: Future<Output = Result<T, Status>> + Send + 'static>(
        &self,
        deadline: Instant,
        work: W,
    ) -> impl Future<Output = Result<tonic::Response<T>, Status>> + Send + use<T, W> {
        let work = timeout_at(deadline, tokio::spawn(work));
        async move {
            match work.await {
                Ok(Ok(result)) => result.map(tonic::Response::new),
                Ok(Err(_)) => Err(status::internal(
                    "the call failed by a fault of the daemon, which is in its log",
                )),
                Err(_) => Err(status::deadline()),
            }
        }
    }
}

/// `grpc-timeout`: up to eight digits and a unit (gRPC over HTTP/2).
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

fn selector(name: &str) -> Result<Selector, Status> {
    let KeyResource { key, version } = name
        .parse()
        .map_err(|error| invalid("KEY_NAME_INVALID", format!("`name`: {error}")))?;
    Ok(Selector { key, version })
}

fn key_name(name: &str) -> Result<KeyName, Status> {
    match selector(name)? {
        Selector { key, version: None } => Ok(key),
        _ => Err(invalid(
            "KEY_NAME_INVALID",
            "`name` is that of a version; expected keys/KEY",
        )),
    }
}

fn algorithm(number: i32) -> Result<Algorithm, Status> {
    match (wire::algorithm_from_proto(number), number) {
        (Some(algorithm), _) => Ok(algorithm),
        (None, 0) => Err(invalid(
            "ALGORITHM_UNSPECIFIED",
            "`algorithm` is not set; nothing is guessed, so name one",
        )),
        (None, other) => Err(invalid(
            "ALGORITHM_UNKNOWN",
            format!("`algorithm` is {other}, which is not known here"),
        )),
    }
}

fn content_encryption(number: i32) -> Result<crate::algorithm::ContentEncryption, Status> {
    wire::content_encryption_from_proto(number).ok_or_else(|| {
        invalid(
            "CONTENT_ENCRYPTION_UNSPECIFIED",
            "`content_encryption` is not set, or not known here; name one",
        )
    })
}

/// How ECDSA is to be written: to be said for it, and for it alone.
fn form(algorithm: Algorithm, encoding: i32) -> Result<SignatureForm, Status> {
    use v1::EcdsaEncoding as E;
    match (algorithm, E::try_from(encoding)) {
        (Algorithm::Ecdsa(_), Ok(E::Raw)) => Ok(SignatureForm::Raw),
        (Algorithm::Ecdsa(_), Ok(E::Der)) => Ok(SignatureForm::Der),
        (Algorithm::Ecdsa(_), Ok(E::Unspecified)) => Err(invalid(
            "ECDSA_ENCODING_UNSPECIFIED",
            format!(
                "`ecdsa_encoding` is not set; {algorithm} has two, RAW (JOSE) and DER (X.509, OpenSSL)"
            ),
        )),
        (_, Ok(E::Unspecified)) => Ok(SignatureForm::Raw),
        (_, Ok(E::Raw | E::Der)) => Err(invalid(
            "ECDSA_ENCODING_NOT_TAKEN",
            format!("`ecdsa_encoding` is set, but {algorithm} is not ECDSA; leave it unset"),
        )),
        (_, Err(_)) => Err(invalid(
            "ECDSA_ENCODING_UNKNOWN",
            format!("`ecdsa_encoding` is {encoding}, which is not known here"),
        )),
    }
}

/// Exactly one of message and digest, and its checksum, if there is one. The flag says whether there was.
fn content(
    message: Option<bytes::Bytes>,
    digest: Option<bytes::Bytes>,
    checksum: Option<u32>,
) -> Result<(Content, bool), Status> {
    let content = match (message, digest) {
        (Some(message), None) => Content::Message(message),
        (None, Some(digest)) => Content::Digest(digest),
        (Some(_), Some(_)) => {
            return Err(invalid(
                "INPUT_AMBIGUOUS",
                "both `message` and `digest` are set; set the one that is meant",
            ));
        }
        (None, None) => {
            return Err(invalid(
                "INPUT_MISSING",
                "neither `message` nor `digest` is set; set one",
            ));
        }
    };
    let bytes = match &content {
        Content::Message(bytes) | Content::Digest(bytes) => bytes,
    };
    match checksum {
        Some(expected) if crc32c::crc32c(bytes) != expected => Err(checksum_wrong()),
        other => Ok((content, other.is_some())),
    }
}

fn checksum_wrong() -> Status {
    invalid(
        "CHECKSUM_MISMATCH",
        "the CRC32C of the input is another than the one given; it was changed on its way",
    )
}

fn sign_response(signature: Signature, verified_input_crc32c: bool) -> v1::SignResponse {
    v1::SignResponse {
        signature_crc32c: crc32c::crc32c(&signature.bytes),
        signature: signature.bytes.into(),
        name: KeyResource::from(signature.version).to_string(),
        algorithm: wire::algorithm_to_proto(signature.algorithm).into(),
        verified_input_crc32c,
    }
}

/// A stream ends with its connection anyway.
const LONGEST_STREAM: Duration = Duration::from_secs(7 * 24 * 3600);

/// Answers are bounded by requests, but for lists: 1000 keys of a few versions.
const MAX_RESPONSE: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_those_of_the_grpc_protocol() {
        assert_eq!(parse_timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(
            parse_timeout("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for bad in ["", "m", "1", "123456789S", "-1S", "1x", "é"] {
            assert_eq!(parse_timeout(bad), None, "{bad:?}");
        }
    }
}
