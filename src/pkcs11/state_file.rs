//! Files in the state directory belong to whoever the directory belongs to, even those that root makes.
//!
//! `chanceryd check` is run by root more often than not; what it leaves behind must not lock the daemon out.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Gid, OFlags, Uid, fchown},
    process::geteuid,
};
use sha2::{Digest, Sha256};

/// The file of a module's workers that has this name before the module's: one for each, so that one that hangs holds up
/// no other.
pub(super) fn of_module(directory: &Path, name: &str, module: &Path) -> PathBuf {
    let module = hex::encode(Sha256::digest(module.as_os_str().as_bytes()));
    directory.join(format!("{name}-{}.lock", &module[..16]))
}

/// Opens a file to write to, and makes it if it is not there.
///
/// # Errors
///
/// With the file's name, and with what to do if it is another user's.
pub(super) fn open(path: &Path, mode: u32) -> io::Result<File> {
    let named = |error: io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "; it must belong to the daemon's user, as its directory must: remove it, or chown it"
            }
            _ => "",
        };
        let text = format!("{}: {error}{advice}", path.display());
        io::Error::new(error.kind(), text)
    };
    begin(path, mode).map_err(named)
}

fn begin(path: &Path, mode: u32) -> io::Result<File> {
    // What is there already is not given away: it might be a link that somebody laid for root.
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path),
        made => {
            let file = made?;
            give(&file, path)?;
            Ok(file)
        }
    }
}

/// Only root can.
fn give(file: &File, path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent().filter(|_| geteuid().is_root()) else {
        return Ok(());
    };
    let owner = fs::metadata(directory)?;
    let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    fchown(file, Some(user), Some(group))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: u32 = 65534;

    #[test]
    fn what_root_makes_belongs_to_the_owner_of_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one");
        if geteuid().is_root() {
            std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let owner = fs::metadata(directory.path()).unwrap();
        for _ in 0..2 {
            open(&path, 0o600).unwrap();
            let facts = fs::metadata(&path).unwrap();
            assert_eq!((facts.uid(), facts.gid()), (owner.uid(), owner.gid()));
            assert_eq!(facts.mode() & 0o7777, 0o600);
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (
            directory.path().join("target"),
            directory.path().join("link"),
        );
        fs::write(&target, "theirs").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let refused = open(&link, 0o600).unwrap_err().to_string();
        assert!(
            refused.starts_with(&link.display().to_string()),
            "{refused}"
        );
    }
}
