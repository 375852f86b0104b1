//! What is logged, and how.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// `[log]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How lines are written; unset, as people like them on a terminal, else as JSON.
    pub format: Option<Format>,
    /// What is logged, such as `info` or `chancery=debug`; unset, `info`.
    pub filter: Option<String>,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Sends log lines to standard error. To be called once, before anything else.
///
/// # Errors
///
/// If the filter can't be read.
pub fn start(config: &Config) -> Result<(), String> {
    let filter = config.filter.as_deref().unwrap_or("info");
    // The PKCS#11 library reports every mechanism that it has no name for as an error.
    let filter = &format!("{filter},cryptoki=off");
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        format!("log.filter {filter:?} can't be read: {error}; expected such as \"info\"")
    })?;
    let format = config.format.unwrap_or_else(|| {
        if std::io::stderr().is_terminal() {
            Format::Text
        } else {
            Format::Json
        }
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match format {
        Format::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .init(),
        Format::Text => builder.init(),
    }
    Ok(())
}
