//! `GET /api/v2/sdk/public-key`, as Huawei OneAccess has it: the public half of a key of ours, chosen by the client id
//! of the application that asks, for mobile backends whose applications know that interface.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use crate::key::{KeyName, pem};

/// `[[admin.oneaccess_public_keys]]`: which application gets which key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKeyOfClient {
    /// What `X-client-id` says.
    pub client_id: String,
    /// The key whose primary version's public half is given.
    pub key: KeyName,
}

/// Where it is served.
pub(super) const PATH: &str = "/api/v2/sdk/public-key";

pub(super) async fn public_key(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let (status, answer) = answer(&shared, &headers);
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, answer.to_string())
}

fn answer(shared: &Shared, headers: &HeaderMap) -> (StatusCode, Value) {
    let refuse = |code: &str, message: &str| {
        let body = json!({"error_code": code, "error_msg": message});
        (StatusCode::BAD_REQUEST, body)
    };
    let mut given = headers.get_all("x-client-id").iter();
    let (Some(client_id), None) = (given.next(), given.next()) else {
        return refuse("CLIENT_ID_MISSING", "expected the header X-client-id, once");
    };
    let known = &shared.oneaccess_public_keys;
    let Some(entry) = known
        .iter()
        .find(|one| one.client_id.as_bytes() == client_id.as_bytes())
    else {
        return refuse("CLIENT_ID_UNKNOWN", "no application has this X-client-id");
    };
    let tables = shared
        .shown
        .signer
        .tokens()
        .iter()
        .map(|token| token.keys());
    let found = tables
        .filter_map(|table| table.get(&entry.key).cloned())
        .collect::<Vec<_>>();
    let [key] = found.as_slice() else {
        return refuse(
            "PUBLIC_KEY_UNAVAILABLE",
            "the application's key is not available",
        );
    };
    match shared
        .shown
        .signer
        .view(Arc::clone(key))
        .primary()
        .and_then(|primary| primary.public.as_ref())
    {
        Some(public) => {
            // The interface's own example has no line end after the last line.
            let text = pem("PUBLIC KEY", public.der());
            (StatusCode::OK, json!({"public_key": text.trim_end()}))
        }
        None => refuse(
            "PUBLIC_KEY_UNAVAILABLE",
            "the application's key is a secret",
        ),
    }
}
