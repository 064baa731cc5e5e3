//! Saved tokens of every kind, and the seed's own surface from login to a new hive.

#![cfg(all(feature = "test-support", feature = "file"))]

#[expect(dead_code, reason = "every test binary uses its own part")]
mod support;

use std::time::Duration;

use support::{HOUR, World, bounded, eager, key, provider, saved, strict, visit};
use tokenhive::model::{NeedsLogin, SavedTokenError, TokenError};
use tokenhive::simulator::SimulatorOptions;
use tokenhive::{
    LoginError, LoginFault, OAuthToken, Origin, RestoreError, RestoreOptions, Restored,
    ServiceOptions, SessionState, TokenHive,
};

async fn restore(world: &World, session: &str, text: &str) -> Result<u64, RestoreError> {
    let options = RestoreOptions::default();
    let restored = world.hive.restore(&key(session), "sim", text, options).await?;
    Ok(restored.token.generation())
}

#[tokio::test]
async fn a_live_token_is_restored_without_a_call() {
    bounded(async {
        let world = World::start(HOUR).await;
        let minted = world.simulator.mint(1, HOUR).remove(0);

        restore(&world, "ann", &saved(&minted, 3000)).await.unwrap();

        let token = world.hive.token(&key("ann")).await.unwrap();
        assert_eq!(token.access_token(), &minted.access_token);
        assert_eq!(world.simulator.totals().token_requests, 0);
        let refreshed = world.hive.refresh(&key("ann")).await.unwrap();
        assert!(world.accepted(&refreshed).await);
        world.finish().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_is_refreshed_once_for_all_who_ask() {
    bounded(async {
        let world = World::with(strict(HOUR), eager).await;
        let minted = world.simulator.mint(1, HOUR).remove(0);
        let readers: Vec<_> = (0..100)
            .map(|_| {
                let hive = world.hive.clone();
                tokio::spawn(async move {
                    loop {
                        if let Ok(token) = hive.token(&key("ann")).await {
                            return token.generation();
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();

        restore(&world, "ann", &saved(&minted, -5)).await.unwrap();

        for reader in readers {
            assert_eq!(reader.await.unwrap(), 2);
        }
        assert_eq!(world.refreshes(), 1);
        world.assert_no_reuse();
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_expired_token_without_refresh_token_is_not_stored() {
    bounded(async {
        let world = World::start(HOUR).await;

        let text = r#"{"access_token":"a","expires_in":60,"expires_at":1700000000}"#;

        assert_eq!(restore(&world, "ann", text).await, Err(RestoreError::Expired));
        assert_eq!(world.hive.describe(&key("ann")).await, Ok(None));
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn text_that_is_no_saved_token_is_refused_and_changes_nothing() {
    bounded(async {
        let world = World::start(HOUR).await;
        let ann = world.log_in("ann").await;
        let before = world.hive.token(&ann).await.unwrap();
        let deep = "[".repeat(10_000);
        let big = format!(r#"{{"access_token":"{}"}}"#, "a".repeat(1 << 20));
        let refused = [
            "",
            " ",
            "null",
            "[]",
            "0",
            "\"text\"",
            "not json",
            "{",
            "{}",
            r#"{"access_token":null}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":7}"#,
            r#"{"access_token":["a"]}"#,
            r#"{"access_token":"a","nonsense":1}"#,
            r#"{"access_token":"a","expires_at":"soon"}"#,
            r#"{"access_token":"a","expires_at":{}}"#,
            r#"{"access_token":"a","expires_at":1e400}"#,
            r#"{"access_token":"a","expires_at":99999999999999999999999}"#,
            r#"{"access_token":"a","refresh_token":5}"#,
            r#"{"access_token":"a","scope":5}"#,
            r#"{"access_token":"\ud800"}"#,
            &deep,
            &big,
        ];

        for text in refused {
            let shown: String = text.chars().take(60).collect();
            let error = restore(&world, "ann", text).await;
            assert!(matches!(error, Err(RestoreError::Saved(_))), "{shown}: {error:?}");
        }

        let too_large = restore(&world, "ann", &big).await.unwrap_err();
        let bytes = big.len();
        assert_eq!(too_large, RestoreError::Saved(SavedTokenError::TooLarge { bytes }));
        let after = world.hive.token(&ann).await.unwrap();
        assert_eq!(after.version(), before.version());
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn numbers_of_any_size_are_survived() {
    bounded(async {
        let world = World::with(strict(HOUR), eager).await;
        let far = ["1e18", "1e308", "9223372036854775807", "\"inf\"", "253402300800"];
        let past = ["-1e308", "-9223372036854775808", "0", "-1", "1e-300"];

        for (number, at) in far.into_iter().enumerate() {
            let session = format!("far-{number}");
            let text = format!(
                r#"{{"access_token":"a","refresh_token":"r","expires_in":{at},"expires_at":{at}}}"#
            );
            let restored = restore(&world, &session, &text).await;
            assert!(restored.is_ok(), "{at}: {restored:?}");
            let token = world.hive.token(&key(&session)).await.unwrap();
            assert_eq!(token.access_token().expose(), "a", "{at}");
            let saved = world.hive.saved_token(&key(&session)).await.unwrap().to_json();
            assert!(OAuthToken::from_json(&saved).is_ok(), "{at}: {saved}");
            let info = world.hive.describe(&key(&session)).await.unwrap().unwrap();
            assert_eq!(info.state, SessionState::Active, "{at}: a reader started a refresh");
        }
        assert_eq!(world.refreshes(), 0);
        for at in past {
            let text = format!(r#"{{"access_token":"a","expires_in":{at},"expires_at":{at}}}"#);
            let restored = restore(&world, "past", &text).await;
            assert_eq!(restored, Err(RestoreError::Expired), "{at}");
        }
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_saved_refresh_token_the_provider_does_not_know_needs_a_login() {
    bounded(async {
        let world = World::start(HOUR).await;
        let text = r#"{"access_token":"a","refresh_token":"made-up","expires_at":1700000000}"#;

        let error = restore(&world, "ann", text).await.unwrap_err();

        let RestoreError::Token(TokenError::NeedsLogin { reason: NeedsLogin::Rejected { .. } }) =
            error
        else {
            panic!("{error:?}")
        };
        assert_eq!(world.refreshes(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn the_seeds_surface_carries_a_session_into_a_new_hive() {
    bounded(async {
        let world = World::start(HOUR).await;
        let options =
            ServiceOptions { fetch_user: true, fetch_groups: true, scope: vec!["read".to_owned()] };
        let open = |hive: &TokenHive| {
            hive.authorization_service(&key("ann"), "sim", options.clone()).unwrap()
        };
        let service = open(&world.hive);
        assert_eq!(service.get_token().await, Ok(None));
        let early = service.request_token("code").await.unwrap_err();
        assert_eq!(early, LoginError::BeginAgain { reason: LoginFault::NotBegun });

        let (url, state) = service.get_authorization_data().await.unwrap();
        let callback = visit(&world.http, &url).await;
        assert_eq!(callback.state, state);
        service.request_token(callback.code.unwrap().expose()).await.unwrap();

        assert_eq!(service.scope(), ["read"]);
        let user = service.user().unwrap();
        assert_eq!(user.groups.len(), 2);
        let text = service.get_token().await.unwrap().unwrap().to_json();
        world.hive.shutdown().await;

        let other =
            TokenHive::builder().provider(provider(&world.simulator)).start().await.unwrap();
        let service = open(&other);
        assert_eq!(service.user(), None);
        service.dehydrate_token(&text).await.unwrap();

        assert_eq!(service.user(), Some(user));
        assert_eq!(service.get_token().await.unwrap().unwrap().to_json(), text);
        assert_eq!(world.refreshes(), 0);
        let refreshed = other.refresh(&key("ann")).await.unwrap();
        assert!(world.accepted(&refreshed).await);
        other.shutdown().await;
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn a_saved_token_of_a_slow_provider_is_stored_before_it_is_refreshed() {
    bounded(async {
        let options = SimulatorOptions { latency: Duration::from_millis(400), ..strict(HOUR) };
        let world = World::with(options, |b| b).await;
        let minted = world.simulator.mint(1, HOUR).remove(0);
        let (ann, text) = (key("ann"), saved(&minted, -5));

        let brief = Duration::from_millis(150);
        let restoring = world.hive.restore(&ann, "sim", &text, RestoreOptions::default());
        tokio::time::timeout(brief, restoring).await.unwrap_err();

        let token = world.hive.token(&ann).await.unwrap();
        assert_eq!(token.generation(), 2);
        assert_eq!(world.refreshes(), 1);
        world.finish().await;
    })
    .await;
}

#[tokio::test]
async fn an_old_text_of_a_live_session_is_not_presented_again() {
    bounded(async {
        let world = World::with(strict(HOUR), |b| b).await;
        let minted = world.simulator.mint(1, HOUR).remove(0);
        let (text, ann) = (saved(&minted, -5), key("ann"));
        let first = restored(&world, &text).await;
        assert_eq!(first.origin, Origin::Saved);
        let later = world.hive.refresh(&ann).await.unwrap();

        let again = restored(&world, &text).await;
        let newest = world.hive.saved_token(&ann).await.unwrap().to_json();
        let once_more = restored(&world, &newest).await;

        assert_eq!((again.origin, once_more.origin), (Origin::Live, Origin::Live));
        assert_eq!(once_more.token.version(), later.version());
        assert_eq!(world.refreshes(), 2, "one to restore, one that was asked for");
        world.assert_no_reuse();

        let other = world.simulator.mint(1, HOUR).remove(0);
        assert_eq!(restored(&world, &saved(&other, 3600)).await.origin, Origin::Saved);
        world.finish().await;
    })
    .await;
}

async fn restored(world: &World, text: &str) -> Restored {
    world.hive.restore(&key("ann"), "sim", text, RestoreOptions::default()).await.unwrap()
}
