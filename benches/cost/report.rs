//! The figures, as a table for people and as JSON for programs.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

use crate::sample::Spread;

/// All figures of a run.
#[derive(Serialize)]
pub(crate) struct Report {
    cores: usize,
    rows: Vec<Row>,
}

/// One figure, and what it is made of.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) target: Option<Target>,
    pub(crate) unit: &'static str,
    pub(crate) value: Spread,
    /// Of the bare token: operations a second, or microseconds.
    pub(crate) bare: Option<Spread>,
    /// Of the daemon, likewise.
    pub(crate) daemon: Option<Spread>,
    pub(crate) cpu: Option<Cpu>,
    pub(crate) note: String,
}

/// Microseconds of CPU, user and system, for one operation.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Cpu {
    pub(crate) bare: f64,
    pub(crate) daemon: f64,
    pub(crate) workers: f64,
    pub(crate) client: f64,
}

/// What a figure must be.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    Under(f64),
}

impl Report {
    pub(crate) const fn new(cores: usize) -> Self {
        Self {
            cores,
            rows: Vec::new(),
        }
    }

    /// Adds a figure, and tells whoever waits that it is there.
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("{}: {} {}", row.name, row.value, row.unit);
        self.rows.push(row);
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data")
    }
}

impl Row {
    /// A figure that has no counterpart with the bare token.
    pub(crate) fn single(name: &str, target: Target, unit: &'static str, values: Vec<f64>) -> Self {
        Self {
            name: name.to_owned(),
            target: Some(target),
            unit,
            value: Spread::of(values),
            bare: None,
            daemon: None,
            cpu: None,
            note: String::new(),
        }
    }

    fn cells(&self) -> [String; 8] {
        let number = |spread: &Option<Spread>| {
            spread.map_or_else(String::new, |spread| format!("{:.0}", spread.median))
        };
        [
            self.name.clone(),
            self.target
                .map_or_else(String::new, |target| target.to_string()),
            format!("{} {}", self.value, self.unit),
            match self.target {
                None => "",
                Some(target) if target.is_met(self.value.median) => "met",
                Some(_) => "MISSED",
            }
            .to_owned(),
            number(&self.bare),
            number(&self.daemon),
            self.cpu.map_or_else(String::new, |cpu| cpu.to_string()),
            self.note.clone(),
        ]
    }
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Under(limit) => value < limit,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(formatter, ">= {least:.2}"),
            Self::AtMost(most) => write!(formatter, "{most}"),
            Self::Under(limit) => write!(formatter, "< {limit}"),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.median < 10.0 { 2 } else { 0 };
        write!(formatter, "{:.digits$}", self.median)?;
        if self.least < self.most {
            write!(
                formatter,
                " ({:.digits$}-{:.digits$})",
                self.least, self.most
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bare,
            daemon,
            workers,
            client,
        } = self;
        write!(
            formatter,
            "{bare:.0}; {daemon:.0} + {workers:.0} + {client:.0}"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header([
            "",
            "target",
            "measured (least-most)",
            "",
            "bare",
            "daemon",
            "CPU us an operation",
            "",
        ]);
        for row in &self.rows {
            table.add_row(row.cells());
        }
        for column in [4, 5, 6] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(formatter, "{table}")?;
        write!(
            formatter,
            "{} cores, shared by token, daemon and client. bare, daemon: operations a second, or p50 in us. CPU: of the bare token; of daemon + workers + client.",
            self.cores
        )
    }
}
