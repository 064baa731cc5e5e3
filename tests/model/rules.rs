//! The store's rules: the library's own, over the model's small record, and each outcome worked out once.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::time::Duration;

use tokenhive::ledger::{
    self, Begin, BeginReply, Commit, Entry, Fail, FailKind, Reassert, Urgency,
};

use crate::mutants::StoreMutant;
use crate::pack;
use crate::record::{
    NOW, Record, Rest, attempt_id, error_note, node_id, origin, small, token_of, tokens,
};
use crate::state::{AttemptNo, Token};

/// What a node asks the store for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    Begin {
        attempt: AttemptNo,
        /// The highest generation the node has seen.
        minimum: u8,
        takeover_of: Option<AttemptNo>,
    },
    Commit {
        attempt: AttemptNo,
        base: u8,
        sequence: u8,
        token: Token,
    },
    Fail {
        attempt: AttemptNo,
        base: u8,
        rejected: bool,
    },
    /// The exchange is in flight; it redeems `token`.
    Reassert {
        attempt: AttemptNo,
        base: u8,
        sequence: u8,
        tries: u8,
        token: Token,
    },
}

/// Leave to redeem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) base: u8,
    pub(crate) sequence: u8,
    pub(crate) tries: u8,
    pub(crate) refresh: Token,
}

/// The record afterwards, and the leave to redeem if that was asked for and given.
pub(crate) type Outcome = (Option<Record>, Option<Grant>);

/// Applies the rules. Few different records exist, so every outcome is remembered.
#[derive(Debug)]
pub(crate) struct Rules {
    mutant: Option<StoreMutant>,
    outcomes: HashMap<u64, Outcome>,
    /// The names of all replies the ledger gave.
    pub(crate) replies: BTreeSet<String>,
}

impl Rules {
    pub(crate) fn new(mutant: Option<StoreMutant>) -> Self {
        Self { mutant, outcomes: HashMap::new(), replies: BTreeSet::new() }
    }

    /// Applies what is asked for to the record.
    pub(crate) fn apply(&mut self, record: &mut Option<Record>, ask: Ask) -> Option<Grant> {
        let key = u64::from(pack::record(record.as_ref())) << 32 | u64::from(pack::ask(ask));
        let (after, grant) = match self.outcomes.get(&key) {
            Some(outcome) => *outcome,
            None => {
                let outcome = self.work_out(record.as_ref(), ask);
                self.outcomes.insert(key, outcome);
                outcome
            }
        };
        *record = after;
        grant
    }

    fn work_out(&mut self, record: Option<&Record>, ask: Ask) -> Outcome {
        let mutant = self.mutant;
        let mut lawful = |record: Option<&Record>, ask: Ask| self.by_the_ledger(record, ask);
        match (mutant, record) {
            (Some(mutant), Some(record)) => mutant.apply(record, ask, &mut lawful),
            _ => lawful(record, ask),
        }
    }

    /// Asks the ledger, twice: what the model leaves out of the record must not matter.
    fn by_the_ledger(&mut self, record: Option<&Record>, ask: Ask) -> Outcome {
        let (outcome, reply) = ask_ledger(Record::expand(record, Rest::Plain), ask);
        let (again, _) = ask_ledger(Record::expand(record, Rest::Noisy), ask);
        assert_eq!(outcome, again, "{ask:?} on {record:?} depends on what the model leaves out");
        self.replies.insert(reply);
        outcome
    }
}

fn ask_ledger(mut entry: Entry, ask: Ask) -> (Outcome, String) {
    let mut grant = None;
    let reply = match ask {
        Ask::Begin { attempt, minimum, takeover_of } => {
            let reply = begin(&mut entry, attempt, minimum, takeover_of);
            if let BeginReply::Granted(granted) = &reply {
                grant = Some(Grant {
                    base: small(granted.base),
                    sequence: small(granted.sequence),
                    tries: small(granted.tries.into()),
                    refresh: token_of(&granted.refresh),
                });
            }
            name(&reply)
        }
        Ask::Commit { attempt, base, sequence, token } => {
            let request = Commit {
                attempt: attempt_id(attempt),
                base: base.into(),
                sequence: sequence.into(),
                tokens: tokens(token),
                last_read: None,
                origin: Some(origin()),
            };
            name(&ledger::commit(&mut entry, NOW, &request))
        }
        Ask::Fail { attempt, base, rejected } => {
            name(&ledger::fail(&mut entry, NOW, &failure(attempt, base, rejected)))
        }
        Ask::Reassert { attempt, base, sequence, tries, token } => {
            let request = Reassert {
                attempt: attempt_id(attempt),
                node: node_id(1),
                base: base.into(),
                sequence: sequence.into(),
                tries: tries.into(),
                patience: Duration::ZERO,
                tokens: tokens(token),
                origin: origin(),
            };
            name(&ledger::reassert(&mut entry, NOW, &request))
        }
    };
    ((Record::condense(&entry), grant), reply)
}

fn failure(attempt: AttemptNo, base: u8, rejected: bool) -> Fail {
    Fail {
        attempt: attempt_id(attempt),
        base: base.into(),
        kind: if rejected { FailKind::Rejected } else { FailKind::InDoubt },
        delay: Duration::ZERO,
        suspect_for: Duration::ZERO,
        error: error_note(),
    }
}

/// The node has just loaded the record: it expects the generation that stands. The cap on tries is out of
/// reach, for it is not what may keep a session alive.
fn begin(
    entry: &mut Entry,
    attempt: AttemptNo,
    minimum: u8,
    takeover_of: Option<AttemptNo>,
) -> BeginReply {
    let request = Begin {
        attempt: attempt_id(attempt),
        node: node_id(1),
        minimum_generation: minimum.into(),
        expected_generation: entry.record.as_ref().map_or(0, |record| record.generation),
        takeover_of: takeover_of.map(attempt_id),
        patience: Duration::ZERO,
        max_tries: u32::MAX,
        urgency: Urgency::Hard,
        confirmed: false,
    };
    ledger::begin(entry, NOW, &request)
}

fn name(reply: &impl Debug) -> String {
    let text = format!("{reply:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
