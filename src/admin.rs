//! A plain HTTP port on loopback for operators: alive, ready, metrics, the public keys, a status page.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::registry::Registry;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    grpc::Calls,
    key::KeyVersion,
    pkcs11::{Health, Key, jwks},
    policy::KeyPattern,
    signer::Signer,
    tls::Endpoint,
};

pub use oneaccess::PublicKeyOfClient;

mod metrics;
mod oneaccess;
mod page;

/// `[admin]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port; loopback only.
    pub address: SocketAddr,
    /// Whose public halves `/.well-known/jwks.json` shows: names, or prefixes ending in `*`.
    #[serde(default)]
    pub jwks_keys: Vec<KeyPattern>,
    /// Whose public halves `/api/v2/sdk/public-key` gives to which applications, in the shape of OneAccess.
    #[serde(default)]
    pub oneaccess_public_keys: Vec<PublicKeyOfClient>,
}

/// What there is to show.
#[derive(Clone)]
pub struct Shown {
    /// The tokens and the policy.
    pub signer: Arc<Signer>,
    /// The door, and what happened there.
    pub endpoint: Arc<Endpoint>,
    /// The calls.
    pub calls: Arc<Calls>,
}

struct Shared {
    shown: Shown,
    registry: Registry,
    jwks_keys: Vec<KeyPattern>,
    oneaccess_public_keys: Vec<PublicKeyOfClient>,
}

/// Serves until told to stop.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shown: Shown,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let shared = Arc::new(Shared {
        registry: metrics::registry(shown.clone()),
        shown,
        jwks_keys: config.jwks_keys,
        oneaccess_public_keys: config.oneaccess_public_keys,
    });
    let router = Router::new()
        .route("/", get(status_page))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(all_metrics))
        .route("/.well-known/jwks.json", get(public_keys))
        .route(oneaccess::PATH, get(oneaccess::public_key))
        .with_state(shared);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn status_page(State(shared): State<Arc<Shared>>) -> Result<impl IntoResponse, StatusCode> {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let page = page::page(&shared.shown).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok((headers, page))
}

async fn all_metrics(State(shared): State<Arc<Shared>>) -> Result<impl IntoResponse, StatusCode> {
    let text = metrics::text(&shared.registry).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}

/// 200 if every token and the store are up and the audit log is written, else 503; a line for each.
async fn ready(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let mut text = String::new();
    let mut code = StatusCode::OK;
    for token in shared.shown.signer.tokens() {
        let health = token.health().borrow().clone();
        if health != Health::Ready {
            code = StatusCode::SERVICE_UNAVAILABLE;
        }
        let health = match health {
            Health::Starting => "starting".to_owned(),
            Health::Ready => "ready".to_owned(),
            Health::Down(why) => format!("down: {why}"),
        };
        text.push_str(&format!("{}: {health}\n", token.name()));
    }
    if let Some(fault) = shared.shown.signer.audit_fault() {
        code = StatusCode::SERVICE_UNAVAILABLE;
        text.push_str(&format!("audit log: down: {fault}\n"));
    }
    let (class, health) = page::store(&shared.shown);
    if class != "good" {
        code = StatusCode::SERVICE_UNAVAILABLE;
    }
    text.push_str(&format!("store: {health}\n"));
    // The old one serves, so this makes nothing unready.
    if let Some(why) = shared.shown.signer.policy_trouble() {
        text.push_str(&format!("policy: the file is refused: {why}\n"));
    }
    (code, text)
}

async fn public_keys(
    State(shared): State<Arc<Shared>>,
) -> Result<
    impl IntoResponse,
    (
        StatusCode,
        [(header::HeaderName, &'static str); 1],
        &'static str,
    ),
> {
    let tokens = shared.shown.signer.tokens();
    // Verifiers keep what they got: a short list for as long as it says, and longer.
    if !shared.jwks_keys.is_empty() && tokens.iter().any(|token| token.known().is_err()) {
        return Err((
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::CACHE_CONTROL, "no-store")],
            "a token was not available yet since the daemon started; its keys are not known\n",
        ));
    }
    let tables: Vec<_> = shared
        .shown
        .signer
        .tokens()
        .iter()
        .map(|token| token.keys())
        .collect();
    let shown = |key: &&Arc<Key>| {
        shared
            .jwks_keys
            .iter()
            .any(|pattern| pattern.matches(&key.name))
    };
    let keys = tables
        .iter()
        .flat_map(|table| table.iter())
        .filter(shown)
        .map(Arc::as_ref);
    let headers = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    let is_published = |version: &KeyVersion| shared.shown.signer.is_published(version);
    Ok((headers, jwks(keys, is_published).to_string()))
}
