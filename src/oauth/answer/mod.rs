//! What a token endpoint said, in one form for every provider.

mod classify;
mod members;
mod read;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::{OAuthToken, Scope, Seconds, Secret, Timestamp};

pub(crate) use self::read::{read, refused};

/// A token endpoint's answer that carried an access token.
#[derive(Clone)]
pub struct TokenAnswer {
    /// The access token.
    pub access_token: Secret,
    /// Its type; `None` where the provider did not say.
    pub token_type: Option<String>,
    /// Granted scopes; `None` where the provider did not say (RFC 6749 §5.1: as requested).
    pub scope: Option<Vec<String>>,
    /// Lifetime in seconds, counted from the moment the request was sent; `None` where not said.
    pub expires_in: Option<i64>,
    /// Absolute expiry in seconds since the Unix epoch, where the provider states one as a number.
    pub expires_at: Option<f64>,
    /// The refresh token; `None` where none came (RFC 6749 §6: keep the old one).
    pub refresh_token: Option<Secret>,
    /// The OpenID Connect id token, if one came.
    pub id_token: Option<Secret>,
    /// Every other member, as it came; at any depth without members named like a token or secret.
    pub extra: Map<String, Value>,
}

impl TokenAnswer {
    /// What came beside the tokens, the id token among it: to be kept, sealed.
    pub(crate) fn members(&self) -> Map<String, Value> {
        let mut members = self.extra.clone();
        if let Some(id_token) = &self.id_token {
            members.insert("id_token".to_owned(), Value::from(id_token.expose()));
        }
        members
    }

    /// The token this answer makes of `previous`, which a refresh passes and a login does not.
    ///
    /// What a refresh answer leaves out stays as it was: the refresh token (RFC 6749 §6), the scope
    /// (§5.1) and the token type. An answer that says nothing of expiry keeps the previous lifetime,
    /// counted anew from `sent_at`; only a lifetime above zero is kept, so that no answer can expire
    /// at once because an old record says so. A provider's own `expires_at` wins over `expires_in`.
    pub fn token(&self, sent_at: Timestamp, previous: Option<&OAuthToken>) -> OAuthToken {
        let stated = self.expires_in.is_some() || self.expires_at.is_some();
        let kept = previous.and_then(OAuthToken::lifetime).filter(|_| !stated);
        let expires_in = self.expires_in.or_else(|| {
            // A lifetime below one second is kept as one, lest it read as "not stated".
            kept.map(|span| i64::try_from(span.as_secs().max(1)).unwrap_or(i64::MAX))
        });
        let counted = expires_in
            .map(|seconds| Seconds::Int(sent_at.rounded_seconds().saturating_add(seconds)));
        let granted = self.scope.clone().map(Scope::List);
        OAuthToken {
            access_token: self.access_token.clone(),
            scope: granted.or_else(|| previous?.scope.clone()),
            token_type: self.token_type.clone().or_else(|| previous?.token_type.clone()),
            expires_in: expires_in.map(Seconds::Int),
            expires_at: self.expires_at.map(seconds).or(counted),
            refresh_token: self.refresh_token.clone().or_else(|| previous?.refresh_token.clone()),
        }
    }
}

/// A whole number as an integer, as Flet saves it; anything else as the float it is.
fn seconds(value: f64) -> Seconds {
    // Up to 2^53 every whole float is exactly one integer.
    if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Seconds::Int(value as i64);
    }
    Seconds::Float(value)
}

impl fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAnswer")
            .field("access_token", &self.access_token)
            .field("token_type", &self.token_type)
            .field("scope", &self.scope)
            .field("expires_in", &self.expires_in)
            .field("expires_at", &self.expires_at)
            .field("refresh_token", &self.refresh_token)
            .field("id_token", &self.id_token)
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Why a token request brought no tokens, sorted by what the provider may have done meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request was provably never sent (DNS, connect, TLS): nothing is consumed.
    #[error("the provider could not be reached: {detail}")]
    NotSent {
        /// What failed, without URL query or body.
        detail: String,
    },
    /// The provider refused to work on it now (429, or 503 with `Retry-After`): nothing is consumed.
    #[error("the provider asked for patience (HTTP {status})")]
    Busy {
        /// The HTTP status.
        status: u16,
        /// The provider's `Retry-After`, if it sent one.
        retry_after: Option<Duration>,
    },
    /// It was sent, and no readable answer came (timeout, reset, 5xx, malformed 2xx): it may have been consumed.
    #[error("the outcome of the request is unknown: {detail}")]
    InDoubt {
        /// What came instead of an answer, without its body.
        detail: String,
    },
    /// The provider's final word on this grant (`invalid_grant` and its kin): log in again.
    #[error("the provider rejected the grant: {error}")]
    Rejected {
        /// The provider's error code.
        error: String,
        /// The provider's own explanation, if it gave one.
        description: Option<String>,
    },
    /// The provider does not accept this client or request: fix the configuration.
    #[error("the provider does not accept this client's request: {error}")]
    Misconfigured {
        /// The provider's error code, or what stood in its place.
        error: String,
        /// The provider's own explanation, if it gave one.
        description: Option<String>,
    },
}
