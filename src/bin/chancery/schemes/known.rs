//! `chancery schemes list` and `show`: the schemes of the daemon, or those that are built in.

use clap::Args;
use serde_json::{Value, json};

use chancery::{
    proto::v1::{
        GetSchemeRequest, ListSchemesRequest, Scheme as Told, SchemeConfidence, SchemeKey,
        SchemeParameter,
    },
    scheme::{BUILT_IN, Scheme, SchemeName},
    wire::{self, SchemeResource},
};

use crate::{
    Session,
    output::printable,
    partners::{acts, short},
    trouble::Trouble,
};

/// List the schemes: what each can do, how sure its rules are, and how many of its test vectors were published
#[derive(Args)]
pub(crate) struct List {
    /// Those that are built in, without a daemon
    #[arg(long)]
    offline: bool,
}

/// Show a scheme: where its rules come from, what it needs, and what an integrator must know
#[derive(Args)]
pub(crate) struct Show {
    /// NAME or schemes/NAME
    #[arg(value_name = "SCHEME", value_parser = scheme_name)]
    scheme: SchemeName,
    /// One that is built in, without a daemon
    #[arg(long)]
    offline: bool,
}

fn scheme_name(text: &str) -> Result<SchemeName, String> {
    if text.starts_with("schemes/") {
        let SchemeResource(name) = text.parse().map_err(|error| format!("{error}"))?;
        return Ok(name);
    }
    text.parse().map_err(|error| format!("{error}"))
}

impl List {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let schemes = match self.offline {
            true => built_in()?,
            false => of_daemon(session).await?,
        };
        if session.global.json {
            let schemes: Vec<_> = schemes.iter().map(as_json).collect();
            return session.streams.json(&json!({"schemes": schemes}));
        }
        let row = |scheme: &Told| {
            vec![
                short(&scheme.name),
                acts(&scheme.acts).join(" "),
                confidence(scheme).to_owned(),
                format!("{}/{}", scheme.published_vector_count, scheme.vector_count),
                printable(&scheme.title),
            ]
        };
        let rows = schemes.iter().map(row).collect();
        let header = ["scheme", "does", "rules", "vectors published", "title"];
        session.streams.table(&header, rows)
    }
}

impl Show {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let scheme = if self.offline {
            let name = SchemeResource(self.scheme.clone()).to_string();
            let found = built_in()?.into_iter().find(|one| one.name == name);
            found.ok_or_else(|| {
                Trouble::Scheme(format!("no scheme named {} is built in", self.scheme))
            })?
        } else {
            let client = session.client()?;
            let request = GetSchemeRequest {
                name: SchemeResource(self.scheme).to_string(),
            };
            let mut service = client.partners();
            let response = service.get_scheme(client.request(request));
            response.await?.into_inner().scheme.unwrap_or_default()
        };
        if session.global.json {
            return session.streams.json(&as_json(&scheme));
        }
        session.streams.line(&page(&scheme))
    }
}

fn built_in() -> Result<Vec<Told>, Trouble> {
    let one = |file: &chancery::scheme::BuiltIn| {
        let scheme = Scheme::parse(file.text);
        let scheme = scheme.map_err(|error| Trouble::Scheme(format!("{}: {error}", file.file)))?;
        Ok(wire::scheme_to_proto(&scheme))
    };
    BUILT_IN.iter().map(one).collect()
}

async fn of_daemon(session: &Session<'_>) -> Result<Vec<Told>, Trouble> {
    let client = session.client()?;
    let mut schemes = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListSchemesRequest {
            page_size: 1000,
            page_token,
        };
        let mut service = client.partners();
        let page = service.list_schemes(client.request(request));
        let page = page.await?.into_inner();
        schemes.extend(page.schemes);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(schemes);
        }
    }
}

fn page(scheme: &Told) -> String {
    let mut lines = vec![
        format!("{}: {}", short(&scheme.name), printable(&scheme.title)),
        format!("does        {}", acts(&scheme.acts).join(", ")),
        format!(
            "rules       {}: {}",
            confidence(scheme),
            printable(&scheme.source)
        ),
        format!(
            "vectors     {}, of which {} published",
            scheme.vector_count, scheme.published_vector_count
        ),
        format!("protects    {}", protections(scheme)),
    ];
    if scheme.secret_in_message {
        lines.push("custody     the secret is part of the message, so the token's worker must be able to read it".to_owned());
    }
    for (what, list) in [("constant", &scheme.constants), ("input", &scheme.inputs)] {
        for SchemeParameter {
            name,
            description,
            optional,
            ..
        } in list
        {
            let may = if *optional { " (may be left out)" } else { "" };
            lines.push(format!(
                "{what:11} {}{may}: {}",
                printable(name),
                printable(description)
            ));
        }
    }
    for key in &scheme.keys {
        let algorithm = wire::algorithm_from_proto(key.algorithm);
        let algorithm = algorithm.map(|one| one.to_string()).unwrap_or_default();
        let encoding = match key.secret_encoding.as_str() {
            "" => String::new(),
            encoding => format!(", a secret written as {}", printable(encoding)),
        };
        lines.push(format!(
            "key         {} ({} {algorithm}{encoding}): {}",
            printable(&key.role),
            key.uses.join(" "),
            printable(&key.description)
        ));
    }
    if !scheme.notes.is_empty() {
        lines.push(String::new());
        lines.push(printable(scheme.notes.trim_end()));
    }
    lines.join("\n")
}

fn protections(scheme: &Told) -> String {
    let Some(protections) = &scheme.protections else {
        return "nothing is verified".to_owned();
    };
    let seconds = |one: Option<&prost_types::Duration>| one.map_or(0, |one| one.seconds);
    let mut words = Vec::new();
    match (&protections.past_window, &protections.future_window) {
        (None, None) => words.push("no time is signed".to_owned()),
        (past, future) => words.push(format!(
            "messages older than {} s or {} s in the future are refused",
            seconds(past.as_ref()),
            seconds(future.as_ref())
        )),
    }
    words.push(match protections.replay {
        true => "repeated messages are told from new ones".to_owned(),
        false => "messages can't be told from one another".to_owned(),
    });
    if protections.echo {
        words.push("answers name their requests".to_owned());
    }
    words.join("; ")
}

fn confidence(scheme: &Told) -> &'static str {
    match SchemeConfidence::try_from(scheme.confidence) {
        Ok(SchemeConfidence::Documented) => "documented",
        Ok(SchemeConfidence::Integrators) => "integrators",
        Ok(SchemeConfidence::OurReading) => "our reading",
        Ok(SchemeConfidence::Unspecified) | Err(_) => "unknown",
    }
}

fn as_json(scheme: &Told) -> Value {
    let parameter = |one: &SchemeParameter| {
        json!({
            "name": one.name,
            "description": one.description,
            "optional": one.optional,
            "secret": one.secret,
        })
    };
    let key = |one: &SchemeKey| {
        let algorithm = wire::algorithm_from_proto(one.algorithm);
        json!({
            "role": one.role,
            "description": one.description,
            "algorithm": algorithm.map(|one| one.to_string()),
            "uses": one.uses,
            "secret_encoding": one.secret_encoding,
        })
    };
    let protections = scheme.protections.as_ref().map(|one| {
        json!({
            "past_window_seconds": one.past_window.map(|one| one.seconds),
            "future_window_seconds": one.future_window.map(|one| one.seconds),
            "replay": one.replay,
            "echo": one.echo,
        })
    });
    json!({
        "name": scheme.name,
        "title": scheme.title,
        "source": scheme.source,
        "confidence": confidence(scheme),
        "notes": scheme.notes,
        "acts": acts(&scheme.acts),
        "constants": scheme.constants.iter().map(parameter).collect::<Vec<_>>(),
        "inputs": scheme.inputs.iter().map(parameter).collect::<Vec<_>>(),
        "keys": scheme.keys.iter().map(key).collect::<Vec<_>>(),
        "secret_in_message": scheme.secret_in_message,
        "protections": protections,
        "vector_count": scheme.vector_count,
        "published_vector_count": scheme.published_vector_count,
    })
}
