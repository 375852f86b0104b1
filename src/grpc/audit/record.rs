//! Records, checkpoints and proofs of the log as the protocol has them.

use tonic::Status;

use super::{super::status::invalid, signed};
use crate::{
    audit::{
        Caller, Ending, Event, EventKind, InputDigest, KeyChange, Name, Proof, Proposal, Record,
        Refusal, ResultKind, SignedCheckpoint, Subject, tree,
    },
    key::{KeyName, Version},
    proto::v1,
    wire,
};

/// A record, and the line that it was read from.
pub(super) fn describe(record: &Record, line: &str) -> v1::AuditRecord {
    let event = &record.event;
    let mut told = v1::AuditRecord {
        name: format!("auditRecords/{}", record.sequence),
        sequence: signed(record.sequence),
        record_time: Some(std::time::SystemTime::from(record.time).into()),
        line: line.as_bytes().to_vec().into(),
        kind: kind_to_proto(event),
        caller: event.caller().map(caller),
        result: ResultKind::of(event)
            .map(result_to_proto)
            .unwrap_or_default(),
        ..v1::AuditRecord::default()
    };
    match event {
        Event::Intent(intent) => {
            told.call = intent.call.to_string();
            told.subject = Some(subject(&intent.subject));
            told.rule = intent.rule.to_string();
            told.input = intent.input.map(input);
            told.public_key_sha256 = hash(intent.public_key);
        }
        Event::Outcome(outcome) => {
            told.intent = Some(signed(outcome.intent));
            told.signature_sha256 = hash(outcome.signature);
            if let Ending::Failed(reason) = &outcome.result {
                told.reason = reason.to_string();
            }
        }
        Event::Denied(denial) => {
            told.call = denial.call.to_string();
            told.subject = Some(subject(&denial.subject));
            told.input = denial.input.map(input);
            told.reason = match &denial.reason {
                Refusal::Policy(reason) => word(reason),
                Refusal::Other(reason) => reason.to_string(),
            };
        }
        Event::LogRead(read) => {
            told.call = read.call.to_string();
            told.rule = read.rule.to_string();
            told.subject = Some(v1::AuditSubject {
                operation: crate::policy::Operation::ReadAudit.to_string(),
                ..v1::AuditSubject::default()
            });
        }
        Event::KeyChanged(change) => {
            told.subject = Some(changed(change));
            told.public_key_sha256 = hash(change.public_key);
        }
        Event::Proposal(proposal) => told.subject = Some(proposed(proposal)),
        // The line says all there is.
        Event::Started(_)
        | Event::Stopped(_)
        | Event::Recovered(_)
        | Event::Reloaded(_)
        | Event::Checkpoint(_)
        | Event::Pruned(_) => {}
    }
    told
}

/// A checkpoint, its note and what it says.
pub(super) fn checkpoint(signed_checkpoint: &SignedCheckpoint) -> v1::AuditCheckpoint {
    let says = &signed_checkpoint.checkpoint;
    v1::AuditCheckpoint {
        note: signed_checkpoint.text().to_owned(),
        origin: says.origin.to_string(),
        tree_size: signed(says.size),
        root_hash: says.root.as_bytes().to_vec().into(),
    }
}

/// The path from a line to the root.
pub(super) fn inclusion(line: &str, proof: &Proof) -> v1::AuditInclusionProof {
    let bytes = |hash: &crate::audit::Digest| hash.as_bytes().to_vec().into();
    v1::AuditInclusionProof {
        leaf_hash: bytes(&tree::leaf(line.as_bytes())),
        hashes: proof.path.iter().map(bytes).collect(),
    }
}

/// The kind that is asked for, if one is.
pub(super) fn kind_from_proto(number: i32) -> Result<Option<EventKind>, Status> {
    let named = v1::AuditEventKind::try_from(number).map(|kind| kind.as_str_name());
    match named.ok().and_then(|name| name.strip_prefix(KIND)) {
        Some("UNSPECIFIED") => Ok(None),
        // The protocol's names are those of the records, in capitals.
        Some(name) => Ok(name.to_lowercase().parse().ok()),
        None => Err(unknown("kind", number)),
    }
}

/// The end that is asked for, if one is.
pub(super) fn result_from_proto(number: i32) -> Result<Option<ResultKind>, Status> {
    let named = v1::AuditResult::try_from(number).map(|result| result.as_str_name());
    match named.ok().and_then(|name| name.strip_prefix(RESULT)) {
        Some("UNSPECIFIED") => Ok(None),
        Some(name) => Ok(name.to_lowercase().parse().ok()),
        None => Err(unknown("result", number)),
    }
}

fn unknown(field: &str, number: i32) -> Status {
    invalid(
        "AUDIT_FILTER_INVALID",
        format!("`{field}` is {number}, which is not known here"),
    )
}

fn kind_to_proto(event: &Event) -> i32 {
    let name = format!("{KIND}{}", event.kind().to_uppercase());
    v1::AuditEventKind::from_str_name(&name)
        .unwrap_or_default()
        .into()
}

fn result_to_proto(result: ResultKind) -> i32 {
    let name = format!("{RESULT}{}", result.name().to_uppercase());
    v1::AuditResult::from_str_name(&name)
        .unwrap_or_default()
        .into()
}

fn caller(caller: &Caller) -> v1::AuditCaller {
    v1::AuditCaller {
        identity: caller.identity.to_string(),
        certificate_sha256: caller.certificate.as_bytes().to_vec().into(),
    }
}

fn subject(subject: &Subject) -> v1::AuditSubject {
    let algorithms = subject.algorithms.iter();
    let resource = |collection: &str, name: &Option<Name>| {
        let name = name.as_ref();
        name.map(|name| format!("{collection}/{name}"))
            .unwrap_or_default()
    };
    v1::AuditSubject {
        operation: subject.operation.to_string(),
        key: key(subject.key.as_ref(), subject.version),
        algorithms: algorithms
            .map(|one| wire::algorithm_to_proto(*one).into())
            .collect(),
        partner: resource("partners", &subject.partner),
        scheme: resource("schemes", &subject.scheme),
        act: String::new(),
    }
}

fn changed(change: &KeyChange) -> v1::AuditSubject {
    v1::AuditSubject {
        key: key(Some(&change.key), change.version),
        act: word(&change.act),
        ..v1::AuditSubject::default()
    }
}

fn proposed(proposal: &Proposal) -> v1::AuditSubject {
    v1::AuditSubject {
        act: word(&proposal.step),
        ..subject(&proposal.subject)
    }
}

fn key(key: Option<&KeyName>, version: Option<Version>) -> String {
    let resource = |key: &KeyName| wire::KeyResource {
        key: key.clone(),
        version,
    };
    key.map(|key| resource(key).to_string()).unwrap_or_default()
}

fn input(input: InputDigest) -> v1::AuditInputHash {
    use v1::audit_input_hash::Hash;
    let bytes = |digest: crate::audit::Digest| digest.as_bytes().to_vec().into();
    v1::AuditInputHash {
        hash: Some(match input {
            InputDigest::Sha256(digest) => Hash::Sha256(bytes(digest)),
            InputDigest::HmacSha256(digest) => Hash::HmacSha256(bytes(digest)),
        }),
    }
}

fn hash(hash: Option<crate::audit::Digest>) -> bytes::Bytes {
    hash.map(|hash| hash.as_bytes().to_vec().into())
        .unwrap_or_default()
}

/// A word as records have it.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

const KIND: &str = "AUDIT_EVENT_KIND_";
const RESULT: &str = "AUDIT_RESULT_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_result_has_a_number_and_back() {
        for kind in EventKind::ALL {
            let name = format!("{KIND}{}", kind.name().to_uppercase());
            let number = v1::AuditEventKind::from_str_name(&name).expect("a number");
            assert_eq!(kind_from_proto(number.into()).unwrap(), Some(kind));
        }
        for result in ResultKind::ALL {
            let number = result_to_proto(result);
            assert_ne!(number, 0);
            assert_eq!(result_from_proto(number).unwrap(), Some(result));
        }
        // And no more numbers than words.
        assert!(v1::AuditEventKind::try_from(13).is_err());
        assert!(v1::AuditResult::try_from(8).is_err());
        assert!(kind_from_proto(13).is_err() && result_from_proto(-1).is_err());
        assert_eq!(
            (kind_from_proto(0).unwrap(), result_from_proto(0).unwrap()),
            (None, None)
        );
    }
}
