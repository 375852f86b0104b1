//! The connections that there are, so that they can be closed when their certificates no longer pass.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

/// The connections that there are.
#[derive(Debug, Default)]
pub(super) struct Live {
    entries: Mutex<Entries>,
}

/// The place of one connection among the live ones; dropping it gives the place up.
#[derive(Debug)]
pub(super) struct Entry {
    live: Arc<Live>,
    number: u64,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    connections: HashMap<u64, Seen>,
}

/// What a connection showed, and how to close it.
#[derive(Debug)]
struct Seen {
    chain: Arc<[CertificateDer<'static>]>,
    closed: CancellationToken,
}

impl Live {
    pub(super) fn enter(self: &Arc<Self>, chain: Arc<[CertificateDer<'static>]>) -> Entry {
        let closed = CancellationToken::new();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let number = entries.next;
        entries.next += 1;
        entries.connections.insert(
            number,
            Seen {
                chain,
                closed: closed.clone(),
            },
        );
        Entry {
            live: Arc::clone(self),
            number,
            closed,
        }
    }

    /// Closes those whose chain does not pass, and says how many.
    pub(super) fn close_unless(
        &self,
        passes: impl Fn(&[CertificateDer<'static>]) -> bool,
    ) -> usize {
        let seen: Vec<_> = self
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .connections
            .values()
            .map(|seen| (Arc::clone(&seen.chain), seen.closed.clone()))
            .collect();
        // Verifying takes its time; nobody has to wait for the lock meanwhile.
        seen.into_iter()
            .filter(|(chain, closed)| !closed.is_cancelled() && !passes(chain))
            .map(|(_, closed)| closed.cancel())
            .count()
    }
}

impl Entry {
    /// What becomes cancelled when the connection must end.
    pub(super) const fn closed(&self) -> &CancellationToken {
        &self.closed
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.live
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .connections
            .remove(&self.number);
    }
}
