//! Checkpoints that are sent off the host over TLS: to whom the certificate says, and to nobody else.

use std::{fs, path::Path, process::Command, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    audited::log_of,
    harness::Setup,
    pki::{Leaf, Pki},
    softhsm::Token,
};

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_go_over_tls_to_the_server_that_is_named_and_to_no_other() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (said, mut heard) = mpsc::unbounded_channel();
    tokio::spawn(collect(listener, acceptor(pki.server()), said));
    // Its certificate is for localhost and 127.0.0.1. They are asked in this order.
    let sink = |path: &str, ca: &Path, name: &str| {
        let ca = ca.display();
        format!(
            "{{ type = \"https\", address = \"{address}\", path = \"{path}\", ca = \"{ca}\"{name} }}"
        )
    };
    let sinks = [
        sink("/of-another-authority", &stranger.ca(), ""),
        sink(
            "/of-another-name",
            &pki.ca(),
            ", server_name = \"log.example\"",
        ),
        sink("/by-address?log=1", &pki.ca(), ""),
        sink("/by-name", &pki.ca(), ", server_name = \"localhost\""),
    ];
    let table = format!(
        "[audit]\ncheckpoint_seconds = 1\nsinks = [{}]\n",
        sinks.join(", ")
    );
    let mut daemon = Setup::new(Token::new("sinks")).tables(&table).start();
    let mut notes = Vec::new();
    for (target, host) in [
        ("/by-address?log=1", format!("127.0.0.1:{}", address.port())),
        ("/by-name", format!("localhost:{}", address.port())),
    ] {
        let request = timeout(Duration::from_secs(60), heard.recv()).await;
        let request: String = request.expect("a checkpoint in time").unwrap();
        let (head, note) = request.split_once("\r\n\r\n").unwrap();
        let start = format!("POST {target} HTTP/1.1\r\nHost: {host}\r\n");
        assert!(head.starts_with(&start), "{head}");
        notes.push(note.to_owned());
    }
    assert_eq!(notes[0], notes[1]);
    for (sink, why) in [
        // Of the same name as the right one, and with another key.
        (
            "/of-another-authority",
            "invalid peer certificate: BadSignature",
        ),
        ("/of-another-name", "not valid for name"),
    ] {
        let told = daemon.wait_for_log(sink);
        assert!(told.contains("could not be sent"), "{told}");
        assert!(told.contains(why), "{told}");
    }

    // What came is a checkpoint of the log, signed by its key.
    daemon.terminate().await;
    let (log, kept) = (log_of(&daemon), daemon.directory().join("kept"));
    fs::write(&kept, &notes[0]).unwrap();
    let vkey = fs::read_to_string(log.join("vkey")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["audit", "verify"])
        .arg(&log)
        .args(["--vkey", vkey.trim(), "--against"])
        .arg(&kept)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
}

/// Says whole requests, of whoever comes to an understanding with it.
async fn collect(listener: TcpListener, tls: TlsAcceptor, said: mpsc::UnboundedSender<String>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(stream) = tls.accept(stream).await
            && let Some(request) = answered(stream).await
            && said.send(request).is_err()
        {
            return;
        }
    }
}

/// A request, which is answered when all of it has come.
async fn answered(mut stream: TlsStream<TcpStream>) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            if length?.parse() == Ok(body.len()) {
                let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
                stream.write_all(answer).await.ok()?;
                stream.shutdown().await.ok();
                return Some(text);
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}

fn acceptor(leaf: &Leaf) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(&leaf.cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(&leaf.key).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
