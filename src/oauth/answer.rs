//! What a token endpoint said, in one form for every provider.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::Secret;

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
    /// Every other member, as it came.
    pub extra: Map<String, Value>,
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
