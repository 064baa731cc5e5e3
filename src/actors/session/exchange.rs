//! One exchange from leave to answer, on the host runtime. A caller that gives up never cancels it.
//!
//! The order is what makes it safe to die at any moment: the intent is in the journal before the store is
//! asked, the store gives leave before anything is sent, and nothing is sent late.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::actors::gate::{Health, Permit};
use crate::actors::in_flight::InFlight;
use crate::actors::session::Known;
use crate::actors::session::outcome::{self, ExchangeOutcome, store_failure};
use crate::actors::session::state::Reason;
use crate::actors::session::work::publish;
use crate::actors::shared::{ProviderEntry, Shared};
use crate::actors::supervisor::Supervisor;
use crate::fault;
use crate::journal::{Intent, Unreadable};
use crate::ledger::{AttemptId, Begin, BeginReply, ErrorNote, Fail, FailKind, Urgency};
use crate::model::{BootTime, ReuseClass, SessionKey, Timestamp, TokenError, Unavailable};
use crate::oauth::{self, Granted, RequestError};
use crate::store::{At, Begun, Outage, Redeem, SealedStoreError, StoreError};
use crate::timing;

/// The wait before asking again where another exchange holds the slot, or the store was rolled back.
const BUSY_POLL: Duration = Duration::from_millis(500);

/// The wait before asking a store again whose copies did not confirm, or a journal that cannot be written.
const UNSURE_PAUSE: Duration = Duration::from_secs(5);

/// Timers fire on another clock than deadlines are kept on; this much later is surely late enough.
pub(crate) const TIMER_SLACK: Duration = Duration::from_millis(3);

/// One attempt to redeem one refresh token.
pub(crate) struct Exchange<'a> {
    pub(super) supervisor: &'a Supervisor,
    pub(super) shared: &'a Shared,
    pub(super) key: &'a SessionKey,
    pub(super) entry: &'a ProviderEntry,
    pub(super) known: &'a Known,
    pub(super) attempt: AttemptId,
}

/// Leave to redeem, and when it was given.
pub(super) struct Leave<'a> {
    pub(super) redeem: &'a Redeem,
    /// When the store was asked.
    pub(super) asked: BootTime,
    /// The store's time when it answered.
    pub(super) given: Timestamp,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(
        supervisor: &'a Supervisor,
        key: &'a SessionKey,
        entry: &'a ProviderEntry,
        known: &'a Known,
    ) -> Self {
        let attempt = fresh_attempt();
        Self { supervisor, shared: supervisor.shared(), key, entry, known, attempt }
    }

    pub(crate) async fn run(&self, reason: Reason, permit: Permit) -> ExchangeOutcome {
        if self.shared.closing.is_cancelled() {
            let why = TokenError::unavailable(Unavailable::Closing, None);
            return later(self.shared, self.key, Duration::from_secs(1), why);
        }
        if let Err(error) = give_back(self.shared, self.key).await {
            return later(self.shared, self.key, Duration::from_secs(1), store_failure(&error));
        }
        if let Err(why) = self.note_intent().await {
            return later(self.shared, self.key, UNSURE_PAUSE, why);
        }
        let asked = self.shared.clock.boot();
        let mut request = self.request(reason, asked);
        let mut answer = self.shared.store.begin(self.key, request.clone()).await;
        if let Ok(At { reply: Begun::Refused(BeginReply::Busy { attempt, until }), now }) = answer
            && until <= now
        {
            // Its holder has been silent for the whole of its patience.
            request.takeover_of = Some(attempt);
            answer = self.shared.store.begin(self.key, request).await;
        }
        if !matches!(answer, Err(_) | Ok(At { reply: Begun::Granted(_), .. })) {
            self.shared.note_done(self.attempt);
        }
        match answer {
            Ok(At { reply: Begun::Granted(mut redeem), now: given }) => {
                fault::point("t1");
                self.shared.regressed.remove(self.key);
                // A store that was rolled back may show versions that readers are past.
                let origin = &mut redeem.sealed.origin;
                origin.version = origin.version.max(self.version_seen());
                self.redeem(&Leave { redeem: &redeem, asked, given }, permit).await
            }
            Ok(At { reply: Begun::Newer(session), .. }) => {
                self.shared.regressed.remove(self.key);
                ExchangeOutcome::Known(Box::new(publish(self.shared, self.key, *session, asked)))
            }
            Ok(At { reply: Begun::Refused(refusal), now }) => self.refused(&refusal, now),
            Err(error) => self.not_begun(&error),
        }
    }

    /// Writes down what is about to happen. Where an answer that is lost is lost for good, nothing happens
    /// that cannot be written down.
    async fn note_intent(&self) -> Result<(), TokenError> {
        let Some(journal) = &self.shared.journal else {
            return Ok(());
        };
        let intent = Intent {
            attempt: self.attempt,
            key: self.key.clone(),
            provider: self.known.provider.clone(),
            base: self.known.snapshot.recorded_generation(),
        };
        match journal.intent(intent).await {
            Err(error) if self.entry.provider.reuse_class().needs_journal() => {
                let reason = Unavailable::Journal { detail: error.to_string() };
                return Err(TokenError::unavailable(reason, Some(UNSURE_PAUSE)));
            }
            Err(error) => tracing::debug!(%error, "an intent is not in the journal: {error}"),
            Ok(()) => {}
        }
        fault::point("t0");
        Ok(())
    }

    fn request(&self, reason: Reason, now: BootTime) -> Begin {
        let class = self.entry.provider.reuse_class();
        let remaining = self.known.remaining(now);
        let generation = self.known.snapshot.recorded_generation();
        let seen = self.shared.registry.snapshot(self.key);
        let seen = seen.map_or(0, |snapshot| snapshot.recorded_generation());
        Begin {
            attempt: self.attempt,
            node: self.shared.node.clone(),
            minimum_generation: generation.max(seen),
            expected_generation: generation,
            takeover_of: None,
            patience: timing::patience(class, remaining, self.shared.options.dead_after),
            // With the access token gone there is nothing left to protect: tries go on, spaced by the
            // longest back-off, so that a provider's long outage never costs a session.
            max_tries: if remaining.is_zero() { u32::MAX } else { class.max_tries() },
            urgency: match (reason, self.known.lifetime) {
                (Reason::Due, Some(lifetime)) => Urgency::Due {
                    fresh_margin: self.shared.options.policy.fresh_margin(lifetime) + TIMER_SLACK,
                },
                _ => Urgency::Wanted,
            },
            confirmed: class.wants_confirmation() && !self.waives_confirmation(class, remaining),
        }
    }

    fn version_seen(&self) -> u64 {
        let seen = self.shared.registry.snapshot(self.key);
        seen.map_or(0, |it| it.version()).max(self.known.snapshot.version())
    }

    /// Where a repetition is forgiven, a token that is about to end is worth more than the replicas' word.
    fn waives_confirmation(&self, class: ReuseClass, remaining: Duration) -> bool {
        let is_late = self.known.lifetime.is_some_and(|lifetime| remaining < lifetime / 10);
        matches!(class, ReuseClass::Grace(_)) && is_late
    }

    /// The store gave no answer, and may have given leave.
    fn not_begun(&self, error: &SealedStoreError) -> ExchangeOutcome {
        let base = self.known.snapshot.recorded_generation();
        let wait = match error {
            SealedStoreError::Store(StoreError::Unavailable { outage, .. }) => match outage {
                // It was not even asked.
                Outage::Settling => {
                    self.shared.note_done(self.attempt);
                    return later(self.shared, self.key, BUSY_POLL, store_failure(error));
                }
                Outage::Unconfirmed => UNSURE_PAUSE,
                _ => Duration::from_secs(1),
            },
            _ => Duration::from_secs(1),
        };
        self.shared.unsettled.insert(self.key.clone(), (self.attempt, base));
        later(self.shared, self.key, wait, store_failure(error))
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
            BeginReply::Regressed { .. } => self.regressed(),
            BeginReply::Absent if self.known.snapshot.is_valid(self.shared.clock.boot()) => {
                self.shared.put_back.suspect(self.shared.clock.boot());
                let detail = "it has lost the record of this session".to_owned();
                wait(UNSURE_PAUSE, Unavailable::Store { detail })
            }
            BeginReply::Gone | BeginReply::Absent => {
                self.shared.registry.retract(self.key, 0);
                ExchangeOutcome::Absent
            }
            _ => ExchangeOutcome::Reread,
        }
    }

    /// The store shows less than this node has seen. Whoever remembers more has time to put it back; then the
    /// store's word is all there is.
    fn regressed(&self) -> ExchangeOutcome {
        let (shared, now) = (self.shared, self.shared.clock.boot());
        let since = shared.regressed.entry(self.key.clone()).or_default().seen(now);
        let snapshot = shared.registry.snapshot(self.key);
        let expires = snapshot.map_or(self.known.snapshot.expires(), |it| it.expires());
        let had_time = now.since(since.max(expires)) >= shared.options.recall_within;
        if had_time && shared.put_back.done_since(since) {
            tracing::warn!(
                session = %self.key,
                "the store has lost what came last of {}, and nobody has put it back", self.key
            );
            shared.regressed.remove(self.key);
            shared.registry.retract(self.key, 0);
            return ExchangeOutcome::Reread;
        }
        shared.put_back.suspect(now);
        let detail = "it shows an older state than was seen before".to_owned();
        let why = TokenError::unavailable(Unavailable::Store { detail }, Some(UNSURE_PAUSE));
        later(shared, self.key, UNSURE_PAUSE, why)
    }

    async fn redeem(&self, leave: &Leave<'_>, permit: Permit) -> ExchangeOutcome {
        let redeem = leave.redeem;
        let expires_in =
            self.known.lifetime.map(|_| self.known.remaining(self.shared.clock.boot()));
        let _in_flight = InFlight::enter(self.shared, self.key, self.attempt, redeem, expires_in);
        let sent_at = self.shared.clock.boot();
        let send_by = leave.asked + self.shared.options.send_within;
        if sent_at > send_by {
            // This process was held up; somebody may have taken over. Nothing is sent.
            let held_up = RequestError::NotSent { detail: "too late to send safely".to_owned() };
            return self.fail(redeem, &held_up).await;
        }
        fault::in_flight();
        let (http, provider) = (&self.shared.http, &self.entry.provider);
        let (token, mut unreadable) = (&redeem.refresh.token, None);
        let kept = (send_by, &mut unreadable);
        let result = oauth::refresh_keeping(http, provider, token, kept).await;
        self.entry.gate.report(health(&result), self.shared.clock.boot());
        // The provider is done with it; the next request need not wait until the answer is stored.
        drop(permit);
        match result {
            Ok(granted) => {
                fault::point("t4");
                self.bring_home(leave, &granted, sent_at).await
            }
            Err(error) => {
                if let Some(body) = unreadable {
                    self.keep_unreadable(redeem.base, body).await;
                }
                self.fail(redeem, &error).await
            }
        }
    }

    /// A success nobody can read may hold the session's only refresh token: it stays, sealed, in the journal for
    /// as long as answers do.
    async fn keep_unreadable(&self, base: u64, body: Zeroizing<Vec<u8>>) {
        let Some(journal) = &self.shared.journal else { return };
        let (attempt, key) = (self.attempt, self.key.clone());
        let provider = self.known.provider.clone();
        let kept = journal.unreadable(Unreadable { attempt, key, provider, base, body }).await;
        if let Err(error) = kept {
            tracing::warn!(session = %self.key, %error, "an unreadable answer for {} is not kept: {error}", self.key);
        }
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
    shared.note_done(attempt);
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
pub(super) fn wake_after(shared: &Shared, key: &SessionKey, wait: Duration) -> BootTime {
    let until = shared.clock.boot() + wait;
    shared.scheduler.schedule(key, wait + TIMER_SLACK);
    until
}

/// Names something that is tried once and may be asked about again.
pub(crate) fn fresh_attempt() -> AttemptId {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    AttemptId(u128::from_ne_bytes(bytes))
}
