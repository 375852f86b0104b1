//! PlatformService.

use std::{collections::HashMap, sync::Arc};

use tonic::{Request, Response, Status};

use super::{Services, status::invalid};
use crate::{
    proto::v1::{
        self, explain_http_message_request::Call as Explained,
        platform_service_server::PlatformService,
    },
    scheme::Act,
    signer::{Dealing, Named},
    wire::{PartnerResource, SchemeResource},
};

use answer::{acknowledgement, explanation, field_text, key_use, texts, timestamp, verification};

mod answer;
mod http;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl PlatformService for Services {
    async fn sign_http_request(
        &self,
        request: Request<v1::SignHttpRequestRequest>,
    ) -> Answer<v1::SignHttpRequestResponse> {
        let call = self.call(&request, "PlatformService.SignHttpRequest")?;
        let asked = request.into_inner();
        let dealing = dealing(&asked.partner, &asked.scheme, asked.inputs, asked.values)?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let message = http::request(asked.request.as_ref())?;
            let mut made = signer
                .sign_message(&call, Act::SignRequest, &dealing, &message)
                .await?;
            Ok(v1::SignHttpRequestResponse {
                set_headers: http::set_headers(&made.signed.headers),
                values: texts(&made.signed.values),
                signature: made.key.as_ref().map(key_use),
                scheme: format!("schemes/{}", made.scheme),
                request: asked
                    .request
                    .map(|request| http::signed_request(request, &mut made.signed)),
            })
        })
        .await
    }

    async fn sign_http_response(
        &self,
        request: Request<v1::SignHttpResponseRequest>,
    ) -> Answer<v1::SignHttpResponseResponse> {
        let call = self.call(&request, "PlatformService.SignHttpResponse")?;
        let asked = request.into_inner();
        let dealing = dealing(&asked.partner, &asked.scheme, asked.inputs, asked.values)?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let message = http::response(asked.response.as_ref(), asked.request.as_ref())?;
            let mut made = signer
                .sign_message(&call, Act::SignResponse, &dealing, &message)
                .await?;
            Ok(v1::SignHttpResponseResponse {
                set_headers: http::set_headers(&made.signed.headers),
                values: texts(&made.signed.values),
                signature: made.key.as_ref().map(key_use),
                scheme: format!("schemes/{}", made.scheme),
                response: asked
                    .response
                    .map(|response| http::signed_response(response, &mut made.signed)),
            })
        })
        .await
    }

    async fn verify_callback(
        &self,
        request: Request<v1::VerifyCallbackRequest>,
    ) -> Answer<v1::VerifyCallbackResponse> {
        let call = self.call(&request, "PlatformService.VerifyCallback")?;
        let asked = request.into_inner();
        let dealing = dealing(&asked.partner, &asked.scheme, asked.inputs, HashMap::new())?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let message = http::request(asked.request.as_ref())?;
            let verified = signer
                .verify_message(&call, Act::VerifyCallback, &dealing, message)
                .await?;
            Ok(v1::VerifyCallbackResponse {
                acknowledgement: acknowledgement(&verified),
                verification: Some(verification(verified)),
            })
        })
        .await
    }

    async fn verify_http_response(
        &self,
        request: Request<v1::VerifyHttpResponseRequest>,
    ) -> Answer<v1::VerifyHttpResponseResponse> {
        let call = self.call(&request, "PlatformService.VerifyHttpResponse")?;
        let asked = request.into_inner();
        let values = asked.request_values;
        let dealing = dealing(&asked.partner, &asked.scheme, asked.inputs, values)?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let message = http::response(asked.response.as_ref(), asked.request.as_ref())?;
            let verified = signer
                .verify_message(&call, Act::VerifyResponse, &dealing, message)
                .await?;
            Ok(v1::VerifyHttpResponseResponse {
                verification: Some(verification(verified)),
            })
        })
        .await
    }

    async fn encrypt_field(
        &self,
        request: Request<v1::EncryptFieldRequest>,
    ) -> Answer<v1::EncryptFieldResponse> {
        let call = self.call(&request, "PlatformService.EncryptField")?;
        let asked = request.into_inner();
        let mut dealing = dealing(&asked.partner, &asked.scheme, asked.inputs, asked.values)?;
        if !asked.plaintext.is_empty() {
            add(&mut dealing, VALUE, asked.plaintext.into())?;
        }
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let made = signer.encrypt_field(&call, &dealing).await?;
            Ok(v1::EncryptFieldResponse {
                ciphertext: field_text(&made.ciphertext)?,
                key: Some(key_use(&made.key)),
                oaep_hash: answer::hash_name(made.hashes.hash).to_owned(),
                mgf1_hash: answer::hash_name(made.hashes.mgf1_hash).to_owned(),
                platform_key_id: made.platform_key_id.unwrap_or_default(),
                scheme: format!("schemes/{}", made.scheme),
                values: texts(&made.values),
            })
        })
        .await
    }

    async fn decrypt_field(
        &self,
        request: Request<v1::DecryptFieldRequest>,
    ) -> Answer<v1::DecryptFieldResponse> {
        let call = self.call(&request, "PlatformService.DecryptField")?;
        let asked = request.into_inner();
        let mut dealing = dealing(&asked.partner, &asked.scheme, asked.inputs, HashMap::new())?;
        add(&mut dealing, VALUE, asked.ciphertext.into_bytes())?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let made = signer.decrypt_field(&call, &dealing).await?;
            Ok(v1::DecryptFieldResponse {
                // What leaves here can't be wiped any more: tonic owns it until it is on the wire.
                plaintext: made.plaintext.to_vec().into(),
                key: Some(key_use(&made.key)),
                scheme: format!("schemes/{}", made.scheme),
            })
        })
        .await
    }

    async fn issue_access_token(
        &self,
        request: Request<v1::IssueAccessTokenRequest>,
    ) -> Answer<v1::IssueAccessTokenResponse> {
        let call = self.call(&request, "PlatformService.IssueAccessToken")?;
        let asked = request.into_inner();
        let (inputs, values) = (HashMap::new(), HashMap::new());
        let dealing = dealing(&asked.partner, &asked.scheme, inputs, values)?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let message = http::request(asked.request.as_ref())?;
            let issued = signer.issue_access_token(&call, &dealing, message).await?;
            Ok(v1::IssueAccessTokenResponse {
                response: Some(v1::HttpResponse {
                    status_code: issued.status.into(),
                    headers: vec![v1::HttpHeader {
                        name: "Content-Type".to_owned(),
                        value: "application/json".to_owned(),
                    }],
                    body: issued.body.into(),
                }),
                expire_time: issued.expires.map(timestamp),
                verification: Some(verification(issued.verification)),
            })
        })
        .await
    }

    async fn explain_http_message(
        &self,
        request: Request<v1::ExplainHttpMessageRequest>,
    ) -> Answer<v1::ExplainHttpMessageResponse> {
        let call = self.call(&request, "PlatformService.ExplainHttpMessage")?;
        let asked = request.into_inner().call.ok_or_else(|| {
            invalid(
                "CALL_MISSING",
                "none of `sign_request`, `sign_response`, `verify_callback` and `verify_response` is set; set the one to be explained",
            )
        })?;
        let signer = Arc::clone(&self.signer);
        self.run(call.deadline, async move {
            let (act, dealing, message) = match &asked {
                Explained::SignRequest(asked) => (
                    Act::SignRequest,
                    dealing(
                        &asked.partner,
                        &asked.scheme,
                        asked.inputs.clone(),
                        asked.values.clone(),
                    )?,
                    http::request(asked.request.as_ref())?,
                ),
                Explained::SignResponse(asked) => (
                    Act::SignResponse,
                    dealing(
                        &asked.partner,
                        &asked.scheme,
                        asked.inputs.clone(),
                        asked.values.clone(),
                    )?,
                    http::response(asked.response.as_ref(), asked.request.as_ref())?,
                ),
                Explained::VerifyCallback(asked) => (
                    Act::VerifyCallback,
                    dealing(
                        &asked.partner,
                        &asked.scheme,
                        asked.inputs.clone(),
                        HashMap::new(),
                    )?,
                    http::request(asked.request.as_ref())?,
                ),
                Explained::VerifyResponse(asked) => (
                    Act::VerifyResponse,
                    dealing(
                        &asked.partner,
                        &asked.scheme,
                        asked.inputs.clone(),
                        asked.request_values.clone(),
                    )?,
                    http::response(asked.response.as_ref(), asked.request.as_ref())?,
                ),
            };
            let explained = signer
                .explain_message(&call, act, &dealing, message)
                .await?;
            Ok(explanation(explained))
        })
        .await
    }
}

/// Whose message it is, by which rules, and what is known beside it.
fn dealing(
    partner: &str,
    scheme: &str,
    inputs: HashMap<String, String>,
    values: HashMap<String, String>,
) -> Result<Dealing, Status> {
    let PartnerResource(partner) = partner
        .parse()
        .map_err(|error| invalid("PARTNER_NAME_INVALID", format!("`partner`: {error}")))?;
    let scheme = match scheme {
        "" => None,
        name => {
            let SchemeResource(scheme) = name
                .parse()
                .map_err(|error| invalid("SCHEME_NAME_INVALID", format!("`scheme`: {error}")))?;
            Some(scheme)
        }
    };
    Ok(Dealing {
        partner,
        scheme,
        inputs: named(inputs),
        values: named(values),
    })
}

/// An input that has a field of its own in the protocol.
fn add(dealing: &mut Dealing, name: &str, value: Vec<u8>) -> Result<(), Status> {
    match dealing.inputs.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(invalid(
            "INPUT_AMBIGUOUS",
            format!("{name:?} is among `inputs` too; set `{name}` alone"),
        )),
    }
}

fn named(texts: HashMap<String, String>) -> Named {
    let pair = |(name, text): (String, String)| (name, text.into_bytes());
    texts.into_iter().map(pair).collect()
}

/// The input by which schemes know a single value.
const VALUE: &str = "value";
