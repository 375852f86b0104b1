//! What is asked wrongly, or is not there, or of a daemon that keeps no log: each has its reason.

use chancery::{
    client::Code,
    proto::v1::{
        Algorithm as A, AuditResult, GetAuditCheckpointRequest, GetAuditConsistencyProofRequest,
        GetAuditRecordRequest, KeyType as T, ListAuditRecordsRequest,
    },
};

use super::{get, list, sign, start};
use crate::{calls::create, harness::Refusal};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_or_is_not_there_has_its_reason() {
    // No checkpoint for an hour.
    let daemon = start("auditor", "checkpoint_seconds = 3600\n");
    let (client, auditor) = (daemon.client("test"), daemon.client("auditor"));
    create(&client, "ec", T::EcP256, &[A::Es256]).await;
    sign(&client, 3).await;
    let answer = get(&auditor, 2).await;
    assert!(
        answer.record.is_some() && answer.inclusion_proof.is_none() && answer.checkpoint.is_none()
    );
    let found = auditor
        .audit()
        .get_audit_checkpoint(GetAuditCheckpointRequest {})
        .await;
    let found = found.unwrap().into_inner();
    assert!(found.checkpoint.is_none() && found.record_count > 6);
    let refused = async |request: ListAuditRecordsRequest| {
        Refusal::expect(auditor.audit().list_audit_records(request).await)
    };
    let mut service = auditor.audit();
    let first = service.list_audit_records(ListAuditRecordsRequest {
        page_size: 1,
        ..ListAuditRecordsRequest::default()
    });
    let token = first.await.unwrap().into_inner().next_page_token;
    type Wrong = fn(&mut ListAuditRecordsRequest);
    let wrongs: [(&str, Wrong); 9] = [
        ("PAGE_SIZE_INVALID", |request| request.page_size = -1),
        ("PAGE_TOKEN_INVALID", |request| {
            request.page_token = "AAAA".to_owned()
        }),
        ("KEY_NAME_INVALID", |request| {
            request.key = "payouts".to_owned()
        }),
        ("AUDIT_FILTER_INVALID", |request| {
            request.partner = "upay".to_owned()
        }),
        ("AUDIT_FILTER_INVALID", |request| {
            request.operation = "signs".to_owned()
        }),
        ("AUDIT_FILTER_INVALID", |request| request.kind = 99),
        ("AUDIT_FILTER_INVALID", |request| request.result = 99),
        ("AUDIT_FILTER_INVALID", |request| request.order = 99),
        ("AUDIT_FILTER_INVALID", |request| {
            request.start_sequence = Some(-1)
        }),
    ];
    for (reason, wrong) in wrongs {
        let mut request = ListAuditRecordsRequest::default();
        wrong(&mut request);
        let refusal = refused(request).await;
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::InvalidArgument, reason)
        );
    }
    // The token of one question is none of another.
    let other = ListAuditRecordsRequest {
        page_token: token.clone(),
        operation: "sign".to_owned(),
        ..ListAuditRecordsRequest::default()
    };
    assert_eq!(refused(other).await.reason, "PAGE_TOKEN_INVALID");
    let same = ListAuditRecordsRequest {
        page_token: token,
        page_size: 2,
        ..ListAuditRecordsRequest::default()
    };
    auditor.audit().list_audit_records(same).await.unwrap();

    for (name, code, reason) in [
        (
            "auditRecords/999999",
            Code::NotFound,
            "AUDIT_RECORD_NOT_FOUND",
        ),
        (
            "auditRecords/",
            Code::InvalidArgument,
            "AUDIT_RECORD_NAME_INVALID",
        ),
        (
            "auditRecords/01",
            Code::InvalidArgument,
            "AUDIT_RECORD_NAME_INVALID",
        ),
        ("17", Code::InvalidArgument, "AUDIT_RECORD_NAME_INVALID"),
    ] {
        let request = GetAuditRecordRequest {
            name: name.to_owned(),
        };
        let refusal = Refusal::expect(auditor.audit().get_audit_record(request).await);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (code, reason),
            "{name}"
        );
    }
    for (old_tree_size, reason) in [
        (0, "TREE_SIZE_INVALID"),
        (-1, "TREE_SIZE_INVALID"),
        (5, "AUDIT_NO_CHECKPOINT"),
    ] {
        let request = GetAuditConsistencyProofRequest { old_tree_size };
        let refusal = Refusal::expect(auditor.audit().get_audit_consistency_proof(request).await);
        assert_eq!(refusal.reason, reason);
    }
    // A failed read is in the log with its reason, as any other refusal.
    let failed = list(
        &auditor,
        ListAuditRecordsRequest {
            result: AuditResult::Denied.into(),
            ..ListAuditRecordsRequest::default()
        },
    )
    .await;
    let reasons: Vec<_> = failed.iter().map(|record| record.reason.as_str()).collect();
    assert_eq!(reasons, ["AUDIT_RECORD_NOT_FOUND", "AUDIT_NO_CHECKPOINT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_log_an_auditor_is_told_so() {
    let daemon = start("auditor", "enabled = false\n");
    let request = ListAuditRecordsRequest::default();
    let refusal = daemon
        .client("auditor")
        .audit()
        .list_audit_records(request.clone())
        .await;
    assert_eq!(Refusal::expect(refusal).reason, "AUDIT_DISABLED");
    let refusal = daemon
        .client("test")
        .audit()
        .list_audit_records(request)
        .await;
    assert_eq!(Refusal::expect(refusal).reason, "PERMISSION_DENIED");
}
