//! Peers that are silent or too many: nobody else waits for them.

use tokio::{io::AsyncReadExt, net::TcpStream};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::*;

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
