//! Files of the log: segments that only grow, and small files that are replaced whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::FallocateFlags;

use crate::audit::Trouble;

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    path: PathBuf,
    length: u64,
    device: u64,
    inode: u64,
}

impl Segment {
    /// Begins a segment whose first record has this number.
    pub(super) fn create(directory: &Path, first: u64, room: u64) -> io::Result<Self> {
        let path = segment_path(directory, first);
        let mut options = OpenOptions::new();
        options.create_new(true).append(true).mode(0o640);
        let segment = Self::of(options.open(&path)?, path, 0)?;
        segment.reserve(room)?;
        sync_directory(&directory.join(LOG))?;
        Ok(segment)
    }

    /// Goes on with a segment, whose whole length is known.
    pub(super) fn resume(directory: &Path, first: u64, length: u64, room: u64) -> io::Result<Self> {
        let path = segment_path(directory, first);
        let segment = Self::of(OpenOptions::new().append(true).open(&path)?, path, length)?;
        if segment.file.metadata()?.len() != length {
            segment.file.set_len(length)?;
            segment.file.sync_all()?;
        }
        segment.reserve(room)?;
        Ok(segment)
    }

    fn of(file: File, path: PathBuf, length: u64) -> io::Result<Self> {
        let facts = file.metadata()?;
        Ok(Self {
            device: facts.dev(),
            inode: facts.ino(),
            file,
            path,
            length,
        })
    }

    /// Takes the room on the disk before it is needed, where the file system can: a segment that was begun
    /// can be ended.
    fn reserve(&self, room: u64) -> io::Result<()> {
        use rustix::io::Errno;
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, room) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Writes whole lines at the end.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Trouble> {
        self.file.write_all(lines).map_err(Trouble::writing)?;
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Waits until what was written is on the disk. An error is final: what the kernel could not write it
    /// has forgotten, and asking again would be answered with success.
    pub(super) fn sync(&self) -> Result<(), Trouble> {
        self.file.sync_data().map_err(Trouble::syncing)
    }

    /// Gives back the room that was not needed.
    pub(super) fn finish(&self) -> Result<(), Trouble> {
        self.file
            .set_len(self.length)
            .map_err(Trouble::writing)
            .and_then(|()| self.file.sync_all().map_err(Trouble::syncing))
    }

    /// Looks whether the file is still where and what it was.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        let open = self.file.metadata().map_err(Trouble::writing)?;
        match fs::metadata(&self.path) {
            Ok(named) if (named.dev(), named.ino()) == (self.device, self.inode) => {}
            Ok(_) => return Err(Trouble::Replaced),
            Err(_) if open.nlink() == 0 => return Err(Trouble::Deleted),
            Err(_) => return Err(Trouble::Moved),
        }
        if open.len() == self.length {
            Ok(())
        } else {
            Err(Trouble::Length {
                expected: self.length,
                found: open.len(),
            })
        }
    }

    /// How many bytes are free on its file system for the daemon's user.
    pub(super) fn free(&self) -> Option<u64> {
        let facts = rustix::fs::fstatvfs(&self.file).ok()?;
        facts.f_bavail.checked_mul(facts.f_frsize)
    }
}

/// `log/<number of its first record>.jsonl`.
pub(super) fn segment_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(LOG).join(format!("{first:020}.jsonl"))
}

/// The numbers of the first records of all segments, in order.
pub(super) fn segments(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory.join(LOG))? {
        let name = entry?.file_name();
        let first = name
            .to_str()
            .and_then(|name| name.strip_suffix(".jsonl"))
            .filter(|digits| digits.len() == 20)
            .and_then(|digits| digits.parse::<u64>().ok());
        found.extend(first);
    }
    found.sort_unstable();
    Ok(found)
}

/// Writes a file whole, or not at all; `durable` waits for the disk.
pub(super) fn write_whole(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(parent)?;
    let mut next = path.to_owned();
    next.as_mut_os_string().push(".new");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o644);
    let mut file = options.open(&next)?;
    file.write_all(bytes)?;
    if durable {
        file.sync_all()?;
    }
    fs::rename(&next, path)?;
    if durable {
        sync_directory(parent)?;
    }
    Ok(())
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Where segments are, below the log's directory.
pub(super) const LOG: &str = "log";
