//! The token as Flet saves it, and its JSON form.

use crate::model::Secret;

/// One token answer, with the fields and the meaning of Flet's `OAuthToken`.
#[derive(Debug, Clone, PartialEq)]
pub struct OAuthToken {
    /// What is sent to the provider's APIs.
    pub access_token: Secret,
    /// What was granted; `None` where the provider did not say.
    pub scope: Option<Scope>,
    /// Usually `Bearer`; `None` where the provider did not say.
    pub token_type: Option<String>,
    /// Lifetime in seconds as the provider stated it, counted from the moment the request was sent.
    pub expires_in: Option<Seconds>,
    /// When the access token expires, in seconds since the Unix epoch; `None` for never or unknown.
    pub expires_at: Option<Seconds>,
    /// What the next access token is bought with; `None` where there is none.
    pub refresh_token: Option<Secret>,
}

/// Granted scopes, in the form they were saved in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// A list, one entry a scope.
    List(Vec<String>),
    /// One string as it was saved.
    Text(String),
}

/// A number of seconds in the form it was saved in.
#[derive(Debug, Clone, PartialEq)]
pub enum Seconds {
    /// Written as an integer.
    Int(i64),
    /// Written as a floating-point number.
    Float(f64),
    /// Written as a string.
    Text(String),
}

/// Why a saved token could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavedTokenError {
    /// placeholder
    #[error("placeholder")]
    Placeholder,
}
