//! What waits for the writer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::journal::JournalError;
use crate::journal::log::Readable;
use crate::journal::pending::Pending;
use crate::ledger::AttemptId;

/// Most entries that wait for the writer.
pub(super) const QUEUE: usize = 4096;

/// How long an entry waits for room in the queue.
const QUEUE_DEADLINE: Duration = Duration::from_millis(500);

/// Most entries written at once, by number and by size.
pub(super) const LARGEST_BATCH: usize = 512;
const LARGEST_BATCH_BYTES: usize = 1024 * 1024;

/// An entry and who waits for it.
pub(super) struct Job {
    pub(super) entry: Pending,
    pub(super) waiter: Waiter,
}

/// Who waits for an entry.
pub(super) struct Waiter {
    /// Set for an intent, which is acknowledged as soon as it is written.
    pub(super) intent: Option<AttemptId>,
    reply: Reply,
    /// Room in the queue, until it is answered.
    _room: OwnedSemaphorePermit,
}

pub(super) type Reply = oneshot::Sender<Result<(), JournalError>>;

/// Nobody was waiting any more.
pub(super) struct GaveUp;

impl Waiter {
    pub(super) fn answer(self, outcome: Result<(), JournalError>) -> Result<(), GaveUp> {
        self.reply.send(outcome).map_err(|_| GaveUp)
    }
}

pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    done: Vec<AttemptId>,
    readers: Vec<oneshot::Sender<Readable>>,
    closing: bool,
}

/// What the writer has to do now.
pub(super) struct Taken {
    pub(super) jobs: Vec<Job>,
    pub(super) done: Vec<AttemptId>,
    pub(super) readers: Vec<oneshot::Sender<Readable>>,
    /// Nothing happened for as long as was waited.
    pub(super) timed_out: bool,
    /// Nothing more comes in.
    pub(super) closing: bool,
    /// Nothing is left behind.
    pub(super) is_last: bool,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            room: Arc::new(Semaphore::new(QUEUE)),
        }
    }

    /// Queues an entry, waiting a little for room.
    pub(super) async fn push(
        &self,
        entry: Pending,
        intent: Option<AttemptId>,
        reply: Reply,
    ) -> Result<(), JournalError> {
        let room = match self.room.clone().try_acquire_owned() {
            Ok(room) => room,
            Err(_) => {
                let freed = self.room.clone().acquire_owned();
                let freed = tokio::time::timeout(QUEUE_DEADLINE, freed).await;
                let full = |_| JournalError::Unavailable {
                    detail: format!("{QUEUE} entries wait for the disk; try again in a moment"),
                };
                freed.map_err(full)?.map_err(|_| JournalError::Closed)?
            }
        };
        let mut state = self.lock();
        if state.closing {
            return Err(JournalError::Closed);
        }
        let waiter = Waiter { intent, reply, _room: room };
        state.jobs.push_back(Job { entry, waiter });
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Notes that an exchange is done. Wakes nobody who has something to wait for.
    pub(super) fn push_done(&self, attempt: AttemptId) {
        let mut state = self.lock();
        if state.closing {
            return;
        }
        state.done.push(attempt);
        let first = state.done.len() == 1;
        drop(state);
        if first {
            self.changed.notify_one();
        }
    }

    pub(super) fn push_reader(
        &self,
        reader: oneshot::Sender<Readable>,
    ) -> Result<(), JournalError> {
        let mut state = self.lock();
        if state.closing {
            return Err(JournalError::Closed);
        }
        state.readers.push(reader);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes in nothing more. What is queued is still written.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.room.close();
        self.changed.notify_one();
    }

    /// Lets go of everything: the writer is gone, and whoever waits is told so.
    pub(super) fn end(&self) {
        self.close();
        let mut state = self.lock();
        let left = std::mem::take(&mut *state);
        state.closing = true;
        drop(state);
        drop(left);
    }

    /// Waits for something to do, at most for `pause`. Only an idle writer is woken by marks: they are
    /// written with what comes next.
    pub(super) fn take(&self, pause: Option<Duration>, is_idle: bool) -> Taken {
        let idle = |state: &mut State| {
            let marks = is_idle && !state.done.is_empty();
            state.jobs.is_empty() && state.readers.is_empty() && !state.closing && !marks
        };
        let state = self.lock();
        let (mut state, timed_out) = match pause {
            None => {
                let woken = self.changed.wait_while(state, idle);
                (woken.unwrap_or_else(PoisonError::into_inner), false)
            }
            Some(pause) => {
                let woken = self.changed.wait_timeout_while(state, pause, idle);
                let (state, outcome) = woken.unwrap_or_else(PoisonError::into_inner);
                (state, outcome.timed_out())
            }
        };
        let jobs = take_batch(&mut state.jobs);
        let is_last = state.jobs.is_empty();
        // A mark is never written before the entries that were handed in before it.
        let done = if is_last { std::mem::take(&mut state.done) } else { Vec::new() };
        let readers = if is_last { std::mem::take(&mut state.readers) } else { Vec::new() };
        Taken { jobs, done, readers, timed_out, closing: state.closing, is_last }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_batch(jobs: &mut VecDeque<Job>) -> Vec<Job> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while batch.len() < LARGEST_BATCH && bytes < LARGEST_BATCH_BYTES {
        let Some(job) = jobs.pop_front() else {
            break;
        };
        bytes += job.entry.bytes();
        batch.push(job);
    }
    batch
}
