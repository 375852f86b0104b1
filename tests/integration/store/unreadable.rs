//! A disk that does not give back what was written is told from a file that is damaged: a copy helps with the latter alone.

use std::process::Command;

use chancery::store::Seen;

use super::{
    faults::{failing, is_whole},
    killed::{MOST, program, start},
    place::{Place, at, hash},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_fails_is_not_told_as_damage() {
    let place = Place::sqlite().await;
    let store = place.open().await;
    for id in 0..300 {
        let seen = store.replay();
        let seen = seen.remember("p", "s", hash(id), at(0), at(60)).await;
        assert_eq!(seen, Ok(Seen::Fresh));
    }
    drop(store);
    let file = place.file();
    // Once, and from then on. What SQLite calls malformed because of one read is whole when it is read again.
    let mut told = 0;
    for when in ["1+", "2+", "3", "4", "5", "6", "9", "14", "4+", "6+", "14+"] {
        let words = failing("pread64", "error=EIO", when, &file);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program()).env(MOST, "0");
        let child = start(command, &place, 0);
        let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await;
        let said = String::from_utf8(output.unwrap().unwrap().stdout).unwrap();
        if when.ends_with('+') || said.contains("error ") {
            let name = file.to_str().unwrap();
            for part in ["error the store", name, "can't be read: ", "start anew"] {
                assert!(said.contains(part), "{when}: {said}");
            }
            assert!(!said.contains("is damaged or is no"), "{when}: {said}");
            told += 1;
        }
        assert!(is_whole(&file), "{when}");
    }
    assert!(told >= 5);
    // When the disk answers again, so does the store.
    place.open().await.probe().await.unwrap();
}
