//! What callers can do to a token: bad ciphertexts, and more work than it can take.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chancery::proto::v1::BatchSignRequest;
use serde_json::Value;

use super::*;
use crate::audited::{log_of, records};

/// Nothing that a caller sends makes a worker go or a log-in happen; others don't notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_bad_ciphertexts_moves_nothing() {
    let bench = Bench::start(2, 1, "").await;
    let mut storms = Vec::new();
    for (id, kind, purpose, algorithm) in OPENERS {
        bench.create(id, kind, purpose, algorithm).await;
        let name = format!("keys/{id}");
        let good = bench.encrypt(&name, algorithm).await;
        assert_eq!(bench.decrypt(&name, &good).await.unwrap(), MESSAGE);
        storms.push((name, good));
    }
    bench.sign().await.unwrap();
    let workers = bench.daemon.worker_pids();
    let logins = bench.calls(Function::Login);

    let senders = storms.iter().enumerate().map(|(seed, (name, good))| {
        let client = bench.daemon.client("test");
        async move {
            let mut random = Random(seed as u64 + 1);
            for round in 0..1000 {
                let bad = spoiled(good, round, &mut random);
                let status = decrypt(&client, name, &bad).await.unwrap_err();
                assert_eq!(reason(&status), "DECRYPTION_FAILED", "{name}: {status:?}");
            }
        }
    });
    let others = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..200 {
            let start = Instant::now();
            bench.sign().await.unwrap();
            slowest = slowest.max(start.elapsed());
            pause(5).await;
        }
        slowest
    };
    let (_, slowest) = tokio::join!(futures_util::future::join_all(senders), others);
    eprintln!("the slowest signature beside the storm took {slowest:?}");
    assert_eq!(bench.daemon.worker_pids(), workers);
    assert_eq!(bench.calls(Function::Login), logins);
    assert!(bench.serving());
    for (name, good) in &storms {
        assert_eq!(bench.decrypt(name, good).await.unwrap(), MESSAGE);
    }
}

/// What does not fit into the queue is sent away with a time to come again; what was taken in is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_sends_away_and_loses_nothing() {
    let bench = Bench::start(1, 1, "queue = 4").await;
    let slowly = Fault::Delay(Duration::from_millis(100));
    bench.order(Function::Sign, slowly, Times::Forever);
    let verifier = bench.verifier("keys/payouts").await;
    let (mut signed, mut sent_away) = (0, 0);
    for _ in 0..4 {
        let answers = futures_util::future::join_all((0..40).map(|_| bench.sign())).await;
        for answer in answers {
            match answer {
                Ok(signature) => {
                    assert!(verifier.takes(MESSAGE, &signature));
                    signed += 1;
                }
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                    assert_eq!(reason(&status), "TOKEN_BUSY");
                    assert!(passes(&status), "{status:?}");
                    sent_away += 1;
                }
            }
        }
    }
    eprintln!("{signed} signed, {sent_away} sent away");
    assert_eq!(signed + sent_away, 160);
    assert!(signed >= 4 * 5 && sent_away >= 4 * 10);
    // The places are free again.
    bench.control.clear().unwrap();
    let answers = futures_util::future::join_all((0..5).map(|_| bench.sign())).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(bench.started(), 1);
}

/// Turns go round: one signature of a quiet caller waits for a few of a noisy one's, however many of those wait, one by
/// one or in batches. What the token did meanwhile is counted in the audit log, with what it had done when the quiet call
/// came, and was not yet told: so the bounds are wide, and far from what waiting for all would be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_caller_waits_for_few_of_a_noisy_one() {
    let bench = Bench::with(|setup| {
        let seat = &mut setup.tokens[0];
        (seat.workers, seat.threads) = (1, 1);
        setup.policy = setup.policy.replace(
            "[\"spiffe://chancery.test/test\"]",
            "[\"spiffe://chancery.test/test\", \"spiffe://chancery.test/noisy\"]",
        );
    });
    bench.create_payouts().await;
    let (kind, purpose) = (KeyType::EcP256, KeyPurpose::Sign);
    bench.create("noise", kind, purpose, Algorithm::Es256).await;
    let delayed = |milliseconds| {
        let delay = Fault::Delay(Duration::from_millis(milliseconds));
        bench.order(Function::Sign, delay, Times::Forever);
    };
    // Slowly while the queue fills, which takes a busy machine a while.
    delayed(100);
    let noisy = bench.daemon.client("noisy");

    let singles = tokio::spawn({
        let noisy = noisy.clone();
        async move {
            let calls = (0..200).map(|_| sign(&noisy, "keys/noise", MESSAGE));
            futures_util::future::join_all(calls).await
        }
    });
    wait_for_queue(&bench, 150.0).await;
    delayed(10);
    bench.sign().await.unwrap();
    // A frame has 16 signatures at most: one that was just done, the one that the token was at, and the next.
    let meanwhile = done_for_others_during_the_last(&bench.daemon);
    assert!(meanwhile <= 60, "{meanwhile} of 200");
    for answer in singles.await.unwrap() {
        answer.unwrap();
    }

    delayed(100);
    let batches = tokio::spawn(async move {
        let request = SignRequest {
            name: "keys/noise".to_owned(),
            algorithm: Algorithm::Es256.into(),
            message: Some(MESSAGE.into()),
            ecdsa_encoding: EcdsaEncoding::Raw.into(),
            ..SignRequest::default()
        };
        let calls = (0..12).map(|_| {
            let requests = vec![request.clone(); 20];
            let mut client = noisy.signing();
            async move { client.batch_sign(BatchSignRequest { requests }).await }
        });
        futures_util::future::join_all(calls).await
    });
    wait_for_queue(&bench, 8.0).await;
    delayed(10);
    bench.sign().await.unwrap();
    // A batch has 20.
    let meanwhile = done_for_others_during_the_last(&bench.daemon);
    assert!(meanwhile <= 80, "{meanwhile} of 240");
    for answer in batches.await.unwrap() {
        answer.unwrap();
    }
}

/// How many signatures of others were done between the intent and the outcome of the last one with `keys/payouts`.
fn done_for_others_during_the_last(daemon: &Daemon) -> usize {
    let records = records(&log_of(daemon));
    let number = |value: &Value| value.as_u64().unwrap();
    let is_of_payouts = |record: &&Value| record["event"]["intent"]["subject"]["key"] == "payouts";
    let last = records.iter().rfind(is_of_payouts).unwrap();
    let begun = number(&last["sequence"]);
    let done = |record: &Value| record["event"]["outcome"]["intent"].as_u64();
    let after = records
        .iter()
        .filter(|record| number(&record["sequence"]) > begun);
    let before_its_own = after.map(done).take_while(|of| *of != Some(begun));
    before_its_own.flatten().count()
}

/// Waits until so many operations wait for the token.
async fn wait_for_queue(bench: &Bench, length: f64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, metrics) = bench.daemon.admin_get("/metrics");
        let mut lines = metrics.lines();
        let line = lines.find_map(|line| line.strip_prefix("chancery_token_queue_length{"));
        let number = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        if number.is_some_and(|number| number >= length) {
            return;
        }
        assert!(Instant::now() < deadline, "{line:?}");
        pause(2).await;
    }
}

/// A JWE whose encrypted key is another: some bits of it flipped, all of it noise, too short, or nought.
fn spoiled(jwe: &str, round: usize, random: &mut Random) -> String {
    let mut parts: Vec<&str> = jwe.split('.').collect();
    let mut key = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    match round % 5 {
        0 => key.iter_mut().for_each(|byte| *byte = random.next() as u8),
        1 => key.fill(0),
        2 => key.fill(0xff),
        3 => key.truncate(key.len() - 8),
        _ => {
            let at = random.below(key.len());
            key[at] ^= 1 << random.below(8);
        }
    }
    let key = URL_SAFE_NO_PAD.encode(key);
    parts[1] = &key;
    parts.join(".")
}

/// xorshift64: the same numbers in every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}
