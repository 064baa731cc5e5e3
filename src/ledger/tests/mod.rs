//! The rules of the ledger: each one by example, all of them together on random sequences.

mod begins;
mod commits;
mod failures;
mod lifecycle;
mod properties;

use crate::ledger::samples::{begin_request, commit_request, put_request, takeover_request};
use crate::ledger::{
    AttemptId, Begin, BeginReply, CommitReply, Entry, Grant, Record, Slot, begin, commit, put,
};
use crate::model::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Generation 1, tokens named `login`.
fn logged_in() -> Entry {
    let mut entry = Entry::default();
    put(&mut entry, NOW, &put_request(1, "login"));
    entry
}

fn granted(entry: &mut Entry, now: Timestamp, request: &Begin) -> Grant {
    match begin(entry, now, request) {
        BeginReply::Granted(grant) => grant,
        other => panic!("expected a grant, got {other:?}"),
    }
}

/// Attempts 1 and 2 redeem generation 1; attempt 2 took over after a minute and holds the slot.
fn two_exchanges(entry: &mut Entry) -> (Grant, Grant) {
    let first = granted(entry, NOW, &begin_request(1, 1));
    let later = first_slot_end(entry);
    let second = granted(entry, later, &takeover_request(2, 1, 1));
    (first, second)
}

fn first_slot_end(entry: &Entry) -> Timestamp {
    slot(entry).until
}

fn slot(entry: &Entry) -> &Slot {
    record(entry).slot.as_ref().expect("an exchange is in flight")
}

fn holder(entry: &Entry) -> Option<AttemptId> {
    entry.record.as_ref()?.slot.as_ref().map(|slot| slot.attempt)
}

fn record(entry: &Entry) -> &Record {
    entry.record.as_ref().expect("the session is there")
}

fn record_mut(entry: &mut Entry) -> &mut Record {
    entry.record.as_mut().expect("the session is there")
}

/// One whole exchange of the newest generation.
fn refresh(entry: &mut Entry, attempt: u128, name: &str) -> CommitReply {
    let generation = record(entry).generation;
    let grant = granted(entry, NOW, &begin_request(attempt, generation));
    commit(entry, NOW, &commit_request(attempt, &grant, name))
}
