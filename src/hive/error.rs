//! Why a login or a restore did not succeed, sorted by what to do next.

use std::time::Duration;

use crate::ledger::TakenLogin;
use crate::model::{Misconfigured, ProviderId, SavedTokenError, TokenError, Unavailable};
use crate::oauth::{AuthorizeError, CallbackError, RequestError};

/// Why a login did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The user or the provider said no. Show it to the user.
    #[error("the login was refused: {error}")]
    Refused {
        /// The provider's code, such as `access_denied` (RFC 6749 §4.1.2.1).
        error: String,
        /// The provider's own explanation. Escape it before showing it.
        description: Option<String>,
    },
    /// Begin a new login.
    #[error("{}", again(reason))]
    BeginAgain {
        /// What was wrong with this one.
        reason: LoginFault,
    },
    /// Wait, then begin a new login.
    #[error("no login is possible at the moment: {reason}")]
    Unavailable {
        /// What stands in the way.
        reason: Unavailable,
        /// How long to wait, where that is known.
        retry_after: Option<Duration>,
    },
    /// Fix the configuration.
    #[error("the configuration needs fixing: {reason}")]
    Misconfigured {
        /// What is wrong.
        reason: Misconfigured,
    },
    /// The request holds something no login can hold: fix the call.
    #[error(transparent)]
    Request(#[from] AuthorizeError),
}

/// What was wrong with a login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginFault {
    /// The callback is not well-formed, or comes from another issuer.
    #[error(transparent)]
    Callback(#[from] CallbackError),
    /// Its state names no login: it is forged, or hours old.
    #[error("its state belongs to no login that was begun here")]
    UnknownState,
    /// The login was finished before.
    #[error("it was finished before; a login works once")]
    AlreadyFinished,
    /// It came too late.
    #[error("it came too late")]
    Expired,
    /// The provider rejected the code.
    #[error("the provider rejected the code: {error}")]
    CodeRejected {
        /// The provider's error code.
        error: String,
        /// The provider's own explanation, if it gave one.
        description: Option<String>,
    },
    /// The code was sent and no readable answer came; a code is never sent twice.
    #[error("the outcome of the code exchange is unknown ({detail})")]
    InDoubt {
        /// What came instead of an answer.
        detail: String,
    },
    /// `request_token` was called before `get_authorization_data` on this handle.
    #[error("no authorization URL was asked for on this handle")]
    NotBegun,
}

/// A callback's own words say already what to do.
fn again(reason: &LoginFault) -> String {
    match reason {
        LoginFault::Callback(fault) => fault.to_string(),
        other => format!("begin the login again: {other}"),
    }
}

impl LoginError {
    pub(crate) fn again(reason: LoginFault) -> Self {
        Self::BeginAgain { reason }
    }

    pub(crate) fn taken(refusal: &TakenLogin) -> Self {
        Self::again(match refusal {
            TakenLogin::AlreadyTaken => LoginFault::AlreadyFinished,
            TakenLogin::Expired => LoginFault::Expired,
            TakenLogin::Taken(_) | TakenLogin::Unknown => LoginFault::UnknownState,
        })
    }

    pub(crate) fn unknown_provider(id: &ProviderId) -> Self {
        Self::Misconfigured { reason: Misconfigured::UnknownProvider(id.clone()) }
    }
}

impl From<RequestError> for LoginError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Rejected { error, description } => {
                Self::again(LoginFault::CodeRejected { error, description })
            }
            RequestError::InDoubt { detail } => Self::again(LoginFault::InDoubt { detail }),
            RequestError::Misconfigured { error, description } => {
                Self::Misconfigured { reason: Misconfigured::Client { error, description } }
            }
            RequestError::Busy { retry_after, .. } => {
                let reason = Unavailable::Provider { detail: error.to_string() };
                Self::Unavailable { reason, retry_after }
            }
            RequestError::NotSent { .. } => {
                let reason = Unavailable::Provider { detail: error.to_string() };
                Self::Unavailable { reason, retry_after: None }
            }
        }
    }
}

impl From<TokenError> for LoginError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Unavailable { reason, retry_after } => {
                Self::Unavailable { reason, retry_after }
            }
            TokenError::Misconfigured { reason } => Self::Misconfigured { reason },
            TokenError::NeedsLogin { .. } => Self::again(LoginFault::UnknownState),
        }
    }
}

/// Why a saved token could not be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The text is not a saved token. Nothing was stored.
    #[error("the saved token cannot be read: {0}")]
    Saved(#[from] SavedTokenError),
    /// It has expired and holds no refresh token. Nothing was stored.
    #[error("the saved token has expired and holds no refresh token; log in again")]
    Expired,
    /// It could not be stored, or was stored and could not be refreshed; see inside what to do next.
    #[error(transparent)]
    Token(#[from] TokenError),
}
