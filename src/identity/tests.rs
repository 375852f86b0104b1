//! Names by their grammar, and certificates made for each fault.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose as Extended,
    IsCa, KeyPair, KeyUsagePurpose as Usage, SanType,
};

use super::*;

const GOOD: &str = "spiffe://example.org/payouts";

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn client(names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.extended_key_usages = vec![Extended::ClientAuth];
    params
}

fn der(params: CertificateParams) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn read_back(params: CertificateParams) -> Result<String, IdentityError> {
    Identity::from_certificate(&der(params)).map(|identity| identity.to_string())
}

#[test]
fn one_uri_or_one_host_is_the_identity() {
    assert_eq!(read_back(client(vec![uri(GOOD)])).unwrap(), GOOD);
    assert_eq!(
        read_back(client(vec![dns("app.example.org")])).unwrap(),
        "dns:app.example.org"
    );
}

#[test]
fn names_of_other_types_are_neither_identities_nor_in_the_way() {
    let address = SanType::IpAddress([127, 0, 0, 1].into());
    assert_eq!(
        read_back(client(vec![address.clone(), uri(GOOD)])).unwrap(),
        GOOD
    );
    assert_eq!(
        read_back(client(vec![address])),
        Err(IdentityError::Names { uris: 0, dns: 0 })
    );
}

#[test]
fn no_name_or_several_is_refused() {
    for (names, uris, hosts) in [
        (vec![], 0, 0),
        (vec![uri(GOOD), uri("spiffe://example.org/other")], 2, 0),
        (vec![uri(GOOD), uri(GOOD)], 2, 0),
        (vec![dns("a.example.org"), dns("b.example.org")], 0, 2),
        (vec![uri(GOOD), dns("a.example.org")], 1, 1),
    ] {
        assert_eq!(
            read_back(client(names)),
            Err(IdentityError::Names { uris, dns: hosts })
        );
    }
}

#[test]
fn a_common_name_is_no_identity() {
    let mut params = client(vec![]);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "app.example.org");
    assert_eq!(
        read_back(params),
        Err(IdentityError::Names { uris: 0, dns: 0 })
    );
}

#[test]
fn a_name_outside_the_grammar_is_refused() {
    for name in [
        uri("https://example.org/payouts"),
        uri("dns:app.example.org"),
        uri("spiffe://Example.org/payouts"),
        uri("SPIFFE://example.org/payouts"),
        dns("*.example.org"),
        dns("App.example.org"),
        dns(""),
        dns("a\0.example.org"),
    ] {
        let shown = format!("{name:?}");
        assert!(
            matches!(read_back(client(vec![name])), Err(IdentityError::Name(_))),
            "{shown}"
        );
    }
}

#[test]
fn only_a_certificate_for_clients_makes_an_identity() {
    let mut server = client(vec![uri(GOOD)]);
    server.extended_key_usages = vec![Extended::ServerAuth];
    assert_eq!(
        read_back(server),
        Err(IdentityError::ExtendedKeyUsage("another"))
    );
    let mut any = client(vec![uri(GOOD)]);
    any.extended_key_usages = vec![Extended::Any];
    assert_eq!(
        read_back(any),
        Err(IdentityError::ExtendedKeyUsage("anyExtendedKeyUsage"))
    );
    let mut absent = client(vec![uri(GOOD)]);
    absent.extended_key_usages.clear();
    assert_eq!(
        read_back(absent),
        Err(IdentityError::ExtendedKeyUsage("absent"))
    );
    let mut both = client(vec![uri(GOOD)]);
    both.extended_key_usages = vec![Extended::ServerAuth, Extended::ClientAuth];
    assert!(read_back(both).is_ok());
}

#[test]
fn an_authority_is_no_client() {
    let mut params = client(vec![uri(GOOD)]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(read_back(params), Err(IdentityError::Authority));
    let mut explicit = client(vec![uri(GOOD)]);
    explicit.is_ca = IsCa::ExplicitNoCa;
    assert!(read_back(explicit).is_ok());
}

#[test]
fn a_key_usage_that_is_there_must_be_a_clients() {
    let with = |usages| {
        let mut params = client(vec![uri(GOOD)]);
        params.key_usages = usages;
        read_back(params)
    };
    assert!(with(vec![Usage::DigitalSignature]).is_ok());
    assert!(matches!(
        with(vec![Usage::KeyEncipherment]),
        Err(IdentityError::KeyUsage(_))
    ));
    assert!(matches!(
        with(vec![Usage::DigitalSignature, Usage::KeyCertSign]),
        Err(IdentityError::KeyUsage(_))
    ));
}

/// Basic constraints that can't be read must not count as absent.
#[test]
fn unreadable_extensions_are_refused() {
    for (id, content) in [
        (&[2, 5, 29, 19][..], vec![0x01, 0x01, 0xff]),
        (&[2, 5, 29, 15][..], vec![0x04, 0x00]),
    ] {
        let mut params = client(vec![uri(GOOD)]);
        params.custom_extensions = vec![CustomExtension::from_oid_content(id, content)];
        assert!(
            matches!(read_back(params), Err(IdentityError::Extension(_))),
            "{id:?}"
        );
    }
    let mut twice = client(vec![uri(GOOD)]);
    // A second subject alternative name extension, of one URI.
    let second = [&[0x30, 0x1e, 0x86, 0x1c][..], GOOD.as_bytes()].concat();
    twice.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], second)];
    assert!(matches!(
        read_back(twice),
        Err(IdentityError::Extension("subject alternative name"))
    ));
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    let good = der(client(vec![uri(GOOD)]));
    assert!(Identity::from_certificate(&good).is_ok());
    assert!(Identity::from_certificate(&[]).is_err());
    assert!(Identity::from_certificate(&good[..good.len() - 1]).is_err());
    assert!(Identity::from_certificate(&[&good[..], &[0]].concat()).is_err());
    for index in 0..good.len() {
        let mut broken = good.clone();
        broken[index] ^= 0x81;
        // No panic, whatever it says.
        let _ = Identity::from_certificate(&broken);
    }
}

#[test]
fn the_fingerprint_is_of_the_whole_certificate() {
    let good = der(client(vec![uri(GOOD)]));
    let identity = Identity::from_certificate(&good).unwrap();
    let expected: [u8; 32] = Sha256::digest(&good).into();
    assert_eq!(identity.certificate_sha256(), &expected);
}

/// Cases from the SPIFFE-ID standard, section 2.
#[test]
fn names_are_what_the_grammar_says() {
    let long_path = format!("spiffe://example.org/{}", "a".repeat(2048 - 21));
    for good in [
        GOOD,
        "spiffe://example.org/a/b/c",
        "spiffe://1.2.3.4/x",
        "spiffe://a_b-c/X.y_Z-0",
        "spiffe://example.org/...",
        long_path.as_str(),
        "dns:localhost",
        "dns:a-1.example.org",
        "dns:xn--bcher-kva.example",
    ] {
        assert!(good.parse::<IdentityName>().is_ok(), "{good}");
    }
    let too_long = format!("{long_path}a");
    let long_label = format!("dns:{}.org", "a".repeat(64));
    let long_host = format!("dns:{}a", "a.".repeat(127));
    for bad in [
        "",
        "payouts",
        "spiffe:",
        "spiffe://",
        "spiffe:///payouts",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org/a/",
        "spiffe://example.org//a",
        "spiffe://example.org/./a",
        "spiffe://example.org/a/..",
        "spiffe://example.org/%61",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "spiffe://example.org:443/a",
        "spiffe://user@example.org/a",
        "spiffe://EXAMPLE.org/a",
        "spiffe://example.org/ä",
        "spiffe://example.org/a*",
        "spiffe://example.org/a\n",
        "SPIFFE://example.org/a",
        too_long.as_str(),
        "https://example.org/a",
        "dns:",
        "dns:.org",
        "dns:example.org.",
        "dns:-a.org",
        "dns:a-.org",
        "dns:a_b.org",
        "dns:*.example.org",
        "dns:Example.org",
        "dns:a b",
        long_label.as_str(),
        long_host.as_str(),
    ] {
        assert!(bad.parse::<IdentityName>().is_err(), "{bad}");
    }
}
