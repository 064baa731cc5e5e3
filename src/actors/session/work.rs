//! What an actor has done for it, on the host runtime: reads, and everything around an exchange.

use std::time::Duration;

use crate::actors::registry::Load;
use crate::actors::session::Known;
use crate::actors::session::exchange::{Exchange, TIMER_SLACK, later};
use crate::actors::session::known::Condition;
use crate::actors::session::outcome::{self, ExchangeOutcome, LoadOutcome, store_failure};
use crate::actors::session::state::Reason;
use crate::actors::shared::{ProviderEntry, Shared};
use crate::actors::supervisor::Supervisor;
use crate::ledger::{ErrorNote, Fail, FailKind, FailReply, Settled};
use crate::model::{BootTime, SessionKey, TokenError, Unavailable};
use crate::store::{At, Opened, Session};
use crate::timing::{self, Activity, Chance};

/// How often a record is read again because it changed while it was being read.
const RELOADS: usize = 3;

/// Reads the record and publishes what it says.
pub(crate) async fn load(shared: &Shared, key: &SessionKey) -> LoadOutcome {
    load_during(shared, key, &shared.registry.begin_load(key)).await
}

/// The same within a read that the registry knows of.
pub(crate) async fn load_during(shared: &Shared, key: &SessionKey, load: &Load<'_>) -> LoadOutcome {
    let mut outcome = load_once(shared, key).await;
    for _ in 0..RELOADS {
        let outdated = matches!(&outcome, LoadOutcome::Known(known) if load.is_outdated(known.snapshot.version()));
        if !outdated {
            break;
        }
        outcome = load_once(shared, key).await;
    }
    outcome
}

async fn load_once(shared: &Shared, key: &SessionKey) -> LoadOutcome {
    let asked = shared.clock.boot();
    match shared.store.load(key).await {
        Ok(At { reply: Opened::Live(session), .. }) => {
            LoadOutcome::Known(Box::new(publish(shared, key, *session, asked)))
        }
        Ok(At { reply: Opened::Gone, .. }) => {
            shared.registry.retract(key, 0);
            LoadOutcome::Absent
        }
        Ok(At { reply: Opened::Absent, .. }) => absent(shared, key),
        Err(error) => LoadOutcome::Failed(store_failure(&error)),
    }
}

/// Nothing is there, and nothing says that it was deleted. A session that this node has a valid token of
/// was lost by the store: that ends it for nobody while the token lives.
fn absent(shared: &Shared, key: &SessionKey) -> LoadOutcome {
    let now = shared.clock.boot();
    let held = shared.registry.snapshot(key).filter(|snapshot| snapshot.is_valid(now));
    if held.is_none() {
        shared.registry.retract(key, 0);
        return LoadOutcome::Absent;
    }
    let detail = "it has lost the record of this session".to_owned();
    let wait = Some(Duration::from_secs(5));
    LoadOutcome::Failed(TokenError::unavailable(Unavailable::Store { detail }, wait))
}

/// Shows readers what the store said when it was asked at `asked`.
pub(crate) fn publish(
    shared: &Shared,
    key: &SessionKey,
    mut session: Session,
    asked: BootTime,
) -> Known {
    let slot = session.record.slot.take();
    let known = shared.known(session).with_abandoned(slot, &shared.node);
    shared.registry.publish(key, &known.snapshot, asked);
    known
}

/// Looks behind a reader's back whether what it was handed still stands.
pub(crate) async fn recheck(supervisor: &Supervisor, key: &SessionKey) {
    match load(supervisor.shared(), key).await {
        LoadOutcome::Known(known) => supervisor.learned(key, known),
        LoadOutcome::Absent => supervisor.replaced(key, None),
        LoadOutcome::Failed(error) => {
            tracing::debug!(session = %key, %error, "cannot verify {key}: {error}");
        }
    }
}

/// Reports an exchange that a former run of this node left open, then reads again. That run is over,
/// so no answer to it can come any more; whether the provider acted on it nobody knows.
pub(crate) async fn resolve(
    shared: &Shared,
    key: &SessionKey,
    known: Option<Known>,
) -> LoadOutcome {
    if let Some(known) = known
        && let Some(abandoned) = &known.abandoned
    {
        let class = shared.class_of(&known.provider);
        let dead_after = shared.options.dead_after;
        let now = shared.clock.boot();
        let chance = Chance::of(key, abandoned.base);
        let request = Fail {
            attempt: abandoned.attempt,
            base: abandoned.base,
            kind: FailKind::InDoubt,
            delay: timing::in_doubt_delay(class, known.remaining(now), dead_after, chance),
            suspect_for: timing::suspect_for(known.remaining(now), dead_after),
            error: ErrorNote {
                code: outcome::INTERRUPTED.to_owned(),
                description: Some("this node stopped during a refresh".to_owned()),
                at: shared.clock.now(),
            },
        };
        match shared.store.fail(key, request).await {
            Ok(At { reply: FailReply::Retry { at }, now }) => {
                shared.scheduler.schedule(key, at.since(now) + TIMER_SLACK);
            }
            Ok(_) => {}
            Err(error) => return LoadOutcome::Failed(store_failure(&error)),
        }
    }
    load(shared, key).await
}

/// Redeems the session's refresh token, if it is still wanted and the provider is up.
pub(crate) async fn run(
    supervisor: &Supervisor,
    key: &SessionKey,
    known: Option<Known>,
    reason: Reason,
) -> ExchangeOutcome {
    let shared = supervisor.shared();
    let Some(known) = known else {
        return ExchangeOutcome::Reread;
    };
    let entry = match shared.provider(&known.provider) {
        Ok(entry) => entry,
        Err(why) => return later(shared, key, shared.options.backoff.ceiling, why),
    };
    if matches!(known.health, Condition::Suspect { .. }) {
        return settle(shared, key, &entry).await;
    }
    if reason == Reason::Due && is_cold(shared, key, &known) {
        return let_rest(supervisor, key, &entry, known).await;
    }
    let permit = match entry.gate.admit(&*shared.clock).await {
        Ok(permit) => permit,
        Err(wait) => {
            let detail = "it is failing or asked for patience, and is left alone for now";
            let reason = Unavailable::Provider { detail: detail.to_owned() };
            let wait = wait
                + Chance::of(key, shared.clock.boot().as_nanos()).span(Duration::ZERO, wait / 4);
            return later(shared, key, wait, TokenError::unavailable(reason, Some(wait)));
        }
    };
    Exchange::new(supervisor, key, &entry, &known).run(reason, permit).await
}

fn is_cold(shared: &Shared, key: &SessionKey, known: &Known) -> bool {
    let last_read = known.last_read.max(shared.last_read(key));
    let lifetime = known.lifetime.unwrap_or(Duration::MAX);
    timing::activity(last_read, shared.clock.now(), lifetime) == Activity::Cold
}

/// Nobody reads the session: it is refreshed on the next read, or when its refresh token would go
/// stale unused.
async fn let_rest(
    supervisor: &Supervisor,
    key: &SessionKey,
    entry: &ProviderEntry,
    known: Known,
) -> ExchangeOutcome {
    let shared = supervisor.shared();
    let age = known.age(shared.clock.boot());
    let keep_alive = entry.provider.refresh_token_idle().map(timing::keep_alive_in);
    let due_in = keep_alive.map(|span| span.saturating_sub(age));
    if due_in == Some(Duration::ZERO) {
        let permit = entry.gate.admit(&*shared.clock).await;
        return match permit {
            Ok(permit) => {
                Exchange::new(supervisor, key, entry, &known).run(Reason::Due, permit).await
            }
            Err(_) => ExchangeOutcome::Known(Box::new(known)),
        };
    }
    if let Err(error) = shared.store.postpone(key, due_in, shared.last_read(key)).await {
        tracing::warn!(%error, "cannot put off the refresh of a session nobody reads: {error}");
    }
    ExchangeOutcome::Known(Box::new(known))
}

async fn settle(shared: &Shared, key: &SessionKey, entry: &ProviderEntry) -> ExchangeOutcome {
    match shared.store.settle(key, entry.provider.reuse_class().max_tries()).await {
        Ok(settled) => {
            if settled == Settled::LastTry {
                shared.scheduler.schedule(key, Duration::ZERO);
            }
            ExchangeOutcome::Reread
        }
        Err(error) => later(shared, key, Duration::from_secs(1), store_failure(&error)),
    }
}
