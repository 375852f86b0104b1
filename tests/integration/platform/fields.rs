//! Single values: encrypted by `openssl` with each pair of hashes and opened in the token, and the other way round.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use chancery::proto::v1::{Algorithm as A, DecryptFieldRequest, EncryptFieldRequest, KeyType as T};

use crate::{
    calls::{OpenSsl, create, new_key, public_key},
    harness::Refusal,
    platform::{vectors::root, world::World},
    softhsm::Token,
};

/// A scheme, which is the name of its partner and of our key too; its role for theirs; the algorithm of both, and the
/// hashes as `openssl` calls them.
const PAIRS: [(&str, &str, A, &str, &str); 3] = [
    ("wechat-pay-field", "platform", A::RsaOaep, "sha1", "sha1"),
    (
        "oneaccess-session-token",
        "application",
        A::RsaOaep256,
        "sha256",
        "sha256",
    ),
    (
        "oneaccess-session-token-java",
        "application",
        A::RsaOaep256Mgf1Sha1,
        "sha256",
        "sha1",
    ),
];

#[tokio::test]
async fn values_of_openssl_are_opened_with_the_pair_of_hashes_of_the_scheme_alone() {
    let bench = Bench::new().await;
    for (index, (scheme, _, _, hash, mgf1)) in PAIRS.into_iter().enumerate() {
        // An empty value is one, and not the sign of a failure.
        for value in [&b"session_token=abc&nonce=\x00\xff"[..], b""] {
            let sealed = bench.encrypted(index, value, hash, mgf1);
            assert_eq!(bench.decrypt(scheme, &sealed).await.unwrap(), value);
        }
    }

    // Another key, other hashes, a changed byte, a wrong length, a number beyond the modulus: one answer.
    for (index, (scheme, _, _, hash, mgf1)) in PAIRS.into_iter().enumerate() {
        let good = bench.encrypted(index, b"value", hash, mgf1);
        let mut wrong = vec![
            bench.encrypted((index + 1) % 3, b"value", hash, mgf1),
            good[1..].to_vec(),
            [&good[..], b"x"].concat(),
            vec![0; 256],
            vec![0xff; 256],
            Vec::new(),
        ];
        for (_, _, _, other, other_mgf1) in PAIRS {
            if (other, other_mgf1) != (hash, mgf1) {
                wrong.push(bench.encrypted(index, b"value", other, other_mgf1));
            }
        }
        for place in [0, 128, 255] {
            let mut changed = good.clone();
            changed[place] ^= 1;
            wrong.push(changed);
        }
        let mut refusals = Vec::new();
        for sealed in wrong {
            refusals.push(bench.decrypt(scheme, &sealed).await.unwrap_err());
        }
        refusals.dedup();
        assert_eq!(refusals.len(), 1, "{scheme}: {refusals:#?}");
        assert_eq!(refusals[0].reason, "DECRYPTION_FAILED");
        assert_eq!(bench.decrypt(scheme, &good).await.unwrap(), b"value");
    }

    // And the other way round, with the hashes that the answer names.
    for (scheme, _, _, hash, mgf1) in PAIRS {
        let request = EncryptFieldRequest {
            partner: format!("partners/{scheme}"),
            inputs: [("value".to_owned(), "6222020200001234567".to_owned())].into(),
            ..EncryptFieldRequest::default()
        };
        let made = bench.world.client().platform().encrypt_field(request).await;
        let made = made.unwrap().into_inner();
        let openssl_name = |hash: &str| hash.replace('-', "").to_lowercase();
        let named = (openssl_name(&made.oaep_hash), openssl_name(&made.mgf1_hash));
        assert_eq!(named, (hash.to_owned(), mgf1.to_owned()));
        let sealed = BASE64_STANDARD.decode(&made.ciphertext).unwrap();
        bench.openssl.file("sealed", &sealed);
        let arguments = ["-decrypt", "-inkey", "private.pem", "-in", "sealed"];
        let opened = bench.pkeyutl(&arguments, hash, mgf1);
        let text = String::from_utf8(opened).unwrap();
        assert!(text.contains("6222020200001234567"), "{scheme}: {text}");
    }
}

/// A key for values alone takes no content encryption, and no key serves a scheme with another pair.
#[tokio::test]
async fn a_key_for_the_pair_of_java_is_for_values_alone() {
    let bench = Bench::new().await;
    let mut with_enc = new_key("with-enc", T::Rsa2048, &[A::RsaOaep256Mgf1Sha1]);
    with_enc.content_encryptions = vec![3];
    let refused = bench.world.client().keys().create_key(with_enc).await;
    let refused = Refusal::expect(refused);
    assert_eq!(refused.reason, "KEY_USAGE_INVALID");
    assert!(refused.message.contains("no JWE"), "{refused:?}");

    let refused = bench.decrypt("mixed", &[1; 256]).await.unwrap_err();
    assert_eq!(refused.reason, "PARTNER_NOT_READY");
}

/// The public key that Huawei's page shows, `oneaccess.public-key` of the collection, is encrypted to.
#[tokio::test]
async fn the_public_key_of_the_vendors_page_is_encrypted_to() {
    let text = fs::read_to_string(root().join("tests/testdata/platforms.json")).unwrap();
    let collection: serde_json::Value = serde_json::from_str(&text).unwrap();
    let vectors = collection["vectors"].as_array().unwrap();
    let vector = vectors
        .iter()
        .find(|one| one["id"] == "oneaccess.public-key")
        .unwrap();
    let pem = vector["key"]["public_pem"].as_str().unwrap();
    let partner = format!(
        "[partner]\nname = \"oneaccess\"\ntitle = \"t\"\n[keys.ours]\nkey = \"ours\"\n\
         [keys.application]\npublic_keys = [{{ pem = '''\n{pem}''' }}]\n[schemes.oneaccess-session-token]\n"
    );
    let partners = [("oneaccess".to_owned(), partner)];
    let world = World::with(&partners, Token::new("oneaccess"), "");
    let request = EncryptFieldRequest {
        partner: "partners/oneaccess".to_owned(),
        inputs: [("value".to_owned(), "abc".to_owned())].into(),
        ..EncryptFieldRequest::default()
    };
    let made = world.client().platform().encrypt_field(request).await;
    let made = made.unwrap().into_inner();
    let digest = hex::encode(&made.key.unwrap().public_key_sha256);
    assert_eq!(digest, vector["key"]["spki_sha256"].as_str().unwrap());
    assert_eq!(BASE64_STANDARD.decode(made.ciphertext).unwrap().len(), 256);
}

/// A partner for each pair, whose keys are in the token; and one with the wrong key. Their keys are openssl's.
struct Bench {
    world: World,
    ours: Vec<String>,
    openssl: OpenSsl,
}

impl Bench {
    async fn new() -> Self {
        let openssl = OpenSsl::new();
        let bits = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
        openssl.file(
            "private.pem",
            &openssl.output(&[&["genpkey"][..], &bits].concat()),
        );
        let public = openssl.output(&["pkey", "-in", "private.pem", "-pubout"]);
        let theirs = String::from_utf8(public).unwrap();
        let partner = |name: &str, key: &str, scheme: &str, role: &str| {
            let text = format!(
                "[partner]\nname = {name:?}\ntitle = \"of a test\"\n[keys.ours]\nkey = {key:?}\n\
                 [keys.{role}]\npublic_keys = [{{ pem = '''\n{theirs}''' }}]\n[schemes.{scheme}]\n"
            );
            (name.to_owned(), text)
        };
        let mut partners: Vec<_> = PAIRS
            .into_iter()
            .map(|(scheme, role, ..)| partner(scheme, scheme, scheme, role))
            .collect();
        let (right, other) = (PAIRS[2].0, PAIRS[1].0);
        partners.push(partner("mixed", other, right, "application"));
        let world = World::with(&partners, Token::new("fields"), "");
        let client = world.client();
        let mut ours = Vec::new();
        for (name, _, algorithm, ..) in PAIRS {
            create(&client, name, T::Rsa2048, &[algorithm]).await;
            ours.push(public_key(&client, &format!("keys/{name}")).await.pem);
        }
        Self {
            world,
            ours,
            openssl,
        }
    }

    /// What `openssl` makes for our key.
    fn encrypted(&self, key: usize, value: &[u8], hash: &str, mgf1: &str) -> Vec<u8> {
        self.openssl.file("ours.pem", self.ours[key].as_bytes());
        self.openssl.file("value", value);
        let arguments = ["-encrypt", "-pubin", "-inkey", "ours.pem", "-in", "value"];
        self.pkeyutl(&arguments, hash, mgf1)
    }

    fn pkeyutl(&self, arguments: &[&str], hash: &str, mgf1: &str) -> Vec<u8> {
        let hash = format!("rsa_oaep_md:{hash}");
        let mgf1 = format!("rsa_mgf1_md:{mgf1}");
        let options = ["rsa_padding_mode:oaep", &hash, &mgf1];
        let options = options.iter().flat_map(|option| ["-pkeyopt", option]);
        let all: Vec<_> = ["pkeyutl"].iter().chain(arguments).copied().collect();
        self.openssl
            .output(&all.into_iter().chain(options).collect::<Vec<_>>())
    }

    async fn decrypt(&self, partner: &str, sealed: &[u8]) -> Result<Vec<u8>, Refusal> {
        let request = DecryptFieldRequest {
            partner: format!("partners/{partner}"),
            ciphertext: BASE64_STANDARD.encode(sealed),
            ..DecryptFieldRequest::default()
        };
        let answer = self.world.client().platform().decrypt_field(request).await;
        answer
            .map(|answer| answer.into_inner().plaintext.to_vec())
            .map_err(|status| Refusal::of(&status))
    }
}
