//! HTTP/2 frame by frame over TLS, for what no well-behaved client does (RFC 9113).

use std::{io, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::TLS13,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{harness::Daemon, pki::Leaf};

/// How a client behaves at the door.
pub struct Door<'a> {
    /// The certificate, if it shows one.
    pub leaf: Option<&'a Leaf>,
    /// The protocols that it offers.
    pub alpn: &'a [&'a [u8]],
    /// The one version of TLS that it speaks.
    pub version: &'static SupportedProtocolVersion,
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection after the exchange of prefaces.
pub struct Raw {
    pub reader: ReadHalf<TlsStream<TcpStream>>,
    pub writer: WriteHalf<TlsStream<TcpStream>>,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

impl Default for Door<'_> {
    fn default() -> Self {
        Self {
            leaf: None,
            alpn: &[b"h2"],
            version: &TLS13,
        }
    }
}

impl Door<'_> {
    /// Makes the handshake. In TLS 1.3 it succeeds before the daemon has looked at the certificate.
    pub async fn knock(&self, daemon: &Daemon) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(daemon.pki().ca()).expect("the CA");
        roots.add(ca).expect("the CA");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[self.version])
            .expect("a version")
            .with_root_certificates(roots);
        let mut config = match self.leaf {
            Some(leaf) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(&leaf.cert).expect("a certificate")],
                    PrivateKeyDer::from_pem_file(&leaf.key).expect("a key"),
                )
                .expect("a pair"),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(daemon.address()).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// Makes the handshake and sends the preface; whether the daemon speaks HTTP/2 then.
    pub async fn enter(&self, daemon: &Daemon) -> io::Result<Raw> {
        let mut stream = self.knock(daemon).await?;
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
        let (reader, writer) = tokio::io::split(stream);
        let mut raw = Raw { reader, writer };
        match raw.next().await {
            Some(Frame { kind: SETTINGS, .. }) => Ok(raw),
            other => Err(io::Error::other(format!("no preface, but {other:?}"))),
        }
    }
}

impl Raw {
    /// The next frame; none at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        next(&mut self.reader).await
    }

    /// Sends this, and waits until the daemon has read it.
    pub async fn send(&mut self, mut bytes: Vec<u8>) {
        const ACK: u8 = 1;
        bytes.extend(frame(PING, 0, 0, b"received"));
        self.writer.write_all(&bytes).await.expect("to send");
        self.writer.flush().await.expect("to send");
        loop {
            let frame = self.next().await.expect("an answer to the ping");
            if frame.kind == PING && frame.flags & ACK != 0 {
                return;
            }
        }
    }

    /// Sends all of this while reading what comes, until the daemon closes the connection or is silent for
    /// so long. Gives the frames, and whether the connection was closed.
    pub async fn assault(self, bytes: Vec<u8>, patience: Duration) -> (Vec<Frame>, bool) {
        let Self {
            mut reader,
            mut writer,
        } = self;
        let sending = tokio::spawn(async move {
            // Fails when the daemon has had enough.
            let _ = writer.write_all(&bytes).await;
            let _ = writer.flush().await;
            writer
        });
        let mut frames = Vec::new();
        let closed = loop {
            match tokio::time::timeout(patience, next(&mut reader)).await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        sending.abort();
        (frames, closed)
    }
}

async fn next(reader: &mut ReadHalf<TlsStream<TcpStream>>) -> Option<Frame> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload).await.ok()?;
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff,
        payload,
    })
}

/// A frame (section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The headers of a gRPC call, in HPACK without its tables (RFC 7541 section 6.2.2).
pub fn call(stream: u32, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "{text}");
            block.push(u8::try_from(text.len()).expect("a short text"));
            block.extend(text.as_bytes());
        }
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}
