//! Hives that share a Redis: what one does the others know; and what they do while it is gone.

#![cfg(all(unix, feature = "redis", feature = "test-support"))]

#[path = "support/redis_fleet.rs"]
mod redis_fleet;
#[expect(dead_code, reason = "every test binary uses its own part")]
#[path = "support/redis.rs"]
mod redis_support;
#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::time::Duration;

use redis_fleet::Fleet;
use support::{
    HOUR, bounded, browser, eventually, key, next_refreshes, provider, saved, sim, strict, visit,
};
use tokenhive::simulator::{FaultAction, SimulatorOptions};
use tokenhive::store::{RedisStore, SessionStore as _};
use tokenhive::{
    HiveBuilder, JournalOptions, NeedsLogin, RestoreOptions, ReuseClass, TokenError, Unavailable,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_login_begun_on_one_node_is_finished_on_another() {
    bounded(async {
        let fleet = Fleet::start(strict(HOUR)).await;
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);

        let login = a.begin_login(&key("ann"), sim().param("user", "ann")).await.unwrap();
        let callback = visit(&browser(), &login.authorization_url).await;
        let finished = b.complete_login(&callback).await.unwrap();

        let token = a.token(&key("ann")).await.unwrap();
        assert_eq!(token.access_token(), finished.token.access_token());
        assert!(a.complete_login(&callback).await.is_err(), "a login works once, on any node");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_on_one_node_stops_the_others_and_is_revoked_at_the_provider() {
    bounded(async {
        let fleet = Fleet::start(strict(HOUR)).await;
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        let session = fleet.session(&a).await;
        let token = b.token(&session).await.unwrap();

        assert!(a.delete(&session).await.unwrap());

        let stopped = eventually("the other node stops", async || b.token(&session).await.err());
        let stopped = tokio::time::timeout(Duration::from_secs(1), stopped).await;
        let no_session = TokenError::needs_login(NeedsLogin::NoSession);
        assert_eq!(stopped.expect("within a second"), no_session);
        eventually("it is revoked", async || {
            (!fleet.accepted(token.access_token().expose()).await).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_on_one_node_is_known_on_the_others_without_another_call() {
    bounded(async {
        let fleet = Fleet::start(strict(HOUR)).await;
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        let session = fleet.session(&a).await;
        let old = b.token(&session).await.unwrap();

        let new = a.refresh(&session).await.unwrap();
        let seen = eventually("the other node knows", async || {
            b.token(&session).await.ok().filter(|token| token.version() > old.version())
        })
        .await;

        assert_eq!(seen.access_token(), new.access_token());
        let reported = b.report_unauthorized(&session, old.version()).await.unwrap();
        assert_eq!(reported.version(), new.version(), "it was replaced already");
        assert_eq!(fleet.calls(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reported_401_refreshes_once_and_not_again_right_after() {
    bounded(async {
        let fleet = Fleet::start(strict(HOUR)).await;
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        let session = fleet.session(&a).await;
        let version = a.token(&session).await.unwrap().version();
        b.token(&session).await.unwrap();

        let reports = (0..20).map(|number| {
            let (hive, session) =
                (if number % 2 == 0 { a.clone() } else { b.clone() }, session.clone());
            tokio::spawn(async move { hive.report_unauthorized(&session, version).await })
        });
        let mut newest = 0;
        for report in reports.collect::<Vec<_>>() {
            newest = newest.max(report.await.unwrap().unwrap().version());
        }
        let again = a.report_unauthorized(&session, newest).await.unwrap_err();

        assert!(
            matches!(again, TokenError::Unavailable { retry_after: Some(_), .. }),
            "a new token is not the reason: {again:?}"
        );
        assert_eq!(fleet.calls(), 1);
        fleet.assert_nothing_used_twice();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_want_the_same_refresh_make_one_call() {
    bounded(async {
        let latency = Duration::from_millis(100);
        let fleet = Fleet::start(SimulatorOptions { latency, ..strict(HOUR) }).await;
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        let mut sessions = Vec::new();
        for _ in 0..20 {
            sessions.push(fleet.session(&a).await);
        }

        let refreshes = sessions.iter().flat_map(|session| {
            [&a, &b].map(|hive| {
                let (hive, session) = (hive.clone(), session.clone());
                tokio::spawn(async move { hive.refresh(&session).await })
            })
        });
        for refresh in refreshes.collect::<Vec<_>>() {
            let token = refresh.await.unwrap().unwrap();
            assert!(fleet.accepted(token.access_token().expose()).await);
        }

        assert_eq!(fleet.calls(), 20);
        fleet.assert_nothing_used_twice();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_gone_valid_tokens_are_served_and_answers_are_kept_for_it() {
    bounded(async {
        let latency = Duration::from_millis(600);
        let mut fleet = Fleet::start(SimulatorOptions { latency, ..strict(HOUR) }).await;
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        let (quiet, refreshing) = (fleet.session(&a).await, fleet.session(&a).await);
        for session in [&quiet, &refreshing] {
            b.token(session).await.unwrap();
        }

        let refresh = tokio::spawn({
            let (a, refreshing) = (a.clone(), refreshing.clone());
            async move { a.refresh(&refreshing).await }
        });
        eventually("it is sent", async || {
            (fleet.simulator.ledger().totals.refresh_requests > 0 || refresh.is_finished())
                .then_some(())
        })
        .await;
        fleet.redis.kill().await;
        let refreshed = refresh.await.unwrap().unwrap();

        assert_eq!(refreshed.generation(), 2, "served from the journal");
        assert!(fleet.accepted(refreshed.access_token().expose()).await);
        for hive in [&a, &b] {
            assert!(hive.token(&quiet).await.is_ok());
            assert!(hive.token(&refreshing).await.is_ok());
            assert!(!hive.readiness().ready);
        }
        let refused = a.refresh(&quiet).await.unwrap_err();
        assert!(
            matches!(refused, TokenError::Unavailable { reason: Unavailable::Store { .. }, .. }),
            "{refused:?}"
        );
        fleet.redis.restart().await;
        let back = tokio::time::Instant::now();
        eventually("the answer is in Redis", async || {
            let store = RedisStore::connect_with(fleet.redis_options()).await.ok()?;
            let record = store.load(&refreshing).await.ok()?.reply.record?;
            (record.generation == record.grant + 1 && record.slot.is_none()).then_some(())
        })
        .await;
        assert!(back.elapsed() < Duration::from_secs(10));
        eventually("refreshes go on", async || a.refresh(&quiet).await.ok()).await;
        assert!(a.readiness().ready);
        fleet.assert_nothing_used_twice();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_only_the_journal_has_reaches_redis_at_the_next_start() {
    bounded(async {
        let latency = Duration::from_millis(600);
        let mut fleet = Fleet::start(SimulatorOptions { latency, ..strict(HOUR) }).await;
        let a = fleet.node("a").await;
        let session = fleet.session(&a).await;
        let refresh = tokio::spawn({
            let (a, session) = (a.clone(), session.clone());
            async move { a.refresh(&session).await }
        });
        eventually("it is sent", async || (fleet.calls() > 0).then_some(())).await;
        fleet.redis.kill().await;
        refresh.await.unwrap().unwrap();
        a.shutdown().await;
        fleet.redis.restart().await;
        assert_eq!(fleet.generation(&session).await, Some(1));

        let again = fleet.node("a").await;

        assert_eq!(fleet.generation(&session).await, Some(2), "before anything else happens");
        let token = again.token(&session).await.unwrap();
        assert!(fleet.accepted(token.access_token().expose()).await);
        fleet.assert_nothing_used_twice();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_lost_is_put_back_by_whoever_remembers() {
    bounded(async {
        let mut fleet = Fleet::start(strict(HOUR)).await;
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        let (refreshed, deleted) = (fleet.session(&a).await, fleet.session(&a).await);
        a.refresh(&refreshed).await.unwrap();
        a.delete(&deleted).await.unwrap();

        fleet.redis.restart_empty().await;

        eventually("it is put back", async || {
            (fleet.generation(&refreshed).await == Some(2)).then_some(())
        })
        .await;
        let entry = fleet.store().await.load(&deleted).await.unwrap().reply;
        assert!(entry.tombstone.is_some() && entry.record.is_none(), "{entry:?}");
        let token =
            eventually("the other node refreshes it", async || b.refresh(&refreshed).await.ok())
                .await;
        assert_eq!(token.generation(), 3);
        fleet.assert_nothing_used_twice();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_redis_has_lost_is_served_while_its_token_lives() {
    bounded(async {
        let mut fleet = Fleet::start(strict(HOUR)).await;
        let a = fleet.node_with("a", |builder| builder.without_journal()).await;
        let session = fleet.session(&a).await;
        a.token(&session).await.unwrap();

        fleet.redis.restart_empty().await;
        eventually("it is connected again", async || a.readiness().ready.then_some(())).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;

        assert!(a.token(&session).await.is_ok());
        let refused = a.refresh(&session).await.unwrap_err();
        assert!(matches!(refused, TokenError::Unavailable { .. }), "not logged out: {refused:?}");
        let notes = a.readiness().notes;
        assert!(notes.iter().any(|note| note.contains("no journal")), "{notes:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_unverified_tokens_are_not_tolerated_a_lost_redis_stops_reads() {
    bounded(async {
        let fleet = Fleet::start(strict(HOUR)).await;
        let strict = fleet.node_with("a", |it| it.max_unverified(Duration::ZERO)).await;
        let lenient = fleet.node("b").await;
        let session = fleet.session(&strict).await;
        lenient.token(&session).await.unwrap();
        fleet.redis.pause().await;

        let refused = eventually("reads stop", async || strict.token(&session).await.err()).await;

        assert!(
            matches!(refused, TokenError::Unavailable { reason: Unavailable::Store { .. }, .. }),
            "{refused:?}"
        );
        assert!(lenient.token(&session).await.is_ok());
        fleet.redis.resume().await;
        eventually("reads go on", async || strict.token(&session).await.ok()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_journal_stops_refreshes_only_where_an_answer_cannot_be_had_again() {
    bounded(async {
        let fleet = Fleet::start(strict(HOUR)).await;
        let full = JournalOptions {
            segment_bytes: 64 * 1024,
            max_bytes: 64 * 1024,
            ..JournalOptions::in_directory(fleet.folder.path().join("a"))
        };
        let forgiving = provider(&fleet.simulator)
            .id("forgiving")
            .reuse_class(ReuseClass::Multiple)
            .timeout(Duration::from_secs(3));
        let a = fleet.node_with("a", |it| it.journal(full).provider(forgiving)).await;
        let strict = fleet.session(&a).await;
        let minted = fleet.simulator.mint(1, HOUR).remove(0);
        let other = key(&minted.user);
        let text = saved(&minted, 3600);
        a.restore(&other, "forgiving", &text, RestoreOptions::default()).await.unwrap();

        let refused = eventually("the journal is full", async || match a.refresh(&strict).await {
            Err(error @ TokenError::Unavailable { reason: Unavailable::Journal { .. }, .. }) => {
                Some(error)
            }
            _ => None,
        })
        .await;

        assert!(refused.retry_after().is_some());
        assert!(a.token(&strict).await.is_ok());
        assert!(a.refresh(&other).await.is_ok());
        assert!(a.readiness().notes.iter().any(|note| note.contains("journal is full")));
        fleet.assert_nothing_used_twice();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_during_a_refresh_revokes_what_the_refresh_brings() {
    bounded(async {
        let fleet = Fleet::start(strict(HOUR)).await;
        let (a, b) = (fleet.node("a").await, fleet.node("b").await);
        let session = fleet.session(&a).await;
        b.token(&session).await.unwrap();
        fleet.simulator.set_faults(next_refreshes(1, FaultAction::DelayAfterCommit { ms: 500 }));
        let refresh = tokio::spawn({
            let (a, session) = (a.clone(), session.clone());
            async move { a.refresh(&session).await }
        });
        eventually("it is sent", async || (fleet.calls() > 0).then_some(())).await;

        b.delete(&session).await.unwrap();

        assert!(refresh.await.unwrap().is_err());
        let entry = fleet.store().await.load(&session).await.unwrap().reply;
        assert!(entry.record.is_none(), "no late answer brings it back: {entry:?}");
        eventually("the provider forgets it", async || {
            let families = fleet.simulator.totals().families_revoked;
            (!families.is_empty()).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_falls_together_with_redis_puts_back_what_it_remembers() {
    bounded(async {
        let mut fleet = Fleet::start(strict(HOUR)).await;
        let a = fleet.node("a").await;
        let session = fleet.session(&a).await;
        a.refresh(&session).await.unwrap();
        a.shutdown().await;
        drop(a);

        fleet.redis.restart_empty().await;
        let again = fleet.node("a").await;

        assert_eq!(fleet.generation(&session).await, Some(2), "its journal says so");
        let token = eventually("it goes on", async || again.refresh(&session).await.ok()).await;
        assert!(fleet.accepted(token.access_token().expose()).await);
        fleet.assert_nothing_used_twice();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_after_redis_lost_the_session_is_not_replaced_by_what_others_remember() {
    for journals in [true, false] {
        bounded(async {
            let mut fleet = Fleet::start(strict(HOUR)).await;
            let adjust = |it: HiveBuilder| if journals { it } else { it.without_journal() };
            let a = fleet.node_with("a", adjust).await;
            let b = fleet.node_with("b", adjust).await;
            let session = fleet.session(&a).await;
            for _ in 0..3 {
                a.refresh(&session).await.unwrap();
            }
            b.token(&session).await.unwrap();

            fleet.redis.restart_empty().await;
            let minted = fleet.simulator.mint(1, HOUR).remove(0);
            let text = saved(&minted, 3600);
            eventually("Redis takes the login", async || {
                b.restore(&session, "sim", &text, RestoreOptions::default()).await.ok()
            })
            .await;

            let theirs = minted.access_token.expose();
            for hive in [&a, &b] {
                eventually("the new user's token is served", async || {
                    let token = hive.token(&session).await.ok()?;
                    (token.access_token().expose() == theirs).then_some(())
                })
                .await;
            }
            tokio::time::sleep(Duration::from_millis(1500)).await;
            for hive in [&a, &b] {
                assert_eq!(hive.token(&session).await.unwrap().access_token().expose(), theirs);
            }
            eventually("it is refreshed", async || a.refresh(&session).await.ok()).await;
            fleet.assert_nothing_used_twice();
        })
        .await;
    }
}
