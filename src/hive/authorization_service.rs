//! The seed's own surface: one session's handle with the names of Flet's `AuthorizationService`.

use std::sync::{Mutex, PoisonError};

use crate::hive::{LoginError, LoginFault, LoginRequest, RestoreError, RestoreOptions, TokenHive};
use crate::model::{
    Misconfigured, NeedsLogin, OAuthToken, ProviderId, Secret, SessionKey, TokenError, User,
};
use crate::oauth::{self, CallbackQuery, Provider, UserError};

/// What Flet's constructor takes beside the provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceOptions {
    /// Whether to fetch the user after a login or restore.
    pub fetch_user: bool,
    /// Whether to fetch the user's groups as well.
    pub fetch_groups: bool,
    /// The caller's own scopes. The provider's are added to them; this list is never changed.
    pub scope: Vec<String>,
}

/// One session with the names and the meaning of Flet's `AuthorizationService`, over the session's actor.
///
/// What differs from Flet, on purpose: state and PKCE verifier are fresh for every login, scopes are
/// listed once, tokens are refreshed early and once for any number of callers, a refresh never loses
/// scope or expiry, and an expired token without refresh token is an error instead of being handed out.
pub struct AuthorizationService {
    hive: TokenHive,
    key: SessionKey,
    provider: Provider,
    options: ServiceOptions,
    scope: Vec<String>,
    seen: Mutex<Seen>,
}

/// What the handle remembers between calls.
#[derive(Default)]
struct Seen {
    /// The login begun last on this handle.
    state: Option<Secret>,
    user: Option<User>,
    user_error: Option<UserError>,
}

impl AuthorizationService {
    pub(crate) fn new(
        hive: TokenHive,
        key: SessionKey,
        provider: &str,
        options: ServiceOptions,
    ) -> Result<Self, TokenError> {
        let found = ProviderId::new(provider).ok().and_then(|id| hive.provider(&id));
        let Some(provider) = found else {
            let shown = provider.chars().filter(|c| !c.is_control()).take(64).collect();
            return Err(TokenError::misconfigured(Misconfigured::NoSuchProvider(shown)));
        };
        let request = request(&provider, &options);
        let scope = oauth::scopes(&provider, &request.scopes());
        Ok(Self { hive, key, provider, options, scope, seen: Mutex::default() })
    }

    /// The provider this session logs in at.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Whether the user is fetched after a login or restore.
    pub fn fetch_user(&self) -> bool {
        self.options.fetch_user
    }

    /// Whether groups are fetched after a login or restore.
    pub fn fetch_groups(&self) -> bool {
        self.options.fetch_groups
    }

    /// What a login asks for: the caller's scopes, then the provider's, each once.
    pub fn scope(&self) -> &[String] {
        &self.scope
    }

    /// The user as last fetched by this handle; `None` before that. What an earlier handle fetched,
    /// [`TokenHive::user`] tells.
    pub fn user(&self) -> Option<User> {
        self.with_seen(|seen| seen.user.clone())
    }

    /// Why user or groups could not be fetched the last time; `None` if they were, or not asked for.
    pub fn user_error(&self) -> Option<UserError> {
        self.with_seen(|seen| seen.user_error.clone())
    }

    /// Begins a login and returns `(authorization_url, state)`.
    ///
    /// # Errors
    ///
    /// As [`TokenHive::begin_login`].
    pub async fn get_authorization_data(&self) -> Result<(String, Secret), LoginError> {
        let request = request(&self.provider, &self.options);
        let login = self.hive.begin_login(&self.key, request).await?;
        self.with_seen(|seen| seen.state = Some(login.state.clone()));
        Ok((login.authorization_url, login.state))
    }

    /// Exchanges the code that the redirect brought, for the login this handle began last. Compare the
    /// redirect's `state` first, or use [`TokenHive::complete_login`], which does so.
    ///
    /// # Errors
    ///
    /// [`LoginFault::NotBegun`] before [`AuthorizationService::get_authorization_data`],
    /// [`CallbackError::EmptyCode`](crate::oauth::CallbackError::EmptyCode), else as
    /// [`TokenHive::complete_login`].
    pub async fn request_token(&self, code: &str) -> Result<(), LoginError> {
        if code.is_empty() {
            let fault = crate::oauth::CallbackError::EmptyCode;
            return Err(LoginError::again(LoginFault::Callback(fault)));
        }
        let state = self.with_seen(|seen| seen.state.clone());
        let state = state.ok_or_else(|| LoginError::again(LoginFault::NotBegun))?;
        let callback = CallbackQuery {
            state,
            code: Some(Secret::from(code)),
            error: None,
            error_description: None,
            iss: self.provider.issuer().map(str::to_owned),
        };
        let logged_in = self.hive.complete_login(&callback).await?;
        self.with_seen(|seen| {
            (seen.user, seen.user_error) = (logged_in.user, logged_in.user_error);
        });
        Ok(())
    }

    /// The current token, refreshed when needed; `None` before a login. It holds the refresh token: save
    /// it with [`OAuthToken::to_json`] and nowhere in the open.
    ///
    /// # Errors
    ///
    /// As [`TokenHive::token`]; and, since the refresh token is kept in the store alone,
    /// [`TokenError::Unavailable`] while that does not answer. [`TokenHive::token`] needs no store.
    pub async fn get_token(&self) -> Result<Option<OAuthToken>, TokenError> {
        match self.hive.saved_token(&self.key).await {
            Ok(token) => Ok(Some(token)),
            Err(TokenError::NeedsLogin { reason: NeedsLogin::NoSession }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Restores a token saved by [`OAuthToken::to_json`] or by Flet: validated, refreshed when expired,
    /// user and groups fetched if this handle asks for them.
    ///
    /// # Errors
    ///
    /// As [`TokenHive::restore`].
    pub async fn dehydrate_token(&self, saved_token: &str) -> Result<(), RestoreError> {
        let options = RestoreOptions {
            fetch_user: self.options.fetch_user,
            fetch_groups: self.options.fetch_groups,
        };
        let provider = self.provider.id().as_str();
        let restored = self.hive.restore(&self.key, provider, saved_token, options).await?;
        self.with_seen(|seen| {
            (seen.user, seen.user_error) = (restored.user, restored.user_error);
        });
        Ok(())
    }

    fn with_seen<T>(&self, act: impl FnOnce(&mut Seen) -> T) -> T {
        act(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The login this handle asks for. As in Flet, each flag asks for its own scopes and for no others.
fn request(provider: &Provider, options: &ServiceOptions) -> LoginRequest {
    let mut request = LoginRequest::provider(provider.id().as_str());
    for scope in &options.scope {
        request = request.scope(scope);
    }
    request.flags(options.fetch_user, options.fetch_groups)
}
