//! Logins, deletion and waiting.

use std::time::Duration;

use crate::ledger::samples::{DAY, HOUR, MINUTE, begin_request, put_request, sealed};
use crate::ledger::tests::{NOW, granted, logged_in, record, record_mut, refresh};
use crate::ledger::{
    AttemptId, Entry, LoginEntry, PutReply, Settled, Status, TakenLogin, delete, postpone, put,
    set_profile, settle, take_login, visible_again,
};

#[test]
fn login_replaces_everything_but_what_orders_changes() {
    let mut entry = logged_in();
    refresh(&mut entry, 1, "second");
    granted(&mut entry, NOW, &begin_request(2, 2));
    let earlier = record_mut(&mut entry);
    earlier.spare = Some(sealed("spare"));
    earlier.profile = Some(sealed("profile"));
    earlier.status = Status::Dead;

    let reply = put(&mut entry, NOW + HOUR, &put_request(4, "again"));

    assert_eq!(reply, PutReply::Stored { version: 4 });
    let record = record(&entry);
    assert_eq!((record.generation, record.version, record.last_sequence), (4, 4, 2));
    assert_eq!((record.status, &record.slot, record.tries), (Status::Active, &None, 0));
    assert_eq!((&record.spare, &record.profile), (&None, &None));
    assert_eq!((record.committed_attempt, record.committed_sequence), (None, 0));
    assert_eq!((record.created, record.received), (NOW, NOW + HOUR));
    assert_eq!(entry.due, Some(NOW + HOUR + 40 * MINUTE));
}

#[test]
fn login_leaves_a_gap_that_commits_of_the_old_grant_fall_into() {
    let mut entry = logged_in();
    let before = entry.clone();

    for generation in [0, 1, 2] {
        let reply = put(&mut entry, NOW, &put_request(generation, "too low"));
        assert_eq!((reply, &entry), (PutReply::Conflict { generation: 1 }, &before));
    }
    assert_eq!(put(&mut entry, NOW, &put_request(9, "higher")), PutReply::Stored { version: 9 });
}

#[test]
fn first_login_may_have_any_generation_above_zero() {
    let mut entry = Entry::default();

    assert_eq!(entry.next_put_generation(), 1);
    let reply = put(&mut entry, NOW, &put_request(0, "zero"));
    assert_eq!((reply, entry.is_empty()), (PutReply::Conflict { generation: 0 }, true));
}

#[test]
fn deletion_remembers_what_a_new_login_must_exceed() {
    let mut entry = logged_in();
    refresh(&mut entry, 1, "second");

    let deleted = delete(&mut entry, NOW).unwrap();

    assert_eq!(deleted.refresh, Some(sealed("second refresh")));
    assert_eq!((entry.due, entry.is_empty()), (None, false));
    let stone = entry.tombstone.clone().unwrap();
    assert_eq!((stone.generation, stone.version, stone.last_sequence), (2, 2, 1));
    assert_eq!(stone.until, NOW + 7 * DAY);
    assert_eq!(delete(&mut entry, NOW + DAY), None);
    assert_eq!(entry.tombstone, Some(stone), "deleting again does not keep it longer");
    assert_eq!(entry.next_put_generation(), 4);
    assert_eq!(put(&mut entry, NOW, &put_request(4, "again")), PutReply::Stored { version: 4 });
    assert_eq!((record(&entry).created, &entry.tombstone), (NOW, &None));
}

#[test]
fn what_needs_a_session_does_nothing_without_one() {
    let mut buried = logged_in();
    delete(&mut buried, NOW);
    for mut entry in [Entry::default(), buried] {
        let before = entry.clone();

        postpone(&mut entry, NOW, Some(MINUTE), Some(NOW));

        assert!(!set_profile(&mut entry, 1, sealed("profile")));
        assert_eq!(settle(&mut entry, NOW, 3), Settled::NotSuspect);
        assert_eq!(delete(&mut entry, NOW), None);
        assert_eq!(entry, before);
    }
}

#[test]
fn postponing_touches_due_time_and_last_read_alone() {
    let mut entry = logged_in();
    let before = entry.clone();

    postpone(&mut entry, NOW, Some(HOUR), Some(NOW - DAY));
    assert_eq!(entry, Entry { due: Some(NOW + HOUR), ..before.clone() });
    postpone(&mut entry, NOW, None, Some(NOW + DAY));

    assert_eq!((entry.due, record(&entry).last_read), (None, Some(NOW + DAY)));
}

#[test]
fn settling_concerns_suspects_only() {
    let mut entry = logged_in();
    let before = entry.clone();
    assert_eq!((settle(&mut entry, NOW, 3), &entry), (Settled::NotSuspect, &before));

    record_mut(&mut entry).status = Status::Dead;
    assert_eq!(settle(&mut entry, NOW, 3), Settled::NotSuspect);
}

#[test]
fn claimed_session_hides_from_now_or_from_its_due_time() {
    assert_eq!(visible_again(NOW - DAY, NOW, MINUTE), NOW + MINUTE);
    assert_eq!(visible_again(NOW + DAY, NOW, MINUTE), NOW + DAY + MINUTE);
}

#[test]
fn login_ends_and_is_forgotten_on_time() {
    let (expires, forget) = (NOW + MINUTE, NOW + HOUR);
    let begun = LoginEntry { sealed: sealed("login"), taken_by: None, expires, forget };
    let instant = Duration::from_millis(1);

    let mut login = begun.clone();
    let mut take = |now, attempt| take_login(Some(&mut login), now, AttemptId(attempt));
    assert_eq!(take(expires - instant, 1), TakenLogin::Taken(sealed("login")));
    assert_eq!(take(expires - instant, 2), TakenLogin::AlreadyTaken);
    assert_eq!(take(expires, 1), TakenLogin::Taken(sealed("login")), "its answer was lost");
    assert_eq!(take(forget, 1), TakenLogin::Unknown);
    let of_new = |now| take_login(Some(&mut begun.clone()), now, AttemptId(1));
    assert_eq!(of_new(expires), TakenLogin::Expired);
    assert_eq!(of_new(forget - instant), TakenLogin::Expired);
    assert_eq!(of_new(forget), TakenLogin::Unknown);
    assert_eq!(take_login(None, NOW, AttemptId(1)), TakenLogin::Unknown);
}
