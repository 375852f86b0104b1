//! Counts are exact, whoever adds to them.

use chancery::{
    key::{KeyName, KeyVersion},
    store::{Counter, Day},
};

use super::place::{at, on_both};

on_both! {
    async fn counts_are_apart_and_last(place) {
        let store = place.open().await;
        let (a, b) = ("dns:a.example", "dns:b.example");
        let key: KeyName = "payouts".parse().unwrap();
        let version: KeyVersion = "payouts/1".parse().unwrap();
        let day = Day::from(at(0));
        let next = Day::from(at(86_400));
        let counter = |identity, key, day| Counter::OfDay { quota: "q", identity, key, day };
        for (counter, number, total) in [
            (counter(a, None, day), 5, 5), (counter(a, None, day), 3, 8), (counter(b, None, day), 1, 1),
            (counter(a, Some(&key), day), 2, 2), (counter(a, None, next), 1, 1),
            (Counter::OfDay { quota: "p", identity: a, key: None, day }, 4, 4),
            (Counter::Uses(&version), 7, 7), (counter(a, None, day), 0, 8),
        ] {
            assert_eq!(store.counters().add(counter, number).await, Ok(total), "{counter:?}");
        }
        drop(store);
        let store = place.open().await;
        assert_eq!(store.counters().purge(next).await, Ok(4));
        assert_eq!(store.counters().add(counter(a, None, day), 0).await, Ok(0));
        assert_eq!(store.counters().add(counter(a, None, next), 0).await, Ok(1));
        assert_eq!(store.counters().add(Counter::Uses(&version), 1).await, Ok(8));
    }

    async fn everybody_is_told_another_number(place) {
        let stores = [place.open().await, place.open().await];
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..64_usize {
            let store = stores[task % 2].clone();
            tasks.spawn(async move {
                let day = Day::from(at(0));
                let counter = Counter::OfDay { quota: "q", identity: "dns:a.example", key: None, day };
                let mut totals = Vec::new();
                for _ in 0..20 {
                    totals.push(store.counters().add(counter, 1).await.unwrap());
                }
                totals
            });
        }
        let mut totals = tasks.join_all().await.concat();
        totals.sort_unstable();
        assert_eq!(totals, (1..=64 * 20).collect::<Vec<_>>());
    }
}
