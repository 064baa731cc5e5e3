//! Runs the rows of the table for every class, compares them with what is expected, and prints them.

use std::collections::BTreeSet;
use std::iter;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::checker::{Report, search};
use crate::provider::Class;
use crate::setup::Setup;
use crate::table::Row;
use crate::trace;
use crate::verdict::Finding;

/// How large the runs are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) nodes: u8,
    pub(crate) generations: u8,
}

/// What the runs found.
#[derive(Debug)]
pub(crate) struct Matrix {
    lines: Vec<Line>,
}

/// One row, with a cell for each class.
#[derive(Debug)]
struct Line {
    row: Row,
    cells: Vec<Cell>,
}

#[derive(Debug)]
struct Cell {
    setup: Setup,
    report: Report,
}

/// Searches everything.
pub(crate) fn run(rows: impl IntoIterator<Item = Row>, size: Size) -> Matrix {
    let rows: Vec<Row> = rows.into_iter().collect();
    let setup = |row: &Row, class| Setup {
        class,
        nodes: size.nodes,
        generations: size.generations,
        faults: row.faults,
        world: row.world,
        protocol: row.protocol,
    };
    let setups: Vec<Setup> =
        rows.iter().flat_map(|row| Class::ALL.map(|class| setup(row, class))).collect();
    let mut cells = iter::zip(setups.iter().copied(), search_all(&setups))
        .map(|(setup, report)| Cell { setup, report });
    let lines = rows.into_iter().map(|row| {
        let cells = cells.by_ref().take(Class::ALL.len()).collect();
        Line { row, cells }
    });
    Matrix { lines: lines.collect() }
}

/// Searches on all cores; the reports come in the order of the setups.
fn search_all(setups: &[Setup]) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let work = || -> Vec<(usize, Report)> {
        let take = || {
            let place = next.fetch_add(1, Ordering::Relaxed);
            setups.get(place).map(|setup| (place, search(*setup)))
        };
        iter::from_fn(take).collect()
    };
    let mut reports: Vec<_> = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    reports.sort_by_key(|(place, _)| *place);
    reports.into_iter().map(|(_, report)| report).collect()
}

impl Matrix {
    /// Every verdict that is not the expected one, with the shortest way to what was not expected.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let lines = self.lines.iter();
        lines
            .flat_map(|line| {
                iter::zip(&line.cells, line.expected())
                    .filter_map(|(cell, expected)| cell.complaint(line.row.name, expected))
            })
            .collect()
    }

    /// The names of all replies the ledger gave.
    pub(crate) fn replies(&self) -> BTreeSet<&str> {
        let cells = self.lines.iter().flat_map(|line| &line.cells);
        cells.flat_map(|cell| cell.report.replies.iter().map(String::as_str)).collect()
    }

    /// The table in Markdown. After a loss nothing else counts.
    pub(crate) fn markdown(&self) -> String {
        let classes = Class::ALL.map(Class::name).join(" | ");
        let mut text = format!("| Faults allowed (each up to the count given) | {classes} |\n");
        text.push_str(&"|---".repeat(Class::ALL.len() + 1));
        text.push_str("|\n");
        for line in &self.lines {
            let cells: Vec<String> = line.cells.iter().map(Cell::headline).collect();
            text.push_str(&format!("| {} | {} |\n", line.row.name, cells.join(" | ")));
        }
        text
    }

    /// How many states each row has, over all classes.
    pub(crate) fn sizes(&self) -> String {
        let states = |line: &Line| line.cells.iter().map(|cell| cell.report.states).sum::<usize>();
        let lines = self.lines.iter();
        let each =
            lines.clone().map(|line| format!("{:>9} states: {}\n", states(line), line.row.name));
        let total: usize = lines.map(states).sum();
        each.chain([format!("{total:>9} states in all\n")]).collect()
    }
}

impl Line {
    fn expected(&self) -> impl Iterator<Item = &str> {
        let expected: Vec<&str> = self.row.expected.split('|').map(str::trim).collect();
        assert_eq!(expected.len(), Class::ALL.len(), "a cell for each class: {}", self.row.name);
        expected.into_iter()
    }
}

impl Cell {
    fn verdict(&self) -> String {
        verdict(self.report.findings.keys())
    }

    fn headline(&self) -> String {
        let found = self.report.findings.keys();
        let loss = found.clone().position(|finding| *finding == Finding::Loss);
        verdict(found.take(loss.map_or(usize::MAX, |place| place + 1)))
    }

    fn complaint(&self, row: &str, expected: &str) -> Option<String> {
        let found = self.verdict();
        if found == expected {
            return None;
        }
        let class = self.setup.class.name();
        let nodes = self.setup.nodes;
        let mut text =
            format!("{row}; class {class}, {nodes} nodes: {found}, expected {expected}\n");
        let expected: Vec<&str> = expected.split(", ").collect();
        for (finding, way) in &self.report.findings {
            let name = finding.to_string();
            if !expected.contains(&name.as_str()) {
                text.push_str(&format!(
                    "the shortest way to {name}:\n{}",
                    trace::tell(self.setup, way)
                ));
            }
        }
        Some(text)
    }
}

fn verdict<'found>(findings: impl Iterator<Item = &'found Finding>) -> String {
    let names: Vec<String> = findings.map(Finding::to_string).collect();
    if names.is_empty() { "safe".to_owned() } else { names.join(", ") }
}
