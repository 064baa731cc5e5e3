//! Torn ends, bad sectors, wrong keys and other people's files.

use std::ops::Range;

use proptest::prelude::*;

use crate::journal::frame::{HEAD_LEN, Piece, Pieces, checksum};
use crate::journal::scan::scan;
use crate::journal::segment::{HEADER_LEN, Header};
use crate::journal::tests::{Site, answer, answered, intended, key, tombstone};
use crate::journal::{JournalError, Recovered};
use crate::ledger::AttemptId;
use crate::ledger::samples::MINUTE;
use crate::sealing::Keyring;

/// A closed journal of one segment with these answers.
async fn with_answers(attempts: Range<u128>) -> Site {
    let site = Site::new();
    let (journal, _) = site.open();
    for attempt in attempts {
        journal.answer(answer(attempt)).await.unwrap();
    }
    journal.close().await;
    site
}

/// Where the frames of a segment lie.
fn frames(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut at = HEADER_LEN;
    let mut frames = Vec::new();
    for piece in Pieces::from(bytes, HEADER_LEN) {
        let Piece::Frame(payload) = piece else {
            panic!("the segment is whole");
        };
        let end = at + HEAD_LEN + payload.len();
        frames.push(at..end);
        at = end;
    }
    frames
}

fn is_whole(recovered: &Recovered) -> bool {
    recovered.torn_bytes == 0 && recovered.damaged_places == 0
}

#[tokio::test]
async fn torn_end_of_any_length_costs_the_last_entry_alone() {
    let site = with_answers(1..4).await;
    let whole = site.bytes(1);
    let last = frames(&whole)[2].clone();
    for length in last.start..last.end {
        std::fs::write(site.path(1), &whole[..length]).unwrap();

        let recovered = site.look();

        assert_eq!(answered(&recovered), [1, 2], "{length}");
        assert_eq!(recovered.torn_bytes, (length - last.start) as u64);
        assert_eq!(recovered.damaged_places, 0);
    }
}

#[tokio::test]
async fn torn_header_is_no_damage() {
    let site = with_answers(1..2).await;
    let whole = site.bytes(1);
    for length in 0..HEADER_LEN {
        std::fs::write(site.path(2), &whole[..length]).unwrap();
        let recovered = site.look();
        assert_eq!((recovered.torn_bytes, recovered.damaged_places), (length as u64, 0));
        assert_eq!(answered(&recovered), [1]);
    }
    // So does a file system that had the size written and not the content.
    std::fs::write(site.path(2), [0; 500]).unwrap();
    let recovered = site.look();
    assert_eq!((recovered.torn_bytes, recovered.damaged_places), (500, 0));
}

#[tokio::test]
async fn torn_end_is_cut_off_and_reported_once() {
    let site = with_answers(1..4).await;
    let whole = site.bytes(1);
    let last = frames(&whole)[2].clone();
    std::fs::write(site.path(1), &whole[..last.end - 1]).unwrap();

    let (journal, first) = site.open();
    journal.answer(answer(9)).await.unwrap();
    journal.close().await;
    let (_, second) = site.open();

    assert_eq!(first.torn_bytes, (last.len() - 1) as u64);
    assert!(is_whole(&second), "{second:?}");
    assert_eq!(answered(&second), [1, 2, 9]);
}

#[tokio::test]
async fn any_changed_byte_is_noticed_and_costs_its_entry_alone() {
    let site = with_answers(1..4).await;
    let whole = site.bytes(1);
    let frames = frames(&whole);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(site.path(1), &bytes).unwrap();

        let recovered = site.look();

        let hit = frames.iter().position(|frame| frame.contains(&at));
        let left: Vec<u128> = (0..3).filter(|n| Some(*n) != hit).map(|n| n as u128 + 1).collect();
        assert_eq!(answered(&recovered), left, "byte {at}");
        assert!(!is_whole(&recovered), "byte {at} went unnoticed");
    }
}

#[tokio::test]
async fn damage_in_an_older_segment_is_reported_and_harms_no_other() {
    let site = with_answers(1..4).await;
    let (journal, _) = site.open();
    journal.answer(answer(4)).await.unwrap();
    journal.close().await;
    let mut bytes = site.bytes(1);
    let frames = frames(&bytes);
    bytes[frames[0].clone()].fill(0);
    bytes.truncate(bytes.len() - 1);
    std::fs::write(site.path(1), &bytes).unwrap();

    let (_, recovered) = site.open();

    assert_eq!(answered(&recovered), [2, 4]);
    assert_eq!(recovered.damaged_places, 2, "a hole, and an end that is no longer the end");
    assert_eq!(recovered.damaged_bytes, (frames[0].len() + frames[2].len() - 1) as u64);
    assert_eq!(recovered.torn_bytes, 0);
}

#[tokio::test]
async fn frames_cannot_be_swapped_repeated_left_out_or_moved() {
    let site = with_answers(1..4).await;
    let whole = site.bytes(1);
    let parts: Vec<&[u8]> = frames(&whole).into_iter().map(|frame| &whole[frame]).collect();
    let head = &whole[..HEADER_LEN];
    let cases = [
        ("swapped", [head, parts[1], parts[0], parts[2]].concat(), vec![2, 3]),
        ("repeated", [head, parts[0], parts[0], parts[1], parts[2]].concat(), vec![1, 2, 3]),
        ("left out", [head, parts[0], parts[2]].concat(), vec![1, 3]),
    ];
    for (name, bytes, left) in cases {
        std::fs::write(site.path(1), bytes).unwrap();
        let recovered = site.look();
        assert_eq!(answered(&recovered), left, "{name}");
        assert!(!is_whole(&recovered), "{name} went unnoticed");
    }

    std::fs::write(site.path(1), &whole).unwrap();
    std::fs::write(site.path(7), &whole).unwrap();
    assert_eq!(site.look().damaged_bytes, whole.len() as u64, "a copy under another number");
    let forged = Header { number: 7, ..Header::decode(&whole).unwrap() }.encode();
    std::fs::write(site.path(7), [&forged, &whole[HEADER_LEN..]].concat()).unwrap();
    let recovered = site.look();
    assert_eq!((answered(&recovered), recovered.damaged_places), (vec![1, 2, 3], 3));
}

#[tokio::test]
async fn missing_key_is_named() {
    let mut site = Site::new();
    let old = Keyring::generate().to_text();
    site.keyring = Keyring::parse(&old).unwrap();
    let (journal, _) = site.open();
    journal.answer(answer(1)).await.unwrap();
    journal.close().await;
    let new = Keyring::generate().to_text().replacen("1:", "2:", 1);

    site.keyring = Keyring::parse(&new).unwrap();
    let error = site.try_open().unwrap_err();
    assert_eq!(error, JournalError::UnknownKey { path: site.path(1), id: 1 });
    assert!(error.to_string().contains("add that key"), "{error}");

    site.keyring = Keyring::parse(&format!("{new},{}", old.as_str())).unwrap();
    assert_eq!(answered(&site.open().1), [1], "both keys open it");
}

#[tokio::test]
async fn other_key_under_the_same_id_is_no_damage() {
    let mut site = with_answers(1..3).await;
    site.keyring = Keyring::generate();
    let before = site.bytes(1);

    let error = site.try_open().unwrap_err();

    assert_eq!(error, JournalError::WrongKey { path: site.path(1), id: 1 });
    assert!(error.to_string().contains("put the right key there"), "{error}");
    assert_eq!(site.bytes(1), before, "it is left as it was");
}

#[tokio::test]
async fn newer_format_asks_for_an_upgrade() {
    let site = with_answers(1..2).await;
    let mut bytes = site.bytes(1);
    bytes[8] = 2;
    let sum = checksum(&[&bytes[..HEADER_LEN - 8]]);
    bytes[HEADER_LEN - 8..HEADER_LEN].copy_from_slice(&sum);
    std::fs::write(site.path(1), bytes).unwrap();

    let error = site.try_open().unwrap_err();

    let path = site.path(1);
    assert_eq!(error, JournalError::NewerFormat { path, found: 2, supported: 1 });
    assert!(error.to_string().contains("upgrade"), "{error}");
}

#[tokio::test]
async fn segment_that_cannot_be_read_stops_nothing_and_stays() {
    let site = with_answers(1..2).await;
    std::fs::create_dir(site.path(9)).unwrap();

    let (journal, recovered) = site.open();
    assert_eq!((answered(&recovered), recovered.damaged_places), (vec![1], 1));
    journal.done(AttemptId(1));
    journal.recent().await.unwrap();
    site.clock.advance(11 * MINUTE);
    journal.recent().await.unwrap();

    assert!(site.path(9).exists());
    assert!(!site.path(1).exists());
}

#[tokio::test]
async fn other_files_in_the_directory_are_left_alone() {
    let site = with_answers(1..2).await;
    let other = site.options.directory.join("1.journal");
    std::fs::write(&other, "mine").unwrap();

    let (_, recovered) = site.open();

    assert!(is_whole(&recovered));
    assert_eq!(std::fs::read(other).unwrap(), b"mine");
}

#[tokio::test]
async fn segment_of_another_node_is_taken_in() {
    let site = with_answers(1..2).await;
    let other = Site { keyring: site.keyring.clone(), ..Site::new() };
    for _ in 0..3 {
        other.open().0.close().await;
    }
    let (journal, _) = other.open();
    journal.answer(answer(6)).await.unwrap();
    journal.deleted(&key(7), tombstone(1)).await.unwrap();
    journal.close().await;
    let last = *other.numbers().last().unwrap();
    std::fs::copy(other.path(last), site.path(last)).unwrap();

    let recovered = site.look();

    assert!(is_whole(&recovered), "{recovered:?}");
    assert_eq!((answered(&recovered), recovered.deletions.len()), (vec![1, 6], 1));
    assert!(intended(&recovered).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_make_reading_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        headed in any::<bool>(),
    ) {
        if headed {
            let header = Header { node: 1, number: 1, boot: None }.encode();
            bytes.splice(0..0, header);
        }
        let scan = scan(&Keyring::generate(), 1, 1, &bytes).unwrap();
        prop_assert!(scan.entries.is_empty());
        prop_assert!(scan.tail.is_some() || bytes.len() == HEADER_LEN);
    }
}
