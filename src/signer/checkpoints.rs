//! What is known of the audit log's checkpoints, for those who show it, and how long records take.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::audit::Vkey;

/// When checkpoints were signed, by which key, and how often that failed.
#[derive(Debug)]
pub struct Checkpoints {
    vkey: OnceLock<Vkey>,
    begun: Instant,
    /// Milliseconds after `begun`, plus one; 0 if none was signed yet.
    last: AtomicU64,
    failed: AtomicU64,
}

/// How long calls waited for their records to be durable.
#[derive(Debug, Default)]
pub struct Waits {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self {
            vkey: OnceLock::new(),
            begun: Instant::now(),
            last: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }
}

impl Checkpoints {
    /// From now on this key signs them.
    pub fn introduce(&self, vkey: Vkey) {
        // There is one for the life of the daemon.
        let _ = self.vkey.set(vkey);
    }

    /// One was signed, or could not be.
    pub fn signed(&self, well: bool) {
        if well {
            let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.last.store(now.saturating_add(1), Ordering::Relaxed);
        } else {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The public key, once it is known.
    pub fn vkey(&self) -> Option<&Vkey> {
        self.vkey.get()
    }

    /// How long ago the last one was signed; without one, how long the daemon has run.
    pub fn age(&self) -> Duration {
        let last = self.last.load(Ordering::Relaxed).saturating_sub(1);
        self.begun
            .elapsed()
            .saturating_sub(Duration::from_millis(last))
    }

    /// How many could not be signed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Waits {
    pub(super) fn count(&self, took: Duration) {
        let bucket = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound);
        self.buckets[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(took, Ordering::Relaxed);
    }

    /// Upper bounds in seconds, and how many fell below each and above the one before; the last is infinity.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|one| one.load(Ordering::Relaxed));
        bounds.zip(counts)
    }

    /// All of them together.
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.microseconds.load(Ordering::Relaxed))
    }
}

/// Seconds. A disk with a cache that survives power takes 0.1 ms, an ordinary one a few, a sick one seconds.
const BOUNDS: [f64; 11] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0,
];
