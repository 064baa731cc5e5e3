//! Refreshes: one for everybody, early, and no more of them than are wanted.

#![cfg(all(feature = "test-support", feature = "file"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::time::Duration;

use support::{HOUR, World, bounded, eager, eventually, key, next_refreshes, sim, strict};
use tokenhive::TokenRequest;
use tokenhive::model::{NeedsLogin, TokenError, Unavailable};
use tokenhive::simulator::{
    FaultAction, FaultPlan, GrantFilter, RefreshAnswer, ReuseBehaviour, SimulatorOptions,
};
use tokio::time::Instant;

fn patience(span: Duration) -> TokenRequest {
    TokenRequest::new().deadline(span)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_callers_on_an_expired_token_share_one_call() {
    bounded(async {
        let (world, clock) = World::manual(strict(HOUR), |b| b).await;
        let ann = world.log_in("ann").await;
        clock.advance(HOUR);

        let callers: Vec<_> = (0..500)
            .map(|_| {
                let (hive, ann) = (world.hive.clone(), ann.clone());
                tokio::spawn(async move { hive.token(&ann).await })
            })
            .collect();

        let mut versions = Vec::new();
        for caller in callers {
            versions.push(caller.await.unwrap().unwrap().version());
        }
        versions.dedup();
        assert_eq!(versions, [2]);
        assert_eq!(world.refreshes(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_the_refresh_to_the_others() {
    bounded(async {
        let (world, clock) = World::manual(strict(HOUR), |b| b).await;
        let ann = world.log_in("ann").await;
        clock.advance(HOUR);
        world.simulator.set_faults(next_refreshes(1, FaultAction::Delay { ms: 400 }));

        let (hasty, patient) = tokio::join!(
            world.hive.token_with(&ann, patience(Duration::from_millis(50))),
            world.hive.token(&ann),
        );

        let hasty = hasty.unwrap_err();
        assert!(
            matches!(
                &hasty,
                TokenError::Unavailable { reason: Unavailable::Deadline, retry_after: Some(_) }
            ),
            "{hasty:?}"
        );
        assert!(world.accepted(&patient.unwrap()).await);
        assert_eq!(world.refreshes(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_refresh_finishes_though_every_caller_has_gone() {
    bounded(async {
        let (world, clock) = World::manual(strict(HOUR), |b| b).await;
        let ann = world.log_in("ann").await;
        clock.advance(HOUR);
        world.simulator.set_faults(next_refreshes(1, FaultAction::Delay { ms: 300 }));

        let brief = patience(Duration::from_millis(50));
        world.hive.token_with(&ann, brief).await.unwrap_err();

        let described = eventually("the refresh is stored", async || {
            let info = world.hive.describe(&ann).await.unwrap().unwrap();
            (info.generation == 2).then_some(info)
        })
        .await;
        assert_eq!(described.failures, 0);
        assert!(world.hive.token_with(&ann, brief).await.is_ok());
        assert_eq!(world.refreshes(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn sessions_are_refreshed_before_expiry_with_nobody_waiting() {
    bounded(async {
        let options = strict(Duration::from_secs(1));
        let world = World::with(options, eager).await;
        let ann = world.log_in("ann").await;

        let began = Instant::now();
        while world.refreshes() < 4 {
            assert!(began.elapsed() < Duration::from_secs(8), "refreshed about every 700 ms");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }

        let valid = world.hive.token_with(&ann, patience(Duration::ZERO)).await;
        assert!(valid.is_ok(), "handed out without waiting: {valid:?}");
        let totals = world.simulator.totals();
        assert!((totals.calls_per_refresh - 1.0).abs() < f64::EPSILON, "{totals:?}");
        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn readers_never_wait_while_refreshes_go_on_behind_them() {
    bounded(async {
        let world = World::with(strict(Duration::from_secs(2)), eager).await;
        let ann = world.log_in("ann").await;

        let mut previous = 0;
        while world.refreshes() < 3 {
            let token = world.hive.token_with(&ann, patience(Duration::from_millis(250))).await;
            let version = token.expect("a valid token is always there").version();
            assert!(version >= previous, "{version} after {previous}");
            previous = version;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }

        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn what_a_refresh_answer_leaves_out_stays_as_it_was() {
    bounded(async {
        let options = SimulatorOptions {
            reuse: ReuseBehaviour::NonRotating,
            refresh_answer: RefreshAnswer { scope: false, expires_in: false, refresh_token: false },
            ..strict(HOUR)
        };
        let (world, clock) = World::manual(options, |b| b).await;
        world.log_in_as(&key("ann"), sim().scope("read write")).await;
        let before = world.hive.saved_token(&key("ann")).await.unwrap();

        for _ in 0..3 {
            clock.advance(HOUR);
            let after = world.hive.saved_token(&key("ann")).await.unwrap();

            assert_ne!(after.access_token, before.access_token);
            assert_eq!(after.refresh_token, before.refresh_token);
            assert_eq!(after.scope_list(), ["read", "write"]);
            assert_eq!(after.expires_in, before.expires_in);
            let info = world.hive.describe(&key("ann")).await.unwrap().unwrap();
            let left = info.expires.unwrap().since(info.refreshed);
            assert!(left > Duration::from_secs(3595), "{left:?}");
        }
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_forced_refresh_brings_a_newer_token_for_all_who_forced_it() {
    bounded(async {
        let world = World::start(HOUR).await;
        let ann = world.log_in("ann").await;
        let before = world.hive.token(&ann).await.unwrap();
        world.simulator.set_faults(next_refreshes(1, FaultAction::Delay { ms: 200 }));

        let (one, two) = tokio::join!(world.hive.refresh(&ann), world.hive.refresh(&ann));

        assert_eq!(one.unwrap().version(), before.version() + 1);
        assert_eq!(two.unwrap().version(), before.version() + 1);
        assert_eq!(world.refreshes(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_token_too_short_for_its_caller_is_refreshed_once() {
    bounded(async {
        let (world, clock) = World::manual(strict(HOUR), |b| b).await;
        let ann = world.log_in("ann").await;
        clock.advance(HOUR / 2);
        let long = TokenRequest::new().min_validity(HOUR * 3 / 4);

        let token = world.hive.token_with(&ann, long).await.unwrap();
        let same = world.hive.token_with(&ann, long).await.unwrap();

        assert_eq!((token.version(), same.version()), (2, 2));
        assert_eq!(world.refreshes(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_wish_no_token_can_fulfil_costs_one_refresh_at_most() {
    bounded(async {
        let (world, _clock) = World::manual(strict(HOUR), |b| b).await;
        let cold = world.log_in("cold").await;
        let warm = world.log_in("warm").await;
        world.hive.refresh(&warm).await.unwrap();
        let asked = world.refreshes();
        let impossible =
            TokenRequest::new().min_validity(HOUR * 24).deadline(Duration::from_secs(2));

        let warm = world.hive.token_with(&warm, impossible).await;
        assert!(warm.is_ok(), "{warm:?}");
        assert_eq!(world.refreshes(), asked, "it was refreshed just now: there is none better");
        for _ in 0..3 {
            let cold = world.hive.token_with(&cold, impossible).await;
            assert!(cold.is_ok(), "{cold:?}");
        }
        assert_eq!(world.refreshes(), asked + 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_expired_token_without_refresh_token_needs_a_login() {
    bounded(async {
        let (world, clock) = World::manual(strict(HOUR), |b| b).await;
        let without = FaultAction::MissingRefreshToken;
        world.simulator.set_faults(FaultPlan::next(1, GrantFilter::Code, without));
        let ann = world.log_in("ann").await;
        assert!(world.hive.token(&ann).await.is_ok());
        clock.advance(HOUR);

        let error = world.hive.token(&ann).await.unwrap_err();

        assert_eq!(error, TokenError::needs_login(NeedsLogin::NoRefreshToken));
        assert_eq!(world.refreshes(), 0);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn tokens_that_arrive_expired_are_neither_served_nor_chased() {
    bounded(async {
        let options = SimulatorOptions {
            latency: Duration::from_millis(1200),
            ..strict(Duration::from_secs(1))
        };
        let world = World::with(options, eager).await;
        let ann = world.log_in("ann").await;

        let answer = world.hive.token_with(&ann, patience(Duration::from_secs(2))).await;

        assert!(matches!(answer, Err(TokenError::Unavailable { .. })), "{answer:?}");
        assert!(world.refreshes() <= 3, "{} calls in 2 s", world.refreshes());
        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_lifetime_of_zero_means_unknown_and_causes_no_refresh() {
    bounded(async {
        let world = World::with(strict(Duration::ZERO), eager).await;
        let ann = world.log_in("ann").await;

        let token = world.hive.token(&ann).await.unwrap();

        assert_eq!(token.expires_at(), None);
        assert_eq!(world.hive.describe(&ann).await.unwrap().unwrap().due, None);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_session_deleted_during_a_refresh_stays_deleted() {
    bounded(async {
        let world = World::start(HOUR).await;
        let ann = world.log_in("ann").await;
        let slow = FaultAction::DelayAfterCommit { ms: 300 };
        world.simulator.set_faults(next_refreshes(1, slow));
        let refresh = tokio::spawn({
            let (hive, ann) = (world.hive.clone(), ann.clone());
            async move { hive.refresh(&ann).await }
        });
        eventually("the refresh is sent", async || (world.refreshes() == 1).then_some(())).await;

        assert_eq!(world.hive.delete(&ann).await, Ok(true));

        let none = TokenError::needs_login(NeedsLogin::NoSession);
        assert_eq!(refresh.await.unwrap().unwrap_err(), none);
        assert_eq!(world.hive.token(&ann).await.unwrap_err(), none);
        assert_eq!(world.hive.describe(&ann).await, Ok(None));
        world.finish().await;
    })
    .await;
}
