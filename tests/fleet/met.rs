//! What readers met, added up over nodes and over the runs of a node.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::fleet::class::Class;
use crate::fleet::node::Node;

/// By the letter of the class.
#[derive(Debug, Clone, Default)]
pub struct Met {
    classes: BTreeMap<String, Counts>,
}

/// What readers of one class met.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub ok: u64,
    /// Tokens that the provider had stopped accepting.
    pub expired: u64,
    /// Tokens older than one this process had seen.
    pub regressed: u64,
    pub slowest_ms: u64,
    /// How often each kind of error, and what the first one said.
    pub errors: BTreeMap<String, (u64, String)>,
}

impl Met {
    /// Adds what the node's readers met since they began to count, and has them begin anew.
    pub async fn add(&mut self, node: &Node) {
        self.ask(node, true).await;
    }

    /// Adds what the node's readers met since they began to count.
    pub async fn add_without_reset(&mut self, node: &Node) {
        self.ask(node, false).await;
    }

    async fn ask(&mut self, node: &Node, reset: bool) {
        let stats = node.ask(serde_json::json!({"op": "stats", "reset": reset})).await;
        let stats = stats.expect("a node tells its counts");
        for (prefix, told) in stats["readers"].as_object().expect("by prefix") {
            let letter = prefix.trim_end_matches('-').to_owned();
            self.classes.entry(letter).or_default().add(told);
        }
    }

    pub fn of(&self, class: Class) -> Counts {
        self.classes.get(class.letter()).cloned().unwrap_or_default()
    }
}

impl Counts {
    fn add(&mut self, told: &Value) {
        let number = |name: &str| told[name].as_u64().expect("a count");
        self.ok += number("ok");
        self.expired += number("expired");
        self.regressed += number("regressed");
        self.slowest_ms = self.slowest_ms.max(number("slowest_ms"));
        for (kind, met) in told["errors"].as_object().expect("by kind") {
            let example = met["example"].as_str().unwrap_or_default().to_owned();
            let entry = self.errors.entry(kind.clone()).or_insert((0, example));
            entry.0 += met["count"].as_u64().expect("a count");
        }
    }

    /// How many errors of these kinds there were.
    pub fn errors_of(&self, kind: &str) -> u64 {
        let these = self.errors.iter().filter(|(name, _)| name.starts_with(kind));
        these.map(|(_, (count, _))| count).sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} reads, slowest {} ms", self.ok, self.slowest_ms)?;
        self.errors.iter().try_for_each(|(kind, (count, _))| write!(f, ", {count} {kind}"))
    }
}
