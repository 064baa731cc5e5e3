//! An exchange that brought tokens: they are durable before anybody sees them, in the store or in the
//! journal, whichever is first.

use std::time::Duration;

use crate::actors::lifetimes::{Lifetimes, spans};
use crate::actors::session::Known;
use crate::actors::session::exchange::{Exchange, Leave};
use crate::actors::session::failure::STORE_RETRY;
use crate::actors::session::known::Committed;
use crate::actors::session::outcome::{ExchangeOutcome, store_failure};
use crate::actors::session::work;
use crate::actors::supervisor::Supervisor;
use crate::actors::task_kind::TaskKind;
use crate::actors::{revocation, shared::Shared};
use crate::fault;
use crate::journal::{Answer, JournalError};
use crate::ledger::{Commit, CommitReply, Installed};
use crate::model::{BootTime, ProviderId, Secret, SessionKey, Timestamp, TokenError};
use crate::oauth::Granted;
use crate::store::{At, Exchanged, PlainTokens, SealedStoreError, StoreError};
use crate::timing::Chance;

/// An answer on its way into the journal.
type Writing = tokio::task::JoinHandle<Result<(), JournalError>>;

/// Tokens on their way home.
struct Home {
    tokens: PlainTokens,
    lifetimes: Lifetimes,
    /// Sealed once: what the journal holds is what the store gets.
    commit: Commit,
    /// When the spans in it count from.
    sealed_at: BootTime,
}

impl Home {
    fn aged(&self, now: BootTime) -> Commit {
        self.commit.clone().aged(now.since(self.sealed_at))
    }
}

impl Exchange<'_> {
    /// Brings the tokens home. They are shown to nobody before store or journal have them, and the store is
    /// asked until it answers.
    pub(super) async fn bring_home(
        &self,
        leave: &Leave<'_>,
        granted: &Granted,
        sent_at: BootTime,
    ) -> ExchangeOutcome {
        let home = self.seal(leave, granted, sent_at);
        let journaled = self.write_down(&home.commit);
        let error = match self.shared.store.commit(self.key, home.commit.clone()).await {
            Ok(At { reply, now }) => return self.arrived(&home, reply, now, journaled),
            Err(error) => error,
        };
        if let Some(journaled) = journaled
            && let Ok(Ok(())) = journaled.await
        {
            tracing::warn!(
                session = %self.key, %error,
                "a refresh of {} is in the journal, and not in the store yet: {error}", self.key
            );
            return self.serve_from_journal(leave, home);
        }
        self.insist(&home, &error).await
    }

    fn seal(&self, leave: &Leave<'_>, granted: &Granted, sent_at: BootTime) -> Home {
        let redeem = leave.redeem;
        let clock = &self.shared.clock;
        let token = granted.answer.token(granted.sent_at, Some(&redeem.previous));
        let sealed_at = clock.boot();
        let provider = &self.entry.provider;
        let since = (clock.now(), sealed_at.since(sent_at));
        let lifetimes = Lifetimes::of_answer(&granted.answer, &token, provider, since);
        let spans = spans(lifetimes, &self.shared.options.policy, self.key, redeem.base + 1);
        let before = Some(redeem.refresh.clone());
        let tokens = PlainTokens { token, before, extra: granted.answer.members(), spans };
        let by = Exchanged {
            attempt: self.attempt,
            base: redeem.base,
            sequence: redeem.sequence,
            last_read: self.shared.last_read(self.key),
            origin: &redeem.sealed.origin,
        };
        let commit = self.shared.store.seal_commit(self.key, by, &tokens);
        Home { tokens, lifetimes, commit, sealed_at }
    }

    /// Begins to write the answer into the journal.
    fn write_down(&self, commit: &Commit) -> Option<Writing> {
        let journal = self.shared.journal.clone()?;
        let (key, provider) = (self.key.clone(), self.known.provider.clone());
        let answer = Answer { key, provider, commit: commit.clone() };
        Some(self.shared.runtime.spawn(async move { journal.answer(answer).await }))
    }

    /// The store has answered. The journal may still be writing.
    fn arrived(
        &self,
        home: &Home,
        reply: CommitReply,
        now: Timestamp,
        journaled: Option<Writing>,
    ) -> ExchangeOutcome {
        fault::point("t7");
        self.done_after(journaled);
        match reply {
            CommitReply::Installed(installed) | CommitReply::Healed(installed) => {
                let age = self.shared.clock.boot().since(home.sealed_at);
                let known = self.show(home, installed, now - age);
                tracing::debug!(
                    session = %self.key,
                    generation = installed.generation,
                    "refreshed {}", self.key
                );
                ExchangeOutcome::Known(Box::new(known))
            }
            CommitReply::Late { .. } | CommitReply::Stale { .. } => {
                tracing::info!(session = %self.key, "a late answer for {} was overtaken", self.key);
                ExchangeOutcome::Reread
            }
            CommitReply::Gone | CommitReply::Absent => {
                tracing::warn!(session = %self.key, "{} was deleted during a refresh", self.key);
                self.shared.registry.retract(self.key, 0);
                if let Some(token) = home.tokens.token.refresh_token.clone() {
                    revocation::spawn(self.supervisor, &self.known.provider, token);
                }
                ExchangeOutcome::Absent
            }
        }
    }

    /// Tells the journal that nothing is left to do. What is done before its answer is in the journal would
    /// stand open there for ever.
    fn done_after(&self, journaled: Option<Writing>) {
        match journaled {
            Some(writing) if !writing.is_finished() => {
                let (shared, attempt) = (self.supervisor.shared().clone(), self.attempt);
                self.shared.spawn(TaskKind::Errand, async move {
                    // Whether it could be written is the journal's to say.
                    let _ = writing.await;
                    shared.note_done(attempt);
                });
            }
            _ => self.shared.note_done(self.attempt),
        }
    }

    /// Shows the tokens to readers.
    fn show(&self, home: &Home, installed: Installed, now: Timestamp) -> Known {
        let (tokens, lifetime) = (&home.tokens, home.lifetimes.access);
        let committed = Committed { tokens, lifetime, installed, now };
        let policy = &self.shared.options.policy;
        let known = Known::installed(self.known, &committed, home.sealed_at, policy);
        self.shared.registry.publish(self.key, &known.snapshot, home.sealed_at);
        fault::point("t8");
        if let Some(due_in) = tokens.spans.due_in {
            self.shared.scheduler.schedule(self.key, due_in);
        }
        known
    }

    /// The tokens are safe, and readers get them; bringing them into the store goes on behind their backs.
    fn serve_from_journal(&self, leave: &Leave<'_>, home: Home) -> ExchangeOutcome {
        let redeem = leave.redeem;
        let installed =
            Installed { generation: redeem.base + 1, version: redeem.sealed.origin.version + 1 };
        let now = leave.given + home.sealed_at.since(leave.asked);
        let known = self.show(&home, installed, now);
        let errand = Errand {
            key: self.key.clone(),
            provider: self.known.provider.clone(),
            commit: home.commit,
            since: home.sealed_at,
        };
        errand.spawn(self.supervisor);
        ExchangeOutcome::Known(Box::new(known))
    }

    /// Without a journal the tokens exist nowhere else: the store is asked until it answers.
    async fn insist(&self, home: &Home, first: &SealedStoreError) -> ExchangeOutcome {
        let mut tries = 0;
        self.store_pause(&mut tries, first).await;
        loop {
            let commit = home.aged(self.shared.clock.boot());
            match self.shared.store.commit(self.key, commit).await {
                Ok(At { reply, now }) => return self.arrived(home, reply, now, None),
                Err(error @ SealedStoreError::Store(StoreError::Closed)) => {
                    tracing::error!(session = %self.key, "the store closed before a refresh of {} was stored", self.key);
                    let why: TokenError = store_failure(&error);
                    return super::exchange::later(self.shared, self.key, Duration::ZERO, why);
                }
                Err(error) => self.store_pause(&mut tries, &error).await,
            }
        }
    }
}

/// An answer in the journal that the store has to learn of, now or at the next start.
pub(crate) struct Errand {
    pub(crate) key: SessionKey,
    pub(crate) provider: ProviderId,
    pub(crate) commit: Commit,
    /// When the spans of its tokens count from.
    pub(crate) since: BootTime,
}

impl Errand {
    /// Runs it until it is done or the hive shuts down: the journal keeps it for the next start.
    pub(crate) fn spawn(self, supervisor: &Supervisor) {
        let supervisor = supervisor.clone();
        supervisor.shared().clone().spawn(TaskKind::Errand, async move {
            let closing = supervisor.shared().closing.clone();
            tokio::select! {
                () = closing.cancelled() => {}
                () = self.insist(&supervisor) => {}
            }
        });
    }

    async fn insist(self, supervisor: &Supervisor) {
        let mut tries = 0;
        while let Err(error) = self.once(supervisor).await {
            tries += 1;
            if tries % 30 == 1 {
                tracing::warn!(
                    session = %self.key, %error, tries,
                    "an answer for {} is in the journal, and not in the store yet: {error}", self.key
                );
            }
            tokio::time::sleep(STORE_RETRY.wait(tries, Chance::of(&self.key, tries.into()))).await;
        }
    }

    /// Tells the store once. What it says is shown to readers, and the journal need not keep it open.
    pub(crate) async fn once(&self, supervisor: &Supervisor) -> Result<(), SealedStoreError> {
        let shared = supervisor.shared();
        let commit = self.commit.clone().aged(shared.clock.boot().since(self.since));
        let reply = shared.store.commit(&self.key, commit).await?.reply;
        shared.note_done(self.commit.attempt);
        match reply {
            CommitReply::Gone | CommitReply::Absent => {
                shared.registry.retract(&self.key, 0);
                supervisor.replaced(&self.key, None);
                if let Some(token) = self.refresh_token(shared) {
                    revocation::spawn(supervisor, &self.provider, token);
                }
            }
            _ => work::recheck(supervisor, &self.key).await,
        }
        Ok(())
    }

    fn refresh_token(&self, shared: &Shared) -> Option<Secret> {
        let generation = self.commit.base + 1;
        let sealed = self.commit.tokens.refresh.as_ref()?;
        shared.store.open_refresh_token(&self.key, sealed, generation).ok()
    }
}
