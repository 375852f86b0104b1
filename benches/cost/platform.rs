//! What platforms' messages cost: the engine alone, a signed request beside a plain signature with the same key,
//! and a verified callback.

use std::{
    borrow::Cow,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chancery::{
    client::Client,
    proto::v1::{self, Verdict},
    scheme::{Bindings, Message, Scheme, UnixMilliseconds},
};
use tokio::task::JoinSet;

use crate::{
    daemon::Daemon,
    kind::Kind,
    load::Way,
    process,
    report::{Row, Target},
    sample::Spread,
};

pub(crate) const ENGINE: &str = "SNAP call, body of 4 KiB, engine alone";
pub(crate) const SIGN: &str = "SignHttpRequest against Sign, HMAC-SHA256";
pub(crate) const VERIFY: &str = "VerifyCallback, RSA-2048, CPU of the daemon";

/// Has the scheme put the string together: the body is minified and hashed.
pub(crate) fn engine(rounds: usize) -> Row {
    let scheme = Scheme::parse(include_str!("../../config/schemes/snap-service.toml"));
    let scheme = scheme.expect("a shipped scheme");
    let field = "  \"field\" : \"a value / with spaces\",\n";
    let body: String = (0..4096 / (field.len() + 4))
        .map(|index| field.replace("field", &format!("field{index:04}")))
        .collect();
    let body = format!("{{\n{body}  \"last\" : 20.00\n}}");
    let message = Message {
        method: Some(Cow::Borrowed("POST")),
        path: Some(Cow::Borrowed("/v1.0/transfer-va/create-va")),
        body: Cow::Borrowed(body.as_bytes()),
        ..Message::default()
    };
    let text = |name: &str| (name.to_owned(), b"test-value-0001".to_vec());
    let bindings = Bindings {
        constants: [text("partner_id"), text("channel_id")].into(),
        inputs: [text("access_token")].into(),
        ..Bindings::default()
    };
    let now = UnixMilliseconds(1_737_023_456_000);
    let times = (0..rounds.max(1)).map(|_| {
        let before = Instant::now();
        for _ in 0..DRAFTS {
            let draft = scheme.draft(&message, &bindings, now, &mut |bytes| bytes.fill(7));
            let draft = draft.expect("a draft");
            assert!(draft.signing().is_some());
        }
        before.elapsed().as_secs_f64() * 1e6 / f64::from(DRAFTS)
    });
    let mut row = Row::single(ENGINE, Target::Under(15.0), "us", times.collect());
    row.note = format!("{} bytes", body.len());
    row
}

/// The platform whose callbacks are verified, and what it has signed: every callback is one that was not seen before.
pub(crate) struct Platform {
    pem: String,
    callbacks: Vec<(String, String)>,
}

impl Platform {
    /// Signs as many callbacks as the rounds take.
    pub(crate) fn new(rounds: usize) -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
        let random = SystemRandom::new();
        let sign = |index: usize| {
            let body = format!("{{\"event\":{index},{}", &BODY[1..]);
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &random, body.as_bytes(), &mut signature)
                .expect("a signature");
            (body, BASE64_STANDARD.encode(signature))
        };
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().expect("a public key");
        Self {
            pem: chancery::key::pem("PUBLIC KEY", public.as_ref()),
            callbacks: (0..(rounds + 1) * CALLBACKS).map(sign).collect(),
        }
    }
}

/// Writes the files of the partners that are measured.
pub(crate) fn write_partners(directory: &Path, platform: &Platform) {
    let pem = &platform.pem;
    let upay = format!(
        "[partner]\nname = \"upay\"\ntitle = \"UPay\"\n[constants]\napi_key = \"k\"\n[keys.signing]\nkey = {:?}\n[schemes.upay-request]\n",
        Kind::Hmac.key()
    );
    let wise = format!(
        "[partner]\nname = \"wise\"\ntitle = \"Wise\"\n[keys.platform]\npublic_keys = [{{ pem = '''\n{pem}''' }}]\n[schemes.wise-webhook]\n"
    );
    fs::write(directory.join("upay.toml"), upay).expect("a partner's file");
    fs::write(directory.join("wise.toml"), wise).expect("a partner's file");
}

/// The throughput of signed requests, as a part of that of signatures with the same key.
pub(crate) async fn sign(daemon: &Daemon, rounds: usize, seconds: f64) -> Row {
    let duration = Duration::from_secs_f64(seconds);
    let clients = daemon.connect(CONNECTIONS);
    let plain = Way::OneByOne {
        in_flight: IN_FLIGHT,
    };
    plain.load(&clients, Kind::Hmac, duration / 4).await;
    calls(&clients, duration / 4, sign_once).await;
    let (mut ratios, mut plains, mut requests) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        let alone = plain.load(&clients, Kind::Hmac, duration).await.rate();
        let through = calls(&clients, duration, sign_once).await;
        ratios.push(through / alone);
        plains.push(alone);
        requests.push(through);
    }
    let mut row = Row::single(SIGN, Target::AtLeast(0.85), "of Sign", ratios);
    row.bare = Some(Spread::of(plains));
    row.daemon = Some(Spread::of(requests));
    row
}

/// Microseconds of the daemon's CPU for one callback; 125 are 8,000 in a second of one core.
pub(crate) async fn verify(daemon: &Daemon, platform: &Platform) -> Row {
    let clients = daemon.connect(CONNECTIONS);
    let (mut times, mut rates) = (vec![], vec![]);
    for (round, callbacks) in platform.callbacks.chunks(CALLBACKS).enumerate() {
        let (start, before) = (Instant::now(), process::cpu(daemon.process()));
        let mut waiting = callbacks.iter().cloned();
        let mut tasks = JoinSet::new();
        let mut send = |tasks: &mut JoinSet<Client>, client: Client| {
            if let Some(callback) = waiting.next() {
                tasks.spawn(async move {
                    verify_once(&client, callback).await;
                    client
                });
            }
        };
        for client in &clients {
            for _ in 0..8 * IN_FLIGHT {
                send(&mut tasks, client.clone());
            }
        }
        while let Some(client) = tasks.join_next().await {
            send(&mut tasks, client.expect("a call that does not panic"));
        }
        // The first round warms up.
        if round > 0 {
            let used = process::cpu(daemon.process()) - before;
            times.push(used * 1e6 / callbacks.len() as f64);
            rates.push(callbacks.len() as f64 / start.elapsed().as_secs_f64());
        }
    }
    let mut row = Row::single(VERIFY, Target::Under(125.0), "us", times);
    row.daemon = Some(Spread::of(rates));
    row.note = "256 at a time, each one new and remembered on disk".to_owned();
    row
}

/// Calls for so long on all connections, so many in flight on each; how many a second.
async fn calls<F: Future<Output = ()> + Send + 'static>(
    clients: &[Client],
    duration: Duration,
    once: impl Fn(Client) -> F,
) -> f64 {
    let end = Instant::now() + duration;
    let mut tasks = JoinSet::new();
    let mut done = 0_u32;
    for client in clients {
        for _ in 0..IN_FLIGHT {
            let one = once(client.clone());
            let client = client.clone();
            tasks.spawn(async move {
                one.await;
                client
            });
        }
    }
    while let Some(client) = tasks.join_next().await {
        let client = client.expect("a call that does not panic");
        if Instant::now() < end {
            done += 1;
            let one = once(client.clone());
            tasks.spawn(async move {
                one.await;
                client
            });
        }
    }
    f64::from(done) / duration.as_secs_f64()
}

async fn sign_once(client: Client) {
    let request = v1::SignHttpRequestRequest {
        partner: "partners/upay".to_owned(),
        scheme: "schemes/upay-request".to_owned(),
        request: Some(v1::HttpRequest {
            method: "POST".to_owned(),
            url: "/api/v1/customer/add".to_owned(),
            body: BODY.into(),
            ..v1::HttpRequest::default()
        }),
        ..v1::SignHttpRequestRequest::default()
    };
    let answer = client.platform().sign_http_request(request).await;
    assert!(
        !answer
            .expect("a signed request")
            .into_inner()
            .set_headers
            .is_empty()
    );
}

async fn verify_once(client: &Client, (body, signature): (String, String)) {
    let request = v1::VerifyCallbackRequest {
        partner: "partners/wise".to_owned(),
        request: Some(v1::HttpRequest {
            method: "POST".to_owned(),
            url: "/hook".to_owned(),
            headers: vec![v1::HttpHeader {
                name: "X-Signature-SHA256".to_owned(),
                value: signature,
            }],
            body: body.into(),
        }),
        ..v1::VerifyCallbackRequest::default()
    };
    let answer = client.platform().verify_callback(request).await;
    let verification = answer.expect("a verdict").into_inner().verification;
    let verdict = verification.expect("a verification").verdict();
    assert_eq!(verdict, Verdict::Valid);
}

const BODY: &str = r#"{"name":"Bob","amount":20.00,"holder":{"name":"Y","city":"X"}}"#;
const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 8;
const DRAFTS: u32 = 2000;
const CALLBACKS: usize = 2000;
