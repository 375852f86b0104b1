//! What is kept in the token beside a key of ours: its limits, and of a version that was imported, how it came.
//!
//! They are data objects of the application `chancery`: one with the key's name as its label, and one with the
//! version's label for each version that has something to tell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    algorithm::{Algorithm, ContentEncryption, KeyType, Purpose},
    key::{Custody, KeyVersion, Usage},
};

/// The limits of a key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    format: u32,
    pub(super) purpose: Purpose,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) content_encryptions: Vec<ContentEncryption>,
    pub(super) compression_allowed: bool,
    /// Left out where it is the ordinary one, so that what older programs made and read stays as it is.
    #[serde(default, skip_serializing_if = "is_ordinary")]
    pub(super) custody: Custody,
}

/// What is to be known of one version.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionRecord {
    format: u32,
    /// It came from outside.
    pub(super) imported: bool,
    /// What it is made of: tokens do not always tell how long a secret is that they unwrapped.
    key_type: String,
    /// How long a secret is, where it is also text: the object may have zeros behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secret_bytes: Option<u32>,
}

impl Record {
    pub(super) fn new(usage: &Usage, custody: Custody) -> Self {
        Self {
            format: 1,
            purpose: usage.purpose(),
            algorithms: usage.algorithms().to_vec(),
            content_encryptions: usage.content_encryptions().to_vec(),
            compression_allowed: usage.compression_allowed(),
            custody,
        }
    }

    /// Reads one; `None` if it is not of the format of this program.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes)
            .ok()
            .filter(|record: &Self| record.format == 1)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names, numbers and lists of names")
    }
}

impl VersionRecord {
    /// Of a version that comes from outside.
    pub(super) fn imported(key_type: KeyType, secret_bytes: Option<u32>) -> Self {
        Self {
            format: 1,
            imported: true,
            key_type: key_type.name().to_owned(),
            secret_bytes,
        }
    }

    /// The one of this version, if it has one; an error if it can't be read.
    pub(super) fn of(
        version: &KeyVersion,
        records: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Option<Self>, String> {
        let Some(bytes) = records.get(&version.to_string()) else {
            return Ok(None);
        };
        serde_json::from_slice(bytes)
            .ok()
            .filter(|record: &Self| record.format == 1 && record.key_type().is_some())
            .map(Some)
            .ok_or_else(|| {
                format!("the record of {version} in the token can't be read; it may be of a newer version of this program")
            })
    }

    /// What it is made of.
    pub(super) fn key_type(&self) -> Option<KeyType> {
        self.key_type.parse().ok()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and numbers")
    }
}

fn is_ordinary(custody: &Custody) -> bool {
    *custody == Custody::TokenOnly
}
