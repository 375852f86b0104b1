//! What a noisy neighbour costs: others' p99 beside one who asks for ten times its quota, against their p99 alone.

use std::time::Duration;

use chancery::client::{Client, Code};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    daemon::{Daemon, Settings},
    kind::Kind,
    load::Way,
    pki::Pki,
    report::{Row, Target},
    sample::{Pace, Spread},
    softhsm::Token,
};

pub(crate) const NOISY: &str = "noisy neighbour, p99 of the others";

/// How many a second the noisy one may have signed.
const QUOTA: u32 = 100;
const TIMES: u32 = 10;
const OTHERS: usize = 4;

pub(crate) async fn row(
    pki: &Pki,
    token: &Token,
    settings: &Settings,
    rounds: usize,
    seconds: f64,
) -> Row {
    let noisy = Pki::spiffe_id("noisy");
    let settings = Settings {
        policy: format!(
            r#"
[[rules]]
name = "noisy"
identities = ["{noisy}"]
keys = ["*"]
operations = ["sign"]
algorithms = ["*"]
[[quotas]]
name = "noisy"
identities = ["{noisy}"]
per_second = {QUOTA}
"#
        ),
        ..settings.clone()
    };
    let daemon = Daemon::start(pki, token, &settings);
    let others = daemon.connect(OTHERS);
    let noise = daemon.connect_as(&pki.client("noisy"), OTHERS);
    // A p99 of few calls says nothing.
    let duration = Duration::from_secs_f64(seconds.max(2.0));
    let quiet = Way::Alone(Pace::Resting);
    let (mut ratios, mut alone, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    let (mut asked, mut refused) = (0, 0);
    for _ in 0..rounds {
        let base = quiet.load(&others, Kind::P256, duration).await;
        let (beside_it, (more_asked, more_refused)) = tokio::join!(
            quiet.load(&others, Kind::P256, duration),
            make_noise(&noise, duration)
        );
        asked += more_asked;
        refused += more_refused;
        alone.push(base.quantile(0.99));
        beside.push(beside_it.quantile(0.99));
        ratios.push(beside_it.quantile(0.99) / base.quantile(0.99));
    }
    let mut row = Row::single(NOISY, Target::AtMost(2.0), "of their base", ratios);
    row.note = format!(
        "p99 {:.0} us alone, {:.0} us beside; {refused} of {asked} refused",
        Spread::of(alone).median,
        Spread::of(beside).median
    );
    row
}

/// Asks at a fixed pace, whatever becomes of it. Says how often, and how often it was refused.
async fn make_noise(clients: &[Client], duration: Duration) -> (u64, u64) {
    let end = Instant::now() + duration;
    let mut ticks = interval(Duration::from_secs(1) / (QUOTA * TIMES));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    let (mut asked, mut refused) = (0, 0);
    let mut turn = clients.iter().cycle();
    while Instant::now() < end {
        ticks.tick().await;
        let client = turn.next().expect("there are clients").clone();
        calls.spawn(async move { client.signing().sign(Kind::P256.request()).await });
        while let Some(ended) = calls.try_join_next() {
            asked += 1;
            refused += u64::from(is_refused(ended.expect("no panic")));
        }
    }
    for ended in calls.join_all().await {
        asked += 1;
        refused += u64::from(is_refused(ended));
    }
    (asked, refused)
}

fn is_refused<T>(answer: Result<T, chancery::client::Status>) -> bool {
    match answer {
        Ok(_) => false,
        Err(status) => {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
            true
        }
    }
}
