//! What an actor knows of its session: the record in this process's own time.

use std::sync::Arc;
use std::time::Duration;

use crate::actors::session::outcome;
use crate::ledger::{Installed, NodeId, Record, Slot, Status};
use crate::model::{BootTime, NeedsLogin, ProviderId, Snapshot, Standing, Timestamp, TokenError};
use crate::store::{PlainTokens, Session};
use crate::timing::RefreshPolicy;

/// A session as last read from or written to the store.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) provider: ProviderId,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) health: Condition,
    /// The access token's whole lifetime; `None` for never or unknown.
    pub(crate) lifetime: Option<Duration>,
    /// Whether its tokens came by a refresh, and not by a login or restore.
    pub(crate) by_exchange: bool,
    /// When this was learned.
    pub(crate) learned: BootTime,
    /// How old its tokens were then: they may be older than this machine's uptime.
    pub(crate) age_then: Duration,
    /// Failed exchanges since the last success.
    pub(crate) failures: u32,
    /// No exchange before then.
    pub(crate) not_before: Option<BootTime>,
    /// Why not, where another run of this program or another node noted it.
    pub(crate) trouble: Option<Box<TokenError>>,
    /// When a caller last read it, as far as the record knows.
    pub(crate) last_read: Option<Timestamp>,
    /// An exchange that a former run of this node left open; that run is over.
    pub(crate) abandoned: Option<Box<Slot>>,
}

/// What an exchange installed.
#[derive(Clone, Copy)]
pub(crate) struct Committed<'a> {
    pub(crate) tokens: &'a PlainTokens,
    /// The access token's whole lifetime; `None` for never or unknown.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) installed: Installed,
    /// The store's time when it was committed.
    pub(crate) now: Timestamp,
}

/// Whether it can be refreshed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    Refreshable,
    /// The provider gave no refresh token.
    Fixed,
    /// Nothing may begin until then.
    Suspect {
        until: BootTime,
    },
    /// The provider's final word was no.
    Ended(Box<NeedsLogin>),
}

impl Known {
    /// Translates the store's time into this process's.
    pub(crate) fn of(
        session: Session,
        boot: BootTime,
        policy: &RefreshPolicy,
        ends_with_successor: bool,
    ) -> Self {
        let Session { token, record, now } = session;
        let ahead = |at: Timestamp| boot + at.since(now);
        let lifetime = record.expires.map(|expires| expires.since(record.received));
        // A record from the future was written before the clock jumped back: its span still holds.
        let expires = match (record.expires, lifetime) {
            (Some(expires), Some(lifetime)) => after(boot, expires.since(now).min(lifetime)),
            _ => BootTime::NEVER,
        };
        let margin = lifetime.map_or(Duration::ZERO, |lifetime| policy.margin_of(lifetime));
        let standing = Standing {
            generation: record.generation,
            grant: record.grant,
            version: record.version,
            serve_until: if lifetime.is_some() { expires - margin } else { BootTime::NEVER },
            expires,
            expires_at: record.expires,
            ends_with_successor,
        };
        let health = match record.status {
            Status::Dead => Condition::Ended(Box::new(rejected(&record))),
            Status::Suspect { until } => Condition::Suspect { until: ahead(until) },
            Status::Active if record.refresh.is_none() => Condition::Fixed,
            Status::Active => Condition::Refreshable,
        };
        let not_before = record.not_before.filter(|&at| at > now).map(ahead);
        let noted = record.last_error.as_ref().filter(|_| not_before.is_some());
        Self {
            provider: record.provider,
            snapshot: Arc::new(Snapshot::of(token, standing)),
            health,
            lifetime,
            by_exchange: record.committed_attempt.is_some(),
            learned: boot,
            age_then: now.since(record.received),
            failures: record.failures,
            not_before,
            trouble: noted.map(|note| Box::new(outcome::noted(note))),
            last_read: record.last_read,
            abandoned: None,
        }
    }

    /// After an exchange of `before` installed `tokens`, committed at `now`.
    pub(crate) fn installed(
        before: &Self,
        committed: &Committed<'_>,
        boot: BootTime,
        policy: &RefreshPolicy,
    ) -> Self {
        let Committed { tokens, lifetime, installed, now } = *committed;
        let expires_in = tokens.spans.expires_in;
        let expires = expires_in.map_or(BootTime::NEVER, |span| after(boot, span));
        let margin = lifetime.map_or(Duration::ZERO, |lifetime| policy.margin_of(lifetime));
        let standing = Standing {
            generation: installed.generation,
            grant: before.snapshot.grant(),
            version: installed.version,
            serve_until: if lifetime.is_some() { expires - margin } else { BootTime::NEVER },
            expires,
            expires_at: expires_in.map(|span| now + span),
            ends_with_successor: before.snapshot.ends_with_successor(),
        };
        let refreshable = tokens.token.refresh_token.is_some();
        Self {
            provider: before.provider.clone(),
            snapshot: Arc::new(Snapshot::new(&tokens.token, standing)),
            health: if refreshable { Condition::Refreshable } else { Condition::Fixed },
            lifetime,
            by_exchange: true,
            learned: boot,
            age_then: Duration::ZERO,
            failures: 0,
            not_before: None,
            trouble: None,
            last_read: before.last_read,
            abandoned: None,
        }
    }

    /// Notes the exchange in flight, if a former run of this node left it open.
    pub(crate) fn with_abandoned(mut self, slot: Option<Slot>, node: &NodeId) -> Self {
        let is_former = |run: &NodeId| run.name == node.name && run.incarnation != node.incarnation;
        self.abandoned = slot.filter(|slot| is_former(&slot.node)).map(Box::new);
        self
    }

    /// False right after a refresh, when a late or repeated call of the scheduler has nothing to do.
    pub(crate) fn is_due(&self, now: BootTime, policy: &RefreshPolicy) -> bool {
        let waits = matches!(self.health, Condition::Suspect { .. });
        waits || self.lifetime.is_some_and(|life| self.remaining(now) <= policy.fresh_margin(life))
    }

    /// How long ago its tokens were received.
    pub(crate) fn age(&self, now: BootTime) -> Duration {
        self.age_then.saturating_add(now.since(self.learned))
    }

    /// How long the access token still lives.
    pub(crate) fn remaining(&self, now: BootTime) -> Duration {
        self.snapshot.expires().since(now)
    }
}

/// When a span from `boot` ends. One that is over ended long ago: a reader may have asked for the time a
/// moment before `boot` was, and must not find a token that is still to expire.
fn after(boot: BootTime, span: Duration) -> BootTime {
    if span.is_zero() { BootTime::default() } else { boot + span }
}

fn rejected(record: &Record) -> NeedsLogin {
    match &record.last_error {
        Some(note) => {
            NeedsLogin::Rejected { error: note.code.clone(), description: note.description.clone() }
        }
        None => NeedsLogin::Rejected { error: "invalid_grant".to_owned(), description: None },
    }
}
