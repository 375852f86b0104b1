//! The log as an auditor sees it over the network: complete, proven, and told of in the log itself.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use chancery::{
    audit::{SignedCheckpoint, Vkey},
    client::{Client, Code},
    proto::v1::{
        Algorithm as A, AuditEventKind, AuditOrder, AuditRecord, AuditResult,
        GetAuditCheckpointRequest, GetAuditConsistencyProofRequest, GetAuditRecordRequest,
        GetAuditRecordResponse, KeyType as T, ListAuditRecordsRequest,
    },
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    calls::{create, message},
    harness::{ALLOW_TEST, Daemon, Refusal, Setup},
    softhsm::Token,
};

mod command;
mod refused;
mod removed;

/// A policy that lets the clients named `auditor` read the log.
pub const AUDITOR: &str = r#"
[[rules]]
name = "auditors"
identities = ["spiffe://chancery.test/auditor"]
operations = ["read_audit"]
"#;

fn start(token: &str, audit: &str) -> Daemon {
    Setup::new(Token::new(token))
        .policy(&format!("{ALLOW_TEST}{AUDITOR}"))
        .tables(&format!("[audit]\n{audit}"))
        .start()
}

async fn sign(client: &Client, times: usize) {
    for number in 0..times {
        let request = message("ec", A::Es256, format!("pay {number}").as_bytes());
        client.signing().sign(request).await.unwrap();
    }
}

async fn list(client: &Client, request: ListAuditRecordsRequest) -> Vec<AuditRecord> {
    let mut request = request;
    let mut records = vec![];
    loop {
        let page = client.audit().list_audit_records(request.clone()).await;
        let page = page.unwrap().into_inner();
        records.extend(page.records);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return records;
        }
    }
}

async fn get(client: &Client, number: u64) -> GetAuditRecordResponse {
    let name = format!("auditRecords/{number}");
    let mut service = client.audit();
    let record = service.get_audit_record(GetAuditRecordRequest { name });
    record.await.unwrap().into_inner()
}

/// The root that a path leads to (RFC 6962 section 2.1.1), computed recursively as the RFC defines it.
fn root(leaf: Vec<u8>, index: u64, size: u64, path: &[Vec<u8>]) -> Vec<u8> {
    let node = |left: &[u8], right: &[u8]| Sha256::digest([&[1], left, right].concat()).to_vec();
    let Some((last, rest)) = path.split_last() else {
        assert_eq!(size, 1);
        return leaf;
    };
    // The largest power of two smaller than the size.
    let half = size.next_power_of_two() / 2;
    match index < half {
        true => node(&root(leaf, index, half, rest), last),
        false => node(last, &root(leaf, index - half, size - half, rest)),
    }
}

/// Waits until a checkpoint covers a record.
async fn covered(client: &Client, number: u64) -> GetAuditRecordResponse {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = get(client, number).await;
        if answer.inclusion_proof.is_some() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no checkpoint covers it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_lists_gets_and_proves_and_nobody_else() {
    let daemon = start("auditor", "checkpoint_seconds = 1\n");
    let (client, auditor) = (daemon.client("test"), daemon.client("auditor"));
    create(&client, "ec", T::EcP256, &[A::Es256]).await;
    sign(&client, 5).await;
    let refused = message("ec", A::Es256, b"x");
    Refusal::expect(daemon.client("stranger").signing().sign(refused).await);

    let all = list(&auditor, ListAuditRecordsRequest::default()).await;
    let sequences: Vec<_> = all.iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, (0..all.len() as i64).collect::<Vec<_>>());
    let mut newest = list(
        &auditor,
        ListAuditRecordsRequest {
            order: AuditOrder::NewestFirst.into(),
            page_size: 3,
            ..ListAuditRecordsRequest::default()
        },
    )
    .await;
    newest.reverse();
    assert_eq!(newest[..all.len()], all[..]);
    // A checkpoint may come between.
    let reads = |record: &AuditRecord| record.kind() == AuditEventKind::LogRead;
    assert!(
        newest[all.len()..].iter().any(reads),
        "the read is in it too"
    );

    // Fields, and filters on them.
    let signs = list(
        &auditor,
        ListAuditRecordsRequest {
            identity: "spiffe://chancery.test/test".to_owned(),
            operation: "sign".to_owned(),
            key: "keys/ec".to_owned(),
            ..ListAuditRecordsRequest::default()
        },
    )
    .await;
    assert_eq!(signs.len(), 10, "five intents, five outcomes");
    let (intent, outcome) = (&signs[0], &signs[1]);
    let subject = intent.subject.as_ref().unwrap();
    assert_eq!(subject.key, "keys/ec/versions/1");
    assert_eq!(subject.algorithms, [i32::from(A::Es256)]);
    assert_eq!(
        (intent.call.as_str(), intent.rule.as_str()),
        ("SigningService.Sign", "everything")
    );
    let line: Value = serde_json::from_slice(&intent.line).unwrap();
    assert_eq!(line["sequence"], intent.sequence);
    assert_eq!(outcome.intent, Some(intent.sequence));
    assert_eq!(outcome.result(), AuditResult::Succeeded);
    assert_eq!(outcome.signature_sha256.len(), 32);
    let denied = list(
        &auditor,
        ListAuditRecordsRequest {
            result: AuditResult::Denied.into(),
            ..ListAuditRecordsRequest::default()
        },
    )
    .await;
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0].reason, "identity");
    assert_eq!(
        denied[0].caller.as_ref().unwrap().identity,
        "spiffe://chancery.test/stranger"
    );

    // A proof, followed here in another way than the daemon does.
    for record in [&signs[0], &all[0]] {
        let number = u64::try_from(record.sequence).unwrap();
        let answer = covered(&auditor, number).await;
        let (proof, checkpoint) = (answer.inclusion_proof.unwrap(), answer.checkpoint.unwrap());
        assert_eq!(answer.record.unwrap(), *record);
        let leaf = Sha256::digest([&[0], record.line.as_ref()].concat()).to_vec();
        assert_eq!(proof.leaf_hash, leaf);
        let path: Vec<_> = proof.hashes.iter().map(|hash| hash.to_vec()).collect();
        let size = u64::try_from(checkpoint.tree_size).unwrap();
        assert_eq!(root(leaf, number, size, &path), checkpoint.root_hash);
        let vkey: Vkey = fs::read_to_string(daemon.directory().join("state/audit/vkey"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let note: SignedCheckpoint = checkpoint.note.parse().unwrap();
        assert_eq!(note.verified(&vkey).unwrap().size, size);
    }

    // Nobody else: whoever signs reads nothing, and that he tried is told.
    for name in ["test", "stranger"] {
        let client = daemon.client(name);
        let refusals = [
            Refusal::expect(
                client
                    .audit()
                    .list_audit_records(ListAuditRecordsRequest::default())
                    .await,
            ),
            Refusal::expect(
                client
                    .audit()
                    .get_audit_record(GetAuditRecordRequest {
                        name: "auditRecords/0".to_owned(),
                    })
                    .await,
            ),
            Refusal::expect(
                client
                    .audit()
                    .get_audit_checkpoint(GetAuditCheckpointRequest {})
                    .await,
            ),
            Refusal::expect(
                client
                    .audit()
                    .get_audit_consistency_proof(GetAuditConsistencyProofRequest {
                        old_tree_size: 1,
                    })
                    .await,
            ),
        ];
        for refusal in refusals {
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::PermissionDenied, "PERMISSION_DENIED")
            );
        }
        let told = list(
            &auditor,
            ListAuditRecordsRequest {
                identity: format!("spiffe://chancery.test/{name}"),
                operation: "read_audit".to_owned(),
                ..ListAuditRecordsRequest::default()
            },
        )
        .await;
        let calls: Vec<_> = told
            .iter()
            .map(|record| (record.call.as_str(), record.result()))
            .collect();
        assert_eq!(
            calls,
            [
                ("AuditService.ListAuditRecords", AuditResult::Denied),
                ("AuditService.GetAuditRecord", AuditResult::Denied),
                ("AuditService.GetAuditCheckpoint", AuditResult::Denied),
                ("AuditService.GetAuditConsistencyProof", AuditResult::Denied),
            ]
        );
    }
    // And the auditor signs nothing.
    let request = message("ec", A::Es256, b"x");
    assert_eq!(
        Refusal::expect(auditor.signing().sign(request).await).code,
        Code::PermissionDenied
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_complete_while_the_log_grows() {
    let daemon = start("auditor", "");
    let (client, auditor) = (daemon.client("test"), daemon.client("auditor"));
    create(&client, "ec", T::EcP256, &[A::Es256]).await;
    sign(&client, 60).await;
    for order in [AuditOrder::OldestFirst, AuditOrder::NewestFirst] {
        let count = auditor
            .audit()
            .get_audit_checkpoint(GetAuditCheckpointRequest {})
            .await;
        // The record of that call is the last one, when the listing begins.
        let end = count.unwrap().into_inner().record_count + 1;
        let load = tokio::spawn({
            let client = client.clone();
            async move { sign(&client, 100).await }
        });
        let request = ListAuditRecordsRequest {
            page_size: 7,
            order: order.into(),
            end_sequence: Some(end),
            ..ListAuditRecordsRequest::default()
        };
        let mut seen: Vec<_> = list(&auditor, request)
            .await
            .iter()
            .map(|one| one.sequence)
            .collect();
        if order == AuditOrder::NewestFirst {
            seen.reverse();
        }
        assert_eq!(seen, (0..end).collect::<Vec<_>>());
        // Without a bound it ends all the same: what comes later, and that it is read, is not in it.
        let request = ListAuditRecordsRequest {
            page_size: 50,
            order: order.into(),
            ..ListAuditRecordsRequest::default()
        };
        let seen: Vec<_> = list(&auditor, request)
            .await
            .iter()
            .map(|one| one.sequence)
            .collect();
        let different: BTreeSet<_> = seen.iter().collect();
        assert_eq!(different.len(), seen.len(), "a record came twice");
        assert_eq!(
            **different.last().unwrap() + 1,
            seen.len() as i64,
            "a record is missing"
        );
        load.await.unwrap();
    }
}
