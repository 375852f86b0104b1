//! What platforms' schemes ask of the token room, in a process of the tests' own, which starts the shipped workers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chancery::{
    algorithm::{self, Hash},
    identity::Identity,
    key::KeyVersion,
    pkcs11::{MessagePart, Token as Door, TokenError},
    policy::{Operation, Permit, Policy},
};
use tokio::time::Instant;

use super::*;
use crate::harness::Refusal;

const HS256: algorithm::Algorithm = algorithm::Algorithm::Hmac(Hash::Sha256);
const PRIVATE: algorithm::Algorithm = algorithm::Algorithm::Rsa15Private;

/// PayWizard V3: the secret is the key and the end of the message. The value is that of the platform's own example.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_part_of_the_message_is_put_in_by_the_worker() {
    let bench = Bench::new("import-parts");
    let secret = "9fb645400aabaa33ee0e423405d8c676";
    bench.cli.ok(
        &[
            "keys",
            "import",
            "paywizard",
            "--encoding",
            "utf8",
            "--algorithm",
            "HS256",
            "--worker-readable",
        ],
        secret.as_bytes(),
    );
    // Shorter than the hash, so with zeros behind it in the token; and one that only the token may see.
    bench.cli.ok(
        &[
            "keys",
            "import",
            "short",
            "--encoding",
            "utf8",
            "--algorithm",
            "HS256",
            "--worker-readable",
        ],
        b"pass",
    );
    bench.secret("kept", secret.as_bytes(), "HS256");
    let body = "{\r\n    \"clientId\": \"825420368247390208\",\r\n    \"pushId\":\"942783670425616384\"\r\n}";
    let door = bench.door().await;
    let deadline = || Instant::now() + Duration::from_secs(10);
    let text = |text: &str| MessagePart::Bytes(Bytes::copy_from_slice(text.as_bytes()));
    let secret_of = |name: &str| MessagePart::Secret(version(name));

    let parts = vec![
        text(body),
        text("&clientId=825420368247390208&clientSecret="),
        secret_of("paywizard"),
    ];
    let mac = door
        .mac_of_parts(
            bench.permit("paywizard", Operation::Sign, HS256),
            parts,
            deadline(),
        )
        .await
        .unwrap();
    assert_eq!(
        hex::encode(mac),
        "57ba54072ed2aaa4b2905c41e7c91fd1395ef8f6f76e6e7cdbefe7a88437de6c"
    );
    // In the middle, twice, and without the zeros.
    let parts = vec![
        text("a="),
        secret_of("short"),
        text("&b="),
        secret_of("short"),
    ];
    let mac = door
        .mac_of_parts(
            bench.permit("short", Operation::Verify, HS256),
            parts,
            deadline(),
        )
        .await
        .unwrap();
    assert_eq!(mac, hmac(b"pass", b"a=pass&b=pass"));
    // The key that makes the MAC need not be readable; what is put in must be, and must be there.
    let parts = vec![secret_of("short")];
    let mac = door
        .mac_of_parts(
            bench.permit("kept", Operation::Sign, HS256),
            parts,
            deadline(),
        )
        .await
        .unwrap();
    assert_eq!(mac, hmac(secret.as_bytes(), b"pass"));
    for name in ["kept", "nowhere"] {
        let refused = door
            .mac_of_parts(
                bench.permit("paywizard", Operation::Sign, HS256),
                vec![secret_of(name)],
                deadline(),
            )
            .await;
        assert_eq!(refused, Err(TokenError::NotReadable(version(name))));
    }
    let wrong = door
        .mac_of_parts(
            bench.permit("paywizard", Operation::Decrypt, HS256),
            vec![text("x")],
            deadline(),
        )
        .await;
    assert_eq!(wrong, Err(TokenError::WrongPermit(Operation::Decrypt)));

    // The weaker class shows wherever the key is shown.
    let told = bench.cli.json(&["keys", "describe", "paywizard"]);
    assert_eq!(told["custody"], "WORKER-READABLE");
    assert_eq!(told["versions"][0]["attributes"]["sensitive"], false);
    assert_eq!(told["versions"][0]["attributes"]["extractable"], true);
    let shown = bench.cli.ok(&["keys", "describe", "paywizard"], b"");
    assert!(
        String::from_utf8(shown)
            .unwrap()
            .contains("WORKER-READABLE")
    );
    let listed = String::from_utf8(bench.cli.ok(&["keys", "list"], b"")).unwrap();
    for line in listed.lines() {
        assert_eq!(
            line.contains("WORKER-READABLE"),
            !line.starts_with("kept"),
            "{line}"
        );
    }
    let (_, page) = bench.daemon.admin_get("/");
    assert!(page.contains("paywizard: worker-readable"), "{page}");
    assert!(!page.contains("kept: worker-readable"), "{page}");
    let checked = Command::new(env!("CARGO_BIN_EXE_chanceryd"))
        .args(["check", "--config"])
        .arg(bench.daemon.directory().join("chancery.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    assert!(
        said.contains("key paywizard: it is worker-readable"),
        "{said}"
    );
    assert!(!said.contains("key kept"), "{said}");
    // The next version stays in its class.
    bench.cli.ok(
        &[
            "keys",
            "import",
            "short",
            "--new-version",
            "--encoding",
            "utf8",
        ],
        b"word",
    );
    door.refresh().await.unwrap();
    let next = KeyVersion {
        version: chancery::key::Version::new(2).unwrap(),
        ..version("short")
    };
    let parts = vec![MessagePart::Secret(next), secret_of("short")];
    let mac = door
        .mac_of_parts(
            bench.permit("kept", Operation::Sign, HS256),
            parts,
            deadline(),
        )
        .await
        .unwrap();
    assert_eq!(mac, hmac(secret.as_bytes(), b"wordpass"));
    door.stop().await;
    bench.kept_quiet(&[secret]);
}

/// What some platforms call to encrypt with the private key: openssl recovers it with the public one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_key_proves_its_origin_and_nothing_else_is_made_with_that_key() {
    let bench = Bench::new("import-origin");
    let (key, public) = bench.openssl_key("upay", RSA);
    bench.cli.ok(
        &[
            "keys",
            "import",
            "upay",
            "--file",
            &key,
            "--algorithm",
            "RSA1_5-PRIVATE",
        ],
        b"",
    );
    bench.cli.ok(
        &[
            "keys",
            "create",
            "signs",
            "--type",
            "rsa-2048",
            "--purpose",
            "sign",
            "--algorithm",
            "RS256",
        ],
        b"",
    );
    let told = bench.cli.json(&["keys", "describe", "upay"]);
    assert_eq!(told["purpose"], "prove-origin");
    let door = bench.door().await;
    let deadline = || Instant::now() + Duration::from_secs(10);
    let permit = |name: &str| bench.permit(name, Operation::Sign, PRIVATE);
    for length in [16, 24, 32] {
        let content_key = vec![0xa5; length];
        let sealed = door
            .seal_with_private_key(permit("upay"), &content_key, deadline())
            .await
            .unwrap();
        fs::write(bench.path("sealed"), &sealed).unwrap();
        let output = Command::new("openssl")
            .args([
                "pkeyutl",
                "-verifyrecover",
                "-pubin",
                "-pkeyopt",
                "rsa_padding_mode:pkcs1",
                "-inkey",
            ])
            .arg(&public)
            .arg("-in")
            .arg(bench.path("sealed"))
            .output()
            .unwrap();
        assert_eq!(output.stdout, content_key, "{output:?}");
        let ours = chancery::key::PublicKey::from_spki(&spki(&public)).unwrap();
        assert_eq!(ours.recover(&sealed), Ok(content_key));
    }
    // No DigestInfo fits: the shortest has 34 bytes.
    for length in [0, 15, 33, 34, 35, 51, 83] {
        let refused = door
            .seal_with_private_key(permit("upay"), &vec![1; length], deadline())
            .await;
        assert_eq!(refused, Err(TokenError::ContentKeyLength(length)));
    }
    // Not with a key that signs; and not by a permit for something else.
    let refused = door
        .seal_with_private_key(permit("signs"), &[1; 16], deadline())
        .await;
    assert_eq!(refused, Err(TokenError::NoSuchKey(version("signs"))));
    let other = bench.permit(
        "upay",
        Operation::Sign,
        algorithm::Algorithm::RsaPkcs1(Hash::Sha256),
    );
    let refused = door
        .seal_with_private_key(other, &[1; 16], deadline())
        .await;
    assert_eq!(refused, Err(TokenError::NoSuchKey(version("upay"))));
    let other = bench.permit("upay", Operation::Decrypt, PRIVATE);
    let refused = door
        .seal_with_private_key(other, &[1; 16], deadline())
        .await;
    assert_eq!(refused, Err(TokenError::WrongPermit(Operation::Decrypt)));
    let refused = door
        .sign(permit("upay"), Bytes::from_static(&[1; 32]), deadline())
        .await;
    assert_eq!(refused, Err(TokenError::NoSuchKey(version("upay"))));
    door.stop().await;

    // Nor through any call of the protocol.
    let client = bench.daemon.client("test");
    for algorithm in [Algorithm::Rsa15Private, Algorithm::Rs256, Algorithm::Ps256] {
        let status = sign(&client, "upay", algorithm).await.unwrap_err();
        let reason = Refusal::of(&status).reason;
        let expected = if algorithm == Algorithm::Rsa15Private {
            "ALGORITHM_OF_ANOTHER_OPERATION"
        } else {
            "ALGORITHM_NOT_ALLOWED"
        };
        assert_eq!(reason, expected);
    }
    for mixed in [["RSA1_5-PRIVATE", "RS256"], ["RSA1_5-PRIVATE", "RSA-OAEP"]] {
        let ended = bench.cli.run(
            &[
                "keys",
                "import",
                "mixed",
                "--file",
                &key,
                "--algorithm",
                mixed[0],
                "--algorithm",
                mixed[1],
            ],
            b"",
        );
        assert_eq!(ended.code, 2, "{mixed:?}: {}", ended.error);
    }
}

/// WeChat Pay's resources: the APIv3 key of 32 characters, a nonce of twelve, and associated data that is text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aes_key_from_elsewhere_opens_what_others_sealed() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let bench = Bench::new("import-aes");
    let secret = *b"0123456789abcdef0123456789ABCDEF";
    bench.cli.ok(
        &[
            "keys",
            "import",
            "apiv3",
            "--encoding",
            "utf8",
            "--algorithm",
            "dir",
            "--enc",
            "A256GCM",
        ],
        &secret,
    );
    let door = bench.door().await;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &secret).unwrap());
    let nonce = *b"fdasflkja484";
    let deadline = || Instant::now() + Duration::from_secs(10);
    let permit = || bench.permit("apiv3", Operation::Decrypt, algorithm::Algorithm::Dir);
    for aad in ["", "transaction", "certificate", &"x".repeat(5000)] {
        let mut sealed = b"{\"trade_state\":\"SUCCESS\"}".to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut sealed,
        )
        .unwrap();
        let opened = door
            .open_sealed(permit(), nonce, aad.into(), sealed.clone(), deadline())
            .await
            .unwrap();
        assert_eq!(*opened, b"{\"trade_state\":\"SUCCESS\"}");
        sealed[3] ^= 1;
        let refused = door
            .open_sealed(permit(), nonce, aad.into(), sealed, deadline())
            .await;
        assert!(refused.unwrap_err().is_callers_input());
    }
    // Sixteen bytes of IV, as some platforms have it; the value is that of the `cryptography` package of Python.
    let sealed = hex::decode(LONG_IV_SEALED).unwrap();
    let opened = door
        .open_sealed(permit(), vec![7; 16], b"aad".to_vec(), sealed, deadline())
        .await
        .unwrap();
    assert_eq!(*opened, b"sixteen");
    door.stop().await;
}

/// AES-256-GCM of `sixteen` with that key, an IV of sixteen bytes 07, and the associated data `aad`.
const LONG_IV_SEALED: &str = "92323147fd36d3cdb604882bda49814c20eb14d2d777c3";

impl Bench {
    /// The token room over the daemon's token, in this process; its workers are the shipped ones.
    async fn door(&self) -> Door {
        let token = self.daemon.token();
        let config = format!(
            "name = \"main\"\nmodule = {:?}\nlabel = {:?}\npin = {{ file = {:?} }}\nenvironment = {{ SOFTHSM2_CONF = {:?} }}",
            token.module_path(),
            token.label(),
            token.pin_file(),
            token.conf(),
        );
        let door = Door::open(
            toml::from_str(&config).unwrap(),
            Vec::new(),
            env!("CARGO_BIN_EXE_chanceryd").into(),
            self.files.path().to_owned(),
        );
        let mut health = door.health();
        health
            .wait_for(|health| *health == chancery::pkcs11::Health::Ready)
            .await
            .unwrap();
        door
    }

    /// Leave as a policy gives it.
    fn permit(&self, key: &str, operation: Operation, algorithm: algorithm::Algorithm) -> Permit {
        let leaf = self.daemon.certificate("test");
        let pem = fs::read_to_string(leaf.cert).unwrap();
        let (_, der) = rsa::pkcs8::Document::from_pem(&pem).unwrap();
        let identity = Arc::new(Identity::from_certificate(der.as_bytes()).unwrap());
        let policy = Policy::parse(crate::harness::ALLOW_TEST).unwrap();
        // No rule of it looks at the time.
        let now = chancery::scheme::UnixMilliseconds(0);
        if operation == Operation::Sign {
            let permit = policy.authorize_sign(&identity, &version(key), algorithm, now);
            return permit.unwrap().for_digest().unwrap();
        }
        policy
            .authorize(&identity, &version(key), operation, algorithm, now)
            .unwrap()
    }

    /// Nothing of these was ever logged.
    fn kept_quiet(&self, secrets: &[&str]) {
        let log = self.daemon.log_lines().join("\n");
        for secret in secrets {
            for form in [(*secret).to_owned(), hex::encode(secret)] {
                assert!(!log.contains(&form), "{form} is in the log");
            }
        }
    }
}

fn version(name: &str) -> KeyVersion {
    name.parse().unwrap()
}
