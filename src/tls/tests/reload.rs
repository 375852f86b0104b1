//! Files that change under a running endpoint: what is broken changes nothing, who is revoked is hung up on.

use std::{fs, io::ErrorKind};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose as Extended, KeyPair, SerialNumber};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::*;

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
