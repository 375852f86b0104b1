//! Keys: made inside, seen by those who may, good for what their record names, and still so after a restart.

use std::{collections::BTreeSet, sync::LazyLock};

use chancery::{
    client::{Client, Code, checksum},
    proto::v1::{
        Algorithm as A, GenerateRandomRequest, GetKeyRequest, Key, KeyPurpose, KeyType as T,
        ListKeysRequest, ListKeysResponse, TokenAttributes,
    },
};

use crate::{
    calls::{ALGORITHMS, create, message, new_key, public_key, purpose},
    harness::{ALLOW_TEST, Daemon, Refusal, Seat, Setup, Shared},
    softhsm::{Secret, Token},
};

mod found;
mod public;
mod refused;

/// What is in its tokens besides what tests make, see [`start`].
static DAEMON: LazyLock<Daemon> = LazyLock::new(start);

const POLICY: &str = r#"
[[rules]]
name = "pages"
identities = ["spiffe://chancery.test/pager"]
keys = ["page-*"]
operations = ["get"]
"#;

const DECLARED: &str = r#"
[[keys]]
name = "declared-rsa"
purpose = "sign"
algorithms = ["RS256"]
[[keys]]
name = "declared-mac"
purpose = "mac"
algorithms = ["HS256"]
"#;

fn start() -> Daemon {
    let (main, second) = (Token::new("main"), Token::new("second"));
    main.import_pkcs8("declared-rsa", "01", &rsa_pem());
    main.import_pkcs8("ambiguous-rsa", "02", &rsa_pem());
    main.import_pkcs8("shared/1", "03", &ec_pem());
    second.import_pkcs8("shared/1", "04", &ec_pem());
    main.import_pkcs8("twin", "05", &ec_pem());
    main.import_pkcs8("twin", "06", &ec_pem());
    main.import_pkcs8("late-twin", "07", &ec_pem());
    main.import_pkcs8("late-twin/1", "08", &ec_pem());
    main.import_secret("declared-mac", &[7; 40], Secret::Generic);
    generate(&main, "made-ec", "EC:prime256v1", "11");
    generate(&second, "made-elsewhere", "EC:secp384r1", "12");
    Setup::new(main)
        .token(Seat::new("second", second))
        .policy(&format!("{ALLOW_TEST}{POLICY}"))
        .tables(DECLARED)
        .server("refresh_interval_seconds = 1")
        .start()
}

/// As an operator would with the tool of another project.
fn generate(token: &Token, label: &str, kind: &str, id: &str) {
    let arguments = ["--keypairgen", "--key-type", kind, "--usage-sign"];
    let name = ["--label", label, "--id", id];
    let output = token.pkcs11_tool(&[&arguments[..], &name].concat());
    assert!(output.status.success(), "{output:?}");
}

fn ec_pem() -> String {
    rcgen::KeyPair::generate().unwrap().serialize_pem()
}

fn rsa_pem() -> String {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256);
    key.unwrap().serialize_pem()
}

async fn get(client: &Client, name: &str) -> Result<Key, Refusal> {
    let request = GetKeyRequest {
        name: format!("keys/{name}"),
    };
    let response = client.keys().get_key(request).await;
    let key = response.map(|response| response.into_inner().key.unwrap());
    key.map_err(|status| Refusal::of(&status))
}

async fn sign(client: &Client, key: &str, algorithm: A) -> Result<Vec<u8>, Refusal> {
    let request = message(key, algorithm, b"message");
    let response = client.signing().sign(request).await;
    let signature = response.map(|response| response.into_inner().signature.to_vec());
    signature.map_err(|status| Refusal::of(&status))
}

#[tokio::test]
async fn every_type_is_made_inside_and_never_leaves() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    for (key_type, algorithms) in [
        (T::Rsa2048, &[A::Rs256, A::Ps256][..]),
        (T::Rsa3072, &[A::RsaOaep256]),
        (T::Rsa4096, &[A::Rs512]),
        (T::EcP256, &[A::Es256]),
        (T::EcP384, &[A::EcdhEs, A::EcdhEsA256kw]),
        (T::EcP521, &[A::Es512]),
        (T::Ed25519, &[A::Eddsa]),
        (T::HmacSha256, &[A::Hs256]),
        (T::HmacSha384, &[A::Hs256, A::Hs384]),
        (T::HmacSha512, &[A::Hs256]),
        (T::Aes128, &[A::A128kw]),
        (T::Aes256, &[A::Dir]),
    ] {
        let id = format!("made-{}", key_type as i32);
        let request = new_key(&id, key_type, algorithms);
        let key = create(&client, &id, key_type, algorithms).await;

        assert_eq!(key.name, format!("keys/{id}"));
        assert_eq!(key.token, "main");
        assert_eq!(key.r#type(), key_type);
        assert_eq!(key.purpose, request.purpose);
        assert_eq!(key.algorithms, request.algorithms);
        assert_eq!(key.content_encryptions, request.content_encryptions);
        assert_eq!(key.primary_version, format!("keys/{id}/versions/1"));
        let [version] = &key.versions[..] else {
            panic!("{:?}", key.versions)
        };
        assert_eq!(version.name, key.primary_version);
        assert!(!version.adopted);
        let custody = TokenAttributes {
            local: Some(true),
            sensitive: Some(true),
            extractable: Some(false),
            always_sensitive: Some(true),
            never_extractable: Some(true),
        };
        assert_eq!(version.attributes, Some(custody), "{id}");
        assert_eq!(get(&client, &id).await.unwrap(), key);

        // The same, as another tool sees the token.
        let kind = match key_type {
            T::HmacSha256 | T::HmacSha384 | T::HmacSha512 | T::Aes128 | T::Aes256 => "secrkey",
            _ => "privkey",
        };
        let label = format!("{id}/1");
        let arguments = ["--list-objects", "--type", kind, "--label", &label];
        let output = daemon.token().pkcs11_tool(&arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        for expected in ["sensitive", "always sensitive", "never extract", "local"] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert!(!text.contains(", extractable"), "{text}");
    }
}

#[tokio::test]
async fn pages_go_through_all_keys_that_one_may_see() {
    let daemon = Shared::get(&DAEMON);
    let (client, pager) = (daemon.client("test"), daemon.client("pager"));
    let expected: Vec<_> = (1..=5).map(|number| format!("page-{number}")).collect();
    for id in &expected {
        create(&client, id, T::EcP256, &[A::Es256]).await;
    }
    let list = async |page_size: i32, page_token: &str| {
        let request = ListKeysRequest {
            page_size,
            page_token: page_token.to_owned(),
        };
        pager
            .keys()
            .list_keys(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let names = |page: &ListKeysResponse| -> Vec<_> {
        let names = page
            .keys
            .iter()
            .map(|key| key.name.strip_prefix("keys/").unwrap().to_owned());
        names.collect()
    };
    for size in [0, 5, 6, 1000, 1001, i32::MAX] {
        let page = list(size, "").await.unwrap();
        assert_eq!(
            (names(&page), page.next_page_token.as_str()),
            (expected.clone(), "")
        );
    }
    for size in 1..5 {
        let mut seen = Vec::new();
        let mut token = String::new();
        loop {
            let page = list(size, &token).await.unwrap();
            assert!(!page.keys.is_empty() && page.keys.len() <= size as usize);
            seen.extend(names(&page));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, expected);
    }
    // A token tells nothing of keys that one may not see, and ends where they end.
    assert_eq!(list(5, "zzz").await.unwrap(), ListKeysResponse::default());
    let refusal = Refusal::expect(list(-1, "").await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::InvalidArgument, "PAGE_SIZE_INVALID")
    );
    for bad in ["/", "page-1/1", "%00", "page 1", "=", &"a".repeat(1000)] {
        let refusal = Refusal::expect(list(2, bad).await);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::InvalidArgument, "PAGE_TOKEN_INVALID")
        );
    }
    let all: BTreeSet<_> = client
        .all_keys()
        .await
        .unwrap()
        .into_iter()
        .map(|key| key.name)
        .collect();
    assert!(all.contains("keys/page-3") && all.contains("keys/made-elsewhere"));
    assert!(!all.contains("keys/twin") && !all.contains("keys/shared"));
}

#[tokio::test]
async fn random_bytes_come_from_the_token() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    let mut seen = BTreeSet::new();
    for (token, length) in [("main", 1), ("main", 32), ("second", 32), ("main", 1024)] {
        let request = GenerateRandomRequest {
            token: token.to_owned(),
            length,
        };
        let random = client
            .keys()
            .generate_random(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(random.data.len(), length as usize);
        assert_eq!(random.data_crc32c, checksum(&random.data));
        assert!(seen.insert(random.data));
    }
    for (token, length, reason) in [
        ("main", 0, "LENGTH_INVALID"),
        ("main", -1, "LENGTH_INVALID"),
        ("main", 1025, "LENGTH_INVALID"),
        ("", 1, "TOKEN_UNKNOWN"),
        ("third", 1, "TOKEN_UNKNOWN"),
    ] {
        let request = GenerateRandomRequest {
            token: token.to_owned(),
            length,
        };
        let refusal = Refusal::expect(client.keys().generate_random(request).await);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::InvalidArgument, reason)
        );
    }
    let request = GenerateRandomRequest {
        token: "main".to_owned(),
        length: 8,
    };
    let refusal = Refusal::expect(daemon.client("pager").keys().generate_random(request).await);
    assert_eq!(refusal.code, Code::PermissionDenied);
}

#[tokio::test]
async fn each_key_does_what_its_record_names_and_nothing_else() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    for (id, key_type, allowed) in [
        ("only-rs", T::Rsa2048, &[A::Rs256][..]),
        ("only-es", T::EcP384, &[A::Es384]),
        ("only-hs", T::HmacSha512, &[A::Hs384]),
        ("only-oaep", T::Rsa2048, &[A::RsaOaep256]),
        ("only-ecdh", T::EcP256, &[A::EcdhEs]),
        ("only-wrap", T::Aes128, &[A::A128kw]),
    ] {
        create(&client, id, key_type, allowed).await;
        for algorithm in ALGORITHMS {
            let result = sign(&client, id, algorithm).await;
            let signs = matches!(purpose(algorithm), KeyPurpose::Sign | KeyPurpose::Mac);
            if allowed.contains(&algorithm) && signs {
                assert!(result.is_ok(), "{id} {algorithm:?} {result:?}");
                continue;
            }
            let refusal = result.unwrap_err();
            assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
            let reason = match allowed.contains(&algorithm) {
                true => "ALGORITHM_OF_ANOTHER_OPERATION",
                false => "ALGORITHM_NOT_ALLOWED",
            };
            assert_eq!(refusal.reason, reason, "{id} {algorithm:?}");
        }
    }
}

/// The limits of a key are in the token, beside it: another start, or another host, knows them.
#[tokio::test]
async fn a_restart_forgets_nothing() {
    let mut daemon = Daemon::with(Token::new("restart"));
    let client = daemon.client("test");
    let mut wrap = new_key("wrap", T::Aes256, &[A::A256kw]);
    wrap.content_encryptions = vec![3, 6];
    wrap.compression_allowed = true;
    client.keys().create_key(wrap).await.unwrap();
    create(&client, "narrow", T::EcP256, &[A::EcdhEsA128kw]).await;
    create(&client, "sign", T::EcP256, &[A::Es256]).await;
    create(&client, "mac", T::HmacSha512, &[A::Hs256]).await;
    let before = client.all_keys().await.unwrap();
    let public = public_key(&client, "keys/sign").await;
    let mac = sign(&client, "mac", A::Hs256).await.unwrap();
    assert_eq!(before.len(), 4);
    drop(client);

    daemon.restart().await;

    let client = daemon.client("test");
    assert_eq!(client.all_keys().await.unwrap(), before);
    assert_eq!(public_key(&client, "keys/sign").await, public);
    assert_eq!(sign(&client, "mac", A::Hs256).await.unwrap(), mac);
    let refusal = sign(&client, "mac", A::Hs512).await.unwrap_err();
    assert_eq!(refusal.reason, "ALGORITHM_NOT_ALLOWED");
}
