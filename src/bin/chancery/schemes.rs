//! `chancery schemes`: scheme files, tested and tried without a daemon.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use chancery::scheme::{Bindings, KeyFacts, Message, Scheme, Step, UnixMilliseconds};

use crate::{Session, trouble::Trouble};

mod known;

#[derive(Subcommand)]
pub(crate) enum SchemesCommand {
    List(known::List),
    Show(known::Show),
    Test(Test),
    Explain(Explain),
}

/// Check scheme files and run their test vectors
///
/// Exits with 0 if all of them pass, with 1 if one does not.
#[derive(Args)]
#[command(after_help = "Examples:\n  chancery schemes test config/schemes/*.toml")]
pub(crate) struct Test {
    /// Scheme files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Show what a scheme signs, or verifies, of a message: each segment beside the rule that made it
///
/// Bytes are shown as Rust would escape them; secrets are not shown.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "The request is one JSON object, of which every entry may be left out:\n  \
    {\"method\": \"POST\", \"path\": \"/pay\", \"query\": \"a=1\", \"headers\": {\"X-Id\": \"1\"}, \"body\": \"{}\",\n   \
    \"body_file\": \"body.bin\", \"status\": 200, \"decrypted\": \"{}\", \"constants\": {}, \"inputs\": {},\n   \
    \"values\": {\"timestamp\": \"1726641396\"}, \"key_ids\": {\"signing\": \"key-1\"},\n   \
    \"certificate_serials\": {\"signing\": \"1DDE\"}}\n\n\
    Examples:\n  chancery schemes explain config/schemes/snap-service.toml --request request.json\n  \
    chancery schemes explain config/schemes/github.toml --request delivery.json --verify"
)]
pub(crate) struct Explain {
    /// The scheme file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The message and what is known beside it, JSON
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Show what is verified, for a scheme that also signs
    #[arg(long)]
    verify: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Request {
    method: Option<String>,
    scheme: Option<String>,
    authority: Option<String>,
    path: Option<String>,
    query: Option<String>,
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_file: Option<PathBuf>,
    decrypted: Option<String>,
    constants: BTreeMap<String, String>,
    inputs: BTreeMap<String, String>,
    values: BTreeMap<String, String>,
    key_ids: BTreeMap<String, String>,
    certificate_serials: BTreeMap<String, String>,
}

impl SchemesCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::List(list) => list.run(session).await,
            Self::Show(show) => show.run(session).await,
            Self::Test(test) => test.run(session),
            Self::Explain(explain) => explain.run(session),
        }
    }
}

impl Test {
    fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let mut rows = Vec::new();
        let mut faults = Vec::new();
        let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
        for file in &self.files {
            let text = read(file)?;
            let fault = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let unproven = match Scheme::read(&text) {
                Ok(unproven) => unproven,
                Err(error) => {
                    faults.push(fault(&error));
                    continue;
                }
            };
            let name = unproven.name().to_string();
            if let Some(other) = names.insert(name.clone(), file.clone()) {
                let error = format!("the scheme {name:?} is in {} already", other.display());
                faults.push(fault(&error));
            }
            for (vector, result) in unproven.results() {
                rows.push([
                    name.clone(),
                    vector.name().to_owned(),
                    vector.kind().to_string(),
                    vector.origin().to_string(),
                    if result.is_ok() { "pass" } else { "FAIL" }.to_owned(),
                ]);
                if let Err(error) = result {
                    faults.push(fault(&error));
                }
            }
            // What fails is told already; what is missing is not.
            if let Err(error) = unproven.prove()
                && error.reason() == "VECTOR_MISSING"
            {
                faults.push(fault(&error));
            }
        }
        if session.global.json {
            let keys = ["scheme", "vector", "kind", "origin", "result"];
            let row = |row: &[String; 5]| -> serde_json::Value {
                let pairs = keys.iter().zip(row);
                pairs
                    .map(|(key, cell)| ((*key).to_owned(), json!(cell)))
                    .collect()
            };
            let vectors: Vec<_> = rows.iter().map(row).collect();
            session
                .streams
                .json(&json!({"vectors": vectors, "faults": faults}))?;
        } else if !rows.is_empty() {
            let header = ["SCHEME", "VECTOR", "KIND", "ORIGIN", "RESULT"];
            session
                .streams
                .table(&header, rows.into_iter().map(Vec::from).collect())?;
        }
        match faults.as_slice() {
            [] => Ok(()),
            faults => Err(Trouble::Scheme(faults.join("\n"))),
        }
    }
}

impl Explain {
    fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let wrong = |path: &Path, why: &dyn std::fmt::Display| {
            Trouble::Scheme(format!("{}: {why}", path.display()))
        };
        let scheme =
            Scheme::parse(&read(&self.file)?).map_err(|error| wrong(&self.file, &error))?;
        let request: Request = serde_json::from_str(&read(&self.request)?)
            .map_err(|error| wrong(&self.request, &error))?;
        let (message, bindings) = request.into_message(&self.request)?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = UnixMilliseconds(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        // A string that is only looked at needs no good nonces.
        let mut random = |bytes: &mut [u8]| bytes.fill(0);
        let steps = if scheme.signs() && !self.verify {
            scheme
                .draft(&message, &bindings, now, &mut random)
                .map(|draft| draft.explain())
        } else {
            scheme
                .examine(&message, &bindings)
                .map(|examination| examination.explain())
        };
        let steps = steps.map_err(|refusal| {
            wrong(&self.request, &format!("{refusal} ({})", refusal.reason()))
        })?;
        if session.global.json {
            let step = |step: &Step| {
                let text = step
                    .bytes
                    .as_ref()
                    .map(|bytes| bytes.escape_ascii().to_string());
                json!({"at": step.at, "rule": step.rule, "bytes": text})
            };
            let steps: Vec<_> = steps.iter().map(step).collect();
            return session.streams.json(&json!({"segments": steps}));
        }
        let row = |step: Step| {
            let shown = step.bytes.map_or_else(
                || "(secret)".to_owned(),
                |bytes| format!("\"{}\"", bytes.escape_ascii()),
            );
            vec![step.at, step.rule, shown]
        };
        let rows = steps.into_iter().map(row).collect();
        session.streams.table(&["SEGMENT", "RULE", "BYTES"], rows)
    }
}

impl Request {
    /// Paths are relative to the file that names them.
    fn into_message(self, file: &Path) -> Result<(Message<'static>, Bindings), Trouble> {
        let body = match (self.body, self.body_file) {
            (Some(_), Some(_)) => {
                let why = "expected either body or body_file";
                return Err(Trouble::Scheme(format!("{}: {why}", file.display())));
            }
            (Some(body), None) => body.into_bytes(),
            (None, Some(name)) => {
                let path = file.parent().unwrap_or_else(|| Path::new("")).join(name);
                fs::read(&path).map_err(|source| Trouble::File { what: path, source })?
            }
            (None, None) => Vec::new(),
        };
        let bytes = |map: BTreeMap<String, String>| -> BTreeMap<String, Vec<u8>> {
            let pairs = map.into_iter();
            pairs
                .map(|(name, value)| (name, value.into_bytes()))
                .collect()
        };
        let mut keys: BTreeMap<String, KeyFacts> = BTreeMap::new();
        for (role, id) in self.key_ids {
            keys.entry(role).or_default().id = Some(id);
        }
        for (role, serial) in self.certificate_serials {
            keys.entry(role).or_default().certificate_serial = Some(serial);
        }
        let headers = self.headers.into_iter();
        let message = Message {
            method: self.method.map(Cow::Owned),
            scheme: self.scheme.map(Cow::Owned),
            authority: self.authority.map(Cow::Owned),
            path: self.path.map(Cow::Owned),
            query: self.query.map(Cow::Owned),
            status: self.status,
            headers: headers
                .map(|(name, value)| (Cow::Owned(name), Cow::Owned(value.into_bytes())))
                .collect(),
            body: Cow::Owned(body),
            decrypted: self.decrypted.map(|text| Cow::Owned(text.into_bytes())),
        };
        let bindings = Bindings {
            constants: bytes(self.constants),
            inputs: bytes(self.inputs),
            values: bytes(self.values),
            keys,
        };
        Ok((message, bindings))
    }
}

fn read(path: &Path) -> Result<String, Trouble> {
    fs::read_to_string(path).map_err(|source| Trouble::File {
        what: path.to_owned(),
        source,
    })
}
