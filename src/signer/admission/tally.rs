//! A count that is kept in the store and reserved in pieces, so that a use of it seldom waits for the store.
//!
//! A piece belongs to one daemon. What is left of it when that ends is lost: so fewer may be done than the limit says,
//! and never more.

use tokio::sync::watch;

use crate::store::StoreError;

/// What one daemon has of one count.
#[derive(Debug)]
pub(super) struct Tally {
    limit: u64,
    left: u64,
    /// The store has no more.
    is_spent: bool,
    filling: Option<Filling>,
}

/// A piece that is being reserved; the outcome is for all who wait for it.
pub(super) type Filling = watch::Receiver<Option<Result<(), StoreError>>>;

/// Whether one can be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It can.
    Now,
    /// Never again, by this limit.
    Never,
    /// When a piece was reserved.
    Later,
}

impl Tally {
    pub(super) const fn new(limit: u64) -> Self {
        Self {
            limit,
            left: 0,
            is_spent: false,
            filling: None,
        }
    }

    /// The limit that holds now. If it is another, what was reserved by the old one is given up.
    pub(super) const fn hold_to(&mut self, limit: u64) {
        if self.limit != limit {
            self.limit = limit;
            self.left = 0;
            self.is_spent = false;
        }
    }

    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    pub(super) const fn room(&self) -> Room {
        match (self.left, self.is_spent) {
            (1.., _) => Room::Now,
            (0, true) => Room::Never,
            (0, false) => Room::Later,
        }
    }

    /// Takes one, for which there must be room.
    pub(super) const fn take(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// How many to reserve at a time: few enough that it matters little if they are lost.
    pub(super) fn piece(&self) -> u32 {
        u32::try_from(self.limit / 64).map_or(MOST, |share| share.clamp(1, MOST))
    }

    /// Whether it is time to reserve more, before somebody has to wait for it.
    pub(super) fn runs_low(&self) -> bool {
        let piece = u64::from(self.piece());
        !self.is_spent && self.filling.is_none() && piece > 1 && self.left <= piece / 4
    }

    pub(super) fn filling(&self) -> Option<Filling> {
        self.filling.clone()
    }

    pub(super) fn is_filling(&mut self, filling: Filling) {
        self.filling = Some(filling);
    }

    /// A piece was reserved by a limit, and with it the store has come to so many; `None` if it was not.
    pub(super) fn filled(&mut self, limit: u64, piece: u32, total: Option<u64>) {
        self.filling = None;
        let Some(total) = total else {
            return;
        };
        if limit != self.limit {
            return;
        }
        let before = total.saturating_sub(piece.into());
        let ours = self.limit.min(total).saturating_sub(before);
        self.left += ours;
        self.is_spent = total >= self.limit;
    }
}

/// The most that is reserved at a time.
const MOST: u32 = 1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Two daemons, whatever they do, however often they end: together never more than the limit; and the limit
        /// exactly, if neither ends and both go on until there is no more.
        #[test]
        fn together_they_never_do_more(
            limit in 1..5000_u64,
            acts in prop::collection::vec((0..2_usize, 0..100_u8), 0..6000),
        ) {
            let mut store = 0_u64;
            let mut done = 0;
            let mut daemons = [Tally::new(limit), Tally::new(limit)];
            let mut ended = false;
            let mut act = |daemons: &mut [Tally; 2], which: usize, done: &mut u64| {
                let daemon = &mut daemons[which];
                if daemon.room() == Room::Later || daemon.runs_low() {
                    let piece = daemon.piece();
                    store += u64::from(piece);
                    daemon.filled(limit, piece, Some(store));
                }
                let is_room = daemon.room() == Room::Now;
                if is_room {
                    daemon.take();
                    *done += 1;
                }
                is_room
            };
            for (which, chance) in acts {
                if chance == 0 {
                    daemons[which] = Tally::new(limit);
                    ended = true;
                } else {
                    act(&mut daemons, which, &mut done);
                }
                prop_assert!(done <= limit);
            }
            for which in [0, 1] {
                while act(&mut daemons, which, &mut done) {
                    prop_assert!(done <= limit);
                }
            }
            prop_assert!(ended || done == limit);
        }
    }

    #[test]
    fn what_the_store_did_not_say_is_not_there() {
        let mut tally = Tally::new(10);
        tally.filled(10, 1, None);
        assert_eq!(tally.room(), Room::Later);
        tally.filled(10, 5, Some(12));
        assert_eq!((tally.left(), tally.room()), (3, Room::Now));
        (0..3).for_each(|_| tally.take());
        assert_eq!(tally.room(), Room::Never);
        // Another limit, by which there is more; what was reserved by the last comes too late.
        tally.hold_to(20);
        assert_eq!(tally.room(), Room::Later);
        tally.filled(10, 5, Some(17));
        assert_eq!(tally.left(), 0);
        tally.hold_to(5);
        tally.filled(5, 1, Some(18));
        assert_eq!(tally.room(), Room::Never);
    }
}
