//! Actors come and go: passivation, overload, shutdown, many at once, and on every kind of runtime.

#![cfg(all(feature = "test-support", feature = "file"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::time::Duration;

use support::{
    HOUR, World, bounded, eager, eventually, key, next_refreshes, provider, saved, sim, strict,
    visit,
};
use tokenhive::model::{NeedsLogin, TokenError, Unavailable};
use tokenhive::simulator::{FaultAction, FaultPlan, GrantFilter, SimulatorOptions};
use tokenhive::{
    FileStore, Keyring, LoginError, MemoryStore, RestoreOptions, SessionState, TokenHive,
    TokenRequest,
};

const SOON: Duration = Duration::from_millis(100);

#[tokio::test]
async fn an_idle_actor_goes_and_the_next_caller_brings_it_back() {
    bounded(async {
        let world = World::with(strict(HOUR), |b| b.passivate_after(SOON)).await;
        let ann = world.log_in("ann").await;
        let first = world.hive.refresh(&ann).await.unwrap();
        assert_eq!(world.hive.resident(), (1, 1));

        eventually("the actor has gone", async || (world.hive.resident().1 == 0).then_some(()))
            .await;

        assert_eq!(world.hive.token(&ann).await.unwrap().version(), first.version());
        let second = world.hive.refresh(&ann).await.unwrap();
        assert_eq!(second.version(), first.version() + 1);
        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn what_nobody_reads_is_evicted_and_comes_back_from_the_store() {
    bounded(async {
        let world = World::with(strict(HOUR), |b| b.passivate_after(SOON)).await;
        let ann = world.log_in("ann").await;
        let first = world.hive.token(&ann).await.unwrap();

        eventually("it is evicted", async || (world.hive.resident() == (0, 0)).then_some(())).await;

        assert_eq!(world.hive.token(&ann).await.unwrap().version(), first.version());
        assert_eq!(world.refreshes(), 0);
        world.finish().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_nobody_logged_in_under_leave_nothing_behind() {
    bounded(async {
        let world = World::with(strict(HOUR), |b| b.passivate_after(SOON)).await;
        let none = TokenError::needs_login(NeedsLogin::NoSession);

        let askers: Vec<_> = (0..2000)
            .map(|number| {
                let hive = world.hive.clone();
                // Every key is asked for by several callers at once.
                let session = key(&format!("nobody-{}", number % 400));
                tokio::spawn(async move { hive.token(&session).await.unwrap_err() })
            })
            .collect();

        for asker in askers {
            assert_eq!(asker.await.unwrap(), none);
        }
        eventually("nothing is left", async || (world.hive.resident() == (0, 0)).then_some(()))
            .await;
        assert_eq!(world.simulator.totals().token_requests, 0);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn reads_across_passivation_never_fail() {
    bounded(async {
        let world =
            World::with(strict(HOUR), |b| b.passivate_after(Duration::from_millis(1))).await;
        let ann = world.log_in("ann").await;

        let mut version = 0;
        for _ in 0..300 {
            let token = world.hive.refresh(&ann).await.unwrap();
            assert!(token.version() > version);
            version = token.version();
        }

        world.assert_no_reuse();
        assert_eq!(world.refreshes(), 300);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn too_many_waiting_callers_are_turned_away_with_a_hint() {
    bounded(async {
        let (world, clock) = World::manual(strict(HOUR), |b| b.max_waiters(5)).await;
        let ann = world.log_in("ann").await;
        clock.advance(HOUR);
        world.simulator.set_faults(next_refreshes(1, FaultAction::Delay { ms: 400 }));

        let callers: Vec<_> = (0..20)
            .map(|_| {
                let (hive, ann) = (world.hive.clone(), ann.clone());
                tokio::spawn(async move { hive.token(&ann).await })
            })
            .collect();

        let (mut served, mut turned_away) = (0, 0);
        for caller in callers {
            match caller.await.unwrap() {
                Ok(_) => served += 1,
                Err(TokenError::Unavailable {
                    reason: Unavailable::Overloaded,
                    retry_after: Some(_),
                }) => turned_away += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((served, turned_away), (5, 15));
        assert!(world.hive.token(&ann).await.is_ok());
        assert_eq!(world.refreshes(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn callers_that_gave_up_make_room_for_others() {
    bounded(async {
        let (world, clock) = World::manual(strict(HOUR), |b| b.max_waiters(5)).await;
        let ann = world.log_in("ann").await;
        clock.advance(HOUR);
        world.simulator.set_faults(next_refreshes(1, FaultAction::Delay { ms: 500 }));
        let brief = TokenRequest::new().deadline(Duration::from_millis(20));
        for _ in 0..20 {
            let error = world.hive.token_with(&ann, brief).await.unwrap_err();
            assert!(
                matches!(&error, TokenError::Unavailable { reason: Unavailable::Deadline, .. }),
                "{error:?}"
            );
        }

        assert!(world.hive.token(&ann).await.is_ok());

        assert_eq!(world.refreshes(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn shutdown_waits_for_the_exchange_in_flight() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.redb");
        let keyring = Keyring::generate();
        let store = FileStore::open(&path).unwrap();
        let world = World::with(strict(HOUR), |b| b.store(store).keyring(keyring.clone())).await;
        let ann = world.log_in("ann").await;
        let slow = FaultAction::DelayAfterCommit { ms: 500 };
        world.simulator.set_faults(next_refreshes(1, slow));
        let refresh = tokio::spawn({
            let (hive, ann) = (world.hive.clone(), ann.clone());
            async move { hive.refresh(&ann).await }
        });
        eventually("the refresh is sent", async || (world.refreshes() == 1).then_some(())).await;

        world.hive.shutdown().await;

        let _ = refresh.await.unwrap();
        let builder = TokenHive::builder().provider(provider(&world.simulator));
        let reopened = FileStore::open(&path).unwrap();
        let hive = builder.store(reopened).keyring(keyring).start().await.unwrap();
        let info = hive.describe(&ann).await.unwrap().unwrap();
        assert_eq!((info.generation, info.state), (2, SessionState::Active));
        assert!(world.accepted(&hive.token(&ann).await.unwrap()).await);
        assert_eq!(world.refreshes(), 1);
        hive.shutdown().await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn after_shutdown_nothing_begins_and_what_is_valid_is_still_served() {
    bounded(async {
        let (world, clock) = World::manual(strict(HOUR), |b| {
            b.store(MemoryStore::new()).keyring(Keyring::generate())
        })
        .await;
        let ann = world.log_in("ann").await;
        let callback = world.approve(&key("bob"), sim()).await;
        world.hive.shutdown().await;
        world.hive.shutdown().await;

        let closing = |error: &TokenError| {
            matches!(error, TokenError::Unavailable { reason: Unavailable::Closing, .. })
        };
        assert!(world.hive.token(&ann).await.is_ok());
        clock.advance(Duration::from_secs(3595));
        assert!(world.hive.token(&ann).await.is_ok(), "within the margin as well");
        let error = world.hive.refresh(&ann).await.unwrap_err();
        assert!(closing(&error), "{error:?}");
        let error = world.hive.token(&key("nobody")).await.unwrap_err();
        assert!(closing(&error), "{error:?}");
        clock.advance(HOUR);
        let error = world.hive.token(&ann).await.unwrap_err();
        assert!(closing(&error), "{error:?}");
        let code_requests = world.simulator.totals().code_requests;
        let error = world.hive.complete_login(&callback).await.unwrap_err();
        assert!(
            matches!(error, LoginError::Unavailable { reason: Unavailable::Closing, .. }),
            "{error:?}"
        );
        let error = world.hive.begin_login(&key("bob"), sim()).await.unwrap_err();
        assert!(
            matches!(error, LoginError::Unavailable { reason: Unavailable::Closing, .. }),
            "{error:?}"
        );
        let totals = world.simulator.totals();
        assert_eq!((totals.code_requests, totals.refresh_requests), (code_requests, 0));
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn callers_that_wait_for_the_provider_are_let_go_at_shutdown() {
    bounded(async {
        let world = World::with(strict(HOUR), eager).await;
        let ann = world.log_in("ann").await;
        let minted = world.simulator.mint(1, HOUR).remove(0);
        let limited =
            FaultAction::RateLimited { retry_after: tokenhive::simulator::RetryAfter::Seconds(5) };
        world.simulator.set_faults(FaultPlan::next(9, GrantFilter::Refresh, limited));
        world.hive.refresh(&ann).await.ok();
        let waiting = tokio::spawn({
            let (hive, text) = (world.hive.clone(), saved(&minted, -5));
            async move { hive.restore(&key("bob"), "sim", &text, RestoreOptions::default()).await }
        });
        eventually("bob waits", async || {
            world.hive.describe(&key("bob")).await.unwrap().map(|_| ())
        })
        .await;
        let asked = world.refreshes();

        world.hive.shutdown().await;

        let answer = tokio::time::timeout(Duration::from_secs(2), waiting).await;
        assert!(answer.expect("let go at once").unwrap().is_err());
        assert_eq!(world.refreshes(), asked, "nothing new was begun");
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn hives_come_and_go_within_one_process() {
    bounded(async {
        let world = World::start(HOUR).await;
        for round in 0..5 {
            let builder = TokenHive::builder().provider(provider(&world.simulator));
            let hive = builder.start().await.unwrap();
            let session = key(&format!("round-{round}"));
            let login = hive.begin_login(&session, sim()).await.unwrap();
            let callback = visit(&world.http, &login.authorization_url).await;
            hive.complete_login(&callback).await.unwrap();
            assert!(hive.refresh(&session).await.is_ok());
            if round % 2 == 0 {
                hive.shutdown().await;
            }
        }
        world.finish().await;
    })
    .await;
}

fn on_runtime(runtime: &tokio::runtime::Runtime) {
    runtime.block_on(bounded(async {
        let world = World::with(strict(Duration::from_secs(1)), eager).await;
        let ann = world.log_in("ann").await;
        let first = world.hive.token(&ann).await.unwrap();
        world.until_refreshed(&ann, first.version()).await;
        world.finish().await;
    }));
}

#[test]
fn a_hive_runs_on_one_thread() {
    on_runtime(&tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
}

#[test]
fn a_hive_runs_on_many_threads() {
    on_runtime(&tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_sessions_due_at_once_are_drained_within_the_limit() {
    /// More than are claimed at a time.
    const SESSIONS: usize = 1500;
    const LIMIT: usize = 8;
    bounded(async {
        let options = SimulatorOptions { history: 10, ..strict(HOUR) };
        let (world, clock) = World::manual(options, |b| eager(b).concurrent_exchanges(LIMIT)).await;
        let minted = world.simulator.mint(SESSIONS, HOUR);
        for one in &minted {
            let (session, text) = (key(&one.user), saved(one, 3000));
            world.hive.restore(&session, "sim", &text, RestoreOptions::default()).await.unwrap();
        }
        assert_eq!(world.refreshes(), 0);
        clock.advance(Duration::from_secs(2900));

        eventually("all are refreshed", async || {
            (world.simulator.totals().redemptions >= SESSIONS as u64).then_some(())
        })
        .await;
        let totals = world.simulator.totals();
        assert!(totals.max_concurrent_token_requests <= LIMIT as u64, "{totals:?}");
        assert_eq!(totals.refresh_requests, SESSIONS as u64);
        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}
