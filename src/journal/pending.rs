//! An entry on its way to the disk, and what it means for the book.

use zeroize::Zeroizing;

use crate::journal::codec::{Stamp, Written, encode};
use crate::journal::frame::HEAD_LEN;
use crate::ledger::AttemptId;

/// Most exchanges one mark names.
const LARGEST_MARK: usize = 4096;

/// What sealing adds to an entry, and a little more.
pub(super) const SEAL_LEN: usize = 64;

/// An entry to be written, not yet sealed.
pub(super) struct Pending {
    pub(super) payload: Zeroizing<Vec<u8>>,
    pub(super) subject: Subject,
}

/// What an entry means for the book.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// It belongs to an exchange that is not done.
    Opens(AttemptId),
    /// These are done.
    Closes(Vec<AttemptId>),
    /// It says what is done in that segment.
    Marks(u64),
    Nothing,
}

impl Pending {
    /// An entry of an exchange that is not done.
    pub(super) fn opening(attempt: AttemptId, written: Written) -> Self {
        Self { payload: encode(written), subject: Subject::Opens(attempt) }
    }

    /// An entry of no exchange.
    pub(super) fn standing(written: Written) -> Self {
        Self { payload: encode(written), subject: Subject::Nothing }
    }

    /// Marks for exchanges that are done.
    pub(super) fn closing(at: Stamp, attempts: &[AttemptId]) -> impl Iterator<Item = Self> {
        attempts.chunks(LARGEST_MARK).map(move |attempts| {
            let payload = encode(Written::Done { at, attempts: attempts.to_vec() });
            Self { payload, subject: Subject::Closes(attempts.to_vec()) }
        })
    }

    /// Of what stands in `segment`, all is done but `open`.
    pub(super) fn remaining(segment: u64, open: Vec<AttemptId>) -> Self {
        let payload = encode(Written::Remaining { segment, open });
        Self { payload, subject: Subject::Marks(segment) }
    }

    /// As much as it takes up on disk, at most.
    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + SEAL_LEN + HEAD_LEN
    }

    pub(super) fn opens(&self) -> Option<AttemptId> {
        match self.subject {
            Subject::Opens(attempt) => Some(attempt),
            _ => None,
        }
    }
}
