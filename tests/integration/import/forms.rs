//! The forms in which private keys come, PKCS#8, PKCS#1, SEC 1 and JWK, and what is none of them.

use std::{fs, process::Command};

use super::{Bench, RSA};

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
