//! The handle: who waits for what, who holds the directory, and how it ends.

use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::journal::queue::QUEUE;
use crate::journal::tests::{
    Site, answer, answered, intended, intent, key, owed, tombstone, until,
};
use crate::journal::{Journal, JournalError, JournalHealth};
use crate::ledger::AttemptId;

fn poll_once<F: Future>(future: Pin<&mut F>) {
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

/// Has the writer busy with a sync until they do not hang any more.
async fn occupy(site: &Site, journal: &Journal) {
    site.faults.set(|plan| plan.syncs_hang = true);
    let syncs = site.faults.plan().syncs;
    poll_once(pin!(journal.answer(answer(9000))));
    while site.faults.plan().syncs == syncs {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn answers_that_arrive_together_share_one_fdatasync() {
    let site = Site::new();
    let (journal, _) = site.open();
    occupy(&site, &journal).await;
    let syncs = site.faults.plan().syncs;
    let mut waiting: Vec<_> =
        (1..401).map(|attempt| Box::pin(journal.answer(answer(attempt)))).collect();
    waiting.iter_mut().for_each(|answer| poll_once(answer.as_mut()));

    site.faults.set(|plan| plan.syncs_hang = false);

    for answer in waiting {
        answer.await.unwrap();
    }
    assert_eq!(site.faults.plan().syncs, syncs + 1);
    assert_eq!(answered(&site.look()).len(), 401);
}

#[tokio::test]
async fn answers_are_made_durable_no_more_often_than_asked_for() {
    let mut site = Site::new();
    site.options.flush_every = Duration::from_millis(100);
    let (journal, _) = site.open();
    journal.answer(answer(9000)).await.unwrap();
    let syncs = site.faults.plan().syncs;

    let tasks: Vec<_> = (1..101)
        .map(|attempt| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.answer(answer(attempt)).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }

    let extra = site.faults.plan().syncs - syncs;
    assert!(extra <= 5, "{extra} for a hundred answers");
}

#[tokio::test]
async fn names_of_new_segments_are_made_durable() {
    let mut site = Site::new();
    site.options.segment_bytes = 0;
    let (journal, _) = site.open();
    for attempt in 1..40 {
        journal.answer(answer(attempt)).await.unwrap();
    }

    let plan = site.faults.plan();
    assert!(plan.creates > 1, "the segments are small");
    assert_eq!(plan.directory_syncs, plan.creates);
}

#[tokio::test]
async fn intents_wait_for_no_fdatasync() {
    let site = Site::new();
    let (journal, _) = site.open();
    site.faults.set(|plan| plan.syncs_hang = true);

    // A second after the first, they would be made durable too.
    for attempt in 1..11 {
        journal.intent(intent(attempt)).await.unwrap();
    }

    assert_eq!(intended(&site.look()), (1..11).collect::<Vec<_>>());
    site.faults.set(|plan| plan.syncs_hang = false);
}

#[tokio::test]
async fn intents_become_durable_on_their_own() {
    let site = Site::new();
    let (journal, _) = site.open();
    let syncs = site.faults.plan().syncs;

    journal.intent(intent(1)).await.unwrap();

    until(|| site.faults.plan().syncs > syncs).await;
}

#[tokio::test]
async fn marks_are_written_without_another_entry() {
    let site = Site::new();
    let (journal, _) = site.open();
    journal.answer(answer(1)).await.unwrap();

    journal.done(AttemptId(1));

    until(|| owed(&site.look()).is_empty()).await;
    assert_eq!(answered(&site.look()), [1]);
}

#[tokio::test]
async fn closed_journal_answers_nothing_more_and_frees_the_directory() {
    let site = Site::new();
    let (journal, _) = site.open();
    let other = journal.clone();
    journal.answer(answer(1)).await.unwrap();
    journal.done(AttemptId(1));

    journal.close().await;

    assert_eq!(other.intent(intent(2)).await, Err(JournalError::Closed));
    assert_eq!(other.answer(answer(2)).await, Err(JournalError::Closed));
    assert_eq!(other.deleted(&key(2), tombstone(1)).await, Err(JournalError::Closed));
    assert_eq!(other.recent().await, Err(JournalError::Closed));
    other.done(AttemptId(2));
    other.close().await;
    let (_, recovered) = site.open();
    assert_eq!(answered(&recovered), [1]);
    assert!(owed(&recovered).is_empty(), "the marks were written");
}

#[tokio::test]
async fn closing_writes_what_was_queued_before_it() {
    let site = Site::new();
    let (journal, _) = site.open();
    occupy(&site, &journal).await;
    for attempt in 1..1201 {
        // The caller gives up as soon as it has asked.
        poll_once(pin!(journal.answer(answer(attempt))));
        journal.done(AttemptId(attempt));
    }
    let mut closing = Box::pin(journal.close());
    poll_once(closing.as_mut());
    let mut late = Box::pin(journal.answer(answer(5000)));
    assert!(matches!(
        late.as_mut().poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Err(JournalError::Closed))
    ));

    site.faults.set(|plan| plan.syncs_hang = false);
    closing.await;

    let recovered = site.look();
    assert_eq!(answered(&recovered).len(), 1201);
    assert_eq!(owed(&recovered), [9000], "marks are not written before their answers");
}

#[tokio::test]
async fn dropping_the_last_handle_writes_what_was_queued_and_ends_the_thread() {
    let site = Site::new();
    let (journal, _) = site.open();
    for attempt in 1..51 {
        poll_once(pin!(journal.answer(answer(attempt))));
    }
    let other = journal.clone();
    drop(journal);
    assert!(matches!(site.try_open(), Err(JournalError::Locked { .. })), "one handle is left");

    drop(other);

    assert_eq!(answered(&site.open().1).len(), 50);
}

#[tokio::test]
async fn directory_belongs_to_one_journal_at_a_time() {
    let site = Site::new();
    let (journal, _) = site.open();

    let error = site.try_open().unwrap_err();

    assert_eq!(error, JournalError::Locked { directory: site.options.directory.clone() });
    assert!(error.to_string().contains("give each node its own directory"), "{error}");
    assert!(error.to_string().contains(site.options.directory.to_str().unwrap()), "{error}");
    journal.answer(answer(1)).await.unwrap();
}

#[tokio::test]
async fn intent_whose_caller_gave_up_counts_as_done() {
    let site = Site::new();
    let (journal, _) = site.open();
    occupy(&site, &journal).await;
    poll_once(pin!(journal.intent(intent(1))));
    let kept = journal.intent(intent(2));
    let mut kept = pin!(kept);
    poll_once(kept.as_mut());
    site.faults.set(|plan| plan.syncs_hang = false);
    kept.await.unwrap();
    journal.close().await;

    assert_eq!(intended(&site.look()), [2]);
}

#[tokio::test(start_paused = true)]
async fn full_queue_is_reported_as_unavailable() {
    let site = Site::new();
    let (journal, _) = site.open();
    occupy(&site, &journal).await;
    // One is being written, the others wait.
    for attempt in 1..QUEUE as u128 {
        poll_once(pin!(journal.answer(answer(attempt))));
    }

    let refused = journal.answer(answer(9999)).await;

    assert!(matches!(refused, Err(JournalError::Unavailable { .. })), "{refused:?}");
    assert_eq!(journal.health(), JournalHealth::Writing, "busy is not broken");
    site.faults.set(|plan| plan.syncs_hang = false);
    journal.close().await;
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_look_into_it() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let (journal, _) = site.open();
    journal.answer(answer(1)).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;

    assert_eq!(mode(&site.options.directory), 0o700);
    let files = std::fs::read_dir(&site.options.directory).unwrap();
    let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn missing_folder_is_named_and_not_made() {
    let mut site = Site::new();
    site.options.directory = site.folder.path().join("missing").join("journal");

    let error = site.try_open().unwrap_err();

    assert!(error.to_string().contains("does not exist; create it first"), "{error}");
    assert!(!site.folder.path().join("missing").exists());
}
