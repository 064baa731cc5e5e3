//! Sessions in one file on this machine: survives restarts and `kill -9`, needs no server.

mod codec;
mod open;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use redb::ReadableDatabase;

use crate::ledger::{
    AttemptId, Begin, BeginReply, Buried, Claim, Commit, CommitReply, Deleted, Entry, Fail,
    FailReply, Put, PutReply, Reassert, ReassertReply, Sealed, Settled, TakenLogin, Tombstone,
    begin, bury, commit, delete, fail, postpone, put, reassert, set_profile, settle,
};
use crate::model::{Clock, SessionKey, SystemClock, Timestamp};
use crate::store::file::open::translate;
use crate::store::file::tables::read_entry;
use crate::store::file::writer::{SharedDatabase, Writer};
use crate::store::steady::SteadyClock;
use crate::store::{At, SessionStore, StoreError};

/// A store in one file, held by one process at a time.
///
/// Operations that arrive together share one durable commit, written by one thread of the store's own.
/// What a method acknowledged survives `kill -9` and, as far as the disk keeps its word, a power cut.
/// After a crash the next [`FileStore::open`] reads the whole file once to verify it.
///
/// The store's time starts at the wall clock or at the newest time in the file, whichever is later, and
/// never goes back. Close it with [`SessionStore::close`]; dropping it does the same and hides errors.
pub struct FileStore {
    path: PathBuf,
    database: SharedDatabase,
    clock: Arc<SteadyClock>,
    writer: Writer,
}

impl FileStore {
    /// Opens the file, making it if it is not there, readable by its owner alone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] if it is open already, here or in another process;
    /// [`StoreError::Corrupt`] if it is damaged or another program's, [`StoreError::NewerFormat`] if a
    /// later version of this program wrote it, and [`StoreError::Io`] for what the operating system
    /// refuses. An empty file counts as new.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with_clock(path, Arc::new(SystemClock))
    }

    /// As [`FileStore::open`], on another clock.
    ///
    /// # Errors
    ///
    /// As [`FileStore::open`].
    pub fn open_with_clock(
        path: impl AsRef<Path>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let target = open::open(path.as_ref(), clock)?;
        let path = target.path.clone();
        let (database, clock) = (target.database.clone(), target.clock.clone());
        let writer = Writer::start(target)?;
        Ok(Self { path, database, clock, writer })
    }

    async fn transact<T: Send + 'static>(
        &self,
        key: &SessionKey,
        decide: impl FnOnce(&mut Entry, Timestamp) -> T + Send + 'static,
    ) -> Result<At<T>, StoreError> {
        let key = key.clone();
        self.writer.submit(move |tables, now| tables.transact(&key, now, decide)).await
    }
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStore").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for FileStore {
    async fn load(&self, key: &SessionKey) -> Result<At<Entry>, StoreError> {
        // Read right here: a page in memory takes about a microsecond, handing it to another thread
        // takes longer than that.
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(StoreError::Closed)?;
        let transaction = database.begin_read().map_err(|error| translate(&self.path, error))?;
        let reply = read_entry(&transaction, &self.path, key)?;
        Ok(At { now: self.clock.now(), reply })
    }

    async fn begin(&self, key: &SessionKey, request: Begin) -> Result<At<BeginReply>, StoreError> {
        self.transact(key, move |entry, now| begin(entry, now, &request)).await
    }

    async fn commit(
        &self,
        key: &SessionKey,
        request: Commit,
    ) -> Result<At<CommitReply>, StoreError> {
        self.transact(key, move |entry, now| commit(entry, now, &request)).await
    }

    async fn fail(&self, key: &SessionKey, request: Fail) -> Result<At<FailReply>, StoreError> {
        self.transact(key, move |entry, now| fail(entry, now, &request)).await
    }

    async fn put(&self, key: &SessionKey, request: Put) -> Result<At<PutReply>, StoreError> {
        self.transact(key, move |entry, now| put(entry, now, &request)).await
    }

    async fn delete(&self, key: &SessionKey) -> Result<At<Option<Deleted>>, StoreError> {
        self.transact(key, delete).await
    }

    async fn settle(&self, key: &SessionKey, max_tries: u32) -> Result<At<Settled>, StoreError> {
        self.transact(key, move |entry, now| settle(entry, now, max_tries)).await
    }

    async fn postpone(
        &self,
        key: &SessionKey,
        due_in: Option<Duration>,
        last_read: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.transact(key, move |entry, now| postpone(entry, now, due_in, last_read)).await?;
        Ok(())
    }

    async fn set_profile(
        &self,
        key: &SessionKey,
        grant: u64,
        profile: Sealed,
    ) -> Result<bool, StoreError> {
        let done = self.transact(key, move |entry, _| set_profile(entry, grant, profile)).await?;
        Ok(done.reply)
    }

    async fn claim(&self, request: Claim) -> Result<At<Vec<(SessionKey, Timestamp)>>, StoreError> {
        self.writer.submit(move |tables, now| tables.claim(&request, now)).await
    }

    async fn put_login(
        &self,
        digest: &str,
        sealed: Sealed,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let digest = digest.to_owned();
        self.writer.submit(move |tables, now| tables.put_login(&digest, sealed, now, ttl)).await
    }

    async fn take_login(&self, digest: &str, attempt: AttemptId) -> Result<TakenLogin, StoreError> {
        let digest = digest.to_owned();
        self.writer.submit(move |tables, now| tables.take_login(&digest, now, attempt)).await
    }

    async fn reassert(
        &self,
        key: &SessionKey,
        request: Reassert,
    ) -> Result<At<ReassertReply>, StoreError> {
        self.transact(key, move |entry, now| reassert(entry, now, &request)).await
    }

    async fn bury(&self, key: &SessionKey, stone: Tombstone) -> Result<At<Buried>, StoreError> {
        self.transact(key, move |entry, now| bury(entry, now, &stone)).await
    }

    fn is_exclusive(&self) -> bool {
        true // The file is locked while it is open.
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.writer.close().await
    }
}
