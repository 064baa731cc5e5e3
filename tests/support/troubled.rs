//! A store in memory with troubles on request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokenhive::ledger::{
    AttemptId, Begin, BeginReply, Buried, Claim, Commit, CommitReply, Deleted, Entry, Fail,
    FailReply, Put, PutReply, Reassert, ReassertReply, Sealed, Settled, TakenLogin, Tombstone,
};
use tokenhive::model::Timestamp;
use tokenhive::store::{At, Outage};
use tokenhive::{MemoryStore, SessionKey, SessionStore, StoreError};

/// What a struck call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing is done, and an error says so.
    Fails,
    /// It is done, and an error hides that.
    LosesItsAnswer,
    /// Nothing is done, and no answer comes.
    Hangs,
    /// It is done, a little later.
    Dawdles,
    /// The store has a bug.
    Panics,
}

#[derive(Default)]
struct Plan {
    /// By operation: what happens to the next so many calls.
    troubles: HashMap<&'static str, (u32, Trouble)>,
    calls: HashMap<&'static str, u32>,
}

/// A store in memory that outlives a hive, with troubles on request.
#[derive(Clone)]
pub struct Troubled {
    inner: Arc<Mutex<Arc<MemoryStore>>>,
    plan: Arc<Mutex<Plan>>,
}

impl Troubled {
    pub fn new() -> Self {
        let inner = Arc::new(Mutex::new(Arc::new(MemoryStore::new())));
        Self { inner, plan: Arc::default() }
    }

    pub fn inner(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.inner.lock().unwrap())
    }

    /// As after a failover to a copy that never had anything, or only the session as it was `then`.
    pub async fn roll_back(&self, then: Option<(&SessionKey, Put)>) {
        let older = MemoryStore::new();
        if let Some((key, put)) = then {
            older.put(key, put).await.unwrap();
        }
        *self.inner.lock().unwrap() = Arc::new(older);
    }

    pub fn strike(&self, operation: &'static str, calls: u32, trouble: Trouble) {
        self.plan.lock().unwrap().troubles.insert(operation, (calls, trouble));
    }

    pub fn calls(&self, operation: &'static str) -> u32 {
        self.plan.lock().unwrap().calls.get(operation).copied().unwrap_or(0)
    }

    fn next(&self, operation: &'static str) -> Option<Trouble> {
        let mut plan = self.plan.lock().unwrap();
        *plan.calls.entry(operation).or_default() += 1;
        let (left, trouble) = plan.troubles.get_mut(operation)?;
        *left = left.checked_sub(1)?;
        Some(*trouble)
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let broken = || StoreError::Unavailable {
            outage: Outage::Failed,
            detail: format!("{operation} is struck"),
        };
        match self.next(operation) {
            None => work.await,
            Some(Trouble::Fails) => Err(broken()),
            Some(Trouble::LosesItsAnswer) => work.await.and(Err(broken())),
            Some(Trouble::Hangs) => std::future::pending().await,
            Some(Trouble::Dawdles) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                work.await
            }
            Some(Trouble::Panics) => panic!("{operation} panics, as the test wants it"),
        }
    }
}

#[async_trait]
impl SessionStore for Troubled {
    async fn load(&self, key: &SessionKey) -> Result<At<Entry>, StoreError> {
        self.call("load", self.inner().load(key)).await
    }

    async fn begin(&self, key: &SessionKey, request: Begin) -> Result<At<BeginReply>, StoreError> {
        self.call("begin", self.inner().begin(key, request)).await
    }

    async fn commit(
        &self,
        key: &SessionKey,
        request: Commit,
    ) -> Result<At<CommitReply>, StoreError> {
        self.call("commit", self.inner().commit(key, request)).await
    }

    async fn fail(&self, key: &SessionKey, request: Fail) -> Result<At<FailReply>, StoreError> {
        self.call("fail", self.inner().fail(key, request)).await
    }

    async fn put(&self, key: &SessionKey, request: Put) -> Result<At<PutReply>, StoreError> {
        self.call("put", self.inner().put(key, request)).await
    }

    async fn delete(&self, key: &SessionKey) -> Result<At<Option<Deleted>>, StoreError> {
        self.call("delete", self.inner().delete(key)).await
    }

    async fn settle(&self, key: &SessionKey, max_tries: u32) -> Result<At<Settled>, StoreError> {
        self.call("settle", self.inner().settle(key, max_tries)).await
    }

    async fn postpone(
        &self,
        key: &SessionKey,
        due_in: Option<Duration>,
        last_read: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.call("postpone", self.inner().postpone(key, due_in, last_read)).await
    }

    async fn set_profile(
        &self,
        key: &SessionKey,
        grant: u64,
        profile: Sealed,
    ) -> Result<bool, StoreError> {
        self.call("set_profile", self.inner().set_profile(key, grant, profile)).await
    }

    async fn reassert(
        &self,
        key: &SessionKey,
        request: Reassert,
    ) -> Result<At<ReassertReply>, StoreError> {
        self.call("reassert", self.inner().reassert(key, request)).await
    }

    async fn bury(&self, key: &SessionKey, stone: Tombstone) -> Result<At<Buried>, StoreError> {
        self.call("bury", self.inner().bury(key, stone)).await
    }

    async fn claim(&self, request: Claim) -> Result<At<Vec<(SessionKey, Timestamp)>>, StoreError> {
        self.call("claim", self.inner().claim(request)).await
    }

    async fn put_login(
        &self,
        digest: &str,
        sealed: Sealed,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.call("put_login", self.inner().put_login(digest, sealed, ttl)).await
    }

    async fn take_login(&self, digest: &str, attempt: AttemptId) -> Result<TakenLogin, StoreError> {
        self.call("take_login", self.inner().take_login(digest, attempt)).await
    }
}
