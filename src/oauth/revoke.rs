//! Revokes tokens (RFC 7009): what nobody will use any more does not live on at the provider.

use std::time::Duration;

use oauth2::{
    AccessToken, HttpRequest, RefreshToken, RevocationUrl, StandardRevocableToken as RevocableToken,
};

use crate::model::Secret;
use crate::oauth::answer;
use crate::oauth::http::{HttpError, Reply};
use crate::oauth::scrub::Scrub;
use crate::oauth::token_endpoint::{Withhold, client};
use crate::oauth::{HttpClient, Provider, ProviderUrl, RawAnswer, RequestError};

/// Which kind of token is revoked; it spares the provider a search (RFC 7009 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenHint {
    /// An access token. A provider may end its refresh token as well.
    AccessToken,
    /// A refresh token. A provider should end its access tokens as well.
    RefreshToken,
}

/// Why a token may still live, sorted by what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// The provider has no revocation endpoint: the token lives until it expires.
    #[error("the provider has no revocation endpoint")]
    Unsupported,
    /// The provider could not be reached, failed, or asks for patience: revoke it again later.
    ///
    /// Until then the token must be taken for alive (RFC 7009 §2.2.1).
    #[error("the token could not be revoked for now: {detail}")]
    Unavailable {
        /// What failed, without URL query or body.
        detail: String,
        /// The provider's `Retry-After`, if it sent one.
        retry_after: Option<Duration>,
    },
    /// The provider does not accept this client or request: fix the configuration.
    #[error("the provider refuses to revoke the token: {error}")]
    Refused {
        /// The provider's error code, or what stood in its place.
        error: String,
        /// The provider's own explanation, if it gave one.
        description: Option<String>,
    },
}

/// Revokes a token; one the provider does not know, or no longer, counts as revoked (RFC 7009 §2.2).
///
/// Unlike a token request it may be repeated as often as it takes.
///
/// # Errors
///
/// [`RevokeError`], sorted by what to do next.
pub async fn revoke(
    http: &HttpClient,
    provider: &Provider,
    token: &Secret,
    hint: TokenHint,
) -> Result<(), RevokeError> {
    let endpoint = provider.revocation_endpoint().ok_or(RevokeError::Unsupported)?;
    let request = prepare(provider, endpoint, token, hint)?;
    let Reply { raw, .. } = http.send(request, provider.timeout()).await?;
    read_answer(&raw).map_err(|error| withhold(error, provider, token))
}

/// All is in the status; the body of a success is ignored (RFC 7009 §2.2).
fn read_answer(raw: &RawAnswer) -> Result<(), RevokeError> {
    let unavailable = |detail| RevokeError::Unavailable { detail, retry_after: raw.retry_after };
    match raw.status {
        200..=299 => Ok(()),
        300..=399 => Err(RevokeError::Refused {
            error: format!("HTTP {} redirect", raw.status),
            description: Some(
                "redirects are never followed, as they would carry credentials along \
                 (RFC 9700 §4.12); set revocation_endpoint to its final address"
                    .to_owned(),
            ),
        }),
        408 | 429 | 500..=599 => Err(unavailable(format!("HTTP {}", raw.status))),
        _ => match answer::refused(raw) {
            // Google and Salesforce say this of a token that has ended, where the RFC wants 200.
            RequestError::Misconfigured { error, .. }
                if raw.status == 400 && error == "invalid_token" =>
            {
                Ok(())
            }
            RequestError::Misconfigured { error, description }
            | RequestError::Rejected { error, description } => {
                Err(RevokeError::Refused { error, description })
            }
            later => Err(unavailable(later.to_string())),
        },
    }
}

/// Leaves out of `error` what repeats a secret.
fn withhold(error: RevokeError, provider: &Provider, token: &Secret) -> RevokeError {
    let scrub = Scrub::new(provider, &[token]);
    match error {
        RevokeError::Refused { error, description } => RevokeError::Refused {
            error: scrub.code(error),
            description: scrub.description(description),
        },
        other => other,
    }
}

/// Encodes the request with the client's proof, as at the token endpoint.
///
/// The `oauth2` crate refuses to revoke over `http`, which is allowed to loopback here. So it encodes for
/// a stand-in address, and the real one takes its place.
fn prepare(
    provider: &Provider,
    endpoint: &ProviderUrl,
    token: &Secret,
    hint: TokenHint,
) -> Result<HttpRequest, RevokeError> {
    let token = token.expose().to_owned();
    let token = match hint {
        TokenHint::AccessToken => RevocableToken::AccessToken(AccessToken::new(token)),
        TokenHint::RefreshToken => RevocableToken::RefreshToken(RefreshToken::new(token)),
    };
    let stand_in = RevocationUrl::new("https://stand-in.invalid/".to_owned())
        .expect("the stand-in is a URL with https");
    let client = client(provider).set_revocation_url(stand_in);
    let withheld = Withhold::default();
    let request = client.revoke_token(token).expect("the stand-in is a URL with https");
    let _nothing_sent = request.request(&withheld);
    let mut request = withheld.into_request().map_err(|error| RevokeError::Unavailable {
        detail: error.to_string(),
        retry_after: None,
    })?;
    *request.uri_mut() =
        endpoint.as_str().parse().expect("a provider URL is a valid request target");
    Ok(request)
}

impl From<HttpError> for RevokeError {
    fn from(error: HttpError) -> Self {
        Self::Unavailable { detail: error.to_string(), retry_after: None }
    }
}

#[cfg(test)]
mod tests;
