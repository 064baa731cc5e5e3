//! The one thread that writes: what came in is written at once and made durable together.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::fault;
use crate::journal::codec::Stamp;
use crate::journal::log::{Log, Synced};
use crate::journal::pending::Pending;
use crate::journal::queue::{Job, LARGEST_BATCH, Taken, Waiter};
use crate::journal::writer::Shared;
use crate::journal::{JournalError, JournalHealth};
use crate::ledger::AttemptId;
use crate::model::{BootTime, Clock, Timestamp};

/// How often a failing disk is tried again.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// After this, what nobody waits for is made durable as well: marks, and intents.
const SETTLE_AFTER: Duration = Duration::from_secs(1);

/// Or when it is this much.
const SETTLE_BYTES: usize = 1024 * 1024;

/// How often segments are looked at that only have to grow old.
const CLEAN_EVERY: Duration = Duration::from_secs(15);

/// How much may be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// From this size on, intents are refused.
    pub(super) intents: u64,
    /// Beyond this size, everything is.
    pub(super) bytes: u64,
    /// Answers become durable at most once in this time.
    pub(super) flush_every: Duration,
}

/// What the thread works with.
pub(super) struct WriterThread {
    shared: Arc<Shared>,
    log: Log,
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    /// Written, and waiting to be durable.
    waiting: Vec<Waiter>,
    /// Done, and not yet written down.
    done: Vec<AttemptId>,
    /// `None` while the disk does what it is told.
    trouble: Option<Trouble>,
    last_sync: BootTime,
}

struct Trouble {
    since: Timestamp,
    detail: String,
    last_probe: BootTime,
}

impl WriterThread {
    pub(super) fn new(
        shared: Arc<Shared>,
        log: Log,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
    ) -> Self {
        let mut thread = Self {
            shared,
            log,
            clock,
            bounds,
            waiting: Vec::new(),
            done: Vec::new(),
            trouble: None,
            last_sync: BootTime::default(),
        };
        // Whether the disk takes anything shows before the first exchange.
        let _ = thread.attempt(Log::rotate);
        thread.clean();
        thread.publish();
        thread
    }

    pub(super) fn run(mut self) {
        loop {
            let taken = self.shared.queue.take(self.pause(), self.is_idle());
            let over = taken.closing && taken.is_last;
            self.step(taken);
            if over {
                return;
            }
        }
    }

    /// How long nothing has to be done, if nothing comes in; `None` for ever.
    fn pause(&self) -> Option<Duration> {
        if !self.waiting.is_empty() {
            let passed = self.clock.boot().since(self.last_sync);
            Some(self.bounds.flush_every.saturating_sub(passed))
        } else if self.trouble.is_some() {
            Some(PROBE_EVERY)
        } else if self.is_idle() {
            self.log.is_ageing().then_some(CLEAN_EVERY)
        } else {
            Some(SETTLE_AFTER)
        }
    }

    /// True if nothing is to be written or made durable.
    fn is_idle(&self) -> bool {
        self.log.unsynced_since().is_none() && self.done.is_empty() && self.trouble.is_none()
    }

    fn step(&mut self, taken: Taken) {
        let Taken { jobs, done, readers, timed_out, closing, is_last } = taken;
        let was_waiting = !self.waiting.is_empty();
        self.done.extend(done);
        // First, so that nothing joins what is old enough to go.
        self.rotate();
        let marks = !jobs.is_empty() || !readers.is_empty() || timed_out || closing;
        self.write(jobs, marks);
        if self.is_sync_due(timed_out || closing && is_last) {
            self.sync();
        }
        self.probe(timed_out && !was_waiting);
        self.clean();
        self.publish();
        for reader in readers {
            // One that gave up holds nothing up.
            let _ = reader.send(self.log.readable());
        }
    }

    /// Writes what may be written, in one go. Intents are acknowledged by that.
    fn write(&mut self, jobs: Vec<Job>, marks: bool) {
        let mut bytes = self.log.bytes();
        let (mut entries, mut waiters) = (Vec::new(), Vec::new());
        for Job { entry, waiter } in jobs {
            let after = bytes + entry.bytes() as u64;
            if let Some(refusal) = self.refusal(&waiter, bytes, after) {
                let _ = waiter.answer(Err(refusal));
                continue;
            }
            bytes = after;
            entries.push(entry);
            waiters.push(waiter);
        }
        let done = if marks && self.trouble.is_none() { self.take_done(&entries) } else { vec![] };
        entries.extend(Pending::closing(Stamp::now(&*self.clock), &done));
        if entries.is_empty() {
            return;
        }
        match self.attempt(|log| log.append(entries)) {
            Ok(()) => self.acknowledge(waiters),
            Err(error) => {
                self.done.extend(done);
                for waiter in waiters {
                    let _ = waiter.answer(Err(error.clone()));
                }
            }
        }
    }

    /// Why an entry may not be written, when the journal holds `bytes`, and `after` with it.
    fn refusal(&self, waiter: &Waiter, bytes: u64, after: u64) -> Option<JournalError> {
        let max_bytes = self.bounds.bytes;
        match &self.trouble {
            _ if waiter.intent.is_none() => {
                (after > max_bytes).then_some(JournalError::Full { bytes, max_bytes })
            }
            Some(trouble) => {
                let (path, detail) = (self.shared.directory.clone(), trouble.detail.clone());
                Some(JournalError::Io { path, detail })
            }
            None => {
                (bytes >= self.bounds.intents).then_some(JournalError::Full { bytes, max_bytes })
            }
        }
    }

    /// What is done of what is written or about to be. Anything else leaves no trace to mark.
    fn take_done(&mut self, entries: &[Pending]) -> Vec<AttemptId> {
        let mut done = std::mem::take(&mut self.done);
        if !done.is_empty() {
            let coming: HashSet<_> = entries.iter().filter_map(Pending::opens).collect();
            done.retain(|attempt| self.log.is_open(*attempt) || coming.contains(attempt));
        }
        done
    }

    fn acknowledge(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters {
            let Some(attempt) = waiter.intent else {
                self.waiting.push(waiter);
                continue;
            };
            if waiter.answer(Ok(())).is_err() {
                // Whoever gave up waiting begins nothing with it.
                self.done.push(attempt);
            }
        }
    }

    fn is_sync_due(&self, idle: bool) -> bool {
        let now = self.clock.boot();
        let much = self.log.unsynced_bytes() >= SETTLE_BYTES || self.waiting.len() >= LARGEST_BATCH;
        if self.waiting.is_empty() {
            let since = self.log.unsynced_since().filter(|_| self.trouble.is_none());
            since.is_some_and(|since| idle || much || now.since(since) >= SETTLE_AFTER)
        } else {
            idle || much || now.since(self.last_sync) >= self.bounds.flush_every
        }
    }

    fn sync(&mut self) {
        self.last_sync = self.clock.boot();
        if !self.waiting.is_empty() {
            fault::point("t5");
        }
        let outcome = match self.log.sync() {
            Ok(Synced::Safe) => Ok(()),
            Ok(Synced::SavedAnew(error)) => {
                self.fail(&error);
                Ok(())
            }
            Err(error) => Err(self.fail(&error)),
        };
        if !self.waiting.is_empty() && outcome.is_ok() {
            fault::point("t6");
        }
        for waiter in self.waiting.drain(..) {
            // A caller that gave up does not undo what was written.
            let _ = waiter.answer(outcome.clone());
        }
    }

    /// Tries a failing disk again, now and then.
    fn probe(&mut self, idle: bool) {
        let now = self.clock.boot();
        let Some(trouble) = &mut self.trouble else {
            return;
        };
        if !idle && now.since(trouble.last_probe) < PROBE_EVERY {
            return;
        }
        trouble.last_probe = now;
        self.done.retain(|attempt| self.log.is_open(*attempt));
        // A full disk may need just that.
        if self.attempt(|log| log.clean(now)).and_then(|()| self.attempt(Log::probe)).is_ok() {
            self.trouble = None;
        }
    }

    fn rotate(&mut self) {
        if self.trouble.is_none() && self.log.is_rotation_due(self.clock.boot()) {
            self.sync();
            if self.trouble.is_none() {
                let _ = self.attempt(Log::rotate);
            }
        }
    }

    fn clean(&mut self) {
        if self.trouble.is_none() {
            let now = self.clock.boot();
            let _ = self.attempt(|log| log.clean(now));
        }
    }

    /// Does something to the disk and notes if that fails.
    fn attempt<T>(
        &mut self,
        act: impl FnOnce(&mut Log) -> io::Result<T>,
    ) -> Result<T, JournalError> {
        act(&mut self.log).map_err(|error| self.fail(&error))
    }

    fn fail(&mut self, error: &io::Error) -> JournalError {
        let detail = error.to_string();
        match &mut self.trouble {
            Some(trouble) => trouble.detail.clone_from(&detail),
            None => {
                let (since, last_probe) = (self.clock.now(), self.clock.boot());
                self.trouble = Some(Trouble { since, detail: detail.clone(), last_probe });
            }
        }
        // Before anybody is told that something failed.
        self.publish();
        JournalError::Io { path: self.shared.directory.clone(), detail }
    }

    fn publish(&self) {
        let bytes = self.log.bytes();
        self.shared.set_health(match &self.trouble {
            Some(Trouble { since, detail, .. }) => {
                JournalHealth::Failing { since: *since, detail: detail.clone() }
            }
            None if bytes >= self.bounds.intents => JournalHealth::Full { bytes },
            None => JournalHealth::Writing,
        });
    }
}
