//! A Redis for a test: one the environment names, one in a container, or a `redis-server` of our own.
//!
//! A test binary declares it with `#[path = "support/redis.rs"] mod redis_support;`. A server lives as long
//! as its value: dropping it, panicking or being killed leaves nothing running.

#[path = "redis/cluster.rs"]
pub mod cluster;
#[path = "redis/container.rs"]
mod container;
#[path = "redis/launch.rs"]
mod launch;
#[path = "redis/node.rs"]
mod node;
#[path = "redis/port.rs"]
mod port;
#[path = "redis/process.rs"]
mod process;
#[path = "redis/sentinel.rs"]
pub mod sentinel;
#[path = "redis/way.rs"]
pub mod way;

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue};

use self::launch::Launch;
use self::node::Node;
use self::way::{GIVEN, Way};

/// Settings of a server that loses nothing it acknowledged when it is killed. By default it writes behind
/// while the disk is busy.
pub const DURABLE: &[&str] = &["--appendfsync", "always"];

/// How long a server may take to do what it was told.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(10);

/// One Redis server. By default it appends to a file, evicts nothing, and takes no snapshots.
pub struct RedisServer {
    url: String,
    /// `None`: the environment named it, and it is not ours to stop.
    node: Option<Node>,
}

impl RedisServer {
    /// A Redis to read and write.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As [`RedisServer::start`], with settings as on the command line of `redis-server`. One that the
    /// environment names keeps its own.
    pub async fn start_with(args: &[&str]) -> Self {
        if let Some(url) = way::given() {
            connect(&url).await.unwrap_or_else(|error| panic!("no Redis at ${GIVEN}: {error}"));
            way::say("the one in the environment");
            return Self { url, node: None };
        }
        let way = Way::choose([Way::Container, Way::Process]).await;
        Self::launch(way, Launch::alone(args)).await
    }

    /// A Redis of this test alone, to pause, kill, restart and reconfigure.
    pub async fn own(args: &[&str]) -> Self {
        let way = Way::choose([Way::Process, Way::Container]).await;
        Self::launch(way, Launch::alone(args)).await
    }

    async fn launch(way: Way, launch: Launch) -> Self {
        let node = Node::start(way, launch).await;
        Self { url: node.url(), node: Some(node) }
    }

    /// Where clients connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port of 127.0.0.1 it listens on.
    pub fn port(&self) -> u16 {
        self.node().port()
    }

    /// The container's name, if it runs in one.
    pub fn container(&self) -> Option<&str> {
        self.node().container()
    }

    /// Halts it: connections stay open and nothing is answered.
    pub async fn pause(&self) {
        self.node().pause().await;
    }

    /// Lets it go on where it was paused.
    pub async fn resume(&self) {
        self.node().resume().await;
    }

    /// Kills it with SIGKILL. What it had written stays, for [`RedisServer::restart`]: all that was
    /// acknowledged if it was started [`DURABLE`], else perhaps not the last two seconds.
    pub async fn kill(&mut self) {
        self.node_mut().kill().await;
    }

    /// Starts it again on the same port with the same data. One that still runs is ended in order first.
    pub async fn restart(&mut self) {
        let node = self.node_mut();
        node.end().await;
        node.start_again().await;
    }

    /// As [`RedisServer::restart`], with all its data gone.
    pub async fn restart_empty(&mut self) {
        let node = self.node_mut();
        node.kill().await;
        node.start_afresh().await;
    }

    /// Changes a setting while it runs.
    pub async fn config_set(&self, name: &str, value: &str) {
        self.node();
        self.ask::<()>(redis::cmd("CONFIG").arg("SET").arg(name).arg(value)).await;
    }

    /// A setting as it is now.
    pub async fn config_get(&self, name: &str) -> String {
        let mut found: BTreeMap<String, String> =
            self.ask(redis::cmd("CONFIG").arg("GET").arg(name)).await;
        found.remove(name).unwrap_or_else(|| panic!("Redis knows no setting {name}"))
    }

    /// Deletes every key, also those of other databases.
    pub async fn flush_all(&self) {
        self.node();
        self.ask::<()>(&redis::cmd("FLUSHALL")).await;
    }

    /// One section of `INFO`, by field.
    pub async fn info(&self, section: &str) -> BTreeMap<String, String> {
        fields(&self.ask::<String>(redis::cmd("INFO").arg(section)).await)
    }

    /// How often each command was called since the start, by its name: `get`, `client|setinfo`. The
    /// commands of this harness count too.
    pub async fn commandstats(&self) -> BTreeMap<String, u64> {
        let stats = self.info("commandstats").await;
        let calls = |(name, value): (&String, &String)| {
            let name = name.strip_prefix("cmdstat_")?.to_owned();
            let calls = value.split(',').find_map(|field| field.strip_prefix("calls="))?;
            Some((name, calls.parse().ok()?))
        };
        stats.iter().filter_map(calls).collect()
    }

    /// Bytes its data and buffers take.
    pub async fn used_memory(&self) -> u64 {
        self.info("memory").await["used_memory"].parse().unwrap()
    }

    /// A new connection with patient deadlines.
    pub async fn connection(&self) -> MultiplexedConnection {
        connect(&self.url).await.unwrap()
    }

    /// Sends it one command.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        command.query_async(&mut self.connection().await).await.unwrap()
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect(NOT_OURS)
    }

    fn node_mut(&mut self) -> &mut Node {
        self.node.as_mut().expect(NOT_OURS)
    }
}

const NOT_OURS: &str = "a Redis the environment names is not ours to change; RedisServer::own is";

async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}

/// The `name:value` lines of an answer.
fn fields(text: &str) -> BTreeMap<String, String> {
    let field = |line: &str| {
        let (name, value) = line.trim_end().split_once(':')?;
        Some((name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(field).collect()
}

/// Looks again and again until `look` sees something.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    seen.await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}
