//! What becomes of tokens.

use crate::ledger::samples::{
    DAY, HOUR, MINUTE, begin_request, commit_request, fail_request, sealed, tokens,
};
use crate::ledger::tests::{
    NOW, granted, holder, logged_in, record, record_mut, refresh, two_exchanges,
};
use crate::ledger::{
    AttemptId, Commit, CommitReply, Entry, FailKind, Grant, Installed, NewTokens, Status, commit,
    delete, fail,
};

fn installed(generation: u64, version: u64) -> CommitReply {
    CommitReply::Installed(Installed { generation, version })
}

#[test]
fn commit_clears_what_failures_left_behind() {
    let mut entry = logged_in();
    granted(&mut entry, NOW, &begin_request(1, 1));
    fail(&mut entry, NOW, &fail_request(1, 1, FailKind::InDoubt));

    assert_eq!(refresh(&mut entry, 2, "second"), installed(2, 2));

    let record = record(&entry);
    assert_eq!((record.tries, record.failures, record.not_before), (0, 0, None));
    assert!(record.last_error.is_some(), "kept for people to read");
    assert_eq!((record.committed_attempt, record.committed_sequence), (Some(AttemptId(2)), 2));
}

#[test]
fn what_the_answer_left_out_stays_as_it_was() {
    let mut entry = logged_in();
    record_mut(&mut entry).extra = Some(sealed("extra"));
    record_mut(&mut entry).profile = Some(sealed("profile"));
    let refresh_expires = record(&entry).refresh_expires;
    let grant = granted(&mut entry, NOW, &begin_request(1, 1));
    let tokens = NewTokens { refresh_expires_in: None, ..tokens("second") };

    let request = Commit { tokens, ..commit_request(1, &grant, "second") };
    commit(&mut entry, NOW + MINUTE, &request);

    let record = record(&entry);
    assert_eq!(record.extra, Some(sealed("extra")));
    assert_eq!(record.profile, Some(sealed("profile")));
    assert_eq!(record.refresh_expires, refresh_expires);
    assert_eq!((record.received, record.created), (NOW + MINUTE, NOW));
}

/// RFC 6749 §6: without a new one, the refresh token in use stays good.
#[test]
fn answer_without_refresh_token_leaves_the_one_in_use() {
    let mut entry = logged_in();
    let (first, second) = two_exchanges(&mut entry);
    let without = |attempt, grant, name| {
        let tokens = NewTokens { refresh: None, ..tokens(name) };
        Commit { tokens, ..commit_request(attempt, grant, name) }
    };

    commit(&mut entry, NOW, &commit_request(1, &first, "first"));
    assert_eq!(commit(&mut entry, NOW, &without(2, &second, "second")), installed(2, 3));
    assert_eq!(record(&entry).access, sealed("second access"));
    assert_eq!(record(&entry).refresh, Some(sealed("first refresh")));
    assert_eq!(record(&entry).spare, None, "it is in use, not spare");

    let grant = granted(&mut entry, NOW, &begin_request(3, 2));
    assert_eq!(commit(&mut entry, NOW, &without(3, &grant, "third")), installed(3, 4));
    assert_eq!(record(&entry).refresh, Some(sealed("first refresh")));
    let grant = granted(&mut entry, NOW, &begin_request(4, 3));
    assert_eq!((grant.refresh, grant.base), (sealed("first refresh"), 3));
}

#[test]
fn late_answer_without_refresh_token_does_not_cost_the_spare() {
    let mut entry = logged_in();
    let (first, second) = two_exchanges(&mut entry);
    commit(&mut entry, NOW, &commit_request(2, &second, "second"));
    record_mut(&mut entry).spare = Some(sealed("spare"));
    let tokens = NewTokens { refresh: None, ..tokens("first") };

    let request = Commit { tokens, ..commit_request(1, &first, "first") };
    assert_eq!(commit(&mut entry, NOW, &request), CommitReply::Late { generation: 2 });

    assert_eq!(record(&entry).spare, Some(sealed("spare")));
}

#[test]
fn last_read_never_goes_back() {
    let mut entry = logged_in();
    let grant = granted(&mut entry, NOW, &begin_request(1, 1));
    let older = Commit { last_read: Some(NOW - DAY), ..commit_request(1, &grant, "second") };

    commit(&mut entry, NOW, &older);
    assert_eq!(record(&entry).last_read, Some(NOW));
    commit(&mut entry, NOW, &Commit { last_read: Some(NOW + HOUR), ..older });

    assert_eq!(record(&entry).last_read, Some(NOW + HOUR));
}

#[test]
fn rolled_back_record_is_repaired() {
    let mut entry = logged_in();
    record_mut(&mut entry).spare = Some(sealed("of an older generation"));
    let lost = Grant {
        base: 6,
        sequence: 9,
        tries: 1,
        refresh: sealed("lost"),
        access: sealed("old"),
        origin: record(&entry).origin(),
    };

    let reply = commit(&mut entry, NOW, &commit_request(5, &lost, "repaired"));

    assert_eq!(reply, installed(7, 2));
    let record = record(&entry);
    assert_eq!((record.last_sequence, record.committed_sequence), (9, 9));
    assert_eq!(record.spare, None);
}

#[test]
fn newer_exchange_that_lost_its_slot_to_another_does_not_supersede() {
    let mut entry = logged_in();
    let (first, second) = two_exchanges(&mut entry);
    commit(&mut entry, NOW, &commit_request(1, &first, "first"));
    record_mut(&mut entry).slot.as_mut().unwrap().attempt = AttemptId(3);

    let reply = commit(&mut entry, NOW, &commit_request(2, &second, "second"));

    assert_eq!(reply, CommitReply::Late { generation: 2 });
    assert_eq!(record(&entry).refresh, Some(sealed("first refresh")));
    assert_eq!(record(&entry).spare, Some(sealed("second refresh")));
    assert_eq!(holder(&entry), Some(AttemptId(3)));
}

#[test]
fn newer_exchange_supersedes_once_its_slot_was_freed() {
    let mut entry = logged_in();
    let (first, second) = two_exchanges(&mut entry);
    fail(&mut entry, NOW, &fail_request(2, 1, FailKind::InDoubt));
    commit(&mut entry, NOW, &commit_request(1, &first, "first"));

    let reply = commit(&mut entry, NOW, &commit_request(2, &second, "second"));

    assert_eq!(reply, installed(2, 3));
    assert_eq!(record(&entry).spare, Some(sealed("first refresh")));
}

#[test]
fn every_commit_by_a_former_holder_leaves_the_holders_slot() {
    let mut entry = logged_in();
    let (first, _) = two_exchanges(&mut entry);

    for base in [0, 1, 2, 9] {
        let request = Commit { base, ..commit_request(1, &first, "late") };
        commit(&mut entry, NOW, &request);

        assert_eq!(holder(&entry), Some(AttemptId(2)), "base {base}");
    }
}

#[test]
fn stale_and_late_commits_free_the_slot_of_their_own() {
    for (base, expected) in [(0, CommitReply::Late { generation: 1 }), (1, installed(2, 2))] {
        let mut entry = logged_in();
        let grant = granted(&mut entry, NOW, &begin_request(1, 1));
        let sequence = if base == 0 { 0 } else { grant.sequence };
        let request = Commit { base, sequence, ..commit_request(1, &grant, "x") };

        assert_eq!(commit(&mut entry, NOW, &request), expected);
        assert_eq!(holder(&entry), None);
    }
    let mut entry = logged_in();
    let grant = granted(&mut entry, NOW, &begin_request(1, 1));
    record_mut(&mut entry).generation = 7;
    let reply = commit(&mut entry, NOW, &commit_request(1, &grant, "x"));
    assert_eq!((reply, holder(&entry)), (CommitReply::Stale { generation: 7 }, None));
}

#[test]
fn late_exchange_of_a_rejected_generation_supersedes_the_promoted_spare() {
    let mut entry = logged_in();
    let (first, second) = two_exchanges(&mut entry);
    commit(&mut entry, NOW, &commit_request(2, &second, "second"));
    commit(&mut entry, NOW, &commit_request(1, &first, "first"));
    let silent = granted(&mut entry, NOW, &begin_request(3, 2));
    record_mut(&mut entry).slot.as_mut().unwrap().attempt = AttemptId(4);
    fail(&mut entry, NOW, &fail_request(4, 2, FailKind::Rejected));

    let reply = commit(&mut entry, NOW, &commit_request(3, &silent, "third"));

    assert_eq!(reply, installed(3, 3));
    assert_eq!(record(&entry).refresh, Some(sealed("third refresh")));
    assert_eq!(record(&entry).spare, Some(sealed("first refresh")), "the promoted one is kept");
}

#[test]
fn healing_does_not_keep_the_rejected_token_as_spare() {
    for status in [Status::Dead, Status::Suspect { until: NOW }] {
        let mut entry = logged_in();
        let (first, second) = two_exchanges(&mut entry);
        commit(&mut entry, NOW, &commit_request(2, &second, "second"));
        record_mut(&mut entry).status = status;

        let reply = commit(&mut entry, NOW, &commit_request(1, &first, "first"));

        assert_eq!(reply, CommitReply::Healed(Installed { generation: 2, version: 3 }));
        let record = record(&entry);
        assert_eq!((record.status, record.tries), (Status::Active, 0));
        assert_eq!((&record.refresh, &record.spare), (&Some(sealed("first refresh")), &None));
        assert_eq!(entry.due, Some(NOW + 40 * MINUTE));
    }
}

#[test]
fn late_tokens_do_not_move_the_due_time() {
    let mut entry = logged_in();
    let (first, second) = two_exchanges(&mut entry);
    commit(&mut entry, NOW, &commit_request(2, &second, "second"));
    let due = entry.due;

    commit(&mut entry, NOW + HOUR, &commit_request(1, &first, "first"));
    commit(&mut entry, NOW + HOUR, &commit_request(2, &second, "second"));

    assert_eq!(entry.due, due);
}

#[test]
fn nothing_comes_back_after_deletion() {
    let mut entry = logged_in();
    let grant = granted(&mut entry, NOW, &begin_request(1, 1));
    delete(&mut entry, NOW);
    let request = commit_request(1, &grant, "x");
    let buried = entry.clone();

    assert_eq!(commit(&mut entry, NOW, &request), CommitReply::Gone);
    assert_eq!(commit(&mut entry, NOW + 7 * DAY, &request), CommitReply::Absent);
    assert_eq!(entry, buried);
    assert_eq!(commit(&mut Entry::default(), NOW, &request), CommitReply::Absent);
}

#[test]
fn not_even_a_commit_that_could_make_a_lost_record_again_comes_back_before_the_tombstone_is_over() {
    let mut entry = logged_in();
    let grant = granted(&mut entry, NOW, &begin_request(1, 1));
    let origin = Some(grant.origin.clone());
    let request = Commit { origin, ..commit_request(1, &grant, "x") };
    delete(&mut entry, NOW);
    let buried = entry.clone();

    assert_eq!(commit(&mut entry, NOW, &request), CommitReply::Gone);
    assert_eq!(entry, buried);
    assert!(matches!(commit(&mut Entry::default(), NOW, &request), CommitReply::Installed(_)));
}
