//! What only the inside can provoke: an actor that panics.

use std::time::Duration;

use crate::actors::{Freshness, Panic, Want};
use crate::hive::{RestoreOptions, TokenHive};
use crate::model::{SessionKey, TokenError, Unavailable};
use crate::oauth::catalogue;

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
