//! Requests with sensible values, for the tests of the ledger and of the stores.

use std::time::Duration;

use crate::ledger::{
    AttemptId, Begin, Commit, ErrorNote, Fail, FailKind, Grant, NewTokens, NodeId, Put, Sealed,
    Urgency,
};
use crate::model::{ProviderId, Timestamp};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn sealed(text: &str) -> Sealed {
    Sealed::new(text.as_bytes())
}

/// Tokens whose sealed content begins with `name`: valid an hour, due in 40 minutes.
pub(crate) fn tokens(name: &str) -> NewTokens {
    NewTokens {
        access: sealed(&format!("{name} access")),
        refresh: Some(sealed(&format!("{name} refresh"))),
        extra: None,
        expires_in: Some(HOUR),
        refresh_expires_in: Some(30 * DAY),
        due_in: Some(40 * MINUTE),
    }
}

pub(crate) fn put_request(generation: u64, name: &str) -> Put {
    let provider = ProviderId::new("sample").expect("a plain short name");
    Put { generation, provider, tokens: tokens(name) }
}

/// Wants `generation` redeemed, whether it is due or not; nobody may take it over for a minute.
pub(crate) fn begin_request(attempt: u128, generation: u64) -> Begin {
    Begin {
        attempt: AttemptId(attempt),
        node: NodeId { name: "node".into(), incarnation: 1 },
        minimum_generation: 0,
        expected_generation: generation,
        takeover_of: None,
        patience: MINUTE,
        max_tries: 3,
        urgency: Urgency::Hard,
        confirmed: false,
    }
}

/// The same, out of the hands of an exchange whose patience is over.
pub(crate) fn takeover_request(attempt: u128, generation: u64, of: u128) -> Begin {
    Begin { takeover_of: Some(AttemptId(of)), ..begin_request(attempt, generation) }
}

/// The same, only if it is due.
pub(crate) fn due_request(attempt: u128, generation: u64) -> Begin {
    Begin { urgency: Urgency::Due { fresh_margin: MINUTE }, ..begin_request(attempt, generation) }
}

pub(crate) fn commit_request(attempt: u128, grant: &Grant, name: &str) -> Commit {
    Commit {
        attempt: AttemptId(attempt),
        base: grant.base,
        sequence: grant.sequence,
        tokens: tokens(name),
        last_read: None,
        origin: None,
    }
}

/// Waits two minutes after it, stays suspect ten.
pub(crate) fn fail_request(attempt: u128, base: u64, kind: FailKind) -> Fail {
    Fail {
        attempt: AttemptId(attempt),
        base,
        kind,
        delay: 2 * MINUTE,
        suspect_for: 10 * MINUTE,
        error: ErrorNote {
            code: "sample_error".into(),
            description: None,
            at: Timestamp::from_millis(0),
        },
    }
}
