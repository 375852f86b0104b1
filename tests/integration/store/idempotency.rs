//! A request id is answered once, with the same bytes ever after, however many ask and whatever dies.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use chancery::{
    identity::IdentityName,
    store::{Answer, Begun, Request, Store, StoreError, Timestamp},
};

use super::place::{at, hash, on_both};

const LEASE: Duration = Duration::from_secs(30);

fn caller() -> IdentityName {
    "spiffe://example.org/payouts".parse().unwrap()
}

async fn begin(store: &Store, id: &str, content: u64, now: Timestamp) -> Begun {
    let identity = caller();
    let request = Request {
        identity: &identity,
        method: "Sign",
        id,
        content_hash: hash(content),
    };
    store
        .idempotency()
        .begin(request, now, LEASE)
        .await
        .unwrap()
}

macro_rules! new {
    ($begun:expr) => {
        match $begun {
            Begun::New(claim) => claim,
            other => panic!("expected a claim, found {other:?}"),
        }
    };
}

fn answer(begun: Begun) -> Vec<u8> {
    match begun {
        Begun::Answered(Answer { bytes, .. }) => bytes,
        other => panic!("expected an answer, found {other:?}"),
    }
}

on_both! {
    async fn the_same_request_gets_the_same_answer(place) {
        let store = place.open().await;
        let claim = new!(begin(&store, "1", 7, at(0)).await);
        assert_eq!(claim.attempt(), 1);
        assert!(matches!(begin(&store, "1", 7, at(1)).await, Begun::InProgress { since, .. } if since == at(0)));
        assert!(matches!(begin(&store, "1", 8, at(1)).await, Begun::OtherContent));
        claim.complete(b"a signature", "[]", at(2)).await.unwrap();
        assert_eq!(answer(begin(&store, "1", 7, at(3)).await), b"a signature");
        assert!(matches!(begin(&store, "1", 8, at(3)).await, Begun::OtherContent));
        drop(store);
        let store = place.open().await;
        assert_eq!(answer(begin(&store, "1", 7, at(4)).await), b"a signature");
        // Until a day is over.
        assert_eq!(answer(begin(&store, "1", 7, at(86_401)).await), b"a signature");
        assert!(matches!(begin(&store, "1", 8, at(86_402)).await, Begun::New(_)));
    }

    async fn ids_are_each_callers_own_and_each_methods(place) {
        let store = place.open().await;
        let other: IdentityName = "dns:host.example".parse().unwrap();
        let identity = caller();
        for (identity, method, id) in [
            (&identity, "Sign", "1"), (&other, "Sign", "1"), (&identity, "Mac", "1"),
            (&identity, "Sign1", ""), (&identity, "", "Sign1"), (&identity, "Sign", "2"),
        ] {
            let request = Request { identity, method, id, content_hash: hash(1) };
            let claim = new!(store.idempotency().begin(request, at(0), LEASE).await.unwrap());
            claim.complete(b"", "[]", at(0)).await.unwrap();
        }
        assert_eq!(answer(begin(&store, "1", 1, at(1)).await), b"");
    }

    async fn an_attempt_that_was_taken_over_can_not_answer(place) {
        let [one, other] = [place.open().await, place.open().await];
        let slow = new!(begin(&one, "1", 7, at(0)).await);
        assert!(matches!(begin(&other, "1", 7, at(29)).await, Begun::InProgress { .. }));
        let second = new!(begin(&other, "1", 7, at(30)).await);
        assert_eq!(second.attempt(), 2);
        assert_eq!(slow.complete(b"of the first", "[]", at(31)).await, Err(StoreError::ClaimLost));
        second.complete(b"of the second", "[]", at(31)).await.unwrap();
        assert_eq!(answer(begin(&one, "1", 7, at(32)).await), b"of the second");
    }

    async fn a_claim_that_is_dropped_is_free_at_once_and_one_released_forgotten(place) {
        let store = place.open().await;
        drop(new!(begin(&store, "1", 7, at(0)).await));
        let second = new!(begin(&store, "1", 7, at(0)).await);
        assert_eq!(second.attempt(), 2);
        second.release().await.unwrap();
        // Nothing was done, so nothing of it is known: not even the content.
        let third = new!(begin(&store, "1", 8, at(0)).await);
        assert_eq!(third.attempt(), 1);
        let long = vec![0; (1 << 20) + 1];
        assert_eq!(third.complete(&long, "[]", at(0)).await.unwrap_err().reason(), "ANSWER_TOO_LARGE");
        assert_eq!(new!(begin(&store, "1", 8, at(0)).await).attempt(), 2);
    }

    async fn an_answer_that_is_old_is_purged(place) {
        let store = place.open().await;
        for id in 0..1200 {
            let claim = new!(begin(&store, &id.to_string(), 1, at(0)).await);
            claim.complete(b"x", "[]", at(0)).await.unwrap();
        }
        assert_eq!(store.idempotency().purge(at(86_399)).await, Ok(0));
        assert_eq!(store.purge(at(86_400)).await, Ok(1200));
    }

    /// Calls of 64 callers through two daemons.
    async fn of_many_who_ask_the_same_one_is_told_to_do_it(place) {
        let stores = [place.open().await, place.open().await];
        // Two processes at one file are not what it is for.
        let calls: u64 = if place.server.is_some() { 100_000 } else { 10_000 };
        let done = Arc::new(Mutex::new(HashMap::<u64, Vec<u8>>::new()));
        let mut tasks = tokio::task::JoinSet::new();
        let next = Arc::new(std::sync::atomic::AtomicU64::new(0));
        for task in 0..64_u64 {
            let store = stores[task as usize % 2].clone();
            let (next, done) = (Arc::clone(&next), Arc::clone(&done));
            tasks.spawn(async move {
                let mut new = 0_u64;
                loop {
                    let call = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if call >= calls {
                        return new;
                    }
                    // Neighbouring calls are about the same request.
                    let id = call / 64;
                    match begin(&store, &id.to_string(), id, at(0)).await {
                        Begun::New(claim) => {
                            assert_eq!(claim.attempt(), 1);
                            let answer = format!("{id} by {task}").into_bytes();
                            claim.complete(&answer, "[]", at(0)).await.unwrap();
                            assert_eq!(done.lock().unwrap().insert(id, answer), None, "{id}");
                            new += 1;
                        }
                        Begun::Answered(Answer { bytes, .. }) => {
                            // It is on disk before it is in the map.
                            let known = done.lock().unwrap().get(&id).cloned();
                            assert_eq!(*known.as_ref().unwrap_or(&bytes), bytes);
                        }
                        Begun::InProgress { .. } => {}
                        Begun::OtherContent => panic!("{id} has one content"),
                    }
                }
            });
        }
        let new: u64 = tasks.join_all().await.into_iter().sum();
        assert_eq!(new, calls.div_ceil(64));
    }
}
