//! A frame: a length of four bytes, little-endian, and a `postcard` body, both within a limit.

use std::io;

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// How many bytes say how long the body is.
pub(in crate::pkcs11) const PREFIX: usize = 4;

/// Puts a length before the body.
pub(in crate::pkcs11) fn encode<T: Serialize>(value: &T) -> io::Result<Zeroizing<Vec<u8>>> {
    // Made large enough at once: a vector that grows leaves copies of what it held behind.
    let size = postcard::experimental::serialized_size(value).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(PREFIX + size);
    frame.resize(PREFIX, 0);
    let mut frame = Zeroizing::new(postcard::to_extend(value, frame).map_err(io::Error::other)?);
    let length = u32::try_from(frame.len() - PREFIX)
        .ok()
        .filter(|length| *length <= MAX_FRAME)
        .ok_or_else(|| io::Error::other("a frame over the limit"))?;
    frame[..PREFIX].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// The length that four bytes say, if it is within the limit.
pub(in crate::pkcs11) fn body_length(prefix: [u8; PREFIX]) -> io::Result<usize> {
    match u32::from_le_bytes(prefix) {
        length if length <= MAX_FRAME => Ok(length as usize),
        _ => Err(io::Error::other("a frame over the limit")),
    }
}

/// Reads a body.
pub(in crate::pkcs11) fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    postcard::from_bytes(body).map_err(io::Error::other)
}

/// Writes one frame to a blocking stream.
pub(in crate::pkcs11) fn send<T: Serialize>(
    stream: &mut impl io::Write,
    value: &T,
) -> io::Result<()> {
    stream.write_all(&encode(value)?)
}

/// Reads one frame from a blocking stream.
pub(in crate::pkcs11) fn receive<T: DeserializeOwned>(stream: &mut impl io::Read) -> io::Result<T> {
    let mut prefix = [0; PREFIX];
    stream.read_exact(&mut prefix)?;
    let mut body = Zeroizing::new(vec![0; body_length(prefix)?]);
    stream.read_exact(&mut body)?;
    decode(&body)
}

/// Requests are bounded by the gRPC limit, listings by the number of keys (about 600 bytes each).
const MAX_FRAME: u32 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::{
        super::{Reply, Request, Started},
        *,
    };

    #[test]
    fn a_frame_comes_back_and_a_huge_length_is_refused() {
        let mut wire = Vec::new();
        send(
            &mut wire,
            &Request::MacUpdate {
                stream: 7,
                chunk: vec![1, 2, 3],
            },
        )
        .unwrap();
        let back: Request = receive(&mut wire.as_slice()).unwrap();
        assert!(matches!(back, Request::MacUpdate { stream: 7, chunk } if chunk == [1, 2, 3]));
        assert!(body_length([0xff; 4]).is_err());
        assert!(receive::<Request>(&mut [5, 0, 0, 0, 1].as_slice()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn hostile_bodies_do_not_panic(body: Vec<u8>) {
            let _ = decode::<Request>(&body);
            let _ = decode::<Reply>(&body);
            let _ = decode::<Started>(&body);
        }
    }
}
