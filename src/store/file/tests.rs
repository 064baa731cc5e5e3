//! What holds for the file alone: opening, damage, clocks, closing.

use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;

use redb::{Database, TableDefinition};
use tempfile::TempDir;

use crate::ledger::samples::{DAY, HOUR, MINUTE, begin_request, put_request, sealed};
use crate::ledger::{AttemptId, BeginReply, Claim, TakenLogin, put};
use crate::model::{ManualClock, SessionKey, Timestamp};
use crate::store::file::FileStore;
use crate::store::file::tables::{DUE, DUE_OF, Failure, META, SESSIONS};
use crate::store::file::writer::QUEUE;
use crate::store::{LOGIN_MEMORY, SessionStore, StoreError};

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    (folder, path)
}

fn key(name: &str) -> SessionKey {
    SessionKey::new("acme", name).unwrap()
}

/// A closed store with one session called `user`.
async fn made(path: &Path) {
    let store = FileStore::open(path).unwrap();
    store.put(&key("user"), put_request(1, "login")).await.unwrap();
    store.close().await.unwrap();
}

fn edit(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let (_folder, path) = folder();
    let store = FileStore::open(&path).unwrap();
    store.put(&key("user"), put_request(1, "login")).await.unwrap();
    store.begin(&key("user"), begin_request(1, 1)).await.unwrap();
    store.put(&key("gone"), put_request(1, "login")).await.unwrap();
    store.delete(&key("gone")).await.unwrap();
    store.put_login("digest", sealed("login"), MINUTE).await.unwrap();
    let before = [store.load(&key("user")).await, store.load(&key("gone")).await];
    store.close().await.unwrap();

    let store = FileStore::open(&path).unwrap();

    let after = [store.load(&key("user")).await, store.load(&key("gone")).await];
    assert_eq!(before.map(|at| at.unwrap().reply), after.map(|at| at.unwrap().reply));
    assert_eq!(
        store.take_login("digest", AttemptId(1)).await,
        Ok(TakenLogin::Taken(sealed("login")))
    );
    let claim = Claim { horizon: HOUR, limit: 9, visibility: MINUTE };
    assert_eq!(store.claim(claim).await.unwrap().reply.len(), 1);
}

#[tokio::test]
async fn dropping_without_closing_writes_what_was_queued() {
    let (_folder, path) = folder();
    let store = FileStore::open(&path).unwrap();
    for number in 0..50 {
        let key = key(&number.to_string());
        // The caller gives up as soon as it has asked.
        poll_once(pin!(store.put(&key, put_request(1, "login"))));
    }
    drop(store);

    let store = FileStore::open(&path).unwrap();

    for number in 0..50 {
        let entry = store.load(&key(&number.to_string())).await.unwrap().reply;
        assert!(entry.record.is_some(), "{number}");
    }
}

#[tokio::test]
async fn closing_writes_what_was_queued_before_it() {
    let (_folder, path) = folder();
    let store = FileStore::open(&path).unwrap();
    let release = occupy(&store);
    let first = key("0");
    let mut early = Box::pin(store.put(&first, put_request(1, "login")));
    poll_once(early.as_mut());
    let mut closing = Box::pin(store.close());
    poll_once(closing.as_mut());
    // More than one batch, queued behind the wish to close.
    for number in 1..600 {
        poll_once(pin!(store.put(&key(&number.to_string()), put_request(1, "login"))));
    }

    drop(release);

    assert_eq!(closing.await, Ok(()));
    assert!(early.await.is_ok());
    let store = FileStore::open(&path).unwrap();
    for number in 0..600 {
        let entry = store.load(&key(&number.to_string())).await.unwrap().reply;
        assert!(entry.record.is_some(), "{number}");
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) {
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

/// Keeps the writer from taking the next batch until the sender is dropped.
fn occupy(store: &FileStore) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    poll_once(pin!(store.writer.submit(move |_, _| {
        started.send(()).unwrap();
        let _ = released.recv();
        Ok(())
    })));
    has_started.recv().unwrap();
    release
}

#[tokio::test]
async fn failed_batch_acknowledges_nothing_and_keeps_nothing() {
    let (_folder, path) = folder();
    let store = FileStore::open(&path).unwrap();
    let release = occupy(&store);
    let disk = StoreError::Io { path: path.clone(), detail: "the disk is on fire".into() };
    let (early, late) = (key("early"), key("late"));
    let mut puts = [&early, &late].map(|key| Box::pin(store.put(key, put_request(1, "login"))));
    let failing = disk.clone();
    let mut breaks = pin!(store.writer.submit(move |_, _| Err::<(), _>(Failure::Batch(failing))));
    poll_once(puts[0].as_mut());
    poll_once(breaks.as_mut());
    poll_once(puts[1].as_mut());

    drop(release);

    assert_eq!(breaks.await, Err(disk.clone()));
    for put in puts {
        assert_eq!(put.await, Err(disk.clone()), "they share one commit");
    }
    assert!(store.load(&early).await.unwrap().reply.is_empty());
    assert!(store.put(&late, put_request(1, "login")).await.is_ok(), "the next batch goes on");
}

#[tokio::test]
async fn panic_while_writing_keeps_nothing_of_its_batch() {
    let (_folder, path) = folder();
    let store = FileStore::open(&path).unwrap();
    let user = key("user");

    let written = store.writer.submit(move |tables, now| -> Result<(), Failure> {
        tables.transact(&user, now, |entry, now| put(entry, now, &put_request(1, "login")))?;
        panic!("on purpose");
    });
    let written = written.await;

    assert!(matches!(written, Err(StoreError::Unavailable { .. })), "{written:?}");
    assert!(store.load(&key("user")).await.unwrap().reply.is_empty());
    assert!(store.put(&key("user"), put_request(1, "login")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn full_queue_is_reported_as_unavailable() {
    let (_folder, path) = folder();
    let store = FileStore::open(&path).unwrap();
    let release = occupy(&store);
    let user = key("user");
    for _ in 0..QUEUE {
        poll_once(pin!(store.delete(&user)));
    }

    let refused = store.delete(&user).await;

    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    drop(release);
    store.close().await.unwrap();
}

#[tokio::test]
async fn closed_store_answers_nothing_more_and_frees_the_file() {
    let (_folder, path) = folder();
    let store = FileStore::open(&path).unwrap();
    store.put(&key("user"), put_request(1, "login")).await.unwrap();

    store.close().await.unwrap();

    assert_eq!(store.load(&key("user")).await, Err(StoreError::Closed));
    assert_eq!(store.delete(&key("user")).await, Err(StoreError::Closed));
    assert_eq!(store.close().await, Ok(()), "closing twice is no mistake");
    assert!(FileStore::open(&path).is_ok());
}

#[tokio::test]
async fn file_belongs_to_one_store_at_a_time() {
    let (_folder, path) = folder();
    let store = FileStore::open(&path).unwrap();

    assert_eq!(FileStore::open(&path).unwrap_err(), StoreError::Locked { path: path.clone() });
    store.put(&key("user"), put_request(1, "login")).await.unwrap();
    drop(store);
    assert!(FileStore::open(&path).is_ok());
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_a_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = folder();

    let _store = FileStore::open(&path).unwrap();

    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
}

#[test]
fn wrong_paths_are_named() {
    let (folder, _) = folder();
    let missing = folder.path().join("missing").join("sessions.redb");

    let error = FileStore::open(&missing).unwrap_err();
    assert!(matches!(&error, StoreError::Io { path, .. } if *path == missing), "{error}");
    assert!(error.to_string().contains("does not exist; create it first"), "{error}");
    assert!(!missing.parent().unwrap().exists(), "nothing was created");

    let error = FileStore::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}

#[tokio::test]
async fn empty_file_counts_as_new() {
    let (_folder, path) = folder();
    std::fs::write(&path, b"").unwrap();

    made(&path).await;

    assert!(FileStore::open(&path).is_ok());
}

#[tokio::test]
async fn damaged_and_foreign_files_are_refused_untouched() {
    let (folder, path) = folder();
    made(&path).await;
    let whole = std::fs::read(&path).unwrap();
    let mut scrambled = whole.clone();
    scrambled[16..].fill(0xa5);
    let cases: [(&str, Vec<u8>); 6] = [
        ("text", b"user = 1\n".to_vec()),
        ("zeroes", vec![0; 8192]),
        (
            "garbage",
            (0..9000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect(),
        ),
        ("header only", whole[..64].to_vec()),
        ("half", whole[..whole.len() / 2].to_vec()),
        ("scrambled", scrambled),
    ];
    for (name, bytes) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();

        let error = FileStore::open(&path).unwrap_err();

        assert!(matches!(error, StoreError::Corrupt { .. }), "{name}: {error}");
        assert_eq!(std::fs::read(&path).unwrap().len(), bytes.len(), "{name} was written to");
    }
}

#[test]
fn other_programs_database_is_refused() {
    let (_folder, path) = folder();
    let table = TableDefinition::<&str, u64>::new("other");
    edit(&path, |transaction| {
        transaction.open_table(table).unwrap().insert("a", 1).unwrap();
    });

    let error = FileStore::open(&path).unwrap_err();

    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn newer_formats_are_refused() {
    let (_folder, path) = folder();
    made(&path).await;
    edit(&path, |transaction| {
        let mut sessions = transaction.open_table(SESSIONS).unwrap();
        sessions.insert("acme\u{1f}later", [200, 1, 2].as_slice()).unwrap();
        sessions.insert("acme\u{1f}broken", [1, 1, 2].as_slice()).unwrap();
    });
    let store = FileStore::open(&path).unwrap();

    let error = store.load(&key("later")).await.unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 200, supported: 1, .. }), "{error}");
    let error = store.delete(&key("later")).await.unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { .. }), "{error}");
    let error = store.delete(&key("broken")).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(store.load(&key("user")).await.unwrap().reply.record.is_some());
    store.close().await.unwrap();

    edit(&path, |transaction| {
        transaction.open_table(META).unwrap().insert("format", 9).unwrap();
    });
    let error = FileStore::open(&path).unwrap_err();
    assert_eq!(error, StoreError::NewerFormat { path, found: 9, supported: 1 });
}

#[tokio::test]
async fn panic_in_one_operation_harms_no_other() {
    let (_folder, path) = folder();
    let store = FileStore::open(&path).unwrap();
    store.put(&key("user"), put_request(1, "login")).await.unwrap();
    let before = store.load(&key("user")).await.unwrap().reply;

    let user = key("user");
    let panics = store.transact(&user, |entry, _| -> () {
        entry.record = None;
        panic!("on purpose");
    });
    let (other, user) = (key("other"), key("user"));
    let (panicked, other, same) = tokio::join!(
        panics,
        store.put(&other, put_request(1, "login")),
        store.begin(&user, begin_request(1, 7)),
    );

    assert!(matches!(panicked, Err(StoreError::Unavailable { .. })), "{panicked:?}");
    assert!(other.is_ok(), "{other:?}");
    assert!(matches!(same.unwrap().reply, BeginReply::Granted(_)));
    let after = store.load(&key("user")).await.unwrap().reply;
    assert_eq!(after.record.unwrap().access, before.record.unwrap().access);
}

#[tokio::test]
async fn running_store_does_not_see_the_wall_clock_jump() {
    for jump in [-10 * 365 * 86_400_000_i64, 10 * 365 * 86_400_000] {
        let (_folder, path) = folder();
        let clock = Arc::new(ManualClock::at(START));
        let store = FileStore::open_with_clock(&path, clock.clone()).unwrap();
        store.put(&key("user"), put_request(1, "login")).await.unwrap();

        clock.jump(jump);
        clock.advance(MINUTE);

        let at = store.put(&key("later"), put_request(1, "login")).await.unwrap();
        assert_eq!(at.now, START + MINUTE);
        assert_eq!(store.load(&key("user")).await.unwrap().now, START + MINUTE);
    }
}

#[tokio::test]
async fn time_goes_on_where_it_was_when_the_clock_was_set_back() {
    for behind in [MINUTE, DAY, 3650 * DAY] {
        let (_folder, path) = folder();
        let clock = Arc::new(ManualClock::at(START));
        let store = FileStore::open_with_clock(&path, clock.clone()).unwrap();
        clock.advance(HOUR);
        store.put(&key("user"), put_request(1, "login")).await.unwrap();
        store.close().await.unwrap();

        let clock = Arc::new(ManualClock::at(START - behind));
        let store = FileStore::open_with_clock(&path, clock.clone()).unwrap();

        let loaded = store.load(&key("user")).await.unwrap();
        assert_eq!(loaded.now, START + HOUR, "{behind:?}");
        clock.advance(MINUTE);
        assert_eq!(store.load(&key("user")).await.unwrap().now, START + HOUR + MINUTE);
        let due = loaded.reply.due.unwrap();
        assert_eq!(due, START + HOUR + 40 * MINUTE, "it comes due when it would have");
    }
}

#[tokio::test]
async fn clock_years_ahead_makes_sessions_due_and_loses_none() {
    let (_folder, path) = folder();
    let clock = Arc::new(ManualClock::at(START));
    let store = FileStore::open_with_clock(&path, clock).unwrap();
    store.put(&key("user"), put_request(1, "login")).await.unwrap();
    store.close().await.unwrap();

    let clock = Arc::new(ManualClock::at(START + 3650 * DAY));
    let store = FileStore::open_with_clock(&path, clock).unwrap();

    let claim = Claim { horizon: Duration::ZERO, limit: 9, visibility: MINUTE };
    let claimed = store.claim(claim).await.unwrap();
    assert_eq!(claimed.reply, [(key("user"), START + 40 * MINUTE)]);
    assert!(store.load(&key("user")).await.unwrap().reply.record.is_some());
}

#[tokio::test]
async fn time_written_is_bounded_in_the_file_without_closing() {
    let (folder, path) = folder();
    let clock = Arc::new(ManualClock::at(START));
    let store = FileStore::open_with_clock(&path, clock.clone()).unwrap();
    clock.advance(HOUR);
    let written = store.put(&key("user"), put_request(1, "login")).await.unwrap().now;
    let copy = folder.path().join("copy.redb");
    std::fs::copy(&path, &copy).unwrap();

    let store = FileStore::open_with_clock(&copy, Arc::new(ManualClock::at(START))).unwrap();

    let now = store.load(&key("user")).await.unwrap().now;
    assert!(now >= written && now <= written + Duration::from_secs(1), "{now:?}");
}

#[tokio::test]
async fn forgotten_logins_and_tombstones_leave_the_file() {
    let (_folder, path) = folder();
    let clock = Arc::new(ManualClock::at(START));
    let store = FileStore::open_with_clock(&path, clock.clone()).unwrap();
    store.put_login("digest", sealed("login"), MINUTE).await.unwrap();
    store.put(&key("gone"), put_request(1, "login")).await.unwrap();
    store.delete(&key("gone")).await.unwrap();

    clock.advance(MINUTE);
    store.put(&key("user"), put_request(1, "login")).await.unwrap();
    assert_eq!(store.take_login("digest", AttemptId(1)).await, Ok(TakenLogin::Expired));
    clock.advance(LOGIN_MEMORY);
    store.put(&key("user"), put_request(3, "login")).await.unwrap();
    assert_eq!(store.take_login("digest", AttemptId(1)).await, Ok(TakenLogin::Unknown));
    assert!(store.load(&key("gone")).await.unwrap().reply.tombstone.is_some());
    clock.advance(7 * DAY);
    store.put(&key("user"), put_request(5, "login")).await.unwrap();

    assert!(store.load(&key("gone")).await.unwrap().reply.is_empty());
    assert!(store.load(&key("user")).await.unwrap().reply.record.is_some());
}

#[tokio::test]
async fn due_index_and_records_agree_after_any_change() {
    let (_folder, path) = folder();
    let store = FileStore::open(&path).unwrap();
    for number in 0..20_u32 {
        let key = key(&number.to_string());
        store.put(&key, put_request(1, "login")).await.unwrap();
        match number % 4 {
            0 => drop(store.delete(&key).await.unwrap()),
            1 => drop(store.begin(&key, begin_request(1, 1)).await.unwrap()),
            2 => store.postpone(&key, None, None).await.unwrap(),
            _ => {}
        }
    }
    let claim = Claim { horizon: HOUR, limit: 3, visibility: MINUTE };
    store.claim(claim).await.unwrap();
    store.close().await.unwrap();

    let database = Database::create(&path).unwrap();
    let transaction = redb::ReadableDatabase::begin_read(&database).unwrap();
    let (due, due_of) =
        (transaction.open_table(DUE).unwrap(), transaction.open_table(DUE_OF).unwrap());
    let mut by_index: Vec<(String, i64)> = redb::ReadableTable::iter(&due)
        .unwrap()
        .map(|row| row.unwrap().0)
        .map(|row| (row.value().1.to_owned(), row.value().0))
        .collect();
    by_index.sort();
    let by_key: Vec<(String, i64)> = redb::ReadableTable::iter(&due_of)
        .unwrap()
        .map(Result::unwrap)
        .map(|(key, due)| (key.value().to_owned(), due.value()))
        .collect();
    assert_eq!(by_index, by_key);
    assert_eq!(by_key.len(), 10);
}
