//! What tests that need a Redis may take for granted: it starts, obeys, and leaves nothing behind.

#![cfg(unix)]

#[expect(dead_code, reason = "every test binary uses its own part")]
#[path = "support/redis.rs"]
mod redis_support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, AsyncTypedCommands as _, Client, FromRedisValue as _, RedisError, Value,
};
use redis_support::cluster::RedisCluster;
use redis_support::sentinel::RedisSentinel;
use redis_support::way::{FORCED, GIVEN};
use redis_support::{DURABLE, RedisServer};

/// What the child is to do, and that it is one.
const CHILD: &str = "REDIS_HARNESS_CHILD";

const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(url: &str) -> Result<MultiplexedConnection, RedisError> {
    let config =
        AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_millis(300)));
    Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}

#[tokio::test]
async fn a_server_answers_at_its_url() {
    let redis = RedisServer::start().await;

    let mut connection = connect(redis.url()).await.unwrap();

    assert_eq!(connection.ping().await.unwrap(), "PONG");
}

#[tokio::test]
async fn a_server_of_our_own_listens_on_loopback_alone() {
    let redis = RedisServer::own(&[]).await;

    // Sends nothing; only asks which address this machine has in other networks.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let elsewhere = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());

    assert!(reaches([127, 0, 0, 1].into(), redis.port()));
    if let Ok(address) = elsewhere {
        assert!(!reaches(address.ip(), redis.port()), "{address} leads to it too");
    }
}

fn reaches(address: IpAddr, port: u16) -> bool {
    TcpStream::connect_timeout(&(address, port).into(), PATIENCE).is_ok()
}

#[tokio::test]
async fn servers_started_at_once_are_strangers() {
    let (one, two, three) = tokio::join!(
        RedisServer::own(&[]),
        RedisServer::own(&[]),
        RedisServer::own(&["--appendonly", "no"]),
    );

    let mut connection = one.connection().await;
    connection.set("key", "value").await.unwrap();

    let ports = BTreeSet::from([one.port(), two.port(), three.port()]);
    assert_eq!(ports.len(), 3);
    assert!(!two.connection().await.exists("key").await.unwrap());
    assert!(!three.connection().await.exists("key").await.unwrap());
}

#[tokio::test]
async fn a_paused_server_is_silent_until_it_is_resumed() {
    let redis = RedisServer::own(&[]).await;
    let mut connection = connect(redis.url()).await.unwrap();
    connection.set("key", "before").await.unwrap();

    redis.pause().await;
    let silence = connection.get("key").await.unwrap_err();
    redis.resume().await;

    assert!(silence.is_timeout(), "{silence}");
    assert_eq!(connection.get("key").await.unwrap().as_deref(), Some("before"));
}

#[tokio::test]
async fn a_killed_server_refuses_and_comes_back_with_its_data() {
    let mut redis = RedisServer::own(DURABLE).await;
    redis.connection().await.set("key", "value").await.unwrap();
    let url = redis.url().to_owned();

    redis.kill().await;
    let refused = connect(&url).await.expect_err("nobody listens");
    redis.restart().await;

    assert!(refused.is_connection_refusal(), "{refused}");
    assert_eq!(redis.url(), url);
    let value = redis.connection().await.get("key").await.unwrap();
    assert_eq!(value.as_deref(), Some("value"));
}

#[tokio::test]
async fn a_restart_keeps_the_data_even_of_a_paused_server() {
    let mut redis = RedisServer::own(&[]).await;
    redis.connection().await.set("key", "value").await.unwrap();
    let url = redis.url().to_owned();

    redis.pause().await;
    redis.restart().await;

    assert_eq!(redis.url(), url);
    let value = redis.connection().await.get("key").await.unwrap();
    assert_eq!(value.as_deref(), Some("value"));
}

#[tokio::test]
async fn an_empty_restart_forgets_and_keeps_settings_and_port() {
    let mut redis = RedisServer::own(&["--maxmemory", "64mb"]).await;
    redis.connection().await.set("key", "value").await.unwrap();
    let url = redis.url().to_owned();

    redis.restart_empty().await;

    assert_eq!(redis.url(), url);
    assert!(!redis.connection().await.exists("key").await.unwrap());
    assert_eq!(redis.config_get("maxmemory").await, (64 << 20).to_string());
}

#[tokio::test]
async fn a_server_begins_durable_and_without_eviction() {
    let redis = RedisServer::own(&["--appendfsync", "always"]).await;

    assert_eq!(redis.config_get("appendonly").await, "yes");
    assert_eq!(redis.config_get("appendfsync").await, "always");
    assert_eq!(redis.config_get("maxmemory-policy").await, "noeviction");
    assert_eq!(redis.config_get("save").await, "");
}

#[tokio::test]
async fn a_server_tells_what_it_did_and_takes_new_settings() {
    let redis = RedisServer::own(&[]).await;
    let mut connection = redis.connection().await;
    let before = redis.used_memory().await;

    for number in 0..5 {
        connection.set(format!("key-{number}"), "x".repeat(100_000)).await.unwrap();
    }
    redis.config_set("maxmemory", "1").await;
    let full = connection.set("one-more", "x").await.unwrap_err();

    assert_eq!(full.code(), Some("OOM"), "{full}");
    assert_eq!(redis.commandstats().await["set"], 5);
    assert!(redis.used_memory().await > before + 500_000);
    redis.flush_all().await;
    assert_eq!(redis.info("keyspace").await.len(), 0);
}

#[tokio::test]
async fn a_cluster_serves_every_slot_and_lacks_those_of_a_dead_shard_until_it_is_back() {
    let quick = [DURABLE, &["--cluster-node-timeout", "1500"]].concat();
    let mut cluster = RedisCluster::start_with(3, &quick).await;
    let keys = (0..60).map(|number| format!("key-{number}"));

    let mut owners = BTreeMap::new();
    for url in cluster.urls() {
        let mut connection = connect(&url).await.unwrap();
        assert_eq!(slots(&mut connection).await, [(0, 5460), (5461, 10921), (10922, 16383)]);
        for key in keys.clone() {
            match connection.set(&key, "value").await {
                Ok(()) => assert_eq!(owners.insert(key, url.clone()), None),
                Err(moved) => assert!(moved.redirect_node().is_some(), "{moved}"),
            }
        }
    }
    cluster.kill_shard(1).await;
    for alive in [0, 2] {
        let shard = cluster.shard(alive);
        until("its death is noticed", async || {
            let mut question = redis::cmd("CLUSTER");
            let mut connection = shard.connection().await;
            let info: String = question.arg("INFO").query_async(&mut connection).await.unwrap();
            !info.contains("cluster_slots_fail:0\r")
        })
        .await;
    }

    assert_eq!(owners.len(), keys.count());
    let dead = cluster.shard(1).url().to_owned();
    for (key, owner) in owners.iter().filter(|(_, owner)| **owner != dead) {
        assert!(connect(owner).await.unwrap().exists(key).await.unwrap(), "{key}");
    }
    cluster.shard_mut(1).restart().await;
    let (key, _) = owners.iter().find(|(_, owner)| **owner == dead).unwrap();
    let mut connection = connect(&dead).await.unwrap();
    until("the shard serves again", async || connection.exists(key).await.is_ok_and(|it| it)).await;
}

/// The ranges of slots that have a server, in order.
async fn slots(connection: &mut MultiplexedConnection) -> Vec<(u16, u16)> {
    let ranges: Vec<Vec<Value>> =
        redis::cmd("CLUSTER").arg("SLOTS").query_async(connection).await.unwrap();
    let slot = |value: &Value| u16::from_redis_value_ref(value).unwrap();
    let mut ranges: Vec<_> = ranges.iter().map(|r| (slot(&r[0]), slot(&r[1]))).collect();
    ranges.sort_unstable();
    ranges
}

#[tokio::test]
async fn a_sentinel_promotes_the_replica_of_a_killed_master() {
    let mut redis = RedisSentinel::start().await;
    let first = redis.master_port().await;
    let mut connection = redis.server_mut(first).connection().await;
    connection.set("key", "value").await.unwrap();
    let copied: u32 =
        redis::cmd("WAIT").arg(1).arg(5000).query_async(&mut connection).await.unwrap();

    let killed = redis.kill_master().await;
    let second = redis.until_promoted().await;

    assert_eq!((copied, killed), (1, first));
    assert_ne!(second, first);
    let mut sentinel = connect(redis.sentinel_url()).await.unwrap();
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(redis.service_name());
    let told: (String, u16) = question.query_async(&mut sentinel).await.unwrap();
    assert_eq!(told, ("127.0.0.1".to_owned(), second));
    let mut connection = redis.server_mut(second).connection().await;
    assert_eq!(connection.get("key").await.unwrap().as_deref(), Some("value"));
}

/// Not a test of its own: what the tests below run in a process apart. Does nothing without its environment.
#[tokio::test]
async fn child() {
    let Ok(task) = std::env::var(CHILD) else {
        return;
    };
    if task == "share" {
        let redis = RedisServer::start().await;
        redis.connection().await.set("from", "child").await.unwrap();
        return redis.flush_all().await;
    }
    let running = RedisServer::own(&[]).await;
    let paused = RedisServer::own(&[]).await;
    let mut killed = RedisServer::own(&[]).await;
    let sentinel = RedisSentinel::start().await;
    paused.pause().await;
    killed.kill().await;
    for redis in [&running, &paused, &killed] {
        println!("left {} {}", redis.port(), redis.container().unwrap_or("-"));
    }
    println!("left {} -", sentinel.master_port().await);
    println!("end");
    match task.as_str() {
        "return" => {}
        "panic" => panic!("as it was told"),
        _ => std::future::pending().await,
    }
}

fn child_to(task: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(CHILD, task);
    command
}

#[tokio::test]
async fn nothing_is_left_by_a_test_that_ends() {
    let (mut child, left) = start_child("return");

    assert!(child.wait().unwrap().success());

    for one in &left {
        assert!(one.is_gone(), "{one:?}");
    }
}

#[tokio::test]
async fn nothing_is_left_by_a_test_that_panics() {
    let (mut child, left) = start_child("panic");

    assert!(!child.wait().unwrap().success());

    for one in &left {
        assert!(one.is_gone(), "{one:?}");
    }
}

#[tokio::test]
async fn nothing_is_left_by_a_test_that_is_killed() {
    let (mut child, left) = start_child("linger");

    child.kill().unwrap();
    child.wait().unwrap();

    for one in &left {
        until("it is gone", async || one.is_gone()).await;
    }
}

/// What a child said it has running.
#[derive(Debug)]
struct Left {
    port: u16,
    container: String,
}

impl Left {
    fn is_gone(&self) -> bool {
        let inspected = || {
            let mut docker = Command::new("docker");
            docker.args(["container", "inspect", &self.container]);
            docker.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
        };
        !reaches([127, 0, 0, 1].into(), self.port) && (self.container == "-" || !inspected())
    }
}

/// Starts a child and waits until all its servers run.
fn start_child(task: &str) -> (Child, Vec<Left>) {
    let mut child = child_to(task).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Borrowed, for a child that cannot write any more fails.
    let said = BufReader::new(child.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
    let left: Vec<_> = said
        .take_while(|line| line != "end")
        .filter_map(|line| {
            // The first line may follow the name of the test.
            let (_, words) = line.split_once("left ")?;
            let (port, container) = words.split_once(' ')?;
            Some(Left { port: port.parse().unwrap(), container: container.to_owned() })
        })
        .collect();
    assert_eq!(left.len(), 4, "{left:?}");
    (child, left)
}

#[tokio::test]
async fn a_server_of_the_environment_is_shared_and_never_changed() {
    let redis = RedisServer::own(&[]).await;

    let output = child_to("share").env(GIVEN, redis.url()).env_remove(FORCED).output().unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the one in the environment"), "{said}");
    assert!(said.contains("RedisServer::own"), "{said}");
    let value = redis.connection().await.get("from").await.unwrap();
    assert_eq!(value.as_deref(), Some("child"), "{said}");
}

#[tokio::test]
async fn without_any_redis_the_test_says_how_to_get_one() {
    let empty = tempfile::tempdir().unwrap();
    let nowhere = format!("unix://{}/docker.sock", empty.path().display());

    let output = child_to("return")
        .env("PATH", empty.path())
        .env("DOCKER_HOST", nowhere)
        .env_remove(FORCED)
        .env_remove(GIVEN)
        .output()
        .unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for way in ["apt-get install redis-server", "tests/redis-image.sh", GIVEN] {
        assert!(said.contains(way), "{way}: {said}");
    }
}

async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let seen = tokio::time::timeout(PATIENCE, async {
        while !look().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    seen.await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}
