//! The gRPC client: one lazily connecting channel over mutual TLS, typed stubs, calls with checksums.
//!
//! The command line ships it and the tests use it. [`Config`] says where the daemon is and who we are;
//! [`Failure`] is what a call answers when it fails, with the reason that the daemon gave.

use std::{fs, time::Duration};

use tonic::{
    IntoRequest, Request,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_health::pb::health_client::HealthClient;

use crate::proto::v1::{
    approval_service_client::ApprovalServiceClient, audit_service_client::AuditServiceClient,
    jose_service_client::JoseServiceClient, key_service_client::KeyServiceClient,
    partner_service_client::PartnerServiceClient, platform_service_client::PlatformServiceClient,
    signing_service_client::SigningServiceClient,
};

pub use checked::{SignChunksError, checksum};
pub use config::{Config, ConfigError, Wanted};
pub use failure::Failure;
pub use fetch::{FetchError, fetch};
pub use tonic::{Code, Status};
pub use tonic_health::pb as health_pb;

mod checked;
mod config;
mod failure;
mod fetch;

/// A connection to one daemon as one identity; clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    timeout: Option<Duration>,
}

impl Client {
    /// Reads the certificates and prepares a channel; it connects at the first call, and again
    /// whenever the connection was lost. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the file that can't be read or the setting that is wrong.
    pub fn connect(config: &Config) -> Result<Self, ConfigError> {
        Self::connect_within(config, None)
    }

    /// The same, with a deadline on connecting and on every call that [`Self::request`] makes.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn connect_within(config: &Config, timeout: Option<Duration>) -> Result<Self, ConfigError> {
        // A call's own deadline begins when there is a connection.
        let patience = timeout.map_or(CONNECT_TIMEOUT, |timeout| timeout.min(CONNECT_TIMEOUT));
        let (uri, host) = config.endpoint()?;
        let read = |path: &std::path::Path| {
            fs::read(path).map_err(|source| ConfigError::Unreadable {
                path: path.to_owned(),
                source,
            })
        };
        let ca = read(&config.ca)?;
        // An empty list of authorities would be noticed much later, as a server that can't be trusted.
        for (path, pem) in [
            (&config.ca, &ca),
            (&config.certificate, &read(&config.certificate)?),
        ] {
            if !contains(pem, b"-----BEGIN CERTIFICATE-----") {
                return Err(ConfigError::NoCertificate(path.clone()));
            }
        }
        let key = read(&config.key)?;
        if !contains(&key, b"PRIVATE KEY-----") {
            return Err(ConfigError::NoPrivateKey(config.key.clone()));
        }
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .identity(Identity::from_pem(read(&config.certificate)?, key))
            .domain_name(config.server_name.clone().unwrap_or(host))
            .timeout(patience);
        let channel = Endpoint::from_shared(uri)
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .and_then(|endpoint| endpoint.tls_config(tls))
            .map_err(|error| ConfigError::Tls(config::chain(&error)))?
            .connect_timeout(patience)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .tcp_nodelay(true)
            .connect_lazy();
        Ok(Self { channel, timeout })
    }

    /// The same, with a deadline on every call that [`Self::request`] makes.
    #[must_use]
    pub fn with_timeout(self, timeout: Option<Duration>) -> Self {
        Self { timeout, ..self }
    }

    /// The key service.
    pub fn keys(&self) -> KeyServiceClient<Channel> {
        KeyServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// The approval service.
    pub fn approvals(&self) -> ApprovalServiceClient<Channel> {
        ApprovalServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// The signing service.
    pub fn signing(&self) -> SigningServiceClient<Channel> {
        SigningServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// The JOSE service.
    pub fn jose(&self) -> JoseServiceClient<Channel> {
        JoseServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// The platform service. A message comes back with its signature, and so takes twice the room.
    pub fn platform(&self) -> PlatformServiceClient<Channel> {
        PlatformServiceClient::new(self.channel.clone())
            .max_decoding_message_size(2 * MAX_HTTP_MESSAGE)
            .max_encoding_message_size(MAX_HTTP_MESSAGE)
    }

    /// The partner service.
    pub fn partners(&self) -> PartnerServiceClient<Channel> {
        PartnerServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// The audit service.
    pub fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// The health service (`grpc.health.v1`).
    pub fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel.clone())
    }

    /// A request with this message and the deadline of [`Self::with_timeout`], which the daemon is
    /// told of.
    pub fn request<T>(&self, message: impl IntoRequest<T>) -> Request<T> {
        let mut request = message.into_request();
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        request
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Largest message sent or accepted, in bytes.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// A body of 20 MiB, the most that is signed, and all that stands around it.
const MAX_HTTP_MESSAGE: usize = 24 * 1024 * 1024;
/// The longest that TCP may take to connect, and that TLS may take after it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A daemon that vanished without a word is noticed after the sum of these two.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("chancery/", env!("CARGO_PKG_VERSION"));
