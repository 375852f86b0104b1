//! The one directory that holds everything: what is in it, who may use it, how it is made and cleared.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{fs::FlockOperation, io::Errno};

use super::{DevError, files, partners};

/// A directory of ours, locked for as long as this lives.
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
}

impl Directory {
    /// Makes the directory, or takes one that was made by an earlier start; nobody else's.
    pub(super) fn open(path: &Path, reset: bool) -> Result<Self, DevError> {
        let failed = |cause| DevError::Directory {
            path: path.to_owned(),
            cause,
        };
        let path = std::path::absolute(path).map_err(failed)?;
        let not_ours = path.is_dir()
            && !path.join(LOCK).exists()
            && fs::read_dir(&path).map_err(failed)?.next().is_some();
        if not_ours {
            return Err(DevError::NotOurs(path));
        }
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(failed)?;
        let facts = fs::metadata(&path).map_err(failed)?;
        if facts.mode() & 0o077 != 0 {
            return Err(DevError::Open {
                mode: facts.mode() & 0o7777,
                path,
            });
        }
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Who holds it is told if it can be; that it is held is what matters.
                let _ = (&lock).take(200).read_to_string(&mut holder);
                return Err(DevError::Running {
                    path,
                    holder: holder.trim().to_owned(),
                });
            }
            Err(error) => return Err(failed(error.into())),
        }
        let directory = Self { path, lock };
        if reset {
            directory.clear().map_err(failed)?;
        }
        Ok(directory)
    }

    /// Its absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether an earlier start got as far as the configuration.
    pub(super) fn is_new(&self) -> bool {
        !self.file(CONFIG).exists()
    }

    /// Says to whoever wants the directory next who has it.
    pub(super) fn say_who(&self, address: SocketAddr) -> io::Result<()> {
        self.lock.set_len(0)?;
        let mut file = &self.lock;
        io::Seek::rewind(&mut file)?;
        write!(file, "process {}, on {address}", std::process::id())
    }

    /// Makes whatever is missing, but keys and certificates. What people may have edited stays as it is.
    pub(super) fn fill(
        &self,
        module: &Path,
        address: SocketAddr,
        admin: SocketAddr,
    ) -> io::Result<()> {
        for name in ["tokens", "state", "partners"] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(self.file(name))?;
        }
        for name in [USER_PIN, SO_PIN] {
            let path = self.file(name);
            if !path.exists() {
                write_secret(&path, &random_pin()?)?;
            }
        }
        // SoftHSM wants an absolute path; so this one is written anew in case the directory was moved.
        fs::write(self.file(SOFTHSM), files::softhsm(&self.file("tokens")))?;
        if !self.file(POLICY).exists() {
            fs::write(self.file(POLICY), files::POLICY)?;
        }
        // The last: with it the directory is complete.
        if self.is_new() {
            for (name, text) in partners::SAMPLES {
                fs::write(self.file(name), text)?;
            }
            let text = files::config(module, &self.file(SOFTHSM), address, admin);
            fs::write(self.file(CONFIG), text)?;
        }
        Ok(())
    }

    /// Removes all that a start makes, by name: what else somebody put there is not ours to remove.
    fn clear(&self) -> io::Result<()> {
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        let samples = partners::SAMPLES.map(|(name, _)| name);
        for name in OURS.into_iter().chain(samples) {
            let path = self.file(name);
            if path.is_dir() {
                gone(fs::remove_dir_all(path))?;
            } else {
                gone(fs::remove_file(path))?;
            }
        }
        Ok(())
    }
}

/// Writes a file that only its owner may read, in place of an older one.
pub(super) fn write_private(path: &Path, text: String) -> io::Result<()> {
    replace(path, 0o600, text.as_bytes())
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    replace(path, 0o400, text.as_bytes())
}

/// A start that is cut short leaves the old file or the new one, not half of it.
fn replace(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)?
        .write_all(bytes)?;
    fs::rename(new, path)
}

/// 64 bits in digits and letters that every token takes.
fn random_pin() -> io::Result<zeroize::Zeroizing<String>> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(hex::encode(bytes).into())
}

pub(super) const CONFIG: &str = "chancery.toml";
pub(super) const POLICY: &str = "policy.toml";
pub(super) const SOFTHSM: &str = "softhsm2.conf";
pub(super) const USER_PIN: &str = "user.pin";
pub(super) const SO_PIN: &str = "so.pin";
/// Its presence also says that the directory is one of ours.
const LOCK: &str = "dev.lock";

const OURS: [&str; 21] = [
    "tokens",
    "state",
    "scratch",
    USER_PIN,
    SO_PIN,
    SOFTHSM,
    POLICY,
    CONFIG,
    "ca.pem",
    "ca.key",
    "server.pem",
    "server.key",
    "app-a.pem",
    "app-a.key",
    "app-b.pem",
    "app-b.key",
    "client.env",
    "client-app-a.env",
    "client-app-b.env",
    "user.new",
    "so.new",
];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_of_somebody_elses_is_left_alone() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("home");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("thesis.tex"), "years of work").unwrap();
        for reset in [false, true] {
            let error = Directory::open(&path, reset).err().unwrap();
            assert!(matches!(error, DevError::NotOurs(_)), "{error}");
        }
        assert!(path.join("thesis.tex").exists());
    }

    #[test]
    fn one_at_a_time_and_only_for_its_owner() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("dev");
        let first = Directory::open(&path, false).unwrap();
        first.say_who("127.0.0.1:7443".parse().unwrap()).unwrap();
        let error = Directory::open(&path, true).err().unwrap().to_string();
        assert!(
            error.contains(&format!(
                "process {}, on 127.0.0.1:7443",
                std::process::id()
            )),
            "{error}"
        );
        drop(first);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let error = Directory::open(&path, false).err().unwrap();
        assert!(
            matches!(error, DevError::Open { mode: 0o755, .. }),
            "{error}"
        );
    }

    #[test]
    fn pins_are_made_once_and_a_reset_takes_only_what_is_ours() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("dev");
        let fill = |reset| {
            let directory = Directory::open(&path, reset).unwrap();
            let address = "127.0.0.1:1".parse().unwrap();
            directory
                .fill(Path::new("/lib/module.so"), address, address)
                .unwrap();
            fs::read_to_string(directory.file(USER_PIN)).unwrap()
        };
        let pin = fill(false);
        assert_eq!(pin.len(), 16);
        assert_ne!(pin, fs::read_to_string(path.join(SO_PIN)).unwrap());
        assert_eq!(
            fs::metadata(path.join(USER_PIN)).unwrap().mode() & 0o777,
            0o400
        );
        fs::write(path.join("notes"), "mine").unwrap();
        fs::write(path.join(POLICY), "edited").unwrap();
        assert_eq!(fill(false), pin);
        assert_eq!(fs::read_to_string(path.join(POLICY)).unwrap(), "edited");
        assert_ne!(fill(true), pin);
        assert_ne!(fs::read_to_string(path.join(POLICY)).unwrap(), "edited");
        assert!(path.join("notes").exists());
    }
}
