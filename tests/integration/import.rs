//! Keys from elsewhere: made by openssl, wrapped by the command line or by another library, used in the token, and
//! what comes of it checked by openssl. And everything that must not come in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use chancery::{
    client::{Client, Code, Status},
    proto::v1::{
        Algorithm, Custody, GetImportWrappingKeyRequest, ImportKeyRequest, ImportKeyVersionRequest,
        ImportMethod, KeyPurpose, KeyType, SignRequest, VerifyRequest, WrappedKey,
    },
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    cli::Cli,
    harness::{Daemon, Refusal, Setup},
    softhsm::Token,
};

mod faults;
mod platforms;

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
async fn every_form_of_a_private_key_is_read() {
    let bench = Bench::new("import-forms");
    let (rsa, _) = bench.openssl_key("rsa", RSA);
    let (ec, _) = bench.openssl_key("ec", &["EC", "ec_paramgen_curve:P-256"]);
    let convert = |arguments: &[&str], input: &str, name: &str| {
        let out = bench.path(name);
        let output = Command::new("openssl")
            .args(arguments)
            .args(["-in", input, "-out"])
            .arg(&out)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        out.display().to_string()
    };
    let p8 = &["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"];
    let forms = [
        ("rsa-p8-der", convert(p8, &rsa, "rsa.p8"), "RS256"),
        (
            "rsa-p1-pem",
            convert(&["rsa", "-traditional"], &rsa, "rsa1.pem"),
            "RS256",
        ),
        (
            "rsa-p1-der",
            convert(
                &["rsa", "-traditional", "-outform", "DER"],
                &rsa,
                "rsa1.der",
            ),
            "RS256",
        ),
        ("ec-p8-der", convert(p8, &ec, "ec.p8"), "ES256"),
        ("ec-sec1-pem", convert(&["ec"], &ec, "ec1.pem"), "ES256"),
        (
            "ec-sec1-der",
            convert(&["ec", "-outform", "DER"], &ec, "ec1.der"),
            "ES256",
        ),
    ];
    for (name, file, algorithm) in &forms {
        bench.cli.ok(
            &[
                "keys",
                "import",
                name,
                "--file",
                file,
                "--algorithm",
                algorithm,
            ],
            b"",
        );
    }
    // As some portals show it: the base64 of the DER alone.
    let pem = fs::read_to_string(&rsa).unwrap();
    let bare: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    bench.cli.ok(
        &["keys", "import", "rsa-bare", "--algorithm", "RS256"],
        bare.as_bytes(),
    );
    let public = |name: &str| bench.cli.ok(&["keys", "public", name], b"");
    for name in ["rsa-p1-pem", "rsa-p1-der", "rsa-bare"] {
        assert_eq!(public(name), public("rsa-p8-der"), "{name}");
    }
    for name in ["ec-sec1-pem", "ec-sec1-der"] {
        assert_eq!(public(name), public("ec-p8-der"), "{name}");
    }
    // RFC 7517 appendix A.2: a private EC key and a private RSA key as JWK.
    let jwk = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","use":"enc","kid":"1"}"#;
    bench.cli.ok(
        &["keys", "import", "jwk", "--algorithm", "ES256"],
        jwk.as_bytes(),
    );
    let told = bench
        .cli
        .ok(&["keys", "public", "jwk", "--format", "jwk"], b"");
    assert!(
        String::from_utf8(told)
            .unwrap()
            .contains("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4")
    );
    // And what is no key, or not one of ours.
    let encrypted = convert(
        &["pkcs8", "-topk8", "-passout", "pass:x"],
        &rsa,
        "encrypted.pem",
    );
    let (k1, _) = bench.openssl_key("k1", &["EC", "ec_paramgen_curve:secp256k1"]);
    let mismatched = jwk.replace("870M", "871M");
    for (input, says) in [
        (fs::read(&encrypted).unwrap(), "encrypted"),
        (fs::read(bench.path("rsa.pub")).unwrap(), "PUBLIC KEY"),
        (fs::read(&k1).unwrap(), "not served"),
        (mismatched.into_bytes(), "not a private key"),
        (b"hunter2".to_vec(), "--encoding"),
        (vec![0x30; 70_000], "no key"),
    ] {
        let ended = bench
            .cli
            .run(&["keys", "import", "bad", "--algorithm", "ES256"], &input);
        assert_eq!(ended.code, 2, "{says}: {}", ended.error);
        assert!(ended.error.contains(says), "{says}: {}", ended.error);
        assert!(!ended.error.contains("hunter2"), "{}", ended.error);
    }
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

/// Rotation with overlap: the newest makes, all that are there verify; and decrypt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_version_signs_and_the_old_one_still_verifies() {
    let mut bench = Bench::new("import-rotate");
    let client = bench.daemon.client("test");
    bench.secret("partner", b"the first secret", "HS256");
    let first = sign(&client, "partner", Algorithm::Hs256).await.unwrap();
    bench.cli.ok(
        &[
            "keys",
            "import",
            "partner",
            "--new-version",
            "--encoding",
            "utf8",
        ],
        b"the second secret",
    );
    let second = sign(&client, "partner", Algorithm::Hs256).await.unwrap();
    assert_eq!(first, hmac(b"the first secret", MESSAGE));
    assert_eq!(second, hmac(b"the second secret", MESSAGE));
    for (mac, version) in [(&first, 1), (&second, 2)] {
        let request = VerifyRequest {
            name: "keys/partner".to_owned(),
            algorithm: Algorithm::Hs256.into(),
            message: Some(MESSAGE.into()),
            signature: mac.clone().into(),
            ..VerifyRequest::default()
        };
        let answer = client.verify(request).await.unwrap();
        assert!(answer.valid);
        assert_eq!(answer.name, format!("keys/partner/versions/{version}"));
    }
    let told = bench.cli.json(&["keys", "describe", "partner"]);
    assert_eq!(told["versions"].as_array().unwrap().len(), 2);
    assert_eq!(told["primary_version"], "keys/partner/versions/2");

    // A key that was made in the token can go on with one from elsewhere; each tells of itself.
    bench.cli.ok(
        &[
            "keys",
            "create",
            "made",
            "--type",
            "ec-p256",
            "--purpose",
            "sign",
            "--algorithm",
            "ES256",
        ],
        b"",
    );
    let (key, public) = bench.openssl_key("next", &["EC", "ec_paramgen_curve:P-256"]);
    bench.cli.ok(
        &["keys", "import", "made", "--new-version", "--file", &key],
        b"",
    );
    let told = bench.cli.json(&["keys", "describe", "made"]);
    assert_eq!(told["versions"][0]["imported"], true);
    assert_eq!(told["versions"][1]["imported"], false);
    assert_eq!(
        bench.cli.ok(&["keys", "public", "made"], b""),
        fs::read(&public).unwrap()
    );
    // A longer hash was meant when it was made; the type does not change with a version.
    bench.cli.ok(
        &[
            "keys",
            "create",
            "wide",
            "--type",
            "hmac-sha512",
            "--purpose",
            "mac",
            "--algorithm",
            "HS256",
        ],
        b"",
    );
    bench.cli.ok(
        &[
            "keys",
            "import",
            "wide",
            "--new-version",
            "--encoding",
            "utf8",
        ],
        b"short",
    );
    let told = bench.cli.json(&["keys", "describe", "wide"]);
    assert_eq!(told["type"], "hmac-sha512");
    assert_eq!(told["versions"].as_array().unwrap().len(), 2);

    // A version of another type, or of a key that is not there.
    for (arguments, input) in [
        (&["partner", "--new-version"][..], fs::read(&key).unwrap()),
        (
            &["made", "--new-version", "--encoding", "utf8"],
            b"x".to_vec(),
        ),
    ] {
        let ended = bench
            .cli
            .run(&[&["keys", "import"], arguments].concat(), &input);
        assert_eq!(ended.code, 2, "{}", ended.error);
    }
    let wrapped = bench
        .wrap(&client, "nowhere", b"secret of some length, 32 bytes!")
        .await;
    let request = ImportKeyVersionRequest {
        name: "keys/nowhere".to_owned(),
        wrapped: Some(wrapped),
        request_id: String::new(),
    };
    let refused = Refusal::expect(client.keys().import_key_version(request).await);
    assert_eq!(refused.reason, "KEY_NOT_FOUND");

    bench.daemon.restart().await;
    let client = bench.daemon.client("test");
    assert_eq!(
        sign(&client, "partner", Algorithm::Hs256).await.unwrap(),
        second
    );
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_come_in_leaves_nothing() {
    let bench = Bench::new("import-bad");
    let client = bench.daemon.client("test");
    let (_, public) = bench.openssl_key("a", RSA);
    let (other, _) = bench.openssl_key("b", RSA);
    let (curve, curve_public) = bench.openssl_key("c", &["EC", "ec_paramgen_curve:P-256"]);
    let p8 = |pem: &str| pkcs8(Path::new(pem));
    let secret = b"a secret that is long enough: 32";
    let good = bench.wrap(&client, "bad", secret).await;
    let mac = || {
        import(
            "bad",
            KeyType::HmacSha256,
            KeyPurpose::Mac,
            Algorithm::Hs256,
        )
    };
    let before = bench.objects();

    let edit = |change: &dyn Fn(&mut WrappedKey)| {
        let mut wrapped = good.clone();
        change(&mut wrapped);
        ImportKeyRequest {
            wrapped: Some(wrapped),
            ..mac()
        }
    };
    let flip = |at: usize| {
        move |wrapped: &mut WrappedKey| {
            let mut bytes = wrapped.wrapped_key.to_vec();
            bytes[at] ^= 1;
            wrapped.wrapped_key = bytes.into();
        }
    };
    let length = good.wrapped_key.len();
    let mut cases = vec![
        ("WRAPPED_KEY_MISSING", mac()),
        ("WRAPPED_KEY_INVALID", edit(&flip(0))),
        ("WRAPPED_KEY_INVALID", edit(&flip(200))),
        ("WRAPPED_KEY_INVALID", edit(&flip(384))),
        ("WRAPPED_KEY_INVALID", edit(&flip(length - 1))),
        (
            "WRAPPED_KEY_LENGTH",
            edit(&|one| one.wrapped_key = one.wrapped_key.slice(..length - 1)),
        ),
        (
            "WRAPPED_KEY_INVALID",
            edit(&|one| one.wrapped_key = one.wrapped_key.slice(..length - 8)),
        ),
        (
            "WRAPPED_KEY_LENGTH",
            edit(&|one| one.wrapped_key = one.wrapped_key.slice(..384)),
        ),
        (
            "WRAPPED_KEY_LENGTH",
            edit(&|one| one.wrapped_key = vec![1; 8200].into()),
        ),
        (
            "WRAPPED_KEY_LENGTH",
            edit(&|one| one.wrapped_key = vec![].into()),
        ),
        (
            "WRAPPED_KEY_INVALID",
            edit(&|one| one.wrapped_key = vec![1; 8192].into()),
        ),
        ("IMPORT_METHOD_UNSPECIFIED", edit(&|one| one.method = 0)),
        (
            "IMPORT_METHOD_NOT_SUPPORTED",
            edit(&|one| one.method = ImportMethod::RsaOaep3072Sha256Aes256.into()),
        ),
        (
            "WRAPPED_KEY_LENGTH",
            edit(&|one| one.method = ImportMethod::RsaOaep3072Sha1.into()),
        ),
        (
            "RESOURCE_NAME_INVALID",
            edit(&|one| one.wrapping_key = "keys/bad".to_owned()),
        ),
        (
            "WRAPPING_KEY_UNKNOWN",
            edit(&|one| {
                one.wrapping_key = "tokens/main/importWrappingKeys/0011223344556677".to_owned()
            }),
        ),
        (
            "PUBLIC_KEY_UNFIT",
            edit(&|one| one.public_key = vec![0x30, 0].into()),
        ),
        (
            "PUBLIC_KEY_UNFIT",
            edit(&|one| one.public_key = spki(&public).into()),
        ),
        ("SECRET_BYTES_INVALID", edit(&|one| one.secret_bytes = 3)),
        (
            "SECRET_BYTES_INVALID",
            ImportKeyRequest {
                custody: Custody::WorkerReadable.into(),
                ..edit(&|_| ())
            },
        ),
        (
            "WRAPPED_KEY_UNUSABLE",
            ImportKeyRequest {
                custody: Custody::WorkerReadable.into(),
                ..edit(&|one| one.secret_bytes = 33)
            },
        ),
        // There are no zeros behind the 31st byte.
        (
            "WRAPPED_KEY_UNUSABLE",
            ImportKeyRequest {
                custody: Custody::WorkerReadable.into(),
                ..edit(&|one| one.secret_bytes = 31)
            },
        ),
        (
            "CUSTODY_UNFIT",
            ImportKeyRequest {
                custody: 9,
                ..edit(&|_| ())
            },
        ),
        // Too short for what it is said to be.
        (
            "WRAPPED_KEY_UNUSABLE",
            ImportKeyRequest {
                r#type: KeyType::HmacSha512.into(),
                algorithms: vec![Algorithm::Hs512.into()],
                ..edit(&|_| ())
            },
        ),
        // A secret is no private key.
        (
            "WRAPPED_KEY_INVALID",
            ImportKeyRequest {
                wrapped: edit(&|one| one.public_key = spki(&curve_public).into()).wrapped,
                ..import("bad", KeyType::EcP256, KeyPurpose::Sign, Algorithm::Es256)
            },
        ),
        (
            "KEY_USAGE_INVALID",
            ImportKeyRequest {
                purpose: KeyPurpose::Sign.into(),
                ..edit(&|_| ())
            },
        ),
        (
            "KEY_NAME_INVALID",
            ImportKeyRequest {
                key_id: "chancery:import".to_owned(),
                ..edit(&|_| ())
            },
        ),
        (
            "TOKEN_UNKNOWN",
            ImportKeyRequest {
                token: "other".to_owned(),
                ..edit(&|_| ())
            },
        ),
    ];
    // The private half of another pair; a key of another type; no public half; no AES key in between.
    let rsa = || import("bad", KeyType::Rsa2048, KeyPurpose::Sign, Algorithm::Rs256);
    let with_public = |bytes: Vec<u8>, public: &Path| {
        let (client, bench) = (&client, &bench);
        let der = spki(public);
        async move {
            let mut wrapped = bench.wrap(client, "bad", &bytes).await;
            wrapped.public_key = der.into();
            Some(wrapped)
        }
    };
    cases.push((
        "PUBLIC_KEY_MISMATCH",
        ImportKeyRequest {
            wrapped: with_public(p8(&other), &public).await,
            ..rsa()
        },
    ));
    cases.push((
        "WRAPPED_KEY_INVALID",
        ImportKeyRequest {
            wrapped: with_public(p8(&curve), &public).await,
            ..rsa()
        },
    ));
    cases.push((
        "PUBLIC_KEY_UNFIT",
        ImportKeyRequest {
            wrapped: with_public(p8(&other), &curve_public).await,
            ..rsa()
        },
    ));
    cases.push((
        "PUBLIC_KEY_UNFIT",
        ImportKeyRequest {
            wrapped: Some(bench.wrap(&client, "bad", &p8(&other)).await),
            ..rsa()
        },
    ));
    let mut plain = with_public(p8(&other), &bench.path("b.pub")).await;
    plain.as_mut().unwrap().method = ImportMethod::RsaOaep3072Sha1.into();
    cases.push((
        "IMPORT_METHOD_UNFIT",
        ImportKeyRequest {
            wrapped: plain,
            ..rsa()
        },
    ));
    for (index, (reason, request)) in cases.into_iter().enumerate() {
        let result = client.keys().import_key(request).await;
        let refused = Refusal::expect(result);
        assert_eq!(refused.reason, reason, "case {index}: {}", refused.message);
        assert!(
            matches!(
                refused.code,
                Code::InvalidArgument | Code::FailedPrecondition
            ),
            "case {index}: {refused:?}"
        );
    }
    assert_eq!(
        bench.objects(),
        before,
        "nothing is left of what was refused"
    );
    assert_eq!(bench.daemon.worker_pids().len(), 2);
    let (status, _) = bench.daemon.admin_get("/readyz");
    assert_eq!(
        status, 200,
        "nothing that a caller sends makes the daemon unready"
    );

    // The same bytes are good where they belong; once.
    client.keys().import_key(edit(&|_| ())).await.unwrap();
    assert_eq!(
        sign(&client, "bad", Algorithm::Hs256).await.unwrap(),
        hmac(secret, MESSAGE)
    );
    let taken = Refusal::expect(client.keys().import_key(edit(&|_| ())).await);
    assert_eq!(
        (taken.code, taken.reason.as_str()),
        (Code::AlreadyExists, "KEY_EXISTS")
    );
    // SoftHSM 2.6 can't unwrap these at all, and says so in no better way.
    let (ed, _) = bench.openssl_key("ed", &["ED25519"]);
    let ended = bench.cli.run(
        &[
            "keys",
            "import",
            "ed",
            "--file",
            &ed,
            "--algorithm",
            "EdDSA",
        ],
        b"",
    );
    assert_eq!(ended.code, 1);
    assert!(ended.error.contains("SoftHSM"), "{}", ended.error);
}

/// Plain OAEP: what one call of openssl makes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_secret_that_openssl_wrapped_comes_in() {
    let bench = Bench::new("import-plain");
    let client = bench.daemon.client("test");
    let secret = b"a secret that is long enough: 32";
    let request = GetImportWrappingKeyRequest {
        key_id: "plain".to_owned(),
        ..GetImportWrappingKeyRequest::default()
    };
    let key = client
        .keys()
        .get_import_wrapping_key(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        key.methods,
        [
            ImportMethod::RsaOaep3072Sha1Aes256,
            ImportMethod::RsaOaep3072Sha1
        ]
        .map(i32::from)
    );
    let wrapped = WrappedKey {
        wrapping_key: key.name,
        method: ImportMethod::RsaOaep3072Sha1.into(),
        wrapped_key: bench.openssl_oaep(&key.pem, secret).into(),
        ..WrappedKey::default()
    };
    let request = ImportKeyRequest {
        wrapped: Some(wrapped),
        ..import(
            "plain",
            KeyType::HmacSha256,
            KeyPurpose::Mac,
            Algorithm::Hs256,
        )
    };
    client.keys().import_key(request).await.unwrap();
    assert_eq!(
        sign(&client, "plain", Algorithm::Hs256).await.unwrap(),
        hmac(secret, MESSAGE)
    );
}

/// The wrapping key does nothing but unwrap, has no name that anybody could use, and is the same for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrapping_key_is_made_once_and_can_do_nothing_else() {
    let mut bench = Bench::new("import-wrapping");
    let client = bench.daemon.client("test");
    let ask = |client: Client| async move {
        let request = GetImportWrappingKeyRequest {
            key_id: "any".to_owned(),
            ..GetImportWrappingKeyRequest::default()
        };
        client
            .keys()
            .get_import_wrapping_key(request)
            .await
            .unwrap()
            .into_inner()
    };
    let all = futures_util::future::join_all((0..8).map(|_| ask(client.clone()))).await;
    assert!(all.iter().all(|one| *one == all[0]));
    assert!(
        all[0].name.starts_with("tokens/main/importWrappingKeys/"),
        "{}",
        all[0].name
    );
    let objects = bench.objects();
    assert_eq!(objects.matches("chancery:import").count(), 2, "{objects}");
    assert!(objects.contains("Usage:      unwrap\n"), "{objects}");
    assert!(client.all_keys().await.unwrap().is_empty());
    for name in ["keys/chancery:import", "keys/chancery:import/versions/1"] {
        let request = SignRequest {
            name: name.to_owned(),
            algorithm: Algorithm::Rs256.into(),
            message: Some(MESSAGE.into()),
            ..SignRequest::default()
        };
        assert!(client.sign(request).await.is_err());
    }
    let (_, page) = bench.daemon.admin_get("/");
    assert!(
        !page.contains("chancery:import"),
        "it is no problem: {page}"
    );
    bench.daemon.restart().await;
    assert_eq!(ask(bench.daemon.client("test")).await, all[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_import_learns_nothing() {
    let policy = format!(
        "{}\n[[rules]]\nname = \"importer\"\nidentities = [\"spiffe://chancery.test/importer\"]\nkeys = [\"partner-*\"]\noperations = [\"import\"]\nalgorithms = [\"HS256\"]\n\
         [[rules]]\nname = \"maker\"\nidentities = [\"spiffe://chancery.test/maker\"]\nkeys = [\"*\"]\noperations = [\"create\", \"get\", \"sign\"]\nalgorithms = [\"*\"]\n",
        crate::harness::ALLOW_TEST
    );
    let daemon = Setup::new(Token::new("import-policy"))
        .policy(&policy)
        .start();
    let bench = Bench::over(daemon);
    bench.secret("partner-a", b"secret", "HS256");
    let test = bench.daemon.client("test");
    let wrapped = bench.wrap(&test, "partner-b", &[5; 32]).await;
    let request = |name: &str, algorithm| ImportKeyRequest {
        wrapped: Some(wrapped.clone()),
        ..import(name, KeyType::HmacSha512, KeyPurpose::Mac, algorithm)
    };
    for who in ["maker", "stranger"] {
        let client = bench.daemon.client(who);
        let refused = Refusal::expect(
            client
                .keys()
                .import_key(request("partner-b", Algorithm::Hs256))
                .await,
        );
        assert_eq!(refused.reason, "PERMISSION_DENIED");
        let wrapping = GetImportWrappingKeyRequest {
            key_id: "partner-b".to_owned(),
            ..GetImportWrappingKeyRequest::default()
        };
        let refused = Refusal::expect(client.keys().get_import_wrapping_key(wrapping).await);
        assert_eq!(refused.reason, "PERMISSION_DENIED");
        // The same words whether the key is there or not.
        let mut said = Vec::new();
        for name in ["keys/partner-a", "keys/partner-c"] {
            let request = ImportKeyVersionRequest {
                name: name.to_owned(),
                wrapped: Some(wrapped.clone()),
                request_id: String::new(),
            };
            let refused = Refusal::expect(client.keys().import_key_version(request).await);
            said.push((
                refused.code,
                refused.reason,
                refused.message.replace(&name[5..], ""),
            ));
        }
        assert_eq!(said[0], said[1]);
    }
    let importer = bench.daemon.client("importer");
    for (name, algorithm) in [("partner-b", Algorithm::Hs512), ("other", Algorithm::Hs256)] {
        let refused = Refusal::expect(importer.keys().import_key(request(name, algorithm)).await);
        assert_eq!(refused.reason, "PERMISSION_DENIED", "{name}");
    }
    // Leave to import is none to make, to use or to see.
    let cli = Cli::new(&bench.daemon, "importer");
    cli.ok(
        &[
            "keys",
            "import",
            "partner-b",
            "--encoding",
            "utf8",
            "--algorithm",
            "HS256",
        ],
        b"secret",
    );
    for arguments in [
        &[
            "keys",
            "create",
            "partner-c",
            "--type",
            "hmac-sha256",
            "--purpose",
            "mac",
            "--algorithm",
            "HS256",
        ][..],
        &["keys", "describe", "partner-b"],
        &[
            "mac",
            "sign",
            "--key",
            "partner-b",
            "--algorithm",
            "HS256",
            "--hex",
        ],
    ] {
        assert_eq!(cli.run(arguments, b"").code, 3, "{arguments:?}");
    }
}

/// A daemon, its command line, and a directory for files.
struct Bench {
    daemon: Daemon,
    cli: Cli,
    files: tempfile::TempDir,
}

impl Bench {
    fn new(label: &str) -> Self {
        Self::over(Daemon::with(Token::new(label)))
    }

    fn over(daemon: Daemon) -> Self {
        Self {
            cli: Cli::new(&daemon, "test"),
            daemon,
            files: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A new private key and its public half, each in a file.
    fn openssl_key(&self, name: &str, make: &[&str]) -> (String, PathBuf) {
        let (key, public) = (
            self.path(&format!("{name}.pem")),
            self.path(&format!("{name}.pub")),
        );
        let mut command = Command::new("openssl");
        command
            .args(["genpkey", "-algorithm", make[0], "-out"])
            .arg(&key);
        for option in &make[1..] {
            command.args(["-pkeyopt", option]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let output = Command::new("openssl")
            .args(["pkey", "-pubout", "-in"])
            .arg(&key)
            .arg("-out")
            .arg(&public)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        (key.display().to_string(), public)
    }

    fn openssl_verifies(&self, hash: &str, public: &Path, message: &[u8], signature: &[u8]) {
        fs::write(self.path("message"), message).unwrap();
        fs::write(self.path("signature"), signature).unwrap();
        let output = Command::new("openssl")
            .args(["dgst", hash, "-verify"])
            .arg(public)
            .arg("-signature")
            .arg(self.path("signature"))
            .arg(self.path("message"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn secret(&self, name: &str, secret: &[u8], algorithm: &str) {
        self.cli.ok(
            &[
                "keys",
                "import",
                name,
                "--encoding",
                "utf8",
                "--algorithm",
                algorithm,
            ],
            secret,
        );
    }

    /// Wrapped by other hands than the command line's: those of the `openssl` command.
    async fn wrap(&self, client: &Client, key: &str, bytes: &[u8]) -> WrappedKey {
        let request = GetImportWrappingKeyRequest {
            key_id: key.to_owned(),
            ..GetImportWrappingKeyRequest::default()
        };
        let answer = client
            .keys()
            .get_import_wrapping_key(request)
            .await
            .unwrap()
            .into_inner();
        let aes = [9; 32];
        let mut wrapped = self.openssl_oaep(&answer.pem, &aes);
        fs::write(self.path("clear"), bytes).unwrap();
        let output = Command::new("openssl")
            .args([
                "enc",
                "-id-aes256-wrap-pad",
                "-e",
                "-iv",
                "A65959A6",
                "-K",
                &hex::encode(aes),
                "-in",
            ])
            .arg(self.path("clear"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        wrapped.extend(output.stdout);
        WrappedKey {
            wrapping_key: answer.name,
            method: ImportMethod::RsaOaep3072Sha1Aes256.into(),
            wrapped_key: wrapped.into(),
            public_key: Vec::new().into(),
            secret_bytes: 0,
        }
    }

    fn openssl_oaep(&self, pem: &str, clear: &[u8]) -> Vec<u8> {
        let (key, input) = (self.path("wrapping.pem"), self.path("oaep"));
        fs::write(&key, pem).unwrap();
        fs::write(&input, clear).unwrap();
        let output = Command::new("openssl")
            .args([
                "pkeyutl",
                "-encrypt",
                "-pubin",
                "-pkeyopt",
                "rsa_padding_mode:oaep",
                "-inkey",
            ])
            .arg(key)
            .arg("-in")
            .arg(input)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    /// Everything in the token, as pkcs11-tool lists it, in no order.
    fn objects(&self) -> String {
        let output = self.daemon.token().pkcs11_tool(&["--list-objects"]);
        assert!(output.status.success(), "{output:?}");
        let listed = String::from_utf8(output.stdout).unwrap();
        let mut objects: Vec<_> = listed.split_inclusive('\n').collect();
        objects.sort_unstable();
        objects.concat()
    }
}

fn import(
    id: &str,
    key_type: KeyType,
    purpose: KeyPurpose,
    algorithm: Algorithm,
) -> ImportKeyRequest {
    ImportKeyRequest {
        key_id: id.to_owned(),
        r#type: key_type.into(),
        purpose: purpose.into(),
        algorithms: vec![algorithm.into()],
        ..ImportKeyRequest::default()
    }
}

async fn sign(client: &Client, key: &str, algorithm: Algorithm) -> Result<Vec<u8>, Status> {
    let request = SignRequest {
        name: format!("keys/{key}"),
        algorithm: algorithm.into(),
        message: Some(MESSAGE.into()),
        ..SignRequest::default()
    };
    let answer = client.signing().sign(request).await?;
    Ok(answer.into_inner().signature.to_vec())
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn pkcs8(pem: &Path) -> Vec<u8> {
    der(
        &["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"],
        pem,
    )
}

fn spki(pem: &Path) -> Vec<u8> {
    der(
        &["pkey", "-pubin", "-pubout", "-outform", "DER", "-in"],
        pem,
    )
}

fn der(arguments: &[&str], pem: &Path) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments)
        .arg(pem)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

const MESSAGE: &[u8] = b"message";
const RSA: &[&str] = &["RSA", "rsa_keygen_bits:2048"];
