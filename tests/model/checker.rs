//! Breadth first over every interleaving: each state once, the shortest way to each finding kept.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::model::Model;
use crate::pack::{self, Packed};
use crate::setup::Setup;
use crate::state::State;
use crate::trace;
use crate::verdict::{self, Finding};

/// The largest run, of three nodes, has a million. Rules that let everything begin have no end.
const MOST_STATES: usize = 1_500_000;

/// What a search found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) states: usize,
    /// Each finding with the steps of a shortest way there, by their place among the steps of each state.
    pub(crate) findings: BTreeMap<Finding, Vec<u8>>,
    /// The names of all replies the ledger gave.
    pub(crate) replies: BTreeSet<String>,
}

/// How a state was reached first: the state before it, and which of its steps it took.
#[derive(Debug, Clone, Copy)]
struct Origin {
    before: u32,
    step: u8,
}

/// Looks at every state that can be reached. What follows a loss is of no interest.
pub(crate) fn search(setup: Setup) -> Report {
    let mut model = Model::new(setup);
    let start = State::logged_in();
    let mut seen: HashSet<Packed, BuildHasherDefault<Mixer>> = HashSet::default();
    let mut origins = vec![Origin { before: 0, step: 0 }];
    let mut frontier = VecDeque::from([start]);
    let mut findings = BTreeMap::new();
    seen.insert(pack::state(&start));
    let mut current = 0;
    while let Some(state) = frontier.pop_front() {
        let found = verdict::of_state(&setup, &state);
        for finding in found.into_iter().flatten() {
            findings.entry(finding).or_insert_with(|| way_to(&origins, current));
        }
        if found[0] != Some(Finding::Loss) {
            model.expand(&state);
            if let Some(finding) = verdict::of_end(&setup, &state, &model.edges) {
                findings.entry(finding).or_insert_with(|| way_to(&origins, current));
            }
            for (step, edge) in (0..).zip(&model.edges) {
                let origin = Origin { before: current, step };
                if let Some(finding) = verdict::of_step(&state, edge) {
                    findings.entry(finding).or_insert_with(|| {
                        let mut way = way_to(&origins, current);
                        way.push(step);
                        way
                    });
                }
                if seen.insert(pack::state(&edge.to)) {
                    origins.push(origin);
                    frontier.push_back(edge.to);
                }
            }
        }
        current += 1;
        assert!(seen.len() <= MOST_STATES, "no end in sight{}", so_far(setup, &findings));
    }
    Report { states: seen.len(), findings, replies: model.rules.replies }
}

fn so_far(setup: Setup, findings: &BTreeMap<Finding, Vec<u8>>) -> String {
    let told =
        findings.iter().map(|(finding, way)| format!("{finding}:\n{}", trace::tell(setup, way)));
    format!(", {setup:?}\n{}", told.collect::<Vec<_>>().join("\n"))
}

fn way_to(origins: &[Origin], mut state: u32) -> Vec<u8> {
    let mut way = Vec::new();
    while state > 0 {
        let origin = origins[usize::try_from(state).expect("states fit in memory")];
        way.push(origin.step);
        state = origin.before;
    }
    way.reverse();
    way
}

/// A quick hash of a few words: collisions cost time only, for the set compares the words.
#[derive(Debug, Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_usize(&mut self, _: usize) {}

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(8) {
            self.write_u64(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        }
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }
}
