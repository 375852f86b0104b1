//! Finds a record in its segment without reading all that stand before it.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use crate::audit::file::segment_path;

/// Where a record at or shortly before the wanted one begins in a segment, and its number. Nothing is believed of it:
/// whoever reads on from there sees whether the numbers are right.
pub(super) fn near(directory: &Path, segment: u64, wanted: u64) -> io::Result<(u64, u64)> {
    let file = File::open(segment_path(directory, segment))?;
    let mut low = (0, segment);
    let mut high = file.metadata()?.len();
    while low.1 < wanted && high - low.0 > NEAR {
        let middle = low.0 + (high - low.0) / 2;
        match next_line(&file, middle, high)? {
            Some((at, number)) if number <= wanted && number > low.1 => low = (at, number),
            // Later, or what is behind the last record: room that was set aside, or damage.
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The first record that begins after `from`.
fn next_line(file: &File, from: u64, to: u64) -> io::Result<Option<(u64, u64)>> {
    let length = usize::try_from((to - from).min(WINDOW)).unwrap_or_default();
    let mut window = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut window[filled..], from + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    let Some(end) = window[..filled].iter().position(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    let begin = end + 1;
    Ok(number(&window[begin..filled]).map(|number| (from + begin as u64, number)))
}

/// The number of the record that begins here.
fn number(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"sequence\":")?;
    let length = digits.iter().position(|byte| *byte == b',')?;
    std::str::from_utf8(&digits[..length]).ok()?.parse().ok()
}

/// So near it is no longer worth another look.
const NEAR: u64 = 32 << 10;
/// The longest line, and the begin of the next.
const WINDOW: u64 = (64 << 10) + 64;
