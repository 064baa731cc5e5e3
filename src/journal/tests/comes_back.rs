//! What was written comes back: after a restart, and while the journal is in use.

use std::time::Duration;

use crate::journal::segment::{HEADER_LEN, Header};
use crate::journal::tests::{
    START, Site, answer, answered, intended, intent, key, owed, tombstone, unreadable,
};
use crate::journal::{Journal, JournalError, Recorded, Recovered};
use crate::ledger::AttemptId;
use crate::ledger::samples::{HOUR, MINUTE};
use crate::model::Clock;

const SECOND: Duration = Duration::from_secs(1);

/// An exchange, a lost one, an unreadable one, one that is done, and a deletion.
async fn write_one_of_each(journal: &Journal) {
    journal.intent(intent(1)).await.unwrap();
    journal.answer(answer(1)).await.unwrap();
    journal.intent(intent(2)).await.unwrap();
    journal.intent(intent(3)).await.unwrap();
    journal.unreadable(unreadable(3, "<html>")).await.unwrap();
    journal.intent(intent(4)).await.unwrap();
    journal.answer(answer(4)).await.unwrap();
    journal.done(AttemptId(4));
    journal.deleted(&key(5), tombstone(7)).await.unwrap();
}

fn one_of_each(age: Duration) -> Recovered {
    let open = |what| Recorded { what, done: false, age };
    Recovered {
        answers: vec![open(answer(1)), Recorded { what: answer(4), done: true, age }],
        intents: vec![
            Recorded { what: intent(2), done: false, age },
            Recorded { what: intent(3), done: false, age },
        ],
        deletions: vec![Recorded { what: (key(5), tombstone(7)), done: false, age }],
        unreadable: vec![Recorded { what: unreadable(3, "<html>"), done: false, age }],
        ..Recovered::default()
    }
}

#[tokio::test]
async fn everything_comes_back_after_closing() {
    let site = Site::new();
    let (journal, recovered) = site.open();
    assert_eq!(recovered, Recovered::default());
    write_one_of_each(&journal).await;
    let name = journal.node_name().to_owned();
    journal.close().await;
    site.clock.advance(SECOND);

    let (journal, recovered) = site.open();

    assert_eq!(recovered, one_of_each(SECOND));
    assert_eq!(journal.node_name(), name);
    assert_eq!(name.len(), 32);
}

#[tokio::test]
async fn everything_comes_back_while_in_use() {
    let site = Site::new();
    let (journal, _) = site.open();
    write_one_of_each(&journal).await;
    site.clock.advance(SECOND);

    assert_eq!(journal.recent().await.unwrap(), one_of_each(SECOND));
}

#[tokio::test]
async fn what_a_start_brought_back_is_still_there_at_the_next() {
    let site = Site::new();
    let (journal, _) = site.open();
    write_one_of_each(&journal).await;
    journal.close().await;
    for round in 1..4 {
        site.clock.advance(MINUTE);

        let (journal, recovered) = site.open();

        assert_eq!(recovered, one_of_each(round * MINUTE));
        assert_eq!(journal.recent().await.unwrap(), recovered);
        journal.close().await;
        assert!(site.numbers().len() <= 2, "starting leaves nothing behind: {:?}", site.numbers());
    }
}

#[tokio::test]
async fn what_is_done_comes_back_for_the_retention_only() {
    let site = Site::new();
    let (journal, _) = site.open();
    for attempt in 1..=3 {
        journal.answer(answer(attempt)).await.unwrap();
        journal.intent(intent(attempt + 10)).await.unwrap();
    }
    journal.done(AttemptId(1));
    journal.done(AttemptId(11));
    site.clock.advance(9 * MINUTE);
    journal.done(AttemptId(2));
    site.clock.advance(2 * MINUTE);

    for recovered in [journal.recent().await.unwrap(), site.look()] {
        assert_eq!(answered(&recovered), [1, 2, 3], "the marks were written with this read");
        assert_eq!(owed(&recovered), [3]);
        assert_eq!(intended(&recovered), [12, 13]);
    }
    site.clock.advance(11 * MINUTE);
    for recovered in [journal.recent().await.unwrap(), site.look()] {
        assert_eq!(answered(&recovered), [3]);
        assert_eq!(intended(&recovered), [12, 13]);
    }
}

#[tokio::test]
async fn age_is_counted_by_the_clock_since_boot() {
    let site = Site::new();
    let (journal, _) = site.open();
    journal.answer(answer(1)).await.unwrap();
    site.clock.jump(-3_600_000);
    site.clock.advance(HOUR);

    let age = journal.recent().await.unwrap().answers[0].age;
    assert_eq!(age, HOUR, "the wall clock shows no time passed");
    journal.close().await;
    assert_eq!(site.open().1.answers[0].age, HOUR);
}

#[tokio::test]
async fn age_is_counted_by_the_wall_clock_after_a_reboot() {
    let site = Site::new();
    let (journal, _) = site.open();
    journal.answer(answer(1)).await.unwrap();
    journal.close().await;
    of_another_boot(&site, 1);
    site.clock.jump(5_000);

    assert_eq!(site.look().answers[0].age, 5 * SECOND);
    site.clock.jump(-60_000);
    assert_eq!(site.look().answers[0].age, Duration::ZERO, "never negative");
    assert!(site.clock.now() < START);
}

/// As if the machine had been restarted since.
fn of_another_boot(site: &Site, number: u64) {
    let mut bytes = site.bytes(number);
    let header = Header::decode(&bytes).unwrap();
    let boot = header.boot.map(|boot| boot ^ 1);
    bytes[..HEADER_LEN].copy_from_slice(&Header { boot, ..header }.encode());
    std::fs::write(site.path(number), bytes).unwrap();
}

#[tokio::test]
async fn latest_deletion_of_a_session_comes_back() {
    let site = Site::new();
    let (journal, _) = site.open();
    journal.deleted(&key(1), tombstone(3)).await.unwrap();
    journal.deleted(&key(2), tombstone(4)).await.unwrap();
    site.clock.advance(MINUTE);
    journal.deleted(&key(1), tombstone(6)).await.unwrap();

    let deletions = journal.recent().await.unwrap().deletions;
    let whats: Vec<_> = deletions.into_iter().map(|deletion| deletion.what).collect();
    assert_eq!(whats, [(key(2), tombstone(4)), (key(1), tombstone(6))]);

    site.clock.advance(10 * MINUTE);
    assert_eq!(journal.recent().await.unwrap().deletions.len(), 1);
}

#[tokio::test]
async fn nothing_stands_in_the_files_for_others_to_read() {
    let site = Site::new();
    let (journal, _) = site.open();
    write_one_of_each(&journal).await;
    journal.unreadable(unreadable(9, "refresh_token=plain-secret")).await.unwrap();
    journal.close().await;

    let bytes = site.bytes(1);
    assert!(bytes.len() > 1000, "there is something to search");
    for text in ["acme", "user-", "sample", "token of", "plain-secret", "refresh"] {
        let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found, "{text} can be read");
    }
    let (journal, recovered) = site.open();
    let printed = format!("{recovered:?} {journal:?} {:?}", journal.health());
    assert!(printed.contains("bytes redacted"), "{printed}");
    assert!(!printed.contains("plain-secret") && !printed.contains("token of"), "{printed}");
}

#[tokio::test]
async fn errors_show_no_secret() {
    let site = Site::new();
    let (journal, _) = site.open();
    let large = "plain-secret ".repeat(400_000);

    let error = journal.unreadable(unreadable(9, &large)).await.unwrap_err();

    assert!(matches!(error, JournalError::TooLarge { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("plain-secret"));
    assert!(journal.answer(answer(1)).await.is_ok(), "the next one is written");
}

#[tokio::test]
async fn answer_as_large_as_an_http_answer_can_be_is_taken() {
    let site = Site::new();
    let (journal, _) = site.open();
    let body = "x".repeat(1024 * 1024);

    journal.unreadable(unreadable(9, &body)).await.unwrap();

    assert_eq!(site.look().unreadable[0].what, unreadable(9, &body));
}
