//! A daemon that is killed, or whose disk is full, keeps every write that it has acknowledged.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use chancery::{
    identity::IdentityName,
    store::{Answer, Begun, Config, Location, Request, Seen, Settings, Store},
};

use super::place::{Place, at, hash};

/// No test, but what the tests below start as a process of its own: it writes until it is killed or can't, and says
/// what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(file) = std::env::var_os(FILE) else {
        return;
    };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let config = Config {
        location: Location::Sqlite(file.into()),
        ..Config::default()
    };
    let store = match Store::open(&config, Settings::default()).await {
        Ok(store) => store,
        Err(error) => return say(&format!("error {error}")),
    };
    let most = std::env::var(MOST).map_or(u64::MAX, |most| most.parse().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16_u64 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0..most {
                let id = first + task + 16 * number;
                if let Err(error) = write(&store, id).await {
                    return say(&format!("error {}", error.reason()));
                }
                say(&format!("kept {id}."));
            }
        });
    }
    tasks.join_all().await;
}

async fn write(store: &Store, id: u64) -> Result<(), chancery::store::StoreError> {
    let seen = store
        .replay()
        .remember("p", "s", hash(id), at(0), at(600))
        .await?;
    assert_eq!(seen, Seen::Fresh);
    let Begun::New(claim) = begin(store, id).await? else {
        panic!("{id} was begun before");
    };
    claim.complete(&hash(id), "[]", at(0)).await
}

async fn begin(store: &Store, id: u64) -> Result<Begun, chancery::store::StoreError> {
    let identity: IdentityName = "dns:a.example".parse().unwrap();
    let request = Request {
        identity: &identity,
        method: "Sign",
        id: &id.to_string(),
        content_hash: hash(0),
    };
    let lease = Duration::from_secs(30);
    store.idempotency().begin(request, at(1), lease).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let place = Place::sqlite().await;
    let mut kept = Vec::new();
    for round in 0..12_u64 {
        let mut child = start(Command::new(program()), &place, round * 1_000_000);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Another moment each time: while it opens the file, early, or in full work.
        let most = [0, 1, 2, 3, 17, 40, 120, 300][round as usize % 8];
        kept.extend(
            lines
                .by_ref()
                .map_while(Result::ok)
                .filter_map(number)
                .take(most),
        );
        child.kill().unwrap();
        kept.extend(lines.map_while(Result::ok).filter_map(number));
        child.wait().unwrap();
    }
    assert!(kept.len() > 480, "{}", kept.len());
    all_are_there(&place, &kept).await;
    // What was begun and not completed may be begun anew, by a daemon that was started again.
    let store = place.open().await;
    for id in 0..16 {
        let begun = begin(&store, 11_000_000 + kept.len() as u64 + id)
            .await
            .unwrap();
        assert!(!matches!(begun, Begun::InProgress { .. }), "{begun:?}");
    }
}

/// The file can't grow: EFBIG, where a full disk says ENOSPC.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_can_not_grow_is_an_error_and_loses_nothing() {
    let place = Place::sqlite().await;
    drop(place.open().await);
    let mut shell = Command::new("bash");
    let script = "trap '' XFSZ; ulimit -f 700; exec \"$0\" \"$@\"";
    shell.args(["-c", script]).arg(program());
    until_it_fails(shell, &place, &["STORE_UNAVAILABLE", "STORE_FULL"]).await;
}

/// The same with a small file system, where this user may mount one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_an_error_and_loses_nothing() {
    let place = Place::sqlite().await;
    let inside = ["--user", "--map-root-user", "--mount"];
    let may = Command::new("unshare").args(inside).arg("true").output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("no file system can be mounted here; the test before has to do");
        return;
    }
    let mut shell = Command::new("unshare");
    let script = "set -e; disk=$(dirname \"$STORE_FILE\")/disk; mkdir \"$disk\"; \
                  mount -t tmpfs -o size=1m tmpfs \"$disk\"; code=0; \
                  STORE_FILE=$disk/chancery.db \"$0\" \"$@\" || code=$?; \
                  cp \"$disk\"/chancery.db* \"$(dirname \"$disk\")\"; exit $code";
    shell
        .args(inside)
        .args(["bash", "-c", script])
        .arg(program());
    until_it_fails(shell, &place, &["STORE_FULL"]).await;
}

/// Lets a child write until it can't; what it has acknowledged must be there, and there must be room again.
async fn until_it_fails(command: Command, place: &Place, reasons: &[&str]) {
    let output = start(command, place, 0).wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let kept: Vec<_> = told.lines().map(str::to_owned).filter_map(number).collect();
    assert!(kept.len() > 50, "{told}");
    let errors: Vec<_> = told
        .lines()
        .filter_map(|line| line.split_once("error "))
        .collect();
    assert_eq!(errors.len(), 16, "{told}");
    for (_, reason) in errors {
        assert!(reasons.contains(&reason), "{reason}");
    }
    all_are_there(place, &kept).await;
    place.open().await.probe().await.unwrap();
}

pub async fn all_are_there(place: &Place, kept: &[u64]) {
    let store = place.open().await;
    // Together, since each waits for the disk.
    let looked = kept.iter().map(async |id| {
        let seen = store
            .replay()
            .remember("p", "s", hash(*id), at(2), at(600))
            .await;
        assert_eq!(seen, Ok(Seen::Duplicate { first_seen: at(0) }), "{id}");
        match begin(&store, *id).await.unwrap() {
            Begun::Answered(Answer { bytes, .. }) => assert_eq!(bytes, hash(*id)),
            other => panic!("{id}: {other:?}"),
        }
    });
    futures_util::future::join_all(looked).await;
}

pub fn start(mut command: Command, place: &Place, first: u64) -> Child {
    command
        .args(["--exact", "store::killed::child", "--nocapture"])
        .env(FILE, place.file())
        .env(FIRST, first.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub fn program() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

fn say(line: &str) {
    // One write a line: what is read of a child that was killed is whole lines, but for the last.
    let line = format!("{line}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// The number of a whole line `kept 7.`; the test harness may have begun the line.
pub fn number(line: String) -> Option<u64> {
    let (_, number) = line.split_once("kept ")?;
    number.strip_suffix('.')?.parse().ok()
}

const FILE: &str = "STORE_FILE";
const FIRST: &str = "STORE_FIRST";
/// How many each task writes; all it can, if it is not set.
pub const MOST: &str = "STORE_MOST";
