//! The Redis store when the server is not what it should be: refused, silent, full, gone, replaced.

#![cfg(all(unix, feature = "redis", feature = "test-support"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
#[path = "support/redis.rs"]
mod redis_support;
#[path = "support/requests.rs"]
mod requests;

use std::time::Duration;

use redis_support::sentinel::RedisSentinel;
use redis_support::{DURABLE, RedisServer};
use requests::{begin, login};
use tokenhive::SessionKey;
use tokenhive::ledger::{AttemptId, Begin, BeginReply};
use tokenhive::store::{News, Outage, RedisOptions, RedisStore, SessionStore, StoreError};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_millis(300);
const SETTLE: Duration = Duration::from_millis(800);

fn options(url: &str) -> RedisOptions {
    RedisOptions::new(url)
        .deadline(DEADLINE)
        .settle_for(SETTLE)
        .node_lease(Duration::from_secs(3))
        .confirm_within(Duration::from_millis(200))
}

async fn connect(url: &str) -> RedisStore {
    RedisStore::connect_with(options(url)).await.expect("the server is usable")
}

fn key() -> SessionKey {
    SessionKey::new("acme", "ann").unwrap()
}

fn outage<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Outage {
    match answer {
        Err(StoreError::Unavailable { outage, .. }) => outage,
        other => panic!("{other:?}"),
    }
}

/// Asks until the answer is a good one.
async fn until_answered<T>(mut ask: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("answered in time")
}

#[tokio::test]
async fn a_server_that_would_lose_sessions_is_refused_unless_it_is_meant_to() {
    let forgetful = RedisServer::own(&["--appendonly", "no"]).await;
    let dropping = RedisServer::own(&["--maxmemory-policy", "allkeys-lru"]).await;
    for (server, remedy) in
        [(&forgetful, "appendonly yes"), (&dropping, "maxmemory-policy noeviction")]
    {
        let refused = RedisStore::connect(server.url()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused:?}");
        assert!(refused.to_string().contains(remedy), "{refused}");
    }

    let meant = options(forgetful.url()).allow_data_loss();
    let store = RedisStore::connect_with(meant).await.unwrap();
    let notes = store.standing().notes;
    assert!(notes.iter().any(|note| note.contains("appendonly")), "{notes:?}");
    assert!(RedisStore::connect_with(options(dropping.url()).allow_eviction()).await.is_ok());
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_or_do_too_little_is_refused_with_what_to_set() {
    let redis = RedisServer::own(&[]).await;
    let mut connection = redis.connection().await;
    let mut set_user = async |rules: &[&str]| {
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg("hive").arg("reset").arg("on").arg(">sesame").arg(rules);
        command.query_async::<()>(&mut connection).await.unwrap();
    };
    let url =
        |password: &str| redis.url().replace("redis://", &format!("redis://hive:{password}@"));
    let too_little: [&[&str]; 3] =
        [&["~th:*", "+@all"], &["~other:*", "&*", "+@all"], &["~*", "&*", "+@all", "-info"]];
    for rules in too_little {
        set_user(rules).await;
        let refused = RedisStore::connect(url("sesame")).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. }), "{rules:?}: {refused:?}");
        assert!(refused.to_string().contains("~th:* &th:* +@all -@admin"), "{rules:?}: {refused}");
    }

    set_user(&["~th:*", "&th:*", "+@all", "-@admin"]).await;
    let refused = RedisStore::connect(url("wrong")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }), "{refused:?}");
    assert!(!format!("{refused} {refused:?}").contains("wrong"), "{refused}");
    let store = RedisStore::connect(url("sesame")).await.expect("what was said is enough");
    store.put(&key(), login(1)).await.unwrap();
    assert!(store.read(&key()).await.unwrap().reply.record.is_some());
}

#[tokio::test]
async fn a_full_server_is_still_read_also_by_a_node_that_is_new() {
    let redis = RedisServer::own(&[]).await;
    connect(redis.url()).await.put(&key(), login(1)).await.unwrap();
    redis.config_set("maxmemory", "1").await;

    let store = connect(redis.url()).await;

    assert!(store.read(&key()).await.unwrap().reply.record.is_some());
    assert_eq!(outage(store.delete(&key()).await), Outage::Full);
}

#[tokio::test]
async fn one_server_without_replica_works_and_says_so_once() {
    let redis = RedisServer::own(&[]).await;
    let store = connect(redis.url()).await;

    let standing = store.standing();

    assert_eq!(standing.outage, None);
    let [note] = &standing.notes[..] else { panic!("{standing:?}") };
    assert!(note.contains("no replica"), "{note}");
    store.put(&key(), login(1)).await.unwrap();
    let begun = store.begin(&key(), Begin { confirmed: true, ..begin(1) }).await.unwrap();
    assert!(matches!(begun.reply, BeginReply::Granted(_)), "{begun:?}");
}

#[tokio::test]
async fn a_server_whose_settings_became_worse_is_used_with_a_warning_by_who_was_connected() {
    let redis = RedisServer::own(&[]).await;
    let store = connect(redis.url()).await;
    store.put(&key(), login(1)).await.unwrap();

    for (name, value) in [("appendonly", "no"), ("maxmemory-policy", "allkeys-lru")] {
        redis.config_set(name, value).await;
    }
    for kind in ["normal", "pubsub"] {
        redis.ask::<i64>(redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind)).await;
    }

    until_answered(async || store.load(&key()).await).await;
    let notes = store.standing().notes.join("; ");
    assert!(notes.contains("appendonly yes") && notes.contains("noeviction"), "{notes}");
    let newcomer = RedisStore::connect(redis.url()).await;
    assert!(matches!(newcomer, Err(StoreError::Refused { .. })), "{newcomer:?}");
}

#[tokio::test]
async fn where_nothing_listens_connecting_fails_at_once_without_naming_the_password() {
    let refused = RedisStore::connect("redis://:hunter2@127.0.0.1:1").await.unwrap_err();

    assert_eq!(outage::<()>(Err(refused.clone())), Outage::Disconnected);
    assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused}");
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_safe_to_repeat() {
    let redis = RedisServer::own(&[]).await;
    let store = connect(redis.url()).await;
    store.put(&key(), login(1)).await.unwrap();
    redis.pause().await;

    let asked = Instant::now();
    let lost = store.begin(&key(), begin(1)).await;
    let waited = asked.elapsed();
    redis.resume().await;

    assert_eq!(outage(lost), Outage::NoAnswer);
    assert!(waited < DEADLINE * 3, "{waited:?}");
    let again = until_answered(async || store.begin(&key(), begin(1)).await).await;
    let BeginReply::Granted(grant) = again.reply else { panic!("{again:?}") };
    assert_eq!((grant.tries, grant.sequence), (1, 1), "it had its effect once");
    assert!(matches!(
        store.begin(&key(), begin(2)).await.unwrap().reply,
        BeginReply::Busy { attempt: AttemptId(1), .. }
    ));
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_at_once_and_found_again_when_it_is_back() {
    let mut redis = RedisServer::own(DURABLE).await;
    let store = connect(redis.url()).await;
    store.put(&key(), login(1)).await.unwrap();
    let mut news = store.news().unwrap();

    redis.kill().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let asked = Instant::now();
    let gone = store.load(&key()).await;
    assert_eq!(outage(gone), Outage::Disconnected);
    assert!(asked.elapsed() < Duration::from_millis(50), "nobody waits for a connection");
    assert!(store.standing().outage.is_some());
    redis.restart().await;

    let loaded = until_answered(async || store.load(&key()).await).await;
    assert_eq!(loaded.reply.record.map(|record| record.generation), Some(1));
    let mut heard = Vec::new();
    while let Ok(one) = news.try_recv() {
        heard.push(one);
    }
    assert!(heard.contains(&News::Missed) && heard.contains(&News::RolledBack), "{heard:?}");
    assert_eq!(outage(store.begin(&key(), begin(1)).await), Outage::Settling);
    let begun = until_answered(async || store.begin(&key(), begin(1)).await).await;
    assert!(matches!(begun.reply, BeginReply::Granted(_)), "{begun:?}");
}

#[tokio::test]
async fn a_node_that_comes_while_the_server_settles_waits_as_well() {
    let mut redis = RedisServer::own(DURABLE).await;
    let first = connect(redis.url()).await;
    first.put(&key(), login(1)).await.unwrap();
    redis.restart().await;

    let asked = Instant::now();
    let second = RedisStore::connect_with(options(redis.url()).settle_for(Duration::from_secs(2)));
    let second = second.await.unwrap();
    let begun = until_answered(async || second.begin(&key(), begin(1)).await).await;

    assert!(matches!(begun.reply, BeginReply::Granted(_)), "{begun:?}");
    assert!(asked.elapsed() > Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_full_server_and_a_replica_are_told_apart() {
    let redis = RedisServer::own(&[]).await;
    let store = connect(redis.url()).await;
    store.put(&key(), login(1)).await.unwrap();

    redis.config_set("maxmemory", "1").await;
    let full = outage(store.begin(&key(), begin(1)).await);
    redis.config_set("maxmemory", "0").await;
    let mut admin = redis.connection().await;
    let port = redis.port().to_string();
    let demote = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(&port).to_owned();
    let _: () = demote.query_async(&mut admin).await.unwrap();
    let replica = outage(store.begin(&key(), begin(1)).await);
    let _: () = redis::cmd("REPLICAOF").arg("NO").arg("ONE").query_async(&mut admin).await.unwrap();

    assert_eq!((full, replica), (Outage::Full, Outage::ReadOnly));
    let begun = until_answered(async || store.begin(&key(), begin(1)).await).await;
    assert!(matches!(begun.reply, BeginReply::Granted(_)), "{begun:?}");
}

#[tokio::test]
async fn the_store_follows_a_promoted_replica_and_waits_for_replicas_where_asked() {
    let mut redis = RedisSentinel::start().await;
    let hosts =
        redis.sentinel_url().trim_start_matches("redis://").trim_end_matches('/').to_owned();
    let url = format!("redis+sentinel://{hosts}/{}", redis.service_name());
    let store = connect(&url).await;
    store.put(&key(), login(1)).await.unwrap();
    let confirmed = Begin { confirmed: true, ..begin(1) };
    let begun = until_answered(async || store.begin(&key(), confirmed.clone()).await).await;
    assert!(matches!(begun.reply, BeginReply::Granted(_)), "{begun:?}");
    assert_eq!(store.standing().notes, Vec::<String>::new(), "it has a replica");

    redis.kill_master().await;
    redis.until_promoted().await;

    let loaded = until_answered(async || store.load(&key()).await).await;
    let slot =
        loaded.reply.record.unwrap().slot.expect("confirmed, so that no failover forgets it");
    assert_eq!(slot.attempt, AttemptId(1));
    let busy = until_answered(async || store.begin(&key(), begin(2)).await).await;
    assert!(matches!(busy.reply, BeginReply::Busy { .. }), "{busy:?}");
}

#[tokio::test]
async fn without_confirmation_of_the_replicas_there_is_no_leave() {
    let mut redis = RedisSentinel::start().await;
    let master = redis.master_port().await;
    // A busy machine is to miss the confirmation, and not the answer.
    let patient = options(&format!("redis://127.0.0.1:{master}")).deadline(Duration::from_secs(3));
    let store = RedisStore::connect_with(patient).await.unwrap();
    store.put(&key(), login(1)).await.unwrap();
    let mut replica = redis.server_mut(master).connection().await;
    // Its replica falls silent, which the master has not noticed yet.
    let info: String =
        redis::cmd("INFO").arg("replication").query_async(&mut replica).await.unwrap();
    let port = info.split("port=").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    let port: u16 = port.parse().unwrap();
    redis.server_mut(port).pause().await;

    let unconfirmed = store.begin(&key(), Begin { confirmed: true, ..begin(1) }).await;
    redis.server_mut(port).resume().await;

    assert_eq!(outage(unconfirmed), Outage::Unconfirmed);
}
