//! The scheduler's loop: claims, waits, and has sessions refreshed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::actors::scheduler::queue::DueQueue;
use crate::actors::scheduler::{Command, SchedulerOptions};
use crate::actors::session::RefreshDue;
use crate::actors::supervisor::Supervisor;
use crate::ledger::Claim;
use crate::model::{SessionKey, Timestamp};
use crate::store::At;

/// Sessions claimed at a time.
const CLAIM: usize = 1024;
/// With this many queued, no more are claimed until some are done.
const BACKLOG: usize = 16 * CLAIM;
/// Of so many looks that fail in a row, one is told.
const WARN_EVERY: u32 = 60;

/// Leave for one background refresh; given back when it is dropped.
pub(crate) type RefreshLimits = OwnedSemaphorePermit;

/// Runs until shutdown.
pub(crate) async fn run(
    supervisor: Supervisor,
    options: SchedulerOptions,
    mut commands: mpsc::Receiver<Command>,
) {
    let closing = supervisor.shared().closing.clone();
    let mut scheduler = Scheduler {
        limits: Arc::new(Semaphore::new(options.concurrency.clamp(1, Semaphore::MAX_PERMITS))),
        failed: 0,
        queue: DueQueue::default(),
        ready: VecDeque::new(),
        supervisor,
        options,
    };
    let mut polls = tokio::time::interval(options.poll_every);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let limits = Arc::clone(&scheduler.limits);
        let has_ready = !scheduler.ready.is_empty();
        tokio::select! {
            () = closing.cancelled() => return scheduler.give_back().await,
            _ = polls.tick() => {
                let again = scheduler.claim().await;
                polls.reset_at(Instant::now() + again);
            }
            Some(command) = commands.recv() => {
                scheduler.queue.insert(command.key, command.after);
            }
            key = scheduler.queue.next() => scheduler.ready.push_back(key),
            permit = limits.acquire_owned(), if has_ready => {
                scheduler.dispatch(permit.expect("the semaphore is never closed"));
            }
        }
    }
}

struct Scheduler {
    supervisor: Supervisor,
    options: SchedulerOptions,
    queue: DueQueue,
    /// Due, and waiting for leave.
    ready: VecDeque<SessionKey>,
    limits: Arc<Semaphore>,
    /// Looks at the due index that failed since one did not.
    failed: u32,
}

impl Scheduler {
    /// Moves sessions from the due index into the queue; tells when to look again.
    async fn claim(&mut self) -> Duration {
        if self.queue.len() + self.ready.len() >= BACKLOG {
            return Duration::from_millis(100).min(self.options.poll_every);
        }
        let request = Claim {
            horizon: self.options.horizon,
            limit: CLAIM,
            visibility: self.options.visibility,
        };
        match self.ask_store(request).await {
            Ok(claimed) => {
                if std::mem::take(&mut self.failed) > 0 {
                    tracing::info!("which sessions are due can be read again");
                }
                let full = claimed.reply.len() >= CLAIM;
                for (key, due) in claimed.reply {
                    self.queue.insert(key, due.since(claimed.now));
                }
                if full { Duration::ZERO } else { self.options.poll_every }
            }
            Err(error) => {
                if self.failed.is_multiple_of(WARN_EVERY) {
                    tracing::warn!("cannot read which sessions are due: {error}");
                }
                self.failed = self.failed.saturating_add(1);
                Duration::from_secs(1).min(self.options.poll_every)
            }
        }
    }

    /// At shutdown: what was claimed is due for the next one to look, and not hidden any longer.
    async fn give_back(mut self) {
        let mut left = self.queue.drain();
        left.extend(self.ready.drain(..).map(|key| (key, Duration::ZERO)));
        for batch in left.chunks(CLAIM) {
            let mut calls = JoinSet::new();
            for (key, due_in) in batch.iter().cloned() {
                let shared = Arc::clone(self.supervisor.shared());
                calls.spawn(async move { shared.store.postpone(&key, Some(due_in), None).await });
            }
            for outcome in calls.join_all().await {
                if let Err(error) = outcome {
                    tracing::warn!(%error, "a claimed session stays hidden for a while: {error}");
                }
            }
        }
    }

    /// In a task of its own: a store that panics must not end the scheduler, which nothing would replace.
    async fn ask_store(&self, request: Claim) -> Result<At<Vec<(SessionKey, Timestamp)>>, String> {
        let shared = Arc::clone(self.supervisor.shared());
        let asked = tokio::spawn(async move { shared.store.claim(request).await });
        let answer = asked.await.map_err(|_| "the store panicked".to_owned())?;
        answer.map_err(|error| error.to_string())
    }

    fn dispatch(&mut self, permit: OwnedSemaphorePermit) {
        if let Some(key) = self.ready.pop_front() {
            self.supervisor.tell(&key, RefreshDue { permit: Some(permit) });
        }
    }
}
