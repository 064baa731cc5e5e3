//! What may go wrong, and how often.

/// Counts of faults: how many a run may have, or how many it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faults {
    /// A process dies. It may come back, with its journal.
    pub(crate) crashes: u8,
    /// A request never reaches the provider, and its sender can tell.
    pub(crate) lost_requests: u8,
    /// The provider worked on it, and the answer never arrives.
    pub(crate) lost_responses: u8,
    /// The store loses what its copy does not have.
    pub(crate) failovers: u8,
    /// The store comes back with nothing in it, while a node remembers good tokens of the session.
    pub(crate) emptied: u8,
    /// A node gives up on a request that the provider may still work on.
    pub(crate) timeouts: u8,
    /// A node takes over the exchange of a node that still lives, but is paused.
    pub(crate) takeovers: u8,
    /// The provider's grace ends.
    pub(crate) closed_graces: u8,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        crashes: 0,
        lost_requests: 0,
        lost_responses: 0,
        failovers: 0,
        emptied: 0,
        timeouts: 0,
        takeovers: 0,
        closed_graces: 0,
    };

    /// How many provider calls they excuse, where a run has so many generations to redeem. Writes lost
    /// together with the node that remembers them cost each generation a second call; the end of a grace
    /// costs tokens, not calls.
    pub(crate) fn excused_calls(&self, generations: u8) -> u8 {
        let lost_writes = self.failovers + self.emptied;
        self.crashes
            + self.lost_requests
            + self.lost_responses
            + self.timeouts
            + self.takeovers
            + lost_writes * (generations - 1)
    }
}
