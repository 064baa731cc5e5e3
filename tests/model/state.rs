//! What one moment of the model looks like: nodes, store and copy, provider, exchanges.

use crate::faults::Faults;
use crate::provider::Provider;
use crate::record::Record;

/// Most nodes of a run.
pub(crate) const NODES: usize = 3;
/// Most exchanges that begin in a run.
pub(crate) const ATTEMPTS: usize = 6;
/// The generation a login stores.
pub(crate) const FIRST_GENERATION: u8 = 1;

/// A refresh token; the login's is 0, and each further one has the next number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token(pub(crate) u8);

/// Names an exchange by its place in [`State::attempts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttemptNo(pub(crate) u8);

/// Everything there is. Equal states have equal futures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    pub(crate) provider: Provider,
    pub(crate) attempts: [Attempt; ATTEMPTS],
    /// How many of `attempts` have begun.
    pub(crate) begun: u8,
    pub(crate) nodes: [Node; NODES],
    /// What the store has; `None` after it came back empty.
    pub(crate) store: Option<Record>,
    /// What the store's copy has. It lags, and a failover makes it the store.
    pub(crate) copy: Option<Record>,
    /// What went wrong so far.
    pub(crate) faults: Faults,
}

/// One exchange, as it really is. Nobody sees all of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) wire: Wire,
    /// Which node runs it.
    pub(crate) node: u8,
    /// The generation it redeems.
    pub(crate) base: u8,
    /// The sequence number it was granted.
    pub(crate) sequence: u8,
    /// Which try for its generation it is.
    pub(crate) tries: u8,
    /// The refresh token it presents.
    pub(crate) presents: Token,
    /// The refresh token it was answered with, as long as somebody has it.
    pub(crate) answer: Option<Token>,
    /// What its node's journal says about it.
    pub(crate) journal: Journal,
}

/// Where an exchange is between its node and the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    NotSent,
    /// The provider may work on it any time.
    Sent,
    /// The answer with new tokens is on its way, or in the node's socket.
    Answered,
    /// The same for a rejection.
    Refused,
    /// Its sender gave up or died; the provider may still work on it.
    Stray,
    /// Nothing of it is on the wire any more.
    Over,
}

/// What a journal says about an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    Nothing,
    /// Written before the exchange began.
    Intent,
    /// The provider's answer, which is kept for a store that loses writes.
    Answer,
    /// The same, and that the store has it: told apart only where a restart leaves those out.
    Done,
}

/// One process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) phase: Phase,
    /// True from a failover until it has put back what it remembers.
    pub(crate) quarantined: bool,
    /// The highest generation it has seen.
    pub(crate) seen: u8,
}

/// Where a node is with its exchange. A node that takes no step is a paused node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Down,
    Idle,
    /// The store granted the exchange.
    Granted(AttemptNo),
    /// The request is out.
    Waiting(AttemptNo),
    /// The answer is in memory, and nowhere else.
    Answered(AttemptNo),
    /// The answer is in the journal, and not in the store yet.
    Written(AttemptNo),
    /// The answer is in the store, and not in the journal yet.
    Stored(AttemptNo),
    /// The provider said `invalid_grant`.
    Rejected(AttemptNo),
    /// No answer can come any more.
    InDoubt(AttemptNo),
}

impl State {
    /// A session that has just logged in; every node knows it.
    pub(crate) fn logged_in() -> Self {
        let record = Record::of_login();
        let nobody = Attempt {
            wire: Wire::Over,
            node: 0,
            base: 0,
            sequence: 0,
            tries: 0,
            presents: Token(0),
            answer: None,
            journal: Journal::Nothing,
        };
        let node = Node { phase: Phase::Idle, quarantined: false, seen: FIRST_GENERATION };
        Self {
            provider: Provider::new(),
            attempts: [nobody; ATTEMPTS],
            begun: 0,
            nodes: [node; NODES],
            store: Some(record),
            copy: Some(record),
            faults: Faults::NONE,
        }
    }

    pub(crate) fn attempt(&self, number: AttemptNo) -> &Attempt {
        &self.attempts[usize::from(number.0)]
    }

    pub(crate) fn attempt_mut(&mut self, number: AttemptNo) -> &mut Attempt {
        &mut self.attempts[usize::from(number.0)]
    }

    pub(crate) fn node(&self, node: u8) -> &Node {
        &self.nodes[usize::from(node)]
    }

    pub(crate) fn node_mut(&mut self, node: u8) -> &mut Node {
        &mut self.nodes[usize::from(node)]
    }
}

impl Journal {
    pub(crate) fn has_answer(self) -> bool {
        matches!(self, Self::Answer | Self::Done)
    }
}

impl Phase {
    /// The exchange the node is busy with.
    pub(crate) fn attempt(self) -> Option<AttemptNo> {
        match self {
            Self::Down | Self::Idle => None,
            Self::Granted(number)
            | Self::Waiting(number)
            | Self::Answered(number)
            | Self::Written(number)
            | Self::Stored(number)
            | Self::Rejected(number)
            | Self::InDoubt(number) => Some(number),
        }
    }
}
