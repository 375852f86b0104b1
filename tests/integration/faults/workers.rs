//! Workers that are killed, stopped, or die or hang in the module.

use chancery::proto::v1::{BatchSignRequest, sign_result};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_are_replaced_and_every_caller_is_answered() {
    let bench = Bench::start(2, 1, "").await;
    let verifier = bench.verifier("keys/payouts").await;
    let daemon = bench.daemon.pid();
    let stop = tokio_util::sync::CancellationToken::new();
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let (client, stop) = (bench.client.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut signatures, mut refused) = (Vec::new(), 0);
                while !stop.is_cancelled() {
                    match sign(&client, "keys/payouts", MESSAGE).await {
                        Ok(signature) => signatures.push(signature),
                        Err(status) => {
                            assert!(passes(&status), "{status:?}");
                            refused += 1;
                            pause(5).await;
                        }
                    }
                }
                (signatures, refused)
            })
        })
        .collect();

    let mut slowest = Duration::ZERO;
    for round in 0..12 {
        let workers = bench.daemon.worker_pids();
        let doomed = match round % 3 {
            2 => &workers[..],
            one => &workers[one.min(workers.len() - 1)..][..1],
        };
        for pid in doomed {
            kill(*pid, Signal::KILL);
        }
        slowest = slowest.max(bench.heals(PATIENCE).await);
        bench.whole(2).await;
    }
    stop.cancel();

    let (mut signed, mut refused) = (0, 0);
    for caller in callers {
        let (signatures, refusals) = caller.await.unwrap();
        assert!(signatures.iter().all(|one| verifier.takes(MESSAGE, one)));
        signed += signatures.len();
        refused += refusals;
    }
    eprintln!("{signed} signatures, {refused} told to try again, slowest recovery {slowest:?}");
    assert!(signed > 100);
    assert_eq!(bench.daemon.pid(), daemon);
    assert_eq!(bench.pin_marks(), 0);
}

/// A worker that did good work since it came up is no reason to wait: a crash a second is ridden out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_after_crash_is_replaced_as_fast_as_the_first() {
    let bench = Bench::start(1, 1, "").await;
    let mut times = Vec::new();
    for _ in 0..12 {
        bench.kill_workers();
        times.push(bench.heals(PATIENCE).await);
    }
    eprintln!("{times:?}");
    // The machine may be slow; it does not get slower by a factor each time, as waits after failures do.
    let best = |times: &[Duration]| *times.iter().min().unwrap();
    let (first, last) = (best(&times[..4]), best(&times[8..]));
    assert!(last < first * 4 + Duration::from_millis(600), "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_worker_is_replaced_and_disturbs_only_its_own_callers() {
    let limit = Duration::from_secs(3);
    let bench = Bench::start(2, 1, "operation_timeout_seconds = 3").await;
    let before = bench.daemon.worker_pids();
    kill(before[0], Signal::STOP);
    let started = Instant::now();
    let calls = (0..40).map(|_| async {
        let start = Instant::now();
        (bench.sign().await, start.elapsed())
    });
    let answers = futures_util::future::join_all(calls).await;
    let all = started.elapsed();
    for (answer, _) in &answers {
        answer.as_ref().expect("the other worker serves it");
    }
    let slow = answers.iter().filter(|(_, took)| *took > limit);
    eprintln!(
        "{} of 40 were slow; all were answered after {all:?}",
        slow.clone().count()
    );
    assert!(all < PATIENCE, "{all:?}");
    bench.whole(2).await;
    let after = bench.daemon.worker_pids();
    assert!(!after.contains(&before[0]));
    assert!(after.contains(&before[1]), "{before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_in_a_hurry_costs_no_worker_its_life() {
    let bench = Bench::start(2, 1, "operation_timeout_seconds = 5").await;
    let before = bench.daemon.worker_pids();
    // C_Sign is called twice for a signature: for the length, and for the bytes.
    let slowly = Fault::Delay(Duration::from_millis(200));
    bench.order(Function::Sign, slowly, Times::Forever);
    let hasty = bench
        .client
        .clone()
        .with_timeout(Some(Duration::from_millis(30)));
    for _ in 0..10 {
        let status = sign(&hasty, "keys/payouts", MESSAGE).await.unwrap_err();
        let code = status.code();
        assert!(
            matches!(code, Code::DeadlineExceeded | Code::Cancelled),
            "{status:?}"
        );
    }
    // Callers that go away altogether.
    for _ in 0..10 {
        let _ = tokio::time::timeout(Duration::from_millis(30), bench.sign()).await;
    }
    bench.control.clear().unwrap();
    bench.sign().await.unwrap();
    pause(500).await;
    assert_eq!(bench.daemon.worker_pids(), before);
}

/// The limit is for an operation; a batch has many of them in one frame.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_batch_on_a_slow_token_is_not_taken_for_a_hang() {
    let bench = Bench::start(2, 1, "operation_timeout_seconds = 2").await;
    let before = bench.daemon.worker_pids();
    let slowly = Fault::Delay(Duration::from_millis(50));
    bench.order(Function::Sign, slowly, Times::Forever);
    let requests = vec![
        SignRequest {
            name: "keys/payouts".to_owned(),
            algorithm: Algorithm::Es256.into(),
            message: Some(MESSAGE.into()),
            ecdsa_encoding: EcdsaEncoding::Raw.into(),
            ..SignRequest::default()
        };
        30
    ];
    let batch = BatchSignRequest { requests };
    let answer = bench.client.signing().batch_sign(batch).await.unwrap();
    for result in answer.into_inner().results {
        let signed = matches!(result.result, Some(sign_result::Result::Response(_)));
        assert!(signed, "{result:?}");
    }
    assert_eq!(bench.daemon.worker_pids(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_dying_in_an_operation_heals() {
    let bench = Bench::start(2, 1, "operation_timeout_seconds = 2").await;
    let (kind, algorithm) = (KeyType::Rsa2048, Algorithm::RsaOaep256);
    bench
        .create("letters", kind, KeyPurpose::Decrypt, algorithm)
        .await;
    let jwe = bench.encrypt("keys/letters", algorithm).await;
    for function in [
        Function::SignInit,
        Function::Sign,
        Function::DecryptInit,
        Function::Decrypt,
    ] {
        for death in DEATHS {
            bench.order(function, death, Times::Once);
            let outcome = match function {
                Function::SignInit | Function::Sign => bench.sign().await,
                _ => bench.decrypt("keys/letters", &jwe).await,
            };
            // Once is healed by another try, elsewhere.
            outcome.unwrap_or_else(|status| panic!("{function:?} {death:?}: {status:?}"));
            assert_eq!(
                bench.control.hits(function).unwrap(),
                1,
                "{function:?} {death:?}"
            );

            bench.order(function, death, Times::Count(3));
            let first = match function {
                Function::SignInit | Function::Sign => bench.sign().await,
                _ => bench.decrypt("keys/letters", &jwe).await,
            };
            let status = first.unwrap_err();
            assert!(passes(&status), "{function:?} {death:?}: {status:?}");
            bench.control.clear().unwrap();
            bench.heals(PATIENCE).await;
        }
    }
    assert_eq!(bench.pin_marks(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_dying_at_the_start_heals() {
    let bench = Bench::start(2, 1, "start_timeout_seconds = 8").await;
    for function in [
        Function::Initialize,
        Function::OpenSession,
        Function::Login,
        Function::FindObjects,
    ] {
        for death in DEATHS {
            bench.order(function, death, Times::Once);
            bench.kill_workers();
            let took = bench.heals(PATIENCE).await;
            bench.whole(2).await;
            assert_eq!(
                bench.control.hits(function).unwrap(),
                1,
                "{function:?} {death:?}"
            );
            eprintln!("{function:?} {death:?}: a signature after {took:?}");
        }
        // And when it goes on for a while: not ready, then ready without any help.
        bench.order(function, Fault::Segfault, Times::Forever);
        bench.kill_workers();
        until("it is not down", PATIENCE, || !bench.serving()).await;
        let status = bench.sign().await.unwrap_err();
        assert_eq!(reason(&status), "TOKEN_UNAVAILABLE");
        assert!(passes(&status), "{status:?}");
        bench.control.clear().unwrap();
        bench.heals(PATIENCE).await;
        until("it is not ready", PATIENCE, || bench.serving()).await;
        bench.whole(2).await;
    }
    assert_eq!(bench.pin_marks(), 0);
}

/// A lane of a dead worker holds a descriptor; nobody may have to come and look for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_die_idle_leave_nothing_behind() {
    let bench = Bench::start(2, 4, "").await;
    bench.sign().await.unwrap();
    pause(1500).await;
    let (descriptors, threads) = holdings(bench.daemon.pid());
    for _ in 0..6 {
        bench.kill_workers();
        bench.whole(2).await;
        bench.sign().await.unwrap();
    }
    // The known-answer check, once a second, looks after the rest; threads that nobody needs any more end after ten.
    until("descriptors or threads are left", PATIENCE, || {
        let (after, threads_after) = holdings(bench.daemon.pid());
        after <= descriptors + 1 && threads_after <= threads + 1
    })
    .await;
}

/// SoftHSM 2.6 fails when processes log in at once: nobody may see it, and no PIN is to blame.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_workers_start_together_ten_times() {
    let bench = Bench::start(6, 1, "").await;
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        bench.kill_workers();
        let start = Instant::now();
        pause(20).await;
        bench.whole(6).await;
        slowest = slowest.max(start.elapsed());
    }
    eprintln!("six workers up after {slowest:?} at the slowest");
    assert_eq!(bench.logged("worker did not start"), 0);
    assert_eq!(bench.pin_marks(), 0);
}

/// The same for daemons that know nothing of each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_daemons_start_together_on_one_token() {
    let token = Token::new("shared");
    let conf = token.conf().display().to_string();
    let ours = || {
        let mut setup = Setup::new(Token::new("shared"));
        let environment = &mut setup.tokens[0].environment;
        environment.insert("SOFTHSM2_CONF".to_owned(), conf.clone());
        setup
    };
    for _ in 0..2 {
        let setups = [ours(), ours(), ours()];
        let daemons = setups.map(|setup| std::thread::spawn(|| setup.start()));
        for daemon in daemons {
            let daemon = daemon.join().unwrap();
            let up = || started(&daemon) >= 2;
            until("two workers are not up", PATIENCE, up).await;
            assert_eq!(daemon.admin_get("/readyz").0, 200);
            assert_eq!(pin_marks(&daemon.directory().join("state")), 0);
        }
    }
}

const DEATHS: [Fault; 4] = [Fault::Hang, Fault::Segfault, Fault::Abort, Fault::Exit(0)];
