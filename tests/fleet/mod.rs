//! A fleet under test: node processes, one Redis, and a provider of each reuse class that logs the truth.

pub mod cell;
pub mod class;
pub mod diary;
pub mod dice;
pub mod met;
pub mod nemesis;
pub mod node;
#[path = "../support/redis.rs"]
pub mod redis;
pub mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenhive::model::{Clock as _, SystemClock};
use tokenhive::simulator::{
    Event, EventKind, FaultAction, FaultPlan, FaultRule, GrantFilter, GroundTruth, Minted,
    Simulator, When,
};

use self::class::Class;
use self::node::{Node, Recipe};
use self::redis::RedisServer;

/// How long to look for something before it counts as never.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Set to `full`, runs are of the size the promises speak of; otherwise of one that suits every machine.
const CAMPAIGN: &str = "TOKENHIVE_CAMPAIGN";

/// Requests of the test in flight at the same time.
const AT_ONCE: usize = 16;

/// What a fleet is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    pub classes: Vec<Class>,
    pub nodes: usize,
    /// Of access tokens.
    pub lifetime: Duration,
    /// Of each provider, half of it before its commit.
    pub latency: Duration,
    pub seed: u64,
    pub journal: bool,
    /// More of what nodes are told on their command line.
    pub told: BTreeMap<&'static str, String>,
}

impl Setup {
    /// Two nodes at a provider of one class, with tokens of an hour.
    pub fn of(class: Class) -> Self {
        Self {
            classes: vec![class],
            nodes: 2,
            lifetime: Duration::from_secs(3600),
            latency: Duration::ZERO,
            seed: 1,
            journal: true,
            // A busy machine is slow.
            told: BTreeMap::from([("store-deadline-ms", "2000".to_owned())]),
        }
    }

    /// Also tells nodes `option`, as on their command line.
    pub fn tell(mut self, option: &'static str, value: impl ToString) -> Self {
        self.told.insert(option, value.to_string());
        self
    }

    /// Leases and waits of seconds instead of minutes, so that a test can outlast them.
    pub fn impatient(self) -> Self {
        self.tell("poll-ms", 200)
            .tell("dead-after-ms", IMPATIENT.dead_after.as_millis())
            .tell("settle-ms", 500)
            .tell("node-lease-ms", 1500)
            .tell("provider-timeout-ms", IMPATIENT.provider_timeout.as_millis())
            .tell("backoff-ms", "50,400")
    }
}

/// What [`Setup::impatient`] sets.
pub struct Impatient {
    pub dead_after: Duration,
    pub provider_timeout: Duration,
}

/// Half of `dead_after`, the least patience of any class, is more than the 2 s after which nothing is sent.
pub const IMPATIENT: Impatient = Impatient {
    dead_after: Duration::from_millis(4500),
    provider_timeout: Duration::from_millis(1500),
};

/// A provider of one class and its sessions.
pub struct Provider {
    pub class: Class,
    pub simulator: Simulator,
    /// How many sessions were made there.
    pub sessions: usize,
}

/// Everything under test. Dropping it kills the nodes and the server.
pub struct Fleet {
    pub setup: Setup,
    pub providers: Vec<Provider>,
    pub nodes: Vec<Node>,
    pub redis: RedisServer,
    folder: TempDir,
}

impl Fleet {
    pub async fn start(setup: Setup) -> Self {
        let mut fleet = Self::without_nodes(setup).await;
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let starting =
            names[..fleet.setup.nodes].iter().map(|name| Node::start(fleet.recipe(name)));
        let started: Vec<_> = starting.map(tokio::spawn).collect();
        for node in started {
            fleet.nodes.push(node.await.unwrap());
        }
        fleet
    }

    pub async fn without_nodes(setup: Setup) -> Self {
        let mut providers = Vec::new();
        for class in &setup.classes {
            let options = class.provider(setup.lifetime, setup.latency, setup.seed);
            let simulator = Simulator::start(options).await.unwrap();
            providers.push(Provider { class: *class, simulator, sessions: 0 });
        }
        let redis = RedisServer::own(&["--appendonly", "yes"]).await;
        let folder = tempfile::Builder::new().prefix("tokenhive-fleet-").tempdir().unwrap();
        Self { setup, providers, nodes: Vec::new(), redis, folder }
    }

    /// How the node of that name is started.
    pub fn recipe(&self, name: &str) -> Recipe {
        self.recipe_in("fleet", name)
    }

    /// As [`Fleet::recipe`], for one of several fleets on the same Redis that know nothing of each other.
    pub fn recipe_in(&self, fleet: &str, name: &str) -> Recipe {
        let path = |file: String| self.folder.path().join(file);
        let journal = match self.setup.journal {
            true => path(format!("{fleet}-{name}.journal")).display().to_string(),
            false => "off".to_owned(),
        };
        let mut arguments: Vec<String> = Vec::new();
        let mut tell =
            |option: &str, value: String| arguments.extend([format!("--{option}"), value]);
        tell("name", name.to_owned());
        tell("redis", self.redis.url().to_owned());
        tell("prefix", format!("{fleet}:"));
        tell("journal", journal);
        for Provider { class, simulator, .. } in &self.providers {
            tell("provider", format!("{}={}@{}", class.id(), class.told(), simulator.base_url()));
        }
        for (option, value) in &self.setup.told {
            tell(option, value.clone());
        }
        Recipe { name: name.to_owned(), arguments, log: path(format!("{fleet}-{name}.log")) }
    }

    pub fn provider(&self, class: Class) -> &Provider {
        let found = self.providers.iter().find(|provider| provider.class == class);
        found.unwrap_or_else(|| panic!("no provider of class {class:?}"))
    }

    /// The only provider's simulator.
    pub fn simulator(&self) -> &Simulator {
        assert_eq!(self.providers.len(), 1);
        &self.providers[0].simulator
    }

    /// Makes `count` more sessions of each class by restoring saved tokens, each on a node in turn.
    pub async fn fill(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let some = AT_ONCE.min(left);
            left -= some;
            let mut requests = Vec::new();
            for provider in &mut self.providers {
                let minted = provider.simulator.mint(some, self.setup.lifetime);
                for minted in &minted {
                    provider.sessions += 1;
                    let session = session(provider.class, provider.sessions);
                    requests.push(restore(&session, provider.class, minted, self.setup.lifetime));
                }
            }
            let nodes = self.nodes.iter().cycle();
            let restoring =
                requests.into_iter().zip(nodes).map(|(request, node)| node.insist(request));
            join_all(restoring).await;
        }
    }

    /// Makes one session of the class on a node; returns its name.
    pub async fn restore_one(&mut self, class: Class, node: usize, left: Duration) -> String {
        let provider = self.providers.iter_mut().find(|provider| provider.class == class);
        let provider = provider.expect("a provider of the class");
        let minted = provider.simulator.mint(1, left).remove(0);
        provider.sessions += 1;
        let name = session(class, provider.sessions);
        let request = restore(&name, class, &minted, left);
        self.nodes[node].insist(request).await;
        name
    }

    /// Every session of the class.
    pub fn sessions(&self, class: Class) -> Vec<String> {
        (1..=self.provider(class).sessions).map(|number| session(class, number)).collect()
    }

    /// Sets what the provider does with the next refresh of one session.
    pub fn spoil_next(&self, class: Class, sessions: &[String], action: FaultAction) {
        let rules = sessions.iter().map(|session| FaultRule {
            grant: GrantFilter::Refresh,
            user: Some(user_of(session)),
            when: When::Next(1),
            ..FaultRule::always(action.clone())
        });
        self.provider(class).simulator.set_faults(FaultPlan { rules: rules.collect() });
    }

    /// The presentations of the session's refresh tokens so far.
    pub fn presented(&self, class: Class, session: &str) -> Vec<Event> {
        let user = user_of(session);
        let is_its = |event: &Event| {
            event.kind == EventKind::RefreshPresented && event.user.as_deref() == Some(&user)
        };
        self.truth(class).events.into_iter().filter(is_its).collect()
    }

    /// Until the provider has seen refresh tokens of the session so often.
    pub async fn until_presented(&self, class: Class, session: &str, times: usize) {
        let presented = async || (self.presented(class, session).len() >= times).then_some(());
        eventually(&format!("the provider has seen {session}"), presented).await;
    }

    /// Has the node begin to refresh the session, and returns when the provider has seen it.
    pub async fn begin_exchange(&self, class: Class, session: &str, node: &Node) {
        let seen = async || {
            node.begin_to_refresh(session).await;
            (!self.presented(class, session).is_empty()).then_some(())
        };
        eventually(&format!("the provider has seen {session}"), seen).await;
    }

    /// Stops all nodes in good order.
    pub async fn shut_down(&mut self) {
        join_all(self.nodes.iter_mut().map(Node::shut_down)).await;
    }

    /// What the class's provider did.
    pub fn truth(&self, class: Class) -> GroundTruth {
        self.provider(class).simulator.ledger()
    }

    /// Starts callers on a node that read every session of every class.
    pub async fn read_on(&self, node: &Node, callers: usize, pause: Duration) {
        for provider in &self.providers {
            let request = json!({
                "op": "readers", "prefix": format!("{}-", provider.class.letter()), "first": 1,
                "count": provider.sessions, "callers": callers, "pause_ms": pause.as_millis(),
                "seed": self.setup.seed,
            });
            node.ask(request).await.expect("readers start");
        }
    }
}

impl Drop for Fleet {
    /// Tells what the nodes said, where a test fails.
    #[expect(clippy::print_stdout, reason = "what a run did is told to who reads its output")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in &self.nodes {
                println!("--- the last of node {}'s log\n{}", node.name(), node.tail());
            }
        }
    }
}

/// A size for every day, and one for the long form.
pub fn scaled<T>(every_day: T, full: T) -> T {
    let is_full = std::env::var(CAMPAIGN).is_ok_and(|value| value == "full");
    if is_full { full } else { every_day }
}

/// The session's name; the provider numbers its users alike.
pub fn session(class: Class, number: usize) -> String {
    format!("{}-{number}", class.letter())
}

/// Whose session it is at its provider.
pub fn user_of(session: &str) -> String {
    let (_, number) = session.split_once('-').expect("a session has a number");
    format!("user-{number}")
}

/// A request to make a session of what a former application had saved.
pub fn restore(session: &str, class: Class, minted: &Minted, left: Duration) -> Value {
    let expires_at = SystemClock.now().rounded_seconds() + i64::try_from(left.as_secs()).unwrap();
    let saved = json!({
        "access_token": minted.access_token.expose(),
        "token_type": "Bearer",
        "expires_in": left.as_secs(),
        "expires_at": expires_at,
        "refresh_token": minted.refresh_token.expose(),
    });
    json!({
        "op": "restore", "session": session, "provider": class.id(), "saved": saved.to_string(),
    })
}

/// Milliseconds on the wall clock, as the provider's log has them.
pub fn now_ms() -> i64 {
    SystemClock.now().as_millis()
}

/// Awaits all of them, a few at a time: starting nodes is what keeps a machine busy.
pub async fn a_few_at_once<T>(all: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    stream::iter(all).buffered(2).collect().await
}

/// Looks again and again until `look` sees something; tells how long that took.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> (T, Duration) {
    let began = SystemClock.boot();
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let seen = seen.await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
    (seen, SystemClock.boot().since(began))
}
