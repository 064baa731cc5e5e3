//! The store's record, as small as the rules allow, and its translation to and from the ledger's own.

use tokenhive::ledger::{
    self, AttemptId, Entry, ErrorNote, NewTokens, NodeId, Origin, Put, Sealed, Slot, Status,
    Tombstone,
};
use tokenhive::model::{ProviderId, Timestamp};

use crate::state::{AttemptNo, FIRST_GENERATION, Token};

/// The parts of a record that decide who may redeem which token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) standing: Standing,
    pub(crate) generation: u8,
    pub(crate) token: Token,
    pub(crate) spare: Option<Token>,
    pub(crate) committed_sequence: u8,
    pub(crate) committed_attempt: Option<AttemptNo>,
    pub(crate) last_sequence: u8,
    pub(crate) slot: Option<AttemptNo>,
    pub(crate) tries: u8,
}

/// The ledger's [`Status`] without its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Suspect,
    Dead,
}

/// The moment at which everything in the model happens. Patience is zero, so that an exchange may be taken
/// over as soon as the model lets a node lose patience.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Values for the parts of a ledger record that the model leaves out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rest {
    /// As a login leaves them.
    Plain,
    /// Different in every part.
    Noisy,
}

impl Record {
    pub(crate) fn of_login() -> Self {
        Self {
            standing: Standing::Active,
            generation: FIRST_GENERATION,
            token: Token(0),
            spare: None,
            committed_sequence: 0,
            committed_attempt: None,
            last_sequence: 0,
            slot: None,
            tries: 0,
        }
    }

    /// The ledger's entry that stands for `record`.
    pub(crate) fn expand(record: Option<&Self>, rest: Rest) -> Entry {
        let mut entry = record.map_or_else(Entry::default, Self::entry);
        if matches!(rest, Rest::Noisy) {
            disturb(&mut entry);
        }
        entry
    }

    fn entry(&self) -> Entry {
        let mut entry = logged_in(self.generation, self.token);
        let record = entry.record.as_mut().expect("a login leaves a record");
        record.status = match self.standing {
            Standing::Active => Status::Active,
            Standing::Suspect => Status::Suspect { until: NOW },
            Standing::Dead => Status::Dead,
        };
        record.spare = self.spare.map(sealed);
        record.committed_sequence = self.committed_sequence.into();
        record.committed_attempt = self.committed_attempt.map(attempt_id);
        record.last_sequence = self.last_sequence.into();
        record.tries = self.tries.into();
        record.slot = self.slot.map(|attempt| Slot {
            attempt: attempt_id(attempt),
            node: node_id(0),
            base: record.generation,
            started: NOW,
            until: NOW,
        });
        entry
    }

    /// What the model keeps of a ledger's entry.
    pub(crate) fn condense(entry: &Entry) -> Option<Self> {
        let record = entry.record.as_ref()?;
        Some(Self {
            standing: match record.status {
                Status::Active => Standing::Active,
                Status::Suspect { .. } => Standing::Suspect,
                Status::Dead => Standing::Dead,
            },
            generation: small(record.generation),
            token: token_of(record.refresh.as_ref().expect("no rule takes the token away")),
            spare: record.spare.as_ref().map(token_of),
            committed_sequence: small(record.committed_sequence),
            committed_attempt: record.committed_attempt.map(attempt_no),
            last_sequence: small(record.last_sequence),
            slot: record.slot.as_ref().map(|slot| attempt_no(slot.attempt)),
            tries: small(record.tries.into()),
        })
    }
}

fn logged_in(generation: u8, token: Token) -> Entry {
    let mut entry = Entry::default();
    let provider = provider_id();
    let request = Put { generation: generation.into(), provider, tokens: tokens(token) };
    ledger::put(&mut entry, NOW, &request);
    entry
}

/// Changes everything the model leaves out.
fn disturb(entry: &mut Entry) {
    let Some(record) = &mut entry.record else {
        // Deleted so long ago that it is as if it had never been.
        entry.tombstone =
            Some(Tombstone { generation: 3, version: 5, last_sequence: 4, until: NOW });
        return;
    };
    record.version += 7;
    record.grant += 5;
    record.access = Sealed::new(*b"another");
    record.failures = 3;
    record.last_error = Some(error_note());
    record.profile = Some(Sealed::new(*b"profile"));
    record.not_before = Some(Timestamp::from_millis(NOW.as_millis() + 1000));
    record.expires = Some(NOW);
    record.last_read = None;
    if let Some(slot) = &mut record.slot {
        slot.base += 3;
        slot.node = node_id(9);
    }
    entry.due = None;
}

/// What the provider gives with `refresh`. The session's tokens are complete: where an answer has no new
/// refresh token, the one that was presented is in it.
pub(crate) fn tokens(refresh: Token) -> NewTokens {
    NewTokens {
        access: Sealed::new(*b"access"),
        refresh: Some(sealed(refresh)),
        extra: None,
        expires_in: None,
        refresh_expires_in: None,
        due_in: None,
    }
}

/// What a node remembers of the session beside its tokens.
pub(crate) fn origin() -> Origin {
    Origin { provider: provider_id(), grant: 1, version: 0 }
}

fn provider_id() -> ProviderId {
    ProviderId::new("sample").expect("a plain short name")
}

pub(crate) fn error_note() -> ErrorNote {
    ErrorNote { code: "sample_error".into(), description: None, at: NOW }
}

pub(crate) fn attempt_id(attempt: AttemptNo) -> AttemptId {
    AttemptId(attempt.0.into())
}

pub(crate) fn node_id(incarnation: u64) -> NodeId {
    NodeId { name: "node".into(), incarnation }
}

pub(crate) fn token_of(sealed: &Sealed) -> Token {
    Token(sealed.as_bytes()[0])
}

/// Generations and sequence numbers of a run are small.
pub(crate) fn small(number: u64) -> u8 {
    u8::try_from(number).expect("a run is short")
}

fn sealed(token: Token) -> Sealed {
    Sealed::new([token.0])
}

fn attempt_no(id: AttemptId) -> AttemptNo {
    AttemptNo(u8::try_from(id.0).expect("a run has few exchanges"))
}
