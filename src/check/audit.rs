//! How the audit log is: where, whose, how large, and whether it is what was signed.

use std::{fs, io};

use serde::Serialize;

use super::Report;
use crate::{
    audit::{self, NotGood, Reader, Verification, Vkey},
    signer::{InputKeyError, Signer},
};

/// The audit log.
#[derive(Debug, Serialize)]
pub struct AuditReport {
    /// Where it is.
    pub directory: String,
    /// Whose it is.
    pub origin: String,
    /// The public key that verifies its checkpoints, as it lies beside them.
    pub vkey: Option<String>,
    /// The number of the first record that is there.
    pub first: u64,
    /// How many records are there.
    pub records: u64,
    /// How many records from the very first on the last checkpoint covers.
    pub covered: u64,
    /// Whether every record follows the one before it, and is what was signed.
    pub whole: bool,
}

impl Report {
    /// Reads all of it. A log that is not there yet is begun by the daemon.
    pub(super) fn look_at_audit(&mut self, config: &audit::Config) {
        if !config.enabled {
            self.warning(
                "audit.enabled",
                "it is false: nothing tells what was signed for whom".to_owned(),
            );
            return;
        }
        let directory = &config.directory;
        if let Err(error) = fs::read_dir(directory.join("log")) {
            if error.kind() != io::ErrorKind::NotFound {
                self.error("audit log", format!("{}: {error}", directory.display()));
            }
            return;
        }
        let vkey = fs::read_to_string(directory.join("vkey")).ok();
        let vkey: Option<Vkey> = vkey.and_then(|text| text.trim().parse().ok());
        let mut report = AuditReport {
            directory: directory.display().to_string(),
            origin: vkey
                .as_ref()
                .map(|vkey| vkey.name().to_string())
                .unwrap_or_default(),
            vkey: vkey.as_ref().map(ToString::to_string),
            first: 0,
            records: 0,
            covered: 0,
            whole: false,
        };
        if let (Some(wanted), Some(vkey)) = (&config.origin, &vkey)
            && wanted != vkey.name()
        {
            let text = format!(
                "it is {wanted}, and the log that is there is {}'s",
                vkey.name()
            );
            self.error("audit.origin", text);
        }
        let signed = Reader::open(directory).is_ok_and(|reader| reader.checkpoint().is_ok());
        // Before the first checkpoint there is nothing that a key could vouch for.
        let verification = Verification::new(directory, vkey.filter(|_| signed));
        match verification.run() {
            Ok(found) => {
                report.first = found.first;
                report.records = found.records;
                report.covered = found.covered;
                report.whole = true;
            }
            Err(NotGood::Record(fault)) => {
                report.records = fault.record;
                self.error("audit log", format!("it is not whole: {fault}"));
            }
            Err(other) => self.error("audit log", other.to_string()),
        }
        self.audit = Some(report);
    }

    /// The key that hashes inputs, if one is configured.
    pub(super) fn look_for_input_key(&mut self, config: &audit::Config, signer: &Signer) {
        let Some(name) = config.input_hash_key.as_ref().filter(|_| config.enabled) else {
            return;
        };
        match signer.input_key_holder(name) {
            // That its token is down is said already.
            Ok(_) | Err(InputKeyError::Token(_)) => {}
            Err(error) => self.error("audit.input_hash_key", error.to_string()),
        }
    }
}
