//! What keys from elsewhere do here: they sign, make MACs and decrypt, as openssl does with the same keys.

use std::{fs, process::Command};

use chancery::proto::v1::Algorithm;

use super::{Bench, MESSAGE, RSA, hmac, sign};
use crate::cli::Cli;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_keys_of_openssl_sign_for_openssl() {
    let bench = Bench::new("import-sign");
    for (name, make, algorithm) in [
        ("rsa", RSA, "RS256"),
        ("p256", &["EC", "ec_paramgen_curve:P-256"], "ES256"),
        ("p384", &["EC", "ec_paramgen_curve:P-384"], "ES384"),
        ("p521", &["EC", "ec_paramgen_curve:P-521"], "ES512"),
    ] {
        let (key, public) = bench.openssl_key(name, make);
        bench.cli.ok(
            &[
                "keys",
                "import",
                name,
                "--file",
                &key,
                "--algorithm",
                algorithm,
            ],
            b"",
        );
        // What openssl calls the public half is what the token has.
        let pem = bench.cli.ok(&["keys", "public", name], b"");
        assert_eq!(pem, fs::read(&public).unwrap(), "{name}");
        let mut arguments = vec!["sign", "--key", name, "--algorithm", algorithm];
        if algorithm.starts_with("ES") {
            arguments.push("--der");
        }
        let signature = bench.cli.ok(&arguments, b"message");
        let hash = match algorithm {
            "ES384" => "-sha384",
            "ES512" => "-sha512",
            _ => "-sha256",
        };
        bench.openssl_verifies(hash, &public, b"message", &signature);
        let told = bench.cli.json(&["keys", "describe", name]);
        let version = &told["versions"][0];
        assert_eq!(version["imported"], true, "{told}");
        assert_eq!(version["adopted"], false);
        assert_eq!(version["attributes"]["local"], false);
        assert_eq!(version["attributes"]["sensitive"], true);
        assert_eq!(version["attributes"]["extractable"], false);
        assert_eq!(told["custody"], "token-only");
        let shown = bench.cli.ok(&["keys", "describe", name], b"");
        assert!(String::from_utf8(shown).unwrap().contains("imported"));
    }
    // Another process finds them again with their limits.
    let mut bench = bench;
    bench.daemon.restart().await;
    let cli = Cli::new(&bench.daemon, "test");
    let signature = cli.ok(&["sign", "--key", "rsa", "--algorithm", "RS256"], b"again");
    bench.openssl_verifies("-sha256", &bench.path("rsa.pub"), b"again", &signature);
    let refused = cli.run(&["sign", "--key", "rsa", "--algorithm", "PS256"], b"again");
    assert_eq!(refused.code, 1, "{}", refused.error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_of_every_length_make_the_macs_that_openssl_makes() {
    let bench = Bench::new("import-mac");
    let client = bench.daemon.client("test");
    for (name, secret, algorithm, digest) in [
        ("short", "0123456789", "HS256", "sha256"),
        (
            "exact",
            "9fb645400aabaa33ee0e423405d8c676",
            "HS256",
            "sha256",
        ),
        (
            "uuid",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "HS512",
            "sha512",
        ),
        ("long", &"x".repeat(200), "HS384", "sha384"),
    ] {
        bench.cli.ok(
            &[
                "keys",
                "import",
                name,
                "--encoding",
                "utf8",
                "--algorithm",
                algorithm,
            ],
            format!("{secret}\n").as_bytes(),
        );
        let mac = bench.cli.ok(
            &[
                "mac",
                "sign",
                "--key",
                name,
                "--algorithm",
                algorithm,
                "--hex",
            ],
            b"message",
        );
        let output = Command::new("sh")
            .args([
                "-c",
                "printf message | openssl dgst -hmac \"$1\" -\"$2\" -r",
                "sh",
            ])
            .args([secret, digest])
            .output()
            .unwrap();
        let expected = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            String::from_utf8(mac).unwrap().trim(),
            expected.split(' ').next().unwrap(),
            "{name}"
        );
    }
    // The same secret, written otherwise.
    for (name, encoding, text) in [
        ("hex", "hex", "30313233343536373839"),
        ("base64", "base64", "MDEyMzQ1Njc4OQ"),
        ("raw", "raw", "0123456789"),
    ] {
        bench.cli.ok(
            &[
                "keys",
                "import",
                name,
                "--encoding",
                encoding,
                "--algorithm",
                "HS256",
            ],
            text.as_bytes(),
        );
        let mac = sign(&client, name, Algorithm::Hs256).await.unwrap();
        assert_eq!(mac, hmac(b"0123456789", MESSAGE));
    }
    let told = bench.cli.json(&["keys", "describe", "uuid"]);
    assert_eq!(told["type"], "hmac-sha512");
    assert_eq!(told["purpose"], "mac");
}

/// The private half decrypts what openssl encrypted to the public half, and an AES key opens what another opens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_decrypt_come_in_too() {
    let bench = Bench::new("import-decrypt");
    let (key, public) = bench.openssl_key("inbox", RSA);
    bench.cli.ok(
        &[
            "keys",
            "import",
            "inbox",
            "--file",
            &key,
            "--algorithm",
            "RSA-OAEP-256",
            "--enc",
            "A256GCM",
        ],
        b"",
    );
    let pem = fs::read(public).unwrap();
    let encrypter = josekit::jwe::RSA_OAEP_256.encrypter_from_pem(pem).unwrap();
    let mut header = josekit::jwe::JweHeader::new();
    header.set_content_encryption("A256GCM");
    let jwe = josekit::jwe::serialize_compact(b"plaintext", &header, &encrypter).unwrap();
    let opened = bench
        .cli
        .ok(&["jwe", "decrypt", "--key", "inbox"], jwe.as_bytes());
    assert_eq!(opened, b"plaintext");

    let secret = [7; 32];
    bench.cli.ok(
        &[
            "keys",
            "import",
            "shared",
            "--encoding",
            "raw",
            "--algorithm",
            "dir",
            "--enc",
            "A256GCM",
        ],
        &secret,
    );
    let encrypter = josekit::jwe::Dir.encrypter_from_bytes(secret).unwrap();
    let jwe = josekit::jwe::serialize_compact(b"shared", &header, &encrypter).unwrap();
    assert_eq!(
        bench
            .cli
            .ok(&["jwe", "decrypt", "--key", "shared"], jwe.as_bytes()),
        b"shared"
    );
    bench.cli.ok(
        &[
            "keys",
            "import",
            "wraps",
            "--encoding",
            "raw",
            "--algorithm",
            "A256KW",
            "--enc",
            "A256GCM",
        ],
        &secret,
    );
    let encrypter = josekit::jwe::A256KW.encrypter_from_bytes(secret).unwrap();
    let jwe = josekit::jwe::serialize_compact(b"wrapped", &header, &encrypter).unwrap();
    assert_eq!(
        bench
            .cli
            .ok(&["jwe", "decrypt", "--key", "wraps"], jwe.as_bytes()),
        b"wrapped"
    );
    let ended = bench.cli.run(
        &[
            "keys",
            "import",
            "odd",
            "--encoding",
            "raw",
            "--algorithm",
            "dir",
            "--enc",
            "A256GCM",
        ],
        &secret[..31],
    );
    assert_eq!(ended.code, 2, "{}", ended.error);
}
