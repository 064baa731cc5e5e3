//! What a restart leaves: sessions in a file, exchanges cut off in the middle, and keys that must fit.

#![cfg(all(feature = "test-support", feature = "file"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::path::Path;
use std::time::Duration;

use support::{HOUR, World, bounded, eager, eventually, key, provider, saved, strict};
use tokenhive::model::{Misconfigured, TokenError, Unavailable};
use tokenhive::simulator::{Minted, ReuseBehaviour, Simulator, SimulatorOptions};
use tokenhive::{
    BuildError, FileStore, Keyring, RestoreOptions, ReuseClass, StoreError, TokenHive,
};
use tokio::time::Instant;

async fn open(
    simulator: &Simulator,
    class: ReuseClass,
    path: &Path,
    keyring: &Keyring,
) -> TokenHive {
    // A store that was let go of without a word may hold its file a moment longer.
    let store = eventually("the file is free", async || match FileStore::open(path) {
        Ok(store) => Some(store),
        Err(StoreError::Locked { .. }) => None,
        Err(other) => panic!("{other}"),
    })
    .await;
    let builder = TokenHive::builder().provider(provider(simulator).reuse_class(class));
    // A claim that the store grants too late hides what was claimed for half a minute.
    let builder = eager(builder).store_deadline(Duration::from_secs(5));
    builder.store(store).keyring(keyring.clone()).start().await.unwrap()
}

#[tokio::test]
async fn sessions_survive_a_restart_without_a_call() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.redb");
        let (keyring, class) = (Keyring::generate(), ReuseClass::Revoking);
        let world = World::start(HOUR).await;
        let minted = world.simulator.mint(20, HOUR);

        for round in 0..3 {
            let hive = open(&world.simulator, class, &path, &keyring).await;
            for one in &minted {
                let session = key(&one.user);
                if round == 0 {
                    let options = RestoreOptions::default();
                    hive.restore(&session, "sim", &saved(one, 3000), options).await.unwrap();
                }
                let token = hive.token(&session).await.unwrap();
                assert_eq!(token.access_token(), &one.access_token);
            }
            hive.shutdown().await;
        }

        assert_eq!(world.simulator.totals().token_requests, 0);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_session_that_expired_while_nothing_ran_is_refreshed_after_the_restart() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.redb");
        let (keyring, class) = (Keyring::generate(), ReuseClass::Revoking);
        let world = World::start(Duration::from_secs(1)).await;
        let minted = world.simulator.mint(1, HOUR).remove(0);
        let hive = open(&world.simulator, class, &path, &keyring).await;
        let options = RestoreOptions::default();
        hive.restore(&key("ann"), "sim", &saved(&minted, 2), options).await.unwrap();
        hive.shutdown().await;
        tokio::time::sleep(Duration::from_secs(2)).await;

        let hive = open(&world.simulator, class, &path, &keyring).await;

        eventually("refreshed with nobody reading", async || {
            (world.refreshes() >= 2).then_some(())
        })
        .await;
        world.assert_no_reuse();
        hive.shutdown().await;
        world.finish().await;
    })
    .await;
}

/// Starts a refresh in a process of its own, as far as tokio is concerned, and ends that process in
/// the middle of it.
async fn killed_in_the_middle(
    reuse: ReuseBehaviour,
    class: ReuseClass,
) -> (World, Minted, TokenHive, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.redb");
    let keyring = Keyring::generate();
    let options = SimulatorOptions { reuse, latency: Duration::from_millis(600), ..strict(HOUR) };
    let world = World::with(options, |b| b).await;
    let minted = world.simulator.mint(1, HOUR).remove(0);
    let process =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = process.spawn({
        let builder = TokenHive::builder().provider(provider(&world.simulator).reuse_class(class));
        let builder = builder.store(FileStore::open(&path).unwrap()).keyring(keyring.clone());
        let (session, text) = (key(&minted.user), saved(&minted, -5));
        async move {
            let hive = builder.start().await.unwrap();
            let _ = hive.restore(&session, "sim", &text, RestoreOptions::default()).await;
        }
    });
    // The provider commits after half its latency; the answer is still on its way then.
    eventually("the refresh token was consumed", async || {
        (world.presented(&minted) == 1).then_some(())
    })
    .await;
    process.shutdown_background();
    first.await.unwrap_err();
    let hive = open(&world.simulator, class, &path, &keyring).await;
    (world, minted, hive, folder)
}

#[tokio::test]
async fn an_exchange_cut_off_is_not_repeated_early_where_that_would_revoke() {
    bounded(async {
        let (world, minted, hive, _folder) =
            killed_in_the_middle(ReuseBehaviour::Revoking, ReuseClass::Revoking).await;
        let session = key(&minted.user);

        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            let error = hive.token(&session).await.unwrap_err();
            assert!(
                matches!(&error, TokenError::Unavailable { .. }),
                "a restart ends no session: {error:?}"
            );
            let hint = error.retry_after().unwrap();
            assert!(hint >= Duration::from_secs(50), "{error:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }

        assert_eq!(world.presented(&minted), 1);
        world.assert_no_reuse();
        hive.shutdown().await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn callers_learn_after_a_restart_that_an_outcome_is_unknown() {
    bounded(async {
        let (world, minted, hive, _folder) =
            killed_in_the_middle(ReuseBehaviour::SingleUse, ReuseClass::SingleUse).await;

        let error = hive.token(&key(&minted.user)).await.unwrap_err();

        assert!(
            matches!(&error, TokenError::Unavailable { reason: Unavailable::InDoubt { .. }, .. }),
            "{error:?}"
        );
        hive.shutdown().await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_exchange_cut_off_is_repeated_at_once_where_that_is_allowed() {
    bounded(async {
        let (world, minted, hive, _folder) =
            killed_in_the_middle(ReuseBehaviour::Multiple, ReuseClass::Multiple).await;

        let token = hive.token(&key(&minted.user)).await.unwrap();

        assert!(world.accepted(&token).await);
        assert_eq!(world.presented(&minted), 2);
        world.assert_no_reuse();
        hive.shutdown().await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_file_has_one_user_at_a_time() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.redb");
        let held = FileStore::open(&path).unwrap();

        let error = FileStore::open(&path).err();

        assert_eq!(error, Some(StoreError::Locked { path: path.clone() }));
        drop(held);
        assert!(FileStore::open(&path).is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_file_without_a_keyring_is_refused() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.redb");
        let world = World::start(HOUR).await;
        let builder = TokenHive::builder().provider(provider(&world.simulator));

        let error = builder.store(FileStore::open(&path).unwrap()).start().await.unwrap_err();

        assert!(matches!(error, BuildError::MissingKeyring), "{error:?}");
        assert!(FileStore::open(&path).is_ok(), "the file was let go of");
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn the_wrong_keys_read_nothing_and_lose_nothing() {
    bounded(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.redb");
        let (right, class) = (Keyring::generate(), ReuseClass::Revoking);
        let world = World::start(HOUR).await;
        let minted = world.simulator.mint(1, HOUR).remove(0);
        let hive = open(&world.simulator, class, &path, &right).await;
        let options = RestoreOptions::default();
        hive.restore(&key("ann"), "sim", &saved(&minted, 2000), options).await.unwrap();
        hive.shutdown().await;

        let hive = open(&world.simulator, class, &path, &Keyring::generate()).await;
        for _ in 0..3 {
            let error = hive.token(&key("ann")).await.unwrap_err();
            assert!(
                matches!(
                    &error,
                    TokenError::Misconfigured { reason: Misconfigured::Sealed { .. } }
                ),
                "{error:?}"
            );
            assert!(matches!(
                hive.refresh(&key("ann")).await,
                Err(TokenError::Misconfigured { .. })
            ));
        }
        hive.shutdown().await;

        let hive = open(&world.simulator, class, &path, &right).await;
        let token = hive.token(&key("ann")).await.unwrap();
        assert_eq!(token.access_token(), &minted.access_token);
        assert!(world.accepted(&hive.refresh(&key("ann")).await.unwrap()).await);
        assert_eq!(world.refreshes(), 1);
        hive.shutdown().await;
        world.finish().await;
    })
    .await;
}
