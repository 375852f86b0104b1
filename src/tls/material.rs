//! The files behind TLS: read and checked whole, so that a bad one changes nothing.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime, pem::PemObject,
    },
    server::{
        NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    version::{TLS12, TLS13},
};
use zeroize::Zeroizing;

use crate::{
    identity::CertificateFacts,
    tls::{Config, MinimumVersion, validity::CertificateFault, verifier::Verifier},
};

/// What one reading of the files gave.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) server: Arc<ServerConfig>,
    /// What the server's certificate says of itself, if it can be read.
    pub(super) certificate: Option<CertificateFacts>,
    verifier: Arc<Verifier>,
}

/// Which file can't be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no ordinary file, or far too long.
    #[error("{} is not an ordinary file of at most {MAX_FILE} bytes", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the private key.
    #[error(
        "the private key {} has mode {mode:04o}; expected one that lets nobody but its owner in, such as 0600",
        path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What it should hold is not in it, or is malformed.
    #[error("{} has no usable {expected}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The certificate and the private key can't be used together.
    #[error("{} and {} can't be used together: {source}", certificate.display(), private_key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The private key's file.
        private_key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The one in force will do, and this one will not.
    #[error("{}: {fault}", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// Why it will not do.
        fault: CertificateFault,
    },
}

/// What tells that a file has changed: for each its device, inode, length and time; `None` where
/// there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<Option<[i128; 4]>>);

impl Material {
    pub(super) fn load(config: &Config) -> Result<Self, LoadError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(client_verifier(config, &provider)?);
        let versions = match config.minimum_version {
            MinimumVersion::Tls12 => &[&TLS13, &TLS12][..],
            MinimumVersion::Tls13 => &[&TLS13][..],
        };
        let pair_error = |source| LoadError::Pair {
            certificate: config.certificate.clone(),
            private_key: config.private_key.clone(),
            source,
        };
        let chain = certificates(&config.certificate)?;
        let certificate = chain
            .first()
            .and_then(|leaf| CertificateFacts::of(leaf).ok());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(pair_error)?
            .with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>)
            .with_single_cert(chain, private_key(&config.private_key)?)
            .map_err(pair_error)?;
        server.alpn_protocols = vec![HTTP_2.to_vec()];
        // A resumed session would not show its certificate to a newer CRL.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        Ok(Self {
            server: Arc::new(server),
            certificate,
            verifier,
        })
    }

    /// Why clients would refuse the server's certificate.
    pub(super) fn fault(&self, now: SystemTime) -> Option<CertificateFault> {
        CertificateFault::of(self.certificate.as_ref()?, now)
    }

    /// Whether a client with this chain, leaf first, would be let in now.
    pub(super) fn admits(&self, chain: &[CertificateDer<'static>]) -> bool {
        match chain.split_first() {
            Some((leaf, intermediates)) => self
                .verifier
                .verify_client_cert(leaf, intermediates, UnixTime::now())
                .is_ok(),
            None => false,
        }
    }
}

impl Fingerprint {
    pub(super) fn of(config: &Config) -> Self {
        let fixed = [&config.certificate, &config.private_key, &config.client_ca];
        let one = |path: &PathBuf| {
            let found = path.metadata().ok()?;
            let time = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
            Some([
                found.dev().into(),
                found.ino().into(),
                found.size().into(),
                time,
            ])
        };
        Self(fixed.into_iter().chain(&config.crl).map(one).collect())
    }
}

fn client_verifier(config: &Config, provider: &Arc<CryptoProvider>) -> Result<Verifier, LoadError> {
    let content = |path: &Path, expected, reason: String| LoadError::Content {
        path: path.to_owned(),
        expected,
        reason,
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(&config.client_ca)? {
        roots
            .add(authority)
            .map_err(|error| content(&config.client_ca, CERTIFICATE, error.to_string()))?;
    }
    let roots = Arc::new(roots);
    let builder =
        || WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
    let mut lists = Vec::new();
    for path in &config.crl {
        let read = revocation_lists(path)?;
        // Alone first, since the error for all of them would not say whose it is.
        builder()
            .with_crls(read.iter().cloned())
            .build()
            .map_err(|error: VerifierBuilderError| content(path, CRL, error.to_string()))?;
        lists.extend(read);
    }
    let mut builder = builder();
    if !lists.is_empty() {
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    let chain = builder
        .build()
        .map_err(|error| content(&config.client_ca, CERTIFICATE, error.to_string()))?;
    Ok(Verifier::new(chain))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let (text, _) = read(path)?;
    all_pem(path, CERTIFICATE, CertificateDer::pem_slice_iter(&text))
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, LoadError> {
    let (content, _) = read(path)?;
    if content.first() == Some(&DER_SEQUENCE) {
        return Ok(vec![content.to_vec().into()]);
    }
    all_pem(
        path,
        CRL,
        CertificateRevocationListDer::pem_slice_iter(&content),
    )
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, LoadError> {
    let (text, metadata) = read(path)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(LoadError::Mode {
            path: path.to_owned(),
            mode,
        });
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| LoadError::Content {
        path: path.to_owned(),
        expected: "private key",
        reason: error.to_string(),
    })
}

/// Every section of one kind, of which there must be one at least.
fn all_pem<T>(
    path: &Path,
    expected: &'static str,
    sections: impl Iterator<Item = Result<T, rustls::pki_types::pem::Error>>,
) -> Result<Vec<T>, LoadError> {
    let content = |reason: String| LoadError::Content {
        path: path.to_owned(),
        expected,
        reason,
    };
    let found = sections
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(error.to_string()))?;
    if found.is_empty() {
        return Err(content("there is none in it".to_owned()));
    }
    Ok(found)
}

/// The content of a file, wiped on drop since it may be a key, and what the file was when read.
fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Metadata), LoadError> {
    let fail = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(LoadError::Form {
            path: path.to_owned(),
        });
    }
    // In one piece: a buffer that grew would leave parts of a key behind.
    let mut content = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.take(MAX_FILE)
        .read_to_end(&mut content)
        .map_err(fail)?;
    Ok((content, metadata))
}

pub(super) const HTTP_2: &[u8] = b"h2";
const CERTIFICATE: &str = "certificate";
const CRL: &str = "certificate revocation list";
const DER_SEQUENCE: u8 = 0x30;
/// More than any certificate or key; enough for a large CRL.
const MAX_FILE: u64 = 16 << 20;
