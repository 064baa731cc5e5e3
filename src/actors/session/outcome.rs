//! What a read or an exchange came to, in the actor's terms.

use std::time::Duration;

use crate::actors::session::Known;
use crate::ledger::{ErrorNote, FailKind};
use crate::model::{BootTime, Misconfigured, NeedsLogin, Timestamp, TokenError, Unavailable};
use crate::oauth::RequestError;
use crate::store::SealedStoreError;

/// Nothing was sent: the provider could not be reached.
const UNREACHABLE: &str = "unreachable";
/// The provider asked for patience.
const BUSY: &str = "busy";
/// Sent, and no readable answer came.
const IN_DOUBT: &str = "in_doubt";
/// The run of this node that had sent it ended.
pub(crate) const INTERRUPTED: &str = "interrupted";
/// Nothing was sent: the store's leave came too late.
pub(crate) const NOT_SENT: &str = "not_sent";

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
        SealedStoreError::Overtaken => {
            let reason = Unavailable::Store { detail: error.to_string() };
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
        RequestError::NotSent { detail } => (UNREACHABLE.to_owned(), Some(detail.clone())),
        RequestError::Busy { status, .. } => (BUSY.to_owned(), Some(format!("HTTP {status}"))),
        RequestError::InDoubt { detail } => (IN_DOUBT.to_owned(), Some(detail.clone())),
        RequestError::Rejected { error, description }
        | RequestError::Misconfigured { error, description } => {
            (error.clone(), description.clone())
        }
    };
    ErrorNote { code, description, at }
}

/// The caller's view of a failure that the record tells of.
pub(crate) fn noted(note: &ErrorNote) -> TokenError {
    let detail = note.description.clone().unwrap_or_else(|| note.code.clone());
    match note.code.as_str() {
        IN_DOUBT | INTERRUPTED => TokenError::unavailable(Unavailable::InDoubt { detail }, None),
        UNREACHABLE | BUSY | NOT_SENT => {
            TokenError::unavailable(Unavailable::Provider { detail }, None)
        }
        // Every other code is the provider's own, and its final words leave nothing to wait for.
        code => {
            let (error, description) = (code.to_owned(), note.description.clone());
            TokenError::misconfigured(Misconfigured::Client { error, description })
        }
    }
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
