//! The disk of the audit log has little room left: the log is ended in good order, and nothing more is done.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use chancery::proto::v1::{Algorithm as A, KeyType as T};

use crate::{
    audited::{events, log_of, records, verify},
    calls::{create, message},
    harness::{Refusal, Setup},
    softhsm::Token,
};

/// `strace` tells the daemon of a file system with 10 blocks left, from the fourth time on that its writer asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_with_little_room_left_ends_the_log_in_good_order() {
    let strace = Command::new("strace").arg("-V").output();
    assert!(
        strace.is_ok_and(|output| output.status.success()),
        "strace is missing; install it (Debian: apt-get install strace)"
    );
    // `struct statfs`: type, block size, blocks, free, free for everybody; numbers of 8 bytes on every 64-bit Linux.
    let facts: Vec<u8> = [0xef53_u64, 4096, 1_000_000, 10, 10]
        .into_iter()
        .flat_map(u64::to_ne_bytes)
        .collect();
    let mut daemon = Setup::new(Token::new("low")).start();
    let client = daemon.client("test");
    create(&client, "pay", T::EcP256, &[A::Es256]).await;
    daemon.terminate().await;

    let options = "strace -D -f --seccomp-bpf -qq -o /dev/null --trace=fstatfs";
    let mut before: Vec<String> = options.split(' ').map(str::to_owned).collect();
    before.push(format!(
        "--inject=fstatfs:poke_exit=@arg2={}:when=4+",
        hex::encode(facts)
    ));
    daemon.behind(before);
    daemon.start_again();
    let client = daemon.client("test");
    let deadline = Instant::now() + Duration::from_secs(60);
    // Nobody need call for it to be noticed.
    let text = loop {
        let (code, text) = daemon.admin_get("/readyz");
        if code == 503 {
            break text;
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(
        text.contains("40960 bytes left") && text.contains("make room"),
        "{text}"
    );
    let signed = client.signing().sign(message("pay", A::Es256, b"x")).await;
    assert_eq!(Refusal::expect(signed).reason, "AUDIT_UNAVAILABLE");
    daemon.kill();

    // The reserve was for this.
    let said = records(&log_of(&daemon));
    let last = events(&said, "stopped");
    assert_eq!(last.last().unwrap()["reason"], "disk_full");
    assert_eq!(
        said.last().unwrap()["event"]["stopped"],
        *last[last.len() - 1]
    );
    let (good, told) = verify(&log_of(&daemon));
    assert!(good, "{told}");

    // When there is room, it goes on.
    daemon.behind(Vec::new());
    daemon.start_again();
    let client = daemon.client("test");
    let signed = client.signing().sign(message("pay", A::Es256, b"x")).await;
    signed.unwrap();
}
