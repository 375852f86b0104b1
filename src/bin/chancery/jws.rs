//! `chancery jws`: JSON Web Signatures (RFC 7515, RFC 7797).

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use chancery::{
    algorithm::Algorithm,
    proto::v1::{Serialization, SignJwsRequest, VerifyJwsRequest},
    wire::{self, KeyResource},
};

use crate::{Session, arguments, output, trouble::Trouble};

#[derive(Subcommand)]
pub(crate) enum Jws {
    Sign(Sign),
    Verify(Verify),
}

/// Make a JWS
///
/// The protected header gets `alg` and, unless --header has its own, `kid`: the key's RFC 7638 thumbprint.
/// The JWS goes to stdout with a line end.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  \
    echo -n '{\"sub\":\"app\"}' | chancery jws sign --key login --algorithm ES256 --header '{\"typ\":\"JWT\"}'"
)]
pub(crate) struct Sign {
    /// Key: NAME (its primary version), NAME/VERSION, or a full resource name
    #[arg(long, value_parser = arguments::key)]
    key: KeyResource,
    /// What to sign with; becomes `alg`
    #[arg(long, value_parser = arguments::signing_algorithm())]
    algorithm: Algorithm,
    /// File with the payload; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// Members to add to the protected header, a JSON object
    #[arg(long, value_name = "JSON")]
    header: Option<String>,
    /// Members of the unprotected header, a JSON object
    #[arg(long, value_name = "JSON", requires = "json_serialization")]
    unprotected_header: Option<String>,
    /// Write JSON instead of the compact form
    #[arg(long, value_name = "FORM")]
    json_serialization: Option<JsonForm>,
    /// Leave the payload out (RFC 7515 appendix F)
    #[arg(long)]
    detached: bool,
    /// Sign the payload as it is, `b64=false` (RFC 7797)
    #[arg(long)]
    unencoded: bool,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Verify a JWS and print its payload
///
/// The payload goes to stdout, its exact bytes; the protected header and the key version to stderr.
/// Exits with 1, and prints no payload, if the JWS is not valid.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Verify {
    /// Key: NAME (the version that `kid` names, or every version), NAME/VERSION, or a full resource name
    #[arg(long, value_parser = arguments::key)]
    key: KeyResource,
    /// File with the JWS, compact or JSON; - or nothing is stdin
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// File with the payload, if it is detached; - is stdin
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    /// A member of `crit` that you understand and will act on; may be repeated
    #[arg(long, value_name = "NAME")]
    critical: Vec<String>,
    /// Write the payload to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum JsonForm {
    /// RFC 7515 section 7.2.2
    Flattened,
    /// RFC 7515 section 7.2.1, with one signature
    General,
}

impl Jws {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::Sign(sign) => sign.run(session).await,
            Self::Verify(verify) => verify.run(session).await,
        }
    }
}

impl Sign {
    async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let payload = arguments::contents(session.streams, self.input.as_deref())?;
        let serialization = match self.json_serialization {
            None => Serialization::Compact,
            Some(JsonForm::Flattened) => Serialization::FlattenedJson,
            Some(JsonForm::General) => Serialization::GeneralJson,
        };
        let client = session.client()?;
        let request = SignJwsRequest {
            name: self.key.to_string(),
            algorithm: wire::algorithm_to_proto(self.algorithm).into(),
            payload: payload.into(),
            protected_header: self.header.unwrap_or_default(),
            unprotected_header: self.unprotected_header.unwrap_or_default(),
            serialization: serialization.into(),
            detached: self.detached,
            unencoded_payload: self.unencoded,
        };
        let made = client
            .jose()
            .sign_jws(client.request(request))
            .await?
            .into_inner();
        let line = format!("{}\n", made.jws);
        if session.global.json {
            session
                .streams
                .write_beside(self.out.as_deref(), line.as_bytes())?;
            return session.streams.json(&json!({
                "jws": made.jws,
                "name": made.name,
                "algorithm": arguments::algorithm_name(made.algorithm),
            }));
        }
        session.streams.write(self.out.as_deref(), line.as_bytes())
    }
}

impl Verify {
    async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let jws = arguments::text(session.streams, self.input.as_deref())?;
        let detached_payload = match &self.payload {
            Some(path) => Some(arguments::contents(session.streams, Some(path))?.into()),
            None => None,
        };
        let client = session.client()?;
        let request = VerifyJwsRequest {
            name: self.key.to_string(),
            jws,
            detached_payload,
            understood_critical: self.critical,
        };
        let verdict = client
            .jose()
            .verify_jws(client.request(request))
            .await?
            .into_inner();
        if session.global.json {
            session.streams.json(&json!({
                "valid": verdict.valid,
                "payload": output::base64(&verdict.payload),
                "protected_header": verdict.protected_header,
                "name": verdict.name,
                "algorithm": if verdict.valid { arguments::algorithm_name(verdict.algorithm) } else { String::new() },
            }))?;
        }
        if !verdict.valid {
            if !session.global.json {
                session.streams.tell("not valid");
            }
            return Err(Trouble::NotValid);
        }
        if session.global.json {
            return session
                .streams
                .write_beside(self.out.as_deref(), &verdict.payload);
        }
        session.streams.tell(&format!("valid: {}", verdict.name));
        session.streams.tell(&format!(
            "header: {}",
            output::printable(&verdict.protected_header)
        ));
        session
            .streams
            .write_content(self.out.as_deref(), &verdict.payload)
    }
}
