//! Where results go: exact bytes, text, JSON or a table, and never binary onto a terminal.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::trouble::Trouble;

/// The process's streams, or a test's.
pub(crate) struct Streams {
    /// Taken by the one who reads it, so that two arguments can't both mean stdin.
    pub(crate) input: Option<Box<dyn Read + Send>>,
    pub(crate) output: Box<dyn Write>,
    pub(crate) error: Box<dyn Write>,
    pub(crate) output_is_terminal: bool,
}

/// Where and how the bytes of a result are written.
#[derive(Args)]
pub(crate) struct BytesOutput {
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write base64 (RFC 4648 section 4, padded) and a line end instead of bytes
    #[arg(long, conflicts_with = "hex")]
    pub(crate) base64: bool,
    /// Write lower-case hexadecimal and a line end instead of bytes
    #[arg(long)]
    pub(crate) hex: bool,
}

impl BytesOutput {
    /// Asked before the call: a signature that can't be shown should not be made.
    pub(crate) fn check(&self, streams: &Streams, json: bool) -> Result<(), Trouble> {
        let text = self.base64 || self.hex || json || self.out.is_some();
        if streams.output_is_terminal && !text {
            return Err(Trouble::Usage(
                "the result is binary and stdout is a terminal: use --base64, --hex or --out FILE"
                    .into(),
            ));
        }
        Ok(())
    }

    /// Beside JSON on stdout, the file gets what it would get without.
    pub(crate) fn write_file(&self, streams: &mut Streams, bytes: &[u8]) -> Result<(), Trouble> {
        if self.out.is_none() {
            return Ok(());
        }
        self.write(streams, bytes)
    }

    pub(crate) fn write(&self, streams: &mut Streams, bytes: &[u8]) -> Result<(), Trouble> {
        let text = if self.base64 {
            STANDARD.encode(bytes) + "\n"
        } else if self.hex {
            hex::encode(bytes) + "\n"
        } else {
            return streams.write(self.out.as_deref(), bytes);
        };
        streams.write(self.out.as_deref(), text.as_bytes())
    }
}

impl Streams {
    /// A line for people.
    pub(crate) fn tell(&mut self, line: &str) {
        // Who closed stderr does not want to hear it.
        let _ = writeln!(self.error, "{line}");
    }

    /// Refuses to write bytes onto a terminal where no text form can be asked for.
    pub(crate) fn check_binary(&self, path: Option<&Path>, json: bool) -> Result<(), Trouble> {
        if self.output_is_terminal && path.is_none() && !json {
            return Err(Trouble::Usage(
                "the result is binary and stdout is a terminal: use --out FILE or a pipe".into(),
            ));
        }
        Ok(())
    }

    /// Exact bytes, to the file or to stdout.
    pub(crate) fn write(&mut self, path: Option<&Path>, bytes: &[u8]) -> Result<(), Trouble> {
        match path {
            Some(path) => write_file(path, bytes),
            None => self.output.write_all(bytes).map_err(stdout),
        }
    }

    /// The file gets beside JSON on stdout what it would get without.
    pub(crate) fn write_beside(&self, path: Option<&Path>, bytes: &[u8]) -> Result<(), Trouble> {
        match path {
            Some(path) => write_file(path, bytes),
            None => Ok(()),
        }
    }

    /// Bytes that are mostly text, such as a payload: shown on a terminal only if they can't command it.
    pub(crate) fn write_content(
        &mut self,
        path: Option<&Path>,
        bytes: &[u8],
    ) -> Result<(), Trouble> {
        let harmless = str::from_utf8(bytes).is_ok_and(|text| {
            text.chars()
                .all(|one| !one.is_control() || one == '\n' || one == '\t' || one == '\r')
        });
        if path.is_none() && self.output_is_terminal {
            if !harmless {
                return Err(Trouble::Usage(
                    "the content is binary and stdout is a terminal: use --out FILE or a pipe"
                        .into(),
                ));
            }
            // On a terminal alone, so that the prompt starts on its own line.
            return self.line(str::from_utf8(bytes).unwrap_or_default());
        }
        self.write(path, bytes)
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<(), Trouble> {
        writeln!(self.output, "{}", text.trim_end_matches('\n')).map_err(stdout)
    }

    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Trouble> {
        if self.output_is_terminal {
            return self.line(&format!("{value:#}"));
        }
        self.line(&value.to_string())
    }

    /// A table on a terminal; elsewhere one line a row, cells divided by tabs, without a header.
    pub(crate) fn table(&mut self, header: &[&str], rows: Vec<Vec<String>>) -> Result<(), Trouble> {
        if !self.output_is_terminal {
            return rows.iter().try_for_each(|row| self.line(&row.join("\t")));
        }
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_header(header)
            .add_rows(rows);
        self.line(&table.to_string())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Trouble> {
        self.output.flush().map_err(stdout)
    }
}

/// Text of others without control characters: they could rewrite what the terminal shows.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|one| {
            let bad = one.is_control() && one != '\n';
            let escaped = bad.then(|| one.escape_default());
            escaped.into_iter().flatten().chain((!bad).then_some(one))
        })
        .collect()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    fs::write(path, bytes).map_err(|source| Trouble::File {
        what: path.to_owned(),
        source,
    })
}

fn stdout(source: std::io::Error) -> Trouble {
    Trouble::File {
        what: "stdout".into(),
        source,
    }
}
