//! Where checkpoints are sent, so that a log that is put back to an older state is found out elsewhere.
//!
//! A checkpoint is signed and tells nothing but a number and a hash, so that plain HTTP and UDP do; with HTTPS it is
//! known as well that it came to the right place. A sink that fails is logged; the next checkpoint says all that this
//! one said.

use std::{
    io,
    net::SocketAddr,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    task::spawn_blocking,
    time::timeout,
};

use crate::{
    audit::{SignedCheckpoint, Timestamp, file::write_whole},
    tls::outgoing,
};

/// All places that checkpoints are sent to.
#[derive(Clone, Debug, Default)]
pub struct Sinks(Vec<SinkConfig>);

/// One place that checkpoints are sent to: a `[[audit.sinks]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum SinkConfig {
    /// Each is written to a file of its own, `<size>.checkpoint`: on a share, or for something that copies.
    Directory {
        /// An existing directory.
        path: PathBuf,
    },
    /// Each is posted as text/plain; any 2xx is success.
    Http {
        /// `IP:PORT`; names are not looked up.
        address: SocketAddr,
        /// The path and query of the URL.
        #[serde(default = "root")]
        path: String,
    },
    /// The same over TLS, to a server that shows a certificate for its name.
    Https {
        /// `IP:PORT`; names are not looked up.
        address: SocketAddr,
        /// The path and query of the URL.
        #[serde(default = "root")]
        path: String,
        /// The name in the server's certificate; by default the IP address has to be in it.
        server_name: Option<String>,
        /// The authorities that the certificate may be of, a PEM file; by default those of the system.
        #[serde(default = "system_authorities")]
        ca: PathBuf,
    },
    /// Each is one message of RFC 5424, facility 13 (log audit), severity 5 (notice).
    Syslog {
        /// `IP:PORT` for UDP, or the path of a local socket such as `/dev/log`.
        address: String,
    },
}

impl Sinks {
    /// To all of these.
    pub const fn new(sinks: Vec<SinkConfig>) -> Self {
        Self(sinks)
    }

    /// Sends a checkpoint everywhere, one after the other. What fails is logged.
    pub async fn send(&self, checkpoint: &SignedCheckpoint) {
        for sink in &self.0 {
            let sent = timeout(PATIENCE, sink.send(checkpoint)).await;
            let failed = match sent {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            tracing::warn!(sink = ?sink, error = failed, "a checkpoint could not be sent");
        }
    }
}

impl SinkConfig {
    /// Sends one checkpoint.
    ///
    /// # Errors
    ///
    /// Where it can't be sent; for syslog over UDP that is rarely noticed.
    pub async fn send(&self, checkpoint: &SignedCheckpoint) -> io::Result<()> {
        match self {
            Self::Directory { path } => {
                let file = path.join(format!("{:020}.checkpoint", checkpoint.checkpoint.size));
                let (directory, text) = (path.clone(), checkpoint.text().to_owned());
                let written = spawn_blocking(move || {
                    // A share that is not mounted is an error, and no directory to be made.
                    std::fs::metadata(directory)?;
                    write_whole(&file, text.as_bytes(), true)
                });
                written.await.map_err(io::Error::other)?
            }
            Self::Http { address, path } => {
                let stream = TcpStream::connect(address).await?;
                post(stream, &address.to_string(), path, checkpoint.text()).await
            }
            Self::Https {
                address,
                path,
                server_name,
                ca,
            } => {
                // Each time, so that another file needs no restart.
                let roots = tokio::fs::read(ca).await?;
                let (name, port) = (
                    server_name_or(server_name.as_ref(), *address),
                    address.port(),
                );
                let stream = outgoing::connect(*address, &name, &roots).await?;
                let host = match server_name {
                    Some(name) => format!("{name}:{port}"),
                    None => address.to_string(),
                };
                post(stream, &host, path, checkpoint.text()).await
            }
            Self::Syslog { address } => syslog(address, checkpoint).await,
        }
    }

    /// What is wrong with it, before it is used.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Directory { path } if !path.is_absolute() => Err(format!(
                "the sink's path is {}; expected an absolute path",
                path.display()
            )),
            Self::Http { path, .. } | Self::Https { path, .. }
                if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Err(format!(
                    "the sink's path is {path:?}; expected one that begins with a slash, without spaces"
                ))
            }
            Self::Syslog { address }
                if !address.starts_with('/') && address.parse::<SocketAddr>().is_err() =>
            {
                Err(format!(
                    "the sink's address is {address:?}; expected IP:PORT or the absolute path of a socket"
                ))
            }
            Self::Https {
                server_name: Some(name),
                ..
            } if !outgoing::is_server_name(name) => Err(format!(
                "the sink's server_name is {name:?}; expected the DNS name or IP address in the server's certificate"
            )),
            Self::Https { ca, .. } => check_authorities(ca),
            Self::Directory { .. } | Self::Http { .. } | Self::Syslog { .. } => Ok(()),
        }
    }
}

/// A request that fits one packet does not need a client library: one POST, one status line.
async fn post(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
    text: &str,
) -> io::Result<()> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    match &status {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            _,
            b' ',
            b'2',
            _,
            _,
        ] => Ok(()),
        other => Err(io::Error::other(format!(
            "answered {:?}; expected a status of 2xx",
            other.escape_ascii().to_string()
        ))),
    }
}

/// What has to be in the server's certificate.
fn server_name_or(name: Option<&String>, address: SocketAddr) -> String {
    name.cloned().unwrap_or_else(|| address.ip().to_string())
}

/// A file that is not there, or has no certificate, is told at the start and not when it is needed.
fn check_authorities(ca: &Path) -> Result<(), String> {
    if !ca.is_absolute() {
        return Err(format!(
            "the sink's ca is {}; expected an absolute path",
            ca.display()
        ));
    }
    let wrong = |cause: String| format!("the sink's ca {}: {cause}", ca.display());
    let roots = std::fs::read(ca).map_err(|error| wrong(error.to_string()))?;
    let trusted = outgoing::trusting(&roots).map(drop);
    trusted.map_err(|error| wrong(error.to_string()))
}

async fn syslog(address: &str, checkpoint: &SignedCheckpoint) -> io::Result<()> {
    let message = message(checkpoint, SystemTime::now().into());
    match address.parse::<SocketAddr>() {
        Ok(address) => {
            let any = if address.is_ipv4() {
                "0.0.0.0:0"
            } else {
                "[::]:0"
            };
            let socket = UdpSocket::bind(any).await?;
            socket.send_to(message.as_bytes(), address).await.map(drop)
        }
        Err(_) => {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket
                .send_to(message.as_bytes(), Path::new(address))
                .map(drop)
        }
    }
}

/// RFC 5424 section 6, with the note's lines joined by `|`, which no note of ours has.
fn message(checkpoint: &SignedCheckpoint, now: Timestamp) -> String {
    let process = std::process::id();
    let note = checkpoint.text().trim_end().replace('\n', "|");
    format!("<{PRIORITY}>1 {now} - chanceryd {process} checkpoint - \u{feff}{note}")
}

fn system_authorities() -> PathBuf {
    "/etc/ssl/certs/ca-certificates.crt".into()
}

fn root() -> String {
    "/".to_owned()
}

/// Facility 13, severity 5.
const PRIORITY: u32 = 13 * 8 + 5;
const PATIENCE: Duration = Duration::from_secs(5);
