//! Callbacks are fresh once: whoever asks, however many ask, and after whatever restart.

use std::sync::Arc;

use chancery::store::{ReplayConfig, Seen, Settings, Store, StoreError};

use super::place::{at, hash, on_both};

on_both! {
    async fn an_id_is_fresh_once_for_each_partner_and_scheme(place) {
        let store = place.open().await;
        let ask = async |partner: &str, scheme: &str, seconds| {
            store.replay().remember(partner, scheme, hash(1), at(seconds), at(300)).await.unwrap()
        };
        assert_eq!(ask("upay", "upay-webhook", 0).await, Seen::Fresh);
        assert_eq!(ask("upay", "upay-webhook", 7).await, Seen::Duplicate { first_seen: at(0) });
        assert_eq!(ask("upay", "upay-webhook", 8).await, Seen::Duplicate { first_seen: at(0) });
        assert_eq!(ask("upay-test", "upay-webhook", 9).await, Seen::Fresh);
        assert_eq!(ask("upay", "other", 10).await, Seen::Fresh);
        drop(store);
        let again = place.open().await;
        let seen = again.replay().remember("upay", "upay-webhook", hash(1), at(11), at(300)).await;
        assert_eq!(seen, Ok(Seen::Duplicate { first_seen: at(0) }));
    }

    async fn an_id_expires_when_it_was_said_to_and_not_before(place) {
        let store = place.open().await;
        let ask = async |seconds, expires| {
            store.replay().remember("p", "s", hash(1), at(seconds), at(expires)).await.unwrap()
        };
        assert_eq!(ask(0, 60).await, Seen::Fresh);
        assert_eq!(ask(59, 60).await, Seen::Duplicate { first_seen: at(0) });
        assert_eq!(ask(60, 120).await, Seen::Fresh);
        // A second delivery prolongs: its own timestamp lets it in for longer.
        assert_eq!(ask(61, 500).await, Seen::Duplicate { first_seen: at(60) });
        assert_eq!(ask(62, 100).await, Seen::Duplicate { first_seen: at(60) });
        assert_eq!(ask(499, 500).await, Seen::Duplicate { first_seen: at(60) });
        assert_eq!(ask(500, 600).await, Seen::Fresh);
    }

    async fn of_many_who_ask_at_once_one_is_told_fresh(place) {
        let stores = [place.open().await, place.open().await];
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..64_u64 {
            let store = stores[task as usize % 2].clone();
            tasks.spawn(async move {
                let mut fresh = Vec::new();
                for id in 0..200 {
                    // Each task begins elsewhere, so that they meet at different ids.
                    let id = (id + task * 3) % 200;
                    let seen = store.replay().remember("p", "s", hash(id), at(0), at(60)).await;
                    if seen.unwrap() == Seen::Fresh {
                        fresh.push(id);
                    }
                }
                fresh
            });
        }
        let mut fresh = tasks.join_all().await.concat();
        fresh.sort_unstable();
        assert_eq!(fresh, (0..200).collect::<Vec<_>>());
    }

    async fn a_full_memory_refuses_new_ids_and_knows_old_ones(place) {
        let limit = Settings { replay: ReplayConfig { max_entries_per_partner: 10 }, ..Settings::default() };
        let store = Store::open(&place.config, limit).await.unwrap();
        let ask = async |partner: &str, id, seconds, expires| {
            store.replay().remember(partner, "s", hash(id), at(seconds), at(expires)).await
        };
        for id in 0..10 {
            assert_eq!(ask("p", id, 0, 60).await, Ok(Seen::Fresh));
        }
        let full = StoreError::ReplayMemoryFull { partner: "p".to_owned(), limit: 10 };
        assert_eq!(ask("p", 10, 1, 60).await, Err(full.clone()));
        assert_eq!(ask("p", 3, 1, 60).await, Ok(Seen::Duplicate { first_seen: at(0) }));
        assert_eq!(ask("other", 10, 1, 60).await, Ok(Seen::Fresh));
        // Expired, and yet kept for a daemon whose clock is a minute behind.
        assert_eq!(ask("p", 10, 119, 200).await, Err(full.clone()));
        assert_eq!(ask("p", 3, 119, 200).await, Ok(Seen::Fresh));
        for id in 10..19 {
            assert_eq!(ask("p", id, 120, 200).await, Ok(Seen::Fresh), "{id}");
        }
        assert_eq!(ask("p", 19, 121, 200).await, Err(full));
        let healthy = store.health();
        assert_eq!(healthy, chancery::store::Health::Ready);
    }

    async fn a_full_memory_is_not_overrun_by_many_at_once(place) {
        let limit = Settings { replay: ReplayConfig { max_entries_per_partner: 50 }, ..Settings::default() };
        let stores = [
            Store::open(&place.config, limit).await.unwrap(),
            Store::open(&place.config, limit).await.unwrap(),
        ];
        let mut tasks = tokio::task::JoinSet::new();
        for id in 0..200_u64 {
            let store = stores[id as usize % 2].clone();
            tasks.spawn(async move {
                store.replay().remember("p", "s", hash(id), at(0), at(60)).await
            });
        }
        let seen = tasks.join_all().await;
        let fresh = seen.iter().filter(|seen| **seen == Ok(Seen::Fresh)).count();
        let full = seen.iter().filter(|seen| matches!(seen, Err(StoreError::ReplayMemoryFull { .. })));
        assert_eq!((fresh, full.count()), (50, 150));
    }

    async fn purging_forgets_what_has_expired_and_nothing_else(place) {
        let store = place.open().await;
        for id in 0..2500 {
            let expires = if id < 2100 { 60 } else { 600 };
            let seen = store.replay().remember("p", "s", hash(id), at(0), at(expires)).await;
            assert_eq!(seen, Ok(Seen::Fresh));
        }
        assert_eq!(store.replay().purge(at(119)).await, Ok(0));
        assert_eq!(store.replay().purge(at(120)).await, Ok(2100));
        assert_eq!(store.replay().purge(at(120)).await, Ok(0));
        let seen = store.replay().remember("p", "s", hash(2100), at(121), at(600)).await;
        assert_eq!(seen, Ok(Seen::Duplicate { first_seen: at(0) }));
    }

    async fn the_model_of_a_map_gives_the_same_answers(place) {
        let store = Arc::new(place.open().await);
        let mut model = std::collections::HashMap::new();
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for step in 0..1500_i64 {
            let (id, lasts) = (random(40), random(90) as i64);
            let (now, expires) = (at(step), at(step + lasts));
            let expected = match model.get(&id).copied() {
                Some((first_seen, until)) if until > now => {
                    model.insert(id, (first_seen, std::cmp::max(until, expires)));
                    Seen::Duplicate { first_seen }
                }
                _ => {
                    model.insert(id, (now, expires));
                    Seen::Fresh
                }
            };
            let seen = store.replay().remember("p", "s", hash(id), now, expires).await;
            assert_eq!(seen, Ok(expected), "step {step}");
        }
    }
}
