//! The daemon's life: it drains, shares no port, waits for its token, says how it is, and outlives its callers.

use std::{
    fs,
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use chancery::{
    client::{Client, Code, health_pb::HealthCheckRequest},
    proto::v1::{
        Algorithm, KeyPurpose, KeyType, SignChunksHeader, SignChunksRequest,
        sign_chunks_request::Part,
    },
};
use prost::Message;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    harness::{Daemon, Setup},
    http2::{self, Door, frame},
    requests::{make_ec_key, make_key, sign_es256},
    softhsm::Token,
};

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_calls_end_and_nobody_in() {
    let mut daemon = Daemon::with(Token::new("lifecycle"));
    let client = daemon.client("test");
    make_key(
        &client,
        "callbacks",
        KeyType::HmacSha256,
        KeyPurpose::Mac,
        Algorithm::Hs256,
    )
    .await;
    let (sender, receiver) = mpsc::channel(4);
    let mut service = client.signing();
    let call =
        tokio::spawn(async move { service.sign_chunks(ReceiverStream::new(receiver)).await });
    sender.send(header("callbacks")).await.unwrap();
    sender.send(chunk(b"before ")).await.unwrap();
    // On the same connection, after it.
    client.all_keys().await.unwrap();

    daemon.signal(Signal::TERM);
    daemon.wait_for_log("draining");
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(daemon.address()).is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sender.send(chunk(b"and after")).await.unwrap();
    drop(sender);
    let answer = call.await.unwrap().unwrap().into_inner();

    assert_eq!(answer.message_length, 16);
    assert_eq!(answer.signature.len(), 32);
    let status = daemon.terminate().await;
    assert_eq!(status.code(), Some(0));
    let log = daemon.log_lines();
    assert!(
        log.iter()
            .any(|line| line.contains(r#""message":"stopped""#))
    );
    assert!(!log.iter().any(|line| line.contains("still under way")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_end_is_not_waited_for_longer_than_said() {
    let mut daemon = Setup::new(Token::new("lifecycle"))
        .server("drain_timeout_seconds = 1")
        .start();
    let client = daemon.client("test");
    make_ec_key(&client, "payouts").await;
    let (sender, receiver) = mpsc::channel(4);
    let mut service = client.signing();
    let call =
        tokio::spawn(async move { service.sign_chunks(ReceiverStream::new(receiver)).await });
    sender.send(header("payouts")).await.unwrap();
    client.all_keys().await.unwrap();

    let started = Instant::now();
    let status = daemon.terminate().await;

    assert_eq!(status.code(), Some(0));
    let took = started.elapsed();
    assert!(
        took > Duration::from_millis(900) && took < Duration::from_secs(25),
        "{took:?}"
    );
    daemon.wait_for_log("still under way");
    call.await.unwrap().unwrap_err();
}

#[test]
fn a_second_daemon_on_the_same_port_says_so() {
    let daemon = Daemon::with(Token::new("lifecycle"));
    let setup = Setup::new(Token::new("second"));
    let directory = tempfile::tempdir().unwrap();
    let path = setup.write(directory.path());
    let text = fs::read_to_string(&path).unwrap();
    let taken = format!("address = \"{}\"", daemon.address());
    fs::write(&path, text.replacen("address = \"127.0.0.1:0\"", &taken, 1)).unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_chanceryd"))
        .args(["serve", "--config"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "can't listen on {}: Address already in use",
        daemon.address()
    );
    assert!(said.contains(&expected), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_comes_late_is_taken_up() {
    let token = Token::new("lifecycle");
    let (here, away) = (
        token.directory().join("tokens"),
        token.directory().join("away"),
    );
    fs::rename(&here, &away).unwrap();
    fs::create_dir(&here).unwrap();
    let daemon = Daemon::with(token);
    let client = daemon.client("test");

    let (code, body) = daemon.admin_get("/readyz");
    assert_eq!(code, 503, "{body}");
    assert!(body.starts_with("main: "), "{body}");
    assert_eq!(daemon.admin_get("/livez").0, 200);
    for service in ["", "chancery.v1.SigningService", "token/main"] {
        assert_eq!(
            health(&client, service).await,
            Ok("NOT_SERVING"),
            "{service}"
        );
    }
    let failure = client.random(Default::default()).await.unwrap_err();
    assert_ne!(failure.code, Code::Internal, "{failure:?}");

    fs::remove_dir(&here).unwrap();
    fs::rename(&away, &here).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while daemon.admin_get("/readyz").0 != 200 {
        assert!(
            Instant::now() < deadline,
            "it stays down: {:?}",
            daemon.admin_get("/readyz")
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    make_ec_key(&client, "payouts").await;
    client.sign(sign_es256("payouts")).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while health(&client, "").await != Ok("SERVING") {
        assert!(Instant::now() < deadline, "health stays NOT_SERVING");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_tell_of_every_service() {
    let daemon = Daemon::with(Token::new("lifecycle"));
    let client = daemon.client("test");
    for service in [
        "",
        "chancery.v1.KeyService",
        "chancery.v1.ApprovalService",
        "chancery.v1.SigningService",
        "chancery.v1.JoseService",
        "chancery.v1.PartnerService",
        "token/main",
    ] {
        assert_eq!(health(&client, service).await, Ok("SERVING"), "{service}");
    }
    assert_eq!(health(&client, "token/other").await, Err(Code::NotFound));

    let mut reflection = ServerReflectionClient::new(channel(&daemon));
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let mut names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "chancery.v1.ApprovalService",
            "chancery.v1.AuditService",
            "chancery.v1.JoseService",
            "chancery.v1.KeyService",
            "chancery.v1.PartnerService",
            "chancery.v1.PlatformService",
            "chancery.v1.SigningService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_hang_up_leave_nothing_broken() {
    let daemon = Daemon::with(Token::new("lifecycle"));
    let client = daemon.client("test");
    make_ec_key(&client, "payouts").await;
    make_key(
        &client,
        "callbacks",
        KeyType::HmacSha256,
        KeyPurpose::Mac,
        Algorithm::Hs256,
    )
    .await;
    while daemon
        .log_lines()
        .iter()
        .filter(|line| line.contains("worker ready"))
        .count()
        < 2
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let workers = daemon.worker_pids();
    let leaf = daemon.certificate("test");
    let door = Door {
        leaf: Some(&leaf),
        ..Door::default()
    };
    for round in 0..100_u32 {
        let mut raw = door.enter(&daemon).await.unwrap();
        let mut bytes = http2::call(1, "/chancery.v1.SigningService/SignChunks");
        bytes.extend(data(1, &header("callbacks")));
        bytes.extend(data(1, &chunk(&[7; 5000])));
        bytes.extend(http2::call(3, "/chancery.v1.SigningService/Sign"));
        bytes.extend(data(3, &sign_es256("payouts")));
        match round % 3 {
            // Without a word; with half a frame; with a reset.
            0 => raw.send(bytes).await,
            1 => {
                raw.send(bytes).await;
                let half = frame(http2::DATA, 0, 1, &[0; 100]);
                let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.writer, &half[..50]).await;
            }
            _ => {
                bytes.extend(frame(http2::RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
                raw.send(bytes).await;
            }
        }
    }
    for _ in 0..50 {
        let soon = Duration::from_micros(700);
        let _ = tokio::time::timeout(soon, client.sign(sign_es256("payouts"))).await;
    }

    for _ in 0..20 {
        client.sign(sign_es256("payouts")).await.unwrap();
        let parts = [header("callbacks"), chunk(b"whole")];
        let answer = client
            .signing()
            .sign_chunks(tokio_stream::iter(parts))
            .await
            .unwrap();
        assert_eq!(answer.into_inner().message_length, 5);
    }
    assert_eq!(daemon.worker_pids(), workers, "workers were replaced");
    let deadline = Instant::now() + Duration::from_secs(60);
    let quiet = [
        "chancery_tls_connections_active 1\n",
        "chancery_token_queue_length{token=\"main\"} 0\n",
        "chancery_token_worker_losses_total{token=\"main\"} 0\n",
    ];
    while !quiet
        .iter()
        .all(|line| daemon.admin_get("/metrics").1.contains(line))
    {
        assert!(
            Instant::now() < deadline,
            "{}",
            daemon.admin_get("/metrics").1
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        !daemon
            .log_lines()
            .iter()
            .any(|line| line.contains("panicked"))
    );
}

async fn health(client: &Client, service: &str) -> Result<&'static str, Code> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = client
        .health()
        .check(request)
        .await
        .map_err(|status| status.code())?;
    Ok(answer.into_inner().status().as_str_name())
}

fn channel(daemon: &Daemon) -> Channel {
    let leaf = daemon.certificate("test");
    let read = |path: &std::path::Path| fs::read(path).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&daemon.pki().ca())))
        .identity(Identity::from_pem(read(&leaf.cert), read(&leaf.key)))
        .domain_name("localhost");
    Channel::from_shared(format!("https://{}", daemon.address()))
        .unwrap()
        .tls_config(tls)
        .unwrap()
        .connect_lazy()
}

fn header(key: &str) -> SignChunksRequest {
    let algorithm = match key {
        "callbacks" => Algorithm::Hs256,
        _ => Algorithm::Es256,
    };
    let ecdsa_encoding = i32::from(algorithm == Algorithm::Es256);
    SignChunksRequest {
        part: Some(Part::Header(SignChunksHeader {
            name: format!("keys/{key}"),
            algorithm: algorithm.into(),
            ecdsa_encoding,
            message_crc32c: None,
        })),
    }
}

fn chunk(bytes: &[u8]) -> SignChunksRequest {
    SignChunksRequest {
        part: Some(Part::Chunk(bytes.to_vec().into())),
    }
}

/// A message as gRPC frames it, in one frame of HTTP/2.
fn data(stream: u32, message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    frame(http2::DATA, 0, stream, &bytes)
}
