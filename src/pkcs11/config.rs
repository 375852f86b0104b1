//! The `[[tokens]]` section of the configuration.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};

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
    /// How many bytes they may have together.
    pub queue_bytes: usize,
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
    #[serde(deserialize_with = "absolute")]
    module: PathBuf,
    label: Option<String>,
    serial: Option<String>,
    #[serde(deserialize_with = "pin_source")]
    pin: PinSource,
    #[serde(default = "two", deserialize_with = "bounded::<64, _>")]
    workers: usize,
    #[serde(default = "one", deserialize_with = "bounded::<MOST_THREADS, _>")]
    threads: usize,
    #[serde(
        default = "default_queue",
        deserialize_with = "bounded::<1_000_000, _>"
    )]
    queue: usize,
    #[serde(
        default = "default_queue_bytes",
        deserialize_with = "bounded::<MOST_QUEUE_BYTES, _>"
    )]
    queue_bytes: usize,
    #[serde(default = "five", deserialize_with = "seconds")]
    operation_timeout_seconds: Duration,
    #[serde(default = "sixty", deserialize_with = "seconds")]
    create_timeout_seconds: Duration,
    #[serde(default = "thirty", deserialize_with = "seconds")]
    start_timeout_seconds: Duration,
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
        Ok(Self {
            name: raw.name,
            module: raw.module,
            label: raw.label,
            serial: raw.serial,
            pin: raw.pin,
            workers: raw.workers,
            threads: raw.threads,
            queue: raw.queue,
            queue_bytes: raw.queue_bytes,
            operation_timeout: raw.operation_timeout_seconds,
            create_timeout: raw.create_timeout_seconds,
            start_timeout: raw.start_timeout_seconds,
            verify_signatures: raw.verify_signatures,
            environment: raw.environment,
        })
    }
}

fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(D::Error::custom(format!(
            "it is {path:?}; expected an absolute path, since the loader looks for others where it likes"
        )))
    }
}

fn bounded<'de, const MOST: usize, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<usize, D::Error> {
    let value = i64::deserialize(deserializer)?;
    usize::try_from(value)
        .ok()
        .filter(|value| (1..=MOST).contains(value))
        .ok_or_else(|| D::Error::custom(format!("it is {value}; expected 1 to {MOST}")))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if (0.01..=3600.0).contains(&value) {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(D::Error::custom(format!(
            "it is {value}; expected 0.01 to 3600 seconds"
        )))
    }
}

/// Reads where the PIN is. What is there in place of that may be the PIN itself, so no error shows it.
fn pin_source<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PinSource, D::Error> {
    struct Source;
    impl<'de> Visitor<'de> for Source {
        type Value = PinSource;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(WHERE_A_PIN_IS)
        }

        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<PinSource, E> {
            Err(E::custom(WHERE_A_PIN_IS))
        }

        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<PinSource, E> {
            Err(E::custom(WHERE_A_PIN_IS))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PinSource, A::Error> {
            let wrong = || A::Error::custom(WHERE_A_PIN_IS);
            let source = match map.next_key::<String>()?.as_deref() {
                Some("file") => PinSource::File(map.next_value().map_err(|_| wrong())?),
                Some("credential") => PinSource::Credential(map.next_value().map_err(|_| wrong())?),
                Some("descriptor") => PinSource::Descriptor(map.next_value().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            };
            match map.next_key::<String>()? {
                None => Ok(source),
                Some(_) => Err(wrong()),
            }
        }
    }
    deserializer.deserialize_any(Source)
}

const WHERE_A_PIN_IS: &str = "a PIN itself is never in the configuration; expected where it is read from, one of { file = \"PATH\" }, { credential = \"NAME\" } and { descriptor = NUMBER }";
const MOST_THREADS: usize = MAX_LANES - 1;
const MOST_QUEUE_BYTES: usize = 1 << 36;

const fn one() -> usize {
    1
}
const fn two() -> usize {
    2
}
const fn default_queue() -> usize {
    1024
}
const fn default_queue_bytes() -> usize {
    64 << 20
}
const fn five() -> Duration {
    Duration::from_secs(5)
}
const fn thirty() -> Duration {
    Duration::from_secs(30)
}
const fn sixty() -> Duration {
    Duration::from_secs(60)
}
const fn yes() -> bool {
    true
}
