//! Where a PIN comes from, and remembering one that was refused.
//!
//! Only a worker reads a PIN. A wrong PIN tried by a restarting daemon locks a token for good, so one that
//! was refused is remembered on disk, as a slow salted hash, and is not tried again until it changes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    num::NonZeroU32,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::pbkdf2;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::state_file;

/// Where the PIN of a token is read from. Never the command line, never the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PinSource {
    /// A file that nobody else can read: mode 0400 or 0600, owned by the daemon's user or root, no link.
    File(PathBuf),
    /// A systemd credential of this name (`LoadCredential=`), in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// An inherited descriptor of this number, open on a regular file or memfd, so that a worker that
    /// is started again can read it again.
    Descriptor(u32),
}

impl PinSource {
    /// Reads the PIN. One trailing newline is dropped.
    ///
    /// # Errors
    ///
    /// A sentence that says what was expected and what was found.
    pub(super) fn read(&self) -> Result<SecretString, String> {
        let (path, mode_matters) = match self {
            Self::File(path) => (path.clone(), true),
            Self::Credential(name) => {
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY")
                    .ok_or("CREDENTIALS_DIRECTORY is not set; the unit needs LoadCredential= for this credential")?;
                if name.contains('/') || name == ".." {
                    return Err(format!("{name:?} is not the name of a credential"));
                }
                (Path::new(&directory).join(name), true)
            }
            // A link by nature, whose target was opened by whoever started the daemon.
            Self::Descriptor(number) => (PathBuf::from(format!("/proc/self/fd/{number}")), false),
        };
        let shown = path.display();
        let mut options = OpenOptions::new();
        options.read(true);
        if mode_matters {
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
        }
        let file = options
            .open(&path)
            .map_err(|error| format!("{shown}: {error}"))?;
        let facts = file
            .metadata()
            .map_err(|error| format!("{shown}: {error}"))?;
        if !facts.is_file() {
            return Err(format!("{shown} is not a regular file"));
        }
        let user = rustix::process::geteuid().as_raw();
        if mode_matters && facts.uid() != user && facts.uid() != 0 {
            return Err(format!(
                "{shown} belongs to user {}; expected {user} or root",
                facts.uid()
            ));
        }
        // A credential may be 0440 for root's group; nothing may be open to others or writable by a group.
        let forbidden = if matches!(self, Self::Credential(_)) {
            0o037
        } else {
            0o077
        };
        if mode_matters && facts.mode() & forbidden != 0 {
            return Err(format!(
                "{shown} has mode {:04o}; expected 0400 or 0600: chmod 400 {shown}",
                facts.mode() & 0o7777
            ));
        }
        let mut text = Zeroizing::new(String::with_capacity(MAX_PIN + 1));
        file.take(MAX_PIN as u64 + 1)
            .read_to_string(&mut text)
            .map_err(|error| format!("{shown}: {error}"))?;
        let pin = text.strip_suffix('\n').unwrap_or(&text);
        if pin.is_empty() || pin.len() > MAX_PIN {
            return Err(format!(
                "{shown} holds {} bytes; expected a PIN of 1 to {MAX_PIN}",
                pin.len()
            ));
        }
        Ok(SecretString::from(pin))
    }
}

/// The memory of one refused PIN of one token.
pub(super) struct Mark {
    path: PathBuf,
    serial: String,
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    salt: String,
    hash: String,
}

impl Mark {
    /// The mark for the token with this serial number, in this directory.
    pub(super) fn new(directory: &Path, serial: &str) -> Self {
        let name: String = serial
            .chars()
            .map(|one| {
                if one.is_ascii_alphanumeric() {
                    one
                } else {
                    '_'
                }
            })
            .collect();
        Self {
            path: directory.join(format!("pin-refused-{name}.json")),
            serial: serial.to_owned(),
        }
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this very PIN was refused. A mark that can't be read counts as one: better not to try.
    pub(super) fn holds(&self, pin: &SecretString) -> bool {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) => return error.kind() != io::ErrorKind::NotFound,
        };
        let Ok(remembered) = serde_json::from_str::<Remembered>(&text) else {
            return true;
        };
        let (Ok(salt), Ok(hash)) = (hex::decode(remembered.salt), hex::decode(remembered.hash))
        else {
            return true;
        };
        pbkdf2::verify(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ROUNDS,
            &salt,
            &self.material(pin),
            &hash,
        )
        .is_ok()
    }

    /// Makes a file to remember a refusal in, of the size that it will have: to be done before a PIN is tried,
    /// so that a full disk is noticed while it does no harm.
    ///
    /// # Errors
    ///
    /// If it can't be written.
    pub(super) fn prepare(&self) -> io::Result<File> {
        let mut file = state_file::open(&self.prepared(), 0o600)?;
        file.set_len(0)?;
        file.write_all(&[b' '; 256])?;
        Ok(file)
    }

    /// Remembers that this PIN was refused, durably.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub(super) fn set(&self, mut place: File, pin: &SecretString) -> io::Result<()> {
        let (mut salt, mut hash) = ([0; 16], [0; 32]);
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| io::Error::other("no random numbers"))?;
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ROUNDS,
            &salt,
            &self.material(pin),
            &mut hash,
        );
        let text = serde_json::to_string(&Remembered {
            salt: hex::encode(salt),
            hash: hex::encode(hash),
        })?;
        // What is left of the blanks behind it is no harm to JSON.
        place.seek(SeekFrom::Start(0))?;
        place.write_all(text.as_bytes())?;
        place.sync_all()?;
        fs::rename(self.prepared(), &self.path)?;
        match self.path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }

    fn prepared(&self) -> PathBuf {
        self.path.with_extension("json.new")
    }

    /// Forgets, after a PIN was accepted.
    pub(super) fn clear(&self) {
        // A mark that is not there is what was wanted; one that can't be removed names a PIN that is
        // not the one that was just accepted, so it harms nothing.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(self.prepared());
    }

    fn material(&self, pin: &SecretString) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(
            [
                self.serial.as_bytes(),
                b"\0",
                pin.expose_secret().as_bytes(),
            ]
            .concat(),
        )
    }
}

const MAX_PIN: usize = 256;

/// The mark is of a PIN that is wrong, and is read by nobody else; still, PINs are short.
const ROUNDS: NonZeroU32 = NonZeroU32::new(200_000).unwrap();

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(directory: &Path, mode: u32, text: &str) -> PinSource {
        let path = directory.join(format!("pin-{mode:o}"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        PinSource::File(path)
    }

    #[test]
    fn a_pin_is_read_from_a_file_that_nobody_else_can_read() {
        let directory = tempfile::tempdir().unwrap();
        let pin = file(directory.path(), 0o400, "1234\n").read().unwrap();
        assert_eq!(pin.expose_secret(), "1234");
        let refused = file(directory.path(), 0o644, "1234").read().unwrap_err();
        assert!(
            refused.contains("mode 0644") && refused.contains("chmod 400"),
            "{refused}"
        );
        assert!(!refused.contains("1234"));
        assert!(
            file(directory.path(), 0o600, "\n")
                .read()
                .unwrap_err()
                .contains("0 bytes")
        );
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("pin-400"), &link).unwrap();
        assert!(PinSource::File(link).read().is_err());
        assert!(PinSource::Credential("../pin".to_owned()).read().is_err());
    }

    #[test]
    fn a_mark_holds_for_the_refused_pin_alone() {
        let directory = tempfile::tempdir().unwrap();
        let mark = Mark::new(directory.path(), "abc/../1");
        assert_eq!(mark.path().parent(), Some(directory.path()));
        let (wrong, right) = (SecretString::from("0000"), SecretString::from("1234"));
        assert!(!mark.holds(&wrong));
        mark.set(mark.prepare().unwrap(), &wrong).unwrap();
        assert!(mark.holds(&wrong));
        assert!(!mark.holds(&right));
        assert!(!fs::read_to_string(mark.path()).unwrap().contains("0000\""));
        fs::write(mark.path(), "not json").unwrap();
        assert!(mark.holds(&right));
        mark.clear();
        assert!(!mark.holds(&wrong));
    }
}
