//! Who may begin.

use std::time::Duration;

use crate::ledger::samples::{
    DAY, MINUTE, begin_request, commit_request, due_request, fail_request, put_request,
    takeover_request,
};
use crate::ledger::tests::{
    NOW, granted, holder, logged_in, record, record_mut, refresh, slot, two_exchanges,
};
use crate::ledger::{
    AttemptId, Begin, BeginReply, Entry, Fail, FailKind, Status, Urgency, begin, commit, delete,
    fail, put,
};

const INSTANT: Duration = Duration::from_millis(1);

#[test]
fn refusals_have_an_order_and_change_nothing() {
    let mut entry = logged_in();
    let regressed = Begin { minimum_generation: 2, ..begin_request(1, 0) };
    let newer = begin_request(1, 0);

    let standing = [
        (Status::Active, BeginReply::Regressed { generation: 1 }, None),
        (Status::Dead, BeginReply::Regressed { generation: 1 }, Some(BeginReply::Dead)),
        (
            Status::Suspect { until: NOW },
            BeginReply::Regressed { generation: 1 },
            Some(BeginReply::Suspect { until: NOW }),
        ),
    ];
    for (status, to_regressed, to_newer) in standing {
        record_mut(&mut entry).status = status;
        let before = entry.clone();
        let to_newer =
            to_newer.unwrap_or_else(|| BeginReply::Newer(Box::new(record(&before).clone())));

        assert_eq!(begin(&mut entry, NOW, &regressed), to_regressed, "{status:?}");
        assert_eq!(begin(&mut entry, NOW, &newer), to_newer, "{status:?}");
        assert_eq!(entry, before, "{status:?}");
    }
}

#[test]
fn generation_this_node_has_seen_is_no_regression() {
    let mut entry = logged_in();

    granted(&mut entry, NOW, &Begin { minimum_generation: 1, ..begin_request(1, 1) });
}

#[test]
fn suspect_session_stays_closed_past_its_deadline() {
    let mut entry = logged_in();
    record_mut(&mut entry).status = Status::Suspect { until: NOW };

    let reply = begin(&mut entry, NOW + DAY, &begin_request(1, 1));

    assert_eq!(reply, BeginReply::Suspect { until: NOW }, "only settling opens it");
}

#[test]
fn freshness_ends_exactly_at_the_margin() {
    let mut entry = logged_in();
    let expires = record(&entry).expires.unwrap();
    let margin = expires - MINUTE;

    let reply = begin(&mut entry, margin - INSTANT, &due_request(1, 1));

    assert_eq!(reply, BeginReply::Fresh { expires: Some(expires) });
    granted(&mut entry, margin, &due_request(1, 1));
}

#[test]
fn token_without_expiry_is_always_fresh_but_can_be_forced() {
    let mut entry = logged_in();
    record_mut(&mut entry).expires = None;

    let reply = begin(&mut entry, NOW + 3650 * DAY, &due_request(1, 1));

    assert_eq!(reply, BeginReply::Fresh { expires: None });
    granted(&mut entry, NOW, &begin_request(1, 1));
}

#[test]
fn back_off_ends_exactly_at_its_time() {
    let mut entry = logged_in();
    let expires = record(&entry).expires.unwrap();
    let until = expires + MINUTE;
    record_mut(&mut entry).not_before = Some(until);

    let reply = begin(&mut entry, until - INSTANT, &due_request(1, 1));

    assert_eq!(reply, BeginReply::Backoff { until });
    granted(&mut entry, until, &due_request(1, 1));
}

#[test]
fn back_off_of_more_than_a_day_is_a_clock_error() {
    let mut entry = logged_in();
    let now = record(&entry).expires.unwrap();
    record_mut(&mut entry).not_before = Some(now + 2 * DAY);

    granted(&mut entry, now, &due_request(1, 1));
}

#[test]
fn takeover_needs_the_name_and_the_whole_patience() {
    let mut entry = logged_in();
    granted(&mut entry, NOW, &begin_request(1, 1));
    let until = slot(&entry).until;
    let before = entry.clone();

    let early = begin(&mut entry, until - INSTANT, &takeover_request(2, 1, 1));
    let unnamed = begin(&mut entry, until, &begin_request(2, 1));
    let misnamed = begin(&mut entry, until, &takeover_request(2, 1, 3));

    let busy = BeginReply::Busy { attempt: AttemptId(1), until };
    assert_eq!([early, unnamed, misnamed], [busy.clone(), busy.clone(), busy]);
    assert_eq!(entry, before);
    let grant = granted(&mut entry, until, &takeover_request(2, 1, 1));
    assert_eq!((grant.sequence, grant.tries), (2, 2));
    assert_eq!((slot(&entry).started, slot(&entry).until), (until, until + MINUTE));
}

#[test]
fn takeover_of_a_slot_that_is_free_is_an_ordinary_begin() {
    let mut entry = logged_in();

    granted(&mut entry, NOW, &takeover_request(2, 1, 1));
}

#[test]
fn former_holder_finds_the_slot_busy() {
    let mut entry = logged_in();
    two_exchanges(&mut entry);

    let reply = begin(&mut entry, NOW + DAY, &begin_request(1, 1));

    assert!(matches!(reply, BeginReply::Busy { attempt: AttemptId(2), .. }), "{reply:?}");
}

#[test]
fn lost_grant_is_given_again_even_when_it_would_be_refused_by_now() {
    let mut entry = logged_in();
    let request = Begin { max_tries: 1, ..due_request(1, 1) };
    let due = record(&entry).expires.unwrap();
    let grant = granted(&mut entry, due, &request);
    let before = entry.clone();

    let again = granted(&mut entry, due + DAY, &request);

    assert_eq!((again, &entry), (grant, &before));
}

#[test]
fn tries_are_capped_even_for_who_cannot_wait() {
    let mut entry = logged_in();
    two_exchanges(&mut entry);
    let request = Begin { max_tries: 2, ..takeover_request(3, 1, 2) };

    let reply = begin(&mut entry, NOW + DAY, &request);

    assert_eq!(reply, BeginReply::Exhausted { tries: 2 });
    let none = Begin { max_tries: 0, ..begin_request(1, 1) };
    assert_eq!(begin(&mut logged_in(), NOW, &none), BeginReply::Exhausted { tries: 0 });
}

#[test]
fn newer_generation_goes_to_the_holder_of_an_outrun_slot_too() {
    let mut entry = logged_in();
    let (first, _) = two_exchanges(&mut entry);
    commit(&mut entry, NOW, &commit_request(1, &first, "late"));

    let reply = begin(&mut entry, NOW, &begin_request(2, 1));

    assert_eq!(reply, BeginReply::Newer(Box::new(record(&entry).clone())));
    assert_eq!(holder(&entry), Some(AttemptId(2)));
}

#[test]
fn buried_sessions_are_gone_until_the_tombstone_is_forgotten() {
    let mut entry = logged_in();
    delete(&mut entry, NOW);

    assert_eq!(begin(&mut entry, NOW, &begin_request(1, 1)), BeginReply::Gone);
    assert_eq!(begin(&mut entry, NOW + 7 * DAY, &begin_request(1, 1)), BeginReply::Absent);
    assert_eq!(begin(&mut Entry::default(), NOW, &begin_request(1, 1)), BeginReply::Absent);
}

#[test]
fn sequences_count_over_all_generations() {
    let mut entry = logged_in();
    refresh(&mut entry, 1, "second");
    refresh(&mut entry, 2, "third");

    let grant = granted(&mut entry, NOW, &begin_request(3, 3));

    assert_eq!((grant.sequence, grant.tries), (3, 1));
}

#[test]
fn a_wait_of_days_holds_for_a_token_that_lives_for_weeks() {
    let mut entry = Entry::default();
    let mut login = put_request(1, "login");
    login.tokens.expires_in = Some(10 * DAY);
    put(&mut entry, NOW, &login);
    granted(&mut entry, NOW, &begin_request(1, 1));
    let in_doubt = Fail { delay: 5 * DAY, ..fail_request(1, 1, FailKind::InDoubt) };
    fail(&mut entry, NOW, &in_doubt);
    let wanted = Begin { urgency: Urgency::Wanted, ..begin_request(2, 1) };

    let reply = begin(&mut entry, NOW + MINUTE, &wanted);

    assert_eq!(reply, BeginReply::Backoff { until: NOW + 5 * DAY });
    assert_eq!(granted(&mut entry, NOW + 5 * DAY, &wanted).tries, 2);
}
