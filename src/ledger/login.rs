//! A login in progress: stored once, taken once, gone after its time.

use serde::{Deserialize, Serialize};

use crate::ledger::{AttemptId, Sealed};
use crate::model::Timestamp;

/// A login between its authorization URL and its callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginEntry {
    /// What was drawn for it.
    pub sealed: Sealed,
    /// Who took it.
    pub taken_by: Option<AttemptId>,
    /// After this it can no longer be finished.
    pub expires: Timestamp,
    /// After this even the memory of it may go.
    pub forget: Timestamp,
}

/// The answer to a callback that wants to finish a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenLogin {
    /// It is yours, and nobody else's.
    Taken(Sealed),
    /// Somebody took it before.
    AlreadyTaken,
    /// It came too late.
    Expired,
    /// Nobody began it here, or so long ago that it is forgotten.
    Unknown,
}

/// Takes a login; exactly one attempt to complete it gets it. Repeating it as the same attempt gives the same.
pub fn take_login(
    entry: Option<&mut LoginEntry>,
    now: Timestamp,
    attempt: AttemptId,
) -> TakenLogin {
    let Some(entry) = entry.filter(|entry| entry.forget > now) else {
        return TakenLogin::Unknown;
    };
    match entry.taken_by {
        None if entry.expires <= now => return TakenLogin::Expired,
        Some(other) if other != attempt => return TakenLogin::AlreadyTaken,
        None | Some(_) => entry.taken_by = Some(attempt),
    }
    TakenLogin::Taken(entry.sealed.clone())
}
