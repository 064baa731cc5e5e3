//! What a read or an exchange came to, in the actor's terms.

use std::time::Duration;

use crate::actors::session::Known;
use crate::ledger::{ErrorNote, FailKind};
use crate::model::{BootTime, Misconfigured, NeedsLogin, Timestamp, TokenError, Unavailable};
use crate::oauth::RequestError;
use crate::store::SealedStoreError;

/// What reading the record came to.
#[derive(Debug)]
pub(crate) enum LoadOutcome {
    Known(Box<Known>),
    Absent,
    Failed(TokenError),
}

/// What an exchange came to.
#[derive(Debug)]
pub(crate) enum ExchangeOutcome {
    /// The record has changed, here or elsewhere, and this is what it says now.
    Known(Box<Known>),
    /// Nothing was installed; not before then may the next one begin. `failed` if the provider was
    /// asked: such failures add up to longer waits.
    Later { until: BootTime, why: TokenError, failed: bool },
    /// The record must be read again.
    Reread,
    /// The session is not there any more.
    Absent,
}

/// The caller's view of a failing store.
pub(crate) fn store_failure(error: &SealedStoreError) -> TokenError {
    match error {
        SealedStoreError::Store(inner) => {
            let reason = Unavailable::Store { detail: inner.to_string() };
            TokenError::unavailable(reason, Some(Duration::from_secs(1)))
        }
        SealedStoreError::Seal(_) | SealedStoreError::Content => {
            TokenError::misconfigured(Misconfigured::Sealed { detail: error.to_string() })
        }
    }
}

/// What the ledger is told about a failed request.
pub(crate) fn kind(error: &RequestError) -> FailKind {
    match error {
        RequestError::NotSent { .. } => FailKind::NotSent,
        RequestError::Busy { .. } => FailKind::Refused,
        RequestError::InDoubt { .. } => FailKind::InDoubt,
        RequestError::Rejected { .. } => FailKind::Rejected,
        // RFC 6749 §5.2: the client or the request is refused, the refresh token is not looked at.
        RequestError::Misconfigured { error, .. } if is_about_the_client(error) => {
            FailKind::Refused
        }
        RequestError::Misconfigured { .. } => FailKind::Misconfigured,
    }
}

/// Codes of RFC 6749 §5.2 that are answered before the grant is redeemed.
fn is_about_the_client(error: &str) -> bool {
    matches!(
        error,
        "invalid_client"
            | "unauthorized_client"
            | "unsupported_grant_type"
            | "invalid_request"
            | "invalid_scope"
    )
}

/// What people are told about a failed request.
pub(crate) fn note(error: &RequestError, at: Timestamp) -> ErrorNote {
    let (code, description) = match error {
        RequestError::NotSent { detail } => ("unreachable".to_owned(), Some(detail.clone())),
        RequestError::Busy { status, .. } => ("busy".to_owned(), Some(format!("HTTP {status}"))),
        RequestError::InDoubt { detail } => ("in_doubt".to_owned(), Some(detail.clone())),
        RequestError::Rejected { error, description }
        | RequestError::Misconfigured { error, description } => {
            (error.clone(), description.clone())
        }
    };
    ErrorNote { code, description, at }
}

/// The caller's view of a failed request.
pub(crate) fn why(error: &RequestError) -> TokenError {
    match error {
        RequestError::NotSent { .. } | RequestError::Busy { .. } => {
            let reason = Unavailable::Provider { detail: error.to_string() };
            TokenError::unavailable(reason, None)
        }
        RequestError::InDoubt { detail } => {
            TokenError::unavailable(Unavailable::InDoubt { detail: detail.clone() }, None)
        }
        RequestError::Rejected { error, description } => {
            let (error, description) = (error.clone(), description.clone());
            TokenError::needs_login(NeedsLogin::Rejected { error, description })
        }
        RequestError::Misconfigured { error, description } => {
            let (error, description) = (error.clone(), description.clone());
            TokenError::misconfigured(Misconfigured::Client { error, description })
        }
    }
}
