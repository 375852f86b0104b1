//! A process that writes a log is killed, or its system calls fail: what it acknowledged is there.
//!
//! The process is this test program, started again with a variable that names a directory. It writes a line
//! to stdout for each acknowledged record.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::*;

/// Not a test of its own: what the others start. Does nothing without the variable.
#[test]
fn writes_until_it_is_killed() {
    let Ok(directory) = env::var(VARIABLE) else {
        return;
    };
    let directory = Path::new(&directory);
    let most = env::var("CHANCERY_TEST_AUDIT_MOST").map_or(u64::MAX, |most| most.parse().unwrap());
    let opened = Audit::open(Opening {
        durability: Durability::Fsync,
        segment_bytes: 16_384,
        ..opening(directory)
    });
    let (audit, mut keeper) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            say(&format!("\nrefused {error}\n"));
            return;
        }
    };
    say("\nopened\n");
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let audit = &audit;
                scope.spawn(move || {
                    for at in 0..most {
                        let key = format!("key-{writer}-{at}");
                        let Ok(ticket) = audit.intent(intent(&key)) else {
                            return;
                        };
                        let sequence = ticket.sequence();
                        if let Err(error) = wait(audit.signed(ticket, b"x")) {
                            say(&format!("failed {error}\n"));
                            return;
                        }
                        say(&format!("signed {sequence} {key}\n"));
                    }
                })
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            if let Ok(Some(draft)) = keeper.draft() {
                let signature = signer().sign(&draft.body());
                if keeper.publish(&draft, &vkey(), signature.as_ref()).is_ok() {
                    say(&format!("checkpoint {}\n", draft.checkpoint().size));
                }
            }
            thread::sleep(Duration::from_millis(3));
        }
    });
}

/// One write, so that a line is whole or not there.
fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).unwrap();
}

/// The command that runs the process, behind some other command if there is one.
fn writer(directory: &Path, before: &[String]) -> Command {
    let mut words = before.to_vec();
    words.push(env::current_exe().unwrap().to_str().unwrap().to_owned());
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .args(["--exact", "audit::tests::crash::writes_until_it_is_killed"])
        .args(["--nocapture", "--test-threads=1"])
        .env(VARIABLE, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// What it said before it ended: what was acknowledged, and the last checkpoint.
#[derive(Debug, Default)]
struct Said {
    opened: bool,
    refused: Option<String>,
    signed: Vec<(u64, String)>,
    checkpoint: u64,
    failed: Vec<String>,
}

fn said(output: &[u8]) -> Said {
    let mut said = Said::default();
    let text = String::from_utf8_lossy(output);
    for line in text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
    {
        match line.split_once(' ') {
            Some(("signed", rest)) => {
                let (sequence, key) = rest.split_once(' ').unwrap();
                said.signed
                    .push((sequence.parse().unwrap(), key.to_owned()));
            }
            Some(("checkpoint", size)) => said.checkpoint = size.parse().unwrap(),
            Some(("failed", why)) => said.failed.push(why.to_owned()),
            Some(("refused", why)) => said.refused = Some(why.to_owned()),
            None if line == "opened" => said.opened = true,
            _ => {}
        }
    }
    said
}

/// Every acknowledged record has its intent and outcome in the log.
fn all_there(directory: &Path, said: &[Said]) {
    let mut intents = BTreeMap::new();
    let mut outcomes = std::collections::BTreeSet::new();
    for line in lines(directory) {
        let record: Record = serde_json::from_str(&line).unwrap();
        match record.event {
            Event::Intent(intent) => {
                intents.insert(record.sequence, intent.subject.key.unwrap().to_string());
            }
            Event::Outcome(outcome) => {
                outcomes.insert(outcome.intent);
            }
            _ => {}
        }
    }
    for (sequence, key) in said.iter().flat_map(|said| &said.signed) {
        assert_eq!(
            intents.get(sequence),
            Some(key),
            "record {sequence} is lost"
        );
        assert!(
            outcomes.contains(sequence),
            "the outcome of {sequence} is lost"
        );
    }
}

#[test]
fn kill_9_at_random_instants_loses_nothing_that_was_acknowledged() {
    let directory = TempDir::new().unwrap();
    let mut heard = Vec::new();
    let rounds = match env::var_os("CHANCERY_TEST_FULL") {
        Some(_) => 1000,
        None => 40,
    };
    for round in 0..rounds {
        let mut child = writer(directory.path(), &[]).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        // From its start on, at instants that differ from round to round.
        let mut output = Vec::new();
        while reader.read_until(b'\n', &mut output).unwrap() > 0 && !said(&output).opened {}
        let lines = round * 7 % 61;
        for _ in 0..lines {
            reader.read_until(b'\n', &mut output).unwrap();
        }
        thread::sleep(Duration::from_micros(round * 331 % 4000));
        child.kill().unwrap();
        std::io::Read::read_to_end(&mut reader, &mut output).unwrap();
        child.wait().unwrap();
        let one = said(&output);
        assert_eq!(one.refused, None);
        assert!(one.opened, "{}", String::from_utf8_lossy(&output));
        heard.push(one);
        // A power failure could leave this behind the last flush; it is cut off by the next start.
        if round % 3 == 0 {
            let path = file::segments(directory.path()).unwrap().pop().unwrap();
            let path = file::segment_path(directory.path(), path);
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(
                &b"{\"sequence\":12345,\"time\":\"2026-\0\0\0\0"[..(round as usize) % 36],
            )
            .unwrap();
        }
    }
    let signed: usize = heard.iter().map(|said| said.signed.len()).sum();
    assert!(signed > 400, "{signed}");
    let log = Log::within(directory);
    let mut log = log;
    let last = log.checkpoint();
    all_there(log.path(), &heard);
    let directory = log.close();
    let report = Verification::new(directory.path(), Some(vkey())).against(last);
    let report = report.run().unwrap();
    assert!(report.starts >= 41, "{report:?}");
    assert!(report.kinds["recovered"] >= 10, "{report:?}");
    let checkpoint = heard.iter().map(|said| said.checkpoint).max().unwrap();
    assert!(checkpoint > 0 && report.covered > checkpoint, "{report:?}");
}

/// The n-th call of a kind fails, for each kind and many n. `strace` does it.
#[test]
fn failing_system_calls_lose_nothing_that_was_acknowledged() {
    let strace = Command::new("strace").arg("-V").output();
    assert!(
        strace.is_ok_and(|output| output.status.success()),
        "strace is missing; install it (Debian: apt-get install strace)"
    );
    let mut failed = 0;
    let faults = [
        ("write", "error=EIO"),
        ("write", "error=ENOSPC"),
        ("write", "error=EINTR"),
        ("write", "retval=7"),
        ("fdatasync", "error=EIO"),
        ("fsync", "error=EIO"),
        ("fdatasync", "signal=SIGKILL"),
        ("openat", "error=ENOSPC"),
        ("fallocate", "error=ENOSPC"),
        ("rename", "error=EIO"),
        ("ftruncate", "error=EIO"),
    ];
    for (call, fault) in faults {
        for nth in [1, 2, 3, 5, 9, 30] {
            let directory = TempDir::new().unwrap();
            // Once undisturbed, so that there is something to lose.
            let mut command = writer(directory.path(), &[]);
            let output = command
                .env("CHANCERY_TEST_AUDIT_MOST", "5")
                .output()
                .unwrap();
            let mut heard = vec![said(&output.stdout)];
            assert_eq!(heard[0].signed.len(), 20);
            let path = directory.path().to_str().unwrap();
            let mut before = words("strace -f -qq -o /dev/null");
            before.push(format!("--trace={call}"));
            // Only calls on the log's files: those below the directory, and those that it has open.
            before.push(format!("--inject={call}:{fault}:when={nth}"));
            before.extend(trace_paths(path));
            let mut command = writer(directory.path(), &before);
            command.env("CHANCERY_TEST_AUDIT_MOST", "40");
            let output = command.output().unwrap();
            let disturbed = said(&output.stdout);
            let silent = disturbed.failed.is_empty() && disturbed.refused.is_none();
            failed += usize::from(!silent || !output.status.success());
            heard.push(disturbed);
            let opened = Audit::open(opening(directory.path()));
            let (audit, keeper) =
                opened.unwrap_or_else(|error| panic!("{call}:{fault}:{nth}: {error}"));
            all_there(directory.path(), &heard);
            drop((audit, keeper));
        }
    }
    assert!(failed >= 12, "only {failed} runs were disturbed");
}

/// `-P` takes paths, not directories: the segments that will be there, and what else is written.
fn trace_paths(directory: &str) -> Vec<String> {
    let mut paths = vec![
        format!("{directory}/lock"),
        format!("{directory}/log"),
        format!("{directory}/checkpoint"),
        format!("{directory}/checkpoint.new"),
        directory.to_owned(),
    ];
    for first in 0..400 {
        paths.push(format!("{directory}/log/{first:020}.jsonl"));
    }
    paths
        .into_iter()
        .flat_map(|path| ["-P".to_owned(), path])
        .collect()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

const VARIABLE: &str = "CHANCERY_TEST_AUDIT_DIRECTORY";
