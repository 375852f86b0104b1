//! `chancery keys`: list, describe, create, public keys; `import` has a file of its own.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use chancery::{
    key::{Custody, KeyName},
    proto::v1::{
        GetJwksRequest, GetKeyRequest, GetPublicKeyRequest, Key, KeyVersion, TokenAttributes,
    },
    wire::{self, KeyResource},
};

use crate::{
    Session, arguments,
    create::Create,
    csr::Csr,
    import::Import,
    life::{Destroy, Rotate, Turn, Update},
    output::{self, Streams},
    trouble::Trouble,
};

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// List the keys that you may see; one a line, cells divided by tabs, when stdout is not a terminal
    List,
    /// Tell all about one key, and what the token says of it
    Describe {
        /// Its name
        #[arg(value_name = "KEY", value_parser = arguments::key_name)]
        key: KeyName,
    },
    Create(Create),
    Rotate(Rotate),
    Update(Update),
    /// List the versions of a key, with their states
    Versions {
        /// Its name
        #[arg(value_name = "KEY", value_parser = arguments::key_name)]
        key: KeyName,
    },
    /// Have a version used again
    Enable(Turn),
    /// Have a version refused, in all daemons within two seconds, until it is enabled again
    Disable(Turn),
    Destroy(Destroy),
    /// Take a version back that was to be destroyed; it is disabled then
    Restore(Turn),
    Import(Import),
    Public(Public),
    /// Print the public keys that you may see as one JWK Set
    Jwks,
    Csr(Csr),
}

/// Print a public key
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Public {
    /// Key: NAME (its primary version), NAME/VERSION, or a full resource name
    #[arg(value_parser = arguments::key)]
    key: KeyResource,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Form::Pem)]
    format: Form,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// SubjectPublicKeyInfo, text
    Pem,
    /// SubjectPublicKeyInfo, bytes
    Der,
    /// JSON Web Key
    Jwk,
    /// RFC 7638 thumbprint of the JWK, base64url
    Thumbprint,
}

impl Keys {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::List => list(session).await,
            Self::Describe { key } => describe(session, key).await,
            Self::Create(create) => create.run(session).await,
            Self::Rotate(rotate) => rotate.run(session).await,
            Self::Update(update) => update.run(session).await,
            Self::Versions { key } => versions(session, key).await,
            Self::Enable(turn) => turn.enable(session, true).await,
            Self::Disable(turn) => turn.enable(session, false).await,
            Self::Destroy(destroy) => destroy.run(session).await,
            Self::Restore(turn) => turn.restore(session).await,
            Self::Import(import) => import.run(session).await,
            Self::Public(public) => public.run(session).await,
            Self::Jwks => jwks(session).await,
            Self::Csr(csr) => csr.run(session).await,
        }
    }
}

async fn list(session: &mut Session<'_>) -> Result<(), Trouble> {
    let keys = session.client()?.all_keys().await?;
    if session.global.json {
        let keys = keys.iter().map(as_json).collect::<Vec<_>>();
        return session.streams.json(&json!({"keys": keys}));
    }
    let rows = keys
        .iter()
        .map(|key| {
            vec![
                short(&key.name),
                key_type_name(key),
                purpose_name(key),
                algorithm_names(key).join(" "),
                short(&key.primary_version),
                states_name(key),
                key.token.clone(),
                custody_name(key),
            ]
        })
        .collect();
    let header = [
        "key",
        "type",
        "purpose",
        "algorithms",
        "primary",
        "states",
        "token",
        "custody",
    ];
    session.streams.table(&header, rows)
}

async fn versions(session: &mut Session<'_>, key: KeyName) -> Result<(), Trouble> {
    let client = session.client()?;
    let request = GetKeyRequest {
        name: KeyResource::from(key).to_string(),
    };
    let response = client.keys().get_key(client.request(request)).await?;
    let key = response.into_inner().key.unwrap_or_default();
    if session.global.json {
        return session.streams.json(&as_json(&key));
    }
    let rows = key
        .versions
        .iter()
        .map(|version| {
            vec![
                short(&version.name),
                state_name(version),
                if version.name == key.primary_version {
                    "primary".to_owned()
                } else {
                    String::new()
                },
                time_name(version.create_time),
                output::printable(&version.created_by),
                time_name(version.destroy_time),
            ]
        })
        .collect();
    let header = ["version", "state", "", "created", "by", "destroyed"];
    session.streams.table(&header, rows)
}

async fn describe(session: &mut Session<'_>, key: KeyName) -> Result<(), Trouble> {
    let client = session.client()?;
    let request = GetKeyRequest {
        name: KeyResource::from(key).to_string(),
    };
    let response = client.keys().get_key(client.request(request)).await?;
    show(session, response.into_inner().key)
}

impl Public {
    async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        if self.format == Form::Der {
            session
                .streams
                .check_binary(self.out.as_deref(), session.global.json)?;
        }
        let client = session.client()?;
        let request = GetPublicKeyRequest {
            name: self.key.to_string(),
        };
        let public = client
            .keys()
            .get_public_key(client.request(request))
            .await?
            .into_inner();
        let written = match self.format {
            Form::Der => public.der.clone(),
            Form::Pem => public.pem.clone().into(),
            Form::Jwk => format!("{}\n", public.jwk).into(),
            Form::Thumbprint => format!("{}\n", public.thumbprint).into(),
        };
        if !session.global.json {
            return session.streams.write(self.out.as_deref(), &written);
        }
        session
            .streams
            .write_beside(self.out.as_deref(), &written)?;
        session.streams.json(&json!({
            "name": public.name,
            "pem": public.pem,
            "der": output::base64(&public.der),
            "jwk": parsed(&public.jwk),
            "thumbprint": public.thumbprint,
        }))
    }
}

async fn jwks(session: &mut Session<'_>) -> Result<(), Trouble> {
    let client = session.client()?;
    let response = client
        .keys()
        .get_jwks(client.request(GetJwksRequest {}))
        .await?;
    // It is JSON in either case.
    session.streams.line(&response.into_inner().jwks)
}

pub(crate) fn show(session: &mut Session<'_>, key: Option<Key>) -> Result<(), Trouble> {
    // No key is an answer that the protocol does not know; an empty one shows just that.
    let key = key.unwrap_or_default();
    if session.global.json {
        return session.streams.json(&as_json(&key));
    }
    let enc = encryption_names(&key);
    let mut lines = vec![
        ("name", key.name.clone()),
        ("token", key.token.clone()),
        ("type", key_type_name(&key)),
        ("purpose", purpose_name(&key)),
        ("algorithms", algorithm_names(&key).join(" ")),
    ];
    if !enc.is_empty() {
        lines.push(("content encryptions", enc.join(" ")));
        lines.push(("compression", allowed(key.compression_allowed).into()));
    }
    let custody = match wire::custody_from_proto(key.custody) {
        Some(Custody::WorkerReadable) => {
            "WORKER-READABLE: the token shows it to whoever has its PIN".to_owned()
        }
        _ => custody_name(&key),
    };
    lines.push(("custody", custody));
    if key.critical {
        lines.push(("critical", "yes".to_owned()));
    }
    lines.push(("primary version", key.primary_version.clone()));
    if !key.description.is_empty() {
        lines.push(("description", output::printable(&key.description)));
    }
    for (name, value) in &key.labels {
        lines.push(("label", output::printable(&format!("{name}={value}"))));
    }
    if let Some(period) = key.rotation_period {
        let next = time_name(key.next_rotation_time);
        lines.push((
            "rotated",
            format!("every {} s, next {next}", period.seconds),
        ));
    }
    if key.maximum_uses > 0 {
        lines.push(("maximum uses", key.maximum_uses.to_string()));
    }
    if !key.etag.is_empty() {
        lines.push(("etag", output::printable(&key.etag)));
    }
    for (name, value) in lines {
        field(session.streams, "", name, &value)?;
    }
    for version in &key.versions {
        session.streams.line(&format!("\n{}", version.name))?;
        let mut lines = vec![("state", state_name(version))];
        if version.destroy_time.is_some() {
            lines.push(("destroyed", time_name(version.destroy_time)));
        }
        if version.create_time.is_some() {
            lines.push(("created", time_name(version.create_time)));
        }
        if let Some(uses) = version.uses {
            lines.push(("uses", uses.to_string()));
        }
        if !version.created_by.is_empty() {
            lines.push(("created by", output::printable(&version.created_by)));
        }
        if !version.public_key_sha256.is_empty() {
            lines.push(("thumbprint", version.thumbprint.clone()));
            lines.push(("sha-256", version.public_key_sha256.clone()));
        }
        if version.adopted {
            lines.push(("origin", "found in the token, made by others".into()));
        }
        if version.imported {
            lines.push(("origin", "imported; whoever made it may have a copy".into()));
        }
        lines.push((
            "the token says",
            version
                .attributes
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), token_says),
        ));
        for (name, value) in lines {
            field(session.streams, "  ", name, &value)?;
        }
    }
    Ok(())
}

pub(crate) fn field(
    streams: &mut Streams,
    indent: &str,
    name: &str,
    value: &str,
) -> Result<(), Trouble> {
    let width = 21 - indent.len();
    streams.line(&format!("{indent}{name:width$}{value}"))
}

fn token_says(attributes: &TokenAttributes) -> String {
    let said = |value: Option<bool>, yes: &str, no: &str, what: &str| match value {
        Some(true) => yes.to_owned(),
        Some(false) => no.to_owned(),
        None => format!("{what}: not said"),
    };
    [
        said(
            attributes.local,
            "generated inside the token",
            "NOT generated inside the token",
            "generated inside",
        ),
        said(
            attributes.sensitive,
            "sensitive",
            "NOT sensitive",
            "sensitive",
        ),
        said(
            attributes.extractable,
            "EXTRACTABLE",
            "not extractable",
            "extractable",
        ),
        said(
            attributes.always_sensitive,
            "always was sensitive",
            "was NOT always sensitive",
            "always sensitive",
        ),
        said(
            attributes.never_extractable,
            "never was extractable",
            "WAS extractable once",
            "never extractable",
        ),
    ]
    .join(", ")
}

pub(crate) fn as_json(key: &Key) -> Value {
    let versions = key
        .versions
        .iter()
        .map(|version| {
            let attributes = version.attributes.unwrap_or_default();
            json!({
                "name": version.name,
                "attributes": {
                    "local": attributes.local,
                    "sensitive": attributes.sensitive,
                    "extractable": attributes.extractable,
                    "always_sensitive": attributes.always_sensitive,
                    "never_extractable": attributes.never_extractable,
                },
                "public_key_sha256": version.public_key_sha256,
                "thumbprint": version.thumbprint,
                "adopted": version.adopted,
                "imported": version.imported,
                "state": state_name(version),
                "create_time": version.create_time.map(|time| time.to_string()),
                "destroy_time": version.destroy_time.map(|time| time.to_string()),
                "created_by": version.created_by,
                "uses": version.uses,
            })
        })
        .collect::<Vec<_>>();
    json!({
        "name": key.name,
        "token": key.token,
        "type": key_type_name(key),
        "purpose": purpose_name(key),
        "algorithms": algorithm_names(key),
        "content_encryptions": encryption_names(key),
        "compression_allowed": key.compression_allowed,
        "custody": custody_name(key),
        "critical": key.critical,
        "primary_version": key.primary_version,
        "description": key.description,
        "labels": key.labels,
        "etag": key.etag,
        "rotation_period_seconds": key.rotation_period.map(|period| period.seconds),
        "next_rotation_time": key.next_rotation_time.map(|time| time.to_string()),
        "maximum_uses": (key.maximum_uses > 0).then_some(key.maximum_uses),
        "versions": versions,
    })
}

/// `keys/payouts/versions/2` as `payouts/2`.
pub(crate) fn short(name: &str) -> String {
    match name.parse::<KeyResource>() {
        Ok(KeyResource {
            key,
            version: Some(version),
        }) => format!("{key}/{version}"),
        Ok(KeyResource { key, version: None }) => key.to_string(),
        Err(_) => output::printable(name),
    }
}

fn state_name(version: &KeyVersion) -> String {
    let name = version.state().as_str_name();
    let name = name.strip_prefix("KEY_VERSION_STATE_").unwrap_or(name);
    name.to_ascii_lowercase()
}

/// The state of all versions, or how many are in each.
fn states_name(key: &Key) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for version in &key.versions {
        let state = state_name(version);
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    match counts.as_slice() {
        [(state, _)] => state.clone(),
        several => {
            let told = several
                .iter()
                .map(|(state, count)| format!("{count} {state}"));
            told.collect::<Vec<_>>().join(", ")
        }
    }
}

/// RFC 3339.
pub(crate) fn time_name(time: Option<prost_types::Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

fn key_type_name(key: &Key) -> String {
    wire::key_type_from_proto(key.r#type)
        .map_or_else(|| arguments::unknown(key.r#type), |one| one.to_string())
}

fn purpose_name(key: &Key) -> String {
    wire::purpose_from_proto(key.purpose)
        .map_or_else(|| arguments::unknown(key.purpose), |one| one.to_string())
}

/// The weaker class in capitals: it must not be overlooked.
fn custody_name(key: &Key) -> String {
    match wire::custody_from_proto(key.custody) {
        Some(Custody::WorkerReadable) => Custody::WorkerReadable.name().to_ascii_uppercase(),
        Some(other) => other.to_string(),
        None => arguments::unknown(key.custody),
    }
}

fn algorithm_names(key: &Key) -> Vec<String> {
    let numbers = key.algorithms.iter().copied();
    numbers.map(arguments::algorithm_name).collect()
}

fn encryption_names(key: &Key) -> Vec<String> {
    let numbers = key.content_encryptions.iter().copied();
    numbers.map(arguments::content_encryption_name).collect()
}

fn allowed(yes: bool) -> &'static str {
    if yes { "allowed" } else { "refused" }
}

/// JSON inside JSON as itself, or as text should it not be any.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
