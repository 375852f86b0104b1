//! What is known of keys is changed by one at a time, and seen by all daemons within two seconds.

use std::{collections::BTreeMap, time::Instant};

use chancery::{
    key::{KeyName, Version},
    store::{KeyFacts, Revision, Rotation, Store, StoreError, VersionFacts, VersionState},
};

use super::place::{at, on_both};

fn key(name: &str) -> KeyName {
    name.parse().unwrap()
}

fn version(number: u32) -> Version {
    Version::new(number).unwrap()
}

fn facts() -> KeyFacts {
    let enabled = VersionFacts {
        state: VersionState::Enabled,
        created_by: Some("spiffe://example.org/admin".parse().unwrap()),
        created_at: Some(at(0)),
        disabled_at: None,
        destroy_at: None,
        request: Some("0f3a".to_owned()),
    };
    let scheduled = VersionFacts {
        state: VersionState::DestroyScheduled,
        created_by: None,
        created_at: None,
        disabled_at: Some(at(7)),
        destroy_at: Some(at(1000)),
        request: None,
    };
    KeyFacts {
        revision: Revision(0),
        primary: Some(version(2)),
        description: "pays \"everybody\" '; DROP TABLE key_facts; --".to_owned(),
        labels: BTreeMap::from([("team".to_owned(), "zahlungen-ü".to_owned())]),
        rotation: Some(Rotation {
            period_seconds: 86_400,
            next: at(500),
        }),
        maximum_uses: Some(1000),
        critical: true,
        versions: BTreeMap::from([(version(1), scheduled), (version(2), enabled)]),
    }
}

async fn update(store: &Store, name: &str, facts: &KeyFacts) -> Result<Revision, StoreError> {
    store.lifecycle().update(&key(name), facts).await
}

on_both! {
    async fn what_is_written_is_read_again(place) {
        let store = place.open().await;
        assert_eq!(store.lifecycle().key(&key("payouts")).await, Ok(None));
        let mut facts = facts();
        facts.revision = update(&store, "payouts", &facts).await.unwrap();
        let read = place.open().await.lifecycle().key(&key("payouts")).await;
        assert_eq!(read, Ok(Some(facts.clone())));
        facts.versions.remove(&version(1));
        facts.versions.get_mut(&version(2)).unwrap().state = VersionState::Disabled;
        facts.primary = None;
        facts.labels.clear();
        facts.revision = update(&store, "payouts", &facts).await.unwrap();
        assert_eq!(store.lifecycle().key(&key("payouts")).await, Ok(Some(facts)));
        assert_eq!(store.lifecycle().key(&key("payout")).await, Ok(None));
    }

    async fn who_knows_an_older_revision_changes_nothing(place) {
        let store = place.open().await;
        let mut facts = facts();
        facts.revision = update(&store, "a", &facts).await.unwrap();
        let stale = KeyFacts { revision: Revision(0), ..facts.clone() };
        let conflict = update(&store, "a", &stale).await;
        assert_eq!(conflict, Err(StoreError::RevisionConflict {
            key: key("a"), expected: Revision(0), found: facts.revision,
        }));
        let unknown = update(&store, "b", &facts).await;
        assert!(matches!(unknown, Err(StoreError::RevisionConflict { found: Revision(0), .. })));
        assert_eq!(store.lifecycle().key(&key("a")).await, Ok(Some(facts)));
    }

    async fn of_many_who_change_the_same_none_is_overwritten(place) {
        let stores = [place.open().await, place.open().await];
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..16_usize {
            let store = stores[task % 2].clone();
            tasks.spawn(async move {
                for step in 0..5 {
                    loop {
                        let known = store.lifecycle().key(&key("a")).await.unwrap();
                        let mut facts = known.unwrap_or_default();
                        facts.labels.insert(format!("{task}-{step}"), String::new());
                        match update(&store, "a", &facts).await {
                            Ok(_) => break,
                            Err(StoreError::RevisionConflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
        tasks.join_all().await;
        let facts = stores[0].lifecycle().key(&key("a")).await.unwrap().unwrap();
        assert_eq!(facts.labels.len(), 80);
        assert_eq!(facts.revision, Revision(80));
    }

    async fn another_daemon_sees_a_change_by_itself(place) {
        let [one, other] = [place.open().await, place.open().await];
        let mut seen = other.lifecycle().revisions();
        let since = other.lifecycle().snapshot_since(Revision(0)).await.unwrap();
        assert!(since.keys.is_empty());
        update(&one, "a", &facts()).await.unwrap();
        let revision = update(&one, "b", &facts()).await.unwrap();
        let start = Instant::now();
        seen.wait_for(|seen| *seen == revision).await.unwrap();
        // Two seconds at most, on a machine that is not starved.
        assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
        eprintln!("seen by the other after {:?}", start.elapsed());
        let changes = other.lifecycle().snapshot_since(since.revision).await.unwrap();
        assert_eq!(changes.revision, revision);
        let names: Vec<_> = changes.keys.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let none = other.lifecycle().snapshot_since(revision).await.unwrap();
        assert!(none.keys.is_empty());
        let late = other.lifecycle().snapshot_since(Revision(1)).await.unwrap();
        assert_eq!(late.keys, changes.keys[1..]);
    }
}
