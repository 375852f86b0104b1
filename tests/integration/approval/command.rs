//! Proposals from the command line, as people make, read, approve and execute them.

use std::fs;

use sha2::{Digest, Sha256};

use super::start;
use crate::cli::Cli;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_brought_in_from_the_command_line() {
    let daemon = start();
    let file = |name: &str| daemon.directory().join(name).display().to_string();
    let [author, one, two] = ["author", "one", "two"].map(|name| Cli::new(&daemon, name));
    let secret = file("secret");
    fs::write(&secret, b"a secret that the bank has given us").unwrap();
    let (wrapped, other) = (file("wrapped"), file("other"));
    let import = [
        "keys",
        "import",
        "bank",
        "--file",
        &secret,
        "--encoding",
        "utf8",
    ];
    let import = [&import[..], &["--algorithm", "HS256"]].concat();
    let direct = author.run(&import, b"");
    assert_eq!(direct.code, 1, "{}", direct.error);
    assert!(
        direct.error.contains("APPROVAL_REQUIRED"),
        "{}",
        direct.error
    );
    assert!(
        direct.error.contains("approval: four-eyes"),
        "{}",
        direct.error
    );

    let proposed = author.json(&[&import[..], &["--propose", &wrapped]].concat());
    let name = proposed["name"].as_str().unwrap().to_owned();
    let id = name.strip_prefix("proposals/").unwrap();
    let sha256 = hex::encode(Sha256::digest(fs::read(&wrapped).unwrap()));
    // Nothing of the key is kept or shown, but for the hash of what is wrapped.
    let shown = one.json(&["proposals", "show", id]);
    assert_eq!(shown["content"]["wrapped_key_sha256"], *sha256);
    assert_eq!(shown["content"]["key_id"], "bank");
    assert_eq!(
        (&shown["act"], &shown["state"]),
        (&"import_key".into(), &"pending".into())
    );
    let text = String::from_utf8(two.ok(&["proposals", "show", &name], b"")).unwrap();
    for part in [&*sha256, "0 of 2, by four-eyes", "HS256", "token-only"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for file in fs::read_dir(daemon.directory().join("state")).unwrap() {
        let path = file.unwrap().path();
        let Ok(bytes) = fs::read(&path) else { continue };
        let wrapped = fs::read(&wrapped).unwrap();
        let is_there = bytes.windows(64).any(|window| window == &wrapped[..64]);
        assert!(!is_there, "{} has the wrapped key", path.display());
    }

    let own = author.run(&["proposals", "approve", id], b"");
    assert_eq!(own.code, 3, "{}", own.error);
    assert!(
        own.error.contains("expected another approver"),
        "{}",
        own.error
    );
    one.ok(&["proposals", "approve", id], b"");
    let listed = two.json(&["proposals", "list", "--open"]);
    assert_eq!(listed["proposals"][0]["name"], *name);
    two.ok(&["proposals", "approve", id], b"");

    // Wrapped anew it is another: what was approved is what is brought in.
    let again = author.json(&[&import[..], &["--propose", &other]].concat());
    for given in [&[][..], &["--wrapped", &other]] {
        let changed = author.run(&[&["proposals", "execute", id][..], given].concat(), b"");
        assert_eq!(changed.code, 1, "{}", changed.error);
        assert!(
            changed.error.contains("PROPOSAL_CONTENT_CHANGED"),
            "{}",
            changed.error
        );
    }
    let done = author.json(&["proposals", "execute", id, "--wrapped", &wrapped]);
    assert_eq!(done["key"]["name"], "keys/bank");
    assert_eq!(done["proposal"]["state"], "succeeded");
    author.ok(
        &["proposals", "withdraw", again["name"].as_str().unwrap()],
        b"",
    );
    assert_eq!(
        two.json(&["proposals", "list", "--open"])["proposals"],
        serde_json::json!([])
    );
    assert_eq!(
        two.ok(&["proposals", "list"], b"")
            .iter()
            .filter(|byte| **byte == b'\n')
            .count(),
        2
    );
    // The MAC is that of the secret.
    let test = Cli::new(&daemon, "test");
    let mac = test.ok(
        &[
            "mac",
            "sign",
            "--key",
            "bank",
            "--algorithm",
            "HS256",
            "--hex",
        ],
        b"message",
    );
    let mut expected =
        <hmac::Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&fs::read(&secret).unwrap()).unwrap();
    hmac::Mac::update(&mut expected, b"message");
    let expected = hex::encode(hmac::Mac::finalize(expected).into_bytes());
    assert_eq!(String::from_utf8(mac).unwrap().trim(), expected);

    // The other acts are proposed likewise.
    let made = [
        "keys",
        "create",
        "root",
        "--type",
        "ec-p256",
        "--purpose",
        "sign",
        "--algorithm",
        "ES256",
    ];
    let made = author.json(&[&made[..], &["--critical", "--propose"]].concat());
    assert_eq!(made["content"]["critical"], true);
    let gone = author.json(&["keys", "destroy", "bank/1", "--propose"]);
    assert_eq!(gone["content"]["name"], "keys/bank/versions/1");
    let policy = daemon.policy_file().display().to_string();
    let change = author.json(&["policy", "propose", &policy]);
    let sha256 = hex::encode(Sha256::digest(fs::read(&policy).unwrap()));
    assert_eq!(change["content"]["sha256"], *sha256);
    let nobody = two.run(&["policy", "propose", &policy], b"");
    assert_eq!(nobody.code, 3, "{}", nobody.error);
}
