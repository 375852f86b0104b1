//! What the daemon costs: the bare token through `cryptoki` and the same work through `chanceryd` with mTLS and
//! a policy, turn by turn in one run, as ratios.
//!
//! `cargo bench --bench cost -- --help` tells the options. Both sides share the machine's cores with the
//! client; each round measures one after the other, and what is shown is the median of the rounds' ratios.

use std::{
    env, fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    thread,
    time::Duration,
};

use chancery_fault_module::control::{
    CONTROL_VARIABLE, Control, Function, MODULE_VARIABLE, module_path,
};
use clap::Parser;

use bare::Bare;
use daemon::{Daemon, Settings};
use kind::Kind;
use load::Way;
use pki::Pki;
use report::{Cpu, Report, Row, Target};
use sample::{Pace, Spread};
use softhsm::{PIN, Token};

mod bare;
mod daemon;
mod kind;
mod load;
mod noisy;
#[path = "../../tests/integration/pki.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests use more of it")]
mod pki;
mod platform;
mod process;
mod report;
mod sample;
#[path = "../../tests/integration/softhsm.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests use more of it")]
mod softhsm;

/// What the daemon costs, against the bare token.
#[derive(Parser)]
struct Arguments {
    /// Also write the figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each measurement of a round takes.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only the rows whose names hold this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// `workers` of the token; by default, the daemon's own default.
    #[arg(long)]
    workers: Option<usize>,
    /// `threads` of the token.
    #[arg(long)]
    threads: Option<usize>,
    /// `threads` of the server.
    #[arg(long)]
    server_threads: Option<usize>,
    /// `cargo bench` says it; it means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if arguments
        .get(1)
        .is_some_and(|first| first == bare::ARGUMENT)
    {
        return match bare::run(&arguments[2..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("bare: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let arguments = Arguments::parse();
    let report = runtime.block_on(measure(&arguments));
    let mut out = io::stdout().lock();
    writeln!(out, "{report}").expect("to print");
    if let Some(path) = &arguments.json {
        fs::write(path, report.json()).expect("to write the JSON file");
    }
    ExitCode::SUCCESS
}

async fn measure(arguments: &Arguments) -> Report {
    let pki = Pki::new();
    let token = Token::new("cost");
    let settings = Settings {
        workers: arguments.workers,
        threads: arguments.threads,
        server_threads: arguments.server_threads,
        verify: true,
        module: None,
        partners: None,
        policy: String::new(),
    };
    let mut report = Report::new(cores());
    let wanted = |name: &str| name.contains(&arguments.only);

    let checked = Daemon::start(&pki, &token, &settings);
    checked.create_keys().await;
    let unchecked = Daemon::start(
        &pki,
        &token,
        &Settings {
            verify: false,
            ..settings.clone()
        },
    );
    let mut bare = Bare::start(&token.conf(), token.module_path(), token.label(), PIN);

    for plan in THROUGHPUT.iter().filter(|plan| wanted(plan.name)) {
        let daemon = if plan.verify { &checked } else { &unchecked };
        report.add(throughput(arguments, plan, &mut bare, daemon).await);
    }
    for plan in LATENCY.iter().filter(|plan| wanted(plan.name)) {
        report.add(latency(arguments, plan, &mut bare, &checked).await);
    }
    drop(unchecked);
    if wanted(platform::ENGINE) {
        report.add(platform::engine(arguments.rounds));
    }
    if wanted(platform::SIGN) || wanted(platform::VERIFY) {
        let files = tempfile::tempdir().expect("a temporary directory");
        let platform = platform::Platform::new(arguments.rounds);
        platform::write_partners(files.path(), &platform);
        let partners = Some(files.path().to_owned());
        let settings = Settings {
            partners,
            ..settings.clone()
        };
        let daemon = Daemon::start(&pki, &token, &settings);
        let (rounds, seconds) = (arguments.rounds, arguments.seconds);
        if wanted(platform::SIGN) {
            report.add(platform::sign(&daemon, rounds, seconds).await);
        }
        if wanted(platform::VERIFY) {
            report.add(platform::verify(&daemon, &platform).await);
        }
    }
    drop(checked);
    if wanted(noisy::NOISY) {
        let (rounds, seconds) = (arguments.rounds, arguments.seconds);
        report.add(noisy::row(&pki, &token, &settings, rounds, seconds).await);
    }

    if wanted(LOOK_UPS) {
        report.add(look_ups(&pki, &token).await);
    }
    if wanted(MEMORY) {
        report.add(memory(&pki, &token, &settings));
    }
    if wanted(START) {
        bare.fill(FILLED);
        report.add(start(&pki, &token, &settings, arguments.rounds));
    }
    report
}

/// A row about operations a second.
struct Throughput {
    name: &'static str,
    kind: Kind,
    way: Way,
    /// Whether signatures are verified before they are released; MACs never are.
    verify: bool,
    target: Option<f64>,
}

const CONNECTIONS: usize = 4;
const ONE_BY_ONE: Way = Way::OneByOne { in_flight: 8 };
const BATCH: Way = Way::Batch {
    size: 100,
    in_flight: 2,
};
const STREAM: Way = Way::Stream { in_flight: 64 };

#[rustfmt::skip]
const THROUGHPUT: [Throughput; 10] = [
    Throughput { name: "RSA-2048, one by one", kind: Kind::Rsa2048, way: ONE_BY_ONE, verify: true, target: Some(0.80) },
    Throughput { name: "P-256, batches of 100, not verified", kind: Kind::P256, way: BATCH, verify: false, target: Some(0.80) },
    Throughput { name: "P-256, batches of 100", kind: Kind::P256, way: BATCH, verify: true, target: None },
    Throughput { name: "HMAC-SHA256, batches of 100", kind: Kind::Hmac, way: BATCH, verify: true, target: Some(0.80) },
    Throughput { name: "P-256, one by one, not verified", kind: Kind::P256, way: ONE_BY_ONE, verify: false, target: None },
    Throughput { name: "P-256, one by one", kind: Kind::P256, way: ONE_BY_ONE, verify: true, target: None },
    Throughput { name: "HMAC-SHA256, one by one", kind: Kind::Hmac, way: ONE_BY_ONE, verify: true, target: None },
    Throughput { name: "P-256, streams, not verified", kind: Kind::P256, way: STREAM, verify: false, target: None },
    Throughput { name: "P-256, streams", kind: Kind::P256, way: STREAM, verify: true, target: None },
    Throughput { name: "HMAC-SHA256, streams", kind: Kind::Hmac, way: STREAM, verify: true, target: None },
];

async fn throughput(
    arguments: &Arguments,
    plan: &Throughput,
    bare: &mut Bare,
    daemon: &Daemon,
) -> Row {
    let duration = Duration::from_secs_f64(arguments.seconds);
    let clients = daemon.connect(CONNECTIONS);
    let workers = daemon.workers();
    let cpu = |bare: &Bare| {
        [
            process::cpu(bare.process()),
            process::cpu(daemon.process()),
            workers.iter().copied().map(process::cpu).sum(),
            process::cpu(std::process::id()),
        ]
    };
    // What is done only once (pages, connections) belongs to no round.
    plan.way.load(&clients, plan.kind, duration / 4).await;
    let (mut ratios, mut bares, mut daemons, mut slow) = (vec![], vec![], vec![], vec![]);
    let mut used = [0.0; 4];
    let (mut bare_operations, mut operations) = (0, 0);
    for _ in 0..arguments.rounds {
        let before = cpu(bare);
        let alone = bare.sign(plan.kind, cores(), duration, Pace::BackToBack);
        let between = cpu(bare);
        let through = plan.way.load(&clients, plan.kind, duration).await;
        let after = cpu(bare);
        used[0] += between[0] - before[0];
        for one in 1..used.len() {
            used[one] += after[one] - between[one];
        }
        bare_operations += alone.operations;
        operations += through.operations;
        ratios.push(through.rate() / alone.rate());
        bares.push(alone.rate());
        daemons.push(through.rate());
        slow.push(through.quantile(0.99));
    }
    let each = |seconds: f64, operations: u64| seconds * 1e6 / operations as f64;
    Row {
        name: plan.name.to_owned(),
        target: plan.target.map(Target::AtLeast),
        unit: "of bare",
        value: Spread::of(ratios),
        bare: Some(Spread::of(bares)),
        daemon: Some(Spread::of(daemons)),
        cpu: Some(Cpu {
            bare: each(used[0], bare_operations),
            daemon: each(used[1], operations),
            workers: each(used[2], operations),
            client: each(used[3], operations),
        }),
        note: format!("p99 {:.1} ms", Spread::of(slow).median / 1000.0),
    }
}

/// A row about what one call by itself takes longer than the bare token.
struct Latency {
    name: &'static str,
    kind: Kind,
    pace: Pace,
    target: Option<f64>,
}

#[rustfmt::skip]
const LATENCY: [Latency; 4] = [
    Latency { name: "added latency, P-256", kind: Kind::P256, pace: Pace::BackToBack, target: Some(250.0) },
    Latency { name: "added latency, HMAC-SHA256", kind: Kind::Hmac, pace: Pace::BackToBack, target: Some(250.0) },
    Latency { name: "added latency, P-256, 3 ms between calls", kind: Kind::P256, pace: Pace::Resting, target: None },
    Latency { name: "added latency, HMAC-SHA256, 3 ms between calls", kind: Kind::Hmac, pace: Pace::Resting, target: None },
];

async fn latency(arguments: &Arguments, plan: &Latency, bare: &mut Bare, daemon: &Daemon) -> Row {
    let duration = Duration::from_secs_f64(arguments.seconds / 2.0);
    let clients = daemon.connect(1);
    let (mut added, mut bares, mut daemons, mut slow) = (vec![], vec![], vec![], vec![]);
    for _ in 0..arguments.rounds {
        let alone = bare.sign(plan.kind, 1, duration, plan.pace);
        let through = Way::Alone(plan.pace)
            .load(&clients, plan.kind, duration)
            .await;
        added.push(through.quantile(0.5) - alone.quantile(0.5));
        bares.push(alone.quantile(0.5));
        daemons.push(through.quantile(0.5));
        slow.push(through.quantile(0.99));
    }
    Row {
        name: plan.name.to_owned(),
        target: plan.target.map(Target::Under),
        unit: "us p50",
        value: Spread::of(added),
        bare: Some(Spread::of(bares)),
        daemon: Some(Spread::of(daemons)),
        cpu: None,
        note: format!("p99 {:.0} us", Spread::of(slow).median),
    }
}

const LOOK_UPS: &str = "look-ups in 1,000 calls";

/// Counts `C_FindObjectsInit` between the first and the last of many calls.
async fn look_ups(pki: &Pki, token: &Token) -> Row {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let control = Control::create(&directory.path().join("control")).expect("the control file");
    let variable = |name: &str, path: PathBuf| (name.to_owned(), path.display().to_string());
    let environment = vec![
        variable(MODULE_VARIABLE, token.module_path().to_owned()),
        variable(CONTROL_VARIABLE, control.path().to_owned()),
    ];
    let settings = Settings {
        // A second one would list the token while the first is at work already.
        workers: Some(1),
        module: Some((module_path(), environment)),
        ..Settings::default()
    };
    let daemon = Daemon::start(pki, token, &settings);
    let client = daemon.connect(1).remove(0);
    let calls = |function| f64::from(control.calls(function).expect("the control file"));
    let (found, signed) = (calls(Function::FindObjectsInit), calls(Function::Sign));
    for call in 0..1000 {
        let request = Kind::ALL[call % Kind::ALL.len()].request();
        client.signing().sign(request).await.expect("a signature");
    }
    let signed = calls(Function::Sign) - signed;
    assert!(
        signed >= 1000.0,
        "the module counted {signed} calls of C_Sign"
    );
    Row::single(
        LOOK_UPS,
        Target::AtMost(0.0),
        "C_FindObjectsInit",
        vec![calls(Function::FindObjectsInit) - found],
    )
}

const MEMORY: &str = "memory of the idle daemon and one worker";

fn memory(pki: &Pki, token: &Token, settings: &Settings) -> Row {
    let settings = Settings {
        workers: Some(1),
        ..settings.clone()
    };
    let daemon = Daemon::start(pki, token, &settings);
    thread::sleep(Duration::from_secs(2));
    let own = process::memory(daemon.process());
    let worker: f64 = daemon.workers().into_iter().map(process::memory).sum();
    let mut row = Row::single(MEMORY, Target::Under(40.0), "MiB", vec![own + worker]);
    row.note = format!("daemon {own:.1}, worker {worker:.1}");
    row
}

const START: &str = "start with 1,000 keys in the token";
const FILLED: usize = 1000;

fn start(pki: &Pki, token: &Token, settings: &Settings, rounds: usize) -> Row {
    let times = (0..rounds)
        .map(|_| Daemon::start(pki, token, settings).start.as_secs_f64())
        .collect();
    Row::single(START, Target::Under(3.0), "s", times)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
