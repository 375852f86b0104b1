//! The fixtures themselves, as OpenSSL and OpenSC see them.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::{
    pki::{Bad, Leaf, Pki},
    softhsm::{Secret, Token},
};

#[test]
fn a_new_token_holds_what_was_imported() {
    let token = Token::new("fixture");
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    token.import_pkcs8("payouts/1", "a1b2", &pem);
    token.import_secret("callbacks/1", &[7; 32], Secret::Generic);
    token.import_secret("wrapping/1", &[9; 32], Secret::Aes);

    let output = token.pkcs11_tool(&["--list-objects"]);
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{listed}");
    for expected in [
        "Private Key Object; EC",
        "Public Key Object; EC  EC_POINT 256 bits",
        "payouts/1",
        "ID:         a1b2",
        "Secret Key Object; Generic secret length 32",
        "callbacks/1",
        "Secret Key Object; AES length 32",
        "wrapping/1",
    ] {
        assert!(
            listed.contains(expected),
            "{expected} is missing in\n{listed}"
        );
    }
    let mode = fs::metadata(token.pin_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o400);
}

#[test]
fn an_imported_secret_makes_the_mac_of_rfc_4231() {
    let token = Token::new("fixture");
    // Test case 1; its key is zero padded to the length that SoftHSM wants, which gives the same MAC.
    let mut key = [0; 32];
    key[..20].fill(0x0b);
    token.import_secret("callbacks/1", &key, Secret::Generic);
    let input = token.directory().join("input");
    fs::write(&input, "Hi There").unwrap();
    let mut arguments = vec![
        "--sign",
        "--mechanism",
        "SHA256-HMAC",
        "--label",
        "callbacks/1",
    ];
    arguments.extend(["--input-file", input.to_str().unwrap()]);

    let output = token.pkcs11_tool(&arguments);

    assert_eq!(
        hex::encode(output.stdout),
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    );
}

#[test]
fn openssl_takes_the_good_ones() {
    let pki = Pki::new();
    let client = pki.client("payouts");
    assert!(verify(&pki, "sslserver", pki.server()).ends_with(": OK\n"));
    assert!(verify(&pki, "sslclient", &client).ends_with(": OK\n"));
    assert!(names(pki.server()).contains("DNS:localhost, IP Address:127.0.0.1"));
    assert!(names(&client).contains("URI:spiffe://chancery.test/payouts\n"));
    let key = openssl(&["pkey", "-pubout", "-in"], &[&client.key]);
    let cert = openssl(&["x509", "-noout", "-pubkey", "-in"], &[&client.cert]);
    assert_eq!(key, cert);
}

#[test]
fn each_bad_one_is_bad_in_its_own_way() {
    let pki = Pki::new();
    for fault in Bad::ALL {
        let leaf = pki.bad(fault, "payouts");
        let verdict = verify(&pki, "sslclient", &leaf);
        let names = names(&leaf);
        let uris = names.matches("URI:spiffe://").count();
        match fault {
            Bad::WrongCa => assert!(verdict.contains("verification failed"), "{verdict}"),
            Bad::Expired => assert!(verdict.contains("has expired"), "{verdict}"),
            Bad::NotYetValid => assert!(verdict.contains("not yet valid"), "{verdict}"),
            Bad::WrongUsage => assert!(verdict.contains("purpose"), "{verdict}"),
            Bad::NoSan => assert!(!names.contains("payouts") && uris == 0, "{names}"),
            Bad::TwoSans => assert_eq!(uris, 2, "{names}"),
            Bad::CommonNameOnly => {
                assert!(names.contains("CN = payouts") && uris == 0, "{names}");
            }
            Bad::DnsSan => {
                assert!(names.contains("DNS:payouts.chancery.test"), "{names}");
                assert_eq!(uris, 0, "{names}");
            }
        }
    }
}

#[test]
fn a_list_revokes_the_certificates_it_names() {
    let pki = Pki::new();
    let (kept, revoked) = (pki.client("kept"), pki.client("revoked"));
    let crl = pki.crl(&[revoked.serial]);
    let check = |leaf: &Leaf| {
        let ca = pki.ca();
        let ca = ca.to_str().unwrap();
        let arguments = ["verify", "-crl_check", "-CAfile", ca, "-CRLfile"];
        openssl(&arguments, &[&crl, &leaf.cert])
    };
    assert!(check(&kept).ends_with(": OK\n"), "{}", check(&kept));
    assert!(check(&revoked).contains("certificate revoked"));
}

fn openssl(arguments: &[&str], files: &[&Path]) -> String {
    let mut command = Command::new("openssl");
    let output = command.args(arguments).args(files).output().unwrap();
    [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .concat()
}

fn verify(pki: &Pki, purpose: &str, leaf: &Leaf) -> String {
    let ca = pki.ca();
    let arguments = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile"];
    openssl(&arguments, &[&ca, &leaf.cert])
}

fn names(leaf: &Leaf) -> String {
    let arguments = ["x509", "-noout", "-subject", "-ext", "subjectAltName"];
    openssl(&[&arguments[..], &["-in"]].concat(), &[&leaf.cert])
}
