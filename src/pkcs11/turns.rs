//! Turns at a token's objects: whoever makes or removes some waits until its neighbours have looked, and they until it is
//! done.
//!
//! A SoftHSM object that is read while another process writes it may stay half read in the reader for as long as that
//! lives. The turns are those of one daemon's workers, by a lock on a file in its state directory. Nobody waits
//! for long: a token that hangs in one worker must not hold up the others, and a listing that comes amiss is
//! made again (see [`list`](super::inventory::list)).

use std::{
    fs::File,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use super::state_file;

/// The turns at the tokens of one module.
pub(super) struct Turns(PathBuf);

/// Given back when it is dropped, or its process ends.
pub(super) struct Turn(
    #[expect(dead_code, reason = "it is the open file that is locked")] Option<File>,
);

impl Turns {
    pub(super) fn new(directory: &Path, module: &Path) -> Self {
        Self(state_file::of_module(directory, "objects", module))
    }

    /// To look, beside others who look.
    pub(super) fn look(&self) -> Turn {
        self.take(FlockOperation::NonBlockingLockShared, LOOKING)
    }

    /// To make or remove something, alone.
    pub(super) fn change(&self) -> Turn {
        self.take(FlockOperation::NonBlockingLockExclusive, CHANGING)
    }

    fn take(&self, how: FlockOperation, patience: Duration) -> Turn {
        let Ok(file) = state_file::open(&self.0, 0o600) else {
            return Turn(None);
        };
        let start = Instant::now();
        while flock(&file, how).is_err() {
            if start.elapsed() > patience {
                return Turn(None);
            }
            thread::sleep(STEP);
        }
        Turn(Some(file))
    }
}

/// So long is waited for a turn.
const LOOKING: Duration = Duration::from_secs(1);
const CHANGING: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(2);
