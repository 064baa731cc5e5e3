//! Sessions on Redis: cold reads, refreshes, what a session costs the server, and that hot reads never ask it.
//!
//! `cold`, `refresh`, `storage` or `hot` on the command line runs that part alone. Ends with an error if a
//! promise about counts or bytes is broken. Needs `redis-server` on the PATH.
#![expect(clippy::print_stdout, reason = "its tables are what a bench is for")]

#[path = "redis/cold.rs"]
mod cold;
#[path = "redis/common.rs"]
mod common;
#[path = "redis/hot.rs"]
mod hot;
#[path = "redis/refresh.rs"]
mod refresh;
#[path = "rivals/mod.rs"]
mod rivals;
#[path = "support/redis.rs"]
mod server;
#[path = "redis/stats.rs"]
mod stats;
#[path = "redis/storage.rs"]
mod storage;
#[path = "support/mod.rs"]
mod support;
#[path = "support/timing.rs"]
mod timing;

use std::process::ExitCode;

use tokio::runtime::Builder;

use self::server::{APPENDING, Server};
use self::support::is_quick;

const PARTS: [&str; 4] = ["cold", "refresh", "storage", "hot"];

fn main() -> ExitCode {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("the runtime starts");
    runtime.block_on(measure())
}

async fn measure() -> ExitCode {
    let quick = is_quick();
    let named: Vec<String> =
        std::env::args().filter(|argument| PARTS.contains(&argument.as_str())).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let mut kept = true;
    if wanted("cold") {
        let effort = if quick {
            cold::Effort { sessions: 5000, rounds: 1, turns: 5, reads: 1000, reads_alone: 100 }
        } else {
            cold::Effort { sessions: 100_000, rounds: 5, turns: 25, reads: 4000, reads_alone: 200 }
        };
        cold::measure(&Server::start(APPENDING).await, effort).await;
    }
    if wanted("refresh") {
        let effort = if quick {
            refresh::Effort { rounds: 1, refreshes: 2 }
        } else {
            refresh::Effort { rounds: 7, refreshes: 10 }
        };
        refresh::measure(&Server::start(APPENDING).await, effort).await;
    }
    if wanted("storage") {
        let sessions = if quick { 5000 } else { 100_000 };
        kept &= storage::measure(&Server::start(&["--appendonly", "no"]).await, sessions).await;
    }
    if wanted("hot") {
        let reads = if quick { 100_000 } else { 1_000_000 };
        kept &= hot::measure(&Server::start(APPENDING).await, reads).await;
    }
    if kept {
        println!(
            "counts: hot reads asked the server for nothing, and a record is within its bytes"
        );
        ExitCode::SUCCESS
    } else {
        println!("BROKEN: hot reads ask the server for nothing, and a record is within its bytes");
        ExitCode::FAILURE
    }
}
