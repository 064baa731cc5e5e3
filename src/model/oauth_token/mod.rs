//! The token as Flet saves it, and its JSON form.

mod json;
mod seconds;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::model::{Secret, Timestamp};

pub use self::json::SavedTokenError;
pub use self::seconds::Seconds;

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

impl OAuthToken {
    /// When the access token expires; `None` for never or unknown.
    ///
    /// Times beyond what a [`Timestamp`] can hold are held at its ends.
    pub fn expiry(&self) -> Option<Timestamp> {
        self.expires_at.as_ref()?.millis().map(Timestamp::from_millis)
    }

    /// The lifetime the provider stated; `None` if it stated none, or none above zero.
    pub fn lifetime(&self) -> Option<Duration> {
        let millis = u64::try_from(self.expires_in.as_ref()?.millis()?).ok()?;
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// The granted scopes one by one, empty entries left out; empty where the provider did not say.
    pub fn scope_list(&self) -> Vec<&str> {
        match &self.scope {
            None => Vec::new(),
            Some(Scope::Text(text)) => text.split_whitespace().collect(),
            Some(Scope::List(list)) => {
                list.iter().map(String::as_str).filter(|scope| !scope.is_empty()).collect()
            }
        }
    }
}
