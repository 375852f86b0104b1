//! Edits of a log, ten thousand of them at random, and what is done to it while it is open: all are noticed.

use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    thread,
    time::{Duration, Instant},
};

use super::*;

/// A generator that gives the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % limit as u64) as usize
    }
}

/// A closed log in two segments, all of it covered; an older copy of it with its own checkpoint; and a log
/// of the same origin and key with other content.
struct Material {
    good: TempDir,
    kept: SignedCheckpoint,
    old: Vec<u8>,
    old_checkpoint: Vec<u8>,
    other: Vec<u8>,
}

fn material() -> Material {
    let make = |key: &str| {
        let directory = TempDir::new().unwrap();
        let small = Opening {
            segment_bytes: 3_500,
            ..opening(directory.path())
        };
        let (audit, keeper) = Audit::open(small).unwrap();
        let mut log = Log {
            directory,
            audit,
            keeper,
        };
        for _ in 0..4 {
            log.sign(key);
        }
        log.checkpoint();
        let old_checkpoint = fs::read(log.path().join("checkpoint")).unwrap();
        let old = text(log.path());
        for _ in 0..4 {
            log.sign(key);
        }
        let kept = log.checkpoint();
        (log.close(), kept, old, old_checkpoint)
    };
    let (good, kept, old, old_checkpoint) = make("payouts");
    // What follows the last checkpoint is for other tests.
    trim(good.path(), kept.checkpoint.size);
    let (other, ..) = make("payins");
    Material {
        other: text(other.path()),
        good,
        kept,
        old,
        old_checkpoint,
    }
}

fn text(directory: &Path) -> Vec<u8> {
    (lines(directory).join("\n") + "\n").into_bytes()
}

fn paths(directory: &Path) -> Vec<PathBuf> {
    let list = file::segments(directory).unwrap();
    list.into_iter()
        .map(|first| file::segment_path(directory, first))
        .collect()
}

fn trim(directory: &Path, size: u64) {
    let path = paths(directory).pop().unwrap();
    let first = *file::segments(directory).unwrap().last().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    match text
        .lines()
        .take((size - first) as usize)
        .collect::<Vec<_>>()
    {
        none if none.is_empty() => fs::remove_file(&path).unwrap(),
        kept => fs::write(&path, kept.join("\n") + "\n").unwrap(),
    }
}

fn split(text: &[u8]) -> Vec<Vec<u8>> {
    text.split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

#[test]
fn ten_thousand_random_edits_are_all_found() {
    let material = material();
    let directory = material.good.path();
    let segments = paths(directory);
    assert!(segments.len() >= 2, "{segments:?}");
    let good: Vec<_> = segments
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    let verify = || {
        Verification::new(directory, Some(vkey()))
            .against(material.kept.clone())
            .run()
    };
    assert_eq!(verify().unwrap().covered, material.kept.checkpoint.size);
    let mut random = Random(20_261_122);
    let mut kinds = BTreeMap::new();
    for edit in 0..10_000 {
        let which = random.below(segments.len());
        let before = &good[which];
        let mut after = before.clone();
        let mut lines = split(before);
        let (one, two) = (random.below(lines.len()), random.below(lines.len()));
        let kind = match random.below(10) {
            0 | 1 => {
                let at = random.below(after.len());
                after[at] ^= 1 << random.below(8);
                "flip a bit"
            }
            2 => {
                let at = random.below(after.len());
                after[at] = b"0123456789abcdef{}\":,\n"[random.below(22)];
                "write a byte"
            }
            3 => {
                lines.remove(one);
                after = lines.concat();
                "drop a record"
            }
            4 => {
                lines.swap(one, two);
                after = lines.concat();
                "swap two records"
            }
            5 => {
                let line = lines[one].clone();
                lines.insert(two, line);
                after = lines.concat();
                "repeat a record"
            }
            6 => {
                let theirs = split(&material.other);
                lines[one] = theirs[random.below(theirs.len())].clone();
                after = lines.concat();
                "put in a record of another log"
            }
            7 => {
                after.truncate(random.below(after.len()));
                "cut the end off"
            }
            8 => {
                let at = random.below(after.len());
                let length = random.below(after.len() - at).min(40);
                after.drain(at..at + length);
                "cut out some bytes"
            }
            _ => {
                let at = random.below(after.len());
                let copy = before[at..at + random.below(before.len() - at).min(700)].to_vec();
                let to = random.below(after.len());
                after.splice(to..to, copy);
                "splice in some bytes"
            }
        };
        if after == *before {
            continue;
        }
        fs::write(&segments[which], &after).unwrap();
        let verdict = verify();
        assert!(
            verdict.is_err(),
            "edit {edit}: {kind} was not found: {verdict:?}"
        );
        fs::write(&segments[which], before).unwrap();
        *kinds.entry(kind).or_insert(0) += 1;
    }
    let found: usize = kinds.values().sum();
    assert!(found > 9_500 && kinds.len() == 9, "{kinds:?}");
    verify().unwrap();
}

/// An older log, whole and with its own good checkpoint: only what was kept elsewhere tells.
#[test]
fn a_roll_back_is_found_with_a_checkpoint_that_was_kept() {
    let material = material();
    let directory = material.good.path();
    for path in paths(directory) {
        fs::remove_file(path).unwrap();
    }
    fs::write(file::segment_path(directory, 0), &material.old).unwrap();
    fs::write(directory.join("checkpoint"), &material.old_checkpoint).unwrap();
    Verification::new(directory, Some(vkey())).run().unwrap();
    let verdict = Verification::new(directory, Some(vkey()))
        .against(material.kept.clone())
        .run();
    let short = Wrong::Short(material.kept.checkpoint.size);
    assert!(
        matches!(&verdict, Err(NotGood::Record(fault)) if fault.what == short),
        "{verdict:?}"
    );
}

/// The whole chain made anew, as somebody could who holds the disk but not the key.
#[test]
fn a_chain_that_was_made_anew_is_found_by_its_root() {
    let material = material();
    let directory = material.good.path();
    let mut previous = None;
    for (index, path) in paths(directory).iter().enumerate() {
        let mut made = Vec::new();
        for line in fs::read_to_string(path).unwrap().lines() {
            let mut record: Record = serde_json::from_str(line).unwrap();
            if let Event::Intent(intent) = &mut record.event
                && index == 0
            {
                intent.rule = Name::fitted("another-rule");
            }
            record.previous = previous.unwrap_or(record.previous);
            let line = serde_json::to_string(&record).unwrap();
            previous = Some(tree::leaf(line.as_bytes()));
            made.extend_from_slice(line.as_bytes());
            made.push(b'\n');
        }
        fs::write(path, made).unwrap();
    }
    let verdict = Verification::new(directory, Some(vkey())).run();
    let size = material.kept.checkpoint.size;
    assert!(
        matches!(&verdict, Err(NotGood::Record(fault)) if fault.what == Wrong::Root(size)),
        "{verdict:?}"
    );
    let error = Audit::open(opening(directory)).unwrap_err();
    assert!(matches!(error, OpenError::OtherRecords(_)), "{error}");
}

#[test]
fn a_fault_names_the_record_and_the_byte() {
    let material = material();
    let directory = material.good.path();
    let path = paths(directory).remove(0);
    let text = fs::read_to_string(&path).unwrap();
    let at = text.match_indices('\n').nth(4).unwrap().0 + 1;
    let line = text[at..].lines().next().unwrap();
    let altered = line.replace("payments-sign", "payments-sigh");
    assert_ne!(altered, line);
    fs::write(&path, text.replace(line, &altered)).unwrap();
    let verdict = Verification::new(directory, Some(vkey())).run();
    let next = at + line.len() + 1;
    let Err(NotGood::Record(fault)) = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(
        (fault.record, fault.at, fault.what),
        (6, next as u64, Wrong::Chain)
    );
    assert_eq!(fault.segment, path);
}

#[test]
fn without_a_checkpoint_nothing_is_vouched_for() {
    let log = Log::new();
    log.sign("payouts");
    let directory = log.close();
    let verdict = Verification::new(directory.path(), Some(vkey())).run();
    assert!(matches!(verdict, Err(NotGood::Nothing(_))), "{verdict:?}");
    let report = Verification::new(directory.path(), None).run().unwrap();
    assert_eq!((report.records, report.covered), (4, 0));
}

/// What may happen to the file of an open log.
#[test]
fn whatever_is_done_to_the_open_file_ends_all() {
    type Attack = fn(&Path);
    let attacks: [(&str, Attack); 6] = [
        ("deleted", |path| fs::remove_file(path).unwrap()),
        ("renamed", |path| {
            fs::rename(path, path.with_extension("old")).unwrap()
        }),
        ("put in place", |path| {
            let copy = path.with_extension("copy");
            fs::copy(path, &copy).unwrap();
            fs::rename(copy, path).unwrap();
        }),
        ("bytes", |path| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(100).unwrap();
        }),
        ("bytes", |path| {
            let mut options = fs::OpenOptions::new();
            let mut file = options.append(true).mode(0o600).open(path).unwrap();
            file.write_all(b"{}\n").unwrap();
        }),
        ("renamed", |path| {
            let log = path.parent().unwrap();
            fs::rename(log, log.with_extension("old")).unwrap();
        }),
    ];
    for (word, attack) in attacks {
        let log = Log::new();
        log.sign("payouts");
        let ticket = log.audit.intent(intent("payouts")).unwrap();
        attack(&file::segment_path(log.path(), 0));
        let begun = Instant::now();
        let trouble = loop {
            match log.audit.health() {
                Health::Failed(trouble) => break trouble,
                _ if begun.elapsed() > Duration::from_secs(60) => panic!("{word}: not noticed"),
                _ => thread::sleep(Duration::from_millis(5)),
            }
        };
        eprintln!("{word}: noticed after {:?}", begun.elapsed());
        assert!(trouble.to_string().contains(word), "{word}: {trouble}");
        let failed = AuditError::Failed(trouble);
        assert_eq!(log.audit.intent(intent("payouts")).unwrap_err(), failed);
        assert_eq!(wait(log.audit.signed(ticket, b"x")), Err(failed));
    }
}

/// Also before it is noticed by itself: what is not on the disk under its name is not acknowledged.
#[test]
fn nothing_is_acknowledged_into_a_deleted_file() {
    for durability in [Durability::Fsync, Durability::Os] {
        let directory = TempDir::new().unwrap();
        let opening = Opening {
            durability,
            ..opening(directory.path())
        };
        let (audit, _keeper) = Audit::open(opening).unwrap();
        let ticket = audit.intent(intent("payouts")).unwrap();
        fs::remove_file(file::segment_path(directory.path(), 0)).unwrap();
        let verdict = wait(audit.signed(ticket, b"x"));
        assert!(matches!(verdict, Err(AuditError::Failed(_))), "{verdict:?}");
    }
}

/// The keeper reads what was written: what was altered under the daemon is not signed, and all ends.
#[test]
fn what_was_altered_is_not_signed() {
    let mut log = Log::new();
    log.sign("payouts");
    log.checkpoint();
    log.sign("payouts");
    log.sign("payouts");
    let path = file::segment_path(log.path(), 0);
    let text = fs::read_to_string(&path).unwrap();
    let at = text.rfind("payments-sign").unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"payments-sigh", at as u64).unwrap();
    let error = log.keeper.draft().unwrap_err();
    assert!(matches!(error, KeeperError::Changed(_)), "{error}");
    let verdict = log.audit.intent(intent("payouts"));
    assert!(matches!(verdict, Err(AuditError::Failed(_))), "{verdict:?}");
}

#[test]
fn a_signature_of_another_key_is_no_checkpoint() {
    let mut log = Log::new();
    let draft = log.keeper.draft().unwrap().unwrap();
    let other = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let signature = other.sign(&draft.body());
    let error = log.keeper.publish(&draft, &vkey(), signature.as_ref());
    assert!(matches!(error, Err(KeeperError::Note(_))), "{error:?}");
    assert!(!log.path().join("checkpoint").exists());
}
