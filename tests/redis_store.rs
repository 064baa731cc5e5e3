//! The Redis store against real servers.

#![cfg(all(feature = "redis", feature = "test-support"))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokenhive::store::{RedisOptions, RedisStore, SessionStore, contract};

fn url() -> String {
    std::env::var("TOKENHIVE_TEST_REDIS").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_store_keeps_the_contract() {
    let made = AtomicU32::new(0);
    contract::run(|| async {
        let number = made.fetch_add(1, Ordering::Relaxed);
        let options = RedisOptions::new(url()).prefix(format!("c{}:{number}:", std::process::id()));
        Arc::new(RedisStore::connect_with(options).await.unwrap()) as Arc<dyn SessionStore>
    })
    .await;
}
