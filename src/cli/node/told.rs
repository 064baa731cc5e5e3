//! How a node tells tokens, sessions and errors: no token ever, words that a test can compare.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::node::protocol::Refusal;
use crate::hive::{LoginError, LoginFault, RestoreError, SessionInfo, SessionState};
use crate::model::{Clock, NeedsLogin, Snapshot, SystemClock, TokenError, Unavailable};
use crate::simulator::Fingerprint;

pub(super) fn token(snapshot: &Snapshot) -> Value {
    let left = snapshot.expires().since(SystemClock.boot());
    json!({
        "version": snapshot.version(),
        "generation": snapshot.generation(),
        "expires_in_ms": millis(left),
        "fingerprint": Fingerprint::of(snapshot.access_token().expose()),
    })
}

pub(super) fn session(info: &SessionInfo) -> Value {
    let state = match info.state {
        SessionState::Active => "active",
        SessionState::Refreshing => "refreshing",
        SessionState::Suspect => "suspect",
        SessionState::Fixed => "fixed",
        SessionState::NeedsLogin => "needs_login",
    };
    json!({
        "state": state,
        "generation": info.generation,
        "version": info.version,
        "failures": info.failures,
        "last_error": info.last_error.as_ref().map(|note| &note.code),
        "due_ms": info.due.map(|due| due.as_millis()),
        "expires_ms": info.expires.map(|expires| expires.as_millis()),
    })
}

pub(super) fn kind(error: &TokenError) -> &'static str {
    match error {
        TokenError::Unavailable { reason, .. } => match reason {
            Unavailable::Provider { .. } => "unavailable.provider",
            Unavailable::InDoubt { .. } => "unavailable.in_doubt",
            Unavailable::Suspect => "unavailable.suspect",
            Unavailable::Busy => "unavailable.busy",
            Unavailable::Store { .. } => "unavailable.store",
            Unavailable::Overloaded => "unavailable.overloaded",
            Unavailable::Deadline => "unavailable.deadline",
            Unavailable::Closing => "unavailable.closing",
            Unavailable::Journal { .. } => "unavailable.journal",
            Unavailable::ActorFailed => "unavailable.actor_failed",
        },
        TokenError::NeedsLogin { reason } => match reason {
            NeedsLogin::NoSession => "needs_login.no_session",
            NeedsLogin::NoRefreshToken => "needs_login.no_refresh_token",
            NeedsLogin::Rejected { .. } => "needs_login.rejected",
        },
        TokenError::Misconfigured { .. } => "misconfigured",
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        let retry_after_ms = error.retry_after().map(millis);
        Self { kind: kind(&error), message: error.to_string(), retry_after_ms }
    }
}

impl From<RestoreError> for Refusal {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Token(error) => error.into(),
            RestoreError::Saved(_) => Self::new("restore.unreadable", &error),
            RestoreError::Expired => Self::new("restore.expired", &error),
        }
    }
}

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Self {
        let kind = match &error {
            LoginError::Refused { .. } => "login.refused",
            LoginError::BeginAgain { reason: LoginFault::AlreadyFinished } => {
                "login.already_finished"
            }
            LoginError::BeginAgain { .. } => "login.begin_again",
            LoginError::Unavailable { .. } => "login.unavailable",
            LoginError::Misconfigured { .. } => "misconfigured",
            LoginError::Request(_) => "login.request",
        };
        Self::new(kind, &error)
    }
}

impl Refusal {
    pub(super) fn new(kind: &'static str, error: &dyn std::fmt::Display) -> Self {
        Self { kind, message: error.to_string(), retry_after_ms: None }
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
