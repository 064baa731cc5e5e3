//! What is written into the journal, and what comes back out of it.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::ledger::{AttemptId, Commit, Tombstone};
use crate::model::{ProviderId, SessionKey, Timestamp};

/// An exchange is about to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The exchange.
    pub attempt: AttemptId,
    /// Whose tokens.
    pub key: SessionKey,
    /// Who will be asked.
    pub provider: ProviderId,
    /// The generation it redeems.
    pub base: u64,
}

/// The provider answered with tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whose tokens.
    pub key: SessionKey,
    /// Who answered.
    pub provider: ProviderId,
    /// What the store is to be told. Its spans count from the moment it was handed to the journal.
    pub commit: Commit,
}

/// The provider answered with success, and nobody could read the tokens in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The exchange.
    pub attempt: AttemptId,
    /// Whose tokens.
    pub key: SessionKey,
    /// Who answered.
    pub provider: ProviderId,
    /// The generation it redeemed.
    pub base: u64,
    /// The answer as it came: it may hold a refresh token. Never log it.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unreadable")
            .field("attempt", &self.attempt)
            .field("key", &self.key)
            .field("provider", &self.provider)
            .field("base", &self.base)
            .field("body", &format_args!("[{} bytes redacted]", self.body.len()))
            .finish()
    }
}

/// Something the journal remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<T> {
    /// What was written.
    pub what: T,
    /// True if the store knows the outcome, as far as it has not lost it since.
    pub done: bool,
    /// How long ago it was handed to the journal. By the clock since boot where that still runs, else by
    /// the wall clock; never negative.
    pub age: Duration,
}

/// What the journal remembers: whatever is not done however old, and the rest for its retention.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Answers, oldest exchange first.
    pub answers: Vec<Recorded<Answer>>,
    /// Exchanges of unknown outcome: no answer was written, and they are not done.
    pub intents: Vec<Recorded<Intent>>,
    /// Deletions within the retention, the latest of each session. `done` means nothing here.
    pub deletions: Vec<Recorded<(SessionKey, Tombstone)>>,
    /// Answers nobody could read. While they are not done, their intents come back as well.
    pub unreadable: Vec<Recorded<Unreadable>>,
    /// Bytes at the very end that were being written when the process or the machine died.
    pub torn_bytes: u64,
    /// Places where the journal is damaged. What stood there is lost, what stands around it is not.
    pub damaged_places: u64,
    /// How many bytes they span.
    pub damaged_bytes: u64,
}

/// Whether the journal can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalHealth {
    /// It takes what it is given.
    Writing,
    /// The disk refuses, or does not answer: intents fail, answers are tried. Ends by itself.
    Failing {
        /// Since when.
        since: Timestamp,
        /// What the operating system said last.
        detail: String,
    },
    /// Intents are refused until exchanges are done and old enough to be forgotten.
    Full {
        /// What it holds.
        bytes: u64,
    },
}
