//! Why a caller did not get a token, sorted by what the caller does next.

use std::time::Duration;

use crate::model::ProviderId;

/// Why a caller did not get a token: wait, log in again, or fix the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Wait and ask again. The session is not harmed.
    #[error("no valid token at the moment: {reason}{}", hint(*retry_after))]
    Unavailable {
        /// What stands in the way.
        reason: Unavailable,
        /// How long to wait, where that is known.
        retry_after: Option<Duration>,
    },
    /// Send the user through a login. Nothing else helps.
    #[error("the user has to log in again: {reason}")]
    NeedsLogin {
        /// Why.
        reason: NeedsLogin,
    },
    /// Fix the configuration. The session is not harmed.
    #[error("the configuration needs fixing: {reason}")]
    Misconfigured {
        /// What is wrong.
        reason: Misconfigured,
    },
}

fn hint(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| format!("; try again in {} ms", wait.as_millis()))
}

/// What stands in the way of a token for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The provider cannot be reached, is failing, or asked for patience.
    #[error("the provider is not answering ({detail})")]
    Provider {
        /// What it did.
        detail: String,
    },
    /// A refresh was sent and its outcome is unknown; the token is not presented again too soon.
    #[error("the outcome of the last refresh is unknown ({detail})")]
    InDoubt {
        /// What came instead of an answer.
        detail: String,
    },
    /// The provider rejected a refresh that may have been a repetition; a late answer may heal it.
    #[error("the last refresh was rejected and may have been a repetition")]
    Suspect,
    /// Another exchange of this session is in flight.
    #[error("another refresh of this session is in flight")]
    Busy,
    /// The store cannot be reached.
    #[error("the store is not answering ({detail})")]
    Store {
        /// What it said.
        detail: String,
    },
    /// The local journal cannot be written, and without it an answer of this provider could be lost for
    /// good: no refresh begins until it can.
    #[error("the local journal cannot be written ({detail})")]
    Journal {
        /// What stands in the way.
        detail: String,
    },
    /// Too many callers wait for this session.
    #[error("too many callers wait for this session")]
    Overloaded,
    /// The caller's own deadline passed; the refresh goes on.
    #[error("the caller's deadline passed before the refresh finished")]
    Deadline,
    /// This hive is shutting down.
    #[error("tokenhive is shutting down")]
    Closing,
    /// The session's actor failed each time it was asked; it is started afresh for the next caller.
    #[error("the session's actor failed")]
    ActorFailed,
}

/// Why only a login helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeedsLogin {
    /// Nobody ever logged in under this key, or it was deleted.
    #[error("there is no such session")]
    NoSession,
    /// The access token has expired and the provider gave no refresh token.
    #[error("the token has expired and the provider gave no refresh token")]
    NoRefreshToken,
    /// The provider's final word.
    #[error("the provider rejected the refresh token: {error}{}", described(description.as_deref()))]
    Rejected {
        /// The provider's error code.
        error: String,
        /// The provider's own explanation, if it gave one.
        description: Option<String>,
    },
}

fn described(description: Option<&str>) -> String {
    description.map_or_else(String::new, |text| format!(" ({text})"))
}

/// What is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misconfigured {
    /// No provider of that id was given to the builder.
    #[error("provider {0} is not configured; add it to the builder")]
    UnknownProvider(ProviderId),
    /// The name given is no provider's.
    #[error("there is no provider named {0:?}; add it to the builder or correct the name")]
    NoSuchProvider(String),
    /// The provider does not accept the client or its request.
    #[error("the provider does not accept this client: {error}{}", described(description.as_deref()))]
    Client {
        /// The provider's error code, or what stood in its place.
        error: String,
        /// The provider's own explanation, if it gave one.
        description: Option<String>,
    },
    /// The stored session cannot be opened with this keyring.
    #[error("the stored session cannot be read ({detail})")]
    Sealed {
        /// What is wrong.
        detail: String,
    },
}

impl TokenError {
    /// An [`TokenError::Unavailable`] with an optional hint.
    pub fn unavailable(reason: Unavailable, retry_after: Option<Duration>) -> Self {
        Self::Unavailable { reason, retry_after }
    }

    /// A [`TokenError::NeedsLogin`].
    pub fn needs_login(reason: NeedsLogin) -> Self {
        Self::NeedsLogin { reason }
    }

    /// A [`TokenError::Misconfigured`].
    pub fn misconfigured(reason: Misconfigured) -> Self {
        Self::Misconfigured { reason }
    }

    /// How long to wait before asking again, where waiting helps and the time is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::NeedsLogin { .. } | Self::Misconfigured { .. } => None,
        }
    }
}
