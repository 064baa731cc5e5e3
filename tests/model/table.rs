//! The runs and the verdicts that are expected of them. A run that must end badly guards against a model in
//! which nothing can go wrong.

use crate::faults::Faults;
use crate::mutants::StoreMutant;
use crate::setup::{Protocol, Quarantine, Replay, Serve, World};

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) faults: Faults,
    pub(crate) world: World,
    pub(crate) protocol: Protocol,
    /// What can be reached, one cell for each class: R, S, G-all, G-last, I, M, N.
    pub(crate) expected: &'static str,
}

const SAFE: &str = "safe | safe | safe | safe | safe | safe | safe";

const NOTHING: Row = Row {
    name: "none",
    faults: Faults::NONE,
    world: World::SOUND,
    protocol: Protocol::SOUND,
    expected: SAFE,
};

/// `WAIT` is what Redis calls it: the copy must have taken note of an exchange before its request is sent.
const NO_WAIT: Protocol = Protocol { confirmed_begin: false, ..Protocol::SOUND };

const NO_CRASH_IN_THE_WINDOW: World = World { crashes_in_the_window: false, ..World::SOUND };

const TAKEOVER: Faults = Faults { takeovers: 1, ..Faults::NONE };

const FAILOVER: Faults = Faults { failovers: 1, ..Faults::NONE };

const CRASH: Faults = Faults { crashes: 1, ..Faults::NONE };

/// Readers have seen a generation that nobody has any more: no node that knows of it begins on an older one.
/// A third node may not know of it.
pub(crate) const READ_AND_FORGOTTEN: Row = Row {
    name: "1 crash + 1 failover + 1 lost response, no WAIT",
    faults: Faults { failovers: 1, lost_responses: 1, ..CRASH },
    protocol: NO_WAIT,
    expected: "LOSS | LOSS, false death | LOSS | LOSS, stranded | LOSS, false death | stuck | stuck",
    ..NOTHING
};

/// Faults that strike the protocol as it is meant. The window is from the request's last byte, t2, until its
/// answer is in the journal, t5.
pub(crate) const FAULTS: &[Row] = &[
    NOTHING,
    Row { name: "2 lost requests", faults: Faults { lost_requests: 2, ..Faults::NONE }, ..NOTHING },
    Row {
        name: "2 failovers, WAIT on begin",
        faults: Faults { failovers: 2, ..Faults::NONE },
        ..NOTHING
    },
    Row {
        name: "2 failovers + 1 lost request, no WAIT, full re-assert",
        faults: Faults { failovers: 2, lost_requests: 1, ..Faults::NONE },
        protocol: NO_WAIT,
        ..NOTHING
    },
    Row {
        name: "2 crashes outside t2..t5",
        faults: Faults { crashes: 2, ..Faults::NONE },
        world: NO_CRASH_IN_THE_WINDOW,
        ..NOTHING
    },
    Row {
        name: "2 crashes outside t2..t5 + 2 failovers + 1 lost request, WAIT",
        faults: Faults { crashes: 2, failovers: 2, lost_requests: 1, ..Faults::NONE },
        world: NO_CRASH_IN_THE_WINDOW,
        ..NOTHING
    },
    Row {
        name: "1 crash outside t2..t5 + 1 failover, no WAIT",
        faults: Faults { crashes: 1, ..FAILOVER },
        world: NO_CRASH_IN_THE_WINDOW,
        protocol: NO_WAIT,
        expected: "LOSS | false death | LOSS | LOSS | false death | safe | safe",
    },
    Row {
        name: "1 crash anywhere",
        faults: CRASH,
        expected: "LOSS | LOSS | safe | safe | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "1 lost response",
        faults: Faults { lost_responses: 1, ..Faults::NONE },
        expected: "LOSS | LOSS | safe | safe | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "1 crash + 1 lost response + 1 lost request",
        faults: Faults { lost_responses: 1, lost_requests: 1, ..CRASH },
        expected: "LOSS | LOSS | safe | safe | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "1 crash + 1 failover + 1 lost response, WAIT",
        faults: Faults { failovers: 1, lost_responses: 1, ..CRASH },
        expected: "LOSS | LOSS | safe | safe | safe | safe | safe",
        ..NOTHING
    },
    READ_AND_FORGOTTEN,
    Row {
        name: "the store comes back empty, WAIT",
        faults: Faults { emptied: 1, ..Faults::NONE },
        ..NOTHING
    },
    Row {
        name: "the grace ends when the new access token is used; 1 crash",
        faults: CRASH,
        world: World { use_closes_grace: true, ..World::SOUND },
        expected: "LOSS | LOSS | safe | safe | safe | safe | safe",
        ..NOTHING
    },
];

/// Assumptions that do not hold.
pub(crate) const BROKEN_ASSUMPTIONS: &[Row] = &[
    Row {
        name: "early takeover of a live, paused holder",
        faults: TAKEOVER,
        expected: "LOSS | safe | safe | safe | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "early takeover + 1 failover, WAIT",
        faults: Faults { takeovers: 1, ..FAILOVER },
        expected: "LOSS | safe | safe | safe | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "early takeover + 1 lost response",
        faults: Faults { lost_responses: 1, ..TAKEOVER },
        expected: "LOSS | LOSS | safe | LOSS, stranded | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "early takeover + 1 crash",
        faults: Faults { takeovers: 1, ..CRASH },
        expected: "LOSS | LOSS | safe | LOSS, stranded | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "A1 broken: late send after takeover",
        faults: TAKEOVER,
        world: World { sends_are_timely: false, ..World::SOUND },
        expected: "LOSS | safe | LOSS | LOSS | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "A2 broken: timed-out request processed late",
        faults: Faults { timeouts: 1, ..Faults::NONE },
        world: World { strays_die: false, ..World::SOUND },
        expected: "LOSS | LOSS | LOSS | LOSS, stranded | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "A3 broken: 1 lost response, grace closes before the retry",
        faults: Faults { lost_responses: 1, closed_graces: 1, ..Faults::NONE },
        expected: "LOSS | LOSS | LOSS | LOSS | LOSS | safe | safe",
        ..NOTHING
    },
    Row {
        name: "A4 broken: 1 failover, no quarantine, WAIT",
        faults: FAILOVER,
        protocol: Protocol { quarantine: Quarantine::None, ..Protocol::SOUND },
        expected: "LOSS, stranded, stuck | false death, stranded, stuck | LOSS, stuck \
                   | LOSS, stuck | stuck | stuck | stuck",
        ..NOTHING
    },
];

/// The protocol with one guard taken out.
pub(crate) const MUTANTS: &[Row] = &[
    Row {
        name: "mutant: re-asserts tokens but not slots; 1 failover, no WAIT",
        faults: FAILOVER,
        protocol: Protocol { quarantine: Quarantine::TokensOnly, ..NO_WAIT },
        expected: "LOSS | false death | LOSS | LOSS | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "mutant: re-asserts no slot over an older record; 1 failover, no WAIT",
        faults: FAILOVER,
        protocol: with(StoreMutant::SlotWithoutBase, NO_WAIT),
        expected: "LOSS | false death | safe | safe | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "mutant: late commit frees the holder's slot; takeover",
        faults: TAKEOVER,
        protocol: with(StoreMutant::LateCommitFreesSlot, Protocol::SOUND),
        expected: "LOSS | safe | LOSS | LOSS | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "mutant: begin allowed in SUSPECT; takeover",
        faults: TAKEOVER,
        protocol: with(StoreMutant::BeginInSuspect, Protocol::SOUND),
        expected: "LOSS | call bound broken | safe | safe | safe | safe | safe",
        ..NOTHING
    },
    Row {
        name: "mutant: no generation check on commit; takeover",
        faults: TAKEOVER,
        protocol: with(StoreMutant::NoGenerationCheck, Protocol::SOUND),
        expected: "LOSS | safe | LOSS, call bound broken, stranded, overwritten \
                   | LOSS, call bound broken, stranded, overwritten \
                   | call bound broken, overwritten | call bound broken, overwritten \
                   | call bound broken, overwritten",
        ..NOTHING
    },
    Row {
        name: "mutant: no generation check on commit; 1 crash outside t2..t5",
        faults: CRASH,
        world: NO_CRASH_IN_THE_WINDOW,
        protocol: with(StoreMutant::NoGenerationCheck, Protocol::SOUND),
        expected: "LOSS, stranded, overwritten \
                   | false death, call bound broken, stranded, overwritten | overwritten \
                   | overwritten | overwritten | overwritten | overwritten",
    },
    Row {
        name: "mutant: restart replays only what is not done; 1 crash outside t2..t5 + 1 failover, WAIT",
        faults: Faults { crashes: 1, ..FAILOVER },
        world: NO_CRASH_IN_THE_WINDOW,
        protocol: Protocol { replay: Replay::Undone, ..Protocol::SOUND },
        expected: "LOSS, stranded | stranded, stuck | safe | safe | safe | safe | safe",
    },
    Row {
        name: "mutant: served before durable; no fault",
        protocol: Protocol { serve: Serve::AtOnce, ..Protocol::SOUND },
        expected: "served too early | served too early | served too early \
                   | served too early | served too early | served too early \
                   | served too early",
        ..NOTHING
    },
    Row {
        name: "mutant: served before durable; the grace ends with it; 1 crash",
        faults: CRASH,
        world: World { use_closes_grace: true, ..World::SOUND },
        protocol: Protocol { serve: Serve::AtOnce, ..Protocol::SOUND },
        expected: "LOSS, served too early | LOSS, served too early \
                   | LOSS, served too early | LOSS, served too early \
                   | LOSS, served too early | served too early | served too early",
    },
    Row {
        name: "naive lock + blind overwrite + invalid_grant = dead; takeover",
        faults: TAKEOVER,
        protocol: with(StoreMutant::NaiveLock, NO_WAIT),
        expected: "LOSS | false death | LOSS, stranded, overwritten \
                   | LOSS, stranded, overwritten \
                   | false death, call bound broken, overwritten \
                   | call bound broken, overwritten | call bound broken",
        ..NOTHING
    },
    Row {
        name: "the same without journal or quarantine; 1 failover",
        faults: FAILOVER,
        protocol: Protocol {
            journal: false,
            quarantine: Quarantine::None,
            ..with(StoreMutant::NaiveLock, NO_WAIT)
        },
        expected: "LOSS | LOSS, false death | LOSS, overwritten | LOSS, overwritten \
                   | LOSS, false death, call bound broken, overwritten \
                   | call bound broken, overwritten | call bound broken",
        ..NOTHING
    },
];

const fn with(store_mutant: StoreMutant, protocol: Protocol) -> Protocol {
    Protocol { store_mutant: Some(store_mutant), ..protocol }
}
