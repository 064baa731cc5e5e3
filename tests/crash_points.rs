//! A node is killed at every point of an exchange, at a provider of every reuse class; what follows is what
//! the failure table says, read off the provider's log.

#![cfg(all(unix, debug_assertions, feature = "cli", feature = "redis"))]

#[path = "fleet/mod.rs"]
#[expect(dead_code, reason = "every test binary uses its own part")]
mod fleet;

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::time::Duration;

use fleet::class::Class;
use fleet::node::Node;
use fleet::{Fleet, Setup, a_few_at_once, eventually, restore, user_of};
use futures_util::future::join_all;
use tokenhive::simulator::{FaultAction, FaultRule};
use tokio::sync::Semaphore;

/// In order: the intent is written, the store gave leave, 50 ms and 150 ms after the request was handed to
/// the network, the answer is read, the journal has it, the journal is synced, the store has it, readers see
/// it.
const POINTS: [&str; 9] = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8"];

/// The provider commits 100 ms after the request, so that `t2` lies before and `t3` behind it, and answers
/// long after both.
const LATENCY: Duration = Duration::from_millis(200);
const ANSWERS_LATER: FaultAction = FaultAction::DelayAfterCommit { ms: 800 };

/// Cases under way at the same time; most of what they do is wait.
const AT_ONCE: usize = 12;

/// What comes after the kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// The node starts again with its journal.
    Restart,
    /// It never does, and its journal is gone: another node takes over.
    TakeOver,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    class: Class,
    point: &'static str,
    after: After,
}

/// What is to come of a case, or has.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// The session lives, and its first refresh token was presented so often.
    Lives { presented: usize },
    /// The session is lost.
    Ends { presented: usize },
}

/// What may come of a case: fates by the number of presentations.
struct Expected {
    lives: Option<usize>,
    ends: Option<RangeInclusive<usize>>,
}

impl Case {
    /// The failure table. A request that was sent is worked on by the provider although its sender is dead.
    fn expected(self) -> Expected {
        let lives = |presented| Expected { lives: Some(presented), ends: None };
        // The answer is lost with the node (promise P5); the others get another one (P4).
        let in_doubt = || match self.class {
            Class::N | Class::M | Class::I | Class::G => lives(2),
            // A refused repetition is tried once more before the session is given up for it.
            Class::S => Expected { lives: None, ends: Some(2..=3) },
            Class::R => Expected { lives: None, ends: Some(2..=2) },
        };
        match (self.point, self.after) {
            ("t0" | "t1" | "t7" | "t8", _) | ("t5" | "t6", After::Restart) => lives(1),
            ("t2" | "t3" | "t4", _) => in_doubt(),
            // The store may have been told at the same time as the journal that is gone.
            ("t5" | "t6", After::TakeOver) => match in_doubt() {
                Expected { lives: None, ends } => Expected { lives: Some(1), ends },
                _ => Expected { lives: None, ends: None },
            },
            (other, _) => panic!("{other} is no point"),
        }
    }

    fn is_as_expected(self, fate: &Fate) -> bool {
        let expected = self.expected();
        match fate {
            // In neither of the two: once if the store had it, twice if not.
            Fate::Lives { presented } if expected.lives.is_none() && expected.ends.is_none() => {
                (1..=2).contains(presented)
            }
            Fate::Lives { presented } => expected.lives == Some(*presented),
            Fate::Ends { presented } => expected.ends.is_some_and(|it| it.contains(presented)),
        }
    }

    /// The life of the first access token. Where a repetition ends the session, doubt lasts as long as the
    /// token does: a short life keeps the test short. Elsewhere nothing becomes due by itself.
    fn life(self) -> Duration {
        Duration::from_secs(if self.class.may_lose() { 8 } else { 3600 })
    }

    fn name(self) -> String {
        format!("{}-{}-{:?}", self.class.letter(), self.point, self.after)
    }

    async fn run(self, fleet: &Fleet) -> Fate {
        let (mut node, session) = self.begin(fleet).await;
        // The answer may still come where the store is told before the journal is.
        let _ = node.refresh(&session).await;
        node.until_killed().await;
        match self.after {
            After::Restart => node.restart().await,
            After::TakeOver => node = Node::start(fleet.recipe_in(&self.name(), "b")).await,
        }
        let fate = self.until_settled(fleet, &node, &session).await;
        node.shut_down().await;
        fate
    }

    /// A node that will be killed at its first exchange, and a session it has.
    async fn begin(self, fleet: &Fleet) -> (Node, String) {
        let name = self.name();
        let fault = format!("{}:kill", self.point);
        let recipe = fleet.recipe_in(&name, "a");
        let node = Node::start_with(recipe, &[("TOKENHIVE_FAULT", &fault)]).await;
        let minted = fleet.provider(self.class).simulator.mint(1, self.life()).remove(0);
        let number = minted.user.trim_start_matches("user-");
        let session = format!("{}-{number}", self.class.letter());
        assert_eq!(user_of(&session), minted.user);
        let request = restore(&session, self.class, &minted, self.life());
        node.insist(request).await;
        (node, session)
    }

    /// Refreshes the session until it has a second generation, or has ended.
    async fn until_settled(self, fleet: &Fleet, node: &Node, session: &str) -> Fate {
        let what = format!("{session} is settled after {} ({:?})", self.point, self.after);
        let settled = async || {
            let known = node.describe(session).await.ok()?;
            let presented = fleet.presented(self.class, session).len();
            if known["generation"] == 2 {
                return Some(Fate::Lives { presented });
            }
            if known["state"] == "needs_login" {
                return Some(Fate::Ends { presented });
            }
            // It may have to wait.
            let _ = node.refresh(session).await;
            None
        };
        let (fate, _) = eventually(&what, settled).await;
        if let Fate::Lives { presented } = fate {
            node.refresh(session).await.expect("a session that lives is refreshed again");
            let now = fleet.presented(self.class, session).len();
            assert_eq!(now, presented + 1, "{session}: one call for one refresh");
        }
        fate
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_at_any_point_the_state_is_what_the_failure_table_says() {
    let setup = Setup {
        classes: Class::ALL.to_vec(),
        lifetime: Duration::from_secs(3600),
        latency: LATENCY,
        ..Setup::of(Class::R).impatient().tell("store-deadline-ms", 3000)
    };
    let fleet = Fleet::without_nodes(setup).await;
    for provider in &fleet.providers {
        provider.simulator.set_faults(FaultRule::always(ANSWERS_LATER).into());
    }
    let permits = Semaphore::new(AT_ONCE);
    let running = all().into_iter().map(async |case| {
        let _permit = permits.acquire().await.expect("it is never closed");
        (case, case.run(&fleet).await)
    });
    let fates = join_all(running).await;

    println!("{}", table(&fates));
    let wrong: Vec<_> = fates.iter().filter(|(case, fate)| !case.is_as_expected(fate)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for provider in &fleet.providers {
        let totals = provider.simulator.totals();
        let allowed = provider.class.may_lose();
        assert!(allowed || totals.reuse_detected == 0, "{:?}: {totals:?}", provider.class);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_only_the_journal_has_is_brought_home_by_the_next_start() {
    let setup = Setup {
        classes: Class::ALL.to_vec(),
        lifetime: Duration::from_secs(3600),
        ..Setup::of(Class::R).impatient().tell("store-deadline-ms", 1000)
    };
    let fleet = Fleet::without_nodes(setup).await;
    let cases = Class::ALL
        .into_iter()
        .flat_map(|class| ["t5", "t6"].map(|point| Case { class, point, after: After::Restart }));
    let cases: Vec<_> = cases.collect();
    let mut begun = a_few_at_once(cases.iter().map(|case| case.begin(&fleet))).await;
    for (case, (node, session)) in cases.iter().zip(&begun) {
        let late = FaultAction::DelayAfterCommit { ms: 1000 };
        fleet.spoil_next(case.class, std::slice::from_ref(session), late);
        fleet.begin_exchange(case.class, session, node).await;
    }

    // The answers come, and nobody but the journals can be told.
    fleet.redis.pause().await;
    join_all(begun.iter_mut().map(|(node, _)| node.until_killed())).await;
    fleet.redis.resume().await;
    a_few_at_once(begun.iter_mut().map(|(node, _)| node.restart())).await;

    for (case, (node, session)) in cases.iter().zip(&begun) {
        let home = async || {
            let known = node.describe(session).await.ok()?;
            (known["generation"] == 2).then_some(())
        };
        eventually(&format!("the answer for {} is home", case.name()), home).await;
        assert_eq!(fleet.presented(case.class, session).len(), 1, "{}", case.name());
    }
}

fn all() -> Vec<Case> {
    let mut all = Vec::new();
    // Those that wait longest begin first.
    for class in Class::ALL.into_iter().rev() {
        for after in [After::Restart, After::TakeOver] {
            all.extend(POINTS.map(|point| Case { class, point, after }));
        }
    }
    all
}

/// Rows of points, columns of classes: how often the first refresh token was presented; `lost` where the
/// session ended.
fn table(fates: &[(Case, Fate)]) -> String {
    let mut text = String::from("| killed at | then |");
    Class::ALL.iter().for_each(|class| write!(text, " {} |", class.letter()).unwrap());
    text.push_str("\n|---|---|---|---|---|---|---|---|\n");
    for point in POINTS {
        for after in [After::Restart, After::TakeOver] {
            let then = match after {
                After::Restart => "restart",
                After::TakeOver => "gone for good",
            };
            write!(text, "| {point} | {then} |").unwrap();
            for class in Class::ALL {
                let is_it =
                    |case: &Case| (case.class, case.point, case.after) == (class, point, after);
                let (_, fate) = fates.iter().find(|(case, _)| is_it(case)).expect("every case");
                match fate {
                    Fate::Lives { presented } => write!(text, " {presented} |").unwrap(),
                    Fate::Ends { presented } => write!(text, " {presented}, lost |").unwrap(),
                }
            }
            text.push('\n');
        }
    }
    text
}
