//! A node and its exchange: begin, send, receive, write down and commit, or fail.

use crate::model::Model;
use crate::rules::{Ask, Grant};
use crate::setup::Serve;
use crate::state::{ATTEMPTS, Attempt, AttemptNo, FIRST_GENERATION, Journal, Phase, State, Wire};
use crate::step::Step;

/// Why a node no longer waits for the exchange that holds the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TakeOver {
    /// Its patience is over, and nothing can come of that exchange.
    Patient,
    /// It is wrong: the holder is alive, and paused.
    Early,
}

impl Model {
    pub(crate) fn node_steps(&mut self, state: &State, node: u8) {
        let phase = state.node(node).phase;
        if phase == Phase::Down {
            return self.restart(state, node);
        }
        // The journal is read back only after what is being written to it.
        if state.node(node).quarantined && !matches!(phase, Phase::Stored(_)) {
            self.put_back(state, node);
        }
        match phase {
            Phase::Down => {}
            Phase::Idle => self.begin(state, node),
            Phase::Granted(number) => self.send(state, node, number),
            Phase::Waiting(number) => self.wait(state, node, number),
            Phase::Answered(number) => {
                if self.setup.protocol.journal {
                    self.write_journal(state, node, number);
                }
                self.commit(state, node, number);
            }
            Phase::Written(number) => self.commit(state, node, number),
            Phase::Stored(number) => self.write_journal(state, node, number),
            Phase::InDoubt(number) => {
                if !self.setup.world.strays_die || state.attempt(number).wire != Wire::Stray {
                    self.fail(state, Step::FailInDoubt(node, number), node, number);
                }
            }
            Phase::Rejected(number) => {
                self.fail(state, Step::FailRejected(node, number), node, number);
            }
        }
        self.crash(state, node);
    }

    fn begin(&mut self, state: &State, node: u8) {
        let Some(record) = state.store else { return };
        let over = record.generation >= FIRST_GENERATION + self.setup.generations
            || usize::from(state.begun) == ATTEMPTS;
        if over || state.nodes.iter().any(|node| node.quarantined) {
            return;
        }
        let mut to = *state;
        let number = AttemptNo(state.begun);
        let minimum = state.node(node).seen;
        let over_whom = record.slot.zip(record.slot.and_then(|it| self.take_over(state, node, it)));
        let takeover_of = over_whom.map(|(holder, _)| holder);
        let asked = Ask::Begin { attempt: number, minimum, takeover_of };
        let Some(grant) = self.rules.apply(&mut to.store, asked) else { return };
        let step = match over_whom {
            None => Step::Begin(node, number),
            Some((holder, TakeOver::Patient)) => Step::Follow(node, number, holder),
            Some((holder, TakeOver::Early)) => {
                to.faults.takeovers += 1;
                if self.setup.world.sends_are_timely {
                    to.miss_send_deadline(holder);
                }
                Step::TakeOver(node, number, holder)
            }
        };
        to.enter(node, number, &grant);
        if self.setup.protocol.journal {
            to.attempt_mut(number).journal = Journal::Intent;
        }
        to.look(node);
        self.edge(step, to);
    }

    /// Patience outlasts every request that may still be worked on; and an answer in a journal, even of a
    /// node that is down, is something to wait for.
    fn take_over(&self, state: &State, node: u8, holder: AttemptNo) -> Option<TakeOver> {
        let held = state.attempt(holder);
        let phase = state.node(held.node).phase;
        let nothing = held.wire == Wire::Over
            && (!held.journal.has_answer() || held.journal == Journal::Done);
        if nothing && phase.attempt() != Some(holder) {
            return Some(TakeOver::Patient);
        }
        let alive = matches!(held.wire, Wire::Sent | Wire::Stray);
        let early = state.faults.takeovers < self.setup.faults.takeovers
            && held.node != node
            && !(alive && self.setup.world.strays_die);
        early.then_some(TakeOver::Early)
    }

    fn send(&mut self, state: &State, node: u8, number: AttemptNo) {
        if self.setup.protocol.confirmed_begin && !state.copy_knows(number) {
            return;
        }
        let mut to = *state;
        to.attempt_mut(number).wire = Wire::Sent;
        to.node_mut(node).phase = Phase::Waiting(number);
        self.edge(Step::Send(node, number), to);
    }

    fn wait(&mut self, state: &State, node: u8, number: AttemptNo) {
        let mut to = *state;
        let over = Wire::Over;
        let (step, wire, phase) = match state.attempt(number).wire {
            Wire::Answered => (Step::Receive(node, number), over, Phase::Answered(number)),
            Wire::Refused => (Step::ReceiveRejection(node, number), over, Phase::Rejected(number)),
            Wire::Over => (Step::SeeLoss(node, number), over, Phase::InDoubt(number)),
            Wire::Sent if state.faults.timeouts < self.setup.faults.timeouts => {
                to.faults.timeouts += 1;
                (Step::TimeOut(node, number), Wire::Stray, Phase::InDoubt(number))
            }
            _ => return,
        };
        to.attempt_mut(number).wire = wire;
        to.node_mut(node).phase = phase;
        if self.setup.protocol.serve == Serve::AtOnce && matches!(step, Step::Receive(..)) {
            self.serving(step, to, number);
        } else {
            self.edge(step, to);
        }
    }

    fn write_journal(&mut self, state: &State, node: u8, number: AttemptNo) {
        let mut to = *state;
        let stored = matches!(state.node(node).phase, Phase::Stored(_));
        to.attempt_mut(number).journal = Journal::Answer;
        if stored {
            self.note_done(&mut to, number);
        }
        to.node_mut(node).phase = if stored { Phase::Idle } else { Phase::Written(number) };
        self.durable(Step::WriteJournal(node, number), to, number);
    }

    fn commit(&mut self, state: &State, node: u8, number: AttemptNo) {
        let mut to = *state;
        self.commit_answer(&mut to, number);
        to.look(node);
        let unwritten = matches!(state.node(node).phase, Phase::Answered(_));
        if unwritten && self.setup.protocol.journal {
            to.node_mut(node).phase = Phase::Stored(number);
        } else {
            to.node_mut(node).phase = Phase::Idle;
            self.note_done(&mut to, number);
            to.attempt_mut(number).end();
        }
        self.durable(Step::Commit(node, number), to, number);
    }

    /// A step that makes an answer durable: from then on readers may have it.
    fn durable(&mut self, step: Step, to: State, number: AttemptNo) {
        match self.setup.protocol.serve {
            Serve::OnceDurable => self.serving(step, to, number),
            Serve::AtOnce => self.edge(step, to),
        }
    }

    fn fail(&mut self, state: &State, step: Step, node: u8, number: AttemptNo) {
        let mut to = *state;
        let base = state.attempt(number).base;
        let rejected = matches!(step, Step::FailRejected(..));
        self.rules.apply(&mut to.store, Ask::Fail { attempt: number, base, rejected });
        to.node_mut(node).phase = Phase::Idle;
        self.edge(step, to);
    }
}

impl State {
    /// The node has leave for a new exchange.
    fn enter(&mut self, node: u8, number: AttemptNo, grant: &Grant) {
        self.begun += 1;
        *self.attempt_mut(number) = Attempt {
            wire: Wire::NotSent,
            node,
            base: grant.base,
            sequence: grant.sequence,
            tries: grant.tries,
            presents: grant.refresh,
            answer: None,
            journal: Journal::Nothing,
        };
        self.node_mut(node).phase = Phase::Granted(number);
    }

    /// The node takes note of the generation the store has.
    pub(crate) fn look(&mut self, node: u8) {
        let generation = self.store.map_or(0, |record| record.generation);
        let node = self.node_mut(node);
        node.seen = node.seen.max(generation);
    }

    /// Whether the store's copy has taken note that the exchange began.
    fn copy_knows(&self, number: AttemptNo) -> bool {
        let sequence = self.attempt(number).sequence;
        self.copy.is_some_and(|copy| {
            copy.slot == Some(number) || (copy.last_sequence >= sequence && self.copy == self.store)
        })
    }

    /// An exchange that was taken over before its request was sent: its node notices in time.
    fn miss_send_deadline(&mut self, number: AttemptNo) {
        if self.attempt(number).wire != Wire::NotSent {
            return;
        }
        self.attempt_mut(number).wire = Wire::Over;
        let node = self.attempt(number).node;
        if self.node(node).phase == Phase::Granted(number) {
            self.node_mut(node).phase = Phase::Idle;
        }
    }
}
