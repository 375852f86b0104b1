//! What has become of platforms' messages, for the wire.

use std::collections::HashMap;

use tonic::Status;

use crate::{
    grpc::status::internal,
    proto::v1,
    scheme::{OaepHash, Step, UnixMilliseconds},
    signer::{Decision, Explanation, Holder, KeyUsed, Named, Protection, Verification},
    wire::{self, KeyResource},
};

/// A verdict, and everything that goes with it.
pub(super) fn verification(verified: Verification) -> v1::Verification {
    let part = |(name, value): (String, Vec<u8>)| v1::AuthenticatedPart {
        name,
        value: value.into(),
    };
    v1::Verification {
        verdict: verdict(verified.decision).into(),
        reason: verified.reason.to_owned(),
        message: verified.message,
        authenticated: verified.authenticated.into_iter().map(part).collect(),
        // What leaves here can't be wiped any more: tonic owns it until it is on the wire.
        decrypted: verified.decrypted.to_vec().into(),
        protections: Some(protections(verified.protection)),
        key: verified.key.as_ref().map(key_use),
        form: i32::try_from(verified.form).unwrap_or(i32::MAX),
        scheme: format!("schemes/{}", verified.scheme),
        message_time: verified.time.map(timestamp),
    }
}

/// What to answer the platform with.
pub(super) fn acknowledgement(verified: &Verification) -> Option<v1::HttpResponse> {
    let acknowledgement = verified.acknowledgement.as_ref()?;
    let content_type = acknowledgement.content_type.as_ref();
    let header = |value: &String| v1::HttpHeader {
        name: "Content-Type".to_owned(),
        value: value.clone(),
    };
    Some(v1::HttpResponse {
        status_code: acknowledgement.status.into(),
        headers: content_type.map(header).into_iter().collect(),
        body: acknowledgement.body.clone().into(),
    })
}

/// Which key did something.
pub(super) fn key_use(used: &KeyUsed) -> v1::KeyUse {
    v1::KeyUse {
        name: match &used.key {
            Holder::Token(version) => KeyResource::from(version.clone()).to_string(),
            Holder::Partner(partner, role) => format!("partners/{partner}/keys/{role}"),
        },
        algorithm: wire::algorithm_to_proto(used.algorithm).into(),
        public_key_sha256: used
            .public_key_sha256
            .map_or_else(Default::default, |digest| digest.to_vec().into()),
    }
}

/// How strings come about.
pub(super) fn explanation(explained: Explanation) -> v1::ExplainHttpMessageResponse {
    let step = |step: Step| v1::ExplainedStep {
        at: step.at,
        rule: step.rule,
        masked: step.bytes.is_none(),
        value: step.bytes.unwrap_or_default().into(),
    };
    let (reason, message) = explained.fault.unwrap_or_default();
    let (mut strings_to_sign, mut string_sha256) = (Vec::new(), Vec::new());
    for string in explained.strings {
        strings_to_sign.push(string.bytes.into());
        let digest = string.sha256.map(|digest| digest.to_vec());
        string_sha256.push(digest.unwrap_or_default().into());
    }
    v1::ExplainHttpMessageResponse {
        scheme: format!("schemes/{}", explained.scheme),
        steps: explained.steps.into_iter().map(step).collect(),
        strings_to_sign,
        string_sha256,
        reason: reason.to_owned(),
        message,
    }
}

/// Values that are text; what is not could not be given again either.
pub(super) fn texts(values: &Named) -> HashMap<String, String> {
    let pair = |(name, value): (&String, &Vec<u8>)| {
        let text = String::from_utf8(value.clone()).ok()?;
        Some((name.clone(), text))
    };
    values.iter().filter_map(pair).collect()
}

/// A ciphertext as its scheme encodes it.
pub(super) fn field_text(ciphertext: &[u8]) -> Result<String, Status> {
    String::from_utf8(ciphertext.to_vec()).map_err(|_| {
        tracing::error!("a scheme that encrypts fields does not encode them as text");
        internal("the call failed by a fault of the daemon, which is in its log")
    })
}

/// As libraries call it.
pub(super) const fn hash_name(hash: OaepHash) -> &'static str {
    match hash {
        OaepHash::Sha1 => "SHA-1",
        OaepHash::Sha256 => "SHA-256",
    }
}

/// A point in time.
pub(super) fn timestamp(time: UnixMilliseconds) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(time.0 / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.0 % 1000 * 1_000_000).unwrap_or(0),
    }
}

fn protections(given: Protection) -> v1::Protections {
    let duration = |seconds: u64| prost_types::Duration {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        nanos: 0,
    };
    v1::Protections {
        past_window: given.window_seconds.map(|(past, _)| duration(past)),
        future_window: given.window_seconds.map(|(_, future)| duration(future)),
        replay: given.memory_seconds.is_some(),
        memory: given.memory_seconds.map(duration),
        echo: given.echo,
        lacking: given.lacking,
    }
}

const fn verdict(decision: Decision) -> v1::Verdict {
    match decision {
        Decision::Valid => v1::Verdict::Valid,
        Decision::Duplicate => v1::Verdict::Duplicate,
        Decision::Invalid => v1::Verdict::Invalid,
        Decision::Stale => v1::Verdict::Stale,
        Decision::Future => v1::Verdict::Future,
        Decision::OtherRequest => v1::Verdict::OtherRequest,
        Decision::Malformed => v1::Verdict::Malformed,
        Decision::Unsigned => v1::Verdict::Unsigned,
    }
}
