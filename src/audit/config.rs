//! The `[audit]` section of the configuration.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    audit::{Origin, Schedule},
    key::KeyName,
};

pub use super::sink::SinkConfig;

/// Where the log is, what signs it, how long it is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether there is a log. Without one nothing tells what was signed for whom.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Where the log is; what is relative is below the state directory.
    #[serde(default = "default_directory")]
    pub directory: PathBuf,
    /// Whose log it is: the first line of its checkpoints. By default that of the log which is there, and of a new
    /// one the name of the host.
    pub origin: Option<Origin>,
    /// When a record counts as written.
    #[serde(default)]
    pub durability: Durability,
    /// The token whose Ed25519 key signs checkpoints; by default the first.
    pub checkpoint_token: Option<KeyName>,
    /// The key of a token with which hashes of inputs are made; without it they are plain SHA-256.
    pub input_hash_key: Option<KeyName>,
    /// A checkpoint at the latest after so long, if there are new records.
    #[serde(default = "ten")]
    pub checkpoint_seconds: u32,
    /// A checkpoint after so many new records.
    #[serde(default = "ten_thousand")]
    pub checkpoint_records: u32,
    /// A segment is ended when it would become larger, or when the day does.
    #[serde(default = "sixty_four_mebibytes")]
    pub segment_bytes: u64,
    /// How long records are kept; 0 is for ever.
    #[serde(default)]
    pub retention_days: u32,
    /// Where checkpoints are sent.
    #[serde(default)]
    pub sinks: Vec<SinkConfig>,
}

/// When a record counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// When the disk has it.
    #[default]
    Fsync,
    /// When the kernel has it: it survives the end of the daemon, not of the machine.
    Os,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            directory: default_directory(),
            origin: None,
            durability: Durability::Fsync,
            checkpoint_token: None,
            input_hash_key: None,
            checkpoint_seconds: ten(),
            checkpoint_records: ten_thousand(),
            segment_bytes: sixty_four_mebibytes(),
            retention_days: 0,
            sinks: Vec::new(),
        }
    }
}

impl Config {
    /// With an absolute path.
    #[must_use]
    pub fn resolved(mut self, state_directory: &Path) -> Self {
        self.directory = state_directory.join(&self.directory);
        self
    }

    /// What one value alone can't tell: the key at fault, and what is wrong.
    ///
    /// # Errors
    ///
    /// The first fault.
    pub fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, message: String| Err((format!("audit.{key}"), message));
        if self.checkpoint_seconds == 0 {
            return wrong(
                "checkpoint_seconds",
                "it is 0; expected 1 or more".to_owned(),
            );
        }
        if self.checkpoint_records == 0 {
            return wrong(
                "checkpoint_records",
                "it is 0; expected 1 or more".to_owned(),
            );
        }
        if !(MEBIBYTE..=1 << 40).contains(&self.segment_bytes) {
            return wrong(
                "segment_bytes",
                format!(
                    "it is {}; expected 1048576 (1 MiB) or more",
                    self.segment_bytes
                ),
            );
        }
        for (index, sink) in self.sinks.iter().enumerate() {
            if let Err(message) = sink.check() {
                return wrong(&format!("sinks[{index}]"), message);
            }
        }
        Ok(())
    }

    /// When checkpoints are made, and how long records are kept.
    pub fn schedule(&self) -> Schedule {
        let days = (self.retention_days > 0).then(|| u64::from(self.retention_days));
        Schedule {
            every: Duration::from_secs(self.checkpoint_seconds.into()),
            records: self.checkpoint_records.into(),
            retention: days.map(|days| Duration::from_secs(days * 86_400)),
        }
    }
}

const MEBIBYTE: u64 = 1 << 20;

fn default_directory() -> PathBuf {
    "audit".into()
}
const fn yes() -> bool {
    true
}
const fn ten() -> u32 {
    10
}
const fn ten_thousand() -> u32 {
    10_000
}
const fn sixty_four_mebibytes() -> u64 {
    64 << 20
}
