//! Every vector of every shipped scheme through the daemon, as a caller would; and with them those of the
//! platforms' collection, which carries what was checked with other programs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use chancery::{proto::v1, scheme::Scheme};
use serde_json::Value as Json;
use toml::Table;

use case::{Case, Secrets};
use trial::Seen;

use crate::{
    platform::world::{Held, World},
    softhsm::{Secret, Token},
};

mod case;
mod trial;

#[tokio::test]
async fn every_vector_of_a_shipped_scheme_passes_through_the_daemon() {
    let (mut cases, mut partners) = (Vec::new(), Vec::new());
    let mut secrets = Secrets::new();
    for path in tomls(&root().join("config/schemes")) {
        let text = fs::read_to_string(&path).unwrap();
        let file: Table = text.parse().unwrap();
        for (index, vector) in file["vectors"].as_array().unwrap().iter().enumerate() {
            let scheme = Scheme::parse(&text).unwrap();
            let case = Case {
                partner: format!("{}.{index}", scheme.name()),
                vector: vector.as_table().unwrap().clone(),
                file: file.clone(),
                scheme,
            };
            partners.push((case.partner.clone(), case.partner_file(&mut secrets)));
            cases.push(case);
        }
    }
    let token = Token::new("vectors");
    let pem = fs::read_to_string(root().join("demo/ayolinx/key.pem")).unwrap();
    token.import_pkcs8("demo-sign", "01", &pem);
    token.import_pkcs8("demo-decrypt", "02", &pem);
    token.import_pkcs8("demo-decrypt-sha1", "03", &pem);
    token.import_pkcs8("demo-origin", "04", &pem);
    token.import_pkcs8("demo-decrypt-java", "05", &pem);
    let direct: i32 = v1::Algorithm::Dir.into();
    let mut keys = KEYS.to_owned();
    for ((_, _, secret), name) in secrets.iter().filter(|((one, ..), _)| *one == direct) {
        token.import_secret(name, secret, Secret::Aes);
        let bits = secret.len() * 8;
        keys += &format!(
            "[[keys]]\nname = {name:?}\npurpose = \"decrypt\"\nalgorithms = [\"dir\"]\ncontent_encryptions = [\"A{bits}GCM\"]\n"
        );
    }
    let world = World::with(&partners, token, &keys);
    for ((algorithm, readable, secret), name) in &secrets {
        if *algorithm == direct {
            continue;
        }
        let held = Held {
            name,
            algorithm: v1::Algorithm::try_from(*algorithm).unwrap(),
            secret,
            readable: *readable,
        };
        world.import(held).await;
    }

    let mut seen = Seen::default();
    for case in &cases {
        case.run(&world, &mut seen).await;
    }
    assert!(seen.faults.is_empty(), "{}", seen.faults.join("\n"));
    for (kind, least) in [("sign", 35), ("verify", 80), ("encrypt", 2), ("decrypt", 1)] {
        assert!(
            seen.tried.get(kind).is_some_and(|count| *count >= least),
            "{:?}",
            seen.tried
        );
    }
    compare_with_the_collection(&seen);
}

/// What the collection of platforms' vectors says, in one form or the other, is among what was compared; but for
/// what concerns no scheme, and what can't be checked by anyone.
fn compare_with_the_collection(seen: &Seen) {
    let text = fs::read_to_string(root().join("tests/testdata/platforms.json")).unwrap();
    let collection: Json = serde_json::from_str(&text).unwrap();
    let mut missing = Vec::new();
    for vector in collection["vectors"].as_array().unwrap() {
        let id = vector["id"].as_str().unwrap();
        let wanted: Vec<&str> = [
            "expected",
            "string_to_sign",
            "expected_sha256",
            "token",
            "ciphertext_b64",
        ]
        .iter()
        .filter_map(|member| vector[*member].as_str())
        .collect();
        let found = wanted
            .iter()
            .any(|wanted| seen.texts.iter().any(|text| text.contains(wanted)));
        if !found && !ELSEWHERE.contains(&id) && vector["status"] != "not-reproducible" {
            missing.push(id);
        }
    }
    assert!(missing.is_empty(), "not checked: {missing:?}");
}

/// Checked by other tests, since no shipped scheme has them: with the key alone in `plain`, as whole messages in
/// `rfc9421`, and a public key, which is encrypted to, in `fields`.
const ELSEWHERE: [&str; 8] = [
    "ayolinx.token.demo-signature",
    "rfc7797.4.2",
    "openbankinguk.b64false",
    "rfc9421.b.2.5",
    "rfc9421.b.2.6",
    "rfc9530.content-digest",
    "oneaccess.event-callback",
    "oneaccess.public-key",
];

const KEYS: &str = r#"
[[keys]]
name = "demo-sign"
purpose = "sign"
algorithms = ["RS256"]

[[keys]]
name = "demo-decrypt"
purpose = "decrypt"
algorithms = ["RSA-OAEP-256"]
content_encryptions = ["A128GCM", "A256GCM"]
allow_compression = true

[[keys]]
name = "demo-decrypt-sha1"
purpose = "decrypt"
algorithms = ["RSA-OAEP"]
content_encryptions = ["A256GCM"]

[[keys]]
name = "demo-decrypt-java"
purpose = "decrypt"
algorithms = ["RSA-OAEP-256-MGF1-SHA1"]

[[keys]]
name = "demo-origin"
purpose = "prove-origin"
algorithms = ["RSA1_5-PRIVATE"]
"#;

fn tomls(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|one| one == "toml"));
    paths.sort();
    paths
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
