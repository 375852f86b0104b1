//! The tree on disk, as C2SP tlog-tiles has it: files of up to 256 hashes, and of the records themselves.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::audit::{
    Digest,
    file::write_whole,
    tree::{Subtrees, Tree, node},
};

/// Tiles below a directory, read for a tree of some size.
#[derive(Debug)]
pub(super) struct Tiles<'a> {
    directory: &'a Path,
    size: u64,
    /// The tile that was read last: proofs stay near each other.
    last: Option<((u32, u64), Vec<Digest>)>,
}

/// The right edge of the tree, from which tiles are written as it grows.
#[derive(Debug)]
pub(super) struct Edge {
    directory: PathBuf,
    /// For each level, the hashes of its tile that is not full yet.
    levels: Vec<Vec<Digest>>,
    /// The records of the bundle that is not full yet, as bundles have them.
    bundle: Vec<u8>,
    size: u64,
}

impl<'a> Tiles<'a> {
    pub(super) const fn new(directory: &'a Path, size: u64) -> Self {
        Self {
            directory,
            size,
            last: None,
        }
    }

    /// The hashes of a tile: the full one, or as much of it as the tree of this size has.
    fn tile(&mut self, level: u32, index: u64) -> io::Result<&[Digest]> {
        if self.last.as_ref().map(|(at, _)| *at) != Some((level, index)) {
            let full = self
                .directory
                .join(tile_path(&level.to_string(), index, None));
            let missing = |read: &io::Result<Vec<u8>>| matches!(read, Err(error) if error.kind() == io::ErrorKind::NotFound);
            let mut read = fs::read(&full);
            if missing(&read) {
                let width = width(self.size, level, index);
                let part = tile_path(&level.to_string(), index, Some(width));
                read = fs::read(self.directory.join(part));
            }
            // A tile that becomes full this moment is there before its parts are gone.
            if missing(&read) {
                read = fs::read(&full);
            }
            let bytes = read.map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", full.display()))
            })?;
            let hashes = bytes
                .chunks_exact(32)
                .map(|hash| Digest::from_bytes(hash.try_into().expect("chunks of 32")))
                .collect();
            self.last = Some(((level, index), hashes));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, hashes)| hashes))
    }
}

impl Subtrees for Tiles<'_> {
    type Error = io::Error;

    fn subtree(&mut self, height: u32, index: u64) -> io::Result<Digest> {
        // A tile holds eight heights: those of its own hashes, and what they add up to.
        let (level, above) = (height / HEIGHT, height % HEIGHT);
        let first = index << above;
        let tile = self.tile(level, first / WIDTH)?;
        let from = usize::try_from(first % WIDTH).expect("below 256");
        let mut hashes = tile
            .get(from..from + (1 << above))
            .ok_or_else(|| {
                let what = format!("tile {level}/{} has too few hashes", first / WIDTH);
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?
            .to_vec();
        while hashes.len() > 1 {
            hashes = hashes
                .chunks_exact(2)
                .map(|pair| node(&pair[0], &pair[1]))
                .collect();
        }
        Ok(hashes[0])
    }
}

impl Edge {
    /// The edge of a tree without leaves.
    pub(super) fn empty(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            levels: vec![],
            bundle: vec![],
            size: 0,
        }
    }

    /// The edge of the tree of so many records, from its tiles.
    pub(super) fn load(directory: &Path, size: u64) -> io::Result<Self> {
        let mut edge = Self::empty(directory);
        edge.size = size;
        let mut tiles = Tiles::new(directory, size);
        let mut level = 0;
        while size >> (HEIGHT * level) > 0 {
            let hashes = size >> (HEIGHT * level);
            let part = usize::try_from(hashes % WIDTH).expect("below 256");
            let tile = match part {
                0 => vec![],
                _ => {
                    let found = tiles.tile(level, hashes / WIDTH)?;
                    let short =
                        || io::Error::new(io::ErrorKind::InvalidData, "a tile is too short");
                    found.get(..part).ok_or_else(short)?.to_vec()
                }
            };
            edge.levels.push(tile);
            level += 1;
        }
        if !size.is_multiple_of(WIDTH) {
            edge.bundle = bundle(directory, size / WIDTH, size % WIDTH)?;
        }
        Ok(edge)
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a record; tiles that become full by it are written.
    pub(super) fn push(&mut self, record: &[u8], leaf: Digest) -> io::Result<()> {
        let length = u16::try_from(record.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a record over 65535 bytes"))?;
        self.bundle.extend_from_slice(&length.to_be_bytes());
        self.bundle.extend_from_slice(record);
        self.size += 1;
        if self.size.is_multiple_of(WIDTH) {
            self.write(ENTRIES, self.size / WIDTH - 1, None, &self.bundle)?;
            self.bundle.clear();
        }
        let (mut level, mut hash) = (0, leaf);
        loop {
            if self.levels.len() == level {
                self.levels.push(vec![]);
            }
            self.levels[level].push(hash);
            if self.levels[level].len() < 256 {
                return Ok(());
            }
            let full = std::mem::take(&mut self.levels[level]);
            let height = HEIGHT * u32::try_from(level + 1).expect("few levels");
            let index = (self.size >> height) - 1;
            self.write(&level.to_string(), index, None, &bytes(&full))?;
            let mut tree = Tree::default();
            full.into_iter().for_each(|hash| tree.push(hash));
            hash = tree.root();
            level += 1;
        }
    }

    /// Writes the tiles that are not full.
    pub(super) fn write_partial(&self) -> io::Result<()> {
        for (level, hashes) in self.levels.iter().enumerate() {
            if !hashes.is_empty() {
                let height = HEIGHT * u32::try_from(level + 1).expect("few levels");
                let index = self.size.checked_shr(height).unwrap_or(0);
                let width = hashes.len() as u64;
                self.write(&level.to_string(), index, Some(width), &bytes(hashes))?;
            }
        }
        if !self.bundle.is_empty() {
            let (index, width) = (self.size / WIDTH, self.size % WIDTH);
            self.write(ENTRIES, index, Some(width), &self.bundle)?;
        }
        Ok(())
    }

    fn write(&self, level: &str, index: u64, width: Option<u64>, bytes: &[u8]) -> io::Result<()> {
        // What a power failure takes away is made again from the records.
        let path = self.directory.join(tile_path(level, index, width));
        write_whole(&path, bytes, false)?;
        if width.is_none() {
            // The full tile says what its parts said.
            let mut parts = self.directory.join(tile_path(level, index, None));
            parts.as_mut_os_string().push(".p");
            match fs::remove_dir_all(parts) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The first records of a bundle, as much as the tree has of it.
fn bundle(directory: &Path, index: u64, width: u64) -> io::Result<Vec<u8>> {
    let part = fs::read(directory.join(tile_path(ENTRIES, index, Some(width))));
    let mut bytes = match part {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::read(directory.join(tile_path(ENTRIES, index, None)))?
        }
        read => read?,
    };
    let mut end = 0;
    for _ in 0..width {
        let length = bytes.get(end..end + 2).ok_or(io::ErrorKind::InvalidData)?;
        end += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    if end > bytes.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    bytes.truncate(end);
    Ok(bytes)
}

/// One record of the tree of some size.
pub(super) fn entry(directory: &Path, index: u64, size: u64) -> io::Result<Vec<u8>> {
    let width = width(size, 0, index / WIDTH);
    let bytes = bundle(directory, index / WIDTH, width)?;
    let mut at = 0;
    for _ in 0..index % WIDTH {
        at += 2 + usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    }
    let length = usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    Ok(bytes[at + 2..at + 2 + length].to_vec())
}

/// Removes the bundles of records before `first`; the hashes stay.
pub(super) fn prune_entries(directory: &Path, from: u64, first: u64) -> io::Result<()> {
    for index in from / WIDTH..first / WIDTH {
        match fs::remove_file(directory.join(tile_path(ENTRIES, index, None))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// `tile/<level>/<index>[.p/<width>]`, the index in groups of three digits.
fn tile_path(level: &str, index: u64, width: Option<u64>) -> PathBuf {
    let mut groups = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    groups.reverse();
    let mut path = Path::new("tile").join(level).join(groups.join("/"));
    if let Some(width) = width {
        path.as_mut_os_string().push(format!(".p/{width}"));
    }
    path
}

/// How many hashes of a tile the tree of this size has.
const fn width(size: u64, level: u32, index: u64) -> u64 {
    let hashes = match size.checked_shr(HEIGHT * level) {
        Some(hashes) => hashes,
        None => 0,
    };
    let left = hashes.saturating_sub(index * WIDTH);
    if left < WIDTH { left } else { WIDTH }
}

fn bytes(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

const HEIGHT: u32 = 8;
const WIDTH: u64 = 256;
const ENTRIES: &str = "entries";

#[cfg(test)]
mod tests {
    use super::tile_path;

    #[test]
    fn paths_are_those_of_the_specification() {
        let path = tile_path("2", 1_234_067, Some(9));
        assert_eq!(path.to_str(), Some("tile/2/x001/x234/067.p/9"));
        let path = tile_path("entries", 0, None);
        assert_eq!(path.to_str(), Some("tile/entries/000"));
    }
}
