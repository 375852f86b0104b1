//! The one thread that writes: gathers what waits, writes it, flushes once, tells all who wait.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::audit::{
    Digest, Durability, Event, StopReason, Stopped, Trouble,
    file::Segment,
    line::{self, Head},
    queue::{Entry, Queue, Waiter, Work},
    time::Timestamp,
    tree,
};

/// Owns the segment that is written to, and the chain's end.
pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) directory: PathBuf,
    pub(super) durability: Durability,
    pub(super) segment_bytes: u64,
    pub(super) segment: Segment,
    /// The day of the segment's first record.
    pub(super) day: Option<u64>,
    /// The number of the next record.
    pub(super) next: u64,
    /// The hash of the last record.
    pub(super) previous: Digest,
    /// Lines that are not with the kernel yet.
    pub(super) lines: Vec<u8>,
    /// Who waits for what was gathered.
    pub(super) waiting: Vec<Waiter>,
    /// Bytes with the kernel that may not be on the disk.
    pub(super) unflushed: u64,
    pub(super) looked: Instant,
    /// When the last flush ended, and how long flushes take.
    pub(super) flushed: Instant,
    pub(super) flush: Duration,
}

impl Writer {
    /// Writes until the log is closed or fails.
    pub(super) fn run(mut self) {
        let mut work = Work::default();
        loop {
            let pace = (self.flush * SHARE).min(MOST_PACE);
            self.queue.take(&mut work, WATCH, self.flushed + pace);
            if let Err(trouble) = self.write(&mut work) {
                self.give_up(trouble);
                return;
            }
            if work.last {
                return;
            }
        }
    }

    /// Sooner or later nobody is answered: the reason must be there before they learn it.
    fn give_up(&mut self, trouble: Trouble) {
        tracing::error!(%trouble, "the audit log failed; nothing more is done");
        let low = matches!(trouble, Trouble::DiskLow { .. });
        self.queue.fail(trouble);
        self.waiting.clear();
        if low {
            let last = line::event(&Event::Stopped(Stopped {
                reason: StopReason::DiskFull,
            }));
            let told = self
                .gather(self.queue.time(), &last)
                .and_then(|()| self.append())
                .and_then(|()| self.segment.sync());
            if let Err(trouble) = told {
                tracing::error!(%trouble, "the audit log's last record could not be written");
            }
        }
    }

    fn write(&mut self, work: &mut Work) -> Result<(), Trouble> {
        let idle = work.entries.is_empty();
        let mut events = work.events.as_slice();
        let mut written = Ok(());
        for entry in work.entries.drain(..) {
            let Entry {
                time,
                length,
                waiter,
            } = entry;
            self.waiting.extend(waiter);
            let (event, rest) = events.split_at(length);
            events = rest;
            written = self.gather(time, event);
            if written.is_ok() && self.lines.len() >= CHUNK {
                written = self.append();
            }
            if written.is_ok() && self.unflushed >= MOST_UNFLUSHED {
                written = self.commit(false, false);
            }
            if written.is_err() {
                break;
            }
        }
        let forced = !work.flushes.is_empty() || work.last || idle;
        let result = written.and_then(|()| self.commit(forced, work.last));
        match result {
            Ok(()) => {
                for waiter in work.flushes.drain(..) {
                    let _ = waiter.send(());
                }
                Ok(())
            }
            Err(trouble) => {
                // Before those who wait are dropped with what is left of the work.
                self.queue.fail(trouble.clone());
                Err(trouble)
            }
        }
    }

    /// Adds a record's line to what is written next; begins another segment where it is time.
    fn gather(&mut self, time: Timestamp, event: &[u8]) -> Result<(), Trouble> {
        let head = Head {
            sequence: self.next,
            time,
            previous: self.previous,
        };
        let begin = self.lines.len();
        line::write(&mut self.lines, &head, event);
        let line = &self.lines[begin..];
        if line.len() > MAX_RECORD {
            return Err(Trouble::TooLong(line.len()));
        }
        let leaf = tree::leaf(line);
        self.lines.push(b'\n');
        let length = self.segment.length() + self.lines.len() as u64;
        let another_day = self.day.is_some_and(|day| day != time.day());
        if self.day.is_some() && (length > self.segment_bytes || another_day) {
            let line = self.lines.split_off(begin);
            self.rotate()?;
            self.lines = line;
        }
        self.day.get_or_insert_with(|| time.day());
        self.previous = leaf;
        self.next += 1;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), Trouble> {
        self.append()?;
        self.segment.sync()?;
        self.segment.check()?;
        self.segment.finish()?;
        self.unflushed = 0;
        let room = self.segment_bytes + RESERVE;
        self.segment =
            Segment::create(&self.directory, self.next, room).map_err(Trouble::writing)?;
        self.day = None;
        Ok(())
    }

    fn append(&mut self) -> Result<(), Trouble> {
        if !self.lines.is_empty() {
            self.segment.append(&self.lines)?;
            self.unflushed += self.lines.len() as u64;
            self.lines.clear();
        }
        Ok(())
    }

    /// Writes what was gathered, waits for the disk where somebody waits for it, and tells them. After the
    /// last record the file is let go of before anybody hears of it: they may open the log again at once.
    fn commit(&mut self, forced: bool, last: bool) -> Result<(), Trouble> {
        self.append()?;
        let waited_for = self.durability == Durability::Fsync && !self.waiting.is_empty();
        let due = forced || waited_for || self.unflushed >= MOST_UNFLUSHED;
        if due && self.unflushed > 0 {
            self.sync()?;
        }
        // A file that is not there any more keeps nothing, however well it was flushed.
        if due || !self.waiting.is_empty() || self.looked.elapsed() >= WATCH {
            self.segment.check()?;
            self.look_at_room()?;
            if self.unflushed == 0 || self.durability == Durability::Os {
                self.queue.set_durable(self.next, self.previous);
            }
        }
        if self.queue.has_failed() {
            // The keeper found a fault in what was written before, and has said so.
            return Err(Trouble::Gone);
        }
        if last {
            self.segment.finish()?;
        }
        if !self.waiting.is_empty() {
            self.queue.tell(std::mem::take(&mut self.waiting));
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Trouble> {
        let begun = Instant::now();
        self.segment.sync()?;
        self.flushed = Instant::now();
        self.flush = (self.flush * 7 + (self.flushed - begun)) / 8;
        self.unflushed = 0;
        Ok(())
    }

    fn look_at_room(&mut self) -> Result<(), Trouble> {
        if self.looked.elapsed() < WATCH {
            return Ok(());
        }
        self.looked = Instant::now();
        match self.segment.free() {
            Some(free) if free < RESERVE => Err(Trouble::DiskLow {
                free,
                floor: RESERVE,
            }),
            _ => Ok(()),
        }
    }
}

/// How often the file is looked at when nothing is written.
const WATCH: Duration = Duration::from_millis(250);
const _: () = assert!(
    WATCH.as_millis() < 1000,
    "what is done to the file is noticed within a second"
);
/// Lines that are written at once.
const CHUNK: usize = 256 << 10;
/// While many wait, as much longer than a flush is waited for others who can share the next one: a disk that is always
/// at it costs more of the processor than all else that the log does.
const SHARE: u32 = 4;
/// But no longer than this.
const MOST_PACE: Duration = Duration::from_millis(1);
/// Intents that nobody waits for are flushed when there are so many bytes of them.
const MOST_UNFLUSHED: u64 = 1 << 20;
/// Room that is left on the disk to say that there is none.
pub(super) const RESERVE: u64 = 4 << 20;
/// What a bundle of the tree can hold.
const MAX_RECORD: usize = 65_535;
