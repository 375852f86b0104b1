//! A development authority, clients of every kind, and who of them gets in.

use std::{fs, io::ErrorKind, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose as Extended, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, NamedGroup, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer,
        ServerName, pem::PemObject,
    },
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::*;

const GOOD: &str = "spiffe://example.org/payouts";

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

/// The files of a server, and the authority that signed them all.
struct House {
    directory: TempDir,
    authority: Authority,
}

/// A client's certificate and key.
struct Client {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn client(&self, change: impl FnOnce(&mut CertificateParams)) -> Client {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri(GOOD)];
        params.extended_key_usages = vec![Extended::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Client {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    fn revoke(&self, serials: &[u64], next_update: i32) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(next_update, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

impl House {
    fn new() -> Self {
        let house = Self {
            directory: TempDir::new().unwrap(),
            authority: Authority::new("authority"),
        };
        house.write("ca.pem", &house.authority.pem);
        house.write_server();
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As an administrator's tools do: a new file takes the old one's place.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let new = self.path("new");
        fs::write(&new, content).unwrap();
        set_mode(&new, 0o600);
        fs::rename(new, self.path(name)).unwrap();
    }

    fn write_server(&self) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![Extended::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority.issuer).unwrap();
        self.write("server.pem", certificate.pem());
        self.write("server.key", key.serialize_pem());
    }

    fn config(&self, more: &str) -> Config {
        let in_here = |name: &str| self.path(name).display().to_string();
        let text = format!(
            "certificate = {:?}\nprivate_key = {:?}\nclient_ca = {:?}\n{more}",
            in_here("server.pem"),
            in_here("server.key"),
            in_here("ca.pem"),
        );
        toml::from_str(&text).unwrap()
    }

    fn with_crl(&self, crl: &str) -> Config {
        self.write("crl.pem", crl);
        Config {
            crl: vec![self.path("crl.pem")],
            ..self.config("")
        }
    }

    fn endpoint(&self) -> Arc<Endpoint> {
        Endpoint::load(self.config("")).unwrap()
    }

    fn good_client(&self) -> ClientConfig {
        self.client(Some(self.authority.client(|_| {})))
    }

    fn client(&self, client: Option<Client>) -> ClientConfig {
        self.client_of_versions(client, &[&TLS13])
    }

    fn client_of_versions(
        &self,
        client: Option<Client>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            Some(Client { chain, key }) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

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

#[tokio::test]
async fn a_silent_peer_holds_up_nobody_and_is_dropped_in_the_end() {
    let house = House::new();
    let endpoint = Endpoint::load(house.config("handshake_timeout_seconds = 4")).unwrap();
    let (listener, address) = listen().await;
    let mut incoming = endpoint.accept(listener, CancellationToken::new());
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let _client = connect(address, house.good_client()).await.unwrap();
    let Ok(connection) = incoming.next().await.unwrap();
    assert_eq!(connection.peer().identity.name().as_str(), GOOD);
    // It did not wait for any of them.
    assert_eq!(endpoint.counters().handshake_failures(), 0);
    for mut peer in silent {
        // Closed, or reset; either way there is an end.
        assert!(!matches!(peer.read(&mut [0]).await, Ok(1..)));
    }
    assert_eq!(endpoint.counters().handshake_failures(), 50);
    assert_eq!(endpoint.counters().active(), 1);
}

#[tokio::test]
async fn connections_over_the_cap_are_shed_until_one_ends() {
    let house = House::new();
    let endpoint = Endpoint::load(house.config("max_connections = 1")).unwrap();
    let (listener, address) = listen().await;
    let mut incoming = endpoint.accept(listener, CancellationToken::new());
    let _client = connect(address, house.good_client()).await.unwrap();
    let Ok(first) = incoming.next().await.unwrap();
    assert!(connect(address, house.good_client()).await.is_err());
    assert_eq!(endpoint.counters().shed(), 1);
    drop(first);
    assert_eq!(endpoint.counters().active(), 0);
    let _client = connect(address, house.good_client()).await.unwrap();
    assert!(incoming.next().await.is_some());
}

#[tokio::test]
async fn a_broken_file_changes_nothing() {
    let house = House::new();
    let endpoint = house.endpoint();
    assert!(!endpoint.changed());
    house.write("server.pem", "-----BEGIN CERTIFICATE-----\n");
    assert!(endpoint.changed());
    let error = endpoint.reload().unwrap_err().to_string();
    assert!(error.contains("server.pem"), "{error}");
    assert!(!endpoint.changed(), "a broken file is complained of once");
    assert_eq!(meet(&endpoint, house.good_client()).await.0.unwrap(), GOOD);
    // Half of a change is no change either.
    house.write_server();
    let good = fs::read(house.path("server.key")).unwrap();
    house.write("server.key", KeyPair::generate().unwrap().serialize_pem());
    let error = endpoint.reload().unwrap_err();
    assert!(matches!(error, LoadError::Pair { .. }), "{error}");
    house.write("server.key", good);
    assert!(endpoint.changed());
    assert_eq!(endpoint.reload().unwrap(), 0);
    assert_eq!(meet(&endpoint, house.good_client()).await.0.unwrap(), GOOD);
}

#[tokio::test]
async fn a_new_revocation_list_closes_the_live_connection_it_names() {
    let house = House::new();
    let endpoint = Endpoint::load(house.with_crl(&house.authority.revoke(&[], 4000))).unwrap();
    let (listener, address) = listen().await;
    let mut incoming = endpoint.accept(listener, CancellationToken::new());
    let (mut clients, mut connections) = (Vec::new(), Vec::new());
    for serial in [7_u64, 8] {
        let client = house
            .authority
            .client(|params| params.serial_number = Some(SerialNumber::from(serial)));
        clients.push(connect(address, house.client(Some(client))).await.unwrap());
        let Ok(connection) = incoming.next().await.unwrap();
        connections.push(connection);
    }
    let mut second = connections.pop().unwrap();
    let mut first = connections.pop().unwrap();
    // It waits for something to read, as a server does.
    let waiting = tokio::spawn(async move {
        let read = first.read(&mut [0]).await;
        let written = first.write(b"!").await;
        (read, written)
    });
    tokio::task::yield_now().await;
    house.write("crl.pem", house.authority.revoke(&[7], 4000));
    assert_eq!(endpoint.reload().unwrap(), 1);
    let (read, written) = waiting.await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionAborted);
    assert_eq!(written.unwrap_err().kind(), ErrorKind::ConnectionAborted);
    second.write_all(b"!").await.unwrap();
    second.flush().await.unwrap();
    assert_eq!(clients[1].read_u8().await.unwrap(), b'!');
    assert_eq!(endpoint.counters().active(), 1);
    assert_eq!(endpoint.recheck(), 0);
}

/// With the server that really serves: it names the peer to each request, and lets go of a connection
/// that must end.
#[tokio::test]
async fn requests_know_their_peer_until_it_is_revoked() {
    let house = House::new();
    let endpoint = Endpoint::load(house.with_crl(&house.authority.revoke(&[], 4000))).unwrap();
    let (listener, address) = listen().await;
    let stop = CancellationToken::new();
    let incoming = endpoint.accept(listener, stop.clone());
    let (_reporter, health) = tonic_health::server::health_reporter();
    let seen = Arc::new(Mutex::new(None));
    let seen_by_server = Arc::clone(&seen);
    let interceptor = move |request: tonic::Request<()>| {
        *seen_by_server.lock().unwrap() = request.extensions().get::<Peer>().cloned();
        Ok(request)
    };
    let server = tokio::spawn(
        tonic::transport::Server::builder()
            .layer(tonic::service::InterceptorLayer::new(interceptor))
            .add_service(health)
            .serve_with_incoming(incoming),
    );
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from(7));
    params.subject_alt_names = vec![uri(GOOD)];
    params.extended_key_usages = vec![Extended::ClientAuth];
    let certificate = params.signed_by(&key, &house.authority.issuer).unwrap();
    let tls = tonic::transport::ClientTlsConfig::new()
        .domain_name("localhost")
        .ca_certificate(tonic::transport::Certificate::from_pem(
            &house.authority.pem,
        ))
        .identity(tonic::transport::Identity::from_pem(
            certificate.pem(),
            key.serialize_pem(),
        ));
    let channel = tonic::transport::Endpoint::from_shared(format!("https://{address}"))
        .unwrap()
        .tls_config(tls)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = tonic_health::pb::health_client::HealthClient::new(channel);
    let ask = tonic_health::pb::HealthCheckRequest::default;
    client.check(ask()).await.unwrap();
    let peer = seen.lock().unwrap().take().unwrap();
    assert_eq!(peer.identity.name().as_str(), GOOD);
    assert_eq!(endpoint.counters().active(), 1);
    house.write("crl.pem", house.authority.revoke(&[7], 4000));
    assert_eq!(endpoint.reload().unwrap(), 1);
    assert!(client.check(ask()).await.is_err());
    assert!(
        client.check(ask()).await.is_err(),
        "nor by a new connection"
    );
    assert_eq!(endpoint.counters().active(), 0);
    stop.cancel();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn peers_beyond_the_handshakes_at_a_time_wait_for_their_turn() {
    let house = House::new();
    let config = house.config("max_handshakes = 1\nhandshake_timeout_seconds = 3");
    let endpoint = Endpoint::load(config).unwrap();
    let (listener, address) = listen().await;
    let mut incoming = endpoint.accept(listener, CancellationToken::new());
    let _silent = TcpStream::connect(address).await.unwrap();
    let _client = connect(address, house.good_client()).await.unwrap();
    assert!(incoming.next().await.is_some());
    assert_eq!(endpoint.counters().handshake_failures(), 1);
}

#[tokio::test]
async fn an_authority_that_is_taken_away_takes_its_clients_along() {
    let house = House::new();
    let endpoint = house.endpoint();
    let (listener, address) = listen().await;
    let mut incoming = endpoint.accept(listener, CancellationToken::new());
    let _client = connect(address, house.good_client()).await.unwrap();
    let Ok(mut connection) = incoming.next().await.unwrap();
    house.write("ca.pem", &Authority::new("next").pem);
    assert_eq!(endpoint.reload().unwrap(), 1);
    let read = connection.read(&mut [0]).await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

/// A handshake that began under the old rules must not end in a connection that the new ones refuse.
#[tokio::test]
async fn a_reload_during_a_handshake_counts() {
    let house = House::new();
    let endpoint = house.endpoint();
    let (listener, address) = listen().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (accepted, peer) = listener.accept().await.unwrap();
    let slot = Arc::clone(&endpoint.slots).try_acquire_owned().unwrap();
    let begun = Arc::clone(&endpoint);
    let handshake = tokio::spawn(async move { begun.handshake(accepted, peer, slot).await });
    // One thread: the handshake has now begun, and waits for the client.
    tokio::task::yield_now().await;
    house.write("ca.pem", &Authority::new("next").pem);
    assert_eq!(endpoint.reload().unwrap(), 0);
    let client = TlsConnector::from(Arc::new(house.good_client()))
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await;
    let refused = handshake.await.unwrap().map(|_| ()).unwrap_err();
    assert!(matches!(refused, accept::Refused::Overtaken), "{refused}");
    assert!(first_byte(client).await.is_err());
}

#[test]
fn a_file_that_can_not_be_used_is_named() {
    let house = House::new();
    let refused = |config: Config, file: &str, why: &str| {
        let error = Endpoint::load(config).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(file), "{file}: {error}");
        assert!(error.contains(why), "{why}: {error}");
    };
    for (field, file) in [
        ("certificate", "server.pem"),
        ("private_key", "server.key"),
        ("client_ca", "ca.pem"),
        ("crl", "crl.pem"),
    ] {
        let with = |path: PathBuf| {
            let mut config = house.config("");
            match field {
                "certificate" => config.certificate = path,
                "private_key" => config.private_key = path,
                "client_ca" => config.client_ca = path,
                _ => config.crl = vec![path],
            }
            config
        };
        refused(with(house.path("absent")), "absent", "can't read");
        refused(
            with(house.directory.path().to_owned()),
            "",
            "not an ordinary file",
        );
        house.write("broken", "nothing");
        refused(with(house.path("broken")), "broken", "has no usable");
        house.write("broken", [0x30, 0x03, 1, 2, 3]);
        refused(with(house.path("broken")), "broken", "has no usable");
        if file != "crl.pem" {
            set_mode(&house.path(file), 0o640);
            let loaded = Endpoint::load(house.config(""));
            match loaded {
                Err(error) => {
                    assert_eq!(field, "private_key");
                    assert!(error.to_string().contains("mode 0640"), "{error}");
                }
                Ok(_) => assert_ne!(field, "private_key"),
            }
            set_mode(&house.path(file), 0o600);
        }
    }
}

#[test]
fn the_configuration_is_strict() {
    let parse = |text: &str| {
        toml::from_str::<Config>(&format!(
            "certificate = \"a\"\nprivate_key = \"b\"\nclient_ca = \"c\"\n{text}"
        ))
    };
    let config = parse("").unwrap();
    assert_eq!(config.minimum_version, MinimumVersion::Tls13);
    assert_eq!(config.handshake_timeout.get(), 5);
    assert_eq!(config.max_connections.get(), 1024);
    assert!(config.crl.is_empty());
    for bad in [
        "minimum_version = \"1.1\"",
        "minimum_version = 1.3",
        "handshake_timeout_seconds = 0",
        "max_connections = 0",
        "crl = \"crl.pem\"",
        "crls = []",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
