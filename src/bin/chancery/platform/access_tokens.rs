//! `chancery access-tokens issue`: the token endpoint that a platform calls, from the command line.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use chancery::proto::v1::IssueAccessTokenRequest;

use super::{RequestInput, resource, verify};
use crate::{Session, http_message, trouble::Trouble};

/// Answer a platform that asks our token endpoint for an access token
///
/// Its signature is verified, and the whole answer to send goes to stdout as HTTP/1.1 has it: with the token, or with
/// the refusal in the platform's shape. The verdict goes to stderr. Exits with 0 only if there is a token.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    chancery access-tokens issue --partner ayolinx --in token-request.http > answer.http"
)]
pub(crate) struct Issue {
    /// The partner, NAME or partners/NAME
    #[arg(long, value_name = "NAME")]
    partner: String,
    /// Which of its schemes, NAME or schemes/NAME; needed where several ask for tokens
    #[arg(long, value_name = "NAME")]
    scheme: Option<String>,
    #[command(flatten)]
    input: RequestInput,
    /// Write the answer to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Issue {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let scheme = self.scheme.as_deref();
        let request = IssueAccessTokenRequest {
            partner: resource("partners/", &self.partner),
            scheme: scheme.map_or_else(String::new, |name| resource("schemes/", name)),
            request: Some(self.input.read(session)?),
        };
        let client = session.client()?;
        let answer = client
            .platform()
            .issue_access_token(client.request(request))
            .await?
            .into_inner();
        let response = answer.response.unwrap_or_default();
        let bytes = http_message::write_response(&response);
        let verification = answer.verification.unwrap_or_default();
        if session.global.json {
            let mut told = verify::verification_json(&verification, None);
            told["response"] = super::response_json(&response);
            told["expire_time"] = json!(answer.expire_time.map(|time| time.seconds));
            session.streams.json(&told)?;
            session.streams.write_beside(self.out.as_deref(), &bytes)?;
        } else {
            verify::tell(session, &verification);
            session.streams.write_content(self.out.as_deref(), &bytes)?;
        }
        match answer.expire_time {
            Some(_) => Ok(()),
            None => Err(Trouble::NotValid),
        }
    }
}
