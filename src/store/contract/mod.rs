//! The suite every store passes. Run it in the tests of your own store with [`run`].

mod commits;
mod due;
mod exchanges;
mod failures;
mod lifecycle;
mod logins;
mod random;
mod rollback;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::store::SessionStore;
use crate::store::contract::random::Randomness;

/// How many random operation sequences [`run`] plays.
const RANDOM_SEQUENCES: u64 = 10;

/// How many bytes of randomness each of them uses up: some five hundred operations.
const RANDOM_BYTES: usize = 4000;

/// Runs every case, each on an empty store of its own made by `make`.
///
/// No case waits: what needs time to pass asks for spans of zero length. The store's clock may stand
/// still or run.
///
/// # Panics
///
/// At the first thing a store does differently from [`crate::ledger`]; the message says what.
pub async fn run<F, M>(make: F)
where
    F: Fn() -> M,
    M: Future<Output = Arc<dyn SessionStore>>,
{
    exchanges::run(&make).await;
    commits::run(&make).await;
    failures::run(&make).await;
    lifecycle::run(&make).await;
    due::run(&make).await;
    logins::run(&make).await;
    rollback::run(&make).await;
    for seed in 0..RANDOM_SEQUENCES {
        random::play(make().await, Randomness::from_seed(seed, RANDOM_BYTES)).await;
    }
}

/// Plays random operations on `store` until `bytes`, which the choices are made from, are used up. Returns
/// the names of the replies that came.
///
/// # Panics
///
/// At the first reply or record that differs from [`crate::ledger`].
pub async fn play(store: Arc<dyn SessionStore>, bytes: Vec<u8>) -> BTreeSet<String> {
    random::play(store, Randomness::new(bytes)).await
}
