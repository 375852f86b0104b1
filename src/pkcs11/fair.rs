//! A bounded queue in which turns go round among those who wait, not among their jobs.
//!
//! Whoever has one job waiting has the next turn but those of the others who wait, however many jobs they have. When there
//! is no room left, the one with the most in it loses his newest job to a newcomer with less; so nobody can fill the queue
//! for the rest, and one who is alone may have all of it.

use std::{
    collections::{HashMap, VecDeque},
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::identity::{Identity, IdentityName};

/// Whose job it is: an identity's, or the daemon's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Who(Option<Arc<Identity>>);

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) jobs: usize,
    /// One job may be longer, if nothing else waits.
    pub(super) bytes: usize,
}

/// The queue.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    lines: HashMap<Who, Line<T>>,
    /// Who has a line, in the order of their turns.
    turns: VecDeque<Who>,
    jobs: usize,
    bytes: usize,
}

/// What one has waiting, the oldest first, with the length of each.
#[derive(Debug)]
struct Line<T> {
    jobs: VecDeque<(usize, T)>,
    bytes: usize,
}

impl<T> FairQueue<T> {
    pub(super) fn new() -> Self {
        Self {
            lines: HashMap::new(),
            turns: VecDeque::new(),
            jobs: 0,
            bytes: 0,
        }
    }

    /// How many jobs wait.
    pub(super) const fn len(&self) -> usize {
        self.jobs
    }

    /// How many have a job waiting.
    pub(super) fn parties(&self) -> usize {
        self.turns.len()
    }

    pub(super) const fn has_room(&self, bytes: usize, room: Room) -> bool {
        self.jobs < room.jobs && (self.jobs == 0 || self.bytes.saturating_add(bytes) <= room.bytes)
    }

    /// Puts a job at the end of its line. Gives the jobs that had to leave for it; or it itself, if there is no room.
    pub(super) fn push(
        &mut self,
        who: &Who,
        bytes: usize,
        job: T,
        room: Room,
    ) -> Result<Vec<T>, T> {
        let mut gone = Vec::new();
        while !self.has_room(bytes, room) {
            let by_jobs = self.jobs >= room.jobs;
            let size = |line: &Line<T>| if by_jobs { line.jobs.len() } else { line.bytes };
            let own = self.lines.get(who).map_or(0, size) + if by_jobs { 1 } else { bytes };
            let others = self.lines.iter().filter(|(other, _)| *other != who);
            let largest = others.max_by_key(|(_, line)| size(line));
            let Some(victim) = largest
                .filter(|(_, line)| size(line) > own)
                .map(|(victim, _)| victim.clone())
            else {
                return Err(job);
            };
            gone.extend(self.pop(&victim, VecDeque::pop_back));
        }
        self.jobs += 1;
        self.bytes += bytes;
        let line = self.lines.entry(who.clone()).or_insert_with(|| {
            self.turns.push_back(who.clone());
            Line {
                jobs: VecDeque::new(),
                bytes: 0,
            }
        });
        line.bytes += bytes;
        line.jobs.push_back((bytes, job));
        Ok(gone)
    }

    /// Takes the oldest job of whose turn it is; of those whose oldest job fits.
    pub(super) fn take(&mut self, fits: impl Fn(&T) -> bool) -> Option<T> {
        let is_fit = |who: &Who| {
            let oldest = self.lines.get(who).and_then(|line| line.jobs.front());
            oldest.is_some_and(|(_, job)| fits(job))
        };
        let turn = self.turns.iter().position(is_fit)?;
        let who = self.turns.remove(turn)?;
        self.turns.push_back(who.clone());
        self.pop(&who, VecDeque::pop_front)
    }

    /// Takes out the jobs that nobody waits for any more.
    pub(super) fn clear(&mut self, is_over: impl Fn(&T) -> bool) -> Vec<T> {
        let mut over = Vec::new();
        for line in self.lines.values_mut() {
            for (bytes, job) in std::mem::take(&mut line.jobs) {
                if is_over(&job) {
                    line.bytes -= bytes;
                    self.bytes -= bytes;
                    self.jobs -= 1;
                    over.push(job);
                } else {
                    line.jobs.push_back((bytes, job));
                }
            }
        }
        self.lines.retain(|_, line| !line.jobs.is_empty());
        self.turns.retain(|who| self.lines.contains_key(who));
        over
    }

    fn pop(
        &mut self,
        who: &Who,
        end: impl Fn(&mut VecDeque<(usize, T)>) -> Option<(usize, T)>,
    ) -> Option<T> {
        let line = self.lines.get_mut(who)?;
        let (bytes, job) = end(&mut line.jobs)?;
        line.bytes -= bytes;
        self.bytes -= bytes;
        self.jobs -= 1;
        if line.jobs.is_empty() {
            self.lines.remove(who);
            self.turns.retain(|other| other != who);
        }
        Some(job)
    }
}

impl Who {
    fn name(&self) -> Option<&IdentityName> {
        self.0.as_deref().map(Identity::name)
    }
}

impl From<&Arc<Identity>> for Who {
    fn from(identity: &Arc<Identity>) -> Self {
        Self(Some(Arc::clone(identity)))
    }
}

/// Another certificate of the same name is the same one.
impl PartialEq for Who {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Who {}

impl Hash for Who {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WIDE: Room = Room {
        jobs: usize::MAX,
        bytes: usize::MAX,
    };

    fn who(name: usize) -> Who {
        Who::from(&Arc::new(Identity::for_test(&format!("dns:n{name}.test"))))
    }

    fn all(queue: &mut FairQueue<(usize, usize)>) -> Vec<(usize, usize)> {
        std::iter::from_fn(|| queue.take(|_| true)).collect()
    }

    #[test]
    fn one_job_waits_for_one_of_each_other() {
        let mut queue = FairQueue::new();
        for job in 0..1000 {
            queue.push(&who(0), 1, (0, job), WIDE).unwrap();
            queue.push(&who(1), 1, (1, job), WIDE).unwrap();
        }
        queue.push(&who(2), 1, (2, 0), WIDE).unwrap();
        assert_eq!((queue.len(), queue.parties()), (2001, 3));
        let order = all(&mut queue);
        assert_eq!(order[..5], [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)]);
        assert_eq!((queue.len(), queue.parties(), queue.bytes), (0, 0, 0));
    }

    #[test]
    fn who_has_most_makes_room() {
        let room = Room {
            jobs: 4,
            bytes: 100,
        };
        let mut queue = FairQueue::new();
        for job in 0..4 {
            assert_eq!(queue.push(&who(0), 10, (0, job), room), Ok(vec![]));
        }
        assert_eq!(queue.push(&who(0), 10, (0, 4), room), Err((0, 4)));
        assert_eq!(queue.push(&who(1), 10, (1, 0), room), Ok(vec![(0, 3)]));
        assert_eq!(queue.push(&who(1), 10, (1, 1), room), Ok(vec![(0, 2)]));
        // Now each has his half.
        assert_eq!(queue.push(&who(1), 10, (1, 2), room), Err((1, 2)));
        assert_eq!(queue.push(&who(0), 10, (0, 2), room), Err((0, 2)));
        assert_eq!(queue.push(&who(2), 10, (2, 0), room), Ok(vec![(1, 1)]));
        assert_eq!(all(&mut queue), [(0, 0), (1, 0), (2, 0), (0, 1)]);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let room = Room {
            jobs: 10,
            bytes: 100,
        };
        let mut queue = FairQueue::new();
        // Longer than all that may wait: alone it may.
        assert_eq!(queue.push(&who(0), 1000, (0, 0), room), Ok(vec![]));
        assert_eq!(queue.push(&who(0), 1, (0, 1), room), Err((0, 1)));
        assert_eq!(queue.push(&who(1), 1, (1, 0), room), Ok(vec![(0, 0)]));
        assert_eq!(queue.push(&who(0), 60, (0, 2), room), Ok(vec![]));
        assert_eq!(queue.push(&who(1), 39, (1, 1), room), Ok(vec![]));
        assert_eq!(queue.push(&who(1), 1, (1, 2), room), Ok(vec![(0, 2)]));
        assert_eq!(all(&mut queue), [(1, 0), (1, 1), (1, 2)]);
    }

    #[test]
    fn what_does_not_fit_keeps_its_turn() {
        let mut queue = FairQueue::new();
        for job in 0..3 {
            queue.push(&who(0), 1, (0, job), WIDE).unwrap();
        }
        queue.push(&who(1), 1, (1, 7), WIDE).unwrap();
        queue.push(&who(2), 1, (2, 0), WIDE).unwrap();
        let small = |(_, job): &(usize, usize)| *job < 7;
        assert_eq!(queue.take(|_| true), Some((0, 0)));
        assert_eq!(queue.take(small), Some((2, 0)));
        assert_eq!(queue.take(small), Some((0, 1)));
        assert_eq!(queue.take(|_| true), Some((1, 7)));
        assert_eq!(queue.clear(|(_, job)| *job == 2), [(0, 2)]);
        assert_eq!((queue.len(), queue.parties()), (0, 0));
    }

    proptest! {
        /// Whatever comes: nothing is lost or doubled, no line is out of order, room is never exceeded; and between two
        /// turns of one that has jobs waiting, each other has one turn at most.
        #[test]
        fn turns_go_round(acts in prop::collection::vec((0..5_usize, 0..40_usize, any::<bool>()), 1..400)) {
            let room = Room { jobs: 20, bytes: 300 };
            let mut queue = FairQueue::new();
            let (mut pushed, mut out) = (0, Vec::new());
            let mut served: Vec<usize> = Vec::new();
            for (number, (name, bytes, is_push)) in acts.into_iter().enumerate() {
                if is_push {
                    pushed += 1;
                    match queue.push(&who(name), bytes, (name, number), room) {
                        Ok(gone) => out.extend(gone),
                        Err(job) => out.push(job),
                    }
                    prop_assert!(queue.len() <= room.jobs);
                    prop_assert!(queue.bytes <= room.bytes || queue.len() == 1);
                } else {
                    let waiting: Vec<_> = queue.turns.iter().cloned().collect();
                    if let Some(job) = queue.take(|_| true) {
                        prop_assert_eq!(&waiting[0], &who(job.0));
                        served.push(job.0);
                        out.push(job);
                    }
                }
            }
            let rest = all(&mut queue);
            let mut last = HashMap::new();
            for (name, number) in &rest {
                prop_assert!(last.insert(*name, *number).is_none_or(|before| before < *number));
            }
            out.extend(rest);
            out.sort_unstable();
            out.dedup();
            prop_assert_eq!(out.len(), pushed);
            prop_assert_eq!((queue.len(), queue.bytes, queue.parties()), (0, 0, 0));
        }
    }
}
