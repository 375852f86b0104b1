//! What KeyService has to say of the life of a key: versions, states, labels, rotation.

use std::{collections::BTreeMap, time::Duration};

use prost_types::FieldMask;
use tonic::{Request, Response, Status};

use super::{Services, key_name, keys::describe, once::identified, selector, status::invalid};
use crate::{
    key::KeyVersion,
    proto::v1,
    signer::{Selector, Update},
    store::{Timestamp, VersionState},
};

type Answer<T> = Result<Response<T>, Status>;

impl Services {
    pub(super) async fn new_version(
        &self,
        request: Request<v1::CreateKeyVersionRequest>,
    ) -> Answer<v1::CreateKeyVersionResponse> {
        let call = self.call(&request, "KeyService.CreateKeyVersion")?;
        let asked = request.into_inner();
        let name = key_name(&asked.name)?;
        let once = identified("CreateKeyVersion", &asked.request_id, &asked)?;
        self.once(call, once, async move |signer, call| {
            let key = signer
                .create_key_version(&call, &name, asked.make_primary)
                .await?;
            Ok(v1::CreateKeyVersionResponse {
                key: Some(describe(&key)),
            })
        })
        .await
    }

    pub(super) async fn update(
        &self,
        request: Request<v1::UpdateKeyRequest>,
    ) -> Answer<v1::UpdateKeyResponse> {
        let call = self.call(&request, "KeyService.UpdateKey")?;
        let asked = request.into_inner();
        let once = identified("UpdateKey", &asked.request_id, &asked)?;
        let key = asked
            .key
            .ok_or_else(|| invalid("KEY_NAME_INVALID", "`key` is not set"))?;
        let name = key_name(&key.name)?;
        let mut update = Update {
            etag: (!key.etag.is_empty()).then(|| key.etag.clone()),
            ..Update::default()
        };
        let known = [
            "description",
            "labels",
            "primary_version",
            "rotation_period",
            "maximum_uses",
        ];
        for path in paths(asked.update_mask, &known)? {
            match path.as_str() {
                "description" => update.description = Some(description(&key.description)?),
                "labels" => update.labels = Some(labels(key.labels.clone())?),
                "primary_version" => {
                    let version = version(&key.primary_version, "key.primary_version")?;
                    if version.key != name {
                        return Err(invalid(
                            "KEY_NAME_INVALID",
                            "`key.primary_version` is a version of another key",
                        ));
                    }
                    update.primary = Some(version.version);
                }
                "maximum_uses" => {
                    update.maximum_uses = Some(maximum_uses(key.maximum_uses, "key.maximum_uses")?);
                }
                _ => update.rotation_period = Some(period(key.rotation_period)?),
            }
        }
        self.once(call, once, async move |signer, call| {
            let key = signer.update_key(&call, &name, update).await?;
            Ok(v1::UpdateKeyResponse {
                key: Some(describe(&key)),
            })
        })
        .await
    }

    pub(super) async fn update_version(
        &self,
        request: Request<v1::UpdateKeyVersionRequest>,
    ) -> Answer<v1::UpdateKeyVersionResponse> {
        let call = self.call(&request, "KeyService.UpdateKeyVersion")?;
        let asked = request.into_inner();
        let once = identified("UpdateKeyVersion", &asked.request_id, &asked)?;
        let wanted = asked.key_version.unwrap_or_default();
        let name = version(&wanted.name, "key_version.name")?;
        paths(asked.update_mask, &["state"])?;
        let enable = match wanted.state() {
            v1::KeyVersionState::Enabled => true,
            v1::KeyVersionState::Disabled => false,
            v1::KeyVersionState::Unspecified
            | v1::KeyVersionState::DestroyScheduled
            | v1::KeyVersionState::Destroyed => {
                return Err(invalid(
                    "KEY_VERSION_STATE_INVALID",
                    "`key_version.state` is neither ENABLED nor DISABLED; for the others there are DestroyKeyVersion and RestoreKeyVersion",
                ));
            }
        };
        let etag = etag(asked.etag);
        self.once(call, once, async move |signer, call| {
            let key = signer
                .enable_key_version(&call, &name, enable, etag.as_deref())
                .await?;
            Ok(v1::UpdateKeyVersionResponse {
                key: Some(describe(&key)),
            })
        })
        .await
    }

    pub(super) async fn destroy_version(
        &self,
        request: Request<v1::DestroyKeyVersionRequest>,
    ) -> Answer<v1::DestroyKeyVersionResponse> {
        let call = self.call(&request, "KeyService.DestroyKeyVersion")?;
        let asked = request.into_inner();
        let once = identified("DestroyKeyVersion", &asked.request_id, &asked)?;
        let name = version(&asked.name, "name")?;
        let etag = etag(asked.etag);
        self.once(call, once, async move |signer, call| {
            let key = signer
                .destroy_key_version(&call, &name, etag.as_deref())
                .await?;
            Ok(v1::DestroyKeyVersionResponse {
                key: Some(describe(&key)),
            })
        })
        .await
    }

    pub(super) async fn restore_version(
        &self,
        request: Request<v1::RestoreKeyVersionRequest>,
    ) -> Answer<v1::RestoreKeyVersionResponse> {
        let call = self.call(&request, "KeyService.RestoreKeyVersion")?;
        let asked = request.into_inner();
        let once = identified("RestoreKeyVersion", &asked.request_id, &asked)?;
        let name = version(&asked.name, "name")?;
        let etag = etag(asked.etag);
        self.once(call, once, async move |signer, call| {
            let key = signer
                .restore_key_version(&call, &name, etag.as_deref())
                .await?;
            Ok(v1::RestoreKeyVersionResponse {
                key: Some(describe(&key)),
            })
        })
        .await
    }
}

/// A state as the protocol has it.
pub(super) const fn state(state: VersionState) -> v1::KeyVersionState {
    match state {
        VersionState::Enabled => v1::KeyVersionState::Enabled,
        VersionState::Disabled => v1::KeyVersionState::Disabled,
        VersionState::DestroyScheduled => v1::KeyVersionState::DestroyScheduled,
        VersionState::Destroyed => v1::KeyVersionState::Destroyed,
    }
}

/// A moment as the protocol has it.
pub(super) fn moment(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.0.div_euclid(1000),
        nanos: i32::try_from(time.0.rem_euclid(1000)).unwrap_or_default() * 1_000_000,
    }
}

pub(super) fn version(name: &str, field: &str) -> Result<KeyVersion, Status> {
    match selector(name)? {
        Selector {
            key,
            version: Some(version),
        } => Ok(KeyVersion { key, version }),
        Selector { .. } => Err(invalid(
            "KEY_NAME_INVALID",
            format!("`{field}` is that of a key; expected keys/KEY/versions/VERSION"),
        )),
    }
}

/// At least one, and none that is not known: nothing is changed by a name that was mistyped.
fn paths(mask: Option<FieldMask>, known: &[&str]) -> Result<Vec<String>, Status> {
    let paths = mask.unwrap_or_default().paths;
    let expected = known.join(", ");
    if paths.is_empty() {
        return Err(invalid(
            "UPDATE_MASK_EMPTY",
            format!("`update_mask` names nothing; expected some of {expected}"),
        ));
    }
    match paths.iter().find(|path| !known.contains(&path.as_str())) {
        None => Ok(paths),
        Some(path) => Err(invalid(
            "UPDATE_MASK_UNKNOWN",
            format!(
                "`update_mask` names {:?}, which can't be changed; expected some of {expected}",
                path.chars().take(64).collect::<String>()
            ),
        )),
    }
}

fn description(text: &str) -> Result<String, Status> {
    if text.chars().count() > MOST_DESCRIPTION || text.chars().any(char::is_control) {
        return Err(invalid(
            "DESCRIPTION_INVALID",
            format!(
                "`key.description` has more than {MOST_DESCRIPTION} characters, or control characters"
            ),
        ));
    }
    Ok(text.to_owned())
}

fn labels(labels: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Status> {
    let is_name = |name: &str| {
        (1..=63).contains(&name.len())
            && name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    };
    let is_value =
        |value: &str| value.chars().count() <= 63 && !value.chars().any(char::is_control);
    let fits = |(name, value): (&String, &String)| is_name(name) && is_value(value);
    if labels.len() > 64 || !labels.iter().all(fits) {
        return Err(invalid(
            "LABELS_INVALID",
            "`key.labels` are more than 64, or one is not a name of 1 to 63 of a-z 0-9 _ - with a value of at most 63 characters",
        ));
    }
    Ok(labels)
}

fn period(period: Option<prost_types::Duration>) -> Result<Option<Duration>, Status> {
    let Some(period) = period else {
        return Ok(None);
    };
    let seconds = u64::try_from(period.seconds).unwrap_or_default();
    if period.nanos != 0 || !(1..=LONGEST_PERIOD).contains(&seconds) {
        return Err(invalid(
            "ROTATION_PERIOD_INVALID",
            format!(
                "`key.rotation_period` is not a whole number of seconds from 1 to {LONGEST_PERIOD}"
            ),
        ));
    }
    Ok(Some(Duration::from_secs(seconds)))
}

/// 0 is no limit.
pub(super) fn maximum_uses(number: i64, field: &str) -> Result<Option<u64>, Status> {
    match u64::try_from(number) {
        Ok(0) => Ok(None),
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(invalid(
            "MAXIMUM_USES_INVALID",
            format!("`{field}` is {number}; expected a number of uses, or 0 for no limit"),
        )),
    }
}

pub(super) fn etag(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

const MOST_DESCRIPTION: usize = 1024;
/// A hundred years.
const LONGEST_PERIOD: u64 = 100 * 365 * 86_400;
