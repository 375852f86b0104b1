//! Pages of a log against its lines, read the plain way: complete, in order, each record once.

use std::ops::Range;

use super::*;

/// Three callers' worth of events, over several segments; each sixth intent fails, each seventh is denied.
fn filled(count: u64) -> Log {
    let directory = TempDir::new().unwrap();
    let small = Opening {
        segment_bytes: 64 << 10,
        ..opening(directory.path())
    };
    let (audit, keeper) = Audit::open(small).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    for number in 0..count {
        let key = ["payouts", "web", "inbox"][number as usize % 3];
        if number % 7 == 6 {
            let identity = Identity::for_test("spiffe://example.org/stranger");
            let asked = Asked {
                operation: Operation::Get,
                key: Some(key.parse().unwrap()),
                version: None,
                algorithms: vec![],
                partner: None,
                scheme: None,
            };
            drop(audit.denied(Denial::other(SIGN, &identity, asked, Word::new("NO"))));
            continue;
        }
        let ticket = audit.intent(intent(key)).unwrap();
        let ending = match number % 6 {
            5 => Ending::Failed(Word::new("TOKEN_UNAVAILABLE")),
            _ => Ending::Succeeded,
        };
        drop(audit.outcome(ticket, ending));
    }
    let read = LogRead {
        caller: Caller::from(&Identity::for_test("spiffe://example.org/auditor")),
        call: Word::new("AuditService.ListAuditRecords"),
        rule: Name::fitted("auditors"),
        first: 0,
        shown: 0,
    };
    runtime
        .block_on(audit.record(Event::LogRead(read)))
        .unwrap();
    Log {
        directory,
        audit,
        keeper,
    }
}

/// All pages, put together.
fn pages(
    reader: &Reader,
    range: Range<u64>,
    order: Order,
    filter: &Filter,
    most: usize,
) -> Vec<u64> {
    let (mut all, mut rest) = (vec![], range);
    while !rest.is_empty() {
        let page = reader.list(rest.clone(), order, filter, most).unwrap();
        assert!(page.records.len() <= most);
        assert!(page.rest.end - page.rest.start.min(page.rest.end) < rest.end - rest.start);
        for (record, line) in &page.records {
            assert_eq!(serde_json::to_string(record).unwrap(), *line);
        }
        all.extend(page.records.iter().map(|(record, _)| record.sequence));
        rest = page.rest;
    }
    all
}

/// What a filter must let pass, from the lines as JSON.
fn expected(
    lines: &[String],
    range: Range<u64>,
    wanted: impl Fn(&serde_json::Value, &serde_json::Value) -> bool,
) -> Vec<u64> {
    let events: Vec<serde_json::Value> = lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].clone())
        .collect();
    range
        .filter(|number| {
            let event = &events[*number as usize];
            let about = match event["outcome"]["intent"].as_u64() {
                Some(intent) => &events[intent as usize],
                None => event,
            };
            wanted(event, about)
        })
        .collect()
}

#[test]
fn pages_are_complete_and_in_order_whatever_their_size_and_filter() {
    let log = filled(700);
    let lines = lines(log.path());
    let end = lines.len() as u64;
    assert!(fs::read_dir(log.path().join("log")).unwrap().count() > 3);
    let reader = log.audit.reader().unwrap();
    assert_eq!(reader.end().unwrap(), end);
    type Wanted = fn(&serde_json::Value, &serde_json::Value) -> bool;
    let filters: [(Filter, Wanted); 6] = [
        (Filter::default(), |_, _| true),
        (
            Filter {
                key: Some("web".to_owned()),
                ..Filter::default()
            },
            |_, about| {
                let (intent, denied) = (
                    &about["intent"]["subject"]["key"],
                    &about["denied"]["subject"]["key"],
                );
                intent == "web" || denied == "web"
            },
        ),
        (
            Filter {
                identity: Some("spiffe://example.org/payments".to_owned()),
                result: Some(ResultKind::Failed),
                ..Filter::default()
            },
            |event, _| event["outcome"]["result"]["failed"].is_string(),
        ),
        (
            Filter {
                operation: Some(Operation::Get),
                ..Filter::default()
            },
            |event, _| event["denied"].is_object(),
        ),
        (
            Filter {
                kind: Some("log_read".parse().unwrap()),
                operation: Some(Operation::ReadAudit),
                ..Filter::default()
            },
            |event, _| event["log_read"].is_object(),
        ),
        (
            Filter {
                partner: Some("upay".to_owned()),
                ..Filter::default()
            },
            |_, _| false,
        ),
    ];
    for (filter, wanted) in &filters {
        for range in [0..end, 101..102, 100..613, end - 1..end, 5..5] {
            let right = expected(&lines, range.clone(), wanted);
            let reversed: Vec<u64> = right.iter().rev().copied().collect();
            for most in [1, 7, 256, 5000] {
                // A page of one record each is slow over all of them.
                if most == 1 && range.end - range.start > 60 {
                    continue;
                }
                let listed = |order| pages(&reader, range.clone(), order, filter, most);
                assert_eq!(
                    listed(Order::OldestFirst),
                    right,
                    "{filter:?} {range:?} {most}"
                );
                assert_eq!(
                    listed(Order::NewestFirst),
                    reversed,
                    "{filter:?} {range:?} {most}"
                );
            }
        }
    }
}

#[test]
fn every_record_is_found_by_its_number() {
    let log = filled(300);
    let lines = lines(log.path());
    let reader = log.audit.reader().unwrap();
    for (number, line) in lines.iter().enumerate() {
        let (record, found, proof) = reader.record(number as u64).unwrap();
        assert_eq!((record.sequence, &found), (number as u64, line));
        assert!(proof.is_none(), "no checkpoint was made");
    }
    let end = lines.len() as u64;
    let beyond = reader.record(end).unwrap_err();
    assert_eq!(beyond, ReadError::NotThere { index: end, end });
}

#[test]
fn a_record_is_proven_as_soon_as_a_checkpoint_covers_it() {
    let mut log = filled(100);
    let covered = log.checkpoint().checkpoint.size;
    let later = log.sign("later");
    let reader = log.audit.reader().unwrap();
    for number in 0..covered {
        let (_, line, proof) = reader.record(number).unwrap();
        let proof = proof.unwrap();
        assert_eq!(proof.index, number);
        proof.verified(line.as_bytes(), &vkey()).unwrap();
    }
    assert!(reader.record(later).unwrap().2.is_none());
    // Somebody changes a record and mends its segment: it is not the one that was signed for.
    let segment = log.path().join("log/00000000000000000000.jsonl");
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replacen("payouts", "payoutz", 1)).unwrap();
    let changed = lines(log.path())
        .iter()
        .position(|line| line.contains("payoutz"))
        .unwrap() as u64;
    let altered = reader.record(changed).unwrap_err();
    assert_eq!(altered, ReadError::Altered(changed));
    assert!(reader.record(changed - 1).is_ok());
}

#[test]
fn what_was_removed_is_said_and_not_passed_over() {
    let mut log = filled(700);
    log.checkpoint();
    let removed = log
        .keeper
        .prune(SystemTime::now() + Duration::from_secs(60))
        .unwrap();
    assert!(removed > 0);
    let reader = log.audit.reader().unwrap();
    let (first, end) = (reader.first().unwrap(), reader.end().unwrap());
    assert_eq!(first, removed);
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let gone = reader
            .list(0..end, order, &Filter::default(), 5000)
            .unwrap_err();
        assert_eq!(gone, ReadError::Removed { index: 0, first });
        let left = reader
            .list(first..end, order, &Filter::default(), 5000)
            .unwrap();
        assert_eq!(left.records.len() as u64, end - first);
    }
    let gone = reader.record(first - 1).unwrap_err();
    assert_eq!(
        gone,
        ReadError::Removed {
            index: first - 1,
            first
        }
    );
    assert!(reader.record(first).unwrap().2.is_some());
}

#[test]
fn what_comes_while_pages_are_read_is_not_among_them() {
    let log = filled(50);
    let reader = log.audit.reader().unwrap();
    let end = reader.end().unwrap();
    log.sign("later");
    assert_eq!(reader.end().unwrap(), end);
    assert!(reader.record(end).is_err());
    assert_eq!(log.audit.reader().unwrap().end().unwrap(), end + 2);
}
