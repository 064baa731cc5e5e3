//! A fleet of real node processes on one Redis, judged by the providers' own logs.

#![cfg(all(unix, feature = "cli", feature = "redis"))]

#[path = "fleet/mod.rs"]
#[expect(dead_code, reason = "every test binary uses its own part")]
mod fleet;

use std::time::Duration;

use fleet::class::Class;
use fleet::{Fleet, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let mut setup = Setup::of(Class::R).tell("poll-ms", 200);
    setup.nodes = 4;
    setup.lifetime = Duration::from_secs(5);
    let mut fleet = Fleet::start(setup).await;
    fleet.fill(100).await;
    for node in &fleet.nodes {
        fleet.read_on(node, 10, Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    for node in &fleet.nodes {
        println!("{}", node.ask(serde_json::json!({"op":"stats"})).await.unwrap());
    }
    fleet.shut_down().await;
    println!("{:#?}", fleet.simulator().totals());
}
