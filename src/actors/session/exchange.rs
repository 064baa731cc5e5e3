//! One exchange from leave to outcome, on the host runtime. A caller that gives up never cancels it.

use std::time::Duration;

use crate::actors::gate::{Health, Permit};
use crate::actors::lifetimes::{Lifetimes, spans};
use crate::actors::session::Known;
use crate::actors::session::known::Committed;
use crate::actors::session::outcome::{self, ExchangeOutcome, store_failure};
use crate::actors::session::state::Reason;
use crate::actors::session::work::publish;
use crate::actors::shared::{ProviderEntry, Shared};
use crate::ledger::{
    AttemptId, Begin, BeginReply, CommitReply, ErrorNote, Fail, FailKind, FailReply, Urgency,
};
use crate::model::{BootTime, SessionKey, Timestamp, TokenError, Unavailable};
use crate::oauth::{self, Granted, RequestError};
use crate::store::{At, Begun, Exchanged, PlainTokens, Redeem, SealedStoreError, StoreError};
use crate::timing::{self, Backoff, Chance};

/// The wait before asking again where another exchange holds the slot.
const BUSY_POLL: Duration = Duration::from_millis(500);

/// Timers fire on another clock than deadlines are kept on; this much later is surely late enough.
pub(crate) const TIMER_SLACK: Duration = Duration::from_millis(3);

/// A `Retry-After` beyond this is not believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How a store that does not answer is asked again.
const STORE_RETRY: Backoff =
    Backoff { floor: Duration::from_millis(50), ceiling: Duration::from_secs(2) };

/// One attempt to redeem one refresh token.
pub(crate) struct Exchange<'a> {
    shared: &'a Shared,
    key: &'a SessionKey,
    entry: &'a ProviderEntry,
    known: &'a Known,
    attempt: AttemptId,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        key: &'a SessionKey,
        entry: &'a ProviderEntry,
        known: &'a Known,
    ) -> Self {
        Self { shared, key, entry, known, attempt: AttemptId(fresh_id()) }
    }

    pub(crate) async fn run(&self, reason: Reason, permit: Permit) -> ExchangeOutcome {
        if self.shared.closing.is_cancelled() {
            let why = TokenError::unavailable(Unavailable::Closing, None);
            return later(self.shared, self.key, Duration::from_secs(1), why);
        }
        if let Err(error) = give_back(self.shared, self.key).await {
            return later(self.shared, self.key, Duration::from_secs(1), store_failure(&error));
        }
        let begun_at = self.shared.clock.boot();
        let mut request = self.request(reason, begun_at);
        let mut answer = self.shared.store.begin(self.key, request.clone()).await;
        if let Ok(At { reply: Begun::Refused(BeginReply::Busy { attempt, until }), now }) = answer
            && until <= now
        {
            // Its holder has been silent for the whole of its patience.
            request.takeover_of = Some(attempt);
            answer = self.shared.store.begin(self.key, request).await;
        }
        match answer {
            Ok(At { reply: Begun::Granted(redeem), .. }) => {
                self.redeem(&redeem, begun_at, permit).await
            }
            Ok(At { reply: Begun::Newer(session), .. }) => {
                ExchangeOutcome::Known(Box::new(publish(self.shared, self.key, &session, begun_at)))
            }
            Ok(At { reply: Begun::Refused(refusal), now }) => self.refused(&refusal, now),
            Err(error) => {
                let base = self.known.snapshot.generation();
                self.shared.unsettled.insert(self.key.clone(), (self.attempt, base));
                later(self.shared, self.key, Duration::from_secs(1), store_failure(&error))
            }
        }
    }

    fn request(&self, reason: Reason, now: BootTime) -> Begin {
        let class = self.entry.provider.reuse_class();
        let remaining = self.known.remaining(now);
        let generation = self.known.snapshot.generation();
        Begin {
            attempt: self.attempt,
            node: self.shared.node.clone(),
            minimum_generation: generation,
            expected_generation: generation,
            takeover_of: None,
            patience: timing::patience(class, remaining),
            // With the access token gone there is nothing left to protect: tries go on, spaced by the
            // longest back-off, so that a provider's long outage never costs a session.
            max_tries: if remaining.is_zero() { u32::MAX } else { class.max_tries() },
            urgency: match (reason, self.known.lifetime) {
                (Reason::Due, Some(lifetime)) => Urgency::Due {
                    fresh_margin: self.shared.options.policy.fresh_margin(lifetime) + TIMER_SLACK,
                },
                _ => Urgency::Wanted,
            },
            confirmed: class.wants_confirmation(),
        }
    }

    fn refused(&self, refusal: &BeginReply, now: Timestamp) -> ExchangeOutcome {
        let wait = |wait, reason| {
            later(self.shared, self.key, wait, TokenError::unavailable(reason, Some(wait)))
        };
        match refusal {
            BeginReply::Busy { .. } => wait(BUSY_POLL, Unavailable::Busy),
            BeginReply::Backoff { until } => {
                let detail = "an earlier refresh failed".to_owned();
                wait(until.since(now), Unavailable::Provider { detail })
            }
            BeginReply::Exhausted { tries } => {
                let detail = format!("{tries} tries without an answer");
                let left = self.known.remaining(self.shared.clock.boot());
                wait(left.max(BUSY_POLL), Unavailable::InDoubt { detail })
            }
            BeginReply::Regressed { .. } => {
                let detail = "it shows an older state than was seen before".to_owned();
                wait(Duration::from_secs(5), Unavailable::Store { detail })
            }
            BeginReply::Gone | BeginReply::Absent => {
                self.shared.registry.retract(self.key, 0);
                ExchangeOutcome::Absent
            }
            _ => ExchangeOutcome::Reread,
        }
    }

    async fn redeem(&self, redeem: &Redeem, begun_at: BootTime, permit: Permit) -> ExchangeOutcome {
        let sent_at = self.shared.clock.boot();
        if sent_at.since(begun_at) > self.shared.options.send_within {
            // This process was held up; somebody may have taken over. Nothing is sent.
            let held_up = RequestError::NotSent { detail: "too late to send safely".to_owned() };
            return self.fail(redeem, &held_up).await;
        }
        let provider = &self.entry.provider;
        let result = oauth::refresh(&self.shared.http, provider, &redeem.refresh.token).await;
        self.entry.gate.report(health(&result), self.shared.clock.boot());
        // The provider is done with it; the next request need not wait until the answer is stored.
        drop(permit);
        match result {
            Ok(granted) => self.commit(redeem, &granted, sent_at).await,
            Err(error) => self.fail(redeem, &error).await,
        }
    }

    /// Brings the tokens home. They are shown to nobody before the store has them, and the store is
    /// asked until it answers: they exist nowhere else.
    async fn commit(
        &self,
        redeem: &Redeem,
        granted: &Granted,
        sent_at: BootTime,
    ) -> ExchangeOutcome {
        let by = Exchanged {
            attempt: self.attempt,
            base: redeem.base,
            sequence: redeem.sequence,
            last_read: self.shared.last_read(self.key),
            origin: &redeem.sealed.origin,
        };
        let mut tries = 0;
        loop {
            let (tokens, lifetimes) = self.tokens(redeem, granted, sent_at);
            let request = self.shared.store.seal_commit(self.key, by, &tokens);
            match self.shared.store.commit(self.key, request).await {
                Ok(At { reply, now }) => {
                    return self.committed(reply, now, &tokens, lifetimes);
                }
                Err(error @ SealedStoreError::Store(StoreError::Closed)) => {
                    tracing::error!(session = %self.key, "the store closed before a refresh of {} was stored", self.key);
                    return later(self.shared, self.key, Duration::ZERO, store_failure(&error));
                }
                Err(error) => self.store_pause(&mut tries, &error).await,
            }
        }
    }

    fn tokens(
        &self,
        redeem: &Redeem,
        granted: &Granted,
        sent_at: BootTime,
    ) -> (PlainTokens, Lifetimes) {
        let clock = &self.shared.clock;
        let token = granted.answer.token(granted.sent_at, Some(&redeem.previous));
        let elapsed = clock.boot().since(sent_at);
        let provider = &self.entry.provider;
        let lifetimes =
            Lifetimes::of_answer(&granted.answer, &token, provider, (clock.now(), elapsed));
        let spans = spans(lifetimes, &self.shared.options.policy, self.key, redeem.base + 1);
        let before = Some(redeem.refresh.clone());
        (PlainTokens { token, before, extra: granted.answer.members(), spans }, lifetimes)
    }

    fn committed(
        &self,
        reply: CommitReply,
        now: Timestamp,
        tokens: &PlainTokens,
        lifetimes: Lifetimes,
    ) -> ExchangeOutcome {
        match reply {
            CommitReply::Installed(installed) | CommitReply::Healed(installed) => {
                let committed = Committed { tokens, lifetime: lifetimes.access, installed, now };
                let policy = &self.shared.options.policy;
                let boot = self.shared.clock.boot();
                let known = Known::installed(self.known, &committed, boot, policy);
                self.shared.registry.publish(self.key, &known.snapshot, boot);
                if let Some(due_in) = tokens.spans.due_in {
                    self.shared.scheduler.schedule(self.key, due_in);
                }
                tracing::debug!(
                    session = %self.key,
                    generation = installed.generation,
                    "refreshed {}", self.key
                );
                ExchangeOutcome::Known(Box::new(known))
            }
            CommitReply::Late { .. } | CommitReply::Stale { .. } => ExchangeOutcome::Reread,
            CommitReply::Gone | CommitReply::Absent => {
                tracing::warn!(session = %self.key, "{} was deleted during a refresh", self.key);
                self.shared.registry.retract(self.key, 0);
                ExchangeOutcome::Absent
            }
        }
    }

    async fn fail(&self, redeem: &Redeem, error: &RequestError) -> ExchangeOutcome {
        let request = self.failure(redeem, error);
        let mut tries = 0;
        let At { reply, now } = loop {
            match self.shared.store.fail(self.key, request.clone()).await {
                Ok(answer) => break answer,
                Err(error) => self.store_pause(&mut tries, &error).await,
            }
        };
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
                let wait = timing::in_doubt_delay(class, remaining, chance);
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
            suspect_for: timing::suspect_for(remaining),
            error: outcome::note(error, self.shared.clock.now()),
        }
    }

    async fn store_pause(&self, tries: &mut u32, error: &SealedStoreError) {
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

fn health(result: &Result<Granted, RequestError>) -> Health {
    match result {
        Ok(_) | Err(RequestError::Rejected { .. } | RequestError::Misconfigured { .. }) => {
            Health::Answered
        }
        Err(RequestError::Busy { retry_after, .. }) => Health::Busy { retry_after: *retry_after },
        Err(RequestError::NotSent { .. } | RequestError::InDoubt { .. }) => Health::Failed,
    }
}

/// Gives back leave that the store may have given in an answer that never came. Nothing was sent under
/// it, and while it stands nobody may begin.
async fn give_back(shared: &Shared, key: &SessionKey) -> Result<(), SealedStoreError> {
    let Some((attempt, base)) = shared.unsettled.get(key).map(|leave| *leave) else {
        return Ok(());
    };
    let unused = Fail {
        attempt,
        base,
        kind: FailKind::NotSent,
        delay: Duration::ZERO,
        suspect_for: Duration::ZERO,
        error: ErrorNote {
            code: outcome::NOT_SENT.to_owned(),
            description: Some("the store's leave to refresh came too late".to_owned()),
            at: shared.clock.now(),
        },
    };
    shared.store.fail(key, unused).await?;
    shared.unsettled.remove(key);
    Ok(())
}

pub(crate) fn later(
    shared: &Shared,
    key: &SessionKey,
    wait: Duration,
    why: TokenError,
) -> ExchangeOutcome {
    ExchangeOutcome::Later { until: wake_after(shared, key, wait), why, failed: false }
}

/// Has the actor woken after `wait`; returns when that is. The deadline is drawn before the timer is
/// set, so that no delay in between makes the timer fire first.
fn wake_after(shared: &Shared, key: &SessionKey, wait: Duration) -> BootTime {
    let until = shared.clock.boot() + wait;
    shared.scheduler.schedule(key, wait + TIMER_SLACK);
    until
}

fn fresh_id() -> u128 {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    u128::from_ne_bytes(bytes)
}
