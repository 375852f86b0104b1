//! JWS: josekit verifies what the token signed and the other way round, and the message chooses nothing.

use chancery::{
    client::{Client, Code},
    proto::v1::{Algorithm as A, KeyType as T, Serialization, SignJwsRequest},
};
use josekit::{
    jwk::Jwk,
    jws::{self, JwsHeader, JwsSigner, JwsVerifier},
};
use serde_json::{Value, json};

use super::{PEERS, public_jwk, secret, verify};
use crate::{
    calls::{base64url, create_once, public_key, unbase64url},
    harness::{Refusal, Shared},
};

fn signer(algorithm: A, jwk: &Jwk) -> Box<dyn JwsSigner> {
    match algorithm {
        A::Rs256 => Box::new(jws::RS256.signer_from_jwk(jwk).unwrap()),
        A::Rs384 => Box::new(jws::RS384.signer_from_jwk(jwk).unwrap()),
        A::Rs512 => Box::new(jws::RS512.signer_from_jwk(jwk).unwrap()),
        A::Ps256 => Box::new(jws::PS256.signer_from_jwk(jwk).unwrap()),
        A::Ps384 => Box::new(jws::PS384.signer_from_jwk(jwk).unwrap()),
        A::Ps512 => Box::new(jws::PS512.signer_from_jwk(jwk).unwrap()),
        A::Es256 => Box::new(jws::ES256.signer_from_jwk(jwk).unwrap()),
        A::Es384 => Box::new(jws::ES384.signer_from_jwk(jwk).unwrap()),
        A::Es512 => Box::new(jws::ES512.signer_from_jwk(jwk).unwrap()),
        A::Eddsa => Box::new(jws::EdDSA.signer_from_jwk(jwk).unwrap()),
        A::Hs256 => Box::new(jws::HS256.signer_from_jwk(jwk).unwrap()),
        A::Hs384 => Box::new(jws::HS384.signer_from_jwk(jwk).unwrap()),
        A::Hs512 => Box::new(jws::HS512.signer_from_jwk(jwk).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn verifier(algorithm: A, jwk: &Jwk) -> Box<dyn JwsVerifier> {
    match algorithm {
        A::Rs256 => Box::new(jws::RS256.verifier_from_jwk(jwk).unwrap()),
        A::Rs384 => Box::new(jws::RS384.verifier_from_jwk(jwk).unwrap()),
        A::Rs512 => Box::new(jws::RS512.verifier_from_jwk(jwk).unwrap()),
        A::Ps256 => Box::new(jws::PS256.verifier_from_jwk(jwk).unwrap()),
        A::Ps384 => Box::new(jws::PS384.verifier_from_jwk(jwk).unwrap()),
        A::Ps512 => Box::new(jws::PS512.verifier_from_jwk(jwk).unwrap()),
        A::Es256 => Box::new(jws::ES256.verifier_from_jwk(jwk).unwrap()),
        A::Es384 => Box::new(jws::ES384.verifier_from_jwk(jwk).unwrap()),
        A::Es512 => Box::new(jws::ES512.verifier_from_jwk(jwk).unwrap()),
        A::Eddsa => Box::new(jws::EdDSA.verifier_from_jwk(jwk).unwrap()),
        A::Hs256 => Box::new(jws::HS256.verifier_from_jwk(jwk).unwrap()),
        A::Hs384 => Box::new(jws::HS384.verifier_from_jwk(jwk).unwrap()),
        A::Hs512 => Box::new(jws::HS512.verifier_from_jwk(jwk).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn sign_request(key: &str, algorithm: A, payload: &[u8]) -> SignJwsRequest {
    SignJwsRequest {
        name: format!("keys/{key}"),
        algorithm: algorithm.into(),
        payload: payload.to_vec().into(),
        serialization: Serialization::Compact.into(),
        ..SignJwsRequest::default()
    }
}

async fn sign(client: &Client, request: SignJwsRequest) -> Result<String, Refusal> {
    let response = client.jose().sign_jws(request).await;
    response
        .map(|response| response.into_inner().jws)
        .map_err(|status| Refusal::of(&status))
}

#[tokio::test]
async fn josekit_verifies_what_the_token_signed_and_the_other_way_round() {
    let daemon = Shared::get(&PEERS);
    let client = daemon.client("test");
    let rsa = [A::Rs256, A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512];
    create_once(&client, "jws-rsa", T::Rsa2048, &rsa).await;
    create_once(&client, "jws-p256", T::EcP256, &[A::Es256]).await;
    create_once(&client, "jws-p384", T::EcP384, &[A::Es384]).await;
    create_once(&client, "jws-p521", T::EcP521, &[A::Es512]).await;
    create_once(&client, "jws-ed", T::Ed25519, &[A::Eddsa]).await;
    let pairs = rsa
        .into_iter()
        .map(|algorithm| ("jws-rsa", algorithm))
        .chain([
            ("jws-p256", A::Es256),
            ("jws-p384", A::Es384),
            ("jws-p521", A::Es512),
            ("jws-ed", A::Eddsa),
            ("hs256", A::Hs256),
            ("hs384", A::Hs384),
            ("hs512", A::Hs512),
        ]);
    for (key, algorithm) in pairs {
        let shared = match algorithm {
            A::Hs256 => Some(secret(32)),
            A::Hs384 => Some(secret(48)),
            A::Hs512 => Some(secret(64)),
            _ => None,
        };
        let jwk = match &shared {
            Some(jwk) => jwk.clone(),
            None => public_jwk(&client, key).await,
        };
        for payload in [&b""[..], b"payload", &[0xff; 5000]] {
            let text = sign(&client, sign_request(key, algorithm, payload))
                .await
                .unwrap();
            let (read, header) =
                jws::deserialize_compact(&text, &*verifier(algorithm, &jwk)).unwrap();
            assert_eq!(read, payload);
            assert_eq!(header.key_id(), jwk.key_id());
            let verdict = verify(&client, key, &text, None).await.unwrap();
            assert!(verdict.valid && verdict.payload == payload);
        }
        // josekit signs with a secret that the token has too.
        if let Some(jwk) = shared {
            let text =
                jws::serialize_compact(b"theirs", &JwsHeader::new(), &*signer(algorithm, &jwk))
                    .unwrap();
            let verdict = verify(&client, key, &text, None).await.unwrap();
            assert!(verdict.valid && verdict.payload == b"theirs"[..]);
        }
    }
}

/// A public key is never taken for a secret, and `alg` never for more than the key's record says.
#[tokio::test]
async fn the_message_does_not_choose_its_algorithm() {
    let daemon = Shared::get(&PEERS);
    let client = daemon.client("test");
    create_once(&client, "confused", T::Rsa2048, &[A::Rs256]).await;
    create_once(&client, "confused-ec", T::EcP256, &[A::Es256]).await;
    for key in ["confused", "confused-ec"] {
        let public = public_key(&client, &format!("keys/{key}")).await;
        for bytes in [
            public.pem.as_bytes(),
            public.pem.trim_end().as_bytes(),
            &public.der,
            public.jwk.as_bytes(),
        ] {
            let signer = jws::HS256.signer_from_bytes(bytes).unwrap();
            let forged = jws::serialize_compact(b"forged", &JwsHeader::new(), &signer).unwrap();
            let refusal = verify(&client, key, &forged, None).await.unwrap_err();
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::InvalidArgument, "ALGORITHM_NOT_ALLOWED")
            );
        }
    }
    let good = sign(&client, sign_request("confused", A::Rs256, b"payload"))
        .await
        .unwrap();
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!()
    };
    let header: Value = serde_json::from_slice(&unbase64url(header)).unwrap();
    for (alg, reason) in [
        ("none", "JWS_ALGORITHM"),
        ("None", "JWS_ALGORITHM"),
        ("RS1", "JWS_ALGORITHM"),
        ("PS256", "ALGORITHM_NOT_ALLOWED"),
        ("HS256", "ALGORITHM_NOT_ALLOWED"),
        ("ES256", "ALGORITHM_NOT_ALLOWED"),
        ("RSA-OAEP", "JWS_ALGORITHM"),
    ] {
        let mut changed = header.clone();
        changed["alg"] = json!(alg);
        for signature in [signature, "AA", ""] {
            let text = format!("{}.{payload}.{signature}", base64url(changed.to_string()));
            let refusal = verify(&client, "confused", &text, None).await.unwrap_err();
            let reasons = [reason, "JWS_SIGNATURE_MISSING"];
            assert!(
                reasons.contains(&refusal.reason.as_str()),
                "{alg} {signature:?}: {refusal:?}"
            );
            assert_eq!(refusal.code, Code::InvalidArgument);
        }
    }
    // A key that came along is not looked at; a header that is not understood is not passed over.
    let stranger = Jwk::generate_rsa_key(2048).unwrap();
    let mut embedded = JwsHeader::new();
    embedded.set_jwk(stranger.to_public_key().unwrap());
    let text = jws::serialize_compact(b"forged", &embedded, &*signer(A::Rs256, &stranger)).unwrap();
    assert!(
        !verify(&client, "confused", &text, None)
            .await
            .unwrap()
            .valid
    );
    // What the caller may not say about itself.
    for (header, reason) in [
        (r#"{"alg":"none"}"#, "JOSE_HEADER_INVALID"),
        (r#"{"b64":false}"#, "JOSE_HEADER_INVALID"),
        (r#"{"jwk":{}}"#, "JOSE_HEADER_INVALID"),
        (r#"{"crit":["exp"]}"#, "JOSE_HEADER_INVALID"),
        (r#"{"a":1,"a":2}"#, "JOSE_HEADER_INVALID"),
        ("[]", "JOSE_HEADER_INVALID"),
    ] {
        let request = SignJwsRequest {
            protected_header: header.to_owned(),
            ..sign_request("confused", A::Rs256, b"x")
        };
        assert_eq!(
            sign(&client, request).await.unwrap_err().reason,
            reason,
            "{header}"
        );
    }
    let unspecified = SignJwsRequest {
        serialization: 0,
        ..sign_request("confused", A::Rs256, b"x")
    };
    assert_eq!(
        sign(&client, unspecified).await.unwrap_err().reason,
        "SERIALIZATION_UNSPECIFIED"
    );
}

#[tokio::test]
async fn every_form_of_a_jws_comes_back_as_it_was_signed() {
    let daemon = Shared::get(&PEERS);
    let client = daemon.client("test");
    for serialization in [
        Serialization::Compact,
        Serialization::FlattenedJson,
        Serialization::GeneralJson,
    ] {
        for (detached, unencoded) in [(false, false), (true, false), (true, true), (false, true)] {
            let request = SignJwsRequest {
                serialization: serialization.into(),
                detached,
                unencoded_payload: unencoded,
                protected_header: r#"{"typ":"example","iat":1}"#.to_owned(),
                ..sign_request("hs256", A::Hs256, b"payload_of-text~")
            };
            let text = sign(&client, request).await.unwrap();
            let payload = detached.then_some(&b"payload_of-text~"[..]);
            let verdict = verify(&client, "hs256", &text, payload).await.unwrap();
            assert!(verdict.valid, "{text}");
            assert_eq!(verdict.payload, b"payload_of-text~"[..]);
            let header: Value = serde_json::from_str(&verdict.protected_header).unwrap();
            assert_eq!(
                (&header["typ"], &header["iat"]),
                (&json!("example"), &json!(1))
            );
            if detached {
                assert!(
                    !verify(&client, "hs256", &text, Some(b"another"))
                        .await
                        .unwrap()
                        .valid
                );
            } else {
                let refusal = verify(&client, "hs256", &text, Some(b"payload_of-text~"))
                    .await
                    .unwrap_err();
                assert_eq!(refusal.reason, "JWS_PAYLOAD_TWICE");
            }
        }
    }
}
