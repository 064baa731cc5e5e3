//! A Redis cluster, with or without replicas.

use std::time::Duration;

use redis::Cmd;
use tokio::time::Instant;

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
    /// One of each shard, or none.
    replicas: Vec<RedisServer>,
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
        let mut cluster = Self { shards: Vec::with_capacity(shards), replicas: Vec::new() };
        for _ in 0..shards {
            cluster.shards.push(RedisServer::launch(way, launch.clone()).await);
        }
        cluster.join().await;
        cluster
    }

    /// As [`RedisCluster::start`], with a replica of each shard that takes over when its master is gone for
    /// two seconds.
    pub async fn start_with_replicas(shards: usize) -> Self {
        let args = ["--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0"];
        let mut cluster = Self::start_with(shards, &args).await;
        let way = Way::choose([Way::Process, Way::Container]).await;
        let launch = Launch::peer(&[DEFAULTS, &args].concat());
        for master in 0..shards {
            let replica = RedisServer::launch(way, launch.clone()).await;
            let id: String = cluster.shards[master].ask(&command("MYID")).await;
            let port = cluster.shards[master].port();
            replica.ask::<()>(command("MEET").arg("127.0.0.1").arg(port)).await;
            let mut follow = command("REPLICATE");
            follow.arg(&id);
            until("the replica follows", async || {
                // It has to hear of its master first.
                follow.exec_async(&mut replica.connection().await).await.ok()
            })
            .await;
            cluster.replicas.push(replica);
        }
        for (shard, replica) in cluster.shards.iter().zip(&cluster.replicas) {
            until("the replica is up to date", async || {
                (shard.info("replication").await["connected_slaves"] == "1"
                    && replica.info("replication").await["master_link_status"] == "up")
                    .then_some(())
            })
            .await;
        }
        for shard in &cluster.shards {
            let whole = async || cluster.is_whole(shard).await.then_some(());
            until("the cluster is whole", whole).await;
        }
        cluster
    }

    /// Waits until a shard's replica is its master.
    pub async fn until_promoted(&self, shard: usize) {
        until("the replica is promoted", async || {
            (self.replicas[shard].info("replication").await["role"] == "master").then_some(())
        })
        .await;
    }

    /// Kills a shard's replica, and waits until its master knows.
    pub async fn kill_replica(&mut self, shard: usize) {
        self.replicas[shard].kill().await;
        until("the replica is gone", async || {
            (self.shards[shard].info("replication").await["connected_slaves"] == "0").then_some(())
        })
        .await;
    }

    /// Kills the server that was a shard's replica at first, whatever it is now.
    pub async fn kill_second(&mut self, shard: usize) {
        self.replicas[shard].kill().await;
    }

    pub async fn pause_replica(&self, shard: usize) {
        self.replicas[shard].pause().await;
    }

    pub async fn resume_replica(&self, shard: usize) {
        self.replicas[shard].resume().await;
    }

    /// Has a shard's replica and its master change places, in good order.
    pub async fn swap_master(&self, shard: usize) {
        let (master, replica) = (&self.shards[shard], &self.replicas[shard]);
        let is_master = master.info("replication").await["role"] == "master";
        let follower = if is_master { replica } else { master };
        until("the follower is up to date", async || {
            (follower.info("replication").await["master_link_status"] == "up").then_some(())
        })
        .await;
        // Other masters vote once in a while only; the follower then gives up, and has to be told again.
        let mut told = None::<Instant>;
        until("they have changed places", async || {
            if told.is_none_or(|at| at.elapsed() > Duration::from_secs(6)) {
                let _ = command("FAILOVER").exec_async(&mut follower.connection().await).await;
                told = Some(Instant::now());
            }
            (follower.info("replication").await["role"] == "master").then_some(())
        })
        .await;
    }

    /// Moves every slot in which there is something from one shard to another, as an operator does who adds or
    /// removes a shard. Returns how many keys went.
    pub async fn move_all_slots(&self, from: usize, to: usize) -> usize {
        let count = self.shards.len();
        let (source, target) = (&self.shards[from], &self.shards[to]);
        let source_id: String = source.ask(&command("MYID")).await;
        let target_id: String = target.ask(&command("MYID")).await;
        let mut moved = 0;
        for slot in from * SLOTS / count..(from + 1) * SLOTS / count {
            let keys: Vec<String> = source.ask(command("GETKEYSINSLOT").arg(slot).arg(1_000)).await;
            if keys.is_empty() {
                continue;
            }
            target.ask::<()>(command("SETSLOT").arg(slot).arg("IMPORTING").arg(&source_id)).await;
            source.ask::<()>(command("SETSLOT").arg(slot).arg("MIGRATING").arg(&target_id)).await;
            for key in &keys {
                let mut migrate = redis::cmd("MIGRATE");
                migrate.arg("127.0.0.1").arg(target.port()).arg(key).arg(0).arg(5_000);
                source.ask::<redis::Value>(&migrate).await;
                moved += 1;
            }
            for shard in [target, source] {
                shard.ask::<()>(command("SETSLOT").arg(slot).arg("NODE").arg(&target_id)).await;
            }
        }
        moved
    }

    /// The shard that has the only key of that ending.
    pub async fn shard_of(&self, ending: &str) -> usize {
        for (index, shard) in self.shards.iter().enumerate() {
            let found: Vec<String> = shard.ask(redis::cmd("KEYS").arg(format!("*{ending}"))).await;
            if !found.is_empty() {
                return index;
            }
        }
        panic!("no shard has {ending}");
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
            shard.ask::<()>(command("ADDSLOTS").arg(slots)).await;
            // Equal epochs would be sorted out too, but later.
            shard.ask::<()>(command("SET-CONFIG-EPOCH").arg(index + 1)).await;
        }
        for (index, shard) in self.shards.iter().enumerate() {
            for other in &self.shards[..index] {
                shard.ask::<()>(command("MEET").arg("127.0.0.1").arg(other.port())).await;
            }
        }
        for shard in &self.shards {
            until("the cluster is whole", async || self.is_whole(shard).await.then_some(())).await;
        }
    }

    /// Whether `shard` thinks so.
    async fn is_whole(&self, shard: &RedisServer) -> bool {
        let info = super::fields(&shard.ask::<String>(&command("INFO")).await);
        let is = |field: &str, value: &str| info.get(field).is_some_and(|found| found == value);
        is("cluster_state", "ok")
            && is("cluster_slots_ok", &SLOTS.to_string())
            && is("cluster_known_nodes", &(self.shards.len() + self.replicas.len()).to_string())
    }
}

fn command(subcommand: &str) -> Cmd {
    let mut command = redis::cmd("CLUSTER");
    command.arg(subcommand);
    command
}
