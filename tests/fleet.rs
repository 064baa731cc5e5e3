//! A fleet of real node processes on one Redis, judged by the providers' own logs.

#![cfg(all(unix, feature = "cli", feature = "redis"))]

#[path = "fleet/mod.rs"]
#[expect(dead_code, reason = "every test binary uses its own part")]
mod fleet;

use std::time::Duration;

use fleet::cell::Cell;
use fleet::class::Class;
use fleet::dice::seed;
use fleet::nemesis::Fault;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_no_session_is_lost_that_the_promise_does_not_name() {
    let cell = Cell {
        classes: Class::ALL.to_vec(),
        faults: Fault::ALL.to_vec(),
        nodes: 4,
        sessions: 20,
        callers: 5,
        lasts: Duration::from_secs(60),
        seed: seed("faults"),
    };

    let rows = cell.run().await;

    for row in &rows {
        println!("{row}");
    }
    for row in &rows {
        row.assert_promises();
    }
}
