//! Exchanges whose outcome nobody knows, for every reuse class: bounded calls, and no session lost by us.

#![cfg(all(feature = "test-support", feature = "file"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::time::Duration;

use support::{HOUR, World, bounded, eager, every_refresh, key, saved, strict};
use tokenhive::model::{TokenError, Unavailable};
use tokenhive::simulator::{
    FaultAction, FaultPlan, FaultRule, GrantFilter, MalformedBody, Minted, ReuseBehaviour,
    SimulatorOptions, When,
};
use tokenhive::{RestoreError, RestoreOptions, ReuseClass, TokenRequest};
use tokio::time::Instant;

const GRACE: Duration = Duration::from_secs(30);

/// Every way in which an answer fails to say what became of the refresh token.
fn doubtful() -> Vec<FaultAction> {
    vec![
        FaultAction::DropBeforeCommit,
        FaultAction::DropAfterCommit,
        FaultAction::StatusBeforeCommit { status: 500 },
        FaultAction::StatusAfterCommit { status: 502 },
        FaultAction::Unavailable503 { retry_after: None },
        FaultAction::Hang,
        FaultAction::HangAfterCommit,
        FaultAction::TruncatedBody,
        FaultAction::Malformed { body: MalformedBody::HtmlOk },
        FaultAction::Malformed { body: MalformedBody::TruncatedJson },
    ]
}

async fn world(reuse: ReuseBehaviour, class: ReuseClass) -> World {
    let options = SimulatorOptions { reuse, ..strict(HOUR) };
    let brief = Duration::from_millis(400);
    World::at(options, |p| p.reuse_class(class).timeout(brief), eager).await
}

/// One session for each fault, which strikes its first refresh.
fn struck_once(world: &World) -> Vec<(FaultAction, Minted)> {
    let actions = doubtful();
    let minted = world.simulator.mint(actions.len(), HOUR);
    let struck: Vec<_> = actions.into_iter().zip(minted).collect();
    let rules = struck.iter().map(|(action, minted)| FaultRule {
        grant: GrantFilter::Refresh,
        user: Some(minted.user.clone()),
        when: When::Next(1),
        ..FaultRule::always(action.clone())
    });
    world.simulator.set_faults(FaultPlan { rules: rules.collect() });
    struck
}

/// Restores every session with an expired token, all at once.
async fn restore_expired(
    world: &World,
    struck: &[(FaultAction, Minted)],
) -> Vec<Result<(), RestoreError>> {
    let restored: Vec<_> = struck
        .iter()
        .map(|(_, minted)| {
            let (hive, session, saved) = (world.hive.clone(), key(&minted.user), saved(minted, -5));
            tokio::spawn(async move {
                let options = RestoreOptions::default();
                hive.restore(&session, "sim", &saved, options).await.map(|_| ())
            })
        })
        .collect();
    let mut results = Vec::new();
    for one in restored {
        results.push(one.await.unwrap());
    }
    results
}

fn assert_nothing_revoked(world: &World) {
    world.assert_no_reuse();
    let revoked = world.simulator.totals().families_revoked;
    assert!(revoked.is_empty(), "{revoked:?}");
}

/// A class that forgives a repetition: one lost answer costs one more call and nothing else.
async fn survives(reuse: ReuseBehaviour, class: ReuseClass) {
    bounded(async {
        let world = world(reuse, class).await;
        let struck = struck_once(&world);

        let restored = restore_expired(&world, &struck).await;

        for ((action, minted), result) in struck.iter().zip(restored) {
            assert_eq!(result, Ok(()), "{class} {action:?}");
            let token = world.hive.token(&key(&minted.user)).await.unwrap();
            assert!(world.accepted(&token).await, "{class} {action:?}");
            assert_eq!(world.presented(minted), 2, "{class} {action:?}");
        }
        assert_nothing_revoked(&world);
        for (action, minted) in &struck {
            let next = world.hive.refresh(&key(&minted.user)).await;
            assert!(next.is_ok(), "the session goes on: {class} {action:?} {next:?}");
        }
        assert_nothing_revoked(&world);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_costs_one_more_call_where_tokens_do_not_rotate() {
    survives(ReuseBehaviour::NonRotating, ReuseClass::NonRotating).await;
}

#[tokio::test]
async fn a_lost_answer_costs_one_more_call_where_old_tokens_stay_valid() {
    survives(ReuseBehaviour::Multiple, ReuseClass::Multiple).await;
}

#[tokio::test]
async fn a_lost_answer_costs_one_more_call_where_answers_are_repeated() {
    survives(ReuseBehaviour::Idempotent, ReuseClass::Idempotent).await;
}

#[tokio::test]
async fn a_lost_answer_costs_one_more_call_within_a_grace_period() {
    let seconds = GRACE.as_secs();
    survives(ReuseBehaviour::GraceAll { seconds }, ReuseClass::Grace(GRACE)).await;
}

#[tokio::test]
async fn a_lost_answer_costs_one_more_call_where_the_last_one_wins() {
    let seconds = GRACE.as_secs();
    survives(ReuseBehaviour::GraceLast { seconds }, ReuseClass::Grace(GRACE)).await;
}

/// A class that does not forgive: nothing is presented again before its patience has passed.
async fn waits(reuse: ReuseBehaviour, class: ReuseClass) {
    bounded(async {
        let world = world(reuse, class).await;
        let struck = struck_once(&world);

        let restored = restore_expired(&world, &struck).await;

        for ((action, _), result) in struck.iter().zip(restored) {
            let Err(RestoreError::Token(error)) = result else { panic!("{action:?} {result:?}") };
            assert_in_doubt(&error, action);
        }
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            for (action, minted) in &struck {
                let session = key(&minted.user);
                let asked = [world.hive.token(&session).await, world.hive.refresh(&session).await];
                for answer in asked {
                    assert_in_doubt(&answer.unwrap_err(), action);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for (action, minted) in &struck {
            assert_eq!(world.presented(minted), 1, "{class} {action:?}");
        }
        assert_nothing_revoked(&world);
        world.finish().await;
    })
    .await;
}

fn assert_in_doubt(error: &TokenError, action: &FaultAction) {
    assert!(
        matches!(error, TokenError::Unavailable { reason: Unavailable::InDoubt { .. }, .. }),
        "{action:?}: {error:?}"
    );
    let hint = error.retry_after().unwrap();
    assert!(hint >= Duration::from_secs(50), "{action:?}: {hint:?}");
}

#[tokio::test]
async fn a_token_that_may_be_spent_is_not_presented_again_before_its_patience_has_passed() {
    tokio::join!(
        waits(ReuseBehaviour::SingleUse, ReuseClass::SingleUse),
        waits(ReuseBehaviour::Revoking, ReuseClass::Revoking),
    );
}

/// A provider that never answers sees no more presentations than the class allows, and readers keep the
/// token that is still valid.
async fn gives_up_in_time(reuse: ReuseBehaviour, class: ReuseClass) {
    bounded(async {
        let world = world(reuse, class).await;
        let minted = world.simulator.mint(1, HOUR).remove(0);
        let session = key(&minted.user);
        let live = saved(&minted, 3000);
        world.hive.restore(&session, "sim", &live, RestoreOptions::default()).await.unwrap();
        world.simulator.set_faults(every_refresh(FaultAction::DropBeforeCommit));

        let until = Instant::now() + Duration::from_secs(5);
        let brief = TokenRequest::new().force().deadline(Duration::from_millis(300));
        while Instant::now() < until {
            let forced = world.hive.token_with(&session, brief).await;
            assert!(matches!(forced, Err(TokenError::Unavailable { .. })), "{forced:?}");
            assert!(world.hive.token(&session).await.is_ok());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }

        let presented = world.presented(&minted);
        assert!((1..=class.max_tries()).contains(&presented), "{class}: {presented}");
        let token = world.hive.token(&session).await.unwrap();
        assert!(world.accepted(&token).await);
        assert_nothing_revoked(&world);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_silent_provider_is_asked_up_to_the_cap_of_its_class() {
    tokio::join!(
        gives_up_in_time(ReuseBehaviour::NonRotating, ReuseClass::NonRotating),
        gives_up_in_time(ReuseBehaviour::Multiple, ReuseClass::Multiple),
        gives_up_in_time(ReuseBehaviour::Idempotent, ReuseClass::Idempotent),
        gives_up_in_time(ReuseBehaviour::GraceAll { seconds: 30 }, ReuseClass::Grace(GRACE)),
        gives_up_in_time(ReuseBehaviour::SingleUse, ReuseClass::SingleUse),
        gives_up_in_time(ReuseBehaviour::Revoking, ReuseClass::Revoking),
    );
}
