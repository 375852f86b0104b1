//! An auditor at the command line: proofs to keep, a witness, and a log that was put back.

use std::fs;

use chancery::proto::v1::{Algorithm as A, GetAuditCheckpointRequest, KeyType as T};

use super::{covered, sign, start};
use crate::{calls::create, cli::Cli};

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
