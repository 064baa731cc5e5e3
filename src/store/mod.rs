//! Where sessions survive: one trait, its stores, and the suite that every store passes.
//!
//! A store keeps one [`Entry`] a session, a due index over them, and logins in
//! progress. It applies the pure functions of [`crate::ledger`] in one transaction an operation and
//! sees tokens only sealed. To add a store, implement [`SessionStore`] and run it through
//! `contract::run` (feature `test-support`).

mod access;
#[cfg(any(test, feature = "test-support"))]
pub mod contract;
mod error;
#[cfg(feature = "file")]
mod file;
mod lineage;
mod login;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod sealed;
mod steady;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

pub use self::error::{Outage, StoreError};
#[cfg(feature = "file")]
pub use self::file::FileStore;
pub(crate) use self::lineage::Lineage;
pub(crate) use self::login::PendingLogin;
pub use self::memory::MemoryStore;
#[cfg(feature = "redis")]
pub use self::redis::{RedisOptions, RedisStore};
pub use self::sealed::SealedStoreError;
pub(crate) use self::sealed::{
    Begun, Exchanged, Offered, Opened, PlainTokens, Redeem, SealedStore, Session, Spans,
};

use crate::ledger::{
    AttemptId, Begin, BeginReply, Buried, Claim, Commit, CommitReply, Deleted, Entry, Fail,
    FailReply, Put, PutReply, Reassert, ReassertReply, Sealed, Settled, TakenLogin, Tombstone,
};
use crate::model::{SessionKey, Timestamp};

/// A reply together with the store's own time, so that nobody compares two machines' clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The store's time when it decided.
    pub now: Timestamp,
    /// What it decided.
    pub reply: T,
}

/// The shared record of all sessions.
///
/// Every method is one transaction. A method that returns `Ok` has made its effect durable to the
/// degree the store promises; one that returns an error may or may not have had its effect, and every
/// operation is safe to repeat with the same argument.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Reads everything kept under `key`.
    async fn load(&self, key: &SessionKey) -> Result<At<Entry>, StoreError>;

    /// As [`SessionStore::load`], as cheap as the store can make it: the due time may be left out, and the
    /// store's time may be told up to a round trip too early.
    async fn read(&self, key: &SessionKey) -> Result<At<Entry>, StoreError> {
        self.load(key).await
    }

    /// Applies [`crate::ledger::begin`].
    async fn begin(&self, key: &SessionKey, request: Begin) -> Result<At<BeginReply>, StoreError>;

    /// Applies [`crate::ledger::commit`].
    async fn commit(
        &self,
        key: &SessionKey,
        request: Commit,
    ) -> Result<At<CommitReply>, StoreError>;

    /// Applies [`crate::ledger::fail`].
    async fn fail(&self, key: &SessionKey, request: Fail) -> Result<At<FailReply>, StoreError>;

    /// Applies [`crate::ledger::put`].
    async fn put(&self, key: &SessionKey, request: Put) -> Result<At<PutReply>, StoreError>;

    /// Applies [`crate::ledger::delete`].
    async fn delete(&self, key: &SessionKey) -> Result<At<Option<Deleted>>, StoreError>;

    /// Applies [`crate::ledger::settle`].
    async fn settle(&self, key: &SessionKey, max_tries: u32) -> Result<At<Settled>, StoreError>;

    /// Applies [`crate::ledger::postpone`].
    async fn postpone(
        &self,
        key: &SessionKey,
        due_in: Option<Duration>,
        last_read: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    /// Applies [`crate::ledger::set_profile`]; false if the session is gone or logged in anew.
    async fn set_profile(
        &self,
        key: &SessionKey,
        grant: u64,
        profile: Sealed,
    ) -> Result<bool, StoreError>;

    /// Returns sessions due within the horizon, earliest first, and hides them for a while.
    ///
    /// Cost is proportional to what is returned, never to what is stored.
    async fn claim(&self, request: Claim) -> Result<At<Vec<(SessionKey, Timestamp)>>, StoreError>;

    /// Applies [`crate::ledger::reassert`].
    async fn reassert(
        &self,
        key: &SessionKey,
        request: Reassert,
    ) -> Result<At<ReassertReply>, StoreError>;

    /// Applies [`crate::ledger::bury`].
    async fn bury(&self, key: &SessionKey, stone: Tombstone) -> Result<At<Buried>, StoreError>;

    /// Stores a login in progress under the digest of its state.
    async fn put_login(
        &self,
        digest: &str,
        sealed: Sealed,
        ttl: Duration,
    ) -> Result<(), StoreError>;

    /// Applies [`crate::ledger::take_login`].
    async fn take_login(&self, digest: &str, attempt: AttemptId) -> Result<TakenLogin, StoreError>;

    /// True if sessions are still there when the process is gone, so that the keys must be as well.
    fn outlives_process(&self) -> bool {
        true
    }

    /// True if nobody else can be using the store: whoever holds it knows that every former holder,
    /// and every exchange it left open, is over.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// News of what others do to the sessions of this store, for one that is shared; `None` for one that
    /// is not. Delivered at most once, to whoever listens at the time.
    fn news(&self) -> Option<broadcast::Receiver<News>> {
        None
    }

    /// How the store stands, for operators.
    fn standing(&self) -> StoreStanding {
        StoreStanding::default()
    }

    /// Waits until everything acknowledged is as durable as the store makes it, and lets go of it.
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What a shared store tells those who use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A session has a version that readers of another node may not have seen.
    Changed {
        /// Which session.
        key: SessionKey,
        /// Its version now.
        version: u64,
    },
    /// A session was deleted.
    Deleted {
        /// Which session.
        key: SessionKey,
        /// The last version it had.
        version: u64,
    },
    /// News may have been missed: nothing that was read before counts as verified.
    Missed,
    /// The store may have lost writes it had acknowledged, and gives no leave to begin for a while: whoever
    /// remembers something newer puts it back now.
    RolledBack,
}

/// How a store stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStanding {
    /// Why it cannot be used right now; `None` while it can.
    pub outage: Option<String>,
    /// What an operator should know although it works, one sentence each.
    pub notes: Vec<String>,
}

/// How long the memory of a finished or expired login is kept, so that a second or late callback gets
/// a better answer than "unknown".
pub const LOGIN_MEMORY: Duration = Duration::from_secs(3600);
