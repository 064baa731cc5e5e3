//! The journal: what this node asked the providers and what they answered, on its own disk.
//!
//! Between a provider's answer and the store's commit the new refresh token exists nowhere else. The
//! journal makes it durable at once, so that neither a crash nor a store that cannot be reached loses the
//! session; and after a restart it says which exchanges were in flight.
//!
//! Entries are appended to segments, `0000000001.journal` and so on. Each is sealed whole, for its place
//! in its segment: none can be read, changed, moved or repeated. Marks say what is done. A segment whose
//! exchanges are all done goes once that was a while ago; one with an open exchange stays, and before the
//! marks for it go with a younger segment, what remains open of it is written down again.
//!
//! Read in this order: [`Journal`], `thread` (what is written when), `log` (where to), `book` (what may
//! be removed), `reading` and `gathering` (what comes back).

mod active;
mod book;
mod codec;
mod directory;
mod disk;
mod entry;
mod error;
mod frame;
mod gathering;
mod log;
mod options;
mod pending;
mod queue;
mod reading;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod thread;
mod writer;

use std::fmt;
use std::fs::OpenOptions;
use std::sync::Arc;

pub use self::entry::{Answer, Intent, JournalHealth, Recorded, Recovered, Unreadable};
pub use self::error::JournalError;
pub use self::options::JournalOptions;

use crate::journal::book::Book;
use crate::journal::codec::{Stamp, Written};
use crate::journal::directory::Directory;
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::log::{Log, Site};
use crate::journal::pending::Pending;
use crate::journal::reading::{Extent, Reader, Torn};
use crate::journal::thread::{Bounds, WriterThread};
use crate::journal::writer::{Shared, Writer};
use crate::ledger::{AttemptId, Tombstone};
use crate::model::{Clock, SessionKey};
use crate::sealing::Keyring;

/// A journal in a directory of its own, held by one process at a time. Cheap to clone.
///
/// The order of an exchange: [`intent`](Self::intent), then begin in the store, then the request; then
/// [`answer`](Self::answer) beside the store's commit; then [`done`](Self::done), once the store knows the
/// outcome, whatever it is. What is never said to be done keeps its segment on disk and comes back after
/// every start.
///
/// Dropping the last handle does what [`close`](Self::close) does, and blocks while it does.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    reader: Arc<Reader>,
    writer: Writer,
}

impl Journal {
    /// Takes the directory, reads what is there and starts the writer. Blocks: a full journal takes
    /// seconds to read.
    ///
    /// A torn frame at the very end is cut off. Damage elsewhere costs what stood there, is logged and
    /// counted, and keeps nothing from starting. A disk that takes no writes does not either: see
    /// [`health`](Self::health).
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`], [`JournalError::UnknownKey`], [`JournalError::WrongKey`],
    /// [`JournalError::NewerFormat`], [`JournalError::BadName`], or [`JournalError::Io`].
    pub fn open(
        options: JournalOptions,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Recovered), JournalError> {
        Self::open_on(Box::new(RealDisk), options, keyring, clock)
    }

    fn open_on(
        disk: Box<dyn Disk>,
        options: JournalOptions,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Recovered), JournalError> {
        let directory = Directory::take(&options.directory)?;
        let reader = Reader {
            directory: directory.path.clone(),
            node: directory.node,
            boot: segment::this_boot(),
            keyring: keyring.clone(),
            clock: clock.clone(),
            retention: options.retention,
        };
        let extents = directory.segments()?;
        let extents = extents.into_iter().map(|number| Extent { number, bytes: None });
        let reading = reader.read(&extents.collect::<Vec<_>>())?;
        let mut book = Book::default();
        for (number, segment) in reading.segments {
            book.add(number, segment);
        }
        if let Some(torn) = reading.torn {
            cut_off(&directory, torn);
            book.resize(torn.number, torn.whole);
        }
        let name = format!("{:032x}", directory.node);
        let shared = Arc::new(Shared::new(directory.path.clone()));
        let site = Site {
            directory,
            disk,
            keyring,
            clock: clock.clone(),
            segment_bytes: options.segment_limit(),
            retention: options.retention,
            boot: reader.boot,
        };
        let bounds = Bounds {
            intents: options.intent_limit(),
            bytes: options.max_bytes,
            flush_every: options.flush_interval(),
        };
        let log = Log::behind(book, site);
        let thread = WriterThread::new(shared.clone(), log, clock.clone(), bounds);
        let writer = Writer::start(shared, clock, thread)?;
        let inner = Inner { name, reader: Arc::new(reader), writer };
        Ok((Self { inner: Arc::new(inner) }, reading.recovered))
    }

    /// The node's lasting name: 32 hexadecimal digits, drawn once and kept in the directory.
    pub fn node_name(&self) -> &str {
        &self.inner.name
    }

    /// Notes that an exchange is about to begin. Once this is `Ok` it survives `kill -9`; a second later,
    /// a power cut as well. An intent whose caller gave up waiting counts as done.
    ///
    /// # Errors
    ///
    /// [`JournalError::Full`] and [`JournalError::Io`]: begin nothing that must not be forgotten.
    /// [`JournalError::Unavailable`] and [`JournalError::Closed`].
    pub async fn intent(&self, intent: Intent) -> Result<(), JournalError> {
        let attempt = intent.attempt;
        let entry = Pending::opening(attempt, Written::intent(self.now(), intent));
        self.inner.writer.submit(entry, Some(attempt)).await
    }

    /// Keeps what a provider answered. Once this is `Ok` it survives a power cut, as far as the disk keeps
    /// its word. Giving up waiting does not take it back.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`], [`JournalError::Full`] beyond the reserve, [`JournalError::TooLarge`],
    /// [`JournalError::Unavailable`] and [`JournalError::Closed`]: only the store can save it now.
    pub async fn answer(&self, answer: Answer) -> Result<(), JournalError> {
        let attempt = answer.commit.attempt;
        let entry = Pending::opening(attempt, Written::answer(self.now(), answer));
        self.inner.writer.submit(entry, None).await
    }

    /// Keeps an answer nobody could read, sealed, until its exchange is done and for the retention after
    /// that. Durable like an answer.
    ///
    /// # Errors
    ///
    /// As [`Journal::answer`].
    pub async fn unreadable(&self, unreadable: Unreadable) -> Result<(), JournalError> {
        let attempt = unreadable.attempt;
        let entry = Pending::opening(attempt, Written::unreadable(self.now(), unreadable));
        self.inner.writer.submit(entry, None).await
    }

    /// Keeps a deletion for the retention, so that it can be made again should the store forget it.
    /// Durable like an answer.
    ///
    /// # Errors
    ///
    /// As [`Journal::answer`].
    pub async fn deleted(
        &self,
        key: &SessionKey,
        tombstone: Tombstone,
    ) -> Result<(), JournalError> {
        let entry = Pending::standing(Written::deletion(self.now(), key, &tombstone));
        self.inner.writer.submit(entry, None).await
    }

    /// Notes that the store knows the outcome of an exchange. Never waits and never fails; written with
    /// the next write, within seconds. Call it after [`Journal::answer`] has returned, or was given up.
    pub fn done(&self, attempt: AttemptId) {
        self.inner.writer.shared.queue.push_done(attempt);
    }

    /// Everything that is not done, and everything of the last retention: to be asserted again when the
    /// store has lost writes. Reads the segments on a blocking thread.
    ///
    /// # Errors
    ///
    /// [`JournalError::Closed`], and [`JournalError::Io`] if segments cannot be read.
    pub async fn recent(&self) -> Result<Recovered, JournalError> {
        let readable = self.inner.writer.readable().await?;
        let reader = self.inner.reader.clone();
        let read = tokio::task::spawn_blocking(move || reader.read(&readable.extents));
        match read.await {
            Ok(reading) => Ok(reading?.recovered),
            Err(_) => Err(JournalError::Closed),
        }
    }

    /// Whether it can be relied on. Cheap enough to ask before every exchange.
    pub fn health(&self) -> JournalHealth {
        self.inner.writer.shared.health()
    }

    /// Waits until everything is on disk, marks included, and lets go of the directory. Calls that come
    /// later are refused as [`JournalError::Closed`].
    pub async fn close(&self) {
        self.inner.writer.close().await;
    }

    fn now(&self) -> Stamp {
        Stamp::now(&*self.inner.reader.clock)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("directory", &self.inner.reader.directory)
            .field("node", &self.inner.name)
            .finish_non_exhaustive()
    }
}

/// Without this, the next start would take the torn frame for damage.
fn cut_off(directory: &Directory, torn: Torn) {
    let path = segment::path(&directory.path, torn.number);
    let cut = OpenOptions::new().write(true).open(&path).and_then(|file| {
        file.set_len(torn.whole)?;
        file.sync_all()
    });
    if let Err(error) = cut {
        tracing::warn!(path = %path.display(), "the torn end cannot be cut off: {error}");
    }
}
