//! One small answer from somebody else's HTTPS server: what a partner publishes, such as a public key.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::tls::outgoing::{NoRoots, trusting};

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// An address that can't be asked.
    #[error("{0:?} is not an address that can be asked: expected https://HOST/PATH")]
    Address(String),
    /// A header that can't be sent.
    #[error("the header {0:?} can't be sent")]
    Header(String),
    /// No roots.
    #[error("the file of root certificates: {0}")]
    Roots(#[from] NoRoots),
    /// The connection.
    #[error("{host} can't be reached: {cause}")]
    Connection {
        /// Who.
        host: String,
        /// Why not.
        cause: String,
    },
    /// The time is over.
    #[error("no answer in {} seconds", PATIENCE.as_secs())]
    Patience,
    /// Something else than 200.
    #[error("the server answers {0}; expected 200, and redirects are not followed")]
    Status(StatusCode),
    /// An answer that is too long, or broken off.
    #[error("the answer can't be read: {0} (it may have {MAX_ANSWER} bytes)")]
    Answer(String),
}

/// Asks with GET, and gives the body of an answer with status 200. The server must have a certificate for its name
/// from one of the roots (PEM). Redirects are not followed.
///
/// # Errors
///
/// [`FetchError`].
pub async fn fetch(
    address: &str,
    headers: &[(String, String)],
    roots: &[u8],
) -> Result<Bytes, FetchError> {
    let work = fetch_patiently(address, headers, roots);
    timeout(PATIENCE, work)
        .await
        .map_err(|_| FetchError::Patience)?
}

async fn fetch_patiently(
    address: &str,
    headers: &[(String, String)],
    roots: &[u8],
) -> Result<Bytes, FetchError> {
    let wrong = || FetchError::Address(address.to_owned());
    let uri: Uri = address.parse().map_err(|_| wrong())?;
    let (Some("https"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(wrong());
    };
    let authority = uri.authority().ok_or_else(wrong)?;
    if authority.as_str().contains('@') {
        return Err(wrong());
    }
    let port = uri.port_u16().unwrap_or(443);
    let bare = host.trim_matches(['[', ']']);
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| wrong())?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::get(target)
        .header(header::HOST, authority.as_str())
        .header(
            header::ACCEPT,
            "application/json, application/x-pem-file, */*",
        )
        .header(header::USER_AGENT, super::USER_AGENT);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| FetchError::Header(error.to_string()))?;
    let connector = TlsConnector::from(Arc::new(trusting(roots)?));

    let failed = |cause: String| FetchError::Connection {
        host: host.to_owned(),
        cause,
    };
    let stream = TcpStream::connect((bare, port))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| failed(error.to_string()))?;
    if answer.status() != StatusCode::OK {
        return Err(FetchError::Status(answer.status()));
    }
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    connection.abort();
    body.map(|body| body.to_bytes())
        .map_err(|error| FetchError::Answer(error.to_string()))
}

/// From the first packet to the last.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longer than any key or certificate.
const MAX_ANSWER: usize = 64 * 1024;
