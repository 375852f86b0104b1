//! Everything at once for a while: mixed work, and a fault every 50 ms.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use chancery::proto::v1::GenerateRandomRequest;

use super::{pressure::Random, *};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_operations_under_a_hail_of_faults() {
    let bench = Bench::start(
        3,
        2,
        "operation_timeout_seconds = 1\nstart_timeout_seconds = 5",
    )
    .await;
    let (kind, algorithm) = (KeyType::Aes256, Algorithm::A256kw);
    bench
        .create("wraps", kind, KeyPurpose::Wrap, algorithm)
        .await;
    let jwe = Arc::new(bench.encrypt("keys/wraps", algorithm).await);
    for _ in 0..20 {
        bench.sign().await.unwrap();
    }
    pause(1500).await;
    let before = holdings(bench.daemon.pid());
    let daemon = bench.daemon.pid();

    let begun = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..12_u64)
        .map(|seed| {
            let (client, begun, jwe) = (bench.client.clone(), Arc::clone(&begun), Arc::clone(&jwe));
            tokio::spawn(async move {
                let mut random = Random(seed + 1);
                let (mut signed, mut done, mut refused) = (Vec::new(), 0, 0);
                while begun.fetch_add(1, Ordering::Relaxed) < OPERATIONS {
                    let number = random.next().to_be_bytes();
                    let outcome = match random.below(10) {
                        0..=6 => sign(&client, "keys/payouts", &number)
                            .await
                            .map(|signature| {
                                signed.push((number, signature));
                            }),
                        7 | 8 => decrypt(&client, "keys/wraps", &jwe).await.map(|plain| {
                            assert_eq!(plain, MESSAGE);
                        }),
                        _ => {
                            let request = GenerateRandomRequest {
                                length: 32,
                                ..GenerateRandomRequest::default()
                            };
                            let answer = client.keys().generate_random(request).await;
                            answer.map(|answer| assert_eq!(answer.into_inner().data.len(), 32))
                        }
                    };
                    match outcome {
                        Ok(()) => done += 1,
                        Err(status) => {
                            // A refusal of the input or of the key is what some of the codes say.
                            let known = passes(&status)
                                || ["REFUSED_BY_TOKEN", "DECRYPTION_FAILED"]
                                    .contains(&reason(&status).as_str());
                            assert!(known, "{status:?}");
                            refused += 1;
                            // As RetryInfo has it, or else an outage is counted by how often one asks.
                            pause(50).await;
                        }
                    }
                }
                (signed, done, refused)
            })
        })
        .collect();

    let start = Instant::now();
    let over = AtomicBool::new(false);
    let hail = async {
        let mut random = Random(0x5eed);
        let mut faults = 0;
        while start.elapsed() < Duration::from_secs(10) {
            let function = [
                Function::SignInit,
                Function::Sign,
                Function::UnwrapKey,
                Function::GenerateRandom,
                Function::OpenSession,
                Function::Login,
                Function::FindObjects,
                Function::Digest,
            ][random.below(8)];
            let fault = match random.below(16) {
                0 => Fault::Hang,
                1 => Fault::Segfault,
                2 => Fault::Abort,
                3 => Fault::Exit(1),
                4 | 5 => Fault::Delay(Duration::from_millis(random.next() % 100)),
                6 => Fault::Return([0x5, 0x6, 0x30, 0x32, 0x60, 0x82, 0x90, 0xb3][random.below(8)]),
                7 if function == Function::Sign => Fault::Corrupt,
                8 if function == Function::Sign => Fault::ForwardThenReturn(0x30),
                // Not a wrong PIN: that would rightly be the end.
                _ => Fault::Return([0x30, 0x101, 0xb0, 0x190, 0xe0, 0xb1][random.below(6)]),
            };
            bench.order(function, fault, Times::Once);
            faults += 1;
            pause(50).await;
        }
        bench.control.clear().unwrap();
        over.store(true, Ordering::Relaxed);
        faults
    };
    let (faults, callers) = tokio::join!(hail, futures_util::future::join_all(callers));

    let verifier = bench.verifier("keys/payouts").await;
    let (mut done, mut refused, mut verified) = (0, 0, 0);
    for caller in callers {
        let (signed, good, bad) = caller.unwrap();
        for (message, signature) in &signed {
            assert!(
                verifier.takes(message, signature),
                "a wrong signature was released"
            );
        }
        verified += signed.len();
        done += good;
        refused += bad;
    }
    eprintln!(
        "{done} done, {refused} told to try again, {verified} signatures verified, {faults} faults, {} workers, {:?}",
        bench.started(),
        start.elapsed()
    );
    assert_eq!(done + refused, OPERATIONS);
    assert!(refused < done, "{refused} of {done}");
    bench.heals(PATIENCE).await;
    until("it is not ready", PATIENCE, || bench.serving()).await;
    bench.whole(3).await;
    // Threads that nobody needs any more end after ten seconds; a leak stays.
    until("descriptors or threads are left", PATIENCE, || {
        let after = holdings(bench.daemon.pid());
        after.0 <= before.0 + 2 && after.1 <= before.1 + 2
    })
    .await;
    assert_eq!(bench.daemon.pid(), daemon);
    assert_eq!(bench.pin_marks(), 0);
    assert!(bench.calls(Function::Login) <= bench.calls(Function::Initialize));
}

const OPERATIONS: usize = 20_000;
