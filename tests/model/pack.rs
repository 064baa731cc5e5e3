//! States, records and requests as a few bits: two are equal if and only if their bits are.

use crate::faults::Faults;
use crate::provider::Provider;
use crate::record::{Record, Standing};
use crate::rules::Ask;
use crate::state::{ATTEMPTS, Attempt, AttemptNo, Journal, NODES, Node, Phase, State, Token, Wire};

/// A state's bits. Nodes that are exchanged for one another give the same bits, for nothing but an
/// exchange says which node is meant: the nodes are alike.
pub(crate) type Packed = [u64; 6];

/// Every number of a run fits three bits; the highest stands for none.
const NONE: u32 = 7;

pub(crate) fn state(state: &State) -> Packed {
    let mut exchanges = [0; ATTEMPTS];
    let mut nodes = [0; NODES];
    for (packed, node) in nodes.iter_mut().zip(&state.nodes) {
        *packed = u64::from(pack_node(node));
    }
    for (number, attempt) in state.attempts.iter().take(state.begun.into()).enumerate() {
        exchanges[number] = u64::from(pack_attempt(attempt));
        nodes[usize::from(attempt.node)] |= 1 << (11 + number);
    }
    nodes.sort_unstable();
    let [a, b, c, d, e, f] = exchanges;
    let [first, second, third] = nodes;
    let [left, right] = pack_faults(&state.faults);
    let provider = u64::from(pack_provider(&state.provider));
    [
        a | b << 20 | c << 40,
        d | e << 20 | f << 40,
        u64::from(record(state.store.as_ref())) | u64::from(record(state.copy.as_ref())) << 32,
        first | second << 32,
        third | u64::from(state.begun) << 32 | provider << 35,
        left | right << 32,
    ]
}

pub(crate) fn record(record: Option<&Record>) -> u32 {
    let Some(record) = record else { return 0 };
    let standing = match record.standing {
        Standing::Active => 1,
        Standing::Suspect => 2,
        Standing::Dead => 3,
    };
    standing
        | bits(record.generation) << 2
        | bits(record.token.0) << 5
        | token(record.spare) << 8
        | bits(record.committed_sequence) << 11
        | attempt(record.committed_attempt) << 14
        | bits(record.last_sequence) << 17
        | attempt(record.slot) << 20
        | bits(record.tries) << 23
}

pub(crate) fn ask(ask: Ask) -> u32 {
    match ask {
        Ask::Begin { attempt: number, minimum, takeover_of } => {
            bits(number.0) << 2 | bits(minimum) << 5 | attempt(takeover_of) << 8
        }
        Ask::Commit { attempt, base, sequence, token } => {
            1 | bits(attempt.0) << 2 | bits(base) << 5 | bits(sequence) << 8 | bits(token.0) << 11
        }
        Ask::Reassert { attempt, base, sequence, tries, token } => {
            let earlier = bits(sequence) << 8 | bits(tries) << 14;
            3 | bits(attempt.0) << 2 | bits(base) << 5 | earlier | bits(token.0) << 11
        }
        Ask::Fail { attempt, base, rejected } => {
            2 | bits(attempt.0) << 2 | bits(base) << 5 | u32::from(rejected) << 8
        }
    }
}

fn pack_attempt(attempt: &Attempt) -> u32 {
    let wire = match attempt.wire {
        Wire::NotSent => 0,
        Wire::Sent => 1,
        Wire::Answered => 2,
        Wire::Refused => 3,
        Wire::Stray => 4,
        Wire::Over => 5,
    };
    let journal = match attempt.journal {
        Journal::Nothing => 0,
        Journal::Intent => 1,
        Journal::Answer => 2,
        Journal::Done => 3,
    };
    wire | bits(attempt.base) << 3
        | bits(attempt.sequence) << 6
        | bits(attempt.presents.0) << 9
        | token(attempt.answer) << 12
        | journal << 15
        | bits(attempt.tries) << 17
}

/// 11 bits; the caller adds which exchanges are the node's.
fn pack_node(node: &Node) -> u32 {
    let phase = match node.phase {
        Phase::Down => 0,
        Phase::Idle => 1,
        Phase::Granted(_) => 2,
        Phase::Waiting(_) => 3,
        Phase::Answered(_) => 4,
        Phase::Written(_) => 5,
        Phase::Stored(_) => 6,
        Phase::Rejected(_) => 7,
        Phase::InDoubt(_) => 8,
    };
    phase
        | attempt(node.phase.attempt()) << 4
        | u32::from(node.quarantined) << 7
        | bits(node.seen) << 8
}

fn pack_provider(provider: &Provider) -> u32 {
    bits(provider.current.0)
        | token(provider.previous) << 3
        | token(provider.sibling) << 6
        | u32::from(provider.grace) << 9
        | u32::from(provider.revoked) << 10
        | bits(provider.next) << 11
        | bits(provider.calls) << 14
}

/// Two bits a count.
fn pack_faults(faults: &Faults) -> [u64; 2] {
    let four = |counts: [u8; 4]| {
        let [a, b, c, d] = counts.map(|count| {
            debug_assert!(count < 4, "{count} does not fit two bits");
            u64::from(count)
        });
        a | b << 2 | c << 4 | d << 6
    };
    [
        four([faults.crashes, faults.lost_requests, faults.lost_responses, faults.failovers]),
        four([faults.emptied, faults.timeouts, faults.takeovers, faults.closed_graces]),
    ]
}

fn bits(number: u8) -> u32 {
    debug_assert!(number < 8, "{number} does not fit three bits");
    number.into()
}

fn token(token: Option<Token>) -> u32 {
    token.map_or(NONE, |token| bits(token.0))
}

fn attempt(attempt: Option<AttemptNo>) -> u32 {
    attempt.map_or(NONE, |attempt| bits(attempt.0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use crate::faults::Faults;
    use crate::model::Model;
    use crate::provider::Class;
    use crate::setup::{Protocol, Setup, World};
    use crate::state::State;

    const MANY: usize = 4000;

    fn with_nodes_exchanged(state: &State) -> State {
        let mut other = *state;
        other.nodes.swap(0, 1);
        for attempt in other.attempts.iter_mut().take(state.begun.into()) {
            attempt.node = 1 - attempt.node;
        }
        other
    }

    #[test]
    fn only_states_with_nodes_exchanged_have_the_same_bits() {
        let faults = Faults { crashes: 1, failovers: 1, takeovers: 1, ..Faults::NONE };
        let mut model = Model::new(Setup {
            class: Class::GraceAll,
            nodes: 2,
            generations: 2,
            faults,
            world: World::SOUND,
            protocol: Protocol::SOUND,
        });
        let mut known = HashMap::new();
        let mut found = vec![State::logged_in()];
        while let Some(state) = found.pop().filter(|_| known.len() < MANY) {
            model.expand(&state);
            for edge in &model.edges {
                let other = with_nodes_exchanged(&edge.to);
                let bits = super::state(&edge.to);
                assert_eq!(bits, super::state(&other), "{:?}", edge.to);
                let both = [format!("{:?}", edge.to), format!("{other:?}")];
                let text = both.into_iter().min().expect("there are two");
                match known.get(&bits) {
                    Some(earlier) => assert_eq!(&text, earlier),
                    None => {
                        known.insert(bits, text);
                        found.push(edge.to);
                    }
                }
            }
        }
        assert!(known.len() >= MANY, "only {} states", known.len());
    }
}
