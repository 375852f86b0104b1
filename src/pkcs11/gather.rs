//! Single signatures that wait together go to the token together.
//!
//! What one small operation costs beside the token's own work is mostly the way to the worker and back: two
//! wake-ups and four calls to the system. When more callers wait than there are threads, those at the head of the
//! queue who want the same key share one frame. A caller who is alone waits for nobody.

use std::sync::{Arc, Mutex, atomic::Ordering};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    TokenError,
    fair::{FairQueue, Room, Who},
    pool::{Counters, Pool},
    protocol::{Reply, Request, SignItem},
};

/// Signatures that are asked for one by one.
pub(super) struct Gather {
    queue: Mutex<Queue>,
    ready: Notify,
    /// How much may wait while all threads have work.
    room: Room,
}

struct Queue {
    waiting: FairQueue<Waiting>,
    /// How many of those who serve it have nothing to do, or are about to look.
    idle: usize,
}

/// What a caller waits for.
pub(super) type Answer = oneshot::Receiver<Result<Vec<u8>, TokenError>>;

struct Waiting {
    who: Who,
    item: SignItem,
    deadline: Instant,
    answer: oneshot::Sender<Result<Vec<u8>, TokenError>>,
}

impl Gather {
    /// For so many who serve it, and so much that may wait.
    pub(super) fn new(servers: usize, room: Room) -> Self {
        Self {
            queue: Mutex::new(Queue {
                waiting: FairQueue::new(),
                idle: servers,
            }),
            ready: Notify::new(),
            room,
        }
    }

    /// Puts one into the queue, if there is room.
    pub(super) fn push(
        &self,
        who: Who,
        item: SignItem,
        deadline: Instant,
        counters: &Counters,
    ) -> Result<Answer, TokenError> {
        let (answer, receiver) = oneshot::channel();
        let bytes = item.input.len();
        let full = || {
            counters.queue_refusals.fetch_add(1, Ordering::Relaxed);
            TokenError::QueueFull {
                limit: self.room.jobs,
            }
        };
        let mut queue = self.queue.lock().expect("nothing panics while holding it");
        let room = Room {
            jobs: self.room.jobs + queue.idle,
            ..self.room
        };
        let before = queue.waiting.len();
        if !queue.waiting.has_room(bytes, room) {
            let now = Instant::now();
            let is_over = |one: &Waiting| one.deadline <= now || one.answer.is_closed();
            for one in queue.waiting.clear(is_over) {
                let _ = one.answer.send(Err(TokenError::Deadline));
            }
        }
        let waiting = Waiting {
            who: who.clone(),
            item,
            deadline,
            answer,
        };
        let pushed = queue.waiting.push(&who, bytes, waiting, room);
        let after = queue.waiting.len();
        // While nobody can take it out again. What went up or down, as one number that never is below what waits elsewhere.
        match after.checked_sub(before) {
            Some(more) => counters.queue_length.fetch_add(more, Ordering::Relaxed),
            None => counters
                .queue_length
                .fetch_sub(before - after, Ordering::Relaxed),
        };
        drop(queue);
        for gone in pushed.map_err(|_| full())? {
            // Who has gone away does not want to know.
            let _ = gone.answer.send(Err(full()));
        }
        self.ready.notify_one();
        Ok(receiver)
    }

    /// Takes turns at the queue with the others of its kind, of which there are as many as lanes.
    pub(super) async fn serve(self: Arc<Self>, pool: Arc<Pool>) {
        loop {
            let taken = self.take(&pool);
            let Some(deadline) = taken.iter().map(|one| one.deadline).max() else {
                self.ready.notified().await;
                continue;
            };
            let who = taken.first().map(|one| one.who.clone()).unwrap_or_default();
            let (items, answers): (Vec<_>, Vec<_>) =
                taken.into_iter().map(|one| (one.item, one.answer)).unzip();
            let results = pool.sign_frame(&who, items, deadline).await;
            self.queue
                .lock()
                .expect("nothing panics while holding it")
                .idle += 1;
            for (answer, result) in answers.into_iter().zip(results) {
                // Who has gone away does not want it.
                let _ = answer.send(result);
            }
        }
    }

    /// The one whose turn it is, and those after it that want the same key, as many as are this one's share.
    fn take(&self, pool: &Pool) -> Vec<Waiting> {
        let now = Instant::now();
        let mut queue = self.queue.lock().expect("nothing panics while holding it");
        let Queue { waiting, idle } = &mut *queue;
        let before = waiting.len();
        // Who wants another key waits for a short frame only.
        let most = if waiting.parties() > 1 { FEW } else { MOST };
        let size = before.div_ceil(pool.width()).clamp(1, most);
        let mut taken: Vec<Waiting> = Vec::with_capacity(size);
        while taken.len() < size {
            let fits = |next: &Waiting| {
                taken.first().is_none_or(|first| {
                    first.item.with == next.item.with
                        && first.item.key.version == next.item.key.version
                })
            };
            let Some(next) = waiting.take(fits) else {
                break;
            };
            if next.deadline <= now {
                let _ = next.answer.send(Err(TokenError::Deadline));
            } else {
                taken.push(next);
            }
        }
        if !taken.is_empty() {
            *idle -= 1;
        }
        if waiting.len() > 0 {
            self.ready.notify_one();
        }
        pool.counters()
            .queue_length
            .fetch_sub(before - waiting.len(), Ordering::Relaxed);
        taken
    }
}

impl Pool {
    /// Signs the items of a frame, in as many goes as the token's pace makes of it.
    pub(super) async fn sign_frame(
        &self,
        who: &Who,
        mut items: Vec<SignItem>,
        deadline: Instant,
    ) -> Vec<Result<Vec<u8>, TokenError>> {
        let mut results = Vec::with_capacity(items.len());
        while !items.is_empty() {
            let mut request = Request::Sign {
                items,
                // The rest of the time is for the last item that was begun.
                budget: self.operation_timeout() / 2,
            };
            let reply = self.run(who, &request, deadline).await;
            let Request::Sign { items: sent, .. } = &mut request else {
                unreachable!("it was made above")
            };
            match reply {
                Ok(Reply::Signed(signed)) if (1..=sent.len()).contains(&signed.len()) => {
                    items = sent.split_off(signed.len());
                    results.extend(signed.into_iter().map(|one| {
                        one.map(serde_bytes::ByteBuf::into_vec)
                            .map_err(TokenError::Fault)
                    }));
                }
                other => {
                    let error = other.err().unwrap_or(TokenError::Lost);
                    results.resize(results.len() + sent.len(), Err(error));
                    break;
                }
            }
        }
        results
    }
}

/// The most that share a frame: what one of them waits for the others stays small.
const MOST: usize = 16;
/// The same when more than one identity waits.
const FEW: usize = 4;
