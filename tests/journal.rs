//! The journal loses nothing it acknowledged: not to `kill -9`, and not to a disk that is full.
#![cfg(unix)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokenhive::journal::{
    Answer, Intent, Journal, JournalError, JournalHealth, JournalOptions, Recovered,
};
use tokenhive::ledger::{AttemptId, Commit, NewTokens, Sealed};
use tokenhive::model::{ProviderId, SessionKey, SystemClock};
use tokenhive::sealing::Keyring;

/// Tells a child where its journal is.
const CHILD_DIRECTORY: &str = "JOURNAL_CHILD_DIRECTORY";

/// Tells the killed child which round it is, so that attempts differ from round to round.
const CHILD_ROUND: &str = "JOURNAL_CHILD_ROUND";

/// What a child says that came to its end.
const SURVIVED: &str = "nothing was lost";

const ROUNDS: u128 = 12;
const WORKERS: u128 = 24;

/// Begins every token; must not be found in the files.
const MARKER: &str = "plain-token-marker";

fn open(directory: &Path) -> Result<(Journal, Recovered), JournalError> {
    let mut options = JournalOptions::in_directory(directory);
    options.segment_bytes = 64 * 1024;
    let keyring = Keyring::parse("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    Journal::open(options, keyring, Arc::new(SystemClock))
}

fn key(attempt: u128) -> SessionKey {
    SessionKey::new("kill9", format!("user-{attempt}")).unwrap()
}

fn intent(attempt: u128) -> Intent {
    let provider = ProviderId::new("sample").unwrap();
    Intent { attempt: AttemptId(attempt), key: key(attempt), provider, base: 1 }
}

fn answer(attempt: u128) -> Answer {
    let sealed = |name: &str| Sealed::new(format!("{MARKER}-{name}-{attempt}").into_bytes());
    let tokens = NewTokens {
        access: sealed("access"),
        refresh: Some(sealed("refresh")),
        extra: None,
        expires_in: Some(Duration::from_secs(3600)),
        refresh_expires_in: None,
        due_in: Some(Duration::from_secs(60)),
    };
    let attempt = AttemptId(attempt);
    let commit = Commit { attempt, base: 1, sequence: 2, tokens, last_read: None, origin: None };
    Answer { key: key(attempt.0), provider: ProviderId::new("sample").unwrap(), commit }
}

/// How far an exchange came, as far as the parent was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Intent,
    Answer,
    Done,
}

/// Not a test of its own: what the killed process runs. Does nothing without its environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Some(directory), Ok(round)) =
        (std::env::var_os(CHILD_DIRECTORY), std::env::var(CHILD_ROUND))
    else {
        return;
    };
    let round: u128 = round.parse().unwrap();
    let (journal, _) = open(&PathBuf::from(directory)).unwrap();
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| tokio::spawn(keep_exchanging(journal.clone(), round * WORKERS + worker)))
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
}

/// Exchanges for ever, and says how far it came. Some exchanges stop half-way.
async fn keep_exchanging(journal: Journal, worker: u128) {
    for turn in 1.. {
        let attempt = (worker << 64) | turn;
        journal.intent(intent(attempt)).await.unwrap();
        tell("intent", attempt);
        if turn % 5 == 0 {
            continue;
        }
        journal.answer(answer(attempt)).await.unwrap();
        tell("answer", attempt);
        if turn % 3 == 0 {
            // Before it is said: after that, nobody knows whether it is written.
            tell("done", attempt);
            journal.done(AttemptId(attempt));
        }
    }
}

/// One line in one write, so that the parent never reads half a number as a whole one.
fn tell(what: &str, attempt: u128) {
    let line = format!("{what} {attempt} end\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("journal");
    let mut told = HashMap::new();
    let mut torn = 0;
    for round in 0..ROUNDS {
        run_and_kill(&directory, round, &mut told);
        let (journal, recovered) = open(&directory).unwrap();
        assert_eq!(recovered.damaged_places, 0, "a kill tears the end and nothing else");
        torn += recovered.torn_bytes;
        check(&told, &recovered);
        assert_eq!(journal.health(), JournalHealth::Writing);
        journal.close().await;
    }
    let answers = told.values().filter(|told| **told >= Told::Answer).count();
    assert!(answers > 1000, "only {answers} answers: the rounds are too short to mean anything");
    println!("{} exchanges, {answers} answers, {torn} bytes torn", told.len());
    check_bytes(&directory);
}

fn check(told: &HashMap<u128, Told>, recovered: &Recovered) {
    let answers: HashMap<u128, _> =
        recovered.answers.iter().map(|answer| (answer.what.commit.attempt.0, answer)).collect();
    let intents: HashMap<u128, _> =
        recovered.intents.iter().map(|intent| (intent.what.attempt.0, intent)).collect();
    assert_eq!(answers.len(), recovered.answers.len(), "no answer comes back twice");
    for (attempt, told) in told {
        match (told, answers.get(attempt), intents.get(attempt)) {
            (_, Some(found), None) => {
                assert_eq!(found.what, answer(*attempt));
                assert!(!found.done || *told == Told::Done, "{attempt}: nobody said it is done");
                assert!(found.age < Duration::from_secs(600), "{:?}", found.age);
            }
            (Told::Intent, None, Some(found)) => assert_eq!(found.what, intent(*attempt)),
            _ => panic!("{attempt} was told as {told:?}"),
        }
    }
}

/// Lets the child work for a while, kills it, and notes what it told.
fn run_and_kill(directory: &Path, round: u128, told: &mut HashMap<u128, Told>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD_DIRECTORY, directory)
        .env(CHILD_ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    // From the first line on, so that a slow start does not shorten the round.
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.starts_with("intent ")) {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "it ended on its own: {lines:?}");
        lines.push(line);
    }
    let reader = std::thread::spawn(move || {
        lines.extend(output.lines().map_while(Result::ok));
        lines
    });
    let error = open(directory).unwrap_err();
    assert!(matches!(error, JournalError::Locked { .. }), "the child holds it: {error}");
    kill_after(&mut child, Duration::from_millis(u64::try_from(40 + (round * 73) % 311).unwrap()));
    for line in reader.join().unwrap() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (state, attempt) = match words[..] {
            ["intent", attempt, "end"] => (Told::Intent, attempt),
            ["answer", attempt, "end"] => (Told::Answer, attempt),
            ["done", attempt, "end"] => (Told::Done, attempt),
            _ => continue,
        };
        let known = told.entry(attempt.parse().unwrap()).or_insert(state);
        *known = (*known).max(state);
    }
}

fn kill_after(child: &mut Child, span: Duration) {
    let (_never, nothing) = std::sync::mpsc::channel::<()>();
    let _ = nothing.recv_timeout(span);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(9), "the child ended on its own: {status}");
}

fn check_bytes(directory: &Path) {
    let mut searched = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        searched += bytes.len();
        for text in [MARKER, "user-", "kill9"] {
            let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "{text} stands in the journal unsealed");
        }
    }
    assert!(searched > 100_000, "only {searched} bytes to search");
}

/// Answers until the disk refuses; gives back how many it took.
async fn fill(journal: &Journal) -> (u128, String) {
    for attempt in 1..100_000 {
        match journal.answer(answer(attempt)).await {
            Ok(()) => {}
            Err(JournalError::Io { detail, .. }) => return (attempt - 1, detail),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the disk takes everything");
}

fn answered(recovered: &Recovered) -> Vec<u128> {
    recovered.answers.iter().map(|answer| answer.what.commit.attempt.0).collect()
}

/// Not a test of its own: runs where files may not grow beyond a few KiB.
#[tokio::test]
async fn child_with_small_files() {
    let Some(directory) = child_directory("small files") else {
        return;
    };
    let (journal, _) = open(&directory).unwrap();
    journal.intent(intent(9999)).await.unwrap();

    let (taken, _) = fill(&journal).await;

    assert!(taken > 3, "{taken}");
    assert!(matches!(journal.health(), JournalHealth::Failing { .. }));
    assert!(journal.intent(intent(9998)).await.is_err());
    journal.close().await;
    let (_, recovered) = open(&directory).unwrap();
    assert_eq!(answered(&recovered), (1..=taken).collect::<Vec<_>>());
    assert_eq!(recovered.intents.len(), 1);
    assert_eq!((recovered.torn_bytes, recovered.damaged_places), (0, 0), "cut off cleanly");
    println!("{SURVIVED}");
}

#[test]
fn file_that_may_not_grow_is_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();

    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_with_small_files", "--nocapture"])
        .env(CHILD_DIRECTORY, folder.path().join("small files"))
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(SURVIVED), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Not a test of its own: runs on a file system of its own, of 256 KiB.
#[tokio::test]
async fn child_on_a_small_disk() {
    let Some(directory) = child_directory("small disk") else {
        return;
    };
    let disk = directory.parent().unwrap();
    let filler = disk.join("filler");
    std::fs::write(&filler, vec![1; 160 * 1024]).unwrap();
    let (journal, _) = open(&directory).unwrap();

    let (taken, detail) = fill(&journal).await;
    assert!(taken > 50 && detail.contains("No space left"), "{taken}: {detail}");
    assert!(matches!(journal.health(), JournalHealth::Failing { .. }));
    assert!(journal.intent(intent(9998)).await.is_err());

    std::fs::remove_file(filler).unwrap();
    let writing = async {
        while journal.health() != JournalHealth::Writing {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), writing).await.expect("it recovers by itself");
    journal.intent(intent(9999)).await.unwrap();
    journal.answer(answer(taken + 1)).await.unwrap();
    journal.close().await;

    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk).status().unwrap();
    assert!(remounted.success());
    let (journal, recovered) = open(&directory).unwrap();
    assert_eq!(answered(&recovered), (1..=taken + 1).collect::<Vec<_>>());
    assert_eq!(recovered.intents.len(), 1);
    assert_eq!((recovered.torn_bytes, recovered.damaged_places), (0, 0));
    let JournalHealth::Failing { detail, .. } = journal.health() else {
        panic!("nothing can be written");
    };
    assert!(detail.contains("Read-only"), "{detail}");
    assert!(journal.answer(answer(1)).await.is_err());
    println!("{SURVIVED}");
}

/// Skipped where file systems cannot be mounted, as in most containers.
#[cfg(target_os = "linux")]
#[test]
fn full_and_read_only_disks_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = "mount -t tmpfs -o size=256k none \"$0\" || exit 77; exec \"$@\"";

    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(&disk)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_on_a_small_disk", "--nocapture"])
        .env(CHILD_DIRECTORY, disk.join("small disk"))
        .output();

    let Ok(output) = output else {
        println!("skipped: there is no unshare");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || complaint.contains("unshare failed") {
        println!("skipped: {complaint}");
        return;
    }
    assert!(said.contains(SURVIVED), "{said}\n{complaint}");
}

/// Where the child of that name works; `None` in an ordinary run.
fn child_directory(name: &str) -> Option<PathBuf> {
    let directory = PathBuf::from(std::env::var_os(CHILD_DIRECTORY)?);
    directory.ends_with(name).then_some(directory)
}
