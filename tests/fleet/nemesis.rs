//! Disturbs a fleet at random: kills and halts nodes, halts and kills Redis, has providers lose requests and
//! answers. Writes down what it did.

use std::time::Duration;

use tokenhive::simulator::{FaultAction, FaultPlan, FaultRule, GrantFilter, When};

use crate::fleet::class::Class;
use crate::fleet::diary::{Diary, Disturbance};
use crate::fleet::dice::Dice;
use crate::fleet::met::Met;
use crate::fleet::{Fleet, now_ms};

/// How often it looks whether there is something to do.
const TICK: Duration = Duration::from_millis(50);

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nodes are killed, and started again with the same journal.
    Kill,
    /// Nodes are halted for longer than every lease.
    Halt,
    /// A request is lost on its way to the provider.
    LoseRequest,
    /// An answer is lost on its way back.
    LoseAnswer,
    /// The provider answers 502 after its commit.
    FailAfterCommit,
    /// Redis is halted.
    RedisHalt,
    /// Redis is killed, and started again with what it had written.
    RedisKill,
}

impl Fault {
    pub const ALL: [Self; 7] = [
        Self::Kill,
        Self::Halt,
        Self::LoseRequest,
        Self::LoseAnswer,
        Self::FailAfterCommit,
        Self::RedisHalt,
        Self::RedisKill,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Halt => "halt",
            Self::LoseRequest => "lose-request",
            Self::LoseAnswer => "lose-answer",
            Self::FailAfterCommit => "502-after-commit",
            Self::RedisHalt => "redis-halt",
            Self::RedisKill => "redis-kill",
        }
    }

    pub fn from_name(name: &str) -> Self {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == name);
        found.unwrap_or_else(|| panic!("{name:?} is no fault"))
    }

    /// What the provider does, where it is the provider that fails.
    fn action(self) -> Option<FaultAction> {
        match self {
            Self::LoseRequest => Some(FaultAction::DropBeforeCommit),
            Self::LoseAnswer => Some(FaultAction::DropAfterCommit),
            Self::FailAfterCommit => Some(FaultAction::StatusAfterCommit { status: 502 }),
            Self::Kill | Self::Halt | Self::RedisHalt | Self::RedisKill => None,
        }
    }
}

/// How much goes wrong.
#[derive(Debug, Clone)]
pub struct Plan {
    pub faults: Vec<Fault>,
    pub lasts: Duration,
    /// The pause between two disturbances of nodes or of Redis, on average.
    pub pause: Duration,
    /// How long a node is halted, at least.
    pub halt: Duration,
}

/// The share of requests that meet each fault of a provider. Where a lost answer ends the session it is
/// small: sessions that have ended meet nothing any more.
fn share(class: Class) -> f64 {
    if class.may_lose() { 0.01 } else { 0.05 }
}

/// Sets the providers to fail as planned.
pub fn spoil_providers(fleet: &Fleet, plan: &Plan) {
    for provider in &fleet.providers {
        let rule = |action| FaultRule {
            grant: GrantFilter::Refresh,
            when: When::Probability(share(provider.class)),
            ..FaultRule::always(action)
        };
        let rules = plan.faults.iter().filter_map(|fault| fault.action()).map(rule).collect();
        provider.simulator.set_faults(FaultPlan { rules });
    }
}

/// A disturbance that is not over yet.
struct Open {
    what: Disturbance,
    node: Option<usize>,
    from_ms: i64,
    until: tokio::time::Instant,
}

/// A nemesis at work.
pub struct Nemesis<'a> {
    fleet: &'a mut Fleet,
    plan: &'a Plan,
    dice: Dice,
    open: Vec<Open>,
    diary: Diary,
    met: Met,
}

impl<'a> Nemesis<'a> {
    pub fn new(fleet: &'a mut Fleet, plan: &'a Plan) -> Self {
        let dice = Dice(fleet.setup.seed);
        Self { fleet, plan, dice, open: Vec::new(), diary: Diary::default(), met: Met::default() }
    }

    /// Disturbs for as long as planned, then mends everything. `again` is done with every node that was
    /// started again.
    pub async fn run(mut self, again: impl AsyncFn(&Fleet, usize)) -> (Diary, Met) {
        let over = tokio::time::Instant::now() + self.plan.lasts;
        let mut next = tokio::time::Instant::now();
        while tokio::time::Instant::now() < over {
            self.mend(&again, false).await;
            if tokio::time::Instant::now() >= next {
                self.disturb().await;
                let pause = u64::try_from(self.plan.pause.as_millis()).expect("seconds");
                next += Duration::from_millis(self.dice.between(pause / 2, pause * 3 / 2));
            }
            tokio::time::sleep(TICK).await;
        }
        self.mend(&again, true).await;
        for provider in &self.fleet.providers {
            provider.simulator.set_faults(FaultPlan::none());
        }
        (self.diary, self.met)
    }

    /// Begins one more disturbance, unless half of the nodes are disturbed already.
    async fn disturb(&mut self) {
        let wanted: Vec<Fault> =
            self.plan.faults.iter().copied().filter(|fault| fault.action().is_none()).collect();
        if wanted.is_empty() {
            return;
        }
        let fault = self.dice.pick(&wanted);
        let node = self.dice.below(self.fleet.nodes.len());
        let longer = Duration::from_millis(self.dice.between(0, 2000));
        let begin = |what, node, lasts| Open {
            what,
            node,
            from_ms: now_ms(),
            until: tokio::time::Instant::now() + lasts,
        };
        let redis_is_disturbed = self.open.iter().any(|open| open.node.is_none());
        match fault {
            Fault::Kill | Fault::Halt if !self.may_disturb(node) => {}
            Fault::Kill => {
                self.met.add(&self.fleet.nodes[node]).await;
                let name = self.fleet.nodes[node].name().to_owned();
                let open = begin(Disturbance::Killed(name), Some(node), longer);
                self.fleet.nodes[node].kill().await;
                self.open.push(open);
            }
            Fault::Halt => {
                let name = self.fleet.nodes[node].name().to_owned();
                let lasts = self.plan.halt + longer;
                self.open.push(begin(Disturbance::Halted(name), Some(node), lasts));
                self.fleet.nodes[node].halt();
            }
            _ if redis_is_disturbed => {}
            Fault::RedisHalt => {
                self.open.push(begin(Disturbance::RedisHalted, None, longer));
                self.fleet.redis.pause().await;
            }
            Fault::RedisKill => {
                self.open.push(begin(Disturbance::RedisKilled, None, longer));
                self.fleet.redis.kill().await;
            }
            Fault::LoseRequest | Fault::LoseAnswer | Fault::FailAfterCommit => {}
        }
    }

    fn may_disturb(&self, node: usize) -> bool {
        let disturbed = self.open.iter().filter_map(|open| open.node);
        let count = disturbed.clone().count();
        count * 2 < self.fleet.nodes.len() && disturbed.clone().all(|other| other != node)
    }

    /// Ends disturbances whose time has come, or all of them: Redis first, for nodes need it to start.
    async fn mend(&mut self, again: &impl AsyncFn(&Fleet, usize), all: bool) {
        let now = tokio::time::Instant::now();
        let (mut over, mut open): (Vec<_>, Vec<_>) =
            self.open.drain(..).partition(|open| all || open.until <= now);
        over.sort_by_key(|open| open.node.is_some());
        for one in over {
            let redis_is_out = open.iter().any(|open: &Open| open.node.is_none());
            match (&one.what, one.node) {
                (Disturbance::Killed(_), Some(_)) if redis_is_out => {
                    open.push(one);
                    continue;
                }
                (Disturbance::Killed(_), Some(node)) => {
                    self.fleet.nodes[node].restart().await;
                    again(self.fleet, node).await;
                }
                (Disturbance::Halted(_), Some(node)) => self.fleet.nodes[node].resume(),
                (Disturbance::RedisHalted, _) => self.fleet.redis.resume().await,
                (Disturbance::RedisKilled, _) => self.fleet.redis.restart().await,
                (Disturbance::Killed(_) | Disturbance::Halted(_), None) => {
                    unreachable!("a node was disturbed")
                }
            }
            self.diary.note(one.what, one.from_ms, now_ms());
        }
        self.open = open;
    }
}
