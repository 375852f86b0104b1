//! The report as people read it: plain text in columns.

use std::fmt;

use super::{
    AlgorithmReport, AuditReport, KeyReport, Level, PartnerKeyReport, PartnerReport, Report,
    StoreReport, TokenReport, VersionReport,
};
use crate::{key::Custody, pkcs11::Attributes};

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.tokens {
            writeln!(formatter, "{token}")?;
        }
        if !self.partners.is_empty() {
            partners(&self.partners, formatter)?;
        }
        let built_in = self.schemes - self.schemes_of_files;
        writeln!(
            formatter,
            "SCHEMES: {built_in} built in, {} from files\n",
            self.schemes_of_files
        )?;
        if let Some(log) = &self.audit {
            audit(log, formatter)?;
        }
        if let Some(found) = &self.store {
            store(found, formatter)?;
        }
        for finding in &self.findings {
            writeln!(formatter, "{finding}")?;
        }
        let count = |level| {
            let of = |finding: &&super::Finding| finding.level == level;
            self.findings.iter().filter(of).count()
        };
        match (count(Level::Error), count(Level::Warning)) {
            (0, 0) => writeln!(formatter, "all is well"),
            (errors, warnings) => writeln!(
                formatter,
                "{errors} error{}, {warnings} warning{}",
                plural(errors),
                plural(warnings)
            ),
        }
    }
}

impl fmt::Display for TokenReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.ready { "ready" } else { "not available" };
        writeln!(formatter, "TOKEN {}: {state}", self.name)?;
        let mut line = |name: &str, value: &str| writeln!(formatter, "  {name:10} {value}");
        line("module", &self.module)?;
        if !self.ready {
            return Ok(());
        }
        line("label", &self.label)?;
        line("serial", &self.serial)?;
        line("model", &format!("{} {}", self.manufacturer, self.model))?;
        line("firmware", &self.firmware)?;
        match self.max_sessions {
            Some(most) => line("sessions", &format!("at most {most}"))?,
            None => line("sessions", "no limit told")?,
        }
        let pin = if self.pin_count_low {
            "accepted; before that a wrong one was given"
        } else {
            "accepted"
        };
        line("PIN", pin)?;
        columns(
            formatter,
            ["ALGORITHM", "WITH KEYS OF TYPE", "LACKS"],
            self.algorithms.iter().map(AlgorithmReport::row),
        )?;
        let versions = self.keys.iter().flat_map(|key| {
            let row = move |version| key.row(version);
            key.versions.iter().map(row)
        });
        columns(
            formatter,
            ["KEY", "TYPE", "FOR", "ALGORITHMS", "CUSTODY"],
            versions,
        )?;
        let not_served = self
            .not_served
            .iter()
            .map(|one| [one.label.clone(), one.why.clone()]);
        columns(formatter, ["NOT SERVED", "BECAUSE"], not_served)
    }
}

fn partners(partners: &[PartnerReport], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    for partner in partners {
        write!(formatter, "PARTNER {}: {}", partner.name, partner.title)?;
        writeln!(formatter)?;
        let row = |key: &PartnerKeyReport| {
            let state = match key.problem {
                None => "ready",
                Some(_) => "NOT READY",
            };
            [
                key.scheme.clone(),
                key.role.clone(),
                key.key.clone(),
                state.to_owned(),
            ]
        };
        columns(
            formatter,
            ["SCHEME", "ROLE", "KEY", "STATE"],
            partner.keys.iter().map(row),
        )?;
        writeln!(formatter)?;
    }
    Ok(())
}

fn audit(log: &AuditReport, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let state = if log.whole { "whole" } else { "NOT WHOLE" };
    writeln!(formatter, "AUDIT LOG {}: {state}", log.directory)?;
    let mut line = |name: &str, value: &str| writeln!(formatter, "  {name:10} {value}");
    line("origin", &log.origin)?;
    line("vkey", log.vkey.as_deref().unwrap_or("none yet"))?;
    let removed = match log.first {
        0 => String::new(),
        first => format!(", {first} older ones removed"),
    };
    line("records", &format!("{}{removed}", log.records))?;
    line("checkpoint", &format!("covers the first {}", log.covered))?;
    writeln!(formatter)
}

fn store(store: &StoreReport, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (location, known) = (&store.location, store.known);
    let state = match store.schema {
        None => "not there yet; the daemon makes it".to_owned(),
        Some(schema) if schema == known => format!("schema {schema}"),
        Some(schema) => format!("schema {schema}; the daemon brings it to {known}"),
    };
    writeln!(formatter, "STORE {location}: {state}\n")
}

impl AlgorithmReport {
    fn row(&self) -> [String; 3] {
        let types = match self.key_types.as_slice() {
            [] => "none".to_owned(),
            types => types.join(" "),
        };
        [self.algorithm.to_string(), types, self.missing.join("; ")]
    }
}

impl KeyReport {
    fn row(&self, version: &VersionReport) -> [String; 5] {
        let algorithms: Vec<_> = self.algorithms.iter().map(ToString::to_string).collect();
        [
            format!("{}/{}", self.name, version.version),
            self.key_type.clone(),
            self.purpose.clone(),
            algorithms.join(" "),
            if self.custody == Custody::WorkerReadable.name() {
                format!("WORKER-READABLE; {}", custody(&version.attributes))
            } else {
                custody(&version.attributes)
            },
        ]
    }
}

/// Where a key was made and whether it can get out, as far as the token says; what is bad is in capitals.
fn custody(attributes: &Attributes) -> String {
    let words = [
        match attributes.local {
            Some(true) => "made in the token",
            Some(false) => "imported",
            None => "origin not told",
        },
        match (attributes.never_extractable, attributes.extractable) {
            (_, Some(true)) => "EXTRACTABLE",
            (Some(true), _) => "never extractable",
            (_, Some(false)) => "not extractable now",
            (_, None) => "extractable or not is not told",
        },
        match (attributes.always_sensitive, attributes.sensitive) {
            (_, Some(false)) => "NOT SENSITIVE",
            (Some(true), _) => "always sensitive",
            (_, Some(true)) => "sensitive now",
            (_, None) => "sensitive or not is not told",
        },
    ];
    words.join(", ")
}

/// Nothing at all without rows.
fn columns<const N: usize>(
    formatter: &mut fmt::Formatter<'_>,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> fmt::Result {
    let mut all = vec![head.map(str::to_owned)];
    all.extend(rows);
    if all.len() == 1 {
        return Ok(());
    }
    let widths: [usize; N] =
        std::array::from_fn(|at| all.iter().map(|row| row[at].len()).max().unwrap_or(0));
    writeln!(formatter)?;
    for row in all {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("  {cell:width$}"));
        }
        writeln!(formatter, "{}", line.trim_end())?;
    }
    Ok(())
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
