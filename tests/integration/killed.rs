//! The daemon is killed under load, again and again: what was answered is in the log, and one request has one answer.
//!
//! A few kills each time the tests run; `CHANCERY_TEST_FULL=1` makes them as many as the documents say.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chancery::{
    client::{Client, Code, Status},
    proto::v1::{Algorithm as A, KeyType as T, SignRequest},
};
use chancery_fault_module::control::{
    CONTROL_VARIABLE, Control, Fault, Function, MODULE_VARIABLE, Times, module_path,
};
use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    sync::watch,
    task::{JoinSet, block_in_place},
};

use crate::{
    audited::{SOON, gives, hash, log_of, records, verify},
    calls::{create, message},
    harness::{Daemon, Refusal, Setup, times},
    softhsm::Token,
    store::postgres::Server,
};

/// Whatever was answered is in the log, and was before it was answered.
#[tokio::test]
async fn what_was_answered_before_a_kill_is_in_the_log() {
    let kills = times(20, 1000);
    let mut daemon = Setup::new(Token::new("killed")).tables(SOON).start();
    create(&daemon.client("test"), "rsa", T::Rsa2048, &[A::Rs256]).await;
    let answered = Mutex::new(BTreeSet::new());
    let mut log = Follower::new(&log_of(&daemon));
    let mut total = 0;
    let mut starts = Vec::new();
    let mut random = Random(7);
    for round in 0..kills {
        let clients: Vec<_> = (0..4).map(|_| daemon.client("test")).collect();
        let load = clients.iter().enumerate().map(|(at, client)| {
            let answered = &answered;
            async move {
                for number in 0.. {
                    let text = format!("{round} {at} {number}");
                    let request = message("rsa", A::Rs256, text.as_bytes());
                    let Ok(signed) = client.signing().sign(request).await else {
                        return;
                    };
                    let signature = hash(&signed.into_inner().signature);
                    answered.lock().unwrap().insert(signature);
                }
            }
        });
        let killed = async {
            // At another moment in each round; the first answers may not have come yet.
            let wanted = random.below(40);
            let deadline = Instant::now() + Duration::from_secs(60);
            while answered.lock().unwrap().len() < wanted {
                assert!(Instant::now() < deadline, "nothing is answered any more");
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            tokio::time::sleep(Duration::from_micros(random.below(3000) as u64)).await;
            daemon.signal(Signal::KILL);
        };
        tokio::join!(join_all(load), killed);
        daemon.kill();
        let recorded: BTreeSet<_> = log
            .news()
            .iter()
            .filter_map(|record| record["event"]["outcome"]["signature"].as_str())
            .map(str::to_owned)
            .collect();
        let mut answered = answered.lock().unwrap();
        let missing: Vec<_> = answered.difference(&recorded).collect();
        assert!(missing.is_empty(), "round {round}: {missing:?}");
        total += answered.len();
        answered.clear();
        drop(answered);
        let started = Instant::now();
        daemon.start_again();
        starts.push(started.elapsed());
    }
    gives(&daemon.client("test"), "rsa", A::Rs256).await;
    daemon.terminate().await;
    let (good, said) = verify(&log_of(&daemon));
    assert!(good, "{said}");
    assert!(total > kills * 10, "{total} answers");
    starts.sort();
    eprintln!(
        "{kills} kills, {total} answers, none without its outcome; start again: median {:?}, longest {:?}",
        starts[kills / 2],
        starts[kills - 1]
    );
}

/// Every request is asked by 64 callers at once, while the daemon is killed and started again: however it goes, they
/// all get the same bytes. ECDSA is random, so a second signature would differ.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_that_64_callers_race_for_has_one_signature() {
    let calls = times(64 * 16, 100_000);
    let kills = times(3, 20);
    let requests = calls.div_ceil(CALLERS);
    let mut daemon = Daemon::with(Token::new("raced"));
    create(&daemon.client("test"), "pay", T::EcP256, &[A::Es256]).await;

    let (generations, clients) = watch::channel(connections(&daemon));
    let given = Arc::new(Mutex::new(HashMap::<usize, Vec<u8>>::new()));
    let answers = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let clients = clients.clone();
        let (given, answers) = (Arc::clone(&given), Arc::clone(&answers));
        callers.spawn(async move {
            for request in 0..requests {
                let signature = persist(&clients, caller, request).await;
                let mut given = given.lock().unwrap();
                let first = given.entry(request).or_insert_with(|| signature.clone());
                assert_eq!(*first, signature, "request {request} has two signatures");
                answers.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let begun = Instant::now();
    let mut random = Random(11);
    for kill in 1..=kills {
        // Spread over the whole, each at another point of a request.
        let wanted = requests * CALLERS * kill / (kills + 1) + random.below(CALLERS);
        while answers.load(Ordering::Relaxed) < wanted {
            assert!(!callers.is_empty(), "the callers are done");
            tokio::time::sleep(Duration::from_micros(300)).await;
            if let Some(ended) = callers.try_join_next() {
                ended.unwrap();
            }
        }
        block_in_place(|| {
            daemon.kill();
            daemon.start_again();
        });
        generations.send_replace(connections(&daemon));
    }
    callers.join_all().await;
    let took = begun.elapsed();
    assert_eq!(answers.load(Ordering::Relaxed), requests * CALLERS);
    daemon.terminate().await;
    let (good, said) = verify(&log_of(&daemon));
    assert!(good, "{said}");

    // The log has every signature that was given, and every time that it was given again. One that the token made
    // just before a kill, and nobody got, may be there too: the next attempt could not know of it.
    let signed = Signings::of(&records(&log_of(&daemon)));
    let given = given.lock().unwrap();
    assert_eq!(given.len(), requests);
    let mut nobodys = 0;
    for (request, signature) in given.iter() {
        let made = &signed.made[&hash(text(*request).as_bytes())];
        assert!(made.contains(&hash(signature)), "request {request}");
        nobodys += made.len() - 1;
    }
    assert_eq!(signed.made.len(), requests);
    assert!(
        nobodys <= kills * CALLERS,
        "{nobodys} signatures that nobody got"
    );
    assert!(signed.repeated + requests >= requests * CALLERS);
    eprintln!(
        "{} calls of {CALLERS} callers with {requests} request ids, {kills} kills: one signature each \
         ({nobodys} made and never given), {} repeats recorded, in {took:?}",
        requests * CALLERS,
        signed.repeated
    );
}

/// A few connections that callers share.
fn connections(daemon: &Daemon) -> Arc<Vec<Client>> {
    Arc::new((0..8).map(|_| daemon.client("test")).collect())
}

fn text(request: usize) -> String {
    format!("payment {request}")
}

/// Asks until there is an answer.
async fn persist(
    clients: &watch::Receiver<Arc<Vec<Client>>>,
    caller: usize,
    request: usize,
) -> Vec<u8> {
    loop {
        let client = {
            let clients = clients.borrow();
            clients[caller % clients.len()].clone()
        };
        let asked = SignRequest {
            request_id: format!("request-{request}"),
            ..message("pay", A::Es256, text(request).as_bytes())
        };
        match client.signing().sign(asked).await {
            Ok(signed) => return signed.into_inner().signature.to_vec(),
            Err(status) => assert!(may_be_asked_again(&status), "{status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A connection that broke, and what says itself that it is to be tried again.
fn may_be_asked_again(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Aborted
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
    )
}

/// What a log says of signatures.
#[derive(Default)]
struct Signings {
    /// The hashes of those that were made, by the hash of what was signed.
    made: BTreeMap<String, BTreeSet<String>>,
    /// How many were given again.
    repeated: usize,
}

impl Signings {
    fn of(records: &[Value]) -> Self {
        let mut signings = Self::default();
        let mut inputs = HashMap::new();
        for record in records {
            let event = &record["event"];
            if let Some(input) = event["intent"]["input"]["sha256"].as_str() {
                inputs.insert(record["sequence"].as_u64().unwrap(), input.to_owned());
            }
            let outcome = &event["outcome"];
            let Some(input) = outcome["intent"].as_u64().and_then(|at| inputs.get(&at)) else {
                continue;
            };
            if outcome["result"] == "repeated" {
                signings.repeated += 1;
            } else if let Some(signature) = outcome["signature"].as_str() {
                let made = signings.made.entry(input.clone()).or_default();
                assert!(made.insert(signature.to_owned()), "made twice");
            }
        }
        signings
    }
}

/// Reads a log as it grows.
struct Follower {
    log: PathBuf,
    read: BTreeMap<PathBuf, u64>,
}

impl Follower {
    fn new(log: &Path) -> Self {
        Self {
            log: log.join("log"),
            read: BTreeMap::new(),
        }
    }

    /// The whole records since the last time. Of one that was not written whole the rest never comes.
    fn news(&mut self) -> Vec<Value> {
        let entries = fs::read_dir(&self.log).unwrap();
        let mut segments: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        segments.sort();
        let mut records = Vec::new();
        for path in segments {
            let read = self.read.entry(path.clone()).or_default();
            let mut file = fs::File::open(&path).unwrap();
            file.seek(SeekFrom::Start(*read)).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let whole = line.starts_with(b"{") && line.ends_with(b"\n");
                if !whole {
                    break;
                }
                *read += line.len() as u64;
                records.push(serde_json::from_slice(line).unwrap());
            }
        }
        records
    }
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

const CALLERS: usize = 64;

/// Two daemons share a PostgreSQL and a token. One dies while the token signs; the other takes the request over when
/// nobody can wait for the first any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_daemon_had_begun_another_takes_over() {
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let store = format!(
        "[store.postgres]\nsocket = {:?}\ndatabase = \"postgres\"\nuser = \"chancery\"",
        server.home()
    );
    let token = Arc::new(Token::new("shared"));
    let control = Control::create(&token.directory().join("control")).unwrap();
    let mut setup = Setup::new(Arc::clone(&token))
        .tables(&store)
        .rare_checkpoints();
    let seat = &mut setup.tokens[0];
    seat.module = Some(module_path());
    let environment = [
        (MODULE_VARIABLE, token.module_path()),
        (CONTROL_VARIABLE, control.path()),
    ];
    let environment = environment.map(|(name, path)| (name.into(), path.display().to_string()));
    seat.environment.extend(environment);
    let mut doomed = setup.start();
    let other = Setup::new(token).tables(&store).rare_checkpoints().start();
    create(&doomed.client("test"), "pay", T::EcP256, &[A::Es256]).await;

    let slowly = Fault::Delay(Duration::from_secs(60));
    control.set(Function::Sign, slowly, Times::Once, 0).unwrap();
    let request = SignRequest {
        request_id: "taken-over".to_owned(),
        ..message("pay", A::Es256, b"pay 100")
    };
    // The shorter its caller waits, the sooner it is over.
    let client = doomed
        .client("test")
        .with_timeout(Some(Duration::from_secs(10)));
    let asked = request.clone();
    let asked = tokio::spawn(async move { client.signing().sign(client.request(asked)).await });
    let deadline = Instant::now() + Duration::from_secs(60);
    while control.hits(Function::Sign).unwrap() == 0 {
        assert!(Instant::now() < deadline, "the token is not asked");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    doomed.kill();
    asked.await.unwrap().unwrap_err();

    let client = other.client("test");
    let deadline = Instant::now() + Duration::from_secs(120);
    let first = loop {
        match client.signing().sign(request.clone()).await {
            Ok(signed) => break signed.into_inner(),
            Err(status) => {
                let reason = Refusal::of(&status).reason;
                // It may have to hear of the key first.
                let waits = [
                    "REQUEST_IN_PROGRESS",
                    "KEY_NOT_FOUND",
                    "KEY_UNUSABLE",
                    "DEADLINE_EXCEEDED",
                    "STORE_DEADLINE",
                    "STORE_UNAVAILABLE",
                ];
                assert!(waits.contains(&&*reason), "{status:?}");
                assert!(
                    Instant::now() < deadline,
                    "it is not taken over: {status:?}"
                );
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    doomed.start_again();
    for daemon in [&other, &doomed] {
        let again = daemon.client("test").signing().sign(request.clone()).await;
        assert_eq!(again.unwrap().into_inner(), first);
    }
}
