//! `chancery callback verify` and `chancery response verify`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use chancery::proto::v1::{
    HttpResponse, Verdict, Verification, VerifyCallbackRequest, VerifyHttpResponseRequest,
};

use super::{RequestInput, Whom, key_in_words, key_json, pair, response_json};
use crate::{Session, arguments, http_message, output, trouble::Trouble};

/// Verify a request that claims to come from a platform: a callback, a webhook, a notification
///
/// What the signature covers goes to stdout, its exact bytes: the decrypted content if there is any, else the body, or
/// the part that --part names. The verdict and all parts go to stderr. Exits with 0 only if the callback is valid and
/// was not seen before; with 1, and nothing on stdout, for every other verdict. A duplicate is to be acknowledged and
/// not to be acted upon: see --acknowledgement-out.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery callback verify --partner upay --in webhook.http > content.json"
)]
pub(crate) struct Callback {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    input: RequestInput,
    #[command(flatten)]
    output: ContentOutput,
    /// Write what to answer the platform with to this file, if the callback is valid or a duplicate
    #[arg(long, value_name = "FILE")]
    acknowledgement_out: Option<PathBuf>,
}

/// Verify a platform's answer to a request of ours
///
/// As `chancery callback verify`.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Response {
    #[command(flatten)]
    whom: Whom,
    /// File with the answer as HTTP/1.1 has it: status line, headers, empty line, body; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// File with the request that it answers, where the scheme needs it
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// A value of the request, as `request sign` told it, such as request_id=...; may be repeated
    #[arg(long = "request-value", value_name = "NAME=VALUE", value_parser = pair)]
    request_values: Vec<(String, String)>,
    #[command(flatten)]
    output: ContentOutput,
}

/// Where what is authentic goes.
#[derive(Args)]
struct ContentOutput {
    /// Which part to write, such as header.X-Request-Id
    #[arg(long, value_name = "NAME")]
    part: Option<String>,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Callback {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let request = VerifyCallbackRequest {
            partner: self.whom.partner(),
            scheme: self.whom.scheme(),
            inputs: self.whom.inputs(session.streams)?,
            request: Some(self.input.read(session)?),
        };
        let client = session.client()?;
        let answer = client
            .platform()
            .verify_callback(client.request(request))
            .await?
            .into_inner();
        let acknowledgement = answer.acknowledgement;
        if let Some(answer) = &acknowledgement {
            let bytes = http_message::write_response(answer);
            session
                .streams
                .write_beside(self.acknowledgement_out.as_deref(), &bytes)?;
        }
        let verification = answer.verification.unwrap_or_default();
        self.output
            .write(session, &verification, acknowledgement.as_ref())
    }
}

impl Response {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let answered = match &self.request {
            Some(path) => Some(http_message::request(session, Some(path))?),
            None => None,
        };
        let request = VerifyHttpResponseRequest {
            partner: self.whom.partner(),
            scheme: self.whom.scheme(),
            inputs: self.whom.inputs(session.streams)?,
            response: Some(http_message::response(session, self.input.as_deref())?),
            request: answered,
            request_values: self.request_values.iter().cloned().collect(),
        };
        let client = session.client()?;
        let answer = client
            .platform()
            .verify_http_response(client.request(request))
            .await?
            .into_inner();
        let verification = answer.verification.unwrap_or_default();
        self.output.write(session, &verification, None)
    }
}

impl ContentOutput {
    fn write(
        &self,
        session: &mut Session<'_>,
        verification: &Verification,
        acknowledgement: Option<&HttpResponse>,
    ) -> Result<(), Trouble> {
        let valid = verification.verdict() == Verdict::Valid;
        if session.global.json {
            let json = verification_json(verification, acknowledgement);
            session.streams.json(&json)?;
        } else {
            tell(session, verification);
        }
        if !valid {
            return Err(Trouble::NotValid);
        }
        let content = self.content(verification)?;
        if session.global.json {
            return session.streams.write_beside(self.out.as_deref(), content);
        }
        session.streams.write_content(self.out.as_deref(), content)
    }

    fn content<'v>(&self, verification: &'v Verification) -> Result<&'v [u8], Trouble> {
        let named = |name: &str| {
            let mut parts = verification.authenticated.iter();
            parts
                .find(|part| part.name == name)
                .map(|part| &*part.value)
        };
        match &self.part {
            Some(name) => named(name).ok_or_else(|| {
                Trouble::Usage(format!("the signature covers no part named {name:?}"))
            }),
            None if !verification.decrypted.is_empty() => Ok(&verification.decrypted),
            None => Ok(named("body").unwrap_or_default()),
        }
    }
}

pub(super) fn tell(session: &mut Session<'_>, verification: &Verification) {
    let streams = &mut *session.streams;
    let verdict = verdict_name(verification);
    match verification.reason.as_str() {
        "" => streams.tell(&format!(
            "{verdict}: {}, {}",
            verification.scheme,
            key_in_words(verification.key.as_ref())
        )),
        reason => {
            streams.tell(&format!(
                "{verdict}: {}",
                output::printable(&verification.message)
            ));
            streams.tell(&format!("  reason: {reason}"));
        }
    }
    for part in &verification.authenticated {
        let value = part.value.escape_ascii().to_string();
        let shown: String = value.chars().take(200).collect();
        streams.tell(&format!("  {}: {shown}", part.name));
    }
    for lacking in verification.protections.iter().flat_map(|one| &one.lacking) {
        streams.tell(&format!("  not protected: {lacking}"));
    }
}

fn verdict_name(verification: &Verification) -> String {
    match Verdict::try_from(verification.verdict) {
        Ok(verdict) => {
            let name = verdict.as_str_name().to_lowercase();
            name.trim_start_matches("verdict_").replace('_', " ")
        }
        Err(_) => arguments::unknown(verification.verdict),
    }
}

pub(super) fn verification_json(
    verification: &Verification,
    acknowledgement: Option<&HttpResponse>,
) -> Value {
    let parts: Vec<_> = verification
        .authenticated
        .iter()
        .map(|part| json!({"name": part.name, "value": output::base64(&part.value)}))
        .collect();
    let protections = verification.protections.clone().unwrap_or_default();
    json!({
        "verdict": Verdict::try_from(verification.verdict)
            .map_or_else(|_| arguments::unknown(verification.verdict), |one| one.as_str_name().to_owned()),
        "reason": verification.reason,
        "message": verification.message,
        "authenticated": parts,
        "decrypted": output::base64(&verification.decrypted),
        "key": key_json(verification.key.as_ref()),
        "form": verification.form,
        "scheme": verification.scheme,
        "message_time": verification.message_time.map(|time| json!({"seconds": time.seconds, "nanos": time.nanos})),
        "protections": {
            "past_window_seconds": protections.past_window.map(|one| one.seconds),
            "future_window_seconds": protections.future_window.map(|one| one.seconds),
            "replay": protections.replay,
            "memory_seconds": protections.memory.map(|one| one.seconds),
            "echo": protections.echo,
            "lacking": protections.lacking,
        },
        "acknowledgement": acknowledgement.map(response_json),
    })
}
