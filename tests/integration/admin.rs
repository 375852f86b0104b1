//! The admin port: metrics that move as they should, the status page, liveness and readiness.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chancery::client::health_pb::HealthCheckRequest;
use rustix::process::{Signal, kill_process};
use tokio::io::AsyncWriteExt;

use crate::{
    harness::{Daemon, Setup},
    http2::{self, Door},
    requests::{make_ec_key, sign_es256},
    softhsm::Token,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_move_with_what_happens() {
    let daemon = Setup::new(Token::new("admin")).workers(1, 1).start();
    let before = metrics(&daemon);
    assert_eq!(before["chancery_token_up{token=\"main\"}"], 1.0);
    assert_eq!(before["chancery_token_keys{token=\"main\"}"], 0.0);
    assert_eq!(
        before["chancery_token_worker_starts_total{token=\"main\"}"],
        1.0
    );
    assert_eq!(
        before["chancery_tls_connections_total{outcome=\"accepted\"}"],
        0.0
    );
    let expiry = before["chancery_tls_certificate_not_after_seconds"];
    assert_eq!(expiry, 4_102_444_800.0, "2100-01-01");

    let client = daemon.client("test");
    make_ec_key(&client, "payouts").await;
    for _ in 0..3 {
        client.sign(sign_es256("payouts")).await.unwrap();
    }
    let stranger = daemon.client("stranger");
    stranger.sign(sign_es256("payouts")).await.unwrap_err();
    let request = HealthCheckRequest {
        service: "nobody".to_owned(),
    };
    client.health().check(request).await.unwrap_err();
    unknown_method(&daemon).await;
    // A certificate that is not shown.
    let mut silent = Door::default().knock(&daemon).await.unwrap();
    let _ = silent.write_all(b"x").await;

    let expected = [
        (
            "chancery_rpc_requests_total{method=\"chancery.v1.KeyService/CreateKey\",code=\"OK\"}",
            1.0,
        ),
        (
            "chancery_rpc_requests_total{method=\"chancery.v1.SigningService/Sign\",code=\"OK\"}",
            3.0,
        ),
        (
            "chancery_rpc_requests_total{method=\"chancery.v1.SigningService/Sign\",code=\"PERMISSION_DENIED\"}",
            1.0,
        ),
        (
            "chancery_rpc_requests_total{method=\"grpc.health.v1.Health/Check\",code=\"NOT_FOUND\"}",
            1.0,
        ),
        (
            "chancery_rpc_requests_total{method=\"unknown\",code=\"UNIMPLEMENTED\"}",
            1.0,
        ),
        (
            "chancery_rpc_duration_seconds_count{method=\"chancery.v1.SigningService/Sign\"}",
            4.0,
        ),
        (
            "chancery_rpc_duration_seconds_count{method=\"chancery.v1.JoseService/SignJws\"}",
            0.0,
        ),
        ("chancery_policy_denials_total", 1.0),
        ("chancery_token_keys{token=\"main\"}", 1.0),
        ("chancery_tls_connections_total{outcome=\"accepted\"}", 3.0),
        (
            "chancery_tls_connections_total{outcome=\"handshake_failed\"}",
            1.0,
        ),
        ("chancery_tls_connections_total{outcome=\"shed\"}", 0.0),
        ("chancery_tls_connections_active", 2.0),
        ("chancery_token_worker_losses_total{token=\"main\"}", 0.0),
        ("chancery_token_queue_length{token=\"main\"}", 0.0),
    ];
    wait_for(&daemon, &expected);
    let now = metrics(&daemon);
    let took = now["chancery_rpc_duration_seconds_sum{method=\"chancery.v1.SigningService/Sign\"}"];
    assert!(took > 0.0 && took < 60.0, "{took}");
    assert!(!now.keys().any(|name| name.contains("no.Such")), "{now:?}");

    // A worker that dies is counted, and so is the one in its place.
    kill_process(daemon.worker_pids()[0], Signal::KILL).unwrap();
    wait_for(
        &daemon,
        &[
            ("chancery_token_worker_losses_total{token=\"main\"}", 1.0),
            ("chancery_token_worker_starts_total{token=\"main\"}", 2.0),
            ("chancery_token_up{token=\"main\"}", 1.0),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_is_counted_as_cancelled() {
    let daemon = Daemon::with(Token::new("admin"));
    let leaf = daemon.certificate("test");
    let door = Door {
        leaf: Some(&leaf),
        ..Door::default()
    };
    let mut raw = door.enter(&daemon).await.unwrap();
    let call = http2::call(1, "/chancery.v1.SigningService/SignChunks");
    raw.send(call).await;
    drop(raw);
    let name = "chancery_rpc_requests_total{method=\"chancery.v1.SigningService/SignChunks\",code=\"CANCELLED\"}";
    wait_for(&daemon, &[(name, 1.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_daemon_and_nothing_as_markup() {
    let token = Token::new("admin");
    // A label that a careless page would run.
    token.import_pkcs8(
        "<script>alert(1)</script>",
        "01",
        &rcgen::KeyPair::generate().unwrap().serialize_pem(),
    );
    let daemon = Daemon::with(token);
    let client = daemon.client("test");
    make_ec_key(&client, "payouts").await;

    let (code, page) = daemon.admin_get("/");

    assert_eq!(code, 200);
    for part in [
        "<td>main<td class=good>ready",
        "SoftHSM",
        "chancery.v1.KeyService/CreateKey<td>OK 1 ",
        "http-equiv=refresh",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
    ] {
        assert!(page.contains(part), "no {part:?} in\n{page}");
    }
    assert!(!page.contains("<script"), "{page}");
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "{page}"
    );
    assert_eq!(daemon.admin_get("/livez"), (200, "alive\n".to_owned()));
    assert_eq!(
        daemon.admin_get("/readyz"),
        (200, "main: ready\nstore: ready\n".to_owned())
    );
    assert_eq!(daemon.admin_get("/nothing").0, 404);
}

async fn unknown_method(daemon: &Daemon) {
    let leaf = daemon.certificate("test");
    let door = Door {
        leaf: Some(&leaf),
        ..Door::default()
    };
    let mut raw = door.enter(daemon).await.unwrap();
    let mut bytes = http2::call(1, "/no.Such/Method");
    bytes.extend(http2::frame(http2::DATA, http2::END_STREAM, 1, &[0; 5]));
    raw.writer.write_all(&bytes).await.unwrap();
    raw.writer.flush().await.unwrap();
    while let Some(frame) = raw.next().await {
        if frame.stream == 1 && frame.flags & http2::END_STREAM != 0 {
            return;
        }
    }
    panic!("no answer");
}

/// Calls are counted when their answers are over, which a caller may know a moment before.
#[track_caller]
fn wait_for(daemon: &Daemon, expected: &[(&str, f64)]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let now = metrics(daemon);
        let wrong: Vec<_> = expected
            .iter()
            .filter(|(name, value)| now.get(*name) != Some(value))
            .map(|(name, value)| (name, value, now.get(*name)))
            .collect();
        if wrong.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{wrong:#?} of\n{}",
            daemon.admin_get("/metrics").1
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every sample, by its name and labels; the text is what OpenMetrics 1.0 wants, or this panics.
fn metrics(daemon: &Daemon) -> BTreeMap<String, f64> {
    let (code, text) = daemon.admin_get("/metrics");
    assert_eq!(code, 200);
    parse(&text)
}

fn parse(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("the end of the text");
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind) = ("", "");
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help text");
            assert!(families.insert(name), "{name} comes twice");
            assert!(help.ends_with('.'), "{help}");
            family = name;
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, what) = of.split_once(' ').expect("a type");
            assert_eq!(name, family);
            kind = what;
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().unwrap();
            let suffix = name
                .strip_prefix(family)
                .unwrap_or_else(|| panic!("{line} in {family}"));
            let suffixes: &[&str] = match kind {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_sum", "_count", "_bucket"],
                other => panic!("{other}"),
            };
            assert!(suffixes.contains(&suffix), "{line} of a {kind}");
            assert!(name.starts_with("chancery_"), "{line}");
            let value: f64 = value.parse().expect("a number");
            assert!(value >= 0.0, "{line}");
            assert!(
                samples.insert(series.to_owned(), value).is_none(),
                "{series} comes twice"
            );
        }
    }
    for (series, count) in &samples {
        let Some((name, labels)) = series.split_once("_count{") else {
            continue;
        };
        let labels = labels.trim_end_matches('}');
        let last = format!("{name}_bucket{{le=\"+Inf\",{labels}}}");
        assert_eq!(samples.get(&last), Some(count), "{last}");
    }
    samples
}
