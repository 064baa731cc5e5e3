//! Deleting a session: here, in the store, and at the provider.

use std::time::Duration;

use crate::actors::{TaskKind, revoke_deleted, store_failure};
use crate::hive::TokenHive;
use crate::ledger::{Buried, Deleted, Entry, Record, TOMBSTONE, Tombstone};
use crate::model::{SessionKey, Timestamp, TokenError};
use crate::store::At;
use crate::timing::{Backoff, Chance};

/// How a store that does not answer is asked again.
const RETRY: Backoff =
    Backoff { floor: Duration::from_millis(100), ceiling: Duration::from_secs(5) };

impl TokenHive {
    /// Forgets the session: its tokens are deleted, no late answer brings them back, and its refresh token is
    /// revoked at a provider that has an endpoint for it. True if it was there.
    ///
    /// # Errors
    ///
    /// [`TokenError::Unavailable`] if the store does not answer. Safe to repeat; where the session could be
    /// read before, this process goes on until it is deleted, unless somebody logs in meanwhile.
    pub async fn delete(&self, key: &SessionKey) -> Result<bool, TokenError> {
        let shared = self.shared();
        // If the answer gets lost, a second try finds nothing, and nothing says what has to be revoked.
        let before = shared.store.entry(key).await;
        let deleted = shared.store.delete(key).await;
        let last_version = match &deleted {
            Ok(Some(deleted)) => deleted.tombstone.version,
            Ok(None) | Err(_) => 0,
        };
        shared.registry.retract(key, last_version);
        self.inner.supervisor.replaced(key, None);
        match (&deleted, before) {
            (Ok(Some(deleted)), _) => self.make_sure(key, deleted).await,
            (Err(_), Ok(At { now, reply: Entry { record: Some(record), .. } })) => {
                self.see_through(key.clone(), record, now);
            }
            _ => {}
        }
        deleted.map(|deleted| deleted.is_some()).map_err(|error| store_failure(&error))
    }

    /// A deletion is remembered for when the store loses it, and its tokens do not live on at the provider.
    async fn make_sure(&self, key: &SessionKey, deleted: &Deleted) {
        let shared = self.shared();
        if let Some(journal) = &shared.journal
            && let Err(error) = journal.deleted(key, deleted.tombstone.clone()).await
        {
            tracing::warn!(session = %key, %error, "the deletion of {key} is not in the journal: {error}");
        }
        revoke_deleted(&self.inner.supervisor, key, deleted);
    }

    /// Deletes what was read before a deletion whose outcome nobody knows.
    fn see_through(&self, key: SessionKey, record: Record, now: Timestamp) {
        let hive = self.clone();
        self.shared().spawn(TaskKind::Errand, async move {
            let closing = hive.shared().closing.clone();
            tokio::select! {
                () = closing.cancelled() => {}
                () = hive.insist_on_deletion(&key, record, now) => {}
            }
        });
    }

    async fn insist_on_deletion(&self, key: &SessionKey, record: Record, now: Timestamp) {
        let deleted = as_deleted(record, now);
        // The next start of this node knows of it as well.
        self.make_sure(key, &deleted).await;
        let mut tries = 0;
        loop {
            match self.shared().store.bury(key, deleted.tombstone.clone()).await {
                // It was refreshed meanwhile.
                Ok(Buried::Again(newer)) => return self.make_sure(key, &newer).await,
                Ok(Buried::Gone | Buried::LoggedIn) => return,
                Err(error) => {
                    tracing::debug!(session = %key, %error, "{key} is not deleted yet: {error}");
                    tries += 1;
                    tokio::time::sleep(RETRY.wait(tries, Chance::of(key, tries.into()))).await;
                }
            }
        }
    }
}

fn as_deleted(record: Record, now: Timestamp) -> Deleted {
    Deleted {
        provider: record.provider,
        tombstone: Tombstone {
            generation: record.generation,
            version: record.version,
            last_sequence: record.last_sequence,
            until: now + TOMBSTONE,
        },
        refresh: record.refresh,
        access: record.access,
    }
}
