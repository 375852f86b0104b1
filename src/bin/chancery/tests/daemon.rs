//! A daemon with canned answers, and a directory of certificates such as `chanceryd dev` makes.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use tonic::{
    Code, Request, Response, Status, Streaming, async_trait,
    transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};
use tonic_types::{ErrorDetails, StatusExt};

use chancery::{
    client::checksum,
    proto::v1::{
        jose_service_server::{JoseService, JoseServiceServer},
        key_service_server::{KeyService, KeyServiceServer},
        sign_chunks_request::Part,
        signing_service_server::{SigningService, SigningServiceServer},
        *,
    },
};

/// Not text, so that nothing can take it for some.
pub(super) const SIGNATURE: &[u8] = b"\x00\xffsignature\n";

pub(super) struct Daemon {
    directory: tempfile::TempDir,
    whole_messages: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

impl Daemon {
    pub(super) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ours = Authority::new(directory.path(), "ca.pem");
        let others = Authority::new(directory.path(), "other-ca.pem");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = |file: &str, name: &str, authority: &Authority| {
            let purpose = ExtendedKeyUsagePurpose::ClientAuth;
            let (certificate, key) = authority.leaf(name, purpose);
            fs::write(directory.path().join(format!("{name}.pem")), certificate).unwrap();
            fs::write(directory.path().join(format!("{name}.key")), key).unwrap();
            let settings = format!(
                "CHANCERY_ADDR=https://{address}\nCHANCERY_CA=ca.pem\nCHANCERY_CERT={name}.pem\nCHANCERY_KEY={name}.key\n"
            );
            fs::write(directory.path().join(file), settings).unwrap();
        };
        client("client.env", "app-a", &ours);
        client("client-stranger.env", "stranger", &others);

        let whole_messages = Arc::new(AtomicUsize::new(0));
        let (certificate, key) = ours.leaf("localhost", ExtendedKeyUsagePurpose::ServerAuth);
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .client_ca_root(Certificate::from_pem(&ours.pem));
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<SigningServiceServer<Canned>>().await;
        let canned = Canned {
            whole_messages: whole_messages.clone(),
        };
        let router = Server::builder()
            .tls_config(tls)
            .unwrap()
            .add_service(health)
            .add_service(
                SigningServiceServer::new(canned.clone())
                    .max_decoding_message_size(16 * 1024 * 1024),
            )
            .add_service(KeyServiceServer::new(canned.clone()))
            .add_service(JoseServiceServer::new(canned));
        let server = tokio::spawn(async move {
            router
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .unwrap();
        });
        Self {
            directory,
            whole_messages,
            server,
        }
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// How many messages that came in chunks were ended properly.
    pub(super) fn whole_messages(&self) -> usize {
        self.whole_messages.load(Ordering::SeqCst)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(directory: &Path, file: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, file.to_owned());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        fs::write(directory.join(file), &pem).unwrap();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    fn leaf(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        let loopback = std::net::Ipv4Addr::LOCALHOST.into();
        params.subject_alt_names.push(SanType::IpAddress(loopback));
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

#[derive(Clone)]
struct Canned {
    whole_messages: Arc<AtomicUsize>,
}

type Answer<T> = Result<Response<T>, Status>;

fn other<T>() -> Answer<T> {
    Err(Status::unimplemented("not canned"))
}

/// Version 1, unless one is named.
fn version_of(name: &str) -> String {
    if name.contains("/versions/") {
        name.to_owned()
    } else {
        format!("{name}/versions/1")
    }
}

#[async_trait]
impl SigningService for Canned {
    async fn sign(&self, request: Request<SignRequest>) -> Answer<SignResponse> {
        let request = request.into_inner();
        let mut response = SignResponse {
            signature: Bytes::from_static(SIGNATURE),
            signature_crc32c: checksum(SIGNATURE),
            name: version_of(&request.name),
            algorithm: request.algorithm,
            verified_input_crc32c: request.input_crc32c
                == request
                    .message
                    .or(request.digest)
                    .map(|input| checksum(&input)),
        };
        match request.name.as_str() {
            "keys/denied" => {
                // A control character, as only a hostile name could bring one.
                let metadata = [("key".to_owned(), "denied\u{1b}".to_owned())];
                let details = ErrorDetails::with_error_info(
                    "DENIED",
                    "chancery",
                    metadata.into_iter().collect::<HashMap<_, _>>(),
                );
                let message = "no rule allows this";
                return Err(Status::with_error_details(
                    Code::PermissionDenied,
                    message,
                    details,
                ));
            }
            "keys/slow" => tokio::time::sleep(Duration::from_secs(20)).await,
            "keys/corrupt" => response.signature_crc32c ^= 1,
            "keys/unchecked" => response.verified_input_crc32c = false,
            _ => {}
        }
        Ok(Response::new(response))
    }

    async fn verify(&self, request: Request<VerifyRequest>) -> Answer<VerifyResponse> {
        let request = request.into_inner();
        let valid = request.signature == SIGNATURE;
        let checked = request.message.or_else(|| request.digest.clone());
        let digest = request.digest.map(hex::encode);
        let name = if valid {
            version_of(&request.name)
        } else {
            String::new()
        };
        Ok(Response::new(VerifyResponse {
            valid,
            name: digest.unwrap_or(name),
            algorithm: request.algorithm,
            verified_input_crc32c: request.input_crc32c == checked.map(|input| checksum(&input)),
        }))
    }

    async fn batch_sign(&self, _: Request<BatchSignRequest>) -> Answer<BatchSignResponse> {
        other()
    }

    async fn sign_chunks(
        &self,
        request: Request<Streaming<SignChunksRequest>>,
    ) -> Answer<SignChunksResponse> {
        let mut stream = request.into_inner();
        let Some(Part::Header(header)) = stream.message().await?.and_then(|first| first.part)
        else {
            return Err(Status::invalid_argument("expected a header"));
        };
        let (mut sum, mut length) = (0, 0);
        while let Some(next) = stream.message().await? {
            let Some(Part::Chunk(chunk)) = next.part else {
                return Err(Status::invalid_argument("expected a chunk"));
            };
            sum = crc32c::crc32c_append(sum, &chunk);
            length += chunk.len() as u64;
        }
        self.whole_messages.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(SignChunksResponse {
            signature: Bytes::from_static(SIGNATURE),
            signature_crc32c: checksum(SIGNATURE),
            name: version_of(&header.name),
            algorithm: header.algorithm,
            verified_message_crc32c: header.message_crc32c == Some(sum),
            message_length: length,
        }))
    }

    type StreamSignStream = tokio_stream::Pending<Result<StreamSignResponse, Status>>;

    async fn stream_sign(
        &self,
        _: Request<Streaming<StreamSignRequest>>,
    ) -> Answer<Self::StreamSignStream> {
        other()
    }
}

#[async_trait]
impl KeyService for Canned {
    async fn create_key(&self, request: Request<CreateKeyRequest>) -> Answer<CreateKeyResponse> {
        let request = request.into_inner();
        let name = format!("keys/{}", request.key_id);
        let key = Key {
            primary_version: version_of(&name),
            name,
            token: request.token,
            r#type: request.r#type,
            purpose: request.purpose,
            algorithms: request.algorithms,
            content_encryptions: request.content_encryptions,
            compression_allowed: request.compression_allowed,
            versions: Vec::new(),
            custody: Custody::TokenOnly.into(),
            ..Key::default()
        };
        Ok(Response::new(CreateKeyResponse { key: Some(key) }))
    }

    async fn create_key_version(
        &self,
        _: Request<CreateKeyVersionRequest>,
    ) -> Answer<CreateKeyVersionResponse> {
        other()
    }

    async fn update_key(&self, _: Request<UpdateKeyRequest>) -> Answer<UpdateKeyResponse> {
        other()
    }

    async fn update_key_version(
        &self,
        _: Request<UpdateKeyVersionRequest>,
    ) -> Answer<UpdateKeyVersionResponse> {
        other()
    }

    async fn destroy_key_version(
        &self,
        _: Request<DestroyKeyVersionRequest>,
    ) -> Answer<DestroyKeyVersionResponse> {
        other()
    }

    async fn restore_key_version(
        &self,
        _: Request<RestoreKeyVersionRequest>,
    ) -> Answer<RestoreKeyVersionResponse> {
        other()
    }

    async fn get_import_wrapping_key(
        &self,
        _: Request<GetImportWrappingKeyRequest>,
    ) -> Answer<GetImportWrappingKeyResponse> {
        other()
    }

    async fn import_key(&self, _: Request<ImportKeyRequest>) -> Answer<ImportKeyResponse> {
        other()
    }

    async fn import_key_version(
        &self,
        _: Request<ImportKeyVersionRequest>,
    ) -> Answer<ImportKeyVersionResponse> {
        other()
    }

    async fn get_key(&self, _: Request<GetKeyRequest>) -> Answer<GetKeyResponse> {
        Ok(Response::new(GetKeyResponse {
            key: Some(payouts()),
        }))
    }

    async fn list_keys(&self, request: Request<ListKeysRequest>) -> Answer<ListKeysResponse> {
        let response = match request.into_inner().page_token.as_str() {
            "" => ListKeysResponse {
                keys: vec![payouts()],
                next_page_token: "second".into(),
            },
            _ => ListKeysResponse {
                keys: vec![inbox()],
                next_page_token: String::new(),
            },
        };
        Ok(Response::new(response))
    }

    async fn get_public_key(
        &self,
        request: Request<GetPublicKeyRequest>,
    ) -> Answer<GetPublicKeyResponse> {
        Ok(Response::new(GetPublicKeyResponse {
            name: version_of(&request.into_inner().name),
            pem: "pem\n".into(),
            der: Bytes::from_static(b"\x30\x00"),
            jwk: r#"{"kty":"EC"}"#.into(),
            thumbprint: "thumbprint".into(),
        }))
    }

    async fn get_jwks(&self, _: Request<GetJwksRequest>) -> Answer<GetJwksResponse> {
        other()
    }

    async fn create_certificate_request(
        &self,
        request: Request<CreateCertificateRequestRequest>,
    ) -> Answer<CreateCertificateRequestResponse> {
        let request = request.into_inner();
        let subject = request
            .subject
            .iter()
            .map(|one| format!("{}={} ", one.r#type, one.value));
        Ok(Response::new(CreateCertificateRequestResponse {
            pem: format!(
                "{}{:?}{:?}",
                subject.collect::<String>(),
                request.dns_names,
                request.ip_addresses
            ),
            der: Bytes::from_static(b"\x30\x00"),
            name: version_of(&request.name),
        }))
    }

    async fn generate_random(
        &self,
        request: Request<GenerateRandomRequest>,
    ) -> Answer<GenerateRandomResponse> {
        // Short by one for seven bytes.
        let length = request.into_inner().length;
        let data = vec![0xab; usize::try_from(length - i32::from(length == 7)).unwrap()];
        Ok(Response::new(GenerateRandomResponse {
            data_crc32c: checksum(&data),
            data: data.into(),
        }))
    }
}

#[async_trait]
impl JoseService for Canned {
    async fn sign_jws(&self, request: Request<SignJwsRequest>) -> Answer<SignJwsResponse> {
        let request = request.into_inner();
        let payload = String::from_utf8_lossy(&request.payload);
        Ok(Response::new(SignJwsResponse {
            jws: format!("{}.{payload}", request.protected_header),
            name: version_of(&request.name),
            algorithm: request.algorithm,
        }))
    }

    async fn verify_jws(&self, request: Request<VerifyJwsRequest>) -> Answer<VerifyJwsResponse> {
        let request = request.into_inner();
        if !request.jws.starts_with("good") {
            return Ok(Response::new(VerifyJwsResponse::default()));
        }
        Ok(Response::new(VerifyJwsResponse {
            valid: true,
            payload: request.jws.into(),
            protected_header: "{}".into(),
            name: version_of(&request.name),
            algorithm: Algorithm::Es256.into(),
        }))
    }

    async fn encrypt_jwe(&self, request: Request<EncryptJweRequest>) -> Answer<EncryptJweResponse> {
        let request = request.into_inner();
        let Some(encrypt_jwe_request::Recipient::Name(name)) = request.recipient else {
            return other();
        };
        let plaintext = String::from_utf8_lossy(&request.plaintext);
        Ok(Response::new(EncryptJweResponse {
            jwe: format!(
                "{name} {} {} {plaintext}",
                request.algorithm, request.content_encryption
            ),
            name,
        }))
    }

    async fn decrypt_jwe(&self, request: Request<DecryptJweRequest>) -> Answer<DecryptJweResponse> {
        let request = request.into_inner();
        Ok(Response::new(DecryptJweResponse {
            // Binary, so that a terminal must not get it.
            plaintext: format!("{}\0", request.jwe).into(),
            protected_header: "{}".into(),
            name: version_of(&request.name),
            algorithm: Algorithm::Dir.into(),
            content_encryption: ContentEncryption::A256gcm.into(),
        }))
    }
}

fn payouts() -> Key {
    Key {
        name: "keys/payouts".into(),
        token: "main".into(),
        r#type: KeyType::EcP256.into(),
        purpose: KeyPurpose::Sign.into(),
        algorithms: vec![Algorithm::Es256.into()],
        primary_version: "keys/payouts/versions/1".into(),
        versions: vec![KeyVersion {
            name: "keys/payouts/versions/1".into(),
            attributes: Some(TokenAttributes {
                local: Some(true),
                ..TokenAttributes::default()
            }),
            state: KeyVersionState::Enabled.into(),
            ..KeyVersion::default()
        }],
        custody: Custody::TokenOnly.into(),
        ..Key::default()
    }
}

fn inbox() -> Key {
    Key {
        name: "keys/inbox".into(),
        r#type: KeyType::Rsa3072.into(),
        purpose: KeyPurpose::Decrypt.into(),
        algorithms: vec![Algorithm::RsaOaep256.into()],
        primary_version: "keys/inbox/versions/1".into(),
        versions: [KeyVersionState::Destroyed, KeyVersionState::Enabled]
            .map(|state| KeyVersion {
                state: state.into(),
                ..KeyVersion::default()
            })
            .into(),
        ..payouts()
    }
}
