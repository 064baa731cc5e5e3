//! What follows from a failed exchange.

use std::time::Duration;

use crate::ledger::samples::{
    DAY, HOUR, MINUTE, begin_request, commit_request, fail_request, sealed,
};
use crate::ledger::tests::{NOW, granted, holder, logged_in, record, record_mut, two_exchanges};
use crate::ledger::{
    AttemptId, Entry, FailKind, FailReply, Settled, Status, commit, delete, fail, settle,
};

const EVERY_KIND: [FailKind; 5] = [
    FailKind::NotSent,
    FailKind::Refused,
    FailKind::InDoubt,
    FailKind::Rejected,
    FailKind::Misconfigured,
];

#[test]
fn only_a_request_that_may_have_arrived_counts_as_a_try() {
    let counts = [
        (FailKind::NotSent, 0),
        (FailKind::Refused, 0),
        (FailKind::InDoubt, 1),
        (FailKind::Misconfigured, 0),
    ];
    for (kind, tries) in counts {
        let mut entry = logged_in();
        granted(&mut entry, NOW, &begin_request(1, 1));

        let reply = fail(&mut entry, NOW, &fail_request(1, 1, kind));

        let at = NOW + 2 * MINUTE;
        assert_eq!((reply, entry.due), (FailReply::Retry { at }, Some(at)), "{kind:?}");
        assert_eq!((record(&entry).tries, record(&entry).failures), (tries, 1), "{kind:?}");
        assert_eq!(record(&entry).version, 1, "{kind:?}: readers see nothing of it");
    }
}

#[test]
fn nothing_but_a_rejection_makes_a_session_dead_however_often_it_fails() {
    for kind in EVERY_KIND.into_iter().filter(|kind| *kind != FailKind::Rejected) {
        let mut entry = logged_in();
        for attempt in 1..=200 {
            record_mut(&mut entry).tries = 0;
            granted(&mut entry, NOW, &begin_request(attempt, 1));
            fail(&mut entry, NOW, &fail_request(attempt, 1, kind));
        }

        assert_eq!(record(&entry).status, Status::Active, "{kind:?}");
        assert_eq!(record(&entry).failures, 200, "{kind:?}");
        assert!(entry.due.is_some(), "{kind:?}");
    }
}

#[test]
fn who_does_not_hold_the_slot_changes_nothing() {
    for kind in EVERY_KIND {
        let mut entry = logged_in();
        two_exchanges(&mut entry);
        let before = entry.clone();

        let reply = fail(&mut entry, NOW, &fail_request(1, 1, kind));

        assert_eq!((reply, &entry), (FailReply::Stale { generation: 1 }, &before), "{kind:?}");
    }
}

#[test]
fn newer_generation_makes_up_for_any_failure() {
    for kind in EVERY_KIND {
        let mut entry = logged_in();
        let (first, _) = two_exchanges(&mut entry);
        commit(&mut entry, NOW, &commit_request(1, &first, "first"));

        let reply = fail(&mut entry, NOW, &fail_request(2, 1, kind));

        assert_eq!(reply, FailReply::Recovered { generation: 2 }, "{kind:?}");
        assert_eq!(entry.due, Some(NOW + Duration::from_secs(1)), "{kind:?}");
        let record = record(&entry);
        assert_eq!((record.status, record.failures), (Status::Active, 0), "{kind:?}");
        assert_eq!((record.tries, holder(&entry)), (0, None), "{kind:?}");
    }
}

#[test]
fn rejection_of_the_only_try_is_final() {
    let mut entry = logged_in();
    granted(&mut entry, NOW, &begin_request(1, 1));

    let reply = fail(&mut entry, NOW, &fail_request(1, 1, FailKind::Rejected));

    assert_eq!((reply, entry.due), (FailReply::Dead, None));
    let record = record(&entry);
    assert_eq!((record.status, record.version), (Status::Dead, 2));
    assert_eq!(holder(&entry), None);
    assert_eq!(record.access, sealed("login access"), "it may still be valid");
}

#[test]
fn rejection_after_an_exchange_in_doubt_is_only_suspicious() {
    let mut by_takeover = logged_in();
    two_exchanges(&mut by_takeover);
    let mut by_doubt = logged_in();
    granted(&mut by_doubt, NOW, &begin_request(1, 1));
    fail(&mut by_doubt, NOW, &fail_request(1, 1, FailKind::InDoubt));
    granted(&mut by_doubt, NOW, &begin_request(2, 1));

    for mut entry in [by_takeover, by_doubt] {
        let reply = fail(&mut entry, NOW, &fail_request(2, 1, FailKind::Rejected));

        let until = NOW + 10 * MINUTE;
        assert_eq!((reply, entry.due), (FailReply::Suspect { until }, Some(until)));
        assert_eq!(record(&entry).status, Status::Suspect { until });
        assert_eq!((record(&entry).version, holder(&entry)), (2, None));
    }
}

#[test]
fn rejection_after_a_request_never_sent_is_final() {
    let mut entry = logged_in();
    granted(&mut entry, NOW, &begin_request(1, 1));
    fail(&mut entry, NOW, &fail_request(1, 1, FailKind::NotSent));
    granted(&mut entry, NOW, &begin_request(2, 1));

    let reply = fail(&mut entry, NOW, &fail_request(2, 1, FailKind::Rejected));

    assert_eq!(reply, FailReply::Dead);
}

#[test]
fn spare_is_tried_before_any_judgement() {
    for tries in [1, 3] {
        let mut entry = logged_in();
        granted(&mut entry, NOW, &begin_request(1, 1));
        record_mut(&mut entry).tries = tries;
        record_mut(&mut entry).spare = Some(sealed("spare"));

        let reply = fail(&mut entry, NOW, &fail_request(1, 1, FailKind::Rejected));

        assert_eq!((reply, entry.due), (FailReply::TrySpare { generation: 2 }, Some(NOW)));
        let grant = granted(&mut entry, NOW, &begin_request(2, 2));
        assert_eq!((grant.refresh, grant.tries), (sealed("spare"), 1));
        let reply = fail(&mut entry, NOW, &fail_request(2, 2, FailKind::Rejected));
        assert_eq!(reply, FailReply::Dead, "there was one spare");
    }
}

#[test]
fn deadline_of_a_doubt_is_kept_to_the_instant() {
    let mut entry = logged_in();
    two_exchanges(&mut entry);
    fail(&mut entry, NOW, &fail_request(2, 1, FailKind::Rejected));
    let until = NOW + 10 * MINUTE;
    let before = entry.clone();

    let early = settle(&mut entry, until - Duration::from_millis(1), 3);
    assert_eq!((early, &entry), (Settled::NotYet { until }, &before));

    let mut exhausted = entry.clone();
    assert_eq!(settle(&mut entry, until, 3), Settled::LastTry);
    assert_eq!((record(&entry).status, entry.due), (Status::Active, Some(until)));
    assert_eq!(record(&entry).tries, 2, "the doubt is not forgotten");
    assert_eq!(settle(&mut exhausted, until, 2), Settled::Dead);
    assert_eq!((record(&exhausted).status, exhausted.due), (Status::Dead, None));
    for entry in [&entry, &exhausted] {
        assert_eq!(record(entry).version, 3);
    }
}

#[test]
fn last_try_ends_in_death_or_in_a_healthy_session() {
    let mut entry = logged_in();
    two_exchanges(&mut entry);
    fail(&mut entry, NOW, &fail_request(2, 1, FailKind::Rejected));
    settle(&mut entry, NOW + HOUR, 3);
    let grant = granted(&mut entry, NOW + HOUR, &begin_request(3, 1));
    let mut healthy = entry.clone();

    fail(&mut entry, NOW + HOUR, &fail_request(3, 1, FailKind::Rejected));
    assert_eq!(settle(&mut entry, NOW + DAY, 3), Settled::Dead);
    commit(&mut healthy, NOW + HOUR, &commit_request(3, &grant, "second"));

    assert_eq!((record(&healthy).status, record(&healthy).tries), (Status::Active, 0));
}

#[test]
fn failure_of_a_missing_session_is_told_apart() {
    let mut entry = logged_in();
    granted(&mut entry, NOW, &begin_request(1, 1));
    delete(&mut entry, NOW);
    let request = fail_request(1, 1, FailKind::Rejected);

    assert_eq!(fail(&mut entry, NOW, &request), FailReply::Gone);
    assert_eq!(fail(&mut entry, NOW + 7 * DAY, &request), FailReply::Absent);
    assert_eq!(fail(&mut Entry::default(), NOW, &request), FailReply::Absent);
    assert_eq!(holder(&entry), None::<AttemptId>);
}
