//! The one list of what runs for long, and what becomes of each on an error and at shutdown.

/// A long-lived task of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// Claims due sessions and has them refreshed. On a store error: logs, backs off, goes on. At
    /// shutdown: is waited for while it gives back what it claimed, so that the next run sees it at once.
    Scheduler,
    /// Passivates idle actors and evicts what nobody reads. Cannot fail. At shutdown: stops at once.
    Sweeper,
    /// Hears what other nodes do to sessions. Cannot fail: what it misses is looked up. At shutdown: stops
    /// at once.
    Listener,
    /// One look at a record behind a reader's back. On an error: the next reader asks again. At shutdown:
    /// is waited for.
    Recheck,
    /// Puts back what the store lost. On an error: logs; what the journal holds is told at the next start.
    /// At shutdown: stops at once.
    Keeper,
    /// Tells the store of an answer that is safe in the journal. On an error: tries again, for ever. At
    /// shutdown: stops at once, the next start goes on.
    Errand,
    /// Revokes a token at its provider. On an error: a few more attempts. At shutdown: the attempt under
    /// way is waited for.
    Revocation,
    /// One exchange with a provider. On an error: tells the ledger. At shutdown: is waited for, since a
    /// refresh token may be spent already.
    Exchange,
    /// One read of a session's record. At shutdown: is waited for.
    Load,
}

impl TaskKind {
    /// The name in logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Sweeper => "sweeper",
            Self::Listener => "listener",
            Self::Recheck => "recheck",
            Self::Keeper => "keeper",
            Self::Errand => "errand",
            Self::Revocation => "revocation",
            Self::Exchange => "exchange",
            Self::Load => "load",
        }
    }

    /// True if shutdown waits until it has finished.
    pub(crate) fn is_drained(self) -> bool {
        matches!(
            self,
            Self::Scheduler | Self::Recheck | Self::Revocation | Self::Exchange | Self::Load
        )
    }
}
