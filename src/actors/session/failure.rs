//! An exchange that brought no tokens: what the ledger is told, and what follows.

use std::time::Duration;

use crate::actors::session::exchange::{Exchange, later, wake_after};
use crate::actors::session::outcome::{self, ExchangeOutcome, store_failure};
use crate::ledger::{Fail, FailKind, FailReply, ReassertReply};
use crate::oauth::RequestError;
use crate::store::{At, Redeem, SealedStoreError};
use crate::timing::{self, Backoff, Chance};

/// A `Retry-After` beyond this is not believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How a store that does not answer is asked again.
pub(super) const STORE_RETRY: Backoff =
    Backoff { floor: Duration::from_millis(50), ceiling: Duration::from_secs(2) };

impl Exchange<'_> {
    /// Tells the ledger, which is asked until it answers: while the slot is taken nobody else may begin.
    pub(super) async fn fail(&self, redeem: &Redeem, error: &RequestError) -> ExchangeOutcome {
        let request = self.failure(redeem, error);
        let mut tries = 0;
        let At { reply, now } = loop {
            let told = match self.shared.store.fail(self.key, request.clone()).await {
                Ok(At { reply, now }) if may_have_forgotten(&reply, redeem.base) => {
                    match self.remind().await {
                        Ok(None) => Ok(At { reply, now }),
                        Ok(Some(ReassertReply::Held)) => continue,
                        Ok(Some(ReassertReply::Gone)) => Ok(At { reply: FailReply::Gone, now }),
                        Ok(Some(ReassertReply::Passed)) => {
                            Ok(At { reply: FailReply::Stale { generation: redeem.base }, now })
                        }
                        Err(error) => Err(error),
                    }
                }
                told => told,
            };
            match told {
                Ok(answer) => break answer,
                // The next run of this node finds the slot, or another does when its patience is over.
                Err(error) if self.shared.closing.is_cancelled() => {
                    return later(self.shared, self.key, Duration::ZERO, store_failure(&error));
                }
                Err(error) => self.store_pause(&mut tries, &error).await,
            }
        };
        self.shared.note_done(self.attempt);
        match reply {
            FailReply::Retry { at } => {
                tracing::info!(session = %self.key, %error, "refresh of {} failed: {error}", self.key);
                let until = wake_after(self.shared, self.key, at.since(now));
                ExchangeOutcome::Later { until, why: outcome::why(error), failed: true }
            }
            FailReply::Gone | FailReply::Absent => {
                self.shared.registry.retract(self.key, 0);
                ExchangeOutcome::Absent
            }
            FailReply::Dead => {
                tracing::warn!(session = %self.key, %error, "{} has to log in again: {error}", self.key);
                ExchangeOutcome::Reread
            }
            FailReply::TrySpare { .. } | FailReply::Recovered { .. } => {
                self.shared.scheduler.schedule(self.key, Duration::ZERO);
                ExchangeOutcome::Reread
            }
            FailReply::Suspect { .. } | FailReply::Stale { .. } => ExchangeOutcome::Reread,
        }
    }

    /// Tells the store of this exchange once more: it may have lost the slot, or the whole record.
    async fn remind(&self) -> Result<Option<ReassertReply>, SealedStoreError> {
        let remembered = self.shared.in_flight.get(self.key).map(|it| it.value().clone());
        let Some(remembered) = remembered else { return Ok(None) };
        let request = remembered.reassertion(self.shared, self.key);
        self.shared.store.reassert(self.key, request).await.map(Some)
    }

    fn failure(&self, redeem: &Redeem, error: &RequestError) -> Fail {
        let now = self.shared.clock.boot();
        let remaining = self.known.remaining(now);
        let class = self.entry.provider.reuse_class();
        let chance = Chance::of(self.key, now.as_nanos());
        let backoff = &self.shared.options.backoff;
        let kind = outcome::kind(error);
        let delay = match (kind, error) {
            (FailKind::Misconfigured, _) | (_, RequestError::Misconfigured { .. }) => {
                backoff.ceiling
            }
            (FailKind::Refused, RequestError::Busy { retry_after: Some(wait), .. }) => {
                (*wait).min(LONGEST_RETRY_AFTER).max(backoff.floor)
            }
            (FailKind::NotSent | FailKind::Refused, _) => {
                backoff.wait(self.known.failures.saturating_add(1), chance)
            }
            (FailKind::InDoubt, _) => {
                let wait = timing::in_doubt_delay(
                    class,
                    remaining,
                    self.shared.options.dead_after,
                    chance,
                );
                // Beyond the cap only the longest back-off is left.
                if redeem.tries >= class.max_tries() { wait.max(backoff.ceiling) } else { wait }
            }
            (FailKind::Rejected, _) => Duration::ZERO,
        };
        Fail {
            attempt: self.attempt,
            base: redeem.base,
            kind,
            delay,
            suspect_for: timing::suspect_for(remaining, self.shared.options.dead_after),
            error: outcome::note(error, self.shared.clock.now()),
        }
    }

    pub(super) async fn store_pause(&self, tries: &mut u32, error: &SealedStoreError) {
        *tries += 1;
        let chance = Chance::of(self.key, u64::from(*tries));
        let pause = STORE_RETRY.wait(*tries, chance);
        tracing::warn!(
            session = %self.key, %error, tries = *tries,
            "the outcome of a refresh of {} is not stored yet: {error}", self.key
        );
        tokio::time::sleep(pause).await;
    }
}

/// True if a store that was rolled back would answer so. One that was not does if somebody else took over,
/// or deleted the session; it says so when it is told once more.
fn may_have_forgotten(reply: &FailReply, base: u64) -> bool {
    match reply {
        FailReply::Absent => true,
        FailReply::Stale { generation } => *generation <= base,
        _ => false,
    }
}
