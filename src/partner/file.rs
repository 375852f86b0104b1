//! A partner's file as it is written.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use crate::{key::KeyName, partner::PartnerName, scheme::SchemeName};

/// One partner's file; read by serde, and turned into a partner by [`Partners::add`](super::Partners::add).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub(super) partner: Head,
    #[serde(default)]
    pub(super) constants: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) keys: BTreeMap<String, KeyEntry>,
    pub(super) schemes: BTreeMap<SchemeName, SchemeEntry>,
}

/// `[partner]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) name: PartnerName,
    pub(super) title: String,
}

/// `[schemes.NAME]`: what holds for this scheme alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemeEntry {
    #[serde(default)]
    pub(super) constants: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) keys: BTreeMap<String, KeyEntry>,
    pub(super) window: Option<Window>,
    pub(super) access_tokens: Option<AccessTokens>,
}

/// `[keys.ROLE]`: a key in a token, or public keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyEntry {
    pub(super) key: Option<KeyName>,
    pub(super) id: Option<String>,
    pub(super) certificate_serial: Option<String>,
    pub(super) public_keys: Option<Vec<PublicKeyEntry>>,
}

/// A public key: in a file or in the entry itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublicKeyEntry {
    pub(super) file: Option<PathBuf>,
    pub(super) pem: Option<String>,
    pub(super) id: Option<String>,
    pub(super) certificate_serial: Option<String>,
}

/// `window`: in place of the scheme's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    pub(super) past_seconds: u64,
    pub(super) future_seconds: u64,
}

/// `access_tokens`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessTokens {
    pub(super) key: KeyName,
    pub(super) lifetime_seconds: u32,
}
