//! A provider that is down, busy, misconfigured, or says its final no.

#![cfg(all(feature = "test-support", feature = "file"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::time::Duration;

use support::{
    HOUR, World, bounded, eager, eventually, every_refresh, key, next_refreshes, strict,
};
use tokenhive::model::{Misconfigured, NeedsLogin, TokenError, Unavailable};
use tokenhive::simulator::{FaultAction, FaultPlan, RetryAfter};
use tokenhive::timing::Backoff;
use tokenhive::{RestoreOptions, TokenRequest, catalogue};
use tokio::time::Instant;

fn patience(span: Duration) -> TokenRequest {
    TokenRequest::new().deadline(span)
}

#[tokio::test]
async fn a_valid_token_is_handed_out_while_the_provider_is_down() {
    bounded(async {
        let (world, clock) = World::manual(strict(HOUR), |b| b).await;
        let ann = world.log_in("ann").await;
        world.simulator.set_faults(every_refresh(FaultAction::StatusBeforeCommit { status: 500 }));
        clock.advance(Duration::from_secs(3595));

        for _ in 0..20 {
            let token = world.hive.token_with(&ann, patience(Duration::from_millis(500))).await;
            assert_eq!(token.unwrap().version(), 1);
        }

        eventually("the refresh behind it is sent", async || (world.refreshes() > 0).then_some(()))
            .await;
        for _ in 0..20 {
            assert_eq!(world.hive.token(&ann).await.unwrap().version(), 1);
        }
        assert_eq!(world.refreshes(), 1, "an unknown outcome is not repeated");
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_expired_token_at_a_busy_provider_is_a_matter_of_waiting() {
    bounded(async {
        let (world, clock) = World::manual(strict(HOUR), |b| b).await;
        let ann = world.log_in("ann").await;
        let busy = FaultAction::Unavailable503 { retry_after: Some(RetryAfter::Seconds(60)) };
        world.simulator.set_faults(every_refresh(busy));
        clock.advance(HOUR);

        let error = world.hive.token(&ann).await.unwrap_err();

        assert!(
            matches!(&error, TokenError::Unavailable { reason: Unavailable::Provider { .. }, .. }),
            "{error:?}"
        );
        let hint = error.retry_after().unwrap();
        assert!((55..=80).contains(&hint.as_secs()), "{hint:?}");
        world.simulator.set_faults(FaultPlan::none());
        clock.advance(hint);
        assert!(world.accepted(&world.hive.token(&ann).await.unwrap()).await);
        assert_eq!(world.refreshes(), 2);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn waiting_callers_get_the_token_when_the_provider_returns() {
    bounded(async {
        let world = World::with(strict(Duration::from_secs(1)), eager).await;
        let ann = world.log_in("ann").await;
        let busy = FaultAction::Unavailable503 { retry_after: Some(RetryAfter::Seconds(1)) };
        world.simulator.set_faults(next_refreshes(2, busy));
        eventually("the token has expired and the provider was asked in vain", async || {
            let brief = patience(Duration::from_millis(10));
            let waits = world.hive.token_with(&ann, brief).await.is_err();
            (waits && world.refreshes() > 0).then_some(())
        })
        .await;

        let token = world.hive.token(&ann).await.unwrap();

        assert!(world.accepted(&token).await);
        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn waits_after_failures_grow() {
    bounded(async {
        let world = World::with(strict(HOUR), |b| {
            let backoff =
                Backoff { floor: Duration::from_millis(30), ceiling: Duration::from_secs(60) };
            let closed = "http://127.0.0.1:9/token";
            let gone = catalogue::generic("gone", "client", "http://127.0.0.1:9/a", closed)
                .client_secret("secret")
                .redirect_url("http://127.0.0.1:9/callback");
            eager(b).backoff(backoff).provider(gone)
        })
        .await;
        let saved = r#"{"access_token":"a","expires_in":60,"expires_at":1,"refresh_token":"r"}"#;
        let ann = key("ann");
        let restored = tokio::time::timeout(
            Duration::from_secs(3),
            world.hive.restore(&ann, "gone", saved, RestoreOptions::default()),
        );

        let _ = restored.await;

        let info = world.hive.describe(&ann).await.unwrap().unwrap();
        assert!((2..=12).contains(&info.failures), "{} failures in 3 s", info.failures);
        assert_eq!(info.last_error.unwrap().code, "unreachable");
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn the_providers_final_no_is_final_until_the_next_login() {
    bounded(async {
        let world = World::with(strict(Duration::from_secs(1)), eager).await;
        let ann = world.log_in("ann").await;
        world.simulator.revoke_user("ann");

        let error = eventually("the session has ended", async || {
            let error = world.hive.token(&ann).await.err()?;
            Some(error)
        })
        .await;

        let TokenError::NeedsLogin { reason: NeedsLogin::Rejected { error, description } } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!(error, "invalid_grant");
        assert!(description.is_some(), "the provider's own words are passed on");
        let asked = world.refreshes();
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            let refusals = [world.hive.token(&ann).await, world.hive.refresh(&ann).await];
            assert!(
                refusals
                    .iter()
                    .all(|refusal| { matches!(refusal, Err(TokenError::NeedsLogin { .. })) })
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!((world.refreshes(), asked), (1, 1), "asked once, never again");
        world.log_in("ann").await;
        assert!(world.accepted(&world.hive.token(&ann).await.unwrap()).await);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_wrong_secret_never_ends_a_session_however_often_it_is_tried() {
    bounded(async {
        let (world, clock) = World::manual(strict(HOUR), |b| b).await;
        let ann = world.log_in("ann").await;
        let set_secret = |secret: &str| {
            let secret = secret.to_owned();
            world.simulator.update(|options| {
                options.clients.get_mut("tokenhive").unwrap().secret = Some(secret);
            });
        };
        set_secret("rotated");

        for _ in 0..5 {
            let error = world.hive.refresh(&ann).await.unwrap_err();
            assert!(
                matches!(&error, TokenError::Misconfigured { reason: Misconfigured::Client { error, .. } } if error == "invalid_client"),
                "{error:?}"
            );
            assert_eq!(world.hive.token(&ann).await.unwrap().version(), 1, "valid, so served");
            clock.advance(Duration::from_secs(301));
        }
        assert!(world.refreshes() >= 5);
        set_secret("simulator-secret");
        let healed = world.hive.refresh(&ann).await.unwrap();
        assert!(world.accepted(&healed).await);

        set_secret("rotated");
        clock.advance(HOUR);
        let error = world.hive.token(&ann).await.unwrap_err();
        assert!(matches!(error, TokenError::Misconfigured { .. }), "{error:?}");
        set_secret("simulator-secret");
        clock.advance(Duration::from_secs(301));
        assert!(world.accepted(&world.hive.token(&ann).await.unwrap()).await);
        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn retry_after_holds_for_every_session_of_the_client() {
    bounded(async {
        let world = World::with(strict(HOUR), eager).await;
        let (ann, bob) = (world.log_in("ann").await, world.log_in("bob").await);
        let limited = FaultAction::RateLimited { retry_after: RetryAfter::Seconds(2) };
        world.simulator.set_faults(next_refreshes(1, limited));
        let began = Instant::now();

        let forced = |span| TokenRequest::new().force().deadline(span);
        let brief = Duration::from_millis(300);
        world.hive.token_with(&ann, forced(brief)).await.unwrap_err();
        world.hive.token_with(&bob, forced(brief)).await.unwrap_err();
        assert_eq!(world.refreshes(), 1, "bob's refresh was held back");
        let late = Duration::from_secs(8);
        let (ann, bob) = tokio::join!(
            world.hive.token_with(&ann, forced(late)),
            world.hive.token_with(&bob, forced(late)),
        );

        assert!(ann.is_ok() && bob.is_ok(), "{ann:?} {bob:?}");
        assert!(began.elapsed() >= Duration::from_secs(2));
        assert_eq!(world.refreshes(), 3);
        world.finish().await;
    })
    .await;
}
