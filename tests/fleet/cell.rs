//! One cell of the campaign: some classes under some faults, and what came of it.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use tokenhive::simulator::Totals;

use crate::fleet::class::Class;
use crate::fleet::diary::Diary;
use crate::fleet::met::{Counts, Met};
use crate::fleet::nemesis::{self, Fault, Nemesis, Plan};
use crate::fleet::verdict::{Run, Verdict};
use crate::fleet::{Fleet, IMPATIENT, PATIENCE, Setup, session};

/// How long a reader pauses after a read.
const PAUSE: Duration = Duration::from_millis(20);

/// Of access tokens. Several cycles fit into a minute.
const LIFETIME: Duration = Duration::from_secs(5);

/// Of the provider: long enough that whatever is killed or halted has exchanges in flight.
const LATENCY: Duration = Duration::from_millis(200);

/// What is tried.
#[derive(Debug, Clone)]
pub struct Cell {
    pub classes: Vec<Class>,
    pub faults: Vec<Fault>,
    pub nodes: usize,
    /// Of each class.
    pub sessions: usize,
    /// On each node, for each class.
    pub callers: usize,
    pub lasts: Duration,
    pub seed: u64,
}

/// What came of one class in it.
#[derive(Debug)]
pub struct Row {
    pub class: Class,
    pub sessions: usize,
    pub totals: Totals,
    pub lost: usize,
    pub verdict: Verdict,
    pub met: Counts,
}

impl Cell {
    /// Read from words such as `classes=R,S faults=kill,halt sessions=100 callers=20 seconds=60`; `all` stands
    /// for every class or fault, `none` for no fault.
    pub fn parse(words: &str, seed: u64) -> Self {
        let value = |name: &str| {
            let found = words.split_whitespace().find_map(|word| word.strip_prefix(name));
            found.unwrap_or_else(|| panic!("{name} is missing in {words:?}"))
        };
        let number = |name: &str| value(name).parse().expect("a number");
        Self {
            classes: match value("classes=") {
                "all" => Class::ALL.to_vec(),
                some => some.split(',').map(Class::from_letter).collect(),
            },
            faults: match value("faults=") {
                "all" => Fault::ALL.to_vec(),
                "none" => Vec::new(),
                some => some.split(',').map(Fault::from_name).collect(),
            },
            nodes: 4,
            sessions: number("sessions="),
            callers: number("callers="),
            lasts: Duration::from_secs(value("seconds=").parse().expect("a number")),
            seed,
        }
    }

    fn setup(&self) -> Setup {
        Setup {
            classes: self.classes.clone(),
            nodes: self.nodes,
            lifetime: LIFETIME,
            latency: LATENCY,
            seed: self.seed,
            ..Setup::of(Class::R).impatient().tell("store-deadline-ms", 500)
        }
    }

    fn plan(&self) -> Plan {
        Plan {
            faults: self.faults.clone(),
            lasts: self.lasts,
            pause: Duration::from_millis(1500),
            // Longer than the patience with a silent node, and than every other lease.
            halt: IMPATIENT.dead_after + Duration::from_secs(1),
        }
    }

    /// Runs it and judges every class.
    #[expect(clippy::print_stdout, reason = "what a run did is told to who reads its output")]
    pub async fn run(&self) -> Vec<Row> {
        let mut fleet = Fleet::start(self.setup()).await;
        fleet.fill(self.sessions).await;
        for node in &fleet.nodes {
            fleet.read_on(node, self.callers, PAUSE).await;
        }
        let plan = self.plan();
        nemesis::spoil_providers(&fleet, &plan);
        let again = async |fleet: &Fleet, node: usize| {
            fleet.read_on(&fleet.nodes[node], self.callers, PAUSE).await;
        };
        let (diary, mut met) = Nemesis::new(&mut fleet, &plan).run(again).await;
        let lost = settle(&fleet).await;
        for node in &fleet.nodes {
            met.add(node).await;
        }
        fleet.shut_down().await;
        println!("{}", diary.counts());
        diary.entries.iter().for_each(|entry| println!("    {entry}"));
        let judged = fleet.providers.iter().zip(lost);
        judged.map(|(provider, lost)| row(&fleet, provider.class, &diary, lost, &met)).collect()
    }
}

/// Refreshes every session once more, and tells which of each class cannot be.
async fn settle(fleet: &Fleet) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for provider in &fleet.providers {
        let sessions = (1..=provider.sessions).map(|number| async move {
            let node = &fleet.nodes[number % fleet.nodes.len()];
            let lives = lives(node, &session(provider.class, number)).await;
            (!lives).then(|| format!("user-{number}"))
        });
        all.push(join_all(sessions));
    }
    join_all(all).await.into_iter().map(|lost| lost.into_iter().flatten().collect()).collect()
}

async fn lives(node: &crate::fleet::node::Node, session: &str) -> bool {
    let settled = tokio::time::timeout(PATIENCE, async {
        loop {
            match node.refresh(session).await {
                Ok(_) => return true,
                Err(refusal) if refusal.kind.starts_with("needs_login") => return false,
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    });
    match settled.await {
        Ok(lives) => lives,
        Err(_) => panic!("{session} neither lives nor ends: {:?}", node.describe(session).await),
    }
}

fn row(fleet: &Fleet, class: Class, diary: &Diary, lost: Vec<String>, met: &Met) -> Row {
    let truth = fleet.truth(class);
    let patience = IMPATIENT.dead_after;
    let count = lost.len();
    let run = Run { class, truth: &truth, diary, latency: LATENCY, patience, lost };
    Row {
        class,
        sessions: fleet.provider(class).sessions,
        lost: count,
        verdict: run.judge(),
        met: met.of(class),
        totals: truth.totals.clone(),
    }
}

impl Row {
    /// Everything the promises say about any class under any fault.
    pub fn assert_promises(&self) {
        let Verdict { unexplained, unexcused, .. } = &self.verdict;
        assert!(unexplained.is_empty(), "{self}\n{}", unexplained.join("\n"));
        assert!(unexcused.is_empty(), "{self}\n{}", unexcused.join("\n"));
        assert!(self.class.may_lose() || self.lost == 0, "{self}");
        assert_eq!((self.met.expired, self.met.regressed), (0, 0), "{self}");
        assert_eq!(self.met.errors_of("misconfigured"), 0, "{self}: {:?}", self.met.errors);
        if self.lost == 0 {
            assert_eq!(self.met.errors_of("needs_login"), 0, "{self}: {:?}", self.met.errors);
        }
        let cycles = self.totals.redeemed_generations / self.sessions as u64;
        assert!(cycles >= 3, "only {cycles} cycles mean nothing: {self}");
    }
}

impl Row {
    /// A line of the table in `docs/PROTOCOL.md`.
    pub fn markdown(&self, faults: &str) -> String {
        let totals = &self.totals;
        let sessions = self.sessions as u64;
        format!(
            "| {} | {faults} | {sessions} | {} | {} | {:.3} | {} | {} | {} | {} |",
            self.class.letter(),
            totals.redeemed_generations / sessions,
            totals.presentations,
            totals.calls_per_refresh,
            totals.answers_lost,
            totals.reuse_detected,
            self.lost,
            self.verdict.explained.len(),
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.totals;
        write!(
            f,
            "class {}: {} sessions, {} generations, {} calls, {:.3} calls per generation, {} answers lost, \
             {} reuse detected, {} lost, {} of them explained; {}",
            self.class.letter(),
            self.sessions,
            totals.redeemed_generations,
            totals.presentations,
            totals.calls_per_refresh,
            totals.answers_lost,
            totals.reuse_detected,
            self.lost,
            self.verdict.explained.len(),
            self.met
        )?;
        self.verdict.explained.iter().try_for_each(|line| write!(f, "\n    lost {line}"))
    }
}
