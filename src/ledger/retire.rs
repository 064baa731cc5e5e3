//! What else happens to a session: deletion, settling a doubt, waiting longer, being claimed.

use std::time::Duration;

use crate::ledger::{Entry, Sealed, Status, Tombstone};
use crate::model::{ProviderId, Timestamp};

/// How long a tombstone is kept: longer than any exchange or journal entry lives.
pub(crate) const TOMBSTONE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A node asks for sessions that will be due soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// How far ahead to look.
    pub horizon: Duration,
    /// Most sessions to return.
    pub limit: usize,
    /// How long a claimed session stays hidden from the next claim.
    pub visibility: Duration,
}

/// What a deletion removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Where its tokens came from.
    pub provider: ProviderId,
    /// What is left of it.
    pub tombstone: Tombstone,
    /// Its refresh token, to be revoked at the provider (RFC 7009).
    pub refresh: Option<Sealed>,
    /// Its access token, to be revoked where there is no refresh token.
    pub access: Sealed,
}

/// What became of a suspect session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Its deadline has not passed.
    NotYet {
        /// When it does.
        until: Timestamp,
    },
    /// It may try once more, at once.
    LastTry,
    /// No try is left: it is dead.
    Dead,
    /// It is not suspect, or not there.
    NotSuspect,
}

/// Removes a session and leaves a tombstone, so that a late commit does not bring it back.
pub fn delete(entry: &mut Entry, now: Timestamp) -> Option<Deleted> {
    let record = entry.record.take()?;
    let tombstone = Tombstone {
        generation: record.generation,
        version: record.version,
        last_sequence: record.last_sequence,
        until: now + TOMBSTONE,
    };
    entry.due = None;
    entry.tombstone = Some(tombstone.clone());
    Some(Deleted {
        provider: record.provider,
        tombstone,
        refresh: record.refresh,
        access: record.access,
    })
}

/// Settles a suspect session whose deadline has passed: one more try if the cap allows it, else dead.
pub fn settle(entry: &mut Entry, now: Timestamp, max_tries: u32) -> Settled {
    let Some(record) = entry.record.as_mut() else {
        return Settled::NotSuspect;
    };
    let Status::Suspect { until } = record.status else {
        return Settled::NotSuspect;
    };
    if until > now {
        return Settled::NotYet { until };
    }
    record.version += 1;
    if record.tries < max_tries {
        record.status = Status::Active;
        entry.due = Some(now);
        return Settled::LastTry;
    }
    record.status = Status::Dead;
    entry.due = None;
    Settled::Dead
}

/// Moves the due time of a live session that has one, without an exchange; notes when it was last read.
pub fn postpone(
    entry: &mut Entry,
    now: Timestamp,
    due_in: Option<Duration>,
    last_read: Option<Timestamp>,
) {
    let Some(record) = entry.record.as_mut() else {
        return;
    };
    record.last_read = record.last_read.max(last_read);
    if entry.due.is_some() {
        entry.due = due_in.map(|span| now + span);
    }
}

/// Stores user and groups as fetched under `grant`; false if the session is gone or logged in anew.
pub fn set_profile(entry: &mut Entry, grant: u64, profile: Sealed) -> bool {
    match entry.record.as_mut().filter(|record| record.grant == grant) {
        Some(record) => {
            record.profile = Some(profile);
            true
        }
        None => false,
    }
}

/// When a claimed session is shown to the next claim, should its claimer vanish.
pub fn visible_again(due: Timestamp, now: Timestamp, visibility: Duration) -> Timestamp {
    due.max(now) + visibility
}
