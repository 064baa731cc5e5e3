//! What only the inside can provoke: an actor that panics. And settings that are refused.

use std::time::Duration;

use crate::actors::{Freshness, Panic, Want};
use crate::hive::{BuildError, RestoreOptions, TokenHive};
use crate::model::{SessionKey, TokenError, Unavailable};
use crate::oauth::catalogue;
use crate::timing::{Backoff, RefreshPolicy};

async fn hive() -> TokenHive {
    let provider = catalogue::generic("p", "id", "http://127.0.0.1:9/a", "http://127.0.0.1:9/t")
        .redirect_url("http://127.0.0.1:9/c");
    TokenHive::builder().provider(provider).actor_threads(1).start().await.unwrap()
}

async fn session(hive: &TokenHive, name: &str) -> SessionKey {
    let key = SessionKey::new("acme", name).unwrap();
    let saved = r#"{"access_token":"a","expires_at":4000000000,"refresh_token":"r"}"#;
    hive.restore(&key, "p", saved, RestoreOptions::default()).await.unwrap();
    key
}

fn want(hive: &TokenHive) -> Want {
    Want {
        min_validity: Duration::ZERO,
        freshness: Freshness::Any,
        deadline: hive.shared().clock.boot() + Duration::from_secs(5),
    }
}

#[tokio::test]
async fn an_actor_that_panics_is_replaced_and_its_neighbour_notices_nothing() {
    let hive = hive().await;
    let (key, neighbour) = (session(&hive, "a").await, session(&hive, "b").await);
    let supervisor = &hive.inner.supervisor;
    supervisor.ask(&key, want(&hive)).await.unwrap();
    supervisor.ask(&neighbour, want(&hive)).await.unwrap();
    let before = hive.shared().registry.running(&neighbour).unwrap();

    for _ in 0..3 {
        supervisor.tell(&key, Panic);
        supervisor.ask(&key, want(&hive)).await.unwrap();
    }

    assert!(hive.shared().registry.running(&neighbour) == Some(before));
    assert!(supervisor.ask(&neighbour, want(&hive)).await.is_ok());
    hive.shutdown().await;
}

#[tokio::test]
async fn after_shutdown_cached_tokens_are_read_and_everything_else_is_refused() {
    let hive = hive().await;
    let key = session(&hive, "a").await;

    hive.shutdown().await;

    assert!(hive.token(&key).await.is_ok());
    assert_eq!(
        hive.refresh(&key).await.unwrap_err(),
        TokenError::unavailable(Unavailable::Closing, None)
    );
    hive.shutdown().await;
}

#[tokio::test]
async fn settings_that_would_stop_refreshes_are_refused() {
    let policy = |earliest, latest| RefreshPolicy { earliest, latest, ..RefreshPolicy::default() };
    let backoff = |floor, ceiling| Backoff {
        floor: Duration::from_secs(floor),
        ceiling: Duration::from_secs(ceiling),
    };
    let hive = TokenHive::builder;
    let mut builders = vec![
        ("poll_every", hive().poll_every(Duration::ZERO)),
        ("poll_every", hive().poll_every(Duration::MAX)),
        ("store_deadline", hive().store_deadline(Duration::ZERO)),
        ("login_ttl", hive().login_ttl(Duration::ZERO)),
        ("max_waiters", hive().max_waiters(0)),
    ];
    for (earliest, latest) in
        [(f64::NAN, 0.7), (0.5, f64::NAN), (-0.5, 0.7), (0.8, 0.7), (0.6, 2.0), (0.0, 0.5)]
    {
        let builder = TokenHive::builder().refresh_policy(policy(earliest, latest));
        builders.push(("refresh_policy", builder));
    }
    for (floor, ceiling) in [(9, 1), (0, 0)] {
        builders.push(("backoff", TokenHive::builder().backoff(backoff(floor, ceiling))));
    }
    let slow = catalogue::generic("p", "id", "http://127.0.0.1:9/a", "http://127.0.0.1:9/t")
        .redirect_url("http://127.0.0.1:9/c")
        .timeout(Duration::from_secs(120));
    builders.push(("timeout", TokenHive::builder().provider(slow)));

    for (expected, builder) in builders {
        let error = builder.start().await.unwrap_err();

        assert!(matches!(error, BuildError::Setting { name, .. } if name == expected), "{error}");
    }
}

#[tokio::test]
async fn concurrency_without_limit_is_as_much_as_can_be_counted() {
    let hive = TokenHive::builder().concurrent_exchanges(usize::MAX).start().await.unwrap();

    hive.shutdown().await;
}
