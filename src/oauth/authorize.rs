//! The address a browser is sent to for a login, and the secrets that belong to that login.

use std::fmt;

use oauth2::{CsrfToken, PkceCodeChallenge};

use crate::model::Secret;
use crate::oauth::Provider;
use crate::oauth::provider::RESERVED_PARAMS;

/// What one login asks for, beyond what its provider always asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScopeRequest<'a> {
    /// The caller's own scopes; they come first.
    pub scope: &'a [String],
    /// Whether the user is to be fetched, so that the provider's user scopes are asked for.
    pub fetch_user: bool,
    /// Whether groups are to be fetched, so that the provider's group scopes are asked for.
    pub fetch_groups: bool,
    /// Extra parameters; one with a name the provider sets too replaces the provider's value, and
    /// an empty value takes it out.
    pub params: &'a [(String, String)],
}

/// One login, about to begin. Everything random in it is fresh and used for this login alone.
#[derive(Clone)]
pub struct AuthorizationRequest {
    /// Where to send the browser.
    pub url: String,
    /// What the callback must bring back (RFC 6749 §10.12).
    pub state: Secret,
    /// The PKCE verifier, kept until the code is exchanged (RFC 7636 §4.1).
    pub verifier: Secret,
    /// What the id token must hold; `None` where `openid` was not asked for.
    pub nonce: Option<Secret>,
    /// The scopes asked for, each once.
    pub scope: Vec<String>,
}

// The address holds state and nonce, so `Debug` shows neither it nor them.
impl fmt::Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRequest").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Why no login could be begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeError {
    /// An extra parameter would override one that the login itself sets.
    #[error("the parameter {name} is set by the login itself; remove it from the extra parameters")]
    ReservedParam {
        /// The parameter's name.
        name: String,
    },
}

/// Draws state, PKCE verifier and nonce for a new login, and builds its authorization URL.
///
/// The challenge method is always S256 (RFC 7636 §4.2). A nonce is sent where `openid` is among
/// the scopes (OpenID Connect Core §3.1.2.1).
///
/// # Errors
///
/// [`AuthorizeError::ReservedParam`] if an extra parameter bears a name the login sets itself.
pub fn authorize(
    provider: &Provider,
    wanted: &ScopeRequest<'_>,
) -> Result<AuthorizationRequest, AuthorizeError> {
    let params = extra_params(provider, wanted.params)?;
    let scope = scopes(provider, wanted);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let state = CsrfToken::new_random().into_secret();
    let nonce = asks_for_openid(&scope).then(|| CsrfToken::new_random().into_secret());

    // Appending keeps what the endpoint's query and fragment already hold.
    let mut url = provider.authorization_endpoint().as_url().clone();
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", provider.client_id())
            .append_pair("redirect_uri", provider.redirect_url().as_str());
        if !scope.is_empty() {
            query.append_pair("scope", &scope.join(" "));
        }
        query
            .append_pair("state", &state)
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", challenge.method().as_str())
            .extend_pairs(params.into_iter().filter(|(_, value)| !value.is_empty()));
        if let Some(nonce) = &nonce {
            query.append_pair("nonce", nonce);
        }
    }
    Ok(AuthorizationRequest {
        url: url.into(),
        state: state.into(),
        verifier: verifier.into_secret().into(),
        nonce: nonce.map(Secret::from),
        scope,
    })
}

/// The caller's, the provider's, the user's and the groups' scopes in this order, each once.
pub fn scopes(provider: &Provider, wanted: &ScopeRequest<'_>) -> Vec<String> {
    let user = if wanted.fetch_user { provider.user_scopes() } else { &[] };
    let groups = if wanted.fetch_groups { provider.group_scopes() } else { &[] };
    let mut all: Vec<String> = Vec::new();
    for scope in wanted.scope.iter().chain(provider.scopes()).chain(user).chain(groups) {
        if !scope.is_empty() && !all.contains(scope) {
            all.push(scope.clone());
        }
    }
    all
}

/// An entry may hold several scopes, as Flet allows.
fn asks_for_openid(scopes: &[String]) -> bool {
    scopes.iter().flat_map(|scope| scope.split_whitespace()).any(|scope| scope == "openid")
}

fn extra_params<'a>(
    provider: &'a Provider,
    own: &'a [(String, String)],
) -> Result<Vec<(&'a str, &'a str)>, AuthorizeError> {
    let mut params: Vec<(&str, &str)> = Vec::new();
    for (name, value) in provider.authorization_params().iter().chain(own) {
        if RESERVED_PARAMS.contains(&name.as_str()) {
            return Err(AuthorizeError::ReservedParam { name: name.clone() });
        }
        match params.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => params.push((name, value)),
        }
    }
    Ok(params)
}

#[cfg(test)]
mod tests;
