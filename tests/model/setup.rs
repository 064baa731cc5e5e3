//! What a run is about: the protocol or a broken one, the assumptions that hold, and the faults that may happen.

use crate::faults::Faults;
use crate::mutants::StoreMutant;
use crate::provider::Class;

/// One run of the checker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) class: Class,
    pub(crate) nodes: u8,
    /// How many generations are redeemed; nothing begins after that.
    pub(crate) generations: u8,
    /// How often each thing may go wrong.
    pub(crate) faults: Faults,
    pub(crate) world: World,
    pub(crate) protocol: Protocol,
}

/// What is assumed of the surroundings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    /// A1: a request is never sent after its exchange was taken over.
    pub(crate) sends_are_timely: bool,
    /// A2: a request that was given up is never worked on once others may begin.
    pub(crate) strays_die: bool,
    /// Whether a process may die while only its memory can have the provider's answer.
    pub(crate) crashes_in_the_window: bool,
    /// Whether the provider ends the grace as soon as the new access token is used.
    pub(crate) use_closes_grace: bool,
}

/// What the nodes do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protocol {
    /// Whether intents and answers are written to a disk that outlives the process.
    pub(crate) journal: bool,
    /// Whether the store's copy must have taken note of an exchange before its request is sent.
    pub(crate) confirmed_begin: bool,
    pub(crate) quarantine: Quarantine,
    pub(crate) replay: Replay,
    pub(crate) serve: Serve,
    /// What is broken in the store.
    pub(crate) store_mutant: Option<StoreMutant>,
}

/// What happens after a failover, before any exchange may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quarantine {
    /// Every live node puts back the tokens it knows and the exchange it has in flight.
    Full,
    /// Only the tokens.
    TokensOnly,
    /// Nothing, at once.
    None,
}

/// Which answers in its journal a node commits again when it restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replay {
    /// All: the store may have lost what it acknowledged while the node was down.
    Everything,
    /// Those of which it does not know that the store has them.
    Undone,
}

/// When readers get the new access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serve {
    /// Once its pair is in the journal or in the store.
    OnceDurable,
    /// As soon as it arrives.
    AtOnce,
}

impl World {
    /// Everything holds.
    pub(crate) const SOUND: Self = Self {
        sends_are_timely: true,
        strays_die: true,
        crashes_in_the_window: true,
        use_closes_grace: false,
    };
}

impl Protocol {
    /// The protocol as it is meant.
    pub(crate) const SOUND: Self = Self {
        journal: true,
        confirmed_begin: true,
        quarantine: Quarantine::Full,
        replay: Replay::Everything,
        serve: Serve::OnceDurable,
        store_mutant: None,
    };
}
