//! Asks the provider who the user is, and which groups they are in.

mod endpoint;
mod github;

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request};
use serde_json::{Map, Value};

use crate::model::{Secret, User};
use crate::oauth::http::{HttpError, Reply, rate_limit_reset};
use crate::oauth::provider::UserSource;
use crate::oauth::{HttpClient, Provider, ProviderUrl, UserIdProblem};

/// A user, with what went wrong while their groups were fetched.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The user. Without groups if they were not asked for, or could not be fetched.
    pub user: User,
    /// Why the groups could not be fetched; `None` if they were, or were not asked for.
    pub groups_error: Option<UserError>,
}

/// Why there is no user, sorted by what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The provider does not accept the access token (401): refresh it, then ask again.
    #[error("the provider does not accept the access token")]
    Unauthorized,
    /// The provider could not be reached, or asks for patience: ask again later.
    #[error("the user could not be fetched for now: {detail}")]
    Unavailable {
        /// What failed, without URL query or body.
        detail: String,
        /// How long the provider asks to be left alone, if it said so.
        retry_after: Option<Duration>,
    },
    /// The provider refuses to tell: fix scopes, endpoint or user id rule.
    #[error("the provider does not tell who the user is: {detail}")]
    Misconfigured {
        /// What stands in the way, and what to change.
        detail: String,
    },
    /// The answer is not what a user endpoint says.
    #[error("the answer about the user is not readable: {detail}")]
    Malformed {
        /// What is wrong with it, without quoting it.
        detail: String,
    },
}

/// Fetches the user, and their groups if `with_groups`; `None` where the provider tells nothing.
///
/// A failure to fetch groups is reported beside the user, never instead of them.
///
/// # Errors
///
/// [`UserError`], sorted by what to do next.
pub async fn fetch_user(
    http: &HttpClient,
    provider: &Provider,
    access_token: &Secret,
    with_groups: bool,
) -> Result<Option<Profile>, UserError> {
    let api = Api { http, access_token, timeout: provider.timeout() };
    match provider.user_source() {
        UserSource::None => Ok(None),
        UserSource::Endpoint { url, id, groups_claim } => {
            let groups_claim = groups_claim.as_deref().filter(|_| with_groups);
            endpoint::fetch(&api, url, id, groups_claim).await.map(Some)
        }
        UserSource::GitHub { api_base, id } => {
            github::fetch(&api, api_base, id, with_groups).await.map(Some)
        }
    }
}

/// A provider's API, asked on behalf of one user.
struct Api<'a> {
    http: &'a HttpClient,
    access_token: &'a Secret,
    timeout: Duration,
}

impl Api<'_> {
    /// Fetches one JSON document. The token goes into the header and nowhere else (RFC 6750 §2.1).
    async fn get(&self, url: &ProviderUrl, accept: &'static str) -> Result<Value, UserError> {
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.access_token.expose()))
            .map_err(|_| UserError::Malformed {
                detail: "the access token holds characters that no header can".to_owned(),
            })?;
        let request = Request::get(url.as_str())
            .header(ACCEPT, accept)
            .header(AUTHORIZATION, bearer)
            .body(Vec::new())
            .expect("a provider URL is a valid request target");
        let reply = self.http.send(request, self.timeout).await?;
        self.refuse_failures(&reply)?;
        serde_json::from_slice(&reply.raw.body)
            .map_err(|_| UserError::Malformed { detail: "it is not JSON".to_owned() })
    }

    fn refuse_failures(&self, reply: &Reply) -> Result<(), UserError> {
        let status = reply.raw.status;
        let asked_to_wait =
            || reply.raw.retry_after.or_else(|| rate_limit_reset(&reply.headers, self.http.now()));
        let unavailable =
            |retry_after| UserError::Unavailable { detail: format!("HTTP {status}"), retry_after };
        let misconfigured = |advice: &str| {
            Err(UserError::Misconfigured { detail: format!("HTTP {status}; {advice}") })
        };
        match status {
            200..=299 => Ok(()),
            300..=399 => misconfigured("redirects are never followed; set its final address"),
            401 => Err(UserError::Unauthorized),
            408 | 429 | 500..=599 => Err(unavailable(asked_to_wait())),
            // GitHub says 403 to clients that are too fast, too.
            403 => match asked_to_wait() {
                Some(wait) => Err(unavailable(Some(wait))),
                None => misconfigured("ask for the scopes that the user's data needs"),
            },
            404 => misconfigured("check the address, and the scopes it needs"),
            _ => misconfigured("check the address of the user's data"),
        }
    }
}

impl From<HttpError> for UserError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::TooLarge => Self::Malformed { detail: error.to_string() },
            HttpError::NotSent { .. } | HttpError::TimedOut { .. } | HttpError::Broken { .. } => {
                Self::Unavailable { detail: error.to_string(), retry_after: None }
            }
        }
    }
}

impl From<UserIdProblem> for UserError {
    fn from(problem: UserIdProblem) -> Self {
        Self::Misconfigured { detail: problem.to_string() }
    }
}

fn object(value: Value) -> Result<Map<String, Value>, UserError> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(UserError::Malformed { detail: "it is not a JSON object".to_owned() }),
    }
}

fn list(value: Value) -> Result<Vec<Value>, UserError> {
    match value {
        Value::Array(list) => Ok(list),
        _ => Err(UserError::Malformed { detail: "it is not a JSON list".to_owned() }),
    }
}

#[cfg(test)]
mod tests;
