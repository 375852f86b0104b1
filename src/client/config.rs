//! Where the daemon is and who we are: flags, environment, or the directory of a running `chanceryd dev`.

use std::{
    env,
    error::Error,
    ffi::OsString,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use tonic::transport::Uri;

/// What it takes to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `https://HOST:PORT` or `HOST:PORT`.
    pub address: String,
    /// PEM file with the certificate of the authority that signed the daemon's.
    pub ca: PathBuf,
    /// PEM file with the client certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// PEM file with the private key of the client certificate.
    pub key: PathBuf,
    /// The name that the daemon's certificate must have, if that is not the host of the address.
    pub server_name: Option<String>,
}

/// What a caller wants to say itself; all else comes from the environment or a dev directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// As [`Config::address`].
    pub address: Option<String>,
    /// As [`Config::ca`].
    pub ca: Option<PathBuf>,
    /// As [`Config::certificate`].
    pub certificate: Option<PathBuf>,
    /// As [`Config::key`].
    pub key: Option<PathBuf>,
    /// Which of the dev directory's identities to be: `app-b` is the file `client-app-b.env`.
    pub identity: Option<String>,
    /// The dev directory; otherwise `$CHANCERY_DEV`, otherwise `.chancery-dev`.
    pub dev_directory: Option<PathBuf>,
}

/// Why there is nothing to connect with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nothing, or not everything, is set.
    #[error(
        "no daemon is configured: {} not set, and there is no {}\n\
         either set CHANCERY_ADDR (such as https://127.0.0.1:7443), CHANCERY_CA, CHANCERY_CERT and \
         CHANCERY_KEY (PEM files),\nor run `chanceryd dev` and call from the same directory (or set \
         CHANCERY_DEV to its directory)",
        missing.join(", "), looked_for.display()
    )]
    Missing {
        /// The settings that have no value.
        missing: Vec<&'static str>,
        /// The dev settings file that does not exist.
        looked_for: PathBuf,
    },
    /// A file of settings that lacks some.
    #[error("{} does not set {}", path.display(), missing.join(", "))]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        missing: Vec<&'static str>,
    },
    /// A line that is not a setting.
    #[error("{} line {line}: expected NAME=VALUE", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The dev directory has no such identity.
    #[error(
        "there is no identity {name:?} in {}: expected {}",
        directory.display(),
        if known.is_empty() { "a running `chanceryd dev`".to_owned() } else { format!("one of {}", known.join(", ")) }
    )]
    Identity {
        /// As it was asked for.
        name: String,
        /// Where it was looked for.
        directory: PathBuf,
        /// Those that are there.
        known: Vec<String>,
    },
    /// An environment variable that is not text.
    #[error("{0} is not valid UTF-8")]
    NotText(&'static str),
    /// The address can't be used.
    #[error("{0:?} is not an address: expected https://HOST:PORT or HOST:PORT")]
    Address(String),
    /// A file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that should hold certificates holds none.
    #[error("{} holds no certificate: expected PEM, -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// A file that should hold a private key holds none.
    #[error("{} holds no private key: expected PEM, such as -----BEGIN PRIVATE KEY-----", .0.display())]
    NoPrivateKey(PathBuf),
    /// The certificates or the key are not usable.
    #[error("can't use the configured certificates: {0}")]
    Tls(String),
}

impl Config {
    /// Takes everything from the environment, and what is not there from the dev directory:
    /// the given one, `$CHANCERY_DEV`, or `.chancery-dev` in the current directory.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Missing`] says what to set; the others name the file that is wrong.
    pub fn discover(dev_directory: Option<&Path>) -> Result<Self, ConfigError> {
        Self::resolve(
            Wanted {
                dev_directory: dev_directory.map(Path::to_owned),
                ..Wanted::default()
            },
            |name| env::var_os(name),
        )
    }

    /// Takes each setting from the first that has it: what is wanted, the environment, the dev
    /// directory. With an identity or a dev directory asked for, the environment is left out:
    /// a certificate that was not asked for must not be shown.
    ///
    /// # Errors
    ///
    /// As [`Self::discover`].
    pub fn resolve(
        wanted: Wanted,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let directory = wanted
            .dev_directory
            .clone()
            .or_else(|| environment("CHANCERY_DEV").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from(DEV_DIRECTORY));
        let dev_only = wanted.identity.is_some() || wanted.dev_directory.is_some();
        let environment = |name| environment(name).filter(|value| !dev_only && !value.is_empty());
        let text = |name: &'static str| {
            environment(name)
                .map(|value| value.into_string().map_err(|_| ConfigError::NotText(name)))
                .transpose()
        };
        let mut settings = Settings {
            address: match wanted.address {
                Some(address) => Some(address),
                None => text(ADDRESS)?,
            },
            ca: wanted.ca.or_else(|| environment(CA).map(PathBuf::from)),
            certificate: wanted
                .certificate
                .or_else(|| environment(CERTIFICATE).map(PathBuf::from)),
            key: wanted.key.or_else(|| environment(KEY).map(PathBuf::from)),
            server_name: text(SERVER_NAME)?,
        };
        if settings.missing().is_empty() {
            return settings.complete(Path::new(""));
        }
        let path = match &wanted.identity {
            Some(name) => directory.join(format!(
                "client-{}.env",
                checked_identity(name, &directory)?
            )),
            None => directory.join("client.env"),
        };
        match fs::read_to_string(&path) {
            Ok(text) => settings.fill(Settings::parse(&text, &path, &directory)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(match wanted.identity {
                    Some(name) => ConfigError::Identity {
                        name,
                        known: identities(&directory),
                        directory,
                    },
                    None => ConfigError::Missing {
                        missing: settings.missing(),
                        looked_for: path,
                    },
                });
            }
            Err(source) => return Err(ConfigError::Unreadable { path, source }),
        }
        settings.complete(&path)
    }

    /// The URI to connect to, and the host in it.
    pub(super) fn endpoint(&self) -> Result<(String, String), ConfigError> {
        let wrong = || ConfigError::Address(self.address.clone());
        let authority = match self.address.split_once("://") {
            None => self.address.as_str(),
            Some(("https", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some(_) => return Err(wrong()),
        };
        let uri: Uri = format!("https://{authority}/")
            .parse()
            .map_err(|_| wrong())?;
        let host = uri.host().unwrap_or_default();
        if uri.path() != "/" || uri.query().is_some() || host.is_empty() || authority.contains('@')
        {
            return Err(wrong());
        }
        uri.port_u16().ok_or_else(wrong)?;
        // The brackets of an IPv6 address belong to the URI, not to the name in the certificate.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok((format!("https://{authority}"), host.to_owned()))
    }
}

/// An error and its causes, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            // Writing to a String does not fail.
            let _ = write!(text, ": {next}");
        }
        cause = error.source();
    }
    text
}

#[derive(Default)]
struct Settings {
    address: Option<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    server_name: Option<String>,
}

impl Settings {
    /// Reads `NAME=VALUE` lines, such as a shell can read too; other names are none of ours.
    fn parse(text: &str, path: &Path, directory: &Path) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| ConfigError::Line {
                path: path.to_owned(),
                line: index + 1,
            })?;
            let value = value.trim();
            let value = ['"', '\'']
                .iter()
                .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
                .unwrap_or(value)
                .to_owned();
            let name = name.strip_prefix("export ").unwrap_or(name).trim();
            match name {
                ADDRESS => settings.address = Some(value),
                CA => settings.ca = Some(directory.join(value)),
                CERTIFICATE => settings.certificate = Some(directory.join(value)),
                KEY => settings.key = Some(directory.join(value)),
                SERVER_NAME => settings.server_name = Some(value),
                _ => {}
            }
        }
        Ok(settings)
    }

    fn fill(&mut self, other: Self) {
        self.address = self.address.take().or(other.address);
        self.ca = self.ca.take().or(other.ca);
        // A certificate and a key from two places would not fit each other.
        if self.certificate.is_none() && self.key.is_none() {
            self.certificate = other.certificate;
            self.key = other.key;
        }
        self.server_name = self.server_name.take().or(other.server_name);
    }

    fn missing(&self) -> Vec<&'static str> {
        [
            (ADDRESS, self.address.is_none()),
            (CA, self.ca.is_none()),
            (CERTIFICATE, self.certificate.is_none()),
            (KEY, self.key.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect()
    }

    fn complete(self, path: &Path) -> Result<Config, ConfigError> {
        let missing = self.missing();
        match self {
            Self {
                address: Some(address),
                ca: Some(ca),
                certificate: Some(certificate),
                key: Some(key),
                server_name,
            } => Ok(Config {
                address,
                ca,
                certificate,
                key,
                server_name,
            }),
            _ => Err(ConfigError::Incomplete {
                path: path.to_owned(),
                missing,
            }),
        }
    }
}

/// The name becomes part of a path, and must not lead out of the directory.
fn checked_identity<'a>(name: &'a str, directory: &Path) -> Result<&'a str, ConfigError> {
    let good = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if good {
        Ok(name)
    } else {
        Err(ConfigError::Identity {
            name: name.to_owned(),
            directory: directory.to_owned(),
            known: identities(directory),
        })
    }
}

fn identities(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some(
                name.strip_prefix("client-")?
                    .strip_suffix(".env")?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    names
}

const ADDRESS: &str = "CHANCERY_ADDR";
const CA: &str = "CHANCERY_CA";
const CERTIFICATE: &str = "CHANCERY_CERT";
const KEY: &str = "CHANCERY_KEY";
const SERVER_NAME: &str = "CHANCERY_SERVER_NAME";
const DEV_DIRECTORY: &str = ".chancery-dev";

#[cfg(test)]
mod tests;
