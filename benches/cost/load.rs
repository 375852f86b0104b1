//! The callers: how the daemon is asked to sign.

use std::time::{Duration, Instant};

use chancery::{
    client::Client,
    proto::v1::{self, sign_result::Result as Outcome},
};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::{
    kind::Kind,
    sample::{Pace, Sample},
};

/// A way to call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// `Sign`, so many calls in flight on each connection.
    OneByOne { in_flight: usize },
    /// `BatchSign` of so many, so many calls in flight on each connection.
    Batch { size: usize, in_flight: usize },
    /// `StreamSign`, one on each connection, so many requests in flight.
    Stream { in_flight: usize },
    /// `Sign`, one call at a time.
    Alone(Pace),
}

impl Way {
    /// Calls for so long on all these connections.
    pub(crate) async fn load(self, clients: &[Client], kind: Kind, duration: Duration) -> Sample {
        for client in clients {
            // Connects.
            sign(client, kind).await;
        }
        let start = Instant::now();
        let end = start + duration;
        let mut tasks = JoinSet::new();
        for client in clients {
            let client = client.clone();
            match self {
                Self::OneByOne { in_flight } => {
                    for _ in 0..in_flight {
                        tasks.spawn(one_by_one(client.clone(), kind, end, Pace::BackToBack));
                    }
                }
                Self::Batch { size, in_flight } => {
                    for _ in 0..in_flight {
                        tasks.spawn(batches(client.clone(), kind, end, size));
                    }
                }
                Self::Stream { in_flight } => {
                    tasks.spawn(stream(client, kind, end, in_flight));
                }
                Self::Alone(pace) => {
                    tasks.spawn(one_by_one(client, kind, end, pace));
                }
            }
        }
        let mut sample = Sample::sum(tasks.join_all().await);
        // What came after the end was not counted.
        sample.seconds = duration.as_secs_f64();
        sample
    }
}

async fn one_by_one(client: Client, kind: Kind, end: Instant, pace: Pace) -> Sample {
    let mut sample = Sample::start();
    loop {
        let before = Instant::now();
        sign(&client, kind).await;
        let after = Instant::now();
        if after >= end {
            return sample;
        }
        sample.took(after - before, 1);
        if let Some(pause) = pace.pause() {
            sleep(pause).await;
        }
    }
}

async fn sign(client: &Client, kind: Kind) {
    let response = client.signing().sign(kind.request()).await;
    assert!(
        !response
            .expect("a signature")
            .into_inner()
            .signature
            .is_empty()
    );
}

async fn batches(client: Client, kind: Kind, end: Instant, size: usize) -> Sample {
    let mut sample = Sample::start();
    let requests = vec![kind.request(); size];
    loop {
        let before = Instant::now();
        let request = v1::BatchSignRequest {
            requests: requests.clone(),
        };
        let response = client.signing().batch_sign(request).await;
        let results = response.expect("signatures").into_inner().results;
        assert_eq!(results.len(), size);
        results.iter().for_each(check);
        let after = Instant::now();
        if after >= end {
            return sample;
        }
        sample.took(after - before, size as u64);
    }
}

/// Keeps so many in flight: each answer lets the next request go.
async fn stream(client: Client, kind: Kind, end: Instant, in_flight: usize) -> Sample {
    let (requests, outgoing) = mpsc::channel(in_flight);
    let next = |id: u64| v1::StreamSignRequest {
        id,
        request: Some(kind.request()),
    };
    for id in 0..in_flight as u64 {
        requests.send(next(id)).await.expect("room for it");
    }
    let mut signing = client.signing();
    let response = signing.stream_sign(ReceiverStream::new(outgoing)).await;
    let mut answers = response.expect("a stream").into_inner();
    let mut sample = Sample::start();
    let mut last = Instant::now();
    while let Some(answer) = answers.next().await {
        check(&answer.expect("an answer").result.expect("a result"));
        let now = Instant::now();
        if now >= end {
            break;
        }
        sample.took(now - last, 1);
        last = now;
        requests
            .send(next(sample.operations))
            .await
            .expect("the stream is open");
    }
    sample
}

fn check(result: &v1::SignResult) {
    assert!(
        matches!(&result.result, Some(Outcome::Response(response)) if !response.signature.is_empty()),
        "{result:?}"
    );
}
