//! The one thread that writes the file, and the queue before it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, Durability};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::model::Timestamp;
use crate::store::file::open::translate;
use crate::store::file::tables::{Failure, TIME_KEY, Tables};
use crate::store::steady::SteadyClock;
use crate::store::{Outage, StoreError};

/// Most operations that share one commit.
const LARGEST_BATCH: usize = 512;

/// Most operations that wait for the writer.
pub(super) const QUEUE: usize = 4096;

/// How long an operation waits for room in the queue.
const QUEUE_DEADLINE: Duration = Duration::from_millis(500);

/// How far ahead of the store's time the file promises that no later time was written.
const TIME_AHEAD: Duration = Duration::from_secs(1);

/// The open file. `None` once it was closed.
pub(super) type SharedDatabase = Arc<RwLock<Option<Database>>>;

/// What the writer thread needs to know of the file.
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) database: SharedDatabase,
    pub(super) clock: Arc<SteadyClock>,
    /// No time later than this stands in the file.
    pub(super) time_bound: Timestamp,
}

/// The handle to the writer thread. Dropping it waits until everything queued is written.
pub(super) struct Writer {
    /// `None` only while dropping.
    queue: Option<mpsc::Sender<Message>>,
    /// `None` once the thread has ended.
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    handle: JoinHandle<()>,
    outcome: oneshot::Receiver<Result<(), StoreError>>,
}

enum Message {
    Work(Box<dyn Job>),
    Close,
}

/// One operation: applied within a batch, answered once the batch is durable.
trait Job: Send {
    /// An error makes the whole batch fail.
    fn apply(&mut self, tables: &mut Tables<'_>, now: Timestamp) -> Result<(), StoreError>;
    fn answer(self: Box<Self>, batch: &Result<(), StoreError>);
}

struct Operation<W, T> {
    /// `None` once applied.
    work: Option<W>,
    /// `None` until applied.
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<W, T> Job for Operation<W, T>
where
    W: FnOnce(&mut Tables<'_>, Timestamp) -> Result<T, Failure> + Send,
    T: Send,
{
    fn apply(&mut self, tables: &mut Tables<'_>, now: Timestamp) -> Result<(), StoreError> {
        let work = self.work.take().expect("a job is applied once");
        self.outcome = Some(match work(tables, now) {
            Ok(value) => Ok(value),
            Err(Failure::Operation(error)) => Err(error),
            Err(Failure::Batch(error)) => return Err(error),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, batch: &Result<(), StoreError>) {
        let answer = match batch {
            Ok(()) => self.outcome.expect("a batch that succeeded has applied every job"),
            Err(error) => Err(error.clone()),
        };
        // A caller that gave up does not undo what was written.
        let _ = self.reply.send(answer);
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(target: Target) -> Result<Self, StoreError> {
        let (queue, messages) = mpsc::channel(QUEUE);
        let (finished, outcome) = oneshot::channel();
        let path = target.path.clone();
        let handle = std::thread::Builder::new()
            .name("tokenhive-file".into())
            .spawn(move || {
                let _ = finished.send(WriterThread { target, messages }.run());
            })
            .map_err(|error| StoreError::Io { path, detail: error.to_string() })?;
        Ok(Self { queue: Some(queue), thread: Mutex::new(Some(Thread { handle, outcome })) })
    }

    /// Queues `work` and waits until it is durable.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables<'_>, Timestamp) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Operation { work: Some(work), outcome: None, reply };
        self.enqueue(Message::Work(Box::new(job))).await?;
        let stopped = || StoreError::Unavailable {
            outage: Outage::Failed,
            detail: "the writer stopped".into(),
        };
        answer.await.map_err(|_| stopped())?
    }

    async fn enqueue(&self, message: Message) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        let message = match queue.try_send(message) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(StoreError::Closed),
            Err(mpsc::error::TrySendError::Full(message)) => message,
        };
        let full = || StoreError::Unavailable {
            outage: Outage::Busy,
            detail: format!("{QUEUE} operations wait for the disk; try again in a moment"),
        };
        let sent = tokio::time::timeout(QUEUE_DEADLINE, queue.send(message)).await;
        sent.map_err(|_| full())?.map_err(|_| StoreError::Closed)
    }

    /// Writes everything queued, closes the file and ends the thread.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let mut thread = self.thread.lock().await;
        let Some(running) = thread.as_mut() else {
            return Ok(());
        };
        if let Some(queue) = &self.queue {
            // An error means that it is closing already, after an earlier call that was given up.
            let _ = queue.send(Message::Close).await;
        }
        let outcome = (&mut running.outcome).await;
        if let Some(ended) = thread.take() {
            let _ = ended.handle.join();
        }
        outcome.unwrap_or(Err(StoreError::Closed))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without a sender the thread works off its queue and ends.
        self.queue = None;
        if let Some(running) = self.thread.get_mut().take() {
            let _ = running.handle.join();
        }
    }
}

struct WriterThread {
    target: Target,
    messages: mpsc::Receiver<Message>,
}

impl WriterThread {
    fn run(mut self) -> Result<(), StoreError> {
        while let Some(first) = self.messages.blocking_recv() {
            let mut batch = Vec::new();
            self.accept(first, &mut batch);
            while batch.len() < LARGEST_BATCH {
                let Ok(next) = self.messages.try_recv() else {
                    break;
                };
                self.accept(next, &mut batch);
            }
            self.perform(batch);
        }
        self.finish()
    }

    fn accept(&mut self, message: Message, batch: &mut Vec<Box<dyn Job>>) {
        match message {
            Message::Work(job) => batch.push(job),
            // Nothing more comes in; what is queued is still received.
            Message::Close => self.messages.close(),
        }
    }

    /// Applies and commits `batch` as one, then answers. Nothing is acknowledged before it is durable.
    fn perform(&mut self, mut batch: Vec<Box<dyn Job>>) {
        if batch.is_empty() {
            return;
        }
        let committed = catch_unwind(AssertUnwindSafe(|| self.commit(&mut batch)));
        let outcome = committed.unwrap_or_else(|_| {
            let detail = "writing panicked and nothing was written; report this as a bug".into();
            Err(StoreError::Unavailable { outage: Outage::Failed, detail })
        });
        if let Err(error) = &outcome {
            tracing::error!(operations = batch.len(), "the session file was not written: {error}");
        }
        for job in batch {
            job.answer(&outcome);
        }
    }

    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let Target { path, database, clock, time_bound } = &mut self.target;
        let database = database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(StoreError::Closed)?;
        let mut transaction = database.begin_write().map_err(|error| translate(path, error))?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(|error| translate(path, error))?;
        let mut bound = *time_bound;
        let changed = {
            let mut tables = Tables::open(&transaction, path)?;
            for job in batch.iter_mut() {
                job.apply(&mut tables, clock.now())?;
            }
            if tables.changed() {
                let now = clock.now();
                tables.sweep(now, 2 * batch.len())?;
                if now > bound {
                    bound = now + TIME_AHEAD;
                    tables.set_meta(TIME_KEY, bound.as_millis())?;
                }
            }
            tables.changed()
        };
        if !changed {
            // What was read is durable already: no need to wait for the disk.
            return transaction.abort().map_err(|error| translate(path, error));
        }
        transaction.commit().map_err(|error| translate(path, error))?;
        *time_bound = bound;
        Ok(())
    }

    /// Writes the exact time, so that the next run need not start ahead of it, and closes the file.
    fn finish(self) -> Result<(), StoreError> {
        let Target { path, database, clock, .. } = self.target;
        let database = database.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(database) = database else {
            return Ok(());
        };
        let transaction = database.begin_write().map_err(|error| translate(&path, error))?;
        Tables::open(&transaction, &path)?.set_meta(TIME_KEY, clock.now().as_millis())?;
        transaction.commit().map_err(|error| translate(&path, error))?;
        database.close().map_err(|error| translate(&path, error))
    }
}
