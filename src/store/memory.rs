//! Sessions in memory: for tests, and for servers that can do without surviving a restart.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::ledger::{
    AttemptId, Begin, BeginReply, Buried, Claim, Commit, CommitReply, Deleted, Entry, Fail,
    FailReply, LoginEntry, Put, PutReply, Reassert, ReassertReply, Sealed, Settled, TakenLogin,
    Tombstone, begin, bury, commit, delete, fail, postpone, put, reassert, set_profile, settle,
    take_login, visible_again,
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
    /// When tombstones may go. Every one is kept for the same time, so that the first is the oldest.
    graves: VecDeque<(Timestamp, SessionKey)>,
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
        let grave_before = entry.tombstone.as_ref().map(|stone| stone.until);
        let reply = decide(&mut entry, now);
        inner.reindex(key, due_before, entry.due);
        if let Some(stone) = entry.tombstone.as_ref().filter(|it| Some(it.until) != grave_before) {
            inner.graves.push_back((stone.until, key.clone()));
        }
        if !entry.is_empty() {
            inner.entries.insert(key.clone(), entry);
        }
        inner.forget_graves(now);
        At { now, reply }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    /// Forgets a few tombstones whose time has come: more than one operation can leave behind.
    fn forget_graves(&mut self, now: Timestamp) {
        for _ in 0..2 {
            if self.graves.front().is_none_or(|(until, _)| *until > now) {
                return;
            }
            let Some((_, key)) = self.graves.pop_front() else {
                return;
            };
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            // The session may have come back, and gone again since.
            entry.tombstone.take_if(|stone| stone.until <= now);
            if entry.is_empty() {
                self.entries.remove(&key);
            }
        }
    }

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

    async fn reassert(
        &self,
        key: &SessionKey,
        request: Reassert,
    ) -> Result<At<ReassertReply>, StoreError> {
        Ok(self.transact(key, |entry, now| reassert(entry, now, &request)))
    }

    async fn bury(&self, key: &SessionKey, stone: Tombstone) -> Result<At<Buried>, StoreError> {
        Ok(self.transact(key, |entry, now| bury(entry, now, &stone)))
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
        let login = LoginEntry { sealed, taken_by: None, expires, forget: expires + LOGIN_MEMORY };
        inner.logins.insert(digest.to_owned(), login);
        Ok(())
    }

    async fn take_login(&self, digest: &str, attempt: AttemptId) -> Result<TakenLogin, StoreError> {
        let now = self.clock.now();
        Ok(take_login(self.lock().logins.get_mut(digest), now, attempt))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::MemoryStore;
    use crate::ledger::samples::put_request;
    use crate::model::{ManualClock, SessionKey, Timestamp};
    use crate::store::SessionStore;

    #[tokio::test]
    async fn deleted_sessions_are_forgotten_in_the_end() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
        let store = MemoryStore::with_clock(clock.clone());
        for number in 0..100 {
            let key = SessionKey::new("t", format!("s{number}")).unwrap();
            store.put(&key, put_request(1, "login")).await.unwrap();
            store.delete(&key).await.unwrap();
        }
        let back = SessionKey::new("t", "s7").unwrap();
        store.put(&back, put_request(3, "again")).await.unwrap();

        clock.advance(Duration::from_secs(8 * 24 * 3600));
        for _ in 0..100 {
            store.set_profile(&back, 3, crate::ledger::Sealed::new(*b"p")).await.unwrap();
        }

        assert_eq!(store.lock().entries.len(), 1);
        assert!(store.load(&back).await.unwrap().reply.record.is_some());
    }
}
