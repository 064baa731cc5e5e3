//! Collects a provider's settings and checks them together.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::{ProviderId, ReuseClass, Secret};
use crate::oauth::provider::user_source::is_pointer;
use crate::oauth::provider::{
    ClientAuth, Provider, ProviderError, ProviderUrl, RESERVED_PARAMS, RedirectUrl, ScopeSeparator,
    UrlProblem, UserId, UserSource,
};

/// How long one request may take unless told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of a provider to be; start from one of the [`catalogue`](crate::oauth::catalogue).
///
/// No method fails: everything is checked by [`ProviderBuilder::build`].
#[derive(Debug, Clone)]
#[must_use = "a provider is made by calling build"]
pub struct ProviderBuilder {
    id: String,
    client_id: String,
    client_secret: Option<Secret>,
    client_auth: ClientAuth,
    redirect_url: Option<String>,
    authorization_endpoint: String,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
    user_endpoint: Option<String>,
    api_base: Option<String>,
    user_id: Option<UserId>,
    groups_claim: Option<String>,
    scopes: Vec<String>,
    user_scopes: Vec<String>,
    group_scopes: Vec<String>,
    authorization_params: Vec<(String, String)>,
    scope_separator: ScopeSeparator,
    reuse_class: ReuseClass,
    kills_old_access_token: bool,
    default_lifetime: Option<Duration>,
    refresh_token_idle: Option<Duration>,
    issuer: Option<String>,
    requires_iss: bool,
    timeout: Duration,
    /// The first thing a preset found wrong with its own arguments, kept until `build` can report it.
    defect: Option<(&'static str, &'static str)>,
}

impl ProviderBuilder {
    /// An unknown provider: reuse class R, old access tokens killed, nothing known about users.
    pub(crate) fn new(id: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            client_id: client_id.into(),
            client_secret: None,
            client_auth: ClientAuth::default(),
            redirect_url: None,
            authorization_endpoint: String::new(),
            token_endpoint: String::new(),
            revocation_endpoint: None,
            user_endpoint: None,
            api_base: None,
            user_id: None,
            groups_claim: None,
            scopes: Vec::new(),
            user_scopes: Vec::new(),
            group_scopes: Vec::new(),
            authorization_params: Vec::new(),
            scope_separator: ScopeSeparator::default(),
            reuse_class: ReuseClass::default(),
            kills_old_access_token: true,
            default_lifetime: None,
            refresh_token_idle: None,
            issuer: None,
            requires_iss: false,
            timeout: DEFAULT_TIMEOUT,
            defect: None,
        }
    }

    /// Sets the provider's name in configuration, records and messages: 1 to 64 of `a-z 0-9 - _ .`.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Sets the client's id, as the provider issued it.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Sets the client's secret, as the provider issued it.
    pub fn client_secret(mut self, client_secret: impl Into<Secret>) -> Self {
        self.client_secret = Some(client_secret.into());
        self
    }

    /// Sets how the client proves who it is; [`ClientAuth::RequestBody`] unless set.
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = client_auth;
        self
    }

    /// Sets where the provider sends the browser back to, exactly as registered there.
    pub fn redirect_url(mut self, redirect_url: impl Into<String>) -> Self {
        self.redirect_url = Some(redirect_url.into());
        self
    }

    /// Sets where the browser is sent to log in.
    pub fn authorization_endpoint(mut self, url: impl Into<String>) -> Self {
        self.authorization_endpoint = url.into();
        self
    }

    /// Sets where codes and refresh tokens are redeemed.
    pub fn token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.token_endpoint = url.into();
        self
    }

    /// Sets where tokens are revoked (RFC 7009); unless set, they live on until they expire.
    pub fn revocation_endpoint(mut self, url: impl Into<String>) -> Self {
        self.revocation_endpoint = Some(url.into());
        self
    }

    /// Sets where the user is read from, and how the id is found in the answer.
    pub fn user_endpoint(mut self, url: impl Into<String>, user_id: UserId) -> Self {
        self.user_endpoint = Some(url.into());
        self.user_id = Some(user_id);
        self.api_base = None;
        self
    }

    /// Sets the base of GitHub's REST API, from which user, e-mail address and teams are read.
    ///
    /// For GitHub Enterprise Server it is `https://host/api/v3`.
    pub fn api_base(mut self, url: impl Into<String>) -> Self {
        self.api_base = Some(url.into());
        self.user_endpoint = None;
        self
    }

    /// Sets how the user's id is read from the user endpoint's answer.
    pub fn user_id_fn<F>(mut self, read: F) -> Self
    where
        F: Fn(&Map<String, Value>) -> Option<String> + Send + Sync + 'static,
    {
        self.user_id = Some(UserId::Closure(Arc::new(read)));
        self
    }

    /// Sets the JSON pointer to the groups in the user endpoint's answer, such as `/groups`.
    ///
    /// It leads to a list of names, or of objects with a `name`; an absent list means no groups.
    pub fn groups_claim(mut self, pointer: impl Into<String>) -> Self {
        self.groups_claim = Some(pointer.into());
        self
    }

    /// Sets the scopes asked for at every login.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = collect(scopes);
        self
    }

    /// Sets the scopes asked for besides when the user is to be fetched.
    pub fn user_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.user_scopes = collect(scopes);
        self
    }

    /// Sets the scopes asked for besides when groups are to be fetched.
    pub fn group_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.group_scopes = collect(scopes);
        self
    }

    /// Sets an extra parameter of the authorization URL; an empty value takes it out again.
    pub fn authorization_param(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        let (name, value) = (name.into(), value.into());
        match self.authorization_params.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.authorization_params.push((name, value)),
        }
        self
    }

    /// Sets the API the access tokens are for (Auth0's `audience`).
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.authorization_param("audience", audience)
    }

    /// Sets what separates the scopes of the provider's answers; a space unless set.
    pub fn scope_separator(mut self, separator: ScopeSeparator) -> Self {
        self.scope_separator = separator;
        self
    }

    /// Sets what the provider does with a refresh token that is presented twice.
    ///
    /// When in doubt leave it: the default is safe with every provider, only more patient.
    pub fn reuse_class(mut self, class: ReuseClass) -> Self {
        self.reuse_class = class;
        self
    }

    /// States that a refresh makes the access token before it worthless at once.
    pub fn kills_old_access_token(mut self) -> Self {
        self.kills_old_access_token = true;
        self
    }

    /// States that an access token lives out its time whatever is refreshed.
    pub fn keeps_old_access_token(mut self) -> Self {
        self.kills_old_access_token = false;
        self
    }

    /// Sets an access token's lifetime where its answer names none.
    pub fn default_lifetime(mut self, lifetime: Duration) -> Self {
        self.default_lifetime = Some(lifetime);
        self
    }

    /// Sets how long a refresh token lives unused.
    pub fn refresh_token_idle(mut self, idle: Duration) -> Self {
        self.refresh_token_idle = Some(idle);
        self
    }

    /// Sets the issuer identifier that a callback's `iss` must equal, character by character (RFC 9207).
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Refuses callbacks without `iss`; for providers that announce to send it always (RFC 9207 §3).
    pub fn require_iss(mut self) -> Self {
        self.requires_iss = true;
        self
    }

    /// Sets how long one request may take, from its start to the last byte of its answer; 10 s unless set.
    ///
    /// Keep it above the HTTP client's connect timeout: a deadline that passes while a connection
    /// is being made counts as an unknown outcome, a failed connection as nothing sent.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Remembers what is wrong with a preset's own argument.
    pub(crate) fn defect(mut self, field: &'static str, problem: &'static str) -> Self {
        self.defect.get_or_insert((field, problem));
        self
    }

    /// Checks everything and makes the provider.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] names the first setting that is missing or not usable, and what to do.
    pub fn build(self) -> Result<Provider, ProviderError> {
        let id = ProviderId::new(&self.id)?;
        let check = Check(&id);
        if let Some((field, problem)) = self.defect {
            return Err(check.unusable(field, problem));
        }
        self.check_client(&check)?;
        self.check_rest(&check)?;
        let authorization_endpoint = check.url(
            "authorization_endpoint",
            ProviderUrl::parse_with_fragment(&self.authorization_endpoint),
        )?;
        for (name, _) in authorization_endpoint.as_url().query_pairs() {
            check.param("authorization_endpoint", &name)?;
        }
        for (name, _) in &self.authorization_params {
            check.param("authorization_param", name)?;
        }
        let redirect_url = self.redirect_url.as_deref().ok_or_else(|| {
            check.missing("redirect_url", "give the address registered at the provider")
        })?;
        Ok(Provider {
            client_auth: self.client_auth,
            redirect_url: check.url("redirect_url", RedirectUrl::parse(redirect_url))?,
            authorization_endpoint,
            token_endpoint: check
                .url("token_endpoint", ProviderUrl::parse(&self.token_endpoint))?,
            revocation_endpoint: self
                .revocation_endpoint
                .as_deref()
                .map(|url| check.url("revocation_endpoint", ProviderUrl::parse(url)))
                .transpose()?,
            user_source: self.user_source(&check)?,
            client_id: self.client_id,
            client_secret: self.client_secret,
            scopes: self.scopes,
            user_scopes: self.user_scopes,
            group_scopes: self.group_scopes,
            authorization_params: self.authorization_params,
            scope_separator: self.scope_separator,
            reuse_class: self.reuse_class,
            kills_old_access_token: self.kills_old_access_token,
            default_lifetime: self.default_lifetime,
            refresh_token_idle: self.refresh_token_idle,
            issuer: self.issuer,
            requires_iss: self.requires_iss,
            timeout: self.timeout,
            id,
        })
    }

    fn check_client(&self, check: &Check<'_>) -> Result<(), ProviderError> {
        if self.client_id.is_empty() {
            return Err(check.missing("client_id", "give the id the provider issued"));
        }
        match (&self.client_secret, self.client_auth) {
            (_, ClientAuth::None) => Ok(()),
            (Some(secret), _) if secret.is_empty() => Err(check.unusable(
                "client_secret",
                "it is empty; give the secret the provider issued, or none for a public client",
            )),
            (None, ClientAuth::Basic) => {
                Err(check.missing("client_secret", "Basic authentication cannot do without it"))
            }
            _ => Ok(()),
        }
    }

    fn check_rest(&self, check: &Check<'_>) -> Result<(), ProviderError> {
        if self.timeout.is_zero() {
            return Err(check.unusable("timeout", "it is zero; give it a second or more"));
        }
        if self.default_lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return Err(check.unusable("default_lifetime", "it is zero; leave it out instead"));
        }
        if self.issuer.as_deref() == Some("") {
            return Err(check.unusable("issuer", "it is empty; leave it out instead"));
        }
        if self.requires_iss && self.issuer.is_none() {
            return Err(check.missing("issuer", "without it there is nothing to compare iss with"));
        }
        Ok(())
    }

    fn user_source(&self, check: &Check<'_>) -> Result<UserSource, ProviderError> {
        let pointers = [
            ("groups_claim", self.groups_claim.as_deref()),
            (
                "user_endpoint",
                match &self.user_id {
                    Some(UserId::Pointer(pointer)) => Some(pointer.as_str()),
                    _ => None,
                },
            ),
        ];
        for (field, pointer) in pointers {
            if pointer.is_some_and(|pointer| !is_pointer(pointer)) {
                return Err(check.unusable(field, "not a JSON pointer; write /sub or /data/id"));
            }
        }
        if self.groups_claim.is_some() && self.user_endpoint.is_none() {
            return Err(check.missing("user_endpoint", "groups_claim points into its answer"));
        }
        let id = self.user_id.clone();
        match (&self.user_endpoint, &self.api_base) {
            (Some(url), _) => Ok(UserSource::Endpoint {
                url: check.url("user_endpoint", ProviderUrl::parse(url))?,
                id: id.expect("user_endpoint sets both"),
                groups_claim: self.groups_claim.clone(),
            }),
            (None, Some(url)) => Ok(UserSource::GitHub {
                api_base: check.url("api_base", ProviderUrl::parse(url))?,
                id: id.unwrap_or_else(|| UserId::pointer("/id")),
            }),
            (None, None) if id.is_some() => {
                Err(check.missing("user_endpoint", "user_id_fn reads from its answer"))
            }
            (None, None) => Ok(UserSource::None),
        }
    }
}

/// Makes errors that name the provider.
struct Check<'a>(&'a ProviderId);

impl Check<'_> {
    fn missing(&self, field: &'static str, remedy: &'static str) -> ProviderError {
        ProviderError::Missing { provider: self.0.clone(), field, remedy }
    }

    fn unusable(&self, field: &'static str, problem: &'static str) -> ProviderError {
        ProviderError::Unusable { provider: self.0.clone(), field, problem }
    }

    fn url<T>(&self, field: &'static str, url: Result<T, UrlProblem>) -> Result<T, ProviderError> {
        url.map_err(|problem| ProviderError::Url { provider: self.0.clone(), field, problem })
    }

    fn param(&self, field: &'static str, name: &str) -> Result<(), ProviderError> {
        if RESERVED_PARAMS.contains(&name) {
            let (provider, name) = (self.0.clone(), name.to_owned());
            return Err(ProviderError::ReservedParam { provider, field, name });
        }
        Ok(())
    }
}

fn collect<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> Vec<String> {
    scopes.into_iter().map(Into::into).collect()
}
