//! One frame to a worker, one back, within the operation's time.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};
use zeroize::Zeroizing;

use super::super::protocol::{self, Reply};

/// Why a lane gave no reply.
pub(super) enum Broken {
    Hung,
    Lost,
}

/// Sends one frame and reads one. The limit is the operation's own, never the caller's: a caller in a hurry
/// must not cost a worker its life.
pub(super) async fn exchange(
    stream: &mut UnixStream,
    frame: &[u8],
    limit: Duration,
) -> Result<Reply, Broken> {
    let work = async {
        stream.write_all(frame).await?;
        let reply = read_frame(stream).await?;
        protocol::decode(&reply[protocol::PREFIX..])
    };
    match timeout(limit, work).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(_)) => Err(Broken::Lost),
        Err(_) => Err(Broken::Hung),
    }
}

/// Reads a frame, most often with one call to the system: what came short of the buffer's room also tells
/// the runtime that nothing is left, so that it does not ask in vain the next time.
async fn read_frame(stream: &mut UnixStream) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut frame = Zeroizing::new(Vec::with_capacity(FIRST_READ));
    let mut whole = protocol::PREFIX;
    while frame.len() < whole {
        if stream.read_buf(&mut *frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(prefix) = frame.first_chunk() {
            whole = protocol::PREFIX + protocol::body_length(*prefix)?;
            if frame.capacity() < whole {
                // Not grown in place, which would leave what it holds behind.
                let mut larger = Zeroizing::new(Vec::with_capacity(whole));
                larger.extend_from_slice(&frame);
                frame = larger;
            }
        }
    }
    if frame.len() > whole {
        return Err(io::Error::other("more than one reply to one request"));
    }
    Ok(frame)
}

/// Room for the reply to one operation.
const FIRST_READ: usize = 1024;
