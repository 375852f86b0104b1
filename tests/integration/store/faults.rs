//! System calls on the files of the store fail, one after the other: what was acknowledged is there, the rest is refused.
//!
//! `strace` does it. The writers are the process of [`super::killed`].

use std::{path::Path, process::Command};

use chancery::store::{Settings, Store};

use super::{
    killed::{MOST, all_are_there, number, program, start},
    place::Place,
};
use crate::harness::times;

/// The command that has the `when`-th call of a kind on these files fail, in whatever it starts. As a detached tracer,
/// so that what it starts stays the child of whoever starts it.
pub fn failing(call: &str, fault: &str, when: &str, file: &Path) -> Vec<String> {
    let strace = Command::new("strace").arg("-V").output();
    assert!(
        strace.is_ok_and(|output| output.status.success()),
        "strace is missing; install it (Debian: apt-get install strace)"
    );
    let options = "strace -D -f --seccomp-bpf -qq -o /dev/null";
    let mut words: Vec<String> = options.split(' ').map(str::to_owned).collect();
    words.push(format!("--trace={call}"));
    words.push(format!("--inject={call}:{fault}:when={when}"));
    let file = file.to_str().unwrap();
    for beside in ["", "-wal", "-shm", "-journal", ".lock"] {
        words.extend(["-P".to_owned(), format!("{file}{beside}")]);
    }
    // Its entries are made to last, too.
    let directory = Path::new(file).parent().unwrap();
    words.extend(["-P".to_owned(), directory.to_str().unwrap().to_owned()]);
    words
}

/// Whether somebody else's SQLite finds the file whole.
pub fn is_whole(file: &Path) -> bool {
    let script = "import sqlite3, sys\n\
                  print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchall())";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(file)
        .output()
        .expect("python3");
    let said = String::from_utf8_lossy(&output.stdout);
    output.status.success() && said.trim() == "[('ok',)]"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_system_calls_lose_nothing_that_was_acknowledged() {
    let mut runs = 0;
    let mut disturbed = 0;
    for (call, fault) in FAULTS {
        for nth in (1..).step_by(times(9, 1)).take(times(2, 30)) {
            let place = Place::sqlite().await;
            let file = place.file();
            // Once undisturbed, so that there is something to lose.
            let mut kept = run(Command::new(program()), &place, 0).await;
            assert_eq!((kept.ids.len(), &kept.errors[..]), (32, &[][..]));
            let words = failing(call, fault, &nth.to_string(), &file);
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).arg(program());
            let more = run(command, &place, 1_000_000).await;
            runs += 1;
            disturbed += usize::from(more.ids.len() < 32);
            // A disk that is full or fails is said to be so, and nothing panics.
            for error in &more.errors {
                assert!(KNOWN.iter().any(|known| error.contains(known)), "{error}");
            }
            kept.ids.extend(more.ids);
            assert!(is_whole(&file), "{call}:{fault}:{nth}");
            all_are_there(&place, &kept.ids).await;
            let again = Store::open(&place.config, Settings::default()).await;
            again.unwrap().probe().await.unwrap();
            assert!(is_whole(&file), "{call}:{fault}:{nth}");
        }
    }
    eprintln!("{runs} runs, {disturbed} of them disturbed");
    assert!(disturbed * 4 > runs, "{disturbed} of {runs}");
}

struct Kept {
    ids: Vec<u64>,
    errors: Vec<String>,
}

/// Has 16 tasks write twice each, and says what they said.
async fn run(mut command: Command, place: &Place, first: u64) -> Kept {
    command.env(MOST, "2");
    let child = start(command, place, first);
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await;
    let told = String::from_utf8(output.unwrap().unwrap().stdout).unwrap();
    let lines = told.lines();
    Kept {
        ids: lines
            .clone()
            .map(str::to_owned)
            .filter_map(number)
            .collect(),
        errors: lines
            .filter_map(|line| line.split_once("error "))
            .map(|(_, error)| error.to_owned())
            .collect(),
    }
}

/// What is done to the store's files, and how it fails. `retval=0` writes nothing, as a short write may.
const FAULTS: [(&str, &str); 16] = [
    ("pwrite64", "error=EIO"),
    ("pwrite64", "error=ENOSPC"),
    ("pwrite64", "error=EINTR"),
    ("pwrite64", "retval=0"),
    ("pwrite64", "signal=SIGKILL"),
    ("fsync", "error=EIO"),
    ("fsync", "signal=SIGKILL"),
    ("fdatasync", "error=EIO"),
    ("ftruncate", "error=EIO"),
    ("openat", "error=EIO"),
    ("openat", "error=ENOSPC"),
    ("pread64", "error=EIO"),
    ("fcntl", "error=ENOLCK"),
    ("mmap", "error=ENOMEM"),
    ("newfstatat", "error=EIO"),
    ("unlink", "error=EIO"),
];
/// What the store says of it: reasons, and why it does not open.
const KNOWN: [&str; 5] = [
    "STORE_UNAVAILABLE",
    "STORE_FULL",
    "STORE_DAMAGED",
    "STORE_DEADLINE",
    "chancery.db",
];
