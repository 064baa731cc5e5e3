//! An exchange brought no tokens: what follows?

use std::time::Duration;

use crate::ledger::record::Missing;
use crate::ledger::{AttemptId, Entry, ErrorNote, Record, Status};
use crate::model::Timestamp;

/// An exchange reports that it brought no tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fail {
    /// The exchange.
    pub attempt: AttemptId,
    /// The generation it tried to redeem.
    pub base: u64,
    /// What is known about the refresh token now.
    pub kind: FailKind,
    /// How long to wait before the next exchange.
    pub delay: Duration,
    /// How long to stay suspect where a rejection may be of our own making.
    pub suspect_for: Duration,
    /// For people to read.
    pub error: ErrorNote,
}

/// What is known about the refresh token after a failed exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailKind {
    /// The request was provably never sent.
    NotSent,
    /// The provider provably did not work on it.
    Refused,
    /// Sent, and no answer can come any more: it may be spent.
    InDoubt,
    /// The provider rejected it for good.
    Rejected,
    /// The provider does not accept the client or the request: it did not look at the token.
    Misconfigured,
}

/// The answer to [`Fail`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailReply {
    /// Try again then.
    Retry {
        /// Not before.
        at: Timestamp,
    },
    /// A newer generation stands: use it.
    Recovered {
        /// What the store has.
        generation: u64,
    },
    /// The spare refresh token takes over: due at once.
    TrySpare {
        /// The generation it got.
        generation: u64,
    },
    /// In doubt: nothing may begin until then, a late commit heals it.
    Suspect {
        /// When it is settled.
        until: Timestamp,
    },
    /// The provider's final word.
    Dead,
    /// This exchange no longer holds the slot.
    Stale {
        /// What the store has.
        generation: u64,
    },
    /// Deleted.
    Gone,
    /// The store does not know the session.
    Absent,
}

/// Frees the slot and decides what follows from the failure.
pub fn fail(entry: &mut Entry, now: Timestamp, request: &Fail) -> FailReply {
    let record = match entry.live(now) {
        Ok(record) => record,
        Err(Missing::Gone) => return FailReply::Gone,
        Err(Missing::Absent) => return FailReply::Absent,
    };
    if !record.holds_slot(request.attempt) {
        return FailReply::Stale { generation: record.generation };
    }
    record.slot = None;
    let (reply, due) = if record.generation > request.base {
        let soon = now + Duration::from_secs(1);
        (FailReply::Recovered { generation: record.generation }, Some(soon))
    } else if request.kind == FailKind::Rejected {
        rejected(record, now, request)
    } else {
        retry(record, now, request)
    };
    entry.due = due;
    reply
}

fn rejected(record: &mut Record, now: Timestamp, request: &Fail) -> (FailReply, Option<Timestamp>) {
    record.last_error = Some(request.error.clone());
    if let Some(spare) = record.spare.take() {
        record.refresh = Some(spare);
        record.generation += 1;
        record.tries = 0;
        record.not_before = None;
        return (FailReply::TrySpare { generation: record.generation }, Some(now));
    }
    record.version += 1;
    if record.tries > 1 {
        let until = now + request.suspect_for;
        record.status = Status::Suspect { until };
        return (FailReply::Suspect { until }, Some(until));
    }
    record.status = Status::Dead;
    (FailReply::Dead, None)
}

fn retry(record: &mut Record, now: Timestamp, request: &Fail) -> (FailReply, Option<Timestamp>) {
    if request.kind != FailKind::InDoubt {
        record.tries = record.tries.saturating_sub(1);
    }
    let at = now + request.delay;
    record.failures += 1;
    record.not_before = Some(at);
    record.last_error = Some(request.error.clone());
    (FailReply::Retry { at }, Some(at))
}
