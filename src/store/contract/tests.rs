//! The suite on the stores of this crate.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use crate::store::contract::random::{Randomness, play};
use crate::store::contract::{RANDOM_BYTES, RANDOM_SEQUENCES, run};
use crate::store::{MemoryStore, SessionStore};

#[tokio::test(flavor = "multi_thread")]
async fn memory_store_keeps_the_contract() {
    run(|| async { Arc::new(MemoryStore::new()) as Arc<dyn SessionStore> }).await;
}

#[cfg(feature = "file")]
#[tokio::test(flavor = "multi_thread")]
async fn file_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::sync::atomic::AtomicU32::new(0);
    run(|| async {
        let number = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = folder.path().join(format!("{number}.redb"));
        Arc::new(crate::store::FileStore::open(path).unwrap()) as Arc<dyn SessionStore>
    })
    .await;
}

proptest! {
    #[test]
    fn any_operations_leave_the_memory_store_equal_to_the_ledger(
        bytes in proptest::collection::vec(any::<u8>(), 0..600)
    ) {
        block_on(play(Arc::new(MemoryStore::new()), Randomness::new(bytes)));
    }
}

#[cfg(feature = "file")]
proptest! {
    // Each operation waits for the disk.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_operations_leave_the_file_store_equal_to_the_ledger(
        bytes in proptest::collection::vec(any::<u8>(), 0..600)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::store::FileStore::open(folder.path().join("sessions.redb")).unwrap();
        block_on(play(Arc::new(store), Randomness::new(bytes)));
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Without this the random operations might be too tame to mean anything.
#[tokio::test]
async fn random_operations_of_the_suite_reach_every_reply() {
    let mut seen = BTreeSet::new();
    for seed in 0..RANDOM_SEQUENCES {
        let random = Randomness::from_seed(seed, RANDOM_BYTES);
        seen.extend(play(Arc::new(MemoryStore::new()), random).await);
    }

    let all = "Stored Conflict Granted Newer Fresh Backoff Busy Exhausted Suspect Dead Gone Absent \
               NoRefreshToken Regressed Installed Healed Late Stale Retry Recovered TrySpare \
               NotYet LastTry NotSuspect Held Passed LoggedIn Again";
    let missing: Vec<_> = all.split(' ').filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}
