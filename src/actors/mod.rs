//! One actor per session, and those who look after them.
//!
//! This is the only module that names `actix`. Its actors live on threads this crate owns
//! ([`Host`]); they decide and remember, and every piece of I/O runs on the host tokio runtime.
//! Nothing here is public: callers hold a [`TokenHive`](crate::hive::TokenHive).

mod gate;
mod host;
mod in_flight;
mod keeper;
mod lifetimes;
mod listener;
mod registry;
mod replay;
mod revocation;
mod scheduler;
mod session;
mod shared;
mod supervisor;
mod sweeper;
mod task_kind;

pub(crate) use self::gate::GateOptions;
pub(crate) use self::host::Host;
pub(crate) use self::keeper::PutBack;
pub(crate) use self::lifetimes::{Lifetimes, spans};
pub(crate) use self::registry::{Cached, Registry, TrustOptions};
pub(crate) use self::replay::replay;
pub(crate) use self::revocation::of_deleted as revoke_deleted;
pub(crate) use self::scheduler::{SchedulerHandle, SchedulerOptions};
#[cfg(test)]
pub(crate) use self::session::Panic;
pub(crate) use self::session::{
    Freshness, Known, LoadOutcome, Want, fresh_attempt, load as load_session, load_during, recheck,
    store_failure,
};
pub(crate) use self::shared::{ProviderEntry, Shared, SharedOptions};
pub(crate) use self::supervisor::Supervisor;
pub(crate) use self::task_kind::TaskKind;

use std::sync::Arc;

use tokio::sync::mpsc;

use self::scheduler::Command;

/// Starts what runs beside the actors: scheduler and sweeper.
pub(crate) fn start_background(
    supervisor: &Supervisor,
    scheduling: SchedulerOptions,
    commands: mpsc::Receiver<Command>,
) {
    let shared = supervisor.shared();
    shared.spawn(TaskKind::Scheduler, scheduler::run(supervisor.clone(), scheduling, commands));
    if let Some(news) = shared.store.news() {
        shared.spawn(TaskKind::Listener, listener::run(supervisor.clone(), news));
        shared.spawn(TaskKind::Keeper, keeper::run(supervisor.clone()));
    }
    shared.spawn(TaskKind::Sweeper, sweeper::run(Arc::clone(shared)));
}
