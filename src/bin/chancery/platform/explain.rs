//! `chancery request explain`: what is signed, byte for byte, each piece beside its rule.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use chancery::proto::v1::{
    ExplainHttpMessageRequest, SignHttpRequestRequest, SignHttpResponseRequest,
    VerifyCallbackRequest, VerifyHttpResponseRequest, explain_http_message_request::Call,
};

use super::{Given, Whom, pair};
use crate::{Session, http_message, output, trouble::Trouble};

/// Show what a partner's scheme signs, or verifies, of a message: each piece beside the rule that made it
///
/// What to look at when the platform answers "invalid signature". The string to sign goes to stdout with --string, to
/// its last byte; without, all pieces do, escaped as Rust would. Secrets are masked. Nothing is signed, no message is
/// remembered. Exits with 1 if the message can't be signed or is not valid, and says why on stderr.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery request explain --partner ayolinx --input access_token=x --in request.http\n  \
    chancery request explain --partner upay --kind callback --in webhook.http"
)]
pub(crate) struct Explain {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    given: Given,
    /// What is done with the message
    #[arg(long, value_name = "KIND", default_value = "request")]
    kind: Kind,
    /// File with the message as HTTP/1.1 has it; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// File with a curl command that sends the request
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    curl: Option<PathBuf>,
    /// File with the request that an answer answers
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// A value of the request that an answer answers, such as request_id=...; may be repeated
    #[arg(long = "request-value", value_name = "NAME=VALUE", value_parser = pair)]
    request_values: Vec<(String, String)>,
    /// Write the string to sign and nothing else
    #[arg(long)]
    string: bool,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE", requires = "string")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// A request of ours, which is signed
    Request,
    /// An answer of ours, which is signed
    Response,
    /// A request of theirs, which is verified
    Callback,
    /// An answer of theirs, which is verified
    Answer,
}

impl Explain {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let (partner, scheme) = (self.whom.partner(), self.whom.scheme());
        let inputs = self.whom.inputs(session.streams)?;
        let values = self.given.values();
        let input = self.input.as_deref();
        let answered = match &self.request {
            Some(path) => Some(http_message::request(session, Some(path))?),
            None => None,
        };
        let message = |session: &mut Session<'_>| match &self.curl {
            Some(path) => http_message::curl_request(session, path),
            None => http_message::request(session, input),
        };
        let call = match self.kind {
            Kind::Request => Call::SignRequest(SignHttpRequestRequest {
                partner,
                scheme,
                inputs,
                values,
                request: Some(message(session)?),
            }),
            Kind::Response => Call::SignResponse(SignHttpResponseRequest {
                partner,
                scheme,
                inputs,
                values,
                response: Some(http_message::response(session, input)?),
                request: answered,
            }),
            Kind::Callback => Call::VerifyCallback(VerifyCallbackRequest {
                partner,
                scheme,
                inputs,
                request: Some(message(session)?),
            }),
            Kind::Answer => Call::VerifyResponse(VerifyHttpResponseRequest {
                partner,
                scheme,
                inputs,
                response: Some(http_message::response(session, input)?),
                request: answered,
                request_values: self.request_values.iter().cloned().collect(),
            }),
        };
        let client = session.client()?;
        let request = ExplainHttpMessageRequest { call: Some(call) };
        let shown = client
            .platform()
            .explain_http_message(client.request(request))
            .await?
            .into_inner();
        let failed = (!shown.reason.is_empty()).then(|| {
            Trouble::Scheme(format!(
                "{} ({})",
                output::printable(&shown.message),
                shown.reason
            ))
        });
        if session.global.json {
            let steps: Vec<_> = shown
                .steps
                .iter()
                .map(|step| json!({
                    "at": step.at, "rule": step.rule, "value": output::base64(&step.value), "masked": step.masked,
                }))
                .collect();
            let strings: Vec<_> = shown
                .strings_to_sign
                .iter()
                .map(|one| output::base64(one))
                .collect();
            let digests: Vec<_> = shown.string_sha256.iter().map(hex::encode).collect();
            session.streams.json(&json!({
                "scheme": shown.scheme,
                "steps": steps,
                "strings_to_sign": strings,
                "string_sha256": digests,
                "reason": shown.reason,
                "message": shown.message,
            }))?;
        } else if self.string {
            let string = shown.strings_to_sign.first().cloned().unwrap_or_default();
            session
                .streams
                .write_content(self.out.as_deref(), &string)?;
        } else {
            let row = |step: &chancery::proto::v1::ExplainedStep| {
                let value = match step.masked {
                    true => "***".to_owned(),
                    false => format!("\"{}\"", step.value.escape_ascii()),
                };
                vec![step.at.clone(), step.rule.clone(), value]
            };
            let rows = shown.steps.iter().map(row).collect();
            session.streams.table(&["SEGMENT", "RULE", "BYTES"], rows)?;
        }
        failed.map_or(Ok(()), Err)
    }
}
