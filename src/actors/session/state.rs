//! What a session's actor decides. No I/O, no clock, no actix.

use std::sync::Arc;
use std::time::Duration;

use crate::actors::session::Known;
use crate::actors::session::known::Condition;
use crate::actors::session::messages::{Freshness, Want};
use crate::actors::session::outcome::{ExchangeOutcome, LoadOutcome};
use crate::model::{BootTime, NeedsLogin, Snapshot, TokenError, Unavailable};
use crate::timing::RefreshPolicy;

/// The least time between two refreshes of which the first brought an expired token.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// The least age of a token that is refreshed because the provider's API refuses it.
const LEAST_REPORTED: Duration = Duration::from_secs(30);

/// What is done for a caller.
#[derive(Debug)]
pub(crate) enum Step {
    /// Hand this out.
    Answer(Arc<Snapshot>),
    /// Hand this out and start a refresh behind it.
    AnswerAndRefresh(Arc<Snapshot>),
    /// Say no.
    Refuse(TokenError),
    /// Let the caller wait for the work in progress, or for a retry that is due in time.
    Await,
    /// Let the caller wait and start this.
    AwaitAfter(Work),
}

/// I/O the actor has done for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Read the record.
    Load,
    /// Redeem the refresh token.
    Exchange(Reason),
    /// Report an exchange that a former run left open as failed, then read again.
    Resolve,
}

/// Why an exchange is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The scheduler says so.
    Due,
    /// A caller waits for it, or met a token close to its end.
    Wanted,
}

/// Everything an actor remembers. An idle session costs what this struct costs.
#[derive(Debug, Default)]
pub(crate) struct State {
    known: Option<Box<Known>>,
    working: Option<Work>,
    /// The record was changed from outside while work was in progress: its outcome is not believed.
    outdated: bool,
    /// Why the last exchange brought nothing; shown to callers who come during the wait.
    trouble: Option<Box<TokenError>>,
}

impl State {
    /// What is done for a caller who wants a token. `baseline` is the version that stood when a
    /// waiting caller began to wait: anything newer satisfies it, so that nobody waits in a circle.
    pub(crate) fn on_get(&self, now: BootTime, want: &Want, baseline: Option<u64>) -> Step {
        let Some(known) = &self.known else {
            return self.start(Work::Load);
        };
        let snapshot = &known.snapshot;
        if satisfies(known, now, want, baseline) {
            let refresh = !snapshot.is_fresh(now) && self.may_exchange(known, now);
            return if refresh {
                Step::AnswerAndRefresh(Arc::clone(snapshot))
            } else {
                Step::Answer(Arc::clone(snapshot))
            };
        }
        if self.working.is_some() {
            return Step::Await;
        }
        if known.abandoned.is_some() {
            return self.start(Work::Resolve);
        }
        self.on_unsatisfied(known, now, want)
    }

    fn on_unsatisfied(&self, known: &Known, now: BootTime, want: &Want) -> Step {
        match &known.health {
            Condition::Ended(reason) => {
                return Step::Refuse(TokenError::needs_login((**reason).clone()));
            }
            Condition::Fixed => {
                return Step::Refuse(TokenError::needs_login(NeedsLogin::NoRefreshToken));
            }
            Condition::Suspect { until } if *until > now => {
                let wait = Some(until.since(now));
                return Step::Refuse(TokenError::unavailable(Unavailable::Suspect, wait));
            }
            Condition::Suspect { .. } | Condition::Refreshable => {}
        }
        if let Some(until) = useless_until(known, now) {
            let detail = "it gives tokens that have expired on arrival".to_owned();
            let wait = Some(until.since(now));
            return Step::Refuse(TokenError::unavailable(Unavailable::Provider { detail }, wait));
        }
        if matches!(want.freshness, Freshness::InsteadOf(_)) && known.by_exchange {
            let left = LEAST_REPORTED.saturating_sub(known.age(now));
            if !left.is_zero() {
                let detail = "its API refuses a token that it gave a moment ago".to_owned();
                let reason = Unavailable::Provider { detail };
                return Step::Refuse(TokenError::unavailable(reason, Some(left)));
            }
        }
        match known.not_before.filter(|&until| until > now) {
            None => self.start(Work::Exchange(Reason::Wanted)),
            Some(until) if until < want.deadline && self.is_passing() => Step::Await,
            Some(until) => Step::Refuse(self.trouble(until, now)),
        }
    }

    /// Whether the last failure may have passed when the wait is over.
    fn is_passing(&self) -> bool {
        !matches!(
            self.trouble.as_deref(),
            Some(
                TokenError::Misconfigured { .. }
                    | TokenError::Unavailable { reason: Unavailable::Closing, .. }
            )
        )
    }

    /// Why there is no token, with the wait that is left.
    fn trouble(&self, until: BootTime, now: BootTime) -> TokenError {
        let wait = Some(until.since(now));
        match self.trouble.as_deref() {
            Some(TokenError::Unavailable { reason, .. }) => {
                TokenError::unavailable(reason.clone(), wait)
            }
            Some(other) => other.clone(),
            None => {
                let detail = "the last refresh failed".to_owned();
                TokenError::unavailable(Unavailable::Provider { detail }, wait)
            }
        }
    }

    /// What is done when the scheduler says the session is due. It may be wrong.
    pub(crate) fn on_due(&self, now: BootTime, policy: &RefreshPolicy) -> Option<Work> {
        if self.working.is_some() {
            return None;
        }
        let Some(known) = &self.known else {
            return Some(Work::Load);
        };
        if known.abandoned.is_some() {
            return Some(Work::Resolve);
        }
        let due = known.is_due(now, policy) && self.may_exchange(known, now);
        due.then_some(Work::Exchange(Reason::Due))
    }

    fn may_exchange(&self, known: &Known, now: BootTime) -> bool {
        let allowed = match &known.health {
            Condition::Refreshable => true,
            Condition::Suspect { until } => *until <= now,
            Condition::Fixed | Condition::Ended(_) => false,
        };
        allowed && self.working.is_none() && known.not_before.is_none_or(|until| until <= now)
    }

    fn start(&self, work: Work) -> Step {
        if self.working.is_some() { Step::Await } else { Step::AwaitAfter(work) }
    }

    /// The actor has started `work`.
    pub(crate) fn started(&mut self, work: Work) {
        self.working = Some(work);
        self.outdated = false;
    }

    /// A read finished. Returns the refusal for everybody who waits, if there is one.
    pub(crate) fn loaded(&mut self, outcome: LoadOutcome) -> Option<TokenError> {
        self.working = None;
        if std::mem::take(&mut self.outdated) {
            return None;
        }
        match outcome {
            LoadOutcome::Known(mut known) => {
                if let Some(trouble) = known.trouble.take() {
                    self.trouble = Some(trouble);
                }
                self.learn(known);
                None
            }
            LoadOutcome::Absent => {
                self.known = None;
                Some(TokenError::needs_login(NeedsLogin::NoSession))
            }
            LoadOutcome::Failed(error) => Some(error),
        }
    }

    /// An exchange finished. Returns the refusal for everybody who waits, if there is one.
    pub(crate) fn exchanged(&mut self, outcome: ExchangeOutcome) -> Option<TokenError> {
        self.working = None;
        if std::mem::take(&mut self.outdated) {
            return None;
        }
        match outcome {
            ExchangeOutcome::Known(known) => {
                self.trouble = None;
                self.learn(known);
            }
            ExchangeOutcome::Later { until, why, failed } => {
                self.trouble = Some(Box::new(why));
                if let Some(known) = &mut self.known {
                    known.failures = known.failures.saturating_add(u32::from(failed));
                    known.not_before = Some(until);
                }
            }
            ExchangeOutcome::Reread => self.known = None,
            ExchangeOutcome::Absent => {
                self.known = None;
                return Some(TokenError::needs_login(NeedsLogin::NoSession));
            }
        }
        None
    }

    /// The session was changed from outside. What work in progress brings is out of date.
    pub(crate) fn replaced(&mut self, known: Option<Box<Known>>) {
        self.outdated = self.working.is_some();
        self.trouble = None;
        self.known = known;
    }

    /// The record was read behind the actor's back. Work in progress knows better.
    pub(crate) fn learned(&mut self, known: Box<Known>) {
        if self.working.is_none() {
            self.learn(known);
        }
    }

    /// Another node gave the session this version. True if what the actor knew is of no use any more. An
    /// exchange in progress finds out for itself; a read may have come too early.
    pub(crate) fn outdated(&mut self, version: u64) -> bool {
        let is_older = self.version().is_some_and(|known| known < version);
        if !is_older || matches!(self.working, Some(Work::Exchange(_))) {
            return false;
        }
        self.outdated = self.working.is_some();
        self.trouble = None;
        self.known = None;
        true
    }

    fn learn(&mut self, known: Box<Known>) {
        let newer = self
            .known
            .as_ref()
            .is_none_or(|old| old.snapshot.version() <= known.snapshot.version());
        if newer {
            self.known = Some(known);
        }
    }

    /// What the actor knows, for starting work with.
    pub(crate) fn known(&self) -> Option<&Known> {
        self.known.as_deref()
    }

    /// The version readers see now.
    pub(crate) fn version(&self) -> Option<u64> {
        self.known.as_ref().map(|known| known.snapshot.version())
    }

    /// How long nothing may begin although nothing is in progress; `None` for no wait.
    pub(crate) fn waits(&self, now: BootTime) -> Option<Duration> {
        let until = self.known.as_ref()?.not_before.filter(|&until| until > now)?;
        self.is_idle().then(|| until.since(now))
    }

    /// True if nothing is in progress.
    pub(crate) fn is_idle(&self) -> bool {
        self.working.is_none()
    }
}

/// A provider that gives tokens that are over when they arrive is asked once a second, not at every
/// read.
fn useless_until(known: &Known, now: BootTime) -> Option<BootTime> {
    let left = LEAST_INTERVAL.saturating_sub(known.age(now));
    let useless = known.by_exchange && !known.snapshot.is_valid(now) && !left.is_zero();
    useless.then(|| now + left)
}

fn satisfies(known: &Known, now: BootTime, want: &Want, baseline: Option<u64>) -> bool {
    let snapshot = &known.snapshot;
    // A rejection is a new version as well, and its access token is the old one.
    let rejected = matches!(known.health, Condition::Suspect { .. } | Condition::Ended(_));
    let renewed_since = |seen| snapshot.version() > seen && !rejected;
    let new_enough = match want.freshness {
        Freshness::Any => true,
        Freshness::Newest => false,
        Freshness::NewerThan(seen) | Freshness::InsteadOf(seen) => renewed_since(seen),
    };
    if !snapshot.is_valid(now) || !new_enough {
        return false;
    }
    // What lives for less than a caller wants is not refreshed at every call of such a caller.
    let remaining = snapshot.expires().since(now);
    let as_good_as_it_gets = known.by_exchange
        && known.lifetime.is_some_and(|life| life < want.min_validity && remaining >= life / 2);
    remaining >= want.min_validity || as_good_as_it_gets || baseline.is_some_and(renewed_since)
}
