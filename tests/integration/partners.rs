//! Partners: files that load, files that are refused, and what the daemon, its check and its client make of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use chancery::{
    config::{ConfigError, Platforms, load_partners},
    partner::{Partners, RoleKey},
};

mod public_keys;
mod served;

#[test]
fn the_shipped_partners_load() {
    let partners = load(&root().join("config/partners")).unwrap();
    let names: Vec<_> = partners.iter().map(|one| one.name().to_string()).collect();
    assert_eq!(
        names,
        [
            "ayolinx",
            "oneaccess",
            "paykka",
            "paywizard",
            "upay",
            "upay-private"
        ]
    );
    assert!(partners.schemes().count() >= 29);
}

/// One file for each fault. Its first line says what is said of it: line, key, reason, what to do.
#[test]
fn every_fault_is_told_with_its_line_key_and_reason() {
    let folder = root().join("tests/testdata/partners");
    let temporary = tempfile::tempdir().unwrap();
    for name in [
        "rsa.pem",
        "rsa.der.txt",
        "rsa1024.pem",
        "p256.pem",
        "private.pem",
    ] {
        fs::copy(folder.join(name), temporary.path().join(name)).unwrap();
    }
    let directory = temporary.path().to_str().unwrap();
    let file = temporary.path().join("partner.toml");
    let (mut faults, mut told) = (Vec::new(), 0);
    for path in tomls(&folder) {
        let text = fs::read_to_string(&path).unwrap();
        let (first, _) = text.split_once('\n').unwrap();
        let expected = first.strip_prefix("# expect: ").unwrap();
        fs::write(&file, &text).unwrap();
        let error = load(temporary.path()).expect_err(path.to_str().unwrap());
        let error = error.to_string().replace(directory, "DIR");
        if error != expected {
            faults.push(format!("{}\n# expect: {error}", path.display()));
        }
        told += 1;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(told >= 34, "{told}");
}

#[test]
fn a_partner_or_scheme_whose_name_is_taken_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let example = root().join("config/partners/paywizard.toml");
    for name in ["a.toml", "b.toml"] {
        fs::copy(&example, temporary.path().join(name)).unwrap();
    }
    let error = load(temporary.path()).unwrap_err().to_string();
    let expected = "b.toml:4: partner.name: PARTNER_TWICE: there is another partner named paywizard; expected another name";
    assert!(error.ends_with(expected), "{error}");

    let schemes = tempfile::tempdir().unwrap();
    let built_in = root().join("config/schemes/stripe.toml");
    fs::copy(built_in, schemes.path().join("mine.toml")).unwrap();
    let platforms = Platforms {
        schemes: Some(schemes.path().to_owned()),
        partners: None,
    };
    let error = load_partners(&platforms).unwrap_err().to_string();
    let expected = "scheme.name: there is another scheme named stripe; expected another name";
    assert!(error.ends_with(expected), "{error}");
    // Under another name it is one more scheme.
    let text = fs::read_to_string(root().join("config/schemes/stripe.toml")).unwrap();
    let text = text.replacen("name = \"stripe\"", "name = \"my-stripe\"", 1);
    fs::write(schemes.path().join("mine.toml"), text).unwrap();
    let partners = load_partners(&platforms).unwrap();
    assert!(partners.scheme(&"my-stripe".parse().unwrap()).is_some());
}

/// The same key as PEM, as bare base64, as a JWK that openssl's numbers make, and in a certificate.
#[test]
fn public_keys_are_read_as_platforms_hand_them_out() {
    let temporary = tempfile::tempdir().unwrap();
    let path = |name: &str| temporary.path().join(name);
    openssl(&[
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        utf8(&path("private.key")),
    ]);
    let (private, public) = (path("private.key"), path("public.pem"));
    openssl(&[
        "pkey",
        "-in",
        utf8(&private),
        "-pubout",
        "-out",
        utf8(&public),
    ]);
    openssl(&[
        "req",
        "-x509",
        "-new",
        "-key",
        utf8(&private),
        "-subj",
        "/CN=platform",
        "-days",
        "1",
        "-out",
        utf8(&path("certificate.pem")),
    ]);
    let pem = fs::read_to_string(&public).unwrap();
    let bare: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    fs::write(path("bare.txt"), bare).unwrap();
    let modulus = openssl(&["rsa", "-in", utf8(&private), "-noout", "-modulus"]);
    let modulus = hex::decode(modulus.trim().strip_prefix("Modulus=").unwrap()).unwrap();
    let modulus =
        base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, modulus);
    fs::write(
        path("key.jwk"),
        format!(r#"{{"kty":"RSA","n":"{modulus}","e":"AQAB"}}"#),
    )
    .unwrap();
    let digest = openssl(&[
        "pkey",
        "-pubin",
        "-in",
        utf8(&public),
        "-outform",
        "DER",
        "-out",
        utf8(&path("public.der")),
    ]);
    assert!(digest.is_empty());
    let der = fs::read(path("public.der")).unwrap();
    for name in ["public.pem", "bare.txt", "key.jwk", "certificate.pem"] {
        let text = format!(
            "[partner]\nname = \"wise\"\ntitle = \"Wise\"\n[keys.platform]\npublic_keys = [{{ file = \"{name}\", id = \"1\" }}]\n[schemes.wise-webhook]\n"
        );
        fs::write(path("partner.toml"), text).unwrap();
        let partners = load(temporary.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let partner = partners.partner(&"wise".parse().unwrap()).unwrap();
        let (_, assignment) = partner.schemes().next().unwrap();
        let Some(RoleKey::Public(keys)) = assignment.key("platform") else {
            panic!("{name}");
        };
        assert_eq!(keys[0].key.der(), der, "{name}");
        assert_eq!(keys[0].id.as_deref(), Some("1"));
    }
}

fn load(partners: &Path) -> Result<Partners, ConfigError> {
    load_partners(&Platforms {
        schemes: None,
        partners: Some(partners.to_owned()),
    })
}

fn tomls(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|one| one == "toml"))
        .collect();
    paths.sort();
    paths
}

fn openssl(arguments: &[&str]) -> String {
    let output = std::process::Command::new("openssl")
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn utf8(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
