//! Has sessions refreshed when they are due: the store's due index, a timer queue, bounded concurrency.
//!
//! It may be sloppy: a session told twice, or too early, costs one refused `begin`. The ledger is the gate.

mod queue;
mod task;

use std::time::Duration;

use tokio::sync::mpsc;

use crate::model::SessionKey;

pub(crate) use self::task::{RefreshLimits, run};

/// Commands the scheduler may be behind with before new ones are left to the due index.
const COMMANDS: usize = 65_536;

/// How the scheduler works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SchedulerOptions {
    /// How often the due index is asked.
    pub(crate) poll_every: Duration,
    /// How far ahead sessions are claimed.
    pub(crate) horizon: Duration,
    /// How long a claimed session is hidden from the next claim.
    pub(crate) visibility: Duration,
    /// Background refreshes in flight at the same time.
    pub(crate) concurrency: usize,
}

/// Tells the scheduler of sessions that are due soon.
#[derive(Clone)]
pub(crate) struct SchedulerHandle {
    sender: mpsc::Sender<Command>,
    horizon: Duration,
}

/// Something is due sooner than the next look at the due index.
pub(crate) struct Command {
    pub(crate) key: SessionKey,
    pub(crate) after: Duration,
}

impl SchedulerHandle {
    pub(crate) fn new(horizon: Duration) -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(COMMANDS);
        (Self { sender, horizon }, receiver)
    }

    /// Has the session looked at after a while. What lies beyond the horizon is left to the due index.
    pub(crate) fn schedule(&self, key: &SessionKey, after: Duration) {
        if after > self.horizon {
            return;
        }
        // A full queue loses nothing: the due index holds the session as well.
        let _ = self.sender.try_send(Command { key: key.clone(), after });
    }
}
