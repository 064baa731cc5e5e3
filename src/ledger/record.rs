//! What is remembered about one session.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ledger::{NewTokens, Origin};
use crate::model::{ProviderId, Timestamp};

/// Bytes only the keyring can read. The ledger moves them and never looks inside.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed(Box<[u8]>);

impl Sealed {
    /// Wraps sealed bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The sealed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The sealed bytes, given away.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Names one exchange. 128 random bits, drawn by whoever begins it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptId(pub u128);

impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Which run of which node holds a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeId {
    /// The node's lasting name.
    pub name: String,
    /// Drawn anew at every start, so that a restarted node can tell its own earlier exchanges.
    pub incarnation: u64,
}

/// Whether a session can still be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It can.
    Active,
    /// The provider rejected a refresh token that an exchange of unknown outcome may have spent: no
    /// exchange may begin until then, and a late commit heals it.
    Suspect {
        /// When it is settled one way or the other.
        until: Timestamp,
    },
    /// The provider's final word was no, for the newest token, with no exchange open.
    Dead,
}

/// An exchange in flight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Whose it is.
    pub attempt: AttemptId,
    /// Where it runs.
    pub node: NodeId,
    /// The generation it redeems.
    pub base: u64,
    /// When it was granted.
    pub started: Timestamp,
    /// Until when nobody may take it over.
    pub until: Timestamp,
}

/// The last thing that went wrong, for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorNote {
    /// The provider's error code, or ours.
    pub code: String,
    /// The provider's own explanation, if it gave one.
    pub description: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// One session's record: the only authority on which refresh token is the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where its tokens come from.
    pub provider: ProviderId,
    /// Whether it can still be refreshed.
    pub status: Status,
    /// Counts installed refresh tokens.
    pub generation: u64,
    /// The generation its last login or restore began with: names the grant all later ones come from.
    pub grant: u64,
    /// Counts every change a reader can see.
    pub version: u64,
    /// The sequence number of the exchange that installed this generation; 0 for a login.
    pub committed_sequence: u64,
    /// The exchange that installed this generation; `None` for a login.
    pub committed_attempt: Option<AttemptId>,
    /// The last sequence number granted to an exchange.
    pub last_sequence: u64,
    /// The exchange in flight; `None` when free.
    pub slot: Option<Slot>,
    /// Provider calls that may have spent this generation's refresh token.
    pub tries: u32,
    /// The access token and what was said about it.
    pub access: Sealed,
    /// The refresh token; `None` where the provider gave none.
    pub refresh: Option<Sealed>,
    /// A refresh token that lost a race and may still be good; `None` when there is none.
    pub spare: Option<Sealed>,
    /// Further members of the answer (id token and the like).
    pub extra: Option<Sealed>,
    /// User and groups.
    pub profile: Option<Sealed>,
    /// When the access token and the rest were received.
    pub received: Timestamp,
    /// When the access token expires; `None` for never or unknown.
    pub expires: Option<Timestamp>,
    /// When the refresh token expires, as far as the provider tells; a hint.
    pub refresh_expires: Option<Timestamp>,
    /// Not before then may the next exchange begin, unless a caller cannot wait.
    pub not_before: Option<Timestamp>,
    /// Failed exchanges since the last success.
    pub failures: u32,
    /// What went wrong last; kept after a success for people to read.
    pub last_error: Option<ErrorNote>,
    /// When a caller last read the token, written lazily.
    pub last_read: Option<Timestamp>,
    /// When the session was first stored.
    pub created: Timestamp,
}

/// What is left of a deleted session, so that late commits are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The generation it had.
    pub generation: u64,
    /// The version it had.
    pub version: u64,
    /// The last sequence number granted to an exchange.
    pub last_sequence: u64,
    /// When this may be forgotten.
    pub until: Timestamp,
}

/// Everything a store keeps under one session key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The live record.
    pub record: Option<Record>,
    /// What is left of an earlier one.
    pub tombstone: Option<Tombstone>,
    /// When the scheduler wants to hear of it next; `None` for never.
    pub due: Option<Timestamp>,
}

impl Entry {
    /// True if nothing is kept: the store need not hold it.
    pub fn is_empty(&self) -> bool {
        self.record.is_none() && self.tombstone.is_none() && self.due.is_none()
    }

    /// The live record, or whether it is deleted or was never there.
    pub(crate) fn live(&mut self, now: Timestamp) -> Result<&mut Record, Missing> {
        let buried = self.tombstone.as_ref().is_some_and(|stone| stone.until > now);
        self.record.as_mut().ok_or(if buried { Missing::Gone } else { Missing::Absent })
    }

    /// Whether it has lost the record that `origin` speaks of. A deletion of an earlier login says nothing.
    pub(crate) fn has_lost(&mut self, now: Timestamp, origin: &Origin) -> bool {
        let older = self.tombstone.as_ref().is_some_and(|stone| stone.generation < origin.grant);
        match self.live(now) {
            Ok(_) => false,
            Err(Missing::Absent) => true,
            Err(Missing::Gone) => older,
        }
    }
}

/// Why there is no live record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Gone,
    Absent,
}

impl Record {
    /// A record the store has lost, at generation 0 of `origin` with `tokens` in it.
    pub(crate) fn made_again(now: Timestamp, origin: &Origin, tokens: &NewTokens) -> Self {
        Self {
            provider: origin.provider.clone(),
            status: Status::Active,
            generation: 0,
            grant: origin.grant,
            version: origin.version,
            committed_sequence: 0,
            committed_attempt: None,
            last_sequence: 0,
            slot: None,
            tries: 0,
            access: tokens.access.clone(),
            refresh: tokens.refresh.clone(),
            spare: None,
            extra: tokens.extra.clone(),
            profile: None,
            received: now,
            expires: tokens.expires_in.map(|span| now + span),
            refresh_expires: tokens.refresh_expires_in.map(|span| now + span),
            not_before: None,
            failures: 0,
            last_error: None,
            last_read: Some(now),
            created: now,
        }
    }

    /// What a node has to remember to make this record again.
    pub(crate) fn origin(&self) -> Origin {
        let (grant, version) = (self.grant, self.version);
        Origin { provider: self.provider.clone(), grant, version }
    }

    /// True if `attempt` holds the slot.
    pub(crate) fn holds_slot(&self, attempt: AttemptId) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.attempt == attempt)
    }

    /// Frees the slot if `attempt` holds it, and only then.
    pub(crate) fn release(&mut self, attempt: AttemptId) {
        if self.holds_slot(attempt) {
            self.slot = None;
        }
    }
}
