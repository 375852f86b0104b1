//! What must not come in, and who must not bring it: nothing is left in the token, and nothing is told.

use std::path::Path;

use chancery::{
    client::Code,
    proto::v1::{
        Algorithm, Custody, GetImportWrappingKeyRequest, ImportKeyRequest, ImportKeyVersionRequest,
        ImportMethod, KeyPurpose, KeyType, WrappedKey,
    },
};

use super::{Bench, MESSAGE, RSA, hmac, import, pkcs8, sign, spki};
use crate::{
    cli::Cli,
    harness::{Refusal, Setup},
    softhsm::Token,
};

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
