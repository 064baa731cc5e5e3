//! The disk fails: what was acknowledged stays, what was not is said not to be, and it goes on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tracing::span;

use crate::journal::segment::HEADER_LEN;
use crate::journal::tests::faults::{EIO, ENOSPC, EROFS};
use crate::journal::tests::{
    START, Site, answer, answered, intended, intent, is_failing, key, owed, tombstone, until,
};
use crate::journal::writer::Shared;
use crate::journal::{JournalError, JournalHealth};
use crate::ledger::AttemptId;
use crate::ledger::samples::MINUTE;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn full_disk_fails_every_call_and_keeps_what_it_had() {
    for short_by in [0, 1, 20, 100] {
        let site = Site::new();
        let (journal, _) = site.open();
        journal.intent(intent(1)).await.unwrap();
        journal.answer(answer(1)).await.unwrap();
        let before = site.bytes(1);
        site.faults.set(|plan| (plan.writes_fail, plan.short_by) = (Some(ENOSPC), short_by));

        let results = [
            journal.answer(answer(2)).await,
            journal.intent(intent(3)).await,
            journal.deleted(&key(4), tombstone(1)).await,
        ];
        for result in results {
            let Err(JournalError::Io { path, detail }) = result else {
                panic!("{result:?}");
            };
            assert_eq!(path, site.options.directory);
            assert!(detail.contains("No space left"), "{detail}");
        }
        assert!(is_failing(&journal));
        assert_eq!(site.bytes(1), before, "the part that was written is cut off");

        site.faults.set(|plan| plan.writes_fail = None);
        site.clock.advance(SECOND);
        journal.answer(answer(5)).await.unwrap();
        until(|| !is_failing(&journal)).await;
        journal.intent(intent(6)).await.unwrap();
        journal.close().await;
        let (_, recovered) = site.open();
        assert_eq!((answered(&recovered), intended(&recovered)), (vec![1, 5], vec![6]));
        assert_eq!((recovered.torn_bytes, recovered.damaged_places), (0, 0));
    }
}

#[tokio::test]
async fn failing_journal_recovers_without_being_asked() {
    let site = Site::new();
    let (journal, _) = site.open();
    site.faults.set(|plan| plan.writes_fail = Some(ENOSPC));
    journal.intent(intent(1)).await.unwrap_err();
    let asked = site.faults.plan().writes;
    journal.intent(intent(2)).await.unwrap_err();
    assert_eq!(site.faults.plan().writes, asked, "intents do not touch a failing disk");

    site.faults.set(|plan| plan.writes_fail = None);

    until(|| journal.health() == JournalHealth::Writing).await;
    journal.intent(intent(3)).await.unwrap();
}

#[tokio::test]
async fn disk_that_takes_an_answer_and_no_more_is_not_called_well() {
    let site = Site::new();
    let (journal, _) = site.open();
    site.faults.set(|plan| plan.writes_fail = Some(ENOSPC));
    journal.intent(intent(1)).await.unwrap_err();
    site.faults.set(|plan| plan.writes_fail = None);

    journal.answer(answer(2)).await.unwrap();

    assert!(is_failing(&journal), "only a probe tells");
    assert!(journal.intent(intent(3)).await.is_err());
    assert_eq!(answered(&site.look()), [2]);
}

#[tokio::test]
async fn disk_with_room_for_an_entry_and_little_more_is_not_called_well() {
    let site = Site::new();
    let (journal, _) = site.open();
    site.faults.set(|plan| plan.largest_write = Some(0));
    journal.intent(intent(1)).await.unwrap_err();
    site.faults.set(|plan| plan.largest_write = Some(8 * 1024));
    let asked = site.faults.plan().writes;

    until(|| site.faults.plan().writes > asked + 1).await;

    assert!(is_failing(&journal));
    site.faults.set(|plan| plan.largest_write = None);
    until(|| !is_failing(&journal)).await;
    assert_eq!(site.bytes(1).len(), HEADER_LEN, "trying leaves nothing behind");
}

#[tokio::test]
async fn what_could_not_be_cut_off_is_left_behind() {
    let site = Site::new();
    let (journal, _) = site.open();
    journal.answer(answer(1)).await.unwrap();
    site.faults.set(|plan| {
        (plan.writes_fail, plan.short_by, plan.cuts_fail) = (Some(EIO), 30, Some(EIO));
    });
    journal.answer(answer(2)).await.unwrap_err();
    site.faults.set(|plan| (plan.writes_fail, plan.cuts_fail) = (None, None));

    journal.answer(answer(3)).await.unwrap();
    journal.close().await;

    let (_, recovered) = site.open();
    assert_eq!(answered(&recovered), [1, 3]);
    assert_eq!((recovered.damaged_places, recovered.damaged_bytes), (1, 30));
}

#[tokio::test]
async fn after_a_failed_fsync_everything_unsafe_is_written_anew() {
    let site = Site::new();
    let (journal, _) = site.open();
    journal.answer(answer(1)).await.unwrap();
    let safe = site.bytes(1).len();
    journal.intent(intent(2)).await.unwrap();
    site.faults.set(|plan| (plan.syncs_fail, plan.failing_syncs) = (Some(EIO), Some(1)));

    journal.answer(answer(3)).await.unwrap();

    assert!(is_failing(&journal), "somebody has to look at that disk");
    let (before, syncs) = (site.bytes(1), site.faults.plan().syncs);
    assert_eq!(syncs, 3, "the new segment was made durable");
    journal.answer(answer(4)).await.unwrap();
    assert_eq!(site.bytes(1), before, "the old segment is left alone");
    // Its pages may be lost: what is behind the first answer is not there after a power cut.
    std::fs::write(site.path(1), &before[..safe]).unwrap();
    let recovered = site.look();
    assert_eq!(answered(&recovered), [1, 3, 4]);
    assert_eq!(intended(&recovered), [2]);
}

#[tokio::test]
async fn disk_that_makes_nothing_durable_acknowledges_nothing_and_loses_no_intent() {
    let site = Site::new();
    let (journal, _) = site.open();
    journal.intent(intent(1)).await.unwrap();
    site.faults.set(|plan| plan.syncs_fail = Some(EIO));

    for attempt in 2..6 {
        let error = journal.answer(answer(attempt)).await.unwrap_err();
        assert!(matches!(error, JournalError::Io { .. }), "{error}");
    }
    assert!(site.numbers().len() <= 3, "trying leaves no files behind: {:?}", site.numbers());

    site.faults.set(|plan| plan.syncs_fail = None);
    site.clock.advance(SECOND);
    journal.answer(answer(6)).await.unwrap();
    until(|| !is_failing(&journal)).await;
    // Whatever the failing segment has lost, the newest one has.
    let newest = site.numbers().split_off(1);
    std::fs::remove_file(site.path(site.numbers()[0])).unwrap();
    let recovered = site.look();
    assert!(!newest.is_empty());
    assert_eq!(intended(&recovered), [1]);
    assert!(answered(&recovered).ends_with(&[6]), "{:?}", answered(&recovered));
}

#[tokio::test]
async fn what_is_done_meanwhile_is_not_written_anew() {
    let site = Site::new();
    let (journal, _) = site.open();
    site.faults.set(|plan| plan.syncs_fail = Some(EIO));
    journal.answer(answer(1)).await.unwrap_err();
    journal.done(AttemptId(1));
    site.faults.set(|plan| plan.syncs_fail = None);
    until(|| !is_failing(&journal)).await;

    let recovered = journal.recent().await.unwrap();

    assert_eq!(owed(&recovered), Vec::<u128>::new());
    journal.close().await;
    site.clock.advance(60 * MINUTE);
    assert!(site.look().answers.is_empty());
}

#[tokio::test]
async fn start_on_a_disk_that_takes_no_writes_gives_back_what_is_there() {
    let site = Site::new();
    let (journal, _) = site.open();
    journal.answer(answer(1)).await.unwrap();
    journal.close().await;
    site.faults.set(|plan| {
        (plan.creates_fail, plan.writes_fail) = (Some(EROFS), Some(EROFS));
        (plan.removes_fail, plan.cuts_fail) = (Some(EROFS), Some(EROFS));
    });

    let (journal, recovered) = site.open();

    assert_eq!(answered(&recovered), [1]);
    assert!(is_failing(&journal), "before anything was asked of it");
    assert!(journal.intent(intent(2)).await.is_err());
    assert!(journal.answer(answer(2)).await.is_err());
    assert_eq!(answered(&journal.recent().await.unwrap()), [1]);
    site.faults.set(|plan| (plan.creates_fail, plan.writes_fail) = (None, None));
    until(|| !is_failing(&journal)).await;
    journal.intent(intent(2)).await.unwrap();
}

#[tokio::test]
async fn segment_that_cannot_be_removed_is_tried_again_and_counted() {
    let site = Site::new();
    let (journal, _) = site.open();
    journal.answer(answer(1)).await.unwrap();
    journal.done(AttemptId(1));
    journal.recent().await.unwrap();
    site.faults.set(|plan| plan.removes_fail = Some(EROFS));
    site.clock.advance(11 * MINUTE);
    journal.recent().await.unwrap();
    journal.recent().await.unwrap();
    assert!(site.path(1).exists());
    assert_eq!(journal.health(), JournalHealth::Writing);

    site.faults.set(|plan| plan.removes_fail = None);
    journal.recent().await.unwrap();

    assert!(!site.path(1).exists());
}

#[tokio::test(start_paused = true)]
async fn disk_that_does_not_answer_is_called_failing() {
    let site = Site::new();
    let (journal, _) = site.open();
    site.faults.set(|plan| plan.syncs_hang = true);

    let waiting = journal.answer(answer(1)).await.unwrap_err();

    assert!(matches!(waiting, JournalError::Unavailable { .. }), "{waiting}");
    assert!(is_failing(&journal));
    site.faults.set(|plan| plan.syncs_hang = false);
    journal.close().await;
    assert_eq!(answered(&site.look()), [1], "giving up does not take it back");
}

#[tokio::test]
async fn writer_that_panics_leaves_nobody_waiting_and_frees_the_directory() {
    let site = Site::new();
    let (journal, _) = site.open();
    journal.answer(answer(1)).await.unwrap();
    site.faults.set(|plan| plan.writes_panic = true);

    assert_eq!(journal.answer(answer(2)).await, Err(JournalError::Closed));

    assert_eq!(journal.answer(answer(3)).await, Err(JournalError::Closed));
    until(|| is_failing(&journal)).await;
    site.faults.set(|plan| plan.writes_panic = false);
    journal.close().await;
    assert_eq!(answered(&site.open().1), [1]);
}

#[test]
fn each_change_of_state_is_logged_once() {
    let events = Arc::new(AtomicUsize::new(0));
    let shared = Shared::new("journal".into());
    let failing = |detail: &str| JournalHealth::Failing { since: START, detail: detail.into() };
    tracing::subscriber::with_default(Counter(events.clone()), || {
        for (health, expected) in [
            (JournalHealth::Writing, 0),
            (failing("full"), 1),
            (failing("still full"), 1),
            (JournalHealth::Full { bytes: 1 }, 2),
            (JournalHealth::Full { bytes: 2 }, 2),
            (JournalHealth::Writing, 3),
            (JournalHealth::Writing, 3),
        ] {
            shared.set_health(health.clone());
            assert_eq!(events.load(Ordering::SeqCst), expected, "{health:?}");
            assert_eq!(shared.health(), health);
        }
    });
}

/// Counts what is logged.
struct Counter(Arc<AtomicUsize>);

impl tracing::Subscriber for Counter {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
