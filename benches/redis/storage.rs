//! What a session costs the server.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokenhive::Keyring;
use tokenhive::ledger::{
    AttemptId, Begin, BeginReply, Commit, CommitReply, Installed, NewTokens, NodeId, Sealed,
    Urgency,
};
use tokenhive::store::{RedisStore, SessionStore as _};

use crate::common::{ACCESS_BYTES, HOUR, PREFIX, REFRESH_BYTES, fill, key, start, store};
use crate::server::Server;
use crate::stats;
use crate::support::table;

/// Refreshes each session has seen when it is measured.
const REFRESHES: u64 = 3;
/// What a refresh adds to a sealed refresh token: the mark of the one before.
const MARK_BYTES: usize = 4;
const WRITERS: usize = 128;
/// Sessions whose record is asked for its size, evenly spread.
const ASKED: usize = 1000;
/// The design's figure for a record.
const TARGET: f64 = 1643.0;

/// True if a record is within its target.
pub async fn measure(server: &Server, sessions: usize) -> bool {
    println!(
        "storage: {sessions} sessions, access tokens of {ACCESS_BYTES} bytes, refresh tokens of {REFRESH_BYTES},"
    );
    println!("after {REFRESHES} refreshes each\n");
    let hive = start(server, &Keyring::generate()).await;
    stats::quiet(server).await;
    let empty = stats::used_memory(server).await;
    fill(&hive, sessions).await;
    hive.shutdown().await;
    let store = Arc::new(store(server).await);
    refresh_all(&store, sessions).await;
    drop(store);
    stats::quiet(server).await;
    let full = stats::used_memory(server).await;
    let mut connection = server.connection().await;
    let records = records(&mut connection, sessions).await;
    let due = due_index(&mut connection).await;
    let each = |bytes: u64| mean(bytes, sessions);
    let row = |name: &str, bytes: f64| [name.to_owned(), format!("{bytes:.0}")];
    let rows = [
        row("the record itself (STRLEN)", records.bytes),
        row("record with its key (MEMORY USAGE)", records.memory),
        row("due index (MEMORY USAGE)", each(due)),
        row("all that the server uses (used_memory)", each(full - empty)),
        row("of it neither record nor due index", each(full - empty) - records.memory - each(due)),
    ];
    table(["bytes a session", ""], &rows);
    println!("target: a record with its key at most {TARGET:.0}\n");
    records.memory <= TARGET
}

/// Refreshes every session by the store's own scripts. What is sealed is as long as a refresh makes it;
/// nobody opens it again.
async fn refresh_all(store: &Arc<RedisStore>, sessions: usize) {
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for number in (writer..sessions).step_by(WRITERS) {
                let at_login = generation(&store, number).await;
                for generation in at_login..at_login + REFRESHES {
                    refresh(&store, number, generation).await;
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("every session is there");
    }
}

/// The session's generation after its login.
async fn generation(store: &RedisStore, number: usize) -> u64 {
    let entry = store.load(&key(number)).await.expect("the server is up").reply;
    entry.record.expect("every session is there").generation
}

async fn refresh(store: &RedisStore, number: usize, generation: u64) {
    let key = key(number);
    let attempt = AttemptId((number as u128) << 64 | u128::from(generation));
    let begin = Begin {
        attempt,
        node: NodeId { name: "a-node-of-this-bench".to_owned(), incarnation: 1 },
        minimum_generation: generation,
        expected_generation: generation,
        takeover_of: None,
        patience: HOUR,
        max_tries: 3,
        urgency: Urgency::Hard,
        confirmed: false,
    };
    let begun = store.begin(&key, begin).await.expect("the server is up").reply;
    let BeginReply::Granted(grant) = begun else { panic!("nobody else refreshes: {begun:?}") };
    let refresh = [grant.refresh.as_bytes(), &[0; MARK_BYTES]].concat();
    let tokens = NewTokens {
        access: grant.access,
        refresh: Some(Sealed::new(refresh)),
        extra: None,
        expires_in: Some(HOUR),
        refresh_expires_in: None,
        due_in: Some(HOUR / 2),
    };
    let commit = Commit {
        attempt,
        base: grant.base,
        sequence: grant.sequence,
        tokens,
        last_read: None,
        origin: Some(grant.origin),
    };
    let committed = store.commit(&key, commit).await.expect("the server is up").reply;
    let expected = generation + 1;
    assert!(
        matches!(committed, CommitReply::Installed(Installed { generation, .. }) if generation == expected)
    );
}

/// Of one record, on average.
struct Records {
    bytes: f64,
    memory: f64,
}

async fn records(connection: &mut MultiplexedConnection, sessions: usize) -> Records {
    let names = names(connection, "s*").await;
    assert_eq!(names.len(), sessions, "one key a session");
    let asked: Vec<&String> = names.iter().step_by((sessions / ASKED).max(1)).collect();
    let (mut bytes, mut memory) = (redis::pipe(), redis::pipe());
    for name in &asked {
        bytes.cmd("STRLEN").arg(name);
        memory.cmd("MEMORY").arg("USAGE").arg(name);
    }
    let sum = async |pipe: redis::Pipeline, connection: &mut MultiplexedConnection| -> u64 {
        let each: Vec<u64> = pipe.query_async(connection).await.expect("the server is up");
        each.iter().sum()
    };
    Records {
        bytes: mean(sum(bytes, connection).await, asked.len()),
        memory: mean(sum(memory, connection).await, asked.len()),
    }
}

async fn due_index(connection: &mut MultiplexedConnection) -> u64 {
    let mut usage = redis::pipe();
    for name in names(connection, "due").await {
        usage.cmd("MEMORY").arg("USAGE").arg(name).arg("SAMPLES").arg(0);
    }
    let each: Vec<u64> = usage.query_async(connection).await.expect("the server is up");
    each.iter().sum()
}

/// The names of one kind in every bucket.
async fn names(connection: &mut MultiplexedConnection, kind: &str) -> Vec<String> {
    let mut keys = redis::cmd("KEYS");
    keys.arg(format!("{PREFIX}{{*}}{kind}"));
    let mut found: Vec<String> = keys.query_async(connection).await.expect("the server is up");
    found.sort();
    found
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mean(bytes: u64, count: usize) -> f64 {
    bytes as f64 / count as f64
}
