//! A log's ordinary life: what it says, how it ends, goes on, is cut, grows old.

use std::{thread, time::Instant};

use futures_util::future::join_all;

use super::*;

#[test]
fn a_record_has_these_bytes() {
    fn clock() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_358_976_123_456)
    }
    let directory = TempDir::new().unwrap();
    let opening = Opening {
        clock,
        ..opening(directory.path())
    };
    let (audit, _keeper) = Audit::open(opening).unwrap();
    let ticket = audit.intent(intent("payouts")).unwrap();
    wait(audit.signed(ticket, b"signature")).unwrap();
    let lines = lines(directory.path());
    let previous = hex::encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        b"chancery audit log\nexample.com/chancery/test",
    ));
    let program = env!("CARGO_PKG_VERSION");
    assert_eq!(
        lines[0],
        format!(
            r#"{{"sequence":0,"time":"2026-11-22T14:49:36.123456Z","previous":"{previous}","event":{{"started":{{"origin":"example.com/chancery/test","program":"{program}"}}}}}}"#
        )
    );
    // RFC 6962: a leaf's hash begins with a zero byte. `printf '\0%s' "$line" | sha256sum` gives the same.
    let leaf = |line: &str| {
        let bytes = [b"\0", line.as_bytes()].concat();
        hex::encode(aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            &bytes,
        ))
    };
    let sha256 = |text: &str| {
        hex::encode(aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            text.as_bytes(),
        ))
    };
    let (certificate, input) = (sha256("spiffe://example.org/payments"), sha256("payouts"));
    let (first, second) = (leaf(&lines[0]), leaf(&lines[1]));
    assert_eq!(
        lines[1],
        format!(
            r#"{{"sequence":1,"time":"2026-11-22T14:49:36.123456Z","previous":"{first}","event":{{"intent":{{"caller":{{"identity":"spiffe://example.org/payments","certificate":"{certificate}"}},"call":"chancery.v1.SigningService/Sign","subject":{{"operation":"sign","key":"payouts","version":1,"algorithms":["ES256"]}},"input":{{"sha256":"{input}"}},"rule":"payments-sign"}}}}}}"#
        )
    );
    let signature = sha256("signature");
    assert_eq!(
        lines[2],
        format!(
            r#"{{"sequence":2,"time":"2026-11-22T14:49:36.123456Z","previous":"{second}","event":{{"outcome":{{"intent":1,"result":"succeeded","signature":"{signature}"}}}}}}"#
        )
    );
}

#[test]
fn no_hash_of_a_mac_is_kept() {
    let log = Log::new();
    let mut mac = intent("secret");
    mac.subject.algorithms = vec![Algorithm::Hmac(crate::algorithm::Hash::Sha256)];
    let ticket = log.audit.intent(mac).unwrap();
    wait(log.audit.signed(ticket, &[7; 32])).unwrap();
    let lines = lines(log.path());
    assert!(lines[2].ends_with(r#""event":{"outcome":{"intent":1,"result":"succeeded"}}}"#));
}

#[test]
fn a_ticket_that_is_dropped_says_so() {
    let log = Log::new();
    drop(log.audit.intent(intent("payouts")).unwrap());
    let directory = log.close();
    let lines = lines(directory.path());
    assert!(lines[2].contains(r#"{"outcome":{"intent":1,"result":"abandoned"}}"#));
    assert!(lines[3].contains(r#"{"stopped":{"reason":"asked"}}"#));
}

/// Of what takes the token long the log tells meanwhile, though nobody else does anything.
#[test]
fn an_intent_that_nothing_follows_is_written() {
    let log = Log::new();
    for _ in 0..3 {
        let ticket = log.audit.intent(intent("payouts")).unwrap();
        let number = usize::try_from(ticket.sequence()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while lines(log.path()).len() <= number {
            assert!(Instant::now() < deadline, "intent {number} is not written");
            thread::sleep(Duration::from_millis(1));
        }
        // The next one finds the writer where it was left.
        wait(log.audit.signed(ticket, b"signature")).unwrap();
    }
}

#[test]
fn all_who_wait_are_told_by_a_task_and_when_there_is_none_any_more() {
    let log = Log::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.spawn(log.audit.teller());
    runtime.block_on(async {
        let begin = || log.audit.intent(intent("payouts")).unwrap();
        let tickets: Vec<_> = std::iter::repeat_with(begin).take(100).collect();
        let signed = |ticket| log.audit.signed(ticket, b"signature");
        for told in join_all(tickets.into_iter().map(signed)).await {
            told.unwrap();
        }
    });
    drop(runtime);
    log.sign("payouts");
}

#[test]
fn many_outcomes_wait_once_and_all_are_there() {
    let log = Log::new();
    let settled = (0..100)
        .map(|at| {
            let ticket = log.audit.intent(intent("payouts")).unwrap();
            let ending = match at % 2 {
                0 => Ending::Succeeded,
                _ => Ending::Failed(Word::new("TOKEN_TIMEOUT")),
            };
            (ticket, ending, None)
        })
        .collect();
    wait(log.audit.outcomes(settled)).unwrap();
    wait(log.audit.outcomes(vec![])).unwrap();
    assert_eq!(lines(log.path()).len(), 201);
}

#[test]
fn after_the_end_nothing_is_taken() {
    let log = Log::new();
    wait(log.audit.close(StopReason::Asked)).unwrap();
    assert_eq!(
        log.audit.intent(intent("payouts")).unwrap_err(),
        AuditError::Closed
    );
    let read = log.audit.record(Event::Stopped(Stopped {
        reason: StopReason::Asked,
    }));
    assert_eq!(wait(read), Err(AuditError::Closed));
    assert_eq!(log.audit.health(), Health::Closed);
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let mut log = Log::new();
    log.sign("one");
    let first = log.checkpoint();
    log.sign("two");
    let log = Log::within(log.close());
    log.sign("three");
    assert_eq!(log.keeper.last(), Some(&first));
    let mut log = log;
    let second = log.checkpoint();
    assert_eq!(second.checkpoint.size, 10);
    let directory = log.close();
    let report = Verification::new(directory.path(), Some(vkey()))
        .against(first)
        .run()
        .unwrap();
    assert_eq!((report.records, report.covered), (11, 10));
    assert_eq!((report.unknown, report.starts), (0, 2));
}

#[test]
fn only_one_may_write() {
    let log = Log::new();
    let error = Audit::open(opening(log.path())).unwrap_err();
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
}

#[test]
fn a_log_of_another_daemon_is_refused() {
    for with_checkpoint in [false, true] {
        let mut log = Log::new();
        log.sign("one");
        if with_checkpoint {
            log.checkpoint();
        }
        let directory = log.close();
        let other = Opening {
            origin: "example.com/chancery/other".parse().unwrap(),
            ..opening(directory.path())
        };
        let error = Audit::open(other).unwrap_err();
        match with_checkpoint {
            true => assert!(matches!(error, OpenError::OtherLog { .. }), "{error}"),
            false => assert!(
                matches!(
                    &error,
                    OpenError::Damaged(Fault {
                        record: 0,
                        what: Wrong::Chain,
                        ..
                    })
                ),
                "{error}"
            ),
        }
    }
}

#[test]
fn a_checkpoint_by_another_key_is_refused() {
    let mut log = Log::new();
    log.sign("one");
    log.checkpoint();
    let directory = log.close();
    let other = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let public = PublicKey::from_ed25519(other.public_key().as_ref()).unwrap();
    let opening = Opening {
        vkeys: vec![Vkey::new(ORIGIN.parse().unwrap(), &public).unwrap()],
        ..opening(directory.path())
    };
    let error = Audit::open(opening).unwrap_err();
    assert!(
        matches!(error, OpenError::Checkpoint(NoteError::Unsigned)),
        "{error}"
    );
}

#[test]
fn an_older_log_beside_a_newer_checkpoint_is_refused() {
    let mut log = Log::new();
    log.sign("one");
    log.checkpoint();
    let before = lines(log.path()).join("\n") + "\n";
    log.sign("two");
    log.checkpoint();
    let directory = log.close();
    let segment = directory.path().join("log/00000000000000000000.jsonl");
    fs::write(segment, before).unwrap();
    let error = Audit::open(opening(directory.path())).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::RolledBack {
                signed: 6,
                found: 3
            }
        ),
        "{error}"
    );
}

/// Each checkpoint is told of in the log once it is there: without it nothing vouches for what the log says.
#[test]
fn a_checkpoint_that_was_removed_or_replaced_by_an_older_one_is_missed() {
    let mut log = Log::new();
    let path = log.path().join("checkpoint");
    log.sign("one");
    log.checkpoint();
    let older = fs::read(&path).unwrap();
    log.sign("two");
    log.checkpoint();
    log.sign("three");
    log.checkpoint();
    let directory = log.close();
    let newest = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for found in [0, 3] {
        let error = Audit::open(opening(directory.path())).unwrap_err();
        match error {
            OpenError::CheckpointGone { told, found: at } => assert_eq!((told, at), (6, found)),
            other => panic!("{other}"),
        }
        fs::write(&path, &older).unwrap();
    }
    fs::write(&path, newest).unwrap();
    Audit::open(opening(directory.path())).unwrap();
}

#[test]
fn segments_end_by_size_and_a_log_spans_them() {
    let directory = TempDir::new().unwrap();
    let small = |directory: &Path| Opening {
        segment_bytes: 4096,
        ..opening(directory)
    };
    let (audit, mut keeper) = Audit::open(small(directory.path())).unwrap();
    for _ in 0..100 {
        let ticket = audit.intent(intent("payouts")).unwrap();
        wait(audit.signed(ticket, b"x")).unwrap();
    }
    let draft = keeper.draft().unwrap().unwrap();
    let signature = signer().sign(&draft.body());
    keeper.publish(&draft, &vkey(), signature.as_ref()).unwrap();
    wait(audit.close(StopReason::Asked)).unwrap();
    drop((audit, keeper));
    let segments = file::segments(directory.path()).unwrap();
    assert!(segments.len() > 10, "{segments:?}");
    for entry in fs::read_dir(directory.path().join("log")).unwrap() {
        assert!(entry.unwrap().metadata().unwrap().len() <= 4096);
    }
    let (audit, keeper) = Audit::open(small(directory.path())).unwrap();
    drop((audit, keeper));
    let report = Verification::new(directory.path(), Some(vkey())).run();
    assert!(report.unwrap().records >= 203);
}

#[test]
fn what_is_old_and_covered_goes_and_the_rest_is_still_proven() {
    let directory = TempDir::new().unwrap();
    let small = Opening {
        segment_bytes: 20_000,
        ..opening(directory.path())
    };
    let (audit, keeper) = Audit::open(small.clone()).unwrap();
    let mut log = Log {
        directory,
        audit,
        keeper,
    };
    for _ in 0..400 {
        log.sign("payouts");
    }
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    assert_eq!(
        log.keeper.prune(tomorrow).unwrap(),
        0,
        "nothing is signed yet"
    );
    let old = log.checkpoint();
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    assert_eq!(
        log.keeper.prune(yesterday).unwrap(),
        0,
        "nothing is old yet"
    );
    let removed = log.keeper.prune(tomorrow).unwrap();
    assert!(removed > 300, "{removed}");
    log.sign("payouts");
    let new = log.checkpoint();
    let directory = log.close();
    let (audit, keeper) = Audit::open(Opening {
        directory: directory.path().to_owned(),
        ..small
    })
    .unwrap();
    drop((audit, keeper));
    let verification = Verification::new(directory.path(), Some(vkey()));
    let report = verification.against(old.clone()).run().unwrap();
    assert_eq!(
        (report.first, report.covered),
        (removed, new.checkpoint.size)
    );
    let reader = Reader::open(directory.path()).unwrap();
    let (line, proof) = reader.prove(removed).unwrap();
    proof.verified(line.as_bytes(), &vkey()).unwrap();
    let path = reader
        .consistency(old.checkpoint.size, new.checkpoint.size)
        .unwrap();
    tree::check_consistency(
        (old.checkpoint.size, old.checkpoint.root),
        (new.checkpoint.size, new.checkpoint.root),
        &path,
    )
    .unwrap();
    assert!(matches!(
        reader.prove(removed - 1),
        Err(ReadError::Removed { .. })
    ));
}

#[test]
fn the_checkpoint_goes_on_after_the_tiles_were_lost() {
    let mut log = Log::new();
    for _ in 0..300 {
        log.sign("payouts");
    }
    log.checkpoint();
    let directory = log.close();
    fs::remove_dir_all(directory.path().join("tile")).unwrap();
    let mut log = Log::within(directory);
    let signed = log.checkpoint();
    let reader = Reader::open(log.path()).unwrap();
    let (line, proof) = reader.prove(5).unwrap();
    assert_eq!(proof.checkpoint, signed);
    proof.verified(line.as_bytes(), &vkey()).unwrap();
}
