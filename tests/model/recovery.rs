//! A node after trouble: it crashes, restarts, and puts back what the store has lost.

use crate::model::Model;
use crate::rules::Ask;
use crate::setup::{Quarantine, Replay};
use crate::state::{AttemptNo, Journal, Node, Phase, State, Wire};
use crate::step::Step;

impl Model {
    pub(crate) fn crash(&mut self, state: &State, node: u8) {
        let phase = state.node(node).phase;
        let window = matches!(phase, Phase::Waiting(_) | Phase::Answered(_) | Phase::Stored(_));
        let allowed = self.setup.world.crashes_in_the_window || !window;
        if state.faults.crashes == self.setup.faults.crashes || !allowed {
            return;
        }
        let mut to = *state;
        to.faults.crashes += 1;
        if let Some(number) = phase.attempt() {
            let attempt = to.attempt_mut(number);
            match attempt.wire {
                Wire::Sent => attempt.wire = Wire::Stray,
                Wire::Stray => {}
                _ => attempt.end(),
            }
            if !self.setup.protocol.journal && attempt.wire != Wire::Stray {
                // Nobody can prove the exchange lost: its lease runs out.
                self.give_up(&mut to, number);
            }
        }
        *to.node_mut(node) = Node { phase: Phase::Down, quarantined: false, seen: 0 };
        self.edge(Step::Crash(node), to);
    }

    /// Replays the journal: answers are committed, and an exchange with nothing but an intent is known to
    /// have brought none, for only this node could have received it.
    pub(crate) fn restart(&mut self, state: &State, node: u8) {
        let mut to = *state;
        to.node_mut(node).phase = Phase::Idle;
        for number in state.exchanges_of(node) {
            let attempt = state.attempt(number);
            match attempt.journal {
                Journal::Answer => {
                    self.commit_answer(&mut to, number);
                    self.note_done(&mut to, number);
                }
                Journal::Intent if attempt.wire != Wire::Stray => self.give_up(&mut to, number),
                Journal::Intent | Journal::Nothing | Journal::Done => {}
            }
        }
        to.look(node);
        self.edge(Step::Restart(node), to);
    }

    /// The store is not the one it was: what this node knows goes back into it.
    pub(crate) fn put_back(&mut self, state: &State, node: u8) {
        let mut to = *state;
        for number in state.exchanges_of(node) {
            if state.attempt(number).journal.has_answer() {
                self.commit_answer(&mut to, number);
            }
        }
        if self.setup.protocol.quarantine == Quarantine::Full
            && let Some(number) = state.node(node).phase.attempt()
        {
            let attempt = state.attempt(number);
            let ask = Ask::Reassert {
                attempt: number,
                base: attempt.base,
                sequence: attempt.sequence,
                tries: attempt.tries,
                token: attempt.presents,
            };
            self.rules.apply(&mut to.store, ask);
        }
        to.node_mut(node).quarantined = false;
        self.edge(Step::PutBack(node), to);
    }

    /// Commits the answer of an exchange, for the first time or again.
    pub(crate) fn commit_answer(&mut self, state: &mut State, number: AttemptNo) {
        let attempt = *state.attempt(number);
        let Some(token) = attempt.answer else { return };
        let (base, sequence) = (attempt.base, attempt.sequence);
        self.rules.apply(&mut state.store, Ask::Commit { attempt: number, base, sequence, token });
    }

    /// The store has the answer. With a restart that replays everything there is nothing to note.
    pub(crate) fn note_done(&self, state: &mut State, number: AttemptNo) {
        let attempt = state.attempt_mut(number);
        if self.setup.protocol.replay == Replay::Undone && attempt.journal.has_answer() {
            attempt.journal = Journal::Done;
        }
    }

    /// Reports an exchange in doubt; nothing follows unless it holds the slot.
    fn give_up(&mut self, state: &mut State, number: AttemptNo) {
        let base = state.attempt(number).base;
        self.rules.apply(&mut state.store, Ask::Fail { attempt: number, base, rejected: false });
    }
}

impl State {
    fn exchanges_of(&self, node: u8) -> impl Iterator<Item = AttemptNo> {
        (0..self.begun).map(AttemptNo).filter(move |number| self.attempt(*number).node == node)
    }
}
