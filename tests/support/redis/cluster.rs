//! A Redis cluster of masters without replicas.

use redis::Cmd;

use super::RedisServer;
use super::launch::Launch;
use super::until;
use super::way::Way;

const SLOTS: usize = 16_384;

const DEFAULTS: &[&str] = &[
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    "5000",
    "--cluster-require-full-coverage",
    "no",
];

/// A cluster of masters, each of which serves its part of the slots.
pub struct RedisCluster {
    shards: Vec<RedisServer>,
}

impl RedisCluster {
    /// When a shard is gone, the others go on serving their slots.
    pub async fn start(shards: usize) -> Self {
        Self::start_with(shards, &[]).await
    }

    /// As [`RedisCluster::start`], with other settings of every shard.
    pub async fn start_with(shards: usize, args: &[&str]) -> Self {
        let way = Way::choose([Way::Process, Way::Container]).await;
        let launch = Launch::peer(&[DEFAULTS, args].concat());
        let mut cluster = Self { shards: Vec::with_capacity(shards) };
        for _ in 0..shards {
            cluster.shards.push(RedisServer::launch(way, launch.clone()).await);
        }
        cluster.join().await;
        cluster
    }

    /// One URL for each shard.
    pub fn urls(&self) -> Vec<String> {
        self.shards.iter().map(|shard| shard.url().to_owned()).collect()
    }

    pub fn shard(&self, index: usize) -> &RedisServer {
        &self.shards[index]
    }

    /// To kill, restart or pause it.
    pub fn shard_mut(&mut self, index: usize) -> &mut RedisServer {
        &mut self.shards[index]
    }

    pub async fn kill_shard(&mut self, index: usize) {
        self.shards[index].kill().await;
    }

    /// Shares out the slots and introduces every shard to every other.
    async fn join(&self) {
        let count = self.shards.len();
        for (index, shard) in self.shards.iter().enumerate() {
            let slots: Vec<usize> = (index * SLOTS / count..(index + 1) * SLOTS / count).collect();
            shard.ask::<()>(cluster("ADDSLOTS").arg(slots)).await;
            // Equal epochs would be sorted out too, but later.
            shard.ask::<()>(cluster("SET-CONFIG-EPOCH").arg(index + 1)).await;
        }
        for (index, shard) in self.shards.iter().enumerate() {
            for other in &self.shards[..index] {
                shard.ask::<()>(cluster("MEET").arg("127.0.0.1").arg(other.port())).await;
            }
        }
        for shard in &self.shards {
            until("the cluster is whole", async || self.is_whole(shard).await.then_some(())).await;
        }
    }

    /// Whether `shard` thinks so.
    async fn is_whole(&self, shard: &RedisServer) -> bool {
        let info = super::fields(&shard.ask::<String>(&cluster("INFO")).await);
        let is = |field: &str, value: &str| info.get(field).is_some_and(|found| found == value);
        is("cluster_state", "ok")
            && is("cluster_slots_ok", &SLOTS.to_string())
            && is("cluster_known_nodes", &self.shards.len().to_string())
    }
}

fn cluster(subcommand: &str) -> Cmd {
    let mut command = redis::cmd("CLUSTER");
    command.arg(subcommand);
    command
}
