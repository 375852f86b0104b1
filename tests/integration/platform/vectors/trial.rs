//! A vector tried as a caller would: signed, verified, encrypted, decrypted or explained by the daemon.

use std::collections::{BTreeMap, BTreeSet};

use chancery::{
    proto::v1::{
        self, DecryptFieldRequest, EncryptFieldRequest, SignHttpRequestRequest,
        SignHttpResponseRequest, Verdict, VerifyCallbackRequest, VerifyHttpResponseRequest,
    },
    scheme::Act,
};

use super::case::{Case, demo_public};
use crate::{harness::Refusal, platform::world::World};

/// What of the vectors was compared, to know which of the collection were.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) texts: BTreeSet<String>,
    pub(super) tried: BTreeMap<&'static str, usize>,
    pub(super) faults: Vec<String>,
}

impl Case {
    pub(super) async fn run(&self, world: &World, seen: &mut Seen) {
        let (kind, result) = match self.text("kind") {
            "sign" => ("sign", self.sign(world, seen).await),
            "verify" => ("verify", self.verify(world, seen).await),
            "encrypt" => ("encrypt", self.encrypt(world).await),
            "decrypt" => ("decrypt", self.decrypt(world, seen).await),
            "string" => ("string", self.string(world, seen).await),
            _ => return,
        };
        match result {
            Ok(true) => *seen.tried.entry(kind).or_default() += 1,
            Ok(false) => *seen.tried.entry("left out").or_default() += 1,
            Err(why) => seen.faults.push(format!("{}: {why}", self.name())),
        }
    }

    async fn sign(&self, world: &World, seen: &mut Seen) -> Result<bool, String> {
        let public = self.key(self.main_role().unwrap_or_default());
        let public = public.and_then(|key| key.get("public_pem")?.as_str());
        if public.is_some_and(|pem| pem.trim() != demo_public().trim()) {
            return Ok(false);
        }
        let given: Vec<_> = self.scheme.given_values().collect();
        let mut values = self.table("values");
        values.retain(|(name, _)| given.contains(&name.as_str()));
        let (inputs, values) = (self.table("inputs"), values);
        let (headers, url, body) = if self.does(Act::SignRequest) {
            let request = SignHttpRequestRequest {
                partner: format!("partners/{}", self.partner),
                request: Some(self.request()),
                inputs: inputs.into_iter().collect(),
                values: values.into_iter().collect(),
                ..SignHttpRequestRequest::default()
            };
            let answer = world.client().platform().sign_http_request(request).await;
            let answer = answer.map_err(refusal)?.into_inner();
            let sent = answer.request.unwrap();
            (sent.headers, sent.url, sent.body)
        } else {
            let request = SignHttpResponseRequest {
                partner: format!("partners/{}", self.partner),
                response: Some(self.response()),
                request: Some(self.answered()),
                inputs: inputs.into_iter().collect(),
                values: values.into_iter().collect(),
                ..SignHttpResponseRequest::default()
            };
            let answer = world.client().platform().sign_http_response(request).await;
            let answer = answer.map_err(refusal)?.into_inner();
            let sent = answer.response.unwrap();
            (sent.headers, String::new(), sent.body)
        };
        let body = String::from_utf8_lossy(&body).into_owned();
        for (place, expected) in self.table("set") {
            let found = match place.split_once('.') {
                Some(("header", name)) => headers
                    .iter()
                    .find(|header| header.name.eq_ignore_ascii_case(name))
                    .map(|header| header.value.clone()),
                _ if place == "body" => Some(body.clone()),
                _ => url.split_once('?').map(|(_, query)| query.to_owned()),
            };
            // A JWE is another each time.
            let same = |found: &str| match expected.split_once("JWE") {
                Some((before, after)) if place == "body" => {
                    found.starts_with(&format!("{before}eyJ")) && found.ends_with(after)
                }
                _ => found == expected,
            };
            if !found.as_deref().is_some_and(same) {
                return Err(format!("{place}: expected {expected:?}, got {found:?}"));
            }
        }
        let signature = self.text("signature");
        let all: String = headers
            .iter()
            .map(|one| format!("{}\n", one.value))
            .collect();
        let all = format!("{all}{url}\n{body}");
        let deterministic = !matches!(self.text("signature"), "");
        let encoded = percent(signature);
        let escaped = signature.replace('/', "\\/");
        let is_there = [signature, &encoded, &escaped, &percent(&encoded)]
            .iter()
            .any(|one| all.contains(*one));
        if deterministic && !is_there {
            return Err(format!("expected the signature {signature:?} in\n{all}"));
        }
        seen.texts.insert(all);
        seen.texts.insert(signature.to_owned());
        seen.texts.insert(self.text("string").to_owned());
        Ok(true)
    }

    async fn verify(&self, world: &World, seen: &mut Seen) -> Result<bool, String> {
        if self.vector.contains_key("token_is_good") {
            return Ok(false);
        }
        let expected = self.verdict();
        let inputs = self.table("inputs").into_iter().collect();
        let partner = format!("partners/{}", self.partner);
        let verified = if self.does(Act::VerifyCallback) && !self.vector.contains_key("status") {
            let request = VerifyCallbackRequest {
                partner,
                request: Some(self.request()),
                inputs,
                ..VerifyCallbackRequest::default()
            };
            let answer = world.client().platform().verify_callback(request).await;
            answer.map_err(refusal)?.into_inner().verification.unwrap()
        } else {
            let request = VerifyHttpResponseRequest {
                partner,
                response: Some(self.response()),
                request: Some(self.answered()),
                inputs,
                ..VerifyHttpResponseRequest::default()
            };
            let answer = world
                .client()
                .platform()
                .verify_http_response(request)
                .await;
            answer.map_err(refusal)?.into_inner().verification.unwrap()
        };
        if !expected.contains(&verified.verdict()) {
            return Err(format!("expected one of {expected:?}, got {verified:?}"));
        }
        if !matches!(verified.verdict(), Verdict::Valid | Verdict::Duplicate)
            && !verified.authenticated.is_empty()
        {
            return Err(format!(
                "parts of a message that is not valid: {verified:?}"
            ));
        }
        seen.texts.insert(self.text("string").to_owned());
        seen.texts.insert(self.text("body").to_owned());
        let headers = self.headers().into_iter();
        seen.texts.extend(headers.map(|header| header.value));
        Ok(true)
    }

    /// The vectors are old: what was valid then is stale now, where the scheme has a window.
    fn verdict(&self) -> Vec<Verdict> {
        let timed = self.file["verify"].get("time").is_some();
        match self.text("outcome") {
            "" | "valid" if timed => vec![Verdict::Stale],
            "" | "valid" => vec![Verdict::Valid],
            "invalid" => vec![Verdict::Invalid],
            "stale" => vec![Verdict::Stale],
            "future" if timed => vec![Verdict::Stale, Verdict::Future],
            "other-request" if timed => vec![Verdict::Stale, Verdict::OtherRequest],
            "other-request" => vec![Verdict::OtherRequest],
            "unsigned" => vec![Verdict::Unsigned],
            "bad-token" => vec![Verdict::Invalid],
            _ => vec![Verdict::Malformed, Verdict::Invalid],
        }
    }

    async fn encrypt(&self, world: &World) -> Result<bool, String> {
        let given: Vec<_> = self.scheme.given_values().collect();
        let mut values = self.table("values");
        values.retain(|(name, _)| given.contains(&name.as_str()));
        let request = EncryptFieldRequest {
            partner: format!("partners/{}", self.partner),
            inputs: self.table("inputs").into_iter().collect(),
            values: values.into_iter().collect(),
            ..EncryptFieldRequest::default()
        };
        let answer = world.client().platform().encrypt_field(request).await;
        let answer = answer.map_err(refusal)?.into_inner();
        match answer.oaep_hash.is_empty() || answer.mgf1_hash.is_empty() {
            true => Err(format!("a hash is not said: {answer:?}")),
            false => Ok(true),
        }
    }

    async fn decrypt(&self, world: &World, seen: &mut Seen) -> Result<bool, String> {
        let inputs: BTreeMap<_, _> = self.table("inputs").into_iter().collect();
        let request = DecryptFieldRequest {
            partner: format!("partners/{}", self.partner),
            ciphertext: inputs["value"].clone(),
            ..DecryptFieldRequest::default()
        };
        let answer = world.client().platform().decrypt_field(request).await;
        let answer = answer.map_err(refusal)?.into_inner();
        if answer.plaintext != self.text("string").as_bytes() {
            return Err(format!("got {:?}", answer.plaintext));
        }
        seen.texts.insert(inputs["value"].clone());
        Ok(true)
    }

    /// The string, as an explanation shows it.
    async fn string(&self, world: &World, seen: &mut Seen) -> Result<bool, String> {
        if !self.does(Act::SignRequest) || self.text("string").is_empty() {
            return Ok(false);
        }
        let given: Vec<_> = self.scheme.given_values().collect();
        let mut values = self.table("values");
        values.retain(|(name, _)| given.contains(&name.as_str()));
        let request = SignHttpRequestRequest {
            partner: format!("partners/{}", self.partner),
            request: Some(self.request()),
            inputs: self.table("inputs").into_iter().collect(),
            values: values.into_iter().collect(),
            ..SignHttpRequestRequest::default()
        };
        let call = v1::explain_http_message_request::Call::SignRequest(request);
        let request = v1::ExplainHttpMessageRequest { call: Some(call) };
        let answer = world
            .client()
            .platform()
            .explain_http_message(request)
            .await;
        let answer = answer.map_err(refusal)?.into_inner();
        let shown = String::from_utf8_lossy(&answer.strings_to_sign[0]).into_owned();
        // Secret inputs are masked; each stands between two colons in the schemes that have them.
        let whole = self
            .table("inputs")
            .iter()
            .fold(shown, |shown, (_, value)| shown.replacen("***", value, 1));
        if whole != self.text("string") {
            return Err(format!("expected {:?}, got {whole:?}", self.text("string")));
        }
        seen.texts.insert(whole);
        Ok(true)
    }
}

fn refusal(status: tonic::Status) -> String {
    format!("{:?}", Refusal::of(&status))
}

fn percent(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}
