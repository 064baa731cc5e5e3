//! The Redis store against real servers: the contract, the due index shared between nodes, and news.

#![cfg(all(unix, feature = "redis", feature = "test-support"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
#[path = "support/redis.rs"]
mod redis_support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use redis_support::RedisServer;
use redis_support::cluster::RedisCluster;
use tokenhive::SessionKey;
use tokenhive::ledger::{AttemptId, Claim, Entry, NewTokens, Put, Sealed, TakenLogin};
use tokenhive::model::ProviderId;
use tokenhive::store::{
    News, Outage, RedisOptions, RedisStore, SessionStore, StoreError, contract,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::Receiver;

const PATIENCE: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);

/// No two stores of this process see each other's keys, unless they are meant to.
fn fresh_prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("t{}-{}:", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn connect(url: &str) -> RedisStore {
    connect_as(RedisOptions::new(url).prefix(fresh_prefix())).await
}

async fn connect_as(options: RedisOptions) -> RedisStore {
    RedisStore::connect_with(options.deadline(PATIENCE)).await.expect("the server is usable")
}

fn key(number: usize) -> SessionKey {
    SessionKey::new("acme", format!("user-{number}")).unwrap()
}

/// A login whose tokens are due after `due_in`.
fn login(due_in: Duration) -> Put {
    Put {
        generation: 1,
        provider: ProviderId::new("sample").unwrap(),
        tokens: NewTokens {
            access: Sealed::new(*b"access"),
            refresh: Some(Sealed::new(*b"refresh")),
            extra: None,
            expires_in: Some(60 * MINUTE),
            refresh_expires_in: None,
            due_in: Some(due_in),
        },
    }
}

fn everything_due() -> Claim {
    Claim { horizon: Duration::ZERO, limit: 10_000, visibility: MINUTE }
}

async fn claim(store: &RedisStore) -> BTreeSet<SessionKey> {
    let claimed = store.claim(everything_due()).await.unwrap();
    claimed.reply.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_keeps_the_contract() {
    let redis = RedisServer::start().await;
    contract::run(|| async { Arc::new(connect(redis.url()).await) as Arc<dyn SessionStore> }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_shards_keeps_the_contract() {
    let cluster = RedisCluster::start(3).await;
    let hosts: Vec<String> =
        cluster.urls().iter().map(|url| url.trim_start_matches("redis://").to_owned()).collect();
    let url = format!("redis+cluster://{}", hosts.join(",").replace('/', ""));
    contract::run(|| async { Arc::new(connect(&url).await) as Arc<dyn SessionStore> }).await;
}

/// Replies and whole records of random histories, shrunk to the shortest that differs.
#[test]
fn any_operations_leave_redis_equal_to_the_ledger() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(RedisServer::start());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
    let histories = proptest::collection::vec(any::<u8>(), 0..600);
    runner
        .run(&histories, |bytes| {
            runtime.block_on(async {
                contract::play(Arc::new(connect(redis.url()).await), bytes).await;
            });
            Ok(())
        })
        .unwrap();
    // Its containers are stopped by a runtime.
    let _entered = runtime.enter();
    drop(redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_what_is_due_and_none_gets_what_another_got() {
    let redis = RedisServer::start().await;
    let options = |prefix: &str| {
        RedisOptions::new(redis.url()).prefix(prefix).node_lease(Duration::from_millis(600))
    };
    let prefix = fresh_prefix();
    let (a, b) = (connect_as(options(&prefix)).await, connect_as(options(&prefix)).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for number in 0..400 {
        a.put(&key(number), login(Duration::ZERO)).await.unwrap();
    }

    let (by_a, by_b) = (claim(&a).await, claim(&b).await);

    assert!(by_a.is_disjoint(&by_b));
    assert_eq!(by_a.len() + by_b.len(), 400, "all of them, each once");
    assert!(by_a.len().abs_diff(by_b.len()) < 100, "{} and {}", by_a.len(), by_b.len());
    assert_eq!(claim(&a).await, BTreeSet::new(), "they hide now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_nodes_share_is_adopted_when_its_lease_is_over_and_a_closed_ones_at_once() {
    for closes in [true, false] {
        let redis = RedisServer::start().await;
        let prefix = fresh_prefix();
        let options = || {
            let lease = Duration::from_millis(900);
            RedisOptions::new(redis.url()).prefix(&prefix).node_lease(lease)
        };
        let (a, b) = (connect_as(options()).await, connect_as(options()).await);
        tokio::time::sleep(Duration::from_millis(700)).await;
        for number in 0..100 {
            a.put(&key(number), login(Duration::ZERO)).await.unwrap();
        }
        let mut claimed = claim(&a).await;
        assert!(claimed.len() < 100, "the other one lives");

        if closes {
            b.close().await.unwrap();
        }
        drop(b);
        let adopted = async {
            while claimed.len() < 100 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                claimed.extend(claim(&a).await);
            }
        };

        tokio::time::timeout(PATIENCE, adopted).await.expect("adopted in time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_in_proportion_to_what_is_due_and_nothing_is_ever_scanned() {
    let redis = RedisServer::own(&[]).await;
    let options = RedisOptions::new(redis.url()).node_lease(60 * MINUTE);
    let store = connect_as(options).await;
    for number in 0..2000 {
        store.put(&key(number), login(30 * MINUTE)).await.unwrap();
    }
    claim(&store).await;
    let spent = async |claims: usize| {
        let before = redis.commandstats().await;
        for _ in 0..claims {
            claim(&store).await;
        }
        let after = redis.commandstats().await;
        let count =
            |stats: &BTreeMap<String, u64>, name: &str| stats.get(name).copied().unwrap_or(0);
        for name in ["scan", "keys", "zscan", "hscan", "sscan", "randomkey"] {
            assert_eq!(count(&after, name), 0, "{name}");
        }
        count(&after, "evalsha") - count(&before, "evalsha")
    };

    assert_eq!(spent(50).await, 0, "nothing is due, and nothing is asked");
    for number in 0..20 {
        store.put(&key(number), Put { generation: 3, ..login(Duration::ZERO) }).await.unwrap();
    }
    let for_twenty = spent(1).await;

    // And one more where a script had to be loaded first.
    assert!((20..=60).contains(&for_twenty), "a look and a claim for each: {for_twenty}");
    assert_eq!(spent(50).await, 0);
}

async fn heard(news: &mut Receiver<News>, wanted: impl Fn(&News) -> bool) {
    let listening = async { while !wanted(&news.recv().await.unwrap()) {} };
    tokio::time::timeout(PATIENCE, listening).await.expect("heard in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_hears_what_another_does_to_a_session_it_has_read() {
    let redis = RedisServer::start().await;
    let prefix = fresh_prefix();
    let options = || RedisOptions::new(redis.url()).prefix(&prefix);
    let (a, b) = (connect_as(options()).await, connect_as(options()).await);
    a.put(&key(1), login(MINUTE)).await.unwrap();
    let mut news = b.news().unwrap();
    b.read(&key(1)).await.unwrap();

    a.put(&key(1), Put { generation: 3, ..login(MINUTE) }).await.unwrap();
    heard(&mut news, |it| *it == News::Changed { key: key(1), version: 3 }).await;
    a.delete(&key(1)).await.unwrap();
    heard(&mut news, |it| *it == News::Deleted { key: key(1), version: 3 }).await;
}

#[tokio::test]
async fn a_login_that_is_not_what_was_written_is_an_error_and_one_of_an_earlier_version_begins_again()
 {
    let (redis, prefix) = (RedisServer::start().await, fresh_prefix());
    let store = connect_as(RedisOptions::new(redis.url()).prefix(&prefix)).await;
    let name = format!("{prefix}login:digest");
    let mut connection = redis.connection().await;
    let mut take_of = async |bytes: &[u8]| {
        redis::cmd("SET").arg(&name).arg(bytes).exec_async(&mut connection).await.unwrap();
        store.take_login("digest", AttemptId(1)).await
    };

    for bytes in [&b""[..], b"\x02", b"\x02short", &[0xff; 64]] {
        let taken = take_of(bytes).await;
        assert!(taken.is_err(), "{bytes:?}: {taken:?}");
    }
    assert_eq!(take_of(&[1; 40]).await, Ok(TakenLogin::Unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_begun_on_one_node_is_taken_once_by_any() {
    let redis = RedisServer::start().await;
    let prefix = fresh_prefix();
    let options = || RedisOptions::new(redis.url()).prefix(&prefix);
    let nodes = [connect_as(options()).await, connect_as(options()).await];
    nodes[0].put_login("digest", Sealed::new(*b"login"), MINUTE).await.unwrap();
    let nodes = nodes.map(Arc::new);

    let takers: Vec<_> = (0..32)
        .map(|number| {
            let (node, attempt) = (Arc::clone(&nodes[number % 2]), AttemptId(number as u128 + 1));
            tokio::spawn(async move { node.take_login("digest", attempt).await.unwrap() })
        })
        .collect();
    let mut taken = 0;
    for taker in takers {
        let reply = taker.await.unwrap();
        taken += usize::from(matches!(reply, TakenLogin::Taken(_)));
    }

    assert_eq!(taken, 1);
}

/// Reads all of them at once.
async fn read_at_once(
    store: &Arc<RedisStore>,
    numbers: impl IntoIterator<Item = usize>,
) -> Vec<Result<Entry, StoreError>> {
    let reading: Vec<_> = numbers
        .into_iter()
        .map(|number| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.read(&key(number)).await.map(|it| it.reply) })
        })
        .collect();
    let mut read = Vec::new();
    for one in reading {
        read.push(one.await.expect("no read panics"));
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_at_the_same_time_share_commands_and_each_gets_its_own() {
    let redis = RedisServer::own(&[]).await;
    let store = Arc::new(connect(redis.url()).await);
    for number in 0..300 {
        let put = login(MINUTE);
        let access = Sealed::new(format!("access {number}").into_bytes());
        let tokens = NewTokens { access, ..put.tokens };
        store.put(&key(number), Put { tokens, ..put }).await.unwrap();
    }
    let before = redis.commandstats().await;

    // The last hundred are of nobody.
    let read = read_at_once(&store, 0..400).await;

    for (number, entry) in read.into_iter().enumerate() {
        let found = entry.unwrap().record.map(|record| record.access);
        let put = format!("access {number}").into_bytes();
        assert_eq!(found, (number < 300).then(|| Sealed::new(put)), "{number}");
    }
    let after = redis.commandstats().await;
    let spent = |name: &str| {
        let count = |stats: &BTreeMap<String, u64>| stats.get(name).copied().unwrap_or(0);
        count(&after) - count(&before)
    };
    let (alone, together) = (spent("get"), spent("mget"));
    assert!(together > 0 && alone + together < 300, "{alone} GET and {together} MGET");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_string_is_an_error_and_no_absence_also_where_reads_go_together() {
    let redis = RedisServer::own(&[]).await;
    let store = Arc::new(connect(redis.url()).await);
    store.put(&key(0), login(MINUTE)).await.unwrap();
    let mut connection = redis.connection().await;
    let mut ask = redis::cmd("KEYS");
    let found: Vec<String> = ask.arg("*user-0").query_async(&mut connection).await.unwrap();
    let mut other = redis::pipe();
    other.del(&found).ignore().hset(&found[0], "field", "value").ignore();
    other.query_async::<()>(&mut connection).await.unwrap();

    let read = read_at_once(&store, std::iter::repeat_n(0, 100)).await;

    for entry in read {
        assert!(matches!(entry, Err(StoreError::Unavailable { .. })), "{entry:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_fails_every_read_in_time_and_answers_those_that_come_later() {
    const DEADLINE: Duration = Duration::from_millis(300);
    let redis = RedisServer::own(&[]).await;
    let options = RedisOptions::new(redis.url()).deadline(DEADLINE);
    let store = Arc::new(RedisStore::connect_with(options).await.unwrap());
    store.put(&key(0), login(MINUTE)).await.unwrap();
    store.read(&key(0)).await.unwrap();
    redis.pause().await;

    // Far more than fit into the commands of two deadlines.
    let reading = read_at_once(&store, std::iter::repeat_n(0, 5000));
    let read = tokio::time::timeout(PATIENCE, reading).await.expect("nobody waits for ever");

    assert!(read.iter().all(|it| matches!(
        it,
        Err(StoreError::Unavailable { outage: Outage::NoAnswer | Outage::Disconnected, .. })
    )));
    redis.resume().await;
    let answered = async {
        while read_at_once(&store, std::iter::repeat_n(0, 100)).await.iter().any(Result::is_err) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("it answers again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_gives_up_holds_up_nobody() {
    let redis = RedisServer::own(&[]).await;
    let store = Arc::new(connect(redis.url()).await);
    store.put(&key(0), login(MINUTE)).await.unwrap();

    for _ in 0..50 {
        let one = Arc::clone(&store);
        let reading = (0..64).map(move |_| {
            let store = Arc::clone(&one);
            tokio::spawn(async move { store.read(&key(0)).await.map(|_| ()) })
        });
        let reading: Vec<_> = reading.collect();
        tokio::task::yield_now().await;
        reading.iter().step_by(2).for_each(tokio::task::JoinHandle::abort);
        for one in reading.into_iter().skip(1).step_by(2) {
            let read = tokio::time::timeout(PATIENCE, one).await.expect("in time");
            read.unwrap().unwrap();
        }
    }
}

/// A way to `port` on which each direction takes `latency`.
async fn distant(port: u16, latency: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (from_near, to_near) = near.into_split();
            let (from_far, to_far) = far.into_split();
            tokio::spawn(carry(from_near, to_far, latency));
            tokio::spawn(carry(from_far, to_near, latency));
        }
    });
    own
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, latency: Duration) {
    let (sender, mut on_its_way) =
        tokio::sync::mpsc::unbounded_channel::<(Vec<u8>, tokio::time::Instant)>();
    tokio::spawn(async move {
        while let Some((bytes, at)) = on_its_way.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let arrives = tokio::time::Instant::now() + latency;
        if sender.send((buffer[..count].to_vec(), arrives)).is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_many_are_read_at_once_does_not_depend_on_how_far_away_the_server_is() {
    const READS: usize = 6000;
    const LATENCY: Duration = Duration::from_millis(50);
    let redis = RedisServer::own(&[]).await;
    let port = distant(redis.port(), LATENCY).await;
    let store = Arc::new(connect(&format!("redis://127.0.0.1:{port}")).await);
    store.put(&key(0), login(MINUTE)).await.unwrap();
    store.read(&key(0)).await.unwrap();

    let began = tokio::time::Instant::now();
    let read = read_at_once(&store, std::iter::repeat_n(0, READS)).await;

    assert!(read.iter().all(Result::is_ok));
    // A few hundred at a time would take as many round trips as there are hundreds.
    let round_trips = began.elapsed().as_millis() / (LATENCY * 2).as_millis();
    assert!(round_trips < 40, "{READS} reads took {round_trips} round trips");
}
