//! Content keys that prove their origin, as UPay's overview has it: made in the token and recovered by openssl, made
//! by another library and recovered by the daemon.

use std::io::{Read, Write};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use chancery::proto::v1::{
    Algorithm, ExplainHttpMessageRequest, GetPartnerRequest, HttpResponse, SignHttpRequestRequest,
    Verdict, Verification, VerifyHttpResponseRequest, explain_http_message_request::Call,
};
use flate2::{read::DeflateDecoder, write::DeflateEncoder};
use hmac::{Hmac, KeyInit, Mac};
use rsa::{Pkcs1v15Sign, RsaPrivateKey, pkcs8::DecodePrivateKey};
use sha2::Sha256;

use crate::{
    calls::OpenSsl,
    platform::world::{Held, World, header, request},
    softhsm::Token,
};

const BODY: &[u8] = br#"{"name":"Bob","amount":20.00}"#;
const SECRET: &[u8] = b"a secret in common with nobody else";

#[tokio::test]
async fn a_private_key_in_the_token_makes_what_the_public_key_opens() {
    let openssl = OpenSsl::new();
    let (ours, platform) = (pair(&openssl, "ours"), pair(&openssl, "platform"));
    let world = world(&ours, &platform).await;
    let client = world.client();
    let asked = SignHttpRequestRequest {
        partner: "partners/upay".to_owned(),
        request: Some(request("POST", "https://h/api/v1/customer/add", &[], BODY)),
        ..SignHttpRequestRequest::default()
    };
    let answer = client.platform().sign_http_request(asked.clone()).await;
    let sent = answer.unwrap().into_inner().request.unwrap();

    // openssl recovers the content key with our public key, and the JWE opens with it.
    let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    let jwe = body["payload"].as_str().unwrap();
    let parts: Vec<_> = jwe.split('.').collect();
    let decoded = |index: usize| BASE64_URL_SAFE_NO_PAD.decode(parts[index]).unwrap();
    let protected: serde_json::Value = serde_json::from_slice(&decoded(0)).unwrap();
    assert_eq!(protected["alg"], "RSA1_5-PRIVATE");
    assert_eq!(protected["enc"], "A128GCM");
    openssl.file("sealed", &decoded(1));
    let recover = ["pkeyutl", "-verifyrecover", "-pubin", "-inkey", "ours.pub"];
    let padding = ["-pkeyopt", "rsa_padding_mode:pkcs1", "-in", "sealed"];
    let content_key = openssl.output(&[&recover[..], &padding].concat());
    let mut text = [decoded(3), decoded(4)].concat();
    let opened = gcm(&content_key)
        .open_in_place(
            Nonce::try_assume_unique_for_key(&decoded(2)).unwrap(),
            Aad::from(parts[0]),
            &mut text,
        )
        .unwrap();
    let mut plaintext = Vec::new();
    DeflateDecoder::new(&*opened)
        .read_to_end(&mut plaintext)
        .unwrap();
    assert_eq!(plaintext, BODY);

    // The signature is over the plaintext.
    let value = |name: &str| {
        let mut headers = sent.headers.iter();
        headers.find(|one| one.name == name).unwrap().value.clone()
    };
    let string = format!(
        "POST|/api/v1/customer/add|{}|{}|amount=20.00&name=Bob",
        value("X-UPA-TIMESTAMP"),
        value("X-UPA-REQUESTID")
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(string.as_bytes());
    let expected = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(value("X-UPA-SIGN"), expected);

    // Another message has another content key.
    let again = client.platform().sign_http_request(asked.clone()).await;
    let again = again.unwrap().into_inner().request.unwrap().body;
    let again: serde_json::Value = serde_json::from_slice(&again).unwrap();
    let again = again["payload"].as_str().unwrap().split('.').nth(1);
    assert_ne!(again, Some(parts[1]));

    // An explanation uses no key.
    let explain = ExplainHttpMessageRequest {
        call: Some(Call::SignRequest(asked)),
    };
    let explained = client.platform().explain_http_message(explain).await;
    let explained = explained.unwrap().into_inner();
    assert_eq!(explained.reason, "", "{explained:?}");
    let string = String::from_utf8(explained.strings_to_sign[0].to_vec()).unwrap();
    assert!(string.ends_with("|amount=20.00&name=Bob"), "{string}");
}

#[tokio::test]
async fn the_partners_public_key_opens_what_its_private_key_made_and_makes_nothing_authentic() {
    let openssl = OpenSsl::new();
    let (ours, platform) = (pair(&openssl, "ours"), pair(&openssl, "platform"));
    let world = world(&ours, &platform).await;
    let plaintext = br#"{"customerId":"c-1"}"#;
    let good = sealed(&platform.0, plaintext);
    let found = answer(&world, &good).await;
    // What was recovered is for everybody to make: no signature, no VALID.
    assert_eq!(found.verdict(), Verdict::Unsigned, "{found:?}");
    assert_eq!(&*found.decrypted, plaintext);

    let mut answers = Vec::new();
    let parts: Vec<_> = good.split('.').collect();
    let other_tag = [&parts[..4], &["AAAAAAAAAAAAAAAAAAAAAA"]]
        .concat()
        .join(".");
    let no_key = [&parts[..1], &[""], &parts[2..]].concat().join(".");
    for bad in [
        sealed(&ours.0, plaintext),
        sealed(&platform.0, &vec![b' '; 40 << 20]),
        other_tag,
        no_key,
        "a.b.c.d.e".to_owned(),
    ] {
        let found = answer(&world, &bad).await;
        assert!(found.decrypted.is_empty());
        answers.push((found.verdict(), found.reason, found.message));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(
        (answers[0].0, answers[0].1.as_str()),
        (Verdict::Invalid, "DECRYPTION_FAILED")
    );
}

#[tokio::test]
async fn a_key_that_signs_is_not_ready_to_prove_origin() {
    let openssl = OpenSsl::new();
    let (ours, platform) = (pair(&openssl, "ours"), pair(&openssl, "platform"));
    let world = world(&ours, &platform).await;
    let client = world.client();
    let request = GetPartnerRequest {
        name: "partners/signs".to_owned(),
    };
    let partner = client.partners().get_partner(request).await.unwrap();
    let partner = partner.into_inner().partner.unwrap();
    let mut keys = partner.schemes[0].keys.iter();
    let key = keys.find(|key| key.role == "encryption").unwrap();
    assert!(
        !key.ready && key.problem.contains("prove-origin"),
        "{key:?}"
    );
}

/// What becomes of an answer with this payload.
async fn answer(world: &World, jwe: &str) -> Verification {
    let body = format!(r#"{{"code":"1","data":{{"payload":"{jwe}"}}}}"#);
    let asked = VerifyHttpResponseRequest {
        partner: "partners/upay".to_owned(),
        response: Some(HttpResponse {
            status_code: 200,
            headers: vec![header("X-UPA-REQUESTID", "r-1")],
            body: body.into(),
        }),
        inputs: [("request_id".to_owned(), "r-1".to_owned())].into(),
        ..VerifyHttpResponseRequest::default()
    };
    let client = world.client();
    let answer = client.platform().verify_http_response(asked).await;
    answer.unwrap().into_inner().verification.unwrap()
}

/// The message that another library makes with a private key.
fn sealed(private: &str, plaintext: &[u8]) -> String {
    let key = RsaPrivateKey::from_pkcs8_pem(private).unwrap();
    let (content_key, iv) = ([0xc0; 16], [0x11; 12]);
    let header = br#"{"alg":"RSA1_5-PRIVATE","enc":"A128GCM","zip":"DEF"}"#;
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let header = encode(header);
    let proof = key.sign(Pkcs1v15Sign::new_unprefixed(), &content_key);
    let mut deflate = DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflate.write_all(plaintext).unwrap();
    let mut text = deflate.finish().unwrap();
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = gcm(&content_key)
        .seal_in_place_separate_tag(nonce, Aad::from(&header), &mut text)
        .unwrap();
    [
        header.clone(),
        encode(&proof.unwrap()),
        encode(&iv),
        encode(&text),
        encode(tag.as_ref()),
    ]
    .join(".")
}

fn gcm(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).unwrap())
}

/// A private key and its public half, PEM; the latter also as a file.
fn pair(openssl: &OpenSsl, name: &str) -> (String, String) {
    let bits = ["-pkeyopt", "rsa_keygen_bits:2048"];
    let private = openssl.output(&[&["genpkey", "-algorithm", "RSA"], &bits[..]].concat());
    let file = openssl.file(&format!("{name}.pem"), &private);
    let public = openssl.output(&["pkey", "-in", file.to_str().unwrap(), "-pubout"]);
    openssl.file(&format!("{name}.pub"), &public);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(private), text(public))
}

async fn world(ours: &(String, String), platform: &(String, String)) -> World {
    let head = |name: &str| {
        format!(
            "[partner]\nname = {name:?}\ntitle = \"t\"\n[constants]\napi_key = \"k\"\n[keys.signing]\nkey = \"secret\"\n"
        )
    };
    let pem = &platform.1;
    let upay = format!(
        "{}[schemes.upay-request-private]\nkeys.encryption = {{ key = \"origin\" }}\n[schemes.upay-response-private.keys.platform]\npublic_keys = [{{ pem = '''\n{pem}''' }}]\n",
        head("upay")
    );
    let signs = format!(
        "{}[schemes.upay-request-private]\nkeys.encryption = {{ key = \"signs\" }}\n",
        head("signs")
    );
    let token = Token::new("origin");
    token.import_pkcs8("origin", "01", &ours.0);
    token.import_pkcs8("signs", "02", &platform.0);
    let partners = [("upay".to_owned(), upay), ("signs".to_owned(), signs)];
    let world = World::with(&partners, token, KEYS);
    let held = Held {
        name: "secret",
        algorithm: Algorithm::Hs256,
        secret: SECRET,
        readable: false,
    };
    world.import(held).await;
    world
}

const KEYS: &str = r#"
[[keys]]
name = "origin"
purpose = "prove-origin"
algorithms = ["RSA1_5-PRIVATE"]

[[keys]]
name = "signs"
purpose = "sign"
algorithms = ["RS256"]
"#;
