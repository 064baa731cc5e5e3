//! The refresh protocol in every interleaving: nodes that crash and pause, a store that loses writes, a
//! provider of every reuse class. The store's rules are the library's own.
//!
//! One session, breadth first. `setup` says what a run is about, `table` what is expected of it, `model` and
//! `node` what may happen, `verdict` what must not. `cargo test --test model -- --nocapture` prints the table.

#[path = "model/checker.rs"]
mod checker;
#[path = "model/faults.rs"]
mod faults;
#[path = "model/matrix.rs"]
mod matrix;
#[path = "model/model.rs"]
mod model;
#[path = "model/mutants.rs"]
mod mutants;
#[path = "model/node.rs"]
mod node;
#[path = "model/pack.rs"]
mod pack;
#[path = "model/provider.rs"]
mod provider;
#[path = "model/record.rs"]
mod record;
#[path = "model/recovery.rs"]
mod recovery;
#[path = "model/rules.rs"]
mod rules;
#[path = "model/setup.rs"]
mod setup;
#[path = "model/state.rs"]
mod state;
#[path = "model/step.rs"]
mod step;
#[path = "model/table.rs"]
mod table;
#[path = "model/trace.rs"]
mod trace;
#[path = "model/verdict.rs"]
mod verdict;

use std::sync::LazyLock;

use matrix::{Matrix, Size};
use table::{BROKEN_ASSUMPTIONS, FAULTS, MUTANTS, READ_AND_FORGOTTEN, Row};

const USUAL: Size = Size { nodes: 2, generations: 2 };

static USUAL_RUNS: LazyLock<Matrix> = LazyLock::new(|| matrix::run(rows(), USUAL));

fn rows() -> impl Iterator<Item = Row> {
    [FAULTS, BROKEN_ASSUMPTIONS, MUTANTS].into_iter().flatten().copied()
}

fn assert_expected(matrix: &Matrix) {
    let complaints = matrix.complaints();
    assert!(complaints.is_empty(), "{} verdict(s)\n\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn two_nodes_end_as_expected() {
    println!("{}\n{}", USUAL_RUNS.markdown(), USUAL_RUNS.sizes());
    assert_expected(&USUAL_RUNS);
}

#[test]
fn a_third_generation_makes_broken_assumptions_no_worse() {
    let rows = BROKEN_ASSUMPTIONS.iter().copied();
    assert_expected(&matrix::run(rows, Size { generations: 3, ..USUAL }));
}

#[test]
#[ignore = "takes minutes without optimisation"]
fn three_nodes_end_as_expected() {
    let others = rows().filter(|row| row.name != READ_AND_FORGOTTEN.name);
    let not_stuck = Row {
        expected: "LOSS | LOSS, false death | LOSS | LOSS, stranded | LOSS, false death | safe | safe",
        ..READ_AND_FORGOTTEN
    };
    let matrix = matrix::run(others.chain([not_stuck]), Size { nodes: 3, ..USUAL });
    println!("{}", matrix.sizes());
    assert_expected(&matrix);
}

#[test]
#[ignore = "takes minutes without optimisation"]
fn a_third_generation_makes_faults_no_worse() {
    let matrix = matrix::run(FAULTS.iter().copied(), Size { generations: 3, ..USUAL });
    println!("{}", matrix.sizes());
    assert_expected(&matrix);
}

#[test]
fn the_runs_hear_every_reply_that_steers_the_protocol() {
    let heard = USUAL_RUNS.replies();

    let expected = [
        "Granted",
        "Busy",
        "Regressed",
        "Suspect",
        "Dead",
        "Installed",
        "Late",
        "Stale",
        "Retry",
        "Recovered",
        "Held",
        "Passed",
    ];
    let missing: Vec<_> = expected.into_iter().filter(|name| !heard.contains(name)).collect();
    assert!(missing.is_empty(), "never heard: {missing:?}");
}
