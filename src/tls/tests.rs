//! Handshakes with clients of every kind: who of them gets in, under which name, and who does not.

use std::net::SocketAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Extended, IsCa,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, NamedGroup,
    pki_types::{CertificateRevocationListDer, ServerName, pem::PemObject},
    version::TLS12,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::*;

mod files;
mod house;
mod limits;
mod reload;

use house::{Authority, House, dns, uri};

const GOOD: &str = "spiffe://example.org/payouts";

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn connect(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
}

/// What a client reads first. In TLS 1.3 its handshake ends before the server has judged it.
async fn first_byte(stream: std::io::Result<TlsStream<TcpStream>>) -> std::io::Result<u8> {
    stream?.read_u8().await
}

/// One handshake: the identity or the reason why not, and whether the client got a byte.
async fn meet(endpoint: &Arc<Endpoint>, client: ClientConfig) -> (Result<String, String>, bool) {
    let (listener, address) = listen().await;
    let client = tokio::spawn(async move { first_byte(connect(address, client).await).await });
    let (stream, address) = listener.accept().await.unwrap();
    let slot = Arc::clone(&endpoint.slots).try_acquire_owned().unwrap();
    let met = match endpoint.handshake(stream, address, slot).await {
        Ok(mut connection) => {
            connection.write_all(b"!").await.unwrap();
            connection.flush().await.unwrap();
            assert_eq!(connection.peer().address, address);
            Ok(connection.peer().identity.to_string())
        }
        Err(refused) => Err(refused.to_string()),
    };
    (met, client.await.unwrap().is_ok())
}

async fn assert_refused(endpoint: &Arc<Endpoint>, client: ClientConfig, why: &str) {
    let (met, served) = meet(endpoint, client).await;
    let reason = met.expect_err(why);
    assert!(reason.contains(why), "expected {why:?}, got {reason:?}");
    assert!(!served, "{why}: the client got an answer");
}

#[tokio::test]
async fn a_good_certificate_gets_in_under_its_name() {
    let house = House::new();
    let (met, served) = meet(&house.endpoint(), house.good_client()).await;
    assert_eq!(met.unwrap(), GOOD);
    assert!(served);
    let app = house
        .authority
        .client(|params| params.subject_alt_names = vec![dns("app.example.org")]);
    let (met, _) = meet(&house.endpoint(), house.client(Some(app))).await;
    assert_eq!(met.unwrap(), "dns:app.example.org");
}

#[tokio::test]
async fn a_client_without_a_good_certificate_is_refused() {
    let house = House::new();
    let endpoint = house.endpoint();
    assert_refused(&endpoint, house.client(None), "no certificates").await;
    let foreign = [
        (Authority::new("other").client(|_| {}), "UnknownIssuer"),
        // The name of our authority, but another key.
        (Authority::new("authority").client(|_| {}), "BadSignature"),
    ];
    for (client, why) in foreign {
        assert_refused(&endpoint, house.client(Some(client)), why).await;
    }
    type Change = fn(&mut CertificateParams);
    let own: [(Change, &str); 13] = [
        (
            |params| params.not_after = date_time_ymd(2001, 1, 1),
            "expired",
        ),
        (
            |params| params.not_before = date_time_ymd(4000, 1, 1),
            "not valid yet",
        ),
        (
            |params| params.extended_key_usages = vec![Extended::ServerAuth],
            "client auth",
        ),
        (
            |params| params.extended_key_usages = vec![Extended::Any],
            "for client authentication",
        ),
        (
            |params| params.extended_key_usages.clear(),
            "key usage is absent",
        ),
        (
            |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            "CaUsedAsEndEntity",
        ),
        (
            |params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment],
            "lacks digitalSignature",
        ),
        (|params| params.subject_alt_names.clear(), "0 URI and 0 DNS"),
        (
            |params| {
                params.subject_alt_names.clear();
                params
                    .distinguished_name
                    .push(DnType::CommonName, "app.example.org");
            },
            "0 URI and 0 DNS",
        ),
        (
            |params| params.subject_alt_names.push(uri("spiffe://example.org/b")),
            "2 URI and 0 DNS",
        ),
        (
            |params| params.subject_alt_names.push(dns("app.example.org")),
            "1 URI and 1 DNS",
        ),
        (
            |params| params.subject_alt_names = vec![uri("https://example.org/a")],
            "no other scheme",
        ),
        (
            |params| params.subject_alt_names = vec![dns("*.example.org")],
            "no wildcard",
        ),
    ];
    for (change, why) in own {
        let client = house.authority.client(change);
        assert_refused(&endpoint, house.client(Some(client)), why).await;
    }
    assert_eq!(endpoint.counters().active(), 0);
    assert_eq!(endpoint.counters().accepted(), 0);
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let house = House::new();
    let endpoint = house.endpoint();
    let client = house.authority.client(|_| {});
    let old = house.client_of_versions(Some(client), &[&TLS12]);
    assert_refused(&endpoint, old, "peer is incompatible").await;
    let mut without = house.good_client();
    without.alpn_protocols.clear();
    assert_refused(&endpoint, without, "no application protocol").await;
    let mut http_1 = house.good_client();
    http_1.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert_refused(&endpoint, http_1, "any known protocol").await;
}

#[tokio::test]
async fn tls_1_2_is_spoken_where_the_configuration_says_so() {
    let house = House::new();
    let endpoint = Endpoint::load(house.config("minimum_version = \"1.2\"")).unwrap();
    let client = || Some(house.authority.client(|_| {}));
    let old = house.client_of_versions(client(), &[&TLS12]);
    assert_eq!(meet(&endpoint, old).await.0.unwrap(), GOOD);
    let none = house.client_of_versions(None, &[&TLS12]);
    assert_refused(&endpoint, none, "no certificates").await;
    assert_eq!(meet(&endpoint, house.good_client()).await.0.unwrap(), GOOD);
}

#[tokio::test]
async fn sessions_are_not_resumed_and_keys_are_agreed_on_for_later_too() {
    let house = House::new();
    let endpoint = house.endpoint();
    let (listener, address) = listen().await;
    let stop = CancellationToken::new();
    let mut incoming = endpoint.accept(listener, stop.clone());
    let client = house.good_client();
    for _ in 0..2 {
        // The same configuration, and so the same store of sessions.
        let mut stream = connect(address, client.clone()).await.unwrap();
        let Ok(mut connection) = incoming.next().await.unwrap();
        connection.write_all(b"!").await.unwrap();
        connection.flush().await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'!');
        let session = stream.get_ref().1;
        assert_eq!(session.tls13_tickets_received(), 0);
        assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(
            session.negotiated_key_exchange_group().unwrap().name(),
            NamedGroup::X25519MLKEM768
        );
    }
    stop.cancel();
    assert!(incoming.next().await.is_none(), "stopping ends the stream");
}

#[tokio::test]
async fn a_revocation_list_is_obeyed() {
    let house = House::new();
    let with_serial = |serial: u64| {
        let client = house
            .authority
            .client(|params| params.serial_number = Some(SerialNumber::from(serial)));
        house.client(Some(client))
    };
    let endpoint = Endpoint::load(house.with_crl(&house.authority.revoke(&[7], 4000))).unwrap();
    assert_refused(&endpoint, with_serial(7), "Revoked").await;
    assert_eq!(meet(&endpoint, with_serial(8)).await.0.unwrap(), GOOD);
    let list =
        CertificateRevocationListDer::from_pem_slice(house.authority.revoke(&[8], 4000).as_bytes())
            .unwrap();
    house.write("crl.pem", &list);
    assert_eq!(endpoint.reload().unwrap(), 0);
    assert_refused(&endpoint, with_serial(8), "Revoked").await;
    // Expired, or of somebody else: nobody knows, so nobody gets in.
    let expired = Endpoint::load(house.with_crl(&house.authority.revoke(&[], 2021))).unwrap();
    assert_refused(&expired, with_serial(8), "revocation list expired").await;
    let other = Authority::new("other").revoke(&[], 4000);
    let foreign = Endpoint::load(house.with_crl(&other)).unwrap();
    assert_refused(&foreign, with_serial(8), "UnknownRevocationStatus").await;
    let twin = Authority::new("authority").revoke(&[], 4000);
    let forged = Endpoint::load(house.with_crl(&twin)).unwrap();
    assert!(meet(&forged, with_serial(8)).await.0.is_err());
}
