//! New tokens enter the record: by a login or restore ([`put`]), or by an exchange.

use std::time::Duration;

use crate::ledger::{AttemptId, Entry, Origin, Record, Sealed, Status};
use crate::model::{ProviderId, Timestamp};

/// Sealed tokens with what the record needs to know about them. Spans count from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTokens {
    /// The access token and what was said about it.
    pub access: Sealed,
    /// The refresh token; `None` where the provider gave none. After a refresh that means that the
    /// one in use stays good (RFC 6749 §6).
    pub refresh: Option<Sealed>,
    /// Further members of the answer.
    pub extra: Option<Sealed>,
    /// Remaining lifetime of the access token; `None` for never or unknown.
    pub expires_in: Option<Duration>,
    /// Remaining lifetime of the refresh token, where the provider tells.
    pub refresh_expires_in: Option<Duration>,
    /// When the scheduler wants to hear of it; `None` for never.
    pub due_in: Option<Duration>,
}

impl NewTokens {
    /// The same a while later: every span is that much shorter.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        let left = |span: Option<Duration>| span.map(|span| span.saturating_sub(age));
        Self {
            expires_in: left(self.expires_in),
            refresh_expires_in: left(self.refresh_expires_in),
            due_in: left(self.due_in),
            ..self
        }
    }
}

/// A login, re-consent or restored token replaces whatever was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The generation the tokens were sealed for: at least two above whatever is stored, so that
    /// commits of the old grant become stale. In a store that may lose what it acknowledged it is no less
    /// than the milliseconds of the store's time: so it is above whatever a lost record of the session had.
    pub generation: u64,
    /// Where the tokens come from.
    pub provider: ProviderId,
    /// The tokens.
    pub tokens: NewTokens,
}

/// The answer to [`Put`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutReply {
    /// Stored.
    Stored {
        /// The record's new version.
        version: u64,
    },
    /// The stored generation has moved: seal again for [`Entry::next_put_generation`].
    Conflict {
        /// What the store has.
        generation: u64,
    },
}

impl Entry {
    /// The generation a [`Put`] must be sealed for.
    pub fn next_put_generation(&self) -> u64 {
        self.known_generation().map_or(1, |generation| generation + 2)
    }

    fn known_generation(&self) -> Option<u64> {
        let live = self.record.as_ref().map(|record| record.generation);
        live.max(self.tombstone.as_ref().map(|stone| stone.generation))
    }
}

/// Stores the tokens of a new grant. Clears the slot, the spare, the profile and the tombstone.
pub fn put(entry: &mut Entry, now: Timestamp, request: &Put) -> PutReply {
    if request.generation < entry.next_put_generation() {
        return PutReply::Conflict { generation: entry.known_generation().unwrap_or(0) };
    }
    let earlier = entry.record.take();
    let stone = entry.tombstone.take();
    let (version, last_sequence) = match (&earlier, &stone) {
        (Some(record), _) => (record.version, record.last_sequence),
        (None, Some(stone)) => (stone.version, stone.last_sequence),
        (None, None) => (0, 0),
    };
    // Not below the generation: where that counts on from a clock, so does the version, and readers who
    // remember a session that the store has lost since still find this one newer.
    let version = (version + 1).max(request.generation);
    let tokens = &request.tokens;
    entry.due = tokens.due_in.map(|span| now + span);
    let origin = Origin {
        provider: request.provider.clone(),
        grant: request.generation,
        version: version.saturating_sub(1),
    };
    entry.record = Some(Record {
        generation: request.generation,
        version,
        last_sequence,
        created: earlier.map_or(now, |record| record.created),
        ..Record::made_again(now, &origin, tokens)
    });
    PutReply::Stored { version }
}

/// Which exchange installs.
pub(crate) struct Installer {
    pub(crate) attempt: AttemptId,
    pub(crate) sequence: u64,
    pub(crate) generation: u64,
}

/// Installs the tokens of an exchange; the slot is the caller's concern.
pub(crate) fn install(record: &mut Record, now: Timestamp, by: &Installer, tokens: &NewTokens) {
    record.generation = by.generation;
    record.version += 1;
    record.committed_sequence = by.sequence;
    record.committed_attempt = Some(by.attempt);
    record.last_sequence = record.last_sequence.max(by.sequence);
    record.status = Status::Active;
    record.tries = 0;
    record.failures = 0;
    record.not_before = None;
    record.access = tokens.access.clone();
    if tokens.refresh.is_some() {
        record.refresh.clone_from(&tokens.refresh);
    }
    if tokens.extra.is_some() {
        record.extra.clone_from(&tokens.extra);
    }
    record.received = now;
    record.expires = tokens.expires_in.map(|span| now + span);
    if let Some(span) = tokens.refresh_expires_in {
        record.refresh_expires = Some(now + span);
    }
}
