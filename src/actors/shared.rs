//! What every session's actor and exchange needs: the store, the wire, the clock, the registry.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actors::gate::{Gate, GateOptions};
use crate::actors::in_flight::Remembered;
use crate::actors::keeper::{PutBack, Regressed};
use crate::actors::registry::Registry;
use crate::actors::scheduler::SchedulerHandle;
use crate::actors::session::Known;
use crate::actors::task_kind::TaskKind;
use crate::journal::Journal;
use crate::ledger::{AttemptId, NodeId};
use crate::model::{
    Clock, Misconfigured, ProviderId, ReuseClass, SessionKey, Timestamp, TokenError,
};
use crate::oauth::{HttpClient, Provider};
use crate::store::{SealedStore, Session};
use crate::timing::{Backoff, RefreshPolicy};

/// What is shared by all actors of a hive.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: SealedStore,
    pub(crate) http: HttpClient,
    pub(crate) providers: ArcSwap<HashMap<ProviderId, Arc<ProviderEntry>>>,
    pub(crate) registry: Registry,
    pub(crate) scheduler: SchedulerHandle,
    pub(crate) node: NodeId,
    pub(crate) options: SharedOptions,
    /// Requests to begin that the store never answered, with the generation they were for: it may have
    /// given leave. Almost always empty.
    pub(crate) unsettled: DashMap<SessionKey, (AttemptId, u64)>,
    /// Sessions that the store shows older than this node has seen them. Almost always empty.
    pub(crate) regressed: DashMap<SessionKey, Regressed>,
    /// Where answers are written down before the store has them; `None` where a crash may lose one.
    pub(crate) journal: Option<Journal>,
    /// This node's exchanges in flight.
    pub(crate) in_flight: DashMap<SessionKey, Remembered>,
    /// Asks for what the store has lost.
    pub(crate) put_back: PutBack,
    /// The host runtime: all I/O runs here.
    pub(crate) runtime: Handle,
    /// Tasks that shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when shutdown begins.
    pub(crate) closing: CancellationToken,
}

/// How sessions behave.
#[derive(Debug, Clone)]
pub(crate) struct SharedOptions {
    pub(crate) policy: RefreshPolicy,
    pub(crate) backoff: Backoff,
    /// A request is not written later than this after its exchange was granted.
    pub(crate) send_within: Duration,
    /// A request not answered within this time is never processed any more.
    pub(crate) dead_after: Duration,
    /// Callers that may wait for one session at the same time.
    pub(crate) max_waiters: usize,
    /// An actor idle for this long is passivated.
    pub(crate) idle: Duration,
    /// How long the store may show a session older than it was before that is believed.
    pub(crate) recall_within: Duration,
}

/// A provider and the gate in front of it.
pub(crate) struct ProviderEntry {
    pub(crate) provider: Provider,
    pub(crate) gate: Gate,
}

impl ProviderEntry {
    pub(crate) fn new(provider: Provider, options: GateOptions) -> Self {
        Self { provider, gate: Gate::new(options) }
    }
}

impl Shared {
    /// The provider of that id.
    pub(crate) fn provider(&self, id: &ProviderId) -> Result<Arc<ProviderEntry>, TokenError> {
        self.providers
            .load()
            .get(id)
            .cloned()
            .ok_or_else(|| TokenError::misconfigured(Misconfigured::UnknownProvider(id.clone())))
    }

    /// A session's record in this process's own time.
    pub(crate) fn known(&self, session: Session) -> Known {
        let provider = self.provider(&session.record.provider);
        // Of a provider that is not configured nobody knows better.
        let kills_old = provider.map_or(true, |entry| entry.provider.kills_old_access_token());
        Known::of(session, self.clock.boot(), &self.options.policy, kills_old)
    }

    /// Runs a task on the host runtime; shutdown waits for it if its kind says so.
    pub(crate) fn spawn<F>(&self, kind: TaskKind, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tracing::trace!(task = kind.name(), "starting {}", kind.name());
        if kind.is_drained() {
            self.runtime.spawn(self.tasks.track_future(task));
        } else {
            self.runtime.spawn(task);
        }
    }

    /// The store knows what became of an exchange: the journal need not keep it open.
    pub(crate) fn note_done(&self, attempt: AttemptId) {
        if let Some(journal) = &self.journal {
            journal.done(attempt);
        }
    }

    /// The reuse class of a provider; the strictest for one that is not configured.
    pub(crate) fn class_of(&self, provider: &ProviderId) -> ReuseClass {
        let entry = self.provider(provider);
        entry.map_or_else(|_| ReuseClass::default(), |entry| entry.provider.reuse_class())
    }

    /// When a caller of this process last read the session, on the wall clock.
    pub(crate) fn last_read(&self, key: &SessionKey) -> Option<Timestamp> {
        let read = self.registry.last_read(key)?;
        Some(self.clock.now() - self.clock.boot().since(read))
    }
}
