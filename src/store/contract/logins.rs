//! A login in progress is taken once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::ledger::samples::{MINUTE, sealed};
use crate::ledger::{AttemptId, TakenLogin};
use crate::store::SessionStore;

const ANSWERS: &str = "the store answers";

pub(super) async fn run<F, M>(make: &F)
where
    F: Fn() -> M,
    M: Future<Output = Arc<dyn SessionStore>>,
{
    login_is_taken_once(make().await).await;
    login_that_took_too_long_is_expired(make().await).await;
    one_of_many_concurrent_takers_gets_it(make().await).await;
}

async fn login_is_taken_once(store: Arc<dyn SessionStore>) {
    store.put_login("digest", sealed("login"), MINUTE).await.expect(ANSWERS);
    store.put_login("other", sealed("other"), MINUTE).await.expect(ANSWERS);

    let take =
        async |digest, attempt| store.take_login(digest, AttemptId(attempt)).await.expect(ANSWERS);
    assert_eq!(take("unknown", 1).await, TakenLogin::Unknown);
    assert_eq!(take("digest", 1).await, TakenLogin::Taken(sealed("login")));
    assert_eq!(take("digest", 2).await, TakenLogin::AlreadyTaken);
    assert_eq!(take("digest", 1).await, TakenLogin::Taken(sealed("login")), "once more");
    assert_eq!(take("digest", 2).await, TakenLogin::AlreadyTaken);
    assert_eq!(take("other", 2).await, TakenLogin::Taken(sealed("other")));
}

async fn login_that_took_too_long_is_expired(store: Arc<dyn SessionStore>) {
    store.put_login("digest", sealed("login"), Duration::ZERO).await.expect(ANSWERS);

    assert_eq!(store.take_login("digest", AttemptId(1)).await, Ok(TakenLogin::Expired));
}

async fn one_of_many_concurrent_takers_gets_it(store: Arc<dyn SessionStore>) {
    store.put_login("digest", sealed("login"), MINUTE).await.expect(ANSWERS);
    let mut takers = JoinSet::new();
    for attempt in 1..=32 {
        let store = store.clone();
        takers.spawn(async move {
            store.take_login("digest", AttemptId(attempt)).await.expect(ANSWERS)
        });
    }

    let taken = takers.join_all().await;

    let winners = taken.iter().filter(|taken| **taken == TakenLogin::Taken(sealed("login")));
    assert_eq!(winners.count(), 1, "{taken:?}");
    let losers = taken.iter().filter(|taken| **taken == TakenLogin::AlreadyTaken);
    assert_eq!(losers.count(), 31, "{taken:?}");
}
