//! Who gets in: certificates, protocols, reloads, and those who would keep others out.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chancery::client::{Client, Code};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, SanType};
use rustix::process::Signal;
use rustls::{
    pki_types::{CertificateDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

use crate::{
    harness::{Daemon, Setup},
    http2::{self, Door, frame},
    pki::{Bad, Leaf},
    requests::{make_ec_key, sign_es256},
    softhsm::Token,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_certificate_is_refused_and_good_ones_are_served_meanwhile() {
    let daemon = Daemon::with(Token::new("mtls"));
    let good = daemon.client("test");
    make_ec_key(&good, "payouts").await;
    let pki = daemon.pki();
    let mut refused: Vec<(String, Leaf)> = Bad::ALL
        .into_iter()
        .filter(|fault| *fault != Bad::DnsSan)
        .map(|fault| (format!("{fault:?}"), pki.bad(fault, "test")))
        .collect();
    let mut with = |what: &str, leaf: Leaf| refused.push((what.to_owned(), leaf));
    with(
        "an authority",
        pki.client_with("test", |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }),
    );
    with(
        "no usage",
        pki.client_with("test", |params| params.extended_key_usages.clear()),
    );
    with(
        "any usage",
        pki.client_with("test", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
        }),
    );
    for uri in [
        "https://chancery.test/test",
        "spiffe://Chancery.test/test",
        "spiffe://chancery.test/",
        "spiffe://chancery.test/a//b",
        "spiffe://chancery.test/%74est",
        "spiffe://chancery.test/test?x",
    ] {
        let leaf = pki.client_with("test", |params| {
            params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        });
        with(uri, leaf);
    }
    with(
        "a wildcard",
        pki.client_with("test", |params| {
            params.subject_alt_names =
                vec![SanType::DnsName("*.chancery.test".try_into().unwrap())];
        }),
    );
    let count = refused.len() as u64;

    for (what, leaf) in refused {
        let before = daemon.log_lines().len();
        let failure = daemon.client_of(&leaf).all_keys().await.unwrap_err();
        assert!(
            REFUSED.contains(&failure.reason.as_str()),
            "{what}: {failure:?}"
        );
        later(&daemon, before, "handshake refused").await;
        good.sign(sign_es256("payouts")).await.unwrap();
    }
    let nobody = Door::default();
    assert!(
        nobody.enter(&daemon).await.is_err(),
        "without a certificate"
    );
    good.sign(sign_es256("payouts")).await.unwrap();
    daemon
        .client("test")
        .sign(sign_es256("payouts"))
        .await
        .unwrap();

    let refusals = daemon.log_lines();
    let refusals = refusals
        .iter()
        .filter(|line| line.contains("handshake refused"));
    assert_eq!(refusals.count() as u64, count + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dns_name_is_an_identity_of_its_own_kind() {
    let daemon = Setup::new(Token::new("mtls"))
        .policy(
            r#"[[rules]]
name = "a-host"
identities = ["dns:test.chancery.test"]
operations = ["generate_random"]
"#,
        )
        .start();
    let random = chancery::proto::v1::GenerateRandomRequest {
        length: 1,
        ..Default::default()
    };
    let host = daemon.client_of(&daemon.pki().bad(Bad::DnsSan, "test"));
    host.random(random.clone()).await.unwrap();
    let other = daemon.client_of(&daemon.pki().bad(Bad::DnsSan, "other"));
    let failure = other.random(random.clone()).await.unwrap_err();
    assert_eq!(failure.metadata["identity"], "dns:other.chancery.test");
    // The same name as a path is somebody else.
    let failure = daemon.client("test").random(random).await.unwrap_err();
    assert_eq!(failure.code, Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tls_1_3_with_http_2_is_spoken() {
    let daemon = Daemon::with(Token::new("mtls"));
    let leaf = daemon.certificate("test");
    let good = Door {
        leaf: Some(&leaf),
        ..Door::default()
    };
    good.enter(&daemon).await.unwrap();
    let bad: [(&str, Door<'_>); 4] = [
        (
            "TLS 1.2",
            Door {
                version: &TLS12,
                ..good
            },
        ),
        ("no ALPN", Door { alpn: &[], ..good }),
        (
            "HTTP/1.1",
            Door {
                alpn: &[b"http/1.1"],
                ..good
            },
        ),
        (
            "HTTP/3",
            Door {
                alpn: &[b"h3"],
                version: &TLS13,
                ..good
            },
        ),
    ];
    for (what, door) in bad {
        assert!(door.enter(&daemon).await.is_err(), "{what}");
    }
    let mut plain = tokio::net::TcpStream::connect(daemon.address())
        .await
        .unwrap();
    plain
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // An alert of TLS at most.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(answer.len() <= 7, "{answer:?}");
    good.enter(&daemon).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_cut_at_once() {
    let mut setup = Setup::new(Token::new("mtls"));
    let list = setup.pki.crl(&[]);
    setup.tls = format!("crl = [{list:?}]");
    let daemon = setup.start();
    let (kept, revoked) = (daemon.certificate("test"), daemon.pki().client("test"));
    let (good, bad) = (daemon.client_of(&kept), daemon.client_of(&revoked));
    make_ec_key(&good, "payouts").await;
    bad.sign(sign_es256("payouts")).await.unwrap();
    let door = Door {
        leaf: Some(&revoked),
        ..Door::default()
    };
    let mut idle = door.enter(&daemon).await.unwrap();

    replace(
        &list,
        &fs::read(daemon.pki().crl(&[revoked.serial])).unwrap(),
    );
    daemon.signal(Signal::HUP);

    let end = async { while idle.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(60), end)
        .await
        .expect("the idle connection is cut");
    let failure = bad.sign(sign_es256("payouts")).await.unwrap_err();
    assert!(REFUSED.contains(&failure.reason.as_str()), "{failure:?}");
    let failure = daemon.client_of(&revoked).all_keys().await.unwrap_err();
    assert!(REFUSED.contains(&failure.reason.as_str()), "{failure:?}");
    daemon.wait_for_log("invalid peer certificate: Revoked");
    good.sign(sign_es256("payouts")).await.unwrap();
    let line = daemon.wait_for_log("certificates reloaded");
    assert!(line.contains(r#""closed":2"#), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_certificate_costs_no_call_and_a_broken_one_changes_nothing() {
    let daemon = Daemon::with(Token::new("mtls"));
    let client = daemon.client("test");
    make_ec_key(&client, "payouts").await;
    let others = Others::call(&daemon, true);
    let old = served(&daemon).await;
    let new = daemon.pki().client_with("server", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().unwrap()),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
    });
    let server = daemon.pki().server();
    let der = CertificateDer::from_pem_file(&new.cert).unwrap();
    replace(&server.key, &fs::read(&new.key).unwrap());
    replace(&server.cert, &fs::read(&new.cert).unwrap());
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("certificates reloaded");
    let now = served(&daemon).await;
    assert_ne!(now, old);
    assert_eq!(now, der);

    for broken in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let before = daemon.log_lines().len();
        replace(&server.cert, broken.as_bytes());
        daemon.signal(Signal::HUP);
        let line = later(&daemon, before, "the new certificates are refused").await;
        assert!(line.contains(server.cert.to_str().unwrap()), "{line}");
        assert_eq!(served(&daemon).await, der);
    }
    let calls = others.stop().await;
    assert!(calls > 10, "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_peers_keep_nobody_out() {
    let daemon = Daemon::with(Token::new("mtls"));
    let client = daemon.client("test");
    make_ec_key(&client, "payouts").await;
    let silent: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(daemon.address()).unwrap())
        .collect();
    let mut half = TcpStream::connect(daemon.address()).unwrap();
    half.write_all(&[22, 3, 1, 2]).unwrap();
    for _ in 0..20 {
        let started = Instant::now();
        daemon
            .client("test")
            .sign(sign_es256("payouts"))
            .await
            .unwrap();
        // One after the other they would keep the door for half an hour.
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{:?}",
            started.elapsed()
        );
    }
    // They do not stay for ever.
    for mut stream in silent {
        use std::io::Read;
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
    daemon.wait_for_log("the handshake took longer than");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_opened_and_reset_at_once_end_the_connection() {
    let attack = |stream| {
        let mut bytes = http2::call(stream, SIGN_CHUNKS);
        bytes.extend(frame(http2::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        bytes
    };
    assault("rapid reset (CVE-2023-44487)", 5_000, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_make_the_daemon_reset_them_end_the_connection() {
    let attack = |stream| {
        let mut bytes = http2::call(stream, SIGN_CHUNKS);
        let overflow = 0x7fff_ffff_u32.to_be_bytes();
        bytes.extend(frame(http2::WINDOW_UPDATE, 0, stream, &overflow));
        bytes
    };
    assault("MadeYouReset (CVE-2025-8671)", 5_000, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_never_end_are_few() {
    assault("unfinished streams", 5_000, |stream| {
        http2::call(stream, SIGN_CHUNKS)
    })
    .await;
}

/// One connection attacks; it is cut or refused, others do not notice, and memory does not grow.
async fn assault(name: &str, streams: u32, attack: impl Fn(u32) -> Vec<u8>) {
    let daemon = Daemon::with(Token::new("mtls"));
    let client = daemon.client("test");
    make_ec_key(&client, "payouts").await;
    let others = Others::call(&daemon, false);
    let leaf = daemon.certificate("test");
    let door = Door {
        leaf: Some(&leaf),
        ..Door::default()
    };
    let raw = door.enter(&daemon).await.unwrap();
    let before = daemon.resident_kib();

    let bytes = (0..streams)
        .flat_map(|number| attack(2 * number + 1))
        .collect();
    let (frames, closed) = raw.assault(bytes, Duration::from_secs(8)).await;

    let count = |kind| frames.iter().filter(|frame| frame.kind == kind).count();
    let (goaway, resets) = (count(http2::GOAWAY), count(http2::RST_STREAM));
    let grown = daemon.resident_kib().saturating_sub(before) / 1024;
    eprintln!("{name}: closed {closed}, GOAWAY {goaway}, RST_STREAM {resets}, {grown} MiB more");
    assert!(
        closed || resets as u32 > streams / 2,
        "closed {closed}, {goaway} GOAWAY, {resets} RST_STREAM"
    );
    assert!(grown < 32, "{grown} MiB");
    assert!(others.stop().await > 5);
    client.sign(sign_es256("payouts")).await.unwrap();
}

/// A client beside the one that a test is about; all its calls must succeed.
struct Others {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Others {
    /// Calls until it is stopped, on one connection, or on a new one each time as well.
    fn call(daemon: &Daemon, fresh: bool) -> Self {
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let config = daemon.client_config(&daemon.certificate("test"));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&done));
        let task = tokio::spawn(async move {
            let lasting = Client::connect(&config).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                lasting.sign(sign_es256("payouts")).await.unwrap();
                if fresh {
                    let client = Client::connect(&config).unwrap();
                    client.sign(sign_es256("payouts")).await.unwrap();
                }
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Self { stop, done, task }
    }

    /// How many calls it made, the last after this was called.
    async fn stop(self) -> usize {
        let enough = self.done.load(Ordering::Relaxed) + 10;
        while self.done.load(Ordering::Relaxed) < enough && !self.task.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no call fails");
        self.done.load(Ordering::Relaxed)
    }
}

/// The certificate that the daemon shows now.
async fn served(daemon: &Daemon) -> CertificateDer<'static> {
    let leaf = daemon.certificate("test");
    let door = Door {
        leaf: Some(&leaf),
        ..Door::default()
    };
    let stream = door.knock(daemon).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].clone().into_owned()
}

/// Waits for a log line with this in it after the first so many.
async fn later(daemon: &Daemon, before: usize, part: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let lines = daemon.log_lines();
        if let Some(line) = lines[before..].iter().find(|line| line.contains(part)) {
            return line.clone();
        }
        assert!(Instant::now() < deadline, "no line of the log has {part:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Puts another file in the place of one, as those who renew certificates do.
fn replace(path: &Path, content: &[u8]) {
    use std::os::unix::fs::OpenOptionsExt;
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .unwrap();
    file.write_all(content).unwrap();
    fs::rename(new, path).unwrap();
}

/// What a refused client says: what it was told, unless the connection was gone before it could read that.
const REFUSED: [&str; 2] = ["CERTIFICATE_REFUSED", "UNREACHABLE"];
const SIGN_CHUNKS: &str = "/chancery.v1.SigningService/SignChunks";
