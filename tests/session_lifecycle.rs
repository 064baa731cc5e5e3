//! One node over real HTTP: log in, read, refresh once for everybody, survive failures.

#![cfg(all(feature = "test-support", feature = "file"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::time::Duration;

use support::World;

#[tokio::test]
async fn a_login_gives_a_token_that_stays_fresh() {
    let world = World::start(Duration::from_secs(2)).await;
    let key = world.log_in("ann").await;
    let first = world.hive.token(&key).await.unwrap();

    let later = world.until_refreshed(&key, first.version()).await;

    assert!(later.generation() > first.generation());
    assert!(world.accepted(&later).await);
    world.assert_no_reuse();
    world.finish().await;
}
