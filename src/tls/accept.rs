//! From the listening socket to connections whose peers are known.

use std::{
    convert::Infallible,
    error::Error,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustls::CertificateError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, mpsc},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    identity::{Identity, IdentityError},
    tls::{
        Endpoint,
        connection::{Connection, Peer},
        material::HTTP_2,
    },
};

/// Connections as they come; ends when the acceptor is told to stop, and never with an error.
pub type Incoming = ReceiverStream<Result<Connection, Infallible>>;

/// Why a peer was not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("{}", cause(.0))]
    Handshake(#[source] io::Error),
    #[error("the handshake took longer than {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("no application protocol was agreed on; expected h2")]
    NoHttp2,
    #[error("no client certificate was shown")]
    NoCertificate,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "the certificates in force changed during the handshake, and the client's no longer passes"
    )]
    Overtaken,
}

impl Endpoint {
    /// Accepts connections from a listener until `stop` is cancelled.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn accept(self: &Arc<Self>, listener: TcpListener, stop: CancellationToken) -> Incoming {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let endpoint = Arc::clone(self);
        tokio::spawn(async move {
            let accepting = endpoint.accept_all(listener, &sender, &stop);
            stop.run_until_cancelled(accepting).await;
        });
        ReceiverStream::new(receiver)
    }

    async fn accept_all(
        self: &Arc<Self>,
        listener: TcpListener,
        sender: &mpsc::Sender<Result<Connection, Infallible>>,
        stop: &CancellationToken,
    ) {
        loop {
            // Before accepting: peers that wait for a handshake wait in the kernel's queue.
            let Ok(turn) = Arc::clone(&self.handshakes).acquire_owned().await else {
                return;
            };
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                // A peer that was gone before its turn came.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    warn!(%error, "accepting a connection failed");
                    // Out of descriptors or memory: others must give some back first.
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
                self.counters.shed.fetch_add(1, Ordering::Relaxed);
                info!(peer = %address, "too many connections; one was closed");
                continue;
            };
            let (endpoint, sender, stop) = (Arc::clone(self), sender.clone(), stop.clone());
            tokio::spawn(async move {
                let handshake = endpoint.admit(stream, address, slot, turn);
                let Some(Some(connection)) = stop.run_until_cancelled(handshake).await else {
                    return;
                };
                // Fails only if nobody takes connections any more.
                let _ = sender.send(Ok(connection)).await;
            });
        }
    }

    /// One peer's handshake, under the time limit; a refusal is logged and counted.
    async fn admit(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        slot: OwnedSemaphorePermit,
        turn: OwnedSemaphorePermit,
    ) -> Option<Connection> {
        let limit = Duration::from_secs(self.config.handshake_timeout.get());
        let outcome = tokio::time::timeout(limit, self.handshake(stream, address, slot)).await;
        drop(turn);
        match outcome.unwrap_or(Err(Refused::TimedOut(limit))) {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.counters
                    .handshake_failures
                    .fetch_add(1, Ordering::Relaxed);
                info!(peer = %address, %error, "handshake refused");
                None
            }
        }
    }

    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        slot: OwnedSemaphorePermit,
    ) -> Result<Connection, Refused> {
        stream.set_nodelay(true).map_err(Refused::Handshake)?;
        let material = self.material.load_full();
        let accepted = TlsAcceptor::from(Arc::clone(&material.server))
            .accept(stream)
            .into_fallible()
            .await;
        let stream = match accepted {
            Ok(stream) => stream,
            Err((error, stream)) => {
                part(stream).await;
                return Err(Refused::Handshake(error));
            }
        };
        let session = stream.get_ref().1;
        // rustls refuses a client that names other protocols, but not one that names none.
        if session.alpn_protocol() != Some(HTTP_2) {
            return Err(Refused::NoHttp2);
        }
        let chain: Arc<[_]> = session
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        let leaf = chain.first().ok_or(Refused::NoCertificate)?;
        let identity = Arc::new(Identity::from_certificate(leaf)?);
        let entry = self.live.enter(Arc::clone(&chain));
        // A reload during the handshake may have looked at the live connections before this one was
        // among them.
        let in_force = self.material.load_full();
        if !Arc::ptr_eq(&material, &in_force) && !in_force.admits(&chain) {
            return Err(Refused::Overtaken);
        }
        let peer = Peer { identity, address };
        Ok(Connection::new(
            stream,
            peer,
            entry,
            Arc::clone(&self.counters),
            slot,
        ))
    }
}

/// Closes a connection so that the peer gets to read why. In TLS 1.3 it has sent its first request before
/// its certificate is refused; closing with that unread would reset the connection, and take the alert along.
async fn part(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(UNREAD), &mut tokio::io::sink()).await
    };
    // Whoever does not hang up is hung up on.
    let _ = tokio::time::timeout(PARTING, drain).await;
}

/// What our own verifier said, which rustls shows only as a debugging form; else the error itself.
fn cause(error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| (inner as &(dyn Error + 'static)).downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
            other.0.to_string()
        }
        Some(_) | None => error.to_string(),
    }
}

/// Connections between their handshake and whoever takes them.
const QUEUE: usize = 64;
/// What a refused peer may still send, in bytes, and for how long.
const UNREAD: u64 = 64 << 10;
const PARTING: Duration = Duration::from_secs(1);
/// After an error of the listener.
const PAUSE: Duration = Duration::from_millis(100);
