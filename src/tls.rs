//! Mutual TLS at the door: who connects is known, or does not get in.
//!
//! This room accepts connections itself, because what serves the requests can neither check revocation
//! nor take up new certificates. Handshakes run in tasks of their own under a time limit, so a peer
//! that says nothing holds up nobody. There is no resumption and no early data: every connection has
//! shown its certificate to the rules in force.
//!
//! OCSP is not asked: revocation is by CRL files, or by certificates that do not live long.

use std::{
    num::{NonZeroU32, NonZeroU64},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use serde::Deserialize;
use tokio::sync::Semaphore;

pub use accept::Incoming;
pub use connection::{Connection, Peer};
pub use material::LoadError;
pub use validity::{CertificateFault, Span};

use live::Live;
use material::{Fingerprint, Material};

mod accept;
mod connection;
mod live;
mod material;
pub mod outgoing;
mod validity;
mod verifier;

/// The `[tls]` part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server's certificate and its intermediates, PEM, leaf first.
    pub certificate: PathBuf,
    /// The server's private key, PEM; only its owner may read the file.
    pub private_key: PathBuf,
    /// The authorities whose client certificates are accepted, PEM. The system's own are never used.
    pub client_ca: PathBuf,
    /// Certificate revocation lists, PEM or DER. Default: none, and nothing is checked for revocation.
    /// If there is one, there must be one, not expired, for every authority of a client's chain.
    #[serde(default)]
    pub crl: Vec<PathBuf>,
    /// The lowest protocol version that is spoken. Default: `"1.3"`.
    #[serde(default)]
    pub minimum_version: MinimumVersion,
    /// How long a handshake may take, in seconds. Default: 5.
    #[serde(
        rename = "handshake_timeout_seconds",
        default = "default_handshake_timeout"
    )]
    pub handshake_timeout: NonZeroU64,
    /// How many handshakes are made at a time; further peers wait in the listener's queue.
    /// Default: 256.
    #[serde(default = "default_max_handshakes")]
    pub max_handshakes: NonZeroU32,
    /// How many connections there may be, handshakes included; further ones are closed before a byte
    /// is read. Default: 1024.
    #[serde(default = "default_max_connections")]
    pub max_connections: NonZeroU32,
    /// How often the files are looked at for changes, in seconds. Default: 10.
    #[serde(
        rename = "reload_interval_seconds",
        default = "default_reload_interval"
    )]
    pub reload_interval: NonZeroU64,
}

/// The lowest protocol version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum MinimumVersion {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 alone.
    #[default]
    #[serde(rename = "1.3")]
    Tls13,
}

/// What connections are accepted with: the certificates in force, the connections there are, and
/// the limits.
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    material: ArcSwap<Material>,
    /// What the files looked like when they were last read, well or badly.
    seen: Mutex<Fingerprint>,
    /// When to read them again although nobody has changed them: when a certificate that came too early is valid.
    again: Mutex<Option<SystemTime>>,
    /// One reload at a time: the last to finish would otherwise win, not the last to read.
    reloading: Mutex<()>,
    live: Arc<Live>,
    slots: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    counters: Arc<Counters>,
}

/// What has happened at the door, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    handshake_failures: AtomicU64,
    shed: AtomicU64,
    active: AtomicU64,
}

impl Endpoint {
    /// Reads all the files; blocks while it does.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says which file, and why.
    pub fn load(config: Config) -> Result<Arc<Self>, LoadError> {
        let seen = Fingerprint::of(&config);
        let material = Material::load(&config)?;
        let permits = |count: NonZeroU32| Arc::new(Semaphore::new(count.get() as usize));
        Ok(Arc::new(Self {
            material: ArcSwap::from_pointee(material),
            seen: Mutex::new(seen),
            again: Mutex::default(),
            reloading: Mutex::new(()),
            live: Arc::default(),
            slots: permits(config.max_connections),
            handshakes: permits(config.max_handshakes),
            counters: Arc::default(),
            config,
        }))
    }

    /// Whether a file has changed since all were last read; blocks while it looks.
    ///
    /// After a reload that failed this is false until somebody changes a file again, or until a certificate is valid
    /// that was not yet.
    pub fn changed(&self) -> bool {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        if again.take_if(|at| *at <= SystemTime::now()).is_some() {
            return true;
        }
        let now = Fingerprint::of(&self.config);
        now != *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all the files again and puts them in force, then closes the connections whose
    /// certificates no longer pass; blocks while it does. Returns how many were closed.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says which file, and why; then all stays as it was. So it does if clients would refuse the new
    /// certificate and take the old one.
    pub fn reload(&self) -> Result<usize, LoadError> {
        let _alone = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Before reading: what changes meanwhile is read again the next time.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Fingerprint::of(&self.config);
        let material = Material::load(&self.config)?;
        let now = SystemTime::now();
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        *again = None;
        if let (Some(fault), None) = (material.fault(now), self.certificate_fault()) {
            if matches!(fault, CertificateFault::NotYetValid(_)) {
                *again = material.certificate.map(|facts| facts.not_before);
            }
            let path = self.config.certificate.clone();
            return Err(LoadError::Certificate { path, fault });
        }
        drop(again);
        self.material.store(Arc::new(material));
        Ok(self.recheck())
    }

    /// Closes the connections whose certificates do not pass now, because they or a CRL have expired
    /// or because the rules have changed. Returns how many were closed.
    pub fn recheck(&self) -> usize {
        let material = self.material.load_full();
        self.live.close_unless(|chain| material.admits(chain))
    }

    /// What has happened so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// When the server's certificate in force expires, in seconds since 1970, if that can be read.
    pub fn certificate_not_after(&self) -> Option<u64> {
        let at = self.material.load().certificate?.not_after;
        Some(at.duration_since(UNIX_EPOCH).ok()?.as_secs())
    }

    /// Why clients refuse the server's certificate in force, if they do.
    pub fn certificate_fault(&self) -> Option<CertificateFault> {
        self.material.load().fault(SystemTime::now())
    }

    /// How long clients will go on taking it, if that can be read.
    pub fn certificate_expires_in(&self) -> Option<Duration> {
        let at = self.material.load().certificate?.not_after;
        at.duration_since(SystemTime::now()).ok()
    }

    /// How often to ask [`Self::changed`].
    pub const fn reload_interval(&self) -> Duration {
        Duration::from_secs(self.config.reload_interval.get())
    }
}

impl Counters {
    /// Connections whose handshake has succeeded.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections whose handshake has failed or taken too long.
    pub fn handshake_failures(&self) -> u64 {
        self.handshake_failures.load(Ordering::Relaxed)
    }

    /// Connections that were closed unread because there were too many.
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// Connections that there are now, after their handshake.
    pub fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }
}

const fn default_handshake_timeout() -> NonZeroU64 {
    NonZeroU64::new(5).expect("5 is not 0")
}

const fn default_max_handshakes() -> NonZeroU32 {
    NonZeroU32::new(256).expect("256 is not 0")
}

const fn default_max_connections() -> NonZeroU32 {
    NonZeroU32::new(1024).expect("1024 is not 0")
}

const fn default_reload_interval() -> NonZeroU64 {
    NonZeroU64::new(10).expect("10 is not 0")
}

#[cfg(test)]
mod tests;
