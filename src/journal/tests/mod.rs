//! What the journal promises, one thing at a time. `tests/journal.rs` kills it and fills its disk.

mod comes_back;
mod damage;
mod faults;
mod forgetting;
mod handle;
mod trouble;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::journal::reading::{Extent, Reader, Reading};
use crate::journal::tests::faults::{Faults, FaultyDisk};
use crate::journal::{
    Answer, Intent, Journal, JournalError, JournalHealth, JournalOptions, Recovered, Unreadable,
    segment,
};
use crate::ledger::samples::{MINUTE, tokens};
use crate::ledger::{AttemptId, Commit, Tombstone};
use crate::model::{ManualClock, ProviderId, SessionKey, Timestamp};
use crate::sealing::Keyring;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A directory, a clock and a disk, on which journals are opened one after the other.
struct Site {
    folder: TempDir,
    options: JournalOptions,
    keyring: Keyring,
    clock: Arc<ManualClock>,
    faults: Faults,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = JournalOptions::in_directory(folder.path().join("journal"));
        Self {
            folder,
            options,
            keyring: Keyring::generate(),
            clock: Arc::new(ManualClock::at(START)),
            faults: Faults::default(),
        }
    }

    fn try_open(&self) -> Result<(Journal, Recovered), JournalError> {
        let disk = Box::new(FaultyDisk::new(self.faults.clone()));
        Journal::open_on(disk, self.options.clone(), self.keyring.clone(), self.clock.clone())
    }

    fn open(&self) -> (Journal, Recovered) {
        self.try_open().unwrap()
    }

    /// What the next start will find. Leaves everything as it is.
    fn look(&self) -> Recovered {
        self.read().unwrap().recovered
    }

    fn read(&self) -> Result<Reading, JournalError> {
        let node = std::fs::read_to_string(self.options.directory.join("node")).unwrap();
        let reader = Reader {
            directory: self.options.directory.clone(),
            node: u128::from_str_radix(node.trim(), 16).unwrap(),
            boot: segment::this_boot(),
            keyring: self.keyring.clone(),
            clock: self.clock.clone(),
            retention: self.options.retention,
        };
        let extents: Vec<_> =
            self.numbers().into_iter().map(|number| Extent { number, bytes: None }).collect();
        reader.read(&extents)
    }

    /// The segments on disk.
    fn numbers(&self) -> Vec<u64> {
        let entries = std::fs::read_dir(&self.options.directory).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut numbers: Vec<u64> = names.filter_map(|name| segment::number(&name)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn path(&self, number: u64) -> PathBuf {
        segment::path(&self.options.directory, number)
    }

    fn bytes(&self, number: u64) -> Vec<u8> {
        std::fs::read(self.path(number)).unwrap()
    }
}

fn key(number: u128) -> SessionKey {
    SessionKey::new("acme", format!("user-{number}")).unwrap()
}

fn provider() -> ProviderId {
    ProviderId::new("sample").unwrap()
}

fn intent(number: u128) -> Intent {
    Intent { attempt: AttemptId(number), key: key(number), provider: provider(), base: 3 }
}

fn answer(number: u128) -> Answer {
    let commit = Commit {
        attempt: AttemptId(number),
        base: 3,
        sequence: 9,
        tokens: tokens(&format!("token of {number}")),
        last_read: None,
        origin: None,
    };
    Answer { key: key(number), provider: provider(), commit }
}

fn unreadable(number: u128, body: &str) -> Unreadable {
    let body = Zeroizing::new(body.as_bytes().to_vec());
    let Intent { attempt, key, provider, base } = intent(number);
    Unreadable { attempt, key, provider, base, body }
}

fn tombstone(generation: u64) -> Tombstone {
    Tombstone { generation, version: 5, last_sequence: 9, until: START + MINUTE }
}

/// The attempts that were answered.
fn answered(recovered: &Recovered) -> Vec<u128> {
    recovered.answers.iter().map(|answer| answer.what.commit.attempt.0).collect()
}

/// The attempts that were answered and are not done.
fn owed(recovered: &Recovered) -> Vec<u128> {
    let open = recovered.answers.iter().filter(|answer| !answer.done);
    open.map(|answer| answer.what.commit.attempt.0).collect()
}

/// The attempts whose outcome nobody knows.
fn intended(recovered: &Recovered) -> Vec<u128> {
    recovered.intents.iter().map(|intent| intent.what.attempt.0).collect()
}

fn is_failing(journal: &Journal) -> bool {
    matches!(journal.health(), JournalHealth::Failing { .. })
}

/// Waits, in real time, for what the writer does on its own.
async fn until(mut holds: impl FnMut() -> bool) {
    let holding = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), holding).await.expect("it comes to be in time");
}
