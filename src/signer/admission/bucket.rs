//! A token bucket, exact: whole numbers, and a clock that is given.

use std::time::Duration;

use crate::policy::Rate;

/// What there is room for under one rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// In [`ONE`]s of a use.
    level: u64,
    /// When the level was that, by whatever clock there is.
    at: Duration,
}

impl Bucket {
    /// A full one.
    pub(super) fn full(rate: Rate, now: Duration) -> Self {
        Self {
            level: capacity(rate),
            at: now,
        }
    }

    /// How long until there is room for one; nothing, if there is.
    pub(super) fn wait(&mut self, rate: Rate, now: Duration) -> Duration {
        self.fill(rate, now);
        let missing = ONE.saturating_sub(self.level);
        Duration::from_nanos(missing.div_ceil(rate.per_thousand_seconds()))
    }

    /// Takes one, for which there must be room.
    pub(super) const fn take(&mut self) {
        self.level = self.level.saturating_sub(ONE);
    }

    pub(super) fn is_full(&mut self, rate: Rate, now: Duration) -> bool {
        self.fill(rate, now);
        self.level == capacity(rate)
    }

    /// The rate may be another than last time: what is there stays, as far as there is room.
    fn fill(&mut self, rate: Rate, now: Duration) {
        let passed = now.saturating_sub(self.at).as_nanos();
        let more = passed.saturating_mul(rate.per_thousand_seconds().into());
        let level = u128::from(self.level).saturating_add(more);
        let most = capacity(rate);
        self.level = u64::try_from(level).map_or(most, |level| level.min(most));
        self.at = self.at.max(now);
    }
}

fn capacity(rate: Rate) -> u64 {
    u64::from(rate.burst()) * ONE
}

/// One use. At a rate of one in a thousand seconds, so much comes in a nanosecond as 1.
const ONE: u64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn taken(bucket: &mut Bucket, rate: Rate, now: Duration) -> bool {
        let is_room = bucket.wait(rate, now).is_zero();
        if is_room {
            bucket.take();
        }
        is_room
    }

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate::new(10_000, 3);
        let mut bucket = Bucket::full(rate, millis(0));
        let at_once = (0..5).filter(|_| taken(&mut bucket, rate, millis(0)));
        assert_eq!(at_once.count(), 3);
        assert_eq!(bucket.wait(rate, millis(0)), millis(100));
        assert_eq!(bucket.wait(rate, millis(40)), millis(60));
        assert!(!taken(&mut bucket, rate, millis(99)));
        assert!(taken(&mut bucket, rate, millis(100)));
        // A long rest gives the burst again, and no more.
        assert!(bucket.is_full(rate, millis(100_000)));
        let again = (0..5).filter(|_| taken(&mut bucket, rate, millis(100_000)));
        assert_eq!(again.count(), 3);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let rate = Rate::new(1000, 1);
        let mut bucket = Bucket::full(rate, millis(5000));
        assert!(taken(&mut bucket, rate, millis(5000)));
        assert!(!taken(&mut bucket, rate, millis(1000)));
        assert!(!taken(&mut bucket, rate, millis(5999)));
        assert!(taken(&mut bucket, rate, millis(6000)));
    }

    #[test]
    fn another_rate_takes_over_what_is_there() {
        let (narrow, wide) = (Rate::new(1000, 2), Rate::new(100_000, 100));
        let mut bucket = Bucket::full(wide, millis(0));
        let at_once = (0..9).filter(|_| taken(&mut bucket, narrow, millis(0)));
        assert_eq!(at_once.count(), 2);
        assert_eq!(bucket.wait(wide, millis(0)), millis(10));
    }

    /// GCRA as in ATM Forum TM 4.0, in exact fractions of a nanosecond: another way to say the same.
    struct Gcra {
        /// The theoretical arrival time, in nanoseconds times the rate.
        theoretical: u128,
    }

    impl Gcra {
        fn takes(&mut self, rate: Rate, now: Duration) -> bool {
            let pace = u128::from(rate.per_thousand_seconds());
            let now = now.as_nanos() * pace;
            let tolerance = u128::from(rate.burst() - 1) * u128::from(ONE);
            let fits = self.theoretical <= now + tolerance;
            if fits {
                self.theoretical = self.theoretical.max(now) + u128::from(ONE);
            }
            fits
        }
    }

    proptest! {
        #[test]
        fn it_lets_through_what_gcra_does(
            pace in 1..5_000_000_u64,
            burst in 1..50_u32,
            steps in prop::collection::vec(0..3_000_000_000_u64, 1..200),
        ) {
            let rate = Rate::new(pace, burst);
            let mut bucket = Bucket::full(rate, Duration::ZERO);
            let mut model = Gcra { theoretical: 0 };
            let mut now = 0;
            let mut came = Vec::new();
            for step in steps {
                // Most come at once, some much later.
                now += if step % 3 == 0 { step } else { step % 1000 };
                let at = Duration::from_nanos(now);
                let wait = bucket.wait(rate, at);
                let is_taken = taken(&mut bucket, rate, at);
                prop_assert_eq!(is_taken, model.takes(rate, at));
                prop_assert_eq!(is_taken, wait.is_zero());
                if is_taken {
                    came.push(u128::from(now));
                } else {
                    // The wait is the true one, to the nanosecond.
                    let (mut then, mut before) = (bucket, bucket);
                    prop_assert!(then.wait(rate, at + wait).is_zero());
                    prop_assert!(!before.wait(rate, at + wait - Duration::from_nanos(1)).is_zero());
                    now += u64::try_from(wait.as_nanos()).unwrap() - 1;
                }
            }
            // Between any two moments: no more than the burst and what comes in that time.
            for (first, begun) in came.iter().enumerate() {
                for (last, ended) in came.iter().enumerate().skip(first) {
                    let most = u128::from(burst) * u128::from(ONE) + (ended - begun) * u128::from(pace);
                    prop_assert!((last - first + 1) as u128 * u128::from(ONE) <= most);
                }
            }
        }
    }
}
