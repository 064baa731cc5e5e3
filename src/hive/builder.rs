//! Configures and starts a hive.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actors::{
    self, GateOptions, Host, ProviderEntry, PutBack, Registry, SchedulerHandle, SchedulerOptions,
    Shared, SharedOptions, Supervisor, TrustOptions,
};
use crate::hive::TokenHive;
use crate::journal::{Journal, JournalError, JournalOptions, Recovered};
use crate::ledger::NodeId;
use crate::model::{Clock, ProviderId, SystemClock};
use crate::oauth::{HttpClient, HttpOptions, HttpSetupError, ProviderBuilder, ProviderError};
use crate::sealing::Keyring;
use crate::store::{MemoryStore, SealedStore, SessionStore};
use crate::timing::{Backoff, DEAD_AFTER, RefreshPolicy};

/// Waits shorter than this are remembered in memory whatever the polling interval: callers wait for
/// their end (15 s unless told otherwise), and a claimed session is hidden from the due index meanwhile.
const LEAST_HORIZON: Duration = Duration::from_secs(20);

/// A token of a shared store that was read is looked up again this long after it was verified, should a
/// message have been lost.
const RECHECK_AFTER: Duration = Duration::from_secs(60);

/// Where the journal is unless told otherwise.
const DEFAULT_JOURNAL: &str = "tokenhive.journal";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The longest time a provider may take to answer. An exchange that is silent for a minute counts as over
/// ([`DEAD_AFTER`](crate::timing::DEAD_AFTER)), and somebody else may present its refresh token then.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(50);

/// Configures a [`TokenHive`]. Every option has a default that suits a server of ordinary size.
#[must_use]
pub struct HiveBuilder {
    providers: Vec<ProviderBuilder>,
    store: Option<Arc<dyn SessionStore>>,
    keyring: Option<Keyring>,
    clock: Arc<dyn Clock>,
    http: HttpOptions,
    policy: RefreshPolicy,
    backoff: Backoff,
    concurrency: usize,
    idle: Duration,
    recall_within: Duration,
    login_ttl: Duration,
    store_deadline: Duration,
    poll_every: Duration,
    max_waiters: usize,
    actor_threads: usize,
    max_unverified: Duration,
    dead_after: Duration,
    journal: JournalChoice,
}

/// Whether answers are written down on this machine before the store has them.
enum JournalChoice {
    /// Where the store is shared, in [`DEFAULT_JOURNAL`].
    Default,
    In(JournalOptions),
    Off,
}

impl HiveBuilder {
    pub(crate) fn new() -> Self {
        Self {
            providers: Vec::new(),
            store: None,
            keyring: None,
            clock: Arc::new(SystemClock),
            http: HttpOptions::default(),
            policy: RefreshPolicy::default(),
            backoff: Backoff::default(),
            concurrency: 32,
            idle: Duration::from_secs(600),
            recall_within: Duration::from_secs(600),
            login_ttl: Duration::from_secs(600),
            store_deadline: Duration::from_millis(500),
            poll_every: Duration::from_secs(10),
            max_waiters: 10_000,
            actor_threads: 2,
            max_unverified: Duration::from_secs(15 * 60),
            dead_after: DEAD_AFTER,
            journal: JournalChoice::Default,
        }
    }

    /// Adds a provider, usually from [`catalogue`](crate::oauth::catalogue).
    pub fn provider(mut self, provider: ProviderBuilder) -> Self {
        self.providers.push(provider);
        self
    }

    /// Where sessions are kept. Default: a [`MemoryStore`], which forgets them with the process.
    pub fn store(mut self, store: impl SessionStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// The keys that seal what leaves the process. Needed with any store that outlives the process.
    pub fn keyring(mut self, keyring: Keyring) -> Self {
        self.keyring = Some(keyring);
        self
    }

    /// Where time comes from. Default: the machine's clocks.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How providers are reached: connect timeout and proxy.
    pub fn http(mut self, options: HttpOptions) -> Self {
        self.http = options;
        self
    }

    /// How early tokens are refreshed. Default: at 60 to 75 % of their lifetime.
    pub fn refresh_policy(mut self, policy: RefreshPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// How long to wait after failures. Default: 1 s to 5 min, doubling, with full jitter.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Requests in flight at each provider at the same time. Default 32.
    pub fn concurrent_exchanges(mut self, limit: usize) -> Self {
        self.concurrency = limit;
        self
    }

    /// A session's actor without work for this long is passivated. Default 10 min.
    pub fn passivate_after(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// How long a session that a shared store shows older than this node has seen it waits for the node that
    /// remembers more, after its access token is over; then the store is believed, and the provider asked.
    /// Default 10 min, as long as journals remember.
    pub fn recall_within(mut self, span: Duration) -> Self {
        self.recall_within = span;
        self
    }

    /// How long a login may take. Default 10 min.
    pub fn login_ttl(mut self, ttl: Duration) -> Self {
        self.login_ttl = ttl;
        self
    }

    /// How long one call to the store may take. Default 500 ms.
    pub fn store_deadline(mut self, deadline: Duration) -> Self {
        self.store_deadline = deadline;
        self
    }

    /// How often the store is asked which sessions are due. Default 10 s.
    pub fn poll_every(mut self, span: Duration) -> Self {
        self.poll_every = span;
        self
    }

    /// Callers that may wait for one session at the same time. Default 10,000.
    pub fn max_waiters(mut self, limit: usize) -> Self {
        self.max_waiters = limit;
        self
    }

    /// Where answers of providers are written down before the store has them, so that neither a crash nor a
    /// store that cannot be reached loses one. On by default with a shared store, in the folder
    /// `tokenhive.journal` of the current directory. Each node needs one of its own, which it keeps over
    /// restarts.
    pub fn journal(mut self, options: JournalOptions) -> Self {
        self.journal = JournalChoice::In(options);
        self
    }

    /// Goes without a journal. Given up by it: the answers to exchanges in flight when this process dies, or
    /// when the store cannot be reached and the process ends before it can; and whatever the store loses in
    /// a failover. With a provider that never gives a refresh token twice, those users log in again.
    pub fn without_journal(mut self) -> Self {
        self.journal = JournalChoice::Off;
        self
    }

    /// How long after it was sent a request may still be worked on by a provider. Until then a refresh token
    /// that it may have spent is not presented again where that could end the session. Longer than any
    /// provider's timeout. Default 60 s.
    pub fn dead_after(mut self, span: Duration) -> Self {
        self.dead_after = span;
        self
    }

    /// With a store that other nodes write to as well: how long a token is handed out although the store
    /// cannot say that its session still stands. With 0 it is refused at once. Default 15 min.
    pub fn max_unverified(mut self, span: Duration) -> Self {
        self.max_unverified = span;
        self
    }

    /// Threads that sessions' actors live on. Default 2.
    pub fn actor_threads(mut self, threads: usize) -> Self {
        self.actor_threads = threads;
        self
    }

    /// Starts the hive on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BuildError`] names what is missing or wrong.
    pub async fn start(self) -> Result<TokenHive, BuildError> {
        self.check()?;
        let runtime = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let store: Arc<dyn SessionStore> = match &self.store {
            Some(store) => Arc::clone(store),
            None => Arc::new(MemoryStore::with_clock(Arc::clone(&self.clock))),
        };
        let keyring = match &self.keyring {
            Some(keyring) => keyring.clone(),
            None if store.outlives_process() => return Err(BuildError::MissingKeyring),
            None => Keyring::generate(),
        };
        let shared_store = store.news().is_some();
        let opened = self.open_journal(shared_store, &keyring).await?;
        let (journal, recovered) = opened.unzip();
        let read_at = self.clock.boot();
        let lasting = match &journal {
            Some(journal) => Some(journal.node_name()),
            None => store.is_exclusive().then_some("local"),
        };
        let node = node_id(lasting);
        let scheduling = self.scheduling();
        let (scheduler, commands) = SchedulerHandle::new(scheduling.horizon);
        let shared = Arc::new(Shared {
            providers: ArcSwap::from_pointee(self.build_providers()?),
            http: HttpClient::new(&self.http, Arc::clone(&self.clock))?,
            store: SealedStore::new(store, keyring, self.store_deadline),
            registry: Registry::new(shared_store.then_some(TrustOptions {
                recheck_after: RECHECK_AFTER,
                max_unverified: self.max_unverified,
            })),
            scheduler,
            node,
            options: self.shared_options(),
            clock: self.clock,
            unsettled: DashMap::new(),
            regressed: DashMap::new(),
            journal,
            in_flight: DashMap::new(),
            put_back: PutBack::default(),
            runtime,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        });
        let host = Host::start(self.actor_threads)
            .map_err(|error| BuildError::Threads(error.to_string()))?;
        let supervisor = Supervisor::new(shared, host.arbiters());
        if let Some(recovered) = recovered {
            actors::replay(&supervisor, recovered, read_at).await;
        }
        actors::start_background(&supervisor, scheduling, commands);
        Ok(TokenHive::assemble(supervisor, host, self.login_ttl))
    }

    async fn open_journal(
        &self,
        shared_store: bool,
        keyring: &Keyring,
    ) -> Result<Option<(Journal, Recovered)>, BuildError> {
        let options = match &self.journal {
            JournalChoice::In(options) => options.clone(),
            JournalChoice::Default if shared_store => JournalOptions::in_directory(DEFAULT_JOURNAL),
            JournalChoice::Off if shared_store => {
                tracing::warn!(
                    "no journal: a crash, or an end of this process while the store cannot be reached, \
                     loses the answers it was waiting for"
                );
                return Ok(None);
            }
            JournalChoice::Default | JournalChoice::Off => return Ok(None),
        };
        let (keyring, clock) = (keyring.clone(), Arc::clone(&self.clock));
        // Reading a journal back takes as long as the disk does.
        let opened = tokio::task::spawn_blocking(move || Journal::open(options, keyring, clock));
        let opened = opened.await.map_err(|error| BuildError::Threads(error.to_string()))?;
        Ok(Some(opened?))
    }

    /// What would otherwise show much later, as sessions that nobody refreshes.
    fn check(&self) -> Result<(), BuildError> {
        let RefreshPolicy { earliest, latest, .. } = self.policy;
        let Backoff { floor, ceiling } = self.backoff;
        // Not a number compares as false.
        let is_fraction = 0.0 < earliest && earliest <= latest && latest < 1.0;
        let wrong = [
            (!is_fraction, "refresh_policy", "write 0 < earliest <= latest < 1"),
            (floor.is_zero(), "backoff", "its floor is zero; give it a second or so"),
            (floor > ceiling, "backoff", "its floor is above its ceiling; exchange the two"),
            (self.poll_every.is_zero(), "poll_every", "it is zero; give it a second or more"),
            (self.poll_every > DAY, "poll_every", "it is above a day; give it a minute or less"),
            (self.store_deadline.is_zero(), "store_deadline", "it is zero; give it 100 ms or more"),
            (self.login_ttl.is_zero(), "login_ttl", "it is zero; give it a minute or more"),
            (self.max_waiters == 0, "max_waiters", "it is zero, and nobody could ever wait"),
        ];
        let first = wrong.into_iter().find(|(is_wrong, ..)| *is_wrong);
        first.map_or(Ok(()), |(_, name, problem)| Err(setting(name, problem)))
    }

    fn build_providers(&self) -> Result<HashMap<ProviderId, Arc<ProviderEntry>>, BuildError> {
        let options = GateOptions { concurrency: self.concurrency };
        let mut providers = HashMap::new();
        for builder in &self.providers {
            let provider = builder.clone().build()?;
            if provider.timeout() > LONGEST_TIMEOUT {
                return Err(setting("timeout", "a provider's is above 50 s; give it less"));
            }
            if provider.timeout() >= self.dead_after {
                let problem =
                    "it is no longer than a provider's timeout; give it a multiple of that";
                return Err(setting("dead_after", problem));
            }
            let id = provider.id().clone();
            let entry = Arc::new(ProviderEntry::new(provider, options));
            if providers.insert(id.clone(), entry).is_some() {
                return Err(BuildError::ProviderTwice(id));
            }
        }
        Ok(providers)
    }

    fn scheduling(&self) -> SchedulerOptions {
        SchedulerOptions {
            poll_every: self.poll_every,
            horizon: self.poll_every.saturating_mul(2).max(LEAST_HORIZON),
            visibility: Duration::from_secs(30).max(self.poll_every.saturating_mul(3)),
            // More than the gates admit, so that they are never idle while sessions are due.
            concurrency: self
                .concurrency
                .saturating_mul(self.providers.len().max(1))
                .max(32)
                .saturating_mul(2),
        }
    }

    fn shared_options(&self) -> SharedOptions {
        SharedOptions {
            policy: self.policy,
            backoff: self.backoff,
            send_within: Duration::from_secs(2),
            dead_after: self.dead_after,
            max_waiters: self.max_waiters,
            idle: self.idle,
            recall_within: self.recall_within,
        }
    }
}

fn setting(name: &'static str, problem: &'static str) -> BuildError {
    BuildError::Setting { name, problem }
}

/// On a store that only one can hold, all runs are one node's, as are those that keep one journal. Else
/// another hive may be at work under whatever name is not ours alone.
fn node_id(lasting: Option<&str>) -> NodeId {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).expect("the operating system gives random bytes");
    let random = u128::from_ne_bytes(random);
    let name = lasting.map_or_else(|| format!("{random:032x}"), str::to_owned);
    NodeId { name, incarnation: u64::try_from(random >> 64).expect("64 bits are left") }
}

/// Why a hive could not be started.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A provider's settings are not usable.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Two providers have the same id.
    #[error("provider {0} was given twice; set another id on one of them")]
    ProviderTwice(ProviderId),
    /// A setting of the builder or of a provider makes no sense.
    #[error("the setting {name} is not usable: {problem}")]
    Setting {
        /// Which one.
        name: &'static str,
        /// What is wrong with it, and what to write instead.
        problem: &'static str,
    },
    /// The store outlives the process, so its keys must too.
    #[error(
        "the store outlives the process and needs a keyring; pass one, for example Keyring::from_env"
    )]
    MissingKeyring,
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The HTTP client could not be made.
    #[error(transparent)]
    Http(#[from] HttpSetupError),
    /// Not called from within a tokio runtime.
    #[error("start must be called on a tokio runtime")]
    NoRuntime,
    /// The actor threads could not be started.
    #[error("{0}")]
    Threads(String),
}
