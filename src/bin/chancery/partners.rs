//! `chancery partners`: the counterparties that the daemon knows, and whether their keys are ready.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use chancery::{
    partner::PartnerName,
    proto::v1::{GetPartnerRequest, ListPartnersRequest, Partner, PartnerKey, PartnerScheme},
    wire::{self, PartnerResource},
};

use crate::{Session, output::printable, trouble::Trouble};

mod fetch;
mod secret;

#[derive(Subcommand)]
pub(crate) enum Partners {
    /// List the partners that you may do anything with
    List,
    Show(Show),
    FetchPublicKey(fetch::FetchPublicKey),
    /// Put a partner's shared secret into the token
    #[command(subcommand)]
    Secret(secret::Secret),
}

/// Show a partner: its schemes, and which key plays which part
///
/// Exits with 1 if a key is not ready.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chancery partners show ayolinx\n  chancery --json partners show ayolinx"
)]
pub(crate) struct Show {
    /// NAME or partners/NAME
    #[arg(value_name = "PARTNER", value_parser = partner_name)]
    partner: PartnerName,
}

/// Reads `ayolinx` or `partners/ayolinx`.
pub(crate) fn partner_name(text: &str) -> Result<PartnerName, String> {
    if text.starts_with("partners/") {
        let PartnerResource(name) = text.parse().map_err(|error| format!("{error}"))?;
        return Ok(name);
    }
    text.parse().map_err(|error| format!("{error}"))
}

impl Partners {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        match self {
            Self::List => list(session).await,
            Self::Show(show) => show.run(session).await,
            Self::FetchPublicKey(fetch) => fetch.run(session).await,
            Self::Secret(secret::Secret::Set(set)) => set.run(session).await,
        }
    }
}

/// The partners that the caller may see.
pub(crate) async fn all(session: &mut Session<'_>) -> Result<Vec<Partner>, Trouble> {
    let client = session.client()?;
    let mut partners = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListPartnersRequest {
            page_size: 1000,
            page_token,
        };
        let mut service = client.partners();
        let page = service.list_partners(client.request(request));
        let page = page.await?.into_inner();
        partners.extend(page.partners);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(partners);
        }
    }
}

async fn list(session: &mut Session<'_>) -> Result<(), Trouble> {
    let partners = all(session).await?;
    if session.global.json {
        let partners: Vec<_> = partners.iter().map(as_json).collect();
        return session.streams.json(&json!({"partners": partners}));
    }
    let rows = partners.iter().map(|partner| {
        let schemes: Vec<_> = partner
            .schemes
            .iter()
            .map(|one| short(&one.scheme))
            .collect();
        let keys = partner.schemes.iter().flat_map(|one| &one.keys);
        let waiting = keys.filter(|key| !key.ready).count();
        let ready = match waiting {
            0 => "yes".to_owned(),
            some => format!("no: {some} of its keys"),
        };
        vec![
            short(&partner.name),
            printable(&partner.title),
            schemes.join(" "),
            ready,
        ]
    });
    let rows = rows.collect();
    session
        .streams
        .table(&["partner", "title", "schemes", "ready"], rows)
}

impl Show {
    async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let client = session.client()?;
        let request = GetPartnerRequest {
            name: PartnerResource(self.partner).to_string(),
        };
        let mut service = client.partners();
        let response = service.get_partner(client.request(request));
        let partner = response.await?.into_inner().partner.unwrap_or_default();
        if session.global.json {
            session.streams.json(&as_json(&partner))?;
        } else {
            show(session, &partner)?;
        }
        let mut keys = partner.schemes.iter().flat_map(|one| &one.keys);
        match keys.all(|key| key.ready) {
            true => Ok(()),
            false => Err(Trouble::NotValid),
        }
    }
}

fn show(session: &mut Session<'_>, partner: &Partner) -> Result<(), Trouble> {
    let mut constants: Vec<_> = partner.constants.iter().collect();
    constants.sort();
    session.streams.tell(&format!(
        "{}: {}",
        short(&partner.name),
        printable(&partner.title)
    ));
    for (name, value) in constants {
        let line = format!("  {} = {:?}", printable(name), printable(value));
        session.streams.tell(&line);
    }
    let row = |scheme: &PartnerScheme, key: &PartnerKey| {
        let state = match key.ready {
            true => "ready".to_owned(),
            false => format!("NOT READY: {}", printable(&key.problem)),
        };
        vec![
            short(&scheme.scheme),
            printable(&key.role),
            algorithm(key),
            holder(key),
            state,
        ]
    };
    let schemes = partner.schemes.iter();
    let rows = schemes.flat_map(|scheme| scheme.keys.iter().map(move |key| row(scheme, key)));
    let rows = rows.collect();
    session
        .streams
        .table(&["scheme", "role", "algorithm", "key", "state"], rows)
}

/// A key of ours by its name, theirs by what they can be told from one another by.
fn holder(key: &PartnerKey) -> String {
    if !key.key.is_empty() {
        return printable(&key.key);
    }
    let one = |key: &chancery::proto::v1::PartnerPublicKey| {
        let digest = hex::encode(&key.sha256);
        match key.id.as_str() {
            "" => format!("sha256:{digest}"),
            id => format!("{} sha256:{digest}", printable(id)),
        }
    };
    let keys: Vec<_> = key.public_keys.iter().map(one).collect();
    keys.join(", ")
}

fn algorithm(key: &PartnerKey) -> String {
    wire::algorithm_from_proto(key.algorithm).map_or_else(|| "-".to_owned(), |one| one.to_string())
}

fn as_json(partner: &Partner) -> Value {
    let key = |key: &PartnerKey| {
        let public = key.public_keys.iter().map(|one| {
            json!({"pem": one.pem, "sha256": crate::output::base64(&one.sha256), "id": one.id})
        });
        let algorithm = wire::algorithm_from_proto(key.algorithm);
        json!({
            "role": key.role,
            "algorithm": algorithm.map(|one| one.to_string()),
            "description": key.description,
            "key": key.key,
            "public_keys": public.collect::<Vec<_>>(),
            "secret_encoding": key.secret_encoding,
            "ready": key.ready,
            "problem": key.problem,
        })
    };
    let scheme = |one: &PartnerScheme| {
        json!({
            "scheme": one.scheme,
            "acts": acts(&one.acts),
            "keys": one.keys.iter().map(key).collect::<Vec<_>>(),
        })
    };
    json!({
        "name": partner.name,
        "title": partner.title,
        "constants": partner.constants,
        "schemes": partner.schemes.iter().map(scheme).collect::<Vec<_>>(),
    })
}

pub(crate) fn acts(numbers: &[i32]) -> Vec<&'static str> {
    let known = numbers.iter().filter_map(|one| wire::act_from_proto(*one));
    known.map(chancery::scheme::Act::name).collect()
}

/// The last part of a resource name.
pub(crate) fn short(name: &str) -> String {
    printable(name.rsplit('/').next().unwrap_or_default())
}
