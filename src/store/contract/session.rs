//! One session of a store under test, with the shortest way to ask for things.

use std::sync::Arc;
use std::time::Duration;

use crate::ledger::samples::{
    begin_request, commit_request, fail_request, put_request, takeover_request,
};
use crate::ledger::{
    Begin, BeginReply, Claim, Commit, CommitReply, Deleted, Entry, Fail, FailKind, FailReply,
    Grant, Put, PutReply, Record, Settled,
};
use crate::model::{SessionKey, Timestamp};
use crate::store::{At, SessionStore};

const ANSWERS: &str = "the store answers";

pub(super) struct Session {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) key: SessionKey,
}

impl Session {
    pub(super) fn named(store: &Arc<dyn SessionStore>, name: &str) -> Self {
        let key = SessionKey::new("contract", name).expect("a plain short name");
        Self { store: store.clone(), key }
    }

    /// A session that was just logged in: generation 1, tokens named `login`.
    pub(super) async fn logged_in(store: Arc<dyn SessionStore>) -> Self {
        let session = Self::named(&store, "user");
        assert_eq!(session.put(put_request(1, "login")).await, PutReply::Stored { version: 1 });
        session
    }

    pub(super) async fn load(&self) -> At<Entry> {
        self.store.load(&self.key).await.expect(ANSWERS)
    }

    pub(super) async fn record(&self) -> Record {
        self.load().await.reply.record.expect("the session is there")
    }

    pub(super) async fn begin(&self, request: Begin) -> BeginReply {
        self.store.begin(&self.key, request).await.expect(ANSWERS).reply
    }

    pub(super) async fn granted(&self, request: Begin) -> Grant {
        match self.begin(request).await {
            BeginReply::Granted(grant) => grant,
            other => panic!("expected a grant, got {other:?}"),
        }
    }

    /// Begins `attempt` on `generation`, for whoever holds the slot to be silent at once.
    pub(super) async fn granted_impatiently(&self, request: Begin) -> Grant {
        self.granted(Begin { patience: Duration::ZERO, ..request }).await
    }

    pub(super) async fn commit(&self, request: Commit) -> CommitReply {
        self.store.commit(&self.key, request).await.expect(ANSWERS).reply
    }

    pub(super) async fn fail(&self, request: Fail) -> FailReply {
        self.store.fail(&self.key, request).await.expect(ANSWERS).reply
    }

    pub(super) async fn put(&self, request: Put) -> PutReply {
        self.store.put(&self.key, request).await.expect(ANSWERS).reply
    }

    pub(super) async fn delete(&self) -> Option<Deleted> {
        self.store.delete(&self.key).await.expect(ANSWERS).reply
    }

    pub(super) async fn settle(&self, max_tries: u32) -> Settled {
        self.store.settle(&self.key, max_tries).await.expect(ANSWERS).reply
    }

    pub(super) async fn claim(&self, request: Claim) -> Vec<(SessionKey, Timestamp)> {
        self.store.claim(request).await.expect(ANSWERS).reply
    }

    /// One whole exchange: begin, then commit tokens called `name`.
    pub(super) async fn refresh(&self, attempt: u128, generation: u64, name: &str) -> CommitReply {
        let grant = self.granted(begin_request(attempt, generation)).await;
        self.commit(commit_request(attempt, &grant, name)).await
    }

    /// The provider rejects generation 1 at once, without any doubt.
    pub(super) async fn make_dead(&self) {
        self.granted(begin_request(90, 1)).await;
        let reply = self.fail(fail_request(90, 1, FailKind::Rejected)).await;
        assert_eq!(reply, FailReply::Dead);
    }

    /// Attempt 90 stays silent, attempt 91 takes over and is rejected. Returns the silent one's grant.
    pub(super) async fn make_suspect(&self, suspect_for: Duration) -> Grant {
        let silent = self.granted_impatiently(begin_request(90, 1)).await;
        self.granted(takeover_request(91, 1, 90)).await;
        let reply =
            self.fail(Fail { suspect_for, ..fail_request(91, 1, FailKind::Rejected) }).await;
        assert!(matches!(reply, FailReply::Suspect { .. }), "{reply:?}");
        silent
    }
}
