//! Store rules with one guard taken out. The checker must catch each of them.

use crate::record::{Record, Standing};
use crate::rules::{Ask, Outcome};

/// A store that lacks a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreMutant {
    /// A late commit frees the slot, whoever holds it.
    LateCommitFreesSlot,
    /// An exchange may begin while the session is suspect.
    BeginInSuspect,
    /// A commit installs its tokens whatever generation stands.
    NoGenerationCheck,
    /// A slot is not put back into a record that is older than what its exchange redeems.
    SlotWithoutBase,
    /// A lock and nothing else: commits overwrite, and a rejection is final.
    NaiveLock,
}

/// What the ledger itself would do.
type Lawful<'rules> = &'rules mut dyn FnMut(Option<&Record>, Ask) -> Outcome;

impl StoreMutant {
    /// Applies what is asked for.
    pub(crate) fn apply(self, record: &Record, ask: Ask, lawful: Lawful<'_>) -> Outcome {
        match (self, ask) {
            (Self::LateCommitFreesSlot, Ask::Commit { base, .. }) if record.generation <= base => {
                let (after, grant) = lawful(Some(record), ask);
                (after.map(|after| Record { slot: None, ..after }), grant)
            }
            (Self::BeginInSuspect, Ask::Begin { .. }) if record.standing == Standing::Suspect => {
                let active = Record { standing: Standing::Active, ..*record };
                let (after, grant) = lawful(Some(&active), ask);
                (after.map(|after| Record { standing: Standing::Suspect, ..after }), grant)
            }
            (Self::NoGenerationCheck, Ask::Commit { base, .. }) if record.generation > base => {
                // The ledger installs in a record that is behind.
                lawful(Some(&Record { generation: base, ..*record }), ask)
            }
            (Self::SlotWithoutBase, Ask::Reassert { base, .. }) if record.generation < base => {
                (Some(*record), None)
            }
            (Self::NaiveLock, _) => naive(record, ask, lawful),
            _ => lawful(Some(record), ask),
        }
    }
}

fn naive(record: &Record, ask: Ask, lawful: Lawful<'_>) -> Outcome {
    let after = match ask {
        Ask::Begin { attempt, takeover_of, .. } => {
            return lawful(Some(record), Ask::Begin { attempt, minimum: 0, takeover_of });
        }
        Ask::Commit { base, token, .. } => Record {
            generation: record.generation.max(base + 1),
            token,
            slot: None,
            tries: 0,
            standing: Standing::Active,
            ..*record
        },
        Ask::Fail { rejected: true, .. } => {
            Record { standing: Standing::Dead, slot: None, ..*record }
        }
        Ask::Fail { rejected: false, .. } | Ask::Reassert { .. } => {
            return lawful(Some(record), ask);
        }
    };
    (Some(after), None)
}
