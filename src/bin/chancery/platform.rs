//! `chancery request`, `response`, `callback`, `access-tokens` and `fields`: messages of platforms, signed and verified by their schemes.

use std::{collections::HashMap, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use chancery::proto::v1::{HttpHeader, HttpRequest, HttpResponse, KeyUse};

use crate::{
    Session, arguments, http_message,
    output::{self, Streams},
    trouble::Trouble,
};

mod access_tokens;
mod explain;
mod fields;
mod sign;
mod verify;

#[derive(Subcommand)]
pub(crate) enum RequestCommand {
    Sign(sign::Request),
    Explain(explain::Explain),
}

#[derive(Subcommand)]
pub(crate) enum ResponseCommand {
    Sign(sign::Response),
    Verify(verify::Response),
}

#[derive(Subcommand)]
pub(crate) enum CallbackCommand {
    Verify(verify::Callback),
}

#[derive(Subcommand)]
pub(crate) enum AccessTokensCommand {
    Issue(access_tokens::Issue),
}

#[derive(Subcommand)]
pub(crate) enum FieldsCommand {
    Encrypt(fields::Encrypt),
    Decrypt(fields::Decrypt),
}

/// With whom, by which rules, and what the rules ask for.
#[derive(Args)]
pub(crate) struct Whom {
    /// The partner, NAME or partners/NAME
    #[arg(long, value_name = "NAME")]
    partner: String,
    /// Which of its schemes, NAME or schemes/NAME; needed where several fit
    #[arg(long, value_name = "NAME")]
    scheme: Option<String>,
    /// What the scheme asks for, such as access_token=...; may be repeated
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = pair)]
    inputs: Vec<(String, String)>,
    /// The same, read from a file, so that no other user of the machine sees it; may be repeated
    #[arg(long = "input-file", value_name = "NAME=FILE", value_parser = pair)]
    input_files: Vec<(String, String)>,
}

/// Values that the scheme would make.
#[derive(Args)]
pub(crate) struct Given {
    /// A value that the scheme would make, such as timestamp=..., to send a request again; may be repeated
    #[arg(long = "value", value_name = "NAME=VALUE", value_parser = pair)]
    values: Vec<(String, String)>,
}

/// Where a request comes from.
#[derive(Args)]
pub(crate) struct RequestInput {
    /// File with the request as HTTP/1.1 has it (request line, headers, empty line, body), or as JSON, as `chancery
    /// schemes explain` takes it; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE", verbatim_doc_comment)]
    input: Option<PathBuf>,
    /// File with a curl command that sends the request
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    curl: Option<PathBuf>,
}

impl RequestCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::Sign(sign) => sign.run(session).await,
            Self::Explain(explain) => explain.run(session).await,
        }
    }
}

impl ResponseCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::Sign(sign) => sign.run(session).await,
            Self::Verify(verify) => verify.run(session).await,
        }
    }
}

impl CallbackCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::Verify(verify) => verify.run(session).await,
        }
    }
}

impl AccessTokensCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::Issue(issue) => issue.run(session).await,
        }
    }
}

impl FieldsCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::Encrypt(encrypt) => encrypt.run(session).await,
            Self::Decrypt(decrypt) => decrypt.run(session).await,
        }
    }
}

impl Whom {
    fn partner(&self) -> String {
        resource("partners/", &self.partner)
    }

    /// Empty leaves the choice to the daemon.
    fn scheme(&self) -> String {
        self.scheme
            .as_deref()
            .map_or_else(String::new, |name| resource("schemes/", name))
    }

    fn inputs(&self, streams: &mut Streams) -> Result<HashMap<String, String>, Trouble> {
        let mut inputs: HashMap<_, _> = self.inputs.iter().cloned().collect();
        for (name, file) in &self.input_files {
            let value = arguments::text(streams, Some(file.as_ref()))?;
            inputs.insert(name.clone(), value);
        }
        if inputs.len() < self.inputs.len() + self.input_files.len() {
            return Err(Trouble::Usage("an input is given twice".into()));
        }
        Ok(inputs)
    }
}

impl Given {
    fn values(&self) -> HashMap<String, String> {
        self.values.iter().cloned().collect()
    }
}

impl RequestInput {
    fn read(&self, session: &mut Session<'_>) -> Result<HttpRequest, Trouble> {
        match &self.curl {
            Some(path) => http_message::curl_request(session, path),
            None => http_message::request(session, self.input.as_deref()),
        }
    }
}

/// `keys/.../versions/2 (RS256)`.
fn key_in_words(key: Option<&KeyUse>) -> String {
    key.map_or_else(
        || "no key".to_owned(),
        |key| {
            format!(
                "{} ({})",
                key.name,
                arguments::algorithm_name(key.algorithm)
            )
        },
    )
}

fn key_json(key: Option<&KeyUse>) -> Value {
    key.map_or(Value::Null, |key| {
        json!({
            "name": key.name,
            "algorithm": arguments::algorithm_name(key.algorithm),
            "public_key_sha256": output::base64(&key.public_key_sha256),
        })
    })
}

fn request_json(request: &HttpRequest) -> Value {
    json!({
        "method": request.method,
        "url": request.url,
        "headers": headers_json(&request.headers),
        "body": output::base64(&request.body),
    })
}

fn response_json(response: &HttpResponse) -> Value {
    json!({
        "status_code": response.status_code,
        "headers": headers_json(&response.headers),
        "body": output::base64(&response.body),
    })
}

fn headers_json(headers: &[HttpHeader]) -> Vec<Value> {
    let header = |header: &HttpHeader| json!({"name": header.name, "value": header.value});
    headers.iter().map(header).collect()
}

/// In the order of their names: a hash map has none.
fn sorted(values: &HashMap<String, String>) -> Map<String, Value> {
    let mut pairs: Vec<_> = values.iter().collect();
    pairs.sort();
    let pair = |(name, value): (&String, &String)| (name.clone(), json!(value));
    pairs.into_iter().map(pair).collect()
}

fn tell_values(streams: &mut Streams, values: &HashMap<String, String>) {
    for (name, value) in sorted(values) {
        let value = value.as_str().unwrap_or_default();
        streams.tell(&format!("{name}: {}", output::printable(value)));
    }
}

fn resource(collection: &str, name: &str) -> String {
    match name.starts_with(collection) {
        true => name.to_owned(),
        false => format!("{collection}{name}"),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
