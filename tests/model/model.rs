//! Every step that may come next: of the network, the store and the provider here, of the nodes in `node`.

use crate::rules::Rules;
use crate::setup::{Quarantine, Setup};
use crate::state::{Attempt, AttemptNo, Phase, State, Wire};
use crate::step::Step;
use crate::verdict;

/// A step, and where it leads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    pub(crate) step: Step,
    pub(crate) to: State,
    /// The exchange whose access token readers get with this step.
    pub(crate) serves: Option<AttemptNo>,
}

/// The protocol in its surroundings.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) setup: Setup,
    pub(crate) rules: Rules,
    /// The steps found so far.
    pub(crate) edges: Vec<Edge>,
}

impl Model {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, rules: Rules::new(setup.protocol.store_mutant), edges: Vec::new() }
    }

    /// Leaves every step from `state` in `edges`, always in the same order.
    pub(crate) fn expand(&mut self, state: &State) {
        self.edges.clear();
        for node in 0..self.setup.nodes {
            self.node_steps(state, node);
        }
        for number in 0..state.begun {
            self.wire_steps(state, AttemptNo(number));
        }
        self.store_steps(state);
        if state.provider.grace && state.faults.closed_graces < self.setup.faults.closed_graces {
            let mut to = *state;
            to.provider.grace = false;
            to.faults.closed_graces += 1;
            self.edge(Step::CloseGrace, to);
        }
    }

    pub(crate) fn edge(&mut self, step: Step, to: State) {
        self.edges.push(Edge { step, to, serves: None });
    }

    /// A step with which readers get an access token.
    pub(crate) fn serving(&mut self, step: Step, mut to: State, number: AttemptNo) {
        let newest = to.attempt(number).answer == Some(to.provider.current);
        if self.setup.world.use_closes_grace && newest {
            to.provider.grace = false;
        }
        self.edges.push(Edge { step, to, serves: Some(number) });
    }

    fn wire_steps(&mut self, state: &State, number: AttemptNo) {
        let may = self.setup.faults;
        match state.attempt(number).wire {
            Wire::Sent => {
                let mut to = *state;
                to.work_on(number, &self.setup);
                self.edge(Step::WorkOn(number), to);
                if state.faults.lost_requests < may.lost_requests {
                    let mut to = *state;
                    to.faults.lost_requests += 1;
                    to.attempt_mut(number).wire = Wire::Over;
                    self.edge(Step::LoseRequest(number), to);
                }
            }
            Wire::Stray => {
                let mut to = *state;
                to.work_on(number, &self.setup);
                to.attempt_mut(number).end();
                self.edge(Step::WorkOnStray(number), to);
                let mut to = *state;
                to.attempt_mut(number).end();
                self.edge(Step::DropStray(number), to);
            }
            Wire::Answered if state.faults.lost_responses < may.lost_responses => {
                let mut to = *state;
                to.faults.lost_responses += 1;
                to.attempt_mut(number).end();
                self.edge(Step::LoseResponse(number), to);
            }
            _ => {}
        }
    }

    fn store_steps(&mut self, state: &State) {
        let may = self.setup.faults;
        if state.copy != state.store {
            let mut to = *state;
            to.copy = to.store;
            self.edge(Step::Replicate, to);
            if state.faults.failovers < may.failovers {
                let mut to = *state;
                to.faults.failovers += 1;
                to.store = to.copy;
                self.quarantine(&mut to);
                self.edge(Step::FailOver, to);
            }
        }
        if state.faults.emptied < may.emptied && verdict::remembered(state, self.setup.class) {
            let mut to = *state;
            to.faults.emptied += 1;
            to.store = None;
            to.copy = None;
            self.quarantine(&mut to);
            self.edge(Step::Empty, to);
        }
    }

    /// Every live node notices that the store is another one.
    fn quarantine(&self, state: &mut State) {
        if self.setup.protocol.quarantine == Quarantine::None {
            return;
        }
        for node in state.nodes.iter_mut().take(self.setup.nodes.into()) {
            node.quarantined = node.phase != Phase::Down;
        }
    }
}

impl State {
    /// The provider works on a request. The answer is in its node's socket then.
    fn work_on(&mut self, number: AttemptNo, setup: &Setup) {
        let attempt = &mut self.attempts[usize::from(number.0)];
        attempt.answer = self.provider.exchange(setup.class, attempt.presents);
        attempt.wire = if attempt.answer.is_some() { Wire::Answered } else { Wire::Refused };
    }
}

impl Attempt {
    /// Nothing of it is on the wire any more, nor of its answer.
    pub(crate) fn end(&mut self) {
        self.wire = Wire::Over;
        if !self.journal.has_answer() {
            self.answer = None;
        }
    }
}
