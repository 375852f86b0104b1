//! The log as an auditor sees it over the network: complete, proven, and told of in the log itself.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use chancery::{
    audit::{
        Audit, Durability, Event, KeyAct, KeyChange, Opening, SignedCheckpoint, StopReason, Vkey,
    },
    client::{Client, Code},
    key::PublicKey,
    proto::v1::{
        Algorithm as A, AuditEventKind, AuditOrder, AuditRecord, AuditResult,
        GetAuditCheckpointRequest, GetAuditConsistencyProofRequest, GetAuditRecordRequest,
        GetAuditRecordResponse, KeyType as T, ListAuditRecordsRequest,
    },
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    calls::{create, message},
    cli::Cli,
    harness::{ALLOW_TEST, Daemon, Refusal, Setup},
    softhsm::Token,
};

const AUDITOR: &str = r#"
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
    let deadline = Instant::now() + Duration::from_secs(30);
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
    assert_eq!(
        newest[all.len()].kind(),
        AuditEventKind::LogRead,
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

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_proves_witnesses_and_finds_a_log_that_was_put_back() {
    let mut daemon = start("auditor", "checkpoint_seconds = 1\n");
    create(&daemon.client("test"), "ec", T::EcP256, &[A::Es256]).await;
    sign(&daemon.client("test"), 3).await;
    covered(&daemon.client("auditor"), 2).await;
    let log = daemon.directory().join("state/audit");
    let vkey = fs::read_to_string(log.join("vkey")).unwrap();
    let vkey = vkey.trim();
    let cli = Cli::new(&daemon, "auditor");
    let file = |name: &str| daemon.directory().join(name).display().to_string();

    // A record, exactly as it is on the disk, with a proof that needs no daemon any more.
    let segment = fs::read_to_string(log.join("log/00000000000000000000.jsonl")).unwrap();
    let second = segment.lines().nth(1).unwrap();
    let proof = file("1.proof");
    let got = cli.run(
        &["audit", "get", "1", "--vkey", vkey, "--proof", &proof],
        b"",
    );
    assert_eq!(got.code, 0, "{}", got.error);
    assert_eq!(
        String::from_utf8(got.output).unwrap(),
        format!("{second}\n")
    );
    assert!(
        got.error.contains("proven: this is record 1 of the"),
        "{}",
        got.error
    );
    assert!(got.error.contains("signature is good"), "{}", got.error);
    fs::write(file("1.json"), second).unwrap();
    cli.ok(
        &[
            "audit",
            "check-proof",
            &proof,
            "--record",
            &file("1.json"),
            "--vkey",
            vkey,
        ],
        b"",
    );
    let told = cli.json(&["audit", "get", "1"]);
    assert_eq!(
        (&told["proven"], &told["signature_checked"]),
        (&true.into(), &false.into())
    );
    let other = "chancery.test/other+5b2f5ef1+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
    let refused = cli.run(&["audit", "get", "1", "--vkey", other], b"");
    assert_ne!(refused.code, 0, "a key of another log");

    // A table, and the same for programs.
    let table = cli.ok(
        &[
            "audit",
            "list",
            "--key",
            "ec",
            "--operation",
            "sign",
            "--oldest-first",
        ],
        b"",
    );
    let table = String::from_utf8(table).unwrap();
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(
        table.contains("SigningService.Sign\tkeys/ec/versions/1\tbegins"),
        "{table}"
    );
    assert!(table.contains("\tsucceeded"), "{table}");
    let listed = cli.json(&["audit", "list", "--limit", "2"]);
    assert_eq!(listed["records"].as_array().unwrap().len(), 2);
    assert_eq!(listed["more"], true);
    assert!(listed["records"][0]["sequence"].as_u64() > listed["records"][1]["sequence"].as_u64());
    let nobody = cli.json(&["audit", "list", "--until", "2020-01-01T00:00:00Z"]);
    assert_eq!(nobody["records"].as_array().unwrap().len(), 0);
    let stranger = Cli::new(&daemon, "stranger").run(&["audit", "list"], b"");
    assert_eq!(stranger.code, 3, "{}", stranger.error);
    assert_eq!(
        cli.run(&["audit", "list", "--result", "refused"], b"").code,
        2
    );

    // A witness keeps a checkpoint, and the next one only if it follows.
    let kept = file("kept.checkpoint");
    let save = ["audit", "checkpoint", "--vkey", vkey, "--save", &kept];
    let first = cli.ok(&save, b"");
    assert_eq!(fs::read(&kept).unwrap(), first);
    let copy = tempfile::tempdir().unwrap();
    sign(&daemon.client("test"), 3).await;
    let end = daemon
        .client("auditor")
        .audit()
        .get_audit_checkpoint(GetAuditCheckpointRequest {})
        .await;
    let end = end.unwrap().into_inner().record_count;
    covered(&daemon.client("auditor"), u64::try_from(end).unwrap()).await;
    let second = cli.run(&save, b"");
    assert!(
        second.error.contains("consistent: the log of"),
        "{}",
        second.error
    );
    assert_ne!(second.output, first);
    assert_eq!(fs::read(&kept).unwrap(), second.output);

    // An older copy is put in place, and goes on as if nothing had been.
    daemon.terminate().await;
    let moved = copy.path().join("audit");
    fs::rename(&log, &moved).unwrap();
    fs::create_dir(&log).unwrap();
    daemon.start_again();
    covered(&daemon.client("auditor"), 0).await;
    let cli = Cli::new(&daemon, "auditor");
    let found = cli.run(&save, b"");
    assert_eq!(found.code, 1, "{}", found.error);
    assert!(
        found
            .error
            .contains("put back to an older state or rewritten"),
        "{}",
        found.error
    );
    // It grows past the one that was kept, and is still another.
    sign(&daemon.client("test"), 30).await;
    let size = String::from_utf8(second.output.clone()).unwrap();
    let size: u64 = size.lines().nth(1).unwrap().parse().unwrap();
    covered(&daemon.client("auditor"), size + 1).await;
    let found = cli.run(&save, b"");
    assert_eq!(found.code, 1, "{}", found.error);
    assert!(
        found.error.contains("does not begin with"),
        "{}",
        found.error
    );
    assert_eq!(
        fs::read(&kept).unwrap(),
        second.output,
        "what was kept stays"
    );
}
