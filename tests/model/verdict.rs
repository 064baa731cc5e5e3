//! What must never happen, and how the checker tells.

use std::fmt;

use crate::model::Edge;
use crate::provider::Class;
use crate::record::{Record, Standing};
use crate::setup::Setup;
use crate::state::{ATTEMPTS, AttemptNo, FIRST_GENERATION, Phase, State, Token, Wire};
use crate::step::Step;

/// Something that must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Finding {
    /// Every copy of every refresh token the provider accepts is gone.
    Loss,
    /// The session is declared dead while somebody holds a refresh token the provider accepts.
    FalseDeath,
    /// More provider calls than one a generation and one a fault.
    TooManyCalls,
    /// Everybody is at rest, and the store holds no refresh token the provider accepts.
    Stranded,
    /// Nothing more can happen, though the session could go on.
    Stuck,
    /// An older exchange's tokens replace a newer one's.
    Overwritten,
    /// A reader has an access token whose pair is in no journal and not in the store.
    ServedTooEarly,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loss => "LOSS",
            Self::FalseDeath => "false death",
            Self::TooManyCalls => "call bound broken",
            Self::Stranded => "stranded",
            Self::Stuck => "stuck",
            Self::Overwritten => "overwritten",
            Self::ServedTooEarly => "served too early",
        })
    }
}

/// What is wrong with a state.
pub(crate) fn of_state(setup: &Setup, state: &State) -> [Option<Finding>; 3] {
    let good = |token: Token| state.provider.accepts(setup.class, token);
    let stored = |record: Record| good(record.token) || record.spare.is_some_and(good);
    let stored = state.store.is_some_and(stored);
    if !stored && !remembered(state, setup.class) {
        return [Some(Finding::Loss), None, None];
    }
    let Some(record) = &state.store else { return [None; 3] };
    let death = (record.standing == Standing::Dead).then_some(Finding::FalseDeath);
    if !at_rest(setup, state) {
        return [death, None, None];
    }
    let stranded = (!stored).then_some(Finding::Stranded);
    let redeemed = record.generation - FIRST_GENERATION;
    let bound = redeemed + state.faults.excused_calls(setup.generations);
    let calls = (state.provider.calls > bound).then_some(Finding::TooManyCalls);
    [death, stranded, calls]
}

/// What is wrong with a state that nothing follows. Runs have no circles: each comes to an end.
pub(crate) fn of_end(setup: &Setup, state: &State, steps: &[Edge]) -> Option<Finding> {
    let last = FIRST_GENERATION + setup.generations;
    let goes_on = |record: Record| record.generation < last && record.standing != Standing::Dead;
    let could = state.store.is_none_or(goes_on) && usize::from(state.begun) < ATTEMPTS;
    (steps.is_empty() && could).then_some(Finding::Stuck)
}

/// What is wrong with a step.
pub(crate) fn of_step(from: &State, edge: &Edge) -> Option<Finding> {
    if edge.serves.is_some_and(|number| !durable(&edge.to, number)) {
        return Some(Finding::ServedTooEarly);
    }
    let lost_writes = matches!(edge.step, Step::FailOver | Step::Empty);
    (!lost_writes && overwritten(from, &edge.to)).then_some(Finding::Overwritten)
}

/// Whether the journals, the answers on their way and the memories of live nodes have a refresh token that
/// the provider accepts.
pub(crate) fn remembered(state: &State, class: Class) -> bool {
    let good = |token: Token| state.provider.accepts(class, token);
    let presented = state.nodes.iter().filter_map(|node| node.phase.attempt());
    state.attempts.iter().filter_map(|attempt| attempt.answer).any(good)
        || presented.map(|number| state.attempt(number).presents).any(good)
}

fn at_rest(setup: &Setup, state: &State) -> bool {
    let nodes = &state.nodes[..setup.nodes.into()];
    let idle = nodes.iter().all(|node| node.phase == Phase::Idle && !node.quarantined);
    let moving = |wire| matches!(wire, Wire::NotSent | Wire::Sent | Wire::Stray);
    idle && !state.attempts.iter().any(|attempt| moving(attempt.wire))
}

fn durable(state: &State, number: AttemptNo) -> bool {
    let attempt = state.attempt(number);
    attempt.journal.has_answer()
        || state.store.is_some_and(|record| record.generation > attempt.base)
}

/// Whether the store went back to the tokens of an older exchange. A session that was not active is healed
/// by any.
fn overwritten(from: &State, to: &State) -> bool {
    let (Some(before), Some(after)) = (&from.store, &to.store) else { return false };
    let replaced = before.token != after.token
        && before.standing == Standing::Active
        && after.committed_sequence <= before.committed_sequence;
    after.generation < before.generation || (after.generation == before.generation && replaced)
}
