//! Group commit: operations that wait together are written in one transaction, which is one wait for the disk.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Desks,
    desk::{Desk, Failure, Transaction},
    error::StoreError,
    idempotency::{self, Begin, Complete, Found},
    quota::{self, Add},
    replay::{self, Remember, Seen},
};

/// Where operations are handed in.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    queue: usize,
}

/// An operation, and who waits for its answer.
pub(super) enum Job {
    /// Remember a callback.
    Remember(Asked<Remember, Seen>),
    /// Begin a request.
    Begin(Asked<Begin, Found>),
    /// End a claim.
    Complete(Asked<Complete, ()>),
    /// Count.
    Add(Asked<Add, u64>),
}

/// What is asked, and where the answer goes.
pub(super) struct Asked<Q, A> {
    question: Q,
    answer: oneshot::Sender<Result<A, StoreError>>,
}

/// What one transaction answers.
#[derive(Default)]
struct Batch {
    remember: Vec<Asked<Remember, Seen>>,
    complete: Vec<Asked<Complete, ()>>,
    begin: Vec<Asked<Begin, Found>>,
    add: Vec<Asked<Add, u64>>,
}

impl Writer {
    /// Starts the task that writes; it ends when the last writer is dropped.
    pub(super) fn start(desks: Arc<Desks>, queue: usize, limits: Limits) -> Self {
        let (jobs, inbox) = mpsc::channel(queue);
        tokio::spawn(write(desks, inbox, limits));
        Self { jobs, queue }
    }

    /// Hands in a question and waits for the answer, which is on disk then.
    pub(super) async fn ask<Q, A>(
        &self,
        job: impl FnOnce(Asked<Q, A>) -> Job,
        question: Q,
    ) -> Result<A, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.jobs
            .try_send(job(Asked { question, answer }))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Busy(self.queue),
                mpsc::error::TrySendError::Closed(_) => stopped(),
            })?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// The same, for no longer than this.
    pub(super) async fn ask_within<Q, A>(
        &self,
        limit: Duration,
        job: impl FnOnce(Asked<Q, A>) -> Job,
        question: Q,
    ) -> Result<A, StoreError> {
        timeout(limit, self.ask(job, question))
            .await
            .unwrap_or(Err(StoreError::Deadline))
    }

    /// Hands in what nobody waits for.
    pub(super) fn tell<Q, A>(&self, job: impl FnOnce(Asked<Q, A>) -> Job, question: Q) {
        let (answer, _) = oneshot::channel();
        // Best effort is what was promised.
        drop(self.jobs.try_send(job(Asked { question, answer })));
    }
}

/// What the operations are held to.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// `[replay] max_entries_per_partner`.
    pub(super) replay: u64,
}

async fn write(desks: Arc<Desks>, mut inbox: mpsc::Receiver<Job>, limits: Limits) {
    let mut waiting = VecDeque::new();
    let mut arrived = Vec::new();
    loop {
        if waiting.is_empty() && inbox.recv_many(&mut arrived, MOST).await == 0 {
            return;
        }
        while waiting.len() + arrived.len() < MOST
            && let Ok(job) = inbox.try_recv()
        {
            arrived.push(job);
        }
        waiting.extend(arrived.drain(..));
        Batch::take(&mut waiting).run(&desks.writing, limits).await;
    }
}

impl Batch {
    /// Takes what may go together. A second question about the same callback is for the next transaction, which knows
    /// what came of the first.
    fn take(waiting: &mut VecDeque<Job>) -> Self {
        let mut batch = Self::default();
        let (mut remembered, mut begun) = (HashSet::new(), HashSet::new());
        for job in std::mem::take(waiting) {
            match job {
                // Who asked has gone, and nothing has been done yet.
                Job::Remember(Asked { answer, .. }) if answer.is_closed() => {}
                Job::Begin(Asked { answer, .. }) if answer.is_closed() => {}
                Job::Add(Asked { answer, .. }) if answer.is_closed() => {}
                Job::Remember(asked) if remembered.insert(asked.question.id.clone()) => {
                    batch.remember.push(asked);
                }
                Job::Begin(asked) => {
                    begun.insert(asked.question.id_hash);
                    batch.begin.push(asked);
                }
                // It may undo what was begun in the same breath.
                Job::Complete(asked) if !begun.contains(&asked.question.id_hash) => {
                    batch.complete.push(asked);
                }
                Job::Add(asked) => batch.add.push(asked),
                job @ (Job::Remember(_) | Job::Complete(_)) => {
                    waiting.push_back(job);
                }
            }
        }
        // All daemons take rows in the same order, so that none waits for one that waits for it.
        batch
            .remember
            .sort_by(|a, b| a.question.id.cmp(&b.question.id));
        batch.begin.sort_by_key(|asked| asked.question.id_hash);
        batch.complete.sort_by_key(|asked| asked.question.id_hash);
        batch
    }

    async fn run(self, desk: &Desk, limits: Limits) {
        let mut tries = 0;
        let answers = loop {
            tries += 1;
            match self.transact(desk, limits).await {
                Err(failure) if failure.is_contention() && tries < TRIES => {}
                other => break other,
            }
        };
        match answers {
            Ok(answers) => {
                answer(self.remember, answers.remember);
                answer(self.complete, answers.complete);
                answer(self.begin, answers.begin);
                answer(self.add, answers.add);
            }
            Err(failure) => {
                let error = StoreError::from(failure);
                refuse(self.remember, &error);
                refuse(self.complete, &error);
                refuse(self.begin, &error);
                refuse(self.add, &error);
            }
        }
    }

    async fn transact(&self, desk: &Desk, limits: Limits) -> Result<Answers, Failure> {
        let mut transaction = desk.write().await?;
        let answers = self.answers(&mut transaction, limits).await?;
        transaction.commit().await?;
        Ok(answers)
    }

    async fn answers(
        &self,
        transaction: &mut Transaction<'_>,
        limits: Limits,
    ) -> Result<Answers, Failure> {
        let (complete, begin) = (questions(&self.complete), questions(&self.begin));
        Ok(Answers {
            remember: replay::remember(transaction, &questions(&self.remember), limits.replay)
                .await?,
            // What ends before what begins: an attempt that was given up makes room for the next.
            complete: {
                idempotency::lock(transaction, &complete, &begin).await?;
                idempotency::complete(transaction, &complete).await?
            },
            begin: idempotency::begin(transaction, &begin).await?,
            add: quota::add(transaction, &questions(&self.add)).await?,
        })
    }
}

struct Answers {
    remember: Vec<Result<Seen, StoreError>>,
    complete: Vec<Result<(), StoreError>>,
    begin: Vec<Result<Found, StoreError>>,
    add: Vec<Result<u64, StoreError>>,
}

fn questions<Q, A>(asked: &[Asked<Q, A>]) -> Vec<&Q> {
    asked.iter().map(|asked| &asked.question).collect()
}

fn answer<Q, A>(asked: Vec<Asked<Q, A>>, answers: Vec<Result<A, StoreError>>) {
    for (asked, answer) in asked.into_iter().zip(answers) {
        // Who asked may have gone; what was written stays.
        drop(asked.answer.send(answer));
    }
}

fn refuse<Q, A>(asked: Vec<Asked<Q, A>>, error: &StoreError) {
    for asked in asked {
        drop(asked.answer.send(Err(error.clone())));
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("its writer has stopped".to_owned())
}

/// The most operations in one transaction: some milliseconds of work.
const MOST: usize = 512;
/// How often a transaction is tried that others are in the way of.
const TRIES: u32 = 5;
