//! Bytes a session costs in each of its states, counted at the allocator, with resident memory beside it.
#![expect(clippy::print_stdout, reason = "its tables are what a bench is for")]

#[path = "support/mod.rs"]
mod support;

use std::alloc::System;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokenhive::model::{Clock, ManualClock, SystemClock};
use tokenhive::{RestoreOptions, Secret, SessionKey, TokenHive};
use tokio::runtime::Builder;

use self::support::{is_quick, provider, saved, table};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ACCESS_BYTES: usize = 900;
const REFRESH_BYTES: usize = 300;
const READERS: usize = 64;
const HOUR: Duration = Duration::from_secs(3600);
/// The clock stands still until it is moved, so nothing goes idle by itself.
const IDLE: Duration = Duration::from_secs(1);
/// How long the sweeper may take before it counts as never.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let sessions = if is_quick() { 10_000 } else { 100_000 };
    let runtime = Builder::new_multi_thread().enable_all().build().expect("the runtime starts");
    println!(
        "memory: {sessions} sessions, access tokens of {ACCESS_BYTES} bytes, refresh tokens of {REFRESH_BYTES}\n"
    );
    runtime.block_on(measure(sessions))
}

/// Memory in use.
#[derive(Clone, Copy)]
struct Use {
    /// Asked for and not given back.
    live: usize,
    /// Resident set of the process, allocator's slack and all.
    resident: usize,
}

impl Use {
    fn now() -> Self {
        let stats = ALLOCATOR.stats();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB"))
            .and_then(|kilobytes| kilobytes.trim().parse::<usize>().ok())
            .map_or(0, |kilobytes| kilobytes * 1024);
        Self { live: stats.bytes_allocated - stats.bytes_deallocated, resident }
    }

    /// Bytes a session since `before`.
    fn since(self, before: Self, sessions: usize) -> (i64, i64) {
        let each = |now: usize, then: usize| {
            let (now, then) = (i64::try_from(now), i64::try_from(then));
            let sessions = i64::try_from(sessions).unwrap_or(i64::MAX);
            (now.unwrap_or(0) - then.unwrap_or(0)) / sessions
        };
        (each(self.live, before.live), each(self.resident, before.resident))
    }
}

async fn start(clock: &Arc<ManualClock>) -> TokenHive {
    TokenHive::builder()
        .provider(provider("http://127.0.0.1:9"))
        .clock(clock.clone())
        .poll_every(HOUR)
        .passivate_after(IDLE)
        .start()
        .await
        .expect("the hive starts")
}

fn key(number: usize) -> SessionKey {
    SessionKey::new(format!("tenant-{}", number % 97), format!("user-{number:06}"))
        .expect("printable and short")
}

async fn fill(hive: &TokenHive, sessions: usize) {
    for number in 0..sessions {
        let access = Secret::from(format!("{number:0ACCESS_BYTES$}"));
        let refresh = Secret::from(format!("{number:0REFRESH_BYTES$}"));
        let text = saved(access, refresh, HOUR * 10);
        let options = RestoreOptions::default();
        hive.restore(&key(number), "sim", &text, options).await.expect("a valid token");
    }
}

async fn read_all(hive: &TokenHive, sessions: usize) {
    let readers = (0..READERS).map(|reader| {
        let hive = hive.clone();
        tokio::spawn(async move {
            for number in (reader..sessions).step_by(READERS) {
                hive.token(&key(number)).await.expect("the token is valid");
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.expect("no reader panics");
    }
}

/// Waits for the sweeper to get there.
async fn until(hive: &TokenHive, reached: impl Fn(usize, usize) -> bool) -> bool {
    let wait = async {
        loop {
            let (known, running) = hive.resident();
            if reached(known, running) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // What was let go of is dropped on the actors' threads.
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    tokio::time::timeout(PATIENCE, wait).await.is_ok()
}

async fn measure(sessions: usize) -> ExitCode {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let hive = start(&clock).await;
    let empty = Use::now();
    fill(&hive, sessions).await;
    // Restoring publishes a snapshot: only when that is evicted, the store is left alone.
    clock.advance(IDLE * 10);
    let mut kept = until(&hive, |known, _| known == 0).await;
    let stored = Use::now();

    read_all(&hive, sessions).await;
    kept &= until(&hive, |known, running| (known, running) == (sessions, sessions)).await;
    let active = Use::now();
    clock.advance(IDLE * 2);
    kept &= until(&hive, |known, running| (known, running) == (sessions, 0)).await;
    let passivated = Use::now();
    clock.advance(IDLE * 10);
    kept &= until(&hive, |known, _| known == 0).await;
    let evicted = Use::now();
    read_all(&hive, sessions).await;
    kept &= until(&hive, |known, running| (known, running) == (sessions, sessions)).await;
    let again = Use::now();

    let tokens = ACCESS_BYTES + REFRESH_BYTES;
    let rows = [
        row("record in the memory store (sealed)", stored.since(empty, sessions), tokens),
        row("+ idle active: actor and snapshot", active.since(stored, sessions), ACCESS_BYTES),
        row("+ passivated: snapshot", passivated.since(stored, sessions), ACCESS_BYTES),
        row("+ evicted", evicted.since(stored, sessions), 0),
        row("+ active once more", again.since(stored, sessions), ACCESS_BYTES),
    ];
    println!("bytes a session; rows with + come on top of the first:\n");
    table(["", "allocated", "of it tokens", "without tokens", "resident"], &rows);
    println!("targets without tokens: idle active at most 1536, passivated at most 300, evicted 0");
    hive.shutdown().await;
    if kept {
        println!(
            "counts: every session was active, then passivated, then evicted, then active again"
        );
        ExitCode::SUCCESS
    } else {
        println!(
            "BROKEN: every session is active, then passivated, then evicted, then active again"
        );
        ExitCode::FAILURE
    }
}

fn row(name: &str, (live, resident): (i64, i64), tokens: usize) -> [String; 5] {
    let bare = live - i64::try_from(tokens).unwrap_or(0);
    [name.to_owned(), live.to_string(), tokens.to_string(), bare.to_string(), resident.to_string()]
}
