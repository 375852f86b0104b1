//! What KeyService has to say of keys from elsewhere.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    Services, key_name,
    keys::{describe, key_request, token},
    once::identified,
    status::invalid,
};
use crate::{
    key::{ImportMethod, PublicKey},
    pkcs11::Wrapped,
    proto::v1,
    signer::ImportRequest,
    wire,
};

impl Services {
    pub(super) async fn wrapping_key(
        &self,
        request: Request<v1::GetImportWrappingKeyRequest>,
    ) -> Result<Response<v1::GetImportWrappingKeyResponse>, Status> {
        let call = self.call(&request, "KeyService.GetImportWrappingKey")?;
        let asked = request.into_inner();
        let name = asked
            .key_id
            .parse()
            .map_err(|error| invalid("KEY_NAME_INVALID", format!("`key_id`: {error}")))?;
        let token = token(&asked.token)?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let (token, wrapping_key) = signer
                .import_wrapping_key(&call, &name, token.as_ref())
                .await?;
            Ok(v1::GetImportWrappingKeyResponse {
                name: format!(
                    "tokens/{}/importWrappingKeys/{}",
                    token.name(),
                    wrapping_key.id()
                ),
                pem: wrapping_key.public.pem(),
                methods: wrapping_key
                    .methods
                    .into_iter()
                    .map(|method| wire::import_method_to_proto(method).into())
                    .collect(),
            })
        })
        .await
    }

    pub(super) async fn import(
        &self,
        request: Request<v1::ImportKeyRequest>,
    ) -> Result<Response<v1::ImportKeyResponse>, Status> {
        let call = self.call(&request, "KeyService.ImportKey")?;
        let asked = request.into_inner();
        let once = identified("ImportKey", &asked.request_id, &asked)?;
        let wanted = import_request(asked)?;
        self.once(call, once, async move |signer, call| {
            let key = signer.import_key(&call, wanted).await?;
            Ok(v1::ImportKeyResponse {
                key: Some(describe(&key)),
            })
        })
        .await
    }

    pub(super) async fn import_version(
        &self,
        request: Request<v1::ImportKeyVersionRequest>,
    ) -> Result<Response<v1::ImportKeyVersionResponse>, Status> {
        let call = self.call(&request, "KeyService.ImportKeyVersion")?;
        let asked = request.into_inner();
        let name = key_name(&asked.name)?;
        let once = identified("ImportKeyVersion", &asked.request_id, &asked)?;
        let wrapped = wrapped(asked.wrapped)?;
        self.once(call, once, async move |signer, call| {
            let key = signer.import_key_version(&call, &name, wrapped).await?;
            Ok(v1::ImportKeyVersionResponse {
                key: Some(describe(&key)),
            })
        })
        .await
    }
}

/// What is to be brought in.
pub(super) fn import_request(asked: v1::ImportKeyRequest) -> Result<ImportRequest, Status> {
    let custody = wire::custody_from_proto(asked.custody)
        .ok_or_else(|| invalid("CUSTODY_UNFIT", "`custody` is not known here"))?;
    let wrapped = wrapped(asked.wrapped)?;
    Ok(ImportRequest {
        key: key_request(v1::CreateKeyRequest {
            key_id: asked.key_id,
            token: asked.token,
            r#type: asked.r#type,
            purpose: asked.purpose,
            algorithms: asked.algorithms,
            content_encryptions: asked.content_encryptions,
            compression_allowed: asked.compression_allowed,
            critical: false,
            maximum_uses: 0,
            request_id: String::new(),
        })?,
        custody,
        wrapped,
    })
}

pub(super) fn wrapped(asked: Option<v1::WrappedKey>) -> Result<Wrapped, Status> {
    let asked = asked.ok_or_else(|| invalid("WRAPPED_KEY_MISSING", "`wrapped` is not set"))?;
    let method: ImportMethod = wire::import_method_from_proto(asked.method).ok_or_else(|| {
        invalid(
            "IMPORT_METHOD_UNSPECIFIED",
            "`wrapped.method` is not set, or not known here; name one",
        )
    })?;
    // Which token is told apart by the request; a key of another one is not among its own.
    let (_, wrapping_key) = asked
        .wrapping_key
        .strip_prefix("tokens/")
        .and_then(|rest| rest.split_once("/importWrappingKeys/"))
        .filter(|(token, id)| !token.contains('/') && !id.is_empty() && id.len() <= 64)
        .ok_or_else(|| {
            invalid(
                "RESOURCE_NAME_INVALID",
                "`wrapped.wrapping_key` is not a name that GetImportWrappingKey gave",
            )
        })?;
    let public = match &asked.public_key[..] {
        [] => None,
        der if der.len() > MAX_PUBLIC_KEY => {
            return Err(invalid(
                "PUBLIC_KEY_UNFIT",
                format!("`wrapped.public_key` has more than {MAX_PUBLIC_KEY} bytes"),
            ));
        }
        der => Some(PublicKey::from_spki(der).map_err(|error| {
            invalid("PUBLIC_KEY_UNFIT", format!("`wrapped.public_key`: {error}"))
        })?),
    };
    Ok(Wrapped {
        wrapping_key: wrapping_key.to_owned(),
        method,
        bytes: asked.wrapped_key,
        public,
        secret_bytes: (asked.secret_bytes != 0).then_some(asked.secret_bytes),
    })
}

/// More than an RSA key of 4096 bits needs.
const MAX_PUBLIC_KEY: usize = 4096;
