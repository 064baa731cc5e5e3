//! What the provider's redirect back brought along.

use std::borrow::Cow;

use url::{Url, form_urlencoded};

use crate::model::Secret;
use crate::oauth::Provider;

/// The longest query or URL that is read, in bytes.
const LENGTH_LIMIT: usize = 8 * 1024;

/// The answer to one authorization request (RFC 6749 §4.1.2), well-formed but not yet believed.
///
/// Exactly one of `code` and `error` is there. Whether `state` belongs to a login that was begun,
/// only the store of logins knows.
#[derive(Debug, Clone)]
pub struct CallbackQuery {
    /// What names the login it answers.
    pub state: Secret,
    /// The code to exchange; `None` if the login was refused.
    pub code: Option<Secret>,
    /// Why it was refused, as a short code such as `access_denied`; `None` if it was not.
    pub error: Option<String>,
    /// The provider's own explanation. Written by whoever made the URL: escape it before showing it.
    pub error_description: Option<String>,
    /// Who answers (RFC 9207); `None` where the provider does not say.
    pub iss: Option<String>,
}

impl CallbackQuery {
    /// Parses a query string, with or without its `?`, or the whole URL or path that holds it.
    ///
    /// Unknown parameters are ignored, as the redirect URL may have some of its own.
    ///
    /// # Errors
    ///
    /// Every [`CallbackError`] but the two about the issuer.
    pub fn parse(query_or_url: &str) -> Result<Self, CallbackError> {
        if query_or_url.len() > LENGTH_LIMIT {
            return Err(CallbackError::TooLong { bytes: query_or_url.len() });
        }
        let query = query_of(query_or_url);
        let code = once(&query, "code")?;
        let state = once(&query, "state")?.filter(|state| !state.is_empty());
        let error = once(&query, "error")?.filter(|error| !error.is_empty());
        let error_description = once(&query, "error_description")?;
        let iss = once(&query, "iss")?;

        let state = state.ok_or(CallbackError::MissingState)?;
        match (&code, &error) {
            (Some(_), Some(_)) => return Err(CallbackError::CodeAndError),
            (None, None) => return Err(CallbackError::NeitherCodeNorError),
            (Some(code), None) if code.is_empty() => return Err(CallbackError::EmptyCode),
            _ => {}
        }
        Ok(Self {
            state: state.into(),
            code: code.map(Secret::from),
            error: error.map(|text| printable(&text)),
            error_description: error_description.map(|text| printable(&text)),
            iss,
        })
    }

    /// Checks that the provider the login was begun with is the one that answers (RFC 9207 §2.4).
    ///
    /// Do so before exchanging the code, for refusals too.
    ///
    /// # Errors
    ///
    /// [`CallbackError::WrongIssuer`] or [`CallbackError::MissingIssuer`].
    pub fn check_issuer(&self, provider: &Provider) -> Result<(), CallbackError> {
        match (&self.iss, provider.issuer()) {
            (Some(iss), Some(issuer)) if iss != issuer => Err(CallbackError::WrongIssuer),
            (None, Some(_)) if provider.requires_iss() => Err(CallbackError::MissingIssuer),
            _ => Ok(()),
        }
    }
}

/// Why a callback is not the answer to any login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// It is longer than 8 KiB.
    #[error(
        "the callback has {bytes} bytes; at most {LENGTH_LIMIT} are read; begin the login again"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A parameter came more than once (RFC 6749 §3.1).
    #[error("the callback holds {name} more than once; begin the login again")]
    Duplicate {
        /// The parameter's name.
        name: &'static str,
    },
    /// It names no login.
    #[error("the callback holds no state; begin the login again")]
    MissingState,
    /// It holds a code, but an empty one.
    #[error("the callback holds an empty code; begin the login again")]
    EmptyCode,
    /// It claims success and failure at once.
    #[error("the callback holds both a code and an error; begin the login again")]
    CodeAndError,
    /// It claims neither success nor failure.
    #[error("the callback holds neither a code nor an error; begin the login again")]
    NeitherCodeNorError,
    /// Its `iss` is not the issuer of the provider the login was begun with.
    #[error("the callback comes from another issuer than the login's provider; refuse it")]
    WrongIssuer,
    /// The provider always says `iss`, and this callback does not.
    #[error("the callback does not say which issuer it comes from; refuse it")]
    MissingIssuer,
}

/// The query of a URL or a path, or the text itself where it is a query already.
fn query_of(text: &str) -> Cow<'_, str> {
    // A query's first `=` or `&` comes before any `:`, so it never parses as a URL.
    if let Ok(url) = Url::parse(text) {
        return Cow::Owned(url.query().unwrap_or_default().to_owned());
    }
    let text = text.split_once('#').map_or(text, |(before, _)| before);
    match text.split_once('?') {
        Some((path, query)) if path.is_empty() || path.starts_with('/') => Cow::Borrowed(query),
        None if text.starts_with('/') => Cow::Borrowed(""),
        _ => Cow::Borrowed(text),
    }
}

/// The value of a parameter that may come at most once.
fn once(query: &str, name: &'static str) -> Result<Option<String>, CallbackError> {
    let mut values = form_urlencoded::parse(query.as_bytes())
        .filter_map(|(known, value)| (known == name).then(|| value.into_owned()));
    let value = values.next();
    if values.next().is_some() {
        return Err(CallbackError::Duplicate { name });
    }
    Ok(value)
}

/// Control characters have no business in these texts (RFC 6749 §4.1.2.1), and would forge log lines.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
