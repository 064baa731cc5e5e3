//! The handle to the one thread that writes the journal.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::journal::frame::LARGEST_PAYLOAD;
use crate::journal::log::Readable;
use crate::journal::pending::{Pending, SEAL_LEN};
use crate::journal::queue::Queue;
use crate::journal::thread::WriterThread;
use crate::journal::{JournalError, JournalHealth};
use crate::ledger::AttemptId;
use crate::model::Clock;

/// A disk that has not answered for this long is as good as gone.
const REPLY_DEADLINE: Duration = Duration::from_secs(5);

/// What the handle and the thread share.
pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) directory: PathBuf,
    health: Mutex<JournalHealth>,
}

impl Shared {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { queue: Queue::new(), directory, health: Mutex::new(JournalHealth::Writing) }
    }

    pub(super) fn health(&self) -> JournalHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells everybody, and the log once for each change of state.
    pub(super) fn set_health(&self, health: JournalHealth) {
        let mut known = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = std::mem::discriminant(&*known) != std::mem::discriminant(&health);
        if changed {
            let path = self.directory.display();
            match &health {
                JournalHealth::Writing => tracing::info!(%path, "the journal is written again"),
                JournalHealth::Failing { detail, .. } => tracing::error!(
                    %path,
                    "the journal cannot be written: {detail}; check the disk and its free space"
                ),
                JournalHealth::Full { bytes } => tracing::error!(
                    %path,
                    bytes,
                    "the journal is full with {bytes} bytes: make the store reachable, or raise max_bytes"
                ),
            }
        }
        *known = health;
    }
}

/// The handle to the writer thread. Dropping it waits until everything queued is written.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// `None` once the thread has ended.
    thread: tokio::sync::Mutex<Option<Running>>,
}

struct Running {
    handle: JoinHandle<()>,
    /// Resolves when the directory is free again.
    ended: oneshot::Receiver<()>,
}

impl Writer {
    pub(super) fn start(
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        thread: WriterThread,
    ) -> Result<Self, JournalError> {
        let (ending, ended) = oneshot::channel();
        let (theirs, their_clock) = (shared.clone(), clock.clone());
        let handle = std::thread::Builder::new()
            .name("tokenhive-journal".into())
            .spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| thread.run())).is_err() {
                    let detail = "its writer panicked; restart, and report this as a bug".into();
                    theirs.set_health(JournalHealth::Failing { since: their_clock.now(), detail });
                }
                theirs.queue.end();
                let _ = ending.send(());
            })
            .map_err(|error| JournalError::io(&shared.directory, &error))?;
        let thread = tokio::sync::Mutex::new(Some(Running { handle, ended }));
        Ok(Self { shared, clock, thread })
    }

    /// Queues an entry and waits until it is as safe as it has to be.
    pub(super) async fn submit(
        &self,
        entry: Pending,
        intent: Option<AttemptId>,
    ) -> Result<(), JournalError> {
        let limit = LARGEST_PAYLOAD - SEAL_LEN;
        if entry.payload.len() > limit {
            return Err(JournalError::TooLarge { bytes: entry.payload.len(), limit });
        }
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(entry, intent, reply).await?;
        match tokio::time::timeout(REPLY_DEADLINE, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(JournalError::Closed),
            Err(_) => {
                let detail = format!(
                    "the disk has not answered for {} s; check it",
                    REPLY_DEADLINE.as_secs()
                );
                let failing =
                    JournalHealth::Failing { since: self.clock.now(), detail: detail.clone() };
                self.shared.set_health(failing);
                Err(JournalError::Unavailable { detail })
            }
        }
    }

    /// What can be read, with everything in it that was handed in before.
    pub(super) async fn readable(&self) -> Result<Readable, JournalError> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push_reader(reply)?;
        answer.await.map_err(|_| JournalError::Closed)
    }

    /// Writes everything queued, frees the directory and ends the thread.
    pub(super) async fn close(&self) {
        let mut thread = self.thread.lock().await;
        let Some(running) = thread.as_mut() else {
            return;
        };
        self.shared.queue.close();
        let _ = (&mut running.ended).await;
        if let Some(ended) = thread.take() {
            let _ = ended.handle.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(running) = self.thread.get_mut().take() {
            let _ = running.handle.join();
        }
    }
}
