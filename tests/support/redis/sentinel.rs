//! A master, its replica, and a sentinel that promotes the replica when the master is gone.

use std::collections::HashMap;

use redis::Cmd;

use super::launch::Launch;
use super::way::Way;
use super::{RedisServer, until};

/// What the sentinel calls the master, whichever server that is.
const SERVICE: &str = "tokenhive";

/// A master and a replica under the eyes of one sentinel.
pub struct RedisSentinel {
    sentinel: RedisServer,
    servers: [RedisServer; 2],
    /// Who was the master when it was last looked at.
    master: u16,
}

impl RedisSentinel {
    /// Waits until the replica could be promoted.
    pub async fn start() -> Self {
        let way = Way::choose([Way::Process, Way::Container]).await;
        // By default a master waits five seconds for more replicas before it feeds the first one.
        let at_once = ["--repl-diskless-sync-delay", "0"];
        let first = RedisServer::launch(way, Launch::peer(&at_once)).await;
        let master = first.port();
        let port = master.to_string();
        let follow = ["--replicaof", "127.0.0.1", &port];
        let second = Launch::peer(&[&at_once[..], &follow].concat());
        let second = RedisServer::launch(way, second).await;
        // A sentinel asks a new master for its replicas, and then only every ten seconds.
        until("the replica follows", async || {
            (first.info("replication").await["connected_slaves"] == "1"
                && second.info("replication").await["master_link_status"] == "up")
                .then_some(())
        })
        .await;
        let sentinel = RedisServer::launch(way, Launch::sentinel(configuration(master))).await;
        let all = Self { sentinel, servers: [first, second], master };
        until("the replica is known", async || all.replica_is_known().await.then_some(())).await;
        all
    }

    /// Where clients ask for the master.
    pub fn sentinel_url(&self) -> &str {
        self.sentinel.url()
    }

    /// The name by which they ask for it.
    pub fn service_name(&self) -> &'static str {
        SERVICE
    }

    /// The master's port, as the sentinel says.
    pub async fn master_port(&self) -> u16 {
        let mut question = sentinel("GET-MASTER-ADDR-BY-NAME");
        let (_, port): (String, u16) = self.sentinel.ask(question.arg(SERVICE)).await;
        port
    }

    /// The server on `port`, to pause it, or to restart it after its kill.
    pub fn server_mut(&mut self, port: u16) -> &mut RedisServer {
        self.servers.iter_mut().find(|server| server.port() == port).expect("a port of ours")
    }

    /// Kills the master, and returns the port it had.
    pub async fn kill_master(&mut self) -> u16 {
        self.master = self.master_port().await;
        let port = self.master;
        self.server_mut(port).kill().await;
        port
    }

    /// Waits until the other server is the master and the sentinel says so. Returns its port.
    pub async fn until_promoted(&mut self) -> u16 {
        let old = self.master;
        let port = until("the replica is promoted", async || {
            let port = self.master_port().await;
            let server = self.servers.iter().find(|server| server.port() == port)?;
            let promoted = port != old && server.info("replication").await["role"] == "master";
            promoted.then_some(port)
        })
        .await;
        self.master = port;
        port
    }

    /// Whether the sentinel has heard from the replica that it follows its master.
    async fn replica_is_known(&self) -> bool {
        let mut question = sentinel("REPLICAS");
        let replicas: Vec<HashMap<String, String>> = self.sentinel.ask(question.arg(SERVICE)).await;
        replicas
            .iter()
            .any(|replica| replica["flags"] == "slave" && replica["master-link-status"] == "ok")
    }
}

fn sentinel(subcommand: &str) -> Cmd {
    let mut command = redis::cmd("SENTINEL");
    command.arg(subcommand);
    command
}

/// One voice is enough to call the master dead.
fn configuration(master: u16) -> String {
    format!(
        "sentinel monitor {SERVICE} 127.0.0.1 {master} 1\n\
         sentinel down-after-milliseconds {SERVICE} 500\n\
         sentinel failover-timeout {SERVICE} 2000\n"
    )
}
