//! Keys: made here, made by other tools, looked at, and their public halves as others compute them.

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use chancery::{
    client::{Client, Code, checksum},
    proto::v1::{
        Algorithm as A, CreateCertificateRequestRequest, CreateCertificateRequestResponse,
        CreateKeyRequest, GenerateRandomRequest, GetJwksRequest, GetKeyRequest,
        GetPublicKeyRequest, Key, KeyPurpose, KeyType as T, ListKeysRequest, ListKeysResponse,
        SubjectAttribute, TokenAttributes,
    },
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    calls::{
        ALGORITHMS, OpenSsl, base64url, create, message, new_key, public_key, purpose, unbase64url,
    },
    harness::{ALLOW_TEST, Daemon, Refusal, Seat, Setup, Shared},
    softhsm::{Secret, Token},
};

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

async fn refused_key(client: &Client, request: CreateKeyRequest) -> Refusal {
    Refusal::expect(client.keys().create_key(request).await)
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

/// Purpose, type and algorithms of every wrong pair, and the lists that must or must not be there.
#[tokio::test]
async fn what_makes_no_key_is_refused_before_the_token_is_asked() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    let types = [
        (
            T::Rsa2048,
            &[
                A::Rs256,
                A::Rs384,
                A::Rs512,
                A::Ps256,
                A::Ps384,
                A::Ps512,
                A::RsaOaep,
                A::RsaOaep256,
                A::RsaOaep256Mgf1Sha1,
                A::Rsa15,
                A::Rsa15Private,
            ][..],
        ),
        (
            T::EcP256,
            &[A::Es256, A::EcdhEs, A::EcdhEsA128kw, A::EcdhEsA256kw],
        ),
        (
            T::EcP384,
            &[A::Es384, A::EcdhEs, A::EcdhEsA128kw, A::EcdhEsA256kw],
        ),
        (
            T::EcP521,
            &[A::Es512, A::EcdhEs, A::EcdhEsA128kw, A::EcdhEsA256kw],
        ),
        (T::Ed25519, &[A::Eddsa]),
        (T::HmacSha256, &[A::Hs256]),
        (T::HmacSha384, &[A::Hs256, A::Hs384]),
        (T::HmacSha512, &[A::Hs256, A::Hs384, A::Hs512]),
        (T::Aes128, &[A::A128kw, A::Dir]),
        (T::Aes256, &[A::A256kw, A::Dir]),
    ];
    let invalid = |request| {
        let client = &client;
        async move {
            let refusal = refused_key(client, request).await;
            assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
            assert_eq!(refusal.reason, "KEY_USAGE_INVALID", "{refusal:?}");
        }
    };
    for (key_type, fitting) in types {
        for algorithm in ALGORITHMS {
            if !fitting.contains(&algorithm) {
                invalid(new_key("never", key_type, &[algorithm])).await;
                invalid(new_key("never", key_type, &[fitting[0], algorithm])).await;
                continue;
            }
            for other in [
                KeyPurpose::Sign,
                KeyPurpose::Mac,
                KeyPurpose::Decrypt,
                KeyPurpose::Wrap,
                KeyPurpose::ProveOrigin,
            ] {
                if other != purpose(algorithm) {
                    let mut request = new_key("never", key_type, &[algorithm]);
                    request.purpose = other.into();
                    invalid(request).await;
                }
            }
        }
    }
    let changed = |mut request: CreateKeyRequest, edit: fn(&mut CreateKeyRequest)| {
        edit(&mut request);
        request
    };
    let ec = || new_key("never", T::EcP256, &[A::Es256]);
    let wrap = || new_key("never", T::Aes128, &[A::A128kw]);
    invalid(changed(ec(), |key| key.algorithms.clear())).await;
    invalid(changed(ec(), |key| key.content_encryptions = vec![1])).await;
    invalid(changed(ec(), |key| key.compression_allowed = true)).await;
    invalid(changed(wrap(), |key| key.content_encryptions.clear())).await;
    invalid(changed(new_key("never", T::Aes128, &[A::Dir]), |key| {
        key.content_encryptions = vec![3]
    }))
    .await;
    invalid(new_key("never", T::Rsa2048, &[A::RsaOaep256, A::Rsa15])).await;
    invalid(new_key("never", T::Rsa2048, &[A::RsaOaep, A::RsaOaep256])).await;
    for (request, reason) in [
        (changed(ec(), |key| key.r#type = 0), "KEY_TYPE_UNSPECIFIED"),
        (changed(ec(), |key| key.r#type = 99), "KEY_TYPE_UNSPECIFIED"),
        (
            changed(ec(), |key| key.purpose = 0),
            "KEY_PURPOSE_UNSPECIFIED",
        ),
        (
            changed(ec(), |key| key.purpose = -1),
            "KEY_PURPOSE_UNSPECIFIED",
        ),
        (
            changed(ec(), |key| key.algorithms = vec![7, 0]),
            "ALGORITHM_UNSPECIFIED",
        ),
        (
            changed(ec(), |key| key.algorithms = vec![9999]),
            "ALGORITHM_UNKNOWN",
        ),
        (
            changed(wrap(), |key| key.content_encryptions = vec![0]),
            "CONTENT_ENCRYPTION_UNSPECIFIED",
        ),
        (
            changed(wrap(), |key| key.content_encryptions = vec![7]),
            "CONTENT_ENCRYPTION_UNSPECIFIED",
        ),
        (changed(ec(), |key| key.token.clear()), "TOKEN_UNKNOWN"),
        (
            changed(ec(), |key| key.token = "third".to_owned()),
            "TOKEN_UNKNOWN",
        ),
        (
            changed(ec(), |key| key.token = "../main".to_owned()),
            "TOKEN_UNKNOWN",
        ),
    ] {
        let refusal = refused_key(&client, request).await;
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::InvalidArgument, reason)
        );
    }
    assert_eq!(
        get(&client, "never").await.unwrap_err().reason,
        "KEY_NOT_FOUND"
    );
}

#[tokio::test]
async fn names_are_checked_and_never_taken_twice() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    let long = "a".repeat(65);
    for bad in [
        "",
        ".hidden",
        "-flag",
        "_x",
        "a/1",
        "a b",
        "a\0",
        "schlüssel",
        "keys/a",
        "a\n",
        &long,
    ] {
        let refusal = refused_key(&client, new_key(bad, T::EcP256, &[A::Es256])).await;
        assert_eq!(refusal.reason, "KEY_NAME_INVALID", "{bad:?}");
        let refusal = get(&client, bad).await.unwrap_err();
        assert_eq!(refusal.reason, "KEY_NAME_INVALID", "{bad:?}");
    }
    for bad in [
        "",
        "keys/",
        "key/a",
        "keys/a/versions/0",
        "keys/a/versions/01",
        "keys/a/versions/+1",
        "keys/a/versions/4294967296",
        "keys/a/versions/1/",
        "keys/a/1",
        "KEYS/a",
    ] {
        let request = GetPublicKeyRequest {
            name: bad.to_owned(),
        };
        let refusal = Refusal::expect(client.keys().get_public_key(request).await);
        assert_eq!(refusal.reason, "KEY_NAME_INVALID", "{bad:?}");
    }
    let longest = "Z".repeat(64);
    create(&client, &longest, T::EcP256, &[A::Es256]).await;
    assert!(sign(&client, &longest, A::Es256).await.is_ok());

    create(&client, "Twice", T::EcP256, &[A::Es256]).await;
    create(&client, "twice", T::EcP256, &[A::Es256]).await;
    let before = get(&client, "twice").await.unwrap();
    let again = refused_key(&client, new_key("twice", T::Ed25519, &[A::Eddsa])).await;
    assert_eq!(
        (again.code, again.reason.as_str()),
        (Code::AlreadyExists, "KEY_EXISTS")
    );
    assert_eq!(again.metadata["key"], "twice");
    // Also not in another token, nor that of a key which can't be used.
    for (id, token) in [
        ("twice", "second"),
        ("twin", "main"),
        ("twin", "second"),
        ("ambiguous-rsa", "main"),
        ("made-elsewhere", "main"),
    ] {
        let mut request = new_key(id, T::EcP256, &[A::Es256]);
        request.token = token.to_owned();
        assert_eq!(
            refused_key(&client, request).await.reason,
            "KEY_EXISTS",
            "{id}"
        );
    }
    assert_eq!(get(&client, "twice").await.unwrap(), before);
    // Of many who want one name at once, one gets it.
    let all = (0..8).map(|_| {
        let client = client.clone();
        async move {
            client
                .keys()
                .create_key(new_key("raced", T::EcP256, &[A::Es256]))
                .await
        }
    });
    let results = futures_util::future::join_all(all).await;
    assert_eq!(
        results.iter().filter(|result| result.is_ok()).count(),
        1,
        "{results:?}"
    );
    for status in results.into_iter().filter_map(Result::err) {
        assert_eq!(Refusal::of(&status).reason, "KEY_EXISTS");
    }
    assert!(sign(&client, "raced", A::Es256).await.is_ok());
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

/// PEM, DER, JWK and thumbprint, each against what OpenSSL and RFC 7638 make of the key.
#[tokio::test]
async fn public_keys_are_those_that_openssl_reads() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    let openssl = OpenSsl::new();
    let mut thumbprints = BTreeSet::new();
    for (key_type, algorithm, members) in [
        (T::Rsa2048, A::Rs256, &["e", "kty", "n"][..]),
        (T::EcP256, A::Es256, &["crv", "kty", "x", "y"]),
        (T::EcP384, A::Es384, &["crv", "kty", "x", "y"]),
        (T::EcP521, A::Es512, &["crv", "kty", "x", "y"]),
        (T::Ed25519, A::Eddsa, &["crv", "kty", "x"]),
    ] {
        let id = format!("public-{}", key_type as i32);
        let key = create(&client, &id, key_type, &[algorithm]).await;
        let public = public_key(&client, &key.name).await;
        assert_eq!(public, public_key(&client, &key.primary_version).await);
        assert_eq!(public.name, key.primary_version);
        openssl.file("public.pem", public.pem.as_bytes());
        let read = ["pkey", "-pubin", "-in", "public.pem", "-pubout"];
        assert_eq!(openssl.output(&read), public.pem.as_bytes());
        let der = openssl.output(&[&read[..], &["-outform", "DER"]].concat());
        assert_eq!(der, public.der);
        assert_eq!(
            hex::encode(Sha256::digest(&der)),
            key.versions[0].public_key_sha256
        );

        let jwk: Value = serde_json::from_str(&public.jwk).unwrap();
        let parameters: Vec<_> = members
            .iter()
            .map(|name| format!("\"{name}\":{}", jwk[name]))
            .collect();
        let canonical = format!("{{{}}}", parameters.join(","));
        let thumbprint = base64url(Sha256::digest(canonical));
        assert_eq!(thumbprint, public.thumbprint);
        assert_eq!(thumbprint, key.versions[0].thumbprint);
        assert_eq!(jwk["kid"], thumbprint);
        assert_eq!(jwk["use"], "sig");
        assert_eq!(
            jwk["alg"],
            algorithm
                .as_str_name()
                .strip_prefix("ALGORITHM_")
                .unwrap()
                .replace("EDDSA", "EdDSA")
        );
        assert_eq!(jwk.as_object().unwrap().len(), members.len() + 3, "{jwk}");
        assert!(thumbprints.insert(thumbprint));

        // The numbers of the JWK are in the DER; their width is that of the curve or modulus.
        let wide = match key_type {
            T::Rsa2048 => unbase64url(jwk["n"].as_str().unwrap()),
            T::Ed25519 => unbase64url(jwk["x"].as_str().unwrap()),
            _ => ["x", "y"]
                .map(|name| unbase64url(jwk[name].as_str().unwrap()))
                .concat(),
        };
        let width = match key_type {
            T::Rsa2048 => 256,
            T::EcP256 => 64,
            T::EcP384 => 96,
            T::EcP521 => 132,
            _ => 32,
        };
        assert_eq!(wide.len(), width);
        assert!(der.windows(width).any(|window| window == wide));
    }
    // Two sets, one of them over HTTP for everyone: the same keys, the same members.
    let response = client.keys().get_jwks(GetJwksRequest {}).await.unwrap();
    let over_rpc: Value = serde_json::from_str(&response.into_inner().jwks).unwrap();
    let (code, body) = daemon.admin_get("/.well-known/jwks.json");
    assert_eq!(code, 200);
    let over_http: Value = serde_json::from_str(&body).unwrap();
    for set in [over_rpc, over_http] {
        let keys = set["keys"].as_array().unwrap();
        let ids: BTreeSet<_> = keys
            .iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect();
        assert!(thumbprints.is_subset(&ids), "{set}");
        for key in keys {
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(key.get(private).is_none(), "{key}");
            }
        }
    }
    let refusal = Refusal::expect(
        client
            .keys()
            .get_public_key(GetPublicKeyRequest {
                name: "keys/declared-mac".to_owned(),
            })
            .await,
    );
    assert_eq!(refusal.reason, "KEY_HAS_NO_PUBLIC_HALF");
    let refusal = Refusal::expect(
        client
            .keys()
            .get_public_key(GetPublicKeyRequest {
                name: "keys/public-1/versions/2".to_owned(),
            })
            .await,
    );
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::NotFound, "KEY_VERSION_NOT_FOUND")
    );
}

async fn certify(
    client: &Client,
    request: CreateCertificateRequestRequest,
) -> Result<CreateCertificateRequestResponse, Refusal> {
    let response = client.keys().create_certificate_request(request).await;
    response
        .map(tonic::Response::into_inner)
        .map_err(|status| Refusal::of(&status))
}

#[tokio::test]
async fn openssl_takes_the_certificate_requests() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    let openssl = OpenSsl::new();
    let part = |(kind, value): (&str, &str)| SubjectAttribute {
        r#type: kind.to_owned(),
        value: value.to_owned(),
    };
    let wanted = |id: &str, algorithm: A| CreateCertificateRequestRequest {
        name: format!("keys/{id}"),
        algorithm: algorithm.into(),
        subject: [
            ("C", "NL"),
            ("O", "Zürich & Co, \"Ltd\""),
            ("OU", "keys"),
            ("ST", "UT"),
            ("L", "Town"),
            ("serialNumber", "7"),
            ("CN", "pay.example"),
        ]
        .map(part)
        .to_vec(),
        dns_names: vec!["pay.example".to_owned(), "*.pay.example".to_owned()],
        uris: vec!["spiffe://chancery.test/pay".to_owned()],
        ip_addresses: vec!["192.0.2.7".to_owned(), "2001:db8::7".to_owned()],
        email_addresses: vec!["keys@pay.example".to_owned()],
    };
    for (key_type, algorithm) in [
        (T::Rsa2048, A::Rs384),
        (T::EcP256, A::Es256),
        (T::EcP521, A::Es512),
        (T::Ed25519, A::Eddsa),
    ] {
        let id = format!("certified-{}", key_type as i32);
        create(&client, &id, key_type, &[algorithm]).await;
        let made = certify(&client, wanted(&id, algorithm)).await.unwrap();
        assert_eq!(made.name, format!("keys/{id}/versions/1"));
        openssl.file("request.pem", made.pem.as_bytes());
        let read = ["req", "-in", "request.pem", "-verify", "-noout"];
        let verdict = openssl.run(&read);
        assert!(verdict.status.success());
        assert!(
            String::from_utf8_lossy(&verdict.stderr).contains("verify OK"),
            "{verdict:?}"
        );
        let key = openssl.output(&["req", "-in", "request.pem", "-noout", "-pubkey"]);
        assert_eq!(
            key,
            public_key(&client, &format!("keys/{id}"))
                .await
                .pem
                .as_bytes()
        );
        assert_eq!(
            openssl.output(&["req", "-in", "request.pem", "-outform", "DER"]),
            made.der
        );
        let subject = openssl.output(&[
            "req",
            "-in",
            "request.pem",
            "-noout",
            "-subject",
            "-nameopt",
            "RFC2253,-esc_msb,utf8",
        ]);
        assert_eq!(
            String::from_utf8(subject).unwrap().trim_end(),
            r#"subject=CN=pay.example,serialNumber=7,L=Town,ST=UT,OU=keys,O=Zürich & Co\, \"Ltd\",C=NL"#
        );
        let text =
            String::from_utf8(openssl.output(&["req", "-in", "request.pem", "-noout", "-text"]))
                .unwrap();
        for name in [
            "DNS:pay.example",
            "DNS:*.pay.example",
            "URI:spiffe://chancery.test/pay",
            "IP Address:192.0.2.7",
            "IP Address:2001:DB8:0:0:0:0:0:7",
            "email:keys@pay.example",
        ] {
            assert!(text.contains(name), "{name} is not in\n{text}");
        }
    }
    // Nothing said is nothing claimed.
    let bare = CreateCertificateRequestRequest {
        name: "keys/certified-4".to_owned(),
        algorithm: A::Es256.into(),
        ..CreateCertificateRequestRequest::default()
    };
    let made = certify(&client, bare.clone()).await.unwrap();
    openssl.file("request.pem", made.pem.as_bytes());
    let text = String::from_utf8(openssl.output(&[
        "req",
        "-in",
        "request.pem",
        "-verify",
        "-noout",
        "-text",
    ]))
    .unwrap();
    assert!(!text.contains("Alternative Name"), "{text}");

    let changed = |edit: fn(&mut CreateCertificateRequestRequest)| {
        let mut request = bare.clone();
        edit(&mut request);
        request
    };
    for (request, reason) in [
        (
            changed(|csr| {
                csr.subject = vec![SubjectAttribute {
                    r#type: "DC".to_owned(),
                    value: "x".to_owned(),
                }]
            }),
            "CERTIFICATE_REQUEST_INVALID",
        ),
        (
            changed(|csr| {
                csr.subject = vec![
                    SubjectAttribute {
                        r#type: "CN".to_owned(),
                        value: "x".to_owned()
                    };
                    2
                ]
            }),
            "CERTIFICATE_REQUEST_INVALID",
        ),
        (
            changed(|csr| csr.dns_names = vec!["zürich.example".to_owned()]),
            "CERTIFICATE_REQUEST_INVALID",
        ),
        (
            changed(|csr| csr.ip_addresses = vec!["300.0.0.1".to_owned()]),
            "CERTIFICATE_REQUEST_INVALID",
        ),
        (
            changed(|csr| csr.algorithm = A::Es384.into()),
            "ALGORITHM_NOT_ALLOWED",
        ),
        (changed(|csr| csr.algorithm = 0), "ALGORITHM_UNSPECIFIED"),
        (
            changed(|csr| csr.name = "keys/nobodys".to_owned()),
            "KEY_NOT_FOUND",
        ),
        (
            changed(|csr| {
                csr.name = "keys/declared-mac".to_owned();
                csr.algorithm = A::Hs256.into();
            }),
            "CERTIFICATE_REQUEST_INVALID",
        ),
    ] {
        assert_eq!(certify(&client, request).await.unwrap_err().reason, reason);
    }
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
async fn keys_of_other_tools_are_found_and_used() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    let openssl = OpenSsl::new();
    for (id, key_type, algorithms, local) in [
        // One use only, so nothing needs to be said.
        ("made-ec", T::EcP256, &[A::Es256][..], true),
        ("made-elsewhere", T::EcP384, &[A::Es384], true),
        ("declared-rsa", T::Rsa2048, &[A::Rs256], false),
    ] {
        let key = get(&client, id).await.unwrap();
        assert_eq!(key.r#type(), key_type);
        assert_eq!(key.purpose(), KeyPurpose::Sign);
        assert_eq!(key.algorithms().collect::<Vec<_>>(), algorithms);
        assert!(key.versions[0].adopted);
        // As the token says, not as one would like to have it.
        let custody = key.versions[0].attributes.unwrap();
        assert_eq!(
            (custody.local, custody.never_extractable),
            (Some(local), Some(local)),
            "{id}"
        );
        let signature = sign(&client, id, algorithms[0]).await.unwrap();
        let pem = public_key(&client, &key.name).await.pem;
        assert!(openssl.verifies(&pem, algorithms[0], b"message", &signature));
    }
    assert_eq!(
        get(&client, "made-elsewhere").await.unwrap().token,
        "second"
    );
    assert!(sign(&client, "declared-mac", A::Hs256).await.is_ok());
    let refusal = sign(&client, "declared-rsa", A::Ps256).await.unwrap_err();
    assert_eq!(refusal.reason, "ALGORITHM_NOT_ALLOWED");

    for (id, word) in [
        ("ambiguous-rsa", "[[keys]]"),
        ("shared", "more than one token"),
        ("twin", "twin"),
        ("late-twin", "late-twin"),
    ] {
        for refusal in [
            sign(&client, id, A::Es256).await.unwrap_err(),
            get(&client, id).await.unwrap_err(),
        ] {
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::FailedPrecondition, "KEY_UNUSABLE"),
                "{id}"
            );
            assert_eq!(refusal.metadata["key"], id);
            assert!(refusal.message.contains(word), "{id}: {}", refusal.message);
        }
    }
}

#[tokio::test]
async fn a_key_made_meanwhile_is_found_at_the_next_listing() {
    let daemon = Shared::get(&DAEMON);
    let client = daemon.client("test");
    let missing = sign(&client, "made-late", A::Es256).await.unwrap_err();
    assert_eq!(
        (missing.code, missing.reason.as_str()),
        (Code::NotFound, "KEY_NOT_FOUND")
    );

    generate(daemon.token(), "made-late", "EC:prime256v1", "77");

    // By every worker, not only by the one that listed. A listing may see it half made, or, of a SoftHSM that other
    // processes write to, not at all for a moment.
    let mut signed = 0;
    for _ in 0..200 {
        match sign(&client, "made-late", A::Es256).await.err() {
            None if signed == 20 => return,
            None => signed += 1,
            Some(refusal) => {
                assert!(
                    ["KEY_NOT_FOUND", "KEY_UNUSABLE", "REFUSED_BY_TOKEN"]
                        .contains(&refusal.reason.as_str()),
                    "{refusal:?}"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    panic!("signed {signed} times");
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
