//! The daemon's audit log: who did what is in it, nothing that was worked on is, and without it nothing is done.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use chancery::{
    client::{Client, Code},
    proto::v1::{
        Algorithm as A, BatchSignRequest, ContentEncryption, CreateCertificateRequestRequest,
        DecryptJweRequest, EncryptJweRequest, GenerateRandomRequest, GetKeyRequest, KeyType as T,
        Serialization, SignJwsRequest, VerifyJwsRequest, encrypt_jwe_request::Recipient,
    },
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    calls::{create, digest, message, verification},
    harness::{ALLOW_TEST, Daemon, Refusal, Setup},
    softhsm::Token,
};

/// A checkpoint is made at least that often.
pub const SOON: &str = "[audit]\ncheckpoint_seconds = 1\n";

/// What the daemon works on, and nobody may find in the log.
const PAYLOAD: &[u8] = b"ORCHID-PAYLOAD-7731";

pub fn log_of(daemon: &Daemon) -> PathBuf {
    daemon.directory().join("state/audit")
}

/// The records, whole lines only: the daemon may be at the next one.
pub fn records(log: &Path) -> Vec<Value> {
    let mut segments: Vec<_> = fs::read_dir(log.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    let mut records = Vec::new();
    for path in segments {
        let text = fs::read(path).unwrap();
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let whole = lines.filter(|line| line.starts_with(b"{") && line.ends_with(b"\n"));
        records.extend(whole.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
    }
    records
}

/// All events of a kind.
pub fn events<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let events = records
        .iter()
        .filter_map(|record| record["event"].get(kind));
    events.collect()
}

pub fn verify(log: &Path) -> (bool, String) {
    let vkey = fs::read_to_string(log.join("vkey")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["audit", "verify"])
        .arg(log)
        .args(["--vkey", vkey.trim()])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    (output.status.success(), said)
}

pub fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub async fn gives(client: &Client, key: &str, algorithm: A) -> Vec<u8> {
    let mut signing = client.signing();
    let signed = signing.sign(message(key, algorithm, PAYLOAD));
    signed.await.unwrap().into_inner().signature.to_vec()
}

#[tokio::test]
async fn every_call_is_in_the_log_and_nothing_it_worked_on() {
    let mut daemon = Setup::new(Token::new("roll"))
        .policy(&format!("{ALLOW_TEST}{VERIFIER}"))
        .tables(SOON)
        .start();
    let (client, stranger) = (daemon.client("test"), daemon.client("stranger"));
    create(&client, "rsa", T::Rsa2048, &[A::Rs256]).await;
    create(&client, "mac", T::HmacSha256, &[A::Hs256]).await;
    create(&client, "box", T::Rsa2048, &[A::RsaOaep]).await;

    let signature = gives(&client, "rsa", A::Rs256).await;
    let mac = gives(&client, "mac", A::Hs256).await;
    let mut signing = client.signing();
    let by_digest = signing.sign(digest("rsa", A::Rs256, &Sha256::digest(PAYLOAD)));
    by_digest.await.unwrap();
    let batch = BatchSignRequest {
        requests: vec![
            message("rsa", A::Rs256, PAYLOAD),
            message("nothing", A::Rs256, PAYLOAD),
        ],
    };
    signing.batch_sign(batch).await.unwrap();
    for right in [true, false] {
        let given: &[u8] = if right { &signature } else { &mac };
        let request = verification(&message("rsa", A::Rs256, PAYLOAD), given);
        let verdict = signing.verify(request).await.unwrap().into_inner();
        assert_eq!(verdict.valid, right);
    }
    let jws = SignJwsRequest {
        name: "keys/rsa".to_owned(),
        algorithm: A::Rs256.into(),
        payload: PAYLOAD.to_vec().into(),
        serialization: Serialization::Compact.into(),
        ..SignJwsRequest::default()
    };
    let jws = client.jose().sign_jws(jws).await.unwrap().into_inner().jws;
    let check = VerifyJwsRequest {
        name: "keys/rsa".to_owned(),
        jws,
        ..VerifyJwsRequest::default()
    };
    client.jose().verify_jws(check).await.unwrap();
    let seal = EncryptJweRequest {
        recipient: Some(Recipient::Name("keys/box".to_owned())),
        algorithm: A::RsaOaep.into(),
        content_encryption: ContentEncryption::A256gcm.into(),
        plaintext: PAYLOAD.to_vec().into(),
        ..EncryptJweRequest::default()
    };
    let jwe = client.jose().encrypt_jwe(seal).await.unwrap().into_inner();
    let open = |jwe: String| DecryptJweRequest {
        name: "keys/box".to_owned(),
        jwe,
    };
    let opened = client.jose().decrypt_jwe(open(jwe.jwe.clone())).await;
    assert_eq!(opened.unwrap().into_inner().plaintext, PAYLOAD);
    let mut spoiled = jwe.jwe.clone();
    spoiled.replace_range(spoiled.len() - 4.., "AAAA");
    Refusal::expect(client.jose().decrypt_jwe(open(spoiled)).await);
    let random = GenerateRandomRequest {
        length: 16,
        ..GenerateRandomRequest::default()
    };
    client.keys().generate_random(random).await.unwrap();
    let request = CreateCertificateRequestRequest {
        name: "keys/rsa".to_owned(),
        algorithm: A::Rs256.into(),
        ..CreateCertificateRequestRequest::default()
    };
    let _ = client.keys().create_certificate_request(request).await;

    // Refused: by the policy, for what is and what is not there; and for what came.
    for key in ["rsa", "nothing"] {
        let request = message(key, A::Rs256, PAYLOAD);
        let denied = stranger.signing().sign(request).await;
        assert_eq!(Refusal::expect(denied).reason, "PERMISSION_DENIED");
    }
    let look = GetKeyRequest {
        name: "keys/rsa".to_owned(),
    };
    Refusal::expect(stranger.keys().get_key(look.clone()).await);
    let short = signing.sign(digest("rsa", A::Rs256, &[1; 31]));
    assert_eq!(Refusal::expect(short.await).reason, "DIGEST_LENGTH");
    client.keys().get_key(look).await.unwrap();

    daemon.terminate().await;
    let log = log_of(&daemon);
    let (good, said) = verify(&log);
    assert!(good, "{said}");
    let records = records(&log);
    let intents = events(&records, "intent");
    let outcomes: BTreeMap<u64, &Value> = events(&records, "outcome")
        .into_iter()
        .map(|outcome| (outcome["intent"].as_u64().unwrap(), outcome))
        .collect();
    assert_eq!(intents.len(), outcomes.len());

    // How each call ended, in the order of the calls.
    let told: Vec<(&str, String)> = records
        .iter()
        .filter_map(|record| {
            let intent = record["event"].get("intent")?;
            let ending = &outcomes[&record["sequence"].as_u64().unwrap()]["result"];
            let ending = match ending.get("failed") {
                Some(reason) => reason.as_str().unwrap().to_owned(),
                None => ending.as_str().unwrap().to_owned(),
            };
            Some((intent["call"].as_str().unwrap(), ending))
        })
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|(call, end)| (*call, end.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("KeyService.CreateKey", "succeeded"),
            ("KeyService.CreateKey", "succeeded"),
            ("KeyService.CreateKey", "succeeded"),
            ("SigningService.Sign", "succeeded"),
            ("SigningService.Sign", "succeeded"),
            ("SigningService.Sign", "succeeded"),
            ("SigningService.BatchSign", "succeeded"),
            ("SigningService.Verify", "valid"),
            ("SigningService.Verify", "invalid"),
            ("JoseService.SignJws", "succeeded"),
            ("JoseService.VerifyJws", "valid"),
            ("JoseService.EncryptJwe", "succeeded"),
            ("JoseService.DecryptJwe", "succeeded"),
            ("JoseService.DecryptJwe", "DECRYPTION_FAILED"),
            ("KeyService.GenerateRandom", "succeeded"),
            ("KeyService.CreateCertificateRequest", "succeeded"),
        ]
    );

    // Who, with what, on what, by which rule: that of the message is the same as that of its digest.
    let signs: Vec<_> = intents
        .iter()
        .filter(|intent| intent["call"] == "SigningService.Sign")
        .collect();
    assert_eq!(
        signs[0]["caller"]["identity"],
        "spiffe://chancery.test/test"
    );
    assert_eq!(signs[0]["rule"], "everything");
    assert_eq!(signs[0]["subject"]["operation"], "sign");
    assert_eq!(signs[0]["subject"]["key"], "rsa");
    assert_eq!(signs[0]["subject"]["version"], 1);
    assert_eq!(signs[0]["subject"]["algorithms"][0], "RS256");
    assert_eq!(signs[0]["input"]["sha256"], hash(PAYLOAD));
    assert_eq!(signs[2]["input"]["sha256"], hash(PAYLOAD));
    assert_eq!(signs[0]["public_key"].as_str().unwrap().len(), 64);
    assert_eq!(signs[1]["subject"]["key"], "mac");
    let signatures: BTreeSet<_> = outcomes
        .values()
        .filter_map(|outcome| outcome["signature"].as_str())
        .collect();
    assert!(signatures.contains(hash(&signature).as_str()));
    assert!(!signatures.contains(hash(&mac).as_str()), "a MAC's hash");

    let denials: Vec<_> = events(&records, "denied")
        .iter()
        .map(|denied| {
            let reason = &denied["reason"];
            let other = reason.get("other").and_then(Value::as_str);
            (
                denied["call"].as_str().unwrap(),
                denied["subject"]["key"].as_str().unwrap(),
                other.unwrap_or("policy"),
            )
        })
        .collect();
    assert_eq!(
        denials,
        [
            ("SigningService.BatchSign", "nothing", "KEY_NOT_FOUND"),
            ("SigningService.Sign", "rsa", "policy"),
            ("SigningService.Sign", "nothing", "policy"),
            ("KeyService.GetKey", "rsa", "policy"),
            ("SigningService.Sign", "rsa", "DIGEST_LENGTH"),
        ]
    );
    assert_eq!(events(&records, "key_changed").len(), 3);
    assert_eq!(events(&records, "stopped").len(), 1);
    assert!(records[0]["event"]["started"]["policy"].is_string());

    // Nothing of what was worked on, however it might be written.
    let mut forms = vec![PAYLOAD.to_vec()];
    for secret in [PAYLOAD, &mac] {
        forms.push(hex::encode(secret).into_bytes());
        forms.push(crate::calls::base64url(secret).into_bytes());
    }
    let mut looked = 0;
    for entry in walk(&log) {
        let bytes = fs::read(&entry).unwrap();
        looked += 1;
        for form in &forms {
            let found = bytes.windows(form.len()).any(|window| window == form);
            assert!(!found, "{} has {form:?}", entry.display());
        }
    }
    assert!(looked > 3);

    // Whoever changes a record is found out: here, by whom it was.
    let segment = log.join("log/00000000000000000000.jsonl");
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replacen("stranger", "somebody", 1)).unwrap();
    let (good, said) = verify(&log);
    assert!(!good, "{said}");
}

/// All files below a directory.
pub fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

const VERIFIER: &str = r#"
[[rules]]
name = "other"
identities = ["spiffe://chancery.test/verifier"]
keys = ["*"]
operations = ["verify"]
algorithms = ["*"]
"#;

#[tokio::test]
async fn without_the_log_nothing_is_signed() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 3] = [
        ("deleted", |segment| fs::remove_file(segment).unwrap()),
        ("renamed", |segment| {
            fs::rename(segment, segment.with_extension("gone")).unwrap();
        }),
        ("somebody else changed it", |segment| {
            let file = fs::OpenOptions::new().write(true).open(segment).unwrap();
            file.set_len(100).unwrap();
        }),
    ];
    for (says, damage) in damages {
        let daemon = Setup::new(Token::new("fails")).start();
        let client = daemon.client("test");
        create(&client, "rsa", T::Rsa2048, &[A::Rs256]).await;
        gives(&client, "rsa", A::Rs256).await;
        assert_eq!(daemon.admin_get("/readyz").0, 200);
        damage(&log_of(&daemon).join("log/00000000000000000000.jsonl"));
        // It is looked at a few times a second, whether anything is written or not.
        let deadline = Instant::now() + Duration::from_secs(60);
        let (code, text) = loop {
            let (code, text) = daemon.admin_get("/readyz");
            if code != 200 || Instant::now() > deadline {
                break (code, text);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(code, 503, "{says}");
        assert!(
            text.contains("audit log: down") && text.contains(says),
            "{text}"
        );
        let request = message("rsa", A::Rs256, PAYLOAD);
        let refusal = Refusal::expect(client.signing().sign(request.clone()).await);
        assert_eq!(refusal.reason, "AUDIT_UNAVAILABLE");
        assert_eq!(refusal.code, Code::Unavailable);
        // Not even a denial is answered as one, for it is not recorded.
        let stranger = daemon.client("stranger");
        let denied = stranger.signing().sign(request).await;
        assert_eq!(Refusal::expect(denied).reason, "AUDIT_UNAVAILABLE");
        daemon.wait_for_log("the audit log is not written");
    }
}
