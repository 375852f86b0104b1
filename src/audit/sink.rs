//! Where checkpoints are sent, so that a log that is put back to an older state is found out elsewhere.
//!
//! A checkpoint is signed and tells nothing but a number and a hash, so that plain HTTP and UDP do. A sink
//! that fails is logged; the next checkpoint says all that this one said.

use std::{
    io,
    net::SocketAddr,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    task::spawn_blocking,
    time::timeout,
};

use crate::audit::{SignedCheckpoint, Timestamp, file::write_whole};

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
        /// `IP:PORT`; names are not looked up. For TLS, a proxy on the host.
        address: SocketAddr,
        /// The path and query of the URL.
        #[serde(default = "root")]
        path: String,
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
            Self::Http { address, path } => post(*address, path, checkpoint.text()).await,
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
            Self::Http { path, .. }
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
            Self::Directory { .. } | Self::Http { .. } | Self::Syslog { .. } => Ok(()),
        }
    }
}

/// A request that fits one packet does not need a client library: one POST, one status line.
async fn post(address: SocketAddr, path: &str, text: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(request.as_bytes()).await?;
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

fn root() -> String {
    "/".to_owned()
}

/// Facility 13, severity 5.
const PRIORITY: u32 = 13 * 8 + 5;
const PATIENCE: Duration = Duration::from_secs(5);
