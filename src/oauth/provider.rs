//! A provider as a value: endpoints, client credentials, scopes and quirks, all checked.

mod builder;
mod endpoint;
mod error;
mod user_source;

use std::fmt;
use std::time::Duration;

use crate::model::{ProviderId, ReuseClass, Secret};

pub use self::builder::ProviderBuilder;
pub use self::endpoint::{ProviderUrl, RedirectUrl, UrlProblem};
pub use self::error::ProviderError;
pub use self::user_source::{UserId, UserIdFn, UserIdProblem};
pub(crate) use self::user_source::{UserSource, lookup};

/// Authorization parameters that the login itself sets; nobody else may.
pub(crate) const RESERVED_PARAMS: [&str; 8] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "nonce",
];

/// How the client proves who it is at the token and revocation endpoints (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Client id and secret in the request body, as Flet sends them; without a secret, the id alone.
    #[default]
    RequestBody,
    /// HTTP Basic authentication; client id and secret are form-encoded first.
    Basic,
    /// Not at all: a public client. The id goes into the body, a secret is never sent.
    None,
}

/// What separates the scopes of a provider's answer.
///
/// Requests always use spaces, which every provider of the catalogue accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScopeSeparator {
    /// A space (RFC 6749 §3.3).
    #[default]
    Space,
    /// A comma, as GitHub and Slack answer.
    Comma,
}

/// Everything needed to talk to one OAuth provider, on behalf of one client registered there.
///
/// Made by [`ProviderBuilder::build`], which checks all of it: no method of this type can fail.
#[derive(Clone)]
pub struct Provider {
    id: ProviderId,
    client_id: String,
    client_secret: Option<Secret>,
    client_auth: ClientAuth,
    redirect_url: RedirectUrl,
    authorization_endpoint: ProviderUrl,
    token_endpoint: ProviderUrl,
    revocation_endpoint: Option<ProviderUrl>,
    user_source: UserSource,
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
}

impl Provider {
    /// Its name in configuration, records and messages.
    pub fn id(&self) -> &ProviderId {
        &self.id
    }

    /// The client's id at the provider.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The client's secret; `None` for a public client.
    pub fn client_secret(&self) -> Option<&Secret> {
        self.client_secret.as_ref()
    }

    /// How the client proves who it is.
    pub fn client_auth(&self) -> ClientAuth {
        self.client_auth
    }

    /// Where the provider sends the browser back to.
    pub fn redirect_url(&self) -> &RedirectUrl {
        &self.redirect_url
    }

    /// Where the browser is sent to log in.
    pub fn authorization_endpoint(&self) -> &ProviderUrl {
        &self.authorization_endpoint
    }

    /// Where codes and refresh tokens are redeemed.
    pub fn token_endpoint(&self) -> &ProviderUrl {
        &self.token_endpoint
    }

    /// Where tokens are revoked (RFC 7009); `None` where the provider has no such endpoint.
    pub fn revocation_endpoint(&self) -> Option<&ProviderUrl> {
        self.revocation_endpoint.as_ref()
    }

    /// Where the user is read from; `None` where the provider tells nothing about its users.
    pub fn user_endpoint(&self) -> Option<&ProviderUrl> {
        match &self.user_source {
            UserSource::None => None,
            UserSource::Endpoint { url, .. } => Some(url),
            UserSource::GitHub { api_base, .. } => Some(api_base),
        }
    }

    pub(crate) fn user_source(&self) -> &UserSource {
        &self.user_source
    }

    /// Scopes asked for at every login.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// Scopes asked for besides when the user is to be fetched.
    pub fn user_scopes(&self) -> &[String] {
        &self.user_scopes
    }

    /// Scopes asked for besides when groups are to be fetched.
    pub fn group_scopes(&self) -> &[String] {
        &self.group_scopes
    }

    /// Extra parameters of the authorization URL, in their order.
    pub fn authorization_params(&self) -> &[(String, String)] {
        &self.authorization_params
    }

    /// What separates the scopes of its answers.
    pub fn scope_separator(&self) -> ScopeSeparator {
        self.scope_separator
    }

    /// What it does with a refresh token that is presented twice.
    pub fn reuse_class(&self) -> ReuseClass {
        self.reuse_class
    }

    /// True if a refresh makes the access token before it worthless at once.
    pub fn kills_old_access_token(&self) -> bool {
        self.kills_old_access_token
    }

    /// An access token's lifetime where its answer names none; `None`: such a token never expires.
    pub fn default_lifetime(&self) -> Option<Duration> {
        self.default_lifetime
    }

    /// How long a refresh token lives unused; `None` where unknown or for ever.
    pub fn refresh_token_idle(&self) -> Option<Duration> {
        self.refresh_token_idle
    }

    /// Its issuer identifier, which a callback's `iss` must equal (RFC 9207 §2.4); `None`: not compared.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// True if a callback without `iss` is refused.
    pub fn requires_iss(&self) -> bool {
        self.requires_iss
    }

    /// How long one request may take, from its start to the last byte of its answer.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("id", &self.id)
            .field("client_id", &self.client_id)
            .field("token_endpoint", &self.token_endpoint)
            .field("reuse_class", &self.reuse_class)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
