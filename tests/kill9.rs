//! The file store loses nothing it acknowledged, whenever its process is killed.
#![cfg(all(unix, feature = "file"))]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokenhive::ledger::{
    AttemptId, Begin, BeginReply, Claim, Commit, CommitReply, NewTokens, NodeId, Put, PutReply,
    Sealed, Urgency,
};
use tokenhive::model::{ProviderId, SessionKey};
use tokenhive::sealing::{Field, Keyring, Label};
use tokenhive::store::{FileStore, SessionStore};

/// Tells the child where its file is.
const CHILD_FILE: &str = "KILL9_CHILD_FILE";

/// Tells the child which round it is, so that attempts differ from round to round.
const CHILD_ROUND: &str = "KILL9_CHILD_ROUND";

const ROUNDS: u64 = 12;
const SESSIONS: u64 = 48;

/// Begins every token; must not be found in the file.
const MARKER: &str = "plain-token-marker";

fn keyring() -> Keyring {
    Keyring::parse("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
}

fn key(number: u64) -> SessionKey {
    SessionKey::new("kill9", format!("user-{number}")).unwrap()
}

fn plain(field: &str, key: &SessionKey, generation: u64) -> String {
    format!("{MARKER}-{field}-{key}-{generation}")
}

fn tokens(keyring: &Keyring, key: &SessionKey, generation: u64) -> NewTokens {
    let seal = |field, name| {
        let plain = plain(name, key, generation);
        Sealed::new(keyring.seal(Label::of(key, field), generation, plain.as_bytes()))
    };
    NewTokens {
        access: seal(Field::Access, "access"),
        refresh: Some(seal(Field::Refresh, "refresh")),
        extra: None,
        expires_in: Some(Duration::from_secs(3600)),
        refresh_expires_in: None,
        due_in: Some(Duration::from_secs(60)),
    }
}

/// Not a test of its own: what the killed process runs. Does nothing without its environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(path) = std::env::var_os(CHILD_FILE) else {
        return;
    };
    let round: u64 = std::env::var(CHILD_ROUND).unwrap().parse().unwrap();
    let store = Arc::new(FileStore::open(PathBuf::from(path)).unwrap());
    let workers: Vec<_> = (0..SESSIONS)
        .map(|number| tokio::spawn(keep_refreshing(store.clone(), round, number)))
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
}

/// Logs in if need be, then refreshes for ever, and says so after each acknowledgement.
async fn keep_refreshing(store: Arc<FileStore>, round: u64, number: u64) {
    let (keyring, key) = (keyring(), key(number));
    let entry = store.load(&key).await.unwrap().reply;
    let mut generation = match &entry.record {
        // What the killed process left in flight is replaced by a new login.
        Some(record) if record.slot.is_none() => record.generation,
        _ => login(&store, &keyring, &key, entry.next_put_generation()).await,
    };
    for turn in 1.. {
        let attempt = AttemptId((u128::from(round) << 64) | (u128::from(number) << 32) | turn);
        let BeginReply::Granted(grant) =
            store.begin(&key, begin(attempt, generation)).await.unwrap().reply
        else {
            panic!("nobody else refreshes {key}");
        };
        let tokens = tokens(&keyring, &key, grant.base + 1);
        let (base, sequence) = (grant.base, grant.sequence);
        let request = Commit { attempt, base, sequence, tokens, last_read: None, origin: None };
        let CommitReply::Installed(installed) = store.commit(&key, request).await.unwrap().reply
        else {
            panic!("nobody else refreshes {key}");
        };
        generation = installed.generation;
        acknowledge(number, generation);
    }
}

async fn login(store: &FileStore, keyring: &Keyring, key: &SessionKey, generation: u64) -> u64 {
    let provider = ProviderId::new("sample").unwrap();
    let request = Put { generation, provider, tokens: tokens(keyring, key, generation) };
    let reply = store.put(key, request).await.unwrap().reply;
    assert!(matches!(reply, PutReply::Stored { .. }), "{reply:?}");
    generation
}

fn begin(attempt: AttemptId, generation: u64) -> Begin {
    Begin {
        attempt,
        node: NodeId { name: "child".into(), incarnation: 1 },
        minimum_generation: generation,
        expected_generation: generation,
        takeover_of: None,
        patience: Duration::from_secs(60),
        max_tries: 2,
        urgency: Urgency::Hard,
        confirmed: false,
    }
}

/// One line in one write, so that the parent never reads half a number as a whole one.
fn acknowledge(number: u64, generation: u64) {
    let line = format!("ack {number} {generation} end\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let mut acknowledged = HashMap::new();
    let mut lines = 0;
    for round in 0..ROUNDS {
        lines += run_and_kill(&path, round, &mut acknowledged);
        let store = FileStore::open(&path).unwrap();
        for (number, generation) in &acknowledged {
            check_session(&store, *number, *generation).await;
        }
        check_due_index(&store).await;
        store.close().await.unwrap();
        check_bytes(&path);
    }
    assert_eq!(acknowledged.len(), usize::try_from(SESSIONS).unwrap(), "every session took part");
    assert!(lines > 1000, "only {lines} exchanges: the rounds are too short to mean anything");
}

/// Lets the child work for a while, kills it, and notes the highest generation it acknowledged.
fn run_and_kill(path: &Path, round: u64, acknowledged: &mut HashMap<u64, u64>) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD_FILE, path)
        .env(CHILD_ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    // From the first acknowledgement on, so that a slow start does not shorten the round.
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.starts_with("ack ")) {
        let mut line = String::new();
        assert_ne!(
            output.read_line(&mut line).unwrap(),
            0,
            "the child ended on its own: {lines:?}"
        );
        lines.push(line);
    }
    let reader = std::thread::spawn(move || {
        lines.extend(output.lines().map_while(Result::ok));
        lines
    });
    kill_after(&mut child, Duration::from_millis(40 + (round * 73) % 311));
    let mut count = 0;
    for line in reader.join().unwrap() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["ack", number, generation, "end"] = words[..] {
            let highest: &mut u64 = acknowledged.entry(number.parse().unwrap()).or_default();
            *highest = (*highest).max(generation.parse().unwrap());
            count += 1;
        }
    }
    count
}

fn kill_after(child: &mut Child, span: Duration) {
    let (_never, nothing) = std::sync::mpsc::channel::<()>();
    let _ = nothing.recv_timeout(span);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(9), "the child ended on its own: {status}");
}

async fn check_session(store: &FileStore, number: u64, acknowledged: u64) {
    let key = key(number);
    let entry = store.load(&key).await.unwrap().reply;
    let record = entry.record.expect("an acknowledged session is there");
    assert!(record.generation >= acknowledged, "{key}: {} < {acknowledged}", record.generation);
    let refresh = record.refresh.expect("every login brought one");
    let sealed = [(Field::Access, "access", &record.access), (Field::Refresh, "refresh", &refresh)];
    for (field, name, sealed) in sealed {
        let opened = keyring().open(Label::of(&key, field), sealed.as_bytes());
        let (generation, content) = opened.unwrap();
        assert_eq!(generation, record.generation);
        assert_eq!(content.as_slice(), plain(name, &key, record.generation).as_bytes());
    }
    if let Some(slot) = &record.slot {
        assert_eq!(entry.due, Some(slot.until), "{key}: someone looks after an open exchange");
    }
    assert!(entry.due.is_some(), "{key}: a live session is due some day");
}

/// The index and the records tell the same due times. Claims without hiding anything for long.
async fn check_due_index(store: &FileStore) {
    let mut due = HashMap::new();
    for number in 0..SESSIONS {
        let entry = store.load(&key(number)).await.unwrap().reply;
        due.extend(entry.due.map(|due| (key(number), due)));
    }
    let all = Claim {
        horizon: Duration::from_secs(24 * 3600),
        limit: usize::MAX,
        visibility: Duration::ZERO,
    };
    let claimed = store.claim(all).await.unwrap().reply;
    assert_eq!(claimed.len(), due.len(), "no row is there twice");
    let claimed: HashMap<_, _> = claimed.into_iter().collect();
    assert_eq!(claimed, due);
}

fn check_bytes(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let contains = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains("user-1"), "the search would find a marker");
    assert!(!contains(MARKER), "a token stands in the file unsealed");
}
