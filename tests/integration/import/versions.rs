//! Rotation with overlap: the next version of a key comes from elsewhere.

use std::fs;

use chancery::proto::v1::{Algorithm, ImportKeyVersionRequest, VerifyRequest};

use super::{Bench, MESSAGE, hmac, sign};
use crate::harness::Refusal;

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
