//! Segments end, are forgotten when nobody needs them, and never hold more than they may.

use std::ops::Range;

use crate::journal::segment::HEADER_LEN;
use crate::journal::tests::{
    Site, answer, answered, intended, intent, key, owed, tombstone, unreadable,
};
use crate::journal::{Journal, JournalError, JournalHealth};
use crate::ledger::AttemptId;
use crate::ledger::samples::MINUTE;

/// A journal of small segments.
fn small() -> Site {
    let mut site = Site::new();
    site.options.segment_bytes = 4096;
    site
}

async fn answer_all(journal: &Journal, attempts: Range<u128>) {
    for attempt in attempts {
        journal.answer(answer(attempt)).await.unwrap();
    }
}

/// Has the writer write its marks and look at its segments.
async fn settle(journal: &Journal) {
    journal.recent().await.unwrap();
}

#[tokio::test]
async fn everything_comes_back_from_many_segments() {
    let site = small();
    let (journal, _) = site.open();
    answer_all(&journal, 1..101).await;
    assert!(site.numbers().len() > 3, "{:?}", site.numbers());
    for number in site.numbers() {
        assert!(site.bytes(number).len() < 4096 + 512);
    }

    assert_eq!(answered(&journal.recent().await.unwrap()), (1..101).collect::<Vec<_>>());
    journal.close().await;
    assert_eq!(answered(&site.open().1), (1..101).collect::<Vec<_>>());
}

#[tokio::test]
async fn segments_go_when_all_in_them_has_been_done_for_a_while() {
    let site = small();
    let (journal, _) = site.open();
    answer_all(&journal, 1..101).await;
    let all = site.numbers();
    site.clock.advance(60 * MINUTE);
    settle(&journal).await;
    assert!(site.numbers().starts_with(&all), "nothing is done");

    (1..101).for_each(|attempt| journal.done(AttemptId(attempt)));
    settle(&journal).await;
    site.clock.advance(10 * MINUTE);
    settle(&journal).await;
    assert!(site.numbers().starts_with(&all), "done for ten minutes, not for longer");

    site.clock.advance(MINUTE);
    settle(&journal).await;
    assert!(site.numbers().iter().all(|number| !all.contains(number)), "{:?}", site.numbers());
}

#[tokio::test]
async fn deletions_and_unreadable_answers_keep_their_segment_as_long_as_they_are_needed() {
    let site = small();
    let (journal, _) = site.open();
    journal.deleted(&key(1), tombstone(3)).await.unwrap();
    site.clock.advance(9 * MINUTE);
    answer_all(&journal, 1..2).await;
    journal.done(AttemptId(1));
    settle(&journal).await;
    assert_eq!(journal.recent().await.unwrap().deletions.len(), 1);
    site.clock.advance(11 * MINUTE);
    journal.unreadable(unreadable(2, "<html>")).await.unwrap();
    settle(&journal).await;
    assert!(!site.path(1).exists());

    site.clock.advance(60 * MINUTE);
    journal.close().await;
    let (journal, recovered) = site.open();
    assert_eq!(recovered.unreadable.len(), 1, "nobody said that it is done");
    journal.done(AttemptId(2));
    settle(&journal).await;
    site.clock.advance(11 * MINUTE);
    settle(&journal).await;
    journal.close().await;
    assert!(site.look().unreadable.is_empty());
}

#[tokio::test]
async fn idle_journal_empties_itself() {
    let site = Site::new();
    let (journal, _) = site.open();
    answer_all(&journal, 1..20).await;
    (1..20).for_each(|attempt| journal.done(AttemptId(attempt)));
    settle(&journal).await;
    site.clock.advance(11 * MINUTE);
    settle(&journal).await;
    site.clock.advance(11 * MINUTE);
    settle(&journal).await;

    let numbers = site.numbers();
    assert_eq!(numbers.len(), 1, "{numbers:?}");
    assert_eq!(site.bytes(numbers[0]).len(), HEADER_LEN);
}

#[tokio::test]
async fn open_exchange_pins_its_own_segment_and_no_other() {
    let site = small();
    let (journal, _) = site.open();
    answer_all(&journal, 1..101).await;
    // 1 is answered and not done, 200 begun and not answered.
    journal.intent(intent(200)).await.unwrap();
    answer_all(&journal, 101..201).await;
    journal.intent(intent(300)).await.unwrap();
    (2..201).filter(|n| *n != 200).for_each(|attempt| journal.done(AttemptId(attempt)));
    journal.done(AttemptId(300));
    settle(&journal).await;
    let before = site.numbers();
    site.clock.advance(11 * MINUTE);
    settle(&journal).await;
    site.clock.advance(11 * MINUTE);
    settle(&journal).await;

    let after = site.numbers();
    assert!(after.len() <= 5 && after[0] == 1, "{after:?} of {before:?}");
    for recovered in [journal.recent().await.unwrap(), site.look()] {
        assert_eq!(
            answered(&recovered),
            [1, 200],
            "the marks of the others are gone, they are not"
        );
        assert_eq!(intended(&recovered), Vec::<u128>::new());
        assert_eq!(owed(&recovered), [1, 200]);
    }
}

#[tokio::test]
async fn what_was_done_stays_done_however_often_its_marks_are_written_again() {
    let site = small();
    let (journal, _) = site.open();
    answer_all(&journal, 1..11).await;
    (2..11).for_each(|attempt| journal.done(AttemptId(attempt)));
    let mut journal = journal;
    for round in 1..6_u128 {
        let own = round * 100..round * 100 + 30;
        answer_all(&journal, own.clone()).await;
        own.for_each(|attempt| journal.done(AttemptId(attempt)));
        settle(&journal).await;
        site.clock.advance(11 * MINUTE);
        settle(&journal).await;
        assert_eq!(answered(&journal.recent().await.unwrap()), [1]);
        journal.close().await;
        let (reopened, recovered) = site.open();
        assert_eq!(answered(&recovered), [1], "round {round}");
        journal = reopened;
        assert!(site.numbers().len() <= 5, "{:?}", site.numbers());
    }
}

#[tokio::test]
async fn numbers_go_up_for_ever() {
    let site = Site::new();
    let mut newest = 0;
    for _ in 0..4 {
        let (journal, _) = site.open();
        journal.close().await;
        site.clock.advance(60 * MINUTE);
        let numbers = site.numbers();
        assert!(numbers.iter().all(|number| *number > newest), "{numbers:?} after {newest}");
        newest = numbers[0];
    }
}

#[tokio::test]
async fn nothing_is_removed_while_it_is_being_read() {
    let site = small();
    let (journal, _) = site.open();
    answer_all(&journal, 1..51).await;
    (1..51).for_each(|attempt| journal.done(AttemptId(attempt)));
    settle(&journal).await;
    let all = site.numbers();
    let reading = journal.inner.writer.readable().await.unwrap();
    site.clock.advance(11 * MINUTE);
    settle(&journal).await;
    assert!(site.numbers().starts_with(&all));

    drop(reading);
    settle(&journal).await;

    assert!(!site.numbers().starts_with(&all));
}

#[tokio::test]
async fn full_journal_takes_answers_and_no_intents() {
    let mut site = small();
    site.options.max_bytes = 64 * 1024;
    let (journal, _) = site.open();
    let mut attempt = 0;
    let refused = loop {
        attempt += 1;
        if let Err(error) = journal.intent(intent(attempt)).await {
            break error;
        }
        journal.answer(answer(attempt)).await.unwrap();
    };
    let JournalError::Full { bytes, max_bytes } = refused else {
        panic!("{refused}");
    };
    assert!((56 * 1024..64 * 1024).contains(&bytes), "{bytes}");
    assert_eq!(max_bytes, 64 * 1024);
    assert!(matches!(journal.health(), JournalHealth::Full { .. }), "{:?}", journal.health());

    let mut answers = attempt;
    let refused = loop {
        match journal.answer(answer(answers)).await {
            Ok(()) => answers += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, JournalError::Full { .. }), "{refused}");
    assert!(answers > attempt + 10, "the reserve took {} answers", answers - attempt);
    let size: usize = site.numbers().iter().map(|number| site.bytes(*number).len()).sum();
    assert!(size < 65 * 1024, "{size}");

    (1..answers).for_each(|attempt| journal.done(AttemptId(attempt)));
    settle(&journal).await;
    site.clock.advance(11 * MINUTE);
    settle(&journal).await;
    assert_eq!(journal.health(), JournalHealth::Writing);
    journal.intent(intent(9999)).await.unwrap();
}
