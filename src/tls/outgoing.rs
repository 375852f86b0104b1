//! TLS to somebody else's server, which has to show a certificate for its name from one of the given roots.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A text that has no certificate in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no certificate in it; expected those of authorities, PEM")]
pub struct NoRoots;

/// What a client trusts that takes the certificates of these authorities (PEM), and shows none of its own.
///
/// # Errors
///
/// [`NoRoots`].
pub fn trusting(roots: &[u8]) -> Result<ClientConfig, NoRoots> {
    let mut store = RootCertStore::empty();
    // A system's bundle has some that nobody can read; those are left out.
    let certificates = CertificateDer::pem_slice_iter(roots).filter_map(Result::ok);
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(NoRoots);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| NoRoots)?;
    Ok(config.with_root_certificates(store).with_no_client_auth())
}

/// Connects to an address, whose server must have a certificate for `name`, a DNS name or an IP address.
///
/// # Errors
///
/// Where the name is none, there are no roots, nobody answers, or somebody else does.
pub async fn connect(
    address: SocketAddr,
    name: &str,
    roots: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, "expected a name of a server");
    let name = ServerName::try_from(name.to_owned()).map_err(invalid)?;
    let config =
        trusting(roots).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let stream = TcpStream::connect(address).await?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await
}

/// Whether a text is a name that a server's certificate can be for.
pub fn is_server_name(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}
