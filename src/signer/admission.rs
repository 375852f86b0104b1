//! Whether there is room for one more use: the policy's quotas, and how often a version of a key may be used at all.
//!
//! Asked after the policy, so that nobody learns a name from it, and before the intent. All that bounds a use is looked
//! at under one lock, and taken together or not at all: what is refused uses up nothing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{Clock, Error, lifecycle::Lives};
use crate::{
    identity::Identity,
    key::{KeyName, KeyVersion},
    policy::{Asked, Operation, Quota, QuotaExceeded, QuotaKind},
    store::{Counter, Day, Store, StoreError, Timestamp},
};

use bucket::Bucket;
use tally::{Filling, Room, Tally};

mod bucket;
mod tally;

/// What there is room for.
pub(super) struct Admission {
    quotas: ArcSwap<Vec<Quota>>,
    lives: Arc<Lives>,
    clock: Clock,
    elapsed: Elapsed,
    book: Mutex<Book>,
    refusals: Mutex<BTreeMap<(Arc<str>, QuotaKind), u64>>,
}

/// How long ago something was that does not change; given, so that tests need not wait.
pub(super) type Elapsed = Box<dyn Fn() -> Duration + Send + Sync>;

/// What was taken, of which some is given back when it is dropped: the places among those that are at work.
#[derive(Default)]
#[must_use = "what it holds is given back when it is dropped"]
pub(super) struct Slip {
    _held: Option<Held>,
}

struct Held {
    admission: Arc<Admission>,
    places: Vec<Place>,
}

/// All that is counted.
#[derive(Default)]
struct Book {
    meters: HashMap<Place, Meter>,
    uses: HashMap<KeyVersion, Tally>,
    /// With so many meters it is looked which are of no use any more.
    sweep_at: usize,
}

/// Whose count of which quota.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    quota: Arc<str>,
    identity: Arc<str>,
    key: Option<KeyName>,
}

#[derive(Default)]
struct Meter {
    bucket: Option<Bucket>,
    at_work: u32,
    day: Option<(Day, Tally)>,
}

/// What of the store is counted.
#[derive(Clone, Debug)]
enum Count {
    Day(Place, Day),
    Uses(KeyVersion),
}

/// What came of looking.
enum Look {
    Taken(Slip),
    Wait(Vec<(Count, Filling)>),
}

impl Admission {
    pub(super) fn new(lives: Arc<Lives>, clock: Clock, elapsed: Elapsed) -> Arc<Self> {
        Arc::new(Self {
            quotas: ArcSwap::default(),
            lives,
            clock,
            elapsed,
            book: Mutex::default(),
            refusals: Mutex::default(),
        })
    }

    /// Puts other quotas in force, for the next use. What was counted under a name goes on under that name.
    pub(super) fn replace(&self, quotas: &[Quota]) {
        self.quotas.store(Arc::new(quotas.to_vec()));
    }

    /// How often each quota has refused a use, and for which of its limits.
    pub(super) fn refusals(&self) -> Vec<(Arc<str>, QuotaKind, u64)> {
        let refusals = self.refusals.lock();
        let refusals = refusals.unwrap_or_else(PoisonError::into_inner);
        let told = refusals.iter();
        told.map(|((quota, kind), count)| (Arc::clone(quota), *kind, *count))
            .collect()
    }

    /// Whether nothing at all is counted: then nobody need be asked.
    pub(super) fn is_idle(&self) -> bool {
        self.quotas.load().is_empty() && !self.lives.limits_uses()
    }

    /// Takes room for one use, as an operation that the caller asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Quota`], [`Error::UsesExhausted`]; [`Error::NotCounted`], if the store must be asked and can't be.
    pub(super) async fn admit(
        self: &Arc<Self>,
        identity: &Identity,
        operation: Operation,
        asked: &Asked,
    ) -> Result<Slip, Error> {
        // Of what is done with a partner the uses of keys are counted, one by one.
        if asked.partner.is_some() {
            return Ok(Slip::default());
        }
        let quotas = self.quotas.load_full();
        let key = asked.key.as_ref();
        let bounding: Vec<_> = quotas
            .iter()
            .filter(|quota| quota.bounds(identity.name(), operation, key))
            .collect();
        let limited = self.limited(asked);
        if bounding.is_empty() && limited.is_none() {
            return Ok(Slip::default());
        }
        let who: Arc<str> = identity.name().as_str().into();
        let place = |quota: &Quota| Place {
            quota: Arc::clone(quota.name()),
            identity: Arc::clone(&who),
            key: key.filter(|_| quota.is_per_key()).cloned(),
        };
        let bounding: Vec<_> = bounding
            .into_iter()
            .map(|quota| (quota, place(quota)))
            .collect();
        loop {
            match self.look(&bounding, limited.as_ref())? {
                Look::Taken(slip) => return Ok(slip),
                Look::Wait(fillings) => {
                    for (count, mut filling) in fillings {
                        let filled = filling.wait_for(Option::is_some).await;
                        let filled = filled.ok().and_then(|filled| filled.clone());
                        let lost = || StoreError::Unavailable("it gave no answer".to_owned());
                        filled
                            .unwrap_or_else(|| Err(lost()))
                            .map_err(|cause| count.not_counted(cause))?;
                    }
                }
            }
        }
    }

    /// The version whose uses are counted, and how many there may be. What only reads what was made is not counted.
    fn limited(&self, asked: &Asked) -> Option<(KeyVersion, u64)> {
        let makes = matches!(
            asked.operation,
            Operation::Sign | Operation::Encrypt | Operation::RequestCertificate
        );
        if !makes || !self.lives.limits_uses() {
            return None;
        }
        let (key, version) = (asked.key.clone()?, asked.version?);
        let maximum = self.lives.facts(&key)?.maximum_uses?;
        Some((KeyVersion { key, version }, maximum))
    }

    /// Takes all, or says what stands in the way.
    fn look(
        self: &Arc<Self>,
        bounding: &[(&Quota, Place)],
        limited: Option<&(KeyVersion, u64)>,
    ) -> Result<Look, Error> {
        let (now, time) = ((self.elapsed)(), self.clock.now());
        let today = Day::from(Timestamp(i64::try_from(time.0).unwrap_or(i64::MAX)));
        let midnight = Duration::from_millis(A_DAY - time.0 % A_DAY);
        let mut guard = self.book();
        let book = &mut *guard;
        book.sweep(&self.quotas.load(), now, today);
        let mut refused: Option<QuotaExceeded> = None;
        let mut later = Vec::new();
        for (quota, place) in bounding {
            let meter = book.meters.entry(place.clone()).or_default();
            let mut refuse = |kind, after| {
                if refused.as_ref().is_none_or(|first| first.after < after) {
                    refused = Some(QuotaExceeded {
                        quota: Arc::clone(quota.name()),
                        kind,
                        limit: quota.to_string(),
                        after,
                    });
                }
            };
            if let Some(rate) = quota.rate() {
                let bucket = meter.bucket.get_or_insert_with(|| Bucket::full(rate, now));
                let wait = bucket.wait(rate, now);
                if !wait.is_zero() {
                    refuse(QuotaKind::PerSecond, wait);
                }
            }
            if quota.concurrent().is_some_and(|most| meter.at_work >= most) {
                refuse(QuotaKind::Concurrent, SOON);
            }
            if let Some(limit) = quota.per_day() {
                let tally = meter.of_day(today, limit);
                match tally.room() {
                    Room::Now => {}
                    Room::Never => refuse(QuotaKind::PerDay, midnight),
                    Room::Later => later.push(Count::Day(place.clone(), today)),
                }
            }
        }
        if let Some(exceeded) = refused {
            drop(guard);
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            let which = (Arc::clone(&exceeded.quota), exceeded.kind);
            *refusals.entry(which).or_default() += 1;
            return Err(Error::Quota(Box::new(exceeded)));
        }
        if let Some((version, maximum)) = limited {
            let tally = book.uses_of(version, *maximum);
            match tally.room() {
                Room::Now => {}
                Room::Never => {
                    return Err(Error::UsesExhausted {
                        version: version.clone(),
                        maximum: *maximum,
                    });
                }
                Room::Later => later.push(Count::Uses(version.clone())),
            }
        }
        if !later.is_empty() {
            let store = self.lives.store()?;
            let fill = |count: Count| (count.clone(), self.fill(book, store, count));
            return Ok(Look::Wait(later.into_iter().map(fill).collect()));
        }
        let mut places = Vec::new();
        for (quota, place) in bounding {
            let meter = book.meters.entry(place.clone()).or_default();
            if let Some(bucket) = &mut meter.bucket {
                bucket.take();
            }
            if let Some(limit) = quota.per_day() {
                let tally = meter.of_day(today, limit);
                tally.take();
                let runs_low = tally.runs_low();
                if runs_low && let Ok(store) = self.lives.store() {
                    drop(self.fill(book, store, Count::Day(place.clone(), today)));
                }
            }
            if quota.concurrent().is_some() {
                let meter = book.meters.entry(place.clone()).or_default();
                meter.at_work += 1;
                places.push(place.clone());
            }
        }
        if let Some((version, maximum)) = limited {
            let tally = book.uses_of(version, *maximum);
            tally.take();
            if tally.runs_low()
                && let Ok(store) = self.lives.store()
            {
                drop(self.fill(book, store, Count::Uses(version.clone())));
            }
        }
        let _held = (!places.is_empty()).then(|| Held {
            admission: Arc::clone(self),
            places,
        });
        Ok(Look::Taken(Slip { _held }))
    }

    /// Has a piece of a count reserved, in a task of its own: whoever waits for it may go away. One at a time.
    fn fill(self: &Arc<Self>, book: &mut Book, store: &Store, count: Count) -> Filling {
        let Some(tally) = book.tally(&count) else {
            // It was there a moment ago, under the same lock.
            return watch::channel(Some(Ok(()))).1;
        };
        if let Some(filling) = tally.filling() {
            return filling;
        }
        let (limit, piece) = (tally.limit(), tally.piece());
        let (told, filling) = watch::channel(None);
        tally.is_filling(filling.clone());
        let (admission, store) = (Arc::clone(self), store.clone());
        tokio::spawn(async move {
            let reserved = count.add(&store, piece).await;
            if let Err(error) = &reserved {
                tracing::warn!(%error, "uses can't be counted in the store; what has to be is refused");
            }
            if let Some(tally) = admission.book().tally(&count) {
                tally.filled(limit, piece, reserved.as_ref().ok().copied());
            }
            told.send_replace(Some(reserved.map(drop)));
        });
        filling
    }

    /// How often a version was used, as far as the store and this daemon know: without what is reserved here.
    pub(super) async fn uses(&self, version: &KeyVersion) -> Result<u64, StoreError> {
        let Ok(store) = self.lives.store() else {
            return Ok(0);
        };
        let total = store.counters().add(Counter::Uses(version), 0).await?;
        let book = self.book();
        Ok(match book.uses.get(version) {
            Some(tally) => total.min(tally.limit()).saturating_sub(tally.left()),
            None => total,
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn uses_of(&mut self, version: &KeyVersion, maximum: u64) -> &mut Tally {
        let uses = self.uses.entry(version.clone());
        let tally = uses.or_insert_with(|| Tally::new(maximum));
        tally.hold_to(maximum);
        tally
    }

    fn tally(&mut self, count: &Count) -> Option<&mut Tally> {
        match count {
            Count::Uses(version) => self.uses.get_mut(version),
            Count::Day(place, day) => {
                let (of, tally) = self.meters.get_mut(place)?.day.as_mut()?;
                (of == day).then_some(tally)
            }
        }
    }

    /// Drops the meters that say what a new one would say.
    fn sweep(&mut self, quotas: &[Quota], now: Duration, today: Day) {
        if self.meters.len() < self.sweep_at.max(LEAST_SWEEP) {
            return;
        }
        let rates: HashMap<_, _> = quotas
            .iter()
            .map(|quota| (quota.name(), quota.rate()))
            .collect();
        self.meters.retain(|place, meter| {
            let is_full = match (&mut meter.bucket, rates.get(&place.quota)) {
                (Some(bucket), Some(Some(rate))) => bucket.is_full(*rate, now),
                _ => true,
            };
            let is_of_today = meter.day.as_ref().is_some_and(|(day, _)| *day == today);
            meter.at_work > 0 || is_of_today || !is_full
        });
        self.sweep_at = self.meters.len() * 2;
    }
}

impl Meter {
    /// The count of this day; of another, were the clock turned back too, the store knows.
    fn of_day(&mut self, today: Day, limit: u64) -> &mut Tally {
        if self.day.as_ref().is_none_or(|(day, _)| *day != today) {
            self.day = None;
        }
        let (_, tally) = self.day.get_or_insert_with(|| (today, Tally::new(limit)));
        tally.hold_to(limit);
        tally
    }
}

impl Count {
    async fn add(&self, store: &Store, number: u32) -> Result<u64, StoreError> {
        let counter = match self {
            Self::Uses(version) => Counter::Uses(version),
            Self::Day(place, day) => Counter::OfDay {
                quota: &place.quota,
                identity: &place.identity,
                key: place.key.as_ref(),
                day: *day,
            },
        };
        store.counters().add(counter, number).await
    }

    fn not_counted(&self, cause: StoreError) -> Error {
        let what = match self {
            Self::Uses(version) => format!("the uses of {version}"),
            Self::Day(place, _) => format!("the quota {}", place.quota),
        };
        Error::NotCounted { what, cause }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut book = self.admission.book();
        for place in &self.places {
            if let Some(meter) = book.meters.get_mut(place) {
                meter.at_work = meter.at_work.saturating_sub(1);
            }
        }
    }
}

const A_DAY: u64 = 86_400_000;
/// When one of those at work may have ended.
const SOON: Duration = Duration::from_millis(100);
const LEAST_SWEEP: usize = 1024;

#[cfg(test)]
mod tests;
