//! The provider answered with tokens: what becomes of them?

use std::time::Duration;

use crate::ledger::install::{Installer, install};
use crate::ledger::record::Missing;
use crate::ledger::{AttemptId, Entry, NewTokens, Record, Status};
use crate::model::{ProviderId, Timestamp};

/// An exchange brings its tokens home. Safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The exchange.
    pub attempt: AttemptId,
    /// The generation it redeemed.
    pub base: u64,
    /// The sequence number it was granted.
    pub sequence: u64,
    /// What the provider gave, sealed for generation `base + 1`.
    pub tokens: NewTokens,
    /// When a caller last read the token, as this node knows it.
    pub last_read: Option<Timestamp>,
    /// What the record is made of again if the store has lost it; with `None`, a lost one stays lost.
    pub origin: Option<Origin>,
}

/// What a node remembers of a session beside its tokens, for a store that lost the record or shows an
/// older one: acknowledged writes are gone after a failover to a copy that never had them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Where its tokens come from.
    pub provider: ProviderId,
    /// The grant its tokens come of.
    pub grant: u64,
    /// The highest version this node has shown to readers: what is installed gets a higher one.
    pub version: u64,
}

impl Commit {
    /// The same a while later: the spans of its tokens are that much shorter.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        Self { tokens: self.tokens.aged(age), ..self }
    }
}

/// What readers may use from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// The generation installed.
    pub generation: u64,
    /// The record's version.
    pub version: u64,
}

/// The answer to [`Commit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitReply {
    /// Installed, now or by an earlier copy of this request.
    Installed(Installed),
    /// Another exchange of the same generation came first; this one healed a suspect or dead session.
    Healed(Installed),
    /// Another exchange of the same generation came first; these tokens are kept as the spare.
    Late {
        /// What the store has.
        generation: u64,
    },
    /// The session has moved on; these tokens are of no use.
    Stale {
        /// What the store has.
        generation: u64,
    },
    /// Deleted meanwhile: revoke these tokens at the provider.
    Gone,
    /// The store does not know the session, and no tombstone says why.
    Absent,
}

/// Installs the tokens of an exchange, unless a newer one stands.
///
/// A late commit by an exchange that no longer holds the slot leaves the holder's slot in place: nobody
/// may begin on the new token until that older exchange is resolved.
pub fn commit(entry: &mut Entry, now: Timestamp, request: &Commit) -> CommitReply {
    if let Some(origin) = &request.origin
        && entry.has_lost(now, origin)
    {
        make_again(entry, now, request, origin);
    }
    let record = match entry.live(now) {
        Ok(record) => record,
        Err(Missing::Gone) => return CommitReply::Gone,
        Err(Missing::Absent) => return CommitReply::Absent,
    };
    record.last_read = record.last_read.max(request.last_read);
    let placed = place(record, now, request);
    record.release(request.attempt);
    if placed.installs {
        entry.due = request.tokens.due_in.map(|span| now + span);
    }
    placed.reply
}

/// A record older than anything `request` could have redeemed, for it to be installed over.
fn make_again(entry: &mut Entry, now: Timestamp, request: &Commit, origin: &Origin) {
    let older = Record::made_again(now, origin, &request.tokens);
    entry.tombstone = None;
    entry.record = Some(Record { last_sequence: request.sequence, ..older });
}

struct Placed {
    reply: CommitReply,
    /// False for a repeated request, which must not move the due time again.
    installs: bool,
}

fn place(record: &mut Record, now: Timestamp, request: &Commit) -> Placed {
    let target = request.base + 1;
    if record.generation > target {
        let reply = CommitReply::Stale { generation: record.generation };
        return Placed { reply, installs: false };
    }
    if record.generation < target {
        record.spare = None;
        // A record that was rolled back shows versions that readers have seen already.
        record.version = record.version.max(request.origin.as_ref().map_or(0, |it| it.version));
        install_target(record, now, request);
        return Placed { reply: CommitReply::Installed(installed(record)), installs: true };
    }
    same_generation(record, now, request)
}

/// The same refresh token was redeemed twice. Both answers are kept, one of them as the spare.
fn same_generation(record: &mut Record, now: Timestamp, request: &Commit) -> Placed {
    if record.committed_attempt == Some(request.attempt) {
        return Placed { reply: CommitReply::Installed(installed(record)), installs: false };
    }
    let may_install = record.slot.is_none() || record.holds_slot(request.attempt);
    if request.sequence > record.committed_sequence && may_install {
        if request.tokens.refresh.is_some() {
            record.spare = record.refresh.take();
        }
        install_target(record, now, request);
        return Placed { reply: CommitReply::Installed(installed(record)), installs: true };
    }
    if record.status != Status::Active {
        install_target(record, now, request);
        return Placed { reply: CommitReply::Healed(installed(record)), installs: true };
    }
    // The token in use is no spare: the store may have lost who committed it, and hear of it again.
    if request.tokens.refresh.is_some() && request.tokens.refresh != record.refresh {
        record.spare.clone_from(&request.tokens.refresh);
    }
    Placed { reply: CommitReply::Late { generation: record.generation }, installs: false }
}

fn install_target(record: &mut Record, now: Timestamp, request: &Commit) {
    let by = Installer {
        attempt: request.attempt,
        sequence: request.sequence,
        generation: request.base + 1,
    };
    install(record, now, &by, &request.tokens);
}

fn installed(record: &Record) -> Installed {
    Installed { generation: record.generation, version: record.version }
}
