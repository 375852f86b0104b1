//! The public halves of keys and certificate requests for them, as openssl reads them.

use std::collections::BTreeSet;

use chancery::{
    client::{Client, Code},
    proto::v1::{
        Algorithm as A, CreateCertificateRequestRequest, CreateCertificateRequestResponse,
        GetJwksRequest, GetPublicKeyRequest, KeyType as T, SubjectAttribute,
    },
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::DAEMON;
use crate::{
    calls::{OpenSsl, base64url, create, public_key, unbase64url},
    harness::{Refusal, Shared},
};

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
