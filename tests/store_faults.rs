//! A store that fails, forgets to answer, or takes its time: no token is lost and none is shown too early.

#![cfg(all(feature = "test-support", feature = "file"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;
#[path = "support/troubled.rs"]
mod troubled;

use std::time::Duration;

use support::{
    HOUR, World, bounded, eager, eventually, key, next_refreshes, provider, saved, sim, strict,
};
use tokenhive::ledger::{NewTokens, Put};
use tokenhive::model::{TokenError, Unavailable};
use tokenhive::simulator::{FaultAction, RevocationReason};
use tokenhive::{
    HiveBuilder, JournalOptions, Keyring, RestoreOptions, SessionKey, SessionStore as _, TokenHive,
    TokenRequest,
};
use troubled::{Trouble, Troubled};

fn on(store: &Troubled, keyring: &Keyring) -> impl FnOnce(HiveBuilder) -> HiveBuilder {
    let (store, keyring) = (store.clone(), keyring.clone());
    move |builder| {
        eager(builder).store(store).keyring(keyring).store_deadline(Duration::from_millis(200))
    }
}

/// Another hive on the same store, which has read nothing of it yet.
async fn another(world: &World, store: &Troubled, keyring: &Keyring) -> TokenHive {
    let builder = TokenHive::builder().provider(provider(&world.simulator));
    on(store, keyring)(builder).start().await.unwrap()
}

fn is_store(error: &TokenError) -> bool {
    matches!(
        error,
        TokenError::Unavailable { reason: Unavailable::Store { .. }, retry_after: Some(_) }
    )
}

const TROUBLES: [Trouble; 3] = [Trouble::Fails, Trouble::LosesItsAnswer, Trouble::Hangs];

#[tokio::test]
async fn no_call_is_made_without_leave_and_the_session_is_not_stuck_afterwards() {
    for trouble in TROUBLES {
        bounded(async {
            let (store, keyring) = (Troubled::new(), Keyring::generate());
            let world = World::with(strict(HOUR), on(&store, &keyring)).await;
            let ann = world.log_in("ann").await;
            store.strike("begin", 1, trouble);

            let brief = TokenRequest::new().force().deadline(Duration::from_millis(700));
            let error = world.hive.token_with(&ann, brief).await.unwrap_err();

            assert!(matches!(error, TokenError::Unavailable { .. }), "{trouble:?}: {error:?}");
            assert_eq!(world.refreshes(), 0, "{trouble:?}");
            let forced = TokenRequest::new().force().deadline(Duration::from_secs(4));
            let token = world.hive.token_with(&ann, forced).await;
            assert!(token.is_ok(), "{trouble:?}: {token:?}");
            assert_eq!(world.refreshes(), 1, "{trouble:?}");
            world.finish().await;
        })
        .await;
    }
}

#[tokio::test]
async fn tokens_wait_for_a_store_that_fails_and_nobody_sees_them_before() {
    bounded(async {
        let (store, keyring) = (Troubled::new(), Keyring::generate());
        let world = World::with(strict(HOUR), on(&store, &keyring)).await;
        let ann = world.log_in("ann").await;
        store.strike("commit", 10, Trouble::Fails);
        let refresh = tokio::spawn({
            let (hive, ann) = (world.hive.clone(), ann.clone());
            let forced = TokenRequest::new().force().deadline(support::PATIENCE);
            async move { hive.token_with(&ann, forced).await }
        });

        eventually("the store works again", async || {
            let struck = store.calls("commit") <= 10;
            let version = world.hive.token(&ann).await.unwrap().version();
            assert!(version == 1 || !struck, "shown after {} commits", store.calls("commit"));
            (!struck).then_some(())
        })
        .await;

        let token = refresh.await.unwrap().unwrap();
        assert_eq!(token.version(), 2);
        assert!(world.accepted(&token).await);
        assert_eq!(world.refreshes(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_repeated_without_harm() {
    for trouble in TROUBLES {
        bounded(async {
            let (store, keyring) = (Troubled::new(), Keyring::generate());
            let world = World::with(strict(HOUR), on(&store, &keyring)).await;
            let ann = world.log_in("ann").await;
            store.strike("commit", 2, trouble);

            let token = world.hive.refresh(&ann).await.unwrap();

            assert_eq!((token.version(), token.generation()), (2, 2), "{trouble:?}");
            assert!(world.accepted(&world.hive.refresh(&ann).await.unwrap()).await);
            assert_eq!(world.refreshes(), 2, "{trouble:?}");
            world.assert_no_reuse();
            world.finish().await;
        })
        .await;
    }
}

/// The store shows the generation before, and the answer to it is in the node's own journal.
#[tokio::test]
async fn an_answer_of_ones_own_is_never_beyond_recall() {
    bounded(async {
        let (store, keyring) = (Troubled::new(), Keyring::generate());
        let folder = tempfile::tempdir().unwrap();
        let journal = JournalOptions::in_directory(folder.path());
        let dead_after = Duration::from_secs(4);
        let world = World::at(
            strict(Duration::from_secs(2)),
            |provider| provider.timeout(Duration::from_secs(3)),
            |builder| {
                let builder = on(&store, &keyring)(builder).journal(journal);
                builder.dead_after(dead_after).recall_within(Duration::from_millis(200))
            },
        )
        .await;
        let ann = world.log_in("ann").await;
        store.strike("commit", u32::MAX, Trouble::Fails);
        let served = world.hive.refresh(&ann).await.unwrap();
        assert_eq!((served.generation(), world.refreshes()), (2, 1));

        // Longer than its own exchange is waited for.
        let until = tokio::time::Instant::now() + dead_after + Duration::from_secs(4);
        while tokio::time::Instant::now() < until {
            let brief = TokenRequest::new().deadline(Duration::from_millis(100));
            let _ = world.hive.token_with(&ann, brief).await;
            assert_eq!(world.refreshes(), 1, "nothing was lost");
        }
        store.strike("commit", 0, Trouble::Fails);

        let newer = eventually("it goes on", async || world.hive.refresh(&ann).await.ok()).await;
        assert!(newer.generation() > 2, "{newer:?}");
        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_failure_that_cannot_be_noted_is_noted_later() {
    for trouble in TROUBLES {
        bounded(async {
            let (store, keyring) = (Troubled::new(), Keyring::generate());
            let world = World::with(strict(HOUR), on(&store, &keyring)).await;
            let ann = world.log_in("ann").await;
            store.strike("fail", 2, trouble);
            let dropped = FaultAction::DropAfterCommit;
            world.simulator.set_faults(next_refreshes(1, dropped));

            let error = world.hive.refresh(&ann).await.unwrap_err();

            assert!(matches!(error, TokenError::Unavailable { .. }), "{trouble:?}: {error:?}");
            let info = world.hive.describe(&ann).await.unwrap().unwrap();
            assert_eq!(info.state, tokenhive::SessionState::Active, "{trouble:?}");
            assert_eq!(world.hive.token(&ann).await.unwrap().version(), 1, "{trouble:?}");
            assert_eq!(world.refreshes(), 1, "{trouble:?}");
            world.assert_no_reuse();
            world.finish().await;
        })
        .await;
    }
}

/// The session's login as it could be stored again.
async fn login_of(store: &Troubled, key: &SessionKey) -> Put {
    let record = store.inner().load(key).await.unwrap().reply.record.unwrap();
    let tokens = NewTokens {
        access: record.access,
        refresh: record.refresh,
        extra: record.extra,
        expires_in: Some(HOUR),
        refresh_expires_in: None,
        due_in: Some(HOUR),
    };
    Put { generation: record.generation, provider: record.provider, tokens }
}

#[tokio::test]
async fn a_failure_of_an_exchange_that_the_store_forgot_keeps_the_session_and_the_doubt() {
    for is_empty in [true, false] {
        bounded(async {
            let (store, keyring) = (Troubled::new(), Keyring::generate());
            let world = World::with(strict(HOUR), on(&store, &keyring)).await;
            let ann = world.log_in("ann").await;
            let login = login_of(&store, &ann).await;
            store.strike("fail", u32::MAX, Trouble::Fails);
            world.simulator.set_faults(next_refreshes(1, FaultAction::DropAfterCommit));
            let refresh = tokio::spawn({
                let (hive, ann) = (world.hive.clone(), ann.clone());
                async move { hive.refresh(&ann).await }
            });
            let failing = async || (store.calls("fail") > 0).then_some(());
            eventually("the exchange has failed", failing).await;

            store.roll_back((!is_empty).then_some((&ann, login))).await;
            store.strike("fail", 0, Trouble::Fails);

            let error = refresh.await.unwrap().unwrap_err();
            assert!(matches!(error, TokenError::Unavailable { .. }), "{is_empty}: {error:?}");
            assert_eq!(world.hive.token(&ann).await.unwrap().version(), 1, "{is_empty}");
            let record = store.inner().load(&ann).await.unwrap().reply.record;
            let record = record.expect("it is not given up");
            assert_eq!((record.tries, record.slot.is_none()), (1, true), "{is_empty}");
            assert!(record.not_before.is_some(), "{is_empty}: nobody presents it again at once");
            let brief = TokenRequest::new().force().deadline(Duration::from_millis(300));
            assert!(world.hive.token_with(&ann, brief).await.is_err(), "{is_empty}");
            world.assert_no_reuse();
            world.finish().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_is_made_sure_of_all_the_same() {
    for trouble in TROUBLES {
        bounded(async {
            let (store, keyring) = (Troubled::new(), Keyring::generate());
            let world = World::with(strict(HOUR), on(&store, &keyring)).await;
            let ann = world.log_in("ann").await;
            store.strike("delete", 1, trouble);

            let error = world.hive.delete(&ann).await.unwrap_err();

            assert!(is_store(&error), "{trouble:?}: {error:?}");
            let deleted = async || {
                let entry = store.inner().load(&ann).await.unwrap().reply;
                (entry.record.is_none() && entry.tombstone.is_some()).then_some(())
            };
            eventually("it is deleted", deleted).await;
            let revoked = async || {
                let revoked = world.simulator.totals().families_revoked;
                (revoked.get(&RevocationReason::Client) == Some(&1)).then_some(())
            };
            eventually("its refresh token is revoked", revoked).await;
            assert!(world.hive.token(&ann).await.is_err(), "{trouble:?}");
            world.finish().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_a_matter_of_waiting() {
    for trouble in TROUBLES {
        bounded(async {
            let (store, keyring) = (Troubled::new(), Keyring::generate());
            let world = World::with(strict(HOUR), on(&store, &keyring)).await;
            let ann = world.log_in("ann").await;
            let other = another(&world, &store, &keyring).await;
            store.strike("load", 1, trouble);

            let error = other.token(&ann).await.unwrap_err();

            assert!(is_store(&error), "{trouble:?}: {error:?}");
            assert!(other.token(&ann).await.is_ok(), "{trouble:?}");
            other.shutdown().await;
            world.finish().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_valid_token_is_served_while_the_store_is_down() {
    for trouble in TROUBLES {
        bounded(async {
            let (store, keyring) = (Troubled::new(), Keyring::generate());
            let (world, clock) = World::manual(strict(HOUR), on(&store, &keyring)).await;
            let ann = world.log_in("ann").await;
            for operation in ["load", "begin", "claim", "postpone"] {
                store.strike(operation, u32::MAX, trouble);
            }

            assert!(world.hive.token(&ann).await.is_ok(), "{trouble:?}");
            // Within the margin the actor is asked, which has to read the record first.
            clock.advance(Duration::from_secs(3570));
            for _ in 0..3 {
                let token = world.hive.token(&ann).await;
                assert!(token.is_ok(), "{trouble:?}: {token:?}");
            }
            clock.advance(Duration::from_secs(31));
            let error = world.hive.token(&ann).await.unwrap_err();
            assert!(is_store(&error), "{trouble:?}: {error:?}");
            assert_eq!(world.refreshes(), 0);
            world.finish().await;
        })
        .await;
    }
}

#[tokio::test]
async fn sessions_are_refreshed_again_once_the_due_index_can_be_read() {
    for trouble in [Trouble::Fails, Trouble::Panics] {
        bounded(async {
            let (store, keyring) = (Troubled::new(), Keyring::generate());
            let lifetime = Duration::from_secs(2);
            let world = World::with(strict(lifetime), on(&store, &keyring)).await;
            world.log_in("ann").await;
            world.hive.shutdown().await;
            store.strike("claim", 3, trouble);
            store.strike("load", 2, trouble);

            let other = another(&world, &store, &keyring).await;

            eventually("refreshed with nobody reading", async || {
                (world.refreshes() >= 2).then_some(())
            })
            .await;
            world.assert_no_reuse();
            other.shutdown().await;
            world.finish().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_login_waits_for_a_store_that_fails() {
    for trouble in TROUBLES {
        bounded(async {
            let (store, keyring) = (Troubled::new(), Keyring::generate());
            let world = World::with(strict(HOUR), on(&store, &keyring)).await;
            store.strike("take_login", 2, trouble);
            store.strike("put", 3, trouble);

            let ann = world.log_in("ann").await;

            let token = world.hive.token(&ann).await.unwrap();
            assert!(world.accepted(&token).await, "{trouble:?}");
            assert_eq!(world.simulator.totals().code_requests, 1, "{trouble:?}");
            assert!(world.accepted(&world.hive.refresh(&ann).await.unwrap()).await);
            world.finish().await;
        })
        .await;
    }
}

/// Somebody reads, and refreshes, what the store has and the restoring hive does not know it has.
#[tokio::test]
async fn tokens_are_not_stored_again_over_their_own_successors() {
    bounded(async {
        let (store, keyring) = (Troubled::new(), Keyring::generate());
        let world = World::with(strict(HOUR), on(&store, &keyring)).await;
        let minted = world.simulator.mint(1, HOUR).remove(0);
        store.strike("put", 1, Trouble::LosesItsAnswer);
        let reader = tokio::spawn({
            let hive = world.hive.clone();
            async move {
                while hive.token(&key("ann")).await.is_err() {
                    tokio::task::yield_now().await;
                }
            }
        });

        let options = RestoreOptions::default();
        let _ = world.hive.restore(&key("ann"), "sim", &saved(&minted, -5), options).await;

        reader.await.unwrap();
        assert_eq!(world.presented(&minted), 1);
        let token = world.hive.refresh(&key("ann")).await.unwrap();
        assert!(world.accepted(&token).await);
        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn shutdown_waits_for_logins_that_have_not_sent_their_code_yet() {
    bounded(async {
        let (store, keyring) = (Troubled::new(), Keyring::generate());
        let world = World::with(strict(HOUR), on(&store, &keyring)).await;
        let callback = world.approve(&key("ann"), sim().param("user", "ann")).await;
        store.strike("take_login", 1, Trouble::Dawdles);
        let login = tokio::spawn({
            let hive = world.hive.clone();
            async move { hive.complete_login(&callback).await }
        });
        eventually("it is being taken", async || (store.calls("take_login") > 0).then_some(()))
            .await;

        world.hive.shutdown().await;

        assert!(store.calls("put") > 0, "the store is closed and the code is still to be sent");
        login.await.unwrap().unwrap();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_user_that_cannot_be_stored_is_told_all_the_same() {
    bounded(async {
        let (store, keyring) = (Troubled::new(), Keyring::generate());
        let world = World::with(strict(HOUR), on(&store, &keyring)).await;
        store.strike("set_profile", 1, Trouble::Fails);

        let request = support::sim().param("user", "ann").fetch_user();
        let logged_in = world.log_in_as(&key("ann"), request).await;

        assert_eq!(logged_in.user.unwrap().id, "ann");
        assert!(world.hive.token(&key("ann")).await.is_ok());
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_store_that_panics_harms_the_callers_of_the_moment_alone() {
    for operation in ["load", "begin"] {
        bounded(async {
            let (store, keyring) = (Troubled::new(), Keyring::generate());
            let world = World::with(strict(HOUR), on(&store, &keyring)).await;
            let ann = world.log_in("ann").await;
            store.strike(operation, 1, Trouble::Panics);

            let error = world.hive.refresh(&ann).await.unwrap_err();

            assert!(
                matches!(&error, TokenError::Unavailable { reason: Unavailable::ActorFailed, .. }),
                "{operation}: {error:?}"
            );
            let token = world.hive.refresh(&ann).await.unwrap();
            assert!(world.accepted(&token).await, "{operation}");
            world.finish().await;
        })
        .await;
    }
}
