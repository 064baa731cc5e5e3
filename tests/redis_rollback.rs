//! A Redis that shows less than it once acknowledged, to hives that remember more.

#![cfg(all(unix, feature = "redis", feature = "test-support"))]

#[path = "support/redis_fleet.rs"]
#[expect(dead_code, reason = "every test binary uses its own part")]
mod redis_fleet;
#[expect(dead_code, reason = "every test binary uses its own part")]
#[path = "support/redis.rs"]
mod redis_support;
#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::time::Duration;

use redis_fleet::Fleet;
use support::{HOUR, bounded, eventually, next_refreshes, strict};
use tokenhive::simulator::FaultAction;
use tokenhive::store::SessionStore as _;
use tokenhive::{SessionKey, TokenError};

/// Where an entry has its version: six bytes, big-endian.
const VERSION: std::ops::Range<usize> = 16..22;

impl Fleet {
    /// The name of the session's entry.
    async fn entry_name(&self, key: &SessionKey) -> String {
        let pattern = format!("*{}", key.session());
        let found: Vec<String> = self.redis.ask(redis::cmd("KEYS").arg(pattern)).await;
        let [name] = &found[..] else { panic!("{found:?}") };
        name.clone()
    }

    async fn bytes(&self, name: &str) -> Vec<u8> {
        self.redis.ask(redis::cmd("GET").arg(name)).await
    }

    async fn set_bytes(&self, name: &str, bytes: &[u8]) {
        self.redis.ask::<()>(redis::cmd("SET").arg(name).arg(bytes)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_bring_back_ends_in_the_providers_word_and_not_in_waiting() {
    bounded(async {
        let fleet = Fleet::start(strict(Duration::from_secs(2))).await;
        let a = fleet.node_with("a", |builder| {
            builder.without_journal().recall_within(Duration::from_secs(1))
        });
        let a = a.await;
        let session = fleet.session(&a).await;
        let name = fleet.entry_name(&session).await;
        let before = fleet.bytes(&name).await;
        a.refresh(&session).await.unwrap();
        fleet.set_bytes(&name, &before).await;

        let met =
            eventually("it is told apart from a store that was rolled back", async || {
                match a.refresh(&session).await {
                    Err(TokenError::Unavailable { .. }) => None,
                    other => Some(other),
                }
            })
            .await;

        assert!(matches!(met, Err(TokenError::NeedsLogin { .. })), "{met:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_what_is_newer_although_the_versions_of_the_store_went_back() {
    bounded(async {
        let fleet = Fleet::start(strict(HOUR)).await;
        let a = fleet.node("a").await;
        let session = fleet.session(&a).await;
        let seen = a.token(&session).await.unwrap();
        let name = fleet.entry_name(&session).await;
        let mut bytes = fleet.bytes(&name).await;
        let version = bytes[VERSION].iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        assert_eq!(version, seen.version());
        bytes[VERSION].copy_from_slice(&(version - 5).to_be_bytes()[2..]);
        fleet.set_bytes(&name, &bytes).await;

        let refreshed = a.refresh(&session).await.unwrap();

        assert!(refreshed.version() > seen.version(), "{refreshed:?}");
        assert_eq!(refreshed.generation(), 2);
        assert_eq!(fleet.calls(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_put_back_takes_no_token_away_from_readers() {
    bounded(async {
        let mut fleet = Fleet::start(strict(HOUR)).await;
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        let session = fleet.session(&a).await;
        b.token(&session).await.unwrap();
        let late = FaultAction::DelayAfterCommit { ms: 2800 };
        fleet.simulator.set_faults(next_refreshes(1, late));
        let refresh = tokio::spawn({
            let (a, session) = (a.clone(), session.clone());
            async move { a.refresh(&session).await }
        });
        eventually("it is under way", async || (fleet.calls() > 0).then_some(())).await;

        fleet.redis.restart_empty().await;

        let record = eventually("it is put back", async || {
            let loaded = fleet.store().await.load(&session).await.ok()?;
            loaded.reply.record.filter(|record| record.slot.is_some())
        })
        .await;
        let left = record.expires.unwrap().since(record.received);
        assert!(left > HOUR / 2, "{left:?}");
        assert!(b.token(&session).await.is_ok());
        refresh.await.unwrap().unwrap();
        fleet.assert_nothing_used_twice();
    })
    .await;
}
