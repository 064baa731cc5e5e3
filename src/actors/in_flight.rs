//! This node's exchanges in flight, with what a store that loses track of them has to be told.

use std::time::Duration;

use crate::actors::shared::Shared;
use crate::ledger::{AttemptId, NewTokens, Origin, Reassert};
use crate::model::{BootTime, SessionKey};
use crate::store::Redeem;
use crate::timing;

/// What is remembered of one exchange in flight.
#[derive(Clone)]
pub(crate) struct Remembered {
    attempt: AttemptId,
    base: u64,
    sequence: u64,
    tries: u32,
    tokens: NewTokens,
    origin: Origin,
    since: BootTime,
}

impl Remembered {
    /// What the store is told now.
    pub(crate) fn reassertion(&self, shared: &Shared, key: &SessionKey) -> Reassert {
        let now = shared.clock.boot();
        let class = shared.class_of(&self.origin.provider);
        let snapshot = shared.registry.snapshot(key);
        let remaining = snapshot.map(|it| it.expires().since(now)).unwrap_or_default();
        let patience = timing::patience(class, remaining, shared.options.dead_after)
            .saturating_sub(now.since(self.since));
        Reassert {
            attempt: self.attempt,
            node: shared.node.clone(),
            base: self.base,
            sequence: self.sequence,
            tries: self.tries,
            patience,
            tokens: self.tokens.clone().aged(now.since(self.since)),
            origin: self.origin.clone(),
        }
    }
}

/// An exchange counts as in flight until this is dropped.
pub(crate) struct InFlight<'a> {
    shared: &'a Shared,
    key: &'a SessionKey,
}

impl<'a> InFlight<'a> {
    /// Its access token lives for another `expires_in`; `None` for ever or unknown.
    pub(crate) fn enter(
        shared: &'a Shared,
        key: &'a SessionKey,
        attempt: AttemptId,
        redeem: &Redeem,
        expires_in: Option<Duration>,
    ) -> Self {
        let tokens = NewTokens {
            access: redeem.sealed.access.clone(),
            refresh: Some(redeem.sealed.refresh.clone()),
            extra: None,
            expires_in,
            refresh_expires_in: None,
            due_in: Some(Duration::ZERO),
        };
        let remembered = Remembered {
            attempt,
            base: redeem.base,
            sequence: redeem.sequence,
            tries: redeem.tries,
            tokens,
            origin: redeem.sealed.origin.clone(),
            since: shared.clock.boot(),
        };
        shared.in_flight.insert(key.clone(), remembered);
        Self { shared, key }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.shared.in_flight.remove(self.key);
    }
}
