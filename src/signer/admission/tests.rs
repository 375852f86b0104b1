//! What is taken together, by a clock that is turned by hand; the counts of the store are tested with the daemon.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{policy::Policy, scheme::UnixMilliseconds};

struct Desk {
    admission: Arc<Admission>,
    milliseconds: Arc<AtomicU64>,
}

impl Desk {
    fn new(quotas: &str) -> Self {
        let milliseconds = Arc::new(AtomicU64::new(0));
        let now = Arc::clone(&milliseconds);
        let elapsed = move || Duration::from_millis(now.load(Ordering::Relaxed));
        let clock = Clock::new(|| UnixMilliseconds(1_795_176_000_000));
        let lives = Arc::new(Lives::new(None));
        let desk = Self {
            admission: Admission::new(lives, clock, Box::new(elapsed)),
            milliseconds,
        };
        desk.replace(quotas);
        desk
    }

    fn replace(&self, quotas: &str) {
        let rule = "[[rules]]\nname = \"r\"\nidentities = [\"dns:x\"]\noperations = [\"generate_random\"]\n";
        let policy = Policy::parse(&format!("{rule}{quotas}")).unwrap();
        self.admission.replace(policy.quotas());
    }

    async fn admit(&self, name: &str, key: &str) -> Result<Slip, (String, QuotaKind, Duration)> {
        let asked = Asked {
            operation: Operation::Sign,
            key: Some(key.parse().unwrap()),
            version: None,
            algorithms: Vec::new(),
            partner: None,
            scheme: None,
        };
        let identity = Identity::for_test(name);
        let admitted = self.admission.admit(&identity, Operation::Sign, &asked);
        admitted.await.map_err(|error| match error {
            Error::Quota(exceeded) => (exceeded.quota.to_string(), exceeded.kind, exceeded.after),
            other => panic!("{other}"),
        })
    }

    fn later(&self, milliseconds: u64) {
        self.milliseconds.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

fn quota(name: &str, more: &str) -> String {
    format!("[[quotas]]\nname = \"{name}\"\nidentities = [\"dns:x\", \"dns:y\"]\n{more}\n")
}

#[tokio::test]
async fn all_quotas_hold_and_a_refusal_uses_up_none() {
    let text = quota("wide", "per_second = 1\nburst = 4")
        + &quota("key", "keys = [\"*\"]\nper_second = 0.5\nburst = 1");
    let desk = Desk::new(&text);
    drop(desk.admit("dns:x", "a").await.unwrap());
    let refused = desk.admit("dns:x", "a").await.err().unwrap();
    let two_seconds = Duration::from_secs(2);
    assert_eq!(
        refused,
        ("key".to_owned(), QuotaKind::PerSecond, two_seconds)
    );
    for _ in 0..50 {
        assert!(desk.admit("dns:x", "a").await.is_err());
    }
    // Three are left of the wide one, for whatever keys.
    for key in ["b", "c", "d"] {
        drop(desk.admit("dns:x", key).await.unwrap());
    }
    let refused = desk.admit("dns:x", "e").await.err().unwrap();
    assert_eq!((&*refused.0, refused.2), ("wide", Duration::from_secs(1)));
    // Of two that refuse the one is told that does so longer.
    assert_eq!(desk.admit("dns:x", "a").await.err().unwrap().0, "key");
    drop(desk.admit("dns:y", "a").await.unwrap());
    drop(desk.admit("dns:z", "a").await.unwrap());
    desk.later(1999);
    assert_eq!(desk.admit("dns:x", "a").await.err().unwrap().0, "key");
    desk.later(1);
    drop(desk.admit("dns:x", "a").await.unwrap());
    assert_eq!(
        desk.admission.refusals(),
        [
            (Arc::from("key"), QuotaKind::PerSecond, 53),
            (Arc::from("wide"), QuotaKind::PerSecond, 1)
        ]
    );
}

#[tokio::test]
async fn places_are_held_until_they_are_given_back() {
    let desk = Desk::new(&quota("q", "concurrent = 2\nper_second = 1\nburst = 100"));
    let first = desk.admit("dns:x", "a").await.unwrap();
    let second = desk.admit("dns:x", "b").await.unwrap();
    let refused = desk.admit("dns:x", "a").await.err().unwrap();
    assert_eq!(refused.1, QuotaKind::Concurrent);
    drop(desk.admit("dns:y", "a").await.unwrap());
    drop(second);
    let third = desk.admit("dns:x", "a").await.unwrap();
    assert!(desk.admit("dns:x", "a").await.is_err());
    // A quota that was taken out and came back still knows who is at work.
    desk.replace("");
    assert!(desk.admission.is_idle());
    drop(first);
    desk.replace(&quota("q", "concurrent = 2"));
    let fourth = desk.admit("dns:x", "a").await.unwrap();
    assert!(desk.admit("dns:x", "a").await.is_err());
    drop((third, fourth));
}

#[tokio::test]
async fn meters_that_say_nothing_are_dropped() {
    let text = quota("q", "keys = [\"*\"]\nper_second = 1000\nconcurrent = 1");
    let desk = Desk::new(&text);
    let held = desk.admit("dns:x", "held").await.unwrap();
    for number in 0..5000 {
        drop(desk.admit("dns:x", &format!("k{number}")).await.unwrap());
        desk.later(10);
    }
    assert!(desk.admission.book().meters.len() < 2 * LEAST_SWEEP);
    assert!(desk.admit("dns:x", "held").await.is_err());
    drop(held);
    drop(desk.admit("dns:x", "held").await.unwrap());
}

/// What must be counted in a store is not done without one.
#[tokio::test]
async fn without_a_store_there_is_no_day() {
    let desk = Desk::new(&quota("q", "per_day = 5"));
    let asked = Asked {
        operation: Operation::GenerateRandom,
        key: None,
        version: None,
        algorithms: Vec::new(),
        partner: None,
        scheme: None,
    };
    let identity = Identity::for_test("dns:x");
    let admitted = desk
        .admission
        .admit(&identity, Operation::GenerateRandom, &asked);
    assert!(matches!(admitted.await, Err(Error::NoStore)));
}
