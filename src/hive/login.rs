//! Logins: from authorization URL to stored tokens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::actors::{
    Known, Lifetimes, ProviderEntry, Shared, Supervisor, TaskKind, fresh_attempt, spans,
    store_failure,
};
use crate::hive::profile::Fetch;
use crate::hive::{LoginError, LoginFault, TokenHive};
use crate::model::{
    Misconfigured, ProviderId, Secret, SessionKey, Snapshot, TokenError, Unavailable, User,
};
use crate::oauth::{self, CallbackError, CallbackQuery, ScopeRequest, UserError};
use crate::store::{Offered, PendingLogin, PlainTokens, SealedStoreError, Session, StoreError};

/// How long tokens that exist nowhere else are offered to a store that does not answer.
const STORE_PATIENCE: Duration = Duration::from_secs(20);

/// How long a store that does not answer is asked for the login, while somebody waits before a browser.
const TAKE_PATIENCE: Duration = Duration::from_secs(5);

/// The pause before a store that does not answer is asked again.
const STORE_PAUSE: Duration = Duration::from_millis(100);

/// What a login asks for.
#[derive(Debug, Clone)]
pub struct LoginRequest {
    provider: String,
    scope: Vec<String>,
    params: Vec<(String, String)>,
    fetch_user: bool,
    fetch_groups: bool,
}

impl LoginRequest {
    /// A login at the provider of that id.
    pub fn provider(id: impl Into<String>) -> Self {
        Self {
            provider: id.into(),
            scope: Vec::new(),
            params: Vec::new(),
            fetch_user: false,
            fetch_groups: false,
        }
    }

    /// Adds scopes, parted by spaces. The provider's own are added to them, each once.
    #[must_use]
    pub fn scope(mut self, scope: impl AsRef<str>) -> Self {
        self.scope.extend(scope.as_ref().split_whitespace().map(str::to_owned));
        self
    }

    /// Adds a parameter to the authorization URL.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Asks for the user's scopes, and fetches the user after the login.
    #[must_use]
    pub fn fetch_user(mut self) -> Self {
        self.fetch_user = true;
        self
    }

    /// Asks for the user's and the groups' scopes, and fetches both after the login.
    #[must_use]
    pub fn fetch_groups(mut self) -> Self {
        self.fetch_user = true;
        self.fetch_groups = true;
        self
    }

    /// Each flag by itself, as the seed's surface has them.
    pub(crate) fn flags(mut self, fetch_user: bool, fetch_groups: bool) -> Self {
        (self.fetch_user, self.fetch_groups) = (fetch_user, fetch_groups);
        self
    }

    pub(crate) fn scopes(&self) -> ScopeRequest<'_> {
        ScopeRequest {
            scope: &self.scope,
            fetch_user: self.fetch_user,
            fetch_groups: self.fetch_groups,
            params: &self.params,
        }
    }
}

/// A login that was begun. Send the browser to its URL.
#[derive(Clone)]
pub struct Login {
    /// Where to send the browser.
    pub authorization_url: String,
    /// What the callback will bring back. Keep it in the browser's session to see that the same browser
    /// returns (RFC 6749 §10.12).
    pub state: Secret,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// A login that was finished: its tokens are stored.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// The session it belongs to.
    pub key: SessionKey,
    /// Its access token.
    pub token: Arc<Snapshot>,
    /// The user, if asked for and told.
    pub user: Option<User>,
    /// Why user or groups could not be fetched. The session is logged in all the same.
    pub user_error: Option<UserError>,
}

impl TokenHive {
    /// Begins a login: draws state and PKCE verifier, stores them (once usable, for 10 min unless set
    /// otherwise) and returns the address to send the browser to.
    ///
    /// # Errors
    ///
    /// [`LoginError`] for an unknown provider, a reserved parameter, or a store that does not answer.
    pub async fn begin_login(
        &self,
        key: &SessionKey,
        request: LoginRequest,
    ) -> Result<Login, LoginError> {
        let shared = self.open()?;
        let entry = find(shared, &request.provider)?;
        let authorization = oauth::authorize(&entry.provider, &request.scopes())?;
        let pending = PendingLogin {
            key: key.clone(),
            provider: entry.provider.id().clone(),
            verifier: authorization.verifier,
            nonce: authorization.nonce,
            scope: authorization.scope,
            fetch_user: request.fetch_user,
            fetch_groups: request.fetch_groups,
        };
        let ttl = self.inner.login_ttl;
        let stored = shared.store.put_login(&authorization.state, &pending, ttl).await;
        stored.map_err(|error| LoginError::from(store_failure(&error)))?;
        Ok(Login { authorization_url: authorization.url, state: authorization.state })
    }

    /// Finishes the login that `callback` answers: exchanges the code, stores the tokens, then fetches
    /// user and groups if they were asked for. Exactly one caller finishes a login; a code is never
    /// sent twice. Dropping the future does not lose the tokens.
    ///
    /// # Errors
    ///
    /// [`LoginError`], sorted by what to do next. An error never harms a session that stood before.
    pub async fn complete_login(&self, callback: &CallbackQuery) -> Result<LoggedIn, LoginError> {
        // Drawn before looking whether the hive is closing, so that shutdown waits for what gets past that.
        let _awaited = self.shared().tasks.token();
        let shared = self.open()?;
        if callback.code.as_ref().is_some_and(Secret::is_empty) {
            return Err(LoginError::again(LoginFault::Callback(CallbackError::EmptyCode)));
        }
        let (done, result) = tokio::sync::oneshot::channel();
        let (supervisor, callback) = (self.inner.supervisor.clone(), callback.clone());
        shared.spawn(TaskKind::Exchange, async move {
            // A caller that went away does not want to know.
            let _ = done.send(complete(supervisor, &callback).await);
        });
        result.await.unwrap_or_else(|_| {
            let detail = "the exchange was interrupted".to_owned();
            Err(LoginError::again(LoginFault::InDoubt { detail }))
        })
    }

    /// What logins need, unless this hive is shutting down: they begin what nobody would wait for.
    fn open(&self) -> Result<&Arc<Shared>, LoginError> {
        let shared = self.shared();
        if shared.closing.is_cancelled() {
            let reason = Unavailable::Closing;
            return Err(LoginError::Unavailable { reason, retry_after: None });
        }
        Ok(shared)
    }
}

/// The provider named in a request.
pub(crate) fn find(shared: &Shared, name: &str) -> Result<Arc<ProviderEntry>, LoginError> {
    let unknown = || {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        LoginError::Misconfigured { reason: Misconfigured::NoSuchProvider(shown) }
    };
    let id = ProviderId::new(name).map_err(|_| unknown())?;
    shared.provider(&id).map_err(|_| LoginError::unknown_provider(&id))
}

/// Takes the login out of the store and finishes it. Runs to its end even if the caller goes away: the
/// login is used up once it is taken, and a code once it is sent.
async fn complete(
    supervisor: Supervisor,
    callback: &CallbackQuery,
) -> Result<LoggedIn, LoginError> {
    let shared = supervisor.shared();
    let pending = take(shared, &callback.state).await?;
    let entry = find(shared, pending.provider.as_str())?;
    callback
        .check_issuer(&entry.provider)
        .map_err(|fault| LoginError::again(LoginFault::Callback(fault)))?;
    if let Some(error) = &callback.error {
        let description = callback.error_description.clone();
        return Err(LoginError::Refused { error: error.clone(), description });
    }
    let Some(code) = &callback.code else {
        return Err(LoginError::again(LoginFault::UnknownState));
    };
    Finish { supervisor: supervisor.clone(), entry, pending }.run(code).await
}

/// Takes the login out of the store. Its answer may get lost when it is already taken, so the store is asked
/// again for a while, by the same name.
async fn take(shared: &Shared, state: &Secret) -> Result<PendingLogin, LoginError> {
    let attempt = fresh_attempt();
    let give_up = shared.clock.boot() + TAKE_PATIENCE;
    loop {
        match shared.store.take_login(state, attempt).await {
            Ok(Ok(pending)) => return Ok(pending),
            Ok(Err(refusal)) => return Err(LoginError::taken(&refusal)),
            Err(SealedStoreError::Store(StoreError::Unavailable { .. }))
                if shared.clock.boot() < give_up =>
            {
                tokio::time::sleep(STORE_PAUSE).await;
            }
            Err(error) => return Err(store_failure(&error).into()),
        }
    }
}

/// The second half of a login.
struct Finish {
    supervisor: Supervisor,
    entry: Arc<ProviderEntry>,
    pending: PendingLogin,
}

impl Finish {
    async fn run(&self, code: &Secret) -> Result<LoggedIn, LoginError> {
        let shared = self.supervisor.shared();
        let sent_at = shared.clock.boot();
        let provider = &self.entry.provider;
        let granted =
            oauth::exchange_code(&shared.http, provider, code, &self.pending.verifier).await?;
        let mut answer = granted.answer;
        if answer.scope.is_none() && !self.pending.scope.is_empty() {
            answer.scope = Some(self.pending.scope.clone()); // RFC 6749 §5.1: as requested.
        }
        let token = answer.token(granted.sent_at, None);
        let elapsed = shared.clock.boot().since(sent_at);
        let now = shared.clock.now();
        let lifetimes = Lifetimes::of_answer(&answer, &token, provider, (now, elapsed));
        let access_token = token.access_token.clone();
        let spans = spans(lifetimes, &shared.options.policy, &self.pending.key, 0);
        let tokens = PlainTokens { token, before: None, extra: answer.members(), spans };
        let known = store(&self.supervisor, &self.pending.key, provider.id(), &tokens).await?;
        let (user, user_error) = self.profile(&access_token, &known).await;
        Ok(LoggedIn { key: self.pending.key.clone(), token: known.snapshot, user, user_error })
    }

    async fn profile(
        &self,
        access_token: &Secret,
        known: &Known,
    ) -> (Option<User>, Option<UserError>) {
        if !self.pending.fetch_user && !self.pending.fetch_groups {
            return (None, None);
        }
        let grant = known.snapshot.grant();
        let fetch = Fetch {
            shared: self.supervisor.shared(),
            entry: &self.entry,
            key: &self.pending.key,
            groups: self.pending.fetch_groups,
        };
        fetch.run(access_token, grant).await
    }
}

/// Stores the tokens of a new grant and shows them to readers. They exist nowhere else, so a store that
/// does not answer is asked for a while.
pub(crate) async fn store(
    supervisor: &Supervisor,
    key: &SessionKey,
    provider: &ProviderId,
    tokens: &PlainTokens,
) -> Result<Known, TokenError> {
    let shared = supervisor.shared();
    let give_up = shared.clock.boot() + STORE_PATIENCE;
    let mut offered = Offered::default();
    let session: Session = loop {
        match shared.store.put(key, provider, tokens, &mut offered).await {
            Ok(session) => break session,
            Err(error @ SealedStoreError::Store(_)) if shared.clock.boot() < give_up => {
                tracing::warn!(session = %key, %error, "the login of {key} is not stored yet: {error}");
                tokio::time::sleep(STORE_PAUSE).await;
            }
            Err(error) => return Err(store_failure(&error)),
        }
    };
    let known = shared.known(session);
    shared.registry.publish(key, &known.snapshot, known.learned);
    shared.registry.note_read(key, shared.clock.boot());
    supervisor.replaced(key, Some(known.clone()));
    if let Some(due_in) = tokens.spans.due_in {
        shared.scheduler.schedule(key, due_in);
    }
    Ok(known)
}
