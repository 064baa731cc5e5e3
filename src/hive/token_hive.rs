//! The handle: hot reads first, everything else through the session's actor.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::actors::{
    Cached, Freshness, Host, LoadOutcome, Shared, Supervisor, TaskKind, Want, load_during,
    load_session, recheck, store_failure,
};
use crate::hive::{AuthorizationService, HiveBuilder, ServiceOptions, TokenRequest};
use crate::model::{
    NeedsLogin, OAuthToken, ProviderId, SessionKey, Snapshot, TokenError, Unavailable,
};
use crate::oauth::Provider;
use crate::store::{At, Opened, Session};

/// How long [`TokenHive::shutdown`] waits for exchanges in flight: longer than any provider may take.
const DRAIN: Duration = Duration::from_secs(60);

/// Keeps sessions alive and hands out their tokens. Cheap to clone; all clones are one hive.
///
/// Call [`TokenHive::shutdown`] before the runtime ends: it waits for exchanges in flight. A hive that
/// is merely dropped stops at once, and an exchange in flight is then resolved at the next start.
#[derive(Clone)]
pub struct TokenHive {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) supervisor: Supervisor,
    pub(crate) login_ttl: Duration,
    host: Mutex<Option<Host>>,
}

impl TokenHive {
    /// Starts configuring a hive.
    pub fn builder() -> HiveBuilder {
        HiveBuilder::new()
    }

    pub(crate) fn assemble(supervisor: Supervisor, host: Host, login_ttl: Duration) -> Self {
        let host = Mutex::new(Some(host));
        Self { inner: Arc::new(Inner { supervisor, login_ttl, host }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.inner.supervisor.shared()
    }

    /// A valid access token of the session.
    ///
    /// While one is cached beyond its margin this is a look-up in a map: no message, no network, no
    /// allocation. Otherwise the session's actor is asked; any number of waiting callers share one
    /// refresh, and a valid token is handed out even if the provider or the store is down.
    ///
    /// # Errors
    ///
    /// [`TokenError`]: wait (with a hint), log in again, or fix the configuration.
    pub async fn token(&self, key: &SessionKey) -> Result<Arc<Snapshot>, TokenError> {
        let shared = self.shared();
        // The margin before expiry is far longer than this clock is late.
        match shared.registry.cached(key, shared.clock.boot_coarse()) {
            Cached::Fresh(snapshot) => Ok(snapshot),
            Cached::Doubtful(snapshot) => {
                self.recheck(key);
                Ok(snapshot)
            }
            Cached::Miss => Box::pin(self.ask(key, TokenRequest::new())).await,
            Cached::Unknown => Box::pin(self.look_up(key)).await,
        }
    }

    /// A session this process knows nothing of needs no actor while its stored token is fresh.
    async fn look_up(&self, key: &SessionKey) -> Result<Arc<Snapshot>, TokenError> {
        let shared = self.shared();
        let load = shared.registry.begin_load(key);
        // Whoever comes second waits in the actor, so that a rush on one session reads it twice at most.
        if load.is_alone {
            // A store that panics must not take its caller along: the actor deals with it.
            match AssertUnwindSafe(load_during(shared, key, &load)).catch_unwind().await {
                Ok(LoadOutcome::Known(known))
                    if known.abandoned.is_none()
                        && known.snapshot.is_fresh(shared.clock.boot()) =>
                {
                    shared.registry.note_read(key, shared.clock.boot());
                    return Ok(known.snapshot);
                }
                Ok(LoadOutcome::Failed(error)) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        // Rarely needed: what it takes is not made room for in every look-up.
        Box::pin(self.ask(key, TokenRequest::new())).await
    }

    /// Has the record looked at, after a reader was handed what it said a while ago.
    fn recheck(&self, key: &SessionKey) {
        let (supervisor, key) = (self.inner.supervisor.clone(), key.clone());
        self.shared().spawn(TaskKind::Recheck, async move { recheck(&supervisor, &key).await });
    }

    /// A token that meets `request`.
    ///
    /// # Errors
    ///
    /// As [`TokenHive::token`]; [`Unavailable::Deadline`] when the request's deadline passes first.
    pub async fn token_with(
        &self,
        key: &SessionKey,
        request: TokenRequest,
    ) -> Result<Arc<Snapshot>, TokenError> {
        let shared = self.shared();
        let now = shared.clock.boot();
        let cached = match shared.registry.cached(key, now) {
            Cached::Fresh(snapshot) => Some(snapshot),
            Cached::Doubtful(snapshot) => {
                self.recheck(key);
                Some(snapshot)
            }
            Cached::Miss | Cached::Unknown => None,
        };
        let suits = cached.filter(|snapshot| {
            !request.newest && snapshot.expires().since(now) >= request.min_validity
        });
        match suits {
            Some(snapshot) => Ok(snapshot),
            None => self.ask(key, request).await,
        }
    }

    /// Refreshes the session now, whatever its token's age.
    ///
    /// # Errors
    ///
    /// As [`TokenHive::token`].
    pub async fn refresh(&self, key: &SessionKey) -> Result<Arc<Snapshot>, TokenError> {
        self.ask(key, TokenRequest::new().force()).await
    }

    /// A caller met a 401 with the token of that version (`Snapshot::version`): returns a newer one, which
    /// another node may have fetched already, or refreshes the session. A token that was refreshed within
    /// the last 30 s is not refreshed again for it.
    ///
    /// # Errors
    ///
    /// As [`TokenHive::token`].
    pub async fn report_unauthorized(
        &self,
        key: &SessionKey,
        version: u64,
    ) -> Result<Arc<Snapshot>, TokenError> {
        let shared = self.shared();
        let newer = |snapshot: &Arc<Snapshot>| {
            snapshot.version() > version && snapshot.is_valid(shared.clock.boot())
        };
        if let Some(snapshot) = shared.registry.snapshot(key).filter(newer) {
            return Ok(snapshot);
        }
        if let LoadOutcome::Known(known) = load_session(shared, key).await {
            let snapshot = Arc::clone(&known.snapshot);
            self.inner.supervisor.learned(key, known);
            if newer(&snapshot) {
                return Ok(snapshot);
            }
        }
        self.ask(key, TokenRequest::new().instead_of(version)).await
    }

    async fn ask(
        &self,
        key: &SessionKey,
        request: TokenRequest,
    ) -> Result<Arc<Snapshot>, TokenError> {
        let freshness = match (request.instead_of, request.newest) {
            (Some(version), _) => Freshness::InsteadOf(version),
            (None, true) => Freshness::Newest,
            (None, false) => Freshness::Any,
        };
        let want = Want {
            min_validity: request.min_validity,
            freshness,
            deadline: self.shared().clock.boot() + request.deadline,
        };
        let answer = tokio::time::timeout(request.deadline, self.inner.supervisor.ask(key, want))
            .await
            .unwrap_or_else(|_| {
                let soon = Some(Duration::from_secs(1));
                Err(TokenError::unavailable(Unavailable::Deadline, soon))
            });
        match answer {
            Err(_) if request.instead_of.is_some() => answer,
            Err(TokenError::Unavailable { .. } | TokenError::Misconfigured { .. }) => {
                self.published(key, request).map_or(answer, Ok)
            }
            answer => answer,
        }
    }

    /// A valid token goes to its callers whatever else is broken: the actor may be unable to read the
    /// record, overloaded, or stopped, and the published token is as good as before.
    fn published(&self, key: &SessionKey, request: TokenRequest) -> Option<Arc<Snapshot>> {
        let now = self.shared().clock.boot();
        let snapshot = self.shared().registry.tolerable(key, now).filter(|_| !request.newest)?;
        let suits = snapshot.is_valid(now) && snapshot.expires().since(now) >= request.min_validity;
        suits.then_some(snapshot)
    }

    /// The session's whole token in Flet's form, refresh token included: fresh, and fit for saving.
    ///
    /// # Errors
    ///
    /// As [`TokenHive::token`].
    pub async fn saved_token(&self, key: &SessionKey) -> Result<OAuthToken, TokenError> {
        self.token(key).await?;
        let Some(session) = self.load(key).await? else {
            return Err(TokenError::needs_login(NeedsLogin::NoSession));
        };
        let store = &self.shared().store;
        let mut token = session.token;
        token.refresh_token =
            store.open_refresh(key, &session.record).map_err(|error| store_failure(&error))?;
        Ok(token)
    }

    /// A handle for one session with the names and the meaning of Flet's `AuthorizationService`.
    ///
    /// # Errors
    ///
    /// [`TokenError::Misconfigured`] if no provider of that id was given to the builder.
    pub fn authorization_service(
        &self,
        key: &SessionKey,
        provider: &str,
        options: ServiceOptions,
    ) -> Result<AuthorizationService, TokenError> {
        AuthorizationService::new(self.clone(), key.clone(), provider, options)
    }

    /// The configured provider of that id.
    pub fn provider(&self, id: &ProviderId) -> Option<Provider> {
        self.shared().providers.load().get(id).map(|entry| entry.provider.clone())
    }

    /// Sessions this process knows, and how many of them have a running actor.
    pub fn resident(&self) -> (usize, usize) {
        self.shared().registry.counts()
    }

    /// Stops: no new work, exchanges in flight finish (at most 60 s), the store is closed, the actor
    /// threads end. Tokens that are cached can still be read. Calling it again does nothing.
    pub async fn shutdown(&self) {
        let shared = self.shared();
        shared.closing.cancel();
        shared.tasks.close();
        if tokio::time::timeout(DRAIN, shared.tasks.wait()).await.is_err() {
            let left = shared.tasks.len();
            tracing::error!(left, "{left} exchanges did not finish before shutdown");
        }
        if let Some(journal) = &shared.journal {
            journal.close().await;
        }
        if let Err(error) = shared.store.close().await {
            tracing::error!(%error, "the store did not close cleanly: {error}");
        }
        let host = self.inner.host.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(host) = host {
            // Joining threads blocks; this task may be one the actors' last words wait for.
            let _ = tokio::task::spawn_blocking(move || host.stop()).await;
        }
    }

    pub(crate) async fn load(&self, key: &SessionKey) -> Result<Option<Session>, TokenError> {
        match self.shared().store.load(key).await {
            Ok(At { reply: Opened::Live(session), .. }) => Ok(Some(*session)),
            Ok(At { reply: Opened::Gone | Opened::Absent, .. }) => Ok(None),
            Err(error) => Err(store_failure(&error)),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.supervisor.shared().closing.cancel();
    }
}

impl fmt::Debug for TokenHive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sessions, actors) = self.resident();
        f.debug_struct("TokenHive")
            .field("sessions", &sessions)
            .field("actors", &actors)
            .finish_non_exhaustive()
    }
}
