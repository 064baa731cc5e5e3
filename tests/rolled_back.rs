//! Redis forgets what it had acknowledged, as after a failover to a copy that never had it: nodes put it
//! back before anybody acts on what is left.

#![cfg(all(unix, feature = "cli", feature = "redis"))]

#[path = "fleet/mod.rs"]
#[expect(dead_code, reason = "every test binary uses its own part")]
mod fleet;

use std::time::Duration;

use fleet::class::Class;
use fleet::{Fleet, Setup, a_few_at_once, eventually};
use serde_json::json;
use tokenhive::simulator::FaultAction;

/// How long nothing begins on a server that may have lost writes.
const SETTLE: Duration = Duration::from_millis(1500);

const HOUR: Duration = Duration::from_secs(3600);

/// Where a refresh token that is presented again can end the session.
const STRICT: [Class; 3] = [Class::G, Class::S, Class::R];

async fn fleet_of(class: Class) -> Fleet {
    let setup = Setup::of(class).tell("poll-ms", 200).tell("settle-ms", SETTLE.as_millis());
    Fleet::start(setup).await
}

/// From here on Redis acknowledges and writes nothing down: its next start brings back what was before.
async fn forget_from_here(fleet: &Fleet) {
    fleet.redis.config_set("appendonly", "no").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_in_flight_that_redis_forgot_is_not_begun_again() {
    let each = async |class| {
        let mut fleet = fleet_of(class).await;
        let session = fleet.restore_one(class, 0, HOUR).await;
        let slow = FaultAction::DelayAfterCommit { ms: 4000 };
        fleet.spoil_next(class, std::slice::from_ref(&session), slow);
        forget_from_here(&fleet).await;
        fleet.begin_exchange(class, &session, &fleet.nodes[0]).await;

        fleet.redis.restart().await;
        // The other node wants a newer token at once, and for as long as it takes.
        let newer = async || fleet.nodes[1].refresh(&session).await.ok();
        let (newer, _) = eventually("the other node has a newer token", newer).await;

        assert_eq!(newer["generation"], 2, "{class:?}");
        assert_eq!(fleet.nodes[0].token(&session).await.unwrap()["generation"], 2, "{class:?}");
        let presented = fleet.presented(class, &session);
        let senders: Vec<_> = presented.iter().map(|event| event.from.as_deref()).collect();
        assert_eq!(senders, [Some("a")], "{class:?}");
    };
    a_few_at_once(STRICT.map(each)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_redis_forgot_is_put_back_and_its_predecessor_not_presented_again() {
    let each = async |class| {
        let mut fleet = fleet_of(class).await;
        let session = fleet.restore_one(class, 0, HOUR).await;
        forget_from_here(&fleet).await;
        fleet.nodes[0].refresh(&session).await.unwrap();
        let known =
            async || fleet.nodes[1].token(&session).await.ok().filter(|it| it["generation"] == 2);
        eventually("the other node knows of it", known).await;

        // Whoever remembers it is halted for longer than everybody waits for that.
        fleet.nodes[0].halt();
        fleet.redis.restart().await;
        let refused = async || {
            let asked = fleet.nodes[1].refresh(&session).await;
            asked.err().filter(|refusal| refusal.message.contains("older state"))
        };
        eventually("the other node sees that Redis was rolled back", refused).await;
        fleet.nodes[0].resume();

        let newer = async || fleet.nodes[1].refresh(&session).await.ok();
        let (newer, _) = eventually("the session goes on", newer).await;
        assert_eq!(newer["generation"], 3, "{class:?}");
        let totals = fleet.truth(class).totals;
        assert_eq!((totals.presentations, totals.redeemed_generations), (2, 2), "{class:?}");
    };
    a_few_at_once(STRICT.map(each)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_redis_forgot_ends_what_was_refreshed_since() {
    let class = Class::R;
    let mut fleet = fleet_of(class).await;
    let session = fleet.restore_one(class, 0, HOUR).await;
    let slow = FaultAction::DelayAfterCommit { ms: 4000 };
    fleet.spoil_next(class, std::slice::from_ref(&session), slow);
    fleet.begin_exchange(class, &session, &fleet.nodes[1]).await;
    // What follows is what Redis forgets.
    forget_from_here(&fleet).await;
    let delete = json!({"op": "delete", "session": session});
    assert_eq!(fleet.nodes[0].ask(delete).await.unwrap(), true);

    // Who remembers it is away until the answer is in.
    fleet.nodes[0].halt();
    fleet.redis.restart().await;
    let installed = async || {
        let known = fleet.nodes[1].token(&session).await.ok()?;
        (known["generation"] == 2).then_some(())
    };
    eventually("the answer brings the session back", installed).await;
    fleet.nodes[0].resume();

    for node in &fleet.nodes {
        let gone = async || {
            node.token(&session).await.err().filter(|it| it.kind == "needs_login.no_session")
        };
        eventually("it is logged out again", gone).await;
    }
}
