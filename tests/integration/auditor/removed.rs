//! Records that were removed because they are old: said to be, and the rest is still proven.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use chancery::{
    audit::{Audit, Durability, Event, KeyAct, KeyChange, Opening, StopReason, Vkey},
    client::Code,
    key::PublicKey,
    proto::v1::{GetAuditCheckpointRequest, GetAuditRecordRequest, ListAuditRecordsRequest},
};
use tempfile::TempDir;

use super::{covered, list, start};
use crate::{cli::Cli, harness::Refusal};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_is_said_to_be() {
    let old = old_log();
    let table = format!(
        "directory = {:?}\norigin = \"{ORIGIN}\"\nretention_days = 30\ncheckpoint_seconds = 1\n",
        old.path()
    );
    let daemon = start("auditor", &table);
    daemon.wait_for_log("old audit records removed");
    let auditor = daemon.client("auditor");
    let found = auditor
        .audit()
        .get_audit_checkpoint(GetAuditCheckpointRequest {})
        .await;
    let first = found.unwrap().into_inner().first_sequence;
    assert!(first > 10, "{first}");
    let request = GetAuditRecordRequest {
        name: "auditRecords/5".to_owned(),
    };
    let refusal = Refusal::expect(auditor.audit().get_audit_record(request).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::OutOfRange, "AUDIT_RECORD_REMOVED")
    );
    assert_eq!(refusal.metadata["first_sequence"], first.to_string());
    let range = ListAuditRecordsRequest {
        start_sequence: Some(0),
        ..ListAuditRecordsRequest::default()
    };
    let refusal = Refusal::expect(auditor.audit().list_audit_records(range).await);
    assert_eq!(refusal.reason, "AUDIT_RECORD_REMOVED");
    // All that is left is listed, and the first of it can be proven still.
    let left = list(&auditor, ListAuditRecordsRequest::default()).await;
    assert_eq!(left[0].sequence, first);
    let first = u64::try_from(first).unwrap();
    covered(&auditor, first).await;
    let cli = Cli::new(&daemon, "auditor");
    let gone = cli.run(&["audit", "get", "5"], b"");
    assert_eq!(gone.code, 1);
    assert!(
        gone.error.contains("was removed, since it was old"),
        "{}",
        gone.error
    );
    cli.ok(&["audit", "get", &first.to_string()], b"");
}

/// A log of two days of 2020.
fn old_log() -> TempDir {
    static HOUR: AtomicU64 = AtomicU64::new(0);
    fn clock() -> SystemTime {
        let hours = HOUR.load(Ordering::Relaxed);
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800 + 3600 * hours)
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_owned();
    // Opening a log blocks, and a runtime's own thread may not.
    let written = std::thread::spawn(move || {
        let (audit, mut keeper) = Audit::open(Opening {
            directory: path,
            origin: ORIGIN.parse().unwrap(),
            durability: Durability::Os,
            segment_bytes: 1 << 20,
            vkeys: vec![],
            policy: None,
            config: None,
            clock,
        })
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            for hour in 0..40 {
                HOUR.store(hour, Ordering::Relaxed);
                let change = KeyChange {
                    key: "payouts".parse().unwrap(),
                    version: None,
                    act: KeyAct::Updated,
                    public_key: None,
                    by: None,
                };
                audit.record(Event::KeyChanged(change)).await.unwrap();
            }
            audit.close(StopReason::Asked).await.unwrap();
        });
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = PublicKey::from_ed25519(key.public_key().as_ref()).unwrap();
        let vkey = Vkey::new(ORIGIN.parse().unwrap(), &public).unwrap();
        keeper.introduce(&vkey).unwrap();
        let draft = keeper.draft().unwrap().unwrap();
        let signature = key.sign(&draft.body());
        keeper.publish(&draft, &vkey, signature.as_ref()).unwrap();
    });
    written.join().unwrap();
    directory
}

const ORIGIN: &str = "chancery.test/old";
