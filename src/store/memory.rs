//! Sessions in memory: for tests, and for servers that can do without surviving a restart.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::ledger::{
    Begin, BeginReply, Claim, Commit, CommitReply, Deleted, Entry, Fail, FailReply, LoginEntry,
    Put, PutReply, Sealed, Settled, TakenLogin, begin, commit, delete, fail, postpone, put,
    set_profile, settle, take_login, visible_again,
};
use crate::model::{Clock, SessionKey, SystemClock, Timestamp};
use crate::store::steady::SteadyClock;
use crate::store::{At, LOGIN_MEMORY, SessionStore, StoreError};

/// Forgotten logins are swept out once per this many new ones.
const SWEEP_EVERY: usize = 1024;

/// A store that lives as long as the process.
pub struct MemoryStore {
    clock: SteadyClock,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<SessionKey, Entry>,
    due: BTreeSet<(Timestamp, SessionKey)>,
    logins: HashMap<String, LoginEntry>,
    logins_since_sweep: usize,
}

impl MemoryStore {
    /// An empty store on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store on another clock. Its time starts at the wall clock and never goes back.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock: SteadyClock::new(clock), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every transaction leaves the maps whole before it can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn transact<T>(
        &self,
        key: &SessionKey,
        decide: impl FnOnce(&mut Entry, Timestamp) -> T,
    ) -> At<T> {
        let mut inner = self.lock();
        let now = self.clock.now();
        let mut entry = inner.entries.remove(key).unwrap_or_default();
        let due_before = entry.due;
        let reply = decide(&mut entry, now);
        inner.reindex(key, due_before, entry.due);
        if !entry.is_empty() {
            inner.entries.insert(key.clone(), entry);
        }
        At { now, reply }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    fn reindex(&mut self, key: &SessionKey, before: Option<Timestamp>, after: Option<Timestamp>) {
        if before == after {
            return;
        }
        if let Some(due) = before {
            self.due.remove(&(due, key.clone()));
        }
        if let Some(due) = after {
            self.due.insert((due, key.clone()));
        }
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn load(&self, key: &SessionKey) -> Result<At<Entry>, StoreError> {
        let reply = self.lock().entries.get(key).cloned().unwrap_or_default();
        Ok(At { now: self.clock.now(), reply })
    }

    async fn begin(&self, key: &SessionKey, request: Begin) -> Result<At<BeginReply>, StoreError> {
        Ok(self.transact(key, |entry, now| begin(entry, now, &request)))
    }

    async fn commit(
        &self,
        key: &SessionKey,
        request: Commit,
    ) -> Result<At<CommitReply>, StoreError> {
        Ok(self.transact(key, |entry, now| commit(entry, now, &request)))
    }

    async fn fail(&self, key: &SessionKey, request: Fail) -> Result<At<FailReply>, StoreError> {
        Ok(self.transact(key, |entry, now| fail(entry, now, &request)))
    }

    async fn put(&self, key: &SessionKey, request: Put) -> Result<At<PutReply>, StoreError> {
        Ok(self.transact(key, |entry, now| put(entry, now, &request)))
    }

    async fn delete(&self, key: &SessionKey) -> Result<At<Option<Deleted>>, StoreError> {
        Ok(self.transact(key, delete))
    }

    async fn settle(&self, key: &SessionKey, max_tries: u32) -> Result<At<Settled>, StoreError> {
        Ok(self.transact(key, |entry, now| settle(entry, now, max_tries)))
    }

    async fn postpone(
        &self,
        key: &SessionKey,
        due_in: Option<Duration>,
        last_read: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.transact(key, |entry, now| postpone(entry, now, due_in, last_read));
        Ok(())
    }

    async fn set_profile(
        &self,
        key: &SessionKey,
        grant: u64,
        profile: Sealed,
    ) -> Result<bool, StoreError> {
        Ok(self.transact(key, |entry, _| set_profile(entry, grant, profile)).reply)
    }

    async fn claim(&self, request: Claim) -> Result<At<Vec<(SessionKey, Timestamp)>>, StoreError> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let now = self.clock.now();
        let ahead = now + request.horizon;
        let mut claimed = Vec::new();
        while claimed.len() < request.limit {
            let Some((due, key)) = inner.due.pop_first() else {
                break;
            };
            if due > ahead {
                inner.due.insert((due, key));
                break;
            }
            claimed.push((key, due));
        }
        for (key, due) in &claimed {
            let hidden_until = visible_again(*due, now, request.visibility);
            inner.due.insert((hidden_until, key.clone()));
            if let Some(entry) = inner.entries.get_mut(key) {
                entry.due = Some(hidden_until);
            }
        }
        Ok(At { now, reply: claimed })
    }

    fn outlives_process(&self) -> bool {
        false
    }

    async fn put_login(
        &self,
        digest: &str,
        sealed: Sealed,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let now = self.clock.now();
        inner.logins_since_sweep += 1;
        if inner.logins_since_sweep >= SWEEP_EVERY {
            inner.logins_since_sweep = 0;
            inner.logins.retain(|_, login| login.forget > now);
        }
        let expires = now + ttl;
        let login = LoginEntry { sealed: Some(sealed), expires, forget: expires + LOGIN_MEMORY };
        inner.logins.insert(digest.to_owned(), login);
        Ok(())
    }

    async fn take_login(&self, digest: &str) -> Result<TakenLogin, StoreError> {
        let now = self.clock.now();
        Ok(take_login(self.lock().logins.get_mut(digest), now))
    }
}
