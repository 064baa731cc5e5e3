//! Logins as an adversary would have them: forged, repeated, late, raced, and at a failing provider.

#![cfg(all(feature = "test-support", feature = "file"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::collections::HashSet;
use std::time::Duration;

use support::{HOUR, World, bounded, eventually, key, sim, strict};
use tokenhive::model::{Misconfigured, NeedsLogin, ProviderId, TokenError};
use tokenhive::oauth::CallbackError;
use tokenhive::simulator::{
    FaultAction, FaultPlan, GrantFilter, MalformedBody, RetryAfter, SimulatorOptions,
};
use tokenhive::{CallbackQuery, LoginError, LoginFault, LoginRequest, Secret};
use url::Url;

fn next_code(action: FaultAction) -> FaultPlan {
    FaultPlan::next(1, GrantFilter::Code, action)
}

fn fault(error: LoginError) -> LoginFault {
    match error {
        LoginError::BeginAgain { reason } => reason,
        other => panic!("expected to begin again, not {other:?}"),
    }
}

async fn assert_no_session(world: &World, session: &str) {
    let none = Err(TokenError::needs_login(NeedsLogin::NoSession));
    assert_eq!(world.hive.token(&key(session)).await.map(|_| ()), none);
}

#[tokio::test]
async fn an_unknown_provider_is_a_mistake_of_the_caller() {
    bounded(async {
        let world = World::start(HOUR).await;

        let error = world.hive.begin_login(&key("ann"), LoginRequest::provider("nope")).await;

        let reason = Misconfigured::UnknownProvider(ProviderId::new("nope").unwrap());
        assert_eq!(error.map(|_| ()), Err(LoginError::Misconfigured { reason }));
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_empty_code_is_never_sent_and_leaves_the_login_open() {
    bounded(async {
        let world = World::start(HOUR).await;
        let callback = world.approve(&key("ann"), sim()).await;
        let empty = CallbackQuery { code: Some(Secret::from("")), ..callback.clone() };

        let error = world.hive.complete_login(&empty).await.unwrap_err();

        assert_eq!(fault(error), LoginFault::Callback(CallbackError::EmptyCode));
        assert_eq!(world.simulator.totals().token_requests, 0);
        world.hive.complete_login(&callback).await.unwrap();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_login_finishes_once() {
    bounded(async {
        let world = World::start(HOUR).await;
        let callback = world.approve(&key("ann"), sim()).await;
        let first = world.hive.complete_login(&callback).await.unwrap();

        let error = world.hive.complete_login(&callback).await.unwrap_err();

        assert_eq!(fault(error), LoginFault::AlreadyFinished);
        assert_eq!(world.simulator.totals().code_requests, 1);
        assert!(world.accepted(&first.token).await);
        world.finish().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_finishers_at_once_exactly_one_succeeds() {
    bounded(async {
        let world = World::start(HOUR).await;
        let callback = world.approve(&key("ann"), sim()).await;

        let finishers: Vec<_> = (0..32)
            .map(|_| {
                let (hive, callback) = (world.hive.clone(), callback.clone());
                tokio::spawn(async move { hive.complete_login(&callback).await })
            })
            .collect();

        let mut winners = 0;
        for finisher in finishers {
            match finisher.await.unwrap() {
                Ok(_) => winners += 1,
                Err(error) => assert_eq!(fault(error), LoginFault::AlreadyFinished),
            }
        }
        assert_eq!(winners, 1);
        assert_eq!(world.simulator.totals().code_requests, 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_login_that_comes_too_late_is_not_finished() {
    bounded(async {
        let ttl = Duration::from_secs(60);
        let (world, clock) = World::manual(strict(HOUR), |b| b.login_ttl(ttl)).await;
        let callback = world.approve(&key("ann"), sim()).await;
        clock.advance(ttl);

        let error = world.hive.complete_login(&callback).await.unwrap_err();

        assert_eq!(fault(error), LoginFault::Expired);
        assert_eq!(world.simulator.totals().token_requests, 0);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_forged_state_never_reaches_the_provider() {
    bounded(async {
        let world = World::start(HOUR).await;
        let callback = world.approve(&key("ann"), sim()).await;

        for state in ["x", "", "0000000000000000000000", &"s".repeat(8000)] {
            let forged = CallbackQuery { state: Secret::from(state), ..callback.clone() };
            let error = world.hive.complete_login(&forged).await.unwrap_err();
            assert_eq!(fault(error), LoginFault::UnknownState);
        }

        assert_eq!(world.simulator.totals().token_requests, 0);
        world.hive.complete_login(&callback).await.unwrap();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_user_who_says_no_is_told_apart_from_a_fault() {
    bounded(async {
        let world = World::start(HOUR).await;
        let callback = world.approve(&key("ann"), sim().param("prompt", "deny")).await;

        let error = world.hive.complete_login(&callback).await.unwrap_err();

        assert!(
            matches!(&error, LoginError::Refused { error, .. } if error == "access_denied"),
            "{error:?}"
        );
        assert_eq!(world.simulator.totals().token_requests, 0);
        assert_no_session(&world, "ann").await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_rejected_code_says_to_begin_again() {
    bounded(async {
        let world = World::start(HOUR).await;
        let callback = world.approve(&key("ann"), sim()).await;
        let wrong = CallbackQuery { code: Some(Secret::from("guessed")), ..callback };

        let error = world.hive.complete_login(&wrong).await.unwrap_err();

        let reason = fault(error);
        assert!(
            matches!(&reason, LoginFault::CodeRejected { error, .. } if error == "invalid_grant"),
            "{reason:?}"
        );
        assert_no_session(&world, "ann").await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_code_whose_fate_is_unknown_is_never_sent_twice() {
    let doubtful = [
        FaultAction::DropBeforeCommit,
        FaultAction::DropAfterCommit,
        FaultAction::StatusBeforeCommit { status: 500 },
        FaultAction::StatusAfterCommit { status: 502 },
        FaultAction::HangAfterCommit,
        FaultAction::TruncatedBody,
        FaultAction::Malformed { body: MalformedBody::HtmlOk },
        FaultAction::Malformed { body: MalformedBody::EmptyOk },
        FaultAction::Malformed { body: MalformedBody::TruncatedJson },
        FaultAction::Malformed { body: MalformedBody::JsonArray },
        FaultAction::Malformed { body: MalformedBody::NotUtf8 },
        FaultAction::Malformed { body: MalformedBody::HugeBody },
    ];
    bounded(async {
        let brief = Duration::from_millis(500);
        let world = World::at(strict(HOUR), |p| p.timeout(brief), |b| b).await;
        for (done, action) in (1..).zip(doubtful) {
            let callback = world.approve(&key("ann"), sim()).await;
            world.simulator.set_faults(next_code(action.clone()));

            let reason = fault(world.hive.complete_login(&callback).await.unwrap_err());

            assert!(matches!(reason, LoginFault::InDoubt { .. }), "{action:?}: {reason:?}");
            let again = fault(world.hive.complete_login(&callback).await.unwrap_err());
            assert_eq!(again, LoginFault::AlreadyFinished, "{action:?}");
            assert_eq!(world.simulator.totals().code_requests, done, "{action:?}");
            assert_no_session(&world, "ann").await;
        }
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_asks_for_patience_says_how_much() {
    bounded(async {
        let world = World::start(HOUR).await;
        let callback = world.approve(&key("ann"), sim()).await;
        let action = FaultAction::RateLimited { retry_after: RetryAfter::Seconds(7) };
        world.simulator.set_faults(next_code(action));

        let error = world.hive.complete_login(&callback).await.unwrap_err();

        let LoginError::Unavailable { retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
        assert_eq!(world.simulator.totals().code_requests, 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_redirecting_token_endpoint_is_never_followed() {
    bounded(async {
        let options = SimulatorOptions { token_endpoint_redirect: true, ..strict(HOUR) };
        let world = World::with(options, |b| b).await;
        let callback = world.approve(&key("ann"), sim()).await;

        let error = world.hive.complete_login(&callback).await.unwrap_err();

        assert!(matches!(error, LoginError::Misconfigured { .. }), "{error:?}");
        let totals = world.simulator.totals();
        assert_eq!((totals.redirects_sent, totals.redirects_followed), (1, 0));
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_wrong_client_secret_is_a_matter_of_configuration() {
    bounded(async {
        let world = World::at(strict(HOUR), |p| p.client_secret("wrong"), |b| b).await;
        let callback = world.approve(&key("ann"), sim()).await;

        let error = world.hive.complete_login(&callback).await.unwrap_err();

        let LoginError::Misconfigured { reason: Misconfigured::Client { error, .. } } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!(error, "invalid_client");
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_callback_of_another_issuer_never_brings_its_code_to_ours() {
    bounded(async {
        let options =
            SimulatorOptions { issuer: Some("https://evil.example".into()), ..strict(HOUR) };
        let world = World::at(options, |p| p.issuer("https://good.example"), |b| b).await;
        let callback = world.approve(&key("ann"), sim()).await;

        let error = world.hive.complete_login(&callback).await.unwrap_err();

        assert_eq!(fault(error), LoginFault::Callback(CallbackError::WrongIssuer));
        assert_eq!(world.simulator.totals().token_requests, 0);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_failing_login_harms_no_session_that_stands() {
    bounded(async {
        let world = World::start(HOUR).await;
        let ann = world.log_in("ann").await;
        let before = world.hive.token(&ann).await.unwrap();
        let spoiled =
            [FaultAction::DropAfterCommit, FaultAction::StatusBeforeCommit { status: 500 }];

        for action in spoiled {
            let callback = world.approve(&ann, sim()).await;
            world.simulator.set_faults(next_code(action));
            world.hive.complete_login(&callback).await.unwrap_err();
        }

        let after = world.hive.token(&ann).await.unwrap();
        assert_eq!(after.version(), before.version());
        assert!(world.accepted(&after).await);
        let refreshed = world.hive.refresh(&ann).await.unwrap();
        assert!(world.accepted(&refreshed).await);
        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_new_login_replaces_the_grant_and_no_late_refresh_overwrites_it() {
    bounded(async {
        let world = World::start(HOUR).await;
        let ann = world.log_in("ann").await;
        let first = world.hive.token(&ann).await.unwrap();
        let slow = FaultAction::DelayAfterCommit { ms: 600 };
        world.simulator.set_faults(support::next_refreshes(1, slow));
        let old_refresh = tokio::spawn({
            let (hive, ann) = (world.hive.clone(), ann.clone());
            async move { hive.refresh(&ann).await }
        });
        eventually("the refresh is sent", async || (world.refreshes() == 1).then_some(())).await;

        let second = world.log_in_as(&ann, sim().param("user", "bob")).await.token;
        let late = old_refresh.await.unwrap().unwrap();

        assert!(second.version() > first.version());
        assert_eq!(second.generation(), 1, "counted from its own login");
        assert_eq!(late.version(), second.version(), "the waiting caller gets the new grant");
        eventually("the late answer was dealt with", async || {
            let redeemed = world.simulator.totals().redemptions;
            (redeemed == 1).then_some(())
        })
        .await;
        let third = world.hive.refresh(&ann).await.unwrap();
        assert!(third.generation() > second.generation());
        assert!(world.accepted(&third).await);
        let truth = world.simulator.ledger();
        let newest = truth.families_of("bob").last().unwrap();
        assert_eq!(newest.newest_generation, 1, "bob's grant was refreshed, not ann's");
        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_lose_the_tokens() {
    bounded(async {
        let world = World::start(HOUR).await;
        let callback = world.approve(&key("ann"), sim()).await;
        let slow = FaultAction::DelayAfterCommit { ms: 300 };
        world.simulator.set_faults(next_code(slow));

        tokio::select! {
            _ = world.hive.complete_login(&callback) => panic!("the provider is slow"),
            () = eventually("the code is sent", async || {
                (world.simulator.totals().code_requests == 1).then_some(())
            }) => {}
        }

        let token =
            eventually("the tokens are stored", async || world.hive.token(&key("ann")).await.ok())
                .await;
        assert!(world.accepted(&token).await);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn every_login_has_its_own_state_and_verifier() {
    bounded(async {
        let world = World::start(HOUR).await;
        let (mut states, mut challenges) = (HashSet::new(), HashSet::new());

        for _ in 0..50 {
            let login = world.hive.begin_login(&key("ann"), sim()).await.unwrap();
            let url = Url::parse(&login.authorization_url).unwrap();
            let value = |name: &str| {
                let mut pairs = url.query_pairs().filter(|(known, _)| known == name);
                let value = pairs.next().unwrap().1.into_owned();
                assert_eq!(pairs.next(), None, "{name} comes once");
                value
            };
            assert_eq!(value("code_challenge_method"), "S256");
            assert_eq!(value("state"), login.state.expose());
            states.insert(value("state"));
            challenges.insert(value("code_challenge"));
        }

        assert_eq!((states.len(), challenges.len()), (50, 50));
        world.finish().await;
    })
    .await;
}
