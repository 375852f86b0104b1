//! A connection after its handshake: it knows its peer, and can be closed from outside.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use crate::{
    identity::Identity,
    tls::{Counters, live::Entry},
};

/// A connection whose peer is known.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    counters: Arc<Counters>,
    entry: Entry,
    /// Given back when the connection ends.
    _slot: OwnedSemaphorePermit,
}

/// Who is at the other end; found in the extensions of each request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Who the certificate says it is.
    pub identity: Arc<Identity>,
    /// Where it connected from.
    pub address: SocketAddr,
}

impl Connection {
    pub(super) fn new(
        stream: TlsStream<TcpStream>,
        peer: Peer,
        entry: Entry,
        counters: Arc<Counters>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        counters.accepted.fetch_add(1, Ordering::Relaxed);
        counters.active.fetch_add(1, Ordering::Relaxed);
        Self {
            stream,
            peer,
            closed: Box::pin(entry.closed().clone().cancelled_owned()),
            counters,
            entry,
            _slot: slot,
        }
    }

    /// Who is at the other end.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    fn check_open(&self) -> io::Result<()> {
        if self.entry.closed().is_cancelled() {
            return Err(no_longer_admitted());
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.counters.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A server always reads, so this is what wakes it when the connection is to be closed.
        if self.closed.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(no_longer_admitted()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_open()?;
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_open()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_open()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn no_longer_admitted() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the peer's certificate no longer passes",
    )
}
