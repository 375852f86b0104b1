//! DEFLATE (RFC 1951) for `zip`: `DEF` (RFC 7516 section 4.1.3), bounded while it inflates.

use std::io::Read;

use flate2::read::DeflateDecoder;
use zeroize::Zeroizing;

/// Inflates to at most [`LIMIT`] bytes; `None` if it is more, or no complete DEFLATE stream, or
/// something follows it. (What the decoder itself keeps, up to 32 KiB of plaintext, is not wiped.)
pub(super) fn inflate(compressed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut reader = DeflateDecoder::new(compressed);
    // Reserved at once: a buffer that grows leaves unwiped copies behind.
    let expected = compressed.len().saturating_mul(8).min(LIMIT + 1);
    let mut plaintext = Zeroizing::new(Vec::with_capacity(expected));
    let mut piece = Zeroizing::new([0; 4096]);
    loop {
        let count = reader.read(&mut piece[..]).ok()?;
        if count == 0 {
            break;
        }
        if plaintext.len() + count > LIMIT {
            return None;
        }
        if plaintext.len() + count > plaintext.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(
                (plaintext.capacity() * 2 + piece.len()).min(LIMIT),
            ));
            larger.extend_from_slice(&plaintext);
            plaintext = larger;
        }
        plaintext.extend_from_slice(&piece[..count]);
    }
    (reader.total_in() == compressed.len() as u64).then_some(plaintext)
}

/// The most that a compressed plaintext may become, in bytes.
pub(super) const LIMIT: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::DeflateEncoder};

    use super::*;

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut writer = DeflateEncoder::new(Vec::new(), Compression::best());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn attack_07_zip_bomb() {
        let most = vec![b'a'; LIMIT];
        assert_eq!(*inflate(&deflate(&most)).unwrap(), most);
        assert!(inflate(&deflate(&vec![b'a'; LIMIT + 1])).is_none());
        let bomb = deflate(&vec![0; 200_000_000]);
        assert!(bomb.len() < 300_000);
        let start = std::time::Instant::now();
        assert!(inflate(&bomb).is_none());
        assert!(start.elapsed() < std::time::Duration::from_millis(500));
    }

    #[test]
    fn only_one_complete_stream() {
        let mut stream = deflate(b"Live long and prosper.");
        assert_eq!(*inflate(&stream).unwrap(), b"Live long and prosper.");
        assert!(inflate(&stream[..stream.len() - 1]).is_none());
        stream.push(0);
        assert!(inflate(&stream).is_none());
        assert!(inflate(b"\xff\xff").is_none());
    }
}
