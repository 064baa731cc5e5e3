//! The wall clock jumps under a running hive: nothing is lost, nobody is asked.

#![cfg(feature = "test-support")]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use support::{HOUR, World, bounded, key, sim, strict, visit};
use tokenhive::model::Clock;

const YEAR_MS: i64 = 365 * 24 * 3_600_000;

#[tokio::test]
async fn tokens_and_logins_do_not_notice_a_wall_clock_that_jumps() {
    for jump in [YEAR_MS, -YEAR_MS, i64::MIN / 4, i64::MAX / 4] {
        bounded(async {
            let (world, clock) = World::manual(strict(HOUR), |b| b).await;
            let ann = world.log_in("ann").await;
            let begun = world.hive.begin_login(&key("bob"), sim()).await.unwrap();
            let first = world.hive.token(&ann).await.unwrap();

            clock.jump(jump);

            let served = world.hive.token(&ann).await.unwrap();
            assert_eq!((served.version(), world.refreshes()), (first.version(), 0), "{jump}");
            let callback = visit(&world.http, &begun.authorization_url).await;
            world.hive.complete_login(&callback).await.unwrap();
            let renewed = world.hive.refresh(&ann).await.unwrap();
            assert!(renewed.is_valid(clock.boot()), "{jump}");
            assert_eq!(world.hive.token(&ann).await.unwrap().version(), renewed.version());
            world.assert_no_reuse();
            world.finish().await;
        })
        .await;
    }
}
