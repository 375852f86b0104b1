//! Record first, act second, also if the power fails: the order of the daemon's own calls to the system tells.

use std::{fs, path::Path, time::Duration};

use chancery::proto::v1::{Algorithm as A, KeyType as T, KeyVersionState};
use tokio::time::Instant;

use super::{approve, destruction, policy, propose, withdraw};
use crate::{calls::create, harness::Setup, repeated::turn, softhsm::Token};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_on_the_disk_of_the_log_before_it_is_in_the_store() {
    let mut daemon = Setup::new(Token::new("main"))
        .policy(&policy(3600))
        .tables("[audit]\ncheckpoint_seconds = 3600\n")
        .start();
    let author = daemon.client("author");
    create(&author, "pay", T::EcP256, &[A::Es256]).await;
    daemon.terminate().await;
    let trace = daemon.directory().join("trace");
    let strace = "strace -D -f --seccomp-bpf -qq -y -s 0 --trace=pwrite64,fdatasync,fsync -o";
    let mut before: Vec<String> = strace.split(' ').map(str::to_owned).collect();
    before.push(trace.display().to_string());
    daemon.behind(before);
    daemon.start_again();
    let [author, one, test] = ["author", "one", "test"].map(|name| daemon.client(name));

    let seen = calls(&trace).len();
    turn(&test, "keys/pay/versions/1", KeyVersionState::Disabled).await;
    is_recorded_first("disabled", &trace, seen).await;

    let seen = calls(&trace).len();
    let proposal = propose(&author, destruction("pay/versions/1")).await;
    is_recorded_first("proposed", &trace, seen).await;

    let seen = calls(&trace).len();
    approve(&one, &proposal).await.unwrap();
    is_recorded_first("approved", &trace, seen).await;

    let seen = calls(&trace).len();
    withdraw(&author, &proposal).await.unwrap();
    is_recorded_first("withdrawn", &trace, seen).await;
}

/// The calls so far, as far as they are written down; of one that another interrupts in the trace, its end alone.
fn calls(trace: &Path) -> Vec<String> {
    let text = fs::read_to_string(trace).unwrap();
    let mut begun: Vec<(&str, &str)> = Vec::new();
    let mut calls = Vec::new();
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        let (thread, call) = line.trim_end().split_once(' ').unwrap();
        if let Some(call) = call.strip_suffix("<unfinished ...>") {
            begun.push((thread, call));
        } else if call.contains(" resumed>") {
            let at = begun.iter().position(|(other, _)| *other == thread);
            let (_, first) = begun.swap_remove(at.expect("it was begun"));
            calls.push(format!("{first}{call}"));
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

/// Of the calls since then, one that puts the log on its disk ended before one that writes to the store did.
async fn is_recorded_first(what: &str, trace: &Path, since: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let calls = calls(trace);
        let calls = &calls[since..];
        let first = |is: &dyn Fn(&str) -> bool| calls.iter().position(|call| is(call));
        let is_sync = |call: &str| call.trim_start().starts_with("fdatasync");
        let recorded = first(&|call| is_sync(call) && call.contains("/audit/log/"));
        let stored = first(&|call| call.contains("pwrite64") && call.contains("chancery.db-wal"));
        if let (Some(recorded), Some(stored)) = (recorded, stored) {
            assert!(recorded < stored, "{what}: {calls:#?}");
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {calls:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
