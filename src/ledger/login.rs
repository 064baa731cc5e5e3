//! A login in progress: stored once, taken once, gone after its time.

use serde::{Deserialize, Serialize};

use crate::ledger::Sealed;
use crate::model::Timestamp;

/// A login between its authorization URL and its callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginEntry {
    /// What was drawn for it; `None` once it was taken.
    pub sealed: Option<Sealed>,
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

/// Takes a login out of its entry; exactly one caller gets it.
pub fn take_login(entry: Option<&mut LoginEntry>, now: Timestamp) -> TakenLogin {
    let Some(entry) = entry.filter(|entry| entry.forget > now) else {
        return TakenLogin::Unknown;
    };
    if entry.sealed.is_some() && entry.expires <= now {
        return TakenLogin::Expired;
    }
    entry.sealed.take().map_or(TakenLogin::AlreadyTaken, TakenLogin::Taken)
}
