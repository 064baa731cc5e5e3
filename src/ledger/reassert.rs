//! The store lost writes it had acknowledged: a node that remembers puts them back.
//!
//! Tokens come back by [`commit`](crate::ledger::commit) with an [`Origin`]; this is the rest: exchanges
//! in flight, without which somebody else would redeem their refresh token, and deletions.

use std::time::Duration;

use crate::ledger::record::Missing;
use crate::ledger::{
    AttemptId, Deleted, Entry, NewTokens, NodeId, Origin, Record, Slot, Status, TOMBSTONE,
    Tombstone, delete,
};
use crate::model::Timestamp;

/// A node says that its exchange is in flight. Safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassert {
    /// The exchange.
    pub attempt: AttemptId,
    /// Whose it is.
    pub node: NodeId,
    /// The generation it redeems.
    pub base: u64,
    /// The sequence number it was granted.
    pub sequence: u64,
    /// Which try for its generation it is: earlier ones may be on their way to the provider still.
    pub tries: u32,
    /// How long nobody may take it over.
    pub patience: Duration,
    /// The tokens of generation `base`, for a store that has lost them as well.
    pub tokens: NewTokens,
    /// The rest of the record.
    pub origin: Origin,
}

/// The answer to [`Reassert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReassertReply {
    /// The exchange holds the slot.
    Held,
    /// It does not need to: the session is past it, ended, or a later exchange holds the slot.
    Passed,
    /// Deleted.
    Gone,
}

/// Gives the exchange its slot back. A record older than what it redeems is repaired first.
pub fn reassert(entry: &mut Entry, now: Timestamp, request: &Reassert) -> ReassertReply {
    if entry.has_lost(now, &request.origin) {
        entry.tombstone = None;
        entry.record = Some(base_record(now, request));
    }
    match entry.live(now) {
        Err(Missing::Gone | Missing::Absent) => return ReassertReply::Gone,
        Ok(record) if record.generation < request.base => {
            let version = record.version.max(request.origin.version);
            let origin = Origin { version, ..request.origin.clone() };
            let repaired = base_record(now, &Reassert { origin, ..request.clone() });
            *record = if record.grant == repaired.grant {
                Record {
                    extra: record.extra.take(),
                    profile: record.profile.take(),
                    created: record.created,
                    last_read: record.last_read,
                    ..repaired
                }
            } else {
                repaired
            };
        }
        Ok(_) => {}
    }
    let Some(record) = entry.record.as_mut() else {
        return ReassertReply::Gone;
    };
    if record.holds_slot(request.attempt) {
        return ReassertReply::Held;
    }
    let later_holder = record.slot.is_some() && record.last_sequence >= request.sequence;
    let committed = record.generation > request.base + 1
        || (record.generation == request.base + 1 && record.committed_sequence >= request.sequence);
    if later_holder || committed || record.status != Status::Active {
        return ReassertReply::Passed;
    }
    let until = now + request.patience;
    record.last_sequence = record.last_sequence.max(request.sequence);
    if record.generation == request.base {
        record.tries = record.tries.max(request.tries);
    }
    record.slot = Some(Slot {
        attempt: request.attempt,
        node: request.node.clone(),
        base: request.base,
        started: now,
        until,
    });
    entry.due = Some(until);
    ReassertReply::Held
}

/// The record as it was when the exchange began, as far as its node remembers.
fn base_record(now: Timestamp, request: &Reassert) -> Record {
    let earlier = request.sequence.saturating_sub(1);
    Record {
        generation: request.base,
        version: request.origin.version + 1,
        committed_sequence: earlier,
        last_sequence: earlier,
        ..Record::made_again(now, &request.origin, &request.tokens)
    }
}

/// The answer to [`bury`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Buried {
    /// Somebody logged in since: nothing was changed.
    LoggedIn,
    /// It is not there.
    Gone,
    /// It had come back, and is deleted again: revoke its tokens at the provider.
    Again(Box<Deleted>),
}

/// Deletes the session again, unless somebody logged in since: `stone` is what its deletion left. An exchange
/// that a store which lost the deletion let pass makes no difference.
pub fn bury(entry: &mut Entry, now: Timestamp, stone: &Tombstone) -> Buried {
    match &entry.record {
        Some(record) if record.grant > stone.generation => Buried::LoggedIn,
        Some(_) => delete(entry, now).map_or(Buried::Gone, |it| Buried::Again(Box::new(it))),
        None => {
            let known = entry.tombstone.as_ref();
            if known.is_none_or(|known| known.generation < stone.generation) {
                entry.tombstone = Some(Tombstone { until: now + TOMBSTONE, ..stone.clone() });
            }
            Buried::Gone
        }
    }
}
