//! What a test did to its fleet, and when, so that what the provider saw can be explained by it.

use std::fmt;

/// Everything that was done, in order.
#[derive(Debug, Clone, Default)]
pub struct Diary {
    pub entries: Vec<Entry>,
}

/// One disturbance. Times are milliseconds on the wall clock.
#[derive(Debug, Clone)]
pub struct Entry {
    pub what: Disturbance,
    pub from_ms: i64,
    /// When it was over: a node started again, or allowed to go on.
    pub until_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disturbance {
    /// A node was killed.
    Killed(String),
    /// A node was halted.
    Halted(String),
    /// Redis was halted.
    RedisHalted,
    /// Redis was killed.
    RedisKilled,
}

impl Diary {
    pub fn note(&mut self, what: Disturbance, from_ms: i64, until_ms: i64) {
        self.entries.push(Entry { what, from_ms, until_ms });
    }

    /// When the node was killed within a span of time; of several times the one nearest to its middle.
    pub fn killed(&self, node: &str, from_ms: i64, until_ms: i64) -> Option<i64> {
        let killed = self.entries.iter().filter(|it| it.what == Disturbance::Killed(node.into()));
        let within = killed.map(|it| it.from_ms).filter(|at| (from_ms..=until_ms).contains(at));
        within.min_by_key(|at| at.abs_diff(from_ms.midpoint(until_ms)))
    }

    /// For how long the node was halted by something that overlaps a span of time.
    pub fn halted(&self, node: &str, from_ms: i64, until_ms: i64) -> Option<i64> {
        let halted = self.entries.iter().filter(|it| it.what == Disturbance::Halted(node.into()));
        let mut halted = halted.filter(|it| it.overlaps(from_ms, until_ms));
        halted.next().map(|it| it.until_ms - it.from_ms)
    }

    /// Since when the node was killed or halted, if that began within a span of time and was not over at its
    /// end.
    pub fn away_since(&self, node: &str, from_ms: i64, until_ms: i64) -> Option<i64> {
        let away = [Disturbance::Killed(node.into()), Disturbance::Halted(node.into())];
        let mut away = self.entries.iter().filter(|it| away.contains(&it.what));
        let span = from_ms..=until_ms;
        away.find(|it| span.contains(&it.from_ms) && it.until_ms >= until_ms).map(|it| it.from_ms)
    }

    /// When a halt of the node that overlaps a span of time was over.
    pub fn halt_ends(&self, node: &str, from_ms: i64, until_ms: i64) -> Option<i64> {
        let halted = self.entries.iter().filter(|it| it.what == Disturbance::Halted(node.into()));
        halted.filter(|it| it.overlaps(from_ms, until_ms)).map(|it| it.until_ms).max()
    }

    /// Whether Redis was out of reach at some time within a span.
    pub fn redis_was_out(&self, from_ms: i64, until_ms: i64) -> bool {
        let out =
            |it: &&Entry| matches!(it.what, Disturbance::RedisHalted | Disturbance::RedisKilled);
        self.entries.iter().filter(out).any(|it| it.overlaps(from_ms, until_ms))
    }

    /// How many disturbances of each kind there were.
    pub fn counts(&self) -> String {
        let count = |is: fn(&Disturbance) -> bool| {
            self.entries.iter().filter(|entry| is(&entry.what)).count()
        };
        format!(
            "{} kills, {} halts, {} Redis halts, {} Redis kills",
            count(|it| matches!(it, Disturbance::Killed(_))),
            count(|it| matches!(it, Disturbance::Halted(_))),
            count(|it| *it == Disturbance::RedisHalted),
            count(|it| *it == Disturbance::RedisKilled),
        )
    }
}

impl Entry {
    fn overlaps(&self, from_ms: i64, until_ms: i64) -> bool {
        self.from_ms <= until_ms && from_ms <= self.until_ms
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from_ms % 1_000_000, self.until_ms % 1_000_000);
        write!(f, "{:?} from {from} to {until}", self.what)
    }
}
