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

use chancery::scheme::{Bindings, KeyFacts, Message, Refusal, Scheme, Step, UnixMilliseconds};

use crate::{Session, trouble::Trouble};

pub(crate) mod curl;
mod known;
mod new;
mod shell;

#[derive(Subcommand)]
pub(crate) enum SchemesCommand {
    List(known::List),
    Show(known::Show),
    New(new::New),
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
    chancery schemes explain config/schemes/github.toml --request delivery.json --verify\n  \
    chancery schemes explain config/schemes/github.toml --curl delivery.sh\n  \
    chancery schemes explain acme.toml --curl call.sh --request known.json --string \\\n    \
    | openssl dgst -sha256 -hmac \"$SECRET\""
)]
pub(crate) struct Explain {
    /// The scheme file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The message and what is known beside it, JSON
    #[arg(long, value_name = "FILE", required_unless_present = "curl")]
    request: Option<PathBuf>,
    /// The message as a curl command, as browsers and documentation have it; --request has what is known beside it
    #[arg(long, value_name = "FILE")]
    curl: Option<PathBuf>,
    /// Write the string itself, byte for byte, with whatever secret inputs are in it, and nothing else
    #[arg(long)]
    string: bool,
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
    /// Of the request that a response answers.
    request_headers: BTreeMap<String, String>,
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
            Self::New(new) => new.run(session),
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
        if self.string && session.global.json {
            let why = "--string writes bytes, which --json has no place for";
            return Err(Trouble::Usage(why.to_owned()));
        }
        let request = match &self.request {
            Some(path) => {
                serde_json::from_str(&read(path)?).map_err(|error| wrong(path, &error))?
            }
            None => Request::default(),
        };
        let (named, message, bindings) = match (&self.curl, &self.request) {
            (Some(curl), request_path) => {
                if !request.message_is_empty() {
                    let path = request_path.as_deref().unwrap_or(curl);
                    return Err(wrong(
                        path,
                        &"the message is in --curl; expected only what is known beside it",
                    ));
                }
                let (beside, bindings) = request.into_message(curl)?;
                let command = fs::read(curl).map_err(|source| Trouble::File {
                    what: curl.clone(),
                    source,
                })?;
                let command =
                    curl::Command::parse(&command).map_err(|error| wrong(curl, &error))?;
                (curl, message_of(command, beside.decrypted), bindings)
            }
            (None, Some(path)) => {
                let (message, bindings) = request.into_message(path)?;
                (path, message, bindings)
            }
            (None, None) => {
                return Err(Trouble::Usage("expected --request or --curl".to_owned()));
            }
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = UnixMilliseconds(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        let explained = if scheme.signs() && !self.verify {
            explained(&scheme, &message, &bindings, now)
        } else {
            scheme.examine(&message, &bindings).map(|examination| {
                let first = examination.candidates().next();
                let string = first.and_then(|(_, one)| one.string.bytes().map(<[u8]>::to_vec));
                (examination.explain(), string)
            })
        };
        let (steps, string) = explained
            .map_err(|refusal| wrong(named, &format!("{refusal} ({})", refusal.reason())))?;
        if self.string {
            let string = string.ok_or_else(|| {
                wrong(
                    &self.file,
                    &"there is no string to write: nothing is signed, or the key's secret is part of it",
                )
            })?;
            return session.streams.write(None, &string);
        }
        if session.global.json {
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

fn message_of(command: curl::Command, decrypted: Option<Cow<'static, [u8]>>) -> Message<'static> {
    let headers = command.headers.into_iter();
    Message {
        method: Some(Cow::Owned(command.method)),
        scheme: Some(Cow::Owned(command.scheme)),
        authority: Some(Cow::Owned(command.authority)),
        path: Some(Cow::Owned(command.path)),
        query: command.query.map(Cow::Owned),
        status: None,
        headers: headers
            .map(|(name, value)| (Cow::Owned(name), Cow::Owned(value.into_bytes())))
            .collect(),
        request_headers: Vec::new(),
        body: Cow::Owned(command.body),
        decrypted,
    }
}

impl Request {
    /// Whether it says nothing of the message itself. What was decrypted is known beside it.
    fn message_is_empty(&self) -> bool {
        let texts = [
            &self.method,
            &self.scheme,
            &self.authority,
            &self.path,
            &self.query,
            &self.body,
        ];
        texts.iter().all(|text| text.is_none())
            && self.status.is_none()
            && self.headers.is_empty()
            && self.body_file.is_none()
    }

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
        let mut keys: BTreeMap<String, Vec<KeyFacts>> = BTreeMap::new();
        for (role, id) in self.key_ids {
            facts(&mut keys, role).id = Some(id);
        }
        for (role, serial) in self.certificate_serials {
            facts(&mut keys, role).certificate_serial = Some(serial);
        }
        let owned = |headers: BTreeMap<String, String>| {
            let header = |(name, value): (String, String)| {
                (Cow::Owned(name), Cow::Owned(value.into_bytes()))
            };
            headers.into_iter().map(header).collect()
        };
        let message = Message {
            method: self.method.map(Cow::Owned),
            scheme: self.scheme.map(Cow::Owned),
            authority: self.authority.map(Cow::Owned),
            path: self.path.map(Cow::Owned),
            query: self.query.map(Cow::Owned),
            status: self.status,
            headers: owned(self.headers),
            request_headers: owned(self.request_headers),
            body: Cow::Owned(body),
            decrypted: self.decrypted.map(|text| Cow::Owned(text.into_bytes())),
        };
        let bindings = Bindings {
            constants: bytes(self.constants),
            inputs: bytes(self.inputs),
            values: bytes(self.values),
            keys,
            window_seconds: None,
        };
        Ok((message, bindings))
    }
}

/// The one entry of a role.
fn facts(keys: &mut BTreeMap<String, Vec<KeyFacts>>, role: String) -> &mut KeyFacts {
    let live = keys.entry(role).or_default();
    if live.is_empty() {
        live.push(KeyFacts::default());
    }
    &mut live[0]
}

/// A string that is only looked at needs no good nonces, and nothing really encrypted.
fn explained(
    scheme: &Scheme,
    message: &Message<'_>,
    bindings: &Bindings,
    now: UnixMilliseconds,
) -> Result<(Vec<Step>, Option<Vec<u8>>), Refusal> {
    let prepared = scheme.prepare(message, bindings, now, &mut |bytes| bytes.fill(0))?;
    let jwe = prepared.sealing().map(|_| "JWE");
    let draft = prepared.draft(jwe)?;
    let string = draft.signing().and_then(|signing| signing.string.bytes());
    Ok((draft.explain(), string.map(<[u8]>::to_vec)))
}

fn read(path: &Path) -> Result<String, Trouble> {
    fs::read_to_string(path).map_err(|source| Trouble::File {
        what: path.to_owned(),
        source,
    })
}
