//! Whether a hive does all it promises right now, for operators and load balancers.

use crate::hive::TokenHive;
use crate::journal::JournalHealth;

/// How a hive stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// False while the store cannot be reached: cached tokens are handed out, and nothing else works.
    pub ready: bool,
    /// What is degraded and what an operator should change, one sentence each; empty when all is well.
    pub notes: Vec<String>,
}

impl TokenHive {
    /// How this hive stands: what it says of store and journal, without asking anybody.
    pub fn readiness(&self) -> Readiness {
        let shared = self.shared();
        let standing = shared.store.standing();
        let ready = standing.outage.is_none();
        let mut notes: Vec<String> = standing.outage.into_iter().collect();
        notes.extend(standing.notes);
        match shared.journal.as_ref().map(|journal| journal.health()) {
            Some(JournalHealth::Writing) => {}
            Some(JournalHealth::Failing { detail, .. }) => notes.push(format!(
                "the journal cannot be written ({detail}); no refresh begins at providers that never give a \
                 refresh token twice"
            )),
            Some(JournalHealth::Full { bytes }) => notes.push(format!(
                "the journal is full ({bytes} bytes); no refresh begins at providers that never give a \
                 refresh token twice"
            )),
            None if shared.store.news().is_some() => notes.push(
                "there is no journal: a crash loses the answers this node was waiting for".to_owned(),
            ),
            None => {}
        }
        Readiness { ready, notes }
    }
}
