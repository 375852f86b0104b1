//! KeyService.

use std::{collections::BTreeSet, sync::Arc};

use tonic::{Request, Response, Status};

use super::{
    Services, algorithm, content_encryption, key_name, lifecycle, once::identified, selector,
    status::invalid,
};
use crate::{
    key::{KeyName, KeyVersion, Version},
    pkcs11::{Key, VersionFacts},
    proto::v1::{self, key_service_server::KeyService},
    signer::{Certify, KeyRequest, KeyView},
    wire::{self, KeyResource},
};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl KeyService for Services {
    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Answer<v1::CreateKeyResponse> {
        let call = self.call(&request, "KeyService.CreateKey")?;
        let asked = request.into_inner();
        let once = identified("CreateKey", &asked.request_id, &asked)?;
        let wanted = key_request(asked)?;
        self.once(call, once, async move |signer, call| {
            let key = signer.create_key(&call, wanted).await?;
            Ok(v1::CreateKeyResponse {
                key: Some(describe(&key)),
            })
        })
        .await
    }

    async fn get_import_wrapping_key(
        &self,
        request: Request<v1::GetImportWrappingKeyRequest>,
    ) -> Answer<v1::GetImportWrappingKeyResponse> {
        self.wrapping_key(request).await
    }

    async fn import_key(
        &self,
        request: Request<v1::ImportKeyRequest>,
    ) -> Answer<v1::ImportKeyResponse> {
        self.import(request).await
    }

    async fn import_key_version(
        &self,
        request: Request<v1::ImportKeyVersionRequest>,
    ) -> Answer<v1::ImportKeyVersionResponse> {
        self.import_version(request).await
    }

    async fn create_key_version(
        &self,
        request: Request<v1::CreateKeyVersionRequest>,
    ) -> Answer<v1::CreateKeyVersionResponse> {
        self.new_version(request).await
    }

    async fn update_key(
        &self,
        request: Request<v1::UpdateKeyRequest>,
    ) -> Answer<v1::UpdateKeyResponse> {
        self.update(request).await
    }

    async fn update_key_version(
        &self,
        request: Request<v1::UpdateKeyVersionRequest>,
    ) -> Answer<v1::UpdateKeyVersionResponse> {
        self.update_version(request).await
    }

    async fn destroy_key_version(
        &self,
        request: Request<v1::DestroyKeyVersionRequest>,
    ) -> Answer<v1::DestroyKeyVersionResponse> {
        self.destroy_version(request).await
    }

    async fn restore_key_version(
        &self,
        request: Request<v1::RestoreKeyVersionRequest>,
    ) -> Answer<v1::RestoreKeyVersionResponse> {
        self.restore_version(request).await
    }

    async fn get_key(&self, request: Request<v1::GetKeyRequest>) -> Answer<v1::GetKeyResponse> {
        let call = self.call(&request, "KeyService.GetKey")?;
        let key = self
            .signer
            .key(&call, &key_name(&request.get_ref().name)?)
            .await?;
        let uses = self.signer.uses(&key).await;
        let mut told = describe(&key);
        for version in &mut told.versions {
            let resource = version.name.parse::<KeyResource>().ok();
            let number = resource.and_then(|resource| resource.version);
            let uses = number.and_then(|number| uses.get(&number));
            version.uses = uses.map(|uses| uses.cast_signed());
        }
        Ok(Response::new(v1::GetKeyResponse { key: Some(told) }))
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Answer<v1::ListKeysResponse> {
        let call = self.call(&request, "KeyService.ListKeys")?;
        let v1::ListKeysRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let size = match page_size {
            0 => 100,
            1.. => page_size.min(1000) as usize,
            _ => {
                return Err(invalid(
                    "PAGE_SIZE_INVALID",
                    format!("`page_size` is {page_size}; expected 0 to 1000"),
                ));
            }
        };
        // The token is the name that the last page ended with: it stays right when keys come and go.
        let after: Option<KeyName> = match page_token.as_str() {
            "" => None,
            name => Some(name.parse().map_err(|_| {
                invalid(
                    "PAGE_TOKEN_INVALID",
                    "`page_token` is not one that this service gave",
                )
            })?),
        };
        let mut keys = self.signer.keys(&call)?;
        keys.retain(|key| after.as_ref().is_none_or(|after| key.name > *after));
        let more = keys.len() > size;
        keys.truncate(size);
        let next_page_token = keys
            .last()
            .filter(|_| more)
            .map(|key| key.name.to_string())
            .unwrap_or_default();
        Ok(Response::new(v1::ListKeysResponse {
            keys: keys.iter().map(describe).collect(),
            next_page_token,
        }))
    }

    async fn get_public_key(
        &self,
        request: Request<v1::GetPublicKeyRequest>,
    ) -> Answer<v1::GetPublicKeyResponse> {
        let call = self.call(&request, "KeyService.GetPublicKey")?;
        let wanted = selector(&request.get_ref().name)?;
        let view = self.signer.key(&call, &wanted.key).await?;
        let no_key = || crate::signer::Error::NoSuchKey(wanted.key.clone());
        let key = view.key.as_ref().ok_or_else(no_key)?;
        let facts = match wanted.version {
            None => view.primary().ok_or_else(no_key)?,
            Some(version) => {
                let version = KeyVersion {
                    key: wanted.key,
                    version,
                };
                key.version(&version)
                    .ok_or(crate::signer::Error::NoSuchVersion(version))?
            }
        };
        let public = facts.public.as_ref().ok_or_else(|| {
            invalid(
                "KEY_HAS_NO_PUBLIC_HALF",
                format!("{} is a secret; it has no public half", facts.version),
            )
        })?;
        Ok(Response::new(v1::GetPublicKeyResponse {
            name: KeyResource::from(facts.version.clone()).to_string(),
            pem: public.pem(),
            der: public.der().to_vec().into(),
            jwk: serde_json::Value::Object(key.jwk(facts).unwrap_or_default()).to_string(),
            thumbprint: public.thumbprint(),
        }))
    }

    async fn get_jwks(&self, request: Request<v1::GetJwksRequest>) -> Answer<v1::GetJwksResponse> {
        let call = self.call(&request, "KeyService.GetJwks")?;
        let keys = self.signer.keys(&call)?;
        Ok(Response::new(v1::GetJwksResponse {
            jwks: crate::pkcs11::jwks(
                keys.iter().filter_map(|view| view.key.as_deref()),
                |version| self.signer.is_published(version),
            )
            .to_string(),
        }))
    }

    async fn create_certificate_request(
        &self,
        request: Request<v1::CreateCertificateRequestRequest>,
    ) -> Answer<v1::CreateCertificateRequestResponse> {
        let call = self.call(&request, "KeyService.CreateCertificateRequest")?;
        let asked = request.into_inner();
        let (key, algorithm) = (selector(&asked.name)?, algorithm(asked.algorithm)?);
        let certify = Certify {
            subject: asked
                .subject
                .into_iter()
                .map(|part| (part.r#type, part.value))
                .collect(),
            dns_names: asked.dns_names,
            uris: asked.uris,
            ip_addresses: asked.ip_addresses,
            email_addresses: asked.email_addresses,
        };
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let (der, version) = signer
                .certificate_request(&call, &key, algorithm, certify)
                .await?;
            Ok(v1::CreateCertificateRequestResponse {
                pem: crate::key::pem("CERTIFICATE REQUEST", &der),
                der: der.into(),
                name: KeyResource::from(version).to_string(),
            })
        })
        .await
    }

    async fn generate_random(
        &self,
        request: Request<v1::GenerateRandomRequest>,
    ) -> Answer<v1::GenerateRandomResponse> {
        let call = self.call(&request, "KeyService.GenerateRandom")?;
        let v1::GenerateRandomRequest {
            token: name,
            length,
        } = request.into_inner();
        let token = token(&name)?;
        let length = u32::try_from(length)
            .ok()
            .filter(|length| (1..=1024).contains(length))
            .ok_or_else(|| {
                invalid(
                    "LENGTH_INVALID",
                    format!("`length` is {length}; expected 1 to 1024"),
                )
            })?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let data = signer.random(&call, token.as_ref(), length).await?;
            Ok(v1::GenerateRandomResponse {
                data_crc32c: crc32c::crc32c(&data),
                data: data.into(),
            })
        })
        .await
    }
}

/// What a key that is to be made or imported is to be.
pub(super) fn key_request(asked: v1::CreateKeyRequest) -> Result<KeyRequest, Status> {
    // Before they are read: there are fewer that differ.
    for (field, given) in [
        ("algorithms", asked.algorithms.len()),
        ("content_encryptions", asked.content_encryptions.len()),
    ] {
        if given > MOST_ALGORITHMS {
            return Err(invalid(
                "KEY_USAGE_INVALID",
                format!("`{field}` has {given} entries; expected at most {MOST_ALGORITHMS}"),
            ));
        }
    }
    let wanted = KeyRequest {
        name: asked
            .key_id
            .parse()
            .map_err(|error| invalid("KEY_NAME_INVALID", format!("`key_id`: {error}")))?,
        token: token(&asked.token)?,
        key_type: wire::key_type_from_proto(asked.r#type).ok_or_else(|| {
            invalid(
                "KEY_TYPE_UNSPECIFIED",
                "`type` is not set, or not known here; name one",
            )
        })?,
        purpose: wire::purpose_from_proto(asked.purpose).ok_or_else(|| {
            invalid(
                "KEY_PURPOSE_UNSPECIFIED",
                "`purpose` is not set, or not known here; name one",
            )
        })?,
        algorithms: asked
            .algorithms
            .into_iter()
            .map(algorithm)
            .collect::<Result<_, _>>()?,
        content_encryptions: asked
            .content_encryptions
            .into_iter()
            .map(content_encryption)
            .collect::<Result<_, _>>()?,
        compression_allowed: asked.compression_allowed,
        critical: asked.critical,
        maximum_uses: lifecycle::maximum_uses(asked.maximum_uses, "maximum_uses")?,
    };
    // The policy has no answer to a question about no algorithm; this is the caller's slip, not a refusal.
    if wanted.algorithms.is_empty() {
        return Err(invalid(
            "KEY_USAGE_INVALID",
            "`algorithms` is empty; name at least one",
        ));
    }
    Ok(wanted)
}

pub(super) fn token(name: &str) -> Result<Option<KeyName>, Status> {
    match name {
        "" => Ok(None),
        name => name
            .parse()
            .map(Some)
            .map_err(|error| invalid("TOKEN_UNKNOWN", format!("`token`: {error}"))),
    }
}

pub(super) fn describe(view: &KeyView) -> v1::Key {
    let told = view.key.as_deref().map(of_token).unwrap_or_default();
    let listed = |version: Version| {
        let versions = view.key.iter().flat_map(|key| &key.versions);
        let mut versions = versions.filter(|facts| facts.version.version == version);
        versions.next()
    };
    let mut numbers: BTreeSet<Version> = view.facts.versions.keys().copied().collect();
    let versions = view.key.iter().flat_map(|key| &key.versions);
    numbers.extend(versions.map(|facts| facts.version.version));
    let versions = numbers.into_iter().rev().map(|version| {
        let token = listed(version).map(describe_version).unwrap_or_default();
        let facts = view.facts.versions.get(&version);
        let name = KeyVersion {
            key: view.name.clone(),
            version,
        };
        v1::KeyVersion {
            name: KeyResource::from(name).to_string(),
            state: lifecycle::state(view.state(version)).into(),
            create_time: facts
                .and_then(|facts| facts.created_at)
                .map(lifecycle::moment),
            destroy_time: facts
                .and_then(|facts| facts.destroy_at)
                .map(lifecycle::moment),
            created_by: facts
                .and_then(|facts| facts.created_by.as_ref())
                .map(ToString::to_string)
                .unwrap_or_default(),
            ..token
        }
    });
    let rotation = view.facts.rotation;
    v1::Key {
        name: KeyResource::from(view.name.clone()).to_string(),
        primary_version: view
            .primary()
            .map(|facts| KeyResource::from(facts.version.clone()).to_string())
            .unwrap_or_default(),
        versions: versions.collect(),
        description: view.facts.description.clone(),
        labels: view.facts.labels.clone(),
        etag: view.etag(),
        rotation_period: rotation.map(|rotation| prost_types::Duration {
            seconds: rotation.period_seconds.cast_signed(),
            nanos: 0,
        }),
        critical: view.facts.critical,
        maximum_uses: view.facts.maximum_uses.unwrap_or_default().cast_signed(),
        next_rotation_time: rotation.map(|rotation| lifecycle::moment(rotation.next)),
        ..told
    }
}

/// What the token says of a key.
fn of_token(key: &Key) -> v1::Key {
    v1::Key {
        token: key.token.to_string(),
        r#type: wire::key_type_to_proto(key.usage.key_type()).into(),
        purpose: wire::purpose_to_proto(key.usage.purpose()).into(),
        algorithms: key
            .usage
            .algorithms()
            .iter()
            .map(|one| wire::algorithm_to_proto(*one).into())
            .collect(),
        content_encryptions: key
            .usage
            .content_encryptions()
            .iter()
            .map(|one| wire::content_encryption_to_proto(*one).into())
            .collect(),
        compression_allowed: key.usage.compression_allowed(),
        custody: wire::custody_to_proto(key.custody).into(),
        ..v1::Key::default()
    }
}

fn describe_version(facts: &VersionFacts) -> v1::KeyVersion {
    v1::KeyVersion {
        attributes: Some(v1::TokenAttributes {
            local: facts.attributes.local,
            sensitive: facts.attributes.sensitive,
            extractable: facts.attributes.extractable,
            always_sensitive: facts.attributes.always_sensitive,
            never_extractable: facts.attributes.never_extractable,
        }),
        public_key_sha256: facts
            .public
            .as_ref()
            .map(|public| hex::encode(public.sha256()))
            .unwrap_or_default(),
        thumbprint: facts.thumbprint.clone().unwrap_or_default(),
        adopted: facts.adopted,
        imported: facts.imported,
        ..v1::KeyVersion::default()
    }
}

/// More than there are.
const MOST_ALGORITHMS: usize = 64;
