//! `chancery request sign` and `chancery response sign`.

use std::{collections::HashMap, path::PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use chancery::proto::v1::{
    HttpHeader, HttpRequest, KeyUse, SignHttpRequestRequest, SignHttpResponseRequest,
};

use super::{
    Given, RequestInput, Whom, key_in_words, key_json, request_json, response_json, sorted,
    tell_values,
};
use crate::{Session, http_message, trouble::Trouble};

/// Sign a request to a platform, and encrypt it where its scheme says so
///
/// The whole request to send goes to stdout, as HTTP/1.1 has it and with the body to the last byte; the values that
/// were made (time, nonce, request id) and the key go to stderr.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery request sign --partner ayolinx --input-file access_token=token.txt --in request.http\n  \
    chancery request sign --partner upay --in request.http --headers-out h.txt --body-out b.bin > /dev/null &&\n    \
    curl --header @h.txt --data-binary @b.bin https://..."
)]
pub(crate) struct Request {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    input: RequestInput,
    #[command(flatten)]
    output: MessageOutput,
}

/// Sign our answer to a platform that expects signed answers
///
/// The whole answer goes to stdout, as HTTP/1.1 has it and with the body to the last byte.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Response {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    given: Given,
    /// File with the answer as HTTP/1.1 has it: status line, headers, empty line, body; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// File with the request that is answered; some schemes sign its path
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    #[command(flatten)]
    output: MessageOutput,
}

/// Where a message goes.
#[derive(Args)]
struct MessageOutput {
    /// Write the message to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write all headers to this file too, one a line
    #[arg(long, value_name = "FILE")]
    headers_out: Option<PathBuf>,
    /// Write the body to this file too
    #[arg(long, value_name = "FILE")]
    body_out: Option<PathBuf>,
}

/// What both kinds of answer have.
struct Made<'m> {
    message: Vec<u8>,
    json: (&'static str, Value),
    headers: &'m [HttpHeader],
    body: &'m [u8],
    values: &'m HashMap<String, String>,
    signature: Option<&'m KeyUse>,
    scheme: &'m str,
}

impl Request {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let request = SignHttpRequestRequest {
            partner: self.whom.partner(),
            scheme: self.whom.scheme(),
            inputs: self.whom.inputs(session.streams)?,
            values: self.given.values(),
            request: Some(self.input.read(session)?),
        };
        let client = session.client()?;
        let answer = client
            .platform()
            .sign_http_request(client.request(request))
            .await?
            .into_inner();
        let signed = answer.request.unwrap_or_default();
        let made = Made {
            message: http_message::write_request(&signed),
            json: ("request", request_json(&signed)),
            headers: &signed.headers,
            body: &signed.body,
            values: &answer.values,
            signature: answer.signature.as_ref(),
            scheme: &answer.scheme,
        };
        self.output.write(session, made)
    }
}

impl Response {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let request: Option<HttpRequest> = match &self.request {
            Some(path) => Some(http_message::request(session, Some(path))?),
            None => None,
        };
        let request = SignHttpResponseRequest {
            partner: self.whom.partner(),
            scheme: self.whom.scheme(),
            inputs: self.whom.inputs(session.streams)?,
            values: self.given.values(),
            response: Some(http_message::response(session, self.input.as_deref())?),
            request,
        };
        let client = session.client()?;
        let answer = client
            .platform()
            .sign_http_response(client.request(request))
            .await?
            .into_inner();
        let signed = answer.response.unwrap_or_default();
        let made = Made {
            message: http_message::write_response(&signed),
            json: ("response", response_json(&signed)),
            headers: &signed.headers,
            body: &signed.body,
            values: &answer.values,
            signature: answer.signature.as_ref(),
            scheme: &answer.scheme,
        };
        self.output.write(session, made)
    }
}

impl MessageOutput {
    fn write(&self, session: &mut Session<'_>, made: Made<'_>) -> Result<(), Trouble> {
        let streams = &mut *session.streams;
        let headers = http_message::write_headers(made.headers);
        streams.write_beside(self.headers_out.as_deref(), headers.as_bytes())?;
        streams.write_beside(self.body_out.as_deref(), made.body)?;
        if session.global.json {
            streams.write_beside(self.out.as_deref(), &made.message)?;
            let mut object = Map::new();
            object.insert(made.json.0.to_owned(), made.json.1);
            object.insert("values".to_owned(), Value::Object(sorted(made.values)));
            object.insert("signature".to_owned(), key_json(made.signature));
            object.insert("scheme".to_owned(), json!(made.scheme));
            return streams.json(&Value::Object(object));
        }
        streams.tell(&format!(
            "signed by {}, {}",
            made.scheme,
            key_in_words(made.signature)
        ));
        tell_values(streams, made.values);
        streams.write_content(self.out.as_deref(), &made.message)
    }
}
