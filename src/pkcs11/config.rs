//! The `[[tokens]]` section of the configuration.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{pin::PinSource, protocol::Selector, worker::MAX_LANES};
use crate::key::KeyName;

/// One token, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Config {
    /// What it is called in this configuration and in replies.
    pub name: KeyName,
    /// The vendor's PKCS#11 module.
    pub module: PathBuf,
    /// The token's label, if it is chosen by that.
    pub label: Option<String>,
    /// The token's serial number, if it is chosen by that.
    pub serial: Option<String>,
    /// Where the PIN is read from.
    pub pin: PinSource,
    /// How many worker processes.
    pub workers: usize,
    /// How many threads in each, with a session each.
    pub threads: usize,
    /// How many jobs may wait for a thread.
    pub queue: usize,
    /// After so long an operation is taken to hang, and its worker is killed.
    pub operation_timeout: Duration,
    /// The same for making a key.
    pub create_timeout: Duration,
    /// The same for a worker's start, log-in and listing.
    pub start_timeout: Duration,
    /// Whether every signature is verified with the public key before it leaves.
    pub verify_signatures: bool,
    /// Environment variables of the workers, such as `SOFTHSM2_CONF`.
    pub environment: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    name: KeyName,
    module: PathBuf,
    label: Option<String>,
    serial: Option<String>,
    pin: PinSource,
    #[serde(default = "two")]
    workers: usize,
    #[serde(default = "one")]
    threads: usize,
    #[serde(default = "default_queue")]
    queue: usize,
    #[serde(default = "five")]
    operation_timeout_seconds: f64,
    #[serde(default = "sixty")]
    create_timeout_seconds: f64,
    #[serde(default = "thirty")]
    start_timeout_seconds: f64,
    #[serde(default = "yes")]
    verify_signatures: bool,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

impl Config {
    /// Which token this is.
    pub(super) fn selector(&self) -> Selector {
        Selector {
            label: self.label.clone(),
            serial: self.serial.clone(),
        }
    }
}

impl TryFrom<Unchecked> for Config {
    type Error = String;

    fn try_from(raw: Unchecked) -> Result<Self, String> {
        if raw.label.is_none() && raw.serial.is_none() {
            return Err(format!(
                "token {:?}: expected `label` or `serial`, so that it is known which token is meant",
                raw.name.as_str()
            ));
        }
        if !raw.module.is_absolute() {
            return Err(format!(
                "`module` is {:?}; expected an absolute path",
                raw.module
            ));
        }
        let bounded = |name, value: usize, most| {
            if (1..=most).contains(&value) {
                Ok(value)
            } else {
                Err(format!("`{name}` is {value}; expected 1 to {most}"))
            }
        };
        let seconds = |name, value: f64| {
            if (0.01..=3600.0).contains(&value) {
                Ok(Duration::from_secs_f64(value))
            } else {
                Err(format!("`{name}` is {value}; expected 0.01 to 3600"))
            }
        };
        Ok(Self {
            workers: bounded("workers", raw.workers, 64)?,
            threads: bounded("threads", raw.threads, MAX_LANES - 1)?,
            queue: bounded("queue", raw.queue, 1_000_000)?,
            operation_timeout: seconds("operation_timeout_seconds", raw.operation_timeout_seconds)?,
            create_timeout: seconds("create_timeout_seconds", raw.create_timeout_seconds)?,
            start_timeout: seconds("start_timeout_seconds", raw.start_timeout_seconds)?,
            name: raw.name,
            module: raw.module,
            label: raw.label,
            serial: raw.serial,
            pin: raw.pin,
            verify_signatures: raw.verify_signatures,
            environment: raw.environment,
        })
    }
}

const fn one() -> usize {
    1
}
const fn two() -> usize {
    2
}
const fn default_queue() -> usize {
    1024
}
const fn five() -> f64 {
    5.0
}
const fn thirty() -> f64 {
    30.0
}
const fn sixty() -> f64 {
    60.0
}
const fn yes() -> bool {
    true
}
