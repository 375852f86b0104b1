//! JoseService.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{Services, algorithm, content_encryption, selector, status::invalid};
use crate::{
    jose::Serialization,
    proto::v1::{self, encrypt_jwe_request::Recipient, jose_service_server::JoseService},
    signer::{JweRecipient, JweRequest, JwsRequest},
    wire::{self, KeyResource},
};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl JoseService for Services {
    async fn sign_jws(&self, request: Request<v1::SignJwsRequest>) -> Answer<v1::SignJwsResponse> {
        let call = self.call(&request, "JoseService.SignJws")?;
        let asked = request.into_inner();
        let algorithm = algorithm(asked.algorithm)?;
        let wanted = JwsRequest {
            key: selector(&asked.name)?,
            algorithm,
            payload: asked.payload.into(),
            protected_header: asked.protected_header,
            unprotected_header: asked.unprotected_header,
            serialization: serialization(asked.serialization)?,
            detached: asked.detached,
            unencoded_payload: asked.unencoded_payload,
        };
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let (jws, version) = signer.sign_jws(&call, wanted).await?;
            Ok(v1::SignJwsResponse {
                jws,
                name: KeyResource::from(version).to_string(),
                algorithm: wire::algorithm_to_proto(algorithm).into(),
            })
        })
        .await
    }

    async fn verify_jws(
        &self,
        request: Request<v1::VerifyJwsRequest>,
    ) -> Answer<v1::VerifyJwsResponse> {
        let call = self.call(&request, "JoseService.VerifyJws")?;
        let asked = request.into_inner();
        let key = selector(&asked.name)?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let verified = signer
                .verify_jws(
                    &call,
                    &key,
                    &asked.jws,
                    asked.detached_payload.as_deref(),
                    &asked.understood_critical,
                )
                .await?;
            Ok(
                verified.map_or_else(v1::VerifyJwsResponse::default, |verified| {
                    v1::VerifyJwsResponse {
                        valid: true,
                        payload: verified.payload.into(),
                        protected_header: verified.protected_header,
                        name: KeyResource::from(verified.version).to_string(),
                        algorithm: wire::algorithm_to_proto(verified.algorithm).into(),
                    }
                }),
            )
        })
        .await
    }

    async fn encrypt_jwe(
        &self,
        request: Request<v1::EncryptJweRequest>,
    ) -> Answer<v1::EncryptJweResponse> {
        let call = self.call(&request, "JoseService.EncryptJwe")?;
        let asked = request.into_inner();
        let (algorithm, encryption) = (
            algorithm(asked.algorithm)?,
            content_encryption(asked.content_encryption)?,
        );
        let recipient = match asked.recipient {
            Some(Recipient::Jwk(jwk)) => JweRecipient::Jwk(jwk),
            Some(Recipient::Pem(pem)) => JweRecipient::Pem(pem),
            Some(Recipient::Name(name)) => JweRecipient::Key(selector(&name)?),
            None => {
                return Err(invalid(
                    "RECIPIENT_MISSING",
                    "none of `jwk`, `pem` and `name` is set; set one",
                ));
            }
        };
        let wanted = JweRequest {
            recipient,
            algorithm,
            content_encryption: encryption,
            plaintext: Zeroizing::new(asked.plaintext.into()),
            protected_header: asked.protected_header,
            compress: asked.compress,
        };
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let (jwe, version) = signer.encrypt_jwe(&call, &wanted).await?;
            let name = version
                .map(|version| KeyResource::from(version).to_string())
                .unwrap_or_default();
            Ok(v1::EncryptJweResponse { jwe, name })
        })
        .await
    }

    async fn decrypt_jwe(
        &self,
        request: Request<v1::DecryptJweRequest>,
    ) -> Answer<v1::DecryptJweResponse> {
        let call = self.call(&request, "JoseService.DecryptJwe")?;
        let asked = request.into_inner();
        let key = selector(&asked.name)?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let opened = signer.decrypt_jwe(&call, &key, &asked.jwe).await?;
            Ok(v1::DecryptJweResponse {
                // What leaves here can't be wiped any more: tonic owns it until it is on the wire.
                plaintext: opened.plaintext.to_vec().into(),
                protected_header: opened.protected_header,
                name: KeyResource::from(opened.version).to_string(),
                algorithm: wire::algorithm_to_proto(opened.algorithm).into(),
                content_encryption: wire::content_encryption_to_proto(opened.content_encryption)
                    .into(),
            })
        })
        .await
    }
}

fn serialization(number: i32) -> Result<Serialization, Status> {
    use v1::Serialization as S;
    match S::try_from(number) {
        Ok(S::Compact) => Ok(Serialization::Compact),
        Ok(S::FlattenedJson) => Ok(Serialization::FlattenedJson),
        Ok(S::GeneralJson) => Ok(Serialization::GeneralJson),
        Ok(S::Unspecified) | Err(_) => Err(invalid(
            "SERIALIZATION_UNSPECIFIED",
            "`serialization` is not set, or not known here; name one",
        )),
    }
}
